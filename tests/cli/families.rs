//! The metric families that are computed on request.

use crate::folder::{Folder, digits, fixture};

/// Runs `embq score` on the digits with more arguments.
fn on_digits(more: &str) -> String {
    let folder = Folder::new();
    folder.embq(digits().into_iter().chain(more.split_whitespace().map(str::to_owned))).success()
}

#[test]
fn each_family_has_its_lines_in_the_table() {
    let table = on_digits("--metrics validity,retrieval,spectrum,contrastive,collapse,asw_label");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    // The values themselves are tested in embq-core.
    for start in ["validity", "retrieval", "spectrum", "contrastive", "collapse", "single_cell"] {
        assert!(table.lines().any(|line| line.trim_start().starts_with(start)), "{start} in {table}");
    }
    for told in ["davies_bouldin 2.1517", "knn_accuracy@10 0.9855", "components_90 21 ", "queries 1,797"] {
        assert!(table.contains(told), "{told} in {table}");
    }
    assert!(!table.contains("confused") && !table.contains("class  rows"), "{table}");
}

#[test]
fn the_health_of_rows_is_shown_and_gates_see_it() {
    let folder = Folder::new();
    folder.matrix("emb.npy", &[[3.0, 4.0], [3.0, 4.0], [0.0, 5.0], [5.0, 0.0]]);
    folder.write("labels.txt", "a\nb\na\nb\n");
    let run = |more: &str| {
        let line = format!("score emb.npy -l labels.txt --metrics health {more}");
        folder.embq(line.split_whitespace().map(str::to_owned))
    };
    let json = run("--format json").json();
    assert_eq!(json["metrics"]["norm_mean"], 5.0);
    assert_eq!(json["metrics"]["duplicate_share"], 0.5);
    assert_eq!(json["metrics"].as_object().unwrap().len(), 9);
    let table = run("").success();
    assert!(table.contains("health") && table.contains("duplicate_share 0.5000"), "{table}");
    assert_eq!(run("--fail-if duplicate_share>0").code, Some(1));
    assert_eq!(run("--fail-if norm_max>6").code, Some(0));
}

#[test]
fn verification_is_shown_drawn_and_gated() {
    let folder = Folder::new();
    let run = |more: &str| folder.embq(digits().into_iter().chain(more.split_whitespace().map(str::to_owned)));
    let json = run("--metrics verification --distance euclidean --far 1e-2,0.1 --format json").json();
    let names: Vec<&String> = json["metrics"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["d_prime", "eer", "eer_threshold", "pair_auc", "tar@1e-1", "tar@1e-2"]);
    assert_eq!(json["settings"]["fars"], serde_json::json!([0.1, 0.01]));
    // scikit-learn's roc_auc_score over all pairs.
    assert!((json["metrics"]["pair_auc"].as_f64().unwrap() - 0.869_573_007_954_838_3).abs() < 1e-6);
    let gate = |expression: &str| {
        let arguments = digits().into_iter().chain(["--metrics", "verification", "--fail-if"].map(str::to_owned));
        folder.embq(arguments.chain([expression.to_owned()]))
    };
    assert_eq!(gate("tar@0.001 < 20%").code, Some(0));
    assert_eq!(gate("tar@1e-3 < 30%").code, Some(1));
    let unknown = gate("tar@1e-5 < 1");
    assert!(unknown.code == Some(2) && unknown.stderr.contains("add its number to --far"), "{unknown:?}");

    let table = run("--metrics verification --plot").success();
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    assert!(table.contains("pair_auc 0.8650") && table.contains("tar@1e-3 0.21"), "{table}");
    assert!(
        table.contains("> equal error rate 21.6 % at 0.2508") && !table.contains("silhouettes of all rows"),
        "{table}"
    );
    run("--metrics usual,verification -o page.html").success();
    let page = folder.read("page.html");
    for part in ["Same or different", "(ROC)", "(DET)", "Equal error rate", "Silhouettes"] {
        assert!(page.contains(part), "{part}");
    }
    let run = folder.score("emb.npy --far 0");
    assert!(run.code == Some(2) && run.stderr.contains("a rate is a number above 0"), "{}", run.stderr);
}

#[test]
fn the_hard_forms_of_the_soft_silhouette_are_the_silhouette() {
    let json: serde_json::Value =
        serde_json::from_str(&on_digits("--softmin hard --softmax hard --format json")).unwrap();
    assert_eq!(json["metrics"]["soft_silhouette"], json["metrics"]["silhouette"]);
    assert_eq!(json["settings"]["softmin"], "hard");
    let mean: serde_json::Value =
        serde_json::from_str(&on_digits("--softmin mean --softmax hard --format json")).unwrap();
    assert!(mean["metrics"]["soft_silhouette"].as_f64() > mean["metrics"]["silhouette"].as_f64());
}

#[test]
fn the_default_computes_none_of_them() {
    let folder = Folder::with_set();
    let usual = folder.score("emb.npy -l labels.npy --format json --no-timing").success();
    assert!(!usual.contains("davies_bouldin") && !usual.contains("rankme") && !usual.contains("\"ks\""));
    assert_eq!(folder.score("emb.npy -l labels.npy --format json --no-timing --metrics usual").success(), usual);
    let all = folder.score("emb.npy -l labels.npy --format json --metrics all").json();
    assert!(all["metrics"]["rankme"].is_number() && all["metrics"]["silhouette"].is_number());
    assert!(all["metrics"].get("bras").is_none());
}

#[test]
fn numbers_at_k_are_named_by_it() {
    let folder = Folder::with_set();
    let json = folder.score("emb.npy -l labels.npy --metrics recall,knn_accuracy --k 3,2,2 --format json").json();
    let names: Vec<&String> = json["metrics"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["knn_accuracy@2", "knn_accuracy@3", "recall@2", "recall@3"]);
    assert_eq!(json["settings"]["ks"], serde_json::json!([2, 3]));
    let gate = |expression: &str| {
        folder.embq(["score", "emb.npy", "-l", "labels.npy", "--metrics", "recall", "--fail-if", expression])
    };
    assert_eq!(gate("recall@1 < 1").code, Some(0));
    assert_eq!(gate("recall@1 >= 1").code, Some(1));
    for unknown in ["recall@7 < 1", "recall < 1", "recall@x < 1"] {
        let run = gate(unknown);
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{unknown}");
    }
    assert!(gate("recall@7 < 1").stderr.contains("add its number to --k"));
}

#[test]
fn a_gallery_is_searched_instead_of_the_rows() {
    let folder = Folder::with_set();
    folder.matrix("base.npy", &[[0.0, 1.0], [1.0, 0.0]]);
    folder.write("base.txt", "1\n0\n");
    let line = "emb.npy -l labels.npy --metrics retrieval --k 1 --gallery base.npy --gallery-labels base.txt";
    let json = folder.score(&format!("{line} --format json")).json();
    assert_eq!(json["metrics"]["precision_at_1"], 1.0);
    assert_eq!(json["metrics"]["queries"], 6.0);
    assert_eq!(json["settings"]["gallery"], "base.npy");
    folder.write("other.txt", "x\ny\n");
    let run = folder.score(&line.replace("base.txt", "other.txt"));
    assert!(run.stdout.contains("6 of 6 rows have no other of their class"), "{run:#?}");
    folder.matrix("wide.npy", &[[0.0, 1.0, 0.0]]);
    let run = folder.score(&line.replace("base.npy", "wide.npy").replace("base.txt", "one.txt"));
    assert_eq!(run.code, Some(2));
    folder.write("one.txt", "1\n");
    let run = folder.score(&line.replace("base.npy", "wide.npy").replace("base.txt", "one.txt"));
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("emb.npy has 2 dimensions, the gallery 3"), "{}", run.stderr);
}

#[test]
fn batches_inside_labels_come_from_a_file_or_a_column() {
    let folder = Folder::with_set();
    folder.write("batch.txt", "a\na\nb\nb\nb\na\n");
    let line = "emb.npy -l labels.npy --metrics single_cell --batch batch.txt";
    let json = folder.score(&format!("{line} --format json")).json();
    assert!(json["metrics"]["bras"].is_number() && json["metrics"]["asw_batch"].is_number());
    assert_eq!(json["settings"]["batch_labels"], "batch.txt");
    folder.write("table.csv", "x,y,kind,lab\n1,0,p,a\n2,1,p,b\n3,0,p,a\n0,1,q,b\n0,2,q,a\n1,3,q,b\n");
    let run = folder.score("table.csv:x..y -l kind --batch lab --metrics bras --format json");
    assert!(run.json()["metrics"]["bras"].is_number());
    folder.write("short.txt", "a\nb\n");
    let run = folder.score(&line.replace("batch.txt", "short.txt"));
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("row counts differ"), "{}", run.stderr);
}

#[test]
fn a_ridge_probe_is_part_of_all_and_takes_its_penalty() {
    let folder = Folder::new();
    let [embeddings, labels] = ["digits/embeddings.npy", "digits/labels.npy"].map(fixture);
    let run = |more: &str| folder.score(&format!("{embeddings} -l {labels} {more}"));
    let json = run("--metrics ridge_probe_accuracy,ridge_probe_macro_f1 --format json").json();
    // By scikit-learn: fixtures/golden/probes.json.
    assert!((json["metrics"]["ridge_probe_accuracy"].as_f64().unwrap() - 0.9360044518642181).abs() < 1e-12);
    assert_eq!(json["settings"]["probe_alpha"], 1.0);
    let json = run("--metrics ridge_probe_accuracy --probe-alpha 100 --format json").json();
    assert!((json["metrics"]["ridge_probe_accuracy"].as_f64().unwrap() - 0.9371174179187535).abs() < 1e-12);
    assert_eq!(json["settings"]["probe_alpha"], 100.0);
    assert_eq!(run("--metrics ridge_probe_macro_f1 --fail-if ridge_probe_macro_f1<0.95").code, Some(1));
    for wrong in ["0", "-1", "nan", "much"] {
        let run = run(&format!("--metrics ridge_probe_accuracy --probe-alpha={wrong}"));
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{wrong}");
        assert!(run.stderr.contains("a penalty is a number above 0"), "{}", run.stderr);
    }
    let table = run("--metrics ridge_probe_accuracy").success();
    assert!(table.contains("ridge_probe_accuracy 0.9360"), "{table}");
}

#[test]
fn logistic_probes_are_computed_by_name() {
    let folder = Folder::with_set();
    let run = |more: &str| folder.score(&format!("emb.npy -l labels.npy {more}"));
    let json = run("--metrics linear_probe_accuracy,few_shot_accuracy@8 --folds 3 --format json").json();
    assert_eq!(json["settings"]["folds"], 3);
    let names: Vec<&String> = json["metrics"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["few_shot_accuracy@8", "linear_probe_accuracy"]);
    folder.write("three.txt", "0\n2\n0\n1\n2\n1\n");
    let line = "emb.npy -l three.txt --metrics linear_probe_accuracy --folds 2 --exclude 2 --folds-out";
    folder.score(&format!("{line} folds.txt")).success();
    let folds = folder.read("folds.txt");
    let left_out: Vec<usize> = (0..6).filter(|&row| folds.lines().nth(row) == Some("-1")).collect();
    assert_eq!((folds.lines().count(), left_out), (6, vec![1, 4]));
    folder.score(&format!("{line} folds.npy")).success();
    let array: ndarray::Array1<i64> = ndarray_npy::read_npy(folder.path("folds.npy")).unwrap();
    assert_eq!(array.iter().map(|fold| format!("{fold}\n")).collect::<String>(), folds);
    for wrong in ["--metrics linear_probe_accuracy --folds-out folds.csv", "--folds-out folds.txt"] {
        assert_eq!(run(wrong).code, Some(2), "{wrong}");
    }
    assert_eq!(run("--metrics few_shot_accuracy@8 --fail-if few_shot_accuracy@8<0").code, Some(0));
    assert_eq!(run("--metrics few_shot_accuracy@9").code, Some(2));
    assert_eq!(run("--metrics linear_probe_accuracy --folds 1").code, Some(2));
    let all = run("--metrics all --format json").json();
    assert!(all["metrics"].get("linear_probe_accuracy").is_none() && all["settings"].get("folds").is_none());
}

#[test]
fn clusters_are_found_or_given() {
    let folder = Folder::with_set();
    folder.write("clusters.txt", "a\na\nb\nb\nb\na\n");
    let json = folder.score("emb.npy -l labels.npy --metrics clustering --format json").json();
    assert_eq!(json["metrics"].as_object().unwrap().len(), 7);
    assert!(json["settings"].get("clusters").is_none());
    let line = "emb.npy -l labels.npy --metrics clustering --clusters clusters.txt";
    let json = folder.score(&format!("{line} --format json")).json();
    assert_eq!(json["settings"]["clusters"], "clusters.txt");
    let json = folder.score("emb.npy -l labels.npy --metrics ari,purity --clusters labels.npy --format json").json();
    for name in ["ari", "purity"] {
        assert_eq!(json["metrics"][name], 1.0, "{name}");
    }
    // A column of the embeddings' own table, beside one of batches.
    folder.write("table.csv", "x,y,kind,lab,group\n1,0,p,a,1\n2,1,p,b,1\n3,0,p,a,1\n0,1,q,b,2\n0,2,q,a,2\n1,3,q,b,2\n");
    let run = folder.score("table.csv:x..y -l kind --batch lab --clusters group --metrics bras,ami --format json");
    let json = run.json();
    assert!(json["metrics"]["bras"].is_number());
    assert_eq!(json["metrics"]["ami"], 1.0);
    folder.write("short.txt", "a\nb\n");
    let run = folder.score(&line.replace("clusters.txt", "short.txt"));
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("row counts differ"), "{}", run.stderr);
    let all = folder.score("emb.npy -l labels.npy --format json --metrics all").json();
    assert!(all["metrics"]["ridge_probe_accuracy"].is_number() && all["metrics"].get("v_measure").is_none());
}

#[test]
fn options_that_nothing_uses_are_refused() {
    let folder = Folder::with_set();
    folder.write("batch.txt", "a\na\nb\nb\nb\na\n");
    for (more, tip) in [
        ("--batch batch.txt", "add --metrics single_cell"),
        ("--clusters batch.txt", "add --metrics clustering"),
        ("--probe-alpha 2", "add --metrics ridge_probe_accuracy"),
        ("--folds 3", "add --metrics linear_probe_accuracy"),
        ("--gallery emb.npy --gallery-labels labels.npy", "add --metrics retrieval"),
        ("--sample 4", "add --metrics uniformity"),
        ("--metrics bras", "add --batch"),
        ("--metrics recall@7", "add its number to --k"),
        ("--metrics tar@0.5", "add its number to --far"),
        ("--metrics mle_dimension --k 1", "add --k 2"),
        ("--pairs batch.txt --metrics silhouette", "add --metrics verification"),
    ] {
        let run = folder.score(&format!("emb.npy -l labels.npy {more}"));
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{more}");
        assert!(run.stderr.contains(tip), "{more}: {}", run.stderr);
    }
    let run = folder.score("emb.npy -l labels.npy --metrics retrieval --gallery emb.npy");
    assert_eq!(run.code, Some(2));
}

#[test]
fn a_sample_of_pairs_is_drawn_by_the_seed() {
    let uniformity = |more: &str| {
        let folder = Folder::new();
        let [embeddings, labels] = ["uneven/embeddings.npy", "uneven/labels.npy"].map(fixture);
        let line = format!("{embeddings} -l {labels} --metrics uniformity --format json {more}");
        folder.score(&line).json()["metrics"]["uniformity"].as_f64().unwrap()
    };
    let exact = uniformity("");
    assert_eq!(uniformity("--sample 100 --seed 3"), uniformity("--sample 100 --seed 3"));
    assert_ne!(uniformity("--sample 100 --seed 3"), uniformity("--sample 100 --seed 4"));
    assert_eq!(uniformity("--sample 600"), exact);
    assert!((uniformity("--sample 300") - exact).abs() < 0.2);
}

#[test]
fn neighbours_need_no_classes_to_compare() {
    let folder = Folder::with_set();
    folder.integers("one.npy", &[4; 6]);
    let json = folder.score("emb.npy -l one.npy --metrics retrieval,spectrum --format json").json();
    assert_eq!(json["metrics"]["precision_at_1"], 1.0);
    let run = folder.score("emb.npy -l one.npy --metrics retrieval,validity");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("at least 2 classes"), "{}", run.stderr);
}

#[test]
fn clusters_without_labels_are_scored_themselves() {
    let folder = Folder::new();
    folder.matrix("emb.npy", &[[0.0, 1.0], [0.0, 2.0], [5.0, 1.0], [5.0, 3.0], [9.0, 1.0], [9.0, 2.0]]);
    folder.write("two.txt", "a\na\nb\nb\nb\nb\n");
    folder.write("three.txt", "a\na\nb\nb\nc\nc\n");
    let one = folder.score("emb.npy --clusters three.txt --distance euclidean --format json").json();
    assert_eq!(one["labels"]["path"], "three.txt");
    let names: Vec<&String> = one["metrics"].as_object().unwrap().keys().collect();
    for name in ["silhouette", "davies_bouldin", "calinski_harabasz"] {
        assert!(names.iter().any(|known| *known == name), "{name} in {names:?}");
    }
    assert!(!names.iter().any(|name| name.starts_with("soft")), "{names:?}");
    let run = folder.score("emb.npy --clusters two.txt --clusters three.txt --distance euclidean");
    assert_eq!(run.stderr, "");
    let lines: Vec<&str> = run.stdout.lines().collect();
    let line =
        |name: &str| lines.iter().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{}", run.stdout));
    assert_eq!(line("three.txt").matches('*').count(), 5, "{}", run.stdout);
    // No row of either lies closer to another cluster.
    assert_eq!(line("two.txt").matches('*').count(), 1, "{}", run.stdout);
    assert!(lines.contains(&"* the best"), "{}", run.stdout);
    let markdown = folder.score("emb.npy --clusters two.txt --clusters three.txt --format markdown").success();
    assert!(markdown.contains("**"), "{markdown}");
    let run = folder.score("emb.npy -l two.txt --clusters two.txt --clusters three.txt --metrics clustering");
    assert_eq!(run.code, Some(2));
    assert!(run.stderr.contains("one clustering is compared with the labels"), "{}", run.stderr);
}

#[test]
fn the_numbers_of_the_page_on_choosing_are_those_of_the_sets() {
    let page = std::fs::read_to_string("docs/choosing.md").unwrap();
    let folder = Folder::new();
    let results = ["glosses1k_glove", "glosses1k_minilm"].map(|set| {
        let [rows, labels] = ["embeddings", "labels"].map(|part| fixture(&format!("{set}/{part}.npy")));
        let metrics = "usual,retrieval,verification,ridge_probe_accuracy,v_measure,rankme,mean_cosine";
        folder.score(&format!("{rows} -l {labels} --k 10 --metrics {metrics} --format json")).json()
    });
    let mut checked = 0;
    for line in page.lines().filter(|line| line.starts_with("| `") && line.matches('|').count() == 5) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let name = cells[1].trim_matches('`');
        for (cell, result) in cells[2..4].iter().zip(&results) {
            let (number, scale) = match cell.strip_suffix(" %") {
                Some(percent) => (percent, 100.0),
                None => (cell.split(" of ").next().unwrap(), 1.0),
            };
            let digits = number.split_once('.').map_or(0, |(_, digits)| digits.len());
            let value = result["metrics"][name].as_f64().unwrap_or_else(|| panic!("{name}"));
            assert_eq!(number, format!("{:.digits$}", value * scale), "{name}");
            checked += 1;
        }
    }
    assert_eq!(checked, 22);
}
