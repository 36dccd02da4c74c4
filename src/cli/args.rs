//! The arguments; their comments are the help texts.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::data::Precision;
use crate::distance::Distance;
use crate::evaluation::Temperature;
use crate::metrics::{SmoothMaximum, SoftMinimum};
use crate::report::{ClassLimit, Format};

/// Evaluates embeddings: how well does a space separate the classes of its rows?
#[derive(Debug, Parser)]
#[command(name = "embq", version, propagate_version = true, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Rows are counted from 0. Exit codes: 0 done, 1 a gate failed, 2 wrong use or bad input.")]
pub struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Silhouettes, compactness and separation of embeddings with a label for each row
    Score(Box<ScoreArguments>),
    /// What is in a file, and what of it can be embeddings or labels
    Inspect(InspectArguments),
    /// Every metric: name, range, direction, cost and source
    Metrics {
        #[arg(long, value_enum, default_value_t)]
        format: ListFormat,
    },
    /// The JSON Schema of a result
    Schema {
        /// The command whose result is meant
        #[arg(value_enum, default_value_t)]
        of: SchemaOf,
    },
    /// A completion script for a shell
    Completions { shell: clap_complete::Shell },
    /// The manual page, as roff
    Man,
}

/// A form of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    #[default]
    Table,
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SchemaOf {
    #[default]
    Score,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// The file, or `-` for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
    #[arg(long, value_enum, default_value_t)]
    pub(crate) format: ListFormat,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  embq score emb.npy -l labels.npy
  embq score emb.parquet -l label --distance euclidean
  embq score data.csv:f0..f127 -l species -o result.json --rows-out rows.parquet
  embq score 'shards/*.parquet:embedding' --labels-from species,site
  embq score emb.npy -l labels.npy --fail-if 'silhouette < 0.3' --fail-if 'negative_share > 10%'")]
pub(crate) struct ScoreArguments {
    /// Embeddings: .npy, .npz, .safetensors, Parquet, Arrow, CSV, JSON lines, as PATH or PATH:SELECTOR; a quoted
    /// pattern or a directory is one input; `-` is standard input
    #[arg(value_name = "EMBEDDINGS", required = true, num_args = 1..)]
    pub(crate) embeddings: Vec<String>,

    /// Labels: a file with one a row, PATH:COLUMN, or a column of the embeddings' own file; can be given several times
    #[arg(short, long, value_name = "LABELS", required_unless_present = "labels_from")]
    pub(crate) labels: Vec<String>,

    /// Several labellings: columns of the embeddings' own file, or PATH:COLUMN,..
    #[arg(long, value_name = "COLUMN,..")]
    pub(crate) labels_from: Vec<String>,

    /// The distance between two rows
    #[arg(long, value_name = "DISTANCE", default_value_t, value_parser = distance(), help_heading = "Measure")]
    pub(crate) distance: Distance,

    /// Temperature of the soft silhouette in units of the distance; `auto` makes it look at 2 classes
    #[arg(long, value_name = "TAU|auto", default_value = "0.1", value_parser = temperature, help_heading = "Measure")]
    pub(crate) temperature: Temperature,

    /// The soft minimum over competing classes
    #[arg(long, value_enum, default_value_t, help_heading = "Measure")]
    pub(crate) softmin: SoftMinimumArgument,

    /// The smooth maximum of a and b
    #[arg(long, value_enum, default_value_t, help_heading = "Measure")]
    pub(crate) softmax: SmoothMaximumArgument,

    /// Only these metrics or families (see `embq metrics`)
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', default_value = "all", help_heading = "Measure")]
    pub(crate) metrics: Vec<String>,

    /// Also the loss in shuffled batches of this many rows, as a training run sees it
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(2..), help_heading = "Measure")]
    pub(crate) batch_size: Option<u64>,

    /// Seed of the shuffle and of the subsample
    #[arg(long, value_name = "SEED", default_value_t = 0, help_heading = "Measure")]
    pub(crate) seed: u64,

    /// Precision of the products (default: float64 for float64 and wide integers, float32 for the rest)
    #[arg(long, value_enum, help_heading = "Measure")]
    pub(crate) precision: Option<PrecisionArgument>,

    /// A positive weight for each row: a file with one a row, PATH:COLUMN, or a column of the embeddings' file
    #[arg(long, value_name = "WEIGHTS", help_heading = "Rows")]
    pub(crate) row_weights: Option<String>,

    /// Leave out the rows of this label, such as -1 for noise; can be given several times
    #[arg(long, value_name = "LABEL", allow_negative_numbers = true, help_heading = "Rows")]
    pub(crate) ignore_label: Vec<String>,

    /// Leave out the rows of this class; a class that is not there is an error; can be given several times
    #[arg(long, value_name = "LABEL", allow_negative_numbers = true, help_heading = "Rows")]
    pub(crate) exclude: Vec<String>,

    /// Only the rows of this class; can be given several times
    #[arg(long, value_name = "LABEL", allow_negative_numbers = true, help_heading = "Rows")]
    pub(crate) include: Vec<String>,

    /// Leave out rows with NaN or infinite values (and zero vectors under cosine) instead of stopping
    #[arg(long, help_heading = "Rows")]
    pub(crate) drop_invalid: bool,

    /// Leave out rows without a label instead of stopping
    #[arg(long, help_heading = "Rows")]
    pub(crate) drop_null_labels: bool,

    /// Leave out classes with fewer rows
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Rows")]
    pub(crate) min_class_size: Option<u64>,

    /// Score only this many rows, drawn class by class; their distances stay exact over all rows
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Rows")]
    pub(crate) subsample: Option<u64>,

    /// Exit with code 1 if this is true, such as 'silhouette < 0.3'; can be given several times
    #[arg(long, value_name = "EXPR", help_heading = "Gates")]
    pub(crate) fail_if: Vec<String>,

    /// What goes to standard output
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = format(), help_heading = "Output")]
    pub(crate) format: Format,

    /// Write the result to a file; the extension says how: .json .md .csv .txt; can be given several times
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(crate) output: Vec<String>,

    /// Write one row for each embedding: .parquet .csv .jsonl .npy
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) rows_out: Option<String>,

    /// Write the mean distances between all classes: .csv .parquet .json .npy
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) matrix_out: Option<String>,

    /// How many classes the table shows, worst first
    #[arg(long, value_name = "N|all", default_value = "20", value_parser = classes, help_heading = "Output")]
    pub(crate) classes: ClassLimit,

    /// Order the classes by a column: label, count, or a metric given by class
    #[arg(long, value_name = "COLUMN", help_heading = "Output")]
    pub(crate) sort: Option<String>,

    /// Leave out what differs from run to run
    #[arg(long, help_heading = "Output")]
    pub(crate) no_timing: bool,

    /// Add the content hash of the embeddings (costs a read)
    #[arg(long, help_heading = "Output")]
    pub(crate) hash: bool,

    /// Nothing on standard output if a file is written, no progress bars and no notes
    #[arg(short, long, help_heading = "Output")]
    pub(crate) quiet: bool,

    /// No progress bars
    #[arg(long, help_heading = "Output")]
    pub(crate) no_progress: bool,

    /// Threads (default: one for each core); the result is the same for any number
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=4096), help_heading = "Output")]
    pub(crate) threads: Option<u64>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SoftMinimumArgument {
    /// Mean of the class distances weighted by softmax(-D / tau)
    #[default]
    Weighted,
    /// -tau log of the mean of exp(-D / tau)
    Lse,
}

impl From<SoftMinimumArgument> for SoftMinimum {
    fn from(argument: SoftMinimumArgument) -> Self {
        match argument {
            SoftMinimumArgument::Weighted => SoftMinimum::Weighted,
            SoftMinimumArgument::Lse => SoftMinimum::Lse,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SmoothMaximumArgument {
    /// tau log(exp(a / tau) + exp(b / tau))
    #[default]
    Lse,
    /// max(a, b)
    Hard,
}

impl From<SmoothMaximumArgument> for SmoothMaximum {
    fn from(argument: SmoothMaximumArgument) -> Self {
        match argument {
            SmoothMaximumArgument::Lse => SmoothMaximum::Lse,
            SmoothMaximumArgument::Hard => SmoothMaximum::Hard,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PrecisionArgument {
    F32,
    F64,
}

impl From<PrecisionArgument> for Precision {
    fn from(argument: PrecisionArgument) -> Self {
        match argument {
            PrecisionArgument::F32 => Precision::F32,
            PrecisionArgument::F64 => Precision::F64,
        }
    }
}

fn distance() -> impl clap::builder::TypedValueParser<Value = Distance> {
    use clap::builder::TypedValueParser;
    clap::builder::PossibleValuesParser::new(Distance::ALL.map(Distance::name)).try_map(|name| name.parse::<Distance>())
}

fn format() -> impl clap::builder::TypedValueParser<Value = Format> {
    use clap::builder::TypedValueParser;
    clap::builder::PossibleValuesParser::new(Format::ALL.map(Format::name))
        .map(|name| Format::ALL.into_iter().find(|format| format.name() == name).unwrap_or_default())
}

fn temperature(text: &str) -> Result<Temperature, String> {
    if text == "auto" {
        return Ok(Temperature::Auto);
    }
    match text.parse::<f64>() {
        Ok(value) if (1e-6..=1e6).contains(&value) => Ok(Temperature::Value(value)),
        _ => Err("a temperature is a number from 1e-6 to 1e6, or auto".to_owned()),
    }
}

fn classes(text: &str) -> Result<ClassLimit, String> {
    if text == "all" {
        return Ok(ClassLimit::All);
    }
    text.parse().map(ClassLimit::Worst).map_err(|_| "a number of classes, or all".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn temperatures_have_bounds() {
        assert_eq!(temperature("auto"), Ok(Temperature::Auto));
        assert_eq!(temperature("1e-6"), Ok(Temperature::Value(1e-6)));
        for wrong in ["0", "-1", "nan", "inf", "1e7", "warm"] {
            assert!(temperature(wrong).is_err(), "{wrong}");
        }
    }
}
