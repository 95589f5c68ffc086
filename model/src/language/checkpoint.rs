//! A checkpoint as a model: its hyperparameters in this crate's terms, and its tensors by name.

use super::{Config, LanguageError, Tensors};
use formats::{Checkpoint, Layout, Weights};

/// What [`super::import`] and [`super::Reference`] need of a checkpoint. Tensors are decoded when they are read.
///
/// # Errors
/// If the checkpoint is of another architecture, or one of its hyperparameters is missing or not supported.
pub fn open(checkpoint: &Checkpoint) -> Result<(Config, Box<dyn Tensors>), LanguageError> {
    let weights = &checkpoint.weights;
    let config = match checkpoint.layout {
        Layout::HuggingFace => Config::from_hugging_face(&checkpoint.config)?,
        Layout::Gguf => Config::from_gguf(&checkpoint.config, weights)?,
    };
    Ok((config, Box::new(weights.clone())))
}

impl Tensors for Weights {
    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn rows(&self, name: &str) -> Option<usize> {
        self.get(name).and_then(|tensor| tensor.shape.first().copied())
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, LanguageError> {
        Ok(Weights::read(self, name, shape)?)
    }
}
