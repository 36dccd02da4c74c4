//! Embeddings and labels together, checked once: what every metric is computed from.

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{Element, Embeddings, Label, LabelColumn, LabelType, Labels, Origin, Precision};
use crate::distance::Distance;
use crate::error::{Error, Result};

/// Positive weights, one for each row of the embeddings as stored.
#[derive(Clone, Debug)]
pub struct RowWeights {
    /// Where they came from.
    pub origin: Origin,
    /// The weights.
    pub values: Vec<f64>,
}

/// What to leave out, and what else comes with the rows.
#[derive(Clone, Debug, Default)]
pub struct DatasetOptions {
    /// Labels (as text) whose rows are left out before anything else.
    pub ignore_labels: Vec<String>,
    /// Row weights.
    pub weights: Option<RowWeights>,
}

/// How many rows were left out, and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Excluded {
    /// Rows with NaN or infinite values.
    pub invalid: usize,
    /// Rows whose label was to be ignored.
    pub ignored_labels: usize,
}

/// Checked rows with their labels: finite, labelled, and under the cosine distance not zero.
#[derive(Clone, Debug)]
pub struct Dataset {
    embeddings: Arc<Embeddings>,
    distance: Distance,
    labels: Labels,
    label_origin: Origin,
    label_type: LabelType,
    /// The rows of the embeddings that take part, in order; `None` is all of them.
    selection: Option<Vec<usize>>,
    weights: Weights,
    weight_origin: Option<Origin>,
    ignored_labels: Vec<String>,
    excluded: Excluded,
    warnings: Vec<String>,
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

/// Rows that one task scans at a time.
const SCAN_ROWS: usize = 1024;

impl Dataset {
    /// Joins embeddings and labels for evaluation under `distance`, with everything checked.
    ///
    /// # Errors
    /// Row counts that differ, missing labels, bad weights, NaN or infinite values, zero vectors under cosine, values
    /// whose distances overflow, a precomputed matrix that is not square.
    pub fn new(
        embeddings: Embeddings,
        column: &LabelColumn,
        distance: Distance,
        options: &DatasetOptions,
    ) -> Result<Self> {
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
            });
        }
        let kept = kept_rows(column, &options.ignore_labels);
        let excluded = Excluded { invalid: 0, ignored_labels: kept.as_ref().map_or(0, |kept| rows - kept.len()) };
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
        let warnings = options
            .ignore_labels
            .iter()
            .filter(unknown)
            .map(|label| format!("no row of {} has the ignored label '{label}'", column.origin()))
            .collect();
        let dataset = Dataset {
            embeddings: Arc::new(embeddings),
            distance,
            labels,
            label_origin: column.origin().clone(),
            label_type: column.label_type(),
            selection: kept,
            weights,
            weight_origin: options.weights.as_ref().map(|weights| weights.origin.clone()),
            ignored_labels: options.ignore_labels.clone(),
            excluded,
            warnings,
        };
        match dataset.embeddings.element_type().precision() {
            Precision::F32 => dataset.check_values::<f32>(distance)?,
            Precision::F64 => dataset.check_values::<f64>(distance)?,
        }
        Ok(dataset)
    }

    /// Checks what a silhouette needs: 2 <= K <= N - 1.
    ///
    /// # Errors
    /// [`Error::TooFewClasses`] or [`Error::TooManyClasses`], which say which bound is broken.
    pub fn require_silhouette(&self) -> Result<()> {
        let (rows, classes) = (self.len(), self.labels.classes());
        if classes < 2 {
            return Err(Error::TooFewClasses { name: self.label_origin.to_string(), classes, rows });
        }
        if classes + 1 > rows {
            return Err(Error::TooManyClasses { name: self.label_origin.to_string(), classes, rows, bound: rows - 1 });
        }
        Ok(())
    }

    /// The distance that the rows were checked for.
    pub fn distance(&self) -> Distance {
        self.distance
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
        self.embeddings.dimensions()
    }

    /// The labels of the rows that take part.
    pub fn labels(&self) -> &Labels {
        &self.labels
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
    pub fn embeddings(&self) -> &Embeddings {
        &self.embeddings
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

    /// The labels whose rows were to be left out.
    pub fn ignored_labels(&self) -> &[String] {
        &self.ignored_labels
    }

    /// What was left out.
    pub fn excluded(&self) -> Excluded {
        self.excluded
    }

    /// The number in the stored embeddings of a row that takes part.
    pub fn source_row(&self, row: usize) -> usize {
        self.selection.as_ref().map_or(row, |selection| selection[row])
    }

    /// A choice of rows as a data set of its own; its classes are those that occur in it.
    pub fn subset(&self, rows: &[usize]) -> Self {
        let labels = self.labels.subset(rows);
        let weights = self.weights().map(|weights| rows.iter().map(|&row| weights[row]).collect());
        Dataset {
            embeddings: Arc::clone(&self.embeddings),
            distance: self.distance,
            weights: Weights::new(weights, &labels),
            labels,
            label_origin: self.label_origin.clone(),
            label_type: self.label_type,
            selection: Some(rows.iter().map(|&row| self.source_row(row)).collect()),
            weight_origin: self.weight_origin.clone(),
            ignored_labels: self.ignored_labels.clone(),
            excluded: self.excluded,
            warnings: Vec::new(),
        }
    }

    /// The given rows as a contiguous block, row after row: in place where they lie in memory so, else copied to `buffer`.
    ///
    /// # Errors
    /// What the source of the rows reports.
    pub fn rows<'a, T: Element>(&'a self, rows: Range<usize>, buffer: &'a mut Vec<T>) -> Result<&'a [T]> {
        let d = self.dimensions();
        let blocks = self.embeddings.blocks();
        let Some(selection) = &self.selection else {
            if let Some(matrix) = T::view(blocks) {
                return Ok(&matrix[rows.start * d..rows.end * d]);
            }
            buffer.resize(rows.len() * d, T::default());
            T::read(blocks, rows, buffer)?;
            return Ok(buffer);
        };
        buffer.resize(rows.len() * d, T::default());
        for (row, target) in selection[rows].iter().zip(buffer.chunks_exact_mut(d.max(1))) {
            match T::view(blocks) {
                Some(matrix) => target.copy_from_slice(&matrix[row * d..(row + 1) * d]),
                None => T::read(blocks, *row..row + 1, target)?,
            }
        }
        Ok(buffer)
    }

    fn check_values<T: Element>(&self, distance: Distance) -> Result<()> {
        let d = self.dimensions();
        let no_zero = distance == Distance::Cosine;
        let largest = largest_value(distance, d);
        let starts: Vec<usize> = (0..self.len()).step_by(SCAN_ROWS).collect();
        let scans: Vec<Scan> = starts
            .par_iter()
            .map_init(Vec::new, |buffer: &mut Vec<T>, &start| {
                let end = (start + SCAN_ROWS).min(self.len());
                let block = self.rows(start..end, buffer)?;
                Ok(scan_block(block, start, end - start, d, no_zero, largest))
            })
            .collect::<Result<_>>()?;
        let scan = scans.into_iter().fold(Scan::default(), Scan::then);
        let name = || self.embeddings.origin().to_string();
        if let Some(row) = scan.first_invalid {
            let mut buffer = Vec::new();
            let values = self.rows::<T>(row..row + 1, &mut buffer)?;
            let column = values.iter().position(|value| !value.to_f64().is_finite()).unwrap_or(0);
            return Err(Error::NonFinite {
                name: name(),
                value: values[column].to_f64(),
                row: self.source_row(row),
                column,
                rows: scan.invalid,
            });
        }
        if let Some(row) = scan.first_zero {
            return Err(Error::ZeroVector { name: name(), row: self.source_row(row), rows: scan.zeros });
        }
        if let Some((row, value)) = scan.first_overflow {
            return Err(Error::Overflow { name: name(), row: self.source_row(row), value });
        }
        Ok(())
    }
}

/// The rows whose label is not ignored, or `None` if nothing is.
fn kept_rows(column: &LabelColumn, ignore: &[String]) -> Option<Vec<usize>> {
    let ignored = |label: &Label| ignore.contains(&label.to_string());
    if !column.dictionary().iter().any(ignored) {
        return None;
    }
    Some((0..column.len()).filter(|&row| !column.get(row).is_some_and(ignored)).collect())
}

/// The largest absolute value whose distances still are float64 numbers.
fn largest_value(distance: Distance, dimensions: usize) -> f64 {
    let d = dimensions.max(1) as f64;
    match distance {
        Distance::Cosine | Distance::Precomputed => f64::MAX,
        // Sums over up to 2^53 rows of (2 x)^2 d must stay below 2^1024.
        Distance::Euclidean | Distance::SqEuclidean => 1e146 / d.sqrt(),
        Distance::Manhattan => 1e290 / d,
    }
}

#[derive(Default)]
struct Scan {
    first_invalid: Option<usize>,
    invalid: usize,
    first_zero: Option<usize>,
    zeros: usize,
    first_overflow: Option<(usize, f64)>,
}

impl Scan {
    fn then(self, next: Scan) -> Scan {
        Scan {
            first_invalid: self.first_invalid.or(next.first_invalid),
            invalid: self.invalid + next.invalid,
            first_zero: self.first_zero.or(next.first_zero),
            zeros: self.zeros + next.zeros,
            first_overflow: self.first_overflow.or(next.first_overflow),
        }
    }
}

fn scan_block<T: Element>(block: &[T], start: usize, rows: usize, d: usize, no_zero: bool, largest: f64) -> Scan {
    let mut scan = Scan::default();
    for position in 0..rows {
        let values = &block[position * d..(position + 1) * d];
        // v * 0 is 0 for finite v and NaN for all else, so one sum tells about the whole row.
        let finite = values.iter().map(|value| value.to_f64() * 0.0).sum::<f64>() == 0.0;
        if !finite {
            scan.first_invalid.get_or_insert(start + position);
            scan.invalid += 1;
            continue;
        }
        if no_zero && values.iter().all(|value| value.to_f64() == 0.0) {
            scan.first_zero.get_or_insert(start + position);
            scan.zeros += 1;
        }
        if T::PRECISION == Precision::F64 && scan.first_overflow.is_none() && largest < f64::MAX {
            let overflowing = values.iter().find(|value| value.to_f64().abs() > largest);
            scan.first_overflow = overflowing.map(|value| (start + position, value.to_f64()));
        }
    }
    scan
}

#[cfg(test)]
mod tests {
    use ndarray::array;

    use super::*;
    use crate::data::{LabelColumnBuilder, LabelType};

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
    ) -> Result<Dataset> {
        Dataset::new(Embeddings::from_f64(Origin::new("x.npy"), matrix), &labels(values), distance, options)
    }

    #[test]
    fn the_first_invalid_cell_is_named_with_its_row_in_the_file() {
        let matrix = array![[f64::NAN, 0.0], [1.0, 2.0], [3.0, f64::INFINITY], [f64::NAN, 1.0]];
        let options = DatasetOptions { ignore_labels: vec!["-1".into()], ..Default::default() };
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
        let options = DatasetOptions { ignore_labels: vec!["7".into()], ..Default::default() };
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
    fn rows_without_numbers_are_refused() {
        let result = dataset(ndarray::Array2::zeros((3, 0)), &[0, 0, 1], Distance::Cosine, &DatasetOptions::default());
        assert!(matches!(result, Err(Error::Shape { .. })));
    }

    #[test]
    fn rows_follow_the_selection() {
        let options = DatasetOptions { ignore_labels: vec!["5".into()], ..Default::default() };
        let data = dataset(array![[1.0], [2.0], [3.0], [4.0]], &[0, 5, 1, 1], Distance::Euclidean, &options).unwrap();
        let mut buffer = Vec::new();
        assert_eq!(data.rows::<f32>(1..3, &mut buffer).unwrap(), [3.0, 4.0]);
        assert_eq!(data.subset(&[2, 0]).source_row(0), 3);
        assert_eq!(data.excluded().ignored_labels, 1);
    }
}
