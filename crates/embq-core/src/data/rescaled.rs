//! Rows multiplied by a power of two, which rounds nothing: for values whose squares leave the range of float64.

use std::ops::Range;
use std::sync::Arc;

use crate::data::derived::{Derivation, Derived};
use crate::data::{Element, EmbeddingRows};
use crate::error::Result;

/// Values multiplied by 2^exponent.
struct Rescaled {
    exponent: i32,
}

impl Derivation for Rescaled {
    fn read<T: Element>(&self, stored: &EmbeddingRows, rows: Range<usize>, out: &mut [T]) -> Result<()> {
        let mut values = vec![0.0; out.len()];
        stored.blocks().read_f64(rows, &mut values)?;
        for (target, value) in out.iter_mut().zip(values) {
            *target = T::from_f64(times_power_of_two(value, self.exponent));
        }
        Ok(())
    }
}

/// A number times 2^exponent, rounded once where it leaves the range of normal numbers.
pub(crate) fn times_power_of_two(mut value: f64, mut exponent: i32) -> f64 {
    // Larger powers are no float64 numbers.
    const STEP: i32 = 1000;
    while exponent.abs() > STEP {
        value *= 2.0_f64.powi(exponent.signum() * STEP);
        exponent -= exponent.signum() * STEP;
    }
    value * 2.0_f64.powi(exponent)
}

impl<'e> EmbeddingRows<'e> {
    /// The same embeddings with every value multiplied by 2^exponent.
    pub(crate) fn rescaled(self: &Arc<Self>, exponent: i32) -> Self {
        self.with_blocks(Derived { stored: Arc::clone(self), derivation: Rescaled { exponent } })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_two_round_nothing_inside_the_range() {
        assert_eq!(times_power_of_two(3.0, 4), 48.0);
        assert_eq!(times_power_of_two(5e-324, 1074), 1.0);
        assert_eq!(times_power_of_two(1.5, -1074 + 1), 1.5 * 2.0_f64.powi(-1000) * 2.0_f64.powi(-73));
        assert_eq!(times_power_of_two(1.0, 1024), f64::INFINITY);
        assert_eq!(times_power_of_two(1.0, -2000), 0.0);
        assert_eq!(times_power_of_two(times_power_of_two(0.1, -800), 800), 0.1);
    }
}
