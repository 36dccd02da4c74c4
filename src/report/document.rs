//! A result as a document: plain data, which the terminal and Markdown draw each in its own way.

use crate::report::numbers::count;
use crate::report::{markdown, terminal};
use embq_core::evaluation::{GateOutcome, InputDescription};

/// How a document is drawn. What is said may depend on it, such as the number of columns that fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Terminal,
    Markdown,
}

/// A whole result.
pub(crate) struct Report {
    /// The command, which is named where the report stands among other things.
    pub command: &'static str,
    /// What the result is of, such as a path.
    pub title: String,
    /// The first section has no heading.
    pub sections: Vec<Section>,
}

#[derive(Default)]
pub(crate) struct Section {
    pub heading: Option<String>,
    /// Shape and settings in one line.
    pub subtitle: Option<String>,
    pub blocks: Vec<Block>,
    /// What a reader should know beside the numbers, a sentence each.
    pub notes: Vec<String>,
    /// The sentence that stands at the end, without a full stop.
    pub conclusion: Option<String>,
}

pub(crate) enum Block {
    Table(Table),
    /// A sentence without a full stop.
    Sentence(String),
    /// Lines with styles of their own, drawn on a terminal only.
    Lines(String),
    Gates(Vec<GateOutcome>),
}

#[derive(Default)]
pub(crate) struct Table {
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Cell>>,
    /// How many rows are not shown, and the options that show them.
    pub hidden: Option<(usize, &'static str)>,
}

pub(crate) struct Column {
    pub title: String,
    pub is_right_aligned: bool,
}

/// The name of the first input, which is what most reports are of.
pub(crate) fn input_name(inputs: &[InputDescription]) -> String {
    inputs.first().map(InputDescription::name).unwrap_or_default()
}

/// Rows, dimensions and element type of the first input.
pub(crate) fn input_shape(inputs: &[InputDescription]) -> String {
    let shape =
        |input: &InputDescription| format!("{} x {} {}", count(input.rows), count(input.dimensions), input.dtype);
    inputs.first().map(shape).unwrap_or_default()
}

/// A column of texts.
pub(crate) fn left(title: &str) -> Column {
    Column { title: title.to_owned(), is_right_aligned: false }
}

/// A column of numbers.
pub(crate) fn right(title: &str) -> Column {
    Column { title: title.to_owned(), is_right_aligned: true }
}

pub(crate) enum Cell {
    /// Numbers and words of embq.
    Plain(String),
    /// The same, in bold where there is bold.
    Strong(String),
    /// Text from a file, in at most so many columns of a terminal.
    Name(String, usize),
    /// A path or the like, whose end tells most, in at most so many columns of a terminal.
    Path(String, usize),
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Plain(text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Plain(text.to_owned())
    }
}

impl Report {
    pub(crate) fn draw(&self, form: Form) -> String {
        match form {
            Form::Terminal => terminal::draw(self),
            Form::Markdown => markdown::draw(self),
        }
    }
}
