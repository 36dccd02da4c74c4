//! Sums over all pairs of rows for the supervised contrastive loss and its gradient, tile by tile; no N x N matrix is
//! stored.
//!
//! The positives need no pairs: the sum of their z_i.z_p is z_i.(S_c - z_i), where S_c is the sum of the class.

use std::ops::Range;

use ndarray::Array2;
use rayon::prelude::*;

use crate::data::Dataset;
use crate::distance::Distance;
use crate::error::Result;
use crate::kernels::dense::{RowScale, lane_sum, lane_sum_2, largest_magnitude};
use crate::kernels::exponential::exp_and_exp_m1;
use crate::kernels::gemm::{multiply_columns, multiply_transposed};
use crate::kernels::parallel;
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::kernels::{Real, Rounding, sort_by_class};
use crate::progress::Progress;

/// Rows per side of a tile.
const TILE: usize = 256;

/// Columns whose contributions to a gradient are summed in the type of the products. The rows of a tight class are
/// nearly equal, and a sum of k of them is rounded the same way each time: by up to k / 2 units in the last place.
const DEPTH: usize = 32;

/// The assumed error of a gradient's entry, in units in the last place of the summed magnitudes: vectors, weights and
/// sums are rounded.
const UNITS: f64 = 12.0;

/// Unit vectors sorted by class, prepared for sums over their pairs.
pub(crate) struct ContrastivePairs<'a, T> {
    units: Units<T>,
    progress: &'a dyn Progress,
}

impl<'a, T: Real> ContrastivePairs<'a, T> {
    /// # Errors
    /// Values that are not finite, zero vectors, and errors from reading rows.
    pub(crate) fn new(dataset: &Dataset, progress: &'a dyn Progress) -> Result<Self> {
        dataset.check_values_for::<T>(Distance::Cosine)?;
        Ok(ContrastivePairs { units: Units::new(dataset)?, progress })
    }

    /// The loss at a temperature, and its gradient with respect to the rows (N x d, in row order) as given. `None` if
    /// products of this type leave too little accuracy in the gradient, which never happens with float64.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled).
    pub(crate) fn loss_and_gradient(&self, t: f64) -> Result<Option<(f64, Array2<T>)>> {
        let ContrastivePairs { units, progress } = self;
        let progress = *progress;
        let size = largest_magnitude(&units.vectors);
        let (n, d) = (units.class_of.len(), units.dimensions);
        progress.begin("pairs of rows", 2 * n as u64);
        let rows: Vec<Range<usize>> = (0..n).step_by(TILE).map(|start| start..(start + TILE).min(n)).collect();
        let log_sums = parallel::try_map_with(&rows, |buffers, rows| {
            let sums = vectorized(LogSums { units, t, rows: rows.clone(), progress, buffers });
            progress.advance(rows.len() as u64);
            sums
        })?;
        let log_sums = log_sums.concat();
        let anchors = (0..n).filter(|&position| units.positives(position) > 0).count().max(1) as f64;
        let mut sorted = vec![T::default(); n * d];
        let parts: Vec<(f64, Rounding)> =
            parallel::try_map_with(sorted.chunks_mut(TILE * d).zip(&rows), |buffers, (gradient, rows)| {
                let (log_sums, share, rows) = (&log_sums[..], 1.0 / (anchors * t), rows.clone());
                progress.advance(rows.len() as u64);
                vectorized(Gradient { units, t, log_sums, share, size, rows, progress, gradient, buffers })
            })?;
        progress.end();
        let rounding = parts.iter().fold(Rounding::default(), |rounding, (_, part)| rounding.or(*part));
        if rounding.is_too_much_for::<T>() {
            return Ok(None);
        }
        let mut gradient = Array2::from_elem((n, d), T::default());
        for (values, &row) in sorted.chunks_exact(d).zip(&units.order) {
            gradient.row_mut(row).iter_mut().zip(values).for_each(|(target, value)| *target = *value);
        }
        Ok(Some((parts.iter().map(|(loss, _)| loss).sum::<f64>() / anchors, gradient)))
    }
}

/// Unit vectors sorted by class.
struct Units<T> {
    dimensions: usize,
    order: Vec<usize>,
    class_of: Vec<u32>,
    counts: Vec<usize>,
    vectors: Vec<T>,
    scales: Vec<RowScale>,
    /// S_c.
    class_sums: Vec<f64>,
    /// The rows as given, in the same order.
    rows: Vec<T>,
}

impl<T: Real> Units<T> {
    fn new(dataset: &Dataset) -> Result<Self> {
        let (n, d) = (dataset.len(), dataset.dimensions());
        let labels = dataset.labels();
        let (order, _) = sort_by_class(labels.codes(), labels.counts());
        let class_of: Vec<u32> = order.iter().map(|&row| labels.codes()[row]).collect();
        let mut rows = Vec::with_capacity(n * d);
        let mut buffer = Vec::new();
        for &row in &order {
            rows.extend_from_slice(dataset.rows::<T>(row..row + 1, &mut buffer)?);
        }
        let scales: Vec<RowScale> = rows.par_chunks_exact(d).map(RowScale::unit).collect();
        let mut vectors = rows.clone();
        vectors.par_chunks_exact_mut(d).zip(&scales).for_each(|(vector, scale)| {
            vector.iter_mut().for_each(|value| *value = T::from_f64(scale.apply(value.to_f64())));
        });
        let mut class_sums = vec![0.0; labels.classes() * d];
        for ((row, scale), &class) in rows.chunks_exact(d).zip(&scales).zip(&class_of) {
            let sums = &mut class_sums[class as usize * d..(class as usize + 1) * d];
            sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += scale.apply(value.to_f64()));
        }
        Ok(Units {
            dimensions: d,
            order,
            class_of,
            counts: labels.counts().to_vec(),
            vectors,
            scales,
            class_sums,
            rows,
        })
    }

    /// |P(i)|.
    fn positives(&self, position: usize) -> usize {
        self.counts[self.class_of[position] as usize] - 1
    }

    fn vectors(&self, rows: &Range<usize>) -> &[T] {
        &self.vectors[rows.start * self.dimensions..rows.end * self.dimensions]
    }

    /// The products of a tile of rows with all rows, one tile of columns at a time; -infinity for a row with itself.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled).
    #[inline(always)]
    fn for_each_tile(
        &self,
        rows: &Range<usize>,
        tile: &mut Vec<T>,
        progress: &dyn Progress,
        mut with: impl FnMut(Range<usize>, &mut [T]),
    ) -> Result<()> {
        let n = self.class_of.len();
        for start in (0..n).step_by(TILE) {
            progress.check()?;
            let columns = start..(start + TILE).min(n);
            tile.resize(rows.len() * columns.len(), T::default());
            multiply_transposed(self.vectors(rows), self.vectors(&columns), self.dimensions, tile);
            if columns.start == rows.start {
                for position in 0..rows.len() {
                    tile[position * columns.len() + position] = T::from_f64(f64::NEG_INFINITY);
                }
            }
            with(columns, tile);
        }
        Ok(())
    }
}

struct Buffers<T> {
    tile: Vec<T>,
    product: Vec<T>,
    exponentials: Vec<f64>,
}

impl<T> Default for Buffers<T> {
    fn default() -> Self {
        Buffers { tile: Vec::new(), product: Vec::new(), exponentials: Vec::new() }
    }
}

/// For each row, the logarithm of the sum of exp(z_i.z_a / t) over the other rows.
struct LogSums<'t, T> {
    units: &'t Units<T>,
    t: f64,
    rows: Range<usize>,
    progress: &'t dyn Progress,
    buffers: &'t mut Buffers<T>,
}

impl<T: Real> Vectorized for LogSums<'_, T> {
    type Output = Result<Vec<f64>>;

    #[inline(always)]
    fn run(self) -> Result<Vec<f64>> {
        let LogSums { units, t, rows, progress, buffers } = self;
        let Buffers { tile, exponentials, .. } = buffers;
        let rate = 1.0 / t;
        // The largest product so far, and the sum of the exponentials relative to it.
        let mut running = vec![(f64::NEG_INFINITY, 0.0); rows.len()];
        units.for_each_tile(&rows, tile, progress, |columns, tile| {
            exponentials.resize(columns.len(), 0.0);
            for ((largest, sum), products) in running.iter_mut().zip(tile.chunks_exact(columns.len())) {
                let here = products.iter().fold(f64::NEG_INFINITY, |largest, value| {
                    let value = value.to_f64();
                    if value > largest { value } else { largest }
                });
                if here > *largest {
                    *sum *= exp_and_exp_m1((*largest - here) * rate).0;
                    *largest = here;
                }
                if *largest == f64::NEG_INFINITY {
                    continue;
                }
                for (exponential, product) in exponentials.iter_mut().zip(products) {
                    *exponential = exp_and_exp_m1((product.to_f64() - *largest) * rate).0;
                }
                *sum += lane_sum(exponentials, |value| value);
            }
        })?;
        Ok(running.into_iter().map(|(largest, sum)| largest * rate + sum.ln()).collect())
    }
}

/// The gradient of a tile of rows; returns the sum of the losses of its anchors.
struct Gradient<'t, T> {
    units: &'t Units<T>,
    t: f64,
    log_sums: &'t [f64],
    share: f64,
    /// The largest entry of all vectors.
    size: f64,
    rows: Range<usize>,
    progress: &'t dyn Progress,
    gradient: &'t mut [T],
    buffers: &'t mut Buffers<T>,
}

impl<T: Real> Vectorized for Gradient<'_, T> {
    type Output = Result<(f64, Rounding)>;

    #[inline(always)]
    fn run(self) -> Result<(f64, Rounding)> {
        let Gradient { units, t, log_sums, share, size, rows, progress, gradient, buffers } = self;
        let Buffers { tile, product, exponentials } = buffers;
        let (d, rate) = (units.dimensions, 1.0 / t);
        let mut sums = vec![0.0; rows.len() * d];
        let mut row_weights = vec![0.0; rows.len()];
        product.resize(rows.len() * d, T::default());
        // Rows without a positive are not anchors, but they are negatives of others.
        let is_anchor = |position: usize| if units.positives(position) > 0 { 1.0 } else { 0.0 };
        units.for_each_tile(&rows, tile, progress, |columns, tile| {
            let width = columns.len();
            let column_anchors: Vec<f64> = columns.clone().map(is_anchor).collect();
            exponentials.resize(width, 0.0);
            let lists = rows.clone().zip(&mut row_weights).zip(tile.chunks_exact_mut(width));
            for ((position, row_weight), weights) in lists {
                let (own, log_sum) = (is_anchor(position), log_sums[position]);
                for (exponential, value) in exponentials.iter_mut().zip(&*weights) {
                    *exponential = own * exp_and_exp_m1(value.to_f64() * rate - log_sum).0;
                }
                let others = column_anchors.iter().zip(&log_sums[columns.clone()]);
                for ((weight, exponential), (anchor, log_sum)) in weights.iter_mut().zip(&*exponentials).zip(others) {
                    let other = anchor * exp_and_exp_m1(weight.to_f64() * rate - log_sum).0;
                    *weight = T::from_f64(exponential + other);
                }
                *row_weight += lane_sum(weights, |weight| weight.to_f64());
            }
            for start in (0..width).step_by(DEPTH) {
                let part = start..(start + DEPTH).min(width);
                let rows = columns.start + part.start..columns.start + part.end;
                multiply_columns(tile, width, part, units.vectors(&rows), product);
                for (sum, value) in sums.iter_mut().zip(product.iter()) {
                    *sum += value.to_f64();
                }
            }
        })?;
        let (mut total, mut rounding) = (0.0, Rounding::default());
        let mut unit = vec![0.0; d];
        let lists = rows.clone().zip(sums.chunks_exact_mut(d)).zip(gradient.chunks_exact_mut(d));
        for (((position, sums), gradient), row_weight) in lists.zip(row_weights) {
            let scale = units.scales[position];
            scale.apply_to(&units.rows[position * d..(position + 1) * d], &mut unit);
            let class = units.class_of[position] as usize;
            let class_sum = &units.class_sums[class * d..(class + 1) * d];
            let positives = units.positives(position) as f64;
            if positives > 0.0 {
                let similar = lane_sum_2(class_sum, &unit, |sum, unit| (sum - unit) * unit);
                total += log_sums[position] - similar * rate / positives;
                for ((sum, class_sum), unit) in sums.iter_mut().zip(class_sum).zip(&unit) {
                    *sum -= 2.0 / positives * (class_sum - unit);
                }
            }
            // The component along a row does not change its direction.
            let along = lane_sum_2(sums, &unit, |value, unit| value * unit);
            for ((target, sum), unit) in gradient.iter_mut().zip(&*sums).zip(&unit) {
                *target = T::from_f64(share * scale.apply(sum - along * unit));
            }
            let error = UNITS * 0.5 * T::EPSILON * row_weight * size;
            rounding =
                rounding.or(Rounding { error: share * scale.apply(error), largest: largest_magnitude(gradient) });
        }
        Ok((total, rounding))
    }
}
