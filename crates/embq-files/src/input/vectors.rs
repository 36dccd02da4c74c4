//! Word vectors as text, as written by word2vec, fastText and GloVe: a word and its numbers per line, separated by
//! spaces. Lines of numbers alone, as written by `numpy.savetxt`, are read as well.

use rayon::prelude::*;

use crate::input::cells::{self, Cell, no_rows, parse_number};
use crate::input::pasted::quoted;
use crate::input::refused::converted_path;
use crate::input::source::Source;
use crate::input::table::{Column, Kind, Table, VisitColumns};
use crate::input::{Contents, Format};
use embq_core::data::{ElementType, Embeddings, InMemory, Origin};
use embq_core::error::{Error, Result};

/// One word and its vector per line.
pub(crate) const FORMAT: Format = Format {
    name: "word vectors",
    extensions: &["vec"],
    recognises: |_| false,
    open: |source, _| Ok(Contents::Table(Box::new(WordVectors::open(source)?))),
};

/// Lines parsed in parallel.
const BATCH_ROWS: usize = 1024;

/// Lines examined to detect the layout.
const SNIFFED_ROWS: usize = 1000;

/// The names of the column of numbers and the column of words.
const VECTOR: &str = "vector";
const WORD: &str = "word";

/// A file whose layout is known.
pub(crate) struct WordVectors {
    source: Source,
    columns: Vec<Column>,
    /// Whether the first line has the numbers of words and dimensions.
    header: bool,
    dimensions: usize,
}

impl WordVectors {
    /// Detects the layout from the first lines.
    pub fn open(source: &Source) -> Result<Self> {
        let source = &source.as_text()?;
        let header = lines(&source.bytes).next().and_then(|(_, line)| counts(line));
        let sniffed = || lines(&source.bytes).skip(usize::from(header.is_some())).take(SNIFFED_ROWS);
        // Words may contain spaces; the line with the fewest parts has none.
        let fewest = sniffed().map(|(_, line)| parts(line).count()).min().ok_or_else(|| no_rows(&source.path))?;
        let words =
            header.is_some() || sniffed().any(|(_, line)| parts(line).next().is_some_and(|part| !is_number(part)));
        let dimensions = header.unwrap_or(if words { fewest.saturating_sub(1) } else { fewest });
        if dimensions == 0 {
            return Err(source.malformed(
                "it has one value per line, which are not vectors",
                Some(
                    table_tip(source).unwrap_or_else(|| {
                        "a line is a word and its numbers, or numbers, separated by spaces".to_owned()
                    }),
                ),
            ));
        }
        let vector = Column::new(VECTOR, Kind::List(ElementType::F64), format!("list of {dimensions} numbers"));
        let word = Column::new(WORD, Kind::Text, "text");
        let columns = if words { vec![word, vector] } else { vec![vector] };
        Ok(WordVectors { source: source.clone(), columns, header: header.is_some(), dimensions })
    }

    fn rows(&self) -> impl Iterator<Item = (usize, &[u8])> {
        lines(&self.source.bytes).skip(usize::from(self.header))
    }

    fn error(&self, row: usize, problem: String) -> Error {
        let tip = table_tip(&self.source).unwrap_or_else(|| "the parts of a line are separated by spaces".to_owned());
        Error::Row { name: self.source.path.clone(), row, problem, tip: Some(tip) }
    }

    /// The word and the numbers of a line, not yet parsed.
    fn split<'l>(&self, row: usize, number: usize, line: &'l [u8]) -> Result<(&'l [u8], Vec<&'l [u8]>)> {
        let parts: Vec<&[u8]> = parts(line).collect();
        let words = self.columns.len() - 1;
        let Some(first) = parts.len().checked_sub(self.dimensions).filter(|&first| first >= words) else {
            let (found, wanted) = (parts.len(), self.dimensions + words);
            return Err(self.error(row, format!("line {number} has {found} parts, expected {wanted}")));
        };
        if words == 0 && first > 0 {
            let (found, wanted) = (parts.len(), self.dimensions);
            return Err(self.error(row, format!("line {number} has {found} numbers, where row 0 has {wanted}")));
        }
        // All parts are slices of one line; the word spans from its start to the first number.
        let end = parts.get(first).map_or(line.len(), |part| part.as_ptr() as usize - line.as_ptr() as usize);
        Ok((line[..end].trim_ascii(), parts[first..].to_vec()))
    }

    fn number(&self, row: usize, part: &[u8]) -> Result<f64> {
        let text = String::from_utf8_lossy(part);
        parse_number(&text).ok_or_else(|| self.error(row, format!("'{}' is not a number", cells::excerpt(&text))))
    }
}

impl Table for WordVectors {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn matrix(&self, _columns: &[usize], origin: Origin) -> Result<Embeddings> {
        let mut values: Vec<f64> = Vec::new();
        let mut rows = self.rows();
        let mut first_row = 0;
        loop {
            let batch: Vec<(usize, &[u8])> = rows.by_ref().take(BATCH_ROWS).collect();
            if batch.is_empty() {
                break;
            }
            let parsed: Vec<Result<Vec<f64>>> = batch
                .par_iter()
                .enumerate()
                .map(|(index, &(number, line))| {
                    let row = first_row + index;
                    let (_, parts) = self.split(row, number, line)?;
                    parts.into_iter().map(|part| self.number(row, part)).collect()
                })
                .collect();
            for row in parsed {
                values.append(&mut row?);
            }
            first_row += batch.len();
        }
        if values.is_empty() {
            return Err(no_rows(&self.source.path));
        }
        let blocks = InMemory::of_rows(values, self.dimensions);
        Ok(Embeddings::new(origin, first_row, self.dimensions, ElementType::F64, blocks))
    }

    fn cells(&self, columns: &[usize], visit: &mut VisitColumns<'_>) -> Result<()> {
        for (row, (number, line)) in self.rows().enumerate() {
            let (word, _) = self.split(row, number, line)?;
            let word =
                std::str::from_utf8(word).map_err(|_| self.error(row, format!("line {number} is not UTF-8 text")))?;
            for (position, &column) in columns.iter().enumerate() {
                // Cells of a list are never requested.
                if self.columns[column].kind == Kind::Text {
                    visit(position, row, Cell::Text(word))?;
                }
            }
        }
        Ok(())
    }
}

/// How to read a file as a table, if its first line looks like one.
fn table_tip(source: &Source) -> Option<String> {
    let (_, line) = lines(&source.bytes).next()?;
    let extension = match line {
        line if line.contains(&b'\t') => "tsv",
        line if line.contains(&b',') || line.contains(&b';') => "csv",
        _ => return None,
    };
    let renamed = converted_path(&source.path, extension);
    Some(format!("if it is a table, name it like one: cp {} {}", quoted(&source.path), quoted(&renamed)))
}

/// The dimensions in a first line such as `400000 300`.
fn counts(line: &[u8]) -> Option<usize> {
    let mut parts = parts(line).map(|part| std::str::from_utf8(part).ok()?.parse::<usize>().ok());
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Some(_)), Some(Some(dimensions)), None) if dimensions > 1 => Some(dimensions),
        _ => None,
    }
}

fn is_number(part: &[u8]) -> bool {
    std::str::from_utf8(part).ok().and_then(parse_number).is_some()
}

fn parts(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|&byte| byte == b' ' || byte == b'\t').filter(|part| !part.is_empty())
}

/// The nonblank lines, numbered from 1.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    lines.map(|(index, line)| (index + 1, line.trim_ascii_end())).filter(|(_, line)| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Role, embeddings_of, labels_of};
    use embq_core::data::{Element, Label, MappedBytes};

    fn open(text: &str) -> Result<Contents> {
        let source = Source::new("w.vec", MappedBytes::from_memory(text.as_bytes().to_vec()));
        (FORMAT.open)(&source, Role::Embeddings)
    }

    fn values(text: &str) -> Result<(usize, Vec<f64>)> {
        let embeddings = embeddings_of(&open(text)?, "w.vec", None, &[])?;
        let mut out = vec![0.0; embeddings.rows() * embeddings.dimensions()];
        f64::read(embeddings.blocks(), 0..embeddings.rows(), &mut out)?;
        Ok((embeddings.dimensions(), out))
    }

    #[test]
    fn words_may_have_spaces_and_look_like_numbers() {
        let text = "the 1 2\n. . . 3 -4\n1999 5 6e0\n";
        assert_eq!(values(text).unwrap(), (2, vec![1.0, 2.0, 3.0, -4.0, 5.0, 6.0]));
        let words = labels_of(&open(text).unwrap(), "w.vec", Some("word")).unwrap();
        assert_eq!(words.get(1), Some(&Label::Text(". . .".into())));
    }

    #[test]
    fn a_first_line_of_counts_is_no_row() {
        assert_eq!(values("2 3\na 1 2 3\nb 4 5 6").unwrap(), (3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
    }

    #[test]
    fn lines_of_numbers_alone_are_a_matrix() {
        assert_eq!(values("1.5 2\n3 4\n").unwrap(), (2, vec![1.5, 2.0, 3.0, 4.0]));
    }

    #[test]
    fn damaged_lines_are_named() {
        let error = |text: &str| values(text).err().unwrap().to_string();
        assert!(error("2 3\na 1 2 3\nb 4 5").contains("row 1: line 3 has 3 parts, expected 4"));
        assert!(error("a 1 2\nb 1 x").contains("row 1: 'x' is not a number"));
        assert!(error("1.5 2\n3 4 5\n").contains("row 1: line 2 has 3 numbers, where row 0 has 2"));
        assert!(error("a\nb\n").contains("one value per line"));
        assert!(error("\n\n").contains("no rows"));
    }

    #[test]
    fn tables_are_told_how_to_be_named() {
        let tip = |text: &str| values(text).err().and_then(|error| error.tip());
        assert_eq!(tip("id\tf0\tf1\na\t1\t2\n").as_deref(), Some("if it is a table, name it like one: cp w.vec w.tsv"));
        assert_eq!(tip("id,f0,f1\na,1,2\n").as_deref(), Some("if it is a table, name it like one: cp w.vec w.csv"));
        assert_eq!(tip("2 3\na 1 2 3\nb 4 5").as_deref(), Some("the parts of a line are separated by spaces"));
    }
}
