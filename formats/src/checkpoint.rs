//! A model as it is published: the files of Hugging Face's layout, or one GGUF file; on a disk, or wherever bytes can be read.

use std::{collections::BTreeMap, fs::File, io::ErrorKind, path::Path, sync::Arc};

use crate::{
    Config, FormatError, Source, Tokenizer, gguf, safetensors,
    source::Named,
    weights::{Weights, place},
};

/// Whose names and shapes the tensors have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `transformers`: `config.json`, `model.safetensors`.
    HuggingFace,
    /// `llama.cpp`.
    Gguf,
}

/// A model's hyperparameters, tensors and tokenizer.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// How names and shapes are to be read.
    pub layout: Layout,
    /// Hyperparameters.
    pub config: Config,
    /// Tensors.
    pub weights: Weights,
    /// What the tokenizer is made of; GGUF has it in the metadata.
    tokenizer: Option<TokenizerFiles>,
}

#[derive(Clone, Debug)]
struct TokenizerFiles {
    tokenizer: Named,
    generation_config: Option<Named>,
    tokenizer_config: Option<Named>,
}

/// A file by its name, if there is one.
type Find<'a> = dyn Fn(&str) -> Result<Option<Named>, FormatError> + 'a;

/// Largest file of JSON.
const JSON_MOST: u64 = 256 << 20;
/// What makes files a model in Hugging Face's layout.
const CONFIG: &str = "config.json";

/// Opens a model: reads its headers, and keeps its files open for the tensors.
///
/// # Errors
/// If files are missing or malformed.
pub fn open(path: &Path) -> Result<Checkpoint, FormatError> {
    if path.is_dir() {
        return folder(&|name| named(&path.join(name)), &|name| path.join(name).display().to_string());
    }
    let file = named(path)?.ok_or_else(|| absent(path.display(), "a GGUF file, or a folder with config.json"))?;
    single(file)
}

/// Opens a model whose files lie in memory, or anywhere else that bytes can be read from, by name: those of Hugging Face's
/// layout, `config.json` among them, or one GGUF file of any name.
///
/// # Errors
/// If files are missing or malformed.
pub fn open_files(files: &BTreeMap<String, Arc<dyn Source>>) -> Result<Checkpoint, FormatError> {
    match files.first_key_value() {
        Some((name, source)) if files.len() == 1 && name != CONFIG => {
            single(Named { name: name.clone(), source: source.clone() })
        }
        _ => {
            let find = |name: &str| files.get(name).map(|source| Named { name: name.into(), source: source.clone() });
            folder(&|name| Ok(find(name)), &str::to_owned)
        }
    }
}

fn single(file: Named) -> Result<Checkpoint, FormatError> {
    let gguf::Gguf { config, weights } = gguf::read_named(file)?;
    Ok(Checkpoint { layout: Layout::Gguf, config, weights, tokenizer: None })
}

fn folder(find: &Find<'_>, path: &dyn Fn(&str) -> String) -> Result<Checkpoint, FormatError> {
    let config = find(CONFIG)?.ok_or_else(|| absent(path(CONFIG), "the model's config.json"))?;
    let weights = match find("model.safetensors")? {
        Some(file) => safetensors::read_named(file)?,
        None => sharded(find, path)?,
    };
    let tokenizer = match find("tokenizer.json")? {
        Some(tokenizer) => Some(TokenizerFiles {
            tokenizer,
            generation_config: find("generation_config.json")?,
            tokenizer_config: find("tokenizer_config.json")?,
        }),
        None => None,
    };
    Ok(Checkpoint { layout: Layout::HuggingFace, config: parsed(&config)?, weights, tokenizer })
}

fn sharded(find: &Find<'_>, path: &dyn Fn(&str) -> String) -> Result<Weights, FormatError> {
    const INDEX: &str = "model.safetensors.index.json";
    let index = find(INDEX)?;
    let index = index.ok_or_else(|| absent(path("model.safetensors"), &format!("this file, or {INDEX}")))?;
    let mut weights = Weights::default();
    for (shard, tensors) in safetensors::shards(&index.name, &index.read_all(JSON_MOST)?)? {
        let file = find(&shard)?.ok_or_else(|| absent(path(&shard), "a file that the index names"))?;
        let found = safetensors::read_named(file)?;
        if let Some(lost) = tensors.iter().find(|tensor| found.get(tensor).is_none()) {
            return Err(FormatError::new(&path(&shard), place(lost), "it here, as the index says", "none"));
        }
        weights.extend(found)?;
    }
    Ok(weights)
}

impl Checkpoint {
    /// The tokenizer, if the model brings one.
    ///
    /// # Errors
    /// If it is malformed or of a kind that is not supported.
    pub fn tokenizer(&self) -> Result<Option<Tokenizer>, FormatError> {
        let Some(files) = &self.tokenizer else {
            let present = self.config.get("tokenizer.ggml.model").is_some();
            return present.then(|| Tokenizer::from_gguf(&self.config)).transpose();
        };
        let generation = files.generation_config.as_ref().map(parsed).transpose()?;
        let tokenizer = files.tokenizer_config.as_ref().map(parsed).transpose()?;
        let configs: Vec<&Config> = generation.iter().chain([&self.config]).chain(&tokenizer).collect();
        Tokenizer::from_json(&files.tokenizer.name, &files.tokenizer.read_all(JSON_MOST)?, &configs).map(Some)
    }
}

fn parsed(file: &Named) -> Result<Config, FormatError> {
    Config::from_json(&file.name, &file.read_all(JSON_MOST)?)
}

/// The file, if there is one.
fn named(path: &Path) -> Result<Option<Named>, FormatError> {
    let name = path.display().to_string();
    match File::open(path) {
        Ok(file) => Ok(Some(Named::new(&name, file))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(FormatError::new(&name, "file", "a readable file", error)),
    }
}

fn absent(path: impl std::fmt::Display, expected: &str) -> FormatError {
    FormatError::new(&path.to_string(), "file", expected, "no such file")
}
