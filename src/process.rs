//! What whoever owns the process decides: how panics are reported and what a signal does.
//!
//! The program calls both functions before [`cli::run`](crate::cli::run). A host that runs commands inside a process of
//! its own, such as an interpreter, calls neither and keeps its own hook and handlers.

use std::panic;
use std::process;
use std::sync::{Mutex, PoisonError};

use crate::report::delete_temporary_files;

/// The exit code of an interrupted program: 128 plus the number of the signal.
const INTERRUPTED: i32 = 130;

static LAST_PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Installs a panic hook that prints nothing and records the message.
///
/// Readers catch the panics of the libraries they use and report a broken file instead; a panic that nobody catches is
/// reported by [`cli::run`](crate::cli::run).
pub fn record_panics() {
    panic::set_hook(Box::new(|info| {
        *LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner) = Some(info.to_string());
    }));
}

/// Takes the message of the last panic, if panics are recorded and one occurred.
pub(crate) fn take_last_panic() -> Option<String> {
    LAST_PANIC.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// Deletes half-written files and exits with code 130 on SIGINT, SIGTERM and SIGHUP.
///
/// A signal that the parent chose to ignore, as `nohup` does, stays ignored, and the others then keep their default
/// action.
pub fn delete_temporary_files_on_interrupt() {
    let _ = ctrlc::try_set_handler(|| {
        let _held_until_exit = delete_temporary_files();
        process::exit(INTERRUPTED)
    });
}
