//! Center loss (Wen et al. 2016), with the class means of the rows as centres.

use ndarray::{Array2, ArrayView2};

use crate::data::Element;
use crate::error::Result;
use crate::losses::{Classes, LossAndGradient, narrowed, widened};

/// 1/2 mean over rows of |x_i - mu_{y_i}|^2.
///
/// The means move with their rows, and that leaves the gradient at (x_i - mu_{y_i}) / N: what a row does to its mean
/// changes nothing to first order, because the distances from a mean sum to zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CenterLoss;

impl CenterLoss {
    /// The loss and its gradient with respect to the embeddings (N x d). `labels` are any N numbers, equal for rows of
    /// one class.
    ///
    /// # Errors
    /// Another number of labels than rows, fewer than 2 or more than N - 1 classes, values that are not finite.
    pub fn loss_and_gradient<T: Element>(
        &self,
        embeddings: ArrayView2<'_, T>,
        labels: &[usize],
    ) -> Result<LossAndGradient<T>> {
        let classes = Classes::new(labels, embeddings.nrows())?;
        let rows = widened(embeddings)?;
        let mut means = Array2::<f64>::zeros((classes.count(), rows.ncols()));
        for (row, &class) in rows.rows().into_iter().zip(&classes.codes) {
            means.row_mut(class).scaled_add(1.0 / classes.sizes[class] as f64, &row);
        }
        let mut gradient = rows;
        for (mut row, &class) in gradient.rows_mut().into_iter().zip(&classes.codes) {
            row -= &means.row(class);
        }
        let n = gradient.nrows() as f64;
        let loss = 0.5 * gradient.rows().into_iter().map(|row| row.dot(&row)).sum::<f64>() / n;
        gradient /= n;
        Ok(LossAndGradient { loss, gradient: narrowed(&gradient) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::tests::{assert_gradient, set};

    #[test]
    fn the_loss_of_a_hand_worked_set() {
        let rows = ndarray::array![[0.0], [2.0], [7.0]];
        let found = CenterLoss.loss_and_gradient(rows.view(), &[0, 0, 1]).unwrap();
        assert!((found.loss - 1.0 / 3.0).abs() < 1e-15);
        assert_eq!(found.gradient, ndarray::array![[-1.0 / 3.0], [1.0 / 3.0], [0.0]]);
    }

    #[test]
    fn gradients_agree_with_central_differences() {
        let (rows, labels) = set(19, 4);
        assert_gradient(&rows, "center loss", |rows| {
            let found = CenterLoss.loss_and_gradient(rows.view(), &labels).unwrap();
            (found.loss, found.gradient)
        });
    }
}
