//! How far chance moves the numbers of a result: the influence of every row on means over rows and classes, and the
//! intervals that follow.
//!
//! Scores of rows are not independent: a row also moves the mean distances of others. Its influence value holds both, and
//! has the same mean as the scores.

use std::collections::HashMap;

use indexmap::IndexMap;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{Dataset, Precision};
use crate::error::{Cure, Error, Result};
use crate::kernels::{
    ClassDistanceKernel, DistanceLoss, Influence, InfluencedScore, Nearest, TakesInfluence, TwoSlopes, smallest,
};
use crate::losses::SoftSilhouette;
use crate::progress::Progress;
use crate::statistics::{Strata, TOGETHER, bootstrap_intervals, normal_interval, redrawn_variance};

/// Rows times classes up to which every class has an interval by default, each of which costs a pass over all rows, and
/// a comparison keeps the terms of the rows in it.
const MANY_CLASS_TERMS: usize = 1 << 25;

/// Scores of rows whose means have an influence value.
enum Score<'a> {
    Silhouette,
    SoftSilhouette(&'a SoftSilhouette),
    /// The mean distance to the own class.
    Own,
    /// That to the nearest other class.
    NearestOther,
    /// That to the class which is nearest to the whole own class.
    NearestOfClass(&'a [Option<Nearest>]),
}

/// A score, the precision of its exponentials, and the number of rows of each class.
pub(crate) struct RowValue<'a> {
    score: Score<'a>,
    precision: Precision,
    counts: &'a [usize],
}

impl InfluencedScore for RowValue<'_> {
    #[inline(always)]
    fn two_slopes(&self, own: usize, distances: &[f64], nearest: usize) -> Option<TwoSlopes> {
        let alone = self.counts[own] == 1;
        Some(match &self.score {
            Score::Silhouette => {
                let (a, b) = (distances[own], distances[nearest]);
                let largest = a.max(b);
                if alone || largest <= 0.0 {
                    return Some(TwoSlopes::default());
                }
                // b / a - 1 where a is the larger, 1 - a / b where b is.
                let (by_a, by_b) = if a > b { (-b / (a * a), 1.0 / a) } else { (-1.0 / b, a / (b * b)) };
                TwoSlopes { score: (b - a) / largest, own: by_a, other: (nearest, by_b) }
            }
            Score::Own => {
                TwoSlopes { score: distances[own], own: f64::from(u8::from(!alone)), other: TwoSlopes::default().other }
            }
            Score::NearestOther => TwoSlopes { score: distances[nearest], own: 0.0, other: (nearest, 1.0) },
            Score::NearestOfClass(classes) => match classes.get(own).copied().flatten() {
                Some(Nearest { class, .. }) => {
                    let class = class as usize;
                    TwoSlopes { score: distances[class], own: 0.0, other: (class, 1.0) }
                }
                None => TwoSlopes::default(),
            },
            Score::SoftSilhouette(_) => return None,
        })
    }

    fn has_two_slopes(&self) -> bool {
        !matches!(self.score, Score::SoftSilhouette(_))
    }
}

impl DistanceLoss for RowValue<'_> {
    #[inline(always)]
    fn differentiate(&self, own: usize, distances: &[f64], slopes: &mut [f64]) -> f64 {
        if let Score::SoftSilhouette(loss) = &self.score {
            let loss = loss.differentiate_row(self.precision, self.counts, own, distances, slopes);
            slopes.iter_mut().for_each(|slope| *slope = -*slope);
            return -loss;
        }
        slopes.fill(0.0);
        let nearest = smallest(distances, Some(own)).map_or(own, |(class, _)| class);
        let TwoSlopes { score, own: by_own, other: (other, by_other) } =
            self.two_slopes(own, distances, nearest).unwrap_or_default();
        slopes[own] += by_own;
        slopes[other] += by_other;
        score
    }

    fn resolution(&self) -> f64 {
        match &self.score {
            Score::SoftSilhouette(loss) => loss.temperature,
            _ => f64::INFINITY,
        }
    }
}

/// How far chance moves the mean of a class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ClassUncertainty {
    /// The 95 % interval of the mean over the rows of the class, inside the range of the silhouette.
    pub interval: [f64; 2],
    pub standard_error: f64,
    /// Standard deviation, over the rows of the class, of their influence values on the mean over all rows; null for a
    /// class with a single row.
    pub deviation: Option<f64>,
}

impl ClassUncertainty {
    /// Half of the width of the interval where it does not reach the end of the range.
    pub fn half_width(&self) -> f64 {
        let [low, high] = normal_interval(0.0, self.standard_error);
        0.5 * (high - low)
    }
}

/// Influence values of the rows: their means are the silhouettes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowInfluence {
    pub silhouette: Vec<f64>,
    pub silhouette_macro: Vec<f64>,
    pub soft_silhouette: Vec<f64>,
    pub soft_silhouette_macro: Vec<f64>,
}

/// The hard and the soft silhouette, which have intervals by class, too.
pub(crate) const SILHOUETTES: [&str; 2] = ["silhouette", "soft_silhouette"];

/// The numbers whose uncertainty is looked for.
pub(crate) struct PointEstimates<'a> {
    /// Of the whole input.
    pub(crate) overall: &'a IndexMap<String, Option<f64>>,
    /// For each metric given by class its values, in class order.
    pub(crate) by_class: &'a [(&'static str, Vec<Option<f64>>)],
    /// The class that is nearest to each; empty where no metric needs it.
    pub(crate) nearest: &'a [Option<Nearest>],
}

/// Which uncertainties of classes are found and kept, and the seed of the draws.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UncertaintyOptions {
    /// How many classes have intervals of their own where rows times classes are many: those of the lowest silhouette.
    /// `None` is all of them, however many.
    pub(crate) class_intervals: Option<usize>,
    /// Whether the terms of the rows are kept.
    pub(crate) terms: bool,
    pub(crate) seed: u64,
}

/// How far chance moves the numbers of a result.
#[derive(Debug, Default)]
pub(crate) struct Uncertainty {
    /// The 95 % interval of each metric that has one.
    pub(crate) intervals: IndexMap<String, [f64; 2]>,
    /// Its standard error.
    pub(crate) standard_errors: IndexMap<String, f64>,
    /// Of the hard and the soft silhouette of each class.
    pub(crate) classes: Vec<[Option<ClassUncertainty>; 2]>,
    /// For each metric that has an interval a term for each row, where they are kept; the metric is their sum.
    pub(crate) terms: IndexMap<String, Vec<f64>>,
    /// The same for the hard and the soft silhouette of each class.
    pub(crate) class_terms: Vec<[Vec<f32>; 2]>,
    pub(crate) rows: RowInfluence,
}

impl Uncertainty {
    /// The uncertainty of numbers of a data set, all of whose rows are scored, under a form of the soft silhouette.
    /// `warnings` takes what classes have no intervals.
    ///
    /// # Errors
    /// A subsample, and what reading rows reports.
    pub(crate) fn new(
        dataset: &Dataset,
        kernel: &ClassDistanceKernel<'_>,
        soft: &SoftSilhouette,
        estimates: &PointEstimates<'_>,
        options: UncertaintyOptions,
        warnings: &mut Vec<String>,
        progress: &dyn Progress,
    ) -> Result<Self> {
        if dataset.scored().is_subsample() {
            let problem = "a subsample has no intervals: what chance does through the other rows is not known";
            return Err(Error::setting(problem, Cure::ScoreAllRows));
        }
        let labels = dataset.labels();
        let classes = labels.classes();
        let strata = Strata::new(labels.codes(), labels.counts(), dataset.weights());
        let values = SILHOUETTES.map(|id| {
            let values = estimates.by_class.iter().find(|(known, _)| *known == id).map(|(_, values)| &values[..]);
            move |class: usize| values?.get(class).copied().flatten()
        });
        let keeps = options.terms && dataset.len() * classes <= MANY_CLASS_TERMS;
        let (chosen, warning) = classes_with_intervals(dataset, options.class_intervals, &values[0]);
        warnings.extend(warning);
        let mut takers: Vec<Vec<ClassMean<'_>>> = SILHOUETTES
            .iter()
            .map(|_| chosen.iter().map(|&class| ClassMean::new(dataset, class, keeps)).collect())
            .collect();
        let influences = influences(dataset, kernel, soft, estimates.nearest, &chosen, &mut takers)?;
        let mut errors: Vec<Option<[f64; 2]>> = vec![None; classes];
        let mut class_terms = vec![<[Vec<f32>; 2]>::default(); if keeps { classes } else { 0 }];
        for (kind, takers) in takers.into_iter().enumerate() {
            for (&class, taker) in chosen.iter().zip(takers) {
                errors[class].get_or_insert_default()[kind] = taker.variance.sqrt();
                if let Some(kept) = class_terms.get_mut(class) {
                    kept[kind] = taker.terms;
                }
            }
        }
        let mut uncertainty = Uncertainty { class_terms, ..Uncertainty::default() };
        uncertainty.add_sums(&strata, &sums(dataset, &influences), estimates.overall, options, progress)?;
        let rows = RowInfluence::new(dataset, influences);
        let deviations = [&rows.silhouette, &rows.soft_silhouette].map(|influence| strata.deviations(influence));
        let of_class = |class: usize| {
            [0, 1].map(|kind| {
                let standard_error = errors[class]?[kind];
                let mean = values[kind](class)?;
                Some(ClassUncertainty {
                    interval: normal_interval(mean, standard_error).map(|end| end.clamp(-1.0, 1.0)),
                    standard_error,
                    deviation: deviations[kind][class],
                })
            })
        };
        uncertainty.classes = (0..classes).map(of_class).collect();
        uncertainty.rows = rows;
        Ok(uncertainty)
    }

    /// Adds the uncertainty of means of a value of each row, to which the other rows do nothing. There is none of a
    /// subsample.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub(crate) fn add_means(
        &mut self,
        dataset: &Dataset,
        of_rows: &IndexMap<&'static str, Vec<f64>>,
        overall: &IndexMap<String, Option<f64>>,
        options: UncertaintyOptions,
        progress: &dyn Progress,
    ) -> Result<()> {
        if of_rows.is_empty() || dataset.scored().is_subsample() {
            return Ok(());
        }
        let labels = dataset.labels();
        let strata = Strata::new(labels.codes(), labels.counts(), None);
        let share = 1.0 / dataset.len() as f64;
        let mut sums = HashMap::new();
        for (&name, values) in of_rows {
            sums.insert(name, Sum(Box::new(move |row: usize| values[row] * share)));
        }
        self.add_sums(&strata, &sums, overall, options, progress)
    }

    fn add_sums(
        &mut self,
        strata: &Strata<'_>,
        sums: &HashMap<&'static str, Sum<'_>>,
        overall: &IndexMap<String, Option<f64>>,
        options: UncertaintyOptions,
        progress: &dyn Progress,
    ) -> Result<()> {
        let known = overall.iter().filter_map(|(name, value)| Some((name, (*value)?, sums.get(&**name)?)));
        let known: Vec<(&String, f64, &Sum<'_>)> = known.collect();
        // Few at a time: terms take more memory than what they are computed from.
        for known in known.chunks(TOGETHER) {
            let of_rows: Vec<Vec<f64>> = known.iter().map(|(_, _, sum)| sum.terms(strata.rows())).collect();
            let slices: Vec<&[f64]> = of_rows.iter().map(Vec::as_slice).collect();
            let found = bootstrap_intervals(&slices, strata, options.seed, progress)?;
            let errors: Vec<f64> = slices.par_iter().map(|terms| strata.standard_error(terms)).collect();
            for (((&(name, value, _), interval), error), of_rows) in known.iter().zip(found).zip(errors).zip(of_rows) {
                self.intervals.insert(name.clone(), interval.map(|end| value + end));
                self.standard_errors.insert(name.clone(), error);
                if options.terms {
                    self.terms.insert(name.clone(), of_rows);
                }
            }
        }
        Ok(())
    }
}

/// All classes, or those of the lowest silhouette where all of them would take too long, with a warning.
fn classes_with_intervals(
    dataset: &Dataset,
    limit: Option<usize>,
    silhouette: &dyn Fn(usize) -> Option<f64>,
) -> (Vec<usize>, Option<String>) {
    let all = dataset.labels().classes();
    let mut classes: Vec<usize> = (0..all).collect();
    let many = dataset.len().saturating_mul(all) > MANY_CLASS_TERMS;
    let Some(limit) = limit.filter(|&limit| limit < all && many) else { return (classes, None) };
    let silhouette = |class: &usize| silhouette(*class).unwrap_or(f64::INFINITY);
    classes.sort_by(|left, right| silhouette(left).total_cmp(&silhouette(right)));
    classes.truncate(limit);
    classes.sort_unstable();
    let warning = if limit == 0 {
        format!("the {all} classes have no intervals of their own: each takes a pass over all rows")
    } else {
        format!(
            "{limit} of {all} classes have intervals, those of the lowest silhouette: each takes a pass over all rows"
        )
    };
    (classes, Some(warning))
}

/// What chance does to the mean of a score over a class, from the influence of all rows on it.
struct ClassMean<'a> {
    dataset: &'a Dataset<'a>,
    class: usize,
    variance: f64,
    /// Of all rows, where they are kept.
    terms: Vec<f32>,
    /// Of the rows of one class.
    taken: Vec<f64>,
    weights: Vec<f64>,
}

impl<'a> ClassMean<'a> {
    fn new(dataset: &'a Dataset<'a>, class: usize, keeps: bool) -> Self {
        let terms = vec![0.0; if keeps { dataset.len() } else { 0 }];
        ClassMean { dataset, class, variance: 0.0, terms, taken: Vec::new(), weights: Vec::new() }
    }
}

impl TakesInfluence for ClassMean<'_> {
    fn take(&mut self, rows: &[usize], influence: &[f64]) {
        let divisor = self.dataset.class_weights()[self.class];
        self.weights.clear();
        self.weights.extend(rows.iter().map(|&row| self.dataset.weight(row)));
        self.taken.clear();
        self.taken.extend(influence.iter().zip(&self.weights).map(|(value, weight)| weight * value / divisor));
        self.variance += redrawn_variance(&self.taken, &self.weights);
        if !self.terms.is_empty() {
            rows.iter().zip(&self.taken).for_each(|(&row, &term)| self.terms[row] = term as f32);
        }
    }
}

/// The influence of every row on the means of the scores: silhouettes, mean distances, and separations where `nearest` is
/// known. `takers` take that on the silhouettes of `classes`.
fn influences(
    dataset: &Dataset,
    kernel: &ClassDistanceKernel<'_>,
    soft: &SoftSilhouette,
    nearest: &[Option<Nearest>],
    classes: &[usize],
    takers: &mut [Vec<ClassMean<'_>>],
) -> Result<Vec<Influence>> {
    let scores = row_values(soft, nearest, kernel.slope_precision(), dataset.labels().counts());
    kernel.influence(&scores, classes, takers)
}

/// The scores whose means have influence values: the two silhouettes first.
pub(crate) fn row_values<'a>(
    soft: &'a SoftSilhouette,
    nearest: &'a [Option<Nearest>],
    precision: Precision,
    counts: &'a [usize],
) -> Vec<RowValue<'a>> {
    let mut scores = vec![Score::Silhouette, Score::SoftSilhouette(soft), Score::Own, Score::NearestOther];
    if !nearest.is_empty() {
        scores.push(Score::NearestOfClass(nearest));
    }
    scores.into_iter().map(|score| RowValue { score, precision, counts }).collect()
}

/// A metric as a sum over rows.
pub(crate) struct Sum<'a>(Box<dyn Fn(usize) -> f64 + Sync + 'a>);

impl Sum<'_> {
    /// The term of each row.
    pub(crate) fn terms(&self, rows: usize) -> Vec<f64> {
        (0..rows).into_par_iter().map(&self.0).collect()
    }
}

/// The metrics that are means of scores, from the influence on these means.
pub(crate) fn sums<'a>(dataset: &'a Dataset, influences: &'a [Influence]) -> HashMap<&'static str, Sum<'a>> {
    let counts = dataset.labels().counts();
    let classes = counts.len() as f64;
    let total: f64 = dataset.class_weights().iter().sum();
    let with_others = |class: &usize| counts[*class] > 1;
    let several = (0..counts.len()).filter(with_others).map(|class| dataset.class_weights()[class]);
    let (several, several_total) = (several.clone().count() as f64, several.sum::<f64>());

    let term = move |values: &'a [f64], divisor: f64| move |row: usize| dataset.weight(row) * values[row] / divisor;
    let mut sums = HashMap::new();
    let [hard, soft, own, nearest_other, ..] = influences else { return sums };
    let mut add = |name: &'static str, term: Box<dyn Fn(usize) -> f64 + Sync + 'a>| {
        sums.insert(name, Sum(term));
    };
    add("silhouette", Box::new(term(&hard.overall, total)));
    add("silhouette_macro", Box::new(term(&hard.by_class, classes)));
    add("soft_silhouette", Box::new(term(&soft.overall, total)));
    add("soft_silhouette_macro", Box::new(term(&soft.by_class, classes)));
    let loss = move |row: usize| dataset.weight(row) * (1.0 - soft.overall[row]) / total;
    add("soft_silhouette_loss", Box::new(loss));
    let [within, within_macro] = [term(&own.overall, several_total), term(&own.by_class, several)];
    if several > 0.0 {
        add("mean_a", Box::new(within));
        add("intra_mean", Box::new(within));
        add("intra_mean_macro", Box::new(within_macro));
    }
    add("mean_b", Box::new(term(&nearest_other.overall, total)));
    if let Some(apart) = influences.get(4) {
        let [apart, apart_macro] = [term(&apart.overall, total), term(&apart.by_class, classes)];
        // The margins are over other classes than the separations where some have a single row.
        if several == classes {
            add("margin", Box::new(move |row| apart(row) - within(row)));
            add("margin_macro", Box::new(move |row| apart_macro(row) - within_macro(row)));
        }
        add("separation", Box::new(apart));
        add("separation_macro", Box::new(apart_macro));
    }
    sums
}

impl RowInfluence {
    fn new(dataset: &Dataset, influences: Vec<Influence>) -> Self {
        let mut silhouettes = influences.into_iter();
        let mut next = || silhouettes.next().unwrap_or_default();
        let (hard, soft) = (next(), next());
        RowInfluence {
            silhouette: hard.overall,
            silhouette_macro: of_class_means(dataset, hard.by_class),
            soft_silhouette: soft.overall,
            soft_silhouette_macro: of_class_means(dataset, soft.by_class),
        }
    }
}

/// From the influence on the sum of class means to the scale of a row's score.
fn of_class_means(dataset: &Dataset, mut influence: Vec<f64>) -> Vec<f64> {
    for (value, &class) in influence.iter_mut().zip(dataset.labels().codes()) {
        *value *= dataset.class_weights()[class as usize];
    }
    influence
}
