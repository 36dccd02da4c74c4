//! Micro-benchmarks of the kernels, each on one set of rows.
//!
//! ```text
//! cargo bench -p embq-core --bench kernels            # or a part of a name: -- gradient
//! ```

use divan::Bencher;
use embq_core::data::{Dataset, DatasetOptions, Embeddings, LabelColumnBuilder, LabelType, Origin, Precision};
use embq_core::distance::Distance;
use embq_core::evaluation::{Settings, evaluate};
use embq_core::kernels::{ClassDistanceKernel, Eigen, PassOptions, RowFold, covariance, nearest_neighbours};
use embq_core::losses::{CenterLoss, CrossEntropy, SoftSilhouette, SupervisedContrastive};
use embq_core::metrics::{RowScoreFold, Selection, SmoothMaximum, SoftMinimum};
use embq_core::progress::NoProgress;
use ndarray::{Array1, Array2};

const ROWS: usize = 8192;
const DIMENSIONS: usize = 256;

fn main() {
    divan::main();
}

/// Overlapping clusters.
fn rows() -> Array2<f32> {
    Array2::from_shape_fn((ROWS, DIMENSIONS), |(row, column)| {
        let noise = (row * 7919 + column * 104_729 + (row * column) % 8191) % 10_007;
        let centre = ((row % 97) * 31 + column * 17) % 101;
        noise as f32 / 10_007.0 + centre as f32 / 404.0 - 0.6
    })
}

fn labels(classes: usize) -> Vec<usize> {
    (0..ROWS).map(|row| row % 97 * classes / 97 + row / 97 % (classes.div_ceil(97))).collect()
}

fn dataset(distance: Distance, classes: usize) -> Dataset<'static> {
    let mut column = LabelColumnBuilder::new(LabelType::Integer);
    labels(classes).into_iter().for_each(|label| column.push_integer(label as i128));
    let embeddings = Embeddings::from_f32(Origin::new("rows"), rows());
    let labels = column.finish(Origin::new("labels"));
    Dataset::join(embeddings, &labels, distance, &DatasetOptions::default()).expect("rows and labels fit")
}

/// Keeps nothing, which leaves only the cost of the distances.
struct Nothing;

impl RowFold for Nothing {
    type State = f64;
    type Output = f64;

    fn start(&self, _index: usize, _own: usize) -> f64 {
        0.0
    }

    #[inline(always)]
    fn absorb(&self, state: &mut f64, _first: usize, distances: &[f64]) {
        *state += distances[0];
    }

    fn finish(&self, state: f64) -> f64 {
        state
    }
}

const CASES: [(Distance, Precision, usize); 8] = [
    (Distance::Cosine, Precision::F32, 10),
    (Distance::Cosine, Precision::F32, 1000),
    (Distance::Cosine, Precision::F64, 1000),
    (Distance::SqEuclidean, Precision::F32, 1000),
    (Distance::Euclidean, Precision::F32, 10),
    (Distance::Euclidean, Precision::F32, 1000),
    // By sorted dimensions, and by pairs.
    (Distance::Manhattan, Precision::F32, 10),
    (Distance::Manhattan, Precision::F32, 1000),
];

fn pass(bencher: Bencher, (distance, precision, classes): (Distance, Precision, usize), scored: bool) {
    let dataset = dataset(distance, classes);
    let fold = RowScoreFold {
        precision,
        temperature: 0.1,
        softmin: SoftMinimum::Weighted,
        softmax: SmoothMaximum::Lse,
        counts: dataset.labels().counts(),
    };
    let kernel = ClassDistanceKernel::new(&dataset, distance, precision, &NoProgress).expect("a kernel");
    bencher.bench_local(|| {
        if scored {
            kernel.pass(&fold, PassOptions::default()).expect("a pass").rows.len()
        } else {
            kernel.pass(&Nothing, PassOptions::default()).expect("a pass").rows.len()
        }
    });
}

/// Class sums, centre, and sorting by class.
#[divan::bench(args = CASES)]
fn preparation(bencher: Bencher, (distance, precision, classes): (Distance, Precision, usize)) {
    let dataset = dataset(distance, classes);
    bencher.bench_local(|| {
        let kernel = ClassDistanceKernel::new(&dataset, distance, precision, &NoProgress).expect("a kernel");
        std::mem::size_of_val(&kernel)
    });
}

#[divan::bench(args = CASES)]
fn distances_alone(bencher: Bencher, case: (Distance, Precision, usize)) {
    pass(bencher, case, false);
}

#[divan::bench(args = CASES)]
fn distances_and_scores(bencher: Bencher, case: (Distance, Precision, usize)) {
    pass(bencher, case, true);
}

#[divan::bench(args = [Distance::Cosine, Distance::Euclidean, Distance::Manhattan])]
fn neighbours(bencher: Bencher, distance: Distance) {
    let dataset = dataset(distance, 100);
    bencher.bench_local(|| nearest_neighbours(&dataset, 10, &NoProgress).expect("neighbours").indices.len());
}

#[divan::bench]
fn covariance_and_eigenvalues(bencher: Bencher) {
    let dataset = dataset(Distance::Cosine, 100);
    bencher.bench_local(|| {
        let covariance = covariance(&dataset, &NoProgress).expect("a covariance");
        Eigen::of(&covariance.matrix, 0).expect("eigenvalues").values.len()
    });
}

/// Metrics with kernels of their own: class means, the widest and nearest pairs, sums over all pairs.
#[divan::bench(args = ["davies_bouldin", "simplified_silhouette", "nc4", "dunn", "uniformity", "supcon"])]
fn metric(bencher: Bencher, name: &str) {
    let settings =
        Settings { metrics: Selection::parse([name]).expect("a metric"), rows: false, ..Settings::default() };
    let dataset = dataset(Distance::Cosine, 100);
    bencher.bench_local(|| evaluate(&dataset, &settings, &NoProgress).expect("an evaluation").evaluation.metrics.len());
}

/// The silhouette alone, and with the influence of every row on it and on the silhouettes of classes.
#[divan::bench(args = [(Distance::Cosine, false), (Distance::Cosine, true), (Distance::Euclidean, true)])]
fn intervals(bencher: Bencher, (distance, intervals): (Distance, bool)) {
    let metrics = Selection::parse(["silhouette"]).expect("a metric");
    let settings = Settings { distance, intervals, metrics, rows: false, ..Settings::default() };
    let dataset = dataset(distance, 100);
    bencher.bench_local(|| evaluate(&dataset, &settings, &NoProgress).expect("an evaluation").evaluation.metrics.len());
}

#[divan::bench(args = [(Distance::Cosine, 10), (Distance::Cosine, 1000), (Distance::Euclidean, 10)])]
fn silhouette_gradient(bencher: Bencher, (distance, classes): (Distance, usize)) {
    let (rows, labels) = (rows(), labels(classes));
    let loss = SoftSilhouette { distance, ..SoftSilhouette::new(0.1) };
    bencher.bench_local(|| loss.loss_and_gradient(rows.view(), &labels).expect("a gradient").loss);
}

#[divan::bench]
fn supervised_contrastive_gradient(bencher: Bencher) {
    let (rows, labels) = (rows(), labels(100));
    bencher.bench_local(|| {
        SupervisedContrastive::default().loss_and_gradient(rows.view(), &labels).expect("a gradient").loss
    });
}

#[divan::bench]
fn cross_entropy_gradient(bencher: Bencher) {
    let (rows, labels) = (rows(), labels(97));
    let (weights, bias) = (Array2::<f32>::from_elem((97, DIMENSIONS), 0.01), Array1::<f32>::zeros(97));
    bencher.bench_local(|| {
        let found = CrossEntropy.with_head(rows.view(), weights.view(), bias.view(), &labels);
        found.expect("a gradient").embeddings.loss
    });
}

#[divan::bench]
fn center_gradient(bencher: Bencher) {
    let (rows, labels) = (rows(), labels(100));
    bencher.bench_local(|| CenterLoss.loss_and_gradient(rows.view(), &labels).expect("a gradient").loss);
}
