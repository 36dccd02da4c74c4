//! The definitions, implemented in the simplest possible way: every pair of rows, from differences, in float64.
//!
//! This shares no code with the library, is slow, and is accurate where fast formulas lose digits.

use embq_core::distance::Distance;
use embq_core::metrics::{SmoothMaximum, SoftMinimum};
use ndarray::{Array2, Axis};

/// Cosine distances up to this are rounding noise of two equal directions.
const ZERO_COSINE: f64 = 1e-28;

/// The distance matrix and the mean distances D of rows to classes.
pub struct Oracle {
    codes: Vec<usize>,
    counts: Vec<usize>,
    /// N x K; NaN in the own-class cell of a singleton.
    means: Array2<f64>,
    /// N x N.
    matrix: Array2<f64>,
}

/// The hard silhouette and its parts for each row.
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

fn pair(left: &[f64], right: &[f64], distance: Distance) -> f64 {
    of_gaps(left.iter().zip(right).map(|(x, y)| x - y), distance)
}

/// The distance of two points from their differences along each dimension.
fn of_gaps(gaps: impl Iterator<Item = f64>, distance: Distance) -> f64 {
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
    let row = |index: usize| points.row(index).to_slice().expect("row after row");
    let mut result = Array2::zeros((n, n));
    for i in 0..n {
        for j in 0..i {
            let between = pair(row(i), row(j), distance);
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
        Oracle { codes: codes.to_vec(), counts, means: sums / masses, matrix }
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
                    // exp_m1 and ln_1p keep the digits of b if the temperature is much larger than the distances.
                    let mean = excess.map(|(_, x)| (-x).exp_m1()).sum::<f64>() / count;
                    least - temperature * mean.ln_1p()
                }
                SoftMinimum::Hard => least,
                SoftMinimum::Mean => {
                    self.rivals(row).map(|(_, mean)| mean).sum::<f64>() / (self.counts.len() - 1) as f64
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

    /// The gradient of 1 - the mean soft silhouette with respect to the rows, from the differences of all pairs.
    pub fn soft_gradient(
        &self,
        values: &Array2<f64>,
        distance: Distance,
        temperature: f64,
        softmin: SoftMinimum,
        softmax: SmoothMaximum,
    ) -> Array2<f64> {
        let (n, d) = values.dim();
        let points = if distance == Distance::Cosine { unit_rows(values) } else { values.clone() };
        // Derivatives of the loss with respect to every mean distance, divided by the number of rows in the mean.
        let mut slopes = Array2::<f64>::zeros(self.means.raw_dim());
        for row in (0..n).filter(|&row| !self.singleton(row)) {
            let by_distance = self.soft_slopes(row, temperature, softmin, softmax);
            for (class, slope) in by_distance.into_iter().enumerate() {
                let members = self.counts[class] - usize::from(class == self.codes[row]);
                slopes[[row, class]] = -slope / (n as f64 * members as f64);
            }
        }
        let mut gradient = vec![0.0; n * d];
        let mut along = vec![0.0; d];
        for i in 0..n {
            for j in 0..i {
                let (x, y) = (points.row(i), points.row(j));
                let (x, y) = (x.to_slice().expect("row after row"), y.to_slice().expect("row after row"));
                let slope = slopes[[i, self.codes[j]]] + slopes[[j, self.codes[i]]];
                let factor = match distance {
                    Distance::Cosine => slope,
                    Distance::SqEuclidean => 2.0 * slope,
                    Distance::Euclidean if self.matrix[[i, j]] > 0.0 => slope / self.matrix[[i, j]],
                    _ => 0.0,
                };
                for ((along, x), y) in along.iter_mut().zip(x).zip(y) {
                    *along = factor * (x - y);
                }
                gradient[i * d..(i + 1) * d].iter_mut().zip(&along).for_each(|(sum, part)| *sum += part);
                gradient[j * d..(j + 1) * d].iter_mut().zip(&along).for_each(|(sum, part)| *sum -= part);
            }
        }
        let mut gradient = Array2::from_shape_vec((n, d), gradient).expect("N x d");
        if distance == Distance::Cosine {
            for ((mut slope, unit), row) in gradient.rows_mut().into_iter().zip(points.rows()).zip(values.rows()) {
                let radial = slope.dot(&unit);
                let length = row.dot(&row).sqrt();
                slope.zip_mut_with(&unit, |slope, unit| *slope = (*slope - radial * unit) / length);
            }
        }
        gradient
    }

    /// ds_i/dD_ic of a row that is not alone in its class.
    fn soft_slopes(&self, row: usize, temperature: f64, softmin: SoftMinimum, softmax: SmoothMaximum) -> Vec<f64> {
        let a = self.own(row);
        let least = self.rivals(row).map(|(_, mean)| mean).fold(f64::INFINITY, f64::min);
        let weight = |mean: f64| (-(mean - least) / temperature).exp();
        let total: f64 = self.rivals(row).map(|(_, mean)| weight(mean)).sum();
        let excess: f64 = self.rivals(row).map(|(_, mean)| weight(mean) / total * (mean - least)).sum();
        let rivals = (self.counts.len() - 1) as f64;
        let (b, by_mean): (f64, Box<dyn Fn(f64) -> f64>) = match softmin {
            SoftMinimum::Weighted => {
                (least + excess, Box::new(|mean| weight(mean) / total * (1.0 - (mean - least - excess) / temperature)))
            }
            SoftMinimum::Lse => (least - temperature * (total / rivals).ln(), Box::new(|mean| weight(mean) / total)),
            SoftMinimum::Hard => (least, Box::new(|mean| f64::from(u8::from(mean == least)))),
            SoftMinimum::Mean => {
                (self.rivals(row).map(|(_, mean)| mean).sum::<f64>() / rivals, Box::new(|_| 1.0 / rivals))
            }
        };
        let (m, dm_da) = match softmax {
            SmoothMaximum::Lse => {
                let m = a.max(b) + temperature * (-(a - b).abs() / temperature).exp().ln_1p();
                (m, 1.0 / (1.0 + ((b - a) / temperature).exp()))
            }
            SmoothMaximum::Hard => (a.max(b), if a > b { 1.0 } else { 0.0 }),
        };
        let mut slopes = vec![0.0; self.counts.len()];
        if m <= 0.0 {
            return slopes;
        }
        let score = (b - a) / m;
        for (class, mean) in self.rivals(row) {
            slopes[class] = by_mean(mean) * (1.0 - score * (1.0 - dm_da)) / m;
        }
        slopes[self.codes[row]] = -(1.0 + score * dm_da) / m;
        slopes
    }

    /// The influence of every row on the mean of the hard silhouettes of rows of equal weight.
    pub fn influence(&self) -> Vec<f64> {
        let n = self.codes.len();
        let hard = self.hard();
        let mut influence = hard.silhouette.clone();
        for i in (0..n).filter(|&row| !self.singleton(row) && hard.a[row].max(hard.b[row]) > 0.0) {
            let (own, nearest, a, b) = (self.codes[i], hard.nearest_other[i], hard.a[i], hard.b[i]);
            let (by_a, by_b) = if a > b { (-b / (a * a), 1.0 / a) } else { (-1.0 / b, a / (b * b)) };
            for j in (0..n).filter(|&row| row != i) {
                let class = self.codes[j];
                if class == own {
                    influence[j] += by_a / (self.counts[own] - 1) as f64 * (self.matrix[[i, j]] - a);
                } else if class == nearest {
                    influence[j] += by_b / self.counts[nearest] as f64 * (self.matrix[[i, j]] - b);
                }
            }
        }
        influence
    }

    /// The mean distance between the rows of each class and those of the class for which it is smallest.
    pub fn separation(&self) -> Vec<f64> {
        let classes = self.counts.len();
        let mut sums = Array2::<f64>::zeros((classes, classes));
        for (row, &own) in self.codes.iter().enumerate() {
            for (class, mean) in self.rivals(row) {
                sums[[own, class]] += mean / self.counts[own] as f64;
            }
        }
        let smallest = |own: usize| {
            (0..classes).filter(|&class| class != own).map(|class| sums[[own, class]]).fold(f64::INFINITY, f64::min)
        };
        (0..classes).map(smallest).collect()
    }
}

/// Statistics of class means.
pub struct Centroids {
    /// The mean distance of the rows of each class to its mean.
    pub radius_mean: Vec<f64>,
    /// The distance of each mean to the nearest other mean.
    pub separation: Vec<f64>,
}

impl Centroids {
    pub fn new(values: &Array2<f64>, codes: &[usize], distance: Distance) -> Self {
        let cosine = distance == Distance::Cosine;
        let points = if cosine { unit_rows(values) } else { values.clone() };
        let classes = codes.iter().max().expect("rows") + 1;
        let rows_of = |class: usize| (0..codes.len()).filter(move |&row| codes[row] == class);
        // A mean is stored as the first row of its class plus an offset, so that the small differences in a tight class
        // are not rounded away.
        let firsts: Vec<usize> =
            (0..classes).map(|class| rows_of(class).next().expect("a row of each class")).collect();
        let mut offsets = Array2::<f64>::zeros((classes, values.ncols()));
        for (class, &first) in firsts.iter().enumerate() {
            let count = rows_of(class).count() as f64;
            for row in rows_of(class) {
                let mut offset = offsets.row_mut(class);
                offset += &((&points.row(row) - &points.row(first)) / count);
            }
        }
        let directions = unit_rows(&Array2::from_shape_fn(offsets.raw_dim(), |(class, column)| {
            points[[firsts[class], column]] + offsets[[class, column]]
        }));
        let to_mean = |row: usize, class: usize| {
            let gaps = (0..values.ncols()).map(|column| {
                if cosine {
                    points[[row, column]] - directions[[class, column]]
                } else {
                    (points[[row, column]] - points[[firsts[class], column]]) - offsets[[class, column]]
                }
            });
            of_gaps(gaps, distance)
        };
        let between = |class: usize, other: usize| {
            let gaps = (0..values.ncols()).map(|column| {
                if cosine {
                    directions[[class, column]] - directions[[other, column]]
                } else {
                    let firsts = points[[firsts[class], column]] - points[[firsts[other], column]];
                    firsts + (offsets[[class, column]] - offsets[[other, column]])
                }
            });
            of_gaps(gaps, distance)
        };
        let radius =
            |class: usize| rows_of(class).map(|row| to_mean(row, class)).sum::<f64>() / rows_of(class).count() as f64;
        let separation = |class: usize| {
            let others = (0..classes).filter(|&other| other != class);
            others.map(|other| between(class, other)).fold(f64::INFINITY, f64::min)
        };
        Centroids {
            radius_mean: (0..classes).map(radius).collect(),
            separation: (0..classes).map(separation).collect(),
        }
    }
}
