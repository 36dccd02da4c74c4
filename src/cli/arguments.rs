//! Groups of arguments that several commands share; the doc comments are the help texts.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use serde::de::IntoDeserializer;
use serde::de::value::Error as NameError;
use serde::{Deserialize, Deserializer};

use crate::cli::combine::{Combine, combine_fields};
use crate::cli::progress::Bars;
use crate::report::{ClassLimit, ClassOrder, Format, View};
use embq_core::data::{Precision, RowChoice};
use embq_core::distance::Distance;
use embq_core::error::{Error, Result};
use embq_core::evaluation::{Settings, Temperature, Timing};
use embq_core::metrics::{Clustering, Selection, SmoothMaximum, SoftMinimum};
use embq_files::input::{Header, Hints, ReadOptions};

/// One input with one labelling.
#[derive(Debug, Args)]
pub(crate) struct InputArguments {
    /// Embeddings: .npy, .npz, .safetensors, Parquet, Arrow, CSV, JSON lines, as PATH or PATH:SELECTOR; a quoted
    /// glob or a directory is one input; `-` is standard input
    #[arg(value_name = "EMBEDDINGS")]
    pub(crate) embeddings: String,

    /// Labels: a file with one label per row, PATH:COLUMN, or a column of the embeddings file
    #[arg(short, long, value_name = "LABELS")]
    pub(crate) labels: String,

    #[command(flatten)]
    pub(crate) reading: ReadArguments,
}

/// What files do not say themselves.
#[derive(Clone, Debug, Args)]
pub(crate) struct HintArguments {
    /// Whether the first line of CSV and text files contains column names
    #[arg(long, default_value = "auto", value_parser = header(), help_heading = "Input")]
    pub(crate) header: Header,

    /// The type of values that NumPy saved as raw bytes
    #[arg(long, value_name = "DTYPE", value_parser = ["bf16"], help_heading = "Input")]
    pub(crate) dtype: Option<String>,
}

impl HintArguments {
    pub(crate) fn hints(&self) -> Hints {
        Hints { header: self.header, bf16: self.dtype.is_some() }
    }
}

/// How inputs are read.
#[derive(Debug, Args)]
pub(crate) struct ReadArguments {
    #[command(flatten)]
    pub(crate) hints: HintArguments,

    /// Join labels and weights from other tables on this column instead of by position; `index` joins on their indexes
    #[arg(long, value_name = "COLUMN", help_heading = "Input")]
    pub(crate) key: Option<String>,
}

impl ReadArguments {
    pub(crate) fn options(&self) -> ReadOptions<'_> {
        ReadOptions { hints: self.hints.hints(), key: self.key.as_deref() }
    }
}

/// What is measured, and how. What is not given has its default, or the value of a configuration file or a stored
/// result.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct MeasureArguments {
    /// Distance between rows [default: cosine]
    #[arg(long, value_name = "DISTANCE", value_parser = distance(), help_heading = "Measure")]
    #[serde(deserialize_with = "parsed")]
    pub(crate) distance: Option<Distance>,

    /// Temperature of the soft silhouette, in units of the distance; `auto` finds the one at which the soft minimum
    /// averages over 2 classes [default: 0.1]
    #[arg(long, value_name = "TAU|auto", value_parser = temperature, help_heading = "Measure")]
    #[serde(deserialize_with = "number_or_auto")]
    pub(crate) temperature: Option<Temperature>,

    /// Soft minimum over competing classes [default: weighted]
    #[arg(long, value_parser = soft_minimum(), help_heading = "Measure")]
    pub(crate) softmin: Option<SoftMinimum>,

    /// Smooth maximum of a and b [default: lse]
    #[arg(long, value_parser = smooth_maximum(), help_heading = "Measure")]
    pub(crate) softmax: Option<SmoothMaximum>,

    /// Seed for shuffles, samples and intervals [default: 0]
    #[arg(long, value_name = "SEED", help_heading = "Measure")]
    pub(crate) seed: Option<u64>,

    /// Precision of matrix products [default: f64 for float64 and wide integers, f32 otherwise]
    #[arg(long, value_parser = precision(), help_heading = "Measure")]
    pub(crate) precision: Option<Precision>,
}

combine_fields!(MeasureArguments { distance, temperature, softmin, softmax, seed, precision });

impl MeasureArguments {
    /// Settings with these values, and defaults for all others.
    pub(crate) fn settings(&self) -> Settings {
        let defaults = Settings::default();
        Settings {
            distance: self.distance.unwrap_or(defaults.distance),
            temperature: self.temperature.unwrap_or(defaults.temperature),
            softmin: self.softmin.unwrap_or(defaults.softmin),
            softmax: self.softmax.unwrap_or(defaults.softmax),
            seed: self.seed.unwrap_or(defaults.seed),
            precision: self.precision,
            ..defaults
        }
    }
}

/// Which rows take part.
#[derive(Clone, Debug, Default, Args, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub(crate) struct RowArguments {
    /// Drop rows with this label, such as -1 for noise; can be given multiple times
    #[arg(long, value_name = "LABEL", allow_negative_numbers = true, help_heading = "Rows")]
    #[serde(rename = "ignore-labels")]
    pub(crate) ignore_label: Vec<String>,

    /// Exclude this class, which must exist; can be given multiple times
    #[arg(long, value_name = "LABEL", allow_negative_numbers = true, help_heading = "Rows")]
    pub(crate) exclude: Vec<String>,

    /// Include only this class; can be given multiple times
    #[arg(long, value_name = "LABEL", allow_negative_numbers = true, help_heading = "Rows")]
    pub(crate) include: Vec<String>,

    /// Drop rows with NaN or infinite values (and zero vectors under cosine) instead of failing
    #[arg(long, help_heading = "Rows")]
    pub(crate) drop_invalid: bool,

    /// Drop rows without a label instead of failing
    #[arg(long, help_heading = "Rows")]
    pub(crate) drop_null_labels: bool,

    /// Drop classes with fewer rows
    #[arg(long, value_name = "ROWS", value_parser = at_least(1), help_heading = "Rows")]
    pub(crate) min_class_size: Option<usize>,
}

combine_fields!(RowArguments { ignore_label, exclude, include, drop_invalid, drop_null_labels, min_class_size });

impl RowArguments {
    /// The choice of rows, all of which are scored.
    pub(crate) fn choice(&self) -> RowChoice {
        RowChoice {
            ignore_labels: self.ignore_label.clone(),
            include: self.include.clone(),
            exclude: self.exclude.clone(),
            drop_invalid: self.drop_invalid,
            drop_null_labels: self.drop_null_labels,
            min_class_size: self.min_class_size,
            subsample: None,
        }
    }
}

/// Which rows are scored, and how much each counts.
#[derive(Debug, Args)]
pub(crate) struct SampleArguments {
    /// Positive weight of each row: a file with one weight per row, PATH:COLUMN, or a column of the embeddings file
    #[arg(long, value_name = "WEIGHTS", help_heading = "Rows")]
    pub(crate) row_weights: Option<String>,

    /// Score only this many rows, sampled by class; their distances are still computed over all rows
    #[arg(long, value_name = "ROWS", value_parser = at_least(1), help_heading = "Rows")]
    pub(crate) subsample: Option<usize>,
}

/// What the rows are called.
#[derive(Debug, Args)]
pub(crate) struct NameArguments {
    /// Text of each row, shown with suspicious rows: a file with one text per row, PATH:COLUMN, or a column of the
    /// embeddings file
    #[arg(long, value_name = "TEXT", help_heading = "Rows")]
    pub(crate) text: Option<String>,

    /// Identifier of each row, given like --text
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
        [self.ids.as_ref().map(|_| "--ids"), self.text.as_ref().map(|_| "--text")].into_iter().flatten()
    }
}

/// Where the result goes.
#[derive(Debug, Args)]
pub(crate) struct OutputArguments {
    /// Format of standard output
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t, help_heading = "Output")]
    pub(crate) format: Format,

    /// Write the result to a file; its extension selects the format: .json .md .csv .txt; can be given multiple times
    #[arg(short, long, value_name = "FILE", help_heading = "Output")]
    pub(crate) output: Vec<String>,
}

/// Which classes the table shows.
#[derive(Debug, Args)]
pub(crate) struct ClassArguments {
    /// Number of classes to show, worst first
    #[arg(long, value_name = "N|all", default_value = "20", value_parser = limit, help_heading = "Output")]
    pub(crate) classes: ClassLimit,

    /// Sort classes by a column: label, count, or a metric computed per class
    #[arg(long, value_name = "COLUMN", help_heading = "Output")]
    pub(crate) sort: Option<String>,
}

impl ClassArguments {
    /// The classes to show of a result under these settings.
    ///
    /// # Errors
    /// A column to sort by that there is not.
    pub(crate) fn view(&self, settings: &Settings) -> Result<View> {
        let order = self.sort.as_deref().map(ClassOrder::parse).transpose()?;
        if let Some(ClassOrder::Metric(metric)) = &order
            && !settings.computes(metric.id)
        {
            return Err(Error::setting(format!("--sort: {} is not computed", metric.id), "add it to --metrics"));
        }
        Ok(View { classes: self.classes, order })
    }
}

/// How a command runs.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// Omit timings, so that repeated runs write identical output
    #[arg(long, help_heading = "Output")]
    pub(crate) no_timing: bool,

    /// Print no notes and no progress bars, and no result if it is written to a file
    #[arg(short, long, help_heading = "Output")]
    pub(crate) quiet: bool,

    /// Show no progress bars
    #[arg(long, help_heading = "Output")]
    pub(crate) no_progress: bool,

    /// Number of threads, which does not affect the result [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=4096), help_heading = "Output")]
    pub(crate) threads: Option<u64>,
}

impl RunArguments {
    /// Starts the threads, and makes the progress bars.
    pub(crate) fn start(&self) -> Bars {
        if let Some(threads) = self.threads {
            // The pool belongs to the process: a second run in it keeps the threads of the first.
            let _ = rayon::ThreadPoolBuilder::new().num_threads(threads as usize).build_global();
        }
        Bars::new(!self.quiet && !self.no_progress)
    }

    /// The times of a run, unless they are to be left out.
    pub(crate) fn timing(&self, read_seconds: f64, compute_seconds: f64) -> Option<Timing> {
        (!self.no_timing).then_some(Timing { read_seconds, compute_seconds })
    }
}

/// A form of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    #[default]
    Table,
    Json,
}

/// Parses a value by the name that it has in results.
fn named<T>(names: impl IntoIterator<Item = impl Into<PossibleValue>>) -> impl TypedValueParser<Value = T>
where
    T: for<'de> Deserialize<'de> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(names)
        .try_map(|name| T::deserialize(IntoDeserializer::<NameError>::into_deserializer(name)))
}

pub(crate) fn distance() -> impl TypedValueParser<Value = Distance> {
    named::<Distance>(Distance::ALL.map(Distance::name))
}

pub(crate) fn precision() -> impl TypedValueParser<Value = Precision> {
    named::<Precision>([Precision::F32, Precision::F64].map(Precision::name))
}

fn soft_minimum() -> impl TypedValueParser<Value = SoftMinimum> {
    named::<SoftMinimum>([
        PossibleValue::new("weighted").help("Mean of the class distances weighted by softmax(-D / tau)"),
        PossibleValue::new("lse").help("-tau log of the mean of exp(-D / tau)"),
        PossibleValue::new("hard").help("Distance to the nearest class, without softening"),
        PossibleValue::new("mean").help("Mean of the class distances, all competing classes alike"),
    ])
}

fn smooth_maximum() -> impl TypedValueParser<Value = SmoothMaximum> {
    named::<SmoothMaximum>([
        PossibleValue::new("lse").help("tau log(exp(a / tau) + exp(b / tau))"),
        PossibleValue::new("hard").help("max(a, b)"),
    ])
}

fn header() -> impl TypedValueParser<Value = Header> {
    let names = ["yes".into(), "no".into(), PossibleValue::new("auto").help("Decide by the content")];
    PossibleValuesParser::new(names).map(|name| match name.as_str() {
        "yes" => Header::Yes,
        "no" => Header::No,
        _ => Header::Auto,
    })
}

pub(crate) fn clustering() -> impl TypedValueParser<Value = Clustering> {
    PossibleValuesParser::new(["kmeans", "mteb"]).map(|name| match name.as_str() {
        "mteb" => Clustering::Mteb,
        _ => Clustering::KMeans,
    })
}

/// A number that is at least `smallest`; what exceeds the machine's range is its largest number.
pub(crate) fn at_least(smallest: u64) -> impl TypedValueParser<Value = usize> {
    clap::value_parser!(u64).range(smallest..).map(|number| usize::try_from(number).unwrap_or(usize::MAX))
}

/// A rate above 0 and up to 1.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate > 0.0 && rate <= 1.0 => Ok(rate),
        _ => Err("a rate is a number above 0 and up to 1, such as 1e-3".to_owned()),
    }
}

/// Half of the width of an interval.
pub(crate) fn half_width(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(width) if width > 0.0 && width < 1.0 => Ok(width),
        _ => Err("half of the width of an interval is a number between 0 and 1, such as 0.001".to_owned()),
    }
}

pub(crate) fn temperature(text: &str) -> Result<Temperature, String> {
    if text == "auto" {
        return Ok(Temperature::Auto);
    }
    match text.parse::<f64>() {
        Ok(value) if Temperature::RANGE.contains(&value) => Ok(Temperature::Value(value)),
        _ => Err("a temperature is a number from 1e-6 to 1e6, or auto".to_owned()),
    }
}

/// The metrics of `--metrics`; the usual ones where none is named.
///
/// # Errors
/// An unknown name.
pub(crate) fn selection(names: &[String]) -> embq_core::error::Result<Selection> {
    match names {
        [] => Ok(Selection::usual()),
        names => Selection::parse(names.iter().map(|name| name.trim())),
    }
}

/// A limit on the classes or rows that are shown.
pub(crate) fn limit(text: &str) -> Result<ClassLimit, String> {
    if text == "all" {
        return Ok(ClassLimit::All);
    }
    text.parse().map(ClassLimit::Worst).map_err(|_| "a number of classes, or all".to_owned())
}

/// A distance of a configuration file, with a suggestion where there is none of that name.
fn parsed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Distance>, D::Error> {
    String::deserialize(deserializer)?.parse().map(Some).map_err(|error: embq_core::error::Error| {
        let tip = crate::cli::wording::tip(&error).map(|tip| format!(" ({tip})")).unwrap_or_default();
        serde::de::Error::custom(format!("{error}{tip}"))
    })
}

/// A temperature of a configuration file: a number, or the text `auto`.
fn number_or_auto<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Temperature>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Number(f64),
        Text(String),
    }
    let text = match Written::deserialize(deserializer)? {
        Written::Number(number) => number.to_string(),
        Written::Text(text) => text,
    };
    temperature(&text).map(Some).map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temperatures_have_bounds() {
        assert_eq!(temperature("auto"), Ok(Temperature::Auto));
        assert_eq!(temperature("1e-6"), Ok(Temperature::Value(1e-6)));
        for wrong in ["0", "-1", "nan", "inf", "1e7", "warm"] {
            assert!(temperature(wrong).is_err(), "{wrong}");
        }
    }
}
