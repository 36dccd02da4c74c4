//! Writing files: whole or not at all.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// What writing the content of a file ends with; whatever went wrong becomes an error that names the file.
pub type WriteResult = std::result::Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// A file that results go to, checked before the work begins.
#[derive(Clone, Debug)]
pub struct OutputFile {
    /// The path as the user wrote it.
    path: String,
    /// Where the bytes go: the end of any chain of links.
    target: PathBuf,
}

impl OutputFile {
    /// Checks that a file can be created or replaced at `path`.
    ///
    /// # Errors
    /// A folder that does not exist or cannot be written, a path that is a folder.
    pub fn check(path: &str) -> Result<Self> {
        let refuse = |problem: String| Error::Output {
            path: path.to_owned(),
            problem,
        };
        let target = fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
        let file = OutputFile {
            path: path.to_owned(),
            target,
        };
        if file.target.is_dir() {
            return Err(refuse("it is a folder".to_owned()));
        }
        if file.is_stream() {
            return Ok(file);
        }
        if !file.folder().is_dir() {
            return Err(refuse(format!("there is no folder {}", file.folder().display())));
        }
        let existing = fs::metadata(&file.target);
        if existing.is_ok_and(|existing| existing.permissions().readonly()) {
            return Err(refuse("it is read-only".to_owned()));
        }
        file.temporary().map_err(|error| refuse(error.to_string()))?;
        Ok(file)
    }

    /// The path as the user wrote it.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Whether two outputs are the same file.
    pub fn is_same(&self, other: &OutputFile) -> bool {
        self.target == other.target
    }

    /// Writes the file. It appears, or replaces an older one, when all of it is written; until then, and after an error,
    /// an older one stays as it was.
    ///
    /// # Errors
    /// Whatever the disk or `content` reports.
    pub fn write(&self, content: impl FnOnce(&mut dyn Write) -> WriteResult) -> Result<()> {
        self.try_write(content).map_err(|error| Error::Output {
            path: self.path.clone(),
            problem: error.to_string(),
        })
    }

    fn try_write(&self, content: impl FnOnce(&mut dyn Write) -> WriteResult) -> WriteResult {
        if self.is_stream() {
            let mut writer = BufWriter::new(fs::OpenOptions::new().write(true).open(&self.target)?);
            content(&mut writer)?;
            return Ok(writer.flush()?);
        }
        let mut temporary = self.temporary()?;
        let mut writer = BufWriter::new(temporary.as_file_mut());
        content(&mut writer)?;
        writer.flush()?;
        drop(writer);
        if let Ok(existing) = fs::metadata(&self.target) {
            fs::set_permissions(temporary.path(), existing.permissions())?;
        }
        temporary.persist(&self.target)?;
        Ok(())
    }

    /// Something that exists and is no regular file, such as a pipe: it cannot be replaced, only written to.
    fn is_stream(&self) -> bool {
        fs::metadata(&self.target).is_ok_and(|metadata| !metadata.is_file())
    }

    fn folder(&self) -> &Path {
        match self.target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        }
    }

    fn temporary(&self) -> std::io::Result<tempfile::NamedTempFile> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".embq-").suffix(".part");
        // Temporary files are private by default; a result should be as any new file is.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        builder.tempfile_in(self.folder())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(folder: &tempfile::TempDir, name: &str) -> String {
        folder.path().join(name).to_string_lossy().into_owned()
    }

    #[test]
    fn a_failed_write_leaves_the_older_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = path(&folder, "result.json");
        fs::write(&path, "old").unwrap();
        let file = OutputFile::check(&path).unwrap();
        let failure = file.write(|writer| {
            writer.write_all(b"half").unwrap();
            Err("the disk is full".into())
        });
        assert!(failure.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        file.write(|writer| {
            writer.write_all(b"new").unwrap();
            Ok(())
        })
        .unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
    }

    #[test]
    fn impossible_places_are_refused_before_the_work() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &str| OutputFile::check(path).unwrap_err().to_string();
        assert!(refused(&folder.path().to_string_lossy()).contains("is a folder"));
        assert!(refused(&path(&folder, "none/result.json")).contains("there is no folder"));
    }
}
