//! The transcript on the device: see `transcript.cuh`. The host plays the rounds again, and is the one that is believed.

use super::gpu::Gpu;
use crate::error::DeviceError;
use verifier::field::K;
use verifier::transcript::{Transcript, Writer};

/// Words of an absorbed element.
const WORDS: usize = 3;

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
