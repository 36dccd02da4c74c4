//! Drift between two sets, in every format.

use crate::report::document::{Block, Cell, Form, Report, Section, Table, left, right};
use crate::report::numbers::{count, exact, percent, short};
use crate::report::summary::left_out_note;
use crate::report::{ClassLimit, Format, csv, json};
use embq_core::drift::{CLASS_NUMBERS, ClassDrift, DriftResult, DriftTest, DriftVerdict, SetDescription, metric_named};
use embq_core::error::Result;

/// The result in a format, with at most `classes` classes.
///
/// # Errors
/// A result that cannot be serialised.
pub fn render(result: &DriftResult, format: Format, classes: ClassLimit) -> Result<String> {
    format.draw(|form| report(result, classes, form), || json::serialise(result), || csv(result))
}

pub(crate) fn shape(set: &SetDescription) -> String {
    match (set.rows, &set.dtype) {
        (Some(rows), Some(dtype)) => format!("{} x {} {dtype}", count(rows), count(set.dimensions)),
        _ => format!("statistics of {} dimensions", count(set.dimensions)),
    }
}

pub(crate) fn subtitle(result: &DriftResult) -> String {
    let mut parts = vec![format!("{} against {}", shape(&result.current), shape(&result.reference))];
    parts.extend(result.settings.subset.map(|subset| format!("pairs of {} rows each", count(subset))));
    if !result.tests.is_empty() {
        parts.push(format!("{} permutations", count(result.settings.permutations)));
    }
    parts.join(" · ")
}

fn mark(test: Option<&DriftTest>) -> &'static str {
    match test.map(|test| test.verdict) {
        Some(DriftVerdict::Drift) => "▲",
        Some(DriftVerdict::NoDriftShown) => "=",
        None => " ",
    }
}

fn p_value(test: Option<&DriftTest>) -> String {
    test.map_or_else(String::new, |test| format!("{:.4}", test.adjusted_p_value))
}

fn report(result: &DriftResult, limit: ClassLimit, form: Form) -> Report {
    let mut blocks = vec![Block::Table(numbers(result, form))];
    if !result.classes.is_empty() {
        blocks.push(Block::Table(classes(result, limit, form)));
    }
    if !result.gates.is_empty() {
        let place = if form == Form::Terminal { blocks.len() } else { 0 };
        blocks.insert(place, Block::Gates(result.gates.clone()));
    }
    let section = Section {
        subtitle: Some(subtitle(result)),
        blocks,
        notes: notes(result),
        conclusion: conclusion(result),
        ..Section::default()
    };
    let title = format!("{} against {}", result.current.name(), result.reference.name());
    Report { command: "embq drift", title, sections: vec![section] }
}

/// What a reader has to know: warnings, and rows that were left out.
pub(crate) fn notes(result: &DriftResult) -> Vec<String> {
    let left_out = [("the reference", &result.reference), ("the current rows", &result.current)]
        .into_iter()
        .filter_map(|(name, set)| Some(format!("{name}: {}", left_out_note(&set.excluded)?)));
    grouped(&result.warnings).into_iter().chain(left_out).collect()
}

/// Warnings, in which numbers that are undefined for one reason share a line.
fn grouped(warnings: &[String]) -> Vec<String> {
    const UNDEFINED: &str = " is undefined: ";
    let mut lines: Vec<(Vec<&str>, &str)> = Vec::new();
    for warning in warnings {
        match (warning.split_once(UNDEFINED), lines.last_mut()) {
            (Some((name, reason)), Some((names, known))) if !names.is_empty() && reason == *known => names.push(name),
            (Some((name, reason)), _) => lines.push((vec![name], reason)),
            (None, _) => lines.push((Vec::new(), warning)),
        }
    }
    let line = |(names, text): (Vec<&str>, &str)| match &names[..] {
        [] => text.to_owned(),
        [name] => format!("{name}{UNDEFINED}{text}"),
        [others @ .., last] => format!("{} and {last} are undefined: {text}", others.join(", ")),
    };
    lines.into_iter().map(line).collect()
}

/// The tests in a sentence.
pub(crate) fn conclusion(result: &DriftResult) -> Option<String> {
    let verdict = result.verdict?;
    let tested = result.tests.iter().map(|(name, test)| format!("{name} (p = {:.4})", test.adjusted_p_value));
    let tested: Vec<String> = tested.collect();
    let text = match verdict {
        DriftVerdict::Drift => "drift: the sets differ by more than chance explains",
        DriftVerdict::NoDriftShown => "no drift shown: chance alone could have made the difference",
    };
    let classes = result.classes.iter().filter(|class| is_shown(class)).count();
    let by_class = match classes {
        0 => String::new(),
        1 => "; 1 class drifted".to_owned(),
        several => format!("; {} classes drifted", count(several)),
    };
    Some(format!("{text}: {}{by_class}", tested.join(", ")))
}

pub(crate) fn is_shown(class: &ClassDrift) -> bool {
    class.test.is_some_and(|test| test.verdict == DriftVerdict::Drift)
}

fn numbers(result: &DriftResult, form: Form) -> Table {
    let rows = result.metrics.iter().map(|(name, value)| {
        let test = result.tests.get(name);
        let marked = match form {
            Form::Terminal => format!("{} {name}", mark(test)),
            Form::Markdown => name.clone(),
        };
        let interval = result.intervals.get(name);
        let interval =
            interval.map_or_else(String::new, |&[low, high]| format!("{} to {}", short(Some(low)), short(Some(high))));
        let cells = [marked, short(*value), interval, p_value(test)];
        let title = metric_named(name).map_or("", |metric| metric.title);
        cells.into_iter().map(Cell::Plain).chain((form == Form::Markdown).then_some(Cell::from(title))).collect()
    });
    let first = if form == Form::Terminal { "  number" } else { "number" };
    let mut columns = vec![left(first), right("value"), right("95 % interval"), right("p")];
    columns.extend((form == Form::Markdown).then(|| left("meaning")));
    Table { columns, rows: rows.collect(), hidden: None }
}

/// Rows from which on a class that only one set has is worth a place at the top.
const STANDING_OUT: usize = 5;

/// Whether a class came or went.
fn is_of_one_set(class: &ClassDrift) -> bool {
    let (fewer, more) =
        (class.reference_count.min(class.current_count), class.reference_count.max(class.current_count));
    fewer == 0 && more >= STANDING_OUT
}

/// The classes: those that came or went, then those that drifted, then by the size of the change.
fn classes(result: &DriftResult, limit: ClassLimit, form: Form) -> Table {
    let mut classes: Vec<&ClassDrift> = result.classes.iter().collect();
    let rank = |class: &ClassDrift| (is_of_one_set(class), is_shown(class));
    let size = |class: &ClassDrift| class.mean_shift.unwrap_or(f64::NEG_INFINITY);
    let share = |class: &ClassDrift| class.psi.unwrap_or(0.0);
    let by_size = |x: &ClassDrift, y: &ClassDrift| size(y).total_cmp(&size(x)).then(share(y).total_cmp(&share(x)));
    classes.sort_by(|x, y| rank(y).cmp(&rank(x)).then(by_size(x, y)));
    let shown = limit.of(classes.len());
    let hidden = classes.len() - shown;
    let rows = classes[..shown].iter().map(|class| {
        let name = Cell::Name(class.label.clone(), if form == Form::Terminal { 18 } else { usize::MAX });
        let cells = [
            percent(Some(class.reference_share)),
            percent(Some(class.current_share)),
            short(class.mean_shift),
            short(class.energy_distance),
            short(class.frechet_distance),
            p_value(class.test.as_ref()),
        ];
        std::iter::once(name).chain(cells.map(Cell::Plain)).collect()
    });
    let columns = vec![
        left("class"),
        right("before"),
        right("now"),
        right("mean shift"),
        right("energy"),
        right("Fréchet"),
        right("p"),
    ];
    Table { columns, rows: rows.collect(), hidden: (hidden > 0).then_some((hidden, "--classes all")) }
}

/// The columns `scope,label,metric,value`: as for `embq score`, with `p_value(NAME)`, `adjusted_p_value(NAME)` and
/// `verdict(NAME)` of tested numbers.
fn csv(result: &DriftResult) -> Result<String> {
    csv::text(|write| {
        write(&["scope", "label", "metric", "value"])?;
        for (name, value) in &result.metrics {
            write(&["overall", "", name, &csv::number(*value)])?;
            let interval = result.intervals.get(name).copied();
            for (end, value) in ["lower", "upper"].into_iter().zip(interval.into_iter().flatten()) {
                write(&["overall", "", &format!("{end}({name})"), &exact(value)])?;
            }
            if let Some(test) = result.tests.get(name) {
                write(&["overall", "", &format!("p_value({name})"), &exact(test.p_value)])?;
                write(&["overall", "", &format!("adjusted_p_value({name})"), &exact(test.adjusted_p_value)])?;
                write(&["overall", "", &format!("verdict({name})"), test.verdict.name()])?;
            }
        }
        for class in &result.classes {
            for name in CLASS_NUMBERS {
                write(&["class", &class.label, name, &csv::number(class.value(name).flatten())])?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_that_is_gone_comes_first() {
        let class = |label: &str, reference_count, current_count, mean_shift| ClassDrift {
            label: label.to_owned(),
            reference_count,
            current_count,
            mean_shift,
            ..ClassDrift::default()
        };
        assert!(is_of_one_set(&class("gone", 5, 0, None)) && is_of_one_set(&class("new", 0, 9, None)));
        assert!(!is_of_one_set(&class("rare", 4, 0, None)) && !is_of_one_set(&class("both", 9, 1, Some(0.1))));
    }

    #[test]
    fn numbers_undefined_for_one_reason_share_a_line() {
        let warnings = ["a is undefined: x", "b is undefined: x", "c is undefined: x", "d is undefined: y", "z"];
        let found = grouped(&warnings.map(str::to_owned));
        assert_eq!(found, ["a, b and c are undefined: x", "d is undefined: y", "z"]);
    }
}
