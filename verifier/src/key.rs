//! The model key: all that a verifier must know of a model, and trusts. A proof never brings its own.

use crate::graph::{Graph, GraphError, Source};
use crate::plan::Plan;
use crate::transcript::Digest;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Version of the protocol and of the proof's encoding.
pub const PROTOCOL_VERSION: u32 = 7;
const MAGIC: &[u8; 8] = b"pm-key\0\x03";

/// Proven security of a whole proof, after all union bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Security {
    /// 128 bits.
    #[default]
    Bits128,
    /// 100 bits.
    Bits100,
}

impl Security {
    /// The bits.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Bits128 => 128,
            Self::Bits100 => 100,
        }
    }
}

/// Which subgraph proves which node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// For every node, the index of its subgraph.
    pub subgraph_of_node: Vec<u32>,
    /// Number of subgraphs; each has at least one node.
    pub count: u32,
}

impl Partition {
    /// The nodes of a subgraph, in topological order.
    pub fn nodes(&self, subgraph: u32) -> Vec<u32> {
        (0..).zip(&self.subgraph_of_node).filter(|&(_, &s)| s == subgraph).map(|(n, _)| n).collect()
    }
}

/// Why a key is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// Not the encoding of a key.
    #[error("not a model key of this version: {0}")]
    Encoding(String),
    /// The graph breaks a rule.
    #[error("the model's graph is malformed: {0}")]
    Graph(#[from] GraphError),
    /// The partition does not cover the graph.
    #[error("the partition is malformed: {0}")]
    Partition(String),
    /// The weight commitments do not fit the partition.
    #[error("the key has {found} weight commitments; its partition needs {expected}")]
    Weights {
        /// In the key.
        found: usize,
        /// In the partition.
        expected: usize,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Contents {
    security: Security,
    graph: Graph,
    partition: Partition,
    /// One for each subgraph that has weights, `None` for one that has none.
    weight_roots: Vec<Option<Digest>>,
}

/// Graph, partition, security and weight commitments of a model, checked, with the plan derived from them.
#[derive(Clone, Debug)]
pub struct ModelKey {
    contents: Contents,
    /// Size and graph of a batch, if that is more than one inference.
    batch: Option<(usize, Graph)>,
    plan: Plan,
    commitment: Digest,
}

impl ModelKey {
    /// A key from its parts.
    ///
    /// # Errors
    /// If the graph or the partition is malformed, or the roots do not fit.
    pub fn new(
        graph: Graph,
        partition: Partition,
        security: Security,
        weight_roots: Vec<Option<Digest>>,
    ) -> Result<Self, KeyError> {
        Self::check(Contents { security, graph, partition, weight_roots })
    }

    fn check(contents: Contents) -> Result<Self, KeyError> {
        let Contents { graph, partition, weight_roots, .. } = &contents;
        graph.check()?;
        check_partition(graph, partition)?;
        let plan = Plan::new(graph, partition);
        if weight_roots.len() != plan.subgraphs.len() {
            return Err(KeyError::Weights { found: weight_roots.len(), expected: plan.subgraphs.len() });
        }
        if weight_roots.iter().zip(&plan.subgraphs).any(|(root, s)| root.is_some() == s.weights.is_empty()) {
            return Err(KeyError::Encoding(
                "a subgraph without weights has a commitment, or one with weights none".into(),
            ));
        }
        let commitment = *blake3::hash(&encode(&contents)).as_bytes();
        Ok(Self { contents, batch: None, plan, commitment })
    }

    /// Decodes a key.
    ///
    /// # Errors
    /// If the bytes are not a well-formed key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let body = bytes.strip_prefix(MAGIC).ok_or_else(|| KeyError::Encoding("it does not begin like one".into()))?;
        let contents: Contents = postcard::from_bytes(body).map_err(|e| KeyError::Encoding(alloc::format!("{e}")))?;
        if encode(&contents) != bytes {
            return Err(KeyError::Encoding("it is not in canonical form".into()));
        }
        Self::check(contents)
    }

    /// The key's only encoding.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(&self.contents)
    }

    /// The model commitment: BLAKE3 of the encoding.
    pub const fn commitment(&self) -> Digest {
        self.commitment
    }

    /// The key for a batch of this size: same model, same weights, same commitment; graph and plan of the batch.
    ///
    /// # Errors
    /// If the model cannot be proved for so many inferences together: see [`Graph::batch`].
    pub fn for_batch(&self, size: usize) -> Result<Self, GraphError> {
        let contents = self.contents.clone();
        let batch = (size != 1).then(|| Ok((size, contents.graph.batch(size)?))).transpose()?;
        let plan = Plan::new(batch.as_ref().map_or(&contents.graph, |(_, graph)| graph), &contents.partition);
        Ok(Self { contents, batch, plan, commitment: self.commitment })
    }

    /// The relation for one inference.
    pub const fn model(&self) -> &Graph {
        &self.contents.graph
    }

    /// The relation that is proved: the model's, or that of [a batch](Self::for_batch).
    pub const fn graph(&self) -> &Graph {
        match &self.batch {
            Some((_, graph)) => graph,
            None => &self.contents.graph,
        }
    }

    /// How many inferences [`Self::graph`] is for.
    pub const fn batch_size(&self) -> usize {
        match &self.batch {
            Some((size, _)) => *size,
            None => 1,
        }
    }

    /// Who proves what.
    pub const fn partition(&self) -> &Partition {
        &self.contents.partition
    }

    /// What the verifier demands.
    pub const fn security(&self) -> Security {
        self.contents.security
    }

    /// Commitment to the weights of a subgraph.
    pub fn weight_root(&self, subgraph: u32) -> Option<Digest> {
        self.contents.weight_roots.get(subgraph as usize).copied().flatten()
    }

    /// Everything that follows from graph and partition.
    pub const fn plan(&self) -> &Plan {
        &self.plan
    }
}

fn encode(contents: &Contents) -> Vec<u8> {
    // Serialising these types into a growing vector cannot fail.
    postcard::to_extend(contents, MAGIC.to_vec()).unwrap_or_default()
}

/// Checks that a partition gives every node to a subgraph, and every subgraph a node.
///
/// # Errors
/// What is wrong.
pub fn check_partition(graph: &Graph, partition: &Partition) -> Result<(), KeyError> {
    let fail = |problem: String| Err(KeyError::Partition(problem));
    if partition.subgraph_of_node.len() != graph.nodes.len() {
        return fail(alloc::format!(
            "it names {} nodes, the graph has {}",
            partition.subgraph_of_node.len(),
            graph.nodes.len()
        ));
    }
    if partition.count as usize > graph.nodes.len() {
        return fail(alloc::format!("{} subgraphs for {} nodes", partition.count, graph.nodes.len()));
    }
    let mut used = alloc::vec![false; partition.count as usize];
    for &s in &partition.subgraph_of_node {
        match used.get_mut(s as usize) {
            Some(u) => *u = true,
            None => return fail(alloc::format!("subgraph {s} of {}", partition.count)),
        }
    }
    match used.iter().position(|u| !u) {
        Some(empty) => fail(alloc::format!("subgraph {empty} has no node")),
        None if graph.tensors.iter().any(|t| matches!(t.source, Source::Node(_))) => Ok(()),
        None => fail("the graph computes nothing".into()),
    }
}
