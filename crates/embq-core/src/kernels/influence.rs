//! How much a row moves the mean of a score of rows: by its own score, and by what the mean distances of all other rows
//! to its class owe to it.
//!
//! A sum over anchors i of w_i s_i, with w the weights and s the scores, changes with a little more of row j of class c by
//! w_j times its influence
//!
//! ```text
//! s_j + sum over i != j of H_ic (d_ij - D_ic),   H_ic = w_i ds_i/dD_ic / (weight of the members of c that D_ic is over)
//! ```
//!
//! without s_j where j is no anchor. Every D_ic is a mean over the rows of c, so that the weighted mean of the second part
//! over a class is 0: a route only has to find sum_i H_ic d_ij up to a constant for each class, which is taken away here.

use rayon::prelude::*;

use crate::data::Dataset;
use crate::error::Result;
use crate::kernels::{DistanceLoss, RowFold, sort_by_class};

/// Influence values on single classes that are held at once, for each score.
pub(crate) const VALUES: usize = 1 << 24;

/// A score of rows on whose means the influence of rows is computed.
pub(crate) trait InfluencedScore: DistanceLoss {
    /// The score of a row of class `own` and its derivatives, if it depends on the distances to the own class and to one
    /// other only; `nearest` is the other class at the smallest distance.
    fn two_slopes(&self, own: usize, distances: &[f64], nearest: usize) -> Option<TwoSlopes>;

    /// Whether it does.
    fn has_two_slopes(&self) -> bool;
}

/// A score with its derivatives by the mean distance to the own class and by that to another.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct TwoSlopes {
    pub(crate) score: f64,
    pub(crate) own: f64,
    pub(crate) other: (usize, f64),
}

/// Takes the influence of the rows of a class, one class after the other, on the sum of a score over the rows of some
/// class by their weights.
pub(crate) trait TakesInfluence: Send {
    fn take(&mut self, rows: &[usize], influence: &[f64]);
}

/// Rows whose scores are summed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Anchors {
    /// All, by their weights.
    All,
    /// All, each class over its weight.
    EachClass,
    /// Those of a class, by their weights.
    Class(usize),
}

impl Anchors {
    /// What the rows of a class count here.
    pub(crate) fn share(self, class: usize, class_weights: &[f64]) -> f64 {
        match self {
            Anchors::All => 1.0,
            Anchors::EachClass => 1.0 / class_weights[class],
            Anchors::Class(own) => f64::from(u8::from(own == class)),
        }
    }
}

/// The groups of anchors of each score, one after the other.
pub(crate) struct Groups {
    /// For each score and each class, the groups that the rows of the class are anchors of, with their shares.
    by_class: Vec<Vec<Vec<(usize, f64)>>>,
    /// The groups of each score.
    counts: Vec<usize>,
}

impl Groups {
    pub(crate) fn new(groups: &[Vec<Anchors>], class_weights: &[f64]) -> Self {
        let counts: Vec<usize> = groups.iter().map(Vec::len).collect();
        let starts = counts.iter().scan(0, |end, count| Some(std::mem::replace(end, *end + count)));
        let by_class = groups.iter().zip(starts).map(|(groups, first)| {
            let shares = |class: usize| {
                let shares = (first..).zip(groups).map(|(group, anchors)| (group, anchors.share(class, class_weights)));
                shares.filter(|(_, share)| *share != 0.0).collect()
            };
            (0..class_weights.len()).map(shares).collect()
        });
        Groups { by_class: by_class.collect(), counts }
    }

    /// The number of scores.
    pub(crate) fn scores(&self) -> usize {
        self.counts.len()
    }

    /// The number of groups of all scores.
    pub(crate) fn len(&self) -> usize {
        self.counts.iter().sum()
    }

    /// The groups of all scores that so many classes can be anchors of, at most.
    pub(crate) fn of_classes(&self, classes: usize) -> usize {
        // A class is in the groups of all rows and in its own.
        self.counts.iter().map(|&count| count.min(classes + 2)).sum()
    }

    /// The groups of a score that the rows of a class are anchors of, with their shares.
    pub(crate) fn of(&self, score: usize, class: usize) -> &[(usize, f64)] {
        &self.by_class[score][class]
    }

    /// Room for the sums of all scores.
    pub(crate) fn sums(&self, rows: usize) -> Vec<Sums> {
        let of_score = |&count: &usize| Sums {
            scores: vec![0.0; rows],
            own: vec![0.0; rows],
            values: vec![vec![0.0; rows]; count],
        };
        self.counts.iter().map(of_score).collect()
    }
}

/// The influence of every row on sums of one score, in row order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Influence {
    /// On the sum over all rows by their weights.
    pub(crate) overall: Vec<f64>,
    /// On the sum over classes of their means.
    pub(crate) by_class: Vec<f64>,
}

/// What a route finds for one score.
pub(crate) struct Sums {
    /// s_j and H_jc D_jc with c the class of j, of the anchors.
    pub(crate) scores: Vec<f64>,
    pub(crate) own: Vec<f64>,
    /// For each group of anchors and each row the sum over i of H_ic d_ij, up to a constant for each class.
    pub(crate) values: Vec<Vec<f64>>,
}

impl Sums {
    /// The influence on each group.
    fn influence(self, dataset: &Dataset, groups: &[Anchors]) -> Vec<Vec<f64>> {
        let Sums { scores, own, mut values } = self;
        let class_weights = dataset.class_weights();
        let codes = dataset.labels().codes();
        values.par_iter_mut().zip(groups).for_each(|(values, group)| {
            let shares: Vec<f64> = (0..class_weights.len()).map(|class| group.share(class, class_weights)).collect();
            let mut means = vec![0.0; class_weights.len()];
            for (row, value) in values.iter_mut().enumerate() {
                let class = codes[row] as usize;
                // The row is no member of the class that its own distance is a mean over.
                *value += shares[class] * own[row];
                means[class] += dataset.weight(row) * *value;
            }
            for (mean, weight) in means.iter_mut().zip(class_weights) {
                *mean /= weight;
            }
            for ((value, &class), score) in values.iter_mut().zip(codes).zip(&scores) {
                *value += shares[class as usize] * score - means[class as usize];
            }
        });
        values
    }
}

/// The influence of all rows on means of scores, from a route that finds the sums of the groups of anchors of the first so
/// many scores. `takers` take that on single classes: for each of the first scores one for each of `classes`, of which at
/// most `at_once` are asked for together, and so few that what is known of the rows keeps to a few hundred bytes each.
pub(crate) fn influence<A: TakesInfluence>(
    dataset: &Dataset,
    scores: usize,
    classes: &[usize],
    takers: &mut [Vec<A>],
    at_once: usize,
    mut sums: impl FnMut(&[Vec<Anchors>]) -> Result<Vec<Sums>>,
) -> Result<Vec<Influence>> {
    let labels = dataset.labels();
    let (order, starts) = sort_by_class(labels.codes(), labels.counts());
    let at_once = at_once.min(VALUES / dataset.len()).max(1);
    let mut found = Vec::new();
    for panel in 0..classes.len().div_ceil(at_once).max(1) {
        let places = panel * at_once..classes.len().min((panel + 1) * at_once);
        let of_classes = classes[places.clone()].iter().map(|&class| Anchors::Class(class));
        // The first panel also serves the means over all rows.
        let (scores, of_all) = match panel {
            0 => (scores, &[Anchors::All, Anchors::EachClass][..]),
            _ => (takers.len(), &[][..]),
        };
        let groups_of = |score: usize| -> Vec<Anchors> {
            let of_classes = of_classes.clone().filter(|_| score < takers.len());
            of_all.iter().copied().chain(of_classes).collect()
        };
        let groups: Vec<Vec<Anchors>> = (0..scores).map(groups_of).collect();
        for (score, (sums, groups)) in sums(&groups)?.into_iter().zip(&groups).enumerate() {
            let mut values = sums.influence(dataset, groups).into_iter();
            if panel == 0 {
                let (overall, by_class) = (values.next().unwrap_or_default(), values.next().unwrap_or_default());
                found.push(Influence { overall, by_class });
            }
            let of_classes: Vec<Vec<f64>> = values.collect();
            let Some(takers) = takers.get_mut(score) else { continue };
            takers[places.clone()].par_iter_mut().zip(of_classes).for_each(|(taker, values)| {
                for ends in starts.windows(2) {
                    let rows = &order[ends[0]..ends[1]];
                    let influence: Vec<f64> = rows.iter().map(|&row| values[row]).collect();
                    taker.take(rows, &influence);
                }
            });
        }
    }
    Ok(found)
}

/// The derivatives of the score of a row by its mean distances: most scores depend on few of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct RowSlopes {
    pub(crate) score: f64,
    /// The derivative by the mean distance to the own class, times that distance.
    pub(crate) own: f64,
    /// The classes of `slopes`, in order; empty where all classes are there.
    classes: Vec<u32>,
    slopes: Vec<f64>,
}

impl RowSlopes {
    fn new<L: DistanceLoss>(score: &L, own: usize, distances: &[f64]) -> Self {
        let mut slopes = vec![0.0; distances.len()];
        let score = score.differentiate(own, distances, &mut slopes);
        let own = slopes[own] * distances[own];
        let classes: Vec<u32> =
            slopes.iter().zip(0..).filter(|(slope, _)| **slope != 0.0).map(|(_, class)| class).collect();
        if 2 * classes.len() >= slopes.len() {
            return RowSlopes { score, own, classes: Vec::new(), slopes };
        }
        let slopes = classes.iter().map(|&class| slopes[class as usize]).collect();
        RowSlopes { score, own, classes, slopes }
    }

    /// The derivative by the mean distance to a class.
    #[inline(always)]
    pub(crate) fn get(&self, class: usize) -> f64 {
        if self.classes.is_empty() {
            return self.slopes.get(class).copied().unwrap_or(0.0);
        }
        self.classes.binary_search(&(class as u32)).map_or(0.0, |position| self.slopes[position])
    }

    /// From derivatives to H: those over the weights of the members that the distances are means over.
    fn weigh(&mut self, dataset: &Dataset, row: usize) {
        let own = dataset.labels().codes()[row] as usize;
        let weight = dataset.weight(row);
        let factor = |class: usize| {
            let members = if class == own { dataset.weight_of_others(row) } else { dataset.class_weights()[class] };
            if members > 0.0 { weight / members } else { 0.0 }
        };
        self.own *= factor(own);
        for (position, slope) in self.slopes.iter_mut().enumerate() {
            *slope *= factor(self.classes.get(position).map_or(position, |&class| class as usize));
        }
    }
}

/// The weighted derivatives of the scores of every row by its mean distances, which are those that were kept or come from
/// a pass.
pub(crate) fn row_slopes<L: DistanceLoss>(
    dataset: &Dataset,
    scores: &[L],
    kept: Option<&[Vec<f64>]>,
    pass: impl FnOnce(&SlopesFold<'_, L>) -> Result<Vec<Vec<RowSlopes>>>,
) -> Result<Vec<Vec<RowSlopes>>> {
    let fold = SlopesFold { scores, classes: dataset.labels().classes() };
    let of_kept = |(distances, &own): (&Vec<f64>, &u32)| fold.finish((own as usize, distances.clone()));
    let mut slopes = match kept {
        Some(kept) => kept.par_iter().zip(dataset.labels().codes()).map(of_kept).collect(),
        None => pass(&fold)?,
    };
    slopes.par_iter_mut().enumerate().for_each(|(row, slopes)| {
        slopes.iter_mut().for_each(|slopes| slopes.weigh(dataset, row));
    });
    Ok(slopes)
}

/// Keeps the mean distances of a row until all are there, and then the slopes of every score.
pub(crate) struct SlopesFold<'l, L> {
    scores: &'l [L],
    classes: usize,
}

impl<L: DistanceLoss> RowFold for SlopesFold<'_, L> {
    type State = (usize, Vec<f64>);
    type Output = Vec<RowSlopes>;

    fn start(&self, _index: usize, own: usize) -> Self::State {
        (own, Vec::with_capacity(self.classes))
    }

    fn absorb(&self, state: &mut Self::State, _first: usize, distances: &[f64]) {
        state.1.extend_from_slice(distances);
    }

    fn finish(&self, (own, distances): Self::State) -> Self::Output {
        self.scores.iter().map(|score| RowSlopes::new(score, own, &distances)).collect()
    }
}
