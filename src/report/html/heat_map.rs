//! The distances between classes as a heat map, and the pairs that are confused most.

use maud::{Markup, html};

use super::headline::typeset;
use super::scale::px;
use super::silhouette_plot::{NAME, room_for};
use crate::report::numbers::{count, percent, short};
use crate::report::text::{fitted, visible};
use embq_core::detail::{ClassMap, ConfusedPair, Detail};
use embq_core::evaluation::Evaluation;

const WIDTH: f64 = 460.0;
const TOP: f64 = 4.0;

/// Number of colour steps.
const SHADES: usize = 12;

/// The maximum number of classes for which cells have room for numbers.
const NUMBERED: usize = 12;

pub(super) fn map(detail: &Detail, map: &ClassMap) -> Markup {
    let evaluation = &detail.evaluation;
    let classes = map.classes.len();
    let left = room_for(map.classes.iter().map(|&class| evaluation.classes[class].label.as_str()));
    let cell = (WIDTH - left) / classes.max(1) as f64;
    let known = || map.distances.iter().flatten().copied();
    let (near, far) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    let shade = |distance: f64| {
        let closeness = if far > near { (far - distance) / (far - near) } else { 0.0 };
        ((closeness * SHADES as f64) as usize).min(SHADES - 1)
    };
    let label = |place: usize| evaluation.classes[map.classes[place]].label.as_str();
    let bottom = TOP + cell * classes as f64;
    let names_below = if classes <= NUMBERED { 62.0 } else { 6.0 };
    let size = (cell * 0.8).clamp(5.0, 11.0);
    html! {
        figure class="heat" {
            figcaption { "Mean distance between classes" }
            svg viewBox=(format!("0 0 {WIDTH} {}", px(bottom + names_below))) role="img"
                aria-label=(format!("Mean distances between {classes} classes, from {} to {}", short(Some(near)), short(Some(far)))) {
                @for row in 0..classes {
                    text class="name" x=(px(left - 6.0)) y=(px(TOP + cell * (row as f64 + 0.5) + size * 0.35)) text-anchor="end"
                        font-size=(px(size)) { (fitted(label(row), NAME)) }
                    @for column in 0..classes {
                        @let (x, y) = (left + cell * column as f64, TOP + cell * row as f64);
                        @match map.distances[[row, column]] {
                            Some(distance) => {
                                rect class=(format!("q{}", shade(distance))) x=(px(x)) y=(px(y)) width=(px(cell)) height=(px(cell)) {
                                    title {
                                        @if row == column { "within " (visible(label(row))) }
                                        @else { (visible(label(row))) " and " (visible(label(column))) }
                                        ": " (typeset(&short(Some(distance))))
                                    }
                                }
                                @if classes <= NUMBERED {
                                    text class=(if shade(distance) * 2 > SHADES { "cell on-dark" } else { "cell" })
                                        x=(px(x + cell / 2.0)) y=(px(y + cell / 2.0 + 3.0)) text-anchor="middle" {
                                        (in_a_cell(distance, far))
                                    }
                                }
                            }
                            None => { rect class="unknown" x=(px(x)) y=(px(y)) width=(px(cell)) height=(px(cell)) {} }
                        }
                    }
                }
                @if classes <= NUMBERED {
                    @for column in 0..classes {
                        @let (x, y) = (left + cell * (column as f64 + 0.5), bottom + 12.0);
                        @if label(column).chars().count() <= 4 {
                            text class="name" x=(px(x)) y=(px(y + 2.0)) text-anchor="middle" { (fitted(label(column), 4)) }
                        } @else {
                            text class="name" x=(px(x + 3.0)) y=(px(y)) text-anchor="end"
                                transform=(format!("rotate(-40 {} {})", px(x + 3.0), px(y))) { (fitted(label(column), 12)) }
                        }
                    }
                }
            }
            p class="legend ramp" {
                "near " (typeset(&short(Some(near)))) " "
                @for shade in (0..SHADES).rev() { span class=(format!("q{shade}")) {} }
                " " (typeset(&short(Some(far)))) " far"
            }
            @if classes < evaluation.classes.len() {
                p class="aside" { "The " (classes) " of " (count(evaluation.classes.len())) " classes whose rows are confused most." }
            }
        }
    }
}

/// A distance in a few characters, with the decimals that suit the largest one.
fn in_a_cell(distance: f64, largest: f64) -> String {
    let text = match largest {
        largest if largest >= 100.0 => format!("{distance:.0}"),
        largest if largest >= 10.0 => format!("{distance:.1}"),
        largest if largest >= 1e-2 => format!("{distance:.2}"),
        _ => return short(Some(distance)),
    };
    text.strip_prefix('0').filter(|rest| rest.starts_with('.')).map_or(text.clone(), str::to_owned)
}

pub(super) fn pairs(evaluation: &Evaluation, pairs: &[ConfusedPair]) -> Markup {
    let label = |class: usize| visible(&evaluation.classes[class].label);
    html! {
        div class="pairs" {
            h3 { "Most confused pairs" }
            @if pairs.is_empty() {
                p { "No row lies closer to another class than to its own." }
            } @else {
                ol {
                    @for pair in pairs {
                        @let [first, second] = pair.classes.map(label);
                        li {
                            div class="pair-name" {
                                bdi { (first) } " and " bdi { (second) }
                                b { (percent(Some(pair.share(evaluation)))) }
                            }
                            p class="aside" {
                                @for (place, (rows, from, to)) in [(pair.rows[0], &first, &second), (pair.rows[1], &second, &first)]
                                    .into_iter().filter(|(rows, _, _)| *rows > 0).enumerate() {
                                    @if place > 0 { "; " }
                                    (count(rows)) @if rows == 1 { " row of " } @else { " rows of " } bdi { (from) }
                                    @if rows == 1 { " lies closer to " } @else { " lie closer to " } bdi { (to) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
