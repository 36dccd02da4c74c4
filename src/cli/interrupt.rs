//! What happens when a person or a scheduler ends the program.

use std::process;

use crate::report::delete_temporary_files;

/// The exit code of an interrupted program: 128 and the number of the signal.
const INTERRUPTED: i32 = 130;

/// Takes half-written files away when the program is interrupted or told to terminate.
///
/// A signal that the caller chose to ignore, as `nohup` does, stays ignored, and then the others keep their usual
/// effect.
pub(crate) fn handle() {
    let _ = ctrlc::try_set_handler(|| {
        let _nothing_new = delete_temporary_files();
        process::exit(INTERRUPTED)
    });
}
