//! Rows whose squares leave the range of float64, computed as multiples of a power of two, which rounds nothing.
//!
//! Lengths, distances and squares of lengths are powers of the unit of the rows, so results follow from those of the
//! multiples. What is larger or smaller than float64 numbers in the unit of the rows is undefined.

use crate::data::{Dataset, largest_value, times_power_of_two};
use crate::distance::Distance;
use crate::error::{Error, Result};
use crate::evaluation::{ClassEvaluation, Evaluation, InputDescription, Scored, Settings, evaluate_as_given};
use crate::metrics::{Auxiliary, METRICS, Metric, Need, Scope, Temperature, Unit};
use crate::progress::Progress;

/// Temperatures in the unit of the multiples stay in this range. Beyond it, the soft minimum is the minimum or the mean,
/// whatever the temperature.
const TEMPERATURES: (f64, f64) = (1e-300, 1e300);

/// Whether an error says that squares of the rows leave the range of float64.
pub(super) fn is_of_range(error: &Error) -> bool {
    matches!(error, Error::Overflow { precision: "float64", .. } | Error::Underflow { precision: "float64", .. })
}

/// Evaluates multiples of the rows whose values are around 1, and gives the result in the unit of the rows.
///
/// # Errors
/// The error that multiples are to avoid, where a selected metric has another meaning for them or the temperature that is
/// found is no float64 number in the unit of the rows; otherwise as [`evaluate_as_given`].
pub(super) fn evaluate_multiples(
    dataset: &Dataset,
    auxiliary: Auxiliary<'_>,
    settings: &Settings,
    error: Error,
    progress: &dyn Progress,
) -> Result<Scored> {
    let squares = match settings.distance {
        Distance::SqEuclidean => true,
        Distance::Euclidean | Distance::Manhattan => false,
        Distance::Cosine | Distance::Hamming | Distance::Precomputed => return Err(error),
    };
    if [Need::Ridge, Need::Fits].into_iter().any(|need| settings.metrics.needs(need)) {
        return Err(error);
    }
    let mut largest = largest_value(dataset.selected())?;
    if let Some(gallery) = auxiliary.gallery {
        largest = largest.max(largest_value(gallery.selected())?);
    }
    let exponent = largest.log2().floor() as i32;
    let unit = UnitOfRows { exponent, squares };
    let temperature = match settings.temperature {
        Temperature::Value(value) => {
            let multiple = times_power_of_two(value, -unit.power(Unit::Distance));
            Temperature::Value(multiple.clamp(TEMPERATURES.0, TEMPERATURES.1))
        }
        Temperature::Auto => Temperature::Auto,
    };
    let gallery = auxiliary.gallery.map(|gallery| gallery.rescaled(-exponent));
    let auxiliary = Auxiliary { gallery: gallery.as_ref(), ..auxiliary };
    let of_multiples = Settings { temperature, hash: false, ..settings.clone() };
    let mut scored = evaluate_as_given(&dataset.rescaled(-exponent), auxiliary, &of_multiples, progress)?;

    let Evaluation { settings: used, inputs, warnings, .. } = &mut scored.evaluation;
    used.temperature = match settings.temperature {
        Temperature::Value(value) => value,
        Temperature::Auto => unit.value(Unit::Distance, used.temperature).ok_or(error)?,
    };
    if settings.hash {
        *inputs = vec![InputDescription::of(dataset, Some(used.precision))?];
    }
    warnings.insert(0, format!("values up to {largest:.2e} are computed as multiples of 2^{exponent}"));
    unit.restore(&mut scored);
    Ok(scored)
}

/// The power of two that the multiples are of.
struct UnitOfRows {
    exponent: i32,
    /// Whether distances are squares of lengths.
    squares: bool,
}

impl UnitOfRows {
    /// The exponent of what is measured in a unit.
    fn power(&self, unit: Unit) -> i32 {
        match unit {
            Unit::One => 0,
            Unit::Length => self.exponent,
            Unit::Distance => {
                if self.squares {
                    2 * self.exponent
                } else {
                    self.exponent
                }
            }
            Unit::SquaredLength => 2 * self.exponent,
        }
    }

    /// A value of the multiples in the unit of the rows; `None` if it is no float64 number of full precision.
    fn value(&self, unit: Unit, of_multiples: f64) -> Option<f64> {
        let value = times_power_of_two(of_multiples, self.power(unit));
        (value.is_normal() || of_multiples == 0.0).then_some(value)
    }

    fn restore(&self, scored: &mut Scored) {
        let Scored { evaluation, rows, matrix, terms, class_terms: _, pair_curves } = scored;
        let mut lost = Vec::new();
        for (name, value) in &mut evaluation.metrics {
            let Some(of_multiples) = *value else { continue };
            *value = self.value(unit_of(name), of_multiples);
            if value.is_none() {
                lost.push(name.as_str());
            }
        }
        if !lost.is_empty() {
            let outside = format!("no float64 numbers in the unit of the rows: {}", lost.join(", "));
            evaluation.warnings.push(outside);
        }
        let restore = |name: &str, value: &mut f64| {
            let restored = self.value(unit_of(name), *value);
            restored.map(|restored| *value = restored).is_some()
        };
        evaluation.intervals.retain(|name, ends| ends.iter_mut().all(|end| restore(name, end)));
        evaluation.standard_errors.retain(|name, error| restore(name, error));
        evaluation.classes.iter_mut().for_each(|class| self.restore_class(class));
        for a in &mut rows.a {
            *a = a.and_then(|a| self.value(Unit::Distance, a));
        }
        // The nearest number there is: infinity or 0 where it leaves the range.
        rows.b.iter_mut().for_each(|b| *b = times_power_of_two(*b, self.power(Unit::Distance)));
        for distance in matrix.iter_mut().flatten() {
            *distance = distance.and_then(|distance| self.value(Unit::Distance, distance));
        }
        for (name, terms) in terms {
            let power = self.power(unit_of(name));
            terms.iter_mut().for_each(|term| *term = times_power_of_two(*term, power));
        }
        if let Some(curves) = pair_curves {
            for distance in [&mut curves.largest, &mut curves.threshold] {
                *distance = times_power_of_two(*distance, self.power(Unit::Distance));
            }
        }
    }

    fn restore_class(&self, class: &mut ClassEvaluation) {
        for metric in METRICS.iter().filter(|metric| metric.scope == Scope::PerClass) {
            if let Some(value) = class.metric_mut(metric.id) {
                *value = value.and_then(|of_multiples| self.value(metric.unit, of_multiples));
            }
        }
    }
}

fn unit_of(name: &str) -> Unit {
    Metric::named(name).map_or(Unit::One, |metric| metric.unit)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::evaluation::evaluate_with;
    use crate::metrics::Selection;
    use crate::progress::NoProgress;

    /// Three classes of rows that overlap.
    fn values(factor: f64) -> Array2<f64> {
        Array2::from_shape_fn((60, 5), |(row, column)| {
            let noise = ((row * 37 + column * 101 + row * column * 13) % 97) as f64 / 97.0;
            factor * (noise + (row % 3) as f64 * (column + 1) as f64 / 8.0)
        })
    }

    fn evaluated(distance: Distance, factor: f64, temperature: f64, metrics: &[&str]) -> Result<Scored> {
        let values = values(factor);
        let dataset = Dataset::builder(&values, (0..60).map(|row| row % 3)).distance(distance).build()?;
        let settings = Settings {
            distance,
            temperature: Temperature::Value(temperature),
            metrics: Selection::parse(metrics.iter().copied())?,
            matrix: true,
            intervals: true,
            hash: true,
            ..Settings::default()
        };
        evaluate_with(&dataset, Auxiliary::default(), &settings, &NoProgress)
    }

    #[test]
    fn metrics_move_as_their_unit_says() {
        let all: Vec<&str> = METRICS
            .iter()
            .filter(|metric| metric.is_in_all && !metric.needs(Need::Ridge) && !metric.needs(Need::BatchSize))
            .filter(|metric| !metric.needs(Need::BatchLabels))
            .map(|metric| metric.id)
            .collect();
        for (distance, squares) in
            [(Distance::Euclidean, false), (Distance::SqEuclidean, true), (Distance::Manhattan, false)]
        {
            let unit = UnitOfRows { exponent: 3, squares };
            let temperature = times_power_of_two(0.5, unit.power(Unit::Distance));
            let mut small = evaluated(distance, 1.0, 0.5, &all).unwrap();
            let large = evaluated(distance, 8.0, temperature, &all).unwrap();
            unit.restore(&mut small);
            assert_eq!(small.evaluation.metrics.len(), large.evaluation.metrics.len());
            for (name, value) in &small.evaluation.metrics {
                let found = large.evaluation.metrics[name];
                let (Some(expected), Some(found)) = (*value, found) else {
                    assert_eq!(*value, found, "{distance} {name}");
                    continue;
                };
                assert!((found - expected).abs() <= 1e-9 * expected.abs(), "{distance} {name}: {found} {expected}");
            }
            assert_eq!(small.evaluation.classes, large.evaluation.classes);
            assert_eq!(small.evaluation.intervals, large.evaluation.intervals);
            assert_eq!(small.matrix, large.matrix);
            assert_eq!((&small.rows.a, &small.rows.b), (&large.rows.a, &large.rows.b));
        }
    }

    #[test]
    fn values_at_the_ends_of_float64_give_the_silhouettes_of_others() {
        let metrics = ["silhouette", "separation", "norm_mean", "variance"];
        for distance in [Distance::Euclidean, Distance::SqEuclidean, Distance::Manhattan] {
            let usual = evaluated(distance, 1.0, 0.1, &metrics).unwrap();
            // 1e-200 and 1e200 in powers of two.
            for exponent in [-664, 664, 1010] {
                let factor = 2.0_f64.powi(exponent);
                let found = evaluated(distance, factor, 0.1, &metrics).unwrap();
                for name in ["silhouette", "silhouette_macro", "ratio"] {
                    assert_eq!(found.metric(name), usual.metric(name), "{distance} {exponent} {name}");
                }
                assert_eq!(found.metric("norm_mean"), usual.metric("norm_mean").map(|length| length * factor));
                assert_eq!(found.metric("variance"), None, "{distance} {exponent}");
                let squares = distance == Distance::SqEuclidean;
                let margin = usual.metric("margin_macro").filter(|_| !squares).map(|margin| margin * factor);
                assert_eq!(found.metric("margin_macro"), margin, "{distance} {exponent}");
                assert_ne!(found.evaluation.inputs[0].blake3, usual.evaluation.inputs[0].blake3);
                assert_eq!(found.evaluation.settings.temperature, 0.1);
                assert_eq!(found.rows.silhouette, usual.rows.silhouette);
            }
        }
    }

    #[test]
    fn probes_have_a_unit_of_their_own() {
        let error = evaluated(Distance::Euclidean, 1e200, 0.1, &["ridge_probe_accuracy"]).unwrap_err();
        assert!(is_of_range(&error), "{error}");
    }
}
