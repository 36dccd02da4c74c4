//! The gradient of a loss of mean distances from class means, without computing pairs.
//!
//! D_ic = f_ic (|x_i - mu_c|^2 + V_c), where f_ic is 1/2 for cosine and, for the own class, includes n / (n - 1). With
//! H_ic = f_ic dL/dD_ic, the gradient with respect to row j of class c is
//!
//! ```text
//! 2 sum_c' H_jc' (x_j - mu_c')  +  2/n_c (h_c x_j - W_c),   h_c = sum_i H_ic,   W_c = sum_i H_ic x_i
//! ```
//!
//! The first part comes from the row's own distances, the second from its effect on the class mean and variance, to
//! which all rows are compared, including itself. This takes two matrix products: H times the means, and the transpose
//! of H times the rows.

use rayon::prelude::*;

use crate::data::{Precision, Window};
use crate::error::Result;
use crate::kernels::closed_form::{BLOCK_ROWS, BlockBuffers, ClosedForm, PanelBuffers};
use crate::kernels::dense::{RowScale, lane_sum, lane_sum_2, largest_magnitude};
use crate::kernels::gemm::{Packed, multiply_packed, transposed_multiply};
use crate::kernels::in_order::blocks_at_once;
use crate::kernels::parallel;
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::kernels::workspaces::Workspaces;
use crate::kernels::{DistanceLoss, Real, Rounding};

impl<T: Real> ClosedForm<'_, T> {
    /// The sum of the parts of all rows, and `factor` times its gradient.
    ///
    /// The products are of type `T`, their sums over blocks float64. If errors of float32 distances are not small
    /// compared to the resolution of the loss, the distances are computed by a float64 product. `None` if float32
    /// products leave too little accuracy in the gradient.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn gradient<L: DistanceLoss>(&self, loss: &L, factor: f64) -> Result<Option<(f64, Vec<T>)>> {
        let (rows, d, classes) = (self.dataset.len(), self.sums.dimensions(), self.sums.classes());
        let mut gradient = vec![T::default(); rows * d];
        let mut total = 0.0;
        let mut class_slopes = vec![0.0; classes];
        let mut class_sizes = vec![0.0; classes];
        let mut vectors = vec![0.0; classes * d];
        let mut row_sizes = vec![0.0; rows];
        let mean_sizes: Vec<f64> = self.means.chunks_exact(d).map(largest_magnitude).collect();
        self.progress.begin("gradient", rows as u64);
        // Buffers are kept from one run of blocks to the next.
        let at_once = blocks_at_once(classes * (d + BLOCK_ROWS));
        let mut results: Vec<BlockResult<T>> = (0..at_once).map(|_| BlockResult::default()).collect();
        let workspaces = Workspaces::default();
        let means = Packed::of(&transposed(&self.means, d), classes);
        self.dataset.selected().for_each_window::<T>(|window| {
            let range = window.range();
            let runs = gradient[range.start * d..range.end * d].chunks_mut(at_once * BLOCK_ROWS * d);
            let size_runs = row_sizes[range.clone()].chunks_mut(at_once * BLOCK_ROWS);
            for (run, (own_parts, row_sizes)) in runs.zip(size_runs).enumerate() {
                let start = range.start + run * at_once * BLOCK_ROWS;
                let rows = own_parts.len() / d;
                let parts = own_parts.chunks_mut(BLOCK_ROWS * d).zip(row_sizes.chunks_mut(BLOCK_ROWS));
                parallel::try_map(parts.zip(&mut results).enumerate(), |(index, ((own_part, row_sizes), result))| {
                    let first = start + index * BLOCK_ROWS;
                    let block = first..first + row_sizes.len();
                    let (kernel, means, mean_sizes) = (self, &means, &mean_sizes[..]);
                    workspaces.with(|workspace| {
                        vectorized(BlockTask {
                            kernel,
                            means,
                            mean_sizes,
                            loss,
                            window,
                            block,
                            own_part,
                            row_sizes,
                            workspace,
                            result,
                        })
                    })
                })?;
                // In order, so that sums do not depend on the number of threads.
                for result in &results[..rows.div_ceil(BLOCK_ROWS)] {
                    total += result.parts;
                    add(&mut class_slopes, &result.class_slopes);
                    add(&mut class_sizes, &result.class_sizes);
                    let pieces = vectors.par_chunks_mut(classes).zip(result.vectors.par_chunks(classes));
                    pieces.for_each(|(sums, parts)| add(sums, parts));
                }
                self.progress.step(rows as u64)?;
            }
            Ok(())
        })?;
        self.progress.end();
        let vectors = transposed(&vectors, classes);
        // From the gradient with respect to centred and scaled rows to that of the rows as compared.
        let factor = 2.0 * factor * self.centre.scale;
        let sums = Sums { class_slopes, class_sizes, vectors, row_sizes };
        let mut rounding = Rounding::default();
        self.dataset.selected().for_each_window::<T>(|window| {
            let range = window.range();
            let blocks = gradient[range.start * d..range.end * d].chunks_mut(BLOCK_ROWS * d).enumerate();
            let here = parallel::try_map_with(blocks, |buffers, (index, gradient)| {
                self.progress.check()?;
                let start = range.start + index * BLOCK_ROWS;
                vectorized(FinishTask { kernel: self, window, start, sums: &sums, factor, gradient, buffers })
            })?;
            rounding = here.into_iter().fold(rounding, Rounding::or);
            Ok(())
        })?;
        Ok((!rounding.is_too_much_for::<T>()).then_some((total, gradient)))
    }
}

/// The sums over all rows for each class, and the magnitudes to which rounding is compared.
struct Sums {
    /// h_c, and W_c as K x d.
    class_slopes: Vec<f64>,
    vectors: Vec<f64>,
    /// For each class, an upper bound of the magnitudes summed in an entry of W_c, and for each row, of those summed in
    /// an entry of its own part.
    class_sizes: Vec<f64>,
    row_sizes: Vec<f64>,
}

impl<T: Real> ClosedForm<'_, T> {
    /// Whether errors of the product of these rows and the means would matter at a resolution of distances.
    #[inline(always)]
    pub(super) fn is_too_coarse_for(&self, resolution: f64, squares: &[f64]) -> bool {
        let scaled = resolution * self.centre.scale * self.centre.scale / self.half();
        let largest = squares.iter().chain(&self.constants).fold(0.0, |largest: f64, &value| largest.max(value));
        T::EPSILON * largest > SEEN * scaled
    }
}

/// How many products of rows and means are computed before they are used.
pub(super) const PRODUCTS: usize = 1 << 17;

/// The assumed error of an entry, in units in the last place of the summed magnitudes: rows, means and weights are
/// rounded, so are the sums, and the distances that the weights come from have errors of a few more. By this count, a
/// gradient of data without structure has an error of 3e-6 of its largest entry.
const UNITS: f64 = 12.0;

/// Errors of distances below this share of the resolution change each derivative by less than 2e-6 of it.
const SEEN: f64 = 2e-6;

#[inline(always)]
fn add<T: Real>(sums: &mut [f64], parts: &[T]) {
    for (sum, part) in sums.iter_mut().zip(parts) {
        *sum += part.to_f64();
    }
}

/// The results of a block of rows.
#[derive(Default)]
struct BlockResult<T> {
    /// The sum of the parts of its rows.
    parts: f64,
    /// h_c and W_c over its rows; the latter as dimensions x classes.
    class_slopes: Vec<f64>,
    vectors: Vec<T>,
    /// [`Sums::class_sizes`] over its rows.
    class_sizes: Vec<f64>,
}

struct BlockTask<'t, 'a, T, L> {
    kernel: &'t ClosedForm<'a, T>,
    /// Dimensions x classes.
    means: &'t Packed<T>,
    /// The largest entry of each mean.
    mean_sizes: &'t [f64],
    loss: &'t L,
    window: &'t Window<'a, T>,
    block: std::ops::Range<usize>,
    /// The contribution of the rows' own distances to their gradient, halved.
    own_part: &'t mut [T],
    /// [`Sums::row_sizes`].
    row_sizes: &'t mut [f64],
    workspace: &'t mut Workspace<T>,
    result: &'t mut BlockResult<T>,
}

#[derive(Default)]
struct Workspace<T> {
    source: Vec<T>,
    block: BlockBuffers<T>,
    buffers: PanelBuffers<T>,
    own_squares: Vec<f64>,
    slopes: Vec<f64>,
    weights: Vec<T>,
}

impl<T: Real, L: DistanceLoss> Vectorized for BlockTask<'_, '_, T, L> {
    type Output = Result<()>;

    #[inline(always)]
    fn run(self) -> Result<()> {
        let BlockTask { kernel, means, mean_sizes, loss, window, block, own_part, row_sizes, workspace, result } = self;
        let (rows, d, classes) = (block.len(), kernel.sums.dimensions(), kernel.sums.classes());
        let Workspace { source, block: block_buffers, buffers, own_squares, slopes, weights } = workspace;
        let mut block_rows = block_buffers.fill(kernel, window.rows(block.clone(), source)?, block.clone());
        let widened = kernel.is_too_coarse_for(loss.resolution(), block_rows.squares);
        if widened {
            block_rows = kernel.with_exact_own_squares(block_rows, own_squares);
        }
        slopes.resize(classes, 0.0);
        weights.resize(rows * classes, T::default());
        let BlockResult { parts, class_slopes, vectors, class_sizes } = result;
        *parts = 0.0;
        for sums in [&mut *class_slopes, &mut *class_sizes] {
            sums.clear();
            sums.resize(classes, 0.0);
        }
        vectors.resize(classes * d, T::default());
        let common = kernel.half() / (kernel.centre.scale * kernel.centre.scale);
        let mut row_slopes = vec![0.0; rows];
        let step = (PRODUCTS / classes).max(16);
        for first in (0..rows).step_by(step) {
            let piece = block_rows.part(first..(first + step).min(rows), d);
            let mut panel_rows = kernel.panel(&piece, 0..classes, widened, buffers);
            while let Some(position) = panel_rows.next() {
                let (row, own) = piece.members[position];
                *parts += loss.differentiate(own, panel_rows.distances(), slopes);
                let others = kernel.dataset.weight_of_others(row);
                slopes[own] *= if others > 0.0 { kernel.sums.weight[own] / others } else { 0.0 };
                let weights = &mut weights[(first + position) * classes..][..classes];
                for (weight, slope) in weights.iter_mut().zip(slopes.iter()) {
                    *weight = without_subnormal(*slope * common);
                }
                row_slopes[first + position] = lane_sum(weights, |weight| weight.to_f64());
                add(class_slopes, weights);
                if T::PRECISION == Precision::F32 {
                    let size = largest_magnitude(&piece.centred[position * d..(position + 1) * d]);
                    row_sizes[first + position] =
                        lane_sum_2(weights, mean_sizes, |weight, mean| weight.to_f64().abs() * (mean + size));
                    for (sum, weight) in class_sizes.iter_mut().zip(weights.iter()) {
                        *sum += weight.to_f64().abs() * size;
                    }
                }
            }
        }
        let centred = block_rows.centred;
        multiply_packed(weights, means, 0..d, own_part);
        for ((part, centred), sum) in own_part.chunks_exact_mut(d).zip(centred.chunks_exact(d)).zip(row_slopes) {
            for (part, value) in part.iter_mut().zip(centred) {
                *part = T::from_f64(sum * value.to_f64() - part.to_f64());
            }
        }
        // The larger factor is on the right, where the crate uses it in place.
        transposed_multiply(centred, weights, rows, vectors);
        Ok(())
    }
}

/// The transpose of a matrix whose rows have `width` values.
fn transposed<T: Real>(matrix: &[T], width: usize) -> Vec<T> {
    (0..width).flat_map(|column| matrix.iter().skip(column).step_by(width).copied()).collect()
}

/// A number, or 0 if it is so small that products with it would be slow and contribute nothing.
#[inline(always)]
pub(super) fn without_subnormal<T: Real>(value: f64) -> T {
    if value.abs() < T::UNDERFLOW { T::default() } else { T::from_f64(value) }
}

/// Adds the contribution of a row's class mean and variance, and applies the derivative of its normalisation.
struct FinishTask<'t, 'a, T> {
    kernel: &'t ClosedForm<'a, T>,
    window: &'t Window<'a, T>,
    start: usize,
    sums: &'t Sums,
    factor: f64,
    gradient: &'t mut [T],
    buffers: &'t mut (Vec<T>, Vec<f64>, Vec<f64>),
}

impl<T: Real> Vectorized for FinishTask<'_, '_, T> {
    type Output = Result<Rounding>;

    #[inline(always)]
    fn run(self) -> Result<Rounding> {
        let FinishTask { kernel, window, start, sums, factor, gradient, buffers } = self;
        let mut rounding = Rounding::default();
        let d = kernel.sums.dimensions();
        let (source, exact, sum) = buffers;
        exact.resize(d, 0.0);
        sum.resize(d, 0.0);
        let block = window.rows(start..start + gradient.len() / d, source)?;
        for ((position, row), gradient) in block.chunks_exact(d).enumerate().zip(gradient.chunks_exact_mut(d)) {
            let class = kernel.dataset.labels().codes()[start + position] as usize;
            let share = 1.0 / kernel.sums.weight[class];
            let scale = RowScale::of(row, kernel.unit);
            scale.apply_to(row, exact);
            kernel.centre_row(row, scale, sum);
            let (class_slope, vectors) = (sums.class_slopes[class], &sums.vectors[class * d..(class + 1) * d]);
            for ((sum, vector), part) in sum.iter_mut().zip(vectors).zip(&*gradient) {
                *sum = factor * (part.to_f64() + share * (class_slope * *sum - vector));
            }
            let size = sums.row_sizes[start + position] + share * sums.class_sizes[class];
            let error = UNITS * 0.5 * T::EPSILON * factor.abs() * size;
            if kernel.unit {
                // The component along a row does not change its direction.
                let along = lane_sum_2(sum, exact, |value, unit| value * unit);
                for (sum, unit) in sum.iter_mut().zip(&*exact) {
                    *sum = scale.apply(*sum - along * unit);
                }
            }
            for (target, value) in gradient.iter_mut().zip(&*sum) {
                *target = T::from_f64(*value);
            }
            rounding = rounding.or(Rounding { error: scale.apply(error), largest: largest_magnitude(sum) });
        }
        Ok(rounding)
    }
}
