//! Compactness and separation of classes.

use crate::data::Dataset;
use crate::error::Result;
use crate::kernels::{ClassGeometry, Nearest};
use crate::metrics::RowScore;
use crate::metrics::mean::class_means;
use crate::metrics::metric::{DOWN, FROM_0, Family, Metric, Need, OURS, UP, metric};
use crate::metrics::row_means::Means;
use crate::metrics::shared::{Measures, SharedWork};
use crate::metrics::validity::{COLLAPSED, NO_MEANS};

const OF_ROWS: &[Need] = &[Need::Labels, Need::Classes, Need::ClassDistances];
const OF_CLASSES: &[Need] = &[Need::Labels, Need::Classes, Need::ClassDistances, Need::ClassGeometry];

pub(super) static FAMILY: Family = Family {
    name: "separation",
    is_default: true,
    supports_weights: true,
    metrics: &[
        by_class("intra_mean", "mean distance within the class", DOWN, OF_ROWS).with_interval(),
        by_class("a_std", "standard deviation of a within the class", DOWN, OF_ROWS),
        by_class("radius_mean", "mean distance to the class mean", DOWN, OF_CLASSES),
        by_class("radius_max", "largest distance to the class mean", DOWN, OF_CLASSES),
        by_class("variance", "mean squared distance to the class mean", DOWN, OF_CLASSES),
        by_class("separation", "mean distance to the nearest other class", UP, OF_CLASSES).with_interval(),
        by_class("centroid_separation", "distance to the nearest class mean", UP, OF_CLASSES),
        metric(&FAMILY, "margin", "separation - intra_mean", "(-inf, inf)", UP, OURS, OF_CLASSES)
            .by_class()
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
    let distances = work.class_distances()?;
    let geometry = &distances.geometry;
    let classes = class_separations(work.dataset, &distances.rows, geometry);
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
fn class_separations(dataset: &Dataset, scores: &[RowScore], geometry: &ClassGeometry) -> Vec<ClassSeparation> {
    let classes = dataset.labels().classes();
    let ((intra_mean, a_std), (radius_mean, radius_max)) =
        rayon::join(|| own_distances(dataset, scores), || radii(dataset, geometry));
    (0..classes)
        .map(|class| ClassSeparation {
            intra_mean: intra_mean[class],
            a_std: a_std[class],
            radius_mean: radius_mean[class],
            radius_max: radius_max[class],
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

/// Mean and standard deviation of a by class.
fn own_distances(dataset: &Dataset, scores: &[RowScore]) -> (Vec<Option<f64>>, Vec<Option<f64>>) {
    let classes = dataset.labels().classes();
    let a = || {
        let rows = dataset.scored_members().zip(scores);
        rows.filter_map(|((code, weight), score)| Some((code, score.a?, weight)))
    };
    let intra_mean = class_means(classes, a());
    // Relative to the largest deviation of the class, so that squares neither overflow nor underflow.
    let deviation = |code: u32, a: f64| intra_mean[code as usize].map_or(0.0, |mean| (a - mean).abs());
    let mut largest: Vec<f64> = vec![0.0; classes];
    for (code, a, _) in a() {
        largest[code as usize] = largest[code as usize].max(deviation(code, a));
    }
    let relative_variance = class_means(
        classes,
        a().map(|(code, a, weight)| {
            let largest = largest[code as usize];
            let relative = if largest > 0.0 { deviation(code, a) / largest } else { 0.0 };
            (code, relative * relative, weight)
        }),
    );
    let a_std = relative_variance.iter().zip(&largest).map(|(variance, largest)| variance.map(|v| v.sqrt() * largest));
    let a_std = a_std.collect();
    (intra_mean, a_std)
}

/// Mean and largest radius by class.
fn radii(dataset: &Dataset, geometry: &ClassGeometry) -> (Vec<Option<f64>>, Vec<Option<f64>>) {
    let classes = dataset.labels().classes();
    let radii = || {
        let rows = dataset.scored_members().zip(&geometry.radius);
        rows.filter_map(|((code, weight), radius)| Some((code, (*radius)?, weight)))
    };
    let mean = class_means(classes, radii());
    let mut largest: Vec<Option<f64>> = vec![None; classes];
    for (code, radius, _) in radii() {
        let largest = &mut largest[code as usize];
        *largest = Some(largest.map_or(radius, |largest| largest.max(radius)));
    }
    (mean, largest)
}

/// trace(S_B) / trace(S_W); undefined without class means, and if every row equals its class mean.
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
