//! The first minutes with the program: what people type before they know it, and that every command in an answer works.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use crate::folder::{Folder, Run, SIX};

/// A typical folder: embeddings, labels, a table with both, a copy of the embeddings under another name.
fn folder() -> Folder {
    let folder = Folder::with_set();
    folder.matrix("emb2.npy", &SIX);
    folder.write(
        "table.csv",
        "id,f0,f1,species\n1,1,0.1,ant\n2,2,0.3,ant\n3,1.5,0,ant\n4,0.1,1,bee\n5,0.2,2,bee\n6,0,1.5,bee\n",
    );
    folder.write("labels.txt", "ant\nant\nant\nbee\nbee\nbee\n");
    folder.write("header.txt", "species\nant\nant\nant\nbee\nbee\nbee\n");
    folder.write("line.txt", "ant ant ant bee bee bee\n");
    // Beside the labels, what is called like them and has other rows: names of classes, and a table of another set.
    folder.write("classes.txt", "ant\nant\nbee\nbee\ncow\ncow\ndoe\ndoe\neel\neel\n");
    folder.integers("class-counts.npy", &[3, 3, 3, 2]);
    folder.write("other-metadata.csv", "id,species\n1,ant\n2,ant\n3,bee\n4,bee\n");
    folder.write("metadata.csv", "id,animal name\na,ant\nb,ant\nc,ant\nd,bee\ne,bee\nf,bee\n");
    folder.write(
        "two.csv",
        "a0,a1,b0,b1\n1,0.1,1,0.1\n2,0.3,2,0.3\n1.5,0,1.5,0\n0.1,1,0.1,1\n0.2,2,0.2,2\n0,1.5,0,1.5\n",
    );
    folder.write("na.csv", "f0,f1,l\n1,0.1,a\n2,0.3,a\nNA,0,a\n0.1,1,b\n0.2,2,b\n0,1.5,b\n");
    folder.matrix("onehot.npy", &[[1.0, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]]);
    folder.matrix("similarity.npy", &[[1.0, 0.9, 0.1], [0.9, 1.0, 0.2], [0.1, 0.2, 1.0]]);
    folder.integers("three.npy", &[0, 0, 1]);
    folder.matrix("turned.npy", &[[1.0, 2.0, 1.5, 0.1, 0.2, 0.0], [0.1, 0.3, 0.0, 1.0, 2.0, 1.5]]);
    folder.floats("condensed.npy", &[0.1, 0.9, 0.8]);
    folder
}

/// What people type. Each is answered by the intended command or by an explanation.
const FIRST_MINUTES: &[&str] = &[
    "embq emb.npy labels.npy",
    "embq labels.npy emb.npy",
    "embq emb.npy",
    "embq emb.npy -l labels.npy",
    "embq score emb.npy labels.npy",
    "embq score emb.npy",
    "embq score table.csv",
    "embq suspects emb.npy",
    "embq score emb.npy --metrics retrieval",
    "embq score labels.npy -l emb.npy",
    "embq score --embeddings emb.npy --labels labels.npy",
    "embq score emb.npy -l labels.npy --metric cosine",
    "embq score emb.npy -l labels.npy --metric silhouette",
    "embq score emb.npy -l labels.npy --metrics cosine",
    "embq score emb.npy -l labels.npy --metrics silhouette,euclidean",
    "embq score emb.npy -l labels.npy -d euclidean",
    "embq score emb.npy -l labels.npy -m manhattan",
    "embq score emb.npy -l labels.npy -m retrieval",
    "embq score emb.npy -l labels.npy --distance l2",
    "embq score emb.npy -l labels.npy --distance l1",
    "embq score emb.npy -l labels.npy --distance cityblock",
    "embq score emb.npy -l labels.npy --distance=dot",
    "embq score emb.npy -l labels.npy --distance ip",
    "embq score emb.npy -l labels.npy --distance Cosine",
    "embq score emb.npy -l labels.npy --distance angular",
    "embq score emb.npy -l labels.npy --metrics retrieval -k 2",
    "embq score emb.npy -l labels.npy -f json",
    "embq score emb.npy -l labels.npy --json",
    "embq score emb.npy -l labels.npy -q",
    "embq score emb.npy -l labels.npy -v",
    "embq eval emb.npy -l labels.npy",
    "embq evaluate emb.npy -l labels.npy",
    "embq score emb.npy -l labels.npy --normalize",
    "embq score emb.npy -l labels.npy --device cuda",
    "embq score emb.npy -l labels.npy --n-neighbors=2 --metrics retrieval",
    "embq compare emb.npy emb2.npy labels.npy",
    "embq suspects emb.npy labels.npy",
    "embq score s3://bucket/emb.npy -l labels.npy",
    "embq score https://example.org/emb.npy -l labels.npy",
];

/// Problems with files, answered by a command or an option.
const FILES: &[&str] = &[
    "embq score emb.npy -l header.txt",
    "embq score emb.npy -l line.txt",
    "embq score two.csv -l labels.txt",
    "embq score na.csv -l l",
    "embq score table.csv:f9 -l species",
    "embq score emb.npy -l onehot.npy",
    "embq score turned.npy -l labels.npy",
    "embq score similarity.npy -l three.npy --distance precomputed",
    "embq score condensed.npy -l three.npy --distance precomputed",
    "embq score emb.npy -l labels.npy --metrics precision_at_1 --gallery emb.npy --gallery-labels labels.npy",
];

fn embq(folder: &Folder, command: &str) -> Run {
    let words = command.strip_prefix("embq ").unwrap_or(command).split_whitespace();
    folder.embq(words.map(|word| word.trim_matches('\'').to_owned()))
}

#[test]
fn what_people_write_first_is_answered() {
    let folder = folder();
    let mut told = String::new();
    for command in FIRST_MINUTES {
        let run = embq(&folder, command);
        let lines = run.stdout.lines().count();
        let shown = if run.code == Some(0) { format!("({lines} lines)\n{}", run.stderr) } else { run.stderr };
        let _ = writeln!(told, "$ {command}\n{}\n", shown.trim_end());
    }
    insta::assert_snapshot!(told);
}

/// The commands, options and lines of Python, jq and tr in a tip, as commands to run in the folder.
fn commands(asked: &str, tip: &str) -> Vec<String> {
    let mut found = Vec::new();
    let end = |text: &str, ends: &[&str]| ends.iter().filter_map(|end| text.find(end)).min().unwrap_or(text.len());
    if let Some(at) = tip.find("embq ") {
        let command = &tip[at..];
        found.push(command[..end(command, &["; "])].trim_end().to_owned());
    }
    if let Some(at) = tip.find("numpy.") {
        // An assignment before it belongs to the line.
        let start = tip[..at].rfind("m = ").unwrap_or(at);
        found.push(format!("python3 -c 'import numpy; {}'", &tip[start..]));
    }
    for program in ["tr -s ", "jq "] {
        found.extend(tip.find(program).map(|at| tip[at..].to_owned()));
    }
    let options =
        ["--header yes", "--header no", "--drop-invalid", "--key index", "--drop-null-labels", "--exclude-identical"];
    found.extend(options.iter().find(|option| tip.contains(*option)).map(|option| format!("{asked} {option}")));
    if let Some(at) = tip.find("write two.csv:").or_else(|| tip.find("such as two.csv:")) {
        let selected = tip[at..].split_whitespace().find(|word| word.starts_with("two.csv:")).unwrap_or_default();
        found.push(asked.replacen("two.csv", selected, 1));
    }
    found
}

fn runs(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

#[test]
fn a_tip_is_a_command_that_works() {
    let folder = folder();
    let (python, jq) = (runs("python3", &["-c", "import numpy"]), runs("jq", &["--version"]));
    let mut tried = 0;
    for asked in FIRST_MINUTES.iter().chain(FILES) {
        let run = embq(&folder, asked);
        let message = format!("{}\n{}", run.stderr, run.stdout);
        let tips = message.lines().filter(|line| line.trim_start().starts_with("tip:") || line.contains("note"));
        for tip in tips.map(str::trim).collect::<Vec<_>>() {
            let tip = tip.strip_prefix("tip:").unwrap_or(tip).trim();
            for command in commands(asked, tip) {
                if command.starts_with("python3") && !python || command.starts_with("jq") && !jq {
                    continue;
                }
                let status = shell(&command, &folder.path(""));
                assert_eq!(status, Some(0), "{asked}\n{tip}\n{command}");
                tried += 1;
            }
        }
    }
    // Fewer would mean that tips are no longer found in the messages, not that they all work.
    assert!(tried >= 30, "{tried}");
}

fn shell(command: &str, folder: &Path) -> Option<i32> {
    let binary = Path::new(env!("CARGO_BIN_EXE_embq")).parent().unwrap().to_owned();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(binary).chain(std::env::split_paths(&paths))).unwrap();
    let output = Command::new("sh").args(["-c", command]).current_dir(folder).env("PATH", path).output().unwrap();
    output.status.code()
}
