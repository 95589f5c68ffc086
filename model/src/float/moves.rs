//! Views by their everyday names: reshape, transpose, slice, pad, window, gather, concatenate.

use super::{Graph, Kind, Term, Value};
use kernels::dense::strides;
use verifier::graph::{AxisGroup, IndexMap};

/// What becomes of one input axis: the lengths of the output axes that replace it, and the map from them.
pub type AxisMove = (Vec<usize>, IndexMap);

/// `offset + sum strides * o`.
pub fn affine(offset: i64, strides: &[i64]) -> IndexMap {
    IndexMap::Affine { offset, strides: strides.to_vec() }
}

/// The axis stays as it is.
pub fn keep(length: usize) -> AxisMove {
    (vec![length], affine(0, &[1]))
}

fn row_major(lengths: &[usize]) -> IndexMap {
    IndexMap::Affine { offset: 0, strides: strides(lengths).iter().map(|&s| s as i64).collect() }
}

impl Graph {
    /// Replaces every input axis by output axes, in order.
    pub fn reindex(&mut self, x: Value, moves: Vec<AxisMove>) -> Value {
        let mut shape = Vec::new();
        let mut groups = Vec::new();
        let mut unchanged = true;
        for (axis, (lengths, map)) in moves.into_iter().enumerate() {
            unchanged &= lengths == [self.shape(x)[axis]] && map == affine(0, &[1]);
            let output_axes = (shape.len()..shape.len() + lengths.len()).collect();
            shape.extend(lengths);
            groups.push(AxisGroup { input_axes: vec![axis], output_axes, map });
        }
        if unchanged { x } else { self.view(x, shape, groups) }
    }

    /// Replaces one axis and keeps the others.
    pub fn reindex_axis(&mut self, x: Value, axis: usize, replacement: AxisMove) -> Value {
        let mut moves: Vec<AxisMove> = self.shape(x).iter().map(|&n| keep(n)).collect();
        moves[axis] = replacement;
        self.reindex(x, moves)
    }

    /// The same elements in another shape of as many elements.
    pub fn reshape(&mut self, x: Value, shape: &[usize]) -> Value {
        let from = self.shape(x).to_vec();
        if from == shape {
            return x;
        }
        let mut groups = Vec::new();
        let (mut i, mut o) = (0, 0);
        while i < from.len() || o < shape.len() {
            let (mut input_axes, mut output_axes) = (Vec::new(), Vec::new());
            let (left, right) = (from.get(i).copied(), shape.get(o).copied());
            match (left, right) {
                // A unit axis comes or goes by itself, so that its neighbours stay as they are.
                (Some(1), right) if right != Some(1) => input_axes.push(i),
                (left, Some(1)) if left != Some(1) => output_axes.push(o),
                _ => {
                    // The fewest axes on both sides with as many elements.
                    let (mut a, mut b) = (1, 1);
                    while input_axes.is_empty() || output_axes.is_empty() || a != b {
                        if output_axes.len() < input_axes.len().min(1) || (b < a && o + output_axes.len() < shape.len())
                        {
                            b *= shape[o + output_axes.len()];
                            output_axes.push(o + output_axes.len());
                        } else if i + input_axes.len() < from.len() {
                            a *= from[i + input_axes.len()];
                            input_axes.push(i + input_axes.len());
                        } else {
                            break;
                        }
                    }
                }
            }
            i += input_axes.len();
            o += output_axes.len();
            let lengths: Vec<usize> = output_axes.iter().map(|&a| shape[a]).collect();
            groups.push(AxisGroup { input_axes, output_axes, map: row_major(&lengths) });
        }
        self.view(x, shape.to_vec(), groups)
    }

    /// Output axis `i` is input axis `order[i]`.
    pub fn transpose(&mut self, x: Value, order: &[usize]) -> Value {
        if order.iter().enumerate().all(|(i, &a)| i == a) {
            return x;
        }
        let shape = order.iter().map(|&a| self.shape(x)[a]).collect();
        let group =
            |(o, &i): (usize, &usize)| AxisGroup { input_axes: vec![i], output_axes: vec![o], map: affine(0, &[1]) };
        let groups = order.iter().enumerate().map(group).collect();
        self.view(x, shape, groups)
    }

    /// Moves one axis to the end.
    pub fn axis_last(&mut self, x: Value, axis: usize) -> Value {
        let rank = self.shape(x).len();
        let order: Vec<usize> = (0..rank).filter(|&a| a != axis).chain([axis]).collect();
        self.transpose(x, &order)
    }

    /// Moves the last axis to the position `axis`.
    pub fn axis_from_last(&mut self, x: Value, axis: usize) -> Value {
        let last = self.shape(x).len() - 1;
        let order: Vec<usize> = (0..axis).chain([last]).chain(axis..last).collect();
        self.transpose(x, &order)
    }

    /// Elements `start, start + step, ...` of an axis, `length` of them; outside the input's range they are 0.
    pub fn slice(&mut self, x: Value, axis: usize, start: i64, step: i64, length: usize) -> Value {
        self.reindex_axis(x, axis, (vec![length], affine(start, &[step])))
    }

    /// Puts zeros before and after every axis; negative amounts crop.
    pub fn pad(&mut self, x: Value, before: &[i64], after: &[i64]) -> Value {
        let moves = self.shape(x).iter().zip(before.iter().zip(after));
        let moves = moves.map(|(&n, (&b, &a))| (vec![(n as i64 + b + a) as usize], affine(-b, &[1]))).collect();
        self.reindex(x, moves)
    }

    /// Replaces an axis by axes of the given lengths, whose elements are those at the (row-major) indices.
    pub fn gather(&mut self, x: Value, axis: usize, lengths: &[usize], indices: Vec<i64>) -> Value {
        self.reindex_axis(x, axis, (lengths.to_vec(), IndexMap::Table(indices)))
    }

    /// Repeats unit axes, and adds leading ones, up to `shape`.
    pub fn expand(&mut self, x: Value, shape: &[usize]) -> Value {
        let from = self.shape(x).to_vec();
        if from == shape {
            return x;
        }
        let lead = shape.len() - from.len();
        let leading = |axis| AxisGroup { input_axes: vec![], output_axes: vec![axis], map: affine(0, &[0]) };
        let mut groups: Vec<AxisGroup> = (0..lead).map(leading).collect();
        for (axis, &n) in from.iter().enumerate() {
            let stride = i64::from(n == shape[lead + axis]);
            groups.push(AxisGroup {
                input_axes: vec![axis],
                output_axes: vec![lead + axis],
                map: affine(0, &[stride]),
            });
        }
        self.view(x, shape.to_vec(), groups)
    }

    /// Values side by side along an axis.
    pub fn concat(&mut self, values: &[Value], axis: usize) -> Value {
        if let [one] = values {
            return *one;
        }
        let total: usize = values.iter().map(|&v| self.shape(v)[axis]).sum();
        let mut dims = self.shape(values[0]).to_vec();
        dims[axis] = total;
        let labels: Vec<u8> = (0..dims.len() as u8).collect();
        let kind = values.iter().map(|&v| self.kind(v)).reduce(|a, b| if a == b { a } else { Kind::Real });
        let mut start = 0i64;
        let mut terms = Vec::new();
        for &value in values {
            let length = self.shape(value)[axis] as i64;
            let padded = self.slice(value, axis, -start, 1, total);
            terms.push(Term { coefficient: 1.0, operands: vec![(padded, labels.clone())] });
            start += length;
        }
        self.einsum(kind.unwrap_or(Kind::Real), dims, labels, terms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshape_keeps_the_order_of_elements() {
        let shapes: [&[usize]; 9] =
            [&[24], &[1, 24], &[2, 12], &[2, 3, 4], &[4, 6], &[1, 2, 1, 3, 4, 1], &[6, 1, 4], &[24, 1], &[3, 8]];
        for from in shapes {
            for to in shapes {
                let mut g = Graph::default();
                let data: Vec<f64> = (0..24).map(f64::from).collect();
                let x = g.constant(from, Kind::Real, data.clone());
                let y = g.reshape(x, to);
                assert_eq!((g.shape(y), g.as_constant(y)), (to, Some(&data[..])), "{from:?} to {to:?}");
            }
        }
    }
}
