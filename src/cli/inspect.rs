//! `embq inspect`: what is in a file.

use crate::cli::args::{InspectArguments, ListFormat};
use crate::cli::{Outcome, print};
use crate::report::inspection::{self, Item};
use crate::report::json;
use embq_core::error::Result;
use embq_files::input;

pub(crate) fn run(arguments: &InspectArguments) -> Result<Outcome> {
    let inspection = input::inspect(&arguments.file)?;
    if arguments.format == ListFormat::Json {
        return print(json::serialise(&inspection)?.as_bytes());
    }
    let items: Vec<Item<'_>> = inspection
        .items
        .iter()
        .map(|item| Item {
            name: item.name.as_deref(),
            dtype: &item.dtype,
            shape: &item.shape,
            missing: item.nulls,
            nans: item.nans,
            infinities: item.infinities,
            range: item.minimum.zip(item.maximum),
            distinct: item.distinct,
            histogram: item.histogram.iter().map(|entry| (entry.label.as_str(), entry.count)).collect(),
            more_labels: item.more_labels,
            embeddings: item.embeddings,
            labels: item.labels,
            problem: item.problem.as_deref(),
        })
        .collect();
    let page = inspection::table(&inspection.path, &inspection.format, inspection.bytes, &items);
    print(page.as_bytes())
}
