//! The matrix product, by the `gemm` crate: SIMD width chosen at run time, one thread.

use gemm::Parallelism;

use crate::kernels::Real;

/// `out` (m x n) = `left` (m x k) times the transpose of `right` (n x k), all in row order.
///
/// # Panics
/// If the slices do not have these shapes.
#[allow(unsafe_code)]
pub(crate) fn multiply_transposed<T: Real>(left: &[T], right: &[T], k: usize, out: &mut [T]) {
    let (m, n) = (left.len() / k, right.len() / k);
    assert!(left.len() == m * k && right.len() == n * k && out.len() == m * n, "shapes do not match");
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
            1,
            k as isize,
            right.as_ptr(),
            k as isize,
            1,
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
}
