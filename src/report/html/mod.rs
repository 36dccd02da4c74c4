//! The HTML page, a single self-contained file.
//!
//! It is drawn from plain data. User text reaches it only as escaped parts of templates. The script only adds sorting,
//! searching and hints; everything is readable without it.

mod checkpoints;
mod class_changes;
mod class_table;
mod comparison;
mod distribution;
mod drift;
mod headline;
mod heat_map;
mod joint_projection;
mod projection;
mod provenance;
mod scale;
mod silhouette_plot;
mod spectrum;
mod suspects;
mod verification;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::report::score::subtitle;
use crate::report::summary::{notes, stands_out};
use crate::report::text::visible;
use embq_core::comparison::Comparison;
use embq_core::detail::{Checkpoint, Detail};
use embq_core::drift::{DriftResult, JointProjection};
use embq_core::evaluation::{Evaluation, GateOutcome, InputDescription};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Forbids loading anything.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; \
                      base-uri 'none'; form-action 'none'";

/// A part of the page with a heading.
struct Section {
    id: &'static str,
    title: &'static str,
    content: Markup,
}

/// The page of one input. `command` is the command line that recreates it.
pub fn render(detail: &Detail, command: Option<&str>) -> String {
    let evaluation = &detail.evaluation;
    let path = evaluation.inputs.first().map(InputDescription::name).unwrap_or_default();
    // Files usually differ in the ends of their paths.
    let name = path.rsplit(['/', '\\']).next().unwrap_or(&path);
    page(&visible(name), &subtitle(evaluation), &sections(detail, command)).into_string()
}

/// What a notebook shows of a result, as a part of its page: headline, silhouette plot and classes.
pub fn fragment(detail: &Detail) -> String {
    let evaluation = &detail.evaluation;
    let series = silhouette_plot::series(evaluation, detail.scores);
    let markup = html! {
        div class="embq-report" {
            style { (PreEscaped(scoped_style())) }
            p class="subtitle" { (subtitle(evaluation)) }
            (glance(evaluation))
            @if !series.is_empty() && !detail.classes.is_empty() { (silhouette_plot::plots(detail, &series)) }
            @if evaluation.labels.is_some() { (class_table::table(evaluation)) }
        }
    };
    markup.into_string()
}

/// The style sheet for a part of somebody else's page: by nesting, its rules hold inside of the part only.
fn scoped_style() -> String {
    let style = STYLE.replace(":root", "&").replace("\nbody {", "\n& {");
    format!(
        ".embq-report {{\n{style}\nmargin: 0; padding: 4px 16px 16px; .scroll {{ max-height: 24rem; }} .cards {{ margin: 12px 0 \
         18px; }} .pair {{ margin-bottom: 18px; }}\n}}"
    )
}

/// The page of drift between two sets, with their rows in two dimensions if given. `command` is the command line that
/// recreates it.
pub fn render_drift(result: &DriftResult, projection: Option<&JointProjection>, command: Option<&str>) -> String {
    let [reference, current] = drift::names(result);
    let title = format!("{} against {}", visible(&current), visible(&reference));
    page(&title, &crate::report::drift::subtitle(result), &drift::sections(result, projection, command)).into_string()
}

/// The page of several checkpoints, in their order, with what a comparison of them found. `command` is the command line
/// that recreates it.
pub fn render_checkpoints(
    checkpoints: &[Checkpoint],
    comparison: Option<&Comparison>,
    command: Option<&str>,
) -> String {
    let name = |checkpoint: Option<&Checkpoint>| visible(checkpoint.map_or("", |checkpoint| &checkpoint.name));
    let title = format!("{} to {}", name(checkpoints.first()), name(checkpoints.last()));
    let common = checkpoints.first().map_or_else(String::new, |first| subtitle(&first.evaluation));
    let subtitle = format!("{} checkpoints · {common}", checkpoints.len());
    page(&title, &subtitle, &checkpoint_sections(checkpoints, comparison, command)).into_string()
}

fn checkpoint_sections(
    checkpoints: &[Checkpoint],
    comparison: Option<&Comparison>,
    command: Option<&str>,
) -> Vec<Section> {
    let has_intervals = checkpoints.iter().any(|checkpoint| !checkpoint.evaluation.intervals.is_empty());
    let lines = html! {
        p {
            "Each metric from the first checkpoint to the last."
            @if has_intervals { " The band is the 95 % interval, where a metric has one." }
        }
        (checkpoints::lines(checkpoints))
    };
    let silhouettes = html! {
        p {
            "One bar per row, class by class, in the order of the last checkpoint: worst class first. The scale is the "
            "same in all plots."
        }
        (checkpoints::silhouettes(checkpoints))
    };
    let origins = html! {
        @for checkpoint in checkpoints {
            h3 { bdi { (visible(&checkpoint.name)) } }
            (provenance::section(&checkpoint.evaluation, None))
        }
        @if let Some(command) = command { (provenance::command(command)) }
    };
    let mut sections = vec![Section { id: "metrics", title: "Metrics over checkpoints", content: lines }];
    let mut add = |id, title, content| sections.push(Section { id, title, content });
    if let Some(comparison) = comparison {
        let content = html! {
            (comparison::differences(comparison))
            (gate_lines(&comparison.gates))
            (note_list(&comparison.warnings))
        };
        add("verdicts", "Against the baseline", content);
    }
    if let Some(similarities) = comparison.and_then(|comparison| comparison.similarities.as_ref()) {
        let names: Vec<&str> = checkpoints.iter().map(|checkpoint| checkpoint.name.as_str()).collect();
        add("similarity", "How similar the spaces are", comparison::similarities(&names, similarities));
    }
    add("changes", "What changed in the classes", checkpoints::class_changes(checkpoints));
    if checkpoints.iter().any(|checkpoint| !checkpoint.scores.silhouette.is_empty()) {
        add("silhouettes", "Silhouettes side by side", silhouettes);
    }
    add("numbers", "All metrics", checkpoints::table(checkpoints));
    add("origin", "How this page was made", origins);
    sections
}

fn sections(detail: &Detail, command: Option<&str>) -> Vec<Section> {
    let evaluation = &detail.evaluation;
    // Silhouettes of a sample are not those of the rows.
    let series = if detail.is_sample { Vec::new() } else { silhouette_plot::series(evaluation, detail.scores) };
    let mut sections = vec![Section { id: "glance", title: "At a glance", content: glance(evaluation) }];
    let mut add = |id, title, content| sections.push(Section { id, title, content });
    if !series.is_empty() {
        let content = html! {
            p {
                "One bar per row, class by class, worst class first: the further it reaches to the right, the better the row "
                "fits its class. Rows to the left of 0 lie closer to another class. The dashed line is the mean."
            }
            (silhouette_plot::plots(detail, &series))
        };
        add("silhouettes", "Silhouettes", content);
        let content = html! {
            div class="pair" { (distribution::histogram(&series)) (distribution::classes(detail)) }
        };
        add("distribution", "Distribution", content);
    }
    if evaluation.labels.is_some() {
        add("classes", "Classes", class_table::table(evaluation));
    }
    if let Some(curves) = detail.pair_curves {
        add("verification", "Same or different", verification::plots(curves));
    }
    if let Some(map) = &detail.map {
        let content = html! {
            p {
                "Classes that lie close together are adjacent (average linkage). The diagonal is the distance within "
                "a class: dark cells off the diagonal are pairs of classes as close as rows of the same class."
            }
            div class="pair" { (heat_map::map(detail, map)) (heat_map::pairs(evaluation, &detail.confused)) }
        };
        add("neighbours", "Which classes are close", content);
    }
    if let Some(found) = &detail.projection {
        add("projection", "Rows in two dimensions", projection::plot(detail, found));
    }
    if !detail.suspects.is_empty() {
        let content = html! {
            p {
                "Rows whose surroundings contradict their label, most suspicious first: they lie closer to another class, "
                "or their neighbours have another label. Some are mislabelled, others merely hard."
            }
            (suspects::table(detail, &detail.suspects))
        };
        add("suspects", "Suspicious rows", content);
    }
    if let Some(found) = &detail.spectrum {
        let content = html! { (spectrum::sentence(found)) (spectrum::plots(found)) };
        add("spectrum", "Spectrum", content);
    }
    add("metrics", "All metrics", class_table::all_metrics(evaluation));
    let origin = html! {
        (provenance::section(evaluation, command))
        @if detail.is_sample {
            p class="aside" {
                "The numbers are those of all rows, from states of their parts. States hold no single rows but a sample, so "
                "this page has no silhouettes of rows, suspicious rows or spectrum: " code { "embq report" } " draws these "
                "from all files as one input."
            }
        }
    };
    add("origin", "How this page was made", origin);
    sections
}

/// The headline section.
fn glance(evaluation: &Evaluation) -> Markup {
    html! {
        (headline::cards(evaluation))
        @if let Some(line) = stands_out(evaluation) {
            p class="lead" { (sentence(&line)) }
        }
        (gate_lines(&evaluation.gates))
        (note_list(&notes(evaluation)))
    }
}

fn gate_lines(gates: &[GateOutcome]) -> Markup {
    html! {
        @for gate in gates {
            p class=(if gate.failed { "gate failed" } else { "gate" }) {
                b { @if gate.failed { "Gate failed: " } @else { "Gate held: " } }
                @if let Some(checkpoint) = &gate.checkpoint { bdi { (visible(checkpoint)) } ": " }
                code { (visible(&gate.expression)) } " (" (visible(&gate.detail)) ")"
            }
        }
    }
}

fn note_list(notes: &[String]) -> Markup {
    html! {
        @if !notes.is_empty() {
            ul class="notes" { @for note in notes { li { (sentence(&visible(note))) } } }
        }
    }
}

/// A line of the terminal as a sentence.
fn sentence(line: &str) -> String {
    let mut characters = line.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

fn page(title: &str, subtitle: &str, sections: &[Section]) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="generator" content=(concat!("embq ", env!("CARGO_PKG_VERSION")));
                title { (title) " \u{00b7} embq" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a class="skip" href="#main" { "Skip to the content" }
                header {
                    div class="inner" {
                        p class="mark" { "embq" span { " embedding report" } }
                        h1 { bdi { (title) } }
                        p class="subtitle" { (subtitle) }
                        button type="button" id="scheme" hidden { "Dark" }
                        nav aria-label="Sections" {
                            ul { @for section in sections { li { a href=(format!("#{}", section.id)) { (section.title) } } } }
                        }
                    }
                }
                main id="main" {
                    @for section in sections {
                        section id=(section.id) aria-labelledby=(format!("{}-title", section.id)) {
                            h2 id=(format!("{}-title", section.id)) { (section.title) }
                            (section.content)
                        }
                    }
                }
                div id="hint" role="tooltip" hidden {}
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}
