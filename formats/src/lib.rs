//! Readers for the files in which language models are published: safetensors with `config.json`, and GGUF; and their tokenizers.
//!
//! Files are untrusted: every length is bounded by the file, and what is wrong is said with file, place, expected and found.
//! Weights come out as `f32` whatever their encoding; what they mean is for the importer to know.

mod checkpoint;
mod config;
mod dequantise;
mod encoding;
mod error;
pub mod gguf;
pub mod safetensors;
mod source;
mod tokenizer;
mod weights;

pub use checkpoint::{Checkpoint, Layout, open, open_files};
pub use config::{Config, Value};
pub use encoding::Encoding;
pub use error::FormatError;
pub use source::Source;
pub use tokenizer::{Stream, Tokenizer};
pub use weights::{TensorInfo, Weights};
