//! States of parts of a set, as Arrow IPC files: columns as they are, and the header in the metadata of the schema.

use std::io::Write;
use std::sync::Arc;

use polars_arrow::array::{Array, FixedSizeListArray, ListArray, PrimitiveArray, Utf8Array};
use polars_arrow::datatypes::{ArrowDataType, ArrowSchema, Field, Metadata};
use polars_arrow::io::ipc::write::{FileWriter, WriteOptions};
use polars_arrow::offset::OffsetsBuffer;
use polars_arrow::record_batch::RecordBatchT;

use crate::output::WriteResult;
use embq_core::partial::{StateColumn, StateTable};

/// The entry of the metadata that holds the header.
pub(crate) const HEADER: &str = "embq";
/// That of the checksum.
pub(crate) const CHECKSUM: &str = "embq_checksum";

/// Writes a state.
///
/// # Errors
/// What the writer reports.
pub fn write(table: StateTable, writer: &mut dyn Write) -> WriteResult {
    let entries = [(HEADER, table.header_text().to_owned()), (CHECKSUM, table.checksum())];
    let mut fields = Vec::new();
    let mut arrays: Vec<Box<dyn Array>> = Vec::new();
    for (name, column) in table.into_columns() {
        let is_nullable = matches!(column, StateColumn::Text(_));
        let array = array(column)?;
        fields.push(Field::new(name.into(), array.dtype().clone(), is_nullable));
        arrays.push(array);
    }
    let rows = arrays.first().map_or(0, |array| array.len());
    let schema: Arc<ArrowSchema> = Arc::new(fields.into_iter().map(|field| (field.name.clone(), field)).collect());
    let metadata: Metadata = entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
    let mut file = FileWriter::new(writer, Arc::clone(&schema), None, WriteOptions { compression: None });
    file.set_custom_schema_metadata(Arc::new(metadata));
    file.start()?;
    file.write(&RecordBatchT::try_new(rows, schema, arrays)?, None)?;
    Ok(file.finish()?)
}

fn array(column: StateColumn) -> Result<Box<dyn Array>, Box<dyn std::error::Error + Send + Sync>> {
    Ok(match column {
        StateColumn::Text(values) => Box::new(Utf8Array::<i64>::from(&values)),
        StateColumn::Integers(values) => Box::new(PrimitiveArray::from_vec(values)),
        StateColumn::Numbers(values) => Box::new(PrimitiveArray::from_vec(values)),
        StateColumn::Vectors { width, values } => {
            let numbers = Field::new("item".into(), ArrowDataType::Float64, false);
            let dtype = ArrowDataType::FixedSizeList(Box::new(numbers), width);
            let rows = values.len() / width.max(1);
            Box::new(FixedSizeListArray::try_new(dtype, rows, Box::new(PrimitiveArray::from_vec(values)), None)?)
        }
        StateColumn::Lists(values) => {
            let mut ends = vec![0_i64];
            let mut end = 0;
            for list in &values {
                end += list.len() as i64;
                ends.push(end);
            }
            let dtype = ListArray::<i64>::default_datatype(ArrowDataType::UInt64);
            let numbers: Vec<u64> = values.iter().flatten().copied().collect();
            let offsets = OffsetsBuffer::try_from(ends)?;
            Box::new(ListArray::try_new(dtype, offsets, Box::new(PrimitiveArray::from_vec(numbers)), None)?)
        }
    })
}
