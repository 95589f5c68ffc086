//! See `fractions.cu`.

use super::gpu::Gpu;
use super::vectors::Elements;
use crate::cpu::{halve, row_length};
use crate::device::Fractions;
use p3_field::PrimeCharacteristicRing;
use verifier::field::K;

/// See `Device::add_fractions`.
pub fn add_fractions(gpu: &Gpu, below: &Fractions<Elements>) -> Fractions<Elements> {
    let (shape, length) = (halve(&below.shape), row_length(&below.shape));
    let len = shape.iter().product();
    let (p, q) = (gpu.elements(len), gpu.elements(len));
    let (from_p, from_q) = (gpu.at(&below.p), gpu.at(&below.q));
    gpu.add_fractions(gpu.grid(len), from_p, from_q, length as u64, len as u64, gpu.at(&p), gpu.at(&q));
    Fractions { shape, p, q }
}

/// See `Device::split_fractions`.
pub fn split_fractions(gpu: &Gpu, below: &Fractions<Elements>, c: K) -> [Elements; 4] {
    let length = row_length(&below.shape);
    let len = below.p.len / length * length.div_ceil(2);
    let children = [0; 4].map(|_| gpu.elements(len));
    let [even, q_even, p_odd, q_odd] = children.each_ref().map(|child| gpu.at(child));
    let (p, q) = (gpu.at(&below.p), gpu.at(&below.q));
    gpu.split_fractions(gpu.grid(len), p, q, length as u64, len as u64, c.into(), even, q_even, p_odd, q_odd);
    children
}

/// See `Device::fold_rows`.
pub fn fold_rows(gpu: &Gpu, values: &Elements, length: usize, x: K) -> Elements {
    let len = values.len / length * length.div_ceil(2);
    let out = gpu.elements(len);
    gpu.fold_rows(gpu.grid(len), gpu.at(values), length as u64, len as u64, x.into(), gpu.at(&out));
    out
}

/// See `Device::eq_prefixes`.
pub fn eq_prefixes(gpu: &Gpu, shape: &[usize], point: &[K]) -> Vec<Elements> {
    let mut shapes = vec![shape.to_vec()];
    for _ in point {
        let next = halve(&shapes[shapes.len() - 1]);
        shapes.push(next);
    }
    shapes.reverse();
    let mut tables = vec![gpu.upload_elements(&[K::ONE])];
    for (shape, &x) in shapes[1..].iter().zip(point) {
        let (length, len) = (row_length(shape), shape.iter().product());
        let table = gpu.elements(len);
        let last = gpu.at(&tables[tables.len() - 1]);
        gpu.eq_extend(gpu.grid(len), last, x.into(), length as u64, len as u64, gpu.at(&table));
        tables.push(table);
    }
    tables
}

/// See `Device::fraction_round`.
pub fn fraction_round(gpu: &Gpu, shape: &[usize], children: [&Elements; 4], eq: &Elements, c: K) -> [K; 2] {
    let [even, q_even, p_odd, q_odd] = children.map(|child| gpu.at(child));
    let grid = gpu.grid(eq.len);
    let partial = gpu.elements(grid.blocks as usize * 2);
    let at = gpu.at(&partial);
    gpu.fraction_round(
        grid,
        even,
        q_even,
        p_odd,
        q_odd,
        gpu.at(eq),
        row_length(shape) as u64,
        eq.len as u64,
        c.into(),
        at,
    );
    gpu.total(&partial, grid.blocks)
}
