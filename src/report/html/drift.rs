//! Drift between two sets: the numbers, both sets in one projection, and the classes by the change of their shares.

use maud::{Markup, html};

use super::class_changes::{self, CHANGES, Change};
use super::class_table::{LISTED, search};
use super::headline::{self, Bar, Card, typeset};
use super::joint_projection;
use super::provenance::{self, list};
use super::{Section, gate_lines, note_list, sentence};
use crate::report::drift as text;
use crate::report::numbers::{count, percent, short};
use crate::report::text::visible;
use embq_core::drift::{ClassDrift, DriftResult, DriftVerdict, JointProjection, SetDescription, metric_named};

/// From no class to every class, or from no row to every row.
const SHARE: Option<Bar> = Some(Bar { from: 0.0, to: 1.0, high_is_bad: false });

const CARDS: [Card; 8] = [
    Card {
        title: "Fréchet distance",
        metric: "frechet_distance",
        meaning: "How far the means and covariances are apart: the FID where rows are Inception features. It falls as rows \
                  are added, so compare it only at the same numbers of rows.",
        bar: None,
        text: short,
        beside: &[],
    },
    Card {
        title: "Mean shift",
        metric: "mean_shift",
        meaning: "How far the mean moved, in spreads of the reference: 0.1 is a move of every dimension by a tenth of its \
                  standard deviation.",
        bar: None,
        text: short,
        beside: &[("change of the mean length", "norm_shift")],
    },
    Card {
        title: "Domain AUC",
        metric: "domain_auc",
        meaning: "How well a linear classifier tells current rows from the reference: 0.5 is not at all, 1 is always.",
        bar: Some(Bar { from: 0.5, to: 1.0, high_is_bad: true }),
        text: short,
        beside: &[],
    },
    Card {
        title: "MMD",
        metric: "mmd_rbf",
        meaning: "The squared distance of the distributions by a Gaussian kernel; around 0 where there is none.",
        bar: None,
        text: short,
        beside: &[("by the cubic kernel (KID)", "kid")],
    },
    Card {
        title: "Energy distance",
        metric: "energy_distance",
        meaning: "How much farther rows lie from those of the other set than from those of their own.",
        bar: None,
        text: short,
        beside: &[],
    },
    Card {
        title: "Precision",
        metric: "precision",
        meaning: "The share of current rows that lie among the reference: low where rows came from elsewhere.",
        bar: SHARE,
        text: percent,
        beside: &[("density", "density")],
    },
    Card {
        title: "Recall",
        metric: "recall",
        meaning: "The share of the reference that lies among the current rows: low where a part went missing.",
        bar: SHARE,
        text: percent,
        beside: &[("coverage", "coverage")],
    },
    Card {
        title: "Population stability",
        metric: "psi",
        meaning: "How much the shares of the classes changed (PSI): below 0.1 is commonly read as stable, above 0.25 as a \
                  clear shift.",
        bar: None,
        text: short,
        beside: &[],
    },
];

/// The names of the sets, as short as they are different.
pub(super) fn names(result: &DriftResult) -> [String; 2] {
    let full = [&result.reference, &result.current].map(SetDescription::name);
    let short = full.each_ref().map(|name| name.rsplit(['/', '\\']).next().unwrap_or(name).to_owned());
    if short[0] == short[1] { full } else { short }
}

pub(super) fn sections(
    result: &DriftResult,
    projection: Option<&JointProjection>,
    command: Option<&str>,
) -> Vec<Section> {
    let names = names(result);
    let [reference, current] = names.each_ref().map(String::as_str);
    let mut sections = vec![Section { id: "glance", title: "At a glance", content: glance(result) }];
    let mut add = |id, title, content| sections.push(Section { id, title, content });
    if let Some(projection) = projection {
        let content = joint_projection::plot(result, projection, [reference, current]);
        add("projection", "Both sets in two dimensions", content);
    }
    if !result.classes.is_empty() {
        let content = html! { (shares(result, [reference, current])) (classes(result)) };
        add("classes", "What changed in the classes", content);
    }
    add("metrics", "All numbers", numbers(result));
    add("origin", "How this page was made", origin(result, command));
    sections
}

/// The headline section.
fn glance(result: &DriftResult) -> Markup {
    let remark = |metric: &str| {
        let test = result.tests.get(metric)?;
        Some(format!("p = {:.4}: {}", test.adjusted_p_value, test.verdict.name()))
    };
    html! {
        @if let Some(conclusion) = text::conclusion(result) {
            p class=(if result.verdict == Some(DriftVerdict::Drift) { "lead" } else { "lead calm" }) { (sentence(&conclusion)) }
        }
        (headline::draw(&CARDS, &result.metrics, &result.intervals, remark))
        (gate_lines(&result.gates))
        (note_list(&text::notes(result)))
    }
}

/// The shares of the classes before and now, the largest changes first.
fn shares(result: &DriftResult, [reference, current]: [&str; 2]) -> Markup {
    let text = |share: Option<f64>| share.map_or_else(|| "-".to_owned(), |share| format!("{share:.1} %"));
    let classes = by_psi(result);
    let drawn = classes.len().min(CHANGES);
    let changes: Vec<Change<'_>> = classes[..drawn]
        .iter()
        .map(|class| {
            let [before, after] = [class.reference_share, class.current_share].map(|share| 100.0 * share);
            Change::new(&class.label, before, after, text).ending(short(class.psi))
        })
        .collect();
    html! {
        p {
            "Shares of the classes in " b { bdi { (visible(reference)) } } " (ring) and in " b { bdi { (visible(current)) } }
            " (disc), in % of the rows, with what each class gives to the population stability index."
            @if drawn < classes.len() {
                " The " (drawn) " of " (count(classes.len())) " classes whose shares changed most are drawn."
            }
        }
        (class_changes::figure(&changes, &format!("Change of the shares of {drawn} classes")))
    }
}

/// The classes, those whose shares changed most first.
fn by_psi(result: &DriftResult) -> Vec<&ClassDrift> {
    let mut classes: Vec<&ClassDrift> = result.classes.iter().collect();
    classes.sort_by(|x, y| y.psi.unwrap_or(0.0).total_cmp(&x.psi.unwrap_or(0.0)));
    classes
}

fn classes(result: &DriftResult) -> Markup {
    let classes = by_psi(result);
    let listed = classes.len().min(LISTED);
    let value = |class: &ClassDrift, number: &str| class.value(number).flatten();
    let columns: Vec<(&str, &str)> = [
        ("Mean shift", "mean_shift"),
        ("Energy distance", "energy_distance"),
        ("Fréchet distance", "frechet_distance"),
    ]
    .into_iter()
    .filter(|(_, number)| classes.iter().any(|class| value(class, number).is_some()))
    .collect();
    let is_tested = classes.iter().any(|class| class.test.is_some());
    html! {
        (search())
        div class="scroll" tabindex="0" role="region" aria-label="Classes" {
            table class="sortable" {
                thead {
                    tr {
                        th scope="col" { "Class" }
                        th scope="col" class="n" { "Rows before" } th scope="col" class="n" { "Rows now" }
                        th scope="col" class="n" { "Share before" } th scope="col" class="n" { "Share now" }
                        th scope="col" class="n" aria-sort="descending" { "PSI" }
                        @for (title, _) in &columns { th scope="col" class="n" { (title) } }
                        @if is_tested { th scope="col" class="n" { "p" } }
                    }
                }
                tbody {
                    @for class in &classes[..listed] {
                        tr {
                            th scope="row" { bdi { (visible(&class.label)) } }
                            td class="n" { (count(class.reference_count)) } td class="n" { (count(class.current_count)) }
                            td class="n" { (percent(Some(class.reference_share))) }
                            td class="n" { (percent(Some(class.current_share))) }
                            td class="n" { (typeset(&short(class.psi))) }
                            @for (_, number) in &columns { td class="n" { (typeset(&short(value(class, number)))) } }
                            @if is_tested {
                                td class=(if text::is_shown(class) { "n low" } else { "n" }) {
                                    (class.test.map_or_else(|| "\u{2013}".to_owned(), |test| format!("{:.4}", test.adjusted_p_value)))
                                }
                            }
                        }
                    }
                }
            }
        }
        @if listed < classes.len() {
            p class="aside" { "The " (count(listed)) " classes whose shares changed most; " (count(classes.len() - listed)) " more are not listed." }
        }
    }
}

/// Every number with its interval, its p-value and its meaning.
fn numbers(result: &DriftResult) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="All numbers" {
            table {
                thead {
                    tr {
                        th scope="col" { "Number" } th scope="col" class="n" { "Value" }
                        th scope="col" class="n" { "95 % interval" } th scope="col" class="n" { "p" }
                        th scope="col" { "Range" } th scope="col" { "Better" } th scope="col" { "What" }
                    }
                }
                tbody {
                    @for (name, value) in &result.metrics {
                        @let known = metric_named(name);
                        @let test = result.tests.get(name);
                        tr {
                            th scope="row" { code { (name) } }
                            td class="n" { (typeset(&short(*value))) }
                            td class="n" {
                                @if let Some([low, high]) = result.intervals.get(name) {
                                    (typeset(&short(Some(*low)))) " to " (typeset(&short(Some(*high))))
                                }
                            }
                            td class=(if test.is_some_and(|test| test.verdict == DriftVerdict::Drift) { "n low" } else { "n" }) {
                                @if let Some(test) = test { (format!("{:.4}", test.adjusted_p_value)) }
                            }
                            td { (known.map_or("", |metric| metric.range)) }
                            td {
                                (match known.and_then(|metric| metric.higher_is_better) {
                                    Some(true) => "higher", Some(false) => "lower", None => "",
                                })
                            }
                            td { (known.map_or("", |metric| metric.title)) }
                        }
                    }
                }
            }
        }
    }
}

fn origin(result: &DriftResult, command: Option<&str>) -> Markup {
    let mut inputs: Vec<(&str, String)> = Vec::new();
    for (title, set) in [("reference", &result.reference), ("current rows", &result.current)] {
        inputs.push((title, visible(&set.name())));
        inputs.push(("shape", text::shape(set)));
        if let Some(labels) = &set.labels {
            inputs.push(("labels", format!("{}, {} classes", visible(&labels.name()), count(labels.classes))));
        }
    }
    let settings = &result.settings;
    let mut used = vec![("distance", "euclidean".to_owned()), ("neighbours", settings.neighbours.to_string())];
    used.push(("permutations", count(settings.permutations)));
    used.extend(settings.subset.map(|rows| ("rows of each set in pairs", count(rows))));
    used.extend(settings.bandwidth.map(|bandwidth| ("bandwidth of mmd_rbf", short(Some(bandwidth)))));
    used.push(("precision of products", settings.precision.name().to_owned()));
    used.push(("seed", settings.seed.to_string()));
    used.push(("embq", result.envelope.embq_version.clone()));
    html! {
        div class="pair" {
            div { h3 { "Inputs" } (list(&inputs)) }
            div { h3 { "Settings" } (list(&used)) }
        }
        @if let Some(line) = command { (provenance::command(line)) }
    }
}
