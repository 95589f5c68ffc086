//! A checkpoint as these tests need it: `model.safetensors` of 32-bit floats, held in memory.

use model::language::{LanguageError, Tensors};
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::Path;

/// The tensors of a `model.safetensors` of 32-bit floats.
pub struct Checkpoint(BTreeMap<String, (Vec<usize>, Vec<f32>)>);

impl Checkpoint {
    pub fn load(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let length = u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes")) as usize;
        let header: Json = serde_json::from_slice(&bytes[8..][..length]).expect("the header is JSON");
        let data = &bytes[8 + length..];
        let number = |x: &Json| x.as_u64().expect("a number") as usize;
        let numbers = |x: &Json| x.as_array().expect("a list").iter().map(number).collect::<Vec<_>>();
        let tensors = header.as_object().expect("an object").iter().filter(|(name, _)| *name != "__metadata__");
        let tensor = |(name, t): (&String, &Json)| {
            let place = numbers(&t["data_offsets"]);
            let floats = data[place[0]..place[1]].as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
            (name.clone(), (numbers(&t["shape"]), floats.collect()))
        };
        Self(tensors.map(tensor).collect())
    }
}

impl Tensors for Checkpoint {
    fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn rows(&self, name: &str) -> Option<usize> {
        self.0.get(name).map(|(shape, _)| shape[0])
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LanguageError> {
        match self.0.get(name) {
            Some((own, data)) if own == shape => Ok(data.clone()),
            Some((own, _)) => {
                Err(LanguageError::Tensor(format!("tensor '{name}' has the shape {own:?}, not {shape:?}")))
            }
            None => Err(LanguageError::Missing(name.into())),
        }
    }
}
