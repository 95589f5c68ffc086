//! View: a claim on the output becomes a claim on the input.
//!
//! `V~(r) = sum_i (prod_groups S_g(r_g, i_g)) * T[i]`, `S_g` the 0/1 matrix of the group's index map. Groups whose map
//! only renames bits, fixes an index or repeats the input move the point for free; the others are summed out together.

use super::ledger::PointValue;
use super::{Rejection, require, sumcheck};
use crate::field::K;
use crate::graph::{AxisGroup, IndexMap, Tensor, View};
use crate::multilinear::{axis_bits, eq_table, ones, split_point};
use crate::transcript::Reader;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use p3_field::PrimeCharacteristicRing;

/// How a claim passes through a view.
#[derive(Clone, Debug)]
pub struct Route {
    /// For every input axis: its coordinates, or `None` if it is summed.
    pub axes: Vec<Option<Vec<K>>>,
    /// Groups that are summed, by place in the view.
    pub summed: Vec<usize>,
    /// Factor contributed by the free groups.
    pub factor: K,
}

impl Route {
    /// The route of a claim at `point` on the view's output.
    pub fn new(view: &View, input: &[usize], output: &[usize], point: &[K]) -> Self {
        let coordinates = split_point(output, point);
        let mut route = Self { axes: vec![None; input.len()], summed: Vec::new(), factor: K::ONE };
        for (place, group) in view.groups.iter().enumerate() {
            let points: Vec<&[K]> = group.output_axes.iter().map(|&a| coordinates[a]).collect();
            match free(group, input, output, &points) {
                Some((bits, factor)) => {
                    route.factor *= factor;
                    let mut rest = bits.as_slice();
                    for &axis in &group.input_axes {
                        let (head, tail) = rest.split_at(axis_bits(input[axis]));
                        route.axes[axis] = Some(head.to_vec());
                        rest = tail;
                    }
                }
                None => route.summed.push(place),
            }
        }
        route
    }

    /// The summed input axes: group by group, in each group's order.
    pub fn summed_axes(&self, view: &View) -> Vec<usize> {
        self.summed.iter().flat_map(|&g| view.groups[g].input_axes.iter().copied()).collect()
    }
}

/// The input coordinates and the factor of a group that needs no sum.
fn free(group: &AxisGroup, input: &[usize], output: &[usize], points: &[&[K]]) -> Option<(Vec<K>, K)> {
    let IndexMap::Affine { offset, strides } = &group.map else { return None };
    let range: usize = group.input_axes.iter().map(|&a| input[a]).product();
    let dims: Vec<usize> = group.output_axes.iter().map(|&a| output[a]).collect();
    if strides.iter().zip(&dims).all(|(&s, &d)| s == 0 || d == 1) {
        // One input index, repeated.
        let index = usize::try_from(*offset).ok().filter(|&i| i < range)?;
        let repeat = points.iter().zip(&dims).map(|(p, &d)| ones(p, d)).product();
        return Some((index_bits(index, group.input_axes.iter().map(|&a| input[a])), repeat));
    }
    let mut row_major = vec![1i64; dims.len()];
    for i in (1..dims.len()).rev() {
        row_major[i - 1] = row_major[i] * dims[i] as i64;
    }
    let same_order = strides.iter().zip(&row_major).zip(&dims).all(|((s, m), &d)| s == m || d == 1);
    let inner_powers = |dims: &[usize]| {
        let mut long = dims.iter().filter(|&&d| d > 1);
        long.next();
        long.all(|d| d.is_power_of_two())
    };
    let input_dims: Vec<usize> = group.input_axes.iter().map(|&a| input[a]).collect();
    let renames = *offset == 0
        && same_order
        && dims.iter().product::<usize>() == range
        && (inner_powers(&dims) && inner_powers(&input_dims) || long(&dims) == long(&input_dims));
    renames.then(|| (points.concat(), K::ONE))
}

fn long(dims: &[usize]) -> Vec<usize> {
    dims.iter().copied().filter(|&d| d > 1).collect()
}

/// The bits of a row-major index, axis by axis, as coordinates.
fn index_bits(index: usize, dims: impl DoubleEndedIterator<Item = usize>) -> Vec<K> {
    let mut rest = index;
    let mut digits = Vec::new();
    for d in dims.rev() {
        digits.push((rest % d, d));
        rest /= d;
    }
    let bits = |(digit, d): (usize, usize)| (0..axis_bits(d)).rev().map(move |b| K::from_usize(digit >> b & 1));
    digits.into_iter().rev().flat_map(bits).collect()
}

/// `S_g(r_g, i)` for every flat input index of the group.
pub fn group_weights(group: &AxisGroup, input: &[usize], output: &[usize], point: &[K]) -> Vec<K> {
    let coordinates = split_point(output, point);
    let range = group.input_axes.iter().map(|&a| input[a]).product();
    let mut weights = vec![K::ZERO; range];
    let tables = group.output_axes.iter().map(|&a| eq_table(coordinates[a], output[a]));
    for (index, weight) in group.indices(input, output).into_iter().zip(outer_product(tables)) {
        if let Some(i) = index {
            weights[i] += weight;
        }
    }
    weights
}

/// Row-major products of one entry of every table.
pub fn outer_product(tables: impl Iterator<Item = Vec<K>>) -> Vec<K> {
    tables.fold(vec![K::ONE], |left, right| left.iter().flat_map(|&l| right.iter().map(move |&r| l * r)).collect())
}

/// Verifies a claim on the view's output; returns the claim on its input.
///
/// # Errors
/// If the prover's messages are malformed or do not fit the claim.
pub fn verify(
    transcript: &mut Reader,
    view: &View,
    input: &Tensor,
    output: &Tensor,
    claim: &PointValue,
) -> Result<PointValue, Rejection> {
    let (from, to) = (&input.shape, &output.shape);
    let mut route = Route::new(view, from, to, &claim.point);
    let axes = route.summed_axes(view);
    let variables = axes.iter().map(|&a| axis_bits(from[a])).sum();
    let reduced = sumcheck::verify(transcript, claim.value, variables, 1 + route.summed.len())?;
    let mut rest = reduced.point.as_slice();
    let mut scale = route.factor;
    for &place in &route.summed {
        let group = &view.groups[place];
        let mut tables = Vec::new();
        for &axis in &group.input_axes {
            let (head, tail) = rest.split_at(axis_bits(from[axis]));
            tables.push(eq_table(head, from[axis]));
            route.axes[axis] = Some(head.to_vec());
            rest = tail;
        }
        let weights = group_weights(group, from, to, &claim.point);
        scale *= weights.iter().zip(outer_product(tables.into_iter())).map(|(&w, e)| w * e).sum::<K>();
    }
    let value = transcript.read()?;
    require(reduced.value == scale * value, || format!("view '{}'", output.name), "the sum over moved indices")?;
    Ok(PointValue { point: route.axes.into_iter().flatten().flatten().collect(), value })
}
