//! How far apart all pairs of rows are, pairs of one class and pairs of two counted apart, in steps of equal width.
//!
//! Every pair is looked at once, in tiles of products. The counts are integers, so that it does not matter in which order
//! threads add them; sums are added block by block, in order.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::data::{Dataset, Precision};
use crate::distance::Distance;
use crate::error::Result;
use crate::kernels::Real;
use crate::kernels::bounded_pairs::{BoundedPairs, Exact, TILE, Workspace};
use crate::kernels::by_class::sort_by_class;
use crate::kernels::cancellation::Cancellation;
use crate::kernels::dense::{RowScale, lane_sum_and_squares};
use crate::kernels::gemm::{PANEL, Packed, multiply_packed};
use crate::kernels::in_order::{blocks_at_once, for_each_block};
use crate::kernels::pairs::manhattan;
use crate::kernels::parallel;
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::kernels::workspaces::Workspaces;
use crate::progress::Progress;

/// Steps from 0 to the largest distance, at least.
pub(crate) const STEPS: usize = 1 << 20;

/// Pairs of one class, and pairs of two.
const KINDS: usize = 2;

/// The distances of all pairs of rows: of one class first, then of two.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PairHistograms {
    /// The width of a step; 0 where all rows coincide.
    pub(crate) step: f64,
    /// How many pairs have a distance in each step; both end with the last step that has any.
    pub(crate) counts: [Vec<u64>; KINDS],
    pub(crate) moments: [DistanceMoments; KINDS],
}

/// Mean and variance (ddof 0) of distances; 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct DistanceMoments {
    pub(crate) mean: f64,
    pub(crate) variance: f64,
}

impl PairHistograms {
    /// Counts the pairs of a data set whose rows can be read in any order.
    ///
    /// # Errors
    /// Values that have no distance, what reading rows reports, and [`Error::Cancelled`](crate::Error::Cancelled).
    pub(crate) fn new(dataset: &Dataset, precision: Precision, progress: &dyn Progress) -> Result<Self> {
        let (order, starts) = sort_by_class(dataset.labels().codes(), dataset.labels().counts());
        // In class order, the pairs of a row with its own class lie next to each other.
        let sorted = dataset.subset(&order);
        let distance = dataset.distance();
        if precision == Precision::F32 {
            let pairs = BoundedPairs::<f32>::new(&sorted, None, distance, progress)?;
            if !pairs.overflows() {
                return Counter::new(&pairs, &sorted, starts)?.count(progress);
            }
        }
        let pairs = BoundedPairs::<f64>::new(&sorted, None, distance, progress)?;
        Counter::new(&pairs, &sorted, starts)?.count(progress)
    }
}

/// Rows in class order, ready to be counted.
struct Counter<'a, T> {
    pairs: &'a BoundedPairs<'a, T>,
    dataset: &'a Dataset<'a>,
    /// Where each class starts, and the end.
    starts: Vec<usize>,
    class_of: Vec<u32>,
    /// The rows themselves, where a tile is no product.
    rows: Vec<T>,
    /// What a tile holds is a distance times this, a power of two.
    factor: f64,
    step: f64,
    steps: usize,
}

impl<'a, T: Real> Counter<'a, T> {
    fn new(pairs: &'a BoundedPairs<'a, T>, dataset: &'a Dataset<'a>, starts: Vec<usize>) -> Result<Self> {
        let class_of = dataset.labels().codes().to_vec();
        let (mut rows, mut buffer) = (Vec::new(), Vec::new());
        let scale = pairs.scale;
        let factor = match pairs.distance {
            Distance::Cosine => 2.0 * scale * scale,
            Distance::SqEuclidean | Distance::Hamming => scale * scale,
            Distance::Euclidean => scale,
            Distance::Manhattan => {
                rows = dataset.rows::<T>(0..dataset.len(), &mut buffer)?.to_vec();
                1.0
            }
            Distance::Precomputed => 1.0,
        };
        let span = Span::new::<T>(dataset, pairs.distance)?;
        let (step, steps) = span.steps();
        Ok(Counter { pairs, dataset, starts, class_of, rows, factor, step, steps })
    }

    fn count(&self, progress: &dyn Progress) -> Result<PairHistograms> {
        let n = self.dataset.len();
        let totals: Mutex<[Vec<u64>; KINDS]> = Mutex::new(Default::default());
        let counters = Workspaces::<Buffers<T>>::default();
        progress.begin("pairs of rows", (n as u64 * (n as u64 + 1)) / 2);
        let sums: Vec<[Sums; KINDS]> = parallel::try_map((0..n).step_by(TILE), |start| {
            let columns = start..(start + TILE).min(n);
            counters.with(|buffers| match self.pairs.distance {
                Distance::Precomputed => self.given_block(columns, buffers, &totals, progress),
                Distance::Cosine
                | Distance::Euclidean
                | Distance::SqEuclidean
                | Distance::Manhattan
                | Distance::Hamming => self.block(columns, buffers, &totals, progress),
            })
        })?;
        progress.end();
        counters.into_all().iter_mut().for_each(|buffers| buffers.tables.empty_into(self.steps, &totals));
        let mut counts = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
        let used = counts.iter().flat_map(|counts| counts.iter().rposition(|&count| count > 0)).max();
        counts.iter_mut().for_each(|counts| counts.resize(used.map_or(0, |last| last + 1), 0));
        let mut moments = [DistanceMoments::default(); KINDS];
        for (kind, moments) in moments.iter_mut().enumerate() {
            let sums = sums.iter().fold(Sums::default(), |sums, block| sums.and(block[kind]));
            *moments = sums.moments(&counts[kind], self.factor);
        }
        Ok(PairHistograms { step: self.step, counts, moments })
    }

    /// A block of columns with all rows up to it.
    fn block(
        &self,
        columns: Range<usize>,
        buffers: &mut Buffers<T>,
        totals: &Mutex<[Vec<u64>; KINDS]>,
        progress: &dyn Progress,
    ) -> Result<[Sums; KINDS]> {
        let mut sums = [Sums::default(); KINDS];
        let d = self.dataset.dimensions();
        let values = self.values(&columns);
        buffers.packed.fill(values, d);
        for start in (0..columns.end).step_by(TILE) {
            let rows = start..(start + TILE).min(columns.end);
            vectorized(Fill { counter: self, rows: rows.clone(), columns: columns.clone(), buffers });
            self.look_closer(&rows, &columns, buffers)?;
            buffers.tables.make_room(self.steps, totals, rows.len() * columns.len());
            vectorized(Count { counter: self, rows: rows.clone(), columns: columns.clone(), buffers, sums: &mut sums });
            let (height, width) = (rows.len() as u64, columns.len() as u64);
            progress.step(if rows.start == columns.start { width * (width + 1) / 2 } else { height * width })?;
        }
        Ok(sums)
    }

    /// A block of rows of a distance matrix with all rows after each.
    fn given_block(
        &self,
        rows: Range<usize>,
        buffers: &mut Buffers<T>,
        totals: &Mutex<[Vec<u64>; KINDS]>,
        progress: &dyn Progress,
    ) -> Result<[Sums; KINDS]> {
        let mut sums = [Sums::default(); KINDS];
        let n = self.dataset.len();
        for row in rows {
            let columns = row + 1..n;
            let given = self.dataset.rows::<T>(row..row + 1, &mut buffers.row)?;
            buffers.tile.clear();
            buffers.tile.extend(columns.clone().map(|column| given[self.dataset.source_row(column)]));
            buffers.tables.make_room(self.steps, totals, columns.len());
            let steps = columns.len() as u64 + 1;
            vectorized(Count { counter: self, rows: row..row + 1, columns, buffers, sums: &mut sums });
            progress.step(steps)?;
        }
        Ok(sums)
    }

    /// What tiles are made of.
    fn values(&self, rows: &Range<usize>) -> &[T] {
        let d = self.dataset.dimensions();
        if self.rows.is_empty() { self.pairs.centred(rows) } else { &self.rows[rows.start * d..rows.end * d] }
    }

    /// Computes by differences the distances of which a tile has lost too much.
    fn look_closer(&self, rows: &Range<usize>, columns: &Range<usize>, buffers: &mut Buffers<T>) -> Result<()> {
        let Buffers { tile, lost, exact, .. } = buffers;
        for of_row in lost.chunk_by(|left, right| left.0 == right.0) {
            let Some(&(row, _)) = of_row.first() else { continue };
            let found = self.pairs.distances(row as usize, of_row.iter().map(|&(_, column)| column), exact)?;
            let values = &mut tile[(row as usize - rows.start) * columns.len()..][..columns.len()];
            for neighbour in found {
                values[neighbour.row as usize - columns.start] = T::from_f64(neighbour.distance * self.factor);
            }
        }
        Ok(())
    }
}

/// Computes a tile of distances, times the factor. Those that cancelled or overflowed are listed, each pair once.
struct Fill<'t, 'a, T> {
    counter: &'t Counter<'a, T>,
    rows: Range<usize>,
    columns: Range<usize>,
    buffers: &'t mut Buffers<T>,
}

impl<T: Real> Vectorized for Fill<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Fill { counter, rows, columns, buffers } = self;
        let Buffers { tile, lost, packed, .. } = buffers;
        let (width, d) = (columns.len(), counter.dataset.dimensions());
        let root = counter.pairs.distance == Distance::Euclidean;
        tile.resize(rows.len() * width, T::default());
        lost.clear();
        let Some(column_squares) = counter.pairs.squares(&columns) else {
            let own = counter.values(&rows);
            for ((row, x), distances) in rows.zip(own.chunks_exact(d)).zip(tile.chunks_exact_mut(width)) {
                for (group, (distances, panel)) in distances.chunks_mut(PANEL).zip(packed.panels()).enumerate() {
                    let sums = manhattan(x, panel);
                    for (lane, (distance, sum)) in distances.iter_mut().zip(sums).enumerate() {
                        let column = columns.start + group * PANEL + lane;
                        *distance = sum;
                        if !sum.to_f64().is_finite() && column > row {
                            lost.push((row as u32, column as u32));
                        }
                    }
                }
            }
            return;
        };
        multiply_packed(counter.values(&rows), packed, 0..width, tile);
        let cancellation = Cancellation::<T>::of_pairs();
        let own_squares = counter.pairs.squares(&rows).unwrap_or_default();
        for ((row, square), values) in rows.zip(own_squares).zip(tile.chunks_exact_mut(width)) {
            let mut failures = 0u32;
            for (value, column_square) in values.iter_mut().zip(column_squares) {
                let (squared, passes) = cancellation.squared(*square + *column_square, *value);
                let distance = if root { squared.root() } else { squared };
                *value = if passes { distance } else { T::default() };
                failures += u32::from(!passes);
            }
            if failures > 0 {
                // Only what is lost is exactly 0: everything that passes is positive.
                let zero = T::default();
                let places = values.iter().zip(columns.clone());
                let failed = places.filter(|(value, column)| **value == zero && *column > row);
                lost.extend(failed.map(|(_, column)| (row as u32, column as u32)));
            }
        }
    }
}

/// Adds a tile to the sums, and its steps to those that are to be counted; of each row the columns after it.
struct Count<'t, 'a, T> {
    counter: &'t Counter<'a, T>,
    rows: Range<usize>,
    columns: Range<usize>,
    buffers: &'t mut Buffers<T>,
    sums: &'t mut [Sums; KINDS],
}

impl<T: Real> Vectorized for Count<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Count { counter, rows, columns, buffers, sums } = self;
        let Buffers { tile, tables, .. } = buffers;
        let width = columns.len();
        if width == 0 {
            return;
        }
        let per_step = if counter.step > 0.0 { 1.0 / (counter.step * counter.factor) } else { 0.0 };
        let (per_step, last) = (T::from_f64(per_step), counter.steps as i32 - 1);
        for (row, values) in rows.zip(tile.chunks_exact(width)) {
            let after = (row + 1).max(columns.start);
            let own_end = counter.starts[counter.class_of[row] as usize + 1].clamp(after, columns.end);
            let kinds = [after..own_end, own_end..columns.end];
            for ((kind, pending), sums) in kinds.into_iter().zip(&mut tables.pending).zip(sums.iter_mut()) {
                let values = &values[kind.start - columns.start..kind.end - columns.start];
                pending.extend(values.iter().map(|value| (*value * per_step).truncated().min(last)));
                let [sum, squares] = lane_sum_and_squares(values);
                sums.sum += sum;
                sums.squares += squares;
            }
        }
    }
}

/// What one thread works with.
struct Buffers<T> {
    tile: Vec<T>,
    packed: Packed<T>,
    /// Pairs whose distances have to be computed by differences.
    lost: Vec<(u32, u32)>,
    row: Vec<T>,
    exact: Workspace<T>,
    tables: Tables,
}

impl<T> Default for Buffers<T> {
    fn default() -> Self {
        Buffers {
            tile: Vec::new(),
            packed: Packed::default(),
            lost: Vec::new(),
            row: Vec::new(),
            exact: Workspace::default(),
            tables: Tables::default(),
        }
    }
}

/// The counts of one thread.
#[derive(Default)]
struct Tables {
    counts: [Vec<u32>; KINDS],
    /// Pairs that are counted in them, or will be.
    pairs: usize,
    /// Steps that are not counted yet. The counts do not fit in a fast cache beside the factors of a product, so many tiles
    /// are counted at once.
    pending: [Vec<i32>; KINDS],
}

impl Tables {
    /// Steps that wait to be counted, at most: 4 MB.
    const PENDING: usize = 1 << 20;

    /// Makes room for as many pairs more.
    fn make_room(&mut self, steps: usize, totals: &Mutex<[Vec<u64>; KINDS]>, pairs: usize) {
        if self.pending.iter().map(Vec::len).sum::<usize>() + pairs > Self::PENDING {
            self.count_pending(steps);
        }
        if self.pairs + pairs > u32::MAX as usize {
            self.empty_into(steps, totals);
        }
        self.pairs += pairs;
    }

    fn count_pending(&mut self, steps: usize) {
        for (counts, pending) in self.counts.iter_mut().zip(&mut self.pending) {
            // Zeros from the system, so that steps in which no distance falls take no memory.
            if counts.is_empty() {
                *counts = vec![0; steps];
            }
            for step in pending.drain(..) {
                if let Some(count) = counts.get_mut(step as usize) {
                    *count += 1;
                }
            }
        }
    }

    fn empty_into(&mut self, steps: usize, totals: &Mutex<[Vec<u64>; KINDS]>) {
        self.count_pending(steps);
        let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
        for (total, counts) in totals.iter_mut().zip(&mut self.counts) {
            total.resize(counts.len().max(total.len()), 0);
            for (total, count) in total.iter_mut().zip(counts) {
                *total += u64::from(std::mem::take(count));
            }
        }
        self.pairs = 0;
    }
}

/// Sums over distances, times the factor, and over their squares.
#[derive(Clone, Copy, Default)]
struct Sums {
    sum: f64,
    squares: f64,
}

impl Sums {
    fn and(self, other: Sums) -> Sums {
        Sums { sum: self.sum + other.sum, squares: self.squares + other.squares }
    }

    fn moments(self, counts: &[u64], factor: f64) -> DistanceMoments {
        let pairs = counts.iter().sum::<u64>() as f64;
        if pairs == 0.0 {
            return DistanceMoments::default();
        }
        let mean = self.sum / pairs;
        // Distances that share a step differ by rounding alone, as far as can be told.
        let spread = counts.iter().filter(|&&count| count > 0).count() > 1;
        let variance = if spread { (self.squares / pairs - mean * mean).max(0.0) } else { 0.0 };
        DistanceMoments { mean: mean / factor, variance: variance / (factor * factor) }
    }
}

/// Bounds of the largest distance.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Span {
    /// The distance of two rows.
    least: f64,
    /// No two rows are farther apart.
    most: f64,
}

impl Span {
    /// From the mean of all rows to the farthest row, and from there to the row that is farthest from it: O(N d). Of a
    /// distance matrix the largest entry.
    fn new<T: Real>(dataset: &Dataset, distance: Distance) -> Result<Self> {
        let n = dataset.len();
        if distance == Distance::Precomputed {
            let columns: Vec<usize> = (0..n).map(|row| dataset.source_row(row)).collect();
            let largest = parallel::try_map_with(0..n, |buffer, row| {
                let values = dataset.rows::<T>(row..row + 1, buffer)?;
                Ok(columns.iter().map(|&column| values[column].to_f64()).fold(0.0, f64::max))
            })?;
            let largest = largest.into_iter().fold(0.0, f64::max);
            return Ok(Span { least: largest, most: largest });
        }
        let unit = distance.is_of_unit_vectors();
        let from_mean = Farthest::from::<T>(dataset, distance, &mean::<T>(dataset, unit)?)?;
        let mut buffer = Vec::new();
        let row = dataset.rows::<T>(from_mean.row..from_mean.row + 1, &mut buffer)?;
        let mut exact = vec![0.0; row.len()];
        RowScale::of(row, unit).apply_to(row, &mut exact);
        let from_row = Farthest::from::<T>(dataset, distance, &exact)?;
        // Two rows are no farther from each other than the sum of their distances to a third point.
        let bound = |found: Farthest| match distance {
            Distance::Euclidean | Distance::Manhattan | Distance::Precomputed => found.first + found.second,
            Distance::Cosine | Distance::SqEuclidean | Distance::Hamming => {
                (found.first.sqrt() + found.second.sqrt()).powi(2)
            }
        };
        Ok(Span { least: from_row.first, most: bound(from_mean).min(bound(from_row)) })
    }

    /// The width of a step, and how many there are.
    fn steps(self) -> (f64, usize) {
        if !(self.least > 0.0 && self.least.is_finite()) {
            return (0.0, 1);
        }
        // Where both bounds are reached, rounding can make either the larger one. A row is at most twice as far from
        // another as the farthest is from a third: four times in squares.
        let ratio = (self.most / self.least).clamp(1.0, 4.0);
        // The 0.4 puts the distance of the two rows, and simple shares of it, between the ends of a step: pairs that tie there
        // are not told apart by rounding.
        let to_least = STEPS as f64 + 0.4;
        (self.least / to_least, (to_least * ratio * (1.0 + 1e-6)) as usize + 2)
    }
}

/// The row that is farthest from a point.
#[derive(Clone, Copy, Debug)]
struct Farthest {
    row: usize,
    first: f64,
    /// The second largest distance.
    second: f64,
}

impl Farthest {
    fn from<T: Real>(dataset: &Dataset, distance: Distance, point: &[f64]) -> Result<Self> {
        let (n, d, unit) = (dataset.len(), dataset.dimensions(), distance.is_of_unit_vectors());
        let blocks: Vec<Farthest> = parallel::try_map_with((0..n).step_by(TILE), |buffer, start| {
            let rows = dataset.rows::<T>(start..(start + TILE).min(n), buffer)?;
            let mut farthest = Farthest::NONE;
            for (row, values) in (start..).zip(rows.chunks_exact(d)) {
                let scale = RowScale::of(values, unit);
                let found = vectorized(Exact { distance, query: point, row: values, scale });
                farthest.add(row, found);
            }
            Ok(farthest)
        })?;
        let mut farthest = Farthest::NONE;
        for block in blocks {
            farthest.add(block.row, block.first);
            farthest.second = farthest.second.max(block.second);
        }
        Ok(farthest)
    }

    const NONE: Farthest = Farthest { row: 0, first: 0.0, second: 0.0 };

    fn add(&mut self, row: usize, distance: f64) {
        if distance > self.first {
            self.second = self.first;
            (self.row, self.first) = (row, distance);
        } else {
            self.second = self.second.max(distance);
        }
    }
}

/// The mean of all rows, or of their unit vectors.
fn mean<T: Real>(dataset: &Dataset, unit: bool) -> Result<Vec<f64>> {
    let (n, d) = (dataset.len(), dataset.dimensions());
    let mut mean = vec![0.0; d];
    // Shares of the mean, which do not overflow where sums would.
    let share = 1.0 / n.max(1) as f64;
    for_each_block(
        0..n,
        TILE,
        blocks_at_once(d),
        |buffer: &mut Vec<T>, rows| {
            let mut sum = vec![0.0; d];
            for row in dataset.rows::<T>(rows, buffer)?.chunks_exact(d) {
                let scale = RowScale::of(row, unit);
                sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += scale.apply(value.to_f64()) * share);
            }
            Ok(sum)
        },
        |_, sum| mean.iter_mut().zip(sum).for_each(|(mean, sum)| *mean += sum),
    )?;
    Ok(mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_cover_all_distances() {
        for (least, most) in [(1.0, 1.5), (1.0 + f64::EPSILON, 1.0), (2e-3, 9.0), (3.0, f64::INFINITY)] {
            let (step, steps) = Span { least, most }.steps();
            assert!(step > 0.0 && step <= least / STEPS as f64, "{least} {most}");
            assert!(step * steps as f64 > least.max(most.min(4.0 * least)), "{least} {most}");
        }
        assert_eq!(Span { least: 0.0, most: 0.0 }.steps(), (0.0, 1));
    }

    #[test]
    fn the_largest_distance_and_simple_shares_of_it_are_inside_a_step() {
        let (step, _) = Span { least: 0.7, most: 0.7 }.steps();
        for share in [1.0, 0.5, 0.25, 0.75, 1.0 / 3.0, 2.0 / 3.0, 0.2, 0.4, 0.6, 0.8] {
            let places = [1.0 - 1e-12, 1.0 + 1e-12].map(|rounded| (share * 0.7 * rounded / step) as usize);
            assert_eq!(places[0], places[1], "{share}");
        }
    }
}
