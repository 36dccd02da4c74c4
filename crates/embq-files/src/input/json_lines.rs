//! JSON lines: one object per line, with numbers or a list of numbers as the embeddings.
//!
//! Nested values are columns too, named by the keys and positions that lead to them: `response.data.0.embedding`.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use indexmap::IndexMap;
use rayon::prelude::*;
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use crate::input::cells::{Cell, Place, excerpt, no_rows};
use crate::input::source::Source;
use crate::input::table::{Column, Kind, Table, Unreadable, VisitColumns};
use crate::input::vector_text::{self, Texts};
use crate::input::{Contents, Format, json_document};
use embq_core::data::{ElementType, Embeddings, InMemory, Origin, RowFault, RowFaults};
use embq_core::error::{Error, Result};

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

/// Lines parsed in parallel.
const BATCH_ROWS: usize = 1024;

/// Lines examined to find keys and types.
const SNIFFED_ROWS: usize = 1000;

/// The number of objects in a list that become columns of their own.
const SNIFFED_ITEMS: usize = 4;

/// A file whose first lines have been examined.
pub(crate) struct JsonLines {
    source: Source,
    columns: Vec<Column>,
    /// The keys that lead to each column.
    paths: Vec<Vec<String>>,
    /// The vector length of each column that contains vectors.
    lengths: Vec<Option<usize>>,
}

/// A value at any depth.
#[derive(Clone, Debug, Default, PartialEq)]
enum Value {
    #[default]
    Missing,
    Boolean(bool),
    Integer(i128),
    Float(f64),
    Text(String),
    /// Numbers, and the first element that is not one.
    List {
        values: Vec<f64>,
        integers: bool,
        problem: Option<Problem>,
    },
    /// Lists or objects.
    Nested(Vec<Value>),
    Object(IndexMap<String, Value>),
}

/// An element of a list that is not a number.
#[derive(Clone, Debug, PartialEq)]
struct Problem {
    told: String,
    /// Its type in words: "text", "true or false".
    kind: &'static str,
}

impl Value {
    fn name(&self) -> &'static str {
        match self {
            Value::Missing => "null",
            Value::Boolean(_) => "true or false",
            Value::Integer(_) | Value::Float(_) => "a number",
            Value::Text(_) => "text",
            Value::List { .. } | Value::Nested(_) => "a list",
            Value::Object(_) => "an object",
        }
    }

    /// The value at a path.
    fn at(&self, path: &[String]) -> Value {
        let Some((key, rest)) = path.split_first() else { return self.clone() };
        match self {
            Value::Object(entries) => entries.get(key).map(|value| value.at(rest)).unwrap_or_default(),
            Value::Nested(items) => {
                let item = key.parse::<usize>().ok().and_then(|position| items.get(position));
                item.map(|value| value.at(rest)).unwrap_or_default()
            }
            _ => Value::Missing,
        }
    }
}

/// What the first lines show about a column.
#[derive(Default)]
struct Seen {
    booleans: usize,
    integers: usize,
    floats: usize,
    texts: Vec<String>,
    /// The lengths of lists of numbers, and whether all of their elements are integers.
    lengths: Vec<usize>,
    fractions: bool,
    /// Lists of several vectors.
    nested: usize,
    /// Lists of anything else, and what their elements are.
    others: usize,
    elements: Option<&'static str>,
    objects: usize,
}

impl Seen {
    fn add(&mut self, value: Value) {
        match value {
            Value::Missing => {}
            Value::Boolean(_) => self.booleans += 1,
            Value::Integer(_) => self.integers += 1,
            Value::Float(_) => self.floats += 1,
            Value::Text(text) => self.texts.push(text),
            // Null stands for a missing number, which makes only its row unusable.
            Value::List { values, integers, .. } if !values.is_empty() => {
                self.lengths.push(values.len());
                self.fractions |= !integers;
            }
            // An empty list is a missing vector.
            Value::List { problem: None, .. } => {}
            Value::List { problem: Some(problem), .. } => {
                self.others += 1;
                self.elements.get_or_insert(problem.kind);
            }
            Value::Nested(mut items) if items.len() == 1 => match items.pop() {
                Some(only @ Value::List { .. }) => self.add(only),
                _ => self.nested += 1,
            },
            Value::Nested(items) => match items.first() {
                Some(Value::Object(_)) => self.objects += 1,
                _ => self.nested += 1,
            },
            Value::Object(_) => self.objects += 1,
        }
    }

    /// The column as the majority of the values determine it, and the length of its vectors.
    fn column(self, name: String) -> (Column, Option<usize>) {
        let all = self.booleans
            + self.integers
            + self.floats
            + self.texts.len()
            + self.lengths.len()
            + self.nested
            + self.others
            + self.objects;
        let most = |count: usize| 2 * count > all;
        let unreadable = |name: String, dtype: &str, unreadable: Unreadable| {
            (Column { unreadable: Some(unreadable), ..Column::new(name, Kind::Other, dtype) }, None)
        };
        let plain = |name: String, kind: Kind, dtype: &str| (Column::new(name, kind, dtype), None);
        match () {
            () if most(self.lengths.len()) => {
                let element_type = if self.fractions { ElementType::F64 } else { ElementType::I64 };
                match vector_text::usual_length(self.lengths) {
                    Some(length) => {
                        let dtype = format!("list of {length} numbers");
                        (Column::new(name, Kind::List(element_type), dtype), Some(length))
                    }
                    None => unreadable(name, "list of numbers", Unreadable::uneven(!self.fractions)),
                }
            }
            () if most(self.nested) => unreadable(name, "list of lists", Unreadable::nested()),
            () if most(self.texts.len()) => match vector_text::recognise(self.texts.iter().map(String::as_str)) {
                Texts::Vectors(Some(length)) => {
                    let dtype = format!("text with vectors of {length} values");
                    (Column::new(name, Kind::TextList, dtype), Some(length))
                }
                Texts::Base64(length) => {
                    (Column::new(name, Kind::Base64, format!("base64 of {length} f32")), Some(length))
                }
                Texts::Vectors(None) => unreadable(name, "text with lists", Unreadable::uneven(false)),
                Texts::Nested => unreadable(name, "text with lists of lists", Unreadable::nested()),
                Texts::Shortened => unreadable(name, "text with shortened vectors", Unreadable::shortened()),
                Texts::Plain => plain(name, Kind::Text, "text"),
            },
            () if most(self.booleans) => plain(name, Kind::Boolean, "bool"),
            () if most(self.integers + self.floats) && self.floats > 0 => {
                plain(name, Kind::Float(ElementType::F64), "number")
            }
            () if most(self.integers) => plain(name, Kind::Integer(ElementType::I64), "integer"),
            () if most(self.others) => {
                plain(name, Kind::Other, &format!("list of {}", self.elements.unwrap_or("other values")))
            }
            () if most(self.objects) => plain(name, Kind::Other, "object"),
            () if all == 0 => plain(name, Kind::Other, "null"),
            () => plain(name, Kind::Other, "mixed"),
        }
    }
}

fn dtype(kind: Kind) -> &'static str {
    match kind {
        Kind::Integer(_) => "integer",
        Kind::Float(_) | Kind::Numeral { .. } => "number",
        Kind::Boolean => "bool",
        Kind::Text | Kind::TextList | Kind::Base64 => "text",
        Kind::List(_) | Kind::Nested(_) => "list of numbers",
        Kind::Sparse | Kind::Bytes | Kind::Other => "mixed",
    }
}

/// Records each value under its path.
fn flatten(path: &mut Vec<String>, value: Value, columns: &mut IndexMap<Vec<String>, Seen>) {
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                path.push(key);
                flatten(path, value, columns);
                path.pop();
            }
        }
        Value::Nested(items) if matches!(items.first(), Some(Value::Object(_))) => {
            for (position, item) in items.into_iter().take(SNIFFED_ITEMS).enumerate() {
                path.push(position.to_string());
                flatten(path, item, columns);
                path.pop();
            }
        }
        value => match columns.get_mut(path) {
            Some(seen) => seen.add(value),
            None => columns.entry(path.clone()).or_default().add(value),
        },
    }
}

impl JsonLines {
    /// Examines the first lines, each of which is an object.
    pub fn open(source: &Source) -> Result<Self> {
        let source = source.as_text()?;
        let mut seen: IndexMap<Vec<String>, Seen> = IndexMap::new();
        let mut rows = 0;
        for (row, (number, line)) in lines(&source.bytes).take(SNIFFED_ROWS).enumerate() {
            let object = parse(line, |line| serde_json::from_slice::<IndexMap<String, Value>>(line));
            let object = object.map_err(|error| broken(&source, row, number, &error))?;
            flatten(&mut Vec::new(), Value::Object(object), &mut seen);
            rows = row + 1;
        }
        if rows == 0 {
            return Err(no_rows(&source.path));
        }
        let (mut columns, mut paths, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        let mut names = std::collections::HashSet::new();
        for (path, seen) in seen {
            let name = path.join(".");
            // A key that contains a dot can look like a path; the first of the two wins.
            if !names.insert(name.clone()) {
                continue;
            }
            let (column, length) = seen.column(name);
            columns.push(column);
            paths.push(path);
            lengths.push(length);
        }
        Ok(JsonLines { source, columns, paths, lengths })
    }

    /// Passes batches of the values of some columns to `use_batch`, each with the number of its first row.
    fn batches(
        &self,
        columns: &[usize],
        mut use_batch: impl FnMut(usize, Vec<Vec<Value>>) -> Result<()>,
    ) -> Result<()> {
        let wanted = Node::of(columns.iter().map(|&column| self.paths[column].as_slice()));
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
                    let read = |line: &[u8]| {
                        let mut values = vec![Value::Missing; columns.len()];
                        let mut deserializer = serde_json::Deserializer::from_slice(line);
                        deserializer.deserialize_map(Walk { node: &wanted, values: &mut values })?;
                        deserializer.end().map(|()| values)
                    };
                    parse(line, read).map_err(|error| broken(&self.source, first_row + index, number, &error))
                })
                .collect();
            use_batch(first_row, parsed.into_iter().collect::<Result<_>>()?)?;
            first_row += batch.len();
        }
    }

    fn place(&self, column: usize) -> Place<'_> {
        Place { path: &self.source.path, column: Some(&self.columns[column].name) }
    }

    /// The vectors of a column.
    fn vectors(&self, column: usize, origin: Origin) -> Result<Embeddings> {
        let kind = self.columns[column].kind;
        let Some(dimensions) = self.lengths[column] else {
            return Err(self.place(column).error(0, "the vectors have different lengths", None));
        };
        let element_type = if kind == Kind::Base64 { ElementType::F32 } else { ElementType::F64 };
        let faults = RowFaults::default();
        let mut values: Vec<f64> = Vec::new();
        let mut buffer = Vec::new();
        self.batches(&[column], |first_row, rows| {
            for (row, mut fields) in (first_row..).zip(rows) {
                let value = fields.pop().unwrap_or_default();
                let read = match value {
                    Value::Text(text) if matches!(kind, Kind::TextList | Kind::Base64) => {
                        vector_text::cell(&text, kind == Kind::Base64, dimensions, &mut buffer)
                            .map(|()| values.extend_from_slice(&buffer))
                    }
                    value => vector(value, dimensions).map(|vector| values.extend_from_slice(&vector)),
                };
                if let Err(problem) = read {
                    values.resize(values.len() + dimensions, f64::NAN);
                    let column = Some(self.columns[column].name.clone());
                    faults.add(row, || RowFault { column, problem });
                }
            }
            Ok(())
        })?;
        Ok(vector_text::embeddings(origin, values, dimensions, element_type, faults))
    }
}

/// The numbers of a list of the usual length, or what is wrong with it.
fn vector(value: Value, dimensions: usize) -> Result<Vec<f64>, String> {
    match value {
        Value::List { problem: Some(problem), .. } => Err(problem.told),
        Value::List { values, .. } if values.len() == dimensions => Ok(values),
        Value::List { values, .. } if values.is_empty() => Err("the list is empty".to_owned()),
        Value::List { values, .. } => Err(format!("a list of {} values, where most have {dimensions}", values.len())),
        Value::Nested(mut items) => match (items.len(), items.pop()) {
            (1, Some(only)) => vector(only, dimensions),
            (several, _) => Err(format!("a list of {several} lists")),
        },
        Value::Missing => Err("the list is null".to_owned()),
        Value::Text(text) => Err(format!("'{}' is not a list of numbers", excerpt(&text))),
        other => Err(format!("{} is not a list of numbers", other.name())),
    }
}

/// The number, or why there is none.
fn number(value: &Value) -> Result<f64, String> {
    match value {
        Value::Integer(value) => Ok(*value as f64),
        Value::Float(value) => Ok(*value),
        Value::Missing => Err("the value is null or NaN".to_owned()),
        Value::Text(text) => Err(format!("'{}' is not a number", excerpt(text))),
        other => Err(format!("{} is not a number", other.name())),
    }
}

impl Table for JsonLines {
    fn columns(&self) -> &[Column] {
        &self.columns
    }

    fn matrix(&self, columns: &[usize], origin: Origin) -> Result<Embeddings> {
        if let &[only] = columns
            && self.columns[only].kind.is_vectors()
        {
            return self.vectors(only, origin);
        }
        let faults = RowFaults::default();
        let mut values: Vec<f64> = Vec::new();
        self.batches(columns, |first_row, rows| {
            for (row, fields) in (first_row..).zip(rows) {
                for (&column, field) in columns.iter().zip(fields) {
                    values.push(number(&field).unwrap_or_else(|problem| {
                        let column = Some(self.columns[column].name.clone());
                        faults.add(row, || RowFault { column, problem });
                        f64::NAN
                    }));
                }
            }
            Ok(())
        })?;
        let dimensions = columns.len();
        let rows = values.len() / dimensions.max(1);
        let blocks = InMemory::of_rows(values, dimensions);
        let embeddings = Embeddings::new(origin, rows, dimensions, ElementType::F64, blocks);
        Ok(embeddings.with_faults(Arc::new(faults)))
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
                        Cell::Text(_) => matches!(kind, Kind::Text | Kind::TextList | Kind::Base64),
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

/// The nonblank lines, numbered from 1.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    lines.map(|(index, line)| (index + 1, line.trim_ascii())).filter(|(_, line)| !line.is_empty())
}

/// Parses a line; if that fails and it contains Python's `NaN` or `Infinity`, retries with null in their place.
fn parse<T>(line: &[u8], read: impl Fn(&[u8]) -> Result<T, serde_json::Error>) -> Result<T, serde_json::Error> {
    read(line).or_else(|error| match without_nan(line) {
        Some(line) => read(&line),
        None => Err(error),
    })
}

/// The line with null for every `NaN`, `Infinity` and `-Infinity` outside strings; `None` if there are none.
pub(crate) fn without_nan(line: &[u8]) -> Option<Vec<u8>> {
    const WORDS: [&[u8]; 3] = [b"NaN", b"-Infinity", b"Infinity"];
    let mut plain = Vec::with_capacity(line.len());
    let (mut at, mut quoted, mut found) = (0, false, false);
    while at < line.len() {
        let rest = &line[at..];
        if quoted && rest[0] == b'\\' {
            let end = rest.len().min(2);
            plain.extend_from_slice(&rest[..end]);
            at += end;
            continue;
        }
        if !quoted && let Some(word) = WORDS.iter().find(|word| rest.starts_with(word)) {
            plain.extend_from_slice(b"null");
            at += word.len();
            found = true;
            continue;
        }
        quoted ^= rest[0] == b'"';
        plain.push(rest[0]);
        at += 1;
    }
    found.then_some(plain)
}

fn broken(source: &Source, row: usize, number: usize, error: &serde_json::Error) -> Error {
    // The parser sees a single line, so its line number is always 1.
    let text = error.to_string();
    let text = text.split(" at line 1 ").next().unwrap_or_default();
    Error::Row {
        name: source.path.clone(),
        row,
        problem: format!("line {number}, column {}: {text}", error.column()),
        tip: Some("every line is one JSON object".to_owned()),
    }
}

/// The parts of an object to read: some of its keys, or values nested below them.
#[derive(Default)]
struct Node<'a> {
    children: Vec<(&'a str, Node<'a>)>,
    /// The columns filled by the value itself.
    columns: Vec<usize>,
}

impl<'a> Node<'a> {
    fn of(paths: impl Iterator<Item = &'a [String]>) -> Self {
        let mut root = Node::default();
        for (column, path) in paths.enumerate() {
            let mut node = &mut root;
            for key in path {
                let place = match node.children.iter().position(|(known, _)| *known == key.as_str()) {
                    Some(place) => place,
                    None => {
                        node.children.push((key.as_str(), Node::default()));
                        node.children.len() - 1
                    }
                };
                node = &mut node.children[place].1;
            }
            node.columns.push(column);
        }
        root
    }

    fn child(&self, key: &str) -> Option<&Node<'a>> {
        self.children.iter().find(|(known, _)| *known == key).map(|(_, node)| node)
    }

    /// Stores a needed value and those nested in it.
    fn place(&self, value: Value, values: &mut [Value]) {
        for (key, child) in &self.children {
            child.place(value.at(&[(*key).to_owned()]), values);
        }
        if let Some((&last, others)) = self.columns.split_last() {
            for &column in others {
                values[column] = value.clone();
            }
            values[last] = value;
        }
    }
}

/// Reads the needed values of an object or a list and skips everything else.
struct Walk<'n, 'v> {
    node: &'n Node<'n>,
    values: &'v mut [Value],
}

impl<'de> DeserializeSeed<'de> for Walk<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        if self.node.columns.is_empty() {
            return deserializer.deserialize_any(self);
        }
        let value = Value::deserialize(deserializer)?;
        self.node.place(value, self.values);
        Ok(())
    }
}

impl<'de> Visitor<'de> for Walk<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Key(key)) = map.next_key()? {
            match self.node.child(&key) {
                Some(node) => map.next_value_seed(Walk { node, values: &mut *self.values })?,
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        for position in 0_usize.. {
            let more = match self.node.child(&position.to_string()) {
                Some(node) => elements.next_element_seed(Walk { node, values: &mut *self.values })?.is_some(),
                None => elements.next_element::<IgnoredAny>()?.is_some(),
            };
            if !more {
                break;
            }
        }
        Ok(())
    }

    // A value that is neither an object nor a list has nothing below it: the needed values are missing.

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
}

/// A key, borrowed if it has no escapes.
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
        let mut integers = true;
        let mut problem = None;
        while let Some(element) = elements.next_element::<Value>()? {
            match element {
                Value::Integer(value) => values.push(value as f64),
                Value::Float(value) => {
                    integers = false;
                    values.push(value);
                }
                first @ (Value::List { .. } | Value::Nested(_) | Value::Object(_))
                    if values.is_empty() && problem.is_none() =>
                {
                    let mut items = vec![first];
                    while let Some(item) = elements.next_element::<Value>()? {
                        items.push(item);
                    }
                    return Ok(Value::Nested(items));
                }
                other => {
                    let position = values.len();
                    let (what, kind) = match &other {
                        Value::Missing => ("null or NaN".to_owned(), "null"),
                        Value::Text(text) => (format!("'{}', not a number", excerpt(text)), "text"),
                        Value::Boolean(_) => ("true or false, not a number".to_owned(), "bool"),
                        other => (format!("{}, not a number", other.name()), "other values"),
                    };
                    problem.get_or_insert_with(|| Problem {
                        told: format!("element {position} of the list is {what}"),
                        kind,
                    });
                }
            }
        }
        Ok(Value::List { values, integers, problem })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries = IndexMap::new();
        while let Some(Key(key)) = map.next_key()? {
            entries.insert(key.into_owned(), map.next_value()?);
        }
        Ok(Value::Object(entries))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::{Role, embeddings_of, labels_of, weights_of};
    use embq_core::data::{Element, Label, LabelType, MappedBytes};

    fn open(text: &str) -> Result<Contents> {
        let source = Source::new("t.jsonl", MappedBytes::from_memory(text.as_bytes().to_vec()));
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
    fn rows_that_are_no_vector_are_told_by_row_and_column() {
        let text = "{\"e\": [1, 2]}\n\n{\"e\": [1]}\n{\"e\": [1, null]}\n{\"e\": [1, \"x\"]}\n{}\n{\"e\": []}\n\
                    {\"e\": {\"error\": 1}}\n{\"e\": \"late\"}\n{\"e\": [1, NaN]}\n{\"e\": [3, 4]}\n{\"e\": [5, 6]}\n\
                    {\"e\": [5, 6]}\n{\"e\": [5, 6]}\n";
        let read = embeddings(text, None).unwrap();
        assert_eq!((read.rows(), read.dimensions()), (13, 2));
        let fault = |row| read.fault(row).map(|fault| format!("{}: {}", fault.column.unwrap(), fault.problem));
        assert_eq!(fault(0), None);
        for (row, wanted) in [
            (1, "e: a list of 1 values, where most have 2"),
            (2, "e: element 1 of the list is null or NaN"),
            (3, "e: element 1 of the list is 'x', not a number"),
            (4, "e: the list is null"),
            (5, "e: the list is empty"),
            (6, "e: an object is not a list of numbers"),
            (7, "e: 'late' is not a list of numbers"),
            (8, "e: element 1 of the list is null or NaN"),
        ] {
            assert_eq!(fault(row).as_deref(), Some(wanted));
        }
        assert!(values(&read)[2].is_nan());
    }

    #[test]
    fn what_is_no_json_is_named_with_row_and_line() {
        for (text, wanted) in
            [("{\"e\": [1, 2]}\n\n{\"e\": [1, }", "row 1: line 3, column 11: expected value"), ("\n \n", "no rows")]
        {
            let error = embeddings(text, None).err().unwrap().to_string();
            assert!(error.contains(wanted), "{text}: {error}");
        }
    }

    #[test]
    fn keys_may_lie_deeper() {
        let line = |id: u8| {
            format!(
                "{{\"id\": {id}, \"p\": {{\"l\": \"x{id}\"}}, \"r\": {{\"data\": [{{\"e\": [[{id}, 0.5]], \"n\": 1}}, {{\"n\": 2}}]}}}}"
            )
        };
        let text = format!("{}\n{}\n", line(1), line(2));
        let contents = open(&text).unwrap();
        assert_eq!(contents.names(), ["id", "p.l", "r.data.0.e", "r.data.0.n", "r.data.1.n"]);
        let read = embeddings(&text, None).unwrap();
        assert_eq!(read.origin().to_string(), "t.jsonl:r.data.0.e");
        assert_eq!(values(&read), [1.0, 0.5, 2.0, 0.5]);
        let labels = labels_of(&contents, "t.jsonl", Some("p.l")).unwrap();
        assert_eq!(labels.get(1), Some(&Label::Text("x2".into())));
    }

    #[test]
    fn most_rows_say_what_a_column_holds() {
        let kinds = |text: &str| {
            open(text).map(|contents| match contents {
                Contents::Table(table) => table.columns().iter().map(|column| column.dtype.clone()).collect::<Vec<_>>(),
                _ => Vec::new(),
            })
        };
        let text = "{\"e\": [[1], [2]], \"t\": [\"a\"], \"v\": \"[1, 2]\"}\n{\"e\": [[1]], \"t\": [], \"v\": null}\n{\"e\": [[3], [4]], \"t\": [\"b\", \"c\"]}\n";
        assert_eq!(kinds(text).unwrap(), ["list of lists", "list of text", "text with vectors of 2 values"]);
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
