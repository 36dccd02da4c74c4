//! Whether classes have become more or less frequent.

use crate::drift::entry::{DOWN, DriftMetric, FROM_0, entry};

pub(super) const PSI: &str = "psi";

pub(super) const ENTRIES: &[DriftMetric] =
    &[entry(PSI, "population stability index of the class shares", FROM_0, DOWN, "Siddiqi 2006").by_class()];

/// What a class gives to the population stability index: (q - p) ln(q / p) for its shares p of the reference and q of the
/// current rows. A set without rows of the class counts as having half of one.
pub(super) fn psi(reference: (usize, usize), current: (usize, usize)) -> f64 {
    let share = |(count, rows): (usize, usize)| (count as f64).max(0.5) / rows as f64;
    let (before, after) = (share(reference), share(current));
    (after - before) * (after / before).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_shares_give_nothing_and_others_what_the_formula_says() {
        assert_eq!(psi((10, 100), (3, 30)), 0.0);
        assert!((psi((10, 100), (20, 100)) - 0.1 * 2.0_f64.ln()).abs() < 1e-16);
        assert!((psi((0, 100), (20, 100)) - 0.195 * 40.0_f64.ln()).abs() < 1e-15);
    }
}
