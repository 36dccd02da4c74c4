//! Pairs of rows by distance on a terminal: pairs of one class to the left, pairs of two to the right.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::report::blocks;
use crate::report::numbers::{percent, short};
use crate::report::terminal::{BOLD, DIM, WIDTH};
use crate::report::text::width;
use embq_core::evaluation::PairCurves;

/// Lines from distance 0 to the largest.
const LINES: usize = 20;

/// Columns of a distance.
const DISTANCE: usize = 9;

const SAME: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Cyan)));
const DIFFERENT: Style = Style::new().fg_color(Some(anstyle::Color::Ansi(AnsiColor::Yellow)));

/// The two histograms, and the distance at which errors are equal.
pub fn render(curves: &PairCurves) -> String {
    let bars = columns();
    let lines = |shares: &[f64]| -> Vec<f64> {
        let of_line = |line: usize| &shares[line * shares.len() / LINES..(line + 1) * shares.len() / LINES];
        (0..LINES).map(|line| of_line(line).iter().sum()).collect()
    };
    let (same, different) = (lines(&curves.same), lines(&curves.different));
    let most = same.iter().chain(&different).copied().fold(0.0, f64::max);
    let threshold = (curves.threshold / curves.largest * LINES as f64) as usize;
    let mut page = format!("\n{BOLD}pairs of rows by distance{BOLD:#}\n");
    let _ = writeln!(page, "{:DISTANCE$}   {DIM}{:<bars$} two classes{DIM:#}", "", "one class");
    for (line, (same, different)) in same.iter().zip(&different).enumerate() {
        let bar = |share: f64| if most > 0.0 { blocks::bar(share / most * bars as f64) } else { String::new() };
        let (left, right) = (bar(*same), bar(*different));
        let gap = " ".repeat(bars.saturating_sub(width(&left)));
        let start = curves.largest * line as f64 / LINES as f64;
        let mark = if line == threshold.min(LINES - 1) { '>' } else { ' ' };
        let _ = write!(page, "{:>DISTANCE$} {mark} {SAME}{left}{SAME:#}", short(Some(start)));
        let _ = if right.is_empty() { writeln!(page) } else { writeln!(page, "{gap} {DIFFERENT}{right}{DIFFERENT:#}") };
    }
    let (rate, threshold) = (percent(Some(curves.equal_error)), short(Some(curves.threshold)));
    let _ = writeln!(page, "{:DISTANCE$} {DIM}> equal error rate {rate} at {threshold}{DIM:#}", "");
    page
}

/// Columns of the longest bar.
fn columns() -> usize {
    (WIDTH - DISTANCE - 4) / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plot_fits_the_line_and_marks_the_threshold() {
        let shares = |place: usize| (0..80).map(|bin| if bin / 4 == place { 0.25 } else { 0.0 }).collect::<Vec<f64>>();
        let curves = PairCurves {
            largest: 2.0,
            same: shares(3),
            different: shares(12),
            rates: vec![[0.0, 0.0], [1.0, 1.0]],
            equal_error: 0.125,
            threshold: 0.55,
        };
        let text = anstream::adapter::strip_str(&render(&curves)).to_string();
        assert!(text.lines().all(|line| width(line.trim_end()) <= WIDTH), "{text}");
        let marked: Vec<&str> = text.lines().filter(|line| line.contains('>')).collect();
        assert_eq!(marked.len(), 2, "{text}");
        assert!(marked[0].trim_start().starts_with("0.5000 >"), "{text}");
        assert!(marked[1].ends_with("> equal error rate 12.5 % at 0.5500"), "{text}");
        assert_eq!(text.matches('█').count(), 2 * columns(), "{text}");
    }
}
