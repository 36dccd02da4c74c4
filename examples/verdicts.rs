//! Measures how often verdicts and intervals are right on draws of data whose truth is known. Prints the figures in
//! docs/comparing.md.
//!
//! ```sh
//! cargo run --release --example verdicts
//! ```

#[allow(dead_code)]
#[path = "../crates/embq-core/tests/common/random.rs"]
mod random;
#[allow(dead_code)]
#[path = "../crates/embq-core/tests/common/simulation.rs"]
mod simulation;

use std::path::Path;
use std::time::Instant;

use embq_core::distance::Distance;
use embq_core::statistics::{DRAWS, sign_flip_p_value};
use ndarray::{Array1, Array2};
use random::Random;
use simulation::{METRICS, Rows, coverage, differences, expected, mixture, settings};

const SEEDS: u64 = 400;

fn fixture(folder: &str, embeddings: &str) -> Rows {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(folder);
    let values: Array2<f32> = ndarray_npy::read_npy(folder.join(embeddings)).expect("a fixture");
    let labels: Array1<i64> = ndarray_npy::read_npy(folder.join("labels.npy")).expect("a fixture");
    Rows { values, labels: labels.to_vec() }
}

fn share(count: usize) -> String {
    format!("{:.1} %", 100.0 * count as f64 / SEEDS as f64)
}

/// The standard deviation of all numbers of a set.
fn spread(rows: &Rows) -> f64 {
    let mean = rows.values.iter().map(|&value| f64::from(value)).sum::<f64>() / rows.values.len() as f64;
    let squares: f64 = rows.values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum();
    (squares / rows.values.len() as f64).sqrt()
}

/// Every third row.
fn third(rows: &Rows) -> Rows {
    Rows {
        values: rows.values.slice(ndarray::s![..;3, ..]).to_owned(),
        labels: rows.labels.iter().step_by(3).copied().collect(),
    }
}

fn main() {
    let sets = [
        ("digits", fixture("digits", "embeddings.npy")),
        ("glosses1k_minilm", fixture("glosses1k_minilm", "embeddings.npy")),
        ("fashion_ckpt_2k", fixture("fashion_ckpt_2k", "epoch10.npy")),
    ];
    println!("two draws of noise on the same rows: share of false verdicts in {SEEDS}");
    println!("| rows | distance | {} |", METRICS.join(" | "));
    for (name, rows) in &sets {
        for distance in [Distance::Cosine, Distance::Euclidean] {
            let noise = 0.5 * spread(rows);
            let rows = third(rows);
            let found = differences(0..SEEDS, &settings(distance), |random| {
                (rows.with_noise(noise, random), rows.with_noise(noise, random))
            });
            let cells: Vec<String> = found.iter().map(|(better, worse)| share(better + worse)).collect();
            println!("| {name} | {distance} | {} |", cells.join(" | "));
        }
    }
    println!("\nless noise in the candidate: share of 'better' (and of 'worse') in {SEEDS}, digits, cosine");
    println!("| less noise by | {} |", METRICS.join(" | "));
    let (_, digits) = &sets[0];
    let digits = third(digits);
    let noise = 0.5 * spread(&digits);
    for less in [0.01, 0.02, 0.05, 0.1] {
        let found = differences(0..SEEDS, &settings(Distance::Cosine), |random| {
            (digits.with_noise(noise, random), digits.with_noise(noise * (1.0 - less), random))
        });
        let cells: Vec<String> =
            found.iter().map(|(better, worse)| format!("{} ({})", share(*better), share(*worse))).collect();
        println!("| {:.0} % | {} |", 100.0 * less, cells.join(" | "));
    }
    println!("\nintervals that hold the mean of many draws, of {SEEDS}");
    println!("| classes | distance | {} |", METRICS.join(" | "));
    for (name, sizes, dimensions, spread) in [
        ("5 of 100", vec![100; 5], 16, 1.5),
        ("20 of 30", vec![30; 20], 16, 1.0),
        ("4 of 20 to 200", vec![20, 50, 100, 200], 8, 1.5),
    ] {
        let draw = |random: &mut Random| mixture(&sizes, dimensions, spread, random);
        for distance in [Distance::Cosine, Distance::SqEuclidean, Distance::Euclidean, Distance::Manhattan] {
            let settings = settings(distance);
            let truth = expected(0..2000, &settings, draw);
            let held = coverage(0..SEEDS, &settings, &truth, draw);
            let cells: Vec<String> = held.into_iter().map(share).collect();
            println!("| {name} | {distance} | {} |", cells.join(" | "));
        }
    }
    let mut random = Random::new(9);
    let terms: Vec<f64> = (0..100_000).map(|_| random.normal()).collect();
    let started = Instant::now();
    let p = sign_flip_p_value(&terms, DRAWS, 1);
    println!("\np-value over 100,000 rows: {:.6} s (p = {p:.4})", started.elapsed().as_secs_f64());
}
