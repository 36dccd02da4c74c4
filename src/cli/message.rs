//! Messages on standard error.

use std::error::Error as _;
use std::io::Write;

use anstyle::{AnsiColor, Style};

use crate::cli::wording;
use crate::report::visible;
use embq_core::error::Error;

const fn mark(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(anstyle::Color::Ansi(colour))).bold()
}

/// An error, its causes one a line, and the cure where it is known.
pub(crate) fn error(error: &Error) {
    let red = mark(AnsiColor::Red);
    let told = wording::problem(error);
    say(&format!("{red}error:{red:#} {}", shown(&told)));
    let mut source = error.source();
    while let Some(cause) = source {
        // Some messages hold their cause already.
        if !told.contains(&cause.to_string()) {
            say(&format!("  caused by: {}", shown(&cause.to_string())));
        }
        source = cause.source();
    }
    if let Some(tip) = wording::tip(error) {
        let green = mark(AnsiColor::Green);
        say(&format!("  {green}tip:{green:#} {}", shown(&tip)));
    }
}

/// A failure of embq itself.
pub(crate) fn defect(what: &str) {
    let red = mark(AnsiColor::Red);
    say(&format!("{red}error:{red:#} embq failed: {}", shown(what)));
    say("  this is a defect of embq: please report it with the command that you ran");
}

/// Something to know that stops nothing.
pub(crate) fn note(text: &str) {
    let yellow = mark(AnsiColor::Yellow);
    say(&format!("{yellow}note:{yellow:#} {}", shown(text)));
}

/// A gate that failed.
pub(crate) fn failed_gate(expression: &str, detail: &str) {
    let red = mark(AnsiColor::Red);
    say(&format!("{red}gate failed:{red:#} {} ({})", shown(expression), shown(detail)));
}

/// A failed gate as GitHub Actions takes it from the output of a job.
pub(crate) fn annotation(text: &str) {
    let text = shown(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    say(&format!("::error title=embq gate::{text}"));
}

/// Says it, line by line. What comes from files and arguments is in `line` only after [`shown`].
fn say(line: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// A message, which may have several lines, with all else that would steer the terminal written out.
fn shown(message: &str) -> String {
    let lines: Vec<String> = message.split('\n').map(visible).collect();
    lines.join("\n")
}
