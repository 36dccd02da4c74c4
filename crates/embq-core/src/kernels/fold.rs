//! The vocabulary of passes over rows: what a pass hands over, what is kept of it, and what a pass returns.

use ndarray::Array2;

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
    /// Radii alone, of distances with a closed form.
    pub radii: bool,
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
