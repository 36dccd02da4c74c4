//! The binary format of word2vec, which gensim writes with `binary=True`: a line of counts, then each word with its
//! numbers. Other `.bin` files are refused with a tip on what reads them.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use embq_core::data::{Element, ElementType, Embeddings, MappedBytes, Origin, RowBlocks};
use embq_core::error::{Error, Result};

use crate::input::cells::{Cell, no_rows};
use crate::input::faiss::bin_shape;
use crate::input::pasted::{python, quoted};
use crate::input::refused::{converted_name, converted_path};
use crate::input::source::Source;
use crate::input::table::{Column, Kind, Table, VisitColumns};
use crate::input::{Contents, Format};

/// Words and their vectors.
pub(crate) const FORMAT: Format = Format {
    name: "word2vec binary",
    extensions: &["bin"],
    recognises: |_| false,
    open: |source, _| Ok(Contents::Table(Box::new(Words::open(source)?))),
};

/// Numbers without a header.
pub(crate) const RAW: Format = Format {
    name: "raw",
    extensions: &["raw", "f32", "f64"],
    recognises: |_| false,
    open: |source, _| Err(raw(source)),
};

const WORD: &str = "word";
const VECTOR: &str = "vector";

/// A longer word means that the file has another format.
const LONGEST_WORD: usize = 10_000;

/// A longer first line cannot be the counts.
const LONGEST_COUNTS: usize = 48;

struct Words {
    source: Source,
    columns: Vec<Column>,
    dimensions: usize,
    /// The offsets of each word and of its numbers.
    places: Arc<Vec<(usize, usize)>>,
}

impl Words {
    fn open(source: &Source) -> Result<Self> {
        let bytes: &[u8] = &source.bytes;
        let (rows, dimensions, start) = counts(bytes).ok_or_else(|| other(source))?;
        let width = dimensions.checked_mul(size_of::<f32>()).filter(|width| *width < bytes.len());
        let Some(width) = width else {
            return Err(truncated(source, format!("it has no row of {dimensions} numbers")));
        };
        // A row is a word of at least one byte, a space and its numbers.
        if rows > (bytes.len() - start) / (width + 1) {
            let problem = format!("its first line declares {rows} words of {dimensions} numbers");
            return Err(truncated(source, format!("{problem}, more than its {} bytes can hold", bytes.len())));
        }
        let mut places = Vec::with_capacity(rows);
        let mut at = start;
        for row in 0..rows {
            // gensim ends rows with a line feed; early versions of word2vec did not always.
            while bytes.get(at) == Some(&b'\n') {
                at += 1;
            }
            let rest = &bytes[at..bytes.len().min(at + LONGEST_WORD)];
            let Some(length) = rest.iter().position(|&byte| byte == b' ') else {
                return Err(truncated(source, format!("row {row} has no word")));
            };
            let numbers = at + length + 1;
            if bytes.len() - numbers < width {
                return Err(truncated(source, format!("row {row} ends within its numbers")));
            }
            places.push((at, numbers));
            at = numbers + width;
        }
        let word = Column::new(WORD, Kind::Text, "text");
        let kind = Kind::List(ElementType::F32);
        let vector = Column::new(VECTOR, kind, format!("list of {dimensions} f32"));
        Ok(Words { source: source.clone(), columns: vec![word, vector], dimensions, places: Arc::new(places) })
    }
}

/// Whether a file starts like word2vec's. Most `.bin` files beside checkpoints are model weights.
pub(crate) fn is_word2vec(path: &Path) -> bool {
    let mut start = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST_COUNTS as u64).read_to_end(&mut start));
    read.is_ok() && counts(&start).is_some()
}

/// The numbers of rows and dimensions, and the offset of the first row.
fn counts(bytes: &[u8]) -> Option<(usize, usize, usize)> {
    let end = bytes.iter().take(LONGEST_COUNTS).position(|&byte| byte == b'\n')?;
    let mut parts = std::str::from_utf8(&bytes[..end]).ok()?.split_ascii_whitespace();
    let (rows, dimensions) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    (parts.next().is_none() && dimensions > 0).then_some((rows, dimensions, end + 1))
}

fn truncated(source: &Source, problem: String) -> Error {
    source.malformed(problem, Some("save or copy the file again: its end is missing".to_owned()))
}

/// The error for a `.bin` file that is not from word2vec.
fn other(source: &Source) -> Error {
    let (path, bytes) = (&source.path, &source.bytes);
    if bytes.starts_with(&793_712_314_u32.to_le_bytes()) {
        return source.malformed(
            "it is a fastText model, which embq does not read; its vectors as text are read",
            Some(format!(
                "write them: {} > {}",
                python(&format!(
                    "import fasttext, sys; m = fasttext.load_model({path:?}); w = m.words; \
                     print(len(w), m.get_dimension()); [print(x, *m.get_word_vector(x)) for x in w]"
                )),
                quoted(&converted_path(path, "vec"))
            )),
        );
    }
    if let Some(([rows, dimensions], start)) = bin_shape(bytes)
        && rows > 0
        && dimensions > 0
    {
        let values = rows as u128 * dimensions as u128;
        let held = (bytes.len() - start) as u128;
        let kinds = [("fbin", values * 4), ("u8bin", values)];
        if let Some((extension, _)) = kinds.iter().find(|(_, promised)| *promised == held) {
            let (path, output) = (quoted(path), quoted(&converted_path(path, extension)));
            return source.malformed(
                format!("it looks like {rows} rows of {dimensions} values in DiskANN's format, which does not say their type"),
                Some(format!("say the type with the extension: cp {path} {output} (or .i8bin)")),
            );
        }
    }
    raw(source)
}

/// The error for numbers without a header.
fn raw(source: &Source) -> Error {
    let path = &source.path;
    let output = converted_name(path, "npy");
    let dtype = if source.extension() == "f64" { "float64" } else { "float32" };
    source.malformed(
        "it is raw bytes: nothing in it says the type of its numbers or how many make a row",
        Some(format!(
            "say both: {}",
            python(&format!(
                "import numpy; numpy.save({output}, numpy.fromfile({path:?}, {dtype:?}).reshape(-1, DIMENSIONS))"
            ))
        )),
    )
}

impl Table for Words {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn matrix(&self, _columns: &[usize], origin: Origin) -> Result<Embeddings> {
        let rows = self.places.len();
        if rows == 0 {
            return Err(no_rows(&self.source.path));
        }
        let blocks = WordRows {
            bytes: self.source.bytes.clone(),
            dimensions: self.dimensions,
            places: Arc::clone(&self.places),
        };
        Ok(Embeddings::new(origin, rows, self.dimensions, ElementType::F32, blocks))
    }

    fn cells(&self, columns: &[usize], visit: &mut VisitColumns<'_>) -> Result<()> {
        for (row, &(word, numbers)) in self.places.iter().enumerate() {
            // Excludes the space between word and numbers.
            let word = std::str::from_utf8(&self.source.bytes[word..numbers - 1]).map_err(|_| Error::Row {
                name: self.source.path.clone(),
                row,
                problem: "the word is not UTF-8 text".to_owned(),
                tip: None,
            })?;
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

struct WordRows {
    bytes: MappedBytes,
    dimensions: usize,
    places: Arc<Vec<(usize, usize)>>,
}

impl WordRows {
    fn copy<T: Element>(&self, rows: Range<usize>, out: &mut [T]) {
        for (&(_, start), out) in self.places[rows].iter().zip(out.chunks_mut(self.dimensions)) {
            let numbers = &self.bytes[start..start + self.dimensions * size_of::<f32>()];
            for (target, &value) in out.iter_mut().zip(numbers.as_chunks::<4>().0) {
                *target = T::from_f64(f32::from_le_bytes(value).into());
            }
        }
    }
}

impl RowBlocks for WordRows {
    fn read_f32(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        self.copy(rows, out);
        Ok(())
    }

    fn read_f64(&self, rows: Range<usize>, out: &mut [f64]) -> Result<()> {
        self.copy(rows, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Role, embeddings_of, labels_of};
    use embq_core::data::Label;

    fn open(bytes: Vec<u8>) -> Result<Contents> {
        let source = Source::of_bytes("w.bin", MappedBytes::from_memory(bytes))?;
        (FORMAT.open)(&source, Role::Embeddings)
    }

    fn file(first: &str, rows: &[(&str, [f32; 2])], end: &[u8]) -> Vec<u8> {
        let mut bytes = first.as_bytes().to_vec();
        for (word, numbers) in rows {
            bytes.extend(word.as_bytes());
            bytes.push(b' ');
            bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
            bytes.extend(end);
        }
        bytes
    }

    #[test]
    fn words_and_numbers_are_read_with_and_without_line_feeds() {
        for end in [&b"\n"[..], b""] {
            let contents = open(file("2 2\n", &[("the", [1.0, 2.0]), ("é", [-0.5, 4.0])], end)).unwrap();
            let embeddings = embeddings_of(&contents, "w.bin", None, &[]).unwrap();
            let mut out = [0.0; 4];
            embeddings.blocks().read_f64(0..2, &mut out).unwrap();
            assert_eq!(out, [1.0, 2.0, -0.5, 4.0]);
            let words = labels_of(&contents, "w.bin", Some("word")).unwrap();
            assert_eq!(words.get(1), Some(&Label::Text("é".into())));
        }
    }

    #[test]
    fn broken_files_are_refused() {
        let whole = file("2 2\n", &[("the", [1.0, 2.0]), ("a", [3.0, 4.0])], b"\n");
        let error = |bytes: &[u8]| open(bytes.to_vec()).err().unwrap().to_string();
        assert!(error(&whole[..whole.len() - 3]).contains("row 1 ends within its numbers"));
        assert!(error(&file("18446744073709551615 2\n", &[], b"")).contains("declares 18446744073709551615 words"));
        assert!(error(&file("9999 2\n", &[("the", [1.0, 2.0])], b"")).contains("declares 9999 words"));
        assert!(error(&file("2 18446744073709551615\n", &[("the", [1.0, 2.0])], b"")).contains("it has no row"));
        assert!(error(b"\x01\x02\x03").contains("raw bytes"));
        let mut diskann = vec![1, 0, 0, 0, 2, 0, 0, 0];
        diskann.extend([0; 8]);
        assert!(error(&diskann).contains("DiskANN's format"));
        assert!(error(&[0xba, 0x16, 0x4f, 0x2f, 0, 0]).contains("fastText model"));
    }
}
