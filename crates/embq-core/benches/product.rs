//! Measures how fast this machine multiplies matrices with the crate that embq uses, as a yardstick for its kernels.
//!
//! ```text
//! cargo bench -p embq-core --bench product -- ROWS DIMENSIONS COLUMNS [RUNS]
//! ```
//!
//! prints a line of JSON: the median seconds of the product of a ROWS x DIMENSIONS and a DIMENSIONS x COLUMNS matrix in
//! float32 on one and on all threads, and the rate. Rows are multiplied 256 at a time, as the kernels do, so that the
//! result stays in cache; COLUMNS of 0 means the products of all pairs of rows, each once.

use std::time::Instant;

use gemm::{Parallelism, gemm};
use rayon::prelude::*;

const TILE: usize = 256;

fn main() {
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<usize>().ok());
    let mut next = |default: usize| numbers.next().unwrap_or(default);
    let (rows, dimensions, columns, runs) = (next(20_000), next(512), next(100), next(5));
    let value = |index: usize| ((index * 7919 + index / 64) % 1009) as f32 / 1009.0 - 0.5;
    let left: Vec<f32> = (0..rows * dimensions).map(value).collect();
    let right: Vec<f32> = (0..columns * dimensions).map(value).collect();
    let threads = rayon::current_num_threads();
    let single = rayon::ThreadPoolBuilder::new().num_threads(1).build().expect("one thread");
    let all = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("all threads");
    let pairs = columns == 0;
    let work = || if pairs { all_pairs(&left, dimensions) } else { product(&left, &right, dimensions) };
    let mut seconds = [Vec::new(), Vec::new()];
    for _ in 0..runs {
        for (pool, seconds) in [&single, &all].into_iter().zip(&mut seconds) {
            let start = Instant::now();
            std::hint::black_box(pool.install(work));
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    let median = |values: &mut Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let [one, many] = seconds.each_mut().map(median);
    let operations = if pairs { rows * rows * dimensions } else { 2 * rows * columns * dimensions } as f64;
    println!(
        "{{\"rows\": {rows}, \"dimensions\": {dimensions}, \"columns\": {columns}, \"threads\": {threads}, \"one_thread_seconds\": \
         {one:.6}, \"seconds\": {many:.6}, \"gflops\": {:.1}}}",
        operations / many / 1e9
    );
}

/// Blocks of rows times all columns; returns a number that depends on all products.
fn product(left: &[f32], right: &[f32], dimensions: usize) -> f32 {
    let tile = |out: &mut Vec<f32>, block: &[f32]| tile_sum(block, right, dimensions, out);
    left.par_chunks(TILE * dimensions).map_init(Vec::new, tile).sum()
}

/// The tiles on and above the diagonal.
fn all_pairs(rows: &[f32], dimensions: usize) -> f32 {
    let tiles: Vec<&[f32]> = rows.chunks(TILE * dimensions).collect();
    (0..tiles.len())
        .into_par_iter()
        .map_init(Vec::new, |out, column| {
            tiles[..=column].iter().map(|row| tile_sum(row, tiles[column], dimensions, out)).sum::<f32>()
        })
        .sum()
}

fn tile_sum(left: &[f32], right: &[f32], k: usize, out: &mut Vec<f32>) -> f32 {
    let (m, n) = (left.len() / k, right.len() / k);
    out.resize(m * n, 0.0);
    // SAFETY: the lengths are m x k, n x k and m x n, and `out` is written before it is read.
    unsafe {
        let (right_columns, right_rows) = (k as isize, 1);
        gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            false,
            left.as_ptr(),
            1,
            k as isize,
            right.as_ptr(),
            right_columns,
            right_rows,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
    out[0] + out[m * n - 1]
}
