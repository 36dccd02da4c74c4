//! The comparison of several labellings of one input.

use crate::report::numbers::{count, percent, short};
use embq_core::evaluation::Evaluation;

/// A column of the comparison: its title, and a labelling's cell.
pub(crate) struct Column {
    pub(crate) title: &'static str,
    text: fn(&Evaluation) -> String,
    metric: Option<&'static str>,
}

impl Column {
    pub(crate) fn cell(&self, evaluation: &Evaluation) -> String {
        (self.text)(evaluation)
    }
}

fn value(evaluation: &Evaluation, name: &str) -> Option<f64> {
    evaluation.metrics.get(name).copied().flatten()
}

const COLUMNS: [Column; 9] = [
    Column { title: "rows", text: |result| count(scored_rows(result)), metric: None },
    Column { title: "classes", text: |result| count(result.class_count()), metric: None },
    Column { title: "silhouette", text: |result| short(value(result, "silhouette")), metric: Some("silhouette") },
    Column {
        title: "macro",
        text: |result| short(value(result, "silhouette_macro")),
        metric: Some("silhouette_macro"),
    },
    Column { title: "soft", text: |result| short(value(result, "soft_silhouette")), metric: Some("soft_silhouette") },
    Column {
        title: "negative",
        text: |result| percent(value(result, "negative_share")),
        metric: Some("negative_share"),
    },
    Column { title: "intra", text: |result| short(value(result, "intra_mean")), metric: Some("intra_mean") },
    Column { title: "separ.", text: |result| short(value(result, "separation")), metric: Some("separation") },
    Column { title: "loss", text: |result| short(value(result, "batch_loss")), metric: Some("batch_loss") },
];

fn scored_rows(evaluation: &Evaluation) -> usize {
    evaluation.classes.iter().map(|class| class.count).sum()
}

/// The columns for which some result has a number, at most `limit` of them.
pub(crate) fn columns(results: &[Evaluation], limit: usize) -> Vec<Column> {
    let known = |column: &Column| {
        column.metric.is_none_or(|name| results.iter().any(|result| result.metrics.contains_key(name)))
    };
    COLUMNS.into_iter().filter(known).take(limit).collect()
}

/// Names that distinguish the labellings: columns if all are from one file, files otherwise.
pub(crate) fn names(results: &[Evaluation]) -> Vec<String> {
    let path = |result: &Evaluation| result.labels.as_ref().map(|labels| labels.path.clone());
    let one_file = results.iter().all(|result| Some(path(result)) == results.first().map(path));
    let name = |result: &Evaluation| match result.labels.as_ref().and_then(|labels| labels.selector.as_ref()) {
        Some(selector) if one_file => selector.clone(),
        _ => result.labels_name(),
    };
    results.iter().map(name).collect()
}
