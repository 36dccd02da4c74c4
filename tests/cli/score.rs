//! The output of `embq score`, and the effect of its options.

use serde_json::Value;
use unicode_width::UnicodeWidthStr;

use crate::folder::{Folder, SIX, digits, fixture, run};

/// Scores the digits with more options.
fn score_digits(options: &[&str]) -> crate::folder::Run {
    let arguments = digits().into_iter().chain(options.iter().map(|&option| option.to_owned()));
    Folder::new().embq(arguments)
}

fn silhouettes_of_classes(json: &Value) -> Vec<f64> {
    let classes = json["classes"].as_array().unwrap().iter();
    classes.map(|class| class["silhouette"].as_f64().unwrap()).collect()
}

/// Labels in the first column of the class table, from top to bottom.
fn listed_classes(table: &str) -> Vec<&str> {
    let lines = table.lines().skip_while(|line| !line.starts_with("class "));
    let rows = lines.skip(1).take_while(|line| !line.is_empty());
    rows.map(|line| line.split_whitespace().next().unwrap()).collect()
}

#[track_caller]
fn assert_narrow(text: &str) {
    for line in text.lines() {
        assert!(line.width() <= 80, "{} columns: {line}", line.width());
    }
}

// Values of scikit-learn's silhouette_score for the digits, with the metric as named.
const COSINE: f64 = 0.266544;
const EUCLIDEAN: f64 = 0.162943;

#[test]
fn the_table_of_the_digits() {
    let table = score_digits(&[]).success();
    assert_narrow(&table);
    assert!(table.contains("digits/embeddings.npy"), "{table}");
    assert!(table.contains("1,797 x 64 f32 · 10 classes · cosine · temperature 0.1"), "{table}");
    let headline = table.lines().find(|line| line.trim_start().starts_with("silhouette ")).unwrap();
    assert_eq!(headline.split_whitespace().nth(1), Some(&*format!("{COSINE:.4}")), "{headline}");
    let last = table.lines().last().unwrap();
    assert!(last.contains("class 1 is confused with 8"), "{last}");
    assert!(table.ends_with('\n') && !table.ends_with("\n\n"), "{table:?}");
}

#[test]
fn silhouettes_are_those_of_scikit_learn() {
    for (distance, expected) in [("cosine", COSINE), ("euclidean", EUCLIDEAN)] {
        let json = score_digits(&["--distance", distance, "--format", "json"]).json();
        let found = json["metrics"]["silhouette"].as_f64().unwrap();
        assert!((found - expected).abs() < 1e-6, "{distance}: {found}");
        assert_eq!(json["settings"]["distance"], distance);
        let headline = format!("silhouette        {expected:.4}");
        let table = score_digits(&["--distance", distance]).success();
        assert!(table.contains(&headline), "{table}");
    }
}

#[test]
fn the_worst_class_comes_first() {
    let table = score_digits(&[]).success();
    let json = score_digits(&["--format", "json"]).json();
    let mut order: Vec<(f64, String)> =
        silhouettes_of_classes(&json).into_iter().zip((0..10).map(|label| label.to_string())).collect();
    order.sort_by(|left, right| left.0.total_cmp(&right.0));
    let expected: Vec<&str> = order.iter().map(|(_, label)| label.as_str()).collect();
    assert_eq!(listed_classes(&table), expected);
}

#[test]
fn classes_and_their_order_are_a_choice() {
    let table = score_digits(&["--classes", "3", "--sort", "label"]).success();
    assert_eq!(listed_classes(&table)[..3], ["0", "1", "2"]);
    assert!(table.contains("7 more"), "{table}");
    assert_narrow(&table);
    let all = score_digits(&["--sort", "label"]).success();
    assert_eq!(listed_classes(&all), ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]);

    // Most rows first, as counted in the text file of labels.
    let labels = std::fs::read_to_string(fixture("digits/labels.txt")).unwrap();
    let rows = |label: &str| labels.lines().filter(|line| *line == label).count();
    let by_count = score_digits(&["--sort", "count"]).success();
    let counts: Vec<usize> = listed_classes(&by_count).into_iter().map(rows).collect();
    assert_eq!(counts.len(), 10);
    assert!(counts.is_sorted_by(|left, right| left >= right) && counts[9] > 0, "{counts:?}");

    // A metric that is better when low has its highest first.
    let json = score_digits(&["--format", "json"]).json();
    let of = |label: &str| json["classes"][label.parse::<usize>().unwrap()]["intra_mean"].as_f64().unwrap();
    let by_metric = score_digits(&["--sort", "intra_mean"]).success();
    let values: Vec<f64> = listed_classes(&by_metric).into_iter().map(of).collect();
    assert!(values.is_sorted_by(|left, right| left >= right), "{values:?}");
}

/// Two dimensions with each class at a different angle and `rows` rows per class.
fn around_a_circle(folder: &Folder, labels: &[String], rows: usize) {
    let n = labels.len() * rows;
    let mut values = Vec::new();
    let mut column = csv::Writer::from_path(folder.path("labels.csv")).unwrap();
    column.write_record(["label"]).unwrap();
    for row in 0..n {
        let angle = (row as f32 + 0.5) / n as f32 * 3.0;
        values.push([angle.cos(), angle.sin()]);
        column.write_record([&labels[row / rows]]).unwrap();
    }
    column.flush().unwrap();
    folder.matrix("emb.npy", &values);
}

#[test]
fn a_thousand_classes_fit_the_table() {
    let folder = Folder::new();
    let labels: Vec<String> = (0..1000).map(|class| format!("a rather long name of class {class}")).collect();
    around_a_circle(&folder, &labels, 2);
    let table = folder.score("emb.npy -l labels.csv --classes all").success();
    assert_narrow(&table);
    let classes =
        table.lines().skip_while(|line| !line.starts_with("class ")).skip(1).take_while(|line| !line.is_empty());
    assert_eq!(classes.count(), 1000);
    let short = folder.score("emb.npy -l labels.csv").success();
    assert_narrow(&short);
    assert!(short.contains("980 more"), "{short}");
}

#[test]
fn labels_of_all_kinds_stay_in_their_cells() {
    let folder = Folder::new();
    let foxes = "🦊".repeat(50);
    let labels = [
        "\u{1b}[31mred\u{1b}[0m",
        "two\nlines\r\nand\ttabs",
        "これは長い日本語のラベルで、表の幅を超えるかもしれません",
        &foxes,
        "e\u{301}\u{302}\u{303}",
        "\u{202e}right to left",
        "one_word_without_any_place_to_break_it_that_is_longer_than_the_line_is_wide_and_then_some",
    ];
    around_a_circle(&folder, &labels.map(str::to_owned), 3);
    let table = folder.score("emb.npy -l labels.csv").success();
    assert_narrow(&table);
    let hostile = |character: char| character != '\n' && character.is_control() || character == '\u{202e}';
    assert!(!table.contains(hostile), "{table:?}");
    assert_eq!(listed_classes(&table).len(), labels.len(), "{table}");
    // Colour must not let a label's own escapes through either.
    let mut command = folder.command();
    command.env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1").args(["score", "emb.npy", "-l", "labels.csv"]);
    let coloured = run(&mut command).success();
    assert!(!coloured.contains("\u{1b}[31mred"), "{coloured:?}");
    let markdown = folder.score("emb.npy -l labels.csv --format markdown").success();
    assert!(!markdown.contains(hostile), "{markdown:?}");
    // JSON and CSV contain the labels unchanged.
    let json = folder.score("emb.npy -l labels.csv --format json").json();
    let mut found: Vec<&str> =
        json["classes"].as_array().unwrap().iter().map(|class| class["label"].as_str().unwrap()).collect();
    let mut expected = labels.to_vec();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn colours_come_when_they_are_wanted() {
    let plain = score_digits(&[]).success();
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    let folder = Folder::new();
    let mut command = folder.command();
    command.env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1").args(digits());
    let coloured = run(&mut command).success();
    assert!(coloured.contains("\u{1b}["), "{coloured:?}");
    // A pipe gets none by default.
    let mut command = folder.command();
    command.env_remove("NO_COLOR").args(digits());
    assert_eq!(run(&mut command).success().replace(char::is_numeric, ""), plain.replace(char::is_numeric, ""));
    // Colours are for terminals, not for files.
    let mut command = folder.command();
    command.env_remove("NO_COLOR").env("CLICOLOR_FORCE", "1").args(digits()).args(["-o", "out.txt"]);
    run(&mut command).success();
    let file = folder.read("out.txt");
    assert!(!file.contains('\u{1b}') && file.contains("silhouette"), "{file:?}");
}

#[test]
fn ignored_labels_are_counted_and_left_out() {
    let folder = Folder::new();
    let mut rows = SIX.to_vec();
    rows.extend([[3.0, 3.0], [5.0, 1.0]]);
    folder.matrix("noisy.npy", &rows);
    folder.integers("noisy_labels.npy", &[0, 0, 0, 1, 1, 1, -1, -1]);
    folder.matrix("emb.npy", &SIX);
    folder.integers("labels.npy", &[0, 0, 0, 1, 1, 1]);
    let ignoring = folder.score("noisy.npy -l noisy_labels.npy --ignore-label -1 --format json").json();
    let clean = folder.score("emb.npy -l labels.npy --format json").json();
    assert_eq!(ignoring["excluded"]["ignored_labels"], 2);
    assert_eq!(clean["excluded"]["ignored_labels"], 0);
    assert_eq!(ignoring["labels"]["classes"], 2);
    assert_eq!(ignoring["metrics"], clean["metrics"]);
    assert_eq!(ignoring["classes"], clean["classes"]);
    let unknown = folder.score("emb.npy -l labels.npy --ignore-label 9 --format json").json();
    let warnings = unknown["warnings"].to_string();
    assert!(warnings.contains("ignored label '9'"), "{warnings}");
}

#[test]
fn row_weights_weigh_the_mean() {
    let folder = Folder::with_set();
    let plain = folder.score("emb.npy -l labels.npy --format json").json();
    folder.floats("ones.npy", &[1.0; 6]);
    let ones = folder.score("emb.npy -l labels.npy --row-weights ones.npy --format json").json();
    let number = |json: &Value, name: &str| json["metrics"][name].as_f64().unwrap();
    for name in ["silhouette", "soft_silhouette", "separation", "fisher_ratio"] {
        let (left, right) = (number(&plain, name), number(&ones, name));
        assert!((left - right).abs() <= 1e-9 * left.abs(), "{name}: {left} {right}");
    }
    assert_ne!(plain["settings"], ones["settings"]);
    // The mean over rows is weighted, which the scores of the rows confirm.
    let weights = [1.0, 2.0, 3.0, 1.0, 1.0, 4.0];
    folder.floats("w.npy", &weights);
    let line = "emb.npy -l labels.npy --row-weights w.npy --rows-out rows.csv --format json";
    let weighted = folder.score(line).json();
    let mut rows = csv::Reader::from_path(folder.path("rows.csv")).unwrap();
    let column = rows.headers().unwrap().iter().position(|name| name == "silhouette").unwrap();
    let scores: Vec<f64> = rows.records().map(|row| row.unwrap()[column].parse().unwrap()).collect();
    assert_eq!(scores.len(), 6);
    let sum: f64 = scores.iter().zip(weights).map(|(score, weight)| score * weight).sum();
    let mean = sum / weights.iter().sum::<f64>();
    assert!((number(&weighted, "silhouette") - mean).abs() < 1e-12, "{mean}");
    assert_ne!(number(&weighted, "silhouette"), number(&plain, "silhouette"));
}

#[test]
fn any_number_of_threads_gives_the_same_text() {
    for distance in ["cosine", "euclidean"] {
        let texts = ["1", "2", "3", "8"].map(|threads| {
            score_digits(&["--format", "json", "--no-timing", "--distance", distance, "--threads", threads]).success()
        });
        assert!(texts.iter().all(|text| *text == texts[0]), "{distance}");
        assert!(!texts[0].contains("timing") && !texts[0].contains("seconds"), "{}", texts[0]);
    }
    let timed = score_digits(&["--format", "json"]).json();
    assert!(timed["timing"]["read_seconds"].as_f64().unwrap() >= 0.0);
    assert!(timed["timing"]["compute_seconds"].as_f64().unwrap() > 0.0);
}

fn names(json: &Value) -> Vec<&str> {
    json["metrics"].as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn only_the_metrics_that_were_asked_for() {
    let all = score_digits(&["--format", "json"]).json();
    assert!(names(&all).contains(&"fisher_ratio"));
    let json = score_digits(&["--metrics", "silhouette", "--format", "json"]).json();
    let found = names(&json);
    assert!(found.contains(&"silhouette"), "{found:?}");
    for other in ["soft_silhouette", "soft_silhouette_loss", "fisher_ratio", "separation", "margin", "batch_loss"] {
        assert!(!found.contains(&other), "{found:?}");
    }
    assert_eq!(json["metrics"]["silhouette"], all["metrics"]["silhouette"]);
    let table = score_digits(&["--metrics", "silhouette"]).success();
    assert!(!table.contains("soft") && !table.contains("Fisher"), "{table}");
    let two = score_digits(&["--metrics", "fisher_ratio, separation", "--format", "json"]).json();
    let found = names(&two);
    assert!(found.contains(&"fisher_ratio") && found.contains(&"separation"), "{found:?}");
    assert!(!found.contains(&"soft_silhouette"), "{found:?}");
}

#[test]
fn a_batch_size_adds_the_loss_of_batches() {
    let without = score_digits(&["--format", "json"]).json();
    assert!(names(&without).iter().all(|name| !name.starts_with("batch")), "{:?}", names(&without));
    let with = |seed| score_digits(&["--format", "json", "--batch-size", "256", "--seed", seed, "--no-timing"]).json();
    let json = with("0");
    for name in ["batch_loss", "batch_loss_std", "batches", "batches_skipped", "batch_without_positive"] {
        assert!(json["metrics"][name].is_number(), "{name} in {:?}", names(&json));
    }
    // 1797 rows fill 7 batches of 256, with some left over.
    let batches = json["metrics"]["batches"].as_f64().unwrap() + json["metrics"]["batches_skipped"].as_f64().unwrap();
    assert!(batches == 7.0 || batches == 8.0, "{batches}");
    assert_eq!(json, with("0"));
    assert_ne!(json["metrics"]["batch_loss"], with("1")["metrics"]["batch_loss"]);
}

#[test]
fn an_automatic_temperature_looks_at_two_classes() {
    let json = score_digits(&["--temperature", "auto", "--format", "json"]).json();
    let competitors = json["metrics"]["effective_competitors"].as_f64().unwrap();
    assert!((competitors - 2.0).abs() < 0.01, "{competitors}");
    let temperature = json["settings"]["temperature"].as_f64().unwrap();
    assert!(temperature > 0.0 && temperature < 0.1, "{temperature}");
    // Giving the temperature that was found by hand gives the same result.
    let by_hand = score_digits(&["--temperature", &temperature.to_string(), "--format", "json"]).json();
    assert_eq!(by_hand["metrics"], json["metrics"]);
}

#[test]
fn embeddings_and_labels_come_from_standard_input() {
    let folder = Folder::new();
    let plain = score_digits(&["--format", "json"]).json();
    let mut command = folder.command();
    command
        .args(["score", "-", "-l", &fixture("digits/labels.npy"), "--format", "json"])
        .write_stdin(std::fs::read(fixture("digits/embeddings.npy")).unwrap());
    let piped = run(&mut command).json();
    assert_eq!(piped["metrics"], plain["metrics"]);
    assert_eq!(piped["inputs"][0]["path"], "-");
    let mut command = folder.command();
    command
        .args(["score", &fixture("digits/embeddings.npy"), "-l", "-", "--format", "json"])
        .write_stdin(std::fs::read(fixture("digits/labels.txt")).unwrap());
    let piped = run(&mut command).json();
    assert_eq!(piped["metrics"], plain["metrics"]);
    assert_eq!(piped["labels"]["blake3"], plain["labels"]["blake3"]);
}

#[test]
fn the_hash_follows_the_content() {
    let folder = Folder::with_set();
    assert!(!folder.score("emb.npy -l labels.npy --format json").success().contains("\"hash\""));
    let hash = |json: Value| {
        let input = json["inputs"][0].as_object().unwrap().clone();
        let (_, value) = input.into_iter().find(|(name, _)| name.contains("blake3") || name.contains("hash")).unwrap();
        value.as_str().unwrap().to_owned()
    };
    let line = "emb.npy -l labels.npy --format json --hash";
    let first = hash(folder.score(line).json());
    assert_eq!(first, hash(folder.score(line).json()));
    let mut rows = SIX;
    rows[0][0] += 1.0;
    folder.matrix("emb.npy", &rows);
    assert_ne!(first, hash(folder.score(line).json()));
}

#[test]
fn numbers_of_every_size_fit_the_table() {
    let folder = Folder::with_set();
    for scale in [1e-130, 1e-30, 1e12, 1e100] {
        let bytes: Vec<u8> = SIX.iter().flatten().flat_map(|&value| (f64::from(value) * scale).to_le_bytes()).collect();
        folder.npy("emb.npy", "{'descr': '<f8', 'fortran_order': False, 'shape': (6, 2), }", &bytes);
        let mut silhouettes = Vec::new();
        for distance in ["cosine", "euclidean", "manhattan"] {
            let line = format!("emb.npy -l labels.npy --distance {distance}");
            let table = folder.score(&line).success();
            assert_narrow(&table);
            assert!(!table.contains("NaN") && !table.contains("inf"), "{table}");
            let json = folder.score(&format!("{line} --format json")).json();
            silhouettes.push(json["metrics"]["silhouette"].as_f64().unwrap());
        }
        // The silhouette does not depend on the scale.
        folder.matrix("plain.npy", &SIX);
        for (distance, silhouette) in ["cosine", "euclidean", "manhattan"].iter().zip(silhouettes) {
            let json = folder
                .score(&format!("plain.npy -l labels.npy --distance {distance} --precision f64 --format json"))
                .json();
            let plain = json["metrics"]["silhouette"].as_f64().unwrap();
            assert!((silhouette - plain).abs() < 1e-6, "{distance} times {scale}: {silhouette} {plain}");
        }
    }
}

#[test]
fn long_names_of_files_labels_and_gates_fit_the_table() {
    let folder = Folder::with_set();
    let name = format!("{}.npy", "long_name_".repeat(20));
    folder.matrix(&name, &SIX);
    assert_narrow(&folder.score(&format!("{name} -l labels.npy --ignore-label {}", "unknown".repeat(30))).success());
    let expression = format!("silhouette {} < 2", " ".repeat(100));
    let run = folder.embq(["score", "emb.npy", "-l", "labels.npy", "--fail-if", &expression]);
    assert_eq!(run.code, Some(1), "{}", run.stderr);
    assert_narrow(&run.stdout);
}

#[test]
fn classes_cannot_be_ordered_by_what_is_not_computed() {
    let folder = Folder::with_set();
    let run = folder.score("emb.npy -l labels.npy --metrics separation --sort silhouette");
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("silhouette is not computed") && run.stderr.contains("--metrics"), "{}", run.stderr);
}

#[test]
fn formats_and_layouts_of_the_same_numbers_score_the_same() {
    let folder = Folder::with_set();
    let expected = folder.score("emb.npy -l labels.npy --format json --precision f64").json();
    let values: Vec<f64> = SIX.iter().flatten().map(|&value| value.into()).collect();
    // Fortran order, most significant byte first.
    let columns = (0..2).flat_map(|column| (0..6).map(move |row| 2 * row + column));
    let bytes: Vec<u8> = columns.flat_map(|at| values[at].to_be_bytes()).collect();
    folder.npy("fortran.npy", "{'descr': '>f8', 'fortran_order': True, 'shape': (6, 2), }", &bytes);
    let mut lines = "x,y,label\n".to_owned();
    for (row, label) in SIX.iter().zip([0, 0, 0, 1, 1, 1]) {
        lines.push_str(&format!("{:?},{:?},{label}\n", f64::from(row[0]), f64::from(row[1])));
    }
    folder.write("table.csv", &lines);
    for line in [
        "fortran.npy -l labels.npy",
        "table.csv -l label",
        "table.csv:x..y -l table.csv:label",
        "fortran.npy -l table.csv:label",
    ] {
        let json = folder.score(&format!("{line} --format json --precision f64")).json();
        assert_eq!(json["metrics"], expected["metrics"], "{line}");
        assert_eq!(json["labels"]["blake3"], expected["labels"]["blake3"], "{line}");
    }
}

#[test]
fn intervals_are_in_every_form_of_the_result() {
    let folder = Folder::new();
    let run = |options: &str| {
        let options = options.split_whitespace().map(str::to_owned);
        folder.embq(digits().into_iter().chain(["--intervals".to_owned()]).chain(options))
    };
    let json = run("--format json --no-timing -o result.csv -o result.md --rows-out rows.csv").json();
    let number = |value: &Value| value.as_f64().unwrap();
    let metric = |name: &str| number(&json["metrics"][name]);
    let [low, high] = [0, 1].map(|end| number(&json["intervals"]["silhouette"][end]));
    assert!(low < metric("silhouette") && metric("silhouette") < high && high - low < 0.03, "{low} {high}");
    let width = 2.0 * 1.96 * number(&json["standard_errors"]["silhouette"]);
    assert!(((high - low) / width - 1.0).abs() < 0.1, "{low} {high} {width}");
    let losses = [0, 1].map(|end| 1.0 - number(&json["intervals"]["soft_silhouette_loss"][end]));
    let softs = [0, 1].map(|end| number(&json["intervals"]["soft_silhouette"][end]));
    assert!((losses[0] - softs[1]).abs() < 1e-12 && (losses[1] - softs[0]).abs() < 1e-12);
    let class = &json["classes"][0];
    let known = &class["silhouette_uncertainty"];
    assert!(number(&known["interval"][0]) < number(&class["silhouette"]), "{class}");
    assert!(number(&known["deviation"]) > number(&known["standard_error"]), "{class}");

    let csv = folder.read("result.csv");
    assert!(csv.contains(&format!("overall,,lower(silhouette),{low:?}\n")), "{csv}");
    assert!(csv.contains("class,0,upper(soft_silhouette),"), "{csv}");
    assert!(folder.read("result.md").contains("| silhouette | 0.2665 | 0.2"), "{}", folder.read("result.md"));
    let rows = folder.read("rows.csv");
    let mut rows = csv::Reader::from_reader(rows.as_bytes());
    let column = rows.headers().unwrap().iter().position(|name| name == "silhouette_influence").unwrap();
    let values: Vec<f64> = rows.records().map(|row| row.unwrap()[column].parse().unwrap()).collect();
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    assert!((mean - metric("silhouette")).abs() < 1e-9, "{mean}");

    let table = run("").success();
    assert!(table.contains("95 % interval 0.2") && table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert!(table.contains("rows  silhouette       ±"), "{table}");
    assert_eq!(run("--fail-if lower(silhouette)>0.25").code, Some(1));
    assert_eq!(run("--fail-if upper(silhouette)<0.26").code, Some(0));
}

#[test]
fn rows_with_intervals_are_written_in_every_format() {
    let folder = Folder::with_set();
    for extension in ["parquet", "csv", "jsonl", "npy"] {
        folder.score(&format!("emb.npy -l labels.npy --intervals --rows-out rows.{extension}")).success();
        let bytes = std::fs::read(folder.path(&format!("rows.{extension}"))).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("soft_silhouette_macro_influence"), "{extension}");
    }
    let run = folder.score("emb.npy -l labels.npy --intervals --subsample 4");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("--subsample"), "{}", run.stderr);
}

#[test]
fn accuracies_of_probes_are_shown_with_their_intervals() {
    let folder = Folder::new();
    let digits = ["score", &fixture("digits/embeddings.npy"), "-l", &fixture("digits/labels.npy")].map(str::to_owned);
    let options = ["--metrics", "ridge_probe_accuracy", "--intervals"].map(str::to_owned);
    let table = folder.embq(digits.into_iter().chain(options)).success();
    let line = table.lines().find(|line| line.contains("ridge_probe_accuracy")).unwrap_or_default();
    assert!(line.contains("(95 % interval 0.9") && line.contains(" to 0.9"), "{table}");
}
