//! Rows of a matrix that does not fit in memory: decoded in every pass, a few batches ahead of the reader.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use embq_core::data::{Element, RowBlocks};
use embq_core::error::Result;

use super::{Matrix, Number, Values, copy, parts, starts};

/// The maximum number of batches decoded ahead of the one being read.
const MOST_AHEAD: usize = 4;

/// Rows that are decoded batch by batch.
pub(super) struct BatchRows<T: Number> {
    shared: Arc<Shared<T>>,
    ahead: usize,
}

/// State shared by the decoding threads and the reader.
struct Shared<T> {
    matrix: Matrix,
    batches: Vec<Range<usize>>,
    slots: Mutex<BTreeMap<usize, Slot<T>>>,
    changed: Condvar,
}

enum Slot<T> {
    /// A thread is decoding it.
    Working,
    Decoded(Arc<Values<T>>),
    /// It could not be decoded, or not ahead of time: the reader retries and gets the error.
    Failed,
}

impl<T: Number> BatchRows<T> {
    /// The rows of a matrix; those in `decoded` are already available as `values`.
    pub(super) fn new(matrix: Matrix, decoded: &Range<usize>, values: Values<T>) -> Self {
        let batches = parts(&starts(matrix.batches.sizes()));
        let slot = batches.iter().position(|batch| batch == decoded);
        let slots = slot.map(|batch| (batch, Slot::Decoded(Arc::new(values)))).into_iter().collect();
        let shared = Shared { matrix, batches, slots: Mutex::new(slots), changed: Condvar::new() };
        BatchRows { shared: Arc::new(shared), ahead: rayon::current_num_threads().min(MOST_AHEAD) }
    }

    /// Returns a batch and starts decoding the following ones.
    fn batch(&self, batch: usize) -> Result<Arc<Values<T>>> {
        let shared = &self.shared;
        let window = batch..shared.batches.len().min(batch + 1 + self.ahead);
        let mut slots = shared.slots();
        slots.retain(|kept, slot| window.contains(kept) || matches!(slot, Slot::Working));
        for next in window {
            slots.entry(next).or_insert_with(|| {
                let shared = Arc::clone(shared);
                // Not a pool thread: all of those may be waiting for this batch.
                let thread = thread::Builder::new().name("decode".to_owned()).spawn(move || shared.decode(next));
                if thread.is_ok() { Slot::Working } else { Slot::Failed }
            });
        }
        loop {
            match slots.get(&batch) {
                Some(Slot::Decoded(values)) => return Ok(Arc::clone(values)),
                Some(Slot::Working) => {
                    slots = shared.changed.wait(slots).unwrap_or_else(PoisonError::into_inner);
                }
                Some(Slot::Failed) | None => break,
            }
        }
        drop(slots);
        let values = Arc::new(shared.matrix.decode::<T>(shared.batches[batch].clone())?);
        shared.slots().insert(batch, Slot::Decoded(Arc::clone(&values)));
        Ok(values)
    }

    fn read<U: Element>(&self, rows: Range<usize>, out: &mut [U]) -> Result<()> {
        let d = self.shared.matrix.dimensions;
        let mut start = rows.start;
        while start < rows.end {
            let place = self.shared.batches.partition_point(|batch| batch.end <= start);
            let batch = &self.shared.batches[place];
            let end = rows.end.min(batch.end);
            let values = self.batch(place)?;
            let block = &values[(start - batch.start) * d..(end - batch.start) * d];
            copy(block, &mut out[(start - rows.start) * d..(end - rows.start) * d]);
            start = end;
        }
        Ok(())
    }
}

impl<T: Number> Shared<T> {
    /// The slots, even if a thread panicked while holding the lock: slots are never left half written.
    fn slots(&self) -> MutexGuard<'_, BTreeMap<usize, Slot<T>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decode(&self, batch: usize) {
        let slot = match self.matrix.decode::<T>(self.batches[batch].clone()) {
            Ok(values) => Slot::Decoded(Arc::new(values)),
            Err(_) => Slot::Failed,
        };
        self.slots().insert(batch, slot);
        self.changed.notify_all();
    }
}

impl<T: Number> RowBlocks for BatchRows<T> {
    fn read_f32(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        self.read(rows, out)
    }

    fn read_f64(&self, rows: Range<usize>, out: &mut [f64]) -> Result<()> {
        self.read(rows, out)
    }

    fn is_random_access(&self) -> bool {
        false
    }
}
