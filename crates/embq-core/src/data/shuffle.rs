//! Reproducible random orders.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A random number from 0 to below n: the high half of a product, uniform except for a share of n / 2^64.
pub(crate) fn below(n: usize, generator: &mut ChaCha8Rng) -> usize {
    ((u128::from(generator.next_u64()) * n as u128) >> 64) as usize
}

/// A random number from 0 to below 1.
pub(crate) fn uniform(generator: &mut ChaCha8Rng) -> f64 {
    (generator.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// The numbers 0..n in an order from a Fisher-Yates shuffle with ChaCha8: a seed gives the same order on every machine
/// and in every version.
pub(crate) fn shuffled(n: usize, seed: u64) -> Vec<usize> {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, below(last + 1, &mut generator));
    }
    order
}

/// At most `wanted` of the numbers 0..n drawn at random, in order.
pub(crate) fn drawn(n: usize, wanted: usize, seed: u64) -> Vec<usize> {
    let mut drawn = shuffled(n, seed);
    drawn.truncate(wanted);
    drawn.sort_unstable();
    drawn
}

/// A random sample of rows, in order, from each class in proportion to its size and at least one from each. `wanted` is
/// at least the number of classes and at most the number of rows.
pub(crate) fn drawn_by_class(codes: &[u32], counts: &[usize], wanted: usize, seed: u64) -> Vec<usize> {
    let (rows, classes) = (codes.len(), counts.len());
    // One from each class, then the rest in proportion; the remainder from rounding goes to the largest fractions.
    let (spare, rest) = (wanted - classes, rows - classes);
    let share = |class: usize| (counts[class] - 1) as u128 * spare as u128;
    let mut quotas: Vec<usize> = (0..classes).map(|class| 1 + (share(class) / rest.max(1) as u128) as usize).collect();
    let mut by_remainder: Vec<usize> = (0..classes).collect();
    by_remainder.sort_by_key(|&class| std::cmp::Reverse(share(class) % rest.max(1) as u128));
    let missing = wanted - quotas.iter().sum::<usize>();
    for &class in by_remainder.iter().take(missing) {
        quotas[class] += 1;
    }
    let mut drawn: Vec<usize> = Vec::with_capacity(wanted);
    for row in shuffled(rows, seed) {
        let quota = &mut quotas[codes[row] as usize];
        if *quota > 0 {
            *quota -= 1;
            drawn.push(row);
        }
    }
    drawn.sort_unstable();
    drawn
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
