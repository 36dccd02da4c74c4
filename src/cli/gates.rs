//! What continuous integration gets beside the result: JUnit, a summary and annotations.

use std::path::Path;

use clap::Args;

use crate::cli::message;
use crate::report::junit;
use crate::report::output::{OutputFile, WrittenFile, append};
use embq_core::error::{Error, Result};
use embq_core::evaluation::GateOutcome;

#[derive(Debug, Args)]
pub(crate) struct CiArguments {
    /// Write the gates as a JUnit file, a test case each
    #[arg(long, value_name = "FILE", help_heading = "Gates")]
    pub(crate) junit: Option<String>,

    /// In GitHub Actions: add the result as Markdown to the job's summary, and annotate failed gates
    #[arg(long, help_heading = "Gates")]
    pub(crate) github: bool,
}

/// Where GitHub Actions takes the summary of a job from.
const SUMMARY: &str = "GITHUB_STEP_SUMMARY";

/// What was asked for, checked before the work.
#[derive(Debug)]
pub(crate) struct CiOutputs {
    junit: Option<OutputFile>,
    /// The file of the job's summary.
    summary: Option<String>,
}

impl CiOutputs {
    /// Checks that all can be written.
    ///
    /// # Errors
    /// A file that cannot be written, `--github` outside GitHub Actions.
    pub(crate) fn check(arguments: &CiArguments) -> Result<Self> {
        let summary = match arguments.github {
            true => Some(std::env::var(SUMMARY).ok().filter(|path| !path.is_empty()).ok_or_else(|| {
                Error::setting(
                    format!("--github: {SUMMARY} is not set, which names the file of the job's summary"),
                    "leave out --github outside GitHub Actions",
                )
            })?),
            false => None,
        };
        let junit = arguments.junit.as_ref().map(|path| OutputFile::check(Path::new(path))).transpose()?;
        Ok(CiOutputs { junit, summary })
    }

    pub(crate) fn files(&self) -> impl Iterator<Item = &OutputFile> {
        self.junit.iter()
    }

    /// Writes the JUnit file beside its place.
    ///
    /// # Errors
    /// What the file system reports.
    pub(crate) fn write(&self, suite: &str, gates: &[GateOutcome]) -> Result<Option<WrittenFile<'_>>> {
        let Some(file) = &self.junit else { return Ok(None) };
        let text = junit::render(suite, gates)?;
        Ok(Some(file.write(|writer| Ok(writer.write_all(text.as_bytes())?))?))
    }

    /// Adds the result to the summary of the job, and tells of each failed gate.
    ///
    /// # Errors
    /// A summary that cannot be written.
    pub(crate) fn tell(&self, markdown: impl FnOnce() -> Result<String>, gates: &[GateOutcome]) -> Result<()> {
        if let Some(path) = &self.summary {
            append(Path::new(path), &markdown()?)?;
        }
        for gate in gates.iter().filter(|gate| gate.failed) {
            let of = gate.checkpoint.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
            message::failed_gate(&format!("{of}{}", gate.expression), &gate.detail);
            if self.summary.is_some() {
                message::annotation(&format!("{of}{} ({})", gate.expression, gate.detail));
            }
        }
        Ok(())
    }
}
