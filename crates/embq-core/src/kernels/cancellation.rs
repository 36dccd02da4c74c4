//! Squared distances from products, and the cancellation in them.

use crate::kernels::Real;

/// Decides whether |x|^2 + |y|^2 - 2 x.y is accurate enough, or so much has cancelled that the squared distance must be
/// recomputed from differences.
#[derive(Clone, Copy)]
pub(crate) struct Cancellation<U> {
    /// The minimum share of |x|^2 + |y|^2 that must remain.
    pub(crate) share: U,
    /// The minimum of |x|^2 + |y|^2: below it, the product may have underflowed.
    pub(crate) least: U,
}

impl<T: Real> Cancellation<T> {
    /// For the distances of single pairs, in the type of the product.
    pub(crate) fn of_pairs() -> Self {
        Cancellation { share: T::from_f64(T::PAIR_CANCELLATION), least: T::from_f64(T::UNDERFLOW) }
    }
}

impl Cancellation<f64> {
    /// For products of type `T` whose terms are added in float64.
    pub(crate) fn of<T: Real>() -> Self {
        Cancellation { share: T::CANCELLATION, least: T::UNDERFLOW }
    }
}

impl<U: Real> Cancellation<U> {
    /// |x|^2 + |y|^2 - 2 x.y from `terms`, which is |x|^2 + |y|^2, and the product x.y; and whether it is accurate
    /// enough.
    #[inline(always)]
    pub(crate) fn squared(self, terms: U, product: U) -> (U, bool) {
        let difference = terms - (product + product);
        (difference, self.leaves(terms, difference))
    }

    /// Whether enough of the terms remains.
    #[inline(always)]
    pub(crate) fn leaves(self, terms: U, difference: U) -> bool {
        // Written so that NaN and infinity fail.
        (difference >= self.share * terms) & (terms >= self.least) & (difference < U::from_f64(f64::INFINITY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cancelled_underflowed_or_overflowed_does_not_pass() {
        let cancellation = Cancellation::<f64> { share: 0.25, least: 1e-3 };
        // |x|^2 = |y|^2 = 1: a quarter of the terms is left at x.y = 3/4.
        assert_eq!(cancellation.squared(2.0, 0.75), (0.5, true));
        assert_eq!(cancellation.squared(2.0, 0.8), (2.0 - 1.6, false));
        assert_eq!(cancellation.squared(1e-4, 0.0), (1e-4, false));
        assert!(!cancellation.squared(f64::INFINITY, 0.0).1);
        assert!(!cancellation.squared(2.0, f64::NAN).1);
    }
}
