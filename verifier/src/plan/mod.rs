//! What every subgraph commits to and proves, derived from the key alone: the verifier takes no shape, count or order
//! from a proof.

mod lookup;
mod table;

use crate::graph::{Graph, Op, Source, TensorId};
use crate::key::Partition;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec;
use alloc::vec::Vec;
pub use lookup::{Excess, Limb, LookupPlan};
pub use table::{Segment, Table, edge};

/// Who holds a tensor's values, and so who settles a claim on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Home {
    /// The statement: the verifier evaluates it.
    Public,
    /// The job's boundary commitment, at this place in [`Plan::boundary`].
    Boundary(usize),
    /// The weights of the subgraph at hand, at this place in [`SubgraphPlan::weights`].
    Weight(usize),
    /// The witness of the subgraph at hand, at this place in [`SubgraphPlan::columns`].
    Witness(usize),
    /// Nobody: a claim becomes claims on what it was computed from.
    Virtual,
}

/// A vector that a subgraph's prover commits to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// A tensor of the graph.
    Tensor(TensorId),
    /// A limb of the bits that a lookup drops.
    Remainder(LookupLimb),
    /// A limb of the value looked up, counted from the lowest value of the domain.
    Value(LookupLimb),
    /// 1, -1 or 0 where a limb of the value is full, empty, or neither.
    Edge(LookupLimb),
    /// A limb of what saturation takes away; all limbs share the sign.
    Excess(LookupLimb),
    /// How often each row of each table is looked up.
    Multiplicities,
}

/// A limb, and the lookup it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LookupLimb {
    /// Place in [`SubgraphPlan::lookups`].
    pub lookup: usize,
    /// Place among the limbs of its kind, lowest first.
    pub limb: usize,
}

/// What one subgraph commits to and proves.
#[derive(Clone, Debug, Default)]
pub struct SubgraphPlan {
    /// Nodes, in topological order.
    pub nodes: Vec<u32>,
    /// Constants that the nodes read, by id.
    pub weights: Vec<TensorId>,
    /// The witness.
    pub columns: Vec<Column>,
    /// Shape of every column.
    pub column_shapes: Vec<Vec<usize>>,
    /// The lookups among the nodes, in order.
    pub lookups: Vec<LookupPlan>,
    /// The tables that they use; a row's tag is the table's place here plus one.
    pub tables: Vec<Table>,
    /// Tensors that einsums and views compute but that are public or cross the boundary, in order: each is checked at a
    /// random point.
    pub definitions: Vec<TensorId>,
    homes: BTreeMap<TensorId, Home>,
}

impl SubgraphPlan {
    /// Who holds the tensor, seen from this subgraph. `Virtual` for a tensor that the subgraph does not know.
    pub fn home(&self, tensor: TensorId) -> Home {
        self.homes.get(&tensor).copied().unwrap_or(Home::Virtual)
    }

    /// Where the rows of the tables lie in the column of multiplicities.
    pub fn segments(&self) -> Vec<Segment> {
        table::segments(&self.tables)
    }

    /// Rows of all tables.
    pub fn table_rows(&self) -> usize {
        self.tables.iter().map(Table::rows).sum()
    }

    /// The place of the column of multiplicities, the last; there is one if there are tables.
    pub const fn multiplicities(&self) -> usize {
        self.columns.len() - 1
    }
}

/// The whole proof's plan.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Tensors under the boundary commitment, by id.
    pub boundary: Vec<TensorId>,
    /// One for each subgraph.
    pub subgraphs: Vec<SubgraphPlan>,
}

impl Plan {
    /// The plan of a checked graph and partition.
    pub fn new(graph: &Graph, partition: &Partition) -> Self {
        let public: BTreeSet<_> = graph.inputs.iter().chain(&graph.outputs).map(|p| p.tensor).collect();
        let boundary: Vec<_> = crossing(graph, partition).difference(&public).copied().collect();
        let subgraphs = (0..partition.count)
            .map(|s| {
                Builder { graph, public: &public, boundary: &boundary, plan: SubgraphPlan::default() }
                    .build(partition.nodes(s))
            })
            .collect();
        Self { boundary, subgraphs }
    }

    /// Shapes of the boundary tensors.
    pub fn boundary_shapes(&self, graph: &Graph) -> Vec<Vec<usize>> {
        self.boundary.iter().map(|&t| graph.tensor(t).shape.clone()).collect()
    }
}

/// Tensors that one subgraph computes and another reads.
fn crossing(graph: &Graph, partition: &Partition) -> BTreeSet<TensorId> {
    let subgraph = |node: u32| partition.subgraph_of_node.get(node as usize).copied();
    let reads = graph
        .nodes
        .iter()
        .zip(&partition.subgraph_of_node)
        .flat_map(|(n, &s)| n.op.inputs().into_iter().map(move |t| (t, s)));
    reads
        .filter(|&(t, reader)| match graph.tensor(t).source {
            Source::Node(n) => subgraph(n) != Some(reader),
            Source::Input | Source::Weight => false,
        })
        .map(|(t, _)| t)
        .collect()
}

struct Builder<'a> {
    graph: &'a Graph,
    public: &'a BTreeSet<TensorId>,
    boundary: &'a [TensorId],
    plan: SubgraphPlan,
}

impl Builder<'_> {
    fn build(mut self, nodes: Vec<u32>) -> SubgraphPlan {
        let graph = self.graph;
        let ops: Vec<&Op> = nodes.iter().map(|&n| &graph.nodes[n as usize].op).collect();
        let weights: BTreeSet<_> =
            ops.iter().flat_map(|op| op.inputs()).filter(|&t| graph.tensor(t).source == Source::Weight).collect();
        self.plan.weights = weights.into_iter().collect();
        for (i, &t) in self.plan.weights.iter().enumerate() {
            self.plan.homes.insert(t, Home::Weight(i));
        }
        for &t in self.public {
            self.plan.homes.insert(t, Home::Public);
        }
        for (i, &t) in self.boundary.iter().enumerate() {
            self.plan.homes.insert(t, Home::Boundary(i));
        }
        let limb_bits = lookup::choose_limb_bits(graph, &ops);
        for (&node, op) in nodes.iter().zip(&ops) {
            let Some(output) = op.output() else {
                if let Op::Lookup(l) = op {
                    self.lookup(node, l, limb_bits);
                }
                continue;
            };
            let committed = matches!(op, Op::Lookup(_) | Op::Advice(_));
            if committed && self.plan.home(output) == Home::Virtual {
                let place = self.column(Column::Tensor(output), graph.tensor(output).shape.clone());
                self.plan.homes.insert(output, Home::Witness(place));
            }
            if !committed && self.plan.home(output) != Home::Virtual {
                self.plan.definitions.push(output);
            }
            if let Op::Lookup(l) = op {
                self.lookup(node, l, limb_bits);
            }
        }
        if !self.plan.tables.is_empty() {
            let rows = self.plan.table_rows();
            self.column(Column::Multiplicities, vec![rows]);
        }
        self.plan.nodes = nodes;
        self.plan
    }

    fn column(&mut self, column: Column, shape: Vec<usize>) -> usize {
        self.plan.columns.push(column);
        self.plan.column_shapes.push(shape);
        self.plan.columns.len() - 1
    }

    fn table(&mut self, table: Table) -> usize {
        let place = self.plan.tables.iter().position(|t| *t == table);
        place.unwrap_or_else(|| {
            self.plan.tables.push(table);
            self.plan.tables.len() - 1
        })
    }
}

/// Widths of the limbs of a `bits`-bit number, lowest first: full limbs, then the rest.
fn limb_widths(bits: u32, limb_bits: u32) -> Vec<u32> {
    let mut widths = vec![limb_bits; (bits / limb_bits) as usize];
    if !bits.is_multiple_of(limb_bits) {
        widths.push(bits % limb_bits);
    }
    widths
}
