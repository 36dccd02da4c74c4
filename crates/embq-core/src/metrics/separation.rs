//! Compactness and separation of classes.

use crate::error::Result;
use crate::kernels::{ClassGeometry, Nearest};
use crate::metrics::metric::{DOWN, FROM_0, Family, Metric, Need, OURS, Question, UP, Unit, metric};
use crate::metrics::row_means::Means;
use crate::metrics::shared::{Measures, SharedWork};
use crate::metrics::totals::SpreadTotals;
use crate::metrics::validity::{COLLAPSED, NO_MEANS};

const OF_ROWS: &[Need] = &[Need::Labels, Need::Classes, Need::ClassDistances];
const OF_CLASSES: &[Need] = &[Need::Labels, Need::Classes, Need::ClassDistances, Need::ClassGeometry];

pub(super) static FAMILY: Family = Family {
    name: "separation",
    question: Question::ClassesApart,
    is_default: true,
    supports_weights: true,
    metrics: &[
        by_class("intra_mean", "mean distance within the class", DOWN, OF_ROWS).in_unit(Unit::Distance).with_interval(),
        by_class("a_std", "standard deviation of a within the class", DOWN, OF_ROWS).in_unit(Unit::Distance),
        by_class("radius_mean", "mean distance to the class mean", DOWN, OF_CLASSES).in_unit(Unit::Distance),
        by_class("radius_max", "largest distance to the class mean", DOWN, OF_CLASSES).in_unit(Unit::Distance),
        by_class("variance", "mean squared distance to the class mean", DOWN, OF_CLASSES).in_unit(Unit::SquaredLength),
        by_class("separation", "mean distance to the nearest other class", UP, OF_CLASSES)
            .in_unit(Unit::Distance)
            .with_interval(),
        by_class("centroid_separation", "distance to the nearest class mean", UP, OF_CLASSES).in_unit(Unit::Distance),
        metric(&FAMILY, "margin", "separation - intra_mean", "(-inf, inf)", UP, OURS, OF_CLASSES)
            .by_class()
            .in_unit(Unit::Distance)
            .with_interval(),
        by_class("ratio", "intra_mean / separation", DOWN, OF_CLASSES),
        metric(&FAMILY, "fisher_ratio", "trace(S_B) / trace(S_W)", FROM_0, UP, "Fisher 1936", OF_CLASSES),
    ],
};

const fn by_class(
    id: &'static str,
    title: &'static str,
    higher_is_better: Option<bool>,
    needs: &'static [Need],
) -> Metric {
    metric(&FAMILY, id, title, FROM_0, higher_is_better, OURS, needs).by_class()
}

pub(super) fn measure(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<()> {
    let geometry = &work.class_distances()?.geometry;
    let classes = class_separations(work.spread_totals()?, geometry);
    let single = "every class has a single row";
    let no_means = if work.is_precomputed() { NO_MEANS } else { "no class mean has a direction" };
    type OfClass = fn(&ClassSeparation) -> Option<f64>;
    let by_class: [(&'static str, &str, OfClass); 9] = [
        ("intra_mean", single, |class| class.intra_mean),
        ("a_std", single, |class| class.a_std),
        ("radius_mean", no_means, |class| class.radius_mean),
        ("radius_max", no_means, |class| class.radius_max),
        ("variance", no_means, |class| class.variance),
        ("separation", "there is no other class", ClassSeparation::separation),
        ("centroid_separation", no_means, |class| class.centroid_separation),
        ("margin", single, ClassSeparation::margin),
        ("ratio", "no class with several rows lies apart from another", ClassSeparation::ratio),
    ];
    for (id, undefined, value) in by_class {
        measures.add_by_class(id, undefined, |weights| {
            Ok(Means::of_classes(classes.iter().map(value).collect(), weights))
        })?;
    }
    measures.add("fisher_ratio", || {
        let undefined = if geometry.scatter.is_none() { no_means } else { COLLAPSED };
        Ok(fisher_ratio(geometry).ok_or_else(|| undefined.to_owned()))
    })?;
    if work.is_selected("separation") {
        measures.nearest_classes = classes.iter().map(|class| class.nearest.map(|nearest| nearest.class)).collect();
    }
    Ok(())
}

/// Statistics of one class; `None` where undefined.
#[derive(Clone, Debug, Default, PartialEq)]
struct ClassSeparation {
    /// Mean of a over the rows; undefined for a single row.
    intra_mean: Option<f64>,
    /// Standard deviation of a (ddof 0).
    a_std: Option<f64>,
    /// Mean distance of the rows to the class mean.
    radius_mean: Option<f64>,
    /// Largest distance of a row to the class mean.
    radius_max: Option<f64>,
    /// Mean squared Euclidean distance to the class mean.
    variance: Option<f64>,
    /// The nearest other class by mean distance, and that distance.
    nearest: Option<Nearest>,
    /// Distance of the class mean to the nearest other class mean.
    centroid_separation: Option<f64>,
}

impl ClassSeparation {
    /// Mean distance to the rows of the nearest other class.
    fn separation(&self) -> Option<f64> {
        self.nearest.map(|nearest| nearest.distance)
    }

    /// separation - intra_mean.
    fn margin(&self) -> Option<f64> {
        Some(self.separation()? - self.intra_mean?)
    }

    /// intra_mean / separation; undefined where the separation is 0.
    fn ratio(&self) -> Option<f64> {
        let separation = self.separation()?;
        let intra_mean = self.intra_mean?;
        quotient(intra_mean, separation)
    }
}

/// The statistics of every class.
fn class_separations(spread: &SpreadTotals, geometry: &ClassGeometry) -> Vec<ClassSeparation> {
    let classes = spread.own_distances.iter().zip(&spread.radius).zip(&spread.largest_radius).enumerate();
    classes
        .map(|(class, ((own, radius), &radius_max))| ClassSeparation {
            intra_mean: own.mean.value(),
            a_std: own.mean.value().map(|_| own.deviation),
            radius_mean: radius.value(),
            radius_max,
            variance: of_class(&geometry.variance, class),
            nearest: of_class(&geometry.nearest, class),
            centroid_separation: of_class(&geometry.centroid_separation, class),
        })
        .collect()
}

/// The value of a class; also `None` if the pass computed no class statistics.
fn of_class<T: Copy>(values: &[Option<T>], class: usize) -> Option<T> {
    values.get(class).copied().flatten()
}

/// trace(S_B) / trace(S_W); undefined without class means, and where every row lies on its class mean.
fn fisher_ratio(geometry: &ClassGeometry) -> Option<f64> {
    let (between, within) = geometry.scatter?;
    quotient(between, within)
}

/// The quotient; undefined if the divisor is 0, or so small that the quotient overflows.
fn quotient(dividend: f64, divisor: f64) -> Option<f64> {
    let quotient = dividend / divisor;
    (divisor > 0.0 && quotient.is_finite()).then_some(quotient)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_of_coinciding_classes_is_undefined() {
        let class = |intra_mean, distance| ClassSeparation {
            intra_mean: Some(intra_mean),
            nearest: Some(Nearest { class: 1, distance }),
            ..Default::default()
        };
        assert_eq!(class(0.0, 0.0).ratio(), None);
        assert_eq!(class(1.0, 4.0).ratio(), Some(0.25));
        assert_eq!(class(1.0, 4.0).margin(), Some(3.0));
    }
}
