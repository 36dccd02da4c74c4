//! The silhouette plot: the rows of each class, largest silhouette first, as bars (Rousseeuw 1987).

use std::collections::HashMap;
use std::fmt::Write as _;

use maud::{Markup, html};

use super::headline::typeset;
use super::scale::{Scale, axis_below, px};
use crate::report::numbers::{count, percent, short};
use crate::report::text::{fitted, visible, width};
use embq_core::detail::Detail;
use embq_core::evaluation::{ClassEvaluation, Evaluation, RowScores};

const WIDTH: f64 = 460.0;
const RIGHT: f64 = 46.0;
const TOP: f64 = 8.0;
const BELOW: f64 = 22.0;

/// The maximum number of classes drawn.
const DRAWN: usize = 48;

/// The smallest height of a class with a name beside it, and the space between classes.
const LEAST: f64 = 11.0;
const GAP: f64 = 3.0;

/// The space that represents omitted classes.
const CUT: f64 = 26.0;

/// One kind of silhouette of the rows.
#[derive(Clone, Copy)]
pub(super) struct Series<'a> {
    pub(super) title: &'static str,
    pub(super) metric: &'static str,
    /// The CSS class that colours it.
    pub(super) style: &'static str,
    pub(super) values: &'a [f64],
}

/// The hard and the soft silhouette, as far as selected.
pub(super) fn series<'a>(evaluation: &Evaluation, scores: &'a RowScores) -> Vec<Series<'a>> {
    let known = |series: &Series<'_>| evaluation.metrics.contains_key(series.metric);
    [
        Series { title: "Silhouette", metric: "silhouette", style: "hard", values: &scores.silhouette },
        Series { title: "Soft silhouette", metric: "soft_silhouette", style: "soft", values: &scores.soft_silhouette },
    ]
    .into_iter()
    .filter(known)
    .collect()
}

/// What adjacent plots share: the classes, worst first, and the scale.
pub(super) struct Layout<'a> {
    labels: Vec<&'a str>,
    heights: Vec<f64>,
    /// Classes between the worst and the best that are not drawn.
    hidden: usize,
    scale: Scale,
}

/// The maximum width of class names next to a drawing.
pub(super) const NAME: usize = 14;

/// The width of class names to the left of a drawing.
pub(super) fn room_for<'a>(labels: impl Iterator<Item = &'a str>) -> f64 {
    let longest = labels.map(|label| width(&fitted(label, NAME))).max().unwrap_or(0);
    12.0 + 6.4 * longest.max(2) as f64
}

impl<'a> Layout<'a> {
    /// The classes of an evaluation, and room for all values.
    pub(super) fn new(evaluation: &'a Evaluation, values: impl Iterator<Item = f64>) -> Self {
        let value = |class: &ClassEvaluation| class.silhouette.or(class.soft_silhouette).unwrap_or(f64::INFINITY);
        let mut classes: Vec<&ClassEvaluation> = evaluation.classes.iter().collect();
        classes.sort_by(|left, right| value(left).total_cmp(&value(right)));
        // The mark for omitted classes takes the space of two classes, so one or two are drawn instead.
        let hidden = Some(classes.len().saturating_sub(DRAWN)).filter(|&hidden| hidden > 2).unwrap_or(0);
        if hidden > 0 {
            classes.drain(DRAWN / 2..classes.len() - DRAWN / 2);
        }
        let counts: Vec<usize> = classes.iter().map(|class| class.count).collect();
        let labels: Vec<&str> = classes.into_iter().map(|class| class.label.as_str()).collect();
        let left = room_for(labels.iter().copied());
        let scale = Scale::over(values.chain([0.0]), left, WIDTH - RIGHT);
        Layout { labels, heights: heights(&counts), hidden, scale }
    }

    /// Each class with the top of its band, and the bottom of the last.
    fn bands(&self) -> (Vec<(&'a str, f64, f64)>, f64) {
        let mut y = TOP;
        let mut bands = Vec::new();
        for (place, (&label, &height)) in self.labels.iter().zip(&self.heights).enumerate() {
            if self.hidden > 0 && place == DRAWN / 2 {
                y += CUT;
            }
            bands.push((label, y, height));
            y += height + GAP;
        }
        (bands, y)
    }
}

/// Heights of the bands of the classes, by their shares of the rows.
fn heights(rows: &[usize]) -> Vec<f64> {
    let area = (rows.len() as f64 * 34.0).clamp(240.0, 620.0);
    let spare = (area - LEAST * rows.len() as f64).max(0.0);
    let total = rows.iter().sum::<usize>().max(1) as f64;
    rows.iter().map(|&rows| LEAST + spare * rows as f64 / total).collect()
}

/// One plot for each series, side by side.
pub(super) fn plots(detail: &Detail<'_>, series: &[Series<'_>]) -> Markup {
    let layout = Layout::new(detail.evaluation, series.iter().flat_map(|series| series.values).copied());
    html! {
        div class="pair" {
            @for series in series {
                (plot(detail.evaluation, &detail.classes, *series, series.title, series.style, &layout))
            }
        }
    }
}

/// One plot; `classes` are those of the rows of the series, and `id` is unique on the page.
pub(super) fn plot(
    evaluation: &Evaluation,
    classes: &[u32],
    series: Series<'_>,
    title: &str,
    id: &str,
    layout: &Layout<'_>,
) -> Markup {
    let mut values: HashMap<&str, Vec<f64>> = layout.labels.iter().map(|&label| (label, Vec::new())).collect();
    for (&class, &value) in classes.iter().zip(series.values) {
        if let Some(values) = values.get_mut(evaluation.classes[class as usize].label.as_str()) {
            values.push(value);
        }
    }
    for values in values.values_mut() {
        values.sort_by(|left, right| right.total_cmp(left));
    }
    let told: HashMap<&str, &ClassEvaluation> =
        evaluation.classes.iter().map(|class| (class.label.as_str(), class)).collect();
    let scale = layout.scale;
    let (bands, bottom) = layout.bands();
    let mean = evaluation.metrics.get(series.metric).copied().flatten();
    let height = bottom + BELOW;
    let gradient = format!("sign-{id}");
    let zero = (scale.at(0.0) - scale.start) / (scale.end - scale.start);
    html! {
        figure class=(series.style) {
            figcaption { (title) @if let Some(mean) = mean { ", mean " b { (typeset(&short(Some(mean)))) } } }
            svg class="silhouettes" viewBox=(format!("0 0 {WIDTH} {}", px(height))) role="img"
                aria-label=(format!("{} of every row, class by class: mean {}", series.title, short(mean))) {
                defs {
                    linearGradient id=(gradient) gradientUnits="userSpaceOnUse" x1=(px(scale.start)) x2=(px(scale.end))
                        y1="0" y2="0" {
                        stop class="below" offset=(zero) {}
                        stop class="above" offset=(zero) {}
                    }
                }
                (axis_below(&scale, TOP - 4.0, bottom))
                @for (label, y, height) in &bands {
                    @let (y, height) = (*y, *height);
                    @let told = told.get(label);
                    @let middle = px(y + height / 2.0 + 3.5);
                    @let class_mean = told.and_then(|told| told.value(series.metric).flatten());
                    g class="band" {
                        title {
                            (visible(label)) ": "
                            @if let Some(told) = told {
                                (count(told.count)) @if told.count == 1 { " row" } @else { " rows" }
                                ", mean " (typeset(&short(class_mean))) ", "
                                (percent(told.negative_share)) " nearer to another class"
                            } @else { "no rows" }
                        }
                        rect class="reach" x="0" y=(px(y)) width=(WIDTH) height=(px(height + GAP)) {}
                        path fill=(format!("url(#{gradient})")) d=(outline(&values[label], y, height, &scale)) {}
                        text class="name" x=(px(scale.start - 8.0)) y=(middle) text-anchor="end" { (fitted(label, NAME)) }
                        text class="mean" x=(WIDTH) y=(middle) text-anchor="end" { (typeset(&short(class_mean))) }
                    }
                }
                @if layout.hidden > 0 {
                    @let y = bands[DRAWN / 2].1 - CUT / 2.0 + 2.0;
                    text class="cut" x=(px((scale.start + scale.end) / 2.0)) y=(px(y)) text-anchor="middle" {
                        (count(layout.hidden)) " classes between are not drawn"
                    }
                }
                @if let Some(mean) = mean {
                    line class="overall" x1=(px(scale.at(mean))) x2=(px(scale.at(mean))) y1=(px(TOP - 4.0)) y2=(px(bottom)) {}
                }
            }
        }
    }
}

/// The outline of the sorted bars of one class. If there are more rows than lines on a screen, each step is the mean of
/// several.
fn outline(sorted: &[f64], y: f64, height: f64, scale: &Scale) -> String {
    let steps = sorted.len().min((height * 1.5).ceil() as usize).max(1);
    let mut path = format!("M{} {}", px(scale.at(0.0)), px(y));
    for step in 0..steps {
        let some = &sorted[step * sorted.len() / steps..(step + 1) * sorted.len() / steps];
        if some.is_empty() {
            continue;
        }
        let mean = some.iter().sum::<f64>() / some.len() as f64;
        let _ = write!(path, "H{}V{}", px(scale.at(mean)), px(y + height * (step + 1) as f64 / steps as f64));
    }
    let _ = write!(path, "H{}Z", px(scale.at(0.0)));
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outline_has_a_step_for_each_row_or_for_each_line() {
        let scale = Scale { from: 0.0, to: 1.0, start: 0.0, end: 100.0 };
        assert_eq!(outline(&[1.0, 0.5], 10.0, 20.0, &scale), "M0 10H100V20H50V30H0Z");
        let many: Vec<f64> = (0..10_000).map(|row| 1.0 - row as f64 / 1e4).collect();
        assert_eq!(outline(&many, 0.0, 20.0, &scale).matches('V').count(), 30);
        assert_eq!(outline(&[], 0.0, 20.0, &scale), "M0 0H0Z");
    }
}
