//! Parallel loops over work that is worth a task, on the threads of rayon.
//!
//! rayon compiles its splitting and joining anew for each loop, and that of loops which are generic over a fold and a type
//! took a third of the time to compile this crate. Here it is compiled once, and every item costs a call and a lock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::error::Result;
use crate::kernels::workspaces::Workspaces;

/// Calls `task` with every item.
pub(crate) fn for_each<S: Send>(items: impl IntoIterator<Item = S>, task: impl Fn(S) + Sync) {
    let items: Vec<Mutex<Option<S>>> = items.into_iter().map(|item| Mutex::new(Some(item))).collect();
    for_each_index(items.len(), &|index| {
        let item = items[index].lock().unwrap_or_else(PoisonError::into_inner).take();
        item.into_iter().for_each(&task);
    });
}

/// What `task` gives for every item, in order.
pub(crate) fn map<S: Send, R: Send>(items: impl IntoIterator<Item = S>, task: impl Fn(S) -> R + Sync) -> Vec<R> {
    let places: Vec<Mutex<(Option<S>, Option<R>)>> =
        items.into_iter().map(|item| Mutex::new((Some(item), None))).collect();
    for_each_index(places.len(), &|index| {
        let place = || places[index].lock().unwrap_or_else(PoisonError::into_inner);
        let item = place().0.take();
        let result = item.map(&task);
        place().1 = result;
    });
    let found = places.into_iter().map(|place| place.into_inner().unwrap_or_else(PoisonError::into_inner).1);
    found.flatten().collect()
}

/// The same for tasks that can fail. After an error the items that have not been begun are left out.
///
/// # Errors
/// The first of the errors that came up.
pub(crate) fn try_map<S: Send, R: Send>(
    items: impl IntoIterator<Item = S>,
    task: impl Fn(S) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let failed = AtomicBool::new(false);
    let found = map(items, |item| {
        if failed.load(Ordering::Relaxed) {
            return None;
        }
        let result = task(item);
        failed.fetch_or(result.is_err(), Ordering::Relaxed);
        Some(result)
    });
    found.into_iter().flatten().collect()
}

/// The same for tasks with buffers that the next one takes over.
///
/// # Errors
/// As of [`try_map`].
pub(crate) fn try_map_with<W: Default + Send, S: Send, R: Send>(
    items: impl IntoIterator<Item = S>,
    task: impl Fn(&mut W, S) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let workspaces = Workspaces::default();
    try_map(items, |item| workspaces.with(|workspace| task(workspace, item)))
}

/// The one loop.
fn for_each_index(count: usize, task: &(dyn Fn(usize) + Sync)) {
    (0..count).into_par_iter().for_each(task);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Cure;

    #[test]
    fn results_are_in_the_order_of_the_items() {
        let squares = map(0..1000u64, |item| item * item);
        assert_eq!(squares, (0..1000).map(|item| item * item).collect::<Vec<_>>());
        let mut values = [1, 2, 3, 4, 5];
        for_each(values.chunks_mut(2), |pair| pair.iter_mut().for_each(|value| *value *= 10));
        assert_eq!(values, [10, 20, 30, 40, 50]);
    }

    #[test]
    fn an_error_ends_the_loop() {
        let even = |item: u32| match item % 2 {
            0 => Ok(item),
            _ => Err(crate::Error::setting(format!("{item} is odd"), Cure::ScoreAllRows)),
        };
        assert_eq!(try_map([2, 4], even).unwrap(), [2, 4]);
        assert!(try_map(0..100, even).unwrap_err().to_string().contains("is odd"));
    }
}
