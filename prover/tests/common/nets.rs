//! The networks of the tests. Tensors are numbered in the order that the comments give.

use super::{Net, axis, numbers, requant};
use verifier::graph::*;

/// `y = clamp(round(x w / 2^9), -128, 127)`, elementwise. Elements 1 and 2 saturate. Limbs of 6 bits: remainder 6 + 3, value
/// 6 + 2, excess 6 + 6. Tensors: x, w, product, y.
pub fn requantised() -> Net {
    let mut net = Net::default();
    let x = net.input(&[5], vec![7000, 1_000_000, -1_000_000, 3000, -5130]);
    let w = net.weight(&[5], vec![1; 5]);
    let product = net.einsum(&[(1, &[(x, "a"), (w, "a")])], "a");
    let y = net.lookup(requant(product, 9, -128, 8), true).unwrap();
    net.within(y, -5000, 5000);
    net.output(y);
    net
}

/// `y = floor(x / 2^6)`, no more: two limbs of 6 bits for each of four elements. Tensors: x, y.
pub fn plain() -> Net {
    let mut net = Net::default();
    let x = net.input(&[4], vec![100, 4000, 1, 777]);
    net.within(x, 0, 4095);
    let y = net.lookup(Lookup { add: 0, ..requant(x, 6, 0, 6) }, true).unwrap();
    net.output(y);
    net
}

/// Two functions that saturate. Tensors: x, u, f, g, f(x), g(u).
pub fn functions() -> Net {
    let mut net = Net::default();
    let x = net.input(&[6], vec![3, -8, 7, -30, 30, 0]);
    let u = net.input(&[6], vec![5, 7, -8, 41, -41, 2]);
    let f = net.weight(&[16], (0..16).map(|i| i * i).collect());
    let g = net.weight(&[16], (0..16).map(|i| 100 - i).collect());
    for (input, table) in [(x, f), (u, g)] {
        let y = net.lookup(Lookup { table: Some(table), ..requant(input, 0, -8, 4) }, true).unwrap();
        net.output(y);
    }
    net
}

/// The maximum of each row, pinned down. Tensors: x, w, product, maximum, gap, differs, attained.
pub fn maximum() -> Net {
    let mut net = Net::default();
    let x = net.input(&[2, 5], vec![3, 9, -4, 9, 1, -7, -3, -5, -6, -4]);
    let w = net.weight(&[], vec![2]);
    let product = net.einsum(&[(1, &[(x, "ab"), (w, "")])], "ab");
    let max = net.advice_max(product);
    let gap = net.einsum(&[(1, &[(max, "a")]), (-1, &[(product, "ab")])], "ab");
    let differs = net.lookup(Lookup { below: Bound::Forbid, ..requant(gap, 0, 0, 1) }, true).unwrap();
    let attained = net.einsum(&[(4, &[]), (-1, &[(differs, "ab")])], "a");
    net.assert_range(attained, 0, 3);
    net.output(max);
    net
}

/// `q = floor(n / d)`: `0 <= n - q d` and `0 <= d - 1 - (n - q d)`; with `bounded`, `0 <= q < 2^10`.
/// Tensors: n, d, q, remainder, rest, and zeros for an output.
pub fn division(bounded: bool) -> Net {
    let mut net = Net::default();
    let n = net.input(&[3], vec![1000, 12, 700]);
    let d = net.input(&[3], vec![7, 5, 64]);
    net.within(d, 1, 100);
    let q = net.advice_quotient(n, d);
    if bounded {
        net.assert_range(q, 0, 10);
    }
    let remainder = net.einsum(&[(1, &[(n, "a")]), (-1, &[(q, "a"), (d, "a")])], "a");
    let rest = net.einsum(&[(1, &[(d, "a")]), (-1, &[(remainder, "a")]), (-1, &[])], "a");
    net.assert_range(remainder, 0, 7);
    net.assert_range(rest, 0, 7);
    let zero = net.einsum(&[(1, &[(n, "a")]), (-1, &[(n, "a")])], "a");
    net.output(zero);
    net
}

/// Two dense layers with a requantisation between. Tensors: x, v, w, hidden, small, out.
pub fn layers() -> Net {
    let mut net = Net::default();
    let x = net.input(&[3, 4], numbers(12, 5, 20));
    let v = net.weight(&[4, 5], numbers(20, 6, 20));
    let w = net.weight(&[5, 2], numbers(10, 7, 20));
    let hidden = net.einsum(&[(1, &[(x, "ab"), (v, "bc")])], "ac");
    let small = net.lookup(requant(hidden, 3, -64, 7), true).unwrap();
    let out = net.einsum(&[(1, &[(small, "ac"), (w, "cd")])], "ad");
    net.output(out);
    net
}

/// A virtual tensor that a lookup and an einsum read. Tensors: x, w, product, y, z.
pub fn shared() -> Net {
    let mut net = Net::default();
    let x = net.input(&[7], numbers(7, 8, 200));
    let w = net.weight(&[], vec![3]);
    let product = net.einsum(&[(1, &[(x, "a"), (w, "")])], "a");
    let y = net.lookup(requant(product, 2, -32, 6), true).unwrap();
    let z = net.einsum(&[(5, &[(product, "a")])], "a");
    net.output(y);
    net.output(z);
    net
}

/// Every third element, backwards, between zeros. Tensors: x, w, product, moved, out.
pub fn moved() -> Net {
    let mut net = Net::default();
    let x = net.input(&[7], numbers(7, 9, 50));
    let w = net.weight(&[], vec![3]);
    let product = net.einsum(&[(1, &[(x, "a"), (w, "")])], "a");
    let map = IndexMap::Affine { offset: 9, strides: vec![-3] };
    let moved = net.view(product, &[5], vec![AxisGroup { input_axes: vec![0], output_axes: vec![0], map }]);
    let out = net.einsum(&[(2, &[(moved, "a")]), (5, &[])], "a");
    net.output(out);
    net
}

/// A sum of two products. Tensors: x, v, w, z.
pub fn two_terms() -> Net {
    let mut net = Net::default();
    let x = net.input(&[3], numbers(3, 10, 50));
    let v = net.weight(&[3, 4], numbers(12, 11, 50));
    let w = net.weight(&[3, 4], numbers(12, 12, 50));
    let z = net.einsum(&[(2, &[(x, "a"), (v, "ab")]), (-3, &[(x, "a"), (w, "ab")])], "b");
    net.output(z);
    net
}

/// Weights, witness and boundary too large to be sent in the clear. Tensors: x, w, product, small, out.
pub fn large() -> Net {
    summed_layer([6, 5, 3400], 13)
}

/// Weights large enough for two rounds of folding. Tensors: x, w, product, small, out.
pub fn wide() -> Net {
    summed_layer([2, 120, 700], 15)
}

/// A dense layer, a requantisation, a sum over its columns.
fn summed_layer([rows, inner, columns]: [usize; 3], seed: u64) -> Net {
    let mut net = Net::default();
    let x = net.input(&[rows, inner], numbers(rows * inner, seed, 100));
    let w = net.weight(&[inner, columns], numbers(inner * columns, seed + 1, 100));
    let product = net.einsum(&[(1, &[(x, "ab"), (w, "bc")])], "ac");
    let small = net.lookup(requant(product, 8, -100, 8), true).unwrap();
    let out = net.einsum(&[(1, &[(small, "ac")])], "a");
    net.output(out);
    net
}

/// A convolution with padding, relu, max over windows, a function table, a dense layer with a residual.
pub fn convnet() -> Net {
    let mut net = Net::default();
    let image = net.input(&[2, 7, 6], numbers(84, 1, 100));
    let kernel = net.weight(&[3, 2, 3, 3], numbers(54, 2, 50));
    let bias = net.weight(&[3], numbers(3, 3, 1000));
    let window = |axis: usize, y: usize, k: usize| AxisGroup {
        input_axes: vec![axis],
        output_axes: vec![y, k],
        map: IndexMap::Affine { offset: -1, strides: vec![1, 1] },
    };
    let windows = net.view(image, &[2, 7, 3, 6, 3], vec![axis(0, 0), window(1, 1, 2), window(2, 3, 4)]);
    let conv = net.einsum(&[(1, &[(windows, "bcdef"), (kernel, "abdf")]), (2, &[(bias, "a")])], "ace");
    let relu = net.lookup(requant(conv, 5, 0, 8), true).unwrap();
    // Pairs along the last axis.
    let pairs = AxisGroup {
        input_axes: vec![2],
        output_axes: vec![2, 3],
        map: IndexMap::Affine { offset: 0, strides: vec![2, 1] },
    };
    let pooled = net.view(relu, &[3, 7, 3, 2], vec![axis(0, 0), axis(1, 1), pairs]);
    let max = net.advice_max(pooled);
    let distance = net.einsum(&[(1, &[(max, "abc")]), (-1, &[(pooled, "abcd")])], "abcd");
    let mut differs = requant(distance, 0, 0, 1);
    differs.below = Bound::Forbid;
    let differs = net.lookup(differs, true).unwrap();
    let misses = net.einsum(&[(1, &[]), (-1, &[(differs, "abcd")])], "abc");
    let mut attained = requant(misses, 0, 0, 2);
    (attained.below, attained.above) = (Bound::Forbid, Bound::Forbid);
    net.lookup(attained, false);
    let table = net.weight(&[64], (0..64).map(|i| (i * i) as i64 / 9 - 30).collect());
    let mut function = requant(max, 1, 5, 6);
    (function.table, function.multiplier) = (Some(table), 3);
    let squashed = net.lookup(function, true).unwrap();
    let flat = AxisGroup {
        input_axes: vec![0, 1, 2],
        output_axes: vec![0],
        map: IndexMap::Affine { offset: 0, strides: vec![1] },
    };
    let flat = net.view(squashed, &[63], vec![flat]);
    let dense = net.weight(&[63, 10], numbers(630, 7, 100));
    let logits = net.einsum(&[(1, &[(flat, "a"), (dense, "ab")])], "b");
    let scores = net.lookup(requant(logits, 4, -128, 8), true).unwrap();
    let squared = net.einsum(&[(1, &[(scores, "a"), (scores, "a")]), (-3, &[(scores, "a")])], "a");
    net.output(squared);
    net.graph.check().unwrap();
    net
}
