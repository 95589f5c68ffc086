//! Mutation: every field of a valid proof, and every byte of a small one, altered, zeroed, dropped, repeated, swapped and cut
//! off. Nothing is accepted, nothing panics.

mod common;

use common::attempt::Attempt;
use common::nets::{convnet, large, layers};
use common::verdict::Keys;
use common::{Job, run};
use std::ops::Range;
use verifier::argument::subgraph::{self, DOMAIN, begin};
use verifier::field::K_BYTES;
use verifier::key::ModelKey;
use verifier::proof::Proof;
use verifier::transcript::Reader;

/// A part of the file with a meaning of its own.
struct Field {
    name: String,
    range: Range<usize>,
}

/// Walks over the file.
struct Fields {
    fields: Vec<Field>,
    at: usize,
}

impl Fields {
    fn add(&mut self, name: impl Into<String>, length: usize) {
        self.fields.push(Field { name: name.into(), range: self.at..self.at + length });
        self.at += length;
    }

    fn ports(&mut self, name: &str, ports: &[Vec<i64>]) {
        self.add(format!("number of {name}s"), 8);
        for values in ports {
            self.add(format!("length of {name}"), 8);
            (0..values.len()).for_each(|i| self.add(format!("{name} {i}"), 8));
        }
    }

    /// Field elements, then messages with their lengths.
    fn transcript(&mut self, name: &str, root: bool, length: usize, messages: &[usize]) {
        self.add(format!("length of {name}"), 8);
        let tail: usize = messages.iter().map(|m| m + 4).sum();
        let mut elements = length - tail;
        if root {
            self.add(format!("{name}: witness root"), 32);
            elements -= 32;
        }
        assert_eq!(elements % K_BYTES, 0, "{name}");
        (0..elements / K_BYTES).for_each(|i| self.add(format!("{name}: element {i}"), K_BYTES));
        for &message in messages {
            self.add(format!("{name}: length of message"), 4);
            self.add(format!("{name}: message"), message);
        }
    }
}

/// Lengths of the messages that follow the argument of a subgraph.
fn messages(key: &ModelKey, proof: &Proof, index: u32) -> Vec<usize> {
    let mut reader = Reader::new(DOMAIN, &proof.subgraphs[index as usize]);
    begin(&mut reader, key, proof.statement.digest(key), proof.boundary, index);
    if !key.plan().subgraphs[index as usize].columns.is_empty() {
        reader.read_digest().unwrap();
    }
    subgraph::verify(&mut reader, key, index).unwrap();
    std::iter::from_fn(|| reader.read_message().ok().map(<[u8]>::len)).collect()
}

fn fields(job: &Job) -> Vec<Field> {
    let proof = Proof::from_bytes(&job.proof).unwrap();
    let mut walk = Fields { fields: Vec::new(), at: 0 };
    walk.add("magic", 8);
    walk.add("model", 32);
    walk.add("number of inferences", 8);
    for inference in &proof.statement.inferences {
        walk.ports("input", &inference.inputs);
        walk.ports("output", &inference.outputs);
        walk.add("flag of sampling", 1);
    }
    walk.add("flag of boundary", 1);
    if proof.boundary.is_some() {
        walk.add("boundary root", 32);
    }
    walk.add("number of subgraphs", 8);
    for (index, bytes) in (0..).zip(&proof.subgraphs) {
        let root = !job.key.plan().subgraphs[index as usize].columns.is_empty();
        walk.transcript(&format!("subgraph {index}"), root, bytes.len(), &messages(&job.key, &proof, index));
    }
    let opening: Vec<usize> = proof.opening.len().checked_sub(4).into_iter().collect();
    walk.transcript("opening", false, proof.opening.len(), &opening);
    assert_eq!(walk.at, job.proof.len(), "the fields cover the file");
    walk.fields
}

/// The bytes with a range replaced.
fn replaced(bytes: &[u8], range: &Range<usize>, by: &[u8]) -> Vec<u8> {
    [&bytes[..range.start], by, &bytes[range.end..]].concat()
}

fn mutate_fields(job: &Job) {
    let (keys, proof) = (&Keys::of(job), &job.proof);
    let fields = fields(job);
    for (place, Field { name, range }) in fields.iter().enumerate() {
        let old = &proof[range.clone()];
        let last = old.len().saturating_sub(1);
        let try_one = |what: &str, new: &[u8]| {
            if new != old {
                keys.refuse(&replaced(proof, range, new), || format!("{name}: {what}"));
            }
        };
        let altered = |byte: usize, bit: u8| {
            let mut new = old.to_vec();
            if let Some(byte) = new.get_mut(byte) {
                *byte ^= bit;
            }
            new
        };
        for (byte, bit) in [(0, 1), (0, 0x80), (last, 1), (last, 0x80), (last / 2, 0x10)] {
            try_one("altered", &altered(byte, bit));
        }
        try_one("zeroed", &vec![0; old.len()]);
        try_one("ones", &vec![0xff; old.len()]);
        try_one("dropped", &[]);
        try_one("repeated", &[old, old].concat());
        if let Some(next) = fields.get(place + 1) {
            let new = &proof[next.range.clone()];
            if new != old {
                let swapped = [&proof[..range.start], new, old, &proof[next.range.end..]].concat();
                keys.refuse(&swapped, || format!("{name} and {}: swapped", next.name));
            }
        }
        keys.refuse(&proof[..range.start], || format!("cut off before {name}"));
    }
}

#[test]
fn every_field_of_a_small_proof() {
    mutate_fields(&run(&layers(), &[1, 2]));
}

#[test]
fn every_field_of_a_proof_of_every_kind_of_node() {
    mutate_fields(&run(&convnet(), &[3, 9]));
}

#[test]
fn every_field_of_a_proof_with_large_commitments() {
    mutate_fields(&run(&large(), &[2]));
}

#[test]
fn every_field_of_a_proof_of_several_inferences() {
    let mut net = layers();
    let runs = net.runs(3);
    let attempt = Attempt::together(&net, &[1, 2], &runs);
    let (boundary, proof) = (attempt.boundary(), attempt.proof());
    let Attempt { key, statement, .. } = attempt;
    mutate_fields(&Job { key, statement, boundary, subgraphs: vec![], proof });
}

#[test]
fn every_byte_of_a_small_proof() {
    let job = run(&layers(), &[2]);
    let keys = Keys::of(&job);
    for position in 0..job.proof.len() {
        let mut bytes = job.proof.clone();
        bytes[position] ^= 1 << (position % 8);
        keys.refuse(&bytes, || format!("byte {position}"));
    }
}

#[test]
fn bytes_all_over_large_openings() {
    let job = run(&large(), &[2]);
    let keys = Keys::of(&job);
    for Field { name, range } in fields(&job).iter().filter(|f| f.name.ends_with("message")) {
        for position in range.clone().step_by(1 + range.len() / 150) {
            let mut bytes = job.proof.clone();
            bytes[position] ^= 1 << (position % 8);
            keys.refuse(&bytes, || format!("{name}, byte {}", position - range.start));
            bytes.remove(position);
            keys.refuse(&bytes, || format!("{name} without byte {}", position - range.start));
        }
    }
}

#[test]
fn a_small_proof_cut_off_anywhere() {
    let job = run(&layers(), &[1]);
    let keys = Keys::of(&job);
    for length in 0..job.proof.len() {
        keys.refuse(&job.proof[..length], || format!("cut off at {length}"));
    }
}

#[test]
fn lengths_beyond_the_file_allocate_nothing() {
    let job = run(&layers(), &[1]);
    let keys = Keys::of(&job);
    for Field { name, range } in fields(&job).iter().filter(|f| f.name.contains("length") || f.name.contains("number"))
    {
        for length in [u64::MAX, u64::MAX / 8, 1 << 61, 1 << 40, 1 << 32, job.proof.len() as u64] {
            let new = &length.to_le_bytes()[..range.len()];
            if *new != job.proof[range.clone()] {
                keys.refuse(&replaced(&job.proof, range, new), || format!("{name} {length}"));
            }
        }
    }
}
