//! Golden values from scikit-learn and from the definitions in plain NumPy (`fixtures/make_golden.py`), row by row, and
//! two sets small enough to work out by hand.

mod common;

use common::oracle::distance_matrix;
use common::{
    Deviations, GEOMETRIC, Matrix, SOFT_FORMS, distinct, fixture, label_column, real_data, score, settings, silhouettes,
};
use embq_core::distance::Distance;
use embq_core::evaluation::{Scored, Settings};
use embq_core::metrics::{Levels, SmoothMaximum, SoftMinimum};
use ndarray::{Array2, array};
use serde_json::Value;

/// The golden values of one set for one distance.
struct Golden {
    columns: Vec<String>,
    rows: Array2<f64>,
    matrix: Array2<f64>,
    temperatures: Vec<f64>,
    overall: Value,
    classes: Vec<Value>,
}

impl Golden {
    fn read(set: &str, distance: Distance) -> Self {
        let folder = fixture("golden").join(set).join(distance.name());
        let text = std::fs::read_to_string(folder.join("golden.json")).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        let list = |key: &str| document[key].as_array().unwrap().clone();
        Golden {
            columns: list("columns").iter().map(|name| name.as_str().unwrap().to_owned()).collect(),
            rows: ndarray_npy::read_npy(folder.join("rows.npy")).unwrap(),
            matrix: ndarray_npy::read_npy(folder.join("matrix.npy")).unwrap(),
            temperatures: list("temperatures").iter().map(|tau| tau.as_f64().unwrap()).collect(),
            overall: document["overall"].clone(),
            classes: list("classes"),
        }
    }

    fn column(&self, name: &str) -> Vec<f64> {
        let position = self.columns.iter().position(|column| column == name).unwrap();
        self.rows.column(position).to_vec()
    }

    fn soft(&self, (softmin, softmax): (SoftMinimum, SmoothMaximum), temperature: usize) -> Vec<f64> {
        let softmin = match softmin {
            SoftMinimum::Weighted => "weighted",
            SoftMinimum::Lse => "lse",
            SoftMinimum::Hard => "hard",
            SoftMinimum::Mean => "mean",
        };
        let softmax = match softmax {
            SmoothMaximum::Lse => "lse",
            SmoothMaximum::Hard => "hard",
        };
        self.column(&format!("soft_{softmin}_{softmax}_{temperature}"))
    }
}

/// One set in one precision for one distance.
struct Case<'a> {
    set: &'a str,
    matrix: &'a Matrix,
    labels: &'a [i64],
    weights: Option<&'a [f64]>,
    distance: Distance,
}

impl Case<'_> {
    fn name(&self) -> String {
        format!("{} {} {}", self.set, self.distance, self.matrix.name())
    }

    fn check(&self, deviations: &mut Deviations) {
        let golden = Golden::read(self.set, self.distance);
        let everything = Settings { matrix: true, ..settings(self.distance) };
        let scored = score(self.matrix, self.labels, self.weights, &everything);
        self.check_rows(&golden, &scored, deviations);
        self.check_classes(&golden, &scored, deviations);
        self.check_overall(&golden, &scored, deviations);
        self.check_matrix(&golden, &scored, deviations);
        let bound = self.matrix.row_bound(self.distance);
        for (number, &temperature) in golden.temperatures.iter().enumerate() {
            for form in SOFT_FORMS {
                let scored =
                    score(self.matrix, self.labels, self.weights, &silhouettes(self.distance, form, temperature));
                deviations.rows_close(&scored.rows.soft_silhouette, &golden.soft(form, number), bound, || {
                    format!("{} soft silhouette {form:?} at {temperature}", self.name())
                });
            }
        }
    }

    fn check_rows(&self, golden: &Golden, scored: &Scored, deviations: &mut Deviations) {
        let bound = self.matrix.row_bound(self.distance);
        let silhouette = golden.column("silhouette");
        deviations.rows_close(&scored.rows.silhouette, &silhouette, bound, || format!("{} silhouette", self.name()));
        let (a, b) = (golden.column("a"), golden.column("b"));
        let (nearest, second_b) = (golden.column("nearest_other"), golden.column("second_b"));
        let relative = self.matrix.statistic_bound();
        for row in 0..b.len() {
            let scale = a[row].max(b[row]);
            let place = |what: &str| format!("{} {what} of row {row}", self.name());
            match scored.rows.a[row] {
                Some(ours) => deviations.close(ours, a[row], relative * scale, || place("a")),
                None => deviations.holds(a[row].is_nan(), || place("missing a")),
            }
            deviations.close(scored.rows.b[row], b[row], relative * scale, || place("b"));
            let tied = second_b[row] - b[row] <= bound * scale;
            let same = f64::from(scored.rows.nearest_other[row]) == nearest[row];
            deviations.holds(same || tied, || place("nearest other class"));
        }
    }

    fn check_classes(&self, golden: &Golden, scored: &Scored, deviations: &mut Deviations) {
        let names = distinct(self.labels);
        assert_eq!(scored.evaluation.classes.len(), golden.classes.len());
        for (code, (ours, expected)) in scored.evaluation.classes.iter().zip(&golden.classes).enumerate() {
            assert_eq!(ours.label, names[code].to_string());
            for (metric, value) in expected.as_object().unwrap() {
                let place = || format!("{} {metric} of class {code}", self.name());
                if metric == "nearest_class" {
                    let nearest = names[value.as_u64().unwrap() as usize].to_string();
                    deviations.holds(ours.nearest_class.as_ref() == Some(&nearest), place);
                    continue;
                }
                let ours = ours.value(metric).expect("a known metric");
                let scale = self.scale(metric, value, expected);
                self.check_number(ours, value, scale, deviations, place);
            }
        }
    }

    fn check_overall(&self, golden: &Golden, scored: &Scored, deviations: &mut Deviations) {
        for (metric, value) in golden.overall.as_object().unwrap() {
            let place = || format!("{} overall {metric}", self.name());
            let Some(&ours) = scored.evaluation.metrics.get(metric) else {
                deviations.holds(false, || format!("{} is missing", place()));
                continue;
            };
            let scale = self.scale(metric, value, &golden.overall);
            self.check_number(ours, value, scale, deviations, place);
        }
    }

    /// The reference for the error of a number: the number itself, unless it is a difference.
    fn scale(&self, metric: &str, value: &Value, beside: &Value) -> f64 {
        let (name, suffix) = match metric.strip_suffix("_macro") {
            Some(name) => (name, "_macro"),
            None => (metric, ""),
        };
        let of = |other: &str| beside[format!("{other}{suffix}")].as_f64().unwrap_or(1.0);
        match name {
            "silhouette" | "soft_silhouette" | "soft_silhouette_loss" => 1.0,
            "margin" => of("separation"),
            "a_std" => of("intra_mean"),
            _ => value.as_f64().unwrap_or(0.0).abs(),
        }
    }

    fn check_number(
        &self,
        ours: Option<f64>,
        expected: &Value,
        scale: f64,
        deviations: &mut Deviations,
        place: impl Fn() -> String,
    ) {
        match (ours, expected.as_f64()) {
            (Some(ours), Some(expected)) => {
                deviations.close(ours, expected, self.matrix.statistic_bound() * scale, place)
            }
            (None, None) => {}
            (ours, expected) => deviations.holds(false, || format!("{}: {ours:?}, expected {expected:?}", place())),
        }
    }

    fn check_matrix(&self, golden: &Golden, scored: &Scored, deviations: &mut Deviations) {
        let matrix = scored.matrix.as_ref().expect("it was requested");
        assert_eq!(matrix.dim(), golden.matrix.dim());
        for ((cell, ours), &expected) in matrix.indexed_iter().zip(&golden.matrix) {
            let place = || format!("{} class distance {cell:?}", self.name());
            match ours {
                Some(ours) => deviations.close(*ours, expected, self.matrix.statistic_bound() * expected, place),
                None => deviations.holds(expected.is_nan(), place),
            }
        }
    }
}

/// A set of float32 values: read as float32, and widened to float64, where tighter bounds hold.
fn check_set(set: &str, distances: &[Distance]) {
    let (values, labels) = real_data(set);
    let mut deviations = Deviations::default();
    for matrix in [Matrix::F64(values.mapv(f64::from)), Matrix::F32(values)] {
        for &distance in distances {
            Case { set, matrix: &matrix, labels: &labels, weights: None, distance }.check(&mut deviations);
        }
    }
    deviations.finish();
}

#[test]
fn digits_by_closed_forms() {
    check_set("digits", &[Distance::Cosine, Distance::SqEuclidean]);
}

#[test]
fn digits_by_pairs() {
    check_set("digits", &[Distance::Euclidean, Distance::Manhattan]);
}

#[test]
fn text_embeddings() {
    check_set("glosses1k_minilm", &GEOMETRIC);
}

#[test]
fn uneven_classes_with_singletons() {
    check_set("uneven", &GEOMETRIC);
}

#[test]
fn values_that_only_float64_holds() {
    let (values, labels) = real_data("uneven");
    let mut values = values.mapv(f64::from);
    for ((row, column), value) in values.indexed_iter_mut() {
        *value += ((row * 31 + column * 17) % 101) as f64 * 1e-7;
    }
    let matrix = Matrix::F64(values);
    let mut deviations = Deviations::default();
    for distance in GEOMETRIC {
        Case { set: "uneven_f64", matrix: &matrix, labels: &labels, weights: None, distance }.check(&mut deviations);
    }
    deviations.finish();
}

#[test]
fn row_weights() {
    let (values, labels) = real_data("uneven");
    let weights: Vec<f64> = (0..labels.len()).map(|row| 0.25 + ((row * 29) % 64) as f64 * 0.25).collect();
    let mut deviations = Deviations::default();
    for matrix in [Matrix::F64(values.mapv(f64::from)), Matrix::F32(values)] {
        for distance in GEOMETRIC {
            Case { set: "uneven_weighted", matrix: &matrix, labels: &labels, weights: Some(&weights), distance }
                .check(&mut deviations);
        }
    }
    deviations.finish();
}

#[test]
fn a_precomputed_matrix() {
    let (values, labels) = real_data("uneven");
    let distances = distance_matrix(&values.mapv(f64::from), Distance::Euclidean);
    let mut deviations = Deviations::default();
    for matrix in [Matrix::F64(distances.clone()), Matrix::F32(distances.mapv(|d| d as f32))] {
        Case { set: "uneven", matrix: &matrix, labels: &labels, weights: None, distance: Distance::Precomputed }
            .check(&mut deviations);
    }
    deviations.finish();
}

#[test]
fn the_classes_that_rows_are_confused_with() {
    let (values, labels) = real_data("digits");
    let golden = Golden::read("digits", Distance::Euclidean);
    let scored = score(&Matrix::F32(values), &labels, None, &settings(Distance::Euclidean));
    let (silhouette, nearest) = (golden.column("silhouette"), golden.column("nearest_other"));
    for (code, class) in scored.evaluation.classes.iter().enumerate() {
        let share = |other: usize| {
            let confused = (0..labels.len())
                .filter(|&row| labels[row] == code as i64 && silhouette[row] < 0.0 && nearest[row] == other as f64)
                .count();
            confused as f64 / class.count as f64
        };
        for confusion in &class.confused_with {
            let other: usize = confusion.label.parse().unwrap();
            assert!((confusion.share - share(other)).abs() < 1e-12, "class {code}: {confusion:?}");
        }
        let largest = (0..10).map(share).fold(0.0, f64::max);
        let first = class.confused_with.first().map_or(0.0, |confusion| confusion.share);
        assert!((first - largest).abs() < 1e-12, "class {code} begins with {first}");
        assert!(class.confused_with.is_sorted_by(|left, right| left.share >= right.share));
    }
}

/// Four rows on a line, two and two.
fn set_a() -> (Array2<f64>, Vec<i64>) {
    (array![[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0]], vec![1, 1, 0, 0])
}

/// Two rows of one class and two singletons; label 2 is not used.
fn set_b() -> (Array2<f64>, Vec<i64>) {
    let at = [0.0, 1.0, 2.0, 10.0];
    (Array2::from_shape_fn((4, 3), |(row, _)| at[row]), vec![0, 0, 1, 3])
}

fn both_precisions(values: Array2<f64>) -> [Matrix; 2] {
    [Matrix::F32(values.mapv(|value| value as f32)), Matrix::F64(values)]
}

fn assert_rows(scored: &Scored, expected: &[f64], matrix: &Matrix, distance: Distance) {
    let bound = match matrix {
        Matrix::F64(_) => 1e-12,
        Matrix::F32(_) => matrix.row_bound(distance),
    };
    let mut deviations = Deviations::default();
    deviations.rows_close(&scored.rows.silhouette, expected, bound, || distance.name().to_owned());
    let mean = expected.iter().sum::<f64>() / expected.len() as f64;
    let ours = scored.evaluation.metrics["silhouette"].expect("defined");
    deviations.close(ours, mean, bound, || format!("mean {distance}"));
    deviations.finish();
}

#[test]
fn set_a_by_hand() {
    let (values, labels) = set_a();
    let third = 1.0 / 3.0;
    for matrix in both_precisions(values) {
        for (distance, rows) in [
            (Distance::Euclidean, [0.6, third, third, 0.6]),
            (Distance::Manhattan, [0.6, third, third, 0.6]),
            (Distance::SqEuclidean, [11.0 / 13.0, 0.6, 0.6, 11.0 / 13.0]),
            // All rows point the same way, so every distance is 0.
            (Distance::Cosine, [0.0; 4]),
        ] {
            let scored = score(&matrix, &labels, None, &settings(distance));
            assert_rows(&scored, &rows, &matrix, distance);
        }
        // Any scatter under cosine is rounding error.
        let cosine = score(&matrix, &labels, None, &settings(Distance::Cosine)).evaluation;
        assert_eq!(cosine.metrics["fisher_ratio"], None);
        assert_eq!(cosine.metrics["radius_max"], Some(0.0));
    }
}

#[test]
fn class_statistics_of_set_a_by_hand() {
    let (values, labels) = set_a();
    let root = 2f64.sqrt();
    for matrix in both_precisions(values) {
        let scored = score(&matrix, &labels, None, &settings(Distance::Euclidean));
        let class = &scored.evaluation.classes[0];
        assert_eq!((class.label.as_str(), class.nearest_class.as_deref()), ("0", Some("1")));
        for (metric, expected) in [
            ("intra_mean", root),
            ("a_std", 0.0),
            ("radius_mean", root / 2.0),
            ("radius_max", root / 2.0),
            ("variance", 0.5),
            ("separation", 2.0 * root),
            ("centroid_separation", 2.0 * root),
            ("margin", root),
            ("ratio", 0.5),
            ("negative_share", 0.0),
        ] {
            let ours = class.value(metric).unwrap().unwrap();
            assert!((ours - expected).abs() < 1e-7, "{metric}: {ours}");
        }
        // The class means are at distance 1 from the overall mean in both dimensions, the rows at 1/2 from their class
        // mean.
        let overall = &scored.evaluation.metrics;
        assert!((overall["fisher_ratio"].unwrap() - 4.0).abs() < 1e-12);
        assert_eq!(overall["effective_competitors"], Some(1.0));
    }
}

#[test]
fn the_soft_silhouette_of_set_a_by_hand() {
    let (values, labels) = set_a();
    let (a, b, tau) = (2.0f64, 13.0f64, 3.0f64);
    let smooth = tau * ((a / tau).exp() + (b / tau).exp()).ln();
    for matrix in both_precisions(values) {
        for (form, expected) in [
            (SOFT_FORMS[0], (b - a) / smooth),
            (SOFT_FORMS[1], (b - a) / b),
            (SOFT_FORMS[2], (b - a) / smooth),
            (SOFT_FORMS[3], (b - a) / b),
        ] {
            let scored = score(&matrix, &labels, None, &silhouettes(Distance::SqEuclidean, form, tau));
            let ours = scored.rows.soft_silhouette[0];
            assert!((ours - expected).abs() < 1e-12, "{form:?}: {ours}");
        }
    }
}

#[test]
fn set_b_by_hand() {
    let (values, labels) = set_b();
    for matrix in both_precisions(values) {
        for (distance, first) in [(Distance::Euclidean, 0.5), (Distance::Manhattan, 0.5), (Distance::SqEuclidean, 0.75)]
        {
            let scored = score(&matrix, &labels, None, &settings(distance));
            assert_rows(&scored, &[first, 0.0, 0.0, 0.0], &matrix, distance);
            assert_eq!(scored.evaluation.class_count(), 3, "no class for the unused label");
            assert_eq!(scored.evaluation.labels.as_ref().unwrap().singletons, 2);
            assert_eq!(scored.rows.a[2], None);
            let alone = &scored.evaluation.classes[2];
            assert_eq!((alone.intra_mean, alone.a_std, alone.margin), (None, None, None));
            assert_eq!(alone.silhouette, Some(0.0));
            assert_eq!(alone.nearest_class.as_deref(), Some("1"));
            assert_eq!(scored.evaluation.undefined_classes.get("intra_mean"), Some(&2));
        }
        let refused = common::score_column(&matrix, &label_column(&labels), None, &settings(Distance::Cosine));
        assert!(matches!(refused, Err(embq_core::Error::ZeroVector { row: 0, .. })), "row 0 has no direction");
    }
}

#[test]
fn a_tie_goes_to_the_class_that_comes_first() {
    let values = array![[0.0], [0.0], [1.0], [-1.0]];
    for matrix in both_precisions(values) {
        for distance in [Distance::Euclidean, Distance::Manhattan, Distance::SqEuclidean] {
            let scored = score(&matrix, &[5, 5, 9, 7], None, &settings(distance));
            assert_eq!(scored.rows.nearest_other[..2], [1, 1], "{distance}");
            assert_eq!(scored.evaluation.classes[0].nearest_class.as_deref(), Some("7"));
        }
    }
}

#[test]
fn the_bounds_on_the_number_of_classes() {
    let values = both_precisions(array![[1.0], [2.0], [3.0]]);
    for matrix in values {
        let outcome = |labels: &[i64]| {
            let result = common::score_column(&matrix, &label_column(labels), None, &settings(Distance::Euclidean));
            result.map(|_| ())
        };
        assert!(matches!(outcome(&[4, 4, 4]), Err(embq_core::Error::TooFewClasses { classes: 1, .. })));
        assert!(matches!(outcome(&[1, 2, 3]), Err(embq_core::Error::TooManyClasses { bound: 2, .. })));
        assert!(outcome(&[1, 2, 2]).is_ok());
    }
}

#[test]
fn every_metric_is_documented() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let text = std::fs::read_to_string(path).unwrap();
    for metric in embq_core::metrics::METRICS {
        let row = format!("| `{}{}` |", metric.id, metric.suffix());
        assert!(text.contains(&row), "no row for {} in docs/metrics.md", metric.id);
        for name in metric.names(Levels { ks: &[], fars: &[] }) {
            assert!(text.contains(&format!("`{name}`")), "{name} is not in docs/metrics.md");
        }
    }
}
