//! The result as JSON, schema version 1.

use clap::ValueEnum;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;

use embq_core::comparison::Comparison;
use embq_core::drift::DriftResult;
use embq_core::error::{Error, Result};
use embq_core::evaluation::{Evaluation, EvaluationSet, Kind, SCHEMA_VERSION};
use embq_core::objective::ObjectiveResult;
use embq_core::suspects::SuspectList;

/// The result, or a set of several, as indented JSON; numbers read back bit for bit.
///
/// # Errors
/// Never for an evaluation.
pub fn render(results: &[Evaluation]) -> Result<String> {
    match results {
        [only] => serialise(only),
        several => serialise(&EvaluationSet { kind: Kind::Set, results: several.to_vec() }),
    }
}

/// A command whose result has a schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    #[default]
    Score,
    Compare,
    Grad,
    Suspects,
    Drift,
}

/// What `embq score` writes.
#[derive(JsonSchema)]
#[serde(untagged)]
#[allow(dead_code)] // only used for its schema
enum Document {
    One(Box<Evaluation>),
    Several(EvaluationSet),
}

/// The JSON Schema of what a command writes.
///
/// # Errors
/// As for [`render`].
pub fn schema(of: SchemaOf) -> Result<String> {
    match of {
        SchemaOf::Score => schema_of::<Document>("score"),
        SchemaOf::Compare => schema_of::<Comparison>("compare"),
        SchemaOf::Grad => schema_of::<ObjectiveResult>("grad"),
        SchemaOf::Suspects => schema_of::<SuspectList>("suspects"),
        SchemaOf::Drift => schema_of::<DriftResult>("drift"),
    }
}

fn schema_of<T: JsonSchema>(command: &str) -> Result<String> {
    let mut schema = SchemaSettings::default().for_serialize().into_generator().into_root_schema_for::<T>();
    schema.insert("$id".into(), format!("urn:embq:schema:{command}:{SCHEMA_VERSION}").into());
    schema.insert("title".into(), format!("Result of embq {command}, schema version {SCHEMA_VERSION}").into());
    serialise(&schema)
}

/// Serialises data as indented JSON with a final newline.
///
/// # Errors
/// Data that JSON cannot represent.
pub fn serialise(value: &impl serde::Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value);
    let mut text = text.map_err(|error| Error::Setting {
        problem: format!("the result cannot be written as JSON: {error}"),
        cure: None,
    })?;
    text.push('\n');
    Ok(text)
}
