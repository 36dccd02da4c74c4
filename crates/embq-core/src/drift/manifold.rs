//! Whether the rows of either set lie among those of the other, by balls that reach to the k-th neighbour of their own
//! set.

use crate::data::Dataset;
use crate::distance::Distance;
use crate::drift::entry::{DriftMetric, FROM_0, Measured, SHARE, UP, entry};
use crate::error::Result;
use crate::kernels::{Balls, BoundedPairs, Real};
use crate::progress::Progress;

pub(super) const PRECISION: &str = "precision";
pub(super) const RECALL: &str = "recall";
pub(super) const DENSITY: &str = "density";
pub(super) const COVERAGE: &str = "coverage";

const KYNKAANNIEMI: &str = "Kynkäänniemi et al. 2019";
const NAEEM: &str = "Naeem et al. 2020";

pub(super) const ENTRIES: &[DriftMetric] = &[
    entry(PRECISION, "current rows among the reference rows", SHARE, UP, KYNKAANNIEMI),
    entry(RECALL, "reference rows among the current rows", SHARE, UP, KYNKAANNIEMI),
    entry(DENSITY, "how many reference neighbourhoods hold a current row", FROM_0, UP, NAEEM),
    entry(COVERAGE, "reference neighbourhoods that hold a current row", SHARE, UP, NAEEM),
];

/// Precision, recall, density and coverage of the current rows with regard to the reference.
///
/// # Errors
/// Values that have no Euclidean distance, and what reading rows reports.
pub(super) fn manifold<T: Real>(
    reference: &Dataset,
    current: &Dataset,
    k: usize,
    progress: &dyn Progress,
) -> Result<[Measured; 4]> {
    let (rows, others) = (reference.len(), current.len());
    if rows.min(others) <= k {
        let reason = format!("it needs more than {k} rows in either set, the number of neighbours");
        return Ok([(); 4].map(|()| Err(reason.clone())));
    }
    let radii = |dataset: &Dataset| -> Result<Vec<f64>> {
        let pairs = BoundedPairs::<T>::new(dataset, None, Distance::Euclidean, progress)?;
        let queries: Vec<usize> = (0..dataset.len()).collect();
        pairs.nearest(&queries, |_| k, |_, found| found.last().map_or(0.0, |last| last.distance))
    };
    let (reference_radii, current_radii) = (radii(reference)?, radii(current)?);
    let pairs = BoundedPairs::<T>::new(reference, Some(current), Distance::Euclidean, progress)?;
    let Balls { pairs, queries_inside, gallery_met, gallery_inside } = pairs.balls(&reference_radii, &current_radii)?;
    let share = |count: usize, of: usize| Ok(count as f64 / of as f64);
    Ok([
        share(queries_inside, others),
        share(gallery_inside, rows),
        Ok(pairs as f64 / (k as f64 * others as f64)),
        share(gallery_met, rows),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::NoProgress;
    use ndarray::Array2;

    fn measured(reference: Array2<f64>, current: Array2<f64>, k: usize) -> [Measured; 4] {
        let sets = [reference, current].map(|rows| {
            let labels = vec![0; rows.nrows()];
            Dataset::new(rows, labels).unwrap()
        });
        manifold::<f64>(&sets[0], &sets[1], k, &NoProgress).unwrap()
    }

    #[test]
    fn hand_worked_rows_on_a_line() {
        // Radii of 0, 2, 3: 2, 1, 1. Radii of 1.5, 9, 10: 7.5, 1, 1.
        let found = measured(ndarray::array![[0.0], [2.0], [3.0]], ndarray::array![[1.5], [9.0], [10.0]], 1);
        // 1.5 is inside the balls of 0 and of 2. All of the reference is inside the ball of 1.5.
        assert_eq!(found, [Ok(1.0 / 3.0), Ok(1.0), Ok(2.0 / 3.0), Ok(2.0 / 3.0)]);
    }

    #[test]
    fn too_few_rows_have_a_reason() {
        let found = measured(ndarray::array![[0.0], [2.0]], ndarray::array![[1.5], [9.0], [10.0]], 2);
        assert!(found.iter().all(|found| found.as_ref().is_err_and(|reason| reason.contains("more than 2 rows"))));
    }
}
