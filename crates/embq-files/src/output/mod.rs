//! Rows, matrices and arrays back to files: one file for each of what is written.

pub mod matrix;
pub mod rows;
pub mod state;
mod tables;

use std::io::Write;
use std::path::Path;

use ndarray::{ArrayBase, Data, Dimension};
use ndarray_npy::WriteNpyExt;

/// The types of numbers that arrays are written of.
pub use ndarray_npy::WritableElement;

use embq_core::error::Error;

/// What filling a file ends with; whatever went wrong becomes an error that names the file.
pub type WriteResult = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Writes an array as .npy.
///
/// # Errors
/// What the writer reports.
pub fn write_array<A, S, D>(array: &ArrayBase<S, D>, writer: &mut dyn Write) -> WriteResult
where
    A: WritableElement,
    S: Data<Elem = A>,
    D: Dimension,
{
    Ok(array.write_npy(writer)?)
}

/// The shortest text that reads back as the same number.
pub fn exact(value: f64) -> String {
    format!("{value:?}")
}

/// The extension of a path in lower case.
pub fn extension(path: &str) -> Option<String> {
    Path::new(path).extension().map(|extension| extension.to_string_lossy().to_lowercase())
}

/// An output whose extension stands for no format.
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
