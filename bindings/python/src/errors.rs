//! Library errors as Python exceptions, with tips for Python users.

use embq_core::{Cure, Error};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

pyo3::create_exception!(
    embq,
    InputError,
    PyValueError,
    "Input or options that embq cannot use. The message says what is wrong, where, and what to do about it."
);

/// An exception with a message and a tip.
pub(crate) fn input_error(message: &str, tip: Option<&str>) -> PyErr {
    let message = in_python(message);
    InputError::new_err(match tip {
        Some(tip) => format!("{message}\n  tip: {}", in_python(tip)),
        None => message,
    })
}

/// Converts a library error to an exception.
pub(crate) fn exception(error: &Error) -> PyErr {
    let tip = error.cure().map(|cure| match cure {
        Cure::DropInvalid => "repair these rows, or leave them out with invalid=\"drop\"".to_owned(),
        Cure::DropZeroVectors => "leave these rows out with invalid=\"drop\", or use metric=\"euclidean\"".to_owned(),
        Cure::DropUnlabelled => "fill these labels, or leave these rows out with missing=\"drop\"".to_owned(),
        Cure::UseFloat64 => "leave out precision=\"float32\"".to_owned(),
        Cure::CheckLabels => "check that these are the right labels, and what ignore_label leaves out".to_owned(),
        Cure::CheckRowChoice => {
            "see what include, exclude, ignore_label, invalid and min_class_size leave out".to_owned()
        }
        Cure::GiveDistanceMatrix => {
            "metric=\"precomputed\" takes a square, symmetric matrix with a zero diagonal".to_owned()
        }
        Cure::GiveTemperature => "give a temperature, such as temperature=0.1".to_owned(),
        Cure::DropGallery => "leave out gallery".to_owned(),
        Cure::GiveLabels => "give a label for each row as y, or choose metrics=\"label_free\"".to_owned(),
        Cure::ScoreAllRows => "leave out subsample or intervals=True".to_owned(),
        other => other.to_string(),
    });
    input_error(&error.to_string(), tip.as_deref())
}

/// The error for text that is not a result.
pub(crate) fn not_a_result(problem: &str) -> PyErr {
    input_error(
        &format!("this is not a result of embq: {problem}"),
        Some("results are written by r.to_json(), or by embq score -o result.json"),
    )
}

/// Python parameters whose names differ from the options' (other than in underscores), and how flags are written.
const RENAMED: [(&str, &str); 8] = [
    ("drop-invalid", "invalid=\"drop\""),
    ("drop-null-labels", "missing=\"drop\""),
    ("distance", "metric"),
    ("seed", "random_state"),
    ("row-weights", "sample_weight"),
    ("intervals", "intervals=True"),
    ("class-intervals", "class_intervals=True"),
    ("exclude-identical", "exclude_identical=True"),
];

/// Rewrites a message about command-line options for Python parameters: `--distance euclidean` becomes
/// `metric="euclidean"`.
#[pyfunction]
pub(crate) fn in_python(message: &str) -> String {
    let mut parts = message.split("--");
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|character: char| !(character.is_ascii_lowercase() || character == '-'));
        let (option, mut rest) = part.split_at(end.unwrap_or(part.len()));
        if option.is_empty() || text.ends_with(|character: char| character.is_alphanumeric()) {
            text.push_str("--");
            text.push_str(part);
            continue;
        }
        let renamed = RENAMED.iter().find(|(name, _)| *name == option).map(|(_, parameter)| (*parameter).to_owned());
        let parameter = renamed.unwrap_or_else(|| option.replace('-', "_"));
        let is_complete = parameter.contains('=');
        text.push_str(&parameter);
        if !is_complete && let Some((value, after)) = value(rest) {
            text.push('=');
            text.push_str(&value);
            rest = after;
        }
        text.push_str(rest);
    }
    text
}

/// The value after an option, as a Python literal, and the text that follows it.
fn value(rest: &str) -> Option<(String, &str)> {
    let rest = rest.strip_prefix(' ')?;
    if let Some(quoted) = rest.strip_prefix('\'') {
        let (value, after) = quoted.split_once('\'')?;
        return Some((format!("{value:?}"), after));
    }
    let ends = |character: char| character.is_whitespace() || ",;:)".contains(character);
    let (value, after) = rest.split_at(rest.find(ends).unwrap_or(rest.len()));
    if value.parse::<f64>().is_ok() {
        return Some((value.to_owned(), after));
    }
    // Any other word continues the sentence.
    const VALUES: [&str; 10] = [
        "euclidean",
        "sqeuclidean",
        "cosine",
        "manhattan",
        "hamming",
        "precomputed",
        "auto",
        "f32",
        "f64",
        "retrieval",
    ];
    VALUES.contains(&value).then(|| (format!("{value:?}"), after))
}
