//! The only module that writes files.
//!
//! A file appears under its name only when it is complete: it is written to a temporary file next to it, which is then
//! renamed.

use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::report::temporary::Temporary;
use embq_core::error::{Error, Result};
use embq_files::output::WriteResult;

/// A path that has been checked to be writable.
#[derive(Clone, Debug)]
pub struct OutputFile {
    /// As the user wrote it, for messages.
    shown: PathBuf,
    /// The actual location, with symbolic links resolved.
    target: PathBuf,
    /// A device or pipe, which is written to directly, because renaming would replace it with a file.
    special: bool,
}

impl OutputFile {
    /// Checks that a file can be written at this path.
    ///
    /// # Errors
    /// A missing folder, missing permissions, or a path that is a folder.
    pub fn check(path: &Path) -> Result<Self> {
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let special = match fs::metadata(&target) {
            Ok(metadata) if metadata.is_dir() => return Err(problem(path, "it is a folder")),
            Ok(metadata) if metadata.is_file() => {
                // Renaming does not require write permission on the file, but a read-only file should stay as it is.
                OpenOptions::new().append(true).open(&target).map_err(|error| problem(path, error))?;
                false
            }
            Ok(_) => true,
            Err(_) => false,
        };
        if path.file_name().is_none() {
            return Err(problem(path, "it has no file name"));
        }
        let folder = folder(&target).to_owned();
        // For a dangling link, check the folder that the link names.
        let folder_path = fs::canonicalize(&folder).map_err(|_| {
            let folder = folder.display();
            problem(path, format!("there is no folder '{folder}'"))
        })?;
        let target = match target.file_name() {
            Some(name) => folder_path.join(name),
            None => target,
        };
        let file = OutputFile { shown: path.to_owned(), target, special };
        if !special {
            file.temporary().map_err(|error| problem(path, error))?;
        }
        Ok(file)
    }

    /// The path as the user wrote it.
    pub fn shown(&self) -> std::path::Display<'_> {
        self.shown.display()
    }

    /// Whether `path` is the same file.
    pub fn is(&self, path: &Path) -> bool {
        fs::canonicalize(path).is_ok_and(|path| path == self.target)
    }

    /// Writes the content to a temporary file next to the target.
    ///
    /// # Errors
    /// What the file system reports.
    pub fn write(&self, fill: impl FnOnce(&mut dyn Write) -> WriteResult) -> Result<WrittenFile> {
        let fail = |error: std::io::Error| problem(&self.shown, error);
        let fail_to_fill = |error: Box<dyn std::error::Error + Send + Sync>| problem(&self.shown, error);
        if self.special {
            let file = OpenOptions::new().write(true).open(&self.target).map_err(fail)?;
            fill_buffered(&file, fill).map_err(fail_to_fill)?;
            return Ok(WrittenFile { output: self.clone(), temporary: None });
        }
        let temporary = self.temporary().map_err(fail)?;
        let file = temporary.file().map_err(fail)?;
        fill_buffered(file, fill).map_err(fail_to_fill)?;
        if let Ok(metadata) = fs::metadata(&self.target) {
            file.set_permissions(metadata.permissions()).map_err(fail)?;
        }
        Ok(WrittenFile { output: self.clone(), temporary: Some(temporary) })
    }

    fn temporary(&self) -> std::io::Result<Temporary> {
        Temporary::new(folder(&self.target))
    }
}

/// Appends text to a file that others also write to.
///
/// # Errors
/// What the file system reports.
pub fn append(path: &Path, text: &str) -> Result<()> {
    let file = OpenOptions::new().append(true).create(true).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes())).map_err(|error| problem(path, error))
}

/// Checks that no two outputs are the same file.
///
/// # Errors
/// The path that occurs twice.
pub fn check_distinct<'a>(files: impl IntoIterator<Item = &'a OutputFile>) -> Result<()> {
    let mut seen: Vec<&OutputFile> = Vec::new();
    for file in files {
        if !file.special && seen.iter().any(|other| other.target == file.target) {
            return Err(Error::setting(
                format!("{} is used for two outputs", file.shown.display()),
                "use a different file for each output",
            ));
        }
        seen.push(file);
    }
    Ok(())
}

/// A complete file that has not been moved into place yet.
#[must_use]
pub struct WrittenFile {
    output: OutputFile,
    temporary: Option<Temporary>,
}

impl WrittenFile {
    /// Moves the file into place.
    ///
    /// # Errors
    /// What the file system reports.
    pub fn publish(self) -> Result<()> {
        if let Some(temporary) = self.temporary {
            temporary.persist(&self.output.target).map_err(|error| problem(&self.output.shown, error))?;
        }
        Ok(())
    }
}

fn fill_buffered(file: &File, fill: impl FnOnce(&mut dyn Write) -> WriteResult) -> WriteResult {
    let mut writer = BufWriter::with_capacity(1 << 16, file);
    fill(&mut writer)?;
    Ok(writer.flush()?)
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn problem(path: &Path, problem: impl ToString) -> Error {
    Error::Output { path: path.display().to_string(), problem: problem.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(content: &'static str) -> impl FnOnce(&mut dyn Write) -> WriteResult {
        move |out| Ok(out.write_all(content.as_bytes())?)
    }

    #[test]
    fn a_file_appears_only_when_it_is_published() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.json");
        let output = OutputFile::check(&path).unwrap();
        let written = output.write(text("new")).unwrap();
        assert!(!path.exists());
        written.publish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn a_failure_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.csv");
        fs::write(&path, "old").unwrap();
        let output = OutputFile::check(&path).unwrap();
        let failure = output.write(|out| {
            out.write_all(b"half")?;
            Err("disk full".into())
        });
        assert!(failure.is_err());
        drop(failure);
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_links_are_kept() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("out.md"), folder.path().join("link.md"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&path, &link).unwrap();
        OutputFile::check(&link).unwrap().write(text("new")).unwrap().publish().unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
    }

    #[test]
    fn unfit_places_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = OutputFile::check(&folder.path().join("no/such/out.json")).unwrap_err();
        assert!(error.to_string().contains("there is no folder"), "{error}");
        let error = OutputFile::check(folder.path()).unwrap_err();
        assert!(error.to_string().contains("it is a folder"), "{error}");
    }

    #[test]
    fn the_same_file_by_two_names_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = OutputFile::check(&folder.path().join("out.json")).unwrap();
        let second = OutputFile::check(&folder.path().join(".").join("out.json")).unwrap();
        let third = OutputFile::check(&folder.path().join("out.md")).unwrap();
        assert!(check_distinct([&first, &third]).is_ok());
        assert!(check_distinct([&first, &third, &second]).is_err());
    }
}
