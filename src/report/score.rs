//! The result as a person sees it on a terminal, in at most 80 columns.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table};

use crate::report::numbers::{count, percent, short, temperature};
use crate::report::summary::{View, columns, stands_out};
use crate::report::text::{fitted, fitted_path, visible, width};
use crate::report::{blocks, labellings, summary};
use embq_core::evaluation::{ClassEvaluation, Evaluation, InputDescription};
use embq_core::metrics::{FAMILIES, Metric};

/// Columns of the terminal that are used.
pub(crate) const WIDTH: usize = 80;

/// Columns of a bar.
const BAR: usize = 20;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();

/// The whole page; of several labellings, one that compares them. It holds colours; the stream that it is written to
/// drops them where they are not wanted.
pub fn render(results: &[Evaluation], view: &View) -> String {
    let mut page = String::new();
    match results {
        [only] => one(&mut page, only, view),
        several => compared(&mut page, several),
    }
    page
}

fn one(page: &mut String, evaluation: &Evaluation, view: &View) {
    title(page, evaluation, &subtitle(evaluation));
    headline(page, evaluation);
    classes(page, evaluation, view);
    gates(page, evaluation);
    notes(page, evaluation);
    if let Some(line) = stands_out(evaluation) {
        wrapped(page, "", &line, BOLD);
    }
}

fn title(page: &mut String, evaluation: &Evaluation, subtitle: &str) {
    let path = evaluation.inputs.first().map(InputDescription::name).unwrap_or_default();
    let _ = writeln!(page, "{BOLD}{}{BOLD:#}", fitted_path(&path, WIDTH));
    let _ = writeln!(page, "{DIM}{}{DIM:#}\n", fitted(subtitle, WIDTH));
}

/// Several labellings of one input: a table with a line for each, then what there is to say of each.
fn compared(page: &mut String, results: &[Evaluation]) {
    let Some(first) = results.first() else { return };
    title(page, first, &common_subtitle(first));
    let names = labellings::names(results);
    let columns = labellings::columns(results, COMPARED);
    let rows: Vec<Vec<String>> =
        results.iter().map(|result| columns.iter().map(|column| column.cell(result)).collect()).collect();
    let titles: Vec<&str> = columns.iter().map(|column| column.title).collect();
    let numbers: usize = (0..titles.len()).map(|index| widest(&titles, &rows, index) + 2).sum();
    let room = WIDTH.saturating_sub(numbers + 2);
    let lines = names.iter().zip(rows).map(|(name, row)| [fitted_path(name, room)].into_iter().chain(row).collect());
    aligned(page, [&["labels"], titles.as_slice()].concat(), lines.collect(), titles.len());
    for (name, result) in names.iter().zip(results) {
        let mut told = String::new();
        gates(&mut told, result);
        notes(&mut told, result);
        if let Some(line) = stands_out(result) {
            wrapped(&mut told, "", &line, Style::new());
        }
        if !told.is_empty() {
            let _ = write!(page, "\n{BOLD}{}{BOLD:#}\n{}", fitted_path(name, WIDTH), told.trim_start_matches('\n'));
        }
    }
}

/// Columns of the comparison at most, so that it fits the terminal.
const COMPARED: usize = 7;

/// Shape, classes and settings in one line.
pub(crate) fn subtitle(evaluation: &Evaluation) -> String {
    let settings = &evaluation.settings;
    let found = if settings.temperature_auto { " (auto)" } else { "" };
    let mut parts = vec![shape(evaluation)];
    parts.push(format!("{} classes", count(evaluation.labels.classes)));
    parts.push(settings.distance.to_string());
    parts.push(format!("temperature {}{found}", temperature(settings)));
    let excluded = evaluation.excluded.rows();
    if excluded > 0 {
        parts.push(format!("{} rows left out", count(excluded)));
    }
    if let Some(scored) = settings.rows.subsample {
        parts.push(format!("{} rows scored", count(scored)));
    }
    parts.join(" · ")
}

/// What several labellings of one input have in common, in one line.
pub(crate) fn common_subtitle(evaluation: &Evaluation) -> String {
    let settings = &evaluation.settings;
    let temperature = if settings.temperature_auto { "auto".to_owned() } else { settings.temperature.to_string() };
    [shape(evaluation), settings.distance.to_string(), format!("temperature {temperature}")].join(" · ")
}

fn shape(evaluation: &Evaluation) -> String {
    let input = evaluation.inputs.first();
    input.map_or_else(String::new, |input| {
        format!("{} x {} {}", count(input.rows), count(input.dimensions), input.dtype)
    })
}

/// A metric of the headline: how it is called there, and its name.
type Headline = (&'static str, &'static str);

/// The metrics that stand on a line of their own with a bar, and what stands beside them.
const WITH_BAR: [(Headline, &[Headline]); 2] = [
    (("silhouette", "silhouette"), &[("macro", "silhouette_macro"), ("negative", "negative_share")]),
    (("soft silhouette", "soft_silhouette"), &[("macro", "soft_silhouette_macro"), ("loss", "soft_silhouette_loss")]),
];

/// The other headline metrics, some on a line.
const LINES: [&[Headline]; 4] = [
    &[("mean a", "mean_a"), ("mean b", "mean_b"), ("effective competitors", "effective_competitors")],
    &[("intra", "intra_mean"), ("separation", "separation"), ("margin", "margin"), ("ratio", "ratio")],
    &[("radius", "radius_mean"), ("centroid separation", "centroid_separation"), ("Fisher ratio", "fisher_ratio")],
    &[("batch loss", "batch_loss"), ("std", "batch_loss_std"), ("batches", "batches")],
];

/// A selection of fewer metrics than this is shown completely.
const FEW: usize = 20;

fn headline(page: &mut String, evaluation: &Evaluation) {
    let value = |name: &str| evaluation.metrics.get(name).copied();
    let text = |name: &str, value| {
        if name == "negative_share" { percent(value) } else { short(value) }
    };
    for ((title, name), beside) in WITH_BAR {
        let Some(number) = value(name) else { continue };
        let style = grade(number);
        let _ = write!(page, "  {title:<16}{style}{:>8}  {}{style:#}", short(number), bar(number));
        for (title, name) in beside {
            if let Some(number) = value(name) {
                let _ = write!(page, "  {DIM}{title}{DIM:#} {}", text(name, number));
            }
        }
        page.push('\n');
        let titles = std::iter::once(("95 % interval", name)).chain(beside.iter().copied());
        let told = titles.filter_map(|(title, name)| {
            let [low, high] = evaluation.intervals.get(name)?;
            Some(format!("{DIM}{title}{DIM:#} {} to {}", short(Some(*low)), short(Some(*high))))
        });
        let told: Vec<String> = told.take(2).collect();
        if !told.is_empty() {
            let _ = writeln!(page, "    {}", told.join("   "));
        }
    }
    for line in LINES {
        let known: Vec<String> = line
            .iter()
            .filter_map(|(title, name)| Some(format!("{DIM}{title}{DIM:#} {}", text(name, value(name)?))))
            .collect();
        if !known.is_empty() {
            let _ = writeln!(page, "  {}", known.join("   "));
        }
    }
    by_family(page, evaluation);
    // Who asks for some metrics only wants to see all of these.
    let usual = |name: &str| Metric::named(name).is_none_or(|metric| metric.family.is_default);
    if evaluation.metrics.keys().filter(|name| usual(name)).count() < FEW {
        let in_bars = WITH_BAR.iter().flat_map(|(headline, beside)| std::iter::once(headline).chain(*beside));
        let told: Vec<&str> = in_bars.chain(LINES.iter().copied().flatten()).map(|(_, name)| *name).collect();
        let untold = |name: &String| usual(name) && !told.contains(&name.as_str());
        for (name, number) in evaluation.metrics.iter().filter(|(name, _)| untold(name)) {
            let _ = writeln!(page, "  {DIM}{name}{DIM:#} {}", text(name, *number));
        }
    }
}

/// Whether anything is shown of the families that are shown by default.
fn usual_any(evaluation: &Evaluation) -> bool {
    let usual = |name: &String| Metric::named(name).is_some_and(|metric| metric.family.is_default);
    evaluation.metrics.keys().any(usual)
}

/// Columns of the name of a family.
const FAMILY: usize = 14;

/// A number, or a count of something.
fn counted(value: Option<f64>) -> String {
    match value {
        Some(value) if value.fract() == 0.0 && (2.0..1e15).contains(&value) => count(value as usize),
        value => short(value),
    }
}

/// The families that are not shown by default, each on as many lines as its numbers need.
fn by_family(page: &mut String, evaluation: &Evaluation) {
    for family in FAMILIES.into_iter().filter(|family| !family.is_default) {
        let is_of_it = |name: &str| Metric::named(name).is_some_and(|metric| metric.family == family);
        let mut column = 0;
        for (name, value) in evaluation.metrics.iter().filter(|(name, _)| is_of_it(name)) {
            let number = counted(*value);
            let needed = width(name) + 1 + width(&number);
            if column == 0 {
                let _ = write!(page, "  {DIM}{:<FAMILY$}{DIM:#}", family.name);
                column = 2 + FAMILY;
            } else if column + 3 + needed > WIDTH {
                let _ = write!(page, "\n{}", " ".repeat(2 + FAMILY));
                column = 2 + FAMILY;
            } else {
                page.push_str("   ");
                column += 3;
            }
            let _ = write!(page, "{DIM}{name}{DIM:#} {number}");
            column += needed;
        }
        if column > 0 {
            page.push('\n');
        }
    }
}

/// Rousseeuw's reading: above 0.5 there is a structure, below 0.25 there is hardly one.
fn grade(value: Option<f64>) -> Style {
    let colour = match value {
        Some(value) if value >= 0.5 => AnsiColor::Green,
        Some(value) if value >= 0.25 => AnsiColor::Yellow,
        Some(_) => AnsiColor::Red,
        None => return Style::new(),
    };
    Style::new().fg_color(Some(colour.into()))
}

/// A bar from 0 to 1; empty for negative values.
fn bar(value: Option<f64>) -> String {
    let mut bar = blocks::bar(value.unwrap_or(0.0).clamp(0.0, 1.0) * BAR as f64);
    let missing = BAR - width(&bar);
    bar.push_str(&"·".repeat(missing));
    bar
}

fn classes(page: &mut String, evaluation: &Evaluation, view: &View) {
    let (classes, hidden) = view.classes(evaluation);
    let columns = columns(evaluation);
    let nearest = evaluation.metrics.contains_key("separation");
    if classes.is_empty() || (columns.is_empty() && !usual_any(evaluation)) {
        return;
    }
    let mut rows: Vec<Vec<String>> = Vec::new();
    for class in &classes {
        let mut row = vec![count(class.count)];
        row.extend(columns.iter().map(|column| (column.text)(class.value(column.metric).flatten())));
        rows.push(row);
    }
    let titles: Vec<&str> = std::iter::once("rows").chain(columns.iter().map(|column| column.title)).collect();
    // What the numbers leave of the line is for the names of classes; columns are two apart.
    let numbers: usize = (0..titles.len()).map(|index| widest(&titles, &rows, index) + 2).sum();
    let names = WIDTH.saturating_sub(numbers + if nearest { 4 } else { 2 });
    // The class and the nearest class share the room evenly, unless one of them needs less.
    let needs = |name: fn(&ClassEvaluation) -> &str| classes.iter().map(|class| width(&visible(name(class)))).max();
    let label_needs = needs(|class| &class.label).unwrap_or(0);
    let nearest_needs = needs(nearest_name).unwrap_or(0);
    let label_width = if nearest { names.saturating_sub(nearest_needs).max(names / 2) } else { names };
    let nearest_width = names.saturating_sub(label_needs.min(label_width)).max(names / 2);
    let lines = classes.iter().zip(rows).map(|(class, row)| {
        let other = nearest.then(|| fitted(nearest_name(class), nearest_width));
        [fitted(&class.label, label_width)].into_iter().chain(row).chain(other).collect()
    });
    let header = ["class"].into_iter().chain(titles.iter().copied()).chain(nearest.then_some("nearest")).collect();
    page.push('\n');
    aligned(page, header, lines.collect(), titles.len());
    if hidden > 0 {
        let _ = writeln!(page, "{DIM}{} more: --classes all{DIM:#}", count(hidden));
    }
}

/// The columns that the numbers of one column and its title take.
pub(crate) fn widest(titles: &[&str], rows: &[Vec<String>], index: usize) -> usize {
    let cells = rows.iter().map(|row| width(&row[index])).max().unwrap_or(0);
    cells.max(width(titles[index]))
}

/// A table whose `numbers` columns after the first are numbers.
pub(crate) fn aligned(page: &mut String, header: Vec<&str>, lines: Vec<Vec<String>>, numbers: usize) {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let cells = |texts: Vec<&str>| -> Vec<Cell> {
        let alignment = |position| match position {
            0 => CellAlignment::Left,
            number if number <= numbers => CellAlignment::Right,
            _ => CellAlignment::Left,
        };
        let texts = texts.into_iter().enumerate();
        texts.map(|(position, text)| Cell::new(text).set_alignment(alignment(position))).collect()
    };
    table.set_header(cells(header));
    for line in &lines {
        table.add_row(cells(line.iter().map(String::as_str).collect()));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for (index, line) in table.lines().enumerate() {
        let line = line.trim_end();
        let _ = if index == 0 { writeln!(page, "{DIM}{line}{DIM:#}") } else { writeln!(page, "{line}") };
    }
}

fn nearest_name(class: &ClassEvaluation) -> &str {
    class.nearest_class.as_deref().unwrap_or("-")
}

fn gates(page: &mut String, evaluation: &Evaluation) {
    if evaluation.gates.is_empty() {
        return;
    }
    page.push('\n');
    for gate in &evaluation.gates {
        let (colour, verdict) = if gate.failed { (AnsiColor::Red, "FAILED") } else { (AnsiColor::Green, "held") };
        let style = Style::new().fg_color(Some(colour.into())).bold();
        let line = format!("gate {verdict}: {} ({})", visible(&gate.expression), visible(&gate.detail));
        wrapped(page, "", &line, style);
    }
}

fn notes(page: &mut String, evaluation: &Evaluation) {
    let notes = summary::notes(evaluation);
    if !notes.is_empty() || stands_out(evaluation).is_some() {
        page.push('\n');
    }
    for note in notes {
        wrapped(page, "note: ", &visible(&note), Style::new());
    }
}

/// A sentence over as many lines as it needs, indented by the width of its mark.
pub(crate) fn wrapped(page: &mut String, mark: &str, text: &str, style: Style) {
    for (index, line) in broken(text, WIDTH - mark.len()).iter().enumerate() {
        let start = if index == 0 { mark.to_owned() } else { " ".repeat(mark.len()) };
        let _ = writeln!(page, "{DIM}{start}{DIM:#}{style}{line}{style:#}");
    }
}

/// A text in lines of at most so many columns.
pub(crate) fn broken(text: &str, room: usize) -> Vec<String> {
    let mut line = String::new();
    let mut lines = Vec::new();
    for word in text.split_whitespace() {
        let word = fitted(word, room);
        if !line.is_empty() && width(&line) + 1 + width(&word) > room {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_have_one_width() {
        for value in [-1.0, 0.0, 0.013, 0.5, 0.999, 1.0] {
            assert_eq!(width(&bar(Some(value))), BAR, "{value}");
        }
        assert!(bar(Some(0.5)).starts_with(&"█".repeat(10)));
    }

    #[test]
    fn long_sentences_are_wrapped_under_their_mark() {
        let mut page = String::new();
        wrapped(&mut page, "note: ", &"word ".repeat(30), Style::new());
        let plain = anstream::adapter::strip_str(&page).to_string();
        assert!(plain.lines().all(|line| width(line) <= WIDTH));
        assert!(plain.lines().skip(1).all(|line| line.starts_with("      word")));
    }
}
