//! A choice of rows of the embeddings, read in order by passes, or in any order for pairs.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::thread;

use rayon::prelude::*;

use crate::data::{Element, EmbeddingRows};
use crate::error::{Error, Result};

/// Bytes per window of a pass over rows that are decoded.
const WINDOW_BYTES: usize = 32 << 20;

/// The same for rows in memory or a mapped file. Threads wait for each other after each window, so there should be few.
const MAPPED_WINDOW_BYTES: usize = 128 << 20;

/// Windows start at multiples of this many rows, so that kernels always split them into the same blocks.
const WINDOW_STEP: usize = 2048;

/// Rows decoded at a time by one thread.
const DECODED_ROWS: usize = 128;

/// Sees the rows of passes as they come by, in order.
pub(crate) trait RowWatch: fmt::Debug + Send + Sync {
    /// Some rows of a pass in float32, of which the first is row `first`.
    fn see_f32(&self, first: usize, rows: &[f32]);

    /// The same in float64.
    fn see_f64(&self, first: usize, rows: &[f64]);
}

/// Rows of embeddings in a fixed order: all of them, or those of a selection.
#[derive(Clone, Debug)]
pub struct SelectedRows<'e> {
    embeddings: Arc<EmbeddingRows<'e>>,
    /// Row numbers in the stored embeddings; `None` selects all rows.
    selection: Option<Arc<[usize]>>,
    watch: Option<Arc<dyn RowWatch>>,
}

impl<'e> SelectedRows<'e> {
    /// All rows, or those in `selection`, whose numbers must be less than the number of rows.
    pub(crate) fn new(embeddings: Arc<EmbeddingRows<'e>>, selection: Option<Vec<usize>>) -> Self {
        SelectedRows { embeddings, selection: selection.map(Arc::from), watch: None }
    }

    /// The same rows, which the watch sees whenever a pass goes over them.
    pub(crate) fn watched(self, watch: Arc<dyn RowWatch>) -> Self {
        SelectedRows { watch: Some(watch), ..self }
    }

    /// The embeddings that the rows are chosen from.
    pub fn embeddings(&self) -> &EmbeddingRows<'e> {
        &self.embeddings
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.selection.as_ref().map_or(self.embeddings.rows(), |selection| selection.len())
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// d.
    pub fn dimensions(&self) -> usize {
        self.embeddings.dimensions()
    }

    /// The number of a row in the stored embeddings.
    pub fn source_row(&self, row: usize) -> usize {
        self.selection.as_ref().map_or(row, |selection| selection[row])
    }

    /// The rows at these positions, as a new selection.
    pub(crate) fn choose(&self, positions: &[usize]) -> Self {
        let rows = positions.iter().map(|&position| self.source_row(position)).collect();
        SelectedRows::new(Arc::clone(&self.embeddings), Some(rows))
    }

    /// The same rows of a copy of the embeddings in memory, as elements of this type.
    ///
    /// # Errors
    /// Errors from the source of the rows.
    pub(crate) fn in_memory<T: Element>(&self) -> Result<SelectedRows<'static>> {
        Ok(self.of(self.embeddings.in_memory::<T>()?))
    }

    /// The same rows of embeddings whose values are 2^exponent times these.
    pub(crate) fn rescaled(&self, exponent: i32) -> Self {
        self.of(self.embeddings.rescaled(exponent))
    }

    /// The same rows of other embeddings.
    fn of<'r>(&self, embeddings: EmbeddingRows<'r>) -> SelectedRows<'r> {
        SelectedRows { embeddings: Arc::new(embeddings), selection: self.selection.clone(), watch: self.watch.clone() }
    }

    /// The given rows as a contiguous block in row order: in place if they are stored so in memory, else copied to
    /// `buffer`.
    ///
    /// # Errors
    /// Errors from the source of the rows.
    pub fn rows<'a, T: Element>(&'a self, rows: Range<usize>, buffer: &'a mut Vec<T>) -> Result<&'a [T]> {
        let d = self.dimensions();
        if self.selection.is_none()
            && let Some(matrix) = T::view(self.embeddings.blocks())
        {
            return Ok(&matrix[rows.start * d..rows.end * d]);
        }
        buffer.resize(rows.len() * d, T::default());
        self.copy(rows, buffer)?;
        Ok(buffer)
    }

    fn copy<T: Element>(&self, rows: Range<usize>, out: &mut [T]) -> Result<()> {
        let d = self.dimensions().max(1);
        let blocks = self.embeddings.blocks();
        let Some(selection) = &self.selection else {
            if !blocks.is_random_access() || rows.len() <= DECODED_ROWS {
                return T::read(blocks, rows, out);
            }
            return out.par_chunks_mut(DECODED_ROWS * d).enumerate().try_for_each(|(index, out)| {
                let start = rows.start + index * DECODED_ROWS;
                T::read(blocks, start..start + out.len() / d, out)
            });
        };
        let view = T::view(blocks);
        for (row, target) in selection[rows].iter().zip(out.chunks_exact_mut(d)) {
            match view {
                Some(matrix) => target.copy_from_slice(&matrix[row * d..(row + 1) * d]),
                None => T::read(blocks, *row..row + 1, target)?,
            }
        }
        Ok(())
    }

    /// Reads all rows once, in order, some megabytes at a time, and calls `each` for each window while the next is
    /// read.
    ///
    /// # Errors
    /// Errors from the source of the rows or from `each`.
    pub fn for_each_window<T: Element>(&self, mut each: impl FnMut(&Window<'_, T>) -> Result<()>) -> Result<()> {
        self.for_each_window_dyn(&mut each)
    }

    /// Compiled once for each type of elements.
    fn for_each_window_dyn<T: Element>(&self, each: &mut dyn FnMut(&Window<'_, T>) -> Result<()>) -> Result<()> {
        let windows = self.windows::<T>();
        let mut buffer = Vec::new();
        let mut each = |window: &Window<'_, T>| {
            if let Some(watch) = &self.watch {
                let (first, rows) = (window.range().start, window.rows(window.range(), &mut buffer)?);
                T::as_f32(rows).into_iter().for_each(|rows| watch.see_f32(first, rows));
                T::as_f64(rows).into_iter().for_each(|rows| watch.see_f64(first, rows));
            }
            each(window)
        };
        if self.embeddings.blocks().is_random_access() {
            for (index, rows) in windows.iter().enumerate() {
                if let Some(next) = windows.get(index + 1) {
                    self.announce(next);
                }
                each(&Window { source: self, rows: rows.clone(), decoded: None })?;
            }
            return Ok(());
        }
        // One window is processed while the next is decoded into the other buffer.
        let (give_back, returned) = sync_channel::<Vec<T>>(2);
        let (hand_over, decoded) = sync_channel::<Result<Vec<T>>>(1);
        let (windows, each) = (&windows, &mut each);
        // Both ends move into the closure, so that the reader is released as soon as it returns.
        thread::scope(move |scope| {
            scope.spawn(move || {
                for rows in windows {
                    // The other side hangs up after an error.
                    let mut buffer = returned.try_recv().unwrap_or_default();
                    buffer.resize(rows.len() * self.dimensions(), T::default());
                    let read = self.copy(rows.clone(), &mut buffer).map(|()| buffer);
                    if hand_over.send(read).is_err() {
                        return;
                    }
                }
            });
            for rows in windows {
                let Ok(block) = decoded.recv() else {
                    let problem = "the reader of the rows stopped early".to_owned();
                    return Err(Error::Malformed { name: self.embeddings.origin().to_string(), problem, tip: None });
                };
                let block = block?;
                each(&Window { source: self, rows: rows.clone(), decoded: Some(&block) })?;
                let _ = give_back.try_send(block);
            }
            Ok(())
        })
    }

    fn windows<T>(&self) -> Vec<Range<usize>> {
        let row_bytes = (self.dimensions() * size_of::<T>()).max(1);
        let bytes = if self.embeddings.blocks().is_random_access() { MAPPED_WINDOW_BYTES } else { WINDOW_BYTES };
        let step = (bytes / row_bytes).max(1).next_multiple_of(WINDOW_STEP);
        (0..self.len()).step_by(step).map(|start| start..(start + step).min(self.len())).collect()
    }

    /// Tells the source which rows are next.
    fn announce(&self, rows: &Range<usize>) {
        let (first, last) = (self.source_row(rows.start), self.source_row(rows.end - 1));
        // For a scattered selection this would announce far more than is read.
        if last >= first && last - first < 4 * rows.len() {
            self.embeddings.blocks().announce(first..last + 1);
        }
    }
}

/// Consecutive rows of a pass.
pub struct Window<'a, T> {
    source: &'a SelectedRows<'a>,
    rows: Range<usize>,
    decoded: Option<&'a [T]>,
}

impl<T: Element> Window<'_, T> {
    /// The rows of the window.
    pub fn range(&self) -> Range<usize> {
        self.rows.clone()
    }

    /// Rows of the window as a contiguous block; `buffer` is used if they must be copied.
    ///
    /// # Errors
    /// Errors from the source of the rows.
    pub fn rows<'b>(&'b self, rows: Range<usize>, buffer: &'b mut Vec<T>) -> Result<&'b [T]> {
        match self.decoded {
            Some(block) => {
                let d = self.source.dimensions();
                Ok(&block[(rows.start - self.rows.start) * d..(rows.end - self.rows.start) * d])
            }
            None => self.source.rows(rows, buffer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::data::{ElementType, Embeddings, Origin, RowBlocks};

    /// Rows that can only be read in sequence, each value its row number; counts the rows read.
    struct Sequential {
        next: Arc<AtomicUsize>,
        fails_at: usize,
    }

    impl RowBlocks for Sequential {
        fn read_f32(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
            let d = out.len() / rows.len();
            assert_eq!(self.next.swap(rows.end, Ordering::SeqCst), rows.start, "in order");
            if rows.contains(&self.fails_at) {
                return Err(Error::Malformed { name: "x".into(), problem: "torn".into(), tip: None });
            }
            for (row, out) in rows.zip(out.chunks_exact_mut(d)) {
                out.fill(row as f32);
            }
            Ok(())
        }

        fn read_f64(&self, _: Range<usize>, _: &mut [f64]) -> Result<()> {
            unreachable!("only float32 is read")
        }

        fn is_random_access(&self) -> bool {
            false
        }
    }

    const ROWS: usize = 10_000;
    const DIMENSIONS: usize = 2_048;

    fn sequential(fails_at: usize) -> (SelectedRows<'static>, Arc<AtomicUsize>) {
        let next = Arc::new(AtomicUsize::new(0));
        let blocks = Sequential { next: Arc::clone(&next), fails_at };
        let embeddings = Embeddings::new(Origin::new("x"), ROWS, DIMENSIONS, ElementType::F32, blocks);
        (SelectedRows::new(Arc::new(embeddings), None), next)
    }

    #[test]
    fn a_pass_reads_every_row_once_and_in_order() {
        let (rows, next) = sequential(usize::MAX);
        let mut seen = 0;
        let mut windows = 0;
        rows.for_each_window::<f32>(|window| {
            let range = window.range();
            assert_eq!(range.start, seen);
            assert!(range.start.is_multiple_of(WINDOW_STEP));
            let block = window.rows(range.end - 1..range.end, &mut Vec::new())?.to_vec();
            assert_eq!(block, [(range.end - 1) as f32; DIMENSIONS]);
            seen = range.end;
            windows += 1;
            Ok(())
        })
        .unwrap();
        assert_eq!((seen, next.load(Ordering::SeqCst)), (ROWS, ROWS));
        assert!(windows > 1);
    }

    #[test]
    fn an_error_of_the_source_or_the_consumer_ends_the_pass() {
        let (rows, _) = sequential(9_000);
        let error = rows.for_each_window::<f32>(|_| Ok(())).unwrap_err();
        assert!(error.to_string().contains("torn"), "{error}");
        let (rows, _) = sequential(usize::MAX);
        let stop = || Err(Error::Setting { problem: "enough".into(), cure: None });
        assert!(rows.for_each_window::<f32>(|_| stop()).unwrap_err().to_string().contains("enough"));
    }
}
