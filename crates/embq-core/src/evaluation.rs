//! One input evaluated: from a data set and settings to plain numbers.

use indexmap::IndexMap;
use ndarray::Array2;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{Chosen, Dataset, Excluded, LabelType, Precision, RowChoice};
use crate::distance::Distance;
use crate::error::{Error, Result};
use crate::kernels::{ClassDistanceKernel, ClassDistances, ClassGeometry, Wanted};
use crate::losses::SoftSilhouette;
use crate::metrics::batch::{BatchLoss, BatchSettings, batch_loss};
use crate::metrics::mean::class_means;
use crate::metrics::row_means::RowMeans;
use crate::metrics::separation::{ClassSeparation, class_separations, fisher_ratio, mean_over_classes, mean_over_rows};
use crate::metrics::{
    Companions, Family, METRICS, Measures, Measuring, Metric, RowScore, RowScoreFold, Scope, Selection, SharedWork,
    SmoothMaximum, SoftMinimum, USUAL_KS, find_temperature, measure,
};
use crate::progress::Progress;
use crate::statistics::{Strata, bootstrap_intervals, normal_interval};
use crate::uncertainty::{ClassUncertainty, RowInfluence, Silhouette, Uncertainty};

/// The version of the JSON result that this program writes.
pub const SCHEMA_VERSION: u32 = 1;

/// Rows times classes up to which every class has an interval without asking, each of which costs a pass over all rows, and
/// a comparison keeps what every row gives to it.
const MANY_CLASS_TERMS: usize = 1 << 25;

/// How many of the classes that a class is confused with are told.
const CONFUSIONS_TOLD: usize = 5;

/// The temperature tau of the soft silhouette.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Temperature {
    /// In units of the distance.
    Value(f64),
    /// The one at which the soft minimum averages over 2 classes.
    Auto,
}

/// How to evaluate.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub distance: Distance,
    pub temperature: Temperature,
    pub softmin: SoftMinimum,
    pub softmax: SmoothMaximum,
    /// `None` is the precision of the input's element type.
    pub precision: Option<Precision>,
    /// Rows of a batch of the batch form; `None` leaves it out.
    pub batch_size: Option<usize>,
    pub seed: u64,
    pub metrics: Selection,
    /// The numbers k of neighbours or components that some metrics are given at, ascending.
    pub ks: Vec<usize>,
    /// Rows that `uniformity` takes its pairs from; `None` is all.
    pub sample: Option<usize>,
    /// Whether the batch of each row is known, so that metrics of batches inside labels are computed.
    pub batch_labels: bool,
    /// Whether the scores of rows are wanted, whatever the metrics.
    pub rows: bool,
    /// Whether the K x K matrix of class distances is wanted.
    pub matrix: bool,
    /// Whether intervals are wanted (costs a few passes more).
    pub intervals: bool,
    /// How many classes have intervals of their own where rows times classes are many: those of the lowest silhouette.
    /// `None` is all of them, however many.
    pub class_intervals: Option<usize>,
    /// Whether what the rows give to the silhouettes of classes is to be kept, for a comparison.
    pub class_terms: bool,
    /// Whether the content hash of the embeddings is wanted (costs a read).
    pub hash: bool,
}

impl Settings {
    /// Whether a result under these settings has the metric of that name.
    pub fn computes(&self, name: &str) -> bool {
        Metric::named(name).is_some_and(|metric| {
            self.metrics.contains(metric.id)
                && metric.names(&self.ks).any(|known| known == name)
                && (metric.family != Family::Batch || self.batch_size.is_some())
                && (!metric.needs_batch_labels() || self.batch_labels)
        })
    }

    /// Whether rows are compared with classes.
    pub fn compares_with_classes(&self) -> bool {
        let families = [Family::Silhouette, Family::SoftSilhouette, Family::Separation];
        self.rows
            || self.matrix
            || self.metrics.contains("asw_label")
            || families.iter().any(|&family| self.metrics.any_of(family))
    }

    /// Whether rows are read in any order.
    fn needs_random_access(&self) -> bool {
        !self.distance.has_closed_form()
            || self.intervals
            || (self.batch_size.is_some() && self.metrics.any_of(Family::Batch))
            || METRICS.iter().any(|metric| metric.looks_at_pairs() && self.metrics.contains(metric.id))
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            distance: Distance::Cosine,
            temperature: Temperature::Value(0.1),
            softmin: SoftMinimum::Weighted,
            softmax: SmoothMaximum::Lse,
            precision: None,
            batch_size: None,
            seed: 0,
            metrics: Selection::usual(),
            ks: USUAL_KS.to_vec(),
            sample: None,
            batch_labels: false,
            rows: true,
            matrix: false,
            intervals: false,
            class_intervals: Some(20),
            class_terms: false,
            hash: false,
        }
    }
}

/// What kind of result a JSON document holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Score,
    /// A loss and its gradient.
    Grad,
    /// Rows that are likely mislabelled.
    Suspects,
    /// Candidates against a baseline.
    Compare,
    /// Several results.
    Set,
}

/// The results of one input under several labellings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct EvaluationSet {
    pub kind: Kind,
    /// In the order in which the labellings were given.
    pub results: Vec<Evaluation>,
}

/// One input as it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InputDescription {
    pub path: String,
    pub selector: Option<String>,
    /// The element type as stored.
    pub dtype: String,
    pub rows: usize,
    pub dimensions: usize,
    /// The columns that the dimensions were read from, or the one column or array of vectors.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// How the columns or the array were chosen.
    #[serde(default)]
    pub chosen: Chosen,
    /// BLAKE3 of the values in row order, as little-endian numbers of the precision computed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blake3: Option<String>,
}

impl InputDescription {
    /// The path with what was read of the file, where there is a choice.
    pub fn name(&self) -> String {
        match &self.selector {
            Some(selector) => format!("{}:{selector}", self.path),
            None => self.path.clone(),
        }
    }

    /// What is said of the embeddings of a data set, with a hash of their values in a precision.
    ///
    /// # Errors
    /// What reading rows for the hash reports.
    pub(crate) fn of(dataset: &Dataset, hash: Option<Precision>) -> Result<Self> {
        let embeddings = dataset.embeddings();
        Ok(InputDescription {
            path: embeddings.origin().path.clone(),
            selector: embeddings.origin().selector.clone(),
            dtype: embeddings.element_type().name().to_owned(),
            rows: embeddings.rows(),
            dimensions: embeddings.dimensions(),
            columns: match &embeddings.origin().selector {
                Some(selector) if embeddings.columns().is_empty() => vec![selector.clone()],
                _ => embeddings.columns().to_vec(),
            },
            chosen: embeddings.chosen(),
            blake3: match hash {
                Some(Precision::F32) => Some(embeddings.blake3::<f32>()?),
                Some(Precision::F64) => Some(embeddings.blake3::<f64>()?),
                None => None,
            },
        })
    }
}

/// The labels as they were read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LabelsDescription {
    pub path: String,
    pub selector: Option<String>,
    pub label_type: LabelType,
    pub classes: usize,
    /// Classes with a single row.
    pub singletons: usize,
    /// BLAKE3 of the decoded labels in row order.
    pub blake3: String,
}

impl LabelsDescription {
    /// What is said of the labels of a data set.
    pub(crate) fn of(dataset: &Dataset) -> Self {
        let (origin, labels) = (dataset.label_origin(), dataset.labels());
        LabelsDescription {
            path: origin.path.clone(),
            selector: origin.selector.clone(),
            label_type: dataset.label_type(),
            classes: labels.classes(),
            singletons: labels.singletons(),
            blake3: labels.blake3(),
        }
    }

    /// What tells this labelling from others: the file, and the column where there is one.
    pub fn name(&self) -> String {
        match &self.selector {
            Some(selector) => format!("{}:{selector}", self.path),
            None => self.path.clone(),
        }
    }
}

/// The settings that were in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SettingsUsed {
    pub distance: Distance,
    /// The temperature used; where it was `auto`, the one that was found.
    pub temperature: f64,
    /// Whether the temperature was found rather than given.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub temperature_auto: bool,
    pub softmin: SoftMinimum,
    pub softmax: SmoothMaximum,
    pub seed: u64,
    pub precision: Precision,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_size: Option<usize>,
    /// The numbers of neighbours or components, where a metric is given at them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ks: Vec<usize>,
    /// Rows that `uniformity` takes its pairs from, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<usize>,
    /// The rows among which neighbours were looked for, if not the rows themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gallery: Option<String>,
    /// Whether the rows of the gallery that are queries were left out for their own query.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exclude_identical: bool,
    /// The file of the batch of each row, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_labels: Option<String>,
    /// The file of row weights, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_weights: Option<String>,
    #[serde(flatten)]
    pub rows: RowChoice,
}

/// A class that rows of another class lie closer to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Confusion {
    /// The other class.
    pub label: String,
    /// Share of the rows of the class that have a negative silhouette and this class as the nearest other.
    pub share: f64,
}

/// One class. A number that is undefined, or was not asked for, is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassEvaluation {
    pub label: String,
    /// Rows of the class.
    pub count: usize,
    pub silhouette: Option<f64>,
    /// How far chance moves it, where asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silhouette_uncertainty: Option<ClassUncertainty>,
    pub soft_silhouette: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_silhouette_uncertainty: Option<ClassUncertainty>,
    /// Share of rows with a negative silhouette.
    pub negative_share: Option<f64>,
    pub intra_mean: Option<f64>,
    pub a_std: Option<f64>,
    pub radius_mean: Option<f64>,
    pub radius_max: Option<f64>,
    pub variance: Option<f64>,
    /// The class at the smallest mean distance.
    pub nearest_class: Option<String>,
    pub separation: Option<f64>,
    pub centroid_separation: Option<f64>,
    pub margin: Option<f64>,
    pub ratio: Option<f64>,
    /// The classes that rows of this one lie closer to, most rows first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub confused_with: Vec<Confusion>,
}

impl ClassEvaluation {
    /// The number of that name, where the class has one: the ids of the metrics given by class, `count`, and half of
    /// the width of the interval as `silhouette_half_width`.
    pub fn value(&self, name: &str) -> Option<Option<f64>> {
        Some(match name {
            "count" => Some(self.count as f64),
            "silhouette" => self.silhouette,
            "silhouette_half_width" => self.silhouette_uncertainty.map(|known| known.half_width()),
            "soft_silhouette" => self.soft_silhouette,
            "negative_share" => self.negative_share,
            "intra_mean" => self.intra_mean,
            "a_std" => self.a_std,
            "radius_mean" => self.radius_mean,
            "radius_max" => self.radius_max,
            "variance" => self.variance,
            "separation" => self.separation,
            "centroid_separation" => self.centroid_separation,
            "margin" => self.margin,
            "ratio" => self.ratio,
            _ => return None,
        })
    }
}

impl ClassEvaluation {
    /// How far chance moves the metric of that name, where that is known.
    pub fn uncertainty(&self, name: &str) -> Option<ClassUncertainty> {
        match name {
            "silhouette" => self.silhouette_uncertainty,
            "soft_silhouette" => self.soft_silhouette_uncertainty,
            _ => None,
        }
    }
}

/// The outcome of one `--fail-if` expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateOutcome {
    /// The expression as written.
    pub expression: String,
    /// The checkpoint that it was checked for, where there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint: Option<String>,
    /// Whether the gate failed: the expression was true, or a metric in it is undefined.
    pub failed: bool,
    /// What decided, in words.
    pub detail: String,
    /// What was compared with what, in the order of the expression.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub comparisons: Vec<GateComparison>,
}

/// One comparison of a gate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GateComparison {
    /// As written: a number, or something that has one.
    pub left: String,
    pub left_value: Option<f64>,
    pub operator: String,
    pub right: String,
    pub right_value: Option<f64>,
    /// Whether it is true; null where a side is undefined.
    pub holds: Option<bool>,
}

/// Seconds that the work took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Timing {
    pub read_seconds: f64,
    pub compute_seconds: f64,
}

/// The result of `embq score`: plain data, the same in memory and in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evaluation {
    pub kind: Kind,
    pub schema_version: u32,
    pub embq_version: String,
    pub inputs: Vec<InputDescription>,
    pub labels: LabelsDescription,
    pub excluded: Excluded,
    pub settings: SettingsUsed,
    /// Every metric asked for, by name; null where undefined, with a line in `warnings`.
    pub metrics: IndexMap<String, Option<f64>>,
    /// For each metric given by class, the number of classes where it is undefined, where there are any.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub undefined_classes: IndexMap<String, usize>,
    /// 95 % interval of each metric that has one, where asked for.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub intervals: IndexMap<String, [f64; 2]>,
    /// Standard error of each metric that has an interval.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub standard_errors: IndexMap<String, f64>,
    /// In label order.
    pub classes: Vec<ClassEvaluation>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateOutcome>,
    pub warnings: Vec<String>,
    /// Left out by `--no-timing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
}

/// What is known of each row, column by column; N values each, or none where rows were not asked for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowScores {
    /// Mean distance to the own class; `None` for the only row of a class.
    pub a: Vec<Option<f64>>,
    /// Mean distance to the nearest other class.
    pub b: Vec<f64>,
    pub silhouette: Vec<f64>,
    pub soft_silhouette: Vec<f64>,
    /// Code of the nearest other class.
    pub nearest_other: Vec<u32>,
    /// Where intervals were asked for.
    pub influence: Option<RowInfluence>,
}

/// An evaluation with what is too large for it.
#[derive(Clone, Debug)]
pub struct Scored {
    pub evaluation: Evaluation,
    pub rows: RowScores,
    /// K x K mean distances between classes (diagonal: within the class, NaN-free: `None` where undefined).
    pub matrix: Option<Array2<Option<f64>>>,
    /// Where intervals were asked for: for each metric that has one a term for each row, whose sum the metric is.
    pub terms: IndexMap<String, Vec<f64>>,
    /// The same for the hard and the soft silhouette of each class, where they were asked for and memory allows it.
    pub class_terms: Vec<[Vec<f32>; 2]>,
}

/// Evaluates a data set.
///
/// # Errors
/// Fewer than two classes, more than N - 1, a data set made for another distance, `auto` without a solution, intervals of
/// a subsample, and what reading rows reports.
pub fn evaluate(dataset: &Dataset, settings: &Settings, progress: &dyn Progress) -> Result<Scored> {
    evaluate_with(dataset, Companions::default(), settings, progress)
}

/// Evaluates a data set together with a gallery or the batches of its rows.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_with(
    dataset: &Dataset,
    companions: Companions<'_>,
    settings: &Settings,
    progress: &dyn Progress,
) -> Result<Scored> {
    let compares_with_classes = settings.compares_with_classes();
    let of_classes = |family: &&Family| family.needs_classes() && settings.metrics.any_of(**family);
    if compares_with_classes || Family::ALL.iter().any(|family| of_classes(&family)) {
        dataset.require_silhouette()?;
    }
    for distance in std::iter::once(dataset).chain(companions.gallery).map(Dataset::distance) {
        if settings.distance.computed() != distance {
            return Err(Error::setting(
                format!("the data set was checked for {distance} distances, not {}", settings.distance),
                "make the data set with the distance of the settings",
            ));
        }
    }
    if let Some(batches) = companions.batches
        && batches.len() != dataset.embeddings().rows()
    {
        return Err(Error::RowCounts {
            left: dataset.embeddings().origin().to_string(),
            left_rows: dataset.embeddings().rows(),
            right: batches.origin().to_string(),
            right_rows: batches.len(),
            what: "batch",
        });
    }
    let precision = settings.precision.unwrap_or(dataset.embeddings().element_type().precision());
    let mut in_memory = [None, None];
    let [own_copy, gallery_copy] = &mut in_memory;
    let dataset = in_any_order(dataset, settings.needs_random_access(), precision, own_copy)?;
    let gallery = companions.gallery.map(|gallery| in_any_order(gallery, true, precision, gallery_copy)).transpose()?;
    let companions = Companions { gallery, ..companions };
    let automatic = settings.temperature == Temperature::Auto;
    let kernel = if compares_with_classes || automatic {
        Some(ClassDistanceKernel::new(dataset, settings.distance, precision, progress)?)
    } else {
        dataset.check_values_in(precision)?;
        None
    };
    let temperature = match (settings.temperature, &kernel) {
        (Temperature::Value(temperature), _) => temperature,
        (Temperature::Auto, Some(kernel)) => find_temperature(dataset, kernel)?,
        (Temperature::Auto, None) => return Err(Error::setting("no temperature was looked for", "name one")),
    };
    let fold = RowScoreFold {
        precision,
        temperature,
        softmin: settings.softmin,
        softmax: settings.softmax,
        counts: dataset.labels().counts(),
    };
    let wanted = Wanted { geometry: settings.metrics.any_of(Family::Separation), matrix: settings.matrix };
    let ClassDistances { rows: scores, mut geometry } = match &kernel {
        Some(kernel) if compares_with_classes => kernel.pass(&fold, wanted)?,
        _ => ClassDistances { rows: Vec::new(), geometry: ClassGeometry::default() },
    };
    let batch = match settings.batch_size {
        Some(size) if settings.metrics.any_of(Family::Batch) => Some(batch_loss(
            dataset,
            &BatchSettings {
                size,
                seed: settings.seed,
                distance: settings.distance,
                precision,
                temperature,
                softmin: settings.softmin,
                softmax: settings.softmax,
            },
        )?),
        _ => None,
    };
    let measuring = Measuring {
        selection: &settings.metrics,
        precision,
        ks: &settings.ks,
        sample: settings.sample,
        seed: settings.seed,
    };
    let scores_of_rows = compares_with_classes.then_some(&scores[..]);
    let work = SharedWork::new(dataset, companions, measuring, scores_of_rows, progress);
    let measures = measure(&work, &settings.metrics)?;
    let mut summary = Summary::new(dataset, settings);
    let (row_means, separations) = rayon::join(
        || compares_with_classes.then(|| RowMeans::new(dataset, &scores)),
        || wanted.geometry.then(|| class_separations(dataset, &scores, &geometry)),
    );
    if let Some(row_means) = row_means {
        summary.add_rows(row_means);
    }
    if let Some(separations) = separations {
        summary.add_separation(&separations, &geometry);
        // Nothing else asks for it, and it is as long as what follows.
        geometry.radius = Vec::new();
    }
    if let Some(batch) = batch {
        summary.add_batches(&batch);
    }
    let mut rows = if settings.rows { RowScores::new(&scores) } else { RowScores::default() };
    let mut terms = IndexMap::new();
    let mut class_terms = Vec::new();
    let (mut intervals, mut standard_errors) = (IndexMap::new(), IndexMap::new());
    if let Some(kernel) = kernel.as_ref().filter(|_| settings.intervals) {
        let soft = SoftSilhouette {
            temperature,
            distance: settings.distance,
            soft_minimum: settings.softmin,
            smooth_maximum: settings.softmax,
        };
        let numbers = dataset.len() * dataset.labels().classes();
        if settings.class_terms && numbers <= MANY_CLASS_TERMS {
            class_terms = vec![Default::default(); dataset.labels().classes()];
        }
        let uncertainty = summary.add_uncertainty(kernel, &soft, &geometry, &mut class_terms)?;
        (intervals, standard_errors) = summary.intervals(&uncertainty.terms);
        terms = uncertainty.terms;
        rows.influence = Some(uncertainty.rows);
    }
    let at_k = |name: &String| Metric::named(name).is_some_and(|metric| metric.scope == Scope::AtK);
    let any_at_k = measures.values.iter().any(|(name, _)| at_k(name));
    summary.add_measures(measures);
    let matrix = geometry.matrix.as_ref().map(|matrix| {
        let intra_mean = intra_means(dataset, &scores);
        Array2::from_shape_fn(matrix.dim(), |(class, other)| {
            if class == other { intra_mean[class] } else { Some(matrix[[class, other]]) }
        })
    });
    let evaluation = Evaluation {
        kind: Kind::Score,
        schema_version: SCHEMA_VERSION,
        embq_version: env!("CARGO_PKG_VERSION").to_owned(),
        inputs: vec![InputDescription::of(dataset, settings.hash.then_some(precision))?],
        labels: LabelsDescription::of(dataset),
        excluded: dataset.excluded(),
        settings: SettingsUsed {
            distance: settings.distance,
            temperature,
            temperature_auto: automatic,
            softmin: settings.softmin,
            softmax: settings.softmax,
            seed: settings.seed,
            precision,
            batch_size: settings.batch_size,
            ks: if any_at_k { settings.ks.clone() } else { Vec::new() },
            sample: settings.sample.filter(|_| settings.metrics.contains("uniformity")),
            gallery: companions.gallery.map(|gallery| gallery.embeddings().origin().to_string()),
            exclude_identical: companions.own_rows.iter().any(Option::is_some),
            batch_labels: companions.batches.map(|batches| batches.origin().to_string()),
            row_weights: dataset.weight_origin().map(ToString::to_string),
            rows: dataset.choice().clone(),
        },
        metrics: summary.metrics,
        undefined_classes: summary.undefined_classes,
        intervals,
        standard_errors,
        classes: summary.classes,
        gates: Vec::new(),
        warnings: summary.warnings,
        timing: None,
    };
    Ok(Scored { evaluation, rows, matrix, terms, class_terms })
}

/// The data set, or its copy in memory if rows are needed in any order and their source has but one.
fn in_any_order<'d>(
    dataset: &'d Dataset,
    needed: bool,
    precision: Precision,
    copy: &'d mut Option<Dataset>,
) -> Result<&'d Dataset> {
    if !needed || dataset.embeddings().blocks().is_random_access() {
        return Ok(dataset);
    }
    Ok(copy.insert(dataset.in_memory(precision)?))
}

fn intra_means(dataset: &Dataset, scores: &[RowScore]) -> Vec<Option<f64>> {
    let rows = dataset.scored_members().zip(scores);
    class_means(dataset.labels().classes(), rows.filter_map(|((code, weight), score)| Some((code, score.a?, weight))))
}

impl RowScores {
    fn new(scores: &[RowScore]) -> Self {
        RowScores {
            a: scores.iter().map(|score| score.a).collect(),
            b: scores.iter().map(|score| score.b).collect(),
            silhouette: scores.iter().map(|score| score.silhouette).collect(),
            soft_silhouette: scores.iter().map(|score| score.soft_silhouette).collect(),
            nearest_other: scores.iter().map(|score| score.nearest_other).collect(),
            influence: None,
        }
    }
}

/// Collects the metrics that were asked for, in the order of the list.
struct Summary<'a> {
    dataset: &'a Dataset,
    settings: &'a Settings,
    metrics: IndexMap<String, Option<f64>>,
    undefined_classes: IndexMap<String, usize>,
    classes: Vec<ClassEvaluation>,
    warnings: Vec<String>,
}

impl<'a> Summary<'a> {
    fn new(dataset: &'a Dataset, settings: &'a Settings) -> Self {
        let labels = dataset.labels();
        let classes = labels.names().iter().zip(labels.counts()).map(|(name, &count)| ClassEvaluation {
            label: name.to_string(),
            count,
            ..Default::default()
        });
        let mut summary = Summary {
            dataset,
            settings,
            metrics: IndexMap::new(),
            undefined_classes: IndexMap::new(),
            classes: classes.collect(),
            warnings: dataset.warnings().to_vec(),
        };
        if labels.singletons() > 0 && settings.compares_with_classes() {
            summary.warnings.push(format!(
                "{} of {} classes have a single row: such a row scores 0 and has no a",
                labels.singletons(),
                labels.classes()
            ));
        }
        summary
    }

    fn asked_for(&self, id: &str) -> bool {
        self.settings.metrics.contains(id)
    }

    /// One number for the whole input; the reason is told where it is undefined.
    fn overall(&mut self, id: &str, value: Option<f64>, undefined: &str) {
        if self.asked_for(id) {
            if value.is_none() {
                self.warnings.push(format!("{id} is undefined: {undefined}"));
            }
            self.metrics.insert(id.to_owned(), value);
        }
    }

    /// A metric given by class: its mean over rows, its mean over classes, and the classes themselves.
    fn per_class(
        &mut self,
        id: &str,
        values: Vec<Option<f64>>,
        set: fn(&mut ClassEvaluation, Option<f64>),
        undefined: &str,
    ) {
        if !self.asked_for(id) {
            return;
        }
        let missing = values.iter().filter(|value| value.is_none()).count();
        if missing == values.len() {
            self.warnings.push(format!("{id} and {id}_macro are undefined: {undefined}"));
        }
        if missing > 0 {
            self.undefined_classes.insert(id.to_owned(), missing);
        }
        self.metrics.insert(id.to_owned(), mean_over_rows(&values, self.dataset.class_weights()));
        self.metrics.insert(format!("{id}_macro"), mean_over_classes(&values));
        for (class, value) in self.classes.iter_mut().zip(values) {
            set(class, value);
        }
    }

    fn add_rows(&mut self, rows: RowMeans) {
        let always = "no row takes part";
        let silhouette = rows.silhouette;
        self.per_class("silhouette", silhouette.by_class, |class, value| class.silhouette = value, always);
        self.replace("silhouette", silhouette.over_rows);
        self.overall("mean_a", rows.a, "every class has a single row");
        self.overall("mean_b", rows.b, always);
        let negative = rows.negative_share;
        self.per_class("negative_share", negative.by_class, |class, value| class.negative_share = value, always);
        self.replace("negative_share", negative.over_rows);
        if self.asked_for("negative_share") || self.asked_for("silhouette") {
            let names = self.dataset.labels().names();
            for (class, confused) in self.classes.iter_mut().zip(rows.confusions) {
                let told = confused
                    .into_iter()
                    .take(CONFUSIONS_TOLD)
                    .map(|(other, share)| Confusion { label: names[other as usize].to_string(), share });
                class.confused_with = told.collect();
            }
        }

        let soft = rows.soft_silhouette;
        self.per_class("soft_silhouette", soft.by_class, |class, value| class.soft_silhouette = value, always);
        self.replace("soft_silhouette", soft.over_rows);
        self.overall("soft_silhouette_loss", soft.over_rows.map(|soft| 1.0 - soft), always);
        self.overall("effective_competitors", rows.effective_competitors, always);
    }

    /// Puts the mean over rows in the place of the mean of class means, where the metric was asked for.
    fn replace(&mut self, id: &str, value: Option<f64>) {
        if let Some(entry) = self.metrics.get_mut(id) {
            *entry = value;
        }
    }

    fn add_separation(&mut self, separations: &[ClassSeparation], geometry: &ClassGeometry) {
        let single = "every class has a single row";
        let means = if self.settings.distance == Distance::Precomputed {
            "precomputed distances have no class means"
        } else {
            "no class mean has a direction"
        };
        let values = |value: fn(&ClassSeparation) -> Option<f64>| separations.iter().map(value).collect::<Vec<_>>();
        self.per_class("intra_mean", values(|s| s.intra_mean), |class, value| class.intra_mean = value, single);
        self.per_class("a_std", values(|s| s.a_std), |class, value| class.a_std = value, single);
        self.per_class("radius_mean", values(|s| s.radius_mean), |class, value| class.radius_mean = value, means);
        self.per_class("radius_max", values(|s| s.radius_max), |class, value| class.radius_max = value, means);
        self.per_class("variance", values(|s| s.variance), |class, value| class.variance = value, means);
        self.per_class(
            "separation",
            values(ClassSeparation::separation),
            |class, value| class.separation = value,
            "there is no other class",
        );
        self.per_class(
            "centroid_separation",
            values(|s| s.centroid_separation),
            |class, value| class.centroid_separation = value,
            means,
        );
        self.per_class("margin", values(ClassSeparation::margin), |class, value| class.margin = value, single);
        self.per_class(
            "ratio",
            values(ClassSeparation::ratio),
            |class, value| class.ratio = value,
            "no class with several rows lies apart from another",
        );
        let collapsed = if geometry.scatter.is_none() { means } else { "every row lies on its class mean" };
        self.overall("fisher_ratio", fisher_ratio(geometry), collapsed);
        if self.asked_for("separation") {
            let names = self.dataset.labels().names();
            for (class, separation) in self.classes.iter_mut().zip(separations) {
                class.nearest_class = separation.nearest.map(|nearest| names[nearest.class as usize].to_string());
            }
        }
    }

    fn add_measures(&mut self, measures: Measures<'_>) {
        self.metrics.extend(measures.values);
        self.warnings.extend(measures.warnings);
    }

    /// All classes, or those of the lowest silhouette where all of them would take too long.
    fn classes_with_intervals(&mut self) -> Vec<usize> {
        let labels = self.dataset.labels();
        let mut classes: Vec<usize> = (0..labels.classes()).collect();
        let Some(wanted) = self.settings.class_intervals else { return classes };
        let all = classes.len();
        if wanted < all && self.dataset.len().saturating_mul(all) > MANY_CLASS_TERMS {
            let silhouette = |class: &usize| self.classes[*class].silhouette.unwrap_or(f64::INFINITY);
            classes.sort_by(|left, right| silhouette(left).total_cmp(&silhouette(right)));
            classes.truncate(wanted);
            classes.sort_unstable();
            self.warnings.push(if wanted == 0 {
                format!("the {all} classes have no intervals of their own: each takes a pass over all rows")
            } else {
                format!(
                    "{wanted} of {all} classes have intervals, those of the lowest silhouette: each takes a pass over \
                     all rows"
                )
            });
        }
        classes
    }

    /// Finds the influence of the rows, and what chance does to the silhouettes of the classes.
    fn add_uncertainty(
        &mut self,
        kernel: &ClassDistanceKernel<'_>,
        soft: &SoftSilhouette,
        geometry: &ClassGeometry,
        class_terms: &mut [[Vec<f32>; 2]],
    ) -> Result<Uncertainty> {
        let dataset = self.dataset;
        let labels = dataset.labels();
        let strata = Strata::new(labels.codes(), labels.counts(), dataset.weights());
        let classes = self.classes_with_intervals();
        let mut errors = vec![None; labels.classes()];
        let uncertainty =
            Uncertainty::new(dataset, kernel, soft, &geometry.nearest, &classes, &mut |kind, class, terms| {
                errors[class].get_or_insert([0.0; 2])[kind as usize] = strata.standard_error(terms);
                if let Some(kept) = class_terms.get_mut(class) {
                    kept[kind as usize] = terms.iter().map(|&term| term as f32).collect();
                }
            })?;
        let deviations = [&uncertainty.rows.silhouette, &uncertainty.rows.soft_silhouette];
        let deviations = deviations.map(|influence| strata.deviations(influence));
        let of_class = |kind: Silhouette, code: usize, mean: Option<f64>| {
            let standard_error = errors[code]?[kind as usize];
            mean.map(|mean| ClassUncertainty {
                interval: normal_interval(mean, standard_error).map(|end| end.clamp(-1.0, 1.0)),
                standard_error,
                deviation: deviations[kind as usize][code],
            })
        };
        for (code, class) in self.classes.iter_mut().enumerate() {
            class.silhouette_uncertainty = of_class(Silhouette::Hard, code, class.silhouette);
            class.soft_silhouette_uncertainty = of_class(Silhouette::Soft, code, class.soft_silhouette);
        }
        Ok(uncertainty)
    }

    /// The intervals and standard errors of the metrics that were asked for.
    fn intervals(&self, terms: &IndexMap<String, Vec<f64>>) -> (IndexMap<String, [f64; 2]>, IndexMap<String, f64>) {
        let labels = self.dataset.labels();
        let strata = Strata::new(labels.codes(), labels.counts(), self.dataset.weights());
        let known = self.metrics.iter().filter_map(|(name, value)| Some((name, (*value)?, terms.get(name)?)));
        let (names, all_terms): (Vec<_>, Vec<&[f64]>) =
            known.map(|(name, value, terms)| ((name, value), terms.as_slice())).unzip();
        let intervals = bootstrap_intervals(&all_terms, &strata, self.settings.seed);
        let interval = |(&(name, value), interval): (&(&String, f64), &[f64; 2])| {
            ((*name).clone(), interval.map(|end| value + end))
        };
        let error = |(&(name, _), terms): (&(&String, f64), &&[f64])| ((*name).clone(), strata.standard_error(terms));
        (names.iter().zip(&intervals).map(interval).collect(), names.iter().zip(&all_terms).map(error).collect())
    }

    fn add_batches(&mut self, batch: &BatchLoss) {
        let none = "every batch holds one class only";
        self.overall("batch_loss", batch.mean, none);
        self.overall("batch_loss_std", batch.standard_deviation, none);
        self.overall("batches", Some(batch.kept as f64), none);
        self.overall("batches_skipped", Some(batch.skipped as f64), none);
        self.overall("batch_without_positive", batch.without_positive, none);
    }
}
