//! What every readable form of a result shows: which classes, in which order, and what stands out.

use crate::report::numbers::{count, percent, short, temperature};
use crate::report::text::visible;
use embq_core::data::Excluded;
use embq_core::error::{Error, Result, choices};
use embq_core::evaluation::{ClassEvaluation, Evaluation};
use embq_core::metrics::{METRICS, Metric, Scope};

/// How many classes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClassLimit {
    All,
    Worst(usize),
}

impl ClassLimit {
    /// How many of so many are shown.
    pub(crate) fn of(self, all: usize) -> usize {
        match self {
            ClassLimit::All => all,
            ClassLimit::Worst(limit) => limit.min(all),
        }
    }
}

/// By what the classes are ordered.
#[derive(Clone, Debug, PartialEq)]
pub enum ClassOrder {
    /// In label order.
    Label,
    /// Most rows first.
    Count,
    /// By a metric given by class, worst first.
    Metric(&'static Metric),
}

impl ClassOrder {
    /// The order of that name: `label`, `count`, or a metric given by class.
    ///
    /// # Errors
    /// An unknown name, with the closest one.
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "label" => Ok(ClassOrder::Label),
            "count" => Ok(ClassOrder::Count),
            _ => {
                let by_class = || METRICS.iter().filter(|metric| metric.scope == Scope::PerClass);
                by_class().find(|metric| metric.id == name).map(ClassOrder::Metric).ok_or_else(|| {
                    let names = ["label", "count"].into_iter().chain(by_class().map(|metric| metric.id));
                    let names: Vec<String> = names.map(str::to_owned).collect();
                    Error::setting(format!("--sort: no column '{name}'"), choices(Some(name), &names))
                })
            }
        }
    }
}

/// What of a result is shown to a person.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    pub classes: ClassLimit,
    /// `None` is by silhouette, worst first.
    pub order: Option<ClassOrder>,
}

impl Default for View {
    fn default() -> Self {
        View { classes: ClassLimit::Worst(20), order: None }
    }
}

impl View {
    /// The classes that are shown, in order, and how many are not.
    pub(crate) fn classes<'e>(&self, evaluation: &'e Evaluation) -> (Vec<&'e ClassEvaluation>, usize) {
        let mut classes: Vec<&ClassEvaluation> = evaluation.classes.iter().collect();
        let silhouette = Metric::find("silhouette").map(ClassOrder::Metric);
        match self.order.as_ref().or(silhouette.as_ref()) {
            Some(ClassOrder::Count) => classes.sort_by_key(|class| std::cmp::Reverse(class.count)),
            Some(ClassOrder::Metric(metric)) => {
                let sign = if metric.higher_is_better == Some(false) { -1.0 } else { 1.0 };
                // An undefined number is neither good nor bad, and comes last.
                let key = |class: &ClassEvaluation| match class.value(metric.id) {
                    Some(Some(value)) => sign * value,
                    _ => f64::INFINITY,
                };
                classes.sort_by(|left, right| key(left).total_cmp(&key(right)));
            }
            Some(ClassOrder::Label) | None => {}
        }
        let shown = self.classes.of(classes.len());
        let hidden = classes.len() - shown;
        classes.truncate(shown);
        (classes, hidden)
    }
}

/// A column of the class table.
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) metric: &'static str,
    pub(crate) text: fn(Option<f64>) -> String,
}

/// Columns of the class table at most, so that it fits the terminal.
const COLUMNS: usize = 5;

/// The columns between the number of rows and the nearest class. Where the usual ones were not asked for, others that
/// were take their place.
pub(crate) fn columns(evaluation: &Evaluation) -> Vec<Column> {
    let column = |title, metric, text| Column { title, metric, text };
    let mut columns: Vec<Column> = [
        column("silhouette", "silhouette", short as fn(Option<f64>) -> String),
        column("soft", "soft_silhouette", short),
        column("intra", "intra_mean", short),
        column("separ.", "separation", short),
        column("neg.", "negative_share", percent),
    ]
    .into_iter()
    .filter(|column| evaluation.metrics.contains_key(column.metric))
    .collect();
    if evaluation.classes.iter().any(|class| class.silhouette_uncertainty.is_some()) {
        columns.insert(1, column("±", "silhouette_half_width", short));
    }
    for metric in METRICS.iter().filter(|metric| metric.scope == Scope::PerClass) {
        let shown = columns.iter().any(|column| column.metric == metric.id);
        if columns.len() < COLUMNS && !shown && evaluation.metrics.contains_key(metric.id) {
            columns.push(column(metric.id, metric.id, short));
        }
    }
    columns
}

/// Rows from which on a class is large enough to stand out by a share of its rows.
const STANDING_OUT: usize = 5;

/// The one line that names what stands out.
pub(crate) fn stands_out(evaluation: &Evaluation) -> Option<String> {
    if !evaluation.metrics.contains_key("silhouette") {
        return None;
    }
    let confused = || evaluation.classes.iter().filter_map(|class| Some((class, class.confused_with.first()?)));
    let large = confused().filter(|(class, _)| class.count >= STANDING_OUT);
    let most = |left: &(&ClassEvaluation, &embq_core::evaluation::Confusion),
                right: &(&ClassEvaluation, &embq_core::evaluation::Confusion)| {
        // On a tie the first class wins.
        left.1.share.total_cmp(&right.1.share).then(std::cmp::Ordering::Greater)
    };
    Some(match large.max_by(most).or_else(|| confused().max_by(most)) {
        Some((class, confusion)) => format!(
            "class {} is confused with {}: {} of its rows lie closer to {}",
            visible(&class.label),
            visible(&confusion.label),
            percent(Some(confusion.share)),
            visible(&confusion.label),
        ),
        None => "no row lies closer to another class than to its own".to_owned(),
    })
}

/// What a reader should know beside the numbers.
pub(crate) fn notes(evaluation: &Evaluation) -> Vec<String> {
    let own = [left_out_note(&evaluation.excluded), competitors_note(evaluation)];
    evaluation.warnings.iter().cloned().chain(own.into_iter().flatten()).collect()
}

/// How many rows were left out for each reason.
pub(crate) fn left_out_note(excluded: &Excluded) -> Option<String> {
    let small = format!("in {} classes that are too small", count(excluded.small_classes));
    let reasons = [
        (excluded.ignored_labels, "with an ignored label"),
        (excluded.excluded_classes, "in excluded classes"),
        (excluded.null_labels, "without a label"),
        (excluded.invalid, "with invalid values"),
        (excluded.small_class_rows, if excluded.small_classes == 1 { "in a class that is too small" } else { &small }),
    ];
    let parts: Vec<String> = reasons
        .into_iter()
        .filter(|(rows, _)| *rows > 0)
        .map(|(rows, reason)| format!("{} {reason}", count(rows)))
        .collect();
    (!parts.is_empty()).then(|| format!("rows left out: {}", parts.join(", ")))
}

/// What a reader of the soft silhouette should know of its temperature.
fn competitors_note(evaluation: &Evaluation) -> Option<String> {
    let effective = evaluation.metrics.get("effective_competitors").copied().flatten()?;
    (effective > 2.0 + 1e-6).then(|| {
        format!(
            "at temperature {} the soft minimum averages over {effective:.1} classes; a lower --temperature, or auto, \
             focuses on the nearest ones",
            temperature(&evaluation.settings)
        )
    })
}
