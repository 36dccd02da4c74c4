//! Gates: expressions over the names of metrics that make a run fail.

use std::fmt;

use unicode_width::UnicodeWidthStr;

use crate::error::{Error, Result, closest};
use crate::evaluation::{Evaluation, GateOutcome};
use crate::metrics::{METRICS, Metric, USUAL_KS};

/// A comparison of a metric with a number. The gate fails when it is true.
#[derive(Clone, Debug, PartialEq)]
pub struct Gate {
    expression: String,
    metric: String,
    comparison: Comparison,
    threshold: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

impl Comparison {
    /// Longer operators first, so that `<=` is not read as `<`.
    const ALL: [(&'static str, Comparison); 6] = [
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];

    fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Comparison::Less => left < right,
            Comparison::LessOrEqual => left <= right,
            Comparison::Greater => left > right,
            Comparison::GreaterOrEqual => left >= right,
            Comparison::Equal => left == right,
            Comparison::NotEqual => left != right,
        }
    }

    /// The comparison with its sides exchanged.
    fn mirrored(self) -> Self {
        match self {
            Comparison::Less => Comparison::Greater,
            Comparison::LessOrEqual => Comparison::GreaterOrEqual,
            Comparison::Greater => Comparison::Less,
            Comparison::GreaterOrEqual => Comparison::LessOrEqual,
            same => same,
        }
    }
}

impl Gate {
    /// Reads `NAME OP NUMBER` or `NUMBER OP NAME`; a number may end in `%`.
    ///
    /// # Errors
    /// What is wrong with the expression, with a mark under the place.
    pub fn parse(expression: &str) -> Result<Self> {
        let operator = expression
            .char_indices()
            .find_map(|(at, _)| {
                let rest = &expression[at..];
                Comparison::ALL.into_iter().find(|(text, _)| rest.starts_with(text)).map(|found| (at, found))
            })
            .ok_or_else(|| {
                let name = expression.trim();
                let problem = format!("'{name}' is not a comparison");
                wrong(expression, 0..expression.len(), &problem, "write for example 'silhouette < 0.3'")
            })?;
        let (at, (text, comparison)) = operator;
        let left = Side::new(expression, 0..at);
        let right = Side::new(expression, at + text.len()..expression.len());
        let (metric, comparison, number) = match (left.number(), right.number()) {
            (None, Some(number)) => (left, comparison, number),
            (Some(number), None) => (right, comparison.mirrored(), number),
            (None, None) => {
                let problem = format!("'{}' is not a number", right.text);
                return Err(wrong(
                    expression,
                    right.range,
                    &problem,
                    "compare a metric with a number such as 0.3 or 10%",
                ));
            }
            (Some(_), Some(_)) => {
                let tip = "compare a metric with a number: embq metrics lists the names";
                return Err(wrong(expression, left.range, "there is no metric in the expression", tip));
            }
        };
        if Metric::named(metric.text).is_none() {
            let names: Vec<String> = known_names().collect();
            let tip = match closest(metric.text, names.iter().map(String::as_str)) {
                Some(name) => format!("did you mean '{name}'? embq metrics lists the names"),
                None => "embq metrics lists the names".to_owned(),
            };
            let problem = format!("unknown metric '{}'", metric.text);
            return Err(wrong(expression, metric.range, &problem, &tip));
        }
        Ok(Gate {
            expression: expression.trim().to_owned(),
            metric: metric.text.to_owned(),
            comparison,
            threshold: number,
        })
    }

    /// The name of the metric that the gate looks at.
    pub fn metric(&self) -> &str {
        &self.metric
    }

    /// Whether the gate holds for a result. An undefined metric fails it.
    pub fn check(&self, evaluation: &Evaluation) -> GateOutcome {
        let (failed, detail) = match evaluation.metrics.get(&self.metric).copied().flatten() {
            Some(value) => (self.comparison.holds(value, self.threshold), format!("{} is {value}", self.metric)),
            None => (true, format!("{} is undefined", self.metric)),
        };
        GateOutcome { expression: self.expression.clone(), failed, detail }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.expression)
    }
}

/// One side of a comparison, and where it stands.
struct Side<'e> {
    text: &'e str,
    range: std::ops::Range<usize>,
}

impl<'e> Side<'e> {
    fn new(expression: &'e str, range: std::ops::Range<usize>) -> Self {
        let whole = &expression[range.clone()];
        let text = whole.trim();
        let start = range.start + (whole.len() - whole.trim_start().len());
        Side { text, range: start..start + text.len() }
    }

    fn number(&self) -> Option<f64> {
        let (digits, divisor) = match self.text.strip_suffix('%') {
            Some(digits) => (digits.trim_end(), 100.0),
            None => (self.text, 1.0),
        };
        // `inf` and `nan` are numbers to the parser, but not to a person.
        digits.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number / divisor)
    }
}

fn known_names() -> impl Iterator<Item = String> {
    METRICS.iter().flat_map(|metric| metric.names(&USUAL_KS))
}

/// The error for a part of an expression, which is marked.
fn wrong(expression: &str, range: std::ops::Range<usize>, problem: &str, tip: &str) -> Error {
    let before = " ".repeat(expression[..range.start].width());
    let marks = "^".repeat(expression[range].width().max(1));
    Error::setting(format!("--fail-if: {problem}\n    {expression}\n    {before}{marks}"), tip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders_and_percentages_are_read() {
        let gate = Gate::parse("silhouette<0.3").unwrap();
        assert_eq!((gate.metric(), gate.comparison, gate.threshold), ("silhouette", Comparison::Less, 0.3));
        let gate = Gate::parse(" 10 % <= negative_share ").unwrap();
        assert_eq!(gate.metric(), "negative_share");
        assert_eq!((gate.comparison, gate.threshold), (Comparison::GreaterOrEqual, 0.1));
        assert_eq!(Gate::parse("margin_macro != -1e-3").unwrap().threshold, -1e-3);
    }

    #[test]
    fn mistakes_are_marked() {
        let message = |expression| {
            let error = Gate::parse(expression).unwrap_err();
            (error.to_string(), error.tip().unwrap())
        };
        let (text, tip) = message("  silhuette < 0.3");
        assert!(text.ends_with("\n      silhuette < 0.3\n      ^^^^^^^^^"), "{text}");
        assert!(tip.contains("'silhouette'"), "{tip}");
        assert!(message("silhouette").0.contains("not a comparison"));
        assert!(message("silhouette < high").0.contains("'high' is not a number"));
        assert!(message("silhouette < nan").0.contains("'nan' is not a number"));
        assert!(message("1 < 2").0.contains("no metric"));
        assert!(message("< 2").0.contains("unknown metric ''"));
    }
}
