//! The third pass, for intervals: how the influence of the rows of each class varies.

use crate::data::Label;
use crate::error::{Error, Result};
use crate::evaluation::{Evaluation, IntervalMethod, Scored};
use crate::kernels::TakesInfluence;
use crate::metrics::StateKind;
use crate::partial::header::{Header, Part, StateSettings};
use crate::partial::moments::Moments;
use crate::partial::part::PartRows;
use crate::partial::pulls::IntervalScores;
use crate::partial::scores::{Scores, other_classes};
use crate::partial::table::{StateColumn, StateTable, label_of_text, malformed};
use crate::progress::Progress;
use crate::statistics::normal_interval;
use crate::uncertainty::{ClassUncertainty, SILHOUETTES, sums};

/// How the influence of the rows of each class on the means of scores varies, of a part of the rows or of several parts:
/// standard errors follow from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Influence {
    header: Header,
    /// Those of the moments.
    labels: Vec<Label>,
    /// The rows of each class here.
    counts: Vec<u64>,
    /// For each metric that has an interval the terms of its rows by class.
    metrics: Vec<(String, Vec<Deviations>)>,
    /// For each silhouette, where these are known, the terms in the mean of each class: K x K, the classes that the means
    /// are of first.
    of_classes: Vec<Vec<Deviations>>,
}

/// The mean of some terms, and the sum of their squared deviations from it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Deviations {
    mean: f64,
    squares: f64,
}

impl Deviations {
    fn of(terms: impl ExactSizeIterator<Item = f64> + Clone) -> Self {
        let rows = terms.len();
        if rows == 0 {
            return Deviations::default();
        }
        let mean = terms.clone().sum::<f64>() / rows as f64;
        Deviations { mean, squares: terms.map(|term| (term - mean) * (term - mean)).sum() }
    }

    /// Chan, Golub and LeVeque (1983). `rows` are the numbers of terms here and there.
    fn merge(&mut self, other: &Deviations, rows: [u64; 2]) {
        let [own, others] = rows.map(|rows| rows as f64);
        if others == 0.0 {
            return;
        }
        let apart = other.mean - self.mean;
        let share = others / (own + others);
        self.mean += share * apart;
        self.squares += other.squares + own * share * (apart * apart);
    }

    /// The variance of the sum of so many terms, where rows are drawn again: as [`crate::statistics::Strata`] finds it.
    fn variance_of_sum(&self, rows: u64) -> f64 {
        // The only row of a class has nothing to vary with.
        if rows > 1 { self.squares * (rows as f64 / (rows - 1) as f64) } else { 0.0 }
    }
}

/// Takes the influence of the rows of each class on the mean of one class.
struct OfClass {
    /// The number of rows of that class.
    divisor: f64,
    by_class: Vec<Deviations>,
}

impl TakesInfluence for OfClass {
    fn take(&mut self, _rows: &[usize], influence: &[f64]) {
        self.by_class.push(Deviations::of(influence.iter().map(|value| value / self.divisor)));
    }
}

impl Influence {
    /// The influence of the rows of a part, from the moments and the scores of all parts.
    ///
    /// # Errors
    /// Scores of other moments, of some parts or without the sums for intervals; a part that they are not of, and what
    /// reading rows reports.
    pub fn of_part(part: &PartRows<'_>, moments: &Moments, scores: &Scores, progress: &dyn Progress) -> Result<Self> {
        let influence = Influence::of_piece(part, moments, scores, progress)?;
        influence.require_in(moments)?;
        Ok(influence)
    }

    /// As [`Influence::of_part`], of a piece of a part, as [`Scores::of_piece`].
    ///
    /// # Errors
    /// As [`Influence::of_part`], but for rows that the moments are not of.
    pub fn of_piece(part: &PartRows<'_>, moments: &Moments, scores: &Scores, progress: &dyn Progress) -> Result<Self> {
        scores.require_all_of(moments)?;
        let Some(pulls) = scores.pulls() else {
            let problem = "the scores do not hold the sums that intervals follow from";
            return Err(Error::setting(problem, "score all parts again, with intervals"));
        };
        let read = moments.read(part)?;
        let interval_scores = IntervalScores::new(moments)?;
        let settings = scores.settings().clone();
        let classes = moments.classes();
        let rows = read.dataset.in_any_order(settings.precision)?;
        let taker = |&count: &usize| OfClass { divisor: count as f64, by_class: Vec::with_capacity(classes) };
        let mut takers: Vec<Vec<OfClass>> =
            (0..settings.class_intervals(classes)).map(|_| moments.counts.iter().map(taker).collect()).collect();
        let kernel = moments.closed_form(&rows, progress)?;
        let found = kernel.part_influence(&interval_scores.values(), &pulls.0, &mut takers)?;
        let sums = sums(&rows, &found);
        let (order, starts) = kernel.rows_by_class();
        let by_class = |name: &str| -> Option<Vec<Deviations>> {
            let terms = sums.get(name)?.terms(rows.len());
            let of_class = |ends: &[usize]| Deviations::of(order[ends[0]..ends[1]].iter().map(|&row| terms[row]));
            Some(starts.windows(2).map(of_class).collect())
        };
        let metrics = settings.with_intervals().filter_map(|name| Some((name.clone(), by_class(&name)?))).collect();
        let counts = starts.windows(2).map(|ends| (ends[1] - ends[0]) as u64).collect();
        let of_classes =
            takers.into_iter().map(|takers| takers.into_iter().flat_map(|taker| taker.by_class).collect()).collect();
        let mut header = read.header(StateKind::Influence, settings, part)?;
        header.moments = Some(moments.checksum()?);
        header.scores = Some(scores.checksum()?);
        Ok(Influence { header, labels: moments.labels.clone(), counts, metrics, of_classes })
    }

    /// Adds the rows of other parts.
    ///
    /// # Errors
    /// Other settings, moments or scores; a part that is in both.
    pub fn merge(&mut self, other: Influence) -> Result<()> {
        self.header.merge(other.header.clone())?;
        self.add(&other)
    }

    /// Adds the rows of a piece of the same part, as [`Moments::join`] does.
    ///
    /// # Errors
    /// Other settings, moments or scores; states of several parts, or of parts of different names.
    pub fn join(&mut self, piece: Influence) -> Result<()> {
        self.header.join(piece.header.clone())?;
        self.add(&piece)
    }

    /// Adds the rows of a state whose header was added before.
    fn add(&mut self, other: &Influence) -> Result<()> {
        let names = |influence: &Influence| influence.metrics.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        if self.labels != other.labels || names(self) != names(other) {
            return Err(other_classes(self.header.kind));
        }
        let counts: Vec<[u64; 2]> =
            self.counts.iter().zip(&other.counts).map(|(&own, &others)| [own, others]).collect();
        let series = self.metrics.iter_mut().map(|(_, series)| series).chain(&mut self.of_classes);
        let others = other.metrics.iter().map(|(_, series)| series).chain(&other.of_classes);
        for (own, others) in series.zip(others) {
            for ((own, others), counts) in own.iter_mut().zip(others).zip(counts.iter().cycle()) {
                own.merge(others, *counts);
            }
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, others)| *own += others);
        Ok(())
    }

    /// Checks that the moments are of these parts, as [`Scores::require_in`] does.
    ///
    /// # Errors
    /// A part that the moments are not of, or whose rows or labels changed since.
    pub fn require_in(&self, moments: &Moments) -> Result<()> {
        self.header.require_in(&moments.header)
    }

    /// The settings of all parts.
    pub fn settings(&self) -> &StateSettings {
        &self.header.settings
    }

    /// The parts, in the order of their ids.
    pub fn parts(&self) -> &[Part] {
        &self.header.parts
    }

    /// The labels of the classes of all parts, in label order.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// The evaluation of all rows as [`Scores::finish`] makes it, with the intervals of its numbers: 1.96 standard errors
    /// to both sides.
    ///
    /// # Errors
    /// Moments or scores that the influence was not found with, and parts of which it is missing.
    pub fn finish(&self, scores: &Scores, moments: &Moments, matrix: bool) -> Result<Scored> {
        if self.header.moments != Some(moments.checksum()?) || self.header.scores != Some(scores.checksum()?) {
            let problem = "the influence was found with other moments or scores than these";
            return Err(Error::setting(problem, "take the moments and scores that the parts were given"));
        }
        self.header.require_parts_of(&moments.header)?;
        if self.labels != moments.labels {
            return Err(other_classes(StateKind::Influence));
        }
        let mut scored = scores.finish(moments, matrix)?;
        self.complete(&mut scored.evaluation);
        Ok(scored)
    }

    fn complete(&self, evaluation: &mut Evaluation) {
        let series = |name: &str| self.metrics.iter().find(|(known, _)| known == name).map(|(_, series)| &series[..]);
        for (name, value) in &evaluation.metrics {
            if let (Some(series), Some(value)) = (series(name), *value) {
                let error = self.standard_error(series);
                evaluation.intervals.insert(name.clone(), normal_interval(value, error));
                evaluation.standard_errors.insert(name.clone(), error);
            }
        }
        evaluation.interval_method = Some(IntervalMethod::StandardErrors);
        let classes = self.labels.len();
        if self.of_classes.is_empty() {
            evaluation.warnings.push(format!(
                "the {classes} classes have no intervals of their own, which would take {classes} sums for each of them"
            ));
        }
        let rows: u64 = self.counts.iter().sum();
        for ((kind, id), of_classes) in SILHOUETTES.iter().enumerate().zip(&self.of_classes) {
            let overall = series(id).unwrap_or_default();
            for (class, of_class) in of_classes.chunks_exact(classes.max(1)).enumerate() {
                let standard_error = self.standard_error(of_class);
                let Some(evaluated) = evaluation.classes.get_mut(class) else { continue };
                let Some(mean) = evaluated.value(id).flatten() else { continue };
                // Terms are influence values over the number of all rows.
                let deviation = overall.get(class).filter(|_| self.counts[class] > 1).map(|terms| {
                    (terms.variance_of_sum(self.counts[class]) / self.counts[class] as f64).sqrt() * rows as f64
                });
                let uncertainty = ClassUncertainty {
                    interval: normal_interval(mean, standard_error).map(|end| end.clamp(-1.0, 1.0)),
                    standard_error,
                    deviation,
                };
                *[&mut evaluated.silhouette_uncertainty, &mut evaluated.soft_silhouette_uncertainty][kind] =
                    Some(uncertainty);
            }
        }
    }

    /// That of a sum over all rows, from its terms by class.
    fn standard_error(&self, by_class: &[Deviations]) -> f64 {
        let variances = by_class.iter().zip(&self.counts).map(|(terms, &rows)| terms.variance_of_sum(rows));
        variances.sum::<f64>().sqrt()
    }

    /// As a table: a row for each class.
    ///
    /// # Errors
    /// None that influence can cause.
    pub fn to_table(&self) -> Result<StateTable> {
        let classes = self.labels.len();
        let pairs = |series: &[Deviations], width: usize| StateColumn::Vectors {
            width,
            values: series.iter().flat_map(|terms| [terms.mean, terms.squares]).collect(),
        };
        let mut columns = vec![
            ("label".to_owned(), StateColumn::Text(self.labels.iter().map(|label| Some(label.to_string())).collect())),
            ("count".to_owned(), StateColumn::Integers(self.counts.clone())),
        ];
        columns.extend(self.metrics.iter().map(|(name, series)| (name.clone(), pairs(series, 2))));
        for (id, series) in SILHOUETTES.iter().zip(&self.of_classes) {
            columns.push((format!("{id}_of_class"), pairs(series, 2 * classes)));
        }
        StateTable::new(&self.header, columns)
    }

    /// From a table.
    ///
    /// # Errors
    /// A table that is not one of influence, or contradicts itself; `name` is what errors call it.
    pub fn from_table(table: StateTable, name: &str) -> Result<Self> {
        let table = &table;
        let header: Header = table.header(StateKind::Influence, name)?;
        let labels = table.texts("label", name)?;
        let classes = labels.len();
        let labels: Vec<Label> = labels
            .iter()
            .map(|text| label_of_text(text.as_deref()?, header.settings.label_type))
            .collect::<Option<_>>()
            .ok_or_else(|| malformed(name, "a label is not of the kind that its header names"))?;
        let counts = table.integers("count", name)?.to_vec();
        let total = counts.iter().try_fold(0_u64, |total, &count| total.checked_add(count));
        if total != Some(header.rows()) || classes == 0 {
            return Err(malformed(name, "its classes contradict its header"));
        }
        let series = |column: &str, width: usize| -> Result<Vec<Deviations>> {
            let (pairs, _) = table.vectors(column, width, name)?.as_chunks::<2>();
            if pairs.iter().any(|[_, squares]| *squares < 0.0) {
                return Err(malformed(name, "a sum of squares is negative"));
            }
            Ok(pairs.iter().map(|&[mean, squares]| Deviations { mean, squares }).collect())
        };
        let has = |id: &String| table.columns().any(|(column, _)| column == id);
        let of_metric = |id: String| Ok((id.clone(), series(&id, 2)?));
        // Some are undefined for these classes.
        let metrics = header.settings.with_intervals().filter(|id| has(id)).map(of_metric).collect::<Result<_>>()?;
        let kinds = &SILHOUETTES[..header.settings.class_intervals(classes)];
        let of_classes = kinds.iter().map(|id| series(&format!("{id}_of_class"), 2 * classes));
        let of_classes = of_classes.collect::<Result<_>>()?;
        Ok(Influence { metrics, of_classes, labels, counts, header })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviations_of_pieces_are_those_of_all_terms() {
        // 1, 2, 4, 9: mean 4, squared deviations 9 + 4 + 0 + 25.
        let terms = [1.0, 2.0, 4.0, 9.0];
        let all = Deviations::of(terms.into_iter());
        assert_eq!((all.mean, all.squares), (4.0, 38.0));
        let mut merged = Deviations::of(terms[..1].iter().copied());
        merged.merge(&Deviations::of(terms[1..1].iter().copied()), [1, 0]);
        merged.merge(&Deviations::of(terms[1..].iter().copied()), [1, 3]);
        assert!((merged.mean - 4.0).abs() < 1e-15 && (merged.squares - 38.0).abs() < 1e-13, "{merged:?}");
        let mut first = Deviations::default();
        first.merge(&all, [0, 4]);
        assert_eq!(first, all);
        // n / (n - 1) times the sum of squares, as of a sum of four draws.
        assert!((all.variance_of_sum(4) - 38.0 * 4.0 / 3.0).abs() < 1e-13);
        assert_eq!(all.variance_of_sum(1), 0.0);
    }
}
