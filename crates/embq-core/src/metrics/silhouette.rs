//! The hard silhouette (Rousseeuw 1987).

use crate::error::Result;
use crate::metrics::metric::{DOWN, FROM_0, Family, Need, Question, UP, Unit, metric};
use crate::metrics::shared::{Measures, SharedWork};

const ROUSSEEUW: &str = "Rousseeuw 1987";
const NEEDS: &[Need] = &[Need::Labels, Need::Classes, Need::ClassDistances];

pub(super) static FAMILY: Family = Family {
    name: "silhouette",
    question: Question::ClassesApart,
    is_default: true,
    supports_weights: true,
    metrics: &[
        metric(&FAMILY, "silhouette", "hard silhouette, mean over rows", "[-1, 1]", UP, ROUSSEEUW, NEEDS)
            .by_class()
            .with_interval(),
        metric(&FAMILY, "mean_a", "mean distance to the row's own class", FROM_0, DOWN, ROUSSEEUW, NEEDS)
            .in_unit(Unit::Distance)
            .with_interval(),
        metric(&FAMILY, "mean_b", "mean distance to the nearest other class", FROM_0, UP, ROUSSEEUW, NEEDS)
            .in_unit(Unit::Distance)
            .with_interval(),
        metric(&FAMILY, "negative_share", "rows closer to another class", "[0, 1]", DOWN, ROUSSEEUW, NEEDS).by_class(),
    ],
};

/// Why a mean over all rows is undefined.
pub(super) const NO_ROWS: &str = "no row takes part";

pub(super) fn measure(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<()> {
    measures.add_by_class("silhouette", NO_ROWS, |_| Ok(work.row_means()?.silhouette.clone()))?;
    measures.add("mean_a", || Ok(work.row_means()?.a.ok_or_else(|| "every class has a single row".to_owned())))?;
    measures.add("mean_b", || Ok(work.row_means()?.b.ok_or_else(|| NO_ROWS.to_owned())))?;
    measures.add_by_class("negative_share", NO_ROWS, |_| Ok(work.row_means()?.negative_share.clone()))?;
    if work.is_selected("silhouette") || work.is_selected("negative_share") {
        measures.confusions = work.row_means()?.confusions.clone();
    }
    Ok(())
}

/// (b - a) / m, and 0 where m is 0.
pub fn silhouette(a: f64, b: f64, m: f64) -> f64 {
    if m > 0.0 { (b - a) / m } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_at_distance_0_of_everything_scores_0() {
        assert_eq!(silhouette(0.0, 0.0, 0.0), 0.0);
        assert_eq!(silhouette(1.0, 4.0, 4.0), 0.75);
        assert_eq!(silhouette(4.0, 1.0, 4.0), -0.75);
    }
}
