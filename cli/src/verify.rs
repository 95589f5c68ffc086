//! `verify`: accept or reject a proof, say what it says, and how sure that is.

use std::{fs, path::Path, process::ExitCode, time::Instant};

use anyhow::{Context, Result};
use kernels::Ints;
use serde_json::{Value, json};
use verifier::{
    Verified,
    graph::{Graph, Port},
    key::ModelKey,
};

use crate::{args::VerifyArgs, format};

/// Most values of a tensor that are printed.
const SHOWN: usize = 16;

/// Verifies a proof. Rejection is exit code 1.
pub fn verify(args: &VerifyArgs) -> Result<ExitCode> {
    let key = read_key(&args.model)?;
    let proof = fs::read(&args.proof).with_context(|| format!("cannot read {}", args.proof.display()))?;
    let begun = Instant::now();
    let verdict = verifier::verify(&key, &proof);
    let seconds = begun.elapsed().as_secs_f64();
    match verdict {
        Ok(verified) if args.json => println!("{}", accepted_json(&key, &verified, proof.len(), seconds)),
        Ok(verified) => print!("{}", accepted(&key, &verified, proof.len(), seconds)),
        Err(error) if args.json => {
            println!("{}", json!({ "accepted": false, "reason": error.to_string() }));
            return Ok(ExitCode::FAILURE);
        }
        Err(error) => {
            println!("rejected: {error}");
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a model key.
pub fn read_key(path: &Path) -> Result<ModelKey> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    ModelKey::from_bytes(&bytes).with_context(|| path.display().to_string())
}

fn accepted(key: &ModelKey, verified: &Verified, bytes: usize, seconds: f64) -> String {
    let graph = key.graph();
    let ports = |title: &str, ports: &[Port], values: &[Vec<i64>]| {
        let describe = |(port, integers): (&Port, &Vec<i64>)| describe(graph, title, port, integers);
        ports.iter().zip(values).map(describe).collect::<String>()
    };
    format!(
        "accepted in {} ({}, {} subgraphs)\n\nThe model {}\n{}{}\nWhile BLAKE3 behaves as a random oracle (a collision costs 2^128), false with a probability of at most 2^-{:.1}, \
         the sum of\n{}\n",
        format::seconds(seconds),
        format::bytes(bytes as u64),
        key.partition().count,
        commitment(key),
        ports("on input", &graph.inputs, &verified.inputs),
        ports("gives output", &graph.outputs, &verified.outputs),
        verified.soundness.total_bits,
        verified.soundness,
    )
}

fn describe(graph: &Graph, title: &str, port: &Port, integers: &[i64]) -> String {
    let tensor = graph.tensor(port.tensor);
    let shape = tensor.shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x");
    let class = class(&tensor.shape, integers).map_or(String::new(), |class| format!(": class {class}"));
    let reals = reals(port, integers);
    let shown = reals.iter().take(SHOWN).map(|value| format!("{value:.4}")).collect::<Vec<_>>().join(" ");
    let more = if reals.len() > SHOWN { format!(" .. ({} values)", reals.len()) } else { String::new() };
    format!("{title} {} ({shape}){class}\n  {shown}{more}\n", tensor.name)
}

fn accepted_json(key: &ModelKey, verified: &Verified, bytes: usize, seconds: f64) -> Value {
    let graph = key.graph();
    let ports = |ports: &[Port], values: &[Vec<i64>]| -> Vec<Value> {
        let describe = |(port, integers): (&Port, &Vec<i64>)| {
            let tensor = graph.tensor(port.tensor);
            json!({
                "name": tensor.name,
                "shape": tensor.shape,
                "class": class(&tensor.shape, integers),
                "integers": integers,
                "exponent": port.exponent,
            })
        };
        ports.iter().zip(values).map(describe).collect()
    };
    let terms: Vec<_> = verified
        .soundness
        .terms
        .iter()
        .map(|term| json!({ "name": term.name, "source": term.source, "bits": term.bits }))
        .collect();
    json!({
        "accepted": true,
        "model": commitment(key),
        "subgraphs": key.partition().count,
        "inputs": ports(&graph.inputs, &verified.inputs),
        "outputs": ports(&graph.outputs, &verified.outputs),
        "soundness": { "bits": verified.soundness.total_bits, "terms": terms },
        "bytes": bytes,
        "seconds": seconds,
    })
}

/// The largest score's position, the smallest such, if the output is one row.
fn class(shape: &[usize], scores: &[i64]) -> Option<usize> {
    let is_row = scores.len() > 1 && shape.last() == Some(&scores.len());
    let largest = scores.iter().enumerate().rev().max_by_key(|&(_, score)| score).map(|(class, _)| class);
    largest.filter(|_| is_row)
}

fn reals(port: &Port, integers: &[i64]) -> Vec<f64> {
    ::model::dequantise(port.exponent, &Ints::from(integers.to_vec()))
}

/// The model commitment, in hexadecimal.
pub fn commitment(key: &ModelKey) -> String {
    crds::Digest(key.commitment()).to_string()
}
