//! `embq merge`: from the states of parts to the result of all rows, or to one state.

use std::time::Instant;

use clap::Args;

use crate::cli::arguments::{ClassArguments, OutputArguments, RunArguments};
use crate::cli::gates::{self, GateArguments, GateReport};
use crate::cli::outputs::{Outputs, take_pages};
use crate::cli::partial::{is_state, write_state};
use crate::cli::{CommandLine, Outcome};
use crate::report::{Format, html};
use embq_core::detail::{MATRIX_CLASSES, merged_detail};
use embq_core::error::{Error, Result};
use embq_core::evaluation::{Scored, Settings};
use embq_core::metrics::{METRICS, StateKind};
use embq_core::partial::{Influence, Moments, Scores, StateHeader, StateSettings, StateTable, states_in_order};
use embq_files::input;
use embq_files::output::matrix::{self, MatrixFormat};

#[derive(Debug, Args)]
#[command(mut_arg("output", |output| output.help(OUTPUT)))]
#[command(after_help = "\
Examples:
  embq merge p/*.arrow -o moments.arrow
  embq merge s/*.arrow --moments moments.arrow
  embq merge s/*.arrow --moments moments.arrow -o result.json --fail-if 'silhouette < 0.3'
  embq merge s/*.arrow --moments moments.arrow -o page.html
  embq merge s/1*.arrow -o some.arrow
  embq merge i/*.arrow --moments moments.arrow --scores scores.arrow -o result.json")]
pub(crate) struct MergeArguments {
    /// States of parts, which `embq partial` and `embq merge` write, in any order
    #[arg(value_name = "STATES", required = true, num_args = 1..)]
    states: Vec<String>,

    /// Merged moments of all parts, which the scores were made with
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    moments: Option<String>,

    /// Merged scores of all parts, which the influence was found with
    #[arg(long, value_name = "FILE", requires = "moments", help_heading = "Input")]
    scores: Option<String>,

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
const OUTPUT: &str = "Write the merged state (.arrow), or the result; its extension selects the format: .json .md .csv .html .txt; can be given multiple times";

pub(crate) fn run(mut arguments: MergeArguments, line: &CommandLine) -> Result<Outcome> {
    let pages = take_pages(&mut arguments.output);
    let state_outputs: Vec<String> = arguments.output.output.extract_if(.., |path| is_state(path)).collect();
    // A merged state alone needs no result.
    let wants_result = state_outputs.is_empty()
        || !arguments.output.output.is_empty()
        || !pages.is_empty()
        || !arguments.fail_if.is_empty()
        || arguments.matrix_out.is_some();
    let gate_report = GateReport::check("embq merge", &arguments.gates)?;
    let matrix_format = arguments.matrix_out.as_deref().map(MatrixFormat::of_file).transpose()?;
    let others = [&arguments.matrix_out, &arguments.gates.junit].into_iter().flatten();
    let others = others.chain(&state_outputs).chain(&pages);
    let inputs = arguments.states.iter().chain(&arguments.moments).chain(&arguments.scores);
    let mut outputs = Outputs::check(&arguments.output, arguments.run.quiet, others, inputs)?;
    let bars = arguments.run.start();

    let started = Instant::now();
    let paths: Vec<String> = arguments.states.iter().flat_map(|path| input::paths_of(path)).collect();
    let headers: Vec<StateHeader> = paths.iter().map(|path| input::state::read_header(path)).collect::<Result<_>>()?;
    let kind = one_kind(&paths, &headers)?;
    let order = states_in_order(&headers);
    let paths = || order.iter().map(|&index| paths[index].as_str());
    let moments = arguments.moments.as_ref().map(|path| Moments::from_table(input::state::read(path)?, path));
    let moments = moments.transpose()?;
    let scores = arguments.scores.as_ref().map(|path| Scores::from_table(input::state::read(path)?, path));
    let scores = scores.transpose()?;
    if let (Some(path), true) = (&arguments.scores, kind != StateKind::Influence) {
        let problem = format!("--scores {path}: the states are {}, which need none", kind.name());
        return Err(Error::setting(problem, "leave out --scores, or merge the influence that was found with it"));
    }
    let merged = match kind {
        StateKind::Moments => {
            if let Some(path) = &arguments.moments {
                let problem = format!("--moments {path}: the states are moments themselves");
                return Err(Error::setting(problem, "leave out --moments, or merge the scores that were made with it"));
            }
            Merged::Moments(Box::new(fold(paths(), Moments::from_table, Moments::merge)?))
        }
        StateKind::Scores => Merged::Scores(Box::new(fold(paths(), Scores::from_table, Scores::merge)?)),
        StateKind::Influence => Merged::Influence(Box::new(fold(paths(), Influence::from_table, Influence::merge)?)),
    };
    let read_seconds = started.elapsed().as_secs_f64();
    state_outputs.iter().try_for_each(|path| write_state(&mut outputs, path, merged.to_table()?))?;
    if !wants_result {
        outputs.publish()?;
        return Ok(Outcome::Success);
    }

    let settings = Settings { intervals: kind == StateKind::Influence, ..merged.settings().settings() };
    let interval_tip = "merge the influence of all parts, which embq partial --scores finds";
    let gates = gates::parse(&arguments.fail_if, &settings, false, interval_tip)?;
    let view = arguments.classes.view(&settings)?;
    let started = Instant::now();
    let states = States { moments: moments.as_ref(), scores: scores.as_ref() };
    let draws_map = !pages.is_empty() && merged.settings().holds_matrix() && merged.labels().len() <= MATRIX_CLASSES;
    let with_matrix = matrix_format.is_some() || (draws_map && kind != StateKind::Moments);
    let Scored { mut evaluation, matrix, .. } = merged.finish(states, with_matrix)?;
    evaluation.timing = arguments.run.timing(read_seconds, started.elapsed().as_secs_f64());
    evaluation.gates = gates.iter().map(|gate| gate.check(&evaluation)).collect();
    let results = [evaluation];
    outputs.write_results(|format| format.render(&results, &view))?;
    if let (Some(format), Some(distances)) = (matrix_format, &matrix) {
        let names: Vec<_> = merged.labels().to_vec();
        outputs.write(arguments.matrix_out.as_ref(), |out| matrix::write(&names, distances, format, out))?;
    }
    let [evaluation] = &results;
    outputs.write_pages(&pages, || {
        let (moments, scores) = merged.states(states)?;
        let (sample, sampled) = moments.sample(&bars)?;
        let matrix = matrix.as_ref().filter(|_| draws_map);
        let detail = merged_detail(&sample, evaluation, &sampled, scores, matrix, &bars)?;
        Ok(html::render(&detail, Some(&line.to_string())))
    })?;
    bars.finish();
    gate_report.write(&mut outputs, &evaluation.gates)?;
    outputs.print(|format| format.render(&results, &view))?;
    outputs.publish()?;
    gate_report.finish(|| Format::Markdown.render(&results, &view), &evaluation.gates)
}

/// Merged states of earlier passes.
#[derive(Clone, Copy)]
struct States<'s> {
    moments: Option<&'s Moments>,
    scores: Option<&'s Scores>,
}

/// All states in one.
enum Merged {
    Moments(Box<Moments>),
    Scores(Box<Scores>),
    Influence(Box<Influence>),
}

impl Merged {
    fn settings(&self) -> &StateSettings {
        match self {
            Merged::Moments(moments) => moments.settings(),
            Merged::Scores(scores) => scores.settings(),
            Merged::Influence(influence) => influence.settings(),
        }
    }

    fn labels(&self) -> &[embq_core::data::Label] {
        match self {
            Merged::Moments(moments) => moments.labels(),
            Merged::Scores(scores) => scores.labels(),
            Merged::Influence(influence) => influence.labels(),
        }
    }

    fn to_table(&self) -> Result<StateTable> {
        match self {
            Merged::Moments(moments) => moments.to_table(),
            Merged::Scores(scores) => scores.to_table(),
            Merged::Influence(influence) => influence.to_table(),
        }
    }

    /// The moments and scores that the result is made of, which may be these states themselves.
    ///
    /// # Errors
    /// States that are not given.
    fn states<'s>(&'s self, given: States<'s>) -> Result<(&'s Moments, Option<&'s Scores>)> {
        match (self, given.moments, given.scores) {
            (Merged::Moments(moments), ..) => Ok((moments, None)),
            (Merged::Scores(scores), Some(moments), _) => Ok((moments, Some(scores))),
            (Merged::Scores(_), None, _) => Err(Error::setting(
                "the result of scores needs the moments that they were made with",
                "add --moments moments.arrow, or -o scores.arrow for a merged state",
            )),
            (Merged::Influence(_), Some(moments), Some(scores)) => Ok((moments, Some(scores))),
            (Merged::Influence(_), ..) => Err(Error::setting(
                "the result of influence needs the moments and the scores that it was found with",
                "add --moments moments.arrow --scores scores.arrow, or -o influence.arrow for a merged state",
            )),
        }
    }

    fn finish(&self, given: States<'_>, matrix: bool) -> Result<Scored> {
        let (moments, scores) = self.states(given)?;
        match (self, scores) {
            (Merged::Influence(influence), Some(scores)) => influence.finish(scores, moments, matrix),
            (Merged::Scores(scores), _) => scores.finish(moments, matrix),
            _ => moments.finish().map_err(|error| {
                let scored = METRICS.iter().any(|metric| {
                    metric.merges_from() == Some(StateKind::Scores)
                        && moments.settings().metrics.iter().any(|id| id == metric.id)
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
    read: impl Fn(StateTable, &str) -> Result<S>,
    merge: impl Fn(&mut S, S) -> Result<()>,
) -> Result<S> {
    let mut merged: Option<S> = None;
    for path in paths {
        let state = read(input::state::read(path)?, path)?;
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
            Err(Error::setting(problem, "merge states of one kind"))
        }
        None => Ok(first),
    }
}
