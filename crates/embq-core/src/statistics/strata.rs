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
    fn weights_alone_are_no_chance() {
        let weights = [1.0, 3.0, 2.0];
        let terms = weights.map(|weight| 0.5 * weight);
        let strata = Strata::new(&[0, 0, 0], &[3], Some(&weights));
        assert!(strata.standard_error(&terms) < 1e-15);
        let deviations = strata.deviations(&[0.5; 3]);
        assert!(deviations[0].unwrap() < 1e-15);
    }
}
