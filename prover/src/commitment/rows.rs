//! Claims on a joint polynomial, bound over its rows: what is left of each is a value for every column.
//!
//! A claim on a block of one polynomial weighs some rows of the joint polynomial by `eq` of the block's coordinates; the other
//! polynomial's rows there are bound by the same weights, for the first rounds mix the columns of both.

use kernels::{Device, Strided};
use p3_field::PrimeCharacteristicRing;
use std::ops::Range;
use verifier::commitment::{Block, Joint, Part};
use verifier::field::K;
use verifier::multilinear::eq_table;

/// A claim on rows of the joint polynomial.
pub struct Claim {
    /// The rows that it weighs.
    rows: Strided,
    /// The joint polynomial's point, coordinates of the columns last.
    pub point: Vec<K>,
    /// Of its coordinates, those that tell the rows apart.
    of_rows: Range<usize>,
}

impl Claim {
    /// On a block of polynomial `part`.
    pub fn on_block(joint: &Joint, part: usize, block: &Block, point: Vec<K>) -> Self {
        let Part { log_stride, .. } = joint.parts()[part];
        let first = block.offset >> joint.log_columns();
        let variables = block.num_variables.saturating_sub(joint.log_columns());
        let end = joint.log_rows() - log_stride;
        Self { rows: Strided { first, log_stride }, point, of_rows: end - variables..end }
    }

    /// On all rows.
    pub fn everywhere(joint: &Joint, point: Vec<K>) -> Self {
        Self { rows: Strided::ALL, point, of_rows: 0..joint.log_rows() }
    }
}

/// A claim bound over its rows.
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
    /// Binds claims.
    pub fn bind_all<D: Device>(device: &D, joint: &Joint, parts: &[&D::Base], claims: &[Claim]) -> Vec<Self> {
        let width = 1 << joint.log_columns();
        let shares: Vec<Option<(K, D::Extension)>> = claims
            .iter()
            .flat_map(|claim| joint.parts().iter().zip(parts).map(move |part| (claim, part)))
            .map(|(claim, (part, &values))| {
                let (scale, rows, point) = share(part, claim.rows, &claim.point[claim.of_rows.clone()])?;
                Some((scale, device.bind_rows(values, rows, point, joint.log_columns())))
            })
            .collect();
        let bound: Vec<&D::Extension> = shares.iter().flatten().map(|(_, bound)| bound).collect();
        let mut bound = device.download_all(&bound).into_iter();
        let mut shares = shares.iter().map(|share| {
            let scaled = share.as_ref().and_then(|(scale, _)| Some((scale, bound.next()?)));
            scaled
                .map_or_else(|| vec![K::ZERO; width], |(&scale, bound)| bound.into_iter().map(|x| scale * x).collect())
        });
        let bind = |claim: &Claim| Self {
            rows: claim.rows,
            point: claim.point[claim.of_rows.clone()].to_vec(),
            columns: eq_table(&claim.point[joint.log_rows()..], 1 << joint.code().log_width),
            bound: shares.by_ref().take(parts.len()).flatten().collect(),
        };
        claims.iter().map(bind).collect()
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
