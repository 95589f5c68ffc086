//! Models and inputs from where the user keeps them: any URL that the store reads, or `artifact:DIGEST` in the store itself.

use url::Url;

use crate::{
    StageError,
    store::{Store, open_url},
};

/// Reads a whole source.
///
/// # Errors
/// If it is not there or cannot be read; the message names the URL.
pub fn fetch(store: &Store, url: &str) -> Result<Vec<u8>, StageError> {
    if let Some(digest) = url.strip_prefix("artifact:") {
        let digest = digest.parse().map_err(|error| StageError::deterministic(format!("{url}: {error}")))?;
        return Ok(store.get(digest)?);
    }
    read(&parse(url)?)?.ok_or_else(|| StageError::deterministic(format!("{url}: no such file")))
}

/// A folder of files.
pub struct Folder(Url);

impl Folder {
    /// The folder at this URL.
    ///
    /// # Errors
    /// If it is not a URL of files.
    pub fn open(url: &str) -> Result<Self, StageError> {
        let mut url = parse(url)?;
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        Ok(Self(url))
    }

    /// Reads a file of this folder, if there is one.
    ///
    /// # Errors
    /// If it cannot be read, or the name leads elsewhere; the message names the URL.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StageError> {
        let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', ':', '?', '#', '%']);
        match self.0.join(name) {
            Ok(url) if plain => read(&url),
            _ => Err(StageError::deterministic(format!("{}: {name:?} is not the name of a file in it", self.0))),
        }
    }
}

fn parse(url: &str) -> Result<Url, StageError> {
    Url::parse(url).map_err(|error| StageError::deterministic(format!("{url}: not a URL: {error}")))
}

fn read(url: &Url) -> Result<Option<Vec<u8>>, StageError> {
    let (objects, path) = open_url(url).map_err(|reason| StageError::deterministic(format!("{url}: {reason}")))?;
    // The path inside the store is the URL's; messages should name the URL alone.
    Ok(Store::new(objects, url.as_str())?.read(&path)?)
}
