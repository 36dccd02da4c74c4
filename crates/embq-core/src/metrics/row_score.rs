//! Scores of a row from its mean distances, for the silhouettes.

use crate::data::Precision;
use crate::kernels::{RowFold, exp_and_exp_m1, lane_sum, lane_sum_2, rough_sums, smallest};
use crate::metrics::silhouette::silhouette;
use crate::metrics::soft_silhouette::{SmoothMaximum, SoftMinimum, smooth_maximum};

/// The scores of one row.
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
#[derive(Clone, Copy, Debug)]
pub struct RowScoreFold<'a> {
    /// The precision of the distances: exponentials need no more.
    pub precision: Precision,
    /// tau, in units of the distance.
    pub temperature: f64,
    pub softmin: SoftMinimum,
    pub softmax: SmoothMaximum,
    /// The number of rows of each class.
    pub counts: &'a [usize],
}

/// The state of a row.
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
    /// Kept in addition to the first, which loses all digits of it if all x are tiny.
    deficits: f64,
    weighted: f64,
    /// The sum of the distances themselves, if their mean replaces the soft minimum.
    total: f64,
}

/// Classes whose exponentials are computed in one loop.
const BLOCK: usize = 128;

/// The required accuracy of the exponentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exponentials {
    /// float64, with their differences to 1.
    WithDeficits,
    /// float64.
    Plain,
    /// float32: an error of 1e-7 in the weights moves the soft minimum by less than the error of float32 distances.
    Rough,
}

impl Competitors {
    pub(crate) const NONE: Competitors = Competitors {
        classes: 0,
        smallest: f64::INFINITY,
        exponentials: 0.0,
        deficits: 0.0,
        weighted: 0.0,
        total: 0.0,
    };

    /// Adds classes, except the one at `own`; returns the position of the smallest distance if it is smaller than all
    /// before.
    #[inline(always)]
    pub(crate) fn absorb(
        &mut self,
        distances: &[f64],
        own: Option<usize>,
        temperature: f64,
        wanted: Exponentials,
    ) -> Option<usize> {
        let nearest = smallest(distances, own).filter(|&(_, distance)| distance < self.smallest);
        if let Some((_, smallest)) = nearest {
            self.lower(smallest, temperature);
        }
        if wanted == Exponentials::Rough {
            let (sum, weighted) = rough_sums(distances, own, self.smallest, temperature);
            self.exponentials += sum;
            self.weighted += weighted;
        } else {
            let (before, after) = without(distances, own);
            self.add(before, temperature, wanted);
            self.add(after, temperature, wanted);
        }
        self.classes += distances.len() - usize::from(own.is_some());
        nearest.map(|(position, _)| position)
    }

    /// Adds the distances to classes, except the one at `own`, to the sum for [`SoftMinimum::Mean`].
    #[inline(always)]
    pub(crate) fn add_total(&mut self, distances: &[f64], own: Option<usize>) {
        let (before, after) = without(distances, own);
        self.total += lane_sum(before, |distance| distance) + lane_sum(after, |distance| distance);
    }

    /// Rescales the sums to a smaller distance.
    fn lower(&mut self, smallest: f64, temperature: f64) {
        if self.classes > 0 {
            let drop = self.smallest - smallest;
            let (factor, factor_m1) = exp_and_exp_m1(-drop / temperature);
            self.weighted = factor * (self.weighted + drop * self.exponentials);
            self.deficits = factor * self.deficits - self.classes as f64 * factor_m1;
            self.exponentials *= factor;
        }
        self.smallest = smallest;
    }

    /// Adds distances, none of which is below the smallest, to the sums, in float64.
    #[inline(always)]
    fn add(&mut self, distances: &[f64], temperature: f64, wanted: Exponentials) {
        let rate = -1.0 / temperature;
        let mut excesses = [0.0; BLOCK];
        // One plain loop per step: a single loop for all of them would not be vectorised.
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
    }

    /// The soft minimum over the classes.
    pub(crate) fn soft_minimum(&self, kind: SoftMinimum, temperature: f64) -> f64 {
        match kind {
            SoftMinimum::Weighted => self.smallest + self.weighted / self.exponentials,
            SoftMinimum::Lse => self.smallest - temperature * (-self.deficits / self.classes as f64).ln_1p(),
            SoftMinimum::Hard => self.smallest,
            SoftMinimum::Mean => self.total / self.classes as f64,
        }
    }

    /// exp of the entropy of the weights exp(-D / tau).
    pub(crate) fn effective(&self, temperature: f64) -> f64 {
        self.exponentials * (self.weighted / self.exponentials / temperature).exp()
    }
}

/// The distances on either side of the own class.
#[inline(always)]
fn without(distances: &[f64], own: Option<usize>) -> (&[f64], &[f64]) {
    match own {
        Some(own) => (&distances[..own], &distances[own + 1..]),
        None => (distances, &[]),
    }
}

/// The position of the own class in the distances to the classes from `first` on.
#[inline(always)]
pub(crate) fn own_position(own: usize, first: usize, distances: &[f64]) -> Option<usize> {
    own.checked_sub(first).filter(|&own| own < distances.len())
}

impl RowFold for RowScoreFold<'_> {
    type State = RowState;
    type Output = RowScore;

    fn start(&self, _row: usize, own: usize) -> RowState {
        RowState { own, a: 0.0, nearest: 0, competitors: Competitors::NONE }
    }

    #[inline(always)]
    fn absorb(&self, state: &mut RowState, first: usize, distances: &[f64]) {
        let own = own_position(state.own, first, distances);
        if let Some(own) = own {
            state.a = distances[own];
        }
        let wanted = match (self.softmin, self.softmax, self.precision) {
            (SoftMinimum::Lse, ..) => Exponentials::WithDeficits,
            (SoftMinimum::Weighted, SmoothMaximum::Lse, Precision::F32) => Exponentials::Rough,
            // With a hard maximum, even weights of 1e-50 can matter if a and the nearest distance are 0.
            (SoftMinimum::Weighted, ..) => Exponentials::Plain,
            // Only the number of effective competitors uses them.
            (SoftMinimum::Hard | SoftMinimum::Mean, _, Precision::F32) => Exponentials::Rough,
            (SoftMinimum::Hard | SoftMinimum::Mean, _, Precision::F64) => Exponentials::Plain,
        };
        if self.softmin == SoftMinimum::Mean {
            state.competitors.add_total(distances, own);
        }
        if let Some(position) = state.competitors.absorb(distances, own, self.temperature, wanted) {
            state.nearest = (first + position) as u32;
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
    fn the_hard_minimum_and_the_mean_of_all_others_however_the_classes_arrive() {
        let distances = [0.9, 0.2, 0.7, 0.25, 0.4];
        for (kind, b) in [(SoftMinimum::Hard, 0.25), (SoftMinimum::Mean, (0.9 + 0.7 + 0.25 + 0.4) / 4.0)] {
            let whole = fold(&[&distances], 1, 0.1, kind);
            let parts = fold(&[&distances[..1], &distances[1..3], &distances[3..]], 1, 0.1, kind);
            for score in [whole, parts] {
                assert!((score.soft_silhouette - (b - 0.2) / b).abs() < 1e-15, "{kind:?}");
                assert!((score.effective_competitors - whole.effective_competitors).abs() < 1e-13);
            }
            let weighted = fold(&[&distances], 1, 0.1, SoftMinimum::Weighted);
            assert_eq!(whole.effective_competitors, weighted.effective_competitors);
        }
        // (0.25 - 0.125) / 0.25.
        let exact = fold(&[&[0.5, 0.125, 0.25]], 1, 0.1, SoftMinimum::Hard);
        assert_eq!((exact.soft_silhouette, exact.silhouette), (0.5, 0.5));
    }

    #[test]
    fn log_sum_exp_lies_between_minimum_and_mean() {
        let hard = fold(&[&[0.3, 0.1, 0.5, 0.9]], 0, 1e-6, SoftMinimum::Lse);
        assert!((hard.soft_silhouette - (0.1 - 0.3) / 0.3).abs() < 1e-4);
        let mean = fold(&[&[0.3, 0.1, 0.5, 0.9]], 0, 1e6, SoftMinimum::Lse);
        assert!((mean.soft_silhouette - (0.5 - 0.3) / 0.5).abs() < 1e-6);
    }
}
