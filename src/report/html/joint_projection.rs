//! The rows of two sets in two dimensions, coloured by set or by class.

use std::fmt::Write as _;

use maud::{Markup, html};
use serde::Serialize;

use super::projection::{COLOURS, SIZE, axes, scales, thickness};
use super::scale::px;
use crate::report::numbers::{count, percent};
use crate::report::text::visible;
use embq_core::drift::{DriftResult, JointPoint, JointProjection};

/// Layers in which points are drawn, some of either set in turn, so that neither set hides the other.
const LAYERS: usize = 12;

/// What the script shows for the point under the pointer. Columns have equal lengths; positions are in tenths of a pixel.
#[derive(Serialize)]
struct Points {
    x: Vec<i32>,
    y: Vec<i32>,
    row: Vec<usize>,
    set: Vec<usize>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    class: Vec<usize>,
}

pub(super) fn plot(result: &DriftResult, projection: &JointProjection, names: [&str; 2]) -> Markup {
    let all = || projection.points.iter().flatten();
    let (x, y) = scales(all().map(|point| [point.x, point.y]));
    let path = |points: &mut dyn Iterator<Item = &JointPoint>| {
        let mut path = String::new();
        for point in points {
            let _ = write!(path, "M{} {}h0", px(x.at(point.x)), px(y.at(point.y)));
        }
        path
    };
    let layer = |set: usize, layer: usize| path(&mut projection.points[set].iter().skip(layer).step_by(LAYERS));
    let coloured = coloured_classes(result);
    let of_colour = |set: usize, colour: usize| {
        let is_of = |point: &&JointPoint| {
            point.class.is_some_and(|class| {
                coloured.iter().position(|&coloured| coloured == class).unwrap_or(COLOURS) == colour
            })
        };
        path(&mut projection.points[set].iter().filter(is_of))
    };
    // Classes are renumbered so that only those drawn are named.
    let mut named: Vec<usize> = all().filter_map(|point| point.class).collect();
    named.sort_unstable();
    named.dedup();
    let classes: Vec<String> = named.iter().map(|&class| visible(&result.classes[class].label)).collect();
    let hover = Points {
        x: all().map(|point| (x.at(point.x) * 10.0).round() as i32).collect(),
        y: all().map(|point| (y.at(point.y) * 10.0).round() as i32).collect(),
        row: all().map(|point| point.row).collect(),
        set: [0, 1].into_iter().flat_map(|set| vec![set; projection.points[set].len()]).collect(),
        class: all().filter_map(|point| named.binary_search(&point.class?).ok()).collect(),
    };
    let json = |value: serde_json::Result<String>| value.unwrap_or_default();
    let drawn = all().count();
    html! {
        div class="projection" {
            div class="choice" role="group" aria-label="Colour of the points" {
                @if !named.is_empty() {
                    input type="radio" name="colour" id="by-set" checked;
                    label for="by-set" { "by set" }
                    input type="radio" name="colour" id="by-class";
                    label for="by-class" { "by class" }
                }
                figure {
                    svg class="points" viewBox=(format!("0 0 {SIZE} {SIZE}")) role="img" stroke-width=(thickness(drawn))
                        data-points=(json(serde_json::to_string(&hover))) data-classes=(json(serde_json::to_string(&classes)))
                        data-sets=(json(serde_json::to_string(&names.map(visible))))
                        aria-label=(format!("{} rows of both sets on their first two principal components", count(drawn))) {
                        (axes(&x, &y, projection.shares))
                        g class="by-set" {
                            @for place in 0..LAYERS {
                                @for set in 0..2 { path class=(format!("c{set}")) d=(layer(set, place)) {} }
                            }
                        }
                        @if !named.is_empty() {
                            g class="by-class" {
                                @for (set, style) in ["before ", ""].into_iter().enumerate() {
                                    @for colour in (0..=COLOURS).rev() {
                                        @let path = of_colour(set, colour);
                                        @if !path.is_empty() { path class=(format!("{style}c{colour}")) d=(path) {} }
                                    }
                                }
                            }
                        }
                        circle class="marker" r="7" cx="-20" cy="-20" {}
                    }
                }
                ul class="legend by-set" {
                    @for (set, name) in names.into_iter().enumerate() {
                        li { span class=(format!("dot c{set}")) {} bdi { (visible(name)) } }
                    }
                }
                @if !named.is_empty() {
                    ul class="legend by-class" {
                        @for (colour, &class) in coloured.iter().enumerate() {
                            li { span class=(format!("dot c{colour}")) {} bdi { (visible(&result.classes[class].label)) } }
                        }
                        @if result.classes.len() > coloured.len() {
                            li { span class=(format!("dot c{COLOURS}")) {} (count(result.classes.len() - coloured.len())) " other classes" }
                        }
                        li { "Rows of the reference are paler." }
                    }
                }
            }
        }
        p class="aside" {
            (count(projection.points[0].len())) " rows of the reference and " (count(projection.points[1].len()))
            " current rows are drawn, on the first two principal components of both sets together, which have the same weight. "
            "Two directions hold " (percent(Some(projection.shares.iter().sum()))) " of the variance: what overlaps here may "
            "lie apart in the other " (count(projection.dimensions.saturating_sub(2))) " dimensions."
            @if result.classes.len() > coloured.len() {
                " Colours are those of the classes whose shares changed most."
            }
        }
    }
}

/// The classes with a colour: all of them in label order, or those whose shares changed most.
fn coloured_classes(result: &DriftResult) -> Vec<usize> {
    let mut coloured: Vec<usize> = (0..result.classes.len()).collect();
    if coloured.len() > COLOURS {
        let psi = |class: usize| result.classes[class].psi.unwrap_or(0.0);
        coloured.sort_by(|&left, &right| psi(right).total_cmp(&psi(left)));
        coloured.truncate(COLOURS);
    }
    coloured
}
