//! The tokenizer in GGUF's metadata: `gpt2`, byte-level BPE with a list of merges, or `llama`, SentencePiece's BPE, whose merges
//! follow from the scores of the tokens.

use std::collections::HashMap;

use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior,
    decoders::{
        byte_fallback::ByteFallback, byte_level::ByteLevel, fuse::Fuse, sequence::Sequence as Decoders, strip::Strip,
    },
    models::bpe::{BPE, Merges, Vocab},
    normalizers::{NFC, Prepend, Replace, Sequence as Normalizers},
    pre_tokenizers::{
        digits::Digits,
        sequence::Sequence as PreTokenizers,
        split::{Split, SplitPattern},
    },
};

use super::Tokenizer;
use crate::{Config, FormatError, Value, gguf::texts};

/// What stands for a space in SentencePiece.
const SPACE: &str = "\u{2581}";

/// `tokenizer.ggml.token_type`.
const UNKNOWN: i64 = 2;
const CONTROL: i64 = 3;
const USER_DEFINED: i64 = 4;
const BYTE: i64 = 6;

const TOKENS: &str = "tokenizer.ggml.tokens";
const TYPES: &str = "tokenizer.ggml.token_type";
const SCORES: &str = "tokenizer.ggml.scores";
const MERGES: &str = "tokenizer.ggml.merges";

impl Tokenizer {
    /// Makes the tokenizer that GGUF's metadata describes.
    ///
    /// # Errors
    /// If keys are missing or contradict each other, or the tokenizer is of a kind that is not supported.
    pub fn from_gguf(config: &Config) -> Result<Self, FormatError> {
        let kind = config.text("tokenizer.ggml.model")?;
        let is_sentence_piece = match kind {
            "gpt2" => false,
            "llama" => true,
            other => {
                let found = format!("'{other}'");
                return Err(FormatError::new(config.file(), "key 'tokenizer.ggml.model'", "'gpt2' or 'llama'", found));
            }
        };
        let (tokens, types) = tokens(config, is_sentence_piece)?;
        let vocabulary = Vocabulary::new(config, &tokens, types)?;
        let make = if is_sentence_piece { sentence_piece } else { byte_level };
        let inner = make(config, &vocabulary)?;
        let adds_bos = is_sentence_piece || Words::new(config)? == Words::Llama3;
        let id = |role: &str| vocabulary.id(config, &format!("tokenizer.ggml.{role}_token_id"));
        let (bos, eos) = (id("bos")?, id("eos")?);
        let added = |flag: &str, default: bool, token: Option<u32>| -> Result<Vec<u32>, FormatError> {
            let key = format!("tokenizer.ggml.{flag}");
            match (config.optional_boolean(&key)?.unwrap_or(default), token) {
                (true, None) => Err(FormatError::new(config.file(), format!("key '{key}'"), "a token to add", "none")),
                (add, token) => Ok(token.filter(|_| add).into_iter().collect()),
            }
        };
        let (before, after) = (added("add_bos_token", adds_bos, bos)?, added("add_eos_token", false, eos)?);
        // Models with a turn of conversation end at either token.
        let eos = eos.into_iter().chain(id("eot")?).collect();
        Ok(Self { inner, file: config.file().into(), before, after, bos, eos })
    }
}

/// The tokens as the model spells them, and their types.
fn tokens(config: &Config, is_sentence_piece: bool) -> Result<(Vec<String>, Vec<i64>), FormatError> {
    let tokens = texts(config, TOKENS)?;
    let integers = |value: &Value| if let Value::Integers(x) = value { Some(x.clone()) } else { None };
    let types = config.typed(TYPES, "a list of integers", integers)?.unwrap_or_else(|| vec![1; tokens.len()]);
    if types.len() != tokens.len() {
        let expected = format!("one for each of {} tokens", tokens.len());
        return Err(FormatError::new(config.file(), format!("key '{TYPES}'"), expected, types.len()));
    }
    // The converter of `llama.cpp` spells SentencePiece's user-defined tokens with spaces.
    let spelling = |(token, &kind): (&String, &i64)| match kind {
        USER_DEFINED if is_sentence_piece => token.replace(' ', SPACE),
        _ => token.clone(),
    };
    let tokens = tokens.iter().zip(&types).map(spelling).collect();
    Ok((tokens, types))
}

struct Vocabulary<'a> {
    tokens: &'a [String],
    types: Vec<i64>,
    ids: HashMap<&'a str, u32>,
}

impl<'a> Vocabulary<'a> {
    fn new(config: &Config, tokens: &'a [String], types: Vec<i64>) -> Result<Self, FormatError> {
        let mut ids = HashMap::with_capacity(tokens.len());
        for (id, token) in (0..).zip(tokens) {
            if token.is_empty() || ids.insert(token.as_str(), id).is_some() {
                let (place, found) = (format!("key '{TOKENS}'"), format!("'{token}' again, id {id}"));
                return Err(FormatError::new(config.file(), place, "distinct texts", found));
            }
        }
        Ok(Self { tokens, types, ids })
    }

    /// The id that a key names.
    fn id(&self, config: &Config, key: &str) -> Result<Option<u32>, FormatError> {
        config.typed(key, &format!("an id below {}", self.tokens.len()), |value| match value {
            Value::Integer(id) => u32::try_from(*id).ok().filter(|&id| (id as usize) < self.tokens.len()),
            _ => None,
        })
    }

    fn vocab(&self) -> Vocab {
        self.ids.iter().map(|(&token, &id)| (token.to_owned(), id)).collect()
    }

    /// Tokens that are found in a text before it is tokenized.
    fn added(&self) -> Vec<AddedToken> {
        let added = |(token, kind): (&String, &i64)| match *kind {
            UNKNOWN | CONTROL => Some(AddedToken::from(token.as_str(), true)),
            USER_DEFINED => Some(AddedToken::from(token.as_str(), false).normalized(false)),
            _ => None,
        };
        self.tokens.iter().zip(&self.types).filter_map(added).collect()
    }
}

fn library(config: &Config) -> impl Fn(tokenizers::Error) -> FormatError {
    let file = config.file().to_owned();
    move |error| FormatError::new(&file, "tokenizer", "a vocabulary that makes a tokenizer", error)
}

fn byte_level(config: &Config, vocabulary: &Vocabulary) -> Result<tokenizers::Tokenizer, FormatError> {
    let mut merges = Merges::new();
    for line in texts(config, MERGES)? {
        let pair = line.split_once(' ').filter(|(left, right)| {
            let known = |token: &str| vocabulary.ids.contains_key(token);
            known(left) && known(right) && known(&format!("{left}{right}"))
        });
        let Some((left, right)) = pair else {
            let place = format!("key '{MERGES}'");
            let expected = "pairs of tokens, with a space between, whose joint text is a token";
            return Err(FormatError::new(config.file(), place, expected, format!("'{line}'")));
        };
        merges.push((left.to_owned(), right.to_owned()));
    }
    let words = Words::new(config)?;
    let bpe = BPE::builder().vocab_and_merges(vocabulary.vocab(), merges).ignore_merges(words == Words::Llama3);
    let mut tokenizer = tokenizers::Tokenizer::new(bpe.build().map_err(library(config))?);
    if words == Words::Qwen2 {
        tokenizer.with_normalizer(Some(NFC)).map_err(library(config))?;
    }
    tokenizer.with_pre_tokenizer(Some(words.pre_tokenizer().map_err(library(config))?));
    tokenizer.with_decoder(Some(ByteLevel::default()));
    tokenizer.add_tokens(vocabulary.added()).map_err(library(config))?;
    Ok(tokenizer)
}

/// How words are split off before merging: `tokenizer.ggml.pre`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Words {
    Gpt2,
    /// GPT-2's, and every digit by itself.
    SmolLm,
    /// Up to three digits; a word that is a token is taken as it is. The model wants its prompts to begin with BOS.
    Llama3,
    /// Every digit by itself, composed characters.
    Qwen2,
}

const PRE: &str = "tokenizer.ggml.pre";

impl Words {
    fn new(config: &Config) -> Result<Self, FormatError> {
        match config.text(PRE)? {
            "gpt-2" => Ok(Self::Gpt2),
            "smollm" => Ok(Self::SmolLm),
            "llama-bpe" => Ok(Self::Llama3),
            "qwen2" => Ok(Self::Qwen2),
            other => {
                let expected = "'gpt-2', 'smollm', 'llama-bpe' or 'qwen2'";
                Err(FormatError::new(config.file(), format!("key '{PRE}'"), expected, format!("'{other}'")))
            }
        }
    }

    fn pre_tokenizer(self) -> tokenizers::Result<PreTokenizerWrapper> {
        let tiktoken = |digits: &str| -> tokenizers::Result<PreTokenizerWrapper> {
            let pattern = format!(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
            );
            let split = Split::new(SplitPattern::Regex(pattern), SplitDelimiterBehavior::Isolated, false)?;
            Ok(PreTokenizers::new(vec![split.into(), ByteLevel::new(false, true, false).into()]).into())
        };
        let gpt2 = ByteLevel::new(false, true, true);
        match self {
            Self::Gpt2 => Ok(gpt2.into()),
            Self::SmolLm => Ok(PreTokenizers::new(vec![Digits::new(true).into(), gpt2.into()]).into()),
            Self::Llama3 => tiktoken(r"\p{N}{1,3}"),
            Self::Qwen2 => tiktoken(r"\p{N}"),
        }
    }
}

fn sentence_piece(config: &Config, vocabulary: &Vocabulary) -> Result<tokenizers::Tokenizer, FormatError> {
    let floats = config.typed(SCORES, "a list of numbers", |value| match value {
        Value::Floats(x) => Some(x),
        _ => None,
    })?;
    let scores = floats.ok_or_else(|| config.absent(SCORES, "a list of numbers"))?;
    if scores.len() != vocabulary.tokens.len() {
        let expected = format!("one for each of {} tokens", vocabulary.tokens.len());
        return Err(FormatError::new(config.file(), format!("key '{SCORES}'"), expected, scores.len()));
    }
    let mut builder = BPE::builder()
        .vocab_and_merges(vocabulary.vocab(), merges_by_score(vocabulary, scores))
        .byte_fallback(true)
        .fuse_unk(true);
    if let Some(unknown) = vocabulary.id(config, "tokenizer.ggml.unknown_token_id")? {
        builder = builder.unk_token(vocabulary.tokens[unknown as usize].clone());
    }
    let bpe = builder.build().map_err(library(config))?;
    let mut tokenizer = tokenizers::Tokenizer::new(bpe);
    let prefix = config.optional_boolean("tokenizer.ggml.add_space_prefix")?.unwrap_or(true);
    let mut normalizers: Vec<NormalizerWrapper> = Vec::new();
    let mut decoders: Vec<DecoderWrapper> =
        vec![Replace::new(SPACE, " ").map_err(library(config))?.into(), ByteFallback::new().into(), Fuse::new().into()];
    if prefix {
        normalizers.push(Prepend::new(SPACE.into()).into());
        decoders.push(Strip::new(' ', 1, 0).into());
    }
    normalizers.push(Replace::new(" ", SPACE).map_err(library(config))?.into());
    tokenizer.with_normalizer(Some(Normalizers::new(normalizers))).map_err(library(config))?;
    tokenizer.with_decoder(Some(Decoders::new(decoders)));
    tokenizer.add_tokens(vocabulary.added()).map_err(library(config))?;
    Ok(tokenizer)
}

/// SentencePiece joins the two neighbours whose joint token has the highest score; as a list of merges, that is every way to
/// cut a token in two tokens, best tokens first. User-defined tokens are better than all, and among equals longer parts come
/// first, as in `transformers`'s converter.
fn merges_by_score(vocabulary: &Vocabulary, scores: &[f64]) -> Merges {
    let is_text = |kind: i64| ![UNKNOWN, CONTROL, BYTE].contains(&kind);
    let is_part = |token: &str| vocabulary.ids.get(token).is_some_and(|&id| is_text(vocabulary.types[id as usize]));
    let mut merges: Vec<(f64, usize, &str, &str)> = Vec::new();
    for ((token, &kind), &score) in vocabulary.tokens.iter().zip(&vocabulary.types).zip(scores) {
        if !is_text(kind) {
            continue;
        }
        let score = if kind == USER_DEFINED { f64::INFINITY } else { score };
        for (left_length, (cut, _)) in token.char_indices().enumerate().skip(1) {
            let (left, right) = token.split_at(cut);
            if is_part(left) && is_part(right) {
                merges.push((score, left_length, left, right));
            }
        }
    }
    // Stable: what is equal still stays in the order of the ids.
    merges.sort_by(|a, b| {
        let right_length = |merge: &(f64, usize, &str, &str)| merge.3.chars().count();
        b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)).then_with(|| right_length(b).cmp(&right_length(a)))
    });
    merges.into_iter().map(|(_, _, left, right)| (left.to_owned(), right.to_owned())).collect()
}
