//! Files to read, and how to write them.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use formats::{FormatError, Weights};

pub fn reference(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference").join(name)
}

/// A file or folder that `tests/reference/fetch.py` fetches; `None`, with the reason printed, where it is absent.
pub fn fetched(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("PROOFMILL_MODELS").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/models"));
    present(folder.join(name))
}

/// A file or folder beside the repository.
pub fn shared(name: &str) -> Option<PathBuf> {
    present(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data").join(name))
}

fn present(path: PathBuf) -> Option<PathBuf> {
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is absent", path.display());
    None
}

pub fn read(weights: &Weights, name: &str) -> Result<Vec<f32>, FormatError> {
    let shape = weights.get(name).map_or(Vec::new(), |tensor| tensor.shape.clone());
    weights.read(name, &shape)
}

/// A value of GGUF's metadata.
#[derive(Clone)]
pub enum Meta {
    U32(u32),
    Bool(bool),
    Text(String),
    Texts(Vec<String>),
    I32s(Vec<i32>),
    F32s(Vec<f32>),
}

/// A GGUF file with metadata and F32 tensors.
#[derive(Clone, Default)]
pub struct GgufFile {
    pub metadata: Vec<(String, Meta)>,
    /// Name, shape with the outermost axis first, numbers.
    pub tensors: Vec<(String, Vec<u64>, Vec<f32>)>,
}

impl GgufFile {
    pub fn with(mut self, key: &str, value: Meta) -> Self {
        self.metadata.push((key.into(), value));
        self
    }

    pub fn tensor(mut self, name: &str, shape: &[u64], numbers: &[f32]) -> Self {
        self.tensors.push((name.into(), shape.to_vec(), numbers.to_vec()));
        self
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut out = b"GGUF\x03\0\0\0".to_vec();
        out.extend((self.tensors.len() as u64).to_le_bytes());
        out.extend((self.metadata.len() as u64).to_le_bytes());
        for (key, value) in &self.metadata {
            text(&mut out, key);
            value.write(&mut out);
        }
        let mut offset = 0u64;
        for (name, shape, numbers) in &self.tensors {
            text(&mut out, name);
            out.extend((shape.len() as u32).to_le_bytes());
            shape.iter().rev().for_each(|axis| out.extend(axis.to_le_bytes()));
            out.extend(0u32.to_le_bytes());
            out.extend(offset.to_le_bytes());
            offset = (offset + numbers.len() as u64 * 4).next_multiple_of(32);
        }
        for (_, _, numbers) in &self.tensors {
            out.resize(out.len().next_multiple_of(32), 0);
            numbers.iter().for_each(|x| out.extend(x.to_le_bytes()));
        }
        out
    }
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

impl Meta {
    fn write(&self, out: &mut Vec<u8>) {
        let list = |out: &mut Vec<u8>, kind: u32, length: usize| {
            out.extend(9u32.to_le_bytes());
            out.extend(kind.to_le_bytes());
            out.extend((length as u64).to_le_bytes());
        };
        match self {
            Self::U32(x) => {
                out.extend(4u32.to_le_bytes());
                out.extend(x.to_le_bytes());
            }
            Self::Bool(x) => {
                out.extend(7u32.to_le_bytes());
                out.push(u8::from(*x));
            }
            Self::Text(x) => {
                out.extend(8u32.to_le_bytes());
                text(out, x);
            }
            Self::Texts(x) => {
                list(out, 8, x.len());
                x.iter().for_each(|x| text(out, x));
            }
            Self::I32s(x) => {
                list(out, 5, x.len());
                x.iter().for_each(|x| out.extend(x.to_le_bytes()));
            }
            Self::F32s(x) => {
                list(out, 6, x.len());
                x.iter().for_each(|x| out.extend(x.to_le_bytes()));
            }
        }
    }
}
