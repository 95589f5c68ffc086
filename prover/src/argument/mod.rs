//! The prover's side of `verifier::argument`: one file for each protocol, under the same name.

pub mod einsum;
mod fractions;
pub mod logup;
pub mod lookup;
pub mod merge;
mod product;
pub mod subgraph;
pub mod sumcheck;
mod tensor;
pub mod view;
