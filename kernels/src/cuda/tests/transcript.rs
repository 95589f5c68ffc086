//! The transcript on the device: where words are passed over, which challenges below the modulus hardly ever show; and where it is not
//! the host's.

use crate::cuda::emulator::device_under_test;
use crate::cuda::launch::Grid;
use crate::cuda::transcript::replay;
use crate::cuda::vectors::WORDS;
use crate::error::{DeviceError, attempt};
use p3_field::PrimeCharacteristicRing;
use verifier::field::K;
use verifier::transcript::{Transcript, Writer};

const BOUND: u64 = 1 << 63;

/// What `transcript_ops` computes, from the definition of the transcript.
fn draws(mut pending: Vec<u8>, elements: &[u64], count: usize) -> Vec<u64> {
    let mut drawn = Vec::new();
    for message in elements.chunks(WORDS * count) {
        pending.extend(message.iter().flat_map(|word| word.to_le_bytes()));
        let mut challenge = Vec::new();
        while challenge.len() < WORDS {
            let digest = *blake3::hash(&pending).as_bytes();
            pending = digest.to_vec();
            // Bytes are drawn from the digest's end, a word's lowest first.
            let words = digest.rchunks(8).map(|bytes| bytes.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)));
            challenge.extend(words.filter(|&word| word < BOUND));
        }
        drawn.extend(&challenge[..WORDS]);
    }
    drawn
}

#[test]
fn words_beyond_the_bound_are_passed_over() {
    let Some(cuda) = device_under_test() else { return };
    let gpu = cuda.gpu();
    let (count, rounds) = (2, 40);
    let elements: Vec<u64> = (1..=(WORDS * count * rounds) as u64).map(|i| i.pow(5) << 20).collect();
    for pending in [0, 5, 32, 3000] {
        let bytes = vec![7; pending];
        let mut state = vec![pending as u64];
        state.extend(bytes.chunks(8).map(|part| part.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte))));
        state.resize(state.len().max(5) + WORDS * count + 1, 0);
        let (state, uploaded, out) = (gpu.upload(&state), gpu.upload(&elements), gpu.allocate(WORDS * rounds));
        let [transcript, from, to] = [&state, &uploaded, &out].map(|memory| gpu.pointer(memory));
        gpu.transcript_ops(Grid { blocks: 1, rows: 1 }, transcript, from, count as u32, rounds as u32, to);
        assert_eq!(gpu.download::<u64>(&out, WORDS * rounds), draws(bytes, &elements, count));
    }
}

#[test]
fn a_device_that_draws_other_challenges_is_not_believed() {
    let Some(cuda) = device_under_test() else { return };
    let messages = [1, 2, 3, 4].map(K::from_u64);
    let mut host = Writer::new("test");
    let challenges: Vec<K> = messages
        .chunks(2)
        .map(|message| {
            host.write_all(message);
            host.challenge()
        })
        .collect();
    let played = |messages: &[K], challenges: &[K]| {
        let mut transcript = Writer::new("test");
        attempt(|| replay(cuda.gpu(), &mut transcript, messages, 2, challenges)).map(|()| transcript.finish())
    };
    let wrong = DeviceError::Wrong { gpu: cuda.name().to_owned() };
    assert_eq!(played(&messages, &challenges), Ok(host.finish()));
    assert!(wrong.is_passing(), "another device may compute rightly");
    for place in 0..messages.len() {
        let mut messages = messages;
        messages[place] += K::ONE;
        assert_eq!(played(&messages, &challenges), Err(wrong.clone()));
    }
    assert_eq!(played(&messages, &[challenges[0], challenges[0]]), Err(wrong));
}
