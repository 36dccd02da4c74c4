//! `embq score`: from files to the result.

use std::time::Instant;

use crate::cli::args::ScoreArguments;
use crate::cli::progress::Bars;
use crate::cli::{Outcome, message, print};
use crate::data::{Dataset, DatasetOptions};
use crate::distance::Distance;
use crate::error::{Error, Result};
use crate::evaluation::{Scored, Settings, Timing, evaluate};
use crate::gate::Gate;
use crate::input;
use crate::metrics::Selection;
use crate::report::file::OutputFile;
use crate::report::matrix::{self, MatrixFormat};
use crate::report::rows::{RowFormat, RowTable};
use crate::report::{ClassOrder, Format, View};

pub(crate) fn run(arguments: ScoreArguments) -> Result<Outcome> {
    let [embeddings] = &arguments.embeddings[..] else {
        return Err(Error::setting(
            format!(
                "embq score reads one file of embeddings, not {}",
                arguments.embeddings.len()
            ),
            "several checkpoints are for embq compare, which is still to come; score them one by one",
        ));
    };
    let settings = settings(&arguments)?;
    let gates = gates(&arguments, &settings)?;
    let outputs = Outputs::check(&arguments)?;
    let view = View {
        classes: arguments.classes,
        order: arguments.sort.as_deref().map(ClassOrder::parse).transpose()?,
    };
    if let Some(threads) = arguments.threads {
        // Fails only if there is a pool already, and nothing before this line starts one.
        let _ = rayon::ThreadPoolBuilder::new()
            .num_threads(threads as usize)
            .build_global();
    }

    let started = Instant::now();
    let loaded = input::load(embeddings, &arguments.labels, arguments.row_weights.as_deref())?;
    let options = DatasetOptions {
        ignore_labels: arguments.ignore_label.clone(),
        weights: loaded.weights,
    };
    let dataset = Dataset::new(loaded.embeddings, &loaded.labels, settings.distance, &options)?;
    let read_seconds = started.elapsed().as_secs_f64();

    if !arguments.quiet {
        tell_of_long_work(&dataset, &settings);
    }
    let started = Instant::now();
    let bars = Bars::new(!arguments.quiet && !arguments.no_progress);
    let mut scored = evaluate(&dataset, &settings, &bars)?;
    if !arguments.no_timing {
        scored.evaluation.timing = Some(Timing {
            read_seconds,
            compute_seconds: started.elapsed().as_secs_f64(),
        });
    }
    scored.evaluation.gates = gates.iter().map(|gate| gate.check(&scored.evaluation)).collect();

    outputs.write(&dataset, &scored, &view)?;
    if !(arguments.quiet && outputs.any()) {
        print(&arguments.format.render(&scored.evaluation, &view)?)?;
    }
    let failed: Vec<_> = scored.evaluation.gates.iter().filter(|gate| gate.failed).collect();
    for gate in &failed {
        message::failed_gate(&gate.expression, &gate.detail);
    }
    Ok(if failed.is_empty() {
        Outcome::Success
    } else {
        Outcome::GateFailed
    })
}

fn settings(arguments: &ScoreArguments) -> Result<Settings> {
    Ok(Settings {
        distance: arguments.distance,
        temperature: arguments.temperature,
        softmin: arguments.softmin.into(),
        softmax: arguments.softmax.into(),
        precision: arguments.precision.map(Into::into),
        batch_size: arguments
            .batch_size
            .map(|size| usize::try_from(size).unwrap_or(usize::MAX)),
        seed: arguments.seed,
        metrics: Selection::parse(arguments.metrics.iter().map(|name| name.trim()))?,
        matrix: arguments.matrix_out.is_some(),
        hash: arguments.hash,
    })
}

fn gates(arguments: &ScoreArguments, settings: &Settings) -> Result<Vec<Gate>> {
    let gates: Vec<Gate> = arguments
        .fail_if
        .iter()
        .map(|expression| Gate::parse(expression))
        .collect::<Result<_>>()?;
    for gate in &gates {
        if !settings.computes(gate.metric()) {
            let tip = if gate.metric().starts_with("batch") {
                "add --batch-size"
            } else {
                "add it to --metrics"
            };
            return Err(Error::setting(
                format!("--fail-if: {} is not computed", gate.metric()),
                tip,
            ));
        }
    }
    Ok(gates)
}

/// Where results go beside standard output, checked before the work.
struct Outputs {
    results: Vec<(OutputFile, Format)>,
    rows: Option<(OutputFile, RowFormat)>,
    matrix: Option<(OutputFile, MatrixFormat)>,
}

impl Outputs {
    fn check(arguments: &ScoreArguments) -> Result<Self> {
        let result = |path: &String| Ok((OutputFile::check(path)?, Format::of_file(path)?));
        let outputs = Outputs {
            results: arguments.output.iter().map(result).collect::<Result<_>>()?,
            rows: match &arguments.rows_out {
                Some(path) => Some((OutputFile::check(path)?, RowFormat::of_file(path)?)),
                None => None,
            },
            matrix: match &arguments.matrix_out {
                Some(path) => Some((OutputFile::check(path)?, MatrixFormat::of_file(path)?)),
                None => None,
            },
        };
        let files: Vec<&OutputFile> = outputs.files().collect();
        for (position, file) in files.iter().enumerate() {
            if files[..position].iter().any(|other| other.is_same(file)) {
                return Err(Error::setting(
                    format!("{} is given for two outputs", file.path()),
                    "give each output a file of its own",
                ));
            }
        }
        Ok(outputs)
    }

    fn files(&self) -> impl Iterator<Item = &OutputFile> {
        let results = self.results.iter().map(|(file, _)| file);
        let rows = self.rows.iter().map(|(file, _)| file);
        results.chain(rows).chain(self.matrix.iter().map(|(file, _)| file))
    }

    fn any(&self) -> bool {
        self.files().next().is_some()
    }

    fn write(&self, dataset: &Dataset, scored: &Scored, view: &View) -> Result<()> {
        for (file, format) in &self.results {
            let text = anstream::adapter::strip_str(&format.render(&scored.evaluation, view)?).to_string();
            file.write(|writer| Ok(writer.write_all(text.as_bytes())?))?;
        }
        if let Some((file, format)) = &self.rows {
            file.write(|writer| RowTable::new(dataset, &scored.rows).write(*format, writer))?;
        }
        if let (Some((file, format)), Some(distances)) = (&self.matrix, &scored.matrix) {
            file.write(|writer| matrix::write(dataset.labels().names(), distances, *format, writer))?;
        }
        Ok(())
    }
}

/// Seconds from which on pairwise work is announced.
const LONG: f64 = 10.0;

/// Pairwise work that will take long is announced with the closed form as the cure.
fn tell_of_long_work(dataset: &Dataset, settings: &Settings) {
    // Elements of a pair that one thread gets through in a second, by AVX2.
    let speed = match settings.distance {
        Distance::Euclidean => 2e10,
        Distance::Manhattan => 8e9,
        Distance::Cosine | Distance::SqEuclidean | Distance::Precomputed => return,
    };
    let (rows, dimensions) = (dataset.len() as f64, dataset.dimensions() as f64);
    let threads = rayon::current_num_threads() as f64;
    let seconds = rows * rows / 2.0 * dimensions / (speed * threads);
    if seconds > LONG {
        let megabytes = 8.0 * rows * dimensions / 1e6 + 100.0;
        message::note(&format!(
            "{} distances of {rows} rows will take about {seconds:.0} s and {megabytes:.0} MB; \
             --distance cosine or sqeuclidean need no pairs and take seconds",
            settings.distance
        ));
    }
}
