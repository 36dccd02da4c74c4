//! Measures how similar two spaces of the same rows are: another checkpoint, layer or model. Their dimensions may
//! differ, and a rotation or a common factor does not change the numbers, except that an offset and a factor change
//! nearest neighbours under some distances.
//!
//! Everything but the neighbours follows from sums over rows: the covariances of both spaces and their
//! cross-covariance. The N x N matrices of the definitions are never built.

use std::borrow::Borrow;
use std::collections::HashSet;

use indexmap::IndexMap;
use ndarray::{Array2, ArrayView2};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{Dataset, Precision, drawn};
use crate::distance::Distance;
use crate::error::{Error, Result};
use crate::kernels::{BoundedPairs, Covariance, Eigen, Real, covariance, cross_products, rounding_of, singular_values};
use crate::progress::Progress;

/// The numbers that follow from the vectors themselves.
const OF_VECTORS: [&str; 4] = ["linear_cka", "debiased_cka", "procrustes", "linear_regression_r2"];

/// The numbers of neighbours to compare.
pub const KS: [usize; 3] = [1, 5, 10];

/// Up to this many pairs of rows, neighbours of all rows are compared; in larger sets, those of a sample.
const MOST_PAIRS: usize = 400_000_000;

/// The names of all numbers.
pub fn names() -> Vec<String> {
    let of_neighbours = KS.map(|k| format!("neighbour_overlap@{k}"));
    OF_VECTORS.map(str::to_owned).into_iter().chain(of_neighbours).collect()
}

/// The statistics of one space: its covariance, its principal axes and the neighbours of some rows.
#[derive(Clone, Debug)]
pub struct Space {
    covariance: Covariance,
    axes: Eigen,
    /// The rows whose neighbours are compared.
    queries: Vec<usize>,
    /// The nearest rows of each of them, nearest first.
    neighbours: Vec<Vec<u32>>,
}

impl Space {
    /// Computes the statistics of a space. If the neighbours of all rows would take too long, `seed` draws a sample of
    /// rows, which is the same for every space with the same number of rows.
    ///
    /// # Errors
    /// Distances that are not between vectors, values that are not finite, errors from reading rows, and
    /// [`Error::Cancelled`].
    pub fn of(dataset: &Dataset, seed: u64, progress: &dyn Progress) -> Result<Self> {
        match dataset.distance() {
            Distance::Cosine | Distance::Euclidean | Distance::SqEuclidean | Distance::Manhattan => {}
            distance @ (Distance::Hamming | Distance::Precomputed) => {
                return Err(Error::setting(
                    format!("similarity is measured between embeddings, not {distance} distances"),
                    "choose another distance, such as cosine",
                ));
            }
        }
        dataset.check_values::<f64>()?;
        let covariance = covariance(dataset, progress)?;
        let axes = Eigen::of(&covariance.matrix, covariance.mean.len())?;
        let n = dataset.len();
        let asked = (MOST_PAIRS / n.max(1)).clamp(1, n);
        let queries = if asked == n { (0..n).collect() } else { drawn(n, asked, seed) };
        let neighbours = match dataset.embeddings().element_type().precision() {
            Precision::F32 => neighbours::<f32>(dataset, &queries, progress)?,
            Precision::F64 => neighbours::<f64>(dataset, &queries, progress)?,
        };
        Ok(Space { covariance, axes, queries, neighbours })
    }

    /// The number of rows whose neighbours are compared.
    pub fn queries(&self) -> usize {
        self.queries.len()
    }

    /// The sum of the squared lengths of the centred rows.
    fn square(&self) -> f64 {
        self.covariance.rows as f64 * self.covariance.matrix.diag().sum()
    }

    /// The squared Frobenius norm of X^T X.
    fn gram_square(&self) -> f64 {
        let rows = self.covariance.rows as f64;
        rows * rows * self.covariance.matrix.iter().map(|value| value * value).sum::<f64>()
    }
}

fn neighbours<T: Real>(dataset: &Dataset, queries: &[usize], progress: &dyn Progress) -> Result<Vec<Vec<u32>>> {
    let dataset = &*dataset.in_any_order(T::PRECISION)?;
    let most = KS.into_iter().max().unwrap_or(0).min(dataset.len().saturating_sub(1));
    let pairs = BoundedPairs::<T>::new(dataset, None, dataset.distance(), progress)?;
    pairs.nearest(queries, |_| most, |_, found| found.iter().map(|neighbour| neighbour.row).collect())
}

/// The numbers of a pair of spaces, in the order of [`names`]; `None` if undefined. `linear_regression_r2` is the share
/// of the variance of the first space that the second explains.
pub type Similarity = IndexMap<String, Option<f64>>;

/// Compares two spaces of the same rows, each given as a data set and its statistics. Returns the first against the
/// second, and the second against the first.
///
/// # Errors
/// Spaces with different numbers of rows, errors from reading rows, and [`Error::Cancelled`].
pub fn similarity(
    (left, left_space): (&Dataset, &Space),
    (right, right_space): (&Dataset, &Space),
    progress: &dyn Progress,
) -> Result<[Similarity; 2]> {
    if left.len() != right.len() {
        let name = |dataset: &Dataset| dataset.embeddings().origin().to_string();
        return Err(Error::setting(
            format!("{} has {} rows, {} has {}", name(left), left.len(), name(right), right.len()),
            "spaces are compared on the same rows: pair them by a key, or leave out the same rows in both",
        ));
    }
    let cross = cross_products((left, &left_space.covariance.mean), (right, &right_space.covariance.mean), progress)?;
    let n = left.len() as f64;
    let square = |matrix: &Array2<f64>| matrix.iter().map(|value| value * value).sum::<f64>();
    let crossed = square(&cross.matrix);
    let (left_square, right_square) = (left_space.square(), right_space.square());
    let share = |part: f64, whole: f64| Some(part / whole).filter(|share| whole > 0.0 && share.is_finite());

    let cka = share(crossed, (left_space.gram_square() * right_space.gram_square()).sqrt());
    let debiased =
        |gram: f64, squares: f64, lengths: f64| gram - n / (n - 2.0) * squares + lengths / ((n - 1.0) * (n - 2.0));
    let debiased_cka = (left.len() > 3).then(|| {
        let [both, left_quartic, right_quartic] = cross.squares;
        let own = |space: &Space, quartic: f64| {
            debiased(space.gram_square(), quartic, space.square() * space.square()).max(0.0)
        };
        let whole = (own(left_space, left_quartic) * own(right_space, right_quartic)).sqrt();
        share(debiased(crossed, both, left_square * right_square), whole)
    });
    let procrustes = match share(1.0, (left_square * right_square).sqrt()) {
        Some(scale) => {
            let (rows, columns) = cross.matrix.dim();
            let relative: Vec<f64> = cross.matrix.iter().map(|value| value * scale).collect();
            let nuclear: f64 = singular_values(&relative, rows, columns).ok_or_else(not_found)?.into_iter().sum();
            Some((2.0 - 2.0 * nuclear).max(0.0).sqrt())
        }
        None => None,
    };
    let forth = share(explained(cross.matrix.view(), right_space), left_square);
    let back = share(explained(cross.matrix.t(), left_space), right_square);
    Ok([forth, back].map(|explained| {
        let at_most_1 = |share: Option<f64>| share.map(|share| share.min(1.0));
        let numbers = [at_most_1(cka), debiased_cka.flatten(), procrustes, at_most_1(explained)];
        let overlaps = KS.map(|k| overlap(left_space, right_space, k));
        names().into_iter().zip(numbers.into_iter().chain(overlaps)).collect()
    }))
}

impl Space {
    /// The similarity of the space to itself, which is maximal where defined.
    pub fn with_itself(&self) -> Similarity {
        let of_vectors = |value| Some(value).filter(|_| self.square() > 0.0);
        let debiased = of_vectors(1.0).filter(|_| self.covariance.rows > 3);
        let numbers = [of_vectors(1.0), debiased, of_vectors(0.0), of_vectors(1.0)];
        let overlaps = KS.map(|k| overlap(self, self, k));
        names().into_iter().zip(numbers.into_iter().chain(overlaps)).collect()
    }
}

fn not_found() -> Error {
    Error::setting("the singular values of a matrix cannot be found", "check that the values of both have a usual size")
}

/// The part of the squared lengths of the centred rows that the best linear map from `space` reproduces, given the
/// products with its rows.
fn explained(cross: ArrayView2<'_, f64>, space: &Space) -> f64 {
    let rows = space.covariance.rows as f64;
    let Eigen { values, vectors } = &space.axes;
    let rounding = rounding_of(values);
    let along = cross.dot(&vectors.t());
    let axes = values.iter().zip(along.columns()).filter(|(value, _)| **value > rounding);
    axes.map(|(value, along)| along.iter().map(|part| part * part).sum::<f64>() / (rows * value)).sum()
}

/// The mean over rows of the number of shared neighbours over the number of neighbours in either space.
fn overlap(left: &Space, right: &Space, k: usize) -> Option<f64> {
    if left.queries != right.queries || left.covariance.rows <= k {
        return None;
    }
    let shares = left.neighbours.iter().zip(&right.neighbours).map(|(left, right)| {
        let (left, right) = (&left[..k.min(left.len())], &right[..k.min(right.len())]);
        let others: HashSet<u32> = left.iter().copied().collect();
        let shared = right.iter().filter(|row| others.contains(row)).count();
        shared as f64 / (left.len() + right.len() - shared) as f64
    });
    let count = left.neighbours.len();
    Some(shares.sum::<f64>() / count as f64).filter(|mean| mean.is_finite())
}

/// The similarity of each pair of checkpoints.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Similarities {
    /// For each number, the checkpoints against each other, in their order: row i and column j are i against j.
    pub matrices: IndexMap<String, Vec<Vec<Option<f64>>>>,
    /// The number of rows whose neighbours are compared.
    pub neighbour_rows: usize,
}

impl Similarities {
    /// Compares each pair of `count` data sets of the same rows. Each is opened anew for every pair it is in, so that no more
    /// than two are open at a time; `seed` is that of [`Space::of`].
    ///
    /// # Errors
    /// What `open` reports, and what [`Space::of`] and [`similarity`] do.
    pub fn between<'a, D: Borrow<Dataset<'a>>>(
        count: usize,
        mut open: impl FnMut(usize) -> Result<D>,
        seed: u64,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let mut spaces: Vec<Space> = Vec::with_capacity(count);
        let mut matrices: IndexMap<String, Vec<Vec<Option<f64>>>> = IndexMap::new();
        let mut place_at = |row: usize, column: usize, numbers: Similarity| {
            for (name, value) in numbers {
                matrices.entry(name).or_insert_with(|| vec![vec![None; count]; count])[row][column] = value;
            }
        };
        for row in 0..count {
            let first = open(row)?;
            // The first row of the matrices meets every data set.
            if row == 0 {
                spaces.push(Space::of(first.borrow(), seed, progress)?);
            }
            place_at(row, row, spaces[row].with_itself());
            for column in row + 1..count {
                let second = open(column)?;
                if row == 0 {
                    spaces.push(Space::of(second.borrow(), seed, progress)?);
                }
                let [forth, back] =
                    similarity((first.borrow(), &spaces[row]), (second.borrow(), &spaces[column]), progress)?;
                place_at(row, column, forth);
                place_at(column, row, back);
            }
        }
        Ok(Similarities { matrices, neighbour_rows: spaces.first().map_or(0, Space::queries) })
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::progress::NoProgress;

    fn both_ways(x: &Array2<f64>, y: &Array2<f64>) -> [Similarity; 2] {
        let labels = |x: &Array2<f64>| (0..x.nrows()).map(|row| row % 2).collect::<Vec<_>>();
        let dataset = |x| Dataset::builder(x, labels(x)).distance(Distance::Euclidean).build().unwrap();
        let (left, right) = (dataset(x), dataset(y));
        let space = |dataset| Space::of(dataset, 0, &NoProgress).unwrap();
        similarity((&left, &space(&left)), (&right, &space(&right)), &NoProgress).unwrap()
    }

    fn compared(x: &Array2<f64>, y: &Array2<f64>) -> Similarity {
        let [forth, back] = both_ways(x, y);
        assert!(forth.iter().zip(&back).all(|(forth, back)| forth == back || forth.0 == "linear_regression_r2"));
        forth
    }

    fn assert_close(found: Option<f64>, expected: f64) {
        assert!(found.is_some_and(|found| (found - expected).abs() < 1e-12), "{found:?} {expected}");
    }

    #[test]
    fn a_space_is_itself_rotated_moved_and_scaled() {
        let x = array![[0.0, 1.0], [2.0, 5.0], [-3.0, 1.0], [7.0, 2.0], [1.0, -4.0], [0.5, 0.25]];
        let rotated = x.dot(&array![[0.6, 0.8], [-0.8, 0.6]]) * 3.0 + 100.0;
        let found = compared(&x, &rotated);
        assert_eq!(found.keys().cloned().collect::<Vec<_>>(), names());
        for name in ["linear_cka", "debiased_cka", "linear_regression_r2", "neighbour_overlap@1", "neighbour_overlap@5"]
        {
            assert_close(found[name], 1.0);
        }
        assert!(found["procrustes"].is_some_and(|distance| distance < 1e-7));
        // A row has fewer than ten others.
        assert_eq!(found["neighbour_overlap@10"], None);
    }

    #[test]
    fn values_by_hand() {
        // x = -1, 1, -1, 1 and y = -1, -1, 1, 1 are uncorrelated; z has both.
        let x = array![[-1.0], [1.0], [-1.0], [1.0]];
        let y = array![[-1.0], [-1.0], [1.0], [1.0]];
        let z = array![[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0]];
        let apart = compared(&x, &y);
        assert_close(apart["linear_cka"], 0.0);
        assert_close(apart["procrustes"], 2f64.sqrt());
        assert_close(apart["linear_regression_r2"], 0.0);
        // X^T Z = (4, 0), X^T X = 4, Z^T Z = diag(4, 4).
        let part = compared(&x, &z);
        assert_close(part["linear_cka"], 16.0 / (4.0 * 32f64.sqrt()));
        assert_close(part["procrustes"], (2.0 - 2.0 * 4.0 / 32f64.sqrt()).sqrt());
        assert_close(part["linear_regression_r2"], 1.0);
        assert_close(both_ways(&x, &z)[1]["linear_regression_r2"], 0.5);
        // n = 4: 16 - 2 * (1 * 2 * 4) + 4 * 8 / 6; own 16 - 2 * 4 + 16 / 6 and 32 - 2 * 16 + 64 / 6.
        let expected = (16.0 / 3.0) / (8.0 + 8.0 / 3.0_f64).sqrt() / (32.0 / 3.0_f64).sqrt();
        assert_close(part["debiased_cka"], expected);
    }

    #[test]
    fn neighbours_are_compared_by_jaccard() {
        // The nearest of 0, 1, 10, 12 are 1, 0, 3, 2; those of 0, 9, 10, 12 are 1, 2, 1, 2.
        let found = compared(&array![[0.0], [1.0], [10.0], [12.0]], &array![[0.0], [9.0], [10.0], [12.0]]);
        assert_close(found["neighbour_overlap@1"], 0.5);
    }

    #[test]
    fn a_constant_space_is_like_no_other() {
        let constant = array![[1.0], [1.0], [1.0], [1.0]];
        let found = compared(&constant, &array![[0.0], [9.0], [10.0], [12.0]]);
        for name in ["linear_cka", "debiased_cka", "procrustes", "linear_regression_r2"] {
            assert_eq!(found[name], None, "{name}");
        }
    }

    #[test]
    fn spaces_have_the_same_rows_and_vectors() {
        let labels = [0, 1, 0];
        let (x, y) = (array![[1.0], [2.0], [4.0]], array![[1.0], [2.0]]);
        let (left, right) = (Dataset::new(&x, labels).unwrap(), Dataset::new(&y, [0, 1]).unwrap());
        let space = |dataset| Space::of(dataset, 0, &NoProgress).unwrap();
        let error = similarity((&left, &space(&left)), (&right, &space(&right)), &NoProgress).unwrap_err();
        assert!(error.to_string().contains("has 3 rows"), "{error}");
    }
}
