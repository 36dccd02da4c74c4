//! Scores of some of the rows: how far they can be from those of all, and how many rows it takes.

use std::borrow::Cow;

use indexmap::IndexMap;

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::evaluation::{Scored, Settings, evaluate_with};
use crate::metrics::{Auxiliary, RowScore, Selection};
use crate::progress::Progress;
use crate::statistics::Draw;

/// A number of each row.
type OfRow = fn(&RowScore) -> Option<f64>;

/// The metrics that are means over rows, and what they are means of.
const MEANS: [(&str, OfRow); 9] = [
    ("silhouette", |score| Some(score.silhouette)),
    ("mean_a", |score| score.a),
    ("mean_b", |score| Some(score.b)),
    ("negative_share", |score| Some(f64::from(u8::from(score.silhouette < 0.0)))),
    ("soft_silhouette", |score| Some(score.soft_silhouette)),
    ("soft_silhouette_loss", |score| Some(1.0 - score.soft_silhouette)),
    ("effective_competitors", |score| Some(score.effective_competitors)),
    ("intra_mean", |score| score.a),
    ("asw_label", |score| Some(0.5 * (score.silhouette + 1.0))),
];

/// The metric whose interval decides how many rows are drawn.
const DECIDES: &str = "silhouette";

/// Rows of the first draw, and rows of each class in it.
const FIRST_ROWS: usize = 2000;
const FIRST_OF_CLASS: usize = 4;

/// How many times the rows that the last draw asks for are drawn: its variance is an estimate too.
const SPARE: f64 = 1.1;

/// 95 % interval and standard error of the mean over all rows, of each metric with a value that is a mean over rows. Only
/// which rows are scored is left to chance: the distances of each are to all rows. None with row weights.
pub(super) fn intervals(
    dataset: &Dataset,
    scores: &[RowScore],
    metrics: &IndexMap<String, Option<f64>>,
) -> (IndexMap<String, [f64; 2]>, IndexMap<String, f64>) {
    let (mut intervals, mut standard_errors) = (IndexMap::new(), IndexMap::new());
    if !dataset.scored().is_subsample() || dataset.weights().is_some() || scores.is_empty() {
        return (intervals, standard_errors);
    }
    let codes = dataset.scored_members().map(|(code, _)| code).collect();
    let draw = Draw::new(codes, dataset.labels().counts().to_vec());
    for (id, of_row) in MEANS {
        let values = || scores.iter().map(of_row);
        let over_classes = format!("{id}_macro");
        let estimates = [(id, draw.over_rows(values())), (&over_classes, draw.over_classes(values()))];
        for (name, estimate) in estimates {
            let value = metrics.get(name).copied().flatten();
            let Some(estimate) = estimate.filter(|_| value.is_some()) else { continue };
            intervals.insert(name.to_owned(), estimate.interval);
            standard_errors.insert(name.to_owned(), estimate.standard_error);
        }
    }
    (intervals, standard_errors)
}

/// Scores as many rows as it takes for half of the 95 % interval of `silhouette` to be at most `half_width`, and at
/// least 2,000 or 4 for each class. Returns the data set with the rows that were drawn. If that takes half of all rows or
/// more, all are scored, which costs no more.
///
/// # Errors
/// As [`evaluate_with`]; settings without the silhouette, and row weights, with which there is no interval.
pub fn evaluate_within<'e>(
    dataset: &Dataset<'e>,
    auxiliary: Auxiliary<'_>,
    settings: &Settings,
    half_width: f64,
    progress: &dyn Progress,
) -> Result<(Dataset<'e>, Scored)> {
    if !settings.computes(DECIDES) {
        return Err(Error::setting(
            "the interval of silhouette decides how many rows are scored",
            "add silhouette to the metrics",
        ));
    }
    // Every draw has distances to all rows: those of a source with but one order are read once for all draws.
    let precision = settings.precision.unwrap_or(dataset.embeddings().element_type().precision());
    let readable =
        if settings.needs_random_access() { dataset.in_any_order(precision)? } else { Cow::Borrowed(dataset) };
    let dataset = &*readable;
    let trial = Settings {
        metrics: Selection::parse([DECIDES])?,
        batch_size: None,
        rows: false,
        matrix: false,
        terms: false,
        hash: false,
        ..settings.clone()
    };
    let mut wanted = FIRST_ROWS.max(FIRST_OF_CLASS * dataset.labels().classes());
    let mut is_trial = true;
    while wanted < dataset.len().div_ceil(2) {
        let drawn = dataset.drawn(wanted, settings.seed)?;
        let mut scored = evaluate_with(&drawn, auxiliary, if is_trial { &trial } else { settings }, progress)?;
        let Some([low, high]) = scored.evaluation.intervals.get(DECIDES) else { break };
        let needed = rows_needed(0.5 * (high - low), wanted, dataset.len(), half_width);
        if needed <= wanted && !is_trial {
            scored.evaluation.settings.within = Some(half_width);
            return Ok((drawn, scored));
        }
        if needed > wanted {
            wanted = (needed as f64 * SPARE).ceil() as usize;
        }
        is_trial = false;
    }
    let mut scored = evaluate_with(dataset, auxiliary, settings, progress)?;
    scored.evaluation.settings.within = Some(half_width);
    Ok((dataset.clone(), scored))
}

/// How many of all rows have to be drawn for a half-width, by that of a draw.
fn rows_needed(found: f64, drawn: usize, all: usize, half_width: f64) -> usize {
    if found <= half_width {
        return drawn;
    }
    // The squared error of n of N rows is proportional to 1/n - 1/N.
    let left = 1.0 / drawn as f64 - 1.0 / all as f64;
    (1.0 / (left * (half_width / found).powi(2) + 1.0 / all as f64)).ceil() as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_the_width_takes_sixteen_times_the_rows_of_a_large_set() {
        let needed = rows_needed(0.004, 1000, 1_000_000_000, 0.001);
        assert!((15_990..=16_010).contains(&needed), "{needed}");
        // Of 2,000 rows, 1/n - 1/2000 has to fall from 1/2000 to 1/32,000.
        assert_eq!(rows_needed(0.004, 1000, 2000, 0.001), 1883);
        assert_eq!(rows_needed(0.004, 1000, 2000, 0.1), 1000);
    }
}
