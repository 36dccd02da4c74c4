//! Distances between rows of two sets, tile by tile, with what is known for certain of each.
//!
//! Of every distance in a tile a lower bound is known, which allows for all the rounding of the product, and how far
//! above it the distance can be. Whoever needs to know exactly which of several distances is the smallest computes the
//! few that remain in question by differences in float64.

use std::ops::Range;

use crate::data::{Dataset, Element, Precision};
use crate::distance::Distance;
use crate::error::{Cure, Error, Result};
use crate::kernels::Real;
use crate::kernels::centre::Centre;
use crate::kernels::dense::{RowScale, cosine_or_zero, lane_sum_2, manhattan_distance, squared_norm};
use crate::kernels::gemm::multiply_transposed;
use crate::kernels::parallel;
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::progress::Progress;

/// Queries of a block, and gallery rows of a tile.
pub(crate) const TILE: usize = 256;

/// Nothing is known of the distances of rows with a larger square: products with them may overflow.
fn largest_square<T: Element>() -> f64 {
    match T::PRECISION {
        Precision::F32 => 1e36,
        Precision::F64 => 1e300,
    }
}

/// Products of numbers that underflow err by less than this, in squares of typical rows.
const UNDERFLOW: f64 = 1e-34;

/// A row at a distance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Neighbour {
    pub(crate) row: u32,
    pub(crate) distance: f64,
}

impl Neighbour {
    /// Whether this one comes before another in a ranking.
    pub(crate) fn order(&self, other: &Self) -> std::cmp::Ordering {
        self.distance.total_cmp(&other.distance).then(self.row.cmp(&other.row))
    }
}

/// Rows among which neighbours are looked for, and the rows whose neighbours these are.
pub(crate) struct BoundedPairs<'a, T> {
    pub(crate) distance: Distance,
    pub(crate) progress: &'a dyn Progress,
    /// What centred rows are multiplied by.
    pub(crate) scale: f64,
    gallery: Side<'a, T>,
    /// `None`: the queries are rows of the gallery, and none is a neighbour of itself.
    queries: Option<Side<'a, T>>,
    /// For each query of others the row of the gallery that it is, where such rows are left out.
    own_rows: &'a [Option<usize>],
}

/// One set of rows.
struct Side<'a, T> {
    dataset: &'a Dataset<'a>,
    /// What makes each row a unit vector, for cosine.
    scales: Vec<RowScale>,
    /// Centred and scaled rows, and the squares of their lengths. Empty for distances that are no products.
    centred: Vec<T>,
    squares: Vec<T>,
    /// The squares, less all that a product can err by on account of the row; NaN for rows that are always candidates.
    lower_squares: Vec<T>,
}

impl<'a, T: Real> BoundedPairs<'a, T> {
    /// Prepares the rows of `gallery` and, if they are others, of `queries`. Both have to be readable in any order.
    ///
    /// # Errors
    /// Values that have no distance, queries of another number of dimensions, and what reading rows reports.
    pub(crate) fn new(
        gallery: &'a Dataset<'a>,
        queries: Option<&'a Dataset<'a>>,
        distance: Distance,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        if let Some(queries) = queries {
            let (own, other) = (queries.dimensions(), gallery.dimensions());
            if own != other {
                return Err(Error::setting(
                    format!("{} has {own} dimensions, the gallery {other}", queries.embeddings().origin()),
                    "queries and gallery have to come from the same model",
                ));
            }
            if distance == Distance::Precomputed {
                return Err(Error::setting("a gallery needs embeddings, not a distance matrix", Cure::DropGallery));
            }
        }
        for dataset in std::iter::once(gallery).chain(queries) {
            dataset.check_values_for::<T>(distance)?;
        }
        let centre = Centre::of_rows::<T>(gallery, distance.is_of_unit_vectors())?;
        Ok(BoundedPairs {
            distance,
            progress,
            scale: centre.scale,
            gallery: Side::new(gallery, distance, &centre)?,
            queries: queries.map(|queries| Side::new(queries, distance, &centre)).transpose()?,
            own_rows: &[],
        })
    }

    /// Leaves out, for each query, the row of the gallery that it is.
    pub(crate) fn without_own(self, own_rows: &'a [Option<usize>]) -> Self {
        BoundedPairs { own_rows, ..self }
    }

    fn query_side(&self) -> &Side<'a, T> {
        self.queries.as_ref().unwrap_or(&self.gallery)
    }

    /// The row of the gallery that a query is, if it is one.
    pub(crate) fn own_row(&self, query: usize) -> Option<usize> {
        match self.queries {
            None => Some(query),
            Some(_) => self.own_rows.get(query).copied().flatten(),
        }
    }

    /// The number of rows of the gallery.
    pub(crate) fn gallery_rows(&self) -> usize {
        self.gallery.dataset.len()
    }

    /// Whether the queries are the rows of the gallery and tiles hold products, the same for a pair in either order.
    pub(crate) fn is_symmetric(&self) -> bool {
        self.queries.is_none() && !self.gallery.centred.is_empty()
    }

    /// The products of some rows of the gallery with others.
    pub(crate) fn product(&self, rows: &Range<usize>, columns: &Range<usize>, tile: &mut Vec<T>) {
        tile.resize(rows.len() * columns.len(), T::default());
        multiply_transposed(self.centred(rows), self.centred(columns), self.gallery.dataset.dimensions(), tile);
    }

    /// Some rows of the gallery, centred and scaled, where tiles hold products.
    pub(crate) fn centred(&self, rows: &Range<usize>) -> &[T] {
        let d = self.gallery.dataset.dimensions();
        &self.gallery.centred[rows.start * d..rows.end * d]
    }

    /// Hands over the tiles of a block of queries with the rows of the gallery from `first` on, in order.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn for_each_tile(
        &self,
        queries: &[usize],
        first: usize,
        workspace: &mut Workspace<T>,
        mut with: impl FnMut(&PairTile<'_, T>),
    ) -> Result<()> {
        let (side, d, rows) = (self.query_side(), self.gallery.dataset.dimensions(), self.gallery.dataset.len());
        let Workspace { block, tile, query_buffer, buffer, .. } = workspace;
        block.clear();
        if !side.centred.is_empty() {
            for &query in queries {
                block.extend_from_slice(&side.centred[query * d..(query + 1) * d]);
            }
        }
        for start in (first..rows).step_by(TILE) {
            self.progress.check()?;
            let columns = start..(start + TILE).min(rows);
            tile.resize(queries.len() * columns.len(), T::default());
            match self.distance {
                Distance::Cosine | Distance::Euclidean | Distance::SqEuclidean | Distance::Hamming => {
                    let gallery = &self.gallery.centred[columns.start * d..columns.end * d];
                    multiply_transposed(block, gallery, d, tile);
                }
                Distance::Manhattan => {
                    let gallery = self.gallery.dataset.rows::<T>(columns.clone(), buffer)?;
                    for (&query, tile) in queries.iter().zip(tile.chunks_exact_mut(columns.len())) {
                        let row = side.dataset.rows::<T>(query..query + 1, query_buffer)?;
                        vectorized(Manhattan { row, gallery, tile });
                    }
                }
                Distance::Precomputed => {
                    for (&query, tile) in queries.iter().zip(tile.chunks_exact_mut(columns.len())) {
                        let row = side.dataset.rows::<T>(query..query + 1, query_buffer)?;
                        for (target, column) in tile.iter_mut().zip(columns.clone()) {
                            *target = row[side.dataset.source_row(column)];
                        }
                    }
                }
            }
            with(&PairTile { queries, columns, values: tile });
        }
        Ok(())
    }

    /// Exact distances of a query to some rows, in float64 by differences.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn distances(
        &self,
        query: usize,
        rows: impl Iterator<Item = u32>,
        workspace: &mut Workspace<T>,
    ) -> Result<Vec<Neighbour>> {
        let Workspace { query_buffer, buffer, exact, .. } = workspace;
        let side = self.query_side();
        let row = side.dataset.rows::<T>(query..query + 1, query_buffer)?;
        let gallery = self.gallery.dataset;
        let mut found = Vec::new();
        if self.distance == Distance::Precomputed {
            found.extend(rows.map(|other| {
                let distance = row[gallery.source_row(other as usize)].to_f64();
                Neighbour { row: other, distance }
            }));
            return Ok(found);
        }
        exact.resize(row.len(), 0.0);
        side.scale(query).apply_to(row, exact);
        for other in rows {
            let values = gallery.rows::<T>(other as usize..other as usize + 1, buffer)?;
            let scale = self.gallery.scale(other as usize);
            let distance = vectorized(Exact { distance: self.distance, query: exact, row: values, scale });
            found.push(Neighbour { row: other, distance });
        }
        Ok(found)
    }

    /// Whether squared distances overflow between some rows.
    pub(crate) fn overflows(&self) -> bool {
        self.gallery.squares.iter().any(|square| square.to_f64() >= largest_square::<T>())
    }

    /// The squares of some rows, centred and scaled; `None` where a tile holds distances.
    #[inline(always)]
    pub(crate) fn squares(&self, rows: &Range<usize>) -> Option<&[T]> {
        let squares = &self.gallery.squares;
        (!squares.is_empty()).then(|| &squares[rows.clone()])
    }

    /// What the lower bounds of some rows are made of; `None` where a tile holds distances.
    #[inline(always)]
    pub(crate) fn lower_squares(&self, rows: &Range<usize>) -> Option<&[T]> {
        let squares = &self.gallery.lower_squares;
        (!squares.is_empty()).then(|| &squares[rows.clone()])
    }

    /// A distance of a query as the lower bounds tell it.
    #[inline(always)]
    pub(crate) fn comparable(&self, query: usize, distance: f64) -> f64 {
        let squared = match self.distance {
            Distance::Manhattan | Distance::Precomputed => return distance,
            Distance::Cosine => 2.0 * distance,
            Distance::Euclidean => distance * distance,
            Distance::SqEuclidean | Distance::Hamming => distance,
        };
        squared * self.scale * self.scale - self.query_side().squares[query].to_f64()
    }

    /// How far above its lower bound a squared distance can be, less half of [`Self::uncertainty_of_query`], by which it
    /// can also be below.
    #[inline(always)]
    pub(crate) fn uncertainty(&self, query: usize, row: usize) -> f64 {
        self.uncertainty_of_query(query) + uncertainty::<T>(&self.gallery, row)
    }

    /// The part of the uncertainty that comes from the query. The lower bounds leave it out: it is the same for all rows.
    #[inline(always)]
    pub(crate) fn uncertainty_of_query(&self, query: usize) -> f64 {
        uncertainty::<T>(self.query_side(), query)
    }
}

/// Twice what the squared distances to a row can err by on account of the row.
#[inline(always)]
fn uncertainty<T: Real>(side: &Side<'_, T>, row: usize) -> f64 {
    let Some(square) = side.squares.get(row).map(|square| square.to_f64()) else { return 0.0 };
    if square < largest_square::<T>() {
        2.0 * (rounding::<T>(side.dataset.dimensions()) * square + UNDERFLOW)
    } else {
        f64::INFINITY
    }
}

/// The share of |x|^2 + |y|^2 that a squared distance from the product of two centred rows can err by: the rounding of
/// the rows to this type, and of d products and sums in any order.
fn rounding<T: Real>(dimensions: usize) -> f64 {
    (1.5 * dimensions as f64 + 32.0) * 0.5 * T::EPSILON
}

impl<'a, T: Real> Side<'a, T> {
    fn new(dataset: &'a Dataset<'a>, distance: Distance, centre: &Centre) -> Result<Self> {
        let mut side =
            Side { dataset, scales: Vec::new(), centred: Vec::new(), squares: Vec::new(), lower_squares: Vec::new() };
        match distance {
            Distance::Cosine | Distance::Euclidean | Distance::SqEuclidean | Distance::Hamming => {}
            Distance::Manhattan | Distance::Precomputed => return Ok(side),
        }
        let (n, d) = (dataset.len(), dataset.dimensions());
        let unit = distance.is_of_unit_vectors();
        side.centred = vec![T::default(); n * d];
        let pieces = side.centred.chunks_mut(TILE * d).enumerate();
        let blocks: Vec<(Vec<RowScale>, Vec<T>)> = parallel::try_map_with(pieces, |buffer, (index, centred)| {
            let start = index * TILE;
            let block = dataset.rows::<T>(start..start + centred.len() / d, buffer)?;
            Ok(vectorized(Centred { block, centre, unit, centred }))
        })?;
        let share = 1.0 - rounding::<T>(d);
        for (scales, squares) in blocks {
            if unit {
                side.scales.extend(scales);
            }
            side.lower_squares.extend(squares.iter().map(|square| {
                let square = square.to_f64();
                let bounded = if square < largest_square::<T>() { square * share - UNDERFLOW } else { f64::NAN };
                T::from_f64(bounded)
            }));
            side.squares.extend(squares);
        }
        Ok(side)
    }

    #[inline(always)]
    fn scale(&self, row: usize) -> RowScale {
        self.scales.get(row).copied().unwrap_or(RowScale::ONE)
    }
}

pub(crate) struct Workspace<T> {
    block: Vec<T>,
    tile: Vec<T>,
    query_buffer: Vec<T>,
    buffer: Vec<T>,
    exact: Vec<f64>,
}

impl<T> Default for Workspace<T> {
    fn default() -> Self {
        Workspace {
            block: Vec::new(),
            tile: Vec::new(),
            query_buffer: Vec::new(),
            buffer: Vec::new(),
            exact: Vec::new(),
        }
    }
}

/// A block of queries with some rows of the gallery: products, or distances where these are no products.
pub(crate) struct PairTile<'t, T> {
    pub(crate) queries: &'t [usize],
    pub(crate) columns: Range<usize>,
    pub(crate) values: &'t [T],
}

impl<T: Real> PairTile<'_, T> {
    /// The queries and what the tile holds of each.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (usize, &[T])> {
        self.queries.iter().copied().zip(self.values.chunks_exact(self.columns.len()))
    }
}

/// Lower bounds of the distances of one query, in place of what the tile holds.
#[inline(always)]
pub(crate) fn lower_bounds<T: Real>(squares: Option<&[T]>, values: &[T], lower: &mut [T]) {
    match squares {
        Some(squares) => {
            for ((lower, value), square) in lower.iter_mut().zip(values).zip(squares) {
                *lower = *square - (*value + *value);
            }
        }
        None => lower.copy_from_slice(values),
    }
}

/// The rows of a block as they are multiplied; gives their scales and squares.
struct Centred<'t, T> {
    block: &'t [T],
    centre: &'t Centre,
    unit: bool,
    centred: &'t mut [T],
}

impl<T: Real> Vectorized for Centred<'_, T> {
    type Output = (Vec<RowScale>, Vec<T>);

    #[inline(always)]
    fn run(self) -> (Vec<RowScale>, Vec<T>) {
        let Centred { block, centre, unit, centred } = self;
        let d = centre.vector.len();
        let (mut scales, mut squares) = (Vec::new(), Vec::new());
        for (row, centred) in block.chunks_exact(d).zip(centred.chunks_exact_mut(d)) {
            let scale = RowScale::of(row, unit);
            centre.apply_to(row, scale, centred);
            scales.push(scale);
            squares.push(T::from_f64(squared_norm(centred)));
        }
        (scales, squares)
    }
}

/// Manhattan distances of a row to the rows of a tile.
struct Manhattan<'t, T> {
    row: &'t [T],
    gallery: &'t [T],
    tile: &'t mut [T],
}

impl<T: Element> Vectorized for Manhattan<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Manhattan { row, gallery, tile } = self;
        for (target, other) in tile.iter_mut().zip(gallery.chunks_exact(row.len())) {
            *target = T::from_f64(manhattan_distance(row, other));
        }
    }
}

/// The distance of a query, in float64 and for cosine a unit vector, to a row.
pub(crate) struct Exact<'t, T> {
    pub(crate) distance: Distance,
    pub(crate) query: &'t [f64],
    pub(crate) row: &'t [T],
    pub(crate) scale: RowScale,
}

impl<T: Element> Vectorized for Exact<'_, T> {
    type Output = f64;

    #[inline(always)]
    fn run(self) -> f64 {
        let Exact { distance, query, row, scale } = self;
        let squared = || {
            lane_sum_2(query, row, |query, value| {
                let difference = query - scale.apply(value.to_f64());
                difference * difference
            })
        };
        match distance {
            Distance::Cosine => cosine_or_zero(0.5 * squared()),
            Distance::Euclidean => squared().sqrt(),
            // A matrix of distances is looked up.
            Distance::SqEuclidean | Distance::Hamming | Distance::Precomputed => squared(),
            Distance::Manhattan => lane_sum_2(query, row, |query, value| (query - value.to_f64()).abs()),
        }
    }
}
