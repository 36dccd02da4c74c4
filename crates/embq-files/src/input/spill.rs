//! Bytes derived from a file, possibly as many as in the file: few stay in memory, many go to an unnamed temporary
//! file, which is then mapped.

use std::fs::File;
use std::io::{self, Seek, Write};

use embq_core::data::MappedBytes;
use embq_core::error::{Error, Result};

/// At most this many bytes stay in memory.
pub(crate) const IN_MEMORY: usize = 16 << 20;

/// Collects bytes and returns them for reading.
pub(crate) struct Spill<'p> {
    /// The name of the file in errors.
    path: &'p str,
    memory: Vec<u8>,
    file: Option<File>,
}

impl<'p> Spill<'p> {
    pub fn new(path: &'p str) -> Self {
        Spill { path, memory: Vec::new(), file: None }
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// The temporary folder is full or not writable.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if self.memory.len() + bytes.len() > IN_MEMORY {
            self.flush()?;
        }
        self.memory.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<()> {
        let written = || -> io::Result<File> {
            let mut file = match self.file.take() {
                Some(file) => file,
                None => tempfile::tempfile()?,
            };
            file.write_all(&self.memory)?;
            Ok(file)
        }();
        self.file = Some(written.map_err(|error| self.unwritable(&error))?);
        self.memory.clear();
        Ok(())
    }

    fn unwritable(&self, error: &io::Error) -> Error {
        let folder = std::env::temp_dir();
        Error::Malformed {
            name: self.path.to_owned(),
            problem: format!("its content cannot be written to a temporary file in {}: {error}", folder.display()),
            tip: Some("set the environment variable TMPDIR to a folder with free space".to_owned()),
        }
    }

    /// All of the bytes.
    ///
    /// # Errors
    /// Those of [`Spill::write`].
    pub fn finish(mut self) -> Result<MappedBytes> {
        if self.file.is_some() {
            self.flush()?;
        }
        match self.file.take() {
            None => Ok(MappedBytes::from_memory(self.memory)),
            Some(mut file) => {
                file.rewind().map_err(|error| self.unwritable(&error))?;
                MappedBytes::of_file(&file, self.path)
            }
        }
    }
}
