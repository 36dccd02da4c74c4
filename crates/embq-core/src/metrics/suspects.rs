//! The rows that are most likely mislabelled.
//!
//! Two sources of evidence speak for or against a label: the mean distances of the row to the classes (its silhouette)
//! and the labels of its nearest neighbours. The first covers the whole space, the second the surroundings of the row;
//! if classes overlap or consist of several clusters, one of them is misleading. Each is divided by its standard
//! deviation over the rows, and the sum ranks them.

use crate::metrics::mean::class_means;

/// A neighbour of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LabelledNeighbour {
    pub class: u32,
    pub distance: f64,
}

/// A row whose surroundings contradict its label.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suspect {
    /// The index among the scored rows.
    pub row: usize,
    /// The class that it most resembles.
    pub suggested: u32,
    /// How strongly its surroundings contradict its label, in standard deviations; only the order is meaningful.
    pub suspicion: f64,
    /// The share of its nearest neighbours that have the suggested label; `None` if no neighbours were searched.
    pub agreement: Option<f64>,
    /// The share of its nearest neighbours that have its own label.
    pub own: Option<f64>,
}

/// Rows whose surroundings speak against their labels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Suspects {
    /// Most suspicious first.
    pub rows: Vec<Suspect>,
    /// How many of the first are likely mislabelled: as many as there are rows of which both witnesses say the same, that
    /// is, rows of negative silhouette with more than half of their neighbours in the class that they lie closest to. 0
    /// where no neighbours were looked for.
    pub likely: usize,
}

/// What is known of the rows, column by column.
pub struct Rows<'a> {
    /// The class of each row.
    pub classes: &'a [u32],
    /// The hard silhouette of each row.
    pub silhouettes: &'a [f64],
    /// The other class at the smallest mean distance.
    pub nearest_other: &'a [u32],
    /// The nearest neighbours of each row, nearest first: the same number for each row, or none at all.
    pub neighbours: &'a [LabelledNeighbour],
}

/// The rows that are closer to another class, or whose neighbours vote for another, most suspicious first, with ties in
/// row order.
///
/// The votes of k neighbours weigh exp(-(d_j - d_1) / (d_k - d_1)): the last counts e times less than the first. The
/// vote against a label is the largest sum of another class less that of its own, as a share of all. The margin is half
/// the mean silhouette of the row's class less its own silhouette: in a class that is hard as a whole, a low silhouette
/// says less.
pub fn suspects(rows: &Rows<'_>) -> Suspects {
    let count = rows.classes.len();
    let k = rows.neighbours.len() / count.max(1);
    let classes = rows.classes.iter().chain(rows.nearest_other).max().map_or(0, |&last| last as usize + 1);
    let means = class_means(classes, rows.classes.iter().zip(rows.silhouettes).map(|(&class, &s)| (class, s, 1.0)));
    let margin = |row: usize| {
        let mean = means[rows.classes[row] as usize].unwrap_or_default();
        0.5 * mean - rows.silhouettes[row]
    };
    let margins: Vec<f64> = (0..count).map(margin).collect();
    let votes: Vec<Vote> = (0..count)
        .map(|row| vote(&rows.neighbours[row * k..(row + 1) * k], rows.classes[row], rows.nearest_other[row]))
        .collect();
    let against: Vec<f64> = votes.iter().map(|vote| vote.against).collect();
    let (margin_scale, vote_scale) = (scale(&margins), scale(&against));
    let mut suspects: Vec<Suspect> = votes
        .iter()
        .enumerate()
        .filter(|(row, vote)| rows.silhouettes[*row] < 0.0 || vote.against > 0.0)
        .map(|(row, vote)| Suspect {
            row,
            suggested: vote.suggested,
            suspicion: margins[row] * margin_scale + vote.against * vote_scale,
            agreement: vote.agreement,
            own: vote.own,
        })
        .collect();
    suspects.sort_by(|left, right| right.suspicion.total_cmp(&left.suspicion).then(left.row.cmp(&right.row)));
    let agree = |suspect: &&Suspect| {
        rows.silhouettes[suspect.row] < 0.0
            && suspect.suggested == rows.nearest_other[suspect.row]
            && suspect.agreement.is_some_and(|share| share > 0.5)
    };
    Suspects { likely: suspects.iter().filter(agree).count(), rows: suspects }
}

/// The vote of a row's neighbours.
struct Vote {
    suggested: u32,
    against: f64,
    agreement: Option<f64>,
    own: Option<f64>,
}

fn vote(neighbours: &[LabelledNeighbour], own: u32, nearest_other: u32) -> Vote {
    let (Some(first), Some(last)) = (neighbours.first(), neighbours.last()) else {
        return Vote { suggested: nearest_other, against: 0.0, agreement: None, own: None };
    };
    let span = last.distance - first.distance;
    // In the order of their nearest rows, so that a tie goes to the class of the nearer one.
    let mut sums: Vec<(u32, f64, usize)> = Vec::new();
    for neighbour in neighbours {
        let weight = if span > 0.0 { (-(neighbour.distance - first.distance) / span).exp() } else { 1.0 };
        match sums.iter_mut().find(|(class, _, _)| *class == neighbour.class) {
            Some((_, sum, rows)) => {
                *sum += weight;
                *rows += 1;
            }
            None => sums.push((neighbour.class, weight, 1)),
        }
    }
    let total: f64 = sums.iter().map(|(_, sum, _)| sum).sum();
    let share = |rows: usize| Some(rows as f64 / neighbours.len() as f64);
    let (own_sum, own_rows) =
        sums.iter().find(|(class, _, _)| *class == own).map_or((0.0, 0), |&(_, sum, rows)| (sum, rows));
    let mut best: Option<(u32, f64, usize)> = None;
    for &other in sums.iter().filter(|(class, _, _)| *class != own) {
        if best.is_none_or(|best| other.1 > best.1) {
            best = Some(other);
        }
    }
    let (suggested, sum, rows) = best.unwrap_or((nearest_other, 0.0, 0));
    Vote { suggested, against: (sum - own_sum) / total, agreement: share(rows), own: share(own_rows) }
}

/// 1 over the standard deviation; 0 if all values are equal and carry no information.
fn scale(values: &[f64]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / count;
    if variance > 0.0 { 1.0 / variance.sqrt() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbours(votes: &[(u32, f64)]) -> Vec<LabelledNeighbour> {
        votes.iter().map(|&(class, distance)| LabelledNeighbour { class, distance }).collect()
    }

    #[test]
    fn near_neighbours_weigh_more() {
        // Weights 1, 1/sqrt(e), 1/e.
        let vote = vote(&neighbours(&[(1, 1.0), (0, 2.0), (2, 3.0)]), 0, 2);
        let (half, last) = ((-0.5_f64).exp(), (-1.0_f64).exp());
        assert_eq!(vote.suggested, 1);
        assert!((vote.against - (1.0 - half) / (1.0 + half + last)).abs() < 1e-15);
        assert_eq!((vote.agreement, vote.own), (Some(1.0 / 3.0), Some(1.0 / 3.0)));
    }

    #[test]
    fn ties_go_to_the_nearer_class_and_no_vote_to_the_nearest_class() {
        let tied = vote(&neighbours(&[(2, 1.0), (1, 1.0), (0, 1.0)]), 0, 1);
        assert_eq!((tied.suggested, tied.against), (2, 0.0));
        let own_only = vote(&neighbours(&[(0, 1.0), (0, 2.0)]), 0, 3);
        assert_eq!((own_only.suggested, own_only.against, own_only.agreement), (3, -1.0, Some(0.0)));
        assert_eq!(vote(&[], 0, 3).suggested, 3);
    }

    #[test]
    fn the_row_that_both_witnesses_speak_against_comes_first() {
        let classes = [0, 0, 0, 1, 1, 1];
        let votes = [(0, 1.0), (0, 2.0), (0, 1.0), (1, 2.0), (1, 1.0), (1, 2.0)].map(|vote| vote);
        let mut lists: Vec<LabelledNeighbour> = Vec::new();
        for row in 0..6 {
            lists.extend(neighbours(if row == 2 {
                &[(1, 1.0), (1, 2.0)]
            } else if row < 2 {
                &votes[..2]
            } else {
                &votes[4..]
            }));
        }
        let rows = Rows {
            classes: &classes,
            silhouettes: &[0.5, -0.1, -0.4, 0.5, 0.4, 0.3],
            nearest_other: &[1, 1, 1, 0, 0, 0],
            neighbours: &lists,
        };
        let Suspects { rows: found, likely } = suspects(&rows);
        assert_eq!(found.iter().map(|suspect| suspect.row).collect::<Vec<_>>(), [2, 1]);
        assert_eq!((found[0].suggested, found[0].agreement, found[0].own), (1, Some(1.0), Some(0.0)));
        // Row 1 has a negative silhouette alone.
        assert_eq!(likely, 1);
    }

    #[test]
    fn a_row_is_likely_mislabelled_where_most_neighbours_are_of_the_nearest_class() {
        let of = |votes: &[(u32, f64)], silhouette: f64| {
            let others = [(0, 1.0), (0, 2.0), (0, 3.0), (0, 4.0)];
            suspects(&Rows {
                classes: &[0, 0],
                silhouettes: &[silhouette, 0.5],
                nearest_other: &[1, 1],
                neighbours: &neighbours(&[votes, &others].concat()),
            })
            .likely
        };
        assert_eq!(of(&[(1, 1.0), (1, 2.0), (1, 3.0), (0, 4.0)], -0.1), 1);
        // No negative silhouette, another class, half of the neighbours.
        assert_eq!(of(&[(1, 1.0), (1, 2.0), (1, 3.0), (0, 4.0)], 0.1), 0);
        assert_eq!(of(&[(2, 1.0), (2, 2.0), (2, 3.0), (0, 4.0)], -0.1), 0);
        assert_eq!(of(&[(1, 1.0), (1, 2.0), (0, 3.0), (0, 4.0)], -0.1), 0);
    }

    #[test]
    fn rows_that_are_all_alike_are_no_suspects() {
        let rows = Rows {
            classes: &[0, 0, 1, 1],
            silhouettes: &[0.0; 4],
            nearest_other: &[1, 1, 0, 0],
            neighbours: &neighbours(&[(0, 0.0), (0, 0.0), (1, 0.0), (1, 0.0)]),
        };
        assert_eq!(suspects(&rows), Suspects::default());
    }
}
