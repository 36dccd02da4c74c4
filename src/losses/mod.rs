//! Losses for training, and their exact gradients with respect to the embeddings: one file a loss.
//!
//! They are computed in float64 whatever the type of the embeddings is, from matrices in memory, and give the same bits
//! on any number of threads.

mod center;
mod cross_entropy;
mod silhouette;
mod supervised_contrastive;

use ndarray::{Array2, ArrayView2};

use crate::data::Element;
use crate::error::{Error, Result};

pub use center::CenterLoss;
pub use cross_entropy::{CrossEntropy, HeadGradients};
pub use silhouette::SoftSilhouette;
pub use supervised_contrastive::SupervisedContrastive;

/// Rows that one task computes; fixed, so that sums are added in the same order on any number of threads.
const BLOCK: usize = 256;

/// The value of a loss and its gradient.
#[derive(Clone, Debug, PartialEq)]
pub struct LossAndGradient<T> {
    pub loss: f64,
    /// The derivative of the loss by every number of the embeddings, in their shape.
    pub gradient: Array2<T>,
}

/// Dense class codes 0..K-1 of labels, in the order of the labels, and the size of each class.
struct Classes {
    codes: Vec<usize>,
    sizes: Vec<usize>,
}

impl Classes {
    /// Checks that there is a label for each row, at least two classes, and a class of two rows or more.
    fn new(labels: &[usize], rows: usize) -> Result<Self> {
        if labels.len() != rows {
            return Err(Error::RowCounts {
                left: "embeddings".to_owned(),
                left_rows: rows,
                right: "labels".to_owned(),
                right_rows: labels.len(),
                what: "label",
            });
        }
        let mut names = labels.to_vec();
        names.sort_unstable();
        names.dedup();
        let (name, classes) = ("labels".to_owned(), names.len());
        if classes < 2 {
            return Err(Error::TooFewClasses { name, classes, rows });
        }
        if classes >= rows {
            return Err(Error::TooManyClasses { name, classes, rows, bound: rows - 1 });
        }
        let codes: Vec<usize> = labels.iter().map(|label| names.partition_point(|name| name < label)).collect();
        let mut sizes = vec![0; classes];
        for &code in &codes {
            sizes[code] += 1;
        }
        Ok(Classes { codes, sizes })
    }

    fn count(&self) -> usize {
        self.sizes.len()
    }
}

/// The embeddings in float64.
///
/// # Errors
/// NaN or infinite values, no columns.
fn widened<T: Element>(embeddings: ArrayView2<'_, T>) -> Result<Array2<f64>> {
    let name = || "embeddings".to_owned();
    let values = embeddings.mapv(Element::to_f64);
    if values.ncols() == 0 {
        return Err(Error::Shape { name: name(), expected: "rows x dimensions", shape: values.shape().to_vec() });
    }
    let mut found = values.indexed_iter().filter(|(_, value)| !value.is_finite());
    if let Some(((row, column), &value)) = found.next() {
        let rows = values.rows().into_iter().filter(|row| row.iter().any(|value| !value.is_finite())).count();
        return Err(Error::NonFinite { name: name(), value, row, column, rows });
    }
    Ok(values)
}

/// A gradient in the type of the embeddings.
fn narrowed<T: Element>(gradient: &Array2<f64>) -> Array2<T> {
    gradient.mapv(T::from_f64)
}

/// Scales every row to length 1 and returns the lengths.
fn normalise(rows: &mut Array2<f64>) -> Result<Vec<f64>> {
    let mut norms = Vec::with_capacity(rows.nrows());
    for mut row in rows.rows_mut() {
        // Divided by the largest first, so that no square overflows.
        let largest = row.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        row.mapv_inplace(|value| value / largest);
        let norm = row.dot(&row).sqrt();
        row.mapv_inplace(|value| value / norm);
        norms.push(largest * norm);
    }
    let zero = |norm: &f64| !norm.is_finite();
    match norms.iter().position(zero) {
        Some(row) => {
            let rows = norms.iter().filter(|norm| zero(norm)).count();
            Err(Error::ZeroVector { name: "embeddings".to_owned(), row, rows })
        }
        None => Ok(norms),
    }
}

/// From the gradient by unit vectors to that by the rows: what lies along a row does not change its direction.
fn through_normalisation(gradient: &mut Array2<f64>, units: &Array2<f64>, norms: &[f64]) {
    for ((mut gradient, unit), norm) in gradient.rows_mut().into_iter().zip(units.rows()).zip(norms) {
        let along = gradient.dot(&unit);
        gradient.zip_mut_with(&unit, |value, unit| *value = (*value - along * unit) / norm);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of four classes, one of which is a single row, with a pair of rows that coincide.
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

    /// Asserts that a gradient is that of central differences, by the fourth-order formula.
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
