//! Matrices of distances as programs compute them: with rounding below 0, and what is mistaken for them.

use std::ops::Range;

use crate::data::{Element, EmbeddingRows, RowBlocks};
use crate::distance::Distance;
use crate::error::{Cure, Error, Result};

/// Rounding may leave entries this many units below 0, in units of rounding of the largest entry.
const TOLERANCE: f64 = 100.0;

/// Rows that are looked at at a time.
const BLOCK_ROWS: usize = 64;

/// Distances whose negative entries are read as 0.
struct Clamped<'a>(EmbeddingRows<'a>);

impl Clamped<'_> {
    fn read<T: Element>(&self, rows: Range<usize>, out: &mut [T]) -> Result<()> {
        T::read(self.0.blocks(), rows, out)?;
        let zero = T::default();
        for value in out.iter_mut().filter(|value| **value < zero) {
            *value = zero;
        }
        Ok(())
    }
}

impl RowBlocks for Clamped<'_> {
    fn read_f32(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        self.read(rows, out)
    }

    fn read_f64(&self, rows: Range<usize>, out: &mut [f64]) -> Result<()> {
        self.read(rows, out)
    }

    fn is_random_access(&self) -> bool {
        self.0.blocks().is_random_access()
    }

    fn announce(&self, rows: Range<usize>) {
        self.0.blocks().announce(rows);
    }

    fn place_of(&self, row: usize) -> Option<(String, usize)> {
        Some(self.0.place_of(row))
    }
}

/// What a pass over a matrix finds.
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
    /// The same as what `distance` is taken of: [`as_distances`](Self::as_distances) where the rows are distances.
    ///
    /// # Errors
    /// As there.
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

    /// The same for use as a matrix of distances: what rounding left below 0 is read as 0, with a note. The rest is
    /// checked by who computes with it.
    ///
    /// # Errors
    /// A matrix of similarities, and entries that are further below 0 than rounding leaves them, with the line of NumPy
    /// that makes distances of them. What reading rows reports.
    pub fn as_distances(self) -> Result<Self> {
        if self.rows() != self.dimensions() {
            return Ok(self);
        }
        let found = self.extremes()?;
        let epsilon = match self.element_type().size() {
            2 => f64::from(half::f16::EPSILON.to_f32()),
            4 => f64::from(f32::EPSILON),
            _ => f64::EPSILON,
        };
        let tolerance = TOLERANCE * epsilon * found.largest;
        let refuse = |problem: String, line: &str| {
            let cure = self.line(line).map_or(Cure::GiveDistanceMatrix, Cure::Advice);
            Err(Error::NotADistanceMatrix { name: self.origin().to_string(), problem, cure })
        };
        if let Some((low, high)) = found.diagonal
            && low > 0.0
            && low >= found.largest - tolerance.max(1e-3 * found.largest)
        {
            return refuse(
                format!("its diagonal holds its largest values ({low} to {high}), as that of similarities does"),
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
        if found.negative == 0 {
            return Ok(self);
        }
        let note = format!(
            "{}: {} entries are below 0 by rounding (down to {:e}) and taken as 0",
            self.origin(),
            found.negative,
            found.least
        );
        let (origin, rows, element_type) = (self.origin().clone(), self.rows(), self.element_type());
        let (columns, chosen) = (self.columns().to_vec(), self.chosen());
        let notes = self.notes().iter().cloned().chain([note]).collect();
        let dimensions = self.dimensions();
        Ok(EmbeddingRows::new(origin, rows, dimensions, element_type, Clamped(self))
            .with_columns(columns)
            .with_choice(chosen, notes))
    }

    /// A line of NumPy over the matrix, for a file of one array or of several.
    fn line(&self, expression: &str) -> Option<String> {
        let origin = self.origin();
        let stem = origin.path.strip_suffix(".npy").or_else(|| origin.path.strip_suffix(".npz"))?;
        let key = origin.selector.as_ref().map(|key| format!("[{key:?}]")).unwrap_or_default();
        let load = format!("numpy.load({:?}){key}", origin.path);
        let expression = expression.replace("MAXIMUM", &format!("{load}.max()")).replace("MATRIX", &load);
        Some(format!("make distances of it: numpy.save({:?}, {expression})", format!("{stem}.distances.npy")))
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
