//! How far chance moves the numbers of a result: the influence of every row on means over rows and classes, and the
//! intervals that follow.
//!
//! Scores of rows are not independent: a row also moves the mean distances of others. Its influence value holds both, and
//! has the same mean as the scores.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::kernels::{ClassDistanceKernel, DistanceLoss, Influence, Nearest};
use crate::losses::SoftSilhouette;
use crate::statistics::normal_interval;

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

/// The silhouettes, which are given for classes, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silhouette {
    Hard,
    Soft,
}

/// Takes the terms of all rows whose sum is the mean silhouette of a class.
pub type ClassTerms<'t> = &'t mut dyn FnMut(Silhouette, usize, &[f64]);

/// The means that have an influence value.
#[derive(Clone, Debug, Default)]
pub struct Uncertainty {
    /// For each metric a term for each row; the metric is their sum.
    pub terms: IndexMap<String, Vec<f64>>,
    pub rows: RowInfluence,
}

impl Uncertainty {
    /// The influence of every row of a data set, all of whose rows are scored, under a form of the soft silhouette.
    /// `nearest` is the class that is nearest to each, where separations are wanted; `with` takes the terms of the
    /// silhouettes of `classes`.
    ///
    /// # Errors
    /// A subsample, and what reading rows reports.
    pub fn new(
        dataset: &Dataset,
        kernel: &ClassDistanceKernel<'_>,
        soft: &SoftSilhouette,
        nearest: &[Option<Nearest>],
        classes: &[usize],
        with: ClassTerms<'_>,
    ) -> Result<Self> {
        if dataset.scored().is_subsample() {
            let problem = "a subsample has no intervals: what chance does through the other rows is not known";
            return Err(Error::setting(problem, "leave out --subsample or --intervals"));
        }
        let counts = dataset.labels().counts();
        let value = |score| RowValue { score, counts };
        let rows = Rows { dataset };
        let mut uncertainty = Uncertainty::default();
        if !classes.is_empty() {
            let kinds = [Silhouette::Hard, Silhouette::Soft];
            let silhouettes = [value(Score::Silhouette), value(Score::SoftSilhouette(soft))];
            kernel.class_influence(&silhouettes, classes, &mut |score, class, influence| {
                with(kinds[score], class, &rows.terms(influence, dataset.class_weights()[class]));
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
        let mut add = |name: &str, terms: Vec<f64>| uncertainty.terms.insert(name.to_owned(), terms);
        for (name, influence) in ["silhouette", "soft_silhouette"].into_iter().zip(&influences) {
            add(name, rows.terms(&influence.overall, total));
            add(&format!("{name}_macro"), rows.terms(&influence.by_class, classes));
        }
        let losses: Vec<f64> = influences[1].overall.iter().map(|influence| 1.0 - influence).collect();
        add("soft_silhouette_loss", rows.terms(&losses, total));

        let with_others = |class: &usize| counts[*class] > 1;
        let several = (0..counts.len()).filter(with_others).map(|class| dataset.class_weights()[class]);
        let (several, several_total) = (several.clone().count() as f64, several.sum::<f64>());
        if several > 0.0 {
            add("mean_a", rows.terms(&distances[0].overall, several_total));
        }
        add("mean_b", rows.terms(&distances[1].overall, total));
        if let Some(separation) = distances.get(2) {
            let apart = [rows.terms(&separation.overall, total), rows.terms(&separation.by_class, classes)];
            if several > 0.0 {
                let intra =
                    [rows.terms(&distances[0].overall, several_total), rows.terms(&distances[0].by_class, several)];
                // The margins are over other classes than the separations where some have a single row.
                if several == classes {
                    add("margin", difference(&apart[0], &intra[0]));
                    add("margin_macro", difference(&apart[1], &intra[1]));
                }
                let [overall, by_class] = intra;
                add("intra_mean", overall);
                add("intra_mean_macro", by_class);
            }
            let [overall, by_class] = apart;
            add("separation", overall);
            add("separation_macro", by_class);
        }
        let [hard, soft]: [Influence; 2] = influences.try_into().unwrap_or_default();
        uncertainty.rows = RowInfluence {
            silhouette: hard.overall,
            silhouette_macro: rows.of_class_means(hard.by_class),
            soft_silhouette: soft.overall,
            soft_silhouette_macro: rows.of_class_means(soft.by_class),
        };
        Ok(uncertainty)
    }
}

fn difference(left: &[f64], right: &[f64]) -> Vec<f64> {
    left.iter().zip(right).map(|(left, right)| left - right).collect()
}

/// The rows of a data set and their weights.
struct Rows<'a> {
    dataset: &'a Dataset,
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
