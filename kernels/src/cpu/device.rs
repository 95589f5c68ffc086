//! [`Device`] on the processor: vectors are `Vec`s.

use super::affine::affine;
use super::contract::{contract, contract_ints, lift, permute};
use super::encode::{Tree, encode_base, encode_extension, hash_rows, open_rows};
use super::fractions::{add_fractions, fraction_sumcheck};
use super::product::{product_sumcheck, product_total};
use super::quadratic::{fold, round};
use super::weights::{add_eq, add_powers, bind_columns, bind_rows, evaluate};
use crate::device::{Affine, Device, Opened, Strided};
use crate::sumcheck::{Children, Fractions, Layer, Product, Reduced};
use crate::{Ints, with_ints};
use p3_field::PrimeCharacteristicRing;
use rayon::prelude::*;
use std::ops::Range;
use verifier::commitment::Layout;
use verifier::field::{F, K, from_i64};
use verifier::transcript::{Digest, Writer};

/// The processor: all cores, SIMD where it pays.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cpu;

fn pack<T: Copy + Into<i64>>(layout: &Layout, packed: &mut [F], tensor: usize, cells: &[T]) {
    layout.pack(packed, tensor, cells, |x| from_i64(x.into()));
}

impl Device for Cpu {
    type Base = Vec<F>;
    type Extension = Vec<K>;
    type Tree = Tree;

    fn upload(&self, values: Vec<F>) -> Vec<F> {
        values
    }

    fn pack(&self, layout: &Layout, tensors: &[&Ints]) -> Vec<F> {
        let mut packed = F::zero_vec(1 << layout.num_variables());
        for (index, tensor) in tensors.iter().enumerate() {
            with_ints!(tensor, cells => pack(layout, &mut packed, index, cells));
        }
        packed
    }

    fn upload_extension(&self, values: Vec<K>) -> Vec<K> {
        values
    }

    fn zeros(&self, len: usize) -> Vec<K> {
        K::zero_vec(len)
    }

    fn download(&self, values: &Vec<K>) -> Vec<K> {
        values.clone()
    }

    fn commit_base(&self, message: &Vec<F>, log_width: usize, log_inv_rate: usize) -> (Digest, Tree) {
        hash_rows(encode_base(message, log_width, log_inv_rate))
    }

    fn commit_extension(&self, message: &Vec<K>, log_width: usize, log_inv_rate: usize) -> (Digest, Tree) {
        hash_rows(encode_extension(message, log_width, log_inv_rate))
    }

    fn open(&self, tree: &Tree, leaves: &[usize]) -> Opened {
        open_rows(tree, leaves)
    }

    fn bind_rows(&self, values: &Vec<F>, rows: Strided, point: &[K], log_width: usize) -> Vec<K> {
        let Range { start, end } = rows.range(1 << point.len());
        bind_rows(&values[start << log_width..end << log_width], rows.log_stride, point, log_width)
    }

    fn bind_columns(&self, values: &Vec<F>, weights: &[K]) -> Vec<K> {
        bind_columns(values, weights)
    }

    fn evaluate(&self, values: &Vec<K>, point: &[K]) -> K {
        evaluate(values, point)
    }

    fn add_eq(&self, out: &mut Vec<K>, places: Strided, point: &[K], scale: K) {
        add_eq(&mut out[places.range(1 << point.len())], places.log_stride, point, scale);
    }

    fn add_at(&self, out: &mut Vec<K>, places: Strided, values: &Vec<K>) {
        let places = out[places.range(values.len())].iter_mut().step_by(1 << places.log_stride);
        places.zip(values).for_each(|(out, &x)| *out += x);
    }

    fn add_outer(&self, out: &mut Vec<K>, rows: &[K], columns: &[K]) {
        out.par_chunks_mut(columns.len()).zip(rows).for_each(|(out, &row)| {
            out.iter_mut().zip(columns).for_each(|(out, &column)| *out += row * column);
        });
    }

    fn add_powers(&self, out: &mut Vec<K>, log_order: usize, exponents: &[usize], scales: &[K]) {
        add_powers(out, log_order, exponents, scales);
    }

    fn round(&self, a: &Vec<K>, b: &Vec<K>) -> [K; 2] {
        round(a, b)
    }

    fn fold(&self, a: &mut Vec<K>, b: &mut Vec<K>, x: K) {
        *a = fold(a, x);
        *b = fold(b, x);
    }

    fn lift(&self, values: &Ints) -> Vec<K> {
        lift(values)
    }

    fn contract_ints(&self, values: &Ints, shape: &[usize], axis: usize, weights: &[K]) -> Vec<K> {
        contract_ints(values, shape, axis, weights)
    }

    fn contract(&self, values: &Vec<K>, shape: &[usize], axis: usize, weights: &[K]) -> Vec<K> {
        contract(values, shape, axis, weights)
    }

    fn permute(&self, values: Vec<K>, shape: &[usize], order: &[usize]) -> Vec<K> {
        permute(values, shape, order)
    }

    fn affine(&self, slices: &[Affine<Ints>]) -> Vec<K> {
        affine(slices)
    }

    fn product_total(&self, product: &Product<Ints, Vec<K>>) -> K {
        product_total(product)
    }

    fn product_sumcheck(&self, product: Product<Ints, Vec<K>>, degree: usize, transcript: &mut Writer) -> Reduced {
        product_sumcheck(product, degree, transcript)
    }

    fn add_fractions(&self, below: &Fractions<Vec<K>>) -> Fractions<Vec<K>> {
        add_fractions(below)
    }

    fn fraction_sumcheck(&self, layer: Layer<Vec<K>>, transcript: &mut Writer) -> Children {
        fraction_sumcheck(&layer, transcript)
    }
}
