//! How often `embq drift` is right, on splits of real sets: the figures of docs/drift.md.
//!
//! ```sh
//! cargo run --release -p embq-core --example drift
//! ```

#[allow(dead_code)]
#[path = "../tests/common/random.rs"]
mod random;

use std::path::Path;

use embq_core::data::{Embeddings, Origin};
use embq_core::drift::{DriftResult, DriftSet, DriftSettings, DriftVerdict, drift};
use embq_core::progress::NoProgress;
use ndarray::{Array2, Axis};
use random::Random;
use rayon::prelude::*;

const SPLITS: u64 = 400;

fn fixture(path: &str) -> Array2<f32> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    ndarray_npy::read_npy(folder.join(path)).expect("a fixture")
}

/// The standard deviation of each dimension.
fn spreads(rows: &Array2<f32>) -> Vec<f32> {
    rows.mapv(f64::from).std_axis(Axis(0), 1.0).iter().map(|&value| value as f32).collect()
}

/// Two halves of the rows at random, the second moved by a share of the standard deviation of each dimension.
fn halves(rows: &Array2<f32>, shift: f32, seed: u64) -> [DriftSet<'static>; 2] {
    let mut order: Vec<usize> = (0..rows.nrows()).collect();
    Random::new(1 + 1_000_003 * seed).shuffle(&mut order);
    let (first, second) = order.split_at(rows.nrows() / 2);
    let mut current = rows.select(Axis(0), second);
    for (mut column, spread) in current.columns_mut().into_iter().zip(spreads(rows)) {
        column.mapv_inplace(|value| value + shift * spread);
    }
    [rows.select(Axis(0), first), current]
        .map(|rows| DriftSet::unlabelled(Embeddings::from_f32(Origin::new("half"), rows)).expect("rows"))
}

fn results(rows: &Array2<f32>, shift: f32, settings: &DriftSettings) -> Vec<DriftResult> {
    let compare = |seed: u64| {
        let [reference, current] = halves(rows, shift, seed);
        let settings = DriftSettings { seed, ..settings.clone() };
        drift(&reference, &current, &settings, &NoProgress).expect("two sets")
    };
    (0..SPLITS).into_par_iter().map(compare).collect()
}

fn share(results: &[DriftResult], is_so: impl Fn(&DriftResult) -> bool) -> String {
    let count = results.iter().filter(|result| is_so(result)).count();
    format!("{:.1} %", 100.0 * count as f64 / results.len() as f64)
}

fn mean(results: &[DriftResult], id: &str) -> f64 {
    results.iter().filter_map(|result| result.metric(id)).sum::<f64>() / results.len() as f64
}

fn main() {
    let sets = [
        ("digits", fixture("digits/embeddings.npy")),
        ("fashion_ckpt_2k", fixture("fashion_ckpt_2k/epoch10.npy")),
        ("glosses1k_minilm", fixture("glosses1k_minilm/embeddings.npy")),
    ];
    println!("two halves of one set, the second moved: share of {SPLITS} splits with a verdict of drift");
    println!("| set | moved by | verdict | mmd_rbf | energy_distance | mean domain_auc |");
    let tests = DriftSettings::parse_metrics(["mmd_rbf", "energy_distance", "domain_auc"]).expect("known numbers");
    let settings = DriftSettings { metrics: tests, ..DriftSettings::default() };
    for (name, rows) in &sets {
        for shift in [0.0, 0.05, 0.1] {
            let found = results(rows, shift, &settings);
            let of_test = |id: &str| share(&found, |result| result.tests[id].p_value < 0.05);
            let verdict = share(&found, |result| result.verdict == Some(DriftVerdict::Drift));
            let (mmd, energy) = (of_test("mmd_rbf"), of_test("energy_distance"));
            println!("| {name} | {shift} | {verdict} | {mmd} | {energy} | {:.3} |", mean(&found, "domain_auc"));
        }
    }
    println!("\nintervals of the Fréchet distance of two halves that hold its mean over all splits, of {SPLITS}");
    println!("| set | moved by | mean | held |");
    let frechet = DriftSettings::parse_metrics(["frechet_distance"]).expect("a known number");
    let settings = DriftSettings { metrics: frechet, ..DriftSettings::default() };
    for (name, rows) in &sets[..2] {
        for shift in [0.0, 0.1] {
            let found = results(rows, shift, &settings);
            let mean = mean(&found, "frechet_distance");
            let held = share(&found, |result| {
                let [low, high] = result.intervals["frechet_distance"];
                (low..=high).contains(&mean)
            });
            println!("| {name} | {shift} | {mean:.4} | {held} |");
        }
    }
}
