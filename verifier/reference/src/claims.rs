//! Section 4: claims `T~(r) = v`, by who settles them, and the merging of claims on one virtual tensor.

use crate::error::{Error, require};
use crate::extension::{eq_below, split, variables};
use crate::field::K;
use crate::graph::{Graph, TensorId};
use crate::plan::{Home, SubgraphPlan};
use crate::sumcheck;
use crate::transcript::Transcript;
use std::collections::BTreeMap;

/// `T~(point) = value`, the tensor named by the context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Coordinates.
    pub point: Vec<K>,
    /// The claimed value.
    pub value: K,
}

/// The claims of one subgraph, in the order in which they arise.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    virtuals: BTreeMap<TensorId, Vec<(usize, Claim)>>,
    /// By column of the witness.
    pub witness: Vec<(usize, Claim)>,
    /// By place among the subgraph's weights.
    pub weights: Vec<(usize, Claim)>,
    /// By public or boundary tensor.
    pub outside: Vec<(usize, Claim)>,
}

impl Claims {
    /// Enters a claim on a tensor.
    pub fn tensor(
        &mut self,
        graph: &Graph,
        plan: &SubgraphPlan,
        tensor: TensorId,
        point: Vec<K>,
        value: K,
    ) -> Result<(), Error> {
        let name = &graph.tensor(tensor)?.name;
        let id = tensor as usize;
        let (list, owner) = match plan.home(tensor) {
            Home::Virtual => (self.virtuals.entry(tensor).or_default(), id),
            Home::Public | Home::Boundary(_) => (&mut self.outside, id),
            Home::Weight(place) => (&mut self.weights, place),
            Home::Witness(place) => (&mut self.witness, place),
        };
        enter(list, owner, Claim { point, value }, || format!("tensor '{name}'"))
    }

    /// Enters a claim on a column of the witness.
    pub fn column(&mut self, place: usize, point: Vec<K>, value: K) -> Result<(), Error> {
        enter(&mut self.witness, place, Claim { point, value }, || format!("column {place}"))
    }

    /// All claims on a virtual tensor.
    pub fn on_virtual(&self, tensor: TensorId) -> Vec<Claim> {
        self.virtuals.get(&tensor).into_iter().flatten().map(|(_, claim)| claim.clone()).collect()
    }
}

fn enter(
    list: &mut Vec<(usize, Claim)>,
    owner: usize,
    claim: Claim,
    place: impl FnOnce() -> String,
) -> Result<(), Error> {
    if let Some((_, known)) = list.iter().find(|(o, c)| *o == owner && c.point == claim.point) {
        return require(known.value == claim.value, place, "one value at one point");
    }
    list.push((owner, claim));
    Ok(())
}

/// `sum_j c^j x_j`.
pub fn powers(xs: impl IntoIterator<Item = K>, c: K) -> K {
    let (mut sum, mut power) = (K::ZERO, K::ONE);
    for x in xs {
        sum = sum + power * x;
        power = power * c;
    }
    sum
}

/// Reduces two or more claims on one tensor to one.
pub fn merge(transcript: &mut Transcript, name: &str, shape: &[usize], claims: &[Claim]) -> Result<Claim, Error> {
    let c = transcript.challenge();
    transcript.charge("merging of claims", claims.len());
    let claimed = powers(claims.iter().map(|claim| claim.value), c);
    let end = sumcheck::verify(transcript, claimed, variables(shape), 2)?;
    let value = transcript.read()?;
    let rho = split(shape, &end.point)?;
    let mut weights = Vec::new();
    for claim in claims {
        let r = split(shape, &claim.point)?;
        weights.push(r.iter().zip(&rho).zip(shape).map(|((a, b), &d)| eq_below(a, b, d)).product());
    }
    require(end.value == powers(weights, c) * value, || format!("tensor '{name}'"), "the merged claim")?;
    Ok(Claim { point: end.point, value })
}
