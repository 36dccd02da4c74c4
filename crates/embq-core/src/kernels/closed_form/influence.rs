//! Influence by class means, without looking at pairs: the sum over anchors of H_ic |x_i - x_j|^2 is, up to a constant for
//! the class c of row j, h_c |x_j - mu_c|^2 - 2 (x_j - mu_c) . U_c, with h_c = sum_i H_ic and U_c = sum_i H_ic (x_i - mu_c).
//!
//! Two passes over the rows, by class: one for the anchors' distances, which gives h and U for every score and group of
//! anchors, and one for what the rows owe to these. A score that depends on two classes gives two vectors a row to the sums
//! U; for one that depends on all, they are a product of matrices.

use std::ops::Range;

use rayon::prelude::*;

use crate::data::Precision;
use crate::error::Result;
use crate::kernels::closed_form::gradient::{PRODUCTS, without_subnormal};
use crate::kernels::closed_form::{BLOCK_ROWS, BlockBuffers, BlockRows, ClosedForm, PanelBuffers};
use crate::kernels::dense::{RowScale, lane_sum_2, smallest};
use crate::kernels::gemm::{Packed, multiply_packed, transposed_multiply};
use crate::kernels::in_order::blocks_at_once;
use crate::kernels::influence::{Influence, InfluencedScore, TakesInfluence, VALUES};
use crate::kernels::parallel;
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::kernels::workspaces::Workspaces;
use crate::kernels::{Real, sort_by_class};

/// Numbers that the sums of the classes of one panel may take.
const HELD: usize = 1 << 23;

/// Influence values that are computed before they are handed over.
const RUN: usize = 1 << 22;

/// Classes of fewer rows share blocks of anchors: for as few, adding what a block gives takes longer than computing it for
/// each group.
const FEW_ROWS: usize = 64;

/// An error of influence values that is seen, as a share of the distances, times their slopes, that they are sums of.
const SEEN: f64 = 2e-6;

/// The groups of all anchors: all of them by their weights, and each class over its weight.
const ALL: usize = 0;
const EACH_CLASS: usize = 1;

impl<T: Real> ClosedForm<'_, T> {
    /// The influence of all rows on means of scores, and on those over single classes. Rows are read by class, not in
    /// order.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn influence<S: InfluencedScore, A: TakesInfluence>(
        &self,
        scores: &[S],
        classes: &[usize],
        takers: &mut [Vec<A>],
    ) -> Result<Vec<Influence>> {
        let labels = self.dataset.labels();
        let (order, starts) = sort_by_class(labels.codes(), labels.counts());
        let largest = labels.counts().iter().copied().max().unwrap_or(0);
        let held = HELD / (self.sums.dimensions() * self.sums.classes());
        let at_once = held.min(VALUES / largest.max(1)).max(1);
        let mut wide: Option<ClosedForm<'_, f64>> = None;
        let mut found = Vec::new();
        let with_classes = takers.len();
        let panels = classes.len().div_ceil(at_once).max(1);
        for panel in 0..panels {
            let places = panel * at_once..classes.len().min((panel + 1) * at_once);
            let mut takers: Vec<&mut [A]> = takers.iter_mut().map(|takers| &mut takers[places.clone()]).collect();
            // The first panel also serves the means over all rows.
            let scores = if panel == 0 { scores } else { &scores[..with_classes] };
            let wanted = PassOptions {
                all: panel == 0,
                classes: &classes[places],
                order: &order,
                starts: &starts,
                is_part: false,
            };
            if wide.is_none() {
                if let Some(influence) = self.panel_influence(scores, &wanted, &mut takers)? {
                    found.extend(influence);
                    continue;
                }
                wide = Some(ClosedForm::new(self.dataset, self.distance, self.progress)?);
            }
            if let Some(wide) = &wide {
                found.extend(wide.panel_influence(scores, &wanted, &mut takers)?.unwrap_or_default());
            }
        }
        Ok(found)
    }

    /// `None`, before anything is taken, where float32 products leave too little of the sums.
    fn panel_influence<S: InfluencedScore, A: TakesInfluence>(
        &self,
        scores: &[S],
        wanted: &PassOptions<'_>,
        takers: &mut [&mut [A]],
    ) -> Result<Option<Vec<Influence>>> {
        let mut found = self.no_influence(scores.len());
        let Some(pulls) = self.pulls(scores, wanted, takers.len(), &mut found)? else { return Ok(None) };
        self.owed(&pulls, wanted, takers, &mut found)?;
        Ok(Some(if wanted.all { found } else { Vec::new() }))
    }

    /// Until a row's influence is known, its score and its own term take their places.
    fn no_influence(&self, scores: usize) -> Vec<Influence> {
        let n = self.dataset.len();
        vec![Influence { overall: vec![0.0; n], by_class: vec![0.0; n] }; scores]
    }

    /// What the rows owe to the pulls on their classes: the influence on the wanted groups, for which `found` holds the
    /// scores of the rows and their own terms.
    fn owed<P: PullsClasses<T>, A: TakesInfluence>(
        &self,
        pulls: &[Vec<P>],
        wanted: &PassOptions<'_>,
        takers: &mut [&mut [A]],
        found: &mut [Influence],
    ) -> Result<()> {
        self.progress.begin("influence of rows", self.dataset.len() as u64);
        let series: usize = pulls.iter().map(Vec::len).sum();
        let workspaces = Workspaces::default();
        for classes in wanted.runs(series) {
            let (mut blocks, mut of_class) = (Vec::new(), Vec::new());
            for class in classes.clone() {
                let first = blocks.len();
                blocks.extend(wanted.blocks_of(class));
                of_class.push(first..blocks.len());
            }
            let parts: Vec<Vec<f64>> = parallel::try_map(&blocks, |block| {
                let rows = &wanted.order[block.places.clone()];
                let class = self.dataset.labels().codes()[rows[0]] as usize;
                let pulls: Vec<Pull<'_, T>> = pulls.iter().flatten().map(|pulls| pulls.on(class)).collect();
                workspaces.with(|workspace| vectorized(RowTask { kernel: self, pulls: &pulls, class, rows, workspace }))
            })?;
            // What is known of a series for the rows of a class.
            let of_class = |series: usize, class: usize, values: &mut Vec<f64>| {
                values.clear();
                let own = of_class[class - classes.start].clone();
                for (block, part) in blocks[own.clone()].iter().zip(&parts[own]) {
                    let rows = block.places.len();
                    values.extend_from_slice(&part[series * rows..(series + 1) * rows]);
                }
            };
            let mut first = 0;
            for (score, pulls) in pulls.iter().enumerate() {
                let finish = Finish { kernel: self, wanted, classes: classes.clone(), held: &found[score] };
                let groups = wanted.groups();
                if let Some(takers) = takers.get_mut(score) {
                    takers.par_iter_mut().zip(wanted.classes).enumerate().for_each(|(place, (taker, &class))| {
                        let share = |other: usize| f64::from(u8::from(other == class));
                        let of_class = |class, values: &mut _| of_class(first + groups + place, class, values);
                        finish.each(share, of_class, |rows, influence| taker.take(rows, influence));
                    });
                }
                if wanted.all {
                    let class_weights = self.dataset.class_weights();
                    let mut of_group = [Vec::new(), Vec::new()];
                    of_group.par_iter_mut().enumerate().for_each(|(group, found)| {
                        let share = |class: usize| if group == ALL { 1.0 } else { 1.0 / class_weights[class] };
                        let of_class = |class, values: &mut _| of_class(first + group, class, values);
                        finish.each(share, of_class, |_, influence| found.extend_from_slice(influence));
                    });
                    let places = wanted.starts[classes.start]..wanted.starts[classes.end];
                    let [overall, by_class] = of_group;
                    for ((&row, overall), by_class) in wanted.order[places].iter().zip(overall).zip(by_class) {
                        found[score].overall[row] = overall;
                        found[score].by_class[row] = by_class;
                    }
                }
                first += pulls.len();
            }
            self.progress.step(blocks.iter().map(|block| block.places.len() as u64).sum())?;
        }
        self.progress.end();
        Ok(())
    }

    /// What all anchors do to the classes, for each score and group: that of all rows, by weights and by class, and then
    /// the wanted classes, for the first scores. `found` takes the scores of the anchors and their own terms.
    fn pulls<S: InfluencedScore>(
        &self,
        scores: &[S],
        wanted: &PassOptions<'_>,
        with_classes: usize,
        found: &mut [Influence],
    ) -> Result<Option<Vec<Vec<GroupPulls<T>>>>> {
        let (d, classes) = (self.sums.dimensions(), self.sums.classes());
        let sums = || GroupPulls::Sums(Pulls::new(d, classes));
        let mut pulls: Vec<Vec<GroupPulls<T>>> = (0..scores.len())
            .map(|place| {
                let of_classes = if place < with_classes { wanted.classes } else { &[] };
                let of_class =
                    |&class| if wanted.is_one_block(class) { GroupPulls::Block(SumPart::none()) } else { sums() };
                (0..wanted.groups()).map(|_| sums()).chain(of_classes.iter().map(of_class)).collect()
            })
            .collect();
        let anchors = wanted.anchors(self.dataset.class_weights());
        if !self.over_anchors(scores, wanted, &anchors, &mut pulls, found)? {
            return Ok(None);
        }
        Ok(Some(pulls))
    }

    /// Adds what blocks of anchors do, and puts their scores and own terms into `found`. Whether float32 products leave
    /// enough of the sums.
    fn over_anchors<S: InfluencedScore>(
        &self,
        scores: &[S],
        wanted: &PassOptions<'_>,
        anchors: &[Block],
        pulls: &mut [Vec<GroupPulls<T>>],
        found: &mut [Influence],
    ) -> Result<bool> {
        let (d, classes) = (self.sums.dimensions(), self.sums.classes());
        let rows: usize = anchors.iter().map(|block| block.places.len()).sum();
        self.progress.begin("influence on others", rows as u64);
        let workspaces = Workspaces::default();
        let of_all = scores.iter().filter(|score| !score.has_two_slopes()).count();
        let size = of_all * classes * d + 2 * (scores.len() - of_all) * BLOCK_ROWS * d;
        for blocks in anchors.chunks(blocks_at_once(2 * size)) {
            let parts: Vec<BlockPull<T>> = parallel::try_map(blocks, |block| {
                let rows = &wanted.order[block.places.clone()];
                workspaces.with(|workspace| vectorized(AnchorTask { kernel: self, scores, block, rows, workspace }))
            })?;
            if parts.iter().any(|part| part.is_coarse) {
                self.progress.end();
                return Ok(false);
            }
            for (score, (pulls, found)) in pulls.iter_mut().zip(&mut *found).enumerate() {
                pulls.par_iter_mut().enumerate().for_each(|(group, pulls)| {
                    let GroupPulls::Sums(pulls) = pulls else { return };
                    let of_group = blocks.iter().zip(&parts).flat_map(|(block, part)| {
                        let variants = block.variants.iter().zip(&part.pulls[score]);
                        variants.filter_map(move |(variant, pull)| Some((variant.share_of(group)?, pull)))
                    });
                    pulls.add(of_group);
                });
                for (block, part) in blocks.iter().zip(&parts) {
                    for (&row, &[score, own]) in wanted.order[block.places.clone()].iter().zip(&part.rows[score]) {
                        found.overall[row] = score;
                        found.by_class[row] = own;
                    }
                }
            }
            for (block, part) in blocks.iter().zip(parts) {
                for (pulls, of_score) in pulls.iter_mut().zip(part.pulls) {
                    for (variant, part) in block.variants.iter().zip(of_score) {
                        let mut groups = variant.shares.iter().map(|&(group, _)| group);
                        if let Some(group) =
                            groups.find(|&group| matches!(pulls.get(group), Some(GroupPulls::Block(_))))
                        {
                            pulls[group] = GroupPulls::Block(part);
                        }
                    }
                }
            }
            self.progress.step(blocks.iter().map(|block| block.places.len() as u64).sum())?;
        }
        self.progress.end();
        Ok(true)
    }

    /// Reads rows, one after the other, as they are stored.
    #[inline(always)]
    fn read_rows(&self, rows: &[usize], buffer: &mut Vec<T>, source: &mut Vec<T>) -> Result<()> {
        source.clear();
        for &row in rows {
            source.extend_from_slice(self.dataset.rows::<T>(row..row + 1, buffer)?);
        }
        Ok(())
    }
}

/// Rows that are a part of those of the classes. Products are float64: whether float32 would do depends on how the rows
/// are cut up.
impl ClosedForm<'_, f64> {
    /// What the rows do to all classes as anchors: for each score over all rows by their weights, then over each class by
    /// its weight, and for the first `with_classes` scores over the rows of each class alone.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn part_pulls<S: InfluencedScore>(&self, scores: &[S], with_classes: usize) -> Result<Vec<Vec<Pulls>>> {
        let classes: Vec<usize> = if with_classes > 0 { (0..self.sums.classes()).collect() } else { Vec::new() };
        let (order, starts) = self.rows_by_class();
        let wanted = PassOptions { all: true, classes: &classes, order: &order, starts: &starts, is_part: true };
        let mut found = self.no_influence(scores.len());
        let pulls = self.pulls(scores, &wanted, with_classes, &mut found)?.unwrap_or_default();
        let sums = |pulls| match pulls {
            GroupPulls::Sums(pulls) => Some(pulls),
            // Parts of the rows are summed.
            GroupPulls::Block(_) => None,
        };
        Ok(pulls.into_iter().map(|pulls| pulls.into_iter().filter_map(sums).collect()).collect())
    }

    /// The influence of the rows on the means of scores, up to a constant for each class, from what all rows do to the
    /// classes. `takers` take that on the means over single classes, for as many scores as there are pulls of these.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn part_influence<S: InfluencedScore, A: TakesInfluence>(
        &self,
        scores: &[S],
        pulls: &[Vec<Pulls>],
        takers: &mut [Vec<A>],
    ) -> Result<Vec<Influence>> {
        let classes: Vec<usize> = (0..takers.first().map_or(0, Vec::len)).collect();
        let (order, starts) = self.rows_by_class();
        let of = |all, classes| PassOptions { all, classes, order: &order, starts: &starts, is_part: true };
        let all = of(true, &[]);
        let mut anchors = all.anchors(self.dataset.class_weights());
        anchors.iter_mut().for_each(|block| block.variants.clear());
        let mut found = self.no_influence(scores.len());
        let mut nothing: Vec<Vec<_>> = scores.iter().map(|_| Vec::new()).collect();
        self.over_anchors(scores, &all, &anchors, &mut nothing, &mut found)?;
        let groups = all.groups();
        // Before what is held becomes influence.
        let at_once = (VALUES / order.len().max(1)).max(1);
        for first in (0..classes.len()).step_by(at_once) {
            let places = first..(first + at_once).min(classes.len());
            let of_classes: Vec<Vec<&Pulls>> =
                pulls[..takers.len()].iter().map(|pulls| pulls[groups..][places.clone()].iter().collect()).collect();
            let mut takers: Vec<&mut [A]> = takers.iter_mut().map(|takers| &mut takers[places.clone()]).collect();
            self.owed(&of_classes, &of(false, &classes[places]), &mut takers, &mut found)?;
        }
        let of_all: Vec<Vec<&Pulls>> = pulls.iter().map(|pulls| pulls[..groups].iter().collect()).collect();
        self.owed::<_, A>(&of_all, &all, &mut [], &mut found)?;
        Ok(found)
    }

    /// The rows in the order of classes, and where each class starts.
    pub(crate) fn rows_by_class(&self) -> (Vec<usize>, Vec<usize>) {
        let codes = self.dataset.labels().codes();
        let mut counts = vec![0; self.sums.classes()];
        codes.iter().for_each(|&class| counts[class as usize] += 1);
        sort_by_class(codes, &counts)
    }
}

/// Which means one round of both passes serves, and the rows by class.
struct PassOptions<'w> {
    /// Those over all rows.
    all: bool,
    /// Those over these classes.
    classes: &'w [usize],
    order: &'w [usize],
    starts: &'w [usize],
    /// Whether the rows are a part of those of the classes, so that influence is known up to a constant for each class.
    is_part: bool,
}

/// Rows by their places in the order of classes, and what they are anchors of.
struct Block {
    places: Range<usize>,
    variants: Vec<Variant>,
}

/// Anchors of a block as some groups count them.
struct Variant {
    /// What the weight of a row is multiplied by, for each class from the first of the block on; empty for 1.
    factors: Vec<f64>,
    first_class: usize,
    /// Groups, and their shares in what comes out.
    shares: Vec<(usize, f64)>,
}

impl Variant {
    #[inline(always)]
    fn factor(&self, class: usize) -> f64 {
        self.factors.get(class - self.first_class).copied().unwrap_or(1.0)
    }

    fn share_of(&self, group: usize) -> Option<f64> {
        self.shares.iter().find(|(known, _)| *known == group).map(|&(_, share)| share)
    }
}

impl PassOptions<'_> {
    /// Groups of all anchors.
    fn groups(&self) -> usize {
        if self.all { 2 } else { 0 }
    }

    /// The rows of a class in blocks.
    fn blocks_of(&self, class: usize) -> impl Iterator<Item = Block> {
        let end = self.starts[class + 1];
        let blocks = (self.starts[class]..end).step_by(BLOCK_ROWS);
        blocks.map(move |start| Block { places: start..(start + BLOCK_ROWS).min(end), variants: Vec::new() })
    }

    /// Whether the anchors of a class are one block, which then gives all that they do; parts of the rows add up with others.
    fn is_one_block(&self, class: usize) -> bool {
        !self.is_part && self.starts[class + 1] - self.starts[class] <= BLOCK_ROWS
    }

    /// All anchors in blocks: those of one class, or where classes are small of several, of which no single one is wanted.
    fn anchors(&self, class_weights: &[f64]) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut small: Option<Range<usize>> = None;
        let several = |classes: Range<usize>| Block {
            places: self.starts[classes.start]..self.starts[classes.end],
            variants: vec![
                Variant { factors: Vec::new(), first_class: classes.start, shares: vec![(ALL, 1.0)] },
                Variant {
                    factors: class_weights[classes.clone()].iter().map(|weight| 1.0 / weight).collect(),
                    first_class: classes.start,
                    shares: vec![(EACH_CLASS, 1.0)],
                },
            ],
        };
        for (class, weight) in class_weights.iter().enumerate() {
            let rows = self.starts[class + 1] - self.starts[class];
            let place = self.classes.iter().position(|&wanted| wanted == class);
            if self.all && place.is_none() && rows < FEW_ROWS {
                let fits = |small: &Range<usize>| self.starts[class + 1] - self.starts[small.start] <= BLOCK_ROWS;
                small = match small {
                    Some(small) if fits(&small) => Some(small.start..class + 1),
                    full => {
                        blocks.extend(full.map(several));
                        Some(class..class + 1)
                    }
                };
                continue;
            }
            blocks.extend(small.take().map(several));
            let mut shares = Vec::new();
            if self.all {
                shares.extend([(ALL, 1.0), (EACH_CLASS, 1.0 / weight)]);
            }
            shares.extend(place.map(|place| (self.groups() + place, 1.0)));
            if !shares.is_empty() {
                blocks.extend(self.blocks_of(class).map(|block| {
                    let variant = Variant { factors: Vec::new(), first_class: class, shares: shares.clone() };
                    Block { variants: vec![variant], ..block }
                }));
            }
        }
        blocks.extend(small.map(several));
        // A part of the rows may have none of a class.
        blocks.retain(|block| !block.places.is_empty());
        blocks
    }

    /// The classes in runs with about as many influence values of so many series as are held.
    fn runs(&self, series: usize) -> Vec<Range<usize>> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        for class in 0..self.starts.len() - 1 {
            match runs.last_mut() {
                Some(run) if (self.starts[class + 1] - self.starts[run.start]) * series <= RUN => run.end = class + 1,
                _ => runs.push(class..class + 1),
            }
        }
        runs
    }
}

/// From sums of anchors to influence values.
struct Finish<'f, 'a, T> {
    kernel: &'f ClosedForm<'a, T>,
    wanted: &'f PassOptions<'f>,
    classes: Range<usize>,
    /// Scores and own terms.
    held: &'f Influence,
}

impl<T: Real> Finish<'_, '_, T> {
    /// Turns the sums of the classes, in order, into influence values on a group that has a share of each class, and hands
    /// them over class by class.
    fn each(
        &self,
        share: impl Fn(usize) -> f64,
        sums: impl Fn(usize, &mut Vec<f64>),
        mut with: impl FnMut(&[usize], &[f64]),
    ) {
        let dataset = self.kernel.dataset;
        let mut values = Vec::new();
        for class in self.classes.clone() {
            let rows = &self.wanted.order[self.wanted.starts[class]..self.wanted.starts[class + 1]];
            sums(class, &mut values);
            let share = share(class);
            if share != 0.0 {
                for (value, &row) in values.iter_mut().zip(rows) {
                    // The row is no member of the class that its own distance is a mean over.
                    *value += share * self.held.by_class[row];
                }
            }
            if !self.wanted.is_part {
                let weighted = values.iter().zip(rows).map(|(value, &row)| dataset.weight(row) * value);
                let mean = weighted.sum::<f64>() / dataset.class_weights()[class];
                values.iter_mut().for_each(|value| *value -= mean);
            }
            if share != 0.0 {
                for (value, &row) in values.iter_mut().zip(rows) {
                    *value += share * self.held.overall[row];
                }
            }
            with(rows, &values);
        }
    }
}

/// What the anchors of a group do to all classes, of centred and scaled rows. Those of parts of the rows add up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Pulls {
    /// h_c.
    slopes: Vec<f64>,
    /// sum_i H_ic x_i, as classes x dimensions.
    vectors: Vec<f64>,
}

/// That of the anchors of one group, of one machine.
enum GroupPulls<T> {
    Sums(Pulls),
    /// What their only block gives, as it is: adding it to sums of all classes takes longer than computing it.
    Block(SumPart<T>),
}

/// That on one class.
struct Pull<'p, T> {
    slope: f64,
    vector: PullVector<'p, T>,
}

enum PullVector<'p, T> {
    Sums(&'p [f64]),
    Block(&'p [T]),
}

trait PullsClasses<T>: Sync {
    fn on(&self, class: usize) -> Pull<'_, T>;
}

impl<T: Real> PullsClasses<T> for &Pulls {
    fn on(&self, class: usize) -> Pull<'_, T> {
        Pulls::on(self, class)
    }
}

impl<T: Real> PullsClasses<T> for GroupPulls<T> {
    fn on(&self, class: usize) -> Pull<'_, T> {
        match self {
            GroupPulls::Sums(pulls) => pulls.on(class),
            GroupPulls::Block(part) => part.on(class),
        }
    }
}

impl<T: Real> Pull<'_, T> {
    #[inline(always)]
    fn is_zero(&self) -> bool {
        let is_zero = match self.vector {
            PullVector::Sums(vector) => vector.iter().all(|&value| value == 0.0),
            PullVector::Block(vector) => vector.iter().all(|&value| value == T::default()),
        };
        self.slope == 0.0 && is_zero
    }

    /// Adds U_c to `directions`, of rows around the mean of the class.
    #[inline(always)]
    fn push_around(&self, mean: &[f64], scale: f64, directions: &mut Vec<T>) {
        let around = |(sum, mean): (f64, &f64)| T::from_f64(sum - self.slope * mean * scale);
        match self.vector {
            PullVector::Sums(vector) => directions.extend(vector.iter().copied().zip(mean).map(around)),
            PullVector::Block(vector) => {
                directions.extend(vector.iter().map(|value| value.to_f64()).zip(mean).map(around));
            }
        }
    }
}

impl Pulls {
    fn new(d: usize, classes: usize) -> Self {
        Pulls { slopes: vec![0.0; classes], vectors: vec![0.0; classes * d] }
    }

    /// As [`Pulls::slopes`] and [`Pulls::vectors`] gave them.
    pub(crate) fn of(slopes: Vec<f64>, vectors: Vec<f64>) -> Self {
        Pulls { slopes, vectors }
    }

    /// One for each class.
    pub(crate) fn slopes(&self) -> &[f64] {
        &self.slopes
    }

    /// Classes x dimensions.
    pub(crate) fn vectors(&self) -> &[f64] {
        &self.vectors
    }

    /// Adds what other rows do.
    pub(crate) fn merge(&mut self, other: &Pulls) {
        let add = |sums: &mut [f64], values: &[f64]| sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
        add(&mut self.slopes, &other.slopes);
        add(&mut self.vectors, &other.vectors);
    }

    /// Adds shares of what blocks give, in order.
    fn add<'b, T: Real>(&mut self, parts: impl Iterator<Item = (f64, &'b SumPart<T>)> + Clone + Sync) {
        /// Sums that stay in the first cache while all blocks are added.
        const PIECE: usize = 2048;
        let d = self.vectors.len() / self.slopes.len();
        for (share, part) in parts.clone() {
            match part {
                SumPart::All { slopes, .. } => {
                    self.slopes.iter_mut().zip(slopes).for_each(|(sum, slope)| *sum += share * slope);
                }
                SumPart::Few { classes, slopes, vectors } => {
                    for ((&class, slope), vector) in classes.iter().zip(slopes).zip(vectors.chunks_exact(d)) {
                        self.slopes[class as usize] += share * slope;
                        let sums = &mut self.vectors[class as usize * d..][..d];
                        sums.iter_mut().zip(vector).for_each(|(sum, value)| *sum += share * value);
                    }
                }
            }
        }
        self.vectors.par_chunks_mut(PIECE).enumerate().for_each(|(piece, sums)| {
            for (share, part) in parts.clone() {
                if let SumPart::All { vectors, .. } = part {
                    let vectors = &vectors[piece * PIECE..][..sums.len()];
                    sums.iter_mut().zip(vectors).for_each(|(sum, value)| *sum += share * value.to_f64());
                }
            }
        });
    }

    fn on<T>(&self, class: usize) -> Pull<'_, T> {
        let d = self.vectors.len() / self.slopes.len();
        Pull { slope: self.slopes[class], vector: PullVector::Sums(&self.vectors[class * d..(class + 1) * d]) }
    }
}

/// The sums of a score over a block of anchors.
enum SumPart<T> {
    /// Of all classes, as classes x dimensions.
    All { slopes: Vec<f64>, vectors: Vec<T> },
    /// Of some, in ascending order, as classes x dimensions.
    Few { classes: Vec<u32>, slopes: Vec<f64>, vectors: Vec<f64> },
}

/// What a block of anchors gives.
struct BlockPull<T> {
    /// For each score and variant.
    pulls: Vec<Vec<SumPart<T>>>,
    /// For each score the scores of the rows and H_ic D_ic with c the own class.
    rows: Vec<Vec<[f64; 2]>>,
    /// Whether the rounding of sums can be seen in the influence of rows.
    is_coarse: bool,
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
    packed: Packed<T>,
    squares: Vec<f64>,
    slopes: Vec<f64>,
    lengths: Vec<f64>,
    weights: Vec<T>,
    places: Vec<u32>,
    products: Vec<T>,
}

/// What a block of anchors does to all classes.
struct AnchorTask<'t, 'a, T, S> {
    kernel: &'t ClosedForm<'a, T>,
    scores: &'t [S],
    block: &'t Block,
    rows: &'t [usize],
    workspace: &'t mut Workspace<T>,
}

/// A row's weight on a class: H_ic of centred and scaled rows.
struct Entry {
    position: usize,
    class: usize,
    weight: f64,
}

impl<T: Real, S: InfluencedScore> Vectorized for AnchorTask<'_, '_, T, S> {
    type Output = Result<BlockPull<T>>;

    #[inline(always)]
    fn run(self) -> Self::Output {
        let AnchorTask { kernel, scores, block: anchors, rows, workspace } = self;
        let (n, d, classes) = (rows.len(), kernel.sums.dimensions(), kernel.sums.classes());
        let Workspace { buffer, source, block, buffers, own_squares, slopes, lengths, weights, places, .. } = workspace;
        kernel.read_rows(rows, buffer, source)?;
        let mut block = block.fill(kernel, source, rows.iter().copied());
        let widened = scores.iter().any(|score| kernel.is_too_coarse_for(score.resolution(), block.squares));
        if widened {
            block = kernel.with_exact_own_squares(block, own_squares);
        }
        let common = kernel.half() / (kernel.centre.scale * kernel.centre.scale);
        let of_class: Vec<f64> = kernel.dataset.class_weights().iter().map(|weight| common / weight).collect();
        slopes.resize(classes, 0.0);
        let of_all = scores.iter().filter(|score| !score.has_two_slopes()).count();
        weights.resize(of_all * n * classes, T::default());
        let mut entries: Vec<Vec<Entry>> = scores.iter().map(|_| Vec::new()).collect();
        let mut row_scores = vec![vec![[0.0; 2]; n]; scores.len()];
        // Distances times the weights on them, by score and row.
        let mut pulled = vec![vec![0.0; n]; scores.len()];
        let step = (PRODUCTS / classes).max(16);
        for first in (0..n).step_by(step) {
            let piece = block.part(first..(first + step).min(n), d);
            let mut panel_rows = kernel.panel(&piece, 0..classes, widened, buffers);
            while let Some(place) = panel_rows.next() {
                let distances = panel_rows.distances();
                let (position, (row, own)) = (first + place, piece.members[place]);
                let weight = kernel.dataset.weight(row);
                let others = kernel.dataset.weight_of_others(row);
                let of_own = if others > 0.0 { weight / others } else { 0.0 };
                let nearest = smallest(distances, Some(own)).map_or(own, |(class, _)| class);
                let mut dense = 0;
                for (score, row_score) in scores.iter().enumerate() {
                    let (value, own_slope);
                    if let Some(found) = row_score.two_slopes(own, distances, nearest) {
                        (value, own_slope) = (found.score, found.own * of_own);
                        let (other, slope) = found.other;
                        let pairs = [(own, own_slope * common), (other, slope * weight * of_class[other])];
                        for (class, weight) in pairs.into_iter().filter(|(_, weight)| *weight != 0.0) {
                            pulled[score][position] += weight.abs() * distances[class];
                            entries[score].push(Entry { position, class, weight });
                        }
                    } else {
                        value = row_score.differentiate(own, distances, slopes);
                        own_slope = slopes[own] * of_own;
                        let target = &mut weights[(dense * n + position) * classes..][..classes];
                        dense += 1;
                        for ((slope, of_class), target) in slopes.iter().zip(&of_class).zip(&mut *target) {
                            *target = without_subnormal(slope * weight * of_class);
                        }
                        target[own] = without_subnormal(own_slope * common);
                        if T::PRECISION == Precision::F32 {
                            pulled[score][position] =
                                lane_sum_2(target, distances, |weight, distance| weight.to_f64().abs() * distance);
                        }
                    }
                    row_scores[score][position] = [value, own_slope * distances[own]];
                }
            }
        }
        let mut is_coarse = false;
        let mut pulls: Vec<Vec<SumPart<T>>> = scores.iter().map(|_| Vec::new()).collect();
        let mut dense = weights.chunks_exact_mut((n * classes).max(1));
        for (score, pulls) in pulls.iter_mut().enumerate() {
            let mut weights = if scores[score].has_two_slopes() { None } else { dense.next() };
            for variant in &anchors.variants {
                lengths.clear();
                let part = match &mut weights {
                    Some(weights) => all_classes(&block, weights, variant, lengths, d),
                    None => few_classes(&block, &entries[score], variant, places, lengths, classes, d),
                };
                if T::PRECISION == Precision::F32 {
                    let factors = block.members.iter().map(|&(_, own)| variant.factor(own));
                    let pulled: f64 = pulled[score].iter().zip(factors).map(|(pulled, factor)| pulled * factor).sum();
                    is_coarse |= part.is_coarse(kernel, lengths, pulled / common);
                }
                pulls.push(part);
            }
        }
        Ok(BlockPull { pulls, rows: row_scores, is_coarse })
    }
}

/// The sums of a score by its weights on all classes, which take the factors of the variant; `lengths` takes the lengths of
/// rows times their weights on each class.
#[inline(always)]
fn all_classes<T: Real>(
    block: &BlockRows<'_, T>,
    weights: &mut [T],
    variant: &Variant,
    lengths: &mut Vec<f64>,
    d: usize,
) -> SumPart<T> {
    let n = block.squares.len();
    let classes = weights.len() / n;
    let mut slopes = vec![0.0; classes];
    lengths.resize(classes, 0.0);
    for ((weights, square), &(_, own)) in weights.chunks_exact_mut(classes).zip(block.squares).zip(block.members) {
        let length = square.sqrt();
        if !variant.factors.is_empty() {
            let factor = variant.factor(own);
            weights.iter_mut().for_each(|weight| *weight = without_subnormal(weight.to_f64() * factor));
        }
        for ((slope, lengths), weight) in slopes.iter_mut().zip(&mut *lengths).zip(&*weights) {
            let weight = weight.to_f64();
            *slope += weight;
            *lengths += weight.abs() * length;
        }
    }
    let mut vectors = vec![T::default(); classes * d];
    transposed_multiply(weights, block.centred, n, &mut vectors);
    SumPart::All { slopes, vectors }
}

/// The same by weights on few classes; `places` is as long as there are classes, or empty, and left so that it can be used
/// again.
#[inline(always)]
fn few_classes<T: Real>(
    block: &BlockRows<'_, T>,
    entries: &[Entry],
    variant: &Variant,
    places: &mut Vec<u32>,
    lengths: &mut Vec<f64>,
    all_classes: usize,
    d: usize,
) -> SumPart<T> {
    places.resize(all_classes, u32::MAX);
    let mut classes = Vec::new();
    for Entry { class, .. } in entries {
        if std::mem::replace(&mut places[*class], 0) == u32::MAX {
            classes.push(*class as u32);
        }
    }
    classes.sort_unstable();
    (0..).zip(&classes).for_each(|(place, &class)| places[class as usize] = place);
    let (mut slopes, mut vectors) = (vec![0.0; classes.len()], vec![0.0; classes.len() * d]);
    lengths.resize(classes.len(), 0.0);
    for Entry { position, class, weight } in entries {
        let weight = weight * variant.factor(block.members[*position].1);
        let place = places[*class] as usize;
        slopes[place] += weight;
        lengths[place] += weight.abs() * block.squares[*position].sqrt();
        let row = &block.centred[position * d..(position + 1) * d];
        for (sum, value) in vectors[place * d..(place + 1) * d].iter_mut().zip(row) {
            *sum += weight * value.to_f64();
        }
    }
    classes.iter().for_each(|&class| places[class as usize] = u32::MAX);
    SumPart::Few { classes, slopes, vectors }
}

impl<T: Real> SumPart<T> {
    /// Of no anchors.
    fn none() -> Self {
        SumPart::Few { classes: Vec::new(), slopes: Vec::new(), vectors: Vec::new() }
    }

    fn on(&self, class: usize) -> Pull<'_, T> {
        match self {
            SumPart::All { slopes, vectors } => {
                let d = vectors.len() / slopes.len();
                Pull { slope: slopes[class], vector: PullVector::Block(&vectors[class * d..(class + 1) * d]) }
            }
            SumPart::Few { classes, slopes, vectors } => match classes.binary_search(&(class as u32)) {
                Ok(place) => {
                    let d = vectors.len() / classes.len();
                    Pull { slope: slopes[place], vector: PullVector::Sums(&vectors[place * d..(place + 1) * d]) }
                }
                Err(_) => Pull { slope: 0.0, vector: PullVector::Sums(&[]) },
            },
        }
    }

    /// Whether the rounding of rows and sums can be seen in the influence of rows, given the lengths of the rows that are
    /// summed for each class, times their weights, and the distances times the same weights.
    fn is_coarse(&self, kernel: &ClosedForm<'_, T>, lengths: &[f64], pulled: f64) -> bool {
        // A row of class c takes 2 |x_j - mu_c| times the error of a vector; centred, scaled squares are 1/common of the
        // distances.
        let deviation = |class: usize| kernel.sums.variance[class].sqrt() * kernel.centre.scale;
        let widest = match self {
            SumPart::All { .. } => {
                let widths = lengths.iter().enumerate().map(|(class, length)| length * deviation(class));
                widths.fold(0.0, f64::max)
            }
            SumPart::Few { classes, .. } => {
                let widths = lengths.iter().zip(classes).map(|(length, &class)| length * deviation(class as usize));
                widths.fold(0.0, f64::max)
            }
        };
        T::EPSILON * widest > SEEN * pulled
    }
}

/// What the rows of a block, of one class, owe to the pulls on it: a row of the result for each pull.
struct RowTask<'t, 'a, T> {
    kernel: &'t ClosedForm<'a, T>,
    pulls: &'t [Pull<'t, T>],
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
        let Workspace { buffer, source, exact, centred, packed, squares, weights: directions, products, .. } =
            workspace;
        kernel.read_rows(rows, buffer, source)?;
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
        let active: Vec<usize> = (0..pulls.len()).filter(|&pull| !pulls[pull].is_zero()).collect();
        let mut values = vec![0.0; pulls.len() * n];
        if active.is_empty() {
            return Ok(values);
        }
        directions.clear();
        for &pull in &active {
            pulls[pull].push_around(&mean, scale, directions);
        }
        products.resize(active.len() * n, T::default());
        packed.fill(centred, d);
        multiply_packed(directions, packed, 0..n, products);
        for (&pull, products) in active.iter().zip(products.chunks_exact(n)) {
            let target = &mut values[pull * n..(pull + 1) * n];
            for ((value, product), square) in target.iter_mut().zip(products).zip(squares.iter()) {
                *value = pulls[pull].slope * square - 2.0 * product.to_f64();
            }
        }
        Ok(values)
    }
}
