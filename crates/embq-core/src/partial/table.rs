//! States as tables, for files and for engines that carry them.

use std::sync::OnceLock;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::data::{Label, LabelType};
use crate::error::{Error, Result};
use crate::metrics::StateKind;
use crate::partial::STATE_VERSION;
use crate::partial::header::{Header, Part};

/// A state as named columns of one length, and a header as JSON.
#[derive(Clone, Debug, PartialEq)]
pub struct StateTable {
    header: String,
    columns: Vec<(String, StateColumn)>,
    checksum: Checksum,
}

/// A checksum that is computed when it is first asked for. It tells nothing that its subject does not, so all are equal.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checksum(OnceLock<String>);

impl PartialEq for Checksum {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Checksum {
    pub(crate) fn get(&self, compute: impl FnOnce() -> Result<String>) -> Result<String> {
        if let Some(known) = self.0.get() {
            return Ok(known.clone());
        }
        let computed = compute()?;
        Ok(self.0.get_or_init(|| computed).clone())
    }
}

/// The values of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum StateColumn {
    Text(Vec<Option<String>>),
    Integers(Vec<u64>),
    Numbers(Vec<f64>),
    /// As many numbers for each row as the width says, which is not 0.
    Vectors {
        width: usize,
        values: Vec<f64>,
    },
    /// Any number of integers for each row.
    Lists(Vec<Vec<u64>>),
}

impl StateColumn {
    /// Its rows; `None` where vectors are not whole.
    fn len(&self) -> Option<usize> {
        match self {
            StateColumn::Text(values) => Some(values.len()),
            StateColumn::Integers(values) => Some(values.len()),
            StateColumn::Numbers(values) => Some(values.len()),
            StateColumn::Vectors { width, values } => {
                (*width > 0 && values.len().is_multiple_of(*width)).then(|| values.len() / width)
            }
            StateColumn::Lists(values) => Some(values.len()),
        }
    }

    fn hash(&self, hasher: &mut blake3::Hasher) {
        fn add(hasher: &mut blake3::Hasher, value: u64) {
            hasher.update(&value.to_le_bytes());
        }
        match self {
            StateColumn::Text(values) => {
                for value in values {
                    add(hasher, value.as_ref().map_or(u64::MAX, |text| text.len() as u64));
                    hasher.update(value.as_deref().unwrap_or_default().as_bytes());
                }
            }
            StateColumn::Integers(values) => values.iter().for_each(|&value| add(hasher, value)),
            StateColumn::Numbers(values) | StateColumn::Vectors { values, .. } => {
                let mut bytes = Vec::new();
                for block in values.chunks(1 << 13) {
                    bytes.clear();
                    block.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
                    hasher.update(&bytes);
                }
            }
            StateColumn::Lists(values) => {
                for list in values {
                    add(hasher, list.len() as u64);
                    list.iter().for_each(|&value| add(hasher, value));
                }
            }
        }
    }
}

/// What is known of a stored state before its columns are read.
#[derive(Clone, Debug, PartialEq)]
pub struct StateHeader(Header);

impl StateHeader {
    /// From the header of a table.
    ///
    /// # Errors
    /// A header that is not one, or of another version; `name` is what errors call the state.
    pub fn parse(header: &str, name: &str) -> Result<Self> {
        parse(header, name).map(StateHeader)
    }

    /// Which state it is.
    pub fn kind(&self) -> StateKind {
        self.0.kind
    }

    /// The parts, in the order of their ids.
    pub fn parts(&self) -> &[Part] {
        &self.0.parts
    }
}

/// The order in which states are merged, so that the same states give the same bits: that of the ids of their parts.
pub fn states_in_order(headers: &[StateHeader]) -> Vec<usize> {
    let ids = |header: &StateHeader| -> Vec<String> { header.0.parts.iter().map(|part| part.id.clone()).collect() };
    let mut order: Vec<usize> = (0..headers.len()).collect();
    order.sort_by_cached_key(|&index| ids(&headers[index]));
    order
}

fn parse<H: DeserializeOwned>(header: &str, name: &str) -> Result<H> {
    #[derive(serde::Deserialize)]
    struct Version {
        format_version: u64,
    }
    let damaged = |error: serde_json::Error| malformed(name, &format!("its header cannot be read: {error}"));
    let Version { format_version } = serde_json::from_str(header).map_err(damaged)?;
    if format_version != u64::from(STATE_VERSION) {
        let problem =
            format!("{name} is a state of version {format_version}; this program reads version {STATE_VERSION}");
        return Err(Error::setting(problem, "make all states with one version of embq"));
    }
    serde_json::from_str(header).map_err(damaged)
}

impl StateTable {
    pub(crate) fn new(header: &impl Serialize, columns: Vec<(impl Into<String>, StateColumn)>) -> Result<Self> {
        let header = serde_json::to_string(header).map_err(|error| malformed("the state", &error.to_string()))?;
        let columns = columns.into_iter().map(|(name, column)| (name.into(), column)).collect();
        Ok(StateTable { header, columns, checksum: Checksum::default() })
    }

    /// From a header and columns of one length.
    ///
    /// # Errors
    /// Columns of several lengths, or none; `name` is what errors call the table.
    pub fn of_columns(header: String, columns: Vec<(String, StateColumn)>, name: &str) -> Result<Self> {
        let rows = columns.first().and_then(|(_, column)| column.len());
        if rows.is_none() || columns.iter().any(|(_, column)| column.len() != rows) {
            return Err(malformed(name, "its columns have several lengths"));
        }
        Ok(StateTable { header, columns, checksum: Checksum::default() })
    }

    /// From what a file holds, with what [`StateTable::checksum`] was when it was written.
    ///
    /// # Errors
    /// As [`StateTable::of_columns`], and another checksum.
    pub fn of_stored(header: String, columns: Vec<(String, StateColumn)>, checksum: &str, name: &str) -> Result<Self> {
        let table = StateTable::of_columns(header, columns, name)?;
        if table.checksum() == checksum {
            return Ok(table);
        }
        Err(Error::Malformed {
            name: name.to_owned(),
            problem: "it was altered since it was written: its checksum differs".to_owned(),
            tip: Some("make this state again".to_owned()),
        })
    }

    /// The header, as JSON.
    pub fn header_text(&self) -> &str {
        &self.header
    }

    /// The columns, by name.
    pub fn columns(&self) -> impl Iterator<Item = (&str, &StateColumn)> {
        self.columns.iter().map(|(name, column)| (name.as_str(), column))
    }

    /// The columns, by name.
    pub fn into_columns(self) -> Vec<(String, StateColumn)> {
        self.columns
    }

    /// BLAKE3 of everything in it.
    pub fn checksum(&self) -> String {
        self.checksum.0.get_or_init(|| self.computed_checksum()).clone()
    }

    fn computed_checksum(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let text = |text: &str, hasher: &mut blake3::Hasher| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        text(&self.header, &mut hasher);
        for (name, column) in &self.columns {
            text(name, &mut hasher);
            column.hash(&mut hasher);
        }
        hasher.finalize().to_hex().to_string()
    }

    /// The checksum, to be kept by what is made of the table.
    pub(crate) fn known_checksum(&self) -> Checksum {
        self.checksum();
        self.checksum.clone()
    }

    pub(crate) fn header(&self, kind: StateKind, name: &str) -> Result<Header> {
        let header: Header = parse(&self.header, name)?;
        if header.kind != kind {
            let (is, wanted) = (header.kind.name(), kind.name());
            return Err(Error::setting(
                format!("{name} holds {is}, not {wanted}"),
                "embq partial makes moments; with --moments of all parts scores, and with --scores of all influence",
            ));
        }
        if !header.parts.is_sorted_by(|left, right| left.id <= right.id) || header.parts.is_empty() {
            return Err(malformed(name, "its parts are not in order"));
        }
        if !header.settings.is_sound() {
            return Err(malformed(name, "its settings are not those of states"));
        }
        Ok(header)
    }

    fn column(&self, column: &str, name: &str) -> Result<&StateColumn> {
        let found = self.columns.iter().find(|(known, _)| known == column).map(|(_, column)| column);
        found.ok_or_else(|| malformed(name, &format!("it has no column '{column}'")))
    }

    pub(crate) fn texts(&self, column: &str, name: &str) -> Result<&[Option<String>]> {
        match self.column(column, name)? {
            StateColumn::Text(values) => Ok(values),
            _ => Err(other_type(column, name)),
        }
    }

    pub(crate) fn integers(&self, column: &str, name: &str) -> Result<&[u64]> {
        match self.column(column, name)? {
            StateColumn::Integers(values) => Ok(values),
            _ => Err(other_type(column, name)),
        }
    }

    pub(crate) fn numbers(&self, column: &str, name: &str) -> Result<&[f64]> {
        match self.column(column, name)? {
            StateColumn::Numbers(values) => finite(values, column, name),
            _ => Err(other_type(column, name)),
        }
    }

    pub(crate) fn vectors(&self, column: &str, wanted: usize, name: &str) -> Result<&[f64]> {
        match self.column(column, name)? {
            StateColumn::Vectors { width, values } if *width == wanted => finite(values, column, name),
            _ => Err(other_type(column, name)),
        }
    }

    /// As [`StateTable::vectors`], which are gone from the table then.
    pub(crate) fn take_vectors(&mut self, column: &str, wanted: usize, name: &str) -> Result<Vec<f64>> {
        self.vectors(column, wanted, name)?;
        let found = self.columns.iter_mut().find(|(known, _)| known == column).map(|(_, column)| column);
        match found {
            Some(StateColumn::Vectors { values, .. }) => Ok(std::mem::take(values)),
            _ => Err(other_type(column, name)),
        }
    }

    pub(crate) fn lists(&self, column: &str, name: &str) -> Result<&[Vec<u64>]> {
        match self.column(column, name)? {
            StateColumn::Lists(values) => Ok(values),
            _ => Err(other_type(column, name)),
        }
    }
}

fn finite<'v>(values: &'v [f64], column: &str, name: &str) -> Result<&'v [f64]> {
    if values.iter().all(|value| value.is_finite()) {
        return Ok(values);
    }
    Err(malformed(name, &format!("column '{column}' holds a number that is not finite")))
}

fn other_type(column: &str, name: &str) -> Error {
    malformed(name, &format!("column '{column}' has another type than in a state"))
}

/// A state that cannot be one.
pub(crate) fn malformed(name: &str, problem: &str) -> Error {
    Error::Malformed {
        name: name.to_owned(),
        problem: format!("it is not a state of embq: {problem}"),
        tip: Some("embq partial writes states".to_owned()),
    }
}

/// The label that a text stands for.
pub(crate) fn label_of_text(text: &str, label_type: LabelType) -> Option<Label> {
    match label_type {
        LabelType::Integer => text.parse().ok().map(Label::Integer),
        LabelType::Text => Some(Label::Text(text.to_owned())),
        LabelType::Boolean => text.parse().ok().map(Label::Boolean),
    }
}
