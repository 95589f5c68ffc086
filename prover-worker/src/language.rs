//! Language models in the stages: files in, an integer model and its tokenizer out; a prompt in, an answer out.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crds::{Temperature, contract::SetupArgs};
use formats::{Checkpoint, Source, Tokenizer};
use kernels::IntegerDevice;
use model::{
    ImportOptions, Model,
    language::{self, Head, LanguageError, Output},
};
use serde::Deserialize;
use verifier::{
    generation::{Generated, Lengths},
    graph::{Graph, TensorId},
    sampling::{MAX_TEMPERATURE, Sampling},
};

use crate::{
    StageError,
    input::{Draw, Prompt},
    source::{Folder, fetch},
    store::Store,
};

/// Begins a line on standard error, where there is no log, for each token of an answer as soon as it is chosen; JSON follows: the token, the
/// text that is whole with it, and, if there are several prompts, which one's answer it is.
pub const TOKEN_LINE: &str = "token ";

/// The files of a model, by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// Fetches a GGUF file.
pub fn fetch_file(store: &Store, url: &str) -> Result<Files, StageError> {
    let name = url.rsplit('/').next().unwrap_or(url);
    Ok(Files::from([(name.to_owned(), fetch(store, url)?)]))
}

/// The part of an index that names the files of its tensors.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Fetches what a folder in Hugging Face's layout has of a model.
pub fn fetch_folder(url: &str) -> Result<Files, StageError> {
    const INDEX: &str = "model.safetensors.index.json";
    let folder = Folder::open(url)?;
    let mut files = Files::new();
    for name in ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json"] {
        files.extend(folder.read(name)?.map(|bytes| (name.into(), bytes)));
    }
    let whole = folder.read("model.safetensors")?;
    let index = if whole.is_none() { folder.read(INDEX)? } else { None };
    if let Some(index) = &index {
        let Index { weight_map } = serde_json::from_slice(index)
            .map_err(|error| StageError::deterministic(format!("{url}: {INDEX}: {error}")))?;
        for name in weight_map.into_values().collect::<BTreeSet<_>>() {
            let part = folder.read(&name)?;
            let part = part.ok_or_else(|| StageError::deterministic(format!("{url}: {name}: no such file")))?;
            files.insert(name, part);
        }
    }
    files.extend(index.map(|bytes| (INDEX.into(), bytes)));
    files.extend(whole.map(|bytes| ("model.safetensors".into(), bytes)));
    Ok(files)
}

/// Imports a model for the lengths that the arguments name.
pub fn import(args: &SetupArgs, files: Files, texts: &[Vec<u8>]) -> Result<(Model, Option<Tokenizer>), StageError> {
    let refuse = |error: &dyn ToString| StageError::deterministic(format!("{}: {}", args.source, error.to_string()));
    let files = files.into_iter().map(|(name, bytes)| (name, Arc::new(bytes) as Arc<dyn Source>)).collect();
    let checkpoint: Checkpoint = formats::open_files(&files).map_err(|error| refuse(&error))?;
    let tokenizer = checkpoint.tokenizer().map_err(|error| refuse(&error))?;
    let (config, weights) = language::open(&checkpoint).map_err(|error| refuse(&error))?;
    let (sequence, answer) = (args.sequence as usize, args.answer as usize);
    let output = match (config.head(), args.sampling) {
        (Head::Vocabulary, false) => Output::Answers(answer),
        (Head::Vocabulary, true) => Output::Samples(answer),
        (Head::MeanPool, false) => Output::Embedding,
        (Head::MeanPool, true) => {
            return Err(refuse(&"spec.model.tokens.sampling: the model gives an embedding, of which nothing is drawn"));
        }
    };
    let samples = samples(args, texts, tokenizer.as_ref())?;
    let options = ImportOptions { samples, ..ImportOptions::default() };
    let model = language::import(&config, weights.as_ref(), sequence, output, &options);
    let model = model.map_err(|error| match error {
        LanguageError::Length { .. } => refuse(&format!("spec.model.tokens: {error}")),
        _ => refuse(&error),
    })?;
    Ok((model, tokenizer))
}

/// Windows of the calibration texts, spread evenly over them.
fn samples(
    args: &SetupArgs,
    texts: &[Vec<u8>],
    tokenizer: Option<&Tokenizer>,
) -> Result<Vec<Vec<Vec<f32>>>, StageError> {
    let length = args.sequence as usize;
    let mut windows: Vec<Vec<u32>> = Vec::new();
    for (url, bytes) in args.calibration.iter().zip(texts) {
        let refuse = |reason: &dyn ToString| StageError::deterministic(format!("{url}: {}", reason.to_string()));
        let text = str::from_utf8(bytes).map_err(|error| refuse(&format!("not a text in UTF-8: {error}")))?;
        let tokenizer = tokenizer.ok_or_else(|| refuse(&"a text, but the model came without a tokenizer"))?;
        let tokens = tokenizer.encode_plain(text).map_err(|error| refuse(&error))?;
        let whole = language::windows(&tokens, tokenizer.bos(), length);
        if whole.is_empty() {
            return Err(refuse(&format!("{} tokens of text are less than a window of {length}", tokens.len())));
        }
        windows.extend(whole);
    }
    let samples = language::spread(windows, language::calibration_windows(length));
    Ok(samples.into_iter().map(|window| vec![window.into_iter().map(|t| t as f32).collect()]).collect())
}

/// A prompt's tokens, or the tokens themselves where an input gives them.
pub fn tokens_of(graph: &Graph, tokenizer: Option<&Tokenizer>, prompt: &Prompt) -> Result<Vec<u32>, String> {
    let Some(tokenizer) = tokenizer else {
        return Err("the model came without a tokenizer: give the tokens of the prompt as input_data".into());
    };
    let tokens = tokenizer.encode(&prompt.prompt).map_err(|error| error.to_string())?;
    let size = graph.inputs.first().map_or(0, |port| graph.tensor(port.tensor).hi);
    match tokens.iter().find(|&&token| i64::from(token) > size) {
        Some(token) => Err(format!("the prompt has token {token}; the model's vocabulary ends at {size}")),
        None => Ok(tokens),
    }
}

/// How the choices are drawn, if the model can and is to draw them.
pub fn sampling(graph: &Graph, draw: Draw) -> Result<Option<Sampling>, String> {
    let Draw { seed, temperature } = draw;
    let greedy = temperature == Some(Temperature(0));
    match (graph.noise().is_some(), seed) {
        (_, None) if greedy => Ok(None),
        (false, None) if temperature.is_none() => Ok(None),
        (false, _) => Err("the model was set up to choose the most likely tokens, and draws none: set it up with spec.model.tokens.sampling, or \
             leave out seed and temperature"
            .into()),
        (true, None) => Err("the model samples: give a seed (spec.input.seed), or the temperature \"0\" for the most likely tokens".into()),
        (true, Some(_)) if greedy => Err("a seed with the temperature 0: leave one of them out".into()),
        (true, Some(seed)) => {
            let Temperature(temperature) = temperature.unwrap_or(Temperature::ONE);
            let seed = u64::try_from(seed).map_err(|_| format!("seed is {seed}: must be from 0 to 2^63 - 1"))?;
            if temperature > MAX_TEMPERATURE {
                let most = Temperature(MAX_TEMPERATURE);
                return Err(format!("temperature is {}: must be at most {most}", Temperature(temperature)));
            }
            Ok(Some(Sampling { seed, temperature }))
        }
    }
}

/// An answer, and what it says.
pub struct Answer {
    /// Prompt and answer.
    pub generated: Generated,
    /// How it was drawn; none if its tokens are the most likely ones.
    pub sampling: Option<Sampling>,
    /// The answer up to the text at which it was to stop; none without a tokenizer.
    pub text: Option<String>,
}

/// Says a token at once: in the log where there is one, else to the process that shows progress.
fn tell(token: u32, text: &str, input: Option<u32>) {
    if tracing::enabled!(tracing::Level::INFO) {
        let of = input.map_or(String::new(), |input| format!("input {input}, "));
        tracing::info!("{of}token {token}: {text:?}");
    } else {
        eprintln!("{TOKEN_LINE}{}", serde_json::json!({ "token": token, "text": text, "input": input }));
    }
}

/// A model on a device, and what reads its texts.
pub struct Run<'a, D: IntegerDevice> {
    pub device: &'a D,
    pub model: &'a Graph,
    pub weights: &'a BTreeMap<TensorId, D::Integers>,
    pub tokenizer: Option<&'a Tokenizer>,
    /// Whether tokens of an answer are told at once.
    pub says: bool,
}

impl<D: IntegerDevice> Run<'_, D> {
    /// Lets the model answer until it ends by itself, says a text at which to stop, or has said as much as it may. `input` is the prompt's
    /// place among several.
    pub fn generate(
        &self,
        tokens: Vec<u32>,
        prompt: &Prompt,
        sampling: Option<Sampling>,
        input: Option<u32>,
    ) -> Result<Answer, String> {
        let &Self { device, model: graph, weights, tokenizer, says } = self;
        let lengths = Lengths::of(graph).ok_or("the model does not generate")?;
        let most = match prompt.max_new_tokens {
            Some(most) if most as usize > lengths.answer => {
                return Err(format!(
                    "maxNewTokens is {most}; the model was set up for answers of at most {} tokens (spec.model.tokens.answer)",
                    lengths.answer
                ));
            }
            most => most.map_or(lengths.answer, |most| most as usize),
        };
        let placed = language::Prompt::new(graph, &tokens).map_err(|error| error.to_string())?;
        let mut stream = tokenizer.map(Tokenizer::stream);
        let (mut answer, mut text) = (Vec::new(), String::new());
        for token in placed.answer(device, weights, sampling).map_err(|error| error.to_string())?.take(most) {
            let token = token.map_err(|error| error.to_string())?;
            answer.push(token);
            if let Some(stream) = &mut stream {
                let said = stream.push(token).map_err(|error| error.to_string())?.unwrap_or_default();
                if says {
                    tell(token, &said, input);
                }
                text.push_str(&said);
            }
            let ended = tokenizer.is_some_and(|tokenizer| tokenizer.eos().contains(&token));
            if ended || prompt.stop.iter().any(|stop| text.contains(stop)) {
                break;
            }
        }
        let text =
            tokenizer.map(|tokenizer| tokenizer.decode(&answer)).transpose().map_err(|error| error.to_string())?;
        let end = |text: &String| prompt.stop.iter().filter_map(|stop| text.find(stop)).min().unwrap_or(text.len());
        let text = text.map(|text| text[..end(&text)].to_owned());
        Ok(Answer { generated: Generated { prompt: tokens, answer }, sampling, text })
    }
}
