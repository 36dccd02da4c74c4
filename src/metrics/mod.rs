//! The metrics: one file a metric or family, and the list of them all.
//!
//! Each turns what a pass of the kernels left of the rows into numbers; none looks at embeddings itself.

pub mod batch;
mod class_order;
mod list;
pub mod mean;
pub mod projection;
mod row_score;
pub mod separation;
pub mod silhouette;
pub mod soft_silhouette;
pub mod suspects;

pub use class_order::class_order;
pub use list::{Family, METRICS, Metric, Scope, Selection};
pub(crate) use row_score::{Competitors, Exponentials};
pub use row_score::{RowScore, RowScoreFold};
pub use soft_silhouette::{SmoothMaximum, SoftMinimum, smooth_maximum};
