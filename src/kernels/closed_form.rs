//! Cosine and squared Euclidean distances: mean distances to classes from class means, without looking at pairs.
//!
//! D_ic = |x_i - mu_c|^2 + V_c, for cosine half of it on unit vectors. The squares come from one matrix product of
//! centred rows and means; what cancelled in it is computed again by differences.

mod gradient;

use std::collections::HashMap;

use rayon::prelude::*;

use crate::data::{Dataset, Window};
use crate::distance::Distance;
use crate::error::Result;
use crate::kernels::centre::Centre;
use crate::kernels::centroids::{Centroids, cosine_or_zero, mean_length};
use crate::kernels::class_sums::ClassSums;
use crate::kernels::dense::{RowScale, squared_distance};
use crate::kernels::gemm::multiply_transposed;
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::kernels::{ClassDistances, ClassGeometry, Real, RowFold, Wanted};
use crate::progress::Progress;

/// Rows and classes of one product.
const BLOCK_ROWS: usize = 256;
const PANEL_CLASSES: usize = 1024;

/// A panel of a float32 block with a larger share of distances to repeat is repeated by a float64 product first.
const WIDEN_SHARE: usize = 32;

/// Class means, ready for passes over the rows.
pub(crate) struct ClosedForm<'a, T> {
    dataset: &'a Dataset,
    unit: bool,
    progress: &'a dyn Progress,
    sums: ClassSums,
    centre: Centre,
    /// Centred and scaled class means, and |mean|^2 + V of each.
    means: Vec<T>,
    constants: Vec<f64>,
    /// Lengths of the means of unit vectors; `None` where a mean has no direction. Empty without unit vectors.
    lengths: Vec<Option<f64>>,
    /// The own distance of each row that holds almost all the weight of its class: it is the mean over the few others,
    /// of which nothing is left in the class's sums.
    dominant: HashMap<usize, f64>,
}

impl<'a, T: Real> ClosedForm<'a, T> {
    pub(crate) fn new(dataset: &'a Dataset, distance: Distance, progress: &'a dyn Progress) -> Result<Self> {
        let unit = distance == Distance::Cosine;
        let (sums, centre) = ClassSums::with_centre::<T>(dataset, unit, progress)?;
        let (classes, d) = (sums.classes(), sums.dimensions());
        let mut means = Vec::with_capacity(classes * d);
        let mut constants = Vec::with_capacity(classes);
        for class in 0..classes {
            let mut square = 0.0;
            means.extend(sums.mean_less(class, &centre.vector).map(|value| {
                let scaled = value * centre.scale;
                square += scaled * scaled;
                T::from_f64(scaled)
            }));
            constants.push(square + sums.variance[class] * centre.scale * centre.scale);
        }
        let lengths = if unit { (0..classes).map(|class| mean_length(&sums, class)).collect() } else { Vec::new() };
        Ok(ClosedForm {
            dataset,
            unit,
            progress,
            sums,
            centre,
            means,
            constants,
            lengths,
            dominant: dominant_distances::<T>(dataset, unit)?,
        })
    }

    pub(crate) fn pass<F: RowFold>(&self, fold: &F, wanted: Wanted) -> Result<ClassDistances<F::Output>> {
        let scored = self.dataset.scored();
        let rows = scored.len();
        let mut outputs = vec![F::Output::default(); rows];
        let mut radius = vec![None; if wanted.geometry { rows } else { 0 }];
        self.progress.begin("distances to classes", rows as u64);
        scored.rows().for_each_window::<T>(|window| {
            let range = window.range();
            // Every block gets its own part of the radii, which is empty where they are not wanted.
            let radius_blocks: Vec<&mut [Option<f64>]> = if wanted.geometry {
                radius[range.clone()].chunks_mut(BLOCK_ROWS).collect()
            } else {
                (0..range.len().div_ceil(BLOCK_ROWS)).map(|_| &mut [][..]).collect()
            };
            let blocks = outputs[range.clone()].par_chunks_mut(BLOCK_ROWS).zip(radius_blocks).enumerate();
            blocks.try_for_each_init(Workspace::default, |workspace, (index, (outputs, radius))| {
                let start = range.start + index * BLOCK_ROWS;
                vectorized(BlockTask { kernel: self, fold, window, start, outputs, radius, workspace })?;
                self.progress.advance(outputs.len() as u64);
                Ok(())
            })
        })?;
        self.progress.end();
        let geometry =
            if wanted.geometry || wanted.matrix { self.geometry(radius, wanted) } else { ClassGeometry::default() };
        Ok(ClassDistances { rows: outputs, geometry })
    }

    /// Centres and scales a row, and returns the square of the result.
    #[inline(always)]
    fn centre_row<U: Real>(&self, exact: &[f64], centred: &mut [U]) -> f64 {
        let centre = &self.centre.vector[..exact.len()];
        let mut square = [0.0; 8];
        let value = |k: usize| (exact[k] - centre[k]) * self.centre.scale;
        let whole = exact.len() / 8 * 8;
        for start in (0..whole).step_by(8) {
            for lane in 0..8 {
                let value = value(start + lane);
                centred[start + lane] = U::from_f64(value);
                square[lane] += value * value;
            }
        }
        for (k, target) in centred.iter_mut().enumerate().skip(whole) {
            *target = U::from_f64(value(k));
            square[0] += value(k) * value(k);
        }
        square.iter().sum()
    }

    /// The distances of a block to the classes of a panel by a float64 product; returns how many cancelled all the same.
    #[inline(always)]
    fn widen(
        &self,
        exact: &[f64],
        first: usize,
        last: usize,
        wide: &mut Wide,
        squares: &[f64],
        distances: &mut [f64],
    ) -> usize {
        let (d, panel) = (self.sums.dimensions(), last - first);
        wide.centred.resize(exact.len(), 0.0);
        for (exact, centred) in exact.chunks_exact(d).zip(wide.centred.chunks_exact_mut(d)) {
            self.centre_row(exact, centred);
        }
        wide.means.clear();
        for class in first..last {
            let mean = self.sums.mean_less(class, &self.centre.vector);
            wide.means.extend(mean.map(|value| value * self.centre.scale));
        }
        wide.products.resize(distances.len(), 0.0);
        multiply_transposed(&wide.centred, &wide.means, d, &mut wide.products);
        let constants = &self.constants[first..last];
        let mut cancelled = 0;
        for ((products, distances), square) in
            wide.products.chunks_exact(panel).zip(distances.chunks_exact_mut(panel)).zip(squares)
        {
            cancelled += combine(*square, constants, products, distances, WIDE_CANCELLATION, f64::UNDERFLOW);
        }
        cancelled
    }

    /// The mean distances of a block of rows to the classes from `first` on, a row after the other. `widened` takes the
    /// float64 product from the start.
    #[inline(always)]
    fn panel(&self, rows: &BlockRows<'_, T>, first: usize, last: usize, widened: bool, buffers: &mut PanelBuffers<T>) {
        let (d, panel) = (self.sums.dimensions(), last - first);
        let PanelBuffers { products, distances, wide } = buffers;
        distances.resize(rows.squares.len() * panel, 0.0);
        let mut cancelled = 0;
        if !widened {
            products.resize(distances.len(), T::default());
            multiply_transposed(rows.centred, &self.means[first * d..last * d], d, products);
            let constants = &self.constants[first..last];
            for ((products, distances), square) in
                products.chunks_exact(panel).zip(distances.chunks_exact_mut(panel)).zip(rows.squares)
            {
                cancelled += combine(*square, constants, products, distances, T::CANCELLATION, T::UNDERFLOW);
            }
        }
        if widened || (cancelled * WIDEN_SHARE > distances.len() && T::CANCELLATION > WIDE_CANCELLATION) {
            cancelled = self.widen(rows.exact, first, last, wide, rows.squares, distances);
        }
        let codes = self.dataset.labels().codes();
        for (position, distances) in distances.chunks_exact_mut(panel).enumerate() {
            let row = rows.member(position);
            let exact = &rows.exact[position * d..(position + 1) * d];
            self.finish_row(row, codes[row] as usize, exact, first, distances, cancelled > 0);
        }
    }

    /// Undoes the scale, replaces what cancelled, and puts the own class's distance in its place.
    #[inline(always)]
    fn finish_row(
        &self,
        row: usize,
        own: usize,
        exact: &[f64],
        first: usize,
        distances: &mut [f64],
        has_cancelled: bool,
    ) {
        let unscale = 1.0 / (self.centre.scale * self.centre.scale);
        if self.unit {
            let factor = unscale * 0.5;
            distances.iter_mut().for_each(|distance| *distance = cosine_or_zero(*distance * factor));
        } else {
            distances.iter_mut().for_each(|distance| *distance *= unscale);
        }
        if has_cancelled {
            for (position, distance) in distances.iter_mut().enumerate() {
                if distance.is_nan() && first + position != own {
                    *distance = self.exact_distance(exact, first + position);
                }
            }
        }
        if let Some(distance) = own.checked_sub(first).and_then(|own| distances.get_mut(own)) {
            *distance = self.own_distance(row, own, exact);
        }
    }

    /// The mean distance of a row to the others of its class; 0 for the only row.
    #[inline(always)]
    fn own_distance(&self, row: usize, own: usize, exact: &[f64]) -> f64 {
        let others = self.dataset.weight_of_others(row);
        if others == 0.0 {
            0.0
        } else if let Some(distance) = self.dominant.get(&row) {
            *distance
        } else {
            self.exact_distance(exact, own) * (self.sums.weight[own] / others)
        }
    }

    /// D_ic by differences; for the own class over all rows, the row itself included.
    #[inline(always)]
    fn exact_distance(&self, exact: &[f64], class: usize) -> f64 {
        let squared = self.sums.squared_distance(exact, class) + self.sums.variance[class];
        if self.unit { cosine_or_zero(0.5 * squared) } else { squared }
    }

    /// The distance of a row to the mean of its class.
    #[inline(always)]
    fn radius(&self, exact: &[f64], class: usize) -> Option<f64> {
        let squared = self.sums.squared_distance(exact, class);
        if !self.unit {
            return Some(squared);
        }
        let length = self.lengths[class]?;
        // 1 - z.mu / |mu| = (|z - mu|^2 - (1 - |mu|)^2) / (2 |mu|), and 1 - |mu| = V / (1 + |mu|).
        let shortfall = self.sums.variance[class] / (1.0 + length);
        let radius = (squared - shortfall * shortfall) / (2.0 * length);
        Some(cosine_or_zero(radius))
    }

    fn geometry(&self, radius: Vec<Option<f64>>, wanted: Wanted) -> ClassGeometry {
        let centroids = Centroids::new(&self.sums, &self.means, self.centre.scale);
        let lengths = self.unit.then_some(&self.lengths[..]);
        ClassGeometry { radius, ..centroids.closed_form(lengths, wanted.matrix) }
    }
}

/// Rows of one product, with where their results go. The radii are empty where they are not wanted.
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
        let (rows, d, classes) = (outputs.len(), kernel.sums.dimensions(), kernel.sums.classes());
        let codes = kernel.dataset.labels().codes();
        let Workspace { members, source, exact, centred, squares, buffers } = workspace;
        members.clear();
        members.extend((start..start + rows).map(|index| {
            let row = kernel.dataset.scored().position(index);
            (row, codes[row] as usize)
        }));
        let block = window.rows(start..start + rows, source)?;
        exact.resize(rows * d, 0.0);
        centred.resize(rows * d, T::default());
        squares.resize(rows, 0.0);
        for (position, row) in block.chunks_exact(d).enumerate() {
            let scale = RowScale::of(row, kernel.unit);
            let exact = &mut exact[position * d..(position + 1) * d];
            scale.apply_to(row, exact);
            let centred = &mut centred[position * d..(position + 1) * d];
            squares[position] = kernel.centre_row(exact, centred);
        }
        let mut states: Vec<F::State> =
            members.iter().zip(start..).map(|(&(_, own), index)| fold.start(index, own)).collect();
        let block_rows = BlockRows { members: Some(members), start, exact, centred, squares };
        for first in (0..classes).step_by(PANEL_CLASSES) {
            let last = (first + PANEL_CLASSES).min(classes);
            kernel.panel(&block_rows, first, last, false, buffers);
            for (state, distances) in states.iter_mut().zip(buffers.distances.chunks_exact(last - first)) {
                fold.absorb(state, first, distances);
            }
        }
        for (position, state) in states.into_iter().enumerate() {
            outputs[position] = fold.finish(state);
        }
        for (position, radius) in radius.iter_mut().enumerate() {
            let exact = &exact[position * d..(position + 1) * d];
            *radius = kernel.radius(exact, members[position].1);
        }
        Ok(())
    }
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

/// Hands over the wanted rows, or their unit vectors, in order.
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

/// Squared distances from the products of centred rows and means: square + constant - 2 product. What cancelled becomes
/// NaN, and the number of these is returned.
#[inline(always)]
fn combine<U: Real>(
    square: f64,
    constants: &[f64],
    products: &[U],
    distances: &mut [f64],
    cancellation: f64,
    underflow: f64,
) -> usize {
    let mut cancelled = 0;
    for ((constant, product), distance) in constants.iter().zip(products).zip(distances) {
        let terms = square + constant;
        let difference = terms - 2.0 * product.to_f64();
        // Written so that NaN and infinity do not pass.
        let passes = difference >= cancellation * terms && terms >= underflow && difference < f64::INFINITY;
        *distance = if passes { difference } else { f64::NAN };
        cancelled += usize::from(!passes);
    }
    cancelled
}

/// [`Real::CANCELLATION`] of the float64 product that repeats a float32 one: errs by about 1e-9.
const WIDE_CANCELLATION: f64 = 1e-6;

#[derive(Default)]
struct Workspace<T> {
    /// The number of each row of the block among all rows, and its class.
    members: Vec<(usize, usize)>,
    source: Vec<T>,
    exact: Vec<f64>,
    centred: Vec<T>,
    squares: Vec<f64>,
    buffers: PanelBuffers<T>,
}

/// A block of rows, as they are compared and as they are multiplied.
struct BlockRows<'a, T> {
    /// Row and class of each, where the rows do not follow each other.
    members: Option<&'a [(usize, usize)]>,
    /// The first row.
    start: usize,
    exact: &'a [f64],
    centred: &'a [T],
    squares: &'a [f64],
}

impl<T> BlockRows<'_, T> {
    /// The number of a row of the block among all rows.
    #[inline(always)]
    fn member(&self, position: usize) -> usize {
        self.members.map_or(self.start + position, |members| members[position].0)
    }
}

#[derive(Default)]
struct PanelBuffers<T> {
    products: Vec<T>,
    distances: Vec<f64>,
    wide: Wide,
}

#[derive(Default)]
struct Wide {
    centred: Vec<f64>,
    means: Vec<f64>,
    products: Vec<f64>,
}
