//! How far the rows have moved as a whole: their mean and their lengths.

use crate::data::{Dataset, Element, Precision};
use crate::drift::entry::{DOWN, DriftMetric, FROM_0, Measured, OURS, entry};
use crate::drift::moments::less;
use crate::error::Result;
use crate::kernels::lane_sum;
use crate::kernels::parallel;
use crate::progress::Progress;

pub(super) const MEAN_SHIFT: &str = "mean_shift";
pub(super) const NORM_SHIFT: &str = "norm_shift";

pub(super) const ENTRIES: &[DriftMetric] = &[
    entry(MEAN_SHIFT, "distance of the means, in spreads of the reference", FROM_0, DOWN, OURS).by_class(),
    entry(NORM_SHIFT, "how much longer the rows are on average, as a share", "[-1, inf)", None, OURS),
];

/// Rows of a block.
const BLOCK_ROWS: usize = 1024;

/// |m2 - m1| over the root of the summed variances of the reference.
pub(super) fn mean_shift(reference: &[f64], current: &[f64], variance: f64) -> Measured {
    let square = |vector: &[f64]| -> f64 { vector.iter().map(|value| value * value).sum() };
    let squared = square(&less(current, reference));
    // What rounding leaves of the variance of rows that are all the same.
    let rounding = 1e-28 * square(reference);
    if variance > rounding {
        Ok((squared / variance).sqrt())
    } else if squared <= rounding {
        Ok(0.0)
    } else {
        Err("the rows of the reference do not vary".to_owned())
    }
}

/// The mean length of the current rows over that of the reference, less 1.
pub(super) fn norm_shift(reference: f64, current: f64) -> Measured {
    if reference > 0.0 {
        Ok(current / reference - 1.0)
    } else if current == 0.0 {
        Ok(0.0)
    } else {
        Err("the rows of the reference are zero".to_owned())
    }
}

/// The mean length of the rows.
///
/// # Errors
/// Errors from reading rows.
pub(super) fn mean_length(dataset: &Dataset, progress: &dyn Progress) -> Result<f64> {
    let sum = match dataset.embeddings().element_type().precision() {
        Precision::F32 => summed::<f32>(dataset, progress)?,
        Precision::F64 => summed::<f64>(dataset, progress)?,
    };
    Ok(sum / dataset.len() as f64)
}

fn summed<T: Element>(dataset: &Dataset, progress: &dyn Progress) -> Result<f64> {
    let d = dataset.dimensions();
    let mut sum = 0.0;
    dataset.selected().for_each_window::<T>(|window| {
        let sums: Vec<f64> = parallel::try_map_with(window.range().step_by(BLOCK_ROWS), |buffer, start| {
            let rows = start..(start + BLOCK_ROWS).min(window.range().end);
            progress.check()?;
            let lengths = window.rows(rows, buffer)?.chunks_exact(d).map(length);
            Ok(lengths.sum())
        })?;
        sum += sums.iter().sum::<f64>();
        Ok(())
    })?;
    Ok(sum)
}

/// |x|, relative to the largest element so that no square overflows.
fn length<T: Element>(row: &[T]) -> f64 {
    let largest = row.iter().fold(0.0_f64, |largest, value| largest.max(value.to_f64().abs()));
    if largest == 0.0 {
        return 0.0;
    }
    largest * lane_sum(row, |value| (value.to_f64() / largest) * (value.to_f64() / largest)).sqrt()
}

/// The mean of some rows and the sum of the variances of all dimensions, divided by N - 1.
///
/// # Errors
/// Errors from reading rows.
pub(super) fn mean_and_variance(dataset: &Dataset) -> Result<(Vec<f64>, f64)> {
    match dataset.embeddings().element_type().precision() {
        Precision::F32 => moments::<f32>(dataset),
        Precision::F64 => moments::<f64>(dataset),
    }
}

fn moments<T: Element>(dataset: &Dataset) -> Result<(Vec<f64>, f64)> {
    let d = dataset.dimensions();
    let rows = dataset.len() as f64;
    let (mut origin, mut sums, mut squares) = (Vec::<f64>::new(), vec![0.0; d], 0.0);
    let mut buffer = Vec::new();
    dataset.selected().for_each_window::<T>(|window| {
        for row in window.rows(window.range(), &mut buffer)?.chunks_exact(d) {
            if origin.is_empty() {
                origin = row.iter().map(|value| value.to_f64()).collect();
            }
            for ((value, origin), sum) in row.iter().zip(&origin).zip(&mut sums) {
                let apart = value.to_f64() - origin;
                *sum += apart;
                squares += apart * apart;
            }
        }
        Ok(())
    })?;
    let means = sums.iter().map(|sum| sum / rows);
    let between: f64 = means.clone().map(|mean| mean * mean).sum();
    let mean = origin.iter().zip(means).map(|(origin, mean)| origin + mean).collect();
    Ok((mean, ((squares - rows * between) / (rows - 1.0)).max(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::NoProgress;

    #[test]
    fn a_shift_is_measured_in_spreads() {
        assert_eq!(mean_shift(&[0.0, 0.0], &[3.0, 4.0], 100.0), Ok(0.5));
        assert_eq!(mean_shift(&[1.0], &[1.0], 0.0), Ok(0.0));
        assert!(mean_shift(&[1.0], &[2.0], 0.0).is_err());
        assert_eq!(norm_shift(2.0, 3.0), Ok(0.5));
        assert!(norm_shift(0.0, 3.0).is_err());
    }

    #[test]
    fn lengths_and_moments_of_hand_worked_rows() {
        let dataset = Dataset::new(ndarray::array![[3.0, 4.0], [0.0, 0.0], [6.0, 8.0]], [0, 0, 0]).unwrap();
        assert_eq!(mean_length(&dataset, &NoProgress).unwrap(), 5.0);
        // Variances 9 and 16.
        let (mean, variance) = mean_and_variance(&dataset).unwrap();
        assert_eq!(mean, [3.0, 4.0]);
        assert!((variance - 25.0).abs() < 1e-13);
    }
}
