//! Rewrites that make a graph cheaper to prove and leave its meaning alone: chains of elementwise functions become one
//! function (one lookup), chains of contractions one contraction, transposes a matter of labels; dead nodes go.

use super::{Graph, Kind, Node, Op, Term, Value};
use crate::scalar::{Expr, Primitive};
use std::collections::HashMap;
use verifier::graph::{AxisGroup, IndexMap};

/// Larger expressions are not merged further.
const MAX_EXPRESSION: usize = 200;
/// Contractions of more terms are not merged further.
const MAX_TERMS: usize = 16;
/// A contraction has fewer labels than the graph format allows.
const MAX_LABELS: usize = 48;

/// Applies all rewrites.
pub fn fuse(mut graph: Graph) -> Graph {
    merge_functions(&mut graph);
    graph = prune(graph);
    merge_contractions(&mut graph);
    prune(graph)
}

/// Removes the nodes that no output depends on; inputs stay.
fn prune(graph: Graph) -> Graph {
    let mut live = vec![false; graph.nodes.len()];
    for (_, value) in &graph.outputs {
        live[value.0] = true;
    }
    for index in (0..graph.nodes.len()).rev() {
        live[index] |= matches!(graph.nodes[index].op, Op::Input(_));
        if live[index] {
            graph.nodes[index].op.inputs().iter().for_each(|v| live[v.0] = true);
        }
    }
    let mut new = vec![Value(0); graph.nodes.len()];
    let mut nodes = Vec::new();
    for (index, mut node) in graph.nodes.into_iter().enumerate().filter(|&(index, _)| live[index]) {
        node.op.rename(&|v| new[v.0]);
        new[index] = Value(nodes.len());
        nodes.push(node);
    }
    let outputs = graph.outputs.into_iter().map(|(name, v)| (name, new[v.0])).collect();
    Graph { nodes, outputs, ..graph }
}

impl Op {
    fn rename(&mut self, new: &dyn Fn(Value) -> Value) {
        match self {
            Self::Input(_) | Self::Constant(_) => {}
            Self::Einsum { terms, .. } => {
                terms.iter_mut().flat_map(|t| &mut t.operands).for_each(|operand| operand.0 = new(operand.0));
            }
            Self::View { input, .. } | Self::Map { input, .. } | Self::ArgMax { input, .. } => *input = new(*input),
            Self::Positive(x) | Self::Floor(x) | Self::Noisy(x) | Self::Reciprocal(x) | Self::Rsqrt(x) => *x = new(*x),
            Self::Max { input, present } => {
                *input = new(*input);
                *present = present.map(new);
            }
            Self::Mask { input: a, seen: b, .. } | Self::Quotient(a, b) => (*a, *b) = (new(*a), new(*b)),
        }
    }
}

/// Every value that is a function of the elements of one other value becomes a [`Op::Map`] of that one.
fn merge_functions(graph: &mut Graph) {
    let mut forms: Vec<(Value, Expr)> = Vec::with_capacity(graph.nodes.len());
    for index in 0..graph.nodes.len() {
        let node = &graph.nodes[index];
        let form = elementwise(node, &forms).filter(|(root, expr)| {
            graph.kind(*root) == Kind::Real && expr.size() <= MAX_EXPRESSION && graph.as_constant(*root).is_none()
        });
        if let Some((root, expr)) = &form
            && expr.merges()
        {
            graph.nodes[index].op = Op::Map { input: *root, function: expr.clone() };
            graph.nodes[index].kind = Kind::Real;
        }
        forms.push(form.unwrap_or((Value(index), Expr::X)));
    }
}

impl Expr {
    /// Whether one lookup is the best form: a primitive is applied, or bends are multiplied.
    fn merges(&self) -> bool {
        fn any(expr: &Expr, test: &dyn Fn(&Expr) -> bool) -> bool {
            test(expr)
                || match expr {
                    Expr::X | Expr::Constant(_) => false,
                    Expr::Apply(_, a) => any(a, test),
                    Expr::Add(a, b) | Expr::Mul(a, b) | Expr::Max(a, b) | Expr::Min(a, b) => {
                        any(a, test) || any(b, test)
                    }
                }
        }
        any(self, &|e| matches!(e, Expr::Apply(..)))
            || (self.needs_table() && any(self, &|e| matches!(e, Expr::Max(..) | Expr::Min(..))))
    }
}

/// The node as a function of one earlier value.
fn elementwise(node: &Node, forms: &[(Value, Expr)]) -> Option<(Value, Expr)> {
    match &node.op {
        Op::Map { input, function } => {
            let (root, inner) = &forms[input.0];
            Some((*root, function.compose(inner)))
        }
        Op::Reciprocal(x) => {
            let (root, inner) = &forms[x.0];
            inner.merges().then(|| (*root, inner.clone().apply(Primitive::Reciprocal)))
        }
        Op::Einsum { out, terms, .. } => {
            let operands = || terms.iter().flat_map(|t| &t.operands);
            let root = forms[operands().next()?.0.0].0;
            if !operands().all(|(v, labels)| labels == out && forms[v.0].0 == root) {
                return None;
            }
            let sum = terms.iter().map(|term| {
                let product = term.operands.iter().map(|(v, _)| forms[v.0].1.clone()).reduce(Expr::times);
                product.map_or(Expr::Constant(term.coefficient), |p| p.scaled(term.coefficient))
            });
            Some((root, sum.reduce(Expr::plus)?))
        }
        _ => None,
    }
}

/// Substitutes contractions into the contractions that use them, and transposes into labels.
fn merge_contractions(graph: &mut Graph) {
    let mut uses: HashMap<Value, usize> = HashMap::new();
    let reads = graph.nodes.iter().flat_map(|n| n.op.inputs());
    for value in reads.chain(graph.outputs.iter().map(|o| o.1)) {
        *uses.entry(value).or_default() += 1;
    }
    for index in 0..graph.nodes.len() {
        if !matches!(graph.nodes[index].op, Op::Einsum { .. }) {
            continue;
        }
        let placeholder = Op::Constant(Vec::new());
        let Op::Einsum { mut dims, out, terms } = std::mem::replace(&mut graph.nodes[index].op, placeholder) else {
            continue;
        };
        let mut merged = Vec::new();
        let count = terms.len();
        for (position, mut term) in terms.into_iter().enumerate() {
            for operand in &mut term.operands {
                absorb_transposes(graph, &mut dims, operand);
            }
            let room = MAX_TERMS.saturating_sub(merged.len() + count - position);
            match substitute(graph, &uses, &mut dims, &out, &term, room) {
                Some(terms) => merged.extend(terms),
                None => merged.push(term),
            }
        }
        graph.nodes[index].op = Op::Einsum { dims, out, terms: merged };
    }
}

/// Follows views that only permute, repeat, add or drop unit axes.
fn absorb_transposes(graph: &Graph, dims: &mut Vec<usize>, operand: &mut (Value, Vec<u8>)) {
    while let Op::View { input, groups } = &graph.node(operand.0).op {
        let shape = graph.shape(*input);
        let mut labels = vec![None; shape.len()];
        let mut fresh = dims.clone();
        let absorbed = groups
            .iter()
            .all(|group| absorb(group, shape, graph.shape(operand.0), &operand.1, &mut labels, &mut fresh));
        let labels: Option<Vec<u8>> = labels.into_iter().collect();
        let (true, Some(labels)) = (absorbed && fresh.len() <= MAX_LABELS, labels) else { return };
        *dims = fresh;
        *operand = (*input, labels);
    }
}

/// Whether a group only relabels; sets the labels of its input axes.
fn absorb(
    group: &AxisGroup,
    input_shape: &[usize],
    output_shape: &[usize],
    output_labels: &[u8],
    labels: &mut [Option<u8>],
    dims: &mut Vec<usize>,
) -> bool {
    let IndexMap::Affine { offset: 0, strides } = &group.map else { return false };
    let first_only = strides.iter().zip(&group.output_axes).all(|(&s, &o)| s == 0 || output_shape[o] == 1);
    match (&group.input_axes[..], &group.output_axes[..]) {
        ([], _) => first_only,
        (&[i], &[o]) if input_shape[i] == output_shape[o] && (strides[..] == [1] || first_only) => {
            labels[i] = Some(output_labels[o]);
            true
        }
        (&[i], _) if input_shape[i] == 1 && first_only => {
            labels[i] = Some(dims.len() as u8);
            dims.push(1);
            true
        }
        _ => false,
    }
}

/// The terms that result from putting an operand's own contraction in its place.
fn substitute(
    graph: &Graph,
    uses: &HashMap<Value, usize>,
    dims: &mut Vec<usize>,
    out: &[u8],
    term: &Term,
    room: usize,
) -> Option<Vec<Term>> {
    let dynamic: Vec<usize> =
        (0..term.operands.len()).filter(|&i| graph.as_constant(term.operands[i].0).is_none()).collect();
    let [position] = dynamic[..] else { return None };
    let (value, labels) = &term.operands[position];
    let Op::Einsum { dims: inner_dims, out: inner_out, terms: inner } = &graph.node(*value).op else { return None };
    let plain = |t: &&Term| t.operands.len() == 1 && graph.as_constant(t.operands[0].0).is_none();
    let scaled = term.operands.len() > 1 && inner.iter().filter(plain).count() > 1;
    let fits = inner.len() <= room && dims.len() + inner_dims.len() <= MAX_LABELS;
    if uses[value] != 1 || scaled || !fits || !labels.iter().all(|l| out.contains(l)) {
        return None;
    }
    let renamed: Vec<u8> = (0..inner_dims.len() as u8)
        .map(|label| match inner_out.iter().position(|&l| l == label) {
            Some(axis) => labels[axis],
            None => {
                dims.push(inner_dims[label as usize]);
                dims.len() as u8 - 1
            }
        })
        .collect();
    let others = term.operands.iter().enumerate().filter(|&(i, _)| i != position).map(|(_, o)| o.clone());
    let others: Vec<_> = others.collect();
    let rename = |t: &Term| Term {
        coefficient: term.coefficient * t.coefficient,
        operands: t
            .operands
            .iter()
            .map(|(v, l)| (*v, l.iter().map(|&l| renamed[l as usize]).collect()))
            .chain(others.iter().cloned())
            .collect(),
    };
    Some(inner.iter().map(rename).collect())
}

#[cfg(test)]
mod tests {
    use super::super::execute::run;
    use super::*;

    #[test]
    fn rewrites_leave_the_meaning_alone() {
        let mut g = Graph::default();
        let x = g.input(0, &[3, 4], Kind::Real);
        let w = g.constant(&[4, 3], Kind::Real, (0..12).map(|i| f64::from(i) / 7.0 - 0.5).collect());
        let product = g.matmul(x, w).unwrap();
        let turned = g.transpose(product, &[1, 0]);
        let shifted = g.scale(turned, 0.5, 1.0);
        let tanh = g.map(shifted, Expr::of(Primitive::Tanh));
        let swish = g.mul(shifted, tanh);
        let centre = g.reduce_sum(x, &[1], true, 0.25);
        let centred = g.sub(x, centre);
        g.outputs = vec![("a".into(), swish), ("b".into(), centred)];
        let input = vec![(0..12).map(|i| f64::from(i * i % 7) - 3.0).collect::<Vec<f64>>()];
        let all = |g: &Graph| {
            let mut values = Vec::new();
            run(g, &input, &mut |_, value| values.push(value.to_vec()));
            values
        };
        let before = all(&g);
        let fused = fuse(g.clone());
        let after = all(&fused);
        assert!(fused.nodes.len() < g.nodes.len());
        for (old, new) in g.outputs.iter().zip(&fused.outputs) {
            for (a, b) in before[old.1.0].iter().zip(&after[new.1.0]) {
                assert!((a - b).abs() < 1e-12);
            }
        }
        let maps = fused.nodes.iter().filter(|n| matches!(n.op, Op::Map { .. })).count();
        assert_eq!(maps, 1);
    }
}
