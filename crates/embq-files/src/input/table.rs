//! Tables of named columns: choosing embeddings, labels and weights among them works the same for every format.

use std::sync::Arc;

use crate::input::Role;
use crate::input::cells::Cell;
use crate::input::choice::{self, Candidate, Choice, Form, Nature};
use embq_core::data::{ElementType, Embeddings, LabelType, Origin};
use embq_core::error::{Error, Result};

/// An opened table: its columns are known, its rows are read on demand.
pub(crate) trait Table {
    /// The columns in file order, with unique names.
    fn columns(&self) -> &[Column];

    /// Whether the columns are named by position because the file has no names.
    fn is_positional(&self) -> bool {
        false
    }

    /// The number of rows, if the file says it. Where it says that there are none, none can have been cut off.
    fn rows(&self) -> Option<usize> {
        None
    }

    /// Reads a list column, or number columns side by side, as a matrix.
    fn matrix(&self, columns: &[usize], origin: Origin) -> Result<Embeddings>;

    /// Visits the cells of `columns`, in row order within each column; the first argument of `visit` is the index into
    /// `columns`.
    fn cells(&self, columns: &[usize], visit: &mut VisitColumns<'_>) -> Result<()>;
}

/// Receives the cells of a table: index into the requested columns, row, value.
pub(crate) type VisitColumns<'v> = dyn FnMut(usize, usize, Cell<'_>) -> Result<()> + 'v;

/// A column of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub name: String,
    pub kind: Kind,
    /// The type as users write it.
    pub dtype: String,
    /// Whether the file declares it an index of rows.
    pub is_index: bool,
    /// Whether it is an array on its own, whose length may differ from those of other arrays, so that it is not a
    /// dimension of vectors.
    pub is_array: bool,
    /// The class names that integers stand for.
    pub classes: Option<Arc<[String]>>,
    /// The reason why a column that looks like vectors is not read as such.
    pub unreadable: Option<Unreadable>,
}

/// The reason why something that looks like vectors cannot be read as such, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    /// The reason, worded to follow the name.
    pub why: String,
    pub tip: String,
    /// Whether it contains only integers.
    pub integers: bool,
}

impl Unreadable {
    /// Lists of several vectors.
    pub fn nested() -> Self {
        Unreadable {
            why: "has several vectors per row, such as those of tokens".to_owned(),
            tip: "reduce each row to one vector first: pool the tokens, for example by their mean".to_owned(),
            integers: false,
        }
    }

    /// Lists whose lengths differ too much.
    pub fn uneven(integers: bool) -> Self {
        Unreadable {
            why: "has lists of different lengths".to_owned(),
            tip: "embeddings have one vector per row, all of the same length: pool the lists first".to_owned(),
            integers,
        }
    }

    /// Vectors that were printed with `...` in them.
    pub fn shortened() -> Self {
        Unreadable {
            why: "has vectors that NumPy abbreviated with '...', so values are missing".to_owned(),
            tip: "write all numbers: numpy.save, or a column of value.tolist()".to_owned(),
            integers: false,
        }
    }
}

impl Column {
    /// A column with no further attributes.
    pub fn new(name: impl Into<String>, kind: Kind, dtype: impl Into<String>) -> Self {
        Column {
            name: name.into(),
            kind,
            dtype: dtype.into(),
            is_index: false,
            is_array: false,
            classes: None,
            unreadable: None,
        }
    }

    /// The column as a candidate for the embeddings.
    pub fn candidate(&self) -> Candidate {
        let nature = match self.kind {
            Kind::Float(_) | Kind::Integer(_) if self.is_array => Nature::Values,
            Kind::Float(_) => Nature::Number { whole: false },
            // Class names make it a label.
            Kind::Integer(_) if self.classes.is_some() => Nature::Values,
            Kind::Integer(_) => Nature::Number { whole: true },
            Kind::Numeral { whole } => Nature::Number { whole },
            Kind::Sparse | Kind::TextList => Nature::Vectors(Form::Floats),
            Kind::List(element_type) | Kind::Nested(element_type) if element_type.is_float() => {
                Nature::Vectors(Form::Floats)
            }
            Kind::List(_) | Kind::Nested(_) => Nature::Vectors(Form::Integers),
            Kind::Base64 | Kind::Bytes => Nature::Vectors(Form::Bytes),
            Kind::Boolean | Kind::Text => Nature::Values,
            Kind::Other => match &self.unreadable {
                Some(Unreadable { why, tip, integers }) => {
                    Nature::Unreadable { why: why.clone(), tip: tip.clone(), integers: *integers }
                }
                None => Nature::Other,
            },
        };
        Candidate { name: self.name.clone(), nature, shape: self.dtype.clone(), is_index: self.is_index }
    }
}

/// What the values of a column can be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Float(ElementType),
    Integer(ElementType),
    Boolean,
    Text,
    /// Text that parses as numbers, in an untyped format; whole if none of the first rows has a fraction.
    Numeral {
        whole: bool,
    },
    /// A list of numbers per row.
    List(ElementType),
    /// A list of one list of numbers per row.
    Nested(ElementType),
    /// A Spark ML vector, dense or sparse.
    Sparse,
    /// A vector written as text per row.
    TextList,
    /// Base64 of little-endian float32.
    Base64,
    /// Bytes that are little-endian float32.
    Bytes,
    Other,
}

impl Kind {
    /// Whether the column is one vector per row.
    pub fn is_vectors(self) -> bool {
        matches!(self, Kind::List(_) | Kind::Nested(_) | Kind::Sparse | Kind::TextList | Kind::Base64 | Kind::Bytes)
    }

    /// Whether the column is one number per row.
    pub fn is_number(self) -> bool {
        matches!(self, Kind::Float(_) | Kind::Integer(_) | Kind::Numeral { .. })
    }

    /// The type of labels read from the column; `None` if it cannot contain labels.
    pub fn label_type(self) -> Option<LabelType> {
        match self {
            Kind::Float(_) | Kind::Integer(_) => Some(LabelType::Integer),
            Kind::Boolean => Some(LabelType::Boolean),
            Kind::Text | Kind::Numeral { .. } | Kind::Base64 => Some(LabelType::Text),
            Kind::List(_) | Kind::Nested(_) | Kind::Sparse | Kind::TextList | Kind::Bytes | Kind::Other => None,
        }
    }
}

/// The element type of columns side by side: their common type, or else float64.
pub(crate) fn common_element_type(kinds: impl IntoIterator<Item = Kind>) -> ElementType {
    let mut types = kinds.into_iter().map(|kind| match kind {
        Kind::Float(element_type)
        | Kind::Integer(element_type)
        | Kind::List(element_type)
        | Kind::Nested(element_type) => element_type,
        Kind::Base64 | Kind::Bytes => ElementType::F32,
        Kind::Boolean | Kind::Text | Kind::Numeral { .. } | Kind::TextList | Kind::Sparse | Kind::Other => {
            ElementType::F64
        }
    });
    match types.next() {
        Some(first) if types.all(|other| other == first) => first,
        _ => ElementType::F64,
    }
}

pub(crate) fn find(path: &str, columns: &[Column], name: &str) -> Result<usize> {
    position(columns, name).ok_or_else(|| unknown(path, columns, name))
}

fn position(columns: &[Column], name: &str) -> Option<usize> {
    named(columns.iter().map(|column| column.name.as_str()), name)
}

/// The index of a name. In AnnData files, row data is under `obs` and `obsm`, a prefix that may be omitted.
pub(crate) fn named<'a>(names: impl Iterator<Item = &'a str> + Clone, wanted: &str) -> Option<usize> {
    let place = |name: &str| names.clone().position(|other| other == name);
    place(wanted).or_else(|| ["obs/", "obsm/"].iter().find_map(|group| place(&format!("{group}{wanted}"))))
}

/// The error for a missing column.
pub(crate) fn unknown(path: &str, columns: &[Column], name: &str) -> Error {
    Error::UnknownSelector {
        path: path.to_owned(),
        kind: "column",
        wanted: name.to_owned(),
        available: names(columns, |_| true),
    }
}

/// The only column of a table, apart from an index of rows.
pub(crate) fn only_column(path: &str, columns: &[Column], role: Role) -> Result<usize> {
    let is_index = |position: &usize| choice::is_index(&columns[*position].candidate(), *position);
    let values: Vec<usize> = (0..columns.len()).filter(|position| !is_index(position)).collect();
    if let [only] = values[..] {
        return Ok(only);
    }
    if columns.len() == 1 {
        return Ok(0);
    }
    Err(Error::SelectorNeeded {
        path: path.to_owned(),
        problem: format!("which column holds the {}? write {path}:COLUMN", role.name()),
        available: names(columns, |_| true),
    })
}

fn names(columns: &[Column], wanted: impl Fn(&Column) -> bool) -> Vec<String> {
    columns.iter().filter(|column| wanted(column)).map(|column| column.name.clone()).collect()
}

fn unusable(path: &str, column: &Column, role: Role) -> Error {
    let tip = match role {
        Role::Embeddings => "embeddings are a list column of numbers, or numeric columns (FIRST..LAST)",
        Role::Labels => "labels are integers, text, booleans or categories: convert the column before saving",
        Role::Weights => "row weights are numbers",
    };
    Error::ElementType {
        name: format!("{path}:{}", column.name),
        found: column.dtype.clone(),
        role: role.name(),
        tip: Some(tip.to_owned()),
    }
}

/// Chooses the embeddings: the selected columns, or else what the file contains; `taken` columns are used by other
/// options.
pub(crate) fn choose(table: &dyn Table, path: &str, selector: Option<&str>, taken: &[usize]) -> Result<Choice> {
    let candidates: Vec<Candidate> = table.columns().iter().map(Column::candidate).collect();
    let place = choice::Place { path, noun: "column", positional: table.is_positional() };
    choice::choose(place, &candidates, selector, taken)
}

pub(crate) fn embeddings(table: &dyn Table, path: &str, selector: Option<&str>, taken: &[usize]) -> Result<Embeddings> {
    let columns = table.columns();
    let Choice { columns: chosen, chosen: how, selector, notes } = choose(table, path, selector, taken)?;
    let names: Vec<String> = chosen.iter().map(|&position| columns[position].name.clone()).collect();
    let origin = match selector {
        Some(selector) => Origin::with_selector(path, selector),
        None => Origin::new(path),
    };
    let embeddings = table.matrix(&chosen, origin)?.with_choice(how, notes);
    let is_vectors = matches!(chosen[..], [only] if columns[only].kind.is_vectors());
    Ok(if is_vectors { embeddings } else { embeddings.with_columns(names) })
}

/// The type of labels read from a column.
pub(crate) fn label_type(table: &dyn Table, path: &str, position: usize) -> Result<LabelType> {
    let column = &table.columns()[position];
    let several = || Error::Malformed {
        name: format!("{path}:{}", column.name),
        problem: format!("each row holds several values ({}): a silhouette needs one label per row", column.dtype),
        tip: Some("keep one label for each row, such as the first, or the position of the largest (argmax)".to_owned()),
    };
    match column.kind.label_type() {
        Some(LabelType::Integer) if column.classes.is_some() => Ok(LabelType::Text),
        Some(label_type) => Ok(label_type),
        None if column.kind.is_vectors() || column.dtype.starts_with("list") => Err(several()),
        None => Err(unusable(path, column, Role::Labels)),
    }
}

/// Checks that a column can be row weights.
pub(crate) fn require_weights(table: &dyn Table, path: &str, position: usize) -> Result<()> {
    let column = &table.columns()[position];
    if column.kind.is_number() { Ok(()) } else { Err(unusable(path, column, Role::Weights)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str, kind: Kind) -> Column {
        Column::new(name, kind, format!("{kind:?}"))
    }

    const F32: Kind = Kind::Float(ElementType::F32);
    #[test]
    fn columns_of_one_type_keep_it_and_others_meet_in_float64() {
        let f16 = Kind::Float(ElementType::F16);
        assert_eq!(common_element_type([f16, f16]), ElementType::F16);
        assert_eq!(common_element_type([f16, F32]), ElementType::F64);
        assert_eq!(common_element_type([Kind::Numeral { whole: true }]), ElementType::F64);
    }

    #[test]
    fn a_table_of_one_column_needs_no_selector() {
        let label = || column("label", Kind::Text);
        assert_eq!(only_column("t", &[label()], Role::Labels).unwrap(), 0);
        let index = column("", Kind::Numeral { whole: true });
        assert_eq!(only_column("t", &[index, label()], Role::Labels).unwrap(), 1);
        let error = only_column("t", &[column("x", F32), label()], Role::Labels).unwrap_err();
        assert!(matches!(&error, Error::SelectorNeeded { available, .. } if available.len() == 2));
        assert!(error.to_string().contains("t:COLUMN"), "{error}");
    }
}
