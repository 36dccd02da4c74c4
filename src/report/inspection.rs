//! What is in a file, for `embq inspect`.

use std::fmt::Write as _;

use crate::report::numbers::{count, short};
use crate::report::text::{fitted, fitted_path};

/// One array or column of a file.
pub struct Item<'a> {
    pub name: Option<&'a str>,
    pub dtype: &'a str,
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
const BAR: usize = 30;

/// The page for one file.
pub fn table(path: &str, format: &str, bytes: u64, items: &[Item<'_>]) -> String {
    let mut page = String::new();
    let _ = writeln!(page, "{}", fitted_path(path, 80));
    let _ = writeln!(page, "{format}, {} bytes", count(bytes as usize));
    for item in items {
        let shape: Vec<String> = item.shape.iter().map(|&length| count(length)).collect();
        let name = item.name.map(|name| fitted(name, 40) + "  ").unwrap_or_default();
        let _ = write!(page, "\n{name}{} {}", item.dtype, shape.join(" x "));
        if let Some((smallest, largest)) = item.range {
            let _ = write!(page, "  from {} to {}", short(Some(smallest)), short(Some(largest)));
        }
        page.push('\n');
        for (number, what) in [(item.missing, "missing"), (item.nans, "NaN"), (item.infinities, "infinite")] {
            if number > 0 {
                let _ = writeln!(page, "  {} {what}", count(number as usize));
            }
        }
        let use_as = match (item.embeddings, item.labels) {
            (true, true) => "can be embeddings or labels",
            (true, false) => "can be embeddings",
            (false, true) => "can be labels",
            (false, false) => "can be neither embeddings nor labels",
        };
        let distinct = item.distinct.map(|distinct| format!(", {} distinct", count(distinct))).unwrap_or_default();
        let _ = writeln!(page, "  {use_as}{distinct}");
        if let Some(problem) = item.problem {
            let _ = writeln!(page, "  {problem}");
        }
        let most = item.histogram.iter().map(|(_, rows)| *rows).max().unwrap_or(1).max(1);
        for (label, rows) in &item.histogram {
            let bar = "▇".repeat((rows * BAR).div_ceil(most));
            let label = fitted(label, 24);
            let gap = " ".repeat(24 - crate::report::text::width(&label));
            let _ = writeln!(page, "    {label}{gap} {:>10} {bar}", count(*rows));
        }
        if item.more_labels > 0 {
            let _ = writeln!(page, "    and {} more", count(item.more_labels));
        }
    }
    page
}
