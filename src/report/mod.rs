//! Results as people and programs read them: one file an output.
//!
//! Renderers are pure functions from a result to text; writing files is in [`output`] alone.

mod blocks;
pub mod comparison;
pub mod csv;
pub mod gradient;
pub mod html;
pub mod inspection;
pub mod json;
pub mod junit;
mod labellings;
pub mod markdown;
pub mod metric_list;
mod numbers;
pub mod output;
pub mod plot;
mod summary;
pub mod suspects;
pub mod table;
mod temporary;
mod text;

use embq_core::error::Result;
use embq_core::evaluation::Evaluation;
use embq_files::output::{extension, unknown_extension};

pub use summary::{ClassLimit, ClassOrder, View};
pub(crate) use temporary::delete_all as delete_temporary_files;
pub(crate) use text::visible;

/// A form of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For the terminal.
    #[default]
    Table,
    Json,
    Markdown,
    Csv,
}

impl Format {
    /// Every format, in the order in which help texts list them.
    pub const ALL: [Format; 4] = [Format::Table, Format::Json, Format::Markdown, Format::Csv];

    /// The name used in options.
    pub fn name(self) -> &'static str {
        match self {
            Format::Table => "table",
            Format::Json => "json",
            Format::Markdown => "markdown",
            Format::Csv => "csv",
        }
    }

    /// The format that a file's extension stands for.
    ///
    /// # Errors
    /// An extension that stands for none.
    pub fn of_file(path: &str) -> Result<Self> {
        match extension(path).as_deref() {
            Some("json") => Ok(Format::Json),
            Some("md" | "markdown") => Ok(Format::Markdown),
            Some("csv") => Ok(Format::Csv),
            Some("txt") => Ok(Format::Table),
            Some("html") => Err(unknown_extension(path, "embq report writes pages, of one or of several checkpoints")),
            _ => Err(unknown_extension(path, "a result is written as .json, .md, .csv or .txt")),
        }
    }

    /// Whether the text holds styles that only a terminal understands.
    pub fn is_styled(self) -> bool {
        self == Format::Table
    }

    /// The result in this format; of several labellings, one that compares them.
    ///
    /// # Errors
    /// A result that cannot be serialised.
    pub fn render(self, results: &[Evaluation], view: &View) -> Result<String> {
        match self {
            Format::Table => Ok(table::render(results, view)),
            Format::Json => json::render(results),
            Format::Markdown => Ok(markdown::render(results, view)),
            Format::Csv => csv::render(results),
        }
    }
}

/// Whether a file of that name is to be a page for the browser, which is drawn from more than a result.
pub fn is_page(path: &str) -> bool {
    matches!(extension(path).as_deref(), Some("html" | "htm"))
}
