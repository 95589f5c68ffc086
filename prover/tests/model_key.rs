//! Model keys from outside: every byte altered, dropped and repeated, lengths without end. Decoding gives a key or an error;
//! another key accepts no proof of this one.

mod common;

use common::nets::{convnet, layers};
use common::verdict::verify;
use common::{Job, run};
use std::panic::{AssertUnwindSafe, catch_unwind};
use verifier::VerifyError;
use verifier::key::ModelKey;
use verifier::proof::Proof;

/// Decodes; a key that results is another, has one encoding, and accepts nothing. Whether there is one.
fn probe(job: &Job, bytes: &[u8], what: &str) -> bool {
    let decode = || {
        let Ok(key) = ModelKey::from_bytes(bytes) else { return false };
        assert_eq!(key.to_bytes(), bytes, "{what}: two encodings of one key");
        assert_ne!(key.commitment(), job.key.commitment(), "{what}: the commitment is the same");
        assert!(matches!(verify(&key, &job.proof), Err(VerifyError::Model { .. })), "{what}");
        // The proof names the other model: the argument must fail.
        let mut proof = Proof::from_bytes(&job.proof).unwrap();
        proof.model = key.commitment();
        assert!(verify(&key, &proof.to_bytes()).is_err(), "{what}: accepted");
        true
    };
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| panic!("{what}: failed or panicked"))
}

fn jobs() -> [Job; 2] {
    [run(&layers(), &[1, 2]), run(&convnet(), &[3, 9])]
}

#[test]
fn a_key_survives_its_encoding() {
    for job in jobs() {
        let key = ModelKey::from_bytes(&job.key.to_bytes()).unwrap();
        assert_eq!(key.commitment(), job.key.commitment());
        verify(&key, &job.proof).unwrap();
    }
}

#[test]
fn altered_keys_are_other_keys_or_none() {
    for job in jobs() {
        let bytes = job.key.to_bytes();
        let mut keys = 0;
        for position in 0..bytes.len() {
            for flip in [1, 2, 0x10, 0x80] {
                let mut altered = bytes.clone();
                altered[position] ^= flip;
                keys += usize::from(probe(&job, &altered, &format!("byte {position} ^ {flip}")));
            }
        }
        // Roots, intervals, names and exponents may be anything.
        assert!(keys > 100, "only {keys} altered keys are keys");
    }
}

#[test]
fn keys_of_another_length_are_other_keys_or_none() {
    for job in jobs() {
        let bytes = job.key.to_bytes();
        for position in 0..=bytes.len() {
            assert!(ModelKey::from_bytes(&bytes[..position]).is_err() || position == bytes.len());
            let inserted = [&bytes[..position], &[0], &bytes[position..]].concat();
            probe(&job, &inserted, &format!("byte added at {position}"));
            if position < bytes.len() {
                let dropped = [&bytes[..position], &bytes[position + 1..]].concat();
                probe(&job, &dropped, &format!("byte dropped at {position}"));
            }
        }
    }
}

#[test]
fn lengths_without_end_allocate_nothing() {
    // The greatest numbers of one to ten bytes, in the place of every byte.
    for job in jobs() {
        let bytes = job.key.to_bytes();
        for position in 0..bytes.len() {
            for length in [4, 5, 9, 10] {
                let mut number = vec![0xff; length];
                number[length - 1] = if length == 10 { 1 } else { 0x7f };
                let long = [&bytes[..position], &number, &bytes[position + 1..]].concat();
                probe(&job, &long, &format!("a number of {length} bytes at {position}"));
            }
        }
    }
}
