//! Writes rows, matrices and arrays to files: one module for each.

pub mod matrix;
pub mod rows;
pub mod state;
mod tables;

use std::io::Write;
use std::path::Path;

use ndarray::{ArrayBase, Data, Dimension};
use ndarray_npy::WriteNpyExt;

/// The element types that can be written.
pub use ndarray_npy::WritableElement;

use embq_core::error::Error;

/// The result of writing a file; the caller turns any error into one that names the file.
pub type WriteResult = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Writes an array as .npy.
///
/// # Errors
/// Errors of the writer.
pub fn write_array<A, S, D>(array: &ArrayBase<S, D>, writer: &mut dyn Write) -> WriteResult
where
    A: WritableElement,
    S: Data<Elem = A>,
    D: Dimension,
{
    Ok(array.write_npy(writer)?)
}

/// The shortest text that parses back to the same number.
pub fn exact(value: f64) -> String {
    format!("{value:?}")
}

/// The extension of a path in lower case.
pub fn extension(path: &str) -> Option<String> {
    Path::new(path).extension().map(|extension| extension.to_string_lossy().to_lowercase())
}

/// The error for an output path with an unknown extension.
pub fn unknown_extension(path: &str, tip: &str) -> Error {
    Error::setting(format!("{path}: the extension does not say what to write"), tip)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_numbers_read_back() {
        for value in [0.1, 1e-320, -2.5e300, 3.0] {
            assert_eq!(exact(value).parse::<f64>(), Ok(value));
        }
    }
}
