//! Tells the program when a decoder is running.
//!
//! A decoder may request as much memory as a file declares, and no library between this crate and the file limits it.
//! Only the allocator sees the requests, and a process has only one, so a program that installs a limiting allocator
//! registers a guard here to learn which file is being decoded.

use std::sync::OnceLock;

/// Called around decoders that may request any amount of memory.
pub trait DecodingGuard: Sync {
    /// Decoding of a file of `bytes` bytes starts; errors refer to it as `name`.
    fn begin(&self, name: &str, bytes: usize);

    /// Decoding has finished or failed.
    fn end(&self);
}

static GUARD: OnceLock<&'static dyn DecodingGuard> = OnceLock::new();

/// Sets the guard of this process. Later calls have no effect: a process has one allocator, and so one guard.
pub fn set_decoding_guard(guard: &'static dyn DecodingGuard) {
    let _ = GUARD.set(guard);
}

/// Marks a decoder as running until dropped.
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
