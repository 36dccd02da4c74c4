//! Trains a small encoder with cross-entropy, the silhouette loss, supervised contrastive loss and their sums, on few
//! and partly wrong labels, and compares the results on held-out rows.
//!
//! ```text
//! cargo run --release --example train_head
//! cargo run --release --example train_head -- EMBEDDINGS LABELS --per-class 5,20 --noise 0,0.4 --plot plot.svg
//! ```

mod encoder;
mod plot;
mod trial;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::time::Instant;

use clap::Parser;
use comfy_table::{CellAlignment, Table};
use ndarray::Array2;

use trial::{Objective, Outcome, Setting, Split, run};

/// Compares objectives for training an encoder on few and partly wrong labels.
#[derive(Parser)]
struct Arguments {
    /// Rows to train and test on, in any format that embq reads
    #[arg(default_value = "fixtures/digits/embeddings.npy")]
    embeddings: String,
    /// Their labels
    #[arg(default_value = "fixtures/digits/labels.npy")]
    labels: String,
    /// Training rows per class
    #[arg(long, value_delimiter = ',', default_value = "5,20")]
    per_class: Vec<usize>,
    /// Share of the training labels replaced by a wrong one
    #[arg(long, value_delimiter = ',', default_value = "0,0.4")]
    noise: Vec<f64>,
    /// Runs of each objective in each setting
    #[arg(long, default_value_t = 10)]
    seeds: u64,
    /// Optimiser steps
    #[arg(long, default_value_t = 300)]
    steps: usize,
    /// Rows per step
    #[arg(long, default_value_t = 256)]
    batch_size: usize,
    /// Weight of the silhouette loss
    #[arg(long, default_value_t = 1.0)]
    silhouette_weight: f64,
    /// Weight of the supervised contrastive loss
    #[arg(long, default_value_t = 1.0)]
    supcon_weight: f64,
    /// Maximum number of held-out rows to test
    #[arg(long, default_value_t = 2000)]
    test_rows: usize,
    /// Write every run as CSV
    #[arg(long)]
    output: Option<String>,
    /// Write a plot of the k-NN accuracies as SVG
    #[arg(long)]
    plot: Option<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments = Arguments::parse();
    let (rows, labels) = read(&arguments.embeddings, &arguments.labels)?;
    let mut lines = String::from("per_class,noise,objective,seed,accuracy,knn_accuracy,silhouette,milliseconds\n");
    let mut panels = Vec::new();
    for &per_class in &arguments.per_class {
        for &noise in &arguments.noise {
            let setting = Setting {
                per_class,
                noise,
                steps: arguments.steps,
                batch_size: arguments.batch_size,
                test_rows: arguments.test_rows,
                silhouette_weight: arguments.silhouette_weight,
                supcon_weight: arguments.supcon_weight,
            };
            let started = Instant::now();
            let mut outcomes: Vec<Vec<Outcome>> = vec![Vec::new(); Objective::ALL.len()];
            for seed in 0..arguments.seeds {
                // Every objective gets the same split, wrong labels, initial weights and batches.
                let split = Split::new(&rows, &labels, &setting, seed)?;
                for (objective, outcomes) in Objective::ALL.into_iter().zip(&mut outcomes) {
                    let outcome = run(objective, &split, &setting, seed)?;
                    let Outcome { accuracy, knn_accuracy, silhouette, milliseconds } = outcome;
                    let name = objective.name();
                    writeln!(
                        lines,
                        "{per_class},{noise},{name},{seed},{accuracy},{knn_accuracy},{silhouette},{milliseconds}"
                    )?;
                    outcomes.push(outcome);
                }
            }
            let title = format!("{per_class} rows a class, {:.0} % wrong labels", 100.0 * noise);
            println!("{title} ({} seeds, {:.0} s)", arguments.seeds, started.elapsed().as_secs_f64());
            println!("{}\n", table(&outcomes));
            panels.push(plot::Panel {
                title,
                bars: Objective::ALL
                    .iter()
                    .zip(&outcomes)
                    .map(|(objective, outcomes)| {
                        let (mean, deviation) = moments(outcomes, |outcome| outcome.knn_accuracy);
                        (objective.name(), mean, deviation)
                    })
                    .collect(),
            });
        }
    }
    if let Some(path) = &arguments.output {
        std::fs::write(path, lines).map_err(|error| format!("{path}: {error}"))?;
    }
    if let Some(path) = &arguments.plot {
        std::fs::write(path, plot::svg(&panels)).map_err(|error| format!("{path}: {error}"))?;
    }
    Ok(())
}

/// The rows in float32, centred and scaled to a root mean square of 1, and dense class codes.
fn read(embeddings: &str, labels: &str) -> Result<(Array2<f32>, Vec<usize>), Box<dyn Error>> {
    let rows = embq_files::input::matrix(embeddings)?;
    let labels = embq_files::input::labels(labels)?;
    if labels.len() != rows.nrows() {
        return Err(format!("{} rows and {} labels", rows.nrows(), labels.len()).into());
    }
    let mean = rows.mean_axis(ndarray::Axis(0)).ok_or("there are no rows")?;
    let centred = &rows - &mean;
    let size = (centred.iter().map(|value| value * value).sum::<f64>() / centred.len() as f64).sqrt();
    let mut codes = BTreeMap::new();
    let mut classes = Vec::with_capacity(labels.len());
    for row in 0..labels.len() {
        let label = labels.get(row).ok_or_else(|| format!("row {row} has no label"))?;
        let next = codes.len();
        classes.push(*codes.entry(label.to_string()).or_insert(next));
    }
    Ok((centred.mapv(|value| (value / size) as f32), classes))
}

/// Mean and standard deviation over the seeds.
fn moments(outcomes: &[Outcome], number: impl Fn(&Outcome) -> f64) -> (f64, f64) {
    let n = outcomes.len() as f64;
    let mean = outcomes.iter().map(&number).sum::<f64>() / n;
    let squares: f64 = outcomes.iter().map(|outcome| (number(outcome) - mean).powi(2)).sum();
    (mean, (squares / (n - 1.0).max(1.0)).sqrt())
}

/// Means and deviations, and the difference from cross-entropy alone, paired by seed, with its standard error.
fn table(outcomes: &[Vec<Outcome>]) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::ASCII_MARKDOWN);
    table.set_header(["objective", "accuracy %", "less CE", "k-NN %", "less CE", "silhouette", "ms a step"]);
    for (objective, own) in Objective::ALL.iter().zip(outcomes) {
        let percent = |number: fn(&Outcome) -> f64| {
            let (mean, deviation) = moments(own, number);
            format!("{:.1} ± {:.1}", 100.0 * mean, 100.0 * deviation)
        };
        let (silhouette, spread) = moments(own, |outcome| outcome.silhouette);
        let less_base = |number: fn(&Outcome) -> f64| {
            if *objective == Objective::ALL[0] {
                return String::new();
            }
            let n = own.len() as f64;
            let differences: Vec<f64> =
                own.iter().zip(&outcomes[0]).map(|(own, base)| number(own) - number(base)).collect();
            let mean = differences.iter().sum::<f64>() / n;
            let squares: f64 = differences.iter().map(|difference| (difference - mean).powi(2)).sum();
            let error = (squares / (n - 1.0).max(1.0) / n).sqrt();
            format!("{:+.1} ({:.1})", 100.0 * mean, 100.0 * error)
        };
        table.add_row([
            objective.name().to_owned(),
            percent(|outcome| outcome.accuracy),
            less_base(|outcome| outcome.accuracy),
            percent(|outcome| outcome.knn_accuracy),
            less_base(|outcome| outcome.knn_accuracy),
            format!("{silhouette:.3} ± {spread:.3}"),
            format!("{:.2}", moments(own, |outcome| outcome.milliseconds).0),
        ]);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
