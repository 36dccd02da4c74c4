//! Evaluates one input.

use std::sync::Arc;
use std::time::Instant;

use anstream::adapter::strip_str;
use embq::report::{ClassLimit, Format, View, html, json};
use embq_core::data::{Dataset, DatasetOptions, Embeddings, Label, LabelColumn, RowNames, identical_rows};
use embq_core::detail::{Detail, MATRIX_CLASSES, detail};
use embq_core::distance::Distance;
use embq_core::error::{Error, Result};
use embq_core::evaluation::{Evaluation, RowScores, Scored, Settings, Timing, evaluate_with, evaluate_within};
use embq_core::metrics::Auxiliary;
use embq_files::output::rows::INFLUENCE;
use ndarray::Array2;
use numpy::{IntoPyArray, PyArray1, PyArray2, PyReadonlyArray1};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyString};

use crate::errors::{exception, input_error};
use crate::input::{GivenLabels, GivenRows, GivenWeights, LabelSource, Loaded, Rows, Weights, load};
use crate::settings::{Choice, Given, Measure, Wanted};
use crate::work::{Manner, run};

/// A result with the scores of its rows.
#[pyclass(frozen, module = "embq._embq")]
pub(crate) struct Evaluated {
    pub(crate) evaluation: Evaluation,
    /// `None` for a result that was read from JSON.
    pub(crate) rows: Option<ScoredRows>,
    matrix: Option<Array2<Option<f64>>>,
    /// The label of each class, in order.
    names: Vec<Label>,
    /// The labels, if there are any, and options of the rows, needed to draw the page.
    given: Option<(Option<Arc<LabelColumn>>, DatasetOptions)>,
}

pub(crate) struct ScoredRows {
    pub(crate) scores: RowScores,
    /// The class of each scored row, as an index into the classes of the evaluation.
    pub(crate) classes: Vec<u32>,
    /// The number of each scored row in the embeddings; `None` if all rows are scored.
    numbers: Option<Vec<usize>>,
}

impl ScoredRows {
    pub(crate) fn new(dataset: &Dataset, scores: RowScores) -> Option<Self> {
        if scores.silhouette.is_empty() {
            return None;
        }
        let scored = dataset.scored();
        let classes = dataset.scored_members().map(|(code, _)| code).collect();
        let all = scored.len() == dataset.embeddings().rows();
        let numbers = || scored.positions().map(|position| dataset.source_row(position)).collect();
        Some(ScoredRows { scores, classes, numbers: (!all).then(numbers) })
    }

    /// The columns, by name; classes as codes.
    pub(crate) fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let columns = PyDict::new(py);
        let ScoredRows { scores, classes, numbers } = self;
        let numbers: Vec<i64> = match numbers {
            Some(numbers) => numbers.iter().map(|&row| row as i64).collect(),
            None => (0..classes.len() as i64).collect(),
        };
        columns.set_item("row", numbers.into_pyarray(py))?;
        columns.set_item("label", PyArray1::from_slice(py, classes))?;
        let a: Vec<f64> = scores.a.iter().map(|a| a.unwrap_or(f64::NAN)).collect();
        columns.set_item("a", a.into_pyarray(py))?;
        columns.set_item("b", PyArray1::from_slice(py, &scores.b))?;
        columns.set_item("silhouette", PyArray1::from_slice(py, &scores.silhouette))?;
        columns.set_item("soft_silhouette", PyArray1::from_slice(py, &scores.soft_silhouette))?;
        columns.set_item("nearest_other", PyArray1::from_slice(py, &scores.nearest_other))?;
        if let Some(influence) = &scores.influence {
            for column in &INFLUENCE {
                columns.set_item(column.name, PyArray1::from_slice(py, column.values(influence)))?;
            }
        }
        Ok(columns)
    }
}

impl Evaluated {
    /// A result that merged states have, which do not hold the scores of rows.
    pub(crate) fn without_rows(scored: Scored, names: Vec<Label>) -> Self {
        Evaluated { evaluation: scored.evaluation, rows: None, matrix: scored.matrix, names, given: None }
    }

    /// The details that need no embeddings. `none` stands in for missing scores.
    fn detail<'a>(&'a self, none: &'a RowScores) -> Detail<'a> {
        let rows = self.rows.as_ref();
        Detail {
            evaluation: &self.evaluation,
            scores: rows.map_or(none, |rows| &rows.scores),
            classes: rows.map(|rows| rows.classes.clone()).unwrap_or_default(),
            numbers: Vec::new(),
            names: RowNames::default(),
            map: None,
            confused: Vec::new(),
            projection: None,
            spectrum: None,
            suspects: Vec::new(),
            pair_curves: None,
            is_sample: false,
        }
    }
}

/// Scores embeddings.
#[pyfunction]
#[pyo3(signature = (rows, labels, *, measure, wanted, choice, weights, batch, clusters, gallery, exclude_identical, manner))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn score(
    py: Python<'_>,
    rows: GivenRows<'_>,
    labels: Option<GivenLabels<'_>>,
    measure: Measure,
    wanted: Wanted,
    choice: Choice,
    weights: Option<GivenWeights<'_>>,
    batch: Option<GivenLabels<'_>>,
    clusters: Option<GivenLabels<'_>>,
    gallery: Option<(GivenRows<'_>, GivenLabels<'_>)>,
    exclude_identical: bool,
    manner: Manner,
) -> PyResult<Evaluated> {
    let given = Given {
        labels: labels.is_some(),
        batch: batch.is_some(),
        clusters: clusters.is_some(),
        gallery: gallery.is_some(),
    };
    let settings = measure.settings(&wanted, given).map_err(|error| exception(&error))?;
    let input = Input {
        rows: rows.rows()?,
        labels: labels.map(|labels| labels.source()),
        weights: weights.map(|weights| weights.weights()),
        batch: batch.map(|batch| batch.source()),
        clusters: clusters.map(|clusters| clusters.source()),
        gallery: match &gallery {
            Some((rows, labels)) => Some((rows.rows()?, labels.source())),
            None => None,
        },
        exclude_identical,
        choice,
    };
    let within = wanted.within;
    run(py, &manner, move |watch| input.evaluate(&settings, within, watch))
}

/// The inputs of an evaluation, detached from the interpreter.
struct Input {
    rows: Rows,
    labels: Option<LabelSource>,
    weights: Option<Weights>,
    batch: Option<LabelSource>,
    clusters: Option<LabelSource>,
    gallery: Option<(Rows, LabelSource)>,
    exclude_identical: bool,
    choice: Choice,
}

impl Input {
    fn evaluate(
        self,
        settings: &Settings,
        within: Option<f64>,
        progress: &dyn embq_core::progress::Progress,
    ) -> Result<Evaluated> {
        let started = Instant::now();
        let (has_batch, has_clusters) = (self.batch.is_some(), self.clusters.is_some());
        let columns = self.labels.into_iter().chain(self.batch).chain(self.clusters).collect();
        let Loaded { embeddings, labels: mut columns, weights } = load(self.rows, columns, self.weights)?;
        let clusters = if has_clusters { columns.pop() } else { None };
        let batch = if has_batch { columns.pop() } else { None };
        let column = columns.pop();
        let gallery = match self.gallery {
            Some((rows, labels)) => {
                let Loaded { embeddings, labels, .. } = load(rows, vec![labels], None)?;
                let options = self.choice.of_gallery();
                let column = labels.first().ok_or_else(|| Error::setting("the gallery has no labels", "give them"))?;
                Some(Dataset::join(embeddings, column, settings.distance, &options)?)
            }
            None => None,
        };
        let options = DatasetOptions { weights, ..self.choice.options(settings.seed) };
        let dataset = joined(embeddings, column.as_deref(), settings.distance, &options)?;
        let read_seconds = started.elapsed().as_secs_f64();

        let started = Instant::now();
        let identical =
            gallery.as_ref().map(|gallery| identical_rows(&dataset, gallery)).transpose()?.unwrap_or_default();
        let own_rows: &[Option<usize>] = if self.exclude_identical { &identical } else { &[] };
        let auxiliary = Auxiliary {
            gallery: gallery.as_ref(),
            own_rows,
            batches: batch.as_deref(),
            clusters: clusters.as_deref(),
            pairs: None,
        };
        let (dataset, scored) = match within {
            Some(half_width) => evaluate_within(&dataset, auxiliary, settings, half_width, progress)?,
            None => {
                let scored = evaluate_with(&dataset, auxiliary, settings, progress)?;
                (dataset, scored)
            }
        };
        let Scored { mut evaluation, rows, matrix, .. } = scored;
        let found = identical.iter().flatten().count();
        if found > 0 && !self.exclude_identical {
            evaluation.warnings.push(format!(
                "{found} of {} queries are also rows of the gallery and can find themselves; exclude_identical=True \
                 leaves each query's own row out",
                identical.len()
            ));
        }
        evaluation.timing = Some(Timing { read_seconds, compute_seconds: started.elapsed().as_secs_f64() });
        Ok(Evaluated {
            evaluation,
            rows: ScoredRows::new(&dataset, rows),
            matrix,
            names: if dataset.has_labels() { dataset.labels().names().to_vec() } else { Vec::new() },
            given: Some((column, options)),
        })
    }
}

/// Rows with their labels, if they have any.
fn joined(
    embeddings: Embeddings,
    column: Option<&LabelColumn>,
    distance: Distance,
    options: &DatasetOptions,
) -> Result<Dataset<'static>> {
    let embeddings = embeddings.for_distance(distance)?;
    match column {
        Some(column) => Dataset::join(embeddings, column, distance, options),
        None => Dataset::without_labels(embeddings, distance, options),
    }
}

#[pymethods]
impl Evaluated {
    /// Reads a result of `embq score` from JSON.
    #[staticmethod]
    fn read(text: &str) -> PyResult<Self> {
        let evaluation: Evaluation =
            serde_json::from_str(text).map_err(|error| crate::errors::not_a_result(&error.to_string()))?;
        let names = evaluation.classes.iter().map(|class| Label::Text(class.label.clone())).collect();
        Ok(Evaluated { evaluation, rows: None, matrix: None, names, given: None })
    }

    fn json(&self) -> PyResult<String> {
        json::render(std::slice::from_ref(&self.evaluation)).map_err(|error| exception(&error))
    }

    /// The table of the terminal, without colours; `classes` of `None` shows all.
    fn table(&self, classes: Option<usize>) -> PyResult<String> {
        let limit = classes.map_or(ClassLimit::All, ClassLimit::Worst);
        let view = View { classes: limit, order: None };
        let text = Format::Table.render(std::slice::from_ref(&self.evaluation), &view);
        Ok(strip_str(&text.map_err(|error| exception(&error))?).to_string())
    }

    /// The output of a notebook cell: headline, silhouette plot and classes.
    fn fragment(&self) -> String {
        let none = RowScores::default();
        html::fragment(&self.detail(&none))
    }

    /// The HTML page; given the embeddings, it includes the plots that need them.
    fn page(&self, py: Python<'_>, rows: Option<GivenRows<'_>>, manner: Manner) -> PyResult<String> {
        let none = RowScores::default();
        let (Some(rows), Some((column, options))) = (rows, &self.given) else {
            return Ok(html::render(&self.detail(&none), None));
        };
        let scores = match &self.rows {
            Some(rows) => rows.scores.clone(),
            // Without labels, rows have no scores.
            None if self.evaluation.labels.is_none() => RowScores::default(),
            None => return Err(input_error("this result has no rows to draw", Some("leave X out, or score again"))),
        };
        let rows = rows.rows()?;
        let (evaluation, matrix) = (self.evaluation.clone(), self.matrix.clone());
        let (column, options) = (column.clone(), options.clone());
        run(py, &manner, move |watch| {
            let Loaded { embeddings, .. } = load(rows, Vec::new(), None)?;
            let distance = evaluation.settings.distance;
            let dataset = joined(embeddings, column.as_deref(), distance, &options)?;
            let matrix = matrix.filter(|matrix| matrix.nrows() <= MATRIX_CLASSES);
            let detail = detail(&dataset, &evaluation, &scores, matrix.as_ref(), RowNames::default(), watch)?;
            Ok(html::render(&detail, None))
        })
    }

    /// The label of each class, in order.
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.names.iter().map(|name| as_object(py, name)).collect()
    }

    /// Whether the result has rows.
    fn has_rows(&self) -> bool {
        self.rows.is_some()
    }

    /// The columns of the rows, by name; classes as codes.
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        match &self.rows {
            Some(rows) => rows.columns(py),
            None => Ok(PyDict::new(py)),
        }
    }

    /// The silhouette of every row.
    fn silhouettes<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray1<f64>>> {
        self.rows.as_ref().map(|rows| PyArray1::from_slice(py, &rows.scores.silhouette))
    }

    /// Mean distances between classes, NaN where undefined.
    fn matrix<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyArray2<f64>>> {
        let matrix = self.matrix.as_ref()?;
        Some(matrix.map(|value| value.unwrap_or(f64::NAN)).into_pyarray(py))
    }

    /// The same result with rows that were stored separately.
    #[staticmethod]
    #[pyo3(signature = (text, labels, row, label, a, b, silhouette, soft_silhouette, nearest_other))]
    #[allow(clippy::too_many_arguments)]
    fn restore(
        text: &str,
        labels: PyRef<'_, crate::labels::Labels>,
        row: PyReadonlyArray1<'_, i64>,
        label: PyReadonlyArray1<'_, u32>,
        a: PyReadonlyArray1<'_, f64>,
        b: PyReadonlyArray1<'_, f64>,
        silhouette: PyReadonlyArray1<'_, f64>,
        soft_silhouette: PyReadonlyArray1<'_, f64>,
        nearest_other: PyReadonlyArray1<'_, u32>,
    ) -> PyResult<Self> {
        let restored = Evaluated::read(text)?;
        let scores = RowScores {
            a: a.as_array().iter().map(|&a| (!a.is_nan()).then_some(a)).collect(),
            b: b.as_array().to_vec(),
            silhouette: silhouette.as_array().to_vec(),
            soft_silhouette: soft_silhouette.as_array().to_vec(),
            nearest_other: nearest_other.as_array().to_vec(),
            influence: None,
        };
        let rows = ScoredRows {
            scores,
            classes: label.as_array().to_vec(),
            numbers: Some(row.as_array().iter().map(|&row| row as usize).collect()),
        };
        Ok(Evaluated { rows: Some(rows), names: labels.0.dictionary().to_vec(), ..restored })
    }
}

/// A label as a Python object.
pub(crate) fn as_object<'py>(py: Python<'py>, label: &Label) -> PyResult<Bound<'py, PyAny>> {
    Ok(match label {
        Label::Integer(value) => match i64::try_from(*value) {
            Ok(value) => PyInt::new(py, value).into_any(),
            Err(_) => py.get_type::<PyInt>().call1((value.to_string(),))?,
        },
        Label::Text(value) => PyString::new(py, value).into_any(),
        Label::Boolean(value) => PyBool::new(py, *value).to_owned().into_any(),
    })
}
