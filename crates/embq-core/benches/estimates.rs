//! Compares how long work takes with the estimate that `embq` gives before it.
//!
//! ```text
//! cargo bench -p embq-core --bench estimates
//! ```
//!
//! prints, for settings of every kind that has an estimate, the seconds estimated and taken, and their quotient.

use std::time::Instant;

use embq_core::data::Dataset;
use embq_core::metrics::Selection;
use embq_core::{Distance, Evaluator, Settings};
use ndarray::Array2;

struct Case {
    distance: Distance,
    metrics: &'static str,
    rows: usize,
    dimensions: usize,
    classes: usize,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Float32,
    Float64,
    Intervals,
    /// With so many rows scored.
    Subsample(usize),
}

/// Rows around the means of their classes, by a linear congruential generator.
fn values(rows: usize, dimensions: usize, classes: usize) -> Array2<f64> {
    let mut state = 1_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
    };
    let means = Array2::from_shape_fn((classes, dimensions), |_| next());
    Array2::from_shape_fn((rows, dimensions), |(row, column)| means[[row % classes, column]] + 2.0 * next())
}

/// The seconds estimated and taken.
fn seconds(case: &Case) -> [f64; 2] {
    let Case { distance, metrics, rows, dimensions, classes, kind } = *case;
    let values = values(rows, dimensions, classes);
    let narrow = values.mapv(|value| value as f32);
    let labels = (0..rows).map(|row| row % classes);
    let builder = match kind {
        Kind::Float64 => Dataset::builder(&values, labels),
        _ => Dataset::builder(&narrow, labels),
    };
    let builder = builder.distance(distance);
    let builder = match kind {
        Kind::Subsample(scored) => builder.subsample(scored, 0),
        _ => builder,
    };
    let dataset = builder.build().expect("a data set");
    let settings = Settings {
        distance,
        metrics: Selection::parse(metrics.split(',')).expect("metrics"),
        rows: metrics == "silhouette",
        intervals: kind == Kind::Intervals,
        ..Settings::default()
    };
    let estimate = settings.estimate(&dataset);
    let estimated = estimate.class_distances.unwrap_or(0.0) + estimate.pair_seconds + estimate.fit_seconds;
    let started = Instant::now();
    Evaluator::new(&settings).evaluate(&dataset).expect("a result");
    [estimated, started.elapsed().as_secs_f64()]
}

fn main() {
    use Distance::{Cosine, Euclidean, Manhattan};
    use Kind::{Float32, Float64, Intervals, Subsample};
    let cases = [
        (Euclidean, "silhouette", 20_000, 512, 100, Float32),
        (Euclidean, "silhouette", 40_000, 128, 10, Float32),
        (Euclidean, "silhouette", 30_000, 64, 1_000, Float32),
        (Euclidean, "silhouette", 15_000, 256, 50, Float64),
        (Euclidean, "silhouette", 20_000, 512, 100, Intervals),
        (Euclidean, "silhouette", 20_000, 64, 2_000, Intervals),
        (Euclidean, "silhouette", 200_000, 128, 20, Subsample(2_000)),
        (Manhattan, "silhouette", 40_000, 256, 10, Float32),
        (Manhattan, "silhouette", 10_000, 512, 4_000, Float32),
        (Cosine, "retrieval", 20_000, 256, 100, Float32),
        (Euclidean, "retrieval", 30_000, 64, 10, Float32),
        (Euclidean, "verification", 20_000, 256, 100, Float32),
        (Cosine, "verification", 10_000, 512, 20, Float64),
        (Cosine, "dunn", 20_000, 256, 100, Float32),
        (Cosine, "uniformity", 20_000, 128, 10, Float32),
        (Cosine, "supcon", 15_000, 128, 100, Float32),
        (Cosine, "near_duplicate_share", 20_000, 256, 10, Float32),
        (Euclidean, "intrinsic_dimension", 20_000, 128, 10, Float32),
        (Cosine, "ridge_probe_accuracy", 30_000, 512, 100, Float32),
        (Cosine, "ridge_probe_accuracy", 100_000, 256, 10, Float32),
        (Cosine, "linear_probe_accuracy", 10_000, 256, 10, Float32),
        (Cosine, "linear_probe_accuracy", 20_000, 128, 100, Float32),
        (Cosine, "v_measure", 30_000, 128, 50, Float32),
        (Cosine, "v_measure", 100_000, 64, 10, Float32),
    ];
    println!("{:<46}{:>10}{:>8}{:>10}", "", "estimate", "taken", "quotient");
    let mut within = 0;
    for (distance, metrics, rows, dimensions, classes, kind) in cases {
        let [estimated, taken] = seconds(&Case { distance, metrics, rows, dimensions, classes, kind });
        let what = match kind {
            Float32 => String::new(),
            Float64 => ", float64".to_owned(),
            Intervals => ", intervals".to_owned(),
            Subsample(rows) => format!(", {rows} rows scored"),
        };
        println!("{distance} {metrics}, {rows} x {dimensions} in {classes}{what}");
        println!("{:<46}{estimated:>10.2}{taken:>8.2}{:>10.2}", "", estimated / taken);
        within += usize::from((0.5..=2.0).contains(&(estimated / taken)));
    }
    println!("{within} of {} within a factor of 2", cases.len());
}
