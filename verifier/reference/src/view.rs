//! Section 8: a claim on a view's output becomes a claim on its input.

use crate::claims::Claim;
use crate::error::{Error, require};
use crate::extension::{bits, digits, eq_index, ones, split};
use crate::field::{K, count};
use crate::graph::{AxisGroup, IndexMap, View};
use crate::subgraph::Subgraph;
use crate::sumcheck;

/// A group's axes: lengths on both sides, and the claim's coordinates on the output's side.
struct Group<'a> {
    map: &'a IndexMap,
    input: Vec<usize>,
    output: Vec<usize>,
    point: Vec<&'a [K]>,
}

impl<'a> Group<'a> {
    fn new(group: &'a AxisGroup, input: &[usize], output: &[usize], point: &[&'a [K]]) -> Result<Self, Error> {
        let missing = Error::Internal("an axis does not exist");
        let pick = |axes: &[usize], shape: &[usize]| axes.iter().map(|&a| shape.get(a).copied()).collect();
        let lengths = |axes, shape| Option::<Vec<usize>>::ok_or(pick(axes, shape), missing.clone());
        let coordinates: Option<Vec<&[K]>> = group.output_axes.iter().map(|&a| point.get(a).copied()).collect();
        Ok(Self {
            map: &group.map,
            input: lengths(&group.input_axes, input)?,
            output: lengths(&group.output_axes, output)?,
            point: coordinates.ok_or(missing.clone())?,
        })
    }

    /// The coordinates of its input axes and a factor, if it needs no sum.
    fn free(&self) -> Option<(Vec<K>, K)> {
        let IndexMap::Affine { offset, strides } = self.map else { return None };
        let range = self.input.iter().product::<usize>();
        let axes = || strides.iter().zip(&self.output);
        if axes().all(|(&stride, &d)| stride == 0 || d == 1) {
            let index = usize::try_from(*offset).ok().filter(|&i| i < range)?;
            let repeats = self.point.iter().zip(&self.output).map(|(r, &d)| ones(r, d)).product();
            return Some((self.index_bits(index), repeats));
        }
        let row_major = |place: usize| self.output.iter().skip(place + 1).product::<usize>() as i64;
        let ordered = axes().enumerate().all(|(place, (&stride, &d))| stride == row_major(place) || d == 1);
        let long = |shape: &[usize]| shape.iter().copied().filter(|&d| d > 1).collect::<Vec<_>>();
        let powers = |shape: &[usize]| long(shape).iter().skip(1).all(|d| d.is_power_of_two());
        let same_bits = powers(&self.input) && powers(&self.output) || long(&self.input) == long(&self.output);
        let renames = *offset == 0 && ordered && self.output.iter().product::<usize>() == range && same_bits;
        renames.then(|| (self.point.concat(), K::ONE))
    }

    /// The bits of an index along each input axis, most significant first.
    fn index_bits(&self, flat: usize) -> Vec<K> {
        let axes = digits(&self.input, flat).into_iter().zip(&self.input);
        axes.flat_map(|(i, &d)| (0..bits(d)).rev().map(move |bit| count(i >> bit & 1))).collect()
    }

    /// Where a flat output index leads.
    fn index(&self, flat: usize) -> Option<usize> {
        let index = match self.map {
            IndexMap::Table(table) => *table.get(flat)?,
            IndexMap::Affine { offset, strides } => {
                let steps = strides.iter().zip(digits(&self.output, flat)).map(|(&stride, o)| stride * o as i64);
                offset + steps.sum::<i64>()
            }
        };
        usize::try_from(index).ok().filter(|&i| i < self.input.iter().product())
    }

    /// `sum_o eq(r, o) eq(rho, map(o))`.
    fn weight(&self, rho: &[&[K]]) -> K {
        let mut sum = K::ZERO;
        for flat in 0..self.output.iter().product() {
            if let Some(index) = self.index(flat) {
                sum = sum + eq_flat(&self.output, &self.point, flat) * eq_flat(&self.input, rho, index);
            }
        }
        sum
    }
}

/// `prod_axis eq(r_axis, i_axis)`.
fn eq_flat(shape: &[usize], point: &[&[K]], flat: usize) -> K {
    point.iter().zip(digits(shape, flat)).map(|(r, i)| eq_index(r, i)).product()
}

/// Verifies a claim on the output and enters the claim on the input.
pub fn verify(s: &mut Subgraph, view: &View, claim: &Claim) -> Result<(), Error> {
    let (input, output) = (s.graph.tensor(view.input)?, s.graph.tensor(view.output)?);
    let point = split(&output.shape, &claim.point)?;
    let mut coordinates: Vec<Vec<K>> = vec![Vec::new(); input.shape.len()];
    let mut bind = |group: &AxisGroup, parts: Vec<&[K]>| {
        for (&axis, part) in group.input_axes.iter().zip(parts) {
            if let Some(place) = coordinates.get_mut(axis) {
                *place = part.to_vec();
            }
        }
    };
    let mut factor = K::ONE;
    let mut summed = Vec::new();
    for axes in &view.groups {
        let group = Group::new(axes, &input.shape, &output.shape, &point)?;
        match group.free() {
            Some((moved, repeats)) => {
                factor = factor * repeats;
                bind(axes, split(&group.input, &moved)?);
            }
            None => summed.push((axes, group)),
        }
    }
    let lengths: Vec<usize> = summed.iter().flat_map(|(_, group)| group.input.clone()).collect();
    let variables = lengths.iter().map(|&d| bits(d)).sum();
    let end = sumcheck::verify(&mut s.transcript, claim.value, variables, 1 + summed.len())?;
    let value = s.transcript.read()?;
    let mut parts = split(&lengths, &end.point)?.into_iter();
    for (axes, group) in &summed {
        let rho: Vec<&[K]> = parts.by_ref().take(group.input.len()).collect();
        factor = factor * group.weight(&rho);
        bind(axes, rho);
    }
    require(end.value == factor * value, || format!("view '{}'", output.name), "the sum over moved indices")?;
    s.claims.tensor(s.graph, s.plan, view.input, coordinates.concat(), value)
}
