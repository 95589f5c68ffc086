//! The model key: what the verifier trusts.

use crate::batch::batch;
use crate::error::Error;
use crate::graph::{Graph, Source};
use crate::plan::Plan;
use crate::rules;
use crate::transcript::Digest;
use serde::{Deserialize, Serialize};

const MAGIC: &[u8; 8] = b"pm-key\0\x03";

/// The key's security.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Security {
    /// 128 bits.
    Bits128,
    /// 100 bits.
    Bits100,
}

impl Security {
    /// The bits.
    pub fn bits(self) -> u32 {
        match self {
            Self::Bits128 => 128,
            Self::Bits100 => 100,
        }
    }
}

/// Which subgraph proves which node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Partition {
    /// For every node.
    pub subgraph_of_node: Vec<u32>,
    /// Number of subgraphs.
    pub count: u32,
}

#[derive(Serialize, Deserialize)]
struct Contents {
    security: Security,
    graph: Graph,
    partition: Partition,
    weight_roots: Vec<Option<Digest>>,
}

/// A checked key and the plan that follows from it.
#[derive(Clone, Debug)]
pub struct Key {
    /// What a proof must reach.
    pub security: Security,
    /// The relation for one inference.
    pub model: Graph,
    /// The relation that is proved: the model's, or that of several inferences.
    pub graph: Graph,
    partition: Partition,
    /// Commitment to the weights of every subgraph.
    pub weight_roots: Vec<Option<Digest>>,
    /// What each subgraph commits to and proves.
    pub plan: Plan,
    /// BLAKE3 of the key's bytes.
    pub commitment: Digest,
}

impl Key {
    /// Decodes and checks a key.
    ///
    /// # Errors
    /// [`Error::Key`] if the bytes are not the one encoding of a well-formed key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let fail = |problem: &str| Error::Key(problem.into());
        let body = bytes.strip_prefix(MAGIC).ok_or_else(|| fail("it does not begin like one"))?;
        let contents: Contents = postcard::from_bytes(body).map_err(|e| Error::Key(e.to_string()))?;
        let encoded = postcard::to_allocvec(&contents).map_err(|e| Error::Key(e.to_string()))?;
        if encoded != body {
            return Err(fail("it is not in canonical form"));
        }
        let Contents { security, graph, partition, weight_roots } = contents;
        rules::check(&graph)?;
        check_partition(&graph, &partition)?;
        let plan = Plan::new(&graph, &partition)?;
        let fits = weight_roots.len() == plan.subgraphs.len()
            && weight_roots.iter().zip(&plan.subgraphs).all(|(root, s)| root.is_some() != s.weights.is_empty());
        if !fits {
            return Err(fail("the weight commitments do not fit the partition"));
        }
        let commitment = *blake3::hash(bytes).as_bytes();
        Ok(Self { security, model: graph.clone(), graph, partition, weight_roots, plan, commitment })
    }

    /// The key for so many inferences: the same weights, another graph and plan.
    ///
    /// # Errors
    /// If the model cannot be proved for so many.
    pub fn of_inferences(&self, count: usize) -> Result<Self, Error> {
        let graph = batch(&self.model, count)?;
        let plan = Plan::new(&graph, &self.partition)?;
        Ok(Self { graph, plan, ..self.clone() })
    }
}

fn check_partition(graph: &Graph, partition: &Partition) -> Result<(), Error> {
    let owners = &partition.subgraph_of_node;
    let whole = owners.len() == graph.nodes.len()
        && partition.count as usize <= owners.len()
        && owners.iter().all(|&s| s < partition.count)
        && (0..partition.count).all(|s| owners.contains(&s))
        && graph.tensors.iter().any(|t| matches!(t.source, Source::Node(_)));
    if whole { Ok(()) } else { Err(Error::Key("the partition does not cover the graph".into())) }
}
