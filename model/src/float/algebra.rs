//! Tensor algebra with the broadcasting of ONNX (and numpy), in terms of contractions.

use super::moves::affine;
use super::{ABSENT, Graph, Kind, Op, Term, Value};
use crate::scalar::{Expr, Primitive};

/// The common shape of operands, axes aligned at the end; `None` if they do not broadcast.
pub fn broadcast(shapes: &[&[usize]]) -> Option<Vec<usize>> {
    let rank = shapes.iter().map(|s| s.len()).max().unwrap_or(0);
    let mut out = vec![1; rank];
    for shape in shapes {
        for (axis, &n) in shape.iter().rev().enumerate() {
            let length = &mut out[rank - 1 - axis];
            match (*length, n) {
                (a, b) if a == b || b == 1 => {}
                (1, b) => *length = b,
                _ => return None,
            }
        }
    }
    Some(out)
}

impl Graph {
    /// The kind of a sum or product of values.
    pub fn join(&self, values: impl IntoIterator<Item = Value>) -> Kind {
        let real = values.into_iter().any(|v| self.kind(v) == Kind::Real);
        if real { Kind::Real } else { Kind::Int }
    }

    /// `sum_t coefficient_t * prod_k x_{t,k}`, elementwise over the common shape of all operands (they must broadcast).
    ///
    /// Where a constant summand is [`ABSENT`], the other summands do not count: the sum is exactly that constant.
    pub fn linear(&mut self, terms: &[(f64, &[Value])]) -> Value {
        let Some(keep) = terms.iter().find_map(|(_, operands)| self.present(operands)) else {
            return self.sum_of_products(terms);
        };
        let gated = terms.iter().map(|&(coefficient, operands)| {
            let constant = operands.iter().all(|&v| self.as_constant(v).is_some());
            (coefficient, operands.iter().copied().chain((!constant).then_some(keep)).collect())
        });
        let gated: Vec<(f64, Vec<Value>)> = gated.collect();
        let gated: Vec<(f64, &[Value])> = gated.iter().map(|(c, operands)| (*c, operands.as_slice())).collect();
        self.sum_of_products(&gated)
    }

    /// 0 where a mask, alone in a term, is [`ABSENT`], else 1; `None` if the term is no mask.
    fn present(&mut self, operands: &[Value]) -> Option<Value> {
        let &[mask] = operands else { return None };
        let data = self.as_constant(mask).filter(|data| data.len() > 1)?;
        let keep: Vec<f64> = data.iter().map(|&x| f64::from(x > ABSENT / 2.0)).collect();
        if keep.iter().all(|&k| k == 1.0) {
            return None;
        }
        let shape = self.shape(mask).to_vec();
        Some(self.constant(&shape, Kind::Bool, keep))
    }

    fn sum_of_products(&mut self, terms: &[(f64, &[Value])]) -> Value {
        let all: Vec<Value> = terms.iter().flat_map(|t| t.1).copied().collect();
        let kind = self.join(all.iter().copied());
        let shapes: Vec<&[usize]> = all.iter().map(|&v| self.shape(v)).collect();
        let dims = broadcast(&shapes).unwrap_or_default();
        let out: Vec<u8> = (0..dims.len() as u8).collect();
        let terms = terms.iter().map(|(coefficient, operands)| self.product(*coefficient, operands, &dims));
        let terms = terms.collect::<Vec<_>>().into_iter().filter(|t| t.coefficient != 0.0).collect::<Vec<_>>();
        if let [Term { coefficient: 1.0, operands }] = &terms[..]
            && let [(x, labels)] = &operands[..]
            && *labels == out
        {
            return *x;
        }
        if terms.is_empty() {
            let zeros = vec![0.0; dims.iter().product()];
            return self.constant(&dims, kind, zeros);
        }
        self.einsum(kind, dims, out, terms)
    }

    fn product(&mut self, mut coefficient: f64, operands: &[Value], dims: &[usize]) -> Term {
        let mut factors = Vec::new();
        for &x in operands {
            match self.as_constant(x) {
                Some(&[c]) => coefficient *= c,
                _ => factors.push(self.aligned(x, dims)),
            }
        }
        Term { coefficient, operands: factors }
    }

    /// The value with labels for the axes of `dims`, aligned at the end, without the axes along which it is repeated.
    pub fn aligned(&mut self, x: Value, dims: &[usize]) -> (Value, Vec<u8>) {
        let shape = self.shape(x).to_vec();
        let first = dims.len() - shape.len();
        let moves = shape.iter().enumerate().map(|(axis, &n)| {
            let repeated = n == 1 && dims[first + axis] != 1;
            if repeated { (vec![], affine(0, &[])) } else { (vec![n], affine(0, &[1])) }
        });
        let labels = (0..shape.len()).filter(|&a| shape[a] == dims[first + a]).map(|a| (first + a) as u8).collect();
        let moves = moves.collect();
        (self.reindex(x, moves), labels)
    }

    /// `a + b`.
    pub fn add(&mut self, a: Value, b: Value) -> Value {
        self.linear(&[(1.0, &[a]), (1.0, &[b])])
    }

    /// `a - b`.
    pub fn sub(&mut self, a: Value, b: Value) -> Value {
        self.linear(&[(1.0, &[a]), (-1.0, &[b])])
    }

    /// `a * b`.
    pub fn mul(&mut self, a: Value, b: Value) -> Value {
        self.linear(&[(1.0, &[a, b])])
    }

    /// `scale * x + offset`.
    pub fn scale(&mut self, x: Value, scale: f64, offset: f64) -> Value {
        self.linear(&[(scale, &[x]), (offset, &[])])
    }

    /// `max(x, 0)`.
    pub fn relu(&mut self, x: Value) -> Value {
        self.map(x, Expr::relu())
    }

    /// `a / b` of reals. A constant divisor must have no zero.
    pub fn div(&mut self, a: Value, b: Value) -> Value {
        let inverse = match &self.node(b).op {
            Op::Map { input, function } if *function == Expr::of(Primitive::Sqrt) => {
                let input = *input;
                self.rsqrt(input)
            }
            _ => self.reciprocal(b),
        };
        self.mul(a, inverse)
    }

    /// The larger of two, elementwise: `a + max(b - a, 0)`.
    pub fn maximum(&mut self, a: Value, b: Value) -> Value {
        let difference = self.sub(b, a);
        let excess = self.relu(difference);
        self.add(a, excess)
    }

    /// The smaller of two, elementwise: `a - max(a - b, 0)`.
    pub fn minimum(&mut self, a: Value, b: Value) -> Value {
        let difference = self.sub(a, b);
        let excess = self.relu(difference);
        self.sub(a, excess)
    }

    /// `1 - x` of a boolean.
    pub fn not(&mut self, x: Value) -> Value {
        let value = self.scale(x, -1.0, 1.0);
        self.as_bool(value)
    }

    /// `a` where the condition is 1, `b` where it is 0.
    pub fn select(&mut self, condition: Value, a: Value, b: Value) -> Value {
        let kind = if self.kind(a) == self.kind(b) { self.kind(a) } else { self.join([a, b]) };
        let value = if self.as_constant(condition).is_some() {
            // A side that is constant too, such as a mask, becomes one constant.
            let inverse = self.scale(condition, -1.0, 1.0);
            let (chosen, otherwise) = (self.mul(condition, a), self.mul(inverse, b));
            self.add(chosen, otherwise)
        } else {
            self.linear(&[(1.0, &[condition, a]), (1.0, &[b]), (-1.0, &[condition, b])])
        };
        if kind == Kind::Bool { self.as_bool(value) } else { value }
    }

    /// Marks a value, known to be 0 or 1 everywhere, as boolean.
    pub fn as_bool(&mut self, x: Value) -> Value {
        self.with_kind(x, Kind::Bool)
    }

    /// The same elements as values of another kind; the caller knows that they are.
    pub fn with_kind(&mut self, x: Value, kind: Kind) -> Value {
        if self.kind(x) == kind {
            return x;
        }
        let node = self.node(x);
        match &node.op {
            Op::Constant(data) => {
                let (shape, data) = (node.shape.clone(), data.clone());
                self.constant(&shape, kind, data)
            }
            _ => {
                let dims = node.shape.clone();
                let labels: Vec<u8> = (0..dims.len() as u8).collect();
                let term = Term { coefficient: 1.0, operands: vec![(x, labels.clone())] };
                self.einsum(kind, dims, labels, vec![term])
            }
        }
    }

    /// `scale * sum` over some axes (in ascending order), which disappear or stay with length 1.
    pub fn reduce_sum(&mut self, x: Value, axes: &[usize], keep: bool, scale: f64) -> Value {
        let dims = self.shape(x).to_vec();
        let labels: Vec<u8> = (0..dims.len() as u8).collect();
        let out = labels.iter().copied().filter(|&l| !axes.contains(&(l as usize))).collect();
        let kind = if scale == 1.0 { self.join([x]) } else { Kind::Real };
        let term = Term { coefficient: scale, operands: vec![(x, labels)] };
        let sum = self.einsum(kind, dims.clone(), out, vec![term]);
        let shape: Vec<usize> = dims.iter().enumerate().map(|(a, &n)| if axes.contains(&a) { 1 } else { n }).collect();
        if keep { self.reshape(sum, &shape) } else { sum }
    }

    /// Maximum over some axes (in ascending order, at least one), which disappear or stay with length 1.
    pub fn reduce_max(&mut self, x: Value, axes: &[usize], keep: bool) -> Value {
        let dims = self.shape(x).to_vec();
        let rest: Vec<usize> = (0..dims.len()).filter(|a| !axes.contains(a)).collect();
        let order: Vec<usize> = rest.iter().chain(axes).copied().collect();
        let moved = self.transpose(x, &order);
        let mut shape: Vec<usize> = rest.iter().map(|&a| dims[a]).collect();
        shape.push(axes.iter().map(|&a| dims[a]).product());
        let flat = self.reshape(moved, &shape);
        let max = self.max(flat, None);
        let kept: Vec<usize> = dims.iter().enumerate().map(|(a, &n)| if axes.contains(&a) { 1 } else { n }).collect();
        if keep { self.reshape(max, &kept) } else { max }
    }

    /// Matrix product over the last two axes, the others broadcast; `None` if the shapes do not fit.
    pub fn matmul(&mut self, a: Value, b: Value) -> Option<Value> {
        let (mut left, mut right) = (self.shape(a).to_vec(), self.shape(b).to_vec());
        let (row, column) = (left.len() > 1, right.len() > 1);
        let k = left.pop()?;
        let m = left.pop();
        let n = if column { right.pop() } else { None };
        if right.pop()? != k {
            return None;
        }
        let batch = broadcast(&[&left, &right])?;
        let rank = batch.len() as u8;
        let mut dims = batch.clone();
        dims.extend([m.unwrap_or(1), k, n.unwrap_or(1)]);
        let (label_m, label_k, label_n) = (rank, rank + 1, rank + 2);
        let mut operand = |x: Value, shape: &[usize], matrix: &[u8]| {
            let first = batch.len() - shape.len();
            let repeated = |axis: usize| shape[axis] == 1 && batch[first + axis] != 1;
            let mut moves: Vec<_> = shape.iter().map(|&n| (vec![n], affine(0, &[1]))).collect();
            moves.extend(matrix.iter().map(|&l| (vec![dims[l as usize]], affine(0, &[1]))));
            let mut labels = Vec::new();
            for (axis, replacement) in moves.iter_mut().enumerate().take(shape.len()) {
                if repeated(axis) {
                    *replacement = (vec![], affine(0, &[]));
                } else {
                    labels.push((first + axis) as u8);
                }
            }
            labels.extend(matrix);
            (self.reindex(x, moves), labels)
        };
        let (rows, columns) = ([label_m, label_k], [label_k, label_n]);
        let left = operand(a, &left, if row { &rows } else { &rows[1..] });
        let right = operand(b, &right, if column { &columns } else { &columns[..1] });
        let mut out: Vec<u8> = (0..rank).collect();
        out.extend(row.then_some(label_m));
        out.extend(column.then_some(label_n));
        let kind = self.join([a, b]);
        Some(self.einsum(kind, dims, out, vec![Term { coefficient: 1.0, operands: vec![left, right] }]))
    }

    /// `[index == k]` for `k` in `0..classes`, on a new last axis; the index must be an integer in that range.
    pub fn one_hot(&mut self, index: Value, classes: usize) -> Value {
        self.limit_input(index, classes);
        let mut shape = self.shape(index).to_vec();
        let lead = shape.clone();
        shape.push(1);
        let column = self.reshape(index, &shape);
        // at_least[k] = [index >= k] = [index - k + 1 > 0] for k in 1..classes; [index >= 0] = 1, [index >= classes] = 0.
        let thresholds: Vec<f64> = (1..classes).map(|k| 1.0 - k as f64).collect();
        let axis = lead.len();
        if classes == 1 {
            return self.constant(&shape, Kind::Bool, vec![1.0; lead.iter().product()]);
        }
        let thresholds = self.constant(&[classes - 1], Kind::Int, thresholds);
        let gap = self.add(column, thresholds);
        let at_least = self.positive(gap);
        let next = self.slice(at_least, axis, 0, 1, classes);
        let here = self.slice(at_least, axis, -1, 1, classes);
        let mut first = vec![0.0; classes];
        first[0] = 1.0;
        let first = self.constant(&[classes], Kind::Int, first);
        let hot = self.linear(&[(1.0, &[here]), (-1.0, &[next]), (1.0, &[first])]);
        self.as_bool(hot)
    }

    /// Notes that an input is an index below `classes`.
    fn limit_input(&mut self, mut index: Value, classes: usize) {
        loop {
            match &self.node(index).op {
                Op::Input(position) => {
                    let limit = self.classes.entry(*position).or_insert(classes);
                    *limit = classes.min(*limit);
                    return;
                }
                Op::View { input, .. } => index = *input,
                Op::Einsum { terms, .. } => match &terms[..] {
                    [Term { coefficient: 1.0, operands }] if operands.len() == 1 => index = operands[0].0,
                    _ => return,
                },
                _ => return,
            }
        }
    }
}
