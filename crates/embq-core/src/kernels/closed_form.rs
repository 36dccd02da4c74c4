//! Cosine and squared Euclidean distances: mean distances to classes from class means, without computing pairs.
//!
//! D_ic = |x_i - mu_c|^2 + V_c, and half of that on unit vectors for cosine. The squares come from one matrix product
//! of centred rows and means; those that cancel are recomputed from differences.
//!
//! All terms of a difference come from the same rounded vectors. With x' and m' the row and the mean as they are
//! multiplied, |x'|^2 + |m'|^2 - 2 x'.m' is |x' - m'|^2 up to the rounding of the product itself. The rounding of the
//! inputs therefore affects it only through |x' - m'|, by a relative error of at most 2 u (|x| + |m|) / |x - m|, where
//! u is half of [`Real::EPSILON`]: if a share q of the terms remains ([`Real::CANCELLATION`]), at most 2 u sqrt(2/q).
//! With squares of vectors that are rounded differently, an error of u |x|^2 would remain however close the two are.

mod gradient;
mod influence;

pub(crate) use influence::Pulls;

use std::collections::HashMap;
use std::ops::Range;

use crate::data::{Dataset, Window};
use crate::distance::Distance;
use crate::error::Result;
use crate::kernels::cancellation::Cancellation;
use crate::kernels::centre::Centre;
use crate::kernels::centroids::Centroids;
use crate::kernels::class_sums::ClassSums;
use crate::kernels::dense::{COSINE_ZERO, RowScale, cosine_or_zero, minimum, squared_distance, squared_norm};
use crate::kernels::gemm::{Packed, multiply_packed, multiply_transposed};
use crate::kernels::parallel;
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::kernels::workspaces::Workspaces;
use crate::kernels::{ClassDistances, ClassGeometry, PassOptions, Real, RowFold};
use crate::progress::Progress;

/// Rows and classes per product.
const BLOCK_ROWS: usize = 512;
const PANEL_CLASSES: usize = 512;

/// If more than one in this many distances of a panel of a float32 block must be recomputed, a float64 product is tried
/// first.
const WIDEN_SHARE: usize = 32;

/// The distances that have a closed form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClosedDistance {
    /// Half of the squared Euclidean distance of unit vectors.
    Cosine,
    SqEuclidean,
}

impl ClosedDistance {
    /// `None` for a distance without one.
    pub(crate) fn of(distance: Distance) -> Option<Self> {
        match distance {
            Distance::Cosine => Some(ClosedDistance::Cosine),
            Distance::SqEuclidean | Distance::Hamming => Some(ClosedDistance::SqEuclidean),
            Distance::Euclidean | Distance::Manhattan | Distance::Precomputed => None,
        }
    }

    fn is_of_unit_vectors(self) -> bool {
        match self {
            ClosedDistance::Cosine => true,
            ClosedDistance::SqEuclidean => false,
        }
    }
}

/// Class means, prepared for passes over the rows.
pub(crate) struct ClosedForm<'a, T> {
    dataset: &'a Dataset<'a>,
    distance: ClosedDistance,
    /// Whether rows are compared as unit vectors.
    unit: bool,
    progress: &'a dyn Progress,
    sums: ClassSums,
    centre: Centre,
    /// Centred and scaled class means.
    means: Vec<T>,
    packed_means: Packed<T>,
    /// |mean|^2 + V of each class, with the means as they are multiplied: in this type, and in float64.
    constants: Vec<f64>,
    wide_constants: Vec<f64>,
    largest_constant: f64,
    /// [`ClassSums::mean_lengths`], for unit vectors.
    lengths: Option<Vec<Option<f64>>>,
    /// The own distance of each row that has almost all the weight of its class: it is the mean over the few other
    /// rows, which have vanished in the sums of the class.
    dominant: HashMap<usize, f64>,
}

impl<'a, T: Real> ClosedForm<'a, T> {
    pub(crate) fn new(dataset: &'a Dataset<'a>, distance: ClosedDistance, progress: &'a dyn Progress) -> Result<Self> {
        let unit = distance.is_of_unit_vectors();
        let (sums, centre) = ClassSums::with_centre::<T>(dataset, unit, progress)?;
        let dominant = dominant_distances::<T>(dataset, unit)?;
        Ok(ClosedForm { dominant, ..ClosedForm::of_classes(dataset, distance, progress, sums, centre) })
    }

    /// The same with classes whose sums are known, and that have no weights.
    pub(crate) fn of_classes(
        dataset: &'a Dataset<'a>,
        distance: ClosedDistance,
        progress: &'a dyn Progress,
        sums: ClassSums,
        centre: Centre,
    ) -> Self {
        let unit = distance.is_of_unit_vectors();
        let d = sums.dimensions();
        let means: Vec<T> = sums.centred_means(&centre);
        let variances = || sums.variance.iter().map(|variance| variance * centre.scale * centre.scale);
        let squared = |value: f64| value * value;
        let constants: Vec<f64> = means
            .chunks_exact(d)
            .zip(variances())
            .map(|(mean, variance)| mean.iter().map(|value| squared(value.to_f64())).sum::<f64>() + variance)
            .collect();
        let wide_constants = (0..sums.classes())
            .zip(variances())
            .map(|(class, variance)| sums.centred_mean(class, &centre).map(squared).sum::<f64>() + variance)
            .collect();
        ClosedForm {
            dataset,
            distance,
            unit,
            progress,
            packed_means: Packed::of(&means, d),
            means,
            largest_constant: constants.iter().copied().fold(0.0, f64::max),
            constants,
            wide_constants,
            centre,
            lengths: unit.then(|| sums.mean_lengths()),
            sums,
            dominant: HashMap::new(),
        }
    }

    pub(crate) fn pass<F: RowFold>(&self, fold: &F, wanted: PassOptions) -> Result<ClassDistances<F::Output>> {
        let scored = self.dataset.scored();
        let rows = scored.len();
        let mut outputs = vec![F::Output::default(); rows];
        let radii = wanted.geometry || wanted.radii;
        let mut radius = vec![None; if radii { rows } else { 0 }];
        let workspaces = Workspaces::default();
        self.progress.begin("distances to classes", rows as u64);
        scored.rows().for_each_window::<T>(|window| {
            let range = window.range();
            // Every block gets its own part of the radii, which is empty where they are not wanted.
            let radius_blocks: Vec<&mut [Option<f64>]> = if radii {
                radius[range.clone()].chunks_mut(BLOCK_ROWS).collect()
            } else {
                (0..range.len().div_ceil(BLOCK_ROWS)).map(|_| &mut [][..]).collect()
            };
            let blocks = outputs[range.clone()].chunks_mut(BLOCK_ROWS).zip(radius_blocks).enumerate();
            parallel::try_map(blocks, |(index, (outputs, radius))| {
                let (start, rows) = (range.start + index * BLOCK_ROWS, outputs.len());
                workspaces.with(|workspace| {
                    vectorized(BlockTask { kernel: self, fold, window, start, outputs, radius, workspace })
                })?;
                self.progress.step(rows as u64)
            })?;
            Ok(())
        })?;
        self.progress.end();
        let geometry = if wanted.geometry || wanted.matrix {
            self.geometry(radius, wanted)
        } else {
            ClassGeometry { radius, ..ClassGeometry::default() }
        };
        Ok(ClassDistances { rows: outputs, geometry })
    }

    /// Makes a row comparable, centred and scaled; returns the square of the rounded result.
    #[inline(always)]
    fn centre_row<U: Real>(&self, row: &[T], scale: RowScale, centred: &mut [U]) -> f64 {
        self.centre.apply_to(row, scale, centred);
        squared_norm(centred)
    }

    /// The mean distances of a block of rows to the classes of a panel, one row after the other. `widened` requests a
    /// float64 product from the start.
    #[inline(always)]
    fn panel<'p>(
        &'p self,
        rows: &'p BlockRows<'p, T>,
        panel: Range<usize>,
        widened: bool,
        buffers: &'p mut PanelBuffers<T>,
    ) -> PanelRows<'p, 'a, T> {
        let count = rows.squares.len();
        let PanelBuffers { products, distances, again, .. } = buffers;
        distances.resize(panel.len(), 0.0);
        again.clear();
        if widened {
            again.extend(0..count);
        } else {
            products.resize(count * panel.len(), T::default());
            multiply_packed(rows.centred, &self.packed_means, panel.clone(), products);
        }
        PanelRows {
            kernel: self,
            rows,
            limits: self.limits(Cancellation::of::<T>(), T::CEILING),
            constants: &self.constants[panel.clone()],
            wide_constants: &self.wide_constants[panel.clone()],
            panel,
            buffers,
            next: if widened { count } else { 0 },
            cancelled: 0,
            widened,
        }
    }

    /// The products of some rows of a block with the means of a panel's classes, in float64.
    #[inline(always)]
    fn widen(&self, rows: &BlockRows<'_, T>, positions: &[usize], panel: &Range<usize>, wide: &mut Wide) {
        let d = self.sums.dimensions();
        wide.centred.resize(positions.len() * d, 0.0);
        wide.squares.clear();
        for (&position, centred) in positions.iter().zip(wide.centred.chunks_exact_mut(d)) {
            wide.squares.push(self.centre_row(rows.source(position, d), rows.scales[position], centred));
        }
        wide.means.clear();
        for class in panel.clone() {
            wide.means.extend(self.sums.centred_mean(class, &self.centre));
        }
        wide.products.resize(positions.len() * panel.len(), 0.0);
        multiply_transposed(&wide.centred, &wide.means, d, &mut wide.products);
    }

    /// The same block with distances to the own means computed from rows and means in float64.
    #[inline(always)]
    fn with_exact_own_squares<'p>(&self, rows: BlockRows<'p, T>, own_squares: &'p mut Vec<f64>) -> BlockRows<'p, T> {
        let d = self.sums.dimensions();
        let mut exact = vec![0.0; d];
        own_squares.clear();
        for ((row, scale), &(_, own)) in rows.source.chunks_exact(d).zip(rows.scales).zip(rows.members) {
            scale.apply_to(row, &mut exact);
            own_squares.push(self.sums.squared_distance(&exact, own));
        }
        BlockRows { own_squares, ..rows }
    }

    /// The limits on the terms of distances for products of a precision.
    fn limits(&self, Cancellation { share, least }: Cancellation<f64>, ceiling: f64) -> Limits {
        let scale = self.centre.scale * self.centre.scale;
        // Anything that passes is then above the cosine distances that count as 0.
        let zero = if self.unit { 4.0 * COSINE_ZERO * scale / share } else { 0.0 };
        Limits {
            cancellation: Cancellation { share, least: least.max(zero) },
            ceiling: if self.largest_constant < ceiling { ceiling } else { 0.0 },
            largest_constant: self.largest_constant,
            unscale: self.half() / scale,
        }
    }

    /// The mean distance of a row to the others of its class; 0 for the only row.
    #[inline(always)]
    fn own_distance(&self, row: usize, own: usize, squared: f64) -> f64 {
        let others = self.dataset.weight_of_others(row);
        if others == 0.0 {
            0.0
        } else if let Some(distance) = self.dominant.get(&row) {
            *distance
        } else {
            self.mean_distance(squared, own) * (self.sums.weight[own] / others)
        }
    }

    /// The factor of the squared distance of two vectors.
    fn half(&self) -> f64 {
        match self.distance {
            ClosedDistance::Cosine => 0.5,
            ClosedDistance::SqEuclidean => 1.0,
        }
    }

    /// D_ic from differences.
    #[inline(always)]
    fn exact_distance(&self, exact: &[f64], class: usize) -> f64 {
        self.mean_distance(self.sums.squared_distance(exact, class), class)
    }

    /// The mean distance to all rows of a class from the squared distance to its mean.
    #[inline(always)]
    fn mean_distance(&self, squared: f64, class: usize) -> f64 {
        let squared = squared + self.sums.variance[class];
        if self.unit { cosine_or_zero(0.5 * squared) } else { squared }
    }

    fn geometry(&self, radius: Vec<Option<f64>>, wanted: PassOptions) -> ClassGeometry {
        let centroids = Centroids::new(&self.sums, &self.means, self.centre.scale);
        ClassGeometry { radius, ..centroids.closed_form(self.lengths.as_deref(), wanted.matrix) }
    }
}

/// The rows of one product and the destination of their results. The radii are empty if they are not requested.
struct BlockTask<'t, 'a, T, F: RowFold> {
    kernel: &'t ClosedForm<'a, T>,
    fold: &'t F,
    window: &'t Window<'a, T>,
    start: usize,
    outputs: &'t mut [F::Output],
    radius: &'t mut [Option<f64>],
    workspace: &'t mut Workspace<T>,
}

impl<T: Real, F: RowFold> Vectorized for BlockTask<'_, '_, T, F> {
    type Output = Result<()>;

    #[inline(always)]
    fn run(self) -> Result<()> {
        let BlockTask { kernel, fold, window, start, outputs, radius, workspace } = self;
        let scored = kernel.dataset.scored();
        let positions = (start..start + outputs.len()).map(|index| scored.position(index));
        let Workspace { source, block, buffers } = workspace;
        let block = block.fill(kernel, window.rows(start..start + outputs.len(), source)?, positions);
        let mut states: Vec<F::State> =
            block.members.iter().zip(start..).map(|(&(_, own), index)| fold.start(index, own)).collect();
        for panel in panels(kernel.sums.classes()) {
            let mut rows = kernel.panel(&block, panel.clone(), false, buffers);
            while let Some(position) = rows.next() {
                fold.absorb(&mut states[position], panel.start, rows.distances());
            }
        }
        for (output, state) in outputs.iter_mut().zip(states) {
            *output = fold.finish(state);
        }
        let (d, lengths) = (kernel.sums.dimensions(), kernel.lengths.as_deref());
        for (position, (radius, &(_, own))) in radius.iter_mut().zip(block.members).enumerate() {
            let (exact, block) = (&mut buffers.exact, &block);
            let squared = block.own_squares[position];
            *radius = kernel.sums.distance_to_mean(squared, own, lengths, T::CANCELLATION, move || {
                exact.resize(d, 0.0);
                block.scales[position].apply_to(block.source(position, d), exact);
                exact
            });
        }
        Ok(())
    }
}

fn panels(classes: usize) -> impl Iterator<Item = Range<usize>> {
    (0..classes).step_by(PANEL_CLASSES).map(move |first| first..(first + PANEL_CLASSES).min(classes))
}

/// The mean distances of dominant rows to the others of their class, pair by pair, in two passes: one for the dominant
/// rows, one for the others.
fn dominant_distances<T: Real>(dataset: &Dataset, unit: bool) -> Result<HashMap<usize, f64>> {
    let codes = dataset.labels().codes();
    let dominant: HashMap<u32, usize> = dataset.dominant_rows().map(|row| (codes[row], row)).collect();
    if dominant.is_empty() {
        return Ok(HashMap::new());
    }
    let mut vectors: HashMap<u32, Vec<f64>> = HashMap::new();
    for_each_exact_row::<T>(
        dataset,
        unit,
        |row| dominant.get(&codes[row]) == Some(&row),
        |row, exact| {
            vectors.insert(codes[row], exact.to_vec());
        },
    )?;
    let mut sums: HashMap<u32, f64> = HashMap::new();
    let is_other = |row: usize| dominant.get(&codes[row]).is_some_and(|&dominant| dominant != row);
    for_each_exact_row::<T>(dataset, unit, is_other, |row, exact| {
        if let Some(vector) = vectors.get(&codes[row]) {
            *sums.entry(codes[row]).or_default() += dataset.weight(row) * squared_distance(vector, exact);
        }
    })?;
    let distances = dominant.iter().map(|(class, &row)| {
        let mean = sums.get(class).copied().unwrap_or(0.0) / dataset.weight_of_others(row);
        (row, if unit { cosine_or_zero(0.5 * mean) } else { mean })
    });
    Ok(distances.collect())
}

/// Visits the given rows, or their unit vectors, in order.
fn for_each_exact_row<T: Real>(
    dataset: &Dataset,
    unit: bool,
    wanted: impl Fn(usize) -> bool,
    mut with: impl FnMut(usize, &[f64]),
) -> Result<()> {
    let mut buffer = Vec::new();
    let mut exact = vec![0.0; dataset.dimensions()];
    dataset.selected().for_each_window::<T>(|window| {
        for row in window.range().filter(|&row| wanted(row)) {
            let values = window.rows(row..row + 1, &mut buffer)?;
            RowScale::of(values, unit).apply_to(values, &mut exact);
            with(row, &exact);
        }
        Ok(())
    })
}

/// Iterates over the rows of a block, in order, except that rows with cancellation come last.
struct PanelRows<'p, 'a, T> {
    kernel: &'p ClosedForm<'a, T>,
    rows: &'p BlockRows<'p, T>,
    panel: Range<usize>,
    constants: &'p [f64],
    wide_constants: &'p [f64],
    limits: Limits,
    buffers: &'p mut PanelBuffers<T>,
    /// The next row; from the number of rows on, the next of the recomputed rows.
    next: usize,
    /// The number of distances that have cancelled so far.
    cancelled: usize,
    /// Whether rows are recomputed by a float64 product.
    widened: bool,
}

impl<T: Real> PanelRows<'_, '_, T> {
    /// The position of the next row, after computing its distances.
    #[inline(always)]
    fn next(&mut self) -> Option<usize> {
        let (count, width) = (self.rows.squares.len(), self.panel.len());
        while self.next < count {
            let position = self.next;
            self.next += 1;
            let PanelBuffers { products, distances, again, .. } = &mut *self.buffers;
            let products = &products[position * width..(position + 1) * width];
            let cancelled = self.limits.combine(self.rows.squares[position], self.constants, products, distances);
            if cancelled == 0 {
                self.put_own(position);
                return Some(position);
            }
            again.push(position);
            self.cancelled += cancelled;
        }
        let place = self.next - count;
        if place == 0 {
            self.choose_width();
        }
        let position = *self.buffers.again.get(place)?;
        self.next += 1;
        self.repeat(place, position);
        self.put_own(position);
        Some(position)
    }

    /// The distances of the current row.
    #[inline(always)]
    fn distances(&self) -> &[f64] {
        &self.buffers.distances
    }

    /// Decides by the amount of cancellation whether the affected rows go through a float64 product.
    fn choose_width(&mut self) {
        let all = self.rows.squares.len() * self.panel.len();
        self.widened |= self.cancelled * WIDEN_SHARE > all && T::CANCELLATION > WIDE_CANCELLATION.share;
        if self.widened {
            let PanelBuffers { again, wide, .. } = &mut *self.buffers;
            self.kernel.widen(self.rows, again, &self.panel, wide);
            self.limits = self.kernel.limits(WIDE_CANCELLATION, f64::CEILING);
        }
    }

    /// Recomputes the distances of a row with cancellation.
    #[inline(always)]
    fn repeat(&mut self, place: usize, position: usize) {
        let (d, width) = (self.kernel.sums.dimensions(), self.panel.len());
        let PanelBuffers { products, distances, wide, exact, .. } = &mut *self.buffers;
        if self.widened {
            let products = &wide.products[place * width..(place + 1) * width];
            self.limits.combine(wide.squares[place], self.wide_constants, products, distances);
        } else {
            let products = &products[position * width..(position + 1) * width];
            self.limits.combine(self.rows.squares[position], self.constants, products, distances);
        }
        let own = self.rows.members[position].1;
        exact.resize(d, 0.0);
        self.rows.scales[position].apply_to(self.rows.source(position, d), exact);
        for (class, distance) in self.panel.clone().zip(distances.iter_mut()) {
            if distance.is_nan() && class != own {
                *distance = self.kernel.exact_distance(exact, class);
            }
        }
    }

    /// Stores the distance to the others of the row's class, if that class is in the panel.
    #[inline(always)]
    fn put_own(&mut self, position: usize) {
        let (row, own) = self.rows.members[position];
        if let Some(distance) = own.checked_sub(self.panel.start).and_then(|own| self.buffers.distances.get_mut(own)) {
            *distance = self.kernel.own_distance(row, own, self.rows.own_squares[position]);
        }
    }
}

/// Decides when a difference of terms is a distance, and when too much has cancelled.
struct Limits {
    cancellation: Cancellation<f64>,
    /// Terms below this keep products finite.
    ceiling: f64,
    largest_constant: f64,
    /// From squares to distances.
    unscale: f64,
}

impl Limits {
    /// Distances from the products of a centred row and means, as square + constant - 2 product. Cancelled ones become
    /// NaN; returns their number.
    #[inline(always)]
    fn combine<U: Real>(&self, square: f64, constants: &[f64], products: &[U], distances: &mut [f64]) -> usize {
        let Limits { cancellation, ceiling, largest_constant, unscale } = *self;
        // Most rows are neither tiny nor huge, and nothing cancels in them: one limit for all of their terms is enough.
        if square >= cancellation.least && square < ceiling {
            for ((constant, product), distance) in constants.iter().zip(products).zip(&mut *distances) {
                let product = product.to_f64();
                *distance = ((square + constant) - (product + product)) * unscale;
            }
            if minimum(distances) >= cancellation.share * (square + largest_constant) * unscale {
                return 0;
            }
        }
        let mut cancelled = 0;
        for ((constant, product), distance) in constants.iter().zip(products).zip(distances) {
            let (difference, passes) = cancellation.squared(square + constant, product.to_f64());
            *distance = if passes { difference * unscale } else { f64::NAN };
            cancelled += usize::from(!passes);
        }
        cancelled
    }
}

/// The limits of the float64 product that recomputes a float32 one. Its rows and means are float64, so that a distance
/// that passes has a relative error of 4e-13 from their rounding, and a few float64 units over this share, about 1e-9,
/// from the product.
const WIDE_CANCELLATION: Cancellation<f64> = Cancellation { share: 1e-6, least: f64::UNDERFLOW };

#[derive(Default)]
struct Workspace<T> {
    source: Vec<T>,
    block: BlockBuffers<T>,
    buffers: PanelBuffers<T>,
}

/// The buffers of a block of rows.
#[derive(Default)]
struct BlockBuffers<T> {
    members: Vec<(usize, usize)>,
    scales: Vec<RowScale>,
    centred: Vec<T>,
    squares: Vec<f64>,
    own_squares: Vec<f64>,
    exact: Vec<f64>,
}

/// A block of rows, as compared and as multiplied.
struct BlockRows<'a, T> {
    /// The index of each row among all rows, and its class.
    members: &'a [(usize, usize)],
    /// The rows as stored, and their scales.
    source: &'a [T],
    scales: &'a [RowScale],
    centred: &'a [T],
    /// The squared lengths of the centred rows.
    squares: &'a [f64],
    /// The squared distances to the means of the rows' own classes.
    own_squares: &'a [f64],
}

impl<'a, T> BlockRows<'a, T> {
    /// A range of the rows.
    fn part(&self, rows: Range<usize>, d: usize) -> BlockRows<'a, T> {
        let elements = rows.start * d..rows.end * d;
        BlockRows {
            members: &self.members[rows.clone()],
            source: &self.source[elements.clone()],
            scales: &self.scales[rows.clone()],
            centred: &self.centred[elements],
            squares: &self.squares[rows.clone()],
            own_squares: &self.own_squares[rows],
        }
    }

    /// A row as stored.
    fn source(&self, position: usize, d: usize) -> &[T] {
        &self.source[position * d..(position + 1) * d]
    }
}

impl<T: Real> BlockBuffers<T> {
    /// Takes rows as stored, with their indices.
    #[inline(always)]
    fn fill<'b>(
        &'b mut self,
        kernel: &ClosedForm<'_, T>,
        source: &'b [T],
        numbers: impl Iterator<Item = usize>,
    ) -> BlockRows<'b, T> {
        let d = kernel.sums.dimensions();
        let codes = kernel.dataset.labels().codes();
        let BlockBuffers { members, scales, centred, squares, own_squares, exact } = self;
        members.clear();
        members.extend(numbers.map(|row| (row, codes[row] as usize)));
        scales.clear();
        centred.resize(source.len(), T::default());
        squares.clear();
        own_squares.clear();
        exact.resize(d, 0.0);
        let unscale = 1.0 / (kernel.centre.scale * kernel.centre.scale);
        let cancellation = Cancellation::of::<T>();
        for ((row, centred), &(_, own)) in source.chunks_exact(d).zip(centred.chunks_exact_mut(d)).zip(&*members) {
            let scale = RowScale::of(row, kernel.unit);
            let square = kernel.centre_row(row, scale, centred);
            // From differences, each rounded like its terms; in float64 if little of them remains.
            let own_square = squared_distance(centred, &kernel.means[own * d..(own + 1) * d]);
            let terms = square + kernel.constants[own];
            let passes = cancellation.leaves(terms, own_square) && terms < T::CEILING;
            own_squares.push(if passes {
                own_square * unscale
            } else {
                scale.apply_to(row, exact);
                kernel.sums.squared_distance(exact, own)
            });
            scales.push(scale);
            squares.push(square);
        }
        BlockRows { members, source, scales, centred, squares, own_squares }
    }
}

#[derive(Default)]
struct PanelBuffers<T> {
    products: Vec<T>,
    /// Of one row.
    distances: Vec<f64>,
    exact: Vec<f64>,
    /// The positions of rows with cancellation.
    again: Vec<usize>,
    wide: Wide,
}

#[derive(Default)]
struct Wide {
    centred: Vec<f64>,
    /// The squared lengths of these rows.
    squares: Vec<f64>,
    means: Vec<f64>,
    products: Vec<f64>,
}
