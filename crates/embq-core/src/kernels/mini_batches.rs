//! k-means on mini-batches (Sculley, "Web-scale k-means clustering", 2010), with the choices of scikit-learn's
//! `MiniBatchKMeans`: k-means++ on a sample of three batches, centres that nearly no row goes to put elsewhere, and an end
//! once a running mean of the inertia of batches has not fallen for ten of them.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use crate::data::{below, uniform};
use crate::kernels::dense::{squared_distance, squared_norm};
use crate::kernels::gemm::{Packed, multiply_packed};

/// Rows of a product.
const BLOCK_ROWS: usize = 256;

/// Rows of a batch.
const BATCH: usize = 512;

/// Batches of rows from which the first centres are chosen.
const FIRST_BATCHES: usize = 3;

/// Passes over the rows, at most.
const PASSES: usize = 100;

/// Batches without an improvement after which it ends.
const PATIENCE: usize = 10;

/// Centres with less than this share of the rows of the largest are put elsewhere.
const REASSIGNED_SHARE: f64 = 0.01;

/// The cluster of each row of n x d values, of at most `clusters`, which is at least 1. The same seed gives the same
/// clusters for any number of threads.
pub(crate) fn mini_batch_k_means(rows: &[f64], dimensions: usize, clusters: usize, seed: u64) -> Vec<u32> {
    let n = rows.len() / dimensions;
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let mut centres = first_centres(rows, dimensions, clusters, &mut random);
    let mut counts = vec![0.0_f64; clusters];
    let mut since_reassigned = 0;
    let (mut smoothed, mut least, mut without_improvement): (Option<f64>, f64, usize) = (None, f64::INFINITY, 0);
    for step in 0..(PASSES * n).div_ceil(BATCH) {
        let chosen: Vec<usize> = (0..BATCH).map(|_| below(n, &mut random)).collect();
        let batch = gathered(rows, dimensions, &chosen);
        let nearest = nearest_centres(&batch, dimensions, &centres);
        let inertia = nearest.iter().map(|(_, distance)| distance).sum::<f64>() / BATCH as f64;
        since_reassigned += BATCH;
        let is_reassigned = counts.contains(&0.0) || since_reassigned >= 10 * clusters;
        move_centres(&batch, dimensions, &nearest, &mut centres, &mut counts);
        if is_reassigned {
            since_reassigned = 0;
            reassign(&batch, dimensions, &mut centres, &mut counts, &mut random);
        }
        // The first batch still depends on nothing but the first centres.
        if step == 0 {
            continue;
        }
        let weight = (2.0 * BATCH as f64 / (n as f64 + 1.0)).min(1.0);
        let now = smoothed.map_or(inertia, |before| before * (1.0 - weight) + inertia * weight);
        smoothed = Some(now);
        if now < least {
            (least, without_improvement) = (now, 0);
        } else {
            without_improvement += 1;
            if without_improvement == PATIENCE {
                break;
            }
        }
    }
    nearest_centres(rows, dimensions, &centres).into_iter().map(|(centre, _)| centre as u32).collect()
}

fn row(rows: &[f64], dimensions: usize, index: usize) -> &[f64] {
    &rows[index * dimensions..(index + 1) * dimensions]
}

/// Some of the rows, one after the other.
fn gathered(rows: &[f64], dimensions: usize, chosen: &[usize]) -> Vec<f64> {
    chosen.iter().flat_map(|&index| row(rows, dimensions, index)).copied().collect()
}

/// For each row its nearest centre, and of those the first, and the squared distance to it. Products decide, as in
/// scikit-learn.
fn nearest_centres(rows: &[f64], dimensions: usize, centres: &[f64]) -> Vec<(usize, f64)> {
    let packed = Packed::of(centres, dimensions);
    let clusters = centres.len() / dimensions;
    let halves: Vec<f64> = centres.chunks_exact(dimensions).map(|centre| 0.5 * squared_norm(centre)).collect();
    let of_block = |rows: &[f64]| -> Vec<(usize, f64)> {
        let mut products = vec![0.0; rows.len() / dimensions * clusters];
        multiply_packed(rows, &packed, 0..clusters, &mut products);
        let nearest = |(row, products): (&[f64], &[f64])| {
            let distances = products.iter().zip(&halves).map(|(product, half)| half - product);
            let (centre, _) = distances.enumerate().fold((0, f64::INFINITY), |best, (centre, distance)| {
                if distance < best.1 { (centre, distance) } else { best }
            });
            (centre, squared_distance(row, &centres[centre * dimensions..(centre + 1) * dimensions]))
        };
        rows.chunks_exact(dimensions).zip(products.chunks_exact(clusters)).map(nearest).collect()
    };
    let blocks: Vec<Vec<(usize, f64)>> = rows.par_chunks(BLOCK_ROWS * dimensions).map(of_block).collect();
    blocks.concat()
}

/// k-means++ with several candidates for each centre, of which the one counts that leaves the least inertia.
fn first_centres(rows: &[f64], dimensions: usize, clusters: usize, random: &mut ChaCha8Rng) -> Vec<f64> {
    let n = rows.len() / dimensions;
    let wanted = (FIRST_BATCHES * BATCH).max(3 * clusters);
    let sample: Vec<usize> =
        if wanted < n { (0..wanted).map(|_| below(n, random)).collect() } else { (0..n).collect() };
    let tries = 2 + (clusters as f64).ln() as usize;
    let mut centres = row(rows, dimensions, sample[below(sample.len(), random)]).to_vec();
    let distances_to = |centre: &[f64]| -> Vec<f64> {
        sample.par_iter().map(|&index| squared_distance(row(rows, dimensions, index), centre)).collect()
    };
    let mut nearest = distances_to(&centres);
    for _ in 1..clusters {
        let total: f64 = nearest.iter().sum();
        let mut best: Option<(f64, usize, Vec<f64>)> = None;
        for _ in 0..tries {
            let mut left = uniform(random) * total;
            let drawn = nearest.iter().position(|distance| {
                left -= distance;
                left < 0.0
            });
            // Rounding, or rows that all lie on centres.
            let candidate = sample[drawn.unwrap_or(sample.len() - 1)];
            let mut distances = distances_to(row(rows, dimensions, candidate));
            distances.iter_mut().zip(&nearest).for_each(|(distance, nearest)| *distance = distance.min(*nearest));
            let inertia = distances.iter().sum();
            if best.as_ref().is_none_or(|(least, _, _)| inertia < *least) {
                best = Some((inertia, candidate, distances));
            }
        }
        if let Some((_, candidate, distances)) = best {
            centres.extend_from_slice(row(rows, dimensions, candidate));
            nearest = distances;
        }
    }
    centres
}

/// Makes each centre the mean of all rows that went to it so far.
fn move_centres(batch: &[f64], dimensions: usize, nearest: &[(usize, f64)], centres: &mut [f64], counts: &mut [f64]) {
    let mut arrived = vec![0.0; counts.len()];
    let mut sums = vec![0.0; centres.len()];
    for (row, &(centre, _)) in batch.chunks_exact(dimensions).zip(nearest) {
        arrived[centre] += 1.0;
        let sum = &mut sums[centre * dimensions..(centre + 1) * dimensions];
        sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    let each = centres.chunks_exact_mut(dimensions).zip(sums.chunks_exact(dimensions));
    for ((centre, sum), (count, arrived)) in each.zip(counts.iter_mut().zip(arrived)) {
        if arrived > 0.0 {
            let all = *count + arrived;
            centre.iter_mut().zip(sum).for_each(|(value, sum)| *value = (*value * *count + sum) / all);
            *count = all;
        }
    }
}

/// Puts centres of few rows on rows of the batch, at most half as many as it has.
fn reassign(batch: &[f64], dimensions: usize, centres: &mut [f64], counts: &mut [f64], random: &mut ChaCha8Rng) {
    let most = counts.iter().copied().fold(0.0, f64::max);
    let mut poor: Vec<usize> = (0..counts.len()).filter(|&centre| counts[centre] < REASSIGNED_SHARE * most).collect();
    if poor.is_empty() {
        return;
    }
    poor.sort_by(|&left, &right| counts[left].total_cmp(&counts[right]));
    poor.truncate(BATCH / 2);
    let kept = (0..counts.len()).filter(|centre| !poor.contains(centre));
    let least = kept.map(|centre| counts[centre]).fold(f64::INFINITY, f64::min);
    let mut free: Vec<usize> = (0..BATCH).collect();
    for centre in poor {
        let chosen = free.swap_remove(below(free.len(), random));
        centres[centre * dimensions..(centre + 1) * dimensions].copy_from_slice(row(batch, dimensions, chosen));
        counts[centre] = least;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_that_lie_apart_are_found() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        let groups = 7;
        let rows: Vec<f64> = (0..3000)
            .flat_map(|row| {
                let angle = f64::from(row % groups);
                let jitter = below(1000, &mut random) as f64 / 1000.0;
                [20.0 * angle + jitter, (row / groups % 5) as f64 * 0.1]
            })
            .collect();
        let found = mini_batch_k_means(&rows, 2, groups as usize, 3);
        let first: Vec<u32> = found[..groups as usize].to_vec();
        let mut distinct = first.clone();
        distinct.sort_unstable();
        distinct.dedup();
        assert_eq!(distinct.len(), groups as usize);
        assert!(found.iter().enumerate().all(|(row, cluster)| *cluster == first[row % groups as usize]));
        assert_eq!(found, mini_batch_k_means(&rows, 2, groups as usize, 3));
    }

    #[test]
    fn few_rows_and_rows_at_one_place_have_clusters_too() {
        assert_eq!(mini_batch_k_means(&[1.0, 1.0, 1.0], 1, 2, 0).len(), 3);
        let found = mini_batch_k_means(&[0.0, 9.0], 1, 2, 0);
        assert_ne!(found[0], found[1]);
    }

    #[test]
    fn centres_are_means_of_their_rows_so_far() {
        let batch = [0.0, 2.0, 10.0, 12.0];
        let (mut centres, mut counts) = (vec![1.0, 9.0], vec![0.0, 1.0]);
        let nearest = nearest_centres(&batch, 1, &centres);
        assert_eq!(nearest.iter().map(|near| near.0).collect::<Vec<_>>(), [0, 0, 1, 1]);
        move_centres(&batch, 1, &nearest, &mut centres, &mut counts);
        assert_eq!((centres, counts), (vec![1.0, 31.0 / 3.0], vec![2.0, 3.0]));
    }
}
