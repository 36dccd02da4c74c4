//! The vector files of faiss, its benchmarks and DiskANN: `.fvecs` and its relatives store the dimensions before each
//! row, `.fbin` and its relatives store the numbers of rows and dimensions once.

use std::ops::Range;

use embq_core::data::{Element, ElementType, Embeddings, MappedBytes, Origin, RowBlocks};
use embq_core::error::{Error, Result};

use crate::input::array::{Array, ArrayFile, ArrayHeader, Elements};
use crate::input::cells::{Cell, no_rows};
use crate::input::source::Source;
use crate::input::table::{Column, Kind, Table, VisitColumns};
use crate::input::{Contents, Format, Role};

/// Rows that each start with their length.
pub(crate) const VECS: Format = Format {
    name: "vecs",
    extensions: &["fvecs", "ivecs", "bvecs"],
    recognises: |_| false,
    open: |source, _| Ok(Contents::Table(Box::new(Vecs::open(source)?))),
};

/// Numbers of rows and dimensions, then the values.
pub(crate) const BIN: Format = Format {
    name: "bin",
    extensions: &["fbin", "u8bin", "i8bin", "ibin"],
    recognises: |_| false,
    open: |source, _| Ok(Contents::Arrays(Box::new(Bin::open(source)?))),
};

/// The name of the only column.
const VECTOR: &str = "vector";

/// Bytes of the length before each row.
const LENGTH: usize = 4;

fn cut(source: &Source, problem: String) -> Error {
    source.malformed(
        problem,
        Some("save or copy the file again: its end is missing, or it is in another format".to_owned()),
    )
}

/// A file whose first row has been read.
struct Vecs {
    source: Source,
    columns: Vec<Column>,
    element_type: ElementType,
    rows: usize,
    dimensions: usize,
}

impl Vecs {
    fn open(source: &Source) -> Result<Self> {
        let element_type = match source.extension().as_str() {
            "ivecs" => ElementType::I32,
            "bvecs" => ElementType::U8,
            _ => ElementType::F32,
        };
        let bytes: &[u8] = &source.bytes;
        let first = bytes.first_chunk().map(|length| i32::from_le_bytes(*length));
        let Some(dimensions) = first.and_then(|length| usize::try_from(length).ok()).filter(|&length| length > 0)
        else {
            return Err(cut(source, "it does not begin with the dimensions of its first row".to_owned()));
        };
        let stride = dimensions.checked_mul(element_type.size()).and_then(|bytes| bytes.checked_add(LENGTH));
        let rows = match stride {
            Some(stride) if bytes.len().is_multiple_of(stride) => bytes.len() / stride,
            _ => {
                let problem =
                    format!("its {} bytes are not a whole number of rows of {dimensions} values", bytes.len());
                return Err(cut(source, problem));
            }
        };
        let (kind, dtype) = if dimensions == 1 && element_type != ElementType::F32 {
            (Kind::Integer(element_type), element_type.name().to_owned())
        } else {
            (Kind::List(element_type), format!("list of {dimensions} {}", element_type.name()))
        };
        let columns = vec![Column::new(VECTOR, kind, dtype)];
        Ok(Vecs { source: source.clone(), columns, element_type, rows, dimensions })
    }

    fn rows(&self) -> VecsRows {
        VecsRows {
            name: self.source.path.clone(),
            bytes: self.source.bytes.clone(),
            element_type: self.element_type,
            dimensions: self.dimensions,
        }
    }
}

impl Table for Vecs {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn matrix(&self, _columns: &[usize], origin: Origin) -> Result<Embeddings> {
        if self.rows == 0 {
            return Err(no_rows(&self.source.path));
        }
        Ok(Embeddings::new(origin, self.rows, self.dimensions, self.element_type, self.rows()))
    }

    fn cells(&self, columns: &[usize], visit: &mut VisitColumns<'_>) -> Result<()> {
        // Cells of a list are never requested.
        if self.dimensions > 1 {
            return Ok(());
        }
        let rows = self.rows();
        for row in 0..self.rows {
            let mut value = [0.0_f64];
            rows.copy(row..row + 1, &mut value)?;
            for position in 0..columns.len() {
                visit(position, row, Cell::Integer(value[0] as i128))?;
            }
        }
        Ok(())
    }
}

struct VecsRows {
    name: String,
    bytes: MappedBytes,
    element_type: ElementType,
    dimensions: usize,
}

impl VecsRows {
    fn copy<T: Element>(&self, rows: Range<usize>, out: &mut [T]) -> Result<()> {
        let stride = LENGTH + self.dimensions * self.element_type.size();
        let outs = out.chunks_mut(self.dimensions);
        let stored = self.bytes[rows.start * stride..rows.end * stride].chunks_exact(stride);
        for (row, (bytes, out)) in rows.zip(stored.zip(outs)) {
            let (length, values) = bytes.split_at(LENGTH);
            if length.first_chunk().map(|length| i32::from_le_bytes(*length)) != i32::try_from(self.dimensions).ok() {
                return Err(Error::Row {
                    name: self.name.clone(),
                    row,
                    problem: format!("its length differs from that of the first row, which has {}", self.dimensions),
                    tip: Some("all rows must have the same dimensions".to_owned()),
                });
            }
            let four = || values.as_chunks::<4>().0.iter();
            match self.element_type {
                ElementType::U8 => fill(out, values.iter().map(|&value| value.into())),
                ElementType::I32 => fill(out, four().map(|&value| i32::from_le_bytes(value).into())),
                _ => fill(out, four().map(|&value| f32::from_le_bytes(value).into())),
            }
        }
        Ok(())
    }
}

fn fill<T: Element>(out: &mut [T], values: impl Iterator<Item = f64>) {
    for (target, value) in out.iter_mut().zip(values) {
        *target = T::from_f64(value);
    }
}

impl RowBlocks for VecsRows {
    fn read_f32(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        self.copy(rows, out)
    }

    fn read_f64(&self, rows: Range<usize>, out: &mut [f64]) -> Result<()> {
        self.copy(rows, out)
    }
}

/// A file with one matrix, or single values if it has one column.
struct Bin(Array);

impl Bin {
    fn open(source: &Source) -> Result<Self> {
        let element_type = match source.extension().as_str() {
            "u8bin" => ElementType::U8,
            "i8bin" => ElementType::I8,
            "ibin" => ElementType::I32,
            _ => ElementType::F32,
        };
        let (shape, offset) = bin_shape(&source.bytes)
            .ok_or_else(|| cut(source, "it does not begin with the numbers of its rows and dimensions".to_owned()))?;
        let header = ArrayHeader {
            shape: shape.to_vec(),
            elements: Elements::Number(element_type),
            big_endian: false,
            column_major: false,
        };
        let (promised, held) = (header.data_bytes(), (source.bytes.len() - offset) as u64);
        // The format has no magic number, so only the size confirms it.
        if promised != u128::from(held) {
            let [rows, dimensions] = shape;
            let problem = format!(
                "its header declares {rows} rows of {dimensions} values, {promised} bytes of data, but it has {held}"
            );
            return Err(cut(source, problem));
        }
        let header = if shape[1] == 1 { ArrayHeader { shape: vec![shape[0]], ..header } } else { header };
        Ok(Bin(Array::new(Origin::new(&source.path), header, source.bytes.clone(), offset)?))
    }
}

/// The numbers of rows and dimensions in the header, and the offset of the data.
pub(crate) fn bin_shape(bytes: &[u8]) -> Option<([usize; 2], usize)> {
    let (rows, rest) = bytes.split_first_chunk::<4>()?;
    let dimensions = rest.first_chunk::<4>()?;
    Some(([u32::from_le_bytes(*rows) as usize, u32::from_le_bytes(*dimensions) as usize], 8))
}

impl ArrayFile for Bin {
    fn noun(&self) -> &'static str {
        "array"
    }

    fn names(&self) -> &[String] {
        &[]
    }

    fn shape(&self, _index: usize) -> Option<Vec<usize>> {
        Some(self.0.shape().to_vec())
    }

    fn array(&self, _index: usize, _role: Role) -> Result<Array> {
        Ok(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{embeddings_of, labels_of};
    use embq_core::data::Label;

    fn open(name: &str, bytes: Vec<u8>) -> Result<Contents> {
        let source = Source::of_bytes(name, MappedBytes::from_memory(bytes))?;
        let format = [VECS, BIN].into_iter().find(|format| format.extensions.contains(&source.extension().as_str()));
        (format.unwrap().open)(&source, Role::Embeddings)
    }

    fn values(name: &str, bytes: Vec<u8>) -> Result<Vec<f64>> {
        let contents = open(name, bytes)?;
        let selector = matches!(contents, Contents::Table(_)).then_some(VECTOR);
        let embeddings = embeddings_of(&contents, name, selector, &[])?;
        let mut out = vec![0.0; embeddings.rows() * embeddings.dimensions()];
        embeddings.blocks().read_f64(0..embeddings.rows(), &mut out)?;
        Ok(out)
    }

    fn fvecs(rows: &[&[f32]]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for row in rows {
            bytes.extend((row.len() as i32).to_le_bytes());
            bytes.extend(row.iter().flat_map(|value| value.to_le_bytes()));
        }
        bytes
    }

    #[test]
    fn rows_with_their_lengths_are_read() {
        assert_eq!(values("x.fvecs", fvecs(&[&[1.0, -2.5], &[0.5, 4.0]])).unwrap(), [1.0, -2.5, 0.5, 4.0]);
        assert_eq!(values("x.bvecs", vec![2, 0, 0, 0, 7, 255, 2, 0, 0, 0, 0, 1]).unwrap(), [7.0, 255.0, 0.0, 1.0]);
        let labels: Vec<u8> = [1_i32, -3, 1, 4].iter().flat_map(|value| value.to_le_bytes()).collect();
        let labels = labels_of(&open("y.ivecs", labels).unwrap(), "y.ivecs", None).unwrap();
        assert_eq!([labels.get(0), labels.get(1)], [Some(&Label::Integer(-3)), Some(&Label::Integer(4))]);
    }

    #[test]
    fn rows_of_other_lengths_and_broken_files_are_refused() {
        let error = |bytes: Vec<u8>| values("x.fvecs", bytes).unwrap_err().to_string();
        let whole = fvecs(&[&[1.0, 2.0], &[3.0, 4.0]]);
        assert!(error(whole[..20].to_vec()).contains("its 20 bytes are not a whole number of rows of 2 values"));
        let mut other = whole;
        other[12] = 3;
        assert!(error(other).contains("row 1: its length differs from that of the first row, which has 2"));
        assert!(error(vec![0; 12]).contains("does not begin with the dimensions"));
        assert!(error(vec![0xff; 12]).contains("does not begin with the dimensions"));
        assert!(error(vec![0xff, 0xff, 0xff, 0x7f, 1]).contains("not a whole number of rows"));
    }

    #[test]
    fn a_matrix_behind_its_shape_is_read() {
        let mut bytes = vec![2, 0, 0, 0, 2, 0, 0, 0];
        bytes.extend([1.0_f32, 2.0, 3.0, 4.5].iter().flat_map(|value| value.to_le_bytes()));
        assert_eq!(values("x.fbin", bytes.clone()).unwrap(), [1.0, 2.0, 3.0, 4.5]);
        assert_eq!(values("x.i8bin", vec![1, 0, 0, 0, 2, 0, 0, 0, 255, 3]).unwrap(), [-1.0, 3.0]);
        let labels = open("y.ibin", vec![1, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0]).unwrap();
        assert_eq!(labels_of(&labels, "y.ibin", None).unwrap().get(0), Some(&Label::Integer(9)));
        bytes.pop();
        let error = values("x.fbin", bytes).unwrap_err().to_string();
        assert!(error.contains("declares 2 rows of 2 values, 16 bytes of data, but it has 15"), "{error}");
        assert!(values("x.fbin", vec![0xff; 8]).is_err());
    }
}
