//! The list of metrics, for `embq metrics`.

use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use crate::error::Result;
use crate::metrics::{Family, METRICS, Metric, Scope};
use crate::report::json::serialise;

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

/// The list as a table of at most 80 columns, with a line for each metric of what it is and where it comes from.
pub fn table() -> String {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(80);
    table.set_header(["name", "better", "range", "cost", "what it is (source)"]);
    for metric in METRICS {
        let better = match metric.higher_is_better {
            Some(true) => "higher",
            Some(false) => "lower",
            None => "",
        };
        let what = format!("{} ({})", metric.title, metric.source);
        table.add_row([metric.id, better, metric.range, metric.cost, &what]);
    }
    let mut text: String = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    text.push_str("\nMetrics given by class also have a mean over classes, NAME_macro.\nFamilies for --metrics: ");
    let families: Vec<&str> = Family::ALL.iter().map(|family| family.name()).collect();
    text.push_str(&families.join(", "));
    text.push_str(".\n");
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
