//! Means of the scores of rows, over all rows and by class.

use crate::data::Dataset;
use crate::metrics::RowScore;
use crate::metrics::mean::{WeightedMean, weighted_mean};

/// A mean over all rows, and over those of each class; `None` if there are none.
#[derive(Clone, Debug, PartialEq)]
pub struct Means {
    /// Over rows. Not computed from class means, which would round once more.
    pub over_rows: Option<f64>,
    pub by_class: Vec<Option<f64>>,
}

impl Means {
    /// Means from one value per class: over rows, each counts with the weight of its class. Classes without a value are
    /// left out.
    pub fn of_classes(by_class: Vec<Option<f64>>, class_weights: &[f64]) -> Self {
        let known = by_class.iter().zip(class_weights).filter_map(|(value, &weight)| Some(((*value)?, weight)));
        Means { over_rows: weighted_mean(known), by_class }
    }

    /// The mean over classes; those without a value are left out.
    pub fn over_classes(&self) -> Option<f64> {
        weighted_mean(self.by_class.iter().flatten().map(|&value| (value, 1.0)))
    }
}

/// Means of the scores of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct RowMeans {
    pub silhouette: Means,
    /// The mean of 1 for a negative silhouette, else 0.
    pub negative_share: Means,
    pub soft_silhouette: Means,
    /// Over the rows that have an a.
    pub a: Option<f64>,
    pub b: Option<f64>,
    pub effective_competitors: Option<f64>,
    /// See [`confusions`].
    pub confusions: Vec<Vec<(u32, f64)>>,
}

impl RowMeans {
    /// Means of the scores of the scored rows. Every sum runs over the rows in order; different sums run on different
    /// threads.
    pub fn new(dataset: &Dataset, scores: &[RowScore]) -> Self {
        let rows = || dataset.scored_members().zip(scores).map(|((_, weight), score)| (score, weight));
        let hard = || {
            let silhouette = means(dataset, scores, |score| score.silhouette);
            let negative_share = means(dataset, scores, |score| f64::from(u8::from(score.silhouette < 0.0)));
            let confusions = confusions(dataset.scored_members(), scores, dataset.labels().classes());
            (silhouette, negative_share, confusions)
        };
        let soft = || {
            let silhouette = means(dataset, scores, |score| score.soft_silhouette);
            (silhouette, weighted_mean(rows().map(|(score, weight)| (score.effective_competitors, weight))))
        };
        let distances = || {
            let a = weighted_mean(rows().filter_map(|(score, weight)| Some((score.a?, weight))));
            (a, weighted_mean(rows().map(|(score, weight)| (score.b, weight))))
        };
        let ((silhouette, negative_share, confusions), ((soft_silhouette, effective_competitors), (a, b))) =
            rayon::join(hard, || rayon::join(soft, distances));
        RowMeans { silhouette, negative_share, soft_silhouette, a, b, effective_competitors, confusions }
    }
}

fn means(dataset: &Dataset, scores: &[RowScore], value: impl Fn(&RowScore) -> f64) -> Means {
    let mut over_rows = WeightedMean::default();
    let mut by_class = vec![WeightedMean::default(); dataset.labels().classes()];
    for ((code, weight), score) in dataset.scored_members().zip(scores) {
        let value = value(score);
        over_rows.add(value, weight);
        by_class[code as usize].add(value, weight);
    }
    Means { over_rows: over_rows.value(), by_class: by_class.iter().map(WeightedMean::value).collect() }
}

/// For each class, the other classes that are nearest to its rows of negative silhouette, each with these rows' share
/// of the weight of the class, in descending order, with ties in class order.
fn confusions(members: impl Iterator<Item = (u32, f64)>, scores: &[RowScore], classes: usize) -> Vec<Vec<(u32, f64)>> {
    let mut totals = vec![0.0; classes];
    let mut shares: Vec<Vec<(u32, f64)>> = vec![Vec::new(); classes];
    for ((code, weight), score) in members.zip(scores) {
        totals[code as usize] += weight;
        if score.silhouette < 0.0 {
            shares[code as usize].push((score.nearest_other, weight));
        }
    }
    for (shares, total) in shares.iter_mut().zip(totals) {
        shares.sort_by_key(|&(class, _)| class);
        shares.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        for (_, weight) in shares.iter_mut() {
            *weight /= total;
        }
        shares.sort_by(|left, right| right.1.total_cmp(&left.1));
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DatasetOptions, Embeddings, LabelColumnBuilder, LabelType, Origin};
    use crate::distance::Distance;

    #[test]
    fn undefined_classes_are_left_out_of_means() {
        let means = Means::of_classes(vec![Some(1.0), None, Some(4.0)], &[2.0, 5.0, 1.0]);
        assert_eq!((means.over_rows, means.over_classes()), (Some(2.0), Some(2.5)));
        assert_eq!(Means::of_classes(vec![None], &[3.0]).over_classes(), None);
    }

    #[test]
    fn rows_without_an_a_count_in_all_other_means() {
        let mut column = LabelColumnBuilder::new(LabelType::Integer);
        [0, 1, 0, 2].into_iter().for_each(|label| column.push_integer(label));
        let embeddings = Embeddings::from_f64(Origin::new("rows"), ndarray::array![[0.0], [1.0], [2.0], [3.0]]);
        let labels = column.finish(Origin::new("labels"));
        let dataset = Dataset::join(embeddings, &labels, Distance::Euclidean, &DatasetOptions::default()).unwrap();
        let score =
            |a, silhouette, nearest_other| RowScore { a, b: 2.0, silhouette, nearest_other, ..Default::default() };
        let scores = [score(Some(1.0), 0.5, 1), score(None, 0.0, 0), score(Some(4.0), -0.25, 2), score(None, 0.0, 0)];
        let means = RowMeans::new(&dataset, &scores);
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
        let confusions = confusions([0, 0, 0, 0, 1].map(|code| (code, 1.0)).into_iter(), &scores, 3);
        assert_eq!(confusions, [vec![(2, 0.5), (1, 0.25)], vec![(0, 1.0)], vec![]]);
    }
}
