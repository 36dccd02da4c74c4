//! Influence for precomputed distances: another pass over the rows of the matrix.

use crate::error::Result;
use crate::kernels::influence::{
    Anchors, Groups, Influence, RowSlopes, SlopesFold, Sums, TakesInfluence, influence, row_slopes,
};
use crate::kernels::parallel;
use crate::kernels::precomputed::{BLOCK_ROWS, Precomputed};
use crate::kernels::{DistanceLoss, PassOptions};

/// The maximum size of the groups of one panel.
const HELD: usize = 1 << 25;

impl Precomputed<'_> {
    /// The influence of all rows on means of scores, and on those over single classes, from mean distances that were kept or
    /// another pass. Holds the derivatives of scores by mean distances.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn influence<L: DistanceLoss, A: TakesInfluence>(
        &self,
        scores: &[L],
        kept: Option<&[Vec<f64>]>,
        classes: &[usize],
        takers: &mut [Vec<A>],
    ) -> Result<Vec<Influence>> {
        let pass = |fold: &SlopesFold<'_, L>| Ok(self.pass(fold, PassOptions::default())?.rows);
        let slopes = row_slopes(self.dataset, scores, kept, pass)?;
        let at_once = HELD / self.dataset.len();
        influence(self.dataset, scores.len(), classes, takers, at_once, |groups| self.group_sums(&slopes, groups))
    }

    /// The sums of the first scores.
    fn group_sums(&self, slopes: &[Vec<RowSlopes>], groups: &[Vec<Anchors>]) -> Result<Vec<Sums>> {
        let n = self.dataset.len();
        let codes = self.dataset.labels().codes();
        let groups = Groups::new(groups, self.dataset.class_weights());
        let mut sums = groups.sums(n);
        for (row, slopes) in slopes.iter().enumerate() {
            for (sums, slopes) in sums.iter_mut().zip(slopes) {
                sums.scores[row] = slopes.score;
                sums.own[row] = slopes.own;
            }
        }
        self.progress.begin("influence of rows", n as u64);
        for start in (0..n).step_by(BLOCK_ROWS) {
            let rows = start..(start + BLOCK_ROWS).min(n);
            let parts: Vec<Vec<f64>> = parallel::try_map_with(rows.clone(), |buffer, row| {
                let distances = self.dataset.rows::<f64>(row..row + 1, buffer)?;
                let class = codes[row] as usize;
                let mut values = vec![0.0; groups.len()];
                for (anchor, slopes) in slopes.iter().enumerate().filter(|&(anchor, _)| anchor != row) {
                    let distance = distances[self.dataset.source_row(anchor)];
                    for (score, slopes) in slopes.iter().take(groups.scores()).enumerate() {
                        let part = slopes.get(class) * distance;
                        for &(group, share) in groups.of(score, codes[anchor] as usize) {
                            values[group] += share * part;
                        }
                    }
                }
                Ok(values)
            })?;
            for (row, values) in rows.clone().zip(parts) {
                let targets = sums.iter_mut().flat_map(|sums| &mut sums.values);
                for (target, value) in targets.zip(values) {
                    target[row] = value;
                }
            }
            self.progress.step(rows.len() as u64)?;
        }
        self.progress.end();
        Ok(sums)
    }
}
