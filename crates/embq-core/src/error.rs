//! The library's error type.
//!
//! Every message names what is wrong and where; [`Error::tip`] names the cure where there is one.

use std::fmt::Write as _;
use std::io;

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

    /// A header that promises more than the file holds.
    #[error("{name}: truncated: the header promises {promised} bytes of data, the file holds {held}")]
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
    NotADistanceMatrix { name: String, problem: String },

    /// An option or a combination of options that cannot be honoured.
    #[error("{problem}")]
    Setting { problem: String, tip: Option<String> },

    /// An output that cannot be written.
    #[error("{path}: cannot write: {problem}")]
    Output { path: String, problem: String },

    /// One row of an array or of a text file that is not a number or not a label.
    #[error("{name}: row {row}: {problem}")]
    Row { name: String, row: usize, problem: String, tip: Option<String> },
}

impl Error {
    /// The cure, where one is known: a sentence for the line after the message.
    pub fn tip(&self) -> Option<String> {
        match self {
            Error::NotFound { closest, .. } => closest.as_ref().map(|name| format!("did you mean '{name}'?")),
            Error::Malformed { tip, .. }
            | Error::ElementType { tip, .. }
            | Error::Setting { tip, .. }
            | Error::Row { tip, .. } => tip.clone(),
            Error::Shape { shape, .. } => match shape[..] {
                [_] => Some("in Python, array.reshape(-1, 1) makes one-dimensional embeddings of it".into()),
                [_, 1] | [1, _] => Some("in Python, array.ravel() makes one row of values of it".into()),
                [_, _, _] => {
                    Some("make one vector of each row first, for example array.mean(1), which pools its tokens".into())
                }
                _ => None,
            },
            Error::Truncated { .. } => Some("save or copy the file again: its end is missing".into()),
            Error::Pickle { cure, .. } => Some(cure.clone()),
            Error::UnknownSelector { wanted, available, .. } => Some(choices(Some(wanted), available)),
            Error::SelectorNeeded { available, .. } => Some(choices(None, available)),
            Error::AmbiguousName { name, .. } => {
                Some(format!("write './{name}' for the file or ':{name}' for the column"))
            }
            Error::RowCounts { what, .. } => {
                Some(format!("every row of the embeddings needs exactly one {what}, in the same order"))
            }
            Error::Choice { tip, .. } | Error::RowCountsExplained { tip, .. } => Some(tip.clone()),
            Error::NonFinite { .. } | Error::UnusableRow { .. } => {
                Some("repair these rows, or leave them out with --drop-invalid".into())
            }
            Error::ZeroVector { .. } => {
                Some("leave these rows out with --drop-invalid, or use --distance euclidean".into())
            }
            Error::Overflow { precision: "float32", .. } => Some("leave out --precision f32".into()),
            Error::Overflow { .. } => Some("divide the embeddings by a constant: silhouettes do not change".into()),
            Error::MissingLabel { .. } => {
                Some("fill these labels, or leave these rows out with --drop-null-labels".into())
            }
            Error::TooFewClasses { .. } => {
                Some("check that the label column is the right one, and what --ignore-label leaves out".into())
            }
            Error::TooManyClasses { .. } => {
                Some("every row is a class of its own: check that the label column is not an id".into())
            }
            Error::NotADistanceMatrix { name, problem } if name.ends_with(".npy") && problem.contains(", but ") => {
                let output = name.replace(".npy", ".symmetric.npy");
                Some(format!(
                    "if the two directions are one distance: m = numpy.load({name:?}); numpy.save({output:?}, (m + m.T) / 2)"
                ))
            }
            Error::NotADistanceMatrix { .. } => {
                Some("--distance precomputed wants a square, symmetric matrix with a zero diagonal".into())
            }
            Error::Io { .. } | Error::Cell { .. } | Error::Weight { .. } | Error::Output { .. } => None,
        }
    }

    /// An I/O failure on `path` while doing `action` ("read", "open", ...).
    pub fn io(path: impl Into<String>, action: &'static str, source: io::Error) -> Self {
        Error::Io { path: path.into(), action, source }
    }

    /// A setting that cannot be honoured, with its cure.
    pub fn setting(problem: impl Into<String>, tip: impl Into<String>) -> Self {
        Error::Setting { problem: problem.into(), tip: Some(tip.into()) }
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
