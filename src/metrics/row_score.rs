//! What the silhouettes need of the mean distances of one row.

use std::f64::consts::{LN_2, LOG2_E};

use crate::data::Precision;
use crate::kernels::{ROUGH_LEAST, RowFold, exp_and_exp_m1, lane_sum, lane_sum_2, minimum, rough_exp2};
use crate::metrics::silhouette::silhouette;
use crate::metrics::soft_silhouette::{SmoothMaximum, SoftMinimum, smooth_maximum};

/// One row, scored.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RowScore {
    /// Mean distance to the other rows of the own class; `None` for the only row of a class.
    pub a: Option<f64>,
    /// Mean distance to the nearest other class.
    pub b: f64,
    /// That class.
    pub nearest_other: u32,
    /// The hard silhouette.
    pub silhouette: f64,
    /// The soft silhouette.
    pub soft_silhouette: f64,
    /// exp of the entropy of the weights of the soft minimum.
    pub effective_competitors: f64,
}

/// Folds the mean distances of a row into its [`RowScore`].
pub struct RowScoreFold<'a> {
    /// That of the distances: exponentials need no more.
    pub precision: Precision,
    /// tau, in units of the distance.
    pub temperature: f64,
    pub softmin: SoftMinimum,
    pub softmax: SmoothMaximum,
    /// Rows of each class.
    pub counts: &'a [usize],
}

/// The classes of a row so far.
#[derive(Clone)]
pub struct RowState {
    own: usize,
    a: f64,
    nearest: u32,
    competitors: Competitors,
}

/// Running sums of the soft minimum over competing classes, relative to the smallest distance so far, so that no
/// exponential overflows at any temperature.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Competitors {
    classes: usize,
    /// The smallest distance.
    smallest: f64,
    /// With x = (D - smallest) / tau: the sum of exp(-x), of 1 - exp(-x), and of exp(-x) (D - smallest).
    exponentials: f64,
    /// Kept beside the first, which has no digits of it where all x are tiny.
    deficits: f64,
    weighted: f64,
}

/// Classes whose exponentials are taken in one loop.
const BLOCK: usize = 128;

/// What is wanted of the exponentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exponentials {
    /// In float64, with what is missing to 1.
    WithDeficits,
    /// In float64.
    Plain,
    /// In float32: an error of 1e-7 in the weights moves the soft minimum by less than that of float32 distances.
    Rough,
}

impl Competitors {
    pub(crate) const NONE: Competitors =
        Competitors { classes: 0, smallest: f64::INFINITY, exponentials: 0.0, deficits: 0.0, weighted: 0.0 };

    /// Adds classes; returns the position of the smallest distance if it is smaller than all before.
    #[inline(always)]
    pub(crate) fn absorb(&mut self, distances: &[f64], temperature: f64, wanted: Exponentials) -> Option<usize> {
        let rate = -1.0 / temperature;
        let (mut smallest, mut nearest) = (f64::INFINITY, 0);
        for (index, block) in distances.chunks(BLOCK).enumerate() {
            let of_block = minimum(block);
            if of_block < smallest {
                (smallest, nearest) = (of_block, index);
            }
        }
        let mut position = None;
        if smallest < self.smallest {
            let first = nearest * BLOCK;
            position =
                distances[first..].iter().position(|&distance| distance == smallest).map(|offset| first + offset);
            if self.classes > 0 {
                let drop = self.smallest - smallest;
                let (factor, factor_m1) = exp_and_exp_m1(drop * rate);
                self.weighted = factor * (self.weighted + drop * self.exponentials);
                self.deficits = factor * self.deficits - self.classes as f64 * factor_m1;
                self.exponentials *= factor;
            }
            self.smallest = smallest;
        }
        // One plain loop for each step: a loop that did all of them would not become vector instructions.
        if wanted == Exponentials::Rough {
            let rate = rate * LOG2_E;
            let (mut exponents, mut exponentials) = ([0.0_f32; BLOCK], [0.0_f32; BLOCK]);
            for block in distances.chunks(BLOCK) {
                let exponents = &mut exponents[..block.len()];
                let exponentials = &mut exponentials[..block.len()];
                for (exponent, distance) in exponents.iter_mut().zip(block) {
                    let value = (distance - self.smallest) * rate;
                    // The exponential is 0 from here on, and the product of both must be.
                    *exponent = if value > NOTHING { value as f32 } else { ROUGH_LEAST };
                }
                for (exponential, exponent) in exponentials.iter_mut().zip(&*exponents) {
                    *exponential = rough_exp2(*exponent);
                }
                let (sum, weighted) = rough_sums(exponentials, exponents);
                self.exponentials += sum;
                self.weighted -= temperature * LN_2 * weighted;
            }
            self.classes += distances.len();
            return position;
        }
        let mut excesses = [0.0; BLOCK];
        for block in distances.chunks(BLOCK) {
            let excesses = &mut excesses[..block.len()];
            for (excess, distance) in excesses.iter_mut().zip(block) {
                *excess = distance - self.smallest;
            }
            let mut exponentials = [0.0; BLOCK];
            let exponentials = &mut exponentials[..block.len()];
            if wanted == Exponentials::WithDeficits {
                let mut deficits = [0.0; BLOCK];
                let deficits = &mut deficits[..block.len()];
                for ((excess, exponential), deficit) in
                    excesses.iter().zip(exponentials.iter_mut()).zip(deficits.iter_mut())
                {
                    let (value, less_one) = exp_and_exp_m1(excess * rate);
                    *exponential = value;
                    *deficit = -less_one;
                }
                self.deficits += lane_sum(deficits, |value| value);
            } else {
                for (excess, exponential) in excesses.iter().zip(exponentials.iter_mut()) {
                    *exponential = exp_and_exp_m1(excess * rate).0;
                }
            }
            self.exponentials += lane_sum(exponentials, |value| value);
            self.weighted += lane_sum_2(exponentials, excesses, |value, excess| value * excess);
        }
        self.classes += distances.len();
        position
    }

    /// The soft minimum over the classes.
    pub(crate) fn soft_minimum(&self, kind: SoftMinimum, temperature: f64) -> f64 {
        match kind {
            SoftMinimum::Weighted => self.smallest + self.weighted / self.exponentials,
            SoftMinimum::Lse => self.smallest - temperature * (-self.deficits / self.classes as f64).ln_1p(),
        }
    }

    /// exp of the entropy of the weights exp(-D / tau).
    pub(crate) fn effective(&self, temperature: f64) -> f64 {
        self.exponentials * (self.weighted / self.exponentials / temperature).exp()
    }
}

/// [`ROUGH_LEAST`] in float64.
const NOTHING: f64 = ROUGH_LEAST as f64;

/// The sums of exponentials and of their products with exponents to the base 2, over a block. Float32 lanes of few terms each: their
/// rounding is that of the terms.
#[inline(always)]
fn rough_sums(exponentials: &[f32], exponents: &[f32]) -> (f64, f64) {
    const LANES: usize = 16;
    let (mut sums, mut weighted) = ([0.0_f32; LANES], [0.0_f32; LANES]);
    let (exponentials, last_exponentials) = exponentials.as_chunks::<LANES>();
    let (exponents, last_exponents) = exponents.as_chunks::<LANES>();
    for (exponentials, exponents) in exponentials.iter().zip(exponents) {
        for lane in 0..LANES {
            sums[lane] += exponentials[lane];
            weighted[lane] += exponentials[lane] * exponents[lane];
        }
    }
    for (lane, (exponential, exponent)) in last_exponentials.iter().zip(last_exponents).enumerate() {
        sums[lane] += exponential;
        weighted[lane] += exponential * exponent;
    }
    (lane_sum(&sums, f64::from), lane_sum(&weighted, f64::from))
}

impl RowFold for RowScoreFold<'_> {
    type State = RowState;
    type Output = RowScore;

    fn start(&self, _row: usize, own: usize) -> RowState {
        RowState { own, a: 0.0, nearest: 0, competitors: Competitors::NONE }
    }

    #[inline(always)]
    fn absorb(&self, state: &mut RowState, first: usize, distances: &[f64]) {
        let (before, after) = match state.own.checked_sub(first) {
            Some(own) if own < distances.len() => {
                state.a = distances[own];
                (&distances[..own], &distances[own + 1..])
            }
            _ => (distances, &[][..]),
        };
        let wanted = match (self.softmin, self.softmax, self.precision) {
            (SoftMinimum::Lse, ..) => Exponentials::WithDeficits,
            (SoftMinimum::Weighted, SmoothMaximum::Lse, Precision::F32) => Exponentials::Rough,
            // Against a hard maximum even weights of 1e-50 can decide, where a and the nearest distance are 0.
            (SoftMinimum::Weighted, ..) => Exponentials::Plain,
        };
        for (first, distances) in [(first, before), (state.own + 1, after)] {
            if let Some(position) = state.competitors.absorb(distances, self.temperature, wanted) {
                state.nearest = (first + position) as u32;
            }
        }
    }

    fn finish(&self, state: RowState) -> RowScore {
        let (a, b) = (state.a, state.competitors.smallest);
        let alone = self.counts[state.own] == 1;
        let soft_b = state.competitors.soft_minimum(self.softmin, self.temperature);
        RowScore {
            a: (!alone).then_some(a),
            b,
            nearest_other: state.nearest,
            silhouette: if alone { 0.0 } else { silhouette(a, b, a.max(b)) },
            soft_silhouette: if alone {
                0.0
            } else {
                silhouette(a, soft_b, smooth_maximum(self.softmax, a, soft_b, self.temperature))
            },
            effective_competitors: state.competitors.effective(self.temperature),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fold(runs: &[&[f64]], own: usize, temperature: f64, softmin: SoftMinimum) -> RowScore {
        let classes = runs.iter().map(|run| run.len()).sum();
        let counts = vec![2; classes];
        let fold = RowScoreFold {
            precision: Precision::F64,
            temperature,
            softmin,
            softmax: SmoothMaximum::Hard,
            counts: &counts,
        };
        let mut state = fold.start(0, own);
        let mut first = 0;
        for run in runs {
            fold.absorb(&mut state, first, run);
            first += run.len();
        }
        fold.finish(state)
    }

    #[test]
    fn the_nearest_is_the_first_smallest_and_never_the_own_class() {
        let score = fold(&[&[3.0, 2.0, 0.5], &[2.0, 2.0]], 2, 0.1, SoftMinimum::Weighted);
        assert_eq!((score.a, score.b, score.nearest_other), (Some(0.5), 2.0, 1));
        assert_eq!(score.silhouette, 0.75);
    }

    #[test]
    fn the_soft_minimum_is_the_weighted_mean_however_the_classes_arrive() {
        let distances = [0.9, 0.2, 0.7, 0.25, 0.4];
        let tau: f64 = 0.1;
        let weights: Vec<f64> = [0.9f64, 0.7, 0.25, 0.4].iter().map(|d| (-d / tau).exp()).collect();
        let total: f64 = weights.iter().sum();
        let b: f64 = weights.iter().zip([0.9, 0.7, 0.25, 0.4]).map(|(w, d)| w / total * d).sum();
        let entropy: f64 = weights.iter().map(|w| -(w / total) * (w / total).ln()).sum();
        let whole = fold(&[&distances], 1, tau, SoftMinimum::Weighted);
        let parts = fold(&[&distances[..1], &distances[1..3], &distances[3..]], 1, tau, SoftMinimum::Weighted);
        for score in [whole, parts] {
            assert!((score.soft_silhouette - (b - 0.2) / b).abs() < 1e-14);
            assert!((score.effective_competitors - entropy.exp()).abs() < 1e-13);
        }
    }

    #[test]
    fn log_sum_exp_lies_between_minimum_and_mean() {
        let hard = fold(&[&[0.3, 0.1, 0.5, 0.9]], 0, 1e-6, SoftMinimum::Lse);
        assert!((hard.soft_silhouette - (0.1 - 0.3) / 0.3).abs() < 1e-4);
        let mean = fold(&[&[0.3, 0.1, 0.5, 0.9]], 0, 1e6, SoftMinimum::Lse);
        assert!((mean.soft_silhouette - (0.5 - 0.3) / 0.5).abs() < 1e-6);
    }
}
