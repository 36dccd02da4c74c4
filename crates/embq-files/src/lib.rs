//! The files of embq: [`input`] goes from paths to embeddings and labels, [`output`] brings rows, matrices and arrays back.
//!
//! Every format is here, and nothing else of embq knows how any of them is decoded.

#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod guard;
pub mod input;
pub mod output;

pub use guard::{DecodingGuard, set_decoding_guard};
