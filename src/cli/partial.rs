//! `embq partial`: the state of a part of the rows, to be merged with those of the other parts.

use clap::Args;

use crate::cli::arguments::{InputArguments, MeasureArguments, OutputArguments, RowArguments, RunArguments, selection};
use crate::cli::outputs::Outputs;
use crate::cli::{Outcome, message};
use crate::report::Format;
use embq_core::data::Origin;
use embq_core::error::{Error, Result};
use embq_core::evaluation::Settings;
use embq_core::partial::{Influence, Kept, Moments, PartRows, Scores, StateTable};
use embq_files::input;
use embq_files::output::rows::{RowFormat, RowTable};
use embq_files::output::{extension, state, unknown_extension};

#[derive(Debug, Args)]
#[command(after_help = "\
Every part of a set, on any machine and in any order:
  embq partial part-0007.parquet -l label -o p/part-0007.arrow
Then, once all are there:
  embq merge p/*.arrow -o moments.arrow
Every part again, with the moments of all:
  embq partial part-0007.parquet -l label --moments moments.arrow -o s/part-0007.arrow
And the result:
  embq merge s/*.arrow --moments moments.arrow -o result.json
With intervals, every part a third time, after --intervals in the second pass:
  embq merge s/*.arrow -o scores.arrow
  embq partial part-0007.parquet -l label --moments moments.arrow --scores scores.arrow -o i/part-0007.arrow
  embq merge i/*.arrow --moments moments.arrow --scores scores.arrow -o result.json")]
pub(crate) struct PartialArguments {
    #[command(flatten)]
    input: InputArguments,

    /// Merged moments of all parts, for the second pass; what is measured, and which rows take part, follows from them
    #[arg(long, value_name = "FILE", help_heading = "Input")]
    moments: Option<String>,

    /// Merged scores of all parts, for the third pass, which intervals take
    #[arg(long, value_name = "FILE", requires = "moments", conflicts_with_all = ["intervals", "rows_out"], help_heading = "Input")]
    scores: Option<String>,

    /// Name of the part in all passes [default: a hash of its rows and labels, so that the same rows cannot count twice]
    #[arg(long, value_name = "NAME", help_heading = "Input")]
    part: Option<String>,

    #[command(flatten)]
    measure: MeasureArguments,

    /// Metrics or families to compute, which have to merge (see `embq metrics`) [default: usual]
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', help_heading = "Measure")]
    metrics: Vec<String>,

    /// In the second pass, also keep the sums that 95 % intervals follow from in a third one
    #[arg(long, help_heading = "Measure")]
    intervals: bool,

    #[command(flatten)]
    rows: RowArguments,

    /// Write the state: .arrow
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    output: String,

    /// In the second pass, write the scores of each row: .parquet .csv .jsonl .npy
    #[arg(long, value_name = "FILE", requires = "moments", help_heading = "Output")]
    rows_out: Option<String>,

    #[command(flatten)]
    run: RunArguments,
}

pub(crate) fn run(arguments: PartialArguments) -> Result<Outcome> {
    let PartialArguments { input, moments: moments_path, scores: scores_path, output, rows_out, run, .. } = &arguments;
    if !is_state(output) {
        return Err(unknown_extension(output, "states are written as .arrow"));
    }
    let settings = settings(&arguments)?;
    let rows_format = rows_out.as_deref().map(RowFormat::of_file).transpose()?;
    let files = std::iter::once(output).chain(rows_out);
    let inputs = [&input.embeddings, &input.labels].into_iter().chain(moments_path).chain(scores_path);
    let no_results = OutputArguments { format: Format::default(), output: Vec::new() };
    let mut outputs = Outputs::check(&no_results, run.quiet, files, inputs)?;
    let bars = run.start();

    let moments = match moments_path {
        Some(path) => Some(Moments::from_table(input::state::read(path)?, path)?),
        None => None,
    };
    let scores = match scores_path {
        Some(path) => Some(Scores::from_table(input::state::read(path)?, path)?),
        None => None,
    };
    let (part, mut notes) = read_part(input)?;
    let part = match &arguments.part {
        Some(name) => part.named(name),
        None => part,
    };
    let (table, rows) = match (&moments, &scores) {
        (None, _) => {
            let moments = Moments::of_part(&part, &settings, &arguments.rows.choice(), &bars)?;
            notes.push(format!("moments of {} rows in {} classes", moments.rows(), moments.classes()));
            (moments.to_table()?, None)
        }
        (Some(moments), Some(scores)) => {
            let influence = Influence::of_part(&part, moments, scores, &bars)?;
            let own: u64 = influence.parts().iter().map(|part| part.rows).sum();
            notes.push(format!("influence of {own} of {} rows", moments.rows()));
            (influence.to_table()?, None)
        }
        (Some(moments), None) => {
            let kept = Kept { rows: rows_format.is_some(), intervals: arguments.intervals };
            let (scores, rows) = Scores::of_part(&part, moments, kept, &bars)?;
            let own: u64 = scores.parts().iter().map(|part| part.rows).sum();
            notes.push(format!("scores of {own} of {} rows", moments.rows()));
            (scores.to_table()?, rows)
        }
    };
    bars.finish();
    write_state(&mut outputs, output, table)?;
    if let (Some(format), Some((dataset, rows))) = (rows_format, &rows) {
        outputs.write(rows_out.as_ref(), |out| RowTable::new(dataset, rows).write(format, out))?;
    }
    outputs.publish()?;
    if !run.quiet {
        notes.iter().for_each(|note| message::note(&format!("{output}: {note}")));
    }
    Ok(Outcome::Success)
}

/// The rows and labels of the part, and notes for the user about them. A file without a row is a part like any other.
///
/// # Errors
/// Those of the file readers.
fn read_part(input: &InputArguments) -> Result<(PartRows<'static>, Vec<String>)> {
    let options = input.reading.options();
    match input::load_with(&input.embeddings, &[&input.labels], None, &options) {
        Ok(loaded) => {
            let notes = loaded.embeddings.notes().to_vec();
            let labels = loaded.labels.into_iter().next();
            let labels = labels.ok_or_else(|| Error::setting("there are no labels", "add --labels"))?;
            Ok((PartRows::of_column(loaded.embeddings, labels), notes))
        }
        Err(error @ Error::NoRows { .. }) => {
            let is_empty =
                |path: &str| matches!(input::load_with(path, &[], None, &options), Err(Error::NoRows { .. }));
            let files = input::paths_of(&input.embeddings);
            // A column of the same file is as empty as its rows.
            let has_labels = input::labels(&input.labels).is_ok_and(|labels| !labels.is_empty());
            // One file without rows does not speak for the others.
            let has_rows = files.len() > 1 && !files.iter().all(|path| is_empty(path));
            if has_labels || has_rows || !is_empty(&input.embeddings) {
                return Err(error);
            }
            let part = PartRows::empty(Origin::new(&input.embeddings), Origin::new(&input.labels));
            Ok((part, vec!["it has no rows".to_owned()]))
        }
        Err(error) => Err(error),
    }
}

/// Whether the extension is that of a state.
pub(crate) fn is_state(path: &str) -> bool {
    matches!(extension(path).as_deref(), Some("arrow" | "feather" | "ipc"))
}

/// Writes a state to one of the other files of a command.
///
/// # Errors
/// What the file system reports.
pub(crate) fn write_state(outputs: &mut Outputs, path: &String, table: StateTable) -> Result<()> {
    outputs.write(Some(path), |out| state::write(table, out))
}

/// The settings of the first pass, which those of the others follow.
fn settings(arguments: &PartialArguments) -> Result<Settings> {
    if arguments.intervals && arguments.moments.is_none() {
        let problem = "--intervals belongs to the second pass, which scores the rows";
        return Err(Error::setting(problem, "leave it out here, and give it together with --moments"));
    }
    if arguments.moments.is_some() {
        if let Some(option) = given(arguments) {
            let problem = format!("{option} is set by --moments, and the same for all parts");
            return Err(Error::setting(problem, format!("leave out {option}")));
        }
        return Ok(Settings::default());
    }
    Ok(Settings { metrics: selection(&arguments.metrics)?, ..arguments.measure.settings() })
}

/// An option that was given, of those that the moments decide.
fn given(arguments: &PartialArguments) -> Option<&'static str> {
    let MeasureArguments { distance, temperature, softmin, softmax, seed, precision } = &arguments.measure;
    let RowArguments { ignore_label, exclude, include, drop_invalid, drop_null_labels, min_class_size } =
        &arguments.rows;
    let options = [
        ("--distance", distance.is_some()),
        ("--temperature", temperature.is_some()),
        ("--softmin", softmin.is_some()),
        ("--softmax", softmax.is_some()),
        ("--seed", seed.is_some()),
        ("--precision", precision.is_some()),
        ("--metrics", !arguments.metrics.is_empty()),
        ("--ignore-label", !ignore_label.is_empty()),
        ("--exclude", !exclude.is_empty()),
        ("--include", !include.is_empty()),
        ("--drop-invalid", *drop_invalid),
        ("--drop-null-labels", *drop_null_labels),
        ("--min-class-size", min_class_size.is_some()),
    ];
    options.into_iter().find(|(_, given)| *given).map(|(option, _)| option)
}
