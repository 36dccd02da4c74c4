//! The objective of one input: from a data set and settings to the loss, its gradient and a plain summary of both.

use indexmap::IndexMap;
use ndarray::{Array1, Array2, Axis};
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{Dataset, Excluded, LabelColumn, Precision, RowChoice, shuffled};
use crate::distance::Distance;
use crate::error::{Cure, Error, Result};
use crate::evaluation::{Envelope, InputDescription, Kind, LabelsDescription, Temperature, Timing};
use crate::kernels::{ClassDistanceKernel, Real, sort_by_class};
use crate::losses::{
    Classifier, GradientSquares, Hybrid, HybridStep, LossAndGradient, Part, SoftSilhouette, SupervisedContrastive,
};
use crate::metrics::{SmoothMaximum, SoftMinimum, find_temperature};
use crate::progress::{NoProgress, Progress};

/// The number of rows with the largest gradient that are listed.
const ROWS_TOLD: usize = 10;

/// Batches computed before their gradients are stored.
const BATCHES_AT_ONCE: usize = 64;

/// A loss by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LossName {
    Silhouette,
    CrossEntropy,
    Supcon,
    Center,
}

impl LossName {
    /// Every loss, in the order of results.
    pub const ALL: [LossName; 4] = [LossName::Silhouette, LossName::CrossEntropy, LossName::Supcon, LossName::Center];

    /// The name used in options and results.
    pub fn name(self) -> &'static str {
        match self {
            LossName::Silhouette => "silhouette",
            LossName::CrossEntropy => "cross-entropy",
            LossName::Supcon => "supcon",
            LossName::Center => "center",
        }
    }
}

/// The objective to differentiate.
#[derive(Clone, Debug, PartialEq)]
pub struct ObjectiveSettings {
    /// Each loss with its weight; a single one of weight 1 is that loss alone.
    pub mix: Vec<(LossName, f64)>,
    /// The distance of the silhouette.
    pub distance: Distance,
    pub temperature: Temperature,
    pub softmin: SoftMinimum,
    pub softmax: SmoothMaximum,
    pub supcon_temperature: f64,
    /// Rows per batch; `None` uses all rows at once.
    pub batch_size: Option<usize>,
    pub seed: u64,
}

impl ObjectiveSettings {
    /// Whether a loss is part of the objective.
    pub fn has(&self, loss: LossName) -> bool {
        self.mix.iter().any(|(name, _)| *name == loss)
    }

    /// The distance for which the values of the data set must be valid.
    pub fn checked_distance(&self) -> Distance {
        match () {
            () if self.has(LossName::Silhouette) => self.distance,
            () if self.has(LossName::Supcon) => Distance::Cosine,
            () => Distance::SqEuclidean,
        }
    }
}

/// A classifier and its source.
#[derive(Clone, Debug)]
pub struct NamedClassifier {
    pub classifier: Classifier,
    /// The file of the head or of the logits.
    pub path: String,
    /// The label of each of its columns; `None` means label order.
    pub columns: Option<LabelColumn>,
}

/// The settings in effect, without those of losses that are not part of the objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectiveSettingsUsed {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub distance: Option<Distance>,
    /// The temperature used; for `auto`, the one that was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub temperature_auto: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub softmin: Option<SoftMinimum>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub softmax: Option<SmoothMaximum>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supcon_temperature: Option<f64>,
    /// The file of the linear head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<String>,
    /// The file of the logits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logits: Option<String>,
    pub seed: u64,
    pub precision: Precision,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<usize>,
    #[serde(flatten)]
    pub rows: RowChoice,
}

/// One loss of the objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PartResult {
    /// The factor in the objective.
    pub weight: f64,
    /// The value, unweighted.
    pub loss: f64,
    /// The Euclidean norm of the gradient with respect to the embeddings, unweighted.
    pub gradient_norm: f64,
}

/// A summary of a gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GradientSummary {
    /// The Euclidean norm.
    pub norm: f64,
    /// The largest absolute value.
    pub largest: f64,
}

/// A class's part of the gradient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassGradient {
    pub label: String,
    /// The number of rows of the class.
    pub count: usize,
    /// The Euclidean norm of the gradient with respect to the class's rows.
    pub gradient_norm: f64,
    /// The share of the squared norm of the whole gradient; null if that is 0.
    pub share: Option<f64>,
}

/// A row's part of the gradient.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RowGradient {
    /// The row number in the stored embeddings.
    pub row: usize,
    pub label: String,
    pub gradient_norm: f64,
}

/// The batches that the rows were divided into.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Batches {
    /// The number of batches with at least two classes: the loss is the mean over them.
    pub kept: usize,
    /// The number of batches with one class, whose rows have no gradient.
    pub skipped: usize,
    /// Standard deviation of the loss over the kept batches (ddof 0).
    pub standard_deviation: f64,
    /// The share of the rows of kept batches that are alone of their class in their batch.
    pub without_positive: f64,
}

/// The result of `embq grad` without the gradient itself: plain data, the same in memory and in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ObjectiveResult {
    #[serde(flatten)]
    pub envelope: Envelope,
    pub inputs: Vec<InputDescription>,
    pub labels: LabelsDescription,
    pub excluded: Excluded,
    pub settings: ObjectiveSettingsUsed,
    /// The weighted sum of the parts.
    pub loss: f64,
    /// Every part of the objective by name.
    pub parts: IndexMap<String, PartResult>,
    /// The gradient with respect to the embeddings.
    pub gradient: GradientSummary,
    /// The gradient with respect to the weights of the linear head, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head_gradient: Option<GradientSummary>,
    /// The gradient with respect to the logits, if they were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub logits_gradient: Option<GradientSummary>,
    /// In label order.
    pub classes: Vec<ClassGradient>,
    /// The rows with the largest gradient, in descending order.
    pub largest_rows: Vec<RowGradient>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batches: Option<Batches>,
    pub warnings: Vec<String>,
    /// Omitted with `--no-timing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
}

/// A result with its gradients.
#[derive(Clone, Debug)]
pub struct Differentiated<T> {
    pub result: ObjectiveResult,
    /// The gradient with respect to the embeddings, in the shape and row order of the input; 0 for rows that were left
    /// out.
    pub gradient: Array2<T>,
    /// The gradient with respect to the head, or to the logits in the row order of their file.
    pub classifier: Option<Classifier>,
}

/// Computes an objective and its gradients, with float32 products.
///
/// A function for each type: a generic one would be compiled by the crates that call it, with the kernels below it and
/// however these crates are optimised.
///
/// # Errors
/// Labels that have no silhouette, a distance without a gradient, a classifier that does not match, and errors from
/// reading rows.
pub fn differentiate_f32(
    dataset: &Dataset,
    settings: &ObjectiveSettings,
    classifier: Option<&NamedClassifier>,
    progress: &dyn Progress,
) -> Result<Differentiated<f32>> {
    differentiate(dataset, settings, classifier, progress)
}

/// The same with float64 products.
///
/// # Errors
/// As of [`differentiate_f32`].
pub fn differentiate_f64(
    dataset: &Dataset,
    settings: &ObjectiveSettings,
    classifier: Option<&NamedClassifier>,
    progress: &dyn Progress,
) -> Result<Differentiated<f64>> {
    differentiate(dataset, settings, classifier, progress)
}

fn differentiate<T: Real>(
    dataset: &Dataset,
    settings: &ObjectiveSettings,
    classifier: Option<&NamedClassifier>,
    progress: &dyn Progress,
) -> Result<Differentiated<T>> {
    dataset.require_silhouette()?;
    let dataset = &*dataset.in_any_order(T::PRECISION)?;
    let columns = classifier.map(|named| columns_of(dataset, named)).transpose()?;
    let temperature = match settings.temperature {
        Temperature::Value(temperature) => temperature,
        Temperature::Auto if settings.has(LossName::Silhouette) => {
            let kernel = ClassDistanceKernel::new(dataset, settings.distance, T::PRECISION, progress)?;
            find_temperature(dataset, &kernel)?
        }
        Temperature::Auto => f64::NAN,
    };
    let hybrid = hybrid(settings, temperature);
    let selected = classifier.zip(columns).map(|(named, columns)| {
        let rows: Vec<usize> = (0..dataset.len()).map(|row| dataset.source_row(row)).collect();
        (named.classifier.of_rows(&rows), columns)
    });
    let selected = selected.as_ref().map(|(classifier, columns)| (classifier, &columns[..]));
    let (step, batches) = match settings.batch_size {
        Some(size) => {
            let (step, batches) = in_batches::<T>(dataset, &hybrid, selected, size, settings.seed, progress)?;
            (step, Some(batches))
        }
        None => (hybrid.of_dataset::<T>(dataset, selected, progress)?, None),
    };
    let LossAndGradient { loss, gradient } = step.embeddings;
    let squares = GradientSquares::of(&gradient);
    let (classes, largest_rows) = by_class_and_row(dataset, &squares);
    let summary_of = |is_head: bool| match &step.classifier {
        Some(Classifier::Head { weights, .. }) if is_head => Some(summary(weights)),
        Some(Classifier::Logits(logits)) if !is_head => Some(summary(logits)),
        _ => None,
    };
    let silhouette = settings.has(LossName::Silhouette);
    let path_of = |is_head: bool| {
        let named = classifier.filter(|named| matches!(named.classifier, Classifier::Head { .. }) == is_head);
        named.map(|named| named.path.clone())
    };
    let result = ObjectiveResult {
        envelope: Envelope::of(Kind::Grad),
        inputs: vec![InputDescription::of(dataset, None)?],
        labels: LabelsDescription::of(dataset),
        excluded: dataset.excluded(),
        settings: ObjectiveSettingsUsed {
            distance: silhouette.then_some(settings.distance),
            temperature: silhouette.then_some(temperature),
            temperature_auto: silhouette && settings.temperature == Temperature::Auto,
            softmin: silhouette.then_some(settings.softmin),
            softmax: silhouette.then_some(settings.softmax),
            supcon_temperature: settings.has(LossName::Supcon).then_some(settings.supcon_temperature),
            head: path_of(true),
            logits: path_of(false),
            seed: settings.seed,
            precision: T::PRECISION,
            batch_size: settings.batch_size,
            rows: dataset.choice().clone(),
        },
        loss,
        parts: settings
            .mix
            .iter()
            .zip(&step.parts)
            .map(|((name, weight), &(loss, gradient_norm))| {
                (name.name().to_owned(), PartResult { weight: *weight, loss, gradient_norm })
            })
            .collect(),
        gradient: GradientSummary { norm: squares.norm(), largest: squares.largest },
        head_gradient: summary_of(true),
        logits_gradient: summary_of(false),
        classes,
        largest_rows,
        batches,
        warnings: warnings(dataset, settings, classifier, batches),
        timing: None,
    };
    Ok(Differentiated {
        result,
        gradient: as_stored(dataset, gradient),
        classifier: step.classifier.map(|gradient| match (gradient, classifier.map(|named| &named.classifier)) {
            (Classifier::Logits(gradient), Some(Classifier::Logits(logits))) => {
                let mut stored = Array2::zeros(logits.raw_dim());
                for (row, values) in gradient.rows().into_iter().enumerate() {
                    stored.row_mut(dataset.source_row(row)).assign(&values);
                }
                Classifier::Logits(stored)
            }
            (other, _) => other,
        }),
    })
}

/// The losses as a weighted sum.
fn hybrid(settings: &ObjectiveSettings, temperature: f64) -> Hybrid {
    let part = |name: LossName| match name {
        LossName::Silhouette => Part::Silhouette(SoftSilhouette {
            temperature,
            distance: settings.distance,
            soft_minimum: settings.softmin,
            smooth_maximum: settings.softmax,
        }),
        LossName::Supcon => {
            Part::SupervisedContrastive(SupervisedContrastive { temperature: settings.supcon_temperature })
        }
        LossName::CrossEntropy => Part::CrossEntropy,
        LossName::Center => Part::Center,
    };
    Hybrid { parts: settings.mix.iter().map(|&(name, weight)| (weight, part(name))).collect() }
}

/// The classifier's column for each row.
fn columns_of(dataset: &Dataset, named: &NamedClassifier) -> Result<Vec<usize>> {
    let (names, classes) = (dataset.labels().names(), named.classifier.classes());
    if let Classifier::Logits(logits) = &named.classifier
        && logits.nrows() != dataset.embeddings().rows()
    {
        return Err(Error::RowCounts {
            left: dataset.embeddings().origin().to_string(),
            left_rows: dataset.embeddings().rows(),
            right: named.path.clone(),
            right_rows: logits.nrows(),
            what: "row of logits",
        });
    }
    if let Classifier::Head { weights, .. } = &named.classifier
        && weights.ncols() != dataset.dimensions()
    {
        let shape = weights.shape().to_vec();
        return Err(Error::Shape { name: named.path.clone(), expected: "a head of classes x dimensions", shape });
    }
    let column_of: Vec<usize> = match &named.columns {
        None if classes == names.len() => (0..classes).collect(),
        None => {
            return Err(Error::setting(
                format!("{} is for {classes} classes, and the labels have {}", named.path, names.len()),
                Cure::NameColumns,
            ));
        }
        Some(columns) => {
            if columns.len() != classes {
                return Err(Error::setting(
                    format!("{} names {} classes, and {} has {classes}", columns.origin(), columns.len(), named.path),
                    "name each column once, in order",
                ));
            }
            let known: Vec<Option<String>> =
                (0..columns.len()).map(|column| columns.get(column).map(ToString::to_string)).collect();
            let find = |name: String| {
                let mut found = known.iter().enumerate().filter(|(_, known)| known.as_deref() == Some(&*name));
                match (found.next(), found.next()) {
                    (Some((column, _)), None) => Ok(column),
                    (Some(_), Some(_)) => Err(Error::setting(
                        format!("{} names the class '{name}' twice", columns.origin()),
                        "name each column once",
                    )),
                    (None, _) => Err(Error::setting(
                        format!("{} does not name the class '{name}'", columns.origin()),
                        "every class of the labels needs a column",
                    )),
                }
            };
            names.iter().map(|name| find(name.to_string())).collect::<Result<_>>()?
        }
    };
    Ok(dataset.labels().codes().iter().map(|&code| column_of[code as usize]).collect())
}

/// The mean over shuffled batches, each as if it were the whole data set.
fn in_batches<T: Real>(
    dataset: &Dataset,
    hybrid: &Hybrid,
    classifier: Option<(&Classifier, &[usize])>,
    size: usize,
    seed: u64,
    progress: &dyn Progress,
) -> Result<(HybridStep<T>, Batches)> {
    let mut order = shuffled(dataset.len(), seed);
    let batches: Vec<&[usize]> = order
        .chunks_mut(size.max(1))
        .map(|rows| {
            rows.sort_unstable();
            &*rows
        })
        .collect();
    let codes = dataset.labels().codes();
    let has_two_classes = |rows: &[usize]| rows.iter().any(|&row| codes[row] != codes[rows[0]]);
    let kept: Vec<&[usize]> = batches.iter().copied().filter(|rows| has_two_classes(rows)).collect();
    if kept.is_empty() {
        return Err(Error::setting("every batch has a single class", "take larger batches"));
    }
    let share = 1.0 / kept.len() as f64;
    let mut total = HybridStep {
        embeddings: LossAndGradient {
            loss: 0.0,
            gradient: Array2::from_elem((dataset.len(), dataset.dimensions()), T::default()),
        },
        parts: vec![(0.0, 0.0); hybrid.parts.len()],
        classifier: None,
    };
    let (mut losses, mut alone, mut rows_kept) = (Vec::new(), 0, 0);
    progress.begin("batches", kept.len() as u64);
    for batches in kept.chunks(BATCHES_AT_ONCE) {
        let compute = |rows: &&'_ [usize]| {
            let batch = dataset.subset(rows);
            let own = classifier.map(|(classifier, columns)| {
                (classifier.of_rows(rows), rows.iter().map(|&row| columns[row]).collect::<Vec<usize>>())
            });
            let own = own.as_ref().map(|(classifier, columns)| (classifier, &columns[..]));
            let step = hybrid.of_dataset::<T>(&batch, own, &NoProgress)?;
            Ok((step, batch.labels().singletons()))
        };
        let steps: Vec<(HybridStep<T>, usize)> = batches.par_iter().map(compute).collect::<Result<_>>()?;
        for (rows, (step, singletons)) in batches.iter().zip(steps) {
            losses.push(step.embeddings.loss);
            rows_kept += rows.len();
            alone += singletons;
            add_batch(&mut total, rows, step, share, classifier.map(|(classifier, _)| classifier));
        }
        progress.step(batches.len() as u64)?;
    }
    progress.end();
    // Batches have disjoint rows, so the squares of their norms add up.
    total.parts.iter_mut().for_each(|(_, norm)| *norm = norm.sqrt());
    let mean = total.embeddings.loss;
    let variance = losses.iter().map(|loss| (loss - mean) * (loss - mean)).sum::<f64>() * share;
    let told = Batches {
        kept: kept.len(),
        skipped: batches.len() - kept.len(),
        standard_deviation: variance.sqrt(),
        without_positive: alone as f64 / rows_kept as f64,
    };
    Ok((total, told))
}

/// Adds `share` times a batch; for the norms of the parts, adds the squares.
fn add_batch<T: Real>(
    total: &mut HybridStep<T>,
    rows: &[usize],
    step: HybridStep<T>,
    share: f64,
    whole: Option<&Classifier>,
) {
    total.embeddings.loss += share * step.embeddings.loss;
    for ((loss, square), (part, norm)) in total.parts.iter_mut().zip(&step.parts) {
        *loss += share * part;
        *square += (share * norm) * (share * norm);
    }
    for (&row, values) in rows.iter().zip(step.embeddings.gradient.rows()) {
        let mut target = total.embeddings.gradient.row_mut(row);
        target.zip_mut_with(&values, |target, value| *target = T::from_f64(share * value.to_f64()));
    }
    let Some(gradient) = step.classifier else { return };
    let sum = total.classifier.get_or_insert_with(|| match (&gradient, whole) {
        (Classifier::Logits(_), Some(Classifier::Logits(logits))) => {
            Classifier::Logits(Array2::zeros(logits.raw_dim()))
        }
        (Classifier::Head { weights, bias }, _) => {
            Classifier::Head { weights: Array2::zeros(weights.raw_dim()), bias: Array1::zeros(bias.raw_dim()) }
        }
        (other, _) => other.clone(),
    });
    match (sum, gradient) {
        (Classifier::Head { weights, bias }, Classifier::Head { weights: more, bias: more_bias }) => {
            weights.scaled_add(share, &more);
            bias.scaled_add(share, &more_bias);
        }
        (Classifier::Logits(sum), Classifier::Logits(more)) => {
            for (&row, values) in rows.iter().zip(more.axis_iter(Axis(0))) {
                sum.row_mut(row).scaled_add(share, &values);
            }
        }
        _ => {}
    }
}

fn summary<T: Real>(gradient: &Array2<T>) -> GradientSummary {
    let squares = GradientSquares::of(gradient);
    GradientSummary { norm: squares.norm(), largest: squares.largest }
}

fn by_class_and_row(dataset: &Dataset, squares: &GradientSquares) -> (Vec<ClassGradient>, Vec<RowGradient>) {
    let labels = dataset.labels();
    let (order, starts) = sort_by_class(labels.codes(), labels.counts());
    let total = squares.norm();
    let classes = labels.names().iter().zip(starts.windows(2)).map(|(name, ends)| {
        let norm = squares.norm_of(order[ends[0]..ends[1]].iter().copied());
        ClassGradient {
            label: name.to_string(),
            count: ends[1] - ends[0],
            gradient_norm: norm,
            share: (total > 0.0).then(|| (norm / total).powi(2)),
        }
    });
    let norms: Vec<f64> = (0..dataset.len()).map(|row| squares.norm_of(std::iter::once(row))).collect();
    let mut order: Vec<usize> = (0..norms.len()).collect();
    let larger = |left: &usize, right: &usize| norms[*right].total_cmp(&norms[*left]).then(left.cmp(right));
    if order.len() > ROWS_TOLD {
        order.select_nth_unstable_by(ROWS_TOLD, larger);
        order.truncate(ROWS_TOLD);
    }
    order.sort_unstable_by(larger);
    let rows = order.into_iter().map(|row| RowGradient {
        row: dataset.source_row(row),
        label: labels.names()[labels.codes()[row] as usize].to_string(),
        gradient_norm: norms[row],
    });
    (classes.collect(), rows.collect())
}

/// The gradient in the shape of the stored embeddings.
fn as_stored<T: Real>(dataset: &Dataset, gradient: Array2<T>) -> Array2<T> {
    let stored = dataset.embeddings().rows();
    if stored == dataset.len() {
        return gradient;
    }
    let mut all = Array2::from_elem((stored, dataset.dimensions()), T::default());
    for (row, values) in gradient.rows().into_iter().enumerate() {
        all.row_mut(dataset.source_row(row)).assign(&values);
    }
    all
}

fn warnings(
    dataset: &Dataset,
    settings: &ObjectiveSettings,
    classifier: Option<&NamedClassifier>,
    batches: Option<Batches>,
) -> Vec<String> {
    let mut warnings = dataset.warnings().to_vec();
    let labels = dataset.labels();
    if labels.singletons() > 0 && (settings.has(LossName::Silhouette) || settings.has(LossName::Supcon)) {
        warnings.push(format!(
            "{} of {} classes have a single row, which is not an anchor: it pushes others, and nothing pulls it",
            labels.singletons(),
            labels.classes()
        ));
    }
    if settings.has(LossName::CrossEntropy)
        && let Some(NamedClassifier { classifier: Classifier::Logits(_), .. }) = classifier
    {
        warnings.push(
            "the gradient of the embeddings does not include cross-entropy, because logits do not say how they depend \
             on the embeddings; give --head instead, or backpropagate the gradient of the logits yourself"
                .to_owned(),
        );
    }
    if let Some(Batches { skipped, .. }) = batches.filter(|batches| batches.skipped > 0) {
        warnings.push(format!("{skipped} batches have a single class: they are left out, and their gradient is 0"));
    }
    warnings
}
