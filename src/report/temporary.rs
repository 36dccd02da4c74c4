//! Files that are not in their place yet, and that an interrupted run takes away.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tempfile::NamedTempFile;

/// Whatever creates, moves or deletes a temporary file holds this, so that an interruption finds them all.
static EXISTING: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

fn existing() -> MutexGuard<'static, Vec<PathBuf>> {
    EXISTING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Deletes all temporary files; none can be made or put in its place while the returned value lives.
#[must_use = "temporary files can be made again once it is dropped"]
pub(crate) fn delete_all() -> MutexGuard<'static, Vec<PathBuf>> {
    let mut existing = existing();
    for path in existing.drain(..) {
        // What cannot be deleted stays; there is nobody left to tell.
        let _ = std::fs::remove_file(path);
    }
    existing
}

/// A file beside the place where it is to be put.
pub(super) struct Temporary {
    /// Taken when it is put in its place, or deleted.
    file: Option<NamedTempFile>,
    path: PathBuf,
}

impl Temporary {
    /// Makes an empty file in `folder`.
    pub fn new(folder: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(".embq-");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // As any new file: what the umask leaves. Temporary files would else be for their owner only.
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

    /// Renames the file to `target`, which it replaces.
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
