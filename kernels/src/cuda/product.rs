//! See `product.cu`.

use super::gpu::Gpu;
use super::launch::{Grid, Pointer};
use super::vectors::Elements;
use crate::device::Factor;
use cudarc::driver::CudaSlice;
use verifier::field::K;

/// Points whose values one block sums.
const POINTS: usize = 3;

/// Digits of an index of one tensor, and what each weighs in another: divisor, length, stride.
pub type Digits = Vec<[u64; 3]>;

/// The digits of an index over `dims` that a tensor over some of the axes has.
fn digits(dims: &[usize], axes: &[usize]) -> Digits {
    let mut digits: Digits = Vec::new();
    let (mut divisor, mut stride) = (1, 1);
    let mut joined = false;
    for (axis, &d) in dims.iter().enumerate().rev() {
        let d = d as u64;
        if axes.contains(&axis) {
            match digits.last_mut().filter(|_| joined) {
                Some([_, length, _]) => *length *= d,
                None => digits.push([divisor, d, stride]),
            }
            stride *= d;
        }
        // An axis of length 1 parts nothing.
        joined = axes.contains(&axis) || (joined && d == 1);
        divisor *= d;
    }
    digits
}

/// Factors as the kernels read them: four words each, then all digits.
struct Described {
    memory: CudaSlice<u64>,
    count: u32,
}

impl Described {
    fn new(gpu: &Gpu, factors: &[Factor<Elements>], in_row: impl Fn(&[usize]) -> bool, outer: &[usize]) -> Self {
        let (mut head, mut tail): (Vec<u64>, Vec<u64>) = (Vec::new(), Vec::new());
        for factor in factors {
            let digits = digits(outer, &factor.axes);
            let values = gpu.at(&factor.values).word();
            head.extend([values, in_row(&factor.axes).into(), tail.len() as u64 / 3, digits.len() as u64]);
            tail.extend(digits.into_iter().flatten());
        }
        head.append(&mut tail);
        Self { memory: gpu.upload(&head), count: factors.len() as u32 }
    }

    fn pointers(&self, gpu: &Gpu) -> (Pointer, Pointer) {
        let head = gpu.pointer(&self.memory);
        (head, head.offset::<[u64; 4]>(self.count as usize))
    }
}

/// See `Device::product_total`.
pub fn product_total(gpu: &Gpu, dims: &[usize], factors: &[Factor<Elements>]) -> K {
    let joint = dims.iter().product();
    let described = Described::new(gpu, factors, |_| false, dims);
    let (head, digits) = described.pointers(gpu);
    let grid = gpu.grid(joint);
    let partial = gpu.elements(grid.blocks as usize);
    gpu.product_total(grid, head, described.count, digits, joint as u64, gpu.at(&partial));
    let [total] = gpu.total(&partial, grid.blocks);
    total
}

/// See `Device::product_round`.
pub fn product_round(gpu: &Gpu, dims: &[usize], factors: &[Factor<Elements>], degree: usize) -> Vec<K> {
    let Some(axis) = dims.iter().rposition(|&d| d > 1) else { return Vec::new() };
    let (outer, length) = (&dims[..axis], dims[axis]);
    let rows: usize = outer.iter().product();
    let described = Described::new(gpu, factors, |axes| axes.contains(&axis), outer);
    let (head, digits) = described.pointers(gpu);
    let blocks = gpu.grid(rows * length.div_ceil(2)).blocks;
    let partial = gpu.elements(blocks as usize * degree);
    gpu.product_round(
        Grid { blocks, rows: degree.div_ceil(POINTS) as u32 },
        head,
        described.count,
        digits,
        rows as u64,
        length as u64,
        degree as u32,
        gpu.at(&partial),
    );
    gpu.download_elements(&gpu.sums(&partial, blocks, degree))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_of_neighbouring_axes_are_one() {
        assert_eq!(digits(&[3, 4, 5], &[0, 1, 2]), [[1, 60, 1]]);
        assert_eq!(digits(&[3, 4, 5], &[0, 1]), [[5, 12, 1]]);
        assert_eq!(digits(&[3, 4, 5], &[0, 2]), [[1, 5, 1], [20, 3, 5]]);
        assert_eq!(digits(&[3, 1, 5], &[0, 2]), [[1, 15, 1]]);
        assert_eq!(digits(&[3, 4], &[]), Digits::new());
    }
}
