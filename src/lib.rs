//! The program embq: arguments, gates, and results as people and programs read them.
//!
//! What it computes is computed by [`embq_core`], and files are read and written by [`embq_files`].

#![deny(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::expect_used))]

pub mod cli;
pub mod gate;
pub mod memory;
pub mod process;
pub mod report;
