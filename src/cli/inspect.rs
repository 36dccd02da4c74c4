//! `embq inspect`: shows what a file contains.

use clap::Args;

use crate::cli::Outcome;
use crate::cli::arguments::{ListFormat, header};
use crate::cli::outputs::print;
use crate::report::{inspection, json};
use embq_core::error::Result;
use embq_files::input::{self, Header};

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// File to inspect, or `-` for standard input
    #[arg(value_name = "FILE")]
    file: String,
    /// Whether the first line of CSV and text files contains column names
    #[arg(long, default_value = "auto", value_parser = header())]
    header: Header,
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

pub(crate) fn run(arguments: &InspectArguments) -> Result<Outcome> {
    let inspection = input::inspect(&arguments.file, arguments.header)?;
    match arguments.format {
        ListFormat::Table => print(inspection::table(&inspection).as_bytes()),
        ListFormat::Json => print(json::serialise(&inspection)?.as_bytes()),
    }
}
