//! Exact nearest neighbours of rows, without an N x N matrix.
//!
//! A block of queries is compared with the gallery tile by tile. While a tile is in cache, rows whose distance may be
//! among the k smallest become candidates. At the end, the distances of the candidates are computed from differences in
//! float64 and ranked, with ties in row order. The ranks are therefore those of float64 distances, whatever accuracy
//! the products lost.

use std::sync::{Mutex, PoisonError};

use ndarray::Array2;

use crate::data::{Dataset, Precision};
use crate::error::Result;
use crate::kernels::Real;
use crate::kernels::bounded_pairs::{BoundedPairs, Neighbour, PairTile, TILE, Workspace, lower_bounds};
use crate::kernels::parallel;
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::progress::Progress;

/// Distances of a tile compared with the bound at once.
const CHUNK: usize = 32;

/// Candidates collected beyond the requested number before the list is shortened.
const SPARE: usize = 64;

/// The maximum number of candidates held at a time; with more, blocks of queries are finished one after the other.
const HELD: usize = 1 << 24;

/// The nearest rows of every row, nearest first, with ties in row order.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    /// N x k: the indices of the rows among the selected rows.
    pub indices: Array2<u32>,
    /// N x k: their distances, in the distance of the data set.
    pub distances: Array2<f64>,
}

/// The k nearest other rows of every row, or all N - 1 others if k is larger.
///
/// # Errors
/// Values that have no distance, and errors from reading rows.
pub fn nearest_neighbours(dataset: &Dataset, k: usize, progress: &dyn Progress) -> Result<Neighbours> {
    match dataset.embeddings().element_type().precision() {
        Precision::F32 => all_neighbours::<f32>(dataset, k, progress),
        Precision::F64 => all_neighbours::<f64>(dataset, k, progress),
    }
}

fn all_neighbours<T: Real>(dataset: &Dataset, k: usize, progress: &dyn Progress) -> Result<Neighbours> {
    let dataset = &*dataset.in_any_order(T::PRECISION)?;
    let rows = dataset.len();
    let k = k.min(rows.saturating_sub(1));
    let pairs = BoundedPairs::<T>::new(dataset, None, dataset.distance(), progress)?;
    let queries: Vec<usize> = (0..rows).collect();
    let found = pairs.nearest(&queries, |_| k, |_, neighbours| neighbours.to_vec())?;
    let shape = (rows, k);
    let flat = || found.iter().flatten();
    Ok(Neighbours {
        indices: Array2::from_shape_vec(shape, flat().map(|found| found.row).collect()).unwrap_or_default(),
        distances: Array2::from_shape_vec(shape, flat().map(|found| found.distance).collect()).unwrap_or_default(),
    })
}

impl<T: Real> BoundedPairs<'_, T> {
    /// Calls `with` for each query and its `wanted(query)` nearest rows, in parallel, and returns the results in order.
    /// There are fewer rows if the gallery does not have enough.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn nearest<R: Send>(
        &self,
        queries: &[usize],
        wanted: impl Fn(usize) -> usize + Sync,
        with: impl Fn(usize, &[Neighbour]) -> R + Sync,
    ) -> Result<Vec<R>> {
        let list_of = |query: &usize| Candidates::new(wanted(*query));
        let rows = self.gallery_rows();
        let held: usize = queries.iter().map(|&query| 2 * wanted(query) + SPARE).sum();
        let each_pair_once = self.is_symmetric() && queries.iter().copied().eq(0..rows) && held <= HELD;
        let blocks: Vec<Vec<R>> = if each_pair_once {
            let lists = self.candidates_of_all(queries.iter().map(list_of).collect())?;
            parallel::try_map_with(queries.chunks(TILE).zip(lists), |workspace, (queries, mut lists)| {
                self.finish(queries, &mut lists, &with, workspace)
            })?
        } else {
            self.progress.begin("neighbours", queries.len() as u64);
            parallel::try_map_with(queries.chunks(TILE), |workspace, queries| {
                let mut lists: Vec<Candidates> = queries.iter().map(list_of).collect();
                self.for_each_tile(queries, 0, workspace, |tile| {
                    vectorized(Collect { pairs: self, tile, lists: &mut lists });
                })?;
                self.progress.advance(queries.len() as u64);
                self.finish(queries, &mut lists, &with, workspace)
            })?
        };
        self.progress.end();
        Ok(blocks.into_iter().flatten().collect())
    }

    /// The candidates of all rows, in blocks: each pair of rows is multiplied once and considered for both. The order
    /// of the tiles does not matter, because any order yields the same nearest rows among the candidates.
    ///
    /// # Errors
    /// [`Error::Cancelled`](crate::Error::Cancelled).
    fn candidates_of_all(&self, lists: Vec<Candidates>) -> Result<Vec<Vec<Candidates>>> {
        let rows = lists.len();
        let mut lists = lists.into_iter();
        let blocks: Vec<Mutex<Vec<Candidates>>> =
            (0..rows.div_ceil(TILE)).map(|_| Mutex::new(lists.by_ref().take(TILE).collect())).collect();
        let count = blocks.len();
        let tiles: Vec<(usize, usize)> =
            (0..count).flat_map(|block| (block..count).map(move |other| (block, other))).collect();
        self.progress.begin("neighbours", tiles.len() as u64);
        let range = |block: usize| block * TILE..((block + 1) * TILE).min(rows);
        let lists_of = |block: usize| blocks[block].lock().unwrap_or_else(PoisonError::into_inner);
        parallel::try_map_with(tiles, |values, (block, other)| {
            let (queries, columns) = (range(block), range(other));
            self.product(&queries, &columns, values);
            let queries: Vec<usize> = queries.collect();
            let tile = PairTile { queries: &queries, columns, values };
            vectorized(Collect { pairs: self, tile: &tile, lists: &mut lists_of(block) });
            if other != block {
                vectorized(CollectColumns { pairs: self, tile: &tile, lists: &mut lists_of(other) });
            }
            self.progress.step(1)
        })?;
        Ok(blocks.into_iter().map(|lists| lists.into_inner().unwrap_or_else(PoisonError::into_inner)).collect())
    }

    /// Ranks the candidates of some queries by their exact distances.
    fn finish<R>(
        &self,
        queries: &[usize],
        lists: &mut [Candidates],
        with: &impl Fn(usize, &[Neighbour]) -> R,
        workspace: &mut Workspace<T>,
    ) -> Result<Vec<R>> {
        self.progress.check()?;
        let mut results = Vec::with_capacity(queries.len());
        for (&query, list) in queries.iter().zip(lists) {
            self.cut(query, list);
            let mut found = self.distances(query, list.rows.iter().map(|candidate| candidate.row), workspace)?;
            found.sort_unstable_by(Neighbour::order);
            found.truncate(list.wanted);
            results.push(with(query, &found));
            *list = Candidates::default();
        }
        Ok(results)
    }

    /// For each query and a row of the gallery at its exact distance, the number of rows ranked before it.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn ranks(&self, targets: &[(usize, Neighbour)]) -> Result<Vec<usize>> {
        self.progress.begin("ranks", targets.len() as u64);
        let blocks: Vec<Vec<usize>> = parallel::try_map_with(targets.chunks(TILE), |workspace, targets| {
            let queries: Vec<usize> = targets.iter().map(|&(query, _)| query).collect();
            let mut before = vec![0; targets.len()];
            let mut unsure: Vec<Vec<u32>> = vec![Vec::new(); targets.len()];
            self.for_each_tile(&queries, 0, workspace, |tile| {
                vectorized(Count { pairs: self, tile, targets, before: &mut before, unsure: &mut unsure });
            })?;
            for ((&(query, target), before), unsure) in targets.iter().zip(&mut before).zip(unsure) {
                let found = self.distances(query, unsure.into_iter(), workspace)?;
                *before += found.iter().filter(|found| found.order(&target).is_lt()).count();
            }
            self.progress.advance(targets.len() as u64);
            Ok(before)
        })?;
        self.progress.end();
        Ok(blocks.into_iter().flatten().collect())
    }

    /// The nearest of some rows of the gallery, excluding the query itself.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn nearest_among(&self, query: usize, rows: &[usize]) -> Result<Option<Neighbour>> {
        let own = self.own_row(query);
        let others = rows.iter().filter(|&&row| Some(row) != own).map(|&row| row as u32);
        let found = self.distances(query, others, &mut Workspace::default())?;
        Ok(found.into_iter().min_by(Neighbour::order))
    }

    /// Shortens a list that has grown too long.
    #[inline(always)]
    fn shorten(&self, query: usize, list: &mut Candidates) {
        self.cut(query, list);
        // With many equal distances, most of the list remains; the next call waits until it has doubled.
        list.limit = list.limit.max(2 * list.rows.len());
    }

    /// Lowers the bound of a list to the known distances, and drops the candidates beyond it.
    #[inline(always)]
    fn cut(&self, query: usize, list: &mut Candidates) {
        if list.rows.len() <= list.wanted {
            return;
        }
        let Some(last) = list.wanted.checked_sub(1) else {
            list.rows.clear();
            return;
        };
        list.uppers.clear();
        list.uppers.extend(list.rows.iter().map(|candidate| {
            let upper = candidate.lower + self.uncertainty(query, candidate.row as usize);
            if upper.is_nan() { f64::INFINITY } else { upper }
        }));
        let bound = *list.uppers.select_nth_unstable_by(last, f64::total_cmp).1;
        // The comparison is made in the precision of the tile.
        list.bound = bound + 2.0 * T::EPSILON * bound.abs();
        list.rows.retain(|candidate| {
            let beyond = candidate.lower > list.bound;
            !beyond
        });
    }
}

/// A row that may be one of the nearest.
#[derive(Clone, Copy)]
struct Candidate {
    /// A lower bound of its squared distance, less the square of the query.
    lower: f64,
    row: u32,
}

/// The candidates of one query.
#[derive(Default)]
struct Candidates {
    wanted: usize,
    rows: Vec<Candidate>,
    /// Rows beyond this are not among the nearest.
    bound: f64,
    /// The list is shortened at this many candidates.
    limit: usize,
    uppers: Vec<f64>,
}

impl Candidates {
    fn new(wanted: usize) -> Self {
        let bound = if wanted == 0 { f64::NEG_INFINITY } else { f64::INFINITY };
        Candidates { wanted, bound, limit: 2 * wanted + SPARE, ..Default::default() }
    }
}

/// Adds candidates from a tile to the lists of a block of queries.
struct Collect<'t, 'a, T> {
    pairs: &'t BoundedPairs<'a, T>,
    tile: &'t PairTile<'t, T>,
    lists: &'t mut [Candidates],
}

impl<T: Real> Vectorized for Collect<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Collect { pairs, tile, lists } = self;
        let squares = pairs.lower_squares(&tile.columns);
        let mut lower = [T::default(); TILE];
        let lower = &mut lower[..tile.columns.len()];
        for ((query, values), list) in tile.rows().zip(lists) {
            lower_bounds(squares, values, lower);
            let own = pairs.own_row(query);
            let mut bound = T::from_f64(list.bound);
            for (chunk, first) in lower.chunks(CHUNK).zip(tile.columns.clone().step_by(CHUNK)) {
                // NaN is not beyond the bound.
                let beyond: u32 = chunk.iter().map(|&lower| u32::from(lower > bound)).sum();
                if beyond as usize == chunk.len() {
                    continue;
                }
                for (&lower, row) in chunk.iter().zip(first..) {
                    if lower > bound || Some(row) == own {
                        continue;
                    }
                    list.rows.push(Candidate { lower: lower.to_f64(), row: row as u32 });
                }
                if list.rows.len() >= list.limit {
                    pairs.shorten(query, list);
                    bound = T::from_f64(list.bound);
                }
            }
        }
    }
}

/// Adds candidates from a tile to the lists of its columns, as if they were the queries.
struct CollectColumns<'t, 'a, T> {
    pairs: &'t BoundedPairs<'a, T>,
    tile: &'t PairTile<'t, T>,
    lists: &'t mut [Candidates],
}

impl<T: Real> Vectorized for CollectColumns<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let CollectColumns { pairs, tile, lists } = self;
        let mut bounds = [T::default(); TILE];
        let bounds = &mut bounds[..lists.len()];
        for (bound, list) in bounds.iter_mut().zip(&*lists) {
            *bound = T::from_f64(list.bound);
        }
        for (row, values) in tile.rows() {
            let Some(&[square]) = pairs.lower_squares(&(row..row + 1)) else { continue };
            for (index, values) in values.chunks(CHUNK).enumerate() {
                let places = index * CHUNK..index * CHUNK + values.len();
                let bounds = &mut bounds[places.clone()];
                // NaN is not beyond the bound.
                let beyond: u32 = values
                    .iter()
                    .zip(&*bounds)
                    .map(|(value, bound)| u32::from(square - (*value + *value) > *bound))
                    .sum();
                if beyond as usize == values.len() {
                    continue;
                }
                for ((value, bound), place) in values.iter().zip(bounds).zip(places) {
                    let lower = square - (*value + *value);
                    if lower > *bound {
                        continue;
                    }
                    let list = &mut lists[place];
                    list.rows.push(Candidate { lower: lower.to_f64(), row: row as u32 });
                    if list.rows.len() >= list.limit {
                        pairs.shorten(tile.columns.start + place, list);
                        *bound = T::from_f64(list.bound);
                    }
                }
            }
        }
    }
}

/// Counts the rows of a tile that certainly come before each query's target, and lists those that may.
struct Count<'t, 'a, T> {
    pairs: &'t BoundedPairs<'a, T>,
    tile: &'t PairTile<'t, T>,
    targets: &'t [(usize, Neighbour)],
    before: &'t mut [usize],
    unsure: &'t mut [Vec<u32>],
}

impl<T: Real> Vectorized for Count<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Count { pairs, tile, targets, before, unsure } = self;
        let squares = pairs.lower_squares(&tile.columns);
        let mut lower = [T::default(); TILE];
        let lower = &mut lower[..tile.columns.len()];
        let lists = before.iter_mut().zip(unsure);
        for (((query, values), (_, target)), (before, unsure)) in tile.rows().zip(targets).zip(lists) {
            lower_bounds(squares, values, lower);
            let own = pairs.own_row(query);
            let target = pairs.comparable(query, target.distance);
            let margin = 2.0 * T::EPSILON * target.abs() + 0.5 * pairs.uncertainty_of_query(query);
            for (&lower, row) in lower.iter().zip(tile.columns.clone()) {
                let lower = lower.to_f64();
                if lower > target + margin || Some(row) == own {
                    continue;
                }
                if lower + pairs.uncertainty(query, row) < target - margin {
                    *before += 1;
                } else {
                    unsure.push(row as u32);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DatasetOptions, Embeddings, LabelColumnBuilder, LabelType, Origin};
    use crate::distance::Distance;
    use crate::kernels::bounded_pairs::Exact;
    use crate::kernels::dense::RowScale;
    use crate::progress::NoProgress;

    fn dataset(embeddings: Embeddings, distance: Distance) -> Dataset<'static> {
        let mut labels = LabelColumnBuilder::new(LabelType::Integer);
        (0..embeddings.rows()).for_each(|row| labels.push_integer(row as i128 % 3));
        Dataset::join(embeddings, &labels.finish(Origin::new("labels")), distance, &DatasetOptions::default()).unwrap()
    }

    /// Rows with exact duplicates, near duplicates, one huge row, and a common offset.
    fn awkward(rows: usize, d: usize, offset: f64) -> Array2<f64> {
        let mut values = Array2::from_shape_fn((rows, d), |(i, j)| {
            let (i, j) = if i % 7 == 3 { (i - 2, j) } else { (i, j) };
            offset + ((i * 37 + j * 101 + i * j * 13) % 997) as f64 / 997.0 - 0.4
        });
        values.row_mut(rows / 2).mapv_inplace(|value| value * 1e9);
        for i in (5..rows).step_by(11) {
            let near = values.row(i - 1).mapv(|value| value * (1.0 + 1e-12));
            values.row_mut(i).assign(&near);
        }
        values
    }

    fn by_differences(values: &Array2<f64>, distance: Distance) -> Vec<Vec<Neighbour>> {
        let rows: Vec<Vec<f64>> = values
            .rows()
            .into_iter()
            .map(|row| {
                let row = row.to_vec();
                let mut scaled = row.clone();
                RowScale::of(&row, distance == Distance::Cosine).apply_to(&row, &mut scaled);
                scaled
            })
            .collect();
        (0..rows.len())
            .map(|i| {
                let others = (0..rows.len()).filter(|&j| j != i);
                let mut found: Vec<Neighbour> = others
                    .map(|j| {
                        let exact = Exact { distance, query: &rows[i], row: &rows[j], scale: RowScale::ONE };
                        Neighbour { row: j as u32, distance: exact.run() }
                    })
                    .collect();
                found.sort_by(Neighbour::order);
                found
            })
            .collect()
    }

    const DISTANCES: [Distance; 4] =
        [Distance::Cosine, Distance::Euclidean, Distance::SqEuclidean, Distance::Manhattan];

    #[test]
    fn neighbours_are_those_of_float64_differences() {
        for offset in [0.0, 300.0] {
            let values = awkward(2 * TILE + 37, 19, offset);
            for distance in DISTANCES {
                for single in [false, true] {
                    let origin = Origin::new("rows");
                    let (embeddings, values) = if single {
                        let narrow = values.mapv(|value| value as f32);
                        (Embeddings::from_f32(origin, narrow.clone()), narrow.mapv(f64::from))
                    } else {
                        (Embeddings::from_f64(origin, values.clone()), values.clone())
                    };
                    let expected = by_differences(&values, distance);
                    let dataset = dataset(embeddings, distance);
                    for k in [1, 10, 200] {
                        let found = nearest_neighbours(&dataset, k, &NoProgress).unwrap();
                        for (row, expected) in expected.iter().enumerate() {
                            let indices: Vec<u32> = expected[..k].iter().map(|neighbour| neighbour.row).collect();
                            assert_eq!(
                                found.indices.row(row).to_vec(),
                                indices,
                                "{distance} {single} k {k} row {row} offset {offset}"
                            );
                            let distances: Vec<f64> = expected[..k].iter().map(|n| n.distance).collect();
                            assert_eq!(found.distances.row(row).to_vec(), distances);
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn ranks_count_what_lies_nearer() {
        let values = awkward(TILE + 50, 7, 0.0);
        for distance in DISTANCES {
            let expected = by_differences(&values, distance);
            let dataset = dataset(Embeddings::from_f64(Origin::new("rows"), values.clone()), distance);
            let pairs = BoundedPairs::<f64>::new(&dataset, None, distance, &NoProgress).unwrap();
            let place = |row: usize| (row * 31) % (values.nrows() - 1);
            let targets: Vec<(usize, Neighbour)> =
                expected.iter().enumerate().map(|(row, found)| (row, found[place(row)])).collect();
            let ranks = pairs.ranks(&targets).unwrap();
            assert_eq!(ranks, (0..values.nrows()).map(place).collect::<Vec<_>>(), "{distance}");
        }
    }

    #[test]
    fn ties_go_by_row_number_and_k_is_limited() {
        let rows = Array2::from_shape_fn((5, 2), |_| 2.0f32);
        let dataset = dataset(Embeddings::from_f32(Origin::new("rows"), rows), Distance::Cosine);
        let found = nearest_neighbours(&dataset, 9, &NoProgress).unwrap();
        assert_eq!(found.indices.row(2).to_vec(), [0, 1, 3, 4]);
        assert_eq!(found.distances, Array2::<f64>::zeros((5, 4)));
    }

    #[test]
    fn a_gallery_has_rows_of_its_own() {
        let gallery = ndarray::array![[0.0, 0.0], [3.0, 0.0], [0.0, 5.0]];
        let gallery = dataset(Embeddings::from_f64(Origin::new("gallery"), gallery), Distance::Euclidean);
        let queries = ndarray::array![[0.0, 0.0], [2.0, 0.0]];
        let queries = dataset(Embeddings::from_f64(Origin::new("queries"), queries), Distance::Euclidean);
        let pairs = BoundedPairs::<f64>::new(&gallery, Some(&queries), Distance::Euclidean, &NoProgress).unwrap();
        let found = pairs.nearest(&[0, 1], |_| 2, |_, found| found.to_vec()).unwrap();
        let pairs = |found: &[Neighbour]| found.iter().map(|n| (n.row, n.distance)).collect::<Vec<_>>();
        assert_eq!(pairs(&found[0]), [(0, 0.0), (1, 3.0)]);
        assert_eq!(pairs(&found[1]), [(1, 1.0), (0, 2.0)]);
    }

    #[test]
    fn a_matrix_of_distances_is_looked_up() {
        let matrix = ndarray::array![[0.0, 2.0, 1.0], [2.0, 0.0, 2.0], [1.0, 2.0, 0.0]];
        let dataset = dataset(Embeddings::from_f64(Origin::new("matrix"), matrix), Distance::Precomputed);
        let found = nearest_neighbours(&dataset, 2, &NoProgress).unwrap();
        assert_eq!(found.indices, ndarray::array![[2, 1], [0, 2], [0, 1]]);
        assert_eq!(found.distances, ndarray::array![[1.0, 2.0], [2.0, 2.0], [1.0, 2.0]]);
    }

    #[test]
    fn threads_change_no_bit() {
        let values = awkward(3 * TILE + 1, 8, 0.0).mapv(|value| value as f32);
        let dataset = dataset(Embeddings::from_f32(Origin::new("rows"), values), Distance::Euclidean);
        let compute = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| nearest_neighbours(&dataset, 5, &NoProgress).unwrap())
        };
        assert_eq!(compute(1), compute(3));
    }
}
