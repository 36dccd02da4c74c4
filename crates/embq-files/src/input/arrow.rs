//! Arrow IPC: files (Feather version 2) and streams, as written by Hugging Face's `datasets`.
//!
//! Both consist of the same messages: a schema, dictionaries, batches of rows. Message offsets are read once; a batch
//! is then decoded from the schema, the dictionaries before it, and itself.

use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

use polars::prelude::{ArrowDataType, PolarsError, Series};
use polars_arrow::array::Array;
use polars_arrow::io::ipc::read::{StreamReader, StreamState, read_stream_metadata};

use crate::input::batched::{BatchedTable, Batches, damaged, describe, fields, guarded, part_of, starts};
use crate::input::source::Source;
use crate::input::{Contents, Format};
use embq_core::data::MappedBytes;
use embq_core::error::Result;

const MAGIC: &[u8] = b"ARROW1";

/// Every message of a stream starts with this.
const CONTINUATION: [u8; 4] = [0xff; 4];

pub(crate) const FORMAT: Format = Format {
    name: "arrow",
    extensions: &["arrow", "feather", "ipc", "arrows"],
    recognises: |bytes| bytes.starts_with(b"ARROW1\0\0") || bytes.starts_with(&CONTINUATION),
    open: |source, _| Ok(Contents::Table(Box::new(open(source)?))),
};

struct ArrowBatches {
    bytes: MappedBytes,
    schema: Range<usize>,
    dictionaries: Vec<Range<usize>>,
    batches: Vec<Range<usize>>,
    sizes: Vec<usize>,
    /// The first row of each batch, followed by the total number of rows.
    starts: Vec<usize>,
}

fn open(source: &Source) -> Result<BatchedTable> {
    if source.bytes.starts_with(b"FEA1") {
        return Err(source.malformed(
            "it is Feather version 1, which embq does not read",
            Some("write it with pyarrow.feather.write_feather, which writes version 2".to_owned()),
        ));
    }
    let batches = messages(source)?;
    let metadata = guarded(source, "Arrow", || {
        read_stream_metadata(&mut &source.bytes[batches.schema.clone()])
            .map_err(|error| damaged(source, "Arrow", &error))
    })?;
    let (mut columns, paths) = fields::columns(&metadata.schema);
    if let Some(entries) = &metadata.custom_schema_metadata {
        describe(&mut columns, |key| entries.get(key).map(|value| value.as_str()));
    }
    Ok(BatchedTable::new(source, "Arrow", columns, paths.within(batches)))
}

/// The kind of a message.
enum Header {
    Schema,
    Dictionary,
    Batch { rows: usize },
}

/// Locates the messages and checks that each ends within the file.
fn messages(source: &Source) -> Result<ArrowBatches> {
    let bytes: &[u8] = &source.bytes;
    let cut = || {
        let tip = Some("save or copy the file again".to_owned());
        source.malformed("truncated: its end is missing", tip)
    };
    let number = |at: usize| -> Option<i32> {
        let bytes = bytes.get(at..at.checked_add(4)?)?;
        Some(i32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    };
    let is_file = bytes.starts_with(MAGIC);
    // The footer repeats what the messages say; its presence shows that the file is complete.
    if is_file && !bytes.ends_with(MAGIC) {
        return Err(cut());
    }
    let mut found = ArrowBatches {
        bytes: source.bytes.clone(),
        schema: 0..0,
        dictionaries: Vec::new(),
        batches: Vec::new(),
        sizes: Vec::new(),
        starts: Vec::new(),
    };
    let mut at = if is_file { 8 } else { 0 };
    loop {
        let start = at;
        // A stream may end without a marker; a file ends with a footer.
        if at == bytes.len() && !is_file {
            break;
        }
        if bytes.get(at..).is_some_and(|rest| rest.starts_with(&CONTINUATION)) {
            at += 4;
        }
        let length = number(at).ok_or_else(cut)?;
        at += 4;
        if length == 0 {
            break;
        }
        let length = usize::try_from(length).map_err(|_| cut())?;
        let header = at.checked_add(length).and_then(|end| bytes.get(at..end)).ok_or_else(cut)?;
        let (kind, body) =
            guarded(source, "Arrow", || read_header(header).map_err(|error| damaged(source, "Arrow", &error)))?;
        at = (at + length).checked_add(body).filter(|&end| end <= bytes.len()).ok_or_else(cut)?;
        match kind {
            Header::Schema => found.schema = start..at,
            Header::Dictionary => found.dictionaries.push(start..at),
            Header::Batch { rows } => {
                found.batches.push(start..at);
                found.sizes.push(rows);
            }
        }
    }
    if found.schema.is_empty() {
        let tip = "save it again, for example with pyarrow.feather.write_feather".to_owned();
        return Err(source.malformed("it is not an Arrow file: it has no schema", Some(tip)));
    }
    found.starts = starts(&found.sizes);
    Ok(found)
}

/// The kind of a message and the number of bytes that follow it.
fn read_header(bytes: &[u8]) -> Result<(Header, usize), PolarsError> {
    use arrow_format::ipc::planus::ReadAsRoot;
    use arrow_format::ipc::{MessageHeaderRef, MessageRef};
    let damaged = |error: arrow_format::ipc::planus::Error| PolarsError::ComputeError(error.to_string().into());
    let message = MessageRef::read_as_root(bytes).map_err(damaged)?;
    let body = usize::try_from(message.body_length().map_err(damaged)?).unwrap_or(usize::MAX);
    let header = match message.header().map_err(damaged)? {
        Some(MessageHeaderRef::Schema(_)) => Header::Schema,
        Some(MessageHeaderRef::DictionaryBatch(_)) => Header::Dictionary,
        Some(MessageHeaderRef::RecordBatch(batch)) => {
            let rows = batch.length().map_err(damaged)?;
            Header::Batch { rows: usize::try_from(rows).unwrap_or(usize::MAX) }
        }
        _ => return Err(PolarsError::ComputeError("a message is neither schema nor batch".into())),
    };
    Ok((header, body))
}

impl Batches for ArrowBatches {
    fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    fn head(&self, columns: &[usize], _rows: usize) -> Result<Vec<Series>, PolarsError> {
        let first = self.sizes.iter().copied().find(|&rows| rows > 0).unwrap_or(0);
        self.read(0..first, columns)
    }

    fn read(&self, rows: Range<usize>, columns: &[usize]) -> Result<Vec<Series>, PolarsError> {
        let missing = || PolarsError::ComputeError("a batch of rows is missing".into());
        let wanted = part_of(&self.starts, rows.start).and_then(|batch| self.batches.get(batch)).ok_or_else(missing)?;
        let before = self.dictionaries.iter().filter(|dictionary| dictionary.start < wanted.start);
        let parts = std::iter::once(&self.schema).chain(before).chain([wanted]);
        let mut stream = Splice::new(&self.bytes, parts.cloned().collect());
        let metadata = read_stream_metadata(&mut stream)?;
        // The reader expects columns in file order, each once.
        let mut sorted = columns.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut reader = StreamReader::new(stream, metadata.clone(), Some(sorted.clone()));
        let Some(StreamState::Some(batch)) = reader.next().transpose()? else {
            return Err(missing());
        };
        let series: Vec<Series> = sorted
            .iter()
            .zip(batch.into_arrays())
            .map(|(&column, array)| {
                let name = metadata.schema.get_at_index(column).map(|(name, _)| name.clone()).unwrap_or_default();
                Series::from_arrow(name, stored(array))
            })
            .collect::<Result<_, _>>()?;
        let place = |column: &usize| sorted.binary_search(column).ok().and_then(|place| series.get(place).cloned());
        Ok(columns.iter().filter_map(place).collect())
    }
}

/// An array of an extension type as its storage type.
fn stored(mut array: Box<dyn Array>) -> Box<dyn Array> {
    while let ArrowDataType::Extension(extension) = array.dtype() {
        let inner = extension.inner.clone();
        *array.dtype_mut() = inner;
    }
    array
}

/// Separate parts of a file, read as if contiguous.
struct Splice<'a> {
    bytes: &'a [u8],
    parts: Vec<Range<usize>>,
    position: u64,
}

impl<'a> Splice<'a> {
    fn new(bytes: &'a [u8], parts: Vec<Range<usize>>) -> Self {
        Splice { bytes, parts, position: 0 }
    }

    fn len(&self) -> u64 {
        self.parts.iter().map(|part| part.len() as u64).sum()
    }
}

impl Read for Splice<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut skip = self.position;
        for part in &self.parts {
            let length = part.len() as u64;
            if skip < length {
                let rest = &self.bytes[part.start + skip as usize..part.end];
                let count = rest.len().min(out.len());
                out[..count].copy_from_slice(&rest[..count]);
                self.position += count as u64;
                return Ok(count);
            }
            skip -= length;
        }
        Ok(0)
    }
}

impl Seek for Splice<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
            SeekFrom::End(offset) => self.len().checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Role, embeddings_of, labels_of};

    fn opened(bytes: Vec<u8>) -> Result<Contents> {
        let source = Source::new("t.arrow", MappedBytes::from_memory(bytes));
        (FORMAT.open)(&source, Role::Embeddings)
    }

    fn fixture(name: &str) -> Vec<u8> {
        std::fs::read(format!("{}/../../fixtures/formats/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
    }

    fn values(contents: &Contents) -> Vec<f64> {
        let embeddings = embeddings_of(contents, "t.arrow", None, &[]).unwrap();
        let mut out = vec![0.0; embeddings.rows() * embeddings.dimensions()];
        embeddings.blocks().read_f64(0..embeddings.rows(), &mut out).unwrap();
        out
    }

    #[test]
    fn files_and_streams_hold_the_same() {
        let file = opened(fixture("dictionary.arrow")).unwrap();
        let stream = opened(fixture("dictionary.arrows")).unwrap();
        assert_eq!(values(&file).len(), 60 * 12);
        assert_eq!(values(&file), values(&stream));
        let labels = |contents| labels_of(contents, "t.arrow", Some("label")).unwrap();
        assert_eq!(labels(&file).len(), 60);
        assert!((0..60).all(|row| labels(&file).get(row) == labels(&stream).get(row)));
    }

    #[test]
    fn a_stream_may_end_without_a_mark() {
        let mut bytes = fixture("dictionary.arrows");
        let expected = values(&opened(bytes.clone()).unwrap());
        let end = bytes.len() - 8;
        assert_eq!(bytes[end..], [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
        bytes.truncate(end);
        assert_eq!(values(&opened(bytes).unwrap()), expected);
    }

    #[test]
    fn what_is_cut_or_empty_is_refused() {
        let cut = |name: &str, bytes: usize| {
            let mut whole = fixture(name);
            whole.truncate(whole.len() - bytes);
            opened(whole).err().unwrap().to_string()
        };
        assert!(cut("plain.feather", 1).contains("truncated"));
        assert!(cut("dictionary.arrows", 9).contains("truncated"));
        let error = opened(b"\xff\xff\xff\xff\0\0\0\0".to_vec()).err().unwrap();
        assert!(error.to_string().contains("has no schema"), "{error}");
        let error = opened(b"FEA1....".to_vec()).err().unwrap();
        assert!(error.to_string().contains("Feather version 1"), "{error}");
    }

    #[test]
    fn parts_are_read_as_if_they_followed_one_another() {
        let mut splice = Splice::new(b"0123456789", vec![7..9, 0..3]);
        let mut text = String::new();
        splice.read_to_string(&mut text).unwrap();
        assert_eq!(text, "78012");
        assert_eq!(splice.seek(SeekFrom::Start(1)).unwrap(), 1);
        assert_eq!(splice.seek(SeekFrom::Current(2)).unwrap(), 3);
        text.clear();
        splice.read_to_string(&mut text).unwrap();
        assert_eq!(text, "12");
        assert_eq!(splice.seek(SeekFrom::End(-5)).unwrap(), 0);
        assert!(splice.seek(SeekFrom::Current(-1)).is_err());
    }
}
