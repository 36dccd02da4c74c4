//! The Fréchet distance of two normal distributions with the means and covariances of the sets: of Inception features
//! this is the FID.
//!
//! tr (S1^1/2 S2 S1^1/2)^1/2 is the sum of the singular values of R1^T R2 for any R with S = R R^T. Those of a product of
//! two roots are as accurate as its largest element allows, where eigenvalues of a product of two covariances lose half
//! of their digits to the square root that is taken of them.

use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt::factor::{LltRegularization, cholesky_in_place, cholesky_in_place_scratch};
use faer::{MatMut, Par};
use ndarray::Array2;
use rayon::prelude::*;

use crate::drift::entry::{DOWN, DriftMetric, FROM_0, entry};
use crate::drift::moments::{BLOCKS, BlockMoments, Moments};
use crate::error::{Error, Result};
use crate::kernels::{Eigen, Factor, product, rounding_of, singular_values};
use crate::progress::Progress;

pub(super) const FRECHET_DISTANCE: &str = "frechet_distance";

pub(super) const ENTRIES: &[DriftMetric] = &[entry(
    FRECHET_DISTANCE,
    "distance of means and covariances (FID of Inception features)",
    FROM_0,
    DOWN,
    "Dowson & Landau 1982, Heusel et al. 2017",
)
.by_class()];

/// Half of the width of a 95 % interval, in standard errors, by Student's t with 2 (BLOCKS - 1) degrees of freedom.
const HALF_WIDTH: f64 = 2.100_922_040_240_960_4;

/// Columns of the left root that one task multiplies, and of the right one that it multiplies them with at once.
const TASK: usize = 64;

/// |m1 - m2|^2 + tr(S1 + S2 - 2 (S1^1/2 S2 S1^1/2)^1/2).
///
/// # Errors
/// Values that are not finite.
pub(super) fn frechet_distance(first: &Moments, second: &Moments) -> Result<f64> {
    let (left, right) = rayon::join(|| Root::of(&first.covariance), || Root::of(&second.covariance));
    distance((first, &left?), (second, &right?))
}

/// The same with a 95 % interval by a jackknife that leaves out blocks of rows of either set in turn: how far it would
/// move with other rows of the same sources, as many as these.
///
/// # Errors
/// Values that are not finite, and [`Error::Cancelled`].
pub(super) fn with_interval(
    first: &BlockMoments,
    second: &BlockMoments,
    progress: &dyn Progress,
) -> Result<(f64, [f64; 2])> {
    let (all_first, all_second) = (first.all(), second.all());
    let (left, right) = rayon::join(|| Root::of(&all_first.covariance), || Root::of(&all_second.covariance));
    let (left, right) = (left?, right?);
    let value = distance((&all_first, &left), (&all_second, &right))?;
    progress.begin("jackknife", (first.blocks() + second.blocks()) as u64);
    let mut variance = 0.0;
    for (set, whole, root) in [(first, &all_second, &right), (second, &all_first, &left)] {
        let without: Vec<f64> = (0..set.blocks())
            .into_par_iter()
            .map(|block| {
                progress.check()?;
                let rest = set.without(block);
                let distance = distance((&rest, &Root::of(&rest.covariance)?), (whole, root))?;
                progress.step(1)?;
                Ok(distance)
            })
            .collect::<Result<_>>()?;
        variance += jackknife_variance(&without);
    }
    progress.end();
    let half = HALF_WIDTH * variance.sqrt();
    Ok((value, [(value - half).max(0.0), value + half]))
}

/// Whether a set has enough rows for [`with_interval`].
pub(super) fn has_interval(rows: usize) -> bool {
    rows >= 2 * BLOCKS
}

/// (B - 1) / B sum (x_b - mean)^2.
fn jackknife_variance(without: &[f64]) -> f64 {
    let count = without.len() as f64;
    let mean = without.iter().sum::<f64>() / count;
    (count - 1.0) / count * without.iter().map(|value| (value - mean).powi(2)).sum::<f64>()
}

fn distance((first, left): (&Moments, &Root), (second, right): (&Moments, &Root)) -> Result<f64> {
    let apart: f64 = first.mean.iter().zip(&second.mean).map(|(x, y)| (x - y).powi(2)).sum();
    let both = first.variance() + second.variance();
    Ok((apart + (both - 2.0 * left.overlap(right)?)).max(0.0))
}

/// The columns of a matrix R with S = R R^T, one after the other.
struct Root {
    dimensions: usize,
    /// Whether R is lower triangular.
    is_triangular: bool,
    columns: Vec<f64>,
}

impl Root {
    /// A Cholesky factor or, where the matrix has none because it is singular, the scaled eigenvectors.
    fn of(covariance: &Array2<f64>) -> Result<Self> {
        let d = covariance.nrows();
        let mut columns: Vec<f64> = covariance.iter().copied().collect();
        let mut memory = MemBuffer::new(cholesky_in_place_scratch::<f64>(d, Par::Seq, Default::default()));
        let factor = cholesky_in_place(
            MatMut::from_column_major_slice_mut(&mut columns, d, d),
            LltRegularization::default(),
            Par::Seq,
            MemStack::new(&mut memory),
            Default::default(),
        );
        if factor.is_ok() {
            for (k, column) in columns.chunks_exact_mut(d).enumerate() {
                column[..k].fill(0.0);
            }
            return Ok(Root { dimensions: d, is_triangular: true, columns });
        }
        let Eigen { values, vectors } = Eigen::of(covariance, d)?;
        let rounding = rounding_of(&values);
        let kept = values.iter().zip(vectors.rows()).take_while(|(value, _)| **value > rounding);
        let columns = kept.flat_map(|(value, vector)| {
            let length = value.sqrt();
            vector.iter().map(move |element| length * element).collect::<Vec<f64>>()
        });
        Ok(Root { dimensions: d, is_triangular: false, columns: columns.collect() })
    }

    /// How many elements are known to be 0 at the start of all columns from one on.
    fn zeros(&self, column: usize) -> usize {
        if self.is_triangular { column } else { 0 }
    }

    /// The sum of the singular values of R1^T R2.
    fn overlap(&self, other: &Root) -> Result<f64> {
        let d = self.dimensions;
        let (rows, columns) = (self.columns.len() / d, other.columns.len() / d);
        if rows == 0 || columns == 0 {
            return Ok(0.0);
        }
        let mut matrix = vec![0.0; rows * columns];
        matrix.par_chunks_mut(TASK * columns).enumerate().for_each(|(task, out)| {
            let row = task * TASK;
            for column in (0..columns).step_by(TASK) {
                let zeros = self.zeros(row).max(other.zeros(column));
                let left = Factor::of_rows(&self.columns[row * d + zeros..], d);
                let right = Factor::of_columns(&other.columns[column * d + zeros..], d);
                let shape = (out.len() / columns, TASK.min(columns - column), d - zeros);
                product(shape, left, right, &mut out[column..], columns);
            }
        });
        let values = singular_values(&matrix, rows, columns).ok_or_else(|| Error::Setting {
            problem: "the covariances hold values that are not finite".to_owned(),
            cure: None,
        })?;
        Ok(values.into_iter().sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mean: &[f64], covariance: Array2<f64>) -> Moments {
        Moments { mean: mean.to_vec(), covariance }
    }

    #[test]
    fn diagonal_covariances_have_a_closed_form() {
        // |m|^2 = 25, and (2 - 1)^2 + (3 - 5)^2 of the standard deviations.
        let first = moments(&[0.0, 0.0], ndarray::array![[4.0, 0.0], [0.0, 9.0]]);
        let second = moments(&[3.0, 4.0], ndarray::array![[1.0, 0.0], [0.0, 25.0]]);
        assert!((frechet_distance(&first, &second).unwrap() - 30.0).abs() < 1e-12);
        assert_eq!(frechet_distance(&first, &first).unwrap(), 0.0);
    }

    #[test]
    fn two_by_two_covariances_have_one_too() {
        // tr (S1 S2)^1/2 = (tr S1 S2 + 2 (det S1 det S2)^1/2)^1/2 for 2 x 2 matrices.
        let (first, second) = (ndarray::array![[2.0, 1.0], [1.0, 3.0]], ndarray::array![[5.0, -2.0], [-2.0, 1.0]]);
        let overlap = ((first.dot(&second)).diag().sum() + 2.0 * (5.0_f64 * 1.0).sqrt()).sqrt();
        let expected = 5.0 + 6.0 - 2.0 * overlap;
        let found = frechet_distance(&moments(&[0.0; 2], first), &moments(&[0.0; 2], second)).unwrap();
        assert!((found - expected).abs() < 1e-13, "{found} {expected}");
    }

    #[test]
    fn singular_covariances_have_a_distance() {
        // Along (1, 1) with variance 4, and along (1, 0) with variance 9: they overlap by 2 * 3 * cos 45.
        let first = moments(&[0.0; 2], ndarray::array![[2.0, 2.0], [2.0, 2.0]]);
        let second = moments(&[0.0; 2], ndarray::array![[9.0, 0.0], [0.0, 0.0]]);
        let expected = 4.0 + 9.0 - 2.0 * 6.0 * 0.5_f64.sqrt();
        assert!((frechet_distance(&first, &second).unwrap() - expected).abs() < 1e-12);
        let none = moments(&[1.0; 2], Array2::zeros((2, 2)));
        assert!((frechet_distance(&first, &none).unwrap() - 6.0).abs() < 1e-14);
    }

    #[test]
    fn covariances_with_the_same_axes_differ_by_their_standard_deviations() {
        let d = 150;
        let axis: Vec<f64> = (0..d).map(|k| (1.0 + (k * 7 % 11) as f64) / 10.0).collect();
        let length: f64 = axis.iter().map(|x| x * x).sum();
        // Q diag(s)^2 Q with Q = I - 2 u u^T.
        let along = |deviations: &[f64]| {
            let q = |row: usize, column: usize| {
                f64::from(u8::from(row == column)) - 2.0 * axis[row] * axis[column] / length
            };
            let element = |(row, column): (usize, usize)| -> f64 {
                (0..d).map(|k| q(row.max(column), k) * deviations[k].powi(2) * q(k, row.min(column))).sum()
            };
            moments(&vec![0.0; d], Array2::from_shape_fn((d, d), element))
        };
        let regular: Vec<f64> = (0..d).map(|k| 0.5 + (k * 5 % 13) as f64).collect();
        let other: Vec<f64> = (0..d).map(|k| 1.0 + (k * 3 % 7) as f64).collect();
        // With fewer axes than dimensions, so that it has no Cholesky factor.
        let singular: Vec<f64> = (0..d).map(|k| if k % 4 == 0 { 0.0 } else { other[k] }).collect();
        for (first, second) in [(&regular, &other), (&regular, &singular), (&singular, &regular)] {
            let expected: f64 = first.iter().zip(second).map(|(x, y)| (x - y).powi(2)).sum();
            let found = frechet_distance(&along(first), &along(second)).unwrap();
            assert!((found - expected).abs() < 1e-11 * expected, "{found} {expected}");
        }
    }

    #[test]
    fn the_jackknife_of_a_mean_is_its_variance() {
        // Means of 1, 2, 3, 6 without each: the variance of the mean is 14 / 3 / 4.
        let without = [11.0 / 3.0, 10.0 / 3.0, 3.0, 2.0];
        assert!((jackknife_variance(&without) - 14.0 / 12.0).abs() < 1e-15);
    }

    #[test]
    fn values_that_are_not_finite_are_an_error() {
        let broken = moments(&[0.0], ndarray::array![[f64::NAN]]);
        assert!(frechet_distance(&broken, &moments(&[0.0], ndarray::array![[1.0]])).is_err());
    }
}
