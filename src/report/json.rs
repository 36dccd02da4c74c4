//! The result as JSON, schema version 1.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use embq_core::error::{Error, Result};
use embq_core::evaluation::{Evaluation, EvaluationSet, Kind, SCHEMA_VERSION};

/// The result, indented, or a set of several; numbers read back bit for bit.
///
/// # Errors
/// A result that is not JSON, which no evaluation is.
pub fn render(results: &[Evaluation]) -> Result<String> {
    match results {
        [only] => serialise(only),
        several => serialise(&EvaluationSet { kind: Kind::Set, results: several.to_vec() }),
    }
}

/// What `embq score` writes.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)] // only its schema is wanted
enum Document {
    One(Box<Evaluation>),
    Several(EvaluationSet),
}

/// The JSON Schema of a result of `embq score`.
///
/// # Errors
/// As for [`render`].
pub fn schema() -> Result<String> {
    schema_of::<Document>("score")
}

/// The JSON Schema of what a command writes.
///
/// # Errors
/// As for [`render`].
pub(crate) fn schema_of<T: JsonSchema>(command: &str) -> Result<String> {
    let mut schema = SchemaSettings::default().for_serialize().into_generator().into_root_schema_for::<T>();
    schema.insert("$id".into(), format!("urn:embq:schema:{command}:{SCHEMA_VERSION}").into());
    schema.insert("title".into(), format!("Result of embq {command}, schema version {SCHEMA_VERSION}").into());
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
        cure: None,
    })?;
    text.push('\n');
    Ok(text)
}
