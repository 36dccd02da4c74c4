//! HDF5: arrays in groups, including the AnnData files (`.h5ad`) of single-cell biology.
//!
//! Every array is a column of a table, named by its path; a matrix is a column of lists. Where AnnData spreads a value
//! over several arrays (categories and codes, values and their mask, sparse matrices, data frames), these are one
//! column.

mod lzf;
mod matrix;
mod tree;
mod values;

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

use hdf5_reader::error::Error as Hdf5Error;
use hdf5_reader::{Dataset, FilterRegistry, H5Type, Hdf5File, OpenOptions, SliceInfo, SliceInfoElem};

use crate::guard::Decoding;
use crate::input::cells::{Cell, Visit};
use crate::input::pasted::{python, quoted};
use crate::input::source::Source;
use crate::input::table::{Column, Table, VisitColumns};
use crate::input::{Contents, Format};
use embq_core::data::{Embeddings, Origin};
use embq_core::error::{Error, Result};
use tree::{Item, Series};
use values::{Number, Raw, Stored, Values, trimmed};

pub(crate) const FORMAT: Format = Format {
    name: "hdf5",
    extensions: &["h5ad", "h5", "hdf5", "hdf", "he5", "loom"],
    recognises: |bytes| bytes.starts_with(b"\x89HDF\r\n\x1a\n"),
    open: |source, _| Ok(Contents::Table(Box::new(Hdf5Table::open(source)?))),
};

/// The limit on one read. Rows are read a few MiB at a time; only a chunk or a single row may be larger.
const READ_BYTES: usize = 1 << 30;

/// The limit on a decompressed chunk; HDF5 libraries write chunks of about 1 MiB.
const CHUNK_BYTES: usize = 256 << 20;

/// An array may always declare this many bytes.
const UNPACKED: u64 = 256 << 20;

/// A larger array may declare this many times the size of the file, the most that deflate can reach. Arrays that were
/// never written declare any size.
const EXPANSION: u64 = 1000;

/// Values visited at a time.
const VISITED: usize = 1 << 14;

/// The filter of h5py's `compression="lzf"`, and that of hdf5plugin's Zstandard.
const LZF: u16 = 32000;
const ZSTANDARD: u16 = 32015;

struct Hdf5Table {
    file: Arc<File>,
    columns: Vec<Column>,
    items: Vec<Item>,
}

/// The opened file and its name in errors.
struct File {
    source: Source,
}

impl Hdf5Table {
    fn open(source: &Source) -> Result<Self> {
        let file = Arc::new(File { source: source.clone() });
        let entries = file.guarded(None, || {
            let opened = Hdf5File::from_owner(source.bytes.clone(), options())?;
            tree::entries(&opened.root_group()?)
        })?;
        if entries.is_empty() {
            return Err(source.malformed("it is an HDF5 file with no arrays", None));
        }
        let (columns, items) = entries.into_iter().map(|entry| (entry.column, entry.item)).unzip();
        Ok(Hdf5Table { file, columns, items })
    }
}

fn options() -> OpenOptions {
    let mut filters = FilterRegistry::default();
    filters.register(
        LZF,
        Box::new(|filter, data, _| {
            let limit = filter.client_data.get(2).map_or(CHUNK_BYTES, |&bytes| bytes as usize).min(CHUNK_BYTES);
            lzf::unpacked(data, limit).ok_or_else(|| Hdf5Error::DecompressionError("damaged LZF data".to_owned()))
        }),
    );
    filters.register(ZSTANDARD, Box::new(|_, data, _| zstandard(data)));
    OpenOptions::default()
        .with_max_read_bytes(READ_BYTES)
        .with_max_chunk_bytes(CHUNK_BYTES)
        .with_filter_registry(filters)
}

fn zstandard(data: &[u8]) -> Result<Vec<u8>, Hdf5Error> {
    use std::io::Read;
    let damaged = |error: std::io::Error| Hdf5Error::DecompressionError(format!("Zstandard: {error}"));
    let mut out = Vec::new();
    let decoder = zstd::stream::read::Decoder::with_buffer(data).map_err(damaged)?;
    decoder.take(CHUNK_BYTES as u64 + 1).read_to_end(&mut out).map_err(damaged)?;
    if out.len() > CHUNK_BYTES {
        return Err(Hdf5Error::DecompressionError("a chunk is too large".to_owned()));
    }
    Ok(out)
}

impl File {
    /// The name of an array in errors.
    fn name(&self, path: Option<&str>) -> String {
        match path {
            Some(path) => format!("{}:{path}", self.source.path),
            None => self.source.path.clone(),
        }
    }

    /// Runs the reader, turning its errors and panics into our errors.
    fn guarded<T>(&self, path: Option<&str>, read: impl FnOnce() -> Result<T, Hdf5Error>) -> Result<T> {
        let _limit = Decoding::begin(&self.source.path, self.source.bytes.len());
        let result = panic::catch_unwind(AssertUnwindSafe(read));
        let again = "save or copy the file again".to_owned();
        let (problem, tip) = match result {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => match innermost(&error) {
                Hdf5Error::UnsupportedFilter(filter) => {
                    let problem = format!("it is compressed in a way that embq does not read ({filter})");
                    (problem, self.repacking())
                }
                error => (format!("it cannot be read as HDF5: {error}"), again),
            },
            Err(_) => ("it cannot be read as HDF5: its content is damaged".to_owned(), again),
        };
        Err(Error::Malformed { name: self.name(path), problem, tip: Some(tip) })
    }

    /// A command that recompresses the file in a way that every reader supports.
    fn repacking(&self) -> String {
        let path = &self.source.path;
        let stem = std::path::Path::new(path).file_stem().and_then(|stem| stem.to_str()).unwrap_or("converted");
        if self.source.extension() == "h5ad" {
            let output = format!("{stem}.gzip.h5ad");
            let code = format!(
                "import anndata, hdf5plugin; \
                 anndata.read_h5ad({path:?}).write_h5ad({output:?}, compression=\"gzip\")"
            );
            return format!("compress it with gzip: {}", python(&code));
        }
        let output = quoted(&format!("{stem}.gzip.h5"));
        format!("compress it with gzip: h5repack -f GZIP=4 {} {output}", quoted(path))
    }

    /// Refuses an array that declares more than any compression could have stored in the file.
    fn check_size(&self, path: &str, dataset: &Dataset) -> Result<()> {
        let held = self.source.bytes.len() as u64;
        let size = dataset.raw_element_size().unwrap_or(usize::MAX) as u128;
        let promised = dataset.shape().iter().fold(size, |product, &length| product.saturating_mul(length.into()));
        if promised <= u128::from(held.saturating_mul(EXPANSION).max(UNPACKED)) {
            return Ok(());
        }
        Err(Error::Malformed {
            name: self.name(Some(path)),
            problem: format!("it declares {promised} bytes, more than a file of {held} bytes can hold"),
            tip: Some("save or copy the file again".to_owned()),
        })
    }

    /// Reads part of an array; axes beyond `ranges` are read whole.
    fn read<T: H5Type>(
        &self,
        path: &str,
        dataset: &Dataset,
        ranges: &[std::ops::Range<usize>],
    ) -> Result<ndarray::ArrayD<T>> {
        let all = SliceInfoElem::Slice { start: 0, end: u64::MAX, step: 1 };
        let mut selections = vec![all; dataset.ndim()];
        for (selection, range) in selections.iter_mut().zip(ranges) {
            *selection = SliceInfoElem::Slice { start: range.start as u64, end: range.end as u64, step: 1 };
        }
        let selection = SliceInfo { selections };
        let expected = ranges.first().map_or(0, ExactSizeIterator::len);
        self.guarded(Some(path), || {
            let values = dataset.read_slice_parallel::<T>(&selection)?;
            match values.shape().first() {
                Some(&found) if found == expected => Ok(values),
                _ => Err(Hdf5Error::InvalidData(format!("{expected} rows were declared"))),
            }
        })
    }

    /// Visits single values in windows.
    fn windows<T: H5Type>(
        &self,
        path: &str,
        dataset: &Dataset,
        mut visit: impl FnMut(usize, &T) -> Result<()>,
    ) -> Result<()> {
        self.check_size(path, dataset)?;
        let rows = tree::rows_of(dataset);
        for start in (0..rows).step_by(VISITED) {
            let window = start..rows.min(start + VISITED);
            let values = self.read::<T>(path, dataset, &[window])?;
            for (row, value) in (start..).zip(values.iter()) {
                visit(row, value)?;
            }
        }
        Ok(())
    }

    /// Visits the values of a one-dimensional array.
    fn cells(&self, path: &str, dataset: &Dataset, visit: &mut Visit<'_>) -> Result<()> {
        let not_utf8 = |row: usize| Error::Row {
            name: self.name(Some(path)),
            row,
            problem: "the text is not UTF-8".to_owned(),
            tip: Some("decode it before saving: array.astype(str)".to_owned()),
        };
        match Values::of(dataset) {
            Values::Number(_) => self.windows(path, dataset, |row, Stored(number)| visit(row, cell_of(*number))),
            Values::Boolean => self.windows(path, dataset, |row, Stored(number): &Stored<Number>| {
                visit(row, Cell::Boolean(*number != Number::Integer(0)))
            }),
            Values::Names(members) => self.windows(path, dataset, |row, Raw(bytes)| {
                match members.iter().find(|member| member.value[..] == bytes[..]) {
                    Some(member) => visit(row, Cell::Text(&member.name)),
                    None => visit(row, Cell::Missing),
                }
            }),
            Values::Text(padding) => self.windows(path, dataset, |row, Raw(bytes)| {
                let text = std::str::from_utf8(trimmed(bytes, padding)).map_err(|_| not_utf8(row))?;
                visit(row, Cell::Text(text))
            }),
            Values::Strings => self.windows(path, dataset, |row, Raw(reference)| {
                let bytes = self.guarded(Some(path), || dataset.resolve_vlen_reference_bytes(reference, 1))?;
                let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
                let text = std::str::from_utf8(&bytes[..end]).map_err(|_| not_utf8(row))?;
                visit(row, Cell::Text(text))
            }),
            // Cells of these are never requested.
            Values::Other(_) => Ok(()),
        }
    }

    /// Visits the values of a column.
    fn series(&self, path: &str, series: &Series, visit: &mut Visit<'_>) -> Result<()> {
        match series {
            Series::Plain(values) => self.cells(path, values, visit),
            Series::Categories { codes, categories } => {
                let mut names: Vec<Owned> = Vec::new();
                self.cells(path, categories, &mut |_, cell| {
                    names.push(Owned::of(cell));
                    Ok(())
                })?;
                self.windows(path, codes, |row, Stored(code)| match code {
                    // A negative code means no category.
                    Number::Integer(code) if *code < 0 => visit(row, Cell::Missing),
                    Number::Integer(code) => {
                        let name = usize::try_from(*code).ok().and_then(|code| names.get(code));
                        match name {
                            Some(name) => visit(row, name.cell()),
                            None => Err(Error::Row {
                                name: self.name(Some(path)),
                                row,
                                problem: format!("its code is {code}, of {} categories", names.len()),
                                tip: Some("save or copy the file again".to_owned()),
                            }),
                        }
                    }
                    Number::Float(_) => Err(Error::Row {
                        name: self.name(Some(path)),
                        row,
                        problem: "its code is not an integer".to_owned(),
                        tip: Some("save or copy the file again".to_owned()),
                    }),
                })
            }
            Series::Nullable { values, missing } => {
                let mut absent: Vec<bool> = Vec::new();
                self.windows(path, missing, |_, Stored(number): &Stored<Number>| {
                    absent.push(*number != Number::Integer(0));
                    Ok(())
                })?;
                self.cells(path, values, &mut |row, cell| match absent.get(row) {
                    Some(false) => visit(row, cell),
                    _ => visit(row, Cell::Missing),
                })
            }
        }
    }
}

/// The innermost error of a chain that otherwise only adds context.
fn innermost(error: &Hdf5Error) -> &Hdf5Error {
    match error {
        Hdf5Error::Context { source, .. } => innermost(source),
        other => other,
    }
}

fn cell_of(number: Number) -> Cell<'static> {
    match number {
        Number::Integer(value) => Cell::Integer(value),
        Number::Float(value) => Cell::Float(value),
    }
}

/// A cell that outlives its reader.
enum Owned {
    Text(String),
    Other(Cell<'static>),
}

impl Owned {
    fn of(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Text(text) => Owned::Text(text.to_owned()),
            Cell::Missing => Owned::Other(Cell::Missing),
            Cell::Integer(value) => Owned::Other(Cell::Integer(value)),
            Cell::Float(value) => Owned::Other(Cell::Float(value)),
            Cell::Boolean(value) => Owned::Other(Cell::Boolean(value)),
        }
    }

    fn cell(&self) -> Cell<'_> {
        match self {
            Owned::Text(text) => Cell::Text(text),
            Owned::Other(cell) => *cell,
        }
    }
}

impl Table for Hdf5Table {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn matrix(&self, columns: &[usize], origin: Origin) -> Result<Embeddings> {
        matrix::embeddings(self, columns, origin)
    }

    fn cells(&self, columns: &[usize], visit: &mut VisitColumns<'_>) -> Result<()> {
        for (position, &column) in columns.iter().enumerate() {
            // Cells of a matrix are never requested.
            if let Item::Series(series) = &self.items[column] {
                let path = &self.columns[column].name;
                self.file.series(path, series, &mut |row, cell| visit(position, row, cell))?;
            }
        }
        Ok(())
    }
}
