//! What is probably wrong with embeddings and labels that can be read: an error or a note says so.

use std::collections::HashMap;

use crate::input::Contents;
use crate::input::cells::Cell;
use crate::input::choice::{is_index, numbered};
use crate::input::refused::converted_name;
use crate::input::shards::Opened;
use crate::input::table::Column;
use embq_core::data::{Embeddings, Label, LabelColumn};
use embq_core::error::{Error, Result};

/// Refuses a matrix with a row for each dimension: it has as many columns as there are labels.
///
/// # Errors
/// The number of rows differs from that of the labels, and the number of columns does not.
pub(super) fn not_transposed(own: &Opened, embeddings: &[Embeddings], labels: &LabelColumn) -> Result<()> {
    let [matrix] = embeddings else { return Ok(()) };
    let (rows, columns) = (matrix.rows(), matrix.dimensions());
    if rows == labels.len() || columns != labels.len() {
        return Ok(());
    }
    let origin = matrix.origin();
    let tip = if own.is_of_numpy() {
        let output = converted_name(&origin.path, "rows.npy");
        let key = origin.selector.as_ref().map(|key| format!("[{key:?}]")).unwrap_or_default();
        format!("if so, save it with its rows first: numpy.save({output}, numpy.load({:?}){key}.T)", origin.path)
    } else {
        "save it with one row for each label".to_owned()
    };
    Err(Error::RowCountsExplained {
        left: origin.to_string(),
        left_rows: rows,
        right: labels.origin().to_string(),
        right_rows: labels.len(),
        problem: format!("it has {columns} columns: is it transposed?"),
        tip,
    })
}

/// A note on a dimension that looks like the labels themselves: a whole number for each class, in columns without names of
/// their own. Labels make every metric look better that they are part of.
pub(super) fn labels_among_dimensions(embeddings: &Embeddings, labels: &LabelColumn) -> Option<String> {
    /// Fewer rows agree by chance.
    const ROWS: usize = 10;
    let (columns, rows) = (embeddings.columns(), embeddings.rows());
    let values = embeddings.blocks().as_f64()?;
    if columns.len() < 2 || columns.len() != embeddings.dimensions() || rows < ROWS || rows != labels.len() {
        return None;
    }
    // Most columns are ruled out by the first few rows.
    let mut left: Vec<(usize, HashMap<&Label, f64>)> =
        (0..columns.len()).map(|column| (column, HashMap::new())).collect();
    for (row, values) in values.chunks_exact(columns.len()).enumerate() {
        let Some(label) = labels.get(row) else { continue };
        left.retain_mut(|(column, of_class)| {
            let value = values[*column];
            value.fract() == 0.0 && *of_class.entry(label).or_insert(value) == value
        });
        if left.is_empty() {
            return None;
        }
    }
    let is_label = |(_, of_class): &&(usize, HashMap<&Label, f64>)| {
        let mut values: Vec<f64> = of_class.values().copied().collect();
        values.sort_by(f64::total_cmp);
        values.len() > 1 && values.len() < rows && values.windows(2).all(|pair| pair[0] < pair[1])
    };
    let (column, _) = left.iter().find(is_label)?;
    let path = &embeddings.origin().path;
    let cure = match *column {
        0 => format!("{path}:{}..{}", columns[1], columns[columns.len() - 1]),
        last if last + 1 == columns.len() => format!("{path}:{}..{}", columns[0], columns[last - 1]),
        _ => format!("{path}:FIRST..LAST"),
    };
    Some(format!(
        "{path}: column '{}' has a number of its own for each label, and is one of the dimensions; if it is the label, \
         leave it out with {cure}",
        columns[*column]
    ))
}

/// Notes on files that are paired by position although a column of theirs numbers the rows in another order.
pub(super) fn out_of_order(own: &Opened, others: &[&Opened], rows: usize) -> Vec<String> {
    if others.is_empty() {
        return Vec::new();
    }
    let own = RowNumbers::of(own);
    let mut notes = Vec::new();
    let mut told = false;
    for other in others.iter().map(|other| RowNumbers::of(other)) {
        if let (Some(own), Some(other)) = (&own, &other)
            && own.seen == other.seen
        {
            continue;
        }
        if !told {
            notes.extend(own.as_ref().and_then(|own| own.out_of_order(rows)));
            told = true;
        }
        notes.extend(other.and_then(|other| other.out_of_order(rows)));
    }
    notes
}

/// The first values of a column that numbers rows.
struct RowNumbers {
    path: String,
    column: String,
    seen: Vec<String>,
}

impl RowNumbers {
    fn of(opened: &Opened) -> Option<Self> {
        /// Names of columns that number rows besides those of an index, in lower case.
        const NAMES: [&str; 6] = ["custom_id", "id", "idx", "row", "row_id", "key"];
        /// Rows that are looked at.
        const SEEN: usize = 100;
        let (path, contents) = opened.only_file()?;
        let Contents::Table(table) = contents else { return None };
        let numbers_rows = |(position, column): (usize, &Column)| {
            is_index(&column.candidate(), position) || NAMES.contains(&column.name.to_lowercase().as_str())
        };
        let place = table.columns().iter().enumerate().position(numbers_rows)?;
        let mut seen: Vec<String> = Vec::new();
        let mut look = |_: usize, _: usize, cell: Cell<'_>| {
            match cell {
                Cell::Text(text) => seen.push(text.trim().to_owned()),
                Cell::Integer(number) => seen.push(number.to_string()),
                Cell::Missing | Cell::Float(_) | Cell::Boolean(_) => return Err(Error::Cancelled),
            }
            // An error ends the reading.
            if seen.len() < SEEN { Ok(()) } else { Err(Error::Cancelled) }
        };
        let is_whole = table.cells(&[place], &mut look).is_ok();
        let column = table.columns()[place].name.clone();
        (is_whole || seen.len() == SEEN).then(|| RowNumbers { path: path.to_owned(), column, seen })
    }

    /// A note if these are different numbers up to the number of rows that do not rise.
    fn out_of_order(&self, rows: usize) -> Option<String> {
        let numbers: Vec<(&str, u64)> = self.seen.iter().map(|name| numbered(name)).collect::<Option<_>>()?;
        let back = numbers.windows(2).position(|pair| pair[0].1 > pair[1].1)?;
        let counts = |(prefix, number): &(&str, u64)| *prefix == numbers[0].0 && *number <= rows as u64;
        let mut sorted = numbers.clone();
        sorted.sort_unstable();
        sorted.dedup();
        if sorted.len() < numbers.len().max(3) || !numbers.iter().all(counts) {
            return None;
        }
        let RowNumbers { path, column, seen } = self;
        Some(format!(
            "{path}: its rows are not in the order of its column '{column}' ({} comes before {}), and are paired with those \
             of the other file as they are",
            seen[back],
            seen[back + 1]
        ))
    }
}
