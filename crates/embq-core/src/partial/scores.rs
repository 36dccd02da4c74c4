//! The second pass: sums of the scores of rows, for which the moments of all rows are known.

use std::collections::HashMap;

use crate::data::{Dataset, Label};
use crate::error::{Error, Result};
use crate::evaluation::{self, RowScores, Scored, Settings};
use crate::metrics::mean::WeightedMean;
use crate::metrics::{
    NearestTotals, Need, RowMean, ScoreTotals, SimplifiedTotals, Spread, SpreadTotals, StateKind, Totals, measure,
};
use crate::partial::header::{Header, Part, StateSettings};
use crate::partial::moments::Moments;
use crate::partial::part::PartRows;
use crate::partial::pulls::PullSums;
use crate::partial::table::{Checksum, StateColumn, StateTable, label_of_text, malformed};
use crate::progress::{NoProgress, Progress};

/// Sums of the scores of the rows of a part, or of several parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    header: Header,
    /// Those of the moments.
    labels: Vec<Label>,
    totals: Totals,
    /// What intervals follow from.
    pulls: Option<PullSums>,
    /// Of the table.
    checksum: Checksum,
}

/// What the second pass keeps besides sums of scores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The scores of each row.
    pub rows: bool,
    /// The sums that intervals follow from, for the third pass.
    pub intervals: bool,
}

impl Scores {
    /// The scores of a part whose rows are among those of the moments, and where they are kept those of each row, whose
    /// classes are those of the moments.
    ///
    /// # Errors
    /// A part that the moments are not of, values that have no distance, missing labels, and what reading rows reports.
    pub fn of_part<'e>(
        part: &PartRows<'e>,
        moments: &Moments,
        kept: Kept,
        progress: &dyn Progress,
    ) -> Result<(Self, Option<(Dataset<'e>, RowScores)>)> {
        let (scores, rows) = Scores::of_piece(part, moments, kept, progress)?;
        scores.require_in(moments)?;
        Ok((scores, rows))
    }

    /// As [`Scores::of_part`], of a piece of a part: which rows the part has is only known once all of its pieces are
    /// [joined](Scores::join).
    ///
    /// # Errors
    /// As [`Scores::of_part`], but for rows that the moments are not of.
    pub fn of_piece<'e>(
        part: &PartRows<'e>,
        moments: &Moments,
        kept: Kept,
        progress: &dyn Progress,
    ) -> Result<(Self, Option<(Dataset<'e>, RowScores)>)> {
        moments.require_silhouette()?;
        let settings = StateSettings { intervals: kept.intervals, ..moments.settings().clone() };
        let read = moments.read(part)?;
        let dataset = &read.dataset;
        let own = Settings { rows: kept.rows, ..settings.settings() };
        let work = moments.work(dataset, own.measuring(settings.precision), progress)?;
        let totals = work.totals()?;
        let rows = if kept.rows { Some(RowScores::new(&work.class_distances()?.rows)) } else { None };
        drop(work);
        let pulls = if kept.intervals { Some(PullSums::new(dataset, moments, progress)?) } else { None };
        let mut header = read.header(StateKind::Scores, settings, part)?;
        header.moments = Some(moments.checksum()?);
        let scores = Scores { header, labels: moments.labels.clone(), totals, pulls, checksum: Checksum::default() };
        Ok((scores, rows.map(|rows| (read.dataset, rows))))
    }

    /// Adds the rows of other parts.
    ///
    /// # Errors
    /// Other settings or moments; a part that is in both.
    pub fn merge(&mut self, other: Scores) -> Result<()> {
        self.header.merge(other.header.clone())?;
        self.add(&other)
    }

    /// Adds the rows of a piece of the same part, as [`Moments::join`] does.
    ///
    /// # Errors
    /// Other settings or moments; states of several parts, or of parts of different names.
    pub fn join(&mut self, piece: Scores) -> Result<()> {
        self.header.join(piece.header.clone())?;
        self.add(&piece)
    }

    /// Adds the rows of a state whose header was added before.
    fn add(&mut self, other: &Scores) -> Result<()> {
        if self.labels != other.labels {
            return Err(other_classes(StateKind::Scores));
        }
        self.checksum = Checksum::default();
        self.totals.merge(&other.totals);
        if let (Some(own), Some(others)) = (&mut self.pulls, &other.pulls) {
            own.merge(others);
        }
        Ok(())
    }

    /// Checks that the moments are of these parts, which is only known once all pieces of a part are joined.
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

    /// The evaluation of all rows, and with `matrix` the mean distances between their classes. It has no scores of rows.
    ///
    /// # Errors
    /// Moments that the scores were not made with, and parts of which the scores are missing.
    pub fn finish(&self, moments: &Moments, matrix: bool) -> Result<Scored> {
        self.require_all_of(moments)?;
        finished(moments, self.totals.clone(), matrix)
    }

    /// Checks that these are the scores of all parts that the moments are of.
    ///
    /// # Errors
    /// Moments that the scores were not made with, and parts of which the scores are missing.
    pub(crate) fn require_all_of(&self, moments: &Moments) -> Result<()> {
        if self.header.moments != Some(moments.checksum()?) {
            let problem = "the scores were made with other moments than these";
            return Err(Error::setting(problem, "take the moments that the parts were scored with"));
        }
        if self.labels != moments.labels {
            return Err(other_classes(StateKind::Scores));
        }
        self.header.require_parts_of(&moments.header)
    }

    /// For each class and other class the number of rows of negative silhouette that are nearest to the other.
    pub(crate) fn confusions(&self) -> HashMap<(u32, u32), usize> {
        let lists = self.totals.scores.iter().flat_map(|scores| scores.confusions.iter().zip(0..));
        // Without weights they are numbers of rows.
        let pairs =
            lists.flat_map(|(list, class)| list.iter().map(move |&(other, rows)| ((class, other), rows as usize)));
        pairs.collect()
    }

    /// What intervals follow from, where it was kept.
    pub(crate) fn pulls(&self) -> Option<&PullSums> {
        self.pulls.as_ref()
    }

    /// The checksum of the table.
    pub(crate) fn checksum(&self) -> Result<String> {
        self.checksum.get(|| Ok(self.to_table()?.checksum()))
    }

    /// As a table: a row for each class, and one without a label for all rows.
    ///
    /// # Errors
    /// None that scores can cause.
    pub fn to_table(&self) -> Result<StateTable> {
        let mut columns = Columns { classes: self.labels.len(), columns: Vec::new() };
        let labels = self.labels.iter().map(|label| Some(label.to_string()));
        columns.push("label", StateColumn::Text(labels.chain([None]).collect()));
        let Totals { scores, spread, radii, simplified, nearest, along } = &self.totals;
        if let Some(scores) = scores {
            columns.mean("silhouette", &scores.silhouette.by_class, scores.silhouette.over_rows);
            columns.mean("negative_share", &scores.negative_share.by_class, scores.negative_share.over_rows);
            columns.mean("soft_silhouette", &scores.soft_silhouette.by_class, scores.soft_silhouette.over_rows);
            columns.mean("b", &[], scores.b);
            columns.mean("effective_competitors", &[], scores.effective_competitors);
            let lists = |value: fn(&(u32, f64)) -> u64| {
                let lists = scores.confusions.iter().map(|list| list.iter().map(value).collect());
                StateColumn::Lists(lists.chain([Vec::new()]).collect())
            };
            columns.push("confused_with", lists(|&(class, _)| u64::from(class)));
            // Without weights they are numbers of rows.
            columns.push("confused_rows", lists(|&(_, weight)| weight as u64));
            let own = spread.iter().flat_map(|spread| &spread.own_distances);
            let means: Vec<WeightedMean> = own.clone().map(|own| own.mean).collect();
            columns.mean("a", &means, scores.a);
            columns.numbers("a_std", own.map(|own| own.deviation).collect());
        }
        if let Some(spread) = spread {
            columns.mean("radius", &spread.radius, WeightedMean::default());
            let largest = spread.largest_radius.iter().map(|radius| radius.unwrap_or(0.0));
            columns.numbers("largest_radius", largest.collect());
        }
        if let Some(radii) = radii {
            columns.mean("euclidean_radius", radii, WeightedMean::default());
        }
        if let Some(along) = along {
            columns.mean("squares_between", along, WeightedMean::default());
        }
        if let Some(nearest) = nearest {
            columns.mean("nearest_mean", &[], nearest.nearest);
            columns.mean("nearest_mean_left_out", &[], nearest.left_out);
        }
        if let Some(simplified) = simplified {
            columns.mean("simplified_silhouette", &[], simplified.silhouette);
            for (name, count) in [
                ("simplified_coinciding", simplified.coinciding),
                ("simplified_undefined", simplified.undefined),
                ("simplified_rows", simplified.rows),
            ] {
                let zeros = std::iter::repeat_n(0, self.labels.len());
                columns.push(name, StateColumn::Integers(zeros.chain([count]).collect()));
            }
        }
        let d = self.header.settings.dimensions;
        columns.columns.extend(self.pulls.iter().flat_map(|pulls| pulls.columns(self.labels.len(), d)));
        StateTable::new(&self.header, columns.columns)
    }

    /// From a table.
    ///
    /// # Errors
    /// A table that is not one of scores, or contradicts itself; `name` is what errors call it.
    pub fn from_table(table: StateTable, name: &str) -> Result<Self> {
        let table = &table;
        let header: Header = table.header(StateKind::Scores, name)?;
        let labels = table.texts("label", name)?;
        let classes = labels.len().saturating_sub(1);
        let labels: Vec<Label> = labels[..classes]
            .iter()
            .map(|text| label_of_text(text.as_deref()?, header.settings.label_type))
            .collect::<Option<_>>()
            .ok_or_else(|| malformed(name, "a label is not of the kind that its header names"))?;
        let read = Reader { table, classes, name };
        let settings = header.settings.settings();
        let selected = |ids: &[&str]| ids.iter().any(|id| settings.metrics.contains(id));
        let (mut scores, mut spread) = (None, None);
        if settings.metrics.needs(Need::ClassDistances) {
            let own = read.mean("a")?;
            scores = Some(ScoreTotals {
                silhouette: read.mean("silhouette")?,
                negative_share: read.mean("negative_share")?,
                soft_silhouette: read.mean("soft_silhouette")?,
                a: own.over_rows,
                b: read.mean("b")?.over_rows,
                effective_competitors: read.mean("effective_competitors")?.over_rows,
                confusions: read.confusions()?,
            });
            let radius = read.mean("radius")?.by_class;
            let largest = table.numbers("largest_radius", name)?;
            let largest = radius.iter().zip(largest).map(|(mean, &largest)| mean.value().map(|_| largest));
            let own = own.by_class.into_iter().zip(table.numbers("a_std", name)?);
            spread = Some(SpreadTotals {
                largest_radius: largest.collect(),
                radius,
                own_distances: own.map(|(mean, &deviation)| Spread { mean, deviation }).collect(),
            });
        }
        let last =
            |column: &str| -> Result<u64> { Ok(table.integers(column, name)?.last().copied().unwrap_or_default()) };
        let simplified = || -> Result<SimplifiedTotals> {
            Ok(SimplifiedTotals {
                silhouette: read.mean("simplified_silhouette")?.over_rows,
                coinciding: last("simplified_coinciding")?,
                undefined: last("simplified_undefined")?,
                rows: last("simplified_rows")?,
            })
        };
        let nearest = || -> Result<NearestTotals> {
            Ok(NearestTotals {
                nearest: read.mean("nearest_mean")?.over_rows,
                left_out: read.mean("nearest_mean_left_out")?.over_rows,
            })
        };
        let by_class = |column: &str| Ok(read.mean(column)?.by_class);
        let has_between = table.columns().any(|(column, _)| column == "squares_between");
        Ok(Scores {
            totals: Totals {
                scores,
                spread,
                radii: selected(&["davies_bouldin"]).then(|| by_class("euclidean_radius")).transpose()?,
                simplified: selected(&["simplified_silhouette"]).then(simplified).transpose()?,
                nearest: selected(&["nc4", "ncc_accuracy"]).then(nearest).transpose()?,
                // Missing where all class means coincide.
                along: has_between.then(|| by_class("squares_between")).transpose()?,
            },
            pulls: if header.settings.intervals {
                Some(PullSums::of_table(table, &header.settings, classes, name)?)
            } else {
                None
            },
            checksum: table.known_checksum(),
            labels,
            header,
        })
    }
}

impl Moments {
    /// The evaluation of all rows, where every metric follows from moments alone. It has no scores of rows.
    ///
    /// # Errors
    /// A metric that is made of the scores of rows.
    pub fn finish(&self) -> Result<Scored> {
        let settings = self.settings().settings();
        if let Some(metric) = settings.metrics.iter().find(|metric| metric.merges_from() != Some(StateKind::Moments)) {
            let problem = format!("{} is made of the scores of rows, not of moments alone", metric.id);
            return Err(Error::setting(problem, "score all parts with the merged moments, and merge these scores"));
        }
        finished(self, Totals::default(), false)
    }
}

/// A state that cannot be of the moments that it names.
pub(crate) fn other_classes(kind: StateKind) -> Error {
    let problem = format!("the {} {} of other classes than the moments", kind.name(), kind.of("is", "are"));
    Error::setting(problem, "make it of all parts again")
}

/// The evaluation of rows with these moments and totals.
fn finished(moments: &Moments, totals: Totals, matrix: bool) -> Result<Scored> {
    let header = &moments.header;
    let precision = header.settings.precision;
    let settings = Settings { matrix, ..header.settings.settings() };
    let whole = moments.whole()?;
    moments.require_silhouette()?;
    if matrix && totals.spread.is_none() {
        let problem = "the distances between classes are measured with silhouettes, which the scores do not hold";
        return Err(Error::setting(problem, "add silhouette to the metrics of all parts"));
    }
    let within: Vec<Option<f64>> =
        totals.spread.iter().flat_map(|spread| &spread.own_distances).map(|own| own.mean.value()).collect();
    let work = moments.work(&whole, settings.measuring(precision), &NoProgress)?.of_totals(totals);
    let measures = measure(&work)?;
    let matrix = if matrix { work.class_distances()?.geometry.matrix.clone() } else { None };
    let mut warnings = whole.labels().notes(whole.label_origin());
    warnings.extend(header.require_named_labels(&moments.labels)?);
    warnings.extend(evaluation::warnings(&whole, &settings, &measures));
    let mut evaluation = evaluation::document(
        &whole,
        Default::default(),
        &settings,
        header.settings.temperature,
        precision,
        measures,
        warnings,
    )?;
    for input in &mut evaluation.inputs {
        input.rows = usize::try_from(header.stored_rows()).unwrap_or(usize::MAX);
        input.dtype = header.settings.dtype.name().to_owned();
    }
    if let Some(labels) = &mut evaluation.labels {
        labels.blake3 = moments.labels_hash();
    }
    evaluation.excluded = header.excluded;
    Ok(Scored {
        evaluation,
        rows: RowScores::default(),
        matrix: matrix.map(|matrix| evaluation::with_diagonal(&matrix, &within)),
        terms: Default::default(),
        class_terms: Vec::new(),
        pair_curves: None,
    })
}

/// The columns of a table on the way.
struct Columns {
    classes: usize,
    columns: Vec<(String, StateColumn)>,
}

impl Columns {
    fn push(&mut self, name: &'static str, column: StateColumn) {
        self.columns.push((name.to_owned(), column));
    }

    /// The means of classes, none of which is 0 of weight 0, and that of all rows.
    fn mean(&mut self, name: &'static str, by_class: &[WeightedMean], over_rows: WeightedMean) {
        let none = std::iter::repeat_n(WeightedMean::default(), self.classes - by_class.len());
        let means = by_class.iter().copied().chain(none).chain([over_rows]);
        self.push(name, StateColumn::Vectors { width: 3, values: means.flat_map(WeightedMean::parts).collect() });
    }

    /// A number for each class.
    fn numbers(&mut self, name: &'static str, mut by_class: Vec<f64>) {
        by_class.resize(self.classes + 1, 0.0);
        self.push(name, StateColumn::Numbers(by_class));
    }
}

/// Reads the columns of a table.
struct Reader<'t> {
    table: &'t StateTable,
    classes: usize,
    name: &'t str,
}

impl Reader<'_> {
    fn mean(&self, column: &str) -> Result<RowMean> {
        let (triples, _) = self.table.vectors(column, 3, self.name)?.as_chunks::<3>();
        if triples.iter().any(|[_, _, weight]| *weight < 0.0) {
            return Err(malformed(self.name, &format!("column '{column}' holds a negative weight")));
        }
        let mut by_class: Vec<WeightedMean> = triples.iter().copied().map(WeightedMean::from_parts).collect();
        let over_rows = by_class.pop().unwrap_or_default();
        Ok(RowMean { over_rows, by_class })
    }

    fn confusions(&self) -> Result<Vec<Vec<(u32, f64)>>> {
        let classes = self.table.lists("confused_with", self.name)?;
        let rows = self.table.lists("confused_rows", self.name)?;
        let is_sound = |(classes, rows): (&Vec<u64>, &Vec<u64>)| {
            classes.len() == rows.len()
                && classes.is_sorted_by(|left, right| left < right)
                && classes.last().is_none_or(|&last| last < self.classes as u64)
        };
        if !classes.iter().zip(rows).all(is_sound) {
            return Err(malformed(self.name, "its confusions contradict its classes"));
        }
        let pair = |(&class, &rows): (&u64, &u64)| (class as u32, rows as f64);
        let lists = classes.iter().zip(rows).take(self.classes);
        Ok(lists.map(|(classes, rows)| classes.iter().zip(rows).map(pair).collect()).collect())
    }
}
