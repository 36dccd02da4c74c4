//! The gradient of a loss of mean Euclidean distances: every pair of rows contributes along its difference.
//!
//! With S_ic = dL/dD_ic divided by the number of members that D_ic is a mean of, row i of class c and row j of class c'
//! contribute (S_ic' + S_jc) (x_i - x_j) / |x_i - x_j| to the gradient with respect to row i. Rows that coincide
//! contribute 0, which is one of the subgradients there.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::Result;
use crate::kernels::dense::{lane_sum, squared_distance};
use crate::kernels::gemm::multiply;
use crate::kernels::pairs::{FillTile, PairTiles, TILE, Workspace, tiles};
use crate::kernels::parallel;
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::kernels::{DistanceLoss, PassOptions, Real, RowFold};

/// Collects the mean distances of a row, then replaces them by the derivatives with respect to them.
struct Slopes<'l, L> {
    loss: &'l L,
    classes: usize,
}

impl<L: DistanceLoss> RowFold for Slopes<'_, L> {
    type State = (usize, Vec<f64>);
    type Output = (f64, Vec<f64>);

    fn start(&self, _index: usize, own: usize) -> Self::State {
        (own, Vec::with_capacity(self.classes))
    }

    fn absorb(&self, state: &mut Self::State, _first: usize, distances: &[f64]) {
        state.1.extend_from_slice(distances);
    }

    fn finish(&self, (own, distances): Self::State) -> Self::Output {
        let mut slopes = vec![0.0; distances.len()];
        (self.loss.differentiate(own, &distances, &mut slopes), slopes)
    }
}

impl<T: Real> PairTiles<'_, T> {
    /// The sum of the parts of all rows, and `factor` times its derivatives with respect to the mean distances of each row
    /// (N x K, rows by class), divided by the number of members that each is a mean of.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn slopes<L: DistanceLoss>(&self, loss: &L, factor: f64) -> Result<(f64, Vec<Vec<f64>>)> {
        let fold = Slopes { loss, classes: self.class_weights.len() };
        let mut rows = self.pass(&fold, PassOptions::default())?.rows;
        let total = rows.iter().map(|(part, _)| part).sum();
        let mut slopes: Vec<Vec<f64>> = self.order.iter().map(|&row| std::mem::take(&mut rows[row].1)).collect();
        slopes.par_iter_mut().zip(&self.class_of).for_each(|(slopes, &own)| {
            for (class, (slope, weight)) in slopes.iter_mut().zip(self.class_weights).enumerate() {
                let others = if class == own as usize { weight - 1.0 } else { *weight };
                *slope = if others > 0.0 { factor * *slope / others } else { 0.0 };
            }
        });
        Ok((total, slopes))
    }

    /// The gradient of a loss with these [`slopes`](Self::slopes), for Euclidean distance; N x d, in row order.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled).
    pub(crate) fn gradient(&self, slopes: &[Vec<f64>]) -> Result<Vec<T>> {
        let (n, d) = (self.order.len(), self.dataset.dimensions());
        let mut sorted = vec![T::default(); n * d];
        self.progress.begin("gradient", n as u64 * n as u64);
        parallel::try_map_with(sorted.chunks_mut(TILE * d).zip(tiles(0..n)), |buffers, (gradient, rows)| {
            vectorized(RowsTask { kernel: self, slopes, rows, gradient, buffers })
        })?;
        self.progress.end();
        let mut gradient = vec![T::default(); n * d];
        for (values, &row) in sorted.chunks_exact(d).zip(&self.order) {
            gradient[row * d..(row + 1) * d].copy_from_slice(values);
        }
        Ok(gradient)
    }
}

#[derive(Default)]
struct Buffers<T> {
    workspace: Workspace<T>,
    /// The slopes of the columns of a tile with respect to the class of a row.
    column_slopes: Vec<f64>,
    product: Vec<T>,
}

/// A tile of rows against all rows.
struct RowsTask<'t, 'a, T> {
    kernel: &'t PairTiles<'a, T>,
    /// For each row, the derivatives with respect to its mean distances, divided by the numbers of members.
    slopes: &'t [Vec<f64>],
    rows: Range<usize>,
    gradient: &'t mut [T],
    buffers: &'t mut Buffers<T>,
}

impl<T: Real> Vectorized for RowsTask<'_, '_, T> {
    type Output = Result<()>;

    #[inline(always)]
    fn run(self) -> Result<()> {
        let RowsTask { kernel, slopes, rows, gradient, buffers } = self;
        let Buffers { workspace, column_slopes, product } = buffers;
        let d = kernel.dataset.dimensions();
        let mut sums = vec![0.0; rows.len() * d];
        let mut row_weights = vec![0.0; rows.len()];
        product.resize(rows.len() * d, T::default());
        for columns in tiles(0..kernel.order.len()) {
            kernel.lay_out(&columns, &mut workspace.packed);
            vectorized(FillTile { kernel, rows: rows.clone(), columns: columns.clone(), workspace });
            let width = columns.len();
            let mut last_class = None;
            for (position, weights) in workspace.tile.chunks_exact_mut(width).enumerate() {
                let row = rows.start + position;
                let class = kernel.class_of[row] as usize;
                if last_class != Some(class) {
                    column_slopes.clear();
                    column_slopes.extend(slopes[columns.clone()].iter().map(|slopes| slopes[class]));
                    last_class = Some(class);
                }
                let own = &slopes[row];
                let column_classes = &kernel.class_of[columns.clone()];
                for ((weight, column_slope), &column_class) in
                    weights.iter_mut().zip(column_slopes.iter()).zip(column_classes)
                {
                    let distance = weight.to_f64();
                    let slope = (own[column_class as usize] + column_slope) / distance;
                    *weight = T::from_f64(if distance > 0.0 { slope } else { 0.0 });
                }
                row_weights[position] += lane_sum(weights, |weight| weight.to_f64());
            }
            multiply(&workspace.tile, &kernel.centred[columns.start * d..columns.end * d], width, product);
            for (sum, value) in sums.iter_mut().zip(product.iter()) {
                *sum -= value.to_f64();
            }
            for &(row, column) in &workspace.cancelled {
                let (row, column) = (row as usize, column as usize);
                let (x, y) = (&kernel.rows[row * d..(row + 1) * d], &kernel.rows[column * d..(column + 1) * d]);
                let distance = squared_distance(x, y).sqrt();
                if distance > 0.0 {
                    let (class, other) = (kernel.class_of[row] as usize, kernel.class_of[column] as usize);
                    let weight = (slopes[row][other] + slopes[column][class]) / distance;
                    let target = &mut sums[(row - rows.start) * d..(row - rows.start + 1) * d];
                    for ((sum, x), y) in target.iter_mut().zip(x).zip(y) {
                        *sum += weight * (x.to_f64() - y.to_f64());
                    }
                }
            }
            kernel.progress.step((rows.len() * width) as u64)?;
        }
        let centred = &kernel.centred[rows.start * d..rows.end * d];
        for ((gradient, sums), (centred, weight)) in
            gradient.chunks_exact_mut(d).zip(sums.chunks_exact(d)).zip(centred.chunks_exact(d).zip(row_weights))
        {
            for ((target, sum), value) in gradient.iter_mut().zip(sums).zip(centred) {
                *target = T::from_f64(sum + weight * value.to_f64());
            }
        }
        Ok(())
    }
}
