//! Scores of some of the rows, and how far they can be from those of all.

use crate::folder::{Folder, Run, fixture};

fn digits(more: &str) -> Run {
    let [rows, labels] = ["digits/embeddings.npy", "digits/labels.npy"].map(fixture);
    Folder::new().score(&format!("{rows} -l {labels} --no-timing {more}"))
}

#[test]
fn a_subsample_says_how_far_it_can_be_from_all_rows() {
    let all = digits("--format json").json();
    let part = digits("--subsample 400 --format json").json();
    assert!(all["intervals"].is_null());
    for name in ["silhouette", "silhouette_macro", "soft_silhouette", "mean_a", "mean_b"] {
        let interval = &part["intervals"][name];
        let (low, high) = (interval[0].as_f64().unwrap(), interval[1].as_f64().unwrap());
        let truth = all["metrics"][name].as_f64().unwrap();
        assert!(low <= truth && truth <= high, "{name}: {low} to {high}, not {truth}");
        let error = part["standard_errors"][name].as_f64().unwrap();
        let widths = (high - low) / error;
        assert!((2.0 * 1.9599..2.0 * 1.98).contains(&widths), "{name}: {widths}");
    }
    let table = digits("--subsample 400").success();
    assert!(table.contains("400 rows scored") && table.contains("95 % of all rows 0."), "{table}");
    let gate = digits("--subsample 400 --fail-if lower(silhouette)<0.1");
    assert_eq!(gate.code, Some(0), "{}", gate.stderr);
    assert_eq!(digits("--subsample 400 --fail-if upper(silhouette)<0.9").code, Some(1));
}

#[test]
fn as_many_rows_are_drawn_as_an_interval_takes() {
    let folder = Folder::new();
    // Deterministic values that are no lattice.
    let rows: Vec<[f32; 3]> = (0..6000u16)
        .map(|row| {
            let number = f32::from(row);
            let class = f32::from(row % 3);
            [(1.3 * number).sin() + class, (1.7 * number).cos(), (0.7 * number).sin() + class * class]
        })
        .collect();
    folder.matrix("emb.npy", &rows);
    let labels: String = (0..6000).map(|row| format!("{}\n", row % 3)).collect();
    folder.write("labels.txt", &labels);
    let run = |more: &str| folder.score(&format!("emb.npy -l labels.txt --distance euclidean --format json {more}"));
    let truth = run("").json()["metrics"]["silhouette"].as_f64().unwrap();
    let json = run("--within 0.015").json();
    let interval = &json["intervals"]["silhouette"];
    let (low, high) = (interval[0].as_f64().unwrap(), interval[1].as_f64().unwrap());
    assert!(high - low <= 0.03 && low <= truth && truth <= high, "{low} to {high}, not {truth}");
    assert_eq!(json["settings"]["within"], 0.015);
    let drawn = json["settings"]["subsample"].as_u64().unwrap();
    assert!((2000..3000).contains(&drawn), "{drawn}");
    let json = run("--within 0.00001").json();
    assert_eq!(
        (json["metrics"]["silhouette"].as_f64(), &json["settings"]["subsample"]),
        (Some(truth), &serde_json::Value::Null)
    );

    for (more, problem) in [
        ("--within 0", "such as 0.001"),
        ("--within 0.01 --subsample 100", "--subsample"),
        ("--within 0.01 --intervals", "--intervals"),
        ("--within 0.01 --metrics spectrum", "add silhouette to the metrics"),
    ] {
        let refused = run(more);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(2), ""), "{more}");
        assert!(refused.stderr.contains(problem), "{more}: {}", refused.stderr);
    }
}
