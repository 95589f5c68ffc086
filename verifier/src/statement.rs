//! What a proof says: this model, on these inputs, gives these outputs.

use crate::graph::{Graph, Port};
use crate::key::{ModelKey, PROTOCOL_VERSION};
use crate::transcript::Digest;
use alloc::string::String;
use alloc::vec::Vec;
use thiserror::Error;

/// Public inputs and outputs: for each port its integers, row-major.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// In the order of the graph's inputs.
    pub inputs: Vec<Vec<i64>>,
    /// In the order of the graph's outputs.
    pub outputs: Vec<Vec<i64>>,
}

/// Public values that do not fit the model.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{tensor}: {problem}")]
pub struct StatementError {
    /// The input or output.
    pub tensor: String,
    /// What is wrong.
    pub problem: String,
}

impl Statement {
    /// Checks that every value fits its port's shape and interval.
    ///
    /// # Errors
    /// The first port that does not fit.
    pub fn check(&self, graph: &Graph) -> Result<(), StatementError> {
        check_ports(graph, "input", &graph.inputs, &self.inputs)?;
        check_ports(graph, "output", &graph.outputs, &self.outputs)
    }

    /// BLAKE3 over protocol version, model commitment, inputs and outputs, lengths before lists.
    pub fn digest(&self, key: &ModelKey) -> Digest {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"proofmill/statement");
        hasher.update(&PROTOCOL_VERSION.to_le_bytes());
        hasher.update(&key.commitment());
        for ports in [&self.inputs, &self.outputs] {
            hasher.update(&(ports.len() as u64).to_le_bytes());
            for values in ports {
                hasher.update(&(values.len() as u64).to_le_bytes());
                values.iter().for_each(|v| {
                    hasher.update(&v.to_le_bytes());
                });
            }
        }
        *hasher.finalize().as_bytes()
    }
}

fn check_ports(graph: &Graph, kind: &str, ports: &[Port], values: &[Vec<i64>]) -> Result<(), StatementError> {
    let fail = |tensor: &str, problem: String| Err(StatementError { tensor: tensor.into(), problem });
    if ports.len() != values.len() {
        return fail(kind, alloc::format!("{} given, the model has {}", values.len(), ports.len()));
    }
    for (port, values) in ports.iter().zip(values) {
        let tensor = graph.tensor(port.tensor);
        if tensor.len() != values.len() {
            return fail(&tensor.name, alloc::format!("{} values for shape {:?}", values.len(), tensor.shape));
        }
        if let Some(v) = values.iter().find(|v| !(tensor.lo..=tensor.hi).contains(v)) {
            return fail(&tensor.name, alloc::format!("value {v} is outside {}..={}", tensor.lo, tensor.hi));
        }
    }
    Ok(())
}
