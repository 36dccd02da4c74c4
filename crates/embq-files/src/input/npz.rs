//! NumPy's `.npz`: a zip archive of `.npy` files, each stored or deflated.

use std::io::{Cursor, Read};

use zip::{CompressionMethod, ZipArchive};

use crate::input::array::{Array, ArrayFile, Outline};
use crate::input::npy::{LONGEST_HEADER, read_header, read_shape};
use crate::input::pasted::{python, quoted};
use crate::input::refused::{converted_name, torch};
use crate::input::source::Source;
use crate::input::{Contents, Format, Role, scipy};
use embq_core::data::{MappedBytes, Origin};
use embq_core::error::{Error, Result};

/// Several named NumPy arrays.
pub(crate) const FORMAT: Format = Format {
    name: "npz",
    extensions: &["npz"],
    recognises: |bytes| bytes.starts_with(b"PK\x03\x04") || bytes.starts_with(b"PK\x05\x06"),
    open,
};

/// An array may always inflate to this many bytes.
const INFLATED: u64 = 256 << 20;

/// A larger array may inflate to this many times its compressed size: embeddings hardly compress at all.
const INFLATION: u64 = 100;

type Archive = ZipArchive<Cursor<MappedBytes>>;

struct NpzFile {
    source: Source,
    archive: Archive,
    /// The indices of the arrays in the archive, in the order of `names`.
    places: Vec<usize>,
    names: Vec<String>,
}

fn open(source: &Source, role: Role) -> Result<Contents> {
    let extension = source.extension();
    let damaged = |error: zip::result::ZipError| {
        let tip = "save or copy the file again".to_owned();
        source.malformed(format!("it cannot be read as a zip archive: {error}"), Some(tip))
    };
    let archive = Archive::new(Cursor::new(source.bytes.clone())).map_err(damaged)?;
    let is_torch = (0..archive.len()).any(|place| name_in(&archive, place).ends_with("data.pkl"));
    if is_torch || matches!(extension.as_str(), "pt" | "pth" | "ckpt" | "bin") {
        return Err(torch(source, role));
    }
    let mut places = Vec::new();
    let mut names = Vec::new();
    for place in 0..archive.len() {
        if let Some(name) = name_in(&archive, place).strip_suffix(".npy") {
            places.push(place);
            names.push(name.to_owned());
        }
    }
    if names.is_empty() {
        let problem = "it is a zip archive with no .npy file";
        let is_workbook = (0..archive.len()).any(|place| name_in(&archive, place).starts_with("xl/"));
        let tip = if is_workbook {
            let output = converted_name(&source.path, "csv");
            let code = format!("import pandas; pandas.read_excel({:?}).to_csv({output}, index=False)", source.path);
            format!("if it is a spreadsheet: {}", python(&code))
        } else {
            format!("unpack it and name the file in it: unzip {}", quoted(&source.path))
        };
        return Err(source.malformed(problem, Some(tip)));
    }
    let file = NpzFile { source: source.clone(), archive, places, names };
    if scipy::is_sparse(&file.names) {
        return Ok(Contents::Table(Box::new(scipy::SparseMatrix::open(source, &file)?)));
    }
    Ok(Contents::Arrays(Box::new(file)))
}

fn name_in(archive: &Archive, place: usize) -> String {
    archive.name_for_index(place).and_then(Result::ok).map(|name| name.into_owned()).unwrap_or_default()
}

/// The location of an array in the archive.
struct Entry {
    method: CompressionMethod,
    /// The offset and length of its compressed bytes in the file.
    start: u64,
    compressed: u64,
    size: u64,
}

impl NpzFile {
    fn origin(&self, index: usize) -> Origin {
        Origin::with_selector(&self.source.path, &self.names[index])
    }

    fn error(&self, index: usize, problem: impl Into<String>, tip: &str) -> Error {
        let name = self.origin(index).to_string();
        Error::Malformed { name, problem: problem.into(), tip: Some(tip.to_owned()) }
    }

    fn damaged(&self, index: usize, error: impl std::fmt::Display) -> Error {
        self.error(index, format!("it cannot be read from the archive: {error}"), "save or copy the file again")
    }

    fn entry(&self, index: usize) -> Result<Entry> {
        // Reading moves the archive's position; a clone is cheap because it shares the directory.
        let mut archive = self.archive.clone();
        let file = archive.by_index_raw(self.places[index]).map_err(|error| self.damaged(index, error))?;
        if file.encrypted() {
            return Err(self.error(index, "it is encrypted", "write it with numpy.savez"));
        }
        let start = file.data_start().unwrap_or(u64::MAX);
        Ok(Entry { method: file.compression(), start, compressed: file.compressed_size(), size: file.size() })
    }

    /// Inflates the first `limit` bytes of a deflated array.
    fn inflate(&self, index: usize, limit: u64) -> Result<Vec<u8>> {
        let mut archive = self.archive.clone();
        let file = archive.by_index(self.places[index]).map_err(|error| self.damaged(index, error))?;
        let mut bytes = Vec::new();
        file.take(limit).read_to_end(&mut bytes).map_err(|error| self.damaged(index, error))?;
        Ok(bytes)
    }

    /// The byte range of a stored array in the file.
    fn stored(&self, index: usize, entry: &Entry) -> Result<std::ops::Range<usize>> {
        let end = entry.start.checked_add(entry.compressed);
        let end = end.filter(|&end| end <= self.source.bytes.len() as u64 && entry.size == entry.compressed);
        match end {
            Some(end) => Ok(entry.start as usize..end as usize),
            None => Err(self.damaged(index, "it reaches past the end of the file")),
        }
    }
}

impl ArrayFile for NpzFile {
    fn noun(&self) -> &'static str {
        "array"
    }

    fn names(&self) -> &[String] {
        &self.names
    }

    fn shape(&self, index: usize) -> Option<Vec<usize>> {
        let entry = self.entry(index).ok()?;
        let longest = (LONGEST_HEADER + 16) as u64;
        let beginning;
        let bytes = match entry.method {
            CompressionMethod::Stored => &self.source.bytes[self.stored(index, &entry).ok()?],
            CompressionMethod::Deflated => {
                beginning = self.inflate(index, longest).ok()?;
                &beginning
            }
            _ => return None,
        };
        read_shape(&self.origin(index), bytes)
    }

    fn outline(&self, index: usize) -> Outline {
        let header = || {
            let entry = self.entry(index)?;
            let beginning;
            let bytes = match entry.method {
                CompressionMethod::Stored => &self.source.bytes[self.stored(index, &entry)?],
                _ => {
                    beginning = self.inflate(index, (LONGEST_HEADER + 16) as u64)?;
                    &beginning
                }
            };
            Ok(read_header(&self.origin(index), bytes, Role::Embeddings, self.source.hints)?.0)
        };
        Outline::of_header(header(), self.shape(index))
    }

    fn array(&self, index: usize, role: Role) -> Result<Array> {
        let (origin, entry) = (self.origin(index), self.entry(index)?);
        match entry.method {
            CompressionMethod::Stored => {
                let place = self.stored(index, &entry)?;
                let (header, offset) =
                    read_header(&origin, &self.source.bytes[place.clone()], role, self.source.hints)?;
                let held = (place.len() - offset) as u64;
                let promised = header.data_bytes();
                if promised > u128::from(held) {
                    return Err(Error::Truncated { name: origin.to_string(), promised, held });
                }
                Array::new(origin, header, self.source.bytes.clone(), place.start + offset)
            }
            CompressionMethod::Deflated => {
                if entry.size > INFLATED && entry.size / INFLATION > entry.compressed {
                    let problem = format!(
                        "it inflates from {} to {} bytes: more than {INFLATION} times its size",
                        entry.compressed, entry.size
                    );
                    return Err(self.error(index, problem, "write it uncompressed, with numpy.savez"));
                }
                let beginning = self.inflate(index, (LONGEST_HEADER + 16) as u64)?;
                let (header, offset) = read_header(&origin, &beginning, role, self.source.hints)?;
                let promised = header.data_bytes();
                // Checked before the rest is inflated.
                if promised > u128::from(entry.size.saturating_sub(offset as u64)) {
                    let held = entry.size.saturating_sub(offset as u64);
                    return Err(Error::Truncated { name: origin.to_string(), promised, held });
                }
                let bytes = self.inflate(index, entry.size)?;
                Array::new(origin, header, MappedBytes::from_memory(bytes), offset)
            }
            other => {
                let problem = format!("it is compressed by {other}, which NumPy does not write");
                Err(self.error(index, problem, "write it with numpy.savez or numpy.savez_compressed"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;
    use crate::input::{embeddings_of, labels_of};
    use embq_core::data::{Element, Label};

    fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
        let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend((header.len() as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn archive(method: CompressionMethod, members: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, bytes) in members {
            writer.start_file(*name, SimpleFileOptions::default().compression_method(method)).unwrap();
            writer.write_all(bytes).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    fn opened(path: &str, bytes: Vec<u8>) -> Result<Contents> {
        let source = Source::new(path, MappedBytes::from_memory(bytes));
        (FORMAT.open)(&source, Role::Embeddings)
    }

    fn members() -> Vec<(&'static str, Vec<u8>)> {
        vec![
            ("emb.npy", npy("<f4", "(2, 2)", &floats(&[1.0, 2.0, 3.0, 4.0]))),
            ("y.npy", npy("<i4", "(2,)", &[7, 0, 0, 0, 8, 0, 0, 0])),
            ("names.npy", npy("|O", "(2,)", b"pickle")),
        ]
    }

    #[test]
    fn stored_and_deflated_arrays_are_found_by_name_and_by_shape() {
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let contents = opened("a.npz", archive(method, &members())).unwrap();
            for selector in [None, Some("emb")] {
                let embeddings = embeddings_of(&contents, "a.npz", selector, &[]).unwrap();
                assert_eq!(embeddings.origin().to_string(), "a.npz:emb");
                let mut out = [0.0; 4];
                f32::read(embeddings.blocks(), 0..2, &mut out).unwrap();
                assert_eq!(out, [1.0, 2.0, 3.0, 4.0]);
            }
            let labels = labels_of(&contents, "a.npz", Some("y")).unwrap();
            assert_eq!(labels.get(1), Some(&Label::Integer(8)));
            let error = labels_of(&contents, "a.npz", Some("names")).unwrap_err();
            assert!(matches!(&error, Error::Pickle { name, .. } if name == "a.npz:names"), "{error}");
            let error = labels_of(&contents, "a.npz", Some("z")).unwrap_err();
            assert!(matches!(&error, Error::UnknownSelector { kind: "array", available, .. } if available.len() == 3));
        }
    }

    #[test]
    fn an_array_that_promises_more_than_it_holds_is_not_inflated() {
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let bytes = archive(method, &[("x.npy", npy("<f4", "(1000000, 1000000)", &[0; 64]))]);
            let contents = opened("a.npz", bytes).unwrap();
            let error = embeddings_of(&contents, "a.npz", None, &[]).unwrap_err();
            assert!(matches!(error, Error::Truncated { held: 64, .. }), "{error}");
        }
    }

    #[test]
    fn what_inflates_beyond_reason_is_refused() {
        let rows = (INFLATED as usize + (1 << 20)) / 4;
        let bomb = npy("<f4", &format!("({}, 2)", rows / 2), &vec![0; 4 * rows]);
        let contents = opened("bomb.npz", archive(CompressionMethod::Deflated, &[("x.npy", bomb)])).unwrap();
        let error = embeddings_of(&contents, "bomb.npz", None, &[]).unwrap_err();
        assert!(error.to_string().contains("more than 100 times its size"), "{error}");
        assert!(error.tip().unwrap().contains("numpy.savez"));
    }

    #[test]
    fn other_archives_are_refused() {
        let torch = archive(CompressionMethod::Stored, &[("archive/data.pkl", vec![])]);
        let error = opened("emb.pt", torch).err().unwrap();
        assert!(matches!(error, Error::Pickle { what: "PyTorch files", .. }), "{error}");
        let office = archive(CompressionMethod::Stored, &[("[Content_Types].xml", vec![])]);
        let error = opened("a.xlsx", office).err().unwrap();
        assert!(error.to_string().contains("with no .npy file"), "{error}");
        let error = opened("a.npz", b"PK\x03\x04".to_vec()).err().unwrap();
        assert!(error.to_string().contains("zip archive"), "{error}");
    }
}
