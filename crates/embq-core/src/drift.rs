//! How far one set of rows has moved from another: production data from what a model was trained on, generated samples
//! from real ones.
//!
//! The sets need not have the same number of rows, nor labels. Rows are compared as they are given, by Euclidean
//! distance.
//!
//! ```
//! use embq_core::drift::{DriftSet, DriftSettings, DriftVerdict, drift};
//! use embq_core::progress::NoProgress;
//! # fn main() -> embq_core::Result<()> {
//! let reference = ndarray::Array2::from_shape_fn((200, 2), |(i, j)| ((i * 37 + j * 11) % 101) as f64 / 101.0);
//! let current = &reference + 0.5;
//! let [reference, current] = [DriftSet::unlabelled(reference.view())?, DriftSet::unlabelled(current.view())?];
//! let result = drift(&reference, &current, &DriftSettings::default(), &NoProgress)?;
//! assert!(result.metric("frechet_distance").is_some_and(|distance| (distance - 0.5).abs() < 1e-12));
//! assert_eq!(result.verdict, Some(DriftVerdict::Drift));
//! # Ok(())
//! # }
//! ```

mod classes;
mod discrepancy;
mod domain;
mod entry;
mod frechet;
mod manifold;
mod moments;
mod projection;
mod result;
mod shares;
mod shift;

use std::collections::BTreeSet;
use std::sync::Arc;

use indexmap::IndexMap;
use ndarray::Array2;

use crate::data::{
    Dataset, DatasetOptions, EmbeddingRows, Excluded, Label, LabelColumn, LabelType, Origin, Precision, RowChoice,
    drawn,
};
use crate::distance::Distance;
use crate::error::{Error, Result, choices};
use crate::evaluation::{Envelope, Kind, LabelsDescription};
use crate::kernels::{PooledPairs, Real};
use crate::progress::Progress;
use crate::statistics::holm;
use discrepancy::{Discrepancies, ENERGY, KID, MMD, PassOptions, Tested, discrepancies};
use domain::DOMAIN_AUC;
use entry::{Measured, SHARE, entry};
use frechet::FRECHET_DISTANCE;
use manifold::{COVERAGE, DENSITY, PRECISION, RECALL};
use moments::{BlockMoments, Moments};
use shares::PSI;
use shift::{MEAN_SHIFT, NORM_SHIFT};

pub use entry::DriftMetric;
pub use projection::{JointPoint, JointProjection, joint_projection};
pub use result::{CLASS_NUMBERS, ClassDrift, DriftResult, DriftSettingsUsed, DriftTest, DriftVerdict, SetDescription};

/// Verdicts need a p-value below this.
const LEVEL: f64 = 0.05;

/// Random divisions behind a p-value by default.
pub const PERMUTATIONS: usize = 500;

/// k of precision, recall, density and coverage by default.
pub const NEIGHBOURS: usize = 5;

/// Dimensions up to which the Fréchet distance has an interval by default: it takes 20 more decompositions.
pub const FEW_DIMENSIONS: usize = 1024;

const P_VALUE: &str = "p_value";

/// Other names under which people look for a number.
const ALSO_CALLED: [(&str, &str); 6] = [
    ("fid", FRECHET_DISTANCE),
    ("frechet", FRECHET_DISTANCE),
    ("mmd", MMD),
    ("energy", ENERGY),
    ("auc", DOMAIN_AUC),
    ("prdc", PRECISION),
];

/// A domain AUC from here on is mentioned where the tests show no drift.
const CLEAR_AUC: f64 = 0.75;

/// The smallest p-value, which decides.
const OF_TESTS: &[DriftMetric] =
    &[entry(P_VALUE, "smallest p-value of the tests, after Holm's correction", SHARE, None, "Holm 1979")];

const KINDS: [&[DriftMetric]; 7] = [
    frechet::ENTRIES,
    discrepancy::ENTRIES,
    manifold::ENTRIES,
    domain::ENTRIES,
    shift::ENTRIES,
    shares::ENTRIES,
    OF_TESTS,
];

const COUNT: usize = {
    let (mut count, mut kind) = (0, 0);
    while kind < KINDS.len() {
        count += KINDS[kind].len();
        kind += 1;
    }
    count
};

/// Every number, in the order of output.
pub static DRIFT_METRICS: [DriftMetric; COUNT] = {
    let mut metrics = [KINDS[0][0]; COUNT];
    let (mut filled, mut kind) = (0, 0);
    while kind < KINDS.len() {
        let mut place = 0;
        while place < KINDS[kind].len() {
            metrics[filled] = KINDS[kind][place];
            filled += 1;
            place += 1;
        }
        kind += 1;
    }
    metrics
};

/// The number of that name.
pub fn metric_named(name: &str) -> Option<&'static DriftMetric> {
    DRIFT_METRICS.iter().find(|metric| metric.id == name)
}

/// What is computed, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct DriftSettings {
    /// The numbers to compute, by id; `None` is all.
    pub metrics: Option<BTreeSet<&'static str>>,
    /// k of precision, recall, density and coverage.
    pub neighbours: usize,
    /// Random divisions behind a p-value; 0 for no p-values.
    pub permutations: usize,
    /// Rows of each set, drawn at random, that go into numbers of pairs; `None` is all.
    pub subset: Option<usize>,
    /// Whether the Fréchet distance has an interval; `None` decides by the number of dimensions.
    pub intervals: Option<bool>,
    /// Seed of divisions, blocks and draws.
    pub seed: u64,
    /// Of products of pairs; `None` is that of the rows.
    pub precision: Option<Precision>,
}

impl Default for DriftSettings {
    fn default() -> Self {
        DriftSettings {
            metrics: None,
            neighbours: NEIGHBOURS,
            permutations: PERMUTATIONS,
            subset: None,
            intervals: None,
            seed: 0,
            precision: None,
        }
    }
}

impl DriftSettings {
    /// The numbers of a list of names; `all` is every one.
    ///
    /// # Errors
    /// An unknown name, with the closest one.
    pub fn parse_metrics<'n>(names: impl IntoIterator<Item = &'n str>) -> Result<Option<BTreeSet<&'static str>>> {
        let mut metrics = BTreeSet::new();
        for name in names {
            if name == "all" {
                return Ok(None);
            }
            let metric = metric_named(name).ok_or_else(|| {
                let known: Vec<String> = DRIFT_METRICS.iter().map(|metric| metric.id.to_owned()).collect();
                let lower = name.to_lowercase();
                let meant = ALSO_CALLED.iter().find(|(other, _)| *other == lower).map_or(name, |(_, id)| *id);
                Error::setting(format!("'{name}' is not a number of embq drift"), choices(Some(meant), &known))
            })?;
            metrics.insert(metric.id);
        }
        Ok(Some(metrics))
    }

    /// About how many seconds the numbers of pairs of rows will take on the threads of this process.
    pub fn pair_seconds(&self, reference: &DriftSet<'_>, current: &DriftSet<'_>) -> f64 {
        /// Products and sums of pairs of numbers that a thread does in a second.
        const RATE: f64 = 2e10;
        let used = |rows: &Dataset<'_>| self.subset.map_or(rows.len(), |subset| subset.min(rows.len())) as f64;
        let [Some(first), Some(second)] = [reference.rows(), current.rows()].map(|rows| rows.map(used)) else {
            return 0.0;
        };
        let d = reference.dimensions() as f64;
        let all = first + second;
        let kernels = self.computes_any(&[KID, MMD, ENERGY]);
        let tests = [MMD, ENERGY].into_iter().filter(|id| self.computes(id)).count();
        let balls = self.computes_any(&[PRECISION, RECALL, DENSITY, COVERAGE]);
        let of_kernels = if kernels { 0.5 * all * all * (d + (tests * self.permutations) as f64) } else { 0.0 };
        let of_balls = if balls { 0.5 * all * all * d } else { 0.0 };
        (of_kernels + of_balls) / (RATE * rayon::current_num_threads() as f64)
    }

    /// Whether a number is computed.
    pub fn computes(&self, id: &str) -> bool {
        let chosen = |id: &str| self.metrics.as_ref().is_none_or(|metrics| metrics.contains(id));
        // The smallest p-value needs a test.
        if id == P_VALUE { self.permutations > 0 && (chosen(MMD) || chosen(ENERGY)) } else { chosen(id) }
    }

    fn computes_any(&self, ids: &[&str]) -> bool {
        ids.iter().any(|id| self.computes(id))
    }
}

/// One of the sets that are compared.
#[derive(Clone, Debug)]
pub struct DriftSet<'e>(Content<'e>);

#[derive(Clone, Debug)]
enum Content<'e> {
    Rows { dataset: Box<Dataset<'e>>, has_labels: bool },
    Statistics(Statistics),
}

/// Mean and covariance alone.
#[derive(Clone, Debug)]
struct Statistics {
    origin: Origin,
    moments: Moments,
}

impl<'e> DriftSet<'e> {
    /// Rows with labels, by Euclidean distance.
    ///
    /// # Errors
    /// What [`Dataset::join`] reports.
    pub fn labelled(rows: impl Into<Arc<EmbeddingRows<'e>>>, labels: &LabelColumn, choice: &RowChoice) -> Result<Self> {
        DriftSet::of_rows(rows.into(), labels, choice, true)
    }

    /// Rows without labels.
    ///
    /// # Errors
    /// Rows without dimensions.
    pub fn unlabelled(rows: impl Into<EmbeddingRows<'e>>) -> Result<Self> {
        DriftSet::unlabelled_with(Arc::new(rows.into()), &RowChoice::default())
    }

    /// Rows without labels, of which some are left out.
    ///
    /// # Errors
    /// As [`DriftSet::unlabelled`], and what reading rows reports where invalid ones are dropped.
    pub fn unlabelled_with(rows: impl Into<Arc<EmbeddingRows<'e>>>, choice: &RowChoice) -> Result<Self> {
        let rows = rows.into();
        // All rows are of one class.
        let labels = LabelColumn::from_codes(
            rows.origin().clone(),
            LabelType::Integer,
            vec![Label::Integer(0)],
            vec![0; rows.rows()],
        );
        DriftSet::of_rows(rows, &labels, choice, false)
    }

    fn of_rows(
        rows: Arc<EmbeddingRows<'e>>,
        labels: &LabelColumn,
        choice: &RowChoice,
        has_labels: bool,
    ) -> Result<Self> {
        let options = DatasetOptions { choice: choice.clone(), ..DatasetOptions::default() };
        let name = rows.origin().to_string();
        let dataset = Dataset::join(rows, labels, Distance::Euclidean, &options)?;
        if dataset.is_empty() {
            return Err(Error::setting(format!("{name} has no rows"), "compare files with rows"));
        }
        Ok(DriftSet(Content::Rows { dataset: Box::new(dataset), has_labels }))
    }

    /// The mean (d values) and the covariance (d x d, divided by N - 1) of rows that are not at hand, as pytorch-fid
    /// stores them. Numbers of single rows are undefined for them.
    ///
    /// # Errors
    /// Shapes that do not match, values that are not finite, a matrix that is no covariance.
    pub fn statistics(origin: Origin, mean: Vec<f64>, covariance: Array2<f64>) -> Result<Self> {
        let malformed = |problem: String| {
            let tip = "mu has a value for each dimension, and sigma is numpy.cov(rows, rowvar=False)";
            Err(Error::Malformed { name: origin.to_string(), problem, tip: Some(tip.to_owned()) })
        };
        let d = mean.len();
        if covariance.dim() != (d, d) || d == 0 {
            let (rows, columns) = covariance.dim();
            return malformed(format!("mu has {d} values and sigma is {rows} x {columns}"));
        }
        if mean.iter().chain(&covariance).any(|value| !value.is_finite()) {
            return malformed("mu or sigma has values that are not finite".to_owned());
        }
        let largest = covariance.diag().iter().fold(0.0_f64, |largest, value| largest.max(*value));
        let rounding = 1e-6 * largest;
        let is_symmetric = covariance
            .indexed_iter()
            .all(|((row, column), value)| (value - covariance[[column, row]]).abs() <= rounding);
        if !is_symmetric || covariance.diag().iter().any(|&variance| variance < -rounding) {
            return malformed("sigma is not a covariance matrix".to_owned());
        }
        Ok(DriftSet(Content::Statistics(Statistics { origin, moments: Moments { mean, covariance } })))
    }

    fn dimensions(&self) -> usize {
        match &self.0 {
            Content::Rows { dataset, .. } => dataset.dimensions(),
            Content::Statistics(statistics) => statistics.moments.mean.len(),
        }
    }

    /// The rows, where they are known.
    pub fn rows(&self) -> Option<&Dataset<'e>> {
        match &self.0 {
            Content::Rows { dataset, .. } => Some(dataset),
            Content::Statistics(_) => None,
        }
    }

    fn has_labels(&self) -> bool {
        matches!(self.0, Content::Rows { has_labels: true, .. })
    }

    fn description(&self) -> SetDescription {
        match &self.0 {
            Content::Rows { dataset, has_labels } => SetDescription {
                path: dataset.embeddings().origin().path.clone(),
                selector: dataset.embeddings().origin().selector.clone(),
                dtype: Some(dataset.embeddings().element_type().name().to_owned()),
                rows: Some(dataset.len()),
                dimensions: dataset.dimensions(),
                labels: has_labels.then(|| LabelsDescription::of(dataset)),
                excluded: dataset.excluded(),
            },
            Content::Statistics(Statistics { origin, moments }) => SetDescription {
                path: origin.path.clone(),
                selector: origin.selector.clone(),
                dtype: None,
                rows: None,
                dimensions: moments.mean.len(),
                labels: None,
                excluded: Excluded::default(),
            },
        }
    }
}

/// What has been found so far.
#[derive(Default)]
struct Found {
    metrics: IndexMap<String, Measured>,
    intervals: IndexMap<String, [f64; 2]>,
    /// Numbers with their p-values.
    p_values: Vec<(&'static str, f64)>,
    bandwidth: Option<f64>,
    notes: Vec<String>,
}

impl Found {
    fn add(&mut self, id: &str, measured: Measured) {
        self.metrics.insert(id.to_owned(), measured);
    }
}

/// Compares two sets.
///
/// # Errors
/// Sets of different dimensions, the population stability index without labels, values that are not finite, what reading
/// rows reports, and [`Error::Cancelled`].
pub fn drift(
    reference: &DriftSet<'_>,
    current: &DriftSet<'_>,
    settings: &DriftSettings,
    progress: &dyn Progress,
) -> Result<DriftResult> {
    let descriptions = [reference.description(), current.description()];
    let [(left, d), (right, other)] = [0, 1].map(|set| (descriptions[set].name(), descriptions[set].dimensions));
    if d != other {
        let problem = format!("{left} has {d} dimensions and {right} has {other}");
        return Err(Error::setting(problem, "compare rows of the same model"));
    }
    let is_labelled = reference.has_labels() && current.has_labels();
    if !is_labelled && settings.metrics.as_ref().is_some_and(|metrics| metrics.contains(PSI)) {
        return Err(Error::setting("psi needs the labels of both sets", "give them, or leave psi out"));
    }
    let of_rows = |set: &DriftSet<'_>| set.rows().map(|rows| rows.embeddings().element_type().precision());
    let widest =
        [reference, current].into_iter().filter_map(of_rows).max_by_key(|precision| *precision == Precision::F64);
    let precision = settings.precision.or(widest).unwrap_or(Precision::F64);
    let (found, classes) = match precision {
        Precision::F32 => compare::<f32>(reference, current, settings, progress)?,
        Precision::F64 => compare::<f64>(reference, current, settings, progress)?,
    };
    Ok(finish(descriptions, reference, (settings, precision), found, classes))
}

fn compare<T: Real>(
    reference: &DriftSet<'_>,
    current: &DriftSet<'_>,
    settings: &DriftSettings,
    progress: &dyn Progress,
) -> Result<(Found, Vec<ClassDrift>)> {
    let sets = [reference, current].map(|set| set.rows().map(|rows| rows.in_any_order(T::PRECISION)).transpose());
    let [first, second] = sets;
    let rows = [first?, second?];
    for set in rows.iter().flatten() {
        set.check_values_for::<T>(Distance::Euclidean)?;
    }
    let rows = [rows[0].as_deref(), rows[1].as_deref()];
    let mut found = Found::default();
    of_moments([reference, current], rows, settings, &mut found, progress)?;
    of_pairs::<T>(rows, settings, &mut found, progress)?;
    let mut classes = Vec::new();
    if let ([Some(first), Some(second)], true) = (rows, reference.has_labels() && current.has_labels()) {
        classes = classes::class_drift::<T>([first, second], settings, progress)?;
        if settings.computes(PSI) {
            found.add(PSI, Ok(classes.iter().filter_map(|class| class.psi).sum()));
        }
    }
    Ok((found, classes))
}

/// The moments of a set: of its rows by blocks, or as they were given.
enum SetMoments<'s> {
    Blocks(BlockMoments),
    Given(&'s Moments),
}

impl SetMoments<'_> {
    fn all(&self) -> Moments {
        match self {
            SetMoments::Blocks(blocks) => blocks.all(),
            SetMoments::Given(moments) => (*moments).clone(),
        }
    }
}

const NO_ROWS: &str = "a file of statistics has no rows";

/// Numbers of means and covariances, which need no pairs.
fn of_moments(
    sets: [&DriftSet<'_>; 2],
    rows: [Option<&Dataset<'_>>; 2],
    settings: &DriftSettings,
    found: &mut Found,
    progress: &dyn Progress,
) -> Result<()> {
    if settings.computes(NORM_SHIFT) {
        found.add(
            NORM_SHIFT,
            match rows {
                [Some(first), Some(second)] => {
                    shift::norm_shift(shift::mean_length(first, progress)?, shift::mean_length(second, progress)?)
                }
                _ => Err(NO_ROWS.to_owned()),
            },
        );
    }
    let ids = [FRECHET_DISTANCE, MEAN_SHIFT, DOMAIN_AUC];
    if !settings.computes_any(&ids) {
        return Ok(());
    }
    if let Some(few) = rows.into_iter().flatten().find(|rows| rows.len() < 2) {
        let reason = format!("{} has a single row", few.embeddings().origin());
        ids.into_iter().filter(|id| settings.computes(id)).for_each(|id| found.add(id, Err(reason.clone())));
        return Ok(());
    }
    let seed = settings.seed;
    let moments = |set: usize| -> Result<SetMoments<'_>> {
        Ok(match &sets[set].0 {
            Content::Statistics(statistics) => SetMoments::Given(&statistics.moments),
            Content::Rows { dataset, .. } => {
                // Read in any order, because blocks take rows from everywhere.
                let rows = rows[set].unwrap_or(dataset);
                SetMoments::Blocks(BlockMoments::new(rows, seed.wrapping_add(set as u64), progress)?)
            }
        })
    };
    let both = [moments(0)?, moments(1)?];
    let [first, second] = [both[0].all(), both[1].all()];
    if settings.computes(FRECHET_DISTANCE) {
        frechet_of(&both, [&first, &second], rows, settings, found, progress)?;
    }
    if settings.computes(MEAN_SHIFT) {
        found.add(MEAN_SHIFT, shift::mean_shift(&first.mean, &second.mean, first.variance()));
    }
    if settings.computes(DOMAIN_AUC) {
        let measured = match rows {
            [Some(left), Some(right)] => {
                let reference = domain::Sample { dataset: left, moments: &first };
                let current = domain::Sample { dataset: right, moments: &second };
                domain::domain_auc(&reference, &current, progress)?
            }
            _ => Err(NO_ROWS.to_owned()),
        };
        found.add(DOMAIN_AUC, measured);
    }
    Ok(())
}

fn frechet_of(
    both: &[SetMoments<'_>; 2],
    [first, second]: [&Moments; 2],
    rows: [Option<&Dataset<'_>>; 2],
    settings: &DriftSettings,
    found: &mut Found,
    progress: &dyn Progress,
) -> Result<()> {
    let d = first.mean.len();
    let intervals = settings.intervals.unwrap_or(d <= FEW_DIMENSIONS);
    let enough = rows.into_iter().flatten().all(|rows| frechet::has_interval(rows.len()));
    progress.check()?;
    let value = match both {
        [SetMoments::Blocks(left), SetMoments::Blocks(right)] if intervals && enough => {
            let (value, interval) = frechet::with_interval(left, right, progress)?;
            found.intervals.insert(FRECHET_DISTANCE.to_owned(), interval);
            value
        }
        _ => frechet::frechet_distance(first, second)?,
    };
    if settings.intervals.is_none() && !intervals && rows.iter().all(Option::is_some) {
        found.notes.push(format!(
            "{FRECHET_DISTANCE} has no interval: with more than {FEW_DIMENSIONS} dimensions it is computed only if intervals \
             are selected"
        ));
    }
    if rows.into_iter().flatten().any(|rows| rows.len() <= d) {
        found.notes.push(format!(
            "{FRECHET_DISTANCE} of no more rows than the {d} dimensions is mostly chance: it falls as rows are added"
        ));
    }
    found.add(FRECHET_DISTANCE, Ok(value));
    Ok(())
}

/// Some rows of a set drawn at random, in order; the set itself where it has no more.
fn drawn_from<'e>(dataset: &Dataset<'e>, wanted: Option<usize>, seed: u64) -> Dataset<'e> {
    match wanted {
        Some(wanted) if wanted < dataset.len() => dataset.subset(&drawn(dataset.len(), wanted, seed)),
        _ => dataset.clone(),
    }
}

/// Numbers of pairs of rows.
fn of_pairs<T: Real>(
    rows: [Option<&Dataset<'_>>; 2],
    settings: &DriftSettings,
    found: &mut Found,
    progress: &dyn Progress,
) -> Result<()> {
    let of_kernels = [KID, MMD, ENERGY];
    let of_balls = [PRECISION, RECALL, DENSITY, COVERAGE];
    let [Some(first), Some(second)] = rows else {
        for id in of_kernels.into_iter().chain(of_balls).filter(|id| settings.computes(id)) {
            found.add(id, Err(NO_ROWS.to_owned()));
        }
        return Ok(());
    };
    // Different draws: where the sets are row for row the same texts, equal ones would pair them.
    let first = drawn_from(first, settings.subset, settings.seed);
    let second = drawn_from(second, settings.subset, settings.seed.wrapping_add(1));
    if settings.computes_any(&of_kernels) {
        let pairs = PooledPairs::<T>::new(&first, &second, progress)?;
        let wanted = PassOptions {
            kid: settings.computes(KID),
            mmd: settings.computes(MMD),
            energy: settings.computes(ENERGY),
            permutations: settings.permutations,
            seed: settings.seed,
        };
        let Discrepancies { kid, mmd, energy, bandwidth } = discrepancies(&pairs, (first.len(), second.len()), wanted)?;
        found.bandwidth = bandwidth;
        kid.into_iter().for_each(|kid| found.add(KID, kid));
        for (id, tested) in [(MMD, mmd), (ENERGY, energy)] {
            let Some(tested) = tested else { continue };
            if let Ok(Tested { p_value: Some(p_value), .. }) = tested {
                found.p_values.push((id, p_value));
            }
            found.add(id, tested.map(|tested| tested.value));
        }
    }
    if settings.computes_any(&of_balls) {
        let measured = manifold::manifold::<T>(&first, &second, settings.neighbours, progress)?;
        for (id, measured) in of_balls.into_iter().zip(measured) {
            if settings.computes(id) {
                found.add(id, measured);
            }
        }
    }
    Ok(())
}

/// The standard deviation of an AUC of scores that are alike in both sets (Mann & Whitney 1947).
fn chance_of_auc([first, second]: [f64; 2]) -> f64 {
    ((first + second + 1.0) / (12.0 * first * second)).sqrt()
}

/// Puts a result together.
fn finish(
    [reference, current]: [SetDescription; 2],
    set: &DriftSet<'_>,
    (settings, precision): (&DriftSettings, Precision),
    mut found: Found,
    classes: Vec<ClassDrift>,
) -> DriftResult {
    let adjusted = holm(&found.p_values.iter().map(|(_, p_value)| *p_value).collect::<Vec<f64>>());
    let mut tests = IndexMap::new();
    for (&(id, p_value), adjusted_p_value) in found.p_values.iter().zip(&adjusted) {
        let verdict = DriftVerdict::at(*adjusted_p_value);
        tests.insert(id.to_owned(), DriftTest { p_value, adjusted_p_value: *adjusted_p_value, verdict });
    }
    let smallest = adjusted.into_iter().min_by(f64::total_cmp);
    if settings.computes(P_VALUE) {
        found.add(P_VALUE, smallest.ok_or_else(|| "nothing could be tested".to_owned()));
    }
    let mut warnings = Vec::new();
    let mut metrics = IndexMap::new();
    for metric in &DRIFT_METRICS {
        let Some(measured) = found.metrics.shift_remove(metric.id) else { continue };
        // No number of a result is NaN or infinite.
        let measured = measured.and_then(|value| {
            if value.is_finite() { Ok(value) } else { Err("it is too large for a number".to_owned()) }
        });
        metrics.insert(metric.id.to_owned(), measured.as_ref().ok().copied());
        if let Err(reason) = measured {
            warnings.push(format!("{} is undefined: {reason}", metric.id));
        }
    }
    let verdict = smallest.map(DriftVerdict::at);
    let rows = [reference.rows, current.rows].map(|rows| rows.unwrap_or_default() as f64);
    if let (Some(DriftVerdict::NoDriftShown), Some(Some(auc))) = (verdict, metrics.get(DOMAIN_AUC))
        && *auc >= CLEAR_AUC.max(0.5 + 5.0 * chance_of_auc(rows))
    {
        found.notes.push(format!(
            "{DOMAIN_AUC} is {auc:.3}: a linear classifier tells the sets apart, though the tests, which weigh all dimensions \
             by their spread, do not show it"
        ));
    }
    warnings.extend(found.notes);
    DriftResult {
        envelope: Envelope::of(Kind::Drift),
        reference,
        current,
        settings: DriftSettingsUsed {
            precision,
            seed: settings.seed,
            neighbours: settings.neighbours,
            permutations: settings.permutations,
            subset: settings.subset,
            bandwidth: found.bandwidth,
            rows: set.rows().map(|rows| rows.choice().clone()).unwrap_or_default(),
        },
        metrics,
        intervals: found.intervals,
        tests,
        verdict,
        classes,
        gates: Vec::new(),
        warnings,
        timing: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_can_be_selected() {
        let ids: BTreeSet<&str> = DRIFT_METRICS.iter().map(|metric| metric.id).collect();
        assert_eq!(ids.len(), DRIFT_METRICS.len());
        assert_eq!(DriftSettings::parse_metrics(["kid", "all"]).unwrap(), None);
        let metrics = DriftSettings::parse_metrics(["kid"]).unwrap();
        let settings = DriftSettings { metrics, ..DriftSettings::default() };
        assert!(settings.computes(KID) && !settings.computes(MMD) && !settings.computes(P_VALUE));
        assert!(DriftSettings::parse_metrics(["kidd"]).unwrap_err().tip().unwrap().contains("'kid'"));
        let error = DriftSettings::parse_metrics(["FID"]).unwrap_err();
        assert!(error.tip().unwrap().starts_with("did you mean 'frechet_distance'?"), "{error}");
        assert!(ALSO_CALLED.iter().all(|(other, id)| metric_named(other).is_none() && metric_named(id).is_some()));
    }

    #[test]
    fn the_stability_of_shares_needs_labels() {
        let set = || DriftSet::unlabelled(ndarray::array![[1.0], [2.0]]).unwrap();
        let metrics = DriftSettings::parse_metrics(["psi"]).unwrap();
        let settings = DriftSettings { metrics, ..DriftSettings::default() };
        let error = drift(&set(), &set(), &settings, &crate::progress::NoProgress).unwrap_err();
        assert!(error.to_string().contains("labels of both sets"), "{error}");
    }

    #[test]
    fn what_a_classifier_sees_and_the_tests_do_not_is_mentioned() {
        // 60 rows that spread along the first dimension, and two values of the second.
        let rows = |second: f64| {
            let value = |row: usize| ((row * 37) % 61) as f64;
            Array2::from_shape_fn(
                (60, 2),
                |(row, k)| if k == 0 { value(row) } else { second + 1e-3 * (row % 2) as f64 },
            )
        };
        let [reference, current] = [0.0, 1.0].map(|second| DriftSet::unlabelled(rows(second)).unwrap());
        let compare = |current| drift(&reference, current, &DriftSettings::default(), &crate::progress::NoProgress);
        let found = compare(&current).unwrap();
        assert_eq!(found.verdict, Some(DriftVerdict::NoDriftShown));
        assert!(found.warnings.iter().any(|note| note.starts_with("domain_auc is 1.000: ")), "{:?}", found.warnings);
        assert_eq!(compare(&reference.clone()).unwrap().warnings, [""; 0]);
    }

    #[test]
    fn statistics_are_checked() {
        let new = |mean: &[f64], matrix| DriftSet::statistics(Origin::new("s.npz"), mean.to_vec(), matrix);
        assert!(new(&[1.0, 2.0], ndarray::array![[2.0, 1.0], [1.0, 3.0]]).is_ok());
        for (mean, matrix) in [
            (&[1.0][..], ndarray::array![[2.0, 1.0], [1.0, 3.0]]),
            (&[1.0, f64::NAN], ndarray::array![[2.0, 1.0], [1.0, 3.0]]),
            (&[1.0, 2.0], ndarray::array![[2.0, 1.0], [0.0, 3.0]]),
            (&[1.0, 2.0], ndarray::array![[-2.0, 1.0], [1.0, 3.0]]),
        ] {
            assert!(new(mean, matrix).is_err());
        }
    }
}
