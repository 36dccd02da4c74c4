//! A common offset and scale that make float32 products accurate.
//!
//! Subtracting one vector from all rows changes no distance, and products of the remainders cancel far less. The offset
//! is the coordinate-wise median of a sample, not the mean, because a single huge row would spoil the mean. The scale,
//! a power of two, brings typical rows to size 1, far from underflow and overflow.

use rayon::prelude::*;

use crate::data::{Dataset, Element};
use crate::error::Result;
use crate::kernels::Real;
use crate::kernels::dense::{RowScale, squared_norm};

/// Rows that are looked at, spread evenly over the data.
pub(crate) const SAMPLE: usize = 255;

/// The offset subtracted from every row, and the scale of the remainder.
pub(crate) struct Centre {
    pub(crate) vector: Vec<f64>,
    pub(crate) scale: f64,
}

/// Rows, or their unit vectors, spread evenly over the data: collected in the first pass.
pub(crate) struct Sample {
    rows: usize,
    wanted: usize,
    dimensions: usize,
    unit: bool,
    values: Vec<f64>,
    taken: usize,
}

impl Sample {
    pub(crate) fn new(rows: usize, dimensions: usize, unit: bool) -> Self {
        let wanted = rows.min(SAMPLE);
        Sample { rows, wanted, dimensions, unit, values: vec![0.0; wanted * dimensions], taken: 0 }
    }

    /// The rows that are given, d numbers each.
    pub(crate) fn of_rows(values: &[f64], dimensions: usize, unit: bool) -> Self {
        let rows = values.len() / dimensions.max(1);
        let mut sample = Sample::new(rows, dimensions, unit);
        sample.take(0, values);
        sample
    }

    /// The next row that the sample wants.
    fn next(&self) -> Option<usize> {
        (self.taken < self.wanted).then(|| self.taken * self.rows / self.wanted)
    }

    /// Takes the sampled rows of a block whose first row is row `start`. Blocks come in order.
    pub(crate) fn take<T: Element>(&mut self, start: usize, block: &[T]) {
        let d = self.dimensions;
        while let Some(position) = self.next().map(|row| row - start)
            && let Some(row) = block.get(position * d..(position + 1) * d)
        {
            let target = &mut self.values[self.taken * d..(self.taken + 1) * d];
            RowScale::of(row, self.unit).apply_to(row, target);
            self.taken += 1;
        }
    }

    pub(crate) fn centre(&self) -> Centre {
        let d = self.dimensions;
        let vector: Vec<f64> = (0..d)
            .into_par_iter()
            .map_init(Vec::new, |column: &mut Vec<f64>, k| {
                column.clear();
                column.extend(self.values.iter().skip(k).step_by(d));
                median(column)
            })
            .collect();
        let mut sizes: Vec<f64> = self
            .values
            .chunks_exact(d)
            .map(|row| {
                let largest = row.iter().zip(&vector).map(|(value, centre)| (value - centre).abs()).fold(0.0, f64::max);
                // The norm relative to the largest element cannot overflow.
                let relative: Vec<f64> =
                    row.iter().zip(&vector).map(|(value, centre)| (value - centre) / largest).collect();
                if largest > 0.0 { largest * squared_norm(&relative).sqrt() } else { 0.0 }
            })
            .collect();
        sizes.retain(|&size| size > 0.0);
        let typical = if sizes.is_empty() { 1.0 } else { median(&mut sizes) };
        // Clamped so that the scale and its square are normal numbers.
        let exponent = (-typical.log2().round()).clamp(-500.0, 500.0);
        Centre { vector, scale: exponent.exp2() }
    }
}

impl Centre {
    /// The centre of rows that can be read in any order, or of their unit vectors.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn of_rows<T: Real>(dataset: &Dataset, unit: bool) -> Result<Self> {
        Centre::of::<T>(&[dataset], unit)
    }

    /// The common centre of several sets, whose rows can be read in any order.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn of_sets<T: Real>(sets: &[&Dataset]) -> Result<Self> {
        Centre::of::<T>(sets, false)
    }

    fn of<T: Real>(sets: &[&Dataset], unit: bool) -> Result<Self> {
        let rows = sets.iter().map(|set| set.len()).sum();
        let dimensions = sets.first().map_or(1, |set| set.dimensions());
        let mut sample = Sample::new(rows, dimensions, unit);
        let mut buffer = Vec::new();
        let mut start = 0;
        for set in sets {
            while let Some(row) = sample.next().filter(|row| row - start < set.len()) {
                sample.take(row, set.rows::<T>(row - start..row - start + 1, &mut buffer)?);
            }
            start += set.len();
        }
        Ok(sample.centre())
    }

    /// A scaled row less the centre, brought to ordinary size.
    #[inline(always)]
    pub(crate) fn apply_to<T: Element, U: Element>(&self, row: &[T], scale: RowScale, out: &mut [U]) {
        for ((target, value), centre) in out.iter_mut().zip(row).zip(&self.vector) {
            *target = U::from_f64((scale.apply(value.to_f64()) - centre) * self.scale);
        }
    }
}

fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}
