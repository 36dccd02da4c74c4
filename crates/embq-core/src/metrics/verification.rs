//! Same or different? How well the distance of two rows tells whether they are of one class: what people report who verify
//! faces and speakers.

use crate::data::{Dataset, PairList, Trial};
use crate::error::Result;
use crate::kernels::{DistanceMoments, PairHistograms, listed_distances};
use crate::metrics::metric::{DOWN, FROM_0, Family, Need, Question, UP, Unit, metric};
use crate::metrics::shared::{Measured, Measures, SharedWork};

const NEEDS: &[Need] = &[Need::PairLabels, Need::PairHistograms];
const SHARE: &str = "[0, 1]";
const HANLEY: &str = "Hanley & McNeil 1982";
const MARTIN: &str = "Martin et al. 1997";
const GREEN: &str = "Green & Swets 1966";

pub(super) static FAMILY: Family = Family {
    name: "verification",
    question: Question::SameOrDifferent,
    is_default: false,
    supports_weights: false,
    metrics: &[
        metric(&FAMILY, "pair_auc", "pairs of one class are nearer than pairs of two", SHARE, UP, HANLEY, NEEDS),
        metric(&FAMILY, "eer", "false accepts where as many rejects are false", SHARE, DOWN, MARTIN, NEEDS),
        metric(&FAMILY, "eer_threshold", "the distance at which they are equal", FROM_0, None, MARTIN, NEEDS)
            .in_unit(Unit::Distance),
        metric(&FAMILY, "tar", "true accepts at a false accept rate", SHARE, UP, MARTIN, NEEDS).at_far(),
        metric(&FAMILY, "d_prime", "distance of the means in standard deviations", FROM_0, UP, GREEN, NEEDS),
    ],
};

/// Bars of the histograms that are drawn.
const BINS: usize = 80;

/// Steps of a rate that are drawn: as a share, and relative to the rate.
const SEEN: f64 = 4e-3;
const SEEN_RATIO: f64 = 0.05;

/// Fewer false accepts than this say little about their rate.
const FEW: f64 = 10.0;

/// What ties inside a step leave open of the area under the curve is not mentioned up to this.
const NEGLIGIBLE: f64 = 1e-6;

pub(super) fn measure(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<()> {
    let pairs = match work.auxiliary.pairs {
        Some(list) => Pairs::of_list(work, list, measures)?,
        None => Pairs::of_all(work)?,
    };
    let known = pairs.is_known();
    let of_pairs = |number: &dyn Fn(&Pairs) -> Measured| Ok(known.clone().and_then(|()| number(&pairs)));
    measures.add("pair_auc", || of_pairs(&|pairs| Ok(pairs.auc())))?;
    measures.add("eer", || of_pairs(&|pairs| Ok(pairs.equal_error().rate)))?;
    measures.add("eer_threshold", || of_pairs(&|pairs| Ok(pairs.equal_error().distance)))?;
    measures.add_at_far("tar", |far| of_pairs(&|pairs| pairs.accepted_at(far)))?;
    measures.add("d_prime", || of_pairs(&Pairs::d_prime))?;
    measures.curves = known.is_ok().then(|| pairs.curves());
    let open = if known.is_ok() { pairs.open() } else { 0.0 };
    if open > NEGLIGIBLE && measures.is_selected("pair_auc") {
        measures.warn(format!(
            "distances within 2^-20 of the largest count as equal, which leaves at most {open:.1e} of pair_auc open on either \
             side"
        ));
    }
    Ok(())
}

/// How pairs of one class and pairs of two lie, as far as it can be drawn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairCurves {
    /// The largest distance of a pair.
    pub largest: f64,
    /// The share of the pairs of one class in each of some equal steps from 0 to the largest distance.
    pub same: Vec<f64>,
    /// The same of the pairs of two classes.
    pub different: Vec<f64>,
    /// Shares of pairs of two classes and of one that are accepted, from none to all.
    pub rates: Vec<[f64; 2]>,
    /// The rate at which false accepts and false rejects are equal, and the distance where they are.
    pub equal_error: f64,
    pub threshold: f64,
}

/// Pairs of rows by distance, the nearest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Pairs {
    groups: Vec<Group>,
    /// Pairs of one class.
    same: u64,
    /// Pairs of two classes.
    different: u64,
    moments: [DistanceMoments; 2],
}

/// Pairs whose distances count as equal.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Group {
    /// No distance is smaller, and none larger.
    distances: [f64; 2],
    same: u64,
    different: u64,
}

/// Where false accepts and false rejects are equal.
#[derive(Clone, Copy, Debug, PartialEq)]
struct EqualError {
    rate: f64,
    distance: f64,
}

impl Pairs {
    /// All pairs of the rows of a data set.
    fn of_all(work: &SharedWork<'_>) -> Result<Self> {
        let PairHistograms { step, counts: [same, different], moments } =
            PairHistograms::new(work.dataset, work.measuring.precision, work.progress)?;
        // Shares of bits are multiples of 1 / d: what is in one step is equal, and known exactly.
        let bits = work.dataset.is_of_bits().then_some(work.dataset.dimensions() as f64);
        let groups = same.into_iter().zip(different).enumerate().filter(|(_, (same, different))| same + different > 0);
        let groups = groups.map(|(place, (same, different))| {
            let start = place as f64 * step;
            let distances = match bits {
                Some(bits) => [((start + 0.5 * step) * bits).round() / bits; 2],
                None => [start, start + step],
            };
            Group { distances, same, different }
        });
        Ok(Pairs::new(groups.collect(), moments))
    }

    /// The pairs of a list, without those of rows that were left out.
    fn of_list(work: &SharedWork<'_>, list: &PairList, measures: &mut Measures<'_>) -> Result<Self> {
        let places = places(work.dataset);
        let place = |row: usize| places.get(row).copied().flatten();
        let kept: Vec<(Trial, [usize; 2])> = list
            .trials
            .iter()
            .filter_map(|trial| Some((*trial, [place(trial.rows[0])?, place(trial.rows[1])?])))
            .collect();
        let missing = list.trials.len() - kept.len();
        if missing > 0 {
            measures.warn(format!(
                "{missing} of {} pairs of {} are left out, because one of their rows is",
                list.trials.len(),
                list.origin
            ));
        }
        let rows: Vec<[usize; 2]> = kept.iter().map(|&(_, rows)| rows).collect();
        let distances = listed_distances(work.dataset, &rows, work.measuring.precision, work.progress)?;
        Ok(Pairs::of_distances(distances.into_iter().zip(kept.iter().map(|(trial, _)| trial.is_same)).collect()))
    }

    fn of_distances(mut pairs: Vec<(f64, bool)>) -> Self {
        let moments = [true, false].map(|kind| {
            let of_kind = || pairs.iter().filter(|(_, is_same)| *is_same == kind).map(|(distance, _)| *distance);
            let count = of_kind().count().max(1) as f64;
            let mean = of_kind().sum::<f64>() / count;
            let variance = of_kind().map(|distance| (distance - mean).powi(2)).sum::<f64>() / count;
            DistanceMoments { mean, variance }
        });
        pairs.sort_unstable_by(|left, right| left.0.total_cmp(&right.0));
        let groups = pairs.chunk_by(|left, right| left.0 == right.0).map(|equal| {
            let same = equal.iter().filter(|(_, is_same)| *is_same).count() as u64;
            let distance = equal.first().map_or(0.0, |(distance, _)| *distance);
            Group { distances: [distance; 2], same, different: equal.len() as u64 - same }
        });
        Pairs::new(groups.collect(), moments)
    }

    fn new(groups: Vec<Group>, moments: [DistanceMoments; 2]) -> Self {
        let same = groups.iter().map(|group| group.same).sum();
        let different = groups.iter().map(|group| group.different).sum();
        Pairs { groups, same, different, moments }
    }

    /// Whether there are pairs of either kind.
    fn is_known(&self) -> std::result::Result<(), String> {
        match (self.same, self.different) {
            (0, 0) => Err("there is no pair of rows".to_owned()),
            (0, _) => Err("no pair of rows is of one class".to_owned()),
            (_, 0) => Err("all pairs of rows are of one class".to_owned()),
            _ => Ok(()),
        }
    }

    /// The chance that a pair of one class is nearer than a pair of two, and half the chance that they tie.
    fn auc(&self) -> f64 {
        let (mut farther, mut wins) = (u128::from(self.different), 0u128);
        for group in &self.groups {
            farther -= u128::from(group.different);
            wins += u128::from(group.same) * (2 * farther + u128::from(group.different));
        }
        wins as f64 / self.twice_the_matches()
    }

    /// What the order of pairs with unequal distances in one group could change of the area, to either side.
    fn open(&self) -> f64 {
        let unsure = self.groups.iter().filter(|group| group.distances[0] < group.distances[1]);
        unsure.map(|group| u128::from(group.same) * u128::from(group.different)).sum::<u128>() as f64
            / self.twice_the_matches()
    }

    fn twice_the_matches(&self) -> f64 {
        2.0 * self.same as f64 * self.different as f64
    }

    /// For each group the rates of false and of true accepts where it and all nearer ones are accepted.
    fn rates(&self) -> impl Iterator<Item = (&Group, f64, f64)> {
        let (mut same, mut different) = (0, 0);
        self.groups.iter().map(move |group| {
            same += group.same;
            different += group.different;
            (group, different as f64 / self.different as f64, same as f64 / self.same as f64)
        })
    }

    /// Linear inside a group.
    fn equal_error(&self) -> EqualError {
        let (mut accepted, mut rejected) = (0.0, 1.0);
        for (group, far, tar) in self.rates() {
            let frr = 1.0 - tar;
            if far >= frr {
                let share = (rejected - accepted) / ((rejected - accepted) + (far - frr));
                let between = |[low, high]: [f64; 2]| low + share * (high - low);
                return EqualError { rate: between([accepted, far]), distance: between(group.distances) };
            }
            (accepted, rejected) = (far, frr);
        }
        EqualError { rate: 0.5, distance: 0.0 }
    }

    /// The share of pairs of one class that is accepted where this share of the others is; linear inside a group.
    fn accepted_at(&self, far: f64) -> Measured {
        if far * (self.different as f64) < FEW * (1.0 - 1e-12) {
            return Err(format!(
                "{far:e} of {} pairs of two classes are fewer than {FEW}: their rate is not known",
                self.different
            ));
        }
        let mut before = (0.0, 0.0);
        for (_, next, tar) in self.rates() {
            if next > far {
                let share = (far - before.0) / (next - before.0);
                return Ok(before.1 + share * (tar - before.1));
            }
            before = (next, tar);
        }
        Ok(1.0)
    }

    /// What is drawn of the pairs.
    fn curves(&self) -> PairCurves {
        let largest = self.groups.last().map_or(0.0, |group| group.distances[1]);
        let mut shares = [vec![0.0; BINS], vec![0.0; BINS]];
        for group in &self.groups {
            let middle = 0.5 * (group.distances[0] + group.distances[1]);
            let bin = if largest > 0.0 { (middle / largest * BINS as f64) as usize } else { 0 };
            let kinds = [(group.same, self.same), (group.different, self.different)];
            for (shares, (count, all)) in shares.iter_mut().zip(kinds) {
                shares[bin.min(BINS - 1)] += count as f64 / all as f64;
            }
        }
        let mut rates = vec![[0.0, 0.0]];
        for (_, far, tar) in self.rates() {
            // A point for each step that is seen on either of two scales: that of shares, and that of orders of magnitude.
            let [last_far, last_tar]: [f64; 2] = rates.last().copied().unwrap_or_default();
            let seen = |last: f64, next: f64| next - last > SEEN || next > last * (1.0 + SEEN_RATIO);
            let from_the_end = seen(1.0 - tar, 1.0 - last_tar) || seen(1.0 - far, 1.0 - last_far);
            if seen(last_far, far) || seen(last_tar, tar) || from_the_end {
                rates.push([far, tar]);
            }
        }
        if rates.last() != Some(&[1.0, 1.0]) {
            rates.push([1.0, 1.0]);
        }
        let [same, different] = shares;
        let EqualError { rate, distance } = self.equal_error();
        PairCurves { largest, same, different, rates, equal_error: rate, threshold: distance }
    }

    /// |m_same - m_different| / sqrt((v_same + v_different) / 2).
    fn d_prime(&self) -> Measured {
        let [same, different] = self.moments;
        let spread = (0.5 * (same.variance + different.variance)).sqrt();
        if spread > 0.0 {
            Ok((same.mean - different.mean).abs() / spread)
        } else {
            Err("neither the distances within classes nor those between them vary".to_owned())
        }
    }
}

/// For each row of the embeddings as stored its place among the rows that take part, if it does.
fn places(dataset: &Dataset) -> Vec<Option<usize>> {
    let mut places = vec![None; dataset.embeddings().rows()];
    for row in 0..dataset.len() {
        if let Some(place) = places.get_mut(dataset.source_row(row)) {
            *place = Some(row);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(same: &[f64], different: &[f64]) -> Pairs {
        let of = |distances: &[f64], is_same| distances.iter().map(|&distance| (distance, is_same)).collect::<Vec<_>>();
        Pairs::of_distances([of(same, true), of(different, false)].concat())
    }

    #[test]
    fn the_area_counts_ties_half() {
        // Of the six matches 1 wins twice, 3 wins once and ties with 3, and 5 loses twice.
        assert_eq!(pairs(&[1.0, 3.0, 5.0], &[3.0, 4.0]).auc(), 3.5 / 6.0);
        assert_eq!(pairs(&[1.0, 2.0], &[3.0]).auc(), 1.0);
        assert_eq!(pairs(&[7.0, 7.0], &[7.0]).auc(), 0.5);
        assert_eq!(pairs(&[1.0, 3.0], &[3.0]).open(), 0.0);
        let group = Group { distances: [0.0, 0.1], same: 2, different: 1 };
        let inexact = Pairs::new(vec![group], Default::default());
        assert_eq!((inexact.auc(), inexact.open()), (0.5, 0.5));
    }

    #[test]
    fn errors_are_equal_where_the_rates_cross() {
        // Accepting up to 3: one of four others is in, and one of four of the class is out.
        let crossing = pairs(&[1.0, 2.0, 3.0, 9.0], &[3.0, 5.0, 6.0, 7.0]).equal_error();
        assert_eq!((crossing.rate, crossing.distance), (0.25, 3.0));
        assert_eq!(pairs(&[1.0, 2.0], &[3.0, 4.0]).equal_error().rate, 0.0);
        assert_eq!(pairs(&[3.0, 4.0], &[1.0, 2.0]).equal_error().rate, 1.0);
        // All in one step from 0.5 to 0.75: the rates meet in its middle.
        let group = Group { distances: [0.5, 0.75], same: 3, different: 5 };
        let found = Pairs::new(vec![group], Default::default()).equal_error();
        assert_eq!((found.rate, found.distance), (0.5, 0.625));
    }

    #[test]
    fn true_accepts_at_a_rate_of_false_ones() {
        let others: Vec<f64> = (1..=100).map(f64::from).collect();
        let found = pairs(&[0.5, 10.5, 10.7, 99.0], &others);
        // Ten of the hundred others are at 10 or nearer, and all is accepted before the eleventh.
        assert_eq!(found.accepted_at(0.1), Ok(0.75));
        assert_eq!(found.accepted_at(1.0), Ok(1.0));
        assert!(found.accepted_at(0.09).unwrap_err().contains("fewer than 10"));
        // A tie of all is split evenly.
        assert_eq!(pairs(&[1.0; 4], &[1.0; 100]).accepted_at(0.25), Ok(0.25));
    }

    #[test]
    fn curves_go_from_none_to_all() {
        let curves = pairs(&[1.0, 2.0, 3.0, 9.0], &[3.0, 5.0, 6.0, 8.0]).curves();
        assert_eq!(curves.rates.first(), Some(&[0.0, 0.0]));
        assert_eq!(curves.rates.last(), Some(&[1.0, 1.0]));
        assert!(curves.rates.is_sorted_by(|left, right| left[0] <= right[0] && left[1] <= right[1]));
        assert_eq!((curves.largest, curves.equal_error, curves.threshold), (9.0, 0.25, 3.0));
        for shares in [&curves.same, &curves.different] {
            assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12 && shares.len() == BINS);
        }
        // Distances 1 and 3 of 9.
        assert_eq!((curves.same[8], curves.different[26]), (0.25, 0.25));
    }

    #[test]
    fn d_prime_is_the_distance_of_the_means_in_deviations() {
        // Means 2 and 6, variances 1 and 9.
        assert_eq!(pairs(&[1.0, 3.0], &[3.0, 9.0]).d_prime(), Ok(4.0 / 5f64.sqrt()));
        assert!(pairs(&[1.0], &[3.0]).d_prime().is_err());
    }

    #[test]
    fn there_have_to_be_pairs_of_both_kinds() {
        assert!(pairs(&[1.0], &[]).is_known().is_err() && pairs(&[], &[1.0]).is_known().is_err());
        assert!(pairs(&[1.0], &[1.0]).is_known().is_ok());
    }
}
