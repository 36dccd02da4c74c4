//! The silhouette loss and its gradient.

use embq_core::data::{Dataset, ElementType, Precision};
use embq_core::distance::Distance;
use embq_core::error::{Error, Result};
use embq_core::objective::{LossName, ObjectiveSettings, differentiate_f32, differentiate_f64};
use ndarray::Array2;
use numpy::IntoPyArray;
use pyo3::prelude::*;

use crate::errors::exception;
use crate::input::{GivenLabels, GivenRows, Loaded, load};
use crate::settings::{Choice, Measure};
use crate::work::{Manner, run};

enum Gradient {
    Single(Array2<f32>),
    Double(Array2<f64>),
}

/// The loss 1 - the mean soft silhouette, and its gradient with respect to the rows.
#[pyfunction]
#[pyo3(signature = (rows, labels, *, measure, choice, manner))]
pub(crate) fn silhouette_loss<'py>(
    py: Python<'py>,
    rows: GivenRows<'py>,
    labels: GivenLabels<'py>,
    measure: Measure,
    choice: Choice,
    manner: Manner,
) -> PyResult<(f64, Bound<'py, PyAny>)> {
    let settings = settings(&measure).map_err(|error| exception(&error))?;
    let precision = measure.precision().map_err(|error| exception(&error))?;
    let rows = rows.rows()?;
    let columns = vec![labels.source()];
    let options = choice.options(measure.random_state);
    let (loss, gradient) = run(py, &manner, move |watch| {
        let Loaded { embeddings, labels, .. } = load(rows, columns, None)?;
        let column = labels.first().ok_or_else(|| Error::setting("there are no labels", "give one label per row"))?;
        let usual = |element_type: ElementType| element_type.precision();
        let precision = precision.unwrap_or(usual(embeddings.element_type()));
        let dataset = Dataset::join(embeddings, column, settings.distance, &options)?;
        match precision {
            Precision::F32 => {
                let found = differentiate_f32(&dataset, &settings, None, watch)?;
                Ok((found.result.loss, Gradient::Single(found.gradient)))
            }
            Precision::F64 => {
                let found = differentiate_f64(&dataset, &settings, None, watch)?;
                Ok((found.result.loss, Gradient::Double(found.gradient)))
            }
        }
    })?;
    let gradient = match gradient {
        Gradient::Single(gradient) => gradient.into_pyarray(py).into_any(),
        Gradient::Double(gradient) => gradient.into_pyarray(py).into_any(),
    };
    Ok((loss, gradient))
}

fn settings(measure: &Measure) -> Result<ObjectiveSettings> {
    let distance = measure.distance()?;
    if matches!(distance, Distance::Manhattan | Distance::Hamming | Distance::Precomputed) {
        return Err(Error::setting(
            format!("the silhouette loss has no gradient for {distance} distance"),
            "cosine, sqeuclidean and euclidean have one",
        ));
    }
    Ok(ObjectiveSettings {
        mix: vec![(LossName::Silhouette, 1.0)],
        distance,
        temperature: measure.temperature()?,
        softmin: measure.softmin()?,
        softmax: measure.softmax()?,
        supcon_temperature: 0.1,
        batch_size: None,
        seed: measure.random_state,
    })
}
