//! Ridge regression on targets of 1 for the class of a row and -1 for the others, with an intercept that is not penalised:
//! what the fit to all other rows predicts for each row.
//!
//! With X the centred rows, y a target and A = X^T X + alpha I, the fit gives row i f_i = mean(y) + x_i^T A^-1 X^T y, and
//! its leverage is h_i = 1/N + x_i^T A^-1 x_i. Without the row it would have been given (f_i - h_i y_i) / (1 - h_i) (Allen
//! 1974): one factorisation serves all N fits. Everything is float64, and centred first.
//!
//! With more dimensions than rows the same follows from the products of rows with rows. There 1 - h_i and y_i - f_i are
//! small differences, and so both are taken from the inverse itself: with M = X X^T + alpha I on what is orthogonal to the
//! vector of ones, the row left out misses its target by (M^-1 y)_i / (M^-1)_ii.

use faer::linalg::solvers::{DenseSolveCore, Llt};
use faer::{Mat, Side};

use crate::data::{Dataset, Element, Precision};
use crate::error::Result;
use crate::kernels::gemm::{Packed, multiply_packed, multiply_transposed};
use crate::kernels::parallel;
use crate::kernels::ridge_matrix::{LeverageWorkspace, RidgeMatrix, centre, penalty};
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::kernels::{ClassMeans, Covariance};
use crate::progress::Progress;

/// Rows of a block.
const BLOCK_ROWS: usize = 256;

/// Rows of a side of a tile of their products.
const TILE: usize = 128;

/// Classes of one product.
const PANEL_CLASSES: usize = 1024;

/// For each row the code of the class that is predicted for it, or why none can be.
pub(crate) type Predicted = std::result::Result<Vec<u32>, &'static str>;

const NO_VARIANCE: &str = "the rows do not vary";
const TOO_LARGE: &str = "the squares of the rows are too large for a number";

/// The penalty for rows whose squared lengths, once they are centred, add up to the trace.
fn penalty_of_rows(alpha: f64, size: usize, trace: f64) -> std::result::Result<f64, &'static str> {
    match trace {
        0.0 => Err(NO_VARIANCE),
        trace if trace.is_finite() => Ok(penalty(alpha, size, trace)),
        _ => Err(TOO_LARGE),
    }
}

/// Predictions from the covariance of the rows and their class means: O(N d^2 + d^3), one pass over the rows.
///
/// # Errors
/// Errors from reading rows.
pub(crate) fn predict_by_dimensions(
    dataset: &Dataset,
    covariance: &Covariance,
    means: &ClassMeans<'_>,
    alpha: f64,
    progress: &dyn Progress,
) -> Result<Predicted> {
    let fit = match Fit::new(dataset, covariance, means, alpha) {
        Ok(fit) => fit,
        Err(reason) => return Ok(Err(reason)),
    };
    progress.check()?;
    Ok(Ok(match dataset.embeddings().element_type().precision() {
        Precision::F32 => fit.predict::<f32>(dataset, progress)?,
        Precision::F64 => fit.predict::<f64>(dataset, progress)?,
    }))
}

/// A fit to all rows.
struct Fit<'a> {
    mean: &'a [f64],
    /// mean(y) of each class.
    intercepts: Vec<f64>,
    /// A^-1 X^T y of each class.
    weights: Packed<f64>,
    matrix: RidgeMatrix,
}

impl<'a> Fit<'a> {
    fn new(
        dataset: &Dataset,
        covariance: &'a Covariance,
        means: &ClassMeans<'_>,
        alpha: f64,
    ) -> std::result::Result<Self, &'static str> {
        let (rows, d) = (dataset.len() as f64, dataset.dimensions());
        let counts = dataset.labels().counts();
        let alpha = penalty_of_rows(alpha, d, covariance.matrix.diag().sum() * rows)?;
        let matrix =
            RidgeMatrix::new(d, alpha, |row, column| covariance.matrix[[row, column]] * rows).ok_or(TOO_LARGE)?;
        // X^T y = 2 n_c (mu_c - mean), as the centred rows sum to 0.
        let apart = means.less(&covariance.mean);
        let mut weights = Mat::from_fn(d, counts.len(), |k, class| 2.0 * counts[class] as f64 * apart[class * d + k]);
        matrix.solve(&mut weights);
        let by_class: Vec<f64> =
            (0..counts.len()).flat_map(|class| weights.col_as_slice(class).iter().copied()).collect();
        Ok(Fit {
            mean: &covariance.mean,
            intercepts: counts.iter().map(|&count| 2.0 * count as f64 / rows - 1.0).collect(),
            weights: Packed::of(&by_class, d),
            matrix,
        })
    }

    fn predict<T: Element>(&self, dataset: &Dataset, progress: &dyn Progress) -> Result<Vec<u32>> {
        let codes = dataset.labels().codes();
        let mut predicted = Vec::with_capacity(dataset.len());
        progress.begin("ridge probe", dataset.len() as u64);
        dataset.selected().for_each_window::<T>(|window| {
            let starts = window.range().step_by(BLOCK_ROWS);
            let blocks: Vec<Vec<u32>> =
                parallel::try_map_with(starts, |(buffer, workspace): &mut (Vec<T>, Workspace), start| {
                    let rows = start..(start + BLOCK_ROWS).min(window.range().end);
                    let block = window.rows(rows.clone(), buffer)?;
                    let task =
                        Predict { fit: self, block, codes: &codes[rows.clone()], rows: dataset.len(), workspace };
                    let predicted = vectorized(task);
                    progress.step(rows.len() as u64)?;
                    Ok(predicted)
                })?;
            predicted.extend(blocks.into_iter().flatten());
            Ok(())
        })?;
        progress.end();
        Ok(predicted)
    }
}

#[derive(Default)]
struct Workspace {
    centred: Vec<f64>,
    leverages: LeverageWorkspace,
    /// For each row the class in front so far, and by how much.
    best: Vec<(u32, f64)>,
}

/// Predictions for a block of rows.
struct Predict<'t, 'a, T> {
    fit: &'t Fit<'a>,
    block: &'t [T],
    codes: &'t [u32],
    rows: usize,
    workspace: &'t mut Workspace,
}

impl<T: Element> Vectorized for Predict<'_, '_, T> {
    type Output = Vec<u32>;

    #[inline(always)]
    fn run(self) -> Vec<u32> {
        let Predict { fit, block, codes, rows, workspace } = self;
        let Workspace { centred, leverages, best } = workspace;
        let (d, count) = (fit.mean.len(), codes.len());
        centre(block, fit.mean, centred);
        fit.matrix.leverages(centred, d, rows as f64, leverages);
        let LeverageWorkspace { products, leverages } = leverages;
        best.clear();
        best.resize(count, (0, f64::NEG_INFINITY));
        let classes = fit.intercepts.len();
        for first in (0..classes).step_by(PANEL_CLASSES) {
            let panel = first..(first + PANEL_CLASSES).min(classes);
            products.resize(count * panel.len(), 0.0);
            multiply_packed(centred, &fit.weights, panel.clone(), products);
            let lists = products.chunks_exact(panel.len()).zip(codes).zip(&*leverages);
            for (((products, &own), leverage), best) in lists.zip(&mut *best) {
                for ((class, product), intercept) in panel.clone().zip(products).zip(&fit.intercepts[panel.clone()]) {
                    // f - h y, of which 1 - h changes neither order nor sign.
                    let target = if class == own as usize { 1.0 } else { -1.0 };
                    let value = intercept + product - leverage * target;
                    if value > best.1 {
                        *best = (class as u32, value);
                    }
                }
            }
        }
        best.iter().map(|&(class, _)| class).collect()
    }
}

/// Predictions from the products of all rows: O(N^2 d + N^3), one pass over the rows, which are then held in memory.
///
/// # Errors
/// Errors from reading rows.
pub(crate) fn predict_by_rows(dataset: &Dataset, alpha: f64, progress: &dyn Progress) -> Result<Predicted> {
    let products = match dataset.embeddings().element_type().precision() {
        Precision::F32 => products_of_rows::<f32>(dataset, progress)?,
        Precision::F64 => products_of_rows::<f64>(dataset, progress)?,
    };
    progress.check()?;
    Ok(predict_from_products(products, dataset.labels().codes(), dataset.labels().counts(), alpha))
}

/// N x N products of the rows, less their mean.
fn products_of_rows<T: Element>(dataset: &Dataset, progress: &dyn Progress) -> Result<Mat<f64>> {
    let (n, d) = (dataset.len(), dataset.dimensions());
    let mut centred: Vec<f64> = Vec::with_capacity(n * d);
    let mut buffer = Vec::new();
    progress.begin("ridge probe", n as u64);
    dataset.selected().for_each_window::<T>(|window| {
        centred.extend(window.rows(window.range(), &mut buffer)?.iter().map(|value| value.to_f64()));
        progress.check()
    })?;
    // Less the first row to begin with, so that a common offset does not cancel.
    let first = centred[..d].to_vec();
    let mut mean = vec![0.0; d];
    for row in centred.chunks_exact_mut(d) {
        for ((value, first), mean) in row.iter_mut().zip(&first).zip(&mut mean) {
            *value -= first;
            *mean += *value;
        }
    }
    for row in centred.chunks_exact_mut(d) {
        row.iter_mut().zip(&mean).for_each(|(value, sum)| *value -= sum / n as f64);
    }
    let tiles: Vec<(usize, usize)> =
        (0..n).step_by(TILE).flat_map(|row| (row..n).step_by(TILE).map(move |column| (row, column))).collect();
    let part = |start: usize| &centred[start * d..(start + TILE).min(n) * d];
    let found: Vec<Vec<f64>> = parallel::try_map(&tiles, |&(row, column)| {
        let (left, right) = (part(row), part(column));
        let mut out = vec![0.0; left.len() / d * (right.len() / d)];
        multiply_transposed(left, right, d, &mut out);
        if row == column {
            progress.step((left.len() / d) as u64)?;
        }
        Ok(out)
    })?;
    let mut products = Mat::zeros(n, n);
    for (&(row, column), tile) in tiles.iter().zip(&found) {
        let width = TILE.min(n - column);
        for (i, values) in (row..).zip(tile.chunks_exact(width)) {
            for (j, &value) in (column..).zip(values) {
                (products[(i, j)], products[(j, i)]) = (value, value);
            }
        }
    }
    progress.end();
    Ok(products)
}

fn predict_from_products(mut products: Mat<f64>, codes: &[u32], counts: &[usize], alpha: f64) -> Predicted {
    let n = codes.len();
    let rows = n as f64;
    let trace: f64 = (0..n).map(|row| products[(row, row)]).sum();
    let alpha = penalty_of_rows(alpha, n, trace)?;
    // What is added along the vector of ones, on which X X^T is 0, is large enough to leave next to nothing of the inverse
    // there.
    let along_ones = trace / rows;
    for column in 0..n {
        for row in 0..n {
            products[(row, column)] += along_ones + if row == column { alpha } else { 0.0 };
        }
    }
    let inverse = Llt::new(products.as_ref(), Side::Lower).map_err(|_| TOO_LARGE)?.inverse();
    let of_ones = 1.0 / (alpha + along_ones * rows);
    let shares: Vec<f64> = counts.iter().map(|&count| count as f64 / rows).collect();
    let mut sums = vec![0.0; counts.len()];
    let predicted = codes.iter().enumerate().map(|(row, &own)| {
        sums.fill(0.0);
        // The inverse is symmetric, and its columns are contiguous.
        for (&code, value) in codes.iter().zip(inverse.col_as_slice(row)) {
            sums[code as usize] += value;
        }
        let diagonal = inverse[(row, row)] - of_ones / rows;
        let mut best = (0, f64::NEG_INFINITY);
        for (class, (sum, share)) in sums.iter().zip(&shares).enumerate() {
            let target = if class == own as usize { 1.0 } else { -1.0 };
            let value = target - 2.0 * (sum - share * of_ones) / diagonal;
            if value > best.1 {
                best = (class as u32, value);
            }
        }
        best.0
    });
    Ok(predicted.collect())
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::data::{DatasetOptions, Embeddings, LabelColumn, Origin};
    use crate::distance::Distance;
    use crate::kernels::covariance;
    use crate::progress::NoProgress;

    fn dataset(values: Array2<f64>, labels: &[usize]) -> Dataset<'static> {
        let embeddings = Embeddings::from_f64(Origin::new("rows"), values);
        let labels = LabelColumn::from_labels(labels);
        Dataset::join(embeddings, &labels, Distance::Euclidean, &DatasetOptions::default()).unwrap()
    }

    fn both(dataset: &Dataset, alpha: f64) -> [Predicted; 2] {
        let found = covariance(dataset, &NoProgress).unwrap();
        let means = ClassMeans::new(dataset, false, &NoProgress).unwrap();
        [
            predict_by_dimensions(dataset, &found, &means, alpha, &NoProgress).unwrap(),
            predict_by_rows(dataset, alpha, &NoProgress).unwrap(),
        ]
    }

    /// The definition: a fit to the other rows, by elimination on the normal equations with the intercept among them.
    fn refitted(values: &Array2<f64>, labels: &[usize], classes: usize, alpha: f64) -> Vec<u32> {
        let (n, d) = values.dim();
        let predict = |left: usize| {
            let others: Vec<usize> = (0..n).filter(|&row| row != left).collect();
            let extended = |row: usize, k: usize| if k == d { 1.0 } else { values[[row, k]] - values[[0, k]] };
            let mut best = (0, f64::NEG_INFINITY);
            for class in 0..classes {
                let mut system = Array2::zeros((d + 1, d + 2));
                for &row in &others {
                    let target = if labels[row] == class { 1.0 } else { -1.0 };
                    for i in 0..=d {
                        for j in 0..=d {
                            system[[i, j]] += extended(row, i) * extended(row, j);
                        }
                        system[[i, d + 1]] += extended(row, i) * target;
                    }
                }
                for k in 0..d {
                    system[[k, k]] += alpha;
                }
                for pivot in 0..=d {
                    let largest = (pivot..=d).fold(pivot, |best, row| {
                        if f64::abs(system[[row, pivot]]) > f64::abs(system[[best, pivot]]) { row } else { best }
                    });
                    for k in 0..d + 2 {
                        system.swap([pivot, k], [largest, k]);
                    }
                    for row in (0..=d).filter(|&row| row != pivot) {
                        let factor = system[[row, pivot]] / system[[pivot, pivot]];
                        for k in 0..d + 2 {
                            system[[row, k]] -= factor * system[[pivot, k]];
                        }
                    }
                }
                let value: f64 = (0..=d).map(|k| extended(left, k) * system[[k, d + 1]] / system[[k, k]]).sum();
                if value > best.1 {
                    best = (class as u32, value);
                }
            }
            best.0
        };
        (0..n).map(predict).collect()
    }

    fn values(rows: usize, d: usize, offset: f64) -> Array2<f64> {
        Array2::from_shape_fn((rows, d), |(i, j)| {
            offset + ((i * 37 + j * 101 + i * j * 13) % 97) as f64 / 97.0 + ((i * (j + 3)) % 4) as f64 / 3.0
        })
    }

    #[test]
    fn rows_are_predicted_as_by_fits_without_them() {
        for (rows, d, classes) in [(30, 4, 3), (12, 20, 4), (25, 24, 2), (40, 1, 3)] {
            let labels: Vec<usize> =
                (0..rows).map(|row| if row < classes { row } else { row * row % classes }).collect();
            for alpha in [1e-3, 1.0, 30.0] {
                let values = values(rows, d, 0.0);
                let expected = refitted(&values, &labels, classes, alpha);
                for (route, found) in both(&dataset(values, &labels), alpha).into_iter().enumerate() {
                    assert_eq!(found.unwrap(), expected, "{rows} x {d}, alpha {alpha}, route {route}");
                }
            }
        }
    }

    #[test]
    fn rows_far_from_the_origin_are_read_as_well() {
        let labels: Vec<usize> = (0..300).map(|row| row % 4).collect();
        let rows = values(300, 6, 0.0);
        let near = both(&dataset(rows.clone(), &labels), 0.1);
        // Multiples of 2^-20 stay what they are.
        let rows = rows.mapv(|value| (value * 1048576.0).round() / 1048576.0);
        let far = both(&dataset(rows + 1e8, &labels), 0.1);
        assert_eq!(near[0], near[1]);
        assert_eq!(near, far);
    }

    #[test]
    fn rank_and_scale_take_no_digits() {
        // One dimension twice, and one that is constant: two directions without variance.
        let labels: Vec<usize> = (0..60).map(|row| row % 3).collect();
        let flat = Array2::from_shape_fn((60, 4), |(row, k)| match k {
            0 | 1 => (row % 3) as f64 + (row as f64 / 7.0).sin() / 10.0,
            2 => 5.0,
            _ => (row % 2) as f64,
        });
        for scale in [1e-100, 1e-6, 1.0, 1e6, 1e100] {
            for found in both(&dataset(&flat * scale, &labels), 1e-3 * scale * scale) {
                let found = found.unwrap();
                let right = found.iter().zip(&labels).filter(|(found, label)| **found as usize == **label).count();
                assert!(right >= 40, "{scale}: {right}");
            }
        }
        // Nothing is left of a penalty of 1.
        let [by_dimensions, by_rows] = both(&dataset(flat * 1e12, &labels), 1.0);
        assert_eq!(by_dimensions, by_rows);
    }

    #[test]
    fn rows_without_variance_have_a_reason() {
        for found in both(&dataset(Array2::from_elem((6, 2), 0.1), &[0, 1, 0, 1, 0, 1]), 1.0) {
            assert_eq!(found, Err(NO_VARIANCE));
        }
        assert_eq!(penalty_of_rows(1.0, 2, f64::INFINITY), Err(TOO_LARGE));
    }

    #[test]
    fn the_only_row_of_a_class_is_never_found() {
        let labels: Vec<usize> = (0..20).map(|row| if row == 7 { 2 } else { row % 2 }).collect();
        for found in both(&dataset(values(20, 3, 0.0), &labels), 1.0) {
            assert_ne!(found.unwrap()[7], 2);
        }
    }

    #[test]
    fn threads_change_no_bit_of_the_fit() {
        let rows = 2 * BLOCK_ROWS + 60;
        let labels: Vec<usize> = (0..rows).map(|row| row * row % 5).collect();
        let dataset = dataset(values(rows, TILE + 9, 0.0), &labels);
        let compute = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| (both(&dataset, 1.0), products_of_rows::<f64>(&dataset, &NoProgress).unwrap()))
        };
        let [one, three] = [1, 3].map(compute);
        assert_eq!(one.0, three.0);
        assert_eq!(one.0[0], one.0[1]);
        for column in 0..rows {
            assert_eq!(one.1.col_as_slice(column), three.1.col_as_slice(column));
        }
    }
}
