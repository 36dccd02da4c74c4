//! JSON lines: an object a line, with numbers or a list of numbers as the embeddings.

use std::borrow::Cow;
use std::fmt;

use indexmap::IndexMap;
use rayon::prelude::*;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::input::cells::{Cell, Place, excerpt, no_rows};
use crate::input::source::Source;
use crate::input::table::{Column, Kind, Table, VisitColumns};
use crate::input::{Contents, Format, json_document};
use embq_core::data::{ElementType, Embeddings, InMemory, Origin};
use embq_core::error::{Error, Result};

/// An object a line.
pub(crate) const FORMAT: Format = Format {
    name: "json lines",
    extensions: &["jsonl", "ndjson", "json"],
    recognises: |bytes| {
        let text = bytes.trim_ascii_start();
        let object = text.strip_prefix(b"[").unwrap_or(text).trim_ascii_start();
        object.strip_prefix(b"{").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\""))
    },
    open: |source, _| Ok(Contents::Table(json_document::table(source)?)),
};

/// Lines that are parsed side by side.
const BATCH_ROWS: usize = 1024;

/// Lines in which keys and types are looked for.
const SNIFFED_ROWS: usize = 1000;

/// A file of which the first lines have been read.
pub(crate) struct JsonLines {
    source: Source,
    columns: Vec<Column>,
}

/// The value of a key.
#[derive(Clone, Debug, Default, PartialEq)]
enum Value {
    #[default]
    Missing,
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    /// Numbers, and the first element that is none.
    List {
        values: Vec<f64>,
        problem: Option<String>,
    },
    Object,
}

impl Value {
    fn kind(&self) -> Option<Kind> {
        Some(match self {
            Value::Missing => return None,
            Value::Boolean(_) => Kind::Boolean,
            Value::Integer(_) => Kind::Integer(ElementType::I64),
            Value::Float(_) => Kind::Float(ElementType::F64),
            Value::Text(_) => Kind::Text,
            Value::List { problem: None, .. } => Kind::List(ElementType::F64),
            // Null stands for a number that is missing, which the error that names its row tells better.
            Value::List { values, .. } if !values.is_empty() => Kind::List(ElementType::F64),
            Value::List { .. } | Value::Object => Kind::Other,
        })
    }

    fn name(&self) -> &'static str {
        match self {
            Value::Missing => "null",
            Value::Boolean(_) => "true or false",
            Value::Integer(_) | Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List { .. } => "a list",
            Value::Object => "an object",
        }
    }
}

/// The type of a column of which some values are known.
fn common_kind(kinds: &[Kind]) -> Kind {
    let is_number = |kind: &Kind| matches!(kind, Kind::Integer(_) | Kind::Float(_));
    match kinds {
        [first, rest @ ..] if rest.iter().all(|kind| kind == first) => *first,
        _ if !kinds.is_empty() && kinds.iter().all(is_number) => Kind::Float(ElementType::F64),
        _ => Kind::Other,
    }
}

fn dtype(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer(_) => "integer",
        Kind::Float(_) | Kind::Numeral => "number",
        Kind::Boolean => "bool",
        Kind::Text => "text",
        Kind::List(_) => "list of numbers",
        Kind::Other => "mixed",
    }
}

impl JsonLines {
    /// Looks at the first lines, each of which is an object.
    pub fn open(source: &Source) -> Result<Self> {
        let mut columns: IndexMap<String, Vec<Kind>> = IndexMap::new();
        let mut rows = 0;
        for (row, (number, line)) in lines(&source.bytes).take(SNIFFED_ROWS).enumerate() {
            let object: IndexMap<String, Value> =
                serde_json::from_slice(line).map_err(|error| broken(source, row, number, &error))?;
            for (key, value) in object {
                columns.entry(key).or_default().extend(value.kind());
            }
            rows = row + 1;
        }
        if rows == 0 {
            return Err(no_rows(&source.path));
        }
        let columns = columns.into_iter().map(|(name, kinds)| {
            let kind = common_kind(&kinds);
            Column { name, kind, dtype: dtype(kind).to_owned() }
        });
        Ok(JsonLines { source: source.clone(), columns: columns.collect() })
    }

    /// Hands over the values of some columns, some rows at a time, with the number of the first row.
    fn batches(
        &self,
        columns: &[usize],
        mut use_batch: impl FnMut(usize, Vec<Vec<Value>>) -> Result<()>,
    ) -> Result<()> {
        let names: Vec<&str> = columns.iter().map(|&column| self.columns[column].name.as_str()).collect();
        let mut lines = lines(&self.source.bytes);
        let mut first_row = 0;
        loop {
            let batch: Vec<(usize, &[u8])> = lines.by_ref().take(BATCH_ROWS).collect();
            if batch.is_empty() {
                return Ok(());
            }
            // The first error in row order, so that the same file always gives the same message.
            let parsed: Vec<Result<Vec<Value>>> = batch
                .par_iter()
                .enumerate()
                .map(|(index, &(number, line))| {
                    let mut deserializer = serde_json::Deserializer::from_slice(line);
                    let values = Fields(&names).deserialize(&mut deserializer);
                    let values = values.and_then(|values| deserializer.end().map(|()| values));
                    values.map_err(|error| broken(&self.source, first_row + index, number, &error))
                })
                .collect();
            use_batch(first_row, parsed.into_iter().collect::<Result<_>>()?)?;
            first_row += batch.len();
        }
    }

    fn place(&self, column: usize) -> Place<'_> {
        Place { path: &self.source.path, column: Some(&self.columns[column].name) }
    }

    fn number(&self, row: usize, column: usize, value: &Value) -> Result<f64> {
        match value {
            Value::Integer(value) => Ok(*value as f64),
            Value::Float(value) => Ok(*value),
            Value::Missing => Err(self.place(column).error(row, "the value is null", None)),
            other => Err(self.place(column).error(row, format!("{} is not a number", other.name()), None)),
        }
    }

    /// The list of a row, as long as that of the first.
    fn list(&self, row: usize, column: usize, value: Value, dimensions: &mut Option<usize>) -> Result<Vec<f64>> {
        let fail = |problem: String| Err(self.place(column).error(row, problem, None));
        match value {
            Value::List { problem: Some(problem), .. } => fail(problem),
            Value::List { values, .. } => {
                let expected = *dimensions.get_or_insert(values.len());
                match values.len() {
                    0 => fail("the list is empty".to_owned()),
                    length if length != expected => {
                        fail(format!("a list of {length} values, where row 0 has {expected}"))
                    }
                    _ => Ok(values),
                }
            }
            Value::Missing => fail("the list is null".to_owned()),
            other => fail(format!("{} is not a list of numbers", other.name())),
        }
    }
}

impl Table for JsonLines {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn matrix(&self, columns: &[usize], origin: Origin) -> Result<Embeddings> {
        let list = matches!(columns, [only] if matches!(self.columns[*only].kind, Kind::List(_)));
        let mut dimensions = (!list).then_some(columns.len());
        let mut values: Vec<f64> = Vec::new();
        self.batches(columns, |first_row, rows| {
            for (row, fields) in (first_row..).zip(rows) {
                for (&column, field) in columns.iter().zip(fields) {
                    if list {
                        values.append(&mut self.list(row, column, field, &mut dimensions)?);
                    } else {
                        values.push(self.number(row, column, &field)?);
                    }
                }
            }
            Ok(())
        })?;
        let dimensions = dimensions.unwrap_or(0).max(1);
        let rows = values.len() / dimensions;
        Ok(Embeddings::new(origin, rows, dimensions, ElementType::F64, InMemory::of_rows(values, dimensions)))
    }

    fn cells(&self, columns: &[usize], visit: &mut VisitColumns<'_>) -> Result<()> {
        self.batches(columns, |first_row, rows| {
            for (row, fields) in (first_row..).zip(rows) {
                for ((position, field), &column) in fields.iter().enumerate().zip(columns) {
                    let cell = match field {
                        Value::Missing => Cell::Missing,
                        Value::Boolean(value) => Cell::Boolean(*value),
                        Value::Integer(value) => Cell::Integer(*value),
                        Value::Float(value) => Cell::Float(*value),
                        Value::Text(text) => Cell::Text(text),
                        other => {
                            let problem = format!("{} is not a single value", other.name());
                            return Err(self.place(column).error(row, problem, None));
                        }
                    };
                    let kind = self.columns[column].kind;
                    let fits = match cell {
                        Cell::Missing => true,
                        Cell::Boolean(_) => kind == Kind::Boolean,
                        Cell::Text(_) => kind == Kind::Text,
                        Cell::Integer(_) | Cell::Float(_) => kind.is_number(),
                    };
                    if !fits {
                        let problem = format!("{} among values of type {}", field.name(), dtype(kind));
                        return Err(self.place(column).error(row, problem, None));
                    }
                    visit(position, row, cell)?;
                }
            }
            Ok(())
        })
    }
}

/// The lines that are not blank, with their numbers from 1.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    lines.map(|(index, line)| (index + 1, line.trim_ascii())).filter(|(_, line)| !line.is_empty())
}

fn broken(source: &Source, row: usize, number: usize, error: &serde_json::Error) -> Error {
    // The line that the parser counts is always the first.
    let text = error.to_string();
    let text = text.split(" at line 1 ").next().unwrap_or_default();
    Error::Row {
        name: source.path.clone(),
        row,
        problem: format!("line {number}, column {}: {text}", error.column()),
        tip: Some("every line is one JSON object; NaN is no JSON, write null".to_owned()),
    }
}

/// Reads the values of some keys of an object; other keys are skipped.
struct Fields<'a>(&'a [&'a str]);

impl<'de> DeserializeSeed<'de> for Fields<'_> {
    type Value = Vec<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Vec<Value>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_> {
    type Value = Vec<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Vec<Value>, A::Error> {
        let mut values = vec![Value::Missing; self.0.len()];
        while let Some(Key(key)) = map.next_key()? {
            match self.0.iter().position(|name| *name == key) {
                Some(position) => values[position] = map.next_value()?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(values)
    }
}

/// A key, borrowed where it has no escapes in it.
#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Missing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Integer(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        let mut problem = None;
        while let Some(element) = elements.next_element::<Value>()? {
            match element {
                Value::Integer(value) => values.push(value as f64),
                Value::Float(value) => values.push(value),
                other => {
                    let position = values.len();
                    let what = match &other {
                        Value::Missing => "null".to_owned(),
                        Value::Text(text) => format!("'{}', not a number", excerpt(text)),
                        other => format!("{}, not a number", other.name()),
                    };
                    problem.get_or_insert_with(|| format!("element {position} of the list is {what}"));
                }
            }
        }
        Ok(Value::List { values, problem })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Value::Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Role, embeddings_of, labels_of, weights_of};
    use embq_core::data::{Element, Label, LabelType, MappedBytes};

    fn open(text: &str) -> Result<Contents> {
        let source = Source { path: "t.jsonl".into(), bytes: MappedBytes::from_memory(text.as_bytes().to_vec()) };
        (FORMAT.open)(&source, Role::Embeddings)
    }

    fn embeddings(text: &str, selector: Option<&str>) -> Result<Embeddings> {
        embeddings_of(&open(text)?, "t.jsonl", selector, &[])
    }

    fn values(embeddings: &Embeddings) -> Vec<f64> {
        let mut out = vec![0.0; embeddings.rows() * embeddings.dimensions()];
        f64::read(embeddings.blocks(), 0..embeddings.rows(), &mut out).unwrap();
        out
    }

    const LISTS: &str = "{\"id\": 1, \"e\": [1, 2.5], \"y\": \"a\"}\n\n{\"y\": \"b\", \"e\": [3, -4e1], \"id\": 2}\n";

    #[test]
    fn a_list_field_is_the_embeddings_in_any_order_of_keys() {
        let read = embeddings(LISTS, None).unwrap();
        assert_eq!(read.origin().to_string(), "t.jsonl:e");
        assert_eq!((read.rows(), read.dimensions()), (2, 2));
        assert_eq!(values(&read), [1.0, 2.5, 3.0, -40.0]);
        let labels = labels_of(&open(LISTS).unwrap(), "t.jsonl", Some("y")).unwrap();
        assert_eq!((labels.label_type(), labels.get(1)), (LabelType::Text, Some(&Label::Text("b".into()))));
        assert_eq!(weights_of(&open(LISTS).unwrap(), "t.jsonl", Some("id")).unwrap().values, [1.0, 2.0]);
    }

    #[test]
    fn number_fields_stand_side_by_side() {
        let read = embeddings("{\"x\": 1, \"y\": 2.5, \"n\": 7}\n{\"x\": 0.5, \"y\": 3, \"n\": 8}", None).unwrap();
        assert_eq!(read.columns(), ["x", "y"]);
        assert_eq!(values(&read), [1.0, 2.5, 0.5, 3.0]);
        let read = embeddings("{\"x\": 1, \"n\": 7}\n{\"x\": 2, \"n\": 8}", Some("x..n")).unwrap();
        assert_eq!(values(&read), [1.0, 7.0, 2.0, 8.0]);
    }

    #[test]
    fn what_is_wrong_is_named_with_row_and_line() {
        for (text, wanted) in [
            ("{\"e\": [1, 2]}\n\n{\"e\": [1]}", "row 1, column 'e': a list of 1 values, where row 0 has 2"),
            ("{\"e\": [1, 2]}\n{\"e\": [1, null]}", "row 1, column 'e': element 1 of the list is null"),
            ("{\"e\": [1, 2]}\n{\"e\": [1, \"x\"]}", "element 1 of the list is 'x', not a number"),
            ("{\"e\": [1, 2]}\n{}", "row 1, column 'e': the list is null"),
            ("{\"e\": [1, 2]}\n\n{\"e\": [1, }", "row 1: line 3, column 11: expected value"),
            ("{\"e\": [1, NaN]}", "row 0: line 1, column 11: expected value"),
            ("\n \n", "no rows"),
        ] {
            let error = embeddings(text, None).err().unwrap().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn labels_are_of_one_type() {
        let label = |text: &str| labels_of(&open(text).unwrap(), "t.jsonl", Some("y"));
        let booleans = label("{\"y\": true}\n{\"y\": null}\n{}").unwrap();
        assert_eq!((booleans.get(0), booleans.get(1), booleans.get(2)), (Some(&Label::Boolean(true)), None, None));
        let integers = label("{\"y\": 3}\n{\"y\": 2.0}").unwrap();
        assert_eq!(integers.get(1), Some(&Label::Integer(2)));
        assert!(matches!(label("{\"y\": 3}\n{\"y\": \"a\"}").unwrap_err(), Error::ElementType { .. }));
    }

    #[test]
    fn json_is_recognised_by_its_content() {
        assert!((FORMAT.recognises)(b" {\"a\": 1}") && (FORMAT.recognises)(b"{ \"a\""));
        assert!(!(FORMAT.recognises)(b"{a}, b\n1,2\n") && !(FORMAT.recognises)(b"[1]"));
    }
}
