//! Tables of named columns: which of them are embeddings, labels and weights is the same whatever the format.

use std::ops::RangeInclusive;

use crate::input::Role;
use crate::input::cells::Cell;
use embq_core::data::{ElementType, Embeddings, LabelType, Origin};
use embq_core::error::{Error, Result};

/// A table that has been opened: its columns are known, its rows are read when asked for.
pub(crate) trait Table {
    /// The columns in file order; names are unique.
    fn columns(&self) -> &[Column];

    /// Reads a list column, or number columns side by side, as a matrix.
    fn matrix(&self, columns: &[usize], origin: Origin) -> Result<Embeddings>;

    /// Visits the cells of `columns`, each column's rows in order; the first number is the position in `columns`.
    fn cells(&self, columns: &[usize], visit: &mut VisitColumns<'_>) -> Result<()>;
}

/// What a table hands its cells to: position of the column among those asked for, row, value.
pub(crate) type VisitColumns<'v> = dyn FnMut(usize, usize, Cell<'_>) -> Result<()> + 'v;

/// Name and type of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    pub name: String,
    pub kind: Kind,
    /// The type as people write it.
    pub dtype: String,
}

/// What the values of a column are good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Float(ElementType),
    Integer(ElementType),
    Boolean,
    Text,
    /// Text that reads as numbers, in a format without types.
    Numeral,
    /// A list of numbers in each row.
    List(ElementType),
    Other,
}

impl Kind {
    /// Whether the column is a list of floating-point numbers.
    fn is_float_list(self) -> bool {
        matches!(self, Kind::List(ElementType::F16 | ElementType::F32 | ElementType::F64))
    }

    /// Whether the column is one number a row.
    pub fn is_number(self) -> bool {
        matches!(self, Kind::Float(_) | Kind::Integer(_) | Kind::Numeral)
    }

    /// What labels from the column are; `None` where it cannot hold any.
    pub fn label_type(self) -> Option<LabelType> {
        match self {
            Kind::Float(_) | Kind::Integer(_) => Some(LabelType::Integer),
            Kind::Boolean => Some(LabelType::Boolean),
            Kind::Text | Kind::Numeral => Some(LabelType::Text),
            Kind::List(_) | Kind::Other => None,
        }
    }
}

/// The element type of columns side by side: theirs where they agree, else float64.
pub(crate) fn common_element_type(kinds: impl IntoIterator<Item = Kind>) -> ElementType {
    let mut types = kinds.into_iter().map(|kind| match kind {
        Kind::Float(element_type) | Kind::Integer(element_type) | Kind::List(element_type) => element_type,
        Kind::Boolean | Kind::Text | Kind::Numeral | Kind::Other => ElementType::F64,
    });
    match types.next() {
        Some(first) if types.all(|other| other == first) => first,
        _ => ElementType::F64,
    }
}

/// The column of this name.
pub(crate) fn find(path: &str, columns: &[Column], name: &str) -> Result<usize> {
    position(columns, name).ok_or_else(|| unknown(path, columns, name))
}

fn position(columns: &[Column], name: &str) -> Option<usize> {
    named(columns.iter().map(|column| column.name.as_str()), name)
}

/// The place of a name. In AnnData files what belongs to the rows lies in `obs` and `obsm`, which need not be written.
pub(crate) fn named<'a>(names: impl Iterator<Item = &'a str> + Clone, wanted: &str) -> Option<usize> {
    let place = |name: &str| names.clone().position(|other| other == name);
    place(wanted).or_else(|| ["obs/", "obsm/"].iter().find_map(|group| place(&format!("{group}{wanted}"))))
}

/// The error for a column that is not there.
pub(crate) fn unknown(path: &str, columns: &[Column], name: &str) -> Error {
    Error::UnknownSelector {
        path: path.to_owned(),
        kind: "column",
        wanted: name.to_owned(),
        available: names(columns, |_| true),
    }
}

/// The column of a table that has one only.
pub(crate) fn only_column(path: &str, columns: &[Column], role: Role) -> Result<usize> {
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

/// The columns that are the embeddings: those selected, else the only list of floats, else every floating-point (in
/// a format without types: numeric) column. `taken` columns hold labels or weights and are no default.
pub(crate) fn choose(path: &str, columns: &[Column], selector: Option<&str>, taken: &[usize]) -> Result<Vec<usize>> {
    match selector {
        Some(selector) => selected(path, columns, selector),
        None => default(path, columns, taken),
    }
}

fn selected(path: &str, columns: &[Column], selector: &str) -> Result<Vec<usize>> {
    if let Some(position) = position(columns, selector) {
        let usable = matches!(columns[position].kind, Kind::List(_)) || columns[position].kind.is_number();
        return if usable { Ok(vec![position]) } else { Err(unusable(path, &columns[position], Role::Embeddings)) };
    }
    let Some(range) = range(path, columns, selector)? else {
        return Err(unknown(path, columns, selector));
    };
    for column in &columns[range.clone()] {
        if !column.kind.is_number() {
            return Err(unusable(path, column, Role::Embeddings));
        }
    }
    Ok(range.collect())
}

/// `first..last` as positions. Names may hold dots themselves, so every split is tried.
fn range(path: &str, columns: &[Column], selector: &str) -> Result<Option<RangeInclusive<usize>>> {
    let position = |name: &str| position(columns, name);
    let mut splits = (0..selector.len().saturating_sub(1)).filter(|&at| selector.as_bytes()[at..].starts_with(b".."));
    let first_split = splits.clone().next();
    let found = splits.find_map(|at| Some((position(&selector[..at])?, position(&selector[at + 2..])?)));
    match (found, first_split) {
        (Some((first, last)), _) if first <= last => Ok(Some(first..=last)),
        (Some((first, last)), _) => Err(Error::SelectorNeeded {
            path: path.to_owned(),
            problem: format!(
                "the range '{selector}' runs backwards: write {}..{}",
                columns[last].name, columns[first].name
            ),
            available: names(columns, |column| column.kind.is_number()),
        }),
        (None, Some(at)) => {
            let (first, last) = (&selector[..at], &selector[at + 2..]);
            Err(unknown(path, columns, if position(first).is_none() { first } else { last }))
        }
        (None, None) => Ok(None),
    }
}

fn default(path: &str, columns: &[Column], taken: &[usize]) -> Result<Vec<usize>> {
    let free = |wanted: fn(&Column) -> bool| -> Vec<usize> {
        (0..columns.len()).filter(|position| !taken.contains(position) && wanted(&columns[*position])).collect()
    };
    let lists = free(|column| column.kind.is_float_list());
    let problem = match lists.len() {
        1 => return Ok(lists),
        0 => {
            // pandas writes its index as a column without a name, which is no feature.
            let floats = free(|column| {
                matches!(column.kind, Kind::Float(_)) || column.kind == Kind::Numeral && !column.name.is_empty()
            });
            if !floats.is_empty() {
                return Ok(floats);
            }
            format!("no column of floats to read embeddings from; write {path}:COLUMN or {path}:FIRST..LAST")
        }
        _ => {
            let lists = lists.iter().map(|&position| columns[position].name.clone()).collect();
            return Err(Error::SelectorNeeded {
                path: path.to_owned(),
                problem: format!("several list columns could be the embeddings; write {path}:COLUMN"),
                available: lists,
            });
        }
    };
    Err(Error::SelectorNeeded { path: path.to_owned(), problem, available: names(columns, |_| true) })
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

/// The embeddings in a table.
pub(crate) fn embeddings(table: &dyn Table, path: &str, selector: Option<&str>, taken: &[usize]) -> Result<Embeddings> {
    let columns = table.columns();
    let chosen = choose(path, columns, selector, taken)?;
    let names: Vec<String> = chosen.iter().map(|&position| columns[position].name.clone()).collect();
    let is_list = matches!(chosen[..], [only] if matches!(columns[only].kind, Kind::List(_)));
    let origin = match (selector, &names[..]) {
        (Some(selector), _) => Origin::with_selector(path, selector),
        (None, [list]) if is_list => Origin::with_selector(path, list),
        (None, _) => Origin::new(path),
    };
    let embeddings = table.matrix(&chosen, origin)?;
    Ok(if is_list { embeddings } else { embeddings.with_columns(names) })
}

/// What labels from a column are, and whether it has types of its own.
pub(crate) fn label_type(table: &dyn Table, path: &str, position: usize) -> Result<LabelType> {
    let column = &table.columns()[position];
    column.kind.label_type().ok_or_else(|| unusable(path, column, Role::Labels))
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
        Column { name: name.into(), kind, dtype: format!("{kind:?}") }
    }

    const F32: Kind = Kind::Float(ElementType::F32);
    const LIST: Kind = Kind::List(ElementType::F32);

    fn wide() -> Vec<Column> {
        vec![
            column("id", Kind::Integer(ElementType::I64)),
            column("f0", F32),
            column("f1", F32),
            column("name", Kind::Text),
            column("f2", F32),
            column("a..b", F32),
        ]
    }

    #[test]
    fn a_name_or_an_inclusive_range_selects() {
        let pick = |selector| choose("t", &wide(), Some(selector), &[]);
        assert_eq!(pick("f1").unwrap(), [2]);
        assert_eq!(pick("id..f1").unwrap(), [0, 1, 2]);
        assert_eq!(pick("f0..f0").unwrap(), [1]);
        assert_eq!(pick("a..b").unwrap(), [5]);
        assert_eq!(pick("f2..a..b").unwrap(), [4, 5]);
    }

    #[test]
    fn what_cannot_be_selected_is_explained() {
        let pick = |selector| choose("t", &wide(), Some(selector), &[]).unwrap_err();
        let error = pick("f9");
        assert!(
            matches!(&error, Error::UnknownSelector { wanted, available, .. } if wanted == "f9" && available.len() == 6)
        );
        assert!(matches!(pick("f0..f9"), Error::UnknownSelector { wanted, .. } if wanted == "f9"));
        assert!(matches!(pick("x..f1"), Error::UnknownSelector { wanted, .. } if wanted == "x"));
        assert!(matches!(pick("é..ü"), Error::UnknownSelector { wanted, .. } if wanted == "é"));
        assert!(pick("f1..f0").to_string().contains("write f0..f1"));
        assert!(matches!(pick("f0..f2"), Error::ElementType { name, .. } if name == "t:name"));
        assert!(matches!(pick("name"), Error::ElementType { .. }));
        assert!(matches!(pick(""), Error::UnknownSelector { .. }));
    }

    #[test]
    fn the_only_list_of_floats_is_the_default() {
        let mut columns = wide();
        columns.push(column("ids", Kind::List(ElementType::I64)));
        columns.push(column("emb", LIST));
        assert_eq!(choose("t", &columns, None, &[]).unwrap(), [7]);
        columns.push(column("emb2", Kind::List(ElementType::F64)));
        let error = choose("t", &columns, None, &[]).unwrap_err();
        assert!(matches!(&error, Error::SelectorNeeded { available, .. } if available[..] == ["emb", "emb2"]));
    }

    #[test]
    fn else_all_floats_that_are_not_labels_or_weights() {
        assert_eq!(choose("t", &wide(), None, &[]).unwrap(), [1, 2, 4, 5]);
        assert_eq!(choose("t", &wide(), None, &[2]).unwrap(), [1, 4, 5]);
        let integers = [column("a", Kind::Integer(ElementType::I64)), column("b", Kind::Text)];
        assert!(matches!(choose("t", &integers, None, &[]), Err(Error::SelectorNeeded { .. })));
        let csv = [column("", Kind::Numeral), column("x", Kind::Numeral), column("y", Kind::Text)];
        assert_eq!(choose("t", &csv, None, &[]).unwrap(), [1]);
    }

    #[test]
    fn columns_of_one_type_keep_it_and_others_meet_in_float64() {
        let f16 = Kind::Float(ElementType::F16);
        assert_eq!(common_element_type([f16, f16]), ElementType::F16);
        assert_eq!(common_element_type([f16, F32]), ElementType::F64);
        assert_eq!(common_element_type([Kind::Numeral]), ElementType::F64);
    }

    #[test]
    fn a_table_of_one_column_needs_no_selector() {
        assert_eq!(only_column("t", &wide()[..1], Role::Labels).unwrap(), 0);
        let error = only_column("t", &wide(), Role::Labels).unwrap_err();
        assert!(matches!(&error, Error::SelectorNeeded { available, .. } if available.len() == 6));
        assert!(error.to_string().contains("t:COLUMN"), "{error}");
    }
}
