//! Pages, plots and suspects as files and on standard output.

use std::fs;

use crate::folder::{Folder, digits, fixture};

#[test]
fn score_and_report_write_a_page() {
    let folder = Folder::with_set();
    let run = folder.score("emb.npy -l labels.npy -o page.html -o result.json");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    let page = folder.read("page.html");
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("embq score emb.npy -l labels.npy -o page.html"));
    let run = folder.embq(["report", "emb.npy", "-l", "labels.npy", "-o", "report.html"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(0), ""));
    assert!(run.stderr.contains("report.html is written"), "{}", run.stderr);
    let quiet = folder.embq(["report", "emb.npy", "-l", "labels.npy", "-o", "report.html", "-q"]);
    assert_eq!((quiet.code, quiet.stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_page_needs_nothing_else() {
    let folder = Folder::new();
    let [embeddings, labels] = ["digits/embeddings.npy", "digits/labels.npy"].map(fixture);
    folder.embq(["report", &embeddings, "-l", &labels, "-o", "page.html"]).success();
    let page = folder.read("page.html");
    for foreign in ["http://", "https://", "src=", "@import", "url(h", "<link"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(page.len() < 600_000, "{}", page.len());
    // What is undefined has no number.
    assert!(!page.split("<script>").next().unwrap().contains("NaN"));
    // The page is the same for the same command.
    let first = fs::read(folder.path("page.html")).unwrap();
    folder.embq(["report", &embeddings, "-l", &labels, "-o", "page.html", "--threads", "1"]).success();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(" --threads 1", "");
    assert_eq!(text(&fs::read(folder.path("page.html")).unwrap()), text(&first));
}

#[test]
fn what_cannot_be_a_page_is_refused() {
    let folder = Folder::with_set();
    let run = folder.embq(["report", "emb.npy", "-l", "labels.npy", "-o", "page.pdf"]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("page.pdf") && run.stderr.contains(".html"), "{}", run.stderr);
    let run = folder.score("emb.npy -l labels.npy -l labels.npy -o page.html");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("page.html holds the rows or classes of one labelling"), "{}", run.stderr);
    assert!(!folder.exists("page.html"));
    folder.write("text.txt", "one\ntwo\n");
    let run = folder.embq(["report", "emb.npy", "-l", "labels.npy", "-o", "page.html", "--text", "text.txt"]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("text.txt") && run.stderr.contains('2') && run.stderr.contains('6'), "{}", run.stderr);
}

#[test]
fn silhouettes_are_drawn_below_the_table() {
    let folder = Folder::new();
    let plot = folder.embq(digits().into_iter().chain(["--plot".to_owned()])).success();
    assert!(plot.lines().all(|line| line.chars().count() <= 80), "{plot}");
    let drawn = plot.split("silhouettes of all rows").nth(1).unwrap();
    insta::assert_snapshot!(drawn);
    let run = Folder::with_set().score("emb.npy -l labels.npy --plot --format json");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("--plot draws below the table"), "{}", run.stderr);
}
