//! The numbers of a model: from `config.json` of a Hugging Face checkpoint.

use super::architecture::{ARCHITECTURES, Architecture, Head, Names, Positions};
use serde_json::Value as Json;
use thiserror::Error;

/// The function of a feed-forward part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x Phi(x)`.
    Gelu,
    /// Its approximation by a hyperbolic tangent.
    GeluTanh,
    /// `x sigmoid(x)`.
    Silu,
    /// `max(x, 0)`.
    Relu,
}

/// Angles of a rotation: position `p` turns pair `i` by `p / factor * base^(-2 i / width)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rotation {
    pub base: f64,
    /// Linear interpolation of positions; 1 for none.
    pub factor: f64,
    /// Wavelengths are stretched as Llama 3 does.
    pub stretch: Option<Stretch>,
}

/// Llama 3's rule: angles slower than `original / low` are divided by `factor`, those faster than `original / high` stay, in between a blend.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stretch {
    pub factor: f64,
    pub low: f64,
    pub high: f64,
    pub original: f64,
}

/// How one layer attends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// How many positions each sees, itself included; all of them without.
    pub window: Option<usize>,
    /// How queries and keys turn, in architectures that turn them.
    pub rotation: Rotation,
}

/// A model's numbers.
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) architecture: &'static Architecture,
    pub(super) names: &'static Names,
    /// One for each layer.
    pub(super) layers: Vec<Attention>,
    /// Elements of a position's vector.
    pub(super) width: usize,
    /// Query heads.
    pub(super) heads: usize,
    /// Key and value heads.
    pub(super) key_heads: usize,
    pub(super) head_width: usize,
    /// Elements between the two products of a feed-forward part.
    pub(super) hidden: usize,
    pub(super) vocabulary: usize,
    /// Longest sequence.
    pub(super) context: usize,
    pub(super) epsilon: f64,
    /// Factor of queries.
    pub(super) query_scale: f64,
    pub(super) activation: Activation,
    /// The final projection is the embedding.
    pub(super) tied: bool,
}

/// A description that is not one of a supported model.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// No such architecture.
    #[error("architecture '{found}' is not supported; supported are {}", names())]
    Architecture {
        /// What the configuration says.
        found: String,
    },
    /// A field that must be there.
    #[error("the configuration has no '{0}'")]
    Missing(String),
    /// A field with a value that is not supported.
    #[error("the configuration's '{field}' is {found}; {expected}")]
    Field {
        /// Name of the field.
        field: String,
        /// Its value.
        found: String,
        /// What would do.
        expected: String,
    },
}

fn names() -> String {
    ARCHITECTURES.iter().flat_map(|a| a.model_types).copied().collect::<Vec<_>>().join(", ")
}

/// Largest number of heads, tokens, and so on: beyond any model, below any overflow.
const MOST: u64 = 1 << 24;
/// Largest number of layers.
const MOST_LAYERS: usize = 1 << 12;

/// Typed access to an object, under any of several names.
struct Fields<'a>(&'a Json);

impl Fields<'_> {
    fn get(&self, names: &[&str]) -> Option<&Json> {
        names.iter().find_map(|name| self.0.get(name)).filter(|value| !value.is_null())
    }

    fn error(names: &[&str], found: &Json, expected: &str) -> ConfigError {
        ConfigError::Field { field: names[0].into(), found: found.to_string(), expected: expected.into() }
    }

    fn optional_count(&self, names: &[&str]) -> Result<Option<usize>, ConfigError> {
        let count = |v: &Json| match v.as_u64() {
            Some(n) if (1..=MOST).contains(&n) => Ok(n as usize),
            _ => Err(Self::error(names, v, "it must be a positive whole number")),
        };
        self.get(names).map(count).transpose()
    }

    fn count(&self, names: &[&str]) -> Result<usize, ConfigError> {
        self.optional_count(names)?.ok_or_else(|| ConfigError::Missing(names[0].into()))
    }

    fn layers(&self, names: &[&str]) -> Result<usize, ConfigError> {
        let count = self.count(names)?;
        if count > MOST_LAYERS {
            return Err(Self::error(names, &count.into(), &format!("at most {MOST_LAYERS} layers are supported")));
        }
        Ok(count)
    }

    fn number(&self, names: &[&str], default: f64) -> Result<f64, ConfigError> {
        let Some(value) = self.get(names) else { return Ok(default) };
        match value.as_f64() {
            Some(x) if x.is_finite() && x > 0.0 => Ok(x),
            _ => Err(Self::error(names, value, "it must be a positive number")),
        }
    }

    fn flag(&self, names: &[&str], default: bool) -> Result<bool, ConfigError> {
        let Some(value) = self.get(names) else { return Ok(default) };
        value.as_bool().ok_or_else(|| Self::error(names, value, "it must be true or false"))
    }

    /// The field must have this value, or be absent.
    fn only(&self, name: &str, value: &Json) -> Result<(), ConfigError> {
        match self.get(&[name]) {
            Some(found) if found != value => Err(Self::error(&[name], found, &format!("only {value} is supported"))),
            _ => Ok(()),
        }
    }
}

impl Config {
    /// Reads the object of a `config.json`.
    ///
    /// # Errors
    /// The field that is missing, or whose value is not supported.
    pub fn from_json(json: &Json) -> Result<Self, ConfigError> {
        let model_type = json.get("model_type").and_then(Json::as_str).unwrap_or_default();
        let architecture = ARCHITECTURES.iter().find(|a| a.model_types.contains(&model_type));
        let architecture = architecture.ok_or_else(|| ConfigError::Architecture { found: model_type.into() })?;
        // A model of several modalities keeps its text's numbers apart.
        let json = json.get("text_config").unwrap_or(json);
        let f = Fields(json);
        for (field, value) in [
            ("scale_attn_by_inverse_layer_idx", Json::from(false)),
            ("scale_attn_weights", Json::from(true)),
            ("position_embedding_type", Json::from("absolute")),
            ("is_decoder", Json::from(false)),
        ] {
            f.only(field, &value)?;
        }
        for field in ["attn_logit_softcapping", "final_logit_softcapping", "use_bidirectional_attention"] {
            match f.get(&[field]) {
                Some(found) if found != false => {
                    return Err(Fields::error(&[field], found, "only null is supported"));
                }
                _ => {}
            }
        }
        let heads = Heads::read(
            &f,
            architecture,
            [&["hidden_size", "n_embd"], &["num_attention_heads", "n_head"], &["head_dim"], &["num_key_value_heads"]],
        )?;
        let Heads { width, heads, head_width, key_heads } = heads;
        let count = f.layers(&["num_hidden_layers", "n_layer"])?;
        let scale = f.number(&["query_pre_attn_scalar"], head_width as f64)?;
        Ok(Self {
            architecture,
            names: &architecture.names,
            layers: layers(&f, architecture, count)?,
            width,
            heads,
            key_heads,
            head_width,
            hidden: f.optional_count(&["intermediate_size", "n_inner"])?.unwrap_or(4 * width),
            vocabulary: f.count(&["vocab_size"])?,
            context: f.count(&["max_position_embeddings", "n_positions"])?,
            epsilon: f.number(&["rms_norm_eps", "layer_norm_epsilon", "layer_norm_eps"], 1e-5)?,
            query_scale: 1.0 / scale.sqrt(),
            activation: activation(&f)?,
            tied: architecture.head == Head::Vocabulary && f.flag(&["tie_word_embeddings"], model_type != "llama")?,
        })
    }
}

impl Config {
    /// Reads the metadata of a GGUF file, an object of flat keys; `vocabulary` is the number of rows of its embedding, and
    /// `tied` says that it has no other final projection.
    ///
    /// # Errors
    /// The key that is missing, or whose value is not supported.
    pub fn from_gguf(metadata: &Json, vocabulary: usize, tied: bool) -> Result<Self, ConfigError> {
        let name = metadata.get("general.architecture").and_then(Json::as_str).unwrap_or_default();
        let architecture = ARCHITECTURES.iter().find(|a| a.gguf == name);
        let architecture = architecture.ok_or_else(|| ConfigError::Architecture { found: name.into() })?;
        let f = Fields(metadata);
        let key = |suffix: &str| format!("{name}.{suffix}");
        let count = |suffix: &str| f.count(&[&key(suffix)]);
        for suffix in ["attn_logit_softcapping", "final_logit_softcapping"] {
            if let Some(found) = f.get(&[&key(suffix)]) {
                return Err(Fields::error(&[&key(suffix)], found, "it is not supported"));
            }
        }
        let names =
            ["embedding_length", "attention.head_count", "attention.key_length", "attention.head_count_kv"].map(key);
        let [width, heads, head_width, key_heads] = names.each_ref().map(|name| [name.as_str()]);
        let heads = Heads::read(&f, architecture, [&width, &heads, &head_width, &key_heads])?;
        let Heads { width, heads, head_width, key_heads } = heads;
        let layers = f.layers(&[&key("block_count")])?;
        let scaling = key("rope.scaling.type");
        match f.get(&[&scaling]) {
            Some(found) if found != "none" => return Err(Fields::error(&[&scaling], found, "only none is supported")),
            _ => {}
        }
        let rotation = |base| Rotation { base, factor: 1.0, stretch: None };
        let global = rotation(f.number(&[&key("rope.freq_base")], 10_000.0)?);
        // The file does not hold the base and the period of local layers; they are those of the architecture.
        let window = f.optional_count(&[&key("attention.sliding_window")])?;
        let layer = |index: usize| match window {
            Some(_) if (index + 1).is_multiple_of(GLOBAL_PERIOD) => Attention { window: None, rotation: global },
            Some(_) => Attention { window, rotation: rotation(10_000.0) },
            None => Attention { window: None, rotation: global },
        };
        let epsilon = [key("attention.layer_norm_rms_epsilon"), key("attention.layer_norm_epsilon")];
        Ok(Self {
            architecture,
            names: &architecture.gguf_names,
            layers: (0..layers).map(layer).collect(),
            width,
            heads,
            key_heads,
            head_width,
            hidden: count("feed_forward_length")?,
            vocabulary,
            context: count("context_length")?,
            epsilon: f.number(&[&epsilon[0], &epsilon[1]], 1e-5)?,
            query_scale: 1.0 / (head_width as f64).sqrt(),
            activation: architecture.gguf_activation,
            tied,
        })
    }
}

/// How a width is cut into heads.
struct Heads {
    width: usize,
    heads: usize,
    head_width: usize,
    key_heads: usize,
}

impl Heads {
    /// Reads the fields of these names: width, heads, width of a head, heads of keys; the last two have defaults.
    fn read(f: &Fields<'_>, architecture: &Architecture, names: [&[&str]; 4]) -> Result<Self, ConfigError> {
        let (width, heads) = (f.count(names[0])?, f.count(names[1])?);
        let head_width = match f.optional_count(names[2])? {
            Some(n) => n,
            None if width.is_multiple_of(heads) => width / heads,
            None => return Err(Fields::error(names[0], &width.into(), "it must be a multiple of the heads")),
        };
        let key_heads = f.optional_count(names[3])?.unwrap_or(heads);
        if !heads.is_multiple_of(key_heads) {
            return Err(Fields::error(names[3], &key_heads.into(), "it must divide the heads"));
        }
        if architecture.positions == Positions::Rotary && !head_width.is_multiple_of(2) {
            return Err(Fields::error(names[2], &head_width.into(), "it must be even"));
        }
        Ok(Self { width, heads, head_width, key_heads })
    }
}

fn activation(f: &Fields<'_>) -> Result<Activation, ConfigError> {
    let names = ["hidden_activation", "hidden_act", "activation_function"];
    let value = f.get(&names).ok_or_else(|| ConfigError::Missing(names[1].into()))?;
    Ok(match value.as_str().unwrap_or_default() {
        "gelu" => Activation::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
        "silu" | "swish" => Activation::Silu,
        "relu" => Activation::Relu,
        _ => return Err(Fields::error(&names, value, "supported are gelu, gelu_new, gelu_pytorch_tanh, silu, relu")),
    })
}

/// Every sixth layer sees all positions, where a configuration does not say which.
const GLOBAL_PERIOD: usize = 6;

fn layers(f: &Fields<'_>, architecture: &Architecture, count: usize) -> Result<Vec<Attention>, ConfigError> {
    let parameters = f.get(&["rope_parameters"]);
    let nested = |kind: &str| parameters.and_then(|p| p.get(kind)).or(parameters);
    let scaling = f.get(&["rope_scaling"]);
    let base = f.number(&["rope_theta"], 10_000.0)?;
    let global = rotation(nested("full_attention"), scaling, base)?;
    let kinds = f.get(&["layer_types"]).and_then(Json::as_array);
    let sliding = architecture.model_types.contains(&"gemma3_text");
    if !sliding {
        return Ok(vec![Attention { window: None, rotation: global }; count]);
    }
    let local = rotation(nested("sliding_attention"), None, f.number(&["rope_local_base_freq"], 10_000.0)?)?;
    let window = f.count(&["sliding_window"])?;
    let period = f.optional_count(&["sliding_window_pattern", "_sliding_window_pattern"])?.unwrap_or(GLOBAL_PERIOD);
    if kinds.is_some_and(|kinds| kinds.len() != count) {
        return Err(ConfigError::Field {
            field: "layer_types".into(),
            found: format!("a list of {}", kinds.map_or(0, Vec::len)),
            expected: format!("there are {count} layers"),
        });
    }
    let layer = |index: usize| {
        let is_global = match kinds.map(|kinds| &kinds[index]) {
            Some(kind) if kind == "full_attention" => true,
            Some(kind) if kind == "sliding_attention" => false,
            Some(kind) => {
                let expected = "supported are full_attention, sliding_attention";
                return Err(Fields::error(&["layer_types"], kind, expected));
            }
            None => (index + 1).is_multiple_of(period),
        };
        let attention = Attention { window: None, rotation: global };
        Ok(if is_global { attention } else { Attention { window: Some(window), rotation: local } })
    };
    (0..count).map(layer).collect()
}

fn rotation(parameters: Option<&Json>, scaling: Option<&Json>, base: f64) -> Result<Rotation, ConfigError> {
    let empty = Json::Null;
    let f = Fields(parameters.or(scaling).unwrap_or(&empty));
    let base = f.number(&["rope_theta"], base)?;
    let kind = f.get(&["rope_type", "type"]).and_then(Json::as_str).unwrap_or("default");
    let plain = Rotation { base, factor: 1.0, stretch: None };
    match kind {
        "default" => Ok(plain),
        "linear" => Ok(Rotation { factor: f.number(&["factor"], 1.0)?, ..plain }),
        "llama3" => {
            let stretch = Stretch {
                factor: f.number(&["factor"], 8.0)?,
                low: f.number(&["low_freq_factor"], 1.0)?,
                high: f.number(&["high_freq_factor"], 4.0)?,
                original: f.number(&["original_max_position_embeddings"], 8192.0)?,
            };
            Ok(Rotation { stretch: Some(stretch), ..plain })
        }
        other => Err(Fields::error(&["rope_type"], &other.into(), "supported are default, linear, llama3")),
    }
}
