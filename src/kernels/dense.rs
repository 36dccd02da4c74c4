//! Sums over the elements of rows, in eight lanes so that the compiler can use vector registers of any width.
//!
//! The lanes are added in a fixed order: the result does not depend on the register width.

use crate::data::Element;

const LANES: usize = 8;

/// The sum over `length` positions of `term`.
#[inline(always)]
pub(crate) fn lane_sum(length: usize, term: impl Fn(usize) -> f64) -> f64 {
    let mut lanes = [0.0; LANES];
    let whole = length / LANES * LANES;
    let mut start = 0;
    while start < whole {
        for (lane, sum) in lanes.iter_mut().enumerate() {
            *sum += term(start + lane);
        }
        start += LANES;
    }
    let mut rest = 0.0;
    for position in whole..length {
        rest += term(position);
    }
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7])) + rest
}

/// |x|^2.
#[inline(always)]
pub(crate) fn squared_norm<T: Element>(x: &[T]) -> f64 {
    lane_sum(x.len(), |k| {
        let value = x[k].to_f64();
        value * value
    })
}

/// |x - y|^2.
#[inline(always)]
pub(crate) fn squared_distance<T: Element>(x: &[T], y: &[T]) -> f64 {
    let y = &y[..x.len()];
    lane_sum(x.len(), |k| {
        let difference = x[k].to_f64() - y[k].to_f64();
        difference * difference
    })
}

/// The sum of |x_k - y_k|.
#[inline(always)]
pub(crate) fn manhattan_distance<T: Element>(x: &[T], y: &[T]) -> f64 {
    let y = &y[..x.len()];
    lane_sum(x.len(), |k| (x[k].to_f64() - y[k].to_f64()).abs())
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
    pub(crate) const ONE: RowScale = RowScale {
        power: 1.0,
        inverse_norm: 1.0,
    };

    /// Makes a row that is not zero a unit vector.
    #[inline(always)]
    pub(crate) fn unit<T: Element>(row: &[T]) -> Self {
        let squared = squared_norm(row);
        let power: f64 = match squared {
            ordinary if (1e-200..1e200).contains(&ordinary) => {
                return RowScale {
                    power: 1.0,
                    inverse_norm: 1.0 / ordinary.sqrt(),
                };
            }
            tiny if tiny < 1.0 => 2f64.powi(600),
            _ => 2f64.powi(-600),
        };
        let squared = lane_sum(row.len(), |k| {
            let value = row[k].to_f64() * power;
            value * value
        });
        RowScale {
            power,
            inverse_norm: 1.0 / squared.sqrt(),
        }
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
        for length in [0, 1, 7, 8, 9, 31] {
            assert_eq!(lane_sum(length, |k| (k + 1) as f64), (length * (length + 1) / 2) as f64);
        }
    }

    #[test]
    fn extreme_rows_become_unit_vectors() {
        for size in [f64::MIN_POSITIVE / 4.0, 1e-160, 1.0, 1e160, 1e308] {
            let row = [0.6 * size, -0.8 * size];
            let mut unit = [0.0; 2];
            RowScale::unit(&row).apply_to(&row, &mut unit);
            assert!(
                (unit[0] - 0.6).abs() < 1e-15 && (unit[1] + 0.8).abs() < 1e-15,
                "{size:e}: {unit:?}"
            );
        }
    }
}
