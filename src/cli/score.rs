//! `embq score`: from files to the result.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ndarray::Array2;

use crate::cli::args::{ScoreArguments, saturated};
use crate::cli::ci::CiOutputs;
use crate::cli::progress::Bars;
use crate::cli::{Outcome, command_line, given, keep_inputs, message, mistakes, print_as, write_as};
use crate::gate::Gate;
use crate::report::output::{OutputFile, WrittenFile, check_distinct};
use crate::report::{ClassLimit, ClassOrder, Format, View, html, is_page, plot};
use embq_core::data::{Dataset, DatasetOptions, LabelColumn, RowChoice, RowNames, identical_rows};
use embq_core::detail::{MATRIX_CLASSES, detail};
use embq_core::distance::Distance;
use embq_core::error::{Error, Result};
use embq_core::evaluation::{Evaluation, GateOutcome, RowScores, Scored, Settings, Timing, evaluate_with};
use embq_core::metrics::{Auxiliary, Metric, Need, Selection};
use embq_core::quantity::Quantity;
use embq_files::input;
use embq_files::output::matrix::{self, MatrixFormat};
use embq_files::output::rows::{RowFormat, RowTable};

pub(crate) fn run(arguments: ScoreArguments) -> Result<Outcome> {
    let [embeddings] = &arguments.embeddings[..] else {
        if arguments.labels.is_empty()
            && let Some(meant) = mistakes::labels_among_inputs("score", &arguments.embeddings)
        {
            return Err(meant);
        }
        return Err(Error::setting(
            format!("embq score reads one file of embeddings, not {}", arguments.embeddings.len()),
            "one input in several files is a quoted pattern, such as 'part-*.npy'; several checkpoints are for embq \
             compare",
        ));
    };
    if arguments.plot && arguments.format != Format::Table {
        return Err(Error::setting("--plot draws below the table", "leave --format out"));
    }
    let mut settings = settings(&arguments)?;
    let gates = gates(&arguments, &settings)?;
    if gates.iter().flat_map(Gate::quantities).any(Quantity::is_of_interval_of_class) {
        settings.class_intervals = None;
    }
    let labels = labellings(&arguments)?;
    let outputs = Outputs::check(&arguments, &labels)?;
    let draws = arguments.plot.then_some("--plot").or((!outputs.pages.is_empty()).then_some("a page"));
    if let Some(what) = draws.filter(|_| !settings.compares_with_classes()) {
        return Err(Error::setting(format!("{what} draws silhouettes"), "add silhouette to --metrics"));
    }
    let view = view(&arguments, &settings)?;
    arguments.run.start_threads();

    let started = Instant::now();
    let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
    let specs: Vec<&str> = labels.iter().copied().chain(arguments.batch.as_deref()).collect();
    let mut loaded =
        input::load_with(embeddings, &specs, arguments.row_weights.as_deref(), &arguments.reading.options()).map_err(
            |error| match error {
                error if settings.distance == Distance::Precomputed => mistakes::condensed(error),
                error => mistakes::misplaced(embeddings, &arguments.labels).unwrap_or(error),
            },
        )?;
    let batches = arguments.batch.is_some().then(|| loaded.labels.pop()).flatten();
    let gallery = gallery(&arguments)?;
    let choice = RowChoice { subsample: arguments.subsample.map(saturated), ..arguments.rows.choice() };
    let options = DatasetOptions { choice, weights: loaded.weights, seed: arguments.seed };
    let loaded_embeddings = match settings.distance {
        Distance::Precomputed => loaded.embeddings.as_distances()?,
        _ => loaded.embeddings,
    };
    let embeddings = Arc::new(loaded_embeddings);
    let dataset = |labels: &LabelColumn| Dataset::join(Arc::clone(&embeddings), labels, settings.distance, &options);
    let datasets: Vec<Dataset> = loaded.labels.iter().map(dataset).collect::<Result<_>>()?;
    let read_seconds = started.elapsed().as_secs_f64();

    let identical = match (&gallery, datasets.first()) {
        (Some(gallery), Some(queries)) => identical_rows(queries, gallery)?,
        _ => Vec::new(),
    };
    let own_rows: &[Option<usize>] = if arguments.exclude_identical { &identical[..] } else { &[] };
    let auxiliary = Auxiliary { gallery: gallery.as_ref(), own_rows, batches: batches.as_ref() };
    let bars = Bars::new(!arguments.run.quiet && !arguments.run.no_progress);
    let mut results = Vec::new();
    let mut tables = Vec::new();
    for dataset in &datasets {
        if !arguments.run.quiet {
            tell_of_long_work(dataset, &settings);
        }
        let started = Instant::now();
        let settings = Settings { matrix: settings.matrix || outputs.want_map(dataset), ..settings.clone() };
        let Scored { mut evaluation, rows, matrix, .. } = evaluate_with(dataset, auxiliary, &settings, &bars)?;
        tell_of_identical(&mut evaluation, &identical, arguments.exclude_identical);
        if !arguments.run.no_timing {
            evaluation.timing = Some(Timing { read_seconds, compute_seconds: started.elapsed().as_secs_f64() });
        }
        evaluation.gates = gates.iter().map(|gate| gate.check(&evaluation)).collect();
        results.push(evaluation);
        tables.push(Tables { dataset, rows, matrix });
    }

    // All that can fail comes before the first file appears in its place.
    let written = outputs.write(&results, &tables, &view, &bars)?;
    if !(arguments.run.quiet && outputs.any()) {
        let mut text = arguments.format.render(&results, &view)?;
        for (result, Tables { dataset, rows, .. }) in results.iter().zip(&tables).filter(|_| arguments.plot) {
            let classes: Vec<u32> = dataset.scored_members().map(|(code, _)| code).collect();
            text.push_str(&plot::render(result, &classes, &rows.silhouette, &view));
        }
        print_as(arguments.format, &text)?;
    }
    for file in written {
        file.publish()?;
    }
    let gates = all_gates(&results);
    outputs.ci.tell(|| Format::Markdown.render(&results, &view), &gates)?;
    let failed = gates.iter().any(|gate| gate.failed);
    Ok(if failed { Outcome::GateFailed } else { Outcome::Success })
}

/// Queries that are rows of the gallery find themselves first, which is rarely meant.
fn tell_of_identical(evaluation: &mut Evaluation, identical: &[Option<usize>], excluded: bool) {
    let found = identical.iter().flatten().count();
    if found == 0 {
        return;
    }
    let (queries, rows) = (identical.len(), if found == 1 { "query is a row" } else { "queries are rows" });
    evaluation.warnings.push(if excluded {
        format!("{found} of {queries} {rows} of the gallery: each is left out for its own query")
    } else {
        format!(
            "{found} of {queries} {rows} of the gallery as well and can find themselves; --exclude-identical leaves each \
             query's own row out"
        )
    });
}

/// The gates of all labellings; of several, each with the labels that it was checked for.
fn all_gates(results: &[Evaluation]) -> Vec<GateOutcome> {
    let gates = results.iter().flat_map(|result| {
        let labels = (results.len() > 1).then(|| result.labels.name());
        result.gates.iter().map(move |gate| GateOutcome { checkpoint: labels.clone(), ..gate.clone() })
    });
    gates.collect()
}

/// What one labelling leaves behind beside its result.
struct Tables<'a> {
    dataset: &'a Dataset<'a>,
    rows: RowScores,
    matrix: Option<Array2<Option<f64>>>,
}

/// All labellings that were asked for.
fn labellings(arguments: &ScoreArguments) -> Result<Vec<String>> {
    let mut labels = arguments.labels.clone();
    for spec in &arguments.labels_from {
        labels.extend(input::labels_from(spec)?);
    }
    let page = arguments.output.iter().find(|path| is_page(path));
    let tables = [("--rows-out", &arguments.rows_out), ("--matrix-out", &arguments.matrix_out)];
    let tables = tables.into_iter().filter(|(_, path)| path.is_some()).map(|(option, _)| option);
    if let Some(option) = page.map(String::as_str).into_iter().chain(tables).next()
        && labels.len() > 1
    {
        return Err(Error::setting(
            format!("{option} holds the rows or classes of one labelling, and {} are given", labels.len()),
            "run embq once for each",
        ));
    }
    if arguments.gallery.is_some() && labels.len() > 1 {
        let problem = format!("--gallery has the classes of one labelling, and {} are given", labels.len());
        return Err(Error::setting(problem, "run embq once for each"));
    }
    Ok(labels)
}

/// The rows among which neighbours are looked for, if they are others. The choice of rows by label is for both sides.
fn gallery(arguments: &ScoreArguments) -> Result<Option<Dataset<'static>>> {
    let (Some(embeddings), Some(labels)) = (&arguments.gallery, &arguments.gallery_labels) else { return Ok(None) };
    let loaded = input::load_with(embeddings, &[labels], None, &arguments.reading.options())?;
    let Some(column) = loaded.labels.first() else { return Ok(None) };
    let choice = RowChoice {
        drop_invalid: arguments.rows.drop_invalid,
        drop_null_labels: arguments.rows.drop_null_labels,
        ..Default::default()
    };
    let options = DatasetOptions { choice, ..Default::default() };
    Dataset::join(loaded.embeddings, column, arguments.distance, &options).map(Some)
}

fn view(arguments: &ScoreArguments, settings: &Settings) -> Result<View> {
    let order = arguments.sort.as_deref().map(ClassOrder::parse).transpose()?;
    if let Some(ClassOrder::Metric(metric)) = &order
        && !settings.computes(metric.id)
    {
        return Err(Error::setting(format!("--sort: {} is not computed", metric.id), "add it to --metrics"));
    }
    Ok(View { classes: arguments.classes, order })
}

fn settings(arguments: &ScoreArguments) -> Result<Settings> {
    let metrics = Selection::parse(arguments.metrics.iter().map(|name| name.trim())).map_err(|error| {
        let names = arguments.metrics.iter().map(|name| name.trim());
        names.filter_map(|name| mistakes::distance_among_metrics(&given(), name)).next().unwrap_or(error)
    })?;
    if metrics.iter().all(|metric| metric.needs(Need::BatchSize)) && arguments.batch_size.is_none() {
        return Err(Error::setting("--metrics: metrics of batches need a batch size", "add --batch-size"));
    }
    let mut ks: Vec<usize> = arguments.ks.iter().copied().map(saturated).collect();
    ks.sort_unstable();
    ks.dedup();
    for name in arguments.metrics.iter().map(|name| name.trim()) {
        let Some(metric) = Metric::named(name) else { continue };
        if metric.needs(Need::BatchLabels) && arguments.batch.is_none() {
            return Err(Error::setting(format!("--metrics: {name} needs the batch of each row"), "add --batch"));
        }
        if name.contains('@') && !metric.names(&ks).any(|known| known == name) {
            return Err(Error::setting(format!("--metrics: {name} is not among the --k"), "add its number to --k"));
        }
    }
    let options = [
        (arguments.gallery.is_some(), Need::Neighbours, "--gallery", "add --metrics retrieval"),
        (arguments.batch.is_some(), Need::BatchLabels, "--batch", "add --metrics single_cell"),
        (arguments.sample.is_some(), Need::SampledPairs, "--sample", "add --metrics uniformity"),
    ];
    let is_unused = |(given, need, _, _): &(bool, Need, &str, &str)| *given && !metrics.needs(*need);
    if let Some((_, _, option, tip)) = options.into_iter().find(is_unused) {
        return Err(Error::setting(format!("{option}: no metric that is asked for uses it"), tip));
    }
    Ok(Settings {
        distance: arguments.distance,
        temperature: arguments.soft.temperature,
        softmin: arguments.soft.softmin.into(),
        softmax: arguments.soft.softmax.into(),
        precision: arguments.precision.map(Into::into),
        batch_size: arguments.batch_size.map(saturated),
        seed: arguments.seed,
        metrics,
        ks,
        sample: arguments.sample.map(saturated),
        batch_labels: arguments.batch.is_some(),
        rows: arguments.rows_out.is_some() || arguments.plot || arguments.output.iter().any(|path| is_page(path)),
        matrix: arguments.matrix_out.is_some(),
        intervals: arguments.intervals,
        class_intervals: shown_classes(arguments),
        class_terms: false,
        hash: arguments.hash,
    })
}

/// How many classes have intervals of their own where all of them would take long; `None` is all.
fn shown_classes(arguments: &ScoreArguments) -> Option<usize> {
    match arguments.classes {
        ClassLimit::Worst(limit) if !arguments.class_intervals => Some(limit),
        _ => None,
    }
}

fn gates(arguments: &ScoreArguments, settings: &Settings) -> Result<Vec<Gate>> {
    let gates: Vec<Gate> = arguments.fail_if.iter().map(|expression| Gate::parse(expression)).collect::<Result<_>>()?;
    for quantity in gates.iter().flat_map(Gate::quantities) {
        if quantity.needs_baseline() {
            return Err(Error::setting(format!("--fail-if: {quantity} needs a baseline"), "embq compare has one"));
        }
        check_computed(quantity, settings)?;
    }
    Ok(gates)
}

/// Checks that a result under these settings has a number for what a gate looks at.
///
/// # Errors
/// A metric or an interval that is not computed.
pub(crate) fn check_computed(quantity: &Quantity, settings: &Settings) -> Result<()> {
    if quantity.needs_intervals() && !settings.intervals {
        return Err(Error::setting(format!("--fail-if: {quantity} needs intervals"), "add --intervals"));
    }
    let metric = quantity.metric();
    if metric != "count" && !settings.computes(metric) {
        let tip = match Metric::named(metric) {
            Some(known) if known.needs(Need::BatchSize) => "add --batch-size",
            Some(known) if known.needs(Need::BatchLabels) => "add it to --metrics, and --batch",
            Some(known) if settings.metrics.contains(known.id) => "add its number to --k",
            _ => "add it to --metrics",
        };
        return Err(Error::setting(format!("--fail-if: {metric} is not computed"), tip));
    }
    Ok(())
}

/// Where results go beside standard output, checked before the work.
struct Outputs {
    results: Vec<(OutputFile, Format)>,
    pages: Vec<OutputFile>,
    rows: Option<(OutputFile, RowFormat)>,
    matrix: Option<(OutputFile, MatrixFormat)>,
    ci: CiOutputs,
}

impl Outputs {
    fn check(arguments: &ScoreArguments, labels: &[String]) -> Result<Self> {
        let result = |path: &String| Ok((OutputFile::check(Path::new(path))?, Format::of_file(path)?));
        let page = |path: &String| OutputFile::check(Path::new(path));
        let (pages, results): (Vec<&String>, Vec<&String>) = arguments.output.iter().partition(|path| is_page(path));
        let outputs = Outputs {
            results: results.into_iter().map(result).collect::<Result<_>>()?,
            pages: pages.into_iter().map(page).collect::<Result<_>>()?,
            rows: match &arguments.rows_out {
                Some(path) => Some((OutputFile::check(Path::new(path))?, RowFormat::of_file(path)?)),
                None => None,
            },
            matrix: match &arguments.matrix_out {
                Some(path) => Some((OutputFile::check(Path::new(path))?, MatrixFormat::of_file(path)?)),
                None => None,
            },
            ci: CiOutputs::check(&arguments.ci)?,
        };
        check_distinct(outputs.files())?;
        let beside = [&arguments.row_weights, &arguments.gallery, &arguments.gallery_labels, &arguments.batch];
        let inputs = arguments.embeddings.iter().chain(labels).chain(beside.into_iter().flatten());
        keep_inputs(outputs.files(), inputs)?;
        Ok(outputs)
    }

    fn files(&self) -> impl Iterator<Item = &OutputFile> {
        let results = self.results.iter().map(|(file, _)| file).chain(&self.pages);
        let rows = self.rows.iter().map(|(file, _)| file);
        results.chain(rows).chain(self.matrix.iter().map(|(file, _)| file)).chain(self.ci.files())
    }

    fn any(&self) -> bool {
        self.files().next().is_some()
    }

    /// Whether a page is to show the distances between the classes.
    fn want_map(&self, dataset: &Dataset) -> bool {
        !self.pages.is_empty() && dataset.labels().classes() <= MATRIX_CLASSES
    }

    /// Writes every file beside its place.
    fn write(
        &self,
        results: &[Evaluation],
        tables: &[Tables<'_>],
        view: &View,
        bars: &Bars,
    ) -> Result<Vec<WrittenFile<'_>>> {
        let mut written = Vec::new();
        for (file, format) in &self.results {
            written.push(write_as(*format, file, &format.render(results, view)?)?);
        }
        written.extend(self.ci.write("embq score", &all_gates(results))?);
        for (result, Tables { dataset, rows, matrix }) in results.iter().zip(tables) {
            if !self.pages.is_empty() {
                let detail = detail(dataset, result, rows, matrix.as_ref(), RowNames::default(), bars)?;
                let page = html::render(&detail, Some(&command_line()));
                for file in &self.pages {
                    written.push(file.write(|writer| Ok(writer.write_all(page.as_bytes())?))?);
                }
            }
            if let Some((file, format)) = &self.rows {
                written.push(file.write(|writer| RowTable::new(dataset, rows).write(*format, writer))?);
            }
            if let (Some((file, format)), Some(distances)) = (&self.matrix, matrix) {
                written.push(file.write(|writer| matrix::write(dataset.labels().names(), distances, *format, writer))?);
            }
        }
        Ok(written)
    }
}

/// Seconds from which on pairwise work is announced.
const LONG: f64 = 10.0;

/// Pairwise work that will take long is announced, with a cure where there is one.
fn tell_of_long_work(dataset: &Dataset, settings: &Settings) {
    let estimate = settings.estimate(dataset);
    let rows = dataset.len();
    if let Some(seconds) = estimate.class_distances.filter(|&seconds| seconds > LONG) {
        let megabytes = estimate.class_distance_bytes / 1e6 + 100.0;
        message::note(&format!(
            "{} distances of {rows} rows will take about {seconds:.0} s and {megabytes:.0} MB; \
             --distance cosine and sqeuclidean take seconds, --subsample scores some rows",
            settings.distance
        ));
    }
    if estimate.pair_seconds > LONG {
        message::note(&format!(
            "{} look at all pairs of {rows} rows, which will take about {:.0} s",
            estimate.pairs.join(", "),
            estimate.pair_seconds
        ));
    }
}
