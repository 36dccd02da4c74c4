//! Messages on standard error.

use std::error::Error as _;
use std::io::Write;

use anstyle::{AnsiColor, Style};

use crate::cli::wording;
use crate::report::visible;
use embq_core::error::Error;

/// Work of more than this many seconds is announced.
pub(crate) const LONG: f64 = 10.0;

const fn mark(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(anstyle::Color::Ansi(colour))).bold()
}

/// Reports an error, its causes, and the tips if there are any, each a line of its own.
pub(crate) fn error(error: &Error) {
    let red = mark(AnsiColor::Red);
    let message = wording::problem(error);
    say(&format!("{red}error:{red:#} {}", shown(&message)));
    let mut source = error.source();
    while let Some(cause) = source {
        // Some messages already contain their cause.
        if !message.contains(&cause.to_string()) {
            say(&format!("  caused by: {}", shown(&cause.to_string())));
        }
        source = cause.source();
    }
    if let Some(tip) = wording::tip(error) {
        let green = mark(AnsiColor::Green);
        for tip in tip.lines() {
            say(&format!("  {green}tip:{green:#} {}", visible(tip)));
        }
    }
}

/// Reports a bug in embq.
pub(crate) fn defect(what: &str) {
    let red = mark(AnsiColor::Red);
    say(&format!("{red}error:{red:#} embq failed: {}", shown(what)));
    say("  this is a bug in embq: please report it along with the command that you ran");
}

/// Prints a note.
pub(crate) fn note(text: &str) {
    let yellow = mark(AnsiColor::Yellow);
    say(&format!("{yellow}note:{yellow:#} {}", shown(text)));
}

/// Reports a failed gate.
pub(crate) fn failed_gate(expression: &str, detail: &str) {
    let red = mark(AnsiColor::Red);
    say(&format!("{red}gate failed:{red:#} {} ({})", shown(expression), shown(detail)));
}

/// Reports a failed gate as an annotation of GitHub Actions.
pub(crate) fn annotation(text: &str) {
    let text = shown(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    say(&format!("::error title=embq gate::{text}"));
}

/// Prints a line. Text from files and arguments must go through [`shown`] first.
fn say(line: &str) {
    // Nothing can be reported if standard error is closed.
    let _ = writeln!(anstream::stderr(), "{line}");
}

/// A message with control characters other than newlines escaped.
fn shown(message: &str) -> String {
    let lines: Vec<String> = message.split('\n').map(visible).collect();
    lines.join("\n")
}
