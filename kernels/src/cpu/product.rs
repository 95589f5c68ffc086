//! Sumcheck over a product of tensors that share axes: see `verifier::argument::sumcheck`.

use super::PARALLEL_FROM;
use super::contract::lift;
use super::rows::fold_rows;
use crate::Ints;
use crate::sumcheck::{Cells, Factor, Product, Reduced, next_axis};
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;
use std::borrow::Cow;
use verifier::field::K;
use verifier::transcript::{Transcript, Writer};

/// A factor of field elements.
struct Lifted<'a> {
    axes: Vec<usize>,
    values: Cow<'a, [K]>,
}

impl<'a> Lifted<'a> {
    fn borrowed(factor: &'a Factor<Ints, Vec<K>>) -> Self {
        let values = match &factor.cells {
            Cells::Integers(values) => lift(values).into(),
            Cells::Elements(values) => values.into(),
        };
        Self { axes: factor.axes.clone(), values }
    }

    fn owned(factor: Factor<Ints, Vec<K>>) -> Self {
        let values = match factor.cells {
            Cells::Integers(values) => lift(values),
            Cells::Elements(values) => values,
        };
        Self { axes: factor.axes, values: values.into() }
    }
}

/// The sum itself.
pub fn product_total(product: &Product<Ints, Vec<K>>) -> K {
    let factors: Vec<Lifted> = product.factors.iter().map(Lifted::borrowed).collect();
    product.scale * total(&product.dims, &factors)
}

fn total(dims: &[usize], factors: &[Lifted]) -> K {
    let joint: usize = dims.iter().product();
    let rows: Vec<_> = factors.iter().map(|f| Rows::new(dims, &f.axes)).collect();
    let at = |i: usize| -> K { factors.iter().zip(&rows).map(|(f, r)| f.values[r.of(i)]).product() };
    (0..joint).into_par_iter().with_min_len(PARALLEL_FROM).map(at).sum()
}

/// All rounds, and what is left.
pub fn product_sumcheck(product: Product<Ints, Vec<K>>, degree: usize, transcript: &mut Writer) -> Reduced {
    let Product { mut dims, factors, scale } = product;
    let mut factors: Vec<Lifted> = factors.into_iter().map(Lifted::owned).collect();
    let mut point = Vec::new();
    while let Some(axis) = next_axis(&dims) {
        round(&dims, axis, &factors, degree).into_iter().for_each(|value| transcript.write(scale * value));
        let x = transcript.challenge();
        for factor in factors.iter_mut().filter(|f| f.axes.contains(&axis)) {
            factor.values = Cow::Owned(fold_rows(&factor.values, dims[axis], x));
        }
        dims[axis] = dims[axis].div_ceil(2);
        point.push(x);
    }
    point.reverse();
    Reduced { point, values: factors.iter().map(|f| f.values[0]).collect() }
}

/// The values at 0, 2, 3, .., `degree` with the last bit of this axis as the variable.
fn round(dims: &[usize], axis: usize, factors: &[Lifted], degree: usize) -> Vec<K> {
    let length = dims[axis];
    let outer: usize = dims[..axis].iter().product();
    let (rows, constants): (Vec<_>, Vec<_>) = factors.iter().partition(|f| f.axes.contains(&axis));
    let row_of: Vec<_> = rows.iter().map(|f| Rows::new(&dims[..axis], &f.axes)).collect();
    let constant_of: Vec<_> = constants.iter().map(|f| Rows::new(&dims[..axis], &f.axes)).collect();
    let at_outer = |o: usize| {
        let slices: Vec<&[K]> =
            rows.iter().zip(&row_of).map(|(f, r)| &f.values[r.of(o) * length..][..length]).collect();
        let constant: K = constants.iter().zip(&constant_of).map(|(f, r)| f.values[r.of(o)]).product();
        let mut values = row_values(&slices, degree);
        values.iter_mut().for_each(|v| *v *= constant);
        values
    };
    let min_len = PARALLEL_FROM.div_ceil(length * degree);
    (0..outer).into_par_iter().with_min_len(min_len).map(at_outer).reduce(|| vec![K::ZERO; degree], add_all)
}

fn add_all(mut a: Vec<K>, b: Vec<K>) -> Vec<K> {
    a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
    a
}

/// Where a factor's row starts for an outer index: a projection of mixed-radix digits.
struct Rows {
    /// For each outer axis of the factor: divisor, length, stride.
    digits: Vec<(usize, usize, usize)>,
    /// The factor has all outer axes: rows are in the outer order.
    whole: bool,
}

impl Rows {
    fn new(outer: &[usize], axes: &[usize]) -> Self {
        let mut digits = Vec::new();
        let (mut divisor, mut stride) = (1, 1);
        for (axis, &d) in outer.iter().enumerate().rev() {
            if axes.contains(&axis) {
                digits.push((divisor, d, stride));
                stride *= d;
            }
            divisor *= d;
        }
        Self { digits, whole: stride == divisor }
    }

    fn of(&self, outer: usize) -> usize {
        if self.whole {
            return outer;
        }
        self.digits.iter().map(|&(divisor, length, stride)| outer / divisor % length * stride).sum()
    }
}

/// `sum over pairs of prod_f (lo_f + x (hi_f - lo_f))` at `x` = 0, 2, .., degree.
fn row_values(rows: &[&[K]], degree: usize) -> Vec<K> {
    let pairs = rows[0].len().div_ceil(2);
    let chunk = PARALLEL_FROM;
    let partial = |c: usize| {
        let range = c * chunk..pairs.min((c + 1) * chunk);
        match rows {
            [a] => linear(a, range, degree),
            [a, b] => quadratic(a, b, range, degree),
            _ => general(rows, range, degree),
        }
    };
    (0..pairs.div_ceil(chunk)).into_par_iter().map(partial).reduce(|| vec![K::ZERO; degree], add_all)
}

fn pair(row: &[K], i: usize) -> (K, K) {
    (row[2 * i], row.get(2 * i + 1).copied().unwrap_or(K::ZERO))
}

/// Values at 0, 2, 3, .. of `c0 + c1 x + c2 x^2`.
fn values_of(c: [K; 3], degree: usize) -> Vec<K> {
    let at = |x: usize| c[0] + K::from_usize(x) * (c[1] + K::from_usize(x) * c[2]);
    core::iter::once(c[0]).chain((2..=degree).map(at)).collect()
}

fn linear(a: &[K], range: core::ops::Range<usize>, degree: usize) -> Vec<K> {
    let (lo, hi) = range.map(|i| pair(a, i)).fold((K::ZERO, K::ZERO), |(s, t), (lo, hi)| (s + lo, t + hi));
    values_of([lo, hi - lo, K::ZERO], degree)
}

fn quadratic(a: &[K], b: &[K], range: core::ops::Range<usize>, degree: usize) -> Vec<K> {
    let mut sums = [K::ZERO; 3];
    for i in range {
        let ((a0, a1), (b0, b1)) = (pair(a, i), pair(b, i));
        sums[0] += a0 * b0;
        sums[1] += a1 * b1;
        sums[2] += (a1 - a0) * (b1 - b0);
    }
    let [zero, one, top] = sums;
    values_of([zero, one - zero - top, top], degree)
}

fn general(rows: &[&[K]], range: core::ops::Range<usize>, degree: usize) -> Vec<K> {
    let mut sums = vec![K::ZERO; degree];
    for i in range {
        let mut products = vec![K::ONE; degree];
        for row in rows {
            let (lo, hi) = pair(row, i);
            let step = hi - lo;
            let mut value = lo;
            products[0] *= value;
            value += step;
            for product in &mut products[1..] {
                value += step;
                *product *= value;
            }
        }
        sums.iter_mut().zip(products).for_each(|(s, p)| *s += p);
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use verifier::argument::sumcheck::verify;
    use verifier::transcript::Reader;

    fn element(i: usize) -> K {
        K::from_usize(i * i + 3).exp_u64(7)
    }

    #[test]
    fn rounds_lead_from_the_sum_to_the_product_of_what_is_left() {
        let dims = [3, 1, 6, 5];
        let integers: Vec<i16> = (0..90).map(|i| i * 300 - 15_000).collect();
        let integers = Ints::I16(integers);
        for axes in
            [vec![vec![0, 1, 2, 3]], vec![vec![0, 3], vec![2, 3]], vec![vec![0, 1], vec![2], vec![1, 2, 3], vec![3]]]
        {
            let mut factors: Vec<Factor<Ints, Vec<K>>> = axes
                .into_iter()
                .map(|axes: Vec<usize>| {
                    let len: usize = axes.iter().map(|&a| dims[a]).product();
                    Factor { cells: Cells::Elements((0..len).map(|i| element(i + axes.len() * 100)).collect()), axes }
                })
                .collect();
            // Axes that no factor has would be summed as ones: give each an owner.
            let dims: Vec<usize> =
                (0..4).map(|a| if factors.iter().any(|f| f.axes.contains(&a)) { dims[a] } else { 1 }).collect();
            if dims == [3, 1, 6, 5] {
                factors.push(Factor { axes: vec![0, 1, 2, 3], cells: Cells::Integers(&integers) });
            }
            let degree = factors.len();
            let product = Product { dims, factors, scale: element(9) };
            let mut transcript = Writer::new("test");
            let reduced = product_sumcheck(product.clone(), degree, &mut transcript);
            let proof = transcript.finish();
            let mut transcript = Reader::new("test", &proof);
            let claim = product_total(&product);
            let checked = verify(&mut transcript, claim, reduced.point.len(), degree).unwrap();
            assert_eq!(checked.point, reduced.point);
            assert_eq!(checked.value, product.scale * reduced.values.into_iter().product::<K>());
            transcript.finish().unwrap();
        }
    }
}
