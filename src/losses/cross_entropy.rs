//! Softmax cross-entropy, in natural logarithms.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};

use crate::data::Element;
use crate::error::{Error, Result};
use crate::losses::{LossAndGradient, narrowed, widened};

/// The mean over rows of -log softmax(logits)\[y_i\].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrossEntropy;

/// What a linear head adds to a loss: logits = x W^T + b.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadGradients<T> {
    /// The loss, and its gradient with respect to the embeddings (N x d).
    pub embeddings: LossAndGradient<T>,
    /// With respect to the head's weights (K x d).
    pub weights: Array2<T>,
    /// With respect to the head's bias (K).
    pub bias: Array1<T>,
}

impl CrossEntropy {
    /// The loss and its gradient with respect to the logits (N x K). `labels` are columns of the logits.
    ///
    /// # Errors
    /// Another number of labels than rows, a label that is no column, values that are not finite.
    pub fn loss_and_gradient<T: Element>(
        &self,
        logits: ArrayView2<'_, T>,
        labels: &[usize],
    ) -> Result<LossAndGradient<T>> {
        let (loss, gradient) = softmax(widened(logits)?, labels)?;
        Ok(LossAndGradient { loss, gradient: narrowed(&gradient) })
    }

    /// The loss behind a linear head, and its gradients. `weights` is K x d, `bias` has K numbers.
    ///
    /// # Errors
    /// As [`CrossEntropy::loss_and_gradient`], and shapes that do not fit.
    pub fn with_head<T: Element>(
        &self,
        embeddings: ArrayView2<'_, T>,
        weights: ArrayView2<'_, T>,
        bias: ArrayView1<'_, T>,
        labels: &[usize],
    ) -> Result<HeadGradients<T>> {
        let shape =
            |shape: &[usize], expected| Err(Error::Shape { name: "head".to_owned(), expected, shape: shape.to_vec() });
        if weights.ncols() != embeddings.ncols() {
            return shape(weights.shape(), "weights of classes x dimensions");
        }
        if bias.len() != weights.nrows() {
            return shape(bias.shape(), "a bias of one number a class");
        }
        let rows = widened(embeddings)?;
        let weights = widened(weights)?;
        let logits = rows.dot(&weights.t()) + &bias.mapv(Element::to_f64);
        let (loss, by_logits) = softmax(logits, labels)?;
        Ok(HeadGradients {
            embeddings: LossAndGradient { loss, gradient: narrowed(&by_logits.dot(&weights)) },
            weights: narrowed(&by_logits.t().dot(&rows)),
            bias: by_logits.sum_axis(Axis(0)).mapv(T::from_f64),
        })
    }
}

fn softmax(mut logits: Array2<f64>, labels: &[usize]) -> Result<(f64, Array2<f64>)> {
    let (n, k) = logits.dim();
    if labels.len() != n {
        return Err(Error::RowCounts {
            left: "logits".to_owned(),
            left_rows: n,
            right: "labels".to_owned(),
            right_rows: labels.len(),
            what: "label",
        });
    }
    if let Some(label) = labels.iter().find(|&&label| label >= k) {
        return Err(Error::setting(format!("label {label} is no column of {k} logits"), "a label is 0..K-1"));
    }
    let mut loss = 0.0;
    for (mut row, &label) in logits.rows_mut().into_iter().zip(labels) {
        let largest = row.iter().fold(f64::NEG_INFINITY, |largest, &value| largest.max(value));
        let wanted = row[label] - largest;
        row.mapv_inplace(|value| (value - largest).exp());
        let sum = row.sum();
        loss += sum.ln() - wanted;
        row.mapv_inplace(|value| value / (sum * n as f64));
        row[label] -= 1.0 / n as f64;
    }
    Ok((loss / n as f64, logits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::tests::{assert_gradient, set};

    #[test]
    fn the_loss_of_a_hand_worked_set() {
        let logits = ndarray::array![[0.0, 3.0_f64.ln()], [1000.0, 1000.0]];
        let found = CrossEntropy.loss_and_gradient(logits.view(), &[0, 1]).unwrap();
        assert!((found.loss - 0.5 * (4.0_f64.ln() + 2.0_f64.ln())).abs() < 1e-15);
        for (found, expected) in found.gradient.iter().zip([-0.375, 0.375, 0.25, -0.25]) {
            assert!((found - expected).abs() < 1e-15);
        }
    }

    #[test]
    fn gradients_of_the_head_agree_with_central_differences() {
        let (rows, labels) = set(19, 4);
        let weights = Array2::from_shape_fn((10, 4), |(class, j)| ((class * 7 + j * 3) % 11) as f64 / 11.0);
        let bias = Array1::from_shape_fn(10, |class| class as f64 / 10.0);
        let run = |rows: &Array2<f64>, weights: &Array2<f64>, bias: &Array2<f64>| {
            CrossEntropy.with_head(rows.view(), weights.view(), bias.row(0), &labels).unwrap()
        };
        let bias = bias.insert_axis(Axis(0));
        assert_gradient(&rows, "embeddings", |rows| {
            let found = run(rows, &weights, &bias).embeddings;
            (found.loss, found.gradient)
        });
        assert_gradient(&weights, "weights", |weights| {
            let found = run(&rows, weights, &bias);
            (found.embeddings.loss, found.weights)
        });
        assert_gradient(&bias, "bias", |bias| {
            let found = run(&rows, &weights, bias);
            (found.embeddings.loss, found.bias.insert_axis(Axis(0)))
        });
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let logits = ndarray::array![[0.0, 1.0], [1.0, 0.0]];
        assert!(matches!(CrossEntropy.loss_and_gradient(logits.view(), &[0]), Err(Error::RowCounts { .. })));
        assert!(matches!(CrossEntropy.loss_and_gradient(logits.view(), &[0, 2]), Err(Error::Setting { .. })));
        let bias = ndarray::array![0.0];
        let error = CrossEntropy.with_head(logits.view(), logits.view(), bias.view(), &[0, 1]).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    }
}
