//! The command line: one file a command.

mod args;
mod ci;
mod compare;
mod grad;
mod inspect;
mod message;
mod mistakes;
mod named_rows;
mod progress;
mod report;
mod score;
mod suspects;

use std::any::Any;
use std::ffi::OsString;
use std::fmt;
use std::io::Write;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;

use anstream::adapter::strip_str;
use clap::{CommandFactory, Parser};

use crate::process::take_last_panic;
use crate::report::output::{OutputFile, WrittenFile};
use crate::report::{Format, comparison, gradient, json, metric_list, suspects as suspected};
use embq_core::error::{Error, Result};
use embq_files::input;

use args::{Arguments, Command, ListFormat, SchemaOf};

/// How a run ended that was not cut short by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Success,
    GateFailed,
}

/// Exit code of wrong use and bad input; also that of clap.
const FAILURE: u8 = 2;

/// Runs one command and returns its exit code: 0 for success, 1 for a failed gate, 2 for wrong use or bad input.
///
/// `arguments` are those after the name of the program. Results go to standard output, everything else to standard
/// error. No panic hook and no signal handler is installed; see [`process`](crate::process).
pub fn run(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let line = CommandLine::new(&arguments);
    let name = OsString::from("embq");
    let parsed = match Arguments::try_parse_from(std::iter::once(&name).chain(&arguments)) {
        Ok(parsed) => parsed,
        Err(error) => {
            if let Some(meant) = mistakes::explained(line.words(), &error) {
                message::error(&meant);
                return FAILURE;
            }
            // Help that cannot be printed has no reader.
            let _ = error.print();
            return error.exit_code().try_into().unwrap_or(FAILURE);
        }
    };
    match panic::catch_unwind(AssertUnwindSafe(|| dispatch(parsed, &line))) {
        Ok(Ok(Outcome::Success)) => 0,
        Ok(Ok(Outcome::GateFailed)) => 1,
        Ok(Err(error)) => {
            message::error(&error);
            FAILURE
        }
        Err(payload) => {
            message::defect(&described(payload.as_ref()));
            FAILURE
        }
    }
}

fn dispatch(arguments: Arguments, line: &CommandLine) -> Result<Outcome> {
    match arguments.command {
        Command::Score(score) => score::run(*score, line),
        Command::Grad(grad) => grad::run(*grad),
        Command::Report(report) => report::run(*report, line),
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

/// The arguments as they were given, for messages and pages that repeat them.
pub(crate) struct CommandLine(Vec<String>);

impl CommandLine {
    fn new(arguments: &[OsString]) -> Self {
        CommandLine(arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect())
    }

    /// The arguments, without the name of the program.
    fn words(&self) -> &[String] {
        &self.0
    }
}

/// The whole command as a shell reads it.
impl fmt::Display for CommandLine {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("embq")?;
        self.0.iter().try_for_each(|word| write!(formatter, " {}", shell_word(word)))
    }
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

fn described(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    take_last_panic().or(text).or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}
