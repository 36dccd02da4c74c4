//! Embeddings in NumPy's memory.

use std::ops::Range;

use embq_core::Result;
use embq_core::data::{Element, ElementType, Embeddings, Origin, RowBlocks};
use half::{bf16, f16};
use numpy::{PyArrayDescrMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// A matrix in the memory of an array, which it keeps alive: only the blocks that are read are copied.
///
/// If Python code writes to the array during a call, the values read change, as with any function that releases the
/// interpreter lock.
struct BorrowedRows {
    data: *const u8,
    rows: usize,
    dimensions: usize,
    /// The bytes from one row to the next, and from one element of a row to the next.
    strides: [isize; 2],
    element_type: ElementType,
    /// What the rows are part of, and the number of the first one there.
    place: Option<(String, usize)>,
    _owner: Py<PyUntypedArray>,
}

// SAFETY: the memory belongs to the array that `_owner` keeps alive, and is only read.
unsafe impl Send for BorrowedRows {}
// SAFETY: as above.
unsafe impl Sync for BorrowedRows {}

/// The embeddings in a two-dimensional array of native byte order. `element_type` is the type of its elements; NumPy
/// itself does not know bfloat16.
pub(crate) fn embeddings(array: &Bound<'_, PyUntypedArray>, element_type: &str, name: &str) -> PyResult<Embeddings> {
    embeddings_at(array, element_type, Origin::new(name), None)
}

/// As [`embeddings`], of rows that are part of more: `place` is what errors call that, with the number of the first row.
pub(crate) fn embeddings_at(
    array: &Bound<'_, PyUntypedArray>,
    element_type: &str,
    origin: Origin,
    place: Option<(String, usize)>,
) -> PyResult<Embeddings> {
    let element_type = named(element_type)?;
    let (&[rows, dimensions], &[row, column]) = (array.shape(), array.strides()) else {
        return Err(PyTypeError::new_err("a matrix has two dimensions"));
    };
    if array.dtype().itemsize() != element_type.size() {
        return Err(PyTypeError::new_err(format!("elements of {element_type} have another size")));
    }
    // SAFETY: the pointer is that of a living array.
    let data = unsafe { (*array.as_array_ptr()).fields.data }.cast::<u8>().cast_const();
    let (strides, owner) = ([row, column], array.clone().unbind());
    let blocks = BorrowedRows { data, rows, dimensions, strides, element_type, place, _owner: owner };
    Ok(Embeddings::new(origin, rows, dimensions, element_type, blocks))
}

/// Rows that store only nonzero values, as in scipy's `csr_array`; one block of them is made dense at a time.
struct SparseRows {
    dimensions: usize,
    /// The position of the first value of each row, followed by the total number of values.
    starts: Vec<usize>,
    columns: Vec<usize>,
    values: Vec<f64>,
}

/// The embeddings in a sparse matrix, after checking its parts.
pub(crate) fn sparse_embeddings(
    starts: &[i64],
    columns: &[i64],
    values: &[f64],
    dimensions: usize,
    element_type: &str,
    name: &str,
) -> PyResult<Embeddings> {
    let indices = |values: &[i64], end: usize| -> Option<Vec<usize>> {
        values.iter().map(|&value| usize::try_from(value).ok().filter(|&value| value < end)).collect()
    };
    let damaged = || PyTypeError::new_err(format!("{name}: the parts of the sparse matrix do not fit together"));
    let columns = indices(columns, dimensions).ok_or_else(damaged)?;
    let starts = indices(starts, values.len() + 1).ok_or_else(damaged)?;
    if columns.len() != values.len() || !starts.is_sorted() || starts.is_empty() {
        return Err(damaged());
    }
    let rows = starts.len() - 1;
    let blocks = SparseRows { dimensions, starts, columns, values: values.to_vec() };
    Ok(Embeddings::new(Origin::new(name), rows, dimensions, named(element_type)?, blocks))
}

impl SparseRows {
    fn read<T: Element>(&self, rows: Range<usize>, out: &mut [T]) {
        out.fill(T::default());
        for (row, target) in rows.zip(out.chunks_exact_mut(self.dimensions.max(1))) {
            let entries = self.starts[row]..self.starts[row + 1];
            for (&column, &value) in self.columns[entries.clone()].iter().zip(&self.values[entries]) {
                // Duplicate entries are summed.
                target[column] = T::from_f64(target[column].to_f64() + value);
            }
        }
    }
}

impl RowBlocks for SparseRows {
    fn read_f32(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        self.read(rows, out);
        Ok(())
    }

    fn read_f64(&self, rows: Range<usize>, out: &mut [f64]) -> Result<()> {
        self.read(rows, out);
        Ok(())
    }
}

fn named(name: &str) -> PyResult<ElementType> {
    const ALL: [ElementType; 13] = [
        ElementType::F16,
        ElementType::Bf16,
        ElementType::F32,
        ElementType::F64,
        ElementType::I8,
        ElementType::I16,
        ElementType::I32,
        ElementType::I64,
        ElementType::U8,
        ElementType::U16,
        ElementType::U32,
        ElementType::U64,
        ElementType::Bool,
    ];
    let found = ALL.into_iter().find(|element_type| element_type.name() == name);
    found.ok_or_else(|| PyTypeError::new_err(format!("no element type is called {name}")))
}

impl BorrowedRows {
    /// The whole matrix, if its elements are contiguous.
    fn view<T>(&self, element_type: ElementType) -> Option<&[T]> {
        let size = size_of::<T>() as isize;
        let in_order = self.strides[1] == size || self.dimensions == 1;
        let row_after_row = self.strides[0] == size * self.dimensions as isize || self.rows <= 1;
        if self.element_type != element_type || !in_order || !row_after_row {
            return None;
        }
        let data = self.data.cast::<T>();
        if self.rows * self.dimensions == 0 {
            return Some(&[]);
        }
        if !data.is_aligned() {
            return None;
        }
        // SAFETY: an aligned, contiguous array of this shape has this many elements, every bit pattern of the type is a
        // number, and the owner lives as long as `self`.
        Some(unsafe { std::slice::from_raw_parts(data, self.rows * self.dimensions) })
    }

    fn read<T: Element>(&self, rows: Range<usize>, out: &mut [T]) {
        if let Some(values) = <T as Element>::view(self) {
            out.copy_from_slice(&values[rows.start * self.dimensions..rows.end * self.dimensions]);
            return;
        }
        match self.element_type {
            ElementType::F16 => self.read_as::<f16, T>(rows, out, f16::to_f64),
            ElementType::Bf16 => self.read_as::<bf16, T>(rows, out, bf16::to_f64),
            ElementType::F32 => self.read_as::<f32, T>(rows, out, f64::from),
            ElementType::F64 => self.read_as::<f64, T>(rows, out, |value| value),
            ElementType::I8 => self.read_as::<i8, T>(rows, out, f64::from),
            ElementType::I16 => self.read_as::<i16, T>(rows, out, f64::from),
            ElementType::I32 => self.read_as::<i32, T>(rows, out, f64::from),
            ElementType::I64 => self.read_as::<i64, T>(rows, out, |value| value as f64),
            ElementType::U8 => self.read_as::<u8, T>(rows, out, f64::from),
            ElementType::U16 => self.read_as::<u16, T>(rows, out, f64::from),
            ElementType::U32 => self.read_as::<u32, T>(rows, out, f64::from),
            ElementType::U64 => self.read_as::<u64, T>(rows, out, |value| value as f64),
            ElementType::Bool => self.read_as::<u8, T>(rows, out, |value| f64::from(u8::from(value != 0))),
        }
    }

    fn read_as<S: Copy, T: Element>(&self, rows: Range<usize>, out: &mut [T], value: impl Fn(S) -> f64) {
        assert!(rows.end <= self.rows && out.len() >= rows.len() * self.dimensions, "rows within the matrix");
        let element = |row: usize, column: usize| {
            let offset = self.strides[0] * row as isize + self.strides[1] * column as isize;
            // SAFETY: row and column are within the shape, so the strides lead to an element of the array.
            T::from_f64(value(unsafe { self.data.offset(offset).cast::<S>().read_unaligned() }))
        };
        if self.strides[0].unsigned_abs() < self.strides[1].unsigned_abs() {
            // Column by column, so that neighbours in memory are read in sequence.
            for column in 0..self.dimensions {
                for (place, row) in rows.clone().enumerate() {
                    out[place * self.dimensions + column] = element(row, column);
                }
            }
        } else {
            for (row, target) in rows.zip(out.chunks_exact_mut(self.dimensions.max(1))) {
                for (column, target) in target.iter_mut().enumerate() {
                    *target = element(row, column);
                }
            }
        }
    }
}

impl RowBlocks for BorrowedRows {
    fn read_f32(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        self.read(rows, out);
        Ok(())
    }

    fn read_f64(&self, rows: Range<usize>, out: &mut [f64]) -> Result<()> {
        self.read(rows, out);
        Ok(())
    }

    fn as_f32(&self) -> Option<&[f32]> {
        self.view(ElementType::F32)
    }

    fn as_f64(&self) -> Option<&[f64]> {
        self.view(ElementType::F64)
    }

    fn place_of(&self, row: usize) -> Option<(String, usize)> {
        self.place.as_ref().map(|(name, first)| (name.clone(), first + row))
    }
}
