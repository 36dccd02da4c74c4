//! Runs on broken files: whatever their bytes, a run ends with a number, or with exit code 2 and the file's name.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use crate::folder::{Folder, fixture};

/// Formats that declare their size, so that a truncated file is never valid.
const SIZED: [&str; 20] = [
    "plain.npy",
    "stored.npz",
    "deflated.npz",
    "f32.safetensors",
    "bf16.safetensors",
    "list_f16_zstd.parquet",
    "columns.parquet",
    "categories.parquet",
    "lz4.feather",
    "dictionary.arrow",
    "dictionary.arrows",
    "polars.arrow",
    "cells_0.7.h5ad",
    "rows_sparse.npz",
    "columns_sparse.npz",
    "rows.fbin",
    "words.bin",
    "plain.npy.gz",
    "plain.npy.zst",
    "rows.jsonl.gz",
];

/// Formats made of lines.
const LINES: [&str; 7] =
    ["rows.tsv", "rows.jsonl", "glove.txt", "word2vec.vec", "matrix.json", "arrays.jsonl", "rows.fvecs"];

/// The distance between truncations in bytes.
const STEP: usize = 64;

/// Headers and footers are within this many bytes of the beginning and the end.
const HEADER: usize = 256;

/// No run on a few thousand bytes takes this long.
const LIMIT: Duration = Duration::from_secs(60);

/// The outcome of a run on a broken file.
struct Ending {
    code: Option<i32>,
    stderr: String,
}

/// Scores a file with the labels of the whole set, with limited memory where possible.
fn score(folder: &Folder, name: &str, labels: &str) -> Ending {
    let binary = env!("CARGO_BIN_EXE_embq");
    let mut command = if cfg!(target_os = "linux") {
        let mut shell = Command::new("sh");
        shell.args(["-c", "ulimit -v 3000000; exec \"$@\"", "sh", binary]);
        shell
    } else {
        Command::new(binary)
    };
    // The limit is on address space, which every thread reserves.
    command.env("RAYON_NUM_THREADS", "2").env("POLARS_MAX_THREADS", "2").env("NO_COLOR", "1");
    command.args(["score", name, "-l", labels, "--format", "csv", "-o", "out.json"]);
    command.current_dir(folder.path("")).stdout(Stdio::null()).stderr(Stdio::piped());
    let started = Instant::now();
    let output = command.output().unwrap();
    assert!(started.elapsed() < LIMIT, "{name} took {:?}", started.elapsed());
    Ending { code: output.status.code(), stderr: String::from_utf8(output.stderr).unwrap() }
}

/// Asserts that a broken file ended with one of the exit codes, and that an error names it and leaves no output.
fn check(what: &str, bytes: &[u8], name: &str, codes: &[i32]) {
    check_with(what, bytes, name, &fixture("formats/labels.npy"), codes);
}

fn check_with(what: &str, bytes: &[u8], name: &str, labels: &str, codes: &[i32]) {
    let folder = Folder::new();
    folder.write(name, bytes);
    let ending = score(&folder, name, labels);
    let told = format!("{name}, {what}: exit code {:?}, {}", ending.code, ending.stderr);
    assert!(ending.code.is_some_and(|code| codes.contains(&code)), "{told}");
    if ending.code == Some(2) {
        assert!(ending.stderr.contains(name) && !ending.stderr.contains("defect"), "{told}");
        let left: Vec<_> = fs::read_dir(folder.path("")).unwrap().collect();
        assert_eq!(left.len(), 1, "{told}: {left:?}");
    }
}

fn bytes_of(name: &str) -> Vec<u8> {
    fs::read(fixture(&format!("formats/{name}"))).unwrap()
}

fn all_cuts(name: &str, codes: &[i32]) {
    let bytes = bytes_of(name);
    let cuts: Vec<usize> = (0..bytes.len()).step_by(STEP).chain([bytes.len() - 1]).collect();
    cuts.into_par_iter().for_each(|cut| check(&format!("cut at byte {cut}"), &bytes[..cut], name, codes));
}

#[test]
fn files_cut_anywhere_are_refused() {
    SIZED.into_iter().for_each(|name| all_cuts(name, &[2]));
}

#[test]
fn text_cut_anywhere_is_refused_or_read() {
    LINES.into_iter().for_each(|name| all_cuts(name, &[0, 2]));
}

#[test]
fn bits_flipped_in_headers_and_footers() {
    for name in SIZED {
        let bytes = bytes_of(name);
        let header = 0..bytes.len().min(HEADER);
        let footer = bytes.len().saturating_sub(HEADER).max(header.end)..bytes.len();
        let places: Vec<usize> = header.chain(footer).collect();
        places.into_par_iter().for_each(|place| {
            let mut broken = bytes.clone();
            let bit = place * 5 % 8;
            broken[place] ^= 1 << bit;
            check(&format!("bit {bit} of byte {place} flipped"), &broken, name, &[0, 2]);
        });
    }
}

/// An npy file with any header.
fn npy(header: &str) -> Vec<u8> {
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(((header.len() + 1) as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.push(b'\n');
    bytes.extend([0; 64]);
    bytes
}

#[test]
fn shapes_beyond_reason() {
    for shape in [
        "(18446744073709551615, 18446744073709551615)",
        "(18446744073709551616, 2)",
        "(4294967296, 4294967296)",
        "(9223372036854775807, 2)",
        "(99999999999999999999999999, 2)",
        "(-4, 4)",
        "(4, -4)",
        "(-1, -1)",
        "(4, 0)",
        "(0, 4)",
        "(0, 18446744073709551615)",
        "(2, 2, 2, 2)",
        "()",
        "(4.5, 2)",
        "('4', 4)",
        "4",
        "None",
    ] {
        for descr in ["<f4", "<f8", "|O", "<c8", "<M8[s]", "|V8", "<f999999999999"] {
            let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
            check(&header, &npy(&header), "x.npy", &[2]);
        }
    }
    for header in ["", "{}", "[]", "{'shape': (4, 4)}", "{'descr': '<f4'", &"(".repeat(60_000), "\u{0}\u{1}\u{2}"] {
        let shown: String = header.chars().take(20).collect();
        check(&shown, &npy(header), "x.npy", &[2]);
    }
}

#[test]
fn safetensors_headers_beyond_reason() {
    for (length, header) in [
        (u64::MAX, String::new()),
        (1 << 40, String::new()),
        (2, "{}".to_owned()),
        (4, "[[[[".to_owned()),
        (0, r#"{"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,64]}}"#.to_owned()),
        (0, r#"{"x":{"dtype":"F32","shape":[4,4],"data_offsets":[0,18446744073709551615]}}"#.to_owned()),
        (0, r#"{"x":{"dtype":"F32","shape":[4,4],"data_offsets":[64,0]}}"#.to_owned()),
        (0, r#"{"x":{"dtype":"F32","shape":[-4,4],"data_offsets":[0,64]}}"#.to_owned()),
        (0, r#"{"x":{"dtype":"F9","shape":[4,4],"data_offsets":[0,64]}}"#.to_owned()),
        (0, "[".repeat(100_000)),
    ] {
        let length = if length == 0 { header.len() as u64 } else { length };
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend([0; 64]);
        let shown: String = header.chars().take(70).collect();
        check(&format!("{length}: {shown}"), &bytes, "x.safetensors", &[2]);
    }
}

#[test]
fn the_wrong_content_under_every_name() {
    let contents: [(&str, &[u8]); 8] = [
        ("nothing", b""),
        ("one byte", b"\x00"),
        ("noise", &[0xa5; 300]),
        ("a pickle", b"\x80\x04\x95\x1a\x00\x00\x00\x00\x00\x00\x00]\x94(K\x01K\x02K\x03e."),
        ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03"),
        ("brackets", &[b'['; 100_000]),
        ("quotes", &[b'"'; 301]),
        ("NUL", &[0; 300]),
    ];
    for extension in
        ["npy", "npz", "safetensors", "parquet", "arrow", "feather", "csv", "tsv", "jsonl", "json", "vec", "txt"]
    {
        for (what, bytes) in contents {
            check(what, bytes, &format!("x.{extension}"), &[2]);
        }
    }
}

#[test]
fn a_member_of_an_archive_that_inflates_beyond_reason() {
    let folder = Folder::new();
    let mut bomb = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (7500000, 10), }");
    bomb.resize(300_000_200, 0);
    folder.zip("bomb.npz", &[("x.npy", &bomb)]);
    drop(bomb);
    assert!(fs::metadata(folder.path("bomb.npz")).unwrap().len() < 1 << 20);
    let ending = score(&folder, "bomb.npz", &fixture("formats/labels.npy"));
    assert_eq!(ending.code, Some(2), "{}", ending.stderr);
    assert!(ending.stderr.contains("bomb.npz") && ending.stderr.contains("100 times its size"), "{}", ending.stderr);
}

#[test]
fn parquet_of_types_that_are_no_embeddings() {
    use polars::prelude::{Column, NamedFrom, Series};
    let folder = Folder::new();
    let text = Series::new("t".into(), ["a", "b", "c"]);
    let whole = Series::new("i".into(), [1_i64, 2, 3]);
    let truth = Series::new("b".into(), [true, false, true]);
    folder.parquet("types.parquet", [text, whole, truth].map(Column::from).to_vec());
    for selector in ["", ":t", ":b", ":t..b", ":nothing"] {
        let ending = score(&folder, &format!("types.parquet{selector}"), "i");
        assert_eq!(ending.code, Some(2), "{selector}: {}", ending.stderr);
        assert!(ending.stderr.contains("types.parquet"), "{selector}: {}", ending.stderr);
    }
}

/// Every file in `fixtures/crashes` once broke a reader.
#[test]
fn what_once_broke_a_reader() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/crashes");
    let mut found = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let bytes = fs::read(&path).unwrap();
        for labels in ["label", &fixture("formats/labels.npy")] {
            check_with(labels, &bytes, &name, labels, &[2]);
        }
        found += 1;
    }
    assert!(found > 0);
}
