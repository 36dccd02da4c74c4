//! Stored baselines: a result as JSON, or the scores of rows as Parquet.

use std::path::Path;

use indexmap::IndexMap;

use embq_core::comparison::{Measured, MeasuredRows};
use embq_core::data::{Chosen, Excluded, Labels};
use embq_core::error::{Error, Result};
use embq_core::evaluation::{
    ClassEvaluation, Envelope, Evaluation, InputDescription, Kind, LabelsDescription, SCHEMA_VERSION, SettingsUsed,
};
use embq_core::metrics::mean::{class_means, weighted_mean};
use embq_files::input;
use embq_files::output::rows;

fn extension(path: &str) -> String {
    Path::new(path).extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default()
}

/// The result of `embq score` in a JSON file; `None` for other files.
///
/// # Errors
/// A JSON file that is not such a result.
pub(super) fn result(path: &str) -> Result<Option<Evaluation>> {
    if extension(path) != "json" || !Path::new(path).is_file() {
        return Ok(None);
    }
    let malformed =
        |problem: String, tip: &str| Error::Malformed { name: path.to_owned(), problem, tip: Some(tip.to_owned()) };
    let again = "write it with embq score EMBEDDINGS -l LABELS --intervals -o result.json";
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", error))?;
    let value: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| malformed(format!("it is not a result of embq score: {error}"), again))?;
    match value["kind"].as_str() {
        Some("score") => {}
        Some("set") => {
            return Err(malformed(
                "it holds the results of several labellings".to_owned(),
                "score with one labelling to compare with it",
            ));
        }
        _ => return Err(malformed("it is not a result of embq score".to_owned(), again)),
    }
    if value["schema_version"].as_u64() != Some(u64::from(SCHEMA_VERSION)) {
        let problem = format!("its schema version is {}, not {SCHEMA_VERSION}", value["schema_version"]);
        return Err(malformed(problem, again));
    }
    let evaluation = serde_json::from_value(value)
        .map_err(|error| malformed(format!("it is not a result of embq score: {error}"), again))?;
    Ok(Some(evaluation))
}

/// Whether a file contains scores of rows, as written by `embq score --rows-out rows.parquet`.
pub(super) fn are_rows(path: &str) -> bool {
    matches!(extension(path).as_str(), "parquet" | "pq")
        && Path::new(path).is_file()
        && input::numbers(&format!("{path}:{}", rows::SILHOUETTE)).is_ok()
        && input::labels(&format!("{path}:{}", rows::NEAREST_OTHER)).is_ok()
}

/// The scores of rows, which do not contain settings: those of the candidates are assumed.
///
/// # Errors
/// Rows that were written without intervals, and errors of reading.
pub(super) fn scored_rows(path: &str, settings: &SettingsUsed) -> Result<Measured> {
    let column = |name: &str| input::numbers(&format!("{path}:{name}"));
    if column(rows::INFLUENCE[0].name).is_err() {
        return Err(Error::Malformed {
            name: path.to_owned(),
            problem: "these rows have no influence values, without which they cannot be compared".to_owned(),
            tip: Some("write them with embq score EMBEDDINGS -l LABELS --intervals --rows-out rows.parquet".to_owned()),
        });
    }
    if settings.row_weights.is_some() {
        return Err(Error::setting(
            format!("{path}: stored rows do not contain weights, so they cannot be compared with --row-weights"),
            "name the embeddings of the baseline",
        ));
    }
    let label_column = input::labels(&format!("{path}:{}", rows::LABEL))?;
    let labels = Labels::from_column(&label_column, 0..label_column.len())?;
    let numbers: Vec<usize> = column(rows::ROW)?.into_iter().map(|row| row as usize).collect();
    let n = numbers.len();
    let classes = labels.classes();
    let mut metrics = IndexMap::new();
    let mut terms = IndexMap::new();
    for rows::InfluenceColumn { name, metric, over_classes, .. } in rows::INFLUENCE {
        let influence = column(name)?;
        let share = |row: usize| {
            let count = labels.counts()[labels.codes()[row] as usize];
            if over_classes { 1.0 / (classes * count) as f64 } else { 1.0 / n as f64 }
        };
        let values: Vec<f64> = influence.iter().enumerate().map(|(row, value)| value * share(row)).collect();
        terms.insert(metric.to_owned(), values);
    }
    let mut evaluations: Vec<ClassEvaluation> = labels
        .names()
        .iter()
        .zip(labels.counts())
        .map(|(name, &count)| ClassEvaluation { label: name.to_string(), count, ..Default::default() })
        .collect();
    for name in [rows::SILHOUETTE, rows::SOFT_SILHOUETTE] {
        let scores = column(name)?;
        let means = class_means(classes, labels.codes().iter().zip(&scores).map(|(&code, &score)| (code, score, 1.0)));
        metrics.insert(name.to_owned(), weighted_mean(scores.iter().map(|&score| (score, 1.0))));
        let over_classes = weighted_mean(means.iter().flatten().map(|&mean| (mean, 1.0)));
        metrics.insert(format!("{name}_macro"), over_classes);
        for (class, mean) in evaluations.iter_mut().zip(means) {
            match name {
                rows::SILHOUETTE => class.silhouette = mean,
                _ => class.soft_silhouette = mean,
            }
        }
    }
    let evaluation = Evaluation {
        envelope: Envelope::of(Kind::Score),
        inputs: vec![InputDescription {
            path: path.to_owned(),
            selector: None,
            dtype: "rows".to_owned(),
            rows: n,
            dimensions: 0,
            columns: Vec::new(),
            chosen: Chosen::default(),
            blake3: None,
        }],
        labels: Some(LabelsDescription {
            path: path.to_owned(),
            selector: Some(rows::LABEL.to_owned()),
            label_type: label_column.label_type(),
            classes,
            singletons: labels.singletons(),
            blake3: labels.blake3(),
        }),
        excluded: Excluded::default(),
        settings: settings.clone(),
        metrics,
        undefined_classes: IndexMap::new(),
        intervals: IndexMap::new(),
        standard_errors: IndexMap::new(),
        interval_method: None,
        classes: evaluations,
        gates: Vec::new(),
        warnings: vec!["stored rows do not contain settings; those of the candidates are assumed".to_owned()],
        timing: None,
    };
    let measured = MeasuredRows {
        numbers,
        codes: labels.codes().to_vec(),
        counts: labels.counts().to_vec(),
        weights: None,
        terms,
        class_terms: Vec::new(),
    };
    Ok(Measured { evaluation, rows: Some(measured) })
}
