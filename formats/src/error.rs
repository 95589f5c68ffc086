//! What is wrong with a model's files, in the words of whoever must mend them.

use std::fmt::Display;

use thiserror::Error;

/// A file that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}: {place}: expected {expected}, found {found}")]
pub struct FormatError {
    /// The file's name.
    pub file: String,
    /// Where in it: a tensor, a key, a part of the header.
    pub place: String,
    /// What should be there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

impl FormatError {
    /// An error from its parts.
    pub fn new(file: &str, place: impl Display, expected: impl Display, found: impl Display) -> Self {
        Self { file: file.into(), place: place.to_string(), expected: expected.to_string(), found: shorten(found) }
    }
}

/// What was found may be as long as the file.
fn shorten(found: impl Display) -> String {
    const MOST: usize = 200;
    let text = found.to_string();
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text,
    }
}
