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
    let parsed = Url::parse(url).map_err(|error| StageError::deterministic(format!("{url}: not a URL: {error}")))?;
    let (objects, path) = open_url(&parsed).map_err(|reason| StageError::deterministic(format!("{url}: {reason}")))?;
    // The path inside the store is the URL's; messages should name the URL alone.
    let objects = Store::new(objects, url)?;
    objects.read(&path)?.ok_or_else(|| StageError::deterministic(format!("{url}: no such file")))
}
