//! The definitions once more, in the plainest possible way: every pair of rows, by differences, in float64.
//!
//! It shares nothing with the library, is slow, and is accurate where fast formulas lose their digits.

use embq_core::distance::Distance;
use embq_core::metrics::{SmoothMaximum, SoftMinimum};
use ndarray::{Array2, ArrayView1, Axis};

/// Cosine distances up to here are rounding noise of two equal directions.
const ZERO_COSINE: f64 = 1e-28;

/// The distance matrix and the mean distances D of rows to classes.
pub struct Oracle {
    codes: Vec<usize>,
    counts: Vec<usize>,
    /// N x K; NaN in the own-class cell of a singleton.
    means: Array2<f64>,
}

/// What the definitions say about each row.
pub struct HardRows {
    pub a: Vec<f64>,
    pub b: Vec<f64>,
    pub silhouette: Vec<f64>,
    pub nearest_other: Vec<usize>,
}

fn unit_rows(values: &Array2<f64>) -> Array2<f64> {
    let mut result = values.clone();
    for mut row in result.rows_mut() {
        // Divided by the largest entry first: squares of tiny or huge entries would leave the range of float64.
        let largest = row.iter().fold(0.0, |largest: f64, value| largest.max(value.abs()));
        row /= largest;
        let length = row.iter().map(|value| value * value).sum::<f64>().sqrt();
        row /= length;
    }
    result
}

fn pair(left: ArrayView1<f64>, right: ArrayView1<f64>, distance: Distance) -> f64 {
    let gaps = left.iter().zip(right).map(|(x, y)| x - y);
    if distance == Distance::Manhattan {
        return gaps.map(f64::abs).sum();
    }
    let square: f64 = gaps.map(|gap| gap * gap).sum();
    match distance {
        Distance::Euclidean => square.sqrt(),
        Distance::Cosine if square / 2.0 <= ZERO_COSINE => 0.0,
        Distance::Cosine => square / 2.0,
        _ => square,
    }
}

/// The N x N distance matrix.
pub fn distance_matrix(values: &Array2<f64>, distance: Distance) -> Array2<f64> {
    let points = match distance {
        Distance::Cosine => unit_rows(values),
        _ => values.clone(),
    };
    let n = points.nrows();
    let mut result = Array2::zeros((n, n));
    for i in 0..n {
        for j in 0..i {
            let between = pair(points.row(i), points.row(j), distance);
            result[[i, j]] = between;
            result[[j, i]] = between;
        }
    }
    result
}

impl Oracle {
    pub fn new(values: &Array2<f64>, codes: &[usize], weights: Option<&[f64]>, distance: Distance) -> Self {
        let classes = codes.iter().max().expect("rows") + 1;
        let mut counts = vec![0; classes];
        for &code in codes {
            counts[code] += 1;
        }
        let matrix = distance_matrix(values, distance);
        let weight = |row: usize| weights.map_or(1.0, |weights| weights[row]);
        let mut sums = Array2::zeros((codes.len(), classes));
        let mut masses = Array2::<f64>::zeros((codes.len(), classes));
        for (i, row) in matrix.axis_iter(Axis(0)).enumerate() {
            for (j, between) in row.iter().enumerate() {
                if i != j {
                    sums[[i, codes[j]]] += weight(j) * between;
                    masses[[i, codes[j]]] += weight(j);
                }
            }
        }
        Oracle { codes: codes.to_vec(), counts, means: sums / masses }
    }

    pub fn means(&self) -> &Array2<f64> {
        &self.means
    }

    fn singleton(&self, row: usize) -> bool {
        self.counts[self.codes[row]] == 1
    }

    fn rivals(&self, row: usize) -> impl Iterator<Item = (usize, f64)> + Clone {
        let own = self.codes[row];
        let means = self.means.row(row);
        (0..self.counts.len()).filter(move |&class| class != own).map(move |class| (class, means[class]))
    }

    fn own(&self, row: usize) -> f64 {
        self.means[[row, self.codes[row]]]
    }

    /// The hard silhouette and its parts.
    pub fn hard(&self) -> HardRows {
        let mut result = HardRows { a: Vec::new(), b: Vec::new(), silhouette: Vec::new(), nearest_other: Vec::new() };
        for row in 0..self.codes.len() {
            let (nearest, b) = self
                .rivals(row)
                .reduce(|best, next| if next.1 < best.1 { next } else { best })
                .expect("at least two classes");
            let a = self.own(row);
            let larger = a.max(b);
            let defined = !self.singleton(row) && larger > 0.0;
            result.a.push(a);
            result.b.push(b);
            result.silhouette.push(if defined { (b - a) / larger } else { 0.0 });
            result.nearest_other.push(nearest);
        }
        result
    }

    /// The soft silhouette of each row.
    pub fn soft(&self, temperature: f64, softmin: SoftMinimum, softmax: SmoothMaximum) -> Vec<f64> {
        let of_row = |row: usize| {
            if self.singleton(row) {
                return 0.0;
            }
            let a = self.own(row);
            let least = self.rivals(row).map(|(_, mean)| mean).fold(f64::INFINITY, f64::min);
            let excess = self.rivals(row).map(move |(_, mean)| (mean, (mean - least) / temperature));
            let b = match softmin {
                SoftMinimum::Weighted => {
                    let total: f64 = excess.clone().map(|(_, x)| (-x).exp()).sum();
                    excess.map(|(mean, x)| (-x).exp() / total * mean).sum()
                }
                SoftMinimum::Lse => {
                    let count = (self.counts.len() - 1) as f64;
                    // exp_m1 and ln_1p keep the digits of b where the temperature dwarfs the distances.
                    let mean = excess.map(|(_, x)| (-x).exp_m1()).sum::<f64>() / count;
                    least - temperature * mean.ln_1p()
                }
            };
            let larger = a.max(b)
                + match softmax {
                    SmoothMaximum::Lse => temperature * (-(a - b).abs() / temperature).exp().ln_1p(),
                    SmoothMaximum::Hard => 0.0,
                };
            if larger > 0.0 { (b - a) / larger } else { 0.0 }
        };
        (0..self.codes.len()).map(of_row).collect()
    }
}
