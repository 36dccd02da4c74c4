//! The list of every metric that embq knows.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result, choices};
use crate::metrics;
use crate::metrics::metric::{Family, Levels, Metric, Scope, Selection, at_far};
use crate::metrics::shared::{Measures, SharedWork};

/// Computes the selected metrics of a family.
type Measure = fn(&SharedWork<'_>, &mut Measures<'_>) -> Result<()>;

/// Every family with how it is computed, in the order of output.
const MEASURED: &[(&Family, Measure)] = &[
    (&metrics::silhouette::FAMILY, metrics::silhouette::measure),
    (&metrics::soft_silhouette::FAMILY, metrics::soft_silhouette::measure),
    (&metrics::separation::FAMILY, metrics::separation::measure),
    (&metrics::batch::FAMILY, metrics::batch::measure),
    (&metrics::validity::FAMILY, metrics::validity::measure),
    (&metrics::retrieval::FAMILY, metrics::retrieval::measure),
    (&metrics::verification::FAMILY, metrics::verification::measure),
    (&metrics::spectrum::FAMILY, metrics::spectrum::measure),
    (&metrics::contrastive::FAMILY, metrics::contrastive::measure),
    (&metrics::collapse::FAMILY, metrics::collapse::measure),
    (&metrics::single_cell::FAMILY, metrics::single_cell::measure),
    (&metrics::health::FAMILY, metrics::health::measure),
    (&metrics::probe::FAMILY, metrics::probe::measure),
    (&metrics::clustering::FAMILY, metrics::clustering::measure),
    (&metrics::intrinsic_dimension::FAMILY, metrics::intrinsic_dimension::measure),
];

/// Every family, in the order of output.
pub static FAMILIES: [&Family; MEASURED.len()] = {
    let mut families = [MEASURED[0].0; MEASURED.len()];
    let mut next = 0;
    while next < families.len() {
        families[next] = MEASURED[next].0;
        next += 1;
    }
    families
};

/// How many metrics there are.
const COUNT: usize = {
    let (mut count, mut next) = (0, 0);
    while next < MEASURED.len() {
        count += MEASURED[next].0.metrics.len();
        next += 1;
    }
    count
};

/// Every metric, in the order of output.
pub static METRICS: [Metric; COUNT] = {
    let mut metrics = [MEASURED[0].0.metrics[0]; COUNT];
    let (mut filled, mut next) = (0, 0);
    while next < MEASURED.len() {
        let family = MEASURED[next].0.metrics;
        let mut place = 0;
        while place < family.len() {
            metrics[filled] = family[place];
            filled += 1;
            place += 1;
        }
        next += 1;
    }
    metrics
};

/// Computes the selected metrics.
///
/// # Errors
/// Errors from reading rows, and eigenvalues that cannot be found.
pub(crate) fn measure<'a>(work: &SharedWork<'a>) -> Result<Measures<'a>> {
    let mut measures = Measures::new(work);
    for (family, measure) in MEASURED {
        if !work.measuring.selection.iter().any(|metric| metric.family == *family) {
            continue;
        }
        if work.dataset.weights().is_some() && !family.supports_weights {
            measures.undefined_with_weights(family);
        } else {
            measure(work, &mut measures)?;
        }
    }
    Ok(measures)
}

impl Metric {
    /// The metric of that id.
    pub fn find(id: &str) -> Option<&'static Metric> {
        METRICS.iter().find(|metric| metric.id == id)
    }

    /// The metric that appears in the overall results under a name, for any k or false accept rate.
    pub fn named(name: &str) -> Option<&'static Metric> {
        let none = Levels { ks: &[], fars: &[] };
        if let Some(metric) = METRICS.iter().find(|metric| metric.names(none).any(|known| known == name)) {
            return Some(metric);
        }
        let (id, level) = name.split_once('@')?;
        if level.contains('+') {
            return None;
        }
        METRICS.iter().filter(|metric| metric.id == id).find(|metric| match metric.scope {
            Scope::Overall | Scope::PerClass => false,
            Scope::AtK => level.parse::<usize>().is_ok_and(|k| k >= metric.least_k),
            Scope::AtFar => level.parse::<f64>().is_ok_and(|far| far > 0.0 && far <= 1.0),
        })
    }

    /// A name as results have it: a false accept rate may be written in any way, such as `tar@0.001` for `tar@1e-3`.
    pub fn canonical(name: &str) -> String {
        let far = match Metric::named(name) {
            Some(metric) if metric.scope == Scope::AtFar => name.split_once('@').and_then(|(_, far)| far.parse().ok()),
            _ => None,
        };
        far.map_or_else(|| name.to_owned(), |far: f64| at_far(name.split('@').next().unwrap_or(name), far))
    }
}

impl Selection {
    /// Every metric but those that take fits of many steps, as `all` in [`Selection::parse`].
    pub fn all() -> Self {
        Selection::of_families(METRICS.iter().filter(|metric| metric.is_in_all))
    }

    /// The metrics that are computed where none is named: the families whose cost is small beside reading the rows.
    pub fn usual() -> Self {
        Selection::of_families(METRICS.iter().filter(|metric| metric.family.is_default))
    }

    /// The metrics that are computed of rows without labels where none is named: all that need no labels, and with more
    /// than 50,000 rows those of them that do not compare each row with all others.
    pub fn label_free() -> Self {
        let metrics = METRICS.iter().filter(|metric| !metric.needs_labels(false));
        Selection { is_thrifty: true, ..Selection::of_families(metrics) }
    }

    fn of_families(metrics: impl Iterator<Item = &'static Metric>) -> Self {
        let metrics = metrics.map(|metric| (metric.id, metric)).collect();
        Selection { metrics, named: BTreeSet::new(), is_thrifty: false }
    }

    /// The metrics of a list of names, families, `usual`, `label_free` (all that need no labels) and `all`.
    ///
    /// # Errors
    /// An unknown name, with the closest one.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut selection = Selection::from_iter([]);
        for name in names {
            let is_named =
                |metric: &Metric| metric.id == name || Metric::named(name).is_some_and(|named| named.id == metric.id);
            let is_chosen = |metric: &&Metric| {
                let usual = name == "usual" && metric.family.is_default;
                let all = name == "all" && metric.is_in_all;
                let label_free = name == "label_free" && !metric.needs_labels(false);
                all || usual || label_free || metric.family.name == name || is_named(metric)
            };
            let mut chosen = METRICS.iter().filter(is_chosen).peekable();
            if chosen.peek().is_none() {
                return Err(Error::setting(format!("unknown metric '{name}'"), choices(Some(name), &all_names())));
            }
            for metric in chosen {
                selection.metrics.insert(metric.id, metric);
                // Who names a family of all pairs asks for these pairs.
                let is_family = metric.family.name == name && metric.family.metrics.iter().all(Metric::is_of_all_pairs);
                if is_named(metric) || is_family {
                    selection.named.insert(metric.id);
                }
            }
        }
        Ok(selection)
    }
}

impl FromIterator<&'static Metric> for Selection {
    fn from_iter<I: IntoIterator<Item = &'static Metric>>(metrics: I) -> Self {
        let metrics: BTreeMap<_, _> = metrics.into_iter().map(|metric| (metric.id, metric)).collect();
        Selection { named: metrics.keys().copied().collect(), metrics, is_thrifty: false }
    }
}

impl Default for Selection {
    fn default() -> Self {
        Selection::usual()
    }
}

/// The names of all metrics and families.
fn all_names() -> Vec<String> {
    let families = FAMILIES.iter().map(|family| family.name.to_owned());
    let is_family = |id: &&str| FAMILIES.iter().any(|family| family.name == *id);
    let metrics = METRICS.iter().map(|metric| metric.id).filter(|id| !is_family(id)).map(str::to_owned);
    families.chain(["usual", "label_free", "all"].map(str::to_owned)).chain(metrics).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::metric::{FEW_DIMENSIONS, FEW_ROWS};
    use crate::metrics::{Need, StateKind};

    #[test]
    fn ids_are_unique() {
        let ids: BTreeSet<&str> = METRICS.iter().map(|metric| metric.id).collect();
        assert_eq!(ids.len(), METRICS.len());
        let families: BTreeSet<&str> = FAMILIES.iter().map(|family| family.name).collect();
        assert_eq!(families.len(), FAMILIES.len());
    }

    #[test]
    fn a_metric_names_the_family_that_lists_it() {
        for family in FAMILIES {
            assert!(family.metrics.iter().all(|metric| metric.family == family), "{family:?}");
        }
    }

    #[test]
    fn families_and_names_select() {
        let selection = Selection::parse(["separation", "mean_a"]).unwrap();
        assert!(
            selection.contains("fisher_ratio") && selection.contains("mean_a") && !selection.contains("silhouette")
        );
        assert!(Selection::parse(["separation", "separation"]).is_ok());
        assert!(Selection::parse(["sillhouette"]).unwrap_err().tip().unwrap().contains("'silhouette'"));
    }

    #[test]
    fn metrics_of_all_pairs_are_computed_for_many_rows_only_by_name() {
        let of = |names: &[&str], rows| Selection::parse(names.iter().copied()).unwrap().for_size(rows, 8);
        let (kept, left_out) = of(&["validity"], FEW_ROWS);
        assert!(kept.contains("dunn") && left_out.is_empty());
        let (kept, left_out) = of(&["validity"], FEW_ROWS + 1);
        assert!(!kept.contains("dunn") && kept.contains("davies_bouldin"));
        assert!(left_out.len() == 1 && left_out[0].starts_with("dunn is left out: with 50001 rows"), "{left_out:?}");
        assert!(of(&["validity", "dunn"], FEW_ROWS + 1).0.contains("dunn"));
        assert!(of(&["verification"], FEW_ROWS + 1).0.contains("pair_auc"));
        let (kept, left_out) = of(&["all"], FEW_ROWS + 1);
        assert!(!kept.contains("pair_auc") && !kept.contains("dunn"));
        let words =
            "are left out: with 50001 rows they are computed only if they are selected by name, because they compare";
        assert!(left_out.len() == 1 && left_out[0].contains(words), "{left_out:?}");
        assert!(!Selection::all().for_size(FEW_ROWS + 1, 8).0.contains("dunn"));
    }

    #[test]
    fn large_matrices_are_factorised_only_by_name() {
        let of = |names: &[&str], rows, d| Selection::parse(names.iter().copied()).unwrap().for_size(rows, d);
        let wide = FEW_DIMENSIONS + 1;
        for (rows, d) in [(wide, FEW_DIMENSIONS), (FEW_DIMENSIONS, wide)] {
            assert!(of(&["all"], rows, d).0.contains("ridge_probe_accuracy"));
        }
        let (kept, left_out) = of(&["all"], wide, wide);
        assert!(!kept.contains("ridge_probe_accuracy") && kept.contains("rankme"));
        assert!(left_out.iter().any(|reason| reason.contains("4097 rows of 4097 dimensions")), "{left_out:?}");
        assert!(of(&["ridge_probe_accuracy"], wide, wide).0.contains("ridge_probe_accuracy"));
    }

    #[test]
    fn the_usual_metrics_look_at_no_pairs_of_rows() {
        let usual = Selection::usual();
        for need in
            [Need::Pairs, Need::PairHistograms, Need::SampledPairs, Need::PairSums, Need::Neighbours, Need::Covariance]
        {
            assert!(!usual.needs(need), "{need:?}");
        }
        assert!(usual.contains("silhouette") && usual.contains("batch_loss") && !usual.contains("rankme"));
        assert_eq!(Selection::parse(["usual"]).unwrap(), usual);
        assert_eq!(Selection::parse(["all"]).unwrap(), Selection::all());
    }

    #[test]
    fn some_metrics_need_no_labels() {
        let label_free = Selection::parse(["label_free"]).unwrap();
        for needs_none in ["norm_mean", "rankme", "uniformity", "hubness", "twonn", "mle_dimension"] {
            assert!(label_free.contains(needs_none), "{needs_none}");
        }
        for needs_labels in ["silhouette", "recall", "alignment", "nc1", "bras", "batch_loss", "pair_auc"] {
            assert!(!label_free.contains(needs_labels), "{needs_labels}");
        }
        assert!(!Metric::find("pair_auc").unwrap().needs_labels(true));
        // Neighbours that nobody selected are searched among a moderate number of rows only.
        let (few, left_out) = Selection::label_free().for_size(FEW_ROWS, 8);
        assert!(few.contains("hubness") && left_out.is_empty());
        let (many, left_out) = Selection::label_free().for_size(FEW_ROWS + 1, 8);
        assert!(!many.contains("hubness") && many.contains("rankme") && left_out[0].contains("twonn"));
        assert!(label_free.for_size(FEW_ROWS + 1, 8).0.contains("hubness"));
    }

    #[test]
    fn the_cost_is_that_of_the_costliest_need() {
        for (id, cost) in [
            ("silhouette", "O(N K)"),
            ("separation", "O(N d + K^2 d)"),
            ("batch_loss", "O(N K d)"),
            ("dunn", "O(N^2 d)"),
            ("recall", "O(N^2 d)"),
            ("rankme", "O(N d^2 + d^3)"),
            ("nc2", "O(N d + K d min(K, d))"),
            ("nc2_equinorm", "O(N d)"),
        ] {
            assert_eq!(Metric::find(id).unwrap().cost(), cost, "{id}");
        }
    }

    #[test]
    fn what_looks_at_pairs_does_not_merge() {
        let merges = |id| Metric::find(id).unwrap().merges_from();
        for id in ["silhouette", "intra_mean", "nc1", "asw_label", "davies_bouldin", "fisher_ratio"] {
            assert_eq!(merges(id), Some(StateKind::Scores), "{id}");
        }
        for id in ["cdnv", "nc2", "calinski_harabasz"] {
            assert_eq!(merges(id), Some(StateKind::Moments), "{id}");
        }
        for id in
            ["dunn", "eer", "uniformity", "supcon", "recall", "hubness", "batch_loss", "bras", "rankme", "norm_mean"]
        {
            assert_eq!(merges(id), None, "{id}");
        }
    }

    #[test]
    fn metrics_at_k_have_a_name_for_each_k() {
        let recall = Metric::find("recall").unwrap();
        let levels = Levels { ks: &[1, 20], fars: &[0.1, 2.5e-4] };
        assert_eq!(recall.names(levels).collect::<Vec<_>>(), ["recall@1", "recall@20"]);
        assert_eq!(Metric::named("recall@7"), Some(recall));
        for unknown in ["recall", "recall@", "recall@0", "recall@-1", "recall@+1", "silhouette@5", "recall@5_macro"] {
            assert_eq!(Metric::named(unknown), None, "{unknown}");
        }
        assert!(Selection::parse(["recall@20"]).unwrap().contains("recall"));
        let tar = Metric::find("tar").unwrap();
        assert_eq!(tar.names(levels).collect::<Vec<_>>(), ["tar@1e-1", "tar@2.5e-4"]);
        assert_eq!(Metric::named("tar@0.001"), Some(tar));
        assert_eq!(Metric::canonical("tar@0.001"), "tar@1e-3");
        for unknown in ["tar", "tar@", "tar@0", "tar@2", "tar@-1e-3", "tar@nan", "silhouette@0.1"] {
            assert_eq!(Metric::named(unknown), None, "{unknown}");
            assert_eq!(Metric::canonical(unknown), unknown);
        }
    }
}
