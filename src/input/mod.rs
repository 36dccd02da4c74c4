//! From paths and selectors to embeddings and labels: one file a format.

use crate::data::{Embeddings, LabelColumn, RowWeights};
use crate::error::Result;

/// Everything that a command reads.
pub struct Loaded {
    pub embeddings: Embeddings,
    pub labels: LabelColumn,
    pub weights: Option<RowWeights>,
}

/// Reads embeddings, their labels and row weights; each is `PATH`, `PATH:SELECTOR`, and for labels and weights also
/// `:COLUMN` or a bare column name of the embeddings' file.
pub fn load(embeddings: &str, labels: &str, weights: Option<&str>) -> Result<Loaded> {
    let _ = (embeddings, labels, weights);
    todo!()
}
