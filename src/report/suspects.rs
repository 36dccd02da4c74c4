//! Rows that are most likely mislabelled, in every format.

use crate::report::document::{Block, Cell, Form, Report, Section, Table, input_name, input_shape, left, right};
use crate::report::numbers::{count, exact, percent, short};
use crate::report::summary::left_out_note;
use crate::report::terminal::WIDTH;
use crate::report::text::{visible, width};
use crate::report::{ClassLimit, Format, csv, json};
use embq_core::error::Result;
use embq_core::suspects::{SuspectList, SuspectRow};

/// The list in a format. A table and Markdown show the first `limit` rows.
///
/// # Errors
/// A list that cannot be serialised.
pub fn render(list: &SuspectList, format: Format, limit: ClassLimit) -> Result<String> {
    format.draw(|form| report(list, limit, form), || json::serialise(list), || csv(list))
}

fn subtitle(list: &SuspectList) -> String {
    let parts = [
        input_shape(&list.inputs),
        format!("{} classes", count(list.labels.classes)),
        list.settings.distance.to_string(),
        format!("{} nearest neighbours", list.settings.neighbours),
    ];
    parts.join(" · ")
}

/// The number of suspects, in a sentence.
fn found(list: &SuspectList) -> String {
    if list.suspects.is_empty() {
        return "no row lies closer to another class, and no neighbours vote for another label".to_owned();
    }
    let lie = if list.suspects.len() == 1 { "lies" } else { "lie" };
    let likely = match list.likely {
        0 => "none is likely mislabelled".to_owned(),
        1 => "the first is likely mislabelled".to_owned(),
        likely => format!("the first {} are likely mislabelled", count(likely)),
    };
    format!(
        "{} of {} rows {lie} closer to another class or among its rows; {likely}",
        count(list.suspects.len()),
        count(list.rows)
    )
}

fn notes(list: &SuspectList) -> Vec<String> {
    list.warnings.iter().cloned().chain(left_out_note(&list.excluded)).collect()
}

fn report(list: &SuspectList, limit: ClassLimit, form: Form) -> Report {
    let shown = &list.suspects[..limit.of(list.suspects.len())];
    let table = match form {
        Form::Terminal => narrow(shown, list.suspects.len() - shown.len()),
        Form::Markdown => wide(shown),
    };
    let is_drawn = !shown.is_empty() || form == Form::Markdown;
    let section = Section {
        subtitle: Some(subtitle(list)),
        blocks: is_drawn.then_some(Block::Table(table)).into_iter().collect(),
        notes: notes(list),
        conclusion: Some(found(list)),
        ..Section::default()
    };
    Report { command: "embq suspects", title: input_name(&list.inputs), sections: vec![section] }
}

/// Silhouette, and the shares of neighbours for the suggested and for the row's own label.
fn numbers(row: &SuspectRow) -> [Cell; 3] {
    let shares = [row.neighbours_suggested, row.neighbours_own].map(|share| Cell::Plain(percent(Some(share))));
    let [suggested, own] = shares;
    [Cell::Plain(short(Some(row.silhouette))), suggested, own]
}

/// The table that fits a terminal.
fn narrow(shown: &[SuspectRow], hidden: usize) -> Table {
    let row_width = shown.iter().map(|row| row.row.to_string().len()).max().unwrap_or(0).max(3);
    let has_ids = shown.iter().any(|row| row.id.is_some());
    // Names get what the numbers leave of the line.
    let room = WIDTH - row_width - 2 - 12 - 9 - 9;
    let names = room / (2 + usize::from(has_ids)) - 2;
    let needed = shown.iter().flat_map(|row| [&row.label, &row.suggested]).map(|name| width(&visible(name))).max();
    let names = names.min(needed.unwrap_or(0).max(10));
    let name = |text: &String| Cell::Name(text.clone(), names);
    let rows = shown.iter().map(|row| {
        let id = has_ids.then(|| Cell::Name(row.id.clone().unwrap_or_default(), room - 2 * names - 6));
        let names = [name(&row.label), name(&row.suggested)];
        std::iter::once(row.row.to_string().into()).chain(numbers(row)).chain(names).chain(id).collect()
    });
    let mut columns = vec![left("row"), right("silhouette"), right("agree"), right("own"), left("label")];
    columns.push(left("looks like"));
    columns.extend(has_ids.then(|| left("id")));
    Table { columns, rows: rows.collect(), hidden: (hidden > 0).then_some((hidden, "--limit all, or -o suspects.csv")) }
}

/// The table with all columns.
fn wide(shown: &[SuspectRow]) -> Table {
    let name = |text: &String| Cell::Name(text.clone(), usize::MAX);
    let has_ids = shown.iter().any(|row| row.id.is_some());
    let has_texts = shown.iter().any(|row| row.text.is_some());
    let rows = shown.iter().map(|row| {
        let mut cells = vec![row.row.to_string().into(), name(&row.label), name(&row.suggested)];
        cells.extend(numbers(row));
        cells.extend(has_ids.then(|| name(&row.id.clone().unwrap_or_default())));
        cells.extend(has_texts.then(|| name(&row.text.clone().unwrap_or_default())));
        cells
    });
    let titles = ["row", "label", "looks like", "silhouette", "neighbours that agree", "with its own label"];
    let titles = titles.into_iter().chain(has_ids.then_some("id")).chain(has_texts.then_some("text"));
    Table { columns: titles.map(left).collect(), rows: rows.collect(), hidden: None }
}

/// All suspects, one per line, with ids and texts if given.
fn csv(list: &SuspectList) -> Result<String> {
    let has_ids = list.suspects.iter().any(|row| row.id.is_some());
    let has_texts = list.suspects.iter().any(|row| row.text.is_some());
    csv::text(|write| {
        let mut header = vec![
            "rank",
            "row",
            "label",
            "suggested",
            "suspicion",
            "silhouette",
            "neighbours_suggested",
            "neighbours_own",
            "likely",
        ];
        header.extend(has_ids.then_some("id"));
        header.extend(has_texts.then_some("text"));
        write(&header)?;
        for (rank, row) in list.suspects.iter().enumerate() {
            let places = [rank + 1, row.row].map(|number| number.to_string());
            let numbers = [row.suspicion, row.silhouette, row.neighbours_suggested, row.neighbours_own].map(exact);
            let mut record: Vec<&str> = places.iter().chain([&row.label, &row.suggested]).map(String::as_str).collect();
            record.extend(numbers.iter().map(String::as_str));
            record.push(if rank < list.likely { "true" } else { "false" });
            record.extend(has_ids.then(|| row.id.as_deref().unwrap_or_default()));
            record.extend(has_texts.then(|| row.text.as_deref().unwrap_or_default()));
            write(&record)?;
        }
        Ok(())
    })
}
