//! What a proof says: this model, on these inputs, gives these outputs; once, or for each input of a batch.

use crate::field::K;
use crate::generation;
use crate::graph::{Graph, Port, TensorId};
use crate::key::{ModelKey, PROTOCOL_VERSION};
use crate::multilinear::{self, axis_bits, eq_table};
use crate::sampling::{MAX_TEMPERATURE, Sampling};
use crate::transcript::Digest;
use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use p3_field::PrimeCharacteristicRing;
use thiserror::Error;

/// Public inputs and outputs of one run of the model: for each port its integers, row-major. Noise is named, not listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inference {
    /// In the order of the graph's inputs, those that are [given](Graph::given).
    pub inputs: Vec<Vec<i64>>,
    /// In the order of the graph's outputs.
    pub outputs: Vec<Vec<i64>>,
    /// How a model that samples draws its choices; without, it takes the most likely tokens.
    pub sampling: Option<Sampling>,
}

/// What one proof says: the inferences of a batch, at least one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Statement {
    /// In the order of the inputs that were asked for.
    pub inferences: Vec<Inference>,
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

impl Inference {
    /// Checks that every value fits its port's shape and interval in the graph of one inference.
    ///
    /// # Errors
    /// The first port that does not fit.
    pub fn check(&self, model: &Graph) -> Result<(), StatementError> {
        check_ports(model, "input", model.given(), &self.inputs)?;
        check_ports(model, "output", &model.outputs, &self.outputs)?;
        let fail = |problem| Err(StatementError { tensor: "sampling".into(), problem });
        match self.sampling {
            Some(_) if model.noise().is_none() => fail("the model does not sample".into()),
            Some(sampling) if !sampling.is_valid() => {
                fail(alloc::format!("temperature {} is not 1 to {MAX_TEMPERATURE} thousandths", sampling.temperature))
            }
            _ => Ok(()),
        }
    }

    /// Values of an input of the model's graph; noise is derived. `None` for another tensor, or if the inference does not fit the graph.
    pub fn input(&self, model: &Graph, tensor: TensorId) -> Option<Cow<'_, [i64]>> {
        if model.noise().is_some_and(|noise| noise.tensor == tensor) {
            // The second input of a model that samples is the position of the prompt's last token.
            let last = usize::try_from(*self.inputs.get(1)?.first()?).ok()?;
            return generation::noise(model, last, self.sampling).map(Cow::Owned);
        }
        let place = model.given().iter().position(|port| port.tensor == tensor)?;
        Some(Cow::Borrowed(self.inputs.get(place)?))
    }

    fn public(&self, model: &Graph, tensor: TensorId) -> Option<Cow<'_, [i64]>> {
        self.input(model, tensor).or_else(|| {
            let place = model.outputs.iter().position(|port| port.tensor == tensor)?;
            Some(Cow::Borrowed(self.outputs.get(place)?))
        })
    }

    /// A byte 0; or 1, seed and temperature.
    pub(crate) fn sampling_bytes(&self) -> Vec<u8> {
        let Some(Sampling { seed, temperature }) = self.sampling else { return alloc::vec![0] };
        [&[1][..], &seed.to_le_bytes(), &temperature.to_le_bytes()].concat()
    }
}

impl Statement {
    /// What a run on one input says.
    pub fn of(inference: Inference) -> Self {
        Self { inferences: alloc::vec![inference] }
    }

    /// Checks that there are as many inferences as the key is for, and that every one fits the model.
    ///
    /// # Errors
    /// The first port that does not fit.
    pub fn check(&self, key: &ModelKey) -> Result<(), StatementError> {
        let (found, expected) = (self.inferences.len(), key.batch_size());
        if found != expected {
            return Err(StatementError {
                tensor: "inferences".into(),
                problem: alloc::format!("{found} given, the key is for {expected}"),
            });
        }
        for (index, inference) in self.inferences.iter().enumerate() {
            let place = |error: StatementError| match self.inferences.len() {
                1 => error,
                _ => StatementError { tensor: alloc::format!("inference {index}, {}", error.tensor), ..error },
            };
            inference.check(key.model()).map_err(place)?;
        }
        Ok(())
    }

    /// The extension of a public tensor of the key's graph at some points: of the values of all inferences one after another, or, for an
    /// output that no input reaches, of those that all have. `None` for another tensor, or if the statement does not fit.
    pub fn evaluate(&self, key: &ModelKey, tensor: TensorId, points: &[&[K]]) -> Option<Vec<K>> {
        let model = key.model();
        let shape = &model.tensor(tensor).shape;
        if let Some(values) = self.common(key, tensor) {
            let values = values?;
            return Some(points.iter().map(|point| multilinear::evaluate(shape, &values, point)).collect());
        }
        let size = self.inferences.len();
        let split = points.iter().map(|point| point.split_at_checked(axis_bits(size)));
        let split = split.map(|parts| parts.map(|(of_inference, rest)| (eq_table(of_inference, size), rest)));
        let split = split.collect::<Option<Vec<_>>>()?;
        let mut sums = alloc::vec![K::ZERO; points.len()];
        // One inference at a time: noise is large.
        for (index, inference) in self.inferences.iter().enumerate() {
            let values = inference.public(model, tensor)?;
            for (sum, (weights, rest)) in sums.iter_mut().zip(&split) {
                *sum += weights[index] * multilinear::evaluate(shape, &values, rest);
            }
        }
        Some(sums)
    }

    /// The values themselves, which [`Self::evaluate`] extends.
    pub fn values(&self, key: &ModelKey, tensor: TensorId) -> Option<Cow<'_, [i64]>> {
        if let Some(values) = self.common(key, tensor) {
            return values;
        }
        let all = self.inferences.iter().map(|inference| inference.public(key.model(), tensor));
        Some(Cow::Owned(all.collect::<Option<Vec<_>>>()?.concat()))
    }

    /// Values that are not each inference's own, `None` inside if they differ; `None` for a tensor that has an axis of inferences.
    fn common(&self, key: &ModelKey, tensor: TensorId) -> Option<Option<Cow<'_, [i64]>>> {
        let model = key.model();
        if key.graph().tensor(tensor).shape != model.tensor(tensor).shape {
            return None;
        }
        let mut all = self.inferences.iter().map(|inference| inference.public(model, tensor));
        let first = all.next().flatten();
        Some(first.filter(|first| all.all(|other| other.as_ref() == Some(first))))
    }

    /// BLAKE3 over protocol version, model commitment, and for each inference inputs, outputs and sampling, lengths before lists.
    pub fn digest(&self, key: &ModelKey) -> Digest {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"proofmill/statement");
        hasher.update(&PROTOCOL_VERSION.to_le_bytes());
        hasher.update(&key.commitment());
        hasher.update(&(self.inferences.len() as u64).to_le_bytes());
        for inference in &self.inferences {
            for ports in [&inference.inputs, &inference.outputs] {
                hasher.update(&(ports.len() as u64).to_le_bytes());
                for values in ports {
                    hasher.update(&(values.len() as u64).to_le_bytes());
                    values.iter().for_each(|v| {
                        hasher.update(&v.to_le_bytes());
                    });
                }
            }
            hasher.update(&inference.sampling_bytes());
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
