//! Class means, and how rows lie to them: the geometry that centroid-based metrics are made of. Everything is float64.

use crate::data::{Dataset, Element, Precision};
use crate::error::Result;
use crate::kernels::RowFold;
use crate::kernels::cancellation::Cancellation;
use crate::kernels::centre::Centre;
use crate::kernels::centroids::Centroids;
use crate::kernels::class_sums::ClassSums;
use crate::kernels::dense::{COSINE_ZERO, RowScale, smallest, squared_norm};
use crate::kernels::gemm::{Packed, multiply_packed};
use crate::kernels::parallel;
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::progress::Progress;
use ndarray::Array2;

/// Rows and classes of one product.
const BLOCK_ROWS: usize = 256;
const PANEL_CLASSES: usize = 1024;

/// What is left of the terms of a squared distance by less than this is computed again by differences.
const CANCELLATION: Cancellation<f64> = Cancellation { share: 1e-6, least: 0.0 };

/// The same for the distance to the direction of a mean, from the squared distance to the mean: what passes errs by a
/// thousand times the error of that, which is about 1e-10.
const DIRECTION_CANCELLATION: f64 = 1e-3;

/// The means of the classes: of the rows as they are, or of their unit vectors.
pub(crate) struct ClassMeans<'a> {
    dataset: &'a Dataset<'a>,
    unit: bool,
    progress: &'a dyn Progress,
    sums: ClassSums,
    centre: Centre,
    /// K x d means less the centre, scaled, and the squares of their lengths.
    means: Vec<f64>,
    squares: Vec<f64>,
}

/// How a row lies to the class means.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct NearestMeans {
    /// The distance to the mean of the own class; `None` where it has no direction (cosine).
    pub(crate) own: Option<f64>,
    /// The distance to the nearest other mean, and its class.
    pub(crate) other: Option<(f64, u32)>,
}

impl<'a> ClassMeans<'a> {
    /// The means of the classes, or with `unit` those of the unit vectors of their rows, in one pass in which every
    /// value is checked.
    ///
    /// # Errors
    /// Errors from reading rows, and values that have no distance.
    pub(crate) fn new(dataset: &'a Dataset<'a>, unit: bool, progress: &'a dyn Progress) -> Result<Self> {
        let (sums, centre) = match dataset.embeddings().element_type().precision() {
            Precision::F32 => ClassSums::with_centre::<f32>(dataset, unit, progress)?,
            Precision::F64 => ClassSums::with_centre::<f64>(dataset, unit, progress)?,
        };
        Ok(ClassMeans::of_classes(dataset, unit, progress, sums, centre))
    }

    /// The means of classes whose sums are known.
    pub(crate) fn of_classes(
        dataset: &'a Dataset<'a>,
        unit: bool,
        progress: &'a dyn Progress,
        sums: ClassSums,
        centre: Centre,
    ) -> Self {
        let means: Vec<f64> = sums.centred_means(&centre);
        let squares = means.chunks_exact(sums.dimensions()).map(squared_norm).collect();
        ClassMeans { dataset, unit, progress, sums, centre, means, squares }
    }

    /// K.
    pub(crate) fn classes(&self) -> usize {
        self.sums.classes()
    }

    /// For each class the mean squared distance of its rows to their mean.
    pub(crate) fn variances(&self) -> &[f64] {
        &self.sums.variance
    }

    /// trace(S_B) and trace(S_W), each class counting by its rows.
    pub(crate) fn scatter(&self) -> (f64, f64) {
        self.sums.scatter()
    }

    /// Whether all rows coincide; unit vectors up to their rounding.
    pub(crate) fn collapsed(&self) -> bool {
        let (between, within) = self.scatter();
        let rows: usize = self.dataset.labels().counts().iter().sum();
        let rounding = if self.unit { 2.0 * COSINE_ZERO * rows as f64 } else { 0.0 };
        between + within <= rounding
    }

    /// Calls `with` for each class and the squared distances of its mean to all means, in parallel.
    pub(crate) fn for_each_class<R: Send>(&self, with: impl Fn(usize, &[f64]) -> R + Sync) -> Vec<R> {
        Centroids::new(&self.sums, &self.means, self.centre.scale).for_each_class(with)
    }

    /// K x d: the means less their mean, in which every class counts alike.
    pub(crate) fn centred(&self) -> Array2<f64> {
        let (classes, d) = (self.sums.classes(), self.sums.dimensions());
        let origin: Vec<f64> = (0..d).map(self.sums.mean(0)).collect();
        let mut means = self.less(&origin);
        for k in 0..d {
            let column = || means.iter().skip(k).step_by(d);
            let mean = column().sum::<f64>() / classes as f64;
            means.iter_mut().skip(k).step_by(d).for_each(|value| *value -= mean);
        }
        Array2::from_shape_vec((classes, d), means).unwrap_or_default()
    }

    /// K x d: the means less a vector.
    pub(crate) fn less(&self, origin: &[f64]) -> Vec<f64> {
        (0..self.sums.classes()).flat_map(|class| self.sums.mean_less(class, origin)).collect()
    }

    /// The squared distance of each row to the mean of its class.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn own_squares(&self) -> Result<Vec<f64>> {
        let codes = self.dataset.labels().codes();
        self.for_each_block("distances to class means", |start, rows, ()| {
            vectorized(OwnSquares { sums: &self.sums, codes: &codes[start..], rows })
        })
    }

    /// For each row the sum over some directions (r x d) of the squares of its difference to the mean of its class along
    /// them.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn squares_along(&self, directions: &Array2<f64>) -> Result<Vec<f64>> {
        let codes = self.dataset.labels().codes();
        let (count, d) = directions.dim();
        let directions: Vec<f64> = directions.iter().copied().collect();
        let directions = Packed::of(&directions, d);
        self.for_each_block("rows along class means", |start, rows, products: &mut Vec<f64>| {
            for (row, code) in rows.chunks_exact_mut(d).zip(&codes[start..]) {
                let mean = self.sums.mean_less(*code as usize, &self.centre.vector);
                for ((value, mean), centre) in row.iter_mut().zip(mean).zip(&self.centre.vector) {
                    *value = (*value - centre) - mean;
                }
            }
            products.resize(rows.len() / d * count, 0.0);
            multiply_packed(rows, &directions, 0..count, products);
            products.chunks_exact(count).map(squared_norm).collect()
        })
    }

    /// The distances of each row to the mean of its class and to the nearest other mean, as in [`ClassMeans::pass`].
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn nearest(&self, manhattan: bool) -> Result<Vec<NearestMeans>> {
        self.pass(&NearestFold, manhattan)
    }

    /// Hands the distances of each row to the means of all classes to a fold, the own class among them: cosine distances
    /// to the directions of the means if these are of unit vectors, else Manhattan or squared Euclidean ones. A mean that
    /// has no direction is infinitely far.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn pass<F: RowFold>(&self, fold: &F, manhattan: bool) -> Result<Vec<F::Output>> {
        let codes = self.dataset.labels().codes();
        let lengths = self.unit.then(|| self.sums.mean_lengths());
        let means = if manhattan { Packed::default() } else { Packed::of(&self.means, self.sums.dimensions()) };
        self.for_each_block("distances to class means", |start, rows, buffers: &mut Buffers| {
            let own = codes[start..].iter().zip(start..);
            let states = own.map(|(&own, index)| fold.start(index, own as usize));
            let mut states: Vec<F::State> = states.take(rows.len() / self.sums.dimensions()).collect();
            if manhattan {
                vectorized(ByManhattan { sums: &self.sums, fold, rows, states: &mut states, buffers });
            } else {
                let lengths = lengths.as_deref();
                vectorized(ByProduct {
                    kernel: self,
                    fold,
                    means: &means,
                    lengths,
                    rows,
                    states: &mut states,
                    buffers,
                });
            }
            states.into_iter().map(|state| fold.finish(state)).collect()
        })
    }

    /// Calls `with` for the rows of each block, or their unit vectors, in parallel; collects what it gives for each row.
    fn for_each_block<W: Default + Send, R: Send>(
        &self,
        stage: &str,
        with: impl Fn(usize, &mut [f64], &mut W) -> Vec<R> + Sync,
    ) -> Result<Vec<R>> {
        match self.dataset.embeddings().element_type().precision() {
            Precision::F32 => self.for_each_block_of::<f32, W, R>(stage, with),
            Precision::F64 => self.for_each_block_of::<f64, W, R>(stage, with),
        }
    }

    fn for_each_block_of<T: Element, W: Default + Send, R: Send>(
        &self,
        stage: &str,
        with: impl Fn(usize, &mut [f64], &mut W) -> Vec<R> + Sync,
    ) -> Result<Vec<R>> {
        let mut results = Vec::with_capacity(self.dataset.len());
        self.progress.begin(stage, self.dataset.len() as u64);
        self.dataset.selected().for_each_window::<T>(|window| {
            let starts = window.range().step_by(BLOCK_ROWS);
            let blocks: Vec<Vec<R>> =
                parallel::try_map_with(starts, |(buffer, exact, workspace): &mut (Vec<T>, Vec<f64>, W), start| {
                    let rows = start..(start + BLOCK_ROWS).min(window.range().end);
                    let block = window.rows(rows.clone(), buffer)?;
                    exact.resize(block.len(), 0.0);
                    vectorized(Widen { block, dimensions: self.sums.dimensions(), unit: self.unit, exact });
                    self.progress.step(rows.len() as u64)?;
                    Ok(with(start, exact, workspace))
                })?;
            results.extend(blocks.into_iter().flatten());
            Ok(())
        })?;
        self.progress.end();
        Ok(results)
    }
}

/// Keeps the distances to the mean of the own class and to the nearest other one.
struct NearestFold;

impl RowFold for NearestFold {
    type State = (usize, NearestMeans);
    type Output = NearestMeans;

    fn start(&self, _index: usize, own: usize) -> Self::State {
        (own, NearestMeans::default())
    }

    #[inline(always)]
    fn absorb(&self, (own, found): &mut Self::State, first: usize, distances: &[f64]) {
        let own = own.checked_sub(first).filter(|&own| own < distances.len());
        if let Some(own) = own {
            found.own = Some(distances[own]).filter(|distance| distance.is_finite());
        }
        if let Some((class, distance)) = smallest(distances, own)
            && found.other.is_none_or(|(nearest, _)| distance < nearest)
        {
            found.other = Some((distance, (first + class) as u32));
        }
    }

    fn finish(&self, (_, found): Self::State) -> Self::Output {
        found
    }
}

#[derive(Default)]
struct Buffers {
    centred: Vec<f64>,
    squares: Vec<f64>,
    products: Vec<f64>,
    /// Of one row.
    distances: Vec<f64>,
}

/// Distances of a block of rows by a product with the means.
struct ByProduct<'t, 'a, F: RowFold> {
    kernel: &'t ClassMeans<'a>,
    fold: &'t F,
    means: &'t Packed<f64>,
    lengths: Option<&'t [Option<f64>]>,
    rows: &'t [f64],
    states: &'t mut [F::State],
    buffers: &'t mut Buffers,
}

impl<F: RowFold> Vectorized for ByProduct<'_, '_, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let ByProduct { kernel, fold, means, lengths, rows, states, buffers } = self;
        let ClassMeans { sums, centre, squares: class_squares, .. } = kernel;
        let (d, classes) = (sums.dimensions(), sums.classes());
        let Buffers { centred, squares, products, distances } = buffers;
        centred.resize(rows.len(), 0.0);
        squares.clear();
        for (row, centred) in rows.chunks_exact(d).zip(centred.chunks_exact_mut(d)) {
            centre.apply_to(row, RowScale::ONE, centred);
            squares.push(squared_norm(centred));
        }
        let unscale = 1.0 / (centre.scale * centre.scale);
        for first in (0..classes).step_by(PANEL_CLASSES) {
            let panel = first..(first + PANEL_CLASSES).min(classes);
            products.resize(squares.len() * panel.len(), 0.0);
            multiply_packed(centred, means, panel.clone(), products);
            distances.resize(panel.len(), 0.0);
            let lists = rows.chunks_exact(d).zip(products.chunks_exact(panel.len())).zip(&*squares);
            for (((row, products), square), state) in lists.zip(&mut *states) {
                let terms = products.iter().zip(&class_squares[panel.clone()]);
                for ((class, distance), (product, class_square)) in panel.clone().zip(&mut *distances).zip(terms) {
                    let (difference, passes) = CANCELLATION.squared(square + class_square, *product);
                    let squared = if passes { difference * unscale } else { sums.squared_distance(row, class) };
                    let to_mean = sums.distance_to_mean(squared, class, lengths, DIRECTION_CANCELLATION, || row);
                    *distance = to_mean.unwrap_or(f64::INFINITY);
                }
                fold.absorb(state, first, distances);
            }
        }
    }
}

/// Manhattan distances of a block of rows, by differences.
struct ByManhattan<'t, F: RowFold> {
    sums: &'t ClassSums,
    fold: &'t F,
    rows: &'t [f64],
    states: &'t mut [F::State],
    buffers: &'t mut Buffers,
}

impl<F: RowFold> Vectorized for ByManhattan<'_, F> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let ByManhattan { sums, fold, rows, states, buffers: Buffers { distances, .. } } = self;
        distances.resize(sums.classes(), 0.0);
        for (row, state) in rows.chunks_exact(sums.dimensions()).zip(states) {
            for (class, distance) in distances.iter_mut().enumerate() {
                *distance = sums.manhattan_distance(row, class);
            }
            fold.absorb(state, 0, distances);
        }
    }
}

/// Rows, or their unit vectors, in float64.
struct Widen<'t, T> {
    block: &'t [T],
    dimensions: usize,
    unit: bool,
    exact: &'t mut [f64],
}

impl<T: Element> Vectorized for Widen<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Widen { block, dimensions, unit, exact } = self;
        for (row, exact) in block.chunks_exact(dimensions).zip(exact.chunks_exact_mut(dimensions)) {
            RowScale::of(row, unit).apply_to(row, exact);
        }
    }
}

struct OwnSquares<'t> {
    sums: &'t ClassSums,
    codes: &'t [u32],
    rows: &'t [f64],
}

impl Vectorized for OwnSquares<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let rows = self.rows.chunks_exact(self.sums.dimensions()).zip(self.codes);
        rows.map(|(row, code)| self.sums.squared_distance(row, *code as usize)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DatasetOptions, Embeddings, LabelColumnBuilder, LabelType, Origin};
    use crate::distance::Distance;
    use crate::progress::NoProgress;

    fn dataset(values: Array2<f64>, labels: &[i128], distance: Distance) -> Dataset<'static> {
        let mut column = LabelColumnBuilder::new(LabelType::Integer);
        labels.iter().for_each(|&label| column.push_integer(label));
        let embeddings = Embeddings::from_f64(Origin::new("rows"), values);
        Dataset::join(embeddings, &column.finish(Origin::new("labels")), distance, &DatasetOptions::default()).unwrap()
    }

    fn square() -> Dataset<'static> {
        let rows = ndarray::array![[0.0, 0.0], [2.0, 0.0], [5.0, 4.0], [5.0, 0.0], [5.0, 2.0]];
        dataset(rows, &[0, 0, 1, 1, 1], Distance::Euclidean)
    }

    #[test]
    fn rows_lie_to_means_as_worked_out_by_hand() {
        let dataset = square();
        let means = ClassMeans::new(&dataset, false, &NoProgress).unwrap();
        // Means (1, 0) and (5, 2).
        assert_eq!(means.own_squares().unwrap(), [1.0, 1.0, 4.0, 4.0, 0.0]);
        let found = means.nearest(false).unwrap();
        assert_eq!(found[0], NearestMeans { own: Some(1.0), other: Some((29.0, 1)) });
        assert_eq!(found[3], NearestMeans { own: Some(4.0), other: Some((16.0, 0)) });
        let found = means.nearest(true).unwrap();
        assert_eq!(found[2], NearestMeans { own: Some(2.0), other: Some((8.0, 0)) });
        assert_eq!(means.for_each_class(|class, squares| squares[1 - class]), [20.0, 20.0]);
        assert_eq!(means.centred(), ndarray::array![[-2.0, -1.0], [2.0, 1.0]]);
        let along = means.squares_along(&ndarray::array![[1.0, 0.0], [0.0, 2.0]]).unwrap();
        assert_eq!(along, [1.0, 1.0, 16.0, 16.0, 0.0]);
        assert!(!means.collapsed());
    }

    #[test]
    fn cosine_distances_are_to_the_directions_of_means() {
        let rows = ndarray::array![[2.0, 0.0], [0.0, 1.0], [-3.0, 0.0], [-1.0, 0.0]];
        let dataset = dataset(rows, &[0, 0, 1, 1], Distance::Cosine);
        let found = ClassMeans::new(&dataset, true, &NoProgress).unwrap().nearest(false).unwrap();
        let root = 0.5f64.sqrt();
        let close = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-15;
        assert!(close(found[0].own, 1.0 - root) && close(found[0].other.map(|other| other.0), 2.0));
        assert!(close(found[2].own, 0.0) && close(found[2].other.map(|other| other.0), 1.0 + root));
    }

    #[test]
    fn far_rows_and_many_blocks_lose_nothing() {
        let rows = Array2::from_shape_fn((700, 3), |(i, j)| 1e7 + ((i * 37 + j * 11) % 64) as f64 / 64.0);
        let labels: Vec<i128> = (0..700).map(|row| row % 5).collect();
        let dataset = dataset(rows.clone(), &labels, Distance::Euclidean);
        let means = ClassMeans::new(&dataset, false, &NoProgress).unwrap();
        let near = means.nearest(false).unwrap();
        for (own, near) in means.own_squares().unwrap().iter().zip(&near) {
            assert!((own - near.own.unwrap()).abs() <= 1e-8 * own, "{own} {near:?}");
        }
    }
}
