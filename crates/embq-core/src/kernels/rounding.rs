//! What rounding can have done to a gradient, found on the way to it.

use crate::data::Precision;
use crate::kernels::Real;

/// The error of a gradient that is promised, as a share of its largest entry.
const BOUND: f64 = 1e-5;

/// The largest number of a gradient, and what float32 products can have moved one of its numbers by.
///
/// A sum of terms w (x - m) whose vectors are rounded to float32 and whose two parts are summed apart errs by units in the
/// last place of the sum of |w| (|x| + |m|), however little is left of it: where classes lie so close to each other that
/// everything cancels, that is more than the gradient itself.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Rounding {
    pub(crate) error: f64,
    pub(crate) largest: f64,
}

impl Rounding {
    /// The larger of each.
    pub(crate) fn or(self, other: Rounding) -> Rounding {
        Rounding { error: self.error.max(other.error), largest: self.largest.max(other.largest) }
    }

    /// Whether products of this type cannot keep the promise. Those of float64 are as good as it gets.
    pub(crate) fn is_too_much_for<T: Real>(self) -> bool {
        T::PRECISION == Precision::F32 && self.error > BOUND * self.largest
    }
}
