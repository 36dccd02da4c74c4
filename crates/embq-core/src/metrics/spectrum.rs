//! How many dimensions the rows really use, from the eigenvalues of their covariance.

use crate::error::Result;
use crate::metrics::metric::{FROM_0, Family, Need, OURS, Question, UP, metric};
use crate::metrics::shared::{Measured, Measures, SharedWork};

/// Added to each share by RankMe, so that it has a logarithm.
const RANKME_EPSILON: f64 = 1e-7;

/// Eigenvalues below this share of the largest are excluded from the fit of the slope.
const FITTED_SHARE: f64 = 1e-10;

const NO_DIMENSIONS: &str = "a distance matrix has no dimensions";
const COLLAPSED: &str = "all rows coincide";

const NEEDS: &[Need] = &[Need::Covariance];
const FROM_1: &str = "[1, inf)";
const GARRIDO: &str = "Garrido et al. 2023";
const ROY: &str = "Roy & Vetterli 2007";
const GAO: &str = "Gao et al. 2017";
const AGRAWAL: &str = "Agrawal et al. 2022";
const PEARSON: &str = "Pearson 1901";

pub(super) static FAMILY: Family = Family {
    name: "spectrum",
    question: Question::SpaceUsed,
    is_default: false,
    supports_weights: false,
    metrics: &[
        metric(&FAMILY, "rankme", "exp of the entropy of singular values", FROM_0, UP, GARRIDO, NEEDS),
        metric(&FAMILY, "effective_rank", "exp of the entropy of eigenvalues", FROM_1, UP, ROY, NEEDS),
        metric(&FAMILY, "participation_ratio", "(sum l)^2 / sum l^2", FROM_1, UP, GAO, NEEDS),
        metric(&FAMILY, "isotropy", "participation ratio / d", "[0, 1]", UP, OURS, NEEDS),
        metric(&FAMILY, "alpha", "slope of the eigenvalues' decay", FROM_0, None, AGRAWAL, NEEDS),
        metric(&FAMILY, "alpha_range", "eigenvalues that alpha is fitted to", FROM_0, None, OURS, NEEDS),
        metric(&FAMILY, "components_90", "components with 90 % of the variance", FROM_0, None, PEARSON, NEEDS),
        metric(&FAMILY, "components_99", "components with 99 % of the variance", FROM_0, None, PEARSON, NEEDS),
        metric(&FAMILY, "explained_variance", "share of the first k components", "[0, 1]", None, PEARSON, NEEDS).at_k(),
    ],
};

pub(super) fn measure(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<()> {
    let of_eigenvalues = |number: &dyn Fn(&[f64]) -> Measured| -> Result<Measured> {
        if work.is_precomputed() {
            return Ok(Err(NO_DIMENSIONS.to_owned()));
        }
        let values = work.eigenvalues()?;
        Ok(if values.first().is_some_and(|&largest| largest > 0.0) {
            number(values)
        } else {
            Err(COLLAPSED.to_owned())
        })
    };
    measures.add("rankme", || rankme(work))?;
    measures.add("effective_rank", || of_eigenvalues(&|values| Ok(entropy(&shares(values)).exp())))?;
    measures.add("participation_ratio", || of_eigenvalues(&|values| Ok(participation_ratio(values))))?;
    measures.add("isotropy", || of_eigenvalues(&|values| Ok(participation_ratio(values) / values.len() as f64)))?;
    measures.add("alpha", || of_eigenvalues(&|values| slope(fitted(values))))?;
    measures.add("alpha_range", || of_eigenvalues(&|values| Ok(fitted(values).len() as f64)))?;
    measures.add("components_90", || of_eigenvalues(&|values| Ok(components(&shares(values), 0.9))))?;
    measures.add("components_99", || of_eigenvalues(&|values| Ok(components(&shares(values), 0.99))))?;
    measures.add_at_k("explained_variance", |k| {
        of_eigenvalues(&|values| match shares(values).get(..k) {
            Some(first) => Ok(first.iter().sum()),
            None => Err(format!("there are {} dimensions", values.len())),
        })
    })
}

/// exp of the entropy of the singular values of the rows as they are, uncentred (Garrido et al. 2023).
fn rankme(work: &SharedWork<'_>) -> Result<Measured> {
    if work.is_precomputed() {
        return Ok(Err(NO_DIMENSIONS.to_owned()));
    }
    let covariance = work.covariance()?;
    let mut singular = covariance.singular_values()?;
    singular.truncate(covariance.rows);
    if singular[0] == 0.0 {
        return Ok(Err("all rows are zero vectors".to_owned()));
    }
    let shares: Vec<f64> = shares(&singular).iter().map(|share| share + RANKME_EPSILON).collect();
    Ok(Ok(entropy(&shares).exp()))
}

/// The share of each value in the sum, which must not be 0.
pub(super) fn shares(values: &[f64]) -> Vec<f64> {
    let sum: f64 = values.iter().sum();
    values.iter().map(|value| value / sum).collect()
}

/// -sum p log p, with 0 log 0 = 0.
pub(super) fn entropy(shares: &[f64]) -> f64 {
    -shares.iter().filter(|&&share| share > 0.0).map(|share| share * share.ln()).sum::<f64>()
}

/// (sum l)^2 / sum l^2.
fn participation_ratio(values: &[f64]) -> f64 {
    1.0 / shares(values).iter().map(|share| share * share).sum::<f64>()
}

/// The eigenvalues that the slope is fitted to.
fn fitted(values: &[f64]) -> &[f64] {
    let least = values[0] * FITTED_SHARE;
    &values[..values.iter().position(|&value| value <= least).unwrap_or(values.len())]
}

/// Minus the slope of log l_i on log i, by least squares.
fn slope(values: &[f64]) -> Measured {
    if values.len() < 2 {
        return Err("the rows lie on a line".to_owned());
    }
    let points = || values.iter().enumerate().map(|(index, value)| ((index as f64 + 1.0).ln(), value.ln()));
    let count = values.len() as f64;
    let (x_sum, y_sum) = points().fold((0.0, 0.0), |(x_sum, y_sum), (x, y)| (x_sum + x, y_sum + y));
    let (x_mean, y_mean) = (x_sum / count, y_sum / count);
    let products: f64 = points().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    let squares: f64 = points().map(|(x, _)| (x - x_mean) * (x - x_mean)).sum();
    Ok(-products / squares)
}

/// The smallest number of components with this share of the variance.
fn components(shares: &[f64], wanted: f64) -> f64 {
    let mut held = 0.0;
    let short = shares.iter().take_while(|&share| {
        held += share;
        // The sum of all shares may be slightly less than 1.
        held < wanted - 1e-12
    });
    (short.count() + 1).min(shares.len()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_eigenvalues_use_every_dimension() {
        let values = [2.0; 5];
        assert!((entropy(&shares(&values)).exp() - 5.0).abs() < 1e-14);
        assert!((participation_ratio(&values) - 5.0).abs() < 1e-14);
        assert!(slope(&values).unwrap().abs() < 1e-14);
        assert_eq!(components(&shares(&values), 0.9), 5.0);
        assert_eq!(components(&shares(&values), 0.8), 4.0);
    }

    #[test]
    fn a_power_law_has_its_exponent() {
        let values: Vec<f64> = (1..50).map(|i| 3.0 * f64::from(i).powf(-1.25)).collect();
        assert!((slope(fitted(&values)).unwrap() - 1.25).abs() < 1e-13);
        assert_eq!(fitted(&[1.0, 1e-3, 1e-11, 0.0]).len(), 2);
        assert!(slope(&[1.0]).is_err());
        assert_eq!(participation_ratio(&[1.0, 0.0]), 1.0);
    }
}
