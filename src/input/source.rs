//! What a user names: a path, perhaps a selector behind it, or standard input.

use std::fs::{self, Metadata};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use crate::data::MappedBytes;
use crate::error::{Error, Result, closest};

/// How standard input is written.
pub(crate) const STDIN: &str = "-";

/// A path that exists (or standard input), and what is selected in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub path: String,
    pub selector: Option<String>,
}

impl Location {
    /// Finds what `spec` names; `None` if there is no such file.
    ///
    /// A whole path that exists wins; otherwise the last `:` whose left side exists separates path and selector, so
    /// that names with colons in them (and `C:\x.npy`) need no quoting.
    pub fn find(spec: &str) -> Result<Option<Self>> {
        if exists(spec)? {
            return Ok(Some(Location { path: spec.to_owned(), selector: None }));
        }
        for (colon, _) in spec.rmatch_indices(':') {
            let path = &spec[..colon];
            if exists(path)? {
                return Ok(Some(Location { path: path.to_owned(), selector: Some(spec[colon + 1..].to_owned()) }));
            }
        }
        Ok(None)
    }

    /// Like [`Location::find`] where nothing but a file will do.
    pub fn require(spec: &str) -> Result<Self> {
        Location::find(spec)?.ok_or_else(|| not_found(spec))
    }

    pub fn is_stdin(&self) -> bool {
        self.path == STDIN
    }

    /// Whether both name the same file, however they write it.
    pub fn is_same_file(&self, other: &Location) -> bool {
        if self.path == other.path {
            return true;
        }
        if self.is_stdin() || other.is_stdin() {
            return false;
        }
        matches!((fs::canonicalize(&self.path), fs::canonicalize(&other.path)), (Ok(left), Ok(right)) if left == right)
    }
}

fn exists(path: &str) -> Result<bool> {
    if path == STDIN {
        return Ok(true);
    }
    match fs::metadata(path) {
        Ok(_) => Ok(true),
        Err(error) => match error.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidFilename => Ok(false),
            _ => Err(Error::io(path, "open", error)),
        },
    }
}

/// The error for a file that is not there, with the closest name in its directory.
pub(crate) fn not_found(spec: &str) -> Error {
    let named = |text: &str| -> Option<String> {
        let path = Path::new(text);
        let wanted = path.file_name()?.to_str()?.to_owned();
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let names: Vec<String> = fs::read_dir(directory.unwrap_or(Path::new(".")))
            .ok()?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        let name = closest(&wanted, names.iter().map(String::as_str))?;
        let found: PathBuf = directory.map_or_else(|| PathBuf::from(name), |directory| directory.join(name));
        found.into_os_string().into_string().ok()
    };
    // A misspelt file may have a selector behind it, which says nothing about the file's name.
    let closest = match spec.rsplit_once(':') {
        Some((path, selector)) => named(path).map(|found| format!("{found}:{selector}")).or_else(|| named(spec)),
        None => named(spec),
    };
    Error::NotFound { path: spec.to_owned(), closest }
}

/// The bytes of an input.
#[derive(Clone)]
pub(crate) struct Source {
    /// The path as the user wrote it; `-` is standard input.
    pub path: String,
    pub bytes: MappedBytes,
}

impl Source {
    /// Maps a file, or reads standard input to its end.
    ///
    /// # Errors
    /// Directories, pipes and devices, which cannot be mapped (and a pipe would be waited for); empty or unreadable
    /// files; a standard input that is a terminal.
    pub fn open(path: &str) -> Result<Self> {
        let bytes = if path == STDIN {
            read_stdin()?
        } else {
            let metadata = fs::metadata(path).map_err(|source| Error::io(path, "open", source))?;
            check_is_regular(path, &metadata)?;
            if metadata.len() == 0 {
                return Err(empty(path));
            }
            MappedBytes::open(path)?
        };
        if bytes.is_empty() {
            return Err(empty(path));
        }
        Ok(Source { path: path.to_owned(), bytes })
    }

    /// The extension in lower case; empty where there is none.
    pub fn extension(&self) -> String {
        Path::new(&self.path)
            .extension()
            .and_then(|extension| extension.to_str())
            .map(str::to_ascii_lowercase)
            .unwrap_or_default()
    }

    pub fn is_stdin(&self) -> bool {
        self.path == STDIN
    }

    /// An error about the content.
    pub fn malformed(&self, problem: impl Into<String>, tip: Option<String>) -> Error {
        Error::Malformed { name: self.path.clone(), problem: problem.into(), tip }
    }
}

fn read_stdin() -> Result<MappedBytes> {
    let mut stdin = io::stdin().lock();
    if stdin.is_terminal() {
        return Err(Error::setting(
            "-: standard input is a terminal",
            "pipe a file into it, for example: cat embeddings.npy | embq score - -l labels.npy",
        ));
    }
    let mut bytes = Vec::new();
    stdin.read_to_end(&mut bytes).map_err(|source| Error::io(STDIN, "read", source))?;
    Ok(MappedBytes::from_memory(bytes))
}

fn check_is_regular(path: &str, metadata: &Metadata) -> Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    let (problem, tip) = if metadata.is_dir() {
        ("it is a directory, not a file", "name one file")
    } else {
        (
            "it is a pipe or a device, not a file",
            "write '-' and pipe it into standard input, or save it as a file first",
        )
    };
    Err(Error::Malformed { name: path.to_owned(), problem: problem.to_owned(), tip: Some(tip.to_owned()) })
}

fn empty(path: &str) -> Error {
    Error::Malformed { name: path.to_owned(), problem: "it is empty (0 bytes)".to_owned(), tip: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(directory: &tempfile::TempDir, name: &str) -> String {
        directory.path().join(name).to_str().unwrap().to_owned()
    }

    fn location(path: &str, selector: Option<&str>) -> Option<Location> {
        Some(Location { path: path.to_owned(), selector: selector.map(str::to_owned) })
    }

    #[test]
    fn an_existing_whole_path_wins() {
        let directory = tempfile::tempdir().unwrap();
        let (plain, colon) = (path(&directory, "a"), path(&directory, "a:b"));
        fs::write(&plain, "x").unwrap();
        let find = |spec: &str| Location::find(spec).unwrap();
        assert_eq!(find(&colon), location(&plain, Some("b")));
        fs::write(&colon, "x").unwrap();
        assert_eq!(find(&colon), location(&colon, None));
        assert_eq!(find(&format!("{colon}:c")), location(&colon, Some("c")));
        assert_eq!(find(&format!("{plain}:c:d")), location(&plain, Some("c:d")));
        assert_eq!(find(&format!("{plain}:")), location(&plain, Some("")));
    }

    #[test]
    fn standard_input_takes_a_selector() {
        assert_eq!(Location::find("-").unwrap(), location("-", None));
        assert_eq!(Location::find("-:f0..f3").unwrap(), location("-", Some("f0..f3")));
    }

    #[test]
    fn a_missing_file_is_answered_with_the_closest_name() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(path(&directory, "embeddings.npy"), "x").unwrap();
        let error = Location::require(&path(&directory, "embedings.npy")).unwrap_err();
        assert!(matches!(&error, Error::NotFound { closest: Some(name), .. } if name.ends_with("embeddings.npy")));
        let error = Location::require(&path(&directory, "embedings.npy:emb")).unwrap_err();
        assert!(error.tip().unwrap().contains("embeddings.npy:emb'"), "{:?}", error.tip());
        let error = Location::require(&path(&directory, "nothing/like/it")).unwrap_err();
        assert!(matches!(error, Error::NotFound { closest: None, .. }));
    }

    #[test]
    fn a_path_through_a_file_does_not_exist() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(path(&directory, "a"), "x").unwrap();
        assert_eq!(Location::find(&path(&directory, "a/b")).unwrap(), None);
    }

    #[test]
    fn the_same_file_is_recognised_under_other_names() {
        let directory = tempfile::tempdir().unwrap();
        let plain = path(&directory, "a");
        fs::write(&plain, "x").unwrap();
        let detour = path(&directory, "./a");
        let (plain, detour) = (Location::require(&plain).unwrap(), Location::require(&detour).unwrap());
        assert!(plain.is_same_file(&detour));
        assert!(!plain.is_same_file(&Location::require("-").unwrap()));
    }

    #[test]
    fn directories_and_empty_files_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let error = Source::open(directory.path().to_str().unwrap()).err().unwrap();
        assert!(error.to_string().contains("directory"), "{error}");
        let empty = path(&directory, "empty.npy");
        fs::write(&empty, "").unwrap();
        let error = Source::open(&empty).err().unwrap();
        assert!(error.to_string().contains("empty"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_refused_without_opening_them() {
        let error = Source::open("/dev/null").err().unwrap();
        assert!(error.to_string().contains("pipe or a device"), "{error}");
        assert!(error.tip().unwrap().contains("'-'"));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_is_refused_without_waiting_for_a_writer() {
        let directory = tempfile::tempdir().unwrap();
        let pipe = path(&directory, "pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        if made.is_ok_and(|status| status.success()) {
            let error = Source::open(&pipe).err().unwrap();
            assert!(error.to_string().contains("pipe or a device"), "{error}");
        }
    }
}
