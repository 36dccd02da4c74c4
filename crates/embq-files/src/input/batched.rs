//! Columnar tables that come in batches of rows, read through polars: the common part of Parquet and Arrow.
//!
//! A matrix that fits in memory is decoded once and kept. A larger one is decoded again in every pass, with only some
//! batches in memory at a time.

mod ahead;
pub(crate) mod fields;
mod memory;

use std::ops::{Deref, Range};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use polars::prelude::{
    ArrowDataType, ChunkedArray, DataType, Float32Type, Float64Type, ListChunked, PolarsError, PolarsNumericType,
    Series,
};
use polars_arrow::array::{Array, PrimitiveArray};
use polars_arrow::types::NativeType;
use polars_buffer::Buffer;
use rayon::prelude::*;

use crate::guard::Decoding;
use crate::input::cells::{Cell, no_rows};
use crate::input::pasted::quoted;
use crate::input::source::Source;
use crate::input::table::{Column, Kind, Table, Unreadable, VisitColumns, common_element_type};
use crate::input::vector_text::{self, Texts};
use embq_core::data::{Element, ElementType, Embeddings, Origin, Precision, RowBlocks, RowFault, RowFaults};
use embq_core::error::{Error, Result};

/// A matrix of at most this many bytes is kept in memory regardless of how much is free.
const KEPT_BYTES: usize = 256 << 20;

/// Target size of decoded batches in bytes.
pub(crate) const BATCH_BYTES: usize = 32 << 20;

/// Rows examined to determine what text and bytes contain.
const SNIFFED_ROWS: usize = 100;

/// A file that can be decoded in batches of rows.
pub(crate) trait Batches: Send + Sync {
    /// The number of rows of each batch.
    fn sizes(&self) -> &[usize];

    /// The number of rows of each group of batches. Decoding a whole group takes no more time than decoding one of its
    /// batches, only more memory.
    fn group_sizes(&self) -> &[usize] {
        self.sizes()
    }

    /// The same file in batches better suited to one column of vectors of `dimensions` values, if there are any.
    fn of_vectors(self: Arc<Self>, _column: usize, _dimensions: usize) -> Option<Arc<dyn Batches>> {
        None
    }

    /// Some columns of the first rows: at most `rows` of them, or the whole first batch where reading less saves
    /// nothing.
    fn head(&self, columns: &[usize], rows: usize) -> Result<Vec<Series>, PolarsError>;

    /// The given columns of the rows of a batch or a group.
    fn read(&self, rows: Range<usize>, columns: &[usize]) -> Result<Vec<Series>, PolarsError>;
}

/// A file of typed columns whose header has been read.
pub(crate) struct BatchedTable {
    file: Arc<File>,
}

/// Shared by the table and the matrices that are decoded from it later.
struct File {
    source: Source,
    /// The format's name in messages.
    format: &'static str,
    columns: Vec<Column>,
    /// The first row of each batch, followed by the total number of rows.
    starts: Vec<usize>,
    batches: Arc<dyn Batches>,
}

impl BatchedTable {
    pub(crate) fn new(
        source: &Source,
        format: &'static str,
        mut columns: Vec<Column>,
        batches: Arc<dyn Batches>,
    ) -> Self {
        look_into(source, format, &mut columns, batches.as_ref());
        let starts = starts(batches.sizes());
        let file = File { source: source.clone(), format, columns, starts, batches };
        BatchedTable { file: Arc::new(file) }
    }
}

/// The first row of each part, followed by the total number of rows.
pub(crate) fn starts(sizes: &[usize]) -> Vec<usize> {
    let ends = sizes.iter().scan(0_usize, |rows, &size| {
        *rows = rows.saturating_add(size);
        Some(*rows)
    });
    std::iter::once(0).chain(ends).collect()
}

/// The part that contains a row. If several parts start at it, all but the last are empty.
pub(crate) fn part_of(starts: &[usize], row: usize) -> Option<usize> {
    starts.partition_point(|&start| start <= row).checked_sub(1)
}

/// The rows of each nonempty part.
fn parts(starts: &[usize]) -> Vec<Range<usize>> {
    starts.windows(2).map(|ends| ends[0]..ends[1]).filter(|rows| !rows.is_empty()).collect()
}

impl File {
    fn rows(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// The given columns of a batch or a group, checked to have the declared length.
    fn series(&self, batches: &dyn Batches, rows: Range<usize>, columns: &[usize]) -> Result<Vec<Series>> {
        let (first_row, rows, range) = (rows.start, rows.len(), rows);
        let read = || batches.read(range, columns).map_err(|error| self.damaged(&error));
        let series = guarded(&self.source, self.format, read)?;
        let found = series.first().map_or(0, |series| series.len());
        if series.len() != columns.len() || series.iter().any(|series| series.len() != rows) {
            return Err(self.source.malformed(
                format!("the rows from {first_row} on are damaged: {rows} were declared, {found} found"),
                Some("save or copy the file again".to_owned()),
            ));
        }
        Ok(series)
    }

    fn damaged(&self, error: &PolarsError) -> Error {
        damaged(&self.source, self.format, error)
    }

    fn cast(&self, series: &Series, to: &DataType) -> Result<Series> {
        series.cast(to).map_err(|error| self.damaged(&error))
    }

    fn fault(&self, column: usize, problem: impl Into<String>) -> RowFault {
        RowFault { column: Some(self.columns[column].name.clone()), problem: problem.into() }
    }

    /// Decodes a batch or a group as rows of numbers. `dimensions` is the length of the vectors, if already known.
    fn decode<T: Number>(
        &self,
        batches: &dyn Batches,
        rows: Range<usize>,
        columns: &[usize],
        dimensions: Option<usize>,
        faults: &RowFaults,
    ) -> Result<Decoded<T>> {
        let first_row = rows.start;
        let series = self.series(batches, rows, columns)?;
        guarded(&self.source, self.format, || {
            let &[only] = columns else { return self.side_by_side(&series, columns, first_row, faults) };
            let vectors = Vectors { file: self, column: only, first_row, dimensions, faults };
            match self.columns[only].kind {
                Kind::List(_) => vectors.lists(&series[0]),
                Kind::Nested(_) => vectors.nested(&series[0]),
                Kind::Sparse => vectors.sparse(&series[0]),
                Kind::TextList | Kind::Base64 => vectors.text(&series[0]),
                Kind::Bytes => vectors.bytes(&series[0]),
                _ => self.side_by_side(&series, columns, first_row, faults),
            }
        })
    }

    /// Number columns side by side; a null makes its row unusable.
    fn side_by_side<T: Number>(
        &self,
        series: &[Series],
        columns: &[usize],
        first_row: usize,
        faults: &RowFaults,
    ) -> Result<Decoded<T>> {
        let dimensions = columns.len();
        let mut values = vec![T::default(); series.first().map_or(0, |series| series.len()) * dimensions];
        for (position, (&column, series)) in columns.iter().zip(series).enumerate() {
            let numbers = self.cast(series, &T::data_type())?;
            let numbers = T::chunked(&numbers).map_err(|error| self.damaged(&error))?;
            let targets = values.iter_mut().skip(position).step_by(dimensions);
            if numbers.null_count() == 0 {
                for (target, value) in targets.zip(numbers.into_no_null_iter()) {
                    *target = value;
                }
                continue;
            }
            for (row, (target, value)) in targets.zip(numbers.iter()).enumerate() {
                *target = match value {
                    Some(value) => value,
                    None => {
                        faults.add(first_row + row, || self.fault(column, "the value is null"));
                        T::from_f64(f64::NAN)
                    }
                };
            }
        }
        Ok(Decoded { dimensions: Some(dimensions), values: Values::Own(values) })
    }
}

/// A column of vectors while one of its batches is decoded.
struct Vectors<'a> {
    file: &'a File,
    column: usize,
    first_row: usize,
    dimensions: Option<usize>,
    faults: &'a RowFaults,
}

impl Vectors<'_> {
    /// The length of the vectors: `dimensions` if known, or else the most common of `lengths`.
    fn length(&self, lengths: impl Iterator<Item = usize>) -> Result<Option<usize>> {
        if self.dimensions.is_some() {
            return Ok(self.dimensions);
        }
        let mut lengths = lengths.filter(|&length| length > 0).peekable();
        if lengths.peek().is_none() {
            return Ok(None);
        }
        match vector_text::usual_length(lengths) {
            Some(length) => Ok(Some(length)),
            None => {
                let Unreadable { why, tip, .. } = Unreadable::uneven(false);
                Err(Error::Malformed {
                    name: format!("{}:{}", self.file.source.path, self.file.columns[self.column].name),
                    problem: format!("it {why}"),
                    tip: Some(tip),
                })
            }
        }
    }

    fn fault(&self, row: usize, problem: impl Into<String>) {
        self.faults.add(self.first_row + row, || self.file.fault(self.column, problem));
    }

    fn nothing<T>(&self, rows: usize, dimensions: Option<usize>) -> Decoded<T>
    where
        T: Number,
    {
        Decoded { dimensions, values: Values::Own(vec![T::from_f64(f64::NAN); rows * dimensions.unwrap_or(0)]) }
    }

    /// A list column. Rows whose list is not a vector of the usual length become NaN and are reported.
    fn lists<T: Number>(&self, series: &Series) -> Result<Decoded<T>> {
        // Arrays are cast to lists, so that both take the same path.
        let series = self.file.cast(series, &DataType::List(Box::new(T::data_type())))?;
        let lists: &ListChunked = series.list().map_err(|error| self.file.damaged(&error))?;
        let lengths = lists
            .downcast_iter()
            .flat_map(|lists| lists.offsets().windows(2).map(|ends| (ends[1] - ends[0]) as usize).collect::<Vec<_>>());
        let Some(dimensions) = self.length(lengths)? else {
            return Ok(self.nothing(series.len(), None));
        };
        let inner = lists.get_inner();
        let inner = T::chunked(&inner).map_err(|error| self.file.damaged(&error))?;
        if let ([lists], [inner]) =
            (&lists.downcast_iter().collect::<Vec<_>>()[..], &inner.downcast_iter().collect::<Vec<_>>()[..])
            && let Some(values) = whole_rows(lists.validity().is_some(), lists.offsets(), inner, dimensions)
        {
            return Ok(Decoded { dimensions: Some(dimensions), values: Values::Shared(values) });
        }
        let mut values: Vec<T> = Vec::with_capacity(series.len() * dimensions);
        let mut row = 0;
        for (lists, inner) in lists.downcast_iter().zip(inner.downcast_iter()) {
            let numbers = inner.values();
            for (index, ends) in lists.offsets().windows(2).enumerate() {
                let (start, end) = (ends[0] as usize, ends[1] as usize);
                let is_null = lists.validity().is_some_and(|valid| !valid.get_bit(index));
                let element = || {
                    let valid = inner.validity().filter(|valid| valid.unset_bits() > 0)?;
                    (start..end).position(|at| !valid.get_bit(at))
                };
                let problem = if is_null {
                    Some("the list is null".to_owned())
                } else if end == start {
                    Some("the list is empty".to_owned())
                } else if end - start != dimensions {
                    Some(format!("a list of {} values, where most have {dimensions}", end - start))
                } else {
                    element().map(|position| format!("element {position} of the list is null"))
                };
                match problem {
                    None => values.extend(&numbers[start..end]),
                    Some(problem) => {
                        values.resize(values.len() + dimensions, T::from_f64(f64::NAN));
                        self.fault(row, problem);
                    }
                }
                row += 1;
            }
        }
        Ok(Decoded { dimensions: Some(dimensions), values: Values::Own(values) })
    }

    /// Rows read one at a time: `read` fills the buffer or returns the problem.
    fn row_by_row<T: Number>(
        &self,
        rows: usize,
        mut read: impl FnMut(usize, &mut Vec<f64>) -> Result<Result<(), String>>,
    ) -> Result<Decoded<T>> {
        let mut found: Vec<Result<Vec<f64>, String>> = Vec::with_capacity(rows);
        for row in 0..rows {
            let mut values = Vec::new();
            found.push(read(row, &mut values)?.map(|()| values));
        }
        let Some(dimensions) = self.length(found.iter().flatten().map(Vec::len))? else {
            for (row, problem) in found.into_iter().enumerate().filter_map(|(row, found)| Some((row, found.err()?))) {
                self.fault(row, problem);
            }
            return Ok(self.nothing(rows, None));
        };
        let mut values: Vec<T> = Vec::with_capacity(rows * dimensions);
        for (row, found) in found.into_iter().enumerate() {
            let found = found.and_then(|vector| match vector.len() {
                0 => Err("the list is empty".to_owned()),
                length if length == dimensions => Ok(vector),
                length => Err(vector_text::other_length(length, dimensions)),
            });
            match found {
                Ok(vector) => values.extend(vector.into_iter().map(T::from_f64)),
                Err(problem) => {
                    values.resize(values.len() + dimensions, T::from_f64(f64::NAN));
                    self.fault(row, problem);
                }
            }
        }
        Ok(Decoded { dimensions: Some(dimensions), values: Values::Own(values) })
    }

    /// Lists that each contain one list.
    fn nested<T: Number>(&self, series: &Series) -> Result<Decoded<T>> {
        let inner = DataType::List(Box::new(DataType::Float64));
        let series = self.file.cast(series, &DataType::List(Box::new(inner)))?;
        let lists: &ListChunked = series.list().map_err(|error| self.file.damaged(&error))?;
        self.row_by_row(lists.len(), |row, values| {
            let Some(outer) = lists.get_as_series(row) else { return Ok(Err("the list is null".to_owned())) };
            let outer = outer.list().map_err(|error| self.file.damaged(&error))?;
            Ok(match (outer.len(), outer.get_as_series(0)) {
                (0, _) => Err("the list is empty".to_owned()),
                (1, Some(only)) => self.numbers(&only, values)?,
                (1, None) => Err("the list is null".to_owned()),
                (several, _) => Err(format!("a list of {several} lists")),
            })
        })
    }

    /// The numbers of one list.
    fn numbers(&self, list: &Series, values: &mut Vec<f64>) -> Result<Result<(), String>> {
        let list = self.file.cast(list, &DataType::Float64)?;
        let list = list.f64().map_err(|error| self.file.damaged(&error))?;
        for (position, value) in list.iter().enumerate() {
            match value {
                Some(value) => values.push(value),
                None => return Ok(Err(format!("element {position} of the list is null"))),
            }
        }
        Ok(Ok(()))
    }

    /// Vectors as written by Spark ML: dense, or sparse with a size and the positions of the values.
    fn sparse<T: Number>(&self, series: &Series) -> Result<Decoded<T>> {
        let damaged = |error: PolarsError| self.file.damaged(&error);
        let structs = series.struct_().map_err(damaged)?;
        let field = |name: &str| structs.field_by_name(name).map_err(damaged);
        let sizes = self.file.cast(&field("size")?, &DataType::Int64)?;
        let sizes = sizes.i64().map_err(damaged)?;
        let integers = DataType::List(Box::new(DataType::Int64));
        let indices = self.file.cast(&field("indices")?, &integers)?;
        let indices = indices.list().map_err(damaged)?;
        let floats = DataType::List(Box::new(DataType::Float64));
        let numbers = self.file.cast(&field("values")?, &floats)?;
        let numbers = numbers.list().map_err(damaged)?;
        // A damaged size must not cause a huge allocation: no vector is longer than this multiple of its file.
        let longest = self.file.source.bytes.len().saturating_mul(64);
        self.row_by_row(series.len(), |row, values| {
            let Some(found) = numbers.get_as_series(row) else { return Ok(Err("the vector is null".to_owned())) };
            let Some(places) = indices.get_as_series(row) else { return self.numbers(&found, values) };
            let mut dense = Vec::new();
            if let Err(problem) = self.numbers(&found, &mut dense)? {
                return Ok(Err(problem));
            }
            let places = places.i64().map_err(damaged)?;
            let size = sizes.get(row).and_then(|size| usize::try_from(size).ok()).filter(|&size| size <= longest);
            let Some(size) = size else { return Ok(Err("the vector has no size".to_owned())) };
            values.resize(size, 0.0);
            for (place, value) in places.iter().zip(dense) {
                let place = place.and_then(|place| usize::try_from(place).ok());
                match place.and_then(|place| values.get_mut(place)) {
                    Some(target) => *target = value,
                    None => return Ok(Err("an index of the vector is beyond its size".to_owned())),
                }
            }
            Ok(Ok(()))
        })
    }

    /// Vectors written as text.
    fn text<T: Number>(&self, series: &Series) -> Result<Decoded<T>> {
        let is_base64 = self.file.columns[self.column].kind == Kind::Base64;
        let texts = self.file.cast(series, &DataType::String)?;
        let texts = texts.str().map_err(|error| self.file.damaged(&error))?;
        self.row_by_row(texts.len(), |row, values| {
            let Some(text) = texts.get(row) else { return Ok(Err("the vector is null".to_owned())) };
            Ok(vector_text::read(text, is_base64, values))
        })
    }

    /// Bytes of float32.
    fn bytes<T: Number>(&self, series: &Series) -> Result<Decoded<T>> {
        let bytes = series.binary().map_err(|error| self.file.damaged(&error))?;
        self.row_by_row(bytes.len(), |row, values| {
            let Some(bytes) = bytes.get(row) else { return Ok(Err("the vector is null".to_owned())) };
            let found = vector_text::floats_of(bytes, values);
            Ok(found.map(|_| ()).ok_or_else(|| format!("{} bytes are not float32 values", bytes.len())))
        })
    }
}

/// The values of lists that are all vectors of the same length, stored contiguously, if none is missing.
fn whole_rows<T: Number>(
    may_be_null: bool,
    offsets: &[i64],
    inner: &PrimitiveArray<T>,
    dimensions: usize,
) -> Option<Buffer<T>> {
    let is_whole = |ends: &[i64]| usize::try_from(ends[1] - ends[0]).is_ok_and(|length| length == dimensions);
    let (first, last) = (*offsets.first()?, *offsets.last()?);
    if may_be_null || inner.null_count() > 0 || !offsets.windows(2).all(is_whole) {
        return None;
    }
    let (first, last) = (usize::try_from(first).ok()?, usize::try_from(last).ok()?);
    Some(inner.values().clone().sliced(first..last))
}

/// Decoded rows of a matrix.
struct Decoded<T> {
    /// The length of the vectors; `None` if no vector was found.
    dimensions: Option<usize>,
    values: Values<T>,
}

/// Numbers copied out of the decoded data, or borrowed from it where they are contiguous.
enum Values<T> {
    Own(Vec<T>),
    Shared(Buffer<T>),
}

impl<T> Deref for Values<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Values::Own(values) => values,
            Values::Shared(values) => values,
        }
    }
}

impl BatchedTable {
    fn read<T: Number>(&self, columns: &[usize], origin: Origin, element_type: ElementType) -> Result<Embeddings> {
        let file = &self.file;
        let rows = file.rows();
        if rows == 0 {
            return Err(no_rows(&file.source.path));
        }
        let faults = Arc::new(RowFaults::default());
        // The first batch that contains a vector determines the length of all of them.
        let mut first = None;
        for batch in parts(&file.starts) {
            let decoded = file.decode::<T>(file.batches.as_ref(), batch.clone(), columns, None, &faults)?;
            if let Some(dimensions) = decoded.dimensions {
                first = Some((batch, dimensions, decoded.values));
                break;
            }
        }
        let Some((batch, dimensions, values)) = first else {
            return Err(Error::Malformed {
                name: origin.to_string(),
                problem: "every row is null or empty".to_owned(),
                tip: Some(format!("see what the file contains: embq inspect {}", quoted(&file.source.path))),
            });
        };
        let of_vectors = match *columns {
            [only] if matches!(file.columns[only].kind, Kind::List(_)) => {
                Arc::clone(&file.batches).of_vectors(only, dimensions)
            }
            _ => None,
        };
        let matrix = Matrix {
            file: Arc::clone(file),
            batches: of_vectors.unwrap_or_else(|| Arc::clone(&file.batches)),
            columns: columns.to_vec(),
            dimensions,
            faults: Arc::clone(&faults),
        };
        let embeddings = if batch == (0..rows) {
            Embeddings::new(origin, rows, dimensions, element_type, Kept { values, dimensions })
        } else {
            match matrix.at_once(&batch, &values)? {
                Some(kept) => Embeddings::new(origin, rows, dimensions, element_type, kept),
                None => {
                    let blocks = ahead::BatchRows::new(matrix, &batch, values);
                    Embeddings::new(origin, rows, dimensions, element_type, blocks)
                }
            }
        };
        Ok(embeddings.with_faults(faults))
    }
}

/// A matrix that is yet to be decoded.
struct Matrix {
    file: Arc<File>,
    batches: Arc<dyn Batches>,
    columns: Vec<usize>,
    dimensions: usize,
    faults: Arc<RowFaults>,
}

impl Matrix {
    fn decode<T: Number>(&self, rows: Range<usize>) -> Result<Values<T>> {
        let batches = self.batches.as_ref();
        Ok(self.file.decode::<T>(batches, rows, &self.columns, Some(self.dimensions), &self.faults)?.values)
    }

    /// The whole matrix, if it is small or takes no more than half of the free memory. The rows in `decoded` are
    /// already available as `values`.
    fn at_once<T: Number>(&self, decoded: &Range<usize>, values: &[T]) -> Result<Option<Kept<T>>> {
        let groups = parts(&starts(self.batches.group_sizes()));
        let bytes = |rows: usize| rows.saturating_mul(self.dimensions).saturating_mul(size_of::<T>());
        let needed = bytes(self.file.rows());
        let largest = groups.iter().map(|group| bytes(group.len())).max().unwrap_or(0);
        let at_a_time = if needed <= KEPT_BYTES {
            groups.len()
        } else {
            let free = memory::free() / 2;
            // Each group is decoded beside the target it is copied to, from pages that take memory as well.
            free.saturating_sub(needed) / largest.saturating_mul(2).max(1)
        };
        match groups.len().min(at_a_time) {
            0 => return Ok(None),
            _ if groups.len() == 1 => {
                let values = self.decode(0..self.file.rows())?;
                return Ok(Some(Kept { values, dimensions: self.dimensions }));
            }
            _ => {}
        }
        let mut all = vec![T::default(); self.file.rows() * self.dimensions];
        let mut rest = &mut all[..];
        let mut targets = Vec::with_capacity(groups.len());
        for group in groups {
            let (target, after) = rest.split_at_mut(group.len() * self.dimensions);
            rest = after;
            targets.push((group, target));
        }
        for some in targets.chunks_mut(at_a_time) {
            some.par_iter_mut().try_for_each(|(group, target)| -> Result<()> {
                if group == decoded {
                    target.copy_from_slice(values);
                } else {
                    target.copy_from_slice(&self.decode::<T>(group.clone())?);
                }
                Ok(())
            })?;
        }
        Ok(Some(Kept { values: Values::Own(all), dimensions: self.dimensions }))
    }
}

/// A decoded matrix.
struct Kept<T> {
    values: Values<T>,
    dimensions: usize,
}

impl<T: Number> Kept<T> {
    fn copy<U: Element>(&self, rows: Range<usize>, out: &mut [U]) {
        copy(&self.values[rows.start * self.dimensions..rows.end * self.dimensions], out);
    }
}

impl<T: Number> RowBlocks for Kept<T> {
    fn read_f32(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        self.copy(rows, out);
        Ok(())
    }

    fn read_f64(&self, rows: Range<usize>, out: &mut [f64]) -> Result<()> {
        self.copy(rows, out);
        Ok(())
    }

    fn as_f32(&self) -> Option<&[f32]> {
        T::as_f32(&self.values)
    }

    fn as_f64(&self) -> Option<&[f64]> {
        T::as_f64(&self.values)
    }
}

fn copy<T: Element, U: Element>(values: &[T], out: &mut [U]) {
    for (target, value) in out.iter_mut().zip(values) {
        *target = U::from_f64(value.to_f64());
    }
}

impl Table for BatchedTable {
    fn columns(&self) -> &[Column] {
        &self.file.columns
    }

    fn rows(&self) -> Option<usize> {
        Some(self.file.rows())
    }

    fn matrix(&self, columns: &[usize], origin: Origin) -> Result<Embeddings> {
        let element_type = common_element_type(columns.iter().map(|&column| self.file.columns[column].kind));
        match element_type.precision() {
            Precision::F32 => self.read::<f32>(columns, origin, element_type),
            Precision::F64 => self.read::<f64>(columns, origin, element_type),
        }
    }

    fn cells(&self, columns: &[usize], visit: &mut VisitColumns<'_>) -> Result<()> {
        let file = &self.file;
        for (position, &column) in columns.iter().enumerate() {
            for batch in parts(&file.starts) {
                let mut rows = batch.start..;
                let series = file.series(file.batches.as_ref(), batch, &[column])?;
                let mut visit = |cell: Option<Cell<'_>>| match rows.next() {
                    Some(row) => visit(position, row, cell.unwrap_or(Cell::Missing)),
                    None => Ok(()),
                };
                let read = || file.column_cells(&series[0], file.columns[column].kind, &mut visit);
                guarded(&file.source, file.format, read)?;
            }
        }
        Ok(())
    }
}

impl File {
    fn column_cells(
        &self,
        series: &Series,
        kind: Kind,
        visit: &mut dyn FnMut(Option<Cell<'_>>) -> Result<()>,
    ) -> Result<()> {
        let damaged = |error: PolarsError| self.damaged(&error);
        match kind {
            Kind::Boolean => {
                let values = series.bool().map_err(damaged)?;
                values.iter().try_for_each(|value| visit(value.map(Cell::Boolean)))
            }
            Kind::Integer(ElementType::U64) => {
                let values = series.u64().map_err(damaged)?;
                values.iter().try_for_each(|value| visit(value.map(|value| Cell::Integer(value.into()))))
            }
            Kind::Integer(_) => {
                let values = self.cast(series, &DataType::Int64)?;
                let values = values.i64().map_err(damaged)?;
                values.iter().try_for_each(|value| visit(value.map(|value| Cell::Integer(value.into()))))
            }
            Kind::Float(_) => {
                let values = self.cast(series, &DataType::Float64)?;
                let values = values.f64().map_err(damaged)?;
                values.iter().try_for_each(|value| visit(value.map(Cell::Float)))
            }
            Kind::Text | Kind::Numeral { .. } | Kind::TextList | Kind::Base64 => {
                let values = match series.dtype() {
                    // As labels, bytes are text.
                    DataType::Binary => return self.byte_text(series, visit),
                    _ => self.cast(series, &DataType::String)?,
                };
                let values = values.str().map_err(damaged)?;
                values.iter().try_for_each(|value| visit(value.map(Cell::Text)))
            }
            // Cells of these kinds are never requested.
            Kind::List(_) | Kind::Nested(_) | Kind::Sparse | Kind::Bytes | Kind::Other => Ok(()),
        }
    }

    fn byte_text(&self, series: &Series, visit: &mut dyn FnMut(Option<Cell<'_>>) -> Result<()>) -> Result<()> {
        let values = series.binary().map_err(|error| self.damaged(&error))?;
        values.iter().try_for_each(|value| match value {
            None => visit(None),
            Some(bytes) => visit(Some(Cell::Text(&String::from_utf8_lossy(bytes)))),
        })
    }
}

/// Examines the first rows of columns whose type does not say what they contain: text, bytes, and lists of any length.
/// Errors are ignored here; they are reported when the column is read.
fn look_into(source: &Source, format: &'static str, columns: &mut [Column], batches: &dyn Batches) {
    // A single list column is read whatever its lengths are; only if there are several does it matter which can be
    // vectors.
    let lists = columns.iter().filter(|column| column.kind.is_vectors()).count();
    let is_open = |column: &Column| match column.kind {
        Kind::Text => column.dtype == "text",
        Kind::Other => column.dtype == "bytes",
        Kind::Nested(_) => true,
        Kind::List(_) => lists > 1,
        _ => false,
    };
    let open: Vec<usize> = (0..columns.len()).filter(|&position| is_open(&columns[position])).collect();
    if open.is_empty() || batches.sizes().iter().all(|&rows| rows == 0) {
        return;
    }
    let read = || batches.head(&open, SNIFFED_ROWS).map_err(|error| damaged(source, format, &error));
    let Ok(series) = guarded(source, format, read) else { return };
    for (&position, series) in open.iter().zip(&series) {
        // A column that cannot be examined keeps the kind given by its type.
        let _ = guarded(source, format, || Ok(look_at(&mut columns[position], &series.head(Some(SNIFFED_ROWS)))));
    }
}

fn look_at(column: &mut Column, series: &Series) -> Option<()> {
    let unreadable = |column: &mut Column, unreadable: Unreadable| {
        column.kind = Kind::Other;
        column.unreadable = Some(unreadable);
    };
    match column.kind {
        Kind::Text => {
            let texts = series.cast(&DataType::String).ok()?;
            match vector_text::recognise(texts.str().ok()?.iter().flatten()) {
                Texts::Vectors(Some(length)) => {
                    column.kind = Kind::TextList;
                    column.dtype = format!("text with vectors of {length} values");
                }
                Texts::Base64(length) => {
                    column.kind = Kind::Base64;
                    column.dtype = format!("base64 of {length} f32");
                }
                Texts::Vectors(None) => unreadable(column, Unreadable::uneven(false)),
                Texts::Nested => unreadable(column, Unreadable::nested()),
                Texts::Shortened => unreadable(column, Unreadable::shortened()),
                Texts::Plain => {}
            }
        }
        Kind::Nested(element_type) => {
            let integers = !element_type.is_float();
            if vector_text::usual_length(list_lengths(series)?) != Some(1) {
                unreadable(column, Unreadable { integers, ..Unreadable::nested() });
            }
        }
        Kind::List(element_type) => {
            let integers = !element_type.is_float();
            let lengths = list_lengths(series)?;
            match vector_text::usual_length(lengths.iter().copied().filter(|&length| length > 0)) {
                Some(length) => column.dtype = column.dtype.replacen("list of", &format!("list of {length}"), 1),
                None if lengths.is_empty() => {}
                None => unreadable(column, Unreadable::uneven(integers)),
            }
        }
        _ => {
            let bytes = series.binary().ok()?;
            let values: Vec<&[u8]> = bytes.iter().flatten().collect();
            let first = values.first()?;
            let even = values.iter().all(|value| value.len() == first.len());
            if even && values.iter().all(|value| vector_text::are_floats(value)) {
                column.kind = Kind::Bytes;
                column.dtype = format!("bytes of {} f32", first.len() / 4);
            } else if values.iter().all(|value| std::str::from_utf8(value).is_ok()) {
                column.kind = Kind::Text;
            } else if even && first.len() > 4 {
                let why = format!("has {} bytes in each row, which are not float32 values", first.len());
                let tip = "write a list of floats instead of bytes".to_owned();
                unreadable(column, Unreadable { why, tip, integers: false });
            }
        }
    }
    Some(())
}

/// The lengths of the non-null lists.
fn list_lengths(series: &Series) -> Option<Vec<usize>> {
    if let Ok(lists) = series.list() {
        return Some((0..lists.len()).filter_map(|row| Some(lists.get_as_series(row)?.len())).collect());
    }
    let arrays = series.array().ok()?;
    Some(vec![arrays.width(); arrays.len()])
}

/// float32 and float64 as polars types.
pub(crate) trait Number: Element + NativeType {
    type Polars: PolarsNumericType<Native = Self>;

    fn data_type() -> DataType;
    fn chunked(series: &Series) -> Result<&ChunkedArray<Self::Polars>, PolarsError>;
}

impl Number for f32 {
    type Polars = Float32Type;

    fn data_type() -> DataType {
        DataType::Float32
    }

    fn chunked(series: &Series) -> Result<&ChunkedArray<Float32Type>, PolarsError> {
        series.f32()
    }
}

impl Number for f64 {
    type Polars = Float64Type;

    fn data_type() -> DataType {
        DataType::Float64
    }

    fn chunked(series: &Series) -> Result<&ChunkedArray<Float64Type>, PolarsError> {
        series.f64()
    }
}

/// Runs polars on a file. Its decoder panics on some damaged files, which becomes an error here, and allocates as much
/// memory as a file declares, which is limited here.
pub(crate) fn guarded<T>(source: &Source, format: &str, read: impl FnOnce() -> Result<T>) -> Result<T> {
    let _decoding = Decoding::begin(&source.path, source.bytes.len());
    panic::catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| {
        Err(source.malformed(
            format!("it cannot be read as {format}: its content is damaged"),
            Some("save or copy the file again".to_owned()),
        ))
    })
}

pub(crate) fn damaged(source: &Source, format: &str, error: &PolarsError) -> Error {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    source.malformed(format!("it cannot be read as {format}: {line}"), None)
}

/// A column of a schema.
pub(crate) fn column(name: &str, data_type: &ArrowDataType) -> Column {
    let kind = kind(data_type);
    let mut column = Column::new(name, kind, dtype_name(data_type));
    // Lists of lists of lists are not vectors, however short.
    if kind == Kind::Other && depth(data_type) > 1 && innermost_is_number(data_type) {
        column.unreadable = Some(Unreadable::nested());
    }
    column
}

/// Applies the metadata that pandas and Hugging Face's `datasets` write with a schema: which columns are an index of
/// rows, and the class names that integers stand for.
pub(crate) fn describe<'m>(columns: &mut [Column], metadata: impl Fn(&str) -> Option<&'m str>) {
    let read = |key: &str| metadata(key).and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    if let Some(pandas) = read("pandas") {
        let index = pandas["index_columns"].as_array().into_iter().flatten().filter_map(|name| name.as_str());
        for name in index {
            columns.iter_mut().filter(|column| column.name == name).for_each(|column| column.is_index = true);
        }
    }
    if let Some(description) = read("huggingface") {
        for column in columns {
            let names = description["info"]["features"][column.name.as_str()]["names"].as_array();
            let names: Option<Vec<String>> =
                names.and_then(|names| names.iter().map(|name| name.as_str().map(str::to_owned)).collect());
            if let (Kind::Integer(_), Some(names)) = (column.kind, names) {
                column.dtype = format!("{} with {} class names", column.dtype, names.len());
                column.classes = Some(names.into());
            }
        }
    }
}

/// The nesting depth of lists.
fn depth(data_type: &ArrowDataType) -> usize {
    match data_type {
        ArrowDataType::List(field) | ArrowDataType::LargeList(field) | ArrowDataType::FixedSizeList(field, _) => {
            1 + depth(&field.dtype)
        }
        ArrowDataType::Extension(extension) => depth(&extension.inner),
        _ => 0,
    }
}

fn innermost_is_number(data_type: &ArrowDataType) -> bool {
    match data_type {
        ArrowDataType::List(field) | ArrowDataType::LargeList(field) | ArrowDataType::FixedSizeList(field, _) => {
            innermost_is_number(&field.dtype)
        }
        ArrowDataType::Extension(extension) => innermost_is_number(&extension.inner),
        other => matches!(kind(other), Kind::Float(_) | Kind::Integer(_)),
    }
}

fn kind(data_type: &ArrowDataType) -> Kind {
    match data_type {
        ArrowDataType::Float16 => Kind::Float(ElementType::F16),
        ArrowDataType::Float32 => Kind::Float(ElementType::F32),
        ArrowDataType::Float64
        | ArrowDataType::Decimal(..)
        | ArrowDataType::Decimal32(..)
        | ArrowDataType::Decimal64(..)
        | ArrowDataType::Decimal256(..) => Kind::Float(ElementType::F64),
        ArrowDataType::Int8 => Kind::Integer(ElementType::I8),
        ArrowDataType::Int16 => Kind::Integer(ElementType::I16),
        ArrowDataType::Int32 => Kind::Integer(ElementType::I32),
        ArrowDataType::Int64 => Kind::Integer(ElementType::I64),
        ArrowDataType::UInt8 => Kind::Integer(ElementType::U8),
        ArrowDataType::UInt16 => Kind::Integer(ElementType::U16),
        ArrowDataType::UInt32 => Kind::Integer(ElementType::U32),
        ArrowDataType::UInt64 => Kind::Integer(ElementType::U64),
        ArrowDataType::Boolean => Kind::Boolean,
        ArrowDataType::Utf8
        | ArrowDataType::LargeUtf8
        | ArrowDataType::Utf8View
        | ArrowDataType::Date32
        | ArrowDataType::Date64
        | ArrowDataType::Timestamp(..) => Kind::Text,
        ArrowDataType::Dictionary(_, values, _) if kind(values) == Kind::Text => Kind::Text,
        ArrowDataType::List(field) | ArrowDataType::LargeList(field) | ArrowDataType::FixedSizeList(field, _) => {
            match kind(&field.dtype) {
                Kind::Float(element_type) | Kind::Integer(element_type) => Kind::List(element_type),
                Kind::List(element_type) => Kind::Nested(element_type),
                _ => Kind::Other,
            }
        }
        ArrowDataType::Extension(extension) => kind(&extension.inner),
        ArrowDataType::Struct(fields) => {
            let names: Vec<&str> = fields.iter().map(|field| field.name.as_str()).collect();
            if names == ["type", "size", "indices", "values"] { Kind::Sparse } else { Kind::Other }
        }
        _ => Kind::Other,
    }
}

fn dtype_name(data_type: &ArrowDataType) -> String {
    match (kind(data_type), data_type) {
        (_, ArrowDataType::Extension(extension)) => dtype_name(&extension.inner),
        (
            _,
            ArrowDataType::Decimal(..)
            | ArrowDataType::Decimal32(..)
            | ArrowDataType::Decimal64(..)
            | ArrowDataType::Decimal256(..),
        ) => "decimal".to_owned(),
        (_, ArrowDataType::Date32 | ArrowDataType::Date64) => "date".to_owned(),
        (_, ArrowDataType::Timestamp(..)) => "time".to_owned(),
        (
            _,
            ArrowDataType::Binary
            | ArrowDataType::LargeBinary
            | ArrowDataType::BinaryView
            | ArrowDataType::FixedSizeBinary(_),
        ) => "bytes".to_owned(),
        (Kind::Float(element_type) | Kind::Integer(element_type), _) => element_type.name().to_owned(),
        (Kind::Boolean, _) => "bool".to_owned(),
        (_, ArrowDataType::Dictionary(_, values, _)) => format!("categorical ({})", dtype_name(values)),
        (Kind::Text, _) => "text".to_owned(),
        (Kind::Sparse, _) => "Spark ML vector".to_owned(),
        (_, ArrowDataType::List(field) | ArrowDataType::LargeList(field)) => {
            format!("list of {}", dtype_name(&field.dtype))
        }
        (_, ArrowDataType::FixedSizeList(field, width)) => format!("list of {width} {}", dtype_name(&field.dtype)),
        (_, ArrowDataType::Struct(_)) => "struct".to_owned(),
        (_, other) => format!("{other:?}").to_lowercase(),
    }
}
