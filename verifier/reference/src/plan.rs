//! Section 3: what each subgraph commits to, derived from graph and partition.

use crate::error::Error;
use crate::graph::{Graph, Op, Source, TensorId};
use crate::key::Partition;
use crate::limbs::{LookupPlan, choose_limb_bits};
use crate::table::Table;
use std::collections::{BTreeMap, BTreeSet};

/// Who settles a claim on a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// The statement.
    Public,
    /// The boundary commitment, at this place.
    Boundary(usize),
    /// The subgraph's weights, at this place.
    Weight(usize),
    /// The subgraph's witness, at this place.
    Witness(usize),
    /// The node that computes it.
    Virtual,
}

/// One subgraph.
#[derive(Clone, Debug, Default)]
pub struct SubgraphPlan {
    /// In topological order.
    pub nodes: Vec<u32>,
    /// Constants that the nodes read, by id.
    pub weights: Vec<TensorId>,
    /// Shapes of the witness's columns.
    pub columns: Vec<Vec<usize>>,
    /// Lookups among the nodes.
    pub lookups: Vec<LookupPlan>,
    /// Tables, in the order in which the lookups first use them.
    pub tables: Vec<Table>,
    /// The column of the multiplicities of all tables, if there are any.
    pub multiplicities: Option<usize>,
    /// Tensors that einsums and views compute and that are public or on the boundary.
    pub definitions: Vec<TensorId>,
    homes: BTreeMap<TensorId, Home>,
}

/// The whole proof.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Tensors under the boundary commitment, by id.
    pub boundary: Vec<TensorId>,
    /// For every subgraph.
    pub subgraphs: Vec<SubgraphPlan>,
}

impl SubgraphPlan {
    /// Who settles a claim on a tensor that a node of this subgraph reads or computes.
    pub fn home(&self, tensor: TensorId) -> Home {
        self.homes.get(&tensor).copied().unwrap_or(Home::Virtual)
    }

    /// Rows of all tables.
    pub fn table_rows(&self) -> usize {
        self.tables.iter().map(Table::rows).sum()
    }

    /// Adds a column; returns its place.
    pub fn column(&mut self, shape: &[usize]) -> usize {
        self.columns.push(shape.to_vec());
        self.columns.len() - 1
    }

    /// The place of a table, which is added if it is new.
    pub fn table(&mut self, table: Table) -> usize {
        if let Some(place) = self.tables.iter().position(|t| *t == table) {
            return place;
        }
        self.tables.push(table);
        self.tables.len() - 1
    }

    fn new(graph: &Graph, nodes: Vec<u32>, public: &BTreeSet<TensorId>, boundary: &[TensorId]) -> Result<Self, Error> {
        let mut plan = Self::default();
        let ops = nodes.iter().map(|&n| Ok(&graph.node(n)?.op)).collect::<Result<Vec<_>, Error>>()?;
        let mut weights = BTreeSet::new();
        for tensor in ops.iter().flat_map(|op| op.inputs()) {
            if graph.tensor(tensor)?.source == Source::Weight {
                weights.insert(tensor);
            }
        }
        plan.weights = weights.into_iter().collect();
        plan.homes.extend(plan.weights.iter().enumerate().map(|(place, &t)| (t, Home::Weight(place))));
        plan.homes.extend(boundary.iter().enumerate().map(|(place, &t)| (t, Home::Boundary(place))));
        plan.homes.extend(public.iter().map(|&t| (t, Home::Public)));

        let limb_bits = choose_limb_bits(graph, &ops)?;
        for (&node, op) in nodes.iter().zip(&ops) {
            if let Some(output) = op.output() {
                let held = plan.home(output) != Home::Virtual;
                match op {
                    Op::Lookup(_) | Op::Advice(_) if !held => {
                        let place = plan.column(&graph.tensor(output)?.shape);
                        plan.homes.insert(output, Home::Witness(place));
                    }
                    Op::Einsum(_) | Op::View(_) if held => plan.definitions.push(output),
                    _ => {}
                }
            }
            if let Op::Lookup(lookup) = op {
                let lookup = LookupPlan::new(graph, node, lookup, limb_bits, &mut plan)?;
                plan.lookups.push(lookup);
            }
        }
        if !plan.tables.is_empty() {
            let rows = plan.table_rows();
            plan.multiplicities = Some(plan.column(&[rows]));
        }
        plan.nodes = nodes;
        Ok(plan)
    }
}

impl Plan {
    /// The plan of a checked graph and partition.
    pub fn new(graph: &Graph, partition: &Partition) -> Result<Self, Error> {
        let owner = |node: u32| partition.subgraph_of_node.get(node as usize).copied();
        let public: BTreeSet<TensorId> = graph.inputs.iter().chain(&graph.outputs).map(|p| p.tensor).collect();
        let mut boundary = BTreeSet::new();
        for (reader, node) in (0..).zip(&graph.nodes) {
            for tensor in node.op.inputs() {
                let crosses =
                    matches!(graph.tensor(tensor)?.source, Source::Node(writer) if owner(writer) != owner(reader));
                if crosses && !public.contains(&tensor) {
                    boundary.insert(tensor);
                }
            }
        }
        let boundary: Vec<TensorId> = boundary.into_iter().collect();
        let nodes = |s: u32| (0..).zip(&partition.subgraph_of_node).filter(|(_, o)| **o == s).map(|(n, _)| n).collect();
        let subgraphs = (0..partition.count).map(|s| SubgraphPlan::new(graph, nodes(s), &public, &boundary));
        Ok(Self { subgraphs: subgraphs.collect::<Result<_, _>>()?, boundary })
    }
}

/// The shapes of tensors.
pub fn shapes(graph: &Graph, tensors: &[TensorId]) -> Result<Vec<Vec<usize>>, Error> {
    tensors.iter().map(|&t| Ok(graph.tensor(t)?.shape.clone())).collect()
}
