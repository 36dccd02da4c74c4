//! Sums over the elements of rows, in eight lanes so that the compiler can use vector registers of any width.
//!
//! The lanes are added in a fixed order: the result does not depend on the register width.

use crate::data::Element;

const LANES: usize = 8;

/// Groups of lanes that are summed side by side, so that no addition waits for the one before.
const GROUPS: usize = 4;

/// Sums in lanes, added up in a fixed order.
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

/// Elements in chunks of all lanes, then of one group of lanes, then alone.
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

/// The sum of `term` over the elements of two slices of one length.
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

/// The sum of `term` over the elements of three slices of one length.
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
#[inline(always)]
pub(crate) fn minimum(values: &[f64]) -> f64 {
    let mut lanes = [f64::INFINITY; 8];
    let (chunks, rest) = values.as_chunks::<8>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane = if value < lane { *value } else { *lane };
        }
    }
    lanes.iter().chain(rest).copied().fold(f64::INFINITY, f64::min)
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

/// What a row is multiplied by to become a unit vector: first a power of two, then the inverse norm. Two steps, so that
/// neither the squares of tiny rows vanish nor those of huge rows overflow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RowScale {
    power: f64,
    inverse_norm: f64,
}

impl RowScale {
    /// Leaves a row as it is.
    pub(crate) const ONE: RowScale = RowScale { power: 1.0, inverse_norm: 1.0 };

    /// Makes a row a unit vector, or leaves it as it is.
    #[inline(always)]
    pub(crate) fn of<T: Element>(row: &[T], unit: bool) -> Self {
        if unit { RowScale::unit(row) } else { RowScale::ONE }
    }

    /// Makes a row that is not zero a unit vector.
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

    #[test]
    fn every_element_is_summed_once() {
        for length in [0usize, 1, 7, 8, 9, 31, 32, 41, 77] {
            let x: Vec<f64> = (1..=length).map(|k| k as f64).collect();
            let total = (length * (length + 1) / 2) as f64;
            assert_eq!(lane_sum(&x, |x| x), total);
            assert_eq!(lane_sum_2(&x, &x, |x, y| x + y), 2.0 * total);
            assert_eq!(lane_sum_3(&x, &x, &x, |x, y, z| x + y + z), 3.0 * total);
        }
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
