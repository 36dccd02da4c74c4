//! Orders classes so that close ones are adjacent.

use kodama::{Method, linkage};
use ndarray::Array2;

/// The leaves of a hierarchical clustering with average linkage, from left to right. When two clusters are merged,
/// their nearer ends are turned towards each other.
///
/// `distances` must be symmetric; its diagonal is ignored, and a missing distance counts as the largest.
pub fn class_order(distances: &Array2<Option<f64>>) -> Vec<usize> {
    let classes = distances.nrows();
    let largest = distances.iter().flatten().copied().fold(0.0, f64::max);
    let between = |class: usize, other: usize| distances[[class, other]].unwrap_or(largest);
    let mut condensed = Vec::with_capacity(classes * classes.saturating_sub(1) / 2);
    for class in 0..classes {
        condensed.extend((class + 1..classes).map(|other| between(class, other)));
    }
    let clustering = linkage(&mut condensed, classes, Method::Average);
    let mut clusters: Vec<Vec<usize>> = (0..classes).map(|class| vec![class]).collect();
    for step in clustering.steps() {
        let mut left = std::mem::take(&mut clusters[step.cluster1]);
        let mut right = std::mem::take(&mut clusters[step.cluster2]);
        let ([left_start, left_end], [right_start, right_end]) = (ends(&left), ends(&right));
        let facing = [
            (between(left_end, right_start), false, false),
            (between(left_end, right_end), false, true),
            (between(left_start, right_start), true, false),
            (between(left_start, right_end), true, true),
        ];
        let nearest = facing.into_iter().min_by(|one, other| one.0.total_cmp(&other.0));
        if let Some((_, turn_left, turn_right)) = nearest {
            if turn_left {
                left.reverse();
            }
            if turn_right {
                right.reverse();
            }
        }
        left.append(&mut right);
        clusters.push(left);
    }
    clusters.pop().unwrap_or_default()
}

/// The first and the last element of a cluster, which is never empty.
fn ends(cluster: &[usize]) -> [usize; 2] {
    [cluster.first().copied().unwrap_or_default(), cluster.last().copied().unwrap_or_default()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on_a_line(places: &[f64]) -> Array2<Option<f64>> {
        Array2::from_shape_fn((places.len(), places.len()), |(class, other)| {
            (class != other).then(|| (places[class] - places[other]).abs())
        })
    }

    #[test]
    fn neighbours_on_a_line_stand_side_by_side() {
        let mut order = class_order(&on_a_line(&[5.0, 0.0, 5.5, 1.0, 20.0]));
        if order.first() == Some(&4) {
            order.reverse();
        }
        assert_eq!(order, [1, 3, 0, 2, 4]);
    }

    #[test]
    fn one_class_and_unknown_distances_have_an_order() {
        assert_eq!(class_order(&on_a_line(&[3.0])), [0]);
        let mut distances = on_a_line(&[0.0, 1.0, 2.0]);
        distances[[0, 1]] = None;
        distances[[1, 0]] = None;
        let mut order = class_order(&distances);
        order.sort_unstable();
        assert_eq!(order, [0, 1, 2]);
    }
}
