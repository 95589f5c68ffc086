//! Any bytes are a model key or an error, and a key has one encoding; both verifiers judge alike.
//!
//! The input is edits of a valid key: a position, and the value to put there.
#![no_main]

use libfuzzer_sys::fuzz_target;
use proofmill_fuzz::tiny;
use std::sync::LazyLock;
use verifier::key::ModelKey;

static VALID: LazyLock<Vec<u8>> = LazyLock::new(|| tiny().0.to_bytes());

fuzz_target!(|edits: &[u8]| {
    let mut bytes = VALID.clone();
    for edit in edits.chunks_exact(3) {
        let position = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % bytes.len();
        bytes[position] = edit[2];
    }
    let key = ModelKey::from_bytes(&bytes);
    assert_eq!(reference::Key::from_bytes(&bytes).is_ok(), key.is_ok(), "the verifiers disagree on a key");
    if let Ok(key) = key {
        assert_eq!(key.to_bytes(), bytes, "two encodings of one key");
    }
});
