//! What is in a file, for `embq inspect`.

use std::fmt::Write as _;

use crate::report::blocks::bar;
use crate::report::numbers::{count, percent, short};
use crate::report::table::{WIDTH, broken};
use crate::report::text::{fitted, fitted_path, width};

/// One array or column of a file.
pub struct Item<'a> {
    pub name: Option<&'a str>,
    pub dtype: &'a str,
    /// What it is for the choice of the embeddings; empty where there is nothing to choose.
    pub kind: &'a str,
    pub shape: &'a [usize],
    pub missing: u64,
    pub nans: u64,
    pub infinities: u64,
    /// The smallest and the largest finite number.
    pub range: Option<(f64, f64)>,
    /// How many distinct labels there are, where the values can be labels.
    pub distinct: Option<usize>,
    /// The most frequent labels.
    pub histogram: Vec<(&'a str, usize)>,
    pub more_labels: usize,
    pub embeddings: bool,
    pub labels: bool,
    pub problem: Option<&'a str>,
}

/// Columns of a histogram's bars.
const BAR: usize = 28;

/// Columns of a label at most.
const NAME: usize = 24;

/// What is read as embeddings where nothing is selected, or why nothing is.
pub enum Choice<'a> {
    /// What it is called, how it was found, and what there is to know about that.
    Read { what: String, how: &'a str, notes: &'a [String] },
    /// What `embq score` says, and its tip.
    Refused { problem: &'a str, tip: Option<&'a str> },
}

/// A sentence in lines as wide as the page, with a mark before the first.
fn told(page: &mut String, mark: &str, text: &str) {
    for (index, line) in broken(text, WIDTH - mark.len()).iter().enumerate() {
        let start = if index == 0 { mark.to_owned() } else { " ".repeat(mark.len()) };
        let _ = writeln!(page, "{start}{line}");
    }
}

/// The page for one file.
pub fn table(path: &str, format: &str, bytes: u64, items: &[Item<'_>], choice: Option<&Choice<'_>>) -> String {
    let mut page = String::new();
    let _ = writeln!(page, "{}", fitted_path(path, 80));
    let _ = writeln!(page, "{format}, {} bytes", count(bytes as usize));
    match choice {
        Some(Choice::Read { what, how, notes }) => {
            page.push('\n');
            told(&mut page, "", &format!("without a selector, {what} is read as embeddings ({how})"));
            for note in *notes {
                told(&mut page, "  note: ", note);
            }
        }
        Some(Choice::Refused { problem, tip }) => {
            page.push('\n');
            told(&mut page, "", &format!("without a selector, nothing is read as embeddings: {problem}"));
            if let Some(tip) = tip {
                told(&mut page, "  tip: ", tip);
            }
        }
        None => {}
    }
    for item in items {
        let shape: Vec<String> = item.shape.iter().map(|&length| count(length)).collect();
        let name = item.name.map(|name| fitted(name, 40) + "  ").unwrap_or_default();
        let _ = write!(page, "\n{name}{} {}", item.dtype, shape.join(" x "));
        if let Some((smallest, largest)) = item.range {
            // Integers are told as they are.
            let whole = !item.dtype.starts_with('f') && smallest.abs().max(largest.abs()) < 1e15;
            let number =
                |value: f64| if whole && value.fract() == 0.0 { value.to_string() } else { short(Some(value)) };
            let _ = write!(page, "  from {} to {}", number(smallest), number(largest));
        }
        page.push('\n');
        for (number, what) in [(item.missing, "missing"), (item.nans, "NaN"), (item.infinities, "infinite")] {
            if number > 0 {
                let _ = writeln!(page, "  {} {what}", count(number as usize));
            }
        }
        let use_as = match (item.embeddings, item.labels) {
            _ if item.kind == "index" => "an index of rows, no dimension unless selected",
            (true, true) => "can be embeddings or labels",
            (true, false) => "can be embeddings",
            (false, true) => "can be labels",
            (false, false) => "can be neither embeddings nor labels",
        };
        let distinct = item.distinct.map(|distinct| format!(", {} distinct", count(distinct))).unwrap_or_default();
        let _ = writeln!(page, "  {use_as}{distinct}");
        if let Some(problem) = item.problem {
            told(&mut page, "  ", problem);
        }
        let most = item.histogram.iter().map(|(_, rows)| *rows).max().unwrap_or(1).max(1);
        let rows = item.shape.first().copied().unwrap_or(0).max(1);
        let names: Vec<String> = item.histogram.iter().map(|(label, _)| fitted(label, NAME)).collect();
        let room = names.iter().map(|name| width(name)).max().unwrap_or(0);
        for ((_, count_of), name) in item.histogram.iter().zip(&names) {
            let gap = " ".repeat(room - width(name));
            let share = percent(Some(*count_of as f64 / rows as f64));
            let bar = bar((BAR * count_of) as f64 / most as f64);
            let _ = writeln!(page, "    {name}{gap} {:>9} {share:>8}  {bar}", count(*count_of));
        }
        if item.more_labels > 0 {
            let _ = writeln!(page, "    and {} more", count(item.more_labels));
        }
    }
    page
}
