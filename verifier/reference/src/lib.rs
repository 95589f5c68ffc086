//! A second opinion on Proofmill proofs: the protocol as `docs/protocol.md` and `docs/commitment.md` state it, in the plainest
//! code, over another library's field arithmetic. It reads the same key and the same proof as `verifier`, shares no code
//! with it, and must give the same verdict. Slow: sums run over every index, nothing has a closed form.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod batch;
mod claims;
mod commitment;
mod einsum;
mod error;
mod extension;
mod field;
mod file;
mod fractions;
mod generation;
mod graph;
mod key;
mod limbs;
mod lookup;
mod plan;
mod rules;
mod sampling;
mod soundness;
mod subgraph;
mod sumcheck;
mod table;
mod transcript;
mod verify;
mod view;

pub use error::Error;
pub use file::Inference;
pub use key::Key;
pub use sampling::Sampling;
pub use verify::{Verified, verify, verify_with};
