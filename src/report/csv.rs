//! The result as CSV in long form: one number a line.

use crate::report::numbers::exact;
use embq_core::error::{Error, Result};
use embq_core::evaluation::Evaluation;
use embq_core::metrics::{METRICS, Scope};

/// The columns `scope,label,metric,value`: scope is `overall` (with an empty label) or `class`; an undefined value is
/// empty. The ends of an interval are `lower(NAME)` and `upper(NAME)`. With several labellings, the column `labels` before them names each.
///
/// # Errors
/// None that a result can cause.
pub fn render(results: &[Evaluation]) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = ["scope", "label", "metric", "value"];
    if let [only] = results {
        writer.write_record(header).map_err(failed)?;
        rows(only, &mut |record| writer.write_record(record))?;
    } else {
        writer.write_record(["labels"].iter().chain(&header)).map_err(failed)?;
        for result in results {
            let labels = result.labels.name();
            rows(result, &mut |record| writer.write_record([labels.as_str()].iter().chain(&record)))?;
        }
    }
    let bytes = writer.into_inner().map_err(|error| failed(error.into_error().into()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn rows(evaluation: &Evaluation, write: &mut dyn FnMut([&str; 4]) -> csv::Result<()>) -> Result<()> {
    let value = |value: Option<f64>| value.map(exact).unwrap_or_default();
    let mut write = |record: [&str; 4]| write(record).map_err(failed);
    for (name, number) in &evaluation.metrics {
        write(["overall", "", name, &value(*number)])?;
        if let Some(interval) = evaluation.intervals.get(name) {
            ends("overall", "", name, *interval, &mut write)?;
        }
    }
    let by_class = METRICS.iter().filter(|metric| metric.scope == Scope::PerClass);
    let asked_for: Vec<&str> =
        by_class.map(|metric| metric.id).filter(|id| evaluation.metrics.contains_key(*id)).collect();
    for class in &evaluation.classes {
        write(["class", &class.label, "count", &class.count.to_string()])?;
        for name in &asked_for {
            write(["class", &class.label, name, &value(class.value(name).flatten())])?;
            if let Some(uncertainty) = class.uncertainty(name) {
                ends("class", &class.label, name, uncertainty.interval, &mut write)?;
            }
        }
    }
    Ok(())
}

/// The ends of an interval, under the names that gates give them.
fn ends(
    scope: &str,
    label: &str,
    name: &str,
    interval: [f64; 2],
    write: &mut impl FnMut([&str; 4]) -> Result<()>,
) -> Result<()> {
    for (end, value) in ["lower", "upper"].into_iter().zip(interval) {
        write([scope, label, &format!("{end}({name})"), &exact(value)])?;
    }
    Ok(())
}

pub(crate) fn failed(error: csv::Error) -> Error {
    Error::Setting { problem: format!("the result cannot be written as CSV: {error}"), cure: None }
}
