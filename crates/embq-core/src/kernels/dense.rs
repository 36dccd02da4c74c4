//! Sums over the elements of rows, in eight lanes so that the compiler can use vector registers of any width; minima.
//!
//! The lanes of a sum are added in a fixed order, so the result does not depend on the register width.

use crate::data::Element;
use crate::kernels::Real;
use crate::kernels::vectorized::{Simd, WithSimd, with_simd};

/// Parallel sums in one vector register, or several narrower ones.
pub(crate) const LANES: usize = 8;

/// Groups of lanes summed independently, so that additions need not wait for each other.
const GROUPS: usize = 4;

/// Cosine distances up to this are rounding errors and count as 0.
pub(crate) const COSINE_ZERO: f64 = 1e-28;

/// Sums in lanes, added in a fixed order.
#[derive(Default)]
struct Lanes([[f64; LANES]; GROUPS]);

impl Lanes {
    #[inline(always)]
    fn total(self, rest: f64) -> f64 {
        let [first, second, third, fourth] = self.0;
        let lanes: [f64; LANES] =
            std::array::from_fn(|lane| (first[lane] + second[lane]) + (third[lane] + fourth[lane]));
        ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7])) + rest
    }
}

/// A cosine distance without its rounding error.
#[inline(always)]
pub(crate) fn cosine_or_zero(distance: f64) -> f64 {
    if distance <= COSINE_ZERO { 0.0 } else { distance }
}

/// Elements in chunks of all lanes, then of one group of lanes, then single.
type Chunks<'a, T> = (&'a [[[T; LANES]; GROUPS]], &'a [[T; LANES]], &'a [T]);

#[inline(always)]
fn in_chunks<T>(x: &[T]) -> Chunks<'_, T> {
    let (groups, rest) = x.as_chunks::<LANES>();
    let (chunks, groups) = groups.as_chunks::<GROUPS>();
    (chunks, groups, rest)
}

/// The sum of `term` over the elements of a slice.
#[inline(always)]
pub(crate) fn lane_sum<T: Copy>(x: &[T], term: impl Fn(T) -> f64) -> f64 {
    let mut lanes = Lanes::default();
    let (chunks, groups, rest) = in_chunks(x);
    for chunk in chunks {
        for (sums, group) in lanes.0.iter_mut().zip(chunk) {
            for (sum, &value) in sums.iter_mut().zip(group) {
                *sum += term(value);
            }
        }
    }
    for group in groups {
        for (sum, &value) in lanes.0[0].iter_mut().zip(group) {
            *sum += term(value);
        }
    }
    lanes.total(rest.iter().map(|&value| term(value)).sum())
}

/// The sum of the values and that of their squares, each as [`lane_sum`] adds it.
#[inline(always)]
pub(crate) fn lane_sum_and_squares<T: Real>(x: &[T]) -> [f64; 2] {
    let [mut sums, mut squares] = [Lanes::default(), Lanes::default()];
    let (chunks, groups, rest) = in_chunks(x);
    for chunk in chunks {
        for ((sums, squares), values) in sums.0.iter_mut().zip(&mut squares.0).zip(chunk) {
            for ((sum, square), value) in sums.iter_mut().zip(squares).zip(values) {
                let value = value.to_f64();
                *sum += value;
                *square += value * value;
            }
        }
    }
    for values in groups {
        for ((sum, square), value) in sums.0[0].iter_mut().zip(&mut squares.0[0]).zip(values) {
            let value = value.to_f64();
            *sum += value;
            *square += value * value;
        }
    }
    let rest = || rest.iter().map(|value| value.to_f64());
    [sums.total(rest().sum()), squares.total(rest().map(|value| value * value).sum())]
}

/// The sum of `term` over the elements of two slices of the same length.
#[inline(always)]
pub(crate) fn lane_sum_2<T: Copy, U: Copy>(x: &[T], y: &[U], term: impl Fn(T, U) -> f64) -> f64 {
    let mut lanes = Lanes::default();
    let ((x, x_groups, x_rest), (y, y_groups, y_rest)) = (in_chunks(x), in_chunks(y));
    for (x, y) in x.iter().zip(y) {
        for group in 0..GROUPS {
            for lane in 0..LANES {
                lanes.0[group][lane] += term(x[group][lane], y[group][lane]);
            }
        }
    }
    for (x, y) in x_groups.iter().zip(y_groups) {
        for lane in 0..LANES {
            lanes.0[0][lane] += term(x[lane], y[lane]);
        }
    }
    lanes.total(x_rest.iter().zip(y_rest).map(|(&x, &y)| term(x, y)).sum())
}

/// The sum of `term` over the elements of three slices of the same length.
#[inline(always)]
pub(crate) fn lane_sum_3<T: Copy>(x: &[T], y: &[f64], z: &[f64], term: impl Fn(T, f64, f64) -> f64) -> f64 {
    let mut lanes = Lanes::default();
    let (x, x_groups, x_rest) = in_chunks(x);
    let ((y, y_groups, y_rest), (z, z_groups, z_rest)) = (in_chunks(y), in_chunks(z));
    for ((x, y), z) in x.iter().zip(y).zip(z) {
        for group in 0..GROUPS {
            for lane in 0..LANES {
                lanes.0[group][lane] += term(x[group][lane], y[group][lane], z[group][lane]);
            }
        }
    }
    for ((x, y), z) in x_groups.iter().zip(y_groups).zip(z_groups) {
        for lane in 0..LANES {
            lanes.0[0][lane] += term(x[lane], y[lane], z[lane]);
        }
    }
    lanes.total(x_rest.iter().zip(y_rest).zip(z_rest).map(|((&x, &y), &z)| term(x, y, z)).sum())
}

/// The smallest value; infinity if there are none.
pub(crate) fn minimum(values: &[f64]) -> f64 {
    with_simd(Minimum(values))
}

/// The first position of the smallest value, and that value, excluding the position `without`. `None` if no other value
/// is below infinity.
pub(crate) fn smallest(values: &[f64], without: Option<usize>) -> Option<(usize, f64)> {
    with_simd(Smallest { values, without })
}

struct Minimum<'a>(&'a [f64]);

impl WithSimd for Minimum<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        let (vectors, rest) = S::as_simd_f64s(self.0);
        let (pairs, last) = vectors.as_chunks::<2>();
        let mut least = [simd.splat_f64s(f64::INFINITY); 2];
        for [first, second] in pairs {
            least = [simd.min_f64s(least[0], *first), simd.min_f64s(least[1], *second)];
        }
        for vector in last {
            least[0] = simd.min_f64s(least[0], *vector);
        }
        rest.iter().copied().fold(simd.reduce_min_f64s(simd.min_f64s(least[0], least[1])), f64::min)
    }
}

struct Smallest<'a> {
    values: &'a [f64],
    without: Option<usize>,
}

impl WithSimd for Smallest<'_> {
    type Output = Option<(usize, f64)>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Option<(usize, f64)> {
        /// Values searched for a position at a time.
        const BLOCK: usize = 128;
        let Smallest { values, without } = self;
        let (mut smallest, mut block_start) = (f64::INFINITY, None);
        for (block, start) in values.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
            let least = match without.and_then(|without| without.checked_sub(start)) {
                Some(without) if without < block.len() => {
                    let before = Minimum(&block[..without]).with_simd(simd);
                    before.min(Minimum(&block[without + 1..]).with_simd(simd))
                }
                _ => Minimum(block).with_simd(simd),
            };
            if least < smallest {
                (smallest, block_start) = (least, Some(start));
            }
        }
        let mut start = block_start?;
        loop {
            let position = start + position_of(simd, values.get(start..)?, smallest)?;
            if Some(position) != without {
                return Some((position, smallest));
            }
            start = position + 1;
        }
    }
}

/// The first position of a value.
#[inline(always)]
fn position_of<S: Simd>(simd: S, values: &[f64], value: f64) -> Option<usize> {
    let wanted = simd.splat_f64s(value);
    let mut start = 0;
    for vector in S::as_simd_f64s(values).0 {
        // Shows whether there is one, but not where in all versions of the crate.
        if simd.first_true_m64s(simd.equal_f64s(*vector, wanted)) < S::F64_LANES {
            break;
        }
        start += S::F64_LANES;
    }
    let position = values[start..].iter().position(|&other| other == value)?;
    Some(start + position)
}

/// The largest |x_k|; 0 if the slice is empty.
#[inline(always)]
pub(crate) fn largest_magnitude<T: Real>(x: &[T]) -> f64 {
    let (groups, rest) = x.as_chunks::<LANES>();
    let mut largest = [T::default(); LANES];
    let larger = |largest: T, value: T| if value.magnitude() > largest { value.magnitude() } else { largest };
    for group in groups {
        for (largest, value) in largest.iter_mut().zip(group) {
            *largest = larger(*largest, *value);
        }
    }
    largest.into_iter().chain(rest.iter().copied()).fold(T::default(), larger).to_f64()
}

/// |x|^2.
#[inline(always)]
pub(crate) fn squared_norm<T: Element>(x: &[T]) -> f64 {
    lane_sum(x, |x| x.to_f64() * x.to_f64())
}

/// |x - y|^2.
#[inline(always)]
pub(crate) fn squared_distance<T: Element>(x: &[T], y: &[T]) -> f64 {
    lane_sum_2(x, y, |x, y| {
        let difference = x.to_f64() - y.to_f64();
        difference * difference
    })
}

/// The sum of |x_k - y_k|.
#[inline(always)]
pub(crate) fn manhattan_distance<T: Element>(x: &[T], y: &[T]) -> f64 {
    lane_sum_2(x, y, |x, y| (x.to_f64() - y.to_f64()).abs())
}

/// The factors that make a row a unit vector: first a power of two, then the inverse norm. Two steps, so that squares
/// of tiny rows do not underflow and those of huge rows do not overflow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RowScale {
    power: f64,
    inverse_norm: f64,
}

impl RowScale {
    /// Leaves a row unchanged.
    pub(crate) const ONE: RowScale = RowScale { power: 1.0, inverse_norm: 1.0 };

    /// Makes a row a unit vector, or leaves it unchanged.
    #[inline(always)]
    pub(crate) fn of<T: Element>(row: &[T], unit: bool) -> Self {
        if unit { RowScale::unit(row) } else { RowScale::ONE }
    }

    /// Makes a nonzero row a unit vector.
    #[inline(always)]
    pub(crate) fn unit<T: Element>(row: &[T]) -> Self {
        let squared = squared_norm(row);
        let power: f64 = match squared {
            ordinary if (1e-200..1e200).contains(&ordinary) => {
                return RowScale { power: 1.0, inverse_norm: 1.0 / ordinary.sqrt() };
            }
            tiny if tiny < 1.0 => 2f64.powi(600),
            _ => 2f64.powi(-600),
        };
        let squared = lane_sum(row, |value| (value.to_f64() * power) * (value.to_f64() * power));
        RowScale { power, inverse_norm: 1.0 / squared.sqrt() }
    }

    /// Whether [`RowScale::unit`] found a length that is not zero, infinite, NaN or extreme.
    pub(crate) fn is_ordinary(self) -> bool {
        self.power == 1.0
    }

    /// One scaled element.
    #[inline(always)]
    pub(crate) fn apply(self, value: f64) -> f64 {
        (value * self.power) * self.inverse_norm
    }

    /// The scaled row in float64.
    #[inline(always)]
    pub(crate) fn apply_to<T: Element>(self, row: &[T], out: &mut [f64]) {
        for (target, value) in out.iter_mut().zip(row) {
            *target = self.apply(value.to_f64());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::vectorized::in_every_width;

    #[test]
    fn every_element_is_summed_once() {
        for length in [0usize, 1, 7, 8, 9, 31, 32, 41, 77] {
            let x: Vec<f64> = (1..=length).map(|k| k as f64).collect();
            let total = (length * (length + 1) / 2) as f64;
            assert_eq!(lane_sum(&x, |x| x), total);
            assert_eq!(lane_sum_and_squares(&x), [total, lane_sum(&x, |x| x * x)]);
            assert_eq!(lane_sum_2(&x, &x, |x, y| x + y), 2.0 * total);
            assert_eq!(lane_sum_3(&x, &x, &x, |x, y, z| x + y + z), 3.0 * total);
        }
    }

    #[test]
    fn the_smallest_value_is_found_at_its_first_position() {
        for length in [0usize, 1, 2, 7, 8, 9, 127, 128, 129, 300] {
            let values: Vec<f64> = (0..length).map(|index| ((index * 5 + 3) % 11) as f64).collect();
            for without in (0..length).map(Some).chain([None]) {
                let mut expected = None;
                for (position, &value) in values.iter().enumerate().filter(|(position, _)| Some(*position) != without) {
                    if expected.is_none_or(|(_, least)| value < least) {
                        expected = Some((position, value));
                    }
                }
                for found in in_every_width(|| Smallest { values: &values, without }) {
                    assert_eq!(found, expected, "{length} {without:?}");
                }
            }
            let least = values.iter().copied().fold(f64::INFINITY, f64::min);
            assert!(in_every_width(|| Minimum(&values)).iter().all(|found| *found == least));
        }
        assert_eq!(smallest(&[f64::INFINITY; 3], None), None);
    }

    #[test]
    fn the_largest_magnitude_is_found_wherever_it_lies() {
        for length in [1usize, 7, 8, 9, 40] {
            for place in 0..length {
                let x: Vec<f32> = (0..length).map(|k| if k == place { -3.0 } else { 2.0 }).collect();
                assert_eq!(largest_magnitude(&x), 3.0);
            }
        }
        assert_eq!(largest_magnitude::<f64>(&[]), 0.0);
    }

    #[test]
    fn extreme_rows_become_unit_vectors() {
        for size in [f64::MIN_POSITIVE / 4.0, 1e-160, 1.0, 1e160, 1e308] {
            let row = [0.6 * size, -0.8 * size];
            let mut unit = [0.0; 2];
            RowScale::unit(&row).apply_to(&row, &mut unit);
            assert!((unit[0] - 0.6).abs() < 1e-15 && (unit[1] + 0.8).abs() < 1e-15, "{size:e}: {unit:?}");
        }
    }
}
