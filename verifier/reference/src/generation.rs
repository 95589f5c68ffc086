//! Section 10: the public values of a model that generates are a prompt and the answer that the model chose.

use crate::error::Error;
use crate::file::Inference;
use crate::graph::{Graph, Interface};
use crate::sampling;

/// The rule that ports must keep: the sequence `[length]`, the prompt's last position `[1]`, the choices `[answers]`.
pub fn check(graph: &Graph) -> Result<(), Error> {
    let Interface::Generation(_) = graph.interface else { return Ok(()) };
    let fail = || Error::Key("ports: they are not those of a model that generates".into());
    let (noise, given) = graph.noise_and_given();
    let ([sequence, last], [choices]) = (given, graph.outputs.as_slice()) else { return Err(fail()) };
    let whole = [sequence.exponent, last.exponent, choices.exponent] == [0, 0, 0];
    let (sequence, last, choices) =
        (graph.tensor(sequence.tensor)?, graph.tensor(last.tensor)?, graph.tensor(choices.tensor)?);
    let (&[length], &[1], &[answers]) = (sequence.shape.as_slice(), last.shape.as_slice(), choices.shape.as_slice())
    else {
        return Err(fail());
    };
    let places = length.checked_sub(answers).is_some_and(|places| i64::try_from(places) == Ok(last.hi)) && last.lo == 0;
    let tokens = sequence.lo == 0 && sequence.hi >= 1 && sequence.hi <= i64::from(u32::MAX);
    let mut fits = whole && places && tokens && choices.lo >= 0 && choices.hi <= sequence.hi;
    if let Some(port) = noise {
        let noise = graph.tensor(port.tensor)?;
        let shaped = noise.shape.len() == 2
            && noise.shape.first() == Some(&answers)
            && noise.shape.last().map(|&v| v as u64) == u64::try_from(sequence.hi + 1).ok();
        fits = fits && shaped && (0..=40).contains(&port.exponent);
        if fits {
            let (lo, hi) = sampling::range(port.exponent);
            fits = noise.lo <= lo && noise.hi >= hi;
        }
    }
    if fits { Ok(()) } else { Err(fail()) }
}

/// The values of the noise, if the model samples: zeros if the statement draws nothing.
pub fn noise(graph: &Graph, inference: &Inference) -> Result<Vec<i64>, Error> {
    let (Some(port), _) = graph.noise_and_given() else { return Ok(Vec::new()) };
    let fail = Error::Internal("the noise of a model that samples");
    let [rows, vocabulary] = graph.tensor(port.tensor)?.shape[..] else { return Err(fail) };
    let Some(&last) = inference.inputs.get(1).and_then(|last| last.first()) else { return Err(fail) };
    Ok(match inference.sampling {
        None => vec![0; rows * vocabulary],
        Some(sampling) => sampling::noise(sampling, last, rows, vocabulary, port.exponent),
    })
}

/// The tokens that the model chose: the only answer of which the sequence is prompt, answer without its last token, then (as far as there is
/// room) a token other than that, 0 unless it is 0, and zeros.
pub fn answer(graph: &Graph, inference: &Inference) -> Result<Vec<i64>, Error> {
    let Interface::Generation(_) = graph.interface else { return Ok(Vec::new()) };
    let fail = Error::Internal("the ports of a model that generates");
    let ([sequence, last], [choices]) = (inference.inputs.as_slice(), inference.outputs.as_slice()) else {
        return Err(fail);
    };
    let last = last.first().and_then(|&last| usize::try_from(last).ok());
    let Some((_, rest)) = last.and_then(|last| sequence.split_at_checked(last + 1)) else { return Err(fail) };
    for count in 1..=choices.len() {
        let answer: Vec<i64> = choices.iter().take(count).copied().collect();
        let Some((&end, read)) = answer.split_last() else { return Err(fail) };
        let mut expected = read.to_vec();
        expected.push(i64::from(end == 0));
        expected.resize(rest.len().max(count), 0);
        if rest.iter().zip(&expected).all(|(a, b)| a == b) && rest.len() + 1 >= count {
            return Ok(answer);
        }
    }
    Err(Error::Generation("the sequence does not follow the model's choices"))
}
