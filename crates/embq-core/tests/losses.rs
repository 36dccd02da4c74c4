//! Losses and gradients against PyTorch's automatic differentiation, and against `embq score`.

mod common;

use std::path::Path;

use embq_core::distance::Distance;
use embq_core::losses::{CenterLoss, CrossEntropy, SoftSilhouette, SupervisedContrastive};
use embq_core::metrics::{SmoothMaximum, SoftMinimum};
use ndarray::{Array1, Array2, Array3, Axis};
use serde_json::Value;

fn path(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

struct Golden {
    rows: Array2<f64>,
    labels: Vec<usize>,
    cases: Vec<Value>,
    gradients: Array3<f64>,
}

fn golden() -> Golden {
    let rows: Array2<f32> = ndarray_npy::read_npy(path("formats/plain.npy")).unwrap();
    let labels: Array1<i64> = ndarray_npy::read_npy(path("gradients/labels.npy")).unwrap();
    let json: Value = serde_json::from_str(&std::fs::read_to_string(path("gradients/cases.json")).unwrap()).unwrap();
    Golden {
        rows: rows.mapv(f64::from),
        labels: labels.iter().map(|&label| label as usize).collect(),
        cases: json["cases"].as_array().unwrap().clone(),
        gradients: ndarray_npy::read_npy(path("gradients/gradients.npy")).unwrap(),
    }
}

/// Loss and gradient of a case of the golden file.
fn compute(case: &Value, golden: &Golden) -> (f64, Array2<f64>) {
    let (rows, labels, tau) = (golden.rows.view(), &golden.labels[..], case["tau"].as_f64().unwrap());
    let found = match case["loss"].as_str().unwrap() {
        "silhouette" => silhouette(case, tau).loss_and_gradient(rows, labels),
        "supcon" => SupervisedContrastive { temperature: tau }.loss_and_gradient(rows, labels),
        "center" => CenterLoss.loss_and_gradient(rows, labels),
        "cross-entropy" => {
            let head: Array2<f64> = ndarray_npy::read_npy(path("gradients/head.npy")).unwrap();
            let bias = Array1::zeros(head.nrows());
            CrossEntropy.with_head(rows, head.view(), bias.view(), labels).map(|found| found.embeddings)
        }
        other => panic!("{other} is not a loss"),
    };
    let found = found.unwrap();
    (found.loss, found.gradient)
}

fn silhouette(case: &Value, temperature: f64) -> SoftSilhouette {
    let is = |key: &str, name: &str| case[key] == name;
    let distances = [Distance::Cosine, Distance::SqEuclidean, Distance::Euclidean];
    SoftSilhouette {
        temperature,
        distance: distances.into_iter().find(|distance| is("distance", distance.name())).unwrap(),
        soft_minimum: match case["softmin"].as_str() {
            Some("weighted") => SoftMinimum::Weighted,
            Some("lse") => SoftMinimum::Lse,
            Some("hard") => SoftMinimum::Hard,
            Some("mean") => SoftMinimum::Mean,
            other => panic!("{other:?} is not a soft minimum"),
        },
        smooth_maximum: if is("softmax", "lse") { SmoothMaximum::Lse } else { SmoothMaximum::Hard },
    }
}

#[test]
fn losses_and_gradients_are_those_of_automatic_differentiation() {
    let golden = golden();
    assert_eq!(golden.cases.len(), 54);
    for (case, expected) in golden.cases.iter().zip(golden.gradients.axis_iter(Axis(0))) {
        let (loss, gradient) = compute(case, &golden);
        let value = case["value"].as_f64().unwrap();
        assert!((loss - value).abs() <= 1e-12 * value.abs().max(1.0), "{case}: {loss}");
        let largest = |values: Array2<f64>| values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        let error = largest(&gradient - &expected) / largest(expected.to_owned());
        assert!(error <= 1e-10, "{case}: {error:e}");
    }
}

#[test]
fn the_loss_is_the_metric_of_that_name() {
    let golden = golden();
    let labels: Vec<i64> = golden.labels.iter().map(|&label| label as i64).collect();
    for case in golden.cases.iter().filter(|case| case["loss"] == "silhouette") {
        let loss = silhouette(case, case["tau"].as_f64().unwrap());
        let settings = common::silhouettes(loss.distance, (loss.soft_minimum, loss.smooth_maximum), loss.temperature);
        let scored = common::score(&common::Matrix::F64(golden.rows.clone()), &labels, None, &settings);
        let metric = scored.evaluation.metrics["soft_silhouette_loss"].unwrap();
        let found = loss.loss(golden.rows.view(), &golden.labels).unwrap();
        assert!((found - metric).abs() <= 1e-9, "{case}: {found} for {metric}");
    }
}
