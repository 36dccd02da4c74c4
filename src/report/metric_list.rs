//! The list of metrics, for `embq metrics`.

use std::fmt::Write as _;

use anstyle::Style;
use serde::Serialize;

use crate::report::json::serialise;
use embq_core::error::Result;
use embq_core::metrics::{FAMILIES, METRICS, Metric, Question, Scope};

const HEADING: Style = Style::new().bold().underline();
const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

#[derive(Serialize)]
struct MetricEntry {
    name: &'static str,
    title: &'static str,
    family: &'static str,
    /// What people ask who need its family.
    question: &'static str,
    by_class: bool,
    /// Whether there is one number for each k, under `name@k`.
    at_k: bool,
    /// Whether there is one number for each false accept rate, under `name@rate`.
    at_far: bool,
    range: &'static str,
    higher_is_better: Option<bool>,
    cost: &'static str,
    source: &'static str,
    /// What it is computed from beside the rows.
    needs: Vec<&'static str>,
    /// Whether it needs the class of each row.
    needs_labels: bool,
    /// Whether `--intervals` gives an interval of it.
    has_interval: bool,
    /// Which states of parts of the rows it follows from, by cosine or squared Euclidean distance: `moments`, or `scores`
    /// of a second pass; null where it does not merge.
    merges_from: Option<&'static str>,
    /// Whether `all` selects it.
    is_in_all: bool,
}

impl From<&Metric> for MetricEntry {
    fn from(metric: &Metric) -> Self {
        MetricEntry {
            name: metric.id,
            title: metric.title,
            family: metric.family.name,
            question: metric.family.question.text(),
            by_class: metric.scope == Scope::PerClass,
            at_k: metric.scope == Scope::AtK,
            at_far: metric.scope == Scope::AtFar,
            range: metric.range,
            higher_is_better: metric.higher_is_better,
            cost: metric.cost(),
            source: metric.source,
            needs: metric.needs.iter().map(|need| need.name()).collect(),
            needs_labels: metric.needs_labels(false),
            has_interval: metric.has_interval,
            merges_from: metric.merges_from().map(|state| state.name()),
            is_in_all: metric.is_in_all,
        }
    }
}

/// The list for people in at most 80 columns: by question and family, two lines per metric.
pub fn table() -> String {
    let mut text = String::new();
    for question in Question::ALL {
        let separator = if text.is_empty() { "" } else { "\n" };
        let _ = writeln!(text, "{separator}{HEADING}{}{HEADING:#}", question.text());
        for family in FAMILIES.iter().filter(|family| family.question == question) {
            let _ = writeln!(text, "{BOLD}{}{BOLD:#}", family.name);
            family.metrics.iter().for_each(|metric| text.push_str(&lines(metric)));
        }
    }
    text.push_str("\nPer-class metrics also have a mean over classes, NAME_macro.\n");
    text.push_str("Metrics at k have one number for each value of --k: NAME@1, NAME@5, NAME@10.\n");
    text.push_str("Metrics at far have one for each value of --far: NAME@1e-1, NAME@1e-2, and more.\n");
    text.push_str("Metrics with + merge: embq partial and embq merge compute them of parts.\n");
    text.push_str("--metrics takes names of metrics and families, usual (the silhouettes,\n");
    text.push_str("separation, and batch with --batch-size), label_free (what needs no labels) and\n");
    text.push_str("all. What takes a fit of many steps is not part of all: the linear probe,\n");
    text.push_str("few-shot accuracy, clustering.\n");
    text.push_str("docs/choosing.md says which suit which job, docs/metrics.md has the formulas.\n");
    text
}

fn lines(metric: &Metric) -> String {
    let better = match metric.higher_is_better {
        Some(true) => "higher is better",
        Some(false) => "lower is better",
        None => "",
    };
    let merges = if metric.merges_from().is_some() { " +" } else { "" };
    let name = format!("{}{}{merges}", metric.id, metric.suffix());
    format!(
        "  {name:<24}{:<12}{better:<18}{}\n      {DIM}{} ({}){DIM:#}\n",
        metric.range,
        metric.cost(),
        metric.title,
        metric.source
    )
}

/// The list as JSON.
///
/// # Errors
/// None that the list can cause.
pub fn json() -> Result<String> {
    let entries: Vec<MetricEntry> = METRICS.iter().map(MetricEntry::from).collect();
    serialise(&entries)
}
