//! `embq.toml`: the configuration of a project's comparison.

use std::path::Path;

use indexmap::IndexMap;
use serde::Deserialize;

use super::CompareOptions;
use embq_core::error::{Error, Result, choices};

/// The configuration file that is read if no checkpoint is named.
pub(super) const DEFAULT: &str = "embq.toml";

/// The whole file. Paths in it are relative to its folder.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Config {
    /// Embeddings by name.
    #[serde(default)]
    pub inputs: IndexMap<String, InputConfig>,
    #[serde(default)]
    pub compare: CompareOptions,
}

/// A path, or a path with its own labels.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum InputConfig {
    Path(String),
    WithLabels(InputWithLabels),
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct InputWithLabels {
    pub embeddings: String,
    pub labels: Option<String>,
}

/// A checkpoint that is compared.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Input {
    pub name: Option<String>,
    pub path: String,
    pub labels: Option<String>,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// A missing file, invalid TOML, unknown keys.
    pub fn read(path: &str) -> Result<Self> {
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", error))?;
        let mut config: Config = toml::from_str(&text).map_err(|error| Error::Malformed {
            name: path.to_owned(),
            problem: error.to_string().trim_end().to_owned(),
            tip: Some("docs/ci.md has an example of every key".to_owned()),
        })?;
        let folder = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder {
            config.move_to(folder);
        }
        Ok(config)
    }

    /// Makes relative paths relative to the working directory.
    fn move_to(&mut self, folder: &Path) {
        let moved = |path: &mut String| {
            // A column of the embeddings file is not a path.
            let is_column = path.starts_with(':') || !path.contains(['.', '/', '\\']);
            if !is_column && let Some(joined) = folder.join(&path).to_str() {
                *path = joined.to_owned();
            }
        };
        for input in self.inputs.values_mut() {
            match input {
                InputConfig::Path(path) => moved(path),
                InputConfig::WithLabels(input) => {
                    moved(&mut input.embeddings);
                    input.labels.iter_mut().for_each(moved);
                }
            }
        }
        self.compare.labels.iter_mut().for_each(moved);
        self.compare.row_weights.iter_mut().for_each(moved);
    }

    /// The baseline and the candidates, in this order.
    ///
    /// # Errors
    /// An unknown name, or no inputs.
    pub fn checkpoints(&self) -> Result<Vec<Input>> {
        let known: Vec<String> = self.inputs.keys().cloned().collect();
        let find = |name: &String| {
            let input = self.inputs.get(name).ok_or_else(|| {
                Error::setting(format!("[compare] names an unknown input '{name}'"), choices(Some(name), &known))
            })?;
            let (path, labels) = match input {
                InputConfig::Path(path) => (path.clone(), None),
                InputConfig::WithLabels(input) => (input.embeddings.clone(), input.labels.clone()),
            };
            Ok(Input { name: Some(name.clone()), path, labels })
        };
        let baseline = self.compare.baseline.as_ref().or(known.first()).ok_or_else(|| {
            Error::setting("the configuration has no inputs", "name them under [inputs], such as main = \"main.npy\"")
        })?;
        let others = known.iter().filter(|name| *name != baseline).cloned().collect();
        let candidates = self.compare.candidates.clone().unwrap_or(others);
        std::iter::once(baseline).chain(&candidates).map(find).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments::MeasureArguments;
    use crate::cli::combine::Combine;
    use embq_core::distance::Distance;
    use embq_core::evaluation::Temperature;

    #[test]
    fn inputs_come_in_order_with_the_baseline_first() {
        let text = "[inputs]\nnew = 'new.npy'\nmain = {embeddings = 'main.npy', labels = ':y'}\nold = 'old.npy'\n\
                    [compare]\nbaseline = 'main'\ntemperature = 'auto'\nfail-if = ['silhouette < 0']";
        let config: Config = toml::from_str(text).unwrap();
        let names: Vec<_> = config.checkpoints().unwrap().into_iter().filter_map(|input| input.name).collect();
        assert_eq!(names, ["main", "new", "old"]);
        assert_eq!(config.checkpoints().unwrap()[0].labels.as_deref(), Some(":y"));
        assert_eq!(config.compare.measure.temperature, Some(Temperature::Auto));
        assert!(toml::from_str::<Config>("[compare]\nfail_if = []").is_err());
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let text = "[inputs]\na = 'a.npy'\nb = {embeddings = '/b.npy', labels = 'label'}\n[compare]\nlabels = 'l.txt'";
        let mut config: Config = toml::from_str(text).unwrap();
        config.move_to(Path::new("sub"));
        let inputs = config.checkpoints().unwrap();
        assert_eq!((inputs[0].path.as_str(), inputs[1].path.as_str()), ("sub/a.npy", "/b.npy"));
        assert_eq!(inputs[1].labels.as_deref(), Some("label"));
        assert_eq!(config.compare.labels.as_deref(), Some("sub/l.txt"));
    }

    #[test]
    fn arguments_override_the_file_field_by_field() {
        let text = "[compare]\ndistance = 'euclidean'\nseed = 3\nmetrics = ['margin']\ndrop-invalid = true\n\
                    min-class-size = 2\nfail-if = ['margin < 0']";
        let file: Config = toml::from_str(text).unwrap();
        let measure = MeasureArguments { seed: Some(1), ..MeasureArguments::default() };
        let arguments = CompareOptions { metrics: vec!["ratio".to_owned()], measure, ..CompareOptions::default() };
        let options = arguments.combine(file.compare);
        assert_eq!((options.measure.seed, options.measure.distance), (Some(1), Some(Distance::Euclidean)));
        assert_eq!(
            (&options.metrics[..], &options.fail_if[..]),
            (&["ratio".to_owned()][..], &["margin < 0".to_owned()][..])
        );
        assert_eq!((options.rows.drop_invalid, options.rows.min_class_size), (true, Some(2)));
    }
}
