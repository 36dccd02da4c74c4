//! Checkpoints against a baseline in every form: table, JSON, Markdown, CSV.

mod csv;
mod markdown;
mod sparkline;
mod table;

use crate::report::numbers::{count, short, temperature};
use crate::report::{ClassLimit, Format, json};
use embq_core::comparison::{CandidateComparison, ClassDifference, Comparison, Difference, Verdict};
use embq_core::error::Result;

/// The comparison in a format; at most `classes` of those that gained and of those that lost are shown.
///
/// # Errors
/// A comparison that cannot be serialised.
pub fn render(comparison: &Comparison, format: Format, classes: ClassLimit) -> Result<String> {
    match format {
        Format::Table => Ok(table::render(comparison, classes)),
        Format::Json => json::serialise(comparison),
        Format::Markdown => Ok(markdown::render(comparison, classes)),
        Format::Csv => csv::render(comparison),
    }
}

/// The JSON Schema of a result of `embq compare`.
///
/// # Errors
/// As for [`render`].
pub fn schema() -> Result<String> {
    json::schema_of::<Comparison>("compare")
}

/// Rows, classes and settings in one line.
fn subtitle(comparison: &Comparison) -> String {
    let Some(candidate) = comparison.checkpoints.last().map(|checkpoint| &checkpoint.result) else {
        return String::new();
    };
    let rows: usize = candidate.classes.iter().map(|class| class.count).sum();
    let paired = comparison.candidates.iter().filter(|candidate| candidate.paired).count();
    let pairing = match paired {
        0 => "unpaired",
        all if all == comparison.candidates.len() => "paired row by row",
        _ => "partly paired",
    };
    [
        format!("{} rows", count(rows)),
        format!("{} classes", count(candidate.labels.classes)),
        candidate.settings.distance.to_string(),
        format!("temperature {}", temperature(&candidate.settings)),
        pairing.to_owned(),
    ]
    .join(" · ")
}

/// A number with its sign.
fn signed(value: Option<f64>) -> String {
    match value {
        Some(value) if value > 0.0 => format!("+{}", short(Some(value))),
        other => short(other),
    }
}

fn interval(ends: Option<[f64; 2]>) -> String {
    ends.map_or_else(|| "-".to_owned(), |[low, high]| format!("{} to {}", signed(Some(low)), signed(Some(high))))
}

/// A p-value: of several candidates the corrected one.
fn p_value(difference: &Difference) -> String {
    difference
        .adjusted_p_value
        .or(difference.p_value)
        .map_or_else(|| "-".to_owned(), |p| if p < 0.0001 { "<.0001".to_owned() } else { format!("{p:.4}") })
}

/// The mark of a verdict, in one column.
fn mark(verdict: Option<Verdict>) -> &'static str {
    match verdict {
        Some(Verdict::Better) => "▲",
        Some(Verdict::Worse) => "▼",
        Some(Verdict::NoDifferenceShown) => "=",
        None => " ",
    }
}

fn word(verdict: Option<Verdict>) -> &'static str {
    verdict.map_or("-", Verdict::name)
}

/// The metrics that are shown: those that are tested, and some beside them.
fn shown_metrics(candidate: &CandidateComparison) -> Vec<(&String, &Difference)> {
    const ALSO: [&str; 5] = ["negative_share", "effective_competitors", "fisher_ratio", "ratio", "batch_loss"];
    let shown = |name: &str, difference: &Difference| difference.interval.is_some() || ALSO.contains(&name);
    let some: Vec<_> = candidate.metrics.iter().filter(|(name, difference)| shown(name, difference)).collect();
    if some.is_empty() { candidate.metrics.iter().collect() } else { some }
}

/// For each verdict the metrics that have it, in a line.
fn verdict_lines(candidate: &CandidateComparison) -> Vec<(Verdict, String)> {
    [Verdict::Better, Verdict::Worse, Verdict::NoDifferenceShown]
        .into_iter()
        .filter_map(|verdict| {
            let of = candidate.metrics.iter().filter(|(_, difference)| difference.verdict == Some(verdict));
            let names: Vec<&str> = of.map(|(name, _)| name.as_str()).collect();
            (!names.is_empty()).then(|| (verdict, format!("{}: {}", verdict.name(), names.join(", "))))
        })
        .collect()
}

/// The headline metrics that candidates are listed by.
const HEADLINES: [&str; 2] = ["silhouette", "soft_silhouette"];

/// Classes that gained and that lost most: at most `limit` of each.
fn moved(candidate: &CandidateComparison, limit: ClassLimit) -> [(&'static str, Vec<&ClassDifference>); 2] {
    let limit = match limit {
        ClassLimit::All => usize::MAX,
        ClassLimit::Worst(limit) => limit,
    };
    [("gained most", candidate.gained(limit)), ("lost most", candidate.lost(limit))]
}
