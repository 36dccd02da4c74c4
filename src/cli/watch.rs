//! `embq watch`: scores every checkpoint that appears in a folder, as a training run writes them.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::cli::arguments::{MeasureArguments, ReadArguments, RowArguments, RunArguments, at_least, selection};
use crate::cli::compare::checkpoints;
use crate::cli::gates;
use crate::cli::outputs::{print, print_styled};
use crate::cli::{Outcome, message};
use crate::gate::Gate;
use crate::report::watch::{Line, heading, line};
use embq_core::comparison::{
    CandidateComparison, Checkpoint, Comparison, Measured, difference, higher_is_better, mismatches,
};
use embq_core::data::{Dataset, DatasetOptions};
use embq_core::error::{Error, Result, choices};
use embq_core::evaluation::{Envelope, Evaluation, GateOutcome, Kind, Settings, Temperature, evaluate};
use embq_core::metrics::{Levels, METRICS, Metric, Selection};
use embq_core::quantity::Quantity;
use embq_files::input;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  embq watch checkpoints/ -l labels.npy
  embq watch checkpoints/ -l labels.npy --patience 5 && echo 'stopped by hand'
  embq watch checkpoints/ -l labels.npy --fail-if 'upper(delta(silhouette)) < 0'
  embq watch checkpoints/ -l labels.npy --format jsonl >> scores.jsonl
Runs until it is interrupted, a gate fails, or --patience or --idle ends it.")]
pub(crate) struct WatchArguments {
    /// The folder that checkpoints are written to; each is a file of embeddings, or a folder of shards
    #[arg(value_name = "FOLDER")]
    folder: String,

    /// Labels of every checkpoint: a file with one label per row, PATH:COLUMN, or a column of each checkpoint file
    #[arg(short, long, value_name = "LABELS")]
    labels: String,

    #[command(flatten)]
    reading: ReadArguments,

    #[command(flatten)]
    measure: MeasureArguments,

    /// Metrics or families to compute (see `embq metrics`) [default: usual]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', help_heading = "Measure")]
    metrics: Vec<String>,

    /// Positive weight of each row: a file with one weight per row, PATH:COLUMN, or a column of each checkpoint file
    #[arg(long, value_name = "WEIGHTS", help_heading = "Rows")]
    row_weights: Option<String>,

    #[command(flatten)]
    rows: RowArguments,

    /// Metric that decides which checkpoint is best
    #[arg(long, value_name = "METRIC", default_value = "silhouette", help_heading = "Stopping")]
    by: String,

    /// Stop with exit code 1 after this many checkpoints without a new best
    #[arg(long, value_name = "N", value_parser = at_least(1), help_heading = "Stopping")]
    patience: Option<usize>,

    /// Stop with exit code 1 if this is true for a checkpoint; differences are from the best before it. Can be given
    /// multiple times
    #[arg(long, value_name = "EXPR", help_heading = "Stopping")]
    fail_if: Vec<String>,

    /// Stop after this many seconds without a new checkpoint
    #[arg(long, value_name = "SECONDS", value_parser = seconds, help_heading = "Stopping")]
    idle: Option<Duration>,

    /// Look for new checkpoints this often, and score a file once it has not changed for as long
    #[arg(long, value_name = "SECONDS", value_parser = seconds, default_value = "2", help_heading = "Stopping")]
    every: Duration,

    /// Format of standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, help_heading = "Output")]
    format: WatchFormat,

    #[command(flatten)]
    run: RunArguments,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum WatchFormat {
    /// A table with a line for each checkpoint
    #[default]
    Table,
    /// A JSON object for each checkpoint
    Jsonl,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let wrong = "a number of seconds, at least 0.01";
    let seconds: f64 = text.parse().map_err(|_| wrong.to_owned())?;
    Some(seconds).filter(|seconds| (0.01..=1e9).contains(seconds)).map(Duration::from_secs_f64).ok_or(wrong.to_owned())
}

pub(crate) fn run(arguments: &WatchArguments) -> Result<Outcome> {
    Watch::new(arguments)?.run()
}

/// A file or folder as it was last seen: its size and when it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    written: SystemTime,
}

impl Stamp {
    /// Of the files of a checkpoint; `None` if they have gone in the meantime.
    fn of(checkpoint: &str) -> Option<Self> {
        let of_file = |path: String| {
            let metadata = fs::metadata(path).ok()?;
            Some(Stamp { bytes: metadata.len(), written: metadata.modified().ok()? })
        };
        let files = input::paths_of(checkpoint).into_iter().filter_map(of_file);
        files.reduce(|all, one| Stamp { bytes: all.bytes + one.bytes, written: all.written.max(one.written) })
    }
}

/// What is known of a checkpoint.
struct Seen {
    stamp: Stamp,
    /// When it was first seen like this.
    since: Instant,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Perhaps still being written.
    Waiting,
    Scored,
    /// Reported as unusable; looked at again if it changes.
    LeftOut,
}

/// A checkpoint that cannot be read is taken for one that is being written for this many times the time between looks.
const GRACE: u32 = 5;

struct Watch<'a> {
    arguments: &'a WatchArguments,
    metrics: Selection,
    gates: Vec<Gate>,
    higher_is_better: bool,
}

/// The best checkpoint so far.
struct Best {
    name: String,
    value: f64,
    measured: Measured,
}

/// What scoring goes by and leads to.
#[derive(Default)]
struct Course {
    best: Option<Best>,
    /// Fixed by the first checkpoint where it is looked for.
    temperature: Option<f64>,
    /// The values of the deciding metric.
    values: Vec<Option<f64>>,
    since_best: usize,
}

/// A line of JSON.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    envelope: Envelope,
    checkpoint: &'a str,
    /// The best checkpoint, this one included.
    best: Option<&'a str>,
    is_best: bool,
    result: &'a Evaluation,
    /// Against the best before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comparison: Option<&'a CandidateComparison>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    gates: &'a [GateOutcome],
}

impl<'a> Watch<'a> {
    fn new(arguments: &'a WatchArguments) -> Result<Self> {
        let metrics = selection(&arguments.metrics)?;
        let Some(higher_is_better) = higher_is_better(&arguments.by) else {
            let ranked = METRICS.iter().filter(|metric| metric.higher_is_better.is_some());
            let names: Vec<String> = ranked.flat_map(|metric| metric.names(Levels::USUAL)).collect();
            let problem = match Metric::named(&arguments.by) {
                Some(_) => format!("--by: of {} neither more nor less is better", arguments.by),
                None => format!("--by: unknown metric '{}'", arguments.by),
            };
            return Err(Error::setting(problem, choices(Some(&arguments.by), &names)));
        };
        if let Ok(None) = input::checkpoints_in(&arguments.folder, &[]) {
            return Err(Error::setting(
                format!("{}: there is no such folder", arguments.folder),
                format!("create it first: mkdir -p {}", arguments.folder),
            ));
        }
        let mut watch = Watch { arguments, metrics, gates: Vec::new(), higher_is_better };
        let settings = watch.settings(None);
        if !settings.computes(&arguments.by) {
            return Err(Error::setting(format!("--by: {} is not computed", arguments.by), "add it to --metrics"));
        }
        watch.gates = gates::parse(&arguments.fail_if, &settings, true, gates::ADD_INTERVALS)?;
        let quantities = || watch.gates.iter().flat_map(Gate::quantities);
        if let Some(quantity) = quantities().find(|quantity| matches!(quantity, Quantity::Similarity(_))) {
            return Err(Error::setting(format!("--fail-if: {quantity} is not computed"), "embq compare computes it"));
        }
        Ok(watch)
    }

    fn settings(&self, temperature: Option<f64>) -> Settings {
        let settings = self.arguments.measure.settings();
        Settings {
            metrics: self.metrics.clone(),
            intervals: true,
            class_intervals: Some(0),
            terms: true,
            temperature: temperature.map_or(settings.temperature, Temperature::Value),
            ..settings
        }
    }

    fn run(&self) -> Result<Outcome> {
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        let mut course = Course::default();
        let mut last = Instant::now();
        let mut is_first_look = true;
        loop {
            for path in self.paths()? {
                if !self.is_ready(&path, &mut seen, is_first_look) {
                    continue;
                }
                let scored = self.score(&path, &mut course);
                let Some(known) = seen.get_mut(&path) else { continue };
                match scored {
                    Ok(outcome) => {
                        known.state = State::Scored;
                        last = Instant::now();
                        if outcome == Outcome::GateFailed {
                            return Ok(outcome);
                        }
                    }
                    // What is being written looks damaged.
                    Err(_) if known.since.elapsed() < self.arguments.every * GRACE => {}
                    Err(error) => {
                        known.state = State::LeftOut;
                        message::error(&error);
                        message::note(&format!("{path} is left out until it changes"));
                    }
                }
            }
            is_first_look = false;
            if self.arguments.idle.is_some_and(|idle| last.elapsed() >= idle) {
                return if course.values.is_empty() {
                    Err(Error::setting(
                        format!("{}: no checkpoint could be scored", self.arguments.folder),
                        "see what is there: embq inspect FILE",
                    ))
                } else {
                    Ok(Outcome::Success)
                };
            }
            thread::sleep(self.arguments.every);
        }
    }

    /// The checkpoints that are there, in natural order.
    fn paths(&self) -> Result<Vec<String>> {
        let options = self.arguments;
        let taken: Vec<String> = std::iter::once(&options.labels).chain(&options.row_weights).cloned().collect();
        match input::checkpoints_in(&options.folder, &taken) {
            Ok(found) => Ok(found.unwrap_or_default()),
            // Nothing is there yet.
            Err(Error::Malformed { .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    /// Whether a checkpoint has not changed for a while and is still to be scored.
    fn is_ready(&self, path: &str, seen: &mut BTreeMap<String, Seen>, is_first_look: bool) -> bool {
        let Some(stamp) = Stamp::of(path) else { return false };
        match seen.get_mut(path) {
            Some(known) if known.stamp == stamp => {
                known.state == State::Waiting && known.since.elapsed() >= self.arguments.every
            }
            Some(known) if known.state == State::Scored => false,
            known => {
                let fresh = Seen { stamp, since: Instant::now(), state: State::Waiting };
                match known {
                    Some(known) => *known = fresh,
                    None => {
                        seen.insert(path.to_owned(), fresh);
                    }
                }
                let age = stamp.written.elapsed().unwrap_or_default();
                is_first_look && age >= self.arguments.every
            }
        }
    }

    fn score(&self, path: &str, course: &mut Course) -> Result<Outcome> {
        // Bars of its own, because nothing is to be drawn while there is nothing to score.
        let bars = self.arguments.run.start();
        let settings = self.settings(course.temperature);
        let started = Instant::now();
        let options = self.arguments;
        let loaded =
            input::load_with(path, &[&options.labels], options.row_weights.as_deref(), &options.reading.options())?;
        let [labels] = &loaded.labels[..] else {
            return Err(Error::setting("embq watch reads one labelling", "name one file or column of labels"));
        };
        let dataset_options =
            DatasetOptions { choice: options.rows.choice(), weights: loaded.weights, seed: settings.seed };
        let embeddings = loaded.embeddings.for_distance(settings.distance)?;
        let dataset = Dataset::join(embeddings, labels, settings.distance, &dataset_options)?;
        let read_seconds = started.elapsed().as_secs_f64();
        let scored = evaluate(&dataset, &settings, &bars)?;
        let mut measured = Measured::new(&dataset, scored);
        measured.evaluation.timing = options.run.timing(read_seconds, started.elapsed().as_secs_f64() - read_seconds);
        let name = checkpoints::names(&[path]).remove(0);
        let compared = match &course.best {
            Some(best) => {
                let found = mismatches(&best.measured.evaluation, &measured.evaluation);
                if !found.is_empty() {
                    return Err(Error::setting(
                        format!("{name} and {} differ in {}", best.name, found.join("; ")),
                        "checkpoints have the same rows and labels",
                    ));
                }
                let of_one = difference(&name, &best.measured, &measured, settings.seed, &bars)?;
                let pair = [(&best.name, &best.measured), (&name, &measured)]
                    .map(|(name, one)| Checkpoint { name: name.clone(), result: one.evaluation.clone() });
                // The verdict of one candidate against one baseline.
                Some(Comparison::new(pair.to_vec(), vec![of_one], settings.seed))
            }
            None => None,
        };
        course.temperature = Some(measured.evaluation.settings.temperature);
        bars.finish();
        self.report(&name, measured, compared.as_ref(), course)
    }

    fn report(
        &self,
        name: &str,
        measured: Measured,
        compared: Option<&Comparison>,
        course: &mut Course,
    ) -> Result<Outcome> {
        let evaluation = &measured.evaluation;
        let value = evaluation.metrics.get(&self.arguments.by).copied().flatten();
        let comparison = compared.and_then(|compared| compared.candidates.first());
        let gates: Vec<GateOutcome> = match compared.and_then(|compared| compared.pairs().next()) {
            Some(pair) => self.gates.iter().map(|gate| gate.check(&pair)).collect(),
            // The first checkpoint has nothing to differ from.
            None => {
                let stands_alone = |gate: &&Gate| !gate.quantities().into_iter().any(Quantity::needs_baseline);
                self.gates.iter().filter(stands_alone).map(|gate| gate.check(evaluation)).collect()
            }
        };
        let is_better = |best: &Best, value: f64| {
            if self.higher_is_better { value > best.value } else { value < best.value }
        };
        let is_best = value.is_some_and(|value| course.best.as_ref().is_none_or(|best| is_better(best, value)));
        course.values.push(value);
        let baseline = course.best.as_ref().map(|best| best.name.as_str());
        match self.arguments.format {
            WatchFormat::Table => {
                if course.values.len() == 1 {
                    print_styled(&heading(&self.arguments.by))?;
                }
                let difference = comparison.and_then(|comparison| comparison.metrics.get(&self.arguments.by));
                print_styled(&line(&Line { name, value, difference, baseline, is_best, values: &course.values }))?;
            }
            WatchFormat::Jsonl => {
                let document = Document {
                    envelope: Envelope::of(Kind::Watch),
                    checkpoint: name,
                    best: if is_best { Some(name) } else { baseline },
                    is_best,
                    result: evaluation,
                    baseline,
                    comparison,
                    gates: &gates,
                };
                let text = serde_json::to_string(&document).map_err(|error| Error::Output {
                    path: "standard output".to_owned(),
                    problem: error.to_string(),
                })?;
                print(format!("{text}\n").as_bytes())?;
            }
        }
        let failed = gates.iter().filter(|gate| gate.failed);
        let failures = failed.map(|gate| message::failed_gate(&format!("{name}: {}", gate.expression), &gate.detail));
        let has_failed = failures.count() > 0;
        match value {
            Some(value) if is_best => {
                course.best = Some(Best { name: name.to_owned(), value, measured });
                course.since_best = 0;
            }
            _ => course.since_best += 1,
        }
        if self.arguments.patience.is_some_and(|patience| course.since_best >= patience) {
            let best = course.best.as_ref().map_or("none", |best| &best.name);
            let expression = format!("no better {} in {} checkpoints", self.arguments.by, course.since_best);
            message::failed_gate(&expression, &format!("the best is {best}"));
            return Ok(Outcome::GateFailed);
        }
        Ok(if has_failed { Outcome::GateFailed } else { Outcome::Success })
    }
}
