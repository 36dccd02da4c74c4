//! Finds the checkpoints that paths name, in natural order, and names them.

use std::path::Path;

use embq_core::error::{Error, Result};
use embq_files::input;

use super::config::Input;

/// The checkpoints that paths name. A folder stands for the checkpoints in it, except for the files in `taken`. Three or
/// more paths in one folder, in the order in which a shell sorts them, are put into natural order.
///
/// # Errors
/// A folder without checkpoints.
pub(super) fn found(paths: &[String], taken: &[String]) -> Result<Vec<Input>> {
    let mut paths = paths.to_vec();
    let folder = |path: &String| Path::new(path).parent().map(Path::to_owned);
    if paths.len() > 2 && paths.is_sorted() && paths.windows(2).all(|pair| folder(&pair[0]) == folder(&pair[1])) {
        input::sort_naturally(&mut paths);
    }
    let mut checkpoints = Vec::new();
    for path in paths {
        match input::checkpoints_in(&path, taken)? {
            Some(inside) => checkpoints.extend(inside),
            None => checkpoints.push(path),
        }
    }
    Ok(checkpoints.into_iter().map(|path| Input { name: None, path, labels: None }).collect())
}

/// Splits `FILE=VALUE` at the last `=` whose left side is a checkpoint.
///
/// # Errors
/// An unknown checkpoint.
pub(super) fn assignment<'a>(option: &str, text: &'a str, checkpoints: &[Input]) -> Result<(usize, &'a str)> {
    let place = |path: &str| {
        let same = |input: &Input| input.path == path || input.name.as_deref() == Some(path);
        checkpoints.iter().position(same)
    };
    let mut splits = text.rmatch_indices('=').map(|(at, _)| (&text[..at], &text[at + 1..]));
    splits.find_map(|(path, value)| Some((place(path)?, value))).ok_or_else(|| {
        let known: Vec<String> = checkpoints.iter().map(|input| input.path.clone()).collect();
        Error::setting(
            format!("{option} {text}: there is no such checkpoint"),
            format!("write {option} FILE=..., with FILE one of: {}", known.join(", ")),
        )
    })
}

/// A name for each path: its shortest unique end.
pub(in crate::cli) fn names(paths: &[&str]) -> Vec<String> {
    let parts = |path: &str| -> Vec<String> {
        path.split(['/', '\\']).filter(|part| *part != ".").map(str::to_owned).collect()
    };
    let parts: Vec<Vec<String>> = paths.iter().map(|path| parts(path)).collect();
    let end = |parts: &[String], length: usize| parts[parts.len().saturating_sub(length)..].join("/");
    let mut names: Vec<String> = Vec::new();
    for (index, own) in parts.iter().enumerate() {
        let unique = |length: &usize| {
            let others = parts.iter().enumerate().filter(|&(other, _)| other != index);
            others.map(|(_, other)| end(other, *length)).all(|other| other != end(own, *length))
        };
        let name = (1..own.len()).find(unique).map_or_else(|| own.join("/"), |length| end(own, length));
        let twins = parts[..index].iter().filter(|other| *other == own).count();
        names.push(if twins > 0 { format!("{name} ({})", twins + 1) } else { name });
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_shortest_ends_that_differ() {
        assert_eq!(names(&["runs/a.npy", "runs/b.npy"]), ["a.npy", "b.npy"]);
        assert_eq!(names(&["x/a/emb.npy", "x/b/emb.npy", "c.npy"]), ["a/emb.npy", "b/emb.npy", "c.npy"]);
        assert_eq!(names(&["a.npy", "./a.npy", "d/a.npy"]), ["a.npy", "a.npy (2)", "d/a.npy"]);
    }

    #[test]
    fn what_a_shell_sorts_comes_in_natural_order() {
        let paths = |names: &[&str]| -> Vec<String> {
            let names: Vec<String> = names.iter().map(|name| format!("no/such/{name}")).collect();
            found(&names, &[]).unwrap().into_iter().map(|input| input.path.replace("no/such/", "")).collect()
        };
        assert_eq!(paths(&["step-1000", "step-500", "step-900"]), ["step-500", "step-900", "step-1000"]);
        assert_eq!(paths(&["step-900", "step-1000", "step-500"]), ["step-900", "step-1000", "step-500"]);
        assert_eq!(paths(&["step-1000", "step-900"]), ["step-1000", "step-900"]);
    }

    #[test]
    fn assignments_belong_to_a_checkpoint() {
        let inputs = ["a=1.npy", "b.npy"].map(|path| Input { name: None, path: path.to_owned(), labels: None });
        assert_eq!(assignment("--name", "a=1.npy=x", &inputs).unwrap(), (0, "x"));
        assert_eq!(assignment("--name", "b.npy=y=z", &inputs).unwrap(), (1, "y=z"));
        assert!(assignment("--name", "c.npy=x", &inputs).unwrap_err().tip().unwrap().contains("b.npy"));
    }
}
