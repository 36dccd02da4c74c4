//! An allocator that exits with a message instead of aborting.
//!
//! A damaged file can make a decoder request any amount of memory, and decoding libraries do not say how much they are
//! about to allocate. Only the allocator sees every request: while a file is decoded it refuses blocks that the size of
//! the file cannot justify, and at any time it reports that memory has run out.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use embq_files::DecodingGuard;

/// While a file is decoded, a single block of this many bytes may always be allocated,
const BLOCK: usize = 1 << 30;

/// or one of this many times the size of the file, which encodings of repeated values can reach.
const EXPANSION: usize = 64;

/// The exit code of bad input.
const FAILURE: i32 = 2;

/// The system allocator with limits. The program installs it, and readers tell it what they decode.
pub struct LimitedAllocator;

/// The largest block that may be allocated.
static LARGEST_BLOCK: AtomicUsize = AtomicUsize::new(usize::MAX);

/// The file that is being decoded.
static DECODED_FILE: Mutex<Option<String>> = Mutex::new(None);

impl DecodingGuard for LimitedAllocator {
    /// Limits blocks to what a file of this size can justify.
    fn begin(&self, name: &str, bytes: usize) {
        *DECODED_FILE.lock().unwrap_or_else(PoisonError::into_inner) = Some(name.to_owned());
        LARGEST_BLOCK.store(largest_block(bytes), Ordering::Relaxed);
    }

    fn end(&self) {
        LARGEST_BLOCK.store(usize::MAX, Ordering::Relaxed);
    }
}

fn largest_block(bytes: usize) -> usize {
    bytes.saturating_mul(EXPANSION).max(BLOCK)
}

/// Ends the program; nothing here may allocate.
#[cold]
fn refuse(size: usize) -> ! {
    let mut stderr = std::io::stderr();
    let limit = LARGEST_BLOCK.load(Ordering::Relaxed);
    if size > limit {
        if let Ok(file) = DECODED_FILE.try_lock() {
            let _ = write!(stderr, "error: {}: ", file.as_deref().unwrap_or_default());
        }
        let _ = writeln!(
            stderr,
            "the file is damaged: decoding it needs a block of {size} bytes, but a file of this size may need at most \
             {limit}\n  tip: save or copy the file again"
        );
    } else {
        let _ = writeln!(stderr, "error: out of memory: {size} bytes could not be allocated");
    }
    process::exit(FAILURE)
}

/// Returns a block, or exits if it is null.
fn checked(block: *mut u8, size: usize) -> *mut u8 {
    if block.is_null() {
        refuse(size);
    }
    block
}

fn check_size(size: usize) {
    if size > BLOCK && size > LARGEST_BLOCK.load(Ordering::Relaxed) {
        refuse(size);
    }
}

// SAFETY: every method forwards its arguments to the system allocator, whose contract is the same, and returns its
// result. If the result is null, or the request exceeds the limit, the process exits; nothing unwinds.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for LimitedAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        check_size(layout.size());
        checked(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        check_size(layout.size());
        checked(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        check_size(size);
        checked(unsafe { System.realloc(block, layout, size) }, size)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        unsafe { System.dealloc(block, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_file_may_ask_for_more_than_a_small_one() {
        assert_eq!(largest_block(0), BLOCK);
        assert_eq!(largest_block(BLOCK), BLOCK * EXPANSION);
        assert_eq!(largest_block(usize::MAX), usize::MAX);
    }
}
