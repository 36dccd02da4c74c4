//! A matrix in a memory-mapped file: pages are read with the blocks that need them, and none of it is on the heap.

use std::fs::File;
use std::ops::{Deref, Range};
use std::sync::Arc;

use half::{bf16, f16};
use memmap2::Mmap;

use crate::data::{Element, ElementType, RowBlocks};
use crate::error::{Error, Result};

/// The bytes of a file (memory-mapped) or of standard input (in memory). Cheap to clone.
#[derive(Clone)]
pub struct MappedBytes {
    storage: Arc<Storage>,
    /// Bytes at the beginning to skip, such as a byte order mark.
    skipped: usize,
}

enum Storage {
    Map(Mmap),
    Memory(Vec<u8>),
}

impl MappedBytes {
    /// Maps a regular file.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be opened or mapped.
    pub fn open(path: &str) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::io(path, "open", source))?;
        MappedBytes::of_file(&file, path)
    }

    /// Maps an open file; errors refer to it as `path`.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be mapped.
    #[allow(unsafe_code)]
    pub fn of_file(file: &File, path: &str) -> Result<Self> {
        // SAFETY: the map is read-only and private to this value. Another process that shortens the file while embq
        // runs could end it with SIGBUS; every tool that maps files shares that limit, and no Rust value is ever
        // reinterpreted in place: elements are plain numbers, valid for every bit pattern.
        let map = unsafe { Mmap::map(file) }.map_err(|source| Error::io(path, "map", source))?;
        Ok(MappedBytes { storage: Arc::new(Storage::Map(map)), skipped: 0 })
    }

    /// Asks the system to read these bytes ahead; this only affects speed.
    fn will_need(&self, bytes: Range<usize>) {
        #[cfg(unix)]
        if let Storage::Map(map) = self.storage.as_ref() {
            let _ = map.advise_range(memmap2::Advice::WillNeed, self.skipped + bytes.start, bytes.len());
        }
    }

    /// The same bytes without the first ones; without all of them if there are fewer.
    pub fn without_first(&self, bytes: usize) -> Self {
        MappedBytes { storage: Arc::clone(&self.storage), skipped: self.skipped + bytes.min(self.len()) }
    }

    /// Wraps bytes in memory.
    pub fn from_memory(bytes: Vec<u8>) -> Self {
        MappedBytes { storage: Arc::new(Storage::Memory(bytes)), skipped: 0 }
    }
}

impl Deref for MappedBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let bytes: &[u8] = match self.storage.as_ref() {
            Storage::Map(map) => map,
            Storage::Memory(bytes) => bytes,
        };
        &bytes[self.skipped..]
    }
}

impl AsRef<[u8]> for MappedBytes {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

/// The layout of a matrix in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixLayout {
    /// Byte offset of the first element.
    pub offset: usize,
    pub rows: usize,
    pub dimensions: usize,
    pub element_type: ElementType,
    /// Whether elements are stored most significant byte first.
    pub big_endian: bool,
    /// Whether columns, not rows, are contiguous.
    pub column_major: bool,
}

/// A matrix of any element type, order and byte order inside [`MappedBytes`].
pub struct MappedMatrix {
    bytes: MappedBytes,
    layout: MatrixLayout,
}

impl MappedMatrix {
    /// A matrix inside `bytes`; errors refer to it as `name`.
    ///
    /// # Errors
    /// [`Error::Truncated`] if the layout extends past the end of the bytes.
    pub fn new(bytes: MappedBytes, layout: MatrixLayout, name: &str) -> Result<Self> {
        let elements = (layout.rows as u128).saturating_mul(layout.dimensions as u128);
        let promised = elements.saturating_mul(layout.element_type.size() as u128);
        let held = bytes.len().saturating_sub(layout.offset) as u64;
        if promised > u128::from(held) {
            return Err(Error::Truncated { name: name.to_owned(), promised, held });
        }
        Ok(MappedMatrix { bytes, layout })
    }

    fn data(&self) -> &[u8] {
        let layout = &self.layout;
        let length = layout.rows * layout.dimensions * layout.element_type.size();
        &self.bytes[layout.offset..layout.offset + length]
    }

    /// The whole matrix in place, if it is stored exactly as in memory.
    fn view<T: bytemuck::Pod>(&self, element_type: ElementType) -> Option<&[T]> {
        let native = self.layout.big_endian == cfg!(target_endian = "big");
        if self.layout.element_type != element_type || !native || self.layout.column_major {
            return None;
        }
        bytemuck::try_cast_slice(self.data()).ok()
    }

    fn decode<T: Element>(&self, rows: Range<usize>, out: &mut [T]) {
        match self.layout.element_type {
            ElementType::F16 => self.decode_with(rows, out, |b: [u8; 2]| f16::from_ne_bytes(b).to_f64()),
            ElementType::Bf16 => self.decode_with(rows, out, |b: [u8; 2]| bf16::from_ne_bytes(b).to_f64()),
            ElementType::F32 => self.decode_with(rows, out, |b: [u8; 4]| f64::from(f32::from_ne_bytes(b))),
            ElementType::F64 => self.decode_with(rows, out, f64::from_ne_bytes),
            ElementType::I8 => self.decode_with(rows, out, |b: [u8; 1]| f64::from(i8::from_ne_bytes(b))),
            ElementType::I16 => self.decode_with(rows, out, |b: [u8; 2]| f64::from(i16::from_ne_bytes(b))),
            ElementType::I32 => self.decode_with(rows, out, |b: [u8; 4]| f64::from(i32::from_ne_bytes(b))),
            ElementType::I64 => self.decode_with(rows, out, |b: [u8; 8]| i64::from_ne_bytes(b) as f64),
            ElementType::U8 => self.decode_with(rows, out, |b: [u8; 1]| f64::from(b[0])),
            ElementType::U16 => self.decode_with(rows, out, |b: [u8; 2]| f64::from(u16::from_ne_bytes(b))),
            ElementType::U32 => self.decode_with(rows, out, |b: [u8; 4]| f64::from(u32::from_ne_bytes(b))),
            ElementType::U64 => self.decode_with(rows, out, |b: [u8; 8]| u64::from_ne_bytes(b) as f64),
            ElementType::Bool => self.decode_with(rows, out, |b: [u8; 1]| f64::from(u8::from(b[0] != 0))),
        }
    }

    fn decode_with<const SIZE: usize, T: Element>(
        &self,
        rows: Range<usize>,
        out: &mut [T],
        value: impl Fn([u8; SIZE]) -> f64,
    ) {
        let layout = &self.layout;
        let swap = layout.big_endian != cfg!(target_endian = "big");
        let (elements, _) = self.data().as_chunks::<SIZE>();
        let element = |index: usize| {
            let mut bytes = elements[index];
            if swap {
                bytes.reverse();
            }
            T::from_f64(value(bytes))
        };
        if layout.column_major {
            for column in 0..layout.dimensions {
                for (position, row) in rows.clone().enumerate() {
                    out[position * layout.dimensions + column] = element(column * layout.rows + row);
                }
            }
        } else {
            let start = rows.start * layout.dimensions;
            for (position, target) in out[..rows.len() * layout.dimensions].iter_mut().enumerate() {
                *target = element(start + position);
            }
        }
    }
}

impl RowBlocks for MappedMatrix {
    fn read_f32(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        self.decode(rows, out);
        Ok(())
    }

    fn read_f64(&self, rows: Range<usize>, out: &mut [f64]) -> Result<()> {
        self.decode(rows, out);
        Ok(())
    }

    fn as_f32(&self) -> Option<&[f32]> {
        self.view(ElementType::F32)
    }

    fn as_f64(&self) -> Option<&[f64]> {
        self.view(ElementType::F64)
    }

    fn announce(&self, rows: Range<usize>) {
        if !self.layout.column_major {
            let row_bytes = self.layout.dimensions * self.layout.element_type.size();
            let start = self.layout.offset;
            self.bytes.will_need(start + rows.start * row_bytes..start + rows.end * row_bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(bytes: Vec<u8>, layout: MatrixLayout) -> MappedMatrix {
        MappedMatrix::new(MappedBytes::from_memory(bytes), layout, "m").unwrap()
    }

    #[test]
    fn byte_order_and_column_order_are_undone() {
        let layout = MatrixLayout {
            offset: 1,
            rows: 2,
            dimensions: 3,
            element_type: ElementType::I16,
            big_endian: true,
            column_major: true,
        };
        let mut bytes = vec![0xff];
        for value in [1i16, -2, 3, -4, 5, -6] {
            bytes.extend(value.to_be_bytes());
        }
        let mut row = [0.0; 3];
        matrix(bytes, layout).read_f64(1..2, &mut row).unwrap();
        assert_eq!(row, [-2.0, -4.0, -6.0]);
    }

    #[test]
    fn half_precision_is_widened() {
        let layout = MatrixLayout {
            offset: 0,
            rows: 1,
            dimensions: 2,
            element_type: ElementType::F16,
            big_endian: false,
            column_major: false,
        };
        let bytes = [f16::from_f32(0.5), f16::from_f32(-2.0)].iter().flat_map(|v| v.to_le_bytes()).collect();
        let mut row = [0.0; 2];
        matrix(bytes, layout).read_f32(0..1, &mut row).unwrap();
        assert_eq!(row, [0.5, -2.0]);
    }

    #[test]
    fn a_layout_past_the_end_is_refused_without_overflow() {
        let layout = MatrixLayout {
            offset: 8,
            rows: usize::MAX,
            dimensions: usize::MAX,
            element_type: ElementType::F64,
            big_endian: false,
            column_major: false,
        };
        let result = MappedMatrix::new(MappedBytes::from_memory(vec![0; 64]), layout, "m");
        assert!(matches!(result.err(), Some(Error::Truncated { held: 56, .. })));
    }
}
