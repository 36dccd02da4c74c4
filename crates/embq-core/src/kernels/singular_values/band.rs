//! From a dense matrix to a band, by turns of a block of rows and a block of columns.

use rayon::prelude::*;

use super::bidiagonal::{BANDWIDTH, Band};
use crate::kernels::dense::lane_sum_2;
use crate::kernels::gemm::{Factor, product, subtract_product};
use crate::kernels::vectorized::{Vectorized, vectorized};

/// Rows that one task transforms, one after the other product while they are in the cache of its core.
const ROWS: usize = 96;

/// Columns that one task multiplies.
const COLUMNS: usize = 128;

/// Tails with a smaller sum of squares count as 0. The elements of the matrix are about 1.
const NEGLIGIBLE: f64 = f64::MIN_POSITIVE / (f64::EPSILON * f64::EPSILON);

/// Householder's reflector I - tau v v^T with v = (1, x[1..] / ...), which maps x to (b, 0, ...).
pub(super) struct Reflector {
    /// What x[1..] is multiplied by to become v[1..].
    pub scale: f64,
    pub tau: f64,
    /// b.
    pub image: f64,
}

impl Reflector {
    /// From x[0] and |x[1..]|^2 (Golub & Van Loan 2013, 5.1.3; LAPACK's dlarfg). `None` if x[1..] is 0.
    #[inline(always)]
    pub fn of(head: f64, tail: f64) -> Option<Self> {
        if tail < NEGLIGIBLE {
            return None;
        }
        let image = -(head * head + tail).sqrt().copysign(head);
        Some(Reflector { scale: 1.0 / (head - image), tau: (image - head) / image, image })
    }
}

/// The product of reflectors I - V^T T V: each row of V is a vector v, and T is upper triangular (Schreiber & Van Loan
/// 1989).
struct Block {
    count: usize,
    length: usize,
    /// count x length.
    vectors: Vec<f64>,
    /// count x count.
    factor: Vec<f64>,
}

impl Block {
    /// The reflectors that make a panel of rows lower triangular, if applied from the right; the panel becomes that.
    fn of(panel: &mut [f64], length: usize) -> Self {
        let count = (panel.len() / length).min(length);
        let taus = vectorized(Triangulate { panel, length });
        let mut vectors = panel[..count * length].to_vec();
        for (index, (vector, row)) in vectors.chunks_exact_mut(length).zip(panel.chunks_exact_mut(length)).enumerate() {
            vector[..index].fill(0.0);
            vector[index] = 1.0;
            row[index + 1..].fill(0.0);
        }
        // T by columns (LAPACK's dlarft).
        let mut squares = vec![0.0; count * count];
        let transposed = Factor::of_columns(&vectors, length);
        product((count, count, length), Factor::of_rows(&vectors, length), transposed, &mut squares, count);
        let mut factor = vec![0.0; count * count];
        for (column, tau) in taus.into_iter().enumerate() {
            for row in 0..column {
                let sum: f64 = (row..column).map(|k| factor[row * count + k] * squares[k * count + column]).sum();
                factor[row * count + column] = -tau * sum;
            }
            factor[column * count + column] = tau;
        }
        Block { count, length, vectors, factor }
    }

    /// Multiplies rows, of which the first `length` of `width` elements count, from the right.
    fn transform(&self, rows: &mut [f64], width: usize) {
        let Block { count, length, vectors, factor } = self;
        let m = rows.len().div_ceil(width);
        let mut along = vec![0.0; m * count];
        let transposed = Factor::of_columns(vectors, *length);
        product((m, *count, *length), Factor::of_rows(rows, width), transposed, &mut along, *count);
        let mut scaled = vec![0.0; m * count];
        product(
            (m, *count, *count),
            Factor::of_rows(&along, *count),
            Factor::of_rows(factor, *count),
            &mut scaled,
            *count,
        );
        let vectors = Factor::of_rows(vectors, *length);
        subtract_product((m, *length, *count), Factor::of_rows(&scaled, *count), vectors, rows, width);
    }
}

/// Makes the rows of a panel lower triangular by one reflector after the other, and leaves v[1..] to the right of the
/// diagonal. Returns the tau of each reflector.
struct Triangulate<'a> {
    panel: &'a mut [f64],
    length: usize,
}

impl Vectorized for Triangulate<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn run(self) -> Vec<f64> {
        let Triangulate { panel, length } = self;
        let count = (panel.len() / length).min(length);
        let mut taus = vec![0.0; count];
        for (index, tau) in taus.iter_mut().enumerate() {
            let (row, below) = panel[index * length..].split_at_mut(length);
            let (head, tail) = row[index..].split_at_mut(1);
            let Some(reflector) = Reflector::of(head[0], lane_sum_2(tail, tail, |x, y| x * y)) else {
                tail.fill(0.0);
                continue;
            };
            tail.iter_mut().for_each(|value| *value *= reflector.scale);
            (*tau, head[0]) = (reflector.tau, reflector.image);
            for other in below.chunks_exact_mut(length) {
                let (other_head, other_tail) = other[index..].split_at_mut(1);
                let along = reflector.tau * (other_head[0] + lane_sum_2(tail, other_tail, |v, x| v * x));
                other_head[0] -= along;
                for (x, v) in other_tail.iter_mut().zip(&*tail) {
                    *x -= along * v;
                }
            }
        }
        taus
    }
}

/// Reflectors from the left that the rows of a matrix C have still to be multiplied by.
struct Pending {
    block: Block,
    /// T^T V C, which V^T times is what C loses; its columns in groups of `COLUMNS`, each in row order.
    across: Vec<f64>,
}

impl Pending {
    /// For the first `columns` of `width` columns.
    fn of(block: Block, matrix: &[f64], columns: usize, width: usize) -> Self {
        let Block { count, length, vectors, factor } = &block;
        let mut across = vec![0.0; count * columns];
        across.par_chunks_mut(COLUMNS * count).enumerate().for_each(|(group, across)| {
            let n = across.len() / count;
            let columns = Factor::of_rows(&matrix[group * COLUMNS..], width);
            let mut products = vec![0.0; count * n];
            product((*count, n, *length), Factor::of_rows(vectors, *length), columns, &mut products, n);
            product((*count, n, *count), Factor::of_columns(factor, *count), Factor::of_rows(&products, n), across, n);
        });
        Pending { across, block }
    }

    /// Transforms rows of C from `first` on. Their slice starts at C's first column.
    fn transform(&self, first: usize, rows: &mut [f64], width: usize) {
        let m = rows.len().div_ceil(width);
        let Block { count, length, vectors, .. } = &self.block;
        let vectors = Factor::of_columns(&vectors[first..], *length);
        for (group, across) in self.across.chunks(COLUMNS * count).enumerate() {
            let n = across.len() / count;
            subtract_product((m, n, *count), vectors, Factor::of_rows(across, n), &mut rows[group * COLUMNS..], width);
        }
    }
}

/// A matrix in row order whose rows are padded, so that few of a column's elements compete for the same cache lines.
pub(super) struct Padded {
    columns: usize,
    width: usize,
    values: Vec<f64>,
}

impl Padded {
    /// From the elements by row and column.
    pub fn from_fn(rows: usize, columns: usize, element: impl Fn(usize, usize) -> f64 + Sync) -> Self {
        /// Elements of a cache line.
        const LINE: usize = 8;
        // An odd number of lines.
        let width = (columns.div_ceil(LINE) | 1) * LINE;
        let mut values = vec![0.0; rows * width];
        values.par_chunks_exact_mut(width).enumerate().for_each(|(row, values)| {
            values[..columns].iter_mut().enumerate().for_each(|(column, value)| *value = element(row, column));
        });
        Padded { columns, width, values }
    }

    /// The transpose, multiplied by orthogonal matrices from both sides so that what is left is an upper band. There
    /// must not be more rows than columns. Further rows of the transpose, which become 0, are left out.
    pub fn into_band(mut self) -> Band {
        let Padded { columns, width, .. } = self;
        let rows = self.values.len() / width;
        let mut band = Band::new(rows);
        let mut pending: Option<Pending> = None;
        for first in (0..rows).step_by(BANDWIDTH) {
            let count = BANDWIDTH.min(rows - first);
            let (length, rest) = (columns - first, rows - first - count);
            let (top, below) = self.values[first * width..].split_at_mut(count * width);
            if let Some(pending) = &pending {
                pending.transform(0, &mut top[first..], width);
            }
            let mut panel: Vec<f64> = top.chunks_exact(width).flat_map(|row| &row[first..columns]).copied().collect();
            let block = Block::of(&mut panel, length);
            for (index, row) in panel.chunks_exact(length).enumerate() {
                band.set_column(first + index, first, &row[..=index]);
            }
            below.par_chunks_mut(ROWS * width).enumerate().for_each(|(task, rows)| {
                let rows = &mut rows[first..];
                if let Some(pending) = &pending {
                    pending.transform(count + task * ROWS, rows, width);
                }
                block.transform(rows, width);
            });
            if rest == 0 {
                break;
            }
            let below = &below[first..];
            let mut panel: Vec<f64> =
                (0..count).flat_map(|column| below[column..].iter().step_by(width).copied()).collect();
            let block = Block::of(&mut panel, rest);
            for (index, row) in panel.chunks_exact(rest).enumerate() {
                for (k, &value) in row.iter().enumerate().take(index + 1) {
                    band.set(first + index, first + count + k, value);
                }
            }
            pending = Some(Pending::of(block, &below[count..], length - count, width));
        }
        band
    }
}
