//! Projections of rows on the directions in which they vary most (principal components), and the distribution of the
//! variance.

use ndarray::Array2;

use crate::metrics::spectrum::{entropy, shares};

/// The maximum number of dimensions of rows that are projected; the eigenvalues of more would take minutes.
pub(crate) const PROJECTED_DIMENSIONS: usize = 4_096;

/// Some rows in two dimensions.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Projection {
    pub points: Vec<Point>,
    /// The shares of the variance along the two directions.
    pub shares: [f64; 2],
}

/// A row's coordinates along the two directions.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Point {
    /// The index among the scored rows.
    pub row: usize,
    pub x: f64,
    pub y: f64,
}

/// Coordinates of rows, less the mean of all, along unit vectors (one per row of `directions`); 0 along a missing
/// direction.
pub fn places<'a>(rows: impl Iterator<Item = &'a [f64]>, mean: &[f64], directions: &Array2<f64>) -> Vec<[f64; 2]> {
    let along = |row: &[f64], direction: usize| match directions.rows().into_iter().nth(direction) {
        Some(direction) => {
            row.iter().zip(mean).zip(direction).map(|((value, mean), part)| (value - mean) * part).sum::<f64>()
        }
        None => 0.0,
    };
    rows.map(|row| [along(row, 0), along(row, 1)]).collect()
}

/// The eigenvalues of the covariance of the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrum {
    /// In descending order; none is negative.
    eigenvalues: Vec<f64>,
    /// The number of rows that the covariance comes from.
    rows: usize,
}

impl Spectrum {
    /// The spectrum of eigenvalues in descending order. Negative values are 0 up to rounding.
    pub fn new(eigenvalues: Vec<f64>, rows: usize) -> Self {
        Spectrum { eigenvalues: eigenvalues.into_iter().map(|value| value.max(0.0)).collect(), rows }
    }

    /// d.
    pub fn dimensions(&self) -> usize {
        self.eigenvalues.len()
    }

    /// The singular values of the centred rows, in descending order.
    pub fn singular_values(&self) -> Vec<f64> {
        self.eigenvalues.iter().map(|value| (value * self.rows as f64).sqrt()).collect()
    }

    /// The share of the variance along each direction; all 0 if there is none.
    pub fn shares(&self) -> Vec<f64> {
        if self.is_empty() { vec![0.0; self.dimensions()] } else { shares(&self.eigenvalues) }
    }

    /// The cumulative shares of the variance along the first directions.
    pub fn cumulative_shares(&self) -> Vec<f64> {
        let mut held = 0.0;
        let add = |share: f64| {
            held += share;
            f64::min(held, 1.0)
        };
        self.shares().into_iter().map(add).collect()
    }

    /// exp of the entropy of the shares; `None` if all rows coincide.
    pub fn effective_rank(&self) -> Option<f64> {
        (!self.is_empty()).then(|| entropy(&shares(&self.eigenvalues)).exp())
    }

    /// Whether all rows coincide.
    fn is_empty(&self) -> bool {
        self.eigenvalues.first().is_none_or(|&largest| largest <= 0.0)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;

    #[test]
    fn rows_are_placed_along_directions() {
        let rows: [&[f64]; 2] = [&[1.0, 2.0, 3.0], &[0.0, 0.0, 0.0]];
        let directions = array![[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]];
        assert_eq!(places(rows.into_iter(), &[1.0, 1.0, 1.0], &directions), [[2.0, 0.0], [-1.0, -1.0]]);
        assert_eq!(places(rows.into_iter(), &[0.0; 3], &array![[0.0, 1.0, 0.0]]), [[2.0, 0.0], [0.0, 0.0]]);
    }

    #[test]
    fn shares_and_rank_follow_from_eigenvalues() {
        let spectrum = Spectrum::new(vec![2.0, 2.0, -1e-17], 8);
        assert_eq!(spectrum.cumulative_shares(), [0.5, 1.0, 1.0]);
        assert_eq!(spectrum.singular_values(), [4.0, 4.0, 0.0]);
        assert!((spectrum.effective_rank().unwrap() - 2.0).abs() < 1e-15);
        let collapsed = Spectrum::new(vec![0.0, 0.0], 8);
        assert_eq!((collapsed.effective_rank(), collapsed.shares()), (None, vec![0.0, 0.0]));
    }
}
