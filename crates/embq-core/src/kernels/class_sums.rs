//! Class means and variances, in one pass over the rows.

use std::ops::Range;

use rayon::prelude::*;

use crate::data::{Dataset, Element, ValueScan};
use crate::error::Result;
use crate::kernels::centre::{Centre, Sample};
use crate::kernels::dense::{
    COSINE_ZERO, LANES, RowScale, cosine_or_zero, lane_sum, lane_sum_2, lane_sum_3, squared_norm,
};
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::progress::Progress;

/// Rows per step. The scale of each is computed once, before the slices of dimensions are summed.
const BLOCK_ROWS: usize = 2048;

/// A class whose variance is a smaller share of the terms it came from is summed again around its mean.
const ILL_CONDITIONED: f64 = 1e-5;

/// A mean of unit vectors shorter than this is 0 up to rounding and has no direction.
const NO_DIRECTION: f64 = 1e-14;

/// Mean and variance of every class.
///
/// Sums run over differences to a reference row, the first of the class, not over the rows themselves. A tight class
/// far from the origin thus loses no accuracy, and a class of identical rows has a variance of exactly 0. The mean is
/// stored as reference and offset, and differences to it are computed in that order.
pub(crate) struct ClassSums {
    dimensions: usize,
    reference: Vec<f64>,
    offset: Vec<f64>,
    /// The mean squared distance of the rows of a class to its mean.
    pub(crate) variance: Vec<f64>,
    /// The total weight of a class.
    pub(crate) weight: Vec<f64>,
}

impl ClassSums {
    /// The classes of which these are known, of unit vectors or of rows as they are. The mean is the sum of reference and
    /// offset, K x d each.
    pub(crate) fn new(
        dimensions: usize,
        unit: bool,
        weight: Vec<f64>,
        reference: Vec<f64>,
        offset: Vec<f64>,
        mut variance: Vec<f64>,
    ) -> Self {
        for variance in &mut variance {
            *variance = variance_or_zero(*variance, unit);
        }
        ClassSums { dimensions, reference, offset, variance, weight }
    }

    /// Sums the rows, or their unit vectors, and takes their centre, in one pass in which every value is checked.
    ///
    /// # Errors
    /// Errors from reading rows, and values that have no distance.
    pub(crate) fn with_centre<T: Element>(
        dataset: &Dataset,
        unit: bool,
        progress: &dyn Progress,
    ) -> Result<(Self, Centre)> {
        let classes = dataset.labels().classes();
        let mut sums = ClassSums {
            dimensions: dataset.dimensions(),
            reference: vec![0.0; classes * dataset.dimensions()],
            offset: Vec::new(),
            variance: Vec::new(),
            weight: dataset.class_weights().to_vec(),
        };
        let mut scan = ValueScan::new(dataset.selected(), dataset.distance());
        let mut sample = Sample::new(dataset.len(), dataset.dimensions(), unit);
        let squares = sums.accumulate::<T>(dataset, unit, None, progress, |start, block, scales| {
            // A row of ordinary length has no invalid value.
            if !unit || scales.iter().any(|scale| !scale.is_ordinary()) {
                scan.add(start, block);
            }
            sample.take(start, block);
        })?;
        scan.finish::<T>()?;
        let ill: Vec<bool> = (0..classes)
            .map(|class| squares[class] > 0.0 && sums.variance[class] < ILL_CONDITIONED * squares[class])
            .collect();
        if ill.contains(&true) {
            sums.accumulate::<T>(dataset, unit, Some(&ill), progress, |_, _, _| {})?;
        }
        Ok((sums, sample.centre()))
    }

    /// Sums around the first row of each class, or, for the classes in `again`, around the mean found before. Returns
    /// the mean squared distance of each class to its reference. `watch` sees every block with the scales of its rows.
    fn accumulate<T: Element>(
        &mut self,
        dataset: &Dataset,
        unit: bool,
        again: Option<&[bool]>,
        progress: &dyn Progress,
        mut watch: impl FnMut(usize, &[T], &[RowScale]),
    ) -> Result<Vec<f64>> {
        let (rows, d, classes) = (dataset.len(), self.dimensions, self.weight.len());
        let width = slice_width(d);
        let mut slices: Vec<Slice> = (0..d)
            .step_by(width)
            .map(|start| Slice::new(start..(start + width).min(d), classes, again.map(|again| (&*self, again))))
            .collect();
        let codes = dataset.labels().codes();
        let mut buffer = Vec::new();
        let mut scales = Vec::new();
        progress.begin("class sums", rows as u64);
        dataset.selected().for_each_window::<T>(|window| {
            for start in window.range().step_by(BLOCK_ROWS) {
                let end = (start + BLOCK_ROWS).min(window.range().end);
                let block = window.rows(start..end, &mut buffer)?;
                scales.clear();
                if unit {
                    block
                        .par_chunks_exact(d)
                        .with_min_len(64)
                        .map(|row| vectorized(UnitScale(row)))
                        .collect_into_vec(&mut scales);
                } else {
                    scales.resize(end - start, RowScale::ONE);
                }
                watch(start, block, &scales);
                let weights = dataset.weights().map(|weights| &weights[start..end]);
                let rows =
                    Rows { block, dimensions: d, codes: &codes[start..end], scales: &scales, weights, active: again };
                slices.par_iter_mut().for_each(|slice| vectorized(AddToSlice(slice, &rows)));
                progress.step((end - start) as u64)?;
            }
            Ok(())
        })?;
        progress.end();
        Ok(self.collect(&slices, again, unit))
    }

    fn collect(&mut self, slices: &[Slice], again: Option<&[bool]>, unit: bool) -> Vec<f64> {
        let (d, classes) = (self.dimensions, self.weight.len());
        self.offset.resize(classes * d, 0.0);
        self.variance.resize(classes, 0.0);
        let mut squares = vec![0.0; classes];
        for class in (0..classes).filter(|&class| again.is_none_or(|again| again[class])) {
            for slice in slices {
                let width = slice.dimensions.len();
                let own = class * width..(class + 1) * width;
                let place = class * d + slice.dimensions.start..class * d + slice.dimensions.end;
                self.reference[place.clone()].copy_from_slice(&slice.reference[own.clone()]);
                for (offset, sum) in self.offset[place].iter_mut().zip(&slice.sum[own]) {
                    *offset = sum / self.weight[class];
                }
                squares[class] += lane_sum(&slice.squares[class], |square| square);
            }
            squares[class] /= self.weight[class];
            let offset = &self.offset[class * d..(class + 1) * d];
            let variance = (squares[class] - squared_norm(offset)).max(0.0);
            self.variance[class] = variance_or_zero(variance, unit);
        }
        squares
    }

    /// The references of all classes and the offsets of their means from them, K x d each.
    pub(crate) fn into_means(self) -> (Vec<f64>, Vec<f64>) {
        (self.reference, self.offset)
    }

    /// d.
    pub(crate) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// K.
    pub(crate) fn classes(&self) -> usize {
        self.weight.len()
    }

    pub(crate) fn reference(&self, class: usize) -> &[f64] {
        &self.reference[class * self.dimensions..(class + 1) * self.dimensions]
    }

    pub(crate) fn offset(&self, class: usize) -> &[f64] {
        &self.offset[class * self.dimensions..(class + 1) * self.dimensions]
    }

    /// The mean of a class less `centre`.
    pub(crate) fn mean_less<'s>(&'s self, class: usize, centre: &'s [f64]) -> impl Iterator<Item = f64> + 's {
        let parts = self.reference(class).iter().zip(self.offset(class)).zip(centre);
        parts.map(|((reference, offset), centre)| (reference - centre) + offset)
    }

    /// The mean of a class, centred and scaled like rows in [`Centre::apply_to`].
    pub(crate) fn centred_mean<'s>(&'s self, class: usize, centre: &'s Centre) -> impl Iterator<Item = f64> + 's {
        self.mean_less(class, &centre.vector).map(|value| value * centre.scale)
    }

    /// The means of all classes, centred and scaled: K x d.
    pub(crate) fn centred_means<T: Element>(&self, centre: &Centre) -> Vec<T> {
        let mut means = Vec::with_capacity(self.classes() * self.dimensions);
        for class in 0..self.classes() {
            means.extend(self.centred_mean(class, centre).map(T::from_f64));
        }
        means
    }

    /// For each class, the length of its mean of unit vectors; `None` if that is 0 and has no direction.
    pub(crate) fn mean_lengths(&self) -> Vec<Option<f64>> {
        let length = |class| self.squared_mean(class).sqrt();
        (0..self.classes()).map(length).map(|length| (length > NO_DIRECTION).then_some(length)).collect()
    }

    /// The distance of a row to the mean of a class, from the squared Euclidean distance: that square itself, or, given
    /// the lengths of the means of unit vectors, the cosine distance to the direction of the mean, if it has one. `row`
    /// and `cancellation` are those of [`ClassSums::cosine_to_mean`].
    #[inline(always)]
    pub(crate) fn distance_to_mean<'r>(
        &self,
        squared: f64,
        class: usize,
        lengths: Option<&[Option<f64>]>,
        cancellation: f64,
        row: impl FnOnce() -> &'r [f64],
    ) -> Option<f64> {
        match lengths {
            Some(lengths) => Some(self.cosine_to_mean(squared, class, lengths[class]?, cancellation, row)),
            None => Some(squared),
        }
    }

    /// |row - mean|^2 for a row in float64.
    #[inline(always)]
    pub(crate) fn squared_distance(&self, row: &[f64], class: usize) -> f64 {
        lane_sum_3(row, self.reference(class), self.offset(class), |value, reference, offset| {
            let difference = (value - reference) - offset;
            difference * difference
        })
    }

    /// The cosine distance of a unit vector to the direction of a mean of this length, from the squared distance to the
    /// mean. `row` returns the vector in float64, for when a smaller share than `cancellation` of that square remains.
    #[inline(always)]
    fn cosine_to_mean<'r>(
        &self,
        squared: f64,
        class: usize,
        length: f64,
        cancellation: f64,
        row: impl FnOnce() -> &'r [f64],
    ) -> f64 {
        // 1 - z.mu / |mu| = (|z - mu|^2 - (1 - |mu|)^2) / (2 |mu|), and 1 - |mu| = V / (1 + |mu|).
        let shortfall = self.variance[class] / (1.0 + length);
        let left = squared - shortfall * shortfall;
        if left >= cancellation * squared {
            return cosine_or_zero(left / (2.0 * length));
        }
        let parts = (self.reference(class), self.offset(class));
        cosine_or_zero(
            0.5 * lane_sum_3(row(), parts.0, parts.1, |value, reference, offset| {
                let difference = value - (reference + offset) / length;
                difference * difference
            }),
        )
    }

    /// The sum of |row_k - mean_k| for a row in float64.
    #[inline(always)]
    pub(crate) fn manhattan_distance(&self, row: &[f64], class: usize) -> f64 {
        lane_sum_3(row, self.reference(class), self.offset(class), |value, reference, offset| {
            ((value - reference) - offset).abs()
        })
    }

    /// The sum over dimensions of `term` of the difference of two means.
    pub(crate) fn sum_over_difference(&self, left: usize, right: usize, term: impl Fn(f64) -> f64) -> f64 {
        let (reference, offset) = (self.reference(left), self.offset(left));
        let (other, other_offset) = (self.reference(right), self.offset(right));
        let differences = reference.iter().zip(other).zip(offset.iter().zip(other_offset));
        differences.map(|((x, y), (dx, dy))| term((x - y) + (dx - dy))).sum()
    }

    /// |mean|^2.
    pub(crate) fn squared_mean(&self, class: usize) -> f64 {
        lane_sum_2(self.reference(class), self.offset(class), |reference, offset| {
            (reference + offset) * (reference + offset)
        })
    }

    /// The mean at dimension k.
    pub(crate) fn mean(&self, class: usize) -> impl Fn(usize) -> f64 {
        let (reference, offset) = (self.reference(class), self.offset(class));
        move |k| reference[k] + offset[k]
    }

    /// trace(S_B) and trace(S_W).
    pub(crate) fn scatter(&self) -> (f64, f64) {
        let total: f64 = self.weight.iter().sum();
        // Relative to the mean of the first class, so that a common offset of all rows does not cancel.
        let origin: Vec<f64> = (0..self.dimensions).map(self.mean(0)).collect();
        let mut overall = vec![0.0; self.dimensions];
        for class in 0..self.classes() {
            let share = self.weight[class] / total;
            for (sum, mean) in overall.iter_mut().zip(self.mean_less(class, &origin)) {
                *sum += share * mean;
            }
        }
        let (mut between, mut within) = (0.0, 0.0);
        for class in 0..self.classes() {
            let squared: f64 =
                self.mean_less(class, &origin).zip(&overall).map(|(mean, overall)| (mean - overall).powi(2)).sum();
            between += self.weight[class] * squared;
            within += self.weight[class] * self.variance[class];
        }
        (between, within)
    }
}

/// A variance; of unit vectors without its rounding, which is twice that of a cosine distance.
fn variance_or_zero(variance: f64, unit: bool) -> f64 {
    if unit && variance <= 2.0 * COSINE_ZERO { 0.0 } else { variance }
}

/// How many dimensions one task sums: at least a cache line of float32, and enough slices for many cores. A function of
/// d alone, because the order in which squares are added depends on it.
fn slice_width(d: usize) -> usize {
    d.div_ceil(16).next_multiple_of(16).min(256)
}

/// Some dimensions of all sums. Sums of different dimensions are independent, so slices run in parallel while each sum
/// still runs over the rows in order.
struct Slice {
    dimensions: Range<usize>,
    reference: Vec<f64>,
    sum: Vec<f64>,
    /// In lanes, which are added at the end.
    squares: Vec<[f64; LANES]>,
    seen: Vec<bool>,
}

/// A block of rows to be summed.
struct Rows<'a, T> {
    block: &'a [T],
    dimensions: usize,
    codes: &'a [u32],
    scales: &'a [RowScale],
    weights: Option<&'a [f64]>,
    /// The classes to sum, if not all.
    active: Option<&'a [bool]>,
}

impl Slice {
    fn new(dimensions: Range<usize>, classes: usize, around: Option<(&ClassSums, &[bool])>) -> Self {
        let width = dimensions.len();
        let mut slice = Slice {
            reference: vec![0.0; classes * width],
            sum: vec![0.0; classes * width],
            squares: vec![[0.0; LANES]; classes],
            seen: vec![false; classes],
            dimensions,
        };
        if let Some((sums, again)) = around {
            for class in (0..classes).filter(|&class| again[class]) {
                let mean = sums.mean(class);
                for (target, k) in slice.reference[class * width..].iter_mut().zip(slice.dimensions.clone()) {
                    *target = mean(k);
                }
                slice.seen[class] = true;
            }
        }
        slice
    }
}

/// The scale that makes a row a unit vector.
struct UnitScale<'a, T>(&'a [T]);

impl<T: Element> Vectorized for UnitScale<'_, T> {
    type Output = RowScale;

    #[inline(always)]
    fn run(self) -> RowScale {
        RowScale::unit(self.0)
    }
}

/// Adds at most one value per lane. Two loops, because the compiler cannot know that rows and sums do not overlap.
#[inline(always)]
fn add_lanes<T: Element>(
    scale: RowScale,
    weight: f64,
    values: &[T],
    references: &[f64],
    sums: &mut [f64],
    squares: &mut [f64; LANES],
) {
    let mut differences = [0.0; LANES];
    for ((difference, value), reference) in differences.iter_mut().zip(values).zip(references) {
        *difference = scale.apply(value.to_f64()) - reference;
    }
    for ((square, sum), difference) in squares.iter_mut().zip(sums).zip(&differences) {
        *sum += weight * difference;
        *square += weight * (difference * difference);
    }
}

/// Adds a block of rows to a slice.
struct AddToSlice<'a, T>(&'a mut Slice, &'a Rows<'a, T>);

impl<T: Element> Vectorized for AddToSlice<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let AddToSlice(slice, rows) = self;
        let width = slice.dimensions.len();
        for (position, (&code, &scale)) in rows.codes.iter().zip(rows.scales).enumerate() {
            let class = code as usize;
            if rows.active.is_some_and(|active| !active[class]) {
                continue;
            }
            let row = &rows.block[position * rows.dimensions + slice.dimensions.start..][..width];
            let own = class * width..(class + 1) * width;
            let reference = &mut slice.reference[own.clone()];
            if !slice.seen[class] {
                scale.apply_to(row, reference);
                slice.seen[class] = true;
            }
            let weight = rows.weights.map_or(1.0, |weights| weights[position]);
            let (references, last_references) = reference.as_chunks::<LANES>();
            let (values, last_values) = row.as_chunks::<LANES>();
            let (sums, last_sums) = slice.sum[own].as_chunks_mut::<LANES>();
            let mut squares = slice.squares[class];
            for ((sums, values), references) in sums.iter_mut().zip(values).zip(references) {
                add_lanes(scale, weight, values, references, sums, &mut squares);
            }
            slice.squares[class] = squares;
            // Not on the copy: an index known only at run time would keep it out of registers.
            add_lanes(scale, weight, last_values, last_references, last_sums, &mut slice.squares[class]);
        }
    }
}
