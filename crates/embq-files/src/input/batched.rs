//! Columnar tables that come in batches of rows, through polars: what Parquet and Arrow have in common.
//!
//! A small matrix is decoded once and kept. Of a large one only a batch is in memory at a time, and it is decoded
//! again in every pass.

use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex};

use polars::prelude::{
    ArrowDataType, ChunkedArray, DataType, Float32Type, Float64Type, ListChunked, PolarsError, PolarsNumericType,
    Series,
};

use crate::guard::Decoding;
use crate::input::cells::{Cell, Place, no_rows};
use crate::input::source::Source;
use crate::input::table::{Column, Kind, Table, VisitColumns, common_element_type};
use embq_core::data::{Element, ElementType, Embeddings, InMemory, Origin, Precision, RowBlocks};
use embq_core::error::{Error, Result};

/// A matrix of at most so many bytes is kept in memory.
const KEPT_BYTES: usize = 256 << 20;

/// Batches are decoded to about so many bytes.
pub(crate) const BATCH_BYTES: usize = 32 << 20;

/// A file of which batches of rows can be decoded.
pub(crate) trait Batches: Send + Sync {
    /// The number of rows of each batch.
    fn sizes(&self) -> &[usize];

    /// The chosen columns of a batch.
    fn read(&self, batch: usize, columns: &[usize]) -> Result<Vec<Series>, PolarsError>;
}

/// A file of typed columns whose header has been read.
pub(crate) struct BatchedTable {
    file: Arc<File>,
}

/// The file, which the table shares with matrices that are still to be decoded.
struct File {
    source: Source,
    /// The name of the format in messages.
    format: &'static str,
    columns: Vec<Column>,
    /// The first row of each batch, and the number of all rows.
    starts: Vec<usize>,
    batches: Box<dyn Batches>,
}

impl BatchedTable {
    pub(crate) fn new(
        source: &Source,
        format: &'static str,
        columns: Vec<Column>,
        batches: impl Batches + 'static,
    ) -> Self {
        let mut starts = vec![0];
        let mut rows = 0_usize;
        for size in batches.sizes() {
            rows = rows.saturating_add(*size);
            starts.push(rows);
        }
        let file = File { source: source.clone(), format, columns, starts, batches: Box::new(batches) };
        BatchedTable { file: Arc::new(file) }
    }
}

impl File {
    fn rows(&self) -> usize {
        self.starts.last().copied().unwrap_or(0)
    }

    /// The chosen columns of a batch, as long as promised.
    fn batch(&self, batch: usize, columns: &[usize]) -> Result<Vec<Series>> {
        let (first_row, rows) = (self.starts[batch], self.starts[batch + 1] - self.starts[batch]);
        let read = || self.batches.read(batch, columns).map_err(|error| self.damaged(&error));
        let series = guarded(&self.source, self.format, read)?;
        let found = series.first().map_or(0, |series| series.len());
        if series.len() != columns.len() || series.iter().any(|series| series.len() != rows) {
            return Err(self.source.malformed(
                format!("rows {first_row} and on are damaged: {rows} were promised, {found} found"),
                Some("save or copy the file again".to_owned()),
            ));
        }
        Ok(series)
    }

    fn place(&self, column: usize) -> Place<'_> {
        Place { path: &self.source.path, column: Some(&self.columns[column].name) }
    }

    fn damaged(&self, error: &PolarsError) -> Error {
        damaged(&self.source, self.format, error)
    }

    /// The numbers of a column; a null is an error.
    fn numbers<T: Number>(&self, series: &Series, column: usize, first_row: usize) -> Result<ChunkedArray<T::Polars>> {
        let numbers = self.cast(series, &T::data_type())?;
        let numbers = T::chunked(&numbers).map_err(|error| self.damaged(&error))?;
        if numbers.null_count() > 0 {
            let row = first_row + numbers.iter().position(|value| value.is_none()).unwrap_or(0);
            return Err(self.place(column).error(row, "the value is null", None));
        }
        Ok(numbers.clone())
    }

    fn cast(&self, series: &Series, to: &DataType) -> Result<Series> {
        series.cast(to).map_err(|error| self.damaged(&error))
    }

    /// A batch as rows of numbers. `dimensions` is the length of the lists, once it is known.
    fn decode<T: Number>(&self, batch: usize, columns: &[usize], dimensions: Option<usize>) -> Result<Decoded<T>> {
        let series = self.batch(batch, columns)?;
        guarded(&self.source, self.format, || match columns {
            [only] if matches!(self.columns[*only].kind, Kind::List(_)) => {
                self.lists(&series[0], *only, self.starts[batch], dimensions)
            }
            _ => self.side_by_side(&series, columns, self.starts[batch]),
        })
    }

    /// Number columns side by side.
    fn side_by_side<T: Number>(&self, series: &[Series], columns: &[usize], first_row: usize) -> Result<Decoded<T>> {
        let dimensions = columns.len();
        let mut values = vec![T::default(); series.first().map_or(0, |series| series.len()) * dimensions];
        for (position, (&column, series)) in columns.iter().zip(series).enumerate() {
            let numbers = self.numbers::<T>(series, column, first_row)?;
            let targets = values.iter_mut().skip(position).step_by(dimensions);
            for (target, value) in targets.zip(numbers.into_no_null_iter()) {
                *target = T::from_polars(value);
            }
        }
        Ok(Decoded { dimensions, values })
    }

    /// A list column: every list as long as the first.
    fn lists<T: Number>(
        &self,
        series: &Series,
        column: usize,
        first_row: usize,
        mut dimensions: Option<usize>,
    ) -> Result<Decoded<T>> {
        let place = self.place(column);
        // Arrays become lists too, so that there is one way to read both.
        let series = self.cast(series, &DataType::List(Box::new(T::data_type())))?;
        let lists: &ListChunked = series.list().map_err(|error| self.damaged(&error))?;
        let inner = lists.get_inner();
        let inner = T::chunked(&inner).map_err(|error| self.damaged(&error))?;
        let mut values: Vec<T> = Vec::with_capacity(inner.len());
        let mut row = first_row;
        for (lists, inner) in lists.downcast_iter().zip(inner.downcast_iter()) {
            for (index, offsets) in lists.offsets().windows(2).enumerate() {
                if lists.validity().is_some_and(|valid| !valid.get_bit(index)) {
                    return Err(place.error(row, "the list is null", None));
                }
                let (start, end) = (offsets[0] as usize, offsets[1] as usize);
                let expected = *dimensions.get_or_insert(end - start);
                if end == start {
                    return Err(place.error(row, "the list is empty", None));
                }
                if end - start != expected {
                    let problem = format!("a list of {} values, where row 0 has {expected}", end - start);
                    return Err(place.error(row, problem, None));
                }
                if let Some(valid) = inner.validity()
                    && let Some(position) = (start..end).position(|at| !valid.get_bit(at))
                {
                    return Err(place.error(row, format!("element {position} of the list is null"), None));
                }
                let list = &inner.values()[start..end];
                values.extend(list.iter().map(|&value| T::from_polars(value)));
                row += 1;
            }
        }
        Ok(Decoded { dimensions: dimensions.unwrap_or(0), values })
    }
}

/// Some rows of a matrix.
struct Decoded<T> {
    dimensions: usize,
    values: Vec<T>,
}

impl BatchedTable {
    fn read<T: Number>(&self, columns: &[usize], origin: Origin, element_type: ElementType) -> Result<Embeddings>
    where
        InMemory<T>: RowBlocks,
    {
        let file = &self.file;
        let rows = file.rows();
        if rows == 0 {
            return Err(no_rows(&file.source.path));
        }
        let filled = |batch: &usize| file.starts[batch + 1] > file.starts[*batch];
        let first = (0..file.batches.sizes().len()).find(filled).unwrap_or(0);
        let decoded = file.decode::<T>(first, columns, None)?;
        let dimensions = decoded.dimensions;
        let bytes = rows.saturating_mul(dimensions).saturating_mul(size_of::<T>());
        if bytes > KEPT_BYTES {
            let blocks = BatchRows {
                file: Arc::clone(file),
                columns: columns.to_vec(),
                dimensions,
                last: Mutex::new(Some((first, Arc::new(decoded.values)))),
            };
            return Ok(Embeddings::new(origin, rows, dimensions, element_type, blocks));
        }
        let mut values = decoded.values;
        for batch in (first + 1..file.batches.sizes().len()).filter(filled) {
            values.append(&mut file.decode::<T>(batch, columns, Some(dimensions))?.values);
        }
        Ok(Embeddings::new(origin, rows, dimensions, element_type, InMemory::of_rows(values, dimensions)))
    }
}

/// The rows of a large matrix, of which the last batch that was decoded is kept.
struct BatchRows<T> {
    file: Arc<File>,
    columns: Vec<usize>,
    dimensions: usize,
    last: Mutex<Option<(usize, Arc<Vec<T>>)>>,
}

impl<T: Number> BatchRows<T> {
    fn decoded(&self, batch: usize) -> Result<Arc<Vec<T>>> {
        // A poisoned lock means that a reader panicked, and what it left is whole all the same.
        let mut last = self.last.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((kept, values)) = last.as_ref()
            && *kept == batch
        {
            return Ok(Arc::clone(values));
        }
        // Gone before the next one comes, so that there are never two.
        *last = None;
        let values = Arc::new(self.file.decode::<T>(batch, &self.columns, Some(self.dimensions))?.values);
        *last = Some((batch, Arc::clone(&values)));
        Ok(values)
    }

    fn copy<U: Element>(&self, rows: Range<usize>, out: &mut [U]) -> Result<()> {
        let (starts, d) = (&self.file.starts, self.dimensions);
        let mut start = rows.start;
        while start < rows.end {
            let batch = starts.partition_point(|&first| first <= start).saturating_sub(1);
            let end = rows.end.min(starts[batch + 1]);
            let values = self.decoded(batch)?;
            let block = &values[(start - starts[batch]) * d..(end - starts[batch]) * d];
            for (target, value) in out[(start - rows.start) * d..].iter_mut().zip(block) {
                *target = U::from_f64(value.to_f64());
            }
            start = end;
        }
        Ok(())
    }
}

impl<T: Number> RowBlocks for BatchRows<T> {
    fn read_f32(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        self.copy(rows, out)
    }

    fn read_f64(&self, rows: Range<usize>, out: &mut [f64]) -> Result<()> {
        self.copy(rows, out)
    }

    fn is_random_access(&self) -> bool {
        false
    }
}

impl Table for BatchedTable {
    fn columns(&self) -> &[Column] {
        &self.file.columns
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
            for batch in 0..file.batches.sizes().len() {
                let series = file.batch(batch, &[column])?;
                let mut rows = file.starts[batch]..;
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
            Kind::Text | Kind::Numeral => {
                let values = self.cast(series, &DataType::String)?;
                let values = values.str().map_err(damaged)?;
                values.iter().try_for_each(|value| visit(value.map(Cell::Text)))
            }
            // Nobody asks for the cells of these; only whether they are null could be said.
            Kind::List(_) | Kind::Other => Ok(()),
        }
    }
}

/// float32 and float64, as polars calls them.
pub(crate) trait Number: Element {
    type Polars: PolarsNumericType;

    fn data_type() -> DataType;
    fn chunked(series: &Series) -> Result<&ChunkedArray<Self::Polars>, PolarsError>;
    fn from_polars(value: <Self::Polars as PolarsNumericType>::Native) -> Self;
}

impl Number for f32 {
    type Polars = Float32Type;

    fn data_type() -> DataType {
        DataType::Float32
    }

    fn chunked(series: &Series) -> Result<&ChunkedArray<Float32Type>, PolarsError> {
        series.f32()
    }

    fn from_polars(value: f32) -> Self {
        value
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

    fn from_polars(value: f64) -> Self {
        value
    }
}

/// Runs polars on a file. Its decoder answers some damaged files with a panic, which here becomes an error as well, and
/// asks for any memory that a file promises to fill, which here is limited.
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
    Column { name: name.to_owned(), kind: kind(data_type), dtype: dtype_name(data_type) }
}

fn kind(data_type: &ArrowDataType) -> Kind {
    match data_type {
        ArrowDataType::Float16 => Kind::Float(ElementType::F16),
        ArrowDataType::Float32 => Kind::Float(ElementType::F32),
        ArrowDataType::Float64 => Kind::Float(ElementType::F64),
        ArrowDataType::Int8 => Kind::Integer(ElementType::I8),
        ArrowDataType::Int16 => Kind::Integer(ElementType::I16),
        ArrowDataType::Int32 => Kind::Integer(ElementType::I32),
        ArrowDataType::Int64 => Kind::Integer(ElementType::I64),
        ArrowDataType::UInt8 => Kind::Integer(ElementType::U8),
        ArrowDataType::UInt16 => Kind::Integer(ElementType::U16),
        ArrowDataType::UInt32 => Kind::Integer(ElementType::U32),
        ArrowDataType::UInt64 => Kind::Integer(ElementType::U64),
        ArrowDataType::Boolean => Kind::Boolean,
        ArrowDataType::Utf8 | ArrowDataType::LargeUtf8 | ArrowDataType::Utf8View => Kind::Text,
        ArrowDataType::Dictionary(_, values, _) if kind(values) == Kind::Text => Kind::Text,
        ArrowDataType::List(field) | ArrowDataType::LargeList(field) | ArrowDataType::FixedSizeList(field, _) => {
            match kind(&field.dtype) {
                Kind::Float(element_type) | Kind::Integer(element_type) => Kind::List(element_type),
                _ => Kind::Other,
            }
        }
        _ => Kind::Other,
    }
}

fn dtype_name(data_type: &ArrowDataType) -> String {
    match (kind(data_type), data_type) {
        (Kind::Float(element_type) | Kind::Integer(element_type), _) => element_type.name().to_owned(),
        (Kind::Boolean, _) => "bool".to_owned(),
        (_, ArrowDataType::Dictionary(_, values, _)) => format!("categorical ({})", dtype_name(values)),
        (Kind::Text, _) => "text".to_owned(),
        (_, ArrowDataType::List(field) | ArrowDataType::LargeList(field)) => {
            format!("list of {}", dtype_name(&field.dtype))
        }
        (_, ArrowDataType::FixedSizeList(field, width)) => format!("list of {width} {}", dtype_name(&field.dtype)),
        (_, ArrowDataType::Struct(_)) => "struct".to_owned(),
        (_, other) => format!("{other:?}").to_lowercase(),
    }
}
