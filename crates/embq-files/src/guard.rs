//! Who watches while a decoder is at work.
//!
//! A decoder asks for the memory that a file promises to fill, and no library between this crate and the file says how
//! much that is. Only the allocator sees it, and a process has one: the program that installs an allocator with limits
//! names here how it learns which file is being decoded.

use std::sync::OnceLock;

/// Learns when a decoder works that may ask for any amount of memory.
pub trait DecodingGuard: Sync {
    /// A file of `bytes` bytes is going to be decoded; errors call it `name`.
    fn begin(&self, name: &str, bytes: usize);

    /// It is decoded, or cannot be.
    fn end(&self);
}

static GUARD: OnceLock<&'static dyn DecodingGuard> = OnceLock::new();

/// Sets the guard of this process. The first one stays: as there is but one allocator, there is but one guard.
pub fn set_decoding_guard(guard: &'static dyn DecodingGuard) {
    // Whoever comes second has the guard that the first one set.
    let _ = GUARD.set(guard);
}

/// A decoder is at work as long as it lives.
pub(crate) struct Decoding;

impl Decoding {
    pub fn begin(name: &str, bytes: usize) -> Self {
        if let Some(guard) = GUARD.get() {
            guard.begin(name, bytes);
        }
        Decoding
    }
}

impl Drop for Decoding {
    fn drop(&mut self) {
        if let Some(guard) = GUARD.get() {
            guard.end();
        }
    }
}
