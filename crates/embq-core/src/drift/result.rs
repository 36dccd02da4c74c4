//! The result of a drift analysis: plain data, the same in memory and in JSON.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{Excluded, Precision, RowChoice};
use crate::evaluation::{Envelope, GateOutcome, LabelsDescription, Timing};
use crate::quantity::{Quantity, Subject, Target};

/// What a test says of two sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DriftVerdict {
    /// The sets differ by more than chance explains.
    Drift,
    /// Chance alone may have made the difference.
    NoDriftShown,
}

impl DriftVerdict {
    /// The verdict at a p-value.
    pub(super) fn at(p_value: f64) -> Self {
        if p_value < super::LEVEL { DriftVerdict::Drift } else { DriftVerdict::NoDriftShown }
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            DriftVerdict::Drift => "drift",
            DriftVerdict::NoDriftShown => "no drift shown",
        }
    }
}

/// A permutation test of whether two sets come from one distribution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct DriftTest {
    /// The share of random divisions of all rows, the actual one among them, whose value is at least as large.
    pub p_value: f64,
    /// Holm's correction of it for the number of tests.
    pub adjusted_p_value: f64,
    /// Drift only where the adjusted p-value is below 0.05.
    pub verdict: DriftVerdict,
}

/// One of the two sets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SetDescription {
    pub path: String,
    pub selector: Option<String>,
    /// The element type as stored; null for a file of statistics.
    pub dtype: Option<String>,
    /// Rows that take part; null for a file of statistics, which does not tell.
    pub rows: Option<usize>,
    pub dimensions: usize,
    /// The labels, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<LabelsDescription>,
    pub excluded: Excluded,
}

impl SetDescription {
    /// The path with what was read of the file, where there is a choice.
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
pub struct DriftSettingsUsed {
    pub precision: Precision,
    pub seed: u64,
    /// k of precision, recall, density and coverage.
    pub neighbours: usize,
    /// Random divisions behind a p-value.
    pub permutations: usize,
    /// Rows of each set that go into numbers of pairs, if not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<usize>,
    /// The bandwidth of the Gaussian kernel: the median distance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bandwidth: Option<f64>,
    #[serde(flatten)]
    pub rows: RowChoice,
}

/// A class of either set. A number that is undefined is null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassDrift {
    pub label: String,
    pub reference_count: usize,
    pub current_count: usize,
    /// Its share of the rows.
    pub reference_share: f64,
    pub current_share: f64,
    /// What it gives to the population stability index.
    pub psi: Option<f64>,
    pub mean_shift: Option<f64>,
    /// Only where both sets have more rows of the class than dimensions.
    pub frechet_distance: Option<f64>,
    pub energy_distance: Option<f64>,
    /// The test by the energy distance; Holm's correction is for the number of classes.
    pub test: Option<DriftTest>,
}

impl ClassDrift {
    /// The number of that name, where a class has one.
    pub fn value(&self, name: &str) -> Option<Option<f64>> {
        Some(match name {
            "reference_count" => Some(self.reference_count as f64),
            "current_count" => Some(self.current_count as f64),
            "reference_share" => Some(self.reference_share),
            "current_share" => Some(self.current_share),
            "psi" => self.psi,
            "mean_shift" => self.mean_shift,
            "frechet_distance" => self.frechet_distance,
            "energy_distance" => self.energy_distance,
            "p_value" => self.test.map(|test| test.adjusted_p_value),
            _ => return None,
        })
    }
}

/// The names of the numbers that a class has.
pub const CLASS_NUMBERS: [&str; 9] = [
    "reference_count",
    "current_count",
    "reference_share",
    "current_share",
    "psi",
    "mean_shift",
    "frechet_distance",
    "energy_distance",
    "p_value",
];

/// The result of `embq drift`: plain data, the same in memory and in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct DriftResult {
    #[serde(flatten)]
    pub envelope: Envelope,
    pub reference: SetDescription,
    pub current: SetDescription,
    pub settings: DriftSettingsUsed,
    /// Every selected number, by name; null where undefined, with a line in `warnings`.
    pub metrics: IndexMap<String, Option<f64>>,
    /// 95 % interval of each number that has one.
    pub intervals: IndexMap<String, [f64; 2]>,
    /// The permutation test of each number that has one.
    pub tests: IndexMap<String, DriftTest>,
    /// Drift where any test says so; null where nothing was tested.
    pub verdict: Option<DriftVerdict>,
    /// In label order of the reference, followed by those of the current rows alone. Empty unless both sets have labels.
    pub classes: Vec<ClassDrift>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateOutcome>,
    pub warnings: Vec<String>,
    /// Left out by `--no-timing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
}

impl DriftResult {
    /// A number of all rows by its name.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.metrics.get(name).copied().flatten()
    }

    fn target(&self, target: &Target) -> Option<f64> {
        match &target.class {
            Some(label) => self.classes.iter().find(|class| class.label == *label)?.value(&target.metric).flatten(),
            None => self.metric(&target.metric),
        }
    }
}

impl Subject for DriftResult {
    fn number(&self, quantity: &Quantity) -> Option<f64> {
        match quantity {
            Quantity::Metric(target) => self.target(target),
            Quantity::End { upper, of: Target { class: None, metric }, difference: false } => {
                self.intervals.get(metric).map(|[low, high]| if *upper { *high } else { *low })
            }
            Quantity::Extreme { largest, metric } => {
                let values = self.classes.iter().filter_map(|class| class.value(metric).flatten());
                if *largest { values.max_by(f64::total_cmp) } else { values.min_by(f64::total_cmp) }
            }
            Quantity::End { .. } | Quantity::Delta(_) | Quantity::Relative(_) | Quantity::Similarity(_) => None,
        }
    }

    fn classes(&self) -> Vec<&str> {
        self.classes.iter().map(|class| class.label.as_str()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_has_a_place_for_every_number_given_by_class() {
        let class = ClassDrift::default();
        assert!(CLASS_NUMBERS.iter().all(|name| class.value(name).is_some()));
        assert!(
            crate::drift::DRIFT_METRICS
                .iter()
                .filter(|metric| metric.is_by_class)
                .all(|metric| { CLASS_NUMBERS.contains(&metric.id) })
        );
        assert!(class.value("kid").is_none());
    }
}
