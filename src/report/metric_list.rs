//! The list of metrics, for `embq metrics`.

use std::fmt::Write as _;

use anstyle::Style;
use serde::Serialize;

use crate::error::Result;
use crate::metrics::{Family, METRICS, Metric, Scope};
use crate::report::json::serialise;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

#[derive(Serialize)]
struct MetricEntry {
    name: &'static str,
    title: &'static str,
    family: &'static str,
    by_class: bool,
    range: &'static str,
    higher_is_better: Option<bool>,
    cost: &'static str,
    source: &'static str,
}

impl From<&Metric> for MetricEntry {
    fn from(metric: &Metric) -> Self {
        MetricEntry {
            name: metric.id,
            title: metric.title,
            family: metric.family.name(),
            by_class: metric.scope == Scope::PerClass,
            range: metric.range,
            higher_is_better: metric.higher_is_better,
            cost: metric.cost,
            source: metric.source,
        }
    }
}

/// The list for people, in at most 80 columns: by family, two lines a metric.
pub fn table() -> String {
    let mut text = String::new();
    for family in Family::ALL {
        let _ = writeln!(text, "{BOLD}{}{BOLD:#}", family.name());
        for metric in METRICS.iter().filter(|metric| metric.family == family) {
            let better = match metric.higher_is_better {
                Some(true) => "higher is better",
                Some(false) => "lower is better",
                None => "",
            };
            let _ = writeln!(text, "  {:<24}{:<12}{better:<18}{}", metric.id, metric.range, metric.cost);
            let _ = writeln!(text, "      {DIM}{} ({}){DIM:#}", metric.title, metric.source);
        }
    }
    text.push_str("\nMetrics given by class also have a mean over classes, NAME_macro.\n");
    text.push_str("--metrics takes these names and those of the families. docs/metrics.md has the\nformulas.\n");
    text
}

/// The list as JSON.
///
/// # Errors
/// None that the list can cause.
pub fn json() -> Result<String> {
    let entries: Vec<MetricEntry> = METRICS.iter().map(MetricEntry::from).collect();
    serialise(&entries)
}
