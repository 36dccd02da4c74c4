//! The binary as its users see it: arguments in, files, streams and exit codes out.

mod bad_input;
mod folder;
mod gates;
mod others;
mod outputs;
mod score;
