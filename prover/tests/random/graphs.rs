//! Random small graphs: every kind of node, in every form that `Graph::check` lets through.

use crate::common::{Net, requant};
use verifier::graph::*;

/// Most elements of a tensor, and of the joint axes of an einsum.
const MAX_ELEMENTS: usize = 60;
const MAX_JOINT: usize = 2000;
/// Magnitude below which a tensor may be multiplied.
const SMALL: i64 = 1 << 12;
/// Labels of an einsum.
const LABELS: u8 = 8;

/// Choices that follow from a seed.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 33) as usize % n
    }

    /// In `lo..=hi`.
    pub fn between(&mut self, lo: i64, hi: i64) -> i64 {
        lo + self.below((hi - lo + 1) as usize) as i64
    }

    /// One time in `n`.
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn values(&mut self, n: usize, bound: i64) -> Vec<i64> {
        (0..n).map(|_| self.between(-bound, bound)).collect()
    }

    fn shape(&mut self) -> Vec<usize> {
        loop {
            let shape: Vec<usize> = (0..self.below(4)).map(|_| self.pick(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 13])).collect();
            if shape.iter().product::<usize>() <= MAX_ELEMENTS {
                return shape;
            }
        }
    }

    fn shuffled<T>(&mut self, mut items: Vec<T>) -> Vec<T> {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
        items
    }
}

/// What one step adds to the graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Input(u64),
    Einsum(u64),
    View(u64),
    Lookup(u64),
    Maximum(u64),
}

/// The graph of a list of steps, with at least one output.
pub fn build(steps: &[Step], seed: u64) -> Net {
    let mut dice = Dice::new(seed);
    let mut net = Net::default();
    input(&mut net, &mut dice);
    for &step in steps {
        match step {
            Step::Input(seed) => input(&mut net, &mut Dice::new(seed)),
            Step::Einsum(seed) => einsum(&mut net, &mut Dice::new(seed)),
            Step::View(seed) => view(&mut net, &mut Dice::new(seed)),
            Step::Lookup(seed) => lookup(&mut net, &mut Dice::new(seed)),
            Step::Maximum(seed) => maximum(&mut net, &mut Dice::new(seed)),
        }
    }
    if computed(&net).is_empty() {
        net.lookup(requant(TensorId(0), 0, -5, 4), true);
    }
    let computed = computed(&net);
    let last = computed.len() - 1;
    for (place, tensor) in computed.into_iter().enumerate() {
        if place == last || dice.one_in(4) {
            net.output(tensor);
        }
    }
    net
}

/// Tensors that nodes compute.
pub fn computed(net: &Net) -> Vec<TensorId> {
    net.graph.nodes.iter().filter_map(|n| n.op.output()).collect()
}

/// Any tensor that is not a constant.
fn any(net: &Net, dice: &mut Dice) -> TensorId {
    let live: Vec<TensorId> = (0..net.graph.tensors.len() as u32)
        .map(TensorId)
        .filter(|&t| net.graph.tensor(t).source != Source::Weight)
        .collect();
    // The newest half is preferred: deep graphs.
    if dice.one_in(2) { dice.pick(&live) } else { dice.pick(&live[live.len() / 2..]) }
}

fn magnitude(net: &Net, t: TensorId) -> i64 {
    net.get(t).into_iter().map(i64::abs).max().unwrap_or(0)
}

fn input(net: &mut Net, dice: &mut Dice) {
    let shape = dice.shape();
    let bound = dice.pick(&[1, 10, 1000, 100_000]);
    let values = dice.values(shape.iter().product(), bound);
    net.input(&shape, values);
}

/// A tensor whose elements are small enough to be multiplied: requantised if need be.
fn small(net: &mut Net, dice: &mut Dice) -> TensorId {
    let t = any(net, dice);
    let bits = 64 - magnitude(net, t).leading_zeros();
    if magnitude(net, t) <= SMALL { t } else { net.lookup(requant(t, bits.min(63) - 8, -128, 8), true).unwrap_or(t) }
}

fn einsum(net: &mut Net, dice: &mut Dice) {
    // Lengths of the labels met so far.
    let mut dims: Vec<usize> = Vec::new();
    let mut terms: Vec<Term> = Vec::new();
    for _ in 0..=dice.below(3) {
        let mut operands: Vec<Operand> = Vec::new();
        for _ in 0..dice.below(4) {
            let tensor = match operands.last() {
                Some(last) if dice.one_in(4) => last.tensor,
                _ if dice.one_in(3) => constant(net, dice, &dims),
                _ => small(net, dice),
            };
            if let Some(labels) = label(net, dice, tensor, &mut dims) {
                operands.push(Operand { tensor, labels });
            }
        }
        let coefficient = dice.pick(&[1, -1, 2, -7, 100]);
        terms.push(Term { coefficient, operands });
    }
    let mut known: Vec<u8> = (0..dims.len() as u8).collect();
    known = dice.shuffled(known);
    // An axis that no operand has.
    if dice.one_in(4) && dims.len() < usize::from(LABELS) {
        dims.push(dice.pick(&[1, 3, 4]));
        known.push(dims.len() as u8 - 1);
    }
    let out: Vec<u8> = known.into_iter().filter(|_| dice.one_in(2)).collect();
    let length = |labels: &[u8]| labels.iter().map(|&l| dims[l as usize]).product::<usize>();
    let all: Vec<u8> = (0..dims.len() as u8).collect();
    if length(&out) <= MAX_ELEMENTS && length(&all) <= MAX_JOINT {
        dims.resize(usize::from(LABELS), 1);
        net.contract(dims, out, terms);
    }
}

/// A constant of axes that are known, or new.
fn constant(net: &mut Net, dice: &mut Dice, dims: &[usize]) -> TensorId {
    let mut shape: Vec<usize> = dims.iter().copied().filter(|_| dice.one_in(2)).collect();
    if dice.one_in(2) {
        shape.push(dice.pick(&[1, 2, 3, 5]));
    }
    if shape.iter().product::<usize>() > MAX_ELEMENTS {
        shape.clear();
    }
    let values = dice.values(shape.iter().product(), 100);
    net.weight(&shape, values)
}

/// Labels for the axes of a tensor: known ones of the same length, or new ones. `None` if there are not enough.
fn label(net: &Net, dice: &mut Dice, tensor: TensorId, dims: &mut Vec<usize>) -> Option<Vec<u8>> {
    let mut labels: Vec<u8> = Vec::new();
    for d in net.shape(tensor) {
        let fits: Vec<u8> = (0..dims.len() as u8).filter(|l| dims[*l as usize] == d && !labels.contains(l)).collect();
        if !fits.is_empty() && !dice.one_in(4) {
            labels.push(dice.pick(&fits));
        } else if dims.len() < usize::from(LABELS) {
            dims.push(d);
            labels.push(dims.len() as u8 - 1);
        } else {
            return None;
        }
    }
    Some(labels)
}

fn view(net: &mut Net, dice: &mut Dice) {
    let input = any(net, dice);
    let from = net.shape(input);
    // Input axes in groups; a group may have none, or several.
    let mut rest: Vec<usize> = (0..from.len()).collect();
    if dice.one_in(3) {
        rest = dice.shuffled(rest);
    }
    let mut groups: Vec<(Vec<usize>, Vec<usize>, IndexMap)> = Vec::new();
    while !rest.is_empty() || dice.one_in(4) {
        let axes: Vec<usize> = rest.drain(..rest.len().min(dice.pick(&[0, 1, 1, 1, 2, 3]))).collect();
        let range: usize = axes.iter().map(|&a| from[a]).product();
        let lengths: Vec<usize> = axes.iter().map(|&a| from[a]).collect();
        let (lengths, map) = index_map(dice, range, &lengths);
        groups.push((axes, lengths, map));
        if groups.len() > 5 {
            groups.push((std::mem::take(&mut rest), vec![], IndexMap::Affine { offset: 0, strides: vec![] }));
            break;
        }
    }
    // Output axes in any order.
    let count = groups.iter().map(|g| g.1.len()).sum();
    let places: Vec<usize> = if dice.one_in(2) { dice.shuffled((0..count).collect()) } else { (0..count).collect() };
    let mut shape = vec![0; count];
    let mut next = places.into_iter();
    let groups: Vec<AxisGroup> = groups
        .into_iter()
        .map(|(input_axes, lengths, map)| {
            let output_axes: Vec<usize> = next.by_ref().take(lengths.len()).collect();
            output_axes.iter().zip(lengths).for_each(|(&a, d)| shape[a] = d);
            AxisGroup { input_axes, output_axes, map }
        })
        .collect();
    if shape.iter().product::<usize>() <= MAX_ELEMENTS {
        net.view(input, &shape, groups);
    }
}

/// Lengths of output axes, and a map from their indices to `0..range` or beyond.
fn index_map(dice: &mut Dice, range: usize, input: &[usize]) -> (Vec<usize>, IndexMap) {
    let row_major = |lengths: &[usize]| -> Vec<i64> {
        let mut strides = vec![1i64; lengths.len()];
        for i in (1..lengths.len()).rev() {
            strides[i - 1] = strides[i] * lengths[i] as i64;
        }
        strides
    };
    match dice.below(9) {
        // The same axes, or one for all.
        0 => (input.to_vec(), IndexMap::Affine { offset: 0, strides: row_major(input) }),
        1 => (vec![range], IndexMap::Affine { offset: 0, strides: vec![1] }),
        // Other factors.
        2 => {
            let divisor = (2..=range).find(|d| range.is_multiple_of(*d)).unwrap_or(1);
            let lengths = vec![divisor, 1, range / divisor];
            let strides = row_major(&lengths);
            (lengths, IndexMap::Affine { offset: 0, strides })
        }
        // One index; repeated.
        3 => (vec![], IndexMap::Affine { offset: dice.below(range) as i64, strides: vec![] }),
        4 => {
            (vec![dice.pick(&[1, 2, 3]), 2], IndexMap::Affine { offset: dice.below(range) as i64, strides: vec![0, 0] })
        }
        // Backwards, with a step, beyond both ends; windows.
        5 => {
            let stride = dice.between(-3, 3);
            let offset = dice.between(-2, range as i64 + 1);
            (vec![dice.pick(&[1, 2, 3, 5, 8])], IndexMap::Affine { offset, strides: vec![stride] })
        }
        6 => {
            let strides = vec![dice.between(1, 2), dice.pick(&[1, -1, 2])];
            (vec![dice.pick(&[2, 3, 4]), 3], IndexMap::Affine { offset: dice.between(-1, 1), strides })
        }
        // Any index, or none.
        7 => {
            let n = dice.pick(&[1, 2, 5, 6]);
            let table = (0..n).map(|_| dice.between(-2, range as i64)).collect();
            (vec![n], IndexMap::Table(table))
        }
        _ => (vec![2, 3], IndexMap::Table((0..6).map(|_| dice.between(-1, range as i64 - 1)).collect())),
    }
}

fn lookup(net: &mut Net, dice: &mut Dice) {
    let input = any(net, dice);
    let most = magnitude(net, input).max(1);
    if most > 1 << 54 {
        return;
    }
    // Room for the interval, which is wider than the values.
    let room = 55i64.saturating_sub(i64::from(64 - most.leading_zeros()));
    let multiplier = if room > 20 { dice.pick(&[1, 1, 3, 1 << 12, 12345]) } else { 1 };
    let shift = dice.pick(&[0, 0, 1, 2, 3, 5, 6, 7, 8, 11, 13, 16, 17, 20, 23]);
    let add = if shift == 0 { dice.pick(&[0, 1, -5]) } else { dice.pick(&[0, 1 << (shift - 1), -3]) };
    let heads: Vec<i64> = net.get(input).into_iter().map(|x| (x * multiplier + add) >> shift).collect();
    let (least, greatest) = (*heads.iter().min().unwrap_or(&0), *heads.iter().max().unwrap_or(&0));
    // The lowest value of the domain: below, at, inside or above the values.
    let lo = dice.pick(&[0, least - 3, least, least + 1, (least + greatest) / 2, greatest, greatest + 2]);
    let span = 64 - (greatest - lo).max(1).leading_zeros();
    let with_table = dice.one_in(3);
    let bits =
        if with_table { dice.pick(&[1, 2, 3, 5, 7]) } else { dice.pick(&[1, 2, 6, 8, 12, 13, 24, 32, span, span + 1]) };
    let top = lo + (1 << bits) - 1;
    let bound = |dice: &mut Dice, fits: bool| if fits && dice.one_in(2) { Bound::Forbid } else { Bound::Saturate };
    let (below, above) = (bound(dice, least >= lo), bound(dice, greatest <= top));
    let table = with_table.then(|| {
        let range = dice.pick(&[3, 100_000]);
        let outputs = dice.values(1 << bits, range);
        net.weight(&[1 << bits], outputs)
    });
    let assertion = table.is_none() && (below, above) == (Bound::Forbid, Bound::Forbid) && dice.one_in(2);
    let lookup = Lookup { input, multiplier, add, shift, lo, bits, below, above, table, output: None };
    net.lookup(lookup, !assertion);
}

/// The maximum over the last axis, and the assertions that leave one value.
fn maximum(net: &mut Net, dice: &mut Dice) {
    let input = any(net, dice);
    let shape = net.shape(input);
    let Some(&n) = shape.last() else { return };
    let max = net.advice_max(input);
    let labels: Vec<u8> = (0..shape.len() as u8).collect();
    let row = labels[..labels.len() - 1].to_vec();
    let term = |coefficient, tensor, labels: &[u8]| Term {
        coefficient,
        operands: vec![Operand { tensor, labels: labels.to_vec() }],
    };
    let terms = vec![term(1, max, &row), term(-1, input, &labels)];
    let gap = net.contract(shape.clone(), labels.clone(), terms);
    let differs = net.lookup(Lookup { below: Bound::Forbid, ..requant(gap, 0, 0, 1) }, true);
    let Some(differs) = differs else { return };
    let mut terms = vec![term(-1, differs, &labels)];
    if n > 1 {
        terms.push(Term { coefficient: n as i64 - 1, operands: Vec::new() });
    }
    let attained = net.contract(shape, row, terms);
    net.assert_range(attained, 0, 6);
}
