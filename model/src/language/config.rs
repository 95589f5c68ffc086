//! The numbers of a model: from `config.json` of a Hugging Face checkpoint, or the metadata of a GGUF file.

use super::Tensors;
use super::architecture::{ARCHITECTURES, Architecture, Head, Names, Positions};
use formats::Value;
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
const MOST: i64 = 1 << 24;
/// Largest number of layers.
const MOST_LAYERS: usize = 1 << 12;

/// Typed access to the values of an object, under any of several names.
#[derive(Clone)]
struct Fields<'a> {
    config: &'a formats::Config,
    /// Of every key, with its dot.
    prefix: String,
}

impl<'a> Fields<'a> {
    fn new(config: &'a formats::Config) -> Self {
        Self { config, prefix: String::new() }
    }

    /// The object under a name, if there is one.
    fn object(&self, name: &str) -> Option<Self> {
        let prefix = format!("{}{name}.", self.prefix);
        let within = self.config.keys().any(|key| key.starts_with(&prefix));
        within.then_some(Self { config: self.config, prefix })
    }

    fn get(&self, names: &[&str]) -> Option<&'a Value> {
        let value = |name: &&str| self.config.get(&format!("{}{name}", self.prefix)).filter(|v| **v != Value::Null);
        names.iter().find_map(value)
    }

    fn text(&self, names: &[&str]) -> Option<&'a str> {
        self.get(names).and_then(|value| if let Value::Text(text) = value { Some(text.as_str()) } else { None })
    }

    fn error(&self, names: &[&str], found: impl ToString, expected: &str) -> ConfigError {
        let field = format!("{}{}", self.prefix, names[0]);
        ConfigError::Field { field, found: found.to_string(), expected: expected.into() }
    }

    fn optional_count(&self, names: &[&str]) -> Result<Option<usize>, ConfigError> {
        let count = |value: &Value| match value {
            Value::Integer(n) if (1..=MOST).contains(n) => Ok(*n as usize),
            _ => Err(self.error(names, value, "it must be a positive whole number")),
        };
        self.get(names).map(count).transpose()
    }

    fn count(&self, names: &[&str]) -> Result<usize, ConfigError> {
        self.optional_count(names)?.ok_or_else(|| ConfigError::Missing(format!("{}{}", self.prefix, names[0])))
    }

    fn layers(&self, names: &[&str]) -> Result<usize, ConfigError> {
        let count = self.count(names)?;
        if count > MOST_LAYERS {
            return Err(self.error(names, count, &format!("at most {MOST_LAYERS} layers are supported")));
        }
        Ok(count)
    }

    fn number(&self, names: &[&str], default: f64) -> Result<f64, ConfigError> {
        match self.get(names) {
            None => Ok(default),
            Some(Value::Integer(x)) if *x > 0 => Ok(*x as f64),
            Some(Value::Float(x)) if x.is_finite() && *x > 0.0 => Ok(*x),
            Some(value) => Err(self.error(names, value, "it must be a positive number")),
        }
    }

    fn flag(&self, names: &[&str], default: bool) -> Result<bool, ConfigError> {
        match self.get(names) {
            None => Ok(default),
            Some(Value::Boolean(flag)) => Ok(*flag),
            Some(value) => Err(self.error(names, value, "it must be true or false")),
        }
    }

    /// The field must have this value, or be absent.
    fn only(&self, name: &str, value: &Value) -> Result<(), ConfigError> {
        match self.get(&[name]) {
            Some(found) if found != value => Err(self.error(&[name], found, &format!("only {value} is supported"))),
            _ => Ok(()),
        }
    }
}

impl Config {
    /// Reads a `config.json`.
    ///
    /// # Errors
    /// The field that is missing, or whose value is not supported.
    pub fn from_hugging_face(config: &formats::Config) -> Result<Self, ConfigError> {
        let f = Fields::new(config);
        let model_type = f.text(&["model_type"]).unwrap_or_default();
        let architecture = ARCHITECTURES.iter().find(|a| a.model_types.contains(&model_type));
        let architecture = architecture.ok_or_else(|| ConfigError::Architecture { found: model_type.into() })?;
        // A model of several modalities keeps its text's numbers apart.
        let f = f.object("text_config").unwrap_or(f);
        for (field, value) in [
            ("scale_attn_by_inverse_layer_idx", Value::Boolean(false)),
            ("scale_attn_weights", Value::Boolean(true)),
            ("position_embedding_type", Value::Text("absolute".into())),
            ("is_decoder", Value::Boolean(false)),
        ] {
            f.only(field, &value)?;
        }
        for field in ["attn_logit_softcapping", "final_logit_softcapping", "use_bidirectional_attention"] {
            match f.get(&[field]) {
                Some(found) if *found != Value::Boolean(false) => {
                    return Err(f.error(&[field], found, "only null is supported"));
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

    /// Reads the metadata of a GGUF file; its tensors tell the vocabulary and whether there is a final projection of its own.
    ///
    /// # Errors
    /// The key that is missing, or whose value is not supported.
    pub fn from_gguf(config: &formats::Config, tensors: &dyn Tensors) -> Result<Self, ConfigError> {
        let f = Fields::new(config);
        let name = f.text(&["general.architecture"]).unwrap_or_default();
        let architecture = ARCHITECTURES.iter().find(|a| a.gguf == name);
        let architecture = architecture.ok_or_else(|| ConfigError::Architecture { found: name.into() })?;
        let names = &architecture.gguf_names;
        let embedding = format!("{}.weight", names.embedding);
        let vocabulary = tensors.rows(&embedding).ok_or(ConfigError::Missing(embedding))?;
        let key = |suffix: &str| format!("{name}.{suffix}");
        let count = |suffix: &str| f.count(&[&key(suffix)]);
        for suffix in ["attn_logit_softcapping", "final_logit_softcapping"] {
            if let Some(found) = f.get(&[&key(suffix)]) {
                return Err(f.error(&[&key(suffix)], found, "it is not supported"));
            }
        }
        let keys =
            ["embedding_length", "attention.head_count", "attention.key_length", "attention.head_count_kv"].map(key);
        let [width, heads, head_width, key_heads] = keys.each_ref().map(|name| [name.as_str()]);
        let heads = Heads::read(&f, architecture, [&width, &heads, &head_width, &key_heads])?;
        let Heads { width, heads, head_width, key_heads } = heads;
        let layers = f.layers(&[&key("block_count")])?;
        f.only(&key("rope.scaling.type"), &Value::Text("none".into()))?;
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
            names,
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
            tied: architecture.head == Head::Vocabulary && !tensors.has(&format!("{}.weight", names.head)),
        })
    }

    /// What the model ends in.
    pub fn head(&self) -> Head {
        self.architecture.head
    }

    /// Longest sequence, in tokens.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Number of tokens of the vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
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
            None => return Err(f.error(names[0], width, "it must be a multiple of the heads")),
        };
        let key_heads = f.optional_count(names[3])?.unwrap_or(heads);
        if !heads.is_multiple_of(key_heads) {
            return Err(f.error(names[3], key_heads, "it must divide the heads"));
        }
        if architecture.positions == Positions::Rotary && !head_width.is_multiple_of(2) {
            return Err(f.error(names[2], head_width, "it must be even"));
        }
        Ok(Self { width, heads, head_width, key_heads })
    }
}

fn activation(f: &Fields<'_>) -> Result<Activation, ConfigError> {
    let names = ["hidden_activation", "hidden_act", "activation_function"];
    let value = f.get(&names).ok_or_else(|| ConfigError::Missing(names[1].into()))?;
    Ok(match f.text(&names).unwrap_or_default() {
        "gelu" => Activation::Gelu,
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_fast" => Activation::GeluTanh,
        "silu" | "swish" => Activation::Silu,
        "relu" => Activation::Relu,
        _ => return Err(f.error(&names, value, "supported are gelu, gelu_new, gelu_pytorch_tanh, silu, relu")),
    })
}

/// Every sixth layer sees all positions, where a configuration does not say which.
const GLOBAL_PERIOD: usize = 6;

fn layers(f: &Fields<'_>, architecture: &Architecture, count: usize) -> Result<Vec<Attention>, ConfigError> {
    let parameters = f.object("rope_parameters");
    let nested = |kind: &str| parameters.as_ref().map(|p| p.object(kind).unwrap_or_else(|| p.clone()));
    let base = f.number(&["rope_theta"], 10_000.0)?;
    let global = rotation(nested("full_attention").or_else(|| f.object("rope_scaling")), base)?;
    let kinds = f.get(&["layer_types"]).and_then(|v| if let Value::Texts(kinds) = v { Some(kinds) } else { None });
    let sliding = architecture.model_types.contains(&"gemma3_text");
    if !sliding {
        return Ok(vec![Attention { window: None, rotation: global }; count]);
    }
    let local = rotation(nested("sliding_attention"), f.number(&["rope_local_base_freq"], 10_000.0)?)?;
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
        let is_global = match kinds.map(|kinds| kinds[index].as_str()) {
            Some("full_attention") => true,
            Some("sliding_attention") => false,
            Some(kind) => {
                let expected = "supported are full_attention, sliding_attention";
                return Err(f.error(&["layer_types"], kind, expected));
            }
            None => (index + 1).is_multiple_of(period),
        };
        let attention = Attention { window: None, rotation: global };
        Ok(if is_global { attention } else { Attention { window: Some(window), rotation: local } })
    };
    (0..count).map(layer).collect()
}

fn rotation(parameters: Option<Fields<'_>>, base: f64) -> Result<Rotation, ConfigError> {
    let plain = Rotation { base, factor: 1.0, stretch: None };
    let Some(f) = parameters else { return Ok(plain) };
    let plain = Rotation { base: f.number(&["rope_theta"], base)?, ..plain };
    match f.text(&["rope_type", "type"]).unwrap_or("default") {
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
        other => Err(f.error(&["rope_type"], other, "supported are default, linear, llama3")),
    }
}
