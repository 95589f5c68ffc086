//! Tensors of field elements on their way into a sumcheck.

use kernels::Ints;
use kernels::cpu::{contract, contract_ints, lift};
use verifier::field::K;
use verifier::multilinear::{eq_table, split_point};

/// Row-major values with the source axes that are left.
#[derive(Clone, Debug)]
pub struct Bound {
    /// Axes of the source tensor, in the layout's order.
    pub axes: Vec<usize>,
    /// Lengths of those axes.
    pub shape: Vec<usize>,
    /// Values.
    pub values: Vec<K>,
}

/// Binds some axes of a tensor of integers: `points[axis]` is the axis's part of the point, `None` leaves it.
pub fn bind(values: &Ints, shape: &[usize], points: &[Option<&[K]>]) -> Bound {
    let mut order: Vec<usize> = (0..shape.len()).filter(|&a| points[a].is_some()).collect();
    // The longest axis first: the rest of the work shrinks the most.
    order.sort_by_key(|&a| core::cmp::Reverse(shape[a]));
    let mut bound = Bound { axes: (0..shape.len()).collect(), shape: shape.to_vec(), values: Vec::new() };
    let mut lifted = false;
    for axis in order {
        let Some(place) = bound.axes.iter().position(|&a| a == axis) else { continue };
        let weights = eq_table(points[axis].unwrap_or(&[]), shape[axis]);
        bound.values = if lifted {
            contract(&bound.values, &bound.shape, place, &weights)
        } else {
            contract_ints(values, &bound.shape, place, &weights)
        };
        lifted = true;
        bound.axes.remove(place);
        bound.shape.remove(place);
    }
    if !lifted {
        bound.values = lift(values);
    }
    bound
}

/// The extension of a tensor of integers at a point.
pub fn evaluate(values: &Ints, shape: &[usize], point: &[K]) -> K {
    let points: Vec<_> = split_point(shape, point).into_iter().map(Some).collect();
    bind(values, shape, &points).values[0]
}

impl Bound {
    /// The values with the axes in this order, which must be a permutation of them.
    pub fn into_order(self, order: &[usize]) -> Vec<K> {
        if self.axes == order {
            return self.values;
        }
        let mut strides = vec![1; self.shape.len()];
        for i in (1..strides.len()).rev() {
            strides[i - 1] = strides[i] * self.shape[i];
        }
        let mut places = vec![0usize];
        for axis in order {
            let Some(from) = self.axes.iter().position(|a| a == axis) else { continue };
            let (length, stride) = (self.shape[from], strides[from]);
            places = places.iter().flat_map(|&p| (0..length).map(move |i| p + i * stride)).collect();
        }
        places.into_iter().map(|p| self.values[p]).collect()
    }
}
