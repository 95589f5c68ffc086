//! Verification of a whole proof: every subgraph against the key, every public claim against the statement, and all claims
//! on boundary tensors in one opening.

use crate::argument::ledger::PointValue;
use crate::argument::{Rejection, require, subgraph};
use crate::commitment::{self, Claim, Claimed, Layout, OpeningError, ParametersError, opening_soundness};
use crate::field::K;
use crate::generation::{self, Generated, GenerationError};
use crate::graph::{GraphError, Interface, TensorId};
use crate::key::ModelKey;
use crate::plan::Home;
use crate::proof::{Proof, ProofFormatError};
use crate::soundness::{ErrorTerm, Soundness};
use crate::statement::{Inference, Statement, StatementError};
use crate::transcript::{Digest, Reader, Transcript};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use thiserror::Error;

/// Domain of the transcript that closes the boundary.
pub const DOMAIN: &str = "proofmill/aggregate/1";

/// What an accepted proof says.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The public values of every inference, at least one.
    pub inferences: Vec<Inference>,
    /// What each of them says, if the model generates; else none.
    pub generated: Vec<Generated>,
    /// Digest of the statement.
    pub statement: Digest,
    /// Every error term, and their union.
    pub soundness: Soundness,
}

/// Why a proof is not accepted.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The file is not a proof.
    #[error(transparent)]
    Format(#[from] ProofFormatError),
    /// The proof is about another model.
    #[error("the proof is for model {found}, the key is of model {expected}")]
    Model {
        /// In the proof.
        found: String,
        /// The key's.
        expected: String,
    },
    /// The public values do not fit the model.
    #[error("the proof's public values do not fit the model: {0}")]
    Statement(#[from] StatementError),
    /// The model cannot be proved for so many inferences.
    #[error("the proof's number of inferences: {0}")]
    Batch(#[from] GraphError),
    /// The public values are not a prompt and its answer.
    #[error("the proof's public values are no generation: {0}")]
    Generation(#[from] GenerationError),
    /// Another number of subgraphs than the partition's.
    #[error("the proof has {found} subgraph proofs; the model's partition has {expected}")]
    Subgraphs {
        /// In the proof.
        found: usize,
        /// In the partition.
        expected: usize,
    },
    /// A boundary commitment where the partition has none, or the reverse.
    #[error("the proof's boundary commitment does not fit the partition")]
    Boundary,
    /// A subgraph's proof fails.
    #[error("subgraph {subgraph}: {error}")]
    Subgraph {
        /// Which.
        subgraph: u32,
        /// Why.
        error: SubgraphError,
    },
    /// The opening of the boundary fails.
    #[error("boundary: {0}")]
    Opening(SubgraphError),
    /// The terms do not add up to the security that the key demands.
    #[error("the proof has {found:.1} bits of soundness; the model's key demands {demanded}")]
    Soundness {
        /// The union of all terms.
        found: f64,
        /// The key's.
        demanded: u32,
    },
}

/// Why a part of a proof fails.
#[derive(Debug, Error)]
pub enum SubgraphError {
    /// The argument fails.
    #[error(transparent)]
    Rejection(#[from] Rejection),
    /// An opening fails.
    #[error(transparent)]
    Opening(#[from] OpeningError),
    /// No parameters reach the target.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
}

impl From<crate::transcript::ReadError> for SubgraphError {
    fn from(error: crate::transcript::ReadError) -> Self {
        Self::Rejection(error.into())
    }
}

/// A verified subgraph: its claims on public and boundary tensors, and its error terms.
#[derive(Clone, Debug)]
pub struct SubgraphClaims {
    /// Claims to be settled outside.
    pub outside: Vec<(TensorId, PointValue)>,
    /// Error terms of its argument and openings.
    pub terms: Vec<ErrorTerm>,
}

/// Bits that each opening must reach, so that the union over the whole proof reaches the key's security.
pub fn opening_target(key: &ModelKey) -> u32 {
    // One opening for each subgraph and one of the boundary; one bit more is left to the arguments.
    let openings = key.plan().subgraphs.len() + 1;
    key.security().bits() + openings.next_power_of_two().ilog2() + 1
}

/// Verifies the proof of one subgraph relative to its claims on public and boundary tensors.
///
/// # Errors
/// Why it is rejected.
pub fn verify_subgraph(
    key: &ModelKey,
    statement: Digest,
    boundary: Option<Digest>,
    index: u32,
    proof: &[u8],
) -> Result<SubgraphClaims, SubgraphError> {
    let plan = &key.plan().subgraphs[index as usize];
    let mut transcript = Reader::new(subgraph::DOMAIN, proof);
    subgraph::begin(&mut transcript, key, statement, boundary, index);
    let witness_root = if plan.columns.is_empty() { None } else { Some(transcript.read_digest()?) };
    let ledger = subgraph::verify(&mut transcript, key, index)?;

    let target = opening_target(key);
    let (weights, witness) = (placed(&ledger.weights), placed(&ledger.witness));
    let (weight_layout, witness_layout) = (weight_layout(key, index), Layout::new(&plan.column_shapes));
    let weights = key.weight_root(index).map(|root| (root, &weight_layout, weights));
    let witness = witness_root.map(|root| (root, &witness_layout, witness));
    let opened: Vec<_> = weights.iter().chain(&witness).collect();
    let claimed = opened.iter().map(|(root, layout, claims)| Claimed { root, layout, claims });
    commitment::verify(&claimed.collect::<Vec<_>>(), target, &mut transcript)?;

    let points = |(_, layout, claims): &(Digest, &Layout, Vec<Claim>)| layout.opening(claims).map(|o| o.points.len());
    let sized =
        opened.iter().map(|opened| Ok((opened.1, points(opened)?))).collect::<Result<Vec<_>, OpeningError>>()?;
    let (opening, log2_candidates) = opening_soundness(&sized, target)?;
    let mut terms: Vec<_> = opening.into_iter().map(|t| rename(t, &format!("subgraph {index}"))).collect();
    // The weights' root is the key's: it was made from one polynomial.
    let ambiguous = witness.is_some_and(|(_, layout, claims)| !layout.in_the_clear() && !claims.is_empty());
    let candidates = if ambiguous { log2_candidates } else { 0.0 };
    let charged = transcript.charged();
    transcript.finish()?;
    let boundary = boundary_candidates(key)?;
    for (name, degree) in charged {
        let term = ErrorTerm::schwartz_zippel(format!("subgraph {index}, {name}"), degree);
        terms.push(term.over_candidates(candidates + boundary));
    }
    Ok(SubgraphClaims { outside: ledger.outside, terms })
}

fn rename(mut term: ErrorTerm, place: &str) -> ErrorTerm {
    term.name = format!("{place}: {}", term.name);
    term
}

/// Logarithm of the number of boundary polynomials that its root may stand for while the subgraphs draw challenges.
fn boundary_candidates(key: &ModelKey) -> Result<f64, ParametersError> {
    let layout = boundary_layout(key);
    Ok(if key.plan().boundary.is_empty() { 0.0 } else { opening_soundness(&[(&layout, 1)], opening_target(key))?.1 })
}

/// Layout of a subgraph's weights.
pub fn weight_layout(key: &ModelKey, subgraph: u32) -> Layout {
    let weights = &key.plan().subgraphs[subgraph as usize].weights;
    Layout::new(&weights.iter().map(|&t| key.graph().tensor(t).shape.clone()).collect::<Vec<_>>())
}

/// Layout of the boundary tensors.
pub fn boundary_layout(key: &ModelKey) -> Layout {
    Layout::new(&key.plan().boundary_shapes(key.graph()))
}

/// Claims by place as the commitment takes them.
pub fn placed(claims: &[(usize, PointValue)]) -> Vec<Claim> {
    claims.iter().map(|(tensor, c)| Claim { tensor: *tensor, point: c.point.clone(), value: c.value }).collect()
}

/// The claims of all subgraphs that the boundary opening settles, each once, in order; public ones are checked here.
///
/// # Errors
/// If a public tensor has another value than a subgraph claims.
pub fn settle_public(
    key: &ModelKey,
    statement: &Statement,
    outside: &[(TensorId, PointValue)],
) -> Result<Vec<Claim>, Rejection> {
    let graph = key.graph();
    let mut open: Vec<Claim> = Vec::new();
    let mut public: BTreeMap<TensorId, Vec<&PointValue>> = BTreeMap::new();
    for (tensor, claim) in outside {
        if let Home::Boundary(place) = home(key, *tensor) {
            let claim = Claim { tensor: place, point: claim.point.clone(), value: claim.value };
            if !open.contains(&claim) {
                open.push(claim);
            }
        } else {
            public.entry(*tensor).or_default().push(claim);
        }
    }
    // All claims on a tensor at once: noise is derived once, however many subgraphs read some of it.
    for (tensor, claims) in public {
        let name = || format!("public tensor '{}'", graph.tensor(tensor).name);
        let (points, values): (Vec<&[K]>, Vec<K>) = claims.iter().map(|c| (&c.point[..], c.value)).unzip();
        let holds = statement.evaluate(key, tensor, &points) == Some(values);
        require(holds, name, "the claim on a public tensor")?;
    }
    Ok(open)
}

fn home(key: &ModelKey, tensor: TensorId) -> Home {
    key.plan().subgraphs.first().map_or(Home::Virtual, |s| s.home(tensor))
}

/// Starts the transcript that closes the boundary: it depends on every subgraph's proof.
pub fn begin_aggregate(
    transcript: &mut impl Transcript,
    statement: Digest,
    boundary: Option<Digest>,
    subgraphs: &[Vec<u8>],
) {
    transcript.absorb("statement", &statement);
    transcript.absorb("boundary", boundary.as_ref().map_or(&[], |root| root));
    transcript.absorb("subgraphs", &(subgraphs.len() as u64).to_le_bytes());
    subgraphs.iter().for_each(|proof| transcript.absorb("subgraph", proof));
}

/// What each inference of a model that generates says; nothing if the model does not.
///
/// # Errors
/// If one says nothing.
pub fn generated(key: &ModelKey, statement: &Statement) -> Result<Vec<Generated>, GenerationError> {
    let Interface::Generation(_) = key.model().interface else { return Ok(Vec::new()) };
    let read = |inference: &Inference| generation::read(key.model(), &inference.inputs, &inference.outputs);
    statement.inferences.iter().map(read).collect()
}

/// Verifies a proof against a model key that the caller trusts.
///
/// # Errors
/// Why it is rejected.
pub fn verify(key: &ModelKey, proof: &[u8]) -> Result<Verified, VerifyError> {
    let proof = Proof::from_bytes(proof)?;
    if proof.model != key.commitment() {
        return Err(VerifyError::Model { found: hex(&proof.model), expected: hex(&key.commitment()) });
    }
    let size = proof.statement.inferences.len();
    let batch = if size == key.batch_size() { None } else { Some(key.for_batch(size)?) };
    let key = batch.as_ref().unwrap_or(key);
    proof.statement.check(key)?;
    let generated = generated(key, &proof.statement)?;
    let expected = key.plan().subgraphs.len();
    if proof.subgraphs.len() != expected {
        return Err(VerifyError::Subgraphs { found: proof.subgraphs.len(), expected });
    }
    if proof.boundary.is_some() == key.plan().boundary.is_empty() {
        return Err(VerifyError::Boundary);
    }
    let statement = proof.statement.digest(key);
    let (mut outside, mut terms) = (Vec::new(), Vec::new());
    for (subgraph, bytes) in (0..).zip(&proof.subgraphs) {
        let claims = verify_subgraph(key, statement, proof.boundary, subgraph, bytes)
            .map_err(|error| VerifyError::Subgraph { subgraph, error })?;
        outside.extend(claims.outside);
        terms.extend(claims.terms);
    }
    terms.extend(verify_boundary(key, &proof, statement, &outside).map_err(VerifyError::Opening)?);
    let soundness = Soundness::new(terms);
    let demanded = key.security().bits();
    if soundness.total_bits < f64::from(demanded) {
        return Err(VerifyError::Soundness { found: soundness.total_bits, demanded });
    }
    Ok(Verified { inferences: proof.statement.inferences, generated, statement, soundness })
}

fn verify_boundary(
    key: &ModelKey,
    proof: &Proof,
    statement: Digest,
    outside: &[(TensorId, PointValue)],
) -> Result<Vec<ErrorTerm>, SubgraphError> {
    let claims = settle_public(key, &proof.statement, outside)?;
    let mut transcript = Reader::new(DOMAIN, &proof.opening);
    begin_aggregate(&mut transcript, statement, proof.boundary, &proof.subgraphs);
    let mut terms = Vec::new();
    if let Some(root) = &proof.boundary {
        let (layout, target) = (boundary_layout(key), opening_target(key));
        let claimed = Claimed { root, layout: &layout, claims: &claims };
        commitment::verify(&[claimed], target, &mut transcript)?;
        let points = layout.opening(&claims)?.points.len();
        let (opening, _) = opening_soundness(&[(&layout, points)], target)?;
        terms.extend(opening.into_iter().map(|t| rename(t, "boundary")));
    }
    transcript.finish()?;
    Ok(terms)
}

fn hex(digest: &Digest) -> String {
    digest.iter().take(8).map(|b| format!("{b:02x}")).collect()
}
