//! The hybrid objective: a weighted sum of losses, such as cross-entropy + silhouette + supervised contrastive in
//! "Silhouette Loss" (arXiv:2604.08573).

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, Zip};
use rayon::prelude::*;

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::kernels::{LANES, Real, Vectorized, lane_sum, vectorized};
use crate::losses::{CenterLoss, CrossEntropy, LossAndGradient, SoftSilhouette, SupervisedContrastive};
use crate::progress::Progress;

/// One loss of the sum, with its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    Silhouette(SoftSilhouette),
    SupervisedContrastive(SupervisedContrastive),
    /// Requires a [`Classifier`].
    CrossEntropy,
    Center,
}

/// The classifier that turns rows into logits; its columns are classes.
#[derive(Clone, Debug, PartialEq)]
pub enum Classifier {
    /// logits = x W^T + b, with W of K x d.
    Head { weights: Array2<f64>, bias: Array1<f64> },
    /// The logits themselves (N x K), from an unknown classifier: no gradient goes through it to the rows.
    Logits(Array2<f64>),
}

impl Classifier {
    /// K.
    pub fn classes(&self) -> usize {
        match self {
            Classifier::Head { weights, .. } => weights.nrows(),
            Classifier::Logits(logits) => logits.ncols(),
        }
    }

    /// The classifier of some rows.
    pub fn of_rows(&self, rows: &[usize]) -> Self {
        match self {
            Classifier::Head { .. } => self.clone(),
            Classifier::Logits(logits) => Classifier::Logits(logits.select(Axis(0), rows)),
        }
    }
}

/// The gradient with respect to a [`Classifier`].
pub type ClassifierGradient = Classifier;

/// The weighted sum of losses.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hybrid {
    /// Each loss with its weight.
    pub parts: Vec<(f64, Part)>,
}

/// The hybrid objective and its gradients.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HybridStep<T> {
    /// The sum, and its gradient with respect to the embeddings (N x d).
    pub embeddings: LossAndGradient<T>,
    /// The loss of each part and the Euclidean norm of its gradient, both unweighted.
    pub parts: Vec<(f64, f64)>,
    /// The gradient with respect to the classifier, if a part uses one.
    pub classifier: Option<ClassifierGradient>,
}

impl Hybrid {
    /// The sum and its gradients, for a data set whose rows can be read in any order. `columns` gives the classifier's
    /// column for each row; only cross-entropy needs it and the classifier.
    ///
    /// # Errors
    /// Errors of the losses; cross-entropy without a classifier.
    pub fn of_dataset<T: Real>(
        &self,
        dataset: &Dataset,
        classifier: Option<(&Classifier, &[usize])>,
        progress: &dyn Progress,
    ) -> Result<HybridStep<T>> {
        let mut sum: Option<LossAndGradient<T>> = None;
        let mut parts = Vec::new();
        let mut by_classifier = None;
        for (weight, part) in &self.parts {
            progress.check()?;
            let found = match part {
                Part::Silhouette(loss) => loss.of_dataset::<T>(dataset, progress)?,
                Part::SupervisedContrastive(loss) => loss.of_dataset::<T>(dataset, progress)?,
                Part::Center => CenterLoss.of_dataset::<T>(dataset)?,
                Part::CrossEntropy => {
                    let Some((classifier, columns)) = classifier else {
                        return Err(Error::setting("cross-entropy needs a classifier", "give a head or logits"));
                    };
                    let (found, mut gradient) = cross_entropy::<T>(dataset, classifier, columns)?;
                    match &mut gradient {
                        Classifier::Head { weights, bias } => {
                            *weights *= *weight;
                            *bias *= *weight;
                        }
                        Classifier::Logits(logits) => *logits *= *weight,
                    }
                    by_classifier = Some(gradient);
                    found
                }
            };
            parts.push((found.loss, GradientSquares::of(&found.gradient).norm()));
            sum = Some(match sum {
                None => scaled(found, *weight),
                Some(sum) => add(sum, &found, *weight),
            });
        }
        let shape = (dataset.len(), dataset.dimensions());
        let nothing = || LossAndGradient { loss: 0.0, gradient: Array2::from_elem(shape, T::default()) };
        Ok(HybridStep { embeddings: sum.unwrap_or_else(nothing), parts, classifier: by_classifier })
    }
}

fn scaled<T: Real>(mut part: LossAndGradient<T>, weight: f64) -> LossAndGradient<T> {
    if weight != 1.0 {
        part.loss *= weight;
        part.gradient.par_mapv_inplace(|value| T::from_f64(weight * value.to_f64()));
    }
    part
}

fn add<T: Real>(mut sum: LossAndGradient<T>, part: &LossAndGradient<T>, weight: f64) -> LossAndGradient<T> {
    sum.loss += weight * part.loss;
    Zip::from(&mut sum.gradient).and(&part.gradient).par_for_each(|sum, value| {
        *sum = T::from_f64(sum.to_f64() + weight * value.to_f64());
    });
    sum
}

fn cross_entropy<T: Real>(
    dataset: &Dataset,
    classifier: &Classifier,
    columns: &[usize],
) -> Result<(LossAndGradient<T>, ClassifierGradient)> {
    let shape = (dataset.len(), dataset.dimensions());
    match classifier {
        Classifier::Head { weights, bias } => {
            let mut buffer = Vec::new();
            let rows = dataset.rows::<T>(0..shape.0, &mut buffer)?;
            let Ok(rows) = ArrayView2::from_shape(shape, rows) else {
                return Err(Error::Shape {
                    name: dataset.embeddings().origin().to_string(),
                    expected: "rows x dimensions",
                    shape: vec![rows.len()],
                });
            };
            let found = CrossEntropy.behind(rows, weights.view(), bias.view(), columns)?;
            Ok((found.0, Classifier::Head { weights: found.1, bias: found.2 }))
        }
        Classifier::Logits(logits) => {
            let LossAndGradient { loss, gradient } = CrossEntropy.loss_and_gradient(logits.view(), columns)?;
            let none = Array2::from_elem(shape, T::default());
            Ok((LossAndGradient { loss, gradient: none }, Classifier::Logits(gradient)))
        }
    }
}

/// The squared gradient, row by row.
pub(crate) struct GradientSquares {
    /// The largest absolute value.
    pub(crate) largest: f64,
    /// The factor applied before squaring, so that no square underflows or overflows.
    scale: f64,
    rows: Vec<f64>,
}

impl GradientSquares {
    pub(crate) fn of<T: Real>(gradient: &Array2<T>) -> Self {
        let measured = |scale: f64| -> Vec<(f64, f64)> {
            let rows: Vec<ArrayView1<'_, T>> = gradient.rows().into_iter().collect();
            rows.par_iter().with_min_len(256).map(|&row| vectorized(Measure { row, scale })).collect()
        };
        let rows = measured(1.0);
        let largest = rows.iter().fold(0.0, |largest: f64, row| largest.max(row.0));
        let ordinary = largest == 0.0 || (1e-140..1e140).contains(&largest);
        let (scale, rows) = if ordinary { (1.0, rows) } else { (1.0 / largest, measured(1.0 / largest)) };
        GradientSquares { largest, scale, rows: rows.into_iter().map(|(_, square)| square).collect() }
    }

    /// The Euclidean norm of some rows.
    pub(crate) fn norm_of(&self, rows: impl Iterator<Item = usize>) -> f64 {
        rows.map(|row| self.rows[row]).sum::<f64>().sqrt() / self.scale
    }

    /// The Euclidean norm of the whole gradient.
    pub(crate) fn norm(&self) -> f64 {
        self.norm_of(0..self.rows.len())
    }
}

/// The largest absolute value of a row, and the sum of the squares of its scaled numbers.
struct Measure<'a, T> {
    row: ArrayView1<'a, T>,
    scale: f64,
}

impl<T: Real> Vectorized for Measure<'_, T> {
    type Output = (f64, f64);

    #[inline(always)]
    fn run(self) -> (f64, f64) {
        let Measure { row, scale } = self;
        let copy: Vec<T>;
        let values = match row.to_slice() {
            Some(values) => values,
            None => {
                copy = row.to_vec();
                &copy
            }
        };
        let mut largest = [0.0; LANES];
        let (chunks, rest) = values.as_chunks::<LANES>();
        for chunk in chunks {
            raise(&mut largest, chunk);
        }
        raise(&mut largest, rest);
        let squares = lane_sum(values, |value| (scale * value.to_f64()) * (scale * value.to_f64()));
        (largest.into_iter().fold(0.0, f64::max), squares)
    }
}

/// Raises each lane to an absolute value if that is larger.
#[inline(always)]
fn raise<T: Real>(largest: &mut [f64; LANES], values: &[T]) {
    for (largest, value) in largest.iter_mut().zip(values) {
        let size = value.to_f64().abs();
        *largest = if size > *largest { size } else { *largest };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::Distance;
    use crate::losses::dataset;
    use crate::losses::tests::{assert_gradient, set};
    use crate::progress::NoProgress;

    fn norm(gradient: &Array2<f64>) -> f64 {
        GradientSquares::of(gradient).norm()
    }

    fn head() -> (Array2<f64>, Array1<f64>) {
        let weights = Array2::from_shape_fn((10, 4), |(class, j)| ((class * 7 + j * 3) % 11) as f64 / 11.0);
        (weights, Array1::from_shape_fn(10, |class| class as f64 / 10.0))
    }

    fn hybrid() -> Hybrid {
        Hybrid {
            parts: vec![
                (1.0, Part::CrossEntropy),
                (0.5, Part::Silhouette(SoftSilhouette::new(0.1))),
                (2.0, Part::SupervisedContrastive(SupervisedContrastive::default())),
                (0.25, Part::Center),
            ],
        }
    }

    #[test]
    fn gradients_of_the_sum_agree_with_central_differences() {
        let (rows, labels) = set(19, 4);
        let (weights, bias) = head();
        let run = |rows: &Array2<f64>, weights: &Array2<f64>| {
            let classifier = Classifier::Head { weights: weights.clone(), bias: bias.clone() };
            let dataset = dataset(rows.view(), &labels, Distance::Cosine).unwrap();
            hybrid().of_dataset::<f64>(&dataset, Some((&classifier, &labels)), &NoProgress).unwrap()
        };
        assert_gradient(&rows, "rows", |rows| {
            let found = run(rows, &weights).embeddings;
            (found.loss, found.gradient)
        });
        assert_gradient(&weights, "weights", |weights| {
            let found = run(&rows, weights);
            let Some(Classifier::Head { weights, .. }) = found.classifier else { panic!("no head") };
            (found.embeddings.loss, weights)
        });
    }

    #[test]
    fn every_part_is_told_before_its_weight() {
        let (rows, labels) = set(19, 4);
        let (weights, bias) = head();
        let dataset = dataset(rows.view(), &labels, Distance::Cosine).unwrap();
        let classifier = Classifier::Head { weights, bias };
        let found = hybrid().of_dataset::<f64>(&dataset, Some((&classifier, &labels)), &NoProgress).unwrap();
        let alone = SoftSilhouette::new(0.1).loss_and_gradient(rows.view(), &labels).unwrap();
        assert_eq!(found.parts[1], (alone.loss, norm(&alone.gradient)));
        let sum: f64 = hybrid().parts.iter().zip(&found.parts).map(|((weight, _), (loss, _))| weight * loss).sum();
        assert!((found.embeddings.loss - sum).abs() < 1e-14);
    }

    #[test]
    fn logits_take_the_gradient_that_rows_do_not_get() {
        let (rows, labels) = set(19, 4);
        let (weights, bias) = head();
        let dataset = dataset(rows.view(), &labels, Distance::Cosine).unwrap();
        let classifier = Classifier::Logits(rows.dot(&weights.t()) + &bias);
        let hybrid = Hybrid { parts: vec![(3.0, Part::CrossEntropy)] };
        let found = hybrid.of_dataset::<f64>(&dataset, Some((&classifier, &labels)), &NoProgress).unwrap();
        assert_eq!(norm(&found.embeddings.gradient), 0.0);
        let Some(Classifier::Logits(gradient)) = found.classifier else { panic!("no logits") };
        assert!(gradient.sum_axis(Axis(1)).iter().all(|sum| sum.abs() < 1e-15), "softmax less one-hot sums to 0");
        assert!(norm(&gradient) > 0.0);
        let error = hybrid.of_dataset::<f64>(&dataset, None, &NoProgress).unwrap_err();
        assert!(matches!(error, Error::Setting { .. }));
    }

    #[test]
    fn norms_neither_vanish_nor_overflow() {
        for size in [1e-200, 1.0, 1e200] {
            let found = norm(&ndarray::array![[3.0 * size], [4.0 * size]]);
            assert!((found / size - 5.0).abs() < 1e-14);
        }
    }
}
