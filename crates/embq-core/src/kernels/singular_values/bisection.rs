//! Singular values of a matrix with two diagonals.

use rayon::prelude::*;

use super::power_of_two;
use crate::kernels::vectorized::{Vectorized, vectorized};

/// Points that are counted at together.
const POINTS: usize = 32;

/// Halvings of an interval until it is as short as the distance between numbers about the largest value, which may be a
/// quarter of the interval's upper end.
const HALVINGS: u32 = f64::MANTISSA_DIGITS + 2;

/// Pivots are kept this far from 0. Elements of the matrix are about 1.
const SMALLEST_PIVOT: f64 = 1e-300;

/// The singular values in ascending order, each with an error of a few units in the last place of the largest one.
///
/// A count of those below a point halves the interval of a value again and again, without regard to the others.
pub(super) fn values(diagonal: &[f64], above: &[f64]) -> Vec<f64> {
    let n = diagonal.len();
    let squares: Vec<[f64; 2]> =
        (0..n).map(|k| [diagonal[k] * diagonal[k], above.get(k).map_or(0.0, |value| value * value)]).collect();
    // Gershgorin's circles of the symmetric matrix of twice the size that has the values as eigenvalues.
    let bound = (0..n).fold(0.0_f64, |bound, k| {
        let element = |index: Option<usize>| index.and_then(|index| above.get(index)).map_or(0.0, |value| value.abs());
        bound.max(diagonal[k].abs() + element(k.checked_sub(1)).max(element(Some(k))))
    });
    // A power of two, so that short numbers are found as they are.
    let bound = 2.0 * power_of_two(bound);
    // All start with the interval between two of these points, which is 2^steps times shorter than the whole.
    let steps = n.next_power_of_two().ilog2();
    let points = 1 << steps;
    let grid: Vec<[f64; POINTS]> = (0..points / POINTS + 1)
        .map(|group| std::array::from_fn(|k| bound * (group * POINTS + k) as f64 / points as f64))
        .collect();
    let counts: Vec<f64> = grid.par_iter().flat_map_iter(|points| count_below(&squares, points)).collect();
    let below: Vec<usize> = {
        let mut point = 0;
        (0..n)
            .map(|rank| {
                while point + 1 < points && counts[point + 1] <= rank as f64 {
                    point += 1;
                }
                point
            })
            .collect()
    };
    let mut values = vec![0.0; n];
    values.par_chunks_mut(POINTS).enumerate().for_each(|(group, values)| {
        let rank = |k: usize| group * POINTS + k.min(values.len() - 1);
        let mut lower: [f64; POINTS] = std::array::from_fn(|k| bound * below[rank(k)] as f64 / points as f64);
        let mut width = bound / points as f64;
        for _ in steps..HALVINGS {
            width *= 0.5;
            let middle = lower.map(|lower| lower + width);
            let counts = count_below(&squares, &middle);
            for k in 0..POINTS {
                if counts[k] <= rank(k) as f64 {
                    lower[k] = middle[k];
                }
            }
        }
        values.copy_from_slice(&lower[..values.len()]);
    });
    values
}

/// The number of singular values below each point.
fn count_below(squares: &[[f64; 2]], points: &[f64; POINTS]) -> [f64; POINTS] {
    vectorized(CountBelow { squares, points })
}

/// Counts the negative pivots of B^T B - x^2 I, whose number is that of its negative eigenvalues. Computed from the
/// elements of B, they are those of a matrix whose elements differ from these by a few units in the last place
/// (Fernando & Parlett 1994; LAPACK's dlaneg).
struct CountBelow<'a> {
    /// Of the diagonal and of the elements to the right of it.
    squares: &'a [[f64; 2]],
    points: &'a [f64; POINTS],
}

impl Vectorized for CountBelow<'_> {
    type Output = [f64; POINTS];

    #[inline(always)]
    fn run(self) -> [f64; POINTS] {
        let shift = self.points.map(|point| point * point);
        let mut rest = shift.map(|shift| -shift);
        let mut counts = [0.0; POINTS];
        for [square, above] in self.squares {
            for k in 0..POINTS {
                let pivot = square + rest[k];
                let pivot = if pivot.abs() < SMALLEST_PIVOT { SMALLEST_PIVOT } else { pivot };
                counts[k] += if pivot < 0.0 { 1.0 } else { 0.0 };
                rest[k] = rest[k] * (above / pivot) - shift[k];
            }
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_values(diagonal: &[f64], above: &[f64], expected: &[f64]) {
        let found = values(diagonal, above);
        assert_eq!(found.len(), expected.len());
        let largest = expected.iter().fold(0.0_f64, |largest, value| largest.max(*value));
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() <= 4.0 * f64::EPSILON * largest, "{found} {expected}");
        }
    }

    #[test]
    fn short_numbers_are_found_as_they_are() {
        assert_eq!(values(&[3.0, 0.0, -4.0, 1.125], &[0.0; 3]), [0.0, 1.125, 3.0, 4.0]);
    }

    #[test]
    fn values_of_small_matrices() {
        let golden = (1.0 + 5.0_f64.sqrt()) / 2.0;
        assert_values(&[-2.0], &[], &[2.0]);
        assert_values(&[1.0, 1.0], &[1.0], &[golden - 1.0, golden]);
        assert_values(&[0.0, 0.0], &[-1.0], &[0.0, 1.0]);
        assert_values(&[3.0, 0.0, -4.0], &[0.0, 0.0], &[0.0, 3.0, 4.0]);
        assert_values(&[0.0; 3], &[0.0; 2], &[0.0; 3]);
        assert_values(&[], &[], &[]);
    }

    #[test]
    fn ones_on_both_diagonals() {
        // 2 cos(k pi / (2 n + 1)).
        let n = 70;
        let expected: Vec<f64> =
            (1..=n).rev().map(|k| 2.0 * (k as f64 * std::f64::consts::PI / (2 * n + 1) as f64).cos()).collect();
        assert_values(&vec![1.0; n], &vec![1.0; n - 1], &expected);
    }

    #[test]
    fn equal_values_are_all_found() {
        assert_values(&[1.0; 100], &[0.0; 99], &[1.0; 100]);
    }
}
