//! Whether a sum of differences of rows differs from 0: the same sum under random signs.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

use crate::statistics::{MANY_ROWS, normal_p_value};

/// Rows whose signed sums are looked up together: one byte of signs.
const GROUP: usize = 8;

/// Groups of one block, whose sums are added in order.
const BLOCK: usize = 256;

/// Kurtosis of a sum with random signs up to which it counts as normal.
const NEARLY_NORMAL: f64 = 0.01;

/// The two-sided p-value (1 + #{|T*| >= |T|}) / (1 + draws) of the sum T of the terms, where T* are sums with a random
/// sign for each term; with [`MANY_ROWS`], where such sums are normal, the number of draws that is expected to reach T.
/// The same for a seed on any number of threads.
pub fn sign_flip_p_value(terms: &[f64], draws: usize, seed: u64) -> f64 {
    if terms.len() >= MANY_ROWS {
        let (mut squares, mut fourths) = (0.0, 0.0);
        for term in terms {
            squares += term * term;
            fourths += term.powi(4);
        }
        // That of a sum with random signs is -2 sum t^4 / (sum t^2)^2.
        if 2.0 * fourths <= NEARLY_NORMAL * squares * squares {
            let reached = draws as f64 * normal_p_value(terms.iter().sum(), squares.sqrt());
            return (1.0 + reached) / (1 + draws) as f64;
        }
    }
    let blocks: Vec<Vec<f64>> = terms
        .par_chunks(BLOCK * GROUP)
        .enumerate()
        .map(|(block, terms)| {
            let mut generator = ChaCha8Rng::seed_from_u64(seed);
            generator.set_stream(block as u64);
            let mut sums = vec![0.0; draws];
            let mut signs = vec![0; draws];
            for group in terms.chunks(GROUP) {
                let table = signed_sums(group);
                generator.fill_bytes(&mut signs);
                for (sum, &signs) in sums.iter_mut().zip(&signs) {
                    *sum += table[usize::from(signs)];
                }
            }
            sums
        })
        .collect();
    let total = terms.iter().sum::<f64>().abs();
    let magnitude: f64 = terms.iter().map(|term| term.abs()).sum();
    // What rounding can take from a sum that is equal.
    let total = total - 1e-12 * magnitude;
    let mut reached = 0;
    for draw in 0..draws {
        let sum: f64 = blocks.iter().map(|sums| sums[draw]).sum();
        reached += usize::from(sum.abs() >= total);
    }
    (1 + reached) as f64 / (1 + draws) as f64
}

/// The sum of a group under each pattern of signs.
fn signed_sums(group: &[f64]) -> [f64; 1 << GROUP] {
    let mut sums = [0.0; 1 << GROUP];
    for (bit, term) in group.iter().enumerate() {
        for (pattern, sum) in sums.iter_mut().enumerate() {
            *sum += if pattern >> bit & 1 == 1 { -term } else { *term };
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_has_its_sum() {
        let sums = signed_sums(&[1.0, 2.0, 4.0]);
        assert_eq!(sums[..8], [7.0, 5.0, 3.0, 1.0, -1.0, -3.0, -5.0, -7.0]);
    }

    #[test]
    fn few_rows_have_the_p_value_of_all_sign_patterns() {
        // Of 16 patterns of 1, 2, 3, 10, those with |sum| >= 16 are two.
        let p = sign_flip_p_value(&[1.0, 2.0, 3.0, 10.0], 20_000, 0);
        assert!((p - 2.0 / 16.0).abs() < 0.01, "{p}");
        // |sum| >= 4: all but those with ... 10 against 1, 2, 3 is 4 at least.
        assert_eq!(sign_flip_p_value(&[-1.0, -2.0, -3.0, 10.0], 2000, 0), 1.0);
    }

    #[test]
    fn many_rows_have_the_p_value_that_draws_would_have() {
        // About one standard deviation of the sum away from 0.
        let terms: Vec<f64> =
            (0..MANY_ROWS).map(|row| ((row * 7919 % MANY_ROWS) as f64 / 1e4 - 0.996).powi(3)).collect();
        let known = sign_flip_p_value(&terms, 2000, 1);
        // The same terms in a few rows less, which are drawn.
        let drawn = sign_flip_p_value(&terms[..MANY_ROWS - 1], 2000, 1);
        assert!((known - drawn).abs() < 0.05, "{known} {drawn}");
        let mut alone = vec![0.0; MANY_ROWS];
        alone[3] = 1.0;
        assert_eq!(sign_flip_p_value(&alone, 2000, 1), 1.0);
    }

    #[test]
    fn no_difference_has_p_1_and_a_clear_one_the_smallest() {
        assert_eq!(sign_flip_p_value(&[0.0; 100], 2000, 0), 1.0);
        assert_eq!(sign_flip_p_value(&[0.01; 5000], 2000, 0), 1.0 / 2001.0);
    }
}
