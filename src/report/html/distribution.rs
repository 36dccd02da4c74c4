//! The distributions of the silhouettes of rows and of classes.

use std::fmt::Write as _;

use maud::{Markup, html};

use super::headline::typeset;
use super::scale::{Scale, axis_below, axis_left, px};
use super::silhouette_plot::Series;
use crate::report::numbers::{count, percent, short};
use crate::report::text::visible;
use embq_core::detail::Detail;
use embq_core::evaluation::ClassEvaluation;

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 46.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = HEIGHT - 24.0;

/// The maximum number of bars of the histogram.
const BARS: usize = 40;

/// The histogram of the first series, with the outline of the second above it.
pub(super) fn histogram(series: &[Series<'_>]) -> Markup {
    let Some(first) = series.first() else { return Markup::default() };
    let values = || series.iter().flat_map(|series| series.values).copied();
    let across = Scale::over(values(), LEFT, WIDTH - 8.0);
    // One border between bars is at 0, so that no bar contains both signs.
    let width = (across.to - across.from) / BARS as f64;
    let (below, above) = ((-across.from / width).ceil().max(0.0), (across.to / width).ceil().max(0.0));
    let start = if across.from < 0.0 { -below * width } else { across.from };
    let bars = if across.from < 0.0 { (below + above) as usize } else { BARS };
    let place = |value: f64| (((value - start) / width).floor().max(0.0) as usize).min(bars.saturating_sub(1));
    let counted = |series: &Series<'_>| {
        let mut counts = vec![0_usize; bars.max(1)];
        for &value in series.values {
            counts[place(value)] += 1;
        }
        counts
    };
    let counts: Vec<Vec<usize>> = series.iter().map(counted).collect();
    let most = counts.iter().flatten().copied().max().unwrap_or(1);
    let rows = first.values.len().max(1) as f64;
    let up = Scale::over([0.0, most as f64 / rows].into_iter(), BOTTOM, TOP);
    let at = |bar: usize| across.at(start + bar as f64 * width).clamp(LEFT, WIDTH);
    let negative = first.values.iter().filter(|value| **value < 0.0).count();
    html! {
        figure {
            figcaption {
                "Rows by silhouette" @if negative > 0 { ", " b { (count(negative)) } " below 0" }
            }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img"
                aria-label=(format!("Histogram of {} silhouettes, {} of them below 0", count(first.values.len()), count(negative))) {
                (axis_left(&up, LEFT, WIDTH - 8.0, share_text))
                (axis_below(&across, BOTTOM, BOTTOM))
                @for (bar, &rows_in) in counts[0].iter().enumerate().filter(|(_, rows)| **rows > 0) {
                    @let (from, to) = (start + bar as f64 * width, start + (bar + 1) as f64 * width);
                    rect class=(if to <= width * 1e-6 { "negative" } else { first.style }) x=(px(at(bar) + 0.5))
                        width=(px((at(bar + 1) - at(bar) - 1.0).max(0.5))) y=(px(up.at(rows_in as f64 / rows)))
                        height=(px(BOTTOM - up.at(rows_in as f64 / rows))) {
                        title {
                            (count(rows_in)) " rows from " (typeset(&short(Some(tidy(from))))) " to " (typeset(&short(Some(tidy(to)))))
                        }
                    }
                }
                @if let (Some(second), Some(counts)) = (series.get(1), counts.get(1)) {
                    path class=(format!("outline {}", second.style))
                        d=(steps(counts.iter().enumerate().map(|(bar, &n)| (at(bar), at(bar + 1), up.at(n as f64 / rows))))) {}
                }
            }
            @if series.len() > 1 {
                p class="legend" {
                    span class="key hard" {} " hard" span class="key line soft" {} " soft"
                }
            }
        }
    }
}

/// Rounds a border that should be 0 to 0.
fn tidy(border: f64) -> f64 {
    (border * 1e9).round() / 1e9
}

/// A share on an axis.
fn share_text(share: f64) -> String {
    let percent = (share * 1e4).round() / 1e2;
    format!("{percent} %")
}

fn steps(bars: impl Iterator<Item = (f64, f64, f64)>) -> String {
    let mut path = format!("M{} {}", px(LEFT), px(BOTTOM));
    for (from, to, y) in bars {
        let _ = write!(path, "H{}V{}H{}", px(from), px(y), px(to));
    }
    let _ = write!(path, "V{}", px(BOTTOM));
    path
}

/// The classes by silhouette, worst first, from left to right.
pub(super) fn classes(detail: &Detail) -> Markup {
    let mut classes: Vec<&ClassEvaluation> =
        detail.evaluation.classes.iter().filter(|class| class.silhouette.is_some()).collect();
    let value = |class: &ClassEvaluation| class.silhouette.unwrap_or(0.0);
    classes.sort_by(|left, right| value(left).total_cmp(&value(right)));
    let Some((worst, best)) = classes.first().zip(classes.last()) else { return Markup::default() };
    let soft = || classes.iter().filter_map(|class| class.soft_silhouette);
    let up = Scale::over(classes.iter().map(|class| value(class)).chain(soft()).chain([0.0]), BOTTOM, TOP);
    let room = (WIDTH - 8.0 - LEFT) / classes.len() as f64;
    let width = if room > 3.0 { (room - 1.5).min(34.0) } else { room };
    let x = |place: usize| LEFT + room * (place as f64 + 0.5);
    let negative = classes.iter().filter(|class| value(class) < 0.0).count();
    html! {
        figure {
            figcaption {
                "Classes by mean silhouette, from " b { (typeset(&short(worst.silhouette))) } " to "
                b { (typeset(&short(best.silhouette))) }
                @if negative > 0 { ", " b { (count(negative)) } " below 0" }
            }
            svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img"
                aria-label=(format!("Mean silhouettes of {} classes, from {} to {}", classes.len(),
                    short(worst.silhouette), short(best.silhouette))) {
                (axis_left(&up, LEFT, WIDTH - 8.0, super::scale::tick_text))
                @for (place, class) in classes.iter().enumerate() {
                    @let (zero, end) = (up.at(0.0), up.at(value(class)));
                    rect class=(if value(class) < 0.0 { "negative" } else { "hard" }) x=(px(x(place) - width / 2.0))
                        width=(px(width)) y=(px(zero.min(end))) height=(px((end - zero).abs().max(0.5))) {
                        title {
                            (visible(&class.label)) ": " (typeset(&short(class.silhouette))) ", "
                            (percent(class.negative_share)) " of " (count(class.count)) " rows nearer to another class"
                        }
                    }
                }
                line class="zero" x1=(LEFT) x2=(WIDTH - 8.0) y1=(px(up.at(0.0))) y2=(px(up.at(0.0))) {}
                text class="note" x=(LEFT) y=(BOTTOM + 16.0) { "worst" }
                text class="note" x=(WIDTH - 8.0) y=(BOTTOM + 16.0) text-anchor="end" { "best" }
            }
        }
    }
}
