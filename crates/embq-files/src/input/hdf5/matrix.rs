//! Rows of numbers in an HDF5 file.

use std::ops::Range;
use std::sync::Arc;

use hdf5_reader::Dataset;

use super::tree::{Item, Series, Sparse, rows_of};
use super::values::{Number, Stored, Wanted};
use super::{File, Hdf5Table};
use crate::input::cells::{Place, no_rows, number};
use crate::input::sparse::{Entries, SparseRows};
use crate::input::table::common_element_type;
use embq_core::data::{Element, ElementType, Embeddings, InMemory, Origin, Precision, RowBlocks};
use embq_core::error::{Error, Result};

/// A chunked matrix of at most this many bytes is decompressed once and kept.
const KEPT_BYTES: usize = 256 << 20;

/// Numbers read at a time.
const READ_NUMBERS: usize = 1 << 20;

/// The matrix in the given columns.
pub(super) fn embeddings(table: &Hdf5Table, columns: &[usize], origin: Origin) -> Result<Embeddings> {
    let file = &table.file;
    let name = |column: usize| table.columns[column].name.as_str();
    if let [only] = *columns {
        match &table.items[only] {
            Item::Matrix { dataset, dimensions, element_type } => {
                return dense(file, name(only), dataset, *dimensions, *element_type, origin);
            }
            Item::Sparse(matrix) => return sparse(file, name(only), matrix, origin),
            Item::Frame(parts) => {
                let kind = table.columns[only].kind;
                let parts: Vec<(&str, Part<'_>)> =
                    parts.iter().map(|(name, dataset)| (name.as_str(), Part::Dataset(dataset))).collect();
                return side_by_side(file, &parts, common_element_type([kind]), origin);
            }
            _ => {}
        }
    }
    let parts: Vec<(&str, Part<'_>)> = columns
        .iter()
        .filter_map(|&column| match &table.items[column] {
            Item::Series(series) => Some((name(column), Part::Series(series))),
            _ => None,
        })
        .collect();
    side_by_side(file, &parts, common_element_type(columns.iter().map(|&column| table.columns[column].kind)), origin)
}

/// A float32 or float64 that can be read and stored in a matrix.
trait Float: Element + Wanted {}

impl Float for f32 {}
impl Float for f64 {}

fn dense(
    file: &Arc<File>,
    path: &str,
    dataset: &Dataset,
    dimensions: usize,
    element_type: ElementType,
    origin: Origin,
) -> Result<Embeddings> {
    let rows = rows_of(dataset);
    if rows == 0 {
        return Err(no_rows(&origin.to_string()));
    }
    if dimensions == 0 {
        let (name, expected) = (origin.to_string(), "two axes (rows x dimensions)");
        return Err(Error::Shape { name, expected, shape: vec![rows, dimensions] });
    }
    file.check_size(path, dataset)?;
    let blocks = DenseRows { file: Arc::clone(file), path: path.to_owned(), dataset: dataset.clone(), dimensions };
    // A contiguous array is read in place.
    let is_kept =
        |size: usize| !blocks.is_random_access() && rows.saturating_mul(dimensions).saturating_mul(size) <= KEPT_BYTES;
    match element_type.precision() {
        Precision::F32 if is_kept(size_of::<f32>()) => {
            Ok(Embeddings::new(origin, rows, dimensions, element_type, blocks.kept::<f32>(rows)?))
        }
        Precision::F64 if is_kept(size_of::<f64>()) => {
            Ok(Embeddings::new(origin, rows, dimensions, element_type, blocks.kept::<f64>(rows)?))
        }
        _ => Ok(Embeddings::new(origin, rows, dimensions, element_type, blocks)),
    }
}

struct DenseRows {
    file: Arc<File>,
    path: String,
    dataset: Dataset,
    dimensions: usize,
}

impl DenseRows {
    fn kept<T: Float>(&self, rows: usize) -> Result<InMemory<T>> {
        let mut values = vec![T::default(); rows * self.dimensions];
        self.copy(0..rows, &mut values)?;
        Ok(InMemory::of_rows(values, self.dimensions))
    }

    fn copy<T: Float>(&self, rows: Range<usize>, out: &mut [T]) -> Result<()> {
        let step = (READ_NUMBERS / self.dimensions).max(1);
        let mut out = out.chunks_mut(step * self.dimensions);
        for start in rows.clone().step_by(step) {
            let window = start..rows.end.min(start + step);
            let values = self.file.read::<Stored<T>>(&self.path, &self.dataset, &[window])?;
            if let Some(out) = out.next() {
                for (target, &Stored(value)) in out.iter_mut().zip(values.iter()) {
                    *target = value;
                }
            }
        }
        Ok(())
    }
}

impl RowBlocks for DenseRows {
    fn read_f32(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        self.copy(rows, out)
    }

    fn read_f64(&self, rows: Range<usize>, out: &mut [f64]) -> Result<()> {
        self.copy(rows, out)
    }

    fn is_random_access(&self) -> bool {
        self.dataset.chunks().is_none()
    }
}

fn sparse(file: &Arc<File>, path: &str, matrix: &Sparse, origin: Origin) -> Result<Embeddings> {
    for dataset in [&matrix.starts, &matrix.indices, &matrix.values] {
        file.check_size(path, dataset)?;
    }
    let mut starts = Vec::new();
    file.windows(path, &matrix.starts, |row, Stored(start)| {
        starts.push(index(*start).ok_or_else(|| SparseRows::damaged(&origin, row))?);
        Ok(())
    })?;
    let entries = Hdf5Entries {
        file: Arc::clone(file),
        path: path.to_owned(),
        indices: matrix.indices.clone(),
        values: matrix.values.clone(),
    };
    let (rows, dimensions) = (matrix.rows, matrix.dimensions);
    let blocks = if matrix.by_row {
        SparseRows::new(&origin, rows, dimensions, starts, entries)?
    } else {
        SparseRows::of_columns(&origin, rows, dimensions, &starts, &entries)?
    };
    Ok(Embeddings::new(origin, rows, dimensions, matrix.element_type, blocks))
}

fn index(number: Number) -> Option<usize> {
    match number {
        Number::Integer(value) => usize::try_from(value).ok(),
        Number::Float(_) => None,
    }
}

struct Hdf5Entries {
    file: Arc<File>,
    path: String,
    indices: Dataset,
    values: Dataset,
}

impl Entries for Hdf5Entries {
    fn len(&self) -> usize {
        rows_of(&self.indices).min(rows_of(&self.values))
    }

    fn read(&self, range: Range<usize>, indices: &mut Vec<usize>, values: &mut Vec<f64>) -> Result<()> {
        let read = self.file.read::<Stored<Number>>(&self.path, &self.indices, std::slice::from_ref(&range))?;
        // An invalid index becomes one that is out of range, which is reported when the value is placed.
        indices.extend(read.iter().map(|&Stored(number)| index(number).unwrap_or(usize::MAX)));
        let read = self.file.read::<Stored<f64>>(&self.path, &self.values, &[range])?;
        values.extend(read.iter().map(|&Stored(value)| value));
        Ok(())
    }
}

/// One of the columns that form a matrix.
enum Part<'a> {
    Dataset(&'a Dataset),
    Series(&'a Series),
}

/// Columns of single numbers side by side.
fn side_by_side(
    file: &File,
    parts: &[(&str, Part<'_>)],
    element_type: ElementType,
    origin: Origin,
) -> Result<Embeddings> {
    let mut columns: Vec<Vec<f64>> = Vec::new();
    for (name, part) in parts {
        let mut column = Vec::new();
        let place = Place { path: &file.source.path, column: Some(name) };
        let mut visit = |row: usize, cell: crate::input::cells::Cell<'_>| {
            column.push(number(place, row, cell)?);
            Ok(())
        };
        match part {
            Part::Dataset(dataset) => file.cells(name, dataset, &mut visit)?,
            Part::Series(series) => file.series(name, series, &mut visit)?,
        }
        if let Some(first) = columns.first()
            && first.len() != column.len()
        {
            return Err(Error::Malformed {
                name: origin.to_string(),
                problem: format!("{name} has {} values, {} has {}", column.len(), parts[0].0, first.len()),
                tip: Some(format!("select one of them: {}:NAME", origin.path)),
            });
        }
        columns.push(column);
    }
    let (rows, dimensions) = (columns.first().map_or(0, Vec::len), columns.len());
    if rows == 0 {
        return Err(no_rows(&origin.to_string()));
    }
    let mut values = vec![0.0; rows * dimensions];
    for (position, column) in columns.iter().enumerate() {
        for (target, value) in values.iter_mut().skip(position).step_by(dimensions).zip(column) {
            *target = *value;
        }
    }
    Ok(match element_type.precision() {
        Precision::F64 => {
            Embeddings::new(origin, rows, dimensions, element_type, InMemory::of_rows(values, dimensions))
        }
        Precision::F32 => {
            let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
            Embeddings::new(origin, rows, dimensions, element_type, InMemory::of_rows(values, dimensions))
        }
    })
}
