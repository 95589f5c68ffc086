//! The rules of Fiat-Shamir, one test each: what is bound, in which order, and that a proof serves for nothing else.

use crate::common::attempt::{Attempt, assemble};
use crate::common::nets::{layers, plain, requantised};
use crate::common::verdict::verify;
use crate::common::{Job, Net, run};
use std::collections::BTreeSet;
use verifier::argument::lookup::Challenges;
use verifier::argument::subgraph::{DOMAIN, begin};
use verifier::field::{K, K_BYTES, k_to_bytes};
use verifier::graph::TensorId;
use verifier::key::{ModelKey, Partition, Security};
use verifier::proof::Proof;
use verifier::statement::{Inference, Statement};
use verifier::transcript::{Digest, Reader, Transcript, Writer};
use verifier::{VerifyError, verify_subgraph};

/// Words of a goldilocks element that are not below the modulus.
const NOT_CANONICAL: [u64; 3] = [0xffff_ffff_0000_0001, 0xffff_ffff_0000_0002, u64::MAX];

fn first_challenge(key: &ModelKey, statement: Digest, boundary: Option<Digest>, subgraph: u32) -> [u8; K_BYTES] {
    let mut transcript = Writer::new(DOMAIN);
    begin(&mut transcript, key, statement, boundary, subgraph);
    k_to_bytes(transcript.challenge())
}

/// The network `layers` with other weights.
fn reweighted() -> Net {
    let mut net = layers();
    let mut weights = net.get(TensorId(1));
    weights[0] -= 1;
    net.weights.insert(TensorId(1), kernels::Ints::from(weights));
    net
}

fn key_with(net: &Net, partition: Partition, security: Security) -> ModelKey {
    prover::setup(&kernels::Cpu, net.graph.clone(), &net.weights, partition, security).unwrap()
}

fn rejected(key: &ModelKey, proof: &[u8]) -> String {
    verify(key, proof).expect_err("accepted").to_string()
}

/// Takes a proof apart, changes it, and expects the verifier to refuse it.
fn changed(job: &Job, change: impl FnOnce(&mut Proof)) -> String {
    let mut proof = Proof::from_bytes(&job.proof).unwrap();
    change(&mut proof);
    let bytes = proof.to_bytes();
    assert_ne!(bytes, job.proof, "nothing changed");
    rejected(&job.key, &bytes)
}

#[test]
fn every_part_of_the_statement_changes_every_challenge() {
    let net = layers();
    let key = net.key(&[1, 2]);
    let statement = net.statement();
    let digest = statement.digest(&key);
    let mut seen = BTreeSet::from([first_challenge(&key, digest, None, 0)]);
    let mut fresh = |what: &str, challenge| assert!(seen.insert(challenge), "{what} is not bound");

    for subgraph in 1..3 {
        fresh("the subgraph's index", first_challenge(&key, digest, None, subgraph));
    }
    for (byte, bit) in [(0, 1), (31, 128)] {
        let mut root = [0; 32];
        root[byte] = bit;
        fresh("the boundary's root", first_challenge(&key, digest, Some(root), 0));
    }
    fresh("that there is a boundary", first_challenge(&key, digest, Some([0; 32]), 0));
    let inference = &statement.inferences[0];
    for port in 0..2 {
        let values = if port == 0 { &inference.inputs[0] } else { &inference.outputs[0] };
        for element in 0..values.len() {
            let mut other = statement.clone();
            let altered = &mut other.inferences[0];
            let ports = if port == 0 { &mut altered.inputs } else { &mut altered.outputs };
            ports[0][element] ^= 1;
            fresh("an element", first_challenge(&key, other.digest(&key), None, 0));
        }
    }
    // One list of ports is not another: lengths precede lists.
    for regrouped in [
        Inference {
            inputs: vec![],
            outputs: vec![[&inference.inputs[0][..], &inference.outputs[0]].concat()],
            sampling: None,
        },
        Inference {
            inputs: vec![inference.inputs[0].clone(), vec![]],
            outputs: inference.outputs.clone(),
            sampling: None,
        },
        Inference { inputs: inference.outputs.clone(), outputs: inference.inputs.clone(), sampling: None },
    ] {
        fresh("the ports", first_challenge(&key, Statement::of(regrouped).digest(&key), None, 0));
    }
    // Nor are two inferences one, or one of them the other.
    let other = Inference { outputs: inference.inputs.clone(), ..inference.clone() };
    let empty = Inference::default();
    for inferences in [
        vec![],
        vec![inference.clone(); 2],
        vec![inference.clone(), other.clone()],
        vec![other, inference.clone()],
        vec![inference.clone(), empty.clone()],
        vec![empty, inference.clone()],
    ] {
        fresh("the inferences", first_challenge(&key, Statement { inferences }.digest(&key), None, 0));
    }
    for (seed, temperature) in [(0, 1), (1, 1), (1 << 63, 1), (0, 2), (0, 1 << 31)] {
        let sampling = Some(verifier::sampling::Sampling { seed, temperature });
        let drawn = Statement::of(Inference { sampling, ..inference.clone() });
        fresh("the sampling", first_challenge(&key, drawn.digest(&key), None, 0));
    }
    // Other models: the weights of the last layer are another subgraph's, and bound all the same.
    let mut last = layers();
    last.weights.insert(TensorId(2), kernels::Ints::from(vec![1; 10]));
    let mut interval = layers();
    interval.within(TensorId(0), -1000, 1000);
    let mut exponent = layers();
    exponent.graph.outputs[0].exponent = 7;
    for (what, net) in [
        ("weights", reweighted()),
        ("other subgraphs' weights", last),
        ("intervals", interval),
        ("exponents", exponent),
    ] {
        let key = net.key(&[1, 2]);
        fresh(what, first_challenge(&key, statement.digest(&key), None, 0));
    }
    for cuts in [vec![], vec![1], vec![2]] {
        let key = net.key(&cuts);
        fresh("the partition", first_challenge(&key, statement.digest(&key), None, 0));
    }
    let key = key_with(&net, key.partition().clone(), Security::Bits100);
    fresh("the security", first_challenge(&key, statement.digest(&key), None, 0));
}

#[test]
fn every_element_read_changes_the_next_challenge() {
    let elements: Vec<K> = (1..6).map(verifier::field::k_from_i64).collect();
    let after = |elements: &[K]| {
        let mut writer = Writer::new("test");
        writer.write_all(elements);
        let written = k_to_bytes(writer.challenge());
        let proof = writer.finish();
        let mut reader = Reader::new("test", &proof);
        reader.read_all(elements.len()).unwrap();
        assert_eq!(k_to_bytes(reader.challenge()), written, "reader and writer differ");
        written
    };
    let mut seen = BTreeSet::from([after(&elements)]);
    for i in 0..elements.len() {
        let mut other = elements.clone();
        other[i] += verifier::field::k_from_i64(1);
        assert!(seen.insert(after(&other)), "element {i} is not bound");
        assert!(seen.insert(after(&elements[..i])), "the number of elements is not bound");
    }
    let reversed: Vec<K> = elements.iter().rev().copied().collect();
    assert!(seen.insert(after(&reversed)), "the order is not bound");
}

#[test]
fn multiplicities_are_committed_before_the_lookup_challenges() {
    let challenges = |change: i64| {
        let mut attempt = Attempt::of(&requantised(), &[]);
        crate::common::attempt::edit(&mut attempt.witnesses[0].multiplicities[0], 5, |m| m + change);
        let plan = &attempt.key.plan().subgraphs[0];
        let layout = verifier::commitment::Layout::new(&plan.column_shapes);
        let columns = attempt.witnesses[0].columns(&kernels::Cpu, plan, &attempt.values[0]);
        let proof = attempt.subgraph(0).unwrap();
        let mut reader = Reader::new(DOMAIN, &proof);
        begin(&mut reader, &attempt.key, attempt.statement.digest(&attempt.key), None, 0);
        // The first thing in the proof, and nothing is drawn before it.
        assert_eq!(reader.read_digest().unwrap(), prover::commitment::commit(&kernels::Cpu, &layout, &columns).root);
        let Challenges { pole, row } = Challenges::draw(&mut reader);
        [k_to_bytes(pole), k_to_bytes(row)]
    };
    assert_ne!(challenges(0), challenges(1));
    assert_eq!(challenges(0), challenges(0));
}

#[test]
fn a_subgraphs_proof_is_worthless_elsewhere() {
    let job = run(&layers(), &[1, 2]);
    let digest = job.statement.digest(&job.key);
    let root = job.boundary.root;
    for (index, proof) in (0..).zip(&job.subgraphs) {
        assert!(verify_subgraph(&job.key, digest, root, index, proof).is_ok());
        // Another job: another input, another output, another boundary.
        let mut statement = job.statement.clone();
        statement.inferences[0].inputs[0][3] += 1;
        assert!(verify_subgraph(&job.key, statement.digest(&job.key), root, index, proof).is_err());
        let mut statement = job.statement.clone();
        statement.inferences[0].outputs[0][3] += 1;
        assert!(verify_subgraph(&job.key, statement.digest(&job.key), root, index, proof).is_err());
        assert!(verify_subgraph(&job.key, digest, Some([7; 32]), index, proof).is_err());
        assert!(verify_subgraph(&job.key, digest, None, index, proof).is_err());
        // Another place, model, partition, security.
        for other in (0..3).filter(|&other| other != index) {
            assert!(verify_subgraph(&job.key, digest, root, other, proof).is_err());
        }
        for key in [
            reweighted().key(&[1, 2]),
            layers().key(&[1]),
            key_with(&layers(), job.key.partition().clone(), Security::Bits100),
        ] {
            let index = index.min(key.partition().count - 1);
            assert!(verify_subgraph(&key, job.statement.digest(&key), root, index, proof).is_err());
        }
    }
}

#[test]
fn subgraph_proofs_reordered_missing_repeated_or_added_are_rejected() {
    let job = run(&layers(), &[1, 2]);
    let count = |found| format!("the proof has {found} subgraph proofs; the model's partition has 3");
    assert_eq!(changed(&job, |p| drop(p.subgraphs.pop())), count(2));
    assert_eq!(changed(&job, |p| p.subgraphs.push(p.subgraphs[2].clone())), count(4));
    assert_eq!(changed(&job, |p| p.subgraphs.clear()), count(0));
    assert!(changed(&job, |p| p.subgraphs.swap(0, 1)).starts_with("subgraph 0: "));
    assert!(changed(&job, |p| p.subgraphs[2] = p.subgraphs[1].clone()).starts_with("subgraph 2: "));
    assert!(changed(&job, |p| p.subgraphs[1].clear()).starts_with("subgraph 1: "));
    // Those of another job of the same model, one or all.
    let mut net = layers();
    let mut x = net.get(TensorId(0));
    x[0] += 1;
    net.values[0] = Some(kernels::Ints::from(x));
    let lie = crate::common::Lie { tensor: TensorId(0), element: 0, delta: 0 };
    net.values = net.lying(lie);
    let other = run(&net, &[1, 2]);
    assert_eq!(other.key.commitment(), job.key.commitment());
    for subgraph in 0..3 {
        let error = changed(&job, |p| p.subgraphs[subgraph].clone_from(&other.subgraphs[subgraph]));
        assert!(error.starts_with(&format!("subgraph {subgraph}: ")), "{error}");
    }
    assert!(changed(&job, |p| p.subgraphs.clone_from(&other.subgraphs)).starts_with("subgraph 0: "));
    assert!(changed(&job, |p| p.boundary = other.boundary.root).starts_with("subgraph 0: "));
    assert!(changed(&job, |p| p.statement = other.statement.clone()).starts_with("subgraph 0: "));
}

#[test]
fn the_boundarys_opening_belongs_to_these_subgraph_proofs() {
    let job = run(&layers(), &[1]);
    let proof = Proof::from_bytes(&job.proof).unwrap();
    // An opening that is not there, or of nothing.
    for opening in [vec![], vec![0; 4]] {
        let error = changed(&job, |p| p.opening = opening);
        assert!(error.starts_with("boundary: "), "{error}");
    }
    assert!(!proof.opening.is_empty());
    // No boundary where the partition has one, and one where it has none.
    assert_eq!(changed(&job, |p| p.boundary = None), "the proof's boundary commitment does not fit the partition");
    let whole = run(&layers(), &[]);
    assert_eq!(
        changed(&whole, |p| p.boundary = Some([0; 32])),
        "the proof's boundary commitment does not fit the partition"
    );
    assert!(changed(&whole, |p| p.opening.push(0)).starts_with("boundary: "));
}

#[test]
fn leftover_bytes_are_rejected_in_every_part() {
    let job = run(&layers(), &[1, 2]);
    for subgraph in 0..3 {
        for extra in [vec![0], vec![0; K_BYTES], vec![1, 2, 3]] {
            let length = extra.len();
            let error = changed(&job, |p| p.subgraphs[subgraph].extend(extra));
            assert_eq!(error, format!("subgraph {subgraph}: {length} bytes follow the end of the proof"));
        }
    }
    assert_eq!(changed(&job, |p| p.opening.push(0)), "boundary: 1 bytes follow the end of the proof");
    let longer = [&job.proof[..], &[0]].concat();
    assert_eq!(rejected(&job.key, &longer), "not a proof of this version: bytes follow its end");
}

#[test]
fn words_that_are_not_canonical_are_rejected() {
    // No columns in the first subgraph: its proof begins with field elements.
    let job = run(&layers(), &[1]);
    for word in 0..6 {
        for value in NOT_CANONICAL {
            let error = changed(&job, |p| p.subgraphs[0][8 * word..][..8].copy_from_slice(&value.to_le_bytes()));
            assert_eq!(error, "subgraph 0: a field element is not canonical");
        }
    }
}

#[test]
fn a_proof_does_not_bring_its_key() {
    let job = run(&layers(), &[1]);
    let other = reweighted().key(&[1]);
    assert!(matches!(verify(&other, &job.proof), Err(VerifyError::Model { .. })));
    // It may say that it is about the other model: then it is about nothing.
    let mut proof = Proof::from_bytes(&job.proof).unwrap();
    proof.model = other.commitment();
    assert!(rejected(&other, &proof.to_bytes()).starts_with("subgraph 0: "));
    // A whole proof of another model is not one of this, nor with this one's name.
    let theirs = run(&plain(), &[]);
    assert!(matches!(verify(&job.key, &theirs.proof), Err(VerifyError::Model { .. })));
    let mut proof = Proof::from_bytes(&theirs.proof).unwrap();
    proof.model = job.key.commitment();
    assert!(matches!(verify(&job.key, &proof.to_bytes()), Err(VerifyError::Statement(_))));
}

#[test]
fn a_proof_of_less_security_is_rejected() {
    let net = layers();
    let strict = net.key(&[1]);
    let lax = key_with(&net, strict.partition().clone(), Security::Bits100);
    let job = run(&net, &[1]);
    assert_eq!(job.key.commitment(), strict.commitment());
    assert!(matches!(verify(&lax, &job.proof), Err(VerifyError::Model { .. })));
    let mut attempt = Attempt::of(&net, &[1]);
    attempt.key = lax;
    let mut proof = Proof::from_bytes(&attempt.proof()).unwrap();
    assert!(matches!(verify(&strict, &proof.to_bytes()), Err(VerifyError::Model { .. })));
    proof.model = strict.commitment();
    assert!(rejected(&strict, &proof.to_bytes()).starts_with("subgraph 0: "));
}

#[test]
fn public_values_must_fit_the_model() {
    let job = run(&layers(), &[]);
    let statement = |change: fn(&mut Inference)| {
        let mut proof = Proof::from_bytes(&job.proof).unwrap();
        change(&mut proof.statement.inferences[0]);
        verify(&job.key, &proof.to_bytes())
    };
    for change in [
        (|p| drop(p.inputs.pop())) as fn(&mut Inference),
        |p| drop(p.outputs.pop()),
        |p| p.inputs.push(vec![]),
        |p| p.outputs.push(vec![0; 6]),
        |p| p.inputs[0].truncate(11),
        |p| p.outputs[0].push(0),
        |p| p.inputs[0].clear(),
        |p| p.inputs[0][0] = 1 << 40,
        |p| p.inputs[0][0] = i64::MIN,
        |p| p.outputs[0][0] = i64::MAX,
        |p| std::mem::swap(&mut p.inputs, &mut p.outputs),
        |p| p.sampling = Some(verifier::sampling::Sampling { seed: 1, temperature: 1000 }),
    ] {
        assert!(matches!(statement(change), Err(VerifyError::Statement(_))));
    }
}

#[test]
fn parts_of_two_valid_proofs_do_not_mix() {
    // Both prove the same statement under the same key, in subgraphs that agree on every tensor but commit to boundaries of
    // different encodings: none, and one.
    let cut = run(&layers(), &[1]);
    let whole = run(&layers(), &[]);
    let mixed =
        assemble(&cut.key, &cut.statement, &cut.boundary, vec![whole.subgraphs[0].clone(), cut.subgraphs[1].clone()]);
    assert!(rejected(&cut.key, &mixed).starts_with("subgraph 0: "));
}
