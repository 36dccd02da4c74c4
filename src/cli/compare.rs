//! `embq compare`: compares checkpoints with a baseline.

pub(super) mod checkpoints;
mod config;
mod stored;

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::cli::arguments::{
    HintArguments, MeasureArguments, OutputArguments, RowArguments, RunArguments, at_least, limit, selection,
};
use crate::cli::combine::{Combine, combine_fields};
use crate::cli::gates::{self, GateArguments, GateReport};
use crate::cli::outputs::{Outputs, WITH_PAGES, print, take_pages};
use crate::cli::progress::Bars;
use crate::cli::{CommandLine, Outcome, mistakes};
use crate::gate::Gate;
use crate::report::{ClassLimit, Format, comparison, html};
use config::{Config, Input};
use embq_core::comparison::{Checkpoint, Comparison, Measured, difference, higher_is_better, mismatches};
use embq_core::data::{Dataset, DatasetOptions, Label, LabelColumn};
use embq_core::detail;
use embq_core::error::{Error, Result, choices};
use embq_core::evaluation::{Evaluation, RowScores, Settings, SettingsUsed, Temperature, evaluate};
use embq_core::metrics::{Levels, METRICS, Selection};
use embq_core::quantity::Quantity;
use embq_core::similarity::Similarities;
use embq_files::input::{self, Hints, ReadOptions};

#[derive(Debug, Args)]
#[command(mut_arg("output", |output| output.help(WITH_PAGES)))]
#[command(after_help = "\
Examples:
  embq compare main.npy new.npy -l labels.npy
  embq compare main.npy new.npy -l labels.npy --similarity -o page.html
  embq compare main.npy new.npy -l labels.npy --fail-if 'upper(delta(silhouette)) < 0'
  embq compare main.json new.npy -l labels.npy --fail-if 'delta(soft_silhouette) < -1%'
  embq compare checkpoints/ -l labels.npy
  embq compare checkpoints/*.npy -l labels.npy --select best --by soft_silhouette
Without paths, embq.toml names the inputs and the gates.")]
pub(crate) struct CompareArguments {
    /// The baseline, then the candidates: embeddings as for embq score, or a folder of checkpoints. The baseline can also
    /// be a result of embq score (JSON, or its rows as Parquet), whose distance and temperature are then the defaults
    #[arg(value_name = "CHECKPOINT")]
    checkpoints: Vec<String>,

    #[command(flatten)]
    options: CompareOptions,

    /// Labels of one checkpoint; can be given multiple times
    #[arg(long, value_name = "FILE=LABELS")]
    labels_for: Vec<String>,

    /// Name of a checkpoint; can be given multiple times
    #[arg(long, value_name = "FILE=NAME")]
    name: Vec<String>,

    /// Configuration file with inputs, options and gates [default: embq.toml if no checkpoint is named]
    #[arg(long, value_name = "FILE")]
    config: Option<String>,

    #[command(flatten)]
    hints: HintArguments,

    #[command(flatten)]
    gates: GateArguments,

    #[command(flatten)]
    output: OutputArguments,

    /// Print only the path of the best checkpoint
    #[arg(long, value_enum, value_name = "WHICH", help_heading = "Output")]
    select: Option<Select>,

    /// Metric that decides which checkpoint is best [default: silhouette]
    #[arg(long, value_name = "METRIC", requires = "select", help_heading = "Output")]
    by: Option<String>,

    /// Number of classes to show among those that gained and lost most
    #[arg(long, value_name = "N|all", default_value = "5", value_parser = limit, help_heading = "Output")]
    classes: ClassLimit,

    #[command(flatten)]
    run: RunArguments,
}

/// The options that a configuration file can also set, under the same names.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct CompareOptions {
    /// The name of an input; only in a file, as arguments name paths.
    #[arg(skip)]
    baseline: Option<String>,

    /// Names of inputs, by default all others.
    #[arg(skip)]
    candidates: Option<Vec<String>>,

    /// Labels of every checkpoint: a file with one label per row, PATH:COLUMN, or a column of each checkpoint file
    #[arg(short, long, value_name = "LABELS")]
    labels: Option<String>,

    /// Pair rows by a column of ids instead of by position
    #[arg(long, value_name = "COLUMN")]
    key: Option<String>,

    /// Compare even if settings, labels or rows differ
    #[arg(long)]
    allow_mismatch: bool,

    /// Also measure how similar the spaces are: kernel alignment, Procrustes distance, linear regression and shared
    /// nearest neighbours
    #[arg(long)]
    similarity: bool,

    #[command(flatten)]
    #[serde(flatten)]
    measure: MeasureArguments,

    /// Metrics or families to compute (see `embq metrics`) [default: usual]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', help_heading = "Measure")]
    metrics: Vec<String>,

    /// Also compute the loss in shuffled batches of this many rows, as in training
    #[arg(long, value_name = "ROWS", value_parser = at_least(2), help_heading = "Measure")]
    batch_size: Option<usize>,

    /// Positive weight of each row: a file with one weight per row, PATH:COLUMN, or a column of each checkpoint file
    #[arg(long, value_name = "WEIGHTS", help_heading = "Rows")]
    row_weights: Option<String>,

    #[command(flatten)]
    #[serde(flatten)]
    rows: RowArguments,

    /// Exit with code 1 if this is true for any candidate, such as 'delta(silhouette) < -0.01'; can be given multiple
    /// times
    #[arg(long, value_name = "EXPR", help_heading = "Gates")]
    fail_if: Vec<String>,
}

combine_fields!(CompareOptions {
    baseline,
    candidates,
    labels,
    key,
    allow_mismatch,
    similarity,
    measure,
    metrics,
    batch_size,
    row_weights,
    rows,
    fail_if
});

/// Which checkpoint to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Select {
    Best,
}

pub(crate) fn run(mut arguments: CompareArguments, line: &CommandLine) -> Result<Outcome> {
    let pages = take_pages(&mut arguments.output);
    let plan = Plan::new(&arguments)?;
    let gate_report = GateReport::check("embq compare", &arguments.gates)?;
    let mut outputs = plan.outputs(&arguments, &pages)?;
    let bars = arguments.run.start();
    let started = Instant::now();
    let (mut found, scores) = plan.compare(!pages.is_empty(), &bars)?;
    bars.finish();
    found.timing = arguments.run.timing(0.0, started.elapsed().as_secs_f64());
    let checks = found.pairs().flat_map(|pair| {
        plan.gates.iter().map(move |gate| {
            let mut outcome = gate.check(&pair);
            outcome.checkpoint = Some(pair.comparison.name.clone());
            outcome
        })
    });
    found.gates = checks.collect();

    let render = |format| comparison::render(&found, format, arguments.classes);
    outputs.write_results(render)?;
    outputs.write_pages(&pages, || {
        let checkpoints = found.checkpoints.iter().zip(scores).map(|(checkpoint, (scores, classes))| {
            let Checkpoint { name, result } = checkpoint.clone();
            detail::Checkpoint { name, evaluation: result, scores, classes }
        });
        let checkpoints: Vec<detail::Checkpoint> = checkpoints.collect();
        Ok(html::render_checkpoints(&checkpoints, Some(&found), Some(&line.to_string())))
    })?;
    gate_report.write(&mut outputs, &found.gates)?;
    match &plan.select {
        Some(metric) => print(format!("{}\n", plan.best(&found, metric)?).as_bytes()).map(drop)?,
        None => outputs.print(render)?,
    }
    outputs.publish()?;
    gate_report.finish(|| render(Format::Markdown), &found.gates)
}

/// The scores of the rows of a checkpoint, and their classes.
type DrawnRows = (RowScores, Vec<u32>);

/// Arguments and configuration combined.
struct Plan {
    /// The checkpoints with their names; the first is the baseline.
    inputs: Vec<Input>,
    names: Vec<String>,
    options: CompareOptions,
    hints: Hints,
    metrics: Selection,
    gates: Vec<Gate>,
    /// The metric whose best checkpoint is printed.
    select: Option<String>,
}

impl Plan {
    fn new(arguments: &CompareArguments) -> Result<Self> {
        let file = match &arguments.config {
            Some(path) => Some(Config::read(path)?),
            None if arguments.checkpoints.is_empty() && Path::new(config::DEFAULT).is_file() => {
                Some(Config::read(config::DEFAULT)?)
            }
            None => None,
        };
        let configured = file.as_ref().map(|file| file.compare.clone()).unwrap_or_default();
        let options = arguments.options.clone().combine(configured);
        if options.batch_size.is_some_and(|rows| rows < 2) {
            return Err(Error::setting(
                "[compare] batch-size: a batch has at least 2 rows",
                "such as batch-size = 256",
            ));
        }
        let mut inputs = match file.filter(|_| arguments.checkpoints.is_empty()) {
            Some(config) => config.checkpoints()?,
            None => {
                let own_labels =
                    arguments.labels_for.iter().filter_map(|text| Some(text.rsplit_once('=')?.1.to_owned()));
                let taken: Vec<String> =
                    options.labels.iter().chain(&options.row_weights).cloned().chain(own_labels).collect();
                checkpoints::found(&arguments.checkpoints, &taken)?
            }
        };
        if inputs.is_empty() {
            return Err(Error::setting(
                "embq compare needs a baseline and a candidate",
                format!("name two files of embeddings, or put them into {}", config::DEFAULT),
            ));
        }
        if inputs.len() < 2 {
            return Err(Error::setting(
                format!("embq compare needs a candidate besides {}", inputs[0].path),
                "name at least two checkpoints, or a folder of them",
            ));
        }
        for text in &arguments.labels_for {
            let (place, labels) = checkpoints::assignment("--labels-for", text, &inputs)?;
            inputs[place].labels = Some(labels.to_owned());
        }
        for text in &arguments.name {
            let (place, name) = checkpoints::assignment("--name", text, &inputs)?;
            inputs[place].name = Some(name.to_owned());
        }
        let short = checkpoints::names(&inputs.iter().map(|input| input.path.as_str()).collect::<Vec<_>>());
        let names: Vec<String> =
            inputs.iter().zip(short).map(|(input, short)| input.name.clone().unwrap_or(short)).collect();
        if let Some(twice) = names.iter().enumerate().find_map(|(at, name)| names[..at].contains(name).then_some(name))
        {
            return Err(Error::setting(
                format!("two checkpoints are named '{twice}'"),
                "give them different names with --name",
            ));
        }

        let metrics = selection(&options.metrics)?;
        let select = selected(arguments)?;
        let mut plan =
            Plan { inputs, names, options, hints: arguments.hints.hints(), metrics, gates: Vec::new(), select };
        plan.gates =
            gates::parse(&plan.options.fail_if, &plan.settings(&plan.options.measure), true, gates::ADD_INTERVALS)?;
        let mut quantities = plan.gates.iter().flat_map(Gate::quantities);
        let is_asked_for = quantities.any(|quantity| matches!(quantity, Quantity::Similarity(_)));
        plan.options.similarity |= is_asked_for;
        Ok(plan)
    }

    fn settings(&self, measure: &MeasureArguments) -> Settings {
        Settings {
            batch_size: self.options.batch_size,
            metrics: self.metrics.clone(),
            intervals: true,
            class_intervals: Some(0),
            terms: true,
            ..measure.settings()
        }
    }

    fn outputs(&self, arguments: &CompareArguments, pages: &[String]) -> Result<Outputs> {
        let CompareOptions { labels, row_weights, .. } = &self.options;
        let own = self.inputs.iter().flat_map(|input| std::iter::once(&input.path).chain(&input.labels));
        let inputs = own.chain(labels).chain(row_weights);
        let others = arguments.gates.junit.iter().chain(pages);
        Outputs::check(&arguments.output, arguments.run.quiet, others, inputs)
    }

    /// The path of the best checkpoint by a metric.
    fn best(&self, found: &Comparison, metric: &str) -> Result<&str> {
        let best = found.best.get(metric).ok_or_else(|| {
            Error::setting(
                format!("--select best: {metric} is undefined for every checkpoint"),
                "choose another metric",
            )
        })?;
        let place = found.checkpoints.iter().position(|checkpoint| checkpoint.name == *best).unwrap_or(0);
        Ok(&self.inputs[place].path)
    }

    /// The comparison and, to draw them, the scores and classes of the rows of each checkpoint.
    fn compare(&self, draws: bool, bars: &Bars) -> Result<(Comparison, Vec<DrawnRows>)> {
        let mut measure = self.options.measure.clone();
        let first = &self.inputs[0];
        let mut baseline = None;
        if let Some(result) = stored::result(&first.path)? {
            measure = measure.combine(stored_measure(&result.settings));
            baseline = Some(Measured { evaluation: result, rows: None });
        }
        let mut settings = self.settings(&measure);
        // Stored rows do not contain settings, so these come from the first candidate.
        let are_rows = baseline.is_none() && stored::are_rows(&first.path);
        let keys =
            if self.options.key.is_some() { Some(self.common_keys(baseline.is_some() || are_rows)?) } else { None };
        let mut drawn = Vec::new();
        if baseline.is_none() && !are_rows {
            let (measured, rows) = self.measure(0, &settings, keys.as_deref(), bars)?;
            drawn.extend(draws.then_some(rows));
            settings.temperature = Temperature::Value(measured.evaluation.settings.temperature);
            baseline = Some(measured);
        }
        let mut checkpoints = Vec::new();
        let mut candidates = Vec::new();
        for place in 1..self.inputs.len() {
            let (measured, rows) = self.measure(place, &settings, keys.as_deref(), bars)?;
            drawn.extend(draws.then_some(rows));
            settings.temperature = Temperature::Value(measured.evaluation.settings.temperature);
            if baseline.is_none() {
                baseline = Some(stored::scored_rows(&first.path, &measured.evaluation.settings)?);
            }
            let Some(baseline) = &baseline else { continue };
            self.check_comparable(place, &baseline.evaluation, &measured.evaluation)?;
            candidates.push(difference(&self.names[place], baseline, &measured, settings.seed, bars)?);
            checkpoints.push(Checkpoint { name: self.names[place].clone(), result: measured.evaluation });
        }
        if let Some(baseline) = baseline {
            // A stored result has no scores of rows.
            if draws && drawn.len() == checkpoints.len() {
                drawn.insert(0, DrawnRows::default());
            }
            checkpoints.insert(0, Checkpoint { name: self.names[0].clone(), result: baseline.evaluation });
        }
        let mut found = Comparison::new(checkpoints, candidates, settings.seed);
        if self.options.similarity {
            found.add_similarities(self.similarities(&settings, keys.as_deref(), bars)?);
        }
        Ok((found, drawn))
    }

    /// How similar the checkpoints are, two of which are open at a time.
    fn similarities(&self, settings: &Settings, keys: Option<&[Label]>, bars: &Bars) -> Result<Similarities> {
        for Input { path, .. } in &self.inputs {
            if stored::result(path)?.is_some() || stored::are_rows(path) {
                return Err(Error::setting(
                    format!("--similarity: {path} is a stored result, which contains no embeddings"),
                    "name the embeddings that it is of",
                ));
            }
        }
        let mut first_rows = None;
        let open = |place: usize| {
            let dataset = self.paired_dataset(place, settings, keys)?;
            if self.options.key.is_none() {
                let rows: Vec<usize> = (0..dataset.len()).map(|row| dataset.source_row(row)).collect();
                if first_rows.get_or_insert_with(|| rows.clone()) != &rows {
                    return Err(Error::setting(
                        format!("--similarity: {} and {} do not have the same rows", self.names[0], self.names[place]),
                        "pair them by --key, or leave the same rows out of both",
                    ));
                }
            }
            Ok(dataset)
        };
        Similarities::between(self.inputs.len(), open, settings.seed, bars)
    }

    /// The rows of a checkpoint, in the order of the ids if there are any.
    fn paired_dataset(&self, place: usize, settings: &Settings, keys: Option<&[Label]>) -> Result<Dataset<'static>> {
        match (keys, self.dataset(place, settings)?) {
            (Some(keys), (dataset, Some(column))) => {
                let rows = by_key(&dataset, &column)?;
                let order: Vec<usize> = keys.iter().filter_map(|key| rows.get(key).copied()).collect();
                Ok(dataset.subset(&order))
            }
            (_, (dataset, _)) => Ok(dataset),
        }
    }

    /// The labels of a checkpoint.
    fn labels_of(&self, place: usize) -> Result<&str> {
        self.inputs[place].labels.as_deref().or(self.options.labels.as_deref()).ok_or_else(|| {
            let paths: Vec<String> = self.inputs.iter().map(|input| input.path.clone()).collect();
            if let Some(meant) = mistakes::labels_among_inputs("compare", &paths) {
                return meant;
            }
            Error::setting(
                format!("{} has no labels", self.inputs[place].path),
                "give --labels for all checkpoints, or --labels-for FILE=LABELS",
            )
        })
    }

    /// The data set of a checkpoint, and the ids of the stored rows.
    fn dataset(&self, place: usize, settings: &Settings) -> Result<(Dataset<'static>, Option<LabelColumn>)> {
        let mut columns = vec![self.labels_of(place)?];
        columns.extend(self.options.key.as_deref());
        let mut loaded = input::load_with(
            &self.inputs[place].path,
            &columns,
            self.options.row_weights.as_deref(),
            &ReadOptions { hints: self.hints, key: None },
        )?;
        let key = if self.options.key.is_some() { loaded.labels.pop() } else { None };
        let options =
            DatasetOptions { choice: self.options.rows.choice(), weights: loaded.weights, seed: settings.seed };
        let dataset = Dataset::join(
            loaded.embeddings.for_distance(settings.distance)?,
            &loaded.labels[0],
            settings.distance,
            &options,
        )?;
        Ok((dataset, key))
    }

    fn measure(
        &self,
        place: usize,
        settings: &Settings,
        keys: Option<&[Label]>,
        bars: &Bars,
    ) -> Result<(Measured, DrawnRows)> {
        let dataset = self.paired_dataset(place, settings, keys)?;
        let mut scored = evaluate(&dataset, settings, bars)?;
        let scores = std::mem::take(&mut scored.rows);
        let classes = dataset.scored_members().map(|(code, _)| code).collect();
        let mut measured = Measured::new(&dataset, scored);
        if let (Some(rows), true) = (&mut measured.rows, keys.is_some()) {
            // Rows are paired by their positions among the ids.
            rows.numbers = (0..dataset.len()).collect();
        }
        Ok((measured, (scores, classes)))
    }

    /// The ids that all checkpoints have, in the order of the first.
    fn common_keys(&self, baseline_is_stored: bool) -> Result<Vec<Label>> {
        if baseline_is_stored {
            return Err(Error::setting(
                format!("--key: {} is a stored result, which contains no ids", self.inputs[0].path),
                "name the embeddings of the baseline",
            ));
        }
        let mut common: Option<Vec<Label>> = None;
        for place in 0..self.inputs.len() {
            let (dataset, column) = self.dataset(place, &self.settings(&self.options.measure))?;
            let Some(column) = column else { continue };
            let rows = by_key(&dataset, &column)?;
            common = Some(match common {
                None => {
                    let mut keys: Vec<(usize, Label)> = rows.into_iter().map(|(key, row)| (row, key.clone())).collect();
                    keys.sort_by_key(|(row, _)| *row);
                    keys.into_iter().map(|(_, key)| key).collect()
                }
                Some(keys) => {
                    let kept: Vec<Label> = keys.iter().filter(|key| rows.contains_key(key)).cloned().collect();
                    let (missing, more) = (keys.len() - kept.len(), rows.len() - kept.len());
                    if missing + more > 0 && !self.options.allow_mismatch {
                        let example = keys.iter().find(|key| !rows.contains_key(key));
                        let example = example.map(|key| format!(" (such as '{key}')")).unwrap_or_default();
                        return Err(Error::setting(
                            format!(
                                "{} lacks {missing} ids of {}{example} and has {more} others",
                                self.inputs[place].path, self.inputs[0].path
                            ),
                            "--allow-mismatch compares the rows that all checkpoints have",
                        ));
                    }
                    kept
                }
            });
        }
        Ok(common.unwrap_or_default())
    }

    /// Checks that checkpoints differ in their embeddings only.
    fn check_comparable(&self, place: usize, baseline: &Evaluation, candidate: &Evaluation) -> Result<()> {
        let found = mismatches(baseline, candidate);
        if found.is_empty() || self.options.allow_mismatch {
            return Ok(());
        }
        Err(Error::setting(
            format!("{} and {} differ in {}", self.names[0], self.names[place], found.join("; ")),
            "make them agree, or compare them anyway with --allow-mismatch",
        ))
    }
}

/// The row of each id in the data set.
///
/// # Errors
/// A duplicate or missing id.
fn by_key<'a>(dataset: &Dataset, column: &'a LabelColumn) -> Result<HashMap<&'a Label, usize>> {
    let mut rows = HashMap::with_capacity(dataset.len());
    for row in 0..dataset.len() {
        let source = dataset.source_row(row);
        let name = || column.origin().to_string();
        let Some(key) = column.get(source) else {
            return Err(Error::Row { name: name(), row: source, problem: "it has no id".to_owned(), tip: None });
        };
        if rows.insert(key, row).is_some() {
            return Err(Error::Row {
                name: name(),
                row: source,
                problem: format!("duplicate id '{key}'"),
                tip: Some("--key needs a column with a unique id for each row".to_owned()),
            });
        }
    }
    Ok(rows)
}

/// The settings of a stored baseline, which are the defaults for the candidates.
fn stored_measure(settings: &SettingsUsed) -> MeasureArguments {
    MeasureArguments {
        distance: Some(settings.distance),
        temperature: Some(Temperature::Value(settings.temperature)),
        softmin: Some(settings.softmin),
        softmax: Some(settings.softmax),
        ..MeasureArguments::default()
    }
}

/// The metric by which the best checkpoint is chosen.
fn selected(arguments: &CompareArguments) -> Result<Option<String>> {
    let Some(Select::Best) = arguments.select else { return Ok(None) };
    let metric = arguments.by.clone().unwrap_or_else(|| "silhouette".to_owned());
    let names: Vec<String> = METRICS.iter().flat_map(|metric| metric.names(Levels::USUAL)).collect();
    if !names.contains(&metric) {
        return Err(Error::setting(format!("--by: unknown metric '{metric}'"), choices(Some(&metric), &names)));
    }
    if higher_is_better(&metric).is_none() {
        return Err(Error::setting(format!("--by: {metric} has no better direction"), "choose another metric"));
    }
    Ok(Some(metric))
}
