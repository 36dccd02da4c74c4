//! Influence by class means, without looking at pairs: the sum over anchors of H_ic |x_i - x_j|^2 is, up to a constant for
//! the class c of row j, h_c |x_j - mu_c|^2 - 2 (x_j - mu_c) . U_c, with h_c = sum_i H_ic and U_c = sum_i H_ic (x_i - mu_c).

use std::ops::Range;

use rayon::prelude::*;

use crate::data::Precision;
use crate::error::Result;
use crate::kernels::closed_form::{BLOCK_ROWS, BlockBuffers, ClosedForm, PanelBuffers, panels};
use crate::kernels::dense::RowScale;
use crate::kernels::gemm::{multiply_transposed, transposed_multiply};
use crate::kernels::in_order::blocks_at_once;
use crate::kernels::influence::{
    Anchors, ClassInfluence, Influence, Sums, class_influence, influence, shares_by_class,
};
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::kernels::{DistanceLoss, Real, sort_by_class};

/// Numbers that the groups of one panel may take.
const HELD: usize = 1 << 24;

/// What the anchors of a group do to the rows of a class, of centred and scaled rows.
#[derive(Clone, Default)]
struct Pull {
    /// h_c.
    slope: f64,
    /// sum_i H_ic x_i; empty where no anchor depends on the class.
    vector: Vec<f64>,
}

/// The same of a block of anchors, of the classes that it depends on.
struct BlockPull<T> {
    /// In order.
    classes: Vec<usize>,
    slopes: Vec<f64>,
    /// Classes x dimensions.
    vectors: Vec<T>,
    scores: Vec<f64>,
    own: Vec<f64>,
    /// Whether the rounding of `vectors` can be seen in the influence of rows.
    is_coarse: bool,
}

/// An error of influence values that is seen, as a share of the distances, times their slopes, that they are sums of.
const SEEN: f64 = 2e-6;

/// Rows of one class, by their places in the order of classes.
struct Block {
    class: usize,
    places: Range<usize>,
}

impl<T: Real> ClosedForm<'_, T> {
    /// The influence of all rows on means of scores. Rows are read by class, not in order.
    ///
    /// # Errors
    /// What reading rows reports.
    pub(crate) fn influence<L: DistanceLoss>(&self, scores: &[L]) -> Result<Vec<Influence>> {
        let mut sums = self.accurate_sums(scores);
        influence(self.dataset, |groups| sums(groups))
    }

    /// The influence of all rows on the means of scores over single classes.
    ///
    /// # Errors
    /// What reading rows reports.
    pub(crate) fn class_influence<L: DistanceLoss>(
        &self,
        scores: &[L],
        classes: &[usize],
        with: ClassInfluence<'_>,
    ) -> Result<()> {
        let at_once = HELD / (self.sums.dimensions() * self.sums.classes());
        class_influence(self.dataset, classes, at_once, self.accurate_sums(scores), with)
    }

    /// The sums of groups of anchors: by products of this type while these are accurate enough, and then by float64.
    fn accurate_sums<L: DistanceLoss>(&self, scores: &[L]) -> impl FnMut(&[Anchors]) -> Result<Vec<Sums>> {
        let labels = self.dataset.labels();
        let sorted = sort_by_class(labels.codes(), labels.counts());
        let mut wide: Option<ClosedForm<'_, f64>> = None;
        move |groups| {
            if wide.is_none()
                && let Some(sums) = self.group_sums(scores, groups, &sorted)?
            {
                return Ok(sums);
            }
            let wide = match &mut wide {
                Some(wide) => wide,
                None => wide.insert(ClosedForm::new(self.dataset, self.distance, self.progress)?),
            };
            Ok(wide.group_sums(scores, groups, &sorted)?.unwrap_or_default())
        }
    }

    /// `None` where float32 products leave too little of the sums.
    fn group_sums<L: DistanceLoss>(
        &self,
        scores: &[L],
        groups: &[Anchors],
        (order, starts): &(Vec<usize>, Vec<usize>),
    ) -> Result<Option<Vec<Sums>>> {
        let (n, d, classes) = (self.dataset.len(), self.sums.dimensions(), self.sums.classes());
        let shares = shares_by_class(groups, self.dataset.class_weights());
        let blocks_of = |class: usize| {
            let end = starts[class + 1];
            let starts = (starts[class]..end).step_by(BLOCK_ROWS);
            starts.map(move |start| Block { class, places: start..(start + BLOCK_ROWS).min(end) })
        };
        let anchors: Vec<Block> = (0..classes).filter(|&class| !shares[class].is_empty()).flat_map(blocks_of).collect();
        let mut sums: Vec<Sums> = scores.iter().map(|_| Sums::new(n, groups.len())).collect();
        let mut pulls = vec![vec![vec![Pull::default(); groups.len()]; classes]; scores.len()];
        self.progress.begin("influence on others", n as u64);
        for blocks in anchors.chunks(blocks_at_once(scores.len() * classes * d)) {
            let parts: Vec<Vec<BlockPull<T>>> = blocks
                .par_iter()
                .map_init(Workspace::default, |workspace, block| {
                    let rows = &order[block.places.clone()];
                    vectorized(AnchorTask { kernel: self, scores, class: block.class, rows, workspace })
                })
                .collect::<Result<_>>()?;
            if T::PRECISION == Precision::F32 && parts.iter().flatten().any(|part| part.is_coarse) {
                self.progress.end();
                return Ok(None);
            }
            for (score, (pulls, sums)) in pulls.iter_mut().zip(&mut sums).enumerate() {
                pulls.par_iter_mut().enumerate().for_each(|(class, pulls)| {
                    for (block, parts) in blocks.iter().zip(&parts) {
                        parts[score].add_to(class, &shares[block.class], pulls, d);
                    }
                });
                for (block, parts) in blocks.iter().zip(&parts) {
                    let part = &parts[score];
                    for ((&row, score), own) in order[block.places.clone()].iter().zip(&part.scores).zip(&part.own) {
                        sums.scores[row] = *score;
                        sums.own[row] = *own;
                    }
                }
            }
            self.progress.step(blocks.iter().map(|block| block.places.len() as u64).sum())?;
        }
        self.progress.end();
        self.progress.begin("influence of rows", n as u64);
        let blocks: Vec<Block> = (0..classes).flat_map(blocks_of).collect();
        for blocks in blocks.chunks(blocks_at_once(scores.len() * groups.len() * BLOCK_ROWS)) {
            let parts: Vec<Vec<f64>> = blocks
                .par_iter()
                .map_init(Workspace::default, |workspace, block| {
                    let rows = &order[block.places.clone()];
                    let pulls: Vec<&Pull> = pulls.iter().flat_map(|pulls| &pulls[block.class]).collect();
                    vectorized(RowTask { kernel: self, pulls: &pulls, class: block.class, rows, workspace })
                })
                .collect::<Result<_>>()?;
            for (block, parts) in blocks.iter().zip(parts) {
                let rows = &order[block.places.clone()];
                let targets = sums.iter_mut().flat_map(|sums| &mut sums.values);
                for (target, part) in targets.zip(parts.chunks_exact(rows.len())) {
                    for (&row, value) in rows.iter().zip(part) {
                        target[row] = *value;
                    }
                }
                self.progress.step(rows.len() as u64)?;
            }
        }
        self.progress.end();
        Ok(Some(sums))
    }

    /// Reads rows, one after the other, as they are stored.
    #[inline(always)]
    fn read_rows(&self, rows: &[usize], workspace: &mut Workspace<T>) -> Result<()> {
        let Workspace { buffer, source, .. } = workspace;
        source.clear();
        for &row in rows {
            source.extend_from_slice(self.dataset.rows::<T>(row..row + 1, buffer)?);
        }
        Ok(())
    }
}

impl<T: Real> BlockPull<T> {
    /// Adds what the block does to a class to the groups that its rows are anchors of.
    fn add_to(&self, class: usize, shares: &[(usize, f64)], pulls: &mut [Pull], d: usize) {
        let Ok(position) = self.classes.binary_search(&class) else { return };
        let vector = &self.vectors[position * d..(position + 1) * d];
        for &(group, share) in shares {
            let pull = &mut pulls[group];
            pull.slope += share * self.slopes[position];
            pull.vector.resize(d, 0.0);
            for (sum, value) in pull.vector.iter_mut().zip(vector) {
                *sum += share * value.to_f64();
            }
        }
    }
}

#[derive(Default)]
struct Workspace<T> {
    buffer: Vec<T>,
    source: Vec<T>,
    block: BlockBuffers<T>,
    buffers: PanelBuffers<T>,
    own_squares: Vec<f64>,
    exact: Vec<f64>,
    centred: Vec<T>,
    squares: Vec<f64>,
    distances: Vec<f64>,
    slopes: Vec<f64>,
    weights: Vec<T>,
    chosen: Vec<T>,
}

/// What a block of anchors of one class does to all classes.
struct AnchorTask<'t, 'a, T, L> {
    kernel: &'t ClosedForm<'a, T>,
    scores: &'t [L],
    class: usize,
    rows: &'t [usize],
    workspace: &'t mut Workspace<T>,
}

impl<T: Real, L: DistanceLoss> Vectorized for AnchorTask<'_, '_, T, L> {
    type Output = Result<Vec<BlockPull<T>>>;

    #[inline(always)]
    fn run(self) -> Self::Output {
        let AnchorTask { kernel, scores, class: own, rows, workspace } = self;
        let (n, d, classes) = (rows.len(), kernel.sums.dimensions(), kernel.sums.classes());
        kernel.read_rows(rows, workspace)?;
        let Workspace { source, block, buffers, own_squares, distances, slopes, weights, chosen, .. } = workspace;
        let mut block = block.fill(kernel, source, rows.iter().copied());
        let widened = scores.iter().any(|score| kernel.is_too_coarse_for(score.resolution(), block.squares));
        if widened {
            block = kernel.with_exact_own_squares(block, own_squares);
        }
        distances.resize(n * classes, 0.0);
        for panel in panels(classes) {
            let mut panel_rows = kernel.panel(&block, panel.clone(), widened, buffers);
            while let Some(row) = panel_rows.next() {
                distances[row * classes..][panel.clone()].copy_from_slice(panel_rows.distances());
            }
        }
        slopes.resize(classes, 0.0);
        weights.resize(n * classes, T::default());
        let common = kernel.half() / (kernel.centre.scale * kernel.centre.scale);
        let mut pulls = Vec::with_capacity(scores.len());
        for score in scores {
            let (mut row_scores, mut own_terms) = (Vec::with_capacity(n), Vec::with_capacity(n));
            let mut class_slopes = vec![0.0; classes];
            // The lengths of rows and their distances to classes, times the slopes: the first are what the vectors are
            // rounded in, the second what the influence of rows is made of.
            let (mut lengths, mut pulled) = (vec![0.0; classes], 0.0);
            for (((&row, distances), weights), square) in rows
                .iter()
                .zip(distances.chunks_exact(classes))
                .zip(weights.chunks_exact_mut(classes))
                .zip(block.squares)
            {
                row_scores.push(score.differentiate(own, distances, slopes));
                let weight = kernel.dataset.weight(row);
                let others = kernel.dataset.weight_of_others(row);
                let own_slope = if others > 0.0 { slopes[own] * weight / others } else { 0.0 };
                own_terms.push(own_slope * distances[own]);
                for ((slope, class_weight), target) in
                    slopes.iter().zip(kernel.dataset.class_weights()).zip(weights.iter_mut())
                {
                    *target = T::from_f64(slope * (weight / class_weight) * common);
                }
                weights[own] = T::from_f64(own_slope * common);
                let length = square.sqrt();
                let sums = class_slopes.iter_mut().zip(&mut lengths);
                for (((sum, lengths), weight), distance) in sums.zip(weights.iter()).zip(distances) {
                    let weight = weight.to_f64();
                    *sum += weight;
                    *lengths += weight.abs() * length;
                    pulled += weight.abs() * distance;
                }
            }
            let used: Vec<usize> =
                (0..classes).filter(|&class| class_slopes[class] != 0.0 || lengths[class] > 0.0).collect();
            // A row of class c takes 2 |x_j - mu_c| times the error of a vector; centred, scaled squares are 1/common of
            // the distances.
            let widest = lengths.iter().zip(&kernel.sums.variance).fold(0.0, |widest: f64, (length, variance)| {
                widest.max(length * variance.sqrt() * kernel.centre.scale)
            });
            let is_coarse = T::EPSILON * widest > SEEN * pulled / common;
            chosen.clear();
            for weights in weights.chunks_exact(classes) {
                chosen.extend(used.iter().map(|&class| weights[class]));
            }
            let mut vectors = vec![T::default(); used.len() * d];
            if !used.is_empty() {
                transposed_multiply(chosen, block.centred, n, &mut vectors);
            }
            pulls.push(BlockPull {
                slopes: used.iter().map(|&class| class_slopes[class]).collect(),
                classes: used,
                vectors,
                scores: row_scores,
                own: own_terms,
                is_coarse,
            });
        }
        Ok(pulls)
    }
}

/// What the rows of a block, of one class, owe to the pulls on it: a row of the result for each pull.
struct RowTask<'t, 'a, T> {
    kernel: &'t ClosedForm<'a, T>,
    pulls: &'t [&'t Pull],
    class: usize,
    rows: &'t [usize],
    workspace: &'t mut Workspace<T>,
}

impl<T: Real> Vectorized for RowTask<'_, '_, T> {
    type Output = Result<Vec<f64>>;

    #[inline(always)]
    fn run(self) -> Result<Vec<f64>> {
        let RowTask { kernel, pulls, class, rows, workspace } = self;
        let (n, d) = (rows.len(), kernel.sums.dimensions());
        let scale = kernel.centre.scale;
        kernel.read_rows(rows, workspace)?;
        let Workspace { source, exact, centred, squares, weights: directions, chosen: products, .. } = workspace;
        // Around the mean of the class, by differences: what a tight class far from the centre needs.
        let mean: Vec<f64> = kernel.sums.mean_less(class, &kernel.centre.vector).collect();
        exact.resize(d, 0.0);
        centred.resize(n * d, T::default());
        squares.clear();
        for (row, around) in source.chunks_exact(d).zip(centred.chunks_exact_mut(d)) {
            RowScale::of(row, kernel.unit).apply_to(row, exact);
            squares.push(kernel.sums.squared_distance(exact, class) * scale * scale);
            for (((target, value), centre), mean) in
                around.iter_mut().zip(&*exact).zip(&kernel.centre.vector).zip(&mean)
            {
                *target = T::from_f64(((value - centre) - mean) * scale);
            }
        }
        let active: Vec<usize> = (0..pulls.len()).filter(|&pull| !pulls[pull].vector.is_empty()).collect();
        let mut values = vec![0.0; pulls.len() * n];
        if active.is_empty() {
            return Ok(values);
        }
        directions.clear();
        for &pull in &active {
            let Pull { slope, vector } = pulls[pull];
            directions.extend(vector.iter().zip(&mean).map(|(sum, mean)| T::from_f64(sum - slope * mean * scale)));
        }
        products.resize(active.len() * n, T::default());
        multiply_transposed(directions, centred, d, products);
        for (&pull, products) in active.iter().zip(products.chunks_exact(n)) {
            let target = &mut values[pull * n..(pull + 1) * n];
            for ((value, product), square) in target.iter_mut().zip(products).zip(squares.iter()) {
                *value = pulls[pull].slope * square - 2.0 * product.to_f64();
            }
        }
        Ok(values)
    }
}
