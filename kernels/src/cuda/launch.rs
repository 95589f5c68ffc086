//! Launches: every kernel as a method of [`Gpu`], with the parameters that its source declares. A test compares the two.

use super::gpu::Gpu;
use cudarc::driver::{CudaSlice, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg};
use p3_field::{BasedVectorSpace, PrimeField64};
use std::marker::PhantomData;
use verifier::field::{F, K};

/// Threads of a block, as the kernels are compiled for.
pub const THREADS: u32 = 256;
/// Threads of a block that computes a tile on tensor cores.
const TILE_THREADS: u32 = 128;
/// Rows that a block hashes, one with each thread.
const HASHED_ROWS: u32 = 128;
/// Blocks for each multiprocessor: enough that none waits for the last.
const WAVES: u32 = 8;

/// An address on the device, of memory that is there for `'m`: it is freed in the stream's order, so what is queued by then finds it.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub struct Pointer<'m>(u64, PhantomData<&'m ()>);

/// An element of the challenge field.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Element([u64; 3]);

/// See `encode.cu`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Pass {
    pub width: u32,
    pub from_pitch: u32,
    pub to_pitch: u32,
    pub columns: u32,
    pub log_message: u32,
    pub log_cosets: u32,
    pub first_coset: u32,
    pub log_size: u32,
    pub log_radix: u32,
    pub first: u32,
    pub last: u32,
    pub radices: u32,
}

/// See `matrices.cuh`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Product<'m> {
    pub left: Pointer<'m>,
    pub right: Pointer<'m>,
    pub left_bytes: u64,
    pub right_bytes: u64,
    pub batches: u64,
    pub rows: u64,
    pub columns: u64,
    pub summed: u64,
    pub span: u64,
    pub coefficient: u64,
}

/// See `lookup.cu`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Scale {
    pub multiplier: i64,
    pub add: i64,
    pub lo: i64,
    pub shift: u32,
    pub bits: u32,
    pub below: u32,
    pub above: u32,
}

/// See `lookup.cu`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Rows {
    pub count: u64,
    pub limbs: i64,
    pub high: u64,
    pub low: u64,
}

/// See `product.cu`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Sumcheck<'m> {
    pub rounds: Pointer<'m>,
    pub factors: Pointer<'m>,
    pub digits: Pointer<'m>,
    pub transcript: Pointer<'m>,
    pub messages: Pointer<'m>,
    pub challenges: Pointer<'m>,
    pub values: Pointer<'m>,
    pub count: u32,
    pub degree: u32,
    pub variables: u32,
    pub scale: Element,
}

/// See `fractions.cu`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Layer<'m> {
    pub trees: Pointer<'m>,
    pub powers: Pointer<'m>,
    pub coordinates: Pointer<'m>,
    pub claim: Pointer<'m>,
    pub transcript: Pointer<'m>,
    pub messages: Pointer<'m>,
    pub challenges: Pointer<'m>,
    pub values: Pointer<'m>,
    pub count: u32,
    pub variables: u32,
    pub c: Element,
}

/// See `roots.cuh`.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Roots<'m> {
    pub low: Pointer<'m>,
    pub high: Pointer<'m>,
    pub log_order: u32,
    pub split: u32,
}

// SAFETY: integers in the order, and with the alignment, of the structs of the same names in the sources; any bits are valid.
unsafe impl DeviceRepr for Pointer<'_> {}
// SAFETY: as above.
unsafe impl DeviceRepr for Element {}
// SAFETY: as above.
unsafe impl DeviceRepr for Pass {}
// SAFETY: as above.
unsafe impl DeviceRepr for Roots<'_> {}
// SAFETY: as above.
unsafe impl DeviceRepr for Product<'_> {}
// SAFETY: as above.
unsafe impl DeviceRepr for Sumcheck<'_> {}
// SAFETY: as above.
unsafe impl DeviceRepr for Layer<'_> {}
// SAFETY: as above.
unsafe impl DeviceRepr for Scale {}
// SAFETY: as above.
unsafe impl DeviceRepr for Rows {}

impl From<K> for Element {
    fn from(x: K) -> Self {
        let words: &[F] = x.as_basis_coefficients_slice();
        Self([words[0].as_canonical_u64(), words[1].as_canonical_u64(), words[2].as_canonical_u64()])
    }
}

impl Pointer<'_> {
    /// An address. The caller names for how long it is one.
    pub const fn to(address: u64) -> Self {
        Self(address, PhantomData)
    }

    /// The same where the compiler does not see that the memory is there: the caller keeps it until what uses it is queued.
    pub const fn unbound<'m>(self) -> Pointer<'m> {
        Pointer::to(self.0)
    }

    /// Where `index` lies from here.
    pub fn offset<T>(self, index: usize) -> Self {
        Self::to(self.0 + (index * size_of::<T>()) as u64)
    }

    /// Nowhere.
    pub const NULL: Self = Self::to(0);

    /// As a word of a table that a kernel reads. The caller keeps the memory until what reads it is queued.
    pub const fn word(self) -> u64 {
        self.0
    }
}

/// How many blocks run.
#[derive(Clone, Copy, Debug)]
pub struct Grid {
    pub blocks: u32,
    pub rows: u32,
}

impl Gpu {
    /// Enough blocks of `each` items for all of them, and no more than keep the device busy.
    pub fn blocks(&self, items: usize, each: u32) -> u32 {
        items.div_ceil(each as usize).clamp(1, (self.processors * WAVES) as usize) as u32
    }

    /// A thread for each item, up to what keeps the device busy.
    pub fn grid(&self, items: usize) -> Grid {
        Grid { blocks: self.blocks(items, THREADS), rows: 1 }
    }

    /// Where memory lies.
    pub fn pointer<'m, T>(&self, memory: &'m CudaSlice<T>) -> Pointer<'m> {
        Pointer::to(memory.device_ptr(&self.stream).0)
    }
}

macro_rules! kernels {
    ($declared:ident: $($module:ident, $threads:ident { $($name:ident($($parameter:ident: $kind:ident),*);)* })*) => {
        #[allow(clippy::too_many_arguments, reason = "a kernel has the parameters that it has")]
        impl Gpu {
            $($(pub fn $name(&self, grid: Grid, $($parameter: $kind),*) {
                let function = self.function(stringify!($module), stringify!($name));
                let mut launch = self.stream.launch_builder(&function);
                $(launch.arg(&$parameter);)*
                let config =
                    LaunchConfig { grid_dim: (grid.blocks, grid.rows, 1), block_dim: ($threads, 1, 1), shared_mem_bytes: 0 };
                // SAFETY: the parameters are those of the kernel's declaration (a test compares them), and callers pass
                // memory of the lengths that its indices stay below (tests run every kernel under an address checker).
                let launched = || unsafe { launch.launch(config) };
                let launched = self.gauges.launch((stringify!($module), stringify!($name)), &self.stream, launched);
                self.check(stringify!($name), launched);
            })*)*
        }

        /// Module, kernel, block size and parameters.
        #[cfg(test)]
        #[allow(dead_code, reason = "planted kernels are in no image")]
        pub const $declared: &[(&str, &str, &str, &[(&str, &str)])] = &[
            $($((stringify!($module), stringify!($name), stringify!($threads),
                &[$((stringify!($parameter), stringify!($kind))),*]),)*)*
        ];
    };
}

kernels! {
    DECLARED:
    affine, THREADS {
        affine(terms: Pointer, count: u32, constant: Element, n: u64, out: Pointer);
    }
    contract, THREADS {
        contract_rows_i8(
            values: Pointer, rows: u64, length: u64, weights: Pointer, span: u64, parts: u64, base: Element,
            out: Pointer
        );
        contract_rows_i16(
            values: Pointer, rows: u64, length: u64, weights: Pointer, span: u64, parts: u64, base: Element,
            out: Pointer
        );
        contract_rows_i32(
            values: Pointer, rows: u64, length: u64, weights: Pointer, span: u64, parts: u64, base: Element,
            out: Pointer
        );
        contract_rows_i64(
            values: Pointer, rows: u64, length: u64, weights: Pointer, span: u64, parts: u64, base: Element,
            out: Pointer
        );
        contract_rows_gl3(
            values: Pointer, rows: u64, length: u64, weights: Pointer, span: u64, parts: u64, base: Element,
            out: Pointer
        );
        contract_columns_i8(
            values: Pointer, n: u64, length: u64, inner: u64, weights: Pointer, span: u64, parts: u64, base: Element,
            out: Pointer
        );
        contract_columns_i16(
            values: Pointer, n: u64, length: u64, inner: u64, weights: Pointer, span: u64, parts: u64, base: Element,
            out: Pointer
        );
        contract_columns_i32(
            values: Pointer, n: u64, length: u64, inner: u64, weights: Pointer, span: u64, parts: u64, base: Element,
            out: Pointer
        );
        contract_columns_i64(
            values: Pointer, n: u64, length: u64, inner: u64, weights: Pointer, span: u64, parts: u64, base: Element,
            out: Pointer
        );
        contract_columns_gl3(
            values: Pointer, n: u64, length: u64, inner: u64, weights: Pointer, span: u64, parts: u64, base: Element,
            out: Pointer
        );
        lift_i8(values: Pointer, n: u64, out: Pointer);
        lift_i16(values: Pointer, n: u64, out: Pointer);
        lift_i32(values: Pointer, n: u64, out: Pointer);
        lift_i64(values: Pointer, n: u64, out: Pointer);
        permute(values: Pointer, digits: Pointer, count: u64, n: u64, out: Pointer);
    }
    einsum, THREADS {
        einsum_each(
            factors: Pointer, count: u32, digits: Pointer, inner: Pointer, summed: u64, span: u64, coefficient: u64, n: u64,
            out: Pointer
        );
        einsum_narrow(product: Product, offsets: Pointer, out: Pointer);
        einsum_wide(product: Product, offsets: Pointer, out: Pointer);
    }
    encode, THREADS {
        encode_pass_i8(source: Pointer, target: Pointer, pass: Pass, roots: Roots);
        encode_pass_i16(source: Pointer, target: Pointer, pass: Pass, roots: Roots);
        encode_pass_i32(source: Pointer, target: Pointer, pass: Pass, roots: Roots);
        encode_pass_u64(source: Pointer, target: Pointer, pass: Pass, roots: Roots);
    }
    fractions, THREADS {
        add_fractions(p: Pointer, q: Pointer, length: u64, n: u64, out_p: Pointer, out_q: Pointer);
        eq_extend(table: Pointer, x: Element, length: u64, n: u64, out: Pointer);
        fraction_round(layer: Layer, number: u32, partial: Pointer);
        fraction_message(layer: Layer, number: u32, partial: Pointer, blocks: u32);
        fraction_rest(layer: Layer, number: u32);
    }
    hash, HASHED_ROWS {
        hash_rows(
            matrix: Pointer, rows: u64, from: u32, columns: u32, width: u32, log_step: u32, digests: Pointer
        );
        hash_pairs(children: Pointer, pairs: u64, parents: Pointer);
    }
    integers, THREADS {
        combine(terms: Pointer, count: u32, constant: u64, n: u64, out: Pointer, out_bytes: u32);
        row_max(values: Pointer, bytes: u32, row: u64, n: u64, out: Pointer);
        floor_div(
            numerators: Pointer, bytes: u32, count: u64, denominators: Pointer, denominator_bytes: u32, n: u64, out: Pointer,
            out_bytes: u32, forbidden: Pointer
        );
        inverse_root(values: Pointer, bytes: u32, bound: u64, n: u64, out: Pointer, out_bytes: u32, forbidden: Pointer);
        rearrange(
            values: Pointer, bytes: u32, digits: Pointer, linear: u64, base: u64, maps: Pointer, count: u32, offsets: Pointer,
            n: u64, out: Pointer
        );
        pack(pieces: Pointer, count: u64, digits: Pointer, cells: u64, n: u64, out: Pointer, bytes: u32);
    }
    lookup, THREADS {
        look_up(
            input: Pointer, bytes: u32, n: u64, scale: Scale, table: Pointer, table_bytes: u32, out: Pointer, out_bytes: u32,
            forbidden: Pointer
        );
        limbs(
            input: Pointer, bytes: u32, n: u64, scale: Scale, part: u32, offset: u32, width: u32, out: Pointer, out_bytes: u32
        );
        edges(limbs: Pointer, bytes: u32, n: u64, width: u32, out: Pointer);
        table_entries(form: u32, a: i64, width: u32, n: u64, out: Pointer, out_bytes: u32);
        count_rows(
            first: Pointer, first_bytes: u32, second: Pointer, second_bytes: u32, n: u64, rows: Rows, counts: Pointer
        );
    }
    product, THREADS {
        product_total(factors: Pointer, count: u32, digits: Pointer, joint: u64, partial: Pointer);
        product_round(sumcheck: Sumcheck, number: u32, partial: Pointer);
        product_message(sumcheck: Sumcheck, number: u32, partial: Pointer, blocks: u32);
        product_rest(sumcheck: Sumcheck, number: u32);
    }
    quadratic, THREADS {
        fold(values: Pointer, n: u64, x: Element, out: Pointer);
        quadratic_round(a: Pointer, b: Pointer, pairs: u64, partial: Pointer);
        quadratic_fold_round(
            a: Pointer, b: Pointer, pairs: u64, x: Element, out_a: Pointer, out_b: Pointer, partial: Pointer
        );
    }
    rates, THREADS {
        copy_memory(from: Pointer, n: u64, to: Pointer);
        read_memory(from: Pointer, n: u64, out: Pointer);
        multiply_adds(factor: u64, steps: u32, out: Pointer);
        multiplications(factor: u64, steps: u32, out: Pointer);
        additions(factor: u64, steps: u32, out: Pointer);
        compressions(factor: u64, steps: u32, out: Pointer);
        byte_products(factor: u64, steps: u32, out: Pointer);
    }
    rows, THREADS {
        gather(matrix: Pointer, width: u32, indices: Pointer, n: u64, out: Pointer);
    }
    sums, THREADS {
        sum_partials(partial: Pointer, blocks: u64, count: u32, out: Pointer);
        sum_parts(parts: Pointer, count: u64, n: u64, out: Pointer);
    }
    tensor, TILE_THREADS {
        tensor_1x1(product: Product, left_form: u32, right_form: u32, offsets: Pointer, out: Pointer);
        tensor_1x2(product: Product, left_form: u32, right_form: u32, offsets: Pointer, out: Pointer);
        tensor_2x1(product: Product, left_form: u32, right_form: u32, offsets: Pointer, out: Pointer);
        tensor_2x2(product: Product, left_form: u32, right_form: u32, offsets: Pointer, out: Pointer);
    }
    weights, THREADS {
        eq_table(point: Pointer, variables: u32, scale: Element, out: Pointer);
        bind_rows_i8(
            values: Pointer, log_width: u32, log_stride: u32, outer: Pointer, outer_len: u64, inner: Pointer,
            log_inner: u32, log_columns: u32, partial: Pointer
        );
        bind_rows_i16(
            values: Pointer, log_width: u32, log_stride: u32, outer: Pointer, outer_len: u64, inner: Pointer,
            log_inner: u32, log_columns: u32, partial: Pointer
        );
        bind_rows_i32(
            values: Pointer, log_width: u32, log_stride: u32, outer: Pointer, outer_len: u64, inner: Pointer,
            log_inner: u32, log_columns: u32, partial: Pointer
        );
        bind_rows_u64(
            values: Pointer, log_width: u32, log_stride: u32, outer: Pointer, outer_len: u64, inner: Pointer,
            log_inner: u32, log_columns: u32, partial: Pointer
        );
        bind_columns_i8(values: Pointer, rows: u64, width: u32, weights: Pointer, base: Element, out: Pointer);
        bind_columns_i16(values: Pointer, rows: u64, width: u32, weights: Pointer, base: Element, out: Pointer);
        bind_columns_i32(values: Pointer, rows: u64, width: u32, weights: Pointer, base: Element, out: Pointer);
        bind_columns_u64(values: Pointer, rows: u64, width: u32, weights: Pointer, base: Element, out: Pointer);
        evaluate(values: Pointer, outer: Pointer, outer_len: u64, inner: Pointer, inner_len: u64, partial: Pointer);
        add_eq(out: Pointer, first: u64, log_stride: u32, outer: Pointer, inner: Pointer, log_inner: u32, n: u64);
        add_at(out: Pointer, first: u64, log_stride: u32, values: Pointer, n: u64);
        add_outer(out: Pointer, rows: Pointer, columns: Pointer, length: u64, n: u64);
        add_powers(out: Pointer, n: u64, roots: Roots, exponents: Pointer, scales: Pointer, count: u32);
    }
}

#[cfg(test)]
kernels! {
    DECLARED_FOR_TESTS:
    field, THREADS {
        field_ops(a: Pointer, b: Pointer, n: u64, out: Pointer);
        extension_ops(a: Pointer, b: Pointer, n: u64, out: Pointer);
        mma_ops(a: Pointer, b: Pointer, n: u64, out: Pointer);
        transcript_ops(transcript: Pointer, elements: Pointer, count: u32, rounds: u32, out: Pointer);
    }
}

// Any module will do: the emulator finds kernels by their names.
#[cfg(test)]
kernels! {
    PLANTED:
    sums, THREADS {
        planted_none(x: Pointer, out: Pointer);
        planted_race(x: Pointer, out: Pointer);
        planted_out_of_bounds(x: Pointer, out: Pointer);
        planted_divergence(x: Pointer, out: Pointer);
    }
}
