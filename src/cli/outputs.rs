//! Where results go: standard output and files.

use std::io::Write;
use std::path::Path;

use anstream::adapter::strip_str;

use crate::cli::Outcome;
use crate::cli::arguments::OutputArguments;
use crate::report::output::{OutputFile, WrittenFile, check_distinct};
use crate::report::{Format, is_page};
use embq_core::error::{Error, Result};
use embq_files::input;
use embq_files::output::WriteResult;

/// The outputs of a command, checked before the work.
///
/// Files are first written next to their targets, and moved into place by [`publish`](Outputs::publish) once nothing
/// can fail any more.
pub(crate) struct Outputs {
    format: Format,
    quiet: bool,
    results: Vec<(OutputFile, Format)>,
    /// Files for other things than the result, with their names as given.
    others: Vec<(String, OutputFile)>,
    written: Vec<WrittenFile>,
}

impl Outputs {
    /// Checks that the files can be written, and that none of them is an input.
    ///
    /// # Errors
    /// A file that cannot be written, an unknown extension, the same file twice, an input.
    pub(crate) fn check<'a>(
        arguments: &OutputArguments,
        quiet: bool,
        others: impl IntoIterator<Item = &'a String>,
        inputs: impl IntoIterator<Item = &'a String>,
    ) -> Result<Self> {
        let result = |path: &String| Ok((OutputFile::check(Path::new(path))?, Format::of_file(path)?));
        let other = |path: &String| Ok((path.clone(), OutputFile::check(Path::new(path))?));
        let outputs = Outputs {
            format: arguments.format,
            quiet,
            results: arguments.output.iter().map(result).collect::<Result<_>>()?,
            others: others.into_iter().map(other).collect::<Result<_>>()?,
            written: Vec::new(),
        };
        check_distinct(outputs.files())?;
        keep_inputs(outputs.files(), inputs)?;
        Ok(outputs)
    }

    fn files(&self) -> impl Iterator<Item = &OutputFile> {
        let results = self.results.iter().map(|(file, _)| file);
        results.chain(self.others.iter().map(|(_, file)| file))
    }

    /// Writes one of the other files; does nothing if `path` is `None`.
    ///
    /// # Errors
    /// What the file system reports.
    pub(crate) fn write(
        &mut self,
        path: Option<&String>,
        fill: impl FnOnce(&mut dyn Write) -> WriteResult,
    ) -> Result<()> {
        let file = path.and_then(|path| self.others.iter().find(|(name, _)| name == path));
        if let Some((_, file)) = file {
            self.written.push(file.write(fill)?);
        }
        Ok(())
    }

    /// Writes the result files.
    ///
    /// # Errors
    /// What `render` and the file system report.
    pub(crate) fn write_results(&mut self, render: impl Fn(Format) -> Result<String>) -> Result<()> {
        for (file, format) in &self.results {
            let text = render(*format)?;
            let plain = if format.is_styled() { strip_str(&text).to_string() } else { text };
            self.written.push(file.write(|writer| Ok(writer.write_all(plain.as_bytes())?))?);
        }
        Ok(())
    }

    /// Writes the pages, which are drawn only if there are any.
    ///
    /// # Errors
    /// What `draw` and the file system report.
    pub(crate) fn write_pages(&mut self, pages: &[String], draw: impl FnOnce() -> Result<String>) -> Result<()> {
        if pages.is_empty() {
            return Ok(());
        }
        let page = draw()?;
        pages.iter().try_for_each(|path| self.write(Some(path), |out| Ok(out.write_all(page.as_bytes())?)))
    }

    /// Whether the result goes to standard output: `--quiet` leaves it to files where there are some.
    pub(crate) fn is_printed(&self) -> bool {
        !self.quiet || self.files().next().is_none()
    }

    /// Prints the result, unless it [is not printed](Outputs::is_printed).
    ///
    /// # Errors
    /// What `render` and standard output report.
    pub(crate) fn print(&self, render: impl FnOnce(Format) -> Result<String>) -> Result<()> {
        if self.is_printed() {
            let text = render(self.format)?;
            if self.format.is_styled() {
                print_styled(&text)?
            } else {
                print(text.as_bytes())?
            };
        }
        Ok(())
    }

    /// Puts the written files into their places.
    ///
    /// # Errors
    /// What the file system reports.
    pub(crate) fn publish(self) -> Result<()> {
        self.written.into_iter().try_for_each(WrittenFile::publish)
    }
}

/// The help of `--output` of a command that also writes HTML pages.
pub(crate) const WITH_PAGES: &str = "Write the result to a file; its extension selects the format: .json .md .csv .html .txt; can be given multiple times";

/// Takes the paths of HTML pages out of the outputs, for a command that writes them.
pub(crate) fn take_pages(arguments: &mut OutputArguments) -> Vec<String> {
    arguments.output.extract_if(.., |path| is_page(path)).collect()
}

/// Checks that no output would overwrite an input.
///
/// # Errors
/// An output that is an input.
pub(crate) fn keep_inputs<'o, 'i>(
    outputs: impl IntoIterator<Item = &'o OutputFile>,
    inputs: impl IntoIterator<Item = &'i String>,
) -> Result<()> {
    let outputs: Vec<&OutputFile> = outputs.into_iter().collect();
    for path in inputs.into_iter().flat_map(|input| input::paths_of(input)) {
        if let Some(file) = outputs.iter().find(|file| file.is(Path::new(&path))) {
            return Err(Error::setting(
                format!("{} is an input, which the output would overwrite", file.shown()),
                "use another path for the output",
            ));
        }
    }
    Ok(())
}

/// Writes text to standard output, without styles if they are not supported.
pub(crate) fn print_styled(text: &str) -> Result<Outcome> {
    let mut stream = anstream::stdout().lock();
    printed(stream.write_all(text.as_bytes()).and_then(|()| stream.flush()))
}

/// Writes bytes to standard output unchanged.
pub(crate) fn print(bytes: &[u8]) -> Result<Outcome> {
    let mut stream = std::io::stdout().lock();
    printed(stream.write_all(bytes).and_then(|()| stream.flush()))
}

/// A closed pipe is not an error: the reader has seen enough.
fn printed(written: std::io::Result<()>) -> Result<Outcome> {
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Error::Output { path: "standard output".to_owned(), problem: error.to_string() })
        }
        _ => Ok(Outcome::Success),
    }
}
