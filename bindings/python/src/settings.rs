//! Parameters of Python functions as settings.

use embq_core::data::{DatasetOptions, Precision, RowChoice};
use embq_core::distance::Distance;
use embq_core::error::{Error, Result, choices};
use embq_core::evaluation::{Settings, Temperature};
use embq_core::metrics::{
    Clustering, Levels, Metric, Need, ProbeSettings, Selection, SmoothMaximum, SoftMinimum, USUAL_FARS,
};
use pyo3::prelude::*;
use serde::de::value::Error as NameError;
use serde::de::{DeserializeOwned, IntoDeserializer};

/// How rows are measured.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Measure {
    metric: String,
    /// `None` means `auto`.
    temperature: Option<f64>,
    softmin: String,
    softmax: String,
    precision: Option<String>,
    pub(crate) random_state: u64,
}

/// What is computed.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Wanted {
    metrics: Vec<String>,
    k: Vec<usize>,
    sample: Option<usize>,
    probe_alpha: f64,
    folds: usize,
    clustering: String,
    batch_size: Option<usize>,
    intervals: bool,
    class_intervals: bool,
    pub(crate) within: Option<f64>,
    matrix: bool,
    hash: bool,
}

/// Which rows take part.
#[derive(Clone, FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Choice {
    ignore_label: Vec<String>,
    include: Vec<String>,
    exclude: Vec<String>,
    drop_invalid: bool,
    drop_null_labels: bool,
    min_class_size: Option<usize>,
    subsample: Option<usize>,
}

impl Choice {
    pub(crate) fn options(self, random_state: u64) -> DatasetOptions {
        let choice = RowChoice {
            ignore_labels: self.ignore_label,
            include: self.include,
            exclude: self.exclude,
            drop_invalid: self.drop_invalid,
            drop_null_labels: self.drop_null_labels,
            min_class_size: self.min_class_size,
            subsample: self.subsample,
        };
        DatasetOptions { choice, weights: None, seed: random_state }
    }

    /// The same options for the rows of a gallery: labels are selected on both sides, but classes may have any size.
    pub(crate) fn of_gallery(&self) -> DatasetOptions {
        let choice = RowChoice {
            drop_invalid: self.drop_invalid,
            drop_null_labels: self.drop_null_labels,
            ..RowChoice::default()
        };
        DatasetOptions { choice, ..DatasetOptions::default() }
    }
}

impl Measure {
    pub(crate) fn distance(&self) -> Result<Distance> {
        self.metric.parse()
    }

    pub(crate) fn temperature(&self) -> Result<Temperature> {
        match self.temperature {
            None => Ok(Temperature::Auto),
            Some(value) if Temperature::RANGE.contains(&value) => Ok(Temperature::Value(value)),
            Some(value) => Err(Error::setting(
                format!("temperature is {value}"),
                "a temperature is a number from 1e-6 to 1e6, or \"auto\"",
            )),
        }
    }

    pub(crate) fn softmin(&self) -> Result<SoftMinimum> {
        named("softmin", &self.softmin, &["weighted", "lse", "hard", "mean"])
    }

    pub(crate) fn softmax(&self) -> Result<SmoothMaximum> {
        named("softmax", &self.softmax, &["lse", "hard"])
    }

    pub(crate) fn precision(&self) -> Result<Option<Precision>> {
        precision(self.precision.as_deref())
    }

    /// All of it, with what is computed.
    pub(crate) fn settings(&self, wanted: &Wanted, given: Given) -> Result<Settings> {
        let metrics = wanted.selection(given.labels)?;
        wanted.check(&metrics, given)?;
        let mut ks = wanted.k.clone();
        ks.sort_unstable();
        ks.dedup();
        let settings = Settings {
            distance: self.distance()?,
            temperature: self.temperature()?,
            softmin: self.softmin()?,
            softmax: self.softmax()?,
            precision: self.precision()?,
            batch_size: wanted.batch_size,
            seed: self.random_state,
            metrics,
            ks,
            fars: USUAL_FARS.to_vec(),
            sample: wanted.sample,
            probe: ProbeSettings { alpha: wanted.probe_alpha, folds: wanted.folds },
            clustering: match wanted.clustering.as_str() {
                "kmeans" => Clustering::KMeans,
                name => named("clustering", name, &["kmeans", "mteb"])?,
            },
            batch_labels: given.batch,
            clusters: given.clusters,
            pair_list: false,
            rows: false,
            matrix: wanted.matrix,
            intervals: wanted.intervals,
            class_intervals: (!wanted.class_intervals).then_some(20),
            terms: false,
            hash: wanted.hash,
        };
        // Rows are kept if they are compared with classes anyway.
        Ok(Settings { rows: settings.compares_with_classes(), ..settings })
    }
}

/// What is given beside the rows.
#[derive(Clone, Copy, Default)]
pub(crate) struct Given {
    pub(crate) labels: bool,
    pub(crate) batch: bool,
    pub(crate) clusters: bool,
    pub(crate) gallery: bool,
}

impl Wanted {
    pub(crate) fn selection(&self, labels: bool) -> Result<Selection> {
        if self.metrics.is_empty() {
            return Ok(if labels { Selection::usual() } else { Selection::label_free() });
        }
        Selection::parse(self.metrics.iter().map(|name| name.trim()))
    }

    /// Checks that all that was asked for can be computed, and that nothing was asked for in vain.
    fn check(&self, metrics: &Selection, given: Given) -> Result<()> {
        if metrics.all_need(Need::BatchSize) && self.batch_size.is_none() {
            return Err(Error::setting("metrics: metrics of batches need a batch size", "add batch_size="));
        }
        if !(self.probe_alpha > 0.0 && self.probe_alpha.is_finite()) {
            return Err(Error::setting(
                format!("probe_alpha is {}", self.probe_alpha),
                "a penalty is a number above 0",
            ));
        }
        if self.folds < 2 {
            return Err(Error::setting(format!("folds is {}", self.folds), "take at least 2"));
        }
        if let Some(0) = self.k.iter().min() {
            return Err(Error::setting("k: the number of neighbours is 0", "use at least 1"));
        }
        if let Some(within) = self.within.filter(|within| !(*within > 0.0 && *within < 1.0)) {
            return Err(Error::setting(
                format!("within is {within}"),
                "half of the width of an interval is between 0 and 1",
            ));
        }
        if self.within.is_some() && (self.intervals || given.gallery) {
            return Err(Error::setting("within: neither intervals nor a gallery go with it", "leave one of them out"));
        }
        if matches!(self.batch_size, Some(0 | 1)) || matches!(self.sample, Some(0 | 1)) {
            return Err(Error::setting("batch_size and sample are numbers of rows", "take at least 2"));
        }
        for name in self.metrics.iter().map(|name| name.trim()) {
            let Some(metric) = Metric::named(name) else { continue };
            if metric.needs(Need::BatchLabels) && !given.batch {
                return Err(Error::setting(format!("metrics: {name} needs the batch of each row"), "add batch="));
            }
            if metric.needs(Need::ClusterDraws) && self.clustering != "mteb" {
                return Err(Error::setting(format!("metrics: {name} is of several draws"), "add clustering=\"mteb\""));
            }
            let levels = Levels { ks: &self.k, fars: &USUAL_FARS };
            if name.contains('@') && !metric.names(levels).any(|known| known == Metric::canonical(name)) {
                return Err(Error::setting(format!("metrics: {name} is not among k"), "add its number to k"));
            }
        }
        let unused = [
            (given.gallery && !metrics.needs(Need::Neighbours), "gallery", "add metrics=\"retrieval\""),
            (given.batch && !metrics.needs(Need::BatchLabels), "batch", "add metrics=\"single_cell\""),
            (given.clusters && !metrics.needs(Need::Clusters), "clusters", "add metrics=\"clustering\""),
            (self.sample.is_some() && !metrics.needs(Need::SampledPairs), "sample", "add metrics=\"uniformity\""),
            (self.class_intervals && !self.intervals, "class_intervals", "add intervals=True"),
        ];
        match unused.into_iter().find(|(unused, _, _)| *unused) {
            Some((_, parameter, tip)) => {
                Err(Error::setting(format!("{parameter}: nothing that is computed uses it"), tip))
            }
            None => Ok(()),
        }
    }
}

/// The precision of that name.
pub(crate) fn precision(name: Option<&str>) -> Result<Option<Precision>> {
    name.map(|name| named("precision", name, &["f32", "f64"])).transpose()
}

/// A value by its name in results.
fn named<T: DeserializeOwned>(parameter: &str, name: &str, known: &[&str]) -> Result<T> {
    T::deserialize(IntoDeserializer::<NameError>::into_deserializer(name)).map_err(|_| {
        let known: Vec<String> = known.iter().map(|&name| name.to_owned()).collect();
        Error::setting(format!("{parameter}: unknown value '{name}'"), choices(Some(name), &known))
    })
}
