//! Center loss (Wen et al. 2016), with the class means of the rows as centres.

use ndarray::{Array2, ArrayView2};

use crate::data::{Dataset, Element};
use crate::distance::Distance;
use crate::error::Result;
use crate::losses::{LossAndGradient, dataset};

/// 1/2 mean over rows of |x_i - mu_{y_i}|^2.
///
/// The means move with their rows, but the gradient is still (x_i - mu_{y_i}) / N: the effect of a row on its mean
/// changes nothing to first order, because the differences from a mean sum to zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CenterLoss;

impl CenterLoss {
    /// The loss and its gradient with respect to the embeddings (N x d). `labels` are any N numbers, equal for rows of
    /// the same class.
    ///
    /// # Errors
    /// A number of labels other than the number of rows, fewer than 2 or more than N - 1 classes, values that are not
    /// finite.
    pub fn loss_and_gradient<T: Element>(
        &self,
        embeddings: ArrayView2<'_, T>,
        labels: &[usize],
    ) -> Result<LossAndGradient<T>> {
        self.of_dataset(&dataset(embeddings, labels, Distance::SqEuclidean)?)
    }

    /// Like [`CenterLoss::loss_and_gradient`], for a data set whose rows can be read in any order.
    ///
    /// # Errors
    /// Those of [`CenterLoss::loss_and_gradient`], and errors from reading rows.
    pub fn of_dataset<T: Element>(&self, dataset: &Dataset) -> Result<LossAndGradient<T>> {
        dataset.check_values_for::<T>(Distance::SqEuclidean)?;
        let (n, d) = (dataset.len(), dataset.dimensions());
        let (codes, counts) = (dataset.labels().codes(), dataset.labels().counts());
        let mut buffer = Vec::new();
        // Relative to the first row of each class, so that what a class has in common does not cancel.
        let mut firsts = vec![None; counts.len()];
        let mut means = Array2::<f64>::zeros((counts.len(), d));
        for (row, &class) in codes.iter().enumerate() {
            let first = *firsts[class as usize].get_or_insert(row);
            let mut origin = Vec::new();
            let origin = dataset.rows::<T>(first..first + 1, &mut origin)?;
            let values = dataset.rows::<T>(row..row + 1, &mut buffer)?;
            let share = 1.0 / counts[class as usize] as f64;
            for ((mean, value), origin) in means.row_mut(class as usize).iter_mut().zip(values).zip(origin) {
                *mean += share * (value.to_f64() - origin.to_f64());
            }
        }
        let mut gradient = Array2::from_elem((n, d), T::default());
        let mut squares = 0.0;
        for ((row, &class), mut gradient) in codes.iter().enumerate().zip(gradient.rows_mut()) {
            let first = firsts[class as usize].unwrap_or(row);
            let mut origin = Vec::new();
            let origin = dataset.rows::<T>(first..first + 1, &mut origin)?;
            let values = dataset.rows::<T>(row..row + 1, &mut buffer)?;
            let terms = values.iter().zip(origin).zip(means.row(class as usize));
            for (target, ((value, origin), mean)) in gradient.iter_mut().zip(terms) {
                let difference = (value.to_f64() - origin.to_f64()) - mean;
                squares += difference * difference;
                *target = T::from_f64(difference / n as f64);
            }
        }
        Ok(LossAndGradient { loss: 0.5 * squares / n as f64, gradient })
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
