//! The rows in two dimensions, coloured by class or by silhouette.

use std::fmt::Write as _;

use maud::{Markup, html};
use serde::Serialize;

use super::scale::{Scale, px, tick_text};
use crate::report::numbers::{count, percent};
use crate::report::text::visible;
use embq_core::detail::Detail;
use embq_core::metrics::projection::Projection;

pub(super) const SIZE: f64 = 640.0;
const MARGIN: f64 = 30.0;

/// Number of classes with their own colour; more would be indistinguishable.
pub(super) const COLOURS: usize = 10;

/// Steps of colour by silhouette; the middle is at 0.
const SHADES: usize = 9;

/// What the script shows for the point under the pointer. Columns have equal lengths; positions are in tenths of a pixel.
#[derive(Serialize)]
struct Points {
    x: Vec<i32>,
    y: Vec<i32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    row: Vec<usize>,
    class: Vec<usize>,
    silhouette: Vec<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    id: Vec<String>,
}

pub(super) fn plot(detail: &Detail, projection: &Projection) -> Markup {
    if detail.scores.silhouette.is_empty() {
        return plain(detail, projection);
    }
    let evaluation = &detail.evaluation;
    let points = &projection.points;
    let (x, y) = scales(points.iter().map(|point| [point.x, point.y]));
    let place = |point: &embq_core::metrics::projection::Point| (px(x.at(point.x)), px(y.at(point.y)));
    let class_of = |point: &embq_core::metrics::projection::Point| detail.classes[point.row] as usize;
    let coloured = coloured_classes(detail);
    let colour_of = |class: usize| coloured.iter().position(|&coloured| coloured == class).unwrap_or(COLOURS);
    let mut by_class = vec![String::new(); COLOURS + 1];
    let mut by_silhouette = vec![String::new(); SHADES];
    for point in points {
        let (x, y) = place(point);
        let shade = shade(detail.scores.silhouette[point.row]);
        for path in [&mut by_class[colour_of(class_of(point))], &mut by_silhouette[shade]] {
            let _ = write!(path, "M{x} {y}h0");
        }
    }
    // Classes are renumbered so that only those drawn are named.
    let mut named: Vec<usize> = points.iter().map(class_of).collect();
    named.sort_unstable();
    named.dedup();
    let names: Vec<String> = named.iter().map(|&class| visible(&evaluation.classes[class].label)).collect();
    let hover = Points {
        x: points.iter().map(|point| (x.at(point.x) * 10.0).round() as i32).collect(),
        y: points.iter().map(|point| (y.at(point.y) * 10.0).round() as i32).collect(),
        row: points.iter().filter_map(|point| detail.numbers.get(point.row).copied()).collect(),
        class: points.iter().map(|point| named.binary_search(&class_of(point)).unwrap_or_default()).collect(),
        silhouette: points.iter().map(|point| round(detail.scores.silhouette[point.row])).collect(),
        id: detail.names.ids.as_ref().map_or_else(Vec::new, |_| {
            points.iter().map(|point| detail.names.id(detail.numbers[point.row]).unwrap_or_default()).collect()
        }),
    };
    let json = |value: serde_json::Result<String>| value.unwrap_or_default();
    let size = thickness(points.len());
    html! {
        div class="projection" {
            div class="choice" role="group" aria-label="Colour of the points" {
                input type="radio" name="colour" id="by-class" checked;
                label for="by-class" { "by class" }
                input type="radio" name="colour" id="by-silhouette";
                label for="by-silhouette" { "by silhouette" }
                figure {
                    svg class="points" viewBox=(format!("0 0 {SIZE} {SIZE}")) role="img" stroke-width=(size)
                        data-points=(json(serde_json::to_string(&hover))) data-classes=(json(serde_json::to_string(&names)))
                        aria-label=(format!("{} rows on the first two principal components", count(points.len()))) {
                        (axes(&x, &y, projection.shares))
                        g class="by-class" {
                            @for (colour, path) in by_class.iter().enumerate().rev().filter(|(_, path)| !path.is_empty()) {
                                path class=(format!("c{colour}")) d=(path) {}
                            }
                        }
                        g class="by-silhouette" {
                            // The worst are on top, since they are of interest.
                            @for (shade, path) in by_silhouette.iter().enumerate().rev().filter(|(_, path)| !path.is_empty()) {
                                path class=(format!("s{shade}")) d=(path) {}
                            }
                        }
                        circle class="marker" r="7" cx="-20" cy="-20" {}
                    }
                }
                ul class="legend by-class" {
                    @for (colour, &class) in coloured.iter().enumerate() {
                        li { span class=(format!("dot c{colour}")) {} bdi { (visible(&evaluation.classes[class].label)) } }
                    }
                    @if evaluation.classes.len() > coloured.len() {
                        li { span class=(format!("dot c{COLOURS}")) {} (count(evaluation.classes.len() - coloured.len())) " other classes" }
                    }
                }
                p class="legend ramp by-silhouette" {
                    (tick_text(-1.0)) " "
                    @for shade in 0..SHADES { span class=(format!("s{shade}")) {} }
                    " 1"
                }
            }
        }
        p class="aside" {
            (drawn(detail, points.len(), ", from every class in proportion to its size"))
            "Two directions hold " (percent(Some(projection.shares.iter().sum()))) " of the variance: what overlaps here may "
            "lie apart in the other " (count(evaluation.inputs.first().map_or(0, |input| input.dimensions.saturating_sub(2))))
            " dimensions."
            @if evaluation.classes.len() > coloured.len() {
                " Colours are those of the classes with the lowest silhouettes."
            }
        }
    }
}

/// Which rows are drawn, where not all are.
fn drawn(detail: &Detail, points: usize, how: &str) -> Markup {
    let all: usize = detail.evaluation.classes.iter().map(|class| class.count).sum();
    html! {
        @if detail.is_sample && points < all {
            (count(points)) " of " (count(all)) " rows are drawn, a sample that also gives the two directions. "
        } @else if !detail.is_sample && points < detail.classes.len() {
            (count(points)) " of " (count(detail.classes.len())) " rows are drawn" (how) ". "
        }
    }
}

/// The points alone, where rows have no silhouettes to colour them by.
fn plain(detail: &Detail, projection: &Projection) -> Markup {
    let points = &projection.points;
    let (x, y) = scales(points.iter().map(|point| [point.x, point.y]));
    let path: String = points.iter().map(|point| format!("M{} {}h0", px(x.at(point.x)), px(y.at(point.y)))).collect();
    let size = thickness(points.len());
    html! {
        div class="projection" {
            div class="choice" {
                figure {
                    svg class="points" viewBox=(format!("0 0 {SIZE} {SIZE}")) role="img" stroke-width=(size)
                        aria-label=(format!("{} rows on the first two principal components", count(points.len()))) {
                        (axes(&x, &y, projection.shares))
                        g { path class="c0" d=(path) {} }
                    }
                }
            }
        }
        p class="aside" {
            (drawn(detail, points.len(), ""))
            "Two directions hold " (percent(Some(projection.shares.iter().sum()))) " of the variance."
        }
    }
}

/// The grid and the titles of the axes.
pub(super) fn axes(x: &Scale, y: &Scale, shares: [f64; 2]) -> Markup {
    let [first, second] = shares.map(|share| percent(Some(share)));
    html! {
        g class="axis" {
            @for tick in x.ticks() { line class="grid" x1=(px(x.at(tick))) x2=(px(x.at(tick))) y1="8" y2=(SIZE - MARGIN) {} }
            @for tick in y.ticks() { line class="grid" y1=(px(y.at(tick))) y2=(px(y.at(tick))) x1=(MARGIN) x2=(SIZE - 8.0) {} }
            text x=(SIZE - 8.0) y=(SIZE - 10.0) text-anchor="end" { "first component, " (first) " of the variance" }
            text x="14" y="8" text-anchor="end" transform="rotate(-90 14 8)" { "second component, " (second) }
        }
    }
}

/// Both axes have the same scale; the drawing is centred.
pub(super) fn scales(points: impl Iterator<Item = [f64; 2]> + Clone) -> (Scale, Scale) {
    let bounds = |axis: usize| {
        let fold = |(low, high): (f64, f64), point: [f64; 2]| (low.min(point[axis]), high.max(point[axis]));
        points.clone().fold((f64::INFINITY, f64::NEG_INFINITY), fold)
    };
    let ((left, right), (low, high)) = (bounds(0), bounds(1));
    let span = (right - left).max(high - low);
    let half = if span > 0.0 && span.is_finite() { 0.52 * span } else { 1.0 };
    let middle = |low: f64, high: f64| if low <= high { low + (high - low) / 2.0 } else { 0.0 };
    let scale = |middle: f64, start, end| Scale { from: middle - half, to: middle + half, start, end };
    (scale(middle(left, right), MARGIN, SIZE - 8.0), scale(middle(low, high), SIZE - MARGIN, 8.0))
}

/// The thickness of so many points.
pub(super) fn thickness(points: usize) -> f64 {
    if points > 1_500 { 3.6 } else { 5.0 }
}

/// The classes with a colour: all of them in label order, or those with the lowest silhouettes.
fn coloured_classes(detail: &Detail) -> Vec<usize> {
    let classes = &detail.evaluation.classes;
    let mut coloured: Vec<usize> = (0..classes.len()).collect();
    if coloured.len() > COLOURS {
        let value = |class: usize| (classes[class].count < 5, classes[class].silhouette.unwrap_or(f64::INFINITY));
        coloured.sort_by(|&left, &right| {
            let (left, right) = (value(left), value(right));
            left.0.cmp(&right.0).then(left.1.total_cmp(&right.1))
        });
        coloured.truncate(COLOURS);
    }
    coloured
}

fn shade(silhouette: f64) -> usize {
    (((silhouette + 1.0) / 2.0 * SHADES as f64).floor().max(0.0) as usize).min(SHADES - 1)
}

/// Rounds to the digits a reader can see.
fn round(silhouette: f64) -> f64 {
    (silhouette * 1e3).round() / 1e3
}
