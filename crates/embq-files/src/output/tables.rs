//! Tables as Parquet files.

use std::io::Write;

use polars::prelude::{Column, DataFrame};
use polars_io::prelude::ParquetWriter;

use crate::output::WriteResult;

/// Writes columns of the same length as a Parquet file.
///
/// # Errors
/// Errors of the writer.
pub(crate) fn write_parquet(columns: Vec<Column>, writer: &mut dyn Write) -> WriteResult {
    let height = columns.first().map_or(0, Column::len);
    let mut table = DataFrame::new(height, columns)?;
    ParquetWriter::new(writer).finish(&mut table)?;
    Ok(())
}
