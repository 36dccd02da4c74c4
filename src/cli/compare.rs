//! `embq compare`: from checkpoints to what changed.

pub(super) mod checkpoints;
mod config;
mod stored;

use std::collections::HashMap;
use std::path::Path;
use std::time::Instant;

use clap::ValueEnum;

use crate::cli::args::{
    CompareArguments, PrecisionArgument, Select, SmoothMaximumArgument, SoftMinimumArgument, saturated, temperature,
};
use crate::cli::ci::CiOutputs;
use crate::cli::progress::Bars;
use crate::cli::{Outcome, mistakes, print, print_as, write_as};
use crate::gate::Gate;
use crate::report::output::{OutputFile, WrittenFile, check_distinct};
use crate::report::{Format, comparison};
use config::{Config, Input};
use embq_core::comparison::{Checkpoint, Comparison, Measured, difference, higher_is_better, mismatches};
use embq_core::data::{Dataset, DatasetOptions, Label, LabelColumn, RowChoice};
use embq_core::error::{Error, Result, choices};
use embq_core::evaluation::{Evaluation, Settings, SettingsUsed, Temperature, Timing, evaluate};
use embq_core::metrics::{METRICS, Selection, USUAL_KS};
use embq_files::input::{self, Header, ReadOptions};

pub(crate) fn run(arguments: CompareArguments) -> Result<Outcome> {
    let plan = Plan::new(&arguments)?;
    let outputs = Outputs::check(&arguments, &plan)?;
    arguments.run.start_threads();
    let started = Instant::now();
    let mut found = plan.compare(&arguments)?;
    if !arguments.run.no_timing {
        let compute_seconds = started.elapsed().as_secs_f64();
        found.timing = Some(Timing { read_seconds: 0.0, compute_seconds });
    }
    let checks = found.pairs().flat_map(|pair| {
        plan.gates.iter().map(move |gate| {
            let mut outcome = gate.check(&pair);
            outcome.checkpoint = Some(pair.comparison.name.clone());
            outcome
        })
    });
    found.gates = checks.collect();

    let written = outputs.write(&found, &arguments)?;
    if let Some(metric) = &plan.select {
        let best = found.best.get(metric).ok_or_else(|| {
            Error::setting(
                format!("--select best: {metric} is undefined for every checkpoint"),
                "choose another metric",
            )
        })?;
        let place = found.checkpoints.iter().position(|checkpoint| checkpoint.name == *best).unwrap_or(0);
        print(format!("{}\n", plan.inputs[place].path).as_bytes())?;
    } else if !(arguments.run.quiet && outputs.any()) {
        let text = comparison::render(&found, arguments.format, arguments.classes)?;
        print_as(arguments.format, &text)?;
    }
    for file in written {
        file.publish()?;
    }
    outputs.ci.tell(|| comparison::render(&found, Format::Markdown, arguments.classes), &found.gates)?;
    let failed = found.gates.iter().any(|gate| gate.failed);
    Ok(if failed { Outcome::GateFailed } else { Outcome::Success })
}

/// Options and configuration, put together.
struct Plan {
    /// The checkpoints with their names; the first is the baseline.
    inputs: Vec<Input>,
    names: Vec<String>,
    labels: Option<String>,
    key: Option<String>,
    row_weights: Option<String>,
    header: Header,
    settings: Settings,
    /// What was asked for explicitly: a stored baseline says the rest.
    given: Given,
    choice: RowChoice,
    gates: Vec<Gate>,
    allow_mismatch: bool,
    /// The metric whose best checkpoint is to be printed.
    select: Option<String>,
}

/// Which settings were named.
struct Given {
    distance: bool,
    temperature: bool,
    softmin: bool,
    softmax: bool,
}

fn parsed<T: ValueEnum>(key: &str, text: &str) -> Result<T> {
    T::from_str(text, false).map_err(|_| {
        let names =
            T::value_variants().iter().filter_map(|value| Some(value.to_possible_value()?.get_name().to_owned()));
        Error::setting(
            format!("[compare] {key}: '{text}' is none of its values"),
            choices(Some(text), &names.collect::<Vec<_>>()),
        )
    })
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
        let named = file.as_ref().filter(|_| arguments.checkpoints.is_empty());
        let from_file = file.as_ref().map(|file| file.compare.clone()).unwrap_or_default();
        let labels = arguments.labels.clone().or(from_file.labels);
        let row_weights = arguments.row_weights.clone().or(from_file.row_weights);
        let mut inputs = match named {
            Some(config) => config.checkpoints()?,
            None => {
                let own_labels =
                    arguments.labels_for.iter().filter_map(|text| Some(text.rsplit_once('=')?.1.to_owned()));
                let taken: Vec<String> = labels.iter().chain(&row_weights).cloned().chain(own_labels).collect();
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
                format!("embq compare needs a candidate beside {}", inputs[0].path),
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
                format!("two checkpoints are called '{twice}'"),
                "give each a --name of its own",
            ));
        }

        let temperature = match (arguments.temperature, &from_file.temperature) {
            (Some(given), _) => Some(given),
            (None, Some(text)) => Some(
                temperature(&text.text())
                    .map_err(|problem| Error::setting(format!("[compare] temperature: {problem}"), "such as 0.1"))?,
            ),
            (None, None) => None,
        };
        let distance = match (arguments.distance, &from_file.distance) {
            (None, Some(name)) => Some(name.parse()?),
            (given, _) => given,
        };
        let softmin: Option<SoftMinimumArgument> = match (arguments.softmin, &from_file.softmin) {
            (None, Some(text)) => Some(parsed("softmin", text)?),
            (given, _) => given,
        };
        let softmax: Option<SmoothMaximumArgument> = match (arguments.softmax, &from_file.softmax) {
            (None, Some(text)) => Some(parsed("softmax", text)?),
            (given, _) => given,
        };
        let precision: Option<PrecisionArgument> = match (arguments.precision, &from_file.precision) {
            (None, Some(text)) => Some(parsed("precision", text)?),
            (given, _) => given,
        };
        let metrics = if arguments.metrics.is_empty() {
            from_file.metrics.unwrap_or_default()
        } else {
            arguments.metrics.clone()
        };
        let defaults = Settings::default();
        let settings = Settings {
            distance: distance.unwrap_or(defaults.distance),
            temperature: temperature.unwrap_or(defaults.temperature),
            softmin: softmin.map_or(defaults.softmin, Into::into),
            softmax: softmax.map_or(defaults.softmax, Into::into),
            precision: precision.map(Into::into),
            batch_size: arguments.batch_size.or(from_file.batch_size).map(saturated),
            seed: arguments.seed.or(from_file.seed).unwrap_or(0),
            metrics: if metrics.is_empty() {
                Selection::usual()
            } else {
                Selection::parse(metrics.iter().map(|name| name.trim()))?
            },
            matrix: false,
            intervals: true,
            class_intervals: Some(0),
            class_terms: true,
            hash: false,
            ..defaults
        };
        let mut choice = arguments.rows.choice();
        if choice.ignore_labels.is_empty() {
            choice.ignore_labels = from_file.ignore_labels.unwrap_or_default();
        }
        choice.drop_invalid |= from_file.drop_invalid.unwrap_or(false);
        choice.drop_null_labels |= from_file.drop_null_labels.unwrap_or(false);
        let expressions = if arguments.fail_if.is_empty() {
            from_file.fail_if.unwrap_or_default()
        } else {
            arguments.fail_if.clone()
        };
        let gates = gates(&expressions, &settings)?;
        Ok(Plan {
            inputs,
            names,
            labels,
            key: arguments.key.clone().or(from_file.key),
            row_weights,
            header: arguments.header.into(),
            given: Given {
                distance: distance.is_some(),
                temperature: temperature.is_some(),
                softmin: softmin.is_some(),
                softmax: softmax.is_some(),
            },
            settings,
            choice,
            gates,
            allow_mismatch: arguments.allow_mismatch || from_file.allow_mismatch.unwrap_or(false),
            select: selected(arguments)?,
        })
    }

    fn compare(&self, arguments: &CompareArguments) -> Result<Comparison> {
        let bars = Bars::new(!arguments.run.quiet && !arguments.run.no_progress);
        let mut settings = self.settings.clone();
        let first = &self.inputs[0];
        let mut baseline = None;
        if let Some(result) = stored::result(&first.path)? {
            self.adopt(&mut settings, &result.settings);
            baseline = Some(Measured { evaluation: result, rows: None });
        }
        // Rows do not hold their settings, so that these come from the first candidate, once it is there.
        let are_rows = baseline.is_none() && stored::are_rows(&first.path);
        let keys = if self.key.is_some() { Some(self.common_keys(baseline.is_some() || are_rows)?) } else { None };
        if baseline.is_none() && !are_rows {
            let measured = self.measure(0, &settings, keys.as_deref(), &bars)?;
            settings.temperature = Temperature::Value(measured.evaluation.settings.temperature);
            baseline = Some(measured);
        }
        let mut checkpoints = Vec::new();
        let mut candidates = Vec::new();
        for place in 1..self.inputs.len() {
            let measured = self.measure(place, &settings, keys.as_deref(), &bars)?;
            settings.temperature = Temperature::Value(measured.evaluation.settings.temperature);
            if baseline.is_none() {
                baseline = Some(stored::rows(&first.path, &measured.evaluation.settings)?);
            }
            let Some(baseline) = &baseline else { continue };
            self.check_comparable(place, &baseline.evaluation, &measured.evaluation)?;
            candidates.push(difference(&self.names[place], baseline, &measured, settings.seed, &bars)?);
            checkpoints.push(Checkpoint { name: self.names[place].clone(), result: measured.evaluation });
        }
        if let Some(baseline) = baseline {
            checkpoints.insert(0, Checkpoint { name: self.names[0].clone(), result: baseline.evaluation });
        }
        Ok(Comparison::new(checkpoints, candidates, settings.seed))
    }

    /// Settings that nobody named are those of a stored baseline.
    fn adopt(&self, settings: &mut Settings, stored: &SettingsUsed) {
        if !self.given.distance {
            settings.distance = stored.distance;
        }
        if !self.given.temperature {
            settings.temperature = Temperature::Value(stored.temperature);
        }
        if !self.given.softmin {
            settings.softmin = stored.softmin;
        }
        if !self.given.softmax {
            settings.softmax = stored.softmax;
        }
    }

    /// The labels of a checkpoint.
    fn labels_of(&self, place: usize) -> Result<&str> {
        self.inputs[place].labels.as_deref().or(self.labels.as_deref()).ok_or_else(|| {
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

    /// A checkpoint's data set, and the ids of the rows as stored.
    fn dataset(&self, place: usize, settings: &Settings) -> Result<(Dataset<'static>, Option<LabelColumn>)> {
        let mut columns = vec![self.labels_of(place)?];
        columns.extend(self.key.as_deref());
        let mut loaded = input::load_with(
            &self.inputs[place].path,
            &columns,
            self.row_weights.as_deref(),
            &ReadOptions { header: self.header, key: None },
        )?;
        let key = if self.key.is_some() { loaded.labels.pop() } else { None };
        let options = DatasetOptions { choice: self.choice.clone(), weights: loaded.weights, seed: settings.seed };
        let dataset = Dataset::join(loaded.embeddings, &loaded.labels[0], settings.distance, &options)?;
        Ok((dataset, key))
    }

    fn measure(&self, place: usize, settings: &Settings, keys: Option<&[Label]>, bars: &Bars) -> Result<Measured> {
        let (dataset, key) = self.dataset(place, settings)?;
        match (keys, key) {
            (Some(keys), Some(column)) => {
                let rows = by_key(&dataset, &column)?;
                let order: Vec<usize> = keys.iter().filter_map(|key| rows.get(key).copied()).collect();
                let dataset = dataset.subset(&order);
                let scored = evaluate(&dataset, settings, bars)?;
                let mut measured = Measured::new(&dataset, scored);
                if let Some(rows) = &mut measured.rows {
                    // Paired by id: what tells a row is its place among the ids.
                    rows.numbers = (0..order.len()).collect();
                }
                Ok(measured)
            }
            _ => {
                let scored = evaluate(&dataset, settings, bars)?;
                Ok(Measured::new(&dataset, scored))
            }
        }
    }

    /// The ids that every checkpoint has, in the order of the first.
    fn common_keys(&self, baseline_is_stored: bool) -> Result<Vec<Label>> {
        if baseline_is_stored {
            return Err(Error::setting(
                format!("--key: {} is a stored result, whose rows have no ids", self.inputs[0].path),
                "name the embeddings of the baseline",
            ));
        }
        let mut common: Option<Vec<Label>> = None;
        for place in 0..self.inputs.len() {
            let (dataset, column) = self.dataset(place, &self.settings)?;
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
                    if missing + more > 0 && !self.allow_mismatch {
                        let example = keys.iter().find(|key| !rows.contains_key(key));
                        let example = example.map(|key| format!(" (such as '{key}')")).unwrap_or_default();
                        return Err(Error::setting(
                            format!(
                                "{} lacks {missing} of the ids of {}{example}, and has {more} others",
                                self.inputs[place].path, self.inputs[0].path
                            ),
                            "--allow-mismatch compares the rows that all have",
                        ));
                    }
                    kept
                }
            });
        }
        Ok(common.unwrap_or_default())
    }

    /// Checks that a difference says something about the embeddings.
    fn check_comparable(&self, place: usize, baseline: &Evaluation, candidate: &Evaluation) -> Result<()> {
        let found = mismatches(baseline, candidate);
        if found.is_empty() || self.allow_mismatch {
            return Ok(());
        }
        Err(Error::setting(
            format!("{} and {} differ in {}", self.names[0], self.names[place], found.join("; ")),
            "make them alike, or compare them all the same with --allow-mismatch",
        ))
    }
}

/// The place of each id in the data set.
///
/// # Errors
/// An id that occurs twice, or is missing.
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
                problem: format!("the id '{key}' occurs a second time"),
                tip: Some("--key needs a column in which every row has an id of its own".to_owned()),
            });
        }
    }
    Ok(rows)
}

fn gates(expressions: &[String], settings: &Settings) -> Result<Vec<Gate>> {
    let gates: Vec<Gate> = expressions.iter().map(|expression| Gate::parse(expression)).collect::<Result<_>>()?;
    for quantity in gates.iter().flat_map(Gate::quantities) {
        crate::cli::score::check_computed(quantity, settings)?;
    }
    Ok(gates)
}

/// The metric by which the best checkpoint is chosen.
fn selected(arguments: &CompareArguments) -> Result<Option<String>> {
    let Some(Select::Best) = arguments.select else { return Ok(None) };
    let metric = arguments.by.clone().unwrap_or_else(|| "silhouette".to_owned());
    let names: Vec<String> = METRICS.iter().flat_map(|metric| metric.names(&USUAL_KS)).collect();
    if !names.contains(&metric) {
        return Err(Error::setting(format!("--by: unknown metric '{metric}'"), choices(Some(&metric), &names)));
    }
    if higher_is_better(&metric).is_none() {
        return Err(Error::setting(
            format!("--by: no value of {metric} is better than another"),
            "choose another metric",
        ));
    }
    Ok(Some(metric))
}

/// Where results go beside standard output, checked before the work.
struct Outputs {
    results: Vec<(OutputFile, Format)>,
    ci: CiOutputs,
}

impl Outputs {
    fn check(arguments: &CompareArguments, plan: &Plan) -> Result<Self> {
        let result = |path: &String| Ok((OutputFile::check(Path::new(path))?, Format::of_file(path)?));
        let outputs = Outputs {
            results: arguments.output.iter().map(result).collect::<Result<_>>()?,
            ci: CiOutputs::check(&arguments.ci)?,
        };
        check_distinct(outputs.files())?;
        let labels = plan.inputs.iter().filter_map(|input| input.labels.as_ref()).chain(&plan.labels);
        let inputs = plan.inputs.iter().map(|input| &input.path).chain(labels).chain(&plan.row_weights);
        for path in inputs.flat_map(|input| input::paths_of(input)) {
            if let Some(file) = outputs.files().find(|file| file.is(Path::new(&path))) {
                return Err(Error::setting(
                    format!("{} is an input: the result would take its place", file.shown()),
                    "give the output a path of its own",
                ));
            }
        }
        Ok(outputs)
    }

    fn files(&self) -> impl Iterator<Item = &OutputFile> {
        self.results.iter().map(|(file, _)| file).chain(self.ci.files())
    }

    fn any(&self) -> bool {
        self.files().next().is_some()
    }

    /// Writes every file beside its place.
    fn write(&self, found: &Comparison, arguments: &CompareArguments) -> Result<Vec<WrittenFile<'_>>> {
        let mut written = Vec::new();
        for (file, format) in &self.results {
            written.push(write_as(*format, file, &comparison::render(found, *format, arguments.classes)?)?);
        }
        written.extend(self.ci.write("embq compare", &found.gates)?);
        Ok(written)
    }
}
