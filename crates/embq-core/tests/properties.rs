//! Properties that hold for any data: symmetries, limits, ranges, and the same bits for any number of threads.

mod common;

use std::ops::Range;

use common::oracle::distance_matrix;
use common::random::Random;
use common::{GEOMETRIC, Matrix, SOFT_FORMS, score, score_column, settings, silhouettes, text_column};
use embq_core::data::{Dataset, DatasetOptions, ElementType, Embeddings, Origin, RowBlocks, RowChoice};
use embq_core::distance::Distance;
use embq_core::evaluation::{Scored, Settings, Temperature, evaluate};
use embq_core::metrics::{METRICS, Need, ProbeSettings, Scope, Selection, SmoothMaximum, SoftMinimum};
use embq_core::progress::NoProgress;
use ndarray::{Array2, Axis, s};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

/// Small data sets with classes of any size from 1.
#[derive(Clone, Debug)]
struct Data {
    values: Array2<f64>,
    labels: Vec<i64>,
    seed: u64,
}

fn data() -> impl Strategy<Value = Data> {
    (5usize..60, 1usize..9, 2usize..7, any::<u64>()).prop_map(|(rows, dimensions, classes, seed)| {
        let random = &mut Random::new(seed);
        let classes = classes.min(rows - 1);
        let mut values = random.normals(rows, dimensions);
        // The first rows take one class each, so that none is empty.
        let labels: Vec<i64> =
            (0..rows).map(|row| if row < classes { row } else { random.below(classes) } as i64).collect();
        for (row, label) in labels.iter().enumerate() {
            values.row_mut(row).mapv_inplace(|value| value + 0.7 * *label as f64);
        }
        Data { values, labels, seed }
    })
}

fn any_distance() -> impl Strategy<Value = Distance> {
    prop::sample::select(GEOMETRIC.to_vec())
}

fn evaluated(values: &Array2<f64>, labels: &[i64], settings: &Settings) -> Scored {
    score(&Matrix::F64(values.clone()), labels, None, settings)
}

/// Asserts that rows are equal up to rounding.
fn assert_close(ours: &[f64], expected: &[f64], what: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(ours.len(), expected.len());
    for (row, (ours, expected)) in ours.iter().zip(expected).enumerate() {
        prop_assert!((ours - expected).abs() <= 2e-9, "{} of row {}: {} and {}", what, row, ours, expected);
    }
    Ok(())
}

fn assert_same_silhouettes(ours: &Scored, expected: &Scored) -> Result<(), TestCaseError> {
    assert_close(&ours.rows.silhouette, &expected.rows.silhouette, "silhouette")?;
    assert_close(&ours.rows.soft_silhouette, &expected.rows.soft_silhouette, "soft silhouette")
}

/// Asserts that all overall numbers are equal up to rounding.
fn assert_same_metrics(ours: &Scored, expected: &Scored) -> Result<(), TestCaseError> {
    // The sign of a silhouette of 0 depends on rounding.
    let mut rows = expected.rows.silhouette.iter().zip(&expected.rows.a);
    let on_the_border = rows.any(|(silhouette, a)| a.is_some() && silhouette.abs() < 2e-9);
    for (name, value) in &expected.evaluation.metrics {
        if on_the_border && name.starts_with("negative_share") {
            continue;
        }
        match (ours.evaluation.metrics[name], *value) {
            (Some(ours), Some(value)) => {
                prop_assert!((ours - value).abs() <= 1e-8 * value.abs().max(1.0), "{}: {} and {}", name, ours, value)
            }
            (ours, value) => prop_assert_eq!(ours, value, "{}", name),
        }
    }
    Ok(())
}

/// A rotation, as a product of reflections.
fn rotated(values: &Array2<f64>, random: &mut Random) -> Array2<f64> {
    let mut result = values.clone();
    for _ in 0..2 {
        let normal: Vec<f64> = (0..values.ncols()).map(|_| random.normal()).collect();
        let square: f64 = normal.iter().map(|value| value * value).sum();
        for mut row in result.rows_mut() {
            let along: f64 = row.iter().zip(&normal).map(|(x, n)| x * n).sum();
            for (value, n) in row.iter_mut().zip(&normal) {
                *value -= 2.0 * along / square * n;
            }
        }
    }
    result
}

/// The bounds stated by a metric's range; `None` if open-ended.
fn bounds(range: &str, classes: usize) -> (Option<f64>, Option<f64>) {
    let inner = &range[1..range.len() - 1];
    let (low, high) = inner.split_once(", ").expect("two bounds");
    let number = |text: &str| match text {
        "inf" | "-inf" => None,
        "K - 1" => Some(classes as f64 - 1.0),
        other => Some(other.parse().unwrap_or_else(|_| panic!("a number or inf, not '{other}'"))),
    };
    (number(low), number(high))
}

proptest! {
    // The same cases on every run, because a check that guards a branch must not fail by chance. Increase `cases` for a
    // longer search.
    #![proptest_config(ProptestConfig {
        cases: 32,
        rng_seed: RngSeed::Fixed(1987),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_order_of_rows_does_not_matter(data in data(), distance in any_distance()) {
        let mut order: Vec<usize> = (0..data.labels.len()).collect();
        Random::new(data.seed ^ 1).shuffle(&mut order);
        let labels: Vec<i64> = order.iter().map(|&row| data.labels[row]).collect();
        let before = evaluated(&data.values, &data.labels, &settings(distance));
        let after = evaluated(&data.values.select(Axis(0), &order), &labels, &settings(distance));
        let moved: Vec<f64> = order.iter().map(|&row| before.rows.silhouette[row]).collect();
        assert_close(&after.rows.silhouette, &moved, "silhouette")?;
        assert_same_metrics(&after, &before)?;
    }

    #[test]
    fn names_of_classes_do_not_matter(data in data(), distance in any_distance()) {
        let before = evaluated(&data.values, &data.labels, &settings(distance));
        // In the same order, in reverse order, and as text.
        for rename in [|label: i64| label * 10 - 25, |label: i64| -label] {
            let labels: Vec<i64> = data.labels.iter().map(|&label| rename(label)).collect();
            let after = evaluated(&data.values, &labels, &settings(distance));
            assert_same_silhouettes(&after, &before)?;
            assert_same_metrics(&after, &before)?;
        }
        let texts: Vec<String> = data.labels.iter().map(|label| format!("class {}", (label * 3) % 7)).collect();
        let matrix = Matrix::F64(data.values.clone());
        let after = score_column(&matrix, &text_column(&texts), None, &settings(distance)).unwrap();
        assert_same_silhouettes(&after, &before)?;
    }

    #[test]
    fn rotation_changes_nothing(data in data()) {
        let turned = rotated(&data.values, &mut Random::new(data.seed ^ 2));
        for distance in [Distance::Cosine, Distance::Euclidean, Distance::SqEuclidean] {
            let before = evaluated(&data.values, &data.labels, &settings(distance));
            let after = evaluated(&turned, &data.labels, &settings(distance));
            assert_same_metrics(&after, &before)?;
        }
    }

    #[test]
    fn scale_does_not_matter_when_the_temperature_goes_along(
        data in data(),
        distance in any_distance(),
        scale in 1e-3..1e3f64,
        form in 0..SOFT_FORMS.len(),
    ) {
        let factor = match distance {
            Distance::Cosine => 1.0,
            Distance::SqEuclidean => scale * scale,
            _ => scale,
        };
        let tau = 0.25;
        let before = evaluated(&data.values, &data.labels, &silhouettes(distance, SOFT_FORMS[form], tau));
        let scaled = &data.values * scale;
        let after = evaluated(&scaled, &data.labels, &silhouettes(distance, SOFT_FORMS[form], tau * factor));
        assert_same_silhouettes(&after, &before)?;
    }

    #[test]
    fn equal_weights_are_no_weights(data in data(), distance in any_distance(), weight in 1e-3..1e3f64) {
        let weights = vec![weight; data.labels.len()];
        let before = evaluated(&data.values, &data.labels, &settings(distance));
        let matrix = Matrix::F64(data.values.clone());
        let after = score(&matrix, &data.labels, Some(&weights), &settings(distance));
        assert_same_silhouettes(&after, &before)?;
        assert_same_metrics(&after, &before)?;
    }

    #[test]
    fn a_matrix_of_distances_is_as_good_as_the_rows(data in data()) {
        let distances = Matrix::F64(distance_matrix(&data.values, Distance::Euclidean));
        let given = score(&distances, &data.labels, None, &settings(Distance::Precomputed));
        let computed = evaluated(&data.values, &data.labels, &settings(Distance::Euclidean));
        assert_same_silhouettes(&given, &computed)?;
        for name in ["intra_mean", "separation_macro", "mean_b", "margin", "negative_share", "effective_competitors"] {
            let (given, computed) = (given.evaluation.metrics[name], computed.evaluation.metrics[name]);
            prop_assert!(
                given.zip(computed).is_none_or(|(given, computed)| (given - computed).abs() < 1e-9),
                "{}: {:?} and {:?}", name, given, computed
            );
        }
        for name in ["radius_mean", "variance", "centroid_separation", "fisher_ratio"] {
            prop_assert_eq!(given.evaluation.metrics[name], None, "{} needs coordinates", name);
        }
    }

    #[test]
    fn every_number_stays_in_its_range(data in data(), distance in any_distance(), form in 0..SOFT_FORMS.len(), tau in -3..3i32) {
        let (softmin, softmax) = SOFT_FORMS[form];
        let wanted = Settings {
            softmin,
            softmax,
            temperature: Temperature::Value(10f64.powi(tau)),
            batch_size: Some(7),
            metrics: Selection::all(),
            ..settings(distance)
        };
        let scored = evaluated(&data.values, &data.labels, &wanted);
        for value in scored.rows.silhouette.iter().chain(&scored.rows.soft_silhouette) {
            prop_assert!((-1.0..=1.0).contains(value));
        }
        let classes = scored.evaluation.classes.len();
        let computed = METRICS.iter().filter(|metric| metric.is_in_all && !metric.needs(Need::BatchLabels));
        for metric in computed {
            let (low, high) = bounds(metric.range, classes);
            // The mean of numbers on a bound may round to its other side.
            let slack = 1e-12 * classes as f64;
            let inside = |value: f64| {
                low.is_none_or(|low| value >= low - slack) && high.is_none_or(|high| value <= high + slack)
            };
            for name in metric.names(wanted.levels()) {
                let value = scored.evaluation.metrics[&name];
                prop_assert!(value.is_none_or(|value| value.is_finite() && inside(value)), "{}: {:?}", name, value);
            }
            if metric.scope == Scope::PerClass {
                for class in &scored.evaluation.classes {
                    let value = class.value(metric.id).expect("a metric given by class");
                    prop_assert!(
                        value.is_none_or(|value| value.is_finite() && inside(value)),
                        "{} of {}: {:?}", metric.id, class.label, value
                    );
                }
            }
        }
    }

    #[test]
    fn the_soft_silhouette_becomes_the_hard_one_as_the_temperature_falls(
        data in data(),
        distance in any_distance(),
        form in 0..SOFT_FORMS.len(),
    ) {
        // The mean of all other classes does not approach the minimum at any temperature.
        prop_assume!(SOFT_FORMS[form].0 != SoftMinimum::Mean);
        let tau = 1e-4;
        let scored = evaluated(&data.values, &data.labels, &silhouettes(distance, SOFT_FORMS[form], tau));
        let rivals = scored.evaluation.classes.len() as f64 - 1.0;
        for row in 0..data.labels.len() {
            let Some(a) = scored.rows.a[row] else { continue };
            let larger = a.max(scored.rows.b[row]);
            if larger >= 1e3 * tau {
                // A soft minimum exceeds the minimum by at most tau log(K - 1), a smooth maximum the maximum by tau log
                // 2.
                let allowed = tau / larger * (2.0 * rivals.ln() + 2f64.ln()) + 1e-9;
                let gap = (scored.rows.soft_silhouette[row] - scored.rows.silhouette[row]).abs();
                prop_assert!(gap <= allowed, "row {}: {} > {}", row, gap, allowed);
            }
        }
    }

    #[test]
    fn soft_minima_lie_between_the_hard_one_and_the_mean(data in data(), distance in any_distance(), tau in -3..3i32) {
        let of = |softmin| {
            let settings = silhouettes(distance, (softmin, SmoothMaximum::Hard), 10f64.powi(tau));
            evaluated(&data.values, &data.labels, &settings).rows
        };
        let (hard, mean) = (of(SoftMinimum::Hard), of(SoftMinimum::Mean));
        prop_assert_eq!(&hard.soft_silhouette, &hard.silhouette);
        // For the same a, (b - a) / max(a, b) increases with b.
        for between in [of(SoftMinimum::Weighted), of(SoftMinimum::Lse)] {
            for row in 0..data.labels.len() {
                let (low, high) = (hard.soft_silhouette[row] - 1e-12, mean.soft_silhouette[row] + 1e-12);
                let value = between.soft_silhouette[row];
                prop_assert!((low..=high).contains(&value), "row {}: {} not in {} to {}", row, value, low, high);
            }
        }
    }

    #[test]
    fn probes_follow_what_is_done_to_rows(data in data(), scale in 1e-3..1e3f64) {
        let measure = |values: &Array2<f64>, alpha: f64| {
            let metrics = Selection::parse(["ridge_probe_accuracy", "ridge_probe_macro_f1", "clustering"]).expect("names");
            let probe = ProbeSettings { alpha, ..ProbeSettings::default() };
            let settings = Settings { metrics, probe, ..settings(Distance::Euclidean) };
            evaluated(values, &data.labels, &settings).evaluation.metrics
        };
        let expected = measure(&data.values, 0.5);
        let turned = rotated(&data.values, &mut Random::new(data.seed ^ 3));
        let scaled = &data.values * scale;
        // The penalty goes along with the squares of the rows.
        for (found, what) in
            [(measure(&turned, 0.5), "turned"), (measure(&(turned + 10.0), 0.5), "moved"), (measure(&scaled, 0.5 * scale * scale), "scaled")]
        {
            for (name, value) in &expected {
                let apart = found[name].zip(*value).map_or(f64::INFINITY, |(found, value)| (found - value).abs());
                prop_assert!(apart < 1e-12, "{} of rows {}: {:?} and {:?}", name, what, found[name], value);
            }
        }
    }

    #[test]
    fn verification_sees_the_order_of_distances_alone(data in data(), distance in any_distance(), scale in 1e-3..1e3f64) {
        let verified = |values: &Array2<f64>, labels: &[i64]| {
            let metrics = Selection::parse(["verification", "intrinsic_dimension"]).expect("families");
            evaluated(values, labels, &Settings { metrics, ..settings(distance) })
        };
        let before = verified(&data.values, &data.labels);
        let mut order: Vec<usize> = (0..data.labels.len()).collect();
        Random::new(data.seed ^ 4).shuffle(&mut order);
        let labels: Vec<i64> = order.iter().map(|&row| -3 * data.labels[row]).collect();
        assert_same_metrics(&verified(&data.values.select(Axis(0), &order), &labels), &before)?;
        if distance != Distance::Manhattan {
            assert_same_metrics(&verified(&rotated(&data.values, &mut Random::new(data.seed ^ 5)), &data.labels), &before)?;
        }
        let factor = match distance {
            Distance::Cosine => 1.0,
            Distance::SqEuclidean => scale * scale,
            _ => scale,
        };
        let mut scaled = verified(&(&data.values * scale), &data.labels);
        let threshold = scaled.evaluation.metrics.get_mut("eer_threshold").expect("it is selected");
        *threshold = threshold.map(|threshold| threshold / factor);
        assert_same_metrics(&scaled, &before)?;
    }

    #[test]
    fn health_follows_what_is_done_to_rows(data in data(), distance in any_distance(), scale in 1e-3..1e3f64) {
        let health = |values: &Array2<f64>, labels: &[i64]| {
            let metrics = Selection::parse(["health"]).expect("a family");
            evaluated(values, labels, &Settings { metrics, ..settings(distance) }).evaluation.metrics
        };
        let before = health(&data.values, &data.labels);
        let close = |found: Option<f64>, expected: Option<f64>| match (found, expected) {
            (Some(found), Some(expected)) => (found - expected).abs() <= 1e-12 * expected.abs().max(1.0),
            (found, expected) => found == expected,
        };
        // Random rows have no duplicates and no constant dimensions.
        for none in ["duplicate_share", "dead_dimensions"] {
            prop_assert_eq!(before[none], Some(0.0), "{}", none);
        }
        let scaled = health(&(&data.values * scale), &data.labels);
        for name in ["norm_mean", "norm_std", "norm_min", "norm_max"] {
            prop_assert!(close(scaled[name], before[name].map(|value| value * scale)), "{}", name);
        }
        for name in ["mean_cosine", "dead_dimensions", "constant_rows", "near_duplicate_share"] {
            prop_assert!(close(scaled[name], before[name]), "{}", name);
        }

        // All rows twice, plus a dimension that is always 0.
        let twice = ndarray::concatenate![Axis(0), data.values, data.values];
        let wider = ndarray::concatenate![Axis(1), twice, Array2::zeros((twice.nrows(), 1))];
        let after = health(&wider, &[&data.labels[..], &data.labels[..]].concat());
        for (name, expected) in [("duplicate_share", 1.0), ("near_duplicate_share", 1.0), ("dead_dimensions", 1.0)] {
            prop_assert_eq!(after[name], Some(expected), "{}", name);
        }
        for name in ["norm_mean", "norm_std", "norm_min", "norm_max"] {
            prop_assert!(close(after[name], before[name]), "{}", name);
        }
        // Each of the 2 N rows occurs twice: the mean over pairs includes N cosines of 1.
        let rows = data.labels.len() as f64;
        let with_copies = before["mean_cosine"].map(|mean| (2.0 * (rows - 1.0) * mean + 1.0) / (2.0 * rows - 1.0));
        prop_assert!(close(after["mean_cosine"], with_copies), "{:?} {:?}", after["mean_cosine"], with_copies);
    }

    #[test]
    fn a_batch_that_holds_every_row_is_the_whole_set(data in data(), distance in any_distance(), seed in any::<u64>()) {
        let scored = evaluated(&data.values, &data.labels, &Settings {
            batch_size: Some(data.labels.len() + 3),
            seed,
            ..settings(distance)
        });
        let metrics = &scored.evaluation.metrics;
        let (batch, whole) = (metrics["batch_loss"].unwrap(), metrics["soft_silhouette_loss"].unwrap());
        prop_assert!((batch - whole).abs() < 1e-9, "{} and {}", batch, whole);
        prop_assert_eq!(metrics["batches"], Some(1.0));
        prop_assert_eq!(metrics["batches_skipped"], Some(0.0));
        let alone = scored.evaluation.classes.iter().filter(|class| class.count == 1).count() as f64;
        let share = metrics["batch_without_positive"].unwrap();
        prop_assert!((share - alone / data.labels.len() as f64).abs() < 1e-12);
    }

    #[test]
    fn batches_depend_on_the_seed_alone(data in data(), distance in any_distance(), size in 2usize..20) {
        let run = |seed| {
            let batches = Settings { batch_size: Some(size), seed, ..settings(distance) };
            evaluated(&data.values, &data.labels, &batches).evaluation.metrics
        };
        let first = run(3);
        prop_assert_eq!(&first, &run(3));
        let kept = first["batches"].unwrap() + first["batches_skipped"].unwrap();
        prop_assert!(kept >= (data.labels.len() / size) as f64);
        prop_assert!(kept <= data.labels.len().div_ceil(size) as f64);
    }

    #[test]
    fn a_row_of_a_subsample_scores_as_among_all(data in data(), distance in any_distance(), precomputed: bool) {
        let values = if precomputed { distance_matrix(&data.values, distance) } else { data.values.clone() };
        let distance = if precomputed { Distance::Precomputed } else { distance };
        let settings = Settings { matrix: true, ..settings(distance) };
        let all = evaluated(&values, &data.labels, &settings);
        let wanted = (data.labels.len() / 2).max(all.evaluation.classes.len());
        let embeddings = Embeddings::from_f64(Origin::new("embeddings.npy"), values);
        let choice = RowChoice { subsample: Some(wanted), ..Default::default() };
        let options = DatasetOptions { choice, seed: data.seed, ..Default::default() };
        let dataset = Dataset::join(embeddings, &common::label_column(&data.labels), distance, &options).unwrap();
        let part = evaluate(&dataset, &settings, &NoProgress).unwrap();
        prop_assert_eq!(part.rows.silhouette.len(), wanted.min(data.labels.len()));
        for (index, row) in dataset.scored().positions().enumerate() {
            let pairs = [
                (part.rows.a[index].unwrap_or(-1.0), all.rows.a[row].unwrap_or(-1.0)),
                (part.rows.b[index], all.rows.b[row]),
                (part.rows.silhouette[index], all.rows.silhouette[row]),
                (part.rows.soft_silhouette[index], all.rows.soft_silhouette[row]),
            ];
            for (ours, expected) in pairs {
                prop_assert!((ours - expected).abs() <= 1e-9 * expected.abs().max(1.0), "{} and {}", ours, expected);
            }
        }
        // Each class counts with all of its rows.
        let classes = all.evaluation.classes.len();
        let mut sums = vec![(0.0, 0.0); classes];
        for (silhouette, row) in part.rows.silhouette.iter().zip(dataset.scored().positions()) {
            let sum = &mut sums[dataset.labels().codes()[row] as usize];
            *sum = (sum.0 + silhouette, sum.1 + 1.0);
        }
        let counts = dataset.labels().counts().iter().map(|&count| count as f64);
        let total: f64 = sums.iter().zip(counts).map(|((sum, drawn), count)| sum / drawn * count).sum();
        let mean = total / data.labels.len() as f64;
        let told = part.evaluation.metrics["silhouette"].unwrap();
        prop_assert!((told - mean).abs() <= 1e-12, "{} and {}", told, mean);
    }
}

#[test]
fn another_seed_cuts_other_batches() {
    let random = &mut Random::new(31);
    let values = random.normals(400, 5);
    let labels: Vec<i64> = (0..400).map(|_| random.below(8) as i64).collect();
    let run = |seed| {
        let batches = Settings { batch_size: Some(32), seed, ..settings(Distance::Cosine) };
        evaluated(&values, &labels, &batches).evaluation.metrics["batch_loss"]
    };
    assert_ne!(run(1), run(2));
}

#[test]
fn auto_finds_the_temperature_of_two_competitors() {
    let random = &mut Random::new(32);
    let values = random.normals(200, 12);
    let labels: Vec<i64> = (0..200).map(|_| random.below(9) as i64).collect();
    for distance in GEOMETRIC {
        for softmin in [SoftMinimum::Weighted, SoftMinimum::Lse] {
            let auto = Settings { temperature: Temperature::Auto, softmin, ..settings(distance) };
            let scored = evaluated(&values, &labels, &auto);
            let competitors = scored.evaluation.metrics["effective_competitors"].unwrap();
            assert!((competitors - 2.0).abs() < 1e-3, "{distance}: {competitors}");
            assert!(scored.evaluation.settings.temperature_auto);
        }
    }
}

/// All values of an evaluation, bit for bit.
fn bits(scored: &Scored) -> (String, Vec<u64>) {
    let rows = &scored.rows;
    let numbers = rows.silhouette.iter().chain(&rows.soft_silhouette).chain(&rows.b);
    let numbers = numbers.chain(rows.a.iter().flatten());
    let matrix = scored.matrix.as_ref().expect("it was requested");
    let bits = numbers.chain(matrix.iter().flatten()).map(|value| value.to_bits());
    let nearest = rows.nearest_other.iter().map(|&code| u64::from(code));
    let mut evaluation = scored.evaluation.clone();
    evaluation.timing = None;
    // The shortest text that parses to the same float64 differs whenever a bit does.
    let text = serde_json::to_string(&evaluation).expect("plain data");
    (text, bits.chain(nearest).collect())
}

fn same_bits_on_any_number_of_threads(matrix: &Matrix, labels: &[i64], weights: Option<&[f64]>, distance: Distance) {
    let wanted = Settings { matrix: true, batch_size: Some(256), ..settings(distance) };
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        bits(&pool.install(|| score(matrix, labels, weights, &wanted)))
    };
    let one = run(1);
    for threads in [2, 7] {
        assert!(run(threads) == one, "{distance} {} on {threads} threads", matrix.name());
    }
}

#[test]
fn threads_change_no_bit() {
    let random = &mut Random::new(33);
    let mut values = random.normals(3000, 40);
    let labels: Vec<i64> = (0..3000).map(|_| random.below(60) as i64).collect();
    // A few rows that must be recomputed more accurately.
    for row in (0..3000).step_by(97) {
        let copy = values.row((row + 1) % 3000).to_owned();
        values.row_mut(row).assign(&copy);
    }
    for matrix in [Matrix::F32(values.mapv(|value| value as f32)), Matrix::F64(values)] {
        for distance in GEOMETRIC {
            same_bits_on_any_number_of_threads(&matrix, &labels, None, distance);
        }
    }
}

#[test]
fn threads_change_no_bit_with_weights_or_a_precomputed_matrix() {
    let random = &mut Random::new(34);
    let values = random.normals(1500, 20);
    let labels: Vec<i64> = (0..1500).map(|_| random.below(60) as i64).collect();
    let weights: Vec<f64> = (0..1500).map(|_| 0.1 + random.uniform()).collect();
    let distances = distance_matrix(&values, Distance::Manhattan);
    let single = Matrix::F32(values.mapv(|value| value as f32));
    for distance in GEOMETRIC {
        same_bits_on_any_number_of_threads(&single, &labels, Some(&weights), distance);
    }
    let distances = Matrix::F64(distances);
    same_bits_on_any_number_of_threads(&distances, &labels, None, Distance::Precomputed);
}

/// Rows that can only be read in sequence, like those of compressed files.
struct InOrder(Array2<f64>);

impl RowBlocks for InOrder {
    fn read_f32(&self, _: Range<usize>, _: &mut [f32]) -> embq_core::Result<()> {
        unreachable!("these rows are float64")
    }

    fn read_f64(&self, rows: Range<usize>, out: &mut [f64]) -> embq_core::Result<()> {
        for (value, out) in self.0.slice(s![rows, ..]).iter().zip(out) {
            *out = *value;
        }
        Ok(())
    }

    fn is_random_access(&self) -> bool {
        false
    }
}

#[test]
fn rows_read_in_order_give_the_same_bits() {
    // Wide enough for several windows.
    let (rows, dimensions) = (5_000, 2_100);
    let random = &mut Random::new(11);
    let values = random.normals(rows, dimensions);
    let labels: Vec<i64> = (0..rows).map(|row| (row % 7) as i64).collect();
    let settings = Settings { batch_size: None, ..settings(Distance::Cosine) };
    let expected = evaluated(&values, &labels, &settings);
    let embeddings =
        Embeddings::new(Origin::new("embeddings.npy"), rows, dimensions, ElementType::F64, InOrder(values));
    let column = common::label_column(&labels);
    let dataset = Dataset::join(embeddings, &column, settings.distance, &DatasetOptions::default()).unwrap();
    let ours = evaluate(&dataset, &settings, &NoProgress).unwrap();
    assert_eq!(ours.rows, expected.rows);
    assert_eq!(ours.evaluation.metrics, expected.evaluation.metrics);
}
