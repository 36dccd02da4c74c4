//! Data that breaks fast formulas, against an oracle that computes every pair from differences in float64.

mod common;

use common::oracle::Oracle;
use common::random::Random;
use common::{Deviations, GEOMETRIC, Matrix, SOFT_FORMS, codes, score, settings, silhouettes};
use embq_core::distance::Distance;
use embq_core::evaluation::{Scored, Settings};
use ndarray::Array2;

/// Forms of the soft silhouette and temperatures: each form once, with temperatures below, near and above the
/// distances.
const SOFT_RUNS: [(usize, f64); 6] = [(0, 0.1), (1, 1e-3), (2, 10.0), (3, 0.1), (3, 10.0), (2, 1e-3)];

/// Rows that are hard to evaluate.
struct Case {
    values: Array2<f64>,
    labels: Vec<i64>,
    weights: Option<Vec<f64>>,
}

impl Case {
    fn new(values: Array2<f64>, labels: Vec<i64>) -> Self {
        assert_eq!(values.nrows(), labels.len());
        Case { values, labels, weights: None }
    }

    /// Rows in an order unrelated to their classes.
    fn shuffled(self, random: &mut Random) -> Self {
        let mut order: Vec<usize> = (0..self.labels.len()).collect();
        random.shuffle(&mut order);
        Case {
            values: self.values.select(ndarray::Axis(0), &order),
            labels: order.iter().map(|&row| self.labels[row]).collect(),
            weights: self.weights,
        }
    }

    fn in_float32(&self) -> Matrix {
        Matrix::F32(self.values.mapv(|value| value as f32))
    }

    fn in_float64(&self) -> Matrix {
        Matrix::F64(self.values.clone())
    }

    /// Checks every distance in both precisions.
    fn check(&self) {
        self.check_in(&[self.in_float32(), self.in_float64()]);
    }

    fn check_in(&self, matrices: &[Matrix]) {
        let mut deviations = Deviations::default();
        for matrix in matrices {
            for distance in GEOMETRIC {
                self.check_one(matrix, distance, &mut deviations);
            }
        }
        deviations.finish();
    }

    fn check_one(&self, matrix: &Matrix, distance: Distance, deviations: &mut Deviations) {
        let place = format!("{distance} {}", matrix.name());
        let codes = codes(&self.labels);
        let weights = self.weights.as_deref();
        let oracle = Oracle::new(&matrix.widened(), &codes, weights, distance);
        let bound = matrix.row_bound(distance);

        let everything = Settings { matrix: true, ..settings(distance) };
        let scored = score(matrix, &self.labels, weights, &everything);
        all_finite(&scored, &place, deviations);
        let hard = oracle.hard();
        deviations.rows_close(&scored.rows.silhouette, &hard.silhouette, bound, || format!("{place} hard"));
        for (row, &nearest) in scored.rows.nearest_other.iter().enumerate() {
            let excess = oracle.means()[[row, nearest as usize]] - hard.b[row];
            let scale = hard.b[row].max(hard.a[row]);
            let own = nearest as usize == codes[row];
            deviations.holds(!own && excess <= 2.0 * bound * scale, || {
                format!("{place} nearest other class {nearest} of row {row} is {excess:e} too far")
            });
        }
        for (form, temperature) in SOFT_RUNS {
            let (softmin, softmax) = SOFT_FORMS[form];
            let soft = silhouettes(distance, SOFT_FORMS[form], temperature);
            let scored = score(matrix, &self.labels, weights, &soft);
            let expected = oracle.soft(temperature, softmin, softmax);
            deviations.rows_close(&scored.rows.soft_silhouette, &expected, bound, || {
                format!("{place} soft {softmin:?} {softmax:?} at {temperature}")
            });
        }
    }
}

/// Checks that all values are finite and silhouettes are in their range.
fn all_finite(scored: &Scored, place: &str, deviations: &mut Deviations) {
    let rows = &scored.rows;
    for silhouette in rows.silhouette.iter().chain(&rows.soft_silhouette) {
        deviations.holds(silhouette.abs() <= 1.0, || format!("{place}: silhouette {silhouette}"));
    }
    for distance in rows.a.iter().flatten().chain(&rows.b) {
        deviations.holds(*distance >= 0.0 && distance.is_finite(), || format!("{place}: mean distance {distance}"));
    }
    for (name, value) in &scored.evaluation.metrics {
        deviations.holds(value.is_none_or(f64::is_finite), || format!("{place}: {name} {value:?}"));
        let metric = name.strip_suffix("_macro").unwrap_or(name);
        let warned = scored.evaluation.warnings.iter().any(|line| line.contains(metric));
        deviations.holds(value.is_some() || warned || name.starts_with("batch"), || {
            format!("{place}: {name} is undefined without a warning")
        });
    }
    for class in &scored.evaluation.classes {
        for metric in embq_core::metrics::METRICS {
            let value = class.value(metric.id).flatten();
            deviations.holds(value.is_none_or(f64::is_finite), || {
                format!("{place}: {} of class {} is {value:?}", metric.id, class.label)
            });
        }
    }
    let matrix = scored.matrix.as_ref().expect("it was requested");
    deviations.holds(matrix.iter().flatten().all(|value| value.is_finite()), || format!("{place}: class distances"));
}

/// Clusters of unit spread around normal centres; row i belongs to class i mod K.
fn clusters(random: &mut Random, rows: usize, dimensions: usize, classes: usize, spread: f64) -> Case {
    let centres = random.normals(classes, dimensions);
    let noise = random.normals(rows, dimensions);
    let values = Array2::from_shape_fn((rows, dimensions), |(row, column)| {
        centres[[row % classes, column]] + spread * noise[[row, column]]
    });
    Case::new(values, (0..rows).map(|row| (row % classes) as i64).collect())
}

#[test]
fn a_prime_number_of_rows() {
    let random = &mut Random::new(1);
    clusters(random, 1031, 19, 7, 1.0).shuffled(random).check();
}

#[test]
fn far_from_the_origin() {
    let random = &mut Random::new(2);
    let mut case = clusters(random, 1031, 17, 13, 1.0).shuffled(random);
    case.values += 1e4;
    case.check();
}

#[test]
fn very_far_from_the_origin_in_one_dimension() {
    let random = &mut Random::new(3);
    let mut case = clusters(random, 517, 9, 11, 1.0).shuffled(random);
    case.values.column_mut(4).mapv_inplace(|value| value * 1e-3 + 1e6);
    case.check();
}

#[test]
fn classes_of_one_repeated_row() {
    let random = &mut Random::new(4);
    let places = random.normals(9, 23);
    // Classes 0 and 1 repeat the same row, with different counts, and so do 2, 3 and 4.
    let place = [0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7, 8];
    let labels: Vec<i64> = (0..900).map(|_| random.below(12) as i64).collect();
    let values = Array2::from_shape_fn((900, 23), |(row, column)| places[[place[labels[row] as usize], column]]);
    Case::new(values, labels).check();
}

#[test]
fn classes_that_share_repeated_rows() {
    let random = &mut Random::new(5);
    let places = random.normals(20, 15);
    let labels: Vec<i64> = (0..800).map(|_| random.below(10) as i64).collect();
    let chosen: Vec<usize> = labels.iter().map(|&label| (2 * label as usize + random.below(4)) % 20).collect();
    let values = Array2::from_shape_fn((800, 15), |(row, column)| places[[chosen[row], column]]);
    Case::new(values, labels).check();
}

#[test]
fn repeated_rows_far_from_the_origin() {
    let random = &mut Random::new(6);
    let places = random.normals(8, 33);
    let labels: Vec<i64> = (0..500).map(|_| random.below(8) as i64).collect();
    let values = Array2::from_shape_fn((500, 33), |(row, column)| 1e4 + places[[labels[row] as usize / 2, column]]);
    Case::new(values, labels).check();
}

#[test]
fn near_duplicates() {
    let random = &mut Random::new(7);
    let bases = random.normals(15, 21);
    let noise = random.normals(1000, 21);
    // Two classes around each base, distinguished by differences of 1e-4.
    let labels: Vec<i64> = (0..1000).map(|_| random.below(30) as i64).collect();
    let values = Array2::from_shape_fn((1000, 21), |(row, column)| {
        bases[[labels[row] as usize / 2, column]] + 1e-4 * noise[[row, column]]
    });
    Case::new(values, labels).check();
}

#[test]
fn near_duplicates_inside_loose_classes() {
    let random = &mut Random::new(8);
    let mut case = clusters(random, 900, 24, 9, 1.0);
    let noise = random.normals(900, 24);
    // Every second row is a near copy of the previous row, in another class.
    for row in (1..900).step_by(2) {
        let copy = &case.values.row(row - 1) + &(&noise.row(row) * 1e-4);
        case.values.row_mut(row).assign(&copy);
    }
    case.check();
}

#[test]
fn nearly_one_direction() {
    let random = &mut Random::new(9);
    let mut case = clusters(random, 1031, 48, 20, 1.0).shuffled(random);
    // Cosine distances are about 0.001.
    case.values.mapv_inplace(|value| 1.0 + 0.022 * value);
    case.check();
}

fn with_huge_row(size: f64) -> Case {
    let random = &mut Random::new(10);
    let mut case = clusters(random, 700, 16, 6, 1.0).shuffled(random);
    case.values.row_mut(123).mapv_inplace(|value| value * size);
    case
}

#[test]
fn one_large_row() {
    with_huge_row(1e6).check();
}

#[test]
fn one_huge_row() {
    with_huge_row(1e30).check();
}

#[test]
fn one_row_that_float32_cannot_hold() {
    let case = with_huge_row(1e100);
    case.check_in(&[case.in_float64()]);
}

#[test]
fn several_large_rows_in_one_class() {
    let random = &mut Random::new(11);
    let mut case = clusters(random, 640, 12, 5, 1.0);
    for row in (0..640).filter(|row| row % 5 == 2 && row % 3 == 0) {
        case.values.row_mut(row).mapv_inplace(|value| value * 1e5);
    }
    case.check();
}

#[test]
fn subnormal_numbers() {
    let random = &mut Random::new(12);
    let mut case = clusters(random, 600, 14, 8, 1.0).shuffled(random);
    case.values *= 1e-40;
    case.check();
}

#[test]
fn scales_that_differ_by_class() {
    let random = &mut Random::new(13);
    let mut case = clusters(random, 720, 18, 6, 0.7);
    // Classes 0 to 2 are within 1e-20 of the origin.
    for (row, label) in case.labels.iter().enumerate() {
        if *label < 3 {
            case.values.row_mut(row).mapv_inplace(|value| value * 1e-20);
        }
    }
    case.shuffled(random).check();
}

#[test]
fn tight_clusters_far_apart() {
    let random = &mut Random::new(14);
    let noise = random.normals(960, 12);
    // Two classes in each of six clusters; the clusters are on different axes, so that float32 can represent the
    // spread.
    let labels: Vec<i64> = (0..960).map(|row| row % 12).collect();
    let values = Array2::from_shape_fn((960, 12), |(row, column)| {
        let cluster = labels[row] as usize / 2;
        if column == cluster { 1e4 } else { 1e-4 * (noise[[row, column]] + (labels[row] % 2) as f64) }
    });
    Case::new(values, labels).check();
}

#[test]
fn a_thousand_pairs() {
    let random = &mut Random::new(15);
    clusters(random, 2000, 8, 1000, 0.2).shuffled(random).check();
}

#[test]
fn more_than_a_thousand_uneven_classes() {
    let random = &mut Random::new(16);
    let mut case = clusters(random, 1900, 6, 1103, 0.3);
    // Moves some rows to the first class, which leaves classes of 1 and 2 rows.
    for row in (0..1900).step_by(7) {
        case.labels[row] = 0;
    }
    case.shuffled(random).check();
}

#[test]
fn two_classes() {
    let random = &mut Random::new(17);
    clusters(random, 301, 5, 2, 1.5).shuffled(random).check();
}

#[test]
fn one_dimension() {
    let random = &mut Random::new(18);
    clusters(random, 433, 1, 9, 0.5).shuffled(random).check();
}

#[test]
fn one_dimension_with_a_singleton() {
    let random = &mut Random::new(19);
    let mut case = clusters(random, 65, 1, 2, 1.0);
    case.labels = vec![3; 65];
    case.labels[40] = 8;
    case.check();
}

#[test]
fn three_rows() {
    let values = ndarray::array![[1.0, 2.0], [1.5, 1.0], [-3.0, 0.25]];
    Case::new(values, vec![1, 1, 0]).check();
}

#[test]
fn many_dimensions() {
    let random = &mut Random::new(20);
    clusters(random, 131, 1537, 10, 2.0).shuffled(random).check();
}

#[test]
fn weights_over_twelve_orders_of_magnitude() {
    let random = &mut Random::new(21);
    let mut case = clusters(random, 800, 13, 25, 1.0).shuffled(random);
    case.weights = Some((0..800).map(|_| 10f64.powf(random.uniform() * 12.0 - 6.0)).collect());
    case.check();
}

#[test]
fn weights_where_one_row_outweighs_its_class() {
    for heaviest in [1e3, 1e7, 1e12, 1e20] {
        let random = &mut Random::new(22);
        let mut case = clusters(random, 400, 10, 150, 1.0);
        case.weights = Some((0..400).map(|row| if row < 150 { heaviest } else { 1.0 }).collect());
        case.check();
    }
}

#[test]
fn weights_that_fall_off_from_row_to_row() {
    let random = &mut Random::new(24);
    let mut case = clusters(random, 60, 6, 5, 1.0);
    // Each row outweighs all later ones of its class.
    case.weights = Some((0..60).map(|row| 10f64.powi(6 - row / 5)).collect());
    case.check();
}

#[test]
fn weights_far_from_the_origin() {
    let random = &mut Random::new(23);
    let mut case = clusters(random, 500, 10, 12, 1.0).shuffled(random);
    case.values += 1e4;
    case.weights = Some((0..500).map(|_| 10f64.powf(random.uniform() * 6.0 - 3.0)).collect());
    case.check();
}
