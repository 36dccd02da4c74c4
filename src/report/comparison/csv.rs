//! One number per line, with its checkpoint.

use crate::report::csv;
use embq_core::comparison::Comparison;
use embq_core::error::Result;

/// The columns `checkpoint,scope,label,metric,value`: first the values of every checkpoint, as `embq score` gives them;
/// of candidates also `delta(NAME)`, `relative(NAME)`, `lower(delta(NAME))`, `upper(delta(NAME))`, `p_value(NAME)`,
/// `adjusted_p_value(NAME)`, `verdict(NAME)`, and `similarity(NAME)`.
pub(super) fn render(comparison: &Comparison) -> Result<String> {
    csv::text(|write| {
        write(&["checkpoint", "scope", "label", "metric", "value"])?;
        for checkpoint in &comparison.checkpoints {
            for (name, value) in &checkpoint.result.metrics {
                write(&[&checkpoint.name, "overall", "", name, &csv::number(*value)])?;
            }
        }
        for candidate in &comparison.candidates {
            for (name, difference) in &candidate.metrics {
                let [low, high] = [0, 1].map(|end| difference.interval.map(|interval| interval[end]));
                for (what, value) in [
                    ("delta({})", difference.delta),
                    ("relative({})", difference.relative),
                    ("lower(delta({}))", low),
                    ("upper(delta({}))", high),
                    ("p_value({})", difference.p_value),
                    ("adjusted_p_value({})", difference.adjusted_p_value),
                ] {
                    write(&[&candidate.name, "overall", "", &what.replace("{}", name), &csv::number(value)])?;
                }
                let verdict = difference.verdict.map_or("", |verdict| verdict.name());
                write(&[&candidate.name, "overall", "", &format!("verdict({name})"), verdict])?;
            }
            for (name, value) in &candidate.similarity {
                let name = format!("similarity({name})");
                write(&[&candidate.name, "overall", "", &name, &csv::number(*value)])?;
            }
            for class in &candidate.classes {
                for (name, change) in [("silhouette", class.silhouette), ("soft_silhouette", class.soft_silhouette)] {
                    let [low, high] = [0, 1].map(|end| change.interval.map(|interval| interval[end]));
                    for (what, value) in [
                        ("{}", change.candidate),
                        ("delta({})", change.delta),
                        ("lower(delta({}))", low),
                        ("upper(delta({}))", high),
                    ] {
                        let metric = what.replace("{}", name);
                        write(&[&candidate.name, "class", &class.label, &metric, &csv::number(value)])?;
                    }
                }
            }
        }
        Ok(())
    })
}
