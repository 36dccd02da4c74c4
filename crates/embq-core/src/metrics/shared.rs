//! Work that several metrics share, and the numbers that come of it.
//!
//! A family is a function from [`SharedWork`] to [`Measures`]. It asks for the work it needs where it needs it: the first
//! to ask has it done, the others get what is there, and what nobody asks for is not done.

use std::cell::OnceCell;

use crate::data::{Dataset, LabelColumn, Precision, shuffled};
use crate::distance::Distance;
use crate::error::{Error, Result};
use crate::kernels::{
    BoundedPairs, ClassMeans, Covariance, Eigen, NearestMeans, PairStatistics, PairsWanted, covariance,
};
use crate::metrics::ranking::{Gallery, Ranking, Search, rank};
use crate::metrics::{Family, METRICS, RowScore, Selection};
use crate::progress::Progress;

/// Data beside the embeddings and labels that some metrics need.
#[derive(Clone, Copy, Debug, Default)]
pub struct Companions<'a> {
    /// Rows among which the neighbours of the rows are looked for, instead of among themselves.
    pub gallery: Option<&'a Dataset>,
    /// For each row that takes part the row of the gallery that it is, where it is not to find itself; see
    /// [`identical_rows`](crate::data::identical_rows).
    pub own_rows: &'a [Option<usize>],
    /// The batch that each row of the embeddings, as stored, comes from.
    pub batches: Option<&'a LabelColumn>,
}

/// What is to be measured, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measuring<'a> {
    pub(crate) selection: &'a Selection,
    pub(crate) precision: Precision,
    /// Numbers of neighbours or components, ascending.
    pub(crate) ks: &'a [usize],
    /// Rows that pairs are drawn from, if not all.
    pub(crate) sample: Option<usize>,
    pub(crate) seed: u64,
}

/// Why a number is undefined for the data.
pub(crate) type Reason = String;

/// A number, or why there is none.
pub(crate) type Measured = std::result::Result<f64, Reason>;

/// The temperature of the supervised contrastive loss.
pub(crate) const SUPCON_TEMPERATURE: f64 = 0.1;

/// A data set and what has been worked out of it so far.
pub(crate) struct SharedWork<'a> {
    pub(crate) dataset: &'a Dataset,
    pub(crate) companions: Companions<'a>,
    pub(crate) measuring: Measuring<'a>,
    pub(crate) progress: &'a dyn Progress,
    /// The silhouettes of the rows, where these were computed.
    pub(crate) scores: Option<&'a [RowScore]>,
    means: OnceCell<ClassMeans<'a>>,
    unit_means: OnceCell<Option<ClassMeans<'a>>>,
    own_squares: OnceCell<Vec<f64>>,
    nearest_means: OnceCell<Vec<NearestMeans>>,
    unit_nearest_means: OnceCell<Vec<NearestMeans>>,
    covariance: OnceCell<Covariance>,
    eigenvalues: OnceCell<Vec<f64>>,
    ranking: OnceCell<Ranking>,
    pairs: OnceCell<PairStatistics>,
    unit_pairs: OnceCell<PairStatistics>,
}

/// What is in the cell, made now if nothing is.
fn once<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let value = make()?;
    Ok(cell.get_or_init(|| value))
}

impl<'a> SharedWork<'a> {
    pub(crate) fn new(
        dataset: &'a Dataset,
        companions: Companions<'a>,
        measuring: Measuring<'a>,
        scores: Option<&'a [RowScore]>,
        progress: &'a dyn Progress,
    ) -> Self {
        SharedWork {
            dataset,
            companions,
            measuring,
            progress,
            scores,
            means: OnceCell::new(),
            unit_means: OnceCell::new(),
            own_squares: OnceCell::new(),
            nearest_means: OnceCell::new(),
            unit_nearest_means: OnceCell::new(),
            covariance: OnceCell::new(),
            eigenvalues: OnceCell::new(),
            ranking: OnceCell::new(),
            pairs: OnceCell::new(),
            unit_pairs: OnceCell::new(),
        }
    }

    /// Whether the metric of that id is asked for.
    pub(crate) fn asked_for(&self, id: &str) -> bool {
        self.measuring.selection.contains(id)
    }

    /// Whether the rows are those of a distance matrix and have no coordinates.
    pub(crate) fn is_precomputed(&self) -> bool {
        self.dataset.distance() == Distance::Precomputed
    }

    /// The means of the classes, of the rows as they are given: one pass.
    pub(crate) fn means(&self) -> Result<&ClassMeans<'a>> {
        once(&self.means, || ClassMeans::new(self.dataset, false, self.progress))
    }

    /// The means of the classes of the rows scaled to length 1; `None` where some row is a zero vector: one pass.
    pub(crate) fn unit_means(&self) -> Result<Option<&ClassMeans<'a>>> {
        let means = once(&self.unit_means, || {
            if self.dataset.distance() != Distance::Cosine && self.has_zero_rows()? {
                return Ok(None);
            }
            ClassMeans::new(self.dataset, true, self.progress).map(Some)
        })?;
        Ok(means.as_ref())
    }

    fn has_zero_rows(&self) -> Result<bool> {
        let checked = match self.measuring.precision {
            Precision::F32 => self.dataset.check_values_for::<f32>(Distance::Cosine),
            Precision::F64 => self.dataset.check_values_for::<f64>(Distance::Cosine),
        };
        match checked {
            Err(Error::ZeroVector { .. }) => Ok(true),
            checked => checked.map(|()| false),
        }
    }

    /// Whether all rows lie at distance 0 of each other, as far as a pass over them tells.
    pub(crate) fn collapsed(&self) -> Result<bool> {
        Ok(match self.dataset.distance() {
            Distance::Precomputed => false,
            Distance::Cosine => self.unit_means()?.is_some_and(ClassMeans::collapsed),
            _ => self.means()?.collapsed(),
        })
    }

    /// The squared Euclidean distance of each row to the mean of its class: one pass.
    pub(crate) fn own_squares(&self) -> Result<&[f64]> {
        Ok(once(&self.own_squares, || self.means()?.own_squares())?)
    }

    /// The squared Euclidean distances of each row to the means: O(N K d).
    pub(crate) fn nearest_means(&self) -> Result<&[NearestMeans]> {
        Ok(once(&self.nearest_means, || self.means()?.nearest(false))?)
    }

    /// The distances of each row to the means by the distance of the data set (squared for `euclidean`): O(N K d).
    pub(crate) fn nearest_means_by_distance(&self) -> Result<&[NearestMeans]> {
        match self.dataset.distance() {
            Distance::Euclidean | Distance::SqEuclidean | Distance::Hamming => self.nearest_means(),
            Distance::Cosine => Ok(once(&self.unit_nearest_means, || match self.unit_means()? {
                Some(means) => means.nearest(false),
                None => Ok(Vec::new()),
            })?),
            _ => Ok(once(&self.unit_nearest_means, || self.means()?.nearest(true))?),
        }
    }

    /// Mean and covariance of the rows: one pass, O(N d^2).
    pub(crate) fn covariance(&self) -> Result<&Covariance> {
        once(&self.covariance, || covariance(self.dataset, self.progress))
    }

    /// The eigenvalues of the covariance, largest first; those that are rounding are 0: O(d^3).
    pub(crate) fn eigenvalues(&self) -> Result<&[f64]> {
        let values = once(&self.eigenvalues, || {
            let covariance = self.covariance()?;
            Ok(without_rounding(Eigen::of(&covariance.matrix, 0)?.values, covariance.rows - 1))
        })?;
        Ok(values)
    }

    /// What the nearest rows of each row are: O(N^2 d).
    pub(crate) fn ranking(&self) -> Result<&Ranking> {
        let any = |ids: [&str; 2]| ids.into_iter().any(|id| self.asked_for(id));
        let search = Search {
            ks: self.measuring.ks,
            to_k: any(["knn_accuracy", "recall"]),
            to_r: any(["r_precision", "map_at_r"]),
            hubs: any(["hubness", "antihub_share"]),
            to_first_hit: self.asked_for("mrr"),
        };
        let own_rows = self.companions.own_rows;
        let gallery = self.companions.gallery.map(|rows| Gallery { rows, own_rows });
        once(&self.ranking, || match self.measuring.precision {
            Precision::F32 => rank::<f32>(self.dataset, gallery, search, self.progress),
            Precision::F64 => rank::<f64>(self.dataset, gallery, search, self.progress),
        })
    }

    /// Numbers of all pairs of rows by the distance of the data set: O(N^2 d). Where this is cosine, one pass gives all
    /// that is asked for of unit vectors, too.
    pub(crate) fn pairs(&self) -> Result<&PairStatistics> {
        if self.dataset.distance() == Distance::Cosine {
            return self.unit_pairs();
        }
        let wanted = PairsWanted { extremes: true, ..Default::default() };
        once(&self.pairs, || self.pair_statistics(self.dataset, self.dataset.distance(), wanted))
    }

    /// Numbers of all pairs of unit vectors: O(N^2 d).
    pub(crate) fn unit_pairs(&self) -> Result<&PairStatistics> {
        once(&self.unit_pairs, || {
            let cosine = self.dataset.distance() == Distance::Cosine;
            let sampled = self.measuring.sample.filter(|&sample| sample < self.dataset.len());
            let wanted = PairsWanted {
                potential: self.asked_for("uniformity") && sampled.is_none(),
                log_sums: self.asked_for("supcon").then_some(SUPCON_TEMPERATURE),
                extremes: cosine && self.asked_for("dunn"),
            };
            let mut statistics = if wanted == PairsWanted::default() {
                PairStatistics::default()
            } else {
                self.pair_statistics(self.dataset, Distance::Cosine, wanted)?
            };
            if let Some(sample) = sampled
                && self.asked_for("uniformity")
            {
                let mut rows = shuffled(self.dataset.len(), self.measuring.seed);
                rows.truncate(sample);
                rows.sort_unstable();
                let wanted = PairsWanted { potential: true, ..Default::default() };
                let sampled = self.pair_statistics(&self.dataset.subset(&rows), Distance::Cosine, wanted)?;
                statistics.potential = sampled.potential;
            }
            Ok(statistics)
        })
    }

    fn pair_statistics(&self, dataset: &Dataset, distance: Distance, wanted: PairsWanted) -> Result<PairStatistics> {
        if self.measuring.precision == Precision::F32 {
            let pairs = BoundedPairs::<f32>::new(dataset, None, distance, self.progress)?;
            if !pairs.overflows() {
                return pairs.statistics(dataset, wanted);
            }
        }
        BoundedPairs::<f64>::new(dataset, None, distance, self.progress)?.statistics(dataset, wanted)
    }
}

/// Eigenvalues of a matrix of at most that rank, largest first, with what is rounding set to 0.
pub(crate) fn without_rounding(mut values: Vec<f64>, rank: usize) -> Vec<f64> {
    let largest = values.first().copied().unwrap_or(0.0);
    let noise = values.len() as f64 * f64::EPSILON * largest;
    for (index, value) in values.iter_mut().enumerate() {
        if index >= rank || *value <= noise {
            *value = 0.0;
        }
    }
    values
}

/// The numbers that were asked for, in the order in which they were measured.
pub(crate) struct Measures<'a> {
    selection: &'a Selection,
    pub(crate) values: Vec<(String, Option<f64>)>,
    pub(crate) warnings: Vec<String>,
}

impl<'a> Measures<'a> {
    pub(crate) fn new(selection: &'a Selection) -> Self {
        Measures { selection, values: Vec::new(), warnings: Vec::new() }
    }

    /// Measures a metric if it is asked for.
    ///
    /// # Errors
    /// Those of the measurement.
    pub(crate) fn add(&mut self, id: &str, measure: impl FnOnce() -> Result<Measured>) -> Result<()> {
        if self.selection.contains(id) {
            let measured = measure()?;
            self.push(id.to_owned(), measured);
        }
        Ok(())
    }

    /// Measures a metric that is given at several k, if it is asked for.
    ///
    /// # Errors
    /// Those of the measurement.
    pub(crate) fn add_at(&mut self, id: &str, ks: &[usize], measure: impl Fn(usize) -> Result<Measured>) -> Result<()> {
        if self.selection.contains(id) {
            for &k in ks {
                let measured = measure(k)?;
                self.push(format!("{id}@{k}"), measured);
            }
        }
        Ok(())
    }

    /// The metrics of a family that has no form with row weights.
    pub(crate) fn unweighted(&mut self, family: Family, ks: &[usize]) {
        for metric in METRICS.iter().filter(|metric| metric.family == family && self.selection.contains(metric.id)) {
            self.values.extend(metric.names(ks).map(|name| (name, None)));
        }
        self.warn(format!("the metrics of {} are undefined: they have no form with row weights", family.name()));
    }

    /// What a reader of the numbers should know.
    pub(crate) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }

    fn push(&mut self, name: String, measured: Measured) {
        let measured = match measured {
            Ok(value) if !value.is_finite() => Err("it is too large for a number".to_owned()),
            measured => measured,
        };
        let value = match measured {
            Ok(value) => Some(value),
            Err(reason) => {
                self.warnings.push(format!("{name} is undefined: {reason}"));
                None
            }
        };
        self.values.push((name, value));
    }
}
