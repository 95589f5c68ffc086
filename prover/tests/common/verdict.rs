//! The verdict of both verifiers, which must be one.

use verifier::key::ModelKey;
use verifier::{Verified, VerifyError};

/// What the verifier says of a proof; the reference verifier must say the same.
#[track_caller]
pub fn verify(key: &ModelKey, proof: &[u8]) -> Result<Verified, VerifyError> {
    let verdict = verifier::verify(key, proof);
    match (&verdict, reference::verify(&key.to_bytes(), proof)) {
        (Ok(fast), Ok(slow)) => {
            assert_eq!((&fast.inputs, &fast.outputs), (&slow.inputs, &slow.outputs));
            assert_eq!(fast.statement, slow.statement);
            let (fast, slow) = (fast.soundness.total_bits, slow.bits);
            assert!((fast - slow).abs() < 1e-6, "{fast} bits of soundness, by the reference {slow}");
        }
        (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => panic!("the verifier accepts, the reference refuses: {error}"),
        (Err(error), Ok(_)) => panic!("the reference accepts, the verifier refuses: {error}"),
    }
    verdict
}
