//! `embq suspects`: from files to the rows that are most likely mislabelled.

use std::path::Path;
use std::time::Instant;

use crate::cli::args::{SuspectsArguments, saturated};
use crate::cli::named_rows::NamedRows;
use crate::cli::progress::Bars;
use crate::cli::{Outcome, keep_inputs, print_as, write_as};
use crate::report::output::{OutputFile, check_distinct};
use crate::report::{Format, suspects};
use embq_core::data::{Dataset, DatasetOptions};
use embq_core::error::Result;
use embq_core::evaluation::Timing;
use embq_core::suspects::find_suspects;

pub(crate) fn run(arguments: SuspectsArguments) -> Result<Outcome> {
    let outputs: Vec<(OutputFile, Format)> = arguments
        .output
        .iter()
        .map(|path| Ok((OutputFile::check(Path::new(path))?, Format::of_file(path)?)))
        .collect::<Result<_>>()?;
    let files = || outputs.iter().map(|(file, _)| file);
    check_distinct(files())?;
    keep_inputs(files(), [&arguments.embeddings, &arguments.labels].into_iter().chain(arguments.names.paths()))?;
    arguments.run.start_threads();

    let started = Instant::now();
    let NamedRows { loaded, labels, names } =
        NamedRows::load(&arguments.embeddings, &arguments.labels, None, &arguments.names, &arguments.reading)?;
    let options = DatasetOptions { choice: arguments.rows.choice(), ..DatasetOptions::default() };
    let dataset = Dataset::join(loaded.embeddings, &labels, arguments.distance, &options)?;
    let read_seconds = started.elapsed().as_secs_f64();
    let bars = Bars::new(!arguments.run.quiet && !arguments.run.no_progress);
    let started = Instant::now();
    let precision = arguments.precision.map(Into::into);
    let mut list = find_suspects(&dataset, precision, saturated(arguments.neighbours), &names, &bars)?;
    if !arguments.run.no_timing {
        list.timing = Some(Timing { read_seconds, compute_seconds: started.elapsed().as_secs_f64() });
    }

    // All that can fail comes before the first file appears in its place.
    let mut written = Vec::new();
    for (file, format) in &outputs {
        written.push(write_as(*format, file, &suspects::render(&list, *format, arguments.limit)?)?);
    }
    if !arguments.run.quiet || outputs.is_empty() {
        let text = suspects::render(&list, arguments.format, arguments.limit)?;
        print_as(arguments.format, &text)?;
    }
    for file in written {
        file.publish()?;
    }
    Ok(Outcome::Success)
}
