//! How to evaluate an input, and how long it will take.

use crate::data::{Dataset, Precision};
use crate::distance::Distance;
use crate::kernels::ManhattanCost;
use crate::losses::SoftSilhouette;
use crate::metrics::{Levels, METRICS, Measuring, Metric, Need, Selection, SmoothMaximum, SoftMinimum, Temperature};
use crate::uncertainty::UncertaintyOptions;

/// How to evaluate.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    pub distance: Distance,
    pub temperature: Temperature,
    pub softmin: SoftMinimum,
    pub softmax: SmoothMaximum,
    /// `None` is the precision of the input's element type.
    pub precision: Option<Precision>,
    /// Rows of a batch of the batch form; `None` leaves it out.
    pub batch_size: Option<usize>,
    pub seed: u64,
    pub metrics: Selection,
    /// The numbers k of neighbours or components that some metrics are given at, ascending.
    pub ks: Vec<usize>,
    /// The false accept rates that some metrics are given at, largest first.
    pub fars: Vec<f64>,
    /// Rows that `uniformity` takes its pairs from; `None` is all.
    pub sample: Option<usize>,
    /// Whether the batch of each row is known, so that metrics of batches inside labels are computed.
    pub batch_labels: bool,
    /// Whether there is a list of pairs, so that verification looks at these alone and needs no labels.
    pub pair_list: bool,
    /// Whether the result has the scores of the rows, whatever the metrics.
    pub rows: bool,
    /// Whether the result has the K x K matrix of class distances.
    pub matrix: bool,
    /// Whether intervals are computed, which costs a few passes more.
    pub intervals: bool,
    /// How many classes have intervals of their own where rows times classes are many: those of the lowest silhouette.
    /// `None` is all of them, however many.
    pub class_intervals: Option<usize>,
    /// Whether the terms of the rows in the silhouettes of the classes are kept, for a comparison.
    pub class_terms: bool,
    /// Whether the result has the content hash of the embeddings, which costs a read.
    pub hash: bool,
}

impl Settings {
    /// Whether a result under these settings has the metric of that name.
    pub fn computes(&self, name: &str) -> bool {
        Metric::named(name).is_some_and(|metric| {
            self.metrics.contains(metric.id)
                && metric.names(self.levels()).any(|known| known == name)
                && self.provides_for(metric)
        })
    }

    /// The numbers that some metrics are given at.
    pub fn levels(&self) -> Levels<'_> {
        Levels { ks: &self.ks, fars: &self.fars }
    }

    /// Whether what the metric needs beside rows and labels is there.
    fn provides_for(&self, metric: &Metric) -> bool {
        (self.batch_size.is_some() || !metric.needs(Need::BatchSize))
            && (self.batch_labels || !metric.needs(Need::BatchLabels))
    }

    /// What of it needs labels, if anything does.
    pub(super) fn need_labels(&self, pair_list: bool) -> Option<String> {
        let metrics: Vec<&str> =
            self.metrics.iter().filter(|metric| metric.needs_labels(pair_list)).map(|metric| metric.id).collect();
        match &metrics[..] {
            [] if self.intervals => Some("intervals".to_owned()),
            [] if self.matrix => Some("distances between classes".to_owned()),
            [] if self.temperature == Temperature::Auto => Some("automatic temperatures".to_owned()),
            [] => None,
            [only] => Some(format!("metrics such as {only}")),
            [first, second] => Some(format!("{first} and {second}")),
            [first, second, ..] => Some(format!("{first}, {second} and others")),
        }
    }

    /// Whether rows are compared with classes.
    pub fn compares_with_classes(&self) -> bool {
        self.rows || self.matrix || self.metrics.needs(Need::ClassDistances)
    }

    /// Whether rows are read in any order.
    pub(super) fn needs_random_access(&self) -> bool {
        let mut computed = self.metrics.iter().filter(|metric| self.provides_for(metric));
        !self.distance.has_closed_form()
            || self.intervals
            || computed.any(|metric| metric.needs.iter().any(|need| need.is_random_access()))
    }

    /// The form of the soft silhouette, at the temperature that was found or given.
    pub(super) fn soft_silhouette(&self, temperature: f64) -> SoftSilhouette {
        SoftSilhouette {
            temperature,
            distance: self.distance,
            soft_minimum: self.softmin,
            smooth_maximum: self.softmax,
        }
    }

    /// Which uncertainties are found.
    pub(super) fn uncertainty(&self) -> UncertaintyOptions {
        UncertaintyOptions { class_intervals: self.class_intervals, class_terms: self.class_terms, seed: self.seed }
    }

    /// What of it the metrics see.
    pub(super) fn measuring(&self, precision: Precision) -> Measuring<'_> {
        Measuring {
            selection: &self.metrics,
            precision,
            temperature: self.temperature,
            softmin: self.softmin,
            softmax: self.softmax,
            batch_size: self.batch_size,
            levels: self.levels(),
            sample: self.sample,
            seed: self.seed,
            matrix: self.matrix,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            distance: Distance::Cosine,
            temperature: Temperature::Value(0.1),
            softmin: SoftMinimum::Weighted,
            softmax: SmoothMaximum::Lse,
            precision: None,
            batch_size: None,
            seed: 0,
            metrics: Selection::usual(),
            ks: Levels::USUAL.ks.to_vec(),
            fars: Levels::USUAL.fars.to_vec(),
            sample: None,
            batch_labels: false,
            pair_list: false,
            rows: true,
            matrix: false,
            intervals: false,
            class_intervals: Some(20),
            class_terms: false,
            hash: false,
        }
    }
}

/// The work that grows with the square of the number of rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Estimate {
    /// Seconds for the mean distances to classes, where these go over pairs of rows.
    pub class_distances: Option<f64>,
    /// Bytes that they take.
    pub class_distance_bytes: f64,
    /// What else looks at pairs of rows: ids of metrics, and names of families that search for neighbours.
    pub pairs: Vec<&'static str>,
    /// Seconds for all of them.
    pub pair_seconds: f64,
}

impl Settings {
    /// What an evaluation of a data set will take, on as many threads as there are now.
    pub fn estimate(&self, dataset: &Dataset) -> Estimate {
        // Elements of a pair that one thread gets through in a second, by AVX2.
        let speed = if self.distance == Distance::Manhattan { 8e9 } else { 2e10 };
        let (rows, dimensions) = (dataset.len() as f64, dataset.dimensions() as f64);
        let threads = rayon::current_num_threads() as f64;
        let scored = dataset.scored();
        let seconds = |pairs: f64| pairs * dimensions / (speed * threads);
        let each_once = seconds(rows * rows / 2.0);
        let of_scored = if scored.is_subsample() { seconds(scored.len() as f64 * rows) } else { each_once };
        let mut estimate = Estimate { class_distance_bytes: 8.0 * rows * dimensions, ..Estimate::default() };
        if self.compares_with_classes() {
            estimate.class_distances = match self.distance {
                Distance::Cosine | Distance::SqEuclidean | Distance::Hamming | Distance::Precomputed => None,
                Distance::Euclidean => Some(of_scored),
                Distance::Manhattan => {
                    let precision = self.precision.unwrap_or(dataset.embeddings().element_type().precision());
                    let cost = ManhattanCost::of(dataset, precision);
                    Some(of_scored * (cost.sorting / cost.pairs).min(1.0))
                }
            };
        }
        if self.distance == Distance::Precomputed {
            return estimate;
        }
        let (metrics, _) = self.metrics.for_rows(dataset.len());
        for metric in METRICS.iter().filter(|metric| metrics.contains(metric.id)) {
            for need in metric.needs {
                let (name, seconds) = match need {
                    Need::Pairs => (metric.id, each_once),
                    Need::PairHistograms if !self.pair_list => (metric.family.name, each_once),
                    Need::SampledPairs if self.sample.is_none() => (metric.id, each_once),
                    Need::PairSums => (metric.id, 2.0 * each_once),
                    Need::Neighbours => (metric.family.name, of_scored),
                    _ => continue,
                };
                if !estimate.pairs.contains(&name) {
                    estimate.pairs.push(name);
                    estimate.pair_seconds += seconds;
                }
            }
        }
        estimate
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DatasetOptions, Embeddings, LabelColumnBuilder, LabelType, Origin};

    fn dataset(distance: Distance) -> Dataset<'static> {
        let mut labels = LabelColumnBuilder::new(LabelType::Integer);
        (0..20).for_each(|row| labels.push_integer(row % 2));
        let rows = ndarray::Array2::from_shape_fn((20, 3), |(row, column)| (row * 3 + column) as f64 + 1.0);
        let embeddings = Embeddings::from_f64(Origin::new("rows"), rows);
        Dataset::join(embeddings, &labels.finish(Origin::new("labels")), distance, &DatasetOptions::default()).unwrap()
    }

    #[test]
    fn estimates_follow_from_what_metrics_need() {
        let estimate = |distance: Distance, metrics: &[&str], sample: Option<usize>| {
            let metrics = Selection::parse(metrics.iter().copied()).unwrap();
            Settings { distance, metrics, sample, rows: false, ..Settings::default() }.estimate(&dataset(distance))
        };
        // 200 pairs of 3 numbers, 2e10 a second on each thread.
        let once = 600.0 / (2e10 * rayon::current_num_threads() as f64);
        let silhouettes = estimate(Distance::Euclidean, &["silhouette"], None);
        assert_eq!((silhouettes.class_distances, silhouettes.class_distance_bytes), (Some(once), 480.0));
        assert_eq!(silhouettes.pairs, [""; 0]);
        assert_eq!(estimate(Distance::Cosine, &["silhouette"], None).class_distances, None);
        assert_eq!(estimate(Distance::Euclidean, &["spectrum"], None).class_distances, None);

        let pairs = ["dunn", "recall", "mrr", "eer", "tar", "uniformity", "supcon", "near_duplicate_share"];
        let of_pairs = estimate(Distance::Cosine, &pairs, None);
        assert_eq!(of_pairs.pairs, ["dunn", "retrieval", "verification", "uniformity", "supcon", "health"]);
        assert!((of_pairs.pair_seconds - 7.0 * once).abs() < 1e-20);
        let sampled = estimate(Distance::Cosine, &pairs, Some(5));
        assert!(!sampled.pairs.contains(&"uniformity"));
        assert!((sampled.pair_seconds - 6.0 * once).abs() < 1e-20);
    }

    #[test]
    fn a_metric_is_computed_where_its_inputs_are_there() {
        let settings = Settings { metrics: Selection::all(), ..Settings::default() };
        assert!(settings.computes("silhouette_macro") && settings.computes("recall@5"));
        assert!(settings.computes("tar@1e-2"));
        for absent in ["recall@7", "tar@1e-5", "batch_loss", "bras", "nothing"] {
            assert!(!settings.computes(absent), "{absent}");
        }
        let provided = Settings { batch_size: Some(8), batch_labels: true, ..settings };
        assert!(provided.computes("batch_loss") && provided.computes("bras"));
        let closed = Settings { metrics: Selection::usual(), ..Settings::default() };
        assert!(!closed.needs_random_access());
        assert!(Settings { batch_size: Some(8), ..closed.clone() }.needs_random_access());
        assert!(Settings { metrics: Selection::parse(["health"]).unwrap(), ..closed }.needs_random_access());
    }
}
