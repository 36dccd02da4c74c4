//! Embeddings and labels together, checked: what every metric is computed from.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::value_scan::invalid_rows;
use crate::data::{
    DatasetBuilder, Element, EmbeddingRows, IntoLabel, Label, LabelColumn, LabelType, Labels, Origin, Precision,
    RowWatch, SelectedRows, ValueScan, drawn_by_class,
};
use crate::distance::Distance;
use crate::error::{Cure, Error, Result};

/// Positive weights, one for each row of the embeddings as stored.
#[derive(Clone, Debug)]
pub struct RowWeights {
    /// Where they came from.
    pub origin: Origin,
    /// The weights.
    pub values: Vec<f64>,
}

/// Which rows take part.
///
/// Rows are left out in this order: by label (`ignore_labels`, `include`, `exclude`), without a label, with values that
/// have no distance, of classes that are then too small.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RowChoice {
    /// Labels (as text) whose rows are left out; one that no row has is told as a warning.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ignore_labels: Vec<String>,
    /// The only labels whose rows take part; empty is all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub include: Vec<String>,
    /// Labels whose rows are left out; one that no row has is an error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclude: Vec<String>,
    /// Whether rows with NaN or infinite values, and zero vectors under cosine, are left out instead of an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drop_invalid: bool,
    /// Whether rows without a label are left out instead of an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub drop_null_labels: bool,
    /// Classes with fewer rows are left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_class_size: Option<usize>,
    /// How many rows are scored, drawn class by class; their distances are to all rows that take part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subsample: Option<usize>,
}

impl RowChoice {
    /// Whether labels decide which rows take part.
    pub fn is_by_label(&self) -> bool {
        let named = [&self.ignore_labels, &self.include, &self.exclude];
        named.into_iter().any(|labels| !labels.is_empty()) || self.drop_null_labels || self.min_class_size.is_some()
    }
}

/// Which rows take part, and what else comes with them.
#[derive(Clone, Debug, Default)]
pub struct DatasetOptions {
    pub choice: RowChoice,
    /// Row weights.
    pub weights: Option<RowWeights>,
    /// Seed of the subsample.
    pub seed: u64,
}

/// How many rows were left out, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Excluded {
    /// Rows with NaN or infinite values, and zero vectors under cosine.
    pub invalid: usize,
    /// Rows whose label was to be ignored.
    pub ignored_labels: usize,
    /// Rows of classes that were excluded or not included.
    #[serde(default)]
    pub excluded_classes: usize,
    /// Rows without a label.
    #[serde(default)]
    pub null_labels: usize,
    /// Classes with too few rows.
    #[serde(default)]
    pub small_classes: usize,
    /// Rows of these classes.
    #[serde(default)]
    pub small_class_rows: usize,
}

impl Excluded {
    /// All rows that were left out.
    pub fn rows(&self) -> usize {
        self.invalid + self.ignored_labels + self.excluded_classes + self.null_labels + self.small_class_rows
    }
}

/// Rows with their labels. Values are checked in the first pass over them, by whoever makes it.
#[derive(Clone, Debug)]
pub struct Dataset<'e> {
    rows: SelectedRows<'e>,
    distance: Distance,
    /// Whether the rows were made bits, for the Hamming distance.
    bits: bool,
    labels: Labels,
    label_origin: Origin,
    label_type: LabelType,
    /// Whether the labels were given; if not, all rows have the same.
    has_labels: bool,
    weights: Weights,
    weight_origin: Option<Origin>,
    scored: Scored<'e>,
    choice: RowChoice,
    excluded: Excluded,
    warnings: Vec<String>,
}

/// The rows that get a score: all that take part, or a subsample of them.
#[derive(Clone, Debug)]
pub struct Scored<'e> {
    rows: SelectedRows<'e>,
    /// Their positions among the rows that take part, in order; `None` is all.
    positions: Option<Arc<[usize]>>,
    /// Of a subsample, for each class how many of its rows there are for one that is scored.
    shares: Option<Arc<[f64]>>,
}

impl<'e> Scored<'e> {
    fn all(rows: &SelectedRows<'e>) -> Self {
        Scored { rows: rows.clone(), positions: None, shares: None }
    }

    /// Some of the rows, drawn class by class.
    fn drawn(rows: &SelectedRows<'e>, labels: &Labels, wanted: usize, seed: u64) -> Result<Self> {
        let positions = subsample(labels, wanted, seed)?;
        let mut shares = vec![0.0; labels.classes()];
        positions.iter().for_each(|&row| shares[labels.codes()[row] as usize] += 1.0);
        shares.iter_mut().zip(labels.counts()).for_each(|(share, &count)| *share = count as f64 / *share);
        Ok(Scored { rows: rows.choose(&positions), positions: Some(positions.into()), shares: Some(shares.into()) })
    }

    /// The number of rows that get a score.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row gets a score.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The position, among the rows that take part, of the row scored as number `index`.
    pub fn position(&self, index: usize) -> usize {
        self.positions.as_ref().map_or(index, |positions| positions[index])
    }

    /// The positions of all scored rows, in order.
    pub fn positions(&self) -> impl ExactSizeIterator<Item = usize> + Clone + '_ {
        (0..self.len()).map(|index| self.position(index))
    }

    /// Whether not all rows are scored.
    pub fn is_subsample(&self) -> bool {
        self.positions.is_some()
    }

    /// The scored rows.
    pub fn rows(&self) -> &SelectedRows<'e> {
        &self.rows
    }
}

/// The weights of rows and classes.
#[derive(Clone, Debug)]
struct Weights {
    /// `None` where all rows weigh 1.
    rows: Option<Vec<f64>>,
    classes: Vec<f64>,
    /// For each class the row that holds almost all of its weight, if there is one.
    dominant: Vec<Option<Dominant>>,
}

#[derive(Clone, Copy, Debug)]
struct Dominant {
    row: usize,
    /// The weight of the other rows, summed without this one: the difference would have lost its digits.
    others: f64,
}

/// A row is dominant when the others of its class hold less than this share of the weight.
const DOMINATED_SHARE: f64 = 1e-3;

impl Weights {
    fn new(rows: Option<Vec<f64>>, labels: &Labels) -> Self {
        let Some(rows) = rows else {
            return Weights {
                rows,
                classes: labels.counts().iter().map(|&count| count as f64).collect(),
                dominant: vec![None; labels.classes()],
            };
        };
        let mut classes = vec![0.0; labels.classes()];
        for (&code, weight) in labels.codes().iter().zip(&rows) {
            classes[code as usize] += weight;
        }
        let mut dominant: Vec<Option<Dominant>> = vec![None; labels.classes()];
        for (row, (&code, weight)) in labels.codes().iter().zip(&rows).enumerate() {
            let class = code as usize;
            if labels.counts()[class] > 1 && classes[class] - weight < DOMINATED_SHARE * classes[class] {
                dominant[class] = Some(Dominant { row, others: 0.0 });
            }
        }
        for (row, (&code, weight)) in labels.codes().iter().zip(&rows).enumerate() {
            if let Some(dominant) = dominant[code as usize].as_mut().filter(|dominant| dominant.row != row) {
                dominant.others += weight;
            }
        }
        Weights { rows: Some(rows), classes, dominant }
    }
}

impl<'e> Dataset<'e> {
    /// Rows with their labels, for any distance between rows. `rows` are N x d float32 or float64 numbers, borrowed
    /// (`matrix.view()`, `&matrix`) or given away; `labels` are N integers, strings or booleans.
    ///
    /// ```
    /// use embq_core::Dataset;
    ///
    /// # fn main() -> embq_core::Result<()> {
    /// let rows = ndarray::array![[1.0, 0.1], [1.0, 0.3], [0.2, 1.0], [0.4, 1.0]];
    /// let dataset = Dataset::new(rows.view(), ["cat", "cat", "dog", "dog"])?;
    /// assert_eq!((dataset.len(), dataset.dimensions(), dataset.labels().classes()), (4, 2, 2));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Another number of labels than rows, no dimensions. Values are checked by whoever reads them first.
    pub fn new(rows: impl Into<EmbeddingRows<'e>>, labels: impl IntoIterator<Item: IntoLabel>) -> Result<Self> {
        Dataset::builder(rows, labels).build()
    }

    /// Rows without labels, for the metrics that need none.
    ///
    /// ```
    /// use embq_core::metrics::Selection;
    /// use embq_core::{Dataset, Settings, evaluate};
    ///
    /// # fn main() -> embq_core::Result<()> {
    /// let rows = ndarray::array![[3.0, 4.0], [0.0, 1.0], [6.0, 8.0]];
    /// let settings = Settings { metrics: Selection::parse(["health"])?, ..Settings::default() };
    /// let result = evaluate(&Dataset::unlabelled(rows.view())?, &settings)?;
    /// assert_eq!(result.metric("norm_max"), Some(10.0));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// No dimensions. Values are checked by whoever reads them first.
    pub fn unlabelled(rows: impl Into<EmbeddingRows<'e>>) -> Result<Self> {
        Dataset::without_labels(rows.into(), Distance::default(), &DatasetOptions::default())
    }

    /// As [`Dataset::join`], of rows without labels.
    ///
    /// # Errors
    /// As [`Dataset::join`], and a choice of rows by their labels.
    pub fn without_labels(
        embeddings: impl Into<Arc<EmbeddingRows<'e>>>,
        distance: Distance,
        options: &DatasetOptions,
    ) -> Result<Self> {
        let embeddings: Arc<EmbeddingRows<'e>> = embeddings.into();
        if options.choice.is_by_label() {
            return Err(Error::setting("rows are chosen by labels, but there are none", Cure::GiveLabels));
        }
        let column = LabelColumn::from_labels(std::iter::repeat_n(0, embeddings.rows()));
        Ok(Dataset { has_labels: false, ..Dataset::join(embeddings, &column, distance, options)? })
    }

    /// As [`Dataset::new`], with weights, a choice of rows, or a distance that has to be known beforehand.
    pub fn builder(
        rows: impl Into<EmbeddingRows<'e>>,
        labels: impl IntoIterator<Item: IntoLabel>,
    ) -> DatasetBuilder<'e> {
        DatasetBuilder::new(rows.into(), LabelColumn::from_labels(labels))
    }

    /// Joins embeddings and a label column for evaluation under `distance`, with everything checked but the values,
    /// which are not read here unless invalid rows are to be dropped.
    ///
    /// # Errors
    /// Row counts that differ, missing labels, unknown classes, bad weights, a precomputed matrix that is not square.
    pub fn join(
        embeddings: impl Into<Arc<EmbeddingRows<'e>>>,
        column: &LabelColumn,
        distance: Distance,
        options: &DatasetOptions,
    ) -> Result<Self> {
        Dataset::join_rows(embeddings.into(), column, distance, options, false)
    }

    /// As [`Dataset::join`], of a part of the rows: the classes that the options name may lie in other parts, and no row
    /// may take part.
    pub(crate) fn join_part(
        embeddings: impl Into<Arc<EmbeddingRows<'e>>>,
        column: &LabelColumn,
        distance: Distance,
        options: &DatasetOptions,
    ) -> Result<Self> {
        Dataset::join_rows(embeddings.into(), column, distance, options, true)
    }

    fn join_rows(
        mut embeddings: Arc<EmbeddingRows<'e>>,
        column: &LabelColumn,
        distance: Distance,
        options: &DatasetOptions,
        is_part: bool,
    ) -> Result<Self> {
        let bits = distance == Distance::Hamming;
        if bits {
            embeddings = Arc::new(embeddings.as_bits()?);
        }
        let distance = distance.computed();
        let rows = embeddings.rows();
        let name = embeddings.origin().to_string();
        let same_rows = |right: &Origin, right_rows: usize, what: &'static str| {
            if right_rows == rows {
                return Ok(());
            }
            Err(Error::RowCounts { left: name.clone(), left_rows: rows, right: right.to_string(), right_rows, what })
        };
        if embeddings.dimensions() == 0 {
            let expected = "at least one dimension";
            return Err(Error::Shape { name, expected, shape: vec![rows, 0] });
        }
        same_rows(column.origin(), column.len(), "label")?;
        if let Some(weights) = &options.weights {
            same_rows(&weights.origin, weights.values.len(), "weight")?;
            if let Some(row) = weights.values.iter().position(|weight| !(weight.is_finite() && *weight > 0.0)) {
                return Err(Error::Weight { name: weights.origin.to_string(), row, value: weights.values[row] });
            }
        }
        if distance == Distance::Precomputed && embeddings.dimensions() != rows {
            return Err(Error::NotADistanceMatrix {
                name,
                problem: format!("it has {rows} rows and {} columns", embeddings.dimensions()),
                cure: Cure::GiveDistanceMatrix,
            });
        }
        let choice = &options.choice;
        let (kept, excluded) = kept_rows(&embeddings, column, distance, choice, is_part)?;
        let labels = match &kept {
            Some(kept) => Labels::from_column(column, kept.iter().copied())?,
            None => Labels::from_column(column, 0..rows)?,
        };
        let weights = options.weights.as_ref().map(|weights| match &kept {
            Some(kept) => kept.iter().map(|&row| weights.values[row]).collect(),
            None => weights.values.clone(),
        });
        let weights = Weights::new(weights, &labels);
        let unknown = |ignored: &&String| !column.dictionary().iter().any(|label| label.to_string() == **ignored);
        let mut warnings = embeddings.notes().to_vec();
        warnings.extend(labels.notes(column.origin()));
        warnings.extend(
            choice
                .ignore_labels
                .iter()
                .filter(|ignored| !is_part && unknown(ignored))
                .map(|label| format!("no row of {} has the ignored label '{label}'", column.origin())),
        );
        let rows = SelectedRows::new(embeddings, kept);
        let scored = match choice.subsample {
            Some(wanted) if wanted < labels.codes().len() => Scored::drawn(&rows, &labels, wanted, options.seed)?,
            _ => Scored::all(&rows),
        };
        Ok(Dataset {
            rows,
            distance,
            bits,
            labels,
            label_origin: column.origin().clone(),
            label_type: column.label_type(),
            has_labels: true,
            weights,
            weight_origin: options.weights.as_ref().map(|weights| weights.origin.clone()),
            choice: RowChoice { subsample: scored.is_subsample().then_some(scored.len()), ..choice.clone() },
            scored,
            excluded,
            warnings,
        })
    }

    /// The same data, of which `wanted` rows are scored, drawn class by class; all of them if there are no more.
    ///
    /// # Errors
    /// Fewer rows than classes.
    pub(crate) fn drawn(&self, wanted: usize, seed: u64) -> Result<Self> {
        if wanted >= self.len() {
            return Ok(self.clone());
        }
        let scored = Scored::drawn(&self.rows, &self.labels, wanted, seed)?;
        let choice = RowChoice { subsample: Some(wanted), ..self.choice.clone() };
        Ok(Dataset { scored, choice, ..self.clone() })
    }

    /// Checks what a silhouette needs: 2 <= K <= N - 1.
    ///
    /// # Errors
    /// [`Error::TooFewClasses`] or [`Error::TooManyClasses`], which say which bound is broken.
    pub fn require_silhouette(&self) -> Result<()> {
        self.require_silhouette_of(self.len())
    }

    /// The same for so many rows, of which these are a part.
    pub(crate) fn require_silhouette_of(&self, rows: usize) -> Result<()> {
        let classes = self.labels.classes();
        if classes < 2 {
            return Err(Error::TooFewClasses { name: self.label_origin.to_string(), classes, rows });
        }
        if classes + 1 > rows {
            return Err(Error::TooManyClasses { name: self.label_origin.to_string(), classes, rows, bound: rows - 1 });
        }
        Ok(())
    }

    /// Checks every value in a pass of its own, for those who compute pair by pair.
    ///
    /// # Errors
    /// NaN or infinite values, zero vectors under cosine, values whose distances overflow.
    pub(crate) fn check_values<T: Element>(&self) -> Result<()> {
        self.check_values_for::<T>(self.distance)
    }

    /// As [`Dataset::check_values`], of values read in a precision that is known at run time.
    ///
    /// # Errors
    /// As [`Dataset::check_values`].
    pub(crate) fn check_values_in(&self, precision: Precision) -> Result<()> {
        match precision {
            Precision::F32 => self.check_values::<f32>(),
            Precision::F64 => self.check_values::<f64>(),
        }
    }

    /// As [`Dataset::check_values`], for another distance.
    pub(crate) fn check_values_for<T: Element>(&self, distance: Distance) -> Result<()> {
        let mut scan = ValueScan::new(&self.rows, distance);
        let mut buffer = Vec::new();
        self.rows.for_each_window::<T>(|window| {
            scan.add(window.range().start, window.rows(window.range(), &mut buffer)?);
            Ok(())
        })?;
        scan.finish::<T>()
    }

    /// The same data with all values in memory, for those who need rows out of order.
    ///
    /// # Errors
    /// What the source of the rows reports.
    pub(crate) fn in_memory(&self, precision: Precision) -> Result<Dataset<'static>> {
        let rows = match precision {
            Precision::F32 => self.rows.in_memory::<f32>()?,
            Precision::F64 => self.rows.in_memory::<f64>()?,
        };
        Ok(self.with_rows(rows))
    }

    /// The same data in a form whose rows can be read in any order: in memory, if their source has but one order.
    ///
    /// # Errors
    /// Errors from reading rows.
    pub(crate) fn in_any_order(&self, precision: Precision) -> Result<Cow<'_, Dataset<'e>>> {
        if self.embeddings().blocks().is_random_access() {
            return Ok(Cow::Borrowed(self));
        }
        Ok(Cow::Owned(self.in_memory(precision)?))
    }

    /// The same data with every value multiplied by 2^exponent.
    pub(crate) fn rescaled(&self, exponent: i32) -> Self {
        self.with_rows(self.rows.rescaled(exponent))
    }

    /// The same data with the same rows from elsewhere.
    fn with_rows<'r>(&self, rows: SelectedRows<'r>) -> Dataset<'r> {
        let scored = match &self.scored.positions {
            Some(positions) => Scored {
                rows: rows.choose(positions),
                positions: Some(Arc::clone(positions)),
                shares: self.scored.shares.clone(),
            },
            None => Scored::all(&rows),
        };
        Dataset {
            rows,
            distance: self.distance,
            bits: self.bits,
            labels: self.labels.clone(),
            label_origin: self.label_origin.clone(),
            label_type: self.label_type,
            has_labels: self.has_labels,
            weights: self.weights.clone(),
            weight_origin: self.weight_origin.clone(),
            scored,
            choice: self.choice.clone(),
            excluded: self.excluded,
            warnings: self.warnings.clone(),
        }
    }

    /// The same data under another distance.
    ///
    /// # Errors
    /// A distance that has to be known when rows are chosen: bits and distance matrices are other rows, and under cosine
    /// more rows are invalid.
    pub(crate) fn for_distance(&self, distance: Distance) -> Result<Cow<'_, Dataset<'e>>> {
        let (bits, computed) = (distance == Distance::Hamming, distance.computed());
        if (bits, computed) == (self.bits, self.distance) {
            return Ok(Cow::Borrowed(self));
        }
        let are_other_rows = |distance| match distance {
            Distance::Cosine | Distance::Euclidean | Distance::SqEuclidean | Distance::Manhattan => false,
            Distance::Hamming | Distance::Precomputed => true,
        };
        let made_for = if self.bits { Distance::Hamming } else { self.distance };
        let drops_others = computed.is_of_unit_vectors() != self.distance.is_of_unit_vectors();
        if are_other_rows(distance) || are_other_rows(made_for) || self.choice.drop_invalid && drops_others {
            return Err(Error::OtherDistance { made_for, asked: distance });
        }
        Ok(Cow::Owned(Dataset { distance: computed, ..self.clone() }))
    }

    /// The same rows as a part of more, which have these classes: codes are those of the whole, and so are the numbers of
    /// rows of classes. There are no weights.
    ///
    /// # Errors
    /// The first label of the rows that is not among the names, which are in label order.
    pub(crate) fn within(&self, names: &[Label], counts: &[usize]) -> std::result::Result<Self, Label> {
        let labels = self.labels.within(names, counts)?;
        Ok(Dataset { weights: Weights::new(None, &labels), labels, ..self.clone() })
    }

    /// The same rows, which the watch sees whenever a pass goes over them.
    pub(crate) fn watched(self, watch: Arc<dyn RowWatch>) -> Self {
        let scored = Scored { rows: self.scored.rows.watched(Arc::clone(&watch)), ..self.scored };
        Dataset { rows: self.rows.watched(watch), scored, ..self }
    }

    /// The distance that the rows were checked for.
    pub fn distance(&self) -> Distance {
        self.distance
    }

    /// Whether the rows are bits, whose distance is the share that differs.
    pub(crate) fn is_of_bits(&self) -> bool {
        self.bits
    }

    /// N: the rows that take part.
    pub fn len(&self) -> usize {
        self.labels.codes().len()
    }

    /// Whether no row takes part.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// d.
    pub fn dimensions(&self) -> usize {
        self.rows.dimensions()
    }

    /// The labels of the rows that take part.
    pub fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Whether the rows have labels; if not, they are all of one class.
    pub fn has_labels(&self) -> bool {
        self.has_labels
    }

    /// Where the labels came from.
    pub fn label_origin(&self) -> &Origin {
        &self.label_origin
    }

    /// The kind of the labels.
    pub fn label_type(&self) -> LabelType {
        self.label_type
    }

    /// What a user should know about how the rows were chosen.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The embeddings as stored.
    pub fn embeddings(&self) -> &EmbeddingRows<'e> {
        self.rows.embeddings()
    }

    /// The rows that take part.
    pub fn selected(&self) -> &SelectedRows<'e> {
        &self.rows
    }

    /// The rows that get a score.
    pub fn scored(&self) -> &Scored<'e> {
        &self.scored
    }

    /// Class and weight of each scored row, in order. In a subsample, each row stands for all rows of its class together
    /// with the others of its class, whatever their share in the draw.
    pub fn scored_members(&self) -> impl ExactSizeIterator<Item = (u32, f64)> + Clone + '_ {
        let shares = &self.scored.shares;
        self.scored.positions().map(move |row| {
            let code = self.labels.codes()[row];
            let share = shares.as_ref().map_or(1.0, |shares| shares[code as usize]);
            (code, share * self.weight(row))
        })
    }

    /// The scored rows (as numbers among the scored ones) class by class, in order within a class.
    pub(crate) fn scored_by_class(&self) -> Vec<usize> {
        let codes = self.labels.codes();
        let mut order: Vec<usize> = (0..self.scored.len()).collect();
        order.sort_by_key(|&index| codes[self.scored.position(index)]);
        order
    }

    /// The weights of the rows that take part; `None` where all weigh the same.
    pub fn weights(&self) -> Option<&[f64]> {
        self.weights.rows.as_deref()
    }

    /// The weight of a row; 1 where there are no weights.
    pub fn weight(&self, row: usize) -> f64 {
        self.weights.rows.as_ref().map_or(1.0, |weights| weights[row])
    }

    /// The sum of the weights of each class.
    pub fn class_weights(&self) -> &[f64] {
        &self.weights.classes
    }

    /// The sum of the weights of the other rows of a row's class; 0 for the only row of a class.
    pub fn weight_of_others(&self, row: usize) -> f64 {
        let class = self.labels.codes()[row] as usize;
        if self.labels.counts()[class] == 1 {
            return 0.0;
        }
        match self.weights.dominant[class] {
            Some(dominant) if dominant.row == row => dominant.others,
            _ => self.weights.classes[class] - self.weight(row),
        }
    }

    /// The rows that hold almost all the weight of their class, which has others. There are few or none.
    pub fn dominant_rows(&self) -> impl Iterator<Item = usize> + '_ {
        self.weights.dominant.iter().flatten().map(|dominant| dominant.row)
    }

    /// Where the weights came from, where there are any.
    pub fn weight_origin(&self) -> Option<&Origin> {
        self.weight_origin.as_ref()
    }

    /// How the rows were chosen.
    pub fn choice(&self) -> &RowChoice {
        &self.choice
    }

    /// What was left out.
    pub fn excluded(&self) -> Excluded {
        self.excluded
    }

    /// The number in the stored embeddings of a row that takes part.
    pub fn source_row(&self, row: usize) -> usize {
        self.rows.source_row(row)
    }

    /// A choice of rows as a data set of its own, all of them scored; its classes are those that occur in it.
    pub fn subset(&self, rows: &[usize]) -> Self {
        self.subset_with_labels(rows, self.labels.subset(rows))
    }

    /// As [`Dataset::subset`], with other labels for these rows.
    pub(crate) fn subset_with_labels(&self, rows: &[usize], labels: Labels) -> Self {
        let weights = self.weights().map(|weights| rows.iter().map(|&row| weights[row]).collect());
        let rows = self.rows.choose(rows);
        Dataset {
            distance: self.distance,
            bits: self.bits,
            weights: Weights::new(weights, &labels),
            labels,
            label_origin: self.label_origin.clone(),
            label_type: self.label_type,
            has_labels: self.has_labels,
            scored: Scored::all(&rows),
            rows,
            weight_origin: self.weight_origin.clone(),
            choice: self.choice.clone(),
            excluded: self.excluded,
            warnings: Vec::new(),
        }
    }

    /// The given rows as a contiguous block, as [`SelectedRows::rows`] gives it.
    ///
    /// # Errors
    /// What the source of the rows reports.
    pub fn rows<'a, T: Element>(&'a self, rows: Range<usize>, buffer: &'a mut Vec<T>) -> Result<&'a [T]> {
        self.rows.rows(rows, buffer)
    }
}

/// What becomes of the rows of a label.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Kept,
    Ignored,
    Excluded,
}

/// The rows that take part, or `None` if all do, and how many do not.
fn kept_rows(
    embeddings: &Arc<EmbeddingRows<'_>>,
    column: &LabelColumn,
    distance: Distance,
    choice: &RowChoice,
    is_part: bool,
) -> Result<(Option<Vec<usize>>, Excluded)> {
    let names: Vec<String> = column.dictionary().iter().map(Label::to_string).collect();
    for (included, wanted) in [(true, &choice.include), (false, &choice.exclude)] {
        if let Some(unknown) = wanted.iter().find(|wanted| !is_part && !names.contains(wanted)) {
            return Err(Error::UnknownClass {
                name: column.origin().to_string(),
                label: unknown.clone(),
                included,
                available: names,
            });
        }
    }
    let fate = |name: &String| match () {
        () if choice.ignore_labels.contains(name) => Fate::Ignored,
        () if choice.exclude.contains(name) => Fate::Excluded,
        () if !choice.include.is_empty() && !choice.include.contains(name) => Fate::Excluded,
        () => Fate::Kept,
    };
    let fates: Vec<Fate> = names.iter().map(fate).collect();
    let mut excluded = Excluded::default();
    let mut kept: Vec<usize> = Vec::new();
    for row in 0..column.len() {
        match column.code(row).map(|code| fates[code]) {
            Some(Fate::Kept) => kept.push(row),
            Some(Fate::Ignored) => excluded.ignored_labels += 1,
            Some(Fate::Excluded) => excluded.excluded_classes += 1,
            // With classes named, a row without a label belongs to none of them.
            None if choice.drop_null_labels || !choice.include.is_empty() => excluded.null_labels += 1,
            None => kept.push(row),
        }
    }
    if choice.drop_invalid {
        let rows = SelectedRows::new(Arc::clone(embeddings), (excluded.rows() > 0).then(|| kept.clone()));
        let invalid = match embeddings.element_type().precision() {
            Precision::F32 => invalid_rows::<f32>(&rows, distance)?,
            Precision::F64 => invalid_rows::<f64>(&rows, distance)?,
        };
        let mut invalid = invalid.into_iter();
        kept.retain(|_| invalid.next() != Some(true));
        excluded.invalid = column.len() - excluded.rows() - kept.len();
    }
    if let Some(least) = choice.min_class_size {
        let mut counts = vec![0; names.len()];
        kept.iter().filter_map(|&row| column.code(row)).for_each(|code| counts[code] += 1);
        let before = kept.len();
        kept.retain(|&row| column.code(row).is_none_or(|code| counts[code] >= least));
        excluded.small_classes = counts.iter().filter(|&&count| (1..least).contains(&count)).count();
        excluded.small_class_rows = before - kept.len();
    }
    if kept.is_empty() && excluded.rows() > 0 && !is_part {
        return Err(Error::setting(
            format!("no row of {} takes part: all {} are left out", column.origin(), column.len()),
            Cure::CheckRowChoice,
        ));
    }
    Ok(((excluded.rows() > 0).then_some(kept), excluded))
}

/// Rows drawn at random, from each class in proportion to its size and at least one.
///
/// # Errors
/// Fewer rows than classes.
fn subsample(labels: &Labels, wanted: usize, seed: u64) -> Result<Vec<usize>> {
    let classes = labels.classes();
    if wanted < classes {
        return Err(Error::Subsample { rows: wanted, classes });
    }
    Ok(drawn_by_class(labels.codes(), labels.counts(), wanted, seed))
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::data::{Embeddings, LabelColumnBuilder, LabelType};

    fn labels(values: &[i128]) -> LabelColumn {
        let mut builder = LabelColumnBuilder::new(LabelType::Integer);
        for &value in values {
            builder.push_integer(value);
        }
        builder.finish(Origin::new("labels.npy"))
    }

    fn dataset(
        matrix: ndarray::Array2<f64>,
        values: &[i128],
        distance: Distance,
        options: &DatasetOptions,
    ) -> Result<Dataset<'static>> {
        let embeddings = Embeddings::from_f64(Origin::new("x.npy"), matrix);
        let dataset = Dataset::join(embeddings, &labels(values), distance, options)?;
        dataset.check_values::<f64>()?;
        Ok(dataset)
    }

    fn options(choice: RowChoice) -> DatasetOptions {
        DatasetOptions { choice, ..Default::default() }
    }

    fn ignoring(label: &str) -> DatasetOptions {
        options(RowChoice { ignore_labels: vec![label.into()], ..Default::default() })
    }

    #[test]
    fn the_first_invalid_cell_is_named_with_its_row_in_the_file() {
        let matrix = array![[f64::NAN, 0.0], [1.0, 2.0], [3.0, f64::INFINITY], [f64::NAN, 1.0]];
        let options = ignoring("-1");
        let error = dataset(matrix, &[-1, 0, 1, 1], Distance::Euclidean, &options).unwrap_err();
        assert!(matches!(error, Error::NonFinite { row: 2, column: 1, rows: 2, .. }), "{error}");
    }

    #[test]
    fn zero_vectors_are_refused_by_cosine_only() {
        let matrix = array![[0.0, 0.0], [1.0, 2.0], [1.0, 1.0]];
        let options = DatasetOptions::default();
        let error = dataset(matrix.clone(), &[0, 0, 1], Distance::Cosine, &options).unwrap_err();
        assert!(matches!(error, Error::ZeroVector { row: 0, rows: 1, .. }), "{error}");
        assert!(dataset(matrix, &[0, 0, 1], Distance::Euclidean, &options).is_ok());
    }

    #[test]
    fn an_ignored_label_that_no_row_has_is_a_warning() {
        let options = ignoring("7");
        let data = dataset(array![[1.0], [2.0], [3.0]], &[0, 0, 1], Distance::Euclidean, &options).unwrap();
        assert_eq!(data.len(), 3);
        assert!(data.warnings()[0].contains("'7'"));
    }

    #[test]
    fn values_whose_squares_overflow_are_named() {
        let options = DatasetOptions::default();
        let matrix = array![[1.0], [1e200], [3.0]];
        let error = dataset(matrix.clone(), &[0, 0, 1], Distance::SqEuclidean, &options).unwrap_err();
        assert!(matches!(error, Error::Overflow { row: 1, .. }), "{error}");
        assert!(dataset(matrix, &[0, 0, 1], Distance::Cosine, &options).is_ok());
    }

    #[test]
    fn values_whose_squares_vanish_are_refused_where_squares_are_needed() {
        let options = DatasetOptions::default();
        let check = |size: f64, distance: Distance| {
            let data = dataset(array![[0.0], [size], [3.0 * size]], &[0, 0, 1], distance, &options)?;
            data.check_values_in(Precision::F64)
        };
        let error = check(1e-200, Distance::SqEuclidean).unwrap_err();
        assert!(matches!(error, Error::Underflow { value: 3e-200, .. }), "{error}");
        // Its silhouettes would be right, its radii 0.
        assert!(matches!(check(1e-200, Distance::Euclidean), Err(Error::Underflow { .. })));
        // As would its variances.
        assert!(matches!(check(1e-200, Distance::Manhattan), Err(Error::Underflow { .. })));
        assert!(check(1e-120, Distance::SqEuclidean).is_ok());
        assert!(check(0.0, Distance::SqEuclidean).is_ok());
    }

    #[test]
    fn values_that_vanish_in_float32_are_refused_there() {
        let options = DatasetOptions::default();
        for distance in [Distance::Cosine, Distance::Euclidean, Distance::Manhattan] {
            let check = |size: f64| {
                let rows = array![[size, 0.0], [2.0 * size, size], [3.0 * size, size]];
                dataset(rows, &[0, 0, 1], distance, &options)?.check_values_in(Precision::F32)
            };
            for size in [1e-60, 1e-40] {
                let error = check(size).unwrap_err();
                assert!(matches!(error, Error::Underflow { precision: "float32", .. }), "{error}");
            }
            assert!(check(1e-20).is_ok());
        }
    }

    #[test]
    fn rows_without_numbers_are_refused() {
        let result = dataset(ndarray::Array2::zeros((3, 0)), &[0, 0, 1], Distance::Cosine, &DatasetOptions::default());
        assert!(matches!(result, Err(Error::Shape { .. })));
    }

    #[test]
    fn rows_follow_the_selection() {
        let options = ignoring("5");
        let data = dataset(array![[1.0], [2.0], [3.0], [4.0]], &[0, 5, 1, 1], Distance::Euclidean, &options).unwrap();
        let mut buffer = Vec::new();
        assert_eq!(data.rows::<f32>(1..3, &mut buffer).unwrap(), [3.0, 4.0]);
        assert_eq!(data.subset(&[2, 0]).source_row(0), 3);
        assert_eq!(data.excluded().ignored_labels, 1);
    }

    #[test]
    fn invalid_rows_are_dropped_where_that_is_wanted() {
        let matrix = array![[f64::NAN, 0.0], [1.0, 2.0], [0.0, 0.0], [3.0, f64::INFINITY], [1.0, 1.0]];
        let choice = RowChoice { drop_invalid: true, ..Default::default() };
        let cosine = dataset(matrix.clone(), &[0, 0, 0, 1, 1], Distance::Cosine, &options(choice.clone())).unwrap();
        assert_eq!((cosine.len(), cosine.excluded().invalid, cosine.source_row(1)), (2, 3, 4));
        let euclidean = dataset(matrix, &[0, 0, 0, 1, 1], Distance::Euclidean, &options(choice)).unwrap();
        assert_eq!((euclidean.len(), euclidean.excluded().invalid), (3, 2));
    }

    #[test]
    fn classes_are_included_excluded_and_too_small() {
        let matrix = || ndarray::Array2::from_shape_fn((7, 1), |(row, _)| row as f64);
        let labels = [0, 1, 1, 2, 2, 2, 3];
        let excluded = |choice| {
            let data = dataset(matrix(), &labels, Distance::Euclidean, &options(choice)).unwrap();
            (data.len(), data.excluded())
        };
        let (rows, exclude) = excluded(RowChoice { exclude: vec!["2".into()], ..Default::default() });
        assert_eq!((rows, exclude.excluded_classes), (4, 3));
        let include = vec!["1".into(), "2".into()];
        let (rows, include) = excluded(RowChoice { include, ..Default::default() });
        assert_eq!((rows, include.excluded_classes), (5, 2));
        let (rows, small) = excluded(RowChoice { min_class_size: Some(2), ..Default::default() });
        assert_eq!((rows, small.small_classes, small.small_class_rows), (5, 2, 2));
        let choice = RowChoice { include: vec!["9".into()], ..Default::default() };
        let error = dataset(matrix(), &labels, Distance::Euclidean, &options(choice)).unwrap_err();
        assert!(error.to_string().contains("no row of labels.npy has the label '9'"), "{error}");
        let choice = RowChoice { min_class_size: Some(4), ..Default::default() };
        let error = dataset(matrix(), &labels, Distance::Euclidean, &options(choice)).unwrap_err();
        assert!(error.to_string().contains("all 7 are left out"), "{error}");
    }

    #[test]
    fn rows_without_a_label_are_dropped_where_that_is_wanted() {
        let mut builder = LabelColumnBuilder::new(LabelType::Integer);
        builder.push_integer(1);
        builder.push_missing();
        builder.push_integer(2);
        let column = builder.finish(Origin::new("labels.npy"));
        let new = |choice| {
            let embeddings = Embeddings::from_f64(Origin::new("x.npy"), array![[1.0], [2.0], [3.0]]);
            Dataset::join(embeddings, &column, Distance::Euclidean, &options(choice))
        };
        assert!(matches!(new(RowChoice::default()), Err(Error::MissingLabel { row: 1, .. })));
        let data = new(RowChoice { drop_null_labels: true, ..Default::default() }).unwrap();
        assert_eq!((data.len(), data.excluded().null_labels, data.source_row(1)), (2, 1, 2));
    }

    #[test]
    fn a_subsample_has_rows_of_every_class_in_proportion() {
        let values: Vec<i128> = (0..100).map(|row| if row < 90 { 0 } else { i128::from(row % 2 + 1) }).collect();
        let matrix = ndarray::Array2::from_shape_fn((100, 1), |(row, _)| row as f64);
        let draw = |rows, seed| {
            let choice = RowChoice { subsample: Some(rows), ..Default::default() };
            let options = DatasetOptions { seed, ..options(choice) };
            dataset(matrix.clone(), &values, Distance::Euclidean, &options)
        };
        let data = draw(20, 1).unwrap();
        let mut counts = [0; 3];
        data.scored_members().for_each(|(code, _)| counts[code as usize] += 1);
        assert_eq!(counts, [16, 2, 2], "one each, and 17 more as 89 : 4 : 4");
        let positions: Vec<usize> = data.scored().positions().collect();
        assert!(positions.is_sorted());
        assert_eq!(positions, draw(20, 1).unwrap().scored().positions().collect::<Vec<_>>());
        assert_ne!(positions, draw(20, 2).unwrap().scored().positions().collect::<Vec<_>>());
        assert!(draw(2, 1).unwrap_err().to_string().contains("3 classes"));
        assert!(!draw(100, 1).unwrap().scored().is_subsample());
    }
}
