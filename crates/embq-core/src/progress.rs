//! How long work tells that it goes on.

/// Receives the progress of long work. The library never draws anything itself.
pub trait Progress: Sync {
    /// A stage of `total` steps begins.
    fn begin(&self, stage: &str, total: u64);

    /// `steps` more steps of the current stage are done.
    fn advance(&self, steps: u64);

    /// The current stage is over.
    fn end(&self);
}

/// Tells nobody.
pub struct Silent;

impl Progress for Silent {
    fn begin(&self, _stage: &str, _total: u64) {}
    fn advance(&self, _steps: u64) {}
    fn end(&self) {}
}
