//! How far chance moves the numbers of a result: the influence of every row on means over rows and classes, and the
//! intervals that follow.
//!
//! Scores of rows are not independent: a row also moves the mean distances of others. Its influence value holds both, and
//! has the same mean as the scores.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::error::{Cure, Error, Result};
use crate::kernels::{ClassDistanceKernel, DistanceLoss, Influence, Nearest};
use crate::losses::SoftSilhouette;
use crate::progress::Progress;
use crate::statistics::{Strata, bootstrap_intervals, normal_interval};

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

/// A score, and the number of rows of each class.
struct RowValue<'a> {
    score: Score<'a>,
    counts: &'a [usize],
}

impl DistanceLoss for RowValue<'_> {
    #[inline(always)]
    fn differentiate(&self, own: usize, distances: &[f64], slopes: &mut [f64]) -> f64 {
        let alone = self.counts[own] == 1;
        if let Score::SoftSilhouette(loss) = &self.score {
            let loss = loss.differentiate_row(self.counts, own, distances, slopes);
            slopes.iter_mut().for_each(|slope| *slope = -*slope);
            return -loss;
        }
        slopes.fill(0.0);
        let nearest = || {
            let mut nearest = None;
            for (class, &distance) in distances.iter().enumerate().filter(|&(class, _)| class != own) {
                Nearest::update(&mut nearest, class, distance);
            }
            nearest.map_or((own, 0.0), |nearest| (nearest.class as usize, nearest.distance))
        };
        match &self.score {
            Score::Silhouette => {
                let (a, (other, b)) = (distances[own], nearest());
                let largest = a.max(b);
                if alone || largest <= 0.0 {
                    return 0.0;
                }
                // b / a - 1 where a is the larger, 1 - a / b where b is.
                (slopes[own], slopes[other]) = if a > b { (-b / (a * a), 1.0 / a) } else { (-1.0 / b, a / (b * b)) };
                (b - a) / largest
            }
            Score::Own => {
                slopes[own] = f64::from(u8::from(!alone));
                distances[own]
            }
            Score::NearestOther => {
                let (other, distance) = nearest();
                slopes[other] = 1.0;
                distance
            }
            Score::NearestOfClass(nearest) => match nearest.get(own).copied().flatten() {
                Some(Nearest { class, .. }) => {
                    slopes[class as usize] = 1.0;
                    distances[class as usize]
                }
                None => 0.0,
            },
            Score::SoftSilhouette(_) => 0.0,
        }
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
const SILHOUETTES: [&str; 2] = ["silhouette", "soft_silhouette"];

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
    /// Whether the terms of the rows in the silhouettes of the classes are kept.
    pub(crate) class_terms: bool,
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
    /// For each metric that has an interval a term for each row; the metric is their sum.
    pub(crate) terms: IndexMap<String, Vec<f64>>,
    /// The same for the hard and the soft silhouette of each class, where they are kept.
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
        let mut errors: Vec<Option<[f64; 2]>> = vec![None; classes];
        let mut class_terms = Vec::new();
        if options.class_terms && dataset.len() * classes <= MANY_CLASS_TERMS {
            class_terms = vec![<[Vec<f32>; 2]>::default(); classes];
        }
        let (chosen, warning) = classes_with_intervals(dataset, options.class_intervals, &values[0]);
        warnings.extend(warning);
        let Influences { terms, rows } =
            Influences::new(dataset, kernel, soft, estimates.nearest, &chosen, &mut |kind, class, terms| {
                errors[class].get_or_insert_default()[kind] = strata.standard_error(terms);
                if let Some(kept) = class_terms.get_mut(class) {
                    kept[kind] = terms.iter().map(|&term| term as f32).collect();
                }
            })?;
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
        let classes = (0..classes).map(of_class).collect();
        let (intervals, standard_errors) = overall(estimates.overall, &terms, &strata, options.seed, progress)?;
        Ok(Uncertainty { intervals, standard_errors, classes, terms, class_terms, rows })
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

/// An interval of each metric that has one, and its standard error.
type Overall = (IndexMap<String, [f64; 2]>, IndexMap<String, f64>);

/// Intervals and standard errors of the numbers of the whole input.
fn overall(
    values: &IndexMap<String, Option<f64>>,
    terms: &IndexMap<String, Vec<f64>>,
    strata: &Strata<'_>,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Overall> {
    let known = values.iter().filter_map(|(name, value)| Some((name, (*value)?, terms.get(name)?)));
    let (names, terms): (Vec<(&String, f64)>, Vec<&[f64]>) =
        known.map(|(name, value, terms)| ((name, value), terms.as_slice())).unzip();
    let intervals = bootstrap_intervals(&terms, strata, seed, progress)?.into_iter();
    let around =
        |(&(name, value), interval): (&(&String, f64), [f64; 2])| (name.clone(), interval.map(|end| value + end));
    let error = |(&(name, _), terms): (&(&String, f64), &&[f64])| (name.clone(), strata.standard_error(terms));
    Ok((names.iter().zip(intervals).map(around).collect(), names.iter().zip(&terms).map(error).collect()))
}

/// Takes the terms of all rows whose sum is the mean silhouette of a class: 0 for the hard, 1 for the soft one.
type ClassTerms<'t> = &'t mut dyn FnMut(usize, usize, &[f64]);

/// The means that have an influence value.
struct Influences {
    /// For each metric a term for each row; the metric is their sum.
    terms: IndexMap<String, Vec<f64>>,
    rows: RowInfluence,
}

impl Influences {
    /// The influence of every row. `with` takes the terms of the silhouettes of `classes`.
    fn new(
        dataset: &Dataset,
        kernel: &ClassDistanceKernel<'_>,
        soft: &SoftSilhouette,
        nearest: &[Option<Nearest>],
        classes: &[usize],
        with: ClassTerms<'_>,
    ) -> Result<Self> {
        let counts = dataset.labels().counts();
        let value = |score| RowValue { score, counts };
        let rows = Rows { dataset };
        let mut terms = IndexMap::new();
        if !classes.is_empty() {
            let silhouettes = [value(Score::Silhouette), value(Score::SoftSilhouette(soft))];
            kernel.class_influence(&silhouettes, classes, &mut |score, class, influence| {
                with(score, class, &rows.terms(influence, dataset.class_weights()[class]));
            })?;
        }
        let mut scores = vec![
            value(Score::Silhouette),
            value(Score::SoftSilhouette(soft)),
            value(Score::Own),
            value(Score::NearestOther),
        ];
        if !nearest.is_empty() {
            scores.push(value(Score::NearestOfClass(nearest)));
        }
        let mut influences = kernel.influence(&scores)?;
        let distances = influences.split_off(2.min(influences.len()));
        let classes = counts.len() as f64;
        let total: f64 = dataset.class_weights().iter().sum();
        let mut add = |name: &str, of_rows: Vec<f64>| terms.insert(name.to_owned(), of_rows);
        for (name, influence) in SILHOUETTES.into_iter().zip(&influences) {
            add(name, rows.terms(&influence.overall, total));
            add(&format!("{name}_macro"), rows.terms(&influence.by_class, classes));
        }
        let losses: Vec<f64> = influences[1].overall.iter().map(|influence| 1.0 - influence).collect();
        add("soft_silhouette_loss", rows.terms(&losses, total));

        let with_others = |class: &usize| counts[*class] > 1;
        let several = (0..counts.len()).filter(with_others).map(|class| dataset.class_weights()[class]);
        let (several, several_total) = (several.clone().count() as f64, several.sum::<f64>());
        let mut within = None;
        if several > 0.0 {
            let [overall, by_class] =
                [rows.terms(&distances[0].overall, several_total), rows.terms(&distances[0].by_class, several)];
            add("mean_a", overall.clone());
            add("intra_mean", overall.clone());
            add("intra_mean_macro", by_class.clone());
            within = Some([overall, by_class]);
        }
        add("mean_b", rows.terms(&distances[1].overall, total));
        if let Some(separation) = distances.get(2) {
            let apart = [rows.terms(&separation.overall, total), rows.terms(&separation.by_class, classes)];
            // The margins are over other classes than the separations where some have a single row.
            if let Some(within) = within.filter(|_| several == classes) {
                add("margin", difference(&apart[0], &within[0]));
                add("margin_macro", difference(&apart[1], &within[1]));
            }
            let [overall, by_class] = apart;
            add("separation", overall);
            add("separation_macro", by_class);
        }
        let [hard, soft]: [Influence; 2] = influences.try_into().unwrap_or_default();
        let rows = RowInfluence {
            silhouette: hard.overall,
            silhouette_macro: rows.of_class_means(hard.by_class),
            soft_silhouette: soft.overall,
            soft_silhouette_macro: rows.of_class_means(soft.by_class),
        };
        Ok(Influences { terms, rows })
    }
}

fn difference(left: &[f64], right: &[f64]) -> Vec<f64> {
    left.iter().zip(right).map(|(left, right)| left - right).collect()
}

/// The rows of a data set and their weights.
struct Rows<'a> {
    dataset: &'a Dataset<'a>,
}

impl Rows<'_> {
    /// The terms of a sum by weights over `divisor`.
    fn terms(&self, influence: &[f64], divisor: f64) -> Vec<f64> {
        influence.iter().enumerate().map(|(row, value)| self.dataset.weight(row) * value / divisor).collect()
    }

    /// From the influence on the sum of class means to the scale of a row's score.
    fn of_class_means(&self, mut influence: Vec<f64>) -> Vec<f64> {
        for (value, &class) in influence.iter_mut().zip(self.dataset.labels().codes()) {
            *value *= self.dataset.class_weights()[class as usize];
        }
        influence
    }
}
