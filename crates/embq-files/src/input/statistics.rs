//! Mean and covariance of rows that are not at hand, as programs that compute the FID store them.

use ndarray::Array2;

use crate::input::source::{Location, Source};
use crate::input::{Contents, Role, matrix, numbers, open_source};
use embq_core::data::Origin;
use embq_core::error::Result;

/// The names of the arrays: d values and d x d.
const NAMES: [&str; 2] = ["mu", "sigma"];

/// What a file of statistics holds.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// The file.
    pub origin: Origin,
    /// The mean of each dimension.
    pub mean: Vec<f64>,
    /// The covariance, as stored.
    pub covariance: Array2<f64>,
}

/// Reads the statistics that an `.npz` file with the arrays `mu` and `sigma` holds, as pytorch-fid writes them; `None` for
/// every other input, and where one of the arrays is selected.
///
/// # Errors
/// Arrays of other shapes or types, and damaged files.
pub fn statistics(spec: &str) -> Result<Option<Statistics>> {
    let Some(location) = Location::find(spec)? else { return Ok(None) };
    let [path] = &location.files[..] else { return Ok(None) };
    let is_archive = path.to_lowercase().ends_with(".npz");
    if location.is_stdin() || location.selector.is_some() || !is_archive {
        return Ok(None);
    }
    let contents = open_source(&Source::open(path)?, Role::Embeddings, None)?;
    let Contents::Arrays(file) = &contents else { return Ok(None) };
    if !NAMES.iter().all(|name| file.names().iter().any(|own| own == name)) {
        return Ok(None);
    }
    let [mean, covariance] = NAMES.map(|name| format!("{path}:{name}"));
    Ok(Some(Statistics { origin: Origin::new(spec), mean: numbers(&mean)?, covariance: matrix(&covariance)? }))
}
