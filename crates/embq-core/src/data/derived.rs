//! Rows that are computed from those of other embeddings as they are read.

use std::ops::Range;
use std::sync::Arc;

use crate::data::{Element, EmbeddingRows, RowBlocks};
use crate::error::Result;

/// How a row follows from the stored row of the same number.
pub(super) trait Derivation: Send + Sync {
    /// Derives some rows in row order; `out` has room for them.
    ///
    /// # Errors
    /// Errors from reading the stored rows.
    fn read<T: Element>(&self, stored: &EmbeddingRows, rows: Range<usize>, out: &mut [T]) -> Result<()>;
}

/// The rows of embeddings, derived in one way.
pub(super) struct Derived<'a, D> {
    pub stored: Arc<EmbeddingRows<'a>>,
    pub derivation: D,
}

impl<D: Derivation> RowBlocks for Derived<'_, D> {
    fn read_f32(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        self.derivation.read(&self.stored, rows, out)
    }

    fn read_f64(&self, rows: Range<usize>, out: &mut [f64]) -> Result<()> {
        self.derivation.read(&self.stored, rows, out)
    }

    fn is_random_access(&self) -> bool {
        self.stored.blocks().is_random_access()
    }

    fn announce(&self, rows: Range<usize>) {
        self.stored.blocks().announce(rows);
    }

    fn place_of(&self, row: usize) -> Option<(String, usize)> {
        Some(self.stored.place_of(row))
    }
}
