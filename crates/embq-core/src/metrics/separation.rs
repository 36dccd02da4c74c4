//! Compactness and separation of classes.

use crate::data::Dataset;
use crate::kernels::{ClassGeometry, Nearest};
use crate::metrics::RowScore;
use crate::metrics::mean::{class_means, weighted_mean};

/// Statistics of one class; `None` where undefined.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassSeparation {
    /// Mean of a over the rows; undefined for a single row.
    pub intra_mean: Option<f64>,
    /// Standard deviation of a (ddof 0).
    pub a_std: Option<f64>,
    /// Mean distance of the rows to the class mean.
    pub radius_mean: Option<f64>,
    /// Largest distance of a row to the class mean.
    pub radius_max: Option<f64>,
    /// Mean squared Euclidean distance to the class mean.
    pub variance: Option<f64>,
    /// The nearest other class by mean distance, and that distance.
    pub nearest: Option<Nearest>,
    /// Distance of the class mean to the nearest other class mean.
    pub centroid_separation: Option<f64>,
}

impl ClassSeparation {
    /// Mean distance to the rows of the nearest other class.
    pub fn separation(&self) -> Option<f64> {
        self.nearest.map(|nearest| nearest.distance)
    }

    /// separation - intra_mean.
    pub fn margin(&self) -> Option<f64> {
        Some(self.separation()? - self.intra_mean?)
    }

    /// intra_mean / separation; undefined where the separation is 0.
    pub fn ratio(&self) -> Option<f64> {
        let separation = self.separation()?;
        let intra_mean = self.intra_mean?;
        quotient(intra_mean, separation)
    }
}

/// The statistics of every class.
pub fn class_separations(dataset: &Dataset, scores: &[RowScore], geometry: &ClassGeometry) -> Vec<ClassSeparation> {
    let classes = dataset.labels().classes();
    let ((intra_mean, a_std), (radius_mean, radius_max)) =
        rayon::join(|| own_distances(dataset, scores), || radii(dataset, geometry));
    (0..classes)
        .map(|class| ClassSeparation {
            intra_mean: intra_mean[class],
            a_std: a_std[class],
            radius_mean: radius_mean[class],
            radius_max: radius_max[class],
            variance: geometry.variance[class],
            nearest: geometry.nearest[class],
            centroid_separation: geometry.centroid_separation[class],
        })
        .collect()
}

/// Mean and standard deviation of a by class.
fn own_distances(dataset: &Dataset, scores: &[RowScore]) -> (Vec<Option<f64>>, Vec<Option<f64>>) {
    let classes = dataset.labels().classes();
    let a = || {
        let rows = dataset.scored_members().zip(scores);
        rows.filter_map(|((code, weight), score)| Some((code, score.a?, weight)))
    };
    let intra_mean = class_means(classes, a());
    // Relative to the largest deviation of the class, so that squares neither overflow nor vanish.
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

/// trace(S_B) / trace(S_W); undefined without class means, and where every row lies on its class mean.
pub fn fisher_ratio(geometry: &ClassGeometry) -> Option<f64> {
    let (between, within) = geometry.scatter?;
    quotient(between, within)
}

/// The quotient; undefined where the divisor is 0, or so small that the quotient is no float64 number.
fn quotient(dividend: f64, divisor: f64) -> Option<f64> {
    let quotient = dividend / divisor;
    (divisor > 0.0 && quotient.is_finite()).then_some(quotient)
}

/// The mean over rows of the value of their class; classes without a value are left out.
pub fn mean_over_rows(values: &[Option<f64>], class_weights: &[f64]) -> Option<f64> {
    weighted_mean(values.iter().zip(class_weights).filter_map(|(value, &weight)| Some(((*value)?, weight))))
}

/// The mean over classes; classes without a value are left out.
pub fn mean_over_classes(values: &[Option<f64>]) -> Option<f64> {
    weighted_mean(values.iter().flatten().map(|&value| (value, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_classes_are_left_out_of_means() {
        let values = [Some(1.0), None, Some(4.0)];
        assert_eq!(mean_over_rows(&values, &[2.0, 5.0, 1.0]), Some(2.0));
        assert_eq!(mean_over_classes(&values), Some(2.5));
        assert_eq!(mean_over_classes(&[None]), None);
    }

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
