//! The temperature at which the soft silhouette considers two classes.

use std::ops::RangeInclusive;

use rayon::prelude::*;

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::kernels::{ClassDistanceKernel, PassOptions, RowFold};
use crate::metrics::mean::weighted_mean;
use crate::metrics::row_score::{Competitors, Exponentials, own_position};

/// The temperature tau of the soft silhouette.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Temperature {
    /// In units of the distance.
    Value(f64),
    /// The temperature at which the soft minimum averages over 2 classes.
    Auto,
}

impl Temperature {
    /// The valid temperatures of a soft silhouette.
    pub const RANGE: RangeInclusive<f64> = 1e-6..=1e6;
}

/// `auto` finds the temperature at which the soft minimum averages over this many classes.
const TARGET_COMPETITORS: f64 = 2.0;

/// The range of the search, in units of the median distance.
const SEARCH: (f64, f64) = (1e-6, 1e3);

/// Distances kept for the search; with more rows it starts from a sample and is refined on all rows.
const KEPT_DISTANCES: usize = 1 << 22;

/// The search ends when the mean number of competitors is this close.
const PRECISION: f64 = 1e-10;

/// The temperature at which `effective_competitors` is 2.
///
/// # Errors
/// Fewer than 4 classes, or no such temperature within 1e-6 to 1e3 times the median distance.
pub(crate) fn find_temperature(dataset: &Dataset, kernel: &ClassDistanceKernel<'_>) -> Result<f64> {
    let classes = dataset.labels().classes();
    let unsolved = |problem: &str| Error::NoTemperature { problem: problem.to_owned() };
    if classes < 4 {
        return Err(unsolved(&format!("needs at least 4 classes, found {classes}")));
    }
    let stride = (dataset.scored().len() * classes).div_ceil(KEPT_DISTANCES);
    let kept = kernel.pass(&KeepDistances { stride }, PassOptions::default())?.rows;
    let weights = || dataset.scored_members().map(|(_, weight)| weight);
    let sample: Vec<(f64, Vec<f64>)> = weights().zip(kept).filter(|(_, distances)| !distances.is_empty()).collect();
    let mut all: Vec<f64> = sample.iter().flat_map(|(_, distances)| distances.iter().copied()).collect();
    let middle = all.len() / 2;
    let median = *all.select_nth_unstable_by(middle, f64::total_cmp).1;
    drop(all);
    let (lowest, highest) = (SEARCH.0 * median, SEARCH.1 * median);
    if lowest <= 0.0 {
        return Err(unsolved("most distances between classes are 0"));
    }
    let on_sample = |temperature: f64| -> Result<f64> {
        let effective: Vec<(f64, f64)> = sample
            .par_iter()
            .map(|(weight, distances)| {
                let mut competitors = Competitors::NONE;
                competitors.absorb(distances, None, temperature, Exponentials::Plain);
                (competitors.effective(temperature), *weight)
            })
            .collect();
        Ok(weighted_mean(effective).unwrap_or(1.0))
    };
    let no_solution = || unsolved("no temperature makes the soft minimum average over 2 classes");
    let start = solve(&on_sample, lowest, highest)?.ok_or_else(no_solution)?;
    if stride <= 1 {
        return Ok(start);
    }
    let on_all = |temperature: f64| -> Result<f64> {
        let effective = kernel.pass(&CountCompetitors { temperature }, PassOptions::default())?.rows;
        Ok(weighted_mean(effective.into_iter().zip(weights())).unwrap_or(1.0))
    };
    let near = solve(&on_all, (start / 1.1).max(lowest), (start * 1.1).min(highest))?;
    match near {
        Some(temperature) => Ok(temperature),
        None => solve(&on_all, lowest, highest)?.ok_or_else(no_solution),
    }
}

/// The temperature between two at which `competitors`, which increases with it, reaches the target; `None` if it does
/// not. Regula falsi with the Illinois rule, on the logarithm of the temperature.
fn solve(competitors: &dyn Fn(f64) -> Result<f64>, lowest: f64, highest: f64) -> Result<Option<f64>> {
    let excess = |log: f64| -> Result<f64> { Ok(competitors(log.exp())? - TARGET_COMPETITORS) };
    let (mut low, mut high) = (lowest.ln(), highest.ln());
    let (mut below, mut above) = (excess(low)?, excess(high)?);
    if below > 0.0 || above < 0.0 {
        return Ok(None);
    }
    let mut last_was_low = None;
    for step in 0..200 {
        // Far from the root the curve is flat, and only bisection guarantees progress.
        let halve = step % 3 == 2 && high - low > 0.1;
        let middle = if halve { 0.5 * (low + high) } else { (low * above - high * below) / (above - below) };
        let middle = middle.clamp(low, high);
        let value = excess(middle)?;
        if value.abs() <= PRECISION || high - low <= 1e-14 {
            return Ok(Some(middle.exp()));
        }
        let is_low = value < 0.0;
        if is_low {
            (low, below) = (middle, value);
        } else {
            (high, above) = (middle, value);
        }
        if last_was_low == Some(is_low) {
            if is_low {
                above *= 0.5;
            } else {
                below *= 0.5;
            }
        }
        last_was_low = Some(is_low);
    }
    Ok(Some((0.5 * (low + high)).exp()))
}

/// Keeps all distances to other classes of every `stride`-th row.
struct KeepDistances {
    stride: usize,
}

/// A row's class, and its distances if they are kept.
type KeptState = (usize, Option<Vec<f64>>);

impl RowFold for KeepDistances {
    type State = KeptState;
    type Output = Vec<f64>;

    fn start(&self, index: usize, own: usize) -> KeptState {
        (own, index.is_multiple_of(self.stride).then(Vec::new))
    }

    fn absorb(&self, (own, kept): &mut KeptState, first: usize, distances: &[f64]) {
        if let Some(kept) = kept {
            let others = distances.iter().zip(first..).filter(|&(_, class)| class != *own);
            kept.extend(others.map(|(distance, _)| distance));
        }
    }

    fn finish(&self, (_, kept): KeptState) -> Vec<f64> {
        kept.unwrap_or_default()
    }
}

/// Counts effective competitors at one temperature.
struct CountCompetitors {
    temperature: f64,
}

impl RowFold for CountCompetitors {
    type State = (usize, Competitors);
    type Output = f64;

    fn start(&self, _index: usize, own: usize) -> Self::State {
        (own, Competitors::NONE)
    }

    #[inline(always)]
    fn absorb(&self, (own, competitors): &mut Self::State, first: usize, distances: &[f64]) {
        let own = own_position(*own, first, distances);
        competitors.absorb(distances, own, self.temperature, Exponentials::Plain);
    }

    fn finish(&self, (_, competitors): Self::State) -> f64 {
        competitors.effective(self.temperature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_found_to_the_last_digits() {
        let curve = |temperature: f64| Ok(1.0 + 9.0 * temperature / (1.0 + temperature));
        let root = solve(&curve, 1e-6, 1e3).unwrap().unwrap();
        assert!((root - 0.125).abs() < 1e-9, "{root}");
        assert_eq!(solve(&curve, 1.0, 1e3).unwrap(), None);
    }
}
