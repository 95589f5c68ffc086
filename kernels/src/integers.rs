//! The half of a device that computes with integers: the layers of a quantised model, and the witness of its lookups.
//!
//! Results are exact, and modulo 2^64 where they are intermediate: the interval that comes with a tensor holds every value that its graph
//! allows (docs/semantics.md), so a device may keep it in the narrowest integers that hold the interval.

use crate::Ints;
use std::fmt::Debug;
use std::ops::{Range, RangeInclusive};
use verifier::graph::{AxisGroup, Lookup};
use verifier::plan::{Limb, Table};

/// `coefficient * prod_k factor_k`, every factor with a label for each of its axes.
#[derive(Clone, Debug)]
pub struct Summand<'a, I> {
    /// In front.
    pub coefficient: i64,
    /// Row-major tensors; none is the constant 1.
    pub factors: Vec<(&'a I, &'a [u8])>,
}

/// The parts of `input * multiplier + add = remainder + 2^shift * (lo + value + excess)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// What the shift drops.
    Remainder,
    /// The place in the lookup's domain.
    Value,
    /// What saturation takes away.
    Excess,
}

/// A value that a loop has no result for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forbidden(pub i64);

/// See the module. Lengths of tensors are what the shapes say; callers see to it.
pub trait IntegerDevice: Sync {
    /// Integers on the device.
    type Integers: Clone + Debug + Send + Sync;

    /// Moves integers to the device.
    fn upload_integers(&self, values: Ints) -> Self::Integers;

    /// Says what is used next, in this order: a device that has to fetch it begins to, as far as it has room.
    fn prefetch(&self, _next: &[&Self::Integers]) {}

    /// Copies integers from the device, in the narrowest width that holds them.
    fn download_integers(&self, values: &Self::Integers) -> Ints;

    /// How many there are.
    fn count(&self, values: &Self::Integers) -> usize;

    /// Parts of vectors, end to end.
    fn concat(&self, parts: &[(&Self::Integers, Range<usize>)]) -> Self::Integers;

    /// The summands, each summed over its labels that are not in `out` and repeated along those that it lacks, of shape `dims[out]`.
    fn einsum(
        &self,
        dims: &[usize],
        out: &[u8],
        summands: &[Summand<Self::Integers>],
        within: RangeInclusive<i64>,
    ) -> Self::Integers;

    /// `output[o] = input[map(o)]`, or zero where the map leads nowhere.
    fn rearrange(
        &self,
        input: &Self::Integers,
        input_shape: &[usize],
        output_shape: &[usize],
        groups: &[AxisGroup],
    ) -> Self::Integers;

    /// Every element looked up.
    ///
    /// # Errors
    /// A value beyond an end of the domain that is forbidden.
    fn look_up(
        &self,
        input: &Self::Integers,
        lookup: &Lookup,
        table: Option<&Self::Integers>,
        within: RangeInclusive<i64>,
    ) -> Result<Self::Integers, Forbidden>;

    /// The maximum of every row of the given length.
    fn row_max(&self, input: &Self::Integers, row: usize) -> Self::Integers;

    /// `floor(n / d)` for every `d`; numerators are repeated.
    ///
    /// # Errors
    /// A denominator that is not positive.
    fn floor_div(
        &self,
        numerators: &Self::Integers,
        denominators: &Self::Integers,
        within: RangeInclusive<i64>,
    ) -> Result<Self::Integers, Forbidden>;

    /// The largest `r` with `r^2 w <= 2^exponent` for every `w`.
    ///
    /// # Errors
    /// A `w` that is not positive.
    fn rsqrt(
        &self,
        input: &Self::Integers,
        exponent: u32,
        within: RangeInclusive<i64>,
    ) -> Result<Self::Integers, Forbidden>;

    /// A limb of a part of every element looked up; the limbs of a negative number are negative.
    fn limbs(&self, input: &Self::Integers, lookup: &Lookup, part: Part, limb: &Limb) -> Self::Integers;

    /// 1, -1 or 0 where a limb of this many bits is full, empty, or neither.
    fn edges(&self, limbs: &Self::Integers, width: u32) -> Self::Integers;

    /// `constant + sum factor * column`, elementwise.
    fn combine(&self, constant: i64, terms: &[(i64, &Self::Integers)], within: RangeInclusive<i64>) -> Self::Integers;

    /// Adds to `counts` how often each of a table's rows is among these, whose entries after the tag are given by column. A row that is
    /// not in the table is counted nowhere.
    fn count_rows(&self, table: &Table, entries: &[&Self::Integers], counts: &mut Self::Integers);

    /// The entries after the tag of the table's rows of one kind, by column; `outputs` are a function's.
    fn table_entries(&self, table: &Table, kind: usize, outputs: Option<&Self::Integers>) -> Vec<Self::Integers>;
}
