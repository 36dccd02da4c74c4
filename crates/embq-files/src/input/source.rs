//! Where input comes from: a path, optionally with a selector, or standard input.

use std::fs::{self, Metadata};
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};

use crate::input::compressed::{unpacked, unpacked_name};
use crate::input::word2vec::is_word2vec;
use crate::input::{FORMATS, refused};
use embq_core::data::MappedBytes;
use embq_core::error::{Error, Result, closest};

/// The name of standard input.
pub(crate) const STDIN: &str = "-";

/// One input: a file, standard input, or shards, which are several files in natural order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    /// The path as the user wrote it, without the selector.
    pub path: String,
    pub selector: Option<String>,
    /// The files; only one unless the path is a pattern or a directory.
    pub files: Vec<String>,
    /// The values that folder names give to the rows of each file; one entry per file, or empty.
    pub folders: Vec<Vec<FolderValue>>,
}

/// A column and its value for all rows of a file, taken from the name of a folder.
pub(crate) type FolderValue = (String, String);

/// The column of folder names that do not name one (unlike `label=ant`).
pub(crate) const FOLDER: &str = "folder";

impl Location {
    /// Finds the input that `spec` names; `None` if there is no such file.
    ///
    /// A path that exists as a whole takes precedence; otherwise the last `:` whose left side exists separates path and
    /// selector, so that names with colons (and `C:\x.npy`) need no quoting. If neither exists, it may be a pattern.
    pub fn find(spec: &str) -> Result<Option<Self>> {
        let splits = || {
            let selected = spec.rmatch_indices(':').map(|(colon, _)| (&spec[..colon], Some(&spec[colon + 1..])));
            std::iter::once((spec, None)).chain(selected)
        };
        let location = |path: &str, selector: Option<&str>, files| Location {
            path: path.to_owned(),
            selector: selector.map(str::to_owned),
            files,
            folders: Vec::new(),
        };
        for (path, selector) in splits() {
            if exists(path)? {
                let is_directory = path != STDIN && Path::new(path).is_dir();
                if !is_directory {
                    return Ok(Some(location(path, selector, vec![path.to_owned()])));
                }
                if let Some(error) = refused::directory(path) {
                    return Err(error);
                }
                let (files, folders) = match shards_in_folders(path)? {
                    Some(found) => found.into_iter().unzip(),
                    None => (shards_in(path)?, Vec::new()),
                };
                return Ok(Some(Location { folders, ..location(path, selector, files) }));
            }
        }
        for (path, selector) in splits() {
            let files = matching(path)?;
            if !files.is_empty() {
                return Ok(Some(location(path, selector, files)));
            }
        }
        Ok(None)
    }

    /// Like [`Location::find`], but a missing file is an error.
    pub fn require(spec: &str) -> Result<Self> {
        let location = Location::find(spec)?.ok_or_else(|| not_found(spec))?;
        location.check_folders(&[])?;
        Ok(location)
    }

    /// Refuses a directory of directories whose names carry no column name, unless they are used as labels.
    ///
    /// # Errors
    /// The directory is refused.
    pub fn check_folders(&self, labels: &[&str]) -> Result<()> {
        let is_asked = || labels.iter().any(|label| label.trim_start_matches(':') == FOLDER);
        let Some((_, first)) = self.folders.iter().flatten().find(|(name, _)| name == FOLDER) else { return Ok(()) };
        if is_asked() {
            return Ok(());
        }
        let path = self.path.trim_end_matches(['/', '\\']);
        Err(Error::Malformed {
            name: self.path.clone(),
            problem: "the directory has no files that embq reads, only other directories".to_owned(),
            tip: Some(format!(
                "name one of these, such as {path}/{first}; if each is a class, their names are the labels with -l {FOLDER}"
            )),
        })
    }

    /// The columns that folder names provide.
    pub fn folder_columns(&self) -> Vec<String> {
        self.folders.first().into_iter().flatten().map(|(name, _)| name.clone()).collect()
    }

    pub fn is_stdin(&self) -> bool {
        self.path == STDIN
    }

    /// Whether both name the same files, however they are written.
    pub fn is_same(&self, other: &Location) -> bool {
        if self.is_stdin() || other.is_stdin() {
            return self.path == other.path;
        }
        let canonical = |location: &Location| -> Option<Vec<PathBuf>> {
            location.files.iter().map(|file| fs::canonicalize(file).ok()).collect()
        };
        self.files == other.files || canonical(self).is_some_and(|files| Some(files) == canonical(other))
    }
}

/// The files that match a pattern, in natural order; empty if it is not a pattern.
fn matching(pattern: &str) -> Result<Vec<String>> {
    if !pattern.contains(['*', '?', '[']) {
        return Ok(Vec::new());
    }
    let paths = glob::glob(pattern).map_err(|error| {
        Error::setting(format!("{pattern}: not a pattern: {}", error.msg), "check that every [ has a matching ]")
    })?;
    let mut files = Vec::new();
    for path in paths {
        let path = path.map_err(|error| {
            let path = error.path().display().to_string();
            Error::io(path, "open", error.into())
        })?;
        if path.is_file() {
            files.extend(path.to_str().map(str::to_owned));
        }
    }
    sort_naturally(&mut files);
    Ok(files)
}

/// The shards in a directory: all of its files, which must have the same format. Hidden files, those that start with
/// `_`, and those that only accompany data (`dataset_info.json`, `README.txt`) are ignored.
fn shards_in(directory: &str) -> Result<Vec<String>> {
    let malformed = |problem: String, tip: &str| {
        Err(Error::Malformed { name: directory.to_owned(), problem, tip: Some(tip.to_owned()) })
    };
    let failed = |source| Error::io(directory, "open", source);
    let mut by_format: Vec<(&'static str, Vec<String>)> = Vec::new();
    let mut folders = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let (Some(shown), Some(name)) = (path.to_str(), path.file_name().and_then(|name| name.to_str())) else {
            continue;
        };
        if name.starts_with(['.', '_']) {
            continue;
        }
        if path.is_dir() {
            folders.push(shown.to_owned());
        } else if let Some(format) = FORMATS.iter().find(|format| format.extensions.contains(&extension(name).as_str()))
        {
            match by_format.iter_mut().find(|(name, _)| *name == format.name) {
                Some((_, files)) => files.push(shown.to_owned()),
                None => by_format.push((format.name, vec![shown.to_owned()])),
            }
        }
    }
    if by_format.len() > 1 || !folders.is_empty() {
        by_format.retain(|(_, files)| !files.iter().all(|file| is_description(file)));
    }
    sort_naturally(&mut folders);
    match &mut by_format[..] {
        [(_, files)] => {
            sort_naturally(files);
            Ok(std::mem::take(files))
        }
        [] => match folders.first() {
            Some(folder) => malformed(
                "the directory has no files that embq reads, only other directories".to_owned(),
                &format!("name one of these, such as {folder}"),
            ),
            None => malformed("the directory has no files that embq reads".to_owned(), "name a file"),
        },
        several => {
            let names: Vec<&str> = several.iter().map(|(name, _)| *name).collect();
            malformed(
                format!("the directory has files of several formats: {}", names.join(", ")),
                &format!("name those that belong together with a quoted pattern, such as '{directory}/*.npy'"),
            )
        }
    }
}

/// Files in subdirectories, with the values that the directory names give: `label=ant`, as written by Hive and Spark,
/// or one directory per class. `None` if the directory contains files itself.
fn shards_in_folders(directory: &str) -> Result<Option<Vec<FolderFile>>> {
    folders_below(directory, DEEPEST_FOLDERS)
}

/// A file and the values that the names of its folders give to its rows.
type FolderFile = (String, Vec<FolderValue>);

/// The deepest nesting of folders that is followed; links may form cycles.
const DEEPEST_FOLDERS: usize = 8;

fn folders_below(directory: &str, deepest: usize) -> Result<Option<Vec<FolderFile>>> {
    if deepest == 0 {
        return Ok(None);
    }
    let failed = |source| Error::io(directory, "open", source);
    let mut folders = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let (Some(shown), Some(name)) = (path.to_str(), path.file_name().and_then(|name| name.to_str())) else {
            continue;
        };
        if name.starts_with(['.', '_']) {
            continue;
        }
        if path.is_dir() {
            folders.push(shown.to_owned());
        } else if !is_description(name)
            && FORMATS.iter().any(|format| format.extensions.contains(&extension(name).as_str()))
        {
            return Ok(None);
        }
    }
    sort_naturally(&mut folders);
    let mut found = Vec::new();
    for folder in &folders {
        let name = Path::new(folder).file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let value = match name.split_once('=') {
            Some((column, value)) => (column.to_owned(), unescaped(value)),
            None => (FOLDER.to_owned(), name.to_owned()),
        };
        let (files, below) = match folders_below(folder, deepest - 1)? {
            Some(found) => found.into_iter().unzip(),
            None => match shards_in(folder) {
                Ok(files) => (files, Vec::new()),
                // The caller that lists the files reports a directory without data.
                Err(_) => return Ok(None),
            },
        };
        for (position, file) in files.into_iter().enumerate() {
            let mut values = vec![value.clone()];
            values.extend(below.get(position).cloned().unwrap_or_default());
            // Of several directories without a column name, only the topmost is a label.
            let topmost = values.iter().position(|(column, _)| column == FOLDER);
            let mut place = 0..;
            values.retain(|(column, _)| {
                let place = place.next();
                column != FOLDER || place == topmost
            });
            found.push((file, values));
        }
    }
    let columns = |values: &Vec<FolderValue>| values.iter().map(|(column, _)| column.clone()).collect::<Vec<_>>();
    let Some(expected) = found.first().map(|(_, values)| columns(values)) else { return Ok(None) };
    let even = found.iter().all(|(_, values)| columns(values) == expected);
    Ok(even.then_some(found))
}

/// Whether a file only accompanies data.
fn is_description(name: &str) -> bool {
    matches!(extension(name).as_str(), "json" | "txt")
}

/// A value in a folder name: characters may be written as `%20`, and a missing value has a special name.
fn unescaped(value: &str) -> String {
    if value == "__HIVE_DEFAULT_PARTITION__" {
        return String::new();
    }
    let bytes = value.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let code = (bytes[at] == b'%').then(|| value.get(at + 1..at + 3)).flatten();
        match code.and_then(|code| u8::from_str_radix(code, 16).ok()) {
            Some(byte) => {
                plain.push(byte);
                at += 3;
            }
            None => {
                plain.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(plain).unwrap_or_else(|_| value.to_owned())
}

/// The checkpoints in a directory, in natural order: its files in formats of embeddings, and its directories, each with
/// the selector that follows the path, if any. `None` if it is not a directory. `taken` are files used for something
/// else; hidden files and those that start with `_` are ignored.
///
/// # Errors
/// A directory that cannot be read or has no checkpoints.
pub fn checkpoints_in(spec: &str, taken: &[String]) -> Result<Option<Vec<String>>> {
    let is_directory = |path: &str| path != STDIN && Path::new(path).is_dir();
    let splits = spec.rmatch_indices(':').map(|(colon, _)| (&spec[..colon], &spec[colon..]));
    let Some((directory, selector)) = std::iter::once((spec, "")).chain(splits).find(|(path, _)| is_directory(path))
    else {
        return Ok(None);
    };
    let taken: Vec<PathBuf> = taken.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    let failed = |source| Error::io(directory, "open", source);
    let mut checkpoints = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let (Some(shown), Some(name)) = (path.to_str(), path.file_name().and_then(|name| name.to_str())) else {
            continue;
        };
        let extension = extension(name);
        let holds_embeddings = !matches!(extension.as_str(), "json" | "txt")
            && (extension != "bin" || is_word2vec(&path))
            && FORMATS.iter().any(|format| format.extensions.contains(&extension.as_str()));
        let is_taken = || fs::canonicalize(&path).is_ok_and(|path| taken.contains(&path));
        if !name.starts_with(['.', '_']) && (path.is_dir() || holds_embeddings) && !is_taken() {
            checkpoints.push(format!("{shown}{selector}"));
        }
    }
    if checkpoints.is_empty() {
        return Err(Error::Malformed {
            name: directory.to_owned(),
            problem: "the directory has no checkpoints that embq reads".to_owned(),
            tip: Some("name files of embeddings".to_owned()),
        });
    }
    sort_naturally(&mut checkpoints);
    Ok(Some(checkpoints))
}

/// Sorts `part-9` before `part-10`.
pub fn sort_naturally(files: &mut [String]) {
    files.sort_by(|left, right| natord::compare(left, right).then_with(|| left.cmp(right)));
}

/// The extension of a path in lower case, ignoring that of a compression; empty if there is none.
fn extension(path: &str) -> String {
    let extension = Path::new(unpacked_name(path)).extension().and_then(|extension| extension.to_str());
    extension.map(str::to_ascii_lowercase).unwrap_or_default()
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

/// The error for a missing file, with the closest name in its directory.
pub(crate) fn not_found(spec: &str) -> Error {
    if let Some(error) = refused::address(spec) {
        return error;
    }
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
    // A misspelled file may be followed by a selector, which is not part of its name.
    let closest = match spec.rsplit_once(':') {
        Some((path, selector)) => named(path).map(|found| format!("{found}:{selector}")).or_else(|| named(spec)),
        None => named(spec),
    };
    Error::NotFound { path: spec.to_owned(), closest }
}

/// Whether the first line of a text file is a header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Header {
    Yes,
    No,
    /// Detected from the content.
    #[default]
    Auto,
}

/// What the user says of files that do not say it themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hints {
    /// Whether the first line of a text file is a header.
    pub header: Header,
    /// Whether values of two raw bytes in NumPy's files are bfloat16.
    pub bf16: bool,
}

/// Whether an input is read within a moment, so that it may be looked at for a message.
pub(crate) fn is_short(location: &Location) -> bool {
    const PLAIN: u64 = 1 << 26;
    const PACKED: u64 = 1 << 20;
    let length = |path: &String| fs::metadata(path).map_or(u64::MAX, |metadata| metadata.len());
    let limit = if location.files.iter().any(|path| is_packed(path)) { PACKED } else { PLAIN };
    location.files.iter().map(length).fold(0, u64::saturating_add) <= limit
}

/// Whether the name of a file says that it is compressed.
pub(crate) fn is_packed(path: &str) -> bool {
    unpacked_name(path) != path
}

/// The files beside another whose names suggest labels, the most likely first.
pub(crate) fn beside(path: &str) -> Vec<String> {
    const LOOKED_AT: usize = 200;
    let own = Path::new(path);
    let directory = own.parent().filter(|parent| !parent.as_os_str().is_empty());
    let Ok(entries) = fs::read_dir(directory.unwrap_or(Path::new("."))) else { return Vec::new() };
    let mut found: Vec<(usize, String)> = Vec::new();
    for entry in entries.take(LOOKED_AT).flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        let is_readable = FORMATS.iter().any(|format| format.extensions.contains(&extension(&name).as_str()));
        if !is_readable || name.starts_with('.') || own.file_name().is_some_and(|own| own == name.as_str()) {
            continue;
        }
        let likely = ["label", "target", "class", "species", "cluster", "categor", "metadata", "y."];
        let Some(rank) = likely.iter().position(|word| name.to_lowercase().contains(word)) else { continue };
        let path = directory.map_or_else(|| PathBuf::from(&name), |directory| directory.join(&name));
        found.extend(path.into_os_string().into_string().ok().map(|path| (rank, path)));
    }
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

/// The bytes of an input.
#[derive(Clone)]
pub(crate) struct Source {
    /// The path as the user wrote it; `-` is standard input.
    pub path: String,
    pub bytes: MappedBytes,
    pub hints: Hints,
}

impl Source {
    /// A source with the given name and bytes.
    pub fn new(path: impl Into<String>, bytes: MappedBytes) -> Self {
        Source { path: path.into(), bytes, hints: Hints::default() }
    }

    /// Maps a file, or reads standard input to its end.
    ///
    /// # Errors
    /// Directories, pipes and devices, which cannot be mapped (and reading a pipe could block); empty or unreadable
    /// files; standard input that is a terminal.
    pub fn open(path: &str) -> Result<Self> {
        let bytes = if path == STDIN {
            read_stdin()?
        } else {
            let metadata = fs::metadata(path).map_err(|source| Error::io(path, "open", source))?;
            check_is_regular(path, &metadata)?;
            if metadata.len() == 0 {
                return Err(empty(path));
            }
            read_or_map(path, metadata.len())?
        };
        Source::of_bytes(path, bytes)
    }

    /// A source of bytes that have been read, decompressed if necessary; `path` is its name in messages.
    ///
    /// # Errors
    /// No bytes at all, and bytes that cannot be decompressed.
    pub fn of_bytes(path: &str, bytes: MappedBytes) -> Result<Self> {
        if bytes.is_empty() {
            return Err(empty(path));
        }
        let bytes = unpacked(path, bytes)?;
        if bytes.is_empty() {
            return Err(empty(path));
        }
        Ok(Source::new(path, bytes))
    }

    /// The same source, with what the user says of it.
    pub fn with_hints(self, hints: Hints) -> Self {
        Source { hints, ..self }
    }

    /// Converts to UTF-8 without a byte order mark.
    ///
    /// # Errors
    /// UTF-16 with an unpaired surrogate or half a unit at the end.
    pub fn as_text(&self) -> Result<Self> {
        let units = match &self.bytes[..] {
            [0xff, 0xfe, rest @ ..] => Some((rest, u16::from_le_bytes as fn([u8; 2]) -> u16)),
            [0xfe, 0xff, rest @ ..] => Some((rest, u16::from_be_bytes as fn([u8; 2]) -> u16)),
            _ => None,
        };
        if let Some((rest, unit)) = units {
            let (pairs, odd) = rest.as_chunks::<2>();
            let text: Result<String, _> = char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect();
            let text = text.ok().filter(|_| odd.is_empty()).ok_or_else(|| {
                self.malformed("it starts like UTF-16 but is not", Some("save the file as UTF-8".to_owned()))
            })?;
            return Ok(Source { bytes: MappedBytes::from_memory(text.into_bytes()), ..self.clone() });
        }
        if self.bytes.starts_with(b"\xef\xbb\xbf") {
            return Ok(Source { bytes: self.bytes.without_first(3), ..self.clone() });
        }
        Ok(self.clone())
    }

    /// The extension in lower case; empty if there is none.
    pub fn extension(&self) -> String {
        extension(&self.path)
    }

    pub fn is_stdin(&self) -> bool {
        self.path == STDIN
    }

    /// An error about the content.
    pub fn malformed(&self, problem: impl Into<String>, tip: Option<String>) -> Error {
        Error::Malformed { name: self.path.clone(), problem: problem.into(), tip }
    }
}

/// Small files are read rather than mapped: a system allows only some tens of thousands of maps, and a folder may have
/// more files.
fn read_or_map(path: &str, length: u64) -> Result<MappedBytes> {
    const SMALL: u64 = 1 << 14;
    if length > SMALL {
        return MappedBytes::open(path);
    }
    fs::read(path).map(MappedBytes::from_memory).map_err(|source| Error::io(path, "read", source))
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
        Some(Location {
            path: path.to_owned(),
            selector: selector.map(str::to_owned),
            files: vec![path.to_owned()],
            folders: Vec::new(),
        })
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
        assert!(plain.is_same(&detour));
        assert!(!plain.is_same(&Location::require("-").unwrap()));
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

    fn files(directory: &tempfile::TempDir, names: &[&str]) {
        for name in names {
            fs::write(path(directory, name), "x").unwrap();
        }
    }

    fn found(directory: &tempfile::TempDir, spec: &str) -> (Vec<String>, Option<String>) {
        let location = Location::require(&path(directory, spec)).unwrap();
        let name = |file: &String| Path::new(file).file_name().unwrap().to_str().unwrap().to_owned();
        (location.files.iter().map(name).collect(), location.selector)
    }

    #[test]
    fn a_pattern_is_shards_in_natural_order() {
        let directory = tempfile::tempdir().unwrap();
        files(&directory, &["part-10.npy", "part-9.npy", "part-1.npy", "other.npy"]);
        let expected = vec!["part-1.npy".to_owned(), "part-9.npy".into(), "part-10.npy".into()];
        assert_eq!(found(&directory, "part-*.npy"), (expected.clone(), None));
        assert_eq!(found(&directory, "part-*.npy:emb"), (expected, Some("emb".to_owned())));
        files(&directory, &["[x].npy"]);
        assert_eq!(found(&directory, "[x].npy").0, ["[x].npy"], "a file of that name wins");
        assert!(Location::require(&path(&directory, "none-*.npy")).is_err());
    }

    #[test]
    fn a_directory_is_shards_of_one_format() {
        let directory = tempfile::tempdir().unwrap();
        files(
            &directory,
            &["data-2.arrow", "data-10.arrow", "dataset_info.json", ".hidden.npy", "_SUCCESS.npy", "a.md"],
        );
        assert_eq!(found(&directory, "").0, ["data-2.arrow", "data-10.arrow"]);
        files(&directory, &["x.npy"]);
        let error = Location::require(directory.path().to_str().unwrap()).unwrap_err();
        assert!(error.to_string().contains("several formats"), "{error}");
        let empty = tempfile::tempdir().unwrap();
        let error = Location::require(empty.path().to_str().unwrap()).unwrap_err();
        assert!(error.to_string().contains("no files that embq reads"), "{error}");
        fs::create_dir(empty.path().join("train")).unwrap();
        files(&empty, &["dataset_dict.json"]);
        let error = Location::require(empty.path().to_str().unwrap()).unwrap_err();
        assert!(error.tip().unwrap().contains("train"), "{error}");
    }
}
