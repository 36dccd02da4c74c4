//! The result of one evaluated input: plain data, the same in memory and in JSON.

use indexmap::IndexMap;
use ndarray::Array2;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{Chosen, Dataset, Excluded, LabelType, Precision, RowChoice};
use crate::distance::Distance;
use crate::error::Result;
use crate::metrics::{Clustering, PairCurves, RowScore, SmoothMaximum, SoftMinimum};
use crate::uncertainty::{ClassUncertainty, RowInfluence};

/// The version of the JSON result that this program writes.
pub const SCHEMA_VERSION: u32 = 1;

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
    /// One set of rows against another.
    Drift,
    /// A checkpoint that was watched for.
    Watch,
    /// Several results.
    Set,
}

/// What every JSON result begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Envelope {
    pub kind: Kind,
    pub schema_version: u32,
    pub embq_version: String,
}

impl Envelope {
    /// That of a result of this program.
    pub fn of(kind: Kind) -> Self {
        Envelope { kind, schema_version: SCHEMA_VERSION, embq_version: env!("CARGO_PKG_VERSION").to_owned() }
    }
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

impl Evaluation {
    /// The number of classes; 0 where there are no labels.
    pub fn class_count(&self) -> usize {
        self.labels.as_ref().map_or(0, |labels| labels.classes)
    }

    /// What tells the labelling from others, as [`LabelsDescription::name`]; empty where there are no labels.
    pub fn labels_name(&self) -> String {
        self.labels.as_ref().map(LabelsDescription::name).unwrap_or_default()
    }
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
#[non_exhaustive]
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
    /// The penalty of the ridge probe, where it is computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe_alpha: Option<f64>,
    /// Folds of the linear probe, where it is computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folds: Option<usize>,
    /// The numbers of neighbours or components, where a metric is given at them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ks: Vec<usize>,
    /// The false accept rates, where a metric is given at them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fars: Vec<f64>,
    /// Rows that `uniformity` takes its pairs from, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<usize>,
    /// The rows among which neighbours were looked for, if not the rows themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gallery: Option<String>,
    /// Whether the rows of the gallery that are queries were left out for their own query.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub exclude_identical: bool,
    /// The list of pairs that verification looked at, if not all pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pairs: Option<String>,
    /// The file of the batch of each row, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub batch_labels: Option<String>,
    /// The file of the cluster of each row, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clusters: Option<String>,
    /// The file of row weights, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub row_weights: Option<String>,
    /// How rows were clustered, if not by k-means of all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clustering: Option<Clustering>,
    /// Half of the width that the interval of `silhouette` was to have, where it decided how many rows are scored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<f64>,
    #[serde(flatten)]
    pub rows: RowChoice,
}

/// A class that rows of another class lie closer to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Confusion {
    /// The other class.
    pub label: String,
    /// Share of the rows of the class that have a negative silhouette and this class as the nearest other.
    pub share: f64,
}

/// One class. A number that is undefined, or was not selected, is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassEvaluation {
    pub label: String,
    /// Rows of the class.
    pub count: usize,
    pub silhouette: Option<f64>,
    /// How far chance moves it, where intervals are computed.
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

/// Finds a metric of a class by its id. The fields of these names are the metrics given by class.
macro_rules! metrics_of_classes {
    ($($id:ident)*) => {
        impl ClassEvaluation {
            /// The value of the metric of that id, where it is one that is given by class.
            fn metric(&self, id: &str) -> Option<Option<f64>> {
                $(if id == stringify!($id) { return Some(self.$id); })*
                None
            }

            /// The same, to be written to.
            pub(crate) fn metric_mut(&mut self, id: &str) -> Option<&mut Option<f64>> {
                $(if id == stringify!($id) { return Some(&mut self.$id); })*
                None
            }
        }
    };
}

metrics_of_classes! {
    silhouette soft_silhouette negative_share intra_mean a_std radius_mean radius_max variance separation
    centroid_separation margin ratio
}

impl ClassEvaluation {
    /// The number of that name, where the class has one: the ids of the metrics given by class, `count`, and half of
    /// the width of the interval as `silhouette_half_width`.
    pub fn value(&self, name: &str) -> Option<Option<f64>> {
        match name {
            "count" => Some(Some(self.count as f64)),
            "silhouette_half_width" => Some(self.silhouette_uncertainty.map(|known| known.half_width())),
            id => self.metric(id),
        }
    }

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
    #[serde(flatten)]
    pub envelope: Envelope,
    pub inputs: Vec<InputDescription>,
    /// Null where there are none, and `classes` is empty.
    pub labels: Option<LabelsDescription>,
    pub excluded: Excluded,
    pub settings: SettingsUsed,
    /// Every selected metric, by name; null where undefined, with a line in `warnings`.
    pub metrics: IndexMap<String, Option<f64>>,
    /// For each metric given by class, the number of classes where it is undefined, where there are any.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub undefined_classes: IndexMap<String, usize>,
    /// 95 % interval of each metric that has one, where intervals are computed: of what other rows would give. Where a
    /// subsample is scored, of what all rows would give.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub intervals: IndexMap<String, [f64; 2]>,
    /// Standard error of each metric that has an interval.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub standard_errors: IndexMap<String, f64>,
    /// How the intervals were found, where not by drawing rows again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval_method: Option<IntervalMethod>,
    /// In label order.
    pub classes: Vec<ClassEvaluation>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateOutcome>,
    pub warnings: Vec<String>,
    /// Left out by `--no-timing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
}

/// How intervals were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IntervalMethod {
    /// 1.96 standard errors to both sides: states of parts hold no draws of rows.
    StandardErrors,
}

/// What is known of each row, column by column; N values each, or none where the settings leave rows out.
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
    /// Where intervals are computed.
    pub influence: Option<RowInfluence>,
}

impl RowScores {
    pub(crate) fn new(scores: &[RowScore]) -> Self {
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

/// An evaluation with what is too large for it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scored {
    pub evaluation: Evaluation,
    pub rows: RowScores,
    /// K x K mean distances between classes (diagonal: within the class, NaN-free: `None` where undefined).
    pub matrix: Option<Array2<Option<f64>>>,
    /// For each metric that has an interval a term for each row, whose sum the metric is; where the settings keep them.
    pub terms: IndexMap<String, Vec<f64>>,
    /// The same for the hard and the soft silhouette of each class, where memory allows it.
    pub class_terms: Vec<[Vec<f32>; 2]>,
    /// Where pairs are verified.
    pub pair_curves: Option<PairCurves>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::{METRICS, Scope};

    #[test]
    fn a_class_has_a_place_for_every_metric_given_by_class() {
        let mut class = ClassEvaluation::default();
        for metric in METRICS.iter().filter(|metric| metric.scope == Scope::PerClass) {
            let place = class.metric_mut(metric.id).unwrap_or_else(|| panic!("{} has no field", metric.id));
            *place = Some(metric.id.len() as f64);
            assert_eq!(class.value(metric.id), Some(Some(metric.id.len() as f64)));
        }
        assert!(class.value("fisher_ratio").is_none() && class.value("label").is_none());
    }
}
