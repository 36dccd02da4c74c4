//! The metrics: one file a metric or family, and the list of them all.
//!
//! Each turns what a pass of the kernels left of the rows into numbers; none looks at embeddings itself.

pub mod batch;
mod list;
pub mod mean;
mod row_score;
pub mod separation;
pub mod silhouette;
pub mod soft_silhouette;

pub use list::{Family, METRICS, Metric, Scope, Selection};
pub(crate) use row_score::{Competitors, Exponentials};
pub use row_score::{RowScore, RowScoreFold};
pub use soft_silhouette::{SmoothMaximum, SoftMinimum, smooth_maximum};
