//! Single values of a column, in any format, and the labels and row weights made from them.

use embq_core::data::{LabelColumn, LabelColumnBuilder, LabelType, Origin};
use embq_core::error::{Error, Result};

/// One value of a column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Cell<'a> {
    Missing,
    Integer(i128),
    Float(f64),
    Boolean(bool),
    Text(&'a str),
}

/// Receives the cells of a reader: the row, counted from 0, and its value.
pub(crate) type Visit<'v> = dyn FnMut(usize, Cell<'_>) -> Result<()> + 'v;

/// The path and, in a table, the column of a cell, for errors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub path: &'a str,
    pub column: Option<&'a str>,
}

impl Place<'_> {
    /// An error in one row.
    pub fn error(&self, row: usize, problem: impl Into<String>, tip: Option<&str>) -> Error {
        match self.column {
            Some(column) => {
                Error::Cell { name: self.path.to_owned(), row, column: column.to_owned(), problem: problem.into() }
            }
            None => {
                Error::Row { name: self.path.to_owned(), row, problem: problem.into(), tip: tip.map(str::to_owned) }
            }
        }
    }
}

/// Larger floats are never labels: float64 does not represent every integer above this.
const LARGEST_FLOAT_LABEL: f64 = 9_007_199_254_740_992.0;

/// The float as an integer, if it is one.
pub(crate) fn integral(value: f64) -> Option<i128> {
    (value.fract() == 0.0 && value.abs() <= LARGEST_FLOAT_LABEL).then_some(value as i128)
}

/// Collects labels of one type, possibly from several files.
///
/// Integral floats count as labels, because pandas turns an integer column with a missing value into floats.
pub(crate) struct LabelCollector {
    builder: LabelColumnBuilder,
    rows: usize,
}

impl LabelCollector {
    pub fn new(label_type: LabelType) -> Self {
        LabelCollector { builder: LabelColumnBuilder::new(label_type), rows: 0 }
    }

    /// Collects the labels of a file; `read` visits every row in order. Returns the number of rows.
    pub fn read(&mut self, place: Place<'_>, read: impl FnOnce(&mut Visit<'_>) -> Result<()>) -> Result<usize> {
        let builder = &mut self.builder;
        let mut rows = 0;
        read(&mut |row, cell| {
            rows += 1;
            match cell {
                Cell::Missing | Cell::Text("") => builder.push_missing(),
                Cell::Float(value) if value.is_nan() => builder.push_missing(),
                Cell::Integer(value) => builder.push_integer(value),
                Cell::Boolean(value) => builder.push_boolean(value),
                Cell::Text(value) => builder.push_text(value),
                Cell::Float(value) => match integral(value) {
                    Some(value) => builder.push_integer(value),
                    None => {
                        let tip = "labels are integers, text or booleans: round them in Python with array.astype(int)";
                        return Err(place.error(row, format!("the label {value} is not an integer"), Some(tip)));
                    }
                },
            }
            Ok(())
        })?;
        self.rows += rows;
        Ok(rows)
    }

    /// The collected labels.
    ///
    /// # Errors
    /// No rows at all.
    pub fn finish(self, origin: Origin) -> Result<LabelColumn> {
        if self.rows == 0 {
            return Err(no_rows(&origin.to_string()));
        }
        Ok(self.builder.finish(origin))
    }
}

/// Appends the row weights of a file. The data set checks that they are positive.
pub(crate) fn weights(
    place: Place<'_>,
    values: &mut Vec<f64>,
    read: impl FnOnce(&mut Visit<'_>) -> Result<()>,
) -> Result<()> {
    read(&mut |row, cell| {
        values.push(number(place, row, cell)?);
        Ok(())
    })
}

/// The number in a cell; text is parsed.
pub(crate) fn number(place: Place<'_>, row: usize, cell: Cell<'_>) -> Result<f64> {
    match cell {
        Cell::Integer(value) => Ok(value as f64),
        Cell::Float(value) => Ok(value),
        Cell::Text(text) if !text.trim().is_empty() => {
            parse_number(text).ok_or_else(|| place.error(row, format!("'{}' is not a number", excerpt(text)), None))
        }
        Cell::Missing | Cell::Text(_) => Err(place.error(row, "the value is missing", None)),
        Cell::Boolean(value) => Err(place.error(row, format!("{value} is not a number"), None)),
    }
}

/// Parses a number as people and programs write it; surrounding spaces are allowed.
pub(crate) fn parse_number(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

/// The error for an input with no rows.
pub(crate) fn no_rows(name: &str) -> Error {
    Error::NoRows { name: name.to_owned() }
}

/// The beginning of a text that may be very long.
pub(crate) fn excerpt(text: &str) -> String {
    const SHOWN: usize = 40;
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embq_core::data::Label;

    const PLACE: Place<'_> = Place { path: "labels.npy", column: None };

    fn read<'a>(cells: &'a [Cell<'a>]) -> impl FnOnce(&mut Visit<'_>) -> Result<()> + 'a {
        move |visit| cells.iter().enumerate().try_for_each(|(row, &cell)| visit(row, cell))
    }

    fn integers(cells: &[Cell<'_>]) -> Result<LabelColumn> {
        let mut labels = LabelCollector::new(LabelType::Integer);
        labels.read(PLACE, read(cells))?;
        labels.finish(Origin::new("labels.npy"))
    }

    #[test]
    fn integral_floats_are_integers_and_nan_is_missing() {
        let column = integers(&[Cell::Float(3.0), Cell::Float(f64::NAN), Cell::Float(-0.0)]).unwrap();
        assert_eq!(column.get(0), Some(&Label::Integer(3)));
        assert_eq!(column.get(1), None);
        assert_eq!(column.get(2), Some(&Label::Integer(0)));
    }

    #[test]
    fn other_floats_are_refused_with_their_row() {
        for value in [1.5, f64::INFINITY, 1e300] {
            let error = integers(&[Cell::Float(1.0), Cell::Float(value)]).unwrap_err();
            assert!(matches!(&error, Error::Row { row: 1, problem, .. } if problem.contains("not an integer")));
            assert!(error.tip().is_some());
        }
    }

    #[test]
    fn an_error_in_a_table_names_the_column() {
        let place = Place { path: "t.csv", column: Some("w") };
        let weights = |cells: &[Cell<'_>]| weights(place, &mut Vec::new(), read(cells)).unwrap_err();
        let error = weights(&[Cell::Float(1.0), Cell::Text("x")]);
        assert_eq!(error.to_string(), "t.csv: row 1, column 'w': 'x' is not a number");
        let error = weights(&[Cell::Missing]);
        assert_eq!(error.to_string(), "t.csv: row 0, column 'w': the value is missing");
    }

    #[test]
    fn nothing_is_an_error() {
        assert!(integers(&[]).unwrap_err().to_string().contains("no rows"));
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(excerpt("ä".repeat(50).as_str()), format!("{}...", "ä".repeat(40)));
        assert_eq!(excerpt("short"), "short");
    }
}
