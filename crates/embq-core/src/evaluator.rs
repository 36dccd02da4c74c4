//! The front door: from a data set and settings to a result.

use crate::data::{Dataset, IntoLabel, LabelColumn, PairList, identical_rows};
use crate::error::{Error, Result};
use crate::evaluation::{Scored, Settings, Temperature, evaluate_with};
use crate::metrics::{Auxiliary, Need};
use crate::progress::{NoProgress, Progress};

/// Evaluates a data set.
///
/// ```
/// use embq_core::{Dataset, Distance, Settings, evaluate};
///
/// # fn main() -> embq_core::Result<()> {
/// let rows = ndarray::array![[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0]];
/// let dataset = Dataset::new(rows.view(), ["near", "near", "far", "far"])?;
/// let settings = Settings { distance: Distance::Euclidean, ..Settings::default() };
/// let silhouette = evaluate(&dataset, &settings)?.metric("silhouette");
/// assert!((silhouette.unwrap() - 7.0 / 15.0).abs() < 1e-12);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Invalid settings, fewer than two classes or more than N - 1, values that have no distance, `auto` without a
/// solution, intervals of a subsample, and errors from reading rows.
pub fn evaluate(dataset: &Dataset, settings: &Settings) -> Result<Scored> {
    Evaluator::new(settings).evaluate(dataset)
}

/// An evaluation with more input than a data set: a gallery, batches of rows, progress reports.
#[derive(Clone)]
#[must_use]
pub struct Evaluator<'a> {
    settings: &'a Settings,
    gallery: Option<&'a Dataset<'a>>,
    exclude_identical: bool,
    batches: Option<LabelColumn>,
    clusters: Option<LabelColumn>,
    pairs: Option<&'a PairList>,
    progress: &'a dyn Progress,
}

impl<'a> Evaluator<'a> {
    /// An evaluation with these settings.
    pub fn new(settings: &'a Settings) -> Self {
        Evaluator {
            settings,
            gallery: None,
            exclude_identical: false,
            batches: None,
            clusters: None,
            pairs: None,
            progress: &NoProgress,
        }
    }

    /// Searches for nearest neighbours among these rows instead of the rows of the data set.
    pub fn gallery(mut self, gallery: &'a Dataset<'a>) -> Self {
        self.gallery = Some(gallery);
        self
    }

    /// Excludes gallery rows with the same numbers as a query from its neighbours.
    pub fn exclude_identical(mut self) -> Self {
        self.exclude_identical = true;
        self
    }

    /// The batch of each row, for metrics of batch correction.
    pub fn batches(mut self, batches: impl IntoIterator<Item: IntoLabel>) -> Self {
        self.batches = Some(LabelColumn::from_labels(batches));
        self
    }

    /// The cluster of each row, which metrics of clusterings compare with the labels instead of clustering the rows.
    pub fn clusters(mut self, clusters: impl IntoIterator<Item: IntoLabel>) -> Self {
        self.clusters = Some(LabelColumn::from_labels(clusters));
        self
    }

    /// Verifies these pairs of rows instead of all pairs.
    pub fn pairs(mut self, pairs: &'a PairList) -> Self {
        self.pairs = Some(pairs);
        self
    }

    /// Reports progress, and is asked whether to stop.
    pub fn progress(mut self, progress: &'a dyn Progress) -> Self {
        self.progress = progress;
        self
    }

    /// Evaluates a data set.
    ///
    /// # Errors
    /// Those of [`evaluate`]; a number of batches other than the number of rows; [`Error::Cancelled`].
    pub fn evaluate(&self, dataset: &Dataset) -> Result<Scored> {
        let settings = checked(Settings {
            batch_labels: self.batches.is_some(),
            clusters: self.clusters.is_some(),
            pair_list: self.pairs.is_some(),
            ..self.settings.clone()
        })?;
        let dataset = dataset.for_distance(settings.distance)?;
        let gallery = self.gallery.map(|gallery| gallery.for_distance(settings.distance)).transpose()?;
        let own_rows = match &gallery {
            Some(gallery) if self.exclude_identical => identical_rows(&dataset, gallery)?,
            _ => Vec::new(),
        };
        let auxiliary = Auxiliary {
            gallery: gallery.as_deref(),
            own_rows: &own_rows,
            batches: self.batches.as_ref(),
            clusters: self.clusters.as_ref(),
            pairs: self.pairs,
        };
        evaluate_with(&dataset, auxiliary, &settings, self.progress)
    }
}

/// Validates the settings and sorts the numbers of neighbours and the false accept rates.
///
/// # Errors
/// A setting that has no meaning.
pub(crate) fn checked(mut settings: Settings) -> Result<Settings> {
    let refuse = |problem: String, tip: &str| Err(Error::setting(problem, tip));
    if let Temperature::Value(temperature) = settings.temperature
        && !Temperature::RANGE.contains(&temperature)
    {
        return refuse(format!("the temperature {temperature} is not a number from 1e-6 to 1e6"), "take 0.1, or auto");
    }
    if let Some(size) = settings.batch_size.filter(|&size| size < 2) {
        return refuse(format!("a batch of {size} rows has no pair of classes"), "take batches of at least 2 rows");
    }
    if let Some(sample) = settings.sample.filter(|&sample| sample < 2) {
        return refuse(format!("a sample of {sample} rows has no pair"), "take at least 2 rows");
    }
    if !(settings.probe.alpha > 0.0 && settings.probe.alpha.is_finite()) {
        return refuse(format!("the penalty {} of the ridge probe is not above 0", settings.probe.alpha), "take 1");
    }
    if settings.probe.folds < 2 {
        return refuse(format!("{} folds leave nothing to train on", settings.probe.folds), "take 5");
    }
    if settings.ks.contains(&0) {
        return refuse("a number of nearest neighbours is 0".to_owned(), "take numbers of at least 1");
    }
    if let Some(far) = settings.fars.iter().find(|&&far| !(far > 0.0 && far <= 1.0)) {
        return refuse(format!("{far} is no false accept rate"), "take rates above 0 and up to 1, such as 1e-3");
    }
    if settings.metrics.all_need(Need::BatchSize) && settings.batch_size.is_none() {
        return refuse("metrics of batches need a batch size".to_owned(), "set one, such as 256");
    }
    settings.ks.sort_unstable();
    settings.ks.dedup();
    settings.fars.sort_unstable_by(|left, right| right.total_cmp(left));
    settings.fars.dedup();
    Ok(settings)
}

impl Scored {
    /// The metric with this name over the whole data set, such as `silhouette` or `recall@10`; `None` if it was not
    /// requested or is undefined, which a warning explains.
    pub fn metric(&self, name: &str) -> Option<f64> {
        self.evaluation.metrics.get(name).copied().flatten()
    }
}
