//! Neural collapse (Papyan, Han and Donoho 2020) and separability by class means; Euclidean, in float64.

use ndarray::Array2;

use crate::error::Result;
use crate::kernels::ClassMeans;
use crate::metrics::metric::{DOWN, FROM_0, Family, Need, Question, UP, metric};
use crate::metrics::shared::{Measured, Measures, SharedWork};
use crate::metrics::totals::mean_of_classes;
use crate::metrics::validity::{NO_MEANS, NO_ROW, coinciding, mean};

const SAME_MEANS: &str = "all class means coincide";

const OF_MEANS: &[Need] = &[Need::Labels, Need::Classes, Need::ClassMeans];
const OF_GRAM: &[Need] = &[Need::Labels, Need::Classes, Need::ClassMeanGram];
const OF_MEAN_PAIRS: &[Need] = &[Need::Labels, Need::Classes, Need::ClassMeanPairs];
const OF_ROWS: &[Need] = &[Need::Labels, Need::Classes, Need::RowsByClassMeans];
const PAPYAN: &str = "Papyan et al. 2020";
const GALANTI: &str = "Galanti et al. 2022";
const LEFT_OUT: &str = "the same, the row left out of the mean";

pub(super) static FAMILY: Family = Family {
    name: "collapse",
    question: Question::Training,
    is_default: false,
    supports_weights: false,
    metrics: &[
        metric(&FAMILY, "nc1", "tr(pinv(S_B) S_W) / K", FROM_0, DOWN, PAPYAN, OF_ROWS),
        metric(&FAMILY, "nc2", "class means' distance from a simplex", FROM_0, DOWN, PAPYAN, OF_GRAM),
        metric(&FAMILY, "nc2_equinorm", "deviation of the means' lengths", FROM_0, DOWN, PAPYAN, OF_MEANS),
        metric(&FAMILY, "nc2_equiangular", "deviation of the means' cosines", FROM_0, DOWN, PAPYAN, OF_MEAN_PAIRS),
        metric(&FAMILY, "nc4", "rows nearest to the mean of their class", "[0, 1]", UP, PAPYAN, OF_ROWS),
        metric(&FAMILY, "cdnv", "class variance over squared distance", FROM_0, DOWN, GALANTI, OF_MEAN_PAIRS),
        metric(&FAMILY, "ncc_accuracy", LEFT_OUT, "[0, 1]", UP, "leave-one-out", OF_ROWS),
    ],
};

pub(super) fn measure(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<()> {
    let of_means = |number: fn(&SharedWork<'_>, &ClassMeans<'_>) -> Result<Measured>| -> Result<Measured> {
        if work.is_precomputed() {
            return Ok(Err(NO_MEANS.to_owned()));
        }
        number(work, work.means()?)
    };
    measures.add("nc1", || of_means(nc1))?;
    measures.add("nc2", || of_means(|_, means| Ok(nc2(&means.centred()))))?;
    measures.add("nc2_equinorm", || of_means(|_, means| Ok(equinorm(&means.centred()))))?;
    measures.add("nc2_equiangular", || of_means(|_, means| Ok(equiangular(&means.centred()))))?;
    measures.add("nc4", || of_means(nc4))?;
    measures.add("cdnv", || of_means(|_, means| Ok(cdnv(means))))?;
    measures.add("ncc_accuracy", || of_means(ncc_accuracy))
}

/// tr(pinv(S_B) S_W) / K, with all classes weighted equally.
fn nc1(work: &SharedWork<'_>, means: &ClassMeans<'_>) -> Result<Measured> {
    let Some(along) = work.squares_between()? else {
        return Ok(Err(SAME_MEANS.to_owned()));
    };
    let classes = means.classes() as f64;
    Ok(mean_of_classes(along).map(|trace| trace / classes).ok_or_else(|| NO_ROW.to_owned()))
}

/// |G / |G|_F - (I - 11^T / K) / sqrt(K - 1)|_F, where G is the Gram matrix of the centred class means.
///
/// The two matrices have norm 1, and because the means sum to 0, their inner product is tr(G) / (|G|_F sqrt(K - 1)).
/// |G|_F is also the norm of M^T M; the smaller of the two is used.
fn nc2(centred: &Array2<f64>) -> Measured {
    let (classes, d) = centred.dim();
    let gram = if classes <= d { centred.dot(&centred.t()) } else { centred.t().dot(centred) };
    let length = gram.iter().map(|value| value * value).sum::<f64>().sqrt();
    if length == 0.0 {
        return Err(SAME_MEANS.to_owned());
    }
    let trace: f64 = gram.diag().sum();
    let classes = classes as f64;
    if classes as usize <= d {
        // From differences: near 0, subtracting twice the trace from 2 would lose half of the digits.
        let squares = gram.indexed_iter().map(|((row, column), value)| {
            let simplex = (f64::from(u8::from(row == column)) - 1.0 / classes) / (classes - 1.0).sqrt();
            (value / length - simplex).powi(2)
        });
        return Ok(squares.sum::<f64>().sqrt());
    }
    Ok((2.0 - 2.0 * trace / (length * (classes - 1.0).sqrt())).max(0.0).sqrt())
}

fn lengths(centred: &Array2<f64>) -> Vec<f64> {
    centred.rows().into_iter().map(|row| row.dot(&row).sqrt()).collect()
}

/// The standard deviation over the mean of the lengths of the centred class means.
fn equinorm(centred: &Array2<f64>) -> Measured {
    deviation(lengths(centred).into_iter())
        .and_then(|(mean, deviation)| if mean > 0.0 { Ok(deviation / mean) } else { Err(SAME_MEANS.to_owned()) })
}

/// The standard deviation over pairs of the cosines between the centred class means.
fn equiangular(centred: &Array2<f64>) -> Measured {
    let lengths = lengths(centred);
    if lengths.contains(&0.0) {
        return Err("a class mean lies at the mean of all".to_owned());
    }
    let cosines = (0..lengths.len()).flat_map(|class| {
        let lengths = &lengths;
        (0..class).map(move |other| centred.row(class).dot(&centred.row(other)) / (lengths[class] * lengths[other]))
    });
    deviation(cosines).map(|(_, deviation)| deviation)
}

/// Mean and standard deviation (ddof 0).
fn deviation(values: impl Iterator<Item = f64>) -> std::result::Result<(f64, f64), String> {
    let values: Vec<f64> = values.collect();
    let centre = mean(values.iter().copied())?;
    let variance = mean(values.iter().map(|value| (value - centre).powi(2)))?;
    Ok((centre, variance.sqrt()))
}

/// The share of rows whose nearest class mean is that of their own class.
fn nc4(work: &SharedWork<'_>, means: &ClassMeans<'_>) -> Result<Measured> {
    if means.collapsed() {
        return Ok(Err(SAME_MEANS.to_owned()));
    }
    Ok(work.nearest_totals()?.nearest.value().ok_or_else(|| NO_ROW.to_owned()))
}

/// The same with each row left out of its class mean. Rows alone in their class have no such mean and do not count.
fn ncc_accuracy(work: &SharedWork<'_>, means: &ClassMeans<'_>) -> Result<Measured> {
    if means.collapsed() {
        return Ok(Err(SAME_MEANS.to_owned()));
    }
    Ok(work.nearest_totals()?.left_out.value().ok_or_else(|| "every class has a single row".to_owned()))
}

/// The mean over pairs of classes of (V_c + V_c') / (2 |mu_c - mu_c'|^2) (Galanti, Gyorgy and Hutter 2022).
fn cdnv(means: &ClassMeans<'_>) -> Measured {
    let variances = means.variances();
    let sums = means.for_each_class(|class, squared| {
        let others = squared.iter().zip(variances).take(class);
        others.map(|(squared, variance)| (variances[class] + variance) / (2.0 * squared)).sum::<f64>()
    });
    let classes = means.classes() as f64;
    let total: f64 = sums.into_iter().sum();
    if total.is_finite() { Ok(total / (0.5 * classes * (classes - 1.0))) } else { Err(coinciding()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_simplex_has_collapsed() {
        // Corners of an equilateral triangle around the origin.
        let (half, root) = (0.5, 0.75f64.sqrt());
        let triangle = ndarray::array![[1.0, 0.0], [-half, root], [-half, -root]];
        assert!(nc2(&triangle).unwrap() < 1e-15);
        assert!(equinorm(&triangle).unwrap() < 1e-15);
        assert!(equiangular(&triangle).unwrap() < 1e-15);
        // More classes than dimensions: means at 1, 0 and -1 on a line. G has 1 and -1 in its corners and length 2.
        let line = ndarray::array![[1.0], [0.0], [-1.0]];
        let expected = (2.0 - 2.0 * 2.0 / (2.0 * 2f64.sqrt())).sqrt();
        assert!((nc2(&line).unwrap() - expected).abs() < 1e-15);
        assert!((equinorm(&line).unwrap() - (2.0f64 / 9.0).sqrt() / (2.0 / 3.0)).abs() < 1e-15);
        assert!(equiangular(&line).is_err() && nc2(&Array2::zeros((2, 2))).is_err());
    }
}
