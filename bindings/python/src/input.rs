//! Inputs from Python: arrays, or files read as by the program.

use std::sync::Arc;

use embq_core::Result;
use embq_core::data::{Embeddings, LabelColumn, Origin, RowWeights};
use embq_files::input::{self, ReadOptions};
use numpy::{PyReadonlyArray1, PyUntypedArray};
use pyo3::prelude::*;

use crate::labels::Labels;
use crate::rows;

/// Embeddings in a file, or a matrix with its element type and its name in errors.
#[derive(FromPyObject)]
pub(crate) enum GivenRows<'py> {
    File(String),
    Array((Bound<'py, PyUntypedArray>, String, String)),
    Sparse(SparseParts<'py>),
}

/// Row offsets, the column indices and values of the nonzero entries, the number of columns, the original element type,
/// and the name in errors.
type SparseParts<'py> =
    (PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, i64>, PyReadonlyArray1<'py, f64>, usize, String, String);

/// Labels in a file or column, or in memory.
#[derive(FromPyObject)]
pub(crate) enum GivenLabels<'py> {
    File(String),
    Labels(PyRef<'py, Labels>),
}

/// Row weights in a file or column, or in memory.
#[derive(FromPyObject)]
pub(crate) enum GivenWeights<'py> {
    File(String),
    Values(PyReadonlyArray1<'py, f64>),
}

/// Embeddings, detached from the interpreter.
pub(crate) enum Rows {
    File(String),
    Memory(Embeddings),
}

/// Labels, detached from the interpreter.
#[derive(Clone)]
pub(crate) enum LabelSource {
    File(String),
    Column(Arc<LabelColumn>),
}

/// Row weights, detached from the interpreter.
#[derive(Clone)]
pub(crate) enum Weights {
    File(String),
    Values(Vec<f64>),
}

impl GivenWeights<'_> {
    pub(crate) fn weights(&self) -> Weights {
        match self {
            GivenWeights::File(spec) => Weights::File(spec.clone()),
            GivenWeights::Values(values) => Weights::Values(values.as_array().to_vec()),
        }
    }
}

impl GivenRows<'_> {
    pub(crate) fn rows(&self) -> PyResult<Rows> {
        match self {
            GivenRows::File(path) => Ok(Rows::File(path.clone())),
            GivenRows::Array((array, element_type, name)) => {
                rows::embeddings(array, element_type, name).map(Rows::Memory)
            }
            GivenRows::Sparse((starts, columns, values, dimensions, element_type, name)) => {
                let (starts, columns, values) = (starts.as_slice()?, columns.as_slice()?, values.as_slice()?);
                rows::sparse_embeddings(starts, columns, values, *dimensions, element_type, name).map(Rows::Memory)
            }
        }
    }
}

impl GivenLabels<'_> {
    pub(crate) fn source(&self) -> LabelSource {
        match self {
            GivenLabels::File(spec) => LabelSource::File(spec.clone()),
            GivenLabels::Labels(labels) => LabelSource::Column(Arc::clone(&labels.0)),
        }
    }
}

/// All parts of one input.
pub(crate) struct Loaded {
    pub(crate) embeddings: Embeddings,
    /// As many as were requested, in order.
    pub(crate) labels: Vec<Arc<LabelColumn>>,
    pub(crate) weights: Option<RowWeights>,
}

/// Reads the parts that are in files.
///
/// # Errors
/// Those of the file readers.
pub(crate) fn load(rows: Rows, labels: Vec<LabelSource>, weights: Option<Weights>) -> Result<Loaded> {
    let (embeddings, from_files, weights) = match rows {
        Rows::File(path) => {
            let specs: Vec<&str> = labels.iter().filter_map(spec).collect();
            let (weight_file, values) = match weights {
                Some(Weights::File(spec)) => (Some(spec), None),
                Some(Weights::Values(values)) => (None, Some(in_memory(values))),
                None => (None, None),
            };
            let loaded = input::load_with(&path, &specs, weight_file.as_deref(), &ReadOptions::default())?;
            (loaded.embeddings, loaded.labels, loaded.weights.or(values))
        }
        Rows::Memory(embeddings) => {
            let from_files = labels.iter().filter_map(spec).map(input::labels).collect::<Result<_>>()?;
            let weights = match weights {
                Some(Weights::File(spec)) => {
                    Some(RowWeights { origin: Origin::new(&spec), values: input::numbers(&spec)? })
                }
                Some(Weights::Values(values)) => Some(in_memory(values)),
                None => None,
            };
            (embeddings, from_files, weights)
        }
    };
    let mut from_files = from_files.into_iter().map(Arc::new);
    let columns = labels.into_iter().filter_map(|labels| match labels {
        LabelSource::File(_) => from_files.next(),
        LabelSource::Column(column) => Some(column),
    });
    Ok(Loaded { embeddings, labels: columns.collect(), weights })
}

fn spec(labels: &LabelSource) -> Option<&str> {
    match labels {
        LabelSource::File(spec) => Some(spec),
        LabelSource::Column(_) => None,
    }
}

fn in_memory(values: Vec<f64>) -> RowWeights {
    RowWeights { origin: Origin::new("sample_weight"), values }
}
