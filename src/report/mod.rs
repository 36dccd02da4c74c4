//! Results for people and programs: one file per output.
//!
//! Renderers are pure functions from a result to text; only [`output`] writes files.

mod blocks;
pub mod comparison;
mod csv;
mod document;
pub mod drift;
pub mod gradient;
pub mod html;
pub mod inspection;
pub mod json;
pub mod junit;
mod labellings;
mod markdown;
pub mod metric_list;
mod numbers;
pub mod output;
pub mod pair_plot;
pub mod plot;
mod score;
mod summary;
pub mod suspects;
mod temporary;
mod terminal;
mod text;
pub(crate) mod watch;

use clap::ValueEnum;

use embq_core::error::Result;
use embq_core::evaluation::Evaluation;
use embq_files::output::{extension, unknown_extension};

use document::{Form, Report};
pub use summary::{ClassLimit, ClassOrder, View};
pub(crate) use temporary::delete_all as delete_temporary_files;
pub(crate) use text::visible;

/// A format of the result.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    #[default]
    Table,
    Json,
    Markdown,
    Csv,
}

impl Format {
    /// The format selected by the extension of a file.
    ///
    /// # Errors
    /// An unknown extension.
    pub fn of_file(path: &str) -> Result<Self> {
        match extension(path).as_deref() {
            Some("json") => Ok(Format::Json),
            Some("md" | "markdown") => Ok(Format::Markdown),
            Some("csv") => Ok(Format::Csv),
            Some("txt") => Ok(Format::Table),
            Some("html") => {
                Err(unknown_extension(path, "HTML pages are written by embq score, report, compare, drift and merge"))
            }
            _ => Err(unknown_extension(path, "a result is written as .json, .md, .csv or .txt")),
        }
    }

    /// Whether the text contains styles that only a terminal understands.
    pub fn is_styled(self) -> bool {
        self == Format::Table
    }

    /// The result of `embq score` in this format; of several labellings, one that compares them.
    ///
    /// # Errors
    /// A result that cannot be serialised.
    pub fn render(self, results: &[Evaluation], view: &View) -> Result<String> {
        self.draw(|form| score::report(results, view, form), || json::render(results), || csv::render(results))
    }

    /// A result in this format, from what each format is made of.
    fn draw(
        self,
        report: impl FnOnce(Form) -> Report,
        json: impl FnOnce() -> Result<String>,
        csv: impl FnOnce() -> Result<String>,
    ) -> Result<String> {
        match self {
            Format::Table => Ok(report(Form::Terminal).draw(Form::Terminal)),
            Format::Json => json(),
            Format::Markdown => Ok(report(Form::Markdown).draw(Form::Markdown)),
            Format::Csv => csv(),
        }
    }
}

/// Whether the extension is that of an HTML page, which shows more than a result contains.
pub fn is_page(path: &str) -> bool {
    matches!(extension(path).as_deref(), Some("html" | "htm"))
}
