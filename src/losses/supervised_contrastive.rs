//! Supervised contrastive loss (Khosla et al. 2020, "Supervised Contrastive Learning", L_out).

use ndarray::{Array2, ArrayView2, s};
use rayon::prelude::*;

use crate::data::Element;
use crate::error::{Error, Result};
use crate::losses::{BLOCK, Classes, LossAndGradient, narrowed, normalise, through_normalisation, widened};

/// The mean over anchors i with positives P(i) (the other rows of their class) of
///
/// ```text
/// -1/|P(i)| sum over p in P(i) of log( exp(z_i.z_p / t) / sum over a != i of exp(z_i.z_a / t) )
/// ```
///
/// with z the rows scaled to length 1. Rows are compared a tile at a time; no N x N matrix is held.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SupervisedContrastive {
    /// t; positive.
    pub temperature: f64,
}

impl Default for SupervisedContrastive {
    fn default() -> Self {
        SupervisedContrastive { temperature: 0.1 }
    }
}

impl SupervisedContrastive {
    /// The loss and its gradient with respect to the embeddings (N x d) as they are given. `labels` are any N numbers,
    /// equal for rows of one class.
    ///
    /// # Errors
    /// Another number of labels than rows, fewer than 2 or more than N - 1 classes, values that are not finite, a zero
    /// vector, a temperature that is not positive.
    pub fn loss_and_gradient<T: Element>(
        &self,
        embeddings: ArrayView2<'_, T>,
        labels: &[usize],
    ) -> Result<LossAndGradient<T>> {
        let t = self.temperature;
        if !(t > 0.0 && t.is_finite()) {
            return Err(Error::setting(
                format!("the temperature {t} is not a positive number"),
                "name one such as 0.1",
            ));
        }
        let classes = Classes::new(labels, embeddings.nrows())?;
        let mut units = widened(embeddings)?;
        let norms = normalise(&mut units)?;
        let n = units.nrows();
        let starts: Vec<usize> = (0..n).step_by(BLOCK).collect();
        // z_i.z_j / t; a row is not compared with itself.
        let tile = |first: usize| {
            let mut tile = units.slice(s![first..(first + BLOCK).min(n), ..]).dot(&units.t());
            tile.mapv_inplace(|product| product / t);
            for (index, mut row) in tile.rows_mut().into_iter().enumerate() {
                row[first + index] = f64::NEG_INFINITY;
            }
            tile
        };
        let positives = |row: usize| classes.sizes[classes.codes[row]] - 1;
        let anchors = (0..n).filter(|&row| positives(row) > 0).count() as f64;
        let rows: Vec<(f64, f64)> = starts
            .par_iter()
            .flat_map_iter(|&first| {
                let tile = tile(first);
                let row = |(index, row): (usize, ndarray::ArrayView1<'_, f64>)| {
                    let largest = row.iter().fold(f64::NEG_INFINITY, |largest, &value| largest.max(value));
                    let sum: f64 = row.iter().map(|value| (value - largest).exp()).sum();
                    let log_sum = largest + sum.ln();
                    let own = classes.codes[first + index];
                    let is_positive = |other: usize| classes.codes[other] == own && other != first + index;
                    let similar: f64 =
                        row.iter().enumerate().filter(|(other, _)| is_positive(*other)).map(|(_, v)| v).sum();
                    let count = positives(first + index);
                    let loss = if count > 0 { log_sum - similar / count as f64 } else { 0.0 };
                    (log_sum, loss)
                };
                tile.rows().into_iter().enumerate().map(row).collect::<Vec<_>>()
            })
            .collect();
        let loss = rows.iter().map(|(_, loss)| loss).sum::<f64>() / anchors;
        // The derivative of the loss by z_i.z_j where i is the anchor.
        let by_product = |anchor: usize, other: usize, value: f64| {
            let count = positives(anchor);
            if count == 0 || anchor == other {
                return 0.0;
            }
            let is_positive = classes.codes[anchor] == classes.codes[other];
            let wanted = if is_positive { 1.0 / count as f64 } else { 0.0 };
            ((value - rows[anchor].0).exp() - wanted) / (anchors * t)
        };
        let blocks: Vec<Array2<f64>> = starts
            .par_iter()
            .map(|&first| {
                let mut tile = tile(first);
                for ((index, other), value) in tile.indexed_iter_mut() {
                    let row = first + index;
                    *value = by_product(row, other, *value) + by_product(other, row, *value);
                }
                tile.dot(&units)
            })
            .collect();
        let mut gradient = Array2::zeros(units.raw_dim());
        for (&first, block) in starts.iter().zip(&blocks) {
            gradient.slice_mut(s![first..first + block.nrows(), ..]).assign(block);
        }
        through_normalisation(&mut gradient, &units, &norms);
        Ok(LossAndGradient { loss, gradient: narrowed(&gradient) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::losses::tests::{assert_gradient, set};

    #[test]
    fn the_loss_of_a_hand_worked_set() {
        // Two rows of a class at right angles, and one opposite to the first, alone in its class.
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
        let (rows, labels) = set(2 * BLOCK + 3, 5);
        let compute = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| SupervisedContrastive::default().loss_and_gradient(rows.view(), &labels).unwrap())
        };
        assert_eq!(compute(1), compute(3));
    }
}
