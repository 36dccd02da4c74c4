//! The data to evaluate: embeddings as a source of row blocks, labels as dense codes, and checked data sets of both.

mod bits;
mod builder;
mod dataset;
mod derived;
mod distance_matrix;
mod embeddings;
mod identical;
mod labels;
mod mapped;
mod pair_list;
mod rescaled;
mod row_names;
mod selected_rows;
mod shards;
mod shuffle;
mod value_scan;

pub use builder::DatasetBuilder;
pub use dataset::{Dataset, DatasetOptions, Excluded, RowChoice, RowWeights, Scored};
pub(crate) use distance_matrix::held_rows;
pub use embeddings::{Chosen, Element, ElementType, EmbeddingRows, Embeddings, InMemory, Origin, Precision, RowBlocks};
pub use labels::{IntoLabel, Label, LabelColumn, LabelType, Labels};
pub use pair_list::{PairList, Trial};
pub(crate) use rescaled::times_power_of_two;
pub(crate) use selected_rows::RowWatch;
pub(crate) use shuffle::{below, drawn, drawn_by_class, shuffled, uniform};
pub(crate) use value_scan::{ValueScan, largest_value};

// For readers of files.
#[doc(hidden)]
pub use embeddings::{RowFault, RowFaults};
#[doc(hidden)]
pub use identical::identical_rows;
#[doc(hidden)]
pub use labels::LabelColumnBuilder;
#[doc(hidden)]
pub use mapped::{MappedBytes, MappedMatrix, MatrixLayout};
#[doc(hidden)]
pub use row_names::RowNames;
#[doc(hidden)]
pub use selected_rows::{SelectedRows, Window};
