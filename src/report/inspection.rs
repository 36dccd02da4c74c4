//! The contents of a file, for `embq inspect`.

use std::fmt::Write as _;

use crate::report::blocks::bar;
use crate::report::numbers::{count, percent, short};
use crate::report::terminal::{WIDTH, broken};
use crate::report::text::{fitted, fitted_path, width};
use embq_core::data::Chosen;
use embq_files::input::Inspection;

/// The width of the bars of a histogram.
const BAR: usize = 28;

/// The maximum width of a label.
const NAME: usize = 24;

/// Writes a sentence wrapped to the width of the page, with a mark before the first line.
fn wrapped(page: &mut String, mark: &str, text: &str) {
    for (index, line) in broken(text, WIDTH - mark.len()).iter().enumerate() {
        let start = if index == 0 { mark.to_owned() } else { " ".repeat(mark.len()) };
        let _ = writeln!(page, "{start}{line}");
    }
}

/// The page for one file.
pub fn table(inspection: &Inspection) -> String {
    let mut page = String::new();
    let _ = writeln!(page, "{}", fitted_path(&inspection.path, WIDTH));
    let _ = writeln!(page, "{}, {} bytes", inspection.format, count(inspection.bytes as usize));
    if let Some(choice) = &inspection.choice {
        let what = choice.selector.clone().unwrap_or_else(|| choice.columns.join(", "));
        let how = match choice.chosen {
            Chosen::Only => "the only vectors",
            Chosen::Series => "a series of numbered columns",
            Chosen::Floats => "all columns of floats",
            Chosen::Selector => "selected",
        };
        page.push('\n');
        wrapped(&mut page, "", &format!("without a selector, {what} is read as embeddings ({how})"));
        for note in &choice.notes {
            wrapped(&mut page, "  note: ", note);
        }
    } else if let Some(refused) = &inspection.refused {
        page.push('\n');
        wrapped(&mut page, "", &format!("without a selector, nothing is read as embeddings: {}", refused.problem));
        if let Some(tip) = &refused.tip {
            wrapped(&mut page, "  tip: ", tip);
        }
    }
    for item in &inspection.items {
        let shape: Vec<String> = item.shape.iter().map(|&length| count(length)).collect();
        let name = item.name.as_deref().map(|name| fitted(name, 40) + "  ").unwrap_or_default();
        let _ = write!(page, "\n{name}{} {}", item.dtype, shape.join(" x "));
        if let (Some(smallest), Some(largest)) = (item.minimum, item.maximum) {
            // Integers are shown exactly.
            let whole = !item.dtype.starts_with('f') && smallest.abs().max(largest.abs()) < 1e15;
            let number =
                |value: f64| if whole && value.fract() == 0.0 { value.to_string() } else { short(Some(value)) };
            let _ = write!(page, "  from {} to {}", number(smallest), number(largest));
        }
        page.push('\n');
        for (number, what) in [(item.nulls, "missing"), (item.nans, "NaN"), (item.infinities, "infinite")] {
            if number > 0 {
                let _ = writeln!(page, "  {} {what}", count(number as usize));
            }
        }
        let use_as = match (item.embeddings, item.labels) {
            _ if item.kind == "index" => "an index of rows, used as a dimension only if selected",
            (true, true) => "can be embeddings or labels",
            (true, false) => "can be embeddings",
            (false, true) => "can be labels",
            (false, false) => "can be neither embeddings nor labels",
        };
        let distinct = item.distinct.map(|distinct| format!(", {} distinct", count(distinct))).unwrap_or_default();
        let _ = writeln!(page, "  {use_as}{distinct}");
        if let Some(problem) = &item.problem {
            wrapped(&mut page, "  ", problem);
        }
        let most = item.histogram.iter().map(|entry| entry.count).max().unwrap_or(1).max(1);
        let rows = item.shape.first().copied().unwrap_or(0).max(1);
        let names: Vec<String> = item.histogram.iter().map(|entry| fitted(&entry.label, NAME)).collect();
        let room = names.iter().map(|name| width(name)).max().unwrap_or(0);
        for (entry, name) in item.histogram.iter().zip(&names) {
            let gap = " ".repeat(room - width(name));
            let share = percent(Some(entry.count as f64 / rows as f64));
            let bar = bar((BAR * entry.count) as f64 / most as f64);
            let _ = writeln!(page, "    {name}{gap} {:>9} {share:>8}  {bar}", count(entry.count));
        }
        if item.more_labels > 0 {
            let _ = writeln!(page, "    and {} more", count(item.more_labels));
        }
    }
    page
}
