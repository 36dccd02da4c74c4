//! What is evaluated: embeddings as a source of row blocks, labels as dense codes, and both together, checked once.

mod bits;
mod dataset;
mod distance_matrix;
mod embeddings;
mod identical;
mod labels;
mod mapped;
mod row_names;
mod selected_rows;
mod shards;
mod shuffle;
mod value_scan;

pub use dataset::{Dataset, DatasetOptions, Excluded, RowChoice, RowWeights, Scored};
pub use embeddings::{
    Chosen, Element, ElementType, Embeddings, InMemory, Origin, Precision, RowBlocks, RowFault, RowFaults,
};
pub use identical::identical_rows;
pub use labels::{Label, LabelColumn, LabelColumnBuilder, LabelType, Labels};
pub use mapped::{MappedBytes, MappedMatrix, MatrixLayout};
pub use row_names::RowNames;
pub use selected_rows::{SelectedRows, Window};
pub(crate) use shuffle::{drawn_by_class, shuffled};
pub(crate) use value_scan::ValueScan;
