//! The numeric heart of embq: how well does a space of embeddings separate the classes of its rows?
//!
//! Data flow through the rooms in one direction: [`kernels`] turn the rows of [`data`] into mean distances to classes,
//! [`metrics`] turn those into numbers, and [`evaluation`] puts the numbers of one input together. [`losses`] are for
//! training loops, and [`objective`] puts a loss and its gradient together. Nothing here reads or writes files, and
//! nothing prints.
//!
//! ```
//! use embq_core::data::{Dataset, DatasetOptions, Embeddings, LabelColumnBuilder, LabelType, Origin};
//! use embq_core::distance::Distance;
//! use embq_core::evaluation::{Settings, evaluate};
//! use embq_core::progress::Silent;
//! use ndarray::array;
//!
//! # fn main() -> embq_core::Result<()> {
//! let embeddings = array![[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0]];
//! let mut labels = LabelColumnBuilder::new(LabelType::Text);
//! for label in ["near", "near", "far", "far"] {
//!     labels.push_text(label);
//! }
//! let settings = Settings {
//!     distance: Distance::Euclidean,
//!     ..Settings::default()
//! };
//! let dataset = Dataset::new(
//!     Embeddings::from_f64(Origin::new("embeddings"), embeddings),
//!     &labels.finish(Origin::new("labels")),
//!     settings.distance,
//!     &DatasetOptions::default(),
//! )?;
//! let scored = evaluate(&dataset, &settings, &Silent)?;
//! let silhouette = scored.evaluation.metrics["silhouette"].unwrap();
//! assert!((silhouette - 7.0 / 15.0).abs() < 1e-12);
//! # Ok(())
//! # }
//! ```

#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

pub mod comparison;
pub mod data;
pub mod detail;
pub mod distance;
pub mod error;
pub mod evaluation;
pub mod kernels;
pub mod losses;
pub mod metrics;
pub mod objective;
pub mod progress;
pub mod quantity;
pub mod statistics;
pub mod suspects;
pub mod uncertainty;

pub use error::{Error, Result};
