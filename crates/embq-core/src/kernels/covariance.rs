//! Mean and covariance of the rows, in one pass, and eigenvalues of symmetric matrices.
//!
//! Products and sums are float64. The mean of the first block is subtracted from all rows, so that a common offset does
//! not cancel, and the matrix is summed tile by tile over blocks of rows in order.

use std::ops::Range;

use faer::Side;
use ndarray::Array2;
use rayon::prelude::*;

use crate::data::{Dataset, Element, Precision};
use crate::error::{Error, Result};
use crate::kernels::gemm::transposed_multiply;
use crate::kernels::singular_values::singular_values;
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::progress::Progress;

/// Rows per block.
const BLOCK_ROWS: usize = 1024;

/// Dimensions per side of a tile of the matrix.
const TILE: usize = 128;

/// Mean and covariance of all selected rows, as given. Row weights are ignored.
#[derive(Clone, Debug, PartialEq)]
pub struct Covariance {
    /// N.
    pub rows: usize,
    /// The mean of each of the d dimensions.
    pub mean: Vec<f64>,
    /// d x d, divided by N.
    pub matrix: Array2<f64>,
}

/// Computes mean and covariance in one pass over the rows.
///
/// # Errors
/// Errors from reading rows.
pub fn covariance(dataset: &Dataset, progress: &dyn Progress) -> Result<Covariance> {
    match dataset.embeddings().element_type().precision() {
        Precision::F32 => of_rows::<f32>(dataset, progress),
        Precision::F64 => of_rows::<f64>(dataset, progress),
    }
}

fn of_rows<T: Element>(dataset: &Dataset, progress: &dyn Progress) -> Result<Covariance> {
    let (n, d) = (dataset.len(), dataset.dimensions());
    let mut panels: Vec<Panel> = ranges(d).map(Panel::new).collect();
    let count = panels.len();
    let mut tiles: Vec<Tile> = (0..count)
        .flat_map(|row| (row..count).map(move |column| (row, column)))
        .map(|(row, column)| Tile {
            row,
            column,
            sum: vec![0.0; panels[row].width() * panels[column].width()],
            product: Vec::new(),
        })
        .collect();
    let mut buffer = Vec::new();
    progress.begin("covariance", n as u64);
    dataset.selected().for_each_window::<T>(|window| {
        for start in window.range().step_by(BLOCK_ROWS) {
            let rows = start..(start + BLOCK_ROWS).min(window.range().end);
            let block = window.rows(rows.clone(), &mut buffer)?;
            panels.par_iter_mut().for_each(|panel| vectorized(Fill { panel, block, dimensions: d, first: start == 0 }));
            let panels = &panels;
            tiles.par_iter_mut().for_each(|tile| {
                tile.product.resize(tile.sum.len(), 0.0);
                let (left, right) = (&panels[tile.row].values, &panels[tile.column].values);
                transposed_multiply(left, right, rows.len(), &mut tile.product);
                for (sum, product) in tile.sum.iter_mut().zip(&tile.product) {
                    *sum += product;
                }
            });
            progress.step(rows.len() as u64)?;
        }
        Ok(())
    })?;
    progress.end();
    let share = 1.0 / n as f64;
    let offset: Vec<f64> = panels.iter().flat_map(|panel| panel.sum.iter().map(|sum| sum * share)).collect();
    let origin = panels.iter().flat_map(|panel| &panel.origin);
    let mean = origin.zip(&offset).map(|(origin, offset)| origin + offset).collect();
    let mut matrix = Array2::zeros((d, d));
    for tile in &tiles {
        let (rows, columns) = (&panels[tile.row].dimensions, &panels[tile.column].dimensions);
        for (row, sums) in rows.clone().zip(tile.sum.chunks_exact(columns.len())) {
            for (column, sum) in columns.clone().zip(sums) {
                let value = sum * share - offset[row] * offset[column];
                matrix[[row, column]] = value;
                matrix[[column, row]] = value;
            }
        }
    }
    Ok(Covariance { rows: n, mean, matrix })
}

/// If the mean is longer than this many times the spread of the rows, squares have lost digits of the spread.
const FAR: f64 = 10.0;

impl Covariance {
    /// The d singular values of the rows as they are, uncentred, divided by the square root of N, in descending order.
    ///
    /// Far from the origin, the mean hides the other directions in the mean of x x^T. In that case, they are the
    /// singular values of the principal axes, each scaled by its spread, stacked on the mean in their coordinates.
    ///
    /// # Errors
    /// Values that are not finite.
    pub fn singular_values(&self) -> Result<Vec<f64>> {
        let trace: f64 = self.matrix.diag().sum();
        let mean_square: f64 = self.mean.iter().map(|mean| mean * mean).sum();
        if mean_square <= FAR * FAR * trace {
            let squares = Eigen::of(&self.second_moment(), 0)?.values;
            let rounding = rounding_of(&squares);
            return Ok(squares.iter().map(|&square| if square > rounding { square.sqrt() } else { 0.0 }).collect());
        }
        let d = self.mean.len();
        let Eigen { values, vectors } = Eigen::of(&self.matrix, d)?;
        let rounding = rounding_of(&values);
        let along: Vec<f64> =
            vectors.rows().into_iter().map(|axis| axis.iter().zip(&self.mean).map(|(x, y)| x * y).sum()).collect();
        let length = mean_square.sqrt();
        let element = |row: usize, column: usize| {
            let spread = if row == column && values[column] > rounding { values[column].sqrt() } else { 0.0 };
            (if row == d { along[column] } else { spread }) / length
        };
        let axes: Vec<f64> = (0..=d).flat_map(|row| (0..d).map(move |column| element(row, column))).collect();
        let found = singular_values(&axes, d + 1, d).ok_or_else(not_found)?;
        Ok(found.into_iter().map(|value| value * length).collect())
    }

    /// The mean of x x^T over the rows, uncentred.
    fn second_moment(&self) -> Array2<f64> {
        Array2::from_shape_fn(self.matrix.dim(), |(row, column)| {
            self.matrix[[row, column]] + self.mean[row] * self.mean[column]
        })
    }
}

/// The rounding error of the eigenvalues of a symmetric matrix, given in descending order.
pub(crate) fn rounding_of(values: &[f64]) -> f64 {
    values.first().map_or(0.0, |largest| largest * values.len() as f64 * f64::EPSILON)
}

fn not_found() -> Error {
    Error::Setting { problem: "the eigenvalues of a matrix cannot be found".to_owned(), cure: None }
}

/// Eigenvalues of a symmetric matrix, in descending order, and the eigenvectors of the first ones.
#[derive(Clone, Debug, PartialEq)]
pub struct Eigen {
    pub values: Vec<f64>,
    /// One unit vector per row. Its element of largest magnitude is positive; the first one on a tie.
    pub vectors: Array2<f64>,
}

impl Eigen {
    /// The eigenvalues of a symmetric matrix and the eigenvectors of the `vectors` largest. The axes of a principal
    /// component analysis are those of [`Covariance::matrix`].
    ///
    /// # Errors
    /// A matrix that is not square or has values that are not finite.
    pub fn of(matrix: &Array2<f64>, vectors: usize) -> Result<Self> {
        let (rows, columns) = matrix.dim();
        if rows != columns || !matrix.iter().all(|value| value.is_finite()) {
            return Err(not_found());
        }
        let largest = matrix.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
        if largest == 0.0 {
            let vectors =
                Array2::from_shape_fn((vectors.min(rows), rows), |(row, column)| f64::from(u8::from(row == column)));
            return Ok(Eigen { values: vec![0.0; rows], vectors });
        }
        // Relative to the largest element, squares neither overflow nor underflow.
        let relative = faer::Mat::from_fn(rows, rows, |row, column| matrix[[row, column]] / largest);
        if vectors == 0 {
            let values = relative.self_adjoint_eigenvalues(Side::Lower).map_err(|_| not_found())?;
            return Ok(Eigen {
                values: values.into_iter().rev().map(|value| value * largest).collect(),
                vectors: Array2::zeros((0, rows)),
            });
        }
        let found = relative.self_adjoint_eigen(Side::Lower).map_err(|_| not_found())?;
        let values = found.S().column_vector();
        let directions = found.U();
        let mut vectors =
            Array2::from_shape_fn((vectors.min(rows), rows), |(rank, k)| directions[(k, rows - 1 - rank)]);
        for mut vector in vectors.rows_mut() {
            let sign = vector.iter().fold(0.0_f64, |most, &value| if value.abs() > most.abs() { value } else { most });
            if sign < 0.0 {
                vector.mapv_inplace(|value| -value);
            }
        }
        Ok(Eigen { values: (0..rows).rev().map(|index| values[index] * largest).collect(), vectors })
    }
}

/// Some of the dimensions of a block of rows.
struct Panel {
    dimensions: Range<usize>,
    /// The offset subtracted from every row: the mean of the first block.
    origin: Vec<f64>,
    /// Sums of the remainders.
    sum: Vec<f64>,
    /// The block in row order.
    values: Vec<f64>,
}

impl Panel {
    fn new(dimensions: Range<usize>) -> Self {
        let width = dimensions.len();
        Panel { dimensions, origin: vec![0.0; width], sum: vec![0.0; width], values: Vec::new() }
    }

    fn width(&self) -> usize {
        self.dimensions.len()
    }
}

/// A part of the matrix: the product of two panels.
struct Tile {
    row: usize,
    column: usize,
    sum: Vec<f64>,
    product: Vec<f64>,
}

fn ranges(d: usize) -> impl Iterator<Item = Range<usize>> {
    (0..d).step_by(TILE).map(move |start| start..(start + TILE).min(d))
}

/// Copies the dimensions of a panel from a block of rows.
struct Fill<'t, T> {
    panel: &'t mut Panel,
    block: &'t [T],
    dimensions: usize,
    first: bool,
}

impl<T: Element> Vectorized for Fill<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Fill { panel: Panel { dimensions, origin, sum, values }, block, dimensions: d, first } = self;
        let rows = || block.chunks_exact(d).map(|row| &row[dimensions.clone()]);
        if first {
            for row in rows() {
                for (origin, value) in origin.iter_mut().zip(row) {
                    *origin += value.to_f64();
                }
            }
            let share = 1.0 / (block.len() / d) as f64;
            origin.iter_mut().for_each(|origin| *origin *= share);
        }
        let width = dimensions.len();
        values.resize(block.len() / d * width, 0.0);
        for (row, target) in rows().zip(values.chunks_exact_mut(width)) {
            for (((target, value), origin), sum) in target.iter_mut().zip(row).zip(&*origin).zip(&mut *sum) {
                *target = value.to_f64() - origin;
                *sum += *target;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DatasetOptions, Embeddings, LabelColumnBuilder, LabelType, Origin};
    use crate::distance::Distance;
    use crate::progress::NoProgress;

    fn dataset(values: Array2<f64>) -> Dataset<'static> {
        let mut labels = LabelColumnBuilder::new(LabelType::Integer);
        (0..values.nrows()).for_each(|row| labels.push_integer(row as i128 % 2));
        let embeddings = Embeddings::from_f64(Origin::new("rows"), values);
        let labels = labels.finish(Origin::new("labels"));
        Dataset::join(embeddings, &labels, Distance::Euclidean, &DatasetOptions::default()).unwrap()
    }

    fn values(rows: usize, d: usize, offset: f64) -> Array2<f64> {
        Array2::from_shape_fn((rows, d), |(i, j)| offset + ((i * 37 + j * 101 + i * j * 13) % 97) as f64 / 97.0)
    }

    #[test]
    fn the_covariance_is_that_of_the_definition() {
        for (rows, d) in [(3, 2), (BLOCK_ROWS + 7, 5), (300, TILE + 9)] {
            let values = values(rows, d, 1e4);
            let found = covariance(&dataset(values.clone()), &NoProgress).unwrap();
            let mean: Vec<f64> =
                (0..d).map(|j| 1e4 + values.column(j).iter().map(|x| x - 1e4).sum::<f64>() / rows as f64).collect();
            for row in 0..d {
                assert!((found.mean[row] - mean[row]).abs() < 1e-10);
                for column in 0..d {
                    let products = values.rows().into_iter().map(|x| (x[row] - mean[row]) * (x[column] - mean[column]));
                    let expected = products.sum::<f64>() / rows as f64;
                    assert!((found.matrix[[row, column]] - expected).abs() < 1e-11, "{row} {column}");
                }
            }
        }
    }

    #[test]
    fn eigenvalues_of_a_hand_worked_matrix() {
        // [[2, 1], [1, 2]] has 3 along (1, 1) and 1 along (1, -1).
        let matrix = ndarray::array![[2.0, 1.0], [1.0, 2.0]];
        let eigen = Eigen::of(&matrix, 2).unwrap();
        let root = 0.5f64.sqrt();
        assert!((eigen.values[0] - 3.0).abs() < 1e-14 && (eigen.values[1] - 1.0).abs() < 1e-14);
        for (found, expected) in eigen.vectors.iter().zip([root, root, root, -root]) {
            assert!((found.abs() - expected.abs()).abs() < 1e-14);
        }
        assert!(eigen.vectors.row(0).iter().all(|&value| value > 0.0));
        assert_eq!(Eigen::of(&matrix, 0).unwrap().values.len(), 2);
        assert!(Eigen::of(&ndarray::array![[f64::NAN]], 1).is_err());
        assert_eq!(Eigen::of(&Array2::zeros((2, 2)), 1).unwrap().vectors, ndarray::array![[1.0, 0.0]]);
    }

    #[test]
    fn vectors_diagonalise_the_covariance() {
        let found = covariance(&dataset(values(200, 12, 0.0)), &NoProgress).unwrap();
        let eigen = Eigen::of(&found.matrix, 4).unwrap();
        assert_eq!(eigen.vectors.dim(), (4, 12));
        for (vector, value) in eigen.vectors.rows().into_iter().zip(&eigen.values) {
            let image = found.matrix.dot(&vector);
            for (image, element) in image.iter().zip(vector) {
                assert!((image - value * element).abs() < 1e-14);
            }
        }
        let trace: f64 = found.matrix.diag().sum();
        assert!((eigen.values.iter().sum::<f64>() - trace).abs() < 1e-13);
    }

    #[test]
    fn the_second_moment_is_uncentred() {
        let found = covariance(&dataset(ndarray::array![[1.0, 0.0], [3.0, 2.0]]), &NoProgress).unwrap();
        assert_eq!(found.second_moment(), ndarray::array![[5.0, 3.0], [3.0, 2.0]]);
    }

    #[test]
    fn singular_values_far_from_the_origin_keep_their_digits() {
        // Three positions along each of two axes, and all nine pairs of them: C = diag(2/3, 2/3/256, 0).
        let rows = Array2::from_shape_fn((9, 3), |(row, column)| match column {
            0 => 1e6 + (row % 3) as f64,
            1 => 2e6 + (row / 3) as f64 / 16.0,
            _ => 0.0,
        });
        let found = covariance(&dataset(rows), &NoProgress).unwrap().singular_values().unwrap();
        let (a, b) = (2.0_f64 / 3.0, 2.0_f64 / 3.0 / 256.0);
        let (x, y) = (1e6_f64 + 1.0, 2e6_f64 + 1.0 / 16.0);
        // The product of the two is the root of the determinant a b + a y^2 + b x^2 of diag(a, b) + m m^T.
        let (square, determinant) = (a + b + x * x + y * y, a * b + a * y * y + b * x * x);
        assert!((found[0] / square.sqrt() - 1.0).abs() < 1e-12);
        assert!((found[0] * found[1] / determinant.sqrt() - 1.0).abs() < 1e-8, "{found:?}");
        assert!(found[2].abs() < 1e-9);
    }

    #[test]
    fn threads_change_no_bit() {
        let dataset = dataset(values(BLOCK_ROWS + 300, TILE + 30, 0.5));
        let compute = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let found = covariance(&dataset, &NoProgress).unwrap();
                (Eigen::of(&found.matrix, 3).unwrap(), found)
            })
        };
        assert_eq!(compute(1), compute(3));
    }
}
