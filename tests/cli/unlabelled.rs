//! Scores without labels: what is computed, what is not, and what is said of it.

use crate::folder::{Folder, fixture};

/// Twelve rows that are no lattice, so that neighbours have different distances.
fn folder() -> Folder {
    let folder = Folder::new();
    let rows: Vec<[f32; 3]> = (0..12u8)
        .map(|row| {
            let number = f32::from(row);
            [number.sin() + 2.0, (1.7 * number).cos(), 0.3 * number.sqrt()]
        })
        .collect();
    folder.matrix("emb.npy", &rows);
    folder
}

#[test]
fn what_needs_no_labels_is_computed() {
    let folder = folder();
    let run = folder.score("emb.npy --format json --no-timing");
    assert!(
        run.stderr.starts_with("note: without labels, nothing that compares classes is computed"),
        "{}",
        run.stderr
    );
    let json = run.json();
    assert!(json["labels"].is_null());
    assert_eq!(json["classes"], serde_json::json!([]));
    let metrics = json["metrics"].as_object().unwrap();
    for name in ["norm_mean", "rankme", "uniformity", "hubness", "twonn", "mle_dimension@5", "near_duplicate_share"] {
        assert!(metrics[name].is_number(), "{name}: {metrics:?}");
    }
    assert!(!metrics.contains_key("silhouette") && !metrics.contains_key("pair_auc"), "{metrics:?}");
    // The same numbers as with labels.
    folder.write("l.txt", "a\nb\na\nb\na\nb\na\nb\na\nb\na\nb\n");
    let labelled = folder.score("emb.npy -l l.txt --metrics label_free --format json --no-timing").json();
    assert_eq!(labelled["metrics"], json["metrics"]);

    let table = folder.score("emb.npy --quiet").success();
    assert!(table.contains("12 x 3 f32") && table.contains("no labels"), "{table}");
    assert!(!table.contains("temperature") && !table.contains("class "), "{table}");
    for family in ["spectrum", "contrastive", "retrieval", "health", "intrinsic_dimension"] {
        assert!(table.lines().any(|line| line.trim_start().starts_with(family)), "{family} in {table}");
    }
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");

    let csv = folder.score("emb.npy --format csv").success();
    assert!(csv.contains("overall,,rankme,") && !csv.contains("class,"), "{csv}");
    let markdown = folder.score("emb.npy --format markdown").success();
    assert!(markdown.contains("| twonn |") && !markdown.contains("| class"), "{markdown}");
}

#[test]
fn a_page_shows_the_rows() {
    let folder = folder();
    folder.score("emb.npy -o page.html").success();
    let page = folder.read("page.html");
    for part in ["At a glance", "Intrinsic dimension", "Rows in two dimensions", "Spectrum", "All metrics"] {
        assert!(page.contains(part), "{part}");
    }
    for absent in ["id=\"silhouettes\"", "id=\"classes\"", "id=\"suspects\"", "BLAKE3 of the labels"] {
        assert!(!page.contains(absent), "{absent}");
    }
}

#[test]
fn gates_and_rows_left_out_work_without_labels() {
    let folder = folder();
    assert_eq!(folder.embq(["score", "emb.npy", "--fail-if", "mean_cosine > 0.1"]).code, Some(1));
    assert_eq!(folder.embq(["score", "emb.npy", "--fail-if", "duplicate_share > 0"]).code, Some(0));
    folder.matrix("zero.npy", &[[1.0, 2.0], [0.0, 0.0], [3.0, 1.0], [2.0, 0.5]]);
    assert_eq!(folder.score("zero.npy").code, Some(2));
    let json = folder.score("zero.npy --drop-invalid --format json").json();
    assert_eq!(json["excluded"]["invalid"], 1);
}

#[test]
fn what_needs_labels_says_so() {
    let folder = folder();
    for (more, what) in [
        ("--metrics silhouette", "--metrics: silhouette needs a label for each row"),
        ("--metrics spectrum,recall@5", "--metrics: recall@5 needs a label"),
        ("--rows-out rows.csv", "--rows-out needs a label"),
        ("--matrix-out matrix.csv", "--matrix-out needs a label"),
        ("--intervals", "--intervals needs a label"),
        ("--plot", "--plot needs a label"),
        ("--temperature auto", "--temperature auto needs a label"),
        ("--ignore-label 3", "choosing classes needs a label"),
        ("--batch-size 4", "--batch-size needs a label"),
    ] {
        let run = folder.score(&format!("emb.npy {more}"));
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{more}");
        assert!(run.stderr.contains(what), "{more}: {}", run.stderr);
        assert!(run.stderr.contains("add -l LABELS"), "{more}: {}", run.stderr);
    }
    assert!(!folder.exists("rows.csv"));
    // With a file that looks like labels, the answer is the command.
    folder.write("labels.txt", "a\nb\na\nb\na\nb\na\nb\na\nb\na\nb\n");
    let run = folder.score("emb.npy --metrics silhouette");
    assert!(run.stderr.contains("tip: embq score emb.npy -l labels.txt --metrics silhouette"), "{}", run.stderr);
    let run = folder.score("emb.npy");
    assert_eq!(run.code, Some(0));
    assert!(run.stderr.contains("for silhouettes: embq score emb.npy -l labels.txt"), "{}", run.stderr);
    assert_eq!(folder.score("emb.npy --quiet").stderr, "");
}

#[test]
fn labels_in_the_file_itself_were_probably_meant() {
    let folder = Folder::new();
    folder.write("table.csv", "id,f0,f1,f2,kind\na,1,0.1,3,x\nb,2,0.3,1,x\nc,1.5,0,1,y\nd,0.1,1,5,y\n");
    let run = folder.score("table.csv");
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""));
    assert!(run.stderr.contains("table.csv seems to contain labels (kind), but there is no -l"), "{}", run.stderr);
    assert!(
        run.stderr.contains("tip: embq score table.csv -l kind\n")
            && run.stderr.contains("tip: without labels: embq score table.csv --metrics label_free\n"),
        "{}",
        run.stderr
    );
    let json = folder.score("table.csv --metrics label_free --format json").json();
    assert!(json["labels"].is_null());
    // A name for each row is no label.
    folder.write("named.csv", "id,f0,f1,f2\na,1,0.1,3\nb,2,0.3,1\nc,1.5,0,1\nd,0.1,1,5\n");
    let run = folder.score("named.csv --format json");
    assert!(!run.stderr.contains("-l id"), "{}", run.stderr);
    assert_eq!(run.json()["inputs"][0]["dimensions"], 3);
}

#[test]
fn a_list_of_pairs_needs_no_labels() {
    let folder = Folder::new();
    folder.matrix("emb.npy", &[[0.0, 1.0], [0.0, 2.0], [5.0, 1.0], [5.0, 3.0]]);
    folder.write("trials.txt", "0 1 1\n2 3 1\n0 2 0\n1 3 0\n");
    let run = folder.score("emb.npy --pairs trials.txt --distance euclidean --format json");
    assert_eq!(run.stderr, "");
    let json = run.json();
    assert!(json["labels"].is_null());
    assert_eq!(json["settings"]["pairs"], "trials.txt");
    assert_eq!(json["metrics"]["pair_auc"], 1.0);
    assert_eq!(json["metrics"]["eer"], 0.0);
    // Two pairs are too few for any of the rates.
    assert!(json["metrics"]["tar@1e-1"].is_null());
    // Only what has a form for a list does without labels.
    let run = folder.score("emb.npy --pairs trials.txt --metrics verification,silhouette");
    assert!(run.stderr.contains("--metrics: silhouette needs a label"), "{}", run.stderr);

    folder.write("named.csv", "image,f0,f1\na.png,0,1\nb.png,0,2\nc.png,5,1\nd.png,5,3\n");
    folder.write("named.txt", "1 a.png b.png\n1 c.png d.png\n0 a.png c.png\n0 b.png d.png\n");
    let named = folder.score("named.csv --pairs named.txt --key image --distance euclidean --format json").json();
    assert_eq!(named["metrics"], json["metrics"]);
    for (list, more, problem) in [
        ("0 9 1\n", "", "row 0: it names row 9, but emb.npy has 4 rows"),
        ("0 1\n", "", "line 1 has 2 fields, not 3"),
        ("a b 1\n", "", "--key COLUMN names the column"),
    ] {
        folder.write("wrong.txt", list);
        let run = folder.score(&format!("emb.npy --pairs wrong.txt {more}"));
        assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{list}");
        assert!(run.stderr.contains(problem), "{list}: {}", run.stderr);
    }
    let run = folder.score("emb.npy --pairs missing.txt");
    assert!(run.stderr.contains("missing.txt"), "{}", run.stderr);
}

#[test]
fn a_real_set_without_labels() {
    let folder = Folder::new();
    let table = folder.score(&format!("{} --quiet", fixture("digits/embeddings.npy"))).success();
    for told in ["norm_mean 61.82", "twonn 9.0420", "mle_dimension@10 7.3707", "components_90 21 "] {
        assert!(table.contains(told), "{told} in {table}");
    }
}
