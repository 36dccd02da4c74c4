//! Rows by class, which are drawn apart.

use crate::kernels::sort_by_class;

/// The rows of each class, and their weights.
#[derive(Clone, Debug)]
pub struct Strata<'a> {
    pub(super) order: Vec<usize>,
    /// Where each class starts in the order, and the end.
    pub(super) starts: Vec<usize>,
    weights: Option<&'a [f64]>,
}

impl<'a> Strata<'a> {
    /// Rows with their classes, as codes, and the number of rows of each class; `weights` where they differ.
    pub fn new(codes: &[u32], counts: &[usize], weights: Option<&'a [f64]>) -> Self {
        let (order, starts) = sort_by_class(codes, counts);
        Strata { order, starts, weights }
    }

    /// All rows as one class.
    pub fn whole(rows: usize) -> Self {
        Strata { order: (0..rows).collect(), starts: vec![0, rows], weights: None }
    }

    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.order.len()
    }

    fn classes(&self) -> impl Iterator<Item = &[usize]> {
        self.starts.windows(2).map(|ends| &self.order[ends[0]..ends[1]])
    }

    /// Calls `with` for each class, with the terms of its rows and their weights.
    fn for_each_class(&self, terms: &[f64], mut with: impl FnMut(&[f64], &[f64])) {
        let (mut of_rows, mut weights) = (Vec::new(), Vec::new());
        for rows in self.classes() {
            of_rows.clear();
            of_rows.extend(rows.iter().map(|&row| terms[row]));
            weights.clear();
            weights.extend(rows.iter().map(|&row| self.weights.map_or(1.0, |weights| weights[row])));
            with(&of_rows, &weights);
        }
    }

    /// The terms less what a row of its class and weight has on average, in the order of classes: what chance adds to the
    /// sum of the terms for every time that a row is drawn.
    pub(super) fn centred(&self, terms: &[f64]) -> Vec<f64> {
        let mut all = Vec::with_capacity(terms.len());
        self.for_each_class(terms, |terms, weights| all.extend(centred(terms, weights)));
        all
    }

    /// The standard error of the sum of the terms.
    pub fn standard_error(&self, terms: &[f64]) -> f64 {
        let mut variance = 0.0;
        self.for_each_class(terms, |terms, weights| variance += redrawn_variance(terms, weights));
        variance.sqrt()
    }

    /// Variance, skewness and excess kurtosis of the sum of the terms where the rows of each class are drawn again, as many
    /// as it has: sums of as many independent draws have the sums of their cumulants. The skewness and kurtosis of a sum
    /// that does not vary are 0.
    pub(super) fn redrawn_moments(&self, terms: &[f64]) -> [f64; 3] {
        let mut cumulants = [0.0; 3];
        self.for_each_class(terms, |terms, weights| {
            if terms.len() < 2 {
                return;
            }
            let count = terms.len() as f64;
            let centred = centred(terms, weights);
            let mean = centred.clone().sum::<f64>() / count;
            let mut sums = [0.0; 3];
            for value in centred {
                let (value, square) = (value - mean, (value - mean).powi(2));
                sums[0] += square;
                sums[1] += square * value;
                sums[2] += square * square;
            }
            cumulants[0] += sums[0];
            cumulants[1] += sums[1];
            cumulants[2] += sums[2] - 3.0 * sums[0] * (sums[0] / count);
        });
        let [variance, third, fourth] = cumulants;
        if variance <= 0.0 {
            return [0.0; 3];
        }
        [variance, third / variance.powf(1.5), fourth / (variance * variance)]
    }

    /// For each class the standard deviation of the values of its rows (divided by n - 1); `None` for a single row.
    pub fn deviations(&self, values: &[f64]) -> Vec<Option<f64>> {
        let deviation = |rows: &[usize]| {
            let weight = |row: usize| self.weights.map_or(1.0, |weights| weights[row]);
            let total: f64 = rows.iter().map(|&row| weight(row)).sum();
            let mean = rows.iter().map(|&row| weight(row) * values[row]).sum::<f64>() / total;
            let squares: f64 = rows.iter().map(|&row| weight(row) * (values[row] - mean).powi(2)).sum();
            let n = rows.len() as f64;
            (rows.len() > 1).then(|| (squares / total * n / (n - 1.0)).sqrt())
        };
        self.classes().map(deviation).collect()
    }
}

/// The terms of the rows of a class less what a row of its weight has on average.
fn centred<'t>(terms: &'t [f64], weights: &'t [f64]) -> impl Iterator<Item = f64> + Clone + 't {
    let rate = terms.iter().sum::<f64>() / weights.iter().sum::<f64>();
    terms.iter().zip(weights).map(move |(term, weight)| term - rate * weight)
}

/// The variance of the sum of the terms of the rows of a class, given their weights, where rows are drawn again.
pub(crate) fn redrawn_variance(terms: &[f64], weights: &[f64]) -> f64 {
    let squares: f64 = centred(terms, weights).map(|value| value * value).sum();
    let rows = terms.len() as f64;
    // The only row of a class has nothing to vary with.
    if terms.len() > 1 { squares * rows / (rows - 1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_error_of_a_mean_of_one_class_is_that_of_every_textbook() {
        // Variance 5/3 (n - 1), over 4 rows.
        let terms = [1.0, 2.0, 3.0, 4.0].map(|value| value / 4.0);
        let error = Strata::whole(4).standard_error(&terms);
        assert!((error - (5.0 / 3.0 / 4.0f64).sqrt()).abs() < 1e-15, "{error}");
    }

    #[test]
    fn differences_between_classes_are_no_chance() {
        let strata = Strata::new(&[0, 1, 0, 1, 2], &[2, 2, 1], None);
        assert_eq!(strata.standard_error(&[1.0, 5.0, 1.0, 5.0, 100.0]), 0.0);
        assert_eq!(strata.deviations(&[1.0, 5.0, 3.0, 5.0, 100.0]), [Some(2f64.sqrt()), Some(0.0), None]);
    }

    #[test]
    fn moments_of_redrawn_sums_are_those_of_all_draws() {
        // All 27 draws of three rows out of three, and all 4 of two out of two, in every combination.
        let terms = [0.0, 1.0, 5.0, -2.0, 4.0];
        let strata = Strata::new(&[0, 0, 0, 1, 1], &[3, 2], None);
        let mut sums = Vec::new();
        for draw in 0..27 {
            for other in 0..4 {
                let first: f64 = [draw % 3, draw / 3 % 3, draw / 9].iter().map(|&row| terms[row]).sum();
                sums.push(first + terms[3 + other % 2] + terms[3 + other / 2]);
            }
        }
        let count = sums.len() as f64;
        let mean = sums.iter().sum::<f64>() / count;
        let moment = |power: i32| sums.iter().map(|sum| (sum - mean).powi(power)).sum::<f64>() / count;
        let [variance, skewness, kurtosis] = strata.redrawn_moments(&terms);
        assert!((variance - moment(2)).abs() < 1e-12, "{variance}");
        assert!((skewness - moment(3) / moment(2).powf(1.5)).abs() < 1e-12, "{skewness}");
        assert!((kurtosis - (moment(4) / moment(2).powi(2) - 3.0)).abs() < 1e-12, "{kurtosis}");
        assert_eq!(strata.redrawn_moments(&[1.0; 5]), [0.0; 3]);
    }

    #[test]
    fn weights_alone_are_no_chance() {
        let weights = [1.0, 3.0, 2.0];
        let terms = weights.map(|weight| 0.5 * weight);
        let strata = Strata::new(&[0, 0, 0], &[3], Some(&weights));
        assert!(strata.standard_error(&terms) < 1e-15);
        let deviations = strata.deviations(&[0.5; 3]);
        assert!(deviations[0].unwrap() < 1e-15);
    }
}
