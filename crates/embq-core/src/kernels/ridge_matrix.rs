//! A = X^T X + alpha I of a ridge regression on centred rows: its solutions, and the leverages of rows.

use faer::linalg::solvers::{Llt, Solve};
use faer::linalg::triangular_inverse::invert_lower_triangular;
use faer::{Mat, Par, Side};

use crate::data::Element;
use crate::kernels::dense::squared_norm;
use crate::kernels::gemm::multiply_columns;

/// Dimensions of a tile of the inverse factor.
const TILE: usize = 128;

/// A penalty below the rounding of a matrix with this trace counts as that rounding: nothing is known of directions with
/// less variance.
pub(crate) fn penalty(alpha: f64, size: usize, trace: f64) -> f64 {
    alpha.max(size as f64 * f64::EPSILON * trace)
}

/// The matrix with its Cholesky factor.
pub(crate) struct RidgeMatrix {
    factor: Llt<f64>,
    /// The rows of the inverse of the factor, `TILE` at a time: for each dimension that they reach, their values.
    inverse: Vec<Vec<f64>>,
}

impl RidgeMatrix {
    /// The matrix of a scatter of the rows; `None` if it has no Cholesky factor.
    pub(crate) fn new(dimensions: usize, alpha: f64, scatter: impl Fn(usize, usize) -> f64) -> Option<Self> {
        let d = dimensions;
        let matrix = Mat::from_fn(d, d, |row, column| scatter(row, column) + if row == column { alpha } else { 0.0 });
        let factor = Llt::new(matrix.as_ref(), Side::Lower).ok()?;
        let mut inverse = Mat::zeros(d, d);
        invert_lower_triangular(inverse.as_mut(), factor.L(), Par::Seq);
        let tile = |first: usize| {
            let end = (first + TILE).min(d);
            (0..end).flat_map(|k| inverse.col_as_slice(k)[first..end].iter().copied()).collect()
        };
        Some(RidgeMatrix { inverse: (0..d).step_by(TILE).map(tile).collect(), factor })
    }

    /// A^-1 times the columns of a matrix, in their place.
    pub(crate) fn solve(&self, columns: &mut Mat<f64>) {
        self.factor.solve_in_place(columns);
    }

    /// x^T A^-1 x + 1/N of each row x of a block: its leverage on a fit with an intercept to N rows.
    #[inline(always)]
    pub(crate) fn leverages(&self, centred: &[f64], dimensions: usize, rows: f64, workspace: &mut LeverageWorkspace) {
        let LeverageWorkspace { products, leverages } = workspace;
        let (d, count) = (dimensions, centred.len() / dimensions);
        leverages.clear();
        leverages.resize(count, 1.0 / rows);
        for (tile, first) in self.inverse.iter().zip((0..d).step_by(TILE)) {
            let (end, width) = ((first + TILE).min(d), TILE.min(d - first));
            products.resize(count * width, 0.0);
            multiply_columns(centred, d, 0..end, tile, products);
            for (leverage, part) in leverages.iter_mut().zip(products.chunks_exact(width)) {
                *leverage += squared_norm(part);
            }
        }
    }
}

/// The leverages of a block of rows, and what they are computed in.
#[derive(Default)]
pub(crate) struct LeverageWorkspace {
    /// Free for other products of the block.
    pub(crate) products: Vec<f64>,
    pub(crate) leverages: Vec<f64>,
}

/// Rows less their mean, in float64.
#[inline(always)]
pub(crate) fn centre<T: Element>(block: &[T], mean: &[f64], centred: &mut Vec<f64>) {
    let d = mean.len();
    centred.resize(block.len(), 0.0);
    for (row, centred) in block.chunks_exact(d).zip(centred.chunks_exact_mut(d)) {
        for ((target, value), mean) in centred.iter_mut().zip(row).zip(mean) {
            *target = value.to_f64() - mean;
        }
    }
}
