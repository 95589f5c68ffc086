//! See `quadratic.cu`.

use super::gpu::Gpu;
use super::vectors::Elements;
use verifier::field::K;

/// See `Device::round`.
pub fn round(gpu: &Gpu, a: &Elements, b: &Elements) -> [K; 2] {
    let pairs = a.len / 2;
    let grid = gpu.grid(pairs);
    let partial = gpu.elements(grid.blocks as usize * 2);
    gpu.quadratic_round(grid, gpu.at(a), gpu.at(b), pairs as u64, gpu.at(&partial));
    gpu.total(&partial, grid.blocks)
}

/// See `Device::fold`.
pub fn fold(gpu: &Gpu, values: &Elements, x: K) -> Elements {
    let out = gpu.elements(values.len / 2);
    gpu.fold(gpu.grid(out.len), gpu.at(values), out.len as u64, x.into(), gpu.at(&out));
    out
}

/// See `Device::fold_round`.
pub fn fold_round(gpu: &Gpu, a: &mut Elements, b: &mut Elements, x: K) -> [K; 2] {
    let pairs = a.len / 4;
    let grid = gpu.grid(pairs);
    let partial = gpu.elements(grid.blocks as usize * 2);
    let [to_a, to_b] = [gpu.elements(a.len / 2), gpu.elements(b.len / 2)];
    let (from, to) = ((gpu.at(a), gpu.at(b)), (gpu.at(&to_a), gpu.at(&to_b)));
    gpu.quadratic_fold_round(grid, from.0, from.1, pairs as u64, x.into(), to.0, to.1, gpu.at(&partial));
    (*a, *b) = (to_a, to_b);
    gpu.total(&partial, grid.blocks)
}
