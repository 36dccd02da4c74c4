//! The extension behind the Python package `embq`: it takes arrays and options and returns plain results. The public
//! interface, with its defaults and documentation, is written in Python.

mod compare;
mod drift;
mod errors;
mod input;
mod labels;
mod loss;
mod partial;
mod rows;
mod score;
mod settings;
mod similarity;
mod suspects;
mod work;

use std::ffi::OsString;

use embq::memory::LimitedAllocator;
use pyo3::prelude::*;

/// Of this extension alone. A decoder that asks for more memory than its file can need ends the process: nothing can
/// unwind from an allocator, and without this one Rust would abort.
#[global_allocator]
static ALLOCATOR: LimitedAllocator = LimitedAllocator;

/// Runs the program embq in the current process: signals end the process, and partially written files are deleted.
/// Returns the exit code.
#[pyfunction]
fn run_program(py: Python<'_>, arguments: Vec<OsString>) -> PyResult<u8> {
    release_interrupts(py)?;
    embq::process::record_panics();
    embq::process::delete_temporary_files_on_interrupt();
    Ok(py.detach(|| embq::cli::run(arguments)))
}

/// Restores the default handler of Ctrl-C, because the interpreter would only record it until the program is over. A
/// signal that is ignored, as by `nohup`, stays ignored.
fn release_interrupts(py: Python<'_>) -> PyResult<()> {
    // `_signal` rather than `signal`, whose enumerations take longer to import than the program takes to start.
    let signals = py.import("_signal")?;
    let interrupt = signals.getattr("SIGINT")?;
    if signals.call_method1("getsignal", (&interrupt,))?.is(signals.getattr("default_int_handler")?) {
        signals.call_method1("signal", (&interrupt, signals.getattr("SIG_DFL")?))?;
    }
    Ok(())
}

#[pymodule]
fn _embq(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // Panics of decoders are caught and become errors of the file; this hook only affects this extension.
    std::panic::set_hook(Box::new(|_| {}));
    embq_files::set_decoding_guard(&ALLOCATOR);
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("InputError", module.py().get_type::<errors::InputError>())?;
    module.add_class::<labels::Labels>()?;
    module.add_class::<score::Evaluated>()?;
    module.add_class::<compare::Compared>()?;
    module.add_class::<suspects::Suspected>()?;
    module.add_class::<drift::Drifted>()?;
    module.add_class::<partial::PartMoments>()?;
    module.add_class::<partial::PartScores>()?;
    module.add_class::<partial::PartInfluence>()?;
    module.add_function(wrap_pyfunction!(run_program, module)?)?;
    module.add_function(wrap_pyfunction!(errors::in_python, module)?)?;
    module.add_function(wrap_pyfunction!(score::score, module)?)?;
    module.add_function(wrap_pyfunction!(compare::compare, module)?)?;
    module.add_function(wrap_pyfunction!(suspects::suspects, module)?)?;
    module.add_function(wrap_pyfunction!(similarity::similarity, module)?)?;
    module.add_function(wrap_pyfunction!(drift::drift, module)?)?;
    module.add_function(wrap_pyfunction!(partial::read_state, module)?)?;
    module.add_function(wrap_pyfunction!(loss::silhouette_loss, module)?)
}
