//! Percentile intervals by drawing rows again, class by class.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

use crate::error::Result;
use crate::progress::Progress;
use crate::statistics::{DRAWS, LEVEL, MANY_ROWS, Strata, normal_interval};

/// Statistics that are drawn together.
pub const TOGETHER: usize = 8;

/// Skewness and kurtosis of a sum up to which the expansion of its percentiles is taken.
const NEARLY_NORMAL: f64 = 0.1;

/// For each statistic, a sum of terms of rows, what chance takes from it and adds to it at most: the percentiles of 2,000
/// draws of as many rows of each class as it has, or with [`MANY_ROWS`] those of all draws, from the moments of a draw. The
/// same for a seed on any number of threads.
///
/// # Errors
/// [`Error::Cancelled`](crate::Error::Cancelled).
pub fn bootstrap_intervals(
    statistics: &[&[f64]],
    strata: &Strata<'_>,
    seed: u64,
    progress: &dyn Progress,
) -> Result<Vec<[f64; 2]>> {
    let mut intervals: Vec<Option<[f64; 2]>> = vec![None; statistics.len()];
    if strata.order.len() >= MANY_ROWS {
        intervals = statistics.par_iter().map(|terms| expanded(strata.redrawn_moments(terms))).collect();
    }
    let drawn: Vec<&[f64]> =
        statistics.iter().zip(&intervals).filter(|(_, known)| known.is_none()).map(|(terms, _)| *terms).collect();
    let drawn: Vec<Vec<[f64; 2]>> =
        drawn.chunks(TOGETHER).map(|statistics| draw(statistics, strata, seed, progress)).collect::<Result<_>>()?;
    let mut drawn = drawn.into_iter().flatten();
    Ok(intervals.into_iter().map(|known| known.or_else(|| drawn.next()).unwrap_or_default()).collect())
}

/// The percentiles of a sum around its mean from its variance, skewness and kurtosis, by the expansion of Cornish and
/// Fisher (1938); `None` where the sum is too far from normal.
fn expanded([variance, skewness, kurtosis]: [f64; 3]) -> Option<[f64; 2]> {
    if skewness.abs() > NEARLY_NORMAL || kurtosis.abs() > NEARLY_NORMAL {
        return None;
    }
    let [_, z] = normal_interval(0.0, 1.0);
    Some([-z, z].map(|z| {
        let bent = z + (z * z - 1.0) * skewness / 6.0 + (z.powi(3) - 3.0 * z) * kurtosis / 24.0
            - (2.0 * z.powi(3) - 5.0 * z) * skewness * skewness / 36.0;
        bent * variance.sqrt()
    }))
}

fn draw(statistics: &[&[f64]], strata: &Strata<'_>, seed: u64, progress: &dyn Progress) -> Result<Vec<[f64; 2]>> {
    let mut terms = vec![[0.0; TOGETHER]; strata.order.len()];
    for (position, statistic) in statistics.iter().enumerate() {
        for (terms, value) in terms.iter_mut().zip(strata.centred(statistic)) {
            terms[position] = value;
        }
    }
    let draws: Vec<[f64; TOGETHER]> = (0..DRAWS as u64)
        .into_par_iter()
        .map(|draw| {
            progress.check()?;
            let mut generator = ChaCha8Rng::seed_from_u64(seed);
            generator.set_stream(draw);
            let mut sums = [0.0; TOGETHER];
            for ends in strata.starts.windows(2) {
                let rows = &terms[ends[0]..ends[1]];
                if let [_] = rows {
                    continue;
                }
                for _ in 0..rows.len() {
                    // The high half of the product is uniform but for a share of n / 2^32.
                    let chosen = (u64::from(generator.next_u32()) * rows.len() as u64) >> 32;
                    for (sum, value) in sums.iter_mut().zip(&rows[chosen as usize]) {
                        *sum += value;
                    }
                }
            }
            Ok(sums)
        })
        .collect::<Result<_>>()?;
    let interval = |position: usize| {
        let mut values: Vec<f64> = draws.iter().map(|sums| sums[position]).collect();
        values.sort_unstable_by(f64::total_cmp);
        [(1.0 - LEVEL) / 2.0, (1.0 + LEVEL) / 2.0].map(|share| quantile(&values, share))
    };
    Ok((0..statistics.len()).map(interval).collect())
}

/// A quantile of sorted values, linear between neighbours.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    sorted[below] + (place - place.floor()) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::NoProgress;

    #[test]
    fn quantiles_lie_between_neighbours() {
        let values = [0.0, 1.0, 2.0, 4.0];
        assert_eq!([0.0, 0.5, 1.0].map(|share| quantile(&values, share)), [0.0, 1.5, 4.0]);
    }

    #[test]
    fn intervals_are_about_two_standard_errors_wide_and_do_not_depend_on_their_company() {
        let values: Vec<f64> = (0..400).map(|row| ((row * 7919) % 400) as f64 / 400.0 / 400.0).collect();
        let more: Vec<f64> = values.iter().map(|value| 2.0 * value).collect();
        let codes: Vec<u32> = (0..400).map(|row| row % 2).collect();
        let strata = Strata::new(&codes, &[200, 200], None);
        let error = strata.standard_error(&values);
        let alone = bootstrap_intervals(&[&values], &strata, 1, &NoProgress).unwrap()[0];
        assert!((alone[1] / error - 1.96).abs() < 0.15 && (alone[0] / error + 1.96).abs() < 0.15, "{alone:?} {error}");
        let together = bootstrap_intervals(&[&more, &values, &more, &more, &values], &strata, 1, &NoProgress).unwrap();
        assert_eq!((together[1], together[4]), (alone, alone));
        assert_eq!(together[0], alone.map(|end| 2.0 * end));
        assert_ne!(bootstrap_intervals(&[&values], &strata, 2, &NoProgress).unwrap()[0], alone);
    }

    #[test]
    fn percentiles_from_moments_are_those_of_draws() {
        // Skewed terms: the square of a number that is uniform in each class.
        let rows = MANY_ROWS + 1000;
        let values: Vec<f64> = (0..rows).map(|row| ((row * 7919 % rows) as f64 / rows as f64).powi(6)).collect();
        let codes: Vec<u32> = (0..rows).map(|row| (row % 3) as u32).collect();
        let strata = Strata::new(&codes, &[rows / 3; 3], None);
        let known = expanded(strata.redrawn_moments(&values)).unwrap();
        let drawn = draw(&[&values], &strata, 3, &NoProgress).unwrap()[0];
        let error = strata.standard_error(&values);
        for (known, drawn) in known.iter().zip(drawn) {
            // Of 2,000 draws the percentiles themselves vary by 0.06 standard errors.
            assert!((known - drawn).abs() < 0.2 * error, "{known} {drawn} {error}");
        }
        assert_eq!(bootstrap_intervals(&[&values], &strata, 3, &NoProgress).unwrap()[0], known);
    }

    #[test]
    fn a_sum_that_hangs_on_one_row_is_drawn() {
        let rows = MANY_ROWS;
        let mut values = vec![0.0; rows];
        values[7] = 1.0;
        let strata = Strata::whole(rows);
        assert_eq!(expanded(strata.redrawn_moments(&values)), None);
        assert!(bootstrap_intervals(&[&values], &strata, 3, &NoProgress).unwrap()[0][1] > 1.0);
    }
}
