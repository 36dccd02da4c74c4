//! The soft silhouette, a differentiable form, after "Silhouette Loss" (arXiv:2604.08573).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::metrics::metric::{DOWN, Family, Need, Question, UP, metric};
use crate::metrics::shared::{Measures, SharedWork};
use crate::metrics::silhouette::NO_ROWS;

/// The source of all metrics of the soft silhouette.
pub(super) const SOFT: &str = "after arXiv:2604.08573";
const NEEDS: &[Need] = &[Need::Labels, Need::Classes, Need::ClassDistances];

pub(super) static FAMILY: Family = Family {
    name: "soft_silhouette",
    question: Question::ClassesApart,
    is_default: true,
    supports_weights: true,
    metrics: &[
        metric(&FAMILY, "soft_silhouette", "soft silhouette, mean over rows", "[-1, 1]", UP, SOFT, NEEDS)
            .by_class()
            .with_interval(),
        metric(&FAMILY, "soft_silhouette_loss", "1 - soft silhouette", "[0, 2]", DOWN, SOFT, NEEDS).with_interval(),
        metric(
            &FAMILY,
            "effective_competitors",
            "classes in the soft minimum",
            "[1, K - 1]",
            None,
            "exp of an entropy",
            NEEDS,
        ),
    ],
};

pub(super) fn measure(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<()> {
    let of_rows = |value: Option<f64>| Ok(value.ok_or_else(|| NO_ROWS.to_owned()));
    measures.add_by_class("soft_silhouette", NO_ROWS, |_| Ok(work.row_means()?.soft_silhouette.clone()))?;
    measures
        .add("soft_silhouette_loss", || of_rows(work.row_means()?.soft_silhouette.over_rows.map(|mean| 1.0 - mean)))?;
    measures.add("effective_competitors", || of_rows(work.row_means()?.effective_competitors))
}

/// The form of the minimum over competing classes: a differentiable approximation, or one of its two limits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SoftMinimum {
    /// The mean of the D_ic weighted by softmax(-D_ic / tau).
    #[default]
    Weighted,
    /// -tau log of the mean of exp(-D_ic / tau).
    Lse,
    /// The smallest D_ic. Its derivative is that of the nearest class, the first one on a tie.
    Hard,
    /// The mean of the D_ic, with all competing classes weighted equally.
    Mean,
}

/// The differentiable approximation of max(a, b).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SmoothMaximum {
    /// tau log(exp(a / tau) + exp(b / tau)).
    #[default]
    Lse,
    /// max(a, b) itself.
    Hard,
}

/// The approximation of max(a, b).
pub fn smooth_maximum(kind: SmoothMaximum, a: f64, b: f64, temperature: f64) -> f64 {
    match kind {
        SmoothMaximum::Hard => a.max(b),
        SmoothMaximum::Lse => a.max(b) + temperature * (-(a - b).abs() / temperature).exp().ln_1p(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smooth_maximum_bounds_the_maximum() {
        assert_eq!(smooth_maximum(SmoothMaximum::Hard, 1.0, 3.0, 0.1), 3.0);
        assert!((smooth_maximum(SmoothMaximum::Lse, 0.0, 0.0, 0.1) - 0.1 * 2f64.ln()).abs() < 1e-16);
        let exact = (1f64.exp() + 2f64.exp()).ln();
        assert!((smooth_maximum(SmoothMaximum::Lse, 1.0, 2.0, 1.0) - exact).abs() < 1e-15);
        assert_eq!(smooth_maximum(SmoothMaximum::Lse, 1.0, 1e9, 1e-6), 1e9);
    }
}
