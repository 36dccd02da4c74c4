//! Numbers that compare all pairs of rows: within each set and between them.

use crate::data::shuffled;
use crate::drift::entry::{DOWN, DriftMetric, FROM_0, Measured, entry};
use crate::error::Result;
use crate::kernels::{Divisions, KernelSums, PairKernel, PooledPairs, Real, Split};

pub(super) const KID: &str = "kid";
pub(super) const MMD: &str = "mmd_rbf";
pub(super) const ENERGY: &str = "energy_distance";

const SIGNED: &str = "(-inf, inf)";

pub(super) const ENTRIES: &[DriftMetric] = &[
    entry(KID, "squared MMD, cubic kernel (KID of Inception features)", SIGNED, DOWN, "Binkowski et al. 2018"),
    entry(MMD, "squared MMD, Gaussian kernel of the median distance", SIGNED, DOWN, "Gretton et al. 2012"),
    entry(ENERGY, "energy distance", FROM_0, DOWN, "Szekely & Rizzo 2013").by_class(),
];

/// Rows between which the median distance is looked for.
const MEDIAN_ROWS: usize = 1000;

/// Set apart from the seeds of other draws.
const MEDIAN_SEED: u64 = 0x6d65_6469_616e;

/// What is wanted of the pairs.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PassOptions {
    pub kid: bool,
    pub mmd: bool,
    pub energy: bool,
    /// Random divisions for p-values; with none there are no p-values.
    pub permutations: usize,
    pub seed: u64,
}

/// A number and its p-value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tested {
    pub value: f64,
    pub p_value: Option<f64>,
}

/// What was wanted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Discrepancies {
    pub kid: Option<Measured>,
    pub mmd: Option<Result<Tested, String>>,
    pub energy: Option<Result<Tested, String>>,
    /// The bandwidth of the Gaussian kernel.
    pub bandwidth: Option<f64>,
}

/// Compares the rows of two sets with `first` and `second` rows.
///
/// # Errors
/// [`Error::Cancelled`](crate::Error::Cancelled).
pub(super) fn discrepancies<T: Real>(
    pairs: &PooledPairs<'_, T>,
    (first, second): (usize, usize),
    wanted: PassOptions,
) -> Result<Discrepancies> {
    const FEW: &str = "it needs two rows in either set";
    let mut found = Discrepancies::default();
    if first < 2 || second < 2 {
        found.kid = wanted.kid.then(|| Err(FEW.to_owned()));
        found.mmd = wanted.mmd.then(|| Err(FEW.to_owned()));
        found.energy = wanted.energy.then(|| Err(FEW.to_owned()));
        return Ok(found);
    }
    let mut kernels = Vec::new();
    if wanted.mmd {
        found.bandwidth = median_distance(pairs, wanted.seed);
        match found.bandwidth {
            Some(bandwidth) => kernels.push((MMD, PairKernel::Gaussian { bandwidth }, true)),
            None => found.mmd = Some(Err("the median distance of two rows is 0".to_owned())),
        }
    }
    kernels.extend(wanted.energy.then_some((ENERGY, PairKernel::Distance, true)));
    kernels.extend(wanted.kid.then_some((KID, PairKernel::Cubic, false)));
    if kernels.is_empty() {
        return Ok(found);
    }
    let sizes = Sizes { first: first as f64, second: second as f64 };
    let divisions = Divisions::new(pairs.len(), first, wanted.permutations, wanted.seed);
    let tests = wanted.permutations > 0;
    let asked: Vec<(PairKernel, bool)> =
        kernels.iter().map(|(_, kernel, tested)| (*kernel, *tested && tests)).collect();
    for ((name, ..), sums) in kernels.iter().zip(pairs.sums(&asked, &divisions)?) {
        let statistic = |split: Split| if *name == ENERGY { sizes.energy(split) } else { sizes.unbiased(split) };
        let value = statistic(sums.actual);
        let p_value = (!sums.divided.is_empty()).then(|| p_value(&sums, statistic, sizes, T::EPSILON));
        match *name {
            KID => found.kid = Some(Ok(value)),
            MMD => found.mmd = Some(Ok(Tested { value, p_value })),
            _ => found.energy = Some(Ok(Tested { value, p_value })),
        }
    }
    Ok(found)
}

/// How many rows the sets have.
#[derive(Clone, Copy)]
struct Sizes {
    first: f64,
    second: f64,
}

impl Sizes {
    /// The unbiased estimate of the squared maximum mean discrepancy: the mean of the kernel over pairs of different rows
    /// within each set, less twice that over pairs between them.
    fn unbiased(self, split: Split) -> f64 {
        let Sizes { first, second } = self;
        2.0 * split.first / (first * (first - 1.0)) + 2.0 * split.second / (second * (second - 1.0))
            - 2.0 * split.between / (first * second)
    }

    /// Twice the mean distance between the sets less those within them, in which each row also meets itself; not
    /// negative but for rounding.
    fn energy(self, split: Split) -> f64 {
        let Sizes { first, second } = self;
        let energy = 2.0 * split.between / (first * second)
            - 2.0 * split.first / (first * first)
            - 2.0 * split.second / (second * second);
        energy.max(0.0)
    }
}

/// The share of divisions at random, the actual one among them, under which the statistic is at least as large.
fn p_value(sums: &KernelSums, statistic: impl Fn(Split) -> f64, sizes: Sizes, epsilon: f64) -> f64 {
    let Some((&actual, random)) = sums.divided.split_first() else { return 1.0 };
    // What rounding can take from a statistic that is equal. Divisions tie where rows are few; with many rows the rounding
    // of their sums averages out.
    let rows = sizes.first + sizes.second;
    let mean = (actual.first.abs() + actual.second.abs() + actual.between.abs()) / (0.5 * rows * (rows - 1.0));
    let actual = statistic(actual) - 16.0 * epsilon * mean * (100.0 / rows).min(1.0);
    let reached = random.iter().filter(|split| statistic(**split) >= actual).count();
    (1 + reached) as f64 / (1 + random.len()) as f64
}

/// The median of the distances of all pairs of different rows of both sets together, or of 1,000 of them drawn at
/// random; `None` where it is 0.
fn median_distance<T: Real>(pairs: &PooledPairs<'_, T>, seed: u64) -> Option<f64> {
    let rows = if pairs.len() <= MEDIAN_ROWS {
        (0..pairs.len()).collect()
    } else {
        let mut rows = shuffled(pairs.len(), seed ^ MEDIAN_SEED);
        rows.truncate(MEDIAN_ROWS);
        rows.sort_unstable();
        rows
    };
    median(&mut pairs.distances_among(&rows)).filter(|median| *median > 0.0)
}

/// The median; of an even number of values the mean of the middle two.
fn median(values: &mut [f64]) -> Option<f64> {
    if values.is_empty() {
        return None;
    }
    let is_odd = values.len() % 2 == 1;
    let (below, &mut upper, _) = values.select_nth_unstable_by(values.len() / 2, f64::total_cmp);
    let lower = below.iter().copied().max_by(f64::total_cmp).unwrap_or(upper);
    Some(if is_odd { upper } else { 0.5 * (lower + upper) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Dataset;
    use crate::progress::NoProgress;
    use ndarray::Array2;

    fn found(first: &Array2<f64>, second: &Array2<f64>, permutations: usize) -> Discrepancies {
        let sets = [first, second].map(|rows| Dataset::new(rows.clone(), vec![0; rows.nrows()]).unwrap());
        let pairs = PooledPairs::<f64>::new(&sets[0], &sets[1], &NoProgress).unwrap();
        let wanted = PassOptions { kid: true, mmd: true, energy: true, permutations, seed: 3 };
        discrepancies(&pairs, (first.nrows(), second.nrows()), wanted).unwrap()
    }

    #[test]
    fn hand_worked_rows_on_a_line() {
        // 0 and 2 against 1 and 5: distances 2 within, 4 within, and 1, 5, 1, 3 between.
        let found = found(&ndarray::array![[0.0], [2.0]], &ndarray::array![[1.0], [5.0]], 0);
        let energy = found.energy.unwrap().unwrap();
        assert!((energy.value - (2.0 * 10.0 / 4.0 - 2.0 * 2.0 / 4.0 - 2.0 * 4.0 / 4.0)).abs() < 1e-14);
        assert_eq!(energy.p_value, None);
        // The sorted distances are 1, 1, 2, 3, 4, 5.
        assert_eq!(found.bandwidth, Some(2.5));
        let k = |d: f64| (-d * d / 12.5).exp();
        let expected = k(2.0) + k(4.0) - 0.5 * (2.0 * k(1.0) + k(5.0) + k(3.0));
        assert!((found.mmd.unwrap().unwrap().value - expected).abs() < 1e-14);
        // (0 * 2 + 1)^3 = 1 and (1 * 5 + 1)^3 = 216 within; 1, 1, 3^3 and 11^3 between.
        let expected = 1.0 + 216.0 - 0.5 * (1.0 + 1.0 + 27.0 + 1331.0);
        assert!((found.kid.unwrap().unwrap() - expected).abs() < 1e-10);
    }

    #[test]
    fn few_divisions_have_the_p_value_of_all_of_them() {
        // Of the 20 divisions of six rows into halves, the actual one and its mirror image are the most extreme.
        let found = found(&ndarray::array![[0.0], [1.0], [2.0]], &ndarray::array![[10.0], [11.0], [12.0]], 5000);
        for tested in [found.mmd, found.energy] {
            let p = tested.unwrap().unwrap().p_value.unwrap();
            assert!((p - 0.1).abs() < 0.015, "{p}");
        }
    }

    #[test]
    fn equal_sets_have_no_distance_and_p_1() {
        let rows = Array2::from_shape_fn((40, 3), |(i, j)| ((i * 37 + j * 101 + i * j * 13) % 97) as f64);
        let found = found(&rows, &rows, 200);
        let energy = found.energy.unwrap().unwrap();
        assert!(energy.value < 1e-12, "{energy:?}");
        assert!(energy.p_value.unwrap() > 0.9);
        assert!(found.mmd.unwrap().unwrap().value < 0.0);
    }

    #[test]
    fn the_median_of_an_even_number_is_between_two() {
        assert_eq!(median(&mut [5.0, 1.0, 4.0, 2.0]), Some(3.0));
        assert_eq!(median(&mut [5.0, 1.0, 4.0]), Some(4.0));
        assert_eq!(median(&mut []), None);
    }

    #[test]
    fn single_rows_have_a_reason() {
        let found = found(&ndarray::array![[0.0]], &ndarray::array![[10.0], [11.0]], 10);
        assert!(found.kid.unwrap().is_err() && found.energy.unwrap().is_err());
    }
}
