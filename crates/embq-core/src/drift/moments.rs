//! Means and covariances of a set, whole and without some of its rows.

use ndarray::{Array2, Axis};

use crate::data::{Dataset, shuffled};
use crate::error::Result;
use crate::kernels::{Covariance, covariance};
use crate::progress::Progress;

/// Blocks of rows that are left out in turn.
pub(super) const BLOCKS: usize = 10;

/// Mean and covariance of a set.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Moments {
    /// d values.
    pub mean: Vec<f64>,
    /// d x d, divided by N - 1.
    pub covariance: Array2<f64>,
}

impl Moments {
    /// The sum of the variances of all dimensions.
    pub fn variance(&self) -> f64 {
        self.covariance.diag().sum()
    }
}

/// The moments of rows that are divided into blocks at random.
pub(super) struct BlockMoments {
    rows: f64,
    mean: Vec<f64>,
    /// Sums of products of the rows less their mean.
    scatter: Array2<f64>,
    blocks: Vec<Covariance>,
}

impl BlockMoments {
    /// Reads the rows once, block by block. They have to be readable in any order.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub fn new(dataset: &Dataset, seed: u64, progress: &dyn Progress) -> Result<Self> {
        let order = shuffled(dataset.len(), seed);
        let mut blocks: Vec<Covariance> = Vec::with_capacity(BLOCKS);
        for block in 0..BLOCKS {
            let mut rows = order[block * order.len() / BLOCKS..(block + 1) * order.len() / BLOCKS].to_vec();
            rows.sort_unstable();
            if !rows.is_empty() {
                blocks.push(covariance(&dataset.subset(&rows), progress)?);
            }
        }
        let rows = dataset.len() as f64;
        // The first mean is the origin, so that a common offset does not cancel.
        let mut mean = blocks.first().map_or_else(Vec::new, |first| first.mean.clone());
        let origin = mean.clone();
        for block in &blocks {
            let share = block.rows as f64 / rows;
            for ((mean, own), origin) in mean.iter_mut().zip(&block.mean).zip(&origin) {
                *mean += share * (own - origin);
            }
        }
        let d = dataset.dimensions();
        let mut scatter = Array2::zeros((d, d));
        for block in &blocks {
            let count = block.rows as f64;
            scatter.scaled_add(count, &block.matrix);
            add_outer(&mut scatter, count, &less(&block.mean, &mean));
        }
        Ok(BlockMoments { rows, mean, scatter, blocks })
    }

    /// The moments of all rows, of which there are two or more.
    pub fn all(&self) -> Moments {
        Moments { mean: self.mean.clone(), covariance: &self.scatter / (self.rows - 1.0) }
    }

    /// The number of blocks.
    pub fn blocks(&self) -> usize {
        self.blocks.len()
    }

    /// The moments of all rows but those of a block.
    pub fn without(&self, block: usize) -> Moments {
        let left_out = &self.blocks[block];
        let count = left_out.rows as f64;
        let rest = self.rows - count;
        let apart = less(&left_out.mean, &self.mean);
        let mut covariance = self.scatter.clone();
        covariance.scaled_add(-count, &left_out.matrix);
        add_outer(&mut covariance, -count * self.rows / rest, &apart);
        covariance /= rest - 1.0;
        let mean = self.mean.iter().zip(&apart).map(|(mean, apart)| mean - count / rest * apart).collect();
        Moments { mean, covariance }
    }
}

/// x - y.
pub(super) fn less(x: &[f64], y: &[f64]) -> Vec<f64> {
    x.iter().zip(y).map(|(x, y)| x - y).collect()
}

/// Adds a multiple of the products of all elements of a vector.
pub(super) fn add_outer(matrix: &mut Array2<f64>, factor: f64, vector: &[f64]) {
    for (mut row, value) in matrix.axis_iter_mut(Axis(0)).zip(vector) {
        let factor = factor * value;
        row.iter_mut().zip(vector).for_each(|(target, value)| *target += factor * value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::NoProgress;

    fn values(rows: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, 3), |(i, j)| 1e3 + ((i * 37 + j * 101 + i * j * 13) % 97) as f64 / 97.0)
    }

    /// The definition.
    fn plain(values: &Array2<f64>, rows: &[usize]) -> Moments {
        let chosen = values.select(Axis(0), rows);
        let mean: Vec<f64> =
            chosen.columns().into_iter().map(|c| 1e3 + c.mapv(|x| x - 1e3).sum() / rows.len() as f64).collect();
        let covariance = Array2::from_shape_fn((3, 3), |(j, k)| {
            let products = chosen.rows().into_iter().map(|x| (x[j] - mean[j]) * (x[k] - mean[k]));
            products.sum::<f64>() / (rows.len() - 1) as f64
        });
        Moments { mean, covariance }
    }

    fn assert_close(found: &Moments, expected: &Moments) {
        for (found, expected) in found.mean.iter().zip(&expected.mean) {
            assert!((found - expected).abs() < 1e-11, "{found} {expected}");
        }
        for (found, expected) in found.covariance.iter().zip(&expected.covariance) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
    }

    #[test]
    fn leaving_a_block_out_is_reading_the_others() {
        let values = values(37);
        let dataset = Dataset::new(values.clone(), vec![0; 37]).unwrap();
        let found = BlockMoments::new(&dataset, 7, &NoProgress).unwrap();
        assert_close(&found.all(), &plain(&values, &(0..37).collect::<Vec<_>>()));
        let order = shuffled(37, 7);
        assert_eq!(found.blocks(), 10);
        for block in 0..10 {
            let left_out = &order[37 * block / 10..37 * (block + 1) / 10];
            let others: Vec<usize> = (0..37).filter(|row| !left_out.contains(row)).collect();
            assert_close(&found.without(block), &plain(&values, &others));
        }
    }
}
