//! See `einsum.cu`, and `tensor.cu` for what runs on tensor cores. A term of more than two factors is contracted pair by pair, the
//! smallest first.

use super::gpu::Gpu;
use super::integers::{Digits, combine};
use super::launch::{Grid, Product};
use super::placed::Hold;
use super::tensor;
use super::vectors::{Integers, Unfinished, Word};
use crate::dense::{lengths, offsets, strides};
use crate::integers::Summand;
use std::cmp::Reverse;

/// Rows and columns of a tile, and summands that it reads at a time.
const SIDE: usize = 64;
const DEPTH: usize = 16;
/// Least work, elements of the result and summands for which tiles pay.
const LEAST: (usize, usize, usize) = (1 << 14, 64, 8);
/// Fewest summands that are worth a thread of their own.
const MIN_SPAN: usize = 64;
/// Threads of a multiprocessor.
const THREADS: usize = 1 << 11;

/// A tensor with a label for each axis.
struct Factor {
    values: Integers,
    labels: Vec<u8>,
}

/// See `IntegerDevice::einsum`; `bytes` hold every element.
pub fn einsum(gpu: &Gpu, dims: &[usize], out: &[u8], summands: &[Summand<Integers>], bytes: usize) -> Integers {
    let sums = gpu.zero_integers(lengths(dims, out).iter().product());
    for summand in summands {
        let factor =
            |&(values, labels): &(&Integers, &[u8])| Factor { values: values.clone(), labels: labels.to_vec() };
        let mut factors: Vec<Factor> = summand.factors.iter().map(factor).collect();
        while factors.len() > 2 {
            factors.sort_by_key(|factor| Reverse(factor.values.len));
            let pair = factors.split_off(factors.len() - 2);
            let needed = |label: &u8| out.contains(label) || factors.iter().any(|f| f.labels.contains(label));
            let mut labels: Vec<u8> = pair.iter().flat_map(|f| &f.labels).copied().filter(needed).collect();
            labels.sort_unstable();
            labels.dedup();
            let values = gpu.zero_integers(lengths(dims, &labels).iter().product());
            add(gpu, dims, &labels, 1, &pair, &values);
            factors.push(Factor { values: gpu.finished(values), labels });
        }
        add(gpu, dims, out, summand.coefficient, &factors, &sums);
    }
    combine(gpu, 0, &[(1, &gpu.finished(sums))], bytes)
}

/// Adds a term of at most two factors.
fn add(gpu: &Gpu, dims: &[usize], out: &[u8], coefficient: i64, factors: &[Factor], sums: &Unfinished) {
    if let [left, right] = factors
        && let Some(roles) = Roles::new(dims, out, left, right).filter(Roles::pays)
    {
        multiply(gpu, dims, out, coefficient, [left, right], &roles, sums);
    } else {
        add_each(gpu, dims, out, coefficient, factors, sums);
    }
}

fn add_each(gpu: &Gpu, dims: &[usize], out: &[u8], coefficient: i64, factors: &[Factor], sums: &Unfinished) {
    let mut summed: Vec<u8> = factors.iter().flat_map(|f| &f.labels).copied().filter(|l| !out.contains(l)).collect();
    summed.sort_unstable();
    summed.dedup();
    let count: usize = lengths(dims, &summed).iter().product();
    let (mut head, mut digits, mut inner) = (Vec::<Word>::new(), Digits::default(), Vec::new());
    let held: Vec<Hold> = factors.iter().map(|factor| gpu.hold(&factor.values)).collect();
    for (factor, held) in factors.iter().zip(&held) {
        let first = digits.len();
        let own = strides(&lengths(dims, &factor.labels));
        let mut divisor = 1;
        for &label in out.iter().rev() {
            if let Some(axis) = factor.labels.iter().position(|&l| l == label) {
                digits.push_joined(first, [divisor, dims[label as usize] as u64, own[axis] as u64]);
            }
            divisor *= dims[label as usize] as u64;
        }
        head.push(held.at().into());
        head.extend([factor.values.bytes, first, digits.len() - first].map(|number| Word::from(number as u64)));
        inner.extend(offsets(dims, &factor.labels, &summed).into_iter().map(|place| place as u64));
    }
    let parts = (gpu.processors as usize * THREADS / sums.len).clamp(1, count.div_ceil(MIN_SPAN)).min(MAX_PARTS);
    let span = count.div_ceil(parts);
    let grid = Grid { rows: count.div_ceil(span) as u32, ..gpu.grid(sums.len) };
    let (head, digits, inner) = (gpu.upload_table(&head), digits.upload(gpu), gpu.upload(&inner));
    let [count, span, n] = [count, span, sums.len].map(|size| size as u64);
    let (head, digits, inner) = (gpu.table_at(&head), gpu.pointer(&digits), gpu.pointer(&inner));
    let (factors, coefficient) = (factors.len() as u32, coefficient as u64);
    gpu.einsum_each(grid, head, factors, digits, inner, count, span, coefficient, n, gpu.target(sums));
}

/// Most blocks in the second direction of a grid.
const MAX_PARTS: usize = u16::MAX as usize;

/// The labels of two factors by the part that they take in a product of matrices.
struct Roles {
    batch: Vec<u8>,
    rows: Vec<u8>,
    columns: Vec<u8>,
    summed: Vec<u8>,
    /// Their lengths.
    sizes: [usize; 4],
}

impl Roles {
    /// `None` if some label takes another part: summed in one factor alone, or in neither.
    fn new(dims: &[usize], out: &[u8], left: &Factor, right: &Factor) -> Option<Self> {
        let (a, b) = (&left.labels, &right.labels);
        let pick = |of: &[u8], f: &dyn Fn(&u8) -> bool| of.iter().copied().filter(|l| f(l)).collect::<Vec<u8>>();
        let batch = pick(a, &|l| b.contains(l) && out.contains(l));
        let rows = pick(a, &|l| !b.contains(l));
        let columns = pick(b, &|l| !a.contains(l));
        let summed = pick(a, &|l| b.contains(l) && !out.contains(l));
        let covered = rows.iter().chain(&columns).all(|l| out.contains(l));
        let all = batch.len() + rows.len() + columns.len() == out.len();
        let sizes = [&batch, &rows, &columns, &summed].map(|labels| lengths(dims, labels).iter().product());
        (covered && all).then_some(Self { batch, rows, columns, summed, sizes })
    }

    fn pays(&self) -> bool {
        let [batch, rows, columns, summed] = self.sizes;
        batch * rows * columns * summed >= LEAST.0 && rows * columns >= LEAST.1 && summed >= LEAST.2
    }
}

fn multiply(
    gpu: &Gpu,
    dims: &[usize],
    out: &[u8],
    coefficient: i64,
    [left, right]: [&Factor; 2],
    roles: &Roles,
    sums: &Unfinished,
) {
    let Roles { batch, rows, columns, summed, sizes } = roles;
    let tables = [
        (&left.labels[..], batch),
        (&right.labels, batch),
        (out, batch),
        (&left.labels, rows),
        (out, rows),
        (&right.labels, columns),
        (out, columns),
        (&left.labels, summed),
        (&right.labels, summed),
    ];
    let tables = tables.map(|(labels, order)| offsets(dims, labels, order));
    let bytes = [left, right].map(|factor| factor.values.bytes);
    let is_for_tensor_cores = tensor::pays(*sizes, bytes);
    let step = if is_for_tensor_cores { tensor::DEPTH } else { DEPTH };
    let [batches, down, across, depth] = *sizes;
    let tiles = batches * down.div_ceil(SIDE) * across.div_ceil(SIDE);
    let parts = (gpu.processors as usize * 2 / tiles).clamp(1, depth.div_ceil(4 * step)).min(MAX_PARTS);
    let span = depth.div_ceil(parts).next_multiple_of(step);
    let grid = Grid { blocks: tiles as u32, rows: depth.div_ceil(span) as u32 };
    let [batches, rows, columns, summed, span] = [batches, down, across, depth, span].map(|size| size as u64);
    let [left_bytes, right_bytes] = bytes.map(|bytes| bytes as u64);
    let held = [left, right].map(|factor| gpu.hold(&factor.values));
    let [left, right] = held.each_ref().map(Hold::at);
    let coefficient = coefficient as u64;
    let product = Product { left, right, left_bytes, right_bytes, batches, rows, columns, summed, span, coefficient };
    let places: Vec<u64> = tables.iter().flatten().map(|&place| place as u64).collect();
    let places = gpu.upload(&places);
    let (places, to) = (gpu.pointer(&places), gpu.target(sums));
    if is_for_tensor_cores {
        let [left_batch, right_batch, _, left_rows, _, right_columns, _, left_inner, right_inner] = &tables;
        let forms = [[left_batch, left_rows, left_inner], [right_batch, right_columns, right_inner]].map(tensor::form);
        tensor::multiply(gpu, grid, product, forms, places, to);
    } else if left_bytes.max(right_bytes) <= 4 {
        gpu.einsum_narrow(grid, product, places, to);
    } else {
        gpu.einsum_wide(grid, product, places, to);
    }
}
