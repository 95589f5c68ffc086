//! See `integers.cu` and `lookup.cu`.

use super::gpu::Gpu;
use super::launch::{Pointer, Rows, Scale};
use super::placed::Hold;
use super::vectors::{Integers, Word, Words};
use crate::dense::strides;
use crate::integers::{Forbidden, Part};
use cudarc::driver::CudaSlice;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use verifier::commitment::{Block, Layout};
use verifier::graph::{AxisGroup, Bound, IndexMap, Lookup};
use verifier::plan::{Limb, Table};

/// Digits of indices, and what each weighs elsewhere: divisor, length, stride.
#[derive(Default)]
pub struct Digits(Vec<[u64; 3]>);

impl Digits {
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Appends the next more significant digit of an index whose digits begin at `first`; one with the digit before it where they are one.
    pub fn push_joined(&mut self, first: usize, [divisor, length, stride]: [u64; 3]) {
        if length == 1 {
            return;
        }
        match self.0[first..].last_mut() {
            Some([d, l, s]) if *d * *l == divisor && s.wrapping_mul(*l) == stride => *l *= length,
            _ => self.0.push([divisor, length, stride]),
        }
    }

    pub fn upload(&self, gpu: &Gpu) -> CudaSlice<u64> {
        gpu.upload(self.0.as_flattened())
    }
}

/// The narrowest width that holds an interval.
pub const fn bytes_for(within: &RangeInclusive<i64>) -> usize {
    let (lo, hi) = (*within.start(), *within.end());
    if lo >= i8::MIN as i64 && hi <= i8::MAX as i64 {
        1
    } else if lo >= i16::MIN as i64 && hi <= i16::MAX as i64 {
        2
    } else if lo >= i32::MIN as i64 && hi <= i32::MAX as i64 {
        4
    } else {
        8
    }
}

/// See `IntegerDevice::combine`.
pub fn combine(gpu: &Gpu, constant: i64, terms: &[(i64, &Integers)], bytes: usize) -> Integers {
    let out = gpu.integers(terms.first().map_or(0, |(_, values)| values.len), bytes);
    let held: Vec<Hold> = terms.iter().map(|(_, values)| gpu.hold(values)).collect();
    let words = terms
        .iter()
        .zip(&held)
        .flat_map(|((factor, values), held)| [held.at().into(), (values.bytes as u64).into(), (*factor as u64).into()]);
    let (table, n) = (gpu.upload_table(&words.collect::<Vec<Word>>()), out.len as u64);
    let (from, count) = (gpu.table_at(&table), terms.len() as u32);
    gpu.combine(gpu.grid(out.len), from, count, constant as u64, n, gpu.target(&out), bytes as u32);
    gpu.finished(out)
}

/// See `IntegerDevice::concat`.
pub fn concat(gpu: &Gpu, parts: &[(&Integers, Range<usize>)]) -> Integers {
    let bytes = parts.iter().map(|(values, _)| values.bytes).max().unwrap_or(1);
    let out = gpu.integers(parts.iter().map(|(_, range)| range.len()).sum(), bytes);
    let mut to = gpu.target(&out);
    for (values, range) in parts {
        let held = gpu.hold(values);
        let from = held.at().offset::<u8>(range.start * values.bytes);
        let table = gpu.upload_table(&[from.into(), (values.bytes as u64).into(), 1.into()]);
        gpu.combine(gpu.grid(range.len()), gpu.table_at(&table), 1, 0, range.len() as u64, to, bytes as u32);
        to = to.offset::<u8>(range.len() * bytes);
    }
    gpu.finished(out)
}

/// See `IntegerDevice::row_max`.
pub fn row_max(gpu: &Gpu, input: &Integers, row: usize) -> Integers {
    let out = gpu.integers(input.len / row, input.bytes);
    let (from, to) = (gpu.hold(input), gpu.target(&out));
    gpu.row_max(gpu.grid(out.len), from.at(), input.bytes as u32, row as u64, out.len as u64, to);
    gpu.finished(out)
}

/// Where a kernel says which element it has no result for: the first.
struct Forbids(CudaSlice<u64>);

impl Forbids {
    fn new(gpu: &Gpu) -> Self {
        Self(gpu.upload(&[u64::MAX]))
    }

    /// The element of `values`, if there is one.
    fn found(&self, gpu: &Gpu, values: &Integers) -> Result<(), i64> {
        match gpu.download(&self.0, 1)[0] {
            u64::MAX => Ok(()),
            place => Err(gpu.download_integers(values).get(place as usize)),
        }
    }
}

/// See `IntegerDevice::floor_div`.
pub fn floor_div(
    gpu: &Gpu,
    numerators: &Integers,
    denominators: &Integers,
    bytes: usize,
) -> Result<Integers, Forbidden> {
    let (out, forbids) = (gpu.integers(denominators.len, bytes), Forbids::new(gpu));
    gpu.floor_div(
        gpu.grid(out.len),
        gpu.hold(numerators).at(),
        numerators.bytes as u32,
        numerators.len as u64,
        gpu.hold(denominators).at(),
        denominators.bytes as u32,
        out.len as u64,
        gpu.target(&out),
        bytes as u32,
        gpu.pointer(&forbids.0),
    );
    forbids.found(gpu, denominators).map(|()| gpu.finished(out)).map_err(Forbidden)
}

/// See `IntegerDevice::rsqrt`.
pub fn rsqrt(gpu: &Gpu, input: &Integers, exponent: u32, bytes: usize) -> Result<Integers, Forbidden> {
    let (out, forbids) = (gpu.integers(input.len, bytes), Forbids::new(gpu));
    let (from, to, flag) = (gpu.hold(input), gpu.target(&out), gpu.pointer(&forbids.0));
    let (n, width, bytes) = (out.len as u64, input.bytes as u32, bytes as u32);
    gpu.inverse_root(gpu.grid(out.len), from.at(), width, 1 << exponent, n, to, bytes, flag);
    forbids.found(gpu, input).map(|()| gpu.finished(out)).map_err(Forbidden)
}

/// See `IntegerDevice::rearrange`.
pub fn rearrange(gpu: &Gpu, input: &Integers, from: &[usize], to: &[usize], groups: &[AxisGroup]) -> Integers {
    let divisors = strides(to);
    let (mut linear, mut base) = (Vec::new(), 0i64);
    let (mut maps, mut offsets) = (Vec::new(), Vec::new());
    for group in groups {
        if let Some((first, steps)) = steps(group, from, to) {
            base += first;
            linear.extend(group.output_axes.iter().zip(steps).map(|(&axis, step)| (axis, step as u64)));
        } else {
            maps.push((group, offsets.len() as u64));
            offsets.extend(places(group, from, to));
        }
    }
    let mut digits = Digits::default();
    linear.sort_unstable_by_key(|&(axis, _)| std::cmp::Reverse(axis));
    linear.into_iter().for_each(|(axis, step)| digits.push_joined(0, [divisors[axis] as u64, to[axis] as u64, step]));
    let linear = digits.len() as u64;
    let mut described = Vec::new();
    for (group, first_offset) in maps {
        let first = digits.len();
        let own = strides(&group.output_axes.iter().map(|&axis| to[axis]).collect::<Vec<_>>());
        for (&axis, stride) in group.output_axes.iter().zip(own).rev() {
            digits.push_joined(first, [divisors[axis] as u64, to[axis] as u64, stride as u64]);
        }
        described.extend([first as u64, (digits.len() - first) as u64, first_offset]);
    }
    let out = gpu.integers(to.iter().product(), input.bytes);
    let (digits, maps, offsets) = (digits.upload(gpu), gpu.upload(&described), gpu.upload(&offsets));
    gpu.rearrange(
        gpu.grid(out.len),
        gpu.hold(input).at(),
        input.bytes as u32,
        gpu.pointer(&digits),
        linear,
        base as u64,
        gpu.pointer(&maps),
        (described.len() / 3) as u32,
        gpu.pointer(&offsets),
        out.len as u64,
        gpu.target(&out),
    );
    gpu.finished(out)
}

/// A group as the place of its first element, and steps for each output axis; `None` if it leads nowhere at some index, or not in steps.
fn steps(group: &AxisGroup, from: &[usize], to: &[usize]) -> Option<(i64, Vec<i64>)> {
    let IndexMap::Affine { offset, strides: by_axis } = &group.map else { return None };
    let own = strides(from);
    let joined = group.input_axes.windows(2).all(|axes| own[axes[0]] == own[axes[1]] * from[axes[1]]);
    let range: usize = group.input_axes.iter().map(|&axis| from[axis]).product();
    let ends = group.output_axes.iter().zip(by_axis).map(|(&axis, stride)| stride * (to[axis] as i64 - 1));
    let (below, above) = ends.fold((*offset, *offset), |(lo, hi), end| (lo + end.min(0), hi + end.max(0)));
    let unit = group.input_axes.last().map_or(0, |&axis| own[axis] as i64);
    let inside = below >= 0 && above < range as i64;
    (joined && inside).then(|| (offset * unit, by_axis.iter().map(|stride| stride * unit).collect()))
}

/// The place of every index of a group, -1 where it leads nowhere.
fn places(group: &AxisGroup, from: &[usize], to: &[usize]) -> impl Iterator<Item = i64> {
    let own = strides(from);
    let axes: Vec<(usize, usize)> = group.input_axes.iter().rev().map(|&axis| (from[axis], own[axis])).collect();
    group.indices(from, to).into_iter().map(move |index| {
        let place = |mut flat: usize| {
            let digit = |&(length, stride): &(usize, usize)| {
                let digit = flat % length;
                flat /= length;
                digit * stride
            };
            axes.iter().map(digit).sum::<usize>() as i64
        };
        index.map_or(-1, place)
    })
}

/// See `Device::pack`. Cells are as wide as those of the widest tensor; of 64 bits they are field elements. In one launch where the device has
/// room for all tensors beside each other, else in several.
pub fn pack(gpu: &Gpu, layout: &Layout, tensors: &[&Integers]) -> Words {
    let n = 1usize << layout.num_variables();
    let bytes = tensors.iter().map(|values| values.bytes).max().unwrap_or(1);
    let mut out = gpu.allocate::<u8>(n * bytes);
    if layout.cells() < n {
        let mut rest = out.slice_mut(layout.cells() * bytes..n * bytes);
        gpu.check("clearing memory", gpu.stream.memset_zeros(&mut rest));
    }
    let (mut digits, mut places) = (Digits::default(), Vec::new());
    for block in layout.blocks() {
        let (own, first) = (strides(&layout.shapes()[block.tensor]), digits.len());
        let base: usize = block.axes.iter().zip(&own).map(|(axis, stride)| axis.start * stride).sum();
        let mut divisor = 1;
        for (axis, &stride) in block.axes.iter().zip(&own).rev() {
            digits.push_joined(first, [divisor, 1 << axis.log_len, stride as u64]);
            divisor <<= axis.log_len;
        }
        places.push([base, first, digits.len() - first].map(|number| Word::from(number as u64)));
    }
    let digits = digits.upload(gpu);
    let mut pieces: Vec<(&Block, _)> = layout.blocks().iter().zip(places).collect();
    while let Some(&(first, _)) = pieces.first() {
        // What describes the pieces needs room as well.
        let table = gpu.allocate::<u64>(pieces.len() * PIECE);
        let mut held = BTreeMap::from([(first.tensor, gpu.hold(tensors[first.tensor]))]);
        let fits = |(block, _): &&(&Block, _)| match held.entry(block.tensor) {
            Entry::Occupied(_) => true,
            Entry::Vacant(place) => gpu.try_hold(tensors[block.tensor]).map(|memory| place.insert(memory)).is_some(),
        };
        let count = pieces.iter().take_while(fits).count();
        drop(table);
        let words = pieces[..count].iter().flat_map(|(block, place)| {
            let (start, bytes) = ((block.offset - first.offset) as u64, tensors[block.tensor].bytes as u64);
            [[start.into(), held[&block.tensor].at().into(), bytes.into()], *place].concat()
        });
        let table = gpu.upload_table(&words.collect::<Vec<Word>>());
        let cells: usize = pieces.drain(..count).map(|(block, _)| block.range().len()).sum();
        let (from, count, cells) = (gpu.table_at(&table), count as u64, cells as u64);
        let to = gpu.pointer(&out).offset::<u8>(first.offset * bytes);
        gpu.pack(gpu.grid(cells as usize), from, count, gpu.pointer(&digits), cells, cells, to, bytes as u32);
    }
    Words { memory: Arc::new(out), bytes, len: n }
}

/// Words that describe a block that is packed.
const PIECE: usize = 6;

fn scale(lookup: &Lookup) -> Scale {
    let &Lookup { multiplier, add, lo, shift, bits, below, above, .. } = lookup;
    let [below, above] = [below, above].map(|bound| (bound == Bound::Saturate).into());
    Scale { multiplier, add, lo, shift, bits, below, above }
}

/// See `IntegerDevice::look_up`.
pub fn look_up(
    gpu: &Gpu,
    input: &Integers,
    lookup: &Lookup,
    table: Option<&Integers>,
    bytes: usize,
) -> Result<Integers, Forbidden> {
    let (out, forbids) = (gpu.integers(input.len, bytes), Forbids::new(gpu));
    let (table, table_bytes) = (table.map(|t| gpu.hold(t)), table.map_or(1, |t| t.bytes));
    gpu.look_up(
        gpu.grid(out.len),
        gpu.hold(input).at(),
        input.bytes as u32,
        out.len as u64,
        scale(lookup),
        table.as_ref().map_or(Pointer::NULL, Hold::at),
        table_bytes as u32,
        gpu.target(&out),
        bytes as u32,
        gpu.pointer(&forbids.0),
    );
    if lookup.below == Bound::Forbid || lookup.above == Bound::Forbid {
        let place = |x: i64| (x.wrapping_mul(lookup.multiplier).wrapping_add(lookup.add)) >> lookup.shift;
        forbids.found(gpu, input).map_err(|x| Forbidden(place(x)))?;
    }
    Ok(gpu.finished(out))
}

/// See `IntegerDevice::limbs`.
pub fn limbs(gpu: &Gpu, input: &Integers, lookup: &Lookup, part: Part, limb: &Limb) -> Integers {
    let bytes = bytes_for(&(0..=(1 << limb.width) - 1));
    let out = gpu.integers(input.len, bytes);
    let (from, to, n) = (gpu.hold(input), gpu.target(&out), out.len as u64);
    let (grid, scale, width, part) = (gpu.grid(out.len), scale(lookup), input.bytes as u32, part as u32);
    gpu.limbs(grid, from.at(), width, n, scale, part, limb.offset, limb.width, to, bytes as u32);
    gpu.finished(out)
}

/// See `IntegerDevice::edges`.
pub fn edges(gpu: &Gpu, limbs: &Integers, width: u32) -> Integers {
    let out = gpu.integers(limbs.len, 1);
    let (from, to) = (gpu.hold(limbs), gpu.target(&out));
    gpu.edges(gpu.grid(out.len), from.at(), limbs.bytes as u32, out.len as u64, width, to);
    gpu.finished(out)
}

/// See `IntegerDevice::count_rows`. Counts have 64 bits and memory of their own from then on.
pub fn count_rows(gpu: &Gpu, table: &Table, entries: &[&Integers], counts: &mut Integers) {
    if counts.bytes != size_of::<u64>() || !counts.is_own() {
        *counts = combine(gpu, 0, &[(1, counts)], size_of::<u64>());
    }
    let to = gpu.hold_to_change(counts);
    let count = table.rows() as u64;
    let rows = match *table {
        Table::Range(_) | Table::Edged(_) | Table::Function { .. } => Rows { count, limbs: 0, high: 0, low: 0 },
        Table::Excess { width, limbs, above, .. } => {
            Rows { count, limbs: limbs as i64, high: 1 << width, low: (1 + u64::from(above)) << width }
        }
    };
    let (first, second) = (entries[0], entries[entries.len() - 1]);
    gpu.count_rows(
        gpu.grid(first.len),
        gpu.hold(first).at(),
        first.bytes as u32,
        gpu.hold(second).at(),
        second.bytes as u32,
        first.len as u64,
        rows,
        to.at(),
    );
}

/// A column of a table by its formula in the number `v` of a row: see `lookup.cu`.
#[derive(Clone, Copy)]
enum Form {
    Multiple(i64),
    Edge,
    Sum(i64),
    Constant(i64),
}

/// See `IntegerDevice::table_entries`.
pub fn table_entries(gpu: &Gpu, table: &Table, kind: usize, outputs: Option<&Integers>) -> Vec<Integers> {
    let (width, n) = (table.width(), 1usize << table.width());
    let forms: &[Form] = match *table {
        Table::Range(_) | Table::Function { edged: false, .. } => &[Form::Multiple(1)],
        Table::Edged(_) | Table::Function { edged: true, .. } => &[Form::Multiple(1), Form::Edge],
        Table::Excess { limbs, above, .. } => match (kind, limbs as i64) {
            (0, limbs) => &[Form::Sum(limbs), Form::Constant(0)],
            (1, limbs) if above => &[Form::Constant(limbs), Form::Multiple(1)],
            (_, limbs) => &[Form::Constant(-limbs), Form::Multiple(-1)],
        },
    };
    let column = |form: &Form| {
        let (number, a, most) = match *form {
            Form::Multiple(factor) => (0, factor, n as i64),
            Form::Edge => (1, 0, 1),
            Form::Sum(limbs) => (2, limbs, limbs),
            Form::Constant(value) => (3, value, value.abs()),
        };
        let out = gpu.integers(n, bytes_for(&(-most..=most)));
        gpu.table_entries(gpu.grid(n), number, a, width, n as u64, gpu.target(&out), out.bytes as u32);
        gpu.finished(out)
    };
    forms.iter().map(column).chain(outputs.cloned()).collect()
}
