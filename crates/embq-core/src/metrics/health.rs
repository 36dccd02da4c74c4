//! Whether the rows are sound as embeddings, regardless of labels: their lengths, the angles between them, dimensions
//! without information, and duplicate rows.

use std::ops::Range;

use crate::data::{Dataset, Element, Precision, Window};
use crate::distance::Distance;
use crate::error::Result;
use crate::kernels::{BoundedPairs, Real, RowScale, blocks_at_once, for_each_block, lane_sum};
use crate::metrics::metric::{DOWN, FROM_0, Family, Need, OURS, Question, Unit, metric};
use crate::metrics::shared::{Measured, Measures, SharedWork};
use crate::metrics::validity::mean;

const OF_EACH_ROW: &[Need] = &[Need::EachRow];
const OF_ALL_ROWS: &[Need] = &[Need::AllRows];
const OF_NEIGHBOURS: &[Need] = &[Need::Neighbours];
const SHARE: &str = "[0, 1]";

pub(super) static FAMILY: Family = Family {
    name: "health",
    question: Question::SpaceUsed,
    is_default: false,
    supports_weights: false,
    metrics: &[
        metric(&FAMILY, "norm_mean", "mean length of the rows", FROM_0, None, OURS, OF_EACH_ROW).in_unit(Unit::Length),
        metric(&FAMILY, "norm_std", "standard deviation of the lengths", FROM_0, None, OURS, OF_EACH_ROW)
            .in_unit(Unit::Length),
        metric(&FAMILY, "norm_min", "length of the shortest row", FROM_0, None, OURS, OF_EACH_ROW)
            .in_unit(Unit::Length),
        metric(&FAMILY, "norm_max", "length of the longest row", FROM_0, None, OURS, OF_EACH_ROW).in_unit(Unit::Length),
        metric(&FAMILY, "mean_cosine", "mean cosine over all pairs of rows", "[-1, 1]", DOWN, OURS, OF_EACH_ROW),
        metric(&FAMILY, "dead_dimensions", "dimensions that do not vary", FROM_0, DOWN, OURS, OF_EACH_ROW),
        metric(&FAMILY, "constant_rows", "rows that hold one number throughout", FROM_0, DOWN, OURS, OF_EACH_ROW),
        metric(&FAMILY, "duplicate_share", "rows that equal another", SHARE, DOWN, OURS, OF_ALL_ROWS),
        metric(&FAMILY, "near_duplicate_share", "rows all but parallel to another", SHARE, DOWN, OURS, OF_NEIGHBOURS),
    ],
};

/// Dimensions whose variance is below this share of the largest are dead.
const DEAD_SHARE: f64 = 1e-12;

/// Rows within this cosine distance of each other are near duplicates.
const NEAR: f64 = 1e-4;

/// Rows per block.
const BLOCK_ROWS: usize = 1024;

pub(super) fn measure(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<()> {
    let pass = if work.is_precomputed() {
        None
    } else {
        let hashes = work.is_selected("duplicate_share");
        Some(match work.measuring.precision {
            Precision::F32 => Pass::over::<f32>(work, hashes)?,
            Precision::F64 => Pass::over::<f64>(work, hashes)?,
        })
    };
    let of_rows = |number: &dyn Fn(&Pass) -> Measured| -> Result<Measured> {
        Ok(pass.as_ref().map_or_else(|| Err("a distance matrix has no rows of numbers".to_owned()), number))
    };
    let extreme = |choose: fn(f64, f64) -> f64| {
        of_rows(&|pass| pass.lengths.iter().copied().reduce(choose).ok_or_else(|| "there are no rows".to_owned()))
    };
    measures.add("norm_mean", || of_rows(&|pass| mean(pass.lengths.iter().copied())))?;
    measures.add("norm_std", || of_rows(&|pass| standard_deviation(&pass.lengths)))?;
    measures.add("norm_min", || extreme(f64::min))?;
    measures.add("norm_max", || extreme(f64::max))?;
    measures.add("mean_cosine", || of_rows(&Pass::mean_cosine))?;
    measures.add("dead_dimensions", || of_rows(&|pass| dead_dimensions(&pass.moments.squares)))?;
    measures.add("constant_rows", || of_rows(&Pass::constant_rows))?;
    measures.add("duplicate_share", || of_rows(&|pass| mean(duplicates(&pass.hashes))))?;
    measures.add("near_duplicate_share", || {
        if let Err(reason) = of_rows(&|pass| pass.directions().map(|_| 0.0))? {
            return Ok(Err(reason));
        }
        let near = match work.measuring.precision {
            Precision::F32 => near_duplicates::<f32>(work)?,
            Precision::F64 => near_duplicates::<f64>(work)?,
        };
        Ok(mean(near))
    })
}

/// The result of one pass over the rows.
#[derive(Debug, Default)]
struct Pass {
    dimensions: usize,
    lengths: Vec<f64>,
    /// The sum of the rows that have a direction, each scaled to length 1.
    direction_sum: Vec<f64>,
    /// The number of rows whose numbers are all equal.
    constant: usize,
    moments: Moments,
    /// Hashes of the numbers of each row, if duplicates are needed.
    hashes: Vec<u128>,
}

impl Pass {
    fn over<T: Real>(work: &SharedWork<'_>, hashes: bool) -> Result<Self> {
        let (dataset, progress) = (work.dataset, work.progress);
        let d = dataset.dimensions();
        let mut pass = Pass { dimensions: d, direction_sum: vec![0.0; d], ..Pass::default() };
        let mut origin: Vec<f64> = Vec::new();
        progress.begin("lengths and moments", dataset.len() as u64);
        dataset.selected().for_each_window::<T>(|window| {
            if origin.is_empty() {
                let mut buffer = Vec::new();
                let first = window.range().start;
                origin = window.rows(first..first + 1, &mut buffer)?.iter().map(|value| value.to_f64()).collect();
            }
            for_each_block(
                window.range(),
                BLOCK_ROWS,
                blocks_at_once(3 * d + 3 * BLOCK_ROWS),
                |buffer: &mut Vec<T>, rows| Pass::of_block(window, rows, &origin, hashes, buffer),
                |rows, block| {
                    pass.merge(block);
                    progress.advance(rows.len() as u64);
                },
            )
        })?;
        progress.end();
        Ok(pass)
    }

    fn of_block<T: Element>(
        window: &Window<'_, T>,
        rows: Range<usize>,
        origin: &[f64],
        hashes: bool,
        buffer: &mut Vec<T>,
    ) -> Result<Self> {
        let d = origin.len();
        let count = rows.len();
        let block = window.rows(rows, buffer)?;
        let mut pass = Pass {
            dimensions: d,
            lengths: Vec::with_capacity(count),
            direction_sum: vec![0.0; d],
            moments: Moments::of(block, origin),
            ..Pass::default()
        };
        let mut unit = vec![0.0; d];
        let mut bytes = Vec::with_capacity(8 * d);
        for row in block.chunks_exact(d) {
            let length = length(row);
            pass.lengths.push(length);
            if length > 0.0 {
                RowScale::unit(row).apply_to(row, &mut unit);
                pass.direction_sum.iter_mut().zip(&unit).for_each(|(sum, value)| *sum += value);
            }
            pass.constant += usize::from(row.iter().all(|value| *value == row[0]));
            if hashes {
                bytes.clear();
                // Negative zero equals positive zero.
                row.iter().for_each(|value| (value.to_f64() + 0.0).write_little_endian(&mut bytes));
                let hash = blake3::hash(&bytes);
                // Half of the hash is enough: among 10^9 different rows, two share it with a probability below 10^-20.
                let half: [u8; 16] = std::array::from_fn(|place| hash.as_bytes()[place]);
                pass.hashes.push(u128::from_le_bytes(half));
            }
        }
        Ok(pass)
    }

    /// Appends the rows that follow.
    fn merge(&mut self, next: Pass) {
        self.lengths.extend(next.lengths);
        self.direction_sum.iter_mut().zip(next.direction_sum).for_each(|(sum, value)| *sum += value);
        self.constant += next.constant;
        self.moments.merge(next.moments);
        self.hashes.extend(next.hashes);
    }

    /// The sum of the unit vectors, if every row has a direction and there is at least one pair.
    fn directions(&self) -> std::result::Result<&[f64], String> {
        match self.lengths.len() {
            0 | 1 => Err("there is no pair of rows".to_owned()),
            _ if self.lengths.contains(&0.0) => Err("zero vectors have no direction".to_owned()),
            _ => Ok(&self.direction_sum),
        }
    }

    /// (|sum of z|^2 - N) / (N (N - 1)): the square contains the products of all pairs, and of each row with itself.
    fn mean_cosine(&self) -> Measured {
        let rows = self.lengths.len() as f64;
        let square: f64 = self.directions()?.iter().map(|sum| sum * sum).sum();
        Ok(((square - rows) / (rows * (rows - 1.0))).clamp(-1.0, 1.0))
    }

    fn constant_rows(&self) -> Measured {
        if self.dimensions == 1 {
            Err("rows of one dimension hold one number".to_owned())
        } else {
            Ok(self.constant as f64)
        }
    }
}

/// Mean and sum of squared deviations of each dimension, relative to an origin, so that a constant dimension has
/// deviations of exactly 0.
#[derive(Debug, Default)]
struct Moments {
    rows: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Moments {
    fn of<T: Element>(block: &[T], origin: &[f64]) -> Self {
        let d = origin.len();
        let rows = (block.len() / d.max(1)) as f64;
        let (mut mean, mut squares) = (vec![0.0; d], vec![0.0; d]);
        for row in block.chunks_exact(d) {
            for ((mean, value), origin) in mean.iter_mut().zip(row).zip(origin) {
                *mean += value.to_f64() - origin;
            }
        }
        mean.iter_mut().for_each(|mean| *mean /= rows);
        for row in block.chunks_exact(d) {
            for (((square, value), origin), mean) in squares.iter_mut().zip(row).zip(origin).zip(&mean) {
                let deviation = value.to_f64() - origin - mean;
                *square += deviation * deviation;
            }
        }
        Moments { rows, mean, squares }
    }

    /// Adds other rows (Chan, Golub and LeVeque 1979).
    fn merge(&mut self, next: Moments) {
        if self.rows == 0.0 {
            *self = next;
            return;
        }
        let total = self.rows + next.rows;
        let share = next.rows / total;
        for (((mean, square), next_mean), next_square) in
            self.mean.iter_mut().zip(&mut self.squares).zip(&next.mean).zip(&next.squares)
        {
            let apart = next_mean - *mean;
            *mean += apart * share;
            *square += next_square + apart * apart * self.rows * share;
        }
        self.rows = total;
    }
}

/// |x|, for rows of any magnitude.
fn length<T: Element>(row: &[T]) -> f64 {
    let square = lane_sum(row, |value| value.to_f64() * value.to_f64());
    if (1e-200..1e200).contains(&square) {
        return square.sqrt();
    }
    let largest = row.iter().map(|value| value.to_f64().abs()).fold(0.0, f64::max);
    if largest == 0.0 {
        return 0.0;
    }
    largest * lane_sum(row, |value| (value.to_f64() / largest).powi(2)).sqrt()
}

/// The standard deviation (ddof 0), computed relative to the largest deviation so that squares neither overflow nor
/// underflow.
fn standard_deviation(values: &[f64]) -> Measured {
    let centre = mean(values.iter().copied())?;
    let largest = values.iter().map(|value| (value - centre).abs()).fold(0.0, f64::max);
    if largest == 0.0 {
        return Ok(0.0);
    }
    let variance = mean(values.iter().map(|value| ((value - centre) / largest).powi(2)))?;
    Ok(variance.sqrt() * largest)
}

/// The number of dimensions that do not vary, or hardly vary compared to the one that varies most, from sums of squared
/// deviations.
fn dead_dimensions(squares: &[f64]) -> Measured {
    let largest = squares.iter().copied().fold(0.0, f64::max);
    if !largest.is_finite() {
        return Err("the variance of a dimension is too large for a number".to_owned());
    }
    Ok(squares.iter().filter(|&&square| square == 0.0 || square < DEAD_SHARE * largest).count() as f64)
}

/// For each hash, in any order, 1 if it occurs more than once and 0 if not.
fn duplicates(hashes: &[u128]) -> Vec<f64> {
    let mut sorted = hashes.to_vec();
    sorted.sort_unstable();
    let groups = sorted.chunk_by(|left, right| left == right);
    groups.flat_map(|group| std::iter::repeat_n(f64::from(u8::from(group.len() > 1)), group.len())).collect()
}

/// For each scored row, 1 if another has almost the same direction, and 0 if not.
fn near_duplicates<T: Real>(work: &SharedWork<'_>) -> Result<Vec<f64>> {
    let dataset: &Dataset = work.dataset;
    let queries: Vec<usize> = dataset.scored().positions().collect();
    let pairs = BoundedPairs::<T>::new(dataset, None, Distance::Cosine, work.progress)?;
    pairs.nearest(
        &queries,
        |_| 1,
        |_, nearest| f64::from(u8::from(nearest.first().is_some_and(|nearest| nearest.distance <= NEAR))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_any_magnitude() {
        assert_eq!(length(&[3.0, 4.0]), 5.0);
        assert_eq!(length(&[0.0f32, 0.0]), 0.0);
        for size in [1e-300, 1e300] {
            assert!((length(&[3.0 * size, 4.0 * size]) / size - 5.0).abs() < 1e-14);
        }
        // 1, 2, 3, 4 deviate by 1.5 and 0.5: a variance of 1.25.
        assert!((standard_deviation(&[1.0, 2.0, 3.0, 4.0]).unwrap() - 1.25f64.sqrt()).abs() < 1e-15);
        assert_eq!(standard_deviation(&[7.0, 7.0]).unwrap(), 0.0);
    }

    #[test]
    fn moments_of_parts_are_those_of_the_whole() {
        let rows: Vec<f64> = (0..60).map(|k| ((k * 37) % 23) as f64 + 1e6).collect();
        let origin = &rows[..3];
        let whole = Moments::of(&rows, origin);
        let mut parts = Moments::default();
        for part in [&rows[..3], &rows[3..30], &rows[30..]] {
            parts.merge(Moments::of(part, origin));
        }
        assert_eq!(parts.rows, 20.0);
        for (part, whole) in parts.mean.iter().chain(&parts.squares).zip(whole.mean.iter().chain(&whole.squares)) {
            assert!((part - whole).abs() <= 1e-12 * whole.abs(), "{part} and {whole}");
        }
    }

    #[test]
    fn a_constant_dimension_is_dead_wherever_it_lies() {
        // 0.1 has no exact mean; the second dimension varies, the third by a millionth of a millionth of that.
        let rows: Vec<f64> = (0..30).flat_map(|row| [0.1, f64::from(row), 1e-7 * f64::from(row)]).collect();
        let moments = Moments::of(&rows, &rows[..3]);
        assert_eq!(moments.squares[0], 0.0);
        assert_eq!(dead_dimensions(&moments.squares), Ok(2.0));
        assert_eq!(dead_dimensions(&[0.0, 0.0]), Ok(2.0));
        assert!(dead_dimensions(&[1.0, f64::INFINITY]).is_err());
    }

    #[test]
    fn every_copy_counts_as_a_duplicate() {
        let share = duplicates(&[5, 1, 5, 2, 5, 1]);
        assert_eq!(share.iter().sum::<f64>(), 5.0);
        assert_eq!(share.len(), 6);
    }
}
