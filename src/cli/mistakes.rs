//! What people write when they mean something else, and the command that they meant.
//!
//! clap compares letters, which answers `--normalize` with `--format`. Here are the words that people bring along from
//! other programs, each with what embq calls it, or with a sentence where it has no such thing.

use clap::error::{ContextKind, ContextValue, ErrorKind};

use embq_core::distance::Distance;
use embq_core::error::Error;
use embq_core::metrics::Metric;
use embq_files::input::quoted;
use embq_files::input::{self, Looks};

/// The commands that evaluate embeddings with labels.
const WITH_LABELS: [&str; 5] = ["score", "report", "suspects", "grad", "compare"];

/// Names of other programs for what a command does.
const COMMANDS: [(&str, &str); 24] = [
    ("eval", "score"),
    ("evaluate", "score"),
    ("evaluation", "score"),
    ("silhouette", "score"),
    ("run", "score"),
    ("measure", "score"),
    ("analyze", "score"),
    ("analyse", "score"),
    ("test", "score"),
    ("metric", "metrics"),
    ("list", "metrics"),
    ("diff", "compare"),
    ("cmp", "compare"),
    ("check", "inspect"),
    ("info", "inspect"),
    ("show", "inspect"),
    ("head", "inspect"),
    ("describe", "inspect"),
    ("gradient", "grad"),
    ("loss", "grad"),
    ("html", "report"),
    ("plot", "report"),
    ("outliers", "suspects"),
    ("mislabelled", "suspects"),
];

/// What a distance is called elsewhere, what embq has for it, and why that is not the same, where it is not.
const DISTANCES: [(&[&str], &str, &str); 8] = [
    (&["l2", "euclid", "eucl", "euclidian", "l2_distance", "norm"], "euclidean", ""),
    (&["l1", "cityblock", "city_block", "taxicab", "l1_distance", "mae"], "manhattan", ""),
    (
        &["sqeuclid", "squared_euclidean", "sq_euclidean", "l2sq", "l2_squared", "squared_l2", "l2squared"],
        "sqeuclidean",
        "",
    ),
    (&["cos", "cosine_distance", "cosinesimil"], "cosine", ""),
    (
        &["cosine_similarity", "similarity", "cos_sim", "cosine_sim"],
        "cosine",
        "a silhouette needs distances, and this one is 1 - similarity",
    ),
    (
        &["dot", "ip", "inner", "inner_product", "innerproduct", "dot_product", "dotproduct", "mips"],
        "cosine",
        "an inner product is no distance; for vectors of unit length 1 - x.y is the cosine distance",
    ),
    (
        &["angular", "angle", "arccos"],
        "cosine",
        "the cosine distance puts pairs of rows in the same order as their angle does",
    ),
    (&["correlation", "pearson"], "cosine", "it is the cosine distance of rows whose mean was subtracted"),
];

/// Options of other programs: with a value or without, and what is meant.
enum Meaning {
    /// An option of embq, with the same value.
    Option(&'static str),
    /// An option with this value.
    Value(&'static str, &'static str),
    /// Nothing: the value is an input.
    Positional,
    /// Nothing like it, and why.
    Sentence(&'static str),
}

const OPTIONS: [(&[&str], Meaning); 22] = [
    (&["--json", "--output-json", "--as-json"], Meaning::Value("--format", "json")),
    (&["--csv"], Meaning::Value("--format", "csv")),
    (&["--markdown", "--md"], Meaning::Value("--format", "markdown")),
    (&["-f", "--fmt", "--output-format"], Meaning::Option("--format")),
    (&["-k", "--knn", "--top-k", "--topk", "--n-neighbors", "--n_neighbors", "--neighbors"], Meaning::Option("--k")),
    (&["-m"], Meaning::Option("--metrics")),
    (&["--out", "--output-file", "--outfile", "--output-dir", "--out-file"], Meaning::Option("--output")),
    (&["--embeddings", "--embedding", "--emb", "--input", "--file", "--data", "--features", "-i"], Meaning::Positional),
    (&["--target", "--targets", "--classes-file", "--y"], Meaning::Option("--labels")),
    (&["--tau", "--temp", "-t", "-T"], Meaning::Option("--temperature")),
    (&["--jobs", "-j", "--n-jobs", "--n_jobs", "--num-workers", "--workers"], Meaning::Option("--threads")),
    (&["--random-state", "--random_state", "--random-seed"], Meaning::Option("--seed")),
    (&["--sample-size", "--sample_size", "--limit-rows"], Meaning::Option("--subsample")),
    (&["--weights", "--sample-weight", "--sample-weights"], Meaning::Option("--row-weights")),
    (&["--ignore", "--noise-label"], Meaning::Option("--ignore-label")),
    (&["--dropna", "--drop-na", "--skip-nan", "--ignore-nan"], Meaning::Value("--drop-invalid", "")),
    (&["--silent"], Meaning::Value("--quiet", "")),
    (
        &["--normalize", "--normalise", "--l2-normalize", "--norm", "--unit"],
        Meaning::Sentence(
            "there is nothing to normalise: cosine, the default distance, does not depend on the lengths of vectors",
        ),
    ),
    (
        &["--device", "--gpu", "--cuda", "--use-gpu", "--mps"],
        Meaning::Sentence("embq runs on the CPU, on all cores; --threads sets how many"),
    ),
    (&["-v", "--verbose", "--debug"], Meaning::Sentence("embq always reports everything; --quiet makes it say less")),
    (
        &["--pca", "--umap", "--tsne", "--dims", "--n-components"],
        Meaning::Sentence("embq evaluates vectors as they are: reduce them first, or select columns as FIRST..LAST"),
    ),
    (
        &["--dtype-in", "--fp16", "--half", "--bf16"],
        Meaning::Sentence(
            "the element type comes from the file; --precision f32 or f64 sets how products are computed",
        ),
    ),
];

/// What was meant by arguments that clap does not take, as an error with the command to run.
pub(crate) fn explained(arguments: &[String], error: &clap::Error) -> Option<Error> {
    let command = arguments.first()?;
    match error.kind() {
        ErrorKind::InvalidSubcommand => no_command(arguments),
        ErrorKind::UnknownArgument => {
            let Some(ContextValue::String(wrong)) = error.get(ContextKind::InvalidArg) else { return None };
            let is_input = !wrong.starts_with('-') && WITH_LABELS.contains(&command.as_str());
            if is_input && !has_labels(arguments) { no_labels(arguments) } else { unknown_option(arguments, wrong) }
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => {
            let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else { return None };
            let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) else { return None };
            if option.starts_with("--distance") { wrong_distance(arguments, value) } else { None }
        }
        ErrorKind::MissingRequiredArgument if WITH_LABELS.contains(&command.as_str()) => {
            let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else { return None };
            missing.iter().any(|name| name.starts_with("--labels")).then(|| no_labels(arguments))?
        }
        _ => None,
    }
}

/// What was meant where arguments were taken and something in the files says that they are in the wrong places.
pub(crate) fn misplaced(embeddings: &str, labels: &[String]) -> Option<Error> {
    let [labels] = labels else { return None };
    if input::looks_like(embeddings) != Looks::Labels || input::looks_like(labels) != Looks::Embeddings {
        return None;
    }
    Some(Error::setting(
        format!("{embeddings} has one value per row and {labels} has vectors: are the two swapped?"),
        command(&["score", labels, "-l", embeddings]),
    ))
}

/// The error about a matrix of distances that is the upper triangle of one, with the line that makes it whole.
pub(crate) fn condensed(error: Error) -> Error {
    let Error::Shape { name, shape, .. } = &error else { return error };
    let &[length] = &shape[..] else { return error };
    let rows = (1.0 + (1.0 + 8.0 * length as f64).sqrt()) / 2.0;
    let Some(stem) = name.strip_suffix(".npy").filter(|_| rows.fract() == 0.0 && length > 0) else { return error };
    let output = format!("{stem}.square.npy");
    Error::Malformed {
        name: name.clone(),
        problem: format!(
            "it is a condensed matrix: {length} distances of {rows} rows, as scipy's pdist returns them (squareform makes it \
             whole)"
        ),
        tip: Some(format!(
            "m = numpy.zeros(({rows}, {rows})); m[numpy.triu_indices({rows}, 1)] = numpy.load({name:?}); \
             numpy.save({output:?}, m + m.T)"
        )),
    }
}

/// The distance that a metric is asked for by.
pub(crate) fn distance_among_metrics(arguments: &[String], name: &str) -> Option<Error> {
    let distance = distance_named(name)?;
    let mut meant: Vec<String> = Vec::new();
    let mut rest = arguments.iter().peekable();
    while let Some(argument) = rest.next() {
        let value = match argument.as_str() {
            "--metrics" | "--metric" | "-m" => rest.next().cloned(),
            other => other.strip_prefix("--metrics=").map(str::to_owned),
        };
        let Some(value) = value else {
            meant.push(argument.clone());
            continue;
        };
        let others: Vec<&str> = value.split(',').filter(|other| other.trim() != name).collect();
        if !others.is_empty() {
            meant.extend(["--metrics".to_owned(), others.join(",")]);
        }
    }
    meant.extend(["--distance".to_owned(), distance.name().to_owned()]);
    let meant: Vec<&str> = meant.iter().map(String::as_str).collect();
    Some(Error::setting(format!("'{name}' is a distance and no metric"), command(&meant)))
}

/// The command with labels that were given as one more input.
pub(crate) fn labels_among_inputs(name: &str, inputs: &[String]) -> Option<Error> {
    let (last, others) = inputs.split_last()?;
    if others.is_empty() || input::looks_like(last) != Looks::Labels {
        return None;
    }
    let mut meant = vec![name];
    meant.extend(others.iter().map(String::as_str));
    meant.extend(["-l", last]);
    Some(Error::setting(format!("{last} looks like labels, and labels are given with -l"), command(&meant)))
}

fn no_command(arguments: &[String]) -> Option<Error> {
    let first = arguments.first()?;
    if let Some((_, meant)) = COMMANDS.iter().find(|(name, _)| name.eq_ignore_ascii_case(first)) {
        let rest = arguments.iter().skip(1).map(String::as_str);
        let words: Vec<&str> = std::iter::once(*meant).chain(rest).collect();
        return Some(Error::setting(format!("there is no command '{first}'"), command(&words)));
    }
    if input::looks_like(first) == Looks::Unclear && !input::is_there(first) {
        return None;
    }
    // An input without a command: that it is to be scored is the likeliest.
    let problem = format!("there is no command before '{first}'");
    let words: Vec<String> = std::iter::once("score".to_owned()).chain(arguments.iter().cloned()).collect();
    if has_labels(arguments) {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        return Some(Error::setting(problem, command(&words)));
    }
    if words.len() > 2 && !words[2].starts_with('-') {
        return Some(Error::setting(problem, no_labels(&words)?.tip()?));
    }
    let without = command(&words.iter().map(String::as_str).collect::<Vec<&str>>());
    let with = with_labels(&words, first);
    Some(Error::setting(problem, if with.is_empty() { without } else { with.join("\n") }))
}

fn has_labels(arguments: &[String]) -> bool {
    arguments.iter().any(|word| word == "-l" || word.starts_with("--labels"))
}

/// The command with labels, where none are given.
pub(crate) fn no_labels(arguments: &[String]) -> Option<Error> {
    let name = arguments.first()?;
    let positional: Vec<&String> = arguments.iter().skip(1).take_while(|word| !word.starts_with('-')).collect();
    let rest: Vec<&str> = arguments.iter().skip(1 + positional.len()).map(String::as_str).collect();
    let with = |inputs: &[&str], labels: &str| {
        let words = [&[name.as_str()], inputs, &["-l", labels], &rest[..]].concat();
        command(&words)
    };
    if let &[first, second] = &positional[..] {
        let (embeddings, labels) = match (input::looks_like(first), input::looks_like(second)) {
            (Looks::Labels, Looks::Embeddings) => (second, first),
            _ => (first, second),
        };
        return Some(Error::setting("labels are given with -l", with(&[embeddings], labels)));
    }
    let first = positional.first()?;
    if !input::is_there(first) {
        return None;
    }
    let problem =
        format!("embq {name} needs a label for each row, which -l names: a file, or a column of the same file");
    let meant = with_labels(arguments, first);
    Some(if meant.is_empty() {
        Error::setting(
            format!("{problem}; nothing beside {first} looks like labels of its rows"),
            format!("see what the file contains: embq inspect {}", quoted(first)),
        )
    } else {
        Error::setting(problem, meant.join("\n"))
    })
}

/// The commands with labels that are in the file of the embeddings, or in files beside it with as many rows; the likeliest
/// first.
pub(crate) fn with_labels(arguments: &[String], embeddings: &str) -> Vec<String> {
    let options = arguments.iter().skip(1).position(|word| word.starts_with('-')).map(|place| place + 1);
    let (inputs, options) = arguments.split_at(options.unwrap_or(arguments.len()));
    let with = |labels: &String| {
        let words = inputs.iter().map(String::as_str).chain(["-l", labels]).chain(options.iter().map(String::as_str));
        command(&words.collect::<Vec<&str>>())
    };
    input::possible_labels(embeddings).iter().map(with).collect()
}

fn unknown_option(arguments: &[String], wrong: &str) -> Option<Error> {
    let name = wrong.split('=').next().unwrap_or(wrong);
    let place = arguments.iter().position(|word| word == name || word.starts_with(&format!("{name}=")))?;
    let given = arguments[place].split_once('=').map(|(_, value)| value.to_owned());
    let next = arguments.get(place + 1).filter(|word| !word.starts_with('-')).cloned();
    let value = given.clone().or(next);
    // Where an option is replaced, its value stays; where a word of its own was the value, it goes along.
    let replaced = |words: &[&str], takes_value: bool| {
        let after = place + 1 + usize::from(takes_value && given.is_none() && value.is_some());
        let mut meant: Vec<&str> = arguments[..place].iter().map(String::as_str).collect();
        meant.extend(words);
        meant.extend(arguments.iter().skip(after).map(String::as_str));
        command(&meant)
    };
    let is_metric_or_distance = matches!(name, "--metric" | "-d" | "-m" | "--dist" | "--affinity");
    if let (true, Some(value)) = (is_metric_or_distance, &value) {
        if let Some(distance) = distance_named(value) {
            let words = ["--distance", distance.name()];
            return Some(Error::setting(
                format!("'{value}' is a distance: {name} is no option"),
                replaced(&words, true),
            ));
        }
        if Metric::named(value).is_some() || name == "-m" {
            let words = ["--metrics", value.as_str()];
            return Some(Error::setting(format!("there is no option {name}"), replaced(&words, true)));
        }
    }
    let (_, meaning) = OPTIONS.iter().find(|(names, _)| names.contains(&name))?;
    let problem = format!("there is no option {name}");
    Some(match meaning {
        Meaning::Option(meant) => match &value {
            Some(value) => Error::setting(problem, replaced(&[meant, value], true)),
            None => Error::setting(problem, format!("write {meant}, with a value")),
        },
        Meaning::Value(meant, "") => Error::setting(problem, replaced(&[meant], false)),
        Meaning::Value(meant, with) => Error::setting(problem, replaced(&[meant, with], false)),
        Meaning::Positional => match &value {
            Some(value) => Error::setting(
                format!("embeddings are given without an option: {name} is none"),
                replaced(&[value], true),
            ),
            None => Error::setting(problem, "embeddings are given without an option"),
        },
        Meaning::Sentence(sentence) => {
            let takes_value = matches!(name, "--device" | "--dims" | "--n-components");
            Error::Choice {
                path: problem,
                problem: (*sentence).to_owned(),
                tip: format!("without it: {}", replaced(&[], takes_value)),
            }
        }
    })
}

fn wrong_distance(arguments: &[String], value: &str) -> Option<Error> {
    let wanted = value.to_lowercase().replace([' ', '-'], "_");
    let (meant, why) = match DISTANCES.iter().find(|(names, ..)| names.contains(&wanted.as_str())) {
        Some((_, meant, why)) => (*meant, *why),
        None => (Distance::ALL.iter().find(|distance| distance.name() == wanted)?.name(), ""),
    };
    let words: Vec<String> = arguments
        .iter()
        .map(|word| match word.strip_prefix("--distance=") {
            Some(given) if given == value => format!("--distance={meant}"),
            _ if word == value => meant.to_owned(),
            _ => word.clone(),
        })
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let problem = match why {
        "" => format!("the distance '{value}' is called '{meant}'"),
        why => format!("there is no distance '{value}': {why}"),
    };
    Some(Error::setting(problem, command(&words)))
}

/// The distance that a name means, in the words of embq or of others.
fn distance_named(name: &str) -> Option<Distance> {
    let name = name.trim().to_lowercase().replace([' ', '-'], "_");
    let meant = DISTANCES.iter().find(|(names, ..)| names.contains(&name.as_str())).map(|(_, meant, _)| *meant);
    let name = meant.unwrap_or(&name);
    Distance::ALL.into_iter().find(|distance| distance.name() == name)
}

/// A command as a shell takes it.
pub(crate) fn command(words: &[&str]) -> String {
    let words: Vec<String> = words.iter().map(|word| quoted(word)).collect();
    format!("embq {}", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_suggested_exists() {
        let command = <crate::cli::Arguments as clap::CommandFactory>::command();
        for (wrong, meant) in COMMANDS {
            assert!(command.find_subcommand(meant).is_some(), "{meant}");
            assert!(command.find_subcommand(wrong).is_none(), "{wrong}");
        }
        let score = command.find_subcommand("score").unwrap();
        let exists = |name: &str| score.get_arguments().any(|argument| argument.get_long() == name.strip_prefix("--"));
        for (names, meaning) in &OPTIONS {
            assert!(names.iter().all(|name| !name.starts_with("--") || !exists(name)), "{names:?}");
            if let Meaning::Option(meant) | Meaning::Value(meant, _) = meaning {
                assert!(exists(meant), "{meant}");
            }
        }
        for (names, meant, _) in DISTANCES {
            assert!(meant.parse::<Distance>().is_ok(), "{meant}");
            assert!(names.iter().all(|name| name.parse::<Distance>().is_err()), "{names:?}");
        }
    }
}
