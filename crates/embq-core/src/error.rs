//! The library's error type.
//!
//! Every message names what is wrong and where. [`Error::cure`] says what would help as a value, so that a program can
//! name its options and a binding its arguments.

use std::fmt::{self, Write as _};
use std::io;

use crate::distance::Distance;

/// The library's result type.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Everything that can go wrong between a user's file and a number.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No file of that name.
    #[error("{path}: no such file")]
    NotFound { path: String, closest: Option<String> },

    /// A system call on a file failed.
    #[error("{path}: cannot {action}: {source}")]
    Io { path: String, action: &'static str, source: io::Error },

    /// A file that is not what its format demands.
    #[error("{name}: {problem}")]
    Malformed { name: String, problem: String, tip: Option<String> },

    /// An input without a row.
    #[error("{name}: it has no rows")]
    NoRows { name: String },

    /// A header that promises more than the file holds.
    #[error("{name}: truncated: the header declares {promised} bytes of data, the file holds {held}")]
    Truncated { name: String, promised: u128, held: u64 },

    /// Pickled objects, which are refused because reading them can run code.
    #[error("{name}: {what} hold pickled Python objects, which embq refuses to read (unpickling can run code)")]
    Pickle { name: String, what: &'static str, cure: String },

    /// An array of an unusable shape.
    #[error("{name}: expected {expected}, found shape {shape:?}")]
    Shape { name: String, expected: &'static str, shape: Vec<usize> },

    /// An array or column of an unusable element type.
    #[error("{name}: element type {found} cannot be used as {role}")]
    ElementType { name: String, found: String, role: &'static str, tip: Option<String> },

    /// A column, key or tensor that the file does not have.
    #[error("{path}: no {kind} '{wanted}'")]
    UnknownSelector { path: String, kind: &'static str, wanted: String, available: Vec<String> },

    /// A selector is needed because the file holds several candidates, or none.
    #[error("{path}: {problem}")]
    SelectorNeeded { path: String, problem: String, available: Vec<String> },

    /// No column or array that can be the embeddings, or several: what is there, and which command was meant.
    #[error("{path}: {problem}")]
    Choice { path: String, problem: String, tip: String },

    /// A bare label name that is both a file and a column.
    #[error("'{name}' is both a file and a column of {embeddings}")]
    AmbiguousName { name: String, embeddings: String },

    /// One cell of a table that is not a number or not a label.
    #[error("{name}: row {row}, column '{column}': {problem}")]
    Cell { name: String, row: usize, column: String, problem: String },

    /// Two inputs that should have the same number of rows.
    #[error("row counts differ: {left} has {left_rows} rows, {right} has {right_rows}")]
    RowCounts {
        left: String,
        left_rows: usize,
        right: String,
        right_rows: usize,
        /// What the right one holds: "label", "weight" or "batch".
        what: &'static str,
    },

    /// The same where something in the file says what is the matter.
    #[error("row counts differ: {left} has {left_rows} rows, {right} has {right_rows}: {problem}")]
    RowCountsExplained {
        left: String,
        left_rows: usize,
        right: String,
        right_rows: usize,
        problem: String,
        tip: String,
    },

    /// A row of which no vector could be made: null, empty, of another length, or with text in it.
    #[error("{name}: row {row}{}: {problem}; {rows} row(s) cannot be used", in_column(.column.as_deref()))]
    UnusableRow { name: String, row: usize, column: Option<String>, problem: String, rows: usize },

    /// NaN or infinite values in the embeddings.
    #[error("{name}: {value} in row {row}, column {column}; {rows} row(s) hold NaN or infinite values")]
    NonFinite { name: String, value: f64, row: usize, column: usize, rows: usize },

    /// A zero vector, which has no direction, under the cosine distance.
    #[error("{name}: row {row} is a zero vector, which has no cosine distance; {rows} row(s) are zero")]
    ZeroVector { name: String, row: usize, rows: usize },

    /// Values whose squared distances leave the range of the precision.
    #[error("{name}: row {row} holds {value:e}: its distances overflow {precision}")]
    Overflow { name: String, row: usize, value: f64, precision: &'static str },

    /// Values whose squares vanish in float64, or which themselves vanish in float32.
    #[error("{name}: its largest value is {value:e}: squared distances between such rows vanish in {precision}")]
    Underflow { name: String, value: f64, precision: &'static str },

    /// A missing (null, empty, NaN) label.
    #[error("{name}: row {row} has no label; {rows} label(s) are missing")]
    MissingLabel { name: String, row: usize, rows: usize },

    /// Fewer than two classes.
    #[error("{name}: a silhouette needs at least 2 classes, found {classes} in {rows} rows")]
    TooFewClasses { name: String, classes: usize, rows: usize },

    /// More classes than N - 1.
    #[error("{name}: {classes} classes in {rows} rows: a silhouette needs at most N - 1 = {bound} classes")]
    TooManyClasses { name: String, classes: usize, rows: usize, bound: usize },

    /// A row weight that is not a positive finite number.
    #[error("{name}: weight {value} in row {row}: weights must be positive finite numbers")]
    Weight { name: String, row: usize, value: f64 },

    /// A precomputed distance matrix that is not one.
    #[error("{name}: not a distance matrix: {problem}")]
    NotADistanceMatrix { name: String, problem: String, cure: Cure },

    /// A data set made for one distance and asked for another that needs other rows.
    #[error("the data set was checked for {made_for} distances, not {asked}")]
    OtherDistance { made_for: Distance, asked: Distance },

    /// A class that was to be included or excluded, and that no row has.
    #[error("no row of {name} has the label '{label}'")]
    UnknownClass {
        name: String,
        label: String,
        /// Whether it was to be included.
        included: bool,
        available: Vec<String>,
    },

    /// A subsample that is too small to hold a row of each class.
    #[error("a subsample of {rows} is less than a row for each of the {classes} classes")]
    Subsample { rows: usize, classes: usize },

    /// A temperature that was to be found, and is not.
    #[error("no temperature is found: {problem}")]
    NoTemperature { problem: String },

    /// A setting or a combination of settings that cannot be honoured.
    #[error("{problem}")]
    Setting { problem: String, cure: Option<Cure> },

    /// The work was cancelled, by [`Progress::is_cancelled`](crate::progress::Progress::is_cancelled).
    #[error("cancelled")]
    Cancelled,

    /// An output that cannot be written.
    #[error("{path}: cannot write: {problem}")]
    Output { path: String, problem: String },

    /// One row of an array or of a text file that is not a number or not a label.
    #[error("{name}: row {row}: {problem}")]
    Row { name: String, row: usize, problem: String, tip: Option<String> },
}

/// What would help against an error. As text it speaks of no option or argument: whoever has these names them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cure {
    /// Advice in words that are the same everywhere.
    Advice(String),
    /// Repair the invalid rows, or leave them out.
    DropInvalid,
    /// Leave the zero vectors out, or take a distance that they have.
    DropZeroVectors,
    /// Fill the missing labels, or leave their rows out.
    DropUnlabelled,
    /// Compute in float64.
    UseFloat64,
    /// See that the labels are the right ones, and which of them are ignored.
    CheckLabels,
    /// See which rows are left out by choice.
    CheckRowChoice,
    /// Give a square, symmetric matrix with a zero diagonal.
    GiveDistanceMatrix,
    /// Give a temperature instead of having it found.
    GiveTemperature,
    /// Name the class of each column of a classifier.
    NameColumns,
    /// Leave the gallery out.
    DropGallery,
    /// Score all rows, or leave intervals out.
    ScoreAllRows,
    /// Take these metrics, which merge, or evaluate all rows at once.
    UseMetrics(Vec<String>),
    /// Give a label for each row, or choose what needs none.
    GiveLabels,
}

impl fmt::Display for Cure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Cure::UseMetrics(metrics) = self
            && !metrics.is_empty()
        {
            return write!(formatter, "take {}, or evaluate all rows at once", metrics.join(","));
        }
        formatter.write_str(match self {
            Cure::Advice(advice) => advice,
            Cure::DropInvalid => "repair these rows, or leave them out",
            Cure::DropZeroVectors => "leave these rows out, or use Euclidean distances",
            Cure::DropUnlabelled => "fill these labels, or leave these rows out",
            Cure::UseFloat64 => "compute in float64",
            Cure::CheckLabels => "check that the labels are the right ones, and which of them are ignored",
            Cure::CheckRowChoice => "check which rows are left out",
            Cure::GiveDistanceMatrix => "precomputed distances are a square, symmetric matrix with a zero diagonal",
            Cure::GiveTemperature => "give a temperature, such as 0.1",
            Cure::NameColumns => "name the class of each column",
            Cure::DropGallery => "leave out the gallery",
            Cure::ScoreAllRows => "score all rows, or leave out the intervals",
            Cure::UseMetrics(_) => "evaluate all rows at once",
            Cure::GiveLabels => "give a label for each row, or choose metrics that need none",
        })
    }
}

impl From<String> for Cure {
    fn from(advice: String) -> Self {
        Cure::Advice(advice)
    }
}

impl From<&str> for Cure {
    fn from(advice: &str) -> Self {
        Cure::Advice(advice.to_owned())
    }
}

impl Error {
    /// What would help, where that is known.
    pub fn cure(&self) -> Option<Cure> {
        let advice = |text: &str| Some(Cure::from(text));
        match self {
            Error::NotFound { closest, .. } => closest.as_ref().map(|name| format!("did you mean '{name}'?").into()),
            Error::Malformed { tip, .. } | Error::ElementType { tip, .. } | Error::Row { tip, .. } => {
                tip.clone().map(Cure::Advice)
            }
            Error::Setting { cure, .. } => cure.clone(),
            Error::NotADistanceMatrix { cure, .. } => Some(cure.clone()),
            Error::Shape { shape, .. } => match shape[..] {
                [_] => advice("in Python, array.reshape(-1, 1) makes one-dimensional embeddings of it"),
                [_, 1] | [1, _] => advice("in Python, array.ravel() makes one row of values of it"),
                [_, _, _] => {
                    advice("reduce each row to one vector first, for example array.mean(1), which pools its tokens")
                }
                _ => None,
            },
            Error::Truncated { .. } => advice("save or copy the file again: its end is missing"),
            Error::Pickle { cure, .. } => advice(cure),
            Error::UnknownSelector { wanted, available, .. } => Some(choices(Some(wanted), available).into()),
            Error::SelectorNeeded { available, .. } => Some(choices(None, available).into()),
            Error::UnknownClass { label, available, .. } => Some(choices(Some(label), available).into()),
            Error::AmbiguousName { name, .. } => {
                Some(format!("write './{name}' for the file or ':{name}' for the column").into())
            }
            Error::RowCounts { what, .. } => {
                Some(format!("every row of the embeddings needs exactly one {what}, in the same order").into())
            }
            Error::Choice { tip, .. } | Error::RowCountsExplained { tip, .. } => advice(tip),
            Error::NonFinite { .. } | Error::UnusableRow { .. } => Some(Cure::DropInvalid),
            Error::ZeroVector { .. } => Some(Cure::DropZeroVectors),
            Error::Overflow { precision: "float32", .. } | Error::Underflow { precision: "float32", .. } => {
                Some(Cure::UseFloat64)
            }
            // A power of two rounds nothing.
            Error::Overflow { value, .. } | Error::Underflow { value, .. } => {
                let exponent = -value.abs().log2().round().clamp(-1000.0, 1000.0);
                Some(format!("multiply the embeddings by 2.0**{exponent}: silhouettes do not change").into())
            }
            Error::MissingLabel { .. } => Some(Cure::DropUnlabelled),
            Error::TooFewClasses { .. } => Some(Cure::CheckLabels),
            Error::TooManyClasses { .. } => {
                advice("every row is a class of its own: check that the label column is not an id")
            }
            Error::OtherDistance { .. } => advice("make the data set with the distance of the settings"),
            Error::Subsample { classes, .. } => Some(format!("take at least {classes}").into()),
            Error::NoTemperature { .. } => Some(Cure::GiveTemperature),
            Error::Io { .. }
            | Error::NoRows { .. }
            | Error::Cell { .. }
            | Error::Weight { .. }
            | Error::Output { .. }
            | Error::Cancelled => None,
        }
    }

    /// The cure as a sentence that speaks of no option.
    pub fn tip(&self) -> Option<String> {
        self.cure().map(|cure| cure.to_string())
    }

    /// An I/O failure on `path` while doing `action` ("read", "open", ...).
    pub fn io(path: impl Into<String>, action: &'static str, source: io::Error) -> Self {
        Error::Io { path: path.into(), action, source }
    }

    /// A setting that cannot be honoured, with its cure.
    pub fn setting(problem: impl Into<String>, cure: impl Into<Cure>) -> Self {
        Error::Setting { problem: problem.into(), cure: Some(cure.into()) }
    }
}

fn in_column(column: Option<&str>) -> String {
    column.map(|column| format!(", column '{column}'")).unwrap_or_default()
}

/// The candidate closest to `wanted`, if it is close enough to be a slip of the keyboard.
pub fn closest<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(&wanted.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(similarity, _)| *similarity > 0.75)
        .max_by(|left, right| left.0.total_cmp(&right.0))
        .map(|(_, candidate)| candidate)
}

/// "did you mean 'x'? there are: a, b, c" for an unknown or missing name.
pub fn choices(wanted: Option<&str>, available: &[String]) -> String {
    const SHOWN: usize = 20;
    let mut text = String::new();
    if let Some(name) = wanted.and_then(|wanted| closest(wanted, available.iter().map(String::as_str))) {
        let _ = write!(text, "did you mean '{name}'? ");
    }
    if available.is_empty() {
        text.push_str("there are none");
    } else {
        let shown: Vec<&str> = available.iter().take(SHOWN).map(String::as_str).collect();
        let _ = write!(text, "there are: {}", shown.join(", "));
        if available.len() > SHOWN {
            let _ = write!(text, " and {} more", available.len() - SHOWN);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_name_is_offered_only_when_it_is_close() {
        assert_eq!(closest("lable", ["label", "text", "split"]), Some("label"));
        assert_eq!(closest("zzz", ["label", "text"]), None);
    }

    #[test]
    fn long_lists_of_choices_are_cut() {
        let names: Vec<String> = (0..25).map(|i| format!("f{i}")).collect();
        let text = choices(None, &names);
        assert!(text.contains("f19") && !text.contains("f20") && text.ends_with("and 5 more"), "{text}");
    }
}
