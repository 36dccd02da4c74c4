//! Gates, and where their outcomes are reported: standard error, JUnit and GitHub Actions.

use std::path::Path;

use clap::Args;

use crate::cli::outputs::Outputs;
use crate::cli::{Outcome, message};
use crate::gate::Gate;
use crate::report::junit;
use crate::report::output::append;
use embq_core::error::{Error, Result};
use embq_core::evaluation::{GateOutcome, Settings};
use embq_core::metrics::{Metric, Need, Scope};
use embq_core::quantity::Quantity;

#[derive(Debug, Args)]
pub(crate) struct GateArguments {
    /// Write a JUnit file with one test case per gate
    #[arg(long, value_name = "FILE", help_heading = "Gates")]
    pub(crate) junit: Option<String>,

    /// In GitHub Actions, add the result to the job summary and annotate failed gates
    #[arg(long, help_heading = "Gates")]
    pub(crate) github: bool,
}

/// The environment variable in which GitHub Actions names the file of a job's summary.
const SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// Where the outcomes of gates are reported, checked before the work.
pub(crate) struct GateReport {
    /// The name of the command and of the JUnit suite.
    command: &'static str,
    junit: Option<String>,
    /// The file of the job's summary.
    summary: Option<String>,
}

impl GateReport {
    /// Checks that there is a summary to add to.
    ///
    /// # Errors
    /// `--github` outside GitHub Actions.
    pub(crate) fn check(command: &'static str, arguments: &GateArguments) -> Result<Self> {
        let summary = std::env::var(SUMMARY).ok().filter(|path| arguments.github && !path.is_empty());
        if arguments.github && summary.is_none() {
            return Err(Error::setting(
                format!("--github: {SUMMARY} is not set, which names the file of the job summary"),
                "leave out --github outside GitHub Actions",
            ));
        }
        Ok(GateReport { command, junit: arguments.junit.clone(), summary })
    }

    /// Writes the JUnit file.
    ///
    /// # Errors
    /// What the file system reports.
    pub(crate) fn write(&self, outputs: &mut Outputs, gates: &[GateOutcome]) -> Result<()> {
        let text = junit::render(self.command, gates)?;
        outputs.write(self.junit.as_ref(), |writer| Ok(writer.write_all(text.as_bytes())?))
    }

    /// Adds the result to the summary of the job and reports every failed gate, which decides how the run ends.
    ///
    /// # Errors
    /// A summary that cannot be written.
    pub(crate) fn finish(&self, markdown: impl FnOnce() -> Result<String>, gates: &[GateOutcome]) -> Result<Outcome> {
        if let Some(path) = &self.summary {
            append(Path::new(path), &markdown()?)?;
        }
        let mut outcome = Outcome::Success;
        for gate in gates.iter().filter(|gate| gate.failed) {
            outcome = Outcome::GateFailed;
            let of = gate.checkpoint.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
            message::failed_gate(&format!("{of}{}", gate.expression), &gate.detail);
            if self.summary.is_some() {
                message::annotation(&format!("{of}{} ({})", gate.expression, gate.detail));
            }
        }
        Ok(outcome)
    }
}

/// How a command that scores rows gets intervals.
pub(crate) const ADD_INTERVALS: &str = "add --intervals";

/// Reads gates, and checks that a result under these settings has a number for everything in them. `interval_tip` says how
/// the command gets intervals.
///
/// # Errors
/// A wrong expression, a metric or an interval that is not computed, a difference where there is no baseline.
pub(crate) fn parse(
    expressions: &[String],
    settings: &Settings,
    has_baseline: bool,
    interval_tip: &str,
) -> Result<Vec<Gate>> {
    let gates: Vec<Gate> = expressions.iter().map(|expression| Gate::parse(expression)).collect::<Result<_>>()?;
    for quantity in gates.iter().flat_map(Gate::quantities) {
        if quantity.needs_baseline() && !has_baseline {
            return Err(Error::setting(format!("--fail-if: {quantity} needs a baseline"), "embq compare has one"));
        }
        if quantity.needs_intervals() && !settings.intervals {
            return Err(Error::setting(format!("--fail-if: {quantity} needs intervals"), interval_tip));
        }
        check_computed(quantity, settings)?;
    }
    Ok(gates)
}

/// The option that the number after @ in the name of a metric comes from.
pub(crate) fn level_option(metric: &Metric) -> &'static str {
    if metric.scope == Scope::AtFar { "--far" } else { "--k" }
}

fn check_computed(quantity: &Quantity, settings: &Settings) -> Result<()> {
    if matches!(quantity, Quantity::Similarity(_)) {
        return Ok(());
    }
    let metric = quantity.metric();
    if metric != "count" && !settings.computes(metric) {
        let tip = match Metric::named(metric) {
            Some(known) if known.needs(Need::BatchSize) => "add --batch-size".to_owned(),
            Some(known) if known.needs(Need::BatchLabels) => "add it to --metrics, and --batch".to_owned(),
            Some(known) if settings.metrics.contains(known.id) => format!("add its number to {}", level_option(known)),
            _ => "add it to --metrics".to_owned(),
        };
        return Err(Error::setting(format!("--fail-if: {metric} is not computed"), tip));
    }
    Ok(())
}
