//! Errors in the words of the command line: the library does not know how its settings are spelled here.

use embq_core::error::{Cure, Error};

/// What is wrong.
pub(crate) fn problem(error: &Error) -> String {
    match error {
        Error::UnknownClass { included, .. } => {
            format!("--{}: {error}", if *included { "include" } else { "exclude" })
        }
        Error::Subsample { rows, classes } => {
            format!("--subsample {rows} is less than a row for each of the {classes} classes")
        }
        Error::NoTemperature { problem } => format!("--temperature auto: {problem}"),
        _ => error.to_string(),
    }
}

/// What would help, where that is known.
pub(crate) fn tip(error: &Error) -> Option<String> {
    let cure = error.cure()?;
    let tip = match &cure {
        Cure::UseMetrics(metrics) if !metrics.is_empty() => {
            let metrics = metrics.join(",");
            return Some(format!("use --metrics {metrics}, or embq score with all files as one input, in quotes"));
        }
        Cure::UseMetrics(_) => "embq score takes all files as one input, such as 'parts/*.parquet' in quotes",
        Cure::DropInvalid => "repair these rows, or leave them out with --drop-invalid",
        Cure::DropZeroVectors => "leave these rows out with --drop-invalid, or use --distance euclidean",
        Cure::DropUnlabelled => "fill these labels, or leave these rows out with --drop-null-labels",
        Cure::UseFloat64 => "leave out --precision f32",
        Cure::CheckLabels => "check that the label column is the right one, and what --ignore-label leaves out",
        Cure::CheckRowChoice => {
            "see what --include, --exclude, --ignore-label, --drop-invalid and --min-class-size leave out"
        }
        Cure::GiveDistanceMatrix => "--distance precomputed needs a square, symmetric matrix with a zero diagonal",
        Cure::GiveTemperature => "give a temperature, such as --temperature 0.1",
        Cure::NameColumns => "name the class of each column with --logit-labels",
        Cure::DropGallery => "leave out --gallery",
        Cure::ScoreAllRows => "leave out --subsample or --intervals",
        Cure::GiveLabels => "add -l LABELS, a file or a column, or choose --metrics label_free",
        _ => return Some(cure.to_string()),
    };
    Some(tip.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_and_cures_name_options() {
        let error = Error::ZeroVector { name: "x.npy".to_owned(), row: 3, rows: 1 };
        assert_eq!(problem(&error), "x.npy: row 3 is a zero vector, which has no cosine distance; 1 row(s) are zero");
        assert!(tip(&error).is_some_and(|tip| tip.contains("--drop-invalid")));
        assert!(error.tip().is_some_and(|tip| !tip.contains("--")));
        let error = Error::Subsample { rows: 2, classes: 5 };
        assert_eq!(problem(&error), "--subsample 2 is less than a row for each of the 5 classes");
        assert_eq!(tip(&error).as_deref(), Some("take at least 5"));
    }
}
