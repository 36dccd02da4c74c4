//! Sums over rows of the products of two spaces, which relate the dimensions of one to those of the other.
//!
//! Rows are read in float64 and centred by the known means of both spaces, so that no offset cancels. Blocks of rows
//! are added in order.

use ndarray::Array2;
use rayon::prelude::*;

use crate::data::Dataset;
use crate::error::Result;
use crate::kernels::gemm::transposed_multiply;
use crate::progress::Progress;

/// Rows per block.
const BLOCK_ROWS: usize = 1024;

/// Dimensions of the first space multiplied by one task.
const PANEL: usize = 64;

/// Sums over the rows x of one space and y of another, both centred.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CrossProducts {
    /// d x d': the sum of x y^T.
    pub(crate) matrix: Array2<f64>,
    /// The sums of |x|^2 |y|^2, |x|^4 and |y|^4.
    pub(crate) squares: [f64; 3],
}

/// Computes the sums in one pass over both spaces, which must have the same number of rows.
///
/// # Errors
/// Errors from reading rows, and [`Error::Cancelled`](crate::Error::Cancelled).
pub(crate) fn cross_products(
    left: (&Dataset, &[f64]),
    right: (&Dataset, &[f64]),
    progress: &dyn Progress,
) -> Result<CrossProducts> {
    let ((left, left_mean), (right, right_mean)) = (left, right);
    let (d, other_d) = (left_mean.len(), right_mean.len());
    let mut panels: Vec<Panel> = (0..d)
        .step_by(PANEL)
        .map(|start| {
            let width = PANEL.min(d - start);
            Panel { start, width, values: Vec::new(), product: Vec::new(), sum: vec![0.0; width * other_d] }
        })
        .collect();
    let mut squares = [0.0; 3];
    let (mut x, mut y) = (Vec::new(), Vec::new());
    let (mut read_x, mut read_y) = (Vec::new(), Vec::new());
    progress.begin("cross products", left.len() as u64);
    left.selected().for_each_window::<f64>(|window| {
        for start in window.range().step_by(BLOCK_ROWS) {
            let rows = start..(start + BLOCK_ROWS).min(window.range().end);
            centre(window.rows(rows.clone(), &mut read_x)?, left_mean, &mut x);
            centre(right.rows::<f64>(rows.clone(), &mut read_y)?, right_mean, &mut y);
            for (x, y) in x.chunks_exact(d).zip(y.chunks_exact(other_d)) {
                let square = |row: &[f64]| row.iter().map(|value| value * value).sum::<f64>();
                let (x, y) = (square(x), square(y));
                for (sum, product) in squares.iter_mut().zip([x * y, x * x, y * y]) {
                    *sum += product;
                }
            }
            let (x, y) = (&x, &y);
            panels.par_iter_mut().for_each(|panel| panel.add(x, d, y));
            progress.step(rows.len() as u64)?;
        }
        Ok(())
    })?;
    progress.end();
    let sums = panels.into_iter().flat_map(|panel| panel.sum).collect();
    Ok(CrossProducts { matrix: Array2::from_shape_vec((d, other_d), sums).unwrap_or_default(), squares })
}

fn centre(block: &[f64], mean: &[f64], out: &mut Vec<f64>) {
    out.resize(block.len(), 0.0);
    let d = mean.len().max(1);
    out.par_chunks_mut(64 * d).zip(block.par_chunks(64 * d)).for_each(|(out, block)| {
        for (out, row) in out.chunks_exact_mut(d).zip(block.chunks_exact(d)) {
            for ((out, value), mean) in out.iter_mut().zip(row).zip(mean) {
                *out = value - mean;
            }
        }
    });
}

/// Some dimensions of the first space with all of the second.
struct Panel {
    start: usize,
    width: usize,
    values: Vec<f64>,
    product: Vec<f64>,
    sum: Vec<f64>,
}

impl Panel {
    fn add(&mut self, x: &[f64], d: usize, y: &[f64]) {
        let rows = x.len() / d;
        self.values.clear();
        self.values.extend(x.chunks_exact(d).flat_map(|row| &row[self.start..self.start + self.width]));
        self.product.resize(self.sum.len(), 0.0);
        transposed_multiply(&self.values, y, rows, &mut self.product);
        for (sum, product) in self.sum.iter_mut().zip(&self.product) {
            *sum += product;
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;
    use crate::progress::NoProgress;

    #[test]
    fn sums_are_those_of_centred_rows() {
        let labels = [0, 0, 1, 1];
        let x = array![[1.0], [3.0], [5.0], [7.0]];
        let y = array![[1e9, 2.0], [1e9, 0.0], [1e9, 4.0], [1e9 + 4.0, 2.0]];
        let (left, right) = (Dataset::new(&x, labels).unwrap(), Dataset::new(&y, labels).unwrap());
        let found = cross_products((&left, &[4.0]), (&right, &[1e9 + 1.0, 2.0]), &NoProgress).unwrap();
        // x - 4 = -3, -1, 1, 3; y - mean = (-1, 0), (-1, -2), (-1, 2), (3, 0).
        assert_eq!(found.matrix, array![[3.0 + 1.0 - 1.0 + 9.0, 2.0 + 2.0]]);
        assert_eq!(found.squares, [9.0 + 5.0 + 5.0 + 81.0, 81.0 + 1.0 + 1.0 + 81.0, 1.0 + 25.0 + 25.0 + 81.0]);
    }

    #[test]
    fn panels_and_blocks_leave_no_trace() {
        let (n, d, other_d) = (2 * BLOCK_ROWS + 37, PANEL + 9, 3);
        let value = |row: usize, k: usize| ((row * 31 + k * 17) % 23) as f64 - 11.0;
        let x = Array2::from_shape_fn((n, d), |(row, k)| value(row, k));
        let y = Array2::from_shape_fn((n, other_d), |(row, k)| value(row + 5, 3 * k));
        let labels: Vec<usize> = (0..n).map(|row| row % 2).collect();
        let left = Dataset::new(&x, labels.iter().copied()).unwrap();
        let right = Dataset::new(&y, labels.iter().copied()).unwrap();
        let found = cross_products((&left, &vec![0.0; d]), (&right, &[0.0; 3]), &NoProgress).unwrap();
        assert_eq!(found.matrix, x.t().dot(&y));
    }
}
