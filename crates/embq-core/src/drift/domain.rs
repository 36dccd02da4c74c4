//! Whether a linear classifier can tell the current rows from those of the reference.
//!
//! Ridge regression on targets of 1 (current) and -1 (reference) with an intercept; each row gets the score of the fit
//! without it, (f - h y) / (1 - h) with its leverage h (Allen 1974), so that one factorisation serves all fits.

use faer::Mat;
use ndarray::Array2;
use rayon::prelude::*;

use crate::data::{Dataset, Element, Precision};
use crate::drift::entry::{DOWN, DriftMetric, Measured, SHARE, entry};
use crate::drift::moments::{Moments, less};
use crate::error::Result;
use crate::kernels::parallel;
use crate::kernels::{LeverageWorkspace, RidgeMatrix, Vectorized, centre, lane_sum_2, penalty, vectorized};
use crate::progress::Progress;

pub(super) const DOMAIN_AUC: &str = "domain_auc";

pub(super) const ENTRIES: &[DriftMetric] = &[entry(
    DOMAIN_AUC,
    "how well a linear classifier tells the sets apart (AUC)",
    SHARE,
    DOWN,
    "Ben-David et al. 2007, Allen 1974",
)];

/// The penalty on the squared length of the weights: the default of scikit-learn's RidgeClassifier.
const ALPHA: f64 = 1.0;

/// Rows of a block.
const BLOCK_ROWS: usize = 256;

/// One of the sets with its moments.
pub(super) struct Sample<'a> {
    pub dataset: &'a Dataset<'a>,
    pub moments: &'a Moments,
}

/// The AUC of the scores that each row gets from a fit without it.
///
/// # Errors
/// Errors from reading rows.
pub(super) fn domain_auc(reference: &Sample<'_>, current: &Sample<'_>, progress: &dyn Progress) -> Result<Measured> {
    let fit = match Fit::new(reference, current) {
        Ok(fit) => fit,
        Err(reason) => return Ok(Err(reason)),
    };
    progress.begin("domain classifier", (reference.dataset.len() + current.dataset.len()) as u64);
    let mut scores = Vec::new();
    for (sample, target) in [(reference, -1.0), (current, 1.0)] {
        scores.push(match sample.dataset.embeddings().element_type().precision() {
            Precision::F32 => fit.scores::<f32>(sample.dataset, target, progress)?,
            Precision::F64 => fit.scores::<f64>(sample.dataset, target, progress)?,
        });
    }
    progress.end();
    Ok(match &mut scores[..] {
        [reference, current] if reference.iter().chain(&*current).all(|score| score.is_finite()) => {
            Ok(auc(reference, current))
        }
        _ => Err("some rows decide their own score".to_owned()),
    })
}

/// A fit to all rows.
struct Fit {
    rows: f64,
    mean: Vec<f64>,
    /// The mean of the targets.
    intercept: f64,
    weights: Vec<f64>,
    matrix: RidgeMatrix,
}

impl Fit {
    fn new(reference: &Sample<'_>, current: &Sample<'_>) -> std::result::Result<Self, String> {
        let (first, second) = (reference.dataset.len() as f64, current.dataset.len() as f64);
        let rows = first + second;
        let apart = less(&current.moments.mean, &reference.moments.mean);
        let both = first * second / rows;
        let scatter = scatter(reference, current, &apart, both);
        let d = apart.len();
        let trace: f64 = scatter.diag().sum();
        if !trace.is_finite() {
            return Err("the squares of the rows are too large for a number".to_owned());
        }
        let matrix = RidgeMatrix::new(d, penalty(ALPHA, d, trace), |row, column| scatter[[row, column]])
            .ok_or_else(|| "the covariance of the rows has no Cholesky factor".to_owned())?;
        // X^T y, as the centred rows sum to 0.
        let mut weights = Mat::from_fn(d, 1, |row, _| 2.0 * both * apart[row]);
        matrix.solve(&mut weights);
        let mean = reference.moments.mean.iter().zip(&apart).map(|(mean, apart)| mean + second / rows * apart);
        Ok(Fit {
            rows,
            mean: mean.collect(),
            intercept: (second - first) / rows,
            weights: weights.col_as_slice(0).to_vec(),
            matrix,
        })
    }

    /// The score of each row of a set without that row.
    fn scores<T: Element>(&self, dataset: &Dataset, target: f64, progress: &dyn Progress) -> Result<Vec<f64>> {
        let mut scores = Vec::with_capacity(dataset.len());
        dataset.selected().for_each_window::<T>(|window| {
            let starts = window.range().step_by(BLOCK_ROWS);
            let blocks: Vec<Vec<f64>> =
                parallel::try_map_with(starts, |(buffer, workspace): &mut (Vec<T>, Workspace), start| {
                    let rows = start..(start + BLOCK_ROWS).min(window.range().end);
                    let block = window.rows(rows.clone(), buffer)?;
                    let scores = vectorized(Score { fit: self, block, target, workspace });
                    progress.step(rows.len() as u64)?;
                    Ok(scores)
                })?;
            scores.extend(blocks.into_iter().flatten());
            Ok(())
        })?;
        Ok(scores)
    }
}

/// The scatter matrix of the rows of both sets around their common mean.
fn scatter(reference: &Sample<'_>, current: &Sample<'_>, apart: &[f64], both: f64) -> Array2<f64> {
    let mut scatter = Array2::zeros((apart.len(), apart.len()));
    for sample in [reference, current] {
        scatter.scaled_add(sample.dataset.len() as f64 - 1.0, &sample.moments.covariance);
    }
    for (row, value) in apart.iter().enumerate() {
        let factor = both * value;
        scatter.row_mut(row).iter_mut().zip(apart).for_each(|(target, other)| *target += factor * other);
    }
    scatter
}

#[derive(Default)]
struct Workspace {
    centred: Vec<f64>,
    leverages: LeverageWorkspace,
}

/// The scores of a block of rows.
struct Score<'t, T> {
    fit: &'t Fit,
    block: &'t [T],
    target: f64,
    workspace: &'t mut Workspace,
}

impl<T: Element> Vectorized for Score<'_, T> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let Score { fit, block, target, workspace } = self;
        let Workspace { centred, leverages } = workspace;
        let d = fit.mean.len();
        centre(block, &fit.mean, centred);
        fit.matrix.leverages(centred, d, fit.rows, leverages);
        let rows = centred.chunks_exact(d).zip(&leverages.leverages);
        let score = |(row, leverage): (&[f64], &f64)| {
            let fitted = fit.intercept + lane_sum_2(row, &fit.weights, |value, weight| value * weight);
            (fitted - leverage * target) / (1.0 - leverage)
        };
        rows.map(score).collect()
    }
}

/// The chance that a score of `high` is above one of `low`, equal ones by half.
fn auc(low: &mut [f64], high: &mut [f64]) -> f64 {
    low.par_sort_unstable_by(f64::total_cmp);
    high.par_sort_unstable_by(f64::total_cmp);
    let (mut below, mut up_to) = (0, 0);
    // Twice the number of pairs, so that it is whole.
    let mut above: u128 = 0;
    for score in &*high {
        while below < low.len() && low[below] < *score {
            below += 1;
        }
        while up_to < low.len() && low[up_to] <= *score {
            up_to += 1;
        }
        above += (below + up_to) as u128;
    }
    above as f64 / (2.0 * low.len() as f64 * high.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drift::moments::BlockMoments;
    use crate::progress::NoProgress;

    #[test]
    fn ties_count_by_half() {
        assert_eq!(auc(&mut [1.0, 2.0], &mut [2.0, 3.0]), 3.5 / 4.0);
        assert_eq!(auc(&mut [2.0, 2.0], &mut [2.0]), 0.5);
        assert_eq!(auc(&mut [5.0], &mut [1.0, 2.0]), 0.0);
    }

    /// The definition: a fit to the other rows, by elimination on the normal equations.
    fn refitted(values: &Array2<f64>, targets: &[f64]) -> Vec<f64> {
        let (n, d) = values.dim();
        let score = |left: usize| {
            let others: Vec<usize> = (0..n).filter(|&row| row != left).collect();
            let extended = |row: usize, k: usize| if k == d { 1.0 } else { values[[row, k]] };
            let mut system = Array2::<f64>::zeros((d + 1, d + 2));
            for &row in &others {
                for j in 0..=d {
                    for k in 0..=d {
                        system[[j, k]] += extended(row, j) * extended(row, k);
                    }
                    system[[j, d + 1]] += extended(row, j) * targets[row];
                }
            }
            (0..d).for_each(|k| system[[k, k]] += ALPHA);
            for pivot in 0..=d {
                for row in (0..=d).filter(|&row| row != pivot) {
                    let factor = system[[row, pivot]] / system[[pivot, pivot]];
                    for column in 0..d + 2 {
                        system[[row, column]] -= factor * system[[pivot, column]];
                    }
                }
            }
            (0..=d).map(|k| extended(left, k) * system[[k, d + 1]] / system[[k, k]]).sum()
        };
        (0..n).map(score).collect()
    }

    #[test]
    fn scores_are_those_of_fits_without_the_row() {
        let value = |i: usize, j: usize| ((i * 37 + j * 101 + i * j * 13) % 97) as f64 / 20.0 - 1.0;
        let values = Array2::from_shape_fn((40, 3), |(i, j)| value(i, j) + if i >= 25 { 0.8 } else { 0.0 });
        let sets = [0..25, 25..40].map(|rows| {
            let rows = values.slice(ndarray::s![rows, ..]).to_owned();
            let labels = vec![0; rows.nrows()];
            Dataset::new(rows, labels).unwrap()
        });
        let moments = [0, 1].map(|set| BlockMoments::new(&sets[set], 1, &NoProgress).unwrap().all());
        let [reference, current] = [0, 1].map(|set| Sample { dataset: &sets[set], moments: &moments[set] });
        let fit = Fit::new(&reference, &current).unwrap();
        let mut found = fit.scores::<f64>(&sets[0], -1.0, &NoProgress).unwrap();
        found.extend(fit.scores::<f64>(&sets[1], 1.0, &NoProgress).unwrap());
        let targets: Vec<f64> = (0..40).map(|row| if row >= 25 { 1.0 } else { -1.0 }).collect();
        for (found, expected) in found.iter().zip(refitted(&values, &targets)) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        let measured = domain_auc(&reference, &current, &NoProgress).unwrap().unwrap();
        assert!(measured > 0.6 && measured < 1.0, "{measured}");
    }
}
