//! The arithmetic: from rows to mean distances between rows and classes.
//!
//! Every route ends in the same fold, [`RowFold`], which sees the mean distances D_ic of a row in class order, a run of
//! classes at a time. So a consumer works alike for closed forms, which have all K values of a row at once, and for pair
//! tiles, which never hold N x K numbers.

mod all_pairs;
mod between_classes;
mod bounded_pairs;
mod centre;
mod centroids;
mod class_means;
mod class_sums;
mod closed_form;
mod covariance;
mod dense;
mod exponential;
mod gemm;
mod in_order;
mod influence;
mod neighbours;
mod pair_geometry;
mod pairs;
mod precomputed;
mod real;
mod rounding;
mod sorted_dimensions;
mod vectorized;
mod workspaces;

use ndarray::Array2;

use crate::data::{Dataset, Precision};
use crate::distance::Distance;
use crate::error::{Error, Result};
use crate::progress::Progress;

pub(crate) use all_pairs::{PairStatistics, PairsWanted};
pub(crate) use bounded_pairs::{BoundedPairs, Neighbour};
pub(crate) use class_means::{ClassMeans, NearestMeans};
pub use covariance::{Covariance, Eigen, covariance};
pub(crate) use dense::{LANES, RowScale, lane_sum, lane_sum_2, largest_magnitude, smallest};
pub use exponential::exp_and_exp_m1;
pub(crate) use exponential::{rough_exponentials, rough_sums};
pub(crate) use gemm::{Packed, multiply, multiply_columns, multiply_packed, multiply_transposed, transposed_multiply};
pub(crate) use in_order::{blocks_at_once, for_each_block};
pub(crate) use influence::{ClassInfluence, Influence};
pub use neighbours::{Neighbours, nearest_neighbours};
pub use real::Real;
pub(crate) use rounding::Rounding;
pub use sorted_dimensions::ManhattanCost;
use sorted_dimensions::SortedDimensions;
pub(crate) use vectorized::{Vectorized, vectorized};

/// What is kept of the mean distances of a row to all classes.
pub trait RowFold: Sync {
    /// What is known of a row so far.
    type State: Clone + Send;
    /// What remains of it.
    type Output: Default + Clone + Send;

    /// A row of which nothing is known yet: its number among the rows that are scored, and its class.
    fn start(&self, index: usize, own: usize) -> Self::State;

    /// The mean distances to the classes `first`, `first + 1`, ...; the calls for a row go through the classes in order.
    /// The entry of the own class leaves out the row itself, and is 0 where the row is the only one of its class.
    fn absorb(&self, state: &mut Self::State, first: usize, distances: &[f64]);

    /// The result, after all classes.
    fn finish(&self, state: Self::State) -> Self::Output;
}

/// A loss that sees rows only through their mean distances to classes: a sum of one part for each row.
pub trait DistanceLoss: Sync {
    /// The part of a row of class `own` with these mean distances to all classes; `slopes` takes its derivatives by
    /// them. The distance to the own class is as in [`RowFold::absorb`].
    fn differentiate(&self, own: usize, distances: &[f64], slopes: &mut [f64]) -> f64;

    /// A change of distances that changes the derivatives by about their own size: a temperature. Distances are
    /// computed so accurately that their errors are small against it.
    fn resolution(&self) -> f64;
}

/// Which statistics of classes are wanted beside the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Radii, centroids, separations.
    pub geometry: bool,
    /// The K x K matrix of mean distances between classes.
    pub matrix: bool,
}

/// The other class at the smallest mean distance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    pub class: u32,
    pub distance: f64,
}

impl Nearest {
    /// Keeps the nearer of two; on a tie the earlier one.
    pub(crate) fn update(best: &mut Option<Nearest>, class: usize, distance: f64) {
        if best.is_none_or(|best| distance < best.distance) {
            *best = Some(Nearest { class: class as u32, distance });
        }
    }
}

/// Statistics that follow from class means and class sums.
#[derive(Clone, Debug, Default)]
pub struct ClassGeometry {
    /// For each class the nearest other class by mean distance between their rows.
    pub nearest: Vec<Option<Nearest>>,
    /// For each class the distance of its mean to the nearest other class mean; `None` where a mean has no direction
    /// (cosine) or there are no means (precomputed distances).
    pub centroid_separation: Vec<Option<f64>>,
    /// For each class the mean squared Euclidean distance of its rows (unit vectors for cosine) to their mean.
    pub variance: Vec<Option<f64>>,
    /// For each scored row the distance to the mean of its class.
    pub radius: Vec<Option<f64>>,
    /// trace(S_B) and trace(S_W).
    pub scatter: Option<(f64, f64)>,
    /// K x K mean distances between classes, if wanted; the diagonal is left 0.
    pub matrix: Option<Array2<f64>>,
}

/// The outcome of one pass.
pub struct ClassDistances<O> {
    /// One entry for each row that is scored.
    pub rows: Vec<O>,
    /// Empty where it was not wanted.
    pub geometry: ClassGeometry,
}

/// Mean distances of rows to classes, prepared for one or several passes.
pub struct ClassDistanceKernel<'a> {
    route: Route<'a>,
}

enum Route<'a> {
    ClosedF32(closed_form::ClosedForm<'a, f32>),
    ClosedF64(closed_form::ClosedForm<'a, f64>),
    PairsF32(pairs::PairTiles<'a, f32>),
    PairsF64(pairs::PairTiles<'a, f64>),
    Sorted(SortedDimensions<'a>),
    Precomputed(precomputed::Precomputed<'a>),
}

impl<'a> ClassDistanceKernel<'a> {
    /// Chooses the route for a distance and does what all passes share.
    ///
    /// # Errors
    /// What reading rows reports; a precomputed matrix that is not a distance matrix.
    pub fn new(
        dataset: &'a Dataset,
        distance: Distance,
        precision: Precision,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let distance = distance.computed();
        let route = match (distance, precision) {
            (Distance::Precomputed, _) => Route::Precomputed(precomputed::Precomputed::new(dataset, progress)?),
            (Distance::Cosine | Distance::SqEuclidean | Distance::Hamming, Precision::F32) => {
                Route::ClosedF32(closed_form::ClosedForm::new(dataset, distance, progress)?)
            }
            (Distance::Cosine | Distance::SqEuclidean | Distance::Hamming, Precision::F64) => {
                Route::ClosedF64(closed_form::ClosedForm::new(dataset, distance, progress)?)
            }
            (Distance::Manhattan, _) if SortedDimensions::pays(dataset, precision) => {
                Route::Sorted(SortedDimensions::new(dataset, precision, progress)?)
            }
            (Distance::Euclidean | Distance::Manhattan, Precision::F32) => {
                Route::PairsF32(pairs::PairTiles::new(dataset, distance, progress)?)
            }
            (Distance::Euclidean | Distance::Manhattan, Precision::F64) => {
                Route::PairsF64(pairs::PairTiles::new(dataset, distance, progress)?)
            }
        };
        Ok(ClassDistanceKernel { route })
    }

    /// One pass over all rows and classes.
    ///
    /// # Errors
    /// What reading rows reports.
    pub fn pass<F: RowFold>(&self, fold: &F, wanted: Wanted) -> Result<ClassDistances<F::Output>> {
        match &self.route {
            Route::ClosedF32(kernel) => kernel.pass(fold, wanted),
            Route::ClosedF64(kernel) => kernel.pass(fold, wanted),
            Route::PairsF32(kernel) => kernel.pass(fold, wanted),
            Route::PairsF64(kernel) => kernel.pass(fold, wanted),
            Route::Sorted(kernel) => kernel.pass(fold, wanted),
            Route::Precomputed(kernel) => kernel.pass(fold, wanted),
        }
    }

    /// The influence of every row on the means of scores that see rows only through their mean distances. All rows are
    /// scored.
    ///
    /// # Errors
    /// What reading rows reports.
    pub(crate) fn influence<L: DistanceLoss>(&self, scores: &[L]) -> Result<Vec<Influence>> {
        match &self.route {
            Route::ClosedF32(kernel) => kernel.influence(scores),
            Route::ClosedF64(kernel) => kernel.influence(scores),
            Route::PairsF32(kernel) => kernel.influence(scores),
            Route::PairsF64(kernel) => kernel.influence(scores),
            Route::Sorted(kernel) => kernel.influence(scores),
            Route::Precomputed(kernel) => kernel.influence(scores),
        }
    }

    /// The same on the means over single classes, which `with` takes.
    ///
    /// # Errors
    /// What reading rows reports.
    pub(crate) fn class_influence<L: DistanceLoss>(
        &self,
        scores: &[L],
        classes: &[usize],
        with: ClassInfluence<'_>,
    ) -> Result<()> {
        match &self.route {
            Route::ClosedF32(kernel) => kernel.class_influence(scores, classes, with),
            Route::ClosedF64(kernel) => kernel.class_influence(scores, classes, with),
            Route::PairsF32(kernel) => kernel.class_influence(scores, classes, with),
            Route::PairsF64(kernel) => kernel.class_influence(scores, classes, with),
            Route::Sorted(kernel) => kernel.class_influence(scores, classes, with),
            Route::Precomputed(kernel) => kernel.class_influence(scores, classes, with),
        }
    }
}

/// The sum of the parts of all rows, and `factor` times its gradient by the rows (N x d, in row order) as they are given:
/// for cosine, through the normalisation. Products are of type `T` where these keep the errors of the gradient below 1e-5
/// of its largest entry, else float64.
///
/// # Errors
/// A distance without a gradient, row weights, a subsample, what reading rows reports.
pub fn gradient<T: Real, L: DistanceLoss>(
    dataset: &Dataset,
    loss: &L,
    factor: f64,
    progress: &dyn Progress,
) -> Result<(f64, Array2<T>)> {
    if dataset.weights().is_some() || dataset.scored().is_subsample() {
        let problem = "gradients have neither row weights nor a subsample";
        return Err(Error::setting(problem, "give all rows the same weight"));
    }
    let shape = (dataset.len(), dataset.dimensions());
    if let Some((total, gradient)) = gradient_by_products_of::<T, L>(dataset, loss, factor, progress)? {
        return Ok((total, Array2::from_shape_vec(shape, gradient).unwrap_or_default()));
    }
    let (total, gradient) = gradient_by_products_of::<f64, L>(dataset, loss, factor, progress)?.unwrap_or_default();
    let gradient = gradient.into_iter().map(T::from_f64).collect();
    Ok((total, Array2::from_shape_vec(shape, gradient).unwrap_or_default()))
}

/// The same by products of one type; `None` where these are not accurate enough, which float64 always is.
fn gradient_by_products_of<T: Real, L: DistanceLoss>(
    dataset: &Dataset,
    loss: &L,
    factor: f64,
    progress: &dyn Progress,
) -> Result<Option<(f64, Vec<T>)>> {
    let distance = dataset.distance();
    match distance {
        Distance::Cosine | Distance::SqEuclidean | Distance::Hamming => {
            closed_form::ClosedForm::<T>::new(dataset, distance, progress)?.gradient(loss, factor)
        }
        Distance::Euclidean => {
            let pairs = pairs::PairTiles::<T>::new(dataset, distance, progress)?;
            if pairs.is_too_coarse_for(loss.resolution()) { Ok(None) } else { pairs.gradient(loss, factor).map(Some) }
        }
        Distance::Manhattan | Distance::Precomputed => Err(Error::setting(
            format!("the silhouette loss has no gradient by {distance} distance"),
            "cosine, sqeuclidean and euclidean have one",
        )),
    }
}

/// Rows sorted by class, in row order within a class, with the place where each class starts and where the last ends.
pub(crate) fn sort_by_class(codes: &[u32], counts: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut starts = Vec::with_capacity(counts.len() + 1);
    let mut end = 0;
    starts.push(0);
    for &count in counts {
        end += count;
        starts.push(end);
    }
    let mut next = starts.clone();
    let mut order = vec![0; codes.len()];
    for (row, &code) in codes.iter().enumerate() {
        order[next[code as usize]] = row;
        next[code as usize] += 1;
    }
    (order, starts)
}
