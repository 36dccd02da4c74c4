//! The output of a run: files and streams, read back by other means than those that wrote them.

use std::fs;
use std::process::{Command, Stdio};

use ndarray::Array2;
use polars::prelude::{DataType, NamedFrom, Series};
use polars_io::prelude::{ParquetReader, SerReader};
use serde_json::Value;

use crate::folder::{Folder, SIX, digits, fixture, run};

fn uneven(options: &str) -> Vec<String> {
    let mut arguments =
        vec!["score".to_owned(), fixture("uneven/embeddings.npy"), "-l".to_owned(), fixture("uneven/labels.npy")];
    arguments.extend(options.split_whitespace().map(str::to_owned));
    arguments
}

fn validator(folder: &Folder) -> jsonschema::Validator {
    jsonschema::validator_for(&folder.embq(["schema"]).json()).unwrap()
}

#[track_caller]
fn assert_valid(validator: &jsonschema::Validator, json: &Value) {
    let errors: Vec<String> =
        validator.iter_errors(json).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{json:#}");
}

/// The Euclidean distances between the six rows.
fn precomputed(folder: &Folder) {
    let distances = SIX.map(|x| SIX.map(|y| ((x[0] - y[0]).powi(2) + (x[1] - y[1]).powi(2)).sqrt()));
    folder.matrix("distances.npy", &distances);
}

#[test]
fn results_validate_against_the_schema() {
    let folder = Folder::with_set();
    let validator = validator(&folder);
    for distance in ["cosine", "euclidean", "sqeuclidean", "manhattan"] {
        let json = folder.embq(uneven(&format!("--distance {distance} --format json"))).json();
        assert_valid(&validator, &json);
        assert_eq!(json["kind"], "score");
        assert_eq!(json["schema_version"], 1);
        assert_eq!(json["settings"]["distance"], distance);
    }
    precomputed(&folder);
    let json = folder.score("distances.npy -l labels.npy --distance precomputed --format json").json();
    assert_valid(&validator, &json);
    let euclidean = folder.score("emb.npy -l labels.npy --distance euclidean --format json").json();
    let silhouette = |json: &Value| json["metrics"]["silhouette"].as_f64().unwrap();
    assert!((silhouette(&json) - silhouette(&euclidean)).abs() < 1e-6);
}

#[test]
fn results_with_everything_in_them_validate() {
    let folder = Folder::with_set();
    let validator = validator(&folder);
    folder.write("w.txt", "1\n2\n3\n1\n1\n4\n");
    let options = "--row-weights w.txt --batch-size 2 --fail-if silhouette<-1 --hash --ignore-label 9";
    let json = folder.score(&format!("emb.npy -l labels.npy {options} --format json")).json();
    assert_valid(&validator, &json);
    assert_eq!(json["gates"][0]["failed"], false);
    assert!(json["metrics"]["batch_loss"].is_number() || json["metrics"]["batch_loss"].is_null());
    // A failed gate is part of the result too.
    let failed = folder.score("emb.npy -l labels.npy --fail-if silhouette<2 --format json");
    assert_eq!(failed.code, Some(1));
    let json: Value = serde_json::from_str(&failed.stdout).unwrap();
    assert_valid(&validator, &json);
    assert_eq!(json["gates"][0]["failed"], true);
    let json = folder.embq(uneven("--metrics separation --no-timing --format json")).json();
    assert_valid(&validator, &json);
    // Something that is not a result must be refused, or the checks above prove nothing.
    assert!(!validator.is_valid(&serde_json::json!({"kind": "score"})));
}

#[test]
fn what_is_undefined_is_null_with_a_warning() {
    let folder = Folder::new();
    let validator = validator(&folder);
    // Rows that coincide within and between classes: no spread to divide by.
    folder.matrix("emb.npy", &[[1.0f32, 1.0]; 4]);
    folder.integers("labels.npy", &[0, 0, 1, 1]);
    let text = folder.score("emb.npy -l labels.npy --distance euclidean --format json").success();
    assert!(!text.contains("NaN") && !text.contains("inf"), "{text}");
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_valid(&validator, &json);
    let undefined: Vec<&String> = json["metrics"]
        .as_object()
        .unwrap()
        .iter()
        .filter(|(_, value)| value.is_null())
        .map(|(name, _)| name)
        .collect();
    assert!(undefined.iter().any(|name| *name == "ratio"), "{undefined:?}");
    let warnings = json["warnings"].to_string();
    for name in undefined {
        assert!(warnings.contains(name.as_str()), "no warning about {name}: {warnings}");
    }
    // The table shows only a dash instead, and CSV nothing.
    let table = folder.score("emb.npy -l labels.npy --distance euclidean").success();
    assert!(!table.contains("NaN") && !table.contains("None"), "{table}");
    let text = folder.score("emb.npy -l labels.npy --distance euclidean --format csv").success();
    assert!(text.contains("overall,,ratio,\n"), "{text}");
}

#[test]
fn a_single_row_has_no_compactness() {
    let folder = Folder::new();
    let json = folder.embq(uneven("--format json")).json();
    let labels: Vec<i64> = read_labels("uneven/labels.npy");
    let mut singles = 0;
    for class in json["classes"].as_array().unwrap() {
        let label: i64 = class["label"].as_str().unwrap().parse().unwrap();
        let count = labels.iter().filter(|other| **other == label).count();
        assert_eq!(class["count"], count);
        if count == 1 {
            singles += 1;
            assert!(class["intra_mean"].is_null(), "{class}");
            assert_eq!(class["silhouette"], 0.0, "{class}");
        }
    }
    assert!(singles > 0);
    assert_eq!(json["labels"]["singletons"], singles);
    assert!(json["warnings"].to_string().contains("single row"), "{}", json["warnings"]);
}

/// The integers of an npy fixture, of any width.
fn read_labels(name: &str) -> Vec<i64> {
    let path = fixture(name);
    ndarray_npy::read_npy::<_, ndarray::Array1<i64>>(&path)
        .map(|array| array.to_vec())
        .or_else(|_| {
            ndarray_npy::read_npy::<_, ndarray::Array1<i32>>(&path)
                .map(|array| array.iter().map(|&label| label.into()).collect())
        })
        .unwrap()
}

#[test]
fn json_and_csv_hold_the_same_numbers() {
    let folder = Folder::new();
    let json = folder.embq(uneven("--format json --no-timing --batch-size 64 -o result.csv")).json();
    let mut reader = csv::Reader::from_path(folder.path("result.csv")).unwrap();
    assert_eq!(reader.headers().unwrap(), vec!["scope", "label", "metric", "value"]);
    let (mut overall, mut by_class) = (0, 0);
    for record in reader.records() {
        let record = record.unwrap();
        let value: Option<f64> = (!record[3].is_empty()).then(|| record[3].parse().unwrap());
        let found = if &record[0] == "overall" {
            overall += 1;
            &json["metrics"][&record[2]]
        } else {
            by_class += 1;
            let classes = json["classes"].as_array().unwrap();
            &classes.iter().find(|class| class["label"] == record[1]).unwrap()[&record[2]]
        };
        assert_eq!(found.as_f64(), value, "{record:?}");
    }
    assert_eq!(overall, json["metrics"].as_object().unwrap().len());
    assert!(by_class > json["classes"].as_array().unwrap().len());
    // The same holds for JSON in a file.
    folder.embq(uneven("--no-timing --batch-size 64 -o result.json")).success();
    assert_eq!(serde_json::from_str::<Value>(&folder.read("result.json")).unwrap(), json);
}

#[test]
fn markdown_keeps_labels_from_being_markup() {
    let folder = Folder::new();
    folder.matrix("emb.npy", &SIX);
    folder.write(
        "labels.txt",
        "a|b\na|b\na|b\n<script>alert(1)</script>\n<script>alert(1)</script>\n<script>alert(1)</script>\n",
    );
    let text = folder.score("emb.npy -l labels.txt --format markdown").success();
    assert!(!text.contains("<script>"), "{text}");
    assert!(text.contains("&lt;script&gt;") && text.contains(r"a\|b"), "{text}");
    // Every row of a table has as many cells as its header.
    let bars = |line: &str| line.replace(r"\|", "").matches('|').count();
    let mut head = None;
    let mut rows = 0;
    for line in text.lines() {
        if !line.starts_with('|') {
            head = None;
            continue;
        }
        rows += 1;
        assert_eq!(bars(line), *head.get_or_insert(bars(line)), "{line}");
    }
    assert!(rows > 6, "{text}");
}

/// A row of `--rows-out`, whatever format it was in.
#[derive(Clone, Debug, PartialEq)]
struct Row {
    row: u64,
    label: Value,
    /// a, b, silhouette, soft silhouette.
    numbers: [Option<f64>; 4],
    nearest: Value,
}

const NUMBERS: [&str; 4] = ["a", "b", "silhouette", "soft_silhouette"];

fn rows_of_json_lines(text: &str) -> Vec<Row> {
    let rows = text.lines().map(|line| {
        let row: Value = serde_json::from_str(line).unwrap();
        Row {
            row: row["row"].as_u64().unwrap(),
            label: row["label"].clone(),
            numbers: NUMBERS.map(|name| row[name].as_f64()),
            nearest: row["nearest_other"].clone(),
        }
    });
    rows.collect()
}

/// CSV has no types: `typed` converts a cell to a label.
fn rows_of_csv(text: &str, typed: fn(&str) -> Value) -> Vec<Row> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = ["row", "label", "a", "b", "silhouette", "soft_silhouette", "nearest_other"];
    assert_eq!(reader.headers().unwrap(), names.to_vec());
    let rows = reader.records().map(|record| {
        let record = record.unwrap();
        Row {
            row: record[0].parse().unwrap(),
            label: typed(&record[1]),
            numbers: [2, 3, 4, 5].map(|column| (!record[column].is_empty()).then(|| record[column].parse().unwrap())),
            nearest: typed(&record[6]),
        }
    });
    rows.collect()
}

fn rows_of_parquet(folder: &Folder, name: &str) -> Vec<Row> {
    let table = ParquetReader::new(fs::File::open(folder.path(name)).unwrap()).finish().unwrap();
    let labels = |name: &str| -> Vec<Value> {
        let column = table.column(name).unwrap();
        match column.dtype() {
            DataType::Int64 => column.i64().unwrap().into_no_null_iter().map(Value::from).collect(),
            DataType::Boolean => column.bool().unwrap().iter().map(Value::from).collect(),
            _ => column.str().unwrap().iter().map(Value::from).collect(),
        }
    };
    let rows: Vec<u64> = table.column("row").unwrap().u64().unwrap().into_no_null_iter().collect();
    let numbers = NUMBERS.map(|name| table.column(name).unwrap().f64().unwrap().iter().collect::<Vec<Option<f64>>>());
    let (own, nearest) = (labels("label"), labels("nearest_other"));
    rows.iter()
        .enumerate()
        .map(|(at, &row)| Row {
            row,
            label: own[at].clone(),
            numbers: [0, 1, 2, 3].map(|column| numbers[column][at]),
            nearest: nearest[at].clone(),
        })
        .collect()
}

/// The records of a structured array whose labels have the NumPy type `kind` of `width` bytes.
fn rows_of_npy(bytes: &[u8], kind: &str, width: usize, typed: fn(&[u8]) -> Value) -> Vec<Row> {
    assert_eq!(bytes[..8], *b"\x93NUMPY\x01\x00");
    let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let header = std::str::from_utf8(&bytes[10..10 + length]).unwrap();
    assert_eq!((10 + length) % 64, 0, "NumPy aligns its data");
    let fields = format!(
        "'descr': [('row', '<i8'), ('label', '{kind}'), ('a', '<f8'), ('b', '<f8'), ('silhouette', '<f8'), \
         ('soft_silhouette', '<f8'), ('nearest_other', '{kind}')]"
    );
    assert!(header.contains(&fields), "{header}");
    let data = &bytes[10 + length..];
    let record = 8 + width + 4 * 8 + width;
    assert_eq!(data.len() % record, 0);
    assert!(header.contains(&format!("'shape': ({},)", data.len() / record)), "{header}");
    let rows = data.chunks_exact(record).map(|record| {
        let eight = |at: usize| -> [u8; 8] { record[at..at + 8].try_into().unwrap() };
        let number = |column: usize| f64::from_le_bytes(eight(8 + width + 8 * column));
        Row {
            row: u64::from_le_bytes(eight(0)),
            label: typed(&record[8..8 + width]),
            // npy has no null, so NaN stands for it.
            numbers: [0, 1, 2, 3].map(|column| Some(number(column)).filter(|value| !value.is_nan())),
            nearest: typed(&record[8 + width + 32..]),
        }
    });
    rows.collect()
}

fn integer(bytes: &[u8]) -> Value {
    i64::from_le_bytes(bytes.try_into().unwrap()).into()
}

fn text(bytes: &[u8]) -> Value {
    let characters = bytes.chunks_exact(4).map(|unit| u32::from_le_bytes(unit.try_into().unwrap()));
    let text: String = characters.filter(|&unit| unit != 0).map(|unit| char::from_u32(unit).unwrap()).collect();
    text.into()
}

#[test]
fn rows_are_the_same_in_every_format() {
    let folder = Folder::new();
    for extension in ["jsonl", "csv", "parquet", "npy"] {
        folder.embq(uneven(&format!("--rows-out rows.{extension} --format json -o result.json"))).success();
    }
    let rows = rows_of_json_lines(&folder.read("rows.jsonl"));
    let labels = read_labels("uneven/labels.npy");
    assert_eq!(rows.len(), labels.len());
    for (at, (row, label)) in rows.iter().zip(&labels).enumerate() {
        assert_eq!((row.row, &row.label), (at as u64, &Value::from(*label)));
        assert_ne!(row.nearest, row.label);
        let single = labels.iter().filter(|other| *other == label).count() == 1;
        assert_eq!(row.numbers[0].is_none(), single, "{row:?}");
        // The definition of the silhouette.
        if let [Some(a), Some(b), Some(silhouette), Some(_)] = row.numbers {
            assert!((silhouette - (b - a) / a.max(b)).abs() < 1e-12, "{row:?}");
        }
    }
    assert_eq!(rows_of_csv(&folder.read("rows.csv"), |cell| cell.parse::<i64>().unwrap().into()), rows);
    assert_eq!(rows_of_parquet(&folder, "rows.parquet"), rows);
    let bytes = fs::read(folder.path("rows.npy")).unwrap();
    assert_eq!(rows_of_npy(&bytes, "<i8", 8, integer), rows);
    // The mean over rows is the headline.
    let result: Value = serde_json::from_str(&folder.read("result.json")).unwrap();
    for (column, name) in [(2, "silhouette"), (3, "soft_silhouette")] {
        let mean = rows.iter().map(|row| row.numbers[column].unwrap()).sum::<f64>() / rows.len() as f64;
        assert!((mean - result["metrics"][name].as_f64().unwrap()).abs() < 1e-12, "{name}");
    }
}

#[test]
fn text_labels_of_rows_stay_text() {
    let folder = Folder::new();
    folder.matrix("emb.npy", &SIX);
    folder.write("labels.txt", "Füchse, \"rot\"\n007\nFüchse, \"rot\"\n🦊\n🦊\n007\n");
    for extension in ["jsonl", "csv", "parquet", "npy"] {
        folder.score(&format!("emb.npy -l labels.txt --rows-out rows.{extension}")).success();
    }
    let rows = rows_of_json_lines(&folder.read("rows.jsonl"));
    let labels: Vec<&str> = rows.iter().map(|row| row.label.as_str().unwrap()).collect();
    assert_eq!(labels, ["Füchse, \"rot\"", "007", "Füchse, \"rot\"", "🦊", "🦊", "007"]);
    assert_eq!(rows_of_csv(&folder.read("rows.csv"), |cell| cell.into()), rows);
    assert_eq!(rows_of_parquet(&folder, "rows.parquet"), rows);
    let bytes = fs::read(folder.path("rows.npy")).unwrap();
    assert_eq!(rows_of_npy(&bytes, "<U13", 4 * 13, text), rows);
}

#[test]
fn boolean_labels_of_rows_stay_booleans() {
    let folder = Folder::new();
    folder.parquet(
        "table.parquet",
        vec![
            Series::new("x".into(), [1.0, 1.1, 1.3, 2.0, 2.1, 2.2]).into(),
            Series::new("y".into(), [2.0, 2.1, 2.3, 1.0, 1.1, 1.4]).into(),
            Series::new("good".into(), [true, true, false, false, false, true]).into(),
        ],
    );
    for extension in ["jsonl", "csv", "parquet", "npy"] {
        folder.score(&format!("table.parquet -l good --rows-out rows.{extension}")).success();
    }
    let rows = rows_of_json_lines(&folder.read("rows.jsonl"));
    let labels: Vec<bool> = rows.iter().map(|row| row.label.as_bool().unwrap()).collect();
    assert_eq!(labels, [true, true, false, false, false, true]);
    assert_eq!(rows_of_parquet(&folder, "rows.parquet"), rows);
    let bytes = fs::read(folder.path("rows.npy")).unwrap();
    assert_eq!(rows_of_npy(&bytes, "|b1", 1, |byte| (byte[0] == 1).into()), rows);
    let typed = |cell: &str| cell.to_lowercase().parse::<bool>().unwrap().into();
    assert_eq!(rows_of_csv(&folder.read("rows.csv"), typed), rows);
}

#[test]
fn rows_keep_their_numbers_where_some_are_ignored() {
    let folder = Folder::new();
    let mut rows = vec![[3.0, 3.0]];
    rows.extend(SIX);
    folder.matrix("emb.npy", &rows);
    folder.integers("labels.npy", &[-1, 0, 0, 0, 1, 1, 1]);
    folder.score("emb.npy -l labels.npy --ignore-label -1 --rows-out rows.jsonl").success();
    let rows: Vec<u64> = rows_of_json_lines(&folder.read("rows.jsonl")).iter().map(|row| row.row).collect();
    assert_eq!(rows, [1, 2, 3, 4, 5, 6]);
}

#[test]
fn matrices_are_the_same_in_every_format() {
    let folder = Folder::new();
    for extension in ["csv", "parquet", "json", "npy"] {
        folder.embq(uneven(&format!("--matrix-out matrix.{extension}"))).success();
    }
    let json: Value = serde_json::from_str(&folder.read("matrix.json")).unwrap();
    let mut expected = read_labels("uneven/labels.npy");
    expected.sort();
    expected.dedup();
    let labels: Vec<String> = expected.iter().map(ToString::to_string).collect();
    assert_eq!(json["labels"], serde_json::json!(labels));
    let k = labels.len();
    let matrix: Vec<Vec<Option<f64>>> = serde_json::from_value(json["distances"].clone()).unwrap();
    assert_eq!(matrix.len(), k);
    for (row, distances) in matrix.iter().enumerate() {
        assert_eq!(distances.len(), k);
        for (column, here) in distances.iter().enumerate().filter(|(column, _)| *column != row) {
            // The sums of the two sides run in different orders, so they may differ by rounding.
            let (here, there) = (here.unwrap(), matrix[column][row].unwrap());
            assert!((here - there).abs() <= 1e-14 * here, "{here} in row {row}, column {column}; {there}");
        }
    }
    assert!((0..k).any(|class| matrix[class][class].is_none()), "a single row has no distance within its class");

    let mut reader = csv::Reader::from_path(folder.path("matrix.csv")).unwrap();
    let header: Vec<String> = reader.headers().unwrap().iter().map(str::to_owned).collect();
    assert_eq!((header[0].as_str(), &header[1..]), ("label", &labels[..]));
    for (at, record) in reader.records().enumerate() {
        let record = record.unwrap();
        assert_eq!(record[0], labels[at]);
        let row: Vec<Option<f64>> =
            record.iter().skip(1).map(|cell| (!cell.is_empty()).then(|| cell.parse().unwrap())).collect();
        assert_eq!(row, matrix[at]);
    }

    let table = ParquetReader::new(fs::File::open(folder.path("matrix.parquet")).unwrap()).finish().unwrap();
    assert_eq!(table.width(), k + 1);
    for (at, label) in labels.iter().enumerate() {
        let column: Vec<Option<f64>> = table.column(label).unwrap().f64().unwrap().iter().collect();
        let expected: Vec<Option<f64>> = matrix.iter().map(|row| row[at]).collect();
        assert_eq!(column, expected);
    }

    let npy: Array2<f64> = ndarray_npy::read_npy(folder.path("matrix.npy")).unwrap();
    assert_eq!(npy.dim(), (k, k));
    for ((row, column), value) in npy.indexed_iter() {
        assert_eq!(Some(*value).filter(|value| !value.is_nan()), matrix[row][column]);
    }
}

#[test]
fn a_matrix_of_classes_with_the_names_of_columns() {
    let folder = Folder::with_set();
    folder.write("labels.txt", "label\nlabel\nlabel\nlabel \nlabel \nlabel \n");
    for extension in ["csv", "json", "npy", "parquet"] {
        folder.score(&format!("emb.npy -l labels.txt --matrix-out matrix.{extension}")).success();
    }
    let table = ParquetReader::new(fs::File::open(folder.path("matrix.parquet")).unwrap()).finish().unwrap();
    assert_eq!((table.height(), table.width()), (2, 3));
}

#[test]
fn an_older_output_outlives_a_failed_run() {
    let folder = Folder::with_set();
    let names = ["out.json", "out.md", "rows.csv", "matrix.csv"];
    for name in names {
        folder.write(name, "precious");
    }
    let mut rows = SIX;
    rows[5][1] = f32::NAN;
    folder.matrix("bad.npy", &rows);
    let outputs = "-o out.json -o out.md --rows-out rows.csv --matrix-out matrix.csv";
    let run = folder.score(&format!("bad.npy -l labels.npy {outputs}"));
    assert_eq!(run.code, Some(2));
    for name in names {
        assert_eq!(folder.read(name), "precious", "{name}");
    }
    folder.score(&format!("emb.npy -l labels.npy {outputs}")).success();
    for name in names {
        assert!(!folder.read(name).contains("precious"), "{name}");
    }
}

/// Sends a signal to a run as soon as its unfinished file is in the folder.
#[cfg(target_os = "linux")]
fn interrupted_by(signal: &str) {
    let folder = Folder::new();
    let matrix = ndarray::Array2::from_shape_fn((400_000, 2), |(i, j)| ((i * 7 + j * 3) % 101) as f32 + 1.0);
    ndarray_npy::write_npy(folder.path("emb.npy"), &matrix).unwrap();
    folder.integers("labels.npy", &(0..400_000).map(|row| row % 3).collect::<Vec<i64>>());
    folder.write("rows.csv", "older");
    // Whoever runs the tests may ignore signals, which children inherit.
    let mut child = std::process::Command::new("env")
        .args(["--default-signal", env!("CARGO_BIN_EXE_embq"), "score", "emb.npy", "-l", "labels.npy"])
        .args(["--rows-out", "rows.csv"])
        .current_dir(folder.path(""))
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let unfinished = || {
        let names =
            std::fs::read_dir(folder.path("")).unwrap().filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let mut unfinished = names.filter(|name| name.starts_with(".embq-"));
        unfinished.any(|name| std::fs::metadata(folder.path(&name)).is_ok_and(|metadata| metadata.len() > 0))
    };
    while !unfinished() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be interrupted");
        std::thread::yield_now();
    }
    let sent = std::process::Command::new("kill").args(["-s", signal, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(130), "{signal}");
    let mut left: Vec<_> =
        std::fs::read_dir(folder.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["emb.npy", "labels.npy", "rows.csv"]);
    assert_eq!(folder.read("rows.csv"), "older");
}

#[cfg(target_os = "linux")]
#[test]
fn an_interrupted_run_leaves_nothing_behind() {
    for signal in ["INT", "TERM"] {
        interrupted_by(signal);
    }
}

#[test]
fn several_files_in_one_run() {
    let folder = Folder::with_set();
    let line = "emb.npy -l labels.npy --no-timing";
    let table = folder.score(&format!("{line} -o a.json -o b.md -o c.csv -o d.txt")).success();
    assert!(table.contains("class  rows"), "{table}");
    assert_eq!(folder.read("d.txt"), table);
    for (format, name) in [("json", "a.json"), ("markdown", "b.md"), ("csv", "c.csv")] {
        let shown = folder.score(&format!("{line} --format {format}")).success();
        assert_eq!(folder.read(name), shown, "{format}");
    }
    assert!(folder.read("a.json").ends_with("}\n"));
}

#[test]
fn quiet_prints_nothing_where_a_file_is_written() {
    let folder = Folder::with_set();
    let run = folder.score("emb.npy -l labels.npy --quiet -o out.json");
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (Some(0), "", ""));
    assert!(folder.exists("out.json"));
    // Without a file there would be no output at all.
    let shown = folder.score("emb.npy -l labels.npy --quiet").success();
    assert!(shown.contains("silhouette"), "{shown}");
    // A failed gate is reported anyway.
    let run = folder.score("emb.npy -l labels.npy --quiet -o out.json --fail-if silhouette<2");
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("gate failed: silhouette<2"), "{}", run.stderr);
}

#[test]
fn nothing_is_said_beside_the_result() {
    let run = Folder::new().embq(digits());
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_ends_the_run_silently() {
    let folder = Folder::new();
    let commands: [&[&str]; 4] = [&["metrics"], &["schema"], &["completions", "bash"], &["man"]];
    let mut all: Vec<Vec<String>> =
        commands.iter().map(|words| words.iter().map(|word| (*word).to_owned()).collect()).collect();
    all.push(digits().to_vec());
    for arguments in all {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_embq"))
            .args(&arguments)
            .current_dir(folder.path("."))
            .stdout(writer)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_an_error() {
    let folder = Folder::with_set();
    for arguments in [&["score", "emb.npy", "-l", "labels.npy"][..], &["metrics"], &["completions", "zsh"]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_embq"))
            .args(arguments)
            .current_dir(folder.path("."))
            .stdout(full)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains("standard output: cannot write") && stderr.contains("No space left"), "{stderr}");
    }
    std::os::unix::fs::symlink("/dev/full", folder.path("out.json")).unwrap();
    let run = run(folder.command().args(["score", "emb.npy", "-l", "labels.npy", "-o", "out.json"]));
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("out.json: cannot write") && run.stderr.contains("No space left"), "{}", run.stderr);
}

#[test]
fn an_input_is_never_overwritten() {
    let folder = Folder::with_set();
    let before = fs::read(folder.path("emb.npy")).unwrap();
    folder.write("labels.csv", "label\na\na\na\nb\nb\nb\n");
    for (line, name) in [
        ("emb.npy -l labels.npy --rows-out emb.npy", "emb.npy"),
        ("emb.npy -l labels.npy --rows-out ./emb.npy", "emb.npy"),
        ("emb.npy -l labels.csv:label -o labels.csv", "labels.csv"),
    ] {
        let run = folder.score(line);
        assert_eq!(run.code, Some(2), "{line}");
        assert!(run.stderr.contains(&format!("{name} is an input")), "{}", run.stderr);
    }
    assert_eq!(fs::read(folder.path("emb.npy")).unwrap(), before);
}

#[test]
fn labels_keep_their_escapes_where_programs_read_them() {
    let folder = Folder::with_set();
    folder.write("labels.txt", "\u{1b}[31mred\n\u{1b}[31mred\n\u{1b}[31mred\nb\nb\nb\n");
    let run = folder.score("emb.npy -l labels.txt --format csv -o out.csv");
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert!(run.stdout.contains("\u{1b}[31mred"), "{}", run.stdout);
    assert!(fs::read_to_string(folder.path("out.csv")).unwrap().contains("\u{1b}[31mred"));
}

#[test]
fn every_metric_that_was_asked_for_is_shown() {
    let folder = Folder::with_set();
    let run = folder.score("emb.npy -l labels.npy --metrics radius_max,a_std");
    for name in ["radius_max", "radius_max_macro", "a_std", "a_std_macro"] {
        assert!(run.stdout.contains(&format!("  {name} ")), "{name} in {}", run.stdout);
    }
}

#[test]
fn metrics_of_batches_need_a_batch_size() {
    let folder = Folder::with_set();
    let run = folder.score("emb.npy -l labels.npy --metrics batch");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("--batch-size"), "{}", run.stderr);
}
