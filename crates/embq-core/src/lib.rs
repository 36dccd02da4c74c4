//! Measures how well embeddings separate the classes of their rows.
//!
//! This crate computes silhouettes and soft silhouettes, exactly and without an N x N matrix, other metrics of labelled
//! embeddings, losses with exact gradients, confidence intervals, and comparisons of checkpoints. It does not read or
//! write files or print anything. Results have the same bits for every number of threads.
//!
//! To evaluate a matrix with labels:
//!
//! ```
//! use embq_core::{Dataset, Settings, evaluate};
//! # fn main() -> embq_core::Result<()> {
//! let rows = ndarray::array![[1.0, 0.1], [1.0, 0.3], [0.2, 1.0], [0.4, 1.0]];
//! let result = evaluate(&Dataset::new(rows.view(), ["cat", "cat", "dog", "dog"])?, &Settings::default())?;
//! assert!(result.metric("silhouette").is_some_and(|silhouette| silhouette > 0.8));
//! # Ok(())
//! # }
//! ```
//!
//! The rows are borrowed, not copied. Labels are integers, strings or booleans from any iterator. The distance and the
//! metrics are settings, and every row has a score:
//!
//! ```
//! use embq_core::metrics::Selection;
//! use embq_core::{Dataset, Distance, Settings, evaluate};
//! # fn main() -> embq_core::Result<()> {
//! let rows = ndarray::array![[0.0_f32], [1.0], [3.0], [9.0]];
//! let settings = Settings {
//!     distance: Distance::Euclidean,
//!     metrics: Selection::parse(["silhouette", "davies_bouldin"])?,
//!     ..Settings::default()
//! };
//! let result = evaluate(&Dataset::new(&rows, [0, 0, 1, 1])?, &settings)?;
//! let worst = (0..4).min_by(|i, j| result.rows.silhouette[*i].total_cmp(&result.rows.silhouette[*j]));
//! assert_eq!(worst, Some(2));
//! # Ok(())
//! # }
//! ```
//!
//! Weights and the choice of rows belong to the data set ([`Dataset::builder`]); a gallery, batches and progress
//! reports belong to the evaluation ([`Evaluator`]):
//!
//! ```
//! use embq_core::metrics::Selection;
//! use embq_core::{Dataset, Evaluator, Settings};
//! # fn main() -> embq_core::Result<()> {
//! let queries = ndarray::array![[1.0, 0.1], [0.9, 0.3], [0.2, 1.0], [f64::NAN, 1.0]];
//! let gallery = ndarray::array![[1.0, 0.2], [0.1, 1.0], [0.9, 0.8]];
//! let queries = Dataset::builder(&queries, ["cat", "cat", "dog", "dog"]).drop_invalid().build()?;
//! let gallery = Dataset::new(&gallery, ["cat", "dog", "dog"])?;
//! let settings = Settings { metrics: Selection::parse(["recall"])?, ks: vec![1], rows: false, ..Settings::default() };
//! let result = Evaluator::new(&settings).gallery(&gallery).evaluate(&queries)?;
//! assert_eq!(result.metric("recall@1"), Some(1.0));
//! # Ok(())
//! # }
//! ```
//!
//! [`losses`] are for training loops: they take a view of the batch and return a gradient of the same shape.
//!
//! ```
//! use embq_core::losses::SoftSilhouette;
//! # fn main() -> embq_core::Result<()> {
//! let batch = ndarray::array![[1.0, 0.1], [1.0, 0.3], [0.2, 1.0], [0.4, 1.0_f32]];
//! let labels = [0, 0, 1, 1];
//! let step = SoftSilhouette::new(0.1).loss_and_gradient(batch.view(), &labels)?;
//! let moved = &batch - &(&step.gradient * 0.1);
//! assert!(SoftSilhouette::new(0.1).loss(moved.view(), &labels)? < step.loss);
//! # Ok(())
//! # }
//! ```
//!
//! Errors suggest a remedy as a value, and long computations can be cancelled ([`progress::Progress`]):
//!
//! ```
//! use embq_core::{Cure, Dataset, Error, Settings, evaluate};
//! # fn main() -> embq_core::Result<()> {
//! let rows = ndarray::array![[1.0, 0.1], [f64::INFINITY, 0.3], [0.2, 1.0], [0.4, 1.0]];
//! let error = evaluate(&Dataset::new(&rows, [0, 0, 1, 1])?, &Settings::default()).unwrap_err();
//! assert!(matches!(error, Error::NonFinite { row: 1, column: 0, .. }));
//! assert_eq!(error.cure(), Some(Cure::DropInvalid));
//! # Ok(())
//! # }
//! ```

#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

pub mod comparison;
pub mod data;
pub mod distance;
pub mod drift;
pub mod error;
pub mod evaluation;
mod evaluator;
pub mod losses;
pub mod metrics;
pub mod partial;
pub mod progress;
pub mod similarity;
pub mod suspects;

// For the program and its file formats; these may change at any time.
#[doc(hidden)]
pub mod detail;
#[doc(hidden)]
pub mod kernels;
#[doc(hidden)]
pub mod objective;
#[doc(hidden)]
pub mod quantity;
#[doc(hidden)]
pub mod statistics;
#[doc(hidden)]
pub mod uncertainty;

pub use data::{Dataset, DatasetBuilder};
pub use distance::Distance;
pub use error::{Cure, Error, Result};
pub use evaluation::{Evaluation, Scored, Settings, Temperature};
pub use evaluator::{Evaluator, evaluate};
