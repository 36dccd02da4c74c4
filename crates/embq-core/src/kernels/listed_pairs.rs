//! The distances of some pairs of rows.

use crate::data::{Dataset, Precision};
use crate::distance::Distance;
use crate::error::Result;
use crate::kernels::Real;
use crate::kernels::bounded_pairs::Exact;
use crate::kernels::dense::RowScale;
use crate::kernels::parallel;
use crate::kernels::vectorized::vectorized;
use crate::progress::Progress;

/// Pairs that one thread computes at a time.
const BLOCK: usize = 1024;

/// The distance of each pair, in order, in float64 by differences. The rows have to be readable in any order.
///
/// # Errors
/// Values that have no distance, what reading rows reports, and [`Error::Cancelled`](crate::Error::Cancelled).
pub(crate) fn listed_distances(
    dataset: &Dataset,
    pairs: &[[usize; 2]],
    precision: Precision,
    progress: &dyn Progress,
) -> Result<Vec<f64>> {
    match precision {
        Precision::F32 => distances::<f32>(dataset, pairs, progress),
        Precision::F64 => distances::<f64>(dataset, pairs, progress),
    }
}

fn distances<T: Real>(dataset: &Dataset, pairs: &[[usize; 2]], progress: &dyn Progress) -> Result<Vec<f64>> {
    dataset.check_values::<T>()?;
    let (distance, unit) = (dataset.distance(), dataset.distance().is_of_unit_vectors());
    progress.begin("pairs of the list", pairs.len() as u64);
    let blocks: Vec<Vec<f64>> =
        parallel::try_map_with(pairs.chunks(BLOCK), |(left, right, exact): &mut (Vec<T>, Vec<T>, Vec<f64>), pairs| {
            let mut found = Vec::with_capacity(pairs.len());
            for &[row, other] in pairs {
                let x = dataset.rows::<T>(row..row + 1, left)?;
                found.push(if distance == Distance::Precomputed {
                    x[dataset.source_row(other)].to_f64()
                } else {
                    let y = dataset.rows::<T>(other..other + 1, right)?;
                    exact.resize(x.len(), 0.0);
                    RowScale::of(x, unit).apply_to(x, exact);
                    vectorized(Exact { distance, query: exact, row: y, scale: RowScale::of(y, unit) })
                });
            }
            progress.step(pairs.len() as u64)?;
            Ok(found)
        })?;
    progress.end();
    Ok(blocks.concat())
}
