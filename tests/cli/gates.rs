//! Gates: what they check, and what a run that fails one leaves behind.

use serde_json::Value;

use crate::folder::{Folder, Run, digits, fixture};

/// Scores the digits with gates; scikit-learn's silhouette of them is 0.2665.
fn gated(folder: &Folder, expressions: &[&str], options: &[&str]) -> Run {
    let gates = expressions.iter().flat_map(|expression| ["--fail-if", expression]);
    let more = gates.chain(options.iter().copied()).map(str::to_owned);
    folder.embq(digits().into_iter().chain(more))
}

#[test]
fn a_gate_fails_when_its_expression_is_true() {
    let folder = Folder::new();
    for expression in [
        "silhouette < 0.26",
        "silhouette<=0.26",
        "0.27 < silhouette",
        "silhouette > 27%",
        "silhouette == 0.3",
        "  silhouette  <  -1e-3  ",
    ] {
        let run = gated(&folder, &[expression], &[]);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{expression}");
    }
    for expression in [
        "silhouette < 0.27",
        "silhouette<=0.27",
        "0.26 < silhouette",
        "0.27 >= silhouette",
        "silhouette > 26 %",
        "silhouette != 0.3",
    ] {
        let run = gated(&folder, &[expression], &[]);
        assert_eq!(run.code, Some(1), "{expression}: {}", run.stderr);
        let told = format!("gate failed: {expression} (silhouette is 0.2665");
        assert!(run.stderr.starts_with(&told), "{}", run.stderr);
        assert_eq!(run.stderr.lines().count(), 1);
        assert!(run.stdout.contains("class  rows"), "{}", run.stdout);
    }
}

#[test]
fn a_gate_that_fails_does_not_hide_the_result() {
    let folder = Folder::new();
    let outputs = ["-o", "out.json", "-o", "out.md", "--rows-out", "rows.csv", "--format", "json", "--no-timing"];
    let run = gated(&folder, &["silhouette < 0.5"], &outputs);
    assert_eq!(run.code, Some(1));
    assert_eq!(folder.read("out.json"), run.stdout);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(json["gates"][0]["expression"], "silhouette < 0.5");
    assert_eq!(json["gates"][0]["failed"], true);
    let detail = json["gates"][0]["detail"].as_str().unwrap();
    assert!(detail.starts_with("silhouette is 0.2665"), "{detail}");
    assert!(folder.read("out.md").contains("**failed**"), "{}", folder.read("out.md"));
    let rows = std::fs::read_to_string(fixture("digits/labels.txt")).unwrap().lines().count();
    assert_eq!(folder.read("rows.csv").lines().count(), rows + 1);
}

#[test]
fn one_of_several_gates_is_enough() {
    let folder = Folder::new();
    let expressions = ["silhouette < 0.1", "negative_share > 1%", "soft_silhouette < 0", "silhouette < 0.9"];
    let run = gated(&folder, &expressions, &["--format", "json"]);
    assert_eq!(run.code, Some(1));
    let told: Vec<&str> = run.stderr.lines().collect();
    assert_eq!(told.len(), 2, "{}", run.stderr);
    assert!(told[0].starts_with("gate failed: negative_share > 1% (negative_share is 0.11"), "{}", run.stderr);
    assert!(told[1].starts_with("gate failed: silhouette < 0.9 "), "{}", run.stderr);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    let failed: Vec<bool> =
        json["gates"].as_array().unwrap().iter().map(|gate| gate["failed"].as_bool().unwrap()).collect();
    assert_eq!(failed, [false, true, false, true]);
    // The table shows both kinds.
    let table = gated(&folder, &expressions, &[]).stdout;
    assert!(table.contains("negative_share > 1%"), "{table}");
}

#[test]
fn a_metric_that_is_undefined_fails_its_gate() {
    let folder = Folder::new();
    // Rows that coincide have no spread to divide by.
    folder.matrix("emb.npy", &[[1.0f32, 1.0]; 4]);
    folder.integers("labels.npy", &[0, 0, 1, 1]);
    for expression in ["ratio>0", "ratio<0", "ratio!=1"] {
        let line = format!("emb.npy -l labels.npy --distance euclidean --fail-if {expression} -o out.json");
        let run = folder.score(&line);
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        assert!(run.stderr.contains(&format!("gate failed: {expression} (ratio is undefined)")), "{}", run.stderr);
        assert!(folder.exists("out.json"));
    }
}

#[test]
fn macro_means_and_batches_can_be_gated() {
    let folder = Folder::new();
    let run = gated(&folder, &["silhouette_macro < -1", "batch_loss > 2", "batches < 1"], &["--batch-size", "300"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let run = gated(&folder, &["silhouette_macro < 1"], &[]);
    assert_eq!(run.code, Some(1));
}
