//! Drift against golden values of other software (`fixtures/make_drift.py`), on data whose truth is known, and on data
//! where numbers are undefined.

mod common;

use common::random::Random;
use common::{Deviations, fixture, label_column, real_data};
use embq_core::data::{Embeddings, Origin, RowChoice};
use embq_core::drift::{DRIFT_METRICS, DriftResult, DriftSet, DriftSettings, DriftVerdict, drift};
use embq_core::error::Error;
use embq_core::progress::{CancelFlag, NoProgress};
use ndarray::{Array2, s};
use serde_json::Value;

fn set(values: &Array2<f64>, single: bool, labels: Option<&[i64]>) -> DriftSet<'static> {
    let origin = Origin::new("rows.npy");
    let embeddings = if single {
        Embeddings::from_f32(origin, values.mapv(|value| value as f32))
    } else {
        Embeddings::from_f64(origin, values.clone())
    };
    match labels {
        Some(labels) => DriftSet::labelled(embeddings, &label_column(labels), &RowChoice::default()).unwrap(),
        None => DriftSet::unlabelled(embeddings).unwrap(),
    }
}

fn compared(reference: &Array2<f64>, current: &Array2<f64>, settings: &DriftSettings) -> DriftResult {
    drift(&set(reference, false, None), &set(current, false, None), settings, &NoProgress).unwrap()
}

fn rows_of(folder: &str, file: &str) -> Array2<f64> {
    let rows: Array2<f32> = ndarray_npy::read_npy(fixture(folder).join(file)).unwrap();
    rows.mapv(f64::from)
}

/// The sets of `fixtures/make_drift.py`.
fn golden_sets() -> Vec<(&'static str, Array2<f64>, Array2<f64>)> {
    let digits = rows_of("digits", "embeddings.npy");
    let (before, after) = (rows_of("fashion_ckpt_2k", "epoch01.npy"), rows_of("fashion_ckpt_2k", "epoch10.npy"));
    let glosses = rows_of("glosses1k_minilm", "embeddings.npy");
    let part = |rows: &Array2<f64>, range: std::ops::Range<usize>| rows.slice(s![range, ..]).to_owned();
    vec![
        ("digits_halves", part(&digits, 0..900), part(&digits, 900..digits.nrows())),
        ("fashion_epochs", part(&before, 0..500), part(&after, 500..900)),
        ("glosses_moved", part(&glosses, 0..500), part(&glosses, 500..glosses.nrows()) + 0.02),
    ]
}

#[test]
fn numbers_are_those_of_other_software() {
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(fixture("golden/drift.json")).unwrap()).unwrap();
    let settings = DriftSettings { permutations: 0, ..DriftSettings::default() };
    let mut deviations = Deviations::default();
    let mut checked = 0;
    for (name, reference, current) in golden_sets() {
        let expected = golden[name].as_object().unwrap();
        for single in [false, true] {
            let sets = [&reference, &current].map(|rows| set(rows, single, None));
            let found = drift(&sets[0], &sets[1], &settings, &NoProgress).unwrap();
            for (id, expected) in expected.iter().filter(|(id, _)| *id != "psi") {
                let expected = expected.as_f64().unwrap();
                let ours = match id.as_str() {
                    "bandwidth" => found.settings.bandwidth.unwrap(),
                    id => found.metric(id).unwrap_or_else(|| panic!("{id} of {name}: {:?}", found.warnings)),
                };
                // Of moved glosses, float32 rounds the rows themselves.
                let tolerance = match (id.as_str(), single) {
                    ("precision" | "recall" | "density" | "coverage", _) if !(single && name == "glosses_moved") => {
                        1e-9
                    }
                    ("precision" | "recall" | "density" | "coverage", _) => 5e-3,
                    ("frechet_distance", _) => 1e-6 * expected.abs(),
                    ("domain_auc", false) => 1e-9,
                    ("domain_auc", true) => 1e-4,
                    (_, false) => 1e-9 * expected.abs().max(1e-3),
                    (_, true) => 1e-5 * expected.abs().max(1.0),
                };
                deviations.close(ours, expected, tolerance, || format!("{id} of {name}, float32: {single}"));
                checked += 1;
            }
        }
    }
    assert!(checked > 60, "{checked}");
    deviations.finish();
}

#[test]
fn class_shares_are_compared_where_both_sets_have_labels() {
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(fixture("golden/drift.json")).unwrap()).unwrap();
    let (_, labels) = real_data("digits");
    let (_, reference, current) = golden_sets().swap_remove(0);
    let sets = [set(&reference, true, Some(&labels[..900])), set(&current, true, Some(&labels[900..]))];
    let settings = DriftSettings { permutations: 99, ..DriftSettings::default() };
    let found = drift(&sets[0], &sets[1], &settings, &NoProgress).unwrap();
    let psi = golden["digits_halves"]["psi"].as_f64().unwrap();
    assert!((found.metric("psi").unwrap() - psi).abs() < 1e-12);
    assert_eq!(found.classes.len(), 10);
    assert!((found.classes.iter().map(|class| class.psi.unwrap()).sum::<f64>() - psi).abs() < 1e-12);
    let class = &found.classes[3];
    let of_class = |rows: &Array2<f64>, labels: &[i64]| {
        let chosen: Vec<usize> = (0..rows.nrows()).filter(|&row| labels[row] == 3).collect();
        rows.select(ndarray::Axis(0), &chosen)
    };
    let own = [of_class(&reference, &labels[..900]), of_class(&current, &labels[900..])];
    assert_eq!([class.reference_count, class.current_count], [own[0].nrows(), own[1].nrows()]);
    let alone = compared(&own[0], &own[1], &settings);
    for (id, value) in [("mean_shift", class.mean_shift), ("energy_distance", class.energy_distance)] {
        assert!((value.unwrap() - alone.metric(id).unwrap()).abs() < 1e-6, "{id}");
    }
    let frechet = class.frechet_distance.unwrap();
    assert!((frechet / alone.metric("frechet_distance").unwrap() - 1.0).abs() < 1e-9);
    let tests: Vec<_> = found.classes.iter().map(|class| class.test.unwrap()).collect();
    assert!(tests.iter().all(|test| test.adjusted_p_value >= test.p_value));
    // Without labels of one of them there is nothing to compare by class.
    let found = drift(&sets[0], &set(&current, true, None), &settings, &NoProgress).unwrap();
    assert!(found.classes.is_empty() && !found.metrics.contains_key("psi"));
}

#[test]
fn a_class_that_moves_is_found_and_the_others_are_not() {
    let mut random = Random::new(5);
    let labels: Vec<i64> = (0..240).map(|row| row % 4).collect();
    let reference = random.normals(240, 6);
    let mut current = random.normals(240, 6);
    for (row, _) in labels.iter().enumerate().filter(|(_, label)| **label == 2) {
        current.row_mut(row).mapv_inplace(|value| value + 1.0);
    }
    // A class of one file alone has shares and nothing else.
    let mut other = labels.clone();
    other[0] = 9;
    let sets = [set(&reference, false, Some(&labels)), set(&current, false, Some(&other))];
    let found = drift(&sets[0], &sets[1], &DriftSettings::default(), &NoProgress).unwrap();
    let drifted: Vec<&str> = found
        .classes
        .iter()
        .filter(|class| class.test.is_some_and(|test| test.verdict == DriftVerdict::Drift))
        .map(|class| class.label.as_str())
        .collect();
    assert_eq!(drifted, ["2"]);
    let alone = found.classes.last().unwrap();
    assert_eq!((alone.label.as_str(), alone.reference_count, alone.current_count), ("9", 0, 1));
    assert!(alone.mean_shift.is_none() && alone.test.is_none() && alone.psi.unwrap() > 0.0);
}

#[test]
fn sets_that_differ_have_a_verdict_and_equal_ones_have_not() {
    let mut random = Random::new(11);
    let [first, second] = [random.normals(150, 8), random.normals(150, 8)];
    let same = compared(&first, &second, &DriftSettings::default());
    assert_eq!(same.verdict, Some(DriftVerdict::NoDriftShown), "{:?}", same.tests);
    let moved = compared(&first, &(&second + 0.4), &DriftSettings::default());
    assert_eq!(moved.verdict, Some(DriftVerdict::Drift));
    assert_eq!(moved.tests.len(), 2);
    for test in moved.tests.values() {
        assert!(test.p_value <= test.adjusted_p_value && test.verdict == DriftVerdict::Drift);
    }
    assert_eq!(moved.metric("p_value"), Some(moved.tests["mmd_rbf"].adjusted_p_value));
    assert!(moved.metric("domain_auc").unwrap() > 0.7 && moved.metric("mean_shift").unwrap() > 0.3);
}

#[test]
fn the_interval_holds_the_mean_of_other_draws() {
    let draw = |seed: u64| {
        let mut random = Random::new(seed);
        let reference = random.normals(200, 5);
        (reference, random.normals(200, 5) * 1.3 + 0.5)
    };
    let metrics = DriftSettings::parse_metrics(["frechet_distance"]).unwrap();
    let settings = DriftSettings { metrics, ..DriftSettings::default() };
    let results: Vec<DriftResult> = (0..200)
        .map(|seed| {
            let (reference, current) = draw(1 + 7_919 * seed);
            compared(&reference, &current, &settings)
        })
        .collect();
    let value = |result: &DriftResult| result.metric("frechet_distance").unwrap();
    let mean = results.iter().map(value).sum::<f64>() / 200.0;
    let held = results.iter().filter(|result| {
        let [low, high] = result.intervals["frechet_distance"];
        (low..=high).contains(&mean)
    });
    let held = held.count();
    // 95 % of 200 are 190, give or take 3.
    assert!((180..=198).contains(&held), "{held}");
}

#[test]
fn statistics_take_the_place_of_rows() {
    let (_, reference, current) = golden_sets().swap_remove(1);
    let settings = DriftSettings { permutations: 0, ..DriftSettings::default() };
    let whole = compared(&reference, &current, &settings);
    let rows = reference.nrows() as f64;
    let mean = reference.mean_axis(ndarray::Axis(0)).unwrap();
    let centred = &reference - &mean;
    let covariance = centred.t().dot(&centred) / (rows - 1.0);
    let statistics = DriftSet::statistics(Origin::new("s.npz"), mean.to_vec(), covariance).unwrap();
    let found = drift(&statistics, &set(&current, false, None), &settings, &NoProgress).unwrap();
    for id in ["frechet_distance", "mean_shift"] {
        let [ours, expected] = [&found, &whole].map(|result| result.metric(id).unwrap());
        assert!((ours / expected - 1.0).abs() < 1e-10, "{id}");
    }
    assert_eq!(found.reference.rows, None);
    assert!(found.intervals.is_empty() && found.verdict.is_none());
    for id in ["kid", "precision", "domain_auc", "norm_shift"] {
        assert_eq!(found.metrics[id], None);
        assert!(found.warnings.iter().any(|warning| warning.starts_with(&format!("{id} is undefined: "))));
    }
}

#[test]
fn numbers_are_within_their_ranges_and_the_same_on_any_number_of_threads() {
    let (_, reference, current) = golden_sets().swap_remove(2);
    let settings = DriftSettings { permutations: 40, subset: Some(300), ..DriftSettings::default() };
    let sets = [&reference, &current].map(|rows| set(rows, true, None));
    let compute = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| drift(&sets[0], &sets[1], &settings, &NoProgress).unwrap())
    };
    let found = compute(1);
    assert_eq!(found, compute(3));
    for metric in &DRIFT_METRICS {
        let Some(value) = found.metric(metric.id) else { continue };
        let (low, high) = match metric.range {
            "[0, 1]" => (0.0, 1.0),
            "[0, inf)" => (0.0, f64::INFINITY),
            "[-1, inf)" => (-1.0, f64::INFINITY),
            "(-inf, inf)" => (f64::NEG_INFINITY, f64::INFINITY),
            other => panic!("{other}"),
        };
        assert!((low..=high).contains(&value), "{}: {value}", metric.id);
    }
    // Half of the numbers change with the rows that are drawn, and those of all rows do not.
    let other = DriftSettings { seed: 1, ..settings };
    let other = drift(&sets[0], &sets[1], &other, &NoProgress).unwrap();
    assert_ne!(other.metric("kid"), found.metric("kid"));
    assert!((other.metric("frechet_distance").unwrap() / found.metric("frechet_distance").unwrap() - 1.0).abs() < 1e-9);
}

#[test]
fn what_is_not_selected_is_not_computed() {
    let (_, reference, current) = golden_sets().swap_remove(1);
    let metrics = DriftSettings::parse_metrics(["mean_shift", "coverage"]).unwrap();
    let found = compared(&reference, &current, &DriftSettings { metrics, ..DriftSettings::default() });
    assert_eq!(found.metrics.keys().collect::<Vec<_>>(), ["coverage", "mean_shift"]);
    assert!(found.tests.is_empty() && found.verdict.is_none());
}

#[test]
fn bad_sets_are_refused() {
    let narrow = set(&Array2::zeros((3, 2)), false, None);
    let wide = set(&Array2::zeros((3, 4)), false, None);
    let error = drift(&narrow, &wide, &DriftSettings::default(), &NoProgress).unwrap_err();
    assert!(error.to_string().contains("2 dimensions"), "{error}");
    let mut values = Array2::zeros((3, 2));
    values[[1, 1]] = f64::NAN;
    let error = drift(&narrow, &set(&values, false, None), &DriftSettings::default(), &NoProgress).unwrap_err();
    assert!(matches!(error, Error::NonFinite { row: 1, column: 1, .. }), "{error}");
    assert!(DriftSet::unlabelled(Embeddings::from_f64(Origin::new("none.npy"), Array2::zeros((0, 2)))).is_err());
    let flag = CancelFlag::default();
    flag.cancel();
    let error = drift(&narrow, &narrow, &DriftSettings::default(), &flag).unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error}");
}

#[test]
fn degenerate_sets_have_reasons_and_no_nan() {
    let settings = DriftSettings { permutations: 20, ..DriftSettings::default() };
    // Rows that are all the same, and a single one.
    let same = Array2::from_elem((8, 3), 0.1);
    let found = compared(&same, &same, &settings);
    assert_eq!(found.metric("energy_distance"), Some(0.0));
    assert!(found.metric("frechet_distance").unwrap() < 1e-20);
    assert_eq!(found.metric("mean_shift"), Some(0.0));
    assert!(found.warnings.iter().any(|warning| warning.starts_with("mmd_rbf is undefined: ")));
    let single = Array2::from_elem((1, 3), 0.1);
    let found = compared(&single, &same, &settings);
    for id in ["frechet_distance", "kid", "precision", "domain_auc"] {
        assert_eq!(found.metrics[id], None, "{id}");
    }
    assert_eq!(found.verdict, None);
}
