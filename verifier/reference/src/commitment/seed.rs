//! Seeds of the protocols inside an opening: each absorbs a description of what it will exchange before it begins.
//!
//! A seed is 64 bytes `version | name | zeros | length of the name`, Keccak-256 of the steps in text, the length of the label
//! and the label (its entries with their lengths, all big-endian, 32 bits), and a byte 0x80. It is absorbed as words: its
//! length, then seven bytes at a time, little-endian.

use crate::field::MODULUS;
use crate::transcript::Sponge;
use std::fmt::Write;
use tiny_keccak::{Hasher, Keccak};

/// What is exchanged in a step.
#[derive(Clone, Copy, Debug)]
pub enum Values {
    /// An element of the challenge field.
    Element,
    /// A number of elements of the challenge field.
    Elements(usize),
    /// A digest.
    Digest,
    /// A nonce that makes this many bits zero.
    Nonce(usize),
    /// Numbers of so many bits each: width, how many.
    Bits(usize, usize),
    /// Another protocol, with its own seed.
    Protocol,
}

/// A step: who acts (`Message`, `Challenge`, `Pow` or `Protocol`), its name, what is exchanged.
pub type Step = (&'static str, &'static str, Values);

fn keccak(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    let mut hasher = Keccak::v256();
    hasher.update(bytes);
    hasher.finalize(&mut digest);
    digest
}

/// A field, as a step names it.
fn field(degree: usize, identity: &[u8]) -> String {
    let digest: String = keccak(identity).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("Algebra({MODULUS}^{degree};{digest})")
}

/// The lines of a step: one, or two for a protocol within.
fn lines((role, name, values): &Step) -> Vec<String> {
    let base = || field(1, b"p3-scalar-basis-v1");
    let extension = || field(3, b"p3-power-basis-v1:X^3-X-1");
    let line = |place: &str, rest: String| format!("{place} {role} {} {name} {rest}", name.len());
    match *values {
        Values::Element => vec![line("Atomic", format!("Scalar {}", extension()))],
        Values::Elements(n) => vec![line("Atomic", format!("Fixed({n}) {}", extension()))],
        Values::Digest => vec![line("Atomic", "Scalar Opaque".into())],
        Values::Nonce(bits) => vec![line("Atomic", format!("Fixed({bits}) {}", base()))],
        Values::Bits(width, n) => vec![line("Atomic", format!("Fixed({n}) UniformBits({width})"))],
        Values::Protocol => ["Begin", "End"].map(|place| line(place, "None Marker".into())).to_vec(),
    }
}

/// The steps in text.
fn describe(steps: &[Step]) -> String {
    let lines: Vec<String> = steps.iter().flat_map(lines).collect();
    let width = lines.len().saturating_sub(1).to_string().len();
    let mut text = format!("Plonky3 Fiat-Shamir Transcript ({} interactions)\n", lines.len());
    for (place, line) in lines.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{place:0>width$} {line}");
    }
    text
}

/// Absorbs the seed of a protocol; `label` lists the numbers that its steps do not show.
pub fn absorb(sponge: &mut Sponge, version: u8, name: &str, steps: &[Step], label: &[Vec<u8>]) {
    let mut seed = vec![version];
    seed.extend_from_slice(name.as_bytes());
    seed.resize(63, 0);
    seed.push(name.len() as u8);
    seed.extend_from_slice(&keccak(describe(steps).as_bytes()));
    let entries: Vec<u8> =
        label.iter().flat_map(|entry| [&(entry.len() as u32).to_be_bytes(), entry.as_slice()].concat()).collect();
    seed.extend_from_slice(&(entries.len() as u32).to_be_bytes());
    seed.extend_from_slice(&entries);
    seed.push(0x80);

    sponge.absorb(&(seed.len() as u64).to_le_bytes());
    for chunk in seed.chunks(7) {
        let mut word = [0; 8];
        for (byte, &source) in word.iter_mut().zip(chunk) {
            *byte = source;
        }
        sponge.absorb(&word);
    }
}

/// Numbers as entries of a label: eight bytes each.
pub fn numbers(numbers: &[usize]) -> Vec<Vec<u8>> {
    numbers.iter().map(|&n| (n as u64).to_be_bytes().to_vec()).collect()
}
