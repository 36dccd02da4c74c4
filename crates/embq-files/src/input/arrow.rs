//! Arrow IPC: files (Feather version 2) and streams, as written by Hugging Face's `datasets`.
//!
//! Both consist of the same messages: a schema, dictionaries, batches of rows. A file has a footer with the schema and the
//! offsets of the others, and only that counts: polars 2 writes the first message in a form of its own. The messages of a
//! stream follow one another. Offsets are read once; a batch is then decoded from the schema, its dictionaries, and itself.

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;

use arrow_format::ipc::planus::ReadAsRoot;
use arrow_format::ipc::{Block, MessageHeaderRef, MessageRef, MetadataVersion};
use polars::prelude::{ArrowDataType, PolarsError, Series};
use polars_arrow::array::Array;
use polars_arrow::io::ipc::read::{
    StreamMetadata, StreamReader, StreamState, read_file_metadata, read_stream_metadata,
};

use crate::input::batched::{BatchedTable, Batches, damaged, describe, fields, guarded, part_of, starts};
use crate::input::source::Source;
use crate::input::{Contents, Format};
use embq_core::data::MappedBytes;
use embq_core::error::{Error, Result};

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
    metadata: StreamMetadata,
    dictionaries: Vec<Range<usize>>,
    /// The batches, and how many of the dictionaries belong to each.
    batches: Vec<(Range<usize>, usize)>,
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
    let batches = if source.bytes.starts_with(MAGIC) { by_footer(source) } else { in_order(source) }?;
    let (mut columns, paths) = fields::columns(&batches.metadata.schema);
    if let Some(entries) = &batches.metadata.custom_schema_metadata {
        describe(&mut columns, |key| entries.get(key).map(|value| value.as_str()));
    }
    Ok(BatchedTable::new(source, "Arrow", columns, paths.within(batches)))
}

fn truncated(source: &Source) -> Error {
    source.malformed("truncated: its end is missing", Some("save or copy the file again".to_owned()))
}

/// Runs code of polars, whose errors and panics are those of a damaged file.
fn decoded<T>(source: &Source, decode: impl FnOnce() -> Result<T, PolarsError>) -> Result<T> {
    guarded(source, "Arrow", || decode().map_err(|error| damaged(source, "Arrow", &error)))
}

/// The messages that the footer of a file lists.
fn by_footer(source: &Source) -> Result<ArrowBatches> {
    let bytes: &[u8] = &source.bytes;
    if !bytes.ends_with(MAGIC) {
        return Err(truncated(source));
    }
    let footer = decoded(source, || read_file_metadata(&mut Cursor::new(bytes)))?;
    let place = |block: &Block| {
        let start = usize::try_from(block.offset).ok()?;
        let end = start.checked_add(usize::try_from(block.meta_data_length).ok()?)?;
        let end = end.checked_add(usize::try_from(block.body_length).ok()?)?;
        (end <= bytes.len()).then_some(start..end)
    };
    let blocks = |blocks: &[Block]| -> Option<Vec<Range<usize>>> { blocks.iter().map(place).collect() };
    let dictionaries = blocks(footer.dictionaries.as_deref().unwrap_or_default()).ok_or_else(|| truncated(source))?;
    let batches = blocks(&footer.blocks).ok_or_else(|| truncated(source))?;
    let message = |place: &Range<usize>| {
        let header = framed(&bytes[place.clone()]).ok_or_else(|| truncated(source))?;
        decoded(source, || read_message(&bytes[place.clone()][header]))
    };
    let misplaced = || source.malformed("damaged: its footer points to other messages than it says", None);
    for dictionary in &dictionaries {
        if !matches!(message(dictionary)?.header, Header::Dictionary) {
            return Err(misplaced());
        }
    }
    let mut version = MetadataVersion::V5;
    let mut sizes = Vec::with_capacity(batches.len());
    for batch in &batches {
        let Message { header: Header::Batch { rows }, version: found, .. } = message(batch)? else {
            return Err(misplaced());
        };
        version = found;
        sizes.push(rows);
    }
    let metadata = StreamMetadata {
        schema: footer.schema.as_ref().clone(),
        custom_schema_metadata: footer.custom_schema_metadata.as_deref().cloned(),
        version,
        ipc_schema: footer.ipc_schema,
    };
    let batches = batches.into_iter().map(|batch| (batch, dictionaries.len())).collect();
    let starts = starts(&sizes);
    Ok(ArrowBatches { bytes: source.bytes.clone(), metadata, dictionaries, batches, sizes, starts })
}

/// The messages of a stream, each of which ends within it.
fn in_order(source: &Source) -> Result<ArrowBatches> {
    let bytes: &[u8] = &source.bytes;
    let (mut schema, mut dictionaries, mut batches, mut sizes) = (None, Vec::new(), Vec::new(), Vec::new());
    let mut start = 0;
    // A stream may end without a marker.
    while start < bytes.len() {
        let header = framed(&bytes[start..]).ok_or_else(|| truncated(source))?;
        if header.is_empty() {
            break;
        }
        let header = start + header.start..start + header.end;
        let message = decoded(source, || read_message(&bytes[header.clone()]))?;
        let end = header.end.checked_add(message.body).filter(|&end| end <= bytes.len());
        let end = end.ok_or_else(|| truncated(source))?;
        match message.header {
            Header::Schema => schema = Some(start..end),
            Header::Dictionary => dictionaries.push(start..end),
            Header::Batch { rows } => {
                batches.push((start..end, dictionaries.len()));
                sizes.push(rows);
            }
        }
        start = end;
    }
    let Some(schema) = schema else {
        let tip = "save it again, for example with pyarrow.feather.write_feather".to_owned();
        return Err(source.malformed("it is not an Arrow file: it has no schema", Some(tip)));
    };
    let metadata = decoded(source, || read_stream_metadata(&mut &bytes[schema]))?;
    let starts = starts(&sizes);
    Ok(ArrowBatches { bytes: source.bytes.clone(), metadata, dictionaries, batches, sizes, starts })
}

/// Where the header of the first of these messages lies, after its length; empty at the end of a stream. `None` if it ends
/// after them.
fn framed(bytes: &[u8]) -> Option<Range<usize>> {
    let start = if bytes.starts_with(&CONTINUATION) { 4 } else { 0 };
    let length = bytes.get(start..)?.first_chunk()?;
    let start = start + length.len();
    let end = start.checked_add(usize::try_from(i32::from_le_bytes(*length)).ok()?)?;
    (end <= bytes.len()).then_some(start..end)
}

/// The kind of a message.
enum Header {
    Schema,
    Dictionary,
    Batch { rows: usize },
}

struct Message {
    header: Header,
    /// The number of bytes that follow the header.
    body: usize,
    version: MetadataVersion,
}

fn read_message(bytes: &[u8]) -> Result<Message, PolarsError> {
    let damaged = |error: arrow_format::ipc::planus::Error| PolarsError::ComputeError(error.to_string().into());
    let message = MessageRef::read_as_root(bytes).map_err(damaged)?;
    let body = usize::try_from(message.body_length().map_err(damaged)?).unwrap_or(usize::MAX);
    let version = message.version().map_err(damaged)?;
    let header = match message.header().map_err(damaged)? {
        Some(MessageHeaderRef::Schema(_)) => Header::Schema,
        Some(MessageHeaderRef::DictionaryBatch(_)) => Header::Dictionary,
        Some(MessageHeaderRef::RecordBatch(batch)) => {
            let rows = batch.length().map_err(damaged)?;
            Header::Batch { rows: usize::try_from(rows).unwrap_or(usize::MAX) }
        }
        _ => return Err(PolarsError::ComputeError("a message is neither schema nor batch".into())),
    };
    Ok(Message { header, body, version })
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
        let wanted = part_of(&self.starts, rows.start).and_then(|batch| self.batches.get(batch));
        let (wanted, dictionaries) = wanted.ok_or_else(missing)?;
        let parts = self.dictionaries[..*dictionaries].iter().chain([wanted]);
        let stream = Splice::new(&self.bytes, parts.cloned().collect());
        // The reader expects columns in file order, each once.
        let mut sorted = columns.to_vec();
        sorted.sort_unstable();
        sorted.dedup();
        let mut reader = StreamReader::new(stream, self.metadata.clone(), Some(sorted.clone()));
        let Some(StreamState::Some(batch)) = reader.next().transpose()? else {
            return Err(missing());
        };
        let series: Vec<Series> = sorted
            .iter()
            .zip(batch.into_arrays())
            .map(|(&column, array)| {
                let name = self.metadata.schema.get_at_index(column).map(|(name, _)| name.clone()).unwrap_or_default();
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
    fn only_the_footer_of_a_file_says_where_its_messages_are() {
        let mut bytes = fixture("dictionary.arrow");
        let expected = values(&opened(bytes.clone()).unwrap());
        assert_eq!(bytes[8..12], CONTINUATION);
        bytes[8..64].fill(0);
        assert_eq!(values(&opened(bytes).unwrap()), expected);
    }

    #[test]
    fn a_footer_that_points_elsewhere_is_refused() {
        let bytes = fixture("dictionary.arrow");
        let end = bytes.len() - 10;
        let footer = end - u32::from_le_bytes(bytes[end..end + 4].try_into().unwrap()) as usize;
        let metadata = read_file_metadata(&mut Cursor::new(&bytes)).unwrap();
        let offset = metadata.blocks[1].offset.to_le_bytes();
        let place = footer + bytes[footer..end].windows(8).position(|window| window == offset).unwrap();
        for elsewhere in [-8_i64, 8, bytes.len() as i64 - 4, i64::MAX] {
            let mut bytes = bytes.clone();
            bytes[place..place + 8].copy_from_slice(&elsewhere.to_le_bytes());
            let error = opened(bytes).err().unwrap().to_string();
            assert!(
                error.contains("truncated") || error.contains("footer") || error.contains("read as Arrow"),
                "{error}"
            );
        }
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
