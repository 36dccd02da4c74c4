//! Influence for Euclidean and Manhattan distances: a second pass over all pairs, in which every row collects what the
//! anchors on the other side contribute to its class.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::Result;
use crate::kernels::influence::{
    Anchors, Influence, RowSlopes, SlopesFold, Sums, TakesInfluence, influence, shares_by_class,
};
use crate::kernels::pairs::{FillTile, PairTiles, TILE, Workspace, tiles};
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::kernels::{DistanceLoss, PassOptions, Real};

/// The maximum size of the groups of one panel.
const HELD: usize = 1 << 25;

impl<T: Real> PairTiles<'_, T> {
    /// The influence of all rows on means of scores, and on those over single classes. Holds the derivatives of scores by
    /// mean distances.
    pub(crate) fn influence<L: DistanceLoss, A: TakesInfluence>(
        &self,
        scores: &[L],
        classes: &[usize],
        takers: &mut [Vec<A>],
    ) -> Result<Vec<Influence>> {
        let slopes = self.slopes(scores)?;
        let at_once = HELD / self.order.len();
        influence(self.dataset, scores.len(), classes, takers, at_once, |scores, groups| {
            self.group_sums(&slopes, scores, groups)
        })
    }

    /// The weighted derivatives of the scores of every row, in class order.
    fn slopes<L: DistanceLoss>(&self, scores: &[L]) -> Result<Vec<Vec<RowSlopes>>> {
        let fold = SlopesFold { scores, classes: self.class_weights.len() };
        let mut rows = self.pass(&fold, PassOptions::default())?.rows;
        let mut slopes: Vec<Vec<RowSlopes>> = self.order.iter().map(|&row| std::mem::take(&mut rows[row])).collect();
        slopes.par_iter_mut().zip(&self.order).for_each(|(slopes, &row)| {
            slopes.iter_mut().for_each(|slopes| slopes.weigh(self.dataset, row));
        });
        Ok(slopes)
    }

    /// The sums of the first so many scores; `slopes` are in the order of classes.
    fn group_sums(&self, slopes: &[Vec<RowSlopes>], scores: usize, groups: &[Anchors]) -> Result<Vec<Sums>> {
        let n = self.order.len();
        let shares = shares_by_class(groups, self.class_weights);
        let mut sums: Vec<Sums> = (0..scores).map(|_| Sums::new(n, groups.len())).collect();
        for (&row, slopes) in self.order.iter().zip(slopes) {
            for (sums, slopes) in sums.iter_mut().zip(slopes) {
                sums.scores[row] = slopes.score;
                sums.own[row] = slopes.own;
            }
        }
        self.progress.begin("influence of rows", n as u64 * n as u64);
        let series = scores * groups.len();
        for batch in tiles(0..n).chunks((HELD / (TILE * series)).max(1)) {
            let parts: Vec<Vec<f64>> = batch
                .par_iter()
                .map_init(Workspace::default, |workspace, columns| {
                    let columns = columns.clone();
                    vectorized(ColumnsTask {
                        kernel: self,
                        slopes,
                        shares: &shares,
                        scores,
                        groups: groups.len(),
                        columns,
                        workspace,
                    })
                })
                .collect::<Result<_>>()?;
            for (columns, part) in batch.iter().zip(parts) {
                let rows = &self.order[columns.clone()];
                let targets = sums.iter_mut().flat_map(|sums| &mut sums.values);
                for (target, part) in targets.zip(part.chunks_exact(rows.len())) {
                    for (&row, value) in rows.iter().zip(part) {
                        target[row] = value / self.scale;
                    }
                }
            }
        }
        self.progress.end();
        Ok(sums)
    }
}

/// The contributions of all anchors to a tile of columns: for each score and group, one value per column.
struct ColumnsTask<'t, 'a, T> {
    kernel: &'t PairTiles<'a, T>,
    slopes: &'t [Vec<RowSlopes>],
    /// For each class, the groups that its rows are anchors of.
    shares: &'t [Vec<(usize, f64)>],
    scores: usize,
    groups: usize,
    columns: Range<usize>,
    workspace: &'t mut Workspace<T>,
}

impl<T: Real> Vectorized for ColumnsTask<'_, '_, T> {
    type Output = Result<Vec<f64>>;

    #[inline(always)]
    fn run(self) -> Result<Vec<f64>> {
        let ColumnsTask { kernel, slopes, shares, scores, groups, columns, workspace } = self;
        let width = columns.len();
        let mut values = vec![0.0; scores * groups * width];
        let mut sums = vec![0.0; width];
        let classes = kernel.class_of[columns.start] as usize..kernel.class_of[columns.end - 1] as usize + 1;
        kernel.lay_out(&columns, &mut workspace.packed);
        for rows in tiles(0..kernel.order.len()) {
            vectorized(FillTile { kernel, rows: rows.clone(), columns: columns.clone(), workspace });
            let mut start = rows.start;
            while start < rows.end {
                let class = kernel.class_of[start] as usize;
                let end = kernel.starts[class + 1].min(rows.end);
                for score in 0..scores {
                    if shares[class].is_empty() {
                        continue;
                    }
                    sums.fill(0.0);
                    for (row, slopes) in (start..end).zip(&slopes[start..end]) {
                        let distances = &workspace.tile[(row - rows.start) * width..][..width];
                        for class in classes.clone() {
                            let slope = slopes[score].get(class);
                            if slope != 0.0 {
                                let first = kernel.starts[class].max(columns.start) - columns.start;
                                let last = kernel.starts[class + 1].min(columns.end) - columns.start;
                                for (sum, distance) in sums[first..last].iter_mut().zip(&distances[first..last]) {
                                    *sum += slope * distance.to_f64();
                                }
                            }
                        }
                    }
                    for &(group, share) in &shares[class] {
                        let target = &mut values[(score * groups + group) * width..][..width];
                        for (value, sum) in target.iter_mut().zip(&sums) {
                            *value += share * sum;
                        }
                    }
                }
                start = end;
            }
            for &(row, column) in &workspace.cancelled {
                let (row, column) = (row as usize, column as usize);
                if row == column {
                    continue;
                }
                let distance = kernel.exact_distance(row, column);
                let (class, column_class) = (kernel.class_of[row] as usize, kernel.class_of[column] as usize);
                for (score, slopes) in slopes[row].iter().take(scores).enumerate() {
                    let part = slopes.get(column_class) * distance;
                    for &(group, share) in &shares[class] {
                        values[(score * groups + group) * width + column - columns.start] += share * part;
                    }
                }
            }
            kernel.progress.step((rows.len() * width) as u64)?;
        }
        Ok(values)
    }
}
