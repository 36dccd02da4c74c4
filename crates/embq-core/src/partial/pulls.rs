//! What the rows of a part do to the mean distances of all others: the sums that the influence of rows is found with.

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::kernels::{Nearest, Pulls};
use crate::losses::SoftSilhouette;
use crate::metrics::{Levels, Metric, Need, Totals};
use crate::partial::header::StateSettings;
use crate::partial::moments::Moments;
use crate::partial::table::{StateColumn, StateTable};
use crate::progress::{NoProgress, Progress};
use crate::uncertainty::{RowValue, SILHOUETTES, row_values};

/// Numbers that the sums for the intervals of classes may take, for each of the two silhouettes: K x K x d.
const CLASS_SUMS: usize = 1 << 21;

/// The scores that are summed, in the order of [`row_values`]; the last one only where a metric needs it.
const SCORES: [&str; 5] = ["silhouette", "soft_silhouette", "a", "b", "separation"];

/// Groups of rows that scores are summed over: all by weight, and all by class.
const GROUPS: [&str; 2] = ["over_rows", "over_classes"];

impl StateSettings {
    /// The names of the numbers that have intervals, unless they are undefined.
    pub(crate) fn with_intervals(&self) -> impl Iterator<Item = String> {
        let metrics = self.metrics.iter().filter_map(|id| Metric::find(id)).filter(|metric| metric.has_interval);
        metrics.flat_map(|metric| metric.names(Levels::USUAL))
    }

    /// The scores whose means these are made of.
    fn interval_scores(&self) -> &'static [&'static str] {
        let of_classes = self.settings().metrics.needs(Need::ClassGeometry);
        if of_classes { &SCORES } else { &SCORES[..SCORES.len() - 1] }
    }

    /// How many of the first scores have intervals for each of so many classes.
    pub(crate) fn class_intervals(&self, classes: usize) -> usize {
        let numbers = classes.saturating_mul(classes).saturating_mul(self.dimensions);
        if numbers <= CLASS_SUMS { SILHOUETTES.len() } else { 0 }
    }
}

/// The scores of rows whose means have intervals.
pub(crate) struct IntervalScores<'m> {
    soft: SoftSilhouette,
    nearest: Vec<Option<Nearest>>,
    counts: &'m [usize],
}

impl<'m> IntervalScores<'m> {
    /// Of rows of these classes.
    ///
    /// # Errors
    /// Settings without a metric that has an interval.
    pub(crate) fn new(moments: &'m Moments) -> Result<Self> {
        let settings = moments.settings();
        if settings.with_intervals().next().is_none() {
            let problem = "none of the metrics has an interval";
            return Err(Error::setting(problem, "leave intervals out, or add silhouette to the metrics of all parts"));
        }
        let evaluated = settings.settings();
        let nearest = if evaluated.metrics.needs(Need::ClassGeometry) {
            let whole = moments.whole()?;
            let work = moments.work(&whole, evaluated.measuring(settings.precision), &NoProgress)?;
            work.of_totals(Totals::default()).class_distances()?.geometry.nearest.clone()
        } else {
            Vec::new()
        };
        let soft = evaluated.soft_silhouette(settings.temperature);
        Ok(IntervalScores { soft, nearest, counts: &moments.counts })
    }

    pub(crate) fn values(&self) -> Vec<RowValue<'_>> {
        row_values(&self.soft, &self.nearest, crate::data::Precision::F64, self.counts)
    }
}

/// For each score what the rows do to all classes, through their scores over all rows, over all classes, and over each
/// class where that [is known](StateSettings::class_intervals).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PullSums(pub(crate) Vec<Vec<Pulls>>);

impl PullSums {
    /// Of rows of the classes of the moments.
    ///
    /// # Errors
    /// Settings without a metric that has an interval, and what reading rows reports.
    pub(crate) fn new(dataset: &Dataset, moments: &Moments, progress: &dyn Progress) -> Result<Self> {
        let scores = IntervalScores::new(moments)?;
        let with_classes = moments.settings().class_intervals(moments.classes());
        let rows = dataset.in_any_order(moments.settings().precision)?;
        moments.closed_form(&rows, progress)?.part_pulls(&scores.values(), with_classes).map(PullSums)
    }

    pub(crate) fn merge(&mut self, other: &PullSums) {
        for (own, others) in self.0.iter_mut().flatten().zip(other.0.iter().flatten()) {
            own.merge(others);
        }
    }

    /// As columns of a row for each class, and a last one that is empty.
    pub(crate) fn columns(&self, classes: usize, d: usize) -> Vec<(String, StateColumn)> {
        let mut columns = Vec::new();
        let mut push = |name: String, width: usize, mut values: Vec<f64>| {
            values.resize((classes + 1) * width, 0.0);
            columns.push((name, StateColumn::Vectors { width, values }));
        };
        for (score, pulls) in SCORES.iter().zip(&self.0) {
            let (of_all, of_classes) = pulls.split_at(GROUPS.len().min(pulls.len()));
            for (group, pulls) in GROUPS.iter().zip(of_all) {
                push(format!("{score}_slopes_{group}"), 1, pulls.slopes().to_vec());
                push(format!("{score}_vectors_{group}"), d, pulls.vectors().to_vec());
            }
            if !of_classes.is_empty() {
                let slopes = of_classes.iter().flat_map(Pulls::slopes).copied().collect();
                let vectors = of_classes.iter().flat_map(Pulls::vectors).copied().collect();
                push(format!("{score}_slopes_of_class"), classes, slopes);
                push(format!("{score}_vectors_of_class"), classes * d, vectors);
            }
        }
        columns
    }

    /// From the columns.
    ///
    /// # Errors
    /// Columns that are missing or of another width; `name` is what errors call the table.
    pub(crate) fn of_table(table: &StateTable, settings: &StateSettings, classes: usize, name: &str) -> Result<Self> {
        let d = settings.dimensions;
        let vectors = |column: String, width: usize| -> Result<Vec<f64>> {
            Ok(table.vectors(&column, width, name)?[..classes * width].to_vec())
        };
        let with_classes = if classes == 0 { 0 } else { settings.class_intervals(classes) };
        let of_score = |(place, score): (usize, &&str)| -> Result<Vec<Pulls>> {
            let of_group = |group: &&str| {
                let slopes = vectors(format!("{score}_slopes_{group}"), 1)?;
                Ok(Pulls::of(slopes, vectors(format!("{score}_vectors_{group}"), d)?))
            };
            let mut pulls: Vec<Pulls> = GROUPS.iter().map(of_group).collect::<Result<_>>()?;
            if place < with_classes {
                let slopes = vectors(format!("{score}_slopes_of_class"), classes)?;
                let vectors = vectors(format!("{score}_vectors_of_class"), classes * d)?;
                let of_classes = slopes.chunks_exact(classes).zip(vectors.chunks_exact(classes * d));
                pulls.extend(of_classes.map(|(slopes, vectors)| Pulls::of(slopes.to_vec(), vectors.to_vec())));
            }
            Ok(pulls)
        };
        settings.interval_scores().iter().enumerate().map(of_score).collect::<Result<_>>().map(PullSums)
    }
}
