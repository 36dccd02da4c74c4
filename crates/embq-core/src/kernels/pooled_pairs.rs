//! Sums of kernels over all pairs of the rows of two sets taken together: within each set and between them, and the same
//! for random divisions of the rows into sets of these sizes. One pass over tiles of pairs, each pair once, and no N x N
//! matrix.
//!
//! For a division with the indicator s of its first set, the sum within it is s^T K s / 2. So a tile of kernel values is
//! multiplied once by the indicators of all divisions side by side, which takes N^2 / 2 multiplications for each division
//! and holds N bits for it.

use std::ops::Range;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use crate::data::{Dataset, below};
use crate::distance::Distance;
use crate::error::Result;
use crate::kernels::Real;
use crate::kernels::centre::Centre;
use crate::kernels::dense::{RowScale, lane_sum, lane_sum_2, squared_distance, squared_norm};
use crate::kernels::exponential::exp_and_exp_m1;
use crate::kernels::gemm::{multiply, multiply_transposed};
use crate::kernels::parallel;
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::progress::Progress;

/// Rows of a side of a tile.
const TILE: usize = 256;

/// Divisions whose indicators are multiplied at once.
const PANEL: usize = 512;

/// A symmetric function of two rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum PairKernel {
    /// (x.y / d + 1)^3.
    Cubic,
    /// exp(-|x - y|^2 / (2 bandwidth^2)).
    Gaussian { bandwidth: f64 },
    /// |x - y|.
    Distance,
}

/// The rows of two sets, the first before the second, in the form in which they are multiplied.
pub(crate) struct PooledPairs<'a, T> {
    progress: &'a dyn Progress,
    dimensions: usize,
    /// How many rows the first set has.
    first: usize,
    /// What centred rows are multiplied by.
    scale: f64,
    /// Centred and scaled.
    rows: Vec<T>,
    /// The squares of their lengths.
    squares: Vec<f64>,
    /// c.x - c.c / 2 for the centre c: what makes x.y of the product of two centred rows.
    offsets: Vec<f64>,
}

/// Sums of a kernel over unordered pairs of different rows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Split {
    /// Within the first set.
    pub(crate) first: f64,
    /// Within the second set.
    pub(crate) second: f64,
    /// One row of each.
    pub(crate) between: f64,
}

/// The sums of one kernel.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct KernelSums {
    /// For the rows as they are divided.
    pub(crate) actual: Split,
    /// For each of the [`Divisions`], in the arithmetic of the tiles. They compare with each other.
    pub(crate) divided: Vec<Split>,
}

impl<'a, T: Real> PooledPairs<'a, T> {
    /// Takes the rows of two sets of the same number of dimensions, which can be read in any order.
    ///
    /// # Errors
    /// Values that have no Euclidean distance, and what reading rows reports.
    pub(crate) fn new(first: &Dataset, second: &Dataset, progress: &'a dyn Progress) -> Result<Self> {
        for dataset in [first, second] {
            dataset.check_values_for::<T>(Distance::Euclidean)?;
        }
        let centre = Centre::of_sets::<T>(&[first, second])?;
        let dimensions = first.dimensions();
        let half_square = 0.5 * squared_norm(&centre.vector);
        let mut pooled = PooledPairs {
            progress,
            dimensions,
            first: first.len(),
            scale: centre.scale,
            rows: vec![T::default(); (first.len() + second.len()) * dimensions],
            squares: Vec::new(),
            offsets: Vec::new(),
        };
        let (head, tail) = pooled.rows.split_at_mut(first.len() * dimensions);
        for (dataset, centred) in [(first, head), (second, tail)] {
            let pieces = centred.chunks_mut(TILE * dimensions).enumerate();
            let blocks: Vec<Vec<(f64, f64)>> = parallel::try_map_with(pieces, |buffer, (index, centred)| {
                let start = index * TILE;
                let block = dataset.rows::<T>(start..start + centred.len() / dimensions, buffer)?;
                let rows = block.chunks_exact(dimensions).zip(centred.chunks_exact_mut(dimensions));
                let taken = rows.map(|(row, centred)| {
                    centre.apply_to(row, RowScale::ONE, centred);
                    let along = lane_sum_2(row, &centre.vector, |value, centre| value.to_f64() * centre);
                    (squared_norm(centred), along - half_square)
                });
                Ok(taken.collect())
            })?;
            let (squares, offsets): (Vec<f64>, Vec<f64>) = blocks.into_iter().flatten().unzip();
            pooled.squares.extend(squares);
            pooled.offsets.extend(offsets);
        }
        Ok(pooled)
    }

    /// The number of rows of both sets.
    pub(crate) fn len(&self) -> usize {
        self.squares.len()
    }

    fn row(&self, row: usize) -> &[T] {
        &self.rows[row * self.dimensions..(row + 1) * self.dimensions]
    }

    /// The Euclidean distances of all pairs of some rows.
    pub(crate) fn distances_among(&self, rows: &[usize]) -> Vec<f64> {
        let lists = rows.par_iter().enumerate().map(|(place, &row)| {
            let others = &rows[place + 1..];
            let distance = |&other: &usize| squared_distance(self.row(row), self.row(other)).sqrt() / self.scale;
            others.iter().map(distance).collect()
        });
        let lists: Vec<Vec<f64>> = lists.collect();
        lists.into_iter().flatten().collect()
    }

    /// The sums of kernels over all pairs, for the sets as they are and, where that is said beside the kernel, for
    /// divisions.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled).
    pub(crate) fn sums(&self, kernels: &[(PairKernel, bool)], divisions: &Divisions) -> Result<Vec<KernelSums>> {
        let rows = self.len();
        self.progress.begin("pairs of rows", rows as u64);
        let starts: Vec<usize> = (0..rows).step_by(TILE).collect();
        let empty = || -> Vec<BlockSums> {
            let count = |divided: bool| if divided { divisions.count } else { 0 };
            kernels.iter().map(|(_, divided)| BlockSums::new(count(*divided))).collect()
        };
        let blocks: Vec<Vec<BlockSums>> = parallel::try_map_with(starts, |workspace: &mut Workspace<T>, start| {
            let block = start..(start + TILE).min(rows);
            let mut sums = empty();
            for first in (start..rows).step_by(TILE) {
                let columns = first..(first + TILE).min(rows);
                workspace.products.resize(block.len() * columns.len(), T::default());
                let values = |rows: &Range<usize>| &self.rows[rows.start * self.dimensions..rows.end * self.dimensions];
                multiply_transposed(values(&block), values(&columns), self.dimensions, &mut workspace.products);
                for ((kernel, divided), sums) in kernels.iter().zip(&mut sums) {
                    let tile = Tile { pairs: self, kernel: *kernel, rows: &block, columns: &columns, sums, workspace };
                    vectorized(tile);
                    if *divided {
                        sums.divide(divisions, &block, &columns, workspace);
                    }
                }
                self.progress.check()?;
            }
            self.progress.step(block.len() as u64)?;
            Ok(sums)
        })?;
        self.progress.end();
        let mut all = empty();
        for block in &blocks {
            all.iter_mut().zip(block).for_each(|(all, sums)| all.add(sums));
        }
        Ok(all.into_iter().map(BlockSums::finish).collect())
    }
}

#[derive(Default)]
struct Workspace<T> {
    products: Vec<T>,
    /// Kernel values of the pairs of a tile in which the row comes first; 0 for the others.
    values: Vec<T>,
    /// Their sums over each row.
    row_sums: Vec<f64>,
    row_indicators: Vec<T>,
    column_indicators: Vec<T>,
    /// Sums over the columns that are in the first set of each division.
    inside: Vec<T>,
}

/// The sums of a block of rows.
#[derive(Clone, Default)]
struct BlockSums {
    actual: Split,
    total: f64,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl BlockSums {
    fn new(divisions: usize) -> Self {
        BlockSums { first: vec![0.0; divisions], second: vec![0.0; divisions], ..Default::default() }
    }

    fn add(&mut self, other: &Self) {
        self.actual.first += other.actual.first;
        self.actual.second += other.actual.second;
        self.actual.between += other.actual.between;
        self.total += other.total;
        for (sums, others) in [(&mut self.first, &other.first), (&mut self.second, &other.second)] {
            sums.iter_mut().zip(others).for_each(|(sum, other)| *sum += other);
        }
    }

    fn finish(self) -> KernelSums {
        let parts = self.first.iter().zip(&self.second);
        let split = |(&first, &second): (&f64, &f64)| Split { first, second, between: self.total - first - second };
        KernelSums { actual: self.actual, divided: parts.map(split).collect() }
    }

    /// Adds the values of a tile to the sums of every division.
    fn divide<T: Real>(
        &mut self,
        divisions: &Divisions,
        rows: &Range<usize>,
        columns: &Range<usize>,
        workspace: &mut Workspace<T>,
    ) {
        let Workspace { values, row_sums, row_indicators, column_indicators, inside, .. } = workspace;
        self.total += row_sums.iter().sum::<f64>();
        for start in (0..divisions.count).step_by(PANEL) {
            let panel = start..(start + PANEL).min(divisions.count);
            divisions.indicators(rows, &panel, row_indicators);
            divisions.indicators(columns, &panel, column_indicators);
            inside.resize(rows.len() * panel.len(), T::default());
            multiply(values, column_indicators, columns.len(), inside);
            let sums = (&mut self.first[panel.clone()], &mut self.second[panel]);
            vectorized(Divide { inside, row_indicators, row_sums, sums });
        }
    }
}

/// Adds up what the rows of a tile have in each division.
struct Divide<'t, T> {
    inside: &'t [T],
    row_indicators: &'t [T],
    row_sums: &'t [f64],
    sums: (&'t mut [f64], &'t mut [f64]),
}

impl<T: Real> Vectorized for Divide<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Divide { inside, row_indicators, row_sums, sums: (first, second) } = self;
        let width = first.len();
        let rows = inside.chunks_exact(width).zip(row_indicators.chunks_exact(width)).zip(row_sums);
        for ((inside, indicators), &row_sum) in rows {
            let lists = inside.iter().zip(indicators).zip(&mut *first).zip(&mut *second);
            for (((inside, indicator), first), second) in lists {
                let (inside, indicator) = (inside.to_f64(), indicator.to_f64());
                *first += indicator * inside;
                *second += (1.0 - indicator) * (row_sum - inside);
            }
        }
    }
}

/// Kernel values of a tile, from its products.
struct Tile<'t, 'a, T> {
    pairs: &'t PooledPairs<'a, T>,
    kernel: PairKernel,
    rows: &'t Range<usize>,
    columns: &'t Range<usize>,
    sums: &'t mut BlockSums,
    workspace: &'t mut Workspace<T>,
}

impl<T: Real> Vectorized for Tile<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Tile { pairs, kernel, rows, columns, sums, workspace } = self;
        let Workspace { products, values, row_sums, .. } = workspace;
        let width = columns.len();
        values.resize(products.len(), T::default());
        row_sums.clear();
        let unscale = 1.0 / (pairs.scale * pairs.scale);
        let share = 1.0 / pairs.dimensions as f64;
        let (squares, offsets) = (&pairs.squares[columns.clone()], &pairs.offsets[columns.clone()]);
        let mut exact = [0.0; TILE];
        let exact = &mut exact[..width];
        // Columns up to here are rows of the first set.
        let border = pairs.first.clamp(columns.start, columns.end) - columns.start;
        for ((row, products), values) in
            rows.clone().zip(products.chunks_exact(width)).zip(values.chunks_exact_mut(width))
        {
            let after = (row + 1).clamp(columns.start, columns.end) - columns.start;
            if kernel == PairKernel::Cubic {
                let offset = pairs.offsets[row];
                for ((value, product), other) in exact.iter_mut().zip(products).zip(offsets) {
                    let base = (product.to_f64() * unscale + offset + other) * share + 1.0;
                    *value = base * base * base;
                }
            } else {
                pairs.squared_distances(row, columns, products, squares, exact);
                match kernel {
                    PairKernel::Gaussian { bandwidth } => {
                        let rate = -0.5 * unscale / (bandwidth * bandwidth);
                        exact.iter_mut().for_each(|value| *value = exp_and_exp_m1(rate * *value).0);
                    }
                    PairKernel::Distance => {
                        let unscale = 1.0 / pairs.scale;
                        exact.iter_mut().for_each(|value| *value = value.sqrt() * unscale);
                    }
                    PairKernel::Cubic => {}
                }
            }
            exact[..after].fill(0.0);
            let (first, second) = exact.split_at(border);
            let (first, second) = (lane_sum(first, |value| value), lane_sum(second, |value| value));
            if row < pairs.first {
                sums.actual.first += first;
                sums.actual.between += second;
            } else {
                sums.actual.second += second;
            }
            row_sums.push(first + second);
            for (target, value) in values.iter_mut().zip(&*exact) {
                *target = T::from_f64(*value);
            }
        }
    }
}

impl<T: Real> PooledPairs<'_, T> {
    /// Squared distances of a scaled row to some others from their products; by differences where the product has lost
    /// the digits.
    #[inline(always)]
    fn squared_distances(
        &self,
        row: usize,
        columns: &Range<usize>,
        products: &[T],
        squares: &[f64],
        squared: &mut [f64],
    ) {
        let own = self.squares[row];
        let mut lost = 0u32;
        for ((target, product), square) in squared.iter_mut().zip(products).zip(squares) {
            *target = own + square - 2.0 * product.to_f64();
            lost += u32::from(*target < T::PAIR_CANCELLATION * (own + square));
        }
        if lost == 0 {
            return;
        }
        for ((target, square), other) in squared.iter_mut().zip(squares).zip(columns.clone()) {
            if *target < T::PAIR_CANCELLATION * (own + square) {
                *target = if other > row { squared_distance(self.row(row), self.row(other)) } else { 0.0 };
            }
        }
    }
}

/// Divisions of rows into a first and a second set; the first of them is the actual one.
pub(crate) struct Divisions {
    count: usize,
    /// 64-bit words for each row.
    words: usize,
    /// For each row a bit for each division: whether the row is in the first set.
    bits: Vec<u64>,
}

impl Divisions {
    /// The actual division of `rows`, of which the first `first` are in the first set, and `random` others with as many
    /// rows in it, each division of these sizes as likely as any other.
    pub(crate) fn new(rows: usize, first: usize, random: usize, seed: u64) -> Self {
        let count = random + 1;
        let words = count.div_ceil(64);
        let mut divisions = Divisions { count, words, bits: vec![0; rows * words] };
        (0..first).for_each(|row| divisions.set(row, 0));
        let mut generator = ChaCha8Rng::seed_from_u64(seed);
        // The start of a shuffle is a draw from any order, so that the order goes on from one division to the next.
        let mut order: Vec<usize> = (0..rows).collect();
        let (drawn, is_first) = if first <= rows - first { (first, true) } else { (rows - first, false) };
        for division in 1..count {
            for place in 0..drawn {
                order.swap(place, place + below(rows - place, &mut generator));
            }
            let members = if is_first { &order[..drawn] } else { &order[drawn..] };
            members.iter().for_each(|&row| divisions.set(row, division));
        }
        divisions
    }

    fn set(&mut self, row: usize, division: usize) {
        self.bits[row * self.words + division / 64] |= 1 << (division % 64);
    }

    /// For each of some rows 1 for the divisions in whose first set it is, and 0 for the others.
    fn indicators<T: Real>(&self, rows: &Range<usize>, divisions: &Range<usize>, out: &mut Vec<T>) {
        let (zero, one) = (T::default(), T::from_f64(1.0));
        out.clear();
        for row in rows.clone() {
            let bits = &self.bits[row * self.words..(row + 1) * self.words];
            let indicator = |division: usize| if bits[division / 64] >> (division % 64) & 1 == 1 { one } else { zero };
            out.extend(divisions.clone().map(indicator));
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::progress::NoProgress;

    fn values(rows: usize, offset: f64) -> Array2<f64> {
        Array2::from_shape_fn((rows, 6), |(i, j)| offset + ((i * 37 + j * 101 + i * j * 13) % 97) as f64 / 97.0 - 0.4)
    }

    fn dataset(values: Array2<f64>, single: bool) -> Dataset<'static> {
        let labels = vec![0; values.nrows()];
        if single {
            Dataset::new(values.mapv(|value| value as f32), labels).unwrap()
        } else {
            Dataset::new(values, labels).unwrap()
        }
    }

    fn kernel_of(kernel: PairKernel, x: &[f64], y: &[f64]) -> f64 {
        let squared: f64 = x.iter().zip(y).map(|(x, y)| (x - y).powi(2)).sum();
        match kernel {
            PairKernel::Cubic => (x.iter().zip(y).map(|(x, y)| x * y).sum::<f64>() / x.len() as f64 + 1.0).powi(3),
            PairKernel::Gaussian { bandwidth } => (-squared / (2.0 * bandwidth * bandwidth)).exp(),
            PairKernel::Distance => squared.sqrt(),
        }
    }

    const KERNELS: [(PairKernel, bool); 3] =
        [(PairKernel::Cubic, true), (PairKernel::Gaussian { bandwidth: 0.8 }, true), (PairKernel::Distance, true)];

    #[test]
    fn sums_are_those_of_a_plain_loop() {
        for (first, second, offset) in [(5, 3, 0.0), (TILE + 30, 90, 0.0), (40, TILE, 50.0)] {
            let rows = values(first + second, offset);
            let part = |range: std::ops::Range<usize>| rows.slice(ndarray::s![range, ..]).to_owned();
            for single in [false, true] {
                let sets = [0..first, first..first + second].map(|range| dataset(part(range), single));
                let divisions = Divisions::new(first + second, first, 70, 3);
                let found = if single {
                    PooledPairs::<f32>::new(&sets[0], &sets[1], &NoProgress).unwrap().sums(&KERNELS, &divisions)
                } else {
                    PooledPairs::<f64>::new(&sets[0], &sets[1], &NoProgress).unwrap().sums(&KERNELS, &divisions)
                };
                for ((kernel, _), found) in KERNELS.into_iter().zip(found.unwrap()) {
                    let bound = if single { 2e-6 } else { 1e-12 };
                    let mut indicators: Vec<f64> = Vec::new();
                    divisions.indicators(&(0..first + second), &(0..71), &mut indicators);
                    let mut expected = vec![Split::default(); 71];
                    let mut size = 0.0;
                    for i in 0..first + second {
                        for j in i + 1..first + second {
                            let (x, y) = (rows.row(i).to_vec(), rows.row(j).to_vec());
                            let value = kernel_of(kernel, &x, &y);
                            size += value.abs();
                            for (division, split) in expected.iter_mut().enumerate() {
                                match (indicators[i * 71 + division], indicators[j * 71 + division]) {
                                    (1.0, 1.0) => split.first += value,
                                    (0.0, 0.0) => split.second += value,
                                    _ => split.between += value,
                                }
                            }
                        }
                    }
                    let close = |found: Split, expected: Split| {
                        for (found, expected) in [
                            (found.first, expected.first),
                            (found.second, expected.second),
                            (found.between, expected.between),
                        ] {
                            assert!((found - expected).abs() <= bound * size, "{kernel:?} {found} {expected}");
                        }
                    };
                    close(found.actual, expected[0]);
                    for (found, expected) in found.divided.into_iter().zip(expected) {
                        close(found, expected);
                    }
                }
            }
        }
    }

    #[test]
    fn divisions_have_the_sizes_of_the_sets_and_are_all_as_likely() {
        for (rows, first) in [(5, 2), (5, 3)] {
            let divisions = Divisions::new(rows, first, 20_000, 1);
            let mut counts = std::collections::BTreeMap::new();
            for division in 1..divisions.count {
                let member = |row: usize| divisions.bits[row * divisions.words + division / 64] >> (division % 64) & 1;
                let members: Vec<u64> = (0..rows).map(member).collect();
                assert_eq!(members.iter().sum::<u64>(), first as u64);
                *counts.entry(members).or_insert(0) += 1;
            }
            // Each of 10 divisions 2,000 times, give or take 42.
            assert_eq!(counts.len(), 10);
            assert!(counts.values().all(|&count: &i32| (1_800..2_200).contains(&count)), "{counts:?}");
        }
    }

    #[test]
    fn equal_rows_have_distance_zero_in_either_precision() {
        let rows = values(30, 1e3);
        let [first, second] = [0, 1].map(|_| dataset(rows.clone(), true));
        let pairs = PooledPairs::<f32>::new(&first, &second, &NoProgress).unwrap();
        let sums = pairs.sums(&[(PairKernel::Distance, false)], &Divisions::new(60, 30, 0, 0)).unwrap();
        assert!(sums[0].divided.is_empty());
        let Split { first, second, between } = sums[0].actual;
        assert!((first - second).abs() <= 1e-7 * first && (between - 2.0 * first).abs() <= 1e-7 * first);
        assert_eq!(pairs.distances_among(&[3, 33, 4])[0], 0.0);
    }

    #[test]
    fn threads_change_no_bit() {
        let [first, second] = [values(TILE + 20, 0.0), values(2 * TILE + 9, 0.1)].map(|rows| dataset(rows, true));
        let compute = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let pairs = PooledPairs::<f32>::new(&first, &second, &NoProgress).unwrap();
                pairs.sums(&KERNELS, &Divisions::new(pairs.len(), first.len(), 30, 5)).unwrap()
            })
        };
        assert_eq!(compute(1), compute(3));
    }
}
