//! Comparisons of checkpoints in every format.

mod csv;
mod sparkline;

use anstyle::{AnsiColor, Style};

use crate::report::document::{Block, Cell, Form, Report, Section, Table, left, right};
use crate::report::markdown::escaped;
use crate::report::numbers::{count, short, signed, temperature};
use crate::report::terminal::{star_note, wrapped};
use crate::report::text::{fitted, fitted_path, visible};
use crate::report::{ClassLimit, Format, json};
use embq_core::comparison::{CandidateComparison, ClassDifference, Comparison, Difference, Verdict};
use embq_core::error::Result;
pub(crate) use sparkline::sparkline;

/// The comparison in a format, with at most `classes` classes that gained and that lost.
///
/// # Errors
/// A comparison that cannot be serialised.
pub fn render(comparison: &Comparison, format: Format, classes: ClassLimit) -> Result<String> {
    format.draw(|form| report(comparison, classes, form), || json::serialise(comparison), || csv::render(comparison))
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
        format!("{} classes", count(candidate.class_count())),
        candidate.settings.distance.to_string(),
        format!("temperature {}", temperature(&candidate.settings)),
        pairing.to_owned(),
    ]
    .join(" · ")
}

pub(crate) fn interval(ends: Option<[f64; 2]>) -> String {
    ends.map_or_else(|| "-".to_owned(), |[low, high]| format!("{} to {}", signed(Some(low)), signed(Some(high))))
}

/// A p-value, corrected if there are several candidates.
pub(crate) fn p_value(difference: &Difference) -> String {
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

pub(crate) fn word(verdict: Option<Verdict>) -> &'static str {
    verdict.map_or("-", Verdict::name)
}

/// The metrics to show: those that have intervals and a few others; all if none has one.
pub(crate) fn shown_metrics(candidate: &CandidateComparison) -> Vec<(&String, &Difference)> {
    const ALSO: [&str; 5] = ["negative_share", "effective_competitors", "fisher_ratio", "ratio", "batch_loss"];
    let none_has_one = candidate.metrics.values().all(|difference| difference.interval.is_none());
    let shown =
        |name: &str, difference: &Difference| none_has_one || difference.interval.is_some() || ALSO.contains(&name);
    candidate.metrics.iter().filter(|(name, difference)| shown(name, difference)).collect()
}

/// A line for each verdict with its metrics.
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

/// The headline metrics by which candidates are listed.
const HEADLINES: [&str; 2] = ["silhouette", "soft_silhouette"];

/// Classes that gained and that lost most: at most `limit` of each.
fn moved(candidate: &CandidateComparison, limit: ClassLimit) -> [(&'static str, Vec<&ClassDifference>); 2] {
    let limit = limit.of(usize::MAX);
    [("gained most", candidate.gained(limit)), ("lost most", candidate.lost(limit))]
}

/// The maximum width of checkpoint names in column titles.
const NAME: usize = 12;

/// The maximum number of checkpoints shown side by side; of more, only the course is shown.
const SIDE_BY_SIDE: usize = 5;

/// The number of values of a course, in a terminal and in Markdown.
const COURSE: [usize; 2] = [30, 40];

fn report(comparison: &Comparison, limit: ClassLimit, form: Form) -> Report {
    let names: Vec<&str> = comparison.checkpoints.iter().map(|checkpoint| checkpoint.name.as_str()).collect();
    let title = match &names[..] {
        [baseline, candidate] => format!("{candidate} against {baseline}"),
        [baseline, rest @ ..] => format!("{} checkpoints against {baseline}", rest.len()),
        [] => String::new(),
    };
    let gates = (!comparison.gates.is_empty()).then(|| Block::Gates(comparison.gates.clone()));
    let mut sections = match form {
        Form::Terminal => vec![terminal_section(comparison, limit)],
        Form::Markdown => markdown_sections(comparison, limit),
    };
    if let Some(first) = sections.first_mut() {
        first.subtitle = Some(subtitle(comparison));
        let place = if form == Form::Terminal { first.blocks.len() } else { 0 };
        first.blocks.splice(place..place, gates);
    }
    if let Some(last) = sections.last_mut() {
        last.notes.clone_from(&comparison.warnings);
    }
    Report { command: "embq", title, sections }
}

fn terminal_section(comparison: &Comparison, limit: ClassLimit) -> Section {
    let blocks = if let [only] = &comparison.candidates[..] {
        let lines = Block::Lines(verdicts(only));
        let moved = moved_tables(only, limit, Form::Terminal);
        [differences(only, Form::Terminal), lines].into_iter().chain(similarities(comparison)).chain(moved).collect()
    } else {
        let by_headline = HEADLINES.iter().filter_map(|metric| candidates(comparison, metric));
        let moved = comparison.candidates.iter().map(most_moved).collect();
        let similarities = similarities(comparison);
        overview(comparison).into_iter().chain(by_headline).chain(similarities).chain([Block::Lines(moved)]).collect()
    };
    Section { blocks, ..Section::default() }
}

fn markdown_sections(comparison: &Comparison, limit: ClassLimit) -> Vec<Section> {
    let of_candidate = |candidate: &CandidateComparison| {
        let moved = moved_tables(candidate, limit, Form::Markdown);
        let blocks = std::iter::once(differences(candidate, Form::Markdown)).chain(moved).collect();
        Section { blocks, ..Section::default() }
    };
    if let [only] = &comparison.candidates[..] {
        let mut section = of_candidate(only);
        section.blocks.extend(similarities(comparison));
        return vec![section];
    }
    let blocks = std::iter::once(course(comparison)).chain(similarities(comparison)).collect();
    let first = Section { blocks, ..Section::default() };
    let others = comparison
        .candidates
        .iter()
        .map(|candidate| Section { heading: Some(candidate.name.clone()), ..of_candidate(candidate) });
    std::iter::once(first).chain(others).collect()
}

/// The metrics of a candidate next to those of the baseline.
fn differences(candidate: &CandidateComparison, form: Form) -> Block {
    let is_terminal = form == Form::Terminal;
    let rows = shown_metrics(candidate).into_iter().map(|(name, difference)| {
        let name = if is_terminal { format!("{} {name}", mark(difference.verdict)) } else { name.clone() };
        let numbers = [short(difference.baseline), short(difference.candidate), signed(difference.delta)];
        let tested = [interval(difference.interval), p_value(difference)];
        let verdict = (!is_terminal).then(|| word(difference.verdict).to_owned());
        std::iter::once(name).chain(numbers).chain(tested).chain(verdict).map(Cell::Plain).collect()
    });
    let columns = match form {
        Form::Terminal => {
            vec![left("  metric"), right("before"), right("after"), right("change"), right("95 % interval"), right("p")]
        }
        Form::Markdown => vec![
            left("metric"),
            right("baseline"),
            right("candidate"),
            right("difference"),
            left("95 % interval"),
            right("p"),
            left("verdict"),
        ],
    };
    Block::Table(Table { columns, rows: rows.collect(), hidden: None })
}

/// Tables of the classes that gained and lost most, unless empty.
fn moved_tables(candidate: &CandidateComparison, limit: ClassLimit, form: Form) -> impl Iterator<Item = Block> + '_ {
    let change = if form == Form::Terminal { "change" } else { "difference" };
    moved(candidate, limit).into_iter().filter(|(_, classes)| !classes.is_empty()).map(move |(title, classes)| {
        let rows = classes.into_iter().map(|class| {
            let difference = class.silhouette;
            let numbers = [short(difference.baseline), short(difference.candidate), signed(difference.delta)];
            let numbers = [count(class.count)].into_iter().chain(numbers).chain([interval(difference.interval)]);
            std::iter::once(Cell::Name(class.label.clone(), 24)).chain(numbers.map(Cell::Plain)).collect()
        });
        let rows = rows.collect();
        let mut columns = vec![left(title), right("rows"), right("before"), right("after"), right(change)];
        columns.push(if form == Form::Terminal { right("95 % interval") } else { left("95 % interval") });
        Block::Table(Table { columns, rows, hidden: None })
    })
}

/// The verdicts of a candidate, one per line, with marks.
fn verdicts(candidate: &CandidateComparison) -> String {
    let lines = verdict_lines(candidate);
    let mut page = if lines.is_empty() { String::new() } else { "\n".to_owned() };
    for (verdict, line) in lines {
        let mut indented = String::new();
        wrapped(&mut indented, "  ", &line, style(verdict));
        // The mark replaces the indentation, which has the same width.
        page.push_str(&indented.replacen("  ", &format!("{} ", mark(Some(verdict))), 1));
    }
    page
}

fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Better => Style::new().fg_color(Some(AnsiColor::Green.into())),
        Verdict::Worse => Style::new().fg_color(Some(AnsiColor::Red.into())),
        Verdict::NoDifferenceShown => Style::new(),
    }
}

/// The values of a metric, one per checkpoint.
fn values(comparison: &Comparison, metric: &str) -> Vec<Option<f64>> {
    comparison.checkpoints.iter().map(|one| one.result.metrics.get(metric).copied().flatten()).collect()
}

/// The metrics of several checkpoints, side by side or as a course, with the best of each.
fn overview(comparison: &Comparison) -> Vec<Block> {
    let metrics = comparison.candidates.first().map(shown_metrics).unwrap_or_default();
    let metrics = metrics.into_iter().map(|(name, _)| (fitted(name, 21), values(comparison, name), name));
    if comparison.checkpoints.len() > SIDE_BY_SIDE {
        let rows = metrics.map(|(title, values, name)| {
            let [first, last] = [values.first(), values.last()].map(|value| short(value.copied().flatten()));
            let best = comparison.best.get(name).map_or_else(|| "-".to_owned(), |best| fitted_path(best, NAME));
            Vec::from([title, first, sparkline(&values, COURSE[0]), last, best].map(Cell::Plain))
        });
        let columns = vec![left("metric"), right("first"), left("course"), left("last"), left("best")];
        return vec![Block::Table(Table { columns, rows: rows.collect(), hidden: None })];
    }
    let rows = metrics.map(|(title, values, name)| {
        let best = comparison.best.get(name);
        let values = comparison.checkpoints.iter().zip(values).map(|(checkpoint, value)| {
            let star = if best == Some(&checkpoint.name) { "*" } else { " " };
            format!("{}{star}", short(value))
        });
        std::iter::once(title).chain(values).map(Cell::Plain).collect()
    });
    let names = comparison.checkpoints.iter().map(|checkpoint| right(&fitted_path(&checkpoint.name, NAME)));
    let columns = std::iter::once(left("metric")).chain(names).collect();
    let table = Table { columns, rows: rows.collect(), hidden: None };
    vec![Block::Table(table), star_note()]
}

/// Every metric of every checkpoint, with its course and its best in bold.
fn course(comparison: &Comparison) -> Block {
    let metrics = comparison.candidates.first().map(shown_metrics).unwrap_or_default();
    let rows = metrics.into_iter().map(|(name, _)| {
        let values = values(comparison, name);
        let best = comparison.best.get(name);
        let cells = comparison.checkpoints.iter().zip(&values).map(|(checkpoint, value)| {
            let is_best = best == Some(&checkpoint.name);
            if is_best { Cell::Strong(short(*value)) } else { Cell::Plain(short(*value)) }
        });
        let trend = Cell::Plain(sparkline(&values, COURSE[1]));
        std::iter::once(name.as_str().into()).chain(cells).chain([trend]).collect()
    });
    let names = comparison.checkpoints.iter().map(|checkpoint| right(&escaped(&checkpoint.name)));
    let columns = std::iter::once(left("metric")).chain(names).chain([left("trend")]).collect();
    Block::Table(Table { columns, rows: rows.collect(), hidden: None })
}

/// Every candidate by one metric.
fn candidates(comparison: &Comparison, metric: &str) -> Option<Block> {
    let known = comparison.candidates.iter().filter_map(|candidate| Some((candidate, candidate.metrics.get(metric)?)));
    let best = comparison.best.get(metric);
    let rows = known.map(|(candidate, difference)| {
        let star = if best == Some(&candidate.name) { "*" } else { " " };
        let verdict = match difference.verdict {
            Some(Verdict::NoDifferenceShown) => "none",
            verdict => word(verdict),
        };
        let name = format!("{}{star}", fitted_path(&candidate.name, 18));
        let numbers = [short(difference.candidate), signed(difference.delta), interval(difference.interval)];
        let tested = [p_value(difference), verdict.to_owned()];
        std::iter::once(name).chain(numbers).chain(tested).map(Cell::Plain).collect()
    });
    let rows: Vec<Vec<Cell>> = rows.collect();
    let columns =
        vec![left(metric), right("value"), right("change"), right("95 % interval"), right("p"), left("shown")];
    (!rows.is_empty()).then_some(Block::Table(Table { columns, rows, hidden: None }))
}

/// How similar the space of each candidate is to that of the baseline.
fn similarities(comparison: &Comparison) -> Option<Block> {
    let first = comparison.candidates.first().filter(|candidate| !candidate.similarity.is_empty())?;
    let titles = first.similarity.keys().map(|name| match (name.as_str(), name.split_once('@')) {
        ("linear_cka", _) => "CKA".to_owned(),
        ("debiased_cka", _) => "debiased".to_owned(),
        ("linear_regression_r2", _) => "R2".to_owned(),
        (_, Some((_, k))) => format!("overlap@{k}"),
        (other, None) => other.to_owned(),
    });
    let columns = std::iter::once(left("similarity")).chain(titles.map(|title| right(&title))).collect();
    let rows = comparison.candidates.iter().map(|candidate| {
        let numbers = candidate.similarity.values().map(|value| Cell::Plain(short(*value)));
        std::iter::once(Cell::Path(candidate.name.clone(), NAME)).chain(numbers).collect()
    });
    Some(Block::Table(Table { columns, rows: rows.collect(), hidden: None }))
}

/// The classes that moved most, in one line.
fn most_moved(candidate: &CandidateComparison) -> String {
    let one = |classes: Vec<&ClassDifference>| {
        let class = *classes.first()?;
        Some(format!("{} ({})", visible(&class.label), signed(class.silhouette.delta)))
    };
    let moves = [("gained", one(candidate.gained(1))), ("lost", one(candidate.lost(1)))];
    let moves: Vec<String> =
        moves.into_iter().filter_map(|(what, class)| Some(format!("{what} most {}", class?))).collect();
    let mut page = String::new();
    if !moves.is_empty() {
        wrapped(&mut page, "", &format!("{}: {}", visible(&candidate.name), moves.join(", ")), Style::new());
    }
    page
}
