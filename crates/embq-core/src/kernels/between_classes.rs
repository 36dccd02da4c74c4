//! Mean distances between classes, from the mean distances of rows in class order.

use ndarray::Array2;

use crate::kernels::{Nearest, PassOptions};

/// Computes, for each class, the weighted mean over its rows of their mean distances to the other classes.
pub(crate) struct BetweenClasses {
    nearest: Vec<Option<Nearest>>,
    matrix: Option<Array2<f64>>,
    /// The current class, the weighted sums of its rows and their total weight.
    class: usize,
    sums: Vec<f64>,
    weight: f64,
}

impl BetweenClasses {
    pub(crate) fn new(classes: usize, wanted: PassOptions) -> Self {
        BetweenClasses {
            nearest: vec![None; classes],
            matrix: wanted.matrix.then(|| Array2::zeros((classes, classes))),
            class: 0,
            sums: vec![0.0; classes],
            weight: 0.0,
        }
    }

    /// Adds a row; rows come in class order.
    pub(crate) fn add(&mut self, class: usize, weight: f64, means: &[f64]) {
        if class != self.class {
            self.complete();
            self.class = class;
        }
        for (sum, mean) in self.sums.iter_mut().zip(means) {
            *sum += weight * mean;
        }
        self.weight += weight;
    }

    fn complete(&mut self) {
        if self.weight > 0.0 {
            for (other, sum) in self.sums.iter().enumerate().filter(|&(other, _)| other != self.class) {
                let distance = sum / self.weight;
                Nearest::update(&mut self.nearest[self.class], other, distance);
                if let Some(matrix) = &mut self.matrix {
                    matrix[[self.class, other]] = distance;
                }
            }
        }
        self.sums.fill(0.0);
        self.weight = 0.0;
    }

    /// The nearest other class of each class, and the matrix if requested.
    pub(crate) fn finish(mut self) -> (Vec<Option<Nearest>>, Option<Array2<f64>>) {
        self.complete();
        (self.nearest, self.matrix)
    }
}
