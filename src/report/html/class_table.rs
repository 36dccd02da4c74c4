//! The table of classes.

use maud::{Markup, html};

use super::headline::typeset;
use crate::report::ClassLimit;
use crate::report::numbers::{count, percent, short};
use crate::report::summary::{View, columns};
use crate::report::text::visible;
use embq_core::evaluation::{ClassEvaluation, Evaluation};
use embq_core::metrics::Metric;

/// The maximum number of classes in the table, so that the page stays readable and small.
pub(super) const LISTED: usize = 2_000;

pub(super) fn table(evaluation: &Evaluation) -> Markup {
    let view = View { classes: ClassLimit::Worst(LISTED), order: None };
    let (classes, hidden) = view.classes(evaluation);
    let columns = columns(evaluation);
    let nearest = evaluation.metrics.contains_key("separation");
    let confused = evaluation.metrics.contains_key("silhouette");
    html! {
        (search())
        div class="scroll" tabindex="0" role="region" aria-label="Classes" {
            table class="sortable" {
                thead {
                    tr {
                        th scope="col" { "Class" }
                        th scope="col" class="n" { "Rows" }
                        @for column in &columns {
                            th scope="col" class="n" aria-sort=[(column.metric == "silhouette").then_some("ascending")] {
                                (heading(column.metric))
                            }
                        }
                        @if nearest { th scope="col" { "Nearest class" } }
                        @if confused { th scope="col" { "Its rows lie closer to" } }
                    }
                }
                tbody {
                    @for class in &classes {
                        tr {
                            th scope="row" { bdi { (visible(&class.label)) } }
                            td class="n" { (count(class.count)) }
                            @for column in &columns {
                                td class=(tone(column.metric, class)) {
                                    (typeset(&(column.text)(class.value(column.metric).flatten())))
                                }
                            }
                            @if nearest {
                                td { bdi { (class.nearest_class.as_deref().map_or_else(|| "\u{2013}".to_owned(), visible)) } }
                            }
                            @if confused { td class="confused" { (confusions(class)) } }
                        }
                    }
                }
            }
        }
        @if hidden > 0 {
            p class="aside" { "The " (count(LISTED)) " classes with the lowest silhouettes; " (count(hidden)) " more are not listed." }
        }
    }
}

/// The search field above a table of classes.
pub(super) fn search() -> Markup {
    html! {
        div class="tools" hidden {
            label { "Find a class " input type="search" class="filter" autocomplete="off"; }
            span class="found" role="status" {}
        }
    }
}

/// The title of a column.
fn heading(metric: &str) -> String {
    match metric {
        "silhouette" => "Silhouette".to_owned(),
        "soft_silhouette" => "Soft".to_owned(),
        "intra_mean" => "Within".to_owned(),
        "separation" => "To nearest".to_owned(),
        "negative_share" => "Negative".to_owned(),
        other => other.replace('_', " "),
    }
}

/// Numbers below 0 stand out.
fn tone(metric: &str, class: &ClassEvaluation) -> &'static str {
    let value = class.value(metric).flatten();
    if metric.ends_with("silhouette") && value.is_some_and(|value| value < 0.0) { "n low" } else { "n" }
}

/// The classes that rows of this class lie closer to, and the shares of these rows.
fn confusions(class: &ClassEvaluation) -> Markup {
    html! {
        @for (place, confusion) in class.confused_with.iter().take(2).enumerate() {
            @if place > 0 { ", " }
            bdi { (visible(&confusion.label)) } " " span class="share" { (percent(Some(confusion.share))) }
        }
        @if class.confused_with.is_empty() { "\u{2013}" }
    }
}

/// Every computed metric with its description.
pub(super) fn all_metrics(evaluation: &Evaluation) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="All metrics" {
            table {
                thead {
                    tr {
                        th scope="col" { "Metric" } th scope="col" class="n" { "Value" }
                        @if !evaluation.intervals.is_empty() { th scope="col" class="n" { "95 % interval" } }
                        th scope="col" { "Range" } th scope="col" { "Better" } th scope="col" { "What" }
                    }
                }
                tbody {
                    @for (name, value) in &evaluation.metrics {
                        @let known = Metric::named(name);
                        tr {
                            th scope="row" { code { (name) } }
                            td class="n" { (typeset(&short(*value))) }
                            @if !evaluation.intervals.is_empty() {
                                td class="n" {
                                    @if let Some([low, high]) = evaluation.intervals.get(name) {
                                        (typeset(&short(Some(*low)))) " to " (typeset(&short(Some(*high))))
                                    }
                                }
                            }
                            td { (known.map_or("", |metric| metric.range)) }
                            td {
                                (match known.and_then(|metric| metric.higher_is_better) {
                                    Some(true) => "higher", Some(false) => "lower", None => "",
                                })
                            }
                            td { (known.map_or("", |metric| metric.title)) @if name.ends_with("_macro") { ", mean over classes" } }
                        }
                    }
                }
            }
        }
    }
}
