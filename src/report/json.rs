//! The result as JSON, schema version 1.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use crate::error::{Error, Result};
use crate::evaluation::{Evaluation, EvaluationSet, Kind};

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
    let mut schema = SchemaSettings::default().for_serialize().into_generator().into_root_schema_for::<Document>();
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
