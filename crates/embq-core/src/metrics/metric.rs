//! What a metric is: its entry, the family it belongs to, and what it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// A group of metrics that are chosen, explained, computed and shown together.
pub struct Family {
    /// The name used in `--metrics`.
    pub name: &'static str,
    /// Whether it is computed where no metrics are named.
    pub is_default: bool,
    /// Whether its metrics are defined for rows with weights.
    pub supports_weights: bool,
    /// In the order of output.
    pub metrics: &'static [Metric],
}

// A metric holds its family and a family its metrics: names tell them apart, and contents would have no end.
impl PartialEq for Family {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl fmt::Debug for Family {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

/// Where a metric appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One number for the whole input.
    Overall,
    /// One number for each class; overall the mean over rows, and the mean over classes as `<id>_macro`.
    PerClass,
    /// One number for each k of `--k`, as `<id>@<k>`.
    AtK,
    /// One number for each rate of `--far`, as `<id>@<rate>`, such as `tar@1e-3`.
    AtFar,
}

/// What metrics that are not single numbers are given at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels<'a> {
    /// Numbers of neighbours or components.
    pub ks: &'a [usize],
    /// False accept rates.
    pub fars: &'a [f64],
}

impl Levels<'static> {
    /// Those where none are named.
    pub const USUAL: Levels<'static> = Levels { ks: &USUAL_KS, fars: &USUAL_FARS };
}

/// The numbers of neighbours or components where none are named.
pub const USUAL_KS: [usize; 3] = [1, 5, 10];

/// The false accept rates where none are named.
pub const USUAL_FARS: [f64; 4] = [1e-1, 1e-2, 1e-3, 1e-4];

/// What has to be there, or to be worked out, before a metric can be computed. What is computed at all, in which order
/// rows have to be readable and how long it will take follows from these alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The class of each row.
    Labels,
    /// Which pairs of rows are of one class: labels, or a list of pairs.
    PairLabels,
    /// At least two classes, and fewer than rows.
    Classes,
    /// The mean distances of the rows to the classes.
    ClassDistances,
    /// Statistics of the classes themselves, from the pass that gives [`Need::ClassDistances`].
    ClassGeometry,
    /// The means of the classes.
    ClassMeans,
    /// The Gram matrix of the class means, on its smaller side.
    ClassMeanGram,
    /// Distances between all class means.
    ClassMeanPairs,
    /// Products of all rows with all class means.
    RowsByClassMeans,
    /// The covariance of the rows.
    Covariance,
    /// All pairs of rows, each once.
    Pairs,
    /// The distances of all pairs of rows, each once, or those of a list of pairs.
    PairHistograms,
    /// All pairs of the rows of `--sample`, or of all rows.
    SampledPairs,
    /// For each row a sum over all others.
    PairSums,
    /// The nearest rows of each row.
    Neighbours,
    /// All rows at once.
    AllRows,
    /// The size of the batches of a training run.
    BatchSize,
    /// The batch that each row comes from.
    BatchLabels,
}

impl Need {
    /// The name used in `embq metrics --format json`.
    pub fn name(self) -> &'static str {
        match self {
            Need::Labels => "labels",
            Need::PairLabels => "pair_labels",
            Need::Classes => "classes",
            Need::ClassDistances => "class_distances",
            Need::ClassGeometry => "class_geometry",
            Need::ClassMeans => "class_means",
            Need::ClassMeanGram => "class_mean_gram",
            Need::ClassMeanPairs => "class_mean_pairs",
            Need::RowsByClassMeans => "rows_by_class_means",
            Need::Covariance => "covariance",
            Need::Pairs => "pairs",
            Need::PairHistograms => "pair_histograms",
            Need::SampledPairs => "sampled_pairs",
            Need::PairSums => "pair_sums",
            Need::Neighbours => "neighbours",
            Need::AllRows => "all_rows",
            Need::BatchSize => "batch_size",
            Need::BatchLabels => "batch_labels",
        }
    }

    /// Whether rows have to be readable in any order, and not only from the first to the last.
    pub fn is_random_access(self) -> bool {
        matches!(
            self,
            Need::Pairs
                | Need::PairHistograms
                | Need::SampledPairs
                | Need::PairSums
                | Need::Neighbours
                | Need::BatchSize
                | Need::BatchLabels
        )
    }

    /// Whether it follows from sums over parts of the rows that are added up.
    pub fn is_mergeable(self) -> bool {
        !matches!(
            self,
            Need::Pairs
                | Need::PairHistograms
                | Need::SampledPairs
                | Need::PairSums
                | Need::Neighbours
                | Need::AllRows
                | Need::BatchSize
        )
    }

    /// Whether all pairs of rows are compared, which is done for many rows only if a metric is selected by its name.
    fn is_of_all_pairs(self) -> bool {
        matches!(self, Need::Pairs | Need::PairHistograms)
    }

    /// Whether each row is compared with all others.
    fn is_quadratic(self) -> bool {
        matches!(self, Need::Pairs | Need::PairHistograms | Need::SampledPairs | Need::PairSums | Need::Neighbours)
    }

    /// The work it takes with N rows, K classes and d dimensions, and where that stands among the others; nothing for
    /// what is an input.
    fn cost(self) -> Option<(usize, &'static str)> {
        Some(match self {
            Need::Labels | Need::PairLabels | Need::Classes => return None,
            Need::ClassDistances => (1, "O(N K)"),
            Need::ClassMeans | Need::AllRows => (2, "O(N d)"),
            Need::ClassMeanGram => (3, "O(N d + K d min(K, d))"),
            Need::ClassGeometry | Need::ClassMeanPairs => (4, "O(N d + K^2 d)"),
            Need::RowsByClassMeans | Need::BatchSize | Need::BatchLabels => (5, "O(N K d)"),
            Need::Covariance => (6, "O(N d^2 + d^3)"),
            Need::Pairs | Need::PairHistograms | Need::SampledPairs | Need::PairSums | Need::Neighbours => {
                (7, "O(N^2 d)")
            }
        })
    }
}

/// What a metric is. The formulas are in `docs/metrics.md`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// The stable name in JSON, CSV, gates and documentation.
    pub id: &'static str,
    /// One line for people.
    pub title: &'static str,
    /// The group it belongs to.
    pub family: &'static Family,
    /// Overall, for each class, for each k or for each false accept rate.
    pub scope: Scope,
    /// The smallest k that it is defined at.
    pub least_k: usize,
    /// The range of its values.
    pub range: &'static str,
    /// Whether higher is better; `None` where neither direction is.
    pub higher_is_better: Option<bool>,
    /// Where the definition comes from.
    pub source: &'static str,
    /// What it is made of.
    pub needs: &'static [Need],
    /// Whether `--intervals` gives a 95 % interval of it.
    pub has_interval: bool,
}

/// The entry of a metric that is one number for the whole input.
pub(super) const fn metric(
    family: &'static Family,
    id: &'static str,
    title: &'static str,
    range: &'static str,
    higher_is_better: Option<bool>,
    source: &'static str,
    needs: &'static [Need],
) -> Metric {
    Metric {
        id,
        title,
        family,
        scope: Scope::Overall,
        least_k: 1,
        range,
        higher_is_better,
        source,
        needs,
        has_interval: false,
    }
}

/// The name of a metric at a false accept rate, such as `tar@1e-3`.
pub(super) fn at_far(id: &str, far: f64) -> String {
    format!("{id}@{far:e}")
}

pub(super) const UP: Option<bool> = Some(true);
pub(super) const DOWN: Option<bool> = Some(false);

/// The range of what is not negative.
pub(super) const FROM_0: &str = "[0, inf)";

/// The source of what is defined in embq's own documentation.
pub(super) const OURS: &str = "docs/metrics.md";

impl Metric {
    /// The same, given by class.
    pub(super) const fn by_class(self) -> Self {
        Metric { scope: Scope::PerClass, ..self }
    }

    /// The same, given at each k.
    pub(super) const fn at_k(self) -> Self {
        Metric { scope: Scope::AtK, ..self }
    }

    /// The same, defined from this k on.
    pub(super) const fn from_k(self, least_k: usize) -> Self {
        Metric { least_k, ..self }
    }

    /// The same, given at each false accept rate.
    pub(super) const fn at_far(self) -> Self {
        Metric { scope: Scope::AtFar, ..self }
    }

    /// The same, with an interval.
    pub(super) const fn with_interval(self) -> Self {
        Metric { has_interval: true, ..self }
    }

    /// Whether it is made of this.
    pub fn needs(&self, need: Need) -> bool {
        self.needs.contains(&need)
    }

    /// Whether it needs the class of each row. Where there is a list of pairs, what looks at pairs does not.
    pub fn needs_labels(&self, pair_list: bool) -> bool {
        self.needs(Need::Labels) || (self.needs(Need::PairLabels) && !pair_list)
    }

    /// Whether it compares all pairs of rows.
    pub(super) fn is_of_all_pairs(&self) -> bool {
        self.needs.iter().any(|need| need.is_of_all_pairs())
    }

    /// Whether it compares each row with all others, in one way or another.
    pub(super) fn is_quadratic(&self) -> bool {
        self.needs.iter().any(|need| need.is_quadratic())
    }

    /// Whether it follows from sums over parts of the rows, wherever these lie, under a distance whose means have a
    /// closed form.
    pub fn is_mergeable(&self) -> bool {
        self.needs.iter().all(|need| need.is_mergeable())
    }

    /// The work it takes with N rows, K classes and d dimensions, beyond the class distances themselves.
    pub fn cost(&self) -> &'static str {
        self.needs.iter().filter_map(|need| need.cost()).max().map_or("O(N d)", |(_, cost)| cost)
    }

    /// The names under which it appears in the overall results: the id, and `<id>_macro` for those given by class; or
    /// `<id>@<k>` for each k, or `<id>@<rate>` for each false accept rate.
    pub fn names(&self, levels: Levels<'_>) -> impl Iterator<Item = String> + use<> {
        let id = self.id;
        let names: Vec<String> = match self.scope {
            Scope::Overall => vec![id.to_owned()],
            Scope::PerClass => vec![id.to_owned(), format!("{id}_macro")],
            Scope::AtK => levels.ks.iter().filter(|&&k| k >= self.least_k).map(|k| format!("{id}@{k}")).collect(),
            Scope::AtFar => levels.fars.iter().map(|far| at_far(id, *far)).collect(),
        };
        names.into_iter()
    }

    /// How its name ends where it is given at several numbers: `@k` or `@far`.
    pub fn suffix(&self) -> &'static str {
        match self.scope {
            Scope::Overall | Scope::PerClass => "",
            Scope::AtK => "@k",
            Scope::AtFar => "@far",
        }
    }
}

/// The metrics to compute.
#[derive(Clone, Debug, PartialEq)]
pub struct Selection {
    pub(super) metrics: BTreeMap<&'static str, &'static Metric>,
    /// Those that are selected by their own names and not only as part of a family.
    pub(super) named: BTreeSet<&'static str>,
    /// Whether, with many rows, nothing that compares each of them with all others is computed unless it is named.
    pub(super) is_thrifty: bool,
}

/// Rows up to which metrics of all pairs are computed as part of their family; with more they are computed by name only.
pub(super) const FEW_ROWS: usize = 50_000;

impl Selection {
    /// Whether the metric of that id is selected.
    pub fn contains(&self, id: &str) -> bool {
        self.metrics.contains_key(id)
    }

    /// The selected metrics, by id.
    pub fn iter(&self) -> impl Iterator<Item = &'static Metric> {
        self.metrics.values().copied()
    }

    /// The metrics to compute for this many rows, and the ids of those that are left out because all pairs of so many rows
    /// are compared only for a metric that is selected by its name.
    pub(crate) fn for_rows(&self, rows: usize) -> (Selection, Vec<&'static str>) {
        let is_left_out = |metric: &Metric| {
            let grows = metric.is_of_all_pairs() || self.is_thrifty && metric.is_quadratic();
            rows > FEW_ROWS && grows && !self.named.contains(metric.id)
        };
        let left_out: Vec<_> = self.iter().filter(|metric| is_left_out(metric)).map(|metric| metric.id).collect();
        let mut kept = self.clone();
        kept.metrics.retain(|_, metric| !is_left_out(metric));
        (kept, left_out)
    }

    /// Whether there are metrics, and all of them are made of this.
    pub fn all_need(&self, need: Need) -> bool {
        !self.metrics.is_empty() && self.iter().all(|metric| metric.needs(need))
    }

    /// Whether any selected metric is made of this.
    pub fn needs(&self, need: Need) -> bool {
        self.iter().any(|metric| metric.needs(need))
    }
}
