//! Labels: one class for each row, as dense codes.

use std::collections::HashMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::Origin;
use crate::error::{Error, Result};

/// What kind of values a label column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LabelType {
    Integer,
    Text,
    Boolean,
}

impl LabelType {
    /// The name used in JSON and messages.
    pub fn name(self) -> &'static str {
        match self {
            LabelType::Integer => "integer",
            LabelType::Text => "text",
            LabelType::Boolean => "boolean",
        }
    }
}

/// One label value. Integers are ordered by number, text by code point, and `false` comes before `true`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Label {
    Integer(i128),
    Text(String),
    Boolean(bool),
}

impl Label {
    /// Its kind.
    pub fn kind(&self) -> LabelType {
        match self {
            Label::Integer(_) => LabelType::Integer,
            Label::Text(_) => LabelType::Text,
            Label::Boolean(_) => LabelType::Boolean,
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Label::Integer(value) => write!(formatter, "{value}"),
            Label::Text(value) => formatter.pad(value),
            Label::Boolean(value) => write!(formatter, "{value}"),
        }
    }
}

/// What can be the label of a row: integers, strings, booleans, and `None` for a row without one.
pub trait IntoLabel {
    /// The label; `None` where there is none.
    fn into_label(self) -> Option<Label>;
}

impl IntoLabel for Label {
    fn into_label(self) -> Option<Label> {
        Some(self)
    }
}

macro_rules! integer_labels {
    ($($integer:ty),*) => {
        $(impl IntoLabel for $integer {
            fn into_label(self) -> Option<Label> {
                Some(Label::Integer(self as i128))
            }
        })*
    };
}

// Those that i128 holds.
integer_labels!(i8, i16, i32, i64, i128, isize, u8, u16, u32, u64, usize);

impl IntoLabel for bool {
    fn into_label(self) -> Option<Label> {
        Some(Label::Boolean(self))
    }
}

impl IntoLabel for String {
    fn into_label(self) -> Option<Label> {
        Some(Label::Text(self))
    }
}

impl IntoLabel for &str {
    fn into_label(self) -> Option<Label> {
        Some(Label::Text(self.to_owned()))
    }
}

impl<L: IntoLabel + Clone> IntoLabel for &L {
    fn into_label(self) -> Option<Label> {
        self.clone().into_label()
    }
}

impl<L: IntoLabel> IntoLabel for Option<L> {
    fn into_label(self) -> Option<Label> {
        self.and_then(L::into_label)
    }
}

const MISSING: u32 = u32::MAX;

/// A label column as a reader decodes it: a dictionary of values in order of appearance and a code for each row.
#[derive(Clone, Debug)]
pub struct LabelColumn {
    origin: Origin,
    label_type: LabelType,
    dictionary: Vec<Label>,
    codes: Vec<u32>,
    /// Blank lines at the end of a text file, which are no rows unless as many labels are missing.
    blank_end: usize,
}

impl LabelColumn {
    /// A column from distinct labels and, for each row, the index of its label, as a categorical column holds them. An
    /// index past the end of the labels stands for a missing one.
    pub fn from_codes(origin: Origin, label_type: LabelType, dictionary: Vec<Label>, mut codes: Vec<u32>) -> Self {
        let known = dictionary.len();
        codes.iter_mut().filter(|code| **code as usize >= known).for_each(|code| *code = MISSING);
        LabelColumn { origin, label_type, dictionary, codes, blank_end: 0 }
    }

    /// A label for each row. Labels of several kinds are all taken as text.
    pub fn from_labels(labels: impl IntoIterator<Item: IntoLabel>) -> Self {
        let labels: Vec<Option<Label>> = labels.into_iter().map(IntoLabel::into_label).collect();
        let mut kinds = labels.iter().flatten().map(Label::kind);
        let first = kinds.next().unwrap_or(LabelType::Text);
        let kind = if kinds.all(|kind| kind == first) { first } else { LabelType::Text };
        let mut column = LabelColumnBuilder::new(kind);
        for label in &labels {
            match (label, kind) {
                (None, _) => column.push_missing(),
                (Some(Label::Integer(value)), LabelType::Integer) => column.push_integer(*value),
                (Some(Label::Boolean(value)), LabelType::Boolean) => column.push_boolean(*value),
                (Some(Label::Text(value)), _) => column.push_text(value),
                (Some(label), _) => column.push_text(&label.to_string()),
            }
        }
        column.finish(Origin::new("labels"))
    }

    /// Where the labels came from.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The kind of the values.
    pub fn label_type(&self) -> LabelType {
        self.label_type
    }

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.codes.len()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty()
    }

    /// The label of `row`; `None` where it is missing.
    pub fn get(&self, row: usize) -> Option<&Label> {
        self.codes.get(row).and_then(|&code| self.dictionary.get(code as usize))
    }

    /// The number of the label of `row` in the dictionary; `None` where it is missing.
    pub fn code(&self, row: usize) -> Option<usize> {
        self.codes.get(row).filter(|&&code| code != MISSING).map(|&code| code as usize)
    }

    /// The distinct labels in order of appearance.
    pub fn dictionary(&self) -> &[Label] {
        &self.dictionary
    }

    /// Says how many blank lines end the text file.
    pub fn with_blank_end(mut self, blank_end: usize) -> Self {
        self.blank_end = blank_end;
        self
    }

    /// Takes blank lines at the end for rows without a label, where that makes as many rows as there are.
    pub fn extended_to(mut self, rows: usize) -> Self {
        if self.len() < rows && self.len() + self.blank_end >= rows {
            self.codes.resize(rows, MISSING);
        }
        self
    }

    /// The labels in another order: for each row the row that its label comes from, or none.
    pub fn joined(&self, rows: &[Option<usize>]) -> Self {
        let code = |row: &Option<usize>| row.and_then(|row| self.codes.get(row).copied()).unwrap_or(MISSING);
        LabelColumn { codes: rows.iter().map(code).collect(), ..self.clone() }
    }

    /// Text whose every value is the plain decimal form of an integer, read as integers; any other column as it is.
    ///
    /// Text files have no types, so `7` and `10` in them are meant as numbers; `007` is not the plain form of one.
    pub fn with_integers_recognised(mut self) -> Self {
        let integers: Option<Vec<Label>> = self
            .dictionary
            .iter()
            .map(|label| match label {
                Label::Text(text) => {
                    text.parse::<i128>().ok().filter(|value| value.to_string() == *text).map(Label::Integer)
                }
                Label::Integer(_) | Label::Boolean(_) => None,
            })
            .collect();
        if let Some(integers) = integers
            && !integers.is_empty()
        {
            self.dictionary = integers;
            self.label_type = LabelType::Integer;
        }
        self
    }
}

/// Collects a [`LabelColumn`] row by row.
pub struct LabelColumnBuilder {
    label_type: LabelType,
    dictionary: Vec<Label>,
    codes: Vec<u32>,
    integers: HashMap<i128, u32>,
    texts: HashMap<String, u32>,
}

impl LabelColumnBuilder {
    /// A builder for labels of one kind.
    pub fn new(label_type: LabelType) -> Self {
        LabelColumnBuilder {
            label_type,
            dictionary: Vec::new(),
            codes: Vec::new(),
            integers: HashMap::new(),
            texts: HashMap::new(),
        }
    }

    /// Adds a row with an integer label.
    pub fn push_integer(&mut self, value: i128) {
        let next = self.dictionary.len() as u32;
        let code = *self.integers.entry(value).or_insert(next);
        if code == next {
            self.dictionary.push(Label::Integer(value));
        }
        self.codes.push(code);
    }

    /// Adds a row with a text label.
    pub fn push_text(&mut self, value: &str) {
        let code = match self.texts.get(value) {
            Some(&code) => code,
            None => {
                let code = self.dictionary.len() as u32;
                self.texts.insert(value.to_owned(), code);
                self.dictionary.push(Label::Text(value.to_owned()));
                code
            }
        };
        self.codes.push(code);
    }

    /// Adds a row with a boolean label.
    pub fn push_boolean(&mut self, value: bool) {
        let next = self.dictionary.len() as u32;
        let code = *self.integers.entry(i128::from(value)).or_insert(next);
        if code == next {
            self.dictionary.push(Label::Boolean(value));
        }
        self.codes.push(code);
    }

    /// Adds a row without a label.
    pub fn push_missing(&mut self) {
        self.codes.push(MISSING);
    }

    /// The finished column.
    pub fn finish(self, origin: Origin) -> LabelColumn {
        LabelColumn {
            origin,
            label_type: self.label_type,
            dictionary: self.dictionary,
            codes: self.codes,
            blank_end: 0,
        }
    }
}

/// The labels of the rows that take part: codes 0..K-1 in label order, none of them unused.
#[derive(Clone, Debug)]
pub struct Labels {
    codes: Vec<u32>,
    names: Vec<Label>,
    counts: Vec<usize>,
}

impl Labels {
    /// The labels of `rows` of a column, as dense codes.
    ///
    /// # Errors
    /// [`Error::MissingLabel`] if one of these rows has none.
    pub fn from_column(column: &LabelColumn, rows: impl Iterator<Item = usize> + Clone) -> Result<Self> {
        let mut used = vec![false; column.dictionary.len()];
        let mut first_missing = None;
        let mut missing = 0;
        for row in rows.clone() {
            match column.codes[row] {
                MISSING => {
                    first_missing.get_or_insert(row);
                    missing += 1;
                }
                code => used[code as usize] = true,
            }
        }
        if let Some(row) = first_missing {
            return Err(Error::MissingLabel { name: column.origin.to_string(), row, rows: missing });
        }
        let mut order: Vec<u32> = (0..column.dictionary.len() as u32).filter(|&code| used[code as usize]).collect();
        order.sort_by(|&left, &right| column.dictionary[left as usize].cmp(&column.dictionary[right as usize]));
        let mut dense = vec![MISSING; column.dictionary.len()];
        for (position, &code) in order.iter().enumerate() {
            dense[code as usize] = position as u32;
        }
        let mut counts = vec![0; order.len()];
        let codes: Vec<u32> = rows
            .map(|row| {
                let code = dense[column.codes[row] as usize];
                counts[code as usize] += 1;
                code
            })
            .collect();
        let names = order.iter().map(|&code| column.dictionary[code as usize].clone()).collect();
        Ok(Labels { codes, names, counts })
    }

    /// What the user should know about the names of the classes: those that stand for a missing value in other programs, and
    /// those that differ from one another in spaces only.
    pub(crate) fn notes(&self, origin: &Origin) -> Vec<String> {
        const MISSING_NAMES: [&str; 8] = ["none", "nan", "null", "na", "n/a", "<na>", "#n/a", "nat"];
        let texts = || {
            self.names.iter().filter_map(|name| match name {
                Label::Text(text) => Some(text.as_str()),
                Label::Integer(_) | Label::Boolean(_) => None,
            })
        };
        let mut notes = Vec::new();
        let missing: Vec<&str> =
            texts().filter(|text| MISSING_NAMES.contains(&text.trim().to_lowercase().as_str())).collect();
        if !missing.is_empty() {
            let quoted: Vec<String> = missing.iter().map(|name| format!("'{name}'")).collect();
            let options: Vec<String> = missing.iter().map(|name| format!("--ignore-label '{name}'")).collect();
            let (verb, noun) = if missing.len() == 1 { ("is a class", "its") } else { ("are classes", "their") };
            notes.push(format!(
                "{origin}: {} {verb} like any other; {} leaves {noun} rows out",
                quoted.join(" and "),
                options.join(" ")
            ));
        }
        let mut trimmed: HashMap<&str, &str> = HashMap::new();
        for text in texts() {
            match trimmed.get(text.trim()) {
                Some(other) => {
                    let (first, second) = if other.len() < text.len() { (*other, text) } else { (text, *other) };
                    notes.push(format!(
                        "{origin}: the classes '{first}' and '{second}' differ only in spaces at the ends"
                    ));
                }
                None => {
                    trimmed.insert(text.trim(), text);
                }
            }
        }
        // Many of them are one mistake.
        const TOLD: usize = 5;
        if notes.len() > TOLD {
            let more = notes.len() - TOLD;
            notes.truncate(TOLD);
            notes.push(format!("{origin}: {more} more classes differ only in spaces at the ends"));
        }
        notes
    }

    /// The labels of a choice of rows, as dense codes of their own: a class without a row among them is gone.
    pub fn subset(&self, rows: &[usize]) -> Self {
        let mut counts = vec![0; self.names.len()];
        for &row in rows {
            counts[self.codes[row] as usize] += 1;
        }
        let mut dense = vec![MISSING; self.names.len()];
        let mut names = Vec::new();
        for (code, &count) in counts.iter().enumerate() {
            if count > 0 {
                dense[code] = names.len() as u32;
                names.push(self.names[code].clone());
            }
        }
        counts.retain(|&count| count > 0);
        Labels { codes: rows.iter().map(|&row| dense[self.codes[row] as usize]).collect(), names, counts }
    }

    /// The labels of these rows as codes of more classes, of which some may have no row here.
    ///
    /// # Errors
    /// The first label that is not among the names, which are in label order.
    pub(crate) fn within(&self, names: &[Label], counts: &[usize]) -> Result<Self, Label> {
        let code = |name: &Label| names.binary_search(name).map_err(|_| name.clone());
        let codes: Vec<usize> = self.names.iter().map(code).collect::<Result<_, Label>>()?;
        Ok(Labels {
            codes: self.codes.iter().map(|&own| codes[own as usize] as u32).collect(),
            names: names.to_vec(),
            counts: counts.to_vec(),
        })
    }

    /// The class code of each row.
    pub fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// The label of each class, in order.
    pub fn names(&self) -> &[Label] {
        &self.names
    }

    /// The number of rows of each class; never 0.
    pub fn counts(&self) -> &[usize] {
        &self.counts
    }

    /// K.
    pub fn classes(&self) -> usize {
        self.names.len()
    }

    /// The number of classes with a single row.
    pub fn singletons(&self) -> usize {
        self.counts.iter().filter(|&&count| count == 1).count()
    }

    /// Hash of the decoded labels in row order: the same for the same labels in whatever file they were.
    pub fn blake3(&self) -> String {
        let names: Vec<Vec<u8>> = self
            .names
            .iter()
            .map(|name| {
                let text = name.to_string();
                let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
                bytes.extend_from_slice(text.as_bytes());
                bytes
            })
            .collect();
        let mut hasher = blake3::Hasher::new();
        for &code in &self.codes {
            hasher.update(&names[code as usize]);
        }
        hasher.finalize().to_hex().to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(values: &[&str]) -> LabelColumn {
        let mut builder = LabelColumnBuilder::new(LabelType::Text);
        for value in values {
            builder.push_text(value);
        }
        builder.finish(Origin::new("labels"))
    }

    #[test]
    fn codes_are_dense_and_follow_label_order() {
        let column = text(&["b", "a", "c", "a"]);
        let labels = Labels::from_column(&column, [0, 1, 3].into_iter()).unwrap();
        assert_eq!(labels.codes(), [1, 0, 0]);
        assert_eq!(labels.counts(), [2, 1]);
        assert_eq!(labels.names(), [Label::Text("a".into()), Label::Text("b".into())]);
    }

    #[test]
    fn codes_past_the_dictionary_are_missing_labels() {
        let dictionary = vec![Label::Text("b".into()), Label::Text("a".into())];
        let column = LabelColumn::from_codes(Origin::new("y"), LabelType::Text, dictionary, vec![1, u32::MAX, 0, 2]);
        assert_eq!((0..4).map(|row| column.code(row)).collect::<Vec<_>>(), [Some(1), None, Some(0), None]);
        let labels = Labels::from_column(&column, [0, 2].into_iter()).unwrap();
        assert_eq!(labels.codes(), [0, 1]);
        let error = Labels::from_column(&column, 0..4).unwrap_err();
        assert!(matches!(error, Error::MissingLabel { row: 1, rows: 2, .. }), "{error}");
    }

    #[test]
    fn integers_in_text_are_ordered_by_number() {
        let column = text(&["10", "9", "-1"]).with_integers_recognised();
        let labels = Labels::from_column(&column, 0..3).unwrap();
        assert_eq!(labels.codes(), [2, 1, 0]);
        assert_eq!(column.label_type(), LabelType::Integer);
        assert_eq!(text(&["01", "1"]).with_integers_recognised().label_type(), LabelType::Text);
    }

    #[test]
    fn a_missing_label_is_named() {
        let mut builder = LabelColumnBuilder::new(LabelType::Integer);
        builder.push_integer(3);
        builder.push_missing();
        builder.push_missing();
        let column = builder.finish(Origin::new("labels.npy"));
        let error = Labels::from_column(&column, 0..3).unwrap_err();
        assert!(matches!(error, Error::MissingLabel { row: 1, rows: 2, .. }), "{error}");
    }

    #[test]
    fn a_subset_has_no_unused_class() {
        let labels = Labels::from_column(&text(&["a", "b", "c", "c"]), 0..4).unwrap();
        let subset = labels.subset(&[3, 0, 2]);
        assert_eq!(subset.codes(), [1, 0, 1]);
        assert_eq!(subset.counts(), [1, 2]);
    }
}
