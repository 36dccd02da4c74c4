//! States of the parts of a set of rows, which merge: the numbers of all rows, wherever they lie.
//!
//! Cosine and squared Euclidean silhouettes, and all metrics of class means, come from sums over rows, and sums merge. So
//! a set that lies in many files or on many machines is evaluated in two passes over its parts, in any order:
//!
//! 1. [`Moments`] of each part: for each class its number of rows, their mean and the sum of squared deviations from it.
//!    They merge to the moments of all rows.
//! 2. [`Scores`] of each part, for which the moments of all rows are known: sums of the scores of the rows. They merge to
//!    those of all rows, and [`Scores::finish`] makes the same [`Evaluation`](crate::Evaluation) of them as
//!    [`evaluate`](crate::evaluate) does of the rows themselves.
//!
//! Intervals take a third one: [`Influence`] of each part, for which the scores of all rows are known.
//!
//! ```
//! use embq_core::partial::{Kept, Moments, PartRows, Scores};
//! use embq_core::progress::NoProgress;
//! use embq_core::{Dataset, Settings, evaluate};
//!
//! # fn main() -> embq_core::Result<()> {
//! let rows = ndarray::array![[1.0, 0.1], [1.0, 0.3], [0.2, 1.0], [0.4, 1.0]];
//! let (settings, choice) = (Settings::default(), Default::default());
//! let first = PartRows::new(rows.slice(ndarray::s![..1, ..]), ["cat"]);
//! let second = PartRows::new(rows.slice(ndarray::s![1.., ..]), ["cat", "dog", "dog"]);
//!
//! let mut moments = Moments::of_part(&first, &settings, &choice, &NoProgress)?;
//! moments.merge(Moments::of_part(&second, &settings, &choice, &NoProgress)?)?;
//! let mut scores = Scores::of_part(&first, &moments, Kept::default(), &NoProgress)?.0;
//! scores.merge(Scores::of_part(&second, &moments, Kept::default(), &NoProgress)?.0)?;
//!
//! let merged = scores.finish(&moments, false)?;
//! let whole = evaluate(&Dataset::new(&rows, ["cat", "cat", "dog", "dog"])?, &settings)?;
//! let difference = merged.metric("silhouette").unwrap() - whole.metric("silhouette").unwrap();
//! assert!(difference.abs() < 1e-12);
//! # Ok(())
//! # }
//! ```

mod content;
mod header;
mod influence;
mod moments;
mod part;
mod pulls;
mod scores;
mod table;

pub use crate::metrics::StateKind;
pub use header::{Part, StateSettings};
pub use influence::Influence;
pub use moments::Moments;
pub use part::PartRows;
pub use scores::{Kept, Scores};
pub use table::{StateColumn, StateHeader, StateTable, states_in_order};

/// The version of the states that this library writes, and the only one that it reads.
pub const STATE_VERSION: u32 = 1;
