//! Several files that form one matrix.

use std::ops::Range;
use std::sync::Arc;

use crate::data::{Element, ElementType, Embeddings, Origin, Precision, RowBlocks, RowFaults};
use crate::error::{Error, Result};

/// Matrices whose rows are concatenated.
struct Shards {
    parts: Vec<Embeddings>,
    /// The first row of each part, followed by the total number of rows.
    starts: Vec<usize>,
    dimensions: usize,
}

impl Shards {
    /// The part that contains a row.
    fn part_of(&self, row: usize) -> usize {
        self.starts.partition_point(|&start| start <= row).saturating_sub(1).min(self.parts.len() - 1)
    }

    /// Calls `with` for each part that contains some of the rows, with the row range in the part and its position in
    /// the requested rows.
    fn for_each_part(
        &self,
        rows: Range<usize>,
        mut with: impl FnMut(&Embeddings, Range<usize>, Range<usize>) -> Result<()>,
    ) -> Result<()> {
        let mut start = rows.start;
        while start < rows.end {
            let part = self.part_of(start);
            let end = rows.end.min(self.starts[part + 1]);
            let first = self.starts[part];
            with(&self.parts[part], start - first..end - first, start - rows.start..end - rows.start)?;
            start = end;
        }
        Ok(())
    }

    fn read<T: Element>(&self, rows: Range<usize>, out: &mut [T]) -> Result<()> {
        let d = self.dimensions;
        self.for_each_part(rows, |part, rows, place| {
            T::read(part.blocks(), rows, &mut out[place.start * d..place.end * d])
        })
    }
}

impl RowBlocks for Shards {
    fn read_f32(&self, rows: Range<usize>, out: &mut [f32]) -> Result<()> {
        self.read(rows, out)
    }

    fn read_f64(&self, rows: Range<usize>, out: &mut [f64]) -> Result<()> {
        self.read(rows, out)
    }

    fn is_random_access(&self) -> bool {
        self.parts.iter().all(|part| part.blocks().is_random_access())
    }

    fn announce(&self, rows: Range<usize>) {
        // Announcing cannot fail.
        let _ = self.for_each_part(rows, |part, rows, _| {
            part.blocks().announce(rows);
            Ok(())
        });
    }

    fn place_of(&self, row: usize) -> Option<(String, usize)> {
        let part = self.part_of(row);
        Some(self.parts[part].place_of(row - self.starts[part]))
    }
}

impl Embeddings {
    /// Concatenates the rows of several matrices. A single matrix is returned unchanged.
    ///
    /// # Errors
    /// Dimensions that differ, or no matrix at all.
    pub fn of_shards(origin: Origin, mut parts: Vec<Embeddings>) -> Result<Self> {
        if parts.len() == 1
            && let Some(only) = parts.pop()
        {
            return Ok(only);
        }
        let Some(first) = parts.first() else {
            return Err(Error::Malformed { name: origin.to_string(), problem: "there is no file".into(), tip: None });
        };
        let dimensions = first.dimensions();
        let columns = first.columns().to_vec();
        let chosen = first.chosen();
        // Shards have the same columns, so the notes on the choice are the same for all of them.
        let notes = first.notes().to_vec();
        if let Some(other) = parts.iter().find(|part| part.dimensions() != dimensions) {
            return Err(Error::Malformed {
                name: other.origin().to_string(),
                problem: format!(
                    "it has {} dimensions, {} has {dimensions}: shards of one input have the same",
                    other.dimensions(),
                    first.origin()
                ),
                tip: Some("name the files that belong together, or select the columns".to_owned()),
            });
        }
        let element_type = common_type(parts.iter().map(Embeddings::element_type), first.element_type());
        let mut starts = vec![0];
        let mut rows = 0;
        for part in &parts {
            rows += part.rows();
            starts.push(rows);
        }
        let faults = starts.iter().zip(&parts).map(|(&start, part)| (start, Arc::clone(part.faults()))).collect();
        let shards = Shards { parts, starts, dimensions };
        Ok(Embeddings::new(origin, rows, dimensions, element_type, shards)
            .with_columns(columns)
            .with_choice(chosen, notes)
            .with_faults(Arc::new(RowFaults::of_parts(faults))))
    }
}

/// The common type of all shards, or else one that represents all their values.
fn common_type(types: impl Iterator<Item = ElementType> + Clone, first: ElementType) -> ElementType {
    if types.clone().all(|other| other == first) {
        first
    } else if types.clone().all(|other| other.precision() == Precision::F32) {
        ElementType::F32
    } else {
        ElementType::F64
    }
}

#[cfg(test)]
mod tests {
    use ndarray::{Array2, array};

    use super::*;

    fn part(name: &str, values: Array2<f32>) -> Embeddings {
        Embeddings::from_f32(Origin::new(name), values)
    }

    fn shards() -> Embeddings {
        let parts = vec![
            part("a", array![[0.0, 1.0], [2.0, 3.0]]),
            part("b", array![[4.0, 5.0]]),
            part("c", array![[6.0, 7.0], [8.0, 9.0]]),
        ];
        Embeddings::of_shards(Origin::new("*"), parts).unwrap()
    }

    #[test]
    fn rows_are_read_across_shards() {
        let shards = shards();
        assert_eq!((shards.rows(), shards.dimensions()), (5, 2));
        let mut out = [0.0; 6];
        shards.blocks().read_f32(1..4, &mut out).unwrap();
        assert_eq!(out, [2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
    }

    #[test]
    fn a_row_has_a_place_in_its_own_file() {
        let shards = shards();
        assert_eq!(shards.place_of(1), ("a".to_owned(), 1));
        assert_eq!(shards.place_of(2), ("b".to_owned(), 0));
        assert_eq!(shards.place_of(4), ("c".to_owned(), 1));
    }

    #[test]
    fn shards_have_the_same_dimensions_and_a_type_that_holds_all() {
        let wide = part("wide", array![[1.0, 2.0, 3.0]]);
        let error = Embeddings::of_shards(Origin::new("*"), vec![part("a", array![[1.0]]), wide]).err().unwrap();
        assert!(error.to_string().contains("wide: it has 3 dimensions, a has 1"), "{error}");
        let double = Embeddings::from_f64(Origin::new("b"), array![[0.1]]);
        let mixed = Embeddings::of_shards(Origin::new("*"), vec![part("a", array![[1.0]]), double]).unwrap();
        assert_eq!(mixed.element_type(), ElementType::F64);
        let mut out = [0.0; 2];
        mixed.blocks().read_f64(0..2, &mut out).unwrap();
        assert_eq!(out, [1.0, 0.1]);
    }
}
