//! The growing table of `embq watch`: a line for each checkpoint.

use anstyle::{AnsiColor, Style};

use crate::report::comparison::sparkline;
use crate::report::numbers::{short, signed};
use crate::report::terminal::DIM;
use crate::report::text::fitted_path;
use embq_core::comparison::{Difference, Verdict};

/// Columns of the names.
const NAME: usize = 22;

/// The number of values of the course.
const COURSE: usize = 20;

/// A checkpoint among those before it.
pub(crate) struct Line<'a> {
    pub name: &'a str,
    pub value: Option<f64>,
    /// To the best checkpoint before it.
    pub difference: Option<&'a Difference>,
    pub baseline: Option<&'a str>,
    pub is_best: bool,
    /// The values of all checkpoints so far.
    pub values: &'a [Option<f64>],
}

/// The titles of the columns.
pub(crate) fn heading(metric: &str) -> String {
    format!("{DIM}{:<NAME$}  {metric:>12}  {:>9}  {:<COURSE$}  verdict{DIM:#}\n", "checkpoint", "change", "course")
}

pub(crate) fn line(line: &Line<'_>) -> String {
    let name = fitted_path(line.name, NAME);
    let star = if line.is_best { "*" } else { " " };
    let value = format!("{}{star}", short(line.value));
    let change = line.difference.map_or_else(|| "-".to_owned(), |difference| signed(difference.delta));
    let course = sparkline(line.values, COURSE);
    let verdict = match (line.difference.map(|difference| difference.verdict), line.baseline) {
        (Some(verdict), Some(baseline)) => {
            let baseline = fitted_path(baseline, NAME);
            let (style, words) = match verdict {
                Some(Verdict::Better) => (colour(AnsiColor::Green), format!("better than {baseline}")),
                Some(Verdict::Worse) => (colour(AnsiColor::Red), format!("worse than {baseline}")),
                Some(Verdict::NoDifferenceShown) | None => (Style::new(), format!("no difference to {baseline} shown")),
            };
            format!("{style}{words}{style:#}")
        }
        _ => "the first".to_owned(),
    };
    format!("{name:<NAME$}  {value:>12}  {change:>9}  {course:<COURSE$}  {verdict}\n")
}

fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(colour.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_say_what_changed_since_the_best() {
        let first = line(&Line {
            name: "step-1.npy",
            value: Some(0.25),
            difference: None,
            baseline: None,
            is_best: true,
            values: &[Some(0.25)],
        });
        assert_eq!(
            first.trim_end(),
            "step-1.npy                   0.2500*          -  ▄                     the first"
        );
        let difference = Difference { delta: Some(0.01), verdict: Some(Verdict::Better), ..Default::default() };
        let next = line(&Line {
            name: "step-2.npy",
            value: Some(0.26),
            difference: Some(&difference),
            baseline: Some("step-1.npy"),
            is_best: true,
            values: &[Some(0.25), Some(0.26)],
        });
        assert!(next.contains("0.2600*    +0.0100  ▁█ "), "{next}");
        assert!(next.contains("better than step-1.npy"), "{next}");
    }
}
