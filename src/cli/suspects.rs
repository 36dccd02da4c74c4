//! `embq suspects`: lists the rows that are most likely mislabelled.

use std::time::Instant;

use clap::Args;

use crate::cli::arguments::{
    InputArguments, NameArguments, OutputArguments, RowArguments, RunArguments, at_least, distance, limit, precision,
};
use crate::cli::named_rows::NamedRows;
use crate::cli::outputs::Outputs;
use crate::cli::{Outcome, message};
use crate::report::{ClassLimit, suspects};
use embq_core::data::{Dataset, DatasetOptions, Precision};
use embq_core::distance::Distance;
use embq_core::error::Result;
use embq_core::suspects::{NEIGHBOURS, estimated_seconds, find_suspects};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  embq suspects emb.npy -l labels.npy
  embq suspects emb.parquet -l label --text sentence --ids id -o suspects.csv
  embq suspects emb.npy -l labels.npy --neighbours 20 --limit all")]
pub(crate) struct SuspectsArguments {
    #[command(flatten)]
    input: InputArguments,

    /// Distance between rows
    #[arg(long, value_name = "DISTANCE", default_value_t, value_parser = distance(), help_heading = "Measure")]
    distance: Distance,

    /// Number of nearest neighbours whose labels are compared
    #[arg(short = 'k', long, value_name = "K", default_value_t = NEIGHBOURS, value_parser = at_least(1), help_heading = "Measure")]
    neighbours: usize,

    /// Precision of matrix products [default: f64 for float64 and wide integers, f32 otherwise]
    #[arg(long, value_parser = precision(), help_heading = "Measure")]
    precision: Option<Precision>,

    #[command(flatten)]
    rows: RowArguments,

    #[command(flatten)]
    names: NameArguments,

    #[command(flatten)]
    output: OutputArguments,

    /// Number of rows to show; CSV and JSON contain all of them
    #[arg(long, value_name = "N|all", default_value = "20", value_parser = limit, help_heading = "Output")]
    limit: ClassLimit,

    #[command(flatten)]
    run: RunArguments,
}

pub(crate) fn run(arguments: SuspectsArguments) -> Result<Outcome> {
    let SuspectsArguments { input, names, .. } = &arguments;
    let inputs = [&input.embeddings, &input.labels].into_iter().chain(names.paths());
    let mut outputs = Outputs::check(&arguments.output, arguments.run.quiet, [], inputs)?;
    let bars = arguments.run.start();

    let started = Instant::now();
    let NamedRows { loaded, labels, names } =
        NamedRows::load(&input.embeddings, &input.labels, None, names, &input.reading)?;
    let options = DatasetOptions { choice: arguments.rows.choice(), ..DatasetOptions::default() };
    let embeddings = loaded.embeddings.for_distance(arguments.distance)?;
    let dataset = Dataset::join(embeddings, &labels, arguments.distance, &options)?;
    let seconds = estimated_seconds(&dataset);
    if seconds > message::LONG && !arguments.run.quiet {
        bars.clear();
        message::note(&format!(
            "the nearest neighbours of {} rows are searched among all pairs, which will take about {seconds:.0} s",
            dataset.len()
        ));
    }
    let read_seconds = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let mut list = find_suspects(&dataset, arguments.precision, arguments.neighbours, &names, &bars)?;
    list.timing = arguments.run.timing(read_seconds, started.elapsed().as_secs_f64());

    bars.finish();
    let render = |format| suspects::render(&list, format, arguments.limit);
    outputs.write_results(render)?;
    outputs.print(render)?;
    outputs.publish()?;
    Ok(Outcome::Success)
}
