//! The integers of two devices.

use super::{Dual, same};
use crate::Ints;
use crate::integers::{Forbidden, IntegerDevice, Part, Summand};
use std::ops::{Range, RangeInclusive};
use verifier::graph::{AxisGroup, Lookup};
use verifier::plan::{Limb, Table};

/// Integers on both devices.
type Both<A, B> = (<A as IntegerDevice>::Integers, <B as IntegerDevice>::Integers);

impl<A: IntegerDevice, B: IntegerDevice> Dual<A, B> {
    fn integers(&self, of: &str, a: A::Integers, b: B::Integers) -> Both<A, B> {
        same(of, self.0.download_integers(&a), self.1.download_integers(&b));
        (a, b)
    }

    fn found(
        &self,
        of: &str,
        a: Result<A::Integers, Forbidden>,
        b: Result<B::Integers, Forbidden>,
    ) -> Result<Both<A, B>, Forbidden> {
        match (a, b) {
            (Ok(a), Ok(b)) => Ok(self.integers(of, a, b)),
            (a, b) => Err(same(of, a.err(), b.err()).expect("one of them is an error")),
        }
    }
}

impl<A: IntegerDevice, B: IntegerDevice> IntegerDevice for Dual<A, B> {
    type Integers = Both<A, B>;

    fn upload_integers(&self, values: Ints) -> Both<A, B> {
        self.integers("upload_integers", self.0.upload_integers(values.clone()), self.1.upload_integers(values))
    }

    fn prefetch(&self, next: &[&Both<A, B>]) {
        let (a, b): (Vec<_>, Vec<_>) = next.iter().map(|(a, b)| (a, b)).unzip();
        self.0.prefetch(&a);
        self.1.prefetch(&b);
    }

    fn download_integers(&self, values: &Both<A, B>) -> Ints {
        same("download_integers", self.0.download_integers(&values.0), self.1.download_integers(&values.1))
    }

    fn count(&self, values: &Both<A, B>) -> usize {
        same("count", self.0.count(&values.0), self.1.count(&values.1))
    }

    fn concat(&self, parts: &[(&Both<A, B>, Range<usize>)]) -> Both<A, B> {
        let a: Vec<_> = parts.iter().map(|(values, range)| (&values.0, range.clone())).collect();
        let b: Vec<_> = parts.iter().map(|(values, range)| (&values.1, range.clone())).collect();
        self.integers("concat", self.0.concat(&a), self.1.concat(&b))
    }

    fn einsum(
        &self,
        dims: &[usize],
        out: &[u8],
        summands: &[Summand<Both<A, B>>],
        within: RangeInclusive<i64>,
    ) -> Both<A, B> {
        let a: Vec<_> = summands.iter().map(|summand| of_summand(summand, |(a, _)| a)).collect();
        let b: Vec<_> = summands.iter().map(|summand| of_summand(summand, |(_, b)| b)).collect();
        self.integers("einsum", self.0.einsum(dims, out, &a, within.clone()), self.1.einsum(dims, out, &b, within))
    }

    fn rearrange(&self, input: &Both<A, B>, from: &[usize], to: &[usize], groups: &[AxisGroup]) -> Both<A, B> {
        let a = self.0.rearrange(&input.0, from, to, groups);
        self.integers("rearrange", a, self.1.rearrange(&input.1, from, to, groups))
    }

    fn look_up(
        &self,
        input: &Both<A, B>,
        lookup: &Lookup,
        table: Option<&Both<A, B>>,
        within: RangeInclusive<i64>,
    ) -> Result<Both<A, B>, Forbidden> {
        let a = self.0.look_up(&input.0, lookup, table.map(|t| &t.0), within.clone());
        self.found("look_up", a, self.1.look_up(&input.1, lookup, table.map(|t| &t.1), within))
    }

    fn row_max(&self, input: &Both<A, B>, row: usize) -> Both<A, B> {
        self.integers("row_max", self.0.row_max(&input.0, row), self.1.row_max(&input.1, row))
    }

    fn floor_div(
        &self,
        numerators: &Both<A, B>,
        denominators: &Both<A, B>,
        within: RangeInclusive<i64>,
    ) -> Result<Both<A, B>, Forbidden> {
        let a = self.0.floor_div(&numerators.0, &denominators.0, within.clone());
        self.found("floor_div", a, self.1.floor_div(&numerators.1, &denominators.1, within))
    }

    fn rsqrt(&self, input: &Both<A, B>, exponent: u32, within: RangeInclusive<i64>) -> Result<Both<A, B>, Forbidden> {
        let a = self.0.rsqrt(&input.0, exponent, within.clone());
        self.found("rsqrt", a, self.1.rsqrt(&input.1, exponent, within))
    }

    fn limbs(&self, input: &Both<A, B>, lookup: &Lookup, part: Part, limb: &Limb) -> Both<A, B> {
        let a = self.0.limbs(&input.0, lookup, part, limb);
        self.integers("limbs", a, self.1.limbs(&input.1, lookup, part, limb))
    }

    fn edges(&self, limbs: &Both<A, B>, width: u32) -> Both<A, B> {
        self.integers("edges", self.0.edges(&limbs.0, width), self.1.edges(&limbs.1, width))
    }

    fn combine(&self, constant: i64, terms: &[(i64, &Both<A, B>)], within: RangeInclusive<i64>) -> Both<A, B> {
        let a: Vec<_> = terms.iter().map(|&(factor, column)| (factor, &column.0)).collect();
        let b: Vec<_> = terms.iter().map(|&(factor, column)| (factor, &column.1)).collect();
        self.integers("combine", self.0.combine(constant, &a, within.clone()), self.1.combine(constant, &b, within))
    }

    fn count_rows(&self, table: &Table, entries: &[&Both<A, B>], counts: &mut Both<A, B>) {
        let (a, b): (Vec<_>, Vec<_>) = entries.iter().map(|(a, b)| (a, b)).unzip();
        self.0.count_rows(table, &a, &mut counts.0);
        self.1.count_rows(table, &b, &mut counts.1);
        same("count_rows", self.0.download_integers(&counts.0), self.1.download_integers(&counts.1));
    }

    fn table_entries(&self, table: &Table, kind: usize, outputs: Option<&Both<A, B>>) -> Vec<Both<A, B>> {
        let a = self.0.table_entries(table, kind, outputs.map(|o| &o.0));
        let b = self.1.table_entries(table, kind, outputs.map(|o| &o.1));
        same("table_entries", a.len(), b.len());
        a.into_iter().zip(b).map(|(a, b)| self.integers("table_entries", a, b)).collect()
    }
}

fn of_summand<'a, T, I>(summand: &Summand<'a, T>, of: impl Fn(&'a T) -> &'a I) -> Summand<'a, I> {
    let factors = summand.factors.iter().map(|&(values, labels)| (of(values), labels)).collect();
    Summand { coefficient: summand.coefficient, factors }
}
