//! The hard silhouette (Rousseeuw 1987).

use crate::metrics::RowScore;

/// (b - a) / m, and 0 where m is 0.
pub fn silhouette(a: f64, b: f64, m: f64) -> f64 {
    if m > 0.0 { (b - a) / m } else { 0.0 }
}

/// For each class, the other classes that its rows of negative silhouette are nearest to, each with the share of the
/// class's weight that these rows have; largest share first, ties in class order.
pub fn confusions(
    members: impl Iterator<Item = (u32, f64)>,
    scores: &[RowScore],
    classes: usize,
) -> Vec<Vec<(u32, f64)>> {
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

    #[test]
    fn a_row_at_distance_0_of_everything_scores_0() {
        assert_eq!(silhouette(0.0, 0.0, 0.0), 0.0);
        assert_eq!(silhouette(1.0, 4.0, 4.0), 0.75);
        assert_eq!(silhouette(4.0, 1.0, 4.0), -0.75);
    }

    #[test]
    fn confusions_count_negative_rows_only() {
        let score = |silhouette, nearest_other| RowScore { silhouette, nearest_other, ..Default::default() };
        let scores = [score(-0.1, 2), score(-0.2, 1), score(0.5, 1), score(-0.3, 2), score(-0.1, 0)];
        let confusions = confusions([0, 0, 0, 0, 1].map(|code| (code, 1.0)).into_iter(), &scores, 3);
        assert_eq!(confusions, [vec![(2, 0.5), (1, 0.25)], vec![(0, 1.0)], vec![]]);
    }
}
