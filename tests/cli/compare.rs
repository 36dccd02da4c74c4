//! The output of `embq compare`, its gates, and its errors.

use std::process::Command;

use polars::prelude::{Column, NamedFrom, Series};
use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::folder::{Folder, Run, fixture};

fn epoch(number: &str) -> String {
    fixture(&format!("fashion_ckpt_2k/epoch{number}.npy"))
}

fn labels() -> String {
    fixture("fashion_ckpt_2k/labels.npy")
}

/// Compares two real checkpoints of a training run, with more options.
fn compared(folder: &Folder, options: &[&str]) -> Run {
    let arguments = ["compare".to_owned(), epoch("01"), epoch("10"), "-l".to_owned(), labels()];
    folder.embq(arguments.into_iter().chain(options.iter().map(|&option| option.to_owned())))
}

/// Compares in a folder, with arguments as one line.
fn line(folder: &Folder, line: &str) -> Run {
    folder.embq(std::iter::once("compare").chain(line.split_whitespace()))
}

#[track_caller]
fn refused(folder: &Folder, arguments: &str, words: &[&str]) {
    line(folder, arguments).refused(words);
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is not a number"))
}

/// Rows of two classes in the plane, moved slightly by `seed`.
fn rows(seed: usize) -> Vec<[f32; 2]> {
    let wiggle = |row: usize, k: usize| ((row * 37 + seed * 101 + k * 13) % 17) as f32 / 10.0;
    (0..40)
        .map(
            |row| {
                if row < 20 { [2.0 + wiggle(row, 0), wiggle(row, 1)] } else { [wiggle(row, 0), 2.0 + wiggle(row, 1)] }
            },
        )
        .collect()
}

fn with_checkpoints(names: &[&str]) -> Folder {
    let folder = Folder::new();
    for (seed, name) in names.iter().enumerate() {
        if let Some((parent, _)) = name.rsplit_once('/') {
            std::fs::create_dir_all(folder.path(parent)).unwrap();
        }
        folder.matrix(name, &rows(seed));
    }
    folder.integers("labels.npy", &(0..40).map(|row| i64::from(row >= 20)).collect::<Vec<_>>());
    folder
}

#[test]
fn two_real_checkpoints_are_told_apart() {
    let folder = Folder::new();
    let table = compared(&folder, &[]).success();
    for words in [
        "epoch10.npy against epoch01.npy",
        "2,000 rows",
        "paired row by row",
        "▼ silhouette ",
        "better: mean_b",
        "worse: silhouette, silhouette_macro",
        "gained most",
        "lost most",
    ] {
        assert!(table.contains(words), "no '{words}' in:\n{table}");
    }
    assert!(table.lines().all(|line| line.width() <= 80), "{table}");

    let json = compared(&folder, &["--format", "json", "--no-timing", "-o", "out.md", "-o", "out.csv"]).json();
    let schema = folder.embq(["schema", "compare"]).json();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors: Vec<String> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert_eq!((json["kind"].as_str(), json["best"]["silhouette"].as_str()), (Some("compare"), Some("epoch01.npy")));
    let difference = &json["candidates"][0]["metrics"]["silhouette"];
    let delta = number(&difference["candidate"]) - number(&difference["baseline"]);
    assert_eq!(number(&difference["delta"]), delta);
    let [low, high] = [0, 1].map(|end| number(&difference["interval"][end]));
    assert!(low < delta && delta < high && high < 0.0, "{difference}");
    assert_eq!(difference["verdict"], "worse");
    let count = json["candidates"][0]["classes"].as_array().unwrap().len();
    assert_eq!(count, 10);
    for class in json["candidates"][0]["classes"].as_array().unwrap() {
        assert!(number(&class["silhouette"]["interval"][0]) < number(&class["silhouette"]["delta"]), "{class}");
    }
    // The values equal those of embq score.
    let scored = folder.embq(["score", &epoch("10"), "-l", &labels(), "--format", "json"]).json();
    assert_eq!(scored["metrics"], json["checkpoints"][1]["result"]["metrics"]);
    assert!(folder.read("out.md").contains("| silhouette | "), "{}", folder.read("out.md"));
    assert!(folder.read("out.csv").contains("epoch10.npy,overall,,verdict(silhouette),worse"));
    // Checkpoints may have different dimensions.
    let labels = fixture("glosses1k_minilm/labels.npy");
    let pair = ["glosses1k_minilm/embeddings.npy", "glosses1k_glove/embeddings.npy"].map(fixture);
    let json = folder.embq(["compare", &pair[0], &pair[1], "-l", &labels, "--format", "json"]).json();
    assert_eq!(json["candidates"][0]["paired"], true);
    let dimensions = [0, 1].map(|place| json["checkpoints"][place]["result"]["inputs"][0]["dimensions"].clone());
    assert_eq!(dimensions, [384, 100]);
    assert_eq!(json["checkpoints"][0]["name"], "glosses1k_minilm/embeddings.npy");
}

#[test]
fn a_checkpoint_does_not_differ_from_itself() {
    let folder = Folder::new();
    let json = folder.embq(["compare", &epoch("10"), &epoch("10"), "-l", &labels(), "--format", "json"]).json();
    assert_eq!(json["checkpoints"][1]["name"].as_str().unwrap().rsplit_once(' ').unwrap().1, "(2)");
    for (name, difference) in json["candidates"][0]["metrics"].as_object().unwrap() {
        if !difference["p_value"].is_null() {
            assert_eq!(number(&difference["p_value"]), 1.0, "{name}");
            assert_eq!(difference["interval"], serde_json::json!([0.0, 0.0]), "{name}");
        }
    }
    let seeds = |seed: &str| compared(&folder, &["--seed", seed, "--no-timing", "--format", "json"]).success();
    assert_eq!(seeds("1"), seeds("1"));
    assert_ne!(seeds("1"), seeds("2"));
}

#[test]
fn gates_look_at_differences() {
    let folder = Folder::new();
    let run = compared(&folder, &["--fail-if", "delta(silhouette) > 0", "--fail-if", "lower(delta(silhouette)) > 0"]);
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("gate held for epoch10.npy: delta(silhouette) > 0"), "{}", run.stdout);
    let gate = "relative(margin) > 10% and not class(\"3\").silhouette < 0 or min_class(silhouette) > 2";
    let run = compared(&folder, &["--fail-if", gate, "--junit", "gates.xml", "--format", "json"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.starts_with("gate failed: epoch10.npy: relative(margin) > 10%"), "{}", run.stderr);
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    let outcome = &json["gates"][0];
    assert_eq!((outcome["failed"].as_bool(), outcome["checkpoint"].as_str()), (Some(true), Some("epoch10.npy")));
    assert_eq!(outcome["comparisons"][0]["right_value"], 0.1);
    assert_eq!(outcome["comparisons"].as_array().unwrap().len(), 3);
    let junit = folder.read("gates.xml");
    assert!(junit.contains("failures=\"1\"") && junit.contains("classname=\"epoch10.npy\""), "{junit}");
    assert!(junit.contains("min_class(silhouette) &gt; 2"), "{junit}");
    let run = compared(&folder, &["--fail-if", "class('33').silhouette < 0"]);
    assert_eq!(run.code, Some(1));
    assert!(run.stderr.contains("there is no class '33'"), "{}", run.stderr);
}

#[test]
fn github_gets_a_summary_and_annotations() {
    let folder = with_checkpoints(&["main.npy", "new.npy"]);
    let arguments = ["compare", "main.npy", "new.npy", "-l", "labels.npy", "--github", "--fail-if", "silhouette < 2"];
    folder.write("summary.md", "before\n");
    let run =
        crate::folder::run(folder.command().args(arguments).env("GITHUB_STEP_SUMMARY", folder.path("summary.md")));
    assert_eq!(run.code, Some(1));
    assert!(
        run.stderr.contains("\n::error title=embq gate::new.npy: silhouette < 2 (silhouette is "),
        "{}",
        run.stderr
    );
    let summary = folder.read("summary.md");
    assert!(summary.starts_with("before\n## embq: new.npy against main.npy"), "{summary}");
    assert!(summary.contains("| `silhouette < 2` | new.npy | **failed** |"), "{summary}");
    let run = folder.embq(arguments);
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("GITHUB_STEP_SUMMARY is not set"), "{}", run.stderr);
    // Scores have the same output.
    let arguments = "score main.npy -l labels.npy --github --junit j.xml --fail-if silhouette<2";
    let arguments = arguments.split_whitespace();
    let run =
        crate::folder::run(folder.command().args(arguments).env("GITHUB_STEP_SUMMARY", folder.path("summary.md")));
    assert_eq!(run.code, Some(1));
    assert!(folder.read("summary.md").contains("## embq: main.npy") && folder.exists("j.xml"));
}

#[test]
fn a_stored_result_is_an_unpaired_baseline() {
    let folder = Folder::new();
    let (baseline, labels) = (epoch("01"), labels());
    let score = |options: &str| {
        let options = options.split_whitespace();
        folder.embq(["score", &baseline, "-l", &labels].into_iter().chain(options)).success();
    };
    score("--intervals -q -o base.json --rows-out rows.parquet --distance sqeuclidean --temperature 2");
    score("-q -o plain.json --rows-out plain.parquet");
    let against = |baseline: &str, options: &str| {
        let arguments = ["compare", baseline, &epoch("10"), "-l", &labels].map(str::to_owned);
        folder.embq(arguments.into_iter().chain(options.split_whitespace().map(str::to_owned)))
    };
    let settings = "--distance sqeuclidean --temperature 2";
    let full = against(&baseline, &format!("{settings} --format json")).json();
    // Settings that are not given are those of the result.
    let json = against("base.json", "--format json").json();
    assert_eq!(json["candidates"][0]["paired"], false);
    assert!(json["warnings"].to_string().contains("unpaired"), "{}", json["warnings"]);
    let difference = |json: &Value| json["candidates"][0]["metrics"]["silhouette"].clone();
    let width = |json: &Value| number(&difference(json)["interval"][1]) - number(&difference(json)["interval"][0]);
    assert_eq!(difference(&json)["delta"], difference(&full)["delta"]);
    assert!(width(&json) > width(&full), "{} {}", width(&json), width(&full));
    let table = against("base.json", "").success();
    assert!(table.contains("unpaired"), "{table}");
    // Rows are paired, like the embeddings.
    let rows = against("rows.parquet", &format!("{settings} --format json")).json();
    assert_eq!(rows["candidates"][0]["paired"], true);
    for name in ["silhouette", "silhouette_macro", "soft_silhouette", "soft_silhouette_macro"] {
        for end in [0, 1] {
            let value = |json: &Value| number(&json["candidates"][0]["metrics"][name]["interval"][end]);
            assert!((value(&rows) - value(&full)).abs() < 1e-9, "{name}");
        }
    }
    // Without intervals there is no test.
    let json = against("plain.json", "--format json").json();
    assert!(difference(&json)["interval"].is_null() && difference(&json)["verdict"].is_null());
    assert!(json["warnings"].to_string().contains("without --intervals"), "{}", json["warnings"]);
    let table = against("plain.json", "").success();
    assert!(table.lines().any(|line| line.trim_start().starts_with("silhouette ")), "{table}");
    let run = against("plain.parquet", "");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("no influence values"), "{}", run.stderr);
    let run = against("base.json", "--distance cosine");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("differ in distance: sqeuclidean and cosine"), "{}", run.stderr);
    assert_eq!(against("base.json", "--distance cosine --allow-mismatch").code, Some(0));
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let folder = with_checkpoints(&["main.npy", "new.npy"]);
    folder.matrix("short.npy", &rows(3)[..39]);
    folder.integers("short-labels.npy", &(0..39).map(|row| i64::from(row >= 20)).collect::<Vec<_>>());
    folder.integers("other.npy", &(0..40).map(|row| i64::from(row >= 19)).collect::<Vec<_>>());
    folder.write("scored.json", "{\"kind\": \"grad\"}");
    refused(&folder, "main.npy -l labels.npy", &["needs a candidate besides main.npy"]);
    refused(&folder, "main.npy new.npy", &["main.npy has no labels", "--labels-for"]);
    refused(&folder, "-l labels.npy", &["needs a baseline and a candidate", "embq.toml"]);
    refused(&folder, "main.npy nwe.npy -l labels.npy", &["nwe.npy: no such file", "new.npy"]);
    refused(&folder, "scored.json new.npy -l labels.npy", &["scored.json: it is not a result of embq score"]);
    let own = "main.npy new.npy -l labels.npy --labels-for new.npy=other.npy";
    refused(
        &folder,
        own,
        &["differ in the labels of the rows: labels.npy (2 classes) and other.npy", "--allow-mismatch"],
    );
    let json = line(&folder, &format!("{own} --allow-mismatch --format json")).json();
    assert_eq!(json["candidates"][0]["paired"], true);
    assert!(json["warnings"].to_string().contains("the labels of the rows"), "{}", json["warnings"]);
    let rows = "main.npy short.npy -l labels.npy --labels-for short.npy=short-labels.npy";
    refused(&folder, rows, &["differ in rows: 40 and 39"]);
    let json = line(&folder, &format!("{rows} --allow-mismatch --format json")).json();
    assert_eq!(json["candidates"][0]["paired"], false);
    refused(&folder, "main.npy new.npy -l labels.npy --labels-for old.npy=x", &["no such checkpoint", "main.npy"]);
    refused(&folder, "main.npy new.npy -l labels.npy -o main.npy", &["does not say what to write"]);
    refused(&folder, "main.npy new.npy -l labels.npy --junit new.npy", &["new.npy is an input"]);
    let named = "main.npy new.npy -l labels.npy --name main.npy=x --name new.npy=x";
    refused(&folder, named, &["two checkpoints are named 'x'"]);
    refused(
        &folder,
        "main.npy new.npy -l labels.npy --fail-if delta(silhuette)<0",
        &["unknown metric 'silhuette'", "     ^^^^^^^^^"],
    );
    refused(&folder, "main.npy new.npy -l labels.npy --select best --by batches", &["batches has no better direction"]);
    refused(&folder, "main.npy new.npy -l labels.npy --select best --by silhuette", &["did you mean 'silhouette'"]);
}

#[test]
fn many_checkpoints_come_in_natural_order() {
    let folder = with_checkpoints(&["ckpt/step-900.npy", "ckpt/step-1000.npy", "ckpt/step-1100.npy"]);
    std::fs::copy(folder.path("labels.npy"), folder.path("ckpt/labels.npy")).unwrap();
    let names = |line_: &str| -> Vec<String> {
        let json = line(&folder, &format!("{line_} --format json")).json();
        let checkpoints = json["checkpoints"].as_array().unwrap().iter();
        checkpoints.map(|checkpoint| checkpoint["name"].as_str().unwrap().to_owned()).collect()
    };
    let expected = ["step-900.npy", "step-1000.npy", "step-1100.npy"];
    assert_eq!(names("ckpt -l ckpt/labels.npy"), expected);
    // A pattern expanded by the shell.
    assert_eq!(names("ckpt/step-1000.npy ckpt/step-1100.npy ckpt/step-900.npy -l labels.npy"), expected);
    assert_eq!(names("ckpt/step-1000.npy ckpt/step-900.npy -l labels.npy"), ["step-1000.npy", "step-900.npy"]);
    let table = line(&folder, "ckpt -l ckpt/labels.npy").success();
    assert!(table.contains("2 checkpoints against step-900.npy") && table.contains("* the best"), "{table}");
    assert!(table.lines().all(|line| line.width() <= 80), "{table}");
}

#[test]
fn the_course_of_a_training_run_is_drawn_and_its_best_selected() {
    let files: Vec<String> = (0..12).map(|step| format!("ckpt/step-{step}.npy")).collect();
    let folder = with_checkpoints(&files.iter().map(String::as_str).collect::<Vec<_>>());
    let table = line(&folder, "ckpt -l labels.npy").success();
    assert!(table.contains("course") && table.contains('█') && table.contains('▁'), "{table}");
    assert!(table.lines().all(|line| line.width() <= 80), "{table}");
    let json = line(&folder, "ckpt -l labels.npy --format json").json();
    let best = json["best"]["soft_silhouette"].as_str().unwrap();
    let values = json["checkpoints"].as_array().unwrap().iter();
    let value = |checkpoint: &Value| number(&checkpoint["result"]["metrics"]["soft_silhouette"]);
    let largest = values.max_by(|left, right| value(left).total_cmp(&value(right))).unwrap();
    assert_eq!(largest["name"].as_str(), Some(best));
    let selected = line(&folder, "ckpt -l labels.npy --select best --by soft_silhouette").success();
    assert_eq!(selected, format!("ckpt/{best}\n"));
    // Several tests are corrected by Holm's method: no p-value decreases.
    for candidate in json["candidates"].as_array().unwrap() {
        let difference = &candidate["metrics"]["silhouette"];
        assert!(number(&difference["adjusted_p_value"]) >= number(&difference["p_value"]), "{difference}");
    }
    let markdown = line(&folder, "ckpt -l labels.npy --format markdown").success();
    assert!(markdown.contains("| trend |") && markdown.contains("### step-11.npy"), "{markdown}");
}

#[test]
fn rows_are_paired_by_an_id() {
    let folder = Folder::new();
    let write = |name: &str, order: &[usize], seed: usize| {
        let rows = rows(seed);
        let column = |name: &str, values: Vec<f32>| Column::from(Series::new(name.into(), values));
        let ids: Vec<String> = order.iter().map(|row| format!("id{row}")).collect();
        let labels: Vec<String> = order.iter().map(|&row| if row < 20 { "a" } else { "b" }.to_owned()).collect();
        folder.parquet(
            name,
            vec![
                column("x", order.iter().map(|&row| rows[row][0]).collect()),
                column("y", order.iter().map(|&row| rows[row][1]).collect()),
                Series::new("label".into(), labels).into(),
                Series::new("id".into(), ids).into(),
            ],
        );
    };
    let straight: Vec<usize> = (0..40).collect();
    let turned: Vec<usize> = (0..40).map(|row| (row * 7 + 3) % 40).collect();
    write("main.parquet", &straight, 0);
    write("new.parquet", &straight, 1);
    write("turned.parquet", &turned, 1);
    write("fewer.parquet", &turned[..39], 1);
    let differences = |line_: &str| {
        let json = line(&folder, &format!("{line_} -l label --format json")).json();
        assert_eq!(json["candidates"][0]["paired"], true);
        json["candidates"][0]["metrics"]["silhouette"].clone()
    };
    let expected = differences("main.parquet new.parquet");
    let by_key = differences("main.parquet turned.parquet --key id");
    assert_eq!(by_key["p_value"], expected["p_value"]);
    for end in [0, 1] {
        let gap = number(&by_key["interval"][end]) - number(&expected["interval"][end]);
        assert!(gap.abs() < 1e-9, "{by_key} {expected}");
    }
    // By position, the labels differ.
    refused(&folder, "main.parquet turned.parquet -l label", &["the labels of the rows"]);
    refused(&folder, "main.parquet fewer.parquet -l label --key id", &["lacks 1 ids", "such as 'id"]);
    let json = line(&folder, "main.parquet fewer.parquet -l label --key id --allow-mismatch --format json").json();
    assert_eq!(json["candidates"][0]["paired"], true);
    refused(&folder, "main.parquet new.parquet -l label --key label", &["duplicate id 'a'"]);
}

#[test]
fn a_project_has_a_configured_comparison() {
    let folder = with_checkpoints(&["runs/main.npy", "runs/new.npy"]);
    let config = "[inputs]\nmain = \"runs/main.npy\"\nnew = { embeddings = \"runs/new.npy\" }\n\n[compare]\n\
                  baseline = \"main\"\nlabels = \"labels.npy\"\ndistance = \"euclidean\"\ntemperature = 0.5\n\
                  fail-if = [\"silhouette < 2\"]\n";
    folder.write("embq.toml", config);
    let run = line(&folder, "--format json");
    assert_eq!(run.code, Some(1), "{run:#?}");
    let json: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_eq!(json["checkpoints"][0]["name"], "main");
    assert_eq!(json["candidates"][0]["name"], "new");
    assert_eq!(json["checkpoints"][1]["result"]["settings"]["distance"], "euclidean");
    // Options override the file.
    let run = line(&folder, "--distance cosine --fail-if silhouette<-2 --format json");
    assert_eq!(run.json()["checkpoints"][1]["result"]["settings"]["distance"], "cosine");
    // From another folder, paths are relative to the file.
    std::fs::create_dir(folder.path("sub")).unwrap();
    std::fs::rename(folder.path("embq.toml"), folder.path("sub/embq.toml")).unwrap();
    refused(&folder, "--config sub/embq.toml", &["sub/runs/main.npy", "no such file"]);
    folder.write("bad.toml", config.replace("fail-if", "fail_if"));
    refused(&folder, "--config bad.toml", &["bad.toml", "unknown field `fail_if`"]);
    folder.write("bad.toml", config.replace("\"main\"\n", "\"mian\"\n"));
    refused(&folder, "--config bad.toml", &["unknown input 'mian'", "did you mean 'main'"]);
    folder.write("bad.toml", config.replace("\"euclidean\"", "\"euclidian\""));
    refused(&folder, "--config bad.toml", &["unknown distance 'euclidian'", "did you mean 'euclidean'"]);
    refused(&folder, "--config no.toml", &["no.toml"]);
}

#[test]
fn the_recipes_of_the_documentation_run() {
    // The Makefile and the shell parts of docs/ci.md, with the binary on the path.
    let folder = with_checkpoints(&["main.npy", "new.npy"]);
    let documentation = include_str!("../../docs/ci.md");
    let block = |language: &str, marker: &str| -> String {
        let fence = format!("```{language}\n");
        let blocks = documentation.split(&fence).skip(1).filter_map(|rest| rest.split("```").next());
        blocks
            .into_iter()
            .find(|block| block.contains(marker))
            .unwrap_or_else(|| panic!("no block with {marker}"))
            .to_owned()
    };
    folder.write("Makefile", block("make", "embeddings-gate"));
    let config = block("toml", "[inputs]");
    folder.write("embq.toml", config.replace("runs/", ""));
    let binary = std::path::Path::new(env!("CARGO_BIN_EXE_embq")).parent().unwrap().to_owned();
    let path = std::env::join_paths([binary, "/usr/bin".into(), "/bin".into()]).unwrap();
    let Ok(output) =
        Command::new("make").arg("embeddings-gate").current_dir(folder.path("")).env("PATH", path).output()
    else {
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    assert!(folder.exists("embeddings.md") && folder.exists("gates.xml"), "{text}");
}

#[test]
fn a_page_shows_verdicts_and_similarities() {
    let folder = Folder::new();
    let page = |options: &[&str]| {
        compared(&folder, &[options, &["-o", "page.html"]].concat()).success();
        folder.read("page.html")
    };
    let plain = page(&[]);
    assert!(plain.contains("id=\"verdicts\"") && plain.contains("id=\"silhouettes\""));
    assert!(!plain.contains("id=\"similarity\""));
    let similar = page(&["--similarity"]);
    assert!(similar.contains("id=\"similarity\"") && similar.contains("Procrustes distance"));
    // A stored baseline has no rows to draw.
    let baseline = epoch("00");
    folder.embq(["score", &baseline, "-l", &labels(), "--intervals", "-o", "main.json"]).success();
    folder.embq(["compare", "main.json", &epoch("01"), "-l", &labels(), "-o", "page.html"]).success();
    let stored = folder.read("page.html");
    assert!(stored.contains("id=\"verdicts\"") && !stored.split("<script>").next().unwrap().contains("NaN"));
}
