//! States of parts of a set, from the Arrow IPC files that [`output::state`](crate::output::state) writes.

use std::io::Cursor;

use polars_arrow::array::{Array, FixedSizeListArray, ListArray, PrimitiveArray, Utf8Array};
use polars_arrow::io::ipc::read::{FileMetadata, FileReader, read_file_metadata};
use polars_arrow::types::NativeType;

use crate::input::batched::{damaged, guarded};
use crate::input::source::Source;
use crate::output::state::{CHECKSUM, HEADER};
use embq_core::data::MappedBytes;
use embq_core::error::{Error, Result};
use embq_core::partial::{StateColumn, StateHeader, StateTable};

/// Both ends of an Arrow IPC file.
const MAGIC: &[u8] = b"ARROW1";

/// What a state is of, without its columns.
///
/// # Errors
/// A file that is not a state, or whose end is missing.
pub fn read_header(path: &str) -> Result<StateHeader> {
    let source = Source::open(path)?;
    let metadata = metadata(&source)?;
    StateHeader::parse(entry(&source, &metadata, HEADER)?, path)
}

/// A whole state.
///
/// # Errors
/// A file that is not a state, whose end is missing, or that was altered.
pub fn read(path: &str) -> Result<StateTable> {
    table(&Source::open(path)?)
}

/// As [`read`], of the content of a file; `name` is what errors call it.
///
/// # Errors
/// As [`read`].
pub fn from_bytes(name: &str, bytes: Vec<u8>) -> Result<StateTable> {
    table(&Source::of_bytes(name, MappedBytes::from_memory(bytes))?)
}

fn metadata(source: &Source) -> Result<FileMetadata> {
    let bytes: &[u8] = &source.bytes;
    if !bytes.starts_with(MAGIC) {
        return Err(not_a_state(source));
    }
    if !bytes.ends_with(MAGIC) {
        let tip = "make this state again".to_owned();
        return Err(source.malformed("truncated: its end is missing", Some(tip)));
    }
    guarded(source, "a state", || {
        read_file_metadata(&mut Cursor::new(bytes)).map_err(|error| damaged(source, "a state", &error))
    })
}

/// An entry of the metadata, which every state has.
fn entry<'m>(source: &Source, metadata: &'m FileMetadata, key: &str) -> Result<&'m str> {
    let entries = metadata.custom_schema_metadata.as_deref();
    entries.and_then(|entries| entries.get(key)).map(|value| value.as_str()).ok_or_else(|| not_a_state(source))
}

fn not_a_state(source: &Source) -> Error {
    source.malformed("it is not a state of embq", Some("embq partial writes states".to_owned()))
}

fn table(source: &Source) -> Result<StateTable> {
    let metadata = metadata(source)?;
    let header = entry(source, &metadata, HEADER)?.to_owned();
    let checksum = entry(source, &metadata, CHECKSUM)?.to_owned();
    // Before anything is decoded: another version may have other columns.
    StateHeader::parse(&header, &source.path)?;
    let altered = || {
        let problem = "it was altered since it was written: a state holds one batch of columns";
        source.malformed(problem, Some("make this state again".to_owned()))
    };
    let columns = guarded(source, "a state", || {
        let names: Vec<String> = metadata.schema.iter_names().map(|name| name.to_string()).collect();
        let mut batches = FileReader::new(Cursor::new(&source.bytes[..]), metadata, None, None);
        let batch = batches.next().transpose().map_err(|error| damaged(source, "a state", &error))?;
        let batch = batch.filter(|_| batches.next().is_none()).ok_or_else(altered)?;
        let columns = batch.into_arrays();
        let columns = names.into_iter().zip(columns).map(|(name, array)| Some((name, column(array)?)));
        columns.collect::<Option<Vec<_>>>().ok_or_else(altered)
    })?;
    StateTable::of_stored(header, columns, &checksum, &source.path)
}

/// The values of an array; `None` where it is of a type that states do not have.
fn column(array: Box<dyn Array>) -> Option<StateColumn> {
    let any = array.as_any();
    if let Some(texts) = any.downcast_ref::<Utf8Array<i64>>() {
        return Some(StateColumn::Text(texts.iter().map(|text| text.map(str::to_owned)).collect()));
    }
    if array.null_count() > 0 {
        return None;
    }
    if let Some(lists) = any.downcast_ref::<FixedSizeListArray>() {
        let (width, numbers) = (lists.size(), lists.values().clone());
        drop(array);
        return Some(StateColumn::Vectors { width, values: values::<f64>(numbers)? });
    }
    if let Some(lists) = any.downcast_ref::<ListArray<i64>>() {
        let integers = values::<u64>(lists.values().clone())?;
        let list = |pair: &[i64]| {
            let (start, end) = (usize::try_from(pair[0]).ok()?, usize::try_from(pair[1]).ok()?);
            integers.get(start..end).map(<[u64]>::to_vec)
        };
        return lists.offsets().as_slice().windows(2).map(list).collect::<Option<_>>().map(StateColumn::Lists);
    }
    if any.is::<PrimitiveArray<u64>>() {
        return values::<u64>(array).map(StateColumn::Integers);
    }
    values::<f64>(array).map(StateColumn::Numbers)
}

/// The numbers of an array, which are not copied where nobody else holds them.
fn values<T: NativeType>(array: Box<dyn Array>) -> Option<Vec<T>> {
    let numbers = array.as_any().downcast_ref::<PrimitiveArray<T>>().filter(|numbers| numbers.null_count() == 0)?;
    let buffer = numbers.values().clone();
    drop(array);
    Some(buffer.into_mut().right_or_else(|shared| shared.as_slice().to_vec()))
}
