//! Manhattan distances dimension by dimension, without computing pairs.
//!
//! If the values of a dimension are sorted, the absolute differences of a value to those of a class follow from sums
//! over the rows of the class that precede it. With r the median of the class, W and S the sums over its rows of the
//! weights w_j and of w_j (x_j - r), and W_<, S_< the same sums over the preceding rows,
//!
//! ```text
//! sum_j w_j |x - x_j|  =  (x - r) (2 W_< - W) + (S - 2 S_<)
//! ```
//!
//! Around the median, the terms add up to at most three times the sum, so it does not cancel: the sums have float64
//! accuracy for any type of rows. This takes N K d operations and N d log N for sorting; pairs take N^2 d.

use ndarray::Array2;
use rayon::prelude::*;

use crate::data::{Dataset, Precision};
use crate::error::Result;
use crate::kernels::influence::{Influence, TakesInfluence};
use crate::kernels::pair_geometry::pair_geometry;
use crate::kernels::pairs::{PairDistance, PairTiles};
use crate::kernels::parallel;
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::kernels::{ClassDistances, DistanceLoss, Nearest, PassOptions, Real, RowFold};
use crate::progress::Progress;

/// Classes whose sums of a row are adjacent.
const PANEL: usize = 16;

/// Dimensions sorted at a time.
const DIMENSIONS: usize = 16;

/// Rows gathered, or passed to the fold, at a time.
const BLOCK_ROWS: usize = 8192;

/// The maximum size of the sums of rows to classes. With more classes, the dimensions are sorted again.
const HELD: usize = 1 << 26;

/// Groups of dimensions summed separately if there are too few panels to keep threads busy.
const STREAMS: usize = 4;

/// The measured cost per dimension of a pair, of sorting a value, and of a value in a panel, in nanoseconds of a core;
/// only their ratios matter.
const PAIR_COST: [f64; 2] = [0.044, 0.088];
const SORT_COST: [f64; 2] = [30.0, 60.0];
const SWEEP_COST: f64 = 10.0;

/// The number of rows ahead for which memory is prefetched.
const AHEAD: usize = 16;

/// The sums of a row for the classes of a panel, in whole cache lines.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Sums([f64; PANEL]);

/// The rows of one dimension.
struct Dimension<T> {
    /// Values with their rows, in ascending order.
    sorted: Vec<(T, u32)>,
    /// r and S of each class.
    medians: Vec<f64>,
    totals: Vec<f64>,
}

/// Mean Manhattan distances of rows to classes from sorted dimensions.
pub(crate) struct SortedDimensions<'a> {
    dataset: &'a Dataset<'a>,
    precision: Precision,
    progress: &'a dyn Progress,
}

impl<'a> SortedDimensions<'a> {
    /// Whether sorting dimensions is expected to take less time than computing pairs.
    pub(crate) fn pays(dataset: &Dataset, precision: Precision) -> bool {
        let cost = ManhattanCost::of(dataset, precision);
        // Rows are numbered with 32 bits here.
        cost.sorting < cost.pairs && u32::try_from(dataset.len()).is_ok()
    }

    /// # Errors
    /// Values that have no distance, and errors from reading rows.
    pub(crate) fn new(dataset: &'a Dataset<'a>, precision: Precision, progress: &'a dyn Progress) -> Result<Self> {
        dataset.check_values_in(precision)?;
        Ok(SortedDimensions { dataset, precision, progress })
    }

    pub(crate) fn pass<F: RowFold>(&self, fold: &F, wanted: PassOptions) -> Result<ClassDistances<F::Output>> {
        match self.precision {
            Precision::F32 => self.pass_in::<f32, F>(fold, wanted),
            Precision::F64 => self.pass_in::<f64, F>(fold, wanted),
        }
    }

    /// The influence of every row by pairs: what a row gives to others depends on all of them.
    pub(crate) fn influence<L: DistanceLoss, A: TakesInfluence>(
        &self,
        scores: &[L],
        kept: Option<&[Vec<f64>]>,
        classes: &[usize],
        takers: &mut [Vec<A>],
    ) -> Result<Vec<Influence>> {
        let (dataset, distance, progress) = (self.dataset, PairDistance::Manhattan, self.progress);
        match self.precision {
            Precision::F32 => {
                PairTiles::<f32>::new(dataset, distance, progress)?.influence(scores, kept, classes, takers)
            }
            Precision::F64 => {
                PairTiles::<f64>::new(dataset, distance, progress)?.influence(scores, kept, classes, takers)
            }
        }
    }

    fn pass_in<T: Real + radsort::Key, F: RowFold>(
        &self,
        fold: &F,
        wanted: PassOptions,
    ) -> Result<ClassDistances<F::Output>> {
        let (n, d, classes) = (self.dataset.len(), self.dataset.dimensions(), self.dataset.labels().classes());
        let (codes, scored) = (self.dataset.labels().codes(), self.dataset.scored());
        let start = |index| fold.start(index, codes[scored.position(index)] as usize);
        let mut states: Vec<F::State> = (0..scored.len()).map(start).collect();
        let mut between = Between::new(self.dataset, wanted);
        let panels: Vec<usize> = (0..classes).step_by(PANEL).collect();
        let groups: Vec<&[usize]> = panels.chunks(panels_at_once(n)).collect();
        self.progress.begin("sorted dimensions", (groups.len() * d) as u64);
        for panels in groups {
            let sums = self.sums::<T>(panels)?;
            for (&first, sums) in panels.iter().zip(&sums) {
                let last = (first + PANEL).min(classes);
                parallel::for_each(states.chunks_mut(BLOCK_ROWS).enumerate(), |(block, states)| {
                    for (index, state) in (block * BLOCK_ROWS..).zip(states) {
                        let row = scored.position(index);
                        fold.absorb(state, first, &self.means(row, first, &sums[row])[..last - first]);
                    }
                });
                between.add(first, last, |row| self.means(row, first, &sums[row]));
            }
        }
        self.progress.end();
        let rows = states.into_iter().map(|state| fold.finish(state)).collect();
        let (distance, between) = (PairDistance::Manhattan, between.finish());
        let geometry = pair_geometry::<T>(self.dataset, distance, self.progress, between, wanted)?;
        Ok(ClassDistances { rows, geometry })
    }

    /// The mean distances of a row to the classes of a panel from its sums.
    fn means(&self, row: usize, first: usize, Sums(sums): &Sums) -> [f64; PANEL] {
        let mut means = [0.0; PANEL];
        for ((mean, sum), weight) in means.iter_mut().zip(sums).zip(&self.dataset.class_weights()[first..]) {
            // Rounding may turn 0 into a negative number.
            *mean = (sum / weight).max(0.0);
        }
        let own = self.dataset.labels().codes()[row] as usize;
        if let Some(place) = own.checked_sub(first).filter(|&place| place < PANEL) {
            let others = self.dataset.weight_of_others(row);
            means[place] = if others > 0.0 { (sums[place] / others).max(0.0) } else { 0.0 };
        }
        means
    }

    /// For each panel, the sums of the distances of every row to its classes, which start with the given ones.
    fn sums<T: Real + radsort::Key>(&self, panels: &[usize]) -> Result<Vec<Vec<Sums>>> {
        let (n, d) = (self.dataset.len(), self.dataset.dimensions());
        let streams = streams(n, panels.len());
        let mut sums = vec![vec![Sums([0.0; PANEL]); n]; panels.len() * streams];
        for first in (0..d).step_by(DIMENSIONS) {
            let count = DIMENSIONS.min(d - first);
            let mut dimensions = self.gather::<T>(first, count)?;
            dimensions.par_iter_mut().for_each(|dimension| self.sort(dimension));
            sums.par_iter_mut().enumerate().for_each(|(task, sums)| {
                let (panel, stream) = (panels[task / streams], task % streams);
                for dimension in dimensions.iter().skip(stream).step_by(streams) {
                    vectorized(Sweep { kernel: self, dimension, first: panel, sums });
                }
            });
            self.progress.step(count as u64)?;
        }
        let mut of_panels = Vec::with_capacity(panels.len());
        let mut sums = sums.into_iter();
        while let Some(mut total) = sums.next() {
            for part in sums.by_ref().take(streams - 1) {
                total.par_iter_mut().zip(&part).for_each(|(total, part)| {
                    total.0.iter_mut().zip(part.0).for_each(|(total, part)| *total += part);
                });
            }
            of_panels.push(total);
        }
        Ok(of_panels)
    }

    /// The values of some dimensions in row order.
    fn gather<T: Real>(&self, first: usize, count: usize) -> Result<Vec<Dimension<T>>> {
        let (n, d) = (self.dataset.len(), self.dataset.dimensions());
        let new = |_| Dimension { sorted: Vec::with_capacity(n), medians: Vec::new(), totals: Vec::new() };
        let mut dimensions: Vec<Dimension<T>> = (0..count).map(new).collect();
        let mut buffer = Vec::new();
        for start in (0..n).step_by(BLOCK_ROWS) {
            let end = (start + BLOCK_ROWS).min(n);
            let rows = self.dataset.rows::<T>(start..end, &mut buffer)?;
            dimensions.par_iter_mut().enumerate().for_each(|(k, dimension)| {
                let values = rows.chunks_exact(d).map(|row| row[first + k]);
                dimension.sorted.extend(values.zip(start as u32..));
            });
        }
        Ok(dimensions)
    }

    /// Sorts the values of a dimension and finds the median and the total of each class.
    fn sort<T: Real + radsort::Key>(&self, dimension: &mut Dimension<T>) {
        let Dimension { sorted, medians, totals } = dimension;
        radsort::sort_by_key(sorted, |&(value, _)| value);
        let (codes, weights) = (self.dataset.labels().codes(), self.dataset.class_weights());
        medians.resize(weights.len(), f64::NAN);
        let mut before = vec![0.0; weights.len()];
        for &(value, row) in &*sorted {
            let class = codes[row as usize] as usize;
            before[class] += self.dataset.weight(row as usize);
            if medians[class].is_nan() && 2.0 * before[class] >= weights[class] {
                medians[class] = value.to_f64();
            }
        }
        totals.resize(weights.len(), 0.0);
        for &(value, row) in &*sorted {
            let class = codes[row as usize] as usize;
            totals[class] += self.dataset.weight(row as usize) * (value.to_f64() - medians[class]);
        }
    }
}

/// The expected cost of mean Manhattan distances to classes by either route, in seconds of a core. Depends only on the
/// sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ManhattanCost {
    /// By sorted dimensions.
    pub sorting: f64,
    /// By all pairs of rows, or all pairs of a scored row and a row.
    pub pairs: f64,
}

impl ManhattanCost {
    /// The costs for a data set whose distances are computed in a given precision.
    pub fn of(dataset: &Dataset, precision: Precision) -> Self {
        let (rows, scored) = (dataset.len() as f64, dataset.scored());
        let pairs = if scored.is_subsample() { scored.len() as f64 * rows } else { rows * rows / 2.0 };
        let panels = dataset.labels().classes().div_ceil(PANEL);
        let groups = panels.div_ceil(panels_at_once(dataset.len()));
        let double = usize::from(precision == Precision::F64);
        let sorting = rows * (groups as f64 * SORT_COST[double] + panels as f64 * SWEEP_COST);
        let seconds = |of_dimension: f64| of_dimension * dataset.dimensions() as f64 * 1e-9;
        ManhattanCost { sorting: seconds(sorting), pairs: seconds(pairs * PAIR_COST[double]) }
    }
}

/// The number of panels whose sums are in memory at once.
fn panels_at_once(rows: usize) -> usize {
    (HELD / (rows * PANEL)).max(1)
}

/// The number of sums per panel. Does not depend on the number of threads.
fn streams(rows: usize, panels: usize) -> usize {
    (STREAMS / panels).min(HELD / (rows * PANEL * panels)).max(1)
}

/// Goes through a dimension in order and adds the distances to the classes of a panel to the sums of every row.
struct Sweep<'t, 'a, T> {
    kernel: &'t SortedDimensions<'a>,
    dimension: &'t Dimension<T>,
    /// The first class of the panel.
    first: usize,
    sums: &'t mut [Sums],
}

impl<T: Real> Vectorized for Sweep<'_, '_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Sweep { kernel, dimension, first, sums } = self;
        let codes = kernel.dataset.labels().codes();
        let class_weights = kernel.dataset.class_weights();
        let weights = kernel.dataset.weights();
        let count = PANEL.min(class_weights.len() - first);
        // r, 2 W_< - W and S - 2 S_<, which stay in registers because no lane is ever indexed.
        let (mut medians, mut slopes, mut offsets) = ([0.0; PANEL], [0.0; PANEL], [0.0; PANEL]);
        for lane in 0..count {
            medians[lane] = dimension.medians[first + lane];
            slopes[lane] = -class_weights[first + lane];
            offsets[lane] = dimension.totals[first + lane];
        }
        let lanes: [u32; PANEL] = std::array::from_fn(|lane| (first + lane) as u32);
        for (place, &(value, row)) in dimension.sorted.iter().enumerate() {
            if let Some(&(_, next)) = dimension.sorted.get(place + AHEAD) {
                prefetch(&sums[next as usize]);
            }
            let value = value.to_f64();
            let class = codes[row as usize];
            let twice = 2.0 * weights.map_or(1.0, |weights| weights[row as usize]);
            let Sums(target) = &mut sums[row as usize];
            for lane in 0..PANEL {
                let difference = value - medians[lane];
                target[lane] += difference * slopes[lane] + offsets[lane];
                let weight = if lanes[lane] == class { twice } else { 0.0 };
                slopes[lane] += weight;
                offsets[lane] -= weight * difference;
            }
        }
    }
}

/// Prefetches sums that are updated soon: their order is that of values, in which processors find no pattern.
#[inline(always)]
#[allow(unsafe_code)]
fn prefetch(Sums(sums): &Sums) {
    #[cfg(target_arch = "x86_64")]
    for line in sums.chunks(8) {
        // SAFETY: a prefetch hint that does not access memory, for a valid address.
        unsafe { std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(line.as_ptr().cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = sums;
}

/// Mean distances between classes, one panel at a time.
struct Between<'a> {
    dataset: &'a Dataset<'a>,
    /// The scored rows by class, and the start of each class and the end of the last.
    order: Vec<usize>,
    starts: Vec<usize>,
    nearest: Vec<Option<Nearest>>,
    matrix: Option<Array2<f64>>,
}

impl<'a> Between<'a> {
    fn new(dataset: &'a Dataset<'a>, wanted: PassOptions) -> Self {
        let (classes, codes, scored) = (dataset.labels().classes(), dataset.labels().codes(), dataset.scored());
        let order: Vec<usize> = dataset.scored_by_class().into_iter().map(|index| scored.position(index)).collect();
        let starts = (0..=classes).map(|class| order.partition_point(|&row| (codes[row] as usize) < class)).collect();
        let matrix = wanted.matrix.then(|| Array2::zeros((classes, classes)));
        Between { dataset, order, starts, nearest: vec![None; classes], matrix }
    }

    /// Adds the classes of a panel; `means` returns their mean distances from a row.
    fn add(&mut self, first: usize, last: usize, means: impl Fn(usize) -> [f64; PANEL] + Sync) {
        let Between { dataset, order, starts, nearest, matrix } = self;
        let of_class = |class: usize| {
            let (mut sums, mut weight) = ([0.0; PANEL], 0.0);
            for &row in &order[starts[class]..starts[class + 1]] {
                let of_row = dataset.weight(row);
                weight += of_row;
                sums.iter_mut().zip(means(row)).for_each(|(sum, mean)| *sum += of_row * mean);
            }
            (weight > 0.0).then(|| sums.map(|sum| sum / weight))
        };
        let distances = parallel::map(0..nearest.len(), of_class);
        for (class, distances) in distances.iter().enumerate() {
            let others = (first..last).zip(distances.iter().flatten()).filter(|&(other, _)| other != class);
            for (other, &distance) in others {
                Nearest::update(&mut nearest[class], other, distance);
                if let Some(matrix) = matrix {
                    matrix[[class, other]] = distance;
                }
            }
        }
    }

    fn finish(self) -> (Vec<Option<Nearest>>, Option<Array2<f64>>) {
        let matrix = self.matrix.map(|mut matrix| {
            // If all rows are scored, both directions are the same number up to rounding.
            if !self.dataset.scored().is_subsample() {
                for class in 0..matrix.nrows() {
                    for other in 0..class {
                        matrix[[class, other]] = matrix[[other, class]];
                    }
                }
            }
            matrix
        });
        (self.nearest, matrix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DatasetOptions, Embeddings, LabelColumnBuilder, LabelType, Origin, RowChoice, RowWeights};
    use crate::distance::Distance;
    use crate::progress::NoProgress;

    /// Keeps all mean distances of a row.
    struct All;

    impl RowFold for All {
        type State = Vec<f64>;
        type Output = Vec<f64>;

        fn start(&self, _index: usize, _own: usize) -> Vec<f64> {
            Vec::new()
        }

        fn absorb(&self, state: &mut Vec<f64>, first: usize, distances: &[f64]) {
            assert_eq!(state.len(), first);
            state.extend(distances);
        }

        fn finish(&self, state: Vec<f64>) -> Vec<f64> {
            state
        }
    }

    const ROWS: usize = 120;
    const DIMENSIONS: usize = 19;

    fn values() -> Array2<f64> {
        Array2::from_shape_fn((ROWS, DIMENSIONS), |(row, k)| match (row, k) {
            // Far from the rest, a constant dimension, and one far from the origin.
            (7, 3) => -1e12,
            (_, 4) => 0.25,
            (_, 5) => 1e9 + (row % 5) as f64,
            _ => ((row * 7919 + k * 104_729) % 97) as f64 / 8.0 - 6.0,
        })
    }

    /// Two panels of classes; the last class has one row, and all rows of class 3 are equal.
    fn dataset(options: &DatasetOptions) -> Dataset<'static> {
        let mut column = LabelColumnBuilder::new(LabelType::Integer);
        (0..ROWS).for_each(|row| column.push_integer(if row == 11 { 99 } else { (row % 20) as i128 }));
        let mut values = values();
        let repeated = values.row(3).to_owned();
        (3..ROWS).step_by(20).for_each(|row| values.row_mut(row).assign(&repeated));
        let embeddings = Embeddings::from_f64(Origin::new("rows"), values);
        Dataset::join(embeddings, &column.finish(Origin::new("labels")), Distance::Manhattan, options).unwrap()
    }

    /// The mean distances of a row from differences.
    fn expected(dataset: &Dataset, row: usize) -> Vec<f64> {
        let mut buffers = (Vec::new(), Vec::new());
        let codes = dataset.labels().codes();
        let mut sums = vec![(0.0, 0.0); dataset.labels().classes()];
        let x = dataset.rows::<f64>(row..row + 1, &mut buffers.0).unwrap();
        for other in (0..dataset.len()).filter(|&other| other != row) {
            let y = dataset.rows::<f64>(other..other + 1, &mut buffers.1).unwrap();
            let distance: f64 = x.iter().zip(y).map(|(x, y)| (x - y).abs()).sum();
            let (sum, weight) = &mut sums[codes[other] as usize];
            *sum += dataset.weight(other) * distance;
            *weight += dataset.weight(other);
        }
        sums.into_iter().map(|(sum, weight)| if weight > 0.0 { sum / weight } else { 0.0 }).collect()
    }

    fn check(options: &DatasetOptions) {
        let dataset = dataset(options);
        let wanted = PassOptions { geometry: true, matrix: true, ..PassOptions::default() };
        let sorted = SortedDimensions::new(&dataset, Precision::F64, &NoProgress).unwrap().pass(&All, wanted).unwrap();
        let pairs =
            PairTiles::<f64>::new(&dataset, PairDistance::Manhattan, &NoProgress).unwrap().pass(&All, wanted).unwrap();
        for (index, distances) in sorted.rows.iter().enumerate() {
            let row = dataset.scored().position(index);
            let exact = expected(&dataset, row);
            assert_eq!(distances.len(), exact.len());
            for (class, (distance, exact)) in distances.iter().zip(&exact).enumerate() {
                assert!((distance - exact).abs() <= 1e-13 * exact, "row {row}, class {class}: {distance} for {exact}");
            }
        }
        let (sorted, pairs) = (sorted.geometry, pairs.geometry);
        assert_eq!((sorted.radius, sorted.variance), (pairs.radius, pairs.variance));
        for (nearest, of_pairs) in sorted.nearest.iter().zip(pairs.nearest) {
            assert_eq!(nearest.map(|nearest| nearest.class), of_pairs.map(|nearest| nearest.class));
        }
        let (matrix, of_pairs) = (sorted.matrix.unwrap(), pairs.matrix.unwrap());
        for (distance, of_pairs) in matrix.iter().zip(&of_pairs) {
            assert!((distance - of_pairs).abs() <= 1e-13 * of_pairs);
        }
        if !dataset.scored().is_subsample() {
            assert_eq!(matrix, matrix.t());
        }
    }

    #[test]
    fn mean_distances_are_those_of_the_pairs() {
        check(&DatasetOptions::default());
    }

    #[test]
    fn weights_and_subsamples_are_those_of_the_pairs() {
        let weights = (0..ROWS).map(|row| 0.25 + (row % 7) as f64).collect();
        check(&DatasetOptions {
            weights: Some(RowWeights { origin: Origin::new("weights"), values: weights }),
            ..Default::default()
        });
        let choice = RowChoice { subsample: Some(30), ..Default::default() };
        check(&DatasetOptions { choice, ..Default::default() });
    }

    #[test]
    fn rows_that_coincide_have_no_distance() {
        let dataset = dataset(&DatasetOptions::default());
        let kernel = SortedDimensions::new(&dataset, Precision::F64, &NoProgress).unwrap();
        let rows = kernel.pass(&All, PassOptions::default()).unwrap().rows;
        assert_eq!(rows[23][3], 0.0);
    }

    #[test]
    fn small_classes_go_by_pairs_and_large_ones_do_not() {
        let dataset = dataset(&DatasetOptions::default());
        assert!(!SortedDimensions::pays(&dataset, Precision::F64));
        let mut column = LabelColumnBuilder::new(LabelType::Integer);
        (0..20_000).for_each(|row| column.push_integer(row % 10));
        let embeddings = Embeddings::from_f64(Origin::new("rows"), Array2::zeros((20_000, 1)));
        let labels = column.finish(Origin::new("labels"));
        let large = Dataset::join(embeddings, &labels, Distance::Manhattan, &DatasetOptions::default()).unwrap();
        assert!(SortedDimensions::pays(&large, Precision::F32));
    }
}
