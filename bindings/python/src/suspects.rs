//! Rows that are likely mislabelled.

use std::time::Instant;

use anstream::adapter::strip_str;
use embq::report::{ClassLimit, Format, suspects as output};
use embq_core::data::{Dataset, RowNames};
use embq_core::error::Error;
use embq_core::evaluation::Timing;
use embq_core::suspects::{SuspectList, find_suspects};
use pyo3::prelude::*;

use crate::errors::{exception, not_a_result};
use crate::input::{GivenLabels, GivenRows, Loaded, load};
use crate::settings::{Choice, Measure};
use crate::work::{Manner, run};

/// The rows that are likely mislabelled.
#[pyclass(frozen, module = "embq._embq")]
pub(crate) struct Suspected(SuspectList);

/// Finds the rows that are likely mislabelled.
#[pyfunction]
#[pyo3(signature = (rows, labels, *, measure, choice, neighbours, ids, text, manner))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn suspects(
    py: Python<'_>,
    rows: GivenRows<'_>,
    labels: GivenLabels<'_>,
    measure: Measure,
    choice: Choice,
    neighbours: usize,
    ids: Option<GivenLabels<'_>>,
    text: Option<GivenLabels<'_>>,
    manner: Manner,
) -> PyResult<Suspected> {
    let prepared = measure.distance().and_then(|distance| Ok((distance, measure.precision()?)));
    let (distance, precision) = prepared.map_err(|error| exception(&error))?;
    let options = choice.options(measure.random_state);
    let rows = rows.rows()?;
    let (has_ids, has_text) = (ids.is_some(), text.is_some());
    let columns = std::iter::once(labels).chain(ids).chain(text).map(|labels| labels.source()).collect();
    run(py, &manner, move |watch| {
        let started = Instant::now();
        let Loaded { embeddings, labels: mut columns, .. } = load(rows, columns, None)?;
        let mut taken = |given: bool| if given { columns.pop() } else { None };
        let texts = taken(has_text).map(|column| (*column).clone());
        let ids = taken(has_ids).map(|column| (*column).clone());
        let column = taken(true).ok_or_else(|| Error::setting("there are no labels", "give one label per row"))?;
        for names in [&ids, &texts].into_iter().flatten() {
            if names.len() != column.len() {
                return Err(Error::RowCounts {
                    left: column.origin().to_string(),
                    left_rows: column.len(),
                    right: names.origin().to_string(),
                    right_rows: names.len(),
                    what: "name",
                });
            }
        }
        let dataset = Dataset::join(embeddings.for_distance(distance)?, &column, distance, &options)?;
        let read_seconds = started.elapsed().as_secs_f64();
        let started = Instant::now();
        let mut list = find_suspects(&dataset, precision, neighbours, &RowNames { ids, texts }, watch)?;
        list.timing = Some(Timing { read_seconds, compute_seconds: started.elapsed().as_secs_f64() });
        Ok(Suspected(list))
    })
}

#[pymethods]
impl Suspected {
    /// Reads a result of `embq suspects` from JSON.
    #[staticmethod]
    fn read(text: &str) -> PyResult<Self> {
        serde_json::from_str(text).map(Suspected).map_err(|error| not_a_result(&error.to_string()))
    }

    fn json(&self) -> PyResult<String> {
        output::render(&self.0, Format::Json, ClassLimit::All).map_err(|error| exception(&error))
    }

    /// The table of the terminal, without colours.
    fn table(&self, rows: Option<usize>) -> PyResult<String> {
        let limit = rows.map_or(ClassLimit::All, ClassLimit::Worst);
        let text = output::render(&self.0, Format::Table, limit).map_err(|error| exception(&error))?;
        Ok(strip_str(&text).to_string())
    }
}
