//! The silhouette plot on a terminal: the rows of each class, largest silhouette first, as bars of block characters.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::report::blocks;
use crate::report::numbers::{count, short};
use crate::report::summary::View;
use crate::report::terminal::{BOLD, DIM, WIDTH};
use crate::report::text::{fitted, width};
use embq_core::evaluation::Evaluation;

/// Columns for the name of a class at most, and for its mean.
const NAME: usize = 22;
const MEAN: usize = 8;

/// Lines that the classes share, by their rows.
const LINES: usize = 44;

const NEGATIVE: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Red)));
const POSITIVE: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan)));

/// Where numbers lie among the columns of the bars; 0 is the left border of a column.
struct Axis {
    /// Columns of the bars.
    bars: usize,
    zero: usize,
    /// The number that one column stands for.
    column: f64,
}

impl Axis {
    fn over(values: &[f64], bars: usize) -> Self {
        let lowest = values.iter().copied().fold(0.0, f64::min);
        let highest = values.iter().copied().fold(0.0, f64::max);
        if highest - lowest <= 0.0 {
            return Axis { bars, zero: 0, column: 1.0 / bars as f64 };
        }
        let share = -lowest / (highest - lowest);
        let mut zero = (share * bars as f64).round() as usize;
        if lowest < 0.0 {
            zero = zero.max(1);
        }
        if highest > 0.0 {
            zero = zero.min(bars - 1);
        }
        let needed = |length: f64, columns: usize| if columns > 0 { length / columns as f64 } else { 0.0 };
        Axis { bars, zero, column: needed(-lowest, zero).max(needed(highest, bars - zero)) }
    }

    /// The column that a number lies in.
    fn at(&self, value: f64) -> usize {
        let place = self.zero as f64 + value / self.column;
        (place.floor().max(0.0) as usize).min(self.bars - 1)
    }
}

/// The plot of the classes that the view shows. `classes` and `silhouettes` are those of the scored rows.
pub fn render(evaluation: &Evaluation, classes: &[u32], silhouettes: &[f64], view: &View) -> String {
    let mut page = String::new();
    let (shown, hidden) = view.classes(evaluation);
    let names = shown.iter().map(|class| width(&fitted(&class.label, NAME))).max().unwrap_or(0).max(5);
    let axis = Axis::over(silhouettes, WIDTH - names - MEAN - 2);
    let overall = silhouettes.iter().sum::<f64>() / silhouettes.len().max(1) as f64;
    let overall = evaluation.metrics.get("silhouette").copied().flatten().unwrap_or(overall);
    let _ = writeln!(
        page,
        "\n{BOLD}silhouettes of all rows, class by class{BOLD:#}  {DIM}╎ mean {}{DIM:#}",
        short(Some(overall))
    );
    let mut rows: Vec<Vec<f64>> = vec![Vec::new(); evaluation.classes.len()];
    for (&class, &silhouette) in classes.iter().zip(silhouettes) {
        rows[class as usize].push(silhouette);
    }
    let of_class = |label: &str| evaluation.classes.iter().position(|class| class.label == label);
    let shown: Vec<usize> = shown.into_iter().filter_map(|class| of_class(&class.label)).collect();
    let total: usize = shown.iter().map(|&class| rows[class].len()).sum();
    for class in shown {
        let sorted = &mut rows[class];
        sorted.sort_by(|left, right| right.total_cmp(left));
        let lines = ((LINES * sorted.len()) as f64 / total.max(1) as f64).round() as usize;
        let lines = lines.clamp(1, sorted.len().max(1));
        let told = &evaluation.classes[class];
        for line in 0..lines {
            let some = &sorted[line * sorted.len() / lines..(line + 1) * sorted.len() / lines];
            let mean = some.iter().sum::<f64>() / some.len().max(1) as f64;
            let name = if line == 0 { fitted(&told.label, NAME) } else { String::new() };
            let gap = " ".repeat(names - width(&name) + 1);
            let _ = write!(page, "{name}{gap}{}", bar(mean, &axis, overall));
            let class_mean = if line == 0 { short(told.silhouette) } else { String::new() };
            let _ = writeln!(page, " {class_mean:>MEAN$}");
        }
    }
    trim_ends(&mut page);
    let _ = writeln!(page, "{DIM}{}{DIM:#}", ticks(&axis, names + 1).trim_end());
    if hidden > 0 {
        let _ = writeln!(page, "{DIM}{} more: --classes all{DIM:#}", count(hidden));
    }
    page
}

/// No line ends in spaces.
fn trim_ends(page: &mut String) {
    let lines: Vec<&str> = page.lines().map(str::trim_end).collect();
    *page = lines.join("\n") + "\n";
}

/// One bar from 0 to the value, with the overall mean where the bar leaves it free.
fn bar(value: f64, axis: &Axis, overall: f64) -> String {
    let mut cells = vec![' '; axis.bars];
    let mean = axis.at(overall);
    cells[mean] = '╎';
    let length = value.abs() / axis.column;
    let style = if value < 0.0 {
        // Block characters grow from the left only: towards the left there is nothing finer than half a column.
        let halves = (length * 2.0).round() as usize;
        let from = axis.zero.saturating_sub(halves / 2);
        cells[from..axis.zero].fill('█');
        if !halves.is_multiple_of(2) && from > 0 {
            cells[from - 1] = '▐';
        }
        NEGATIVE
    } else {
        for (cell, block) in cells[axis.zero..].iter_mut().zip(blocks::bar(length).chars()) {
            *cell = block;
        }
        POSITIVE
    };
    let mut text = String::new();
    let mut drawn = false;
    for cell in cells {
        let is_bar = !matches!(cell, ' ' | '╎');
        if is_bar != drawn {
            let _ = if is_bar { write!(text, "{style}") } else { write!(text, "{style:#}") };
            drawn = is_bar;
        }
        text.push(cell);
    }
    if drawn {
        let _ = write!(text, "{style:#}");
    }
    text
}

/// Round numbers under the bars.
fn ticks(axis: &Axis, left: usize) -> String {
    let span = axis.column * axis.bars as f64;
    let step = [0.05, 0.1, 0.2, 0.25, 0.5].into_iter().find(|step| span / step <= 7.0).unwrap_or(0.5);
    let mut line = vec![' '; WIDTH];
    let (first, last) = (-(axis.zero as f64) * axis.column / step, (axis.bars - axis.zero) as f64 * axis.column / step);
    let mut free = 0;
    for tick in first.ceil() as i64..=last.floor() as i64 {
        let text = format!("{}", (tick as f64 * step * 100.0).round() / 100.0 + 0.0);
        let border = left + (axis.zero as f64 + tick as f64 * step / axis.column).round() as usize;
        let start = border.saturating_sub(text.len() / 2);
        if start >= free && start + text.len() <= WIDTH {
            for (place, character) in text.chars().enumerate() {
                line[start + place] = character;
            }
            free = start + text.len() + 1;
        }
    }
    line.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn bars_start_at_0_and_have_one_width() {
        let axis = Axis::over(&[-0.5, 1.0], 60);
        for value in [-0.5, -0.26, 0.0, 0.333, 1.0] {
            assert_eq!(width(&plain(&bar(value, &axis, 0.4))), 60, "{value}");
        }
        let positive = plain(&bar(1.0, &axis, 0.4));
        assert!(positive.starts_with(&" ".repeat(20)) && positive.ends_with('█'), "{positive}");
        let negative = plain(&bar(-0.5, &axis, 0.4));
        assert_eq!(negative.chars().take(20).filter(|&cell| cell == '█').count(), 20);
    }

    #[test]
    fn values_of_one_sign_use_all_columns() {
        assert_eq!(Axis::over(&[0.1, 0.9], 60).zero, 0);
        assert_eq!(Axis::over(&[-0.1, -0.9], 60).zero, 60);
        assert_eq!(width(&plain(&bar(-0.9, &Axis::over(&[-0.1, -0.9], 60), -0.5))), 60);
        assert_eq!(width(&plain(&bar(0.0, &Axis::over(&[0.0], 60), 0.0))), 60);
    }

    #[test]
    fn numbers_stand_under_the_axis() {
        let line = ticks(&Axis::over(&[-0.4, 0.8], 60), 10);
        assert!(line.contains("-0.4") && line.contains(" 0 ") && line.contains("0.8"), "{line}");
        assert!(width(&line) <= WIDTH);
    }
}
