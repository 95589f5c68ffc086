//! The transcript on the device: see `transcript.cuh`. The host plays the rounds again, and is the one that is believed.

use super::gpu::Gpu;
use super::launch::Pointer;
use super::vectors::{Elements, WORDS};
use crate::error::DeviceError;
use verifier::field::K;
use verifier::transcript::{Transcript, Writer};

/// The transcript as kernels have it, with room for a message of so many elements and no more until the next challenge.
pub fn state(transcript: &mut Writer, message: usize) -> Vec<u64> {
    let pending = transcript.challenger().pending();
    let mut state = vec![pending.len() as u64];
    state.extend(pending.chunks(size_of::<u64>()).map(|bytes| {
        let mut word = [0; size_of::<u64>()];
        word[..bytes.len()].copy_from_slice(bytes);
        u64::from_le_bytes(word)
    }));
    // From the first digest on, that and a message; before, what is pending and a message, of which the last word may be split.
    state.resize(
        state.len().max(1 + size_of::<verifier::transcript::Digest>() / size_of::<u64>()) + WORDS * message + 1,
        0,
    );
    state
}

/// Writes the messages of rounds that the device has played, of `degree` elements each, and gives up if its challenges are others.
pub fn replay(gpu: &Gpu, transcript: &mut Writer, messages: &[K], degree: usize, challenges: &[K]) {
    for (message, &challenge) in messages.chunks(degree).zip(challenges) {
        transcript.write_all(message);
        if transcript.challenge() != challenge {
            DeviceError::Wrong { gpu: gpu.name().to_owned() }.give_up();
        }
    }
}

/// What the rounds of a sumcheck leave on the device: their messages, their challenges, and values at the point that these make.
pub struct Played {
    out: Elements,
    variables: usize,
    degree: usize,
}

impl Played {
    /// Room for a round of `degree` elements for each variable, and for so many values.
    pub fn new(gpu: &Gpu, variables: usize, degree: usize, values: usize) -> Self {
        Self { out: gpu.elements(variables * (degree + 1) + values), variables, degree }
    }

    /// Where messages, challenges and values go.
    pub fn places(&self, gpu: &Gpu) -> [Pointer<'_>; 3] {
        let starts = [0, self.variables * self.degree, self.variables * (self.degree + 1)];
        starts.map(|start| gpu.at(&self.out).offset::<[u64; WORDS]>(start))
    }

    /// The point, in the variables' order, and the values, once the host has played the rounds again.
    pub fn finish(&self, gpu: &Gpu, transcript: &mut Writer) -> (Vec<K>, Vec<K>) {
        let mut messages = gpu.download_elements(&self.out);
        let mut challenges = messages.split_off(self.variables * self.degree);
        let values = challenges.split_off(self.variables);
        replay(gpu, transcript, &messages, self.degree, &challenges);
        challenges.reverse();
        (challenges, values)
    }
}
