//! The rows that are most likely mislabelled.

use maud::{Markup, html};

use super::headline::typeset;
use crate::report::numbers::{count, percent, short};
use crate::report::text::visible;
use embq_core::detail::Detail;
use embq_core::metrics::suspects::Suspect;

/// The maximum number of characters of a text.
const TEXT: usize = 240;

pub(super) fn table(detail: &Detail, suspects: &[Suspect]) -> Markup {
    let label = |class: u32| visible(&detail.evaluation.classes[class as usize].label);
    let (ids, texts) = (detail.names.ids.is_some(), detail.names.texts.is_some());
    let neighbours = suspects.iter().any(|suspect| suspect.agreement.is_some());
    html! {
        @if !neighbours {
            p class="aside" {
                "There are too many rows to search for neighbours here, so rows are ranked by silhouette alone. "
                code { "embq suspects" } " also takes neighbours into account."
            }
        }
        div class="scroll" tabindex="0" role="region" aria-label="Suspicious rows" {
            table class="sortable" {
                thead {
                    tr {
                        th scope="col" class="n" aria-sort="ascending" { "Rank" }
                        th scope="col" class="n" { "Row" }
                        @if ids { th scope="col" { "Id" } }
                        th scope="col" { "Label" }
                        th scope="col" { "Looks like" }
                        th scope="col" class="n" { "Silhouette" }
                        @if neighbours { th scope="col" class="n" { "Neighbours that agree" } }
                        @if texts { th scope="col" { "Text" } }
                    }
                }
                tbody {
                    @for (rank, suspect) in suspects.iter().enumerate() {
                        @let row = detail.numbers[suspect.row];
                        tr {
                            td class="n" { (rank + 1) }
                            th scope="row" class="n" { (row) }
                            @if ids { td { bdi { (detail.names.id(row).as_deref().map_or_else(String::new, visible)) } } }
                            td { bdi { (label(detail.classes[suspect.row])) } }
                            td { bdi { b { (label(suspect.suggested)) } } }
                            td class="n" { (typeset(&short(Some(detail.scores.silhouette[suspect.row])))) }
                            @if neighbours { td class="n" { (percent(suspect.agreement)) } }
                            @if texts { td class="text" { bdi { (excerpt(detail.names.text(row))) } } }
                        }
                    }
                }
            }
        }
        @if suspects.len() < detail.classes.len() {
            p class="aside" {
                "The first " (count(suspects.len())) " rows; " code { "embq suspects" } " lists all of them."
            }
        }
    }
}

/// The beginning of a text.
fn excerpt(text: Option<String>) -> String {
    let Some(text) = text else { return String::new() };
    let text = visible(&text);
    if text.chars().count() <= TEXT {
        return text;
    }
    text.chars().take(TEXT).chain(['…']).collect()
}
