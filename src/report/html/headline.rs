//! The headline metrics and what they mean.

use indexmap::IndexMap;
use maud::{Markup, html};

use super::scale::px;
use crate::report::numbers::{percent, short};
use embq_core::evaluation::Evaluation;

/// A headline number.
pub(super) struct Card {
    pub(super) title: &'static str,
    pub(super) metric: &'static str,
    /// What it means, in one sentence.
    pub(super) meaning: &'static str,
    /// A bar, for a number that lies between bounds.
    pub(super) bar: Option<Bar>,
    pub(super) text: fn(Option<f64>) -> String,
    /// Related numbers shown next to it.
    pub(super) beside: &'static [(&'static str, &'static str)],
}

/// The bounds of a number, and whether high values are a problem; negative ones always are.
#[derive(Clone, Copy)]
pub(super) struct Bar {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) high_is_bad: bool,
}

/// From the worst to the best value.
const SIGNED: Option<Bar> = Some(Bar { from: -1.0, to: 1.0, high_is_bad: false });

/// A share of what is wrong.
const FAULTS: Option<Bar> = Some(Bar { from: 0.0, to: 1.0, high_is_bad: true });

const CARDS: [Card; 11] = [
    Card {
        title: "Silhouette",
        metric: "silhouette",
        meaning: "How much nearer rows lie to their own class than to the nearest other one: 1 is perfect, 0 is on the \
                  border, below 0 is nearer to the other.",
        bar: SIGNED,
        text: short,
        beside: &[("mean over classes", "silhouette_macro")],
    },
    Card {
        title: "Soft silhouette",
        metric: "soft_silhouette",
        meaning: "The differentiable form, in which all other classes compete: what a training loss sees.",
        bar: SIGNED,
        text: short,
        beside: &[("mean over classes", "soft_silhouette_macro"), ("classes that compete", "effective_competitors")],
    },
    Card {
        title: "Rows nearer to another class",
        metric: "negative_share",
        meaning: "The share of rows with a negative silhouette: on average they lie closer to another class than to \
                  their own.",
        bar: FAULTS,
        text: percent,
        beside: &[("mean over classes", "negative_share_macro")],
    },
    Card {
        title: "Within classes",
        metric: "intra_mean",
        meaning: "The mean distance between two rows of one class: how compact classes are.",
        bar: None,
        text: short,
        beside: &[("mean over classes", "intra_mean_macro")],
    },
    Card {
        title: "To the nearest class",
        metric: "separation",
        meaning: "The mean distance between the rows of a class and those of the class nearest to it: how far apart \
                  classes are.",
        bar: None,
        text: short,
        beside: &[("margin over within", "margin")],
    },
    Card {
        title: "Fisher ratio",
        metric: "fisher_ratio",
        meaning: "The spread of the class means over the spread of the rows around them: higher is clearer.",
        bar: None,
        text: short,
        beside: &[],
    },
    Card {
        title: "Equal error rate",
        metric: "eer",
        meaning: "The share of pairs of two classes that are accepted where as large a share of the pairs of one class is \
                  rejected.",
        bar: FAULTS,
        text: percent,
        beside: &[("at distance", "eer_threshold"), ("area under the curve", "pair_auc")],
    },
    Card {
        title: "Effective rank",
        metric: "effective_rank",
        meaning: "Over how many directions of equal variance the rows spread.",
        bar: None,
        text: short,
        beside: &[("directions with 90 % of the variance", "components_90")],
    },
    Card {
        title: "Intrinsic dimension",
        metric: "twonn",
        meaning: "How many dimensions the rows fill, by the distances to their two nearest rows.",
        bar: None,
        text: short,
        beside: &[("by the nearest ten", "mle_dimension@10")],
    },
    Card {
        title: "Mean cosine",
        metric: "mean_cosine",
        meaning: "The mean cosine over all pairs of rows: near 1, all rows point nearly the same way.",
        bar: SIGNED,
        text: short,
        beside: &[("uniformity", "uniformity")],
    },
    Card {
        title: "Duplicates",
        metric: "duplicate_share",
        meaning: "The share of rows that equal another row.",
        bar: FAULTS,
        text: percent,
        beside: &[("all but parallel to another", "near_duplicate_share")],
    },
];

pub(super) fn cards(evaluation: &Evaluation) -> Markup {
    draw(&CARDS, &evaluation.metrics, &evaluation.intervals, |_| None)
}

/// The cards of the numbers that there are; `remark` is a line below a number.
pub(super) fn draw(
    cards: &[Card],
    metrics: &IndexMap<String, Option<f64>>,
    intervals: &IndexMap<String, [f64; 2]>,
    remark: impl Fn(&str) -> Option<String>,
) -> Markup {
    html! {
        div class="cards" {
            @for card in cards {
                @if let Some(&number) = metrics.get(card.metric) {
                    div class="card" {
                        h3 { (card.title) }
                        p class="number" { (typeset(&(card.text)(number))) }
                        @if let Some(interval) = intervals.get(card.metric) {
                            p class="interval" {
                                "95 % interval " (typeset(&(card.text)(Some(interval[0])))) " to "
                                (typeset(&(card.text)(Some(interval[1]))))
                            }
                        }
                        @if let Some(remark) = remark(card.metric) { p class="interval" { (remark) } }
                        @if let (Some(number), Some(bounds)) = (number, card.bar) {
                            (bar(number, intervals.get(card.metric), bounds))
                        }
                        p class="meaning" { (card.meaning) }
                        @for (title, metric) in card.beside {
                            @if let Some(&number) = metrics.get(*metric) {
                                p class="beside" { (title) " " b { (typeset(&beside_text(card, metric, number))) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Numbers next to a share are shares.
fn beside_text(card: &Card, metric: &str, number: Option<f64>) -> String {
    if metric.starts_with(card.metric) { (card.text)(number) } else { short(number) }
}

/// Where the number lies between its bounds, with its interval.
fn bar(number: f64, interval: Option<&[f64; 2]>, Bar { from, to, high_is_bad }: Bar) -> Markup {
    let at = |value: f64| 200.0 * ((value - from) / (to - from)).clamp(0.0, 1.0);
    let (zero, end) = (at(0.0), at(number));
    let is_bad = number < 0.0 || high_is_bad;
    html! {
        svg class="bar" viewBox="0 0 200 8" preserveAspectRatio="none" aria-hidden="true" {
            rect class="track" x="0" y="2" width="200" height="4" {}
            rect class=(if is_bad { "value negative" } else { "value" }) x=(px(zero.min(end))) y="2"
                width=(px((end - zero).abs())) height="4" {}
            @if let Some(&[low, high]) = interval {
                rect class="spread" x=(px(at(low))) y="0" width=(px((at(high) - at(low)).max(1.0))) height="8" {}
            }
            @if from < 0.0 {
                rect class="zero" x=(px(zero - 0.5)) y="0" width="1" height="8" {}
            }
        }
    }
}

/// Typesets a number, with a minus sign as wide as a digit.
pub(super) fn typeset(number: &str) -> String {
    if number == "-" { "\u{2013}".to_owned() } else { number.replace('-', "\u{2212}") }
}
