//! How to evaluate an input, and how long it will take.

use crate::data::{Dataset, Precision};
use crate::distance::Distance;
use crate::kernels::{ManhattanCost, are_kept, product_speed};
use crate::losses::SoftSilhouette;
use crate::metrics::{
    Clustering, Levels, METRICS, Measuring, Metric, Need, ProbeSettings, Selection, SmoothMaximum, SoftMinimum, TO_R,
    Temperature,
};
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
    /// How probes are fitted.
    pub probe: ProbeSettings,
    /// How rows are clustered, where their clusters are not given.
    pub clustering: Clustering,
    /// Whether the batch of each row is known, so that metrics of batches inside labels are computed.
    pub batch_labels: bool,
    /// Whether the cluster of each row is given, so that none are looked for.
    pub clusters: bool,
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
    /// Whether the terms of the rows in the metrics that have intervals are kept, for a comparison.
    pub terms: bool,
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
            && (self.clustering == Clustering::Mteb || !metric.needs(Need::ClusterDraws))
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
        let computed = self.metrics.iter().filter(|metric| self.provides_for(metric));
        let mut needs = computed.flat_map(|metric| metric.needs).filter(|need| self.has_work(**need));
        !self.distance.has_closed_form() || self.intervals || needs.any(|need| need.is_random_access())
    }

    /// Whether something is to be done for a need: clusters that are given are not looked for.
    fn has_work(&self, need: Need) -> bool {
        need != Need::Clusters || !self.clusters
    }

    /// The form of the soft silhouette, at the temperature that was found or given.
    pub(crate) fn soft_silhouette(&self, temperature: f64) -> SoftSilhouette {
        SoftSilhouette {
            temperature,
            distance: self.distance,
            soft_minimum: self.softmin,
            smooth_maximum: self.softmax,
        }
    }

    /// Which uncertainties are found.
    pub(super) fn uncertainty(&self) -> UncertaintyOptions {
        UncertaintyOptions { class_intervals: self.class_intervals, terms: self.terms, seed: self.seed }
    }

    /// What of it the metrics see.
    pub(crate) fn measuring(&self, precision: Precision) -> Measuring<'_> {
        Measuring {
            selection: &self.metrics,
            precision,
            temperature: self.temperature,
            softmin: self.softmin,
            softmax: self.softmax,
            batch_size: self.batch_size,
            levels: self.levels(),
            sample: self.sample,
            probe: self.probe,
            clustering: self.clustering,
            seed: self.seed,
            matrix: self.matrix,
            intervals: self.intervals,
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
            probe: ProbeSettings::default(),
            clustering: Clustering::default(),
            batch_labels: false,
            clusters: false,
            pair_list: false,
            rows: true,
            matrix: false,
            intervals: false,
            class_intervals: Some(20),
            terms: false,
            hash: false,
        }
    }
}

/// The work that takes long: what grows with the square of the number of rows, and fits to the rows.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Estimate {
    /// Seconds for the mean distances to classes, where these go over pairs of rows.
    pub class_distances: Option<f64>,
    /// Bytes that they take.
    pub class_distance_bytes: f64,
    /// What else looks at pairs of rows: ids of metrics, and names of families that search for neighbours.
    pub pairs: Vec<&'static str>,
    /// Seconds for all of them.
    pub pair_seconds: f64,
    /// Names of families that fit classifiers or clusters to the rows.
    pub fits: Vec<&'static str>,
    /// Seconds for all of them, with as many steps as usual.
    pub fit_seconds: f64,
}

/// What a pair takes besides the product of its rows, in dimensions more: for mean distances, for influence values, for
/// neighbours, for numbers of all pairs, and for sums of exponentials.
const DISTANCE_COST: f64 = 120.0;
const INFLUENCE_COST: f64 = 250.0;
const NEIGHBOUR_COST: f64 = 400.0;
const PAIR_COST: f64 = 400.0;
const PAIR_SUM_COST: f64 = 1100.0;

/// The same of a row and a class, by Euclidean and by Manhattan distance, and of a row and a neighbour that is kept.
const CLASS_COSTS: [f64; 2] = [1500.0, 4000.0];
const KEPT_COST: f64 = 20_000.0;

/// What a row and a centre of k-means take besides their product, in products of dimensions and classes.
const CENTRE_COST: f64 = 1000.0;

/// The speed of differences, which Manhattan distances are made of, as a share of that of products.
const DIFFERENCES: f64 = 0.4;
/// Steps that a fit of logistic regression and a start of k-means usually take.
const USUAL_STEPS: [f64; 2] = [50.0, 25.0];

impl Settings {
    /// What an evaluation of a data set will take on this machine, on as many threads as there are now.
    pub fn estimate(&self, dataset: &Dataset) -> Estimate {
        let precision = self.precision.unwrap_or(dataset.embeddings().element_type().precision());
        let share = if self.distance == Distance::Manhattan { DIFFERENCES } else { 1.0 };
        let share = if precision == Precision::F64 { 0.5 * share } else { share };
        let (rows, dimensions) = (dataset.len() as f64, dataset.dimensions() as f64);
        let speed = product_speed() * rayon::current_num_threads() as f64;
        let scored = dataset.scored();
        let seconds = |pairs: f64, more: f64| pairs * (dimensions / share + more) / speed;
        let each_once = |more: f64| seconds(rows * rows / 2.0, more);
        let of_scored = |more: f64| {
            if scored.is_subsample() { seconds(scored.len() as f64 * rows, more) } else { each_once(more) }
        };
        let classes = dataset.labels().classes() as f64;
        let of_classes = |more: f64| scored.len() as f64 * classes * more / speed;
        let mut estimate = Estimate { class_distance_bytes: 8.0 * rows * dimensions, ..Estimate::default() };
        if self.compares_with_classes() {
            estimate.class_distances = match self.distance {
                Distance::Cosine | Distance::SqEuclidean | Distance::Hamming | Distance::Precomputed => None,
                Distance::Euclidean => Some(of_scored(DISTANCE_COST) + of_classes(CLASS_COSTS[0])),
                Distance::Manhattan => {
                    let cost = ManhattanCost::of(dataset, precision);
                    let pairs = of_scored(DISTANCE_COST) * (cost.sorting / cost.pairs).min(1.0);
                    Some(pairs + of_classes(CLASS_COSTS[1]))
                }
            };
            if self.intervals && !scored.is_subsample() {
                let passes = if are_kept(dataset) { 1.0 } else { 2.0 };
                let influence = passes * (each_once(INFLUENCE_COST) + of_classes(CLASS_COSTS[0]));
                estimate.class_distances = estimate.class_distances.map(|seconds| seconds + influence);
            }
        }
        if self.distance == Distance::Precomputed {
            return estimate;
        }
        // As many neighbours of each row as its class has rows.
        let own_classes: f64 = dataset.labels().counts().iter().map(|&count| (count as f64).powi(2)).sum();
        let kept = KEPT_COST * own_classes * scored.len() as f64 / rows / speed;
        let (metrics, _) = self.metrics.for_size(dataset.len(), dataset.dimensions());
        let mut needed: Vec<Need> = Vec::new();
        let mut to_r = 0.0;
        for metric in METRICS.iter().filter(|metric| metrics.contains(metric.id)) {
            for need in metric.needs {
                if let Some(seconds) = self.fit_seconds(*need, dataset).filter(|_| self.has_work(*need)) {
                    if !needed.contains(need) {
                        needed.push(*need);
                        estimate.fit_seconds += seconds;
                    }
                    if !estimate.fits.contains(&metric.family.name) {
                        estimate.fits.push(metric.family.name);
                    }
                    continue;
                }
                let (name, seconds) = match need {
                    Need::Pairs => (metric.id, each_once(PAIR_COST)),
                    Need::PairHistograms if !self.pair_list => (metric.family.name, each_once(PAIR_COST)),
                    Need::SampledPairs if self.sample.is_none() => (metric.id, each_once(PAIR_COST)),
                    Need::PairSums => (metric.id, each_once(PAIR_SUM_COST)),
                    Need::Neighbours => (metric.family.name, of_scored(NEIGHBOUR_COST)),
                    _ => continue,
                };
                if TO_R.contains(&metric.id) {
                    to_r = kept;
                }
                if !estimate.pairs.contains(&name) {
                    estimate.pairs.push(name);
                    estimate.pair_seconds += seconds;
                }
            }
        }
        estimate.pair_seconds += to_r;
        estimate
    }

    /// Seconds for a fit to the rows; `None` for what is none.
    fn fit_seconds(&self, need: Need, dataset: &Dataset) -> Option<f64> {
        // Products of float64 numbers that one thread adds up in a second, by AVX2.
        let speed = 1.5e10;
        let (rows, dimensions) = (dataset.len() as f64, dataset.dimensions() as f64);
        let (threads, classes) = (rayon::current_num_threads() as f64, dataset.labels().classes() as f64);
        let [logistic, k_means] = USUAL_STEPS;
        let pass = rows * dimensions / (speed * threads);
        match need {
            Need::Ridge => {
                let side = rows.min(dimensions);
                Some(1.2 * pass * side + pass * classes + side * side * side / speed)
            }
            Need::Fits => Some(2.0 * pass * classes * self.probe.folds as f64 * logistic),
            Need::Clusters if self.clustering == Clustering::Mteb => None,
            // Ten starts, with 2 + log K candidates for each centre.
            Need::Clusters => {
                let step = rows * (dimensions * classes + CENTRE_COST) / (speed * threads);
                Some(0.5 * step * 10.0 * (2.0 + classes.ln() + k_means))
            }
            _ => None,
        }
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
        // 200 pairs of 3 numbers in float64.
        let speed = product_speed() * rayon::current_num_threads() as f64;
        let once = |more: f64| 200.0 * (6.0 + more) / speed;
        let silhouettes = estimate(Distance::Euclidean, &["silhouette"], None);
        let of_classes = 20.0 * 2.0 * CLASS_COSTS[0] / speed;
        assert_eq!(silhouettes.class_distances, Some(once(DISTANCE_COST) + of_classes));
        assert_eq!(silhouettes.class_distance_bytes, 480.0);
        assert_eq!(silhouettes.pairs, [""; 0]);
        assert_eq!(estimate(Distance::Cosine, &["silhouette"], None).class_distances, None);
        assert_eq!(estimate(Distance::Euclidean, &["spectrum"], None).class_distances, None);

        let pairs = ["dunn", "recall", "mrr", "eer", "tar", "uniformity", "supcon", "near_duplicate_share"];
        let of_pairs = estimate(Distance::Cosine, &pairs, None);
        assert_eq!(of_pairs.pairs, ["dunn", "retrieval", "verification", "uniformity", "supcon", "health"]);
        let searched = 2.0 * once(PAIR_COST) + once(PAIR_SUM_COST) + 2.0 * once(NEIGHBOUR_COST);
        assert!((of_pairs.pair_seconds - searched - once(PAIR_COST)).abs() < 1e-9 * searched);
        assert!(of_pairs.fits.is_empty() && of_pairs.fit_seconds == 0.0);
        let fits = |names: &[&str]| estimate(Distance::Cosine, names, None);
        let both = fits(&["ridge_probe_accuracy", "linear_probe_accuracy", "linear_probe_macro_f1", "clustering"]);
        assert_eq!(both.fits, ["probe", "clustering"]);
        let each = ["ridge_probe_macro_f1", "linear_probe_accuracy", "ari"].map(|name| fits(&[name]).fit_seconds);
        assert!(each.iter().all(|&seconds| seconds > 0.0));
        assert!((both.fit_seconds / each.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        let sampled = estimate(Distance::Cosine, &pairs, Some(5));
        assert!(!sampled.pairs.contains(&"uniformity"));
        assert!((sampled.pair_seconds - searched).abs() < 1e-9 * searched);
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
        let of = |name: &str| Settings { metrics: Selection::parse([name]).unwrap(), ..closed.clone() };
        assert!(of("health").needs_random_access() && of("ari").needs_random_access());
        let given = Settings { clusters: true, ..of("ari") };
        assert!(!given.needs_random_access() && given.estimate(&dataset(Distance::Cosine)).fits.is_empty());
    }
}
