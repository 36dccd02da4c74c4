//! Rows of one set that are also rows of another.

use std::collections::HashMap;

use crate::data::{Dataset, SelectedRows};
use crate::error::Result;

/// For each selected row of `queries`, the row of `gallery` with the same numbers. If there are several, each query
/// gets a different one as long as there are enough.
///
/// # Errors
/// Errors from reading rows.
pub fn identical_rows(queries: &Dataset, gallery: &Dataset) -> Result<Vec<Option<usize>>> {
    if queries.dimensions() != gallery.dimensions() {
        return Ok(vec![None; queries.len()]);
    }
    let mut places: HashMap<[u8; 32], Vec<usize>> = HashMap::new();
    for_each_hash(gallery.selected(), |row, hash| places.entry(hash).or_default().push(row))?;
    // The first of equal rows is assigned first.
    places.values_mut().for_each(|rows| rows.reverse());
    let mut found = vec![None; queries.len()];
    for_each_hash(queries.selected(), |row, hash| {
        if let Some(rows) = places.get_mut(&hash) {
            found[row] = if rows.len() > 1 { rows.pop() } else { rows.first().copied() };
        }
    })?;
    Ok(found)
}

fn for_each_hash(rows: &SelectedRows<'_>, mut each: impl FnMut(usize, [u8; 32])) -> Result<()> {
    let d = rows.dimensions();
    let mut buffer = Vec::new();
    let mut bytes = Vec::with_capacity(d * 8);
    rows.for_each_window::<f64>(|window| {
        let start = window.range().start;
        let block = window.rows(window.range(), &mut buffer)?;
        for (position, row) in block.chunks_exact(d.max(1)).enumerate() {
            bytes.clear();
            // Negative zero equals positive zero.
            row.iter().for_each(|value| bytes.extend_from_slice(&(value + 0.0).to_le_bytes()));
            each(start + position, *blake3::hash(&bytes).as_bytes());
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::data::{DatasetOptions, Embeddings, LabelColumnBuilder, LabelType, Origin};
    use crate::distance::Distance;

    fn dataset(rows: ndarray::Array2<f64>) -> Dataset<'static> {
        let mut labels = LabelColumnBuilder::new(LabelType::Integer);
        (0..rows.nrows()).for_each(|row| labels.push_integer(row as i128 % 2));
        let embeddings = Embeddings::from_f64(Origin::new("e"), rows);
        let labels = labels.finish(Origin::new("l"));
        Dataset::join(embeddings, &labels, Distance::Euclidean, &DatasetOptions::default()).unwrap()
    }

    #[test]
    fn each_row_finds_one_of_its_own() {
        let gallery = dataset(array![[1.0, 2.0], [3.0, 4.0], [1.0, 2.0], [0.0, 5.0]]);
        let queries = dataset(array![[1.0, 2.0], [9.0, 9.0], [1.0, 2.0], [-0.0, 5.0]]);
        assert_eq!(identical_rows(&queries, &gallery).unwrap(), [Some(0), None, Some(2), Some(3)]);
        let wide = dataset(array![[1.0, 2.0, 3.0], [1.0, 2.0, 4.0]]);
        assert_eq!(identical_rows(&wide, &gallery).unwrap(), [None, None]);
    }
}
