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
}

impl Family {
    /// Every family, in the order of output.
    pub const ALL: [Family; 4] = [Family::Silhouette, Family::SoftSilhouette, Family::Separation, Family::Batch];

    /// The name used in `--metrics`.
    pub fn name(self) -> &'static str {
        match self {
            Family::Silhouette => "silhouette",
            Family::SoftSilhouette => "soft_silhouette",
            Family::Separation => "separation",
            Family::Batch => "batch",
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
            Family::Batch => "O(N K d)",
        },
        source,
    }
}

const OURS: &str = "docs/metrics.md";
const FROM_0: &str = "[0, inf)";
const UP: Option<bool> = Some(true);
const DOWN: Option<bool> = Some(false);

/// Every metric, in the order of output.
pub const METRICS: &[Metric] = {
    use Family::{Batch, Separation, Silhouette, SoftSilhouette};
    use Scope::{Overall, PerClass};
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
    ]
};

impl Metric {
    /// The metric of that id.
    pub fn find(id: &str) -> Option<&'static Metric> {
        METRICS.iter().find(|metric| metric.id == id)
    }

    /// The names under which it appears in the overall results: the id, and `<id>_macro` for those given by class.
    pub fn names(&self) -> impl Iterator<Item = String> + use<> {
        let macro_name = (self.scope == Scope::PerClass).then(|| format!("{}_macro", self.id));
        std::iter::once(self.id.to_owned()).chain(macro_name)
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

    /// The metrics of a list of names, families and `all`.
    ///
    /// # Errors
    /// An unknown name, with the closest one.
    pub fn parse<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self> {
        let mut ids = BTreeSet::new();
        for name in names {
            let before = ids.len();
            let chosen = |metric: &&Metric| {
                name == "all" || metric.family.name() == name || metric.names().any(|known| known == name)
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
        Selection::all()
    }
}

/// The names of all metrics and families.
fn all_names() -> Vec<String> {
    let metrics = METRICS.iter().map(|metric| metric.id.to_owned());
    let families = Family::ALL.iter().map(|family| family.name().to_owned());
    metrics.chain(families).chain(["all".to_owned()]).collect()
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
}
