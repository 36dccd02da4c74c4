//! An allocator that ends the program with a message, where it would otherwise abort.
//!
//! A damaged file can make a decoder ask for any amount of memory, and no library between embq and the file says how
//! much it is about to ask for. The one place that sees every request is the allocator: while a file is decoded it
//! refuses a block that the file's size cannot justify, and at any time it tells that memory has run out.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::Write;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use embq_files::DecodingGuard;

/// A single block of this many bytes may always be asked for while a file is decoded,
const BLOCK: usize = 1 << 30;

/// and beyond that one of this many times the size of the file: what encodings for repeated values reach.
const EXPANSION: usize = 64;

/// The exit code of bad input.
const FAILURE: i32 = 2;

/// The system's allocator, with limits. The program installs it, and has the readers tell it what they decode.
pub struct LimitedAllocator;

/// The largest block that may be asked for.
static LARGEST_BLOCK: AtomicUsize = AtomicUsize::new(usize::MAX);

/// The file that is being decoded.
static DECODED_FILE: Mutex<Option<String>> = Mutex::new(None);

impl DecodingGuard for LimitedAllocator {
    /// Limits blocks to what a file of `bytes` bytes can justify.
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
            "its content is damaged: decoding it asks for a block of {size} bytes, and a file of its size may ask for \
             {limit}\n  tip: save or copy the file again"
        );
    } else {
        let _ = writeln!(stderr, "error: out of memory: {size} more bytes are not to be had");
    }
    process::exit(FAILURE)
}

/// Passes a block on, or ends the program where there is none.
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

// SAFETY: every method passes its arguments on to the system's allocator, whose contract is the same, and returns what
// it returns. Where it returns nothing, and before it is asked for too much, the process ends; nothing unwinds.
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
