//! The soft silhouette as a loss: 1 - the mean of s_i, after "Silhouette Loss" (arXiv:2604.08573).
//!
//! With H_ic = dL/dD_ic times what D_ic multiplies |x_i - mu_c|^2 + V_c by, the gradient by row j of class c is
//!
//! ```text
//! 2 sum_c' H_jc' (x_j - mu_c')  +  2/n_c (h_c x_j - W_c),   h_c = sum_i H_ic,   W_c = sum_i H_ic x_i
//! ```
//!
//! the first part from the row's own distances, the second from the class mean and the class variance that all rows,
//! and itself, are compared with. Both are products of matrices, so that the gradient costs about twice the loss. The
//! Euclidean distance has no such form: there every pair gives its part.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, Axis, s};
use rayon::prelude::*;

use crate::data::Element;
use crate::distance::Distance;
use crate::error::{Error, Result};
use crate::losses::{BLOCK, Classes, LossAndGradient, narrowed, normalise, through_normalisation, widened};
use crate::metrics::{SmoothMaximum, SoftMinimum, smooth_maximum};

/// Tasks whose class sums are held before they are added up.
const TASKS: usize = 8;

/// A squared distance below this share of the squares that it comes from is computed again by differences.
const CANCELLATION: f64 = 1e-4;

/// The soft silhouette loss.
///
/// ```
/// use embq::losses::SoftSilhouette;
/// use ndarray::array;
///
/// # fn main() -> embq::Result<()> {
/// let embeddings = array![[1.0, 0.1], [1.0, 0.3], [0.2, 1.0], [0.4, 1.0_f32]];
/// let labels = [0, 0, 1, 1];
/// let loss = SoftSilhouette::new(0.1);
/// let step = loss.loss_and_gradient(embeddings.view(), &labels)?;
/// let nearer = &embeddings - &(&step.gradient * 0.1);
/// assert!(loss.loss(nearer.view(), &labels)? < step.loss);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SoftSilhouette {
    /// tau, in units of the distance; positive.
    pub temperature: f64,
    /// Cosine, squared Euclidean or Euclidean.
    pub distance: Distance,
    pub soft_minimum: SoftMinimum,
    pub smooth_maximum: SmoothMaximum,
}

impl SoftSilhouette {
    /// The loss by cosine distance, with the weighted soft minimum and the log-sum-exp as maximum.
    pub fn new(temperature: f64) -> Self {
        SoftSilhouette {
            temperature,
            distance: Distance::Cosine,
            soft_minimum: SoftMinimum::default(),
            smooth_maximum: SmoothMaximum::default(),
        }
    }

    /// The loss: between 0 and 2.
    ///
    /// # Errors
    /// As [`SoftSilhouette::loss_and_gradient`].
    pub fn loss<T: Element>(&self, embeddings: ArrayView2<'_, T>, labels: &[usize]) -> Result<f64> {
        Ok(self.compute(embeddings, labels, false)?.0)
    }

    /// The loss and its gradient with respect to the embeddings (N x d) as they are given: for cosine, through the
    /// normalisation. `labels` are any N numbers, equal for rows of one class.
    ///
    /// # Errors
    /// Another number of labels than rows, fewer than 2 or more than N - 1 classes, values that are not finite, a zero
    /// vector under cosine, a temperature that is not positive, a distance that has no gradient here.
    pub fn loss_and_gradient<T: Element>(
        &self,
        embeddings: ArrayView2<'_, T>,
        labels: &[usize],
    ) -> Result<LossAndGradient<T>> {
        let (loss, gradient) = self.compute(embeddings, labels, true)?;
        Ok(LossAndGradient { loss, gradient: narrowed(&gradient) })
    }

    fn compute<T: Element>(
        &self,
        embeddings: ArrayView2<'_, T>,
        labels: &[usize],
        with_gradient: bool,
    ) -> Result<(f64, Array2<f64>)> {
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            let problem = format!("the temperature {} is not a positive number", self.temperature);
            return Err(Error::setting(problem, "name one such as 0.1"));
        }
        let classes = Classes::new(labels, embeddings.nrows())?;
        let mut rows = widened(embeddings)?;
        match self.distance {
            Distance::Cosine => {
                let norms = normalise(&mut rows)?;
                let units = rows.clone();
                centre(&mut rows);
                let (loss, mut gradient) = self.closed_form(&rows, &classes, 0.5, with_gradient);
                through_normalisation(&mut gradient, &units, &norms);
                Ok((loss, gradient))
            }
            Distance::SqEuclidean => {
                centre(&mut rows);
                Ok(self.closed_form(&rows, &classes, 1.0, with_gradient))
            }
            Distance::Euclidean => {
                centre(&mut rows);
                Ok(self.over_pairs(&rows, &classes, with_gradient))
            }
            other => Err(Error::setting(
                format!("the silhouette loss has no gradient by {other} distance"),
                "cosine, sqeuclidean and euclidean have one",
            )),
        }
    }

    /// Loss and gradient where D_ic is `scale` (|x_i - mu_c|^2 + V_c), times n / (n - 1) for the own class.
    fn closed_form(
        &self,
        rows: &Array2<f64>,
        classes: &Classes,
        scale: f64,
        with_gradient: bool,
    ) -> (f64, Array2<f64>) {
        let (n, k, d) = (rows.nrows(), classes.count(), rows.ncols());
        let mut means = Array2::<f64>::zeros((k, d));
        let mut squares = vec![0.0; k];
        for (row, &class) in rows.rows().into_iter().zip(&classes.codes) {
            means.row_mut(class).scaled_add(1.0, &row);
            squares[class] += row.dot(&row);
        }
        for (class, &size) in classes.sizes.iter().enumerate() {
            means.row_mut(class).mapv_inplace(|sum| sum / size as f64);
            squares[class] /= size as f64;
        }
        // What a squared distance to the mean and the variance are multiplied by.
        let factor = |row: usize, class: usize| {
            let size = classes.sizes[class] as f64;
            if classes.codes[row] == class && size > 1.0 { scale * size / (size - 1.0) } else { scale }
        };
        let block = |first: usize| {
            let last = (first + BLOCK).min(n);
            let own_rows = rows.slice(s![first..last, ..]);
            let mut matrix = own_rows.dot(&means.t());
            let mut loss = 0.0;
            for (index, mut row) in matrix.rows_mut().into_iter().enumerate() {
                let square = own_rows.row(index).dot(&own_rows.row(index));
                for (class, value) in row.iter_mut().enumerate() {
                    *value = factor(first + index, class) * (square - 2.0 * *value + squares[class]).max(0.0);
                }
                loss += self.differentiate(&mut row, classes, first + index) / n as f64;
                for (class, value) in row.iter_mut().enumerate() {
                    *value *= factor(first + index, class) / n as f64;
                }
            }
            if !with_gradient {
                return Block {
                    loss,
                    gradient: Array2::zeros((0, 0)),
                    sums: Array1::zeros(0),
                    vectors: Array2::zeros((0, 0)),
                };
            }
            let mut gradient = matrix.dot(&means);
            for (index, mut row) in gradient.rows_mut().into_iter().enumerate() {
                let sum = matrix.row(index).sum();
                row.zip_mut_with(&own_rows.row(index), |value, x| *value = 2.0 * (sum * x - *value));
            }
            Block { loss, gradient, sums: matrix.sum_axis(Axis(0)), vectors: matrix.t().dot(&own_rows) }
        };
        let mut loss = 1.0;
        let mut gradient = Array2::zeros(if with_gradient { (n, d) } else { (0, 0) });
        let mut sums = Array1::<f64>::zeros(k);
        let mut vectors = Array2::<f64>::zeros((k, d));
        let starts: Vec<usize> = (0..n).step_by(BLOCK).collect();
        for starts in starts.chunks(TASKS) {
            let blocks: Vec<Block> = starts.par_iter().map(|&first| block(first)).collect();
            for (&first, block) in starts.iter().zip(blocks) {
                loss += block.loss;
                if with_gradient {
                    gradient.slice_mut(s![first..first + block.gradient.nrows(), ..]).assign(&block.gradient);
                    sums += &block.sums;
                    vectors += &block.vectors;
                }
            }
        }
        for (row, mut gradient) in gradient.rows_mut().into_iter().enumerate() {
            let class = classes.codes[row];
            let share = 2.0 / classes.sizes[class] as f64;
            gradient.scaled_add(share * sums[class], &rows.row(row));
            gradient.scaled_add(-share, &vectors.row(class));
        }
        (loss, gradient)
    }

    /// Loss and gradient by Euclidean distance: every pair, a tile of rows against all at a time.
    fn over_pairs(&self, rows: &Array2<f64>, classes: &Classes, with_gradient: bool) -> (f64, Array2<f64>) {
        let (n, k) = (rows.nrows(), classes.count());
        let squares: Vec<f64> = rows.rows().into_iter().map(|row| row.dot(&row)).collect();
        let starts: Vec<usize> = (0..n).step_by(BLOCK).collect();
        let distances = |first: usize| {
            let own_rows = rows.slice(s![first..(first + BLOCK).min(n), ..]);
            let mut tile = own_rows.dot(&rows.t());
            for ((index, other), value) in tile.indexed_iter_mut() {
                let row = first + index;
                let sum = squares[row] + squares[other];
                let square = sum - 2.0 * *value;
                *value = if row == other {
                    0.0
                } else if square > CANCELLATION * sum {
                    square.sqrt()
                } else {
                    difference(rows.row(row), rows.row(other)).dot(&difference(rows.row(row), rows.row(other))).sqrt()
                };
            }
            tile
        };
        // The number of members of a class other than the row itself.
        let others = |row: usize, class: usize| {
            let others = classes.sizes[class] - usize::from(classes.codes[row] == class);
            others.max(1) as f64
        };
        let blocks: Vec<(f64, Array2<f64>)> = starts
            .par_iter()
            .map(|&first| {
                let tile = distances(first);
                let mut matrix = Array2::<f64>::zeros((tile.nrows(), k));
                let mut loss = 0.0;
                for (index, mut row) in matrix.rows_mut().into_iter().enumerate() {
                    for (&class, distance) in classes.codes.iter().zip(tile.row(index)) {
                        row[class] += distance;
                    }
                    for (class, value) in row.iter_mut().enumerate() {
                        *value /= others(first + index, class);
                    }
                    loss += self.differentiate(&mut row, classes, first + index) / n as f64;
                    for (class, value) in row.iter_mut().enumerate() {
                        *value /= others(first + index, class) * n as f64;
                    }
                }
                (loss, matrix)
            })
            .collect();
        let loss = blocks.iter().fold(1.0, |sum, (loss, _)| sum + loss);
        if !with_gradient {
            return (loss, Array2::zeros((0, 0)));
        }
        let by_distance = |row: usize, class: usize| blocks[row / BLOCK].1[(row % BLOCK, class)];
        let gradients: Vec<Array2<f64>> = starts
            .par_iter()
            .map(|&first| {
                let mut tile = distances(first);
                let mut near = Vec::new();
                for ((index, other), value) in tile.indexed_iter_mut() {
                    let row = first + index;
                    let (own, theirs) = (classes.codes[row], classes.codes[other]);
                    let slope = by_distance(row, theirs) + by_distance(other, own);
                    // The distance of rows that coincide has no derivative; 0 is one of its subgradients.
                    let weight = if *value > 0.0 { slope / *value } else { 0.0 };
                    let is_near = *value * *value <= CANCELLATION * (squares[row] + squares[other]);
                    if is_near && weight != 0.0 {
                        near.push((index, other, weight));
                    }
                    *value = if is_near { 0.0 } else { weight };
                }
                let mut gradient = -tile.dot(rows);
                for (index, mut row) in gradient.rows_mut().into_iter().enumerate() {
                    row.scaled_add(tile.row(index).sum(), &rows.row(first + index));
                }
                for (index, other, weight) in near {
                    gradient.row_mut(index).scaled_add(weight, &difference(rows.row(first + index), rows.row(other)));
                }
                gradient
            })
            .collect();
        let mut gradient = Array2::zeros(rows.raw_dim());
        for (&first, block) in starts.iter().zip(&gradients) {
            gradient.slice_mut(s![first..first + block.nrows(), ..]).assign(block);
        }
        (loss, gradient)
    }

    /// Replaces the D_ic of a row by the derivatives of -s_i, and returns -s_i.
    fn differentiate(&self, distances: &mut ArrayViewMut1<'_, f64>, classes: &Classes, row: usize) -> f64 {
        let own = classes.codes[row];
        if classes.sizes[own] == 1 {
            distances.fill(0.0);
            return 0.0;
        }
        let tau = self.temperature;
        let a = distances[own];
        let is_other = |class: usize| class != own;
        let nearest = distances.iter().enumerate().filter(|(class, _)| is_other(*class)).map(|(_, &value)| value);
        let nearest = nearest.fold(f64::INFINITY, f64::min);
        let exponential = |value: f64| (-(value - nearest) / tau).exp();
        let (mut total, mut weighted) = (0.0, 0.0);
        for (_, &value) in distances.iter().enumerate().filter(|(class, _)| is_other(*class)) {
            total += exponential(value);
            weighted += exponential(value) * (value - nearest);
        }
        let b = nearest
            + match self.soft_minimum {
                SoftMinimum::Weighted => weighted / total,
                SoftMinimum::Lse => -tau * (total / (classes.count() - 1) as f64).ln(),
            };
        let largest = smooth_maximum(self.smooth_maximum, a, b, tau);
        if largest <= 0.0 {
            distances.fill(0.0);
            return 0.0;
        }
        let score = (b - a) / largest;
        // How much of the maximum's derivative belongs to a.
        let share = match self.smooth_maximum {
            SmoothMaximum::Lse => 1.0 / (1.0 + ((b - a) / tau).exp()),
            SmoothMaximum::Hard => f64::from(u8::from(a > b)),
        };
        let by_a = (1.0 + score * share) / largest;
        let by_b = -(1.0 - score * (1.0 - share)) / largest;
        for (class, value) in distances.iter_mut().enumerate() {
            if class == own {
                *value = by_a;
                continue;
            }
            let weight = exponential(*value) / total;
            *value = by_b
                * match self.soft_minimum {
                    SoftMinimum::Weighted => weight * (1.0 - (*value - b) / tau),
                    SoftMinimum::Lse => weight,
                };
        }
        -score
    }
}

/// What a block of rows gives.
struct Block {
    /// The sum of its -s_i, over N.
    loss: f64,
    /// The part of its rows' gradient that their own distances give.
    gradient: Array2<f64>,
    /// h_c and W_c, over its rows.
    sums: Array1<f64>,
    vectors: Array2<f64>,
}

fn difference(left: ArrayView1<'_, f64>, right: ArrayView1<'_, f64>) -> Array1<f64> {
    &left - &right
}

/// Subtracts the mean row, which changes no distance and makes less of it cancel.
fn centre(rows: &mut Array2<f64>) {
    if let Some(mean) = rows.mean_axis(Axis(0)) {
        *rows -= &mean;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::tests::{assert_gradient_with, set};

    const FORMS: [(SoftMinimum, SmoothMaximum); 4] = [
        (SoftMinimum::Weighted, SmoothMaximum::Lse),
        (SoftMinimum::Weighted, SmoothMaximum::Hard),
        (SoftMinimum::Lse, SmoothMaximum::Lse),
        (SoftMinimum::Lse, SmoothMaximum::Hard),
    ];

    const DISTANCES: [Distance; 3] = [Distance::Cosine, Distance::SqEuclidean, Distance::Euclidean];

    fn losses(temperature: f64) -> impl Iterator<Item = SoftSilhouette> {
        DISTANCES.into_iter().flat_map(move |distance| {
            FORMS.into_iter().map(move |(soft_minimum, smooth_maximum)| SoftSilhouette {
                temperature,
                distance,
                soft_minimum,
                smooth_maximum,
            })
        })
    }

    #[test]
    fn gradients_agree_with_central_differences() {
        let (rows, labels) = set(19, 4);
        for (temperature, step) in [(1e-3, 2e-7), (0.01, 1e-5), (0.1, 1e-4), (1.0, 1e-4), (10.0, 1e-4)] {
            for loss in losses(temperature) {
                let mut rows = rows.clone();
                if loss.distance == Distance::Euclidean {
                    // Where rows coincide the distance has a kink, which differences do not see.
                    rows[(3, 1)] += 0.3;
                }
                assert_gradient_with(&rows, &format!("{loss:?}"), step, |rows| {
                    let found = loss.loss_and_gradient(rows.view(), &labels).unwrap();
                    (found.loss, found.gradient)
                });
            }
        }
    }

    #[test]
    fn the_loss_of_a_hand_worked_set() {
        // Rows 0, 1 | 3: d = 1 within; a = 1, b = 3 and 2; the third row is alone. With two classes b needs no minimum.
        let rows = ndarray::array![[0.0], [1.0], [3.0]];
        let loss = SoftSilhouette {
            distance: Distance::Euclidean,
            smooth_maximum: SmoothMaximum::Hard,
            ..SoftSilhouette::new(0.1)
        };
        let found = loss.loss_and_gradient(rows.view(), &[0, 0, 1]).unwrap();
        let expected = 1.0 - (2.0 / 3.0 + 1.0 / 2.0) / 3.0;
        assert!((found.loss - expected).abs() < 1e-15);
        // s_0 = 1 - d_01 / d_02, s_1 = 1 - d_01 / d_12.
        let by = |d01: f64, d02: f64, d12: f64| (d01 / d02 + d01 / d12) / 3.0;
        assert!((found.loss - 1.0 / 3.0 - by(1.0, 3.0, 2.0)).abs() < 1e-15);
        let slope: [f64; 3] =
            [-1.0 / 9.0 - 1.0 / 6.0 + 1.0 / 27.0, 1.0 / 9.0 + 1.0 / 6.0 + 1.0 / 12.0, -1.0 / 27.0 - 1.0 / 12.0];
        for (found, expected) in found.gradient.iter().zip(slope) {
            assert!((found - expected).abs() < 1e-15, "{found} for {expected}");
        }
    }

    #[test]
    fn blocks_and_threads_change_no_bit() {
        let (rows, labels) = set(3 * BLOCK + 7, 5);
        let compute = |threads: usize, loss: SoftSilhouette| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| loss.loss_and_gradient(rows.view(), &labels).unwrap())
        };
        for distance in DISTANCES {
            let loss = SoftSilhouette { distance, ..SoftSilhouette::new(0.1) };
            assert_eq!(compute(1, loss), compute(3, loss));
        }
    }

    #[test]
    fn moving_or_turning_all_rows_changes_nothing() {
        let (rows, labels) = set(40, 4);
        // A gradient of something that does not change when all rows move sums to nothing.
        for distance in [Distance::SqEuclidean, Distance::Euclidean] {
            let loss = SoftSilhouette { distance, ..SoftSilhouette::new(0.1) };
            let gradient = loss.loss_and_gradient(rows.view(), &labels).unwrap().gradient;
            assert!(gradient.sum_axis(Axis(0)).iter().all(|sum| sum.abs() < 1e-13));
        }
        let gradient = SoftSilhouette::new(0.1).loss_and_gradient(rows.view(), &labels).unwrap().gradient;
        for (row, gradient) in rows.rows().into_iter().zip(gradient.rows()) {
            assert!(row.dot(&gradient).abs() < 1e-14);
        }
    }

    #[test]
    fn float32_is_widened() {
        let (rows, labels) = set(40, 4);
        let narrow = rows.mapv(|value| value as f32);
        let wide = narrow.mapv(f64::from);
        let loss = SoftSilhouette::new(0.1);
        let found = loss.loss_and_gradient(narrow.view(), &labels).unwrap();
        let expected = loss.loss_and_gradient(wide.view(), &labels).unwrap();
        assert_eq!(found.loss, expected.loss);
        assert_eq!(found.gradient, expected.gradient.mapv(|value| value as f32));
    }

    #[test]
    fn what_has_no_loss_is_refused() {
        let rows = ndarray::array![[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
        let loss = SoftSilhouette::new(0.1);
        let refused = |loss: SoftSilhouette, labels: &[usize]| loss.loss(rows.view(), labels).unwrap_err();
        assert!(matches!(refused(loss, &[0, 0]), Error::RowCounts { .. }));
        assert!(matches!(refused(loss, &[0, 0, 0]), Error::TooFewClasses { .. }));
        assert!(matches!(refused(loss, &[0, 1, 2]), Error::TooManyClasses { .. }));
        assert!(matches!(refused(SoftSilhouette::new(0.0), &[0, 0, 1]), Error::Setting { .. }));
        assert!(matches!(refused(SoftSilhouette::new(f64::NAN), &[0, 0, 1]), Error::Setting { .. }));
        let manhattan = SoftSilhouette { distance: Distance::Manhattan, ..loss };
        assert!(matches!(refused(manhattan, &[0, 0, 1]), Error::Setting { .. }));
        let zero = ndarray::array![[1.0, 0.0], [0.0, 0.0], [1.0, 1.0]];
        assert!(matches!(loss.loss(zero.view(), &[0, 0, 1]), Err(Error::ZeroVector { row: 1, rows: 1, .. })));
        let hole = ndarray::array![[1.0, 0.0], [0.0, f64::NAN], [1.0, 1.0]];
        assert!(matches!(loss.loss(hole.view(), &[0, 0, 1]), Err(Error::NonFinite { row: 1, column: 1, .. })));
    }
}
