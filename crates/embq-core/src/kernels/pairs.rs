//! Euclidean and Manhattan distances: all pairs of rows, in tiles, each pair once, without storing N x N or N x K
//! numbers.
//!
//! Rows are sorted by class. A strip of rows (whole classes, or a part of one large class) is paired with every row
//! from its own start on, tile by tile. A tile adds its sums over columns to the rows of the strip and its sums over
//! rows to the columns. After a strip, its rows have been paired with all classes from their own on, and the rows after
//! it with the strip's classes: complete values go to the fold, and their memory is reused. Every row thus sees the
//! classes in order.

mod gradient;
mod influence;

use std::ops::Range;

use ndarray::Array2;
use rayon::prelude::*;

use crate::data::{Dataset, Precision};
use crate::error::Result;
use crate::kernels::between_classes::BetweenClasses;
use crate::kernels::cancellation::Cancellation;
use crate::kernels::centre::Centre;
use crate::kernels::dense::{RowScale, lane_sum, lane_sum_2, manhattan_distance, squared_distance, squared_norm};
use crate::kernels::gemm::{PANEL, Packed, multiply_packed};
use crate::kernels::pair_geometry::pair_geometry;
use crate::kernels::parallel;
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::kernels::{ClassDistances, Nearest, PassOptions, Real, RowFold, sort_by_class};
use crate::progress::Progress;

/// Rows per side of a tile.
const TILE: usize = 256;

/// Rows whose mean distances are handed to folds by one task.
const FOLDED_ROWS: usize = 16;

/// Errors of units in the last place of the longest row below this share of the resolution change each derivative by
/// less than 1e-5 of it.
const SEEN: f64 = 2e-5;

/// The maximum size of the sums of one strip.
const STRIP_SUMS: usize = 1 << 23;

/// The distances that are computed pair by pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PairDistance {
    Euclidean,
    Manhattan,
}

/// Rows sorted by class, prepared for passes over their pairs.
pub(crate) struct PairTiles<'a, T> {
    dataset: &'a Dataset<'a>,
    distance: PairDistance,
    progress: &'a dyn Progress,
    /// The rows by class; if not all rows are scored, followed by the scored rows.
    order: Vec<usize>,
    /// The start of each class in the order, and the end.
    starts: Vec<usize>,
    /// The class of each row in the order.
    class_of: Vec<u32>,
    /// Weights in sorted order, and their sums by class.
    weights: Vec<f64>,
    class_weights: &'a [f64],
    rows: Vec<T>,
    /// Centred and scaled rows with their squared lengths, for Euclidean.
    centred: Vec<T>,
    squares: Vec<T>,
    /// The factor of the distances in a tile.
    scale: f64,
}

/// Consecutive classes that are completed together.
struct Panel {
    classes: Range<usize>,
    /// The rows of these classes, divided into strips; several only for a single large class.
    strips: Vec<Range<usize>>,
}

/// The state of the pass, in sorted order.
struct Running<S> {
    states: Vec<S>,
    /// Sums to the class of the current panel, kept between strips if a large class has several.
    pending: Vec<f64>,
    /// For each class of the current panel, weighted sums to the classes from the panel's first on.
    between: Vec<f64>,
}

/// Sums of one tile of columns with a strip.
#[derive(Default)]
struct TileSums {
    columns: Range<usize>,
    /// The classes of the columns.
    classes: Range<usize>,
    /// The first rows of the strip x classes of the columns.
    rows: Vec<f64>,
    row_count: usize,
    /// Columns x classes of the panel; empty once passed to the fold.
    inner: Vec<f64>,
}

impl TileSums {
    /// Adds the sums of a row to those of the classes of the columns.
    fn add_row(&self, row: usize, sums: &mut [f64]) {
        let classes = self.classes.len();
        for (sum, part) in sums.iter_mut().zip(&self.rows[row * classes..(row + 1) * classes]) {
            *sum += part;
        }
    }
}

/// The sums that a tile is added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    /// Rows and columns; inside a strip, which is paired with itself, each pair once.
    Inside,
    /// Rows and columns.
    Both,
    /// Only the rows.
    Rows,
}

impl<'a, T: Real> PairTiles<'a, T> {
    pub(crate) fn new(dataset: &'a Dataset<'a>, distance: PairDistance, progress: &'a dyn Progress) -> Result<Self> {
        dataset.check_values::<T>()?;
        let labels = dataset.labels();
        let (mut order, starts) = sort_by_class(labels.codes(), labels.counts());
        let (n, d) = (dataset.len(), dataset.dimensions());
        let mut place = vec![0; n];
        for (position, &row) in order.iter().enumerate() {
            place[row] = position;
        }
        let mut rows = vec![T::default(); n * d];
        let mut buffer = Vec::new();
        for start in (0..n).step_by(TILE) {
            let end = (start + TILE).min(n);
            let block = dataset.rows::<T>(start..end, &mut buffer)?;
            for (values, &position) in block.chunks_exact(d).zip(&place[start..end]) {
                rows[position * d..(position + 1) * d].copy_from_slice(values);
            }
        }
        if dataset.scored().is_subsample() {
            for index in dataset.scored_by_class() {
                let row = dataset.scored().position(index);
                order.push(row);
                rows.extend_from_within(place[row] * d..(place[row] + 1) * d);
            }
        }
        let weights: Vec<f64> = order.iter().map(|&row| dataset.weight(row)).collect();
        let class_of = order.iter().map(|&row| labels.codes()[row]).collect();
        let class_weights = dataset.class_weights();
        let (mut centred, mut squares, mut scale) = (Vec::new(), Vec::new(), 1.0);
        match distance {
            PairDistance::Euclidean => {
                let centre = Centre::of_rows::<T>(dataset, false)?;
                centred = vec![T::default(); rows.len()];
                let both = centred.par_chunks_mut(d).zip(rows.par_chunks(d));
                both.for_each(|(centred, row)| centre.apply_to(row, RowScale::ONE, centred));
                squares = centred.par_chunks(d).map(|row| T::from_f64(squared_norm(row))).collect();
                scale = centre.scale;
            }
            PairDistance::Manhattan => {}
        }
        Ok(PairTiles {
            dataset,
            distance,
            progress,
            order,
            starts,
            class_of,
            weights,
            class_weights,
            rows,
            centred,
            squares,
            scale,
        })
    }

    pub(crate) fn pass<F: RowFold>(&self, fold: &F, wanted: PassOptions) -> Result<ClassDistances<F::Output>> {
        if self.dataset.scored().is_subsample() {
            return self.pass_over_subsample(fold, wanted);
        }
        let (n, classes) = (self.order.len(), self.class_weights.len());
        let rows = self.order.iter().zip(&self.class_of);
        let mut running = Running {
            states: rows.map(|(&row, &own)| fold.start(row, own as usize)).collect(),
            pending: vec![0.0; n],
            between: Vec::new(),
        };
        let mut pairs = ClassPairs::new(classes, wanted);
        self.progress.begin("pairs of rows", (n as u64 * (n as u64 + 1)) / 2);
        for panel in self.panels() {
            running.between.clear();
            running.between.resize(panel.classes.len() * (classes - panel.classes.start), 0.0);
            for strip in 0..panel.strips.len() {
                self.strip(fold, &panel, strip, &mut running)?;
            }
            pairs.add(&panel.classes, &running.between, self.class_weights, self.scale);
        }
        self.progress.end();
        let mut rows = vec![F::Output::default(); n];
        for (state, &row) in running.states.into_iter().zip(&self.order) {
            rows[row] = fold.finish(state);
        }
        let between = (pairs.nearest, pairs.matrix);
        let geometry = pair_geometry::<T>(self.dataset, self.distance, self.progress, between, wanted)?;
        Ok(ClassDistances { rows, geometry })
    }

    /// The scored rows against all rows. No pair can be saved, because the result is not symmetric.
    fn pass_over_subsample<F: RowFold>(&self, fold: &F, wanted: PassOptions) -> Result<ClassDistances<F::Output>> {
        let (n, classes) = (self.dataset.len(), self.class_weights.len());
        let order = self.dataset.scored_by_class();
        let mut rows = vec![F::Output::default(); order.len()];
        let mut between = BetweenClasses::new(classes, wanted);
        let mut means = Vec::new();
        let block_rows = (STRIP_SUMS / classes).clamp(1, TILE);
        self.progress.begin("pairs of rows", order.len() as u64 * n as u64);
        for (block, indices) in order.chunks(block_rows).enumerate() {
            let start = n + block * block_rows;
            let positions = start..start + indices.len();
            let parts = parallel::try_map_with(tiles(0..n), |workspace, columns| {
                self.with_tiles(&positions, columns, &(0..0), Side::Rows, workspace)
            })?;
            let mut sums = vec![0.0; indices.len() * classes];
            parallel::for_each(sums.chunks_mut(classes).enumerate(), |(row, sums)| {
                parts.iter().for_each(|part| part.add_row(row, &mut sums[part.classes.clone()]));
            });
            for ((position, &index), sums) in positions.zip(indices).zip(sums.chunks_exact(classes)) {
                let own = self.class_of[position] as usize;
                let mut state = fold.start(index, own);
                self.absorb(fold, &mut state, position, 0, sums, &mut means);
                rows[index] = fold.finish(state);
                between.add(own, self.weights[position], &means);
            }
        }
        self.progress.end();
        let geometry = pair_geometry::<T>(self.dataset, self.distance, self.progress, between.finish(), wanted)?;
        Ok(ClassDistances { rows, geometry })
    }

    /// Divides the sorted rows into panels and strips. Depends only on the class sizes, so that sums are added in the
    /// same order for any number of threads.
    fn panels(&self) -> Vec<Panel> {
        let classes = self.class_weights.len();
        let strip_rows = (STRIP_SUMS / classes).clamp(TILE, 8 * TILE) / TILE * TILE;
        let mut panels = Vec::new();
        let mut first = 0;
        while first < classes {
            let start = self.starts[first];
            let mut last = first + 1;
            while last < classes && self.starts[last + 1] - start <= strip_rows {
                last += 1;
            }
            let end = self.starts[last];
            let strips = (start..end).step_by(strip_rows).map(|row| row..(row + strip_rows).min(end)).collect();
            panels.push(Panel { classes: first..last, strips });
            first = last;
        }
        panels
    }

    /// All pairs of the rows of one strip with themselves and the rows after them.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled).
    fn strip<F: RowFold>(&self, fold: &F, panel: &Panel, index: usize, running: &mut Running<F::State>) -> Result<()> {
        let Running { states, pending, between } = running;
        let (n, classes) = (self.order.len(), self.class_weights.len());
        let first_class = panel.classes.start;
        let width = classes - first_class;
        let strip = panel.strips[index].clone();
        let single_strip = panel.strips.len() == 1;
        let last_strip = index + 1 == panel.strips.len();
        let inner = parallel::try_map_with(tiles(strip.clone()), |workspace, columns| {
            self.with_tiles(&strip, columns, &panel.classes, Side::Inside, workspace)
        })?;
        let (_, later_states) = states.split_at_mut(strip.end);
        let (_, later_pending) = pending.split_at_mut(strip.end);
        let later = later_states.chunks_mut(TILE).zip(later_pending.chunks_mut(TILE)).zip(tiles(strip.end..n));
        let outer = parallel::try_map_with(later, |workspace: &mut Workspace<T>, ((states, pending), columns)| {
            let mut sums = self.with_tiles(&strip, columns.clone(), &panel.classes, Side::Both, workspace)?;
            let column_sums = std::mem::take(&mut sums.inner);
            let panel_classes = panel.classes.len();
            let means = &mut workspace.means;
            for ((position, state), pending) in columns.zip(states).zip(pending) {
                let sums = &column_sums[(position - sums.columns.start) * panel_classes..][..panel_classes];
                if single_strip {
                    self.absorb(fold, state, position, first_class, sums, means);
                    continue;
                }
                *pending += sums[0];
                if last_strip && self.class_of[position] as usize != first_class {
                    let sum = std::mem::take(pending);
                    self.absorb(fold, state, position, first_class, &[sum], means);
                }
            }
            Ok(sums)
        })?;
        // Sums of the strip's rows to the classes from the panel on; rows of a large class already have those of
        // earlier strips.
        let mut sums = vec![0.0; strip.len() * width];
        if !single_strip {
            for (pending, sums) in pending[strip.clone()].iter_mut().zip(sums.chunks_exact_mut(width)) {
                sums[0] = std::mem::take(pending);
            }
        }
        let panel_classes = panel.classes.len();
        parallel::for_each(sums.chunks_mut(width).enumerate(), |(position, sums)| {
            for tile in inner.iter().chain(&outer) {
                if position < tile.row_count {
                    let target = tile.classes.start - first_class..tile.classes.end - first_class;
                    tile.add_row(position, &mut sums[target]);
                }
                if tile.columns.contains(&(strip.start + position)) && !tile.inner.is_empty() {
                    let column = strip.start + position - tile.columns.start;
                    let part = &tile.inner[column * panel_classes..(column + 1) * panel_classes];
                    for (sum, part) in sums.iter_mut().zip(part) {
                        *sum += part;
                    }
                }
            }
        });
        for (position, sums) in strip.clone().zip(sums.chunks_exact(width)) {
            let own = self.class_of[position] as usize - first_class;
            let target = &mut between[own * width..(own + 1) * width];
            for (total, sum) in target.iter_mut().zip(sums) {
                *total += self.weights[position] * sum;
            }
        }
        let strip_states = &mut states[strip.clone()];
        let blocks =
            strip_states.chunks_mut(FOLDED_ROWS).zip(sums.chunks(FOLDED_ROWS * width)).zip(strip.step_by(FOLDED_ROWS));
        parallel::for_each(blocks, |((states, sums), start)| {
            let mut means = Vec::new();
            for ((state, sums), position) in states.iter_mut().zip(sums.chunks_exact(width)).zip(start..) {
                self.absorb(fold, state, position, first_class, sums, &mut means);
            }
        });
        Ok(())
    }

    /// Turns sums into means and passes them to the fold.
    fn absorb<F: RowFold>(
        &self,
        fold: &F,
        state: &mut F::State,
        position: usize,
        first_class: usize,
        sums: &[f64],
        means: &mut Vec<f64>,
    ) {
        vectorized(AbsorbTask { kernel: self, fold, state, position, first_class, sums, means });
    }

    /// All tiles of a strip's rows with one tile of columns.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled).
    fn with_tiles(
        &self,
        strip: &Range<usize>,
        columns: Range<usize>,
        panel: &Range<usize>,
        side: Side,
        workspace: &mut Workspace<T>,
    ) -> Result<TileSums> {
        let column_classes = self.classes_of(&columns);
        // Inside the strip, a tile on the diagonal and the tiles above it cover each pair once.
        let rows = if side == Side::Inside { strip.start..columns.end } else { strip.clone() };
        let mut sums = TileSums {
            rows: vec![0.0; rows.len() * column_classes.len()],
            row_count: rows.len(),
            inner: vec![0.0; columns.len() * panel.len()],
            classes: column_classes,
            columns: columns.clone(),
        };
        self.lay_out(&columns, &mut workspace.packed);
        for row_tile in tiles(rows.clone()) {
            let diagonal = row_tile.start == columns.start;
            vectorized(FillTile { kernel: self, rows: row_tile.clone(), columns: columns.clone(), workspace });
            vectorized(AddTile {
                kernel: self,
                rows: row_tile.clone(),
                strip_start: strip.start,
                panel,
                rows_only: diagonal || side == Side::Rows,
                workspace,
                sums: &mut sums,
            });
            let pairs = row_tile.len() * columns.len();
            let once = if diagonal { columns.len() * (columns.len() + 1) / 2 } else { pairs };
            self.progress.step(once as u64)?;
        }
        Ok(sums)
    }

    /// Whether errors of mean distances would matter at a resolution. A distance that passes
    /// [`Real::PAIR_CANCELLATION`] has an error of a few units of the lengths of its rows; errors of either sign
    /// average out in a mean.
    pub(crate) fn is_too_coarse_for(&self, resolution: f64) -> bool {
        let largest = self.squares.iter().fold(0.0_f64, |largest, square| largest.max(square.to_f64()));
        T::PRECISION == Precision::F32 && T::EPSILON * largest.sqrt() > SEEN * resolution * self.scale
    }

    /// The classes of some rows.
    #[inline(always)]
    fn classes_of(&self, rows: &Range<usize>) -> Range<usize> {
        self.class_of[rows.start] as usize..self.class_of[rows.end - 1] as usize + 1
    }

    /// Which of some rows are of a class.
    #[inline(always)]
    fn part_of_class(&self, class: usize, rows: &Range<usize>) -> Range<usize> {
        self.starts[class].max(rows.start) - rows.start..self.starts[class + 1].min(rows.end) - rows.start
    }

    /// Lays out the columns of the next tiles.
    fn lay_out(&self, columns: &Range<usize>, packed: &mut Packed<T>) {
        let d = self.dataset.dimensions();
        let values = match self.distance {
            PairDistance::Euclidean => &self.centred,
            PairDistance::Manhattan => &self.rows,
        };
        packed.fill(&values[columns.start * d..columns.end * d], d);
    }

    /// The distance of one pair from differences, scaled.
    #[inline(always)]
    fn exact_distance(&self, row: usize, column: usize) -> f64 {
        let d = self.dataset.dimensions();
        let (x, y) = (&self.rows[row * d..(row + 1) * d], &self.rows[column * d..(column + 1) * d]);
        match self.distance {
            PairDistance::Euclidean => squared_distance(x, y).sqrt() * self.scale,
            PairDistance::Manhattan => manhattan_distance(x, y),
        }
    }
}

/// [`PairTiles::absorb`].
struct AbsorbTask<'t, 'a, T, F: RowFold> {
    kernel: &'t PairTiles<'a, T>,
    fold: &'t F,
    state: &'t mut F::State,
    position: usize,
    first_class: usize,
    sums: &'t [f64],
    means: &'t mut Vec<f64>,
}

impl<T: Real, F: RowFold> Vectorized for AbsorbTask<'_, '_, T, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let AbsorbTask { kernel, fold, state, position, first_class, sums, means } = self;
        // The scale is a power of two, so that this equals division.
        let unscale = 1.0 / kernel.scale;
        means.resize(sums.len(), 0.0);
        for ((mean, sum), weight) in means.iter_mut().zip(sums).zip(&kernel.class_weights[first_class..]) {
            *mean = sum / weight * unscale;
        }
        let own = kernel.class_of[position] as usize;
        if let Some(entry) = own.checked_sub(first_class).and_then(|own| means.get_mut(own)) {
            let others = kernel.dataset.weight_of_others(kernel.order[position]);
            *entry = if others > 0.0 { sums[own - first_class] / others * unscale } else { 0.0 };
        }
        fold.absorb(state, first_class, means);
    }
}

/// Computes the scaled distances of one tile with packed columns. Distances that cancel are 0 and listed.
struct FillTile<'t, 'a, T> {
    kernel: &'t PairTiles<'a, T>,
    rows: Range<usize>,
    columns: Range<usize>,
    workspace: &'t mut Workspace<T>,
}

impl<T: Real> Vectorized for FillTile<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let FillTile { kernel, rows, columns, workspace } = self;
        workspace.cancelled.clear();
        workspace.tile.resize(rows.len() * columns.len(), T::default());
        match kernel.distance {
            PairDistance::Euclidean => kernel.fill_euclidean(rows, columns, workspace),
            PairDistance::Manhattan => kernel.fill_manhattan(rows, columns, workspace),
        }
    }
}

impl<T: Real> PairTiles<'_, T> {
    /// [`FillTile`] by a matrix product.
    #[inline(always)]
    fn fill_euclidean(&self, rows: Range<usize>, columns: Range<usize>, workspace: &mut Workspace<T>) {
        let d = self.dataset.dimensions();
        let Workspace { tile, cancelled, packed, .. } = workspace;
        multiply_packed(&self.centred[rows.start * d..rows.end * d], packed, 0..columns.len(), tile);
        let cancellation = Cancellation::<T>::of_pairs();
        let column_squares = &self.squares[columns.clone()];
        for (row, distances) in rows.zip(tile.chunks_exact_mut(columns.len())) {
            let square = self.squares[row];
            let mut failures = 0u32;
            for (distance, column_square) in distances.iter_mut().zip(column_squares) {
                let (squared, passes) = cancellation.squared(square + *column_square, *distance);
                *distance = if passes { squared.root() } else { T::default() };
                failures += u32::from(!passes);
            }
            if failures > 0 {
                // Only cancelled distances are exactly 0: all that pass are positive.
                let zero = T::default();
                let failed = distances.iter().zip(columns.clone()).filter(|(distance, _)| **distance == zero);
                cancelled.extend(failed.map(|(_, column)| (row as u32, column as u32)));
            }
        }
    }

    /// [`FillTile`] by sums of absolute differences. Overflowing sums are recomputed in float64.
    #[inline(always)]
    fn fill_manhattan(&self, rows: Range<usize>, columns: Range<usize>, workspace: &mut Workspace<T>) {
        let d = self.dataset.dimensions();
        let Workspace { tile, cancelled, packed, .. } = workspace;
        for (row, distances) in rows.zip(tile.chunks_exact_mut(columns.len())) {
            let x = &self.rows[row * d..(row + 1) * d];
            for (group, (distances, panel)) in distances.chunks_mut(PANEL).zip(packed.panels()).enumerate() {
                let sums = manhattan(x, panel);
                for (lane, (distance, sum)) in distances.iter_mut().zip(sums).enumerate() {
                    let finite = sum.to_f64().is_finite();
                    *distance = if finite { sum } else { T::default() };
                    if !finite {
                        cancelled.push((row as u32, (columns.start + group * PANEL + lane) as u32));
                    }
                }
            }
        }
    }
}

/// Adds the distances of a tile to the sums of its rows, and off the diagonal to those of its columns.
struct AddTile<'t, 'a, T> {
    kernel: &'t PairTiles<'a, T>,
    rows: Range<usize>,
    strip_start: usize,
    /// The classes of the strip's panel.
    panel: &'t Range<usize>,
    /// Whether to skip the columns, because they are the rows, so that each pair is present twice, or are not needed.
    rows_only: bool,
    workspace: &'t mut Workspace<T>,
    sums: &'t mut TileSums,
}

impl<T: Real> Vectorized for AddTile<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let AddTile { kernel, rows, strip_start, panel, rows_only, workspace, sums } = self;
        let columns = sums.columns.clone();
        let (column_classes, panel_classes) = (sums.classes.len(), panel.len());
        let column_weights = &kernel.weights[columns.clone()];
        let Workspace { tile, cancelled, column_sums, .. } = workspace;
        let weighted = kernel.dataset.weights().is_some();
        for (row, distances) in rows.clone().zip(tile.chunks_exact(columns.len())) {
            let target = &mut sums.rows[(row - strip_start) * column_classes..][..column_classes];
            for class in sums.classes.clone() {
                let of_class = kernel.part_of_class(class, &columns);
                let (part, weights) = (&distances[of_class.clone()], &column_weights[of_class]);
                let sum = if weighted {
                    lane_sum_2(part, weights, |distance, weight| weight * distance.to_f64())
                } else {
                    lane_sum(part, |distance| distance.to_f64())
                };
                target[class - sums.classes.start] += sum;
            }
        }
        if !rows_only {
            let mut row = rows.start;
            while row < rows.end {
                let class = kernel.class_of[row] as usize;
                let end = kernel.starts[class + 1].min(rows.end);
                column_sums.clear();
                column_sums.resize(columns.len(), 0.0);
                for row in row..end {
                    let distances = &tile[(row - rows.start) * columns.len()..][..columns.len()];
                    let weight = kernel.weights[row];
                    for (sum, distance) in column_sums.iter_mut().zip(distances) {
                        *sum += weight * distance.to_f64();
                    }
                }
                let class = class - panel.start;
                for (column, sum) in column_sums.iter().enumerate() {
                    sums.inner[column * panel_classes + class] += sum;
                }
                row = end;
            }
        }
        for &(row, column) in cancelled.iter() {
            let (row, column) = (row as usize, column as usize);
            if row == column {
                continue;
            }
            let distance = kernel.exact_distance(row, column);
            let column_class = kernel.class_of[column] as usize - sums.classes.start;
            sums.rows[(row - strip_start) * column_classes + column_class] += kernel.weights[column] * distance;
            if !rows_only {
                let row_class = kernel.class_of[row] as usize - panel.start;
                sums.inner[(column - columns.start) * panel_classes + row_class] += kernel.weights[row] * distance;
            }
        }
    }
}

/// Mean distances between classes as the panels complete them.
struct ClassPairs {
    nearest: Vec<Option<Nearest>>,
    matrix: Option<Array2<f64>>,
}

impl ClassPairs {
    fn new(classes: usize, wanted: PassOptions) -> Self {
        ClassPairs { nearest: vec![None; classes], matrix: wanted.matrix.then(|| Array2::zeros((classes, classes))) }
    }

    /// `between` contains, for each class of the panel, the weighted sums to the classes from the panel's first on.
    fn add(&mut self, panel: &Range<usize>, between: &[f64], weights: &[f64], scale: f64) {
        let width = weights.len() - panel.start;
        for (class, sums) in panel.clone().zip(between.chunks_exact(width)) {
            for other in class + 1..weights.len() {
                let distance = sums[other - panel.start] / weights[class] / weights[other] / scale;
                Nearest::update(&mut self.nearest[class], other, distance);
                Nearest::update(&mut self.nearest[other], class, distance);
                if let Some(matrix) = &mut self.matrix {
                    matrix[[class, other]] = distance;
                    matrix[[other, class]] = distance;
                }
            }
        }
    }
}

/// Tiles of `TILE` rows that cover a range; the last may be shorter.
fn tiles(rows: Range<usize>) -> Vec<Range<usize>> {
    rows.clone().step_by(TILE).map(|start| start..(start + TILE).min(rows.end)).collect()
}

/// Dimensions summed before adding to the total, so that float32 sums lose little accuracy for any number of
/// dimensions.
const DEPTH: usize = 64;

/// The sums of |x_k - y_k| for a panel of columns y, in the precision of the rows.
#[inline(always)]
pub(crate) fn manhattan<T: Real>(x: &[T], columns: &[[T; PANEL]]) -> [T; PANEL] {
    let mut totals = [T::default(); PANEL];
    for (x, columns) in x.chunks(DEPTH).zip(columns.chunks(DEPTH)) {
        let mut sums = [T::default(); PANEL];
        for (x, column) in x.iter().zip(columns) {
            for lane in 0..PANEL {
                sums[lane] += (*x - column[lane]).magnitude();
            }
        }
        for lane in 0..PANEL {
            totals[lane] += sums[lane];
        }
    }
    totals
}

struct Workspace<T> {
    tile: Vec<T>,
    cancelled: Vec<(u32, u32)>,
    /// The columns of a tile.
    packed: Packed<T>,
    column_sums: Vec<f64>,
    means: Vec<f64>,
}

impl<T> Default for Workspace<T> {
    fn default() -> Self {
        Workspace {
            tile: Vec::new(),
            cancelled: Vec::new(),
            packed: Packed::default(),
            column_sums: Vec::new(),
            means: Vec::new(),
        }
    }
}
