//! Aggregation: checks every subgraph's proof, discharges all claims on boundary tensors in one opening, writes one proof.

use crate::Boundary;
use crate::commitment::{Claimed, OpenError, open};
use kernels::Device;
use thiserror::Error;
use verifier::argument::Rejection;
use verifier::key::ModelKey;
use verifier::proof::Proof;
use verifier::statement::{Statement, StatementError};
use verifier::transcript::Writer;
use verifier::{
    DOMAIN, SubgraphError, begin_aggregate, boundary_layout, opening_target, settle_public, verify_subgraph,
};

/// Why the parts are not a proof.
#[derive(Debug, Error)]
pub enum AggregateError {
    /// The public values do not fit the model.
    #[error(transparent)]
    Statement(#[from] StatementError),
    /// Another number of subgraph proofs than the partition's.
    #[error("{found} subgraph proofs for {expected} subgraphs")]
    Count {
        /// Given.
        found: usize,
        /// In the partition.
        expected: usize,
    },
    /// A subgraph's proof is rejected: prove it again.
    #[error("the proof of subgraph {subgraph} is rejected: {error}")]
    Subgraph {
        /// Which.
        subgraph: u32,
        /// Why.
        error: SubgraphError,
    },
    /// A claim on a public tensor does not hold: the output published is not the model's.
    #[error(transparent)]
    Public(#[from] Rejection),
    /// The boundary tensors are not the committed ones.
    #[error("the boundary tensors do not fit their commitment: run execute again")]
    Boundary,
    /// The boundary cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Makes the one proof from the proofs of all subgraphs, in order.
///
/// # Errors
/// If a part is rejected; the error names it.
pub fn aggregate<D: Device>(
    device: &D,
    key: &ModelKey,
    statement: Statement,
    boundary: &Boundary,
    subgraphs: Vec<Vec<u8>>,
) -> Result<Vec<u8>, AggregateError> {
    statement.check(key)?;
    let expected = key.plan().subgraphs.len();
    if subgraphs.len() != expected {
        return Err(AggregateError::Count { found: subgraphs.len(), expected });
    }
    let digest = statement.digest(key);
    let mut outside = Vec::new();
    for (subgraph, proof) in (0..).zip(&subgraphs) {
        let claims = verify_subgraph(key, digest, boundary.root, subgraph, proof)
            .map_err(|error| AggregateError::Subgraph { subgraph, error })?;
        outside.extend(claims.outside);
    }
    let claims = settle_public(key, &statement, &outside)?;
    let mut transcript = Writer::new(DOMAIN);
    begin_aggregate(&mut transcript, digest, boundary.root, &subgraphs);
    if let Some(root) = boundary.root {
        let committed = boundary.committed(device, key).filter(|c| c.root == root).ok_or(AggregateError::Boundary)?;
        let claimed = Claimed { committed: &committed, layout: &boundary_layout(key), claims: &claims };
        open(device, &[claimed], opening_target(key), &mut transcript)?;
    }
    let opening = transcript.finish();
    Ok(Proof { model: key.commitment(), statement, boundary: boundary.root, subgraphs, opening }.to_bytes())
}
