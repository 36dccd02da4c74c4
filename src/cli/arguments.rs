//! The arguments; their comments are the help texts.

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::cli::ci::CiArguments;
use crate::report::{ClassLimit, Format};
use embq_core::data::{Precision, RowChoice};
use embq_core::distance::Distance;
use embq_core::error::closest;
use embq_core::evaluation::Temperature;
use embq_core::metrics::{SmoothMaximum, SoftMinimum};
use embq_core::objective::LossName;
use embq_files::input::{Header, ReadOptions};

/// Evaluates embeddings: how well does a space separate the classes of its rows?
#[derive(Debug, Parser)]
#[command(name = "embq", version, propagate_version = true, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = "Rows are counted from 0. Exit codes: 0 done, 1 a gate failed, 2 wrong use or bad input.")]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Silhouettes, compactness and separation of embeddings with a label for each row
    Score(Box<ScoreArguments>),
    /// A loss of embeddings with labels, and its exact gradient
    Grad(Box<GradArguments>),
    /// A page for the browser: silhouettes, classes, what is confused with what, and what changed between checkpoints
    Report(Box<ReportArguments>),
    /// The rows that are most likely mislabelled, with the label that they look like
    Suspects(Box<SuspectsArguments>),
    /// Checkpoints against a baseline: what changed, and whether that can be chance
    Compare(Box<CompareArguments>),
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
    Compare,
    Grad,
    Suspects,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArguments {
    /// The file, or `-` for standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: String,
    /// Whether the first line of CSV and text files names the columns
    #[arg(long, value_enum, default_value_t)]
    pub(crate) header: HeaderArgument,
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
  embq score emb.npy -l labels.npy --metrics retrieval,spectrum,collapse
  embq score queries.npy -l q.txt --metrics retrieval --gallery base.npy --gallery-labels base.txt
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

    #[command(flatten)]
    pub(crate) soft: SoftArguments,

    /// Only these metrics or families (see `embq metrics`), or all; `usual` are the silhouettes and separation
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', default_value = "usual", help_heading = "Measure")]
    pub(crate) metrics: Vec<String>,

    /// Numbers of neighbours or components, for the metrics that are given at some
    #[arg(
        long = "k",
        value_name = "K,..",
        value_delimiter = ',',
        default_values = ["1", "5", "10"],
        value_parser = clap::value_parser!(u64).range(1..),
        help_heading = "Measure"
    )]
    pub(crate) ks: Vec<u64>,

    /// Look for neighbours among these rows instead of among the embeddings themselves
    #[arg(long, value_name = "EMBEDDINGS", requires = "gallery_labels", help_heading = "Measure")]
    pub(crate) gallery: Option<String>,

    /// The labels of the gallery: a file with one a row, PATH:COLUMN, or a column of the gallery's own file
    #[arg(long, value_name = "LABELS", requires = "gallery", help_heading = "Measure")]
    pub(crate) gallery_labels: Option<String>,

    /// Leave the row of the gallery that a query itself is out of what it can find
    #[arg(long, requires = "gallery", help_heading = "Measure")]
    pub(crate) exclude_identical: bool,

    /// The batch of each row, for asw_batch and bras: a file with one a row, PATH:COLUMN, or a column of the
    /// embeddings' own file
    #[arg(long, visible_alias = "batch-labels", value_name = "LABELS", help_heading = "Measure")]
    pub(crate) batch: Option<String>,

    /// Take the pairs of uniformity from this many rows, drawn at random
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(2..), help_heading = "Measure")]
    pub(crate) sample: Option<u64>,

    /// Also the loss in shuffled batches of this many rows, as a training run sees it
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(2..), help_heading = "Measure")]
    pub(crate) batch_size: Option<u64>,

    /// Also 95 % intervals of the silhouettes and of mean distances
    #[arg(long, conflicts_with = "subsample", help_heading = "Measure")]
    pub(crate) intervals: bool,

    /// Intervals of every class, also where rows times classes are so many that only the classes shown have them
    #[arg(long, requires = "intervals", help_heading = "Measure")]
    pub(crate) class_intervals: bool,

    /// Seed of the shuffle, of the sample, of the subsample and of the intervals
    #[arg(long, value_name = "SEED", default_value_t = 0, help_heading = "Measure")]
    pub(crate) seed: u64,

    /// Precision of the products (default: float64 for float64 and wide integers, float32 for the rest)
    #[arg(long, value_enum, help_heading = "Measure")]
    pub(crate) precision: Option<PrecisionArgument>,

    /// A positive weight for each row: a file with one a row, PATH:COLUMN, or a column of the embeddings' file
    #[arg(long, value_name = "WEIGHTS", help_heading = "Rows")]
    pub(crate) row_weights: Option<String>,

    #[command(flatten)]
    pub(crate) rows: RowArguments,

    #[command(flatten)]
    pub(crate) reading: ReadArguments,

    /// Score only this many rows, drawn class by class; their distances stay exact over all rows
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Rows")]
    pub(crate) subsample: Option<u64>,

    /// Exit with code 1 if this is true, such as 'silhouette < 0.3'; can be given several times
    #[arg(long, value_name = "EXPR", help_heading = "Gates")]
    pub(crate) fail_if: Vec<String>,

    #[command(flatten)]
    pub(crate) ci: CiArguments,

    /// What goes to standard output
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = format(), help_heading = "Output")]
    pub(crate) format: Format,

    /// Write the result to a file; the extension says how: .json .md .csv .html .txt; can be given several times
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

    /// Draw the silhouettes of the rows, class by class, below the table
    #[arg(long, help_heading = "Output")]
    pub(crate) plot: bool,

    /// Add the content hash of the embeddings (costs a read)
    #[arg(long, help_heading = "Output")]
    pub(crate) hash: bool,

    #[command(flatten)]
    pub(crate) run: RunArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  embq report emb.npy -l labels.npy -o report.html
  embq report step-1.npy step-2.npy step-3.npy -l labels.npy -o report.html
  embq report emb.parquet -l label --text sentence --ids id -o report.html")]
pub(crate) struct ReportArguments {
    /// Embeddings: .npy, .npz, .safetensors, Parquet, Arrow, CSV, JSON lines, as PATH or PATH:SELECTOR; a quoted
    /// pattern or a directory is one input; several are checkpoints with the same rows
    #[arg(value_name = "EMBEDDINGS", required = true, num_args = 1..)]
    pub(crate) embeddings: Vec<String>,

    /// Labels: a file with one a row, PATH:COLUMN, or a column of the embeddings' own file
    #[arg(short, long, value_name = "LABELS")]
    pub(crate) labels: String,

    /// The page: one file that needs nothing else
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: String,

    #[command(flatten)]
    pub(crate) names: NameArguments,

    /// The distance between two rows
    #[arg(long, value_name = "DISTANCE", default_value_t, value_parser = distance(), help_heading = "Measure")]
    pub(crate) distance: Distance,

    #[command(flatten)]
    pub(crate) soft: SoftArguments,

    /// Seed of the subsample, and of the rows that are drawn
    #[arg(long, value_name = "SEED", default_value_t = 0, help_heading = "Measure")]
    pub(crate) seed: u64,

    /// Precision of the products (default: float64 for float64 and wide integers, float32 for the rest)
    #[arg(long, value_enum, help_heading = "Measure")]
    pub(crate) precision: Option<PrecisionArgument>,

    /// A positive weight for each row: a file with one a row, PATH:COLUMN, or a column of the embeddings' file
    #[arg(long, value_name = "WEIGHTS", help_heading = "Rows")]
    pub(crate) row_weights: Option<String>,

    #[command(flatten)]
    pub(crate) rows: RowArguments,

    #[command(flatten)]
    pub(crate) reading: ReadArguments,

    /// Score only this many rows, drawn class by class; their distances stay exact over all rows
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(1..), help_heading = "Rows")]
    pub(crate) subsample: Option<u64>,

    #[command(flatten)]
    pub(crate) run: RunArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  embq suspects emb.npy -l labels.npy
  embq suspects emb.parquet -l label --text sentence --ids id -o suspects.csv
  embq suspects emb.npy -l labels.npy --neighbours 20 --limit all")]
pub(crate) struct SuspectsArguments {
    /// Embeddings: .npy, .npz, .safetensors, Parquet, Arrow, CSV, JSON lines, as PATH or PATH:SELECTOR; a quoted
    /// pattern or a directory is one input; `-` is standard input
    #[arg(value_name = "EMBEDDINGS")]
    pub(crate) embeddings: String,

    /// Labels: a file with one a row, PATH:COLUMN, or a column of the embeddings' own file
    #[arg(short, long, value_name = "LABELS")]
    pub(crate) labels: String,

    /// The distance between two rows
    #[arg(long, value_name = "DISTANCE", default_value_t, value_parser = distance(), help_heading = "Measure")]
    pub(crate) distance: Distance,

    /// How many nearest neighbours are asked for their labels
    #[arg(short = 'k', long, value_name = "K", default_value_t = embq_core::suspects::NEIGHBOURS as u64, value_parser = clap::value_parser!(u64).range(1..), help_heading = "Measure")]
    pub(crate) neighbours: u64,

    /// Precision of the products (default: float64 for float64 and wide integers, float32 for the rest)
    #[arg(long, value_enum, help_heading = "Measure")]
    pub(crate) precision: Option<PrecisionArgument>,

    #[command(flatten)]
    pub(crate) rows: RowArguments,

    #[command(flatten)]
    pub(crate) reading: ReadArguments,

    #[command(flatten)]
    pub(crate) names: NameArguments,

    /// What goes to standard output
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = format(), help_heading = "Output")]
    pub(crate) format: Format,

    /// Write the list to a file; the extension says how: .csv .json .md .txt; can be given several times
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(crate) output: Vec<String>,

    /// How many rows the table shows; CSV and JSON have all
    #[arg(long, value_name = "N|all", default_value = "20", value_parser = classes, help_heading = "Output")]
    pub(crate) limit: ClassLimit,

    #[command(flatten)]
    pub(crate) run: RunArguments,
}

/// The soft form of the silhouette.
#[derive(Debug, Args)]
pub(crate) struct SoftArguments {
    /// Temperature of the soft silhouette in units of the distance; `auto` makes it look at 2 classes
    #[arg(long, value_name = "TAU|auto", default_value = "0.1", value_parser = temperature, help_heading = "Measure")]
    pub(crate) temperature: Temperature,

    /// The soft minimum over competing classes
    #[arg(long, value_enum, default_value_t, help_heading = "Measure")]
    pub(crate) softmin: SoftMinimumArgument,

    /// The smooth maximum of a and b
    #[arg(long, value_enum, default_value_t, help_heading = "Measure")]
    pub(crate) softmax: SmoothMaximumArgument,
}

/// Which rows take part.
#[derive(Debug, Args)]
pub(crate) struct RowArguments {
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
}

/// How inputs are read.
#[derive(Debug, Args)]
pub(crate) struct ReadArguments {
    /// Whether the first line of CSV and text files names the columns
    #[arg(long, value_enum, default_value_t, help_heading = "Input")]
    pub(crate) header: HeaderArgument,

    /// Join labels and weights of other tables by this column, which both tables have, instead of by position; `index` is
    /// the index of each
    #[arg(long, value_name = "COLUMN", help_heading = "Input")]
    pub(crate) key: Option<String>,
}

impl ReadArguments {
    pub(crate) fn options(&self) -> ReadOptions<'_> {
        ReadOptions { header: self.header.into(), key: self.key.as_deref() }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum HeaderArgument {
    Yes,
    No,
    /// The content decides
    #[default]
    Auto,
}

impl From<HeaderArgument> for Header {
    fn from(argument: HeaderArgument) -> Self {
        match argument {
            HeaderArgument::Yes => Header::Yes,
            HeaderArgument::No => Header::No,
            HeaderArgument::Auto => Header::Auto,
        }
    }
}

/// What rows are called.
#[derive(Debug, Args)]
pub(crate) struct NameArguments {
    /// What the rows say, shown beside suspicious rows: a file with one text a row, PATH:COLUMN, or a column of the
    /// embeddings' file
    #[arg(long, value_name = "TEXT", help_heading = "Rows")]
    pub(crate) text: Option<String>,

    /// What the rows are called, given as --text
    #[arg(long, value_name = "IDS", help_heading = "Rows")]
    pub(crate) ids: Option<String>,
}

impl NameArguments {
    /// The inputs that they are read from.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &String> {
        self.ids.iter().chain(&self.text)
    }

    /// The options that were given.
    pub(crate) fn options(&self) -> impl Iterator<Item = &'static str> {
        self.ids.as_ref().map(|_| "--ids").into_iter().chain(self.text.as_ref().map(|_| "--text"))
    }
}

/// How a command runs.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Leave out what differs from run to run
    #[arg(long, help_heading = "Output")]
    pub(crate) no_timing: bool,

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

impl RowArguments {
    /// The choice of rows, all of which are scored.
    pub(crate) fn choice(&self) -> RowChoice {
        RowChoice {
            ignore_labels: self.ignore_label.clone(),
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            drop_invalid: self.drop_invalid,
            drop_null_labels: self.drop_null_labels,
            min_class_size: self.min_class_size.map(saturated),
            subsample: None,
        }
    }
}

impl RunArguments {
    /// Starts the threads that were asked for.
    pub(crate) fn start_threads(&self) {
        if let Some(threads) = self.threads {
            // Fails only if there is a pool already, and nothing before this starts one.
            let _ = rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global();
        }
    }
}

/// A number of rows as the machine counts them.
pub(crate) fn saturated(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  embq grad emb.npy -l labels.npy --gradient gradient.npy
  embq grad emb.npy -l labels.npy --gradient g.npy --loss supcon --supcon-temperature 0.07
  embq grad emb.npy -l labels.npy --gradient g.npy --loss hybrid --head w.npy --bias b.npy
  embq grad emb.npy -l labels.npy --gradient g.npy --loss hybrid --mix silhouette=1,supcon=0.5 -o grad.json
In PyTorch: embeddings.backward(gradient=torch.from_numpy(numpy.load('gradient.npy')))")]
pub(crate) struct GradArguments {
    /// Embeddings: .npy, .npz, .safetensors, Parquet, Arrow, CSV, JSON lines, as PATH or PATH:SELECTOR; a quoted
    /// pattern or a directory is one input; `-` is standard input
    #[arg(value_name = "EMBEDDINGS")]
    pub(crate) embeddings: String,

    /// Labels: a file with one a row, PATH:COLUMN, or a column of the embeddings' own file
    #[arg(short, long, value_name = "LABELS")]
    pub(crate) labels: String,

    /// Write the gradient with respect to the embeddings, in their shape and row order, as .npy
    #[arg(short, long, value_name = "FILE", required_unless_present = "logits_gradient")]
    pub(crate) gradient: Option<String>,

    /// The loss
    #[arg(long, value_enum, default_value_t, help_heading = "Measure")]
    pub(crate) loss: LossArgument,

    /// The losses of the hybrid and their weights [default: silhouette=1,cross-entropy=1,supcon=1]
    #[arg(long, value_name = "LOSS=WEIGHT,..", value_delimiter = ',', value_parser = mix, help_heading = "Measure")]
    pub(crate) mix: Vec<(LossName, f64)>,

    /// The distance of the silhouette
    #[arg(long, value_name = "DISTANCE", default_value_t, value_parser = distance(), help_heading = "Measure")]
    pub(crate) distance: Distance,

    #[command(flatten)]
    pub(crate) soft: SoftArguments,

    /// Temperature of the supervised contrastive loss
    #[arg(long, value_name = "T", default_value = "0.1", value_parser = positive_temperature, help_heading = "Measure")]
    pub(crate) supcon_temperature: f64,

    /// The weights of a linear head (classes x dimensions) for cross-entropy: logits = x W^T + b
    #[arg(long, value_name = "FILE", conflicts_with = "logits", help_heading = "Classifier")]
    pub(crate) head: Option<String>,

    /// The bias of the head, one number a class (default: 0)
    #[arg(long, value_name = "FILE", requires = "head", help_heading = "Classifier")]
    pub(crate) bias: Option<String>,

    /// The logits (rows x classes) for cross-entropy: the embeddings get no gradient of it
    #[arg(long, value_name = "FILE", help_heading = "Classifier")]
    pub(crate) logits: Option<String>,

    /// The class of each row of the head or column of the logits (default: the labels in their order)
    #[arg(long, value_name = "LABELS", help_heading = "Classifier")]
    pub(crate) logit_labels: Option<String>,

    /// Write the gradient with respect to the logits as .npy
    #[arg(long, value_name = "FILE", requires = "logits", help_heading = "Classifier")]
    pub(crate) logits_gradient: Option<String>,

    /// Write the gradient with respect to the weights of the head as .npy
    #[arg(long, value_name = "FILE", requires = "head", help_heading = "Classifier")]
    pub(crate) head_gradient: Option<String>,

    /// Write the gradient with respect to the bias of the head as .npy
    #[arg(long, value_name = "FILE", requires = "head", help_heading = "Classifier")]
    pub(crate) bias_gradient: Option<String>,

    /// The mean over shuffled batches of this many rows, as a training run sees it
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(2..), help_heading = "Measure")]
    pub(crate) batch_size: Option<u64>,

    /// Seed of the shuffle
    #[arg(long, value_name = "SEED", default_value_t = 0, help_heading = "Measure")]
    pub(crate) seed: u64,

    /// Precision of the products and of the gradient (default: float64 for float64 and wide integers, float32 for the
    /// rest)
    #[arg(long, value_enum, help_heading = "Measure")]
    pub(crate) precision: Option<PrecisionArgument>,

    #[command(flatten)]
    pub(crate) rows: RowArguments,

    #[command(flatten)]
    pub(crate) reading: ReadArguments,

    /// What goes to standard output
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = format(), help_heading = "Output")]
    pub(crate) format: Format,

    /// Write the result to a file; the extension says how: .json .md .csv .txt; can be given several times
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(crate) output: Vec<String>,

    /// How many classes the table shows, largest gradient first
    #[arg(long, value_name = "N|all", default_value = "10", value_parser = classes, help_heading = "Output")]
    pub(crate) classes: ClassLimit,

    #[command(flatten)]
    pub(crate) run: RunArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  embq compare main.npy new.npy -l labels.npy
  embq compare main.npy new.npy -l labels.npy --fail-if 'upper(delta(silhouette)) < 0'
  embq compare main.json new.npy -l labels.npy --fail-if 'delta(soft_silhouette) < -1%'
  embq compare checkpoints/ -l labels.npy
  embq compare checkpoints/*.npy -l labels.npy --select best --by soft_silhouette
Without paths, embq.toml names the inputs and the gates.")]
pub(crate) struct CompareArguments {
    /// The baseline, then the candidates: embeddings as for embq score; a folder means the checkpoints in it. The
    /// baseline can also be a result of embq score: JSON, or its rows as Parquet
    #[arg(value_name = "CHECKPOINT")]
    pub(crate) checkpoints: Vec<String>,

    /// Labels of every checkpoint: a file with one a row, PATH:COLUMN, or a column of each checkpoint's own file
    #[arg(short, long, value_name = "LABELS")]
    pub(crate) labels: Option<String>,

    /// Labels of one checkpoint; can be given several times
    #[arg(long, value_name = "FILE=LABELS")]
    pub(crate) labels_for: Vec<String>,

    /// What a checkpoint is called; can be given several times
    #[arg(long, value_name = "FILE=NAME")]
    pub(crate) name: Vec<String>,

    /// Pair rows by a column of ids instead of by position
    #[arg(long, value_name = "COLUMN")]
    pub(crate) key: Option<String>,

    /// Inputs, options and gates of the project [default: embq.toml, where no checkpoint is named]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<String>,

    /// Compare also what differs in settings, labels or rows
    #[arg(long)]
    pub(crate) allow_mismatch: bool,

    /// The distance between two rows [default: cosine, or that of a stored baseline]
    #[arg(long, value_name = "DISTANCE", value_parser = distance(), help_heading = "Measure")]
    pub(crate) distance: Option<Distance>,

    /// Temperature of the soft silhouette; `auto` is found on the baseline [default: 0.1, or that of a stored baseline]
    #[arg(long, value_name = "TAU|auto", value_parser = temperature, help_heading = "Measure")]
    pub(crate) temperature: Option<Temperature>,

    /// The soft minimum over competing classes
    #[arg(long, value_enum, help_heading = "Measure")]
    pub(crate) softmin: Option<SoftMinimumArgument>,

    /// The smooth maximum of a and b
    #[arg(long, value_enum, help_heading = "Measure")]
    pub(crate) softmax: Option<SmoothMaximumArgument>,

    /// Only these metrics or families (see `embq metrics`)
    #[arg(long, value_name = "NAME,..", value_delimiter = ',', help_heading = "Measure")]
    pub(crate) metrics: Vec<String>,

    /// Also the loss in shuffled batches of this many rows, as a training run sees it
    #[arg(long, value_name = "ROWS", value_parser = clap::value_parser!(u64).range(2..), help_heading = "Measure")]
    pub(crate) batch_size: Option<u64>,

    /// Seed of the shuffle, of intervals and of p-values [default: 0]
    #[arg(long, value_name = "SEED", help_heading = "Measure")]
    pub(crate) seed: Option<u64>,

    /// Precision of the products (default: float64 for float64 and wide integers, float32 for the rest)
    #[arg(long, value_enum, help_heading = "Measure")]
    pub(crate) precision: Option<PrecisionArgument>,

    /// A positive weight for each row: a file with one a row, PATH:COLUMN, or a column of each checkpoint's file
    #[arg(long, value_name = "WEIGHTS", help_heading = "Rows")]
    pub(crate) row_weights: Option<String>,

    #[command(flatten)]
    pub(crate) rows: RowArguments,

    /// Whether the first line of CSV and text files names the columns
    #[arg(long, value_enum, default_value_t, help_heading = "Input")]
    pub(crate) header: HeaderArgument,

    /// Exit with code 1 if this is true for any candidate, such as 'delta(silhouette) < -0.01'; can be given several
    /// times
    #[arg(long, value_name = "EXPR", help_heading = "Gates")]
    pub(crate) fail_if: Vec<String>,

    #[command(flatten)]
    pub(crate) ci: CiArguments,

    /// Print nothing but the path of the best checkpoint
    #[arg(long, value_enum, value_name = "WHICH", help_heading = "Output")]
    pub(crate) select: Option<Select>,

    /// The metric that decides which is best [default: silhouette]
    #[arg(long, value_name = "METRIC", requires = "select", help_heading = "Output")]
    pub(crate) by: Option<String>,

    /// What goes to standard output
    #[arg(long, value_name = "FORMAT", default_value = "table", value_parser = format(), help_heading = "Output")]
    pub(crate) format: Format,

    /// Write the result to a file; the extension says how: .json .md .csv .txt; can be given several times
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(crate) output: Vec<String>,

    /// How many of the classes that gained and lost most are shown
    #[arg(long, value_name = "N|all", default_value = "5", value_parser = classes, help_heading = "Output")]
    pub(crate) classes: ClassLimit,

    #[command(flatten)]
    pub(crate) run: RunArguments,
}

/// Which checkpoint is to be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Select {
    Best,
}

/// A loss, or the weighted sum of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LossArgument {
    /// 1 - the soft silhouette
    #[default]
    Silhouette,
    /// Supervised contrastive loss
    Supcon,
    /// Softmax cross-entropy; needs --head or --logits
    CrossEntropy,
    /// Squared distances to the class means
    Center,
    /// The weighted sum that --mix names
    Hybrid,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum SoftMinimumArgument {
    /// Mean of the class distances weighted by softmax(-D / tau)
    #[default]
    Weighted,
    /// -tau log of the mean of exp(-D / tau)
    Lse,
    /// The distance to the nearest class: no soft minimum at all
    Hard,
    /// The mean of the class distances, all competing classes alike
    Mean,
}

impl From<SoftMinimumArgument> for SoftMinimum {
    fn from(argument: SoftMinimumArgument) -> Self {
        match argument {
            SoftMinimumArgument::Weighted => SoftMinimum::Weighted,
            SoftMinimumArgument::Lse => SoftMinimum::Lse,
            SoftMinimumArgument::Hard => SoftMinimum::Hard,
            SoftMinimumArgument::Mean => SoftMinimum::Mean,
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

pub(crate) fn temperature(text: &str) -> Result<Temperature, String> {
    if text == "auto" {
        return Ok(Temperature::Auto);
    }
    match text.parse::<f64>() {
        Ok(value) if (1e-6..=1e6).contains(&value) => Ok(Temperature::Value(value)),
        _ => Err("a temperature is a number from 1e-6 to 1e6, or auto".to_owned()),
    }
}

fn positive_temperature(text: &str) -> Result<f64, String> {
    match temperature(text) {
        Ok(Temperature::Value(value)) => Ok(value),
        _ => Err("a temperature is a number from 1e-6 to 1e6".to_owned()),
    }
}

/// A loss and its weight; without one, 1.
fn mix(text: &str) -> Result<(LossName, f64), String> {
    let (name, weight) = text.split_once('=').unwrap_or((text, "1"));
    let names = || LossName::ALL.into_iter().map(LossName::name);
    let Some(loss) = LossName::ALL.into_iter().find(|loss| loss.name() == name.trim()) else {
        let close = closest(name, names()).map(|name| format!("did you mean '{name}'? ")).unwrap_or_default();
        return Err(format!("{close}the losses are {}", names().collect::<Vec<_>>().join(", ")));
    };
    match weight.trim().parse::<f64>() {
        Ok(weight) if weight.is_finite() && weight >= 0.0 => Ok((loss, weight)),
        _ => Err("a weight is a number of at least 0".to_owned()),
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
    fn losses_are_mixed_by_name() {
        assert_eq!(mix("supcon=0.5"), Ok((LossName::Supcon, 0.5)));
        assert_eq!(mix("cross-entropy"), Ok((LossName::CrossEntropy, 1.0)));
        assert!(mix("silhuette=1").unwrap_err().contains("did you mean 'silhouette'?"));
        for wrong in ["center=-1", "center=nan", "center=", "=1"] {
            assert!(mix(wrong).is_err(), "{wrong}");
        }
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
