//! Whatever is done to a valid proof, both verifiers reject it; and any bytes are rejected, not panicked on.
//!
//! The input is raw bytes if its first byte is odd; else edits of the valid proof: a position, what to do there, a value.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmill_fuzz::tiny;
use std::sync::LazyLock;
use verifier::key::ModelKey;

static TINY: LazyLock<(ModelKey, Vec<u8>)> = LazyLock::new(tiny);
static REFERENCE: LazyLock<reference::Key> =
    LazyLock::new(|| reference::Key::from_bytes(&TINY.0.to_bytes()).expect("the key is well formed"));

fuzz_target!(|bytes: &[u8]| {
    let (key, valid) = &*TINY;
    let Some((first, rest)) = bytes.split_first() else { return };
    let altered = if first % 2 == 1 { rest.to_vec() } else { edited(valid, rest) };
    let accepted = verifier::verify(key, &altered).is_ok();
    assert_eq!(accepted, altered == *valid, "only the valid proof is accepted");
    let agreed = reference::verify_with(&REFERENCE, &altered).is_ok();
    assert_eq!(agreed, accepted, "the verifiers disagree on a proof");
});

fn edited(valid: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for edit in edits.chunks_exact(5) {
        let position = u32::from_le_bytes([edit[0], edit[1], edit[2], 0]) as usize % (bytes.len() + 1);
        let end = bytes.len().min(position + usize::from(edit[4]));
        match (edit[3] % 4, bytes.get_mut(position)) {
            (0, Some(byte)) => *byte ^= edit[4],
            (1, _) => drop(bytes.drain(position..end)),
            (2, _) => bytes.insert(position, edit[4]),
            _ => bytes.truncate(position),
        }
    }
    bytes
}
