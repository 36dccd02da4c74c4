//! A part of the rows, as it is read.

use std::sync::Arc;

use ndarray::Array2;

use crate::data::{
    Dataset, DatasetOptions, EmbeddingRows, Embeddings, IntoLabel, LabelColumn, LabelType, Origin, Precision, RowChoice,
};
use crate::distance::Distance;
use crate::error::{Error, Result};
use crate::metrics::StateKind;
use crate::partial::content::{RowHashes, Sample};
use crate::partial::header::{Header, Part, StateSettings};

/// Some of the rows of a set, with their labels.
#[derive(Clone, Debug)]
pub struct PartRows<'e> {
    rows: Arc<EmbeddingRows<'e>>,
    labels: LabelColumn,
    id: Option<String>,
}

/// A part as a data set, which is hashed in its first pass.
pub(crate) struct ReadPart<'e> {
    pub(crate) dataset: Dataset<'e>,
    pub(crate) hashes: Arc<RowHashes>,
}

impl ReadPart<'_> {
    /// The header of a state of the part.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn header(&self, kind: StateKind, settings: StateSettings, part: &PartRows<'_>) -> Result<Header> {
        self.header_and_sample(kind, settings, part).map(|(header, _)| header)
    }

    /// The same, and the rows of smallest hash, if they are kept.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn header_and_sample(
        &self,
        kind: StateKind,
        settings: StateSettings,
        part: &PartRows<'_>,
    ) -> Result<(Header, Sample)> {
        let (content, sample) = self.hashes.finish(&self.dataset)?;
        let entry = part.entry(&self.dataset, content);
        Ok((Header::of_part(kind, settings, part, entry, self.dataset.excluded()), sample))
    }
}

impl<'e> PartRows<'e> {
    /// N x d numbers, borrowed or given away, and N integers, strings or booleans.
    pub fn new(rows: impl Into<EmbeddingRows<'e>>, labels: impl IntoIterator<Item: IntoLabel>) -> Self {
        PartRows::of_column(rows.into(), LabelColumn::from_labels(labels))
    }

    /// Rows and labels as readers of files give them.
    pub fn of_column(rows: impl Into<Arc<EmbeddingRows<'e>>>, labels: LabelColumn) -> Self {
        PartRows { rows: rows.into(), labels, id: None }
    }

    /// A part without a row, whose shape and types nobody knows: a partition of an engine, a file that nothing was
    /// written to.
    pub fn empty(origin: Origin, label_origin: Origin) -> PartRows<'static> {
        let labels = LabelColumn::from_codes(label_origin, LabelType::Text, Vec::new(), Vec::new());
        PartRows::of_column(Embeddings::from_f64(origin, Array2::zeros((0, 1))), labels)
    }

    /// What tells the part from the others, instead of what it holds: where several parts may hold the same rows.
    pub fn named(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// The same part with the shape of the others, where it has no row to say what its own is.
    pub(crate) fn shaped(&self, settings: &StateSettings) -> Self {
        if self.rows.rows() > 0 {
            return self.clone();
        }
        let rows = Embeddings::from_f64(self.rows.origin().clone(), Array2::zeros((0, settings.dimensions)));
        PartRows { rows: Arc::new(rows), ..self.clone() }
    }

    /// The rows as they are stored.
    pub(crate) fn rows(&self) -> &EmbeddingRows<'e> {
        &self.rows
    }

    /// The labels of all rows.
    pub(crate) fn labels(&self) -> &LabelColumn {
        &self.labels
    }

    /// # Errors
    /// Another number of labels than rows, missing labels.
    pub(crate) fn read(
        &self,
        distance: Distance,
        choice: &RowChoice,
        precision: Precision,
        samples: bool,
    ) -> Result<ReadPart<'e>> {
        if choice.min_class_size.is_some() || choice.subsample.is_some() {
            let problem = "small classes and subsamples depend on all rows, and a part does not know them";
            return Err(Error::setting(problem, "leave out classes by name, and score all rows"));
        }
        let options = DatasetOptions { choice: choice.clone(), ..DatasetOptions::default() };
        let dataset = Dataset::join_part(Arc::clone(&self.rows), &self.labels, distance, &options)?;
        let hashes = Arc::new(RowHashes::new(&dataset, precision, samples));
        Ok(ReadPart { dataset: dataset.watched(hashes.clone()), hashes })
    }

    /// The entry of the part in the header of its state.
    fn entry(&self, dataset: &Dataset, content: String) -> Part {
        let (rows, labels) = (self.rows.origin(), self.labels.origin());
        Part {
            id: self.id.clone().unwrap_or_else(|| content.clone()),
            content,
            path: rows.path.clone(),
            labels_path: labels.path.clone(),
            stored_rows: self.rows.rows() as u64,
            rows: dataset.len() as u64,
            labels_hash: Some(dataset.labels().blake3()),
        }
    }
}
