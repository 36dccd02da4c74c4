//! The metrics: one file a metric or family, and the list of them all.
//!
//! Each turns what a pass of the kernels left of the rows into numbers; none looks at embeddings itself.

pub mod batch;
mod class_order;
mod collapse;
mod contrastive;
mod list;
pub mod mean;
pub mod projection;
mod ranking;
mod retrieval;
pub mod row_means;
mod row_score;
pub mod separation;
mod shared;
pub mod silhouette;
mod single_cell;
pub mod soft_silhouette;
mod spectrum;
pub mod suspects;
mod temperature;
mod validity;

use crate::error::Result;

pub use class_order::class_order;
pub use list::{Family, METRICS, Metric, Scope, Selection, USUAL_KS};
pub(crate) use row_score::{Competitors, Exponentials};
pub use row_score::{RowScore, RowScoreFold};
pub use shared::Companions;
pub(crate) use shared::{Measures, Measuring, SharedWork};
pub use soft_silhouette::{SmoothMaximum, SoftMinimum, smooth_maximum};
pub(crate) use temperature::find_temperature;

/// A family that is measured from [`SharedWork`].
type Measure = fn(&SharedWork<'_>, &mut Measures<'_>) -> Result<()>;

/// The families that are measured so, in the order of output.
const FAMILIES: [(Family, Measure); 6] = [
    (Family::Validity, validity::measure),
    (Family::Retrieval, retrieval::measure),
    (Family::Spectrum, spectrum::measure),
    (Family::Contrastive, contrastive::measure),
    (Family::Collapse, collapse::measure),
    (Family::SingleCell, single_cell::measure),
];

/// Measures what is asked for of the families that are measured from shared work.
///
/// # Errors
/// What reading rows reports, and eigenvalues that cannot be found.
pub(crate) fn measure<'a>(work: &SharedWork<'a>, selection: &'a Selection) -> Result<Measures<'a>> {
    let mut measures = Measures::new(selection);
    for (family, measure) in FAMILIES {
        if !selection.any_of(family) {
            continue;
        }
        if work.dataset.weights().is_some() {
            measures.unweighted(family, work.measuring.ks);
        } else {
            measure(work, &mut measures)?;
        }
    }
    Ok(measures)
}
