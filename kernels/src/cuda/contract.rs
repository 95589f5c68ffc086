//! See `contract.cu` and `affine.cu`.

use super::gpu::Gpu;
use super::placed::Hold;
use super::vectors::{Elements, Integers, Word};
use super::weights::flat;
use crate::device::Affine;
use p3_field::PrimeCharacteristicRing;
use verifier::field::K;

/// Most products that a thread adds up without a carry: see `Narrow`.
const MAX_SPAN: usize = 1 << 16;
/// Fewest that are worth a thread of their own.
const MIN_SPAN: usize = 1 << 7;
/// Lanes of a warp.
const WARP: usize = 32;

/// How an axis is contracted: `parts` parts of `span` elements for each of the result's elements, added up after.
struct Plan {
    length: usize,
    inner: usize,
    n: usize,
    span: usize,
    parts: usize,
}

impl Plan {
    fn new(gpu: &Gpu, shape: &[usize], axis: usize) -> Self {
        let (length, inner) = (shape[axis], shape[axis + 1..].iter().product::<usize>());
        let n = shape.iter().product::<usize>() / length;
        // So many threads or warps keep the device busy.
        let wanted = gpu.processors as usize * if inner == 1 { 1 << 6 } else { 1 << 11 };
        let parts = wanted.div_ceil(n).clamp(1, length.div_ceil(if inner == 1 { MIN_SPAN * WARP } else { MIN_SPAN }));
        let span = length.div_ceil(parts).min(MAX_SPAN);
        Self { length, inner, n, span, parts: length.div_ceil(span) }
    }
}

/// Launches the kernel of an element type, over rows or over columns.
macro_rules! contract {
    ($gpu:expr, $plan:expr, $values:expr, $weights:expr, $base:expr, $rows:ident, $columns:ident) => {{
        let (gpu, plan) = ($gpu, $plan);
        let parts = gpu.elements(plan.n * plan.parts);
        let weights = gpu.upload_elements($weights);
        let (from, to) = (gpu.at(&weights), gpu.at(&parts));
        let [n, length, inner, span, count] =
            [plan.n, plan.length, plan.inner, plan.span, plan.parts].map(|size| size as u64);
        if plan.inner == 1 {
            gpu.$rows(gpu.grid(parts.len * WARP), $values, n, length, from, span, count, $base.into(), to);
        } else {
            gpu.$columns(gpu.grid(parts.len), $values, n, length, inner, from, span, count, $base.into(), to);
        }
        sum_parts(gpu, parts, plan)
    }};
}

fn sum_parts(gpu: &Gpu, parts: Elements, plan: &Plan) -> Elements {
    if plan.parts == 1 {
        return parts;
    }
    let out = gpu.elements(plan.n);
    gpu.sum_parts(gpu.grid(plan.n), gpu.at(&parts), plan.parts as u64, plan.n as u64, gpu.at(&out));
    out
}

/// See `Device::contract`.
pub fn contract(gpu: &Gpu, values: &Elements, shape: &[usize], axis: usize, weights: &[K]) -> Elements {
    let plan = &Plan::new(gpu, shape, axis);
    contract!(gpu, plan, gpu.at(values), weights, K::ZERO, contract_rows_gl3, contract_columns_gl3)
}

/// See `Device::contract_ints`.
pub fn contract_ints(gpu: &Gpu, values: &Integers, shape: &[usize], axis: usize, weights: &[K]) -> Elements {
    let (plan, held) = (&Plan::new(gpu, shape, axis), gpu.hold(values));
    let (at, base) = (held.at(), base(values.bytes, weights));
    match values.bytes {
        1 => contract!(gpu, plan, at, weights, base, contract_rows_i8, contract_columns_i8),
        2 => contract!(gpu, plan, at, weights, base, contract_rows_i16, contract_columns_i16),
        4 => contract!(gpu, plan, at, weights, base, contract_rows_i32, contract_columns_i32),
        _ => contract!(gpu, plan, at, weights, base, contract_rows_i64, contract_columns_i64),
    }
}

/// What is to be added to a sum of integers of so many bytes times weights: narrow ones are shifted to be positive (see `dot.cuh`).
pub fn base(bytes: usize, weights: &[K]) -> K {
    match bytes {
        1 | 2 => -weights.iter().copied().sum::<K>() * K::from_usize(1 << (8 * bytes - 1)),
        _ => K::ZERO,
    }
}

/// See `Device::lift`.
pub fn lift(gpu: &Gpu, values: &Integers) -> Elements {
    let out = gpu.elements(values.len);
    let held = gpu.hold(values);
    let (grid, from, n, to) = (gpu.grid(out.len), held.at(), out.len as u64, gpu.at(&out));
    match values.bytes {
        1 => gpu.lift_i8(grid, from, n, to),
        2 => gpu.lift_i16(grid, from, n, to),
        4 => gpu.lift_i32(grid, from, n, to),
        _ => gpu.lift_i64(grid, from, n, to),
    }
    out
}

/// See `Device::permute`.
pub fn permute(gpu: &Gpu, values: Elements, shape: &[usize], order: &[usize]) -> Elements {
    if order.is_sorted() {
        return values;
    }
    let stride = |axis: usize| shape[axis + 1..].iter().product::<usize>() as u64;
    let mut digits = Vec::new();
    let mut divisor = 1;
    for &axis in order.iter().rev() {
        digits.extend([divisor, shape[axis] as u64, stride(axis)]);
        divisor *= shape[axis] as u64;
    }
    let (uploaded, out) = (gpu.upload(&digits), gpu.elements(values.len));
    let (from, places, to) = (gpu.at(&values), gpu.pointer(&uploaded), gpu.at(&out));
    gpu.permute(gpu.grid(out.len), from, places, order.len() as u64, out.len as u64, to);
    out
}

/// See `Device::affine`.
pub fn affine(gpu: &Gpu, slices: &[Affine<Integers>]) -> Elements {
    let out = gpu.elements(slices.iter().map(|slice| slice.len).sum());
    let mut to = gpu.at(&out);
    for slice in slices {
        let held: Vec<Hold> = slice.terms.iter().map(|(_, column)| gpu.hold(column)).collect();
        let mut terms: Vec<Word> = Vec::new();
        for ((factor, column), held) in slice.terms.iter().zip(&held) {
            terms.extend([Word::from(held.at()), Word::from(column.bytes as u64)]);
            terms.extend(flat(&[*factor]).map(Word::from));
        }
        let (table, count) = (gpu.upload_table(&terms), slice.terms.len() as u32);
        let (from, n) = (gpu.table_at(&table), slice.len as u64);
        gpu.affine(gpu.grid(slice.len), from, count, slice.constant.into(), n, to);
        to = to.offset::<[u64; 3]>(slice.len);
    }
    out
}
