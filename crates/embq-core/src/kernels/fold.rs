//! The interface of passes over rows: their input to consumers, the state that these keep, and the results.

use ndarray::Array2;

/// Consumes the mean distances of a row to all classes.
pub trait RowFold: Sync {
    /// The state of a row.
    type State: Clone + Send;
    /// The result for a row.
    type Output: Default + Clone + Send;

    /// The initial state of a row: `index` is its number among the scored rows, `own` its class.
    fn start(&self, index: usize, own: usize) -> Self::State;

    /// Adds the mean distances to the classes `first`, `first + 1`, ...; calls for a row come in class order. The entry
    /// of the row's own class excludes the row itself, and is 0 if it is the only row of its class.
    fn absorb(&self, state: &mut Self::State, first: usize, distances: &[f64]);

    /// The result, after all classes.
    fn finish(&self, state: Self::State) -> Self::Output;
}

/// A loss that depends on rows only through their mean distances to classes: a sum of one part per row.
pub trait DistanceLoss: Sync {
    /// The part of a row of class `own` with these mean distances to all classes; its derivatives with respect to them
    /// are written to `slopes`. The distance to the own class is as in [`RowFold::absorb`].
    fn differentiate(&self, own: usize, distances: &[f64], slopes: &mut [f64]) -> f64;

    /// The scale of distances over which the derivatives change substantially, such as a temperature. Distances are
    /// computed so accurately that their errors are small compared to it.
    fn resolution(&self) -> f64;
}

/// The class statistics to compute in addition to the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PassOptions {
    /// Radii, centroids, separations.
    pub geometry: bool,
    /// Radii alone, of distances with a closed form.
    pub radii: bool,
    /// The K x K matrix of mean distances between classes.
    pub matrix: bool,
    /// Whether the mean distances are kept for influence values, where these would take another pass over pairs and the
    /// distances fit into memory.
    pub keep: bool,
}

/// Keeps the mean distances of a row that another fold consumes.
pub(crate) struct Keeping<'f, F> {
    pub(crate) fold: &'f F,
    pub(crate) classes: usize,
}

impl<F: RowFold> RowFold for Keeping<'_, F> {
    type State = (F::State, Vec<f64>);
    type Output = (F::Output, Vec<f64>);

    fn start(&self, index: usize, own: usize) -> Self::State {
        (self.fold.start(index, own), Vec::with_capacity(self.classes))
    }

    fn absorb(&self, (state, kept): &mut Self::State, first: usize, distances: &[f64]) {
        self.fold.absorb(state, first, distances);
        kept.extend_from_slice(distances);
    }

    fn finish(&self, (state, kept): Self::State) -> Self::Output {
        (self.fold.finish(state), kept)
    }
}

/// The other class at the smallest mean distance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    pub class: u32,
    pub distance: f64,
}

impl Nearest {
    /// Keeps the nearer of two; the earlier one on a tie.
    pub(crate) fn update(best: &mut Option<Nearest>, class: usize, distance: f64) {
        if best.is_none_or(|best| distance < best.distance) {
            *best = Some(Nearest { class: class as u32, distance });
        }
    }
}

/// Statistics that follow from class means and class sums.
#[derive(Clone, Debug, Default)]
pub struct ClassGeometry {
    /// For each class, the nearest other class by mean distance between their rows.
    pub nearest: Vec<Option<Nearest>>,
    /// For each class, the distance of its mean to the nearest other class mean; `None` if a mean has no direction
    /// (cosine) or there are no means (precomputed distances).
    pub centroid_separation: Vec<Option<f64>>,
    /// For each class, the mean squared Euclidean distance of its rows (unit vectors for cosine) to their mean.
    pub variance: Vec<Option<f64>>,
    /// For each scored row, the distance to the mean of its class.
    pub radius: Vec<Option<f64>>,
    /// trace(S_B) and trace(S_W).
    pub scatter: Option<(f64, f64)>,
    /// K x K mean distances between classes, if requested; the diagonal is 0.
    pub matrix: Option<Array2<f64>>,
}

/// The result of one pass.
pub struct ClassDistances<O> {
    /// One entry per scored row.
    pub rows: Vec<O>,
    /// Empty if not requested.
    pub geometry: ClassGeometry,
}
