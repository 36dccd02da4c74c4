//! The comparison as a person sees it on a terminal, in at most 80 columns.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use crate::report::ClassLimit;
use crate::report::comparison::sparkline::sparkline;
use crate::report::comparison::{
    HEADLINES, interval, mark, moved, p_value, shown_metrics, signed, subtitle, verdict_lines, word,
};
use crate::report::numbers::{count, short};
use crate::report::table::{BOLD, DIM, WIDTH, aligned, wrapped};
use crate::report::text::{fitted, fitted_path, visible};
use embq_core::comparison::{CandidateComparison, Comparison, Verdict};
use embq_core::evaluation::GateOutcome;

/// Columns of a checkpoint's name where names are columns.
const NAME: usize = 12;

/// Checkpoints whose values stand side by side; of more, only their course is shown.
const SIDE_BY_SIDE: usize = 5;

/// Columns of a course.
const COURSE: usize = 30;

pub(super) fn render(comparison: &Comparison, classes: ClassLimit) -> String {
    let mut page = String::new();
    let names: Vec<&str> = comparison.checkpoints.iter().map(|checkpoint| checkpoint.name.as_str()).collect();
    let title = match &names[..] {
        [baseline, candidate] => format!("{} against {}", visible(candidate), visible(baseline)),
        [baseline, rest @ ..] => format!("{} checkpoints against {}", rest.len(), visible(baseline)),
        [] => String::new(),
    };
    let _ = writeln!(page, "{BOLD}{}{BOLD:#}", fitted_path(&title, WIDTH));
    let _ = writeln!(page, "{DIM}{}{DIM:#}\n", fitted(&subtitle(comparison), WIDTH));
    if let [only] = &comparison.candidates[..] {
        metrics(&mut page, only);
        verdicts(&mut page, only);
        for (title, classes) in moved(only, classes) {
            let lines = classes.iter().map(|class| {
                let change = class.silhouette;
                let numbers = [short(change.baseline), short(change.candidate), signed(change.delta)];
                let name = [fitted(&class.label, 24), count(class.count)];
                name.into_iter().chain(numbers).chain([interval(change.interval)]).collect()
            });
            let lines: Vec<Vec<String>> = lines.collect();
            if !lines.is_empty() {
                page.push('\n');
                aligned(&mut page, vec![title, "rows", "before", "after", "change", "95 % interval"], lines, 5);
            }
        }
    } else {
        overview(&mut page, comparison);
        for metric in HEADLINES {
            candidates(&mut page, comparison, metric);
        }
        for candidate in &comparison.candidates {
            most_moved(&mut page, candidate);
        }
    }
    gates(&mut page, &comparison.gates);
    if !comparison.warnings.is_empty() {
        page.push('\n');
    }
    for warning in &comparison.warnings {
        wrapped(&mut page, "note: ", &visible(warning), Style::new());
    }
    page
}

fn metrics(page: &mut String, candidate: &CandidateComparison) {
    let lines = shown_metrics(candidate).into_iter().map(|(name, difference)| {
        vec![
            format!("{} {name}", mark(difference.verdict)),
            short(difference.baseline),
            short(difference.candidate),
            signed(difference.delta),
            interval(difference.interval),
            p_value(difference),
        ]
    });
    aligned(page, vec!["  metric", "before", "after", "change", "95 % interval", "p"], lines.collect(), 5);
}

fn verdicts(page: &mut String, candidate: &CandidateComparison) {
    let lines = verdict_lines(candidate);
    if !lines.is_empty() {
        page.push('\n');
    }
    for (verdict, line) in lines {
        let mark = format!("{} ", mark(Some(verdict)));
        let mut told = String::new();
        wrapped(&mut told, "  ", &line, style(verdict));
        // The mark takes the place of the indentation, which has its width.
        let _ = write!(page, "{}", told.replacen("  ", &mark, 1));
    }
}

fn style(verdict: Verdict) -> Style {
    match verdict {
        Verdict::Better => Style::new().fg_color(Some(AnsiColor::Green.into())),
        Verdict::Worse => Style::new().fg_color(Some(AnsiColor::Red.into())),
        Verdict::NoDifferenceShown => Style::new(),
    }
}

/// Every metric of every checkpoint, side by side or as a course, and which is best.
fn overview(page: &mut String, comparison: &Comparison) {
    let Some(first) = comparison.candidates.first() else { return };
    let side_by_side = comparison.checkpoints.len() <= SIDE_BY_SIDE;
    let names: Vec<String> =
        comparison.checkpoints.iter().map(|checkpoint| fitted_path(&checkpoint.name, NAME)).collect();
    let mut lines = Vec::new();
    for (name, _) in shown_metrics(first) {
        let values: Vec<Option<f64>> =
            comparison.checkpoints.iter().map(|one| one.result.metrics.get(name).copied().flatten()).collect();
        let best = comparison.best.get(name);
        let mut line = vec![fitted(name, 21)];
        if side_by_side {
            line.extend(comparison.checkpoints.iter().zip(&values).map(|(checkpoint, value)| {
                let star = if best == Some(&checkpoint.name) { "*" } else { " " };
                format!("{}{star}", short(*value))
            }));
        } else {
            let ends = [values.first(), values.last()].map(|value| short(value.copied().flatten()));
            let [first, last] = ends;
            line.extend([first, sparkline(&values, COURSE), last]);
            line.push(best.map_or_else(|| "-".to_owned(), |best| fitted_path(best, NAME)));
        }
        lines.push(line);
    }
    if side_by_side {
        let titles: Vec<&str> = std::iter::once("metric").chain(names.iter().map(String::as_str)).collect();
        aligned(page, titles, lines, names.len());
        let _ = writeln!(page, "{DIM}* the best{DIM:#}");
    } else {
        aligned(page, vec!["metric", "first", "course", "last", "best"], lines, 1);
    }
}

/// Every candidate by one metric.
fn candidates(page: &mut String, comparison: &Comparison, metric: &str) {
    let known = comparison.candidates.iter().filter_map(|candidate| Some((candidate, candidate.metrics.get(metric)?)));
    let best = comparison.best.get(metric);
    let lines: Vec<Vec<String>> = known
        .map(|(candidate, difference)| {
            let star = if best == Some(&candidate.name) { "*" } else { " " };
            vec![
                format!("{}{star}", fitted_path(&candidate.name, 18)),
                short(difference.candidate),
                signed(difference.delta),
                interval(difference.interval),
                p_value(difference),
                if difference.verdict == Some(Verdict::NoDifferenceShown) { "none" } else { word(difference.verdict) }
                    .to_owned(),
            ]
        })
        .collect();
    if !lines.is_empty() {
        page.push('\n');
        aligned(page, vec![metric, "value", "change", "95 % interval", "p", "shown"], lines, 4);
    }
}

/// The classes that moved most, in a line.
fn most_moved(page: &mut String, candidate: &CandidateComparison) {
    let one = |classes: Vec<&embq_core::comparison::ClassDifference>| {
        let class = *classes.first()?;
        Some(format!("{} ({})", visible(&class.label), signed(class.silhouette.delta)))
    };
    let told = [("gained", one(candidate.gained(1))), ("lost", one(candidate.lost(1)))];
    let told: Vec<String> =
        told.into_iter().filter_map(|(what, class)| Some(format!("{what} most {}", class?))).collect();
    if !told.is_empty() {
        let line = format!("{}: {}", visible(&candidate.name), told.join(", "));
        wrapped(page, "", &line, Style::new());
    }
}

fn gates(page: &mut String, gates: &[GateOutcome]) {
    if !gates.is_empty() {
        page.push('\n');
    }
    for gate in gates {
        let (colour, verdict) = if gate.failed { (AnsiColor::Red, "FAILED") } else { (AnsiColor::Green, "held") };
        let of = gate.checkpoint.as_ref().map(|name| format!(" for {}", visible(name))).unwrap_or_default();
        let style = Style::new().fg_color(Some(colour.into())).bold();
        wrapped(
            page,
            "",
            &format!("gate {verdict}{of}: {} ({})", visible(&gate.expression), visible(&gate.detail)),
            style,
        );
    }
}
