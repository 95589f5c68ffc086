//! Section 9: every subgraph's proof, every claim on a public tensor, one opening of the boundary.

use crate::claims::Claim;
use crate::commitment::{self, Claimed, Layout};
use crate::error::{Error, require};
use crate::extension::evaluate_integers;
use crate::file::{File, Inference};
use crate::generation;
use crate::graph::Graph;
use crate::key::Key;
use crate::plan::{Home, shapes};
use crate::soundness::Account;
use crate::subgraph::Subgraph;
use crate::transcript::{Digest, Transcript};

const DOMAIN: &str = "proofmill/aggregate/1";

/// What an accepted proof says.
#[derive(Clone, Debug, PartialEq)]
pub struct Verified {
    /// What the model was run on, and what it gave.
    pub inferences: Vec<Inference>,
    /// For each of them the tokens that the model chose after the prompt; none if it does not generate.
    pub answers: Vec<Vec<i64>>,
    /// The statement's digest.
    pub statement: Digest,
    /// Bits of soundness.
    pub bits: f64,
}

fn part<T>(name: impl FnOnce() -> String, result: Result<T, Error>) -> Result<T, Error> {
    result.map_err(|error| Error::Part { part: name(), error: Box::new(error) })
}

/// Verifies a proof file against the bytes of a model key that the caller trusts.
///
/// # Errors
/// Why the key or the proof is refused.
pub fn verify(key: &[u8], proof: &[u8]) -> Result<Verified, Error> {
    verify_with(&Key::from_bytes(key)?, proof)
}

/// As [`verify`], with the key decoded.
///
/// # Errors
/// Why the proof is refused.
pub fn verify_with(key: &Key, proof: &[u8]) -> Result<Verified, Error> {
    let file = File::new(proof)?;
    if file.model != key.commitment {
        return Err(Error::Model);
    }
    let key = &key.of_inferences(file.inferences.len())?;
    file.check(&key.model)?;
    let answer = |inference| generation::answer(&key.model, inference);
    let answers = file.inferences.iter().map(answer).collect::<Result<_, _>>()?;
    let fits =
        file.subgraphs.len() == key.plan.subgraphs.len() && file.boundary.is_some() != key.plan.boundary.is_empty();
    if !fits {
        return Err(Error::Parts);
    }
    let statement = file.statement(&key.commitment);
    let mut account = Account::default();
    let mut outside = Vec::new();
    for (index, proof) in (0..).zip(&file.subgraphs) {
        let claims = verify_subgraph(key, statement, file.boundary, index, proof, &mut account);
        outside.extend(part(|| format!("subgraph {index}"), claims)?);
    }
    part(|| "boundary".into(), verify_boundary(key, &file, statement, &outside, &mut account))?;
    let (bits, demanded) = (account.bits(), key.security.bits());
    if bits < f64::from(demanded) {
        return Err(Error::Soundness { found: bits, demanded });
    }
    Ok(Verified { inferences: file.inferences, answers, statement, bits })
}

/// Bits that every opening must reach: the key's, and room for all openings and the arguments in one union.
fn opening_target(key: &Key) -> u32 {
    let openings = key.plan.subgraphs.len() + 1;
    let log2 = (0..usize::BITS).find(|&l| openings <= 1 << l).unwrap_or(usize::BITS);
    key.security.bits() + log2 + 1
}

fn boundary_layout(key: &Key) -> Result<Layout, Error> {
    Ok(Layout::new(&shapes(&key.graph, &key.plan.boundary)?))
}

/// Verifies a subgraph's argument and openings; returns its claims on public and boundary tensors.
fn verify_subgraph(
    key: &Key,
    statement: Digest,
    boundary: Option<Digest>,
    index: u32,
    proof: &[u8],
    account: &mut Account,
) -> Result<Vec<(usize, Claim)>, Error> {
    let mut s = Subgraph::begin(key, statement, boundary, index, proof)?;
    s.argue()?;
    let target = opening_target(key);
    let weights = Layout::new(&shapes(s.graph, &s.plan.weights)?);
    let witness = Layout::new(&s.plan.columns);
    let mut claimed: Vec<Claimed> = Vec::new();
    claimed.extend(s.weight_root.map(|root| Claimed { root, layout: &weights, claims: &s.claims.weights }));
    claimed.extend(s.witness_root.map(|root| Claimed { root, layout: &witness, claims: &s.claims.witness }));
    commitment::verify(&claimed, target, &mut s.transcript, account)?;
    // The boundary's root may stand for several polynomials while a subgraph draws its challenges, and so may the roots opened
    // together if the witness's is among them; the weights' root is the key's own and stands for one.
    let mut log2_candidates = commitment::log2_candidates(&[&boundary_layout(key)?], target)?;
    if !s.claims.witness.is_empty() && !witness.in_the_clear() {
        let opened = claimed.iter().filter(|commitment| !commitment.claims.is_empty());
        let layouts: Vec<&Layout> = opened.map(|commitment| commitment.layout).collect();
        log2_candidates += commitment::log2_candidates(&layouts, target)?;
    }
    s.transcript.finish()?;
    for &degree in s.transcript.charged.values() {
        account.add_degree(degree, log2_candidates);
    }
    Ok(s.claims.outside)
}

/// Checks claims on public tensors, and opens the boundary at all other claims, each once.
fn verify_boundary(
    key: &Key,
    file: &File,
    statement: Digest,
    outside: &[(usize, Claim)],
    account: &mut Account,
) -> Result<(), Error> {
    let homes = key.plan.subgraphs.first().ok_or(Error::Internal("there is no subgraph"))?;
    let mut open: Vec<(usize, Claim)> = Vec::new();
    for (tensor, claim) in outside {
        match homes.home(*tensor as u32) {
            Home::Boundary(place) => {
                let claim = (place, claim.clone());
                if !open.contains(&claim) {
                    open.push(claim);
                }
            }
            _ => check_public(key, file, *tensor as u32, claim)?,
        }
    }
    let mut transcript = Transcript::new(DOMAIN, file.opening);
    transcript.absorb("statement", &statement);
    transcript.absorb("boundary", file.boundary.as_ref().map_or(&[], |root| root));
    transcript.absorb("subgraphs", &(file.subgraphs.len() as u64).to_le_bytes());
    file.subgraphs.iter().for_each(|proof| transcript.absorb("subgraph", proof));
    if let Some(root) = &file.boundary {
        let claimed = Claimed { root: *root, layout: &boundary_layout(key)?, claims: &open };
        commitment::verify(&[claimed], opening_target(key), &mut transcript, account)?;
    }
    transcript.finish()
}

/// A public tensor is the values of all inferences one after another, or what all have if no input reaches it.
fn check_public(key: &Key, file: &File, tensor: u32, claim: &Claim) -> Result<(), Error> {
    let each = file.inferences.iter().map(|inference| public(&key.model, inference, tensor));
    let mut each = each.collect::<Result<Vec<_>, Error>>()?;
    let (wide, narrow) = (key.graph.tensor(tensor)?, key.model.tensor(tensor)?);
    if wide.shape == narrow.shape {
        each.dedup();
    }
    let values = each.concat();
    let whole = values.len() == wide.shape.iter().product::<usize>();
    let holds = whole && evaluate_integers(&wide.shape, &values, &claim.point)? == claim.value;
    require(holds, || format!("public tensor '{}'", wide.name), "the claimed value")
}

fn public(model: &Graph, inference: &Inference, tensor: u32) -> Result<Vec<i64>, Error> {
    let noise = generation::noise(model, inference)?;
    let inputs = model.inputs.iter().zip(inference.inputs.iter().chain([&noise]));
    let mut ports = inputs.chain(model.outputs.iter().zip(&inference.outputs));
    let found = ports.find(|(port, _)| port.tensor == tensor);
    Ok(found.ok_or(Error::Internal("a public tensor has no port"))?.1.clone())
}
