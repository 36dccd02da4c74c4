//! The soft silhouette loss as a training run sees it: batch by batch.

use rayon::prelude::*;

use crate::data::{Dataset, Precision, shuffled};
use crate::distance::Distance;
use crate::error::Result;
use crate::kernels::{ClassDistanceKernel, Wanted};
use crate::metrics::mean::weighted_mean;
use crate::metrics::{RowScoreFold, SmoothMaximum, SoftMinimum};
use crate::progress::Silent;

/// How batches are cut and scored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchSettings {
    /// Rows of a batch; the last one may have fewer.
    pub size: usize,
    pub seed: u64,
    pub distance: Distance,
    pub precision: Precision,
    pub temperature: f64,
    pub softmin: SoftMinimum,
    pub softmax: SmoothMaximum,
}

/// The losses of all batches, summed up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BatchLoss {
    /// Unweighted mean of the losses of the kept batches; `None` if none was kept.
    pub mean: Option<f64>,
    /// Their standard deviation (ddof 0).
    pub standard_deviation: Option<f64>,
    /// Batches with at least two classes.
    pub kept: usize,
    /// Batches of one class, which have no loss.
    pub skipped: usize,
    /// Share of the rows of kept batches that are alone of their class in their batch.
    pub without_positive: Option<f64>,
}

/// Shuffles the rows, cuts them into batches and scores each as if it were all there is.
///
/// # Errors
/// What reading rows reports.
pub fn batch_loss(dataset: &Dataset, settings: &BatchSettings) -> Result<BatchLoss> {
    let order = shuffled(dataset.len(), settings.seed);
    let batches: Vec<&[usize]> = order.chunks(settings.size.max(1)).collect();
    let losses: Vec<Option<(f64, usize, usize)>> = batches
        .par_iter()
        .map(|rows| {
            let mut rows = rows.to_vec();
            rows.sort_unstable();
            let batch = dataset.subset(&rows);
            if batch.labels().classes() < 2 {
                return Ok(None);
            }
            Ok(Some((loss(&batch, settings)?, batch.labels().singletons(), batch.len())))
        })
        .collect::<Result<_>>()?;
    let kept: Vec<(f64, usize, usize)> = losses.iter().flatten().copied().collect();
    let mean = weighted_mean(kept.iter().map(|&(loss, ..)| (loss, 1.0)));
    let variance = mean.and_then(|mean| weighted_mean(kept.iter().map(|&(loss, ..)| ((loss - mean).powi(2), 1.0))));
    let (alone, rows) = kept.iter().fold((0, 0), |(alone, rows), &(_, a, r)| (alone + a, rows + r));
    Ok(BatchLoss {
        mean,
        standard_deviation: variance.map(f64::sqrt),
        kept: kept.len(),
        skipped: losses.len() - kept.len(),
        without_positive: (rows > 0).then(|| alone as f64 / rows as f64),
    })
}

fn loss(batch: &Dataset, settings: &BatchSettings) -> Result<f64> {
    let fold = RowScoreFold {
        precision: settings.precision,
        temperature: settings.temperature,
        softmin: settings.softmin,
        softmax: settings.softmax,
        counts: batch.labels().counts(),
    };
    let kernel = ClassDistanceKernel::new(batch, settings.distance, settings.precision, &Silent)?;
    let scores = kernel.pass(&fold, Wanted::default())?.rows;
    let rows = scores.iter().enumerate().map(|(row, score)| (score.soft_silhouette, batch.weight(row)));
    Ok(1.0 - weighted_mean(rows).unwrap_or(0.0))
}
