//! Rows that are most likely mislabelled, in every form: table, JSON, Markdown, CSV.

use std::fmt::Write as _;

use crate::report::csv::failed;
use crate::report::markdown::escaped;
use crate::report::numbers::{count, exact, percent, short};
use crate::report::summary::left_out_note;
use crate::report::table::{BOLD, DIM, WIDTH, aligned, wrapped};
use crate::report::text::{fitted, fitted_path, visible, width};
use crate::report::{ClassLimit, Format, json};
use embq_core::error::Result;
use embq_core::evaluation::InputDescription;
use embq_core::suspects::{SuspectList, SuspectRow};

/// The list in a format. A table and Markdown show the first `limit` rows.
///
/// # Errors
/// A list that cannot be serialised.
pub fn render(list: &SuspectList, format: Format, limit: ClassLimit) -> Result<String> {
    match format {
        Format::Table => Ok(table(list, limit)),
        Format::Json => json::serialise(list),
        Format::Markdown => Ok(markdown(list, limit)),
        Format::Csv => csv(list),
    }
}

/// The JSON Schema of a result of `embq suspects`.
///
/// # Errors
/// As for [`render`].
pub fn schema() -> Result<String> {
    json::schema_of::<SuspectList>("suspects")
}

fn subtitle(list: &SuspectList) -> String {
    let input = list.inputs.first();
    let shape = input.map(|input| format!("{} x {} {}", count(input.rows), count(input.dimensions), input.dtype));
    let parts = [
        shape.unwrap_or_default(),
        format!("{} classes", count(list.labels.classes)),
        list.settings.distance.to_string(),
        format!("{} nearest neighbours", list.settings.neighbours),
    ];
    parts.join(" · ")
}

/// What was found, in a sentence.
fn found(list: &SuspectList) -> String {
    if list.suspects.is_empty() {
        return "no row lies closer to another class, and no neighbours vote for another label".to_owned();
    }
    let (lie, first) =
        if list.suspects.len() == 1 { ("lies", "") } else { ("lie", "; the first are the most likely mislabelled") };
    format!(
        "{} of {} rows {lie} closer to another class or among rows of another{first}",
        count(list.suspects.len()),
        count(list.rows)
    )
}

fn shown(list: &SuspectList, limit: ClassLimit) -> &[SuspectRow] {
    match limit {
        ClassLimit::All => &list.suspects,
        ClassLimit::Worst(limit) => &list.suspects[..limit.min(list.suspects.len())],
    }
}

fn notes(list: &SuspectList) -> Vec<String> {
    list.warnings.iter().cloned().chain(left_out_note(&list.excluded)).collect()
}

fn table(list: &SuspectList, limit: ClassLimit) -> String {
    let mut page = String::new();
    let path = list.inputs.first().map(InputDescription::name).unwrap_or_default();
    let _ = writeln!(page, "{BOLD}{}{BOLD:#}", fitted_path(&path, WIDTH));
    let _ = writeln!(page, "{DIM}{}{DIM:#}\n", fitted(&subtitle(list), WIDTH));
    let shown = shown(list, limit);
    let numbers = |row: &SuspectRow| {
        [short(Some(row.silhouette)), percent(Some(row.neighbours_suggested)), percent(Some(row.neighbours_own))]
    };
    if !shown.is_empty() {
        let row_width = shown.iter().map(|row| row.row.to_string().len()).max().unwrap_or(0).max(3);
        let ids = shown.iter().any(|row| row.id.is_some());
        // What the numbers leave of the line is for names.
        let room = WIDTH - row_width - 2 - 12 - 9 - 9;
        let names = room / (2 + usize::from(ids)) - 2;
        let needed = shown.iter().flat_map(|row| [&row.label, &row.suggested]).map(|name| width(&visible(name))).max();
        let names = names.min(needed.unwrap_or(0).max(10));
        let lines = shown.iter().map(|row| {
            let [silhouette, suggested, own] = numbers(row);
            let mut line = vec![row.row.to_string(), silhouette, suggested, own];
            line.extend([fitted(&row.label, names), fitted(&row.suggested, names)]);
            line.extend(ids.then(|| fitted(row.id.as_deref().unwrap_or_default(), room - 2 * names - 6)));
            line
        });
        let mut header = vec!["row", "silhouette", "agree", "own", "label", "looks like"];
        header.extend(ids.then_some("id"));
        aligned(&mut page, header, lines.collect(), 3);
        let hidden = list.suspects.len() - shown.len();
        if hidden > 0 {
            let _ = writeln!(page, "{DIM}{} more: --limit all, or -o suspects.csv{DIM:#}", count(hidden));
        }
        page.push('\n');
    }
    for note in notes(list) {
        wrapped(&mut page, "note: ", &visible(&note), anstyle::Style::new());
    }
    wrapped(&mut page, "", &found(list), BOLD);
    page
}

fn markdown(list: &SuspectList, limit: ClassLimit) -> String {
    let mut text = String::new();
    let path = list.inputs.first().map(InputDescription::name).unwrap_or_default();
    let _ = writeln!(text, "## embq suspects: {}\n\n{}\n", escaped(&path), escaped(&subtitle(list)));
    let shown = shown(list, limit);
    let (ids, texts) = (shown.iter().any(|row| row.id.is_some()), shown.iter().any(|row| row.text.is_some()));
    let mut header = vec!["row", "label", "looks like", "silhouette", "neighbours that agree", "with its own label"];
    header.extend(ids.then_some("id"));
    header.extend(texts.then_some("text"));
    let _ = writeln!(text, "| {} |\n|{}", header.join(" | "), "---|".repeat(header.len()));
    for row in shown {
        let mut cells = vec![row.row.to_string(), escaped(&row.label), escaped(&row.suggested)];
        cells.extend([
            short(Some(row.silhouette)),
            percent(Some(row.neighbours_suggested)),
            percent(Some(row.neighbours_own)),
        ]);
        cells.extend(ids.then(|| escaped(row.id.as_deref().unwrap_or_default())));
        cells.extend(texts.then(|| escaped(row.text.as_deref().unwrap_or_default())));
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    for note in notes(list) {
        let _ = writeln!(text, "\n> {}", escaped(&note));
    }
    let _ = writeln!(text, "\n{}.", found(list));
    text
}

/// All suspects, one a line; ids and texts are columns where they were given.
fn csv(list: &SuspectList) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let ids = list.suspects.iter().any(|row| row.id.is_some());
    let texts = list.suspects.iter().any(|row| row.text.is_some());
    let optional = |given: bool, name: &'static str| given.then_some(name);
    let header =
        ["rank", "row", "label", "suggested", "suspicion", "silhouette", "neighbours_suggested", "neighbours_own"];
    writer
        .write_record(header.into_iter().chain(optional(ids, "id")).chain(optional(texts, "text")))
        .map_err(failed)?;
    for (rank, row) in list.suspects.iter().enumerate() {
        let numbers = [row.suspicion, row.silhouette, row.neighbours_suggested, row.neighbours_own].map(exact);
        let mut record = vec![(rank + 1).to_string(), row.row.to_string(), row.label.clone(), row.suggested.clone()];
        record.extend(numbers);
        record.extend(ids.then(|| row.id.clone().unwrap_or_default()));
        record.extend(texts.then(|| row.text.clone().unwrap_or_default()));
        writer.write_record(&record).map_err(failed)?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.into_error().into()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
