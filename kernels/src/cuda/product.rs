//! See `product.cu`.

use super::gpu::Gpu;
use super::launch::{Grid, Pointer, Sumcheck, THREADS};
use super::placed::Hold;
use super::transcript::{Played, state};
use super::vectors::{Elements, Integers};
use crate::sumcheck::{Cells, Factor, Product, Reduced, next_axis};
use verifier::field::K;
use verifier::multilinear::axis_bits;
use verifier::transcript::Writer;

/// Points whose values one block sums.
const POINTS: usize = 3;
/// Pairs that one block takes alone, rather than that all wait for each other in every round.
const FEW_PAIRS: usize = 8 * THREADS as usize;

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

/// A factor on its way through the rounds, and as the kernels read it.
struct Held<'a> {
    axes: &'a [usize],
    /// Where it is.
    values: u64,
    bytes: usize,
    len: usize,
    /// Length of the rows that the last challenge folds, if it folds any.
    unfolded: Option<usize>,
    /// Where they go, by turns.
    folded: [Option<Elements>; 2],
    _hold: Option<Hold>,
}

impl<'a> Held<'a> {
    fn new(gpu: &Gpu, Factor { axes, cells }: &'a Factor<Integers, Elements>) -> Self {
        let (values, bytes, len, hold) = match cells {
            Cells::Integers(values) => {
                let hold = gpu.hold(values);
                (hold.at().word(), values.bytes, values.len, Some(hold))
            }
            Cells::Elements(values) => (gpu.at(values).word(), 0, values.len, None),
        };
        Self { axes, values, bytes, len, unfolded: None, folded: [None, None], _hold: hold }
    }

    /// Appends it as it is in a round, with the axis that the round's variable is of, and takes it to the next.
    fn describe(&mut self, gpu: &Gpu, dims: &[usize], axis: Option<usize>, words: &mut Vec<u64>, tail: &mut Vec<u64>) {
        let in_row = axis.is_some_and(|axis| self.axes.contains(&axis));
        let digits = digits(&dims[..axis.unwrap_or(0)], self.axes);
        let mut target = Pointer::NULL.word();
        if let Some(length) = self.unfolded {
            self.len = self.len / length * length.div_ceil(2);
            self.folded.swap(0, 1);
            // The first of a place is the longest that goes there.
            target = gpu.at(self.folded[0].get_or_insert_with(|| gpu.elements(self.len))).word();
        }
        let unfolded = self.unfolded.unwrap_or(0) as u64;
        words.extend([self.values, self.bytes as u64, target, unfolded, in_row.into()]);
        words.extend([tail.len() as u64 / 3, digits.len() as u64]);
        tail.extend(digits.into_iter().flatten());
        if self.unfolded.is_some() {
            (self.values, self.bytes) = (target, 0);
        }
        self.unfolded = axis.filter(|_| in_row).map(|axis| dims[axis]);
    }
}

/// See `Device::product_total`.
pub fn product_total(gpu: &Gpu, product: &Product<Integers, Elements>) -> K {
    let joint = product.dims.iter().product();
    let (mut words, mut tail) = (Vec::new(), Vec::new());
    // All axes are before one more, of length 1.
    let dims: Vec<usize> = product.dims.iter().copied().chain([1]).collect();
    let mut held: Vec<Held> = product.factors.iter().map(|factor| Held::new(gpu, factor)).collect();
    for factor in &mut held {
        factor.describe(gpu, &dims, Some(product.dims.len()), &mut words, &mut tail);
    }
    let (words, [factors, digits]) = gpu.upload_parts(&[words, tail]);
    let grid = gpu.grid(joint);
    let partial = gpu.elements(grid.blocks as usize);
    gpu.product_total(grid, factors, product.factors.len() as u32, digits, joint as u64, gpu.at(&partial));
    drop((words, held));
    let [total] = gpu.total(&partial, grid.blocks);
    product.scale * total
}

/// See `Device::product_sumcheck`.
pub fn product_sumcheck(
    gpu: &Gpu,
    product: &Product<Integers, Elements>,
    degree: usize,
    transcript: &mut Writer,
) -> Reduced {
    let mut dims = product.dims.clone();
    let variables: usize = dims.iter().map(|&d| axis_bits(d)).sum();
    let mut held: Vec<Held> = product.factors.iter().map(|factor| Held::new(gpu, factor)).collect();
    let (mut rounds, mut factors, mut tail) = (Vec::new(), Vec::new(), Vec::new());
    let mut pairs = Vec::with_capacity(variables);
    for _ in 0..=variables {
        let axis = next_axis(&dims);
        held.iter_mut().for_each(|factor| factor.describe(gpu, &dims, axis, &mut factors, &mut tail));
        let Some(axis) = axis else { break };
        let (outer, length) = (dims[..axis].iter().product::<usize>(), dims[axis]);
        rounds.extend([outer as u64, length as u64]);
        dims[axis] = length.div_ceil(2);
        pairs.push(outer * dims[axis]);
    }
    let (words, [rounds, factors, digits, state]) =
        gpu.upload_parts(&[rounds, factors, tail, state(transcript, degree)]);
    let played = Played::new(gpu, variables, degree, held.len());
    let [messages, challenges, values] = played.places(gpu);
    let sumcheck = Sumcheck {
        rounds,
        factors,
        digits,
        transcript: state,
        messages,
        challenges,
        values,
        count: held.len() as u32,
        degree: degree as u32,
        variables: variables as u32,
        scale: product.scale.into(),
    };
    let long = pairs.iter().take_while(|&&pairs| pairs > FEW_PAIRS).count();
    for (number, &pairs) in pairs[..long].iter().enumerate() {
        let grid = Grid { rows: degree.div_ceil(POINTS) as u32, ..gpu.grid(pairs) };
        let partial = gpu.elements(grid.blocks as usize * degree);
        gpu.product_round(grid, sumcheck, number as u32, gpu.at(&partial));
        gpu.product_message(Grid { blocks: 1, rows: 1 }, sumcheck, number as u32, gpu.at(&partial), grid.blocks);
    }
    gpu.product_rest(Grid { blocks: 1, rows: 1 }, sumcheck, long as u32);
    let (point, values) = played.finish(gpu, transcript);
    drop((words, held));
    Reduced { point, values }
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
