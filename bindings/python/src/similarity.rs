//! How similar two spaces of the same rows are.

use embq_core::data::{Dataset, DatasetOptions, LabelColumn};
use embq_core::similarity::{Space, similarity as compared};
use pyo3::prelude::*;

use crate::errors::exception;
use crate::input::{GivenRows, Loaded, load};
use crate::settings::Measure;
use crate::work::{Manner, run};

/// Compares two spaces; names and numbers in their order.
#[pyfunction]
#[pyo3(signature = (left, right, *, measure, manner))]
pub(crate) fn similarity(
    py: Python<'_>,
    left: GivenRows<'_>,
    right: GivenRows<'_>,
    measure: Measure,
    manner: Manner,
) -> PyResult<Vec<(String, Option<f64>)>> {
    let distance = measure.distance().map_err(|error| exception(&error))?;
    let seed = measure.random_state;
    let (left, right) = (left.rows()?, right.rows()?);
    run(py, &manner, move |watch| {
        let dataset = |rows| {
            let Loaded { embeddings, .. } = load(rows, Vec::new(), None)?;
            // No label bears on the numbers.
            let labels = LabelColumn::from_labels(std::iter::repeat_n(0, embeddings.rows()));
            Dataset::join(embeddings, &labels, distance, &DatasetOptions::default())
        };
        let (left, right) = (dataset(left)?, dataset(right)?);
        let (left_space, right_space) = (Space::of(&left, seed, watch)?, Space::of(&right, seed, watch)?);
        let [forth, _] = compared((&left, &left_space), (&right, &right_space), watch)?;
        Ok(forth.into_iter().collect())
    })
}
