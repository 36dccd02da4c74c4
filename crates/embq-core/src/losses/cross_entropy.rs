//! Softmax cross-entropy, in natural logarithms.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis, s};
use rayon::prelude::*;

use crate::data::Element;
use crate::error::{Error, Result};
use crate::kernels::{Packed, blocks_at_once, for_each_block, multiply, multiply_packed, transposed_multiply};
use crate::losses::{LossAndGradient, widened};

/// Rows per product.
const BLOCK_ROWS: usize = 256;

/// The mean over rows of -log softmax(logits)\[y_i\].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrossEntropy;

/// The loss of a linear head, logits = x W^T + b, with its gradients.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HeadGradients<T> {
    /// The loss, and its gradient with respect to the embeddings (N x d).
    pub embeddings: LossAndGradient<T>,
    /// The gradient with respect to the head's weights (K x d).
    pub weights: Array2<T>,
    /// The gradient with respect to the head's bias (K).
    pub bias: Array1<T>,
}

impl CrossEntropy {
    /// The loss and its gradient with respect to the logits (N x K). `labels` are columns of the logits.
    ///
    /// # Errors
    /// A number of labels other than the number of rows, a label that is not a column, values that are not finite.
    pub fn loss_and_gradient<T: Element>(
        &self,
        logits: ArrayView2<'_, T>,
        labels: &[usize],
    ) -> Result<LossAndGradient<T>> {
        let (n, k) = logits.dim();
        let mut logits = widened(logits, "logits")?;
        check_labels(labels, n, k)?;
        let share = 1.0 / n as f64;
        let losses: Vec<f64> =
            logits.par_chunks_exact_mut(k).zip(labels).map(|(row, &label)| differentiate(row, label, share)).collect();
        let gradient = Array2::from_shape_fn((n, k), |(row, column)| T::from_f64(logits[row * k + column]));
        Ok(LossAndGradient { loss: share * losses.iter().sum::<f64>(), gradient })
    }

    /// The loss of a linear head, and its gradients. `weights` is K x d, `bias` has K numbers, `labels` are rows of the
    /// head.
    ///
    /// # Errors
    /// Those of [`CrossEntropy::loss_and_gradient`], and shapes that do not match.
    pub fn with_head<T: Element>(
        &self,
        embeddings: ArrayView2<'_, T>,
        weights: ArrayView2<'_, T>,
        bias: ArrayView1<'_, T>,
        labels: &[usize],
    ) -> Result<HeadGradients<T>> {
        let (embeddings, weights, bias) = self.behind(embeddings, weights, bias, labels)?;
        Ok(HeadGradients { embeddings, weights: weights.mapv(T::from_f64), bias: bias.mapv(T::from_f64) })
    }

    /// Loss and gradients of a head in another type than the embeddings.
    pub(crate) fn behind<T: Element, H: Element>(
        &self,
        embeddings: ArrayView2<'_, T>,
        weights: ArrayView2<'_, H>,
        bias: ArrayView1<'_, H>,
        labels: &[usize],
    ) -> Result<(LossAndGradient<T>, Array2<f64>, Array1<f64>)> {
        let shape =
            |shape: &[usize], expected| Err(Error::Shape { name: "head".to_owned(), expected, shape: shape.to_vec() });
        if weights.ncols() != embeddings.ncols() {
            return shape(weights.shape(), "weights of classes x dimensions");
        }
        if bias.len() != weights.nrows() {
            return shape(bias.shape(), "a bias of one number per class");
        }
        let (n, d, k) = (embeddings.nrows(), embeddings.ncols(), weights.nrows());
        check_labels(labels, n, k)?;
        let weights = widened(weights, "head")?;
        let packed_weights = Packed::of(&weights, d);
        let bias = widened(bias.insert_axis(Axis(0)), "bias")?;
        let share = 1.0 / n as f64;
        let mut loss = 0.0;
        let mut gradient = Array2::from_elem((n, d), T::default());
        let mut by_weights = vec![0.0; k * d];
        let mut by_bias = Array1::<f64>::zeros(k);
        for_each_block(
            0..n,
            BLOCK_ROWS,
            blocks_at_once(2 * k * d + BLOCK_ROWS * d),
            |logits: &mut Vec<f64>, block| {
                let rows = widened(embeddings.slice(s![block.clone(), ..]), "embeddings")
                    .map_err(|error| in_row(error, block.start))?;
                logits.resize(block.len() * k, 0.0);
                multiply_packed(&rows, &packed_weights, 0..k, logits);
                let mut loss = 0.0;
                let mut by_bias = Array1::<f64>::zeros(k);
                for (logits, &label) in logits.chunks_exact_mut(k).zip(&labels[block.clone()]) {
                    logits.iter_mut().zip(&bias).for_each(|(logit, bias)| *logit += bias);
                    loss += differentiate(logits, label, share);
                    by_bias += &ArrayView1::from(&*logits);
                }
                let mut by_rows = vec![0.0; block.len() * d];
                multiply(logits, &weights, k, &mut by_rows);
                let mut by_weights = vec![0.0; k * d];
                transposed_multiply(logits, &rows, block.len(), &mut by_weights);
                Ok((loss, by_rows, by_weights, by_bias))
            },
            |block, (part, by_rows, weights_part, bias_part)| {
                loss += share * part;
                by_weights.iter_mut().zip(weights_part).for_each(|(sum, part)| *sum += part);
                by_bias += &bias_part;
                let mut rows = gradient.slice_mut(s![block, ..]);
                rows.iter_mut().zip(by_rows).for_each(|(target, value)| *target = T::from_f64(value));
            },
        )?;
        let weights = Array2::from_shape_fn((k, d), |(class, column)| by_weights[class * d + column]);
        Ok((LossAndGradient { loss, gradient }, weights, by_bias))
    }
}

fn check_labels(labels: &[usize], rows: usize, columns: usize) -> Result<()> {
    if labels.len() != rows {
        return Err(Error::RowCounts {
            left: "logits".to_owned(),
            left_rows: rows,
            right: "labels".to_owned(),
            right_rows: labels.len(),
            what: "label",
        });
    }
    match labels.iter().find(|&&label| label >= columns) {
        Some(label) => {
            Err(Error::setting(format!("label {label} is not a column of {columns} logits"), "labels are 0..K-1"))
        }
        None => Ok(()),
    }
}

/// Changes the row of an error from its number in a block to that in the whole.
fn in_row(error: Error, first: usize) -> Error {
    match error {
        Error::NonFinite { name, value, row, column, rows } => {
            Error::NonFinite { name, value, row: first + row, column, rows }
        }
        other => other,
    }
}

/// The loss of one row of logits, which are replaced by `share` times its derivatives.
fn differentiate(logits: &mut [f64], label: usize, share: f64) -> f64 {
    let largest = logits.iter().fold(f64::NEG_INFINITY, |largest, &value| largest.max(value));
    let wanted = logits[label] - largest;
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = (*logit - largest).exp();
        sum += *logit;
    }
    for logit in logits.iter_mut() {
        *logit *= share / sum;
    }
    logits[label] -= share;
    sum.ln() - wanted
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
