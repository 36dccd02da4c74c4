//! embq evaluates embeddings: how well does a space separate the classes of its rows?

pub mod data;
pub mod distance;
pub mod error;
pub mod evaluation;
pub mod input;
pub mod kernels;
pub mod metrics;
pub mod progress;

pub use error::{Error, Result};
