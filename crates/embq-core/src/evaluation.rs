//! One input evaluated: from a data set and settings to plain numbers.

mod draw;
mod rescaled;
mod result;
mod settings;

use std::borrow::Cow;

use indexmap::IndexMap;
use ndarray::Array2;

use crate::data::{Dataset, Precision, Trial};
use crate::error::{Cure, Error, Result};
use crate::kernels::{ClassDistances, ClassGeometry};
use crate::metrics::mean::class_means;
use crate::metrics::{Auxiliary, Clustering, Measures, Metric, Need, Scope, SharedWork, measure};
use crate::progress::Progress;
use crate::uncertainty::{PointEstimates, Uncertainty};

pub use crate::metrics::{PairCurves, Temperature};
pub use draw::evaluate_within;
pub use result::{
    ClassEvaluation, Confusion, Envelope, Evaluation, EvaluationSet, GateComparison, GateOutcome, InputDescription,
    IntervalMethod, Kind, LabelsDescription, RowScores, SCHEMA_VERSION, Scored, SettingsUsed, Timing,
};
pub use settings::{Estimate, Settings};

/// The metrics by folds.
const LINEAR: [&str; 2] = ["linear_probe_accuracy", "linear_probe_macro_f1"];

/// How many of the classes that a class is confused with the result names.
const MAX_CONFUSIONS: usize = 5;

/// Evaluates a data set.
///
/// # Errors
/// Fewer than two classes, more than N - 1, a data set made for another distance, `auto` without a solution, intervals of
/// a subsample, and what reading rows reports.
pub fn evaluate(dataset: &Dataset, settings: &Settings, progress: &dyn Progress) -> Result<Scored> {
    evaluate_with(dataset, Auxiliary::default(), settings, progress)
}

/// Evaluates a data set together with a gallery or the batches of its rows.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_with(
    dataset: &Dataset,
    auxiliary: Auxiliary<'_>,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Scored> {
    match evaluate_as_given(dataset, auxiliary, settings, progress) {
        Err(error) if rescaled::is_of_range(&error) => {
            rescaled::evaluate_multiples(dataset, auxiliary, settings, error, progress)
        }
        found => found,
    }
}

/// Evaluates rows whose squares are float64 numbers.
///
/// # Errors
/// As [`evaluate`], and values whose squares are none.
fn evaluate_as_given(
    dataset: &Dataset,
    auxiliary: Auxiliary<'_>,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Scored> {
    let (metrics, left_out) = settings.metrics.for_size(dataset.len(), dataset.dimensions());
    let rows = settings.rows && dataset.has_labels();
    let settings = &Settings { metrics, rows, ..settings.clone() };
    check(dataset, auxiliary, settings)?;
    let precision = settings.precision.unwrap_or(dataset.embeddings().element_type().precision());
    let readable =
        if settings.needs_random_access() { dataset.in_any_order(precision)? } else { Cow::Borrowed(dataset) };
    let dataset = &*readable;
    let gallery = auxiliary.gallery.map(|gallery| gallery.in_any_order(precision)).transpose()?;
    let auxiliary = Auxiliary { gallery: gallery.as_deref(), ..auxiliary };

    let work = SharedWork::new(dataset, auxiliary, settings.measuring(precision), progress);
    if settings.compares_with_classes() {
        work.class_distances()?;
    } else if settings.temperature != Temperature::Auto {
        dataset.check_values_in(precision)?;
    }
    let temperature = work.temperature()?;
    let mut measures = measure(&work)?;
    let pair_curves = measures.curves.take();
    let (kernel, distances) = work.into_class_distances();
    let (scores, mut geometry) = match distances {
        Some(ClassDistances { rows, geometry }) => (rows, geometry),
        None => (Vec::new(), ClassGeometry::default()),
    };
    // Nothing else looks at it, and it is as long as what follows.
    geometry.radius = Vec::new();

    let mut rows = if settings.rows { RowScores::new(&scores) } else { RowScores::default() };
    let mut warnings = dataset.warnings().to_vec();
    warnings.extend(left_out);
    warnings.extend(self::warnings(dataset, settings, &measures));
    let mut uncertainty = Uncertainty::default();
    if let Some(kernel) = kernel.filter(|_| settings.intervals) {
        let soft = settings.soft_silhouette(temperature);
        let estimates =
            PointEstimates { overall: &measures.values, by_class: &measures.by_class, nearest: &geometry.nearest };
        uncertainty =
            Uncertainty::new(dataset, &kernel, &soft, &estimates, settings.uncertainty(), &mut warnings, progress)?;
        rows.influence = Some(std::mem::take(&mut uncertainty.rows));
    }
    if settings.intervals {
        let (of_rows, overall) = (&measures.of_rows, &measures.values);
        uncertainty.add_means(dataset, of_rows, overall, settings.uncertainty(), progress)?;
    }
    let mut evaluation = document(dataset, auxiliary, settings, temperature, precision, measures, warnings)?;
    for (class, [hard, soft]) in evaluation.classes.iter_mut().zip(&uncertainty.classes) {
        (class.silhouette_uncertainty, class.soft_silhouette_uncertainty) = (*hard, *soft);
    }
    (evaluation.intervals, evaluation.standard_errors) = if dataset.scored().is_subsample() {
        draw::intervals(dataset, &scores, &evaluation.metrics)
    } else {
        (uncertainty.intervals, uncertainty.standard_errors)
    };
    let own =
        dataset.scored_members().zip(&scores).filter_map(|((code, weight), score)| Some((code, score.a?, weight)));
    let matrix = geometry.matrix.map(|matrix| with_diagonal(&matrix, &class_means(dataset.labels().classes(), own)));
    Ok(Scored { evaluation, rows, matrix, terms: uncertainty.terms, class_terms: uncertainty.class_terms, pair_curves })
}

/// What a reader of the numbers should know, besides what the data set says.
pub(crate) fn warnings(dataset: &Dataset, settings: &Settings, measures: &Measures<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    let labels = dataset.labels();
    if labels.singletons() > 0 && settings.compares_with_classes() {
        warnings.push(format!(
            "{} of {} classes have a single row: such a row scores 0 and has no a",
            labels.singletons(),
            labels.classes()
        ));
    }
    warnings.extend_from_slice(&measures.warnings);
    warnings
}

/// What was measured as plain data, at the temperature and in the precision that were used.
///
/// # Errors
/// What reading rows for their hash reports.
pub(crate) fn document(
    dataset: &Dataset,
    auxiliary: Auxiliary<'_>,
    settings: &Settings,
    temperature: f64,
    precision: Precision,
    measures: Measures<'_>,
    warnings: Vec<String>,
) -> Result<Evaluation> {
    let is_given_at = |scope: Scope| {
        let mut names = measures.values.keys();
        names.any(|name| Metric::named(name).is_some_and(|metric| metric.scope == scope))
    };
    Ok(Evaluation {
        envelope: Envelope::of(Kind::Score),
        inputs: vec![InputDescription::of(dataset, settings.hash.then_some(precision))?],
        labels: dataset.has_labels().then(|| LabelsDescription::of(dataset)),
        excluded: dataset.excluded(),
        settings: SettingsUsed {
            distance: settings.distance,
            temperature,
            temperature_auto: settings.temperature == Temperature::Auto,
            softmin: settings.softmin,
            softmax: settings.softmax,
            seed: settings.seed,
            precision,
            batch_size: settings.batch_size,
            probe_alpha: settings.metrics.needs(Need::Ridge).then_some(settings.probe.alpha),
            folds: LINEAR.iter().any(|id| settings.metrics.contains(id)).then_some(settings.probe.folds),
            ks: if is_given_at(Scope::AtK) { settings.ks.clone() } else { Vec::new() },
            fars: if is_given_at(Scope::AtFar) { settings.fars.clone() } else { Vec::new() },
            sample: settings.sample.filter(|_| settings.metrics.needs(Need::SampledPairs)),
            gallery: auxiliary.gallery.map(|gallery| gallery.embeddings().origin().to_string()),
            exclude_identical: auxiliary.own_rows.iter().any(Option::is_some),
            pairs: auxiliary.pairs.map(|pairs| pairs.origin.to_string()),
            batch_labels: auxiliary.batches.map(|batches| batches.origin().to_string()),
            clusters: auxiliary.clusters.map(|clusters| clusters.origin().to_string()),
            row_weights: dataset.weight_origin().map(ToString::to_string),
            clustering: Some(settings.clustering)
                .filter(|&clustering| clustering != Clustering::KMeans && settings.metrics.needs(Need::Clusters)),
            within: None,
            rows: dataset.choice().clone(),
        },
        classes: if dataset.has_labels() { classes(dataset, &measures) } else { Vec::new() },
        metrics: measures.values,
        undefined_classes: measures.undefined_classes,
        intervals: IndexMap::new(),
        standard_errors: IndexMap::new(),
        interval_method: None,
        gates: Vec::new(),
        warnings,
        timing: None,
    })
}

/// Checks that settings and data go together.
fn check(dataset: &Dataset, auxiliary: Auxiliary<'_>, settings: &Settings) -> Result<()> {
    if !dataset.has_labels()
        && let Some(what) = settings.need_labels(auxiliary.pairs.is_some())
    {
        return Err(Error::setting(
            format!("{what} need the class of each row, and there are no labels"),
            Cure::GiveLabels,
        ));
    }
    if settings.compares_with_classes() || settings.metrics.needs(Need::Classes) {
        dataset.require_silhouette()?;
    }
    for distance in std::iter::once(dataset).chain(auxiliary.gallery).map(Dataset::distance) {
        if settings.distance.computed() != distance {
            return Err(Error::OtherDistance { made_for: distance, asked: settings.distance });
        }
    }
    for (column, what) in [(auxiliary.batches, "batch"), (auxiliary.clusters, "cluster")] {
        if let Some(column) = column
            && column.len() != dataset.embeddings().rows()
        {
            return Err(Error::RowCounts {
                left: dataset.embeddings().origin().to_string(),
                left_rows: dataset.embeddings().rows(),
                right: column.origin().to_string(),
                right_rows: column.len(),
                what,
            });
        }
    }
    if let Some(list) = auxiliary.pairs {
        let rows = dataset.embeddings().rows();
        let beyond = |(place, trial): (usize, &Trial)| Some((place, trial.rows.into_iter().find(|&row| row >= rows)?));
        if let Some((place, row)) = list.trials.iter().enumerate().find_map(beyond) {
            return Err(Error::Row {
                name: list.origin.to_string(),
                row: place,
                problem: format!("it names row {row}, but {} has {rows} rows", dataset.embeddings().origin()),
                tip: Some("rows are numbered from 0".to_owned()),
            });
        }
    }
    Ok(())
}

/// The classes with what was measured of each.
fn classes(dataset: &Dataset, measures: &Measures<'_>) -> Vec<ClassEvaluation> {
    let names = dataset.labels().names();
    let mut classes: Vec<ClassEvaluation> = names
        .iter()
        .zip(dataset.labels().counts())
        .map(|(name, &count)| ClassEvaluation { label: name.to_string(), count, ..Default::default() })
        .collect();
    for (id, values) in &measures.by_class {
        for (class, &value) in classes.iter_mut().zip(values) {
            if let Some(place) = class.metric_mut(id) {
                *place = value;
            }
        }
    }
    for (class, nearest) in classes.iter_mut().zip(&measures.nearest_classes) {
        class.nearest_class = nearest.map(|nearest| names[nearest as usize].to_string());
    }
    for (class, confusions) in classes.iter_mut().zip(&measures.confusions) {
        let confusion = |&(other, share): &(u32, f64)| Confusion { label: names[other as usize].to_string(), share };
        class.confused_with = confusions.iter().take(MAX_CONFUSIONS).map(confusion).collect();
    }
    classes
}

/// The mean distances between classes, with those within a class on the diagonal.
pub(crate) fn with_diagonal(matrix: &Array2<f64>, within: &[Option<f64>]) -> Array2<Option<f64>> {
    Array2::from_shape_fn(
        matrix.dim(),
        |(class, other)| {
            if class == other { within[class] } else { Some(matrix[[class, other]]) }
        },
    )
}
