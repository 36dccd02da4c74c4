//! Cluster validity from class means, and from extreme distances of pairs.

use crate::error::Result;
use crate::metrics::mean::weighted_mean;
use crate::metrics::metric::{DOWN, FROM_0, Family, Need, Question, UP, metric};
use crate::metrics::shared::{Measured, Measures, Reason, SharedWork};

/// The reason if rows have no coordinates.
pub(crate) const NO_MEANS: &str = "precomputed distances have no class means";

/// What is said of a mean over no rows.
pub(crate) const NO_ROW: &str = "no row has it";

/// What is said where every class is a point.
pub(crate) const COLLAPSED: &str = "every row lies on its class mean";

const OF_MEANS: &[Need] = &[Need::Labels, Need::Classes, Need::ClassMeans];
const OF_RADII: &[Need] = &[Need::Labels, Need::Classes, Need::ClassMeanPairs, Need::RowsByOwnMeans];
const OF_ROWS: &[Need] = &[Need::Labels, Need::Classes, Need::RowsByClassMeans];
const OF_PAIRS: &[Need] = &[Need::Labels, Need::Classes, Need::Pairs];
const DAVIES: &str = "Davies & Bouldin 1979";
const CALINSKI: &str = "Calinski & Harabasz 1974";
const HRUSCHKA: &str = "Hruschka et al. 2004";

pub(super) static FAMILY: Family = Family {
    name: "validity",
    question: Question::ClassesApart,
    is_default: false,
    supports_weights: false,
    metrics: &[
        metric(&FAMILY, "davies_bouldin", "spread over distance, worst pairs", FROM_0, DOWN, DAVIES, OF_RADII),
        metric(&FAMILY, "calinski_harabasz", "scatter between over within", FROM_0, UP, CALINSKI, OF_MEANS),
        metric(&FAMILY, "simplified_silhouette", "silhouette by class means", "[-1, 1]", UP, HRUSCHKA, OF_ROWS),
        metric(&FAMILY, "dunn", "least distance between over widest class", FROM_0, UP, "Dunn 1974", OF_PAIRS),
    ],
};

pub(super) fn measure(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<()> {
    measures.add("davies_bouldin", || davies_bouldin(work))?;
    measures.add("calinski_harabasz", || calinski_harabasz(work))?;
    measures.add("simplified_silhouette", || simplified_silhouette(work))?;
    measures.add("dunn", || dunn(work))
}

/// The mean over classes of the largest (s_c + s_c') / |mu_c - mu_c'|, where s_c is the mean distance of the rows of a
/// class to its mean (Davies and Bouldin 1979).
fn davies_bouldin(work: &SharedWork<'_>) -> Result<Measured> {
    if work.is_precomputed() {
        return Ok(Err(NO_MEANS.to_owned()));
    }
    let means = work.means()?;
    let radii: Vec<f64> = work.radii()?.iter().map(|mean| mean.value().unwrap_or_default()).collect();
    let worst = means.for_each_class(|class, squared| {
        let others = squared.iter().enumerate().filter(|&(other, _)| other != class);
        others.map(|(other, squared)| (radii[class] + radii[other]) / squared.sqrt()).fold(0.0, larger)
    });
    // Two point classes at the same place give 0 / 0.
    if worst.iter().any(|worst| !worst.is_finite()) {
        return Ok(Err(coinciding()));
    }
    Ok(mean(worst))
}

/// The larger of two, or NaN if one is.
fn larger(left: f64, right: f64) -> f64 {
    if right.is_nan() || right > left { right } else { left }
}

/// The reason if two class means coincide.
pub(crate) fn coinciding() -> Reason {
    "the means of two classes coincide".to_owned()
}

/// The mean of at least one number.
pub(crate) fn mean(values: impl IntoIterator<Item = f64>) -> Measured {
    weighted_mean(values.into_iter().map(|value| (value, 1.0))).ok_or_else(|| NO_ROW.to_owned())
}

/// The standard deviation (ddof 0) of at least one number.
pub(crate) fn standard_deviation(values: &[f64]) -> Measured {
    let centre = mean(values.iter().copied())?;
    mean(values.iter().map(|value| (value - centre).powi(2))).map(f64::sqrt)
}

/// (trace(S_B) / (K - 1)) / (trace(S_W) / (N - K)) (Calinski and Harabasz 1974).
fn calinski_harabasz(work: &SharedWork<'_>) -> Result<Measured> {
    if work.is_precomputed() {
        return Ok(Err(NO_MEANS.to_owned()));
    }
    let means = work.means()?;
    let (between, within) = means.scatter();
    let rows: usize = work.dataset.labels().counts().iter().sum();
    let (rows, classes) = (rows as f64, means.classes() as f64);
    if within == 0.0 {
        return Ok(Err(COLLAPSED.to_owned()));
    }
    Ok(Ok(between / (classes - 1.0) / (within / (rows - classes))))
}

/// The silhouette with distances to class means instead of mean distances to rows.
fn simplified_silhouette(work: &SharedWork<'_>) -> Result<Measured> {
    if work.is_precomputed() {
        return Ok(Err(NO_MEANS.to_owned()));
    }
    let totals = work.simplified_totals()?;
    Ok(if totals.coinciding == totals.rows {
        Err("all rows coincide".to_owned())
    } else if totals.undefined > 0 {
        Err("a class mean has no direction".to_owned())
    } else {
        totals.silhouette.value().ok_or_else(|| NO_ROW.to_owned())
    })
}

/// The smallest distance between two rows of different classes over the largest between two of the same class (Dunn
/// 1974).
fn dunn(work: &SharedWork<'_>) -> Result<Measured> {
    let extremes = work.pairs()?.extremes;
    Ok(match (extremes.between, extremes.within) {
        (Some(between), Some(within)) if within > 0.0 => Ok(between / within),
        _ => Err("no two rows of a class lie apart".to_owned()),
    })
}
