//! Interval analysis: the values that a contraction can take, from those of its operands.
//!
//! Exact per output channel where an operand is a constant; every bound is an `i128`, so that the analysis cannot wrap.

use verifier::graph::{Operand, Tensor, TensorId};

/// `lo..=hi`.
pub type Interval = (i128, i128);

/// The product of two intervals.
pub fn product(a: Interval, b: Interval) -> Interval {
    let corners = [a.0 * b.0, a.0 * b.1, a.1 * b.0, a.1 * b.1];
    (corners.into_iter().min().unwrap_or(0), corners.into_iter().max().unwrap_or(0))
}

/// The sum of two intervals.
pub fn sum(a: Interval, b: Interval) -> Interval {
    (a.0 + b.0, a.1 + b.1)
}

/// An operand for the analysis: its tensor, and its values if it is a constant.
pub struct Factor<'a> {
    /// The tensor with its labels.
    pub operand: &'a Operand,
    /// Its interval and shape.
    pub tensor: &'a Tensor,
    /// Its values.
    pub constant: Option<&'a [i64]>,
}

/// The values of `coefficient * sum over the labels that are not in out of prod factors`; `None` beyond `i128`.
pub fn term(dims: &[usize], out: &[u8], coefficient: i64, factors: &[Factor<'_>]) -> Option<Interval> {
    // The largest constant is analysed by channel, the others by their intervals.
    let by_channel = (0..factors.len())
        .filter(|&i| factors[i].constant.is_some())
        .max_by_key(|&i| factors[i].constant.map_or(0, <[i64]>::len));
    let mut rest: Interval = (1, 1);
    let mut seen: Vec<(TensorId, &[u8])> = Vec::new();
    for (index, factor) in factors.iter().enumerate().filter(|&(i, _)| Some(i) != by_channel) {
        let key = (factor.operand.tensor, factor.operand.labels.as_slice());
        if seen.contains(&key) {
            continue;
        }
        seen.push(key);
        let power = factors[index..].iter().filter(|f| (f.operand.tensor, f.operand.labels.as_slice()) == key).count();
        rest = checked(product(rest, raised((factor.tensor.lo.into(), factor.tensor.hi.into()), power)))?;
    }
    let constant = by_channel.and_then(|i| factors[i].constant.map(|c| (factors[i].operand.labels.as_slice(), c)));
    let bound = match constant {
        Some((labels, values)) => channels(dims, out, labels, values, rest)?,
        None => rest,
    };
    // Labels that are summed, but not along the constant, repeat the bound.
    let constant_labels = constant.map_or(&[][..], |(labels, _)| labels);
    let mut summed: Vec<u8> = factors.iter().flat_map(|f| &f.operand.labels).copied().collect();
    summed.retain(|l| !out.contains(l) && !constant_labels.contains(l));
    summed.sort_unstable();
    summed.dedup();
    let repeats: i128 = summed.iter().map(|&l| dims[l as usize] as i128).product();
    checked(product(checked(product(bound, (repeats, repeats)))?, (coefficient.into(), coefficient.into())))
}

fn checked(interval: Interval) -> Option<Interval> {
    const LIMIT: i128 = 1 << 62;
    (interval.0 > -LIMIT && interval.1 < LIMIT).then_some(interval)
}

fn raised(interval: Interval, power: usize) -> Interval {
    let mut value = (1, 1);
    for _ in 0..power.min(8) {
        value = product(value, interval);
        value = (value.0.max(-(1 << 64)), value.1.min(1 << 64));
    }
    if power.is_multiple_of(2) { (value.0.max(0), value.1) } else { value }
}

/// The least and greatest, over the output channels, of `sum over the constant's summed labels of w * rest`.
fn channels(dims: &[usize], out: &[u8], labels: &[u8], values: &[i64], rest: Interval) -> Option<Interval> {
    let lengths: Vec<usize> = labels.iter().map(|&l| dims[l as usize]).collect();
    let mut channel_strides = vec![0; labels.len()];
    let mut count = 1;
    for axis in (0..labels.len()).rev() {
        if out.contains(&labels[axis]) {
            channel_strides[axis] = count;
            count *= lengths[axis];
        }
    }
    // What is negative and what is positive among the weights of a channel.
    let mut parts: Vec<(i128, i128)> = vec![(0, 0); count];
    let mut index = vec![0; labels.len().saturating_sub(1)];
    let (run, step) = (lengths.last().copied().unwrap_or(1).max(1), channel_strides.last().copied().unwrap_or(0));
    let mut channel = 0;
    for run in values.chunks(run) {
        let targets = std::iter::successors(Some(channel), |c| Some(c + step));
        for (target, &w) in targets.zip(run) {
            let (negative, positive) = &mut parts[target];
            *if w < 0 { negative } else { positive } += i128::from(w);
        }
        for axis in (0..index.len()).rev() {
            index[axis] += 1;
            channel += channel_strides[axis];
            if index[axis] < lengths[axis] {
                break;
            }
            channel -= channel_strides[axis] * lengths[axis];
            index[axis] = 0;
        }
    }
    let sum = |&(negative, positive): &(i128, i128)| {
        let (lo, hi) = (positive.checked_mul(rest.0)?, positive.checked_mul(rest.1)?);
        Some((lo.checked_add(negative.checked_mul(rest.1)?)?, hi.checked_add(negative.checked_mul(rest.0)?)?))
    };
    let sums: Vec<Interval> = parts.iter().map(sum).collect::<Option<_>>()?;
    let lo = sums.iter().map(|s| s.0).min()?;
    let hi = sums.iter().map(|s| s.1).max()?;
    checked((lo, hi))
}
