//! A large column of vectors, decoded a few pages at a time.
//!
//! To reach rows in the middle of a row group, the decoder starts from its beginning, because pages of lists do not say
//! how many rows they contain. If all lists have the same length, the number of values tells: pages can then be
//! combined into runs of whole rows, and each run is decoded once, independently, on any core.

use std::io::Cursor;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use polars::prelude::{PolarsError, Series};
use polars_buffer::Buffer;
use polars_parquet::parquet::read::{PageMetaData, PageReader};
use polars_parquet::read::{BasicDecompressor, ColumnChunkMetadata, column_iter_to_arrays};
use polars_parquet_format::thrift::protocol::TCompactInputProtocol;
use polars_parquet_format::{Encoding, PageHeader, PageType};

use super::{PARTS, ParquetBatches, batch_sizes};
use crate::input::batched::{BATCH_BYTES, Batches, part_of, starts};

/// Page headers are short; one that needs more than this is damaged.
const HEADER_BYTES: usize = 1 << 20;

/// A column of vectors whose batches are runs of pages where row groups are large.
pub(super) struct PageRuns {
    file: Arc<ParquetBatches>,
    column: usize,
    dimensions: usize,
    sizes: Vec<usize>,
    /// The first row of each batch, followed by the total number of rows.
    starts: Vec<usize>,
    /// The run that replaces a slice of the file for a batch, where that is faster.
    batches: Vec<Option<Run>>,
}

/// Consecutive pages that contain whole rows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Run {
    group: usize,
    /// The dictionary that the pages refer to; empty if they contain their values.
    dictionary: Range<usize>,
    pages: Range<usize>,
    values: usize,
}

/// A data page of a column chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Page {
    bytes: Range<usize>,
    values: usize,
    is_plain: bool,
}

impl PageRuns {
    /// A column of vectors of `dimensions` values, if any row group is large enough to split.
    pub(super) fn new(file: &Arc<ParquetBatches>, column: usize, dimensions: usize) -> Option<Self> {
        PageRuns::of_bytes(file, column, dimensions, BATCH_BYTES)
    }

    fn of_bytes(file: &Arc<ParquetBatches>, column: usize, dimensions: usize, batch_bytes: usize) -> Option<Self> {
        let file = Arc::clone(file);
        let mut runs =
            PageRuns { file, column, dimensions, sizes: Vec::new(), starts: Vec::new(), batches: Vec::new() };
        // Small row groups in between are combined as usual.
        let mut small: Vec<(usize, usize)> = Vec::new();
        for (group, metadata) in Arc::clone(&runs.file).metadata.row_groups.iter().enumerate() {
            let (rows, bytes) = (metadata.num_rows(), metadata.total_byte_size());
            let found = if bytes > batch_bytes { runs.of_group(group, batch_bytes) } else { None };
            match found {
                Some(found) => {
                    runs.add_slices(batch_sizes(small.drain(..), PARTS));
                    for run in found {
                        let rows = run.values / dimensions;
                        runs.add(rows, Some(run));
                    }
                }
                None => small.push((rows, bytes)),
            }
        }
        runs.add_slices(batch_sizes(small.into_iter(), PARTS));
        runs.starts = starts(&runs.sizes);
        runs.batches.iter().any(Option::is_some).then_some(runs)
    }

    fn add_slices(&mut self, sizes: Vec<usize>) {
        for rows in sizes {
            self.add(rows, None);
        }
    }

    fn add(&mut self, rows: usize, run: Option<Run>) {
        self.batches.push(run);
        self.sizes.push(rows);
    }

    fn chunk(&self, group: usize) -> Option<&ColumnChunkMetadata> {
        let (name, _) = self.file.schema.get_at_index(self.column)?;
        let mut leaves = self.file.metadata.row_groups.get(group)?.columns_under_root_iter(name)?;
        let only = leaves.next()?;
        leaves.next().is_none().then_some(only)
    }

    /// The runs of a row group whose number of values fits whole rows.
    fn of_group(&self, group: usize, batch_bytes: usize) -> Option<Vec<Run>> {
        let chunk = self.chunk(group)?;
        let rows = self.file.metadata.row_groups.get(group)?.num_rows();
        let range = chunk.byte_range();
        let range = usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?;
        let bytes = self.file.source.bytes.get(range.clone())?;
        let (dictionary, pages) = pages(bytes, usize::try_from(chunk.num_values()).ok()?)?;
        let value_bytes =
            usize::try_from(chunk.uncompressed_size()).ok()?.div_ceil(rows.max(1)).div_ceil(self.dimensions);
        let at_least = batch_bytes / value_bytes.max(1);
        let runs = runs(&dictionary, &pages, self.dimensions, at_least);
        let values: usize = runs.iter().map(|(_, _, values)| values).sum();
        if values != rows.checked_mul(self.dimensions)? {
            return None;
        }
        let shifted = |part: Range<usize>| part.start + range.start..part.end + range.start;
        let run =
            |(dictionary, pages, values)| Run { group, dictionary: shifted(dictionary), pages: shifted(pages), values };
        Some(runs.into_iter().map(run).collect())
    }

    /// Decodes a run; `None` if it does not consist of whole rows after all.
    fn decode(&self, run: &Run) -> Result<Option<Series>, PolarsError> {
        let chunk = self.chunk(run.group).ok_or_else(|| missing("a column"))?;
        let (_, field) = self.file.schema.get_at_index(self.column).ok_or_else(|| missing("a column"))?;
        let all = Buffer::from_owner(self.file.source.bytes.clone());
        let bytes = if run.dictionary.is_empty() {
            all.sliced(run.pages.clone())
        } else {
            let mut bytes = Vec::with_capacity(run.dictionary.len() + run.pages.len());
            bytes.extend_from_slice(&all.as_slice()[run.dictionary.clone()]);
            bytes.extend_from_slice(&all.as_slice()[run.pages.clone()]);
            Buffer::from_vec(bytes)
        };
        let descriptor = &chunk.descriptor().descriptor;
        let values = i64::try_from(run.values).map_err(|_| missing("a page"))?;
        let metadata = PageMetaData::new(0, values, chunk.compression(), descriptor.clone());
        let pages = PageReader::new_with_page_meta(Cursor::new(bytes), metadata, Vec::new(), usize::MAX);
        let pages = BasicDecompressor::new(pages, Vec::new());
        let (arrays, _) = column_iter_to_arrays(vec![pages], vec![&descriptor.primitive_type], field.clone(), None)?;
        let series = Series::try_from((field, arrays))?;
        Ok(self.has_whole_rows(&series, run.values / self.dimensions).then_some(series))
    }

    fn has_whole_rows(&self, series: &Series, rows: usize) -> bool {
        if series.len() != rows || series.null_count() > 0 {
            return false;
        }
        if let Ok(arrays) = series.array() {
            return arrays.width() == self.dimensions;
        }
        let length = i64::try_from(self.dimensions).ok();
        series.list().is_ok_and(|lists| {
            lists.downcast_iter().all(|lists| lists.offsets().windows(2).all(|ends| Some(ends[1] - ends[0]) == length))
        })
    }
}

impl Batches for PageRuns {
    fn sizes(&self) -> &[usize] {
        &self.sizes
    }

    fn head(&self, columns: &[usize], rows: usize) -> Result<Vec<Series>, PolarsError> {
        self.file.head(columns, rows)
    }

    fn read(&self, rows: Range<usize>, columns: &[usize]) -> Result<Vec<Series>, PolarsError> {
        let run = part_of(&self.starts, rows.start).and_then(|batch| self.batches.get(batch)?.as_ref());
        if let (Some(run), [column]) = (run, columns)
            && *column == self.column
        {
            // The decoder may fail in any way on pages that start within a row, including a panic.
            let decoded = panic::catch_unwind(AssertUnwindSafe(|| self.decode(run)));
            if let Ok(Ok(Some(series))) = decoded {
                return Ok(vec![series]);
            }
        }
        self.file.read(rows, columns)
    }
}

fn missing(what: &str) -> PolarsError {
    PolarsError::ComputeError(format!("{what} is missing").into())
}

/// The dictionary and the data pages of a column chunk; `None` if they do not match the chunk's metadata.
fn pages(chunk: &[u8], values: usize) -> Option<(Range<usize>, Vec<Page>)> {
    let (mut dictionary, mut pages) = (0..0, Vec::new());
    let (mut at, mut seen) = (0, 0);
    while seen < values {
        let mut reader = Cursor::new(chunk.get(at..)?);
        let mut protocol = TCompactInputProtocol::new(&mut reader, HEADER_BYTES);
        let header = PageHeader::read_from_in_protocol(&mut protocol).ok()?;
        let start = at;
        let length =
            usize::try_from(reader.position()).ok()?.checked_add(usize::try_from(header.compressed_page_size).ok()?)?;
        at = at.checked_add(length).filter(|&end| end <= chunk.len())?;
        let (values, encoding) = match header.type_ {
            PageType::DICTIONARY_PAGE if pages.is_empty() && dictionary.is_empty() => {
                dictionary = start..at;
                continue;
            }
            PageType::DATA_PAGE => {
                let header = header.data_page_header?;
                (header.num_values, header.encoding)
            }
            PageType::DATA_PAGE_V2 => {
                let header = header.data_page_header_v2?;
                (header.num_values, header.encoding)
            }
            _ => return None,
        };
        let values = usize::try_from(values).ok()?;
        seen = seen.checked_add(values)?;
        let names_values = matches!(encoding, Encoding::PLAIN_DICTIONARY | Encoding::RLE_DICTIONARY);
        pages.push(Page { bytes: start..at, values, is_plain: !names_values });
    }
    (seen == values).then_some((dictionary, pages))
}

/// Combines pages into runs of whole rows with at least a given number of values: dictionary, bytes and number of
/// values of each.
fn runs(
    dictionary: &Range<usize>,
    pages: &[Page],
    dimensions: usize,
    at_least: usize,
) -> Vec<(Range<usize>, Range<usize>, usize)> {
    let mut runs: Vec<(Range<usize>, Range<usize>, usize)> = Vec::new();
    let mut open: Option<(Range<usize>, Range<usize>, usize)> = None;
    for page in pages {
        let (names, bytes, values) = open.get_or_insert((0..0, page.bytes.start..page.bytes.start, 0));
        bytes.end = page.bytes.end;
        *values += page.values;
        if !page.is_plain {
            *names = dictionary.clone();
        }
        if *values >= at_least && values.is_multiple_of(dimensions) {
            runs.extend(open.take());
        }
    }
    runs.extend(open.filter(|(_, _, values)| values.is_multiple_of(dimensions)));
    runs
}

#[cfg(test)]
mod tests {
    use polars::prelude::{
        DataFrame, DataType, Float32Type, IntoColumn, IntoSeries, ListBuilderTrait, ListPrimitiveChunkedBuilder,
    };
    use polars_io::prelude::{ParquetCompression, ParquetWriter};

    use embq_core::data::MappedBytes;

    use super::super::batches;
    use super::*;
    use crate::input::source::Source;

    fn page(bytes: Range<usize>, values: usize, is_plain: bool) -> Page {
        Page { bytes, values, is_plain }
    }

    #[test]
    fn runs_end_where_rows_end() {
        let pages = [page(10..20, 6, false), page(20..30, 6, true), page(30..40, 8, true), page(40..44, 4, true)];
        let found = runs(&(0..10), &pages, 4, 5);
        // 6 values end within the second row of 4; 12 end with the third.
        assert_eq!(found, [(0..10, 10..30, 12), (0..0, 30..40, 8), (0..0, 40..44, 4)]);
        // The remainder is not a whole row, so the values do not cover all rows.
        assert_eq!(runs(&(0..10), &pages[..1], 4, 5), []);
    }

    /// 600 rows of 5 values in two row groups of many small pages, with some lists replaced by others.
    fn file(compression: ParquetCompression, others: &[(usize, &[f32])], is_array: bool) -> Arc<ParquetBatches> {
        let mut builder = ListPrimitiveChunkedBuilder::<Float32Type>::new("e".into(), 600, 3000, DataType::Float32);
        for row in 0..600_usize {
            match others.iter().find(|(other, _)| *other == row) {
                Some((_, values)) => builder.append_slice(values),
                // Every fourth row is the same, so that some pages get a dictionary and others give it up.
                None => builder.append_slice(&std::array::from_fn::<f32, 5, _>(|at| {
                    if (row + at) % 4 == 0 { 0.5 } else { (row * 5 + at) as f32 }
                })),
            }
        }
        let mut series = builder.finish().into_series();
        if is_array {
            series = series.cast(&DataType::Array(Box::new(DataType::Float32), 5)).unwrap();
        }
        let mut frame = DataFrame::new_infer_height(vec![series.into_column()]).unwrap();
        let mut bytes = Vec::new();
        ParquetWriter::new(&mut bytes)
            .with_compression(compression)
            .with_row_group_size(Some(300))
            .with_data_page_size(Some(512))
            .finish(&mut frame)
            .unwrap();
        Arc::new(batches(&Source::new("t.parquet", MappedBytes::from_memory(bytes))).unwrap().2)
    }

    #[test]
    fn runs_of_pages_are_the_rows_that_slices_are() {
        for compression in [ParquetCompression::Uncompressed, ParquetCompression::Snappy] {
            for is_array in [false, true] {
                let file = file(compression, &[], is_array);
                let runs = PageRuns::of_bytes(&file, 0, 5, 1000).unwrap();
                assert!(runs.sizes.len() > 4, "{:?}", runs.sizes);
                assert_eq!(runs.sizes.iter().sum::<usize>(), 600);
                for ((&start, run), &size) in runs.starts.iter().zip(&runs.batches).zip(&runs.sizes) {
                    let expected = file.read(start..start + size, &[0]).unwrap();
                    let decoded = runs.decode(run.as_ref().unwrap()).unwrap().unwrap();
                    assert!(decoded.equals_missing(&expected[0]), "rows from {start} on");
                    assert!(runs.read(start..start + size, &[0]).unwrap()[0].equals_missing(&expected[0]));
                }
            }
        }
    }

    #[test]
    fn lists_of_other_lengths_are_read_as_slices() {
        // One list is longer by as much as another is shorter, so that the number of values is right.
        let ragged = file(ParquetCompression::Snappy, &[(10, &[1.0; 3]), (250, &[2.0; 7])], false);
        let runs = PageRuns::of_bytes(&ragged, 0, 5, 1000).unwrap();
        let is_whole = |run: &Option<Run>| runs.decode(run.as_ref().unwrap()).is_ok_and(|found| found.is_some());
        assert!(!runs.batches.iter().all(is_whole));
        for (&start, &size) in runs.starts.iter().zip(&runs.sizes) {
            let expected = ragged.read(start..start + size, &[0]).unwrap();
            assert!(runs.read(start..start + size, &[0]).unwrap()[0].equals_missing(&expected[0]));
        }
        // Here it is wrong in the first row group.
        let short = file(ParquetCompression::Snappy, &[(10, &[])], false);
        let runs = PageRuns::of_bytes(&short, 0, 5, 1000).unwrap();
        assert!(runs.batches[0].is_none() && runs.sizes[0] == 300, "{:?}", runs.sizes);
        assert!(runs.batches[1].is_some());
    }

    #[test]
    fn pages_that_are_not_what_the_chunk_promises_are_left_alone() {
        assert_eq!(pages(&[], 0), Some((0..0, Vec::new())));
        assert_eq!(pages(&[], 1), None);
        assert_eq!(pages(&[0x15, 0xff, 0xff, 0xff], 1), None);
    }
}
