//! The meaning of a node, written down as slowly and plainly as it can be. Honest runs do not overflow; what follows from a
//! lie may, and saturates.

use prover::Values;
use verifier::graph::*;

/// The values of a node's output; for an assertion, of what it would be.
pub fn interpret(graph: &Graph, op: &Op, values: &Values) -> Vec<i64> {
    let get = |id: TensorId| values[id.index()].as_ref().unwrap().to_vec();
    match op {
        Op::Einsum(e) => einsum(e, get),
        Op::Lookup(l) => get(l.input).into_iter().map(|x| lookup(l, x, get)).collect(),
        Op::View(v) => view(v, &graph.tensor(v.input).shape, &graph.tensor(v.output).shape, &get(v.input)),
        Op::Advice(a) => match &a.rule {
            AdviceRule::Max { input } => {
                let n = *graph.tensor(*input).shape.last().unwrap();
                get(*input).chunks(n).map(|row| *row.iter().max().unwrap()).collect()
            }
            AdviceRule::FloorDiv { numerator, denominator } => {
                // A scalar is divided by every element. What follows from a lie may divide by nothing.
                let divide = |(n, d): (&i64, i64)| if d > 0 { n.div_euclid(d) } else { 0 };
                get(*numerator).iter().cycle().zip(get(*denominator)).map(divide).collect()
            }
            AdviceRule::Rsqrt { input, exponent } => {
                get(*input).iter().map(|&x| ((1 << exponent) / x.max(1) as u64).isqrt() as i64).collect()
            }
        },
    }
}

/// The coordinates of a flat index.
fn digits(mut flat: usize, shape: &[usize]) -> Vec<usize> {
    let mut digits = vec![0; shape.len()];
    for (digit, &d) in digits.iter_mut().zip(shape).rev() {
        *digit = flat % d;
        flat /= d;
    }
    digits
}

/// The flat index of coordinates.
fn flat(digits: impl Iterator<Item = usize>, shape: impl Iterator<Item = usize>) -> usize {
    digits.zip(shape).fold(0, |flat, (i, d)| flat * d + i)
}

fn einsum(e: &Einsum, get: impl Fn(TensorId) -> Vec<i64>) -> Vec<i64> {
    let at = |point: &[usize], labels: &[u8]| {
        flat(labels.iter().map(|&l| point[l as usize]), labels.iter().map(|&l| e.dims[l as usize]))
    };
    let mut values = vec![0; e.out_labels.iter().map(|&l| e.dims[l as usize]).product()];
    for term in &e.terms {
        let operands: Vec<(Vec<i64>, &[u8])> =
            term.operands.iter().map(|o| (get(o.tensor), o.labels.as_slice())).collect();
        for i in 0..e.dims.iter().product() {
            let point = digits(i, &e.dims);
            // Labels of neither the term nor the output count once.
            let known = |l: u8| e.out_labels.contains(&l) || operands.iter().any(|(_, labels)| labels.contains(&l));
            if (0..).zip(&point).all(|(l, &i)| i == 0 || known(l)) {
                let factors = operands.iter().map(|(v, labels)| v[at(&point, labels)]);
                let value: &mut i64 = &mut values[at(&point, &e.out_labels)];
                *value = value.saturating_add(factors.fold(term.coefficient, i64::saturating_mul));
            }
        }
    }
    values
}

fn lookup(l: &Lookup, x: i64, get: impl Fn(TensorId) -> Vec<i64>) -> i64 {
    let h = x.saturating_mul(l.multiplier).saturating_add(l.add) >> l.shift;
    let c = h.clamp(l.lo, l.lo + (1 << l.bits) - 1);
    l.table.map_or(c, |t| get(t)[(c - l.lo) as usize])
}

fn view(v: &View, from: &[usize], to: &[usize], source: &[i64]) -> Vec<i64> {
    let maps: Vec<_> = v.groups.iter().map(|g| g.indices(from, to)).collect();
    let element = |out: usize| {
        let point = digits(out, to);
        let mut at = vec![0; from.len()];
        for (group, map) in v.groups.iter().zip(&maps) {
            let (axes, lengths) =
                (group.output_axes.iter().map(|&a| point[a]), group.output_axes.iter().map(|&a| to[a]));
            let lengths_in: Vec<usize> = group.input_axes.iter().map(|&a| from[a]).collect();
            let Some(index) = map[flat(axes, lengths)] else { return 0 };
            for (&axis, digit) in group.input_axes.iter().zip(digits(index, &lengths_in)) {
                at[axis] = digit;
            }
        }
        source[flat(at.into_iter(), from.iter().copied())]
    };
    (0..to.iter().product()).map(element).collect()
}
