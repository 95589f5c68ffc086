//! Both verifiers give one verdict: on valid proofs, on changed bytes, on parts cut off or exchanged, on changed keys.

mod common;

use common::nets::*;
use common::verdict::verify;
use common::{Job, numbers, run};
use verifier::commitment::{Joint, Schedule};
use verifier::key::ModelKey;
use verifier::proof::Proof;
use verifier::weight_layout;

/// Proofs with openings of every kind: in the clear, of one round and of two.
fn jobs() -> [Job; 3] {
    let jobs = [run(&convnet(), &[3, 9]), run(&large(), &[1]), run(&wide(), &[])];
    for (job, rounds) in jobs[1..].iter().zip(1..) {
        let weights = weight_layout(&job.key, 0);
        assert!(!weights.in_the_clear());
        assert_eq!(Schedule::new(&Joint::new(&[weights.num_variables()])).rounds.len(), rounds);
    }
    jobs
}

fn rejected(job: &Job, proof: &[u8], what: &str) {
    assert!(verify(&job.key, proof).is_err(), "accepted: {what}");
}

#[test]
fn valid_proofs_are_accepted_by_both() {
    let nets = [requantised, functions, maximum, layers, plain, shared, moved, two_terms, large, wide];
    for (place, build) in nets.into_iter().enumerate() {
        let job = run(&build(), &[]);
        verify(&job.key, &job.proof).unwrap_or_else(|error| panic!("net {place}: {error}"));
    }
    for bounded in [false, true] {
        let job = run(&division(bounded), &[]);
        verify(&job.key, &job.proof).unwrap_or_else(|error| panic!("bounded {bounded}: {error}"));
    }
    for cuts in [vec![], vec![2], vec![3, 9], vec![1, 2, 4, 5, 8, 11]] {
        let job = run(&convnet(), &cuts);
        verify(&job.key, &job.proof).unwrap_or_else(|error| panic!("{cuts:?}: {error}"));
    }
}

#[test]
fn changed_bytes_are_rejected_by_both() {
    for (seed, job) in (1..).zip(jobs()) {
        let places = numbers(150, seed, i64::from(u32::MAX));
        for (place, change) in places.into_iter().zip(numbers(150, seed + 100, 127)) {
            let mut proof = job.proof.clone();
            let place = place.unsigned_abs() as usize % proof.len();
            proof[place] ^= if change == 0 { 128 } else { change as u8 };
            rejected(&job, &proof, &format!("job {seed}, byte {place}"));
        }
    }
}

#[test]
fn other_lengths_are_rejected_by_both() {
    for job in jobs() {
        for length in (0..job.proof.len()).step_by(job.proof.len() / 40 + 1) {
            rejected(&job, &job.proof[..length], "bytes cut off");
            rejected(&job, &[&job.proof[..length], &job.proof[length + 1..]].concat(), "a byte left out");
            rejected(&job, &[&job.proof[..length], &[0], &job.proof[length..]].concat(), "a byte put in");
        }
        rejected(&job, &[&job.proof[..], &[0]].concat(), "a byte at the end");
    }
}

#[test]
fn exchanged_parts_are_rejected_by_both() {
    let [job, other] = [[3, 9], [2, 9]].map(|cuts| run(&convnet(), &cuts));
    let altered = |what: &str, alter: &dyn Fn(&mut Proof)| {
        let mut proof = Proof::from_bytes(&job.proof).unwrap();
        alter(&mut proof);
        rejected(&job, &proof.to_bytes(), what);
    };
    let foreign = Proof::from_bytes(&other.proof).unwrap();
    altered("subgraphs in another order", &|proof| proof.subgraphs.swap(0, 1));
    altered("a subgraph twice", &|proof| proof.subgraphs[1] = proof.subgraphs[2].clone());
    altered("a subgraph too few", &|proof| drop(proof.subgraphs.pop()));
    altered("a subgraph too many", &|proof| proof.subgraphs.push(foreign.subgraphs[0].clone()));
    altered("a subgraph of another job", &|proof| proof.subgraphs[2] = foreign.subgraphs[2].clone());
    altered("another job's boundary", &|proof| proof.boundary = foreign.boundary);
    altered("no boundary", &|proof| proof.boundary = None);
    altered("another job's opening", &|proof| proof.opening = foreign.opening.clone());
    altered("no opening", &|proof| proof.opening.clear());
    altered("another model", &|proof| proof.model = foreign.model);
    altered("another input", &|proof| proof.statement.inferences[0].inputs[0][5] += 1);
    altered("another output", &|proof| proof.statement.inferences[0].outputs[0][5] -= 1);
    altered("an output beyond its interval", &|proof| proof.statement.inferences[0].outputs[0][0] = i64::MAX);
    altered("an output too many", &|proof| proof.statement.inferences[0].outputs[0].push(0));
    altered("a port too many", &|proof| proof.statement.inferences[0].inputs.push(Vec::new()));
    rejected(&job, &other.proof, "another job's proof");
}

#[test]
fn changed_keys_are_judged_alike() {
    let mut decoded = 0;
    for (seed, job) in (1..).zip([run(&convnet(), &[3, 9]), run(&functions(), &[1])]) {
        let bytes = job.key.to_bytes();
        assert_eq!(reference::Key::from_bytes(&bytes).unwrap().commitment, job.key.commitment());
        for place in 0..bytes.len() {
            let mut key = bytes.clone();
            let change = numbers(1, place as u64 * 3 + seed, 127)[0];
            key[place] ^= if change == 0 { 1 } else { change as u8 };
            let slow = reference::verify(&key, &job.proof).unwrap_err();
            match ModelKey::from_bytes(&key) {
                Ok(_) => {
                    decoded += 1;
                    assert_eq!(slow, reference::Error::Model, "byte {place}");
                }
                Err(error) => assert!(matches!(slow, reference::Error::Key(_)), "byte {place}: {error}; {slow}"),
            }
        }
        for length in 0..bytes.len() {
            assert!(reference::Key::from_bytes(&bytes[..length]).is_err());
        }
    }
    assert!(decoded > 50, "only {decoded} changed keys are well formed");
}
