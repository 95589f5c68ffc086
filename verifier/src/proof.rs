//! The one proof file: public values, the boundary commitment, one proof for each subgraph, one opening of the boundary.
//!
//! All integers little-endian; lengths before lists; nothing may follow the end.

use crate::sampling::Sampling;
use crate::statement::{Inference, Statement};
use crate::transcript::Digest;
use alloc::vec::Vec;
use thiserror::Error;

const MAGIC: &[u8; 8] = b"pm-prf\0\x04";

/// A proof, taken apart but not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// Commitment of the model that it claims to be about.
    pub model: Digest,
    /// Public values.
    pub statement: Statement,
    /// Commitment to the boundary tensors, if the partition has any.
    pub boundary: Option<Digest>,
    /// One for each subgraph.
    pub subgraphs: Vec<Vec<u8>>,
    /// Opening of the boundary.
    pub opening: Vec<u8>,
}

/// Bytes that are not a proof file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a proof of this version: {0}")]
pub struct ProofFormatError(&'static str);

impl Proof {
    /// The proof's only encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&self.model);
        put_len(&mut out, self.statement.inferences.len());
        for inference in &self.statement.inferences {
            for ports in [&inference.inputs, &inference.outputs] {
                put_len(&mut out, ports.len());
                for values in ports {
                    put_len(&mut out, values.len());
                    values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
                }
            }
            out.extend_from_slice(&inference.sampling_bytes());
        }
        out.push(self.boundary.is_some().into());
        self.boundary.iter().for_each(|root| out.extend_from_slice(root));
        put_len(&mut out, self.subgraphs.len());
        for bytes in self.subgraphs.iter().chain([&self.opening]) {
            put_len(&mut out, bytes.len());
            out.extend_from_slice(bytes);
        }
        out
    }

    /// Takes a proof apart.
    ///
    /// # Errors
    /// If the bytes are not exactly one proof.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProofFormatError> {
        let mut rest = bytes.strip_prefix(MAGIC).ok_or(ProofFormatError("it does not begin like one"))?;
        let model = *take(&mut rest)?;
        // Two counts of ports and a flag at least.
        let count = len(&mut rest, 17)?;
        let inferences = (0..count).map(|_| take_inference(&mut rest)).collect::<Result<_, _>>()?;
        let statement = Statement { inferences };
        let boundary = if flag(&mut rest)? { Some(*take(&mut rest)?) } else { None };
        let count = len(&mut rest, 8)?;
        let mut blob = || -> Result<Vec<u8>, ProofFormatError> {
            let n = len(&mut rest, 1)?;
            let (head, tail) = rest.split_at_checked(n).ok_or(TOO_SHORT)?;
            rest = tail;
            Ok(head.to_vec())
        };
        let subgraphs = (0..count).map(|_| blob()).collect::<Result<_, _>>()?;
        let opening = blob()?;
        if !rest.is_empty() {
            return Err(ProofFormatError("bytes follow its end"));
        }
        Ok(Self { model, statement, boundary, subgraphs, opening })
    }
}

fn take_inference(rest: &mut &[u8]) -> Result<Inference, ProofFormatError> {
    let mut ports = || -> Result<Vec<Vec<i64>>, ProofFormatError> {
        let count = len(rest, 8)?;
        let mut ports = Vec::with_capacity(count);
        for _ in 0..count {
            let n = len(rest, 8)?;
            let values = (0..n).map(|_| take(rest).map(|b| i64::from_le_bytes(*b)));
            ports.push(values.collect::<Result<_, _>>()?);
        }
        Ok(ports)
    };
    let (inputs, outputs) = (ports()?, ports()?);
    let sampling = match flag(rest)? {
        false => None,
        true => {
            Some(Sampling { seed: u64::from_le_bytes(*take(rest)?), temperature: u32::from_le_bytes(*take(rest)?) })
        }
    };
    Ok(Inference { inputs, outputs, sampling })
}

const TOO_SHORT: ProofFormatError = ProofFormatError("it is too short");

fn put_len(out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(&(len as u64).to_le_bytes());
}

fn take<'a, const N: usize>(rest: &mut &'a [u8]) -> Result<&'a [u8; N], ProofFormatError> {
    let (head, tail) = rest.split_first_chunk().ok_or(TOO_SHORT)?;
    *rest = tail;
    Ok(head)
}

fn flag(rest: &mut &[u8]) -> Result<bool, ProofFormatError> {
    match take::<1>(rest)? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(ProofFormatError("a flag is neither 0 nor 1")),
    }
}

/// A length of items of at least `size` bytes, so that nothing is allocated that the input does not hold.
fn len(rest: &mut &[u8], size: usize) -> Result<usize, ProofFormatError> {
    let n = u64::from_le_bytes(*take(rest)?);
    usize::try_from(n).ok().filter(|&n| n <= rest.len() / size).ok_or(TOO_SHORT)
}
