//! The matrix product, by the `gemm` crate: SIMD width chosen at run time, one thread.

use gemm::Parallelism;

use crate::kernels::Real;

/// `out` (m x n) = `left` (m x k) times the transpose of `right` (n x k), all in row order.
///
/// # Panics
/// If the slices do not have these shapes.
pub(crate) fn multiply_transposed<T: Real>(left: &[T], right: &[T], k: usize, out: &mut [T]) {
    let (m, n) = (left.len() / k, right.len() / k);
    product((m, n, k), (left, Layout::Rows), (right, Layout::Columns), out);
}

/// `out` (m x n) = `left` (m x k) times `right` (k x n), all in row order.
///
/// # Panics
/// If the slices do not have these shapes.
pub(crate) fn multiply<T: Real>(left: &[T], right: &[T], k: usize, out: &mut [T]) {
    let (m, n) = (left.len() / k, right.len() / k);
    product((m, n, k), (left, Layout::Rows), (right, Layout::Rows), out);
}

/// `out` (m x n) = the transpose of `left` (k x m) times `right` (k x n), all in row order.
///
/// # Panics
/// If the slices do not have these shapes.
pub(crate) fn transposed_multiply<T: Real>(left: &[T], right: &[T], k: usize, out: &mut [T]) {
    let (m, n) = (left.len() / k, right.len() / k);
    product((m, n, k), (left, Layout::Columns), (right, Layout::Rows), out);
}

/// How a factor lies in memory.
#[derive(Clone, Copy)]
enum Layout {
    /// Row after row.
    Rows,
    /// Column after column: its transpose lies row after row.
    Columns,
}

impl Layout {
    /// How far apart neighbours in a column and in a row of a rows x columns matrix are.
    fn strides(self, rows: usize, columns: usize) -> (isize, isize) {
        match self {
            Layout::Rows => (columns as isize, 1),
            Layout::Columns => (1, rows as isize),
        }
    }
}

/// `out` (m x n) = `left` (m x k) times `right` (k x n).
#[allow(unsafe_code)]
fn product<T: Real>((m, n, k): (usize, usize, usize), left: (&[T], Layout), right: (&[T], Layout), out: &mut [T]) {
    let ((left, left_layout), (right, right_layout)) = (left, right);
    assert!(left.len() == m * k && right.len() == k * n && out.len() == m * n, "shapes do not match");
    let (left_rows, left_columns) = left_layout.strides(m, k);
    let (right_rows, right_columns) = right_layout.strides(k, n);
    let zero = T::default();
    let one = T::from_f64(1.0);
    // SAFETY: the assertion above makes every element that these shapes and strides reach lie inside its slice; `out`
    // is borrowed exclusively and overlaps neither factor; it is written before it is read because `read_dst` is false.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            false,
            left.as_ptr(),
            left_columns,
            left_rows,
            right.as_ptr(),
            right_columns,
            right_rows,
            zero,
            one,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_product_is_that_of_the_transpose() {
        let left = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let right = [1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 2.0, 2.0, 2.0];
        let mut out = [f64::NAN; 6];
        multiply_transposed(&left, &right, 3, &mut out);
        assert_eq!(out, [4.0, 2.0, 12.0, 10.0, 5.0, 30.0]);
    }

    #[test]
    fn all_products_are_the_same_product() {
        let left = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let left_transposed = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0];
        let right = [1.0, 0.0, 2.0, 1.0, 2.0, 2.0, 1.0, 1.0, 0.0, 3.0, 1.0, 1.0];
        let expected = [5.0, 13.0, 7.0, 6.0, 14.0, 28.0, 19.0, 15.0];
        let mut out = [f64::NAN; 8];
        multiply(&left, &right, 3, &mut out);
        assert_eq!(out, expected);
        transposed_multiply(&left_transposed, &right, 3, &mut out);
        assert_eq!(out, expected);
    }
}
