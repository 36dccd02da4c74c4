//! Checkpoints against a baseline: how much every metric changed, and whether that can be chance.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{Chosen, Dataset};
use crate::error::Result;
use crate::evaluation::{Envelope, Evaluation, GateOutcome, InputDescription, Kind, Scored, Timing};
use crate::metrics::Metric;
use crate::progress::Progress;
use crate::quantity::{Quantity, Subject, Target};
use crate::similarity::Similarities;
use crate::statistics::{
    DRAWS, LEVEL, Strata, bootstrap_intervals, holm, normal_interval, normal_p_value, sign_flip_p_value,
};

/// What is said of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Better,
    Worse,
    /// Chance alone may have made the difference.
    NoDifferenceShown,
}

impl Verdict {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Better => "better",
            Verdict::Worse => "worse",
            Verdict::NoDifferenceShown => "no difference shown",
        }
    }
}

/// A metric of a candidate against that of the baseline.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Difference {
    pub baseline: Option<f64>,
    pub candidate: Option<f64>,
    /// Candidate minus baseline.
    pub delta: Option<f64>,
    /// That over |baseline|.
    pub relative: Option<f64>,
    /// 95 % interval of the difference, for metrics with influence values.
    pub interval: Option<[f64; 2]>,
    /// Two-sided: by random signs of the rows where they are paired, by the normal distribution otherwise.
    pub p_value: Option<f64>,
    /// Holm's correction of it for the number of candidates.
    pub adjusted_p_value: Option<f64>,
    /// Better or worse only where the interval excludes 0 and the adjusted p-value is at most 0.05. Null for metrics
    /// without an interval or without a better direction.
    pub verdict: Option<Verdict>,
}

/// A silhouette of a class, before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Change {
    pub baseline: Option<f64>,
    pub candidate: Option<f64>,
    /// Candidate minus baseline.
    pub delta: Option<f64>,
    /// 95 % interval of the difference.
    pub interval: Option<[f64; 2]>,
}

/// A class that both have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ClassDifference {
    pub label: String,
    /// Its rows in the candidate.
    pub count: usize,
    pub silhouette: Change,
    pub soft_silhouette: Change,
}

/// One checkpoint and its result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Checkpoint {
    /// How outputs call it.
    pub name: String,
    pub result: Evaluation,
}

/// A candidate against the baseline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct CandidateComparison {
    pub name: String,
    /// Whether the differences are taken row by row; otherwise only the spreads of both are known.
    pub paired: bool,
    /// What differs beside the embeddings, where that was allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mismatches: Vec<String>,
    /// Every metric that both have.
    pub metrics: IndexMap<String, Difference>,
    /// The classes that both have, in label order.
    pub classes: Vec<ClassDifference>,
    /// How similar the spaces are, where that was asked for.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub similarity: IndexMap<String, Option<f64>>,
}

impl CandidateComparison {
    /// The classes whose silhouette grew most, at most `limit`.
    pub fn gained(&self, limit: usize) -> Vec<&ClassDifference> {
        self.moved(1.0, limit)
    }

    /// The classes whose silhouette fell most, at most `limit`.
    pub fn lost(&self, limit: usize) -> Vec<&ClassDifference> {
        self.moved(-1.0, limit)
    }

    fn moved(&self, sign: f64, limit: usize) -> Vec<&ClassDifference> {
        let step = |class: &ClassDifference| sign * class.silhouette.delta.unwrap_or(0.0);
        let mut classes: Vec<&ClassDifference> = self.classes.iter().filter(|class| step(class) > 0.0).collect();
        classes.sort_by(|left, right| step(right).total_cmp(&step(left)));
        classes.truncate(limit);
        classes
    }
}

/// The result of `embq compare`: plain data, the same in memory and in JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Comparison {
    #[serde(flatten)]
    pub envelope: Envelope,
    /// In the order in which they were given; the first is the baseline.
    pub checkpoints: Vec<Checkpoint>,
    /// Each of the others against the baseline, in order.
    pub candidates: Vec<CandidateComparison>,
    /// For each metric that has a better direction, the name of the best checkpoint.
    pub best: IndexMap<String, String>,
    /// How similar all checkpoints are to each other, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub similarities: Option<Similarities>,
    /// How sure intervals are.
    pub level: f64,
    /// Draws of intervals and p-values.
    pub draws: usize,
    pub seed: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<GateOutcome>,
    pub warnings: Vec<String>,
    /// Left out by `--no-timing`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timing: Option<Timing>,
}

/// What a scored checkpoint keeps for the comparison.
#[derive(Clone, Debug)]
pub struct Measured {
    pub evaluation: Evaluation,
    /// The rows; `None` for a stored result without them.
    pub rows: Option<MeasuredRows>,
}

/// The rows of a checkpoint and what each gives to the metrics.
#[derive(Clone, Debug, Default)]
pub struct MeasuredRows {
    /// What tells a row: its number in the embeddings, or its place among those paired by a key.
    pub numbers: Vec<usize>,
    /// The class of each row.
    pub codes: Vec<u32>,
    /// Rows of each class.
    pub counts: Vec<usize>,
    pub weights: Option<Vec<f64>>,
    /// For each metric a term for each row; the metric is their sum.
    pub terms: IndexMap<String, Vec<f64>>,
    /// The same for the silhouettes of each class, if they are kept.
    pub class_terms: Vec<[Vec<f32>; 2]>,
}

impl Measured {
    /// A scored data set.
    pub fn new(dataset: &Dataset, scored: Scored) -> Self {
        let labels = dataset.labels();
        let rows = MeasuredRows {
            numbers: (0..dataset.len()).map(|row| dataset.source_row(row)).collect(),
            codes: labels.codes().to_vec(),
            counts: labels.counts().to_vec(),
            weights: dataset.weights().map(<[f64]>::to_vec),
            terms: scored.terms,
            class_terms: scored.class_terms,
        };
        let known = !rows.terms.is_empty();
        Measured { evaluation: scored.evaluation, rows: known.then_some(rows) }
    }
}

impl MeasuredRows {
    /// The rows by class, if another checkpoint has the same classes, or all together.
    fn strata(&self, other: &MeasuredRows) -> Strata<'_> {
        if self.codes == other.codes {
            Strata::new(&self.codes, &self.counts, self.weights.as_deref())
        } else {
            Strata::whole(self.codes.len())
        }
    }
}

/// What differs between two results beside the embeddings: settings, labels, rows.
pub fn mismatches(baseline: &Evaluation, candidate: &Evaluation) -> Vec<String> {
    let (left, right) = (&baseline.settings, &candidate.settings);
    let mut found = Vec::new();
    let mut differ = |what: &str, left: String, right: String| {
        if left != right {
            found.push(format!("{what}: {left} and {right}"));
        }
    };
    differ("distance", left.distance.to_string(), right.distance.to_string());
    differ("temperature", left.temperature.to_string(), right.temperature.to_string());
    differ("softmin", format!("{:?}", left.softmin).to_lowercase(), format!("{:?}", right.softmin).to_lowercase());
    differ("softmax", format!("{:?}", left.softmax).to_lowercase(), format!("{:?}", right.softmax).to_lowercase());
    let weights = |weights: &Option<String>| if weights.is_some() { "given" } else { "none" }.to_owned();
    differ("row weights", weights(&left.row_weights), weights(&right.row_weights));
    let size = |size: Option<usize>| size.map_or_else(|| "none".to_owned(), |size| size.to_string());
    differ("batch size", size(left.batch_size), size(right.batch_size));
    // Of probes that both have.
    if let (Some(left), Some(right)) = (left.probe_alpha, right.probe_alpha) {
        differ("penalty of the ridge probe", left.to_string(), right.to_string());
    }
    if let (Some(left), Some(right)) = (left.folds, right.folds) {
        differ("folds of the linear probe", left.to_string(), right.to_string());
    }
    differ("rows", scored_rows(baseline).to_string(), scored_rows(candidate).to_string());
    let hash = |result: &Evaluation| result.labels.as_ref().map(|labels| labels.blake3.clone());
    if scored_rows(baseline) == scored_rows(candidate) && hash(baseline) != hash(candidate) {
        let classes = |result: &Evaluation| match &result.labels {
            Some(labels) => format!("{} ({} classes)", labels.name(), labels.classes),
            None => "none".to_owned(),
        };
        let (left, right) = (classes(baseline), classes(candidate));
        found.push(format!("the labels of the rows: {left} and {right}"));
    }
    found.extend(other_columns(baseline, candidate));
    found
}

/// Columns or arrays of other names, where embq chose those of either side: another array of the same file, for example.
fn other_columns(baseline: &Evaluation, candidate: &Evaluation) -> Option<String> {
    let (left, right) = (baseline.inputs.first()?, candidate.inputs.first()?);
    let selected = |input: &InputDescription| input.chosen == Chosen::Selector;
    let are_known = !left.columns.is_empty() && !right.columns.is_empty();
    if !are_known || left.columns == right.columns || selected(left) && selected(right) {
        return None;
    }
    let shown = |input: &InputDescription| match (&input.selector, &input.columns[..]) {
        (Some(selector), _) => selector.clone(),
        (None, [first, .., last]) => format!("{} columns from {first} to {last}", input.columns.len()),
        (None, columns) => columns.join(", "),
    };
    Some(format!("the columns of the embeddings: {} and {}", shown(left), shown(right)))
}

fn scored_rows(evaluation: &Evaluation) -> usize {
    evaluation.classes.iter().map(|class| class.count).sum()
}

/// A candidate against the baseline. Paired where both have rows, and the same ones.
///
/// # Errors
/// [`Error::Cancelled`](crate::Error::Cancelled).
pub fn difference(
    name: &str,
    baseline: &Measured,
    candidate: &Measured,
    seed: u64,
    progress: &dyn Progress,
) -> Result<CandidateComparison> {
    let rows = match (&baseline.rows, &candidate.rows) {
        (Some(left), Some(right)) if left.numbers == right.numbers => Some((left, right)),
        _ => None,
    };
    let mut metrics = metric_differences(&baseline.evaluation, &candidate.evaluation);
    match rows {
        Some(rows) => paired(&mut metrics, rows, seed, progress)?,
        None => unpaired(&mut metrics, &baseline.evaluation, &candidate.evaluation),
    }
    Ok(CandidateComparison {
        name: name.to_owned(),
        paired: rows.is_some(),
        mismatches: mismatches(&baseline.evaluation, &candidate.evaluation),
        metrics,
        classes: class_differences(&baseline.evaluation, &candidate.evaluation, rows),
        similarity: IndexMap::new(),
    })
}

fn metric_differences(baseline: &Evaluation, candidate: &Evaluation) -> IndexMap<String, Difference> {
    let both = candidate.metrics.iter().filter_map(|(name, value)| Some((name, *baseline.metrics.get(name)?, *value)));
    both.map(|(name, before, after)| {
        let delta = before.zip(after).map(|(before, after)| after - before);
        let relative = before.zip(delta).filter(|(before, _)| *before != 0.0).map(|(before, by)| by / before.abs());
        let difference = Difference { baseline: before, candidate: after, delta, relative, ..Default::default() };
        (name.clone(), difference)
    })
    .collect()
}

fn paired(
    metrics: &mut IndexMap<String, Difference>,
    (before, after): (&MeasuredRows, &MeasuredRows),
    seed: u64,
    progress: &dyn Progress,
) -> Result<()> {
    let strata = before.strata(after);
    let tested = metrics.iter_mut().filter_map(|(name, difference)| {
        let (delta, before, after) = (difference.delta?, before.terms.get(name)?, after.terms.get(name)?);
        let terms: Vec<f64> = before.iter().zip(after).map(|(before, after)| after - before).collect();
        Some((difference, delta, terms))
    });
    let mut tested: Vec<(&mut Difference, f64, Vec<f64>)> = tested.collect();
    let terms: Vec<&[f64]> = tested.iter().map(|(_, _, terms)| terms.as_slice()).collect();
    let intervals = bootstrap_intervals(&terms, &strata, seed, progress)?;
    for ((difference, delta, terms), interval) in tested.iter_mut().zip(intervals) {
        progress.check()?;
        difference.interval = Some(interval.map(|end| *delta + end));
        difference.p_value = Some(sign_flip_p_value(terms, DRAWS, seed));
    }
    Ok(())
}

fn unpaired(metrics: &mut IndexMap<String, Difference>, baseline: &Evaluation, candidate: &Evaluation) {
    for (name, difference) in metrics.iter_mut() {
        let errors = baseline.standard_errors.get(name).zip(candidate.standard_errors.get(name));
        if let (Some(delta), Some((before, after))) = (difference.delta, errors) {
            let error = before.hypot(*after);
            difference.interval = Some(normal_interval(delta, error));
            difference.p_value = Some(normal_p_value(delta, error));
        }
    }
}

fn class_differences(
    baseline: &Evaluation,
    candidate: &Evaluation,
    rows: Option<(&MeasuredRows, &MeasuredRows)>,
) -> Vec<ClassDifference> {
    // Terms of a class by its code are only comparable where codes mean the same.
    let rows = rows.filter(|(before, after)| {
        let kept = |rows: &MeasuredRows| rows.class_terms.len() == rows.counts.len();
        before.codes == after.codes && kept(before) && kept(after)
    });
    let strata = rows.map(|(before, after)| before.strata(after));
    let change = |code: usize, label: &str, name: &'static str, kind: usize| {
        let classes = [baseline.class(label)?, candidate.class(label)?];
        let [before, after] = classes.map(|class| class.value(name).flatten());
        let delta = after.zip(before).map(|(after, before)| after - before);
        let error = match (rows, &strata) {
            (Some((before, after)), Some(strata)) => {
                let (before, after) = (&before.class_terms[code][kind], &after.class_terms[code][kind]);
                let terms: Vec<f64> =
                    before.iter().zip(after).map(|(before, after)| f64::from(*after) - f64::from(*before)).collect();
                Some(strata.standard_error(&terms))
            }
            _ => {
                let [before, after] = classes.map(|class| class.uncertainty(name).map(|known| known.standard_error));
                before.zip(after).map(|(before, after)| before.hypot(after))
            }
        };
        let interval = delta.zip(error).map(|(delta, error)| normal_interval(delta, error));
        Some(Change { baseline: before, candidate: after, delta, interval })
    };
    let classes = candidate.classes.iter().enumerate().filter_map(|(code, class)| {
        Some(ClassDifference {
            label: class.label.clone(),
            count: class.count,
            silhouette: change(code, &class.label, "silhouette", 0)?,
            soft_silhouette: change(code, &class.label, "soft_silhouette", 1)?,
        })
    });
    classes.collect()
}

impl Comparison {
    /// All checkpoints, the baseline first, and what [`difference`] found of the others: corrects the p-values for their
    /// number, gives the verdicts, and finds the best.
    pub fn new(checkpoints: Vec<Checkpoint>, mut candidates: Vec<CandidateComparison>, seed: u64) -> Self {
        let names: Vec<String> = candidates.iter().flat_map(|candidate| candidate.metrics.keys()).cloned().collect();
        for name in names.iter().collect::<indexmap::IndexSet<_>>() {
            let mut tested: Vec<&mut Difference> = candidates
                .iter_mut()
                .filter_map(|candidate| candidate.metrics.get_mut(name))
                .filter(|difference| difference.p_value.is_some())
                .collect();
            let p_values: Vec<f64> = tested.iter().filter_map(|difference| difference.p_value).collect();
            for (difference, adjusted) in tested.iter_mut().zip(holm(&p_values)) {
                difference.adjusted_p_value = Some(adjusted);
                difference.verdict = verdict(name, difference, adjusted);
            }
        }
        Comparison {
            envelope: Envelope::of(Kind::Compare),
            best: best(&checkpoints),
            similarities: None,
            warnings: warnings(&checkpoints, &candidates),
            checkpoints,
            candidates,
            level: LEVEL,
            draws: DRAWS,
            seed,
            gates: Vec::new(),
            timing: None,
        }
    }

    /// Adds how similar the checkpoints are, in their order.
    pub fn add_similarities(&mut self, found: Similarities) {
        for (place, candidate) in self.candidates.iter_mut().enumerate() {
            let of_baseline = |rows: &Vec<Vec<Option<f64>>>| rows.first()?.get(place + 1).copied().flatten();
            candidate.similarity =
                found.matrices.iter().map(|(name, rows)| (name.clone(), of_baseline(rows))).collect();
        }
        self.similarities = Some(found);
    }

    /// A candidate with its result and that of the baseline.
    pub fn pairs(&self) -> impl Iterator<Item = Pair<'_>> {
        let baseline = self.checkpoints.first();
        let others = self.candidates.iter().zip(self.checkpoints.iter().skip(1));
        others.filter_map(move |(comparison, candidate)| {
            Some(Pair { comparison, baseline: &baseline?.result, candidate: &candidate.result })
        })
    }
}

/// Whether higher values of a metric are better; `None` where neither direction is.
pub fn higher_is_better(name: &str) -> Option<bool> {
    Metric::named(name)?.higher_is_better
}

fn verdict(name: &str, difference: &Difference, adjusted_p_value: f64) -> Option<Verdict> {
    let higher_is_better = higher_is_better(name)?;
    let [low, high] = difference.interval?;
    if (low <= 0.0 && high >= 0.0) || adjusted_p_value > 1.0 - LEVEL + 1e-12 {
        return Some(Verdict::NoDifferenceShown);
    }
    Some(if (low > 0.0) == higher_is_better { Verdict::Better } else { Verdict::Worse })
}

/// For each metric the checkpoint that is best, the first of several.
fn best(checkpoints: &[Checkpoint]) -> IndexMap<String, String> {
    let Some(first) = checkpoints.first() else { return IndexMap::new() };
    let best_by = |name: &String| {
        let sign = if higher_is_better(name)? { 1.0 } else { -1.0 };
        let value = |checkpoint: &Checkpoint| Some(sign * checkpoint.result.metrics.get(name).copied().flatten()?);
        let mut best: Option<(f64, &Checkpoint)> = None;
        for checkpoint in checkpoints {
            if let Some(value) = value(checkpoint)
                && best.is_none_or(|(most, _)| value > most)
            {
                best = Some((value, checkpoint));
            }
        }
        best.map(|(_, checkpoint)| (name.clone(), checkpoint.name.clone()))
    };
    first.result.metrics.keys().filter_map(best_by).collect()
}

fn warnings(checkpoints: &[Checkpoint], candidates: &[CandidateComparison]) -> Vec<String> {
    let mut warnings = Vec::new();
    for checkpoint in checkpoints {
        warnings.extend(checkpoint.result.warnings.iter().map(|warning| format!("{}: {warning}", checkpoint.name)));
    }
    for candidate in candidates {
        if !candidate.mismatches.is_empty() {
            warnings.push(format!(
                "{}: differs from the baseline in {}",
                candidate.name,
                candidate.mismatches.join("; ")
            ));
        }
    }
    if candidates.iter().any(|candidate| !candidate.paired) {
        let tested = candidates.iter().flat_map(|candidate| candidate.metrics.values()).any(|d| d.interval.is_some());
        warnings.push(if tested {
            "unpaired: only the spread of the baseline's result is known, not its rows, so intervals are wider"
                .to_owned()
        } else {
            "unpaired, and without intervals: the baseline was scored without --intervals".to_owned()
        });
    }
    warnings
}

/// A candidate and the baseline, as quantities are asked of them.
pub struct Pair<'a> {
    pub comparison: &'a CandidateComparison,
    pub baseline: &'a Evaluation,
    pub candidate: &'a Evaluation,
}

impl Pair<'_> {
    fn delta(&self, target: &Target) -> Option<f64> {
        Some(self.candidate.target(target)? - self.baseline.target(target)?)
    }

    fn interval_of_delta(&self, target: &Target) -> Option<[f64; 2]> {
        match &target.class {
            None => self.comparison.metrics.get(&target.metric)?.interval,
            Some(label) => {
                let class = self.comparison.classes.iter().find(|class| class.label == *label)?;
                match target.metric.as_str() {
                    "silhouette" => class.silhouette.interval,
                    "soft_silhouette" => class.soft_silhouette.interval,
                    _ => None,
                }
            }
        }
    }
}

impl Subject for Pair<'_> {
    fn number(&self, quantity: &Quantity) -> Option<f64> {
        match quantity {
            Quantity::Delta(target) => self.delta(target),
            Quantity::Relative(target) => {
                let baseline = self.baseline.target(target).filter(|baseline| *baseline != 0.0)?;
                Some(self.delta(target)? / baseline.abs())
            }
            Quantity::End { upper, of, difference: true } => {
                self.interval_of_delta(of).map(|[low, high]| if *upper { high } else { low })
            }
            Quantity::Similarity(name) => self.comparison.similarity.get(name).copied().flatten(),
            own => self.candidate.number(own),
        }
    }

    fn classes(&self) -> Vec<&str> {
        self.candidate.classes()
    }
}
