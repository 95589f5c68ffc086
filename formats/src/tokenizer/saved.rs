//! A tokenizer as one file, wherever it came from: what Proofmill keeps beside a model's key, and the key names by its digest.

use serde::{Deserialize, Serialize};

use super::Tokenizer;
use crate::FormatError;

/// The file: JSON, the library's own as a text within.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    before: Vec<u32>,
    after: Vec<u32>,
    bos: Option<u32>,
    eos: Vec<u32>,
    tokenizer: String,
}

impl Tokenizer {
    /// The file. The same tokenizer gives the same bytes.
    ///
    /// # Errors
    /// If the library cannot write what it has read.
    pub fn to_bytes(&self) -> Result<Vec<u8>, FormatError> {
        let fail = |found: String| FormatError::new(&self.file, "tokenizer", "one that can be saved", found);
        let inner = self.inner.to_string(false).map_err(|error| fail(error.to_string()))?;
        let saved = Saved {
            before: self.before.clone(),
            after: self.after.clone(),
            bos: self.bos,
            eos: self.eos.clone(),
            tokenizer: inner,
        };
        serde_json::to_vec(&saved).map_err(|error| fail(error.to_string()))
    }

    /// Reads what [`Self::to_bytes`] has written.
    ///
    /// # Errors
    /// If the bytes are something else.
    pub fn from_bytes(file: &str, bytes: &[u8]) -> Result<Self, FormatError> {
        let saved: Saved = serde_json::from_slice(bytes)
            .map_err(|error| FormatError::new(file, "tokenizer", "a tokenizer that Proofmill has saved", error))?;
        let mut tokenizer = Self::from_json(file, saved.tokenizer.as_bytes(), &[])?;
        let named = saved.before.iter().chain(&saved.after).chain(&saved.bos).chain(&saved.eos);
        named.copied().try_for_each(|id| tokenizer.check(id))?;
        (tokenizer.before, tokenizer.after) = (saved.before, saved.after);
        (tokenizer.bos, tokenizer.eos) = (saved.bos, saved.eos);
        Ok(tokenizer)
    }
}
