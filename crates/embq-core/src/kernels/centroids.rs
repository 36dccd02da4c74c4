//! Distances between class means, and statistics that follow from them.

use ndarray::Array2;
use rayon::prelude::*;

use crate::kernels::cancellation::Cancellation;
use crate::kernels::class_sums::ClassSums;
use crate::kernels::dense::{cosine_or_zero, squared_norm};
use crate::kernels::gemm::{Packed, multiply_packed};
use crate::kernels::pairs::PairDistance;
use crate::kernels::{ClassGeometry, Nearest, Real};

/// Classes per product.
const BLOCK_CLASSES: usize = 128;

/// Class means, prepared for computing their distances.
pub(crate) struct Centroids<'a, T> {
    sums: &'a ClassSums,
    /// K x d means, centred and scaled.
    means: &'a [T],
    scale: f64,
    squares: Vec<f64>,
}

/// The statistics of one class from the distances of its mean to all others.
#[derive(Clone, Default)]
struct ClassRow {
    nearest: Option<Nearest>,
    centroid: Option<Nearest>,
    /// The row of the K x K matrix, if requested.
    distances: Vec<f64>,
}

impl<'a, T: Real> Centroids<'a, T> {
    /// `means` are the class means less a common centre, multiplied by `scale`.
    pub(crate) fn new(sums: &'a ClassSums, means: &'a [T], scale: f64) -> Self {
        Centroids { sums, means, scale, squares: means.chunks_exact(sums.dimensions()).map(squared_norm).collect() }
    }

    /// Separations by cosine or squared Euclidean distance, where the mean distance between two classes also follows
    /// from means and variances. For cosine, `lengths` are those of the means of unit vectors.
    pub(crate) fn closed_form(&self, lengths: Option<&[Option<f64>]>, matrix: bool) -> ClassGeometry {
        let variance = &self.sums.variance;
        let rows = self.for_each_class(|class, squared| {
            let mut row = ClassRow::default();
            if matrix {
                row.distances.resize(squared.len(), 0.0);
            }
            for (other, &squared) in squared.iter().enumerate().filter(|&(other, _)| other != class) {
                let mean_squared = squared + variance[class] + variance[other];
                let distance = match lengths {
                    Some(_) => cosine_or_zero(0.5 * mean_squared),
                    None => mean_squared,
                };
                Nearest::update(&mut row.nearest, other, distance);
                if let Some(entry) = row.distances.get_mut(other) {
                    *entry = distance;
                }
                let between = match lengths {
                    Some(lengths) => self.cosine(class, other, squared, lengths),
                    None => Some(squared),
                };
                if let Some(between) = between {
                    Nearest::update(&mut row.centroid, other, between);
                }
            }
            row
        });
        let classes = rows.len();
        ClassGeometry {
            nearest: rows.iter().map(|row| row.nearest).collect(),
            centroid_separation: rows.iter().map(|row| row.centroid.map(|nearest| nearest.distance)).collect(),
            variance: variance.iter().copied().map(Some).collect(),
            radius: Vec::new(),
            scatter: Some(self.sums.scatter()),
            // The two products of a pair may differ in the last place, but the matrix must be symmetric.
            matrix: matrix.then(|| {
                Array2::from_shape_fn((classes, classes), |(class, other)| {
                    rows[class.min(other)].distances[class.max(other)]
                })
            }),
        }
    }

    /// For each class, the distance of its mean to the nearest other mean.
    pub(crate) fn separation(&self, distance: PairDistance) -> Vec<Option<f64>> {
        let classes = self.sums.classes();
        let nearest = |distances: &mut dyn Iterator<Item = (usize, f64)>, class: usize| {
            let mut nearest = None;
            for (other, distance) in distances.filter(|&(other, _)| other != class) {
                Nearest::update(&mut nearest, other, distance);
            }
            nearest.map(|nearest| nearest.distance)
        };
        match distance {
            PairDistance::Euclidean => self.for_each_class(|class, squared| {
                nearest(&mut squared.iter().map(|squared| squared.sqrt()).enumerate(), class)
            }),
            PairDistance::Manhattan => {
                let between = |class, other| self.sums.sum_over_difference(class, other, f64::abs);
                let nearest = |class| nearest(&mut (0..classes).map(|other| (other, between(class, other))), class);
                (0..classes).into_par_iter().map(nearest).collect()
            }
        }
    }

    /// The cosine distance of two means from their squared distance.
    fn cosine(&self, class: usize, other: usize, squared: f64, lengths: &[Option<f64>]) -> Option<f64> {
        let (length, other_length) = (lengths[class]?, lengths[other]?);
        let product = 2.0 * length * other_length;
        let along = length - other_length;
        let across = squared - along * along;
        if across >= T::CANCELLATION * squared {
            return Some(cosine_or_zero(across / product));
        }
        let (mean, other_mean) = (self.sums.mean(class), self.sums.mean(other));
        let differences = (0..self.sums.dimensions()).map(|k| mean(k) / length - other_mean(k) / other_length);
        let distance = 0.5 * differences.map(|difference| difference * difference).sum::<f64>();
        Some(cosine_or_zero(distance))
    }

    /// Calls `with` for each class with the squared distances of its mean to all means.
    pub(crate) fn for_each_class<R: Send>(&self, with: impl Fn(usize, &[f64]) -> R + Sync) -> Vec<R> {
        let (classes, d) = (self.sums.classes(), self.sums.dimensions());
        let unscale = 1.0 / (self.scale * self.scale);
        let cancellation = Cancellation::of::<T>();
        let packed = Packed::of(self.means, d);
        let blocks: Vec<usize> = (0..classes).step_by(BLOCK_CLASSES).collect();
        let rows: Vec<Vec<R>> = blocks
            .into_par_iter()
            .map_init(
                || (Vec::new(), vec![0.0; classes]),
                |(products, squared), first| {
                    let last = (first + BLOCK_CLASSES).min(classes);
                    products.resize((last - first) * classes, T::default());
                    multiply_packed(&self.means[first * d..last * d], &packed, 0..classes, products);
                    let rows = (first..last).zip(products.chunks_exact(classes));
                    rows.map(|(class, products)| {
                        for (other, (squared, product)) in squared.iter_mut().zip(products).enumerate() {
                            let terms = self.squares[class] + self.squares[other];
                            let (difference, passes) = cancellation.squared(terms, product.to_f64());
                            *squared = if passes {
                                difference * unscale
                            } else {
                                self.sums.sum_over_difference(class, other, |difference| difference * difference)
                            };
                        }
                        with(class, squared)
                    })
                    .collect()
                },
            )
            .collect();
        rows.into_iter().flatten().collect()
    }
}
