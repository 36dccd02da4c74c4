//! The Fréchet distance of two normal distributions with the means and covariances of the sets: of Inception features
//! this is the FID.
//!
//! tr (S1^1/2 S2 S1^1/2)^1/2 is the sum of the singular values of R1^T R2 for any R with S = R R^T. Those of a product of
//! two roots are as accurate as its largest element allows, where eigenvalues of a product of two covariances lose half
//! of their digits to the square root that is taken of them.

use faer::linalg::solvers::Llt;
use faer::{Mat, Side};
use ndarray::Array2;
use rayon::prelude::*;

use crate::drift::entry::{DOWN, DriftMetric, FROM_0, entry};
use crate::drift::moments::{BLOCKS, BlockMoments, Moments};
use crate::error::{Error, Result};
use crate::kernels::{Eigen, Packed, multiply_packed, rounding_of};
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

/// Rows of a product that one task computes.
const TASK_ROWS: usize = 64;

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
    columns: Vec<f64>,
}

impl Root {
    /// A Cholesky factor or, where the matrix has none because it is singular, the scaled eigenvectors.
    fn of(covariance: &Array2<f64>) -> Result<Self> {
        let d = covariance.nrows();
        let matrix = Mat::from_fn(d, d, |row, column| covariance[[row, column]]);
        if let Ok(factor) = Llt::new(matrix.as_ref(), Side::Lower) {
            let factor = factor.L();
            let column = |k: usize| (0..d).map(move |row| if row < k { 0.0 } else { factor[(row, k)] });
            return Ok(Root { dimensions: d, columns: (0..d).flat_map(column).collect() });
        }
        let Eigen { values, vectors } = Eigen::of(covariance, d)?;
        let rounding = rounding_of(&values);
        let kept = values.iter().zip(vectors.rows()).take_while(|(value, _)| **value > rounding);
        let columns = kept.flat_map(|(value, vector)| {
            let length = value.sqrt();
            vector.iter().map(move |element| length * element).collect::<Vec<f64>>()
        });
        Ok(Root { dimensions: d, columns: columns.collect() })
    }

    /// The sum of the singular values of R1^T R2.
    fn overlap(&self, other: &Root) -> Result<f64> {
        let d = self.dimensions;
        let (rows, columns) = (self.columns.len() / d, other.columns.len() / d);
        if rows == 0 || columns == 0 {
            return Ok(0.0);
        }
        let right = Packed::of(&other.columns, d);
        let mut product = vec![0.0; rows * columns];
        product
            .par_chunks_mut(TASK_ROWS * columns)
            .zip(self.columns.par_chunks(TASK_ROWS * d))
            .for_each(|(product, left)| multiply_packed(left, &right, 0..columns, product));
        let failed =
            || Error::Setting { problem: "the covariances hold values that are not finite".to_owned(), cure: None };
        if product.iter().any(|value| !value.is_finite()) {
            return Err(failed());
        }
        let matrix = Mat::from_fn(rows, columns, |row, column| product[row * columns + column]);
        Ok(matrix.singular_values().map_err(|_| failed())?.into_iter().sum())
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
