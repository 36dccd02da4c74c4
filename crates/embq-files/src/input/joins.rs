//! Matches the rows of two tables that both name their rows.
//!
//! Rows are paired by position. If both tables name their rows, the names must agree; with a key, rows are joined by
//! it.

use std::collections::HashMap;

use crate::input::Own;
use crate::input::shards::Opened;
use embq_core::data::{Label, LabelColumn, Origin, RowWeights};
use embq_core::error::{Error, Result};

/// The key that stands for the index of each table.
const INDEX: &str = "index";

/// Joins the rows of other tables to those of the embeddings.
pub(super) struct Joins<'a> {
    own: &'a Own,
    key: Option<&'a str>,
    /// The row names of the embeddings, once read.
    names: Option<Option<LabelColumn>>,
}

impl<'a> Joins<'a> {
    pub(super) fn new(own: &'a Own, key: Option<&'a str>) -> Self {
        Joins { own, key, names: None }
    }

    /// For each row of the embeddings, the matching row of another table; `None` if rows are paired by position.
    ///
    /// # Errors
    /// Without a key, names in another order or on one side only; a key that is missing from a table or has duplicates.
    pub(super) fn rows(&mut self, other: &Opened, origin: &Origin) -> Result<Option<Vec<Option<usize>>>> {
        let wanted = self.key.filter(|key| *key != INDEX);
        let (mut own_column, mut other_column) = (self.own.opened.key_column(wanted), other.key_column(wanted));
        // An index written as CSV is an ordinary column, known by its name in the other table.
        let named = |opened: &Opened, name: &Option<String>| name.clone().filter(|name| opened.names().contains(name));
        if own_column.is_some() && other_column.is_none() {
            other_column = named(other, &own_column);
        } else if other_column.is_some() && own_column.is_none() {
            own_column = named(&self.own.opened, &other_column);
        }
        let (Some(own_column), Some(other_column)) = (own_column, other_column) else {
            return match self.key {
                Some(key) => Err(self.no_key(key, other, &origin.path)),
                None => Ok(None),
            };
        };
        // A column that is read as data does not name the rows.
        if self.key.is_none() && origin.selector.as_deref() == Some(other_column.as_str()) {
            return Ok(None);
        }
        let own = match &self.names {
            Some(names) => names,
            None => {
                let names = self.own.opened.labels(Some(&own_column)).ok().map(|(names, _)| names);
                self.names.insert(names)
            }
        };
        let names = other.labels(Some(&other_column));
        let (Some(own), Ok((names, _))) = (own, names) else {
            return match self.key {
                Some(key) => Err(self.no_key(key, other, &origin.path)),
                None => Ok(None),
            };
        };
        match self.key {
            Some(_) => join(own, &names).map(Some),
            None => check(own, &names).map(|()| None),
        }
    }

    fn no_key(&self, key: &str, other: &Opened, path: &str) -> Error {
        let wanted = Some(key).filter(|key| *key != INDEX);
        let (without, names) = match self.own.opened.key_column(wanted) {
            None => (self.own.path().to_owned(), self.own.names.clone()),
            Some(_) => (path.to_owned(), other.names()),
        };
        let problem = if key == INDEX {
            "--key index: it has no index column that names the rows".to_owned()
        } else {
            format!("--key: it has no column '{key}', and no index")
        };
        Error::SelectorNeeded { path: without, problem, available: names }
    }
}

/// The row of each name.
fn places(names: &LabelColumn) -> HashMap<&Label, usize> {
    (0..names.len()).filter_map(|row| Some((names.get(row)?, row))).collect()
}

/// Checks that both have the same names in the same order, as pairing by position requires.
fn check(own: &LabelColumn, other: &LabelColumn) -> Result<()> {
    let same = |row: usize| own.get(row) == other.get(row);
    if own.len() == other.len() && (0..own.len()).all(same) {
        return Ok(());
    }
    let (own_places, other_places) = (places(own), places(other));
    let only_own = own_places.keys().filter(|name| !other_places.contains_key(*name)).count();
    let only_other = other_places.keys().filter(|name| !own_places.contains_key(*name)).count();
    let are_numbers = |names: &LabelColumn| names.dictionary().iter().all(|name| matches!(name, Label::Integer(_)));
    // Numbers that count the rows of one table do not name those of another.
    if are_numbers(own) && are_numbers(other) && only_own + only_other > 0 {
        return Ok(());
    }
    let (left, right) = (own.origin(), other.origin());
    if only_own + only_other == 0 && own.len() == other.len() {
        let row = (0..own.len()).find(|&row| !same(row)).unwrap_or(0);
        let name = |names: &LabelColumn| names.get(row).map(Label::to_string).unwrap_or_default();
        return Err(Error::Choice {
            path: right.path.clone(),
            problem: format!(
                "its rows are those of {} in another order: row {row} is '{}' here and '{}' there",
                left.path,
                name(other),
                name(own)
            ),
            tip: "join them by these names with --key index".to_owned(),
        });
    }
    let shared = own_places.len() - only_own;
    if shared == 0 {
        // Two different naming schemes say nothing about which rows match.
        let tip = "if the rows are in the same order, leave the column of names out of one of the files";
        let problem = format!("none of its row names is one of {}", left.path);
        return Err(Error::Choice { path: right.path.clone(), problem, tip: tip.to_owned() });
    }
    Err(Error::Choice {
        path: right.path.clone(),
        problem: format!(
            "its row names are not those of {}: {shared} are in both, {only_own} only there, {only_other} only here",
            left.path
        ),
        tip: "join them with --key index; --drop-null-labels then leaves rows without a label out".to_owned(),
    })
}

/// The row of each name in another table; `None` if it is missing there.
fn join(own: &LabelColumn, other: &LabelColumn) -> Result<Vec<Option<usize>>> {
    let mut places: HashMap<String, usize> = HashMap::new();
    for row in 0..other.len() {
        let Some(name) = other.get(row) else { continue };
        if let Some(first) = places.insert(name.to_string(), row) {
            return Err(Error::Choice {
                path: other.origin().to_string(),
                problem: format!("'{name}' appears twice, in rows {first} and {row}"),
                tip: "join by a column of unique values".to_owned(),
            });
        }
    }
    let rows: Vec<Option<usize>> =
        (0..own.len()).map(|row| own.get(row).and_then(|name| places.get(&name.to_string()).copied())).collect();
    if rows.iter().all(Option::is_none) {
        return Err(Error::Choice {
            path: other.origin().to_string(),
            problem: format!("none of its {} names is in {}", other.len(), own.origin()),
            tip: "see how the names are written in both: embq inspect FILE".to_owned(),
        });
    }
    Ok(rows)
}

/// Weights in the order of the rows they belong to.
///
/// # Errors
/// A row has no weight.
pub(super) fn joined_weights(weights: &RowWeights, rows: &[Option<usize>]) -> Result<RowWeights> {
    let missing = rows.iter().filter(|row| row.is_none()).count();
    let values = rows.iter().map(|row| row.and_then(|row| weights.values.get(row).copied()));
    match values.collect::<Option<Vec<f64>>>() {
        Some(values) => Ok(RowWeights { origin: weights.origin.clone(), values }),
        None => Err(Error::Choice {
            path: weights.origin.to_string(),
            problem: format!("{missing} rows of the embeddings have no weight in it"),
            tip: "give every row a weight".to_owned(),
        }),
    }
}
