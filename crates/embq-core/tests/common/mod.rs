//! Shared by the numerical tests: data sets in memory, evaluation in one call, exact random numbers, an oracle.

#![allow(dead_code)] // each test binary compiles this module and uses a part of it

pub mod oracle;
pub mod random;
pub mod simulation;

use std::path::{Path, PathBuf};

use embq_core::data::{
    Dataset, DatasetOptions, Embeddings, LabelColumn, LabelColumnBuilder, LabelType, Origin, RowWeights,
};
use embq_core::distance::Distance;
use embq_core::evaluation::{Scored, Settings, Temperature, evaluate};
use embq_core::metrics::{Selection, SmoothMaximum, SoftMinimum};
use embq_core::progress::NoProgress;
use ndarray::{Array1, Array2};

/// The distances between rows with coordinates.
pub const GEOMETRIC: [Distance; 4] =
    [Distance::Cosine, Distance::SqEuclidean, Distance::Euclidean, Distance::Manhattan];

/// Every form of the soft silhouette.
pub const SOFT_FORMS: [(SoftMinimum, SmoothMaximum); 8] = [
    (SoftMinimum::Weighted, SmoothMaximum::Lse),
    (SoftMinimum::Weighted, SmoothMaximum::Hard),
    (SoftMinimum::Lse, SmoothMaximum::Lse),
    (SoftMinimum::Lse, SmoothMaximum::Hard),
    (SoftMinimum::Hard, SmoothMaximum::Lse),
    (SoftMinimum::Hard, SmoothMaximum::Hard),
    (SoftMinimum::Mean, SmoothMaximum::Lse),
    (SoftMinimum::Mean, SmoothMaximum::Hard),
];

/// A matrix of either precision.
#[derive(Clone, Debug)]
pub enum Matrix {
    F32(Array2<f32>),
    F64(Array2<f64>),
}

impl Matrix {
    /// The numbers in float64, as an oracle takes them.
    pub fn widened(&self) -> Array2<f64> {
        match self {
            Matrix::F32(values) => values.mapv(f64::from),
            Matrix::F64(values) => values.clone(),
        }
    }

    pub fn name(&self) -> &'static str {
        match self {
            Matrix::F32(_) => "f32",
            Matrix::F64(_) => "f64",
        }
    }

    /// The guaranteed error of a row's silhouette.
    pub fn row_bound(&self, distance: Distance) -> f64 {
        match (self, distance) {
            (Matrix::F64(_), _) => 1e-9,
            (Matrix::F32(_), Distance::Cosine | Distance::SqEuclidean) => 2e-6,
            (Matrix::F32(_), _) => 1e-5,
        }
    }

    /// The guaranteed relative error of a statistic over many rows.
    pub fn statistic_bound(&self) -> f64 {
        match self {
            Matrix::F64(_) => 1e-9,
            Matrix::F32(_) => 1e-5,
        }
    }

    fn embeddings(&self) -> Embeddings {
        let origin = Origin::new("embeddings.npy");
        match self {
            Matrix::F32(values) => Embeddings::from_f32(origin, values.clone()),
            Matrix::F64(values) => Embeddings::from_f64(origin, values.clone()),
        }
    }
}

/// A column of integer labels.
pub fn label_column(labels: &[i64]) -> LabelColumn {
    let mut builder = LabelColumnBuilder::new(LabelType::Integer);
    for &label in labels {
        builder.push_integer(i128::from(label));
    }
    builder.finish(Origin::new("labels.npy"))
}

/// A column of text labels.
pub fn text_column(labels: &[String]) -> LabelColumn {
    let mut builder = LabelColumnBuilder::new(LabelType::Text);
    for label in labels {
        builder.push_text(label);
    }
    builder.finish(Origin::new("labels.txt"))
}

/// Evaluates rows with any label column.
pub fn score_column(
    matrix: &Matrix,
    column: &LabelColumn,
    weights: Option<&[f64]>,
    settings: &Settings,
) -> embq_core::Result<Scored> {
    let options = DatasetOptions {
        weights: weights.map(|weights| RowWeights { origin: Origin::new("weights.npy"), values: weights.to_vec() }),
        ..Default::default()
    };
    let dataset = Dataset::join(matrix.embeddings(), column, settings.distance, &options)?;
    evaluate(&dataset, settings, &NoProgress)
}

/// Evaluates rows with integer labels.
pub fn score(matrix: &Matrix, labels: &[i64], weights: Option<&[f64]>, settings: &Settings) -> Scored {
    score_column(matrix, &label_column(labels), weights, settings).expect("valid data")
}

/// Settings for one distance, otherwise the defaults.
pub fn settings(distance: Distance) -> Settings {
    Settings { distance, ..Default::default() }
}

/// Settings for one form of the soft silhouette that compute only silhouettes.
pub fn silhouettes(distance: Distance, (softmin, softmax): (SoftMinimum, SmoothMaximum), temperature: f64) -> Settings {
    Settings {
        distance,
        softmin,
        softmax,
        temperature: Temperature::Value(temperature),
        metrics: Selection::parse(["silhouette", "soft_silhouette"]).expect("known metrics"),
        ..Default::default()
    }
}

/// Dense codes in label order.
pub fn codes(labels: &[i64]) -> Vec<usize> {
    let names = distinct(labels);
    let code = |label| names.binary_search(label).expect("one of its own names");
    labels.iter().map(code).collect()
}

/// The distinct labels in order.
pub fn distinct(labels: &[i64]) -> Vec<i64> {
    let mut names = labels.to_vec();
    names.sort_unstable();
    names.dedup();
    names
}

/// A path below `fixtures/`.
pub fn fixture(path: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(path)
}

/// Embeddings and labels in a folder below `fixtures/`.
pub fn real_data(folder: &str) -> (Array2<f32>, Vec<i64>) {
    let embeddings = ndarray_npy::read_npy(fixture(folder).join("embeddings.npy")).expect("readable fixture");
    let labels: Array1<i64> = ndarray_npy::read_npy(fixture(folder).join("labels.npy")).expect("readable fixture");
    (embeddings, labels.to_vec())
}

/// Collects every deviation, so that one run reports all of them.
#[derive(Default)]
pub struct Deviations {
    lines: Vec<String>,
}

impl Deviations {
    /// Requires `ours` to be within `tolerance` of `expected`.
    pub fn close(&mut self, ours: f64, expected: f64, tolerance: f64, what: impl FnOnce() -> String) {
        let error = (ours - expected).abs();
        if error.is_nan() || error > tolerance {
            let line = format!("{}: {ours:e}, expected {expected:e}, off by {error:.1e}", what());
            self.lines.push(line);
        }
    }

    /// Requires the whole column to be within `tolerance`, and reports only the worst row.
    pub fn rows_close(&mut self, ours: &[f64], expected: &[f64], tolerance: f64, what: impl FnOnce() -> String) {
        assert_eq!(ours.len(), expected.len());
        let error = |row: &usize| {
            let error = (ours[*row] - expected[*row]).abs();
            if error.is_nan() { f64::INFINITY } else { error }
        };
        let bad = (0..ours.len()).filter(|row| error(row) > tolerance).count();
        if let Some(worst) = (0..ours.len()).max_by(|left, right| error(left).total_cmp(&error(right)))
            && bad > 0
        {
            let text = || format!("{}, {bad} row(s) beyond {tolerance:e}, worst row {worst}", what());
            self.close(ours[worst], expected[worst], tolerance, text);
        }
    }

    /// Requires a statement to hold.
    pub fn holds(&mut self, truth: bool, what: impl FnOnce() -> String) {
        if !truth {
            self.lines.push(what());
        }
    }

    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// Fails the test if anything deviated.
    pub fn finish(self) {
        assert!(self.lines.is_empty(), "{} deviation(s):\n{}", self.lines.len(), self.lines.join("\n"));
    }
}
