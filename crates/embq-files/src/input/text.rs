//! Text files with one label or one number per line; as embeddings, one vector per line.

use crate::input::cells::{Cell, Place, Visit};
use crate::input::source::{Header, Source};
use crate::input::vectors::WordVectors;
use crate::input::{Contents, Format, Role};
use embq_core::error::Result;

pub(crate) const FORMAT: Format = Format { name: "text", extensions: &["txt"], recognises: |_| false, open };

pub(crate) struct Lines {
    source: Source,
    /// Whether the first line is a header.
    header: bool,
    /// The number of blank lines at the end.
    blank_end: usize,
}

fn open(source: &Source, role: Role) -> Result<Contents> {
    if role == Role::Embeddings {
        return Ok(Contents::Table(Box::new(WordVectors::open(source)?)));
    }
    Lines::open(source).map(Contents::Lines)
}

impl Lines {
    pub fn open(source: &Source) -> Result<Self> {
        let source = source.as_text()?;
        let text = source.bytes.strip_suffix(b"\n").unwrap_or(&source.bytes);
        let is_blank = |line: &&[u8]| line.trim_ascii().is_empty();
        let blank_end = text.rsplit(|&byte| byte == b'\n').take_while(is_blank).count();
        let header = source.hints.header == Header::Yes;
        Ok(Lines { source, header, blank_end })
    }

    /// The number of blank lines at the end.
    pub fn blank_end(&self) -> usize {
        self.blank_end
    }

    /// Whether the first line was taken as a header.
    pub fn has_header(&self) -> bool {
        self.header
    }

    /// Visits every line as text. An empty line is a missing value; blank lines at the end are not rows.
    ///
    /// # Errors
    /// A line that is not UTF-8.
    pub fn cells(&self, visit: &mut Visit<'_>) -> Result<()> {
        let bytes: &[u8] = &self.source.bytes;
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let first = usize::from(self.header);
        let rows = bytes.split(|&byte| byte == b'\n').count().saturating_sub(self.blank_end + first);
        for (row, line) in bytes.split(|&byte| byte == b'\n').skip(first).take(rows).enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let place = Place { path: &self.source.path, column: None };
            let text = std::str::from_utf8(line).map_err(|_| {
                place.error(row, format!("line {} is not UTF-8 text", row + 1 + first), Some("save the file as UTF-8"))
            })?;
            visit(row, if text.is_empty() { Cell::Missing } else { Cell::Text(text) })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::source::Hints;
    use embq_core::data::MappedBytes;
    use embq_core::error::Error;

    fn lines(bytes: &[u8]) -> Result<Vec<Option<String>>> {
        let lines = Lines::open(&Source::new("labels.txt", MappedBytes::from_memory(bytes.to_vec())))?;
        let mut found = Vec::new();
        lines.cells(&mut |_, cell| {
            found.push(match cell {
                Cell::Text(text) => Some(text.to_owned()),
                _ => None,
            });
            Ok(())
        })?;
        Ok(found)
    }

    #[test]
    fn both_line_endings_and_a_byte_order_mark_are_understood() {
        let expected = [Some("cat".to_owned()), None, Some("a dog".to_owned())];
        assert_eq!(lines(b"cat\n\na dog\n").unwrap(), expected);
        assert_eq!(lines(b"\xef\xbb\xbfcat\r\n\r\na dog").unwrap(), expected);
    }

    #[test]
    fn blank_lines_at_the_end_are_no_rows() {
        assert_eq!(lines(b"a\n\nb\n \r\n\n").unwrap(), [Some("a".to_owned()), None, Some("b".to_owned())]);
        assert!(lines(b"\n\n").unwrap().is_empty());
    }

    #[test]
    fn a_header_is_no_row() {
        let source = Source::new("labels.txt", MappedBytes::from_memory(b"label\nant\n".to_vec()));
        let lines = Lines::open(&source.with_hints(Hints { header: Header::Yes, ..Hints::default() })).unwrap();
        let mut rows = 0;
        lines
            .cells(&mut |row, cell| {
                assert_eq!((row, cell), (0, Cell::Text("ant")));
                rows += 1;
                Ok(())
            })
            .unwrap();
        assert_eq!(rows, 1);
    }

    #[test]
    fn a_line_that_is_not_utf8_is_named() {
        let error = lines(b"a\nb\n\xe9\n").unwrap_err();
        assert!(matches!(&error, Error::Row { row: 2, problem, .. } if problem.contains("line 3 is not UTF-8")));
    }
}
