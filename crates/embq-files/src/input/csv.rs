//! Values separated by commas, tabs, semicolons, bars or spaces: an untyped table.
//!
//! The delimiter and whether the first line is a header are detected from the content; the extension only says which
//! delimiter to prefer.

use std::sync::Arc;

use ::csv::{ByteRecord, Reader, ReaderBuilder};
use rayon::prelude::*;

use crate::input::cells::{Cell, Place, excerpt, no_rows, parse_number};
use crate::input::pasted::quoted;
use crate::input::refused::converted_path;
use crate::input::source::{Header, Source};
use crate::input::table::{Column, Kind, Table, Unreadable, VisitColumns};
use crate::input::vector_text::{self, Texts, is_missing};
use crate::input::{Contents, Format};
use embq_core::data::{ElementType, Embeddings, InMemory, Origin, RowFault, RowFaults};
use embq_core::error::{Error, Result};

pub(crate) const FORMAT: Format = Format {
    name: "csv",
    extensions: &["csv"],
    recognises: |_| false,
    open: |source, _| Ok(Contents::Table(Box::new(CsvTable::open(source, b',')?))),
};

pub(crate) const TSV: Format = Format {
    name: "tsv",
    extensions: &["tsv", "tab"],
    recognises: |_| false,
    open: |source, _| Ok(Contents::Table(Box::new(CsvTable::open(source, b'\t')?))),
};

/// Rows that are split serially before they are parsed in parallel.
const BATCH_ROWS: usize = 1024;

/// Rows examined to detect the types of the columns.
const SNIFFED_ROWS: usize = 200;

/// Bytes examined to detect the delimiter.
const SNIFFED_BYTES: usize = 1 << 16;

/// Lines examined to detect the delimiter.
const SNIFFED_LINES: usize = 20;

/// A CSV file whose header has been read.
struct CsvTable {
    source: Source,
    layout: Layout,
    header: bool,
    columns: Vec<Column>,
    /// The vector length of each column that contains vectors as text.
    lengths: Vec<Option<usize>>,
}

/// How a line is divided into values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    /// A space matches any run of spaces and tabs.
    delimiter: u8,
    /// Whether `1,5` is a number.
    decimal_comma: bool,
}

impl Layout {
    /// Parses a number; `None` for anything else.
    fn number(self, field: &[u8]) -> Option<f64> {
        let text = std::str::from_utf8(field).ok()?;
        if self.decimal_comma && text.contains(['.', ',']) {
            return decimal_comma(text);
        }
        parse_number(text)
    }
}

/// Parses a number with a decimal comma.
fn decimal_comma(text: &str) -> Option<f64> {
    if text.contains('.') || text.matches(',').count() != 1 {
        return None;
    }
    parse_number(&text.replace(',', "."))
}

impl CsvTable {
    /// Detects the delimiter and reads the header and, from the first rows, the types of the columns.
    ///
    /// The majority of the values decides. A bad cell among numbers then makes its row unusable, which is reported,
    /// whereas a column turned to text would silently be left out of the embeddings.
    fn open(source: &Source, usual: u8) -> Result<Self> {
        let source = source.as_text()?;
        let mut layout = Layout { delimiter: delimiter(&source.bytes, usual), decimal_comma: false };
        let mut records = Records::new(&source, layout.delimiter);
        let mut sniffed = Vec::new();
        let mut record = ByteRecord::new();
        while sniffed.len() <= SNIFFED_ROWS && records.next(&mut record)? {
            sniffed.push(record.clone());
        }
        let Some((first, rest)) = sniffed.split_first() else {
            return Err(no_rows(&source.path));
        };
        if layout.delimiter != b' ' && source.hints.header != Header::No && is_comment(first, rest) {
            return Err(comments(&source));
        }
        layout.decimal_comma = layout.delimiter != b',' && has_decimal_commas(&sniffed);
        let header = match source.hints.header {
            Header::Yes => true,
            Header::No => false,
            Header::Auto => is_header(first, rest, layout, &source)?,
        };
        let names = if header {
            names(first, &source)?
        } else {
            (0..first.len()).map(|position| position.to_string()).collect()
        };
        let rows = if header { rest } else { &sniffed[..] };
        if rows.is_empty() {
            return Err(no_rows(&source.path));
        }
        let mut columns = Vec::with_capacity(names.len());
        let mut lengths = Vec::with_capacity(names.len());
        for (position, name) in names.into_iter().enumerate() {
            let (column, length) = column(name, rows.iter().filter_map(|row| row.get(position)), layout);
            columns.push(column);
            lengths.push(length);
        }
        Ok(CsvTable { source, layout, header, columns, lengths })
    }

    /// Passes batches of records to `use_batch`, each with the row number of its first.
    fn batches(&self, mut use_batch: impl FnMut(usize, &[ByteRecord]) -> Result<()>) -> Result<()> {
        let mut reader = Records::new(&self.source, self.layout.delimiter);
        let mut records = vec![ByteRecord::new(); BATCH_ROWS];
        if self.header {
            reader.next(&mut records[0])?;
        }
        let mut first_row = 0;
        loop {
            let mut filled = 0;
            while filled < BATCH_ROWS && reader.next(&mut records[filled])? {
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
            tip: Some(match self.layout.delimiter {
                b',' => "a field with a comma in it must be quoted: \"a, b\"".to_owned(),
                b'\t' => "a field with a tab in it must be quoted".to_owned(),
                b' ' => "the fields are separated by spaces: a field with a space in it must be quoted".to_owned(),
                other => format!("the fields are separated by '{}'", char::from(other)),
            }),
        })
    }

    fn place(&self, column: usize) -> Place<'_> {
        Place { path: &self.source.path, column: Some(&self.columns[column].name) }
    }

    fn fault(&self, column: usize, problem: String) -> RowFault {
        RowFault { column: Some(self.columns[column].name.clone()), problem }
    }

    /// Why a field is not a number.
    fn no_number(&self, field: &[u8]) -> String {
        let text = String::from_utf8_lossy(field);
        let text = text.trim();
        if text.is_empty() {
            "the value is missing".to_owned()
        } else if is_missing(text) {
            format!("the value is missing ('{text}')")
        } else if decimal_comma(text).is_some() {
            format!("'{text}' has a decimal comma, which is only read if the fields are separated by ';'")
        } else {
            format!("'{}' is not a number", excerpt(text))
        }
    }

    /// Number columns side by side.
    fn numbers(&self, columns: &[usize], origin: Origin) -> Result<Embeddings> {
        let dimensions = columns.len();
        let mut values = Vec::new();
        let faults = RowFaults::default();
        self.batches(|first_row, records| {
            let start = values.len();
            values.resize(start + records.len() * dimensions, 0.0);
            let rows = values[start..].par_chunks_mut(dimensions).zip(records).enumerate();
            rows.for_each(|(index, (target, record))| {
                for (&column, value) in columns.iter().zip(target) {
                    let field = record.get(column).unwrap_or_default();
                    *value = self.layout.number(field).unwrap_or_else(|| {
                        faults.add(first_row + index, || self.fault(column, self.no_number(field)));
                        f64::NAN
                    });
                }
            });
            Ok(())
        })?;
        if values.is_empty() {
            return Err(no_rows(&self.source.path));
        }
        let rows = values.len() / dimensions;
        let blocks = InMemory::of_rows(values, dimensions);
        let embeddings = Embeddings::new(origin, rows, dimensions, ElementType::F64, blocks);
        Ok(embeddings.with_faults(Arc::new(faults)))
    }

    /// A column of vectors written as text.
    fn vectors(&self, column: usize, origin: Origin) -> Result<Embeddings> {
        let is_base64 = self.columns[column].kind == Kind::Base64;
        let Some(dimensions) = self.lengths[column] else {
            return Err(self.place(column).error(0, "the vectors have different lengths", None));
        };
        let element_type = if is_base64 { ElementType::F32 } else { ElementType::F64 };
        let mut values = Vec::new();
        let faults = RowFaults::default();
        self.batches(|first_row, records| {
            let start = values.len();
            values.resize(start + records.len() * dimensions, f64::NAN);
            let rows = values[start..].par_chunks_mut(dimensions).zip(records).enumerate();
            rows.for_each_init(Vec::new, |buffer, (index, (target, record))| {
                let field = String::from_utf8_lossy(record.get(column).unwrap_or_default());
                match vector_text::cell(&field, is_base64, dimensions, buffer) {
                    Ok(()) => target.copy_from_slice(buffer),
                    Err(problem) => faults.add(first_row + index, || self.fault(column, problem)),
                }
            });
            Ok(())
        })?;
        if values.is_empty() {
            return Err(no_rows(&self.source.path));
        }
        Ok(vector_text::embeddings(origin, values, dimensions, element_type, faults))
    }
}

impl Table for CsvTable {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn is_positional(&self) -> bool {
        !self.header
    }

    fn matrix(&self, columns: &[usize], origin: Origin) -> Result<Embeddings> {
        match columns {
            &[only] if self.columns[only].kind.is_vectors() => self.vectors(only, origin),
            _ => self.numbers(columns, origin),
        }
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

/// The type of a column and the length of its vectors, if it contains any.
fn column<'r>(name: String, fields: impl Iterator<Item = &'r [u8]>, layout: Layout) -> (Column, Option<usize>) {
    let texts: Vec<&str> = fields.filter_map(|field| std::str::from_utf8(field).ok()).collect();
    let present = || texts.iter().filter(|text| !is_missing(text.trim()));
    let numbers: Vec<&str> = present().filter(|text| layout.number(text.as_bytes()).is_some()).copied().collect();
    // The first value breaks a tie.
    let first = present().next().is_some_and(|text| layout.number(text.as_bytes()).is_some());
    if 2 * numbers.len() + usize::from(first) > present().count() {
        let is_whole = |text: &&str| {
            let text = text.trim();
            let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
            !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
        };
        let whole = numbers.iter().all(is_whole);
        let dtype = if whole { "integer" } else { "number" };
        return (Column::new(name, Kind::Numeral { whole }, dtype), None);
    }
    match vector_text::recognise(texts.into_iter()) {
        Texts::Vectors(Some(length)) => {
            (Column::new(name, Kind::TextList, format!("text with vectors of {length} values")), Some(length))
        }
        Texts::Vectors(None) => {
            let mut column = Column::new(name, Kind::Other, "text with lists of different lengths");
            column.unreadable = Some(Unreadable::uneven(false));
            (column, None)
        }
        Texts::Shortened => {
            let mut column = Column::new(name, Kind::Other, "text with shortened vectors");
            column.unreadable = Some(Unreadable::shortened());
            (column, None)
        }
        Texts::Nested => {
            let mut column = Column::new(name, Kind::Other, "text with lists of lists");
            column.unreadable = Some(Unreadable::nested());
            (column, None)
        }
        Texts::Base64(length) => (Column::new(name, Kind::Base64, format!("base64 of {length} f32")), Some(length)),
        Texts::Plain => (Column::new(name, Kind::Text, "text"), None),
    }
}

/// The records of a file; lines separated by spaces are split at runs of them.
enum Records<'s> {
    Separated { reader: Reader<&'s [u8]>, source: &'s Source },
    Spaced { rest: &'s [u8], line: u64 },
}

impl<'s> Records<'s> {
    fn new(source: &'s Source, delimiter: u8) -> Self {
        if delimiter == b' ' {
            return Records::Spaced { rest: &source.bytes, line: 0 };
        }
        // Flexible, because widths are checked here with a better message.
        let reader =
            ReaderBuilder::new().delimiter(delimiter).has_headers(false).flexible(true).from_reader(&source.bytes[..]);
        Records::Separated { reader, source }
    }

    /// Reads the next record; false at the end.
    fn next(&mut self, record: &mut ByteRecord) -> Result<bool> {
        match self {
            Records::Separated { reader, source } => {
                // In a table with several columns, a blank line is not a row.
                loop {
                    let read = reader.read_byte_record(record);
                    let more = read.map_err(|error| source.malformed(error.to_string(), None))?;
                    let is_blank =
                        more && record.len() == 1 && !record[0].is_empty() && record[0].trim_ascii().is_empty();
                    if !is_blank {
                        return Ok(more);
                    }
                }
            }
            Records::Spaced { rest, line } => loop {
                if rest.is_empty() {
                    return Ok(false);
                }
                let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
                let text = rest[..end].trim_ascii();
                *rest = rest.get(end + 1..).unwrap_or_default();
                *line += 1;
                if text.is_empty() {
                    continue;
                }
                record.clear();
                // NumPy writes the header as a comment.
                let text = text.strip_prefix(b"#").unwrap_or(text);
                split_spaces(text, |field| record.push_field(field));
                let mut position = ::csv::Position::new();
                position.set_line(*line);
                record.set_position(Some(position));
                return Ok(true);
            },
        }
    }
}

/// Splits a line at runs of spaces outside quotes.
fn split_spaces(line: &[u8], mut field: impl FnMut(&[u8])) {
    let mut rest = line.trim_ascii();
    while !rest.is_empty() {
        let (found, after) = match rest.strip_prefix(b"\"") {
            Some(quoted) => {
                let end = quoted.iter().position(|&byte| byte == b'"').unwrap_or(quoted.len());
                (&quoted[..end], quoted.get(end + 1..).unwrap_or_default())
            }
            None => {
                let end = rest.iter().position(|byte| byte.is_ascii_whitespace()).unwrap_or(rest.len());
                rest.split_at(end)
            }
        };
        field(found);
        rest = after.trim_ascii_start();
    }
}

/// Detects the delimiter: the one that splits all of the first lines into the same number of fields, most of them
/// numbers. Falls back to `usual`.
fn delimiter(bytes: &[u8], usual: u8) -> u8 {
    let lines = first_lines(&bytes[..bytes.len().min(SNIFFED_BYTES)], bytes.len() <= SNIFFED_BYTES);
    let candidates = [usual, b',', b'\t', b';', b'|', b' '];
    let mut best = (usual, 0);
    for (place, &candidate) in candidates.iter().enumerate() {
        if candidates[..place].contains(&candidate) {
            continue;
        }
        let mut widths = lines.iter().map(|line| fields(line, candidate).len());
        let Some(width) = widths.next().filter(|&width| width > 1) else { continue };
        if !widths.all(|other| other == width) {
            continue;
        }
        let numbers = lines.iter().flat_map(|line| fields(line, candidate)).filter(|field| {
            let text = String::from_utf8_lossy(field);
            parse_number(&text).is_some() || candidate == b';' && decimal_comma(&text).is_some()
        });
        let numbers = numbers.count();
        // Text contains spaces too, so only numbers suggest that spaces are a delimiter.
        let is_likely = candidate != b' ' || 2 * numbers > width * lines.len().saturating_sub(1);
        // Offset by one so that a table of text counts as well.
        if is_likely && numbers + 1 > best.1 {
            best = (candidate, numbers + 1);
        }
    }
    best.0
}

/// The first nonblank lines, ignoring line ends in quotes. A line cut off at the end is left out.
fn first_lines(bytes: &[u8], whole: bool) -> Vec<&[u8]> {
    let mut lines = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (at, &byte) in bytes.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'\n' if !quoted => {
                lines.push(&bytes[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        if lines.len() > SNIFFED_LINES {
            break;
        }
    }
    if start < bytes.len() && (whole || lines.is_empty()) && lines.len() <= SNIFFED_LINES {
        lines.push(&bytes[start..]);
    }
    lines.retain(|line| !line.trim_ascii().is_empty());
    lines
}

/// The fields of a line, ignoring delimiters in quotes or brackets.
fn fields(line: &[u8], delimiter: u8) -> Vec<&[u8]> {
    let line = line.trim_ascii_end();
    // NumPy writes the header as a comment.
    let line = if delimiter == b' ' { line.strip_prefix(b"#").unwrap_or(line) } else { line };
    let mut found = Vec::new();
    let (mut start, mut quoted, mut depth) = (0, false, 0_usize);
    for (at, &byte) in line.iter().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b'[' | b'{' | b'(' if !quoted => depth += 1,
            b']' | b'}' | b')' if !quoted => depth = depth.saturating_sub(1),
            _ if byte == delimiter && !quoted && depth == 0 => {
                found.push(&line[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(&line[start..]);
    if delimiter == b' ' {
        found.retain(|field| !field.is_empty());
    }
    found
}

/// Whether numbers have decimal commas: some do, and none has a decimal point.
fn has_decimal_commas(records: &[ByteRecord]) -> bool {
    let fields = || records.iter().flatten().filter_map(|field| std::str::from_utf8(field).ok());
    fields().any(|text| decimal_comma(text).is_some())
        && !fields().any(|text| text.contains('.') && parse_number(text).is_some())
}

/// Whether the first line is a header. It is data if it has a number above a column of numbers, or text that occurs
/// again in its column. A line that counts the columns is a header, because pandas names the columns of a matrix that
/// way.
fn is_header(first: &ByteRecord, rest: &[ByteRecord], layout: Layout, source: &Source) -> Result<bool> {
    let is_number = |field: &[u8]| layout.number(field).is_some();
    let text = |field: &[u8]| String::from_utf8_lossy(field).trim().to_owned();
    if rest.is_empty() {
        return Ok(!first.iter().all(is_number));
    }
    let (mut numbers, mut over_numbers, mut comes_again) = (Vec::new(), None, false);
    for (position, field) in first.iter().enumerate() {
        if is_missing(&text(field)) {
            continue;
        }
        let column = || {
            let fields = rest.iter().filter_map(|record| record.get(position));
            fields.filter(|field| !is_missing(&text(field)))
        };
        let holds_numbers = 2 * column().filter(|field| is_number(field)).count() > column().count();
        match (is_number(field), holds_numbers) {
            (true, true) => numbers.push(text(field)),
            (false, true) => {
                over_numbers.get_or_insert_with(|| text(field));
            }
            (false, false) => comes_again |= column().any(|other| other == field),
            (true, false) => {}
        }
    }
    let counts_from =
        |first: usize| numbers.iter().enumerate().all(|(position, number)| *number == (position + first).to_string());
    let counts = numbers.len() > 1 && (counts_from(0) || counts_from(1));
    if numbers.is_empty() || counts {
        return Ok(over_numbers.is_some() || !comes_again);
    }
    match over_numbers {
        None => Ok(false),
        Some(name) => Err(source.malformed(
            format!(
                "does its first line name the columns? '{}' is above numbers, as a name would be, but '{}' is a number \
                 like those below it",
                excerpt(&name),
                excerpt(&numbers[0])
            ),
            Some("say so with --header yes or --header no".to_owned()),
        )),
    }
}

/// Whether the first line is a comment rather than the header that NumPy writes as one, which has a name for every column.
fn is_comment(first: &ByteRecord, rest: &[ByteRecord]) -> bool {
    let has_mark = |record: &ByteRecord| record.get(0).is_some_and(|field| field.starts_with(b"#"));
    has_mark(first) && rest.iter().find(|record| !has_mark(record)).is_some_and(|row| row.len() != first.len())
}

/// The error for a file that begins with comments.
fn comments(source: &Source) -> Error {
    let plain = converted_path(&source.path, &format!("plain.{}", source.extension()));
    source.malformed(
        "it begins with lines that start with # and are no header",
        Some(format!("leave them out: grep -v '^#' {} > {}", quoted(&source.path), quoted(&plain))),
    )
}

fn names(record: &ByteRecord, source: &Source) -> Result<Vec<String>> {
    let mut names: Vec<String> = Vec::with_capacity(record.len());
    let mut seen = std::collections::HashSet::new();
    for (position, field) in record.iter().enumerate() {
        // NumPy writes the header as a comment.
        let field = match field.strip_prefix(b"#") {
            Some(name) if position == 0 => name.trim_ascii_start(),
            _ => field,
        };
        let name = std::str::from_utf8(field).ok().filter(|name| !name.contains('\0')).ok_or_else(|| {
            source.malformed("its first line is not UTF-8 text", Some("save the file as UTF-8".to_owned()))
        })?;
        if !seen.insert(name) {
            return Err(source.malformed(
                format!("two columns are called '{name}'"),
                Some(
                    "give every column a different name in the first line, or write --header no if it is a row"
                        .to_owned(),
                ),
            ));
        }
        names.push(name.to_owned());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::source::Hints;
    use crate::input::{Role, embeddings_of, labels_of, weights_of};
    use embq_core::data::{Chosen, Label, LabelType, MappedBytes};

    fn open(text: impl AsRef<[u8]>) -> Result<Contents> {
        let source = Source::new("t.csv", MappedBytes::from_memory(text.as_ref().to_vec()));
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
        let error = embeddings_of(&open(TABLE).unwrap(), "t.csv", None, &["x"]).unwrap_err();
        assert!(error.to_string().contains("a single column of numbers ('y')"), "{error}");
        let embeddings = embeddings_of(&open(TABLE).unwrap(), "t.csv", None, &[]).unwrap();
        assert_eq!(embeddings.element_type(), ElementType::F64);
        assert_eq!(embeddings.chosen(), Chosen::Floats);
    }

    #[test]
    fn comments_before_the_header_are_told_how_to_be_left_out() {
        let tip = |text: &str| open(text).err().and_then(|error| error.tip());
        let wanted = Some("leave them out: grep -v '^#' t.csv > t.plain.csv");
        assert_eq!(tip("# version 2\nlabel,f0,f1\na,1,2\n").as_deref(), wanted);
        assert_eq!(tip("# by a, for b\n# version 2\nlabel,f0,f1\na,1,2\n").as_deref(), wanted);
        // What NumPy writes is a header, and labels may start with the mark.
        assert!(open("# f0,f1\n1,2\n3,4\n").is_ok());
        assert!(open("label,f0\n#one,1\n#two,2\n").is_ok());
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
        let text = "x,y\n1,2\n3,4\n5,oops\n6,7\n,8\n9,NA\n";
        let read = embeddings_of(&open(text).unwrap(), "t.csv", Some("x..y"), &[]).unwrap();
        let fault = |row| read.fault(row).map(|fault| format!("{} {}", fault.column.unwrap(), fault.problem));
        assert_eq!((fault(0), fault(3)), (None, None));
        assert_eq!(fault(2).unwrap(), "y 'oops' is not a number");
        assert_eq!(fault(4).unwrap(), "x the value is missing");
        assert_eq!(fault(5).unwrap(), "y the value is missing ('NA')");
        assert!(embeddings(text, Some("x..y")).unwrap().1[5].is_nan());
    }

    #[test]
    fn a_ragged_row_is_named_with_its_line() {
        let error = embeddings("x,y\n1,2\n3,4,5\n", Some("x..y")).unwrap_err();
        assert!(matches!(&error, Error::Row { row: 1, .. }));
        assert_eq!(error.to_string(), "t.csv: row 1: line 3 has 3 field(s), the first line has 2");
        assert!(error.tip().unwrap().contains("quoted"));
    }

    #[test]
    fn a_first_line_of_numbers_is_data_unless_it_counts() {
        let (columns, values) = embeddings("0.5,2.0\n3,4\n", None).unwrap();
        assert_eq!(columns, ["0", "1"]);
        assert_eq!(values, [0.5, 2.0, 3.0, 4.0]);
        assert_eq!(embeddings("0,1\n3,4\n", None).unwrap().1, [3.0, 4.0]);
        assert_eq!(embeddings("1,2,3\n3,4,5\n", Some("2")).unwrap().1, [4.0]);
        assert_eq!(labels("0\n1\n", "0").unwrap().1.len(), 2);
    }

    #[test]
    fn the_index_that_pandas_writes_is_no_feature() {
        assert_eq!(embeddings(",x,y\n0,1.5,1.0\n1,2.5,2.0\n", None).unwrap().1, [1.5, 1.0, 2.5, 2.0]);
    }

    #[test]
    fn byte_order_marks_and_windows_line_ends_are_understood() {
        let (columns, values) = embeddings("\u{feff}x,y\r\n1,2\r\n", Some("x..y")).unwrap();
        assert_eq!(columns, ["x", "y"]);
        assert_eq!(values, [1.0, 2.0]);
    }

    #[test]
    fn the_content_says_what_separates_the_values() {
        for text in [
            "a0,a1,l\n1.5,2,x\n3,-4.5,y\n",
            "a0\ta1\tl\n1.5\t2\tx\n3\t-4.5\ty\n",
            "a0;a1;l\n1.5;2;x\n3;-4.5;y\n",
            "a0;a1;l\n1,5;2;x\n3;-4,5;y\n",
            "a0|a1|l\n1.5|2|x\n3|-4.5|y\n",
            "a0  a1 l\n1.5   2 x\n 3  -4.5  y\n",
            "# a0 a1 l\n1.5 2 x\n3 -4.5 y\n",
            "a0,a1,l\n1.5,2,\"x;, \t|\"\n3,-4.5,y\n",
        ] {
            let (columns, values) = embeddings(text, None).unwrap();
            assert_eq!(columns, ["a0", "a1"], "{text}");
            assert_eq!(values, [1.5, 2.0, 3.0, -4.5], "{text}");
        }
        // A label of several words is one column.
        assert_eq!(labels("label\na dog\na cat\n", "label").unwrap().1.len(), 2);
        let utf16: Vec<u8> = "\u{feff}a0\ta1\n1.5\t2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(open(&utf16).unwrap().names(), ["a0", "a1"]);
    }

    #[test]
    fn a_first_line_like_the_others_is_a_row() {
        let names = |text: &str| open(text).map(|contents| contents.names());
        let positions = ["0", "1", "2"];
        assert_eq!(names("1.5,2,ant\n3,4,bee\n").unwrap(), positions);
        assert_eq!(names("NA,2,ant\n3,4,bee\n").unwrap(), positions);
        assert_eq!(names(",2,ant\n3,4,bee\n").unwrap(), positions);
        assert_eq!(names("ant\nbee\nant\n").unwrap(), ["0"]);
        assert_eq!(names("label\nbee\nant\n").unwrap(), ["label"]);
        assert_eq!(names("0,1,label\n3,4,bee\n5,6,ant\n").unwrap(), ["0", "1", "label"]);
        assert_eq!(names(",0,1\n3,4,5\n5,6,7\n").unwrap(), ["", "0", "1"]);
        let error = names("id,2019,2020\n1,2,3\n4,5,6\n").err().unwrap();
        assert!(error.tip().unwrap().contains("--header yes or --header no"), "{error}");
        let with = |header| {
            let source = Source::new("t.csv", MappedBytes::from_memory(b"id,2019\n1,2\n".to_vec()))
                .with_hints(Hints { header, ..Hints::default() });
            (FORMAT.open)(&source, Role::Embeddings).unwrap().names()
        };
        assert_eq!(with(Header::Yes), ["id", "2019"]);
        assert_eq!(with(Header::No), ["0", "1"]);
    }

    #[test]
    fn vectors_may_be_text() {
        let text = "id,v,l\n1,\"[1.5, 2]\",a\n2,\"[3, x]\",b\n3,,b\n4,\"[5, 6, 7]\",b\n5,\"[0, 1]\",a\n";
        let read = embeddings_of(&open(text).unwrap(), "t.csv", None, &[]).unwrap();
        assert_eq!((read.rows(), read.dimensions()), (5, 2));
        assert_eq!(read.origin().to_string(), "t.csv:v");
        let fault = |row| read.fault(row).unwrap().problem;
        assert_eq!(fault(1), "element 1 of the vector is 'x', not a number");
        assert_eq!(fault(2), "the vector is missing");
        assert_eq!(fault(3), "a vector of 3 values, where most have 2");
        let mut values = vec![0.0; 10];
        read.blocks().read_f64(0..5, &mut values).unwrap();
        assert_eq!((values[..2].to_vec(), values[8..].to_vec()), (vec![1.5, 2.0], vec![0.0, 1.0]));
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
        let error = open(b"\xffx,y\n1,2\n").err().unwrap();
        assert!(error.to_string().contains("UTF-8"), "{error}");
        let error = open(b"\xff\xfex\0,\0y").err().unwrap();
        assert!(error.to_string().contains("starts like UTF-16"), "{error}");
    }

    #[test]
    fn a_label_that_is_not_utf8_is_named() {
        let contents = open(b"x,l\n1,a\n2,\xe9\n").unwrap();
        let error = labels_of(&contents, "t.csv", Some("l")).unwrap_err();
        assert!(matches!(error, Error::Cell { row: 1, .. }), "{error}");
    }
}
