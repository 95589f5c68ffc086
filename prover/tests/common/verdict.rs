//! The verdict of both verifiers, which must be one.

use crate::common::Job;
use std::panic::{AssertUnwindSafe, catch_unwind};
use verifier::generation::Generated;
use verifier::key::ModelKey;
use verifier::{Verified, VerifyError};

/// What the verifier says of a proof; the reference verifier must say the same.
#[track_caller]
pub fn verify(key: &ModelKey, proof: &[u8]) -> Result<Verified, VerifyError> {
    let verdict = verifier::verify(key, proof);
    match (&verdict, reference::verify(&key.to_bytes(), proof)) {
        (Ok(fast), Ok(slow)) => {
            assert_eq!(fast.inferences.len(), slow.inferences.len());
            for (fast, slow) in fast.inferences.iter().zip(&slow.inferences) {
                assert_eq!((&fast.inputs, &fast.outputs), (&slow.inputs, &slow.outputs));
                let [fast_drawn, slow_drawn] =
                    [fast.sampling.map(|s| (s.seed, s.temperature)), slow.sampling.map(|s| (s.seed, s.temperature))];
                assert_eq!(fast_drawn, slow_drawn);
            }
            assert_eq!(fast.statement, slow.statement);
            let answer = |g: &Generated| g.answer.iter().map(|&t| i64::from(t)).collect::<Vec<_>>();
            let answers: Vec<_> = fast.generated.iter().map(answer).collect();
            assert!(answers.iter().eq(slow.answers.iter().filter(|answer| !answer.is_empty())));
            let (fast, slow) = (fast.soundness.total_bits, slow.bits);
            assert!((fast - slow).abs() < 1e-6, "{fast} bits of soundness, by the reference {slow}");
        }
        (Err(_), Err(_)) => {}
        (Ok(_), Err(error)) => panic!("the verifier accepts, the reference refuses: {error}"),
        (Err(error), Ok(_)) => panic!("the reference accepts, the verifier refuses: {error}"),
    }
    verdict
}

/// A job's key, as each verifier reads it.
pub struct Keys {
    fast: ModelKey,
    slow: reference::Key,
}

impl Keys {
    /// The keys of a job.
    pub fn of(job: &Job) -> Self {
        let slow = reference::Key::from_bytes(&job.key.to_bytes()).expect("the key is well formed");
        Self { fast: job.key.clone(), slow }
    }

    /// Expects an error of both verifiers, and no panic.
    #[track_caller]
    pub fn refuse(&self, proof: &[u8], what: impl Fn() -> String) {
        refused("verifier", || verifier::verify(&self.fast, proof).is_ok(), &what);
        refused("reference verifier", || reference::verify_with(&self.slow, proof).is_ok(), &what);
    }
}

#[track_caller]
fn refused(verifier: &str, accepts: impl Fn() -> bool, what: &impl Fn() -> String) {
    match catch_unwind(AssertUnwindSafe(accepts)) {
        Ok(accepted) => assert!(!accepted, "{} is accepted by the {verifier}", what()),
        Err(_) => panic!("{} makes the {verifier} panic", what()),
    }
}
