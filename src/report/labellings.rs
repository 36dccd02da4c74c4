//! The comparison of several labellings of one input.

use crate::report::numbers::{count, percent, short};
use embq_core::evaluation::Evaluation;
use embq_core::metrics::Metric;

/// A column of the comparison: its title, and a labelling's cell.
pub(crate) struct Column {
    pub(crate) title: &'static str,
    text: fn(&Evaluation) -> String,
    metric: Option<&'static str>,
}

impl Column {
    /// The cell of each result, and whether no other one is better.
    pub(crate) fn cells(&self, results: &[Evaluation]) -> Vec<(String, bool)> {
        let sign = self.metric.and_then(Metric::named).and_then(|metric| metric.higher_is_better);
        let sign = sign.map(|higher| if higher { 1.0 } else { -1.0 });
        let signed = |result: &Evaluation| Some(sign? * value(result, self.metric?)?);
        let best = results.iter().filter_map(signed).max_by(f64::total_cmp);
        results.iter().map(|result| ((self.text)(result), best.is_some() && signed(result) == best)).collect()
    }
}

fn value(evaluation: &Evaluation, name: &str) -> Option<f64> {
    evaluation.metrics.get(name).copied().flatten()
}

const COLUMNS: [Column; 11] = [
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
    Column { title: "Davies", text: |result| short(value(result, "davies_bouldin")), metric: Some("davies_bouldin") },
    Column {
        title: "Calinski",
        text: |result| short(value(result, "calinski_harabasz")),
        metric: Some("calinski_harabasz"),
    },
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
