//! One row for each embedding, as Parquet, CSV, JSON lines or npy.

use std::io::Write;

use indexmap::IndexMap;
use polars::prelude::{Column, NamedFrom, Series};
use py_literal::Value;
use serde::Serialize;

use crate::output::tables::write_parquet;
use crate::output::{WriteResult, exact, extension, unknown_extension};
use embq_core::data::{Dataset, Label, LabelType, Labels};
use embq_core::error::Result;
use embq_core::evaluation::RowScores;
use embq_core::uncertainty::RowInfluence;

/// A file format for rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    Parquet,
    Csv,
    JsonLines,
    /// A structured array.
    Npy,
}

/// The scores of the rows with their labels.
///
/// The columns are `row` (its number in the embeddings as stored), `label`, `a` (null for the only row of a class), `b`,
/// `silhouette`, `soft_silhouette` and `nearest_other` (a label), and where intervals were asked for the influence values.
/// Labels keep their type where the format has it:
/// integers are 64 bits wide, and text where one does not fit.
pub struct RowTable<'a> {
    dataset: &'a Dataset<'a>,
    scores: &'a RowScores,
    /// Number and class of each scored row.
    rows: Vec<(usize, u32)>,
}

impl RowFormat {
    /// The format that a file's extension stands for.
    ///
    /// # Errors
    /// An extension that stands for none.
    pub fn of_file(path: &str) -> Result<Self> {
        match extension(path).as_deref() {
            Some("parquet" | "pq") => Ok(RowFormat::Parquet),
            Some("csv") => Ok(RowFormat::Csv),
            Some("jsonl" | "ndjson") => Ok(RowFormat::JsonLines),
            Some("npy") => Ok(RowFormat::Npy),
            _ => Err(unknown_extension(path, "rows are written as .parquet, .csv, .jsonl or .npy")),
        }
    }
}

/// A column of influence values.
type InfluenceColumn = (&'static str, fn(&RowInfluence) -> &[f64]);

/// Every column of influence values.
pub(crate) const INFLUENCE: [InfluenceColumn; 4] = [
    ("silhouette_influence", |influence| &influence.silhouette),
    ("silhouette_macro_influence", |influence| &influence.silhouette_macro),
    ("soft_silhouette_influence", |influence| &influence.soft_silhouette),
    ("soft_silhouette_macro_influence", |influence| &influence.soft_silhouette_macro),
];

/// The class labels in the type of a column.
pub(crate) enum LabelValues {
    Integers(Vec<i64>),
    Booleans(Vec<bool>),
    Text(Vec<String>),
}

impl LabelValues {
    pub(crate) fn new(labels: &Labels, label_type: LabelType) -> Self {
        let integers = || -> Option<Vec<i64>> {
            let values = labels.names().iter().map(|label| match label {
                Label::Integer(value) => i64::try_from(*value).ok(),
                _ => None,
            });
            values.collect()
        };
        let booleans = labels.names().iter().map(|label| matches!(label, Label::Boolean(true)));
        match (label_type, integers()) {
            (LabelType::Integer, Some(values)) => LabelValues::Integers(values),
            (LabelType::Boolean, _) => LabelValues::Booleans(booleans.collect()),
            _ => LabelValues::Text(labels.names().iter().map(ToString::to_string).collect()),
        }
    }

    /// A column with the label of each code.
    fn column(&self, name: &str, codes: &[u32]) -> Column {
        let codes = codes.iter().map(|&code| code as usize);
        let series = match self {
            LabelValues::Integers(values) => Series::new(name.into(), codes.map(|c| values[c]).collect::<Vec<_>>()),
            LabelValues::Booleans(values) => Series::new(name.into(), codes.map(|c| values[c]).collect::<Vec<_>>()),
            LabelValues::Text(values) => {
                Series::new(name.into(), codes.map(|c| values[c].as_str()).collect::<Vec<_>>())
            }
        };
        series.into()
    }

    fn json(&self, code: u32) -> serde_json::Value {
        match self {
            LabelValues::Integers(values) => values[code as usize].into(),
            LabelValues::Booleans(values) => values[code as usize].into(),
            LabelValues::Text(values) => values[code as usize].as_str().into(),
        }
    }

    /// The NumPy type of a label, and its bytes for each class.
    fn npy(&self) -> (String, Vec<Vec<u8>>) {
        match self {
            LabelValues::Integers(values) => {
                ("<i8".to_owned(), values.iter().map(|value| value.to_le_bytes().to_vec()).collect())
            }
            LabelValues::Booleans(values) => {
                ("|b1".to_owned(), values.iter().map(|&value| vec![u8::from(value)]).collect())
            }
            LabelValues::Text(values) => {
                let longest = values.iter().map(|value| value.chars().count()).max().unwrap_or(0).max(1);
                let bytes = values.iter().map(|value| {
                    let mut bytes: Vec<u8> =
                        value.chars().flat_map(|character| u32::from(character).to_le_bytes()).collect();
                    bytes.resize(4 * longest, 0);
                    bytes
                });
                (format!("<U{longest}"), bytes.collect())
            }
        }
    }
}

#[derive(Serialize)]
struct JsonRow {
    row: usize,
    label: serde_json::Value,
    a: Option<f64>,
    b: f64,
    silhouette: f64,
    soft_silhouette: f64,
    nearest_other: serde_json::Value,
    #[serde(flatten)]
    influence: IndexMap<&'static str, f64>,
}

impl<'a> RowTable<'a> {
    /// The table of a scored data set.
    pub fn new(dataset: &'a Dataset<'a>, scores: &'a RowScores) -> Self {
        let numbers = dataset.scored().positions().map(|position| dataset.source_row(position));
        let rows = numbers.zip(dataset.scored_members()).map(|(row, (code, _))| (row, code)).collect();
        RowTable { dataset, scores, rows }
    }

    /// Writes the table.
    ///
    /// # Errors
    /// What the writer reports.
    pub fn write(&self, format: RowFormat, writer: &mut dyn Write) -> WriteResult {
        let labels = LabelValues::new(self.dataset.labels(), self.dataset.label_type());
        match format {
            RowFormat::Parquet => self.write_parquet(&labels, writer),
            RowFormat::Csv => self.write_csv(writer),
            RowFormat::JsonLines => self.write_json_lines(&labels, writer),
            RowFormat::Npy => self.write_npy(&labels, writer),
        }
    }

    /// Names and values of the influence columns; none where no intervals were asked for.
    fn influence(&self) -> impl Iterator<Item = (&'static str, &[f64])> {
        self.scores.influence.iter().flat_map(|influence| INFLUENCE.iter().map(|(name, of)| (*name, of(influence))))
    }

    fn write_parquet(&self, labels: &LabelValues, writer: &mut dyn Write) -> WriteResult {
        let scores = self.scores;
        let rows: Vec<u64> = self.rows.iter().map(|&(row, _)| row as u64).collect();
        let codes: Vec<u32> = self.rows.iter().map(|&(_, code)| code).collect();
        let numbers = |name: &str, values: &[f64]| Column::from(Series::new(name.into(), values));
        let mut columns: Vec<Column> = vec![
            Series::new("row".into(), rows).into(),
            labels.column("label", &codes),
            Series::new("a".into(), &scores.a).into(),
            numbers("b", &scores.b),
            numbers("silhouette", &scores.silhouette),
            numbers("soft_silhouette", &scores.soft_silhouette),
            labels.column("nearest_other", &scores.nearest_other),
        ];
        columns.extend(self.influence().map(|(name, values)| numbers(name, values)));
        write_parquet(columns, writer)
    }

    fn write_csv(&self, writer: &mut dyn Write) -> WriteResult {
        let names: Vec<String> = self.dataset.labels().names().iter().map(ToString::to_string).collect();
        let scores = self.scores;
        let mut writer = csv::Writer::from_writer(writer);
        let titles = ["row", "label", "a", "b", "silhouette", "soft_silhouette", "nearest_other"];
        writer.write_record(titles.into_iter().chain(self.influence().map(|(name, _)| name)))?;
        for (index, &(row, code)) in self.rows.iter().enumerate() {
            let cells = [
                row.to_string(),
                names[code as usize].clone(),
                scores.a[index].map(exact).unwrap_or_default(),
                exact(scores.b[index]),
                exact(scores.silhouette[index]),
                exact(scores.soft_silhouette[index]),
                names[scores.nearest_other[index] as usize].clone(),
            ];
            writer.write_record(cells.into_iter().chain(self.influence().map(|(_, values)| exact(values[index]))))?;
        }
        Ok(writer.flush()?)
    }

    fn write_json_lines(&self, labels: &LabelValues, writer: &mut dyn Write) -> WriteResult {
        let scores = self.scores;
        for (index, &(row, code)) in self.rows.iter().enumerate() {
            let line = JsonRow {
                row,
                label: labels.json(code),
                a: scores.a[index],
                b: scores.b[index],
                silhouette: scores.silhouette[index],
                soft_silhouette: scores.soft_silhouette[index],
                nearest_other: labels.json(scores.nearest_other[index]),
                influence: self.influence().map(|(name, values)| (name, values[index])).collect(),
            };
            serde_json::to_writer(&mut *writer, &line)?;
            writer.write_all(b"\n")?;
        }
        Ok(())
    }

    fn write_npy(&self, labels: &LabelValues, writer: &mut dyn Write) -> WriteResult {
        let scores = self.scores;
        let (label_type, label_bytes) = labels.npy();
        let field =
            |name: &str, kind: &str| Value::Tuple(vec![Value::String(name.to_owned()), Value::String(kind.to_owned())]);
        let mut fields = vec![
            field("row", "<i8"),
            field("label", &label_type),
            field("a", "<f8"),
            field("b", "<f8"),
            field("silhouette", "<f8"),
            field("soft_silhouette", "<f8"),
            field("nearest_other", &label_type),
        ];
        fields.extend(self.influence().map(|(name, _)| field(name, "<f8")));
        let header = ndarray_npy::npy::header::Header {
            type_descriptor: Value::List(fields),
            layout: ndarray_npy::npy::header::Layout::Standard,
            shape: vec![self.rows.len()],
        };
        header.write(&mut *writer)?;
        for (index, &(row, code)) in self.rows.iter().enumerate() {
            writer.write_all(&(row as i64).to_le_bytes())?;
            writer.write_all(&label_bytes[code as usize])?;
            // npy has no null.
            let a = scores.a[index].unwrap_or(f64::NAN);
            for number in [a, scores.b[index], scores.silhouette[index], scores.soft_silhouette[index]] {
                writer.write_all(&number.to_le_bytes())?;
            }
            writer.write_all(&label_bytes[scores.nearest_other[index] as usize])?;
            for (_, values) in self.influence() {
                writer.write_all(&values[index].to_le_bytes())?;
            }
        }
        Ok(())
    }
}
