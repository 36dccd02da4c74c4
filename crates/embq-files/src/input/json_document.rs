//! JSON other than lines of objects: a single document that contains an array, and lines of arrays or of single values.
//!
//! The elements of an array are rewritten as lines of objects for the JSON lines reader. An array is named by its path
//! from the root, with `*` for each of its elements: `data.*.embedding`. If there are few elements and they contain
//! rows themselves, each is named by its index: `runs.0.vectors`.

use std::borrow::Cow;
use std::ops::Range;

use indexmap::IndexMap;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use embq_core::data::{Embeddings, Origin};
use embq_core::error::{Error, Result};

use crate::input::json_lines::{JsonLines, without_nan};
use crate::input::pasted::{python, quoted};
use crate::input::refused::converted_path;
use crate::input::source::Source;
use crate::input::spill::Spill;
use crate::input::table::{Column, Table, VisitColumns};

/// The deepest nesting of objects searched for arrays.
const DEEPEST: usize = 16;

/// An array with at most this many elements is searched for arrays in each of them.
const MOST_ELEMENTS: usize = 32;

/// The maximum number of arrays listed.
const MOST: usize = 4096;

/// The name of arrays and single values that have none.
const VECTOR: &str = "vector";
const VALUE: &str = "value";

/// The table in any JSON file.
pub(crate) fn table(source: &Source) -> Result<Box<dyn Table>> {
    let is_lines = matches!(source.extension().as_str(), "jsonl" | "ndjson");
    let source = source.as_text()?;
    match layout(&source.bytes, is_lines) {
        Layout::Objects => Ok(Box::new(JsonLines::open(&source)?)),
        Layout::Lines => Ok(Box::new(JsonLines::open(&with_names(&source)?)?)),
        Layout::Document => Ok(Box::new(Document::open(&source)?)),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layout {
    /// One object per line.
    Objects,
    /// One array or single value per line.
    Lines,
    Document,
}

/// Detects the layout of a file; `is_lines` is whether its extension says lines.
fn layout(bytes: &[u8], is_lines: bool) -> Layout {
    let text = bytes.trim_ascii();
    let (first, more) = match text.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&text[..end], true),
        None => (text, false),
    };
    let parses = |text: &[u8]| serde_json::from_slice::<IgnoredAny>(text).is_ok();
    let is_whole = || parses(first) || without_nan(first).is_some_and(|first| parses(&first));
    match text.first() {
        Some(b'{') if is_lines || more && is_whole() => Layout::Objects,
        Some(b'{') => Layout::Document,
        Some(b'[') if !(is_lines || more && is_whole()) => Layout::Document,
        // The line reader reports invalid lines.
        Some(_) => Layout::Lines,
        None => Layout::Objects,
    }
}

/// The same lines, each wrapped in an object with a key. Line numbers stay the same.
fn with_names(source: &Source) -> Result<Source> {
    let mut lines = Spill::new(&source.path);
    for line in source.bytes.split(|&byte| byte == b'\n') {
        write_row(&mut lines, line.trim_ascii())?;
    }
    Ok(Source { bytes: lines.finish()?, ..source.clone() })
}

/// Writes a value as a line with an object.
fn write_row(lines: &mut Spill<'_>, value: &[u8]) -> Result<()> {
    let name = match value.first() {
        None => return lines.write(b"\n"),
        Some(b'{') => {
            for piece in value.split(|&byte| byte == b'\n') {
                // A line feed within a value only separates its parts.
                lines.write(piece)?;
                lines.write(b" ")?;
            }
            return lines.write(b"\n");
        }
        Some(b'[') => VECTOR,
        Some(_) => VALUE,
    };
    lines.write(format!("{{\"{name}\":").as_bytes())?;
    for piece in value.split(|&byte| byte == b'\n') {
        lines.write(piece)?;
        lines.write(b" ")?;
    }
    lines.write(b"}\n")
}

/// A document whose arrays have been found.
struct Document {
    source: Source,
    columns: Vec<Column>,
    /// The arrays and the range of columns of each.
    arrays: Vec<(JsonLines, Range<usize>)>,
}

impl Document {
    fn open(source: &Source) -> Result<Self> {
        let broken = |error: serde_json::Error| {
            let problem = format!("it is not valid JSON: {error}");
            source.malformed(problem, Some("save or copy the file again".to_owned()))
        };
        let plain;
        let root: &RawValue = match serde_json::from_slice(&source.bytes) {
            Ok(root) => root,
            // Python writes NaN, which JSON does not have.
            Err(error) => {
                plain = without_nan(&source.bytes).ok_or_else(|| broken(error))?;
                serde_json::from_slice(&plain).map_err(broken)?
            }
        };
        let mut found = Vec::new();
        find(root, String::new(), 0, &mut found);
        let mut document = Document { source: source.clone(), columns: Vec::new(), arrays: Vec::new() };
        for (path, elements) in found {
            document.add(&path, &elements)?;
        }
        if document.columns.is_empty() {
            let lines = converted_path(&source.path, "jsonl");
            return Err(source.malformed(
                "it is a JSON document without an array of rows",
                Some(format!(
                    "if each of its keys is a row, write them as lines: jq -c '.[]' {} > {}\n\
                     if each is a column, as pandas writes tables: {}",
                    quoted(&source.path),
                    quoted(&lines),
                    python(&format!(
                        "import pandas; \
                         pandas.read_json({:?}).to_json({lines:?}, orient=\"records\", lines=True)",
                        source.path
                    )),
                )),
            ));
        }
        Ok(document)
    }

    fn add(&mut self, path: &str, elements: &[&RawValue]) -> Result<()> {
        let mut lines = Spill::new(&self.source.path);
        for element in elements {
            write_row(&mut lines, element.get().as_bytes())?;
        }
        let bytes = lines.finish()?;
        if bytes.is_empty() {
            return Ok(());
        }
        let table = JsonLines::open(&Source { bytes, ..self.source.clone() })?;
        let start = self.columns.len();
        for column in table.columns() {
            let name = match (path, column.name.as_str()) {
                ("", name) => name.to_owned(),
                (path, VECTOR | VALUE) if !is_object(elements) => path.to_owned(),
                (path, name) => format!("{path}.*.{name}"),
            };
            let is_array = !is_object(elements);
            self.columns.push(Column { name, is_array, ..column.clone() });
        }
        self.arrays.push((table, start..self.columns.len()));
        Ok(())
    }

    fn array_of(&self, column: usize) -> Option<&(JsonLines, Range<usize>)> {
        self.arrays.iter().find(|(_, columns)| columns.contains(&column))
    }
}

fn is_object(elements: &[&RawValue]) -> bool {
    elements.first().is_some_and(|element| element.get().starts_with('{'))
}

/// Finds the arrays in a value and its nested objects, each with its path.
fn find<'d>(value: &'d RawValue, path: String, depth: usize, found: &mut Vec<(String, Vec<&'d RawValue>)>) {
    if found.len() >= MOST || depth > DEEPEST {
        return;
    }
    let text = value.get().trim_start();
    if text.starts_with('[') {
        if let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(text)
            && !elements.is_empty()
        {
            let holds_rows =
                elements.len() <= MOST_ELEMENTS && elements.iter().any(|element| holds_rows(element, depth));
            found.push((path.clone(), elements.clone()));
            if holds_rows {
                for (position, element) in elements.into_iter().enumerate() {
                    find(element, joined(&path, &position.to_string()), depth + 1, found);
                }
            }
        }
    } else if text.starts_with('{')
        && let Ok(keys) = serde_json::from_str::<IndexMap<Cow<'_, str>, &RawValue>>(text)
    {
        for (key, value) in keys {
            find(value, joined(&path, &key), depth + 1, found);
        }
    }
}

fn joined(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

/// Whether a value is an object that contains an array of arrays or objects, that is, has rows of its own rather than
/// being one row.
fn holds_rows(value: &RawValue, depth: usize) -> bool {
    let text = value.get().trim_start();
    depth <= DEEPEST
        && text.starts_with('{')
        && serde_json::from_str::<IndexMap<Cow<'_, str>, &RawValue>>(text).is_ok_and(|keys| {
            keys.values().any(|value| {
                let inner = value.get().strip_prefix('[').map(str::trim_start);
                inner.is_some_and(|inner| inner.starts_with(['[', '{'])) || holds_rows(value, depth + 1)
            })
        })
}

impl Table for Document {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn matrix(&self, columns: &[usize], origin: Origin) -> Result<Embeddings> {
        let apart = |column: usize| Error::Malformed {
            name: origin.to_string(),
            problem: format!("'{}' is in another array of the document", self.columns[column].name),
            tip: Some("select columns of one array".to_owned()),
        };
        let Some((table, own)) = columns.first().and_then(|&column| self.array_of(column)) else {
            return Err(apart(columns.first().copied().unwrap_or(0)));
        };
        if let Some(&column) = columns.iter().find(|column| !own.contains(column)) {
            return Err(apart(column));
        }
        let columns: Vec<usize> = columns.iter().map(|column| column - own.start).collect();
        table.matrix(&columns, origin)
    }

    fn cells(&self, columns: &[usize], visit: &mut VisitColumns<'_>) -> Result<()> {
        for (table, own) in &self.arrays {
            let (positions, columns): (Vec<usize>, Vec<usize>) = columns
                .iter()
                .enumerate()
                .filter(|(_, column)| own.contains(column))
                .map(|(position, column)| (position, column - own.start))
                .unzip();
            if !columns.is_empty() {
                table.cells(&columns, &mut |position, row, cell| visit(positions[position], row, cell))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use embq_core::data::{Label, MappedBytes};

    use super::*;
    use crate::input::{Contents, embeddings_of, labels_of};

    fn open(name: &str, text: &str) -> Result<Contents> {
        let source = Source::of_bytes(name, MappedBytes::from_memory(text.as_bytes().to_vec()))?;
        Ok(Contents::Table(table(&source)?))
    }

    fn values(name: &str, text: &str, selector: Option<&str>) -> Result<Vec<f64>> {
        let embeddings = embeddings_of(&open(name, text)?, name, selector, &[])?;
        let mut out = vec![0.0; embeddings.rows() * embeddings.dimensions()];
        embeddings.blocks().read_f64(0..embeddings.rows(), &mut out)?;
        Ok(out)
    }

    fn first_label(name: &str, text: &str, selector: Option<&str>) -> Label {
        labels_of(&open(name, text).unwrap(), name, selector).unwrap().get(0).unwrap().clone()
    }

    const NUMBERS: [f64; 4] = [1.0, 2.5, 3.0, -4.0];

    #[test]
    fn arrays_of_objects_and_of_arrays_are_rows() {
        let objects = "[{\"e\": [1, 2.5], \"y\": \"a\"},\n {\"e\": [3, -4],\n  \"y\": \"b\"}]";
        assert_eq!(values("x.json", objects, None).unwrap(), NUMBERS);
        assert_eq!(first_label("x.json", objects, Some("y")), Label::Text("a".into()));
        assert_eq!(values("x.json", "[[1, 2.5], [3, -4]]", None).unwrap(), NUMBERS);
        assert_eq!(values("x.json", "[[1, 2.5],\n [3, -4]]\n", None).unwrap(), NUMBERS);
        assert_eq!(first_label("y.json", "[\"cat\", \"bee\"]", None), Label::Text("cat".into()));
        assert_eq!(first_label("y.json", "[3, 1]", None), Label::Integer(3));
        assert!(values("x.json", "[[1, NaN], [3, -4]]", None).unwrap()[1].is_nan());
    }

    #[test]
    fn arrays_within_a_document_are_named_by_their_paths() {
        let nested =
            "{\"model\": \"m\", \"data\": [{\"embedding\": [1, 2.5], \"index\": 0}, {\"embedding\": [3, -4]}]}";
        assert_eq!(values("x.json", nested, None).unwrap(), NUMBERS);
        assert_eq!(values("x.json", nested, Some("data.*.embedding")).unwrap(), NUMBERS);
        let columns = "{\"labels\": [\"a\", \"b\"], \"run\": {\"vectors\": [[1, 2.5], [3, -4]]}}";
        assert_eq!(values("x.json", columns, None).unwrap(), NUMBERS);
        assert_eq!(values("x.json", columns, Some("run.vectors")).unwrap(), NUMBERS);
        assert_eq!(first_label("x.json", columns, Some("labels")), Label::Text("a".into()));
    }

    #[test]
    fn elements_that_hold_rows_are_named_by_their_numbers() {
        let run = "{\"vectors\": [[1, 2.5], [3, -4]], \"labels\": [\"a\", \"b\"]}";
        let one = format!("{{\"runs\": [{run}]}}");
        assert_eq!(values("x.json", &one, None).unwrap(), NUMBERS);
        assert_eq!(first_label("x.json", &one, Some("runs.0.labels")), Label::Text("a".into()));
        let two = format!("{{\"runs\": [{{\"vectors\": [[0, 0]]}}, {run}]}}");
        assert_eq!(values("x.json", &two, Some("runs.1.vectors")).unwrap(), NUMBERS);
        let error = values("x.json", &two, None).unwrap_err();
        assert!(error.to_string().contains("runs.1.vectors") || error.tip().unwrap().contains("runs.1.vectors"));
        // One vector per row does not make rows of its own.
        let rows = "{\"data\": [{\"e\": [1, 2.5]}, {\"e\": [3, -4]}]}";
        assert!(values("x.json", rows, Some("data.0.e")).is_err());
    }

    #[test]
    fn lines_of_arrays_and_of_values_are_rows() {
        assert_eq!(values("x.jsonl", "[1, 2.5]\n[3, -4]\n", None).unwrap(), NUMBERS);
        assert_eq!(values("x.json", "[1, 2.5]\n[3, -4]\n", None).unwrap(), NUMBERS);
        assert_eq!(first_label("y.jsonl", "\"cat\"\n\"bee\"\n", None), Label::Text("cat".into()));
        let ragged =
            embeddings_of(&open("x.jsonl", "[1, 2.5]\n\n[3]\n[4, 5]\n").unwrap(), "x.jsonl", None, &[]).unwrap();
        assert!(ragged.fault(1).is_some() && ragged.fault(2).is_none());
    }

    #[test]
    fn lines_of_objects_stay_what_they_are() {
        for name in ["x.json", "x.jsonl"] {
            assert_eq!(values(name, "{\"e\": [1, 2.5]}\n{\"e\": [3, -4]}\n", None).unwrap(), NUMBERS);
            assert_eq!(values(name, "{\"e\": [1, 2.5], \"n\": NaN}\n{\"e\": [3, -4]}\n", None).unwrap(), NUMBERS);
        }
        assert_eq!(values("x.jsonl", "{\"e\": [1, 2.5]}", None).unwrap(), [1.0, 2.5]);
    }

    #[test]
    fn documents_without_rows_and_broken_ones_are_refused() {
        let error = |text: &str| open("x.json", text).err().unwrap();
        let map = error("{\"img_0\": \"cat\", \"img_1\": \"bee\"}");
        assert!(map.tip().unwrap().contains("jq -c '.[]' x.json > x.jsonl"), "{:?}", map.tip());
        for broken in ["[", "[[1, 2], [3", "{\"a\": [1}", "[1, Nan]", "{}", "[]", "[[[[[[[["] {
            open("x.json", broken).err().unwrap();
        }
        assert!(open("x.json", &"[".repeat(100_000)).is_err());
    }
}
