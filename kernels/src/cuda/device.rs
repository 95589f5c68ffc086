//! [`Device`] on an NVIDIA GPU.

use super::contract::{affine, contract, contract_ints, lift, permute};
use super::einsum::einsum;
use super::encode::{Message, Shape, Tables};
use super::fractions::{add_fractions, fraction_sumcheck};
use super::gpu::Gpu;
use super::integers::{
    bytes_for, combine, concat, count_rows, edges, floor_div, limbs, look_up, pack, rearrange, row_max, rsqrt,
    table_entries,
};
use super::product::{product_sumcheck, product_total};
use super::quadratic::{fold, fold_round, round};
use super::tree::{Tree, commit, open};
use super::vectors::{Elements, Integers, WORDS, Words};
use super::weights::{add_at, add_eq, add_outer, add_powers, bind_columns, bind_rows, evaluate};
use crate::Ints;
use crate::device::{Affine, Device, Opened, Strided};
use crate::error::DeviceError;
use crate::integers::{Forbidden, IntegerDevice, Part, Summand};
use crate::sumcheck::{Children, Fractions, Layer, Product, Reduced};
use crate::usage::DeviceUsage;
use std::ops::{Range, RangeInclusive};
use verifier::commitment::Layout;
use verifier::field::{F, K};
use verifier::graph::{AxisGroup, Lookup};
use verifier::plan::{Limb, Table};
use verifier::transcript::{Digest, Writer};

/// The interval of a tensor.
type Within = RangeInclusive<i64>;

/// An NVIDIA GPU. When it fails, for want of memory say, its loops unwind to the [`attempt`](crate::attempt) around them.
#[derive(Debug)]
pub struct Cuda {
    gpu: Gpu,
    tables: Tables,
}

impl Cuda {
    /// Opens the GPU of this number.
    ///
    /// # Errors
    /// If there is no driver, no such GPU, or no image of the kernels for it.
    pub fn open(ordinal: usize) -> Result<Self, DeviceError> {
        Ok(Self { gpu: Gpu::open(ordinal)?, tables: Tables::default() })
    }

    /// The GPU under it.
    pub(super) fn gpu(&self) -> &Gpu {
        &self.gpu
    }

    /// Has every allocation have all go that can go and that nothing holds on to: for tests, which find what does not.
    #[cfg(feature = "emulator")]
    #[must_use]
    pub fn short_of_memory(mut self) -> Self {
        self.gpu.is_short = true;
        self.gpu.least_moved = 0;
        self
    }

    /// Times every kernel from now on: two events more in the stream for each launch.
    #[must_use]
    pub fn with_kernel_times(self) -> Self {
        self.gpu.gauges.time_kernels(true);
        self
    }

    /// For tests: decides what to keep as if no more than so many bytes were free.
    #[cfg(feature = "emulator")]
    #[must_use]
    pub fn with_room(mut self, bytes: usize) -> Self {
        self.gpu.most_room = bytes;
        self
    }

    /// What it has done since it was opened, once all that is queued is done.
    pub fn usage(&self) -> DeviceUsage {
        self.gpu.usage()
    }

    /// Its number and name.
    pub fn name(&self) -> &str {
        self.gpu.name()
    }
}

impl IntegerDevice for Cuda {
    type Integers = Integers;

    fn upload_integers(&self, values: Ints) -> Integers {
        self.gpu.upload_integers(values)
    }

    fn prefetch(&self, next: &[&Integers]) {
        self.gpu.prefetch(next);
    }

    fn download_integers(&self, values: &Integers) -> Ints {
        self.gpu.download_integers(values)
    }

    fn count(&self, values: &Integers) -> usize {
        values.len
    }

    fn concat(&self, parts: &[(&Integers, Range<usize>)]) -> Integers {
        concat(&self.gpu, parts)
    }

    fn einsum(&self, dims: &[usize], out: &[u8], summands: &[Summand<Integers>], within: Within) -> Integers {
        einsum(&self.gpu, dims, out, summands, bytes_for(&within))
    }

    fn rearrange(&self, input: &Integers, from: &[usize], to: &[usize], groups: &[AxisGroup]) -> Integers {
        rearrange(&self.gpu, input, from, to, groups)
    }

    fn look_up(
        &self,
        input: &Integers,
        lookup: &Lookup,
        table: Option<&Integers>,
        within: Within,
    ) -> Result<Integers, Forbidden> {
        look_up(&self.gpu, input, lookup, table, bytes_for(&within))
    }

    fn row_max(&self, input: &Integers, row: usize) -> Integers {
        row_max(&self.gpu, input, row)
    }

    fn floor_div(&self, numerators: &Integers, denominators: &Integers, within: Within) -> Result<Integers, Forbidden> {
        floor_div(&self.gpu, numerators, denominators, bytes_for(&within))
    }

    fn rsqrt(&self, input: &Integers, exponent: u32, within: Within) -> Result<Integers, Forbidden> {
        rsqrt(&self.gpu, input, exponent, bytes_for(&within))
    }

    fn limbs(&self, input: &Integers, lookup: &Lookup, part: Part, limb: &Limb) -> Integers {
        limbs(&self.gpu, input, lookup, part, limb)
    }

    fn edges(&self, limbs: &Integers, width: u32) -> Integers {
        edges(&self.gpu, limbs, width)
    }

    fn combine(&self, constant: i64, terms: &[(i64, &Integers)], within: Within) -> Integers {
        combine(&self.gpu, constant, terms, bytes_for(&within))
    }

    fn count_rows(&self, table: &Table, entries: &[&Integers], counts: &mut Integers) {
        count_rows(&self.gpu, table, entries, counts);
    }

    fn table_entries(&self, table: &Table, kind: usize, outputs: Option<&Integers>) -> Vec<Integers> {
        table_entries(&self.gpu, table, kind, outputs)
    }
}

impl Device for Cuda {
    type Base = Words;
    type Extension = Elements;
    type Tree = Tree;

    fn upload(&self, values: Vec<F>) -> Words {
        self.gpu.upload_words(&values)
    }

    fn pack(&self, layout: &Layout, tensors: &[&Integers]) -> Words {
        pack(&self.gpu, layout, tensors)
    }

    fn upload_extension(&self, values: Vec<K>) -> Elements {
        self.gpu.upload_elements(&values)
    }

    fn zeros(&self, len: usize) -> Elements {
        self.gpu.zero_elements(len)
    }

    fn download(&self, values: &Elements) -> Vec<K> {
        self.gpu.download_elements(values)
    }

    fn download_all(&self, vectors: &[&Elements]) -> Vec<Vec<K>> {
        self.gpu.download_all(vectors)
    }

    fn commit_base(&self, message: &Words, log_width: usize, log_inv_rate: usize) -> (Digest, Tree) {
        let log_message = message.len.ilog2() as usize - log_width;
        let shape = Shape { log_message, width: 1 << log_width, log_cosets: log_inv_rate };
        commit(&self.gpu, &self.tables, Message::Cells(message.clone()), shape)
    }

    fn commit_extension(&self, message: &Elements, log_width: usize, log_inv_rate: usize) -> (Digest, Tree) {
        let log_message = message.len.ilog2() as usize - log_width;
        let shape = Shape { log_message, width: WORDS << log_width, log_cosets: log_inv_rate };
        commit(&self.gpu, &self.tables, Message::Elements(message.clone()), shape)
    }

    fn open(&self, tree: &Tree, leaves: &[usize]) -> Opened {
        open(&self.gpu, &self.tables, tree, leaves)
    }

    fn bind_rows(&self, values: &Words, rows: Strided, point: &[K], log_width: usize) -> Elements {
        bind_rows(&self.gpu, values, rows, point, log_width)
    }

    fn bind_columns(&self, values: &Words, weights: &[K]) -> Elements {
        bind_columns(&self.gpu, values, weights)
    }

    fn evaluate(&self, values: &Elements, point: &[K]) -> K {
        evaluate(&self.gpu, values, point)
    }

    fn add_eq(&self, out: &mut Elements, places: Strided, point: &[K], scale: K) {
        add_eq(&self.gpu, out, places, point, scale);
    }

    fn add_at(&self, out: &mut Elements, places: Strided, values: &Elements) {
        add_at(&self.gpu, out, places, values);
    }

    fn add_outer(&self, out: &mut Elements, rows: &[K], columns: &[K]) {
        add_outer(&self.gpu, out, rows, columns);
    }

    fn add_powers(&self, out: &mut Elements, log_order: usize, exponents: &[usize], scales: &[K]) {
        add_powers(&self.gpu, &self.tables, out, log_order, exponents, scales);
    }

    fn round(&self, a: &Elements, b: &Elements) -> [K; 2] {
        round(&self.gpu, a, b)
    }

    fn fold(&self, a: &mut Elements, b: &mut Elements, x: K) {
        (*a, *b) = (fold(&self.gpu, a, x), fold(&self.gpu, b, x));
    }

    fn fold_round(&self, a: &mut Elements, b: &mut Elements, x: K) -> [K; 2] {
        fold_round(&self.gpu, a, b, x)
    }

    fn lift(&self, values: &Integers) -> Elements {
        lift(&self.gpu, values)
    }

    fn contract_ints(&self, values: &Integers, shape: &[usize], axis: usize, weights: &[K]) -> Elements {
        contract_ints(&self.gpu, values, shape, axis, weights)
    }

    fn contract(&self, values: &Elements, shape: &[usize], axis: usize, weights: &[K]) -> Elements {
        contract(&self.gpu, values, shape, axis, weights)
    }

    fn permute(&self, values: Elements, shape: &[usize], order: &[usize]) -> Elements {
        permute(&self.gpu, values, shape, order)
    }

    fn affine(&self, slices: &[Affine<Integers>]) -> Elements {
        affine(&self.gpu, slices)
    }

    fn product_total(&self, product: &Product<Integers, Elements>) -> K {
        product_total(&self.gpu, product)
    }

    fn product_sumcheck(
        &self,
        product: Product<Integers, Elements>,
        degree: usize,
        transcript: &mut Writer,
    ) -> Reduced {
        product_sumcheck(&self.gpu, &product, degree, transcript)
    }

    fn add_fractions(&self, below: &Fractions<Elements>) -> Fractions<Elements> {
        add_fractions(&self.gpu, below)
    }

    fn fraction_sumcheck(&self, layer: Layer<Elements>, transcript: &mut Writer) -> Children {
        fraction_sumcheck(&self.gpu, &layer, transcript)
    }
}
