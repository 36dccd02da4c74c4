//! `embq drift`: measures how far one set of embeddings has moved from another.

use std::time::Instant;

use clap::Args;

use crate::cli::arguments::{OutputArguments, ReadArguments, RowArguments, RunArguments, at_least, limit, precision};
use crate::cli::gates::{GateArguments, GateReport};
use crate::cli::outputs::{Outputs, WITH_PAGES, take_pages};
use crate::cli::{CommandLine, Outcome, message};
use crate::gate::{Gate, Vocabulary};
use crate::report::{ClassLimit, Format, drift as document, html};
use embq_core::data::{LabelColumn, Precision, RowChoice};
use embq_core::drift::{DriftSet, DriftSettings, NEIGHBOURS, PERMUTATIONS, drift, joint_projection};
use embq_core::error::{Error, Result};
use embq_core::quantity::{Quantity, Target};
use embq_files::input::{self, Loaded, ReadOptions, Statistics};

#[derive(Debug, Args)]
#[command(mut_arg("output", |output| output.help(WITH_PAGES)))]
#[command(after_help = "\
Examples:
  embq drift training.npy production.npy
  embq drift training.npy production.npy -o drift.html
  embq drift training.parquet production.parquet -l topic
  embq drift real.npy generated.npy --metrics frechet_distance,kid,precision,recall
  embq drift real_statistics.npz generated.npy
  embq drift training.npy production.npy --fail-if 'p_value < 0.05 and mean_shift > 0.1'")]
pub(crate) struct DriftArguments {
    /// Embeddings to compare with: .npy, .npz, .safetensors, Parquet, Arrow, CSV, JSON lines, as PATH or PATH:SELECTOR;
    /// a quoted glob or a directory is one input; or an .npz file of the arrays mu and sigma
    #[arg(value_name = "REFERENCE")]
    reference: String,

    /// Embeddings that may have moved, or their statistics
    #[arg(value_name = "CURRENT")]
    current: String,

    /// Labels, to compare class by class: a column that both files have, or, given twice, the labels of the reference and
    /// those of the current rows, each a file with one label per row, PATH:COLUMN, or a column
    #[arg(short, long, value_name = "LABELS")]
    labels: Vec<String>,

    #[command(flatten)]
    reading: ReadArguments,

    /// Numbers to compute: frechet_distance, kid, mmd_rbf, energy_distance, precision, recall, density, coverage,
    /// domain_auc, mean_shift, norm_shift, psi, or all
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', default_value = "all", help_heading = "Measure")]
    metrics: Vec<String>,

    /// Number of nearest neighbours that precision, recall, density and coverage are based on
    #[arg(short = 'k', long, value_name = "K", default_value_t = NEIGHBOURS, value_parser = at_least(1), help_heading = "Measure")]
    neighbours: usize,

    /// Number of random divisions of all rows behind each p-value; 0 for no p-values
    #[arg(long, value_name = "N", default_value_t = PERMUTATIONS, value_parser = at_least(0), help_heading = "Measure")]
    permutations: usize,

    /// Use only this many randomly drawn rows of each set for what compares pairs of rows
    #[arg(long, value_name = "ROWS", value_parser = at_least(2), help_heading = "Measure")]
    subset: Option<usize>,

    /// Compute the interval of the Fréchet distance even of more than 1,024 dimensions, where it takes long
    #[arg(long, help_heading = "Measure")]
    intervals: bool,

    /// Seed for divisions and draws
    #[arg(long, value_name = "SEED", default_value_t = 0, help_heading = "Measure")]
    seed: u64,

    /// Precision of matrix products [default: f64 for float64 and wide integers, f32 otherwise]
    #[arg(long, value_parser = precision(), help_heading = "Measure")]
    precision: Option<Precision>,

    #[command(flatten)]
    rows: RowArguments,

    /// Exit with code 1 if this is true, such as 'frechet_distance > 10'; can be given multiple times
    #[arg(long, value_name = "EXPR", help_heading = "Gates")]
    fail_if: Vec<String>,

    #[command(flatten)]
    gates: GateArguments,

    #[command(flatten)]
    output: OutputArguments,

    /// Number of classes to show, most changed first
    #[arg(long, value_name = "N|all", default_value = "20", value_parser = limit, help_heading = "Output")]
    classes: ClassLimit,

    #[command(flatten)]
    run: RunArguments,
}

pub(crate) fn run(mut arguments: DriftArguments, line: &CommandLine) -> Result<Outcome> {
    let pages = take_pages(&mut arguments.output);
    let settings = settings(&arguments)?;
    let labels = labels(&arguments)?;
    if labels.is_none() && settings.metrics.as_ref().is_some_and(|metrics| metrics.contains("psi")) {
        return Err(Error::setting("--metrics: psi needs the labels of both sets", "add -l"));
    }
    let gates = gates(&arguments.fail_if, &settings, labels.is_some())?;
    let gate_report = GateReport::check("embq drift", &arguments.gates)?;
    let inputs = [&arguments.reference, &arguments.current].into_iter().chain(&arguments.labels);
    let others = arguments.gates.junit.iter().chain(&pages);
    let mut outputs = Outputs::check(&arguments.output, arguments.run.quiet, others, inputs)?;
    let bars = arguments.run.start();

    let started = Instant::now();
    let choice = arguments.rows.choice();
    let options = arguments.reading.options();
    let reference = read(&arguments.reference, labels.map(|[reference, _]| reference), &choice, &options)?;
    let current = read(&arguments.current, labels.map(|[_, current]| current), &choice, &options)?;
    let read_seconds = started.elapsed().as_secs_f64();
    let seconds = settings.pair_seconds(&reference, &current);
    if seconds > message::LONG && !arguments.run.quiet {
        bars.clear();
        message::note(&format!(
            "comparing all pairs of rows will take about {seconds:.0} s; --subset 5000 takes some rows of each set"
        ));
    }
    let started = Instant::now();
    let mut result = drift(&reference, &current, &settings, &bars)?;
    result.timing = arguments.run.timing(read_seconds, started.elapsed().as_secs_f64());
    result.gates = gates.iter().map(|gate| gate.check(&result)).collect();

    let render = |format| document::render(&result, format, arguments.classes);
    outputs.write_results(render)?;
    outputs.write_pages(&pages, || {
        let projection = joint_projection(&reference, &current, settings.seed, &bars)?;
        Ok(html::render_drift(&result, projection.as_ref(), Some(&line.to_string())))
    })?;
    bars.finish();
    gate_report.write(&mut outputs, &result.gates)?;
    outputs.print(render)?;
    outputs.publish()?;
    gate_report.finish(|| render(Format::Markdown), &result.gates)
}

fn settings(arguments: &DriftArguments) -> Result<DriftSettings> {
    Ok(DriftSettings {
        metrics: DriftSettings::parse_metrics(arguments.metrics.iter().map(String::as_str))?,
        neighbours: arguments.neighbours,
        permutations: arguments.permutations,
        subset: arguments.subset,
        intervals: arguments.intervals.then_some(true),
        seed: arguments.seed,
        precision: arguments.precision,
    })
}

/// Reads gates, and checks that a result under these settings has a number for everything in them.
fn gates(expressions: &[String], settings: &DriftSettings, has_labels: bool) -> Result<Vec<Gate>> {
    let vocabulary = Vocabulary::drift();
    let gates: Vec<Gate> =
        expressions.iter().map(|expression| Gate::parse_with(expression, &vocabulary)).collect::<Result<_>>()?;
    for quantity in gates.iter().flat_map(Gate::quantities) {
        let metric = quantity.metric();
        let refused = |problem: &str, tip: &str| Err(Error::setting(format!("--fail-if: {quantity} {problem}"), tip));
        if quantity.needs_baseline() {
            return refused("needs a baseline", "compare two results of embq drift outside of it");
        }
        let has_interval =
            matches!(quantity, Quantity::End { of, .. } if of.class.is_none() && metric == "frechet_distance");
        if quantity.needs_intervals() && !has_interval {
            return refused("has no interval", "frechet_distance is the only number that has one");
        }
        let is_of_class =
            matches!(quantity, Quantity::Extreme { .. } | Quantity::Metric(Target { class: Some(_), .. }));
        let is_of_classes = is_of_class || metric == "psi";
        if is_of_classes && !has_labels {
            return refused("needs the labels of both sets", "add -l");
        }
        let is_count = metric.starts_with("reference_") || metric.starts_with("current_");
        if !is_count && !settings.computes(metric) {
            return refused("is not computed", "add it to --metrics");
        }
    }
    Ok(gates)
}

/// The labels of the reference and of the current rows.
fn labels(arguments: &DriftArguments) -> Result<Option<[&str; 2]>> {
    match &arguments.labels[..] {
        [] => {
            let RowArguments { ignore_label, exclude, include, drop_invalid: _, drop_null_labels, min_class_size } =
                &arguments.rows;
            let given = [
                ("--ignore-label", !ignore_label.is_empty()),
                ("--exclude", !exclude.is_empty()),
                ("--include", !include.is_empty()),
                ("--drop-null-labels", *drop_null_labels),
                ("--min-class-size", min_class_size.is_some()),
            ];
            match given.into_iter().find(|(_, given)| *given) {
                Some((option, _)) => Err(Error::setting(format!("{option} needs labels"), "add -l")),
                None => Ok(None),
            }
        }
        [both] => Ok(Some([both, both])),
        [reference, current] => Ok(Some([reference, current])),
        more => Err(Error::setting(
            format!("embq drift takes labels once or twice, not {} times", more.len()),
            "name one column of both files, or the labels of each",
        )),
    }
}

/// Reads a set: embeddings, with labels where there are some, or statistics.
fn read(path: &str, labels: Option<&str>, choice: &RowChoice, options: &ReadOptions<'_>) -> Result<DriftSet<'static>> {
    if let Some(Statistics { origin, mean, covariance }) = input::statistics(path)? {
        if labels.is_some() {
            return Err(Error::setting(format!("{path} holds statistics, which have no labels"), "leave out -l"));
        }
        return DriftSet::statistics(origin, mean, covariance);
    }
    let columns: Vec<&str> = labels.into_iter().collect();
    let Loaded { embeddings, mut labels, .. } = input::load_with(path, &columns, None, options)?;
    let labels: Option<LabelColumn> = labels.pop();
    match labels {
        Some(labels) => DriftSet::labelled(embeddings, &labels, choice),
        None => DriftSet::unlabelled_with(embeddings, choice),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_help_names_every_number_and_the_bound() {
        let command = <crate::cli::Arguments as clap::CommandFactory>::command();
        let help = |name: &str| {
            let drift = command.find_subcommand("drift").unwrap();
            let argument = drift.get_arguments().find(|argument| argument.get_id() == name).unwrap();
            argument.get_help().unwrap().to_string()
        };
        let names = help("metrics");
        for metric in embq_core::drift::DRIFT_METRICS.iter().filter(|metric| metric.id != "p_value") {
            assert!(names.contains(metric.id), "{}", metric.id);
        }
        assert_eq!(embq_core::drift::FEW_DIMENSIONS, 1024);
        assert!(help("intervals").contains("1,024"));
    }
}
