//! Text to token ids and back, as the model's own tokenizer does it.

mod gguf;
mod json;
mod saved;

use tokenizers::{DecoderWrapper, ModelWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper};

use crate::FormatError;

/// A model's tokenizer. Nothing is truncated and nothing padded, whatever its file says: a prompt that is too long is for
/// the caller to refuse.
#[derive(Debug)]
pub struct Tokenizer {
    inner: tokenizers::Tokenizer,
    file: String,
    /// Ids around a prompt that the tokenizer's own post-processor does not add.
    before: Vec<u32>,
    after: Vec<u32>,
    bos: Option<u32>,
    eos: Vec<u32>,
}

impl Tokenizer {
    /// The ids of a prompt, with what the model wants around it, usually a token for its beginning. Special tokens that the text
    /// spells out are taken as such, as a chat template needs.
    ///
    /// # Errors
    /// If the text cannot be tokenized.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, FormatError> {
        let ids = self.ids(text, true)?;
        Ok([self.before.as_slice(), &ids, &self.after].concat())
    }

    /// The ids of the text alone.
    ///
    /// # Errors
    /// If the text cannot be tokenized.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, FormatError> {
        self.ids(text, false)
    }

    fn ids(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, FormatError> {
        let encoding = self.inner.encode(text, add_special_tokens);
        let encoding = encoding.map_err(|error| self.error("a text that can be tokenized", error))?;
        let Some(left_out) = left_out(text, encoding.get_offsets()) else { return Ok(encoding.get_ids().to_vec()) };
        // Places after a character that is left out are those of its neighbours: by itself it is known by what it gives.
        let gives_nothing = |c: &char| self.inner.encode_fast(c.to_string(), false).is_ok_and(|e| e.is_empty());
        let unknown = text.chars().find(gives_nothing).unwrap_or(left_out);
        Err(self.error("characters that the vocabulary has", format!("{unknown:?}")))
    }

    /// The text of the ids, special tokens left out.
    ///
    /// # Errors
    /// If an id is no token's.
    pub fn decode(&self, ids: &[u32]) -> Result<String, FormatError> {
        ids.iter().try_for_each(|&id| self.check(id))?;
        self.inner.decode(ids, true).map_err(|error| self.error("tokens that can be decoded", error))
    }

    /// Decodes ids one by one.
    pub fn stream(&self) -> Stream<'_> {
        Stream { tokenizer: self, inner: self.inner.decode_stream(true) }
    }

    /// The token for a text's beginning.
    pub fn bos(&self) -> Option<u32> {
        self.bos
    }

    /// The tokens at any of which generation ends.
    pub fn eos(&self) -> &[u32] {
        &self.eos
    }

    /// Number of tokens, added ones included.
    pub fn size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// A token as the vocabulary spells it.
    pub fn token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// The id of a token as the vocabulary spells it.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    fn check(&self, id: u32) -> Result<(), FormatError> {
        match self.token(id) {
            Some(_) => Ok(()),
            None => Err(self.error(&format!("ids of the {} tokens", self.size()), format!("id {id}"))),
        }
    }

    fn error(&self, expected: &str, found: impl ToString) -> FormatError {
        FormatError::new(&self.file, "tokenizer", expected, found.to_string())
    }
}

/// A character that no token covers, though it is no space: the library leaves those that it does not know out, in silence.
fn left_out(text: &str, tokens: &[(usize, usize)]) -> Option<char> {
    let mut tokens: Vec<_> = tokens.to_vec();
    tokens.sort_unstable();
    let mut end = 0;
    let gaps = tokens.into_iter().chain([(text.len(), text.len())]).filter_map(|(from, to)| {
        let gap = text.get(end..from.max(end));
        end = end.max(to);
        gap
    });
    gaps.flat_map(str::chars).find(|c| !c.is_whitespace())
}

/// Decodes ids one by one; see [`Tokenizer::stream`].
pub struct Stream<'a> {
    tokenizer: &'a Tokenizer,
    inner: tokenizers::DecodeStream<
        'a,
        ModelWrapper,
        NormalizerWrapper,
        PreTokenizerWrapper,
        PostProcessorWrapper,
        DecoderWrapper,
    >,
}

impl Stream<'_> {
    /// The text that this id adds, as soon as it is whole characters.
    ///
    /// # Errors
    /// If it is no token's id.
    pub fn push(&mut self, id: u32) -> Result<Option<String>, FormatError> {
        self.tokenizer.check(id)?;
        self.inner.step(id).map_err(|error| self.tokenizer.error("tokens that can be decoded", error))
    }
}

impl std::fmt::Debug for Stream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("Stream").finish_non_exhaustive()
    }
}
