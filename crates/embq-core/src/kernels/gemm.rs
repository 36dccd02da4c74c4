//! Matrix products by the `gemm` crate: the SIMD width is chosen at run time, and each product uses one thread.
//!
//! The crate packs its factors anew in each call. If a factor is used in many products, or its rows are multiplied with
//! different rows, [`Packed`] lays it out once so that the crate only copies it.

use std::ops::Range;
use std::sync::OnceLock;
use std::time::Instant;

use gemm::Parallelism;

use crate::kernels::Real;

/// Multiplications a second of a float32 product on one thread, by a small product that is timed once.
pub(crate) fn product_speed() -> f64 {
    const SIZE: usize = 256;
    static SPEED: OnceLock<f64> = OnceLock::new();
    *SPEED.get_or_init(|| {
        let factor = vec![0.5_f32; SIZE * SIZE];
        let mut out = vec![0.0; SIZE * SIZE];
        let mut seconds = || {
            let started = Instant::now();
            multiply(&factor, &factor, SIZE, &mut out);
            started.elapsed().as_secs_f64()
        };
        // The first warms the caches.
        let least = [seconds(), seconds(), seconds()].into_iter().fold(f64::INFINITY, f64::min);
        SIZE.pow(3) as f64 / least.max(1e-9)
    })
}

/// Rows that lie together in [`Packed`]: what the widest microkernel takes.
pub(crate) const PANEL: usize = 64;

/// Rows laid out as the microkernel reads the right factor of a product: in panels, with the values of a panel's rows
/// adjacent for each of the k dimensions. The last panel is padded with zeros.
pub(crate) struct Packed<T> {
    k: usize,
    rows: usize,
    panels: Vec<[T; PANEL]>,
}

impl<T> Default for Packed<T> {
    fn default() -> Self {
        Packed { k: 1, rows: 0, panels: Vec::new() }
    }
}

impl<T: Real> Packed<T> {
    /// Lays out n x k values.
    pub(crate) fn of(rows: &[T], k: usize) -> Self {
        let mut packed = Packed::default();
        packed.fill(rows, k);
        packed
    }

    /// Lays out other n x k values in the same memory.
    pub(crate) fn fill(&mut self, rows: &[T], k: usize) {
        (self.k, self.rows) = (k, rows.len() / k);
        self.panels.resize(self.rows.div_ceil(PANEL) * k, [T::default(); PANEL]);
        for (panel, rows) in self.panels.chunks_exact_mut(k).zip(rows.chunks(PANEL * k)) {
            lay_out(rows, k, panel);
        }
    }

    /// The panels in order, each with the k dimensions of its rows.
    pub(crate) fn panels(&self) -> std::slice::ChunksExact<'_, [T; PANEL]> {
        self.panels.chunks_exact(self.k)
    }
}

/// Lays out at most `PANEL` rows.
fn lay_out<T: Real>(rows: &[T], k: usize, panel: &mut [[T; PANEL]]) {
    /// Dimensions processed together: a cache line of float32.
    const DEPTH: usize = 16;
    let last = rows.len() / k;
    for (step, dimensions) in panel.chunks_mut(DEPTH).enumerate() {
        let first = step * DEPTH;
        for (lane, row) in rows.chunks_exact(k).enumerate() {
            for (target, value) in dimensions.iter_mut().zip(&row[first..]) {
                target[lane] = *value;
            }
        }
        dimensions.iter_mut().for_each(|lanes| lanes[last..].fill(T::default()));
    }
}

/// `out` (m x n) = `left` (m x k) times the transpose of the n rows `columns` of `right`, the first of which starts a
/// panel.
///
/// # Panics
/// If the shapes do not match.
pub(crate) fn multiply_packed<T: Real>(left: &[T], right: &Packed<T>, columns: Range<usize>, out: &mut [T]) {
    let (m, n, k) = (left.len() / right.k, columns.len(), right.k);
    assert!(columns.start.is_multiple_of(PANEL) && columns.end <= right.rows, "columns do not match");
    assert_eq!(out.len(), m * n, "shapes do not match");
    for (panel, start) in right.panels().skip(columns.start / PANEL).zip((0..n).step_by(PANEL)) {
        let panel = Factor { values: panel.as_flattened(), row_stride: PANEL, column_stride: 1 };
        product((m, PANEL.min(n - start), k), Factor::of_rows(left, k), panel, &mut out[start..], n);
    }
}

/// `out` (m x n) = `left` (m x k) times the transpose of `right` (n x k), all in row order.
///
/// # Panics
/// If the slices do not have these shapes.
pub(crate) fn multiply_transposed<T: Real>(left: &[T], right: &[T], k: usize, out: &mut [T]) {
    let n = right.len() / k;
    multiply_packed(left, &Packed::of(right, k), 0..n, out);
}

/// `out` (m x n) = `left` (m x k) times `right` (k x n), all in row order.
///
/// # Panics
/// If the slices do not have these shapes.
pub(crate) fn multiply<T: Real>(left: &[T], right: &[T], k: usize, out: &mut [T]) {
    let (m, n) = (left.len() / k, right.len() / k);
    product((m, n, k), Factor::of_rows(left, k), Factor::of_rows(right, n), out, n);
}

/// `out` (m x n) = some columns of `left`, whose rows have `width` values, times `right`, which has one row for each of
/// them, in row order.
///
/// # Panics
/// If the slices do not have these shapes.
pub(crate) fn multiply_columns<T: Real>(left: &[T], width: usize, columns: Range<usize>, right: &[T], out: &mut [T]) {
    let (m, n, k) = (left.len() / width, right.len() / columns.len(), columns.len());
    let left = Factor { values: &left[columns.start..], row_stride: width, column_stride: 1 };
    product((m, n, k), left, Factor::of_rows(right, n), out, n);
}

/// `out` (m x n) = the transpose of `left` (k x m) times `right` (k x n), all in row order.
///
/// # Panics
/// If the slices do not have these shapes.
pub(crate) fn transposed_multiply<T: Real>(left: &[T], right: &[T], k: usize, out: &mut [T]) {
    let (m, n) = (left.len() / k, right.len() / k);
    product((m, n, k), Factor::of_columns(left, m), Factor::of_rows(right, n), out, n);
}

/// A factor as stored in memory.
#[derive(Clone, Copy)]
pub(crate) struct Factor<'a, T> {
    values: &'a [T],
    /// The distance between neighbours in a column and in a row.
    row_stride: usize,
    column_stride: usize,
}

impl<'a, T> Factor<'a, T> {
    /// A matrix in row order, or the first columns of one whose rows have this many.
    pub(crate) fn of_rows(values: &'a [T], columns: usize) -> Self {
        Factor { values, row_stride: columns, column_stride: 1 }
    }

    /// A matrix in column order; its transpose is in row order.
    pub(crate) fn of_columns(values: &'a [T], rows: usize) -> Self {
        Factor { values, row_stride: 1, column_stride: rows }
    }

    /// Whether all elements of a rows x columns matrix are inside the slice.
    fn holds(&self, rows: usize, columns: usize) -> bool {
        rows == 0
            || columns == 0
            || (rows - 1) * self.row_stride + (columns - 1) * self.column_stride < self.values.len()
    }
}

/// Sets the first n columns of `out`, whose rows have `width` elements, to `left` (m x k) times `right` (k x n).
///
/// # Panics
/// If the slices do not hold these shapes.
pub(crate) fn product<T: Real>(
    shape: (usize, usize, usize),
    left: Factor<'_, T>,
    right: Factor<'_, T>,
    out: &mut [T],
    width: usize,
) {
    combine(shape, left, right, out, width, None);
}

/// Subtracts `left` (m x k) times `right` (k x n) from the first n columns of `out`, whose rows have `width` elements.
///
/// # Panics
/// If the slices do not hold these shapes.
pub(crate) fn subtract_product<T: Real>(
    shape: (usize, usize, usize),
    left: Factor<'_, T>,
    right: Factor<'_, T>,
    out: &mut [T],
    width: usize,
) {
    combine(shape, left, right, out, width, Some(T::from_f64(-1.0)));
}

/// Adds `times` the product to `out`, or sets `out` to the product.
#[allow(unsafe_code)]
fn combine<T: Real>(
    (m, n, k): (usize, usize, usize),
    left: Factor<'_, T>,
    right: Factor<'_, T>,
    out: &mut [T],
    width: usize,
    times: Option<T>,
) {
    let fits = n <= width && Factor::of_rows(out, width).holds(m, n);
    assert!(left.holds(m, k) && right.holds(k, n) && fits, "shapes do not match");
    let one = T::from_f64(1.0);
    // SAFETY: by the assertion above, every element reached by these shapes and strides is inside its slice; `out` is
    // borrowed exclusively and overlaps neither factor; all its elements are initialised, whether it is read or not.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            width as isize,
            times.is_some(),
            left.values.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.values.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            one,
            times.unwrap_or(one),
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
    fn packed_rows_give_the_product_of_any_columns() {
        let (m, n, k) = (3, 2 * PANEL + 5, 33);
        let value = |index: usize| ((index * 37) % 19) as f64 - 9.0;
        let left: Vec<f64> = (0..m * k).map(value).collect();
        let right: Vec<f64> = (0..n * k).map(|index| value(index + 5)).collect();
        let mut packed = Packed::of(&right[..k], k);
        packed.fill(&right, k);
        for columns in [0..n, PANEL..n, PANEL..2 * PANEL, 2 * PANEL..n, 0..7] {
            let mut out = vec![f64::NAN; m * columns.len()];
            multiply_packed(&left, &packed, columns.clone(), &mut out);
            let pairs = left
                .chunks_exact(k)
                .flat_map(|x| right[columns.start * k..columns.end * k].chunks_exact(k).map(move |y| (x, y)));
            let expected: Vec<f64> = pairs.map(|(x, y)| x.iter().zip(y).map(|(x, y)| x * y).sum()).collect();
            assert_eq!(out, expected, "{columns:?}");
        }
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
        // Only the last two columns.
        multiply_columns(&left, 3, 1..3, &right[4..], &mut out);
        assert_eq!(out, [4.0, 13.0, 5.0, 5.0, 10.0, 28.0, 11.0, 11.0]);
    }
    #[test]
    fn products_of_parts_are_subtracted_from_a_part() {
        let (left, right) = ([1.0, 2.0, 9.0, 3.0, 4.0, 9.0], [1.0, 0.0, 2.0, 1.0]);
        let mut out = [10.0, 10.0, 7.0, 10.0, 10.0];
        subtract_product((2, 2, 2), Factor::of_rows(&left, 3), Factor::of_columns(&right, 2), &mut out, 3);
        // (1, 2) . (1, 0) = 1, (1, 2) . (2, 1) = 4, (3, 4) . (1, 0) = 3, (3, 4) . (2, 1) = 10.
        assert_eq!(out, [9.0, 6.0, 7.0, 7.0, 0.0]);
    }
}
