//! The ledger of claims "the extension of tensor T at point r is v", sorted by who must settle them.

use super::Rejection;
use crate::field::K;
use crate::graph::{Graph, TensorId};
use crate::plan::{Home, SubgraphPlan};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

/// A claim on a vector that the context names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PointValue {
    /// Coordinates, axis by axis, most significant first.
    pub point: Vec<K>,
    /// The claimed value.
    pub value: K,
}

/// Claims of one subgraph.
#[derive(Clone, Debug)]
pub struct Ledger<'a> {
    /// The relation.
    pub graph: &'a Graph,
    /// What the subgraph commits to and proves.
    pub plan: &'a SubgraphPlan,
    virtuals: BTreeMap<TensorId, Vec<((), PointValue)>>,
    /// On columns of the witness, by place in [`SubgraphPlan::columns`].
    pub witness: Vec<(usize, PointValue)>,
    /// On weights of the subgraph, by place in [`SubgraphPlan::weights`].
    pub weights: Vec<(usize, PointValue)>,
    /// On public and boundary tensors: settled outside the subgraph.
    pub outside: Vec<(TensorId, PointValue)>,
}

impl<'a> Ledger<'a> {
    /// An empty ledger for a subgraph of the graph.
    pub const fn new(graph: &'a Graph, plan: &'a SubgraphPlan) -> Self {
        Self { graph, plan, virtuals: BTreeMap::new(), witness: Vec::new(), weights: Vec::new(), outside: Vec::new() }
    }

    /// Enters a claim on a tensor.
    ///
    /// # Errors
    /// If the ledger holds another value of this tensor at this point.
    pub fn tensor(&mut self, tensor: TensorId, point: Vec<K>, value: K) -> Result<(), Rejection> {
        let claim = PointValue { point, value };
        let fresh = match self.plan.home(tensor) {
            Home::Virtual => enter(self.virtuals.entry(tensor).or_default(), (), claim),
            Home::Public | Home::Boundary(_) => enter(&mut self.outside, tensor, claim),
            Home::Weight(place) => enter(&mut self.weights, place, claim),
            Home::Witness(place) => enter(&mut self.witness, place, claim),
        };
        super::require(fresh, || format!("tensor '{}'", self.graph.tensor(tensor).name), "one value at one point")
    }

    /// Enters a claim on a column of the witness.
    ///
    /// # Errors
    /// If the ledger holds another value of this column at this point.
    pub fn column(&mut self, place: usize, point: Vec<K>, value: K) -> Result<(), Rejection> {
        let fresh = enter(&mut self.witness, place, PointValue { point, value });
        super::require(fresh, || format!("witness column {place}"), "one value at one point")
    }

    /// Takes all claims on a virtual tensor.
    pub fn take(&mut self, tensor: TensorId) -> Vec<PointValue> {
        self.virtuals.remove(&tensor).unwrap_or_default().into_iter().map(|(_, claim)| claim).collect()
    }
}

/// Enters a claim that the list lacks; `false` if the list holds another value.
fn enter<T: PartialEq>(list: &mut Vec<(T, PointValue)>, owner: T, claim: PointValue) -> bool {
    match list.iter().find(|(o, c)| *o == owner && c.point == claim.point) {
        Some((_, known)) => known.value == claim.value,
        None => {
            list.push((owner, claim));
            true
        }
    }
}
