//! Singular values of a large dense matrix, on all threads: to a band by block reflectors, from there to two diagonals,
//! whose values are found by bisection.
//!
//! Bidiagonalised at once, half of the arithmetic multiplies the matrix with one vector after the other, which only reads
//! memory; in two stages nearly all of it is products of matrices (Großer & Lang 1999, Haidar, Kurzak & Luszczek 2013).
//! Orthogonal transformations move each value by a few units in the last place of the largest one.

mod band;
mod bidiagonal;
mod bisection;

use self::band::Padded;

/// The singular values of a rows x columns matrix in row order, in descending order. `None` if some of its values are
/// not finite.
///
/// # Panics
/// If the slice does not have this shape.
pub(crate) fn singular_values(matrix: &[f64], rows: usize, columns: usize) -> Option<Vec<f64>> {
    assert_eq!(matrix.len(), rows * columns, "shape does not match");
    if !matrix.iter().all(|value| value.is_finite()) {
        return None;
    }
    let largest = matrix.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    // Divided by it, squares neither overflow nor underflow, and nothing is rounded.
    let scale = power_of_two(largest).max(f64::MIN_POSITIVE);
    let wide = if rows <= columns {
        Padded::from_fn(rows, columns, |row, column| matrix[row * columns + column] / scale)
    } else {
        Padded::from_fn(columns, rows, |row, column| matrix[column * columns + row] / scale)
    };
    let (diagonal, above) = wide.into_band().into_bidiagonal();
    let ascending = bisection::values(&diagonal, &above);
    Some(ascending.into_iter().rev().map(|value| value * scale).collect())
}

/// The largest power of two that is not above a positive number.
fn power_of_two(number: f64) -> f64 {
    f64::from_bits(number.to_bits() & f64::INFINITY.to_bits())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in [-1/2, 1/2), by a linear congruential generator.
    fn random(count: usize, seed: u64) -> Vec<f64> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
        };
        (0..count).map(|_| next()).collect()
    }

    /// A matrix with given singular values: reflected from both sides, it has no zeros.
    fn with_values(values: &[f64], rows: usize, columns: usize) -> Vec<f64> {
        let unit = |size: usize, seed| {
            let vector = random(size, seed);
            let length = vector.iter().map(|x| x * x).sum::<f64>().sqrt();
            vector.into_iter().map(|x| x / length).collect::<Vec<f64>>()
        };
        let (u, v) = (unit(rows, 1), unit(columns, 2));
        let middle: f64 = values.iter().zip(&u).zip(&v).map(|((value, u), v)| value * u * v).sum();
        let value = |index: usize| values.get(index).copied().unwrap_or(0.0);
        // D - 2 u (D^T u)^T - 2 (D v) v^T + 4 (u^T D v) u v^T.
        let element = |row: usize, column: usize| {
            let own = if row == column { value(row) } else { 0.0 };
            let left = if column < rows { value(column) * u[row] * u[column] } else { 0.0 };
            let right = if row < columns { value(row) * v[row] * v[column] } else { 0.0 };
            own - 2.0 * (left + right) + 4.0 * middle * u[row] * v[column]
        };
        (0..rows * columns).map(|index| element(index / columns, index % columns)).collect()
    }

    /// The expected values in descending order.
    fn assert_close(found: &[f64], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        let error = expected.len() as f64 * f64::EPSILON * expected[0];
        for (rank, (found, expected)) in found.iter().zip(expected).enumerate() {
            assert!((found - expected).abs() <= error, "{rank}: {found} {expected}");
        }
        let (sum, expected): (f64, f64) = (found.iter().sum(), expected.iter().sum());
        assert!((sum - expected).abs() <= 1e-12 * expected, "{sum} {expected}");
    }

    /// Smaller, as large as and larger than a band, a few of them and a task, square and not.
    const SHAPES: [(usize, usize); 12] = [
        (1, 1),
        (1, 7),
        (2, 2),
        (5, 3),
        (31, 32),
        (32, 33),
        (33, 33),
        (64, 40),
        (100, 257),
        (161, 161),
        (300, 129),
        (192, 225),
    ];

    #[test]
    fn small_matrices_have_values_found_by_hand() {
        let golden = (1.0 + 5.0_f64.sqrt()) / 2.0;
        for (matrix, rows, columns, expected) in [
            (vec![-2.0], 1, 1, vec![2.0]),
            (vec![3.0, 4.0], 2, 1, vec![5.0]),
            (vec![3.0, 0.0, 4.0, 5.0], 2, 2, vec![45.0_f64.sqrt(), 5.0_f64.sqrt()]),
            (vec![1.0, 1.0, 0.0, 1.0], 2, 2, vec![golden, golden - 1.0]),
            (vec![0.0, 1.0, 0.0, 0.0, 0.0, -2.0], 2, 3, vec![2.0, 1.0]),
        ] {
            assert_close(&singular_values(&matrix, rows, columns).unwrap(), &expected);
        }
        assert!(singular_values(&[], 0, 3).unwrap().is_empty());
        assert_eq!(singular_values(&[0.0; 70 * 50], 70, 50).unwrap(), [0.0; 50]);
    }

    #[test]
    fn matrices_with_a_closed_form() {
        // Ones up to the diagonal: the values are 1 / (2 sin((2 k - 1) pi / (4 n + 2))).
        let n = 230;
        let ones: Vec<f64> = (0..n * n).map(|index| f64::from(u8::from(index % n <= index / n))).collect();
        let angle = |k: usize| (2 * k - 1) as f64 * std::f64::consts::PI / (4 * n + 2) as f64;
        let expected: Vec<f64> = (1..=n).map(|k| 0.5 / angle(k).sin()).collect();
        assert_close(&singular_values(&ones, n, n).unwrap(), &expected);
        // All elements are equal: of rank 1.
        let mut expected = vec![0.0; 150];
        expected[0] = 3.0 * (200.0 * 150.0_f64).sqrt();
        assert_close(&singular_values(&[-3.0; 200 * 150], 200, 150).unwrap(), &expected);
    }

    #[test]
    fn values_that_a_matrix_was_made_of() {
        for (rows, columns) in SHAPES {
            let size = rows.min(columns);
            let share = |k: usize| k as f64 / size as f64;
            let wide = (0..size).map(|k| 10.0_f64.powf(-12.0 * share(k))).collect();
            let repeated = (0..size).map(|k| if share(k) < 0.3 { 2.0 } else { 0.5 }).collect();
            let deficient = (0..size).map(|k| if share(k) < 0.6 { 1.0 - share(k) } else { 0.0 }).collect();
            for values in [wide, repeated, deficient, vec![1.0; size]] {
                let matrix = with_values(&values, rows, columns);
                assert_close(&singular_values(&matrix, rows, columns).unwrap(), &values);
            }
        }
    }

    #[test]
    fn random_matrices_agree_with_a_reduction_in_one_stage() {
        for (rows, columns) in SHAPES {
            let matrix = random(rows * columns, 3);
            let expected = faer::MatRef::from_row_major_slice(&matrix, rows, columns).singular_values().unwrap();
            assert_close(&singular_values(&matrix, rows, columns).unwrap(), &expected);
        }
    }

    #[test]
    fn results_are_the_same_bits_for_all_numbers_of_threads() {
        let (rows, columns) = (290, 333);
        let matrix = random(rows * columns, 4);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| singular_values(&matrix, rows, columns).unwrap())
        };
        let one = with(1);
        assert_eq!(with(2), one);
        assert_eq!(with(5), one);
    }

    #[test]
    fn scales_and_the_transpose_change_nothing() {
        let (rows, columns) = (70, 101);
        let matrix = random(rows * columns, 5);
        let values = singular_values(&matrix, rows, columns).unwrap();
        for exponent in [-1000, -500, 3, 500, 1000] {
            let scale = 2.0_f64.powi(exponent);
            let scaled: Vec<f64> = matrix.iter().map(|value| value * scale).collect();
            let expected: Vec<f64> = values.iter().map(|value| value * scale).collect();
            assert_eq!(singular_values(&scaled, rows, columns).unwrap(), expected, "{exponent}");
        }
        let transposed: Vec<f64> =
            (0..rows * columns).map(|index| matrix[index % rows * columns + index / rows]).collect();
        assert_eq!(singular_values(&transposed, columns, rows).unwrap(), values);
    }

    #[test]
    fn values_that_are_not_finite_have_none() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut matrix = random(40 * 50, 6);
            matrix[777] = bad;
            assert_eq!(singular_values(&matrix, 40, 50), None);
        }
    }
}
