//! [`IntegerDevice`] on the processor: integers are in the narrowest width that holds them.

use super::Cpu;
use crate::integers::{Forbidden, IntegerDevice, Part, Summand};
use crate::{Ints, dense};
use rayon::prelude::*;
use std::ops::{Range, RangeInclusive};
use verifier::graph::{AxisGroup, Bound, Lookup};
use verifier::plan::{Limb, Table, edge};

/// Elements above which a loop runs on all cores.
const PARALLEL: usize = 1 << 14;

impl IntegerDevice for Cpu {
    type Integers = Ints;

    fn upload_integers(&self, values: Ints) -> Ints {
        values
    }

    fn download_integers(&self, values: &Ints) -> Ints {
        Ints::from(values.to_vec())
    }

    fn count(&self, values: &Ints) -> usize {
        values.len()
    }

    fn concat(&self, parts: &[(&Ints, Range<usize>)]) -> Ints {
        let mut all = Vec::with_capacity(parts.iter().map(|(_, range)| range.len()).sum());
        for (values, range) in parts {
            all.extend(range.clone().map(|element| values.get(element)));
        }
        Ints::from(all)
    }

    fn einsum(&self, dims: &[usize], out: &[u8], summands: &[Summand<Ints>], _: RangeInclusive<i64>) -> Ints {
        Ints::from(dense::integer_einsum(dims, out, summands))
    }

    fn rearrange(&self, input: &Ints, input_shape: &[usize], output_shape: &[usize], groups: &[AxisGroup]) -> Ints {
        match input {
            Ints::I8(v) => Ints::I8(dense::rearrange(v, input_shape, output_shape, groups)),
            Ints::I16(v) => Ints::I16(dense::rearrange(v, input_shape, output_shape, groups)),
            Ints::I32(v) => Ints::I32(dense::rearrange(v, input_shape, output_shape, groups)),
            Ints::I64(v) => Ints::I64(dense::rearrange(v, input_shape, output_shape, groups)),
        }
    }

    fn look_up(
        &self,
        input: &Ints,
        lookup: &Lookup,
        table: Option<&Ints>,
        _: RangeInclusive<i64>,
    ) -> Result<Ints, Forbidden> {
        let hi = lookup.lo + ((1i64 << lookup.bits) - 1);
        let apply = |x: &mut i64| {
            let h = (*x * lookup.multiplier + lookup.add) >> lookup.shift;
            if (h < lookup.lo && lookup.below == Bound::Forbid) || (h > hi && lookup.above == Bound::Forbid) {
                return Err(Forbidden(h));
            }
            let place = h.clamp(lookup.lo, hi);
            *x = table.map_or(place, |t| t.get((place - lookup.lo) as usize));
            Ok(())
        };
        let mut values = input.to_vec();
        if values.len() >= PARALLEL {
            values.par_iter_mut().try_for_each(apply)?;
        } else {
            values.iter_mut().try_for_each(apply)?;
        }
        Ok(Ints::from(values))
    }

    fn row_max(&self, input: &Ints, row: usize) -> Ints {
        let most = |row: &[i64]| row.iter().copied().fold(i64::MIN, i64::max);
        Ints::from(input.to_vec().chunks_exact(row).map(most).collect::<Vec<_>>())
    }

    fn floor_div(&self, numerators: &Ints, denominators: &Ints, _: RangeInclusive<i64>) -> Result<Ints, Forbidden> {
        let quotient = |i: usize| match denominators.get(i) {
            d @ 1.. => Ok(numerators.get(i % numerators.len()).div_euclid(d)),
            d => Err(Forbidden(d)),
        };
        Ok(Ints::from((0..denominators.len()).map(quotient).collect::<Result<Vec<_>, _>>()?))
    }

    fn rsqrt(&self, input: &Ints, exponent: u32, _: RangeInclusive<i64>) -> Result<Ints, Forbidden> {
        let root = |i: usize| match input.get(i) {
            w @ 1.. => Ok((1u64 << exponent).div_euclid(w as u64).isqrt() as i64),
            w => Err(Forbidden(w)),
        };
        Ok(Ints::from((0..input.len()).map(root).collect::<Result<Vec<_>, _>>()?))
    }

    fn limbs(&self, input: &Ints, lookup: &Lookup, part: Part, limb: &Limb) -> Ints {
        map(input, |x| limb_of(part_of(x, lookup, part), limb))
    }

    fn edges(&self, limbs: &Ints, width: u32) -> Ints {
        map(limbs, |limb| edge(limb, width))
    }

    fn combine(&self, constant: i64, terms: &[(i64, &Ints)], _: RangeInclusive<i64>) -> Ints {
        let len = terms.first().map_or(0, |(_, column)| column.len());
        let sum = |i: usize| constant + terms.iter().map(|(factor, column)| factor * column.get(i)).sum::<i64>();
        Ints::from((0..len).into_par_iter().map(sum).collect::<Vec<_>>())
    }

    fn count_rows(&self, table: &Table, entries: &[&Ints], counts: &mut Ints) {
        let mut all = counts.to_vec();
        let rows = entries[0].len();
        let stretch = rows.div_ceil(rayon::current_num_threads()).max(all.len());
        let part = |first: usize| {
            let (mut part, mut row) = (vec![0; all.len()], vec![0; entries.len()]);
            for i in first..rows.min(first + stretch) {
                row.iter_mut().zip(entries).for_each(|(r, column)| *r = column.get(i));
                if let Some(count) = part.get_mut(table.find(&row)) {
                    *count += 1;
                }
            }
            part
        };
        let firsts: Vec<usize> = (0..rows).step_by(stretch).collect();
        let parts: Vec<Vec<i64>> = firsts.into_par_iter().map(part).collect();
        parts.iter().for_each(|part| all.iter_mut().zip(part).for_each(|(count, more)| *count += more));
        *counts = Ints::from(all);
    }

    fn table_entries(&self, table: &Table, kind: usize, outputs: Option<&Ints>) -> Vec<Ints> {
        let first = kind << table.width();
        let rows = (first..first + (1 << table.width())).into_par_iter();
        let rows: Vec<Vec<i64>> =
            rows.map(|row| table.row(row, outputs.map_or(0, |outputs| outputs.get(row)))).collect();
        let width = rows.first().map_or(0, Vec::len);
        (0..width).map(|j| Ints::from(rows.par_iter().map(|row| row[j]).collect::<Vec<_>>())).collect()
    }
}

fn map(values: &Ints, f: impl Fn(i64) -> i64 + Sync) -> Ints {
    Ints::from((0..values.len()).into_par_iter().with_min_len(PARALLEL).map(|i| f(values.get(i))).collect::<Vec<_>>())
}

fn part_of(input: i64, lookup: &Lookup, part: Part) -> i64 {
    let scaled = input * lookup.multiplier + lookup.add;
    let place = (scaled >> lookup.shift) - lookup.lo;
    let top = (1i64 << lookup.bits) - 1;
    let low = if lookup.below == Bound::Saturate { 0 } else { i64::MIN };
    let high = if lookup.above == Bound::Saturate { top } else { i64::MAX };
    let value = place.clamp(low, high);
    match part {
        Part::Remainder => scaled & ((1 << lookup.shift) - 1),
        Part::Value => value,
        Part::Excess => place - value,
    }
}

/// The limb's part of a number; the limbs of a negative number are negative.
fn limb_of(number: i64, limb: &Limb) -> i64 {
    let digit = (number.unsigned_abs() >> limb.offset & ((1 << limb.width) - 1)) as i64;
    digit * number.signum()
}
