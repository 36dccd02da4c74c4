//! What chance can do to a number that is a sum of terms of rows: intervals, p-values, and their correction for several
//! tests.
//!
//! Rows are drawn class by class, as many as the class has: the numbers of rows of the classes are not a matter of chance
//! here.

mod bootstrap;
mod draw;
mod holm;
mod normal;
mod sign_flip;
mod strata;

pub(crate) use bootstrap::TOGETHER;
pub use bootstrap::bootstrap_intervals;
pub use draw::{Draw, Estimate};
pub use holm::holm;
pub use normal::{normal_interval, normal_p_value};
pub use sign_flip::sign_flip_p_value;
pub use strata::Strata;
pub(crate) use strata::redrawn_variance;

/// How sure intervals are.
pub const LEVEL: f64 = 0.95;

/// Draws of a resampling.
pub const DRAWS: usize = 2000;

/// From this many rows on, sums of terms of rows are so nearly normal that the percentiles of all draws there could be
/// follow from their first moments, more closely than 2,000 draws find them; unless a few rows hold most of the sum.
pub const MANY_ROWS: usize = 20_000;
