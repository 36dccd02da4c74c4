//! One record per embedding, as Parquet, CSV, JSON lines or npy.

use std::io::Write;

use polars::prelude::{Column, NamedFrom, Series};
use py_literal::Value;
use serde::Serializer;
use serde_json::Value as Json;

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

/// The column of row numbers.
pub const ROW: &str = "row";
/// The label of the row.
pub const LABEL: &str = "label";
/// The silhouette of the row.
pub const SILHOUETTE: &str = "silhouette";
/// The soft silhouette of the row.
pub const SOFT_SILHOUETTE: &str = "soft_silhouette";
/// The label of the nearest other class.
pub const NEAREST_OTHER: &str = "nearest_other";

/// A column of influence values.
pub struct InfluenceColumn {
    /// The name of the column.
    pub name: &'static str,
    /// The metric that the values belong to.
    pub metric: &'static str,
    /// Whether the metric is a mean over classes, in which rows of small classes weigh more.
    pub over_classes: bool,
    values: fn(&RowInfluence) -> &[f64],
}

impl InfluenceColumn {
    /// The values, one per scored row.
    pub fn values<'i>(&self, influence: &'i RowInfluence) -> &'i [f64] {
        (self.values)(influence)
    }
}

/// The columns of influence values, present if intervals were computed.
pub const INFLUENCE: [InfluenceColumn; 4] = [
    InfluenceColumn {
        name: "silhouette_influence",
        metric: "silhouette",
        over_classes: false,
        values: |influence| &influence.silhouette,
    },
    InfluenceColumn {
        name: "silhouette_macro_influence",
        metric: "silhouette_macro",
        over_classes: true,
        values: |influence| &influence.silhouette_macro,
    },
    InfluenceColumn {
        name: "soft_silhouette_influence",
        metric: "soft_silhouette",
        over_classes: false,
        values: |influence| &influence.soft_silhouette,
    },
    InfluenceColumn {
        name: "soft_silhouette_macro_influence",
        metric: "soft_silhouette_macro",
        over_classes: true,
        values: |influence| &influence.soft_silhouette_macro,
    },
];

/// The scores of the rows with their labels.
///
/// Labels keep their type if the format supports it: integers are 64 bits wide, or text if any does not fit.
pub struct RowTable<'a> {
    dataset: &'a Dataset<'a>,
    scores: &'a RowScores,
    /// The number of each scored row in the stored embeddings.
    rows: Vec<u64>,
    /// The class of each scored row.
    codes: Vec<u32>,
}

/// The values of a column, one per row.
enum Values<'a> {
    RowNumbers(&'a [u64]),
    /// Codes of labels.
    Labels(&'a [u32]),
    Numbers(&'a [f64]),
    /// Null where undefined.
    Optional(&'a [Option<f64>]),
}

impl RowFormat {
    /// The format for a file's extension.
    ///
    /// # Errors
    /// An unknown extension.
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

/// The class labels, typed for a column.
enum LabelValues {
    Integers(Vec<i64>),
    Booleans(Vec<bool>),
    Text(Vec<String>),
}

impl LabelValues {
    fn new(labels: &Labels, label_type: LabelType) -> Self {
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

    /// A column with the label for each code.
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

    fn json(&self, code: u32) -> Json {
        match self {
            LabelValues::Integers(values) => values[code as usize].into(),
            LabelValues::Booleans(values) => values[code as usize].into(),
            LabelValues::Text(values) => values[code as usize].as_str().into(),
        }
    }

    /// The NumPy type of the labels, and each class label as bytes.
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

impl<'a> RowTable<'a> {
    /// The table of a scored data set.
    pub fn new(dataset: &'a Dataset<'a>, scores: &'a RowScores) -> Self {
        let numbers = dataset.scored().positions().map(|position| dataset.source_row(position) as u64);
        let codes = dataset.scored_members().map(|(code, _)| code).collect();
        RowTable { dataset, scores, rows: numbers.collect(), codes }
    }

    /// Every column, in order.
    fn columns(&self) -> Vec<(&'static str, Values<'_>)> {
        let scores = self.scores;
        let mut columns = vec![
            (ROW, Values::RowNumbers(&self.rows)),
            (LABEL, Values::Labels(&self.codes)),
            ("a", Values::Optional(&scores.a)),
            ("b", Values::Numbers(&scores.b)),
            (SILHOUETTE, Values::Numbers(&scores.silhouette)),
            (SOFT_SILHOUETTE, Values::Numbers(&scores.soft_silhouette)),
            (NEAREST_OTHER, Values::Labels(&scores.nearest_other)),
        ];
        if let Some(influence) = &scores.influence {
            columns.extend(INFLUENCE.iter().map(|column| (column.name, Values::Numbers(column.values(influence)))));
        }
        columns
    }

    /// Writes the table.
    ///
    /// # Errors
    /// Errors of the writer.
    pub fn write(&self, format: RowFormat, writer: &mut dyn Write) -> WriteResult {
        let labels = LabelValues::new(self.dataset.labels(), self.dataset.label_type());
        match format {
            RowFormat::Parquet => self.write_parquet(&labels, writer),
            RowFormat::Csv => self.write_csv(writer),
            RowFormat::JsonLines => self.write_json_lines(&labels, writer),
            RowFormat::Npy => self.write_npy(&labels, writer),
        }
    }

    fn write_parquet(&self, labels: &LabelValues, writer: &mut dyn Write) -> WriteResult {
        let column = |(name, values): (&str, Values<'_>)| -> Column {
            match values {
                Values::RowNumbers(values) => Series::new(name.into(), values).into(),
                Values::Labels(codes) => labels.column(name, codes),
                Values::Numbers(values) => Series::new(name.into(), values).into(),
                Values::Optional(values) => Series::new(name.into(), values).into(),
            }
        };
        write_parquet(self.columns().into_iter().map(column).collect(), writer)
    }

    fn write_csv(&self, writer: &mut dyn Write) -> WriteResult {
        let names: Vec<String> = self.dataset.labels().names().iter().map(ToString::to_string).collect();
        let columns = self.columns();
        let mut writer = csv::Writer::from_writer(writer);
        writer.write_record(columns.iter().map(|(name, _)| name))?;
        for index in 0..self.rows.len() {
            writer.write_record(columns.iter().map(|(_, values)| match values {
                Values::RowNumbers(values) => values[index].to_string(),
                Values::Labels(codes) => names[codes[index] as usize].clone(),
                Values::Numbers(values) => exact(values[index]),
                Values::Optional(values) => values[index].map(exact).unwrap_or_default(),
            }))?;
        }
        Ok(writer.flush()?)
    }

    fn write_json_lines(&self, labels: &LabelValues, writer: &mut dyn Write) -> WriteResult {
        let columns = self.columns();
        for index in 0..self.rows.len() {
            let fields = columns.iter().map(|(name, values)| {
                let value: Json = match values {
                    Values::RowNumbers(values) => values[index].into(),
                    Values::Labels(codes) => labels.json(codes[index]),
                    Values::Numbers(values) => values[index].into(),
                    Values::Optional(values) => values[index].into(),
                };
                (name, value)
            });
            serde_json::Serializer::new(&mut *writer).collect_map(fields)?;
            writer.write_all(b"\n")?;
        }
        Ok(())
    }

    fn write_npy(&self, labels: &LabelValues, writer: &mut dyn Write) -> WriteResult {
        let columns = self.columns();
        let (label_type, label_bytes) = labels.npy();
        let fields = columns.iter().map(|(name, values)| {
            let kind = match values {
                Values::RowNumbers(_) => "<i8",
                Values::Labels(_) => label_type.as_str(),
                Values::Numbers(_) | Values::Optional(_) => "<f8",
            };
            Value::Tuple(vec![Value::String((*name).to_owned()), Value::String(kind.to_owned())])
        });
        let header = ndarray_npy::npy::header::Header {
            type_descriptor: Value::List(fields.collect()),
            layout: ndarray_npy::npy::header::Layout::Standard,
            shape: vec![self.rows.len()],
        };
        header.write(&mut *writer)?;
        for index in 0..self.rows.len() {
            for (_, values) in &columns {
                match values {
                    Values::RowNumbers(values) => writer.write_all(&values[index].to_le_bytes())?,
                    Values::Labels(codes) => writer.write_all(&label_bytes[codes[index] as usize])?,
                    Values::Numbers(values) => writer.write_all(&values[index].to_le_bytes())?,
                    // npy has no null.
                    Values::Optional(values) => writer.write_all(&values[index].unwrap_or(f64::NAN).to_le_bytes())?,
                }
            }
        }
        Ok(())
    }
}
