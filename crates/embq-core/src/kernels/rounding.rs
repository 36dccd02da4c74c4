//! Bounds the rounding error of a gradient while it is computed.

use crate::data::Precision;
use crate::kernels::Real;

/// The guaranteed error of a gradient, relative to its largest entry.
const BOUND: f64 = 1e-5;

/// The largest entry of a gradient, and a bound on the error of its entries from float32 products.
///
/// A sum of terms w (x - m) whose vectors are rounded to float32 and whose two parts are summed separately has an error
/// of units in the last place of the sum of |w| (|x| + |m|), however much of it cancels. If classes are so close to
/// each other that everything cancels, this is more than the gradient itself.
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

    /// Whether products of this type cannot meet the guarantee. Those of float64 are as good as it gets.
    pub(crate) fn is_too_much_for<T: Real>(self) -> bool {
        T::PRECISION == Precision::F32 && self.error > BOUND * self.largest
    }
}
