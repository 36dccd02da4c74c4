//! Pairs of one class and pairs of two: their distances, and what a threshold accepts of either.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::headline::typeset;
use super::scale::{Scale, axis_below, axis_left, px, tick_text};
use crate::report::numbers::{percent, short};
use embq_core::evaluation::PairCurves;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 46.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = HEIGHT - 24.0;
const RIGHT: f64 = WIDTH - 8.0;

/// The smallest error rate that is drawn.
const SMALLEST: f64 = 1e-5;

pub(super) fn plots(curves: &PairCurves) -> Markup {
    html! {
        p {
            "Pairs of rows of one class should lie closer together than pairs of two. At distance "
            b { (typeset(&short(Some(curves.threshold)))) } " as many pairs of two classes are accepted as pairs of one are "
            "rejected: " b { (percent(Some(curves.equal_error))) } " of them."
        }
        div class="pair" { (histograms(curves)) (roc(curves)) (errors(curves)) }
    }
}

/// The distributions of distances over each other.
fn histograms(curves: &PairCurves) -> Markup {
    let most = curves.same.iter().chain(&curves.different).copied().fold(0.0, f64::max);
    let across =
        Scale { from: 0.0, to: if curves.largest > 0.0 { curves.largest } else { 1.0 }, start: LEFT, end: RIGHT };
    let up = Scale::over([0.0, most].into_iter(), BOTTOM, TOP);
    let outline = |shares: &[f64]| {
        let width = (RIGHT - LEFT) / shares.len().max(1) as f64;
        let mut path = format!("M{} {}", px(LEFT), px(BOTTOM));
        for (place, share) in shares.iter().enumerate() {
            let _ = write!(path, "V{}H{}", px(up.at(*share)), px(LEFT + width * (place as f64 + 1.0)));
        }
        let _ = write!(path, "V{}", px(BOTTOM));
        path
    };
    let threshold = px(across.at(curves.threshold));
    html! {
        figure {
            figcaption { "Pairs by distance" }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img"
                aria-label="Distributions of the distances of pairs of one class and of two" {
                (axis_left(&up, LEFT, RIGHT, |share| format!("{} %", tick_text(share * 100.0))))
                (axis_below(&across, BOTTOM, BOTTOM))
                g class="hard" { path class="outline" d=(outline(&curves.same)) {} }
                path class="outline" d=(outline(&curves.different)) {}
                line class="overall" x1=(threshold) x2=(threshold) y1=(TOP) y2=(BOTTOM) {}
            }
            p class="legend" {
                span class="key hard" {} " one class" span class="key line soft" {} " two classes; the line is where errors are equal"
            }
        }
    }
}

fn roc(curves: &PairCurves) -> Markup {
    let across = Scale { from: 0.0, to: 1.0, start: LEFT, end: RIGHT };
    let up = Scale { from: 0.0, to: 1.0, start: BOTTOM, end: TOP };
    let places = curves.rates.iter().map(|[far, tar]| (across.at(*far), up.at(*tar)));
    html! {
        figure class="hard" {
            figcaption { "True accepts by false accepts (ROC)" }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label="Share of true accepts by share of false accepts" {
                (axis_left(&up, LEFT, RIGHT, |share| format!("{} %", tick_text(share * 100.0))))
                (axis_below(&across, BOTTOM, BOTTOM))
                line class="overall" x1=(LEFT) x2=(RIGHT) y1=(BOTTOM) y2=(TOP) {}
                path class="outline" d=(line(places)) {}
            }
        }
    }
}

/// Both error rates, by orders of magnitude (DET).
fn errors(curves: &PairCurves) -> Markup {
    let visible = |[far, tar]: &[f64; 2]| Some((*far, 1.0 - tar)).filter(|(far, frr)| far.min(*frr) >= SMALLEST);
    let logs: Vec<(f64, f64)> =
        curves.rates.iter().filter_map(visible).map(|(far, frr)| (far.log10(), frr.log10())).collect();
    let lowest = logs.iter().map(|(far, frr)| far.min(*frr)).fold(-1.0, f64::min).floor();
    let across = Scale { from: lowest, to: 0.0, start: LEFT, end: RIGHT };
    let up = Scale { from: lowest, to: 0.0, start: BOTTOM, end: TOP };
    let decades = || (lowest as i32..=0).map(f64::from);
    let text = |log: f64| format!("{} %", tick_text(10f64.powf(log) * 100.0));
    html! {
        figure {
            figcaption { "False rejects by false accepts (DET)" }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label="Share of false rejects by share of false accepts" {
                g class="axis" {
                    @for log in decades() {
                        line class="grid" x1=(px(across.at(log))) x2=(px(across.at(log))) y1=(TOP) y2=(BOTTOM) {}
                        line class="grid" x1=(LEFT) x2=(RIGHT) y1=(px(up.at(log))) y2=(px(up.at(log))) {}
                        text x=(px(across.at(log))) y=(px(BOTTOM + 14.0)) text-anchor="middle" { (text(log)) }
                        text x=(px(LEFT - 6.0)) y=(px(up.at(log) + 3.5)) text-anchor="end" { (text(log)) }
                    }
                }
                line class="overall" x1=(LEFT) x2=(RIGHT) y1=(BOTTOM) y2=(TOP) {}
                @if !logs.is_empty() {
                    path class="outline" d=(line(logs.iter().map(|(far, frr)| (across.at(*far), up.at(*frr))))) {}
                }
            }
        }
    }
}

fn line(places: impl Iterator<Item = (f64, f64)>) -> String {
    let mut path = String::new();
    for (place, (x, y)) in places.enumerate() {
        let _ = write!(path, "{}{} {}", if place == 0 { "M" } else { "L" }, px(x), px(y));
    }
    path
}
