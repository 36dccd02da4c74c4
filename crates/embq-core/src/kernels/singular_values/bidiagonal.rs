//! From an upper band to two diagonals, by chasing bulges.

use super::band::Reflector;
use crate::kernels::vectorized::{Vectorized, vectorized};

/// Diagonals above the main one.
pub(super) const BANDWIDTH: usize = 32;

/// Rows that are stored of each column: those of the band, and the bulges above and below it.
const STORED: usize = 3 * BANDWIDTH;

/// Terms of a sum that are added up side by side.
const LANES: usize = 8;

/// An upper band in column order. Columns of zeros follow it, so that all blocks have their full size.
pub(super) struct Band {
    size: usize,
    /// Of column c the rows from c - 2 `BANDWIDTH` on.
    columns: Vec<f64>,
}

/// Where an element is.
#[inline(always)]
fn at(row: usize, column: usize) -> usize {
    column * (STORED - 1) + row + 2 * BANDWIDTH
}

impl Band {
    /// Zeros.
    pub fn new(size: usize) -> Self {
        Band { size, columns: vec![0.0; (size + 2 * BANDWIDTH) * STORED] }
    }

    pub fn set(&mut self, row: usize, column: usize, value: f64) {
        self.columns[at(row, column)] = value;
    }

    /// Sets some elements of a column, from a row on.
    pub fn set_column(&mut self, column: usize, row: usize, values: &[f64]) {
        self.columns[at(row, column)..][..values.len()].copy_from_slice(values);
    }

    /// The main diagonal and the one above it after orthogonal transformations from both sides that leave no others.
    pub fn into_bidiagonal(mut self) -> (Vec<f64>, Vec<f64>) {
        vectorized(Chase(&mut self));
        let diagonal = (0..self.size).map(|k| self.columns[at(k, k)]).collect();
        (diagonal, (1..self.size).map(|k| self.columns[at(k - 1, k)]).collect())
    }
}

/// Row by row, reflectors from the right leave two elements of the row. What they fill in below the diagonal is removed
/// from its first column only, by reflectors from the left, and likewise what these fill in above the band from its first
/// row only, down to the end (Bischof, Lang & Sun 2000; Haidar, Ltaief, Luszczek & Dongarra 2012): the next rows' pass
/// over the same blocks removes the rest.
struct Chase<'a>(&'a mut Band);

impl Vectorized for Chase<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Band { size, columns } = self.0;
        for row in 0..size.saturating_sub(1) {
            let first = row + 1;
            reflect_columns::<BANDWIDTH>(columns, row, first);
            reflect_rows(columns, first);
            for start in (first + BANDWIDTH..*size).step_by(BANDWIDTH) {
                reflect_columns::<{ 2 * BANDWIDTH }>(columns, start - BANDWIDTH, start);
                reflect_rows(columns, start);
            }
        }
    }
}

/// The vector v of a reflector, with its tau and image.
#[inline(always)]
fn reflector(x: [f64; BANDWIDTH]) -> Option<([f64; BANDWIDTH], f64, f64)> {
    let mut tail = x;
    tail[0] = 0.0;
    let Reflector { scale, tau, image } = Reflector::of(x[0], dot(&tail, &tail))?;
    let mut v = tail.map(|value| value * scale);
    v[0] = 1.0;
    Some((v, tau, image))
}

#[inline(always)]
fn dot(x: &[f64; BANDWIDTH], y: &[f64; BANDWIDTH]) -> f64 {
    let mut sums = [0.0; LANES];
    for (x, y) in x.as_chunks::<LANES>().0.iter().zip(y.as_chunks::<LANES>().0) {
        for lane in 0..LANES {
            sums[lane] += x[lane] * y[lane];
        }
    }
    ((sums[0] + sums[4]) + (sums[2] + sums[6])) + ((sums[1] + sums[5]) + (sums[3] + sums[7]))
}

/// Leaves the first of `BANDWIDTH` elements of a row, from column `start` on. The columns have nonzeros in HEIGHT rows,
/// down to the last row of the diagonal block, and perhaps in the row itself.
#[inline(always)]
fn reflect_columns<const HEIGHT: usize>(band: &mut [f64], row: usize, start: usize) {
    let x = std::array::from_fn(|k| band[at(row, start + k)]);
    let Some((v, tau, image)) = reflector(x) else { return };
    let top = start + BANDWIDTH - HEIGHT;
    let mut along = [0.0; HEIGHT];
    for (k, v) in v.iter().enumerate() {
        let column = &band[at(top, start + k)..][..HEIGHT];
        for (sum, value) in along.iter_mut().zip(column) {
            *sum += value * v;
        }
    }
    for (k, v) in v.iter().enumerate() {
        let v = tau * v;
        let column = &mut band[at(top, start + k)..][..HEIGHT];
        for (value, along) in column.iter_mut().zip(&along) {
            *value -= along * v;
        }
    }
    for k in 0..BANDWIDTH {
        band[at(row, start + k)] = if k == 0 { image } else { 0.0 };
    }
}

/// Leaves the first of the elements of column `start` from the diagonal down.
#[inline(always)]
fn reflect_rows(band: &mut [f64], start: usize) {
    let block = |column| at(start, column)..at(start, column) + BANDWIDTH;
    let mut x = [0.0; BANDWIDTH];
    x.copy_from_slice(&band[block(start)]);
    let Some((v, tau, image)) = reflector(x) else { return };
    band[block(start)].fill(0.0);
    band[at(start, start)] = image;
    for column in start + 1..start + 2 * BANDWIDTH {
        let Some(column) = band[block(column)].first_chunk_mut() else { return };
        let along = tau * dot(column, &v);
        for (value, v) in column.iter_mut().zip(&v) {
            *value -= along * v;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_diagonals_stay_as_they_are() {
        let mut band = Band::new(40);
        for k in 0..40 {
            band.set(k, k, k as f64);
            if k > 0 {
                band.set_column(k, k - 1, &[-1.0]);
            }
        }
        let (diagonal, above) = band.into_bidiagonal();
        assert_eq!(diagonal, (0..40).map(f64::from).collect::<Vec<f64>>());
        assert_eq!(above, [-1.0; 39]);
    }

    #[test]
    fn a_row_becomes_its_length() {
        // (3, 4) to the right of the diagonal are of length 5, with the sign changed so that nothing cancels.
        let mut band = Band::new(3);
        band.set(0, 0, 2.0);
        band.set(0, 1, 3.0);
        band.set(0, 2, 4.0);
        assert_eq!(band.into_bidiagonal(), (vec![2.0, 0.0, 0.0], vec![-5.0, 0.0]));
    }

    #[test]
    fn squares_and_the_determinant_stay() {
        let n = 3 * BANDWIDTH + 5;
        let mut band = Band::new(n);
        let (mut squares, mut logarithm) = (0.0, 0.0);
        for column in 0..n {
            for row in column.saturating_sub(BANDWIDTH)..=column {
                let value = ((row * 37 + column * 11) % 23) as f64 / 23.0 + if row == column { 1.0 } else { -0.5 };
                band.set(row, column, value);
                squares += value * value;
                logarithm += if row == column { value.ln() } else { 0.0 };
            }
        }
        let (diagonal, above) = band.into_bidiagonal();
        let found: f64 = diagonal.iter().chain(&above).map(|value| value * value).sum();
        assert!((found - squares).abs() < 1e-12 * squares, "{found} {squares}");
        let found: f64 = diagonal.iter().map(|value| value.abs().ln()).sum();
        assert!((found - logarithm).abs() < 1e-10, "{found} {logarithm}");
    }
}
