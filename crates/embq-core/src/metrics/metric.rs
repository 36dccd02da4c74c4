//! What a metric is: its entry, the family it belongs to, and what it needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

/// A group of metrics that are chosen, explained, computed and shown together.
pub struct Family {
    /// The name used in `--metrics`.
    pub name: &'static str,
    /// What people ask who need it.
    pub question: Question,
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

/// What is asked of embeddings. Every family answers one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    ClassesApart,
    Search,
    Classifier,
    SameOrDifferent,
    SpaceUsed,
    Training,
}

impl Question {
    /// All of them, in the order of `embq metrics`.
    pub const ALL: [Question; 6] = [
        Question::ClassesApart,
        Question::Search,
        Question::Classifier,
        Question::SameOrDifferent,
        Question::SpaceUsed,
        Question::Training,
    ];

    /// The question in words.
    pub fn text(self) -> &'static str {
        match self {
            Question::ClassesApart => "Are the classes apart?",
            Question::Search => "Can it be searched?",
            Question::Classifier => "Can a classifier read it?",
            Question::SameOrDifferent => "Same or different?",
            Question::SpaceUsed => "Is the space used?",
            Question::Training => "What did training do?",
        }
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
    /// The means of the classes of the rows scaled to length 1.
    UnitClassMeans,
    /// The Gram matrix of the class means, on its smaller side.
    ClassMeanGram,
    /// Distances between all class means.
    ClassMeanPairs,
    /// The distance of each row to the mean of its class.
    RowsByOwnMeans,
    /// Products of all rows with all class means.
    RowsByClassMeans,
    /// Each row by itself.
    EachRow,
    /// The covariance of the rows.
    Covariance,
    /// Ridge regression on the classes, from the covariance of the rows or, where these are fewer than dimensions, from
    /// their products.
    Ridge,
    /// Logistic regressions on the classes, each of some of the rows.
    Fits,
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
    /// A clustering of the rows: one that is given, or k-means.
    Clusters,
    /// Several clusterings, each of a draw of the rows.
    ClusterDraws,
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
            Need::UnitClassMeans => "unit_class_means",
            Need::ClassMeanGram => "class_mean_gram",
            Need::ClassMeanPairs => "class_mean_pairs",
            Need::RowsByOwnMeans => "rows_by_own_means",
            Need::RowsByClassMeans => "rows_by_class_means",
            Need::EachRow => "each_row",
            Need::Covariance => "covariance",
            Need::Ridge => "ridge",
            Need::Fits => "fits",
            Need::Pairs => "pairs",
            Need::PairHistograms => "pair_histograms",
            Need::SampledPairs => "sampled_pairs",
            Need::PairSums => "pair_sums",
            Need::Neighbours => "neighbours",
            Need::AllRows => "all_rows",
            Need::BatchSize => "batch_size",
            Need::BatchLabels => "batch_labels",
            Need::Clusters => "clusters",
            Need::ClusterDraws => "cluster_draws",
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
                | Need::Fits
                | Need::Clusters
                | Need::ClusterDraws
        )
    }

    /// Which state of the parts of a set holds it, or why none does.
    ///
    /// # Errors
    /// The reason, to follow the name of a metric.
    pub(crate) fn state(self) -> Result<StateKind, &'static str> {
        match self {
            Need::Labels
            | Need::PairLabels
            | Need::Classes
            | Need::ClassMeans
            | Need::ClassMeanGram
            | Need::ClassMeanPairs
            | Need::ClassGeometry => Ok(StateKind::Moments),
            Need::ClassDistances | Need::RowsByOwnMeans | Need::RowsByClassMeans => Ok(StateKind::Scores),
            Need::Pairs | Need::PairHistograms | Need::SampledPairs | Need::PairSums => {
                Err("compares all pairs of rows")
            }
            Need::Neighbours => Err("searches all rows for the nearest ones of each"),
            Need::AllRows => Err("looks at all rows at once"),
            Need::BatchSize => Err("shuffles all rows into batches"),
            Need::BatchLabels => Err("is made of the batches inside each label, whose sums states do not hold yet"),
            Need::Covariance => Err("is made of the covariance of the rows, which states do not hold yet"),
            Need::UnitClassMeans => {
                Err("is made of unit vectors under any distance, whose sums states do not hold yet")
            }
            Need::EachRow => Err("is made of single rows, whose sums states do not hold yet"),
            Need::Ridge => Err("is made of products of the dimensions, which states do not hold yet"),
            Need::Fits => Err("fits a classifier to all rows at once"),
            Need::Clusters | Need::ClusterDraws => Err("clusters all rows at once"),
        }
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
            Need::ClassMeans | Need::UnitClassMeans | Need::RowsByOwnMeans | Need::EachRow | Need::AllRows => {
                (2, "O(N d)")
            }
            Need::ClassMeanGram => (3, "O(N d + K d min(K, d))"),
            Need::ClassGeometry | Need::ClassMeanPairs => (4, "O(N d + K^2 d)"),
            Need::RowsByClassMeans | Need::BatchSize | Need::BatchLabels => (5, "O(N K d)"),
            Need::Covariance | Need::Ridge => (6, "O(N d^2 + d^3)"),
            Need::Pairs | Need::PairHistograms | Need::SampledPairs | Need::PairSums | Need::Neighbours => {
                (7, "O(N^2 d)")
            }
            Need::Fits | Need::Clusters | Need::ClusterDraws => (8, "O(N K d) a step"),
        })
    }
}

/// What a pass over a part of the rows leaves, to be merged with that of other parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StateKind {
    /// Counts, means and variances of the classes.
    Moments,
    /// Sums of the scores of rows, for which the moments of all rows are known.
    Scores,
    /// Variances of the influence of rows, for which the scores of all rows are known: standard errors.
    Influence,
}

impl StateKind {
    /// The name used in files and in `embq metrics --format json`.
    pub fn name(self) -> &'static str {
        match self {
            StateKind::Moments => "moments",
            StateKind::Scores => "scores",
            StateKind::Influence => "influence",
        }
    }

    /// The form of a verb that goes with the name.
    pub(crate) fn of(self, singular: &'static str, plural: &'static str) -> &'static str {
        if self == StateKind::Influence { singular } else { plural }
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
    /// Whether `all` selects it. Fits of many steps are selected by their own names or those of their families.
    pub is_in_all: bool,
    /// What its values are measured in.
    pub(crate) unit: Unit,
}

/// What values are measured in: how they move when all rows are multiplied by a factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Not at all.
    One,
    /// As the distances of rows.
    Distance,
    /// As the lengths of rows, under any distance.
    Length,
    /// As their squares.
    SquaredLength,
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
        is_in_all: true,
        unit: Unit::One,
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
    pub(super) const fn with_least_k(self, least_k: usize) -> Self {
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

    /// The same, measured in something.
    pub(super) const fn in_unit(self, unit: Unit) -> Self {
        Metric { unit, ..self }
    }

    /// The same, which `all` does not select.
    pub(super) const fn not_in_all(self) -> Self {
        Metric { is_in_all: false, ..self }
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

    /// Which [states](crate::partial) of the parts of a set it follows from, wherever these lie, under a distance whose
    /// means have a closed form; `None` where it does not merge.
    pub fn merges_from(&self) -> Option<StateKind> {
        self.state().ok()
    }

    /// The same, or why it does not merge.
    ///
    /// # Errors
    /// The reason, to follow the name of the metric.
    pub(crate) fn state(&self) -> Result<StateKind, &'static str> {
        self.needs.iter().try_fold(StateKind::Moments, |state, need| Ok(state.max(need.state()?)))
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

/// Dimensions, or rows if these are fewer, up to which metrics that factorise a matrix of them are computed as part of
/// their family; with more they are computed by name only.
pub(super) const FEW_DIMENSIONS: usize = 4096;

impl Selection {
    /// Whether the metric of that id is selected.
    pub fn contains(&self, id: &str) -> bool {
        self.metrics.contains_key(id)
    }

    /// The selected metrics, by id.
    pub fn iter(&self) -> impl Iterator<Item = &'static Metric> {
        self.metrics.values().copied()
    }

    /// The metrics to compute for data of this size, and why the others are left out: what takes long is computed only for
    /// a metric that is selected by its name.
    pub(crate) fn for_size(&self, rows: usize, dimensions: usize) -> (Selection, Vec<String>) {
        let compares =
            |metric: &Metric| rows > FEW_ROWS && (metric.is_of_all_pairs() || self.is_thrifty && metric.is_quadratic());
        let factorises = |metric: &Metric| rows.min(dimensions) > FEW_DIMENSIONS && metric.needs(Need::Ridge);
        let mut kept = self.clone();
        let mut leave_out = |is_costly: &dyn Fn(&Metric) -> bool, size: String, [it, they]: [&str; 2]| {
            let left_out = self.iter().filter(|metric| is_costly(metric) && !self.named.contains(metric.id));
            let ids: Vec<&str> = left_out.map(|metric| metric.id).collect();
            kept.metrics.retain(|id, _| !ids.contains(id));
            match &ids[..] {
                [] => None,
                [id] => Some(format!(
                    "{id} is left out: with {size} it is computed only if it is selected by name, because it {it}"
                )),
                _ => Some(format!(
                    "{} are left out: with {size} they are computed only if they are selected by name, because they {they}",
                    ids.join(", ")
                )),
            }
        };
        let pairs = ["compares all pairs of rows", "compare all pairs of rows"];
        let matrix = ["factorises a matrix of so many", "factorise a matrix of so many"];
        let reasons = [
            leave_out(&compares, format!("{rows} rows"), pairs),
            leave_out(&factorises, format!("{rows} rows of {dimensions} dimensions"), matrix),
        ];
        let reasons = reasons.into_iter().flatten().collect();
        (kept, reasons)
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
