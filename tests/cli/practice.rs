//! Files and commands as people have them: each gives the intended number, an error with a remedy, or a note beside the
//! number. `fixtures/practice/` has the files and the expectations.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::folder::Run;

fn practice() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/practice")
}

/// A command and its expected outcome.
struct Case {
    id: String,
    folder: PathBuf,
    command: String,
    expected: String,
}

/// The cases of a table; each of `reports` runs in its own folder.
fn cases(table: &str, base: &Path) -> Vec<Case> {
    let text = fs::read_to_string(practice().join(format!("{table}.tsv"))).unwrap();
    let mut lines = text.lines();
    let columns: Vec<&str> = lines.next().unwrap().split('\t').collect();
    let column = |name: &str| columns.iter().position(|column| *column == name).unwrap();
    let (id, command, expected) = (column("id"), column("command"), column("expected"));
    let case = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let folder = match fields[id].rsplit_once('.') {
            Some((folder, _)) if base.join(folder).is_dir() => base.join(folder),
            _ => base.to_owned(),
        };
        Case {
            id: fields[id].to_owned(),
            folder,
            command: fields[command].to_owned(),
            expected: fields[expected].to_owned(),
        }
    };
    lines.map(case).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

/// Runs a command line in a shell that finds the binary.
fn shell(command: &str, folder: &Path) -> Run {
    let binary = Path::new(env!("CARGO_BIN_EXE_embq")).parent().unwrap().to_owned();
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(binary).chain(std::env::split_paths(&paths))).unwrap();
    let output = Command::new("sh")
        .args(["-c", command])
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("PATH", path)
        .env("HOME", folder)
        .env("NO_COLOR", "1")
        .output()
        .unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Whether a run matches one of the alternatives: `number X` is exit code 0 and X in the result, `note X` is exit code
/// 0 and X beside it, `out X` is X in the result, `error X` is exit code 2 and X in the message. `&` joins several
/// requirements, ` or ` separates alternatives.
fn fits(run: &Run, expected: &str) -> bool {
    expected.split(" or ").any(|alternative| {
        let mut last = "";
        alternative.split(" & ").all(|term| {
            let (first, rest) = term.split_once(' ').unwrap_or((term, ""));
            let text = match first {
                "number" | "note" | "out" | "error" => {
                    last = first;
                    rest
                }
                _ => term,
            };
            match last {
                "number" => run.code == Some(0) && run.stdout.contains(text),
                "note" => run.code == Some(0) && (run.stderr.contains(text) || run.stdout.contains(text)),
                "out" => run.stdout.contains(text),
                _ => run.code == Some(2) && run.stderr.contains(text),
            }
        })
    })
}

/// Whether a command cannot run here because Python, jq or a package is missing.
fn needs_more(command: &str) -> bool {
    let runs = |program: &str, arguments: &[&str]| {
        let status = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    command.contains("python3") && !runs("python3", &["-c", "import numpy"])
        || command.contains("jq ") && !runs("jq", &["--version"])
}

/// Runs the cases of a table in a copy of its files.
fn check(table: &str, source: &str) {
    let folder = tempfile::tempdir().unwrap();
    copy(&practice().join(source), folder.path());
    let mut failures = String::new();
    for case in cases(table, folder.path()) {
        if needs_more(&case.command) {
            eprintln!("{}: skipped, because a program is missing: {}", case.id, case.command);
            continue;
        }
        let run = shell(&case.command, &case.folder);
        let fits = fits(&run, &case.expected);
        if !fits {
            let _ = writeln!(failures, "{}: {}\n  expected {}\n  {run:?}", case.id, case.command, case.expected);
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn small_files_of_every_kind_are_read_as_they_were_meant() {
    check("own", "own");
}

#[test]
fn reported_files_are_read_as_they_were_meant() {
    check("reports", "reports");
}
