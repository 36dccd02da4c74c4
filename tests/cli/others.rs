//! The commands other than `score`, and the help.

use polars::prelude::{NamedFrom, Series};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::folder::{Folder, fixture, run};

#[track_caller]
fn assert_narrow(text: &str) {
    for line in text.lines() {
        assert!(line.width() <= 80, "{} columns: {line}", line.width());
    }
}

fn item<'j>(json: &'j Value, name: &str) -> &'j Value {
    let items = json["items"].as_array().unwrap();
    items.iter().find(|item| item["name"] == name).unwrap_or_else(|| panic!("no {name} in {json:#}"))
}

#[test]
fn arrays_are_inspected() {
    let folder = Folder::new();
    let path = fixture("digits/embeddings.npy");
    let table = folder.embq(["inspect", &path]).success();
    assert!(table.contains("f32 1,797 x 64") && table.contains("can be embeddings"), "{table}");
    assert!(!table.contains("labels"), "{table}");
    let json = folder.embq(["inspect", &path, "--format", "json"]).json();
    assert_eq!(json["format"], "npy");
    assert_eq!(json["bytes"], std::fs::metadata(&path).unwrap().len());
    let array = &json["items"][0];
    assert_eq!(array["shape"], serde_json::json!([1797, 64]));
    assert_eq!((&array["embeddings"], &array["labels"]), (&true.into(), &false.into()));
    assert_eq!((&array["nans"], &array["infinities"]), (&0.into(), &0.into()));

    let json = folder.embq(["inspect", &fixture("digits/labels.npy"), "--format", "json"]).json();
    let array = &json["items"][0];
    assert_eq!((&array["embeddings"], &array["labels"]), (&false.into(), &true.into()));
    assert_eq!(array["distinct"], 10);
    // The histogram, against the text file of labels.
    let text = std::fs::read_to_string(fixture("digits/labels.txt")).unwrap();
    let histogram = array["histogram"].as_array().unwrap();
    assert_eq!(histogram.len(), 10);
    for bin in histogram {
        let label = bin["label"].as_str().unwrap();
        assert_eq!(bin["count"], text.lines().filter(|line| *line == label).count(), "{label}");
    }
}

#[test]
fn values_that_are_no_numbers_are_counted() {
    let folder = Folder::new();
    folder.matrix("emb.npy", &[[1.0, f32::NAN], [f32::INFINITY, 2.0], [f32::NAN, -3.5f32]]);
    let json = folder.embq(["inspect", "emb.npy", "--format", "json"]).json();
    let array = &json["items"][0];
    assert_eq!((&array["nans"], &array["infinities"]), (&2.into(), &1.into()));
    let table = folder.embq(["inspect", "emb.npy"]).success();
    assert!(table.contains("2 NaN"), "{table}");
}

#[test]
fn tables_are_inspected_column_by_column() {
    let folder = Folder::new();
    folder.write("table.csv", "x,species\n1.5,cat\n2.5,dog\n-1,cat\n");
    let json = folder.embq(["inspect", "table.csv", "--format", "json"]).json();
    assert_eq!(json["format"], "csv");
    let (x, species) = (item(&json, "x"), item(&json, "species"));
    assert_eq!((x["minimum"].as_f64(), x["maximum"].as_f64()), (Some(-1.0), Some(2.5)));
    assert_eq!(x["embeddings"], true);
    assert_eq!((&species["embeddings"], &species["labels"]), (&false.into(), &true.into()));
    assert_eq!(species["histogram"][0], serde_json::json!({"label": "cat", "count": 2}));

    folder.parquet(
        "table.parquet",
        vec![
            Series::new("x".into(), [Some(1.0f32), None, Some(2.0)]).into(),
            Series::new("good".into(), [true, false, true]).into(),
            Series::new("id".into(), [10i64, 20, 30]).into(),
        ],
    );
    let json = folder.embq(["inspect", "table.parquet", "--format", "json"]).json();
    assert_eq!(json["format"], "parquet");
    assert_eq!(item(&json, "x")["nulls"], 1);
    assert_eq!(item(&json, "good")["distinct"], 2);
    assert_eq!(item(&json, "id")["labels"], true);
    let table = folder.embq(["inspect", "table.parquet"]).success();
    for name in ["x", "good", "id"] {
        assert!(table.lines().any(|line| line.starts_with(&format!("{name} "))), "{name} in {table}");
    }
    assert_narrow(&table);
}

#[test]
fn what_inspect_shows_is_safe_and_narrow() {
    let folder = Folder::new();
    let long = "long ".repeat(40);
    let wide = "日本語".repeat(8);
    let text = format!("\"\u{1b}[31mname\",\"{long}\"\n\"\u{1b}[0mred\",{long}\n{wide},b\n");
    folder.write("table.csv", text);
    let table = folder.embq(["inspect", "table.csv"]).success();
    assert!(!table.contains('\u{1b}'), "{table:?}");
    assert_narrow(&table);
}

#[test]
fn inspect_reads_standard_input() {
    let folder = Folder::new();
    let mut command = folder.command();
    command
        .args(["inspect", "-", "--format", "json"])
        .write_stdin(std::fs::read(fixture("digits/labels.npy")).unwrap());
    let json = crate::folder::run(&mut command).json();
    assert_eq!(json["items"][0]["shape"], serde_json::json!([1797]));
}

#[test]
fn inspect_refuses_what_score_refuses() {
    let folder = Folder::new();
    folder.write("emb.pkl", b"\x80\x04\x95\x10\0\0\0\0\0\0\0.");
    let run = folder.embq(["inspect", "emb.pkl"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("pickle.load("), "{}", run.stderr);
    let run = folder.embq(["inspect", "nothing.npy"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("nothing.npy: no such file"), "{}", run.stderr);
    folder.write("cut.npy", &std::fs::read(fixture("digits/labels.npy")).unwrap()[..500]);
    let run = folder.embq(["inspect", "cut.npy"]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("cut.npy: truncated"), "{}", run.stderr);
}

#[test]
fn metrics_are_listed() {
    let folder = Folder::new();
    let table = folder.embq(["metrics"]).success();
    let list = folder.embq(["metrics", "--format", "json"]).json();
    let listed: Vec<&Value> = list.as_array().unwrap().iter().collect();
    let mut names = Vec::new();
    for metric in &listed {
        let name = metric["name"].as_str().unwrap();
        let shown = match (&metric["at_k"], &metric["at_far"]) {
            (Value::Bool(true), _) => format!("{name}@k"),
            (_, Value::Bool(true)) => format!("{name}@far"),
            _ => name.to_owned(),
        };
        assert!(table.lines().any(|line| line.split_whitespace().next() == Some(&shown)), "{name} in {table}");
        for key in ["range", "cost", "source", "family"] {
            assert!(!metric[key].as_str().unwrap().is_empty(), "{key} of {name}");
        }
        names.push(name.to_owned());
        if metric["by_class"] == true {
            names.push(format!("{name}_macro"));
        }
        if metric["at_k"] == true {
            names.extend([1, 5, 10].map(|k| format!("{name}@{k}")));
        }
        if metric["at_far"] == true {
            names.extend(["1e-1", "1e-2", "1e-3", "1e-4"].map(|far| format!("{name}@{far}")));
        }
    }
    // The names in a result are those in the list, and each can be requested alone.
    let line = "emb.npy -l labels.npy --batch-size 3 --format json";
    let folder = Folder::with_set();
    let json = folder.score(&format!("{line} --metrics all")).json();
    for name in json["metrics"].as_object().unwrap().keys() {
        assert!(names.contains(name), "{name} is not listed");
    }
    for metric in listed {
        let name = metric["name"].as_str().unwrap();
        let more = match name {
            "asw_batch" | "bras" => "--batch labels.npy",
            "v_measure_std" => "--clustering mteb",
            _ => "",
        };
        let json = folder.score(&format!("{line} --metrics {name} {more}")).json();
        let at = json["metrics"].as_object().unwrap().keys().find(|known| known.split('@').next() == Some(name));
        let name = at.map_or(name, String::as_str);
        assert!(json["metrics"].get(name).is_some(), "{name} in {}", json["metrics"]);
        let (low, high) = metric["range"].as_str().unwrap().split_once(", ").unwrap();
        if let (Some(value), Ok(low)) = (json["metrics"][name].as_f64(), low[1..].parse::<f64>()) {
            assert!(value >= low, "{name} is {value}");
        }
        if let (Some(value), Ok(high)) = (json["metrics"][name].as_f64(), high[..high.len() - 1].parse::<f64>()) {
            assert!(value <= high, "{name} is {value}");
        }
    }
}

#[test]
fn the_list_of_metrics_is_narrow() {
    assert_narrow(&Folder::new().embq(["metrics"]).success());
}

#[test]
fn completions_name_the_options() {
    let folder = Folder::new();
    for (shell, mark) in [("bash", "complete -F _embq"), ("zsh", "#compdef embq"), ("fish", "complete -c embq")] {
        let script = folder.embq(["completions", shell]).success();
        assert!(script.contains(mark), "{shell}");
        for word in ["score", "inspect", "rows-out", "fail-if", "sqeuclidean"] {
            assert!(script.contains(word), "{word} for {shell}");
        }
    }
    let run = folder.embq(["completions", "dosh"]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("bash") && run.stderr.contains("fish"), "{}", run.stderr);
}

/// bash itself parses its script, if it is installed.
#[cfg(unix)]
#[test]
fn bash_understands_its_completions() {
    let folder = Folder::new();
    folder.write("embq.bash", folder.embq(["completions", "bash"]).success());
    let Ok(status) = std::process::Command::new("bash").arg("-n").arg(folder.path("embq.bash")).status() else {
        return;
    };
    assert!(status.success());
}

#[test]
fn the_manual_names_every_command_and_option() {
    let page = Folder::new().embq(["man"]).success();
    assert!(page.lines().any(|line| line.starts_with(".TH embq 1")), "{page}");
    for section in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS"] {
        assert!(page.lines().any(|line| line == section), "{section}");
    }
    for option in ["\\-\\-fail\\-if", "\\-\\-rows\\-out", "\\-\\-temperature"] {
        assert!(page.contains(option), "{option}");
    }
    assert!(!page.contains('\u{1b}'));
}

#[test]
fn the_manual_shows_how_a_command_is_called() {
    let page = Folder::new().embq(["man"]).success();
    let synopses: Vec<&str> = page.split(".SH SYNOPSIS\n").skip(1).map(|rest| rest.lines().next().unwrap()).collect();
    assert_eq!(synopses.len(), 15);
    for synopsis in synopses {
        assert!(synopsis.trim_start_matches("\\fB").starts_with("embq"), "{synopsis}");
    }
}

#[test]
fn the_schema_is_a_schema() {
    let folder = Folder::new();
    let schema = folder.embq(["schema"]).json();
    assert!(jsonschema::meta::is_valid(&schema));
    assert_eq!(folder.embq(["schema", "score"]).json(), schema);
    let properties = schema["$defs"]["Evaluation"]["properties"].as_object().unwrap();
    for name in [
        "kind",
        "schema_version",
        "embq_version",
        "inputs",
        "labels",
        "excluded",
        "settings",
        "metrics",
        "classes",
        "warnings",
    ] {
        assert!(properties.contains_key(name), "{name}");
    }
}

#[test]
fn the_version_is_that_of_the_package() {
    let version = Folder::new().embq(["--version"]).success();
    assert_eq!(version, format!("embq {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn every_command_has_help() {
    let folder = Folder::new();
    let help = folder.embq(["--help"]).success();
    for command in ["score", "grad", "inspect", "metrics", "schema", "completions", "man"] {
        assert!(help.lines().any(|line| line.split_whitespace().next() == Some(command)), "{command} in {help}");
        let own = folder.embq([command, "--help"]).success();
        assert!(own.contains(&format!("Usage: embq {command}")), "{own}");
        assert!(own.lines().next().is_some_and(|line| line.len() > 10), "{own}");
        assert_eq!(folder.embq([command, "-h"]).code, Some(0));
        // The maximum width of help without a terminal.
        assert!(own.lines().all(|line| line.width() <= 100), "{own}");
    }
    let score = folder.embq(["score", "--help"]).success();
    for word in ["Examples:", "--fail-if", "[default: cosine]", "precomputed", "Measure:", "Gates:", "Output:"] {
        assert!(score.contains(word), "{word} in {score}");
    }
}

#[test]
fn no_arguments_bring_the_help() {
    let folder = Folder::new();
    let run = folder.embq([] as [&str; 0]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("Usage: embq <COMMAND>") && run.stderr.contains("inspect"), "{}", run.stderr);
    let run = folder.embq(["scor"]);
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("'scor'") && run.stderr.contains("'score'"), "{}", run.stderr);
    let run = folder.embq(["inspect"]);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("<FILE>"), "{}", run.stderr);
}

#[test]
fn the_readme_shows_what_the_first_run_prints() {
    let root = env!("CARGO_MANIFEST_DIR");
    let readme = std::fs::read_to_string(format!("{root}/README.md")).unwrap();
    let mut command = assert_cmd::Command::cargo_bin("embq").unwrap();
    let first = "score fixtures/digits/embeddings.npy -l fixtures/digits/labels.npy";
    assert!(readme.contains(&format!("\nembq {first}\n")));
    let output = run(command.current_dir(root).env("NO_COLOR", "1").args(first.split(' '))).success();
    assert!(readme.contains(&format!("```\n{output}```")), "the README should show:\n{output}");
}

#[test]
fn commands_run_inside_another_process() {
    let folder = Folder::with_set();
    let path = |name: &str| folder.path(name).to_str().unwrap().to_owned();
    let (rows, labels, result) = (path("emb.npy"), path("labels.npy"), path("result.json"));
    let score = ["score", &rows, "-l", &labels, "--quiet", "-o", &result];
    assert_eq!(embq::cli::run(score), 0);
    assert!(folder.exists("result.json"));
    assert_eq!(embq::cli::run(score.into_iter().chain(["--fail-if", "silhouette < 2"])), 1);
    assert_eq!(embq::cli::run(["suspects", &rows]), 2);
}
