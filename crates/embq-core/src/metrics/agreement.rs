//! How well a clustering agrees with classes: from the numbers of rows that each class and cluster share.
//!
//! The table is sparse: a cell for each class and cluster that share a row, of which there are at most N.

use rayon::prelude::*;

use crate::metrics::mean::weighted_mean;

/// The rows that classes and clusters share.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Contingency {
    /// Rows of each class and of each cluster.
    classes: Vec<u64>,
    clusters: Vec<u64>,
    /// Class, cluster and how many rows they share; at least one.
    cells: Vec<(u32, u32, u64)>,
    rows: u64,
}

impl Contingency {
    /// The table of two dense codes for each row.
    pub(crate) fn new(classes: &[u32], clusters: &[u32]) -> Self {
        let mut pairs: Vec<u64> = classes
            .iter()
            .zip(clusters)
            .map(|(&class, &cluster)| u64::from(class) << 32 | u64::from(cluster))
            .collect();
        radsort::sort(&mut pairs);
        let cells = pairs
            .chunk_by(|left, right| left == right)
            .map(|equal| ((equal[0] >> 32) as u32, equal[0] as u32, equal.len() as u64))
            .collect();
        Contingency { classes: sizes(classes), clusters: sizes(clusters), cells, rows: pairs.len() as u64 }
    }

    /// The entropy of the classes that knowing the cluster of a row takes away, as a share; 1 for a single class
    /// (Rosenberg and Hirschberg 2007).
    pub(crate) fn homogeneity(&self) -> f64 {
        self.share_of(entropy(&self.classes, self.rows))
    }

    /// The same for the clusters, knowing the class.
    pub(crate) fn completeness(&self) -> f64 {
        self.share_of(entropy(&self.clusters, self.rows))
    }

    fn share_of(&self, entropy: f64) -> f64 {
        if entropy > 0.0 { (self.mutual_information() / entropy).min(1.0) } else { 1.0 }
    }

    /// The harmonic mean of homogeneity and completeness: 2 I / (H_classes + H_clusters), and so the mutual information
    /// normalised by the arithmetic mean of the entropies.
    pub(crate) fn v_measure(&self) -> f64 {
        let (homogeneity, completeness) = (self.homogeneity(), self.completeness());
        let sum = homogeneity + completeness;
        if sum > 0.0 { 2.0 * homogeneity * completeness / sum } else { 0.0 }
    }

    /// (I - E) / (mean entropy - E), with E the mutual information that is expected of clusters of these sizes drawn at
    /// random (Vinh, Epps and Bailey 2010).
    pub(crate) fn adjusted_mutual_information(&self) -> f64 {
        if self.is_the_same() {
            return 1.0;
        }
        if self.classes.len() == 1 || self.clusters.len() == 1 {
            return 0.0;
        }
        let expected = expected_mutual_information(&self.classes, &self.clusters, self.rows);
        let mean = (entropy(&self.classes, self.rows) + entropy(&self.clusters, self.rows)) / 2.0;
        // Sizes that leave no choice: whatever is drawn has this information.
        let denominator = (mean - expected).max(f64::EPSILON);
        (self.mutual_information() - expected) / denominator
    }

    /// Whether classes and clusters are the same groups of rows.
    fn is_the_same(&self) -> bool {
        self.cells.len() == self.classes.len() && self.cells.len() == self.clusters.len()
    }

    /// The Rand index over pairs of rows, adjusted for chance (Hubert and Arabie 1985).
    pub(crate) fn adjusted_rand_index(&self) -> f64 {
        if self.is_the_same() {
            return 1.0;
        }
        // Products of numbers of pairs, which float64 would round.
        let pairs = |counts: &mut dyn Iterator<Item = u64>| -> i128 {
            counts.map(|count| i128::from(count) * (i128::from(count) - 1) / 2).sum()
        };
        let both = pairs(&mut self.cells.iter().map(|&(_, _, count)| count));
        let same_class = pairs(&mut self.classes.iter().copied());
        let same_cluster = pairs(&mut self.clusters.iter().copied());
        let all = pairs(&mut std::iter::once(self.rows));
        // (a - e) / (m - e) with e = s t / all and m = (s + t) / 2, times all.
        let chance = same_class * same_cluster;
        let (above, most) = (both * all - chance, (same_class + same_cluster) * all - 2 * chance);
        if most == 0 { 0.0 } else { 2.0 * above as f64 / most as f64 }
    }

    /// The share of rows that belong to the class with most rows in their cluster.
    pub(crate) fn purity(&self) -> f64 {
        let mut largest = vec![0; self.clusters.len()];
        for &(_, cluster, count) in &self.cells {
            let largest = &mut largest[cluster as usize];
            *largest = count.max(*largest);
        }
        largest.iter().sum::<u64>() as f64 / self.rows as f64
    }

    /// In nats.
    fn mutual_information(&self) -> f64 {
        let terms = self.cells.iter().map(|&(class, cluster, count)| {
            let chance = self.classes[class as usize] as f64 * self.clusters[cluster as usize] as f64;
            ((count as f64 * self.rows as f64 / chance).ln(), count as f64)
        });
        weighted_mean(terms).unwrap_or_default().max(0.0)
    }
}

/// How often each code occurs.
fn sizes(codes: &[u32]) -> Vec<u64> {
    let mut sizes = vec![0; codes.iter().max().map_or(0, |&largest| largest as usize + 1)];
    codes.iter().for_each(|&code| sizes[code as usize] += 1);
    sizes
}

/// The entropy of groups of these sizes, in nats.
fn entropy(sizes: &[u64], rows: u64) -> f64 {
    let terms = sizes.iter().map(|&size| (-(size as f64 / rows as f64).ln(), size as f64));
    weighted_mean(terms).unwrap_or_default()
}

/// The mean over all ways to draw clusters of these sizes of their mutual information with the classes, in nats.
///
/// A class of a rows and a cluster of b share n of them with hypergeometric probability, and contribute n/N log(n / m) with
/// m = a b / N the mean of n. Only the sizes matter: of N rows at most sqrt(2 N) are different.
fn expected_mutual_information(classes: &[u64], clusters: &[u64], rows: u64) -> f64 {
    let (classes, clusters) = (multiplicities(classes), multiplicities(clusters));
    let of_class: Vec<f64> = classes
        .par_iter()
        .map(|&(a, times)| {
            let terms = clusters.iter().map(|&(b, also)| expected_divergence(a, b, rows) * (times * also) as f64);
            terms.sum()
        })
        .collect();
    of_class.iter().sum::<f64>() / rows as f64
}

/// The different sizes, and how often each occurs.
fn multiplicities(sizes: &[u64]) -> Vec<(u64, u64)> {
    let mut sorted = sizes.to_vec();
    sorted.sort_unstable();
    sorted.chunk_by(|left, right| left == right).map(|equal| (equal[0], equal.len() as u64)).collect()
}

/// Probabilities below this share of the largest add nothing.
const NEGLIGIBLE: f64 = 1e-25;

/// The mean of n log(n / m) under the hypergeometric distribution of the number n of rows that a class of `a` and a cluster
/// of `b` of `rows` share, with m = a b / N.
///
/// As the mean of n is m, that is also the mean of n log(n / m) - n + m, of which no term is negative: nothing cancels.
/// Probabilities come from their ratios, outward from the largest, and are divided by their sum: logarithms of factorials
/// of large numbers would lose digits.
fn expected_divergence(a: u64, b: u64, rows: u64) -> f64 {
    let (lowest, highest) = ((a + b).saturating_sub(rows), a.min(b));
    let (a, b, all) = (a as f64, b as f64, rows as f64);
    let mean = a * b / all;
    let mode = (((a + 1.0) * (b + 1.0) / (all + 2.0)) as u64).clamp(lowest, highest);
    // The probability of n + 1 over that of n.
    let ratio = |n: u64| {
        let n = n as f64;
        (a - n) * (b - n) / ((n + 1.0) * (all - a - b + n + 1.0))
    };
    let (mut total, mut sum) = (1.0, divergence(mode as f64, mean));
    let mut add = |weight: f64, n: u64| {
        total += weight;
        sum += weight * divergence(n as f64, mean);
    };
    let mut weight = 1.0;
    for n in mode..highest {
        weight *= ratio(n);
        if weight < NEGLIGIBLE {
            break;
        }
        add(weight, n + 1);
    }
    weight = 1.0;
    for n in (lowest..mode).rev() {
        weight /= ratio(n);
        if weight < NEGLIGIBLE {
            break;
        }
        add(weight, n);
    }
    sum / total
}

/// n log(n / m) - n + m.
fn divergence(n: f64, mean: f64) -> f64 {
    if n == 0.0 {
        return mean;
    }
    let apart = (n - mean) / mean;
    if apart.abs() > 0.05 {
        return n * (n / mean).ln() - (n - mean);
    }
    // Of (1 + x) log(1 + x) - x = x^2/2 - x^3/6 + x^4/12 - ..., whose k-th term is x^k / (k (k - 1)).
    let (mut power, mut series) = (apart, 0.0);
    for k in 2..16 {
        power *= apart;
        let term = power / (k * (k - 1)) as f64;
        series += if k % 2 == 0 { term } else { -term };
    }
    mean * series
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-14, "{found} for {expected}");
    }

    #[test]
    fn a_hand_worked_table() {
        // Classes of 3 and 3, clusters of 2, 1 and 3: cells 2, 1, 0 and 0, 0, 3.
        let table = Contingency::new(&[0, 0, 0, 1, 1, 1], &[0, 0, 1, 2, 2, 2]);
        close(table.homogeneity(), 1.0);
        let clusters = -(2.0 * (1.0f64 / 3.0).ln() + (1.0f64 / 6.0).ln() + 3.0 * 0.5f64.ln()) / 6.0;
        close(table.completeness(), 2f64.ln() / clusters);
        close(table.v_measure(), 2.0 * 2f64.ln() / (2f64.ln() + clusters));
        close(table.purity(), 1.0);
        // 4 pairs share class and cluster, of 6 that share a class, 4 that share a cluster and 15.
        close(table.adjusted_rand_index(), (4.0 - 24.0 / 15.0) / (5.0 - 24.0 / 15.0));
        // All 6! orders of the clusters, by the tables that come of them.
        let mut sum = 0.0;
        let clusters = [0, 0, 1, 2, 2, 2];
        let mut orders = 0.0;
        for first in 0..6 {
            for second in (0..6).filter(|&second| second != first) {
                for third in (0..6).filter(|&third| third != first && third != second) {
                    let taken = [first, second, third];
                    let rest = (0..6).filter(|row| !taken.contains(row));
                    let drawn: Vec<u32> = taken.into_iter().chain(rest).map(|row| clusters[row]).collect();
                    sum += Contingency::new(&[0, 0, 0, 1, 1, 1], &drawn).mutual_information();
                    orders += 1.0;
                }
            }
        }
        close(expected_mutual_information(&[3, 3], &[2, 1, 3], 6), sum / orders);
    }

    #[test]
    fn the_ends_of_the_scale() {
        let same = Contingency::new(&[0, 1, 1, 2], &[2, 1, 1, 0]);
        let one = Contingency::new(&[0, 1, 1, 0], &[0, 0, 0, 0]);
        let apart = Contingency::new(&[0, 1, 1, 0], &[0, 1, 2, 3]);
        for (table, expected) in [
            (&same, [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
            (&one, [0.0, 1.0, 0.0, 0.0, 0.0, 0.5]),
            (&apart, [1.0, 0.5, 2.0 / 3.0, 0.0, 0.0, 1.0]),
        ] {
            let found = [
                table.homogeneity(),
                table.completeness(),
                table.v_measure(),
                table.adjusted_mutual_information(),
                table.adjusted_rand_index(),
                table.purity(),
            ];
            for (found, expected) in found.into_iter().zip(expected) {
                close(found, expected);
            }
        }
        let alone = Contingency::new(&[0, 1, 2], &[2, 0, 1]);
        assert_eq!((alone.adjusted_mutual_information(), alone.adjusted_rand_index()), (1.0, 1.0));
    }

    #[test]
    fn numbers_of_pairs_do_not_overflow() {
        let table = Contingency {
            classes: vec![3_000_000_000, 1_000_000_000],
            clusters: vec![2_000_000_000, 2_000_000_000],
            cells: vec![(0, 0, 2_000_000_000), (0, 1, 1_000_000_000), (1, 1, 1_000_000_000)],
            rows: 4_000_000_000,
        };
        // In shares of all pairs: 6/16 of both, 10/16 of the class, 8/16 of the cluster, up to 1/N.
        assert!((table.adjusted_rand_index() - (6.0 - 5.0) / (9.0 - 5.0)).abs() < 1e-8);
        let information = 0.5 * (4.0f64 / 3.0).ln() + 0.25 * (2.0f64 / 3.0).ln() + 0.25 * 2f64.ln();
        let mean = -(0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln() + 0.5f64.ln()) / 2.0;
        assert!((table.adjusted_mutual_information() - information / mean).abs() < 1e-8);
    }

    #[test]
    fn a_series_and_a_logarithm_give_one_divergence() {
        for apart in [0.049_999f64, 0.050_001, -0.049_999, -0.050_001] {
            let (n, mean) = (1000.0 * (1.0 + apart), 1000.0);
            let expected = mean * ((1.0 + apart) * apart.ln_1p() - apart);
            assert!((divergence(n, mean) / expected - 1.0).abs() < 1e-12, "{apart}");
        }
        assert_eq!(divergence(0.0, 3.0), 3.0);
    }
}
