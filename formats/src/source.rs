//! Where bytes come from: memory, or a file that is read in place, so that a model larger than memory is no obstacle.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use crate::FormatError;

/// Bytes that can be read from any place, by several threads at once.
pub trait Source: Send + Sync {
    /// Number of bytes.
    ///
    /// # Errors
    /// If the file cannot be asked.
    fn length(&self) -> io::Result<u64>;

    /// Fills `out` from `offset` on.
    ///
    /// # Errors
    /// If there are fewer bytes, or they cannot be read.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
}

impl Source for Vec<u8> {
    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let bytes = start.and_then(|start| self.get(start..)?.get(..out.len()));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl Source for File {
    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, offset)
    }
}

/// A source with its name for errors.
#[derive(Clone)]
pub(crate) struct Named {
    pub name: String,
    pub source: Arc<dyn Source>,
}

impl Named {
    pub fn new(name: &str, source: impl Source + 'static) -> Self {
        Self { name: name.into(), source: Arc::new(source) }
    }

    pub fn length(&self) -> Result<u64, FormatError> {
        self.source.length().map_err(|error| FormatError::new(&self.name, "file", "a readable file", error))
    }

    pub fn read_at(&self, offset: u64, out: &mut [u8]) -> Result<(), FormatError> {
        self.source.read_at(offset, out).map_err(|error| {
            FormatError::new(&self.name, format!("byte {offset}"), format!("{} readable bytes", out.len()), error)
        })
    }

    /// All of a small file.
    pub fn read_all(&self, most: u64) -> Result<Vec<u8>, FormatError> {
        let length = self.length()?;
        if length > most {
            let found = format!("{length} bytes");
            return Err(FormatError::new(&self.name, "file", format!("at most {most} bytes"), found));
        }
        let mut bytes = vec![0; length as usize];
        self.read_at(0, &mut bytes)?;
        Ok(bytes)
    }
}

impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_tuple("Named").field(&self.name).finish()
    }
}
