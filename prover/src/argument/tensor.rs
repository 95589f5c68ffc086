//! Tensors of field elements on their way into a sumcheck.

use kernels::{Cells, Device};
use p3_field::PrimeCharacteristicRing;
use verifier::argument::view::outer_product;
use verifier::field::K;
use verifier::multilinear::{eq_table, split_point};

/// Row-major values with the source axes that are left.
#[derive(Debug)]
pub struct Bound<'a, I, E> {
    /// Axes of the source tensor, in the layout's order.
    pub axes: Vec<usize>,
    /// Lengths of those axes.
    pub shape: Vec<usize>,
    /// Values.
    pub cells: Cells<'a, I, E>,
}

/// Binds some axes of a tensor of integers: `points[axis]` is the axis's part of the point, `None` leaves it.
pub fn bind<'a, D: Device>(
    device: &D,
    values: &'a D::Integers,
    shape: &[usize],
    points: &[Option<&[K]>],
) -> Bound<'a, D::Integers, D::Extension> {
    let mut order: Vec<usize> = (0..shape.len()).filter(|&a| points[a].is_some()).collect();
    // The longest axis first: the rest of the work shrinks the most.
    order.sort_by_key(|&a| core::cmp::Reverse(shape[a]));
    let (mut axes, mut shape) = ((0..shape.len()).collect::<Vec<_>>(), shape.to_vec());
    let mut cells = Cells::Integers(values);
    for axis in order {
        let Some(place) = axes.iter().position(|&a| a == axis) else { continue };
        let weights = eq_table(points[axis].unwrap_or(&[]), shape[place]);
        cells = Cells::Elements(match &cells {
            Cells::Integers(values) => device.contract_ints(values, &shape, place, &weights),
            Cells::Elements(values) => device.contract(values, &shape, place, &weights),
        });
        axes.remove(place);
        shape.remove(place);
    }
    Bound { axes, shape, cells }
}

/// A tensor of integers, its shape, and a point.
pub type At<'a, I> = (&'a I, &'a [usize], &'a [K]);

/// The extensions of tensors of integers, each at a point.
pub fn evaluate_all<'a, D: Device>(device: &D, tensors: impl IntoIterator<Item = At<'a, D::Integers>>) -> Vec<K>
where
    D::Integers: 'a,
{
    let bind = |(values, shape, point): At<'a, D::Integers>| {
        let points: Vec<_> = split_point(shape, point).into_iter().map(Some).collect();
        bind(device, values, shape, &points).into_elements(device)
    };
    let values: Vec<D::Extension> = tensors.into_iter().map(bind).collect();
    device.download_all(&values.iter().collect::<Vec<_>>()).concat()
}

/// The extension of a tensor of integers at a point.
pub fn evaluate<D: Device>(device: &D, values: &D::Integers, shape: &[usize], point: &[K]) -> K {
    evaluate_all(device, [(values, shape, point)])[0]
}

/// `out[i] += scale * eq(points, i)` for a tensor of this shape, with a part of the point for each axis.
pub fn add_eq<D: Device>(device: &D, out: &mut D::Extension, shape: &[usize], points: &[&[K]], scale: K) {
    let mut tables: Vec<Vec<K>> = points.iter().zip(shape).map(|(point, &d)| eq_table(point, d)).collect();
    let columns = tables.pop().unwrap_or_else(|| vec![K::ONE]);
    let mut rows = outer_product(tables.into_iter());
    rows.iter_mut().for_each(|row| *row *= scale);
    device.add_outer(out, &rows, &columns);
}

impl<'a, I, E> Bound<'a, I, E> {
    /// The values as field elements.
    pub fn into_elements<D: Device<Integers = I, Extension = E>>(self, device: &D) -> E {
        match self.cells {
            Cells::Integers(values) => device.lift(values),
            Cells::Elements(values) => values,
        }
    }

    /// The values with the axes in this order, which must be a permutation of them.
    pub fn into_order<D: Device<Integers = I, Extension = E>>(self, device: &D, order: &[usize]) -> Cells<'a, I, E> {
        if self.axes == order {
            return self.cells;
        }
        let places: Vec<usize> = order.iter().filter_map(|axis| self.axes.iter().position(|a| a == axis)).collect();
        let shape = self.shape.clone();
        Cells::Elements(device.permute(self.into_elements(device), &shape, &places))
    }
}
