//! float32 and float64 as used by the kernels.

use std::ops::{Add, AddAssign, Mul, Sub};

use crate::data::Element;

/// The arithmetic of products within a tile.
pub trait Real:
    Element + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + AddAssign + PartialOrd + Send + Sync
{
    /// A mean squared distance below this share of the terms that cancelled in it is recomputed from differences.
    ///
    /// A product of vectors u and v has an error of a few units in the last place of |u| |v|, so a distance that passes
    /// has a relative error of a few units over this share: for float32 less than 1e-6, which gives a silhouette an
    /// error of 2e-6, and for float64 about 1e-11.
    const CANCELLATION: f64;

    /// The same for the distance of a single pair: the square root halves its error, and sums over pairs average it.
    const PAIR_CANCELLATION: f64;

    /// The distance from 1 to the next number.
    const EPSILON: f64;

    /// Squares below this are recomputed too: products of their parts may underflow.
    const UNDERFLOW: f64;

    /// Products of vectors whose squares are below this are finite.
    const CEILING: f64;

    /// |self|.
    fn magnitude(self) -> Self;

    /// The square root.
    fn root(self) -> Self;

    /// The integer part of a number from 0 to 2^30; of other numbers the nearer of these ends, of NaN 0.
    fn truncated(self) -> i32;
}

impl Real for f32 {
    const CANCELLATION: f64 = 0.2;
    const PAIR_CANCELLATION: f64 = 0.05;
    const EPSILON: f64 = f32::EPSILON as f64;
    const UNDERFLOW: f64 = 1e-24;
    const CEILING: f64 = 1e37;

    #[inline(always)]
    fn magnitude(self) -> Self {
        self.abs()
    }

    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    fn truncated(self) -> i32 {
        let number = if self > 0.0 { self } else { 0.0 };
        let number = if number < (1 << 30) as f32 { number } else { (1 << 30) as f32 };
        // A conversion that checks its number is compiled one number at a time.
        // SAFETY: the number is finite and in the range of an i32.
        unsafe { number.to_int_unchecked() }
    }
}

impl Real for f64 {
    const CANCELLATION: f64 = 1e-4;
    const PAIR_CANCELLATION: f64 = 1e-4;
    const EPSILON: f64 = f64::EPSILON;
    const UNDERFLOW: f64 = 1e-280;
    const CEILING: f64 = 1e300;

    #[inline(always)]
    fn magnitude(self) -> Self {
        self.abs()
    }

    #[inline(always)]
    fn root(self) -> Self {
        self.sqrt()
    }

    #[inline(always)]
    #[allow(unsafe_code)]
    fn truncated(self) -> i32 {
        let number = if self > 0.0 { self } else { 0.0 };
        let number = if number < f64::from(1 << 30) { number } else { f64::from(1 << 30) };
        // A conversion that checks its number is compiled one number at a time.
        // SAFETY: the number is finite and in the range of an i32.
        unsafe { number.to_int_unchecked() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truncated<T: Real>() {
        let numbers = [0.0, 0.25, 0.99, 1.0, 4_194_303.5, 2e9, f64::INFINITY, -0.5, -7.0, f64::NAN];
        let found = numbers.map(|number| T::from_f64(number).truncated());
        assert_eq!(found, [0, 0, 0, 1, 4_194_303, 1 << 30, 1 << 30, 0, 0, 0]);
    }

    #[test]
    fn integer_parts_stay_in_their_range() {
        truncated::<f32>();
        truncated::<f64>();
    }
}
