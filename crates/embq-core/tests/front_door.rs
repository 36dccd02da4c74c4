//! The main interface for Rust programs: borrowed rows, labels of any kind, checked settings, cancellation, cures.

use std::sync::atomic::{AtomicU64, Ordering};

use embq_core::data::{IntoLabel, Label, LabelColumn, LabelType};
use embq_core::losses::{CenterLoss, SoftSilhouette, SupervisedContrastive};
use embq_core::metrics::Selection;
use embq_core::progress::{CancelFlag, NoProgress, Progress};
use embq_core::{Cure, Dataset, Distance, Error, Evaluator, Settings, Temperature, evaluate};
use ndarray::{Array2, ShapeBuilder, s};

const ROWS: usize = 700;

fn matrix() -> Array2<f64> {
    Array2::from_shape_fn((ROWS, 6), |(row, k)| {
        let noise = ((row * 7919 + k * 104_729 + row * k) % 1009) as f64 / 1009.0;
        noise + 0.7 * ((row % 5 + k) % 5) as f64
    })
}

fn labels() -> impl Iterator<Item = usize> + Clone {
    (0..ROWS).map(|row| row % 5)
}

fn of(distance: Distance) -> Settings {
    Settings { distance, ..Settings::default() }
}

#[test]
fn a_view_in_row_order_is_not_copied() {
    let wide = matrix();
    let narrow = wide.mapv(|value| value as f32);
    let dataset = Dataset::new(wide.view(), labels()).unwrap();
    let mut buffer = Vec::new();
    assert_eq!(dataset.rows::<f64>(3..5, &mut buffer).unwrap().as_ptr(), wide.row(3).as_ptr());
    let dataset = Dataset::new(&narrow, labels()).unwrap();
    let mut buffer = Vec::new();
    assert_eq!(dataset.rows::<f32>(3..5, &mut buffer).unwrap().as_ptr(), narrow.row(3).as_ptr());
    assert!(buffer.is_empty());
}

#[test]
fn views_in_any_layout_have_the_result_of_their_copies() {
    let matrix = matrix();
    let columns = Array2::from_shape_fn(matrix.dim().f(), |place| matrix[place]);
    let reversed = matrix.slice(s![..;-1, ..]);
    for view in [columns.view(), matrix.slice(s![.., 1..4]), reversed] {
        let copy = Array2::from_shape_fn(view.dim(), |place| view[place]);
        for distance in [Distance::Cosine, Distance::Euclidean, Distance::Manhattan] {
            let found = evaluate(&Dataset::new(view, labels()).unwrap(), &of(distance)).unwrap();
            let expected = evaluate(&Dataset::new(copy.clone(), labels()).unwrap(), &of(distance)).unwrap();
            assert_eq!(found.rows, expected.rows, "{distance}");
        }
    }
}

#[test]
fn labels_are_integers_strings_or_booleans() {
    fn column(labels: impl IntoIterator<Item: IntoLabel>) -> LabelColumn {
        LabelColumn::from_labels(labels)
    }
    assert_eq!(column([3_u8, 1, 3]).label_type(), LabelType::Integer);
    assert_eq!(column([3_i64, 1, 3]).dictionary(), [Label::Integer(3), Label::Integer(1)]);
    assert_eq!(column(["a", "b"]).label_type(), LabelType::Text);
    assert_eq!(column(vec![String::from("a")]).get(0), Some(&Label::Text("a".to_owned())));
    assert_eq!(column([true, false]).label_type(), LabelType::Boolean);
    assert_eq!(column(ndarray::array![1_i32, 2].iter()).len(), 2);
    let holes = column([Some("a"), None]);
    assert_eq!((holes.get(0).is_some(), holes.get(1)), (true, None));
    let mixed = column([Label::Integer(1), Label::Text("x".to_owned())]);
    assert_eq!((mixed.label_type(), mixed.get(0)), (LabelType::Text, Some(&Label::Text("1".to_owned()))));
    let rows = ndarray::array![[1.0], [2.0], [3.0]];
    let missing = Dataset::new(&rows, [Some(1), None, Some(2)]).unwrap_err();
    assert!(matches!(missing, Error::MissingLabel { row: 1, .. }));
    assert_eq!(missing.cure(), Some(Cure::DropUnlabelled));
    assert_eq!(Dataset::builder(&rows, [Some(1), None, Some(2)]).drop_unlabelled().build().unwrap().len(), 2);
    assert!(matches!(Dataset::new(&rows, [1, 2]), Err(Error::RowCounts { .. })));
}

#[test]
fn a_data_set_is_for_any_distance_between_rows() {
    // |x - y| of one-dimensional rows is both their Euclidean and their Manhattan distance.
    let rows = ndarray::array![[1.0], [2.0], [3.0], [4.0]];
    let dataset = Dataset::new(&rows, ["near", "near", "far", "far"]).unwrap();
    for distance in [Distance::Euclidean, Distance::Manhattan] {
        let silhouette = evaluate(&dataset, &of(distance)).unwrap().metric("silhouette").unwrap();
        assert!((silhouette - 7.0 / 15.0).abs() < 1e-12, "{distance}: {silhouette}");
    }
    for distance in [Distance::Hamming, Distance::Precomputed] {
        let error = evaluate(&dataset, &of(distance)).unwrap_err();
        assert!(matches!(error, Error::OtherDistance { made_for: Distance::Cosine, asked } if asked == distance));
    }
    let matrix = Array2::from_shape_fn((4, 4), |(i, j)| (i as f64 - j as f64).abs());
    let builder = Dataset::builder(&matrix, ["near", "near", "far", "far"]).distance(Distance::Precomputed);
    let silhouette = evaluate(&builder.build().unwrap(), &of(Distance::Precomputed)).unwrap().metric("silhouette");
    assert!((silhouette.unwrap() - 7.0 / 15.0).abs() < 1e-12);
    let bits = ndarray::array![[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]];
    let bits = Dataset::builder(&bits, [0, 0, 1, 1]).distance(Distance::Hamming).build().unwrap();
    assert!(evaluate(&bits, &of(Distance::Hamming)).is_ok());
    assert!(matches!(evaluate(&bits, &of(Distance::SqEuclidean)), Err(Error::OtherDistance { .. })));
}

#[test]
fn settings_without_meaning_are_errors() {
    let matrix = matrix();
    let dataset = Dataset::new(&matrix, labels()).unwrap();
    let with = |change: &dyn Fn(&mut Settings)| {
        let mut settings = Settings { metrics: Selection::parse(["all"]).unwrap(), ..Settings::default() };
        change(&mut settings);
        evaluate(&dataset, &settings)
    };
    for temperature in [-1.0, 0.0, f64::NAN, f64::INFINITY, 1e-7, 1e7] {
        let found = with(&|settings| settings.temperature = Temperature::Value(temperature));
        assert!(matches!(found, Err(Error::Setting { .. })), "{temperature}");
    }
    for size in [0, 1] {
        assert!(matches!(with(&|settings| settings.batch_size = Some(size)), Err(Error::Setting { .. })));
        assert!(matches!(with(&|settings| settings.sample = Some(size)), Err(Error::Setting { .. })));
    }
    assert!(matches!(with(&|settings| settings.ks = vec![5, 0]), Err(Error::Setting { .. })));
    let batches = with(&|settings| settings.metrics = Selection::parse(["batch"]).unwrap());
    assert!(matches!(batches, Err(Error::Setting { .. })));
    // Row scores need no metrics.
    let found = with(&|settings| settings.metrics = Selection::parse([""; 0]).unwrap()).unwrap();
    assert_eq!((found.evaluation.metrics.len(), found.rows.silhouette.len()), (0, ROWS));
    // Numbers of neighbours may come in any order and repeat.
    let found = with(&|settings| settings.ks = vec![5, 1, 5]).unwrap();
    assert!(found.metric("recall@1").is_some() && found.metric("recall@5").is_some());
}

#[test]
fn settings_do_not_reach_for_rows_of_other_distances() {
    let rows = ndarray::array![[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]];
    let dropped = Dataset::builder(&rows, [0, 0, 1, 1]).drop_invalid().build().unwrap();
    assert_eq!(dropped.len(), 3);
    // A zero vector is a valid row for Euclidean distance.
    assert!(matches!(evaluate(&dropped, &of(Distance::Euclidean)), Err(Error::OtherDistance { .. })));
}

/// Cancels after a number of steps, and counts the steps that follow.
struct CancelAfter {
    steps: u64,
    seen: AtomicU64,
}

impl Progress for CancelAfter {
    fn advance(&self, _steps: u64) {
        self.seen.fetch_add(1, Ordering::SeqCst);
    }

    fn is_cancelled(&self) -> bool {
        self.seen.load(Ordering::SeqCst) >= self.steps
    }
}

/// Cancels work after 0, 1, 2, ... steps until it finishes first. At most one more block per thread may start after
/// that.
fn assert_cancellable<R: Send>(name: &str, work: impl Fn(&dyn Progress) -> embq_core::Result<R> + Sync) {
    const THREADS: u64 = 2;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(THREADS as usize).build().unwrap();
    let count = CancelAfter { steps: u64::MAX, seen: AtomicU64::new(0) };
    pool.install(|| work(&count)).unwrap();
    let total = count.seen.into_inner();
    assert!(total > 0, "{name} has no steps");
    for steps in (0..total).step_by(total.div_ceil(20) as usize) {
        let progress = CancelAfter { steps, seen: AtomicU64::new(0) };
        let found = pool.install(|| work(&progress));
        // Work that is nearly done may finish.
        let cancelled = matches!(found, Err(Error::Cancelled));
        assert!(cancelled || total - steps <= THREADS, "{name} after {steps} of {total} steps");
        let more = progress.seen.into_inner() - steps;
        assert!(more <= 2 * THREADS, "{name}: {more} more steps after {steps} of {total}");
    }
}

#[test]
fn cancelled_work_ends_within_a_block() {
    let matrix = matrix();
    let dataset = Dataset::new(&matrix, labels()).unwrap();
    for distance in [Distance::Cosine, Distance::Euclidean, Distance::SqEuclidean, Distance::Manhattan] {
        let metrics = Selection::parse(["all"]).unwrap();
        let settings = Settings { intervals: true, matrix: true, metrics, ..of(distance) };
        assert_cancellable(distance.name(), |progress| Evaluator::new(&settings).progress(progress).evaluate(&dataset));
    }
    for distance in [Distance::Cosine, Distance::Euclidean] {
        let loss = SoftSilhouette { distance, ..SoftSilhouette::new(0.1) };
        let dataset = Dataset::builder(&matrix, labels()).distance(distance).build().unwrap();
        assert_cancellable("silhouette loss", |progress| loss.of_dataset::<f64>(&dataset, progress));
    }
    assert_cancellable("supcon", |progress| SupervisedContrastive::default().of_dataset::<f64>(&dataset, progress));
    let square = Array2::from_shape_fn((60, 60), |(i, j)| (i as f64 - j as f64).abs());
    let dataset = Dataset::builder(&square, (0..60).map(|row| row / 20)).distance(Distance::Precomputed);
    let dataset = dataset.build().unwrap();
    let settings = Settings { intervals: true, ..of(Distance::Precomputed) };
    assert_cancellable("precomputed", |progress| Evaluator::new(&settings).progress(progress).evaluate(&dataset));
}

#[test]
fn a_flag_cancels_and_nothing_else_does() {
    let matrix = matrix();
    let dataset = Dataset::new(&matrix, labels()).unwrap();
    let settings = Settings::default();
    let flag = CancelFlag::default();
    assert!(Evaluator::new(&settings).progress(&flag).evaluate(&dataset).is_ok());
    flag.cancel();
    assert!(matches!(Evaluator::new(&settings).progress(&flag).evaluate(&dataset), Err(Error::Cancelled)));
    assert!(Evaluator::new(&settings).progress(&NoProgress).evaluate(&dataset).is_ok());
}

#[test]
fn losses_borrow_their_batch() {
    let matrix = matrix();
    let labels: Vec<usize> = labels().collect();
    let columns = Array2::from_shape_fn(matrix.dim().f(), |place| matrix[place]);
    let same = |left: embq_core::losses::LossAndGradient<f64>, right| assert_eq!(left, right);
    let silhouette = SoftSilhouette::new(0.1);
    same(
        silhouette.loss_and_gradient(matrix.view(), &labels).unwrap(),
        silhouette.loss_and_gradient(columns.view(), &labels).unwrap(),
    );
    same(
        CenterLoss.loss_and_gradient(matrix.view(), &labels).unwrap(),
        CenterLoss.loss_and_gradient(columns.view(), &labels).unwrap(),
    );
}

#[test]
fn cures_speak_of_no_option() {
    let cures = [
        Cure::DropInvalid,
        Cure::DropZeroVectors,
        Cure::DropUnlabelled,
        Cure::UseFloat64,
        Cure::CheckLabels,
        Cure::CheckRowChoice,
        Cure::GiveDistanceMatrix,
        Cure::GiveTemperature,
        Cure::NameColumns,
        Cure::DropGallery,
        Cure::ScoreAllRows,
    ];
    for cure in cures {
        assert!(!cure.to_string().contains("--"), "{cure}");
    }
}
