//! `embq grad`: losses and gradient files, against automatic differentiation and against `embq score`.

use ndarray::{Array1, Array2, Array3, Axis, s};
use serde_json::Value;

use crate::folder::{Folder, Run, fixture};

/// Runs `embq grad` with arguments written as one line.
fn grad(folder: &Folder, line: &str) -> Run {
    folder.embq(std::iter::once("grad").chain(line.split_whitespace()))
}

fn digits(options: &str) -> String {
    format!("{} -l {} {options}", fixture("digits/embeddings.npy"), fixture("digits/labels.npy"))
}

/// The input of the golden gradients.
fn golden(options: &str) -> String {
    format!("{} -l {} {options}", fixture("formats/plain.npy"), fixture("gradients/labels.npy"))
}

fn read<T: ndarray_npy::ReadableElement>(folder: &Folder, name: &str) -> Array2<T> {
    ndarray_npy::read_npy(folder.path(name)).unwrap()
}

fn largest(values: &Array2<f64>) -> f64 {
    values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()))
}

#[track_caller]
fn assert_near(found: &Array2<f64>, expected: &Array2<f64>, tolerance: f64, what: &str) {
    let error = largest(&(found - expected)) / largest(expected);
    assert!(error <= tolerance, "{what}: {error:e}");
}

#[test]
fn the_table_names_what_pushes_most() {
    let folder = Folder::new();
    let table = grad(&folder, &digits("--gradient g.npy --classes 3")).success();
    let path = fixture("digits/embeddings.npy");
    let shown = table.replace(&path, "embeddings.npy");
    insta::assert_snapshot!(shown, @r"
    embeddings.npy
    1,797 x 64 f32 · 10 classes · cosine · temperature 0.1

    loss         value  weight  gradient norm
    silhouette  0.6290  1.0000        6.53e-4
    gradient of the embeddings: norm 6.53e-4, largest entry 1.15e-5

    class  rows  gradient norm   share
    5       182        2.32e-4  12.6 %
    0       178        2.23e-4  11.6 %
    6       181        2.17e-4  11.0 %
    7 more: --classes all

    row   gradient norm  class
    1573        2.69e-5  0
    1283        2.66e-5  0
    1077        2.63e-5  0
    1078        2.51e-5  0
    1187        2.50e-5  0
    1025        2.50e-5  0
    1361        2.47e-5  5
    1645        2.43e-5  6
    1229        2.41e-5  0
    1569        2.41e-5  6
    ");
}

#[test]
fn files_hold_the_gradients_of_automatic_differentiation() {
    let folder = Folder::new();
    let text = std::fs::read_to_string(fixture("gradients/cases.json")).unwrap();
    let cases: Value = serde_json::from_str(&text).unwrap();
    let gradients: Array3<f64> = ndarray_npy::read_npy(fixture("gradients/gradients.npy")).unwrap();
    let cases = cases["cases"].as_array().unwrap();
    for (case, expected) in cases.iter().zip(gradients.axis_iter(Axis(0))) {
        let text = |key: &str| case[key].as_str().unwrap_or_default().to_owned();
        let (loss, tau) = (text("loss"), case["tau"].as_f64().unwrap());
        let options = match loss.as_str() {
            "silhouette" => {
                let (distance, softmin, softmax) = (text("distance"), text("softmin"), text("softmax"));
                format!("--distance {distance} --softmin {softmin} --softmax {softmax} --temperature {tau}")
            }
            "supcon" => format!("--supcon-temperature {tau}"),
            "cross-entropy" => {
                // The head of ten classes has columns for labels that do not occur.
                folder.write("columns.txt", "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
                format!("--head {} --logit-labels columns.txt", fixture("gradients/head.npy"))
            }
            _ => String::new(),
        };
        let expected = expected.to_owned();
        let line = golden(&format!("--gradient g.npy --loss {loss} {options} --format json"));
        let json = grad(&folder, &format!("{line} --precision f64")).json();
        let value = case["value"].as_f64().unwrap();
        assert!((json["loss"].as_f64().unwrap() - value).abs() <= 1e-10 * value.abs(), "{case}: {}", json["loss"]);
        assert_near(&read::<f64>(&folder, "g.npy"), &expected, 1e-10, &case.to_string());
        let norm = expected.iter().map(|value| value * value).sum::<f64>().sqrt();
        assert!((json["gradient"]["norm"].as_f64().unwrap() - norm).abs() <= 1e-9 * norm, "{case}");
        let json = grad(&folder, &line).json();
        assert!((json["loss"].as_f64().unwrap() - value).abs() <= 1e-6 * value.abs(), "{case}: {}", json["loss"]);
        assert_near(&read::<f32>(&folder, "g.npy").mapv(f64::from), &expected, 1e-5, &case.to_string());
    }
}

#[test]
fn the_loss_is_that_of_score() {
    let folder = Folder::new();
    for options in ["", "--distance euclidean --temperature 5 --softmin lse", "--batch-size 100 --seed 3"] {
        let arguments = digits(&format!("{options} --format json"));
        let scored = folder.score(&arguments).json();
        let json = grad(&folder, &format!("{arguments} --gradient g.npy")).json();
        let metric = if options.contains("batch") { "batch_loss" } else { "soft_silhouette_loss" };
        let (loss, expected) = (json["loss"].as_f64().unwrap(), scored["metrics"][metric].as_f64().unwrap());
        assert!((loss - expected).abs() < 1e-5, "{options}: {loss} for {expected}");
        if options.contains("batch") {
            assert_eq!(json["batches"]["kept"], scored["metrics"]["batches"].as_f64().unwrap() as u64);
            let deviation = json["batches"]["standard_deviation"].as_f64().unwrap();
            assert!((deviation - scored["metrics"]["batch_loss_std"].as_f64().unwrap()).abs() < 1e-5);
        }
    }
}

#[test]
fn results_validate_against_the_schema() {
    let folder = Folder::new();
    let schema = folder.embq(["schema", "grad"]).json();
    assert!(jsonschema::meta::is_valid(&schema));
    let validator = jsonschema::validator_for(&schema).unwrap();
    let head = fixture("gradients/head.npy");
    folder.write("columns.txt", "9\n1\n2\n3\n4\n5\n6\n7\n8\n0\n");
    for options in [
        "--loss silhouette --temperature auto".to_owned(),
        "--loss supcon --batch-size 20 --ignore-label 9".to_owned(),
        "--loss center --no-timing".to_owned(),
        format!("--loss hybrid --head {head} --logit-labels columns.txt --mix silhouette=1,cross-entropy=2,center=0.1"),
    ] {
        let json = grad(&folder, &golden(&format!("--gradient g.npy --format json {options}"))).json();
        let errors: Vec<String> = validator.iter_errors(&json).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}\n{json:#}");
        assert_eq!((&json["kind"], &json["schema_version"]), (&Value::from("grad"), &Value::from(1)));
        assert_eq!(json["timing"].is_null(), options.contains("--no-timing"));
    }
}

#[test]
fn the_hybrid_is_the_weighted_sum_of_its_parts() {
    let folder = Folder::new();
    let head = format!("--head {} --logit-labels columns.txt", fixture("gradients/head.npy"));
    folder.write("columns.txt", "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    let mut sum = Array2::<f64>::zeros((0, 0));
    let mut loss = 0.0;
    for (name, weight) in [("silhouette", 1.0), ("cross-entropy", 0.5), ("supcon", 2.0), ("center", 0.25)] {
        let classifier = if name == "cross-entropy" { &head } else { "" };
        let options = format!("--gradient g.npy --loss {name} {classifier} --precision f64 --format json");
        loss += weight * grad(&folder, &golden(&options)).json()["loss"].as_f64().unwrap();
        let gradient: Array2<f64> = weight * read::<f64>(&folder, "g.npy");
        sum = if sum.is_empty() { gradient } else { sum + gradient };
    }
    let options = format!(
        "--gradient g.npy --head-gradient w.npy --bias-gradient b.npy --loss hybrid {head} --precision f64 --mix \
         center=0.25,supcon=2,silhouette,cross-entropy=0.5 --format json"
    );
    let json = grad(&folder, &golden(&options)).json();
    assert!((json["loss"].as_f64().unwrap() - loss).abs() < 1e-12 * loss);
    assert_near(&read::<f64>(&folder, "g.npy"), &sum, 1e-13, "hybrid");
    assert_eq!(json["parts"].as_object().unwrap().len(), 4);
    assert_eq!(json["parts"]["supcon"]["weight"], 2.0);
    // Softmax minus one-hot sums to 0 over the classes, and so do the gradients.
    let weights: Array2<f64> = read(&folder, "w.npy");
    let bias: Array1<f64> = ndarray_npy::read_npy(folder.path("b.npy")).unwrap();
    assert_eq!((weights.dim(), bias.len()), ((10, 12), 10));
    assert!(bias.sum().abs() < 1e-14 && weights.sum_axis(Axis(0)).iter().all(|sum| sum.abs() < 1e-10));
    assert!(weights.iter().any(|value| value.abs() > 1e-3));
}

#[test]
fn logits_take_the_gradient_of_cross_entropy() {
    let folder = Folder::with_set();
    folder.matrix("logits.npy", &[[2.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 3.0], [0.0, 0.0], [1.0, 0.0]]);
    let line = "emb.npy -l labels.npy --loss cross-entropy --logits logits.npy --logits-gradient d.npy --format json";
    let json = grad(&folder, line).json();
    let gradient: Array2<f32> = read(&folder, "d.npy");
    // (softmax - one-hot) / 6, computed by hand for equal logits.
    assert_eq!(gradient.row(1).to_vec(), [-0.5 / 6.0, 0.5 / 6.0]);
    assert_eq!(gradient.row(4).to_vec(), [0.5 / 6.0, -0.5 / 6.0]);
    assert!(json["warnings"][0].as_str().unwrap().contains("does not include cross-entropy"), "{json:#}");
    assert_eq!(json["gradient"]["norm"], 0.0);
    assert!(!folder.exists("g.npy"));
    // Named columns in another order.
    folder.matrix("swapped.npy", &[[0.0, 2.0], [0.0, 0.0], [0.0, 1.0], [3.0, 0.0], [0.0, 0.0], [0.0, 1.0]]);
    folder.write("columns.txt", "1\n0\n");
    let line = line.replace("logits.npy --l", "swapped.npy --logit-labels columns.txt --l");
    assert_eq!(grad(&folder, &line).json()["loss"], json["loss"]);
    let swapped: Array2<f32> = read(&folder, "d.npy");
    assert_eq!(swapped.slice(s![.., ..;-1]), gradient);
}

#[test]
fn rows_that_are_left_out_have_no_gradient() {
    let folder = Folder::with_set();
    folder.matrix("emb.npy", &[[1.0, 0.1], [f32::NAN, 1.0], [2.0, 0.3], [0.1, 1.0], [9.0, 9.0], [0.2, 2.0]]);
    folder.write("labels.txt", "a\na\na\nb\nnoise\nb\n");
    folder.matrix("logits.npy", &[[2.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, 3.0], [0.0, 0.0], [1.0, 0.0]]);
    let line = "emb.npy -l labels.txt --gradient g.npy --drop-invalid --ignore-label noise --loss hybrid --logits \
                logits.npy --logits-gradient d.npy --format json";
    let json = grad(&folder, line).json();
    assert_eq!((&json["excluded"]["invalid"], &json["excluded"]["ignored_labels"]), (&1.into(), &1.into()));
    for file in ["g.npy", "d.npy"] {
        let gradient: Array2<f32> = read(&folder, file);
        assert_eq!(gradient.dim(), (6, 2));
        for (row, values) in gradient.rows().into_iter().enumerate() {
            assert_eq!(values.iter().all(|value| *value == 0.0), row == 1 || row == 4, "{file} {row}");
        }
    }
    let rows: Vec<u64> = json["largest_rows"].as_array().unwrap().iter().map(|r| r["row"].as_u64().unwrap()).collect();
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| ![1, 4].contains(row)), "{rows:?}");
}

#[test]
fn every_format_of_the_input_gives_its_gradient() {
    let folder = Folder::new();
    let labels = fixture("gradients/labels.npy");
    let mut expected = None;
    for (name, is_double) in [
        ("plain.npy", false),
        ("f64.safetensors", true),
        ("list_f32_brotli.parquet", false),
        ("fixed_size_list_f64_gzip.parquet", true),
        ("zstd.feather", false),
        ("stored.npz", false),
    ] {
        let path = fixture(&format!("formats/{name}"));
        grad(&folder, &format!("{path} -l {labels} --gradient g.npy")).success();
        let gradient = if is_double { read(&folder, "g.npy") } else { read::<f32>(&folder, "g.npy").mapv(f64::from) };
        let expected = expected.get_or_insert_with(|| gradient.clone());
        assert_near(&gradient, expected, 1e-5, name);
    }
}

#[test]
fn threads_and_runs_change_no_bit() {
    let folder = Folder::new();
    for options in [
        "",
        "--distance euclidean --temperature 5",
        "--loss supcon",
        "--batch-size 64 --loss hybrid --mix silhouette,supcon",
    ] {
        let files = ["1", "1", "2", "3"].map(|threads| {
            let line = digits(&format!("--gradient g.npy --threads {threads} --no-timing --format json {options}"));
            (grad(&folder, &line).success(), std::fs::read(folder.path("g.npy")).unwrap())
        });
        assert!(files.iter().all(|file| *file == files[0]), "{options}");
    }
}

#[test]
fn results_are_written_in_every_format() {
    let folder = Folder::with_set();
    let line = "emb.npy -l labels.npy --gradient g.npy -o r.json -o r.md -o r.csv -o r.txt --quiet";
    assert_eq!(grad(&folder, line).success(), "");
    let json: Value = serde_json::from_str(&folder.read("r.json")).unwrap();
    let csv = folder.read("r.csv");
    let loss = csv.lines().find_map(|line| line.strip_prefix("overall,,loss,")).unwrap();
    assert_eq!(loss.parse::<f64>().unwrap(), json["loss"].as_f64().unwrap());
    assert!(folder.read("r.md").contains("| silhouette | "), "{}", folder.read("r.md"));
    assert!(folder.read("r.txt").starts_with("emb.npy\n6 x 2 f32"), "{}", folder.read("r.txt"));
}

#[test]
fn wrong_use_is_told_with_its_cure() {
    let folder = Folder::with_set();
    folder.matrix("head.npy", &[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]);
    folder.matrix("short.npy", &[[1.0, 0.0], [0.0, 1.0]]);
    folder.matrix("three.npy", &[[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]);
    folder.floats("bias.npy", &[0.0]);
    folder.write("columns.txt", "0\n7\n");
    let refused = |options: &str| {
        let run = grad(&folder, &format!("emb.npy -l labels.npy {options}"));
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{options}: {}", run.stderr);
        assert!(!folder.exists("g.npy"), "{options}");
        run.stderr
    };
    for (options, told) in [
        ("", "--gradient"),
        ("--gradient g.csv", "g.csv: gradients are written as .npy"),
        ("--gradient emb.npy", "emb.npy is an input"),
        ("--gradient g.npy --distance manhattan", "no gradient for manhattan distance"),
        ("--gradient g.npy --mix supcon=1", "--mix is for --loss hybrid"),
        ("--gradient g.npy --loss hybrid", "cross-entropy needs a classifier"),
        ("--gradient g.npy --loss hybrid --mix supcon,supcon=2", "--mix names supcon twice"),
        ("--gradient g.npy --loss hybrid --mix supcon=0", "--mix gives no loss a positive weight"),
        ("--gradient g.npy --loss hybrid --mix supcn", "did you mean 'supcon'?"),
        ("--gradient g.npy --head short.npy", "which is not part of this loss"),
        ("--gradient g.npy --loss cross-entropy --head head.npy", "expected a head of classes x dimensions"),
        ("--gradient g.npy --loss cross-entropy --head three.npy", "three.npy is for 3 classes, and the labels have 2"),
        ("--gradient g.npy --loss cross-entropy --head short.npy --bias bias.npy", "bias.npy has 1 numbers"),
        ("--gradient g.npy --loss cross-entropy --logits short.npy", "row counts differ"),
        (
            "--gradient g.npy --loss cross-entropy --head short.npy --logit-labels columns.txt",
            "columns.txt does not name the class '1'",
        ),
        ("--gradient g.npy --loss supcon --supcon-temperature 0", "a temperature is a number"),
        ("--gradient g.npy --loss center --temperature auto", "--temperature is for the silhouette"),
        ("--gradient g.npy --bias bias.npy", "--head"),
    ] {
        let stderr = refused(options);
        assert!(stderr.contains(told), "{options}: {stderr}");
    }
    folder.matrix("emb.npy", &[[1.0, 0.1], [0.0, 0.0], [1.5, 0.0], [0.1, 1.0], [0.2, 2.0], [0.0, 1.5]]);
    assert!(refused("--gradient g.npy --loss supcon").contains("row 1 is a zero vector"));
    assert_eq!(grad(&folder, "emb.npy -l labels.npy --gradient g.npy --loss center").code, Some(0));
}
