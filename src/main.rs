//! The `embq` program: arguments in, exit code out.

use std::process::ExitCode;

use embq::memory::LimitedAllocator;
use embq::{cli, process};

#[global_allocator]
static ALLOCATOR: LimitedAllocator = LimitedAllocator;

fn main() -> ExitCode {
    embq_files::set_decoding_guard(&ALLOCATOR);
    process::record_panics();
    process::delete_temporary_files_on_interrupt();
    ExitCode::from(cli::run(std::env::args_os().skip(1)))
}
