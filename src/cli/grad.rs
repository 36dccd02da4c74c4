//! `embq grad`: from files to a loss and its gradient.

use std::path::Path;
use std::time::Instant;

use ndarray::{Array1, Array2};

use crate::cli::args::{GradArguments, LossArgument, saturated};
use crate::cli::progress::Bars;
use crate::cli::{Outcome, keep_inputs, print_as, write_as};
use crate::report::output::{OutputFile, WrittenFile, check_distinct};
use crate::report::{Format, gradient};
use embq_core::data::{Dataset, DatasetOptions, Precision};
use embq_core::distance::Distance;
use embq_core::error::{Error, Result};
use embq_core::evaluation::{Temperature, Timing};
use embq_core::kernels::Real;
use embq_core::losses::Classifier;
use embq_core::objective::{Differentiated, LossName, NamedClassifier, ObjectiveSettings, differentiate};
use embq_files::input;
use embq_files::output::{WritableElement, write_array};

pub(crate) fn run(arguments: GradArguments) -> Result<Outcome> {
    let settings = settings(&arguments)?;
    let outputs = Outputs::check(&arguments)?;
    arguments.run.start_threads();

    let started = Instant::now();
    let classifier = classifier(&arguments)?;
    let loaded = input::load_with(&arguments.embeddings, &[&arguments.labels], None, &arguments.reading.options())?;
    let options = DatasetOptions { choice: arguments.rows.choice(), weights: None, seed: settings.seed };
    let [labels] = &loaded.labels[..] else {
        return Err(Error::setting("embq grad reads one labelling", "name one file or column of labels"));
    };
    let precision = loaded.embeddings.element_type().precision();
    let dataset = Dataset::join(loaded.embeddings, labels, settings.checked_distance(), &options)?;
    let read_seconds = started.elapsed().as_secs_f64();

    let bars = Bars::new(!arguments.run.quiet && !arguments.run.no_progress);
    let run = Run { arguments: &arguments, outputs: &outputs, read_seconds };
    match arguments.precision.map_or(precision, Into::into) {
        Precision::F32 => run.finish(|| differentiate::<f32>(&dataset, &settings, classifier.as_ref(), &bars)),
        Precision::F64 => run.finish(|| differentiate::<f64>(&dataset, &settings, classifier.as_ref(), &bars)),
    }
}

fn settings(arguments: &GradArguments) -> Result<ObjectiveSettings> {
    let mix = match arguments.loss {
        LossArgument::Silhouette => vec![(LossName::Silhouette, 1.0)],
        LossArgument::Supcon => vec![(LossName::Supcon, 1.0)],
        LossArgument::CrossEntropy => vec![(LossName::CrossEntropy, 1.0)],
        LossArgument::Center => vec![(LossName::Center, 1.0)],
        LossArgument::Hybrid => hybrid(arguments)?,
    };
    if arguments.loss != LossArgument::Hybrid && !arguments.mix.is_empty() {
        return Err(Error::setting("--mix is for --loss hybrid", "add --loss hybrid"));
    }
    let settings = ObjectiveSettings {
        mix,
        distance: arguments.distance,
        temperature: arguments.soft.temperature,
        softmin: arguments.soft.softmin.into(),
        softmax: arguments.soft.softmax.into(),
        supcon_temperature: arguments.supcon_temperature,
        batch_size: arguments.batch_size.map(saturated),
        seed: arguments.seed,
    };
    let silhouette = settings.has(LossName::Silhouette);
    if silhouette && matches!(settings.distance, Distance::Manhattan | Distance::Hamming | Distance::Precomputed) {
        return Err(Error::setting(
            format!("the silhouette loss has no gradient by {} distance", settings.distance),
            "cosine, sqeuclidean and euclidean have one",
        ));
    }
    if !silhouette && settings.temperature == Temperature::Auto {
        return Err(Error::setting("--temperature is for the silhouette", "leave it out"));
    }
    let given = arguments.head.is_some() || arguments.logits.is_some();
    if settings.has(LossName::CrossEntropy) && !given {
        let mix = if arguments.loss == LossArgument::Hybrid { ", or leave it out of --mix" } else { "" };
        return Err(Error::setting(
            "cross-entropy needs a classifier",
            format!("give --head W.npy (classes x dimensions) or --logits FILE (rows x classes){mix}"),
        ));
    }
    if !settings.has(LossName::CrossEntropy) && given {
        return Err(Error::setting(
            "--head and --logits are for cross-entropy, which has no part in this loss",
            "add --loss cross-entropy or --loss hybrid",
        ));
    }
    Ok(settings)
}

/// The losses of the hybrid, in the order in which results list them.
fn hybrid(arguments: &GradArguments) -> Result<Vec<(LossName, f64)>> {
    if arguments.mix.is_empty() {
        return Ok(vec![(LossName::Silhouette, 1.0), (LossName::CrossEntropy, 1.0), (LossName::Supcon, 1.0)]);
    }
    let mut mix: Vec<(LossName, f64)> = Vec::new();
    for &(loss, weight) in &arguments.mix {
        if mix.iter().any(|(known, _)| *known == loss) {
            return Err(Error::setting(format!("--mix names {} twice", loss.name()), "name each loss once"));
        }
        mix.push((loss, weight));
    }
    mix.retain(|(_, weight)| *weight > 0.0);
    mix.sort_by_key(|(loss, _)| *loss);
    if mix.is_empty() {
        return Err(Error::setting("--mix gives no loss a weight", "such as --mix silhouette=1,supcon=0.5"));
    }
    Ok(mix)
}

fn classifier(arguments: &GradArguments) -> Result<Option<NamedClassifier>> {
    let (classifier, path) = match (&arguments.head, &arguments.logits) {
        (Some(head), _) => {
            let weights = input::matrix(head)?;
            let bias = match &arguments.bias {
                Some(bias) => {
                    let values = Array1::from(input::numbers(bias)?);
                    if values.len() != weights.nrows() {
                        let problem = format!(
                            "{bias} has {} numbers, and {head} is for {} classes",
                            values.len(),
                            weights.nrows()
                        );
                        return Err(Error::setting(problem, "a bias has one number a class"));
                    }
                    values
                }
                None => Array1::zeros(weights.nrows()),
            };
            (Classifier::Head { weights, bias }, head)
        }
        (None, Some(logits)) => (Classifier::Logits(input::matrix(logits)?), logits),
        (None, None) => return Ok(None),
    };
    let columns = arguments.logit_labels.as_deref().map(input::labels).transpose()?;
    Ok(Some(NamedClassifier { classifier, path: path.clone(), columns }))
}

struct Run<'a> {
    arguments: &'a GradArguments,
    outputs: &'a Outputs,
    read_seconds: f64,
}

impl Run<'_> {
    /// Computes, prints and writes.
    fn finish<T: Real + WritableElement>(self, compute: impl FnOnce() -> Result<Differentiated<T>>) -> Result<Outcome> {
        let Run { arguments, outputs, read_seconds } = self;
        let started = Instant::now();
        let mut found = compute()?;
        if !arguments.run.no_timing {
            found.result.timing = Some(Timing { read_seconds, compute_seconds: started.elapsed().as_secs_f64() });
        }
        // All that can fail comes before the first file appears in its place.
        let written = outputs.write(&found, arguments)?;
        if !arguments.run.quiet {
            let text = gradient::render(&found.result, arguments.format, arguments.classes)?;
            print_as(arguments.format, &text)?;
        }
        for file in written {
            file.publish()?;
        }
        Ok(Outcome::Success)
    }
}

/// Where results go beside standard output, checked before the work.
struct Outputs {
    results: Vec<(OutputFile, Format)>,
    gradient: Option<OutputFile>,
    logits: Option<OutputFile>,
    head: Option<OutputFile>,
    bias: Option<OutputFile>,
}

impl Outputs {
    fn check(arguments: &GradArguments) -> Result<Self> {
        let result = |path: &String| Ok((OutputFile::check(Path::new(path))?, Format::of_file(path)?));
        let array = |path: &Option<String>| path.as_deref().map(array_file).transpose();
        let outputs = Outputs {
            results: arguments.output.iter().map(result).collect::<Result<_>>()?,
            gradient: array(&arguments.gradient)?,
            logits: array(&arguments.logits_gradient)?,
            head: array(&arguments.head_gradient)?,
            bias: array(&arguments.bias_gradient)?,
        };
        let files = || outputs.results.iter().map(|(file, _)| file).chain(outputs.arrays());
        check_distinct(files())?;
        let others = [&arguments.head, &arguments.bias, &arguments.logits, &arguments.logit_labels];
        let inputs = [&arguments.embeddings, &arguments.labels].into_iter().chain(others.into_iter().flatten());
        keep_inputs(files(), inputs)?;
        Ok(outputs)
    }

    fn arrays(&self) -> impl Iterator<Item = &OutputFile> {
        [&self.gradient, &self.logits, &self.head, &self.bias].into_iter().flatten()
    }

    /// Writes every file beside its place.
    fn write<T: Real + WritableElement>(
        &self,
        found: &Differentiated<T>,
        arguments: &GradArguments,
    ) -> Result<Vec<WrittenFile<'_>>> {
        let mut written = Vec::new();
        for (file, format) in &self.results {
            written.push(write_as(*format, file, &gradient::render(&found.result, *format, arguments.classes)?)?);
        }
        if let Some(file) = &self.gradient {
            written.push(file.write(|writer| write_array(&found.gradient, writer))?);
        }
        let as_element = |matrix: &Array2<f64>| matrix.mapv(T::from_f64);
        match &found.classifier {
            Some(Classifier::Logits(logits)) => {
                if let Some(file) = &self.logits {
                    written.push(file.write(|writer| write_array(&as_element(logits), writer))?);
                }
            }
            Some(Classifier::Head { weights, bias }) => {
                if let Some(file) = &self.head {
                    written.push(file.write(|writer| write_array(&as_element(weights), writer))?);
                }
                if let Some(file) = &self.bias {
                    let bias = bias.mapv(T::from_f64);
                    written.push(file.write(|writer| write_array(&bias, writer))?);
                }
            }
            None => {}
        }
        Ok(written)
    }
}

/// A place for an array.
fn array_file(path: &str) -> Result<OutputFile> {
    let is_npy = Path::new(path).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy"));
    let is_device = !is_npy && Path::new(path).exists() && !Path::new(path).is_file();
    if !is_npy && !is_device {
        return Err(Error::setting(format!("{path}: gradients are written as .npy"), "end the name in .npy"));
    }
    OutputFile::check(Path::new(path))
}
