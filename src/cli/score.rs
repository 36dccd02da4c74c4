//! `embq score`: evaluates embeddings, with labels or without.

use std::borrow::Cow;
use std::io::Write;
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use ndarray::{Array2, ArrayView1};

use crate::cli::arguments::{
    ClassArguments, MeasureArguments, OutputArguments, ReadArguments, RowArguments, RunArguments, SampleArguments,
    at_least, clustering, half_width, rate,
};
use crate::cli::gates::{self, GateArguments, GateReport};
use crate::cli::outputs::{Outputs, WITH_PAGES, take_pages};
use crate::cli::progress::Bars;
use crate::cli::{CommandLine, Outcome, message, mistakes};
use crate::gate::Gate;
use crate::report::{ClassLimit, Format, html, pair_plot, plot};
use embq_core::data::{Dataset, DatasetOptions, LabelColumn, RowChoice, RowNames, identical_rows};
use embq_core::detail::{Detail, MATRIX_CLASSES, detail};
use embq_core::distance::Distance;
use embq_core::error::{Cure, Error, Result};
use embq_core::evaluation::{
    Evaluation, GateOutcome, PairCurves, RowScores, Scored, Settings, Temperature, evaluate_with, evaluate_within,
};
use embq_core::metrics::{Auxiliary, Clustering, Levels, Metric, Need, ProbeSettings, Selection, stratified_folds};
use embq_core::quantity::Quantity;
use embq_files::input;
use embq_files::output::matrix::{self, MatrixFormat};
use embq_files::output::rows::{RowFormat, RowTable};
use embq_files::output::{WriteResult, extension, unknown_extension, write_array};

#[derive(Debug, Args)]
#[command(mut_arg("output", |output| output.help(WITH_PAGES)))]
#[command(after_help = "\
Examples:
  embq score emb.npy -l labels.npy
  embq score emb.parquet -l label --distance euclidean
  embq score data.csv:f0..f127 -l species -o result.json --rows-out rows.parquet
  embq score 'shards/*.parquet:embedding' --labels-from species,site
  embq score emb.npy -l labels.npy --metrics retrieval,spectrum,collapse
  embq score emb.npy
  embq score faces.parquet:embedding --pairs trials.txt --key image
  embq score queries.npy -l q.txt --metrics retrieval --gallery base.npy --gallery-labels base.txt
  embq score emb.npy -l labels.npy --fail-if 'silhouette < 0.3' --fail-if 'negative_share > 10%'")]
pub(crate) struct ScoreArguments {
    /// Embeddings: .npy, .npz, .safetensors, Parquet, Arrow, CSV, JSON lines, as PATH or PATH:SELECTOR; a quoted
    /// glob or a directory is one input; `-` is standard input
    #[arg(value_name = "EMBEDDINGS", required = true, num_args = 1..)]
    embeddings: Vec<String>,

    /// Labels: a file with one label per row, PATH:COLUMN, or a column of the embeddings file; can be given multiple
    /// times; without labels, only metrics that need none are computed
    #[arg(short, long, value_name = "LABELS")]
    labels: Vec<String>,

    /// Several labellings at once: columns of the embeddings file, or PATH:COLUMN,..
    #[arg(long, value_name = "COLUMN,..")]
    labels_from: Vec<String>,

    #[command(flatten)]
    reading: ReadArguments,

    #[command(flatten)]
    measure: MeasureArguments,

    /// Metrics or families to compute (see `embq metrics`), or `all` but those that take fits of many steps; `usual` is
    /// the silhouettes and separation, `label_free` everything that needs no labels [default: usual, without labels
    /// label_free, with --pairs verification]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', help_heading = "Measure")]
    metrics: Vec<String>,

    /// Values of k for metrics at k, such as recall@k
    #[arg(
        long = "k",
        value_name = "K,..",
        value_delimiter = ',',
        default_values = ["1", "5", "10"],
        value_parser = at_least(1),
        help_heading = "Measure"
    )]
    ks: Vec<usize>,

    /// False accept rates of tar@far
    #[arg(
        long,
        value_name = "RATE,..",
        value_delimiter = ',',
        default_values = ["1e-1", "1e-2", "1e-3", "1e-4"],
        value_parser = rate,
        help_heading = "Measure"
    )]
    far: Vec<f64>,

    /// Verify these pairs of rows instead of all pairs: a file with two rows and 1 (same) or 0 (different) per line; rows
    /// are numbers from 0, or values of the column that --key names
    #[arg(long, value_name = "FILE", help_heading = "Measure")]
    pairs: Option<String>,

    /// Search for neighbours in these rows instead of in the embeddings themselves
    #[arg(long, value_name = "EMBEDDINGS", requires = "gallery_labels", help_heading = "Measure")]
    gallery: Option<String>,

    /// Labels of the gallery: a file with one label per row, PATH:COLUMN, or a column of the gallery file
    #[arg(long, value_name = "LABELS", requires = "gallery", help_heading = "Measure")]
    gallery_labels: Option<String>,

    /// Keep queries from retrieving themselves if they are also in the gallery
    #[arg(long, requires = "gallery", help_heading = "Measure")]
    exclude_identical: bool,

    /// Batch of each row, for asw_batch and bras: a file with one batch per row, PATH:COLUMN, or a column of the
    /// embeddings file
    #[arg(long, visible_alias = "batch-labels", value_name = "LABELS", help_heading = "Measure")]
    batch: Option<String>,

    /// Cluster of each row, for the clustering metrics: a file with one cluster per row, PATH:COLUMN, or a column of the
    /// embeddings file; without it, rows are clustered by k-means. Without labels, the clusters themselves are scored;
    /// can then be given multiple times
    #[arg(long, value_name = "LABELS", help_heading = "Measure")]
    clusters: Vec<String>,

    /// How rows are clustered for the clustering metrics: kmeans of all rows, or mteb, the mean over ten draws of 16,384
    /// rows, each by k-means on mini-batches
    #[arg(long, value_name = "PROTOCOL", value_parser = clustering(), conflicts_with = "clusters", help_heading = "Measure")]
    clustering: Option<Clustering>,

    /// Penalty of the ridge probe on the squared length of its weights [default: 1]
    #[arg(long, value_name = "ALPHA", value_parser = penalty, help_heading = "Measure")]
    probe_alpha: Option<f64>,

    /// Number of folds of the linear probe [default: 5]
    #[arg(long, value_name = "FOLDS", value_parser = at_least(2), help_heading = "Measure")]
    folds: Option<usize>,

    /// Estimate uniformity from the pairs of this many randomly sampled rows
    #[arg(long, value_name = "ROWS", value_parser = at_least(2), help_heading = "Measure")]
    sample: Option<usize>,

    /// Also compute the loss in shuffled batches of this many rows, as in training
    #[arg(long, value_name = "ROWS", value_parser = at_least(2), help_heading = "Measure")]
    batch_size: Option<usize>,

    /// Also compute 95 % intervals of the silhouettes, mean distances and accuracies of probes
    #[arg(long, conflicts_with = "subsample", help_heading = "Measure")]
    intervals: bool,

    /// Compute intervals of all classes, even if there are so many that by default only those shown have one
    #[arg(long, requires = "intervals", help_heading = "Measure")]
    class_intervals: bool,

    #[command(flatten)]
    scored: SampleArguments,

    /// Score as many rows as it takes for the 95 % interval of silhouette to be within this of it, such as 0.001;
    /// distances are still computed over all rows
    #[arg(
        long,
        value_name = "HALF-WIDTH",
        value_parser = half_width,
        conflicts_with_all = ["subsample", "intervals", "row_weights", "gallery", "pairs"],
        help_heading = "Rows"
    )]
    within: Option<f64>,

    #[command(flatten)]
    rows: RowArguments,

    /// Exit with code 1 if this is true, such as 'silhouette < 0.3'; can be given multiple times
    #[arg(long, value_name = "EXPR", help_heading = "Gates")]
    fail_if: Vec<String>,

    #[command(flatten)]
    gates: GateArguments,

    #[command(flatten)]
    output: OutputArguments,

    /// Write the scores of each row: .parquet .csv .jsonl .npy
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    rows_out: Option<String>,

    /// Write the mean distances between all pairs of classes: .csv .parquet .json .npy
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    matrix_out: Option<String>,

    /// Write the fold of each row in the linear probe, -1 for rows that are left out: .npy .txt
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    folds_out: Option<String>,

    #[command(flatten)]
    classes: ClassArguments,

    /// Draw a silhouette plot below the table
    #[arg(long, help_heading = "Output")]
    plot: bool,

    /// Include a content hash of the embeddings (needs another read)
    #[arg(long, help_heading = "Output")]
    hash: bool,

    #[command(flatten)]
    run: RunArguments,
}

impl ScoreArguments {
    fn has_labels(&self) -> bool {
        !self.labels.is_empty() || !self.labels_from.is_empty()
    }

    /// The column whose values name rows in a list of pairs.
    fn names_of_pairs(&self) -> Option<&str> {
        self.reading.key.as_deref().filter(|_| self.pairs.is_some())
    }
}

/// What tells how good clusters are by themselves, where no metrics are named.
const OF_CLUSTERS: [&str; 3] = ["silhouette", "davies_bouldin", "calinski_harabasz"];

pub(crate) fn run(mut arguments: ScoreArguments, line: &CommandLine) -> Result<Outcome> {
    if !arguments.has_labels() && !arguments.clusters.is_empty() {
        arguments.labels = std::mem::take(&mut arguments.clusters);
        if arguments.metrics.is_empty() {
            arguments.metrics = OF_CLUSTERS.map(str::to_owned).to_vec();
        }
    }
    if arguments.clusters.len() > 1 {
        return Err(Error::setting(
            "--clusters: one clustering is compared with the labels",
            "run embq once for each of them, or leave out -l to score the clusters themselves",
        ));
    }
    if arguments.embeddings.len() > 1 {
        if !arguments.has_labels() {
            let meant = match arguments.embeddings.len() {
                2 => mistakes::no_labels(line.words()),
                _ => mistakes::labels_among_inputs("score", &arguments.embeddings),
            };
            meant.map_or(Ok(()), Err)?;
        }
        return Err(Error::setting(
            format!("embq score reads one file of embeddings, not {}", arguments.embeddings.len()),
            "quote a glob such as 'part-*.npy' for one input in several files; use embq compare for several checkpoints",
        ));
    }
    if arguments.plot && arguments.output.format != Format::Table {
        return Err(Error::setting("--plot draws below the table", "leave out --format"));
    }
    let pages = take_pages(&mut arguments.output);
    let mut settings = settings(&arguments, &pages, line)?;
    if !arguments.has_labels() {
        check_without_labels(&arguments, &settings, line)?;
    }
    // The means of a subsample have intervals of their own.
    let is_drawn = arguments.scored.subsample.is_some() || arguments.within.is_some();
    let of_gates = Settings { intervals: settings.intervals || is_drawn, ..settings.clone() };
    let gates = gates::parse(&arguments.fail_if, &of_gates, false, gates::ADD_INTERVALS)?;
    if gates.iter().flat_map(Gate::quantities).any(Quantity::is_of_interval_of_class) {
        settings.class_intervals = None;
    }
    let labels = labellings(&arguments, &pages)?;
    let gate_report = GateReport::check("embq score", &arguments.gates)?;
    let mut outputs = outputs(&arguments, &pages, &labels)?;
    let rows_format = arguments.rows_out.as_deref().map(RowFormat::of_file).transpose()?;
    let matrix_format = arguments.matrix_out.as_deref().map(MatrixFormat::of_file).transpose()?;
    let folds_format = arguments.folds_out.as_deref().map(FoldFormat::of_file).transpose()?;
    let view = arguments.classes.view(&settings)?;
    let bars = arguments.run.start();

    let started = Instant::now();
    let input = read(&arguments, &labels, settings.distance)?;
    let gallery = gallery(&arguments, settings.distance)?;
    let choice = RowChoice { subsample: arguments.scored.subsample, ..arguments.rows.choice() };
    let options = DatasetOptions { choice, weights: input.weights, seed: settings.seed };
    let embeddings = Arc::new(input.embeddings.for_distance(settings.distance)?);
    let mut columns = input.labels;
    let names = arguments.names_of_pairs().and_then(|_| columns.pop());
    let pairs = arguments.pairs.as_deref().map(|pairs| input::pair_list(pairs, names.as_ref())).transpose()?;
    let clusters = arguments.clusters.first().and_then(|_| columns.pop());
    let batches = arguments.batch.is_some().then(|| columns.pop()).flatten();
    let dataset = |labels: &LabelColumn| Dataset::join(Arc::clone(&embeddings), labels, settings.distance, &options);
    let datasets: Vec<Dataset> = match &columns[..] {
        [] => vec![Dataset::without_labels(Arc::clone(&embeddings), settings.distance, &options)?],
        columns => columns.iter().map(dataset).collect::<Result<_>>()?,
    };
    let read_seconds = started.elapsed().as_secs_f64();

    let identical = match (&gallery, datasets.first()) {
        (Some(gallery), Some(queries)) => identical_rows(queries, gallery)?,
        _ => Vec::new(),
    };
    let own_rows: &[Option<usize>] = if arguments.exclude_identical { &identical[..] } else { &[] };
    let auxiliary = Auxiliary {
        gallery: gallery.as_ref(),
        own_rows,
        batches: batches.as_ref(),
        clusters: clusters.as_ref(),
        pairs: pairs.as_ref(),
    };
    let mut results = Vec::new();
    let mut tables = Vec::new();
    for dataset in &datasets {
        if !arguments.run.quiet && arguments.within.is_none() {
            bars.clear();
            announce_long_work(dataset, &settings);
        }
        let started = Instant::now();
        let map = !pages.is_empty() && settings.rows && dataset.labels().classes() <= MATRIX_CLASSES;
        let settings = Settings { matrix: settings.matrix || map, ..settings.clone() };
        let (dataset, scored) = match arguments.within {
            Some(half_width) => {
                let (drawn, scored) = evaluate_within(dataset, auxiliary, &settings, half_width, &bars)?;
                (Cow::Owned(drawn), scored)
            }
            None => (Cow::Borrowed(dataset), evaluate_with(dataset, auxiliary, &settings, &bars)?),
        };
        let Scored { mut evaluation, rows, matrix, pair_curves, .. } = scored;
        warn_of_identical(&mut evaluation, &identical, arguments.exclude_identical);
        evaluation.timing = arguments.run.timing(read_seconds, started.elapsed().as_secs_f64());
        evaluation.gates = gates.iter().map(|gate| gate.check(&evaluation)).collect();
        results.push(evaluation);
        tables.push(Tables { dataset, rows, matrix, pair_curves });
    }

    outputs.write_results(|format| format.render(&results, &view))?;
    for (result, tables) in results.iter().zip(&tables) {
        let Tables { dataset, rows, matrix, .. } = tables;
        tables.write_pages(result, &pages, line, &bars, &mut outputs)?;
        if let Some(format) = rows_format {
            outputs.write(arguments.rows_out.as_ref(), |out| RowTable::new(dataset, rows).write(format, out))?;
        }
        if let (Some(format), Some(distances)) = (matrix_format, matrix) {
            let names = dataset.labels().names();
            outputs.write(arguments.matrix_out.as_ref(), |out| matrix::write(names, distances, format, out))?;
        }
        if let Some(format) = folds_format {
            outputs.write(arguments.folds_out.as_ref(), |out| format.write(&folds(dataset, &settings), out))?;
        }
    }
    let gates = all_gates(&results);
    gate_report.write(&mut outputs, &gates)?;
    bars.finish();
    outputs.print(|format| {
        let mut text = format.render(&results, &view)?;
        for (result, tables) in results.iter().zip(&tables).filter(|_| arguments.plot) {
            let Tables { dataset, rows, pair_curves, .. } = tables;
            if !rows.silhouette.is_empty() {
                let classes: Vec<u32> = dataset.scored_members().map(|(code, _)| code).collect();
                text.push_str(&plot::render(result, &classes, &rows.silhouette, &view));
            }
            text.extend(pair_curves.iter().map(pair_plot::render));
        }
        Ok(text)
    })?;
    outputs.publish()?;
    gate_report.finish(|| Format::Markdown.render(&results, &view), &gates)
}

fn outputs(arguments: &ScoreArguments, pages: &[String], labels: &[String]) -> Result<Outputs> {
    let ScoreArguments {
        rows_out,
        matrix_out,
        folds_out,
        gates,
        scored,
        gallery,
        gallery_labels,
        batch,
        clusters,
        pairs,
        ..
    } = arguments;
    let others = [rows_out, matrix_out, folds_out, &gates.junit].into_iter().flatten().chain(pages);
    let beside = [&scored.row_weights, gallery, gallery_labels, batch, pairs].into_iter().flatten().chain(clusters);
    let inputs = arguments.embeddings.iter().chain(labels).chain(beside);
    Outputs::check(&arguments.output, arguments.run.quiet, others, inputs)
}

/// Reads the embeddings, their labellings followed by batches, clusters and the names of rows in pairs, and weights.
fn read(arguments: &ScoreArguments, labels: &[String], distance: Distance) -> Result<input::Loaded> {
    let embeddings = &arguments.embeddings[0];
    let names = arguments.names_of_pairs().map(|key| format!(":{key}"));
    let columns = labels.iter().chain(&arguments.batch).chain(&arguments.clusters).chain(&names);
    let columns: Vec<&str> = columns.map(String::as_str).collect();
    let weights = arguments.scored.row_weights.as_deref();
    input::load_with(embeddings, &columns, weights, &arguments.reading.options()).map_err(|error| match distance {
        Distance::Precomputed => mistakes::condensed(error),
        _ => mistakes::misplaced(embeddings, &arguments.labels).unwrap_or(error),
    })
}

/// Warns about queries that are also in the gallery and so find themselves first, which is rarely intended.
fn warn_of_identical(evaluation: &mut Evaluation, identical: &[Option<usize>], excluded: bool) {
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

/// The gates of all labellings, with the name of the labelling if there are several.
fn all_gates(results: &[Evaluation]) -> Vec<GateOutcome> {
    let gates = results.iter().flat_map(|result| {
        let labels = (results.len() > 1).then(|| result.labels_name());
        result.gates.iter().map(move |gate| GateOutcome { checkpoint: labels.clone(), ..gate.clone() })
    });
    gates.collect()
}

/// What one labelling gives in addition to its result.
struct Tables<'a> {
    dataset: Cow<'a, Dataset<'a>>,
    rows: RowScores,
    matrix: Option<Array2<Option<f64>>>,
    pair_curves: Option<PairCurves>,
}

impl Tables<'_> {
    /// Writes the pages of a result.
    fn write_pages(
        &self,
        result: &Evaluation,
        pages: &[String],
        line: &CommandLine,
        bars: &Bars,
        outputs: &mut Outputs,
    ) -> Result<()> {
        outputs.write_pages(pages, || {
            let detail = detail(&self.dataset, result, &self.rows, self.matrix.as_ref(), RowNames::default(), bars)?;
            let detail = Detail { pair_curves: self.pair_curves.as_ref(), ..detail };
            Ok(html::render(&detail, Some(&line.to_string())))
        })
    }
}

/// All requested labellings.
fn labellings(arguments: &ScoreArguments, pages: &[String]) -> Result<Vec<String>> {
    let mut labels = arguments.labels.clone();
    for spec in &arguments.labels_from {
        labels.extend(input::labels_from(spec)?);
    }
    let tables = [
        ("--rows-out", &arguments.rows_out),
        ("--matrix-out", &arguments.matrix_out),
        ("--folds-out", &arguments.folds_out),
    ];
    let tables = tables.into_iter().filter(|(_, path)| path.is_some()).map(|(option, _)| option);
    if let Some(option) = pages.iter().map(String::as_str).chain(tables).next()
        && labels.len() > 1
    {
        return Err(Error::setting(
            format!("{option} is for one labelling, but {} are given", labels.len()),
            "run embq once for each of them",
        ));
    }
    if arguments.gallery.is_some() && labels.len() > 1 {
        let problem = format!("--gallery is for one labelling, but {} are given", labels.len());
        return Err(Error::setting(problem, "run embq once for each of them"));
    }
    Ok(labels)
}

/// The rows in which neighbours are searched, if they are not the embeddings themselves.
fn gallery(arguments: &ScoreArguments, distance: Distance) -> Result<Option<Dataset<'static>>> {
    let (Some(embeddings), Some(labels)) = (&arguments.gallery, &arguments.gallery_labels) else { return Ok(None) };
    let loaded = input::load_with(embeddings, &[labels], None, &arguments.reading.options())?;
    let Some(column) = loaded.labels.first() else { return Ok(None) };
    let choice = RowChoice {
        drop_invalid: arguments.rows.drop_invalid,
        drop_null_labels: arguments.rows.drop_null_labels,
        ..Default::default()
    };
    let options = DatasetOptions { choice, ..Default::default() };
    Dataset::join(loaded.embeddings, column, distance, &options).map(Some)
}

fn settings(arguments: &ScoreArguments, pages: &[String], line: &CommandLine) -> Result<Settings> {
    let named = || arguments.metrics.iter().map(|name| name.trim());
    let metrics = match (named().next(), &arguments.pairs) {
        (Some(_), _) => Selection::parse(named()).map_err(|error| {
            named().filter_map(|name| mistakes::distance_among_metrics(line.words(), name)).next().unwrap_or(error)
        })?,
        (None, Some(_)) => Selection::parse(["verification"])?,
        (None, None) if arguments.has_labels() => Selection::usual(),
        (None, None) => Selection::label_free(),
    };
    if metrics.all_need(Need::BatchSize) && arguments.batch_size.is_none() {
        return Err(Error::setting("--metrics: batch metrics need a batch size", "add --batch-size"));
    }
    let mut ks = arguments.ks.clone();
    ks.sort_unstable();
    ks.dedup();
    let mut fars = arguments.far.clone();
    fars.sort_unstable_by(|left, right| right.total_cmp(left));
    fars.dedup();
    let levels = Levels { ks: &ks, fars: &fars };
    for name in named() {
        let Some(metric) = Metric::named(name).or_else(|| Metric::find(name)) else { continue };
        if metric.names(levels).next().is_none() {
            let (least, id) = (metric.least_k, metric.id);
            return Err(Error::setting(
                format!("--metrics: {id} takes a k of {least} or more"),
                format!("add --k {least}"),
            ));
        }
        if metric.needs(Need::BatchLabels) && arguments.batch.is_none() {
            return Err(Error::setting(format!("--metrics: {name} needs the batch of each row"), "add --batch"));
        }
        if metric.needs(Need::ClusterDraws) && arguments.clustering != Some(Clustering::Mteb) {
            return Err(Error::setting(format!("--metrics: {name} is of several draws"), "add --clustering mteb"));
        }
        if name.contains('@') && !metric.names(levels).any(|known| known == Metric::canonical(name)) {
            let option = gates::level_option(metric);
            return Err(Error::setting(
                format!("--metrics: the number of {name} is not in {option}"),
                format!("add its number to {option}"),
            ));
        }
    }
    let options = [
        (arguments.gallery.is_some(), Need::Neighbours, "--gallery", "add --metrics retrieval"),
        (arguments.batch.is_some(), Need::BatchLabels, "--batch", "add --metrics single_cell"),
        (arguments.clustering.is_some(), Need::Clusters, "--clustering", "add --metrics clustering"),
        (!arguments.clusters.is_empty(), Need::Clusters, "--clusters", "add --metrics clustering"),
        (arguments.probe_alpha.is_some(), Need::Ridge, "--probe-alpha", "add --metrics ridge_probe_accuracy"),
        (arguments.folds.is_some(), Need::Fits, "--folds", "add --metrics linear_probe_accuracy"),
        (arguments.folds_out.is_some(), Need::Fits, "--folds-out", "add --metrics linear_probe_accuracy"),
        (arguments.sample.is_some(), Need::SampledPairs, "--sample", "add --metrics uniformity"),
        (arguments.pairs.is_some(), Need::PairHistograms, "--pairs", "add --metrics verification"),
    ];
    let is_unused = |(given, need, _, _): &(bool, Need, &str, &str)| *given && !metrics.needs(*need);
    if let Some((_, _, option, tip)) = options.into_iter().find(is_unused) {
        return Err(Error::setting(format!("{option}: none of the selected metrics uses it"), tip));
    }
    let draws = arguments.plot || !pages.is_empty();
    // A plot of pairs needs no silhouettes, unless these are selected.
    let verifies = metrics.needs(Need::PairHistograms) && !metrics.needs(Need::ClassDistances);
    let rows = arguments.rows_out.is_some() || draws && !verifies && arguments.has_labels();
    Ok(Settings {
        batch_size: arguments.batch_size,
        metrics,
        ks,
        fars,
        pair_list: arguments.pairs.is_some(),
        sample: arguments.sample,
        probe: probe(arguments),
        batch_labels: arguments.batch.is_some(),
        clustering: arguments.clustering.unwrap_or_default(),
        clusters: !arguments.clusters.is_empty(),
        rows,
        matrix: arguments.matrix_out.is_some(),
        intervals: arguments.intervals,
        class_intervals: shown_classes(arguments),
        hash: arguments.hash,
        ..arguments.measure.settings()
    })
}

fn probe(arguments: &ScoreArguments) -> ProbeSettings {
    let defaults = ProbeSettings::default();
    ProbeSettings {
        alpha: arguments.probe_alpha.unwrap_or(defaults.alpha),
        folds: arguments.folds.unwrap_or(defaults.folds),
    }
}

/// The fold of each row as stored; -1 for rows that take no part.
fn folds(dataset: &Dataset, settings: &Settings) -> Vec<i64> {
    let mut folds = vec![-1; dataset.embeddings().rows()];
    let found = stratified_folds(dataset.labels().codes(), settings.probe.folds, settings.seed);
    for (row, fold) in found.into_iter().enumerate() {
        folds[dataset.source_row(row)] = i64::from(fold);
    }
    folds
}

/// A file format for folds.
#[derive(Clone, Copy)]
enum FoldFormat {
    Npy,
    /// One fold a line.
    Text,
}

impl FoldFormat {
    fn of_file(path: &str) -> Result<Self> {
        match extension(path).as_deref() {
            Some("npy") => Ok(FoldFormat::Npy),
            Some("txt") => Ok(FoldFormat::Text),
            _ => Err(unknown_extension(path, "folds can be written as .npy or .txt")),
        }
    }

    fn write(self, folds: &[i64], out: &mut dyn Write) -> WriteResult {
        match self {
            FoldFormat::Npy => write_array(&ArrayView1::from(folds), out),
            FoldFormat::Text => folds.iter().try_for_each(|fold| Ok(writeln!(out, "{fold}")?)),
        }
    }
}

fn penalty(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err("a penalty is a number above 0".to_owned()),
    }
}

/// Checks that without labels, nothing that needs them is requested.
///
/// # Errors
/// What needs them; where the embeddings' own file has labels by all that can be seen, that they were probably meant.
fn check_without_labels(arguments: &ScoreArguments, settings: &Settings, line: &CommandLine) -> Result<()> {
    let embeddings = &arguments.embeddings[0];
    let likely = || mistakes::with_labels(line.words(), embeddings);
    let missing = |what: &str| {
        let likely = likely();
        let cure = if likely.is_empty() { Cure::GiveLabels } else { Cure::Advice(likely.join("\n")) };
        Error::setting(format!("{what} needs a label for each row, which -l names: a file, or a column"), cure)
    };
    let needs = |name: &&str| {
        Selection::parse([*name]).is_ok_and(|named| named.iter().any(|metric| metric.needs_labels(settings.pair_list)))
    };
    if let Some(name) = arguments.metrics.iter().map(|name| name.trim()).find(needs) {
        return Err(missing(&format!("--metrics: {name}")));
    }
    let classes = [
        (arguments.rows_out.is_some(), "--rows-out"),
        (arguments.matrix_out.is_some(), "--matrix-out"),
        (arguments.intervals, "--intervals"),
        (arguments.batch_size.is_some(), "--batch-size"),
        (arguments.batch.is_some(), "--batch"),
        (arguments.gallery.is_some(), "--gallery"),
        (arguments.classes.sort.is_some(), "--sort"),
        (arguments.rows.choice().is_by_label(), "choosing classes"),
        (arguments.within.is_some(), "--within"),
        (arguments.plot && !settings.metrics.needs(Need::PairHistograms), "--plot"),
        (settings.temperature == Temperature::Auto, "--temperature auto"),
    ];
    if let Some((_, option)) = classes.into_iter().find(|(given, _)| *given) {
        return Err(missing(option));
    }
    // A table or archive with labels in it was made to be scored with them.
    if arguments.metrics.is_empty() && !settings.pair_list {
        let own = input::own_labels(embeddings);
        if !own.is_empty() {
            let mut tips = likely();
            let words = line.words().iter().map(String::as_str).chain(["--metrics", "label_free"]);
            tips.push(format!("without labels: {}", mistakes::command(&words.collect::<Vec<&str>>())));
            return Err(Error::setting(
                format!("{embeddings} seems to contain labels ({}), but there is no -l", own.join(", ")),
                tips.join("\n"),
            ));
        }
        if !arguments.run.quiet {
            let silhouettes = likely().into_iter().next().unwrap_or_else(|| "add -l LABELS".to_owned());
            message::note(&format!(
                "without labels, nothing that compares classes is computed; for silhouettes: {silhouettes}"
            ));
        }
    }
    Ok(())
}

/// The number of classes with intervals if computing all of them would take long; `None` is all.
fn shown_classes(arguments: &ScoreArguments) -> Option<usize> {
    match arguments.classes.classes {
        ClassLimit::Worst(limit) if !arguments.class_intervals => Some(limit),
        _ => None,
    }
}

/// Announces pairwise work that will take long, with faster alternatives.
fn announce_long_work(dataset: &Dataset, settings: &Settings) {
    let estimate = settings.estimate(dataset);
    let rows = dataset.len();
    if let Some(seconds) = estimate.class_distances.filter(|&seconds| seconds > message::LONG) {
        let megabytes = estimate.class_distance_bytes / 1e6 + 100.0;
        message::note(&format!(
            "{} distances of {rows} rows will take about {seconds:.0} s and {megabytes:.0} MB; \
             --distance cosine and sqeuclidean take seconds, --subsample scores some rows",
            settings.distance
        ));
    }
    if estimate.pair_seconds > message::LONG {
        message::note(&format!(
            "{} look at all pairs of {rows} rows, which will take about {:.0} s",
            estimate.pairs.join(", "),
            estimate.pair_seconds
        ));
    }
    if estimate.fit_seconds > message::LONG {
        message::note(&format!(
            "fits to {rows} rows ({}) will take about {:.0} s",
            estimate.fits.join(", "),
            estimate.fit_seconds
        ));
    }
}
