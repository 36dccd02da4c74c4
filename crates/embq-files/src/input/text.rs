//! Text files of one label or one number a line; as embeddings, of a vector a line.

use crate::input::cells::{Cell, Place, Visit};
use crate::input::source::Source;
use crate::input::vectors::WordVectors;
use crate::input::{Contents, Format, Role};
use embq_core::error::Result;

/// One value a line.
pub(crate) const FORMAT: Format = Format { name: "text", extensions: &["txt"], recognises: |_| false, open };

/// The lines of a text file.
pub(crate) struct Lines {
    source: Source,
}

fn open(source: &Source, role: Role) -> Result<Contents> {
    if role == Role::Embeddings {
        return Ok(Contents::Table(Box::new(WordVectors::open(source)?)));
    }
    Ok(Contents::Lines(Lines { source: source.clone() }))
}

impl Lines {
    /// Visits every line as text. The newline at the end of the file does not begin a line of its own, and an empty
    /// line is a row without a value.
    ///
    /// # Errors
    /// A line that is not UTF-8.
    pub fn cells(&self, visit: &mut Visit<'_>) -> Result<()> {
        let bytes: &[u8] = &self.source.bytes;
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        for (row, line) in bytes.split(|&byte| byte == b'\n').enumerate() {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let place = Place { path: &self.source.path, column: None };
            let text = std::str::from_utf8(line).map_err(|_| {
                place.error(row, format!("line {} is not UTF-8 text", row + 1), Some("save the file as UTF-8"))
            })?;
            visit(row, if text.is_empty() { Cell::Missing } else { Cell::Text(text) })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embq_core::data::MappedBytes;
    use embq_core::error::Error;

    fn lines(bytes: &[u8]) -> Result<Vec<Option<String>>> {
        let lines =
            Lines { source: Source { path: "labels.txt".into(), bytes: MappedBytes::from_memory(bytes.to_vec()) } };
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
    fn only_the_last_newline_ends_the_file() {
        assert_eq!(lines(b"a\n\n").unwrap(), [Some("a".to_owned()), None]);
    }

    #[test]
    fn a_line_that_is_not_utf8_is_named() {
        let error = lines(b"a\nb\n\xe9\n").unwrap_err();
        assert!(matches!(&error, Error::Row { row: 2, problem, .. } if problem.contains("line 3 is not UTF-8")));
    }
}
