//! Which rows of one set lie in balls around the rows of another, decided by float64 distances and without an N x M
//! matrix.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::error::Result;
use crate::kernels::Real;
use crate::kernels::bounded_pairs::{BoundedPairs, PairTile, TILE, lower_bounds};
use crate::kernels::parallel;
use crate::kernels::vectorized::{Vectorized, vectorized};

/// How the queries lie in the balls around the rows of the gallery, and the other way round. A row on the surface is not
/// inside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Balls {
    /// Pairs in which the query is inside the ball around the row of the gallery.
    pub(crate) pairs: u64,
    /// Queries that are inside some ball around a row of the gallery.
    pub(crate) queries_inside: usize,
    /// Rows of the gallery with some query inside their ball.
    pub(crate) gallery_met: usize,
    /// Rows of the gallery that are inside some ball around a query.
    pub(crate) gallery_inside: usize,
}

impl<T: Real> BoundedPairs<'_, T> {
    /// Counts what lies inside balls with a radius for each row of the gallery and for each query.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn balls(&self, gallery_radii: &[f64], query_radii: &[f64]) -> Result<Balls> {
        let flags = || gallery_radii.iter().map(|_| AtomicBool::new(false)).collect::<Vec<_>>();
        let (met, inside) = (flags(), flags());
        let queries: Vec<usize> = (0..query_radii.len()).collect();
        let scaled: Vec<f64> = gallery_radii.iter().map(|radius| self.squared_in_tiles(*radius)).collect();
        self.progress.begin("balls", queries.len() as u64);
        let blocks: Vec<(u64, usize)> = parallel::try_map_with(queries.chunks(TILE), |workspace, queries| {
            let mut counts = vec![0; queries.len()];
            let mut unsure: Vec<Vec<u32>> = vec![Vec::new(); queries.len()];
            self.for_each_tile(queries, 0, workspace, |tile| {
                vectorized(Sort {
                    pairs: self,
                    tile,
                    scaled: &scaled,
                    query_radii,
                    met: &met,
                    inside: &inside,
                    counts: &mut counts,
                    unsure: &mut unsure,
                });
            })?;
            for ((&query, count), unsure) in queries.iter().zip(&mut counts).zip(unsure) {
                for found in self.distances(query, unsure.into_iter(), workspace)? {
                    let row = found.row as usize;
                    if found.distance < gallery_radii[row] {
                        *count += 1;
                        met[row].store(true, Ordering::Relaxed);
                    }
                    if found.distance < query_radii[query] {
                        inside[row].store(true, Ordering::Relaxed);
                    }
                }
            }
            self.progress.step(queries.len() as u64)?;
            Ok((counts.iter().sum(), counts.iter().filter(|count| **count > 0).count()))
        })?;
        self.progress.end();
        let count = |flags: &[AtomicBool]| flags.iter().filter(|flag| flag.load(Ordering::Relaxed)).count();
        Ok(Balls {
            pairs: blocks.iter().map(|(pairs, _)| pairs).sum(),
            queries_inside: blocks.iter().map(|(_, inside)| inside).sum(),
            gallery_met: count(&met),
            gallery_inside: count(&inside),
        })
    }

    /// The square of a Euclidean distance of the rows as tiles hold them.
    fn squared_in_tiles(&self, distance: f64) -> f64 {
        distance * distance * self.scale * self.scale
    }
}

/// Sorts the pairs of a tile into those that are certainly inside of a ball, those that certainly are not, and the rest.
struct Sort<'t, 'a, T> {
    pairs: &'t BoundedPairs<'a, T>,
    tile: &'t PairTile<'t, T>,
    /// The squares of the radii of the gallery, as tiles hold them.
    scaled: &'t [f64],
    query_radii: &'t [f64],
    met: &'t [AtomicBool],
    inside: &'t [AtomicBool],
    counts: &'t mut [u64],
    unsure: &'t mut [Vec<u32>],
}

/// Distances of a tile that are compared with the bounds at once.
const CHUNK: usize = 32;

impl<T: Real> Vectorized for Sort<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Sort { pairs, tile, scaled, query_radii, met, inside, counts, unsure } = self;
        let squares = pairs.lower_squares(&tile.columns);
        let mut lower = [T::default(); TILE];
        let lower = &mut lower[..tile.columns.len()];
        let scaled = &scaled[tile.columns.clone()];
        for (((query, values), count), unsure) in tile.rows().zip(counts).zip(unsure) {
            lower_bounds(squares, values, lower);
            // What a tile holds is less the square of the query.
            let own_square = -pairs.comparable(query, 0.0);
            let own = pairs.squared_in_tiles(query_radii[query]);
            let margin_of =
                |target: f64| 2.0 * T::EPSILON * (target.abs() + own_square) + 0.5 * pairs.uncertainty_of_query(query);
            let own_target = own - own_square;
            let own_margin = margin_of(own_target);
            let chunks = lower.chunks(CHUNK).zip(scaled.chunks(CHUNK)).zip(tile.columns.clone().step_by(CHUNK));
            for ((lower, scaled), first) in chunks {
                // NaN is not beyond any bound.
                let beyond: u32 = lower
                    .iter()
                    .zip(scaled)
                    .map(|(lower, scaled)| {
                        let target = if *scaled > own { *scaled } else { own } - own_square;
                        u32::from(lower.to_f64() > target + margin_of(target))
                    })
                    .sum();
                if beyond as usize == lower.len() {
                    continue;
                }
                for ((lower, scaled), row) in lower.iter().zip(scaled).zip(first..) {
                    let lower = lower.to_f64();
                    let target = scaled - own_square;
                    let margin = margin_of(target);
                    let upper = lower + pairs.uncertainty(query, row);
                    let (outside_gallery, outside_query) = (lower > target + margin, lower > own_target + own_margin);
                    let (in_gallery, in_query) = (upper < target - margin, upper < own_target - own_margin);
                    if !(outside_gallery || in_gallery) || !(outside_query || in_query) {
                        unsure.push(row as u32);
                        continue;
                    }
                    if in_gallery {
                        *count += 1;
                        met[row].store(true, Ordering::Relaxed);
                    }
                    if in_query {
                        inside[row].store(true, Ordering::Relaxed);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::data::Dataset;
    use crate::distance::Distance;
    use crate::progress::NoProgress;

    fn values(rows: usize, seed: usize, offset: f64) -> Array2<f64> {
        Array2::from_shape_fn((rows, 5), |(i, j)| {
            offset + ((i * 37 + j * 101 + i * j * 13 + seed * 17) % 97) as f64 / 128.0
        })
    }

    #[test]
    fn counts_are_those_of_a_plain_loop() {
        let [gallery, queries] = [values(TILE + 40, 0, 100.0), values(300, 1, 100.0)];
        let distance =
            |x: usize, y: usize| (&gallery.row(x) - &queries.row(y)).mapv(|value| value * value).sum().sqrt();
        // Squares of these numbers are exact, so that many rows lie on the surface.
        let gallery_radii: Vec<f64> = (0..gallery.nrows()).map(|row| distance(row, (row * 7) % 300) * 0.5).collect();
        let query_radii: Vec<f64> = (0..300).map(|row| distance((row * 11) % 200, row) * 0.6).collect();
        let mut expected = Balls::default();
        for (x, &radius) in gallery_radii.iter().enumerate() {
            expected.gallery_met += usize::from((0..300).any(|y| distance(x, y) < radius));
            expected.gallery_inside += usize::from((0..300).any(|y| distance(x, y) < query_radii[y]));
        }
        for y in 0..300 {
            let pairs = (0..gallery.nrows()).filter(|&x| distance(x, y) < gallery_radii[x]).count();
            expected.pairs += pairs as u64;
            expected.queries_inside += usize::from(pairs > 0);
        }
        let sets = [&gallery, &queries].map(|rows| Dataset::new(rows.clone(), vec![0; rows.nrows()]).unwrap());
        let pairs = BoundedPairs::<f64>::new(&sets[0], Some(&sets[1]), Distance::Euclidean, &NoProgress).unwrap();
        assert_eq!(pairs.balls(&gallery_radii, &query_radii).unwrap(), expected);
        // float32 products leave more of them unsure.
        let pairs = BoundedPairs::<f32>::new(&sets[0], Some(&sets[1]), Distance::Euclidean, &NoProgress).unwrap();
        assert_eq!(pairs.balls(&gallery_radii, &query_radii).unwrap(), expected);
    }

    #[test]
    fn a_row_on_the_surface_is_not_inside() {
        let gallery = ndarray::array![[0.0, 0.0], [10.0, 0.0]];
        let queries = ndarray::array![[3.0, 4.0], [0.0, 1.0]];
        let sets = [gallery, queries].map(|rows| Dataset::new(rows, [0, 0]).unwrap());
        let pairs = BoundedPairs::<f64>::new(&sets[0], Some(&sets[1]), Distance::Euclidean, &NoProgress).unwrap();
        // The first query is at distance 5 of the first row, the second at 1; both are far from the second row.
        let balls = |gallery: [f64; 2], queries: [f64; 2]| pairs.balls(&gallery, &queries).unwrap();
        let none = Balls::default();
        assert_eq!(balls([1.0, 1.0], [5.0, 1.0]), none);
        let found = balls([5.0, 1.0], [5.1, 0.5]);
        assert_eq!(found, Balls { pairs: 1, queries_inside: 1, gallery_met: 1, gallery_inside: 1 });
    }
}
