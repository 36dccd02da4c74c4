//! The `embq` program: arguments in, exit code out.

use std::process::ExitCode;

use embq::cli;
use embq::memory::LimitedAllocator;

#[global_allocator]
static ALLOCATOR: LimitedAllocator = LimitedAllocator;

fn main() -> ExitCode {
    embq_files::set_decoding_guard(&ALLOCATOR);
    cli::main()
}
