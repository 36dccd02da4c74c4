//! The result as Markdown, as GitHub shows it.

use std::fmt::Write as _;

use crate::report::labellings;
use crate::report::numbers::{count, short};
use crate::report::summary::{View, columns, notes, stands_out};
use crate::report::table::{common_subtitle, subtitle};
use crate::report::text::visible;
use embq_core::evaluation::{Evaluation, InputDescription};

/// Headline metrics, classes and notes; of several labellings, first a table that compares them.
pub fn render(results: &[Evaluation], view: &View) -> String {
    let mut text = String::new();
    let title = results.iter().flat_map(|result| &result.inputs).next().map(InputDescription::name).unwrap_or_default();
    let _ = writeln!(text, "## embq: {}\n", escaped(&title));
    if let [only] = results {
        one(&mut text, only, view);
    } else {
        compared(&mut text, results, view);
    }
    text
}

/// Every labelling in a line, then each with a heading of its own.
fn compared(text: &mut String, results: &[Evaluation], view: &View) {
    if let Some(first) = results.first() {
        let _ = writeln!(text, "{}\n", escaped(&common_subtitle(first)));
    }
    let names = labellings::names(results);
    let columns = labellings::columns(results, usize::MAX);
    let titles: Vec<&str> = columns.iter().map(|column| column.title).collect();
    let _ = writeln!(text, "| labels | {} |\n|---|{}", titles.join(" | "), "---:|".repeat(columns.len()));
    for (name, result) in names.iter().zip(results) {
        let cells: Vec<String> = columns.iter().map(|column| column.cell(result)).collect();
        let _ = writeln!(text, "| {} | {} |", escaped(name), cells.join(" | "));
    }
    for (name, result) in names.iter().zip(results) {
        let _ = writeln!(text, "\n### {}\n", escaped(name));
        one(text, result, view);
    }
}

fn one(text: &mut String, evaluation: &Evaluation, view: &View) {
    let _ = writeln!(text, "{}\n", escaped(&subtitle(evaluation)));
    if evaluation.intervals.is_empty() {
        text.push_str("| metric | value |\n|---|---:|\n");
        for (name, value) in &evaluation.metrics {
            let _ = writeln!(text, "| {name} | {} |", short(*value));
        }
    } else {
        text.push_str("| metric | value | 95 % interval |\n|---|---:|---|\n");
        for (name, value) in &evaluation.metrics {
            let interval = evaluation.intervals.get(name);
            let interval = interval.map(|[low, high]| format!("{} to {}", short(Some(*low)), short(Some(*high))));
            let _ = writeln!(text, "| {name} | {} | {} |", short(*value), interval.unwrap_or_default());
        }
    }
    let (classes, hidden) = view.classes(evaluation);
    let columns = columns(evaluation);
    text.push_str("\n| class | rows |");
    for column in &columns {
        let _ = write!(text, " {} |", column.title);
    }
    text.push_str(" nearest |\n|---|---:|");
    text.push_str(&"---:|".repeat(columns.len()));
    text.push_str("---|\n");
    for class in classes {
        let _ = write!(text, "| {} | {} |", escaped(&class.label), count(class.count));
        for column in &columns {
            let _ = write!(text, " {} |", (column.text)(class.value(column.metric).flatten()));
        }
        let nearest = class.nearest_class.as_deref().unwrap_or("-");
        let _ = writeln!(text, " {} |", escaped(nearest));
    }
    if hidden > 0 {
        let _ = writeln!(text, "\n{} more classes are not shown.", count(hidden));
    }
    for gate in &evaluation.gates {
        let verdict = if gate.failed { "**failed**" } else { "held" };
        let _ = writeln!(text, "\n- gate `{}` {verdict}: {}", gate.expression.replace('`', "'"), escaped(&gate.detail));
    }
    for note in notes(evaluation) {
        let _ = writeln!(text, "\n> {}", escaped(&note));
    }
    if let Some(line) = stands_out(evaluation) {
        let _ = writeln!(text, "\n{}.", escaped(&line));
    }
}

/// Text that Markdown shows as it is: labels and paths come from users' files.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::new();
    for character in visible(text).chars() {
        match character {
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '&' => shown.push_str("&amp;"),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '#' | '~' | '!' => {
                shown.push('\\');
                shown.push(character);
            }
            _ => shown.push(character),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_out_of_a_cell() {
        assert_eq!(escaped("a|b\n<script>`x`"), "a\\|b\\\\n&lt;script&gt;\\`x\\`");
    }
}
