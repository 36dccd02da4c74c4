//! `embq inspect`: what is in a file.

use crate::cli::args::{InspectArguments, ListFormat};
use crate::cli::{Outcome, print};
use crate::report::inspection::{self, Choice, Item};
use crate::report::json;
use embq_core::data::Chosen;
use embq_core::error::Result;
use embq_files::input;

pub(crate) fn run(arguments: &InspectArguments) -> Result<Outcome> {
    let inspection = input::inspect(&arguments.file, arguments.header.into())?;
    if arguments.format == ListFormat::Json {
        return print(json::serialise(&inspection)?.as_bytes());
    }
    let items: Vec<Item<'_>> = inspection
        .items
        .iter()
        .map(|item| Item {
            name: item.name.as_deref(),
            dtype: &item.dtype,
            kind: &item.kind,
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
    let choice = match (&inspection.choice, &inspection.refused) {
        (Some(chosen), _) => Some(Choice::Read {
            what: chosen.selector.clone().unwrap_or_else(|| chosen.columns.join(", ")),
            how: match chosen.chosen {
                Chosen::Only => "the only vectors",
                Chosen::Series => "a series of numbered columns",
                Chosen::Floats => "all columns of floats",
                Chosen::Selector => "selected",
            },
            notes: &chosen.notes,
        }),
        (None, Some(refused)) => Some(Choice::Refused { problem: &refused.problem, tip: refused.tip.as_deref() }),
        (None, None) => None,
    };
    let page = inspection::table(&inspection.path, &inspection.format, inspection.bytes, &items, choice.as_ref());
    print(page.as_bytes())
}
