//! Influence values against their meaning: how metrics change when a row gets slightly more weight. Intervals against
//! repeated draws of the data.

mod common;

use common::random::Random;
use common::{Deviations, GEOMETRIC, Matrix, SOFT_FORMS, score, settings};
use embq_core::distance::Distance;
use embq_core::evaluation::{Scored, Settings, Temperature};
use embq_core::metrics::{Metric, Selection};
use ndarray::Array2;

/// Relative change of a weight.
const STEP: f64 = 1e-4;

/// Three overlapping classes of unequal sizes and a singleton.
fn rows(dimensions: usize) -> (Array2<f64>, Vec<i64>) {
    let labels: Vec<i64> = [vec![0; 7], vec![1; 5], vec![2; 4], vec![3]].concat();
    let mut random = Random::new(5);
    let mut values = random.normals(labels.len(), dimensions);
    for (mut row, &label) in values.rows_mut().into_iter().zip(&labels) {
        row[label as usize % dimensions] += 2.0;
        row += 1.0;
    }
    (values, labels)
}

fn with_intervals(settings: Settings) -> Settings {
    Settings { intervals: true, terms: true, ..settings }
}

/// For each row, the change of metrics with the logarithm of its weight.
fn by_weights(
    matrix: &Matrix,
    labels: &[i64],
    weights: &[f64],
    settings: &Settings,
    of: impl Fn(&Scored) -> f64,
) -> Vec<f64> {
    let moved = |row: usize, factor: f64| {
        let mut weights = weights.to_vec();
        weights[row] *= factor;
        of(&score(matrix, labels, Some(&weights), settings))
    };
    (0..labels.len()).map(|row| (moved(row, 1.0 + STEP) - moved(row, 1.0 - STEP)) / (2.0 * STEP)).collect()
}

fn forms() -> impl Iterator<Item = Settings> {
    GEOMETRIC.into_iter().flat_map(|distance| {
        SOFT_FORMS.into_iter().map(move |(softmin, softmax)| Settings {
            distance,
            softmin,
            softmax,
            temperature: Temperature::Value(if distance == Distance::Cosine { 0.1 } else { 0.7 }),
            ..settings(distance)
        })
    })
}

#[test]
fn influence_is_the_change_of_the_mean_with_the_weight_of_a_row() {
    let mut deviations = Deviations::default();
    let (values, labels) = rows(4);
    let matrix = Matrix::F64(values);
    let mut random = Random::new(1);
    let equal = vec![1.0; labels.len()];
    let unequal: Vec<f64> = labels.iter().map(|_| 0.5 + random.uniform()).collect();
    for (kind, weights) in [("equal", &equal), ("unequal", &unequal)] {
        let total: f64 = weights.iter().sum();
        let class_weight = |class: i64| -> f64 {
            labels.iter().zip(weights).filter(|(label, _)| **label == class).map(|(_, weight)| weight).sum()
        };
        for settings in forms() {
            let scored = score(&matrix, &labels, Some(weights), &with_intervals(settings.clone()));
            let influence = scored.rows.influence.as_ref().unwrap();
            let class_means = |scored: &Scored, soft: bool, class: i64| {
                let class = &scored.evaluation.classes[class as usize];
                if soft { class.soft_silhouette.unwrap() } else { class.silhouette.unwrap() }
            };
            for (name, soft, overall, by_class) in [
                ("silhouette", false, &influence.silhouette, &influence.silhouette_macro),
                ("soft_silhouette", true, &influence.soft_silhouette, &influence.soft_silhouette_macro),
            ] {
                let what = |part: &str| format!("{name} {part}, {}, {kind} weights", settings.distance);
                let mean = scored.evaluation.metrics[name].unwrap();
                let slopes = by_weights(&matrix, &labels, weights, &settings, |s| s.evaluation.metrics[name].unwrap());
                let expected: Vec<f64> =
                    slopes.iter().zip(weights).map(|(slope, weight)| mean + slope * total / weight).collect();
                deviations.rows_close(overall, &expected, 1e-6, || what("overall"));
                let over = |values: &[f64]| values.iter().zip(weights).map(|(v, w)| v * w).sum::<f64>() / total;
                deviations.close(over(overall), mean, 1e-12, || what("mean"));

                let macro_name = format!("{name}_macro");
                let slopes =
                    by_weights(&matrix, &labels, weights, &settings, |s| s.evaluation.metrics[&macro_name].unwrap());
                let expected: Vec<f64> = (0..labels.len())
                    .map(|row| {
                        let own = class_means(&scored, soft, labels[row]);
                        own + slopes[row] * 4.0 * class_weight(labels[row]) / weights[row]
                    })
                    .collect();
                deviations.rows_close(by_class, &expected, 1e-6, || what("macro"));
            }
        }
    }
    deviations.finish();
}

/// The standard error of a sum whose change with each weight is known.
fn standard_error(slopes: &[f64], labels: &[i64]) -> f64 {
    let mut variance = 0.0;
    for class in 0..4 {
        let rows: Vec<f64> =
            slopes.iter().zip(labels).filter(|(_, label)| **label == class).map(|(slope, _)| *slope).collect();
        let n = rows.len() as f64;
        if rows.len() > 1 {
            let mean = rows.iter().sum::<f64>() / n;
            variance += n / (n - 1.0) * rows.iter().map(|slope| (slope - mean).powi(2)).sum::<f64>();
        }
    }
    variance.sqrt()
}

#[test]
fn standard_errors_are_those_of_the_changes() {
    let mut deviations = Deviations::default();
    let (values, labels) = rows(4);
    let matrix = Matrix::F64(values);
    let weights = vec![1.0; labels.len()];
    for distance in GEOMETRIC {
        let settings = settings(distance);
        let scored = score(&matrix, &labels, None, &with_intervals(settings.clone()));
        for (name, &error) in &scored.evaluation.standard_errors {
            let slopes = by_weights(&matrix, &labels, &weights, &settings, |s| s.evaluation.metrics[name].unwrap());
            deviations.close(error, standard_error(&slopes, &labels), 1e-6, || format!("{name}, {distance}"));
            let terms: f64 = scored.terms[name].iter().sum();
            let value = scored.evaluation.metrics[name].unwrap();
            deviations.close(terms, value, 1e-12, || format!("terms of {name}, {distance}"));
        }
        for name in ["silhouette", "soft_silhouette_loss", "mean_a", "mean_b", "intra_mean_macro", "separation"] {
            assert!(scored.evaluation.intervals.contains_key(name), "{name}");
        }
        for (class, result) in scored.evaluation.classes.iter().enumerate() {
            let value = |s: &Scored| s.evaluation.classes[class].silhouette.unwrap();
            let slopes = by_weights(&matrix, &labels, &weights, &settings, value);
            let known = result.silhouette_uncertainty.unwrap();
            let what = || format!("silhouette of class {class}, {distance}");
            deviations.close(known.standard_error, standard_error(&slopes, &labels), 1e-6, what);
            let value = |s: &Scored| s.evaluation.classes[class].soft_silhouette.unwrap();
            let slopes = by_weights(&matrix, &labels, &weights, &settings, value);
            let known = result.soft_silhouette_uncertainty.unwrap();
            let what = || format!("soft silhouette of class {class}, {distance}");
            deviations.close(known.standard_error, standard_error(&slopes, &labels), 1e-6, what);
        }
    }
    deviations.finish();
}

#[test]
fn metrics_have_the_intervals_that_they_declare() {
    let (values, mut labels) = rows(4);
    // Classes with a single row have no margin.
    labels[16] = 0;
    let settings = Settings { metrics: Selection::all(), batch_size: Some(20), ..settings(Distance::Euclidean) };
    let scored = score(&Matrix::F64(values), &labels, None, &with_intervals(settings));
    let intervals = &scored.evaluation.intervals;
    for name in scored.evaluation.metrics.keys() {
        let declared = Metric::named(name).unwrap().has_interval;
        assert_eq!(intervals.contains_key(name), declared, "{name}");
    }
}

#[test]
fn a_matrix_of_distances_has_the_intervals_of_its_rows() {
    let (values, labels) = rows(3);
    let distances = Array2::from_shape_fn((labels.len(), labels.len()), |(row, column)| {
        let difference = &values.row(row) - &values.row(column);
        difference.dot(&difference).sqrt()
    });
    let euclidean = score(&Matrix::F64(values), &labels, None, &with_intervals(settings(Distance::Euclidean)));
    let given = score(&Matrix::F64(distances), &labels, None, &with_intervals(settings(Distance::Precomputed)));
    let mut deviations = Deviations::default();
    for (name, interval) in &given.evaluation.intervals {
        for (end, expected) in interval.iter().zip(euclidean.evaluation.intervals[name]) {
            deviations.close(*end, expected, 1e-10, || name.clone());
        }
    }
    for (class, expected) in given.evaluation.classes.iter().zip(&euclidean.evaluation.classes) {
        let error =
            |class: &embq_core::evaluation::ClassEvaluation| class.silhouette_uncertainty.unwrap().standard_error;
        deviations.close(error(class), error(expected), 1e-10, || class.label.clone());
    }
    deviations.finish();
}

#[test]
fn float32_rows_far_from_the_origin_have_the_influence_of_float64() {
    let mut deviations = Deviations::default();
    for offset in [0.0, 1000.0] {
        let labels: Vec<i64> = (0..600).map(|row| row % 7).collect();
        let mut random = Random::new(3);
        let mut values = random.normals(labels.len(), 24);
        for (mut row, &label) in values.rows_mut().into_iter().zip(&labels) {
            row[label as usize] += 3.0;
            row += offset;
        }
        let single = values.mapv(|value| value as f32);
        let double = Matrix::F64(single.mapv(f64::from));
        for distance in GEOMETRIC {
            let settings = with_intervals(settings(distance));
            let ours = score(&Matrix::F32(single.clone()), &labels, None, &settings);
            let expected = score(&double, &labels, None, &settings);
            let (ours, expected) = (ours.rows.influence.unwrap(), expected.rows.influence.unwrap());
            for (ours, expected, name) in [
                (&ours.silhouette, &expected.silhouette, "silhouette"),
                (&ours.soft_silhouette_macro, &expected.soft_silhouette_macro, "soft_silhouette_macro"),
            ] {
                deviations.rows_close(ours, expected, 1e-4, || format!("{name}, {distance}, at {offset}"));
            }
        }
    }
    deviations.finish();
}

#[test]
fn threads_change_no_bit() {
    let labels: Vec<i64> = (0..900).map(|row| row * row % 11).collect();
    let matrix = Matrix::F32(Random::new(8).normals(labels.len(), 16).mapv(|value| value as f32));
    for distance in GEOMETRIC {
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| score(&matrix, &labels, None, &with_intervals(settings(distance))))
        };
        let (one, many) = (run(1), run(5));
        assert_eq!(one.evaluation, many.evaluation, "{distance}");
        assert_eq!(one.terms, many.terms, "{distance}");
    }
}
