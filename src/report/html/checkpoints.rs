//! Several checkpoints: their metrics as lines, what changed in the classes, and their silhouettes side by side.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::class_changes::{self, CHANGES, Change};
use super::headline::typeset;
use super::scale::{Scale, axis_left, px, tick_text};
use super::silhouette_plot::{Layout, plot, series};
use crate::report::numbers::{count, percent, short};
use crate::report::text::{fitted, visible};
use embq_core::detail::Checkpoint;
use embq_core::evaluation::ClassEvaluation;

/// The metrics with a line: their titles, names, and whether they are shares.
const LINES: [(&str, &str); 8] = [
    ("Silhouette", "silhouette"),
    ("Soft silhouette", "soft_silhouette"),
    ("Rows nearer to another class", "negative_share"),
    ("Silhouette, mean over classes", "silhouette_macro"),
    ("Within classes", "intra_mean"),
    ("To the nearest class", "separation"),
    ("Margin", "margin"),
    ("Fisher ratio", "fisher_ratio"),
];

const WIDTH: f64 = 300.0;
const HEIGHT: f64 = 170.0;
const LEFT: f64 = 44.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = HEIGHT - 24.0;

/// The maximum number of silhouette plots.
const PLOTS: usize = 6;

fn value(checkpoint: &Checkpoint, metric: &str) -> Option<f64> {
    checkpoint.evaluation.metrics.get(metric).copied().flatten()
}

fn text_of(metric: &str) -> fn(Option<f64>) -> String {
    if metric == "negative_share" { percent } else { short }
}

/// One small plot for each metric.
pub(super) fn lines(checkpoints: &[Checkpoint]) -> Markup {
    let known = |metric: &str| checkpoints.iter().any(|checkpoint| value(checkpoint, metric).is_some());
    html! {
        div class="lines" {
            @for (title, metric) in LINES.into_iter().filter(|(_, metric)| known(metric)) {
                (line(checkpoints, title, metric))
            }
        }
    }
}

fn line(checkpoints: &[Checkpoint], title: &str, metric: &str) -> Markup {
    let text = text_of(metric);
    let interval = |checkpoint: &Checkpoint| checkpoint.evaluation.intervals.get(metric).copied();
    let all = || {
        let values = checkpoints.iter().filter_map(|checkpoint| value(checkpoint, metric));
        values.chain(checkpoints.iter().filter_map(interval).flatten())
    };
    let up = Scale::over(all(), BOTTOM, TOP);
    let last = checkpoints.len().saturating_sub(1).max(1) as f64;
    let x = |place: usize| LEFT + 10.0 + (WIDTH - LEFT - 24.0) * place as f64 / last;
    let points: Vec<(usize, f64)> = checkpoints
        .iter()
        .enumerate()
        .filter_map(|(place, checkpoint)| Some((place, value(checkpoint, metric)?)))
        .collect();
    let mut path = String::new();
    for (position, (place, value)) in points.iter().enumerate() {
        let _ = write!(path, "{}{} {}", if position == 0 { "M" } else { "L" }, px(x(*place)), px(up.at(*value)));
    }
    let ends = points.first().zip(points.last());
    html! {
        figure class="hard" {
            figcaption {
                (title)
                @if let Some(((_, first), (_, last))) = ends {
                    ": " b { (typeset(&text(Some(*first)))) } " to " b { (typeset(&text(Some(*last)))) }
                }
            }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img"
                aria-label=(format!("{title} of {} checkpoints", checkpoints.len())) {
                (axis_left(&up, LEFT, WIDTH - 4.0, |tick| if metric == "negative_share" { format!("{} %", tick_text(tick * 100.0)) } else { tick_text(tick) }))
                path class="interval-band" d=(band(checkpoints.iter().map(interval), &up, x)) {}
                path class="outline" d=(path) {}
                @for (place, number) in &points {
                    circle class="point" cx=(px(x(*place))) cy=(px(up.at(*number))) r="3.5" {
                        title {
                            (visible(&checkpoints[*place].name)) ": " (typeset(&text(Some(*number))))
                            @if let Some([low, high]) = interval(&checkpoints[*place]) {
                                ", 95 % interval " (typeset(&text(Some(low)))) " to " (typeset(&text(Some(high))))
                            }
                        }
                    }
                }
                @if let (Some(first), Some(last)) = (checkpoints.first(), checkpoints.last()) {
                    text class="note" x=(LEFT) y=(BOTTOM + 16.0) { (fitted(&first.name, 18)) }
                    text class="note" x=(WIDTH - 4.0) y=(BOTTOM + 16.0) text-anchor="end" { (fitted(&last.name, 18)) }
                }
            }
        }
    }
}

/// The area between the ends of the intervals; runs of checkpoints that have one.
fn band(intervals: impl Iterator<Item = Option<[f64; 2]>>, up: &Scale, x: impl Fn(usize) -> f64) -> String {
    let mut path = String::new();
    let mut run: Vec<(usize, [f64; 2])> = Vec::new();
    for (place, interval) in intervals.chain([None]).enumerate() {
        match interval {
            Some(interval) => run.push((place, interval)),
            None => {
                let there = run.iter().map(|(place, [low, _])| (*place, *low));
                let back = run.iter().rev().map(|(place, [_, high])| (*place, *high));
                for (position, (place, value)) in there.chain(back).enumerate() {
                    let _ =
                        write!(path, "{}{} {}", if position == 0 { "M" } else { "L" }, px(x(place)), px(up.at(value)));
                }
                if !run.is_empty() {
                    path.push('Z');
                }
                run.clear();
            }
        }
    }
    path
}

/// Every metric of every checkpoint.
pub(super) fn table(checkpoints: &[Checkpoint]) -> Markup {
    let Some(first) = checkpoints.first() else { return Markup::default() };
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Metrics of all checkpoints" {
            table {
                thead {
                    tr {
                        th scope="col" { "Metric" }
                        @for checkpoint in checkpoints { th scope="col" class="n" { bdi { (visible(&checkpoint.name)) } } }
                    }
                }
                tbody {
                    @for metric in first.evaluation.metrics.keys() {
                        tr {
                            th scope="row" { code { (metric) } }
                            @for checkpoint in checkpoints { td class="n" { (typeset(&short(value(checkpoint, metric)))) } }
                        }
                    }
                }
            }
        }
    }
}

fn changes<'a>(first: &'a Checkpoint, last: &Checkpoint) -> Vec<Change<'a>> {
    let find = |label: &str| last.evaluation.classes.iter().find(|class| class.label == label);
    // Labels have the same order in both, so the class is at the same index unless rows were left out.
    let same = |place: usize, class: &ClassEvaluation| {
        last.evaluation.classes.get(place).filter(|other| other.label == class.label).or_else(|| find(&class.label))
    };
    let mut changes: Vec<Change<'a>> = first
        .evaluation
        .classes
        .iter()
        .enumerate()
        .filter_map(|(place, class)| {
            Some(Change::new(&class.label, class.silhouette?, same(place, class)?.silhouette?, short))
        })
        .collect();
    changes.sort_by(|left, right| left.by().total_cmp(&right.by()));
    changes
}

/// How the mean silhouettes of classes moved from the first to the last checkpoint.
pub(super) fn class_changes(checkpoints: &[Checkpoint]) -> Markup {
    let (Some(first), Some(last)) = (checkpoints.first(), checkpoints.last()) else { return Markup::default() };
    let mut changes = changes(first, last);
    let (lost, all) = (changes.iter().filter(|change| change.by() < 0.0).count(), changes.len());
    let hidden = all.saturating_sub(CHANGES);
    if hidden > 0 {
        changes.drain(CHANGES / 2..all - CHANGES / 2);
    }
    html! {
        p {
            "Mean silhouette of each class in " b { bdi { (visible(&first.name)) } } " (ring) and in " b { bdi { (visible(&last.name)) } }
            " (disc): " b { (count(all - lost)) } " of " (count(all)) " classes gained or kept theirs, " b { (count(lost)) } " lost."
            @if hidden > 0 { " The " (CHANGES / 2) " that lost most and the " (CHANGES / 2) " that gained most are drawn." }
        }
        (class_changes::figure(&changes, &format!("Change of the mean silhouettes of {} classes", changes.len())))
    }
}

/// Which checkpoints are drawn: all, or some with the first and the last.
pub(super) fn plotted(checkpoints: usize, most: usize) -> Vec<usize> {
    let drawn = checkpoints.min(most);
    (0..drawn).map(|place| place * checkpoints.saturating_sub(1) / drawn.saturating_sub(1).max(1)).collect()
}

/// The hard silhouettes of the checkpoints, with the same classes on the same scale.
pub(super) fn silhouettes(checkpoints: &[Checkpoint]) -> Markup {
    let Some(last) = checkpoints.last() else { return Markup::default() };
    let drawn = plotted(checkpoints.len(), PLOTS);
    let hard = |checkpoint: &'_ Checkpoint| -> Vec<f64> { checkpoint.scores.silhouette.clone() };
    let layout = Layout::new(&last.evaluation, drawn.iter().flat_map(|&place| hard(&checkpoints[place])));
    html! {
        div class="lines" {
            @for &place in &drawn {
                @let checkpoint = &checkpoints[place];
                @if let Some(hard) = series(&checkpoint.evaluation, &checkpoint.scores).first() {
                    (plot(&checkpoint.evaluation, &checkpoint.classes, *hard, &visible(&checkpoint.name), &place.to_string(), &layout))
                }
            }
        }
        @if drawn.len() < checkpoints.len() {
            p class="aside" { (drawn.len()) " of " (checkpoints.len()) " checkpoints are drawn, from the first to the last." }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_and_the_last_checkpoint_are_drawn() {
        assert_eq!(plotted(2, PLOTS), [0, 1]);
        assert_eq!(plotted(6, PLOTS), [0, 1, 2, 3, 4, 5]);
        assert_eq!(plotted(11, PLOTS), [0, 2, 4, 6, 8, 10]);
        assert_eq!(plotted(1, PLOTS), [0]);
    }

    #[test]
    fn a_band_is_drawn_where_there_are_intervals() {
        let up = Scale { from: 0.0, to: 1.0, start: 0.0, end: 10.0 };
        let path = band([Some([0.1, 0.2]), Some([0.3, 0.4]), None].into_iter(), &up, |place| place as f64);
        assert_eq!(path, "M0 1L1 3L1 4L0 2Z");
    }
}
