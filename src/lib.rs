//! embq evaluates embeddings: how well does a space separate the classes of its rows?
//!
//! The library has the rooms of a house through which data flow in one direction: [`input`] reads files into [`data`],
//! [`kernels`] turn rows into mean distances to classes, [`metrics`] turn those into numbers, and [`evaluation`] puts
//! the numbers of one input together. [`losses`] are for training loops, and [`objective`] puts a loss and its gradient
//! together. The command line stands on top and adds nothing to the numbers.
//!
//! ```
//! use embq::data::{Dataset, DatasetOptions, Embeddings, LabelColumnBuilder, LabelType, Origin};
//! use embq::distance::Distance;
//! use embq::evaluation::{Settings, evaluate};
//! use embq::progress::Silent;
//! use ndarray::array;
//!
//! # fn main() -> embq::Result<()> {
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

pub mod cli;
pub mod comparison;
pub mod data;
pub mod detail;
pub mod distance;
pub mod error;
pub mod evaluation;
pub mod gate;
pub mod input;
pub mod kernels;
pub mod losses;
pub mod memory;
pub mod metrics;
pub mod objective;
pub mod progress;
pub mod report;
pub mod statistics;
pub mod suspects;
pub mod uncertainty;

pub use error::{Error, Result};
