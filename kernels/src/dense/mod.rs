//! Row-major tensors of any scalar on the CPU, and the two operations that a model in floats and one in integers share:
//! [`einsum`] and [`rearrange`]. Integers wrap; the interval analysis makes sure that no final value does.

mod narrow;
mod product;
mod sparse;

use crate::Ints;
use crate::integers::Summand;
use rayon::prelude::*;
use std::borrow::Cow;
use verifier::graph::AxisGroup;

/// A ring element that the executors compute with.
pub trait Scalar: Copy + Send + Sync + PartialEq + Default + 'static {
    /// Neutral element of the product.
    const ONE: Self;
    /// `self + a * b`.
    fn add_product(self, a: Self, b: Self) -> Self;
    /// `out[i, j] = sum_k a[i, k] b[j, k]` by blocks, all row-major, `n` columns; whether that is exact, and done.
    fn product(k: usize, a: &[Self], b: &[Self], n: usize, out: &mut [Self]) -> bool;
}

impl Scalar for f64 {
    const ONE: Self = 1.0;
    fn add_product(self, a: Self, b: Self) -> Self {
        self + a * b
    }
    fn product(k: usize, a: &[Self], b: &[Self], n: usize, out: &mut [Self]) -> bool {
        product::reals(k, a, b, n, out);
        true
    }
}

impl Scalar for i64 {
    const ONE: Self = 1;
    fn add_product(self, a: Self, b: Self) -> Self {
        self.wrapping_add(a.wrapping_mul(b))
    }
    fn product(k: usize, a: &[Self], b: &[Self], n: usize, out: &mut [Self]) -> bool {
        product::integers(k, a, b, n, out)
    }
}

/// A tensor with a label for each of its axes.
#[derive(Clone, Debug)]
pub struct Factor<'a, T: Clone> {
    /// Row-major values.
    pub data: Cow<'a, [T]>,
    /// One for each axis, distinct.
    pub labels: Vec<u8>,
}

impl<'a, T: Clone> Factor<'a, T> {
    /// A view of values held elsewhere.
    pub fn borrowed(data: &'a [T], labels: &[u8]) -> Self {
        Self { data: Cow::Borrowed(data), labels: labels.to_vec() }
    }

    fn owned(data: Vec<T>, labels: Vec<u8>) -> Self {
        Self { data: Cow::Owned(data), labels }
    }

    fn reborrowed(&self) -> Factor<'_, T> {
        Factor::borrowed(&self.data, &self.labels)
    }
}

/// Work, in multiplications, above which a contraction runs on all cores.
const PARALLEL: usize = 1 << 18;

/// Row-major strides of a shape.
pub fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Lengths of the labels' axes.
pub fn lengths(dims: &[usize], labels: &[u8]) -> Vec<usize> {
    labels.iter().map(|&l| dims[l as usize]).collect()
}

/// Offsets into a tensor with `labels`, for every index over `order` (row-major); a label that the tensor lacks adds 0.
pub fn offsets(dims: &[usize], labels: &[u8], order: &[u8]) -> Vec<usize> {
    let own = strides(&lengths(dims, labels));
    let mut offsets = vec![0];
    for &label in order {
        let stride = labels.iter().position(|&l| l == label).map_or(0, |axis| own[axis]);
        offsets = offsets.iter().flat_map(|&o| (0..dims[label as usize]).map(move |i| o + i * stride)).collect();
    }
    offsets
}

/// `sum_t coefficient_t * sum over the term's labels that are not in `out` of prod_k factor_{t,k}`, of shape `dims[out]`.
pub fn einsum<T: Scalar>(dims: &[usize], out: &[u8], terms: Vec<(T, Vec<Factor<'_, T>>)>) -> Vec<T> {
    let mut sum = None;
    for (coefficient, factors) in terms {
        add(dims, out, &mut sum, coefficient, contract(dims, out, factors));
    }
    sum.unwrap_or_else(|| zeros(dims, out))
}

fn zeros<T: Scalar>(dims: &[usize], out: &[u8]) -> Vec<T> {
    vec![T::default(); lengths(dims, out).iter().product()]
}

/// As [`einsum`], of integers that are widened only where a product needs it.
pub fn integer_einsum(dims: &[usize], out: &[u8], summands: &[Summand<Ints>]) -> Vec<i64> {
    let mut sum = None;
    for Summand { coefficient, factors } in summands {
        let largest = (0..factors.len()).max_by_key(|&i| factors[i].0.len());
        let wide = |i: usize| Factor::owned(factors[i].0.to_vec(), factors[i].1.to_vec());
        let mut others: Vec<Factor<'_, i64>> = (0..factors.len()).filter(|&i| Some(i) != largest).map(wide).collect();
        let narrow = largest.and_then(|i| narrow::contract(dims, out, factors[i], &others.iter().collect::<Vec<_>>()));
        let product = narrow.unwrap_or_else(|| {
            others.extend(largest.map(wide));
            contract(dims, out, others)
        });
        add(dims, out, &mut sum, *coefficient, product);
    }
    sum.unwrap_or_else(|| zeros(dims, out))
}

/// `sum += coefficient * term`, the term repeated along the labels that it lacks; the first term may be the sum itself.
fn add<T: Scalar>(dims: &[usize], out: &[u8], sum: &mut Option<Vec<T>>, coefficient: T, term: Factor<'_, T>) {
    if sum.is_none() && coefficient == T::ONE && term.labels == out {
        *sum = Some(term.data.into_owned());
        return;
    }
    let sum = sum.get_or_insert_with(|| zeros(dims, out));
    if term.labels == out {
        for (sum, &x) in sum.iter_mut().zip(term.data.iter()) {
            *sum = sum.add_product(coefficient, x);
        }
    } else {
        for (sum, offset) in sum.iter_mut().zip(offsets(dims, &term.labels, out)) {
            *sum = sum.add_product(coefficient, term.data[offset]);
        }
    }
}

/// The product of the factors, summed over every label that is not in `keep`.
fn contract<'a, T: Scalar>(dims: &[usize], keep: &[u8], mut factors: Vec<Factor<'a, T>>) -> Factor<'a, T> {
    if let Some(chosen) = sparse::contract(dims, keep, &factors) {
        return chosen;
    }
    let Some(mut product) = factors.pop() else { return Factor::owned(vec![T::ONE], Vec::new()) };
    factors.sort_by_key(|f| f.data.len());
    while let Some(next) = factors.pop() {
        let needed: Vec<u8> = factors.iter().flat_map(|f| &f.labels).chain(keep).copied().collect();
        // The rows of the result are those of the factor whose own labels come first.
        let first = |f: &Factor<'_, T>, other: &Factor<'_, T>| {
            keep.iter().position(|l| f.labels.contains(l) && !other.labels.contains(l))
        };
        let turned = matches!((first(&product, &next), first(&next, &product)), (Some(a), Some(b)) if b < a);
        product = if turned { pair(dims, &needed, &next, &product) } else { pair(dims, &needed, &product, &next) };
    }
    sum_out(dims, keep, &product).unwrap_or(product)
}

/// The factor summed over the labels that are not in `keep`; `None` if there are none.
fn sum_out<T: Scalar>(dims: &[usize], keep: &[u8], factor: &Factor<'_, T>) -> Option<Factor<'static, T>> {
    let (labels, gone): (Vec<u8>, Vec<u8>) = factor.labels.iter().partition(|l| keep.contains(l));
    if gone.is_empty() {
        return None;
    }
    let inner = offsets(dims, &factor.labels, &gone);
    let data = offsets(dims, &factor.labels, &labels)
        .iter()
        .map(|&o| inner.iter().fold(T::default(), |sum, &i| sum.add_product(T::ONE, factor.data[o + i])))
        .collect();
    Some(Factor::owned(data, labels))
}

/// The values in the order of `order`, which must name all of the factor's labels.
fn permuted<'a, T: Scalar>(dims: &[usize], factor: &'a Factor<'_, T>, order: &[u8]) -> Cow<'a, [T]> {
    if factor.labels == order {
        return Cow::Borrowed(&factor.data);
    }
    offsets(dims, &factor.labels, order).iter().map(|&o| factor.data[o]).collect()
}

/// How the labels of two factors take part in their product.
pub struct Roles {
    /// In both, and kept.
    pub batch: Vec<u8>,
    /// Only in the first.
    pub rows: Vec<u8>,
    /// Only in the second.
    pub columns: Vec<u8>,
    /// In both, and summed.
    pub summed: Vec<u8>,
}

impl Roles {
    /// The roles in a product of `a` and `b` summed over what is not `needed`.
    pub fn new(needed: &[u8], a: &[u8], b: &[u8]) -> Self {
        let pick = |labels: &[u8], f: &dyn Fn(u8) -> bool| labels.iter().copied().filter(|&l| f(l)).collect();
        Self {
            batch: pick(a, &|l| b.contains(&l) && needed.contains(&l)),
            rows: pick(a, &|l| !b.contains(&l)),
            columns: pick(b, &|l| !a.contains(&l)),
            summed: pick(a, &|l| b.contains(&l) && !needed.contains(&l)),
        }
    }
}

/// The product of two factors, summed over the labels that are not `needed`: one batched matrix product.
fn pair<T: Scalar>(dims: &[usize], needed: &[u8], a: &Factor<'_, T>, b: &Factor<'_, T>) -> Factor<'static, T> {
    let only = |x: &Factor<'_, T>, y: &Factor<'_, T>| {
        let keep: Vec<u8> = y.labels.iter().chain(needed).copied().collect();
        sum_out(dims, &keep, x)
    };
    let (reduced_a, reduced_b) = (only(a, b), only(b, a));
    let a = reduced_a.as_ref().map_or_else(|| a.reborrowed(), Factor::reborrowed);
    let b = reduced_b.as_ref().map_or_else(|| b.reborrowed(), Factor::reborrowed);
    let Roles { batch, rows, columns, summed } = Roles::new(needed, &a.labels, &b.labels);
    let size = |labels: &[u8]| lengths(dims, labels).iter().product::<usize>();
    let (m, n, k) = (size(&rows), size(&columns), size(&summed));
    let left = permuted(dims, &a, &[&batch[..], &rows, &summed].concat());
    let right = permuted(dims, &b, &[&batch[..], &columns, &summed].concat());
    let mut data = vec![T::default(); size(&batch) * m * n];
    let labels = [&batch[..], &rows, &columns].concat();
    if data.is_empty() || k == 0 {
        return Factor::owned(data, labels);
    }
    let row = |(index, out): (usize, &mut [T])| {
        let x = &left[index * k..][..k];
        let y = &right[index / m * n * k..][..n * k];
        for (value, column) in out.iter_mut().zip(y.chunks_exact(k)) {
            *value = dot(x, column);
        }
    };
    let blocked = product::pays(m, n, k) && {
        let batches = data.chunks_mut(m * n).zip(left.chunks(m * k).zip(right.chunks(n * k)));
        batches.into_iter().all(|(out, (left, right))| T::product(k, left, right, n, out))
    };
    if blocked {
        return Factor::owned(data, labels);
    }
    if data.len() * k >= PARALLEL {
        data.par_chunks_mut(n).enumerate().for_each(row);
    } else {
        data.chunks_mut(n).enumerate().for_each(row);
    }
    Factor::owned(data, labels)
}

/// Sums in lanes, which a compiler can keep in one register.
fn dot<T: Scalar>(x: &[T], y: &[T]) -> T {
    const LANES: usize = 16;
    let mut lanes = [T::default(); LANES];
    let (xs, ys) = (x.chunks_exact(LANES), y.chunks_exact(LANES));
    let rest = xs.remainder().iter().zip(ys.remainder());
    let rest = rest.fold(T::default(), |sum, (&p, &q)| sum.add_product(p, q));
    for (x, y) in xs.zip(ys) {
        for ((lane, &p), &q) in lanes.iter_mut().zip(x).zip(y) {
            *lane = lane.add_product(p, q);
        }
    }
    lanes.into_iter().fold(rest, |sum, lane| sum.add_product(T::ONE, lane))
}

/// `output[o] = input[map(o)]`, or zero where the map leads nowhere: a view.
pub fn rearrange<T: Copy + Default>(
    input: &[T],
    input_shape: &[usize],
    output_shape: &[usize],
    groups: &[AxisGroup],
) -> Vec<T> {
    let input_strides = strides(input_shape);
    // Position in the input, or None, for every output index of a group; and the group's strides by output axis.
    let maps: Vec<(Vec<Option<usize>>, Vec<usize>)> = groups
        .iter()
        .map(|group| {
            let lengths: Vec<usize> = group.input_axes.iter().map(|&a| input_shape[a]).collect();
            let place = |mut flat: usize| {
                let mut offset = 0;
                for (&axis, &length) in group.input_axes.iter().zip(&lengths).rev() {
                    offset += flat % length * input_strides[axis];
                    flat /= length;
                }
                offset
            };
            let offsets = group.indices(input_shape, output_shape).into_iter().map(|i| i.map(place)).collect();
            let mut by_axis = vec![0; output_shape.len()];
            let lengths: Vec<usize> = group.output_axes.iter().map(|&a| output_shape[a]).collect();
            for (&axis, stride) in group.output_axes.iter().zip(strides(&lengths)) {
                by_axis[axis] = stride;
            }
            (offsets, by_axis)
        })
        .collect();
    let rows: usize = output_shape.iter().rev().skip(1).product();
    let last = output_shape.len().checked_sub(1);
    let length = last.map_or(1, |axis| output_shape[axis]);
    let mut output = vec![T::default(); rows * length];
    if output.is_empty() {
        return output;
    }
    let mut index = vec![0; last.unwrap_or(0)];
    for out in output.chunks_exact_mut(length) {
        let mut base = Some(0);
        let mut along = None;
        for (offsets, by_axis) in &maps {
            let start: usize = index.iter().zip(by_axis).map(|(i, s)| i * s).sum();
            match last {
                Some(axis) if by_axis[axis] > 0 => along = Some((&offsets[start..], by_axis[axis])),
                _ => base = base.zip(offsets[start]).map(|(b, o)| b + o),
            }
        }
        if let Some(base) = base {
            match along {
                Some((offsets, step)) => {
                    for (value, offset) in out.iter_mut().zip(offsets.iter().step_by(step)) {
                        if let Some(offset) = offset {
                            *value = input[base + offset];
                        }
                    }
                }
                None => out.fill(input[base]),
            }
        }
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            if index[axis] < output_shape[axis] {
                break;
            }
            index[axis] = 0;
        }
    }
    output
}
