//! Losses for training, and their exact gradients with respect to the embeddings: one file per loss.
//!
//! float64 matrices are computed in float64. For float32, products are float32 and all sums float64, which keeps
//! gradients within 1e-5 of their largest entry. Results have the same bits for any number of threads. The derivations
//! are in `docs/gradients.md`.

mod center;
mod cross_entropy;
mod hybrid;
mod silhouette;
mod supervised_contrastive;

use ndarray::{Array2, ArrayView2};

use crate::data::{Dataset, DatasetOptions, Element, EmbeddingRows, LabelColumn};
use crate::distance::Distance;
use crate::error::{Error, Result};

pub use crate::kernels::Real;
pub use center::CenterLoss;
pub use cross_entropy::{CrossEntropy, HeadGradients};
pub(crate) use hybrid::GradientSquares;
pub use hybrid::{Classifier, ClassifierGradient, Hybrid, HybridStep, Part};
pub use silhouette::SoftSilhouette;
pub use supervised_contrastive::SupervisedContrastive;

/// The value of a loss and its gradient.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LossAndGradient<T> {
    pub loss: f64,
    /// The derivative of the loss with respect to every number of the embeddings, in their shape.
    pub gradient: Array2<T>,
}

/// Embeddings and labels of a training step as a data set.
///
/// # Errors
/// A number of labels other than the number of rows, no columns, fewer than 2 or more than N - 1 classes.
fn dataset<'e, T: Element>(embeddings: ArrayView2<'e, T>, labels: &[usize], distance: Distance) -> Result<Dataset<'e>> {
    let labels = LabelColumn::from_labels(labels);
    let dataset = Dataset::join(EmbeddingRows::from(embeddings), &labels, distance, &DatasetOptions::default())?;
    dataset.require_silhouette()?;
    Ok(dataset)
}

/// A matrix in float64, in row order.
///
/// # Errors
/// NaN or infinite values, no columns.
fn widened<T: Element>(matrix: ArrayView2<'_, T>, name: &str) -> Result<Vec<f64>> {
    let columns = matrix.ncols();
    if columns == 0 {
        let shape = matrix.shape().to_vec();
        return Err(Error::Shape { name: name.to_owned(), expected: "rows x columns", shape });
    }
    let values: Vec<f64> = matrix.iter().map(|value| value.to_f64()).collect();
    if let Some(position) = values.iter().position(|value| !value.is_finite()) {
        let (row, column, value) = (position / columns, position % columns, values[position]);
        let rows = values.chunks_exact(columns).filter(|row| row.iter().any(|value| !value.is_finite())).count();
        return Err(Error::NonFinite { name: name.to_owned(), value, row, column, rows });
    }
    Ok(values)
}

/// Returns the temperature if it is valid.
fn checked_temperature(temperature: f64) -> Result<f64> {
    if temperature > 0.0 && temperature.is_finite() {
        return Ok(temperature);
    }
    Err(Error::setting(
        format!("the temperature {temperature} is not a positive number"),
        "use a positive number, such as 0.1",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of four classes, one of which has a single row, with one pair of equal rows.
    pub(super) fn set(n: usize, d: usize) -> (Array2<f64>, Vec<usize>) {
        let labels: Vec<usize> = (0..n).map(|row| if row == 5 { 9 } else { [2, 4, 7][row * row % 3] }).collect();
        let mut rows = Array2::from_shape_fn((n, d), |(i, j)| {
            let noise = ((i * 37 + j * 101 + i * j * 13) % 97) as f64 / 97.0 - 0.4;
            noise + 0.5 * ((labels[i] + j) % 3) as f64
        });
        let first = rows.row(0).to_owned();
        rows.row_mut(3).assign(&first);
        (rows, labels)
    }

    fn largest(values: &Array2<f64>) -> f64 {
        values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()))
    }

    /// Asserts that a gradient matches fourth-order central differences.
    #[track_caller]
    pub(super) fn assert_gradient_with(
        point: &Array2<f64>,
        name: &str,
        step: f64,
        loss_and_gradient: impl Fn(&Array2<f64>) -> (f64, Array2<f64>),
    ) {
        let found = loss_and_gradient(point).1;
        let mut expected = Array2::zeros(point.raw_dim());
        for (place, value) in expected.indexed_iter_mut() {
            let at = |shift: f64| {
                let mut moved = point.clone();
                moved[place] += shift;
                loss_and_gradient(&moved).0
            };
            *value = (8.0 * (at(step) - at(-step)) - (at(2.0 * step) - at(-2.0 * step))) / (12.0 * step);
        }
        let error = largest(&(&found - &expected)) / largest(&expected);
        assert!(error <= 1e-6, "{name}: {error:e}");
    }

    #[track_caller]
    pub(super) fn assert_gradient(
        point: &Array2<f64>,
        name: &str,
        loss_and_gradient: impl Fn(&Array2<f64>) -> (f64, Array2<f64>),
    ) {
        assert_gradient_with(point, name, 1e-4, loss_and_gradient);
    }
}
