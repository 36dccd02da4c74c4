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
    assert!(run.stderr.contains("wrote report.html"), "{}", run.stderr);
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
    // Undefined values have no number.
    assert!(!page.split("<script>").next().unwrap().contains("NaN"));
    // The same command gives the same page.
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
    assert!(run.stderr.contains("page.html is for one labelling"), "{}", run.stderr);
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

#[test]
fn suspects_are_listed_in_every_form() {
    let folder = Folder::new();
    // The third row is among those of b.
    folder.matrix(
        "emb.npy",
        &[[1.0, 0.1], [1.0, 0.2], [0.1, 1.1], [1.0, 0.0], [0.1, 1.0], [0.2, 1.0], [0.0, 1.0], [0.15, 1.0]],
    );
    folder.write("labels.txt", "a\na\na\na\nb\nb\nb\nb\n");
    folder.write("names.csv", "id,text\nr0,x\nr1,x\nr2,\"<b>, \"\"odd\"\"\"\nr3,x\nr4,x\nr5,x\nr6,x\nr7,x\n");
    let line = "suspects emb.npy -l labels.txt -k 3 --no-timing";
    let run = |rest: &str| folder.embq(line.split_whitespace().chain(rest.split_whitespace())).success();
    insta::assert_snapshot!(run(""));
    let list: serde_json::Value = serde_json::from_str(&run("--format json --ids names.csv:id")).unwrap();
    assert_eq!(list["kind"], "suspects");
    let first = &list["suspects"][0];
    assert_eq!((&first["row"], &first["id"]), (&2.into(), &"r2".into()));
    assert_eq!((&first["label"], &first["suggested"]), (&"a".into(), &"b".into()));
    assert_eq!(first["neighbours_suggested"], 1.0);
    assert_eq!(list["likely"], 1);
    run("-q -o out.csv -o out.md --text names.csv:text");
    let csv = folder.read("out.csv");
    assert!(csv.starts_with("rank,row,label,suggested,suspicion,silhouette,"), "{csv}");
    assert!(csv.lines().nth(1).unwrap().contains(",true,"), "{csv}");
    assert!(csv.contains("1,2,a,b,") && csv.contains("\"<b>, \"\"odd\"\"\""), "{csv}");
    assert!(folder.read("out.md").contains("&lt;b&gt;"));
    let schema: serde_json::Value = serde_json::from_str(&folder.embq(["schema", "suspects"]).success()).unwrap();
    assert!(jsonschema::validator_for(&schema).unwrap().is_valid(&list));
}

#[test]
fn flipped_labels_come_first() {
    let folder = Folder::new();
    let digits: Vec<String> =
        fs::read_to_string(fixture("digits/labels.txt")).unwrap().lines().map(str::to_owned).collect();
    let mut flipped = digits.clone();
    let changed: Vec<usize> = (0..20).map(|place| 40 + 83 * place).collect();
    for &row in &changed {
        flipped[row] = digits[(row + 1..).find(|&other| digits[other] != digits[row]).unwrap()].clone();
    }
    folder.write("labels.txt", flipped.join("\n") + "\n");
    let run = folder.embq(["suspects", &fixture("digits/embeddings.npy"), "-l", "labels.txt", "--format", "json"]);
    let list = run.json();
    let first: Vec<usize> =
        list["suspects"].as_array().unwrap()[..30].iter().map(|row| row["row"].as_u64().unwrap() as usize).collect();
    let found = changed.iter().filter(|row| first.contains(row)).count();
    assert!(found >= 18, "{found} of 20");
    let right = |row: &serde_json::Value| row["suggested"] == digits[row["row"].as_u64().unwrap() as usize].as_str();
    // The cut-off keeps nearly all of them, and little else.
    let likely = list["likely"].as_u64().unwrap() as usize;
    let found = list["suspects"].as_array().unwrap()[..likely].iter();
    let found = found.filter(|row| changed.contains(&(row["row"].as_u64().unwrap() as usize))).count();
    assert!(found >= 18 && likely <= 40, "{found} of {likely}");
    let suggested = list["suspects"].as_array().unwrap()[..20].iter().filter(|row| right(row)).count();
    assert!(suggested >= 17, "{suggested} of 20");
}
