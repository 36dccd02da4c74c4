//! Reproducible random orders.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The numbers 0..n in the order of a Fisher-Yates shuffle on ChaCha8: the same for a seed on every machine and in every
/// version.
pub(crate) fn shuffled(n: usize, seed: u64) -> Vec<usize> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        // The high half of the product is uniform over 0..=last but for a share of (last + 1) / 2^64.
        let chosen = (u128::from(generator.next_u64()) * (last as u128 + 1)) >> 64;
        order.swap(last, chosen as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shuffle_keeps_every_row_and_depends_on_the_seed() {
        let order = shuffled(100, 7);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_eq!(order, shuffled(100, 7));
        assert_ne!(order, shuffled(100, 8));
    }
}
