//! Classes before and after: a ring, a disc and a line between them.

use maud::{Markup, html};

use super::headline::typeset;
use super::scale::{Scale, axis_below, px};
use crate::report::numbers::signed;
use crate::report::text::{fitted, visible};

/// The maximum number of classes whose change is drawn.
pub(super) const CHANGES: usize = 40;

const WIDTH: f64 = 760.0;
const NAMES: f64 = 150.0;
const LINE: f64 = 19.0;
const TOP: f64 = 10.0;

/// A number of a class before and after.
pub(super) struct Change<'a> {
    label: &'a str,
    before: f64,
    after: f64,
    text: fn(Option<f64>) -> String,
    /// The text at the right.
    end: String,
}

impl<'a> Change<'a> {
    /// A change with its amount at the right.
    pub(super) fn new(label: &'a str, before: f64, after: f64, text: fn(Option<f64>) -> String) -> Self {
        Change { label, before, after, text, end: signed(Some(after - before)) }
    }

    /// The same with another text at the right.
    pub(super) fn ending(self, end: String) -> Self {
        Change { end, ..self }
    }

    pub(super) fn by(&self) -> f64 {
        self.after - self.before
    }
}

/// One line for each class.
pub(super) fn figure(changes: &[Change<'_>], description: &str) -> Markup {
    let values = changes.iter().flat_map(|change| [change.before, change.after]);
    let across = Scale::over(values.chain([0.0]), NAMES, WIDTH - 60.0);
    let bottom = TOP + LINE * changes.len() as f64;
    html! {
        figure class="changes" {
            svg viewBox=(format!("0 0 {WIDTH} {}", px(bottom + 22.0))) role="img" aria-label=(description) {
                (axis_below(&across, TOP - 4.0, bottom))
                @for (place, change) in changes.iter().enumerate() {
                    @let y = TOP + LINE * (place as f64 + 0.5);
                    @let text = |value: f64| typeset(&(change.text)(Some(value)));
                    g class=(if change.by() < 0.0 { "lost" } else { "gained" }) {
                        title { (visible(change.label)) ": " (text(change.before)) " to " (text(change.after)) }
                        rect class="reach" x="0" y=(px(y - LINE / 2.0)) width=(WIDTH) height=(LINE) {}
                        text class="name" x=(NAMES - 12.0) y=(px(y + 4.0)) text-anchor="end" { (fitted(change.label, 22)) }
                        line x1=(px(across.at(change.before))) x2=(px(across.at(change.after))) y1=(px(y)) y2=(px(y)) {}
                        circle class="from" cx=(px(across.at(change.before))) cy=(px(y)) r="3.5" {}
                        circle class="to" cx=(px(across.at(change.after))) cy=(px(y)) r="4.5" {}
                        text class="mean" x=(WIDTH) y=(px(y + 4.0)) text-anchor="end" { (typeset(&change.end)) }
                    }
                }
            }
        }
    }
}
