//! Values separated by commas or tabs: a table without types.

use ::csv::{ByteRecord, Reader, ReaderBuilder};
use rayon::prelude::*;

use crate::input::cells::{self, Cell, Place, no_rows, parse_number};
use crate::input::source::Source;
use crate::input::table::{Column, Kind, Table, VisitColumns};
use crate::input::{Contents, Format};
use embq_core::data::{ElementType, Embeddings, InMemory, Origin};
use embq_core::error::{Error, Result};

/// Comma-separated values with a header.
pub(crate) const FORMAT: Format = Format {
    name: "csv",
    extensions: &["csv"],
    recognises: |_| false,
    open: |source, _| Ok(Contents::Table(Box::new(CsvTable::open(source, b',')?))),
};

/// Values separated by tabs, with a header.
pub(crate) const TSV: Format = Format {
    name: "tsv",
    extensions: &["tsv", "tab"],
    recognises: |_| false,
    open: |source, _| Ok(Contents::Table(Box::new(CsvTable::open(source, b'\t')?))),
};

/// Rows that are split serially before they are parsed side by side.
const BATCH_ROWS: usize = 1024;

/// Rows in which the first value of a column is looked for.
const SNIFFED_ROWS: usize = 1000;

/// A CSV file whose header has been read.
struct CsvTable {
    source: Source,
    delimiter: u8,
    header: bool,
    columns: Vec<Column>,
}

impl CsvTable {
    /// Reads the header and, from the first values, which columns are numbers.
    ///
    /// The first value decides, not the whole column: one bad cell in a million numbers is then an error that names
    /// the cell, where a column turned to text would be left out of the embeddings without a word.
    fn open(source: &Source, delimiter: u8) -> Result<Self> {
        let mut reader = reader(&source.bytes, delimiter, false);
        let mut record = ByteRecord::new();
        if !next(&mut reader, &mut record, source)? {
            return Err(no_rows(&source.path));
        }
        let header = is_header(&record);
        let names = if header {
            names(&record, source)?
        } else {
            (0..record.len()).map(|position| position.to_string()).collect()
        };
        let mut numbers: Vec<Option<bool>> = vec![None; names.len()];
        let mut more = !header || next(&mut reader, &mut record, source)?;
        if !more {
            return Err(no_rows(&source.path));
        }
        for _ in 0..SNIFFED_ROWS {
            if !more || numbers.iter().all(Option::is_some) {
                break;
            }
            for (number, field) in numbers.iter_mut().zip(&record) {
                if number.is_none() && !field.is_empty() {
                    *number = Some(parse_field(field).is_some());
                }
            }
            more = next(&mut reader, &mut record, source)?;
        }
        let columns = names
            .into_iter()
            .zip(numbers)
            .map(|(name, number)| {
                let (kind, dtype) = match number {
                    Some(true) => (Kind::Numeral, "number"),
                    _ => (Kind::Text, "text"),
                };
                Column { name, kind, dtype: dtype.to_owned() }
            })
            .collect();
        Ok(CsvTable { source: source.clone(), delimiter, header, columns })
    }

    /// Hands over the records, some at a time, with the row of the first.
    fn batches(&self, mut use_batch: impl FnMut(usize, &[ByteRecord]) -> Result<()>) -> Result<()> {
        let mut reader = reader(&self.source.bytes, self.delimiter, self.header);
        let mut records = vec![ByteRecord::new(); BATCH_ROWS];
        let mut first_row = 0;
        loop {
            let mut filled = 0;
            while filled < BATCH_ROWS && next(&mut reader, &mut records[filled], &self.source)? {
                self.check_width(first_row + filled, &records[filled])?;
                filled += 1;
            }
            use_batch(first_row, &records[..filled])?;
            if filled < BATCH_ROWS {
                return Ok(());
            }
            first_row += filled;
        }
    }

    fn check_width(&self, row: usize, record: &ByteRecord) -> Result<()> {
        if record.len() == self.columns.len() {
            return Ok(());
        }
        let line = record.position().map_or(0, ::csv::Position::line);
        Err(Error::Row {
            name: self.source.path.clone(),
            row,
            problem: format!("line {line} has {} field(s), the first line has {}", record.len(), self.columns.len()),
            tip: Some(match self.delimiter {
                b'\t' => "a field with a tab in it must be quoted".to_owned(),
                _ => "a field with a comma in it must be quoted: \"a, b\"".to_owned(),
            }),
        })
    }

    fn place(&self, column: usize) -> Place<'_> {
        Place { path: &self.source.path, column: Some(&self.columns[column].name) }
    }

    /// A number, or the error that names the cell.
    fn number(&self, row: usize, column: usize, field: &[u8]) -> Result<f64> {
        match parse_field(field) {
            Some(number) => Ok(number),
            None => cells::number(self.place(column), row, Cell::Text(&String::from_utf8_lossy(field))),
        }
    }
}

impl Table for CsvTable {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn matrix(&self, columns: &[usize], origin: Origin) -> Result<Embeddings> {
        let dimensions = columns.len();
        let mut values = Vec::new();
        self.batches(|first_row, records| {
            let start = values.len();
            values.resize(start + records.len() * dimensions, 0.0);
            // The first error in row order, so that the same file always gives the same message.
            let error = values[start..].par_chunks_mut(dimensions).zip(records).enumerate().find_map_first(
                |(index, (target, record))| {
                    columns.iter().zip(target).find_map(|(&column, value)| {
                        let field = record.get(column).unwrap_or_default();
                        match self.number(first_row + index, column, field) {
                            Ok(number) => {
                                *value = number;
                                None
                            }
                            Err(error) => Some(error),
                        }
                    })
                },
            );
            error.map_or(Ok(()), Err)
        })?;
        if values.is_empty() {
            return Err(no_rows(&self.source.path));
        }
        let rows = values.len() / dimensions;
        Ok(Embeddings::new(origin, rows, dimensions, ElementType::F64, InMemory::of_rows(values, dimensions)))
    }

    fn cells(&self, columns: &[usize], visit: &mut VisitColumns<'_>) -> Result<()> {
        self.batches(|first_row, records| {
            for (index, record) in records.iter().enumerate() {
                let row = first_row + index;
                for (position, &column) in columns.iter().enumerate() {
                    let field = record.get(column).unwrap_or_default();
                    let text = std::str::from_utf8(field)
                        .map_err(|_| self.place(column).error(row, "it is not UTF-8 text", None))?;
                    let cell = if text.is_empty() { Cell::Missing } else { Cell::Text(text) };
                    visit(position, row, cell)?;
                }
            }
            Ok(())
        })
    }
}

fn reader(bytes: &[u8], delimiter: u8, header: bool) -> Reader<&[u8]> {
    // Flexible, because the widths are checked here, with a better message.
    ReaderBuilder::new().delimiter(delimiter).has_headers(header).flexible(true).from_reader(bytes)
}

fn next(reader: &mut Reader<&[u8]>, record: &mut ByteRecord, source: &Source) -> Result<bool> {
    reader.read_byte_record(record).map_err(|error| source.malformed(error.to_string(), None))
}

fn parse_field(field: &[u8]) -> Option<f64> {
    std::str::from_utf8(field).ok().and_then(parse_number)
}

/// Whether the first line names the columns. A line of numbers is data (`numpy.savetxt` writes no header), unless the
/// numbers count the columns, which is how pandas names the columns of a matrix.
fn is_header(record: &ByteRecord) -> bool {
    let all_numbers = record.iter().all(|field| parse_field(field).is_some());
    let counts_from = |first: usize| {
        record.iter().enumerate().all(|(position, field)| field == (position + first).to_string().as_bytes())
    };
    !all_numbers || record.len() > 1 && (counts_from(0) || counts_from(1))
}

fn names(record: &ByteRecord, source: &Source) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::with_capacity(record.len());
    let mut seen = std::collections::HashSet::new();
    for field in record {
        let name = std::str::from_utf8(field).ok().filter(|name| !name.contains('\0')).ok_or_else(|| {
            source.malformed("its first line is not UTF-8 text", Some("save the file as UTF-8".to_owned()))
        })?;
        if !seen.insert(name) {
            return Err(source.malformed(
                format!("two columns are called '{name}'"),
                Some("give every column a name of its own in the first line".to_owned()),
            ));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Role, embeddings_of, labels_of, weights_of};
    use embq_core::data::{Label, LabelType, MappedBytes};

    fn open(text: impl AsRef<[u8]>) -> Result<Contents> {
        let source = Source { path: "t.csv".into(), bytes: MappedBytes::from_memory(text.as_ref().to_vec()) };
        (FORMAT.open)(&source, Role::Embeddings)
    }

    fn embeddings(text: &str, selector: Option<&str>) -> Result<(Vec<String>, Vec<f64>)> {
        let embeddings = embeddings_of(&open(text)?, "t.csv", selector, &[])?;
        let mut out = vec![0.0; embeddings.rows() * embeddings.dimensions()];
        embeddings.blocks().read_f64(0..embeddings.rows(), &mut out)?;
        Ok((embeddings.columns().to_vec(), out))
    }

    fn labels(text: &str, column: &str) -> Result<(LabelType, Vec<Option<Label>>)> {
        let column = labels_of(&open(text)?, "t.csv", Some(column))?;
        let values = (0..column.len()).map(|row| column.get(row).cloned()).collect();
        Ok((column.label_type(), values))
    }

    const TABLE: &str = "x,label,y\n1,cat,2.5\n-3e2,\"dog, small\",4\n";

    #[test]
    fn the_numeric_columns_are_the_default() {
        let (columns, values) = embeddings(TABLE, None).unwrap();
        assert_eq!(columns, ["x", "y"]);
        assert_eq!(values, [1.0, 2.5, -300.0, 4.0]);
        assert_eq!(embeddings(TABLE, Some("y")).unwrap().1, [2.5, 4.0]);
        let embeddings = embeddings_of(&open(TABLE).unwrap(), "t.csv", None, &["x"]).unwrap();
        assert_eq!(embeddings.columns(), ["y"]);
        assert_eq!(embeddings.element_type(), ElementType::F64);
    }

    #[test]
    fn quoted_labels_keep_their_commas() {
        let (label_type, values) = labels(TABLE, "label").unwrap();
        assert_eq!(label_type, LabelType::Text);
        assert_eq!(values[1], Some(Label::Text("dog, small".into())));
    }

    #[test]
    fn labels_that_are_all_integers_are_integers() {
        let (label_type, values) = labels("x,l\n1,10\n2,\n3,9\n", "l").unwrap();
        assert_eq!(label_type, LabelType::Integer);
        assert_eq!(values, [Some(Label::Integer(10)), None, Some(Label::Integer(9))]);
        assert_eq!(labels("x,l\n1,007\n", "l").unwrap().1, [Some(Label::Text("007".into()))]);
        assert_eq!(labels("x,l\n1,1\n2,a\n", "l").unwrap().0, LabelType::Text);
    }

    #[test]
    fn a_cell_that_is_no_number_is_named() {
        let error = embeddings("x,y\n1,2\n3,4\n5,oops\n6,bad\n", None).unwrap_err();
        assert_eq!(error.to_string(), "t.csv: row 2, column 'y': 'oops' is not a number");
        let error = embeddings("x,y\n1,2\n,4\n", None).unwrap_err();
        assert_eq!(error.to_string(), "t.csv: row 1, column 'x': the value is missing");
    }

    #[test]
    fn the_first_bad_cell_is_named_in_large_files_too() {
        let mut text = String::from("x,y\n");
        for row in 0..5000 {
            text.push_str(if row >= 3000 { "1,bad\n" } else { "1,2\n" });
        }
        let error = embeddings(&text, None).unwrap_err();
        assert!(matches!(error, Error::Cell { row: 3000, .. }), "{error}");
    }

    #[test]
    fn a_ragged_row_is_named_with_its_line() {
        let error = embeddings("x,y\n1,2\n3,4,5\n", None).unwrap_err();
        assert!(matches!(&error, Error::Row { row: 1, .. }));
        assert_eq!(error.to_string(), "t.csv: row 1: line 3 has 3 field(s), the first line has 2");
        assert!(error.tip().unwrap().contains("quoted"));
    }

    #[test]
    fn a_first_line_of_numbers_is_data_unless_it_counts() {
        let (columns, values) = embeddings("0.5,2\n3,4\n", None).unwrap();
        assert_eq!(columns, ["0", "1"]);
        assert_eq!(values, [0.5, 2.0, 3.0, 4.0]);
        assert_eq!(embeddings("0,1\n3,4\n", None).unwrap().1, [3.0, 4.0]);
        assert_eq!(embeddings("1,2,3\n3,4,5\n", Some("2")).unwrap().1, [4.0]);
        assert_eq!(labels("0\n1\n", "0").unwrap().1.len(), 2);
    }

    #[test]
    fn the_index_that_pandas_writes_is_no_feature() {
        assert_eq!(embeddings(",x\n0,1.5\n1,2.5\n", None).unwrap().1, [1.5, 2.5]);
    }

    #[test]
    fn byte_order_marks_and_windows_line_ends_are_understood() {
        let (columns, values) = embeddings("\u{feff}x,y\r\n1,2\r\n", None).unwrap();
        assert_eq!(columns, ["x", "y"]);
        assert_eq!(values, [1.0, 2.0]);
    }

    #[test]
    fn weights_are_read_from_a_column() {
        let contents = open("w,l\n0.5,a\n2,b\n").unwrap();
        let weights = weights_of(&contents, "t.csv", Some("w")).unwrap();
        assert_eq!(weights.values, [0.5, 2.0]);
        assert_eq!(weights.origin.to_string(), "t.csv:w");
        let error = weights_of(&contents, "t.csv", Some("l")).unwrap_err();
        assert!(matches!(error, Error::ElementType { role: "row weights", .. }));
    }

    #[test]
    fn headers_that_name_nothing_are_refused() {
        assert!(embeddings("x,x\n1,2\n", None).unwrap_err().to_string().contains("two columns are called 'x'"));
        assert!(embeddings("x,y\n", Some("x")).unwrap_err().to_string().contains("no rows"));
        assert!(embeddings("\n\n", None).unwrap_err().to_string().contains("no rows"));
        assert!(embeddings("a,b\nc,d\n", None).is_err());
        let error = open(b"\xff\xfex\0,\0y\0").err().unwrap();
        assert!(error.to_string().contains("UTF-8"), "{error}");
    }

    #[test]
    fn a_label_that_is_not_utf8_is_named() {
        let contents = open(b"x,l\n1,a\n2,\xe9\n").unwrap();
        let error = labels_of(&contents, "t.csv", Some("l")).unwrap_err();
        assert!(matches!(error, Error::Cell { row: 1, .. }), "{error}");
    }
}
