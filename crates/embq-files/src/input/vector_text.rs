//! Vectors written as text or bytes in one cell, which is how formats without vectors store a column of them.
//!
//! Supported are lists as in JSON and Python (`[0.1, 0.2]`), NumPy's output (`[0.1 0.2]`), tuples, Postgres arrays
//! (`{0.1,0.2}`), and float32 as bytes or base64.

use std::sync::Arc;

use crate::input::cells::excerpt;
use embq_core::data::{ElementType, Embeddings, InMemory, Origin, Precision, RowFaults};

/// Why a text is not a vector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Problem {
    /// A missing value.
    Missing,
    /// A vector with no values.
    Empty,
    /// NumPy omitted values when it printed the vector.
    Shortened,
    /// Nested brackets with more than one row.
    Nested,
    /// An element is not a number.
    Element { position: usize, text: String },
    /// Not a vector at all.
    Other(String),
}

impl Problem {
    /// The problem as worded in errors.
    pub fn told(&self) -> String {
        match self {
            Problem::Missing => "the vector is missing".to_owned(),
            Problem::Empty => "the vector is empty".to_owned(),
            Problem::Shortened => "the vector was abbreviated with '...', so values are missing".to_owned(),
            Problem::Nested => "it contains several vectors".to_owned(),
            Problem::Element { position, text } => {
                format!("element {position} of the vector is '{text}', not a number")
            }
            Problem::Other(text) => format!("'{text}' is not a vector"),
        }
    }
}

/// Whether a text is a common spelling of a missing value, or empty.
pub(crate) fn is_missing(text: &str) -> bool {
    matches!(text, "" | "NA" | "N/A" | "n/a" | "null" | "NULL" | "None" | "nan" | "NaN" | "NAN" | "<NA>" | "#N/A")
}

/// Whether a text is written like a vector, valid or not.
pub(crate) fn is_vector(text: &str) -> bool {
    let Some(values) = inside(text.trim()) else { return false };
    let values = values.trim_start_matches(|character: char| "[({".contains(character) || character.is_whitespace());
    let first = values.split(|character: char| ",])}".contains(character) || character.is_whitespace()).next();
    let first = first.unwrap_or_default();
    values.is_empty() || first == "..." || is_missing(first) || first.parse::<f64>().is_ok()
}

/// The text between the brackets.
fn inside(text: &str) -> Option<&str> {
    [('[', ']'), ('{', '}'), ('(', ')')].iter().find_map(|&(open, close)| text.strip_prefix(open)?.strip_suffix(close))
}

/// Appends the values of a vector and returns their number; on error, `values` is unchanged.
pub(crate) fn parse(text: &str, values: &mut Vec<f64>) -> Result<usize, Problem> {
    let text = text.trim();
    if is_missing(text) {
        return Err(Problem::Missing);
    }
    let start = values.len();
    let mut inner = inside(text).ok_or_else(|| Problem::Other(excerpt(text)))?.trim();
    // A list of one vector, which is how an array of shape (1, d) is written.
    if let Some(row) = inside(inner) {
        if row.contains(['[', '(', '{']) {
            return Err(Problem::Nested);
        }
        inner = row.trim();
    }
    let inner = inner.strip_suffix(',').unwrap_or(inner);
    if inner.is_empty() {
        return Err(Problem::Empty);
    }
    let parsed = if inner.contains(',') {
        append(inner.split(','), values)
    } else {
        append(inner.split_ascii_whitespace(), values)
    };
    match parsed {
        Ok(()) => Ok(values.len() - start),
        Err(problem) => {
            values.truncate(start);
            Err(problem)
        }
    }
}

fn append<'t>(parts: impl Iterator<Item = &'t str>, values: &mut Vec<f64>) -> Result<(), Problem> {
    for (position, part) in parts.enumerate() {
        let part = part.trim();
        match part.parse::<f64>() {
            Ok(value) => values.push(value),
            Err(_) if part.contains("...") => return Err(Problem::Shortened),
            Err(_) => return Err(Problem::Element { position, text: excerpt(part) }),
        }
    }
    Ok(())
}

/// Appends bytes as little-endian float32 values and returns their number; `None` if the length is not a multiple of 4.
pub(crate) fn floats_of(bytes: &[u8], values: &mut Vec<f64>) -> Option<usize> {
    let (floats, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() || floats.is_empty() {
        return None;
    }
    values.extend(floats.iter().map(|float| f64::from(f32::from_le_bytes(*float))));
    Some(floats.len())
}

/// Whether bytes are plausible float32 embeddings: at least two values, all finite, and neither huge nor tiny. Text,
/// hashes and images read as float32 are not.
pub(crate) fn are_floats(bytes: &[u8]) -> bool {
    let mut values = Vec::with_capacity(bytes.len() / 4);
    let Some(count) = floats_of(bytes, &mut values) else { return false };
    let plausible = |value: &&f64| **value == 0.0 || (1e-12..1e6).contains(&value.abs());
    let usual = values.iter().filter(plausible).count();
    count > 1 && values.iter().all(|value| value.is_finite()) && 10 * usual >= 9 * count
}

/// Decodes base64 in either alphabet, with or without padding; `None` for any other text.
pub(crate) fn from_base64(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim().trim_end_matches('=').as_bytes();
    if digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut bits = 0_u32;
        for &digit in group {
            let value = match digit {
                b'A'..=b'Z' => digit - b'A',
                b'a'..=b'z' => digit - b'a' + 26,
                b'0'..=b'9' => digit - b'0' + 52,
                b'+' | b'-' => 62,
                b'/' | b'_' => 63,
                _ => return None,
            };
            bits = bits << 6 | u32::from(value);
        }
        bits <<= 6 * (4 - group.len());
        bytes.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    Some(bytes)
}

/// The most common length, if at least half of the vectors have it.
pub(crate) fn usual_length(lengths: impl IntoIterator<Item = usize>) -> Option<usize> {
    let mut counts = std::collections::BTreeMap::<usize, usize>::new();
    let mut all = 0;
    for length in lengths {
        *counts.entry(length).or_default() += 1;
        all += 1;
    }
    let (length, count) = counts.into_iter().max_by_key(|&(length, count)| (count, length))?;
    (2 * count >= all).then_some(length)
}

/// Reads the vector of one cell into `values`, which is cleared first.
///
/// # Errors
/// The problem with the cell, in words.
pub(crate) fn cell(text: &str, is_base64: bool, dimensions: usize, values: &mut Vec<f64>) -> Result<(), String> {
    values.clear();
    read(text, is_base64, values)?;
    if values.len() == dimensions { Ok(()) } else { Err(other_length(values.len(), dimensions)) }
}

/// Appends the vector of one cell, of any length.
///
/// # Errors
/// The problem with the cell, in words.
pub(crate) fn read(text: &str, is_base64: bool, values: &mut Vec<f64>) -> Result<(), String> {
    if !is_base64 {
        return parse(text, values).map(|_| ()).map_err(|problem| problem.told());
    }
    if is_missing(text.trim()) {
        return Err(Problem::Missing.told());
    }
    let found = from_base64(text).and_then(|bytes| floats_of(&bytes, values));
    found.map(|_| ()).ok_or_else(|| format!("'{}' is not base64 of float32", excerpt(text.trim())))
}

/// The problem of a vector whose length differs from the others.
pub(crate) fn other_length(found: usize, dimensions: usize) -> String {
    format!("a vector of {found} values, where most have {dimensions}")
}

/// Embeddings from values that were read from text, in the precision of their source.
pub(crate) fn embeddings(
    origin: Origin,
    values: Vec<f64>,
    dimensions: usize,
    element_type: ElementType,
    faults: RowFaults,
) -> Embeddings {
    let rows = values.len() / dimensions.max(1);
    let embeddings = match element_type.precision() {
        Precision::F32 => {
            let values: Vec<f32> = values.into_iter().map(|value| value as f32).collect();
            Embeddings::new(origin, rows, dimensions, element_type, InMemory::of_rows(values, dimensions))
        }
        Precision::F64 => {
            Embeddings::new(origin, rows, dimensions, element_type, InMemory::of_rows(values, dimensions))
        }
    };
    embeddings.with_faults(Arc::new(faults))
}

/// What the texts of a column contain, judging by the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Texts {
    /// Vectors in brackets, with this many values if most agree.
    Vectors(Option<usize>),
    /// Base64 of this many float32 values.
    Base64(usize),
    /// Several vectors in brackets.
    Nested,
    /// Vectors that NumPy printed with `...` in them.
    Shortened,
    Plain,
}

/// Recognizes what texts contain, ignoring missing ones. A single bad cell does not change the result for vectors.
pub(crate) fn recognise<'t>(texts: impl Iterator<Item = &'t str>) -> Texts {
    let texts: Vec<&str> = texts.map(str::trim).filter(|text| !is_missing(text)).collect();
    if texts.is_empty() {
        return Texts::Plain;
    }
    let vectors = texts.iter().filter(|text| is_vector(text)).count();
    if 2 * vectors > texts.len() {
        let mut values = Vec::new();
        let parsed: Vec<_> = texts.iter().map(|text| parse(text, &mut values)).collect();
        let nested = parsed.iter().filter(|parsed| matches!(parsed, Err(Problem::Nested))).count();
        if 2 * nested > texts.len() {
            return Texts::Nested;
        }
        let shortened = parsed.iter().filter(|parsed| matches!(parsed, Err(Problem::Shortened))).count();
        if 2 * shortened > texts.len() {
            return Texts::Shortened;
        }
        return Texts::Vectors(usual_length(parsed.into_iter().flatten()));
    }
    let mut length = None;
    let is_base64 = texts.iter().all(|text| {
        let bytes = (text.len() >= 11).then(|| from_base64(text)).flatten().filter(|bytes| are_floats(bytes));
        bytes.is_some_and(|bytes| *length.get_or_insert(bytes.len()) == bytes.len())
    });
    match length {
        Some(length) if is_base64 => Texts::Base64(length / 4),
        _ => Texts::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<f64>, Problem> {
        let mut values = Vec::new();
        let count = parse(text, &mut values)?;
        assert_eq!(count, values.len());
        Ok(values)
    }

    #[test]
    fn vectors_are_read_as_programs_write_them() {
        for text in
            ["[1, 2.5]", "[1.  2.5]", "{1,2.5}", "(1, 2.5)", "[ 1.\n  2.5]", "[[1, 2.5]]", " [1,2.5] ", "[1, 2.5,]"]
        {
            assert_eq!(parsed(text).unwrap(), [1.0, 2.5], "{text}");
            assert!(is_vector(text), "{text}");
        }
        assert_eq!(parsed("(1,)").unwrap(), [1.0]);
        assert!(parsed("[1, nan]").unwrap()[1].is_nan());
    }

    #[test]
    fn what_is_no_vector_is_told() {
        assert_eq!(parsed(""), Err(Problem::Missing));
        assert_eq!(parsed("[]"), Err(Problem::Empty));
        assert_eq!(parsed("[0.1 0.2 ... 0.8]"), Err(Problem::Shortened));
        assert_eq!(parsed("[[1, 2], [3, 4]]"), Err(Problem::Nested));
        assert_eq!(parsed("[1, null]"), Err(Problem::Element { position: 1, text: "null".into() }));
        assert!(matches!(parsed("rate limit"), Err(Problem::Other(_))));
        for text in ["[a, b]", "(see below)", "{\"a\": 1}", "[", "1, 2"] {
            assert!(!is_vector(text), "{text}");
        }
    }

    #[test]
    fn base64_is_read_in_either_alphabet() {
        assert_eq!(from_base64("TWFu").unwrap(), b"Man");
        assert_eq!(from_base64("TWE=").unwrap(), b"Ma");
        assert_eq!(from_base64("TQ").unwrap(), b"M");
        assert_eq!(from_base64("-_-_"), from_base64("+/+/"));
        assert_eq!(from_base64("T"), None);
        assert_eq!(from_base64("a b c"), None);
    }

    #[test]
    fn columns_of_text_are_recognised() {
        let of = |texts: &[&str]| recognise(texts.iter().copied());
        assert_eq!(of(&["[1, 2]", "", "[3, 4]"]), Texts::Vectors(Some(2)));
        assert_eq!(of(&["[1, 2]", "error", "[3, 4]"]), Texts::Vectors(Some(2)));
        assert_eq!(of(&["[[1],[2]]"]), Texts::Nested);
        assert_eq!(of(&["ant", "[3, 4]", "bee"]), Texts::Plain);
        assert_eq!(of(&["AACAPwAAAEA=", "AABAQAAAgEA="]), Texts::Base64(2));
        // A hash is base64 as well, but not plausible as float32.
        assert_eq!(of(&["0123456789abcdef", "fedcba9876543210"]), Texts::Plain);
        assert_eq!(of(&["", "NA"]), Texts::Plain);
    }
}
