//! Results as CSV in long form: one number per line.

use crate::report::numbers::exact;
use embq_core::error::{Error, Result};
use embq_core::evaluation::Evaluation;
use embq_core::metrics::{METRICS, Scope};

/// Writes a record.
pub(crate) type Write<'w> = &'w mut dyn FnMut(&[&str]) -> csv::Result<()>;

/// The text of the records that `fill` writes.
///
/// # Errors
/// None that a result can cause.
pub(crate) fn text(fill: impl FnOnce(Write<'_>) -> csv::Result<()>) -> Result<String> {
    let failed = |error: csv::Error| Error::Setting {
        problem: format!("the result cannot be written as CSV: {error}"),
        cure: None,
    };
    let mut writer = csv::Writer::from_writer(Vec::new());
    fill(&mut |record| writer.write_record(record)).map_err(failed)?;
    let bytes = writer.into_inner().map_err(|error| failed(error.into_error().into()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A number, or nothing where it is undefined.
pub(crate) fn number(value: Option<f64>) -> String {
    value.map(exact).unwrap_or_default()
}

/// The columns `scope,label,metric,value`: scope is `overall` (with an empty label) or `class`; an undefined value is
/// empty. The ends of an interval are `lower(NAME)` and `upper(NAME)`. With several labellings, the column `labels` before
/// them names each.
///
/// # Errors
/// As for [`text`].
pub fn render(results: &[Evaluation]) -> Result<String> {
    text(|write| {
        let header = ["scope", "label", "metric", "value"];
        if let [only] = results {
            write(&header)?;
            return rows(only, &mut |record| write(record));
        }
        write(&[&["labels"][..], &header].concat())?;
        results.iter().try_for_each(|result| {
            let labels = result.labels_name();
            rows(result, &mut |record| write(&[&[labels.as_str()][..], record].concat()))
        })
    })
}

fn rows(evaluation: &Evaluation, write: Write<'_>) -> csv::Result<()> {
    let mut with_interval =
        |scope: &str, label: &str, name: &str, value: &str, interval: Option<[f64; 2]>| -> csv::Result<()> {
            write(&[scope, label, name, value])?;
            // The ends have the names that gates give them.
            for (end, value) in ["lower", "upper"].into_iter().zip(interval.into_iter().flatten()) {
                write(&[scope, label, &format!("{end}({name})"), &exact(value)])?;
            }
            Ok(())
        };
    for (name, value) in &evaluation.metrics {
        with_interval("overall", "", name, &number(*value), evaluation.intervals.get(name).copied())?;
    }
    let by_class = METRICS.iter().filter(|metric| metric.scope == Scope::PerClass).map(|metric| metric.id);
    let selected: Vec<&str> = by_class.filter(|id| evaluation.metrics.contains_key(*id)).collect();
    for class in &evaluation.classes {
        with_interval("class", &class.label, "count", &class.count.to_string(), None)?;
        for name in &selected {
            let interval = class.uncertainty(name).map(|uncertainty| uncertainty.interval);
            with_interval("class", &class.label, name, &number(class.value(name).flatten()), interval)?;
        }
    }
    Ok(())
}
