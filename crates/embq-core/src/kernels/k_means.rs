//! k-means by Euclidean distance: k-means++ and Lloyd's iterations, from several starts at once.
//!
//! All starts go over the rows together, a block after the other, so that each block is read, centred and brought into the
//! cache once for all of them. Distances come from products of rows and centres. What decides is computed again by
//! differences in float64 where products leave it open.
//!
//! A row is compared with all centres only if it may have changed its own: each keeps a bound above its distance to its own
//! centre and one below that to any other, which give way by what the centres move (Hamerly 2010). The result is that of
//! comparing all rows with all centres, and the same bits for any number of threads: rows are assigned one by one, and
//! centres add up theirs in order.

use std::ops::Range;

use ndarray::Array2;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;

use crate::data::{Dataset, Precision, uniform};
use crate::error::Result;
use crate::kernels::Real;
use crate::kernels::centre::Centre;
use crate::kernels::dense::{RowScale, lane_sum_2, squared_distance, squared_norm};
use crate::kernels::gemm::{Packed, multiply_packed};
use crate::kernels::in_order::{blocks_at_once, for_each_block};
use crate::kernels::parallel;
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::kernels::workspaces::Workspaces;
use crate::progress::Progress;

/// Rows of a block, and centres of one product.
const BLOCK_ROWS: usize = 256;
const PANEL_CENTRES: usize = 1024;

/// Distances to candidates that are held at once, in all starts that are seeded together.
const HELD_DISTANCES: usize = 1 << 26;

/// Bytes of rows that are kept as they are multiplied; of more rows, each block is centred anew whenever it is looked at.
const HELD_BYTES: usize = 1 << 28;

/// A product of vectors u and v errs by fewer than this many units of rounding of |u|^2 + |v|^2.
const PRODUCT_ERROR: f64 = 16.0;

/// Values that are compared side by side.
const LANES: usize = 16;

/// How rows are clustered.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KMeansOptions {
    /// The number of clusters: from 1 to the number of rows.
    pub clusters: usize,
    /// Starts, of which the one with the least inertia counts.
    pub starts: usize,
    /// Iterations of a start, at most.
    pub iterations: usize,
    /// A start ends once the squares of what its centres move by add up to this share of the mean variance of a dimension.
    pub tolerance: f64,
    pub seed: u64,
}

impl KMeansOptions {
    /// Ten starts of up to 300 iterations, with a tolerance of 1e-4.
    pub fn new(clusters: usize, seed: u64) -> Self {
        KMeansOptions { clusters, starts: 10, iterations: 300, tolerance: 1e-4, seed }
    }
}

/// Rows in clusters.
#[derive(Clone, Debug, PartialEq)]
pub struct KMeans {
    /// For each row that takes part the number of its cluster, from 0 on; none is skipped.
    pub codes: Vec<u32>,
    /// The mean of each cluster, a row for each.
    pub centres: Array2<f64>,
    /// The sum over rows of the squared distance to the centre of their cluster.
    pub inertia: f64,
    /// Iterations of the start that counts.
    pub iterations: usize,
}

/// Clusters the rows that take part, as they are given, whatever the distance of the data set: k-means++ with several
/// candidates for each centre (Arthur and Vassilvitskii 2007), then Lloyd's iterations. There are fewer clusters than
/// `options` say where rows at fewer places take part.
///
/// # Errors
/// Errors from reading rows, which have to be readable in any order.
pub fn k_means(
    dataset: &Dataset,
    options: &KMeansOptions,
    precision: Precision,
    progress: &dyn Progress,
) -> Result<KMeans> {
    match precision {
        Precision::F32 => Clusterer::<f32>::new(dataset, *options, HELD_BYTES, progress)?.run(),
        Precision::F64 => Clusterer::<f64>::new(dataset, *options, HELD_BYTES, progress)?.run(),
    }
}

/// The rows, ready for products.
struct Clusterer<'a, T> {
    dataset: &'a Dataset<'a>,
    options: KMeansOptions,
    progress: &'a dyn Progress,
    centre: Centre,
    /// All rows as they are multiplied, or none.
    held: Vec<T>,
    /// |x|^2 of each row as it is multiplied.
    squares: Vec<f64>,
    /// The mean over dimensions of the variance of the rows.
    variance: f64,
    blocks: Workspaces<Block<T>>,
}

/// Rows of a block, centred and scaled.
struct Block<T> {
    source: Vec<T>,
    rows: Vec<T>,
    /// Some of them.
    gathered: Vec<T>,
    products: Vec<T>,
}

impl<T> Default for Block<T> {
    fn default() -> Self {
        Block { source: Vec::new(), rows: Vec::new(), gathered: Vec::new(), products: Vec::new() }
    }
}

impl<'a, T: Real> Clusterer<'a, T> {
    fn new(
        dataset: &'a Dataset<'a>,
        options: KMeansOptions,
        held_bytes: usize,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let centre = Centre::of_rows::<T>(dataset, false)?;
        let mut clusterer = Clusterer {
            dataset,
            options,
            progress,
            centre,
            held: Vec::new(),
            squares: Vec::with_capacity(dataset.len()),
            variance: 0.0,
            blocks: Workspaces::default(),
        };
        let (n, d) = (dataset.len(), dataset.dimensions());
        if n * d * size_of::<T>() <= held_bytes {
            let mut held = vec![T::default(); n * d];
            parallel::try_map(held.chunks_mut(BLOCK_ROWS * d).enumerate(), |(block, held)| {
                let first = block * BLOCK_ROWS;
                clusterer.blocks.with(|block| {
                    held.copy_from_slice(clusterer.fill(
                        first..first + held.len() / d,
                        &mut block.source,
                        &mut block.rows,
                    )?);
                    Ok(())
                })
            })?;
            clusterer.held = held;
        }
        let (mut squares, mut sum) = (Vec::with_capacity(n), vec![0.0; d]);
        for_each_block(
            0..n,
            BLOCK_ROWS,
            blocks_at_once(d),
            |(): &mut (), rows| {
                clusterer.blocks.with(|block| {
                    let rows = clusterer.fill(rows, &mut block.source, &mut block.rows)?;
                    Ok(vectorized(Moments { rows, dimensions: d }))
                })
            },
            |_, (of_block, sums): (Vec<f64>, Vec<f64>)| {
                squares.extend(of_block);
                sum.iter_mut().zip(sums).for_each(|(sum, part)| *sum += part);
            },
        )?;
        let mean_square = squares.iter().sum::<f64>() / n as f64;
        let square_of_mean: f64 = sum.iter().map(|sum| (sum / n as f64).powi(2)).sum();
        let variance = (mean_square - square_of_mean).max(0.0) / d as f64;
        Ok(Clusterer { squares, variance, ..clusterer })
    }

    fn dimensions(&self) -> usize {
        self.dataset.dimensions()
    }

    /// Consecutive rows as they are multiplied.
    fn fill<'b>(&'b self, rows: Range<usize>, source: &'b mut Vec<T>, out: &'b mut Vec<T>) -> Result<&'b [T]> {
        let d = self.dimensions();
        if let Some(held) = self.held.get(rows.start * d..rows.end * d) {
            return Ok(held);
        }
        let source = self.dataset.rows::<T>(rows, source)?;
        out.resize(source.len(), T::default());
        vectorized(CentreRows { centre: &self.centre, source, out });
        Ok(out)
    }

    fn run(&self) -> Result<KMeans> {
        let mut starts = self.seed()?;
        self.iterate(&mut starts)?;
        let inertias = self.inertias(&starts)?;
        let mut best = 0;
        for (start, inertia) in inertias.iter().enumerate() {
            if *inertia < inertias[best] {
                best = start;
            }
        }
        Ok(self.finish(&starts[best], inertias[best]))
    }

    /// The clusters that have rows, with their centres as the rows are given.
    fn finish(&self, start: &Start<T>, inertia: f64) -> KMeans {
        let d = self.dimensions();
        let kept: Vec<usize> = (0..start.counts.len()).filter(|&cluster| start.counts[cluster] > 0).collect();
        let mut codes = vec![0; start.counts.len()];
        for (code, &cluster) in kept.iter().enumerate() {
            codes[cluster] = code as u32;
        }
        let Centre { vector, scale } = &self.centre;
        KMeans {
            codes: start.rows.own.iter().map(|&cluster| codes[cluster as usize]).collect(),
            centres: Array2::from_shape_fn((kept.len(), d), |(code, k)| {
                start.centres.exact[kept[code] * d + k] / scale + vector[k]
            }),
            inertia: inertia / (scale * scale),
            iterations: start.iterations,
        }
    }
}

/// Centres rows.
struct CentreRows<'t, T> {
    centre: &'t Centre,
    source: &'t [T],
    out: &'t mut [T],
}

impl<T: Real> Vectorized for CentreRows<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let d = self.centre.vector.len();
        for (row, out) in self.source.chunks_exact(d).zip(self.out.chunks_exact_mut(d)) {
            self.centre.apply_to(row, RowScale::ONE, out);
        }
    }
}

/// Squares of rows, and their sum.
struct Moments<'t, T> {
    rows: &'t [T],
    dimensions: usize,
}

impl<T: Real> Vectorized for Moments<'_, T> {
    type Output = (Vec<f64>, Vec<f64>);

    #[inline(always)]
    fn run(self) -> Self::Output {
        let mut sum = vec![0.0; self.dimensions];
        let rows = self.rows.chunks_exact(self.dimensions).map(|row| {
            sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value.to_f64());
            squared_norm(row)
        });
        (rows.collect(), sum)
    }
}

// Seeding.

/// One start while its centres are chosen.
struct Seeding<T> {
    random: ChaCha8Rng,
    /// The centres so far, and their squares.
    centres: Vec<T>,
    /// The squared distance of each row to the nearest of them.
    nearest: Vec<f32>,
    /// Their sums over blocks of rows.
    sums: Vec<f64>,
    candidates: Vec<usize>,
}

impl<T> Seeding<T> {
    /// A row drawn with a chance in proportion to its squared distance to the nearest centre.
    fn draw(&mut self) -> usize {
        let rows = self.nearest.len();
        let mut left = uniform(&mut self.random) * self.sums.iter().sum::<f64>();
        let mut block = 0;
        while block + 1 < self.sums.len() && left >= self.sums[block] {
            left -= self.sums[block];
            block += 1;
        }
        let range = block * BLOCK_ROWS..((block + 1) * BLOCK_ROWS).min(rows);
        for row in range.clone() {
            left -= f64::from(self.nearest[row]);
            if left < 0.0 {
                return row;
            }
        }
        // Rounding, or rows that all lie on centres.
        range.end - 1
    }
}

impl<T: Real> Clusterer<'_, T> {
    /// Chooses the first centres of every start, of as many at once as memory allows.
    fn seed(&self) -> Result<Vec<Start<T>>> {
        let KMeansOptions { clusters, starts, .. } = self.options;
        let tries = 2 + (clusters as f64).ln() as usize;
        let at_once = (HELD_DISTANCES / (self.dataset.len() * tries)).clamp(1, starts);
        let mut found = Vec::with_capacity(starts);
        self.progress.begin("k-means++", (clusters * starts.div_ceil(at_once)) as u64);
        for first in (0..starts).step_by(at_once) {
            found.extend(self.seed_some(first..(first + at_once).min(starts), tries)?);
        }
        self.progress.end();
        Ok(found)
    }

    fn seed_some(&self, starts: Range<usize>, tries: usize) -> Result<Vec<Start<T>>> {
        let (n, d) = (self.dataset.len(), self.dimensions());
        let blocks = n.div_ceil(BLOCK_ROWS);
        let mut seedings: Vec<Seeding<T>> = starts
            .map(|start| {
                let mut random = ChaCha8Rng::seed_from_u64(self.options.seed);
                random.set_stream(start as u64);
                Seeding {
                    random,
                    centres: Vec::with_capacity(self.options.clusters * d),
                    nearest: vec![f32::INFINITY; n],
                    sums: vec![0.0; blocks],
                    candidates: Vec::new(),
                }
            })
            .collect();
        let mut distances: Vec<f32> = Vec::new();
        let (mut source, mut row) = (Vec::new(), Vec::new());
        for chosen in 0..self.options.clusters {
            for seeding in &mut seedings {
                seeding.candidates = if chosen == 0 {
                    vec![(uniform(&mut seeding.random) * n as f64) as usize]
                } else {
                    (0..tries).map(|_| seeding.draw()).collect()
                };
            }
            let mut candidates = Vec::new();
            for &candidate in seedings.iter().flat_map(|seeding| &seeding.candidates) {
                candidates.extend_from_slice(self.fill(candidate..candidate + 1, &mut source, &mut row)?);
            }
            let sums = self.distances_to(&candidates, &seedings, &mut distances)?;
            // The candidate that leaves the least, and of those the first.
            let count = candidates.len() / d;
            let mut place = 0;
            let best: Vec<usize> = seedings
                .iter()
                .map(|seeding| {
                    let own = place..place + seeding.candidates.len();
                    place = own.end;
                    let total = |candidate: usize| sums.iter().skip(candidate).step_by(count).sum::<f64>();
                    let totals: Vec<f64> = own.clone().map(total).collect();
                    own.start
                        + totals
                            .iter()
                            .enumerate()
                            .fold(0, |best, (at, total)| if *total < totals[best] { at } else { best })
                })
                .collect();
            seedings.par_iter_mut().zip(best).for_each(|(seeding, best)| {
                seeding.centres.extend_from_slice(&candidates[best * d..(best + 1) * d]);
                let columns = distances.chunks(BLOCK_ROWS * count);
                for (nearest, distances) in seeding.nearest.chunks_mut(BLOCK_ROWS).zip(columns) {
                    nearest.copy_from_slice(&distances[best * nearest.len()..(best + 1) * nearest.len()]);
                }
                for (sum, of_block) in seeding.sums.iter_mut().zip(sums.chunks_exact(count)) {
                    *sum = of_block[best];
                }
            });
            self.progress.step(1)?;
        }
        Ok(seedings.into_iter().map(|seeding| Start::new(seeding.centres, n, d)).collect())
    }

    /// The squared distances of all rows to the candidates, or to the nearest centre if that is nearer: for each block, a
    /// candidate after the other. Returns their sums, a block after the other.
    fn distances_to(&self, candidates: &[T], seedings: &[Seeding<T>], out: &mut Vec<f32>) -> Result<Vec<f64>> {
        let (n, d) = (self.dataset.len(), self.dimensions());
        let count = candidates.len() / d;
        let packed = Packed::of(candidates, d);
        let squares: Vec<f64> = candidates.chunks_exact(d).map(squared_norm).collect();
        let owners: Vec<usize> =
            seedings.iter().enumerate().flat_map(|(at, seeding)| seeding.candidates.iter().map(move |_| at)).collect();
        out.resize(n * count, 0.0);
        let sums: Vec<Vec<f64>> = parallel::try_map(out.chunks_mut(BLOCK_ROWS * count).enumerate(), |(index, out)| {
            let first = index * BLOCK_ROWS;
            let range = first..first + out.len() / count;
            self.blocks.with(|block| {
                let rows = self.fill(range.clone(), &mut block.source, &mut block.rows)?;
                block.products.resize(out.len(), T::default());
                multiply_packed(rows, &packed, 0..count, &mut block.products);
                Ok(vectorized(Nearer {
                    rows,
                    squares: &self.squares[range.clone()],
                    candidates,
                    candidate_squares: &squares,
                    products: &block.products,
                    nearest: &|candidate| &seedings[owners[candidate]].nearest[range.clone()],
                    out,
                }))
            })
        })?;
        Ok(sums.into_iter().flatten().collect())
    }
}

/// Squared distances of a block of rows to candidates, from their products.
struct Nearer<'t, T> {
    rows: &'t [T],
    squares: &'t [f64],
    candidates: &'t [T],
    candidate_squares: &'t [f64],
    products: &'t [T],
    /// The squared distances to the nearest centre so far of the start that a candidate belongs to.
    nearest: &'t (dyn Fn(usize) -> &'t [f32] + Sync),
    out: &'t mut [f32],
}

impl<T: Real> Vectorized for Nearer<'_, T> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let Nearer { rows, squares, candidates, candidate_squares, products, nearest, out } = self;
        let (count, length) = (candidate_squares.len(), squares.len());
        let d = rows.len() / length;
        let columns = out.chunks_exact_mut(length).zip(candidate_squares).enumerate();
        columns
            .map(|(candidate, (out, candidate_square))| {
                let nearest = nearest(candidate);
                let mut sum = 0.0;
                for (row, (out, square)) in out.iter_mut().zip(squares).enumerate() {
                    let terms = square + candidate_square;
                    let mut squared = terms - 2.0 * products[row * count + candidate].to_f64();
                    // Written so that NaN and infinity do not pass.
                    if !(squared >= T::PAIR_CANCELLATION * terms && squared < f64::INFINITY) {
                        let vector = &candidates[candidate * d..(candidate + 1) * d];
                        squared = squared_distance(&rows[row * d..(row + 1) * d], vector);
                    }
                    *out = (squared as f32).min(nearest[row]);
                    sum += f64::from(*out);
                }
                sum
            })
            .collect()
    }
}

// Iterations.

/// No cluster yet.
const NONE: u32 = u32::MAX;

/// Iterations after which bounds are made tight even where that did not pay before.
const TIGHTEN_EVERY: usize = 4;

/// What bounds are multiplied by so that rounding makes none too strict.
const ABOVE: f32 = 1.0 + 4.0 * f32::EPSILON;
const BELOW: f32 = 1.0 - 4.0 * f32::EPSILON;

/// One start while its centres move.
struct Start<T> {
    centres: Centres<T>,
    /// K x d sums of the rows of each centre, and their numbers.
    sums: Vec<f64>,
    counts: Vec<usize>,
    rows: Assignment,
    /// Rows whose bounds gave way when they were last made tight, and those that held then.
    loose: usize,
    rescued: usize,
    iterations: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Moving,
    /// The centres stay, and rows are assigned once more.
    Settled,
    Done,
}

struct Centres<T> {
    /// K x d.
    exact: Vec<f64>,
    /// The same as they are multiplied, and their squares.
    rounded: Vec<T>,
    packed: Packed<T>,
    squares: Vec<T>,
    /// How far each moved, which one moved most, and how far the others at most.
    moves: Vec<f32>,
    most: usize,
    others: f32,
}

/// For each row its cluster, a bound above its distance to the centre of that, and one below its distance to any other.
struct Assignment {
    own: Vec<u32>,
    above: Vec<f32>,
    below: Vec<f32>,
}

impl<T: Real> Start<T> {
    fn new(centres: Vec<T>, rows: usize, d: usize) -> Self {
        let clusters = centres.len() / d;
        Start {
            centres: Centres {
                exact: centres.iter().map(|value| value.to_f64()).collect(),
                packed: Packed::of(&centres, d),
                squares: squares(&centres, d),
                rounded: centres,
                moves: vec![0.0; clusters],
                most: 0,
                others: 0.0,
            },
            sums: vec![0.0; clusters * d],
            counts: vec![0; clusters],
            rows: Assignment { own: vec![NONE; rows], above: vec![f32::INFINITY; rows], below: vec![0.0; rows] },
            loose: 0,
            rescued: 0,
            iterations: 0,
            state: State::Moving,
        }
    }

    /// Whether the distance of a row to its own centre is worth computing before all others: where clusters overlap, it
    /// rarely keeps the row from being compared with all centres. Whether it does is looked at every few iterations.
    fn tightens(&self) -> bool {
        self.iterations.is_multiple_of(TIGHTEN_EVERY) || self.rescued > self.loose / 4
    }

    /// Moves the centres to the means of their rows; those of none stay. Returns the sum of the squares of the moves.
    fn move_centres(&mut self, d: usize) -> f64 {
        let Centres { exact, rounded, packed, squares: of_centres, moves, most, others } = &mut self.centres;
        let mut total = 0.0;
        let before = rounded.clone();
        let lists = exact.chunks_exact_mut(d).zip(rounded.chunks_exact_mut(d)).zip(before.chunks_exact(d));
        let sums = self.sums.chunks_exact(d).zip(&self.counts).zip(moves.iter_mut());
        for (((exact, rounded), before), ((sums, &count), moved)) in lists.zip(sums) {
            if count > 0 {
                for ((exact, rounded), sum) in exact.iter_mut().zip(&mut *rounded).zip(sums) {
                    *exact = sum / count as f64;
                    *rounded = T::from_f64(*exact);
                }
            }
            let square = squared_distance(rounded, before);
            total += square;
            *moved = square.sqrt() as f32 * ABOVE;
        }
        *packed = Packed::of(rounded, d);
        *of_centres = squares(rounded, d);
        *most = (0..moves.len()).fold(0, |most, at| if moves[at] > moves[most] { at } else { most });
        *others = moves.iter().enumerate().filter(|(at, _)| at != most).fold(0.0, |most, (_, &moved)| moved.max(most));
        total
    }
}

fn squares<T: Real>(rows: &[T], d: usize) -> Vec<T> {
    rows.chunks_exact(d).map(|row| T::from_f64(squared_norm(row))).collect()
}

/// A row that changed its cluster.
struct Change {
    row: usize,
    from: u32,
    to: u32,
}

/// Some rows of a start.
struct Part<'t, T> {
    start: usize,
    centres: &'t Centres<T>,
    own: &'t mut [u32],
    above: &'t mut [f32],
    below: &'t mut [f32],
    tightens: bool,
}

/// What became of the rows of a part.
struct Assigned {
    start: usize,
    changes: Vec<Change>,
    loose: usize,
    rescued: usize,
}

impl<T: Real> Clusterer<'_, T> {
    fn iterate(&self, starts: &mut [Start<T>]) -> Result<()> {
        self.progress.begin("k-means", starts.len() as u64);
        while starts.iter().any(|start| start.state != State::Done) {
            let changes = self.assign(starts)?;
            let finished: Vec<u64> = starts
                .par_iter_mut()
                .zip(changes)
                .filter(|(start, _)| start.state != State::Done)
                .map(|(start, changes)| {
                    self.update(start, &changes)?;
                    Ok(u64::from(start.state == State::Done))
                })
                .collect::<Result<_>>()?;
            self.progress.step(finished.iter().sum())?;
        }
        self.progress.end();
        Ok(())
    }

    /// What follows from rows having changed their clusters.
    fn update(&self, start: &mut Start<T>, changes: &[Change]) -> Result<()> {
        if start.state == State::Settled {
            for change in changes {
                start.counts[change.from as usize] -= 1;
                start.counts[change.to as usize] += 1;
            }
            start.state = State::Done;
            return Ok(());
        }
        start.iterations += 1;
        self.regroup(start, changes)?;
        let filled = self.fill_empty(start)?;
        if changes.is_empty() && !filled {
            start.state = State::Done;
            return Ok(());
        }
        let moved = start.move_centres(self.dimensions());
        if moved <= self.options.tolerance * self.variance || start.iterations >= self.options.iterations {
            start.state = State::Settled;
        }
        Ok(())
    }

    /// Adds rows to the sums of the clusters that they joined, and takes them from those that they left.
    fn regroup(&self, start: &mut Start<T>, changes: &[Change]) -> Result<()> {
        let d = self.dimensions();
        let mut of_cluster: Vec<Vec<(usize, f64)>> = vec![Vec::new(); start.counts.len()];
        for change in changes {
            if change.from != NONE {
                of_cluster[change.from as usize].push((change.row, -1.0));
                start.counts[change.from as usize] -= 1;
            }
            of_cluster[change.to as usize].push((change.row, 1.0));
            start.counts[change.to as usize] += 1;
        }
        start.sums.par_chunks_exact_mut(d).zip(of_cluster).try_for_each(|(sums, rows)| {
            self.progress.check()?;
            self.blocks.with(|block| {
                for (row, sign) in rows {
                    let values = self.fill(row..row + 1, &mut block.source, &mut block.rows)?;
                    sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += sign * value.to_f64());
                }
                Ok(())
            })
        })
    }

    /// Gives each cluster without rows the one that lies farthest from its centre. Whether there was any.
    fn fill_empty(&self, start: &mut Start<T>) -> Result<bool> {
        let mut filled = false;
        for empty in 0..start.counts.len() {
            if start.counts[empty] > 0 {
                continue;
            }
            let Assignment { own, above, below } = &mut start.rows;
            let mut farthest = None;
            for (row, &distance) in above.iter().enumerate() {
                let shares = start.counts[own[row] as usize] > 1;
                if shares && farthest.is_none_or(|(_, most)| distance > most) {
                    farthest = Some((row, distance));
                }
            }
            // All rows lie on centres: there are no more places than clusters with rows.
            let Some((row, _)) = farthest.filter(|&(_, distance)| distance > 0.0) else { break };
            let from = std::mem::replace(&mut own[row], empty as u32);
            (above[row], below[row]) = (0.0, 0.0);
            self.regroup(start, &[Change { row, from, to: empty as u32 }])?;
            filled = true;
        }
        Ok(filled)
    }

    /// Gives every row the nearest centre, in all starts that are not done. Returns what changed in each start, in the order
    /// of rows.
    fn assign(&self, starts: &mut [Start<T>]) -> Result<Vec<Vec<Change>>> {
        let count = starts.len();
        let mut blocks: Vec<Vec<Part<'_, T>>> =
            (0..self.dataset.len().div_ceil(BLOCK_ROWS)).map(|_| Vec::with_capacity(count)).collect();
        let tightens: Vec<bool> = starts.iter().map(Start::tightens).collect();
        let moving = starts.iter_mut().enumerate().filter(|(_, start)| start.state != State::Done);
        for (start, Start { centres, rows: Assignment { own, above, below }, .. }) in moving {
            let bounds = above.chunks_mut(BLOCK_ROWS).zip(below.chunks_mut(BLOCK_ROWS));
            for (block, (own, (above, below))) in blocks.iter_mut().zip(own.chunks_mut(BLOCK_ROWS).zip(bounds)) {
                block.push(Part { start, centres, own, above, below, tightens: tightens[start] });
            }
        }
        let assigned: Vec<Vec<Assigned>> = parallel::try_map(blocks.into_iter().enumerate(), |(index, parts)| {
            self.progress.check()?;
            self.blocks.with(|block| self.assign_block(index * BLOCK_ROWS, parts, block))
        })?;
        let mut of_start: Vec<Vec<Change>> = (0..count).map(|_| Vec::new()).collect();
        for (start, &tightens) in starts.iter_mut().zip(&tightens) {
            if tightens {
                (start.loose, start.rescued) = (0, 0);
            }
        }
        for Assigned { start, changes, loose, rescued } in assigned.into_iter().flatten() {
            of_start[start].extend(changes);
            starts[start].loose += loose;
            starts[start].rescued += rescued;
        }
        Ok(of_start)
    }

    fn assign_block(&self, first: usize, mut parts: Vec<Part<'_, T>>, block: &mut Block<T>) -> Result<Vec<Assigned>> {
        let Some(length) = parts.first().map(|part| part.own.len()) else { return Ok(Vec::new()) };
        let d = self.dimensions();
        let Block { source, rows, gathered, products } = block;
        // Only rows that may have changed are looked at.
        let mut needed = [false; BLOCK_ROWS];
        for part in &mut parts {
            part.loosen(&mut needed);
        }
        if !needed.contains(&true) {
            return Ok(Vec::new());
        }
        let rows = match self.held.get(first * d..(first + length) * d) {
            Some(held) => held,
            None => {
                let source = self.dataset.rows::<T>(first..first + length, source)?;
                rows.resize(length * d, T::default());
                for row in (0..length).filter(|&row| needed[row]) {
                    let place = row * d..(row + 1) * d;
                    let out = &mut rows[place.clone()];
                    vectorized(CentreRows { centre: &self.centre, source: &source[place], out });
                }
                rows
            }
        };
        let squares = &self.squares[first..first + length];
        let assign = |part| vectorized(Assign { part, first, rows, squares, gathered, products });
        Ok(parts.into_iter().map(assign).collect())
    }

    /// The sum over rows of the squared distance to their centre, for each start.
    fn inertias(&self, starts: &[Start<T>]) -> Result<Vec<f64>> {
        let d = self.dimensions();
        let mut totals = vec![0.0; starts.len()];
        for_each_block(
            0..self.dataset.len(),
            BLOCK_ROWS,
            blocks_at_once(starts.len()),
            |(): &mut (), range| {
                self.blocks.with(|block| {
                    let rows = self.fill(range.clone(), &mut block.source, &mut block.rows)?;
                    let of_start = starts.iter().map(|start| {
                        let own = &start.rows.own[range.clone()];
                        vectorized(Inertia { rows, own, centres: &start.centres.exact, dimensions: d })
                    });
                    Ok(of_start.collect::<Vec<f64>>())
                })
            },
            |_, part| totals.iter_mut().zip(part).for_each(|(total, part)| *total += part),
        )?;
        Ok(totals)
    }
}

impl<T: Real> Part<'_, T> {
    /// Lets the bounds give way by what the centres moved, and marks the rows that they no longer hold at their centres.
    fn loosen(&mut self, needed: &mut [bool; BLOCK_ROWS]) {
        let Centres { moves, most, others, .. } = self.centres;
        let bounds = self.above.iter_mut().zip(&mut *self.below);
        for ((&mut own, (above, below)), needed) in self.own.iter_mut().zip(bounds).zip(needed) {
            if own != NONE {
                let own = own as usize;
                *above = (*above + moves[own]) * ABOVE;
                *below = (*below - if own == *most { *others } else { moves[*most] }) * BELOW;
            }
            // NaN holds nothing.
            let holds = *above < *below;
            *needed |= !holds;
        }
    }
}

/// Gives rows of a block the nearest centre of a start.
struct Assign<'t, 'p, T> {
    part: Part<'p, T>,
    /// The first row of the block.
    first: usize,
    rows: &'t [T],
    squares: &'t [f64],
    gathered: &'t mut Vec<T>,
    products: &'t mut Vec<T>,
}

impl<T: Real> Vectorized for Assign<'_, '_, T> {
    type Output = Assigned;

    #[inline(always)]
    fn run(self) -> Self::Output {
        let Assign { part, first, rows, squares, gathered, products } = self;
        let Part { start, centres, own, above, below, tightens } = part;
        let mut assigned = Assigned { start, changes: Vec::new(), loose: 0, rescued: 0 };
        let d = rows.len() / squares.len();
        let clusters = centres.squares.len();
        let row_at = |row: usize| &rows[row * d..(row + 1) * d];
        let centre_at = |cluster: usize| &centres.rounded[cluster * d..(cluster + 1) * d];
        let mut waiting: Vec<usize> = Vec::with_capacity(squares.len());
        gathered.clear();
        for row in 0..squares.len() {
            if above[row] < below[row] {
                continue;
            }
            if tightens && own[row] != NONE {
                above[row] = bound_above(squared_distance(row_at(row), centre_at(own[row] as usize)));
                assigned.loose += 1;
                if above[row] < below[row] {
                    assigned.rescued += 1;
                    continue;
                }
            }
            waiting.push(row);
            gathered.extend_from_slice(row_at(row));
        }
        if waiting.is_empty() {
            return assigned;
        }
        let mut found = vec![Found::<T>::default(); waiting.len()];
        for start in (0..clusters).step_by(PANEL_CENTRES) {
            let panel = start..(start + PANEL_CENTRES).min(clusters);
            products.resize(waiting.len() * panel.len(), T::default());
            multiply_packed(gathered, &centres.packed, panel.clone(), products);
            for (values, found) in products.chunks_exact_mut(panel.len()).zip(&mut found) {
                // |c|^2 - 2 x.c, which is the squared distance but for |x|^2.
                for (value, square) in values.iter_mut().zip(&centres.squares[panel.clone()]) {
                    *value = *square - (*value + *value);
                }
                found.add(start, values);
            }
        }
        for (&row, found) in waiting.iter().zip(&found) {
            let Found { nearest, least, second } = *found;
            let (least, second) = (least.to_f64(), second.to_f64());
            let error = PRODUCT_ERROR * T::EPSILON * 2.0 * (squares[row] + (squares[row] + least).max(0.0));
            // Written so that NaN and infinity do not pass.
            let (nearest, least, second) = if least.is_finite() && second > least + error {
                (nearest, squares[row] + least + error, squares[row] + second - error)
            } else {
                nearest_by_differences(row_at(row), &centres.rounded)
            };
            below[row] = second.max(0.0).sqrt() as f32 * BELOW;
            let (from, to) = (own[row], nearest as u32);
            if from == to {
                above[row] = above[row].min(bound_above(least.max(0.0)));
            } else {
                above[row] = bound_above(squared_distance(row_at(row), centre_at(nearest)));
                assigned.changes.push(Change { row: first + row, from, to });
                own[row] = to;
            }
        }
        assigned
    }
}

/// A bound above the root of a square.
#[inline(always)]
fn bound_above(square: f64) -> f32 {
    square.sqrt() as f32 * ABOVE
}

/// The nearest centre so far, and the two smallest values.
#[derive(Clone, Copy)]
struct Found<T> {
    nearest: usize,
    least: T,
    second: T,
}

impl<T: Real> Default for Found<T> {
    fn default() -> Self {
        let infinity = T::from_f64(f64::INFINITY);
        Found { nearest: 0, least: infinity, second: infinity }
    }
}

impl<T: Real> Found<T> {
    /// Takes in the values of the centres from `first` on.
    #[inline(always)]
    fn add(&mut self, first: usize, values: &[T]) {
        let (least, second) = two_smallest(values);
        if least < self.least {
            self.second = if second < self.least { second } else { self.least };
            self.least = least;
            self.nearest = first + values.iter().position(|&value| value == least).unwrap_or(0);
        } else if least < self.second {
            self.second = least;
        }
    }
}

/// The two smallest values, which may be equal.
#[inline(always)]
fn two_smallest<T: Real>(values: &[T]) -> (T, T) {
    let infinity = T::from_f64(f64::INFINITY);
    let (mut least, mut second) = ([infinity; LANES], [infinity; LANES]);
    let (chunks, rest) = values.as_chunks::<LANES>();
    for chunk in chunks {
        for lane in 0..LANES {
            let value = chunk[lane];
            let larger = if value > least[lane] { value } else { least[lane] };
            second[lane] = if larger < second[lane] { larger } else { second[lane] };
            least[lane] = if value < least[lane] { value } else { least[lane] };
        }
    }
    let (mut first, mut next) = (infinity, infinity);
    for &value in least.iter().chain(&second).chain(rest) {
        if value < first {
            (first, next) = (value, first);
        } else if value < next {
            next = value;
        }
    }
    (first, next)
}

/// The nearest centre, of those as near the first, and the squared distances to it and to the second nearest.
fn nearest_by_differences<T: Real>(row: &[T], centres: &[T]) -> (usize, f64, f64) {
    let (mut nearest, mut least, mut second) = (0, f64::INFINITY, f64::INFINITY);
    for (cluster, centre) in centres.chunks_exact(row.len()).enumerate() {
        let squared = squared_distance(row, centre);
        if squared < least {
            (nearest, second, least) = (cluster, least, squared);
        } else if squared < second {
            second = squared;
        }
    }
    (nearest, least, second)
}

struct Inertia<'t, T> {
    rows: &'t [T],
    own: &'t [u32],
    centres: &'t [f64],
    dimensions: usize,
}

impl<T: Real> Vectorized for Inertia<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let d = self.dimensions;
        let rows = self.rows.chunks_exact(d).zip(self.own);
        let squares = rows.map(|(row, &own)| {
            let centre = &self.centres[own as usize * d..(own as usize + 1) * d];
            lane_sum_2(row, centre, |value, centre| (value.to_f64() - centre) * (value.to_f64() - centre))
        });
        squares.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DatasetOptions, Embeddings, LabelColumn, Origin};
    use crate::distance::Distance;
    use crate::progress::NoProgress;

    fn dataset(values: Array2<f64>) -> Dataset<'static> {
        let labels = LabelColumn::from_labels((0..values.nrows()).map(|row| row % 2));
        let embeddings = Embeddings::from_f64(Origin::new("rows"), values);
        Dataset::join(embeddings, &labels, Distance::Euclidean, &DatasetOptions::default()).unwrap()
    }

    /// Clusters that overlap.
    fn values(rows: usize, d: usize, clusters: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, d), |(i, j)| {
            let noise = (i * 7919 + j * 104_729 + (i * j) % 8191) % 10_007;
            noise as f64 / 10_007.0 + ((i % clusters) * 31 + j * 17) as f64 % 13.0 / 13.0
        })
    }

    fn cluster(values: &Array2<f64>, clusters: usize, precision: Precision) -> KMeans {
        k_means(&dataset(values.clone()), &KMeansOptions::new(clusters, 3), precision, &NoProgress).unwrap()
    }

    fn squared(row: ndarray::ArrayView1<'_, f64>, centre: ndarray::ArrayView1<'_, f64>) -> f64 {
        row.iter().zip(centre).map(|(x, c)| (x - c) * (x - c)).sum()
    }

    #[test]
    fn two_values_are_the_smallest_in_any_order() {
        for length in [1usize, 2, 15, 16, 17, 40, 100] {
            for step in [1usize, 3, 7, 11] {
                let values: Vec<f32> = (0..length).map(|at| ((at * step + 5) % 101 % length) as f32).collect();
                let mut sorted = values.clone();
                sorted.sort_by(f32::total_cmp);
                let expected = (sorted[0], sorted.get(1).copied().unwrap_or(f32::INFINITY));
                assert_eq!(two_smallest(&values), expected, "{length} {step}");
            }
        }
    }

    #[test]
    fn every_row_lies_nearest_to_its_centre() {
        for (rows, d, clusters) in [(700, 5, 7), (300, 40, 20), (100, 3, 1), (40, 2, 40), (900, 3, 150)] {
            let values = values(rows, d, clusters);
            for precision in [Precision::F32, Precision::F64] {
                let found = cluster(&values, clusters, precision);
                assert_eq!(found.centres.nrows(), clusters);
                let mut inertia = 0.0;
                for (row, &code) in values.rows().into_iter().zip(&found.codes) {
                    let own = squared(row, found.centres.row(code as usize));
                    inertia += own;
                    let least = found.centres.rows().into_iter().map(|centre| squared(row, centre));
                    assert!(own <= least.fold(f64::INFINITY, f64::min) + 1e-5, "{rows} {d} {clusters}");
                }
                assert!((found.inertia - inertia).abs() < 1e-5 * inertia.max(1.0), "{} {inertia}", found.inertia);
            }
        }
    }

    /// Lloyd's iterations as they are defined, from centres that are given.
    fn lloyd(values: &Array2<f64>, mut centres: Array2<f64>, options: &KMeansOptions) -> (Vec<u32>, f64) {
        let n = values.nrows() as f64;
        let mean = values.mean_axis(ndarray::Axis(0)).unwrap();
        let variance =
            values.rows().into_iter().map(|row| squared(row, mean.view())).sum::<f64>() / n / values.ncols() as f64;
        let nearest = |centres: &Array2<f64>| -> Vec<u32> {
            let of_row = |row| {
                let distances: Vec<f64> = centres.rows().into_iter().map(|centre| squared(row, centre)).collect();
                (0..distances.len()).fold(0, |best, at| if distances[at] < distances[best] { at } else { best }) as u32
            };
            values.rows().into_iter().map(of_row).collect()
        };
        let mut codes = nearest(&centres);
        for _ in 0..options.iterations {
            let mut moved = 0.0;
            for cluster in 0..centres.nrows() {
                let members: Vec<usize> = (0..codes.len()).filter(|&row| codes[row] == cluster as u32).collect();
                let mean = values.select(ndarray::Axis(0), &members).mean_axis(ndarray::Axis(0)).unwrap();
                moved += squared(mean.view(), centres.row(cluster));
                centres.row_mut(cluster).assign(&mean);
            }
            let next = nearest(&centres);
            let unchanged = next == codes;
            codes = next;
            if unchanged || moved <= options.tolerance * variance {
                break;
            }
        }
        let inertia =
            values.rows().into_iter().zip(&codes).map(|(row, &code)| squared(row, centres.row(code as usize))).sum();
        (codes, inertia)
    }

    #[test]
    fn bounds_leave_the_result_of_comparing_all() {
        let values = values(900, 6, 9);
        let dataset = dataset(values.clone());
        for clusters in [2, 9, 30] {
            let options = KMeansOptions { starts: 3, ..KMeansOptions::new(clusters, 5) };
            let clusterer = Clusterer::<f64>::new(&dataset, options, 0, &NoProgress).unwrap();
            let mut starts = clusterer.seed().unwrap();
            let Centre { vector, scale } = &clusterer.centre;
            let expected: Vec<_> = starts
                .iter()
                .map(|start| {
                    let centres = Array2::from_shape_fn((clusters, 6), |(cluster, k)| {
                        start.centres.exact[cluster * 6 + k] / scale + vector[k]
                    });
                    lloyd(&values, centres, &options)
                })
                .collect();
            clusterer.iterate(&mut starts).unwrap();
            let inertias = clusterer.inertias(&starts).unwrap();
            for ((start, inertia), (codes, expected)) in starts.iter().zip(inertias).zip(expected) {
                assert_eq!(start.rows.own, codes, "{clusters}");
                assert!((inertia / (scale * scale) - expected).abs() < 1e-9 * expected);
            }
        }
    }

    #[test]
    fn rows_that_are_not_kept_change_no_bit() {
        let dataset = dataset(values(900, 7, 30));
        let cluster = |held_bytes| {
            let clusterer = Clusterer::<f32>::new(&dataset, KMeansOptions::new(30, 3), held_bytes, &NoProgress);
            clusterer.unwrap().run().unwrap()
        };
        assert_eq!(cluster(0), cluster(HELD_BYTES));
    }

    #[test]
    fn clusters_that_lie_apart_are_found_wherever_they_lie() {
        // Pairs a thousandth apart, far from the origin.
        let rows = Array2::from_shape_fn((400, 3), |(row, k)| {
            let cluster = row % 8;
            1e4 + (cluster / 2 * (k + 1)) as f64 + (cluster % 2) as f64 / 1024.0 + (row * (k + 2) % 5) as f64 / 65536.0
        });
        for precision in [Precision::F32, Precision::F64] {
            let found = cluster(&rows, 8, precision);
            for (row, code) in found.codes.iter().enumerate() {
                assert_eq!(*code, found.codes[row % 8], "{precision:?}");
            }
            assert_eq!(found.centres.nrows(), 8);
        }
    }

    #[test]
    fn fewer_places_than_clusters_make_fewer_clusters() {
        let rows = Array2::from_shape_fn((90, 2), |(row, k)| ((row % 3) * (k + 1)) as f64);
        let found = cluster(&rows, 5, Precision::F64);
        assert_eq!((found.centres.nrows(), found.inertia), (3, 0.0));
        let one = cluster(&Array2::from_elem((10, 2), 0.3), 4, Precision::F64);
        assert_eq!((one.codes, one.inertia), (vec![0; 10], 0.0));
    }

    #[test]
    fn huge_rows_do_not_spoil_the_others() {
        let mut rows = values(200, 4, 4);
        rows.row_mut(17).fill(1e30);
        let found = cluster(&rows, 3, Precision::F32);
        assert_eq!(found.centres.nrows(), 3);
        assert_eq!(found.codes.iter().filter(|&&code| code == found.codes[17]).count(), 1);
    }

    #[test]
    fn threads_change_no_bit_and_the_seed_does() {
        let values = values(1500, 12, 30);
        let compute = |threads: usize, seed: u64| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let (dataset, options) = (dataset(values.clone()), KMeansOptions::new(30, seed));
            pool.install(|| k_means(&dataset, &options, Precision::F32, &NoProgress).unwrap())
        };
        let one = compute(1, 7);
        assert_eq!(one, compute(3, 7));
        assert_ne!(one.codes, compute(2, 8).codes);
    }
}
