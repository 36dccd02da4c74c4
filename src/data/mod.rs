//! What is evaluated: embeddings as a source of row blocks, labels as dense codes, and both together, checked once.

mod dataset;
mod embeddings;
mod labels;
mod mapped;

pub use dataset::{Dataset, DatasetOptions, Excluded, RowWeights};
pub use embeddings::{Element, ElementType, Embeddings, InMemory, Origin, Precision, RowBlocks};
pub use labels::{Label, LabelColumn, LabelColumnBuilder, LabelType, Labels};
pub use mapped::{MappedBytes, MappedMatrix, MatrixLayout};
