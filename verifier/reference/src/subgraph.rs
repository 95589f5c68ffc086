//! Section 4, the order of a subgraph's argument: lookups, definitions, then nodes from the last to the first.

use crate::claims::{Claim, Claims, merge};
use crate::error::Error;
use crate::extension::variables;
use crate::graph::{Graph, Op};
use crate::key::Key;
use crate::plan::SubgraphPlan;
use crate::transcript::{Digest, Transcript};
use crate::{einsum, lookup, view};

const DOMAIN: &str = "proofmill/subgraph/1";

/// A subgraph's argument in progress.
#[derive(Clone, Debug)]
pub struct Subgraph<'a> {
    /// The relation.
    pub graph: &'a Graph,
    /// What the subgraph commits to and proves.
    pub plan: &'a SubgraphPlan,
    /// The proof.
    pub transcript: Transcript<'a>,
    /// Commitment to the weights.
    pub weight_root: Option<Digest>,
    /// Commitment to the witness.
    pub witness_root: Option<Digest>,
    /// What has been claimed so far.
    pub claims: Claims,
}

impl<'a> Subgraph<'a> {
    /// Absorbs what is known and reads the root of the witness.
    pub fn begin(
        key: &'a Key,
        statement: Digest,
        boundary: Option<Digest>,
        index: u32,
        proof: &'a [u8],
    ) -> Result<Self, Error> {
        let place = index as usize;
        let plan = key.plan.subgraphs.get(place).ok_or(Error::Internal("a subgraph does not exist"))?;
        let weight_root = key.weight_roots.get(place).copied().flatten();
        let mut transcript = Transcript::new(DOMAIN, proof);
        transcript.absorb("statement", &statement);
        transcript.absorb("boundary", boundary.as_ref().map_or(&[], |root| root));
        transcript.absorb("subgraph", &index.to_le_bytes());
        transcript.absorb("weights", weight_root.as_ref().map_or(&[], |root| root));
        let witness_root = if plan.columns.is_empty() { None } else { Some(transcript.read_digest()?) };
        Ok(Self { graph: &key.graph, plan, transcript, weight_root, witness_root, claims: Claims::default() })
    }

    /// Verifies everything but the openings.
    pub fn argue(&mut self) -> Result<(), Error> {
        lookup::verify(self)?;
        let mut definitions = Vec::new();
        for &tensor in &self.plan.definitions {
            let point = self.transcript.challenges(variables(&self.graph.tensor(tensor)?.shape));
            self.transcript.charge("definitions", point.len());
            let value = self.transcript.read()?;
            self.claims.tensor(self.graph, self.plan, tensor, point.clone(), value)?;
            definitions.push((tensor, Claim { point, value }));
        }
        for &node in self.plan.nodes.iter().rev() {
            let op = &self.graph.node(node)?.op;
            let (Op::Einsum(_) | Op::View(_), Some(output)) = (op, op.output()) else { continue };
            let tensor = self.graph.tensor(output)?;
            let mut claims = match definitions.iter().find(|(t, _)| *t == output) {
                Some((_, claim)) => vec![claim.clone()],
                None => self.claims.on_virtual(output),
            };
            if claims.len() > 1 {
                claims = vec![merge(&mut self.transcript, &tensor.name, &tensor.shape, &claims)?];
            }
            // A tensor that nothing reads carries no claim.
            let Some(claim) = claims.pop() else { continue };
            match op {
                Op::Einsum(e) => einsum::verify(self, e, &claim)?,
                Op::View(v) => view::verify(self, v, &claim)?,
                Op::Lookup(_) | Op::Advice(_) => {}
            }
        }
        Ok(())
    }
}
