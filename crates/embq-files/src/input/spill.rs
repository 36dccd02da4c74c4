//! Bytes that are made of a file's, and may be as many as those: few stay in memory, many go to a temporary file without a
//! name, which is mapped.

use std::fs::File;
use std::io::{self, Seek, Write};

use embq_core::data::MappedBytes;
use embq_core::error::{Error, Result};

/// So many bytes stay in memory.
pub(crate) const IN_MEMORY: usize = 16 << 20;

/// Takes bytes, and gives them back to be read.
pub(crate) struct Spill<'p> {
    /// What errors call the file.
    path: &'p str,
    memory: Vec<u8>,
    file: Option<File>,
}

impl<'p> Spill<'p> {
    pub fn new(path: &'p str) -> Self {
        Spill { path, memory: Vec::new(), file: None }
    }

    /// Appends some bytes.
    ///
    /// # Errors
    /// A temporary folder that is full or cannot be written.
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
            problem: format!("what is in it cannot be written to a temporary file in {}: {error}", folder.display()),
            tip: Some("set the environment variable TMPDIR to a folder with free space".to_owned()),
        }
    }

    /// All of the bytes.
    ///
    /// # Errors
    /// As [`Spill::write`].
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
