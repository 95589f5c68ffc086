//! See `weights.cu`.

use super::contract::base;
use super::encode::{Cut, Message, Shape, Tables, encode_into};
use super::gpu::Gpu;
use super::launch::Grid;
use super::vectors::{Elements, WORDS, Words, words};
use crate::device::Strided;
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing};
use verifier::field::{F, K};

/// Rows that one thread binds before the outer table's entry comes in.
const LOG_BOUND_ROWS: usize = 7;
/// Columns side by side in a block.
const LOG_COLUMNS: usize = 8;

/// `scale * eq(point, .)` as a table over the leading coordinates, which has the scale, and one over `inner` trailing ones.
struct Eq {
    outer: Elements,
    inner: Elements,
    log_inner: usize,
}

impl Eq {
    fn new(gpu: &Gpu, point: &[K], inner: usize, scale: K) -> Self {
        let log_inner = inner.min(point.len());
        let (outer, inner) = point.split_at(point.len() - log_inner);
        let table = |point: &[K], scale: K| {
            let (coordinates, out) = (gpu.upload_elements(point), gpu.elements(1 << point.len()));
            gpu.eq_table(gpu.grid(out.len), gpu.at(&coordinates), point.len() as u32, scale.into(), gpu.at(&out));
            out
        };
        Self { outer: table(outer, scale), inner: table(inner, K::ONE), log_inner }
    }
}

impl Gpu {
    /// Adds up what each of `blocks` blocks has left: `N` elements.
    pub fn total<const N: usize>(&self, partial: &Elements, blocks: u32) -> [K; N] {
        let sums = self.download_elements(&self.sums(partial, blocks, N));
        std::array::from_fn(|i| sums[i])
    }

    /// The same for any number of elements, which stay on the device.
    pub fn sums(&self, partial: &Elements, blocks: u32, count: usize) -> Elements {
        let out = self.elements(count);
        let grid = Grid { blocks: count as u32, rows: 1 };
        self.sum_partials(grid, self.at(partial), blocks.into(), count as u32, self.at(&out));
        out
    }
}

/// See `Device::bind_rows`.
pub fn bind_rows(gpu: &Gpu, values: &Words, rows: Strided, point: &[K], log_width: usize) -> Elements {
    let eq = Eq::new(gpu, point, LOG_BOUND_ROWS, K::ONE);
    let log_columns = log_width.min(LOG_COLUMNS);
    let blocks = gpu.blocks(eq.outer.len << log_columns, 1 << LOG_COLUMNS);
    let partial = gpu.elements((blocks as usize) << log_width);
    let bind = match values.bytes {
        1 => Gpu::bind_rows_i8,
        2 => Gpu::bind_rows_i16,
        4 => Gpu::bind_rows_i32,
        _ => Gpu::bind_rows_u64,
    };
    bind(
        gpu,
        Grid { blocks, rows: 1 << (log_width - log_columns) },
        gpu.word_at(values, rows.range(0).start << log_width),
        log_width as u32,
        rows.log_stride as u32,
        gpu.at(&eq.outer),
        eq.outer.len as u64,
        gpu.at(&eq.inner),
        eq.log_inner as u32,
        log_columns as u32,
        gpu.at(&partial),
    );
    gpu.sums(&partial, blocks, 1 << log_width)
}

/// See `Device::bind_columns`.
pub fn bind_columns(gpu: &Gpu, values: &Words, weights: &[K]) -> Elements {
    let (width, uploaded) = (weights.len(), gpu.upload_elements(weights));
    let out = gpu.elements(values.len / width);
    let bind = match values.bytes {
        1 => Gpu::bind_columns_i8,
        2 => Gpu::bind_columns_i16,
        4 => Gpu::bind_columns_i32,
        _ => Gpu::bind_columns_u64,
    };
    let (from, at, base) = (gpu.word_at(values, 0), gpu.at(&uploaded), base(values.bytes, weights));
    bind(gpu, gpu.grid(out.len), from, out.len as u64, width as u32, at, base.into(), gpu.at(&out));
    out
}

/// See `Device::evaluate`.
pub fn evaluate(gpu: &Gpu, values: &Elements, point: &[K]) -> K {
    let eq = Eq::new(gpu, point, point.len().div_ceil(2).max(LOG_COLUMNS), K::ONE);
    let grid = Grid { blocks: gpu.blocks(eq.outer.len, 1), rows: 1 };
    let partial = gpu.elements(grid.blocks as usize);
    let (outer, inner) = (gpu.at(&eq.outer), gpu.at(&eq.inner));
    gpu.evaluate(grid, gpu.at(values), outer, eq.outer.len as u64, inner, 1 << eq.log_inner, gpu.at(&partial));
    let [sum] = gpu.total(&partial, grid.blocks);
    sum
}

/// See `Device::add_eq`.
pub fn add_eq(gpu: &Gpu, out: &mut Elements, places: Strided, point: &[K], scale: K) {
    gpu.own(out);
    let eq = Eq::new(gpu, point, point.len().div_ceil(2), scale);
    let (outer, inner, n) = (gpu.at(&eq.outer), gpu.at(&eq.inner), 1usize << point.len());
    let (first, log_stride) = (places.first as u64, places.log_stride as u32);
    gpu.add_eq(gpu.grid(n), gpu.at(out), first, log_stride, outer, inner, eq.log_inner as u32, n as u64);
}

/// See `Device::add_at`.
pub fn add_at(gpu: &Gpu, out: &mut Elements, places: Strided, values: &Elements) {
    gpu.own(out);
    let (first, log_stride, n) = (places.first as u64, places.log_stride as u32, values.len);
    gpu.add_at(gpu.grid(n), gpu.at(out), first, log_stride, gpu.at(values), n as u64);
}

/// See `Device::add_outer`.
pub fn add_outer(gpu: &Gpu, out: &mut Elements, rows: &[K], columns: &[K]) {
    gpu.own(out);
    let (length, rows, columns) = (columns.len() as u64, gpu.upload_elements(rows), gpu.upload_elements(columns));
    let (left, right) = (gpu.at(&rows), gpu.at(&columns));
    gpu.add_outer(gpu.grid(out.len), gpu.at(out), left, right, length, out.len as u64);
}

/// See `Device::add_powers`.
pub fn add_powers(gpu: &Gpu, tables: &Tables, out: &mut Elements, log_order: usize, exponents: &[usize], scales: &[K]) {
    let order = 1usize << log_order;
    if exponents.len() * out.len > order * log_order {
        // The sum is the transform of the vector with `scales[j]` at `exponents[j]`.
        let mut sparse = K::zero_vec(order);
        for (&exponent, &scale) in exponents.iter().zip(scales) {
            sparse[exponent % order] += scale;
        }
        let (dense, message) = (gpu.elements(order), Message::Elements(gpu.upload_elements(&sparse)));
        let cut = Cut::whole(Shape { log_message: log_order, width: WORDS, log_cosets: 0 });
        encode_into(gpu, tables, &message, cut, gpu.at(&dense));
        return add_at(gpu, out, Strided::ALL, &Elements { len: out.len, ..dense });
    }
    let exponents: Vec<u64> = exponents.iter().map(|&exponent| (exponent % order) as u64).collect();
    gpu.own(out);
    let (count, exponents, scales) = (exponents.len() as u32, gpu.upload(&exponents), gpu.upload_elements(scales));
    let (places, factors) = (gpu.pointer(&exponents), gpu.at(&scales));
    let roots = tables.roots(gpu, log_order);
    gpu.add_powers(gpu.grid(out.len), gpu.at(out), out.len as u64, roots, places, factors, count);
}

/// Base field elements as a word each, in order.
pub fn flat(values: &[K]) -> impl Iterator<Item = u64> + '_ {
    values.iter().flat_map(|x| words(<K as BasedVectorSpace<F>>::as_basis_coefficients_slice(x)).iter().copied())
}
