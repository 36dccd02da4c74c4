//! Numbers in a result: a metric, of a class or of all rows, its change, the end of an interval.

use std::fmt;

use crate::evaluation::{ClassEvaluation, Evaluation};

/// A number that a result may have.
#[derive(Clone, Debug, PartialEq)]
pub enum Quantity {
    Metric(Target),
    /// Candidate minus baseline.
    Delta(Target),
    /// The change relative to |baseline|.
    Relative(Target),
    /// An end of an interval: of a metric, or of the difference to the baseline.
    End {
        upper: bool,
        of: Target,
        difference: bool,
    },
    /// The smallest or largest value of a metric over the classes that have one.
    Extreme {
        largest: bool,
        metric: String,
    },
    /// The similarity of the space to that of the baseline.
    Similarity(String),
}

impl Quantity {
    /// The name of the underlying metric.
    pub fn metric(&self) -> &str {
        match self {
            Quantity::Metric(target)
            | Quantity::Delta(target)
            | Quantity::Relative(target)
            | Quantity::End { of: target, .. } => &target.metric,
            Quantity::Extreme { metric, .. } | Quantity::Similarity(metric) => metric,
        }
    }

    /// Whether it compares with a baseline.
    pub fn needs_baseline(&self) -> bool {
        matches!(
            self,
            Quantity::Delta(_)
                | Quantity::Relative(_)
                | Quantity::End { difference: true, .. }
                | Quantity::Similarity(_)
        )
    }

    /// Whether it is the end of an interval of a class.
    pub fn is_of_interval_of_class(&self) -> bool {
        matches!(self, Quantity::End { of: Target { class: Some(_), .. }, .. })
    }

    /// Whether it is the end of an interval.
    pub fn needs_intervals(&self) -> bool {
        matches!(self, Quantity::End { .. })
    }
}

/// A metric of the whole input, or of a class.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub class: Option<String>,
    pub metric: String,
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.class {
            Some(class) => write!(formatter, "class({class:?}).{}", self.metric),
            None => formatter.write_str(&self.metric),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Quantity::Metric(target) => write!(formatter, "{target}"),
            Quantity::Delta(target) => write!(formatter, "delta({target})"),
            Quantity::Relative(target) => write!(formatter, "relative({target})"),
            Quantity::End { upper, of, difference } => {
                let end = if *upper { "upper" } else { "lower" };
                if *difference { write!(formatter, "{end}(delta({of}))") } else { write!(formatter, "{end}({of})") }
            }
            Quantity::Extreme { largest, metric } => {
                write!(formatter, "{}({metric})", if *largest { "max_class" } else { "min_class" })
            }
            Quantity::Similarity(name) => write!(formatter, "similarity({name})"),
        }
    }
}

/// A result that has quantities.
pub trait Subject {
    /// The value of a quantity; `None` if it is undefined.
    fn number(&self, quantity: &Quantity) -> Option<f64>;

    /// The labels of the classes.
    fn classes(&self) -> Vec<&str>;
}

impl Evaluation {
    /// The class with a label.
    pub fn class(&self, label: &str) -> Option<&ClassEvaluation> {
        self.classes.iter().find(|class| class.label == label)
    }

    fn interval(&self, target: &Target) -> Option<[f64; 2]> {
        match &target.class {
            Some(label) => self.class(label)?.uncertainty(&target.metric).map(|known| known.interval),
            None => self.intervals.get(&target.metric).copied(),
        }
    }

    /// The value of a metric of the whole input or of a class.
    pub fn target(&self, target: &Target) -> Option<f64> {
        match &target.class {
            Some(label) => self.class(label)?.value(&target.metric).flatten(),
            None => self.metrics.get(&target.metric).copied().flatten(),
        }
    }
}

impl Subject for Evaluation {
    fn number(&self, quantity: &Quantity) -> Option<f64> {
        match quantity {
            Quantity::Metric(target) => self.target(target),
            Quantity::End { upper, of, difference: false } => {
                self.interval(of).map(|[low, high]| if *upper { high } else { low })
            }
            Quantity::Extreme { largest, metric } => {
                let values = self.classes.iter().filter_map(|class| class.value(metric).flatten());
                if *largest { values.max_by(f64::total_cmp) } else { values.min_by(f64::total_cmp) }
            }
            Quantity::Delta(_)
            | Quantity::Relative(_)
            | Quantity::End { difference: true, .. }
            | Quantity::Similarity(_) => None,
        }
    }

    fn classes(&self) -> Vec<&str> {
        self.classes.iter().map(|class| class.label.as_str()).collect()
    }
}
