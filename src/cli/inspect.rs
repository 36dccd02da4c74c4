//! `embq inspect`: shows what a file contains.

use clap::Args;

use crate::cli::Outcome;
use crate::cli::arguments::{HintArguments, ListFormat};
use crate::cli::outputs::print;
use crate::report::{inspection, json};
use embq_core::error::Result;
use embq_files::input;

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// File to inspect, or `-` for standard input
    #[arg(value_name = "FILE")]
    file: String,
    #[command(flatten)]
    hints: HintArguments,
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

pub(crate) fn run(arguments: &InspectArguments) -> Result<Outcome> {
    let inspection = input::inspect(&arguments.file, arguments.hints.hints())?;
    match arguments.format {
        ListFormat::Table => print(inspection::table(&inspection).as_bytes()),
        ListFormat::Json => print(json::serialise(&inspection)?.as_bytes()),
    }
}
