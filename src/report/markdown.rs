//! Documents as Markdown, as GitHub shows it.

use std::fmt::Write as _;

use crate::report::document::{Block, Cell, Report, Section, Table};
use crate::report::numbers::count;
use crate::report::text::visible;
use embq_core::evaluation::GateOutcome;

pub(super) fn draw(report: &Report) -> String {
    let mut text = format!("## {}: {}\n\n", report.command, escaped(&report.title));
    for part in &report.sections {
        if let Some(heading) = &part.heading {
            let _ = writeln!(text, "\n### {}\n", escaped(heading));
        }
        section(&mut text, part);
    }
    text
}

fn section(text: &mut String, section: &Section) {
    if let Some(subtitle) = &section.subtitle {
        let _ = writeln!(text, "{}\n", escaped(subtitle));
    }
    for (index, block) in section.blocks.iter().enumerate() {
        match block {
            Block::Table(content) => {
                if index > 0 {
                    text.push('\n');
                }
                table(text, content);
            }
            Block::Sentence(sentence) => {
                let _ = writeln!(text, "\n{}.", escaped(sentence));
            }
            Block::Lines(_) => {}
            Block::Gates(outcomes) => gates(text, outcomes),
        }
    }
    for note in &section.notes {
        let _ = writeln!(text, "\n> {}", escaped(note));
    }
    if let Some(line) = &section.conclusion {
        let _ = writeln!(text, "\n{}.", escaped(line));
    }
}

/// A list of gates, or a table where they are of several checkpoints.
fn gates(text: &mut String, gates: &[GateOutcome]) {
    let verdict = |gate: &GateOutcome| if gate.failed { "**failed**" } else { "held" };
    let expression = |gate: &GateOutcome| gate.expression.replace('`', "'");
    if gates.iter().any(|gate| gate.checkpoint.is_some()) {
        text.push_str("| gate | checkpoint | | values |\n|---|---|---|---|\n");
        for gate in gates {
            let expression = expression(gate).replace('|', "\\|");
            let checkpoint = escaped(gate.checkpoint.as_deref().unwrap_or(""));
            let _ = writeln!(text, "| `{expression}` | {checkpoint} | {} | {} |", verdict(gate), escaped(&gate.detail));
        }
    } else {
        for gate in gates {
            let _ = writeln!(text, "\n- gate `{}` {}: {}", expression(gate), verdict(gate), escaped(&gate.detail));
        }
    }
}

fn table(text: &mut String, table: &Table) {
    let titles: Vec<&str> = table.columns.iter().map(|column| column.title.as_str()).collect();
    let _ = writeln!(text, "| {} |", titles.join(" | "));
    let rules = table.columns.iter().map(|column| if column.is_right_aligned { "---:|" } else { "---|" });
    let _ = writeln!(text, "|{}", rules.collect::<String>());
    for row in &table.rows {
        let cells: Vec<String> = row.iter().map(cell).collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    if let Some((hidden, _)) = table.hidden {
        let _ = writeln!(text, "\n{} more classes are not shown.", count(hidden));
    }
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Plain(text) => text.clone(),
        Cell::Strong(text) => format!("**{text}**"),
        Cell::Name(text, _) | Cell::Path(text, _) => escaped(text),
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
