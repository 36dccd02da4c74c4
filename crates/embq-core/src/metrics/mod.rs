//! The metrics: one file a metric or family, and the list of them all.
//!
//! Each turns what a pass of the kernels left of the rows into numbers; none looks at embeddings itself.

mod batch;
mod class_order;
mod collapse;
mod contrastive;
mod health;
mod intrinsic_dimension;
mod list;
pub mod mean;
mod metric;
pub mod projection;
mod ranking;
mod retrieval;
mod row_means;
mod row_score;
mod separation;
mod shared;
mod silhouette;
mod single_cell;
mod soft_silhouette;
mod spectrum;
pub mod suspects;
mod temperature;
mod validity;
mod verification;

pub use class_order::class_order;
pub(crate) use list::measure;
pub use list::{FAMILIES, METRICS};
pub use metric::{Family, Levels, Metric, Need, Scope, Selection, USUAL_FARS, USUAL_KS};
pub(crate) use row_score::{Competitors, Exponentials};
pub use row_score::{RowScore, RowScoreFold};
pub use shared::Auxiliary;
pub(crate) use shared::{Measures, Measuring, SharedWork};
pub use soft_silhouette::{SmoothMaximum, SoftMinimum, smooth_maximum};
pub use temperature::Temperature;
pub(crate) use temperature::find_temperature;
pub use verification::PairCurves;
