//! Weighted means that do not lose accuracy with the number of terms.

/// A weighted sum with Neumaier's compensation.
#[derive(Clone, Copy, Debug, Default)]
pub struct WeightedMean {
    sum: f64,
    compensation: f64,
    weight: f64,
}

impl WeightedMean {
    /// Adds a value.
    pub fn add(&mut self, value: f64, weight: f64) {
        let term = value * weight;
        let sum = self.sum + term;
        self.compensation +=
            if self.sum.abs() >= term.abs() { (self.sum - sum) + term } else { (term - sum) + self.sum };
        self.sum = sum;
        self.weight += weight;
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
    fn classes_have_their_own_means() {
        assert_eq!(class_means(3, [(0, 1.0, 1.0), (2, 4.0, 1.0), (0, 4.0, 2.0)]), [Some(3.0), None, Some(4.0)]);
    }
}
