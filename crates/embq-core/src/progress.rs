//! Progress reporting and cancellation.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::{Error, Result};

/// Receives the progress of a long computation and can stop it. The library itself draws nothing and handles no
/// signals.
///
/// ```
/// use embq_core::progress::Progress;
///
/// struct Log;
///
/// impl Progress for Log {
///     fn begin(&self, stage: &str, total: u64) {
///         eprintln!("{stage}: {total} steps");
///     }
/// }
/// ```
pub trait Progress: Sync {
    /// A stage of `total` steps begins. Stages do not overlap; one that fails or is cancelled does not end.
    fn begin(&self, stage: &str, total: u64) {
        let _ = (stage, total);
    }

    /// `steps` more steps of the current stage are done; called from any thread.
    fn advance(&self, steps: u64) {
        let _ = steps;
    }

    /// The current stage is over.
    fn end(&self) {}

    /// Whether to stop. Called often, from any thread, after every block of rows or pairs. Once this returns true, the
    /// computation returns [`Error::Cancelled`] without a result.
    fn is_cancelled(&self) -> bool {
        false
    }
}

impl dyn Progress + '_ {
    /// # Errors
    /// [`Error::Cancelled`] if the work is to stop.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Advances by `steps`.
    ///
    /// # Errors
    /// Those of [`Self::check`].
    pub(crate) fn step(&self, steps: u64) -> Result<()> {
        self.advance(steps);
        self.check()
    }
}

/// No progress reports, and no cancellation.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoProgress;

impl Progress for NoProgress {}

/// A flag that cancels a computation, set by a signal handler or another thread.
///
/// ```
/// use embq_core::progress::CancelFlag;
/// use embq_core::{Dataset, Error, Evaluator, Settings};
///
/// # fn main() -> embq_core::Result<()> {
/// let rows = ndarray::array![[1.0, 0.1], [1.0, 0.3], [0.2, 1.0], [0.4, 1.0]];
/// let flag = CancelFlag::default();
/// flag.cancel();
/// let settings = Settings::default();
/// let cancelled = Evaluator::new(&settings).progress(&flag).evaluate(&Dataset::new(rows.view(), [0, 0, 1, 1])?);
/// assert!(matches!(cancelled, Err(Error::Cancelled)));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct CancelFlag(AtomicBool);

impl CancelFlag {
    /// Cancels the computations that watch this flag.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Progress for CancelFlag {
    fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
