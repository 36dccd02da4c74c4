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

    fn classes(&self) -> impl Iterator<Item = &[usize]> {
        self.starts.windows(2).map(|ends| &self.order[ends[0]..ends[1]])
    }

    /// The terms less what a row of its class and weight has on average, in the order of classes: what chance adds to the
    /// sum of the terms for every time that a row is drawn.
    pub(super) fn centred(&self, terms: &[f64]) -> Vec<f64> {
        let mut centred = Vec::with_capacity(terms.len());
        for rows in self.classes() {
            let weight = |row: usize| self.weights.map_or(1.0, |weights| weights[row]);
            let total: f64 = rows.iter().map(|&row| terms[row]).sum();
            let rate = total / rows.iter().map(|&row| weight(row)).sum::<f64>();
            centred.extend(rows.iter().map(|&row| terms[row] - rate * weight(row)));
        }
        centred
    }

    /// The standard error of the sum of the terms.
    pub fn standard_error(&self, terms: &[f64]) -> f64 {
        let centred = self.centred(terms);
        let variance = |ends: &[usize]| {
            let rows = &centred[ends[0]..ends[1]];
            let squares: f64 = rows.iter().map(|value| value * value).sum();
            // The only row of a class has nothing to vary with.
            if rows.len() > 1 { squares * rows.len() as f64 / (rows.len() - 1) as f64 } else { 0.0 }
        };
        self.starts.windows(2).map(variance).sum::<f64>().sqrt()
    }

    /// Variance, skewness and excess kurtosis of the sum of the terms where the rows of each class are drawn again, as many
    /// as it has: sums of as many independent draws have the sums of their cumulants. The skewness and kurtosis of a sum
    /// that does not vary are 0.
    pub(super) fn redrawn_moments(&self, terms: &[f64]) -> [f64; 3] {
        let centred = self.centred(terms);
        let mut cumulants = [0.0; 3];
        for ends in self.starts.windows(2) {
            let rows = &centred[ends[0]..ends[1]];
            if rows.len() < 2 {
                continue;
            }
            let count = rows.len() as f64;
            let mean = rows.iter().sum::<f64>() / count;
            let mut sums = [0.0; 3];
            for value in rows {
                let (value, square) = (value - mean, (value - mean).powi(2));
                sums[0] += square;
                sums[1] += square * value;
                sums[2] += square * square;
            }
            cumulants[0] += sums[0];
            cumulants[1] += sums[1];
            cumulants[2] += sums[2] - 3.0 * sums[0] * (sums[0] / count);
        }
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
