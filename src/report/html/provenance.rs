//! The origin of the numbers: inputs, settings, version, and the command that recreates the page.

use maud::{Markup, html};

use crate::report::numbers::{count, temperature};
use crate::report::text::visible;
use embq_core::evaluation::Evaluation;

/// Names and values as a list.
pub(super) fn list(entries: &[(&str, String)]) -> Markup {
    html! {
        dl {
            @for (name, value) in entries {
                dt { (name) } dd { (value) }
            }
        }
    }
}

pub(super) fn section(evaluation: &Evaluation, command: Option<&str>) -> Markup {
    let settings = &evaluation.settings;
    let mut inputs: Vec<(&str, String)> = Vec::new();
    for input in &evaluation.inputs {
        let selector = input.selector.as_deref().map(|selector| format!(":{selector}")).unwrap_or_default();
        inputs.push(("embeddings", visible(&format!("{}{selector}", input.path))));
        inputs.push((
            "shape",
            format!("{} rows of {} dimensions, {}", count(input.rows), count(input.dimensions), input.dtype),
        ));
        if let Some(hash) = &input.blake3 {
            inputs.push(("BLAKE3 of the values", hash.clone()));
        }
    }
    if let Some(labels) = &evaluation.labels {
        let single = if labels.singletons > 0 {
            format!(", {} with a single row", count(labels.singletons))
        } else {
            String::new()
        };
        inputs.push(("labels", visible(&labels.name())));
        inputs.push(("classes", format!("{} ({}){single}", count(labels.classes), labels.label_type.name())));
        inputs.push(("BLAKE3 of the labels", labels.blake3.clone()));
    }
    let found = if settings.temperature_auto { " (found by auto)" } else { "" };
    let mut used = vec![("distance", settings.distance.to_string())];
    if evaluation.labels.is_some() {
        used.push(("temperature", format!("{}{found}", temperature(settings))));
    }
    used.extend([("precision of products", settings.precision.name().to_owned()), ("seed", settings.seed.to_string())]);
    if let Some(pairs) = &settings.pairs {
        used.push(("pairs verified", visible(pairs)));
    }
    if let Some(weights) = &settings.row_weights {
        used.push(("row weights", visible(weights)));
    }
    if let Some(rows) = settings.rows.subsample {
        used.push(("rows scored", count(rows)));
    }
    if let Some(left_out) = crate::report::summary::left_out_note(&evaluation.excluded) {
        used.push(("left out", left_out));
    }
    used.push(("embq", evaluation.envelope.embq_version.clone()));
    html! {
        div class="pair" {
            div { h3 { "Inputs" } (list(&inputs)) }
            div { h3 { "Settings" } (list(&used)) }
        }
        @if let Some(line) = command { (self::command(line)) }
    }
}

/// The command line that recreates the page.
pub(super) fn command(line: &str) -> Markup {
    html! {
        h3 { "Command" }
        pre tabindex="0" { code { (visible(line)) } }
    }
}
