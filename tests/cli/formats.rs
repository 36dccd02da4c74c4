//! Files written by other software, all with the same rows, and inputs of several files or labellings.

use serde_json::Value;

use crate::folder::{Folder, Run, fixture};

/// A file of the set that every format contains, with its selector if there is one.
fn path(name: &str) -> String {
    match name.split_once(':') {
        Some((file, selector)) => format!("{}:{selector}", fixture(&format!("formats/{file}"))),
        None => fixture(&format!("formats/{name}")),
    }
}

fn folder_of(name: &str) -> String {
    let file = path("plain.npy");
    file.replace("plain.npy", name)
}

fn score(embeddings: &str, labels: &str) -> Run {
    Folder::new().embq(["score", embeddings, "-l", labels, "--format", "json", "--no-timing"])
}

/// The metrics and classes of a run, without labels that other formats call differently.
#[track_caller]
fn numbers(run: Run) -> (Value, Vec<Value>) {
    let json = run.json();
    let classes = json["classes"].as_array().unwrap().iter().map(|class| class["silhouette"].clone()).collect();
    (json["metrics"].clone(), classes)
}

#[track_caller]
fn assert_close(found: &Value, expected: &Value) {
    for (name, expected) in expected.as_object().unwrap() {
        let (found, expected) = (found[name].as_f64().unwrap(), expected.as_f64().unwrap());
        assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{name}: {found} for {expected}");
    }
}

#[test]
fn every_format_gives_the_same_numbers() {
    let expected = numbers(score(&path("plain.npy"), &path("labels.npy")));
    for file in [
        "stored.npz",
        "deflated.npz",
        "f16.safetensors",
        "bf16.safetensors",
        "f32.safetensors",
        "list_f16_zstd.parquet",
        "large_list_f16_snappy.parquet",
        "fixed_size_list_f16_gzip.parquet",
        "list_f32_brotli.parquet",
        "large_list_f32_lz4.parquet",
        "fixed_size_list_f32_none.parquet",
        "columns.parquet",
        "categories.parquet",
        "lz4.feather",
        "zstd.feather",
        "plain.feather",
        "dictionary.arrow",
        "dictionary.arrows",
        "polars.arrow",
    ] {
        assert_eq!(numbers(score(&path(file), "label")), expected, "{file}");
    }
    assert_eq!(numbers(score(&folder_of("huggingface"), "label")), expected);
}

/// Arrays in float32, in every layout, order and compression.
#[test]
fn hdf5_gives_the_same_numbers() {
    let expected = numbers(score(&path("plain.npy"), &path("labels.npy")));
    for file in ["earliest.h5", "latest.h5"] {
        for array in ["plain", "half", "chunked", "deflated", "lzf", "growing", "nested/deep/array"] {
            for labels in ["label", "small", "names", "packed_names", "bytes"] {
                let found = numbers(score(&path(&format!("{file}:{array}")), labels));
                assert_eq!(found, expected, "{file}:{array} by {labels}");
            }
        }
        assert_close(&numbers(score(&path(&format!("{file}:double")), "label")).0, &expected.0);
    }
    for file in ["cells.h5ad", "cells_gzip.h5ad"] {
        for array in ["X", "obsm/X_pca", "X_pca", "obsm/X_frame", "obsm/X_rows", "obsm/X_columns"] {
            for labels in ["cell_type", "obs/cell_type", "leiden", "sample", "number"] {
                let found = numbers(score(&path(&format!("{file}:{array}")), labels));
                assert_eq!(found, expected, "{file}:{array} by {labels}");
            }
        }
    }
    assert_eq!(numbers(score(&path("cells_0.7.h5ad"), "cell_type")), expected);
    assert_eq!(numbers(score(&path("plain.npy"), &path("cells.h5ad:cell_type"))), expected);
}

#[test]
fn hdf5_labels_keep_their_types_and_what_is_missing() {
    let labels = |name: &str| {
        let options = ["--drop-null-labels", "--format", "json", "--no-timing"];
        let [file, labels] = [path("cells.h5ad:obsm/X_pca"), name.to_owned()];
        Folder::new().embq(["score", &file, "-l", &labels].into_iter().chain(options)).json()
    };
    assert_eq!(
        (&labels("cell_type")["labels"]["label_type"], &labels("number")["labels"]["label_type"]),
        (&"text".into(), &"integer".into())
    );
    assert_eq!(labels("even")["labels"]["label_type"], "boolean");
    assert_eq!(labels("number")["inputs"][0]["selector"], "obsm/X_pca");
    let [numbers, names] = [labels("some_numbers"), labels("some_names")];
    assert_eq!(numbers["metrics"], names["metrics"]);
    assert!(numbers["excluded"]["null_labels"].as_u64().unwrap() > 0);
    assert_eq!(numbers["excluded"], names["excluded"]);
    let parity = score(&path("latest.h5:plain"), "parity").json();
    assert_eq!((&parity["labels"]["label_type"], &parity["labels"]["classes"]), (&"text".into(), &2.into()));
    let even = score(&path("latest.h5:plain"), "even").json();
    assert_eq!(even["metrics"], parity["metrics"]);
}

#[test]
fn what_hdf5_holds_is_listed() {
    let refused = |embeddings: &str, labels: &str| {
        let run = score(&path(embeddings), labels);
        assert_eq!(run.code, Some(2), "{run:#?}");
        run.stderr
    };
    let several = refused("cells.h5ad", "cell_type");
    assert!(several.contains("obsm/X_pca") && several.contains("obsm/X_columns"), "{several}");
    let unknown = refused("cells.h5ad:obsm/X_pac", "cell_type");
    assert!(unknown.contains("did you mean 'obsm/X_pca'?"), "{unknown}");
    let unknown = refused("cells.h5ad:X_pca", "cell_typ");
    assert!(unknown.contains("obs/cell_type"), "{unknown}");
    for (array, wanted) in [("cube", "f32 of 3 axes (3 x 4 x 5)"), ("complex", "compound"), ("label", "i64")] {
        let run = Folder::new().embq(["inspect", &path(&format!("latest.h5:{array}"))]);
        assert!(run.success().contains(wanted), "{array}");
    }
    assert!(refused("latest.h5:cube", "label").contains("3 axes"));
    let table = Folder::new().embq(["inspect", &path("cells.h5ad")]).success();
    for part in ["obs/cell_type  categorical (text) 60", "obsm/X_frame", "obs/some_numbers", "(sparse) 60 x 12"] {
        assert!(table.contains(part), "{part}: {table}");
    }
}

#[test]
fn formats_of_vectors_give_the_same_numbers() {
    let labels = path("labels.npy");
    let expected = numbers(score(&path("plain.npy"), &labels));
    for (file, labels) in [
        ("bf16.npz:emb", "label"),
        ("rows.fvecs", &path("label.ivecs")),
        ("rows.bvecs", &labels),
        ("rows.fbin", &path("label.ibin")),
        ("rows.u8bin", &labels),
        ("rows.i8bin", &labels),
        ("words.bin", &labels),
        ("rows_sparse.npz", &labels),
        ("columns_sparse.npz", &labels),
        ("coordinates_sparse.npz", &labels),
        ("index/model.safetensors.index.json:emb", "label"),
        ("plain.npy.gz", &path("labels.txt.gz")),
        ("plain.npy.zst", &labels),
    ] {
        assert_eq!(numbers(score(&path(file), labels)), expected, "{file}");
    }
    assert_eq!(numbers(score(&path("bf16.npy"), &labels)), expected);
}

#[test]
fn packed_text_gives_the_same_numbers() {
    for (file, labels) in [("rows.tsv", "label"), ("rows.jsonl", "label"), ("word2vec.vec", &path("labels.npy"))] {
        let expected = numbers(score(&path(file), labels));
        for packed in ["gz", "zst"] {
            assert_eq!(numbers(score(&path(&format!("{file}.{packed}")), labels)), expected, "{file}.{packed}");
        }
    }
}

#[test]
fn json_documents_and_lines_of_arrays_give_the_same_numbers() {
    let labels = path("labels.npy");
    let expected = numbers(score(&path("rows.jsonl"), "label"));
    for (file, labels) in [
        ("objects.json:emb", "label"),
        ("matrix.json", &labels),
        ("matrix.json", &path("labels.json")),
        ("arrays.jsonl", &labels),
        ("response.json:data.*.embedding", "labels"),
    ] {
        assert_eq!(numbers(score(&path(file), labels)), expected, "{file}");
    }
}

#[test]
fn what_is_not_read_is_refused_with_a_cure() {
    let folder = Folder::new();
    folder.write("x.mat", b"MATLAB 5.0 MAT-file, Platform: GLNXA64");
    folder.write("x.tfrecord", b"\x18\0\0\0\0\0\0\0");
    folder.write("x.raw", [0; 64]);
    std::fs::create_dir(folder.path("x.zarr")).unwrap();
    folder.write("x.zarr/.zgroup", b"{}");
    // What lance leaves on disk: versions, and files of columns.
    for inner in ["_versions", "_transactions", "data"] {
        std::fs::create_dir_all(folder.path("x.lance").join(inner)).unwrap();
    }
    folder.write("x.lance/_versions/18446744073709551614.manifest", b"LANC");
    folder.write("x.lance/data/0.lance", b"\0\0LANC");
    for (input, wanted) in [
        (path("float8_e4m3.npy"), "view(ml_dtypes.float8_e4m3fn)"),
        (path("float8_e5m2.npy"), "view(ml_dtypes.float8_e5m2)"),
        (path("blocks_sparse.npz"), "scipy.sparse.load_npz"),
        ("x.mat".into(), "scipy.io.loadmat"),
        ("x.tfrecord".into(), "TFRecordDataset"),
        ("x.raw".into(), "numpy.fromfile"),
        ("x.zarr".into(), "zarr.open"),
        ("x.lance".into(), "lance.dataset(\"x.lance\").to_table(), \"x.parquet\")"),
        ("x.lance/data/0.lance".into(), "lance.dataset(\"x.lance\").to_table(), \"x.parquet\")"),
        ("s3://bucket/emb.npy".into(), "aws s3 cp s3://bucket/emb.npy"),
        ("https://example.org/emb.npy".into(), "curl -L -o emb.npy"),
        ("hf://datasets/a/b".into(), "hf download"),
    ] {
        let run = folder.embq(["score", &input, "-l", &path("labels.npy")]);
        assert_eq!(run.code, Some(2), "{input}: {run:#?}");
        let words = run.stderr.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains(wanted), "{input}: {}", run.stderr);
    }
}

#[test]
fn double_precision_and_text_agree_to_rounding() {
    let (expected, _) = numbers(score(&path("plain.npy"), &path("labels.npy")));
    for file in [
        "f64.safetensors",
        "list_f64_zstd.parquet",
        "large_list_f64_snappy.parquet",
        "fixed_size_list_f64_gzip.parquet",
        "rows.jsonl",
        "rows.tsv",
    ] {
        assert_close(&numbers(score(&path(file), "label")).0, &expected);
    }
    for file in ["glove.txt", "word2vec.vec"] {
        assert_close(&numbers(score(&path(file), &path("labels.npy"))).0, &expected);
    }
}

#[test]
fn nulls_and_ragged_lists_are_refused() {
    for (file, problem) in [
        ("null_element.parquet", "row 7, column 'emb': element 3 of the list is null"),
        ("null_list.parquet", "row 8, column 'emb': the list is null"),
        ("ragged.parquet", "row 9, column 'emb': a list of 5 values, where most have 12"),
    ] {
        let run = score(&path(file), "label");
        assert_eq!(run.code, Some(2), "{run:#?}");
        assert!(run.stderr.contains(file) && run.stderr.contains(problem), "{run:#?}");
    }
}

#[test]
fn word_vectors_have_words_for_labels() {
    let json = score(&path("glove.txt"), "word");
    assert_eq!(json.code, Some(2), "every word is a class of its own: {json:#?}");
    assert!(json.stderr.contains("60 classes in 60 rows"), "{}", json.stderr);
}

#[test]
fn shards_are_one_input_in_natural_order() {
    let whole = numbers(score(&path("plain.npy"), &path("labels.npy")));
    let shards = folder_of("shards");
    assert_eq!(numbers(score(&format!("{shards}/emb-*.npy"), &format!("{shards}/lab-*.npy"))), whole);
    assert_eq!(numbers(score(&format!("{shards}/emb-*.npy"), &path("labels.npy"))), whole);
}

#[test]
fn shards_of_unequal_length_are_named() {
    let folder = Folder::new();
    folder.matrix("emb-0.npy", &[[1.0, 0.0], [1.0, 0.1]]);
    folder.matrix("emb-1.npy", &[[0.0, 1.0], [0.1, 1.0], [0.2, 1.0]]);
    folder.integers("lab-0.npy", &[0, 0, 1]);
    folder.integers("lab-1.npy", &[1, 1]);
    let run = folder.score("emb-*.npy -l lab-*.npy");
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(run.stderr.contains("emb-0.npy has 2 rows, lab-0.npy has 3"), "{}", run.stderr);
    folder.matrix("emb-0.npy", &[[1.0, 0.0], [1.0, 0.1], [1.0, 0.2]]);
    folder.integers("lab-1.npy", &[1, 1, 0]);
    folder.score("emb-*.npy -l lab-*.npy").success();
    folder.matrix("emb-1.npy", &[[0.0], [0.1], [0.2]]);
    let run = folder.score("emb-*.npy -l lab-*.npy");
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert!(run.stderr.contains("emb-1.npy"), "{}", run.stderr);
}

/// Six rows with three labellings in one table.
fn labellings() -> Folder {
    let folder = Folder::new();
    folder.write(
        "t.csv",
        "x,y,kind,half,odd\n1,0.1,a,0,0\n2,0.3,a,0,1\n1.5,0,a,0,0\n0.1,1,b,1,1\n0.2,2,b,1,0\n0,1.5,b,1,1\n",
    );
    folder
}

#[test]
fn several_labellings_are_compared() {
    let folder = labellings();
    let alone = |label: &str| numbers(folder.score(&format!("t.csv:x..y -l {label} --format json --no-timing"))).0;
    let json = folder.score("t.csv:x..y -l kind -l odd --format json --no-timing").json();
    assert_eq!(json["kind"], "set");
    let results = json["results"].as_array().unwrap();
    assert_eq!(results.len(), 2);
    assert_eq!((&results[0]["metrics"], &results[1]["metrics"]), (&alone("kind"), &alone("odd")));
    let schema: Value = serde_json::from_str(&folder.embq(["schema"]).success()).unwrap();
    let errors: Vec<_> =
        jsonschema::validator_for(&schema).unwrap().iter_errors(&json).map(|e| e.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");

    let from = folder.score("t.csv:x..y --labels-from kind,odd --format json --no-timing").json();
    assert_eq!(from, json);
    let table = folder.score("t.csv:x..y -l kind -l odd").success();
    assert!(table.contains("kind") && table.contains("odd"), "{table}");
    insta::assert_snapshot!(folder.score("t.csv:x..y --labels-from kind,half,odd").success(), @r"
    t.csv:x..y
    6 x 2 f64 · cosine · temperature 0.1

    labels  rows  classes  silhouette     macro      soft  negative    intra
    kind       6        2     0.9947*   0.9947*   0.9947*    0.0 %*  0.0045*
    half       6        2     0.9947*   0.9947*   0.9947*    0.0 %*  0.0045*
    odd        6        2    -0.0248   -0.0248   -0.0296    33.3 %   0.5530
    * the best

    kind
    no row lies closer to another class than to its own

    half
    no row lies closer to another class than to its own

    odd
    class 0 is confused with 1: 33.3 % of its rows lie closer to 1
    ");
    let csv = folder.score("t.csv:x..y -l kind -l odd --format csv").success();
    assert!(csv.lines().next().unwrap().contains("labels"), "{csv}");
    assert!(csv.lines().any(|line| line.contains("kind")) && csv.lines().any(|line| line.contains("odd")), "{csv}");
    let markdown = folder.score("t.csv:x..y -l kind -l odd --format markdown").success();
    assert_eq!(markdown.matches("\n### ").count(), 2, "{markdown}");
    let run = folder.score("t.csv:x..y -l kind -l odd --rows-out rows.csv");
    assert_eq!(run.code, Some(2), "{run:#?}");
}

#[test]
fn a_gate_holds_for_every_labelling() {
    let folder = labellings();
    let line = "t.csv:x..y -l kind -l odd --fail-if silhouette<0.1";
    let run = folder.score(line);
    assert_eq!(run.code, Some(1), "{run:#?}");
    assert_eq!(folder.score("t.csv:x..y -l kind -l half --fail-if silhouette<0.1").code, Some(0));
}

/// Twelve rows: one NaN, one without a label, a class of two, a class of one.
fn untidy() -> Folder {
    let folder = Folder::new();
    let mut rows = String::from("x,y,label\n");
    for (x, y, label) in [
        ("1", "0.1", "a"),
        ("2", "0.3", "a"),
        ("nan", "1", "a"),
        ("1.5", "0", "a"),
        ("0.1", "1", "b"),
        ("0.2", "2", "b"),
        ("0", "1.5", "b"),
        ("-1", "-1", ""),
        ("-1", "0.2", "c"),
        ("-2", "0.1", "c"),
        ("3", "-3", "d"),
        ("0.3", "1.4", "b"),
    ] {
        rows.push_str(&format!("{x},{y},{label}\n"));
    }
    folder.write("t.csv", rows);
    folder
}

#[test]
fn rows_are_left_out_and_counted() {
    let folder = untidy();
    assert_eq!(folder.score("t.csv -l label").code, Some(2));
    assert_eq!(folder.score("t.csv -l label --drop-null-labels").code, Some(2));
    let all = "t.csv -l label --drop-invalid --drop-null-labels --format json --no-timing";
    let json = folder.score(all).json();
    assert_eq!(json["labels"]["classes"], 4);
    assert_eq!((&json["excluded"]["invalid"], &json["excluded"]["null_labels"]), (&1.into(), &1.into()));
    // The result equals that of a file without the dropped rows.
    let text = folder.read("t.csv");
    let kept: Vec<&str> = text.lines().filter(|line| !line.contains("nan") && !line.ends_with(',')).collect();
    folder.write("kept.csv", kept.join("\n") + "\n");
    let expected = folder.score("kept.csv -l label --format json --no-timing").json();
    assert_eq!(json["metrics"], expected["metrics"]);

    let json = folder.score(&format!("{all} --min-class-size 2")).json();
    assert_eq!(json["labels"]["classes"], 3);
    assert_eq!(json["excluded"]["small_classes"], 1);
    let without: Vec<&str> = kept.iter().copied().filter(|line| !line.ends_with(",d")).collect();
    folder.write("large.csv", without.join("\n") + "\n");
    let expected = folder.score("large.csv -l label --format json --no-timing").json();
    assert_eq!(json["metrics"], expected["metrics"]);
    assert_eq!(folder.score(&format!("{all} --exclude d")).json()["metrics"], expected["metrics"]);
    let include = folder.score(&format!("{all} --include a --include b --include c")).json();
    assert_eq!(include["metrics"], expected["metrics"]);
    let table = folder.score("t.csv -l label --drop-invalid --drop-null-labels --min-class-size 2").success();
    let note = "rows left out: 1 without a label, 1 with invalid values, 1 in a class that is too small";
    let words = table.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains("3 rows left out") && words.contains(note), "{table}");
}

#[test]
fn a_subsample_is_drawn_by_seed_and_said() {
    let [x, y] = ["digits/embeddings.npy", "digits/labels.npy"].map(fixture);
    let folder = Folder::new();
    let run = |seed: &str| {
        let options = ["--subsample", "300", "--seed", seed, "--format", "json", "--no-timing"];
        folder.embq(["score", &x, "-l", &y].into_iter().chain(options)).json()
    };
    let (first, again, other) = (run("1"), run("1"), run("2"));
    assert_eq!(first, again);
    assert_ne!(first["metrics"], other["metrics"]);
    assert_eq!(first["settings"]["subsample"], 300);
    let exact = folder.embq(["score", &x, "-l", &y, "--format", "json"]).json();
    let difference =
        first["metrics"]["silhouette"].as_f64().unwrap() - exact["metrics"]["silhouette"].as_f64().unwrap();
    assert!(difference.abs() < 0.03, "{difference}");
}
