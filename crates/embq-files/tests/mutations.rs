//! Randomly damages files of every format that were written by other software; each must be read or refused.
//!
//! The seed is fixed, so that failures are reproducible. `EMBQ_MUTATION_SECONDS=600 cargo test -p embq-files --test
//! mutations` runs for that long; add what it finds to `fixtures/crashes`.

use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use embq_core::data::{Element, Embeddings};
use embq_files::input::{embeddings_from_bytes, labels_from_bytes};

/// Mutations per file if no time is given.
const ROUNDS: u64 = 60;

/// The files are a few kilobytes; none should take this long to read or refuse.
const LIMIT: Duration = Duration::from_secs(20);

/// The maximum number of values read: a header may declare many where nothing is stored.
const READ: usize = 1 << 20;

/// In larger files, most mutations would hit only numbers.
const LARGEST: u64 = 200_000;

/// Formats whose reader is another library with its own fuzz targets, and which may allocate without limit.
const ELSEWHERE: [&str; 4] = ["parquet", "arrow", "arrows", "feather"];

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }
}

/// Changes some bytes: flips bits, writes lengths that are too large, moves parts of the file, cuts off its end.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    const LENGTHS: [u64; 8] = [0, 1, 255, 1 << 20, 1 << 40, u64::MAX / 2, u64::MAX - 1, u64::MAX];
    for _ in 0..=random.below(5) {
        let length = bytes.len();
        let at = match random.below(3) {
            0 => random.below(length),
            1 => random.below(length.min(512)),
            _ => random.below(length / 8 + 1) * 8,
        };
        let Some(rest) = bytes.get_mut(at..) else { continue };
        match random.below(7) {
            0 => rest.iter_mut().take(1).for_each(|byte| *byte ^= 1 << random.below(8)),
            1 => rest.iter_mut().take(1).for_each(|byte| *byte = random.next() as u8),
            2 => {
                let length = LENGTHS[random.below(LENGTHS.len())].to_le_bytes();
                rest.iter_mut().zip(length).for_each(|(byte, new)| *byte = new);
            }
            3 => {
                let (from, count) = (random.below(length), random.below(16) + 1);
                if from + count <= length && at + count <= length {
                    bytes.copy_within(from..from + count, at);
                }
            }
            4 if random.below(6) == 0 => bytes.truncate(at.max(1)),
            5 => rest.iter_mut().take(4).for_each(|byte| *byte = 0xff),
            _ => rest.iter_mut().take(1).for_each(|byte| *byte = byte.wrapping_add(1)),
        }
    }
}

fn read_rows(embeddings: &Embeddings) {
    let d = embeddings.dimensions().max(1);
    let rows = embeddings.rows().min(READ / d);
    let step = (READ / 16 / d).max(1);
    let mut block = vec![0.0; step.min(rows) * d];
    for start in (0..rows).step_by(step) {
        let end = (start + step).min(rows);
        if f64::read(embeddings.blocks(), start..end, &mut block[..(end - start) * d]).is_err() {
            return;
        }
    }
}

/// Reads what the fuzz targets read too.
fn read(name: &str, bytes: &[u8]) {
    for selector in [None, Some("plain"), Some("deflated"), Some("obsm/X_rows"), Some("obs/cell_type"), Some("label")] {
        if let Ok(embeddings) = embeddings_from_bytes(name, bytes.to_vec(), selector) {
            read_rows(&embeddings);
        }
        let _ = labels_from_bytes(name, bytes.to_vec(), selector);
    }
}

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/formats");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        path.is_file() && !ELSEWHERE.contains(&extension) && path.metadata().unwrap().len() <= LARGEST
    });
    files.sort();
    files
}

#[test]
fn damaged_files_are_read_or_refused() {
    let seconds = std::env::var("EMBQ_MUTATION_SECONDS").ok().and_then(|text| text.parse().ok());
    let files: Vec<(String, Vec<u8>)> = files()
        .into_iter()
        .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()))
        .collect();
    let started = Instant::now();
    let hook = panic::take_hook();
    // Silences panics of decoders that the readers catch.
    panic::set_hook(Box::new(|_| {}));
    let mut failures = Vec::new();
    let mut runs = 0_u64;
    for round in 1_u64.. {
        match seconds {
            Some(seconds) if started.elapsed() > Duration::from_secs(seconds) => break,
            None if round > ROUNDS => break,
            _ => {}
        }
        for (number, (name, whole)) in files.iter().enumerate() {
            let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (round << 16) ^ number as u64);
            random.next();
            let mut bytes = whole.clone();
            mutate(&mut bytes, &mut random);
            let begun = Instant::now();
            let ended = panic::catch_unwind(AssertUnwindSafe(|| read(name, &bytes)));
            let took = begun.elapsed();
            runs += 1;
            if ended.is_err() || took > LIMIT {
                let kept = std::env::temp_dir().join(format!("embq-mutation-{round}-{name}"));
                let _ = fs::write(&kept, &bytes);
                failures.push(format!("round {round} of {name} ({took:?}), kept as {}", kept.display()));
            }
        }
    }
    panic::set_hook(hook);
    println!("{runs} damaged files");
    assert!(failures.is_empty(), "{failures:#?}");
}
