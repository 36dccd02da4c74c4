//! How far one set of rows has moved from another.

use std::sync::Arc;
use std::time::Instant;

use anstream::adapter::strip_str;
use embq::report::{ClassLimit, Format, drift as output, html};
use embq_core::data::{LabelColumn, Origin, RowChoice};
use embq_core::drift::{DriftResult, DriftSet, DriftSettings, drift as compared, joint_projection};
use embq_core::error::{Error, Result};
use embq_core::evaluation::Timing;
use embq_files::input::{self, Statistics};
use ndarray::Array2;
use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::prelude::*;

use crate::errors::{exception, not_a_result};
use crate::input::{GivenLabels, GivenRows, LabelSource, Loaded, Rows, load};
use crate::settings::{Choice, precision};
use crate::work::{Manner, run};

/// A set: rows, or their mean and covariance with a name in errors.
#[derive(FromPyObject)]
pub(crate) enum GivenSet<'py> {
    Rows(GivenRows<'py>),
    Statistics((PyReadonlyArray1<'py, f64>, PyReadonlyArray2<'py, f64>, String)),
}

/// A set, detached from the interpreter.
enum Set {
    Rows(Rows),
    Statistics(Origin, Vec<f64>, Array2<f64>),
}

impl GivenSet<'_> {
    fn set(&self) -> PyResult<Set> {
        Ok(match self {
            GivenSet::Rows(rows) => Set::Rows(rows.rows()?),
            GivenSet::Statistics((mean, covariance, name)) => {
                Set::Statistics(Origin::new(name), mean.as_array().to_vec(), covariance.as_array().to_owned())
            }
        })
    }
}

/// What is computed, and how.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Wanted {
    metrics: Vec<String>,
    neighbours: usize,
    permutations: usize,
    subset: Option<usize>,
    intervals: Option<bool>,
    precision: Option<String>,
    random_state: u64,
}

impl Wanted {
    fn settings(self) -> Result<DriftSettings> {
        Ok(DriftSettings {
            metrics: DriftSettings::parse_metrics(self.metrics.iter().map(|name| name.trim()))?,
            neighbours: self.neighbours,
            permutations: self.permutations,
            subset: self.subset,
            intervals: self.intervals,
            seed: self.random_state,
            precision: precision(self.precision.as_deref())?,
        })
    }
}

/// A result, with what is needed to read the sets again for its page.
#[pyclass(frozen, module = "embq._embq")]
pub(crate) struct Drifted {
    result: DriftResult,
    labels: Option<[Arc<LabelColumn>; 2]>,
    choice: RowChoice,
}

/// Compares two sets, with the labels of both or of neither.
#[pyfunction]
#[pyo3(signature = (reference, current, labels, *, wanted, choice, manner))]
pub(crate) fn drift(
    py: Python<'_>,
    reference: GivenSet<'_>,
    current: GivenSet<'_>,
    labels: Option<(GivenLabels<'_>, GivenLabels<'_>)>,
    wanted: Wanted,
    choice: Choice,
    manner: Manner,
) -> PyResult<Drifted> {
    let settings = wanted.settings().map_err(|error| exception(&error))?;
    let (reference, current) = (reference.set()?, current.set()?);
    let choice = choice.options(settings.seed).choice;
    let [first, second] = match labels {
        Some((first, second)) => [Some(first.source()), Some(second.source())],
        None => [None, None],
    };
    run(py, &manner, move |watch| {
        let started = Instant::now();
        let (reference, first) = read(reference, first, &choice)?;
        let (current, second) = read(current, second, &choice)?;
        let read_seconds = started.elapsed().as_secs_f64();
        let started = Instant::now();
        let mut result = compared(&reference, &current, &settings, watch)?;
        result.timing = Some(Timing { read_seconds, compute_seconds: started.elapsed().as_secs_f64() });
        let labels = first.zip(second).map(|(first, second)| [first, second]);
        Ok(Drifted { result, labels, choice })
    })
}

/// Reads a set, and its labels where there are some.
fn read(
    set: Set,
    labels: Option<LabelSource>,
    choice: &RowChoice,
) -> Result<(DriftSet<'static>, Option<Arc<LabelColumn>>)> {
    let statistics = match &set {
        Set::Rows(Rows::File(path)) => input::statistics(path)?,
        _ => None,
    };
    let rows = match (set, statistics) {
        (Set::Rows(rows), None) => rows,
        (Set::Statistics(origin, mean, covariance), _)
        | (Set::Rows(_), Some(Statistics { origin, mean, covariance })) => {
            return match labels {
                Some(_) => Err(Error::setting(
                    format!("{origin} holds statistics, which have no labels"),
                    "leave out y_reference and y_current",
                )),
                None => Ok((DriftSet::statistics(origin, mean, covariance)?, None)),
            };
        }
    };
    let Loaded { embeddings, labels, .. } = load(rows, labels.into_iter().collect(), None)?;
    Ok(match labels.into_iter().next() {
        Some(labels) => (DriftSet::labelled(embeddings, &labels, choice)?, Some(labels)),
        None => (DriftSet::unlabelled_with(embeddings, choice)?, None),
    })
}

#[pymethods]
impl Drifted {
    /// Reads a result of `embq drift` from JSON.
    #[staticmethod]
    fn read(text: &str) -> PyResult<Self> {
        let result = serde_json::from_str(text).map_err(|error| not_a_result(&error.to_string()))?;
        Ok(Drifted { result, labels: None, choice: RowChoice::default() })
    }

    fn json(&self) -> PyResult<String> {
        self.render(Format::Json, ClassLimit::All)
    }

    /// The table of the terminal, without colours.
    fn table(&self, classes: Option<usize>) -> PyResult<String> {
        let limit = classes.map_or(ClassLimit::All, ClassLimit::Worst);
        Ok(strip_str(&self.render(Format::Table, limit)?).to_string())
    }

    /// The HTML page; given both sets, it includes their rows in two dimensions.
    fn page(&self, py: Python<'_>, sets: Option<(GivenSet<'_>, GivenSet<'_>)>, manner: Manner) -> PyResult<String> {
        let Some((reference, current)) = sets else { return Ok(html::render_drift(&self.result, None, None)) };
        let (reference, current) = (reference.set()?, current.set()?);
        let (result, choice) = (self.result.clone(), self.choice.clone());
        let [first, second] = match &self.labels {
            Some(labels) => labels.clone().map(|column| Some(LabelSource::Column(column))),
            None => [None, None],
        };
        run(py, &manner, move |watch| {
            let (reference, _) = read(reference, first, &choice)?;
            let (current, _) = read(current, second, &choice)?;
            let projection = joint_projection(&reference, &current, result.settings.seed, watch)?;
            Ok(html::render_drift(&result, projection.as_ref(), None))
        })
    }
}

impl Drifted {
    fn render(&self, format: Format, classes: ClassLimit) -> PyResult<String> {
        output::render(&self.result, format, classes).map_err(|error| exception(&error))
    }
}
