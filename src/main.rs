//! The `embq` program: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;

use embq::cli::{self, Arguments};

fn main() -> ExitCode {
    cli::run(Arguments::parse())
}
