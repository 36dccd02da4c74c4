//! The command line: one file a command.

mod arguments;
mod combine;
mod compare;
mod drift;
mod gates;
mod grad;
mod inspect;
mod merge;
mod message;
mod mistakes;
mod named_rows;
mod outputs;
mod partial;
mod progress;
mod report;
mod score;
mod suspects;
mod watch;
mod wording;

use std::any::Any;
use std::ffi::OsString;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};

use clap::{CommandFactory, Parser, Subcommand};

use crate::process::take_last_panic;
use crate::report::json::{self, SchemaOf};
use crate::report::metric_list;
use arguments::ListFormat;
use embq_core::error::{Error, Result};
use embq_files::input::quoted;
use outputs::{print, print_styled};

/// Evaluate embeddings: how well do they separate labelled classes?
#[derive(Debug, Parser)]
#[command(name = "embq", version, propagate_version = true, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Rows are numbered from 0. Exit codes: 0 success, 1 a gate failed, 2 wrong usage or bad input.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Score labelled embeddings: silhouettes, compactness and separation
    Score(Box<score::ScoreArguments>),
    /// Compute a loss of labelled embeddings and its exact gradient
    Grad(Box<grad::GradArguments>),
    /// Write an HTML page: silhouettes, classes, confusions, and changes between checkpoints
    Report(Box<report::ReportArguments>),
    /// List the rows that are most likely mislabelled, and suggest labels
    Suspects(Box<suspects::SuspectsArguments>),
    /// Compare checkpoints with a baseline: what changed, and could it be chance?
    Compare(Box<compare::CompareArguments>),
    /// Score every checkpoint that appears in a folder, and stop early
    Watch(Box<watch::WatchArguments>),
    /// Compute the state of a part of a set that lies in many files or on many machines
    Partial(Box<partial::PartialArguments>),
    /// Merge the states of parts: the result of all rows, as `embq score` gives it
    Merge(Box<merge::MergeArguments>),
    /// Measure how far one set of embeddings has moved from another
    Drift(Box<drift::DriftArguments>),
    /// Show what a file contains, and what of it can be embeddings or labels
    Inspect(inspect::InspectArguments),
    /// List all metrics: name, range, direction, cost and source
    Metrics {
        #[arg(long, value_enum, default_value_t)]
        format: ListFormat,
    },
    /// Print the JSON Schema of a result
    Schema {
        /// The command that writes the result
        #[arg(value_enum, default_value_t)]
        of: SchemaOf,
    },
    /// Print a completion script for a shell
    Completions { shell: clap_complete::Shell },
    /// Print the manual page, as roff
    Man,
}

/// How a run without errors ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Success,
    GateFailed,
}

/// Exit code of wrong usage and bad input, which is also that of clap.
const FAILURE: u8 = 2;

/// Runs one command and returns its exit code: 0 for success, 1 for a failed gate, 2 for wrong use or bad input.
///
/// `arguments` are those after the name of the program. Results go to standard output, everything else to standard
/// error. No panic hook and no signal handler is installed; see [`process`](crate::process).
pub fn run(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> u8 {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let line = CommandLine::new(&arguments);
    let arguments = with_selected_stdin_last(arguments);
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

/// Standard input with a selector (`-:f0..f11`) looks like options; after `--` it is a path.
fn with_selected_stdin_last(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let is_selected_stdin = |argument: &OsString| argument.to_str().is_some_and(|text| text.starts_with("-:"));
    let has_separator = arguments.iter().any(|argument| argument == "--");
    if let Some(place) = arguments.iter().position(is_selected_stdin).filter(|_| !has_separator) {
        let stdin = arguments.remove(place);
        arguments.extend(["--".into(), stdin]);
    }
    arguments
}

fn dispatch(arguments: Arguments, line: &CommandLine) -> Result<Outcome> {
    match arguments.command {
        Command::Score(score) => score::run(*score, line),
        Command::Grad(grad) => grad::run(*grad),
        Command::Report(report) => report::run(*report, line),
        Command::Suspects(suspects) => suspects::run(*suspects),
        Command::Compare(compare) => compare::run(*compare, line),
        Command::Watch(watch) => watch::run(&watch),
        Command::Partial(partial) => partial::run(*partial),
        Command::Merge(merge) => merge::run(*merge, line),
        Command::Drift(drift) => drift::run(*drift, line),
        Command::Inspect(inspect) => inspect::run(&inspect),
        Command::Metrics { format: ListFormat::Table } => print_styled(&metric_list::table()),
        Command::Metrics { format: ListFormat::Json } => print(metric_list::json()?.as_bytes()),
        Command::Schema { of } => print(json::schema(of)?.as_bytes()),
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
        self.0.iter().try_for_each(|word| write!(formatter, " {}", quoted(word)))
    }
}

fn described(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    take_last_panic().or(text).or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standard_input_can_have_a_selector() {
        let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
        let moved = with_selected_stdin_last(words("score -:f0..f11 -l labels.csv"));
        assert_eq!(moved, words("score -l labels.csv -- -:f0..f11"));
        assert_eq!(with_selected_stdin_last(words("score - -l labels.csv")), words("score - -l labels.csv"));
    }

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
