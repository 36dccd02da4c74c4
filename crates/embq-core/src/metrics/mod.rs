//! The metrics: one file per metric or family, and the list of all of them.
//!
//! Metrics turn the results of kernel passes into numbers; none reads embeddings itself.

mod agreement;
mod batch;
mod class_order;
mod clustering;
mod collapse;
mod contrastive;
mod health;
mod intrinsic_dimension;
mod list;
#[doc(hidden)]
pub mod mean;
mod metric;
mod probe;
#[doc(hidden)]
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
#[doc(hidden)]
pub mod suspects;
mod temperature;
mod totals;
mod validity;
mod verification;
mod whitening;

#[doc(hidden)]
pub use class_order::class_order;
pub use clustering::Clustering;
pub(crate) use list::measure;
pub use list::{FAMILIES, METRICS};
pub(crate) use metric::Unit;
pub use metric::{Family, Levels, Metric, Need, Question, Scope, Selection, StateKind, USUAL_FARS, USUAL_KS};
pub use probe::{ProbeSettings, stratified_folds};
pub(crate) use ranking::TO_R;
pub(crate) use row_score::{Competitors, Exponentials};
#[doc(hidden)]
pub use row_score::{RowScore, RowScoreFold};
pub use shared::Auxiliary;
pub(crate) use shared::{Measures, Measuring, SharedWork};
pub use soft_silhouette::{SmoothMaximum, SoftMinimum, smooth_maximum};
pub use temperature::Temperature;
pub(crate) use temperature::find_temperature;
pub(crate) use totals::{NearestTotals, RowMean, ScoreTotals, SimplifiedTotals, Spread, SpreadTotals, Totals};
pub use verification::PairCurves;
