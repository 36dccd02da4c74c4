//! Builds data sets step by step.

use crate::data::{Dataset, DatasetOptions, EmbeddingRows, LabelColumn, Origin, RowChoice, RowWeights};
use crate::distance::Distance;
use crate::error::Result;

/// Builds a [`Dataset`] from rows and labels, with optional weights and a choice of rows.
///
/// ```
/// use embq_core::{Dataset, Distance};
///
/// # fn main() -> embq_core::Result<()> {
/// let rows = ndarray::array![[1.0, 0.1], [1.0, 0.3], [0.2, 1.0], [0.4, 1.0], [9.0, 9.0]];
/// let dataset = Dataset::builder(rows.view(), ["cat", "cat", "dog", "dog", "unknown"])
///     .distance(Distance::Euclidean)
///     .weights([1.0, 2.0, 1.0, 1.0, 1.0])
///     .ignore_labels(["unknown"])
///     .build()?;
/// assert_eq!(dataset.len(), 4);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct DatasetBuilder<'e> {
    rows: EmbeddingRows<'e>,
    labels: LabelColumn,
    distance: Distance,
    options: DatasetOptions,
}

impl<'e> DatasetBuilder<'e> {
    pub(crate) fn new(rows: EmbeddingRows<'e>, labels: LabelColumn) -> Self {
        DatasetBuilder { rows, labels, distance: Distance::default(), options: DatasetOptions::default() }
    }

    /// The distance that the rows are for. It only matters here for [`Distance::Hamming`], whose rows are bits, for
    /// [`Distance::Precomputed`], whose rows are distances, and if invalid rows are dropped, because these include zero
    /// vectors under cosine.
    pub fn distance(mut self, distance: Distance) -> Self {
        self.distance = distance;
        self
    }

    /// A positive finite weight per row.
    pub fn weights(mut self, weights: impl IntoIterator<Item = f64>) -> Self {
        self.options.weights =
            Some(RowWeights { origin: Origin::new("weights"), values: weights.into_iter().collect() });
        self
    }

    /// Leaves out rows with these labels, given as text.
    pub fn ignore_labels<L: Into<String>>(mut self, labels: impl IntoIterator<Item = L>) -> Self {
        self.options.choice.ignore_labels = labels.into_iter().map(Into::into).collect();
        self
    }

    /// Leaves out rows with NaN or infinite values, and zero vectors under cosine; otherwise they are errors.
    pub fn drop_invalid(mut self) -> Self {
        self.options.choice.drop_invalid = true;
        self
    }

    /// Leaves out rows without a label; otherwise they are errors.
    pub fn drop_unlabelled(mut self) -> Self {
        self.options.choice.drop_null_labels = true;
        self
    }

    /// Leaves out classes with fewer rows.
    pub fn min_class_size(mut self, rows: usize) -> Self {
        self.options.choice.min_class_size = Some(rows);
        self
    }

    /// Scores only this many rows, sampled by class with a seed; their distances are still to all rows.
    pub fn subsample(mut self, rows: usize, seed: u64) -> Self {
        self.options.choice.subsample = Some(rows);
        self.options.seed = seed;
        self
    }

    /// Sets the whole choice of rows at once.
    pub fn choice(mut self, choice: RowChoice) -> Self {
        self.options.choice = choice;
        self
    }

    /// Builds the data set.
    ///
    /// # Errors
    /// A number of labels or weights other than the number of rows, missing labels, weights that are not positive
    /// finite numbers, a distance matrix that is not square, a subsample of fewer rows than classes, no rows left.
    pub fn build(self) -> Result<Dataset<'e>> {
        let DatasetBuilder { rows, labels, distance, options } = self;
        Dataset::join(rows.for_distance(distance)?, &labels, distance, &options)
    }
}
