//! Candidates against their baseline: the verdicts, and how similar the spaces are.

use maud::{Markup, html};

use super::checkpoints::plotted;
use super::headline::typeset;
use super::heat_map::{Grid, ramp};
use crate::report::comparison::{interval, p_value, shown_metrics, word};
use crate::report::numbers::{count, short, signed};
use crate::report::text::visible;
use embq_core::comparison::{Comparison, Verdict};
use embq_core::similarity::Similarities;

/// Checkpoints in a heat map, from the first to the last.
const DRAWN: usize = 24;

/// Up to this many, cells have room for numbers.
const NUMBERED: usize = 7;

/// The width of one of several heat maps.
const WIDTH: f64 = 300.0;

/// Every difference that is tested.
pub(super) fn differences(comparison: &Comparison) -> Markup {
    html! {
        p {
            "A verdict is given only where chance is not enough to explain a difference."
            @if comparison.candidates.iter().all(|candidate| candidate.paired) { " Differences are paired row by row." }
            @if comparison.candidates.len() > 1 { " p-values are corrected for the number of candidates." }
        }
        div class="scroll" tabindex="0" role="region" aria-label="Differences from the baseline" {
            table class="sortable" {
                thead {
                    tr {
                        th scope="col" { "Checkpoint" } th scope="col" { "Metric" }
                        th scope="col" class="n" { "Baseline" } th scope="col" class="n" { "Candidate" }
                        th scope="col" class="n" { "Difference" } th scope="col" class="n" { "95 % interval" }
                        th scope="col" class="n" { "p" } th scope="col" { "Verdict" }
                    }
                }
                tbody {
                    @for candidate in &comparison.candidates {
                        @for (metric, difference) in shown_metrics(candidate) {
                            tr {
                                th scope="row" { bdi { (visible(&candidate.name)) } }
                                td { code { (metric) } }
                                td class="n" { (typeset(&short(difference.baseline))) }
                                td class="n" { (typeset(&short(difference.candidate))) }
                                td class="n" { (typeset(&signed(difference.delta))) }
                                td class="n" { (typeset(&interval(difference.interval))) }
                                td class="n" { (typeset(&p_value(difference))) }
                                td class=(if difference.verdict == Some(Verdict::Worse) { "low" } else { "" }) {
                                    (typeset(word(difference.verdict)))
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// What a number of similarity says, for the caption of its heat map.
fn title(name: &str) -> String {
    match name {
        "linear_cka" => "Linear CKA".to_owned(),
        "debiased_cka" => "Debiased CKA".to_owned(),
        "procrustes" => "Procrustes distance".to_owned(),
        "linear_regression_r2" => "Variance of the row that the column explains (R²)".to_owned(),
        _ => match name.split_once('@') {
            Some(("neighbour_overlap", "1")) => "Same nearest neighbour".to_owned(),
            Some(("neighbour_overlap", k)) => format!("Overlap of the {k} nearest neighbours"),
            _ => name.replace('_', " "),
        },
    }
}

/// The values of a number of similarity for spaces that have nothing in common, and for the same space.
fn ends(name: &str) -> [f64; 2] {
    if name == "procrustes" { [std::f64::consts::SQRT_2, 0.0] } else { [0.0, 1.0] }
}

/// The checkpoints against each other, one heat map for each number.
pub(super) fn similarities(names: &[&str], similarities: &Similarities) -> Markup {
    let drawn = plotted(names.len(), DRAWN);
    html! {
        p {
            "The same rows in the space of each checkpoint, without regard to labels. CKA, Procrustes distance and R² do "
            "not change with a rotation; overlaps say how many of the nearest neighbours are the same, and so whether a "
            "search would find the same rows."
        }
        div class="lines" {
            @for (name, matrix) in &similarities.matrices {
                figure class="heat" {
                    figcaption { (title(name)) }
                    (Grid {
                        names: drawn.iter().map(|&place| names[place]).collect(),
                        width: WIDTH,
                        value: |row: usize, column: usize| matrix[drawn[row]][drawn[column]],
                        shades: ends(name),
                        hint: |row: usize, column: usize, value: f64| {
                            let [row, column] = [row, column].map(|place| visible(names[drawn[place]]));
                            format!("{row} against {column}: {}", typeset(&short(Some(value))))
                        },
                        numbered: NUMBERED,
                        description: format!("{} of {} checkpoints against each other", title(name), drawn.len()),
                    }.draw())
                }
            }
        }
        (ramp("the same", "nothing in common"))
        @if drawn.len() < names.len() {
            p class="aside" { (drawn.len()) " of " (count(names.len())) " checkpoints are drawn, from the first to the last." }
        }
        @let rows = similarities.neighbour_rows;
        @if rows > 0 { p class="aside" { "Neighbours are those of " (count(rows)) " rows." } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_has_a_caption() {
        for name in embq_core::similarity::names() {
            let title = title(&name);
            assert!(title.starts_with(char::is_uppercase) && !title.contains('_'), "{title}");
        }
    }
}
