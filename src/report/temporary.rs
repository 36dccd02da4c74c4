//! Temporary files, which an interrupted run deletes.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

/// Held while a temporary file is created, moved or deleted, so that an interrupt finds all of them.
static EXISTING: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn existing() -> MutexGuard<'static, Vec<PathBuf>> {
    EXISTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Deletes all temporary files; none can be created or moved into place while the returned guard lives.
#[must_use = "temporary files can be created again once it is dropped"]
pub(crate) fn delete_all() -> MutexGuard<'static, Vec<PathBuf>> {
    let mut existing = existing();
    for path in existing.drain(..) {
        // Nothing can be done about a file that cannot be deleted.
        let _ = std::fs::remove_file(path);
    }
    existing
}

/// A temporary file next to its target.
pub(super) struct Temporary {
    /// Taken when it is moved into place or deleted.
    file: Option<NamedTempFile>,
    path: PathBuf,
}

impl Temporary {
    /// Creates an empty file in `folder`.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".embq-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // Permissions like those of any new file; by default temporary files are private.
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let mut existing = existing();
        let file = builder.tempfile_in(folder)?;
        let path = file.path().to_owned();
        existing.push(path.clone());
        Ok(Temporary { file: Some(file), path })
    }

    /// The open file.
    pub fn file(&self) -> io::Result<&File> {
        self.file.as_ref().map(NamedTempFile::as_file).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// Renames the file to `target`, replacing it.
    pub fn persist(mut self, target: &Path) -> io::Result<()> {
        let _existing = existing();
        match self.file.take() {
            Some(file) => file.persist(target).map(drop).map_err(|error| error.error),
            None => Ok(()),
        }
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        let mut existing = existing();
        drop(self.file.take());
        existing.retain(|path| *path != self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_temporary_file_lasts_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let count = || std::fs::read_dir(folder.path()).unwrap().count();
        let temporary = Temporary::new(folder.path()).unwrap();
        assert_eq!(count(), 1);
        assert!(existing().contains(&temporary.path));
        let path = temporary.path.clone();
        drop(temporary);
        assert_eq!(count(), 0);
        assert!(!existing().contains(&path));
    }
}
