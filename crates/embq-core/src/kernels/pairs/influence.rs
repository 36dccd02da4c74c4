//! Influence for Euclidean and Manhattan distances: a second pass over all pairs, in which the rows of either side collect
//! what the anchors on the other side contribute to their classes.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::Result;
use crate::kernels::dense::lane_sum_2;
use crate::kernels::influence::{
    Anchors, Groups, Influence, RowSlopes, SlopesFold, Sums, TakesInfluence, influence, row_slopes,
};
use crate::kernels::pairs::{FillTile, PairTiles, TILE, Workspace, tiles};
use crate::kernels::parallel;
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::kernels::{DistanceLoss, PassOptions, Real};

/// The maximum size of the groups of one panel, and of what tiles contribute before it is added.
const HELD: usize = 1 << 25;

/// Rows that are paired with a tile of columns at a time.
const STRIP: usize = 8 * TILE;

impl<T: Real> PairTiles<'_, T> {
    /// The influence of all rows on means of scores, and on those over single classes, from mean distances that were kept or
    /// another pass. Holds the derivatives of scores by mean distances.
    pub(crate) fn influence<L: DistanceLoss, A: TakesInfluence>(
        &self,
        scores: &[L],
        kept: Option<&[Vec<f64>]>,
        classes: &[usize],
        takers: &mut [Vec<A>],
    ) -> Result<Vec<Influence>> {
        let pass = |fold: &SlopesFold<'_, L>| Ok(self.pass(fold, PassOptions::default())?.rows);
        let mut slopes = row_slopes(self.dataset, scores, kept, pass)?;
        let slopes: Vec<Vec<RowSlopes>> = self.order.iter().map(|&row| std::mem::take(&mut slopes[row])).collect();
        let at_once = HELD / self.order.len();
        influence(self.dataset, scores.len(), classes, takers, at_once, |groups| self.group_sums(&slopes, groups))
    }

    /// The sums of the first scores; `slopes` are in the order of classes.
    fn group_sums(&self, slopes: &[Vec<RowSlopes>], groups: &[Vec<Anchors>]) -> Result<Vec<Sums>> {
        let n = self.order.len();
        let groups = Groups::new(groups, self.class_weights);
        // In class order, scaled.
        let mut values = vec![vec![0.0; n]; groups.len()];
        self.progress.begin("influence of rows", n as u64 * (n as u64 + 1) / 2);
        let held = STRIP * groups.of_classes(TILE) + TILE * groups.of_classes(STRIP);
        for start in (0..n).step_by(STRIP) {
            let strip = start..(start + STRIP).min(n);
            for batch in tiles(start..n).chunks((HELD / held).max(1)) {
                let parts: Vec<[Contributions; 2]> = parallel::try_map_with(batch, |buffers, columns| {
                    let (strip, columns) = (strip.clone(), columns.clone());
                    vectorized(StripTask { kernel: self, slopes, groups: &groups, strip, columns, buffers })
                })?;
                parts.iter().flatten().for_each(|part| part.add_to(&mut values));
            }
        }
        self.progress.end();
        let mut sums = groups.sums(n);
        for (&row, slopes) in self.order.iter().zip(slopes) {
            for (sums, slopes) in sums.iter_mut().zip(slopes) {
                sums.scores[row] = slopes.score;
                sums.own[row] = slopes.own;
            }
        }
        let targets: Vec<&mut Vec<f64>> = sums.iter_mut().flat_map(|sums| &mut sums.values).collect();
        targets.into_par_iter().zip(values).for_each(|(target, values)| {
            for (&row, value) in self.order.iter().zip(values) {
                target[row] = value / self.scale;
            }
        });
        Ok(sums)
    }
}

/// What anchors of some classes contribute to some rows, for each group that they are in.
struct Contributions {
    rows: Range<usize>,
    groups: Vec<usize>,
    /// The place of each group among `groups`.
    places: Vec<usize>,
    /// One value for each group and row.
    values: Vec<f64>,
}

impl Contributions {
    fn new(groups: &Groups, anchors: Range<usize>, rows: Range<usize>) -> Self {
        let mut places = vec![usize::MAX; groups.len()];
        let mut met = Vec::new();
        for (score, class) in (0..groups.scores()).flat_map(|score| anchors.clone().map(move |class| (score, class))) {
            for &(group, _) in groups.of(score, class) {
                if places[group] == usize::MAX {
                    places[group] = met.len();
                    met.push(group);
                }
            }
        }
        let values = vec![0.0; met.len() * rows.len()];
        Contributions { rows, groups: met, places, values }
    }

    /// The values of a group that its anchors are in.
    #[inline(always)]
    fn of(&mut self, group: usize) -> &mut [f64] {
        &mut self.values[self.places[group] * self.rows.len()..][..self.rows.len()]
    }

    fn add_to(&self, totals: &mut [Vec<f64>]) {
        for (&group, values) in self.groups.iter().zip(self.values.chunks_exact(self.rows.len().max(1))) {
            for (total, value) in totals[group][self.rows.clone()].iter_mut().zip(values) {
                *total += value;
            }
        }
    }
}

struct Buffers<T> {
    workspace: Workspace<T>,
    /// Sums or slopes of the columns of a tile.
    columns: Vec<f64>,
}

impl<T> Default for Buffers<T> {
    fn default() -> Self {
        Buffers { workspace: Workspace::default(), columns: Vec::new() }
    }
}

/// What the rows of a strip and a tile of columns contribute to each other: to the columns and to the rows. Inside the
/// strip, the tiles up to the diagonal are taken, so that each pair of rows meets once.
struct StripTask<'t, 'a, T> {
    kernel: &'t PairTiles<'a, T>,
    slopes: &'t [Vec<RowSlopes>],
    groups: &'t Groups,
    strip: Range<usize>,
    columns: Range<usize>,
    buffers: &'t mut Buffers<T>,
}

impl<T: Real> Vectorized for StripTask<'_, '_, T> {
    type Output = Result<[Contributions; 2]>;

    #[inline(always)]
    fn run(self) -> Result<[Contributions; 2]> {
        let StripTask { kernel, slopes, groups, strip, columns, buffers: Buffers { workspace, columns: buffer } } =
            self;
        let rows = strip.start..strip.end.min(columns.end);
        let mut to_columns = Contributions::new(groups, kernel.classes_of(&rows), columns.clone());
        let mut to_rows = Contributions::new(groups, kernel.classes_of(&columns), rows.clone());
        kernel.lay_out(&columns, &mut workspace.packed);
        for rows in tiles(rows) {
            vectorized(FillTile { kernel, rows: rows.clone(), columns: columns.clone(), workspace });
            let tile = Tile {
                kernel,
                slopes,
                groups,
                rows: rows.clone(),
                columns: columns.clone(),
                distances: &workspace.tile,
            };
            tile.add_to_columns(buffer, &mut to_columns);
            // On the diagonal, the columns are the rows.
            let is_diagonal = rows.start == columns.start;
            if !is_diagonal {
                tile.add_to_rows(buffer, &mut to_rows);
            }
            for &(row, column) in &workspace.cancelled {
                let (row, column) = (row as usize, column as usize);
                if row == column {
                    continue;
                }
                let distance = kernel.exact_distance(row, column);
                tile.add_pair(row, column, distance, &mut to_columns);
                if !is_diagonal {
                    tile.add_pair(column, row, distance, &mut to_rows);
                }
            }
            let pairs = rows.len() * columns.len();
            kernel.progress.step(if is_diagonal { pairs + columns.len() } else { 2 * pairs } as u64 / 2)?;
        }
        Ok([to_columns, to_rows])
    }
}

/// The distances of some rows to some columns.
struct Tile<'t, 'a, T> {
    kernel: &'t PairTiles<'a, T>,
    slopes: &'t [Vec<RowSlopes>],
    groups: &'t Groups,
    rows: Range<usize>,
    columns: Range<usize>,
    distances: &'t [T],
}

impl<T: Real> Tile<'_, '_, T> {
    /// What the rows contribute to the columns.
    #[inline(always)]
    fn add_to_columns(&self, sums: &mut Vec<f64>, contributions: &mut Contributions) {
        let Tile { kernel, slopes, groups, rows, columns, distances } = self;
        sums.resize(columns.len(), 0.0);
        for class in kernel.classes_of(rows) {
            let of_class = kernel.part_of_class(class, rows);
            for score in 0..groups.scores() {
                let shares = groups.of(score, class);
                if shares.is_empty() {
                    continue;
                }
                sums.fill(0.0);
                for row in of_class.clone() {
                    let distances = &distances[row * columns.len()..][..columns.len()];
                    let slopes = &slopes[rows.start + row][score];
                    for class in kernel.classes_of(columns) {
                        let slope = slopes.get(class);
                        if slope != 0.0 {
                            let part = kernel.part_of_class(class, columns);
                            for (sum, distance) in sums[part.clone()].iter_mut().zip(&distances[part]) {
                                *sum += slope * distance.to_f64();
                            }
                        }
                    }
                }
                for &(group, share) in shares {
                    for (value, sum) in contributions.of(group).iter_mut().zip(&*sums) {
                        *value += share * sum;
                    }
                }
            }
        }
    }

    /// What the columns contribute to the rows.
    #[inline(always)]
    fn add_to_rows(&self, column_slopes: &mut Vec<f64>, contributions: &mut Contributions) {
        let Tile { kernel, slopes, groups, rows, columns, distances } = self;
        let first = rows.start - contributions.rows.start;
        for class in kernel.classes_of(rows) {
            let of_class = kernel.part_of_class(class, rows);
            for score in 0..groups.scores() {
                column_slopes.clear();
                column_slopes.extend(slopes[columns.clone()].iter().map(|slopes| slopes[score].get(class)));
                for anchors in kernel.classes_of(columns) {
                    let part = kernel.part_of_class(anchors, columns);
                    let (shares, slopes) = (groups.of(score, anchors), &column_slopes[part.clone()]);
                    if shares.is_empty() || slopes.iter().all(|&slope| slope == 0.0) {
                        continue;
                    }
                    for row in of_class.clone() {
                        let distances = &distances[row * columns.len()..][part.clone()];
                        let sum = lane_sum_2(distances, slopes, |distance, slope| slope * distance.to_f64());
                        for &(group, share) in shares {
                            contributions.of(group)[first + row] += share * sum;
                        }
                    }
                }
            }
        }
    }

    /// What an anchor contributes to a row.
    fn add_pair(&self, anchor: usize, row: usize, distance: f64, contributions: &mut Contributions) {
        let [anchor_class, class] = [anchor, row].map(|row| self.kernel.class_of[row] as usize);
        let place = row - contributions.rows.start;
        for (score, slopes) in self.slopes[anchor].iter().take(self.groups.scores()).enumerate() {
            let part = slopes.get(class) * distance;
            for &(group, share) in self.groups.of(score, anchor_class) {
                contributions.of(group)[place] += share * part;
            }
        }
    }
}
