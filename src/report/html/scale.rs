//! Maps numbers to positions in a drawing.

use maud::{Markup, html};

/// A linear scale that maps numbers from `from` to `to` to positions from `start` to `end`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scale {
    pub(super) from: f64,
    pub(super) to: f64,
    pub(super) start: f64,
    pub(super) end: f64,
}

impl Scale {
    /// A scale over the finite values that begins and ends at a tick.
    pub(super) fn over(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Self {
        let finite = values.filter(|value| value.is_finite());
        let (from, to) =
            finite.fold((f64::INFINITY, f64::NEG_INFINITY), |(from, to), value| (from.min(value), to.max(value)));
        let (from, to) = match (from <= to, from < to) {
            (true, true) => (from, to),
            // A single number is in the middle of a scale as wide as itself.
            (true, false) => (from - 0.5 * from.abs().max(1.0), to + 0.5 * to.abs().max(1.0)),
            _ => (0.0, 1.0),
        };
        let step = step(to - from, end - start);
        Scale { from: (from / step).floor() * step, to: (to / step).ceil() * step, start, end }
    }

    /// The position of a value.
    pub(super) fn at(&self, value: f64) -> f64 {
        let share = (value - self.from) / (self.to - self.from);
        self.start + share * (self.end - self.start)
    }

    /// Round numbers from one end to the other.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let step = step(self.to - self.from, self.end - self.start);
        let (first, last) = ((self.from / step).ceil() as i64, (self.to / step).floor() as i64);
        // Beyond this, neighbouring ticks are the same number.
        if last.saturating_sub(first) > 100 {
            return Vec::new();
        }
        (first..=last).map(|tick| tick as f64 * step).collect()
    }
}

/// A step of 1, 2 or 5 times a power of ten that leaves room between the ticks on a length in pixels.
fn step(span: f64, length: f64) -> f64 {
    let most = (length.abs() / 26.0).clamp(3.0, 8.0);
    let power = 10_f64.powf((span / most).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * power);
    steps.into_iter().find(|step| span / step <= most).unwrap_or(10.0 * power)
}

/// The number of a tick without rounding noise.
pub(super) fn tick_text(value: f64) -> String {
    if value != 0.0 && !(1e-3..1e6).contains(&value.abs()) {
        return format!("{value:.0e}");
    }
    let rounded = (value * 1e6).round() / 1e6;
    // The typographic minus sign is as wide as a digit.
    format!("{}", rounded + 0.0).replace('-', "\u{2212}")
}

/// A position with one decimal, since screens show nothing finer than a tenth of a pixel.
pub(super) fn px(place: f64) -> f64 {
    (place * 10.0).round() / 10.0 + 0.0
}

/// The numbers under a drawing, with a line upwards for each.
pub(super) fn axis_below(scale: &Scale, top: f64, bottom: f64) -> Markup {
    html! {
        g class="axis" {
            @for tick in scale.ticks() {
                line class=(if tick == 0.0 { "zero" } else { "grid" }) x1=(px(scale.at(tick))) x2=(px(scale.at(tick)))
                    y1=(px(top)) y2=(px(bottom)) {}
                text x=(px(scale.at(tick))) y=(px(bottom + 14.0)) text-anchor="middle" { (tick_text(tick)) }
            }
        }
    }
}

/// The numbers at the left of a drawing, with a line to the right for each.
pub(super) fn axis_left(scale: &Scale, left: f64, right: f64, text: impl Fn(f64) -> String) -> Markup {
    html! {
        g class="axis" {
            @for tick in scale.ticks() {
                line class="grid" x1=(px(left)) x2=(px(right)) y1=(px(scale.at(tick))) y2=(px(scale.at(tick))) {}
                text x=(px(left - 6.0)) y=(px(scale.at(tick) + 3.5)) text-anchor="end" { (text(tick)) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_begin_and_end_at_ticks() {
        let scale = Scale::over([-0.31, 0.74].into_iter(), 0.0, 400.0);
        let ticks: Vec<String> = scale.ticks().into_iter().map(tick_text).collect();
        assert_eq!(ticks, ["\u{2212}0.4", "\u{2212}0.2", "0", "0.2", "0.4", "0.6", "0.8"]);
        assert_eq!((px(scale.at(scale.from)), px(scale.at(scale.to))), (0.0, 400.0));
    }

    #[test]
    fn one_value_and_none_have_a_scale() {
        for values in [vec![], vec![0.0], vec![3.0, 3.0], vec![f64::NAN], vec![1e300], vec![1e-300, 2e-300]] {
            let scale = Scale::over(values.iter().copied(), 0.0, 10.0);
            assert!(scale.to > scale.from && scale.at(scale.to).is_finite(), "{values:?} {scale:?}");
            assert!(scale.ticks().len() <= 101);
        }
    }
}
