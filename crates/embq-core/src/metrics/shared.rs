//! Work that several metrics share, and the numbers that come of it.
//!
//! A family is a function from [`SharedWork`] to [`Measures`]. It takes the work it needs where it needs it: the first to
//! take it has it done, the others get what is there, and what nobody takes is not done.

use std::cell::OnceCell;

use indexmap::IndexMap;

use crate::data::{Dataset, LabelColumn, PairList, Precision, drawn};
use crate::distance::Distance;
use crate::error::{Error, Result};
use crate::kernels::{
    BoundedPairs, ClassDistanceKernel, ClassDistances, ClassMeans, Covariance, Eigen, NearestMeans, PairStatistics,
    PairsWanted, PassOptions, covariance,
};
use crate::metrics::clustering::Clustering;
use crate::metrics::mean::WeightedMean;
use crate::metrics::metric::{Family, Levels, Metric, Need, Selection, at_far};
use crate::metrics::probe::ProbeSettings;
use crate::metrics::ranking::{Gallery, Ranking, Search, TO_R, rank};
use crate::metrics::row_means::{Means, RowMeans};
use crate::metrics::row_score::{RowScore, RowScoreFold};
use crate::metrics::soft_silhouette::{SmoothMaximum, SoftMinimum};
use crate::metrics::temperature::{Temperature, find_temperature};
use crate::metrics::totals::{
    NearestTotals, ScoreTotals, SimplifiedTotals, SpreadTotals, Totals, means_of_classes, squares_between,
};
use crate::metrics::validity::mean;
use crate::metrics::verification::PairCurves;
use crate::metrics::whitening::whitening;
use crate::progress::Progress;

/// Data beside the embeddings and labels that some metrics need.
#[derive(Clone, Copy, Debug, Default)]
pub struct Auxiliary<'a> {
    /// Rows among which the neighbours of the rows are looked for, instead of among themselves.
    pub gallery: Option<&'a Dataset<'a>>,
    /// For each row that takes part the row of the gallery that it is, where it is not to find itself; see
    /// [`identical_rows`](crate::data::identical_rows).
    pub own_rows: &'a [Option<usize>],
    /// The batch that each row of the embeddings, as stored, comes from.
    pub batches: Option<&'a LabelColumn>,
    /// The cluster of each row of the embeddings, as stored, if the rows are not to be clustered.
    pub clusters: Option<&'a LabelColumn>,
    /// The pairs that verification looks at, instead of all pairs.
    pub pairs: Option<&'a PairList>,
}

/// What is to be measured, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measuring<'a> {
    pub(crate) selection: &'a Selection,
    pub(crate) precision: Precision,
    pub(crate) temperature: Temperature,
    pub(crate) softmin: SoftMinimum,
    pub(crate) softmax: SmoothMaximum,
    /// Rows of a training batch, where batches are scored.
    pub(crate) batch_size: Option<usize>,
    /// Numbers of neighbours or components, ascending, and false accept rates.
    pub(crate) levels: Levels<'a>,
    /// Rows that pairs are drawn from, if not all.
    pub(crate) sample: Option<usize>,
    pub(crate) probe: ProbeSettings,
    pub(crate) clustering: Clustering,
    pub(crate) seed: u64,
    /// Whether the K x K matrix of class distances is wanted.
    pub(crate) matrix: bool,
    /// Whether the influence of rows on scores is asked for afterwards.
    pub(crate) intervals: bool,
}

/// Why a number is undefined for the data.
pub(crate) type Reason = String;

/// A number, or why there is none.
pub(crate) type Measured = std::result::Result<f64, Reason>;

/// The temperature of the supervised contrastive loss.
pub(crate) const SUPCON_TEMPERATURE: f64 = 0.1;

/// A data set and what has been worked out of it so far.
pub(crate) struct SharedWork<'a> {
    pub(crate) dataset: &'a Dataset<'a>,
    pub(crate) auxiliary: Auxiliary<'a>,
    pub(crate) measuring: Measuring<'a>,
    pub(crate) progress: &'a dyn Progress,
    /// Whether the rows are a part of those of the classes, so that nothing but sums over them is of use.
    is_part: bool,
    kernel: OnceCell<ClassDistanceKernel<'a>>,
    temperature: OnceCell<f64>,
    class_distances: OnceCell<ClassDistances<RowScore>>,
    score_totals: OnceCell<ScoreTotals>,
    row_means: OnceCell<RowMeans>,
    spread_totals: OnceCell<SpreadTotals>,
    means: OnceCell<ClassMeans<'a>>,
    unit_means: OnceCell<Option<ClassMeans<'a>>>,
    radii: OnceCell<Vec<WeightedMean>>,
    simplified_totals: OnceCell<SimplifiedTotals>,
    nearest_totals: OnceCell<NearestTotals>,
    squares_between: OnceCell<Option<Vec<WeightedMean>>>,
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
        dataset: &'a Dataset<'a>,
        auxiliary: Auxiliary<'a>,
        measuring: Measuring<'a>,
        progress: &'a dyn Progress,
    ) -> Self {
        SharedWork {
            dataset,
            auxiliary,
            measuring,
            progress,
            is_part: false,
            kernel: OnceCell::new(),
            temperature: OnceCell::new(),
            class_distances: OnceCell::new(),
            score_totals: OnceCell::new(),
            row_means: OnceCell::new(),
            spread_totals: OnceCell::new(),
            means: OnceCell::new(),
            unit_means: OnceCell::new(),
            radii: OnceCell::new(),
            simplified_totals: OnceCell::new(),
            nearest_totals: OnceCell::new(),
            squares_between: OnceCell::new(),
            nearest_means: OnceCell::new(),
            unit_nearest_means: OnceCell::new(),
            covariance: OnceCell::new(),
            eigenvalues: OnceCell::new(),
            ranking: OnceCell::new(),
            pairs: OnceCell::new(),
            unit_pairs: OnceCell::new(),
        }
    }

    /// The same with classes that are known from more than these rows, of which these are a part. Means are those of the
    /// rows as they are and of their unit vectors, where selected metrics need them.
    pub(crate) fn of_part(
        self,
        kernel: ClassDistanceKernel<'a>,
        means: Option<ClassMeans<'a>>,
        unit_means: Option<ClassMeans<'a>>,
    ) -> Self {
        SharedWork {
            is_part: true,
            kernel: OnceCell::from(kernel),
            means: means.map_or_else(OnceCell::new, OnceCell::from),
            unit_means: unit_means.map_or_else(OnceCell::new, |means| OnceCell::from(Some(means))),
            ..self
        }
    }

    /// The same with all that the rows add up to, so that no row is read.
    pub(crate) fn of_totals(self, totals: Totals) -> Self {
        let Totals { scores, spread, radii, simplified, nearest, along } = totals;
        SharedWork {
            is_part: false,
            score_totals: scores.map_or_else(OnceCell::new, OnceCell::from),
            spread_totals: spread.map_or_else(OnceCell::new, OnceCell::from),
            radii: radii.map_or_else(OnceCell::new, OnceCell::from),
            simplified_totals: simplified.map_or_else(OnceCell::new, OnceCell::from),
            nearest_totals: nearest.map_or_else(OnceCell::new, OnceCell::from),
            squares_between: along.map_or_else(OnceCell::new, |along| OnceCell::from(Some(along))),
            ..self
        }
    }

    /// What the rows add up to for the selected metrics.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn totals(&self) -> Result<Totals> {
        let selected = |ids: &[&str]| ids.iter().any(|id| self.is_selected(id));
        let (scores, spread) = if self.measuring.selection.needs(Need::ClassDistances) {
            (Some(self.score_totals()?.clone()), Some(self.spread_totals()?.clone()))
        } else {
            (None, None)
        };
        let if_selected = |ids: &[&str]| selected(ids).then_some(());
        Ok(Totals {
            scores,
            spread,
            radii: if_selected(&["davies_bouldin"]).map(|()| self.radii().map(<[_]>::to_vec)).transpose()?,
            simplified: if_selected(&["simplified_silhouette"])
                .map(|()| self.simplified_totals().copied())
                .transpose()?,
            nearest: if_selected(&["nc4", "ncc_accuracy"]).map(|()| self.nearest_totals().copied()).transpose()?,
            along: if_selected(&["nc1"])
                .map(|()| self.squares_between().map(|along| along.map(<[_]>::to_vec)))
                .transpose()?
                .flatten(),
        })
    }

    /// Whether the metric of that id is selected.
    pub(crate) fn is_selected(&self, id: &str) -> bool {
        self.measuring.selection.contains(id)
    }

    /// Whether the rows are those of a distance matrix and have no coordinates.
    pub(crate) fn is_precomputed(&self) -> bool {
        self.dataset.distance() == Distance::Precomputed
    }

    /// What the passes that give [`SharedWork::class_distances`] share.
    pub(crate) fn kernel(&self) -> Result<&ClassDistanceKernel<'a>> {
        once(&self.kernel, || {
            ClassDistanceKernel::new(self.dataset, self.dataset.distance(), self.measuring.precision, self.progress)
        })
    }

    /// The temperature of the soft silhouette, found if it was not given.
    pub(crate) fn temperature(&self) -> Result<f64> {
        match self.measuring.temperature {
            Temperature::Value(temperature) => Ok(temperature),
            Temperature::Auto => once(&self.temperature, || find_temperature(self.dataset, self.kernel()?)).copied(),
        }
    }

    /// What makes a score of the mean distances of a row to classes with these numbers of rows.
    pub(crate) fn fold<'c>(&self, counts: &'c [usize]) -> Result<RowScoreFold<'c>> {
        Ok(RowScoreFold {
            precision: self.measuring.precision,
            temperature: self.temperature()?,
            softmin: self.measuring.softmin,
            softmax: self.measuring.softmax,
            counts,
        })
    }

    /// The scores of the rows by their mean distances to the classes, and the statistics of the classes that a selected
    /// metric needs: one pass.
    pub(crate) fn class_distances(&self) -> Result<&ClassDistances<RowScore>> {
        once(&self.class_distances, || {
            let fold = self.fold(self.dataset.labels().counts())?;
            let geometry = self.measuring.selection.needs(Need::ClassGeometry);
            let wanted = if self.is_part {
                PassOptions { radii: geometry, ..PassOptions::default() }
            } else {
                let keep = self.measuring.intervals && !self.dataset.scored().is_subsample();
                PassOptions { geometry, matrix: self.measuring.matrix, keep, ..PassOptions::default() }
            };
            self.kernel()?.pass(&fold, wanted)
        })
    }

    /// Means of the scores of the rows.
    pub(crate) fn row_means(&self) -> Result<&RowMeans> {
        once(&self.row_means, || Ok(self.score_totals()?.means()))
    }

    /// What the scores of the rows add up to.
    pub(crate) fn score_totals(&self) -> Result<&ScoreTotals> {
        once(&self.score_totals, || Ok(ScoreTotals::new(self.dataset, &self.class_distances()?.rows)))
    }

    /// How the rows of each class lie to one another and to their mean, by the distance of the data set.
    pub(crate) fn spread_totals(&self) -> Result<&SpreadTotals> {
        once(&self.spread_totals, || Ok(SpreadTotals::new(self.dataset, self.class_distances()?)))
    }

    /// The kernel and the class distances, where they were computed; all other work is let go of.
    pub(crate) fn into_class_distances(self) -> (Option<ClassDistanceKernel<'a>>, Option<ClassDistances<RowScore>>) {
        (self.kernel.into_inner(), self.class_distances.into_inner())
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
            Distance::Euclidean | Distance::SqEuclidean | Distance::Manhattan | Distance::Hamming => {
                self.means()?.collapsed()
            }
        })
    }

    /// By class the Euclidean distances of the rows to their mean: one pass.
    pub(crate) fn radii(&self) -> Result<&[WeightedMean]> {
        Ok(once(&self.radii, || {
            let squares = self.means()?.own_squares()?;
            Ok(means_of_classes(self.dataset, squares.into_iter().map(f64::sqrt)))
        })?)
    }

    /// What the distances of the rows to the class means add up to as the simplified silhouette.
    pub(crate) fn simplified_totals(&self) -> Result<&SimplifiedTotals> {
        once(&self.simplified_totals, || {
            let root = self.dataset.distance() == Distance::Euclidean;
            Ok(SimplifiedTotals::new(self.nearest_means_by_distance()?, root))
        })
    }

    /// How many rows are nearest to the mean of their own class.
    pub(crate) fn nearest_totals(&self) -> Result<&NearestTotals> {
        once(&self.nearest_totals, || Ok(NearestTotals::new(self.dataset, self.nearest_means()?)))
    }

    /// By class the squares of the rows along the directions between classes, each over the scatter along it; `None` where
    /// all class means coincide: one pass.
    pub(crate) fn squares_between(&self) -> Result<Option<&[WeightedMean]>> {
        let along = once(&self.squares_between, || {
            let means = self.means()?;
            match whitening(&means.centred())? {
                Some(directions) => squares_between(self.dataset, means, &directions).map(Some),
                None => Ok(None),
            }
        })?;
        Ok(along.as_deref())
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
            Distance::Manhattan | Distance::Precomputed => {
                Ok(once(&self.unit_nearest_means, || self.means()?.nearest(true))?)
            }
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
        let any = |ids: [&str; 2]| ids.into_iter().any(|id| self.is_selected(id));
        let search = Search {
            ks: self.measuring.levels.ks,
            to_k: any(["knn_accuracy", "recall"]),
            to_r: any(TO_R),
            hubs: any(["hubness", "antihub_share"]),
            to_first_hit: self.is_selected("mrr"),
        };
        let own_rows = self.auxiliary.own_rows;
        let gallery = self.auxiliary.gallery.map(|rows| Gallery { rows, own_rows });
        once(&self.ranking, || match self.measuring.precision {
            Precision::F32 => rank::<f32>(self.dataset, gallery, search, self.progress),
            Precision::F64 => rank::<f64>(self.dataset, gallery, search, self.progress),
        })
    }

    /// Numbers of all pairs of rows by the distance of the data set: O(N^2 d). Where this is cosine, one pass gives all
    /// that selected metrics need of unit vectors, too.
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
                potential: self.is_selected("uniformity") && sampled.is_none(),
                log_sums: self.is_selected("supcon").then_some(SUPCON_TEMPERATURE),
                extremes: cosine && self.is_selected("dunn"),
            };
            let mut statistics = if wanted == PairsWanted::default() {
                PairStatistics::default()
            } else {
                self.pair_statistics(self.dataset, Distance::Cosine, wanted)?
            };
            if let Some(sample) = sampled
                && self.is_selected("uniformity")
            {
                let rows = drawn(self.dataset.len(), sample, self.measuring.seed);
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

/// The numbers of the selected metrics, in the order in which they were measured.
pub(crate) struct Measures<'a> {
    selection: &'a Selection,
    levels: Levels<'a>,
    class_weights: &'a [f64],
    pub(crate) values: IndexMap<String, Option<f64>>,
    /// Of metrics that are means of a value of each row, whatever the other rows are, these values.
    pub(crate) of_rows: IndexMap<&'static str, Vec<f64>>,
    /// For each metric given by class its values, in class order.
    pub(crate) by_class: Vec<(&'static str, Vec<Option<f64>>)>,
    /// For each metric given by class that some classes lack, how many these are.
    pub(crate) undefined_classes: IndexMap<String, usize>,
    /// For each class the nearest other one, where separations are measured.
    pub(crate) nearest_classes: Vec<Option<u32>>,
    /// As [`RowMeans::confusions`], where silhouettes are measured.
    pub(crate) confusions: Vec<Vec<(u32, f64)>>,
    pub(crate) warnings: Vec<String>,
    /// What is drawn of pairs, where they are verified.
    pub(crate) curves: Option<PairCurves>,
}

impl<'a> Measures<'a> {
    pub(crate) fn new(work: &SharedWork<'a>) -> Self {
        Measures {
            selection: work.measuring.selection,
            levels: work.measuring.levels,
            class_weights: work.dataset.class_weights(),
            values: IndexMap::new(),
            of_rows: IndexMap::new(),
            by_class: Vec::new(),
            undefined_classes: IndexMap::new(),
            nearest_classes: Vec::new(),
            confusions: Vec::new(),
            warnings: Vec::new(),
            curves: None,
        }
    }

    /// Measures a metric if it is selected.
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

    /// Adds the mean of a value of each row, if it is selected. What a row does to the values of others is taken to be
    /// nothing.
    pub(crate) fn add_mean(&mut self, id: &'static str, of_rows: std::result::Result<&[f64], &Reason>) {
        if self.selection.contains(id) {
            self.push(id.to_owned(), of_rows.map_err(Reason::clone).and_then(|of_rows| mean(of_rows.iter().copied())));
            self.of_rows.extend(of_rows.ok().map(|of_rows| (id, of_rows.to_vec())));
        }
    }

    /// Measures a metric that is given at each k, if it is selected.
    ///
    /// # Errors
    /// Those of the measurement.
    pub(crate) fn add_at_k(&mut self, id: &str, measure: impl Fn(usize) -> Result<Measured>) -> Result<()> {
        if self.selection.contains(id) {
            let least = Metric::find(id).map_or(1, |metric| metric.least_k);
            for &k in self.levels.ks.iter().filter(|&&k| k >= least) {
                let measured = measure(k)?;
                self.push(format!("{id}@{k}"), measured);
            }
        }
        Ok(())
    }

    /// Measures a metric that is given at each false accept rate, if it is selected.
    ///
    /// # Errors
    /// Those of the measurement.
    pub(crate) fn add_at_far(&mut self, id: &str, measure: impl Fn(f64) -> Result<Measured>) -> Result<()> {
        if self.selection.contains(id) {
            for &far in self.levels.fars {
                let measured = measure(far)?;
                self.push(at_far(id, far), measured);
            }
        }
        Ok(())
    }

    /// Whether the metric of that id is selected.
    pub(crate) fn is_selected(&self, id: &str) -> bool {
        self.selection.contains(id)
    }

    /// Measures a metric that is given by class, if it is selected: its mean over rows, its mean over classes, and the
    /// classes themselves. `undefined` is why no class has a value where none has.
    ///
    /// # Errors
    /// Those of the measurement.
    pub(crate) fn add_by_class(
        &mut self,
        id: &'static str,
        undefined: &str,
        measure: impl FnOnce(&[f64]) -> Result<Means>,
    ) -> Result<()> {
        if !self.selection.contains(id) {
            return Ok(());
        }
        let means = measure(self.class_weights)?;
        let missing = means.by_class.iter().filter(|value| value.is_none()).count();
        if missing == means.by_class.len() {
            self.warn(format!("{id} and {id}_macro are undefined: {undefined}"));
        }
        if missing > 0 {
            self.undefined_classes.insert(id.to_owned(), missing);
        }
        self.values.insert(id.to_owned(), means.over_rows);
        self.values.insert(format!("{id}_macro"), means.over_classes());
        self.by_class.push((id, means.by_class));
        Ok(())
    }

    /// The selected metrics of a family that is not defined for rows with weights.
    pub(crate) fn undefined_with_weights(&mut self, family: &Family) {
        for metric in family.metrics.iter().filter(|metric| self.selection.contains(metric.id)) {
            self.values.extend(metric.names(self.levels).map(|name| (name, None)));
        }
        self.warn(format!("the metrics of {} are undefined: they have no form with row weights", family.name));
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
                self.warn(format!("{name} is undefined: {reason}"));
                None
            }
        };
        self.values.insert(name, value);
    }
}
