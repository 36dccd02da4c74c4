//! The rows of both sets on the two directions in which they vary most.

use std::collections::HashMap;

use ndarray::Array2;

use crate::data::{Dataset, drawn};
use crate::drift::DriftSet;
use crate::drift::classes::classes_of;
use crate::drift::moments::add_outer;
use crate::error::Result;
use crate::kernels::{Covariance, Eigen, covariance};
use crate::metrics::projection::{PROJECTED_DIMENSIONS, Spectrum, places};
use crate::progress::Progress;

/// Rows of each set that are projected.
const POINTS: usize = 2_000;

/// Some rows of both sets in two dimensions: the principal components of both together, in which each set has the same
/// weight, however many rows it has.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JointProjection {
    /// Rows of the reference, then current rows.
    pub points: [Vec<JointPoint>; 2],
    /// The shares of the variance along the two directions.
    pub shares: [f64; 2],
    /// The number of dimensions of the rows.
    pub dimensions: usize,
}

/// A row of one of the sets.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct JointPoint {
    /// Its number in the stored embeddings.
    pub row: usize,
    /// Its class as an index into the classes of the [result](crate::drift::DriftResult), where both sets have labels.
    pub class: Option<usize>,
    /// Its coordinate along the first direction.
    pub x: f64,
    /// Its coordinate along the second direction.
    pub y: f64,
}

/// Projects both sets; up to 2,000 rows of each, drawn with `seed`. `None` for statistics, which have no rows, and for
/// rows of so many dimensions that their principal components would take minutes.
///
/// # Errors
/// Errors from reading rows, and [`Error::Cancelled`](crate::Error::Cancelled).
pub fn joint_projection(
    reference: &DriftSet<'_>,
    current: &DriftSet<'_>,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Option<JointProjection>> {
    let (Some(first), Some(second)) = (reference.rows(), current.rows()) else { return Ok(None) };
    let dimensions = first.dimensions();
    if dimensions > PROJECTED_DIMENSIONS || dimensions != second.dimensions() {
        return Ok(None);
    }
    let (mean, matrix) = joint(&covariance(first, progress)?, &covariance(second, progress)?);
    // If squares overflow, there is no covariance.
    if !matrix.iter().all(|value| value.is_finite()) {
        return Ok(None);
    }
    let Eigen { values, vectors } = Eigen::of(&matrix, 2)?;
    let shares = Spectrum::new(values, first.len() + second.len()).shares();
    let share = |direction: usize| shares.get(direction).copied().unwrap_or(0.0);
    let codes = if reference.has_labels() && current.has_labels() {
        let classes = classes_of([first, second]);
        let of_set = |set: usize| -> HashMap<u32, usize> {
            classes.iter().enumerate().filter_map(|(place, class)| Some((class.codes[set]?, place))).collect()
        };
        Some([of_set(0), of_set(1)])
    } else {
        None
    };
    let points = |set: usize, rows: &Dataset<'_>| {
        let class = |row: usize| codes.as_ref().and_then(|codes| codes[set].get(&rows.labels().codes()[row]).copied());
        points(rows, class, (&mean, &vectors), seed)
    };
    Ok(Some(JointProjection {
        points: [points(0, first)?, points(1, second)?],
        shares: [share(0), share(1)],
        dimensions,
    }))
}

/// Mean and covariance of two sets of equal weight.
fn joint(first: &Covariance, second: &Covariance) -> (Vec<f64>, Array2<f64>) {
    let mean = first.mean.iter().zip(&second.mean).map(|(x, y)| x + 0.5 * (y - x)).collect();
    let apart: Vec<f64> = first.mean.iter().zip(&second.mean).map(|(x, y)| y - x).collect();
    let mut matrix = 0.5 * &first.matrix + 0.5 * &second.matrix;
    add_outer(&mut matrix, 0.25, &apart);
    (mean, matrix)
}

fn points(
    dataset: &Dataset<'_>,
    class: impl Fn(usize) -> Option<usize>,
    (mean, directions): (&[f64], &Array2<f64>),
    seed: u64,
) -> Result<Vec<JointPoint>> {
    let rows = if dataset.len() > POINTS { drawn(dataset.len(), POINTS, seed) } else { (0..dataset.len()).collect() };
    let mut points = Vec::with_capacity(rows.len());
    let mut buffer = Vec::new();
    dataset.selected().choose(&rows).for_each_window::<f64>(|window| {
        let range = window.range();
        let block = window.rows(range.clone(), &mut buffer)?;
        let places = places(block.chunks_exact(dataset.dimensions()), mean, directions);
        let placed = rows[range].iter().zip(places);
        points.extend(placed.map(|(&row, [x, y])| JointPoint {
            row: dataset.source_row(row),
            class: class(row),
            x,
            y,
        }));
        Ok(())
    })?;
    Ok(points)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{EmbeddingRows, LabelColumn, Origin, RowChoice};
    use crate::progress::NoProgress;

    #[test]
    fn sets_of_unequal_sizes_have_the_same_weight() {
        // Around the middle of the means, (2, 0): -2 and 2 along x for each set, and -1 and 1 along y in the second.
        let reference = ndarray::array![[0.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]];
        let current = ndarray::array![[4.0, 1.0], [4.0, -1.0]];
        let sets = [reference, current].map(|rows| DriftSet::unlabelled(rows).unwrap());
        let found = joint_projection(&sets[0], &sets[1], 0, &NoProgress).unwrap().unwrap();
        // Variances 4 along x, and half of 1 along y.
        assert!((found.shares[0] - 4.0 / 4.5).abs() < 1e-14 && (found.shares[1] - 0.5 / 4.5).abs() < 1e-14);
        let across: Vec<f64> = found.points.iter().flatten().map(|point| point.x.abs()).collect();
        assert!(across.iter().all(|x| (x - 2.0).abs() < 1e-14), "{across:?}");
        assert!(found.points[0][0].x * found.points[1][0].x < 0.0);
        assert_eq!(found.points[1].iter().map(|point| point.row).collect::<Vec<_>>(), [0, 1]);
        assert!(found.points.iter().flatten().all(|point| point.class.is_none()));
    }

    #[test]
    fn classes_are_those_of_the_result() {
        let rows = ndarray::array![[0.0, 0.0], [1.0, 2.0], [3.0, 1.0]];
        let set = |labels: [&str; 3]| {
            let labels = LabelColumn::from_labels(labels);
            DriftSet::labelled(EmbeddingRows::from(rows.clone()), &labels, &RowChoice::default()).unwrap()
        };
        let (reference, current) = (set(["b", "a", "b"]), set(["c", "b", "b"]));
        let found = joint_projection(&reference, &current, 0, &NoProgress).unwrap().unwrap();
        let classes = |set: usize| found.points[set].iter().map(|point| point.class).collect::<Vec<_>>();
        // The reference has a and b; c comes after them.
        assert_eq!((classes(0), classes(1)), (vec![Some(1), Some(0), Some(1)], vec![Some(2), Some(1), Some(1)]));
    }

    #[test]
    fn statistics_have_no_rows_to_project() {
        let rows = DriftSet::unlabelled(ndarray::array![[0.0], [1.0]]).unwrap();
        let statistics = DriftSet::statistics(Origin::new("s"), vec![0.0], ndarray::array![[1.0]]).unwrap();
        assert!(joint_projection(&rows, &statistics, 0, &NoProgress).unwrap().is_none());
    }
}
