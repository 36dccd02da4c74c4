//! What every target does with its bytes: the whole path from a file to numbers.

use embq_core::data::{Element, Embeddings};
use embq_files::input::{embeddings_from_bytes, labels_from_bytes};

/// Values that are read at a time.
const BLOCK: usize = 1 << 16;

/// Values that are read at most: a header may promise many where a constant is stored once.
const READ: usize = 1 << 22;

/// Lets the readers catch the panics of the libraries that they use, as the program does. The fuzzer's own hook ends
/// the process at the first panic, caught or not; one that nobody catches still ends it.
pub fn set_up() {
    std::panic::set_hook(Box::new(|_| {}));
}

/// Reads embeddings and labels, each with and without a selector.
pub fn read(name: &str, bytes: &[u8]) {
    for selector in [None, Some("emb"), Some("label")] {
        if let Ok(embeddings) = embeddings_from_bytes(name, bytes.to_vec(), selector) {
            read_rows(&embeddings);
        }
        if let Ok(labels) = labels_from_bytes(name, bytes.to_vec(), selector) {
            for row in 0..labels.len().min(READ) {
                let _ = labels.get(row);
            }
        }
    }
}

fn read_rows(embeddings: &Embeddings) {
    let d = embeddings.dimensions();
    let rows = embeddings.rows().min(READ / d.max(1));
    let step = (BLOCK / d.max(1)).max(1);
    let mut block = vec![0.0; step.min(rows) * d];
    for start in (0..rows).step_by(step) {
        let end = (start + step).min(rows);
        if f64::read(embeddings.blocks(), start..end, &mut block[..(end - start) * d]).is_err() {
            return;
        }
    }
}
