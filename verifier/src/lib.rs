//! Verification of Proofmill proofs: the relation, the transcript, the protocol and its soundness accounting.
//!
//! No threads, files, clocks or C code: it compiles to wasm32. Nothing here panics on a proof or key from outside.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod argument;
pub mod commitment;
pub mod field;
pub mod generation;
pub mod graph;
pub mod key;
pub mod multilinear;
pub mod plan;
pub mod proof;
pub mod sampling;
pub mod soundness;
pub mod statement;
pub mod transcript;
mod verify;

pub use verify::{
    DOMAIN, SubgraphClaims, SubgraphError, Verified, VerifyError, begin_aggregate, boundary_layout, generated,
    opening_target, placed, settle_public, verify, verify_subgraph, weight_layout,
};
