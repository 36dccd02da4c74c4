//! The command line: one file a command.

mod args;
mod ci;
mod compare;
mod grad;
mod inspect;
mod interrupt;
mod message;
mod mistakes;
mod named_rows;
mod progress;
mod report;
mod score;
mod suspects;
mod wording;

use std::any::Any;
use std::io::Write;
use std::panic;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Mutex;

use anstream::adapter::strip_str;
use clap::{CommandFactory, Parser};

use crate::report::output::{OutputFile, WrittenFile};
use crate::report::{Format, comparison, gradient, json, metric_list, suspects as suspected};
use embq_core::error::{Error, Result};
use embq_files::input;

pub use args::Arguments;
use args::{Command, ListFormat, SchemaOf};

/// How a run ended that was not cut short by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Success,
    GateFailed,
}

/// Exit code of wrong use and bad input; also that of clap.
const FAILURE: u8 = 2;

/// Reads the arguments and runs the command.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => match mistakes::explained(&given(), &error) {
            Some(meant) => {
                message::error(&meant);
                return ExitCode::from(FAILURE);
            }
            None => error.exit(),
        },
    };
    run(arguments)
}

/// Runs a command and turns its outcome into an exit code; an error goes to standard error.
pub fn run(arguments: Arguments) -> ExitCode {
    keep_panics_quiet();
    interrupt::handle();
    match panic::catch_unwind(|| dispatch(arguments)) {
        Ok(Ok(Outcome::Success)) => ExitCode::SUCCESS,
        Ok(Ok(Outcome::GateFailed)) => ExitCode::from(1),
        Ok(Err(error)) => {
            message::error(&error);
            ExitCode::from(FAILURE)
        }
        Err(payload) => {
            message::defect(&described(payload.as_ref()));
            ExitCode::from(FAILURE)
        }
    }
}

fn dispatch(arguments: Arguments) -> Result<Outcome> {
    match arguments.command {
        Command::Score(score) => score::run(*score),
        Command::Grad(grad) => grad::run(*grad),
        Command::Report(report) => report::run(*report),
        Command::Suspects(suspects) => suspects::run(*suspects),
        Command::Compare(compare) => compare::run(*compare),
        Command::Inspect(inspect) => inspect::run(&inspect),
        Command::Metrics { format: ListFormat::Table } => print_styled(&metric_list::table()),
        Command::Metrics { format: ListFormat::Json } => print(metric_list::json()?.as_bytes()),
        Command::Schema { of: SchemaOf::Score } => print(json::schema()?.as_bytes()),
        Command::Schema { of: SchemaOf::Suspects } => print(suspected::schema()?.as_bytes()),
        Command::Schema { of: SchemaOf::Compare } => print(comparison::schema()?.as_bytes()),
        Command::Schema { of: SchemaOf::Grad } => print(gradient::schema()?.as_bytes()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "embq", &mut script);
            print(&script)
        }
        Command::Man => {
            let mut page = Vec::new();
            let rendered = manual(&mut page);
            rendered.map_err(|error| Error::io("manual page", "render", error))?;
            print(&page)
        }
    }
}

/// The manual page of the program, followed by those of its commands.
fn manual(page: &mut Vec<u8>) -> std::io::Result<()> {
    let mut command = Arguments::command();
    command.build();
    clap_mangen::Man::new(command.clone()).render(page)?;
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let name = format!("embq-{}", subcommand.get_name());
        clap_mangen::Man::new(subcommand.clone()).title(name.to_uppercase()).render(page)?;
    }
    Ok(())
}

/// Checks that no output would take the place of an input.
///
/// # Errors
/// The output that is an input.
fn keep_inputs<'a>(
    outputs: impl Iterator<Item = &'a OutputFile>,
    inputs: impl Iterator<Item = &'a String>,
) -> Result<()> {
    let outputs: Vec<&OutputFile> = outputs.collect();
    for path in inputs.flat_map(|input| input::paths_of(input)) {
        if let Some(file) = outputs.iter().find(|file| file.is(Path::new(&path))) {
            return Err(Error::setting(
                format!("{} is an input: the result would take its place", file.shown()),
                "give the output a path of its own",
            ));
        }
    }
    Ok(())
}

/// The command line as a shell would read it again.
fn command_line() -> String {
    let arguments = given().into_iter().map(|argument| shell_word(&argument));
    std::iter::once("embq".to_owned()).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// The arguments as they were given, without the name of the program.
fn given() -> Vec<String> {
    std::env::args_os().skip(1).map(|argument| argument.to_string_lossy().into_owned()).collect()
}

/// An argument as a shell takes it.
fn shell_word(argument: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_./:=,+@%".contains(character);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        return argument.to_owned();
    }
    format!("'{}'", argument.replace('\'', r"'\''"))
}

/// Writes text to standard output, without its styles where these are not wanted.
fn print_styled(text: &str) -> Result<Outcome> {
    let mut stream = anstream::stdout().lock();
    let written = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
    printed(written)
}

/// Writes a result to standard output.
fn print_as(format: Format, text: &str) -> Result<Outcome> {
    if format.is_styled() { print_styled(text) } else { print(text.as_bytes()) }
}

/// Writes a result beside its place, without styles.
fn write_as<'f>(format: Format, file: &'f OutputFile, text: &str) -> Result<WrittenFile<'f>> {
    let plain = if format.is_styled() { strip_str(text).to_string() } else { text.to_owned() };
    file.write(|writer| Ok(writer.write_all(plain.as_bytes())?))
}

/// Writes bytes to standard output as they are.
fn print(bytes: &[u8]) -> Result<Outcome> {
    let mut stream = std::io::stdout().lock();
    let written = stream.write_all(bytes).and_then(|()| stream.flush());
    printed(written)
}

/// A reader that closed the pipe has seen enough: that is no error.
fn printed(written: std::io::Result<()>) -> Result<Outcome> {
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::Output { path: "standard output".to_owned(), problem: error.to_string() })
        }
        _ => Ok(Outcome::Success),
    }
}

static LAST_PANIC: Mutex<Option<String>> = Mutex::new(None);

/// Keeps what a panic says for later: readers catch the panics of the libraries that they use and tell of a broken
/// file, and what is not caught is told by [`run`].
fn keep_panics_quiet() {
    panic::set_hook(Box::new(|info| {
        if let Ok(mut last) = LAST_PANIC.lock() {
            *last = Some(info.to_string());
        }
    }));
}

fn described(payload: &(dyn Any + Send)) -> String {
    let told = LAST_PANIC.lock().ok().and_then(|mut last| last.take());
    told.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}
