//! Parquet, read through polars: only the needed columns, a few row groups at a time.

mod pages;

use std::io::Cursor;
use std::ops::Range;
use std::sync::Arc;

use pages::PageRuns;
use polars::prelude::{ArrowDataType, ArrowSchema, PolarsError, Series};
use polars_io::parquet::metadata::{FileMetadata, FileMetadataRef};
use polars_io::prelude::{ParallelStrategy, ParquetReader, SerReader};

use crate::input::batched::fields::{self, Paths};
use crate::input::batched::{BATCH_BYTES, BatchedTable, Batches, damaged, describe, guarded};
use crate::input::source::Source;
use crate::input::table::Column;
use crate::input::{Contents, Format};
use embq_core::data::MappedBytes;
use embq_core::error::Result;

const MAGIC: &[u8] = b"PAR1";

pub(crate) const FORMAT: Format = Format {
    name: "parquet",
    extensions: &["parquet", "pq"],
    // A control character follows the magic number, so that a CSV file with a column named PAR1 is not mistaken for
    // Parquet.
    recognises: |bytes| matches!(bytes, [b'P', b'A', b'R', b'1', 0..=8 | 14..=31, ..]),
    open: |source, _| Ok(Contents::Table(Box::new(open(source)?))),
};

/// Batches have about this many rows where columns are narrow; row groups are split or combined accordingly.
const BATCH_ROWS: usize = 1 << 17;

/// A row group is split into at most this many parts. The decoder starts from its beginning for each of them, because
/// pages of lists do not say how many rows they contain.
const PARTS: usize = 16;

/// The batches of a split row group are a multiple of this many rows, a common number of rows per page.
const PAGE_ROWS: usize = 1 << 10;

struct ParquetBatches {
    source: Source,
    metadata: FileMetadataRef,
    schema: Arc<ArrowSchema>,
    sizes: Vec<usize>,
    groups: Vec<usize>,
}

type Bytes = Cursor<MappedBytes>;

fn open(source: &Source) -> Result<BatchedTable> {
    let (columns, paths, batches) = batches(source)?;
    Ok(BatchedTable::new(source, "Parquet", columns, paths.within(batches)))
}

/// The columns of a file, their locations in it, and the reader of batches.
fn batches(source: &Source) -> Result<(Vec<Column>, Paths, ParquetBatches)> {
    if source.bytes.len() < 12 || !source.bytes.ends_with(MAGIC) {
        return Err(source.malformed(
            if source.bytes.starts_with(MAGIC) {
                "truncated: it starts like a Parquet file but does not end like one"
            } else {
                "it is not a Parquet file: it does not begin with PAR1"
            },
            Some("save or copy the file again".to_owned()),
        ));
    }
    let failed = |error: PolarsError| damaged(source, "Parquet", &error);
    let (schema, metadata) = guarded(source, "Parquet", || {
        let mut reader: ParquetReader<Bytes> = ParquetReader::new(Cursor::new(source.bytes.clone()));
        let schema = reader.schema().map_err(failed)?;
        Ok((schema, Arc::clone(reader.get_metadata().map_err(failed)?)))
    })?;
    // Checked here, because the decoder reserves memory for the declared number of rows.
    let counted = metadata.row_groups.iter().map(|group| group.num_rows() as u128).sum::<u128>();
    if counted != metadata.num_rows as u128 || counted > u128::from(u32::MAX) {
        return Err(source.malformed(
            format!("its row groups have {counted} rows, its footer says {}", metadata.num_rows),
            Some("save or copy the file again; a file holds at most 2^32 - 1 rows".to_owned()),
        ));
    }
    let groups = || metadata.row_groups.iter().map(|group| (group.num_rows(), group.total_byte_size()));
    let sizes = batch_sizes(groups(), PARTS);
    let groups = batch_sizes(groups(), 1);
    let (mut columns, paths) = fields::columns(&schema);
    let entries = metadata.key_value_metadata().as_deref().unwrap_or_default();
    describe(&mut columns, |key| entries.iter().find(|entry| entry.key == key)?.value.as_deref());
    // Extension types are read as their storage types, which are in the schema without Arrow's metadata.
    let has_extensions = schema.iter_values().any(|field| is_extension(&field.dtype));
    let (metadata, schema) = if has_extensions {
        let mut plain = FileMetadata::clone(&metadata);
        plain.key_value_metadata = None;
        let plain = Arc::new(plain);
        let schema = guarded(source, "Parquet", || {
            let mut reader: ParquetReader<Bytes> = ParquetReader::new(Cursor::new(source.bytes.clone()));
            reader.set_metadata(Arc::clone(&plain));
            reader.schema().map_err(failed)
        })?;
        (plain, schema)
    } else {
        (metadata, schema)
    };
    Ok((columns, paths, ParquetBatches { source: source.clone(), metadata, schema, sizes, groups }))
}

/// The number of rows of each batch: small row groups are combined, large ones split into at most `most_parts` parts,
/// by rows and bytes.
fn batch_sizes(groups: impl Iterator<Item = (usize, usize)>, most_parts: usize) -> Vec<usize> {
    let mut sizes: Vec<usize> = Vec::new();
    let mut open: Option<(usize, usize)> = None;
    for (rows, bytes) in groups {
        if let Some((open_rows, open_bytes)) = open
            && open_rows + rows <= BATCH_ROWS
            && open_bytes.saturating_add(bytes) <= BATCH_BYTES
        {
            open = Some((open_rows + rows, open_bytes + bytes));
            continue;
        }
        sizes.extend(open.take().map(|(rows, _)| rows));
        let parts = (bytes / BATCH_BYTES).max(rows / BATCH_ROWS).clamp(1, most_parts);
        if parts == 1 {
            open = Some((rows, bytes));
            continue;
        }
        let size = rows.div_ceil(parts).next_multiple_of(PAGE_ROWS);
        sizes.extend((0..rows).step_by(size).map(|start| size.min(rows - start)));
    }
    sizes.extend(open.map(|(rows, _)| rows));
    sizes
}

fn is_extension(data_type: &ArrowDataType) -> bool {
    match data_type {
        ArrowDataType::Extension(_) => true,
        ArrowDataType::List(field) | ArrowDataType::LargeList(field) | ArrowDataType::FixedSizeList(field, _) => {
            is_extension(&field.dtype)
        }
        ArrowDataType::Struct(fields) => fields.iter().any(|field| is_extension(&field.dtype)),
        _ => false,
    }
}

impl Batches for ParquetBatches {
    fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    fn group_sizes(&self) -> &[usize] {
        &self.groups
    }

    fn of_vectors(self: Arc<Self>, column: usize, dimensions: usize) -> Option<Arc<dyn Batches>> {
        Some(Arc::new(PageRuns::new(&self, column, dimensions)?))
    }

    fn head(&self, columns: &[usize], rows: usize) -> Result<Vec<Series>, PolarsError> {
        self.read(0..rows.min(self.metadata.num_rows), columns)
    }

    fn read(&self, rows: Range<usize>, columns: &[usize]) -> Result<Vec<Series>, PolarsError> {
        let mut reader: ParquetReader<Bytes> = ParquetReader::new(Cursor::new(self.source.bytes.clone()))
            .with_projection(Some(columns.to_vec()))
            .with_slice(Some((rows.start, rows.len())))
            .read_parallel(if columns.len() > 1 { ParallelStrategy::Columns } else { ParallelStrategy::None });
        reader.set_metadata(Arc::clone(&self.metadata));
        let frame = reader.finish()?;
        Ok(frame.columns().iter().map(|column| column.as_materialized_series().clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use polars::prelude::{
        BooleanChunked, Categories, Column as FrameColumn, IntoColumn, IntoSeries, ListBuilderTrait,
        ListPrimitiveChunkedBuilder, NamedFrom, StructChunked,
    };
    use polars_arrow::bitmap::Bitmap;
    use polars_io::prelude::ParquetWriter;

    use polars::prelude::{DataFrame, DataType, Float32Type};

    use super::*;
    use crate::input::{Role, embeddings_of, labels_of, weights_of};
    use embq_core::data::{ElementType, Embeddings, Label, LabelColumn, LabelType};
    use embq_core::error::Error;

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
        let source = Source::new("t.parquet", MappedBytes::from_memory(bytes));
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
    fn fields_of_structs_are_columns() {
        let vector = lists("vector", &[Some(A), Some(B), Some(A)]);
        let species = Series::new("species".into(), vec!["ant", "bee", "ant"]);
        let payload = StructChunked::from_series("payload".into(), 3, [vector, species].iter()).unwrap();
        let payload = payload.with_outer_validity(Some(Bitmap::from_iter([true, true, false])));
        let point = point_of(payload.into_series());
        let contents = open(file(vec![column("id", vec![1_i64, 2, 3]), point.into_column()], 3)).unwrap();
        assert_eq!(contents.names(), ["id", "point.payload.vector", "point.payload.species"]);
        let read = embeddings_of(&contents, "t.parquet", None, &[]).unwrap();
        assert_eq!(read.origin().to_string(), "t.parquet:point.payload.vector");
        assert_eq!(values(&read)[..4], [1.0, 2.0, 3.0, -4.5]);
        // The fields of a null struct are null.
        assert_eq!(read.fault(2).unwrap().problem, "the list is null");
        let labels = labels_of(&contents, "t.parquet", Some("point.payload.species")).unwrap();
        assert_eq!((labels.get(1), labels.get(2)), (Some(&Label::Text("bee".into())), None));
    }

    fn point_of(payload: Series) -> Series {
        StructChunked::from_series("point".into(), payload.len(), [payload].iter()).unwrap().into_series()
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
        let read = embeddings(vec![half.into_column()], Some("x")).unwrap();
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
        assert_eq!(all.columns(), ["f0", "f1"]);
        assert!(all.notes()[0].contains("left out: id, g, q"), "{:?}", all.notes());
        let mixed = embeddings(columns(), Some("f1..g")).unwrap();
        assert_eq!(mixed.element_type(), ElementType::F64);
        assert_eq!(values(&mixed), [4.0, 0.5, 5.0, 1.5, 6.0, 2.5]);
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
        assert_eq!(read(None).unwrap().element_type(), ElementType::I8);
        let read = read(Some("codes")).unwrap();
        assert_eq!(read.element_type(), ElementType::I8);
        assert_eq!(values(&read), [1.0, 2.0, 1.0, 2.0]);
    }

    #[test]
    fn nulls_and_lists_of_unequal_length_are_rows_of_nan_and_told() {
        let problem = |rows: &[Option<&[Option<f32>]>], row: usize| {
            let read = embeddings(vec![lists("emb", rows).into_column()], None).unwrap();
            assert_eq!((read.rows(), read.dimensions()), (rows.len(), 2));
            assert!(values(&read)[2 * row..2 * row + 2].iter().all(|value| value.is_nan()));
            let fault = read.fault(row).unwrap();
            format!("{}: {}", fault.column.unwrap(), fault.problem)
        };
        assert_eq!(problem(&[Some(A), Some(B), Some(A), None], 3), "emb: the list is null");
        assert_eq!(problem(&[None, None, Some(A), Some(B)], 1), "emb: the list is null");
        assert_eq!(problem(&[Some(A), Some(A), Some(&A[..1])], 2), "emb: a list of 1 values, where most have 2");
        assert_eq!(problem(&[Some(A), Some(&[Some(1.0), None])], 1), "emb: element 1 of the list is null");
        assert_eq!(problem(&[Some(&[]), Some(A), Some(B)], 0), "emb: the list is empty");
        let error = embeddings(vec![lists("emb", &[None, Some(&[])]).into_column()], None).unwrap_err();
        assert!(error.to_string().contains("every row is null or empty"), "{error}");
        let read = embeddings(vec![column("x", vec![Some(1.0), None, Some(2.0)])], Some("x")).unwrap();
        assert_eq!(read.fault(1).unwrap().problem, "the value is null");
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
        let weights = |name| weights_of(&contents, "t.parquet", Some(name));
        assert_eq!(weights("w").unwrap().values, [1.0, 2.0]);
        assert!(matches!(weights("l").unwrap_err(), Error::ElementType { role: "row weights", .. }));
        let contents = open(file(vec![column("w", vec![Some(1.0), None])], 2)).unwrap();
        let error = weights_of(&contents, "t.parquet", None).unwrap_err();
        assert!(matches!(error, Error::Cell { row: 1, .. }), "{error}");
    }

    #[test]
    fn a_list_column_cannot_be_labels() {
        let error = labels(lists("emb", &[Some(A)]).into_column()).unwrap_err();
        assert!(error.to_string().contains("list of f32"), "{error}");
        assert!(error.to_string().contains("needs one label per row"), "{error}");
    }

    #[test]
    fn a_table_without_rows_is_refused() {
        let error = embeddings(vec![column("x", Vec::<f32>::new())], Some("x")).unwrap_err();
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
        let source = Source::new("t.parquet", MappedBytes::from_memory(b"PAR1".to_vec()));
        let error = guarded::<()>(&source, "Parquet", || std::panic::resume_unwind(Box::new("damaged"))).unwrap_err();
        assert!(error.to_string().contains("damaged"), "{error}");
    }

    #[test]
    fn batches_are_cut_by_bytes_and_put_together_by_rows() {
        let sizes = |groups: &[(usize, usize)]| batch_sizes(groups.iter().copied(), PARTS);
        assert_eq!(sizes(&[(1000, 10), (2000, 10), (500, 10)]), [3500]);
        assert_eq!(sizes(&[(100_000, 10), (50_000, 10), (10_000, 10)]), [100_000, 60_000]);
        assert_eq!(sizes(&[(1000, 20 << 20), (1000, 20 << 20)]), [1000, 1000]);
        assert_eq!(sizes(&[(5000, 64 << 20), (10, 1)]), [3072, 1928, 10]);
        assert_eq!(sizes(&[(1 << 20, 2 << 30)]), [1 << 16; 16]);
        assert!(sizes(&[]).is_empty());
        assert_eq!(sizes(&[(0, 0)]), [0]);
    }
}
