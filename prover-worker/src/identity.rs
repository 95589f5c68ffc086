//! A stage's identity: a digest over all that its artifact depends on. The store's index maps identities to artifacts.

use crds::{
    Digest,
    contract::{CONTRACT_VERSION, Stage},
};
use verifier::key::PROTOCOL_VERSION;

/// The identity of a stage with these inputs.
pub(crate) fn identity(stage: Stage, inputs: &[&[u8]]) -> Digest {
    let mut hasher = blake3::Hasher::new_derive_key("proofmill 2026 stage identity");
    let version = format!("{CONTRACT_VERSION}/{PROTOCOL_VERSION}/{}", env!("CARGO_PKG_VERSION"));
    let mut absorb = |bytes: &[u8]| {
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    absorb(version.as_bytes());
    absorb(stage.to_string().as_bytes());
    for input in inputs {
        absorb(input);
    }
    Digest(*hasher.finalize().as_bytes())
}

/// The identity of a subgraph's proof.
pub(crate) fn of_subgraph(execution: Digest, subgraph: u32) -> Digest {
    identity(Stage::Prove, &[&execution.0, &subgraph.to_le_bytes()])
}
