//! Claims on a joint polynomial, bound over its rows: what is left of each is a value for every column.
//!
//! A claim on a block of one polynomial weighs some rows of the joint polynomial by `eq` of the block's coordinates; the other
//! polynomial's rows there are bound by the same weights, for the first rounds mix the columns of both.

use kernels::{Device, Strided};
use p3_field::PrimeCharacteristicRing;
use verifier::commitment::{Block, Joint, Part};
use verifier::field::K;
use verifier::multilinear::eq_table;

/// A claim bound over the rows of its block.
pub struct RowClaim {
    /// The joint polynomial's rows that it weighs.
    pub rows: Strided,
    /// Their coordinates.
    pub point: Vec<K>,
    /// `eq` of the coordinates of the columns.
    pub columns: Vec<K>,
    /// The columns, each bound over the rows.
    pub bound: Vec<K>,
}

impl RowClaim {
    /// Binds a block of polynomial `part` at a point of the joint polynomial.
    pub fn of_block<D: Device>(
        device: &D,
        joint: &Joint,
        parts: &[&D::Base],
        part: usize,
        block: &Block,
        point: &[K],
    ) -> Self {
        let Part { log_stride, .. } = joint.parts()[part];
        let first = block.offset >> joint.log_columns();
        let variables = block.num_variables.saturating_sub(joint.log_columns());
        let end = joint.log_rows() - log_stride;
        Self::bind(device, joint, parts, Strided { first, log_stride }, &point[end - variables..end], point)
    }

    /// Binds all rows at a point of the joint polynomial.
    pub fn everywhere<D: Device>(device: &D, joint: &Joint, parts: &[&D::Base], point: &[K]) -> Self {
        Self::bind(device, joint, parts, Strided::ALL, &point[..joint.log_rows()], point)
    }

    fn bind<D: Device>(
        device: &D,
        joint: &Joint,
        parts: &[&D::Base],
        rows: Strided,
        row_point: &[K],
        point: &[K],
    ) -> Self {
        let width = 1 << joint.log_columns();
        let bind = |(part, &values): (&Part, &&D::Base)| match share(part, rows, row_point) {
            Some((scale, rows, point)) => {
                let mut bound = device.bind_rows(values, rows, point, joint.log_columns());
                bound.iter_mut().for_each(|x| *x *= scale);
                bound
            }
            None => vec![K::ZERO; width],
        };
        Self {
            rows,
            point: row_point.to_vec(),
            columns: eq_table(&point[joint.log_rows()..], 1 << joint.code().log_width),
            bound: joint.parts().iter().zip(parts).flat_map(bind).collect(),
        }
    }

    /// The claimed value.
    pub fn value(&self) -> K {
        self.columns.iter().zip(&self.bound).map(|(&weight, &x)| weight * x).sum()
    }
}

/// The rows of one polynomial among `rows` of the joint one, which have coordinates `point`: a factor common to their weights, their own
/// numbers, and the coordinates that tell them apart. `None` if there are none.
fn share<'a>(part: &Part, rows: Strided, point: &'a [K]) -> Option<(K, Strided, &'a [K])> {
    let at_zero = |coordinates: &[K]| coordinates.iter().map(|&x| K::ONE - x).product::<K>();
    let (mut scale, mut own, mut point) = (K::ONE, rows, point);
    if let Some(log_stride) = rows.log_stride.checked_sub(part.log_stride) {
        own.log_stride = log_stride;
    } else {
        // Only every `2^skip`-th of the rows is this polynomial's. Fewer than `2^skip` rows begin at a multiple of their number.
        let skip = part.log_stride - rows.log_stride;
        let (kept, dropped) = point.split_at(point.len().saturating_sub(skip));
        if !rows.first.is_multiple_of(1 << skip) {
            return None;
        }
        scale = at_zero(dropped);
        point = kept;
        own = Strided { first: rows.first >> skip, log_stride: 0 };
    }
    // Rows beyond the polynomial's last are zero.
    let beyond = (point.len() + own.log_stride).saturating_sub(part.log_rows);
    let (dropped, kept) = point.split_at(beyond);
    (own.range(1).start < 1 << part.log_rows).then(|| (scale * at_zero(dropped), own, kept))
}

/// `out[row] = sum over the columns of weights * joint polynomial`.
pub fn bind_columns<D: Device>(device: &D, joint: &Joint, parts: &[&D::Base], weights: &[K]) -> D::Extension {
    if let [values] = parts {
        return device.bind_columns(values, weights);
    }
    let mut out = device.zeros(1 << joint.log_rows());
    let weights = weights.chunks_exact(1 << joint.log_columns());
    for ((part, values), weights) in joint.parts().iter().zip(parts).zip(weights) {
        let rows = Strided { first: 0, log_stride: part.log_stride };
        device.add_at(&mut out, rows, &device.bind_columns(values, weights));
    }
    out
}
