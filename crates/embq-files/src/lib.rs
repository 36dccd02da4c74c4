//! File formats of embq: [`input`] reads embeddings and labels, [`output`] writes rows, matrices and arrays.
//!
//! All formats are in this crate; the rest of embq does not depend on how any of them is decoded.

#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

mod guard;
pub mod input;
pub mod output;

pub use guard::{DecodingGuard, set_decoding_guard};
