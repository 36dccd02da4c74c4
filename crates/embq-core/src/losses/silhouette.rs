//! The soft silhouette as a loss: 1 - the mean of s_i, after "Silhouette Loss" (arXiv:2604.08573).

use ndarray::ArrayView2;

use crate::data::{Dataset, Precision};
use crate::distance::Distance;
use crate::error::{Error, Result};
use crate::kernels::{
    ClassDistanceKernel, DistanceLoss, PassOptions, Real, exp_and_exp_m1, gradient, lane_sum, lane_sum_2,
    rough_exponentials, smallest,
};
use crate::losses::{LossAndGradient, checked_temperature, dataset};
use crate::metrics::mean::weighted_mean;
use crate::metrics::{Competitors, Exponentials, RowScoreFold, SmoothMaximum, SoftMinimum, smooth_maximum};
use crate::progress::{NoProgress, Progress};

/// The soft silhouette loss.
///
/// ```
/// use embq_core::losses::SoftSilhouette;
/// use ndarray::array;
///
/// # fn main() -> embq_core::Result<()> {
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
    /// tau, in units of the distance; must be positive.
    pub temperature: f64,
    /// Cosine, squared Euclidean or Euclidean.
    pub distance: Distance,
    pub soft_minimum: SoftMinimum,
    pub smooth_maximum: SmoothMaximum,
}

impl SoftSilhouette {
    /// The loss for cosine distance, with the weighted soft minimum and log-sum-exp as the maximum.
    pub fn new(temperature: f64) -> Self {
        SoftSilhouette {
            temperature,
            distance: Distance::Cosine,
            soft_minimum: SoftMinimum::default(),
            smooth_maximum: SmoothMaximum::default(),
        }
    }

    /// The loss: between 0 and 2. `labels` are any N numbers, equal for rows of the same class.
    ///
    /// # Errors
    /// Those of [`SoftSilhouette::loss_and_gradient`], except that every distance has a loss.
    pub fn loss<T: Real>(&self, embeddings: ArrayView2<'_, T>, labels: &[usize]) -> Result<f64> {
        let dataset = dataset(embeddings, labels, self.distance)?;
        let fold = RowScoreFold {
            precision: T::PRECISION,
            temperature: checked_temperature(self.temperature)?,
            softmin: self.soft_minimum,
            softmax: self.smooth_maximum,
            counts: dataset.labels().counts(),
        };
        let kernel = ClassDistanceKernel::new(&dataset, self.distance, T::PRECISION, &NoProgress)?;
        let scores = kernel.pass(&fold, PassOptions::default())?.rows;
        Ok(1.0 - weighted_mean(scores.iter().map(|score| (score.soft_silhouette, 1.0))).unwrap_or(0.0))
    }

    /// The loss and its gradient with respect to the embeddings (N x d) as given: for cosine, through the
    /// normalisation. `labels` are any N numbers, equal for rows of the same class.
    ///
    /// # Errors
    /// A number of labels other than the number of rows, fewer than 2 or more than N - 1 classes, values that are not
    /// finite, a zero vector under cosine, a temperature that is not positive, a distance without a gradient.
    pub fn loss_and_gradient<T: Real>(
        &self,
        embeddings: ArrayView2<'_, T>,
        labels: &[usize],
    ) -> Result<LossAndGradient<T>> {
        self.of_dataset(&dataset(embeddings, labels, self.distance)?, &NoProgress)
    }

    /// The negative score of a row of class `own` with these mean distances to all classes, of which there are `counts`
    /// rows; `slopes` takes its derivatives by them. Exponentials are of this precision.
    #[inline(always)]
    pub(crate) fn differentiate_row(
        &self,
        precision: Precision,
        counts: &[usize],
        own: usize,
        distances: &[f64],
        slopes: &mut [f64],
    ) -> f64 {
        Anchors { loss: self, precision, counts }.differentiate(own, distances, slopes)
    }

    /// Like [`SoftSilhouette::loss_and_gradient`], for a data set made for the distance of this loss. If every row is
    /// alone in its class, the loss is 1 and its gradient 0.
    ///
    /// # Errors
    /// Those of [`SoftSilhouette::loss_and_gradient`], and errors from reading rows.
    pub fn of_dataset<T: Real>(&self, dataset: &Dataset, progress: &dyn Progress) -> Result<LossAndGradient<T>> {
        let distance = dataset.distance();
        if self.distance != distance {
            return Err(Error::OtherDistance { made_for: distance, asked: self.distance });
        }
        checked_temperature(self.temperature)?;
        let anchors = Anchors { loss: self, precision: T::PRECISION, counts: dataset.labels().counts() };
        let share = 1.0 / dataset.len() as f64;
        let (sum, gradient) = gradient(dataset, &anchors, share, progress)?;
        Ok(LossAndGradient { loss: 1.0 + share * sum, gradient })
    }
}

/// -s_i of every row whose class has others.
struct Anchors<'a> {
    loss: &'a SoftSilhouette,
    /// The precision of the products, and of the exponentials.
    precision: Precision,
    /// The number of rows of each class.
    counts: &'a [usize],
}

impl DistanceLoss for Anchors<'_> {
    #[inline(always)]
    fn differentiate(&self, own: usize, distances: &[f64], slopes: &mut [f64]) -> f64 {
        let SoftSilhouette { temperature: tau, soft_minimum, smooth_maximum: kind, .. } = *self.loss;
        if self.counts[own] == 1 {
            slopes.fill(0.0);
            return 0.0;
        }
        let a = distances[own];
        let rate = 1.0 / tau;
        let nearest = smallest(distances, Some(own));
        let smallest = nearest.map_or(f64::INFINITY, |(_, distance)| distance);
        let is_soft = matches!(soft_minimum, SoftMinimum::Weighted | SoftMinimum::Lse);
        if is_soft {
            // The own class may be nearer than all others; it is excluded from the sums below.
            for (slope, distance) in slopes.iter_mut().zip(distances) {
                let excess = distance - smallest;
                *slope = if excess > 0.0 { -excess * rate } else { 0.0 };
            }
            if self.precision == Precision::F32 && kind == SmoothMaximum::Lse {
                rough_exponentials(slopes);
            } else {
                // With a hard maximum, even weights of 1e-50 can matter if a and the nearest distance are 0.
                slopes.iter_mut().for_each(|slope| *slope = exp_and_exp_m1(*slope).0);
            }
            slopes[own] = 0.0;
        }
        let total = if is_soft { lane_sum(slopes, |value| value) } else { 1.0 };
        let b = match soft_minimum {
            SoftMinimum::Weighted => {
                let weighted =
                    lane_sum_2(slopes, distances, |exponential, distance| exponential * (distance - smallest));
                smallest + weighted / total
            }
            SoftMinimum::Lse => {
                // Sums of exp - 1, because for large tau the exponentials themselves lose all digits.
                let mut competitors = Competitors::NONE;
                competitors.absorb(distances, Some(own), tau, Exponentials::WithDeficits);
                competitors.soft_minimum(soft_minimum, tau)
            }
            SoftMinimum::Hard => smallest,
            SoftMinimum::Mean => {
                let (before, after) = (&distances[..own], &distances[own + 1..]);
                let sum = lane_sum(before, |distance| distance) + lane_sum(after, |distance| distance);
                sum / (distances.len() - 1) as f64
            }
        };
        let largest = smooth_maximum(kind, a, b, tau);
        if largest <= 0.0 {
            slopes.fill(0.0);
            return 0.0;
        }
        let score = (b - a) / largest;
        // The share of the maximum's derivative that belongs to a.
        let share = match kind {
            SmoothMaximum::Lse => 1.0 / (1.0 + ((b - a) / tau).exp()),
            SmoothMaximum::Hard => f64::from(u8::from(a > b)),
        };
        let by_a = (1.0 + score * share) / largest;
        let by_b = -(1.0 - score * (1.0 - share)) / largest;
        let by_weight = by_b / total;
        match soft_minimum {
            SoftMinimum::Weighted => {
                for (slope, distance) in slopes.iter_mut().zip(distances) {
                    *slope *= by_weight * (1.0 - (distance - b) * rate);
                }
            }
            SoftMinimum::Lse => slopes.iter_mut().for_each(|slope| *slope *= by_weight),
            SoftMinimum::Hard => {
                slopes.fill(0.0);
                if let Some((nearest, _)) = nearest {
                    slopes[nearest] = by_b;
                }
            }
            SoftMinimum::Mean => slopes.fill(by_b / (distances.len() - 1) as f64),
        }
        slopes[own] = by_a;
        -score
    }

    fn resolution(&self) -> f64 {
        match (self.loss.soft_minimum, self.loss.smooth_maximum) {
            // Nothing depends on the temperature.
            (SoftMinimum::Hard | SoftMinimum::Mean, SmoothMaximum::Hard) => f64::INFINITY,
            _ => self.loss.temperature,
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, Axis};

    use super::*;
    use crate::losses::tests::{assert_gradient_with, set};

    const FORMS: [(SoftMinimum, SmoothMaximum); 8] = [
        (SoftMinimum::Weighted, SmoothMaximum::Lse),
        (SoftMinimum::Weighted, SmoothMaximum::Hard),
        (SoftMinimum::Lse, SmoothMaximum::Lse),
        (SoftMinimum::Lse, SmoothMaximum::Hard),
        (SoftMinimum::Hard, SmoothMaximum::Lse),
        (SoftMinimum::Hard, SmoothMaximum::Hard),
        (SoftMinimum::Mean, SmoothMaximum::Lse),
        (SoftMinimum::Mean, SmoothMaximum::Hard),
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
                    // Where rows coincide, the distance has a kink, which finite differences do not see.
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
    fn gradients_of_more_classes_than_a_piece_of_a_block_takes_agree_with_differences() {
        let (rows, _) = set(1100, 5);
        let labels: Vec<usize> = (0..1100).map(|row| row * 7 % 400).collect();
        let direction = Array2::from_shape_fn(rows.dim(), |(row, k)| ((row * 13 + k * 5) % 17) as f64 / 17.0 - 0.4);
        let step = 1e-4;
        for distance in [Distance::Cosine, Distance::SqEuclidean] {
            let loss = SoftSilhouette { distance, ..SoftSilhouette::new(0.5) };
            let at = |factor: f64| loss.loss_and_gradient((&rows + &direction * factor).view(), &labels).unwrap();
            let slope = (&at(0.0).gradient * &direction).sum();
            let expected = (at(step).loss - at(-step).loss) / (2.0 * step);
            assert!((slope - expected).abs() <= 1e-6 * expected.abs(), "{distance}: {slope} is not {expected}");
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
        let (rows, labels) = set(3 * 256 + 7, 5);
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
        // The gradient of a function that is invariant to translation sums to zero.
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
    fn float32_stays_near_float64() {
        let (rows, labels) = set(300, 24);
        // Far from the origin, and with coordinates of very different sizes.
        let far = rows.mapv(|value| value + 100.0);
        let uneven = Array2::from_shape_fn(rows.dim(), |(i, j)| rows[(i, j)] * 10f64.powi(j as i32 % 7 - 3));
        for (name, rows) in [("plain", rows), ("far", far), ("uneven", uneven)] {
            let narrow = rows.mapv(|value| value as f32);
            let wide = narrow.mapv(f64::from);
            for temperature in [1e-3, 0.1, 10.0] {
                for loss in losses(temperature) {
                    let found = loss.loss_and_gradient(narrow.view(), &labels).unwrap();
                    let expected = loss.loss_and_gradient(wide.view(), &labels).unwrap();
                    assert!((found.loss - expected.loss).abs() < 1e-5, "{name} {loss:?}");
                    let size = expected.gradient.iter().fold(0.0_f64, |size, value| size.max(value.abs()));
                    let pairs = found.gradient.iter().zip(&expected.gradient);
                    let error = pairs.fold(0.0_f64, |error, (found, wide)| error.max((f64::from(*found) - wide).abs()));
                    assert!(error <= 1e-5 * size, "{name} {loss:?}: {:e}", error / size);
                }
            }
        }
    }

    #[test]
    fn what_has_no_loss_is_refused() {
        let rows = ndarray::array![[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]];
        let loss = SoftSilhouette::new(0.1);
        let refused = |loss: SoftSilhouette, labels: &[usize]| loss.loss_and_gradient(rows.view(), labels).unwrap_err();
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
