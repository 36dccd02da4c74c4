//! A temporary folder with inputs, in which tests run the binary.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ndarray::{Array1, Array2};
use polars::prelude::{Column, DataFrame};
use polars_io::prelude::ParquetWriter;

/// No run of these tests takes this long; one that hangs ends here.
const LIMIT: Duration = Duration::from_secs(120);

/// A folder that is deleted with the test.
pub struct Folder(tempfile::TempDir);

/// The output of a run other than its files.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// Asserts success and returns standard output.
    #[track_caller]
    pub fn success(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }

    /// Asserts an error that has these words in it, and no result.
    #[track_caller]
    pub fn refused(self, words: &[&str]) {
        assert_eq!((self.code, self.stdout.as_str()), (Some(2), ""), "{self:#?}");
        for word in words {
            assert!(self.stderr.contains(word), "no '{word}' in:\n{}", self.stderr);
        }
    }

    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.success()).unwrap()
    }
}

/// A file of the real sets, such as `digits/labels.npy`.
pub fn fixture(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    assert!(path.is_file(), "{} is missing", path.display());
    path.to_str().unwrap().to_owned()
}

/// Arguments that score the digits.
pub fn digits() -> [String; 4] {
    let [embeddings, labels] = ["digits/embeddings.npy", "digits/labels.npy"].map(fixture);
    ["score".to_owned(), embeddings, "-l".to_owned(), labels]
}

impl Folder {
    /// An empty folder.
    pub fn new() -> Self {
        Folder(tempfile::tempdir().unwrap())
    }

    /// A folder with `emb.npy` of 6 rows and 2 columns, and `labels.npy` with two classes of 3 rows.
    pub fn with_set() -> Self {
        let folder = Folder::new();
        folder.matrix("emb.npy", &SIX);
        folder.integers("labels.npy", &[0, 0, 0, 1, 1, 1]);
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub fn matrix<const D: usize>(&self, name: &str, rows: &[[f32; D]]) {
        let values: Vec<f32> = rows.iter().flatten().copied().collect();
        let matrix = Array2::from_shape_vec((rows.len(), D), values).unwrap();
        ndarray_npy::write_npy(self.path(name), &matrix).unwrap();
    }

    pub fn integers(&self, name: &str, values: &[i64]) {
        ndarray_npy::write_npy(self.path(name), &Array1::from(values.to_vec())).unwrap();
    }

    pub fn floats(&self, name: &str, values: &[f64]) {
        ndarray_npy::write_npy(self.path(name), &Array1::from(values.to_vec())).unwrap();
    }

    /// An npy file with the given header.
    pub fn npy(&self, name: &str, header: &str, data: &[u8]) {
        let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
        bytes.extend(((header.len() + 1) as u16).to_le_bytes());
        bytes.extend(header.as_bytes());
        bytes.push(b'\n');
        bytes.extend(data);
        self.write(name, bytes);
    }

    /// A zip archive of deflated files.
    pub fn zip(&self, name: &str, files: &[(&str, &[u8])]) {
        let mut archive = zip::ZipWriter::new(fs::File::create(self.path(name)).unwrap());
        for (name, bytes) in files {
            archive.start_file(*name, zip::write::SimpleFileOptions::default()).unwrap();
            archive.write_all(bytes).unwrap();
        }
        archive.finish().unwrap();
    }

    pub fn parquet(&self, name: &str, columns: Vec<Column>) {
        let height = columns[0].len();
        let mut table = DataFrame::new(height, columns).unwrap();
        let file = fs::File::create(self.path(name)).unwrap();
        ParquetWriter::new(file).finish(&mut table).unwrap();
    }

    /// A command that runs the binary in this folder, without the caller's environment.
    pub fn command(&self) -> assert_cmd::Command {
        let mut command = assert_cmd::Command::new(env!("CARGO_BIN_EXE_embq"));
        command.env_clear().env("NO_COLOR", "1");
        // Windows cannot start a process without the first; the second is the destination of coverage data.
        for kept in ["SystemRoot", "LLVM_PROFILE_FILE"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        command.current_dir(self.0.path()).timeout(LIMIT);
        command
    }

    pub fn embq(&self, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Run {
        run(self.command().args(arguments))
    }

    /// Runs `embq score` with arguments written as one line.
    pub fn score(&self, line: &str) -> Run {
        self.embq(std::iter::once("score").chain(line.split_whitespace()))
    }
}

pub fn run(command: &mut assert_cmd::Command) -> Run {
    let output = command.output().unwrap();
    Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Two groups of three rows, in different directions and places.
pub const SIX: [[f32; 2]; 6] = [[1.0, 0.1], [2.0, 0.3], [1.5, 0.0], [0.1, 1.0], [0.2, 2.0], [0.0, 1.5]];
