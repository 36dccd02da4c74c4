//! Means of the scores of rows, over all rows and by class.

use crate::metrics::mean::weighted_mean;

/// A mean over all rows, and over those of each class; `None` if there are none.
#[derive(Clone, Debug, PartialEq)]
pub struct Means {
    /// Over rows. Not computed from class means, which would round once more.
    pub over_rows: Option<f64>,
    pub by_class: Vec<Option<f64>>,
}

impl Means {
    /// Means from one value per class: over rows, each counts with the weight of its class. Classes without a value are
    /// left out.
    pub fn of_classes(by_class: Vec<Option<f64>>, class_weights: &[f64]) -> Self {
        let known = by_class.iter().zip(class_weights).filter_map(|(value, &weight)| Some(((*value)?, weight)));
        Means { over_rows: weighted_mean(known), by_class }
    }

    /// The mean over classes; those without a value are left out.
    pub fn over_classes(&self) -> Option<f64> {
        weighted_mean(self.by_class.iter().flatten().map(|&value| (value, 1.0)))
    }
}

/// Means of the scores of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct RowMeans {
    pub silhouette: Means,
    /// The mean of 1 for a negative silhouette, else 0.
    pub negative_share: Means,
    pub soft_silhouette: Means,
    /// Over the rows that have an a.
    pub a: Option<f64>,
    pub b: Option<f64>,
    pub effective_competitors: Option<f64>,
    /// For each class, the other classes that its rows of negative silhouette are nearest to, each with the share of the
    /// class's weight that these rows have; largest share first, ties in class order.
    pub confusions: Vec<Vec<(u32, f64)>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_classes_are_left_out_of_means() {
        let means = Means::of_classes(vec![Some(1.0), None, Some(4.0)], &[2.0, 5.0, 1.0]);
        assert_eq!((means.over_rows, means.over_classes()), (Some(2.0), Some(2.5)));
        assert_eq!(Means::of_classes(vec![None], &[3.0]).over_classes(), None);
    }
}
