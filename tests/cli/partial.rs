//! `embq partial` and `embq merge`: the numbers of one run from parts, and what is refused.

use std::fs;
use std::process::Command;

use ndarray::{Array2, s};
use serde_json::Value;

use crate::folder::{Folder, Run, digits, fixture};

/// Parts of the digits: uneven, and one of a single row.
const CUTS: [usize; 5] = [0, 500, 501, 1200, 1797];

/// A folder with the digits in parts, as `parts/1.npy` with the labels `parts/1.txt` and so on.
fn digits_in_parts() -> Folder {
    let folder = Folder::new();
    for name in ["parts", "p", "s", "rows"] {
        fs::create_dir(folder.path(name)).unwrap();
    }
    let rows: Array2<f32> = ndarray_npy::read_npy(fixture("digits/embeddings.npy")).unwrap();
    let labels = fs::read_to_string(fixture("digits/labels.txt")).unwrap();
    let labels: Vec<&str> = labels.lines().collect();
    for (part, cut) in CUTS.windows(2).enumerate() {
        let path = folder.path(&format!("parts/{part}.npy"));
        ndarray_npy::write_npy(path, &rows.slice(s![cut[0]..cut[1], ..]).to_owned()).unwrap();
        folder.write(&format!("parts/{part}.txt"), labels[cut[0]..cut[1]].join("\n"));
    }
    folder
}

impl Folder {
    /// A command in this folder, written as one line.
    fn line(&self, line: &str) -> Run {
        self.embq(line.split_whitespace())
    }

    /// Both passes over all parts, up to `moments.arrow` and `s/*.arrow`.
    fn pass_over_parts(&self, options: &str) {
        let parts = CUTS.len() - 1;
        for part in 0..parts {
            self.line(&format!("partial parts/{part}.npy -l parts/{part}.txt -o p/{part}.arrow {options}")).success();
        }
        self.line("merge p/3.arrow p/0.arrow p/2.arrow p/1.arrow -o moments.arrow").success();
        for part in 0..parts {
            let rows = format!("--rows-out rows/{part}.csv");
            let line =
                format!("partial parts/{part}.npy -l parts/{part}.txt --moments moments.arrow -o s/{part}.arrow");
            self.line(&format!("{line} {rows}")).success();
        }
    }
}

fn score_of_digits(options: &[&str]) -> Value {
    let options = options.iter().map(|&option| option.to_owned());
    let arguments = digits().into_iter().chain(["--format".to_owned(), "json".to_owned()]).chain(options);
    Folder::new().embq(arguments).json()
}

#[track_caller]
fn assert_close(found: &Value, expected: &Value, what: &str) {
    match (found.as_f64(), expected.as_f64()) {
        (Some(found), Some(expected)) => {
            assert!((found - expected).abs() <= 1e-12 * expected.abs().max(0.1), "{what}: {found} is not {expected}");
        }
        _ => assert_eq!(found, expected, "{what}"),
    }
}

const MERGED: &str = "merge s/0.arrow s/1.arrow s/2.arrow s/3.arrow --moments moments.arrow";

#[test]
fn parts_have_the_result_of_the_whole() {
    let metrics = "usual,calinski_harabasz,davies_bouldin,simplified_silhouette,collapse,asw_label";
    for distance in ["cosine", "sqeuclidean"] {
        let options = ["--precision", "f64", "--metrics", metrics, "--distance", distance];
        let whole = score_of_digits(&options);
        let folder = digits_in_parts();
        folder.pass_over_parts(&options.join(" "));
        let merged = folder.line(&format!("{MERGED} --format json --matrix-out matrix.npy")).json();
        for (name, expected) in whole["metrics"].as_object().unwrap() {
            assert_close(&merged["metrics"][name], expected, name);
        }
        let [merged_classes, classes] = [&merged, &whole].map(|result| result["classes"].as_array().unwrap());
        for (merged, class) in merged_classes.iter().zip(classes) {
            for (name, expected) in class.as_object().unwrap() {
                assert_close(&merged[name], expected, name);
            }
        }
        assert_eq!((merged_classes.len(), &merged["settings"]), (10, &whole["settings"]));
        assert_eq!(merged["inputs"][0]["rows"], 1797);
        assert_eq!(
            (&merged["inputs"][0]["path"], &merged["labels"]["path"]),
            (&"parts/*.npy".into(), &"parts/*.txt".into())
        );
        let matrix: Array2<f64> = ndarray_npy::read_npy(folder.path("matrix.npy")).unwrap();
        let within = whole["classes"][3]["intra_mean"].as_f64().unwrap();
        assert!((matrix[[3, 3]] - within).abs() < 1e-12 * within);
    }
}

#[test]
fn rows_of_parts_have_the_scores_of_the_whole() {
    let folder = digits_in_parts();
    folder.pass_over_parts("--precision f64");
    let whole = Folder::new();
    whole
        .embq(digits().into_iter().chain(["--precision", "f64", "--rows-out", "rows.csv"].map(str::to_owned)))
        .success();
    let values = |text: String| -> Vec<Vec<String>> {
        text.lines().skip(1).map(|line| line.split(',').skip(1).map(str::to_owned).collect()).collect()
    };
    let parts: Vec<Vec<String>> = (0..4).flat_map(|part| values(folder.read(&format!("rows/{part}.csv")))).collect();
    let whole = values(whole.read("rows.csv"));
    assert_eq!((parts.len(), whole.len()), (1797, 1797));
    for (found, expected) in parts.iter().zip(&whole) {
        for (found, expected) in found.iter().zip(expected) {
            let [found, expected] = [found, expected].map(|text| text.parse::<f64>().unwrap());
            assert!((found - expected).abs() <= 1e-12 * expected.abs().max(0.1), "{found} {expected}");
        }
    }
}

#[test]
fn one_part_has_the_table_and_the_document_of_the_whole() {
    let folder = Folder::new();
    let [_, embeddings, _, labels] = digits();
    let run = |arguments: &[&str]| folder.embq(arguments).success();
    run(&["partial", &embeddings, "-l", &labels, "-o", "p.arrow"]);
    run(&["partial", &embeddings, "-l", &labels, "--moments", "p.arrow", "-o", "s.arrow"]);
    let merge = |format| run(&["merge", "s.arrow", "--moments", "p.arrow", "--no-timing", "--format", format]);
    let score = |format| run(&["score", &embeddings, "-l", &labels, "--no-timing", "--format", format]);
    assert_eq!(merge("table"), score("table"));
    assert_eq!(merge("markdown"), score("markdown"));
    let [merged, whole] = [merge("json"), score("json")].map(|text| serde_json::from_str::<Value>(&text).unwrap());
    for key in ["inputs", "labels", "excluded", "settings", "warnings", "embq_version", "kind"] {
        assert_eq!(merged[key], whole[key], "{key}");
    }
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&merged), keys(&whole));
    assert_eq!(keys(&merged["metrics"]), keys(&whole["metrics"]));
}

#[test]
fn the_same_states_give_the_same_bytes_in_any_order_and_merge_in_groups() {
    let folder = digits_in_parts();
    folder.pass_over_parts("--precision f64");
    folder.line("merge p/0.arrow p/1.arrow p/2.arrow p/3.arrow -o again.arrow").success();
    assert_eq!(fs::read(folder.path("again.arrow")).unwrap(), fs::read(folder.path("moments.arrow")).unwrap());
    let result = |line: &str| folder.line(&format!("{line} --format json --no-timing")).success();
    let merged = result(MERGED);
    assert_eq!(result("merge s/2.arrow s/1.arrow s/3.arrow s/0.arrow --moments moments.arrow"), merged);
    assert_eq!(result("merge s/*.arrow --moments moments.arrow"), merged, "a pattern that no shell expanded");
    folder.line("merge s/2.arrow s/1.arrow -o some.arrow").success();
    let tree: Value =
        serde_json::from_str(&result("merge some.arrow s/3.arrow s/0.arrow --moments moments.arrow")).unwrap();
    let merged: Value = serde_json::from_str(&merged).unwrap();
    for (name, expected) in merged["metrics"].as_object().unwrap() {
        assert_close(&tree["metrics"][name], expected, name);
    }
    // Threads do not change the bits.
    let one = "partial parts/0.npy -l parts/0.txt --moments moments.arrow -o one.arrow --threads 1";
    folder.line(one).success();
    assert_eq!(fs::read(folder.path("one.arrow")).unwrap(), fs::read(folder.path("s/0.arrow")).unwrap());
}

#[test]
fn intervals_take_a_third_pass_and_have_the_standard_errors_of_the_whole() {
    let folder = digits_in_parts();
    fs::create_dir(folder.path("i")).unwrap();
    let whole = score_of_digits(&["--precision", "f64", "--intervals"]);
    folder.pass_over_parts("--precision f64");
    let second = |part: usize, rest: &str| {
        folder.line(&format!("partial parts/{part}.npy -l parts/{part}.txt --moments moments.arrow {rest}"))
    };
    let parts = 0..CUTS.len() - 1;
    folder.line("merge s/*.arrow -o plain.arrow").success();
    let plain = second(0, "--scores plain.arrow -o i/0.arrow");
    assert_refused(&plain, &["the scores do not hold the sums that intervals follow from", "with intervals"]);
    parts.clone().for_each(|part| drop(second(part, &format!("--intervals -o s/{part}.arrow")).success()));
    folder.line("merge s/*.arrow -o scores.arrow").success();
    for part in parts {
        second(part, &format!("--scores scores.arrow -o i/{part}.arrow")).success();
    }
    let merge = |rest: &str| folder.line(&format!("merge i/*.arrow --moments moments.arrow {rest}"));
    let merged = merge("--scores scores.arrow --format json --fail-if upper(silhouette)>0.99").json();
    assert_eq!(merged["interval_method"], "standard_errors");
    let errors = whole["standard_errors"].as_object().unwrap();
    assert!(errors.len() > 8, "{errors:?}");
    for (name, expected) in errors {
        let (found, expected) = (merged["standard_errors"][name].as_f64().unwrap(), expected.as_f64().unwrap());
        assert!((found - expected).abs() <= 1e-9 * expected, "{name}: {found} is not {expected}");
        let ends = merged["intervals"][name].as_array().unwrap();
        let width = ends[1].as_f64().unwrap() - ends[0].as_f64().unwrap();
        assert!((width - 2.0 * 1.959_963_984_540_054 * found).abs() < 1e-12, "{name}");
    }
    let classes = |result: &Value| result["classes"].as_array().unwrap().clone();
    for (found, expected) in classes(&merged).iter().zip(classes(&whole)) {
        for kind in ["silhouette_uncertainty", "soft_silhouette_uncertainty"] {
            for number in ["standard_error", "deviation"] {
                let [found, expected] = [found, &expected].map(|class| class[kind][number].as_f64().unwrap());
                assert!((found - expected).abs() <= 1e-9 * expected, "{kind} {number}: {found} is not {expected}");
            }
        }
    }
    // A tree of states, and a page and a table with the intervals.
    folder.line("merge i/3.arrow i/1.arrow -o some.arrow").success();
    let line = "merge some.arrow i/0.arrow i/2.arrow --moments moments.arrow --scores scores.arrow -o page.html";
    assert!(folder.line(line).success().contains("95 % interval"));
    assert!(folder.read("page.html").contains("95 % interval"));
    for (run, expected) in [
        (merge(""), "needs the moments and the scores that it was found with"),
        (merge("--scores plain.arrow"), "found with other moments or scores than these"),
        (merge("--scores s/0.arrow"), "found with other moments or scores than these"),
        (folder.line("merge i/0.arrow i/0.arrow -o x.arrow"), "the same part would count twice"),
        (folder.line("merge i/0.arrow s/1.arrow -o x.arrow"), "i/0.arrow holds influence, s/1.arrow holds scores"),
        (folder.line("merge i/0.arrow --moments moments.arrow --scores scores.arrow"), "3 of 4 parts is missing"),
    ] {
        assert_refused(&run, &[expected]);
    }
}

#[test]
fn the_page_of_states_shows_a_sample_and_says_what_it_lacks() {
    let folder = digits_in_parts();
    folder.pass_over_parts("");
    folder.line(&format!("{MERGED} -o page.html -q")).success();
    let page = folder.read("page.html");
    for text in [
        "At a glance",
        "Which classes are close",
        "Rows in two dimensions",
        "255 of 1,797 rows are drawn, a sample",
        "no silhouettes of rows, suspicious rows or spectrum",
        "embq merge s/0.arrow s/1.arrow",
    ] {
        assert!(page.contains(text), "{text}");
    }
    for absent in ["id=\"silhouettes\"", "id=\"suspects\"", "id=\"spectrum\"", "&quot;row&quot;"] {
        assert!(!page.contains(absent), "{absent}");
    }
    // The pairs of classes that rows of all parts confuse are those of the whole.
    folder.embq(digits().into_iter().chain(["-o", "whole.html", "-q"].map(str::to_owned))).success();
    let section = |page: &str| {
        let start = page.find("<section id=\"neighbours\"").unwrap();
        page[start..start + page[start..].find("</section>").unwrap()].to_owned()
    };
    let pairs = |page: &str| section(page).split_once("<ol>").map(|(_, pairs)| pairs.to_owned()).unwrap();
    assert_eq!(pairs(&page), pairs(&folder.read("whole.html")));
    // Moments alone draw a page, too, where no metric needs more.
    folder.line("partial parts/2.npy -l parts/2.txt --metrics cdnv -o p.arrow").success();
    folder.line("merge p.arrow -o few.html").success();
    assert!(folder.read("few.html").contains("255 of 699 rows are drawn"));
}

#[test]
fn files_without_rows_among_others_count_for_nothing() {
    use polars::prelude::Column;
    let folder = Folder::new();
    fs::create_dir(folder.path("parts")).unwrap();
    let write = |name: &str, rows: &[[f32; 2]], labels: &[&str]| {
        let mut columns: Vec<Column> = (0..2)
            .map(|k| Column::new(format!("f{k}").into(), rows.iter().map(|row| row[k]).collect::<Vec<_>>()))
            .collect();
        columns.push(Column::new("label".into(), labels.to_vec()));
        folder.parquet(name, columns);
    };
    write("parts/a.parquet", &[], &[]);
    write("parts/b.parquet", &[[1.0, 0.1], [1.0, 0.3], [0.2, 1.0]], &["x", "x", "y"]);
    write("parts/c.parquet", &[], &[]);
    write("parts/d.parquet", &[[0.4, 1.0]], &["y"]);
    let whole = folder.line("score parts/*.parquet -l label --format json").json();
    assert_eq!((&whole["inputs"][0]["rows"], &whole["labels"]["classes"]), (&4.into(), &2.into()));
    let folder_whole = folder.line("score parts -l label --format json").json();
    assert_eq!(folder_whole["metrics"], whole["metrics"]);
    // All files as one part, and each of them.
    folder.line("partial parts/*.parquet -l label -o all.arrow").success();
    folder.line("partial parts/*.parquet -l label --moments all.arrow -o s.arrow").success();
    let merged = folder.line("merge s.arrow --moments all.arrow --format json").json();
    assert_eq!((&merged["inputs"][0]["rows"], &merged["metrics"]), (&4.into(), &whole["metrics"]));
    let empty = folder.line("partial parts/a.parquet -l label -o a.arrow");
    assert!(empty.stderr.contains("a.arrow: it has no rows"), "{}", empty.stderr);
    // Folders that hold labels keep theirs.
    for (label, rows) in [("1", &[][..]), ("2", &[[1.0, 0.1_f32], [1.0, 0.3]]), ("3", &[[0.2, 1.0], [0.4, 1.0]])] {
        fs::create_dir_all(folder.path(&format!("l/label={label}"))).unwrap();
        let column = |k: usize| Column::new(format!("f{k}").into(), rows.iter().map(|row| row[k]).collect::<Vec<_>>());
        folder.parquet(&format!("l/label={label}/rows.parquet"), vec![column(0), column(1)]);
    }
    let found = folder.line("score l -l label --format json").json();
    let labels: Vec<_> = found["classes"].as_array().unwrap().iter().map(|class| &class["label"]).collect();
    assert_eq!(labels, ["2", "3"]);
    assert_eq!(found["inputs"][0]["rows"], 4);
    // A text file without rows may have been cut off, and does not make the others empty.
    fs::create_dir(folder.path("texts")).unwrap();
    folder.write("texts/1.csv", "f0,f1,label\n1,0.1,x\n1,0.3,x\n0.2,1,y\n");
    folder.write("texts/2.csv", "f0,f1,label\n");
    for line in ["score texts/*.csv -l label", "partial texts/*.csv -l label -o t.arrow"] {
        assert_refused(&folder.line(line), &["texts/2.csv: it has no rows"]);
    }
    assert!(!folder.exists("t.arrow"));
}

#[test]
fn gates_and_outputs_are_those_of_score() {
    let folder = digits_in_parts();
    folder.pass_over_parts("");
    let run =
        folder.line(&format!("{MERGED} --fail-if silhouette<0.9 -o r.json -o r.md -o r.csv --junit gates.xml -q"));
    assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""));
    assert!(run.stderr.contains("gate failed: silhouette<0.9 (silhouette is 0.26"), "{}", run.stderr);
    assert!(folder.read("r.md").contains(r"parts/\*.npy") && folder.read("gates.xml").contains("failure"));
    let result: Value = serde_json::from_str(&folder.read("r.json")).unwrap();
    assert_eq!((&result["kind"], &result["gates"][0]["failed"]), (&"score".into(), &true.into()));
    // A result that is stored can be compared.
    let stored = fixture("digits/embeddings.npy");
    let labels = fixture("digits/labels.npy");
    let compared = folder.embq(["compare", "r.json", &stored, "-l", &labels, "--allow-mismatch"]).success();
    assert!(compared.contains("unpaired") && compared.contains("embeddings.npy against r.json"), "{compared}");
    assert_eq!(folder.line(&format!("{MERGED} --fail-if silhouette<0.1 --sort count --classes 3")).code, Some(0));
}

#[test]
fn moments_alone_give_the_metrics_that_follow_from_them() {
    let folder = digits_in_parts();
    let line = "partial parts/2.npy -l parts/2.txt --metrics cdnv,calinski_harabasz -o p/2.arrow";
    folder.line(line).success();
    let found = folder.line("merge p/2.arrow --format json").json();
    let whole = folder.line("score parts/2.npy -l parts/2.txt --metrics cdnv,calinski_harabasz --format json").json();
    for name in ["cdnv", "calinski_harabasz"] {
        assert!(found["metrics"][name].as_f64().unwrap() > 0.0);
        assert_close(&found["metrics"][name], &whole["metrics"][name], name);
    }
}

#[track_caller]
fn assert_refused(run: &Run, expected: &[&str]) {
    assert_eq!((run.code, run.stdout.as_str()), (Some(2), ""), "{run:#?}");
    for text in expected {
        assert!(run.stderr.contains(text), "{text:?} is not in {}", run.stderr);
    }
}

#[test]
fn what_cannot_be_merged_is_refused_with_what_works() {
    let folder = digits_in_parts();
    folder.pass_over_parts("");
    let first = |options: &str| folder.line(&format!("partial parts/0.npy -l parts/0.txt -o new.arrow {options}"));
    for (options, expected) in [
        (
            "--metrics validity",
            &["dunn compares all pairs of rows", "--metrics calinski_harabasz,davies_bouldin,simplified_silhouette"][..],
        ),
        ("--metrics recall", &["recall searches all rows", "embq score takes all files as one input"]),
        ("--distance euclidean", &["euclidean distances compare all pairs", "cosine and sqeuclidean distances do"]),
        ("--temperature auto", &["cannot be found from parts", "--temperature 0.1"]),
        ("--min-class-size 3", &["depend on all rows"]),
        ("--metrics silhouete", &["unknown metric 'silhouete'", "'silhouette'"]),
        ("--rows-out rows.csv", &["--moments"]),
        ("--intervals", &["--intervals belongs to the second pass", "together with --moments"]),
        ("--scores s/0.arrow", &["--moments"]),
        ("--moments moments.arrow --scores s/0.arrow", &["the scores of 3 of 4 parts are missing"]),
        ("--moments moments.arrow --scores p/0.arrow", &["p/0.arrow holds moments, not scores"]),
        ("--moments moments.arrow --distance cosine", &["--distance is set by --moments", "leave out --distance"]),
        ("--moments p/9.arrow", &["p/9.arrow"]),
        ("--moments s/0.arrow", &["s/0.arrow holds scores, not moments"]),
        ("--moments parts/0.npy", &["parts/0.npy: it is not a state of embq", "embq partial writes states"]),
    ] {
        assert_refused(&first(options), expected);
        assert!(!folder.exists("new.arrow"), "{options}");
    }
    assert_refused(
        &folder.line("partial parts/0.npy -l parts/0.txt -o state.json"),
        &["state.json: the extension does not say what to write", "states are written as .arrow"],
    );

    first("--temperature 0.2").success();
    for (line, expected) in [
        (
            "merge p/0.arrow p/0.arrow -o x.arrow",
            &["parts/0.npy: the same part would count twice", "leave one of the states out", "a name of its own"][..],
        ),
        ("merge p/1.arrow new.arrow -o x.arrow", &["differ in temperature:", "make all states with the same settings"]),
        ("merge p/1.arrow s/0.arrow -o x.arrow", &["p/1.arrow holds moments, s/0.arrow holds scores"]),
        (
            "merge s/0.arrow s/2.arrow s/3.arrow --moments moments.arrow -o x.json",
            &["1 of 4 parts are missing: parts/1.npy"],
        ),
        ("merge s/0.arrow -o x.json", &["needs the moments", "--moments moments.arrow"]),
        ("merge s/0.arrow --moments p/0.arrow -o x.json", &["made with other moments"]),
        ("merge p/0.arrow -o x.json", &["moments alone", "embq partial --moments moments.arrow"]),
        ("merge p/0.arrow --moments moments.arrow -o x.arrow", &["the states are moments themselves"]),
        ("merge i/0.arrow --moments moments.arrow -o x.json", &["i/0.arrow: cannot open"]),
        (
            "merge s/0.arrow --moments moments.arrow --scores s/1.arrow -o x.json",
            &["--scores s/1.arrow: the states are scores, which need none"],
        ),
        (
            "merge s/0.arrow s/1.arrow s/2.arrow s/3.arrow --moments moments.arrow --fail-if lower(silhouette)<1 -o x.json",
            &["lower(silhouette) needs intervals", "which embq partial --scores finds"],
        ),
        ("merge parts/0.npy -o x.arrow", &["parts/0.npy: it is not a state of embq"]),
        ("merge p/0.arrow nothing.arrow -o x.arrow", &["nothing.arrow: cannot open"]),
        ("merge p/0.arrow -o p/0.arrow", &["p/0.arrow is an input"]),
        (
            "merge s/0.arrow s/1.arrow s/2.arrow s/3.arrow --moments moments.arrow --fail-if recall@1<1 -o x.json",
            &["recall@1"],
        ),
    ] {
        assert_refused(&folder.line(line), expected);
        assert!(!folder.exists("x.arrow") && !folder.exists("x.json"), "{line}");
    }

    // Rows or labels that changed between the passes.
    folder.write("parts/0.txt", fs::read_to_string(folder.path("parts/0.txt")).unwrap().replacen('0', "1", 1));
    assert_refused(
        &first("--moments moments.arrow"),
        &["its rows or labels changed since", "make the moments of all parts again"],
    );
    folder.write("parts/2.txt", vec!["new"; 699].join("\n"));
    let unknown = "partial parts/2.npy -l parts/2.txt --moments moments.arrow -o x.arrow";
    assert_refused(&folder.line(unknown), &["the moments have no class 'new'"]);
}

#[test]
fn invalid_rows_are_refused_or_left_out_as_by_score() {
    let folder = Folder::new();
    let rows = [[1.0, 0.1], [1.0, 0.3], [f32::NAN, 1.0], [0.2, 1.0], [0.4, 1.0], [0.0, 0.0]];
    folder.matrix("whole.npy", &rows);
    folder.integers("whole_labels.npy", &[0, 0, 1, 1, 1, 0]);
    for (part, range) in [("a", 0..3), ("b", 3..6)] {
        folder.matrix(&format!("{part}.npy"), &rows[range.clone()]);
        folder.integers(&format!("{part}_labels.npy"), &[0, 0, 1, 1, 1, 0][range]);
    }
    let partial = |part: &str, rest: &str| folder.line(&format!("partial {part}.npy -l {part}_labels.npy {rest}"));
    assert_refused(&partial("a", "-o a.arrow"), &["a.npy: NaN in row 2, column 0", "--drop-invalid"]);
    assert_refused(&partial("b", "-o b.arrow"), &["b.npy: row 2 is a zero vector", "--drop-invalid"]);
    assert!(!folder.exists("a.arrow"));
    for part in ["a", "b"] {
        partial(part, &format!("--drop-invalid -o {part}.arrow")).success();
    }
    folder.line("merge a.arrow b.arrow -o moments.arrow").success();
    for part in ["a", "b"] {
        partial(part, &format!("--moments moments.arrow -o {part}_scores.arrow")).success();
    }
    let merged = folder.line("merge a_scores.arrow b_scores.arrow --moments moments.arrow --format json").json();
    let whole = folder.line("score whole.npy -l whole_labels.npy --drop-invalid --format json").json();
    assert_eq!((&merged["excluded"], &merged["settings"]), (&whole["excluded"], &whole["settings"]));
    let silhouette = |result: &Value| result["metrics"]["silhouette"].as_f64().unwrap();
    assert!((silhouette(&merged) - silhouette(&whole)).abs() < 1e-6);
}

#[test]
fn files_that_were_cut_off_or_altered_are_refused() {
    let folder = Folder::with_set();
    folder.line("partial emb.npy -l labels.npy -o p.arrow").success();
    folder.line("partial emb.npy -l labels.npy --moments p.arrow -o s.arrow").success();
    let reference = folder.line("merge s.arrow --moments p.arrow --format json --no-timing").success();
    for name in ["p.arrow", "s.arrow"] {
        let whole = fs::read(folder.path(name)).unwrap();
        let run = |bytes: &[u8]| {
            folder.write("damaged.arrow", bytes);
            folder.line(&match name {
                "p.arrow" => "merge s.arrow --moments damaged.arrow --format json --no-timing".to_owned(),
                _ => "merge damaged.arrow --moments p.arrow --format json --no-timing".to_owned(),
            })
        };
        for cut in (0..whole.len()).step_by(whole.len() / 40).chain([whole.len() - 1]) {
            let run = run(&whole[..cut]);
            assert_refused(&run, &["error: damaged.arrow"]);
            assert!(!run.stderr.contains("this is a bug"), "{cut}: {}", run.stderr);
        }
        let mut refused = 0;
        for place in (3..whole.len()).step_by(whole.len() / 60) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x10;
            let run = run(&bytes);
            // What no reader looks at, such as padding, may be anything.
            match run.code {
                Some(0) => assert_eq!(run.stdout, reference, "byte {place} of {name}"),
                _ => {
                    assert_refused(&run, &["error: damaged.arrow"]);
                    assert!(!run.stderr.contains("this is a bug"), "byte {place}: {}", run.stderr);
                    refused += 1;
                }
            }
        }
        assert!(refused > 20, "{refused} of {name}");
    }
}

#[test]
fn a_part_may_be_without_rows() {
    let folder = digits_in_parts();
    folder.pass_over_parts("");
    let whole =
        folder.line("merge s/0.arrow s/1.arrow s/2.arrow s/3.arrow --moments moments.arrow --format json").json();
    ndarray_npy::write_npy(folder.path("none.npy"), &Array2::<f32>::zeros((0, 64))).unwrap();
    folder.integers("none_labels.npy", &[]);
    folder.write("none.csv", "f0,f1,label\n");
    folder.write("none.txt", "");
    let mut states = Vec::new();
    for (name, input) in [("npy", "none.npy -l none_labels.npy"), ("csv", "none.csv -l label")] {
        let run = folder.line(&format!("partial {input} -o p/{name}.arrow"));
        assert!(run.code == Some(0) && run.stderr.contains("it has no rows"), "{run:#?}");
        states.push(format!("p/{name}.arrow"));
    }
    folder.line(&format!("merge {} p/0.arrow p/1.arrow p/2.arrow p/3.arrow -o all.arrow", states.join(" "))).success();
    for input in ["none.npy -l none_labels.npy", "none.csv -l label"] {
        folder.line(&format!("partial {input} --moments all.arrow -o s/none.arrow --rows-out none-rows.csv")).success();
        assert_eq!(fs::read_to_string(folder.path("none-rows.csv")).unwrap().lines().count(), 1);
    }
    for part in 0..CUTS.len() - 1 {
        folder
            .line(&format!("partial parts/{part}.npy -l parts/{part}.txt --moments all.arrow -o s/{part}.arrow"))
            .success();
    }
    let merged = folder
        .line("merge s/none.arrow s/0.arrow s/1.arrow s/2.arrow s/3.arrow --moments all.arrow --format json")
        .json();
    assert_eq!((&merged["metrics"], &merged["labels"]["blake3"]), (&whole["metrics"], &whole["labels"]["blake3"]));
    // Labels of rows that are not there, rows without labels, and files that may have been cut off are no empty parts.
    for (input, expected) in [
        ("none.npy -l parts/0.txt", "none.npy: it has no rows"),
        ("parts/0.npy -l none_labels.npy", "none_labels.npy: it has no rows"),
        ("none.npy -l none.txt", "none.txt: it is empty (0 bytes)"),
    ] {
        assert_refused(&folder.line(&format!("partial {input} -o x.arrow")), &[expected]);
        assert!(!folder.exists("x.arrow"), "{input}");
    }
    assert_refused(&folder.line("score none.npy -l none_labels.npy"), &["it has no rows"]);
}

#[test]
fn the_same_rows_twice_need_names() {
    let folder = Folder::with_set();
    let partial = |rest: &str| folder.line(&format!("partial emb.npy -l labels.npy {rest}"));
    partial("--part 1 -o p1.arrow").success();
    partial("--part 2 -o p2.arrow").success();
    assert_refused(
        &folder.line("merge p1.arrow p1.arrow -o m.arrow"),
        &["emb.npy ('1'): the same part would count twice"],
    );
    folder.line("merge p1.arrow p2.arrow -o m.arrow").success();
    partial("--part 1 --moments m.arrow -o s1.arrow").success();
    assert_refused(&partial("--moments m.arrow -o s2.arrow"), &["give the same names to parts in both passes"]);
    partial("--part 2 --moments m.arrow -o s2.arrow").success();
    let merged = folder.line("merge s1.arrow s2.arrow --moments m.arrow --format json").json();
    assert_eq!(merged["classes"][0]["count"], 6);
}

#[test]
fn an_output_appears_whole_or_not_at_all() {
    let folder = Folder::with_set();
    folder.write("p.arrow", "old");
    assert_refused(&folder.line("partial emb.npy -l nothing.npy -o p.arrow"), &["nothing.npy"]);
    assert_eq!(folder.read("p.arrow"), "old");
    assert_refused(&folder.line("partial emb.npy -l labels.npy -o nowhere/p.arrow"), &["no folder 'nowhere'"]);
    assert_refused(&folder.line("partial emb.npy -l labels.npy -o emb.arrow --rows-out x.csv"), &["--moments"]);
    folder.line("partial emb.npy -l labels.npy -o p.arrow").success();
    let left: Vec<_> = fs::read_dir(folder.path("")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 3, "{left:?}");
}

/// The recipe of `docs/scaling.md` in a language, of which a line is told.
fn recipe(language: &str, line: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/scaling.md");
    let text = fs::read_to_string(path).unwrap();
    let blocks = text.split("\n```").skip(1).step_by(2);
    let of_language = blocks.filter_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    let found: Vec<&str> = of_language.filter(|block| block.contains(line)).collect();
    assert_eq!(found.len(), 1, "recipes in {language} with {line}");
    found[0].to_owned()
}

/// Runs a recipe over the digits in Parquet files and compares its result; says loudly if the program is not there.
fn assert_recipe(file: &str, recipe: &str, program: &str, arguments: &[&str]) {
    if Command::new(program).arg("--version").output().is_err() {
        eprintln!("SKIPPED: {program} is not installed, so the recipe for it in docs/scaling.md was not run");
        return;
    }
    let folder = Folder::new();
    fs::create_dir(folder.path("parts")).unwrap();
    let rows: Array2<f32> = ndarray_npy::read_npy(fixture("digits/embeddings.npy")).unwrap();
    let labels = fs::read_to_string(fixture("digits/labels.txt")).unwrap();
    let labels: Vec<&str> = labels.lines().collect();
    for (part, cut) in CUTS.windows(2).enumerate() {
        let column = |k: usize| {
            let values: Vec<f32> = rows.slice(s![cut[0]..cut[1], k]).to_vec();
            polars::prelude::Column::new(format!("f{k}").into(), values)
        };
        let mut columns: Vec<_> = (0..rows.ncols()).map(column).collect();
        columns.push(polars::prelude::Column::new("label".into(), labels[cut[0]..cut[1]].to_vec()));
        folder.parquet(&format!("parts/part-{part:04}.parquet"), columns);
    }
    folder.write(file, recipe);
    let binaries = std::path::Path::new(env!("CARGO_BIN_EXE_embq")).parent().unwrap().to_owned();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(binaries).chain(std::env::split_paths(&paths));
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder.path(""))
        .env("PATH", std::env::join_paths(paths).unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let result: Value = serde_json::from_str(&folder.read("result.json")).unwrap();
    let whole = score_of_digits(&[]);
    let silhouette = |result: &Value| result["metrics"]["silhouette"].as_f64().unwrap();
    assert!((silhouette(&result) - silhouette(&whole)).abs() < 2e-6);
    assert_eq!(result["inputs"][0]["path"], "parts/part-000*.parquet");
    // Made again, nothing is left to do.
    assert!(folder.exists("p/part-0003.arrow") && folder.exists("s/part-0003.arrow"));
}

#[test]
fn the_makefile_of_the_documentation_works() {
    assert_recipe("Makefile", &recipe("make", "result.json:"), "make", &["-j2"]);
}

#[test]
fn the_snakefile_of_the_documentation_works() {
    assert_recipe("Snakefile", &recipe("python", "rule result:"), "snakemake", &["--cores", "2", "--quiet", "all"]);
}
