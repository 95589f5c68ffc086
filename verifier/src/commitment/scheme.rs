//! The one instantiation of `p3-whir`: Goldilocks, BLAKE3 Merkle trees, variables folded from the least significant.

use super::Forest;
use crate::field::{F, K};
use crate::transcript::Challenger;
use p3_blake3::Blake3;
use p3_dft::Radix2DFTSmallBatch;
use p3_merkle_tree::MerkleTreeMmcs;
use p3_sumcheck::layout::SuffixProver;
use p3_symmetric::{CompressionFunctionFromHasher, SerializingHasher};
use p3_whir::{PcsProof, WhirProver};

type LeafHash = SerializingHasher<Blake3>;
type NodeHash = CompressionFunctionFromHasher<Blake3, 2, 32>;

/// Merkle trees over rows of a matrix.
pub type TreeScheme = MerkleTreeMmcs<F, u8, LeafHash, NodeHash, 2, 32>;
/// Sibling digests that authenticate several leaves at once.
pub type MultiProof = <TreeScheme as p3_commit::Mmcs<F>>::MultiProof;
/// Merkle roots as `p3` types them.
pub type Commitment = <TreeScheme as p3_commit::Mmcs<F>>::Commitment;
/// The Reed-Solomon encoder.
pub type Dft = Radix2DFTSmallBatch<F>;
/// The scheme: its verifier is used as it is.
pub type Pcs = WhirProver<K, F, Dft, Forest, Challenger, SuffixProver<F, K>>;
/// An opening.
pub type Proof = PcsProof<F, K, Forest>;

/// The Merkle tree scheme, roots of one digest.
pub fn tree_scheme() -> TreeScheme {
    TreeScheme::new(LeafHash::new(Blake3), NodeHash::new(Blake3), 0)
}
