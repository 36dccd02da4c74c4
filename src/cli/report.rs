//! `embq report`: from files to a page for the browser.

use std::path::Path;

use crate::cli::args::{ReportArguments, saturated};
use crate::cli::compare::checkpoints;
use crate::cli::named_rows::NamedRows;
use crate::cli::progress::Bars;
use crate::cli::{Outcome, command_line, keep_inputs, message};
use crate::report::output::OutputFile;
use crate::report::{html, is_page};
use embq_core::data::{Dataset, DatasetOptions, RowChoice, RowNames};
use embq_core::detail::{Checkpoint, MATRIX_CLASSES, detail};
use embq_core::error::{Error, Result};
use embq_core::evaluation::{Scored, Settings, evaluate};

pub(crate) fn run(arguments: ReportArguments) -> Result<Outcome> {
    let output = output(&arguments)?;
    arguments.run.start_threads();
    let bars = Bars::new(!arguments.run.quiet && !arguments.run.no_progress);
    let page = match &arguments.embeddings[..] {
        [only] => one(&arguments, only, &bars)?,
        several => compared(&arguments, several, &bars)?,
    };
    output.write(|writer| Ok(writer.write_all(page.as_bytes())?))?.publish()?;
    if !arguments.run.quiet {
        message::note(&format!("{} is written ({} kB)", output.shown(), page.len().div_ceil(1000)));
    }
    Ok(Outcome::Success)
}

fn output(arguments: &ReportArguments) -> Result<OutputFile> {
    if !is_page(&arguments.output) {
        let problem = format!("{}: a report is written as .html", arguments.output);
        return Err(Error::setting(problem, "end the name in .html"));
    }
    let output = OutputFile::check(Path::new(&arguments.output))?;
    let others = arguments.names.paths().chain(&arguments.row_weights);
    keep_inputs(std::iter::once(&output), arguments.embeddings.iter().chain([&arguments.labels]).chain(others))?;
    Ok(output)
}

/// The page of one input.
fn one(arguments: &ReportArguments, embeddings: &str, bars: &Bars) -> Result<String> {
    let (dataset, names) = load(arguments, embeddings)?;
    let settings = Settings { matrix: dataset.labels().classes() <= MATRIX_CLASSES, ..settings(arguments) };
    let Scored { evaluation, rows, matrix, .. } = evaluate(&dataset, &settings, bars)?;
    let detail = detail(&dataset, &evaluation, &rows, matrix.as_ref(), names, bars)?;
    Ok(html::render(&detail, Some(&command_line())))
}

/// The page of several checkpoints with the same rows.
fn compared(arguments: &ReportArguments, embeddings: &[String], bars: &Bars) -> Result<String> {
    if let Some(option) = arguments.names.options().next() {
        let problem = format!("{option} is for suspicious rows, which a page of several checkpoints does not list");
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
    Ok(html::render_checkpoints(&checkpoints, Some(&command_line())))
}

fn load(arguments: &ReportArguments, embeddings: &str) -> Result<(Dataset<'static>, RowNames)> {
    let weights = arguments.row_weights.as_deref();
    let NamedRows { loaded, labels, names } =
        NamedRows::load(embeddings, &arguments.labels, weights, &arguments.names, &arguments.reading)?;
    let choice = RowChoice { subsample: arguments.subsample.map(saturated), ..arguments.rows.choice() };
    let options = DatasetOptions { choice, weights: loaded.weights, seed: arguments.seed };
    Ok((Dataset::join(loaded.embeddings, &labels, arguments.distance, &options)?, names))
}

fn settings(arguments: &ReportArguments) -> Settings {
    Settings {
        distance: arguments.distance,
        temperature: arguments.soft.temperature,
        softmin: arguments.soft.softmin.into(),
        softmax: arguments.soft.softmax.into(),
        precision: arguments.precision.map(Into::into),
        seed: arguments.seed,
        hash: true,
        // A subsample has none: its distances are to rows that are not drawn again.
        intervals: arguments.subsample.is_none(),
        ..Settings::default()
    }
}
