//! Influence for precomputed distances: another pass over the rows of the matrix.

use rayon::prelude::*;

use crate::error::Result;
use crate::kernels::influence::{
    Anchors, ClassInfluence, Influence, RowSlopes, SlopesFold, Sums, class_influence, influence, shares_by_class,
};
use crate::kernels::precomputed::{BLOCK_ROWS, Precomputed};
use crate::kernels::{DistanceLoss, Wanted};

/// The maximum size of the groups of one panel.
const HELD: usize = 1 << 25;

impl Precomputed<'_> {
    /// The influence of all rows on means of scores. Stores the derivatives of scores with respect to mean distances.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn influence<L: DistanceLoss>(&self, scores: &[L]) -> Result<Vec<Influence>> {
        let slopes = self.slopes(scores)?;
        influence(self.dataset, |groups| self.group_sums(&slopes, scores.len(), groups))
    }

    /// The influence of all rows on the means of scores over single classes.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn class_influence<L: DistanceLoss>(
        &self,
        scores: &[L],
        classes: &[usize],
        with: ClassInfluence<'_>,
    ) -> Result<()> {
        let slopes = self.slopes(scores)?;
        let sums = |groups: &[Anchors]| self.group_sums(&slopes, scores.len(), groups);
        class_influence(self.dataset, classes, HELD / self.dataset.len(), sums, with)
    }

    /// The weighted derivatives of the scores of every row.
    fn slopes<L: DistanceLoss>(&self, scores: &[L]) -> Result<Vec<Vec<RowSlopes>>> {
        let fold = SlopesFold { scores, classes: self.dataset.labels().classes() };
        let mut slopes = self.pass(&fold, Wanted::default())?.rows;
        slopes.par_iter_mut().enumerate().for_each(|(row, slopes)| {
            slopes.iter_mut().for_each(|slopes| slopes.weigh(self.dataset, row));
        });
        Ok(slopes)
    }

    fn group_sums(&self, slopes: &[Vec<RowSlopes>], scores: usize, groups: &[Anchors]) -> Result<Vec<Sums>> {
        let n = self.dataset.len();
        let codes = self.dataset.labels().codes();
        let shares = shares_by_class(groups, self.dataset.class_weights());
        let mut sums: Vec<Sums> = (0..scores).map(|_| Sums::new(n, groups.len())).collect();
        for (row, slopes) in slopes.iter().enumerate() {
            for (sums, slopes) in sums.iter_mut().zip(slopes) {
                sums.scores[row] = slopes.score;
                sums.own[row] = slopes.own;
            }
        }
        self.progress.begin("influence of rows", n as u64);
        for start in (0..n).step_by(BLOCK_ROWS) {
            let rows = start..(start + BLOCK_ROWS).min(n);
            let parts: Vec<Vec<f64>> = rows
                .clone()
                .into_par_iter()
                .map_init(Vec::new, |buffer, row| {
                    let distances = self.dataset.rows::<f64>(row..row + 1, buffer)?;
                    let class = codes[row] as usize;
                    let mut values = vec![0.0; scores * groups.len()];
                    for (anchor, slopes) in slopes.iter().enumerate().filter(|&(anchor, _)| anchor != row) {
                        let distance = distances[self.dataset.source_row(anchor)];
                        for (score, slopes) in slopes.iter().enumerate() {
                            let part = slopes.get(class) * distance;
                            for &(group, share) in &shares[codes[anchor] as usize] {
                                values[score * groups.len() + group] += share * part;
                            }
                        }
                    }
                    Ok(values)
                })
                .collect::<Result<_>>()?;
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
