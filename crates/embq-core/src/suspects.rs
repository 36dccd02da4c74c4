//! The rows of a data set that are most likely mislabelled, as plain data.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{Dataset, Excluded, Precision, RowNames};
use crate::distance::Distance;
use crate::error::Result;
use crate::evaluation::{
    Envelope, InputDescription, Kind, LabelsDescription, RowScores, Scored, Settings, Timing, evaluate,
};
use crate::kernels::nearest_neighbours;
use crate::metrics::Selection;
use crate::metrics::suspects::{LabelledNeighbour, Rows, Suspect, Suspects, suspects};
use crate::progress::Progress;

/// The default number of nearest neighbours that vote.
pub const NEIGHBOURS: usize = 10;

/// A row whose surroundings contradict its label.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SuspectRow {
    /// The row number in the stored embeddings.
    pub row: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    pub label: String,
    /// The label of the class that it most resembles.
    pub suggested: String,
    /// How strongly its surroundings contradict its label; only the order is meaningful.
    pub suspicion: f64,
    pub silhouette: f64,
    /// The share of its nearest neighbours that have the suggested label.
    pub neighbours_suggested: f64,
    /// The share of its nearest neighbours that have its own label.
    pub neighbours_own: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// The settings in effect.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SuspectSettings {
    pub distance: Distance,
    pub precision: Precision,
    /// k: the number of nearest neighbours that voted.
    pub neighbours: usize,
}

/// The result of `embq suspects`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct SuspectList {
    #[serde(flatten)]
    pub envelope: Envelope,
    pub inputs: Vec<InputDescription>,
    pub labels: LabelsDescription,
    pub excluded: Excluded,
    pub settings: SuspectSettings,
    /// The number of rows examined.
    pub rows: usize,
    /// How many of the first suspects are likely mislabelled: as many as there are rows that lie closer to another class and
    /// have more than half of their neighbours in that class.
    #[serde(default)]
    pub likely: usize,
    /// The rows that lie closer to another class, or whose neighbours vote for another; most suspicious first.
    pub suspects: Vec<SuspectRow>,
    pub warnings: Vec<String>,
    /// Omitted with `--no-timing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
}

/// The suspects among the scored rows of a data set, most suspicious first. If `k` is 0, only the silhouettes count.
///
/// # Errors
/// Values that have no distance, and errors from reading rows.
pub(crate) fn suspects_of(
    dataset: &Dataset,
    scores: &RowScores,
    k: usize,
    progress: &dyn Progress,
) -> Result<Suspects> {
    let codes = dataset.labels().codes();
    let classes: Vec<u32> = dataset.scored_members().map(|(code, _)| code).collect();
    let mut neighbours = Vec::new();
    if k > 0 {
        let found = nearest_neighbours(dataset, k, progress)?;
        for row in dataset.scored().positions() {
            let near = found.indices.row(row).into_iter().zip(found.distances.row(row));
            neighbours
                .extend(near.map(|(&near, &distance)| LabelledNeighbour { class: codes[near as usize], distance }));
        }
    }
    Ok(suspects(&Rows {
        classes: &classes,
        silhouettes: &scores.silhouette,
        nearest_other: &scores.nearest_other,
        neighbours: &neighbours,
    }))
}

/// Seconds that [`find_suspects`] will take for the comparison of all pairs of rows, on as many threads as there are now.
pub fn estimated_seconds(dataset: &Dataset) -> f64 {
    let metrics = Selection::parse(["silhouette", "knn_accuracy"]).unwrap_or_else(|_| Selection::usual());
    let estimate = Settings { distance: dataset.distance(), metrics, ..Settings::default() }.estimate(dataset);
    estimate.pair_seconds + estimate.class_distances.unwrap_or(0.0)
}

/// Finds the rows that are most likely mislabelled, by the labels of their `k` nearest neighbours and their silhouettes.
///
/// # Errors
/// Those of [`evaluate`].
pub fn find_suspects(
    dataset: &Dataset,
    precision: Option<Precision>,
    k: usize,
    names: &RowNames,
    progress: &dyn Progress,
) -> Result<SuspectList> {
    let settings = Settings {
        distance: dataset.distance(),
        precision,
        metrics: Selection::parse(["silhouette"])?,
        ..Settings::default()
    };
    let Scored { evaluation, rows: scores, .. } = evaluate(dataset, &settings, progress)?;
    let Suspects { rows: found, likely } = suspects_of(dataset, &scores, k, progress)?;
    let label = |class: u32| evaluation.classes[class as usize].label.clone();
    let codes: Vec<u32> = dataset.scored_members().map(|(code, _)| code).collect();
    let as_row = |suspect: Suspect| {
        let row = dataset.source_row(dataset.scored().position(suspect.row));
        SuspectRow {
            row,
            id: names.id(row),
            label: label(codes[suspect.row]),
            suggested: label(suspect.suggested),
            suspicion: suspect.suspicion,
            silhouette: scores.silhouette[suspect.row],
            neighbours_suggested: suspect.agreement.unwrap_or_default(),
            neighbours_own: suspect.own.unwrap_or_default(),
            text: names.text(row),
        }
    };
    Ok(SuspectList {
        envelope: Envelope::of(Kind::Suspects),
        inputs: evaluation.inputs,
        labels: LabelsDescription::of(dataset),
        excluded: evaluation.excluded,
        settings: SuspectSettings {
            distance: evaluation.settings.distance,
            precision: evaluation.settings.precision,
            neighbours: k.min(dataset.len() - 1),
        },
        rows: codes.len(),
        likely,
        suspects: found.into_iter().map(as_row).collect(),
        warnings: evaluation.warnings,
        timing: None,
    })
}
