//! Selects how a distance's mean distances to classes are computed.

use std::sync::OnceLock;

use ndarray::Array2;

use crate::data::{Dataset, Precision};
use crate::distance::Distance;
use crate::error::{Error, Result};
use crate::kernels::centre::Centre;
use crate::kernels::class_sums::ClassSums;
use crate::kernels::closed_form::{ClosedDistance, ClosedForm};
use crate::kernels::fold::Keeping;
use crate::kernels::influence::{Influence, InfluencedScore, TakesInfluence};
use crate::kernels::pairs::{PairDistance, PairTiles};
use crate::kernels::precomputed::Precomputed;
use crate::kernels::sorted_dimensions::SortedDimensions;
use crate::kernels::{ClassDistances, DistanceLoss, PassOptions, Real, RowFold};
use crate::progress::Progress;

/// Numbers of mean distances up to which they are kept.
const KEPT: usize = 1 << 24;

/// Whether the mean distances of all rows to all classes are kept, where they are needed again.
pub(crate) fn are_kept(dataset: &Dataset) -> bool {
    dataset.len().saturating_mul(dataset.labels().classes()) <= KEPT
}

/// Mean distances of rows to classes, prepared for one or several passes.
pub struct ClassDistanceKernel<'a> {
    dataset: &'a Dataset<'a>,
    route: Route<'a>,
    /// The mean distances of each row, from a pass that keeps them.
    kept: OnceLock<Vec<Vec<f64>>>,
}

enum Route<'a> {
    ClosedF32(ClosedForm<'a, f32>),
    ClosedF64(ClosedForm<'a, f64>),
    PairsF32(PairTiles<'a, f32>),
    PairsF64(PairTiles<'a, f64>),
    Sorted(SortedDimensions<'a>),
    Precomputed(Precomputed<'a>),
}

/// Makes the same call on the kernel of any route.
macro_rules! on_route {
    ($route:expr, $kernel:ident => $call:expr) => {
        match $route {
            Route::ClosedF32($kernel) => $call,
            Route::ClosedF64($kernel) => $call,
            Route::PairsF32($kernel) => $call,
            Route::PairsF64($kernel) => $call,
            Route::Sorted($kernel) => $call,
            Route::Precomputed($kernel) => $call,
        }
    };
}

impl<'a> Route<'a> {
    fn closed_form(
        dataset: &'a Dataset<'a>,
        distance: ClosedDistance,
        precision: Precision,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        Ok(match precision {
            Precision::F32 => Route::ClosedF32(ClosedForm::new(dataset, distance, progress)?),
            Precision::F64 => Route::ClosedF64(ClosedForm::new(dataset, distance, progress)?),
        })
    }

    fn pairs(
        dataset: &'a Dataset<'a>,
        distance: PairDistance,
        precision: Precision,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        Ok(match precision {
            Precision::F32 => Route::PairsF32(PairTiles::new(dataset, distance, progress)?),
            Precision::F64 => Route::PairsF64(PairTiles::new(dataset, distance, progress)?),
        })
    }
}

impl<'a> ClassDistanceKernel<'a> {
    fn of_route(dataset: &'a Dataset<'a>, route: Route<'a>) -> Self {
        ClassDistanceKernel { dataset, route, kept: OnceLock::new() }
    }

    /// Selects the route for a distance and does the work shared by all passes.
    ///
    /// # Errors
    /// Errors from reading rows; a precomputed matrix that is not a distance matrix.
    pub fn new(
        dataset: &'a Dataset<'a>,
        distance: Distance,
        precision: Precision,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let route = match distance {
            Distance::Cosine => Route::closed_form(dataset, ClosedDistance::Cosine, precision, progress)?,
            Distance::SqEuclidean | Distance::Hamming => {
                Route::closed_form(dataset, ClosedDistance::SqEuclidean, precision, progress)?
            }
            Distance::Euclidean => Route::pairs(dataset, PairDistance::Euclidean, precision, progress)?,
            Distance::Manhattan if SortedDimensions::pays(dataset, precision) => {
                Route::Sorted(SortedDimensions::new(dataset, precision, progress)?)
            }
            Distance::Manhattan => Route::pairs(dataset, PairDistance::Manhattan, precision, progress)?,
            Distance::Precomputed => Route::Precomputed(Precomputed::new(dataset, progress)?),
        };
        Ok(Self::of_route(dataset, route))
    }

    /// The kernel of a distance with a closed form for rows of classes whose sums are known; `None` for other distances.
    pub(crate) fn of_classes(
        dataset: &'a Dataset<'a>,
        distance: Distance,
        precision: Precision,
        progress: &'a dyn Progress,
        sums: ClassSums,
        centre: Centre,
    ) -> Option<Self> {
        let distance = ClosedDistance::of(distance)?;
        let route = match precision {
            Precision::F32 => Route::ClosedF32(ClosedForm::of_classes(dataset, distance, progress, sums, centre)),
            Precision::F64 => Route::ClosedF64(ClosedForm::of_classes(dataset, distance, progress, sums, centre)),
        };
        Some(Self::of_route(dataset, route))
    }

    /// One pass over all rows and classes.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub fn pass<F: RowFold>(&self, fold: &F, wanted: PassOptions) -> Result<ClassDistances<F::Output>> {
        let classes = self.dataset.labels().classes();
        if !wanted.keep || self.has_closed_form() || !are_kept(self.dataset) {
            return on_route!(&self.route, kernel => kernel.pass(fold, wanted));
        }
        let keeping = Keeping { fold, classes };
        let ClassDistances { rows, geometry } = on_route!(&self.route, kernel => kernel.pass(&keeping, wanted))?;
        let (rows, distances) = rows.into_iter().unzip();
        let _ = self.kept.set(distances);
        Ok(ClassDistances { rows, geometry })
    }

    fn has_closed_form(&self) -> bool {
        match &self.route {
            Route::ClosedF32(_) | Route::ClosedF64(_) => true,
            Route::PairsF32(_) | Route::PairsF64(_) | Route::Sorted(_) | Route::Precomputed(_) => false,
        }
    }

    /// The precision of exponentials in the slopes of scores that is as good as that of the distances.
    pub(crate) fn slope_precision(&self) -> Precision {
        match &self.route {
            Route::ClosedF32(_) => Precision::F32,
            // Their passes over pairs take so long that exponentials cost nothing.
            Route::ClosedF64(_)
            | Route::PairsF32(_)
            | Route::PairsF64(_)
            | Route::Sorted(_)
            | Route::Precomputed(_) => Precision::F64,
        }
    }

    /// The influence of every row on the means of scores. That on the means over single classes goes to `takers`: for each
    /// of the first scores one for each of `classes`. All rows are scored.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn influence<S: InfluencedScore, A: TakesInfluence>(
        &self,
        scores: &[S],
        classes: &[usize],
        takers: &mut [Vec<A>],
    ) -> Result<Vec<Influence>> {
        let kept = self.kept.get().map(Vec::as_slice);
        match &self.route {
            Route::ClosedF32(kernel) => kernel.influence(scores, classes, takers),
            Route::ClosedF64(kernel) => kernel.influence(scores, classes, takers),
            Route::PairsF32(kernel) => kernel.influence(scores, kept, classes, takers),
            Route::PairsF64(kernel) => kernel.influence(scores, kept, classes, takers),
            Route::Sorted(kernel) => kernel.influence(scores, kept, classes, takers),
            Route::Precomputed(kernel) => kernel.influence(scores, kept, classes, takers),
        }
    }
}

/// The sum of the parts of all rows, and `factor` times its gradient with respect to the rows (N x d, in row order) as
/// given: for cosine, through the normalisation. Products are of type `T` if these keep the errors of the gradient
/// below 1e-5 of its largest entry, else float64.
///
/// # Errors
/// A distance without a gradient, row weights, a subsample, errors from reading rows.
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

/// The same with products of one type; `None` if these are not accurate enough, which float64 always is.
fn gradient_by_products_of<T: Real, L: DistanceLoss>(
    dataset: &Dataset,
    loss: &L,
    factor: f64,
    progress: &dyn Progress,
) -> Result<Option<(f64, Vec<T>)>> {
    let closed_form = |distance| ClosedForm::<T>::new(dataset, distance, progress)?.gradient(loss, factor);
    match dataset.distance() {
        Distance::Cosine => closed_form(ClosedDistance::Cosine),
        Distance::SqEuclidean | Distance::Hamming => closed_form(ClosedDistance::SqEuclidean),
        Distance::Euclidean => {
            let pairs = PairTiles::<T>::new(dataset, PairDistance::Euclidean, progress)?;
            // Directions need no more digits than distances have; what depends on a low temperature does.
            let (total, slopes) = if pairs.is_too_coarse_for(loss.resolution()) {
                PairTiles::<f64>::new(dataset, PairDistance::Euclidean, progress)?.slopes(loss, factor)?
            } else {
                pairs.slopes(loss, factor)?
            };
            Ok(Some((total, pairs.gradient(&slopes)?)))
        }
        distance @ (Distance::Manhattan | Distance::Precomputed) => Err(Error::setting(
            format!("the silhouette loss has no gradient for {distance} distance"),
            "cosine, sqeuclidean and euclidean have one",
        )),
    }
}
