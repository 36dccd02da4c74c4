//! How many dimensions the rows really fill, from the distances to their nearest neighbours.

use crate::data::{Dataset, Precision};
use crate::distance::Distance;
use crate::error::Result;
use crate::kernels::{BoundedPairs, Real};
use crate::metrics::metric::{FROM_0, Family, Need, Question, metric};
use crate::metrics::shared::{Measured, Measures, SharedWork};
use crate::metrics::validity::mean;

const NEEDS: &[Need] = &[Need::Neighbours];
const FACCO: &str = "Facco et al. 2017";
const LEVINA: &str = "Levina & Bickel 2004";

pub(super) static FAMILY: Family = Family {
    name: "intrinsic_dimension",
    question: Question::SpaceUsed,
    is_default: false,
    supports_weights: false,
    metrics: &[
        metric(&FAMILY, "twonn", "from the two nearest rows of each", FROM_0, None, FACCO, NEEDS),
        metric(&FAMILY, "mle_dimension", "from the k nearest rows of each", FROM_0, None, LEVINA, NEEDS)
            .at_k()
            .with_least_k(2),
    ],
};

pub(super) fn measure(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<()> {
    let others = work.dataset.len().saturating_sub(1);
    let wanted =
        work.measuring.levels.ks.iter().copied().filter(|&k| measures.is_selected("mle_dimension") && k <= others);
    let wanted = wanted.max().unwrap_or(2).max(2);
    let found = match work.measuring.precision {
        Precision::F32 => logarithms::<f32>(work, wanted)?,
        Precision::F64 => logarithms::<f64>(work, wanted)?,
    };
    let rows = found.len();
    let distinct: Vec<Vec<f64>> =
        found.into_iter().filter(|logarithms| logarithms.first() > Some(&f64::NEG_INFINITY)).collect();
    let coinciding = rows - distinct.len();
    measures.add("twonn", || Ok(twonn(&distinct)))?;
    measures.add_at_k("mle_dimension", |k| {
        Ok(if k > others { Err(format!("a row has {others} others at most")) } else { mle(&distinct, k) })
    })?;
    if coinciding > 0 {
        measures.warn(format!(
            "{coinciding} of {rows} rows lie at distance 0 of another, and are left out of intrinsic_dimension"
        ));
    }
    Ok(())
}

/// For each scored row the logarithms of the distances to its nearest rows, nearest first. Distances that are squares of
/// lengths are brought back to these.
fn logarithms<T: Real>(work: &SharedWork<'_>, wanted: usize) -> Result<Vec<Vec<f64>>> {
    let dataset: &Dataset = work.dataset;
    let power = match dataset.distance() {
        // The share of bits that differ is a length itself.
        Distance::SqEuclidean | Distance::Hamming if dataset.is_of_bits() => 1.0,
        Distance::Cosine | Distance::SqEuclidean | Distance::Hamming => 0.5,
        Distance::Euclidean | Distance::Manhattan | Distance::Precomputed => 1.0,
    };
    let queries: Vec<usize> = dataset.scored().positions().collect();
    let pairs = BoundedPairs::<T>::new(dataset, None, dataset.distance(), work.progress)?;
    pairs.nearest(
        &queries,
        |_| wanted,
        |_, nearest| nearest.iter().map(|neighbour| power * neighbour.distance.ln()).collect(),
    )
}

/// The slope through the origin of -log(1 - F) on log(r2 / r1), with the largest tenth of the ratios left out; F is the
/// share of rows with a ratio up to this one.
fn twonn(rows: &[Vec<f64>]) -> Measured {
    let mut ratios: Vec<f64> = rows.iter().filter_map(|row| Some(row.get(1)? - row.first()?)).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let count = ratios.len();
    ratios.truncate(count * 9 / 10);
    if ratios.len() < 2 {
        return Err("fewer than two rows are left to fit a line to".to_owned());
    }
    let (mut products, mut squares) = (0.0, 0.0);
    for (place, ratio) in ratios.iter().enumerate() {
        products -= ratio * (-(place as f64 + 1.0) / count as f64).ln_1p();
        squares += ratio * ratio;
    }
    if squares > 0.0 { Ok(products / squares) } else { Err(NO_GROWTH.to_owned()) }
}

const NO_GROWTH: &str = "the nearest rows of each row all lie at the same distance";

/// The reciprocal of the mean over rows of the mean of log(r_k / r_j) over j < k.
fn mle(rows: &[Vec<f64>], k: usize) -> Measured {
    let of_row = |row: &Vec<f64>| {
        let farthest = row.get(k - 1)?;
        Some(row[..k - 1].iter().map(|nearer| farthest - nearer).sum::<f64>() / (k - 1) as f64)
    };
    let growth =
        mean(rows.iter().filter_map(of_row)).map_err(|_| "all rows lie at distance 0 of another".to_owned())?;
    if growth > 0.0 { Ok(1.0 / growth) } else { Err(NO_GROWTH.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logarithms(distances: &[&[f64]]) -> Vec<Vec<f64>> {
        distances.iter().map(|row| row.iter().map(|distance| distance.ln()).collect()).collect()
    }

    #[test]
    fn dimensions_of_worked_examples() {
        // Mean logarithms log 2 and log 4 of k = 2: their mean is 1.5 log 2.
        let rows = logarithms(&[&[1.0, 2.0, 2.0], &[1.0, 4.0, 4.0]]);
        assert!((mle(&rows, 2).unwrap() - 1.0 / (1.5 * 2f64.ln())).abs() < 1e-15);
        // With a third neighbour at the same distance as the second, half of that.
        assert!((mle(&rows, 3).unwrap() - 1.0 / (0.75 * 2f64.ln())).abs() < 1e-15);
        // Three ratios of which two are kept, log 2 and log 4 at F = 1/3 and 2/3.
        let rows = logarithms(&[&[1.0, 2.0], &[1.0, 4.0], &[1.0, 16.0]]);
        let expected = (1.5f64.ln() + 2.0 * 3f64.ln()) / (5.0 * 2f64.ln());
        assert!((twonn(&rows).unwrap() - expected).abs() < 1e-15);
    }

    #[test]
    fn what_does_not_grow_has_no_dimension() {
        let rows = logarithms(&[&[3.0, 3.0], &[2.0, 2.0], &[1.0, 1.0]]);
        assert!(twonn(&rows).is_err() && mle(&rows, 2).is_err());
        assert!(twonn(&[]).is_err() && mle(&[], 2).is_err());
    }
}
