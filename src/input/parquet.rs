//! Parquet, through polars: only the columns that are needed, some row groups at a time.

use std::io::Cursor;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use ndarray::Array2;
use polars::io::SerReader;
use polars::io::parquet::metadata::FileMetadataRef;
use polars::prelude::{
    ArrowDataType, ChunkedArray, DataFrame, DataType, Float32Type, Float64Type, ListChunked, ParquetReader,
    PolarsError, PolarsNumericType, Series,
};

use crate::data::{Element, ElementType, Embeddings, InMemory, MappedBytes, Origin, Precision};
use crate::error::{Error, Result};
use crate::input::cells::{Cell, Place, no_rows};
use crate::input::source::Source;
use crate::input::table::{Column, Kind, Table, VisitColumns, common_element_type};
use crate::input::{Contents, Format};

const MAGIC: &[u8] = b"PAR1";

/// Apache Parquet.
pub(crate) const FORMAT: Format = Format {
    name: "parquet",
    extensions: &["parquet", "pq"],
    // A control character follows, so that a CSV file with a column PAR1 is not taken for one.
    recognises: |bytes| matches!(bytes, [b'P', b'A', b'R', b'1', 0..=8 | 14..=31, ..]),
    open: |source, _| Ok(Contents::Table(Box::new(ParquetTable::open(source)?))),
};

/// Row groups are read together until they hold this many rows: one large one alone, many small ones side by side.
const BATCH_ROWS: usize = 1 << 17;

/// A Parquet file whose footer has been read.
struct ParquetTable {
    source: Source,
    metadata: FileMetadataRef,
    columns: Vec<Column>,
    /// First row and number of rows of each batch of row groups.
    batches: Vec<(usize, usize)>,
}

type Bytes = Cursor<MappedBytes>;

impl ParquetTable {
    fn open(source: &Source) -> Result<Self> {
        if source.bytes.len() < 12 || !source.bytes.ends_with(MAGIC) {
            return Err(source.malformed(
                if source.bytes.starts_with(MAGIC) {
                    "truncated: it begins as Parquet but does not end so"
                } else {
                    "it is not a Parquet file: it does not begin with PAR1"
                },
                Some("save or copy the file again".to_owned()),
            ));
        }
        let (schema, metadata) = guarded(source, || {
            let mut reader: ParquetReader<Bytes> = ParquetReader::new(Cursor::new(source.bytes.clone()));
            Ok((reader.schema()?, Arc::clone(reader.get_metadata()?)))
        })?;
        // Checked here, because the decoder reserves memory for as many rows as it is told.
        let counted = metadata.row_groups.iter().map(|group| group.num_rows() as u128).sum::<u128>();
        if counted != metadata.num_rows as u128 || counted > u128::from(u32::MAX) {
            return Err(source.malformed(
                format!("its row groups hold {counted} rows, its footer says {}", metadata.num_rows),
                Some("save or copy the file again; a file holds at most 2^32 - 1 rows".to_owned()),
            ));
        }
        let mut batches: Vec<(usize, usize)> = Vec::new();
        let mut first_row = 0;
        for rows in metadata.row_groups.iter().map(|group| group.num_rows()) {
            match batches.last_mut() {
                Some((_, batch)) if *batch < BATCH_ROWS => *batch = batch.saturating_add(rows),
                _ => batches.push((first_row, rows)),
            }
            first_row = first_row.saturating_add(rows);
        }
        let columns = schema
            .iter()
            .map(|(name, field)| Column {
                name: name.to_string(),
                kind: kind(&field.dtype),
                dtype: dtype_name(&field.dtype),
            })
            .collect();
        Ok(ParquetTable { source: source.clone(), metadata, columns, batches })
    }

    /// Hands over the chosen columns, some row groups at a time, with the row of the first.
    fn batches(&self, columns: &[usize], mut use_batch: impl FnMut(usize, &DataFrame) -> Result<()>) -> Result<()> {
        for &(first_row, rows) in &self.batches {
            let frame = guarded(&self.source, || {
                let mut reader: ParquetReader<Bytes> = ParquetReader::new(Cursor::new(self.source.bytes.clone()))
                    .with_projection(Some(columns.to_vec()))
                    .with_slice(Some((first_row, rows)));
                reader.set_metadata(Arc::clone(&self.metadata));
                reader.finish()
            })?;
            if frame.height() != rows || frame.width() != columns.len() {
                return Err(self.source.malformed(
                    format!("rows {first_row} and on are damaged: {rows} were promised, {} found", frame.height()),
                    Some("save or copy the file again".to_owned()),
                ));
            }
            use_batch(first_row, &frame)?;
        }
        Ok(())
    }

    fn place(&self, column: usize) -> Place<'_> {
        Place { path: &self.source.path, column: Some(&self.columns[column].name) }
    }

    /// The numbers of a column; a null is an error.
    fn numbers<T: Number>(&self, series: &Series, column: usize, first_row: usize) -> Result<ChunkedArray<T::Polars>> {
        let numbers = self.cast(series, &T::data_type())?;
        let numbers = T::chunked(&numbers).map_err(|error| damaged(&self.source, &error))?;
        if numbers.null_count() > 0 {
            let row = first_row + numbers.iter().position(|value| value.is_none()).unwrap_or(0);
            return Err(self.place(column).error(row, "the value is null", None));
        }
        Ok(numbers.clone())
    }

    fn cast(&self, series: &Series, to: &DataType) -> Result<Series> {
        series.cast(to).map_err(|error| damaged(&self.source, &error))
    }

    /// Number columns side by side.
    fn side_by_side<T: Number>(&self, columns: &[usize]) -> Result<(usize, Vec<T>)> {
        let dimensions = columns.len();
        let mut values: Vec<T> = Vec::new();
        self.batches(columns, |first_row, frame| {
            let start = values.len();
            values.resize(start + frame.height() * dimensions, T::default());
            for (position, &column) in columns.iter().enumerate() {
                let series = frame.columns()[position].as_materialized_series();
                let numbers = self.numbers::<T>(series, column, first_row)?;
                let targets = values[start + position..].iter_mut().step_by(dimensions);
                for (target, value) in targets.zip(numbers.into_no_null_iter()) {
                    *target = T::from_polars(value);
                }
            }
            Ok(())
        })?;
        Ok((dimensions, values))
    }

    /// A list column: every list as long as the first.
    fn lists<T: Number>(&self, column: usize) -> Result<(usize, Vec<T>)> {
        let place = self.place(column);
        let mut dimensions = None;
        let mut values: Vec<T> = Vec::new();
        self.batches(&[column], |first_row, frame| {
            let series = frame.columns()[0].as_materialized_series();
            // Arrays become lists too, so that there is one way to read both.
            let series = self.cast(series, &DataType::List(Box::new(T::data_type())))?;
            let lists: &ListChunked = series.list().map_err(|error| damaged(&self.source, &error))?;
            let inner = lists.get_inner();
            let inner = T::chunked(&inner).map_err(|error| damaged(&self.source, &error))?;
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
            Ok(())
        })?;
        Ok((dimensions.unwrap_or(0), values))
    }

    fn read<T: Number>(&self, columns: &[usize], origin: Origin, element_type: ElementType) -> Result<Embeddings>
    where
        InMemory<T>: crate::data::RowBlocks,
    {
        let (dimensions, values) = match columns {
            [only] if matches!(self.columns[*only].kind, Kind::List(_)) => self.lists::<T>(*only)?,
            _ => self.side_by_side::<T>(columns)?,
        };
        if values.is_empty() {
            return Err(no_rows(&self.source.path));
        }
        let rows = values.len() / dimensions;
        let matrix = Array2::from_shape_vec((rows, dimensions), values)
            .map_err(|error| self.source.malformed(error.to_string(), None))?;
        Ok(Embeddings::new(origin, rows, dimensions, element_type, InMemory::new(matrix)))
    }
}

impl Table for ParquetTable {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn matrix(&self, columns: &[usize], origin: Origin) -> Result<Embeddings> {
        let element_type = common_element_type(columns.iter().map(|&column| self.columns[column].kind));
        match element_type.precision() {
            Precision::F32 => self.read::<f32>(columns, origin, element_type),
            Precision::F64 => self.read::<f64>(columns, origin, element_type),
        }
    }

    fn cells(&self, columns: &[usize], visit: &mut VisitColumns<'_>) -> Result<()> {
        for (position, &column) in columns.iter().enumerate() {
            self.batches(&[column], |first_row, frame| {
                let series = frame.columns()[0].as_materialized_series();
                let damaged = |error: PolarsError| damaged(&self.source, &error);
                let mut rows = first_row..;
                let mut visit = |cell: Option<Cell<'_>>| match rows.next() {
                    Some(row) => visit(position, row, cell.unwrap_or(Cell::Missing)),
                    None => Ok(()),
                };
                match self.columns[column].kind {
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
            })?;
        }
        Ok(())
    }
}

/// float32 and float64, as polars calls them.
trait Number: Element {
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

/// Runs polars on a file. Its decoder answers some damaged files with a panic, which here becomes an error as well.
fn guarded<T>(source: &Source, read: impl FnOnce() -> Result<T, PolarsError>) -> Result<T> {
    match panic::catch_unwind(AssertUnwindSafe(read)) {
        Ok(result) => result.map_err(|error| damaged(source, &error)),
        Err(_) => Err(source.malformed(
            "it cannot be read as Parquet: its content is damaged",
            Some("save or copy the file again".to_owned()),
        )),
    }
}

fn damaged(source: &Source, error: &PolarsError) -> Error {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    source.malformed(format!("it cannot be read as Parquet: {line}"), None)
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

#[cfg(test)]
mod tests {
    use polars::prelude::{
        BooleanChunked, Categories, Column as FrameColumn, IntoColumn, IntoSeries, ListBuilderTrait,
        ListPrimitiveChunkedBuilder, NamedFrom, ParquetWriter,
    };

    use super::*;
    use crate::data::{Label, LabelColumn, LabelType};
    use crate::input::{Role, Selection, embeddings_of, labels_of, weights_of};

    fn column<T, Phantom: ?Sized>(name: &str, values: Vec<T>) -> FrameColumn
    where
        Series: NamedFrom<Vec<T>, Phantom>,
    {
        Series::new(name.into(), values).into_column()
    }

    fn lists(name: &str, rows: &[Option<&[Option<f32>]>]) -> Series {
        let mut builder =
            ListPrimitiveChunkedBuilder::<Float32Type>::new(name.into(), rows.len(), 8, DataType::Float32);
        for row in rows {
            match row {
                Some(values) => builder.append_iter(values.iter().copied()),
                None => builder.append_null(),
            }
        }
        builder.finish().into_series()
    }

    fn file(columns: Vec<FrameColumn>, group: usize) -> Vec<u8> {
        let mut frame = DataFrame::new_infer_height(columns).unwrap();
        let mut bytes = Vec::new();
        ParquetWriter::new(&mut bytes).with_row_group_size(Some(group)).finish(&mut frame).unwrap();
        bytes
    }

    fn open(bytes: Vec<u8>) -> Result<Contents> {
        let source = Source { path: "t.parquet".into(), bytes: MappedBytes::from_memory(bytes) };
        (FORMAT.open)(&source, Role::Embeddings)
    }

    fn embeddings(columns: Vec<FrameColumn>, selector: Option<&str>) -> Result<Embeddings> {
        embeddings_of(&open(file(columns, 2))?, "t.parquet", selector, &[])
    }

    fn values(embeddings: &Embeddings) -> Vec<f64> {
        let mut out = vec![0.0; embeddings.rows() * embeddings.dimensions()];
        embeddings.blocks().read_f64(0..embeddings.rows(), &mut out).unwrap();
        out
    }

    fn labels(column: FrameColumn) -> Result<LabelColumn> {
        labels_of(&open(file(vec![column], 2))?, "t.parquet", None)
    }

    const A: &[Option<f32>] = &[Some(1.0), Some(2.0)];
    const B: &[Option<f32>] = &[Some(3.0), Some(-4.5)];

    #[test]
    fn lists_and_arrays_are_read_alike_over_row_groups() {
        let list = lists("emb", &[Some(A), Some(B), Some(A), Some(B), Some(B)]);
        let array = list.cast(&DataType::Array(Box::new(DataType::Float32), 2)).unwrap();
        for series in [list, array] {
            let other = column("x", vec![0_f32; 5]);
            let embeddings = embeddings(vec![other, series.into_column()], None).unwrap();
            assert_eq!((embeddings.rows(), embeddings.dimensions()), (5, 2));
            assert_eq!(embeddings.element_type(), ElementType::F32);
            assert_eq!(embeddings.origin().to_string(), "t.parquet:emb");
            assert!(embeddings.columns().is_empty());
            let expected = [1.0, 2.0, 3.0, -4.5, 1.0, 2.0, 3.0, -4.5, 3.0, -4.5];
            assert_eq!(values(&embeddings), expected);
        }
    }

    #[test]
    fn half_precision_lists_and_columns_are_widened() {
        let list = lists("emb", &[Some(A), Some(B)]);
        let halves = list.cast(&DataType::List(Box::new(DataType::Float16))).unwrap();
        let read = embeddings(vec![halves.into_column()], None).unwrap();
        assert_eq!(read.element_type(), ElementType::F16);
        assert!(read.blocks().as_f32().is_some());
        assert_eq!(values(&read), [1.0, 2.0, 3.0, -4.5]);
        let half = Series::new("x".into(), vec![0.5_f32, 2.0]).cast(&DataType::Float16).unwrap();
        let read = embeddings(vec![half.into_column()], None).unwrap();
        assert_eq!(read.element_type(), ElementType::F16);
        assert_eq!(values(&read), [0.5, 2.0]);
    }

    #[test]
    fn floats_are_the_default_and_integers_are_selected() {
        let columns = || {
            vec![
                column("id", vec![7_i64, 8, 9]),
                column("f0", vec![1_f32, 2.0, 3.0]),
                column("f1", vec![4_f32, 5.0, 6.0]),
                column("g", vec![0.5_f64, 1.5, 2.5]),
                column("q", vec![-1_i8, 0, 1]),
            ]
        };
        let all = embeddings(columns(), None).unwrap();
        assert_eq!(all.columns(), ["f0", "f1", "g"]);
        assert_eq!(all.element_type(), ElementType::F64);
        assert_eq!(values(&all), [1.0, 4.0, 0.5, 2.0, 5.0, 1.5, 3.0, 6.0, 2.5]);
        let range = embeddings(columns(), Some("f0..f1")).unwrap();
        assert_eq!(range.element_type(), ElementType::F32);
        assert!(range.blocks().as_f32().is_some());
        assert_eq!(values(&range), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        let integers = embeddings(columns(), Some("q")).unwrap();
        assert_eq!(integers.element_type(), ElementType::I8);
        assert_eq!(values(&integers), [-1.0, 0.0, 1.0]);
    }

    #[test]
    fn a_list_of_integers_is_read_when_selected() {
        let list = lists("codes", &[Some(A), Some(A)]);
        let codes = list.cast(&DataType::List(Box::new(DataType::Int8))).unwrap();
        let read = |selector| embeddings(vec![codes.clone().into_column()], selector);
        assert!(matches!(read(None), Err(Error::SelectorNeeded { .. })));
        let read = read(Some("codes")).unwrap();
        assert_eq!(read.element_type(), ElementType::I8);
        assert_eq!(values(&read), [1.0, 2.0, 1.0, 2.0]);
    }

    #[test]
    fn nulls_and_lists_of_unequal_length_are_named() {
        let problem = |rows: &[Option<&[Option<f32>]>]| {
            let error = embeddings(vec![lists("emb", rows).into_column()], None).unwrap_err();
            assert!(matches!(&error, Error::Cell { column, .. } if column == "emb"), "{error}");
            error.to_string()
        };
        assert!(problem(&[Some(A), Some(B), Some(A), None]).contains("row 3, column 'emb': the list is null"));
        assert!(
            problem(&[Some(A), Some(&A[..1])]).contains("row 1, column 'emb': a list of 1 values, where row 0 has 2")
        );
        assert!(problem(&[Some(A), Some(A), Some(&[Some(1.0), None])]).contains("row 2, column 'emb': element 1"));
        assert!(problem(&[Some(&[]), Some(&[])]).contains("row 0, column 'emb': the list is empty"));
        let error = embeddings(vec![column("x", vec![Some(1.0), None, Some(2.0)])], None).unwrap_err();
        assert_eq!(error.to_string(), "t.parquet: row 1, column 'x': the value is null");
    }

    #[test]
    fn labels_are_integers_text_booleans_categories_or_integral_floats() {
        let integers = labels(column("l", vec![Some(3_i64), None, Some(-1)])).unwrap();
        assert_eq!((integers.get(0), integers.get(1)), (Some(&Label::Integer(3)), None));
        let large = labels(column("l", vec![u64::MAX])).unwrap();
        assert_eq!(large.get(0), Some(&Label::Integer(u64::MAX.into())));
        let text = labels(column("l", vec!["7", "", "b"])).unwrap();
        assert_eq!(
            (text.label_type(), text.get(0), text.get(1)),
            (LabelType::Text, Some(&Label::Text("7".into())), None)
        );
        let booleans = BooleanChunked::from_iter([Some(true), None]).into_series().into_column();
        let booleans = labels(booleans).unwrap();
        assert_eq!((booleans.get(0), booleans.get(1)), (Some(&Label::Boolean(true)), None));
        let categories = DataType::from_categories(Categories::global());
        let categories = Series::new("l".into(), ["a", "b", "a"]).cast(&categories).unwrap();
        let categories = labels(categories.into_column()).unwrap();
        assert_eq!(categories.get(2), Some(&Label::Text("a".into())));
        let floats = labels(column("l", vec![1.0, f64::NAN, 2.0])).unwrap();
        assert_eq!((floats.get(0), floats.get(1)), (Some(&Label::Integer(1)), None));
        let error = labels(column("l", vec![1.0, 1.0, 2.5])).unwrap_err();
        assert!(error.to_string().contains("row 2, column 'l': the label 2.5 is not an integer"), "{error}");
    }

    #[test]
    fn weights_are_a_column_of_column() {
        let contents = open(file(vec![column("w", vec![1_i64, 2]), column("l", vec!["a", "b"])], 2)).unwrap();
        let weights = |name| weights_of(&contents, "t.parquet", Some(Selection::Name(name)));
        assert_eq!(weights("w").unwrap().values, [1.0, 2.0]);
        assert!(matches!(weights("l").unwrap_err(), Error::ElementType { role: "row weights", .. }));
        let contents = open(file(vec![column("w", vec![Some(1.0), None])], 2)).unwrap();
        let error = weights_of(&contents, "t.parquet", None).unwrap_err();
        assert!(matches!(error, Error::Cell { row: 1, .. }), "{error}");
    }

    #[test]
    fn a_list_column_cannot_be_labels() {
        let error = labels(lists("emb", &[Some(A)]).into_column()).unwrap_err();
        assert!(matches!(&error, Error::ElementType { found, .. } if found == "list of f32"), "{error}");
    }

    #[test]
    fn a_table_without_rows_is_refused() {
        let error = embeddings(vec![column("x", Vec::<f32>::new())], None).unwrap_err();
        assert!(error.to_string().contains("no rows"), "{error}");
    }

    #[test]
    fn a_column_called_par1_does_not_make_a_parquet_file() {
        assert!((FORMAT.recognises)(&file(vec![column("x", vec![1_f32])], 2)));
        assert!(!(FORMAT.recognises)(b"PAR1,PAR2\n1,2\n") && !(FORMAT.recognises)(b"PAR1\n1\n"));
    }

    #[test]
    fn damaged_files_are_refused() {
        let bytes = file(vec![column("x", vec![1_f32, 2.0, 3.0])], 2);
        for (bytes, wanted) in [
            (bytes[..bytes.len() - 20].to_vec(), "truncated"),
            (b"PAR1".to_vec(), "truncated"),
            (b"hello world, hello".to_vec(), "does not begin with PAR1"),
            (b"PAR1\xff\xff\xff\x7fPAR1".to_vec(), "cannot be read as Parquet"),
        ] {
            let error = open(bytes).err().unwrap();
            assert!(error.to_string().contains(wanted), "{error}");
        }
    }

    #[test]
    fn a_panic_of_the_decoder_is_an_error() {
        let source = Source { path: "t.parquet".into(), bytes: MappedBytes::from_memory(b"PAR1".to_vec()) };
        let error = guarded::<()>(&source, || std::panic::resume_unwind(Box::new("damaged"))).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
    }
}
