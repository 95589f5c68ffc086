//! A model as it lies on a disk: a folder in Hugging Face's layout, or a GGUF file.

use std::{
    fs::File,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use crate::{
    Config, FormatError, Tokenizer, gguf, safetensors,
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
    /// Where the tokenizer's files lie; GGUF has them inside.
    folder: Option<PathBuf>,
}

/// Largest file of JSON.
const JSON_MOST: u64 = 256 << 20;

/// Opens a model: reads its headers, and keeps its files open for the tensors.
///
/// # Errors
/// If files are missing or malformed.
pub fn open(path: &Path) -> Result<Checkpoint, FormatError> {
    if path.is_dir() {
        return open_folder(path);
    }
    let file = named(path)?.ok_or_else(|| missing(path, "a GGUF file, or a folder with config.json"))?;
    let gguf::Gguf { config, weights } = gguf::read_named(file)?;
    Ok(Checkpoint { layout: Layout::Gguf, config, weights, folder: None })
}

fn open_folder(folder: &Path) -> Result<Checkpoint, FormatError> {
    let config = optional_config(folder, "config.json")?;
    let config = config.ok_or_else(|| missing(&folder.join("config.json"), "the model's config.json"))?;
    let weights = match named(&folder.join("model.safetensors"))? {
        Some(file) => safetensors::read_named(file)?,
        None => sharded(folder)?,
    };
    Ok(Checkpoint { layout: Layout::HuggingFace, config, weights, folder: Some(folder.into()) })
}

fn sharded(folder: &Path) -> Result<Weights, FormatError> {
    const INDEX: &str = "model.safetensors.index.json";
    let index = named(&folder.join(INDEX))?;
    let index = index.ok_or_else(|| missing(&folder.join("model.safetensors"), &format!("this file, or {INDEX}")))?;
    let mut weights = Weights::default();
    for (shard, tensors) in safetensors::shards(&index.name, &index.read_all(JSON_MOST)?)? {
        let path = folder.join(&shard);
        let file = named(&path)?.ok_or_else(|| missing(&path, "a file that the index names"))?;
        let found = safetensors::read_named(file)?;
        if let Some(lost) = tensors.iter().find(|tensor| found.get(tensor).is_none()) {
            return Err(FormatError::new(
                &path.display().to_string(),
                place(lost),
                "it here, as the index says",
                "none",
            ));
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
        let Some(folder) = &self.folder else {
            let present = self.config.get("tokenizer.ggml.model").is_some();
            return present.then(|| Tokenizer::from_gguf(&self.config)).transpose();
        };
        let Some(file) = named(&folder.join("tokenizer.json"))? else { return Ok(None) };
        let generation = optional_config(folder, "generation_config.json")?;
        let tokenizer = optional_config(folder, "tokenizer_config.json")?;
        let configs: Vec<&Config> = generation.iter().chain([&self.config]).chain(&tokenizer).collect();
        Tokenizer::from_json(&file.name, &file.read_all(JSON_MOST)?, &configs).map(Some)
    }
}

fn optional_config(folder: &Path, name: &str) -> Result<Option<Config>, FormatError> {
    let Some(file) = named(&folder.join(name))? else { return Ok(None) };
    Config::from_json(&file.name, &file.read_all(JSON_MOST)?).map(Some)
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

fn missing(path: &Path, expected: &str) -> FormatError {
    FormatError::new(&path.display().to_string(), "file", expected, "no such file")
}
