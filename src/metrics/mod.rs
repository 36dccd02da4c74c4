//! The metrics: one file a metric or family, and the list of them all.

mod list;
pub mod soft_silhouette;

pub use list::{Family, METRICS, Metric, Scope, Selection};
pub use soft_silhouette::{SmoothMaximum, SoftMinimum};
