//! Sums over rows that metrics are made of. Those of parts of the rows merge.

use std::collections::BTreeMap;

use ndarray::Array2;

use crate::data::Dataset;
use crate::error::Result;
use crate::kernels::{ClassDistances, ClassMeans, NearestMeans};
use crate::metrics::RowScore;
use crate::metrics::mean::{WeightedMean, weighted_mean};
use crate::metrics::row_means::{Means, RowMeans};
use crate::metrics::silhouette::silhouette;

/// Means by class, on the way.
type ByClass = Vec<WeightedMean>;

fn merge_by_class(left: &mut ByClass, right: &ByClass) {
    left.iter_mut().zip(right).for_each(|(left, right)| left.merge(*right));
}

fn by_class(classes: usize, values: impl IntoIterator<Item = (u32, f64, f64)>) -> ByClass {
    let mut means = vec![WeightedMean::default(); classes];
    for (class, value, weight) in values {
        means[class as usize].add(value, weight);
    }
    means
}

/// A mean over all rows and those over the rows of each class.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RowMean {
    pub(crate) over_rows: WeightedMean,
    pub(crate) by_class: ByClass,
}

impl RowMean {
    fn of(dataset: &Dataset, scores: &[RowScore], value: impl Fn(&RowScore) -> f64) -> Self {
        let mut over_rows = WeightedMean::default();
        let mut by_class = vec![WeightedMean::default(); dataset.labels().classes()];
        for ((code, weight), score) in dataset.scored_members().zip(scores) {
            let value = value(score);
            over_rows.add(value, weight);
            by_class[code as usize].add(value, weight);
        }
        RowMean { over_rows, by_class }
    }

    fn merge(&mut self, other: &Self) {
        self.over_rows.merge(other.over_rows);
        merge_by_class(&mut self.by_class, &other.by_class);
    }

    fn means(&self) -> Means {
        Means { over_rows: self.over_rows.value(), by_class: self.by_class.iter().map(WeightedMean::value).collect() }
    }
}

/// What the scores of rows add up to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ScoreTotals {
    pub(crate) silhouette: RowMean,
    /// Of 1 where the silhouette is negative, else 0.
    pub(crate) negative_share: RowMean,
    pub(crate) soft_silhouette: RowMean,
    /// Over the rows that have an a.
    pub(crate) a: WeightedMean,
    pub(crate) b: WeightedMean,
    pub(crate) effective_competitors: WeightedMean,
    /// For each class the weight of its rows of negative silhouette by the other class that they are nearest to, in class
    /// order.
    pub(crate) confusions: Vec<Vec<(u32, f64)>>,
}

impl ScoreTotals {
    /// Sums up the scores of the rows that are scored. Every sum runs over the rows in order; different sums run on
    /// different threads.
    pub(crate) fn new(dataset: &Dataset, scores: &[RowScore]) -> Self {
        let rows = || dataset.scored_members().zip(scores).map(|((_, weight), score)| (score, weight));
        let sum = |values: &mut dyn Iterator<Item = (f64, f64)>| {
            let mut mean = WeightedMean::default();
            values.for_each(|(value, weight)| mean.add(value, weight));
            mean
        };
        let hard = || {
            let silhouette = RowMean::of(dataset, scores, |score| score.silhouette);
            let negative_share = RowMean::of(dataset, scores, |score| f64::from(u8::from(score.silhouette < 0.0)));
            let confusions = confusions(dataset.scored_members(), scores, dataset.labels().classes());
            (silhouette, negative_share, confusions)
        };
        let soft = || {
            let silhouette = RowMean::of(dataset, scores, |score| score.soft_silhouette);
            (silhouette, sum(&mut rows().map(|(score, weight)| (score.effective_competitors, weight))))
        };
        let distances = || {
            let a = sum(&mut rows().filter_map(|(score, weight)| Some((score.a?, weight))));
            (a, sum(&mut rows().map(|(score, weight)| (score.b, weight))))
        };
        let ((silhouette, negative_share, confusions), ((soft_silhouette, effective_competitors), (a, b))) =
            rayon::join(hard, || rayon::join(soft, distances));
        ScoreTotals { silhouette, negative_share, soft_silhouette, a, b, effective_competitors, confusions }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.silhouette.merge(&other.silhouette);
        self.negative_share.merge(&other.negative_share);
        self.soft_silhouette.merge(&other.soft_silhouette);
        self.a.merge(other.a);
        self.b.merge(other.b);
        self.effective_competitors.merge(other.effective_competitors);
        for (left, right) in self.confusions.iter_mut().zip(&other.confusions) {
            let mut weights: BTreeMap<u32, f64> = left.iter().copied().collect();
            right.iter().for_each(|&(class, weight)| *weights.entry(class).or_default() += weight);
            *left = weights.into_iter().collect();
        }
    }

    pub(crate) fn means(&self) -> RowMeans {
        let shares = self.confusions.iter().zip(&self.silhouette.by_class).map(|(confusions, mean)| {
            let mut shares: Vec<(u32, f64)> =
                confusions.iter().map(|&(class, weight)| (class, weight / mean.weight())).collect();
            shares.sort_by(|left, right| right.1.total_cmp(&left.1));
            shares
        });
        RowMeans {
            silhouette: self.silhouette.means(),
            negative_share: self.negative_share.means(),
            soft_silhouette: self.soft_silhouette.means(),
            a: self.a.value(),
            b: self.b.value(),
            effective_competitors: self.effective_competitors.value(),
            confusions: shares.collect(),
        }
    }
}

/// For each class, the other classes that its rows of negative silhouette are nearest to, each with the weight of these
/// rows, in class order.
fn confusions(members: impl Iterator<Item = (u32, f64)>, scores: &[RowScore], classes: usize) -> Vec<Vec<(u32, f64)>> {
    let mut weights: Vec<Vec<(u32, f64)>> = vec![Vec::new(); classes];
    for ((code, weight), score) in members.zip(scores) {
        if score.silhouette < 0.0 {
            weights[code as usize].push((score.nearest_other, weight));
        }
    }
    for weights in &mut weights {
        weights.sort_by_key(|&(class, _)| class);
        weights.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
    }
    weights
}

/// Mean and standard deviation (ddof 0) of some values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Spread {
    pub(crate) mean: WeightedMean,
    /// 0 of nothing.
    pub(crate) deviation: f64,
}

impl Spread {
    /// Chan, Golub and LeVeque (1983), relative to the largest term so that squares neither overflow nor vanish.
    fn merge(&mut self, other: &Self) {
        let (Some(left), Some(right)) = (self.mean.value(), other.mean.value()) else {
            if self.mean.value().is_none() {
                *self = *other;
            }
            return;
        };
        let (own, others) = (self.mean.weight(), other.mean.weight());
        let total = own + others;
        let apart = (right - left).abs() * (own / total * (others / total)).sqrt();
        let largest = self.deviation.max(other.deviation).max(apart);
        if largest > 0.0 {
            let square = |value: f64| (value / largest) * (value / largest);
            let within = own / total * square(self.deviation) + others / total * square(other.deviation);
            self.deviation = largest * (within + square(apart)).sqrt();
        }
        self.mean.merge(other.mean);
    }
}

/// How the rows of each class lie to one another and to their mean.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SpreadTotals {
    /// Of a.
    pub(crate) own_distances: Vec<Spread>,
    /// Of the distances to the class mean.
    pub(crate) radius: ByClass,
    /// The largest of them.
    pub(crate) largest_radius: Vec<Option<f64>>,
}

impl SpreadTotals {
    pub(crate) fn new(dataset: &Dataset, distances: &ClassDistances<RowScore>) -> Self {
        let (own_distances, (radius, largest_radius)) =
            rayon::join(|| own_distances(dataset, &distances.rows), || radii(dataset, &distances.geometry.radius));
        SpreadTotals { own_distances, radius, largest_radius }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.own_distances.iter_mut().zip(&other.own_distances).for_each(|(left, right)| left.merge(right));
        merge_by_class(&mut self.radius, &other.radius);
        for (left, right) in self.largest_radius.iter_mut().zip(&other.largest_radius) {
            // No radius is less than any.
            *left = left.iter().chain(right).copied().reduce(f64::max);
        }
    }
}

/// Mean and standard deviation of a by class.
fn own_distances(dataset: &Dataset, scores: &[RowScore]) -> Vec<Spread> {
    let classes = dataset.labels().classes();
    let a = || {
        let rows = dataset.scored_members().zip(scores);
        rows.filter_map(|((code, weight), score)| Some((code, score.a?, weight)))
    };
    let means = by_class(classes, a());
    let centres: Vec<Option<f64>> = means.iter().map(WeightedMean::value).collect();
    // Relative to the largest deviation of the class, so that squares neither overflow nor vanish.
    let deviation = |code: u32, a: f64| centres[code as usize].map_or(0.0, |mean| (a - mean).abs());
    let mut largest: Vec<f64> = vec![0.0; classes];
    for (code, a, _) in a() {
        largest[code as usize] = largest[code as usize].max(deviation(code, a));
    }
    let relative_variance = by_class(
        classes,
        a().map(|(code, a, weight)| {
            let largest = largest[code as usize];
            let relative = if largest > 0.0 { deviation(code, a) / largest } else { 0.0 };
            (code, relative * relative, weight)
        }),
    );
    let deviations = relative_variance.iter().zip(&largest);
    let deviations = deviations.map(|(variance, largest)| variance.value().map_or(0.0, |v| v.sqrt() * largest));
    means.into_iter().zip(deviations).map(|(mean, deviation)| Spread { mean, deviation }).collect()
}

/// Mean and largest radius by class.
fn radii(dataset: &Dataset, radii: &[Option<f64>]) -> (ByClass, Vec<Option<f64>>) {
    let classes = dataset.labels().classes();
    let radii = || {
        let rows = dataset.scored_members().zip(radii);
        rows.filter_map(|((code, weight), radius)| Some((code, (*radius)?, weight)))
    };
    let mean = by_class(classes, radii());
    let mut largest: Vec<Option<f64>> = vec![None; classes];
    for (code, radius, _) in radii() {
        let largest = &mut largest[code as usize];
        *largest = Some(largest.map_or(radius, |largest| largest.max(radius)));
    }
    (mean, largest)
}

/// By class the mean of numbers of rows, in row order.
pub(crate) fn means_of_classes(dataset: &Dataset, values: impl IntoIterator<Item = f64>) -> ByClass {
    let codes = dataset.labels().codes().iter();
    by_class(dataset.labels().classes(), codes.zip(values).map(|(&code, value)| (code, value, 1.0)))
}

/// What the distances of rows to the class means add up to, as the simplified silhouette.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct SimplifiedTotals {
    pub(crate) silhouette: WeightedMean,
    /// Rows that lie at distance 0 of the mean of their class and of the nearest other one.
    pub(crate) coinciding: u64,
    /// Rows without a distance, because a mean has no direction.
    pub(crate) undefined: u64,
    pub(crate) rows: u64,
}

impl SimplifiedTotals {
    /// `root` takes the square roots of the distances.
    pub(crate) fn new(rows: &[NearestMeans], root: bool) -> Self {
        let mut totals = SimplifiedTotals { rows: rows.len() as u64, ..Default::default() };
        for row in rows {
            let coincides = row.own == Some(0.0) && row.other.is_none_or(|(distance, _)| distance == 0.0);
            totals.coinciding += u64::from(coincides);
            match (row.own, row.other) {
                (Some(a), Some((b, _))) => {
                    let (a, b) = if root { (a.sqrt(), b.sqrt()) } else { (a, b) };
                    totals.silhouette.add(silhouette(a, b, a.max(b)), 1.0);
                }
                _ => totals.undefined += 1,
            }
        }
        totals
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.silhouette.merge(other.silhouette);
        self.coinciding += other.coinciding;
        self.undefined += other.undefined;
        self.rows += other.rows;
    }
}

/// How many rows are nearest to the mean of their own class.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct NearestTotals {
    /// The share of all rows.
    pub(crate) nearest: WeightedMean,
    /// The share of the rows of classes with others, each left out of the mean of its class.
    pub(crate) left_out: WeightedMean,
}

impl NearestTotals {
    pub(crate) fn new(dataset: &Dataset, rows: &[NearestMeans]) -> Self {
        let labels = dataset.labels();
        let mut totals = NearestTotals::default();
        for (row, &own) in rows.iter().zip(labels.codes()) {
            let nearest = row.own.zip(row.other).is_none_or(|(distance, other)| (distance, own) <= other);
            totals.nearest.add(f64::from(u8::from(nearest)), 1.0);
            let count = labels.counts()[own as usize] as f64;
            if let (Some(distance), Some(other)) = (row.own, row.other)
                && count > 1.0
            {
                // Without the row the mean is n / (n - 1) times as far from it.
                let stretch = count / (count - 1.0);
                let nearest = (distance * stretch * stretch, own) <= other;
                totals.left_out.add(f64::from(u8::from(nearest)), 1.0);
            }
        }
        totals
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.nearest.merge(other.nearest);
        self.left_out.merge(other.left_out);
    }
}

/// All of them, those that are known.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    pub(crate) scores: Option<ScoreTotals>,
    pub(crate) spread: Option<SpreadTotals>,
    /// By class of the distances of rows to their mean.
    pub(crate) radii: Option<ByClass>,
    pub(crate) simplified: Option<SimplifiedTotals>,
    pub(crate) nearest: Option<NearestTotals>,
    /// By class of the squares of rows along the directions between classes.
    pub(crate) along: Option<ByClass>,
}

impl Totals {
    /// Adds those of other rows, of which the same are known.
    pub(crate) fn merge(&mut self, other: &Self) {
        fn both<T>(left: &mut Option<T>, right: &Option<T>, merge: impl Fn(&mut T, &T)) {
            if let (Some(left), Some(right)) = (left, right) {
                merge(left, right);
            }
        }
        both(&mut self.scores, &other.scores, ScoreTotals::merge);
        both(&mut self.spread, &other.spread, SpreadTotals::merge);
        both(&mut self.radii, &other.radii, merge_by_class);
        both(&mut self.simplified, &other.simplified, SimplifiedTotals::merge);
        both(&mut self.nearest, &other.nearest, NearestTotals::merge);
        both(&mut self.along, &other.along, merge_by_class);
    }
}

/// By class the squares of the rows along the directions between classes, each over the scatter along it; `None` where all
/// class means coincide.
///
/// # Errors
/// Errors from reading rows.
pub(crate) fn squares_between(dataset: &Dataset, means: &ClassMeans<'_>, directions: &Array2<f64>) -> Result<ByClass> {
    Ok(means_of_classes(dataset, means.squares_along(directions)?))
}

/// The mean of means of classes.
pub(crate) fn mean_of_classes(means: &[WeightedMean]) -> Option<f64> {
    weighted_mean(means.iter().filter_map(WeightedMean::value).map(|value| (value, 1.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DatasetOptions, Embeddings, LabelColumnBuilder, LabelType, Origin};
    use crate::distance::Distance;

    fn dataset(labels: &[i128]) -> Dataset<'static> {
        let mut column = LabelColumnBuilder::new(LabelType::Integer);
        labels.iter().for_each(|&label| column.push_integer(label));
        let rows = Array2::from_shape_fn((labels.len(), 1), |(row, _)| row as f64);
        let labels = column.finish(Origin::new("labels"));
        let embeddings = Embeddings::from_f64(Origin::new("rows"), rows);
        Dataset::join(embeddings, &labels, Distance::Euclidean, &DatasetOptions::default()).unwrap()
    }

    #[test]
    fn rows_without_an_a_count_in_all_other_means() {
        let dataset = dataset(&[0, 1, 0, 2]);
        let score =
            |a, silhouette, nearest_other| RowScore { a, b: 2.0, silhouette, nearest_other, ..Default::default() };
        let scores = [score(Some(1.0), 0.5, 1), score(None, 0.0, 0), score(Some(4.0), -0.25, 2), score(None, 0.0, 0)];
        let means = ScoreTotals::new(&dataset, &scores).means();
        assert_eq!((means.a, means.b), (Some(2.5), Some(2.0)));
        assert_eq!(means.silhouette.over_rows, Some(0.0625));
        assert_eq!(means.silhouette.by_class, [Some(0.125), Some(0.0), Some(0.0)]);
        assert_eq!(means.negative_share.by_class, [Some(0.5), Some(0.0), Some(0.0)]);
        assert_eq!(means.confusions, [vec![(2, 0.5)], vec![], vec![]]);
    }

    #[test]
    fn confusions_count_negative_rows_only() {
        let score = |silhouette, nearest_other| RowScore { silhouette, nearest_other, ..Default::default() };
        let scores = [score(-0.1, 2), score(-0.2, 1), score(0.5, 1), score(-0.3, 2), score(-0.1, 0)];
        let dataset = dataset(&[0, 0, 0, 0, 1, 2]);
        let mut totals = ScoreTotals::new(&dataset, &scores);
        assert_eq!(totals.confusions, [vec![(1, 1.0), (2, 2.0)], vec![(0, 1.0)], vec![]]);
        let shares = totals.means().confusions;
        assert_eq!(shares, [vec![(2, 0.5), (1, 0.25)], vec![(0, 1.0)], vec![]]);
        totals.merge(&totals.clone());
        assert_eq!(totals.confusions, [vec![(1, 2.0), (2, 4.0)], vec![(0, 2.0)], vec![]]);
        assert_eq!(totals.means().confusions, shares);
    }

    #[test]
    fn spreads_of_parts_merge_to_that_of_the_whole() {
        let spread = |values: &[f64]| {
            let dataset = dataset(&vec![0; values.len()]);
            let scores: Vec<RowScore> = values.iter().map(|&a| RowScore { a: Some(a), ..Default::default() }).collect();
            own_distances(&dataset, &scores)[0]
        };
        for scale in [1.0, 1e200, 1e-200] {
            // Mean 5, squared deviations 9, 1, 1, 9 and 0: their mean is 4.
            let [mut left, right] = [&[2.0, 4.0][..], &[6.0, 8.0, 5.0]]
                .map(|part| spread(&part.iter().map(|value| value * scale).collect::<Vec<_>>()));
            left.merge(&Spread::default());
            left.merge(&right);
            assert!((left.deviation / scale - 2.0).abs() < 1e-15, "{left:?}");
            assert!((left.mean.value().unwrap() / scale - 5.0).abs() < 1e-15);
        }
        let mut nothing = Spread::default();
        nothing.merge(&spread(&[1.0, 3.0]));
        assert_eq!(nothing, spread(&[1.0, 3.0]));
    }
}
