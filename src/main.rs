//! The `embq` program: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;

use embq::cli::{self, Arguments};
use embq::memory::LimitedAllocator;

#[global_allocator]
static ALLOCATOR: LimitedAllocator = LimitedAllocator;

fn main() -> ExitCode {
    embq_files::set_decoding_guard(&ALLOCATOR);
    cli::run(Arguments::parse())
}
