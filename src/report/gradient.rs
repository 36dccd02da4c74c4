//! A loss and its gradient in every form: table, JSON, Markdown and CSV.

use std::fmt::Write as _;

use crate::report::csv::failed;
use crate::report::markdown::escaped;
use crate::report::numbers::{count, exact, percent, short};
use crate::report::summary::left_out_note;
use crate::report::table::{BOLD, DIM, WIDTH, aligned, wrapped};
use crate::report::text::{fitted, fitted_path, visible};
use crate::report::{ClassLimit, Format, json};
use embq_core::error::Result;
use embq_core::evaluation::InputDescription;
use embq_core::objective::{ClassGradient, GradientSummary, ObjectiveResult};

/// The result in a format; `classes` are shown, largest gradient first.
///
/// # Errors
/// A result that cannot be serialised.
pub fn render(result: &ObjectiveResult, format: Format, classes: ClassLimit) -> Result<String> {
    match format {
        Format::Table => Ok(table(result, classes)),
        Format::Json => json::serialise(result),
        Format::Markdown => Ok(markdown(result, classes)),
        Format::Csv => csv(result),
    }
}

/// The JSON Schema of a result of `embq grad`.
///
/// # Errors
/// As for [`render`].
pub fn schema() -> Result<String> {
    json::schema_of::<ObjectiveResult>("grad")
}

/// Shape, classes and settings in one line.
fn subtitle(result: &ObjectiveResult) -> String {
    let settings = &result.settings;
    let mut parts = Vec::new();
    if let Some(input) = result.inputs.first() {
        parts.push(format!("{} x {} {}", count(input.rows), count(input.dimensions), input.dtype));
    }
    parts.push(format!("{} classes", count(result.labels.classes)));
    parts.extend(settings.distance.map(|distance| distance.to_string()));
    if let Some(temperature) = settings.temperature {
        let found = if settings.temperature_auto { " (auto)" } else { "" };
        let shown = if settings.temperature_auto { short(Some(temperature)) } else { temperature.to_string() };
        parts.push(format!("temperature {shown}{found}"));
    }
    if let Some(temperature) = settings.supcon_temperature {
        parts.push(format!("supcon temperature {temperature}"));
    }
    if let Some(size) = settings.batch_size {
        parts.push(format!("batches of {}", count(size)));
    }
    parts.join(" · ")
}

/// The classes that are shown, largest gradient first, and how many are not.
fn shown_classes(result: &ObjectiveResult, limit: ClassLimit) -> (Vec<&ClassGradient>, usize) {
    let mut classes: Vec<&ClassGradient> = result.classes.iter().collect();
    classes.sort_by(|left, right| right.gradient_norm.total_cmp(&left.gradient_norm));
    let shown = match limit {
        ClassLimit::All => classes.len(),
        ClassLimit::Worst(limit) => limit.min(classes.len()),
    };
    let hidden = classes.len() - shown;
    classes.truncate(shown);
    (classes, hidden)
}

/// Every gradient but its numbers: what it is called, and its norm.
fn gradients(result: &ObjectiveResult) -> Vec<(&'static str, GradientSummary)> {
    let all =
        [("embeddings", Some(result.gradient)), ("head", result.head_gradient), ("logits", result.logits_gradient)];
    all.into_iter().filter_map(|(name, summary)| Some((name, summary?))).collect()
}

fn notes(result: &ObjectiveResult) -> Vec<String> {
    result.warnings.iter().cloned().chain(left_out_note(&result.excluded)).collect()
}

/// What the batches were, in a sentence.
fn batches(result: &ObjectiveResult) -> Option<String> {
    let batches = result.batches?;
    Some(format!(
        "{} batches, standard deviation of the loss {}, {} of the rows without a positive",
        count(batches.kept),
        short(Some(batches.standard_deviation)),
        percent(Some(batches.without_positive))
    ))
}

/// Columns of the terminal that names of classes get.
const NAMES: usize = 40;

fn table(result: &ObjectiveResult, limit: ClassLimit) -> String {
    let mut page = String::new();
    let path = result.inputs.first().map(InputDescription::name).unwrap_or_default();
    let _ = writeln!(page, "{BOLD}{}{BOLD:#}", fitted_path(&path, WIDTH));
    let _ = writeln!(page, "{DIM}{}{DIM:#}\n", fitted(&subtitle(result), WIDTH));
    let mut lines = vec![];
    for (name, part) in &result.parts {
        let numbers = [short(Some(part.loss)), short(Some(part.weight)), short(Some(part.gradient_norm))];
        lines.push([name.clone()].into_iter().chain(numbers).collect());
    }
    if result.parts.len() > 1 {
        let numbers = [short(Some(result.loss)), String::new(), short(Some(result.gradient.norm))];
        lines.push(["hybrid".to_owned()].into_iter().chain(numbers).collect());
    }
    aligned(&mut page, vec!["loss", "value", "weight", "gradient norm"], lines, 3);
    for (name, summary) in gradients(result) {
        let _ = writeln!(
            page,
            "{DIM}gradient of the {name}: norm{DIM:#} {}{DIM}, largest number{DIM:#} {}",
            short(Some(summary.norm)),
            short(Some(summary.largest))
        );
    }
    if let Some(line) = batches(result) {
        wrapped(&mut page, "", &line, anstyle::Style::new());
    }
    let (classes, hidden) = shown_classes(result, limit);
    let lines = classes.iter().map(|class| {
        let label = fitted(&class.label, NAMES);
        vec![label, count(class.count), short(Some(class.gradient_norm)), percent(class.share)]
    });
    page.push('\n');
    aligned(&mut page, vec!["class", "rows", "gradient norm", "share"], lines.collect(), 3);
    if hidden > 0 {
        let _ = writeln!(page, "{DIM}{} more: --classes all{DIM:#}", count(hidden));
    }
    let lines = result
        .largest_rows
        .iter()
        .map(|row| vec![row.row.to_string(), short(Some(row.gradient_norm)), fitted(&row.label, NAMES)]);
    page.push('\n');
    aligned(&mut page, vec!["row", "gradient norm", "class"], lines.collect(), 1);
    let notes = notes(result);
    if !notes.is_empty() {
        page.push('\n');
    }
    for note in notes {
        wrapped(&mut page, "note: ", &visible(&note), anstyle::Style::new());
    }
    page
}

fn markdown(result: &ObjectiveResult, limit: ClassLimit) -> String {
    let mut text = String::new();
    let path = result.inputs.first().map(InputDescription::name).unwrap_or_default();
    let _ = writeln!(text, "## embq grad: {}\n\n{}\n", escaped(&path), escaped(&subtitle(result)));
    text.push_str("| loss | value | weight | gradient norm |\n|---|---:|---:|---:|\n");
    for (name, part) in &result.parts {
        let numbers = [part.loss, part.weight, part.gradient_norm].map(|number| short(Some(number)));
        let _ = writeln!(text, "| {name} | {} |", numbers.join(" | "));
    }
    if result.parts.len() > 1 {
        let (loss, norm) = (short(Some(result.loss)), short(Some(result.gradient.norm)));
        let _ = writeln!(text, "| **hybrid** | {loss} | | {norm} |");
    }
    if let Some(line) = batches(result) {
        let _ = writeln!(text, "\n{line}.");
    }
    let (classes, hidden) = shown_classes(result, limit);
    text.push_str("\n| class | rows | gradient norm | share |\n|---|---:|---:|---:|\n");
    for class in classes {
        let (norm, share) = (short(Some(class.gradient_norm)), percent(class.share));
        let _ = writeln!(text, "| {} | {} | {norm} | {share} |", escaped(&class.label), count(class.count));
    }
    if hidden > 0 {
        let _ = writeln!(text, "\n{} more classes are not shown.", count(hidden));
    }
    text.push_str("\n| row | gradient norm | class |\n|---:|---:|---|\n");
    for row in &result.largest_rows {
        let _ = writeln!(text, "| {} | {} | {} |", row.row, short(Some(row.gradient_norm)), escaped(&row.label));
    }
    for note in notes(result) {
        let _ = writeln!(text, "\n> {}", escaped(&note));
    }
    text
}

/// The columns `scope,label,metric,value`, as for `embq score`, with `part` and `row` as further scopes.
fn csv(result: &ObjectiveResult) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let mut write = |scope: &str, label: &str, metric: &str, value: String| {
        writer.write_record([scope, label, metric, &value]).map_err(failed)
    };
    write("scope", "label", "metric", "value".to_owned())?;
    write("overall", "", "loss", exact(result.loss))?;
    for (name, summary) in gradients(result) {
        write("overall", name, "gradient_norm", exact(summary.norm))?;
        write("overall", name, "gradient_largest", exact(summary.largest))?;
    }
    for (name, part) in &result.parts {
        write("part", name, "loss", exact(part.loss))?;
        write("part", name, "weight", exact(part.weight))?;
        write("part", name, "gradient_norm", exact(part.gradient_norm))?;
    }
    for class in &result.classes {
        write("class", &class.label, "count", class.count.to_string())?;
        write("class", &class.label, "gradient_norm", exact(class.gradient_norm))?;
    }
    for row in &result.largest_rows {
        write("row", &row.row.to_string(), "gradient_norm", exact(row.gradient_norm))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.into_error().into()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
