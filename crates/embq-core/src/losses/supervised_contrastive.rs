//! Supervised contrastive loss (Khosla et al. 2020, "Supervised Contrastive Learning", L_out).

use ndarray::ArrayView2;

use crate::data::Dataset;
use crate::distance::Distance;
use crate::error::Result;
use crate::kernels::{ContrastivePairs, Real};
use crate::losses::{LossAndGradient, checked_temperature, dataset};
use crate::progress::{NoProgress, Progress};

/// The mean over anchors i with positives P(i) (the other rows of their class) of
///
/// ```text
/// -1/|P(i)| sum over p in P(i) of log( exp(z_i.z_p / t) / sum over a != i of exp(z_i.z_a / t) )
/// ```
///
/// where z are the rows scaled to length 1. Rows are compared tile by tile; no N x N matrix is stored.
///
/// The positives need no pairs: the sum of their z_i.z_p is z_i.(S_c - z_i), where S_c is the sum of the class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SupervisedContrastive {
    /// t; must be positive.
    pub temperature: f64,
}

impl Default for SupervisedContrastive {
    fn default() -> Self {
        SupervisedContrastive { temperature: 0.1 }
    }
}

impl SupervisedContrastive {
    /// The loss and its gradient with respect to the embeddings (N x d) as given. `labels` are any N numbers, equal for
    /// rows of the same class.
    ///
    /// # Errors
    /// A number of labels other than the number of rows, fewer than 2 or more than N - 1 classes, values that are not
    /// finite, a zero vector, a temperature that is not positive.
    pub fn loss_and_gradient<T: Real>(
        &self,
        embeddings: ArrayView2<'_, T>,
        labels: &[usize],
    ) -> Result<LossAndGradient<T>> {
        self.of_dataset(&dataset(embeddings, labels, Distance::Cosine)?, &NoProgress)
    }

    /// Like [`SupervisedContrastive::loss_and_gradient`], for a data set whose rows can be read in any order. If no row
    /// has a positive, the loss and its gradient are 0.
    ///
    /// # Errors
    /// Those of [`SupervisedContrastive::loss_and_gradient`], and errors from reading rows.
    pub fn of_dataset<T: Real>(&self, dataset: &Dataset, progress: &dyn Progress) -> Result<LossAndGradient<T>> {
        let t = checked_temperature(self.temperature)?;
        if let Some((loss, gradient)) = ContrastivePairs::<T>::new(dataset, progress)?.loss_and_gradient(t)? {
            return Ok(LossAndGradient { loss, gradient });
        }
        let found = ContrastivePairs::<f64>::new(dataset, progress)?.loss_and_gradient(t)?;
        let (loss, gradient) = found.unwrap_or_default();
        Ok(LossAndGradient { loss, gradient: gradient.mapv(T::from_f64) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::tests::{assert_gradient, set};

    #[test]
    fn the_loss_of_a_hand_worked_set() {
        // Two rows of a class at right angles, and one opposite the first, alone in its class.
        let rows = ndarray::array![[2.0, 0.0], [0.0, 3.0], [-1.0, 0.0]];
        let loss = SupervisedContrastive { temperature: 0.5 };
        let found = loss.loss_and_gradient(rows.view(), &[1, 1, 0]).unwrap().loss;
        let expected = 0.5 * ((1.0_f64 + (-2.0_f64).exp()).ln() + 2.0_f64.ln());
        assert!((found - expected).abs() < 1e-15, "{found} for {expected}");
    }

    #[test]
    fn gradients_agree_with_central_differences() {
        let (rows, labels) = set(19, 4);
        for temperature in [0.05, 0.1, 1.0, 10.0] {
            let loss = SupervisedContrastive { temperature };
            assert_gradient(&rows, &format!("{loss:?}"), |rows| {
                let found = loss.loss_and_gradient(rows.view(), &labels).unwrap();
                (found.loss, found.gradient)
            });
        }
    }

    #[test]
    fn threads_change_no_bit() {
        let (rows, labels) = set(2 * 256 + 3, 5);
        let compute = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| SupervisedContrastive::default().loss_and_gradient(rows.view(), &labels).unwrap())
        };
        assert_eq!(compute(1), compute(3));
    }
}
