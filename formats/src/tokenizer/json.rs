//! Hugging Face's `tokenizer.json`, with what `tokenizer_config.json`, `generation_config.json` and `config.json` say of the tokens
//! for a beginning and an end.

use std::{borrow::Cow, collections::HashMap};

use serde::Deserialize;
use serde_json::Value as Json;

use super::Tokenizer;
use crate::{Config, FormatError, Value};

impl Tokenizer {
    /// Reads a `tokenizer.json`. The first of `configs` that names a token for the beginning or the end decides.
    ///
    /// # Errors
    /// If the file is malformed, or tokenizing with it is random.
    pub fn from_json(file: &str, bytes: &[u8], configs: &[&Config]) -> Result<Self, FormatError> {
        check(file, bytes)?;
        let fail = |expected: &str, found: String| FormatError::new(file, "tokenizer", expected, found);
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|error| fail("a tokenizer of Hugging Face's library", error.to_string()))?;
        // Both may be set for training; neither may change a prompt.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|error| fail("no truncation", error.to_string()))?;
        let mut tokenizer =
            Self { inner, file: file.into(), before: Vec::new(), after: Vec::new(), bos: None, eos: Vec::new() };
        for config in configs {
            if tokenizer.bos.is_none() {
                tokenizer.bos = tokenizer.named(config, "bos")?.first().copied();
            }
            if tokenizer.eos.is_empty() {
                tokenizer.eos = tokenizer.named(config, "eos")?;
            }
        }
        Ok(tokenizer)
    }

    /// The tokens that a config calls `bos` or `eos`: by id, or by how the vocabulary spells them.
    fn named(&self, config: &Config, role: &str) -> Result<Vec<u32>, FormatError> {
        let key = format!("{role}_token_id");
        let ids = config.typed(&key, "the id of a token, or a list of them", |value| {
            let ids = match value {
                Value::Integer(id) => std::slice::from_ref(id),
                Value::Integers(ids) => ids,
                _ => return None,
            };
            ids.iter().map(|&id| u32::try_from(id).ok().filter(|&id| self.token(id).is_some())).collect()
        })?;
        if let Some(ids) = ids {
            return Ok(ids);
        }
        let key = format!("{role}_token");
        let nested = format!("{key}.content");
        let key = if config.get(&nested).is_some() { nested } else { key };
        let id = config.typed(&key, "a token of the vocabulary", |value| match value {
            Value::Text(token) => self.id(token),
            _ => None,
        })?;
        Ok(id.into_iter().collect())
    }
}

/// The part of the file that the library believes.
#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    model: Model<'a>,
    normalizer: Option<Json>,
    pre_tokenizer: Option<Json>,
}

#[derive(Deserialize)]
struct Model<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<Cow<'a, str>>,
    /// A list, for a unigram model.
    #[serde(borrow, default)]
    vocab: Vocabulary<'a>,
    #[serde(borrow, default)]
    merges: Vec<Merge<'a>>,
    #[serde(borrow)]
    continuing_subword_prefix: Option<Cow<'a, str>>,
    dropout: Option<f64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Vocabulary<'a> {
    Ids(#[serde(borrow)] HashMap<Cow<'a, str>, u32>),
    Scores(serde::de::IgnoredAny),
}

impl Default for Vocabulary<'_> {
    fn default() -> Self {
        Self::Scores(serde::de::IgnoredAny)
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge<'a> {
    Pair(#[serde(borrow)] Cow<'a, str>, #[serde(borrow)] Cow<'a, str>),
    Line(#[serde(borrow)] Cow<'a, str>),
}

/// Parts that are refused: with malformed contents they make `tokenizers` 0.23 panic, and only models with encoder and decoder use
/// them.
const REFUSED: [&str; 3] = ["Unigram", "Precompiled", "FixedLength"];

/// The first part of a refused type.
fn refused(part: &Json) -> Option<&str> {
    let own = part.get("type").and_then(Json::as_str).filter(|kind| REFUSED.contains(kind));
    own.or_else(|| match part {
        Json::Object(fields) => fields.values().find_map(refused),
        Json::Array(items) => items.iter().find_map(refused),
        _ => None,
    })
}

/// Checks what `tokenizers` 0.23 panics on: the refused parts, and a merge whose result is longer than every token.
fn check(file: &str, bytes: &[u8]) -> Result<(), FormatError> {
    let fail = |place: &str, expected: &str, found: String| FormatError::new(file, place, expected, found);
    let parsed: File =
        serde_json::from_slice(bytes).map_err(|error| fail("tokenizer", "a tokenizer.json", error.to_string()))?;
    let parts = [&parsed.normalizer, &parsed.pre_tokenizer].into_iter().flatten().find_map(refused);
    if let Some(part) = parts.or(parsed.model.kind.as_deref().filter(|kind| REFUSED.contains(kind))) {
        return Err(fail(
            "tokenizer",
            "a BPE, WordPiece or WordLevel model without tables of its own",
            format!("'{part}'"),
        ));
    }
    let Model { vocab, merges, continuing_subword_prefix, dropout, .. } = parsed.model;
    if dropout.is_some_and(|p| p != 0.0) {
        return Err(fail("model.dropout", "null: tokens must not be random", dropout.unwrap_or_default().to_string()));
    }
    let Vocabulary::Ids(vocab) = vocab else {
        return Err(fail("model.vocab", "tokens with their ids", "scores, as of a unigram model".into()));
    };
    let prefix = continuing_subword_prefix.unwrap_or_default();
    for merge in &merges {
        let (left, right) = match merge {
            Merge::Pair(left, right) => (left.as_ref(), right.as_ref()),
            // The library has an error of its own for lines that are no pair.
            Merge::Line(line) => match line.split_once(' ') {
                Some(pair) => pair,
                None => continue,
            },
        };
        let joined = right.strip_prefix(prefix.as_ref()).map(|rest| format!("{left}{rest}"));
        let known = |token: &str| vocab.contains_key(token);
        if !(known(left) && known(right) && joined.as_deref().is_some_and(known)) {
            let found = format!("'{left}' and '{right}'");
            return Err(fail("model.merges", "pairs of tokens whose joint text is a token", found));
        }
    }
    Ok(())
}
