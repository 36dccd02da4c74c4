//! States of parts, which engines carry as bytes.

use std::sync::Arc;

use embq_core::data::{Embeddings, LabelColumn, Origin, RowFault, RowFaults};
use embq_core::error::{Error, Result};
use embq_core::metrics::StateKind;
use embq_core::partial::{Influence, Kept, Moments, Part, PartRows, Scores, StateHeader, StateTable};
use embq_files::input::state::from_bytes;
use embq_files::output::state::write;
use numpy::PyUntypedArray;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::errors::exception;
use crate::labels::Labels;
use crate::rows;
use crate::score::{Evaluated, ScoredRows, as_object};
use crate::settings::{Choice, Given, Measure, Wanted};
use crate::work::{Manner, run};

/// Some of the rows of a part.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct GivenPiece<'py> {
    /// What the set is called in results.
    name: String,
    /// The columns of the vectors and of the labels, where these are columns.
    column: Option<String>,
    label_column: Option<String>,
    /// What errors call the part, for the vectors and for the labels.
    place: String,
    label_place: String,
    /// The number of the first row in the part.
    first: usize,
    batches: Vec<GivenBatch<'py>>,
    labels: PyRef<'py, Labels>,
    /// The name that tells the part from others; by default its content does.
    id: Option<String>,
}

/// A matrix with its element type, and the rows that hold no vector, with what they hold.
type GivenBatch<'py> = (Bound<'py, PyUntypedArray>, String, Vec<(usize, String)>);

/// A piece, detached from the interpreter.
struct Piece {
    part: PartRows<'static>,
    label_place: String,
    first: usize,
}

impl GivenPiece<'_> {
    fn piece(self) -> PyResult<Piece> {
        let origin = |column: &Option<String>, name: &str| match column {
            Some(column) => Origin::with_selector(&self.name, column),
            None => Origin::new(name),
        };
        let (origin, label_origin) = (origin(&self.column, &self.name), origin(&self.label_column, "y"));
        let mut first = self.first;
        let mut shards = Vec::new();
        for (array, element_type, faults) in &self.batches {
            let shard = rows::embeddings_at(array, element_type, origin.clone(), Some((self.place.clone(), first)))?;
            first += shard.rows();
            let known = RowFaults::default();
            for (row, problem) in faults {
                known.add(*row, || RowFault { column: None, problem: problem.clone() });
            }
            shards.push(shard.with_faults(Arc::new(known)));
        }
        let part = if shards.is_empty() {
            PartRows::empty(origin, label_origin)
        } else {
            let rows = Embeddings::of_shards(origin, shards).map_err(|error| exception(&error))?;
            PartRows::of_column(rows, named(&self.labels.0, label_origin))
        };
        let part = match self.id {
            Some(id) => part.named(id),
            None => part,
        };
        Ok(Piece { part, label_place: self.label_place, first: self.first })
    }
}

/// The same labels under another name.
fn named(labels: &LabelColumn, origin: Origin) -> LabelColumn {
    let codes = (0..labels.len()).map(|row| labels.code(row).map_or(u32::MAX, |code| code as u32));
    LabelColumn::from_codes(origin, labels.label_type(), labels.dictionary().to_vec(), codes.collect())
}

impl Piece {
    /// An error that counts rows from the start of the part.
    fn placed(&self, error: Error) -> Error {
        match error {
            Error::MissingLabel { row, rows, .. } => {
                Error::MissingLabel { name: self.label_place.clone(), row: row + self.first, rows }
            }
            other => other,
        }
    }
}

/// The state in bytes; `name` is what errors call it.
#[pyfunction]
pub(crate) fn read_state<'py>(py: Python<'py>, bytes: &[u8], name: &str) -> PyResult<Bound<'py, PyAny>> {
    let read = || {
        let table = from_bytes(name, bytes.to_vec())?;
        Ok(match StateHeader::parse(table.header_text(), name)?.kind() {
            StateKind::Moments => State::Moments(Moments::from_table(table, name)?),
            StateKind::Scores => State::Scores(Scores::from_table(table, name)?),
            StateKind::Influence => State::Influence(Influence::from_table(table, name)?),
        })
    };
    match py.detach(read).map_err(|error: Error| exception(&error))? {
        State::Moments(moments) => Ok(Bound::new(py, PartMoments(Arc::new(moments)))?.into_any()),
        State::Scores(scores) => Ok(Bound::new(py, PartScores(Arc::new(scores)))?.into_any()),
        State::Influence(influence) => Ok(Bound::new(py, PartInfluence(influence))?.into_any()),
    }
}

enum State {
    Moments(Moments),
    Scores(Scores),
    Influence(Influence),
}

fn bytes_of<'py>(py: Python<'py>, table: impl FnOnce() -> Result<StateTable> + Send) -> PyResult<Bound<'py, PyBytes>> {
    let written = py.detach(|| {
        let mut bytes = Vec::new();
        write(table().map_err(|error| error.to_string())?, &mut bytes).map_err(|error| error.to_string())?;
        Ok(bytes)
    });
    let bytes = written.map_err(|problem: String| PyRuntimeError::new_err(format!("the state: {problem}")))?;
    Ok(PyBytes::new(py, &bytes))
}

fn ids(parts: &[Part]) -> Vec<String> {
    parts.iter().map(|part| part.id.clone()).collect()
}

/// What the rows are, whatever the parts: a hash of all of them for one part, and their number.
fn content(parts: &[Part]) -> (Vec<String>, u64) {
    (parts.iter().map(|part| part.content.clone()).collect(), parts.iter().map(|part| part.rows).sum())
}

/// Moments of one or more parts.
#[pyclass(module = "embq._embq")]
pub(crate) struct PartMoments(Arc<Moments>);

#[pymethods]
impl PartMoments {
    #[staticmethod]
    #[pyo3(signature = (piece, *, measure, wanted, choice, manner))]
    fn of_piece(
        py: Python<'_>,
        piece: GivenPiece<'_>,
        measure: Measure,
        wanted: Wanted,
        choice: Choice,
        manner: Manner,
    ) -> PyResult<Self> {
        let given = Given { labels: true, ..Given::default() };
        let settings = measure.settings(&wanted, given).map_err(|error| exception(&error))?;
        let choice = choice.options(measure.random_state).choice;
        let piece = piece.piece()?;
        run(py, &manner, move |watch| {
            let moments = Moments::of_part(&piece.part, &settings, &choice, watch);
            moments.map(|moments| PartMoments(Arc::new(moments))).map_err(|error| piece.placed(error))
        })
    }

    /// Adds the rows of a piece of the same part.
    fn join(&mut self, py: Python<'_>, piece: PyRef<'_, PartMoments>) -> PyResult<()> {
        let piece = Arc::clone(&piece.0);
        let moments = &mut self.0;
        py.detach(|| Arc::make_mut(moments).join(Arc::unwrap_or_clone(piece))).map_err(|error| exception(&error))
    }

    /// Adds the rows of other parts.
    fn merge(&mut self, py: Python<'_>, other: PyRef<'_, PartMoments>) -> PyResult<()> {
        let other = Arc::clone(&other.0);
        let moments = &mut self.0;
        py.detach(|| Arc::make_mut(moments).merge(Arc::unwrap_or_clone(other))).map_err(|error| exception(&error))
    }

    fn bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let moments = &self.0;
        bytes_of(py, || moments.to_table())
    }

    /// The result, where all metrics follow from moments.
    fn finish(&self, py: Python<'_>) -> PyResult<Evaluated> {
        let moments = &self.0;
        let scored = py.detach(|| moments.finish()).map_err(|error| exception(&error))?;
        Ok(Evaluated::without_rows(scored, moments.labels().to_vec()))
    }

    /// The ids of the parts, in order.
    fn ids(&self) -> Vec<String> {
        ids(self.0.parts())
    }

    fn content(&self) -> (Vec<String>, u64) {
        content(self.0.parts())
    }

    /// The number of dimensions and the element type.
    fn shape(&self) -> (usize, &'static str) {
        (self.0.settings().dimensions, self.0.settings().dtype.name())
    }

    /// Whether the result needs the scores of rows.
    fn needs_scores(&self) -> bool {
        let metrics = self.0.settings().settings().metrics;
        metrics.iter().any(|metric| metric.merges_from() != Some(StateKind::Moments))
    }

    /// The label of each class, in order.
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        self.0.labels().iter().map(|label| as_object(py, label)).collect()
    }
}

/// Scores of one or more parts.
#[pyclass(module = "embq._embq")]
pub(crate) struct PartScores(Arc<Scores>);

#[pymethods]
impl PartScores {
    /// The scores of a piece, and with `keeps_rows` those of each row by column, with classes as codes. With `intervals` the
    /// sums that these follow from are kept, too.
    #[staticmethod]
    #[pyo3(signature = (piece, moments, keeps_rows, intervals, *, manner))]
    fn of_piece<'py>(
        py: Python<'py>,
        piece: GivenPiece<'_>,
        moments: PyRef<'_, PartMoments>,
        keeps_rows: bool,
        intervals: bool,
        manner: Manner,
    ) -> PyResult<(Self, Option<Bound<'py, PyDict>>)> {
        let piece = piece.piece()?;
        let moments = Arc::clone(&moments.0);
        let (scores, rows) = run(py, &manner, move |watch| {
            let kept = Kept { rows: keeps_rows, intervals };
            let scored = Scores::of_piece(&piece.part, &moments, kept, watch);
            let (scores, rows) = scored.map_err(|error| piece.placed(error))?;
            Ok((scores, rows.map(|(dataset, rows)| ScoredRows::new(&dataset, rows))))
        })?;
        let columns = match rows {
            None => None,
            Some(Some(rows)) => Some(rows.columns(py)?),
            // No row takes part.
            Some(None) => Some(PyDict::new(py)),
        };
        Ok((PartScores(Arc::new(scores)), columns))
    }

    /// Adds the rows of a piece of the same part.
    fn join(&mut self, py: Python<'_>, piece: PyRef<'_, PartScores>) -> PyResult<()> {
        let piece = Arc::clone(&piece.0);
        let scores = &mut self.0;
        py.detach(|| Arc::make_mut(scores).join(Arc::unwrap_or_clone(piece))).map_err(|error| exception(&error))
    }

    /// Adds the rows of other parts.
    fn merge(&mut self, py: Python<'_>, other: PyRef<'_, PartScores>) -> PyResult<()> {
        let other = Arc::clone(&other.0);
        let scores = &mut self.0;
        py.detach(|| Arc::make_mut(scores).merge(Arc::unwrap_or_clone(other))).map_err(|error| exception(&error))
    }

    /// Checks that these parts are among those of the moments, with the same rows.
    fn require_in(&self, moments: PyRef<'_, PartMoments>) -> PyResult<()> {
        self.0.require_in(&moments.0).map_err(|error| exception(&error))
    }

    fn bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let scores = &self.0;
        bytes_of(py, || scores.to_table())
    }

    fn finish(&self, py: Python<'_>, moments: PyRef<'_, PartMoments>, matrix: bool) -> PyResult<Evaluated> {
        let (scores, moments) = (&self.0, &*moments.0);
        let scored = py.detach(|| scores.finish(moments, matrix)).map_err(|error| exception(&error))?;
        Ok(Evaluated::without_rows(scored, moments.labels().to_vec()))
    }

    fn ids(&self) -> Vec<String> {
        ids(self.0.parts())
    }

    fn content(&self) -> (Vec<String>, u64) {
        content(self.0.parts())
    }
}

/// The influence of the rows of one or more parts.
#[pyclass(module = "embq._embq")]
pub(crate) struct PartInfluence(Influence);

#[pymethods]
impl PartInfluence {
    #[staticmethod]
    #[pyo3(signature = (piece, moments, scores, *, manner))]
    fn of_piece(
        py: Python<'_>,
        piece: GivenPiece<'_>,
        moments: PyRef<'_, PartMoments>,
        scores: PyRef<'_, PartScores>,
        manner: Manner,
    ) -> PyResult<Self> {
        let piece = piece.piece()?;
        let (moments, scores) = (Arc::clone(&moments.0), Arc::clone(&scores.0));
        run(py, &manner, move |watch| {
            let influence = Influence::of_piece(&piece.part, &moments, &scores, watch);
            influence.map(PartInfluence).map_err(|error| piece.placed(error))
        })
    }

    /// Adds the rows of a piece of the same part.
    fn join(&mut self, py: Python<'_>, piece: PyRef<'_, PartInfluence>) -> PyResult<()> {
        let piece = piece.0.clone();
        let influence = &mut self.0;
        py.detach(|| influence.join(piece)).map_err(|error| exception(&error))
    }

    /// Adds the rows of other parts.
    fn merge(&mut self, py: Python<'_>, other: PyRef<'_, PartInfluence>) -> PyResult<()> {
        let other = other.0.clone();
        let influence = &mut self.0;
        py.detach(|| influence.merge(other)).map_err(|error| exception(&error))
    }

    /// Checks that these parts are among those of the moments, with the same rows.
    fn require_in(&self, moments: PyRef<'_, PartMoments>) -> PyResult<()> {
        self.0.require_in(&moments.0).map_err(|error| exception(&error))
    }

    fn bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let influence = &self.0;
        bytes_of(py, || influence.to_table())
    }

    fn finish(
        &self,
        py: Python<'_>,
        scores: PyRef<'_, PartScores>,
        moments: PyRef<'_, PartMoments>,
        matrix: bool,
    ) -> PyResult<Evaluated> {
        let (influence, scores, moments) = (&self.0, &*scores.0, &*moments.0);
        let scored = py.detach(|| influence.finish(scores, moments, matrix)).map_err(|error| exception(&error))?;
        Ok(Evaluated::without_rows(scored, moments.labels().to_vec()))
    }

    fn ids(&self) -> Vec<String> {
        ids(self.0.parts())
    }

    fn content(&self) -> (Vec<String>, u64) {
        content(self.0.parts())
    }
}
