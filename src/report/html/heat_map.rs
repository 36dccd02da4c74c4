//! Heat maps: of the distances between classes, next to the pairs that are confused most.

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

/// A heat map: rows and columns of the same names.
pub(super) struct Grid<'a, V, H> {
    pub(super) names: Vec<&'a str>,
    pub(super) width: f64,
    /// The value of a cell; `None` is drawn as an outline.
    pub(super) value: V,
    /// The values that are palest and darkest, which may be the same.
    pub(super) shades: [f64; 2],
    /// The hint of a cell.
    pub(super) hint: H,
    /// The names of columns and the numbers in cells are drawn up to this many rows.
    pub(super) numbered: usize,
    pub(super) description: String,
}

impl<V: Fn(usize, usize) -> Option<f64>, H: Fn(usize, usize, f64) -> String> Grid<'_, V, H> {
    pub(super) fn draw(&self) -> Markup {
        let Grid { names, width, value, shades: [pale, dark], hint, numbered, description } = self;
        let count = names.len();
        let left = room_for(names.iter().copied());
        let cell = (width - left) / count.max(1) as f64;
        let shade = |value: f64| {
            let share = if pale == dark { 0.0 } else { (value - pale) / (dark - pale) };
            ((share * SHADES as f64).max(0.0) as usize).min(SHADES - 1)
        };
        let bottom = TOP + cell * count as f64;
        let is_numbered = count <= *numbered;
        let names_below = if is_numbered { 62.0 } else { 6.0 };
        let size = (cell * 0.8).clamp(5.0, 11.0);
        html! {
            svg viewBox=(format!("0 0 {width} {}", px(bottom + names_below))) role="img" aria-label=(description) {
                @for row in 0..count {
                    text class="name" x=(px(left - 6.0)) y=(px(TOP + cell * (row as f64 + 0.5) + size * 0.35)) text-anchor="end"
                        font-size=(px(size)) { (fitted(names[row], NAME)) }
                    @for column in 0..count {
                        @let (x, y) = (left + cell * column as f64, TOP + cell * row as f64);
                        @match value(row, column) {
                            Some(value) => {
                                rect class=(format!("q{}", shade(value))) x=(px(x)) y=(px(y)) width=(px(cell)) height=(px(cell)) {
                                    title { (hint(row, column, value)) }
                                }
                                @if is_numbered {
                                    text class=(if shade(value) * 2 > SHADES { "cell on-dark" } else { "cell" })
                                        x=(px(x + cell / 2.0)) y=(px(y + cell / 2.0 + 3.0)) text-anchor="middle" {
                                        (in_a_cell(value, pale.max(*dark)))
                                    }
                                }
                            }
                            None => { rect class="unknown" x=(px(x)) y=(px(y)) width=(px(cell)) height=(px(cell)) {} }
                        }
                    }
                }
                @if is_numbered {
                    @for column in 0..count {
                        @let (x, y) = (left + cell * (column as f64 + 0.5), bottom + 12.0);
                        @if names[column].chars().count() <= 4 {
                            text class="name" x=(px(x)) y=(px(y + 2.0)) text-anchor="middle" { (fitted(names[column], 4)) }
                        } @else {
                            text class="name" x=(px(x + 3.0)) y=(px(y)) text-anchor="end"
                                transform=(format!("rotate(-40 {} {})", px(x + 3.0), px(y))) { (fitted(names[column], 12)) }
                        }
                    }
                }
            }
        }
    }
}

/// The shades from dark to pale, between what they mean.
pub(super) fn ramp(dark: &str, pale: &str) -> Markup {
    html! {
        p class="legend ramp" {
            (dark) " "
            @for shade in (0..SHADES).rev() { span class=(format!("q{shade}")) {} }
            " " (pale)
        }
    }
}

pub(super) fn map(detail: &Detail, map: &ClassMap) -> Markup {
    let evaluation = &detail.evaluation;
    let names: Vec<&str> = map.classes.iter().map(|&class| evaluation.classes[class].label.as_str()).collect();
    let classes = names.len();
    let known = || map.distances.iter().flatten().copied();
    let (near, far) = (known().fold(f64::INFINITY, f64::min), known().fold(f64::NEG_INFINITY, f64::max));
    let label = |place: usize| visible(&evaluation.classes[map.classes[place]].label);
    let grid = Grid {
        names,
        width: WIDTH,
        value: |row, column| map.distances[[row, column]],
        shades: [far, near],
        hint: |row: usize, column: usize, distance: f64| {
            let pair = if row == column {
                format!("within {}", label(row))
            } else {
                format!("{} and {}", label(row), label(column))
            };
            format!("{pair}: {}", typeset(&short(Some(distance))))
        },
        numbered: NUMBERED,
        description: format!(
            "Mean distances between {classes} classes, from {} to {}",
            short(Some(near)),
            short(Some(far))
        ),
    };
    html! {
        figure class="heat" {
            figcaption { "Mean distance between classes" }
            (grid.draw())
            (ramp(&format!("near {}", typeset(&short(Some(near)))), &format!("{} far", typeset(&short(Some(far))))))
            @if classes < evaluation.classes.len() {
                p class="aside" { "The " (classes) " of " (count(evaluation.classes.len())) " classes whose rows are confused most." }
            }
        }
    }
}

/// A number in a few characters, with the decimals that suit the largest one.
fn in_a_cell(value: f64, largest: f64) -> String {
    let text = match largest {
        largest if largest >= 100.0 => format!("{value:.0}"),
        largest if largest >= 10.0 => format!("{value:.1}"),
        largest if largest >= 1e-2 => format!("{value:.2}"),
        _ => return short(Some(value)),
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
