//! `embq merge`: from the states of parts to the result of all rows, or to one state.

use std::time::Instant;

use clap::Args;

use crate::cli::Outcome;
use crate::cli::arguments::{ClassArguments, OutputArguments, RunArguments};
use crate::cli::gates::{self, GateArguments, GateReport};
use crate::cli::outputs::Outputs;
use crate::cli::partial::{is_state, write_state};
use crate::report::{Format, is_page};
use embq_core::error::{Error, Result};
use embq_core::evaluation::Scored;
use embq_core::metrics::{METRICS, StateKind};
use embq_core::partial::{Moments, Scores, StateHeader, StateSettings, StateTable, states_in_order};
use embq_files::input;
use embq_files::output::matrix::{self, MatrixFormat};

#[derive(Debug, Args)]
#[command(mut_arg("output", |output| output.help(OUTPUT)))]
#[command(after_help = "\
Examples:
  embq merge p/*.arrow -o moments.arrow
  embq merge s/*.arrow --moments moments.arrow
  embq merge s/*.arrow --moments moments.arrow -o result.json --fail-if 'silhouette < 0.3'
  embq merge s/1*.arrow -o some.arrow")]
pub(crate) struct MergeArguments {
    /// States of parts, which `embq partial` and `embq merge` write, in any order
    #[arg(value_name = "STATES", required = true, num_args = 1..)]
    states: Vec<String>,

    /// Merged moments of all parts, which the scores were made with
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    moments: Option<String>,

    /// Exit with code 1 if this is true, such as 'silhouette < 0.3'; can be given multiple times
    #[arg(long, value_name = "EXPR", help_heading = "Gates")]
    fail_if: Vec<String>,

    #[command(flatten)]
    gates: GateArguments,

    #[command(flatten)]
    output: OutputArguments,

    /// Write the mean distances between all pairs of classes: .csv .parquet .json .npy
    #[arg(long, value_name = "FILE", requires = "moments", help_heading = "Output")]
    matrix_out: Option<String>,

    #[command(flatten)]
    classes: ClassArguments,

    #[command(flatten)]
    run: RunArguments,
}

/// This command can also write states.
const OUTPUT: &str = "Write the merged state (.arrow), or the result; its extension selects the format: .json .md .csv .txt; can be given multiple times";

pub(crate) fn run(mut arguments: MergeArguments) -> Result<Outcome> {
    if let Some(page) = arguments.output.output.iter().find(|path| is_page(path)) {
        let problem = format!("{page}: a page draws single rows, which states do not hold");
        return Err(Error::setting(problem, "write .json, .md, .csv or .txt; embq report draws the page of files"));
    }
    let state_outputs: Vec<String> = arguments.output.output.extract_if(.., |path| is_state(path)).collect();
    // A merged state alone needs no result.
    let wants_result = state_outputs.is_empty()
        || !arguments.output.output.is_empty()
        || !arguments.fail_if.is_empty()
        || arguments.matrix_out.is_some();
    let gate_report = GateReport::check("embq merge", &arguments.gates)?;
    let matrix_format = arguments.matrix_out.as_deref().map(MatrixFormat::of_file).transpose()?;
    let others = [&arguments.matrix_out, &arguments.gates.junit].into_iter().flatten().chain(&state_outputs);
    let inputs = arguments.states.iter().chain(&arguments.moments);
    let mut outputs = Outputs::check(&arguments.output, arguments.run.quiet, others, inputs)?;
    arguments.run.start();

    let started = Instant::now();
    let paths: Vec<String> = arguments.states.iter().flat_map(|path| input::paths_of(path)).collect();
    let headers: Vec<StateHeader> = paths.iter().map(|path| input::state::read_header(path)).collect::<Result<_>>()?;
    let kind = one_kind(&paths, &headers)?;
    let order = states_in_order(&headers);
    let paths = || order.iter().map(|&index| paths[index].as_str());
    let moments = arguments.moments.as_ref().map(|path| Moments::from_table(&input::state::read(path)?, path));
    let moments = moments.transpose()?;
    let merged = match kind {
        StateKind::Moments => {
            if let Some(path) = &arguments.moments {
                let problem = format!("--moments {path}: the states are moments themselves");
                return Err(Error::setting(problem, "leave out --moments, or merge the scores that were made with it"));
            }
            Merged::Moments(Box::new(fold(paths(), Moments::from_table, Moments::merge)?))
        }
        StateKind::Scores => Merged::Scores(Box::new(fold(paths(), Scores::from_table, Scores::merge)?)),
    };
    let read_seconds = started.elapsed().as_secs_f64();
    if !state_outputs.is_empty() {
        let table = merged.to_table()?;
        state_outputs.iter().try_for_each(|path| write_state(&mut outputs, path, &table))?;
    }
    if !wants_result {
        outputs.publish()?;
        return Ok(Outcome::Success);
    }

    let settings = merged.settings().settings();
    let gates = gates::parse(&arguments.fail_if, &settings, false)?;
    let view = arguments.classes.view(&settings)?;
    let started = Instant::now();
    let Scored { mut evaluation, matrix, .. } = merged.finish(moments.as_ref(), matrix_format.is_some())?;
    evaluation.timing = arguments.run.timing(read_seconds, started.elapsed().as_secs_f64());
    evaluation.gates = gates.iter().map(|gate| gate.check(&evaluation)).collect();
    let results = [evaluation];
    outputs.write_results(|format| format.render(&results, &view))?;
    if let (Some(format), Some(distances)) = (matrix_format, &matrix) {
        let names: Vec<_> = merged.labels().to_vec();
        outputs.write(arguments.matrix_out.as_ref(), |out| matrix::write(&names, distances, format, out))?;
    }
    let [evaluation] = &results;
    gate_report.write(&mut outputs, &evaluation.gates)?;
    outputs.print(|format| format.render(&results, &view))?;
    outputs.publish()?;
    gate_report.finish(|| Format::Markdown.render(&results, &view), &evaluation.gates)
}

/// All states in one.
enum Merged {
    Moments(Box<Moments>),
    Scores(Box<Scores>),
}

impl Merged {
    fn settings(&self) -> &StateSettings {
        match self {
            Merged::Moments(moments) => moments.settings(),
            Merged::Scores(scores) => scores.settings(),
        }
    }

    fn labels(&self) -> &[embq_core::data::Label] {
        match self {
            Merged::Moments(moments) => moments.labels(),
            Merged::Scores(scores) => scores.labels(),
        }
    }

    fn to_table(&self) -> Result<StateTable> {
        match self {
            Merged::Moments(moments) => moments.to_table(),
            Merged::Scores(scores) => scores.to_table(),
        }
    }

    fn finish(&self, moments: Option<&Moments>, matrix: bool) -> Result<Scored> {
        match (self, moments) {
            (Merged::Scores(scores), Some(moments)) => scores.finish(moments, matrix),
            (Merged::Scores(_), None) => Err(Error::setting(
                "the result of scores needs the moments that they were made with",
                "add --moments moments.arrow, or -o scores.arrow for a merged state",
            )),
            (Merged::Moments(moments), _) => moments.finish().map_err(|error| {
                let scored = METRICS.iter().any(|metric| {
                    metric.merges_from() == Some(StateKind::Scores) && moments.settings().metrics.iter().any(|id| id == metric.id)
                });
                if !scored {
                    return error;
                }
                Error::setting(
                    error.to_string(),
                    "write the moments with -o moments.arrow, and score every part with embq partial --moments moments.arrow",
                )
            }),
        }
    }
}

/// Reads and merges states one after the other.
fn fold<'p, S>(
    paths: impl Iterator<Item = &'p str>,
    read: impl Fn(&StateTable, &str) -> Result<S>,
    merge: impl Fn(&mut S, S) -> Result<()>,
) -> Result<S> {
    let mut merged: Option<S> = None;
    for path in paths {
        let state = read(&input::state::read(path)?, path)?;
        match &mut merged {
            Some(merged) => merge(merged, state)?,
            None => merged = Some(state),
        }
    }
    merged.ok_or_else(|| Error::setting("there are no states", "name the files that embq partial wrote"))
}

/// The kind of all states.
fn one_kind(paths: &[String], headers: &[StateHeader]) -> Result<StateKind> {
    let first = headers.first().map_or(StateKind::Moments, StateHeader::kind);
    match headers.iter().position(|header| header.kind() != first) {
        Some(other) => {
            let (first_kind, other_kind) = (first.name(), headers[other].kind().name());
            let problem = format!("{} holds {first_kind}, {} holds {other_kind}", paths[0], paths[other]);
            Err(Error::setting(problem, "merge moments with moments, and scores with scores"))
        }
        None => Ok(first),
    }
}
