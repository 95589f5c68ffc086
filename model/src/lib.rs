//! From models in files to the integer graph that is proved: import, quantise, execute, partition.
//!
//! `float` is the model in real numbers, `lower` turns it into [`verifier::graph::Graph`], `executor` computes that.
//! Nothing here prints, reads files or knows how a proof works.
#![forbid(unsafe_code)]

mod cached;
mod executor;
mod float;
mod import;
pub mod language;
mod lower;
mod onnx;
mod partition;
mod quantise;
mod report;
mod scalar;
pub mod split;

pub use cached::{Cache, CacheError};
pub use executor::{ExecuteError, Values, execute};
pub use import::{ImportError, ImportOptions, Model, import_onnx};
pub use lower::builder::Overflow;
pub use onnx::proto as onnx_proto;
pub use partition::{PartitionError, Subgraphs, balanced, partition};
pub use quantise::{InputError, dequantise, quantise_input};
pub use report::{AccuracyReport, LayerAccuracy, OutputAccuracy};
