//! The distribution of the variance over directions.

use maud::{Markup, html};

use super::scale::{Scale, axis_below, axis_left, px, tick_text};
use crate::report::numbers::{count, percent, short};
use embq_core::metrics::projection::Spectrum;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 46.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = HEIGHT - 24.0;

/// The maximum number of points of a line.
const CORNERS: usize = 300;

pub(super) fn plots(spectrum: &Spectrum) -> Markup {
    html! {
        div class="pair" { (singular_values(spectrum)) (explained(spectrum)) }
    }
}

fn line(places: impl Iterator<Item = (f64, f64)>) -> String {
    let corner =
        |(place, (x, y)): (usize, (f64, f64))| format!("{}{} {}", if place == 0 { "M" } else { "L" }, px(x), px(y));
    places.enumerate().map(corner).collect()
}

/// The indices of `values` that a line passes through.
fn corners(values: usize) -> Vec<usize> {
    let mut corners: Vec<usize> = (0..values.min(CORNERS))
        .map(|corner| corner * values.saturating_sub(1) / values.min(CORNERS).saturating_sub(1).max(1))
        .collect();
    corners.dedup();
    corners
}

fn singular_values(spectrum: &Spectrum) -> Markup {
    let values = spectrum.singular_values();
    let largest = values.first().copied().unwrap_or(0.0);
    // Smaller singular values are rounding errors.
    let logs: Vec<f64> =
        values.iter().take_while(|value| **value > 1e-7 * largest).map(|value| value.log10()).collect();
    let across = Scale { from: 0.0, to: values.len().max(2) as f64, start: LEFT, end: WIDTH - 8.0 };
    let up = Scale::over(logs.iter().copied(), BOTTOM, TOP);
    html! {
        figure class="hard" {
            figcaption { "Singular values, largest first" }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img"
                aria-label=(format!("{} singular values from {}", values.len(), short(Some(largest)))) {
                (axis_left(&up, LEFT, WIDTH - 8.0, |log| size(10_f64.powf(log))))
                (axis_below(&across, BOTTOM, BOTTOM))
                path class="outline" d=(line(corners(logs.len()).into_iter().map(|place| (across.at(place as f64 + 1.0), up.at(logs[place]))))) {}
            }
        }
    }
}

/// A singular value with about two digits, for an axis.
fn size(value: f64) -> String {
    match value {
        value if (10.0..1e4).contains(&value) => format!("{value:.0}"),
        value if (1.0..10.0).contains(&value) => format!("{value:.1}"),
        value if (0.1..1.0).contains(&value) => format!("{value:.2}"),
        value => format!("{value:.0e}"),
    }
}

fn explained(spectrum: &Spectrum) -> Markup {
    let shares = spectrum.cumulative_shares();
    let across = Scale { from: 0.0, to: shares.len().max(2) as f64, start: LEFT, end: WIDTH - 8.0 };
    let up = Scale { from: 0.0, to: 1.0, start: BOTTOM, end: TOP };
    let reached = |share: f64| shares.iter().position(|known| *known >= share).map(|place| place + 1);
    html! {
        figure class="soft" {
            figcaption {
                "Variance explained by the first directions"
                @if let (Some(half), Some(most)) = (reached(0.5), reached(0.9)) {
                    ": " b { (count(half)) } " explain half, " b { (count(most)) } " explain 90 %"
                }
            }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label="Cumulative share of the variance" {
                (axis_left(&up, LEFT, WIDTH - 8.0, |share| format!("{} %", tick_text(share * 100.0))))
                (axis_below(&across, BOTTOM, BOTTOM))
                path class="outline" d=(line(std::iter::once((LEFT, BOTTOM)).chain(corners(shares.len()).into_iter()
                    .map(|place| (across.at(place as f64 + 1.0), up.at(shares[place])))))) {}
            }
        }
    }
}

pub(super) fn sentence(spectrum: &Spectrum) -> Markup {
    html! {
        p {
            "The embeddings have " (count(spectrum.dimensions())) " dimensions; their variance is spread over the equivalent of "
            b { (short(spectrum.effective_rank())) } " directions of equal variance (effective rank), and the first explains "
            b { (percent(spectrum.cumulative_shares().first().copied())) } "."
        }
    }
}
