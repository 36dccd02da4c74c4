//! What `embq drift` shows, what its gates do, and what it refuses.

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::folder::{Folder, Run, fixture};

/// Random rows in a square of side 2, moved by `shift`.
fn rows(seed: u64, shift: f32) -> Vec<[f32; 2]> {
    let mut state = seed + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32
    };
    (0..60).map(|_| [next() + shift, next()]).collect()
}

fn folder() -> Folder {
    let folder = Folder::new();
    folder.matrix("before.npy", &rows(0, 0.0));
    folder.matrix("same.npy", &rows(3, 0.0));
    folder.matrix("moved.npy", &rows(3, 1.0));
    folder.integers("labels.npy", &(0..60).map(|row| row % 3).collect::<Vec<_>>());
    folder.integers("others.npy", &(0..60).map(|row| row % 2).collect::<Vec<_>>());
    folder
}

fn line(folder: &Folder, line: &str) -> Run {
    folder.embq(std::iter::once("drift").chain(line.split_whitespace()))
}

#[track_caller]
fn refused(folder: &Folder, arguments: &str, words: &[&str]) {
    line(folder, arguments).refused(words);
}

#[track_caller]
fn valid(folder: &Folder, json: &Value) {
    let schema = folder.embq(["schema", "drift"]).json();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(json).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
}

#[test]
fn drift_is_shown_where_there_is_some() {
    let folder = folder();
    let table = line(&folder, "before.npy moved.npy").success();
    for words in
        ["moved.npy against before.npy", "60 x 2 f32 against 60 x 2 f32", "▲ energy_distance", "drift: the sets differ"]
    {
        assert!(table.contains(words), "no '{words}' in:\n{table}");
    }
    assert!(table.lines().all(|line| line.width() <= 80), "{table}");
    let table = line(&folder, "before.npy same.npy").success();
    assert!(table.contains("= energy_distance") && table.contains("no drift shown"), "{table}");

    let json = line(&folder, "before.npy moved.npy --format json --no-timing").json();
    valid(&folder, &json);
    assert_eq!((&json["kind"], &json["verdict"]), (&"drift".into(), &"drift".into()));
    assert_eq!(json["tests"]["mmd_rbf"]["verdict"], "drift");
    assert_eq!(json["current"]["rows"], 60);
    let value = json["metrics"]["frechet_distance"].as_f64().unwrap();
    let [low, high] = [0, 1].map(|end| json["intervals"]["frechet_distance"][end].as_f64().unwrap());
    assert!(low < value && value < high);
    assert_eq!(json, line(&folder, "before.npy moved.npy --format json --no-timing --threads 1").json());
}

#[test]
fn classes_are_compared_where_there_are_labels() {
    let folder = folder();
    let arguments = "before.npy moved.npy -l labels.npy -l others.npy -o out.md -o out.csv -o out.json";
    let table = line(&folder, arguments).success();
    assert!(table.contains("mean shift") && table.contains("classes drifted"), "{table}");
    // The class that is gone comes first.
    let first = table.lines().skip_while(|line| !line.starts_with("class ")).nth(1).unwrap();
    assert_eq!(first.split_whitespace().take(5).collect::<Vec<_>>(), ["2", "33.3", "%", "0.0", "%"]);
    assert!(table.lines().all(|line| line.width() <= 80), "{table}");
    let json: Value = serde_json::from_str(&folder.read("out.json")).unwrap();
    valid(&folder, &json);
    let classes = json["classes"].as_array().unwrap();
    assert_eq!(classes.len(), 3);
    assert_eq!((&classes[2]["current_count"], &classes[2]["test"]), (&0.into(), &Value::Null));
    let markdown = folder.read("out.md");
    assert!(markdown.starts_with("## embq drift: moved.npy against before.npy"), "{markdown}");
    assert!(markdown.contains("| psi | ") && markdown.contains("| class | before |"), "{markdown}");
    let csv = folder.read("out.csv");
    for line in ["overall,,verdict(mmd_rbf),drift", "class,2,current_count,0", "class,2,mean_shift,\n"] {
        assert!(csv.contains(line), "no '{line}' in:\n{csv}");
    }
    // One column of both files.
    for (name, shift) in [("a.csv", 0.0), ("b.csv", 1.0)] {
        let lines: Vec<String> =
            rows(0, shift).iter().enumerate().map(|(row, [x, y])| format!("{x},{y},c{}", row % 2)).collect();
        folder.write(name, format!("x,y,kind\n{}\n", lines.join("\n")));
    }
    let json = line(&folder, "a.csv b.csv -l kind --format json").json();
    assert_eq!(json["classes"][1]["label"], "c1");
    assert_eq!(json["metrics"]["psi"], 0.0);
    let json = line(&folder, "a.csv b.csv -l kind --exclude c1 --format json").json();
    assert_eq!((&json["reference"]["rows"], json["classes"].as_array().unwrap().len()), (&30.into(), 1));
}

#[test]
fn gates_hold_or_fail() {
    let folder = folder();
    let gate = |expression: &str, more: &str| {
        let arguments = format!("before.npy moved.npy -q --format json {more}");
        let words = arguments.split_whitespace().chain(["--fail-if", expression]);
        folder.embq(std::iter::once("drift").chain(words)).code
    };
    assert_eq!(gate("p_value < 0.05", ""), Some(1));
    assert_eq!(gate("frechet_distance > 100 or mean_shift > 100", ""), Some(0));
    assert_eq!(gate("lower(frechet_distance) > 0", ""), Some(1));
    assert_eq!(gate("class('0').mean_shift > 0.1", "-l labels.npy"), Some(1));
    assert_eq!(gate("max_class(psi) > 0.1", "-l labels.npy"), Some(0));
    // A number that is undefined fails a gate.
    assert_eq!(gate("precision < 0", "-k 60"), Some(1));
    refused(&folder, "before.npy moved.npy --fail-if silhouette<0.3", &["unknown metric 'silhouette'", "kid"]);
    refused(&folder, "before.npy moved.npy --fail-if kidd<0.3", &["did you mean 'kid'?"]);
    refused(&folder, "before.npy moved.npy --fail-if delta(kid)<0.3", &["needs a baseline"]);
    refused(&folder, "before.npy moved.npy --fail-if upper(kid)<0.3", &["has no interval"]);
    refused(&folder, "before.npy moved.npy --metrics kid --fail-if recall<0.3", &["recall is not computed"]);
    for gate in ["psi>0.1", "max_class(psi)>0.1", "class('0').mean_shift>0.1"] {
        refused(
            &folder,
            &format!("before.npy moved.npy --fail-if {gate}"),
            &["needs the labels of both sets", "add -l"],
        );
    }
    refused(&folder, "before.npy moved.npy --metrics psi", &["psi needs the labels of both sets", "add -l"]);
    refused(&folder, "before.npy moved.npy --metrics fid", &["did you mean 'frechet_distance'?"]);
    let run = line(&folder, "before.npy moved.npy --junit out.xml --fail-if p_value<0.05");
    assert_eq!(run.code, Some(1));
    assert!(folder.read("out.xml").contains("embq drift"));
    let mut command = folder.command();
    command.env("GITHUB_STEP_SUMMARY", folder.path("summary.md"));
    command.args(["drift", "before.npy", "moved.npy", "--github", "--fail-if", "p_value < 0.05"]);
    assert_eq!(crate::folder::run(&mut command).code, Some(1));
    assert!(folder.read("summary.md").contains("| frechet_distance | "));
}

#[test]
fn statistics_of_pytorch_fid_are_read() {
    let folder = Folder::new();
    let [reference, current] = ["reference", "current"].map(|name| fixture(&format!("drift/{name}_statistics.npz")));
    let expected: f64 = std::fs::read_to_string(fixture("drift/frechet_distance.txt")).unwrap().trim().parse().unwrap();
    let json = folder.embq(["drift", &reference, &current, "--format", "json"]).json();
    valid(&folder, &json);
    let found = json["metrics"]["frechet_distance"].as_f64().unwrap();
    assert!((found / expected - 1.0).abs() < 1e-9, "{found} {expected}");
    assert_eq!((&json["metrics"]["kid"], &json["reference"]["rows"]), (&Value::Null, &Value::Null));
    let table = folder.embq(["drift", &reference, &current]).success();
    assert!(table.contains("statistics of 12 dimensions") && table.contains("kid, mmd_rbf, "), "{table}");
    let run = folder.embq(["drift", &reference, &current, "-l", "kind"]);
    assert!(run.code == Some(2) && run.stderr.contains("no labels"), "{run:#?}");
    folder.zip("bad.npz", &[("mu.npy", b"no array"), ("sigma.npy", b"neither")]);
    assert_eq!(folder.embq(["drift", "bad.npz", &current]).code, Some(2));
}

#[test]
fn a_page_is_written_next_to_other_results() {
    let folder = folder();
    let arguments = "before.npy moved.npy -l labels.npy -o page.html -o out.json --fail-if mean_shift>0.1";
    let run = line(&folder, arguments);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    let page = folder.read("page.html");
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("embq drift before.npy moved.npy -l labels.npy"));
    assert!(page.contains("Gate failed: ") && page.contains("moved.npy against before.npy"));
    for foreign in ["http://", "https://", "src=", "@import", "url(h", "<link"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    assert!(!page.split("<script>").next().unwrap().contains("NaN"));
    line(&folder, &format!("{arguments} --threads 1"));
    assert_eq!(folder.read("page.html").replace(" --threads 1", ""), page);
    refused(&folder, "before.npy moved.npy -o before.npy", &["before.npy"]);
    refused(&folder, "before.npy moved.npy -o out.html -o out.html", &["out.html is used for two outputs"]);
}

#[test]
fn bad_input_is_refused() {
    let folder = folder();
    folder.matrix("wide.npy", &[[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]);
    folder.matrix("nan.npy", &[[1.0, f32::NAN], [2.0, 3.0]]);
    refused(&folder, "before.npy wide.npy", &["before.npy has 2 dimensions and wide.npy has 3"]);
    refused(&folder, "before.npy nan.npy", &["NaN in row 0, column 1", "--drop-invalid"]);
    refused(&folder, "before.npy none.npy", &["none.npy: no such file"]);
    refused(&folder, "before.npy moved.npy --metrics kidd", &["did you mean 'kid'?"]);
    refused(&folder, "before.npy moved.npy --exclude 1", &["--exclude needs labels", "-l"]);
    refused(&folder, "before.npy moved.npy -l a -l b -l c", &["once or twice"]);
    refused(&folder, "before.npy moved.npy -o before.npy", &["before.npy"]);
    let json = line(&folder, "before.npy nan.npy --drop-invalid --format json").json();
    assert_eq!((&json["current"]["rows"], &json["current"]["excluded"]["invalid"]), (&1.into(), &1.into()));
    assert_eq!(json["metrics"]["frechet_distance"], Value::Null);
}
