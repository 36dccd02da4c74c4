//! A common vector and scale that make float32 products accurate.
//!
//! Subtracting one vector from all rows changes no distance, and products of what remains cancel far less. It is the
//! coordinate-wise median of a sample, not the mean, because one huge row would spoil the mean. The scale, a power of
//! two, brings typical rows to size 1, far from underflow and overflow.

use rayon::prelude::*;

use crate::data::Dataset;
use crate::error::Result;
use crate::kernels::Real;
use crate::kernels::dense::{RowScale, squared_norm};

/// Rows that are looked at, spread evenly over the data.
const SAMPLE: usize = 255;

/// What is subtracted from every row, and what the rest is multiplied by.
pub(crate) struct Centre {
    pub(crate) vector: Vec<f64>,
    pub(crate) scale: f64,
}

impl Centre {
    /// The centre of the rows, or of their unit vectors.
    pub(crate) fn sample<T: Real>(dataset: &Dataset, unit: bool) -> Result<Self> {
        let (rows, d) = (dataset.len(), dataset.dimensions());
        let sampled = rows.min(SAMPLE);
        let mut sample = vec![0.0; sampled * d];
        let mut buffer = Vec::new();
        for (position, target) in sample.chunks_exact_mut(d).enumerate() {
            let row = position * rows / sampled;
            let values = dataset.rows::<T>(row..row + 1, &mut buffer)?;
            RowScale::of(values, unit).apply_to(values, target);
        }
        let vector: Vec<f64> = (0..d)
            .into_par_iter()
            .map_init(Vec::new, |column: &mut Vec<f64>, k| {
                column.clear();
                column.extend(sample.iter().skip(k).step_by(d));
                median(column)
            })
            .collect();
        let mut sizes: Vec<f64> = sample
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
        Ok(Centre { vector, scale: exponent.exp2() })
    }
}

fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}
