//! Distance matrices with rounding errors (entries slightly below 0, or not quite symmetric), and matrices mistaken for
//! them.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;

use crate::data::derived::{Derivation, Derived};
use crate::data::{Element, EmbeddingRows, InMemory, Precision};
use crate::distance::Distance;
use crate::error::{Cure, Error, Result};

/// Rounding may leave entries below 0, and mirrored entries apart, by this many units in the last place of the largest
/// entry.
const TOLERANCE: f64 = 100.0;

/// Rows read at a time.
const BLOCK_ROWS: usize = 64;

/// Size of the rows kept in memory while the others are compared with them.
const HELD_BYTES: usize = 32 << 20;

/// Distances with negative entries read as 0.
struct Clamped;

impl Derivation for Clamped {
    fn read<T: Element>(&self, stored: &EmbeddingRows, rows: Range<usize>, out: &mut [T]) -> Result<()> {
        T::read(stored.blocks(), rows, out)?;
        let zero = T::default();
        for value in out.iter_mut().filter(|value| **value < zero) {
            *value = zero;
        }
        Ok(())
    }
}

/// How many rows of an N x N matrix to hold while all others are read past them.
pub(crate) fn held_rows(n: usize) -> usize {
    (HELD_BYTES / (8 * n.max(1))).max(BLOCK_ROWS)
}

/// The result of a pass over a matrix.
#[derive(Default)]
struct Found {
    least: f64,
    place: (usize, usize),
    largest: f64,
    negative: usize,
    /// The smallest and the largest entry of the diagonal.
    diagonal: Option<(f64, f64)>,
}

impl EmbeddingRows<'_> {
    /// The same rows, prepared for `distance`: [`as_distances`](Self::as_distances) if the rows are distances.
    ///
    /// # Errors
    /// Those of [`as_distances`](Self::as_distances).
    pub fn for_distance(self, distance: Distance) -> Result<Self> {
        match distance {
            Distance::Precomputed => self.as_distances(),
            Distance::Cosine
            | Distance::Euclidean
            | Distance::SqEuclidean
            | Distance::Manhattan
            | Distance::Hamming => Ok(self),
        }
    }

    /// The same matrix, prepared for use as distances. Entries that rounding left below 0 are read as 0, and mirrored
    /// entries that rounding left apart are read as their mean; each comes with a note. A matrix that needs the mean is
    /// copied to memory. Larger faults are found by the pass that uses the matrix.
    ///
    /// # Errors
    /// A matrix of similarities, or entries further below 0 than by rounding, with a line of NumPy that converts them
    /// to distances; errors from reading rows.
    pub fn as_distances(self) -> Result<Self> {
        if self.rows() != self.dimensions() {
            return Ok(self);
        }
        let found = self.extremes()?;
        let tolerance = self.rounding() * found.largest;
        let refuse = |problem: String, line: &str| {
            let cure = self.line(line).map_or(Cure::GiveDistanceMatrix, Cure::Advice);
            Err(Error::NotADistanceMatrix { name: self.origin().to_string(), problem, cure })
        };
        if let Some((low, high)) = found.diagonal
            && low > 0.0
            && low >= found.largest - tolerance.max(1e-3 * found.largest)
        {
            return refuse(
                format!("the largest values ({low} to {high}) are on its diagonal, as in a matrix of similarities"),
                "MAXIMUM - MATRIX",
            );
        }
        if found.least < -tolerance {
            let (row, column) = found.place;
            return refuse(
                format!("{} in row {row}, column {column}, and distances are not negative", found.least),
                "numpy.clip(MATRIX, 0, None)",
            );
        }
        let clamped = if found.negative == 0 {
            self
        } else {
            let note = format!(
                "{}: {} entries are below 0 by rounding (down to {:e}) and taken as 0",
                self.origin(),
                found.negative,
                found.least
            );
            let stored = Arc::new(self);
            stored.with_blocks(Derived { stored: Arc::clone(&stored), derivation: Clamped }).with_note(note)
        };
        match clamped.element_type().precision() {
            Precision::F32 => clamped.symmetric::<f32>(tolerance),
            Precision::F64 => clamped.symmetric::<f64>(tolerance),
        }
    }

    /// Replaces mirrored entries that differ by no more than `tolerance` by their mean, with a note; the same rows if
    /// none differ.
    fn symmetric<T: Element>(self, tolerance: f64) -> Result<Self> {
        if !self.blocks().is_random_access() {
            return self.in_memory::<T>()?.symmetric::<T>(tolerance);
        }
        let n = self.rows();
        let held = held_rows(n);
        let starts: Vec<usize> = (0..n).step_by(held).collect();
        let apart = starts
            .par_iter()
            .map(|&start| self.apart::<T>(start..n.min(start + held), tolerance))
            .try_reduce(|| 0.0, |left, right| Ok(left.max(right)))?;
        if apart == 0.0 {
            return Ok(self);
        }
        let mut values = vec![T::default(); n * n];
        T::read(self.blocks(), 0..n, &mut values)?;
        for row in 0..n {
            for column in 0..row {
                let (here, there) = (row * n + column, column * n + row);
                let (left, right) = (values[here].to_f64(), values[there].to_f64());
                if (left - right).abs() <= tolerance {
                    let mean = T::from_f64(left + (right - left) / 2.0);
                    (values[here], values[there]) = (mean, mean);
                }
            }
        }
        let note = format!(
            "{}: mirrored entries differ by rounding (up to {apart:e}), and the mean of both is used",
            self.origin()
        );
        Ok(self.with_blocks(InMemory::<T>::of_rows(values, n)).with_note(note))
    }

    /// The largest difference, up to `tolerance`, between these rows and the columns that mirror them.
    fn apart<T: Element>(&self, rows: Range<usize>, tolerance: f64) -> Result<f64> {
        let n = self.rows();
        let mut upper = vec![T::default(); rows.len() * n];
        T::read(self.blocks(), rows.clone(), &mut upper)?;
        let mut lower = vec![T::default(); BLOCK_ROWS * n];
        let mut apart = 0.0f64;
        for start in (rows.start..n).step_by(BLOCK_ROWS) {
            let mirror = start..n.min(start + BLOCK_ROWS);
            let lower = &mut lower[..mirror.len() * n];
            T::read(self.blocks(), mirror.clone(), lower)?;
            for (row, upper) in rows.clone().zip(upper.chunks_exact(n)) {
                for (lower, here) in lower.chunks_exact(n).zip(&upper[mirror.clone()]) {
                    let gap = (here.to_f64() - lower[row].to_f64()).abs();
                    if gap <= tolerance {
                        apart = apart.max(gap);
                    }
                }
            }
        }
        Ok(apart)
    }

    /// The rounding error of entries, relative to the largest.
    pub(crate) fn rounding(&self) -> f64 {
        TOLERANCE
            * match self.element_type().size() {
                2 => f64::from(half::f16::EPSILON.to_f32()),
                4 => f64::from(f32::EPSILON),
                _ => f64::EPSILON,
            }
    }

    /// A line of NumPy over the matrix, for a file with one array or several.
    fn line(&self, expression: &str) -> Option<String> {
        let origin = self.origin();
        let stem = origin.path.strip_suffix(".npy").or_else(|| origin.path.strip_suffix(".npz"))?;
        let key = origin.selector.as_ref().map(|key| format!("[{key:?}]")).unwrap_or_default();
        let load = format!("numpy.load({:?}){key}", origin.path);
        let expression = expression.replace("MAXIMUM", &format!("{load}.max()")).replace("MATRIX", &load);
        Some(format!("convert it to distances: numpy.save({:?}, {expression})", format!("{stem}.distances.npy")))
    }

    fn extremes(&self) -> Result<Found> {
        let d = self.dimensions();
        let mut found = Found::default();
        let mut buffer = vec![0.0; BLOCK_ROWS.min(self.rows()) * d];
        for start in (0..self.rows()).step_by(BLOCK_ROWS) {
            let end = self.rows().min(start + BLOCK_ROWS);
            let block = &mut buffer[..(end - start) * d];
            self.blocks().read_f64(start..end, block)?;
            for (row, values) in (start..end).zip(block.chunks_exact(d)) {
                let own = values[row];
                let (low, high) = found.diagonal.unwrap_or((own, own));
                found.diagonal = Some((low.min(own), high.max(own)));
                for (column, &value) in values.iter().enumerate() {
                    found.largest = found.largest.max(value);
                    if value < 0.0 {
                        found.negative += 1;
                        if value < found.least {
                            found.least = value;
                            found.place = (row, column);
                        }
                    }
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use crate::data::{Embeddings, Origin};

    fn matrix(values: ndarray::Array2<f64>) -> Embeddings {
        Embeddings::from_f64(Origin::new("d.npy"), values)
    }

    #[test]
    fn rounding_below_zero_is_zero_with_a_note() {
        let cleaned = matrix(array![[-1e-16, 1.0], [1.0, 0.0]]).as_distances().unwrap();
        let mut values = vec![9.0; 4];
        cleaned.blocks().read_f64(0..2, &mut values).unwrap();
        assert_eq!(values, [0.0, 1.0, 1.0, 0.0]);
        assert!(cleaned.notes()[0].contains("1 entries are below 0 by rounding"), "{:?}", cleaned.notes());
        assert!(matrix(array![[0.0, 1.0], [1.0, 0.0]]).as_distances().unwrap().notes().is_empty());
    }

    #[test]
    fn mirrored_entries_apart_by_rounding_are_averaged_with_a_note() {
        let above = 1.0 + 4.0 * f64::EPSILON;
        let cleaned = matrix(array![[0.0, 1.0, 2.0], [above, 0.0, 2.0], [2.0, 2.0, 0.0]]).as_distances().unwrap();
        let mut values = vec![9.0; 9];
        cleaned.blocks().read_f64(0..3, &mut values).unwrap();
        let mean = 1.0 + 2.0 * f64::EPSILON;
        assert_eq!(values, [0.0, mean, 2.0, mean, 0.0, 2.0, 2.0, 2.0, 0.0]);
        assert!(
            cleaned.notes()[0].contains("mirrored entries differ by rounding (up to 8.88"),
            "{:?}",
            cleaned.notes()
        );
        let symmetric = matrix(array![[0.0, 1.0], [1.0, 0.0]]).as_distances().unwrap();
        assert!(symmetric.notes().is_empty(), "{:?}", symmetric.notes());
        // Larger differences are left to the pass that uses the matrix.
        assert!(matrix(array![[0.0, 1.0], [1.1, 0.0]]).as_distances().unwrap().notes().is_empty());
    }

    #[test]
    fn similarities_and_negative_distances_get_their_line() {
        let error = matrix(array![[1.0, 0.2], [0.2, 1.0]]).as_distances().unwrap_err();
        assert!(error.to_string().contains("similarities"), "{error}");
        let wanted = "numpy.save(\"d.distances.npy\", numpy.load(\"d.npy\").max() - numpy.load(\"d.npy\"))";
        assert!(error.tip().unwrap().contains(wanted), "{:?}", error.tip());
        let error = matrix(array![[0.0, -0.2], [0.2, 0.0]]).as_distances().unwrap_err();
        assert!(error.to_string().contains("-0.2 in row 0, column 1"), "{error}");
        assert!(error.tip().unwrap().contains("numpy.clip"), "{:?}", error.tip());
    }
}
