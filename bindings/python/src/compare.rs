//! Compares candidates with a baseline.

use std::sync::Arc;
use std::time::Instant;

use anstream::adapter::strip_str;
use embq::report::{ClassLimit, Format, comparison, html};
use embq_core::comparison::{Checkpoint, Comparison, Measured, difference, mismatches};
use embq_core::data::{Dataset, DatasetOptions, LabelColumn};
use embq_core::detail;
use embq_core::error::{Error, Result};
use embq_core::evaluation::{Settings, Temperature, Timing, evaluate};
use embq_core::progress::Progress;
use embq_core::similarity::Similarities;
use pyo3::prelude::*;

use crate::errors::{exception, not_a_result};
use crate::input::{GivenLabels, GivenRows, GivenWeights, LabelSource, Loaded, Rows, Weights, load};
use crate::score::ScoredRows;
use crate::settings::{Choice, Given, Measure, Wanted};
use crate::work::{Manner, run};

/// A comparison with the row scores of each checkpoint.
#[pyclass(frozen, module = "embq._embq")]
pub(crate) struct Compared {
    comparison: Comparison,
    rows: Vec<Option<ScoredRows>>,
}

/// Compares embeddings of the same rows.
#[pyfunction]
#[pyo3(signature = (checkpoints, names, labels, *, measure, wanted, choice, weights, allow_mismatch, similarity, manner))]
#[allow(clippy::too_many_arguments)]
pub(crate) fn compare(
    py: Python<'_>,
    checkpoints: Vec<GivenRows<'_>>,
    names: Vec<String>,
    labels: GivenLabels<'_>,
    measure: Measure,
    wanted: Wanted,
    choice: Choice,
    weights: Option<GivenWeights<'_>>,
    allow_mismatch: bool,
    similarity: bool,
    manner: Manner,
) -> PyResult<Compared> {
    let given = Given { labels: true, ..Given::default() };
    let settings = measure.settings(&wanted, given).map_err(|error| exception(&error))?;
    let settings = Settings { intervals: true, class_intervals: Some(0), terms: true, matrix: false, ..settings };
    let plan = Plan {
        checkpoints: checkpoints.iter().map(GivenRows::rows).collect::<PyResult<_>>()?,
        names,
        labels: labels.source(),
        weights: weights.map(|weights| weights.weights()),
        choice,
        allow_mismatch,
        similarity,
    };
    run(py, &manner, move |watch| plan.compare(settings, watch))
}

/// The inputs of a comparison, detached from the interpreter.
struct Plan {
    checkpoints: Vec<Rows>,
    names: Vec<String>,
    labels: LabelSource,
    weights: Option<Weights>,
    choice: Choice,
    allow_mismatch: bool,
    similarity: bool,
}

impl Plan {
    fn compare(self, mut settings: Settings, progress: &dyn Progress) -> Result<Compared> {
        let started = Instant::now();
        let mut baseline: Option<Measured> = None;
        let (mut checkpoints, mut candidates, mut rows, mut datasets) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (place, given) in self.checkpoints.into_iter().enumerate() {
            let Loaded { embeddings, labels, weights } = load(given, vec![self.labels.clone()], self.weights.clone())?;
            let column: Arc<LabelColumn> = labels
                .into_iter()
                .next()
                .ok_or_else(|| Error::setting("there are no labels", "give one label per row"))?;
            let options = DatasetOptions { weights, ..self.choice.clone().options(settings.seed) };
            let dataset =
                Dataset::join(embeddings.for_distance(settings.distance)?, &column, settings.distance, &options)?;
            let scored = evaluate(&dataset, &settings, progress)?;
            rows.push(ScoredRows::new(&dataset, scored.rows.clone()));
            let measured = Measured::new(&dataset, scored);
            datasets.push(dataset);
            // A temperature found on the baseline applies to all checkpoints.
            settings.temperature = Temperature::Value(measured.evaluation.settings.temperature);
            let name = self.names[place].clone();
            checkpoints.push(Checkpoint { name: name.clone(), result: measured.evaluation.clone() });
            let Some(baseline) = &baseline else {
                baseline = Some(measured);
                continue;
            };
            let found = mismatches(&baseline.evaluation, &measured.evaluation);
            if !found.is_empty() && !self.allow_mismatch {
                return Err(Error::setting(
                    format!("{} and {name} differ in {}", self.names[0], found.join("; ")),
                    "make them match, or compare them anyway with allow_mismatch=True",
                ));
            }
            candidates.push(difference(&name, baseline, &measured, settings.seed, progress)?);
        }
        let mut comparison = Comparison::new(checkpoints, candidates, settings.seed);
        if self.similarity {
            let open = |place: usize| Ok(&datasets[place]);
            comparison.add_similarities(Similarities::between(datasets.len(), open, settings.seed, progress)?);
        }
        comparison.timing = Some(Timing { read_seconds: 0.0, compute_seconds: started.elapsed().as_secs_f64() });
        Ok(Compared { comparison, rows })
    }
}

#[pymethods]
impl Compared {
    /// Reads a result of `embq compare` from JSON.
    #[staticmethod]
    fn read(text: &str) -> PyResult<Self> {
        let comparison: Comparison = serde_json::from_str(text).map_err(|error| not_a_result(&error.to_string()))?;
        Ok(Compared { comparison, rows: Vec::new() })
    }

    fn json(&self) -> PyResult<String> {
        self.render(Format::Json, ClassLimit::All)
    }

    /// The table of the terminal, without colours.
    fn table(&self, classes: Option<usize>) -> PyResult<String> {
        let limit = classes.map_or(ClassLimit::All, ClassLimit::Worst);
        Ok(strip_str(&self.render(Format::Table, limit)?).to_string())
    }

    /// The HTML page.
    fn page(&self) -> String {
        let rows = || self.rows.iter().map(Option::as_ref).chain(std::iter::repeat(None));
        let checkpoints = self.comparison.checkpoints.iter().zip(rows()).map(|(checkpoint, rows)| detail::Checkpoint {
            name: checkpoint.name.clone(),
            evaluation: checkpoint.result.clone(),
            scores: rows.map(|rows| rows.scores.clone()).unwrap_or_default(),
            classes: rows.map(|rows| rows.classes.clone()).unwrap_or_default(),
        });
        html::render_checkpoints(&checkpoints.collect::<Vec<_>>(), Some(&self.comparison), None)
    }
}

impl Compared {
    fn render(&self, format: Format, classes: ClassLimit) -> PyResult<String> {
        comparison::render(&self.comparison, format, classes).map_err(|error| exception(&error))
    }
}
