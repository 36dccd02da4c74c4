//! The quantities that contrastive training optimises, on unit vectors: alignment, uniformity, and the supervised loss.

use crate::error::Result;
use crate::kernels::ClassMeans;
use crate::metrics::metric::{DOWN, FROM_0, Family, Need, Question, metric};
use crate::metrics::shared::{Measured, Measures, SUPCON_TEMPERATURE, SharedWork};
use crate::metrics::validity::mean;

const ALONE: &str = "every class has a single row";

const OF_MEANS: &[Need] = &[Need::Labels, Need::UnitClassMeans];
const OF_PAIRS: &[Need] = &[Need::SampledPairs];
const OF_SUMS: &[Need] = &[Need::Labels, Need::ClassMeans, Need::PairSums];
const WANG: &str = "Wang & Isola 2020";
const KHOSLA: &str = "Khosla et al. 2020";

pub(super) static FAMILY: Family = Family {
    name: "contrastive",
    question: Question::Training,
    is_default: false,
    supports_weights: false,
    metrics: &[
        metric(&FAMILY, "alignment", "mean |z_i - z_j|^2 within classes", "[0, 4]", DOWN, WANG, OF_MEANS),
        metric(&FAMILY, "uniformity", "log mean of exp(-2 |z_i - z_j|^2)", "[-8, 0]", DOWN, WANG, OF_PAIRS),
        metric(&FAMILY, "supcon", "supervised contrastive loss at t = 0.1", FROM_0, DOWN, KHOSLA, OF_SUMS),
    ],
};

pub(super) fn measure(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<()> {
    measures.add("alignment", || of_unit_vectors(work, &alignment))?;
    measures.add("uniformity", || of_unit_vectors(work, &uniformity))?;
    measures.add("supcon", || of_unit_vectors(work, &supcon))
}

/// A statistic of rows that all have a direction, and not all the same one.
fn of_unit_vectors(
    work: &SharedWork<'_>,
    number: &dyn Fn(&SharedWork<'_>, &ClassMeans<'_>) -> Result<Measured>,
) -> Result<Measured> {
    if work.is_precomputed() {
        return Ok(Err("a distance matrix has no unit vectors".to_owned()));
    }
    match work.unit_means()? {
        None => Ok(Err("zero vectors have no direction".to_owned())),
        Some(means) if means.collapsed() => Ok(Err("all rows point the same way".to_owned())),
        Some(means) => number(work, means),
    }
}

/// The mean over pairs of rows of one class of |z_i - z_j|^2 (Wang and Isola 2020). For a class of n rows with variance
/// V, these sum to n^2 V.
fn alignment(work: &SharedWork<'_>, means: &ClassMeans<'_>) -> Result<Measured> {
    let counts = work.dataset.labels().counts().iter().map(|&count| count as f64);
    let pairs: f64 = counts.clone().map(|count| 0.5 * count * (count - 1.0)).sum();
    let total: f64 = counts.zip(means.variances()).map(|(count, variance)| count * count * variance).sum();
    Ok(if pairs > 0.0 { Ok(total / pairs) } else { Err(ALONE.to_owned()) })
}

/// The logarithm of the mean over pairs of exp(-2 |z_i - z_j|^2) (Wang and Isola 2020).
fn uniformity(work: &SharedWork<'_>, _: &ClassMeans<'_>) -> Result<Measured> {
    let potential = work.unit_pairs()?.potential;
    Ok(potential.map(f64::ln).ok_or_else(|| "there is no pair of rows".to_owned()))
}

/// The supervised contrastive loss (Khosla et al. 2020, L_out), over rows that have another of their class.
///
/// Because z_i.z_a = 1 - d^2 / 2, it is for each row the logarithm of the sum of exp(-d^2 / 2t) over all others plus
/// the mean of d^2 / 2t over those of its class, which is (d^2 to the class mean + V) n / (n - 1) / 2t.
fn supcon(work: &SharedWork<'_>, means: &ClassMeans<'_>) -> Result<Measured> {
    let labels = work.dataset.labels();
    if labels.singletons() == labels.classes() {
        return Ok(Err(ALONE.to_owned()));
    }
    let own = means.own_squares()?;
    let log_sums = &work.unit_pairs()?.log_sums;
    let rows = labels.codes().iter().zip(own).zip(log_sums).filter_map(|((&code, own), log_sum)| {
        let (count, variance) = (labels.counts()[code as usize] as f64, means.variances()[code as usize]);
        (count > 1.0).then(|| log_sum + (own + variance) * count / (count - 1.0) / (2.0 * SUPCON_TEMPERATURE))
    });
    Ok(mean(rows))
}
