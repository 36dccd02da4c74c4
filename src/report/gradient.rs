//! A loss and its gradient in every format.

use std::fmt::Write as _;

use crate::report::document::{Block, Cell, Report, Section, Table, input_name, input_shape, left, right};
use crate::report::numbers::{count, exact, percent, short};
use crate::report::summary::left_out_note;
use crate::report::terminal::DIM;
use crate::report::{ClassLimit, Format, csv, json};
use embq_core::error::Result;
use embq_core::objective::{ClassGradient, GradientSummary, ObjectiveResult};

/// The result in a format; `classes` are shown, largest gradient first.
///
/// # Errors
/// A result that cannot be serialised.
pub fn render(result: &ObjectiveResult, format: Format, classes: ClassLimit) -> Result<String> {
    format.draw(|_| report(result, classes), || json::serialise(result), || csv(result))
}

/// Shape, classes and settings in one line.
fn subtitle(result: &ObjectiveResult) -> String {
    let settings = &result.settings;
    let mut parts = vec![input_shape(&result.inputs), format!("{} classes", count(result.labels.classes))];
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
    let shown = limit.of(classes.len());
    let hidden = classes.len() - shown;
    classes.truncate(shown);
    (classes, hidden)
}

/// The name and the norms of every gradient.
fn gradients(result: &ObjectiveResult) -> Vec<(&'static str, GradientSummary)> {
    let all =
        [("embeddings", Some(result.gradient)), ("head", result.head_gradient), ("logits", result.logits_gradient)];
    all.into_iter().filter_map(|(name, summary)| Some((name, summary?))).collect()
}

fn notes(result: &ObjectiveResult) -> Vec<String> {
    result.warnings.iter().cloned().chain(left_out_note(&result.excluded)).collect()
}

/// A sentence about the batches.
fn batches(result: &ObjectiveResult) -> Option<String> {
    let batches = result.batches?;
    Some(format!(
        "{} batches, standard deviation of the loss {}, {} of the rows without a positive",
        count(batches.kept),
        short(Some(batches.standard_deviation)),
        percent(Some(batches.without_positive))
    ))
}

/// The maximum width of names of classes.
const NAMES: usize = 40;

fn report(result: &ObjectiveResult, limit: ClassLimit) -> Report {
    let number = |value: f64| Cell::Plain(short(Some(value)));
    let mut parts: Vec<Vec<Cell>> = Vec::new();
    for (name, part) in &result.parts {
        parts.push(vec![name.as_str().into(), number(part.loss), number(part.weight), number(part.gradient_norm)]);
    }
    if result.parts.len() > 1 {
        let hybrid = Cell::Strong("hybrid".to_owned());
        parts.push(vec![hybrid, number(result.loss), "".into(), number(result.gradient.norm)]);
    }
    let mut norms = String::new();
    for (name, summary) in gradients(result) {
        let (norm, largest) = (short(Some(summary.norm)), short(Some(summary.largest)));
        let _ = writeln!(norms, "{DIM}gradient of the {name}: norm{DIM:#} {norm}{DIM}, largest entry{DIM:#} {largest}");
    }
    let (classes, hidden) = shown_classes(result, limit);
    let classes = classes.into_iter().map(|class| {
        let label = Cell::Name(class.label.clone(), NAMES);
        vec![label, count(class.count).into(), number(class.gradient_norm), percent(class.share).into()]
    });
    let rows = result
        .largest_rows
        .iter()
        .map(|row| vec![row.row.to_string().into(), number(row.gradient_norm), Cell::Name(row.label.clone(), NAMES)]);
    let tables = [
        Table {
            columns: vec![left("loss"), right("value"), right("weight"), right("gradient norm")],
            rows: parts,
            hidden: None,
        },
        Table {
            columns: vec![left("class"), right("rows"), right("gradient norm"), right("share")],
            rows: classes.collect(),
            hidden: (hidden > 0).then_some((hidden, "--classes all")),
        },
        Table {
            columns: vec![right("row"), right("gradient norm"), left("class")],
            rows: rows.collect(),
            hidden: None,
        },
    ];
    let [losses, by_class, by_row] = tables.map(Block::Table);
    let mut blocks = vec![losses, Block::Lines(norms)];
    blocks.extend(batches(result).map(Block::Sentence));
    blocks.extend([by_class, by_row]);
    let section = Section { subtitle: Some(subtitle(result)), blocks, notes: notes(result), ..Section::default() };
    Report { command: "embq grad", title: input_name(&result.inputs), sections: vec![section] }
}

/// The columns `scope,label,metric,value`, as for `embq score`, with `part` and `row` as further scopes.
fn csv(result: &ObjectiveResult) -> Result<String> {
    csv::text(|write| {
        let mut write = |scope: &str, label: &str, metric: &str, value: String| write(&[scope, label, metric, &value]);
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
        result
            .largest_rows
            .iter()
            .try_for_each(|row| write("row", &row.row.to_string(), "gradient_norm", exact(row.gradient_norm)))
    })
}
