//! The list of every metric that embq knows.

use std::collections::BTreeSet;

use crate::error::{Error, Result, choices};

/// A group of metrics that are chosen, explained and shown together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    Silhouette,
    SoftSilhouette,
    Separation,
    Batch,
    Validity,
    Retrieval,
    Spectrum,
    Contrastive,
    Collapse,
    SingleCell,
}

impl Family {
    /// Every family, in the order of output.
    pub const ALL: [Family; 10] = [
        Family::Silhouette,
        Family::SoftSilhouette,
        Family::Separation,
        Family::Batch,
        Family::Validity,
        Family::Retrieval,
        Family::Spectrum,
        Family::Contrastive,
        Family::Collapse,
        Family::SingleCell,
    ];

    /// The families that are computed where none is named.
    pub const USUAL: [Family; 4] = [Family::Silhouette, Family::SoftSilhouette, Family::Separation, Family::Batch];

    /// The name used in `--metrics`.
    pub fn name(self) -> &'static str {
        match self {
            Family::Silhouette => "silhouette",
            Family::SoftSilhouette => "soft_silhouette",
            Family::Separation => "separation",
            Family::Batch => "batch",
            Family::Validity => "validity",
            Family::Retrieval => "retrieval",
            Family::Spectrum => "spectrum",
            Family::Contrastive => "contrastive",
            Family::Collapse => "collapse",
            Family::SingleCell => "single_cell",
        }
    }

    /// Whether its metrics compare classes, so that there have to be several.
    pub fn needs_classes(self) -> bool {
        !matches!(self, Family::Retrieval | Family::Spectrum | Family::Contrastive)
    }
}

/// The numbers of neighbours or components where none are named.
pub const USUAL_KS: [usize; 3] = [1, 5, 10];

/// Where a metric appears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// One number for the whole input.
    Overall,
    /// One number for each class; overall the mean over rows, and the mean over classes as `<id>_macro`.
    PerClass,
    /// One number for each k of `--k`, as `<id>@<k>`.
    AtK,
}

/// What a metric is. The formulas are in `docs/metrics.md`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Metric {
    /// The stable name in JSON, CSV, gates and documentation.
    pub id: &'static str,
    /// One line for people.
    pub title: &'static str,
    /// The group it belongs to.
    pub family: Family,
    /// Overall or for each class.
    pub scope: Scope,
    /// The range of its values.
    pub range: &'static str,
    /// Whether higher is better; `None` where neither direction is.
    pub higher_is_better: Option<bool>,
    /// The work it takes with N rows, K classes and d dimensions, beyond the class distances themselves.
    pub cost: &'static str,
    /// Where the definition comes from.
    pub source: &'static str,
}

const ROUSSEEUW: &str = "Rousseeuw 1987";
const SOFT: &str = "after arXiv:2604.08573";

const fn metric(
    id: &'static str,
    title: &'static str,
    family: Family,
    scope: Scope,
    range: &'static str,
    higher_is_better: Option<bool>,
    source: &'static str,
) -> Metric {
    Metric {
        id,
        title,
        family,
        scope,
        range,
        higher_is_better,
        cost: match family {
            Family::Silhouette | Family::SoftSilhouette => "O(N K)",
            Family::Separation => "O(N d + K^2 d)",
            Family::Batch | Family::SingleCell => "O(N K d)",
            Family::Validity => "O(N d + K^2 d)",
            Family::Retrieval => "O(N^2 d)",
            Family::Spectrum => "O(N d^2 + d^3)",
            Family::Contrastive => "O(N^2 d)",
            Family::Collapse => "O(N K d)",
        },
        source,
    }
}

impl Metric {
    /// The same at another cost than is usual in its family.
    const fn costing(self, cost: &'static str) -> Self {
        Metric { cost, ..self }
    }
}

const MUSGRAVE: &str = "Musgrave et al. 2020";
const PAPYAN: &str = "Papyan et al. 2020";
const WANG: &str = "Wang & Isola 2020";
const SCIB: &str = "scib-metrics";
const OURS: &str = "docs/metrics.md";
const FROM_0: &str = "[0, inf)";
const UP: Option<bool> = Some(true);
const DOWN: Option<bool> = Some(false);

/// Every metric, in the order of output.
pub const METRICS: &[Metric] = {
    use Family::{
        Batch, Collapse, Contrastive, Retrieval, Separation, Silhouette, SingleCell, SoftSilhouette, Spectrum, Validity,
    };
    use Scope::{AtK, Overall, PerClass};
    &[
        metric("silhouette", "hard silhouette, mean over rows", Silhouette, PerClass, "[-1, 1]", UP, ROUSSEEUW),
        metric("mean_a", "mean distance to the row's own class", Silhouette, Overall, FROM_0, DOWN, ROUSSEEUW),
        metric("mean_b", "mean distance to the nearest other class", Silhouette, Overall, FROM_0, UP, ROUSSEEUW),
        metric("negative_share", "rows closer to another class", Silhouette, PerClass, "[0, 1]", DOWN, ROUSSEEUW),
        metric("soft_silhouette", "soft silhouette, mean over rows", SoftSilhouette, PerClass, "[-1, 1]", UP, SOFT),
        metric("soft_silhouette_loss", "1 - soft silhouette", SoftSilhouette, Overall, "[0, 2]", DOWN, SOFT),
        metric(
            "effective_competitors",
            "classes in the soft minimum",
            SoftSilhouette,
            Overall,
            "[1, K - 1]",
            None,
            "exp of an entropy",
        ),
        metric("intra_mean", "mean distance within the class", Separation, PerClass, FROM_0, DOWN, OURS),
        metric("a_std", "standard deviation of a within the class", Separation, PerClass, FROM_0, DOWN, OURS),
        metric("radius_mean", "mean distance to the class mean", Separation, PerClass, FROM_0, DOWN, OURS),
        metric("radius_max", "largest distance to the class mean", Separation, PerClass, FROM_0, DOWN, OURS),
        metric("variance", "mean squared distance to the class mean", Separation, PerClass, FROM_0, DOWN, OURS),
        metric("separation", "mean distance to the nearest other class", Separation, PerClass, FROM_0, UP, OURS),
        metric("centroid_separation", "distance to the nearest class mean", Separation, PerClass, FROM_0, UP, OURS),
        metric("margin", "separation - intra_mean", Separation, PerClass, "(-inf, inf)", UP, OURS),
        metric("ratio", "intra_mean / separation", Separation, PerClass, FROM_0, DOWN, OURS),
        metric("fisher_ratio", "trace(S_B) / trace(S_W)", Separation, Overall, FROM_0, UP, "Fisher 1936"),
        metric("batch_loss", "soft silhouette loss, mean over batches", Batch, Overall, "[0, 2]", DOWN, SOFT),
        metric("batch_loss_std", "its standard deviation over batches", Batch, Overall, "[0, 1]", None, SOFT),
        metric("batches", "batches that were kept", Batch, Overall, FROM_0, None, SOFT),
        metric("batches_skipped", "batches of one class, which have no loss", Batch, Overall, FROM_0, DOWN, SOFT),
        metric("batch_without_positive", "rows alone of their class in a batch", Batch, Overall, "[0, 1]", DOWN, SOFT),
        metric(
            "davies_bouldin",
            "spread over distance, worst pairs",
            Validity,
            Overall,
            FROM_0,
            DOWN,
            "Davies & Bouldin 1979",
        ),
        metric(
            "calinski_harabasz",
            "scatter between over within",
            Validity,
            Overall,
            FROM_0,
            UP,
            "Calinski & Harabasz 1974",
        ),
        metric(
            "simplified_silhouette",
            "silhouette by class means",
            Validity,
            Overall,
            "[-1, 1]",
            UP,
            "Hruschka et al. 2004",
        )
        .costing("O(N K d)"),
        metric("dunn", "least distance between over widest class", Validity, Overall, FROM_0, UP, "Dunn 1974")
            .costing("O(N^2 d)"),
        metric(
            "knn_accuracy",
            "majority of the k nearest is the class",
            Retrieval,
            AtK,
            "[0, 1]",
            UP,
            "Cover & Hart 1967",
        ),
        metric("precision_at_1", "nearest row is of the class", Retrieval, Overall, "[0, 1]", UP, MUSGRAVE),
        metric("r_precision", "share of the class in the R nearest", Retrieval, Overall, "[0, 1]", UP, MUSGRAVE),
        metric("map_at_r", "mean average precision at R", Retrieval, Overall, "[0, 1]", UP, MUSGRAVE),
        metric("recall", "one of the k nearest is of the class", Retrieval, AtK, "[0, 1]", UP, "Jegou et al. 2011"),
        metric("mrr", "mean of 1 / rank of the first of the class", Retrieval, Overall, "[0, 1]", UP, "Voorhees 1999"),
        metric("queries", "rows that have another to be found", Retrieval, Overall, FROM_0, None, MUSGRAVE),
        metric(
            "hubness",
            "skewness of the 10-occurrence",
            Retrieval,
            Overall,
            "(-inf, inf)",
            DOWN,
            "Radovanovic et al. 2010",
        ),
        metric(
            "antihub_share",
            "rows that are nobody's neighbour",
            Retrieval,
            Overall,
            "[0, 1]",
            DOWN,
            "Radovanovic et al. 2010",
        ),
        metric("rankme", "exp of the entropy of singular values", Spectrum, Overall, FROM_0, UP, "Garrido et al. 2023"),
        metric(
            "effective_rank",
            "exp of the entropy of eigenvalues",
            Spectrum,
            Overall,
            "[1, inf)",
            UP,
            "Roy & Vetterli 2007",
        ),
        metric("participation_ratio", "(sum l)^2 / sum l^2", Spectrum, Overall, "[1, inf)", UP, "Gao et al. 2017"),
        metric("isotropy", "participation ratio / d", Spectrum, Overall, "[0, 1]", UP, OURS),
        metric("alpha", "slope of the eigenvalues' decay", Spectrum, Overall, FROM_0, None, "Agrawal et al. 2022"),
        metric("alpha_range", "eigenvalues that alpha is fitted to", Spectrum, Overall, FROM_0, None, OURS),
        metric(
            "components_90",
            "components with 90 % of the variance",
            Spectrum,
            Overall,
            FROM_0,
            None,
            "Pearson 1901",
        ),
        metric(
            "components_99",
            "components with 99 % of the variance",
            Spectrum,
            Overall,
            FROM_0,
            None,
            "Pearson 1901",
        ),
        metric("explained_variance", "share of the first k components", Spectrum, AtK, "[0, 1]", None, "Pearson 1901"),
        metric("alignment", "mean |z_i - z_j|^2 within classes", Contrastive, Overall, "[0, 4]", DOWN, WANG)
            .costing("O(N d)"),
        metric("uniformity", "log mean of exp(-2 |z_i - z_j|^2)", Contrastive, Overall, "[-8, 0]", DOWN, WANG),
        metric(
            "supcon",
            "supervised contrastive loss at t = 0.1",
            Contrastive,
            Overall,
            FROM_0,
            DOWN,
            "Khosla et al. 2020",
        ),
        metric("nc1", "tr(pinv(S_B) S_W) / K", Collapse, Overall, FROM_0, DOWN, PAPYAN),
        metric("nc2", "class means' distance from a simplex", Collapse, Overall, FROM_0, DOWN, PAPYAN)
            .costing("O(N d + K d min(K, d))"),
        metric("nc2_equinorm", "deviation of the means' lengths", Collapse, Overall, FROM_0, DOWN, PAPYAN)
            .costing("O(N d)"),
        metric("nc2_equiangular", "deviation of the means' cosines", Collapse, Overall, FROM_0, DOWN, PAPYAN)
            .costing("O(N d + K^2 d)"),
        metric("nc4", "rows nearest to the mean of their class", Collapse, Overall, "[0, 1]", UP, PAPYAN),
        metric("cdnv", "class variance over squared distance", Collapse, Overall, FROM_0, DOWN, "Galanti et al. 2022")
            .costing("O(N d + K^2 d)"),
        metric(
            "ncc_accuracy",
            "the same, the row left out of the mean",
            Collapse,
            Overall,
            "[0, 1]",
            UP,
            "leave-one-out",
        ),
        metric("asw_label", "(silhouette + 1) / 2", SingleCell, Overall, "[0, 1]", UP, SCIB),
        metric("asw_batch", "mixing of batches inside labels", SingleCell, Overall, "[0, 1]", UP, SCIB),
        metric("bras", "the same, against all other batches", SingleCell, Overall, "[0, 1]", UP, SCIB),
    ]
};

impl Metric {
    /// The metric of that id.
    pub fn find(id: &str) -> Option<&'static Metric> {
        METRICS.iter().find(|metric| metric.id == id)
    }

    /// Whether it needs the batch of each row.
    pub fn needs_batch_labels(&self) -> bool {
        matches!(self.id, "asw_batch" | "bras")
    }

    /// Whether rows are compared with rows, so that they have to be readable in any order.
    pub fn looks_at_pairs(&self) -> bool {
        self.cost.contains("N^2") || self.needs_batch_labels()
    }

    /// The names under which it appears in the overall results: the id, and `<id>_macro` for those given by class; or
    /// `<id>@<k>` for each k.
    pub fn names(&self, ks: &[usize]) -> impl Iterator<Item = String> + use<> {
        let id = self.id;
        let ks = if self.scope == Scope::AtK { ks.to_vec() } else { Vec::new() };
        let plain = (self.scope != Scope::AtK).then(|| id.to_owned());
        let macro_name = (self.scope == Scope::PerClass).then(|| format!("{id}_macro"));
        plain.into_iter().chain(macro_name).chain(ks.into_iter().map(move |k| format!("{id}@{k}")))
    }

    /// The metric that appears in the overall results under a name, for any k.
    pub fn named(name: &str) -> Option<&'static Metric> {
        let (id, k) = match name.split_once('@') {
            Some((id, k)) => (id, Some(k.parse::<usize>().ok().filter(|k| *k > 0 && !name.contains('+'))?)),
            None => (name, None),
        };
        METRICS.iter().find(|metric| match k {
            Some(_) => metric.scope == Scope::AtK && metric.id == id,
            None => metric.names(&[]).any(|known| known == id),
        })
    }
}

/// Which metrics are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection {
    ids: BTreeSet<&'static str>,
}

impl Selection {
    /// Every metric.
    pub fn all() -> Self {
        Selection { ids: METRICS.iter().map(|metric| metric.id).collect() }
    }

    /// The metrics that are computed where none is named: the families whose cost is small beside reading the rows.
    pub fn usual() -> Self {
        let usual = METRICS.iter().filter(|metric| Family::USUAL.contains(&metric.family));
        Selection { ids: usual.map(|metric| metric.id).collect() }
    }

    /// The metrics of a list of names, families, `usual` and `all`.
    ///
    /// # Errors
    /// An unknown name, with the closest one.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut ids = BTreeSet::new();
        for name in names {
            let before = ids.len();
            let chosen = |metric: &&Metric| {
                let usual = name == "usual" && Family::USUAL.contains(&metric.family);
                let named = metric.id == name || Metric::named(name).is_some_and(|named| named.id == metric.id);
                name == "all" || usual || metric.family.name() == name || named
            };
            ids.extend(METRICS.iter().filter(chosen).map(|metric| metric.id));
            let known = METRICS.iter().any(|metric| chosen(&metric));
            if ids.len() == before && !known {
                return Err(Error::setting(format!("unknown metric '{name}'"), choices(Some(name), &all_names())));
            }
        }
        Ok(Selection { ids })
    }

    /// Whether the metric of that id is asked for.
    pub fn contains(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Whether nothing but metrics of the family is asked for.
    pub fn only(&self, family: Family) -> bool {
        METRICS.iter().all(|metric| metric.family == family || !self.contains(metric.id))
    }

    /// Whether any metric of the family is asked for.
    pub fn any_of(&self, family: Family) -> bool {
        METRICS.iter().any(|metric| metric.family == family && self.contains(metric.id))
    }
}

impl Default for Selection {
    fn default() -> Self {
        Selection::usual()
    }
}

/// The names of all metrics and families.
fn all_names() -> Vec<String> {
    let families = Family::ALL.iter().map(|family| family.name().to_owned());
    let families_too = |id: &&str| Family::ALL.iter().any(|family| family.name() == *id);
    let metrics = METRICS.iter().map(|metric| metric.id).filter(|id| !families_too(id)).map(str::to_owned);
    families.chain(["usual".to_owned(), "all".to_owned()]).chain(metrics).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique() {
        let ids: BTreeSet<&str> = METRICS.iter().map(|metric| metric.id).collect();
        assert_eq!(ids.len(), METRICS.len());
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
    fn the_usual_metrics_look_at_no_pairs_of_rows() {
        let usual = Selection::usual();
        assert!(METRICS.iter().all(|metric| !usual.contains(metric.id) || !metric.cost.contains("N^2")));
        assert!(usual.contains("silhouette") && usual.contains("batch_loss") && !usual.contains("rankme"));
        assert_eq!(Selection::parse(["usual"]).unwrap(), usual);
        assert_eq!(Selection::parse(["all"]).unwrap(), Selection::all());
    }

    #[test]
    fn metrics_at_k_have_a_name_for_each_k() {
        let recall = Metric::find("recall").unwrap();
        assert_eq!(recall.names(&[1, 20]).collect::<Vec<_>>(), ["recall@1", "recall@20"]);
        assert_eq!(Metric::named("recall@7"), Some(recall));
        for unknown in ["recall", "recall@", "recall@0", "recall@-1", "recall@+1", "silhouette@5", "recall@5_macro"] {
            assert_eq!(Metric::named(unknown), None, "{unknown}");
        }
        assert!(Selection::parse(["recall@20"]).unwrap().contains("recall"));
    }
}
