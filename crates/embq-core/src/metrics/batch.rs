//! The soft silhouette loss as a training run sees it: batch by batch.

use rayon::prelude::*;

use crate::data::{Dataset, shuffled};
use crate::error::Result;
use crate::kernels::{ClassDistanceKernel, PassOptions};
use crate::metrics::RowScoreFold;
use crate::metrics::mean::weighted_mean;
use crate::metrics::metric::{DOWN, FROM_0, Family, Need, Question, metric};
use crate::metrics::shared::{Measures, SharedWork};
use crate::metrics::soft_silhouette::SOFT;
use crate::progress::NoProgress;

const NEEDS: &[Need] = &[Need::Labels, Need::Classes, Need::BatchSize];

pub(super) static FAMILY: Family = Family {
    name: "batch",
    question: Question::Training,
    is_default: true,
    supports_weights: true,
    metrics: &[
        metric(&FAMILY, "batch_loss", "soft silhouette loss, mean over batches", "[0, 2]", DOWN, SOFT, NEEDS),
        metric(&FAMILY, "batch_loss_std", "its standard deviation over batches", "[0, 1]", None, SOFT, NEEDS),
        metric(&FAMILY, "batches", "batches that were kept", FROM_0, None, SOFT, NEEDS),
        metric(&FAMILY, "batches_skipped", "batches of one class, which have no loss", FROM_0, DOWN, SOFT, NEEDS),
        metric(&FAMILY, "batch_without_positive", "rows alone of their class in a batch", "[0, 1]", DOWN, SOFT, NEEDS),
    ],
};

pub(super) fn measure(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<()> {
    let Some(size) = work.measuring.batch_size else { return Ok(()) };
    let batches = batch_loss(work, size)?;
    let of_batches = |value: Option<f64>| Ok(value.ok_or_else(|| "every batch holds one class only".to_owned()));
    measures.add("batch_loss", || of_batches(batches.mean))?;
    measures.add("batch_loss_std", || of_batches(batches.standard_deviation))?;
    measures.add("batches", || Ok(Ok(batches.kept as f64)))?;
    measures.add("batches_skipped", || Ok(Ok(batches.skipped as f64)))?;
    measures.add("batch_without_positive", || of_batches(batches.without_positive))
}

/// The losses of all batches, summarised.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct BatchLoss {
    /// The unweighted mean of the losses of the kept batches; `None` if none was kept.
    mean: Option<f64>,
    /// Their standard deviation (ddof 0).
    standard_deviation: Option<f64>,
    /// The number of batches with at least two classes.
    kept: usize,
    /// The number of batches with one class, which have no loss.
    skipped: usize,
    /// The share of the rows of kept batches that are alone of their class in their batch.
    without_positive: Option<f64>,
}

/// Shuffles the rows, divides them into batches of `size` rows, the last of which may be smaller, and scores each as if
/// it were the whole data set.
fn batch_loss(work: &SharedWork<'_>, size: usize) -> Result<BatchLoss> {
    let fold = work.fold(&[])?;
    let (dataset, seed) = (work.dataset, work.measuring.seed);
    let order = shuffled(dataset.len(), seed);
    let batches: Vec<&[usize]> = order.chunks(size.max(1)).collect();
    let losses: Vec<Option<(f64, usize, usize)>> = batches
        .par_iter()
        .map(|rows| {
            let mut rows = rows.to_vec();
            rows.sort_unstable();
            let batch = dataset.subset(&rows);
            if batch.labels().classes() < 2 {
                return Ok(None);
            }
            Ok(Some((loss(&batch, fold)?, batch.labels().singletons(), batch.len())))
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

/// The loss of a batch; the fold does not have the class counts yet.
fn loss(batch: &Dataset, fold: RowScoreFold<'_>) -> Result<f64> {
    let fold = RowScoreFold { counts: batch.labels().counts(), ..fold };
    let kernel = ClassDistanceKernel::new(batch, batch.distance(), fold.precision, &NoProgress)?;
    let scores = kernel.pass(&fold, PassOptions::default())?.rows;
    let rows = scores.iter().enumerate().map(|(row, score)| (score.soft_silhouette, batch.weight(row)));
    Ok(1.0 - weighted_mean(rows).unwrap_or(0.0))
}
