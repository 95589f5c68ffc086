//! See `fractions.cu`.

use super::gpu::Gpu;
use super::launch::{Grid, Layer, Pointer, THREADS};
use super::transcript::{Played, state};
use super::vectors::{Elements, WORDS};
use super::weights::flat;
use crate::sumcheck::{self, Children, Fractions, halve, row_length};
use p3_field::{Field, PrimeCharacteristicRing};
use std::collections::BTreeMap;
use verifier::argument::logup::{DEGREE, Fraction};
use verifier::field::K;
use verifier::transcript::Writer;

/// Blocks that one alone stands in for, rather than that all wait for each other in every round.
const FEW_BLOCKS: usize = 8;
/// Children of a tree's sums.
const CHILDREN: usize = 4;
/// Words of a tree as the kernels read it.
const TREE_WORDS: usize = 13;

/// See `Device::add_fractions`.
pub fn add_fractions(gpu: &Gpu, below: &Fractions<Elements>) -> Fractions<Elements> {
    let (shape, length) = (halve(&below.shape), row_length(&below.shape));
    let len = shape.iter().product();
    let (p, q) = (gpu.elements(len), gpu.elements(len));
    let (from_p, from_q) = (gpu.at(&below.p), gpu.at(&below.q));
    gpu.add_fractions(gpu.grid(len), from_p, from_q, length as u64, len as u64, gpu.at(&p), gpu.at(&q));
    Fractions { shape, p, q }
}

/// `eq(prefix of the point, .)` over the indices that a tensor of this shape has at every depth, the empty one first.
fn eq_prefixes(gpu: &Gpu, shape: &[usize], point: &[K]) -> Vec<Elements> {
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

/// A tree on its way through the rounds.
struct Tree<'m> {
    shape: Vec<usize>,
    children: [Pointer<'m>; CHILDREN],
    below: usize,
    unfolded: usize,
}

/// All rounds of all trees, as the kernels read them.
struct Schedule {
    trees: Vec<u64>,
    /// For every round, and for what is left after the last: pairs of the largest tree, and blocks for the pairs of all trees.
    sizes: Vec<(usize, usize)>,
    /// Where folded children go, by turns.
    _folded: [Elements; 2],
}

impl Schedule {
    fn new(
        gpu: &Gpu,
        below: &[&Fractions<Elements>],
        eq: &BTreeMap<&[usize], Vec<Elements>>,
        variables: usize,
    ) -> Self {
        let trees = below.iter().map(|&below| Tree {
            shape: halve(&below.shape),
            children: [gpu.at(&below.p), gpu.at(&below.q), Pointer::NULL, Pointer::NULL],
            below: row_length(&below.shape),
            unfolded: 0,
        });
        let mut trees: Vec<Tree> = trees.collect();
        let sums = |shape: &[usize]| shape.iter().product::<usize>();
        let (once, twice) = trees.iter().fold((0, 0), |(once, twice), tree| {
            let folded = halve(&tree.shape);
            (once + sums(&folded), twice + sums(&halve(&folded)))
        });
        let folded = [once, twice].map(|len| gpu.elements(len * CHILDREN));
        let mut schedule = Vec::with_capacity((variables + 1) * trees.len() * TREE_WORDS);
        let mut sizes = Vec::with_capacity(variables + 1);
        for number in 0..=variables {
            let mut target = gpu.at(&folded[(number + 1) % 2]);
            let (mut most, mut blocks) = (0, 0);
            for (tree, below) in trees.iter_mut().zip(below) {
                let (len, length) = (sums(&tree.shape), row_length(&tree.shape));
                let mut to = [Pointer::NULL; CHILDREN];
                if number > 0 {
                    for child in &mut to {
                        (*child, target) = (target, target.offset::<[u64; WORDS]>(len));
                    }
                }
                let above = halve(&tree.shape);
                let (table, pairs) = match variables.checked_sub(number + 1) {
                    Some(open) => (gpu.at(&eq[below.shape.as_slice()][open]), sums(&above)),
                    None => (Pointer::NULL, 0),
                };
                schedule.extend(tree.children.iter().chain(&to).chain([&table]).map(|pointer| pointer.word()));
                schedule.extend([tree.below, length, pairs, tree.unfolded].map(|size| size as u64));
                most = most.max(pairs);
                blocks += pairs.div_ceil(THREADS as usize);
                if number > 0 {
                    (tree.children, tree.below) = (to, 0);
                }
                (tree.shape, tree.unfolded) = (above, length);
            }
            sizes.push((most, blocks));
        }
        Self { trees: schedule, sizes, _folded: folded }
    }
}

/// See `Device::fraction_sumcheck`.
pub fn fraction_sumcheck(gpu: &Gpu, layer: &sumcheck::Layer<Elements>, transcript: &mut Writer) -> Children {
    let sumcheck::Layer { below, point, c, claim } = layer;
    let (variables, count) = (point.len(), below.len());
    // Many lookups have one shape.
    let mut eq: BTreeMap<&[usize], Vec<Elements>> = BTreeMap::new();
    if let Some((_, prefix)) = point.split_last() {
        for below in below {
            eq.entry(&below.shape).or_insert_with(|| eq_prefixes(gpu, &halve(&halve(&below.shape)), prefix));
        }
    }
    let Schedule { trees, sizes, _folded } = Schedule::new(gpu, below, &eq, variables);
    let coordinates: Vec<K> = point.iter().rev().flat_map(|&z| [z, z.try_inverse().unwrap_or(K::ZERO)]).collect();
    let parts = [
        trees,
        flat(&c.square().powers().collect_n(count)).collect(),
        flat(&coordinates).collect(),
        flat(&[*claim, K::ONE]).collect(),
        state(transcript, DEGREE),
    ];
    let (words, [trees, powers, coordinates, claim, state]) = gpu.upload_parts(&parts);
    let played = Played::new(gpu, variables, DEGREE, CHILDREN * count);
    let [messages, challenges, values] = played.places(gpu);
    let layer = Layer {
        trees,
        powers,
        coordinates,
        claim,
        transcript: state,
        messages,
        challenges,
        values,
        count: count as u32,
        variables: variables as u32,
        c: (*c).into(),
    };
    let long = sizes.iter().take_while(|&&(_, blocks)| blocks > FEW_BLOCKS).count();
    for (number, &(most, _)) in sizes[..long].iter().enumerate() {
        let grid = Grid { rows: count as u32, ..gpu.grid(most) };
        let partial = gpu.elements(2 * grid.blocks as usize * count);
        gpu.fraction_round(grid, layer, number as u32, gpu.at(&partial));
        gpu.fraction_message(Grid { blocks: 1, rows: 1 }, layer, number as u32, gpu.at(&partial), grid.blocks);
    }
    gpu.fraction_rest(Grid { blocks: 1, rows: 1 }, layer, long as u32);
    let (point, values) = played.finish(gpu, transcript);
    drop((words, eq));
    let pairs = values.chunks_exact(CHILDREN).map(|children| {
        let (u, q_even) = (children[0], children[1]);
        [Fraction { p: u - *c * q_even, q: q_even }, Fraction { p: children[2], q: children[3] }]
    });
    Children { point, pairs: pairs.collect() }
}
