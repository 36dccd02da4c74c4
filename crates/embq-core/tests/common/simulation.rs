//! Repeatedly draws and compares data whose truth is known, to measure how often verdicts and intervals are right.

use embq_core::comparison::{Checkpoint, Comparison, Measured, Verdict, difference};
use embq_core::data::{Dataset, DatasetOptions, Embeddings, LabelColumnBuilder, LabelType, Origin};
use embq_core::distance::Distance;
use embq_core::evaluation::{Settings, evaluate};
use embq_core::metrics::Selection;
use embq_core::progress::NoProgress;
use ndarray::Array2;

use super::random::Random;

/// The metrics to examine.
pub const METRICS: [&str; 4] = ["silhouette", "silhouette_macro", "soft_silhouette", "soft_silhouette_macro"];

/// Rows with their classes.
#[derive(Clone)]
pub struct Rows {
    pub values: Array2<f32>,
    pub labels: Vec<i64>,
}

impl Rows {
    /// The same rows with normal noise of this standard deviation on every number.
    pub fn with_noise(&self, size: f64, random: &mut Random) -> Rows {
        let values = self.values.mapv(|value| value + (size * random.normal()) as f32);
        Rows { values, labels: self.labels.clone() }
    }
}

/// Normal rows around one centre per class, at unequal distances.
pub fn mixture(sizes: &[usize], dimensions: usize, spread: f64, random: &mut Random) -> Rows {
    // The centres are the same for every draw.
    let mut places = Random::new(77);
    let centres: Vec<Vec<f64>> = sizes.iter().map(|_| (0..dimensions).map(|_| places.normal()).collect()).collect();
    let labels: Vec<i64> = sizes.iter().zip(0..).flat_map(|(&size, label)| std::iter::repeat_n(label, size)).collect();
    let values = Array2::from_shape_fn((labels.len(), dimensions), |(row, column)| {
        (centres[labels[row] as usize][column] + spread * random.normal()) as f32
    });
    Rows { values, labels }
}

pub fn settings(distance: Distance) -> Settings {
    Settings {
        distance,
        intervals: true,
        terms: true,
        metrics: Selection::parse(["silhouette", "soft_silhouette"]).expect("known metrics"),
        ..Default::default()
    }
}

/// One set, scored.
pub fn measured(rows: &Rows, settings: &Settings) -> Measured {
    let mut labels = LabelColumnBuilder::new(LabelType::Integer);
    rows.labels.iter().for_each(|&label| labels.push_integer(label.into()));
    let embeddings = Embeddings::from_f32(Origin::new("embeddings"), rows.values.clone());
    let options = DatasetOptions::default();
    let dataset = Dataset::join(embeddings, &labels.finish(Origin::new("labels")), settings.distance, &options);
    let dataset = dataset.expect("valid rows");
    let scored = evaluate(&dataset, settings, &NoProgress).expect("valid rows");
    Measured::new(&dataset, scored)
}

/// The verdict on each of [`METRICS`].
pub fn verdicts(baseline: &Rows, candidate: &Rows, settings: &Settings) -> Vec<Verdict> {
    let [before, after] = [baseline, candidate].map(|rows| measured(rows, settings));
    let found = difference("candidate", &before, &after, settings.seed, &NoProgress).expect("a comparison");
    let checkpoint = |name: &str, measured: Measured| Checkpoint { name: name.to_owned(), result: measured.evaluation };
    let checkpoints = vec![checkpoint("baseline", before), checkpoint("candidate", after)];
    let comparison = Comparison::new(checkpoints, vec![found], settings.seed);
    METRICS.iter().map(|name| comparison.candidates[0].metrics[*name].verdict.expect("a tested metric")).collect()
}

/// For each of [`METRICS`], how many of `seeds` comparisons show a difference: (better, worse).
pub fn differences(
    seeds: std::ops::Range<u64>,
    settings: &Settings,
    pair: impl Fn(&mut Random) -> (Rows, Rows) + Sync,
) -> Vec<(usize, usize)> {
    use rayon::prelude::*;
    let all: Vec<Vec<Verdict>> = seeds
        .into_par_iter()
        .map(|seed| {
            let (baseline, candidate) = pair(&mut Random::new(1 + 1_000_003 * seed));
            verdicts(&baseline, &candidate, &Settings { seed, ..settings.clone() })
        })
        .collect();
    let count = |metric: usize, verdict: Verdict| all.iter().filter(|verdicts| verdicts[metric] == verdict).count();
    (0..METRICS.len()).map(|metric| (count(metric, Verdict::Better), count(metric, Verdict::Worse))).collect()
}

/// For each of [`METRICS`], how many intervals of `seeds` draws contain the truth.
pub fn coverage(
    seeds: std::ops::Range<u64>,
    settings: &Settings,
    truth: &[f64],
    draw: impl Fn(&mut Random) -> Rows + Sync,
) -> Vec<usize> {
    use rayon::prelude::*;
    let all: Vec<Vec<bool>> = seeds
        .into_par_iter()
        .map(|seed| {
            let rows = draw(&mut Random::new(5 + 1_000_003 * seed));
            let result = measured(&rows, &Settings { seed, ..settings.clone() }).evaluation;
            let holds = |(name, truth): (&&str, &f64)| {
                let [low, high] = result.intervals[*name];
                (low..=high).contains(truth)
            };
            METRICS.iter().zip(truth).map(holds).collect()
        })
        .collect();
    (0..METRICS.len()).map(|metric| all.iter().filter(|holds| holds[metric]).count()).collect()
}

/// The mean of each of [`METRICS`] over `seeds` draws, which one draw estimates.
pub fn expected(
    seeds: std::ops::Range<u64>,
    settings: &Settings,
    draw: impl Fn(&mut Random) -> Rows + Sync,
) -> Vec<f64> {
    use rayon::prelude::*;
    let count = (seeds.end - seeds.start) as f64;
    let plain = Settings { intervals: false, ..settings.clone() };
    let all: Vec<Vec<f64>> = seeds
        .into_par_iter()
        .map(|seed| {
            let result = measured(&draw(&mut Random::new(3 + 7_000_003 * seed)), &plain).evaluation;
            METRICS.iter().map(|name| result.metrics[*name].expect("defined")).collect()
        })
        .collect();
    (0..METRICS.len()).map(|metric| all.iter().map(|values| values[metric]).sum::<f64>() / count).collect()
}
