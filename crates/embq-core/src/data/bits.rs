//! Rows of bits, packed into bytes or one per number, as rows whose squared distance is the share of bits that differ.

use std::ops::Range;
use std::sync::Arc;

use crate::data::derived::{Derivation, Derived};
use crate::data::{Element, ElementType, EmbeddingRows};
use crate::error::{Error, Result};

/// Rows read at a time.
const BLOCK_ROWS: usize = 1024;

/// Bits as the numbers 0 and 1/sqrt(bits): the square of the difference of two bits is 1/bits.
struct Bits {
    /// Whether each byte contains eight of them.
    packed: bool,
    bits: usize,
}

impl Derivation for Bits {
    fn read<T: Element>(&self, stored: &EmbeddingRows, rows: Range<usize>, out: &mut [T]) -> Result<()> {
        let (zero, one) = (T::default(), T::from_f64(1.0 / (self.bits as f64).sqrt()));
        let mut values = vec![0.0_f32; rows.len() * stored.dimensions()];
        stored.blocks().read_f32(rows, &mut values)?;
        if self.packed {
            for (byte, bits) in values.iter().zip(out.chunks_exact_mut(8)) {
                // Distances do not depend on the order of bits in a byte.
                for (place, bit) in bits.iter_mut().enumerate() {
                    *bit = if *byte as u8 >> place & 1 == 1 { one } else { zero };
                }
            }
        } else {
            for (value, bit) in values.iter().zip(out) {
                *bit = if value.is_finite() { if *value == 0.0 { zero } else { one } } else { T::from_f64(f64::NAN) };
            }
        }
        Ok(())
    }
}

impl EmbeddingRows<'_> {
    /// The rows as bits: if any unsigned byte is above 1, each byte contains eight bits; other numbers are 0 or 1.
    ///
    /// # Errors
    /// A number that is neither 0 nor 1; errors from reading rows.
    pub(crate) fn as_bits(self: &Arc<Self>) -> Result<Self> {
        let is_bytes = self.element_type() == ElementType::U8;
        let d = self.dimensions();
        let mut packed = false;
        let mut buffer = vec![0.0; BLOCK_ROWS.min(self.rows()) * d];
        'rows: for start in (0..self.rows()).step_by(BLOCK_ROWS) {
            let end = self.rows().min(start + BLOCK_ROWS);
            let block = &mut buffer[..(end - start) * d];
            self.blocks().read_f64(start..end, block)?;
            for (place, &value) in block.iter().enumerate() {
                if value == 0.0 || value == 1.0 || !value.is_finite() {
                    continue;
                }
                if is_bytes {
                    packed = true;
                    break 'rows;
                }
                let (name, row) = self.place_of(start + place / d);
                return Err(Error::Row {
                    name,
                    row,
                    problem: format!("{value} in column {} is not a bit", place % d),
                    tip: Some("bits are 0 and 1, or packed into unsigned 8-bit integers (numpy.packbits)".to_owned()),
                });
            }
        }
        let bits = if packed { d.saturating_mul(8) } else { d };
        // The note that they could be bits is obsolete.
        let notes = self.notes().iter().filter(|note| !note.contains("--distance hamming")).cloned().collect();
        let blocks = Derived { stored: Arc::clone(self), derivation: Bits { packed, bits } };
        Ok(EmbeddingRows::new(self.origin().clone(), self.rows(), bits, self.element_type(), blocks)
            .with_columns(self.columns().to_vec())
            .with_choice(self.chosen(), notes)
            .with_faults(Arc::clone(self.faults())))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::data::{Embeddings, InMemory, Origin};

    fn rows(bits: &Embeddings) -> Vec<f64> {
        let mut values = vec![0.0; bits.rows() * bits.dimensions()];
        bits.blocks().read_f64(0..bits.rows(), &mut values).unwrap();
        values
    }

    #[test]
    fn squared_distances_are_the_share_of_bits_that_differ() {
        let bytes = InMemory::<f32>::of_rows(vec![0b1010_0000 as f32, 0b0010_0001 as f32], 1);
        let packed = Arc::new(Embeddings::new(Origin::new("b"), 2, 1, ElementType::U8, bytes)).as_bits().unwrap();
        assert_eq!(packed.dimensions(), 8);
        let values = rows(&packed);
        let squared: f64 = (0..8).map(|bit| (values[bit] - values[8 + bit]).powi(2)).sum();
        assert!((squared - 2.0 / 8.0).abs() < 1e-12);
        let plain = Embeddings::from_f64(Origin::new("b"), array![[0.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]]);
        let values = rows(&Arc::new(plain).as_bits().unwrap());
        let squared: f64 = (0..4).map(|bit| (values[bit] - values[4 + bit]).powi(2)).sum();
        assert!((squared - 0.5).abs() < 1e-12);
    }

    #[test]
    fn other_numbers_are_no_bits() {
        let other = Embeddings::from_f64(Origin::new("b"), array![[0.0, 1.0], [1.0, 2.0]]);
        let error = Arc::new(other).as_bits().unwrap_err();
        assert!(error.to_string().contains("row 1: 2 in column 1 is not a bit"), "{error}");
    }
}
