//! `embq watch` on a folder that is being filled.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use ndarray::Array2;

use crate::folder::Folder;

/// Two classes at distance `apart`.
fn write(path: &Path, apart: f64) {
    let rows = Array2::from_shape_fn((40, 3), |(row, k)| {
        let noise = ((row * 37 + k * 101) % 17) as f64 / 17.0 - 0.5;
        noise + if row % 2 == 0 && k == 0 { apart } else { 0.0 }
    });
    ndarray_npy::write_npy(path, &rows).unwrap();
}

fn folder() -> Folder {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("run")).unwrap();
    let labels: Vec<i64> = (0..40).map(|row| row % 2).collect();
    ndarray_npy::write_npy(folder.path("labels.npy"), &ndarray::Array1::from(labels)).unwrap();
    folder
}

fn watch(folder: &Folder, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_embq"));
    command.current_dir(folder.path("")).args(["watch", "run", "-l", "labels.npy", "--distance", "euclidean"]);
    command.args(["--every", "0.1", "--no-timing"]).args(arguments.split_whitespace());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn checkpoints_are_scored_as_they_appear_and_half_written_ones_later() {
    let folder = folder();
    write(&folder.path("run/step-1.npy"), 1.0);
    let mut running = watch(&folder, "--format jsonl --idle 3").spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let mut next = || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let first = next();
    assert_eq!((first["checkpoint"].as_str(), first["is_best"].as_bool()), (Some("step-1.npy"), Some(true)));
    assert!(first.get("comparison").is_none());

    write(&folder.path("whole.npy"), 3.0);
    let bytes = std::fs::read(folder.path("whole.npy")).unwrap();
    std::fs::write(folder.path("run/step-2.npy"), &bytes[..bytes.len() / 2]).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    std::fs::write(folder.path("run/step-2.npy"), &bytes).unwrap();
    let second = next();
    assert_eq!(second["checkpoint"], "step-2.npy");
    assert_eq!((&second["baseline"], &second["best"]), (&"step-1.npy".into(), &"step-2.npy".into()));
    assert_eq!(second["comparison"]["metrics"]["silhouette"]["verdict"], "better");
    assert!(second["comparison"]["paired"].as_bool().unwrap());
    assert_eq!(second["result"]["kind"], "score");
    assert_eq!(running.wait().unwrap().code(), Some(0));
}

#[test]
fn patience_and_gates_end_the_run_with_code_1() {
    let folder = folder();
    for (step, apart) in [(1, 3.0), (2, 1.0), (10, 0.5)] {
        write(&folder.path(&format!("run/step-{step}.npy")), apart);
    }
    let output = watch(&folder, "--patience 2").output().unwrap();
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{table}");
    let names: Vec<&str> = table.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["step-1.npy", "step-2.npy", "step-10.npy"]);
    assert_eq!(table.matches("worse than step-1.npy").count(), 2, "{table}");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(errors.contains("no better silhouette in 2 checkpoints (the best is step-1.npy)"), "{errors}");

    let mut command = watch(&folder, "--fail-if");
    let output = command.arg("upper(delta(silhouette)) < 0").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("gate failed: step-2.npy: upper(delta(silhouette)) < 0"));
    // The first checkpoint already fails a gate that needs no other.
    let output = watch(&folder, "--fail-if").arg("silhouette < 2").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("gate failed: step-1.npy: silhouette < 2"));
}

#[test]
fn what_cannot_be_scored_is_reported_once() {
    let folder = folder();
    std::fs::write(folder.path("run/step-1.npy"), b"\x93NUMPY\x01\x00").unwrap();
    let output = watch(&folder, "--idle 2").output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert_eq!(errors.matches("run/step-1.npy is left out until it changes").count(), 1, "{errors}");
    assert!(errors.contains("no checkpoint could be scored"), "{errors}");

    let mut command = watch(&folder, "--fail-if");
    let output = command.arg("similarity(linear_cka) < 0.9").output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("similarity(linear_cka) is not computed"));

    let mut command = watch(&folder, "--by ratoi");
    let errors = String::from_utf8_lossy(&command.output().unwrap().stderr).into_owned();
    assert!(errors.contains("unknown metric 'ratoi'"), "{errors}");
}
