//! The result as Markdown, as GitHub shows it.

use std::fmt::Write as _;

use crate::evaluation::Evaluation;
use crate::report::numbers::{count, short};
use crate::report::summary::{View, columns, competitors_note, stands_out};
use crate::report::text::visible;

/// Headline metrics, classes and notes.
pub fn render(evaluation: &Evaluation, view: &View) -> String {
    let mut text = String::new();
    let title = evaluation.inputs.first().map_or("", |input| input.path.as_str());
    let _ = writeln!(text, "## embq: {}\n", escaped(title));
    let _ = writeln!(text, "{}\n", escaped(&super::table::subtitle(evaluation)));
    text.push_str("| metric | value |\n|---|---:|\n");
    for (name, value) in &evaluation.metrics {
        let _ = writeln!(text, "| {name} | {} |", short(*value));
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
    let notes = evaluation.warnings.iter().cloned().chain(competitors_note(evaluation));
    for note in notes {
        let _ = writeln!(text, "\n> {}", escaped(&note));
    }
    if let Some(line) = stands_out(evaluation) {
        let _ = writeln!(text, "\n{}.", escaped(&line));
    }
    text
}

/// Text that Markdown shows as it is: labels and paths come from users' files.
fn escaped(text: &str) -> String {
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
