//! `embq report`: writes an HTML page.

use std::path::Path;

use clap::Args;

use crate::cli::arguments::{
    MeasureArguments, NameArguments, ReadArguments, RowArguments, RunArguments, SampleArguments,
};
use crate::cli::compare::checkpoints;
use crate::cli::named_rows::NamedRows;
use crate::cli::outputs::keep_inputs;
use crate::cli::progress::Bars;
use crate::cli::{CommandLine, Outcome, message};
use crate::report::output::OutputFile;
use crate::report::{html, is_page};
use embq_core::data::{Dataset, DatasetOptions, RowChoice, RowNames};
use embq_core::detail::{Checkpoint, MATRIX_CLASSES, detail};
use embq_core::error::{Error, Result};
use embq_core::evaluation::{Scored, Settings, evaluate};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  embq report emb.npy -l labels.npy -o report.html
  embq report step-1.npy step-2.npy step-3.npy -l labels.npy -o report.html
  embq report emb.parquet -l label --text sentence --ids id -o report.html")]
pub(crate) struct ReportArguments {
    /// Embeddings: .npy, .npz, .safetensors, Parquet, Arrow, CSV, JSON lines, as PATH or PATH:SELECTOR; a quoted
    /// glob or a directory is one input; multiple inputs are checkpoints of the same rows
    #[arg(value_name = "EMBEDDINGS", required = true, num_args = 1..)]
    embeddings: Vec<String>,

    /// Labels: a file with one label per row, PATH:COLUMN, or a column of the embeddings file
    #[arg(short, long, value_name = "LABELS")]
    labels: String,

    /// The HTML page to write, a single self-contained file
    #[arg(short, long, value_name = "FILE")]
    output: String,

    #[command(flatten)]
    reading: ReadArguments,

    #[command(flatten)]
    names: NameArguments,

    #[command(flatten)]
    measure: MeasureArguments,

    #[command(flatten)]
    rows: RowArguments,

    #[command(flatten)]
    sample: SampleArguments,

    #[command(flatten)]
    run: RunArguments,
}

pub(crate) fn run(arguments: ReportArguments, line: &CommandLine) -> Result<Outcome> {
    let output = output(&arguments)?;
    let bars = arguments.run.start();
    let page = match &arguments.embeddings[..] {
        [only] => one(&arguments, only, line, &bars)?,
        several => compared(&arguments, several, line, &bars)?,
    };
    bars.finish();
    output.write(|writer| Ok(writer.write_all(page.as_bytes())?))?.publish()?;
    if !arguments.run.quiet {
        message::note(&format!("wrote {} ({} kB)", output.shown(), page.len().div_ceil(1000)));
    }
    Ok(Outcome::Success)
}

fn output(arguments: &ReportArguments) -> Result<OutputFile> {
    if !is_page(&arguments.output) {
        let problem = format!("{}: a report is written as .html", arguments.output);
        return Err(Error::setting(problem, "end the name in .html"));
    }
    let output = OutputFile::check(Path::new(&arguments.output))?;
    let others = arguments.names.paths().chain(&arguments.sample.row_weights).chain([&arguments.labels]);
    keep_inputs(std::iter::once(&output), arguments.embeddings.iter().chain(others))?;
    Ok(output)
}

/// The page of one input.
fn one(arguments: &ReportArguments, embeddings: &str, line: &CommandLine, bars: &Bars) -> Result<String> {
    let (dataset, names) = load(arguments, embeddings)?;
    let settings = Settings { matrix: dataset.labels().classes() <= MATRIX_CLASSES, ..settings(arguments) };
    let Scored { evaluation, rows, matrix, .. } = evaluate(&dataset, &settings, bars)?;
    let detail = detail(&dataset, &evaluation, &rows, matrix.as_ref(), names, bars)?;
    Ok(html::render(&detail, Some(&line.to_string())))
}

/// The page of several checkpoints with the same rows.
fn compared(arguments: &ReportArguments, embeddings: &[String], line: &CommandLine, bars: &Bars) -> Result<String> {
    if let Some(option) = arguments.names.options().next() {
        let problem = format!("{option} is for suspicious rows, which a page of several checkpoints does not show");
        return Err(Error::setting(problem, "leave it out, or give one checkpoint"));
    }
    let mut checkpoints = Vec::new();
    let paths: Vec<&str> = embeddings.iter().map(String::as_str).collect();
    for (path, name) in embeddings.iter().zip(checkpoints::names(&paths)) {
        let (dataset, _) = load(arguments, path)?;
        let Scored { evaluation, rows: scores, .. } = evaluate(&dataset, &settings(arguments), bars)?;
        let classes = dataset.scored_members().map(|(code, _)| code).collect();
        checkpoints.push(Checkpoint { name, evaluation, scores, classes });
    }
    Ok(html::render_checkpoints(&checkpoints, None, Some(&line.to_string())))
}

fn load(arguments: &ReportArguments, embeddings: &str) -> Result<(Dataset<'static>, RowNames)> {
    let weights = arguments.sample.row_weights.as_deref();
    let NamedRows { loaded, labels, names } =
        NamedRows::load(embeddings, &arguments.labels, weights, &arguments.names, &arguments.reading)?;
    let Settings { distance, seed, .. } = arguments.measure.settings();
    let choice = RowChoice { subsample: arguments.sample.subsample, ..arguments.rows.choice() };
    let options = DatasetOptions { choice, weights: loaded.weights, seed };
    Ok((Dataset::join(loaded.embeddings.for_distance(distance)?, &labels, distance, &options)?, names))
}

fn settings(arguments: &ReportArguments) -> Settings {
    Settings {
        hash: true,
        // A subsample has no intervals, because the rows that its distances refer to are not resampled.
        intervals: arguments.sample.subsample.is_none(),
        ..arguments.measure.settings()
    }
}
