//! `verify`: accept or reject a proof, say what it says, and how sure that is.

use std::{fs, path::Path, process::ExitCode, time::Instant};

use anyhow::{Context, Result, bail};
use crds::Temperature;
use formats::Tokenizer;
use kernels::Ints;
use serde_json::{Value, json};
use verifier::{
    Verified,
    generation::{Generated, Generation},
    graph::{Graph, Interface, Port},
    key::ModelKey,
    sampling::Sampling,
    statement::Inference,
};

use crate::{args::VerifyArgs, format};

/// Most values of a tensor that are printed.
const SHOWN: usize = 16;

/// Verifies a proof. Rejection is exit code 1.
pub fn verify(args: &VerifyArgs) -> Result<ExitCode> {
    let key = read_key(&args.model)?;
    let tokenizer = args.tokenizer.as_ref().map(|path| read_tokenizer(&key, path)).transpose()?;
    let proof = fs::read(&args.proof).with_context(|| format!("cannot read {}", args.proof.display()))?;
    let begun = Instant::now();
    let verdict = verifier::verify(&key, &proof);
    let seconds = begun.elapsed().as_secs_f64();
    match verdict {
        Ok(verified) if args.json => {
            println!("{}", accepted_json(&key, &verified, tokenizer.as_ref(), proof.len(), seconds)?);
        }
        Ok(verified) => print!("{}", accepted(&key, &verified, tokenizer.as_ref(), proof.len(), seconds)?),
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

/// Reads the tokenizer that a key names.
fn read_tokenizer(key: &ModelKey, path: &Path) -> Result<Tokenizer> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let Interface::Generation(Generation { tokenizer: Some(digest), .. }) = key.graph().interface else {
        bail!("--tokenizer {}: the model key names no tokenizer", path.display());
    };
    if blake3::hash(&bytes) != digest {
        bail!("--tokenizer {}: this is not the tokenizer that the model key names", path.display());
    }
    Ok(Tokenizer::from_bytes(&path.display().to_string(), &bytes)?)
}

/// Prompt and answer, as texts if the tokenizer is there.
fn texts(generated: &Generated, tokenizer: Option<&Tokenizer>) -> Result<Option<[String; 2]>> {
    let Some(tokenizer) = tokenizer else { return Ok(None) };
    Ok(Some([tokenizer.decode(&generated.prompt)?, tokenizer.decode(&generated.answer)?]))
}

fn accepted(
    key: &ModelKey,
    verified: &Verified,
    tokenizer: Option<&Tokenizer>,
    bytes: usize,
    seconds: f64,
) -> Result<String> {
    let graph = key.graph();
    let ports = |title: &str, ports: &[Port], values: &[Vec<i64>]| {
        let describe = |(port, integers): (&Port, &Vec<i64>)| describe(graph, title, port, integers);
        ports.iter().zip(values).map(describe).collect::<String>()
    };
    let mut says = String::new();
    for (index, inference) in verified.inferences.iter().enumerate() {
        if verified.inferences.len() > 1 {
            says += &format!("\ninput {index}\n");
        }
        says += &match verified.generated.get(index) {
            Some(generated) => conversation(generated, inference.sampling, tokenizer)?,
            None => {
                text(graph, inference).unwrap_or_else(|| ports("on input", &graph.inputs, &inference.inputs))
                    + &ports("gives output", &graph.outputs, &inference.outputs)
            }
        };
    }
    Ok(format!(
        "accepted in {} ({}, {} subgraphs)\n\nThe model {}\n{says}\nWhile BLAKE3 behaves as a random oracle (a collision costs 2^128), false with a probability of at most 2^-{:.1}, \
         the sum of\n{}\n",
        format::seconds(seconds),
        format::bytes(bytes as u64),
        key.partition().count,
        commitment(key),
        verified.soundness.total_bits,
        verified.soundness,
    ))
}

/// The tokens of an encoder's text: what follows them in the sequence counts for nothing.
fn text(graph: &Graph, inference: &Inference) -> Option<String> {
    ::model::language::longest_text(graph)?;
    let [sequence, last] = &inference.inputs[..] else { return None };
    let tokens = sequence.get(..=usize::try_from(*last.first()?).ok()?)?;
    let shown = tokens.iter().map(i64::to_string).collect::<Vec<_>>().join(" ");
    Some(format!("on the text ({} tokens)\n{}\n", tokens.len(), format::indented(&shown)))
}

fn conversation(generated: &Generated, sampling: Option<Sampling>, tokenizer: Option<&Tokenizer>) -> Result<String> {
    let Generated { prompt, answer } = generated;
    let [given, said] = match texts(generated, tokenizer)? {
        Some(texts) => texts,
        None => [prompt, answer].map(|tokens| tokens.iter().map(u32::to_string).collect::<Vec<_>>().join(" ")),
    };
    let chosen = match sampling {
        None => "each the most likely one".into(),
        Some(Sampling { seed, temperature }) => {
            format!("each drawn with seed {seed} at temperature {}", Temperature(temperature))
        }
    };
    Ok(format!(
        "after the prompt ({} tokens)\n{}\nanswers ({} tokens, {chosen})\n{}\n",
        prompt.len(),
        format::indented(&given),
        answer.len(),
        format::indented(&said),
    ))
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

fn accepted_json(
    key: &ModelKey,
    verified: &Verified,
    tokenizer: Option<&Tokenizer>,
    bytes: usize,
    seconds: f64,
) -> Result<Value> {
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
    let inference = |(index, inference): (usize, &Inference)| {
        let generation = verified.generated.get(index).map(|generated| {
            let texts = texts(generated, tokenizer)?;
            let [prompt, answer] = texts.map_or([None, None], |texts| texts.map(Some));
            anyhow::Ok(json!({
                "prompt": { "tokens": generated.prompt, "text": prompt },
                "answer": { "tokens": generated.answer, "text": answer },
                "sampling": inference.sampling.map(|sampling| {
                    json!({ "seed": sampling.seed, "temperature": Temperature(sampling.temperature) })
                }),
            }))
        });
        anyhow::Ok(json!({
            "generation": generation.transpose()?,
            "inputs": ports(&graph.inputs, &inference.inputs),
            "outputs": ports(&graph.outputs, &inference.outputs),
        }))
    };
    Ok(json!({
        "accepted": true,
        "inferences": verified.inferences.iter().enumerate().map(inference).collect::<Result<Vec<_>>>()?,
        "model": commitment(key),
        "subgraphs": key.partition().count,
        "soundness": { "bits": verified.soundness.total_bits, "terms": terms },
        "bytes": bytes,
        "seconds": seconds,
    }))
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
