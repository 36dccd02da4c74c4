//! Documents on a terminal, in at most 80 columns. They hold styles; the stream that they are written to drops these where
//! they are not wanted.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, ContentArrangement};

use crate::report::document::{Block, Cell, Report, Section, Table};
use crate::report::numbers::count;
use crate::report::text::{fitted, fitted_path, visible, width};
use embq_core::evaluation::GateOutcome;

/// Columns of the terminal that are used.
pub(crate) const WIDTH: usize = 80;

pub(crate) const BOLD: Style = Style::new().bold();
pub(crate) const DIM: Style = Style::new().dimmed();

pub(super) fn draw(report: &Report) -> String {
    let mut page = format!("{BOLD}{}{BOLD:#}\n", fitted_path(&report.title, WIDTH));
    for part in &report.sections {
        let body = section(part);
        if let Some(heading) = &part.heading {
            if !body.is_empty() {
                let heading = fitted_path(heading, WIDTH);
                let _ = write!(page, "\n{BOLD}{heading}{BOLD:#}\n{}", body.trim_start_matches('\n'));
            }
        } else {
            let subtitle = part.subtitle.as_deref().unwrap_or_default();
            let _ = write!(page, "{DIM}{}{DIM:#}\n\n{body}", fitted(subtitle, WIDTH));
        }
    }
    page
}

fn section(section: &Section) -> String {
    let mut page = String::new();
    for (index, block) in section.blocks.iter().enumerate() {
        match block {
            Block::Table(content) => {
                if index > 0 {
                    page.push('\n');
                }
                table(&mut page, content);
            }
            Block::Sentence(text) => wrapped(&mut page, "", text, Style::new()),
            Block::Lines(lines) => page.push_str(lines),
            Block::Gates(outcomes) => gates(&mut page, outcomes),
        }
    }
    let has_more = !section.notes.is_empty() || section.conclusion.is_some();
    if has_more && !section.blocks.is_empty() {
        page.push('\n');
    }
    for note in &section.notes {
        wrapped(&mut page, "note: ", &visible(note), Style::new());
    }
    if let Some(line) = &section.conclusion {
        wrapped(&mut page, "", line, if section.heading.is_some() { Style::new() } else { BOLD });
    }
    page
}

fn gates(page: &mut String, gates: &[GateOutcome]) {
    if !gates.is_empty() {
        page.push('\n');
    }
    for gate in gates {
        let (colour, verdict) = if gate.failed { (AnsiColor::Red, "FAILED") } else { (AnsiColor::Green, "held") };
        let of = gate.checkpoint.as_ref().map(|name| format!(" for {}", visible(name))).unwrap_or_default();
        let style = Style::new().fg_color(Some(colour.into())).bold();
        let line = format!("gate {verdict}{of}: {} ({})", visible(&gate.expression), visible(&gate.detail));
        wrapped(page, "", &line, style);
    }
}

fn table(page: &mut String, content: &Table) {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let cells = |texts: Vec<String>| -> Vec<comfy_table::Cell> {
        let aligned = texts.into_iter().zip(&content.columns).enumerate().map(|(index, (text, column))| {
            // The first column is what the eye runs down.
            let is_right_aligned = column.is_right_aligned && index > 0;
            let alignment = if is_right_aligned { CellAlignment::Right } else { CellAlignment::Left };
            comfy_table::Cell::new(text).set_alignment(alignment)
        });
        aligned.collect()
    };
    table.set_header(cells(content.columns.iter().map(|column| column.title.clone()).collect()));
    for row in &content.rows {
        table.add_row(cells(row.iter().map(cell).collect()));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for (index, line) in table.lines().enumerate() {
        let line = line.trim_end();
        let _ = if index == 0 { writeln!(page, "{DIM}{line}{DIM:#}") } else { writeln!(page, "{line}") };
    }
    if let Some((hidden, cure)) = content.hidden {
        let _ = writeln!(page, "{DIM}{} more: {cure}{DIM:#}", count(hidden));
    }
}

fn cell(cell: &Cell) -> String {
    match cell {
        Cell::Plain(text) | Cell::Strong(text) => text.clone(),
        Cell::Name(text, width) => fitted(text, *width),
        Cell::Path(text, width) => fitted_path(text, *width),
    }
}

/// What a star after a number means.
pub(crate) fn star_note() -> Block {
    Block::Lines(format!("{DIM}* the best{DIM:#}\n"))
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
    fn long_sentences_are_wrapped_under_their_mark() {
        let mut page = String::new();
        wrapped(&mut page, "note: ", &"word ".repeat(30), Style::new());
        let plain = anstream::adapter::strip_str(&page).to_string();
        assert!(plain.lines().all(|line| width(line) <= WIDTH));
        assert!(plain.lines().skip(1).all(|line| line.starts_with("      word")));
    }
}
