//! How well batches mix within labels, by the conventions of scib-metrics.

use crate::data::Labels;
use crate::error::Result;
use crate::kernels::{ClassDistanceKernel, PassOptions, RowFold};
use crate::metrics::metric::{Family, Need, Question, UP, metric};
use crate::metrics::shared::{Measures, SharedWork};
use crate::metrics::silhouette::silhouette;
use crate::metrics::validity::mean;
use crate::progress::NoProgress;

const OF_ROWS: &[Need] = &[Need::Labels, Need::Classes, Need::ClassDistances];
const OF_BATCHES: &[Need] = &[Need::Labels, Need::Classes, Need::BatchLabels];
const SCIB: &str = "scib-metrics";
const SHARE: &str = "[0, 1]";

pub(super) static FAMILY: Family = Family {
    name: "single_cell",
    question: Question::ClassesApart,
    is_default: false,
    supports_weights: false,
    metrics: &[
        metric(&FAMILY, "asw_label", "(silhouette + 1) / 2", SHARE, UP, SCIB, OF_ROWS),
        metric(&FAMILY, "asw_batch", "mixing of batches inside labels", SHARE, UP, SCIB, OF_BATCHES),
        metric(&FAMILY, "bras", "the same, against all other batches", SHARE, UP, SCIB, OF_BATCHES),
    ],
};

pub(super) fn measure(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<()> {
    measures.add("asw_label", || {
        let means = work.row_means()?;
        // Sums of distances are 0 where all of them are.
        if means.b.unwrap_or(0.0) == 0.0 && means.a.unwrap_or(0.0) == 0.0 {
            return Ok(Err("all rows coincide".to_owned()));
        }
        Ok(means
            .silhouette
            .over_rows
            .map(|silhouette| (silhouette + 1.0) / 2.0)
            .ok_or_else(|| "no row takes part".to_owned()))
    })?;
    if work.auxiliary.batches.is_none() || !(work.is_selected("asw_batch") || work.is_selected("bras")) {
        return Ok(());
    }
    let mixing = mixing(work)?;
    let of_labels = |number: fn(&Mixing) -> f64| {
        let none = || "no label has rows that lie apart in several batches".to_owned();
        Ok(mean(mixing.labels.iter().map(number)).map_err(|_| none()))
    };
    measures.add("asw_batch", || of_labels(|label| label.nearest))?;
    measures.add("bras", || of_labels(|label| label.mean_other))?;
    if mixing.collapsed > 0 {
        measures
            .warn(format!("{} labels whose rows all coincide are left out of asw_batch and bras", mixing.collapsed));
    }
    if mixing.unmixed > 0 {
        measures.warn(format!(
            "{} labels lie in a single batch, or have a batch for each row, and are left out of asw_batch and bras",
            mixing.unmixed
        ));
    }
    Ok(())
}

/// The results for all labels.
#[derive(Default)]
struct Batches {
    labels: Vec<Mixing>,
    /// The number of labels whose rows are all in one batch, or all in different batches.
    unmixed: usize,
    /// The number of labels whose rows all coincide: nothing is mixed there, whatever the value of 1 - |0|.
    collapsed: usize,
}

/// The means over the rows of a label of 1 - |s|, where s is the silhouette of the batches within the label.
struct Mixing {
    nearest: f64,
    mean_other: f64,
}

fn mixing(work: &SharedWork<'_>) -> Result<Batches> {
    let dataset = work.dataset;
    let Some(batches) = work.auxiliary.batches else { return Ok(Batches::default()) };
    let batches = Labels::from_column(batches, (0..dataset.len()).map(|row| dataset.source_row(row)))?;
    let mut members: Vec<Vec<usize>> = vec![Vec::new(); dataset.labels().classes()];
    for (row, &code) in dataset.labels().codes().iter().enumerate() {
        members[code as usize].push(row);
    }
    let mut found = Batches::default();
    work.progress.begin("batches inside labels", members.len() as u64);
    for rows in &members {
        let inside = batches.subset(rows);
        work.progress.advance(1);
        if inside.classes() == 1 || inside.classes() == rows.len() {
            found.unmixed += 1;
            continue;
        }
        let counts: Vec<f64> = inside.counts().iter().map(|&count| count as f64).collect();
        let label = dataset.subset_with_labels(rows, inside);
        let fold = BatchFold { counts: &counts };
        let precision = work.measuring.precision;
        let scores = ClassDistanceKernel::new(&label, dataset.distance(), precision, &NoProgress)?
            .pass(&fold, PassOptions::default())?
            .rows;
        if scores.iter().all(|score| score.coincides) {
            found.collapsed += 1;
            continue;
        }
        let over_rows = |score: fn(&BatchScore) -> f64| mean(scores.iter().map(|row| 1.0 - score(row).abs()));
        if let (Ok(nearest), Ok(mean_other)) = (over_rows(|row| row.nearest), over_rows(|row| row.mean_other)) {
            found.labels.push(Mixing { nearest, mean_other });
        }
    }
    work.progress.end();
    Ok(found)
}

/// The silhouette of a row among the batches of its label.
#[derive(Clone, Copy, Debug, Default)]
struct BatchScore {
    /// With b as the mean distance to the nearest other batch.
    nearest: f64,
    /// With b as the mean distance to all rows of other batches.
    mean_other: f64,
    /// Whether the distance of the row to all others is 0.
    coincides: bool,
}

struct BatchFold<'a> {
    counts: &'a [f64],
}

#[derive(Clone, Copy)]
struct BatchState {
    own: usize,
    a: f64,
    nearest: f64,
    /// The sum of distances to the rows of other batches.
    sum: f64,
}

impl RowFold for BatchFold<'_> {
    type State = BatchState;
    type Output = BatchScore;

    fn start(&self, _index: usize, own: usize) -> BatchState {
        BatchState { own, a: 0.0, nearest: f64::INFINITY, sum: 0.0 }
    }

    #[inline(always)]
    fn absorb(&self, state: &mut BatchState, first: usize, distances: &[f64]) {
        for ((class, &distance), count) in (first..).zip(distances).zip(&self.counts[first..]) {
            if class == state.own {
                state.a = distance;
            } else {
                state.nearest = state.nearest.min(distance);
                state.sum += count * distance;
            }
        }
    }

    fn finish(&self, state: BatchState) -> BatchScore {
        let count = self.counts[state.own];
        let all: f64 = self.counts.iter().sum();
        let mean_other = state.sum / (all - count);
        let score = |b: f64| if count > 1.0 { silhouette(state.a, b, state.a.max(b)) } else { 0.0 };
        BatchScore {
            nearest: score(state.nearest),
            mean_other: score(mean_other),
            coincides: state.a == 0.0 && state.sum == 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_batches_count_by_their_rows() {
        // The own batch of 2, one of 1 at distance 4, one of 3 at distance 8.
        let fold = BatchFold { counts: &[2.0, 1.0, 3.0] };
        let mut state = fold.start(0, 0);
        fold.absorb(&mut state, 0, &[2.0, 4.0]);
        fold.absorb(&mut state, 2, &[8.0]);
        let score = fold.finish(state);
        assert_eq!((score.nearest, score.mean_other, score.coincides), (0.5, 5.0 / 7.0, false));
    }
}
