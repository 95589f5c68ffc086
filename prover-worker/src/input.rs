//! Inputs of a model, from JSON or a picture; prompts of a language model. A file may list several.

use crds::Temperature;
use image::{DynamicImage, ImageError, ImageFormat};
use serde::Deserialize;
use verifier::graph::MAX_BATCH;

/// Most pixels of a picture: far more than a model takes, far fewer than memory.
const MAX_PIXELS: u64 = 1 << 26;

/// For each input of a model its values, row-major.
pub type Inputs = Vec<Vec<f32>>;

/// What a language model goes on with, and where it stops; see `spec.input`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prompt {
    /// The text.
    pub prompt: String,
    /// Most tokens of the answer.
    #[serde(default)]
    pub max_new_tokens: Option<u32>,
    /// Texts at which the answer ends.
    #[serde(default)]
    pub stop: Vec<String>,
    /// See [`Draw::seed`].
    #[serde(default)]
    seed: Option<i64>,
    /// See [`Draw::temperature`].
    #[serde(default)]
    temperature: Option<Temperature>,
}

impl Prompt {
    /// How the answer is to be drawn.
    pub const fn draw(&self) -> Draw {
        Draw { seed: self.seed, temperature: self.temperature }
    }
}

/// How a language model's answer is to be drawn.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Draw {
    /// Names the randomness.
    pub seed: Option<i64>,
    /// 1 if it is not said; 0 for the most likely tokens.
    pub temperature: Option<Temperature>,
}

/// What a model is run on.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// Values; for a language model the prompt's tokens.
    Values(Inputs, Draw),
    /// A text.
    Prompt(Prompt),
}

/// Bytes that are not an input.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// Not JSON of the right form.
    #[error(
        "neither a PNG or PGM picture nor JSON of the form {{\"input_data\": [[..], ..]}}, {{\"prompt\": \"..\"}} or {{\"inputs\": [{{..}}, ..]}}: {0}"
    )]
    Json(#[from] serde_json::Error),
    /// One of several inputs.
    #[error("inputs[{index}]: {error}")]
    Listed {
        /// Which.
        index: usize,
        /// What is wrong with it.
        error: Box<InputError>,
    },
    /// No inputs, or more than one proof takes.
    #[error("inputs has {0} entries: 1 to {MAX_BATCH} go into one proof")]
    Count(usize),
    /// Several inputs where one is needed.
    #[error("a list of inputs; one is needed here")]
    List,
    /// A text where values are needed.
    #[error("a prompt; a list of values for each input is needed: {{\"input_data\": [[..], ..]}}")]
    Prompt,
    /// A prompt that says when not to answer.
    #[error("{0}")]
    Bounds(&'static str),
    /// A number that is too large.
    #[error("input_data[{list}][{position}] is {value}: beyond the range of 32-bit floats")]
    Number {
        /// Which input.
        list: usize,
        /// Which value.
        position: usize,
        /// The value.
        value: f64,
    },
    /// Not a picture after all.
    #[error("the picture cannot be read: {0}")]
    Picture(#[from] ImageError),
    /// Too many pixels.
    #[error("the picture has {0} x {1} pixels; at most {MAX_PIXELS} are read")]
    Pixels(u32, u32),
    /// Transparency or another number of channels.
    #[error("the picture is {0:?}; write it as gray or RGB")]
    Channels(image::ColorType),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    input_data: Vec<Vec<f64>>,
    /// What the model is said to answer. Other tools write it; nothing here reads it.
    #[serde(default, rename = "output_data")]
    _output_data: serde::de::IgnoredAny,
    #[serde(default)]
    seed: Option<i64>,
    #[serde(default)]
    temperature: Option<Temperature>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    inputs: Vec<serde_json::Value>,
}

/// Reads values: `{"input_data": [[..], ..]}`, or a picture as one input of `channel, row, column` with values from 0 to 1.
///
/// # Errors
/// See [`InputError`].
pub fn parse(bytes: &[u8]) -> Result<Inputs, InputError> {
    let mut all = parse_any(bytes)?;
    match all.pop() {
        Some(_) if !all.is_empty() => Err(InputError::List),
        Some(Input::Values(inputs, Draw { seed: None, temperature: None })) => Ok(inputs),
        Some(Input::Values(..)) => Err(InputError::Bounds("seed and temperature are for a language model's answer")),
        Some(Input::Prompt(_)) => Err(InputError::Prompt),
        None => Err(InputError::Count(0)),
    }
}

/// Reads values, or a prompt: `{"prompt": "..", "maxNewTokens": .., "stop": [..]}`; either with `seed` and `temperature`. Or several,
/// of either kind: `{"inputs": [{..}, ..]}`.
///
/// # Errors
/// See [`InputError`].
pub fn parse_any(bytes: &[u8]) -> Result<Vec<Input>, InputError> {
    if let Ok(format @ (ImageFormat::Png | ImageFormat::Pnm)) = image::guess_format(bytes) {
        return Ok(vec![Input::Values(vec![picture(bytes, format)?], Draw::default())]);
    }
    let json: serde_json::Value = serde_json::from_slice(bytes)?;
    if json.get("inputs").is_none() {
        return Ok(vec![parse_json(json)?]);
    }
    let List { inputs } = serde_json::from_value(json)?;
    if !(1..=MAX_BATCH).contains(&inputs.len()) {
        return Err(InputError::Count(inputs.len()));
    }
    let listed = |(index, json)| parse_json(json).map_err(|error| InputError::Listed { index, error: Box::new(error) });
    inputs.into_iter().enumerate().map(listed).collect()
}

fn parse_json(json: serde_json::Value) -> Result<Input, InputError> {
    if json.get("prompt").is_none() {
        let File { input_data, seed, temperature, .. } = serde_json::from_value(json)?;
        return Ok(Input::Values(narrow(&input_data)?, Draw { seed, temperature }));
    }
    let prompt: Prompt = serde_json::from_value(json)?;
    match (&prompt.prompt[..], prompt.max_new_tokens) {
        ("", _) => Err(InputError::Bounds("the prompt is empty")),
        (_, Some(0)) => Err(InputError::Bounds("maxNewTokens is 0: an answer has at least one token")),
        _ if prompt.stop.iter().any(String::is_empty) => Err(InputError::Bounds("stop has an empty text")),
        _ => Ok(Input::Prompt(prompt)),
    }
}

/// Values as a manifest writes them.
///
/// # Errors
/// If one is beyond the range of 32-bit floats.
pub fn narrow(lists: &[Vec<f64>]) -> Result<Inputs, InputError> {
    let one = |list, position, value: f64| {
        let narrowed = value as f32;
        if narrowed.is_finite() { Ok(narrowed) } else { Err(InputError::Number { list, position, value }) }
    };
    let list = |(list, values): (usize, &Vec<f64>)| values.iter().enumerate().map(|(i, &v)| one(list, i, v)).collect();
    lists.iter().enumerate().map(list).collect()
}

fn picture(bytes: &[u8], format: ImageFormat) -> Result<Vec<f32>, InputError> {
    let reader = || image::ImageReader::with_format(std::io::Cursor::new(bytes), format);
    let (width, height) = reader().into_dimensions()?;
    if u64::from(width) * u64::from(height) > MAX_PIXELS {
        return Err(InputError::Pixels(width, height));
    }
    let unit = |byte: u8| f32::from(byte) / 255.0;
    match reader().decode()? {
        DynamicImage::ImageLuma8(gray) => Ok(gray.into_raw().into_iter().map(unit).collect()),
        DynamicImage::ImageRgb8(rgb) => {
            let plane = |channel: usize| rgb.pixels().map(move |pixel| unit(pixel.0[channel]));
            Ok((0..3).flat_map(plane).collect())
        }
        other => Err(InputError::Channels(other.color())),
    }
}
