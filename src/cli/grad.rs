//! `embq grad`: computes a loss and its gradient.

use std::path::Path;
use std::time::Instant;

use clap::{Args, ValueEnum};
use ndarray::{Array1, Array2};

use crate::cli::Outcome;
use crate::cli::arguments::{
    InputArguments, MeasureArguments, OutputArguments, RowArguments, RunArguments, at_least, limit, temperature,
};
use crate::cli::outputs::Outputs;
use crate::report::{ClassLimit, gradient};
use embq_core::data::{Dataset, DatasetOptions, Precision};
use embq_core::distance::Distance;
use embq_core::error::{Error, Result, closest};
use embq_core::evaluation::{Settings, Temperature};
use embq_core::kernels::Real;
use embq_core::losses::Classifier;
use embq_core::objective::{
    Differentiated, LossName, NamedClassifier, ObjectiveSettings, differentiate_f32, differentiate_f64,
};
use embq_files::input;
use embq_files::output::{WritableElement, write_array};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  embq grad emb.npy -l labels.npy --gradient gradient.npy
  embq grad emb.npy -l labels.npy --gradient g.npy --loss supcon --supcon-temperature 0.07
  embq grad emb.npy -l labels.npy --gradient g.npy --loss hybrid --head w.npy --bias b.npy
  embq grad emb.npy -l labels.npy --gradient g.npy --loss hybrid --mix silhouette=1,supcon=0.5 -o grad.json
In PyTorch: embeddings.backward(gradient=torch.from_numpy(numpy.load('gradient.npy')))")]
pub(crate) struct GradArguments {
    #[command(flatten)]
    input: InputArguments,

    /// Write the gradient with respect to the embeddings as .npy, in their shape and row order
    #[arg(short, long, value_name = "FILE", required_unless_present = "logits_gradient")]
    gradient: Option<String>,

    /// Loss to differentiate
    #[arg(long, value_enum, default_value_t, help_heading = "Measure")]
    loss: LossArgument,

    /// Losses of the hybrid and their weights [default: silhouette=1,cross-entropy=1,supcon=1]
    #[arg(long, value_name = "LOSS=WEIGHT,..", value_delimiter = ',', value_parser = mix, help_heading = "Measure")]
    mix: Vec<(LossName, f64)>,

    #[command(flatten)]
    measure: MeasureArguments,

    /// Temperature of the supervised contrastive loss
    #[arg(long, value_name = "T", default_value = "0.1", value_parser = positive_temperature, help_heading = "Measure")]
    supcon_temperature: f64,

    /// Average over shuffled batches of this many rows, as in training
    #[arg(long, value_name = "ROWS", value_parser = at_least(2), help_heading = "Measure")]
    batch_size: Option<usize>,

    /// Weights of a linear head (classes x dimensions) for cross-entropy: logits = x W^T + b
    #[arg(long, value_name = "FILE", conflicts_with = "logits", help_heading = "Classifier")]
    head: Option<String>,

    /// Bias of the head, one number per class [default: 0]
    #[arg(long, value_name = "FILE", requires = "head", help_heading = "Classifier")]
    bias: Option<String>,

    /// Logits (rows x classes) for cross-entropy, from which the embeddings then get no gradient
    #[arg(long, value_name = "FILE", help_heading = "Classifier")]
    logits: Option<String>,

    /// Class of each row of the head or column of the logits [default: the labels in order]
    #[arg(long, value_name = "LABELS", help_heading = "Classifier")]
    logit_labels: Option<String>,

    /// Write the gradient with respect to the logits as .npy
    #[arg(long, value_name = "FILE", requires = "logits", help_heading = "Classifier")]
    logits_gradient: Option<String>,

    /// Write the gradient with respect to the weights of the head as .npy
    #[arg(long, value_name = "FILE", requires = "head", help_heading = "Classifier")]
    head_gradient: Option<String>,

    /// Write the gradient with respect to the bias of the head as .npy
    #[arg(long, value_name = "FILE", requires = "head", help_heading = "Classifier")]
    bias_gradient: Option<String>,

    #[command(flatten)]
    rows: RowArguments,

    #[command(flatten)]
    output: OutputArguments,

    /// Number of classes to show, largest gradient first
    #[arg(long, value_name = "N|all", default_value = "10", value_parser = limit, help_heading = "Output")]
    classes: ClassLimit,

    #[command(flatten)]
    run: RunArguments,
}

/// A loss, or the weighted sum of several.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum LossArgument {
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

pub(crate) fn run(arguments: GradArguments) -> Result<Outcome> {
    let settings = settings(&arguments)?;
    let outputs = outputs(&arguments)?;
    let bars = arguments.run.start();

    let started = Instant::now();
    let classifier = classifier(&arguments)?;
    let input = &arguments.input;
    let loaded = input::load_with(&input.embeddings, &[&input.labels], None, &input.reading.options())?;
    let options = DatasetOptions { choice: arguments.rows.choice(), weights: None, seed: settings.seed };
    let [labels] = &loaded.labels[..] else {
        return Err(Error::setting("embq grad reads one labelling", "name one file or column of labels"));
    };
    let precision = loaded.embeddings.element_type().precision();
    let dataset = Dataset::join(
        loaded.embeddings.for_distance(settings.checked_distance())?,
        labels,
        settings.checked_distance(),
        &options,
    )?;
    let read_seconds = started.elapsed().as_secs_f64();

    let run = Run { arguments: &arguments, outputs, read_seconds };
    match arguments.measure.precision.unwrap_or(precision) {
        Precision::F32 => run.finish(|| {
            let found = differentiate_f32(&dataset, &settings, classifier.as_ref(), &bars);
            bars.finish();
            found
        }),
        Precision::F64 => run.finish(|| {
            let found = differentiate_f64(&dataset, &settings, classifier.as_ref(), &bars);
            bars.finish();
            found
        }),
    }
}

fn outputs(arguments: &GradArguments) -> Result<Outputs> {
    let GradArguments { input, head, bias, logits, logit_labels, .. } = arguments;
    let GradArguments { gradient, logits_gradient, head_gradient, bias_gradient, .. } = arguments;
    let arrays = || [gradient, logits_gradient, head_gradient, bias_gradient].into_iter().flatten();
    arrays().try_for_each(|path| check_array(path))?;
    let inputs = [head, bias, logits, logit_labels].into_iter().flatten().chain([&input.embeddings, &input.labels]);
    Outputs::check(&arguments.output, arguments.run.quiet, arrays(), inputs)
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
    let Settings { distance, temperature, softmin, softmax, seed, .. } = arguments.measure.settings();
    let settings = ObjectiveSettings {
        mix,
        distance,
        temperature,
        softmin,
        softmax,
        supcon_temperature: arguments.supcon_temperature,
        batch_size: arguments.batch_size,
        seed,
    };
    let silhouette = settings.has(LossName::Silhouette);
    if silhouette && matches!(settings.distance, Distance::Manhattan | Distance::Hamming | Distance::Precomputed) {
        return Err(Error::setting(
            format!("the silhouette loss has no gradient for {} distance", settings.distance),
            "use cosine, sqeuclidean or euclidean",
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
            "--head and --logits are for cross-entropy, which is not part of this loss",
            "add --loss cross-entropy or --loss hybrid",
        ));
    }
    Ok(settings)
}

/// The losses of the hybrid, in the order of results.
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
        return Err(Error::setting("--mix gives no loss a positive weight", "such as --mix silhouette=1,supcon=0.5"));
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
                            "{bias} has {} numbers, but {head} is for {} classes",
                            values.len(),
                            weights.nrows()
                        );
                        return Err(Error::setting(problem, "a bias has one number per class"));
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
    outputs: Outputs,
    read_seconds: f64,
}

impl Run<'_> {
    /// Computes, writes and prints.
    fn finish<T: Real + WritableElement>(self, compute: impl FnOnce() -> Result<Differentiated<T>>) -> Result<Outcome> {
        let Run { arguments, mut outputs, read_seconds } = self;
        let started = Instant::now();
        let mut found = compute()?;
        found.result.timing = arguments.run.timing(read_seconds, started.elapsed().as_secs_f64());

        let render = |format| gradient::render(&found.result, format, arguments.classes);
        outputs.write_results(render)?;
        outputs.write(arguments.gradient.as_ref(), |writer| write_array(&found.gradient, writer))?;
        let as_element = |matrix: &Array2<f64>| matrix.mapv(T::from_f64);
        match &found.classifier {
            Some(Classifier::Logits(logits)) => {
                outputs.write(arguments.logits_gradient.as_ref(), |writer| write_array(&as_element(logits), writer))?;
            }
            Some(Classifier::Head { weights, bias }) => {
                outputs.write(arguments.head_gradient.as_ref(), |writer| write_array(&as_element(weights), writer))?;
                let bias = bias.mapv(T::from_f64);
                outputs.write(arguments.bias_gradient.as_ref(), |writer| write_array(&bias, writer))?;
            }
            None => {}
        }
        outputs.print(render)?;
        outputs.publish()?;
        Ok(Outcome::Success)
    }
}

/// Checks the extension of a file that receives an array.
fn check_array(path: &str) -> Result<()> {
    let is_npy = Path::new(path).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("npy"));
    let is_device = !is_npy && Path::new(path).exists() && !Path::new(path).is_file();
    if !is_npy && !is_device {
        return Err(Error::setting(format!("{path}: gradients are written as .npy"), "end the name in .npy"));
    }
    Ok(())
}

fn positive_temperature(text: &str) -> std::result::Result<f64, String> {
    match temperature(text) {
        Ok(Temperature::Value(value)) => Ok(value),
        _ => Err("a temperature is a number from 1e-6 to 1e6".to_owned()),
    }
}

/// A loss and its weight, which defaults to 1.
fn mix(text: &str) -> std::result::Result<(LossName, f64), String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_mixed_by_name() {
        assert_eq!(mix("supcon=0.5"), Ok((LossName::Supcon, 0.5)));
        assert_eq!(mix("cross-entropy"), Ok((LossName::CrossEntropy, 1.0)));
        assert!(mix("silhuette=1").unwrap_err().contains("did you mean 'silhouette'?"));
        for wrong in ["center=-1", "center=nan", "center=", "=1"] {
            assert!(mix(wrong).is_err(), "{wrong}");
        }
    }
}
