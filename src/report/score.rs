//! Results of `embq score`: headline metrics, classes, gates, and what stands out.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::report::document::{Block, Cell, Form, Report, Section, Table, input_name, input_shape, left, right};
use crate::report::numbers::{count, percent, short, temperature};
use crate::report::summary::{View, columns, notes, stands_out};
use crate::report::terminal::{DIM, WIDTH, star_note};
use crate::report::text::{visible, width};
use crate::report::{blocks, labellings};
use embq_core::evaluation::{ClassEvaluation, Evaluation};
use embq_core::metrics::{FAMILIES, Family, Metric};

/// The width of a bar.
const BAR: usize = 20;

/// The report of a result, or a comparison of several labellings.
pub(super) fn report(results: &[Evaluation], view: &View, form: Form) -> Report {
    let title = results.first().map(|result| input_name(&result.inputs)).unwrap_or_default();
    let sections = match results {
        [only] => vec![section(only, view, form)],
        several => compared(several, view, form),
    };
    Report { command: "embq", title, sections }
}

fn section(evaluation: &Evaluation, view: &View, form: Form) -> Section {
    let mut blocks = match form {
        Form::Terminal => vec![Block::Lines(headline(evaluation))],
        Form::Markdown => vec![Block::Table(metrics(evaluation))],
    };
    blocks.extend(classes(evaluation, view, form).map(Block::Table));
    let mut section = remarks(evaluation);
    blocks.append(&mut section.blocks);
    Section { subtitle: Some(subtitle(evaluation)), blocks, ..section }
}

/// Gates, notes and what stands out.
fn remarks(evaluation: &Evaluation) -> Section {
    let gates = (!evaluation.gates.is_empty()).then(|| Block::Gates(evaluation.gates.clone()));
    Section {
        blocks: gates.into_iter().collect(),
        notes: notes(evaluation),
        conclusion: stands_out(evaluation),
        ..Section::default()
    }
}

/// Several labellings of one input: a table with one line for each, then a section for each.
fn compared(results: &[Evaluation], view: &View, form: Form) -> Vec<Section> {
    let names = labellings::names(results);
    let columns = labellings::columns(results, if form == Form::Terminal { COMPARED } else { usize::MAX });
    let (mut rows, mut best) = (vec![Vec::new(); results.len()], vec![Vec::new(); results.len()]);
    for column in &columns {
        let cells = column.cells(results);
        let has_best = form == Form::Terminal && cells.iter().any(|(_, is_best)| *is_best);
        for ((row, best), (text, is_best)) in rows.iter_mut().zip(&mut best).zip(cells) {
            let star = if is_best { "*" } else { " " };
            row.push(if has_best { text + star } else { text });
            best.push(is_best);
        }
    }
    let titles: Vec<&str> = columns.iter().map(|column| column.title).collect();
    let room = WIDTH.saturating_sub(number_columns(&titles, &rows) + 2);
    let cell = |(text, is_best): (String, bool)| if is_best { Cell::Strong(text) } else { Cell::Plain(text) };
    let lines = names.iter().zip(rows.into_iter().zip(best)).map(|(name, (row, best))| {
        std::iter::once(Cell::Path(name.clone(), room)).chain(row.into_iter().zip(best).map(cell)).collect()
    });
    let table = Table {
        columns: std::iter::once(left("labels")).chain(titles.iter().map(|title| right(title))).collect(),
        rows: lines.collect(),
        hidden: None,
    };
    let overview = Section {
        subtitle: results.first().map(common_subtitle),
        blocks: match form {
            Form::Terminal => vec![Block::Table(table), star_note()],
            Form::Markdown => vec![Block::Table(table)],
        },
        ..Section::default()
    };
    let each = names.into_iter().zip(results).map(|(name, result)| {
        let content = match form {
            Form::Terminal => remarks(result),
            Form::Markdown => section(result, view, form),
        };
        Section { heading: Some(name), ..content }
    });
    std::iter::once(overview).chain(each).collect()
}

/// The maximum number of columns of the comparison, so that it fits the terminal.
const COMPARED: usize = 7;

/// Shape, classes and settings in one line.
pub(crate) fn subtitle(evaluation: &Evaluation) -> String {
    let settings = &evaluation.settings;
    let found = if settings.temperature_auto { " (auto)" } else { "" };
    let mut parts = vec![input_shape(&evaluation.inputs)];
    match &evaluation.labels {
        Some(labels) => {
            parts.push(format!("{} classes", count(labels.classes)));
            parts.push(settings.distance.to_string());
            parts.push(format!("temperature {}{found}", temperature(settings)));
        }
        None => parts.extend(["no labels".to_owned(), settings.distance.to_string()]),
    }
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
    [input_shape(&evaluation.inputs), settings.distance.to_string(), format!("temperature {temperature}")].join(" · ")
}

/// A headline metric: its title and its name.
type Headline = (&'static str, &'static str);

/// The metrics with their own line and bar, and the metrics next to them.
const WITH_BAR: [(Headline, &[Headline]); 2] = [
    (("silhouette", "silhouette"), &[("macro", "silhouette_macro"), ("negative", "negative_share")]),
    (("soft silhouette", "soft_silhouette"), &[("macro", "soft_silhouette_macro"), ("loss", "soft_silhouette_loss")]),
];

/// The other headline metrics, grouped into lines.
const LINES: [&[Headline]; 4] = [
    &[("mean a", "mean_a"), ("mean b", "mean_b"), ("effective competitors", "effective_competitors")],
    &[("intra", "intra_mean"), ("separation", "separation"), ("margin", "margin"), ("ratio", "ratio")],
    &[("radius", "radius_mean"), ("centroid separation", "centroid_separation"), ("Fisher ratio", "fisher_ratio")],
    &[("batch loss", "batch_loss"), ("std", "batch_loss_std"), ("batches", "batches")],
];

/// Selections of fewer metrics than this are shown completely.
const FEW: usize = 20;

/// The headline metrics with bars, followed by the metrics of other families.
fn headline(evaluation: &Evaluation) -> String {
    let mut page = String::new();
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
        let title = interval_title(evaluation);
        let titles = std::iter::once((title, name)).chain(beside.iter().copied());
        let intervals = titles.filter_map(|(title, name)| {
            let [low, high] = evaluation.intervals.get(name)?;
            Some(format!("{DIM}{title}{DIM:#} {} to {}", short(Some(*low)), short(Some(*high))))
        });
        let intervals: Vec<String> = intervals.take(2).collect();
        if !intervals.is_empty() {
            let _ = writeln!(page, "    {}", intervals.join("   "));
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
    by_family(&mut page, evaluation);
    // If only a few metrics are selected, show all of them.
    let usual = |name: &str| Metric::named(name).is_none_or(|metric| metric.family.is_default);
    if evaluation.metrics.keys().filter(|name| usual(name)).count() < FEW {
        let in_bars = WITH_BAR.iter().flat_map(|(headline, beside)| std::iter::once(headline).chain(*beside));
        let shown: Vec<&str> = in_bars.chain(LINES.iter().copied().flatten()).map(|(_, name)| *name).collect();
        let is_missing = |name: &String| usual(name) && !shown.contains(&name.as_str());
        for (name, number) in evaluation.metrics.iter().filter(|(name, _)| is_missing(name)) {
            let _ = writeln!(page, "  {DIM}{name}{DIM:#} {}", text(name, *number));
        }
    }
    page
}

/// Whether anything is shown of the families that are shown by default.
fn usual_any(evaluation: &Evaluation) -> bool {
    let usual = |name: &String| Metric::named(name).is_some_and(|metric| metric.family.is_default);
    evaluation.metrics.keys().any(usual)
}

/// The width of family names, unless one is longer.
const FAMILY: usize = 14;

/// A number, or a count of something.
fn counted(value: Option<f64>) -> String {
    match value {
        Some(value) if value.fract() == 0.0 && (2.0..1e15).contains(&value) => count(value as usize),
        value => short(value),
    }
}

/// The families that are not computed by default, each on as many lines as needed.
fn by_family(page: &mut String, evaluation: &Evaluation) {
    let is_shown = |family: &Family| {
        let mut names = evaluation.metrics.keys();
        !family.is_default && names.any(|name| Metric::named(name).is_some_and(|metric| metric.family == family))
    };
    let shown: Vec<&Family> = FAMILIES.into_iter().filter(|family| is_shown(family)).collect();
    let indent = shown.iter().map(|family| width(family.name) + 1).fold(FAMILY, usize::max);
    for family in shown {
        let is_of_it = |name: &str| Metric::named(name).is_some_and(|metric| metric.family == family);
        let mut column = 0;
        for (name, value) in evaluation.metrics.iter().filter(|(name, _)| is_of_it(name)) {
            let mut number = counted(*value);
            if let Some([low, high]) = evaluation.intervals.get(name) {
                let ends = [low, high].map(|end| short(Some(*end))).join(" to ");
                let _ = write!(number, " ({} {ends})", interval_title(evaluation));
            }
            let needed = width(name) + 1 + width(&number);
            if column == 0 {
                let _ = write!(page, "  {DIM}{:<indent$}{DIM:#}", family.name);
                column = 2 + indent;
            } else if column + 3 + needed > WIDTH {
                let _ = write!(page, "\n{}", " ".repeat(2 + indent));
                column = 2 + indent;
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

/// Colours by Rousseeuw's interpretation: above 0.5 there is structure, below 0.25 hardly any.
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

/// What intervals are of: other rows, or all rows where some are scored.
fn interval_title(evaluation: &Evaluation) -> &'static str {
    if evaluation.settings.rows.subsample.is_some() { "95 % of all rows" } else { "95 % interval" }
}

/// All metrics, with their intervals if there are any.
fn metrics(evaluation: &Evaluation) -> Table {
    let has_intervals = !evaluation.intervals.is_empty();
    let mut columns = vec![left("metric"), right("value")];
    columns.extend(has_intervals.then(|| left(interval_title(evaluation))));
    let rows = evaluation.metrics.iter().map(|(name, value)| {
        let interval = evaluation.intervals.get(name);
        let interval = interval.map(|[low, high]| format!("{} to {}", short(Some(*low)), short(Some(*high))));
        let cells =
            [name.clone(), short(*value)].into_iter().chain(has_intervals.then(|| interval.unwrap_or_default()));
        cells.map(Cell::Plain).collect()
    });
    Table { columns, rows: rows.collect(), hidden: None }
}

/// The table of classes; `None` without labels, and on a terminal if it has nothing to show.
fn classes(evaluation: &Evaluation, view: &View, form: Form) -> Option<Table> {
    let (classes, hidden) = view.classes(evaluation);
    let columns = columns(evaluation);
    evaluation.labels.as_ref()?;
    if form == Form::Terminal && (classes.is_empty() || (columns.is_empty() && !usual_any(evaluation))) {
        return None;
    }
    let has_nearest = form == Form::Markdown || evaluation.metrics.contains_key("separation");
    let numbers = classes.iter().map(|class| {
        let values = columns.iter().map(|column| (column.text)(class.value(column.metric).flatten()));
        std::iter::once(count(class.count)).chain(values).collect()
    });
    let numbers: Vec<Vec<String>> = numbers.collect();
    let titles: Vec<&str> = std::iter::once("rows").chain(columns.iter().map(|column| column.title)).collect();
    // Names of classes get what the numbers leave of the line. The class and the nearest class share it evenly unless one
    // of them needs less.
    let names = WIDTH.saturating_sub(number_columns(&titles, &numbers) + if has_nearest { 4 } else { 2 });
    let needs = |name: fn(&ClassEvaluation) -> &str| classes.iter().map(|class| width(&visible(name(class)))).max();
    let label_needs = needs(|class| &class.label).unwrap_or(0);
    let nearest_needs = needs(nearest_name).unwrap_or(0);
    let label_width = if has_nearest { names.saturating_sub(nearest_needs).max(names / 2) } else { names };
    let nearest_width = names.saturating_sub(label_needs.min(label_width)).max(names / 2);
    let rows = classes.iter().zip(numbers).map(|(class, numbers)| {
        let nearest = has_nearest.then(|| Cell::Name(nearest_name(class).to_owned(), nearest_width));
        let label = Cell::Name(class.label.clone(), label_width);
        std::iter::once(label).chain(numbers.into_iter().map(Cell::Plain)).chain(nearest).collect()
    });
    let titles = titles.iter().map(|title| right(title));
    Some(Table {
        columns: std::iter::once(left("class")).chain(titles).chain(has_nearest.then(|| left("nearest"))).collect(),
        rows: rows.collect(),
        hidden: (hidden > 0).then_some((hidden, "--classes all")),
    })
}

/// The width of the columns of numbers, including gaps of two.
fn number_columns(titles: &[&str], rows: &[Vec<String>]) -> usize {
    let widest = |(index, title): (usize, &&str)| {
        rows.iter().map(|row| width(&row[index])).chain([width(title)]).max().unwrap_or(0) + 2
    };
    titles.iter().enumerate().map(widest).sum()
}

fn nearest_name(class: &ClassEvaluation) -> &str {
    class.nearest_class.as_deref().unwrap_or("-")
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
}
