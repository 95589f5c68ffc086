//! What a proof says: this model, on these inputs, gives these outputs.

use crate::generation;
use crate::graph::{Graph, Port, TensorId};
use crate::key::{ModelKey, PROTOCOL_VERSION};
use crate::sampling::{MAX_TEMPERATURE, Sampling};
use crate::transcript::Digest;
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use thiserror::Error;

/// Public inputs and outputs: for each port its integers, row-major. Noise is named, not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// In the order of the graph's inputs, those that are [given](Graph::given).
    pub inputs: Vec<Vec<i64>>,
    /// In the order of the graph's outputs.
    pub outputs: Vec<Vec<i64>>,
    /// How a model that samples draws its choices; without, it takes the most likely tokens.
    pub sampling: Option<Sampling>,
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
        check_ports(graph, "input", graph.given(), &self.inputs)?;
        check_ports(graph, "output", &graph.outputs, &self.outputs)?;
        let fail = |problem| Err(StatementError { tensor: "sampling".into(), problem });
        match self.sampling {
            Some(_) if graph.noise().is_none() => fail("the model does not sample".into()),
            Some(sampling) if !sampling.is_valid() => {
                fail(alloc::format!("temperature {} is not 1 to {MAX_TEMPERATURE} thousandths", sampling.temperature))
            }
            _ => Ok(()),
        }
    }

    /// Values of an input of the graph; noise is derived. `None` for another tensor, or if the statement does not fit the graph.
    pub fn input(&self, graph: &Graph, tensor: TensorId) -> Option<Cow<'_, [i64]>> {
        if graph.noise().is_some_and(|noise| noise.tensor == tensor) {
            // The second input of a model that samples is the position of the prompt's last token.
            let last = usize::try_from(*self.inputs.get(1)?.first()?).ok()?;
            return generation::noise(graph, last, self.sampling).map(Cow::Owned);
        }
        let place = graph.given().iter().position(|port| port.tensor == tensor)?;
        Some(Cow::Borrowed(self.inputs.get(place)?))
    }

    /// BLAKE3 over protocol version, model commitment, inputs and outputs, lengths before lists, and the sampling.
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
        hasher.update(&self.sampling_bytes());
        *hasher.finalize().as_bytes()
    }

    /// A byte 0; or 1, seed and temperature.
    pub(crate) fn sampling_bytes(&self) -> Vec<u8> {
        let Some(Sampling { seed, temperature }) = self.sampling else { return alloc::vec![0] };
        [&[1][..], &seed.to_le_bytes(), &temperature.to_le_bytes()].concat()
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
