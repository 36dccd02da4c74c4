//! Buffers that are reused between parallel tasks.

use std::sync::{Mutex, PoisonError};

/// Buffers for as many tasks as run at once. If they were created for each piece of a parallel loop, they would be
/// cleared, and their pages requested from the system, again and again.
#[derive(Default)]
pub(crate) struct Workspaces<W>(Mutex<Vec<W>>);

impl<W: Default> Workspaces<W> {
    /// Runs a task with buffers in the state that the previous task left. No lock is held during the task.
    pub(crate) fn with<R>(&self, task: impl FnOnce(&mut W) -> R) -> R {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut workspace = kept.unwrap_or_default();
        let result = task(&mut workspace);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
        result
    }

    /// All buffers, in no particular order.
    pub(crate) fn into_all(self) -> Vec<W> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workspace_is_handed_on_and_a_nested_task_has_its_own() {
        let workspaces = Workspaces::<Vec<u8>>::default();
        workspaces.with(|outer| {
            outer.push(1);
            assert!(workspaces.with(|inner| std::mem::replace(inner, vec![2, 2])).is_empty());
        });
        let mut lengths = [0; 2];
        workspaces.with(|first| workspaces.with(|second| lengths = [first.len(), second.len()]));
        assert_eq!(lengths, [1, 2]);
    }
}
