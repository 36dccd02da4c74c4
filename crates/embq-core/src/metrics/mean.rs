//! Weighted means that do not lose accuracy with the number of terms.

/// A weighted sum with Neumaier's compensation.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct WeightedMean {
    sum: f64,
    compensation: f64,
    weight: f64,
}

impl WeightedMean {
    /// Adds a value.
    pub fn add(&mut self, value: f64, weight: f64) {
        self.add_term(value * weight);
        self.weight += weight;
    }

    fn add_term(&mut self, term: f64) {
        let sum = self.sum + term;
        self.compensation +=
            if self.sum.abs() >= term.abs() { (self.sum - sum) + term } else { (term - sum) + self.sum };
        self.sum = sum;
    }

    /// Adds the values of another mean.
    pub(crate) fn merge(&mut self, other: WeightedMean) {
        self.add_term(other.sum);
        self.compensation += other.compensation;
        self.weight += other.weight;
    }

    /// The sum, what it lacks, and the sum of the weights.
    pub(crate) fn parts(self) -> [f64; 3] {
        [self.sum, self.compensation, self.weight]
    }

    pub(crate) fn from_parts([sum, compensation, weight]: [f64; 3]) -> Self {
        WeightedMean { sum, compensation, weight }
    }

    /// The sum of the weights.
    pub(crate) fn weight(&self) -> f64 {
        self.weight
    }

    /// The mean; `None` if there are no values.
    pub fn value(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| (self.sum + self.compensation) / self.weight)
    }
}

/// The weighted mean of values; `None` if there are none.
pub fn weighted_mean(values: impl IntoIterator<Item = (f64, f64)>) -> Option<f64> {
    let mut mean = WeightedMean::default();
    for (value, weight) in values {
        mean.add(value, weight);
    }
    mean.value()
}

/// The weighted mean of the values of each of `classes` classes; `None` for a class without a value.
pub fn class_means(classes: usize, values: impl IntoIterator<Item = (u32, f64, f64)>) -> Vec<Option<f64>> {
    let mut means = vec![WeightedMean::default(); classes];
    for (class, value, weight) in values {
        means[class as usize].add(value, weight);
    }
    means.iter().map(WeightedMean::value).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_terms_survive_large_ones() {
        assert_eq!(weighted_mean([(1e16, 1.0), (1.0, 1.0), (-1e16, 1.0), (1.0, 1.0)]), Some(0.5));
        assert_eq!(weighted_mean([]), None);
    }

    #[test]
    fn parts_of_a_mean_merge() {
        let of = |values: &[f64]| {
            let mut mean = WeightedMean::default();
            values.iter().for_each(|&value| mean.add(value, 0.1));
            mean
        };
        let mut mean = of(&[1e16, 1.0]);
        mean.merge(WeightedMean::default());
        mean.merge(of(&[-1e16, 1.0]));
        assert_eq!(mean.value(), of(&[1.0, 1.0, 0.0, 0.0]).value());
        assert_eq!(WeightedMean::from_parts(mean.parts()), mean);
    }

    #[test]
    fn classes_have_their_own_means() {
        assert_eq!(class_means(3, [(0, 1.0, 1.0), (2, 4.0, 1.0), (0, 4.0, 2.0)]), [Some(3.0), None, Some(4.0)]);
    }
}
