//! Tiny models whose weights follow from their names; see `reference.py`.

use formats::FormatError;
use model::language::{Config, Evaluation, LanguageError, Output, Tensors, import};
use model::{ImportOptions, Model};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What `config.json` of a checkpoint would say.
fn config(name: &str, json: &Json) -> Config {
    let json = formats::Config::from_json(name, json.to_string().as_bytes()).expect("it is an object");
    Config::from_hugging_face(&json).expect("the configuration is supported")
}

/// A model, a sequence, and what the independent computation gives.
pub struct Fixture {
    pub config: Config,
    pub tokens: Vec<u32>,
    pub output: Vec<Vec<f64>>,
    /// Shape, scale and offset.
    pub tensors: BTreeMap<String, (Vec<usize>, f64, f64)>,
    encoder: bool,
}

impl Fixture {
    pub fn load(name: &str) -> Self {
        Self::changed(name, |_| ())
    }

    /// The model with a final projection of its own, of the embedding's shape.
    #[allow(dead_code, reason = "each test program uses a part of this module")]
    pub fn untied(name: &str) -> Self {
        Self::changed(name, |json| {
            json["config"]["tie_word_embeddings"] = false.into();
            let tensors = json["tensors"].as_object_mut().expect("tensors");
            let embedding = tensors.iter().find(|(name, _)| name.contains("wte") || name.contains("embed_tokens"));
            let embedding = embedding.expect("there is an embedding").1.clone();
            tensors.insert("lm_head.weight".into(), embedding);
        })
    }

    /// The model with a vocabulary of another size.
    #[allow(dead_code, reason = "each test program uses a part of this module")]
    pub fn with_vocabulary(name: &str, size: usize) -> Self {
        Self::changed(name, |json| {
            json["config"]["vocab_size"] = size.into();
            let tensors = json["tensors"].as_object_mut().expect("tensors").values_mut();
            tensors.filter(|tensor| tensor["shape"][0] == 300).for_each(|tensor| tensor["shape"][0] = size.into());
        })
    }

    fn changed(name: &str, change: impl FnOnce(&mut Json)) -> Self {
        let path =
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("../model/tests/language/fixtures/{name}.json"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let mut json: Json = serde_json::from_str(&text).expect("a fixture is JSON");
        change(&mut json);
        let numbers =
            |row: &Json| row.as_array().expect("a list").iter().map(|x| x.as_f64().expect("a number")).collect();
        let tensor = |(name, t): (&String, &Json)| {
            let shape: Vec<f64> = numbers(&t["shape"]);
            let shape = shape.into_iter().map(|n| n as usize).collect();
            (name.clone(), (shape, t["scale"].as_f64().expect("a scale"), t["offset"].as_f64().expect("an offset")))
        };
        let tokens: Vec<f64> = numbers(&json["tokens"]);
        Self {
            config: config(name, &json["config"]),
            tokens: tokens.into_iter().map(|t| t as u32).collect(),
            output: json["output"].as_array().expect("rows").iter().map(numbers).collect(),
            tensors: json["tensors"].as_object().expect("tensors").iter().map(tensor).collect(),
            encoder: name == "bert",
        }
    }

    /// The output that the fixture holds.
    pub fn whole(&self) -> Output {
        if self.encoder { Output::Embedding } else { Output::Logits(self.tokens.len()) }
    }

    /// Calibration on sequences that begin like the fixture's and on others.
    fn options(&self, length: usize) -> ImportOptions {
        let other = |s: usize| (0..length).map(|i| ((5 * i * i + 11 * s + i) % 29) as f32).collect();
        let own = self.tokens.iter().cycle().take(length).map(|&t| t as f32).collect();
        let samples = std::iter::once(own).chain((0..4).map(other)).map(|sample| vec![sample]).collect();
        ImportOptions { samples, ..ImportOptions::default() }
    }

    /// The integer model.
    pub fn import(&self, length: usize, output: Output) -> Model {
        import(&self.config, self, length, output, &self.options(length)).unwrap_or_else(|e| panic!("{e}"))
    }

    /// The integer model beside the model in floating point.
    #[allow(dead_code, reason = "each test program uses a part of this module")]
    pub fn evaluation(&self, length: usize) -> Evaluation {
        Evaluation::new(&self.config, self, length, &self.options(length)).unwrap_or_else(|e| panic!("{e}"))
    }
}

impl Tensors for Fixture {
    fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    fn rows(&self, name: &str) -> Option<usize> {
        self.tensors.get(name).map(|(shape, ..)| shape[0])
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LanguageError> {
        let (own, scale, offset) = self.tensors.get(name).ok_or_else(|| LanguageError::Missing(name.into()))?;
        if own != shape {
            let (expected, found) = (format!("shape {shape:?}"), format!("{own:?}"));
            return Err(FormatError::new("fixture", name, expected, found).into());
        }
        let seed = name.bytes().fold(2_166_136_261u32, |h, b| (h ^ u32::from(b)).wrapping_mul(16_777_619));
        let value = |i: usize| {
            let mut h = seed ^ (i as u32).wrapping_mul(0x9E37_79B1);
            h ^= h >> 16;
            h = h.wrapping_mul(0x85EB_CA6B);
            h ^= h >> 13;
            ((f64::from(h) / 4_294_967_296.0 - 0.5) * scale + offset) as f32
        };
        Ok((0..shape.iter().product()).map(value).collect())
    }
}
