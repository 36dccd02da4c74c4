//! The result as JSON, schema version 1.

use schemars::generate::SchemaSettings;

use crate::error::{Error, Result};
use crate::evaluation::Evaluation;

/// The result, indented; numbers read back bit for bit.
///
/// # Errors
/// A result that is not JSON, which no evaluation is.
pub fn render(evaluation: &Evaluation) -> Result<String> {
    serialise(evaluation)
}

/// The JSON Schema of a result of `embq score`.
///
/// # Errors
/// As for [`render`].
pub fn schema() -> Result<String> {
    let mut schema = SchemaSettings::default().for_serialize().into_generator().into_root_schema_for::<Evaluation>();
    schema.insert("$id".into(), "urn:embq:schema:score:1".into());
    schema.insert("title".into(), "Result of embq score, schema version 1".into());
    serialise(&schema)
}

/// Any plain data as indented JSON with a final newline.
///
/// # Errors
/// Data that JSON cannot hold.
pub fn serialise(value: &impl serde::Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value);
    let mut text = text.map_err(|error| Error::Setting {
        problem: format!("the result cannot be written as JSON: {error}"),
        tip: None,
    })?;
    text.push('\n');
    Ok(text)
}
