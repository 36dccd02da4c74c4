//! The K x K matrix of mean distances between classes, as CSV, Parquet, JSON or npy.

use std::io::Write;

use ndarray::Array2;
use ndarray_npy::WriteNpyExt;
use polars::prelude::{Column, NamedFrom, Series};
use serde_json::json;

use crate::output::tables::write_parquet;
use crate::output::{WriteResult, exact, extension, unknown_extension};
use embq_core::data::Label;
use embq_core::error::Result;

/// A file format for the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MatrixFormat {
    Csv,
    Parquet,
    Json,
    Npy,
}

impl MatrixFormat {
    /// The format for a file's extension.
    ///
    /// # Errors
    /// An unknown extension.
    pub fn of_file(path: &str) -> Result<Self> {
        match extension(path).as_deref() {
            Some("csv") => Ok(MatrixFormat::Csv),
            Some("parquet" | "pq") => Ok(MatrixFormat::Parquet),
            Some("json") => Ok(MatrixFormat::Json),
            Some("npy") => Ok(MatrixFormat::Npy),
            _ => Err(unknown_extension(path, "the matrix is written as .csv, .parquet, .json or .npy")),
        }
    }
}

/// Writes the matrix with the labels of its rows and columns: as the header and a first column `label` of a table, as
/// `labels` beside `distances` in JSON; npy has only the numbers. Undefined values (the diagonal for a class with a
/// single row) are empty or null, and NaN in npy.
///
/// # Errors
/// Errors of the writer.
pub fn write(
    labels: &[Label],
    distances: &Array2<Option<f64>>,
    format: MatrixFormat,
    writer: &mut dyn Write,
) -> WriteResult {
    let names: Vec<String> = labels.iter().map(ToString::to_string).collect();
    match format {
        MatrixFormat::Csv => {
            let mut writer = csv::Writer::from_writer(writer);
            writer.write_record(std::iter::once("label").chain(names.iter().map(String::as_str)))?;
            for (name, row) in names.iter().zip(distances.rows()) {
                let cells = row.iter().map(|distance| distance.map(exact).unwrap_or_default());
                writer.write_record(std::iter::once(name.clone()).chain(cells))?;
            }
            Ok(writer.flush()?)
        }
        MatrixFormat::Parquet => {
            // If a class is named like the first column, the column gets another name.
            let mut title = "label".to_owned();
            while names.contains(&title) {
                title.push('_');
            }
            let mut columns: Vec<Column> = vec![Series::new(title.into(), &names).into()];
            for (name, column) in names.iter().zip(distances.columns()) {
                columns.push(Series::new(name.into(), column.to_vec()).into());
            }
            write_parquet(columns, writer)
        }
        MatrixFormat::Json => {
            let rows: Vec<Vec<Option<f64>>> = distances.rows().into_iter().map(|row| row.to_vec()).collect();
            serde_json::to_writer(&mut *writer, &json!({"labels": names, "distances": rows}))?;
            Ok(writer.write_all(b"\n")?)
        }
        MatrixFormat::Npy => Ok(distances.mapv(|distance| distance.unwrap_or(f64::NAN)).write_npy(writer)?),
    }
}
