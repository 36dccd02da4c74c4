//! Sparse matrices, made dense one block of rows at a time.

use std::ops::Range;

use embq_core::data::{Element, Origin, RowBlocks};
use embq_core::error::{Error, Result};

/// Values read at a time.
const READ_ENTRIES: usize = 1 << 18;

/// Rows become dense; this still allows the number of columns of text hashed by scikit-learn.
const MOST_DIMENSIONS: usize = 1 << 20;

/// A matrix stored by columns may always have this many rows, and beyond that only a multiple of its stored values,
/// because a damaged header may declare any number.
const MOST_ROWS: usize = 1 << 24;
const ROWS_A_VALUE: usize = 64;

/// The nonzero values of a matrix, and their column (or row) indices.
pub(crate) trait Entries: Send + Sync {
    fn len(&self) -> usize;

    /// Appends a range of them.
    fn read(&self, range: Range<usize>, indices: &mut Vec<usize>, values: &mut Vec<f64>) -> Result<()>;
}

/// A matrix whose rows are contiguous, as in scipy's `csr_matrix`.
pub(crate) struct SparseRows {
    origin: Origin,
    dimensions: usize,
    /// The position of the first value of each row, followed by the total number of values.
    starts: Vec<usize>,
    entries: Box<dyn Entries>,
}

impl SparseRows {
    /// The error for a row with an invalid position or content.
    pub fn damaged(origin: &Origin, row: usize) -> Error {
        Error::Row {
            name: origin.to_string(),
            row,
            problem: "the sparse matrix is damaged: it points past its end".to_owned(),
            tip: Some("save or copy the file again".to_owned()),
        }
    }

    /// A matrix stored by rows; `starts` has one more element than there are rows.
    ///
    /// # Errors
    /// No rows, no columns, or invalid starts.
    pub fn new(
        origin: &Origin,
        rows: usize,
        dimensions: usize,
        starts: Vec<usize>,
        entries: impl Entries + 'static,
    ) -> Result<Self> {
        check_starts(origin, rows, &starts, entries.len())?;
        check_shape(origin, rows, dimensions)?;
        Ok(SparseRows { origin: origin.clone(), dimensions, starts, entries: Box::new(entries) })
    }

    /// A matrix stored by columns (`csc_matrix`), sorted by row in memory.
    ///
    /// # Errors
    /// Those of [`SparseRows::new`].
    pub fn of_columns(
        origin: &Origin,
        rows: usize,
        dimensions: usize,
        starts: &[usize],
        entries: &dyn Entries,
    ) -> Result<Self> {
        check_starts(origin, dimensions, starts, entries.len())?;
        check_shape(origin, rows, dimensions)?;
        let stored = starts.last().copied().unwrap_or(0);
        let mut column = 0;
        let mut all = Triplets::with_capacity(stored);
        for_each(entries, 0..stored, |place, row, value| {
            while starts[column + 1] <= place {
                column += 1;
            }
            all.rows.push(row);
            all.columns.push(column as u32);
            all.values.push(value);
            Ok(())
        })?;
        all.by_rows(origin, rows, dimensions)
    }

    /// A matrix of values with row and column indices (`coo_matrix`), sorted by row in memory.
    ///
    /// # Errors
    /// Those of [`SparseRows::new`].
    pub fn of_coordinates(
        origin: &Origin,
        rows: usize,
        dimensions: usize,
        row: &[usize],
        column: &[usize],
        values: &[f64],
    ) -> Result<Self> {
        check_shape(origin, rows, dimensions)?;
        let mut all = Triplets::with_capacity(values.len());
        for (place, ((&row, &column), &value)) in row.iter().zip(column).zip(values).enumerate() {
            if column >= dimensions {
                return Err(SparseRows::damaged(origin, place));
            }
            all.rows.push(row);
            all.columns.push(column as u32);
            all.values.push(value);
        }
        all.by_rows(origin, rows, dimensions)
    }

    fn copy<T: Element>(&self, rows: Range<usize>, out: &mut [T]) -> Result<()> {
        let d = self.dimensions;
        out[..rows.len() * d].fill(T::default());
        let mut row = rows.start;
        for_each(self.entries.as_ref(), self.starts[rows.start]..self.starts[rows.end], |place, column, value| {
            while self.starts[row + 1] <= place {
                row += 1;
            }
            if column >= d {
                return Err(SparseRows::damaged(&self.origin, row));
            }
            let target = &mut out[(row - rows.start) * d + column];
            // Duplicates are summed, as in scipy.
            *target = T::from_f64(target.to_f64() + value);
            Ok(())
        })
    }
}

fn check_shape(origin: &Origin, rows: usize, dimensions: usize) -> Result<()> {
    if rows == 0 || dimensions == 0 {
        let (name, expected) = (origin.to_string(), "two axes (rows x dimensions)");
        return Err(Error::Shape { name, expected, shape: vec![rows, dimensions] });
    }
    if dimensions > MOST_DIMENSIONS {
        return Err(malformed(origin, format!("it has {dimensions} columns, too many to make it dense")));
    }
    Ok(())
}

fn malformed(origin: &Origin, problem: String) -> Error {
    let tip = Some("reduce the dimensions first, for example with sklearn.decomposition.TruncatedSVD".to_owned());
    Error::Malformed { name: origin.to_string(), problem, tip }
}

/// Checks that there is one start per row plus the end, in ascending order.
fn check_starts(origin: &Origin, rows: usize, starts: &[usize], entries: usize) -> Result<()> {
    let is_whole = rows.checked_add(1) == Some(starts.len())
        && starts.first() == Some(&0)
        && starts.last().is_some_and(|&last| last <= entries);
    if !is_whole {
        return Err(SparseRows::damaged(origin, starts.len().saturating_sub(1)));
    }
    match starts.windows(2).position(|pair| pair[0] > pair[1]) {
        Some(row) => Err(SparseRows::damaged(origin, row)),
        None => Ok(()),
    }
}

/// Visits the position, index and value of a range of entries.
fn for_each(
    entries: &dyn Entries,
    range: Range<usize>,
    mut visit: impl FnMut(usize, usize, f64) -> Result<()>,
) -> Result<()> {
    let (mut indices, mut values) = (Vec::new(), Vec::new());
    for start in range.clone().step_by(READ_ENTRIES) {
        indices.clear();
        values.clear();
        entries.read(start..range.end.min(start + READ_ENTRIES), &mut indices, &mut values)?;
        for (place, (&index, &value)) in (start..).zip(indices.iter().zip(&values)) {
            visit(place, index, value)?;
        }
    }
    Ok(())
}

impl RowBlocks for SparseRows {
    fn read_f32(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        self.copy(rows, out)
    }

    fn read_f64(&self, rows: Range<usize>, out: &mut [f64]) -> Result<()> {
        self.copy(rows, out)
    }
}

/// Values with their rows and columns, in any order. The number of columns has been checked to be less than 2^32.
struct Triplets {
    rows: Vec<usize>,
    columns: Vec<u32>,
    values: Vec<f64>,
}

impl Triplets {
    fn with_capacity(values: usize) -> Self {
        Triplets {
            rows: Vec::with_capacity(values),
            columns: Vec::with_capacity(values),
            values: Vec::with_capacity(values),
        }
    }

    /// Sorts the values by row with a counting sort.
    fn by_rows(self, origin: &Origin, rows: usize, dimensions: usize) -> Result<SparseRows> {
        let stored = self.values.len();
        if rows > stored.saturating_mul(ROWS_A_VALUE).max(MOST_ROWS) {
            return Err(malformed(origin, format!("its header declares {rows} rows, but it has {stored} values")));
        }
        let mut starts = vec![0_usize; rows + 1];
        for (place, row) in self.rows.iter().enumerate() {
            let count = starts.get_mut(row.saturating_add(1)).ok_or_else(|| SparseRows::damaged(origin, place))?;
            *count += 1;
        }
        for row in 0..rows {
            starts[row + 1] += starts[row];
        }
        let mut next = starts.clone();
        let mut in_order = InOrder { columns: vec![0; stored], values: vec![0.0; stored] };
        for ((&row, &column), &value) in self.rows.iter().zip(&self.columns).zip(&self.values) {
            let target = next[row];
            next[row] += 1;
            in_order.columns[target] = column;
            in_order.values[target] = value;
        }
        Ok(SparseRows { origin: origin.clone(), dimensions, starts, entries: Box::new(in_order) })
    }
}

/// Values in memory, sorted by row.
struct InOrder {
    columns: Vec<u32>,
    values: Vec<f64>,
}

impl Entries for InOrder {
    fn len(&self) -> usize {
        self.values.len()
    }

    fn read(&self, range: Range<usize>, indices: &mut Vec<usize>, values: &mut Vec<f64>) -> Result<()> {
        indices.extend(self.columns[range.clone()].iter().map(|&column| column as usize));
        values.extend_from_slice(&self.values[range]);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Stored(Vec<usize>, Vec<f64>);

    impl Entries for Stored {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn read(&self, range: Range<usize>, indices: &mut Vec<usize>, values: &mut Vec<f64>) -> Result<()> {
            indices.extend_from_slice(&self.0[range.clone()]);
            values.extend_from_slice(&self.1[range]);
            Ok(())
        }
    }

    fn dense(matrix: &SparseRows, rows: Range<usize>) -> Result<Vec<f64>> {
        let mut out = vec![9.0; rows.len() * matrix.dimensions];
        matrix.read_f64(rows, &mut out)?;
        Ok(out)
    }

    /// Rows of 3: `1 0 2`, nothing, `0 3 0`.
    const DENSE: [f64; 9] = [1.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0];

    #[test]
    fn rows_columns_and_coordinates_are_one_matrix() {
        let origin = Origin::new("s.npz");
        let stored = || Stored(vec![0, 2, 1], vec![1.0, 2.0, 3.0]);
        let rows = SparseRows::new(&origin, 3, 3, vec![0, 2, 2, 3], stored()).unwrap();
        assert_eq!(dense(&rows, 0..3).unwrap(), DENSE);
        assert_eq!(dense(&rows, 1..3).unwrap(), DENSE[3..]);
        let by_column = Stored(vec![0, 2, 0], vec![1.0, 3.0, 2.0]);
        let columns = SparseRows::of_columns(&origin, 3, 3, &[0, 1, 2, 3], &by_column).unwrap();
        assert_eq!(dense(&columns, 0..3).unwrap(), DENSE);
        let all = SparseRows::of_coordinates(&origin, 3, 3, &[2, 0, 0], &[1, 2, 0], &[3.0, 2.0, 1.0]).unwrap();
        assert_eq!(dense(&all, 0..3).unwrap(), DENSE);
        let twice = SparseRows::new(&origin, 1, 2, vec![0, 2], Stored(vec![1, 1], vec![1.0, 2.5])).unwrap();
        assert_eq!(dense(&twice, 0..1).unwrap(), [0.0, 3.5]);
    }

    #[test]
    fn what_points_past_its_end_is_refused() {
        let origin = Origin::new("s.npz");
        let rows = |rows, starts: &[usize]| {
            SparseRows::new(&origin, rows, 3, starts.to_vec(), Stored(vec![0, 2, 7], vec![1.0, 2.0, 3.0]))
        };
        for (count, starts) in [(2, &[0, 1][..]), (2, &[0, 1, 4]), (2, &[1, 2, 3]), (2, &[0, 3, 2]), (usize::MAX, &[0])]
        {
            assert!(rows(count, starts).is_err(), "{starts:?}");
        }
        let matrix = rows(3, &[0, 1, 2, 3]).unwrap();
        assert!(matches!(dense(&matrix, 0..3), Err(Error::Row { row: 2, .. })));
        let columns = |starts: &[usize], rows| {
            SparseRows::of_columns(&origin, rows, 2, starts, &Stored(vec![0, 1, 5], vec![1.0; 3]))
        };
        assert!(columns(&[0, 1, 3], 3).is_err());
        assert!(columns(&[0, 1, 2], 3).is_ok(), "what follows the last column is nobody's");
        assert!(columns(&[0, 1, 2], usize::MAX - 1).is_err());
        assert!(SparseRows::new(&origin, 1, usize::MAX, vec![0, 0], Stored(vec![], vec![])).is_err());
    }
}
