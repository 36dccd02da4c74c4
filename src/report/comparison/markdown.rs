//! The comparison as Markdown, as GitHub shows it.

use std::fmt::Write as _;

use crate::report::ClassLimit;
use crate::report::comparison::sparkline::sparkline;
use crate::report::comparison::{interval, moved, p_value, shown_metrics, signed, subtitle, word};
use crate::report::markdown::escaped;
use crate::report::numbers::{count, short};
use embq_core::comparison::{CandidateComparison, Comparison};
use embq_core::evaluation::GateOutcome;

pub(super) fn render(comparison: &Comparison, classes: ClassLimit) -> String {
    let mut text = String::new();
    let names: Vec<String> = comparison.checkpoints.iter().map(|checkpoint| escaped(&checkpoint.name)).collect();
    let (baseline, others) = names.split_first().map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let title = if let [only] = others { only.clone() } else { format!("{} checkpoints", others.len()) };
    let _ = writeln!(text, "## embq: {title} against {baseline}\n\n{}\n", escaped(&subtitle(comparison)));
    gates(&mut text, &comparison.gates);
    if comparison.candidates.len() > 1 {
        overview(&mut text, comparison, &names);
    }
    for candidate in &comparison.candidates {
        if comparison.candidates.len() > 1 {
            let _ = writeln!(text, "### {}\n", escaped(&candidate.name));
        }
        differences(&mut text, candidate, classes);
    }
    for warning in &comparison.warnings {
        let _ = writeln!(text, "> {}\n", escaped(warning));
    }
    text
}

fn gates(text: &mut String, gates: &[GateOutcome]) {
    if gates.is_empty() {
        return;
    }
    text.push_str("| gate | checkpoint | | values |\n|---|---|---|---|\n");
    for gate in gates {
        let verdict = if gate.failed { "**failed**" } else { "held" };
        let checkpoint = gate.checkpoint.as_deref().unwrap_or("");
        let expression = gate.expression.replace('`', "'").replace('|', "\\|");
        let _ = writeln!(text, "| `{expression}` | {} | {verdict} | {} |", escaped(checkpoint), escaped(&gate.detail));
    }
    text.push('\n');
}

/// Every metric of every checkpoint, with its course and its best in bold.
fn overview(text: &mut String, comparison: &Comparison, names: &[String]) {
    let _ = writeln!(text, "| metric | {} | trend |\n|---|{}---|", names.join(" | "), "---:|".repeat(names.len()));
    let Some(first) = comparison.candidates.first() else { return };
    for (name, _) in shown_metrics(first) {
        let values: Vec<Option<f64>> =
            comparison.checkpoints.iter().map(|one| one.result.metrics.get(name).copied().flatten()).collect();
        let best = comparison.best.get(name);
        let cells: Vec<String> = comparison
            .checkpoints
            .iter()
            .zip(&values)
            .map(|(checkpoint, value)| {
                let value = short(*value);
                if best == Some(&checkpoint.name) { format!("**{value}**") } else { value }
            })
            .collect();
        let _ = writeln!(text, "| {name} | {} | {} |", cells.join(" | "), sparkline(&values, 40));
    }
    text.push('\n');
}

fn differences(text: &mut String, candidate: &CandidateComparison, limit: ClassLimit) {
    text.push_str("| metric | baseline | candidate | difference | 95 % interval | p | verdict |\n");
    text.push_str("|---|---:|---:|---:|---|---:|---|\n");
    for (name, difference) in shown_metrics(candidate) {
        let numbers = [short(difference.baseline), short(difference.candidate), signed(difference.delta)];
        let tested = [interval(difference.interval), p_value(difference), word(difference.verdict).to_owned()];
        let _ = writeln!(text, "| {name} | {} | {} |", numbers.join(" | "), tested.join(" | "));
    }
    text.push('\n');
    for (title, classes) in moved(candidate, limit) {
        if classes.is_empty() {
            continue;
        }
        let _ = writeln!(text, "| {title} | rows | before | after | difference | 95 % interval |");
        text.push_str("|---|---:|---:|---:|---:|---|\n");
        for class in classes {
            let change = class.silhouette;
            let numbers =
                [short(change.baseline), short(change.candidate), signed(change.delta), interval(change.interval)];
            let _ = writeln!(text, "| {} | {} | {} |", escaped(&class.label), count(class.count), numbers.join(" | "));
        }
        text.push('\n');
    }
}
