//! The probe and clustering families against golden values of other software (`fixtures/make_probes.py`), and on data where
//! they are undefined.

mod common;

use common::random::Random;
use common::simulation::mixture;
use common::{Deviations, GEOMETRIC, Matrix, fixture, label_column, real_data, score};
use embq_core::data::{Dataset, DatasetOptions, Embeddings, Origin, Precision};
use embq_core::distance::Distance;
use embq_core::evaluation::{Evaluation, Settings, evaluate, evaluate_with};
use embq_core::kernels::{KMeansOptions, LogisticOptions, fit_logistic, k_means};
use embq_core::metrics::{Auxiliary, Clustering, ProbeSettings, Selection};
use embq_core::progress::NoProgress;
use ndarray::{Array2, Axis, s};
use rayon::prelude::*;
use serde_json::Value;

const RIDGE: [&str; 2] = ["ridge_probe_accuracy", "ridge_probe_macro_f1"];

fn golden() -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture("golden/probes.json")).unwrap()).unwrap()
}

fn settings(metrics: &[&str]) -> Settings {
    Settings {
        distance: Distance::Euclidean,
        metrics: Selection::parse(metrics.iter().copied()).unwrap(),
        rows: false,
        ..Default::default()
    }
}

fn both(values: &Array2<f32>) -> [Matrix; 2] {
    [Matrix::F64(values.mapv(f64::from)), Matrix::F32(values.clone())]
}

fn dataset(matrix: &Matrix, labels: &[i64]) -> Dataset<'static> {
    let origin = Origin::new("embeddings.npy");
    let embeddings = match matrix {
        Matrix::F32(values) => Embeddings::from_f32(origin, values.clone()),
        Matrix::F64(values) => Embeddings::from_f64(origin, values.clone()),
    };
    Dataset::join(embeddings, &label_column(labels), Distance::Euclidean, &DatasetOptions::default()).unwrap()
}

fn clustered(labels: &[i64], clusters: &[i64], metrics: &[&str]) -> Evaluation {
    let rows = Matrix::F64(Array2::from_shape_fn((labels.len(), 1), |(row, _)| row as f64));
    let clusters = label_column(clusters);
    let auxiliary = Auxiliary { clusters: Some(&clusters), ..Default::default() };
    evaluate_with(&dataset(&rows, labels), auxiliary, &settings(metrics), &NoProgress).unwrap().evaluation
}

#[test]
fn ridge_predicts_rows_as_fits_without_them() {
    let golden = golden();
    let mut deviations = Deviations::default();
    for set in ["digits", "uneven", "glosses1k_minilm"] {
        let (mut values, mut labels) = real_data(set);
        if set == "glosses1k_minilm" {
            values = values.slice(s![..;4, ..]).to_owned();
            labels = labels.into_iter().step_by(4).collect();
        }
        for (alpha, expected) in golden[set]["ridge"].as_object().unwrap() {
            let probe = ProbeSettings { alpha: alpha.parse().unwrap(), ..Default::default() };
            for matrix in both(&values) {
                let found = score(&matrix, &labels, None, &Settings { probe, ..settings(&RIDGE) }).evaluation;
                for (name, expected) in RIDGE.into_iter().zip(expected.as_array().unwrap()) {
                    let place = || format!("{set} {alpha} {} {name}", matrix.name());
                    deviations.close(found.metrics[name].unwrap(), expected.as_f64().unwrap(), 1e-12, place);
                }
                assert_eq!(found.settings.probe_alpha, Some(probe.alpha));
            }
        }
    }
    deviations.finish();
}

#[test]
fn ridge_does_not_depend_on_the_distance_or_the_order_of_rows() {
    let (values, labels) = real_data("uneven");
    let of = |values: &Array2<f64>, labels: &[i64], distance| {
        let settings = Settings { distance, ..settings(&RIDGE) };
        score(&Matrix::F64(values.clone()), labels, None, &settings).evaluation.metrics
    };
    let values = values.mapv(f64::from);
    let expected = of(&values, &labels, Distance::Cosine);
    for distance in GEOMETRIC {
        assert_eq!(of(&values, &labels, distance), expected, "{distance}");
    }
    let backwards: Vec<i64> = labels.iter().rev().copied().collect();
    let found = of(&values.slice(s![..;-1, ..]).to_owned(), &backwards, Distance::Cosine);
    for (name, value) in &expected {
        // Sums of the same numbers in another order.
        assert!((found[name].unwrap() - value.unwrap()).abs() < 1e-12, "{name}");
    }
}

#[test]
fn logistic_regression_reaches_the_objective_of_scikit_learn() {
    let golden = golden();
    for set in ["digits", "uneven"] {
        let (values, labels) = real_data(set);
        for (key, largest) in [("logistic", i64::MAX), ("two", 1)] {
            let kept: Vec<usize> = (0..labels.len()).filter(|&row| labels[row] <= largest).collect();
            let (values, labels): (_, Vec<i64>) =
                (values.select(Axis(0), &kept), kept.iter().map(|&row| labels[row]).collect());
            // The folds of the script.
            let mut order: Vec<usize> = (0..labels.len()).collect();
            order.sort_by_key(|&row| labels[row]);
            let mut folds = vec![0; labels.len()];
            order.iter().enumerate().for_each(|(place, &row)| folds[row] = place as u32 % 3);
            let expected = &golden[set][key];
            for matrix in both(&values) {
                let data = dataset(&matrix, &labels);
                let fits = fit_logistic(&data, &folds, 3, &LogisticOptions::default(), &NoProgress).unwrap();
                for (fit, expected) in fits.iter().zip(expected["objectives"].as_array().unwrap()) {
                    // Of two digits next to nothing is left of the 250 that it is at the start.
                    let expected = expected.as_f64().unwrap();
                    let apart = (fit.objective - expected) / expected.max(1.0);
                    assert!(apart.abs() < 1e-6, "{set} {key}: {apart:e} after {} steps, {:e}", fit.steps, fit.gradient);
                }
                let right = (0..labels.len()).filter(|&row| {
                    let fit = &fits[folds[row] as usize];
                    let logit = |class: usize| {
                        let weights = fit.weights.chunks_exact(values.ncols()).nth(class).unwrap();
                        let row = values.row(row);
                        fit.intercepts[class] + weights.iter().zip(row).map(|(w, x)| w * f64::from(*x)).sum::<f64>()
                    };
                    let classes = fit.intercepts.len();
                    let best =
                        (1..classes).fold(0, |best, class| if logit(class) > logit(best) { class } else { best });
                    best == data.labels().codes()[row] as usize
                });
                let accuracy = right.count() as f64 / labels.len() as f64;
                assert!((accuracy - expected["accuracy"].as_f64().unwrap()).abs() < 1e-12, "{set} {key}");
            }
        }
    }
}

#[test]
fn probes_of_separable_classes_are_right() {
    let labels: Vec<i64> = (0..240).map(|row| row % 6).collect();
    let rows = Array2::from_shape_fn((240, 6), |(row, k)| {
        f64::from(u8::from(row % 6 == k)) * 5.0 + ((row * (k + 3)) % 7) as f64 / 10.0
    });
    let found = score(&Matrix::F64(rows), &labels, None, &settings(&["probe"])).evaluation;
    assert_eq!(found.metrics.len(), 8);
    for (name, value) in &found.metrics {
        assert_eq!(*value, Some(if name.starts_with("few_shot_std") { 0.0 } else { 1.0 }), "{name}");
    }
    assert_eq!(found.settings.folds, Some(5));
}

#[test]
fn few_shots_of_real_rows_lie_between_chance_and_all() {
    let (values, labels) = real_data("digits");
    let of = |seed| {
        let settings = Settings { seed, ..settings(&["probe"]) };
        score(&Matrix::F32(values.clone()), &labels, None, &settings).evaluation.metrics
    };
    let metrics = of(0);
    let number = |name: &str| metrics[name].unwrap();
    assert!(0.7 < number("few_shot_accuracy@8") && number("few_shot_accuracy@8") < number("few_shot_accuracy@16"));
    assert!(number("few_shot_accuracy@16") < number("linear_probe_accuracy"));
    assert!(number("few_shot_std@8") > 0.0 && number("few_shot_std@8") < 0.1);
    let other = of(1);
    assert_ne!(metrics["few_shot_accuracy@8"], other["few_shot_accuracy@8"]);
    assert_eq!(metrics["ridge_probe_accuracy"], other["ridge_probe_accuracy"]);
}

#[test]
fn threads_change_no_bit_of_probes_and_clusters() {
    let (values, labels) = real_data("uneven");
    let compute = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let settings = settings(&["probe", "clustering"]);
        pool.install(|| score(&Matrix::F32(values.clone()), &labels, None, &settings).evaluation)
    };
    assert_eq!(compute(1), compute(3));
}

/// The clusterings of `fixtures/make_probes.py`.
fn clusterings(labels: &[i64]) -> Vec<(&'static str, Vec<i64>)> {
    let codes: Vec<i64> = common::codes(labels).into_iter().map(|code| code as i64).collect();
    let last = codes.iter().max().unwrap() + 1;
    let of = |rule: &dyn Fn(i64, i64) -> i64| {
        codes.iter().enumerate().map(|(row, &code)| rule(row as i64, code)).collect::<Vec<i64>>()
    };
    vec![
        ("mostly", of(&|row, code| if row % 5 == 0 { (code + row) % last } else { code })),
        ("chance", of(&|row, _| row * 7919 % 10007 % 13)),
        ("finer", of(&|row, code| code * 20 + row % 17)),
        ("coarser", of(&|_, code| code / 3)),
        ("one", of(&|_, _| 0)),
        ("each", of(&|row, _| row)),
    ]
}

#[test]
fn agreement_is_that_of_scikit_learn() {
    let golden = golden();
    let mut deviations = Deviations::default();
    for set in ["digits", "uneven"] {
        let (_, labels) = real_data(set);
        for (name, clusters) in clusterings(&labels) {
            let found = clustered(&labels, &clusters, &["clustering"]);
            let expected = golden[set]["agreement"][name].as_object().unwrap();
            assert_eq!(found.metrics.len(), expected.len());
            for (metric, expected) in expected {
                let place = || format!("{set} {name} {metric}");
                deviations.close(found.metrics[metric].unwrap(), expected.as_f64().unwrap(), 1e-12, place);
            }
            assert_eq!(found.settings.clusters.as_deref(), Some("labels.npy"));
        }
    }
    deviations.finish();
}

#[test]
fn names_of_clusters_do_not_matter() {
    let (_, labels) = real_data("uneven");
    let (_, clusters) = clusterings(&labels).swap_remove(0);
    let renamed: Vec<i64> = clusters.iter().map(|cluster| -7 * cluster).collect();
    let (found, expected) =
        (clustered(&labels, &renamed, &["clustering"]), clustered(&labels, &clusters, &["clustering"]));
    for (name, value) in &expected.metrics {
        assert!((found.metrics[name].unwrap() - value.unwrap()).abs() < 1e-14, "{name}");
    }
}

#[test]
fn a_million_rows_in_a_hundred_thousand_clusters() {
    let labels: Vec<i64> = (0..1_000_000).map(|row| row * 7919 % 1000 / 3).collect();
    let clusters: Vec<i64> = (0..1_000_000).map(|row| row * 104_729 % 100_003 * 2 / (1 + row % 3)).collect();
    let found = clustered(&labels, &clusters, &["clustering"]).metrics;
    // Drawn without regard to the labels: nothing is left once chance is taken away.
    for name in ["ami", "ari"] {
        assert!(found[name].unwrap().abs() < 0.01, "{name}: {:?}", found[name]);
    }
    assert!(found["homogeneity"].unwrap() > 0.1);
}

#[test]
fn k_means_is_as_good_as_that_of_scikit_learn() {
    let golden = golden();
    for set in ["digits", "uneven"] {
        let (values, labels) = real_data(set);
        let expected = golden[set]["inertia"].as_f64().unwrap();
        for matrix in both(&values) {
            let data = dataset(&matrix, &labels);
            let options = KMeansOptions::new(data.labels().classes(), 0);
            for precision in [Precision::F32, Precision::F64] {
                let found = k_means(&data, &options, precision, &NoProgress).unwrap();
                assert!(found.inertia < 1.005 * expected, "{set}: {} for {expected}", found.inertia);
            }
        }
    }
}

#[test]
fn k_means_finds_clusters_that_lie_apart_and_the_measures_say_so() {
    let labels: Vec<i64> = (0..300).map(|row| row % 6).collect();
    let rows = Array2::from_shape_fn((300, 4), |(row, k)| {
        let class = (row % 6) as f64;
        class * (k as f64 + 1.0) + ((row * (k + 3)) % 7) as f64 / 100.0
    });
    for (scale, offset) in [(1.0, 0.0), (1e-6, 0.0), (1e6, 1e9)] {
        let found = score(&Matrix::F64(&rows * scale + offset), &labels, None, &settings(&["clustering"])).evaluation;
        for (name, value) in &found.metrics {
            assert!((value.unwrap() - 1.0).abs() < 1e-14, "{name}: {value:?}");
        }
    }
}

#[test]
fn what_is_undefined_has_a_reason() {
    let labels: Vec<i64> = (0..12).map(|row| row % 3).collect();
    let names: Vec<&str> = RIDGE
        .into_iter()
        .chain(["linear_probe_accuracy", "few_shot_accuracy@8", "v_measure", "ami", "purity"])
        .collect();
    let same = score(&Matrix::F64(Array2::from_elem((12, 3), 0.7)), &labels, None, &settings(&names)).evaluation;
    let distances = Matrix::F64(Array2::from_shape_fn((12, 12), |(i, j)| (i as f64 - j as f64).abs()));
    let matrix = Settings { distance: Distance::Precomputed, ..settings(&names) };
    let matrix = score(&distances, &labels, None, &matrix).evaluation;
    let rows = Matrix::F64(Array2::from_shape_fn((12, 2), |(row, k)| (row * (k + 1) % 5) as f64));
    let weighted = score(&rows, &labels, Some(&[2.0; 12]), &settings(&names)).evaluation;
    for (found, reason) in [(same, "the rows do not vary"), (matrix, "a distance matrix"), (weighted, "row weights")] {
        assert!(found.metrics.values().all(Option::is_none), "{:?}", found.metrics);
        assert!(found.warnings.iter().any(|warning| warning.contains(reason)), "{:?}", found.warnings);
    }
    // A clustering that is given needs no coordinates.
    assert_eq!(clustered(&labels, &labels, &["ami"]).metrics["ami"], Some(1.0));
}

#[test]
fn all_leaves_fits_of_many_steps_out() {
    let all = Selection::all();
    assert!(
        all.contains("ridge_probe_accuracy") && !all.contains("v_measure") && !all.contains("linear_probe_macro_f1")
    );
    assert!(Selection::parse(["clustering"]).unwrap().contains("purity"));
}

#[test]
fn the_protocol_of_mteb_has_the_distribution_of_scikit_learn() {
    let golden: Value =
        serde_json::from_str(&std::fs::read_to_string(fixture("golden/clustering.json")).unwrap()).unwrap();
    for set in ["digits", "glosses1k_minilm"] {
        let (values, labels) = real_data(set);
        let matrix = Matrix::F32(values);
        let run = |seed: u64| {
            let settings = Settings { clustering: Clustering::Mteb, seed, ..settings(&["clustering"]) };
            let dataset = dataset(&matrix, &labels);
            evaluate_with(&dataset, Auxiliary::default(), &settings, &NoProgress).unwrap().evaluation
        };
        let found = run(1);
        let [mean, deviation] = ["mean", "deviation"].map(|name| golden[set][name].as_f64().unwrap());
        // Means of 10 draws and of 20 draws; the largest of a few such differences lies within 4 standard errors.
        let bound = 4.0 * deviation * (0.1_f64 + 0.05).sqrt();
        let v_measure = found.metrics["v_measure"].unwrap();
        assert!((v_measure - mean).abs() < bound, "{set}: {v_measure}, not {mean} within {bound}");
        let spread = found.metrics["v_measure_std"].unwrap();
        assert!(spread > 0.2 * deviation && spread < 3.0 * deviation, "{set}: {spread}, not about {deviation}");
        assert_eq!(found.settings.clustering, Some(Clustering::Mteb));
        assert_eq!(run(1).metrics, found.metrics);
        assert_ne!(run(2).metrics, found.metrics);
    }
    let names = evaluate_with(
        &dataset(&Matrix::F32(real_data("digits").0), &real_data("digits").1),
        Auxiliary::default(),
        &settings(&["clustering"]),
        &NoProgress,
    )
    .unwrap()
    .evaluation
    .metrics;
    assert!(names.contains_key("v_measure") && !names.contains_key("v_measure_std"));
}

#[test]
fn accuracies_have_the_intervals_of_shares_of_each_class() {
    let rows = mixture(&[60, 30, 10], 3, 1.5, &mut Random::new(5));
    let data = dataset(&Matrix::F32(rows.values), &rows.labels);
    let settings = Settings { intervals: true, terms: true, ..settings(&["probe"]) };
    let found = evaluate(&data, &settings, &NoProgress).unwrap();
    let right = |name: &str| found.terms[name].iter().map(|term| (term * 100.0).round()).collect::<Vec<f64>>();
    for name in ["ridge_probe_accuracy", "linear_probe_accuracy"] {
        let value = found.evaluation.metrics[name].unwrap();
        let right = right(name);
        assert!(right.iter().all(|&right| right == 0.0 || right == 1.0));
        assert!((right.iter().sum::<f64>() / 100.0 - value).abs() < 1e-12);
        // Of n rows of a class a share p is right: n p (1 - p) n / (n - 1), over the square of all rows.
        let variance: f64 = [0..60, 60..90, 90..100]
            .into_iter()
            .map(|class| {
                let n = class.len() as f64;
                let share = right[class].iter().sum::<f64>() / n;
                n * n / (n - 1.0) * share * (1.0 - share) / 1e4
            })
            .sum();
        let error = found.evaluation.standard_errors[name];
        assert!((error - variance.sqrt()).abs() < 1e-12, "{name}: {error} {}", variance.sqrt());
        let [low, high] = found.evaluation.intervals[name];
        assert!(
            low < value && value < high && (high - low) / error > 3.0 && (high - low) / error < 5.0,
            "{low} {high}"
        );
    }
    assert!(!found.evaluation.intervals.contains_key("ridge_probe_macro_f1"));
}

#[test]
fn intervals_of_accuracies_hold_what_other_rows_have_on_average() {
    let draws = 400;
    let results: Vec<(f64, [f64; 2])> = (0..draws)
        .into_par_iter()
        .map(|seed| {
            let rows = mixture(&[120, 80, 60], 5, 1.5, &mut Random::new(100 + seed));
            let data = dataset(&Matrix::F32(rows.values), &rows.labels);
            let settings = Settings { intervals: true, ..settings(&["ridge_probe_accuracy"]) };
            let found = evaluate(&data, &settings, &NoProgress).unwrap().evaluation;
            (found.metrics["ridge_probe_accuracy"].unwrap(), found.intervals["ridge_probe_accuracy"])
        })
        .collect();
    let mean = results.iter().map(|(value, _)| value).sum::<f64>() / f64::from(draws as u32);
    let holds = results.iter().filter(|(_, [low, high])| (*low..=*high).contains(&mean)).count();
    let share = holds as f64 / f64::from(draws as u32);
    println!("{share} of the intervals hold {mean}");
    assert!((0.92..=0.98).contains(&share), "{share} of the intervals hold {mean}");
}
