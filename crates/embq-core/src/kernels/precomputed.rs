//! Precomputed distances: one pass over the rows of the matrix.

mod influence;

use crate::data::{Dataset, held_rows};
use crate::error::{Cure, Error, Result};
use crate::kernels::between_classes::BetweenClasses;
use crate::kernels::parallel;
use crate::kernels::{ClassDistances, ClassGeometry, PassOptions, RowFold};
use crate::progress::Progress;

/// Rows per step.
const BLOCK_ROWS: usize = 64;

/// The maximum size of the sums of one step.
const BLOCK_SUMS: usize = 1 << 22;

/// A line of NumPy that makes a matrix in a file symmetric.
fn symmetric(name: &str) -> Option<String> {
    let output = format!("{}.symmetric.npy", name.strip_suffix(".npy")?);
    Some(format!(
        "if the two directions are one distance: m = numpy.load({name:?}); numpy.save({output:?}, (m + m.T) / 2)"
    ))
}

/// A checked matrix of distances.
pub(crate) struct Precomputed<'a> {
    dataset: &'a Dataset<'a>,
    progress: &'a dyn Progress,
}

impl<'a> Precomputed<'a> {
    /// Checks that the matrix is non-negative and symmetric with a zero diagonal.
    pub(crate) fn new(dataset: &'a Dataset<'a>, progress: &'a dyn Progress) -> Result<Self> {
        dataset.check_values::<f64>()?;
        let kernel = Precomputed { dataset, progress };
        kernel.check()?;
        Ok(kernel)
    }

    fn check(&self) -> Result<()> {
        let n = self.dataset.len();
        let name = || self.dataset.embeddings().origin().to_string();
        let refuse =
            |problem: String| Error::NotADistanceMatrix { name: name(), problem, cure: Cure::GiveDistanceMatrix };
        let columns: Vec<usize> = (0..n).map(|row| self.dataset.source_row(row)).collect();
        let largest = parallel::try_map_with((0..n).step_by(BLOCK_ROWS), |buffer, start| {
            self.progress.check()?;
            let end = (start + BLOCK_ROWS).min(n);
            let block = self.dataset.rows::<f64>(start..end, buffer)?;
            let mut largest = 0.0f64;
            for (row, values) in (start..end).zip(block.chunks_exact(self.dataset.dimensions())) {
                for &column in &columns {
                    if values[column] < 0.0 {
                        let row = columns[row];
                        return Err(refuse(format!("{} in row {row}, column {column}", values[column])));
                    }
                    largest = largest.max(values[column]);
                }
            }
            Ok(largest)
        })?;
        let tolerance = self.dataset.embeddings().rounding() * largest.into_iter().fold(0.0, f64::max);
        // Tiles above the diagonal with their mirror images, so that both are read in runs.
        let held = held_rows(n);
        parallel::try_map_with((0..n).step_by(held), |(upper, lower): &mut (Vec<f64>, Vec<f64>), start| {
            let end = (start + held).min(n);
            let d = self.dataset.dimensions();
            let upper = self.dataset.rows::<f64>(start..end, upper)?;
            for mirror in (start..n).step_by(BLOCK_ROWS) {
                self.progress.check()?;
                let mirror_end = (mirror + BLOCK_ROWS).min(n);
                let lower = self.dataset.rows::<f64>(mirror..mirror_end, lower)?;
                for row in start..end {
                    for column in mirror.max(row)..mirror_end {
                        let here = upper[(row - start) * d + columns[column]];
                        let there = lower[(column - mirror) * d + columns[row]];
                        if row == column && here > tolerance {
                            return Err(refuse(format!("{here} on the diagonal in row {}", columns[row])));
                        }
                        if (here - there).abs() > tolerance {
                            let (row, column) = (columns[row], columns[column]);
                            let problem = format!(
                                "{here} in row {row}, column {column}, but {there} in row {column}, column {row}"
                            );
                            let name = name();
                            let cure = symmetric(&name).map_or(Cure::GiveDistanceMatrix, Cure::Advice);
                            return Err(Error::NotADistanceMatrix { name, problem, cure });
                        }
                    }
                }
            }
            Ok(())
        })?;
        Ok(())
    }

    pub(crate) fn pass<F: RowFold>(&self, fold: &F, wanted: PassOptions) -> Result<ClassDistances<F::Output>> {
        let (scored, classes) = (self.dataset.scored(), self.dataset.labels().classes());
        let codes = self.dataset.labels().codes();
        let order = self.dataset.scored_by_class();
        let n = scored.len();
        let mut rows = vec![F::Output::default(); n];
        let mut between = BetweenClasses::new(classes, wanted);
        let step = (BLOCK_SUMS / classes).clamp(1, 4 * BLOCK_ROWS);
        self.progress.begin("distances to classes", n as u64);
        for block in order.chunks(step) {
            let means = parallel::try_map_with(block, |buffer, &index| {
                let row = scored.position(index);
                Ok(self.class_means(row, self.dataset.rows::<f64>(row..row + 1, buffer)?))
            })?;
            for (&index, means) in block.iter().zip(&means) {
                let row = scored.position(index);
                let own = codes[row] as usize;
                let mut state = fold.start(index, own);
                fold.absorb(&mut state, 0, means);
                rows[index] = fold.finish(state);
                between.add(own, self.dataset.weight(row), means);
            }
            self.progress.step(block.len() as u64)?;
        }
        self.progress.end();
        let (nearest, matrix) = between.finish();
        let geometry = ClassGeometry {
            nearest,
            centroid_separation: vec![None; classes],
            variance: vec![None; classes],
            radius: vec![None; if wanted.geometry { n } else { 0 }],
            scatter: None,
            matrix,
        };
        Ok(ClassDistances { rows, geometry })
    }

    /// The mean distance of a row to every class, excluding the row itself.
    fn class_means(&self, row: usize, distances: &[f64]) -> Vec<f64> {
        let class_weights = self.dataset.class_weights();
        let codes = self.dataset.labels().codes();
        let mut sums = vec![0.0; class_weights.len()];
        for (other, &code) in codes.iter().enumerate() {
            if other != row {
                sums[code as usize] += self.dataset.weight(other) * distances[self.dataset.source_row(other)];
            }
        }
        let own = codes[row] as usize;
        for (class, (sum, &weight)) in sums.iter_mut().zip(class_weights).enumerate() {
            let others = if class == own { self.dataset.weight_of_others(row) } else { weight };
            *sum = if others > 0.0 { *sum / others } else { 0.0 };
        }
        sums
    }
}
