//! Inputs that cannot be scored: each is refused with exit code 2, a message that says what is wrong and where, nothing
//! on standard output and no file.

use polars::prelude::{NamedFrom, Series};

use crate::folder::{Folder, SIX};

/// Scores with the arguments of `line` and asserts a refusal that contains each of the words.
#[track_caller]
fn refused(folder: &Folder, line: &str, words: &[&str]) -> String {
    let run = folder.score(&format!("{line} -o out.json"));
    assert_refused(folder, run, words)
}

#[track_caller]
fn assert_refused(folder: &Folder, run: crate::folder::Run, words: &[&str]) -> String {
    assert_eq!(run.code, Some(2), "{run:#?}");
    assert_eq!(run.stdout, "");
    assert!(run.stderr.starts_with("error: "), "{}", run.stderr);
    assert!(!run.stderr.contains("panicked"), "{}", run.stderr);
    assert!(!run.stderr.contains("defect"), "{}", run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "no '{word}' in:\n{}", run.stderr);
    }
    assert!(!folder.exists("out.json"), "a refused run wrote its output");
    let left: Vec<_> = std::fs::read_dir(folder.path("."))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".part"))
        .collect();
    assert!(left.is_empty(), "temporary files stay behind: {left:?}");
    run.stderr
}

fn set_with_embeddings(rows: &[[f32; 2]; 6]) -> Folder {
    let folder = Folder::with_set();
    folder.matrix("emb.npy", rows);
    folder
}

#[test]
fn row_counts_that_differ() {
    let folder = Folder::with_set();
    folder.integers("five.npy", &[0, 0, 1, 1, 1]);
    let message = refused(&folder, "emb.npy -l five.npy", &[]);
    insta::assert_snapshot!(message, @r"
    error: row counts differ: emb.npy has 6 rows, five.npy has 5
      tip: every row of the embeddings needs exactly one label, in the same order
    ");
}

#[test]
fn nan_and_infinity() {
    let mut rows = SIX;
    rows[2][1] = f32::NAN;
    rows[4][0] = f32::INFINITY;
    let folder = set_with_embeddings(&rows);
    let message = refused(&folder, "emb.npy -l labels.npy", &[]);
    insta::assert_snapshot!(message, @r"
    error: emb.npy: NaN in row 2, column 1; 2 row(s) hold NaN or infinite values
      tip: repair these rows, or leave them out with --drop-invalid
    ");
    rows[2][1] = 0.0;
    let folder = set_with_embeddings(&rows);
    refused(&folder, "emb.npy -l labels.npy", &["emb.npy: inf in row 4, column 0; 1 row(s)"]);
}

#[test]
fn a_zero_vector_has_no_direction() {
    let mut rows = SIX;
    rows[3] = [0.0, 0.0];
    let folder = set_with_embeddings(&rows);
    let words = ["emb.npy: row 3 is a zero vector", "1 row(s)", "--distance euclidean"];
    refused(&folder, "emb.npy -l labels.npy", &words);
    folder.score("emb.npy -l labels.npy --distance euclidean").success();
}

#[test]
fn too_few_and_too_many_classes() {
    let folder = Folder::with_set();
    folder.integers("one.npy", &[7; 6]);
    refused(&folder, "emb.npy -l one.npy", &["one.npy: ", "at least 2 classes, found 1 in 6 rows", "--ignore-label"]);
    folder.integers("ids.npy", &[0, 1, 2, 3, 4, 5]);
    refused(&folder, "emb.npy -l ids.npy", &["ids.npy: 6 classes in 6 rows", "N - 1 = 5", "not an id"]);
    refused(&folder, "emb.npy -l labels.npy --ignore-label 1", &["labels.npy: ", "found 1 in 3 rows"]);
}

#[test]
fn missing_labels() {
    let folder = Folder::with_set();
    let labels = [Some("a"), Some("a"), None, Some("b"), None, Some("b")];
    folder.parquet(
        "table.parquet",
        vec![
            Series::new("x".into(), [1.0, 1.1, 1.2, 2.0, 2.1, 2.2]).into(),
            Series::new("y".into(), [2.0, 2.1, 2.3, 1.0, 1.1, 1.4]).into(),
            Series::new("label".into(), labels).into(),
        ],
    );
    let words = ["table.parquet:label: row 2 has no label; 2 label(s) are missing", "--drop-null-labels"];
    refused(&folder, "table.parquet -l label", &words);
    folder.write("labels.csv", "id,name\n1,a\n2,\n3,a\n4,b\n5,b\n6,b\n");
    refused(&folder, "emb.npy -l labels.csv:name", &["labels.csv:name: row 1 has no label; 1 label(s)"]);
    folder.write("labels.txt", "a\na\na\n\nb\nb\n");
    refused(&folder, "emb.npy -l labels.txt", &["labels.txt: row 3 has no label; 1 label(s)"]);
}

#[test]
fn pickled_objects() {
    let folder = Folder::with_set();
    folder.npy("objects.npy", "{'descr': '|O', 'fortran_order': False, 'shape': (6, 2), }", b"\x80\x04]q\x00.");
    refused(&folder, "objects.npy -l labels.npy", &["objects.npy: object arrays", "unpickling", "numpy.save("]);
    folder.write("emb.pt", b"PK\x03\x04\0\0\0\0");
    refused(&folder, "emb.pt -l labels.npy", &["emb.pt: "]);
    folder.zip("emb.pt", &[("emb/data.pkl", b"\x80\x02.")]);
    let words = ["emb.pt: PyTorch files hold pickled Python objects", "tip: ", "numpy.save(", "torch.load(\"emb.pt\""];
    refused(&folder, "emb.pt -l labels.npy", &words);
    folder.write("emb.pkl", b"\x80\x04\x95\x10\0\0\0\0\0\0\0.");
    let words = ["emb.pkl: pickle files hold pickled Python objects", "tip: ", "numpy.save(", "pickle.load("];
    refused(&folder, "emb.pkl -l labels.npy", &words);
}

#[test]
fn truncated_npy() {
    let folder = Folder::with_set();
    let whole = std::fs::read(folder.path("emb.npy")).unwrap();
    folder.write("cut.npy", &whole[..whole.len() - 5]);
    let words = ["cut.npy: truncated", "declares 48 bytes", "holds 43", "save or copy the file again"];
    refused(&folder, "cut.npy -l labels.npy", &words);
    folder.write("head.npy", &whole[..20]);
    refused(&folder, "head.npy -l labels.npy", &["head.npy: "]);
    folder.write("mark.npy", &whole[..6]);
    refused(&folder, "mark.npy -l labels.npy", &["mark.npy: "]);
}

#[test]
fn headers_that_promise_the_moon() {
    let folder = Folder::with_set();
    let header = |shape: &str| format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
    folder.npy("moon.npy", &header("1000000000000, 1000000"), &[0; 64]);
    let words = ["moon.npy: truncated", "declares 4000000000000000000 bytes", "holds 64"];
    refused(&folder, "moon.npy -l labels.npy", &words);
    // The product overflows 64 bits.
    folder.npy("sun.npy", &header("9223372036854775807, 9223372036854775807"), &[0; 64]);
    refused(&folder, "sun.npy -l labels.npy", &["sun.npy: truncated"]);
    folder.npy("labels_moon.npy", "{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,), }", &[0; 48]);
    refused(&folder, "emb.npy -l labels_moon.npy", &["labels_moon.npy: truncated"]);
}

#[test]
fn unknown_columns() {
    let folder = Folder::with_set();
    folder.write("table.csv", "x,y,species\n1,2,a\n2,3,a\n3,1,b\n4,1,b\n");
    let message = refused(&folder, "table.csv -l specis", &[]);
    insta::assert_snapshot!(message, @r"
    error: table.csv: no column 'specis'
      tip: did you mean 'species'? there are: x, y, species
    ");
    refused(&folder, "table.csv:z -l species", &["table.csv: no column 'z'", "there are: x, y, species"]);
    refused(&folder, "emb.npy -l table.csv:spec1es", &["table.csv: no column 'spec1es'", "did you mean 'species'?"]);
    refused(&folder, "emb.npy -l table.csv", &["table.csv: which column holds the labels?", "x, y, species"]);
    refused(&folder, "emb.npy -l :species", &["':species' means a column of emb.npy, which is not a table"]);
    refused(&folder, "emb.npy:emb -l labels.npy", &["emb.npy: ", "nothing to select with ':emb'"]);
}

#[test]
fn a_name_that_is_a_file_and_a_column() {
    let folder = Folder::with_set();
    folder.write("table.csv", "x,y,species\n1.5,2,a\n2,3.5,a\n3,1,b\n4,1,b\n");
    folder.write("species", "a\na\nb\nb\n");
    let words = ["'species' is both a file and a column of table.csv", "'./species'", "':species'"];
    refused(&folder, "table.csv -l species", &words);
    // Both tips work.
    folder.score("table.csv -l ./species").success();
    folder.score("table.csv -l :species").success();
}

#[test]
fn files_that_are_not_there() {
    let folder = Folder::with_set();
    refused(&folder, "emd.npy -l labels.npy", &["emd.npy: no such file", "did you mean 'emb.npy'?"]);
    refused(&folder, "emb.npy -l label.npy", &["label.npy: no such file", "did you mean 'labels.npy'?"]);
    refused(&folder, "nowhere/x.npy -l labels.npy", &["nowhere/x.npy: no such file"]);
}

#[test]
fn directories_and_empty_files() {
    let folder = Folder::with_set();
    std::fs::create_dir(folder.path("dir")).unwrap();
    refused(&folder, "dir -l labels.npy", &["dir: the directory has no files that embq reads", "name a file"]);
    refused(&folder, "emb.npy -l dir", &["dir: the directory has no files"]);
    folder.write("empty.npy", b"");
    refused(&folder, "empty.npy -l labels.npy", &["empty.npy: it is empty (0 bytes)"]);
    refused(&folder, "emb.npy -l empty.npy", &["empty.npy: it is empty (0 bytes)"]);
    folder.write("strange.xyz", b"what is this");
    refused(&folder, "strange.xyz -l labels.npy", &["strange.xyz: its format is not known", "embq reads .npy, .npz"]);
    folder.write("strange.npy", b"what is this");
    refused(&folder, "strange.npy -l labels.npy", &["strange.npy: ", "not an npy file"]);
    folder.write("strange.parquet", b"PAR1 and nothing of it PAR1");
    refused(&folder, "strange.parquet -l labels.npy", &["strange.parquet: "]);
}

#[cfg(unix)]
#[test]
fn a_pipe_does_not_hang() {
    let folder = Folder::with_set();
    let made = std::process::Command::new("mkfifo").arg(folder.path("pipe")).status().unwrap();
    assert!(made.success());
    refused(&folder, "pipe -l labels.npy", &["pipe: it is a pipe or a device", "'-'"]);
    refused(&folder, "emb.npy -l pipe", &["pipe: it is a pipe or a device", "'-'"]);
}

#[cfg(unix)]
#[test]
fn files_that_cannot_be_read() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::with_set();
    std::fs::set_permissions(folder.path("emb.npy"), std::fs::Permissions::from_mode(0o000)).unwrap();
    if std::fs::File::open(folder.path("emb.npy")).is_ok() {
        // Root can read every file.
        return;
    }
    refused(&folder, "emb.npy -l labels.npy", &["emb.npy: cannot open", "ermission denied"]);
}

#[test]
fn text_where_numbers_are_needed() {
    let folder = Folder::new();
    folder.write("table.csv", "x,y,label\n1.5,2.5,a\n2,3,a\n3,oops,b\n4,1,b\n");
    refused(&folder, "table.csv -l label", &["table.csv: row 2, column 'y': 'oops'", "1 row(s)", "--drop-invalid"]);
    folder.write("empty_cell.csv", "x,y,label\n1.5,2.5,a\n,3,a\n3,1,b\n4,1,b\n");
    refused(&folder, "empty_cell.csv -l label", &["empty_cell.csv: row 1, column 'x': "]);
    refused(&folder, "table.csv:label -l label", &["table.csv:label: element type text cannot be used as embeddings"]);
    folder.write("weights.txt", "1\n1\nheavy\n1\n");
    folder.write("good.csv", "x,y,label\n1,2,a\n2,3,a\n3,1,b\n4,1,b\n");
    refused(&folder, "good.csv -l label --row-weights weights.txt", &["weights.txt: row 2: ", "heavy"]);
}

#[test]
fn ragged_csv() {
    let folder = Folder::new();
    folder.write("ragged.csv", "x,y,label\n1,2,a\n2,3\n3,1,b\n4,1,b\n");
    let words = ["ragged.csv: row 1: line 3 has 2 field(s), the first line has 3", "quoted"];
    refused(&folder, "ragged.csv -l label", &words);
    folder.write("long.csv", "x,y,label\n1,2,a\n2,3,a\n3,1,b,c\n4,1,b\n");
    refused(&folder, "long.csv -l label", &["long.csv: row 2: line 4 has 4 field(s)"]);
    folder.write("twice.csv", "x,x,label\n1,2,a\n2,3,a\n3,1,b\n4,1,b\n");
    refused(&folder, "twice.csv -l label", &["twice.csv: ", "'x'"]);
}

#[test]
fn embeddings_of_one_or_three_axes() {
    let folder = Folder::with_set();
    folder.floats("flat.npy", &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let words = ["flat.npy: expected two axes (rows x dimensions), found shape [6]", "reshape(-1, 1)"];
    refused(&folder, "flat.npy -l labels.npy", &words);
    folder.npy("cube.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (6, 2, 2), }", &[0; 96]);
    refused(&folder, "cube.npy -l labels.npy", &["cube.npy: expected two axes", "[6, 2, 2]"]);
    refused(&folder, "emb.npy -l emb.npy", &["emb.npy: ", "one label per row", "6 x 2", "argmax(1)"]);
    folder.npy("none.npy", "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 2), }", b"");
    refused(&folder, "none.npy -l labels.npy", &["none.npy: ", "no rows"]);
}

#[test]
fn matrices_that_are_no_distances() {
    let folder = Folder::new();
    folder.integers("labels.npy", &[0, 0, 1, 1]);
    let good = [[0.0, 1.0, 3.0, 4.0], [1.0, 0.0, 2.0, 3.0], [3.0, 2.0, 0.0, 1.0], [4.0, 3.0, 1.0, 0.0f32]];
    let line = "d.npy -l labels.npy --distance precomputed";
    folder.matrix("d.npy", &good);
    folder.score(line).success();
    folder.matrix("d.npy", &good.map(|row| [row[0], row[1], row[2]]));
    refused(&folder, line, &["d.npy: not a distance matrix: it has 4 rows and 3 columns", "square, symmetric"]);
    let mut bad = good;
    bad[1][2] = 2.5;
    folder.matrix("d.npy", &bad);
    refused(&folder, line, &["d.npy: ", "2.5 in row 1, column 2, but 2 in row 2, column 1", "symmetric"]);
    let mut bad = good;
    bad[2][2] = 0.5;
    folder.matrix("d.npy", &bad);
    refused(&folder, line, &["d.npy: ", "0.5 on the diagonal in row 2", "zero diagonal"]);
    let mut bad = good;
    (bad[0][3], bad[3][0]) = (-4.0, -4.0);
    folder.matrix("d.npy", &bad);
    refused(&folder, line, &["d.npy: ", "-4 in row 0, column 3"]);
}

#[test]
fn weights_that_weigh_nothing() {
    let folder = Folder::with_set();
    let line = "emb.npy -l labels.npy --row-weights w.npy";
    for (weight, shown) in [(0.0, "weight 0"), (-2.0, "weight -2"), (f64::NAN, "weight NaN"), (f64::INFINITY, "inf")] {
        folder.floats("w.npy", &[1.0, 1.0, 1.0, 1.0, weight, 1.0]);
        refused(&folder, line, &["w.npy: ", shown, "in row 4", "positive finite"]);
    }
    folder.floats("w.npy", &[1.0; 5]);
    refused(&folder, line, &["row counts differ", "emb.npy has 6 rows", "w.npy has 5"]);
}

#[test]
fn the_tip_on_weights_of_another_length_is_about_weights() {
    let folder = Folder::with_set();
    folder.floats("w.npy", &[1.0; 5]);
    let message = refused(&folder, "emb.npy -l labels.npy --row-weights w.npy", &["tip: ", "weight"]);
    assert!(!message.contains("one label"), "{message}");
}

#[test]
fn two_outputs_to_one_new_file_under_two_names() {
    let folder = Folder::with_set();
    let line = "emb.npy -l labels.npy --rows-out a.csv --matrix-out ./a.csv";
    refused(&folder, line, &["a.csv is used for two outputs"]);
    assert!(!folder.exists("a.csv"));
}

#[test]
fn settings_that_cannot_be() {
    let folder = Folder::with_set();
    let with = |options: &str| format!("emb.npy -l labels.npy {options}");
    refused(&folder, &with("--temperature 0"), &["'0'", "--temperature", "from 1e-6 to 1e6, or auto"]);
    refused(&folder, &with("--metrics silhuette"), &["unknown metric 'silhuette'", "did you mean 'silhouette'?"]);
    refused(&folder, &with("--distance cosin"), &["'cosin'", "cosine, euclidean, sqeuclidean", "similar value"]);
    refused(&folder, &with("--batch-size 1"), &["'1'", "--batch-size"]);
    refused(&folder, &with("--threads 0"), &["'0'", "--threads"]);
    refused(&folder, &with("--sort siluette"), &["--sort", "no column 'siluette'", "did you mean 'silhouette'?"]);
    refused(&folder, &with("--fial-if x"), &["--fial-if", "--fail-if"]);
}

#[test]
fn labels_are_demanded() {
    let folder = Folder::with_set();
    for command in ["report", "suspects"] {
        let meant = format!("embq {command} emb.npy -l labels.npy");
        assert_refused(&folder, folder.embq([command, "emb.npy"]), &["needs a label for each row", &meant]);
    }
}

#[test]
fn gates_that_say_nothing() {
    let folder = Folder::with_set();
    let gated = |expression: &str, words: &[&str]| {
        let arguments = ["score", "emb.npy", "-l", "labels.npy", "-o", "out.json", "--fail-if", expression];
        assert_refused(&folder, folder.embq(arguments), words)
    };
    let message = gated("silhuette < 0.3", &[]);
    insta::assert_snapshot!(message, @r"
    error: --fail-if: unknown metric 'silhuette'
        silhuette < 0.3
        ^^^^^^^^^
      tip: did you mean 'silhouette'? embq metrics lists the names
    ");
    gated("silhouette < high", &["unknown metric 'high'", "\n    silhouette < high\n                 ^^^^\n"]);
    gated("silhouette", &["'silhouette' is not a comparison", "silhouette < 0.3"]);
    gated("lower(silhouette) < 0.1", &["lower(silhouette) needs intervals", "add --intervals"]);
    gated("delta(silhouette) < 0.1", &["delta(silhouette) needs a baseline", "embq compare"]);
    gated("batch_loss > 1", &["batch_loss is not computed", "add --batch-size"]);
    let line = "emb.npy -l labels.npy --metrics silhouette --fail-if margin<1";
    refused(&folder, line, &["margin is not computed", "add it to --metrics"]);
}

#[test]
fn several_embeddings_are_for_another_command() {
    let folder = Folder::with_set();
    folder.matrix("emb2.npy", &SIX);
    refused(&folder, "emb.npy emb2.npy -l labels.npy", &["one file of embeddings, not 2", "embq compare"]);
}

#[test]
fn outputs_that_cannot_be_written() {
    let folder = Folder::with_set();
    let with = |options: &str| format!("emb.npy -l labels.npy {options}");
    refused(&folder, &with("-o out.xlsx"), &["out.xlsx: the extension does not say what to write", ".json"]);
    refused(&folder, &with("-o out"), &["out: the extension does not say what to write"]);
    refused(&folder, &with("--rows-out rows.txt"), &["rows.txt: the extension", ".parquet"]);
    refused(&folder, &with("--matrix-out m.md"), &["m.md: the extension", ".csv"]);
    refused(&folder, &with("-o nowhere/out.md"), &["nowhere/out.md: cannot write", "no folder 'nowhere'"]);
    std::fs::create_dir(folder.path("dir.json")).unwrap();
    refused(&folder, &with("-o dir.json"), &["dir.json: cannot write: it is a folder"]);
    refused(&folder, &with("-o a.csv --rows-out a.csv"), &["a.csv is used for two outputs", "use a different file"]);
    assert!(!folder.exists("a.csv"));
}

#[test]
fn floats_that_are_no_labels() {
    let folder = Folder::with_set();
    folder.floats("soft.npy", &[0.0, 0.0, 1.0, 1.0, 1.5, 1.0]);
    let words = ["soft.npy: row 4: the label 1.5 is not an integer", "astype(int)"];
    refused(&folder, "emb.npy -l soft.npy", &words);
    // Integral ones are.
    folder.floats("hard.npy", &[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    folder.score("emb.npy -l hard.npy").success();
}

#[test]
fn values_whose_squares_overflow() {
    let folder = Folder::with_set();
    let values = [1.0f64, 1.5, 2.0, 3.0, 1.0, 1.0, 5.0, 7.0, 6.0, 4.0, 5.0, 6.0];
    let write = |name: &str, factor: f64| {
        let bytes: Vec<u8> = values.iter().flat_map(|value| (value * factor).to_le_bytes()).collect();
        folder.npy(name, "{'descr': '<f8', 'fortran_order': False, 'shape': (6, 2), }", &bytes);
    };
    write("usual.npy", 1.0);
    write("huge.npy", 2.0f64.powi(664));
    write("tiny.npy", 2.0f64.powi(-664));
    for distance in ["euclidean", "sqeuclidean", "manhattan"] {
        let scored =
            |name: &str| folder.score(&format!("{name} -l labels.npy --distance {distance} --format json")).json();
        let usual = scored("usual.npy");
        for (name, factor) in [("huge.npy", 2.0f64.powi(664)), ("tiny.npy", 2.0f64.powi(-664))] {
            let found = scored(name);
            assert_eq!(found["metrics"]["silhouette"], usual["metrics"]["silhouette"], "{distance} {name}");
            assert_eq!(found["metrics"]["variance_macro"], serde_json::Value::Null, "{distance} {name}");
            if distance != "sqeuclidean" {
                let margin = |result: &serde_json::Value| result["classes"][0]["margin"].as_f64().unwrap();
                assert_eq!(margin(&found), margin(&usual) * factor, "{distance} {name}");
            }
            let warnings = found["warnings"].to_string();
            assert!(warnings.contains("are computed as multiples of 2^"), "{warnings}");
            assert!(warnings.contains("no float64 numbers in the unit of the rows: "), "{warnings}");
        }
    }
    let words =
        ["huge.npy: row 0 holds", "overflow", "multiply the embeddings by 2.0**-6", "silhouettes do not change"];
    refused(&folder, "huge.npy -l labels.npy --distance euclidean --metrics ridge_probe_accuracy", &words);
}

#[test]
fn only_one_input_is_standard_input() {
    let folder = Folder::with_set();
    let mut command = folder.command();
    let run = crate::folder::run(command.args(["score", "-", "-l", "-", "-o", "out.json"]).write_stdin("x,y\n1,2\n"));
    assert_refused(&folder, run, &["only one input can be standard input"]);
}

#[test]
fn formats_that_are_not_read() {
    let folder = Folder::with_set();
    folder.write("emb.csv.gz", b"\x1f\x8b\x08\0");
    refused(&folder, "emb.csv.gz -l labels.npy", &["emb.csv.gz: it cannot be unpacked: gzip"]);
    folder.write("emb.feather", b"FEA1 and more");
    refused(&folder, "emb.feather -l labels.npy", &["emb.feather: ", "Feather version 1", "write_feather"]);
}

#[test]
fn an_automatic_temperature_needs_classes_to_look_at() {
    let folder = Folder::with_set();
    let words = ["--temperature auto: needs at least 4 classes, found 2", "--temperature 0.1"];
    refused(&folder, "emb.npy -l labels.npy --temperature auto", &words);
}

#[test]
fn broken_parquet_and_text_that_is_not_utf8() {
    let folder = Folder::with_set();
    folder.parquet(
        "table.parquet",
        vec![
            Series::new("x".into(), [1.0, 1.1, 1.2, 2.0, 2.1, 2.2]).into(),
            Series::new("label".into(), ["a", "a", "a", "b", "b", "b"]).into(),
        ],
    );
    let whole = std::fs::read(folder.path("table.parquet")).unwrap();
    // Every truncation, and every flipped byte of the footer, gives an error or a result, but never a panic.
    for cut in (4..whole.len()).step_by(37) {
        folder.write("cut.parquet", &whole[..cut]);
        refused(&folder, "cut.parquet -l label", &["cut.parquet: "]);
    }
    for at in (whole.len() - 200..whole.len()).step_by(7) {
        let mut turned = whole.clone();
        turned[at] ^= 0xff;
        folder.write("turned.parquet", turned);
        let run = folder.score("turned.parquet -l label");
        assert!(matches!(run.code, Some(0 | 2)), "{at}: {run:#?}");
        assert!(!run.stderr.contains("panicked") && !run.stderr.contains("defect"), "{at}: {}", run.stderr);
    }
    folder.write("latin.txt", b"a\na\na\nb\n\xe9\nb\n");
    refused(&folder, "emb.npy -l latin.txt", &["latin.txt: row 4: line 5 is not UTF-8"]);
    folder.write("latin.csv", b"label\na\na\na\nb\n\xe9\nb\n");
    refused(&folder, "emb.npy -l latin.csv:label", &["latin.csv: ", "UTF-8"]);
}
