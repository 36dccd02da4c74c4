//! The families that are computed only on request against golden values from other software
//! (`fixtures/make_families.py`), and on data where they are undefined.

mod common;

use common::{Deviations, GEOMETRIC, Matrix, fixture, label_column, real_data};
use embq_core::data::{Dataset, DatasetOptions, Embeddings, LabelColumn, Origin, PairList, Trial};
use embq_core::distance::Distance;
use embq_core::evaluation::{Scored, Settings, evaluate_with};
use embq_core::metrics::{Auxiliary, Levels, METRICS, Metric, Selection};
use embq_core::progress::NoProgress;
use ndarray::{Array2, s};
use serde_json::Value;

fn dataset(matrix: &Matrix, labels: &[i64], distance: Distance) -> Dataset<'static> {
    let origin = Origin::new("embeddings.npy");
    let embeddings = match matrix {
        Matrix::F32(values) => Embeddings::from_f32(origin, values.clone()),
        Matrix::F64(values) => Embeddings::from_f64(origin, values.clone()),
    };
    Dataset::join(embeddings, &label_column(labels), distance, &DatasetOptions::default()).unwrap()
}

fn settings(distance: Distance, metrics: &[&str]) -> Settings {
    Settings {
        distance,
        metrics: Selection::parse(metrics.iter().copied()).unwrap(),
        batch_labels: true,
        rows: false,
        ..Default::default()
    }
}

/// The batches of `fixtures/make_families.py`.
fn batches(labels: &[i64]) -> LabelColumn {
    let first = *labels.iter().min().unwrap();
    let batch = |(row, &label): (usize, &i64)| match row % 7 {
        _ if label == first => 0,
        0..4 => 0,
        4..6 => 1,
        _ => 2,
    };
    label_column(&labels.iter().enumerate().map(batch).collect::<Vec<i64>>())
}

const NEW: [&str; 9] = [
    "validity",
    "retrieval",
    "verification",
    "spectrum",
    "contrastive",
    "collapse",
    "single_cell",
    "health",
    "intrinsic_dimension",
];

/// Every 37th pair of rows, as `fixtures/make_families.py` lists them.
fn trials(labels: &[i64]) -> PairList {
    let rows = labels.len();
    let pairs = (0..rows).flat_map(|row| (row + 1..rows).map(move |other| [row, other])).step_by(37);
    let trials = pairs.map(|rows| Trial { rows, is_same: labels[rows[0]] == labels[rows[1]] });
    PairList { origin: Origin::new("trials.txt"), trials: trials.collect() }
}

fn measured(dataset: &Dataset, auxiliary: Auxiliary<'_>, metrics: &[&str]) -> Scored {
    evaluate_with(dataset, auxiliary, &settings(dataset.distance(), metrics), &NoProgress).unwrap()
}

fn golden() -> Value {
    serde_json::from_str(&std::fs::read_to_string(fixture("golden/families.json")).unwrap()).unwrap()
}

/// The allowed error for float32 input, relative to the larger of the number and 1. Ranks of neighbours are those of
/// float64 distances for either input.
fn bound(name: &str, distance: Distance, matrix: &Matrix) -> f64 {
    let by_pairs = matches!(name, "uniformity" | "supcon") || name.starts_with("asw") || name == "bras";
    match (name, matrix) {
        // pytorch-metric-learning computes this mean in float32.
        ("mrr", _) => 1e-6,
        // Rows whose cosine distances differ only by rounding may swap places.
        ("map_at_r", _) if distance == Distance::Cosine => 1e-6,
        // The smallest singular values are the square roots of eigenvalues close to rounding errors.
        ("rankme" | "alpha", _) => 1e-6,
        // Distances within a step of 2^-20 of the largest count as equal. None is four times as large as the threshold.
        ("pair_auc" | "eer", _) => 1e-6,
        ("eer_threshold", _) => 4e-6,
        ("tar@1e-1" | "tar@1e-2" | "tar@1e-3" | "tar@1e-4", _) => 2e-5,
        ("d_prime", Matrix::F32(_)) => 1e-6,
        (_, Matrix::F32(_)) if by_pairs => 1e-5,
        _ => 1e-9,
    }
}

fn compare(found: &Scored, expected: &Value, matrix: &Matrix, place: &str, deviations: &mut Deviations) {
    let distance = found.evaluation.settings.distance;
    for (name, expected) in expected.as_object().unwrap() {
        let expected = expected.as_f64().unwrap();
        match found.evaluation.metrics.get(name).copied().flatten() {
            Some(found) => {
                let tolerance = bound(name, distance, matrix) * expected.abs().max(1.0);
                deviations.close(found, expected, tolerance, || format!("{place} {name}"));
            }
            None => deviations.holds(false, || format!("{place} {name} is missing: {:?}", found.evaluation.warnings)),
        }
    }
}

fn check(set: &str) {
    let (values, labels) = real_data(set);
    let batches = batches(&labels);
    let golden = golden();
    let mut deviations = Deviations::default();
    for matrix in [Matrix::F64(values.mapv(f64::from)), Matrix::F32(values.clone())] {
        for distance in GEOMETRIC {
            let place = format!("{set} {distance} {}", matrix.name());
            let auxiliary = Auxiliary { batches: Some(&batches), ..Default::default() };
            let found = measured(&dataset(&matrix, &labels, distance), auxiliary, &NEW);
            compare(&found, &golden["sets"][set][distance.name()], &matrix, &place, &mut deviations);

            let trials = trials(&labels);
            let auxiliary = Auxiliary { pairs: Some(&trials), ..Default::default() };
            let found = measured(&dataset(&matrix, &labels, distance), auxiliary, &["verification"]);
            let expected = &golden["sets"][set][format!("{distance} trials")];
            compare(&found, expected, &matrix, &format!("{place} trials"), &mut deviations);

            let half = labels.len() / 2;
            let part = |rows: std::ops::Range<usize>| match &matrix {
                Matrix::F32(values) => Matrix::F32(values.slice(s![rows, ..]).to_owned()),
                Matrix::F64(values) => Matrix::F64(values.slice(s![rows, ..]).to_owned()),
            };
            let gallery = dataset(&part(half..labels.len()), &labels[half..], distance);
            let queries = dataset(&part(0..half), &labels[..half], distance);
            let auxiliary = Auxiliary { gallery: Some(&gallery), ..Default::default() };
            let found = measured(&queries, auxiliary, &["retrieval"]);
            let expected = &golden["sets"][set][format!("{distance} gallery")];
            compare(&found, expected, &matrix, &format!("{place} gallery"), &mut deviations);
        }
    }
    deviations.finish();
}

#[test]
fn digits() {
    check("digits");
}

#[test]
fn uneven_classes_with_singletons() {
    check("uneven");
}

#[test]
fn any_number_of_threads_gives_the_same_bits() {
    let (values, labels) = real_data("uneven");
    let batches = batches(&labels);
    for distance in GEOMETRIC {
        let data = dataset(&Matrix::F32(values.clone()), &labels, distance);
        let compute = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let auxiliary = Auxiliary { batches: Some(&batches), ..Default::default() };
            pool.install(|| measured(&data, auxiliary, &["all"]).evaluation)
        };
        assert_eq!(compute(1), compute(3), "{distance}");
    }
}

#[test]
fn what_is_asked_for_does_not_change_a_number() {
    let (values, labels) = real_data("uneven");
    let batches = batches(&labels);
    let data = dataset(&Matrix::F32(values), &labels, Distance::Cosine);
    let auxiliary = Auxiliary { batches: Some(&batches), ..Default::default() };
    let all = measured(&data, auxiliary, &["all"]).evaluation.metrics;
    for metric in METRICS.iter().filter(|metric| NEW.contains(&metric.family.name)) {
        let alone = measured(&data, auxiliary, &[metric.id]).evaluation.metrics;
        let names: Vec<String> = metric.names(Levels::USUAL).collect();
        assert_eq!(alone.keys().cloned().collect::<Vec<_>>(), names);
        for name in names {
            assert_eq!(alone[&name], all[&name], "{name}");
        }
    }
}

#[test]
fn collapsed_data_is_told_and_scores_nothing() {
    let rows = Array2::from_elem((12, 3), 0.7);
    let labels: Vec<i64> = (0..12).map(|row| row % 3).collect();
    let batches = label_column(&(0..12).map(|row| row % 2).collect::<Vec<i64>>());
    let auxiliary = Auxiliary { batches: Some(&batches), ..Default::default() };
    for distance in GEOMETRIC {
        let found = measured(&dataset(&Matrix::F64(rows.clone()), &labels, distance), auxiliary, &NEW).evaluation;
        for (name, value) in &found.metrics {
            let family = Metric::named(name).unwrap().family;
            // Among coinciding rows the first ones are the nearest, which is meaningless; rankme is uncentred; health
            // does not depend on distances; all pairs tie, which is the same as chance.
            if name == "queries" || name == "rankme" || family.name == "health" {
                continue;
            }
            if family.name == "verification" && name != "d_prime" {
                let chance = match name.as_str() {
                    "eer_threshold" => Some(0.0),
                    "tar@1e-1" | "tar@1e-2" | "tar@1e-3" | "tar@1e-4" => None,
                    _ => Some(0.5),
                };
                assert_eq!(*value, chance, "{distance} {name}");
                continue;
            }
            assert_eq!(*value, None, "{distance} {name} of {family:?}");
            assert!(found.warnings.iter().any(|warning| warning.contains(name.as_str())), "{name}");
        }
    }
}

#[test]
fn classes_that_are_points_have_no_spread_to_compare() {
    let labels = [0, 0, 0, 1, 1, 1, 2, 2];
    let rows = Array2::from_shape_fn((8, 2), |(row, column)| {
        [[0.0, 1.0], [3.0, 1.0], [0.0, 9.0]][labels[row] as usize][column]
    });
    let data = dataset(&Matrix::F64(rows), &labels, Distance::Euclidean);
    let metrics = measured(&data, Auxiliary::default(), &["validity", "collapse"]).evaluation.metrics;
    for undefined in ["calinski_harabasz", "dunn"] {
        assert_eq!(metrics[undefined], None, "{undefined}");
    }
    for (name, value) in [("davies_bouldin", 0.0), ("nc1", 0.0), ("cdnv", 0.0), ("nc4", 1.0), ("ncc_accuracy", 1.0)] {
        assert_eq!(metrics[name], Some(value), "{name}");
    }
    assert_eq!(metrics["simplified_silhouette"], Some(1.0));
}

#[test]
fn the_simplified_silhouette_of_worked_examples() {
    let simplified = |rows: Array2<f64>, labels: &[i64]| {
        let data = dataset(&Matrix::F64(rows), labels, Distance::Euclidean);
        measured(&data, Auxiliary::default(), &["simplified_silhouette"]).evaluation.metrics["simplified_silhouette"]
            .unwrap()
    };
    let repeated = |values: [f64; 4], d: usize| Array2::from_shape_fn((4, d), |(row, _)| values[row]);
    assert!((simplified(repeated([1.0, 2.0, 3.0, 4.0], 2), &[1, 1, 0, 0]) - 11.0 / 15.0).abs() < 1e-15);
    assert!((simplified(repeated([0.0, 1.0, 2.0, 10.0], 3), &[0, 0, 1, 3]) - 0.8125).abs() < 1e-15);
}

#[test]
fn a_distance_matrix_has_neighbours_but_no_coordinates() {
    let (values, labels) = real_data("uneven");
    let (values, labels) = (values.slice(s![..80, ..]).mapv(f64::from), &labels[..80]);
    let matrix = common::oracle::distance_matrix(&values, Distance::Euclidean);
    let given = measured(&dataset(&Matrix::F64(matrix), labels, Distance::Precomputed), Auxiliary::default(), &NEW);
    let rows = measured(&dataset(&Matrix::F64(values), labels, Distance::Euclidean), Auxiliary::default(), &NEW);
    for (name, value) in &given.evaluation.metrics {
        let family = Metric::named(name).unwrap().family;
        let expected = rows.evaluation.metrics[name];
        if family.name == "verification" {
            let close = value.zip(expected).is_none_or(|(value, expected)| (value - expected).abs() < 1e-5);
            assert!(close && value.is_some() == expected.is_some(), "{name}: {value:?} for {expected:?}");
        } else if ["retrieval", "intrinsic_dimension"].contains(&family.name) || name == "dunn" || name == "asw_label" {
            let close = value.zip(expected).is_some_and(|(value, expected)| (value - expected).abs() < 1e-9);
            assert!(close, "{name}: {value:?} for {expected:?}");
        } else {
            assert_eq!(*value, None, "{name}");
        }
    }
}

#[test]
fn weights_have_no_form_and_that_is_told() {
    let (values, labels) = real_data("uneven");
    let matrix = Matrix::F32(values);
    let weights: Vec<f64> = (0..labels.len()).map(|row| 1.0 + (row % 3) as f64).collect();
    let settings = settings(Distance::Cosine, &["validity", "retrieval", "silhouette"]);
    let found = common::score(&matrix, &labels, Some(&weights), &settings).evaluation;
    assert!(found.metrics["silhouette"].is_some());
    for name in ["davies_bouldin", "recall@5", "mrr"] {
        assert_eq!(found.metrics[name], None);
    }
    assert!(found.warnings.iter().any(|warning| warning.contains("validity") && warning.contains("weights")));
}

#[test]
fn a_class_that_the_gallery_lacks_is_left_out() {
    let matrix =
        |rows: &[[f64; 2]]| Matrix::F64(Array2::from_shape_fn((rows.len(), 2), |(row, column)| rows[row][column]));
    let gallery = dataset(&matrix(&[[1.0, 0.0], [0.0, 1.0], [3.0, 3.0]]), &[1, 2, 2], Distance::Euclidean);
    let queries = dataset(&matrix(&[[1.0, 0.2], [9.0, 9.0], [0.9, 0.1]]), &[1, 5, 2], Distance::Euclidean);
    let auxiliary = Auxiliary { gallery: Some(&gallery), ..Default::default() };
    let settings = Settings { ks: vec![1, 2, 3, 4], ..settings(Distance::Euclidean, &["retrieval"]) };
    let found = evaluate_with(&queries, auxiliary, &settings, &NoProgress).unwrap().evaluation;
    // The first finds its class first, the last in second place; the other has none.
    for (name, value) in [
        ("queries", 2.0),
        ("precision_at_1", 0.5),
        ("mrr", 0.75),
        ("recall@1", 0.5),
        ("recall@2", 1.0),
        ("r_precision", 0.75),
        ("map_at_r", 0.625),
        ("knn_accuracy@3", 0.5),
    ] {
        assert_eq!(found.metrics[name], Some(value), "{name}");
    }
    assert_eq!(found.metrics["recall@4"], None);
    assert!(found.warnings.iter().any(|warning| warning.starts_with("1 of 3 rows")), "{:?}", found.warnings);
}

#[test]
fn the_health_of_a_hand_worked_set() {
    let rows = ndarray::array![[3.0, 4.0, 1.5], [3.0, 4.0, 1.5], [6.0, 8.0, 3.0], [0.0, -5.0, 1.5], [2.0, 2.0, 2.0]];
    let lengths = [27.25f64.sqrt(), 27.25f64.sqrt(), 109f64.sqrt(), 27.25f64.sqrt(), 12f64.sqrt()];
    let cosine = |i: usize, j: usize| rows.row(i).dot(&rows.row(j)) / (lengths[i] * lengths[j]);
    let pairs = (0..5).flat_map(|i| (0..i).map(move |j| (i, j)));
    let mean_cosine = pairs.map(|(i, j)| cosine(i, j)).sum::<f64>() / 10.0;
    let mean = lengths.iter().sum::<f64>() / 5.0;
    let variance = lengths.iter().map(|length| (length - mean).powi(2)).sum::<f64>() / 5.0;
    for distance in GEOMETRIC {
        let data = dataset(&Matrix::F64(rows.clone()), &[0, 0, 1, 1, 2], distance);
        let metrics = measured(&data, Auxiliary::default(), &["health"]).evaluation.metrics;
        for (name, expected) in [
            ("norm_mean", mean),
            ("norm_std", variance.sqrt()),
            ("norm_min", 12f64.sqrt()),
            ("norm_max", 109f64.sqrt()),
            ("mean_cosine", mean_cosine),
            ("dead_dimensions", 0.0),
            ("constant_rows", 1.0),
            ("duplicate_share", 0.4),
            ("near_duplicate_share", 0.6),
        ] {
            let found = metrics[name].unwrap();
            assert!((found - expected).abs() < 1e-14, "{distance} {name}: {found} for {expected}");
        }
    }
}

#[test]
fn zero_vectors_have_lengths_but_no_directions() {
    let rows = ndarray::array![[0.0, 0.0], [3.0, 4.0], [-0.0, 0.0], [4.0, 3.0]];
    let data = dataset(&Matrix::F64(rows), &[0, 0, 1, 1], Distance::Euclidean);
    let found = measured(&data, Auxiliary::default(), &["health"]).evaluation;
    assert_eq!((found.metrics["norm_min"], found.metrics["duplicate_share"]), (Some(0.0), Some(0.5)));
    for name in ["mean_cosine", "near_duplicate_share"] {
        assert_eq!(found.metrics[name], None);
        assert!(found.warnings.iter().any(|warning| warning.starts_with(name) && warning.contains("zero vectors")));
    }
}

#[test]
fn collapsed_rows_are_one_row_many_times() {
    let data = dataset(&Matrix::F32(Array2::from_elem((12, 3), 0.7)), &[0; 12], Distance::Cosine);
    let metrics = measured(&data, Auxiliary::default(), &["health"]).evaluation.metrics;
    for (name, value) in [
        ("norm_std", 0.0),
        ("dead_dimensions", 3.0),
        ("constant_rows", 12.0),
        ("duplicate_share", 1.0),
        ("near_duplicate_share", 1.0),
    ] {
        assert_eq!(metrics[name], Some(value), "{name}");
    }
    assert!((metrics["mean_cosine"].unwrap() - 1.0).abs() < 1e-14);
}

#[test]
fn pairs_of_excluded_rows_are_left_out_of_a_list() {
    let rows = ndarray::array![[0.0], [1.0], [f64::NAN], [5.0], [7.0]];
    let labels = label_column(&[0, 0, 0, 1, 1]);
    let embeddings = Embeddings::from_f64(Origin::new("rows"), rows);
    let mut options = DatasetOptions::default();
    options.choice.drop_invalid = true;
    let data = Dataset::join(embeddings, &labels, Distance::Euclidean, &options).unwrap();
    let trial = |rows, is_same| Trial { rows, is_same };
    let trials = vec![trial([0, 1], true), trial([4, 3], true), trial([0, 3], false), trial([1, 2], true)];
    let list = PairList { origin: Origin::new("trials.txt"), trials };
    let found = measured(&data, Auxiliary { pairs: Some(&list), ..Default::default() }, &["verification"]).evaluation;
    // Distances 1 and 2 within, 5 between.
    assert_eq!((found.metrics["pair_auc"], found.metrics["eer"]), (Some(1.0), Some(0.0)));
    assert_eq!(found.metrics["d_prime"], Some(3.5 / 0.125f64.sqrt()));
    assert_eq!(found.settings.pairs.as_deref(), Some("trials.txt"));
    assert!(found.warnings.iter().any(|warning| warning.starts_with("1 of 4 pairs of trials.txt")), "{found:?}");

    let list = PairList { trials: vec![trial([0, 5], true)], ..list };
    let auxiliary = Auxiliary { pairs: Some(&list), ..Default::default() };
    let error = evaluate_with(&data, auxiliary, &settings(Distance::Euclidean, &["verification"]), &NoProgress);
    assert!(error.unwrap_err().to_string().contains("it names row 5, but rows has 5 rows"));
}

#[test]
fn rows_that_coincide_are_left_out_of_the_dimension() {
    let mut values = common::random::Random::new(5).normals(400, 3);
    for row in 0..20 {
        let twin = values.row(row + 200).to_owned();
        values.row_mut(row).assign(&twin);
    }
    let data = dataset(&Matrix::F64(values), &[0; 400], Distance::Euclidean);
    let found = measured(&data, Auxiliary::default(), &["intrinsic_dimension"]).evaluation;
    assert_eq!(found.metrics.keys().collect::<Vec<_>>(), ["twonn", "mle_dimension@5", "mle_dimension@10"]);
    for (name, value) in &found.metrics {
        assert!((2.0..4.0).contains(&value.unwrap()), "{name}: {value:?}");
    }
    assert!(found.warnings.iter().any(|warning| warning.starts_with("40 of 400 rows lie at distance 0")));
}
