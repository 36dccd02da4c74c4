//! Statistics of all pairs of rows, in one pass over tiles of pairs; no N x N matrix is stored.

use std::ops::Range;

use crate::data::Dataset;
use crate::distance::Distance;
use crate::error::Result;
use crate::kernels::Real;
use crate::kernels::bounded_pairs::{BoundedPairs, PairTile, TILE, Workspace};
use crate::kernels::dense::lane_sum;
use crate::kernels::exponential::exp_and_exp_m1;
use crate::kernels::parallel;
use crate::kernels::vectorized::{Vectorized, vectorized};

/// The statistics to compute.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct PairsWanted {
    /// The mean of exp(-2 d^2).
    pub(crate) potential: bool,
    /// For each row, the logarithm of the sum over the others of exp(-d^2 / (2 t)), for this t.
    pub(crate) log_sums: Option<f64>,
    /// The smallest distance between classes and the largest within classes.
    pub(crate) extremes: bool,
}

/// The requested statistics; d is the Euclidean distance of the rows, or of their unit vectors for cosine.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct PairStatistics {
    /// The mean of exp(-2 d^2) over all pairs; `None` if there are no pairs.
    pub(crate) potential: Option<f64>,
    pub(crate) log_sums: Vec<f64>,
    pub(crate) extremes: Extremes,
}

/// Exact extremes of the distances of the data set.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Extremes {
    /// The smallest distance between two rows of different classes.
    pub(crate) between: Option<f64>,
    /// The largest distance between two rows of one class.
    pub(crate) within: Option<f64>,
}

impl Extremes {
    fn add(&mut self, same_class: bool, distance: f64) {
        if same_class {
            self.within = Some(self.within.map_or(distance, |within| within.max(distance)));
        } else {
            self.between = Some(self.between.map_or(distance, |between| between.min(distance)));
        }
    }
}

impl<T: Real> BoundedPairs<'_, T> {
    /// One pass over all pairs of the rows of a data set.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn statistics(&self, dataset: &Dataset, wanted: PairsWanted) -> Result<PairStatistics> {
        let rows = dataset.len();
        self.progress.begin("pairs of rows", rows as u64);
        let starts = (0..rows).step_by(TILE);
        let blocks: Vec<BlockStatistics> =
            parallel::try_map_with(starts, |(workspace, exact): &mut (Workspace<T>, Workspace<T>), start| {
                let queries: Vec<usize> = (start..(start + TILE).min(rows)).collect();
                let mut block = BlockStatistics {
                    log_sums: vec![0.0; if wanted.log_sums.is_some() { queries.len() } else { 0 }],
                    ..Default::default()
                };
                let mut bounds = vec![(f64::INFINITY, f64::NEG_INFINITY); queries.len()];
                // Sums for each row need its pairs with all others; symmetric statistics only need those after it.
                let first = if wanted.log_sums.is_some() { 0 } else { start };
                let mut failed = Ok(());
                self.for_each_tile(&queries, first, workspace, |tile| {
                    let codes = dataset.labels().codes();
                    vectorized(AddTile { pairs: self, codes, tile, wanted, block: &mut block, bounds: &mut bounds });
                    if wanted.extremes && failed.is_ok() {
                        failed = self.look_closer(codes, tile, &bounds, &mut block.extremes, exact);
                    }
                })?;
                failed?;
                self.progress.step(queries.len() as u64)?;
                Ok(block)
            })?;
        self.progress.end();
        let pairs = rows as f64 * (rows as f64 - 1.0) / 2.0;
        let potential: f64 = blocks.iter().map(|block| block.potential).sum();
        let mut extremes = Extremes::default();
        for block in &blocks {
            block.extremes.between.into_iter().for_each(|distance| extremes.add(false, distance));
            block.extremes.within.into_iter().for_each(|distance| extremes.add(true, distance));
        }
        Ok(PairStatistics {
            potential: (wanted.potential && rows > 1).then(|| potential / pairs),
            log_sums: blocks.into_iter().flat_map(|block| block.log_sums).map(f64::ln).collect(),
            extremes,
        })
    }

    /// Computes the distances of a tile that may be extremes from differences.
    fn look_closer(
        &self,
        codes: &[u32],
        tile: &PairTile<'_, T>,
        bounds: &[(f64, f64)],
        extremes: &mut Extremes,
        workspace: &mut Workspace<T>,
    ) -> Result<()> {
        for ((query, values), &(lowest, highest)) in tile.rows().zip(bounds) {
            let compared = |distance: f64| self.squared(distance);
            let nearest = extremes.between.map_or(f64::INFINITY, compared);
            let widest = extremes.within.map_or(f64::NEG_INFINITY, compared);
            if lowest >= nearest && highest <= widest {
                continue;
            }
            let own = codes[query];
            let mut unsure = Vec::new();
            for (row, value) in later(&tile.columns, query).zip(&values[skipped(&tile.columns, query)..]) {
                let (squared, error) = self.squared_of(query, row, value.to_f64());
                let may_be = if codes[row] == own { squared + error > widest } else { squared - error < nearest };
                if may_be {
                    unsure.push(row as u32);
                }
            }
            for found in self.distances(query, unsure.into_iter(), workspace)? {
                extremes.add(codes[found.row as usize] == own, found.distance);
            }
        }
        Ok(())
    }

    /// A distance in the units of [`Self::squared_of`].
    fn squared(&self, distance: f64) -> f64 {
        match self.distance {
            Distance::Manhattan | Distance::Precomputed => distance,
            Distance::Cosine => 2.0 * distance * self.scale * self.scale,
            Distance::Euclidean => distance * distance * self.scale * self.scale,
            Distance::SqEuclidean | Distance::Hamming => distance * self.scale * self.scale,
        }
    }

    /// The squared distance of scaled rows from a tile's value, and its error bound; the distance itself if the tile
    /// contains distances.
    #[inline(always)]
    fn squared_of(&self, query: usize, row: usize, value: f64) -> (f64, f64) {
        match (self.squares(&(query..query + 1)), self.squares(&(row..row + 1))) {
            (Some([query_square]), Some([square])) => {
                let squared = (query_square.to_f64() + square.to_f64() - 2.0 * value).max(0.0);
                (squared, 0.5 * self.uncertainty(query, row))
            }
            _ => (value, value * T::EPSILON),
        }
    }
}

/// The rows of a tile after a query.
fn later(columns: &Range<usize>, query: usize) -> Range<usize> {
    columns.start + skipped(columns, query)..columns.end
}

/// The number of rows of a tile that are not after a query.
fn skipped(columns: &Range<usize>, query: usize) -> usize {
    (query + 1).clamp(columns.start, columns.end) - columns.start
}

/// The statistics of a block of rows.
#[derive(Default)]
struct BlockStatistics {
    potential: f64,
    log_sums: Vec<f64>,
    extremes: Extremes,
}

/// Adds a tile to the sums of a block, and bounds the extremes of each of its rows.
struct AddTile<'t, 'a, T> {
    pairs: &'t BoundedPairs<'a, T>,
    codes: &'t [u32],
    tile: &'t PairTile<'t, T>,
    wanted: PairsWanted,
    block: &'t mut BlockStatistics,
    /// For each row, a lower bound of the distances to other classes and an upper bound of those to its own class in
    /// this tile.
    bounds: &'t mut [(f64, f64)],
}

impl<T: Real> Vectorized for AddTile<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let AddTile { pairs, codes, tile, wanted, block, bounds } = self;
        let columns = &tile.columns;
        let unscale = 1.0 / (pairs.scale * pairs.scale);
        let (mut squared, mut exponentials) = ([0.0; TILE], [0.0; TILE]);
        let (squared, exponentials) = (&mut squared[..columns.len()], &mut exponentials[..columns.len()]);
        for (position, (query, values)) in tile.rows().enumerate() {
            let after = skipped(columns, query);
            if let (Some(squares), Some([own_square])) = (pairs.squares(columns), pairs.squares(&(query..query + 1))) {
                let own_square = own_square.to_f64();
                for ((squared, value), square) in squared.iter_mut().zip(values).zip(squares) {
                    let difference = own_square + square.to_f64() - 2.0 * value.to_f64();
                    *squared = if difference > 0.0 { difference * unscale } else { 0.0 };
                }
            }
            if wanted.potential {
                for (exponential, squared) in exponentials.iter_mut().zip(&*squared) {
                    *exponential = exp_and_exp_m1(-2.0 * squared).0;
                }
                block.potential += lane_sum(&exponentials[after..], |value| value);
            }
            if let Some(t) = wanted.log_sums {
                let rate = -0.5 / t;
                for (exponential, squared) in exponentials.iter_mut().zip(&*squared) {
                    *exponential = exp_and_exp_m1(rate * squared).0;
                }
                if columns.contains(&query) {
                    exponentials[query - columns.start] = 0.0;
                }
                block.log_sums[position] += lane_sum(exponentials, |value| value);
            }
            if wanted.extremes {
                let own = codes[query];
                let (mut lowest, mut highest) = (f64::INFINITY, f64::NEG_INFINITY);
                let others = later(columns, query);
                for ((row, value), code) in others.clone().zip(&values[after..]).zip(&codes[others]) {
                    let (squared, error) = pairs.squared_of(query, row, value.to_f64());
                    let (low, high) = (squared - error, squared + error);
                    let same = *code == own;
                    lowest = if !same && low < lowest { low } else { lowest };
                    highest = if same && high > highest { high } else { highest };
                }
                bounds[position] = (lowest, highest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::data::{DatasetOptions, Embeddings, LabelColumnBuilder, LabelType, Origin};
    use crate::progress::NoProgress;

    fn dataset(embeddings: Embeddings, distance: Distance) -> Dataset<'static> {
        let mut labels = LabelColumnBuilder::new(LabelType::Integer);
        (0..embeddings.rows()).for_each(|row| labels.push_integer((row as i128 * row as i128) % 5));
        Dataset::join(embeddings, &labels.finish(Origin::new("labels")), distance, &DatasetOptions::default()).unwrap()
    }

    fn values(rows: usize, offset: f64) -> Array2<f64> {
        Array2::from_shape_fn((rows, 6), |(i, j)| offset + ((i * 37 + j * 101 + i * j * 13) % 97) as f64 / 97.0 - 0.4)
    }

    fn statistics<T: Real>(dataset: &Dataset, wanted: PairsWanted) -> PairStatistics {
        let pairs = BoundedPairs::<T>::new(dataset, None, dataset.distance(), &NoProgress).unwrap();
        pairs.statistics(dataset, wanted).unwrap()
    }

    #[test]
    fn numbers_of_pairs_are_those_of_a_plain_loop() {
        let wanted = PairsWanted { potential: true, log_sums: Some(0.1), extremes: true };
        for rows in [7, TILE + 40] {
            let values = values(rows, 0.0);
            for distance in [Distance::Cosine, Distance::Euclidean, Distance::SqEuclidean, Distance::Manhattan] {
                let wide = dataset(Embeddings::from_f64(Origin::new("rows"), values.clone()), distance);
                let narrow = values.mapv(|value| value as f32);
                let narrow = dataset(Embeddings::from_f32(Origin::new("rows"), narrow), distance);
                let found = statistics::<f64>(&wide, wanted);
                let rough = statistics::<f32>(&narrow, wanted);
                let squared = |i: usize, j: usize| {
                    let length = |i: usize| values.row(i).dot(&values.row(i)).sqrt();
                    let (left, right) = if distance == Distance::Cosine { (length(i), length(j)) } else { (1.0, 1.0) };
                    let (x, y) = (values.row(i), values.row(j));
                    x.iter().zip(y).map(|(x, y)| (x / left - y / right).powi(2)).sum::<f64>()
                };
                let (mut potential, mut between, mut within) = (0.0, f64::INFINITY, 0.0_f64);
                for i in 0..rows {
                    let mut sum = 0.0;
                    for j in (0..rows).filter(|&j| j != i) {
                        let square = squared(i, j);
                        sum += (-square / 0.2).exp();
                        let distance = match distance {
                            Distance::Cosine => 0.5 * square,
                            Distance::Euclidean => square.sqrt(),
                            Distance::Manhattan => (&values.row(i) - &values.row(j)).mapv(f64::abs).sum(),
                            _ => square,
                        };
                        potential += 0.5 * (-2.0 * square).exp();
                        if wide.labels().codes()[i] == wide.labels().codes()[j] {
                            within = within.max(distance);
                        } else {
                            between = between.min(distance);
                        }
                    }
                    if distance != Distance::Manhattan {
                        assert!((found.log_sums[i] - sum.ln()).abs() < 1e-12, "{distance} {i}");
                        assert!((rough.log_sums[i] - sum.ln()).abs() < 1e-4, "{distance} {i}");
                    }
                }
                if distance != Distance::Manhattan {
                    let potential = potential / (rows * (rows - 1) / 2) as f64;
                    assert!((found.potential.unwrap() - potential).abs() < 1e-13 * potential, "{distance}");
                    assert!((rough.potential.unwrap() - potential).abs() < 1e-5 * potential, "{distance}");
                }
                for (found, expected) in
                    [(found.extremes.between, between), (found.extremes.within, within)].into_iter()
                {
                    assert!((found.unwrap() - expected).abs() < 1e-14, "{distance}: {found:?} for {expected}");
                }
                assert!((rough.extremes.within.unwrap() - within).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn extremes_are_exact_far_from_the_origin() {
        let rows = values(TILE + 3, 3e3).mapv(|value| value as f32);
        let narrow = dataset(Embeddings::from_f32(Origin::new("rows"), rows.clone()), Distance::Euclidean);
        let wide = dataset(Embeddings::from_f64(Origin::new("rows"), rows.mapv(f64::from)), Distance::Euclidean);
        let wanted = PairsWanted { extremes: true, ..Default::default() };
        assert_eq!(statistics::<f32>(&narrow, wanted).extremes, statistics::<f64>(&wide, wanted).extremes);
    }

    #[test]
    fn threads_change_no_bit() {
        let dataset = dataset(Embeddings::from_f64(Origin::new("rows"), values(2 * TILE + 9, 0.0)), Distance::Cosine);
        let wanted = PairsWanted { potential: true, log_sums: Some(0.1), extremes: true };
        let compute = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| statistics::<f64>(&dataset, wanted))
        };
        assert_eq!(compute(1), compute(3));
    }
}
