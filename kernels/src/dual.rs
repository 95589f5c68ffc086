//! Two devices that do the same and are compared at every step, for tests.

mod integers;

use crate::device::{Affine, Device, Opened, Strided};
use crate::integers::IntegerDevice;
use crate::sumcheck::{Cells, Children, Factor, Fractions, Layer, Product, Reduced};
use std::fmt::Debug;
use verifier::commitment::Layout;
use verifier::field::{F, K};
use verifier::transcript::{Digest, Writer};

/// Runs every loop on both devices.
///
/// # Panics
/// If they differ, naming the loop.
#[derive(Clone, Debug)]
pub struct Dual<A, B>(pub A, pub B);

/// A vector on both devices.
type Both<A, B> = (<A as Device>::Extension, <B as Device>::Extension);

/// A factor on a device.
type FactorOf<'a, D> = Factor<'a, <D as IntegerDevice>::Integers, <D as Device>::Extension>;

/// A product on a device.
type ProductOf<'a, D> = Product<'a, <D as IntegerDevice>::Integers, <D as Device>::Extension>;

/// What both say.
fn same<T: PartialEq + Debug>(of: &str, a: T, b: T) -> T {
    assert!(a == b, "{of}: the devices differ: {a:?} and {b:?}");
    a
}

fn same_opened(of: &str, a: Opened, b: Opened) -> Opened {
    same(of, a.proof.sibling_hashes, b.proof.sibling_hashes.clone());
    Opened { rows: same(of, a.rows, b.rows), proof: b.proof }
}

impl<A: Device, B: Device> Dual<A, B> {
    fn made(&self, of: &str, a: A::Extension, b: B::Extension) -> Both<A, B> {
        let both = (a, b);
        self.compare(of, &both);
        both
    }

    fn compare(&self, of: &str, (a, b): &Both<A, B>) {
        same(of, self.0.download(a), self.1.download(b));
    }

    /// Copies for either device, where a call takes vectors inside of something else.
    fn apart(&self, (a, b): &Both<A, B>) -> Both<A, B> {
        (self.0.upload_extension(self.0.download(a)), self.1.upload_extension(self.1.download(b)))
    }

    fn fractions_apart(&self, below: &Fractions<Both<A, B>>) -> (Fractions<A::Extension>, Fractions<B::Extension>) {
        let shape = || below.shape.clone();
        let ((p, p_too), (q, q_too)) = (self.apart(&below.p), self.apart(&below.q));
        (Fractions { shape: shape(), p, q }, Fractions { shape: shape(), p: p_too, q: q_too })
    }

    fn product_apart<'a>(&self, product: &ProductOf<'a, Self>) -> (ProductOf<'a, A>, ProductOf<'a, B>) {
        let apart = |Factor { axes, cells }: &FactorOf<'a, Self>| {
            let (a, b) = match cells {
                Cells::Integers((a, b)) => (Cells::Integers(a), Cells::Integers(b)),
                Cells::Elements(values) => {
                    let (a, b) = self.apart(values);
                    (Cells::Elements(a), Cells::Elements(b))
                }
            };
            (Factor { axes: axes.clone(), cells: a }, Factor { axes: axes.clone(), cells: b })
        };
        let (a, b) = product.factors.iter().map(apart).unzip();
        let (dims, scale) = (|| product.dims.clone(), product.scale);
        (Product { dims: dims(), factors: a, scale }, Product { dims: dims(), factors: b, scale })
    }
}

fn of_affine<'a, T, I>(slice: &Affine<'a, T>, of: impl Fn(&'a T) -> &'a I) -> Affine<'a, I> {
    let terms = slice.terms.iter().map(|&(factor, column)| (factor, of(column))).collect();
    Affine { len: slice.len, constant: slice.constant, terms }
}

impl<A: Device, B: Device> Device for Dual<A, B> {
    type Base = (A::Base, B::Base);
    type Extension = Both<A, B>;
    type Tree = (A::Tree, B::Tree);

    fn upload(&self, values: Vec<F>) -> Self::Base {
        (self.0.upload(values.clone()), self.1.upload(values))
    }

    fn pack(&self, layout: &Layout, tensors: &[&Self::Integers]) -> Self::Base {
        let (a, b): (Vec<_>, Vec<_>) = tensors.iter().map(|(a, b)| (a, b)).unzip();
        (self.0.pack(layout, &a), self.1.pack(layout, &b))
    }

    fn upload_extension(&self, values: Vec<K>) -> Both<A, B> {
        self.made("upload_extension", self.0.upload_extension(values.clone()), self.1.upload_extension(values))
    }

    fn zeros(&self, len: usize) -> Both<A, B> {
        self.made("zeros", self.0.zeros(len), self.1.zeros(len))
    }

    fn download(&self, values: &Both<A, B>) -> Vec<K> {
        same("download", self.0.download(&values.0), self.1.download(&values.1))
    }

    fn download_all(&self, vectors: &[&Both<A, B>]) -> Vec<Vec<K>> {
        let (a, b): (Vec<_>, Vec<_>) = vectors.iter().map(|(a, b)| (a, b)).unzip();
        same("download_all", self.0.download_all(&a), self.1.download_all(&b))
    }

    fn commit_base(&self, message: &Self::Base, log_width: usize, log_inv_rate: usize) -> (Digest, Self::Tree) {
        let (a, first) = self.0.commit_base(&message.0, log_width, log_inv_rate);
        let (b, second) = self.1.commit_base(&message.1, log_width, log_inv_rate);
        (same("commit_base", a, b), (first, second))
    }

    fn commit_extension(&self, message: &Both<A, B>, log_width: usize, log_inv_rate: usize) -> (Digest, Self::Tree) {
        let (a, first) = self.0.commit_extension(&message.0, log_width, log_inv_rate);
        let (b, second) = self.1.commit_extension(&message.1, log_width, log_inv_rate);
        (same("commit_extension", a, b), (first, second))
    }

    fn open(&self, tree: &Self::Tree, leaves: &[usize]) -> Opened {
        same_opened("open", self.0.open(&tree.0, leaves), self.1.open(&tree.1, leaves))
    }

    fn bind_rows(&self, values: &Self::Base, rows: Strided, point: &[K], log_width: usize) -> Both<A, B> {
        let a = self.0.bind_rows(&values.0, rows, point, log_width);
        self.made("bind_rows", a, self.1.bind_rows(&values.1, rows, point, log_width))
    }

    fn bind_columns(&self, values: &Self::Base, weights: &[K]) -> Both<A, B> {
        self.made("bind_columns", self.0.bind_columns(&values.0, weights), self.1.bind_columns(&values.1, weights))
    }

    fn evaluate(&self, values: &Both<A, B>, point: &[K]) -> K {
        same("evaluate", self.0.evaluate(&values.0, point), self.1.evaluate(&values.1, point))
    }

    fn add_eq(&self, out: &mut Both<A, B>, places: Strided, point: &[K], scale: K) {
        self.0.add_eq(&mut out.0, places, point, scale);
        self.1.add_eq(&mut out.1, places, point, scale);
        self.compare("add_eq", out);
    }

    fn add_at(&self, out: &mut Both<A, B>, places: Strided, values: &Both<A, B>) {
        self.0.add_at(&mut out.0, places, &values.0);
        self.1.add_at(&mut out.1, places, &values.1);
        self.compare("add_at", out);
    }

    fn add_outer(&self, out: &mut Both<A, B>, rows: &[K], columns: &[K]) {
        self.0.add_outer(&mut out.0, rows, columns);
        self.1.add_outer(&mut out.1, rows, columns);
        self.compare("add_outer", out);
    }

    fn add_powers(&self, out: &mut Both<A, B>, log_order: usize, exponents: &[usize], scales: &[K]) {
        self.0.add_powers(&mut out.0, log_order, exponents, scales);
        self.1.add_powers(&mut out.1, log_order, exponents, scales);
        self.compare("add_powers", out);
    }

    fn round(&self, a: &Both<A, B>, b: &Both<A, B>) -> [K; 2] {
        same("round", self.0.round(&a.0, &b.0), self.1.round(&a.1, &b.1))
    }

    fn fold(&self, a: &mut Both<A, B>, b: &mut Both<A, B>, x: K) {
        self.0.fold(&mut a.0, &mut b.0, x);
        self.1.fold(&mut a.1, &mut b.1, x);
        self.compare("fold", a);
        self.compare("fold", b);
    }

    fn fold_round(&self, a: &mut Both<A, B>, b: &mut Both<A, B>, x: K) -> [K; 2] {
        let first = self.0.fold_round(&mut a.0, &mut b.0, x);
        let second = self.1.fold_round(&mut a.1, &mut b.1, x);
        self.compare("fold_round", a);
        self.compare("fold_round", b);
        same("fold_round", first, second)
    }

    fn lift(&self, values: &Self::Integers) -> Both<A, B> {
        self.made("lift", self.0.lift(&values.0), self.1.lift(&values.1))
    }

    fn contract_ints(&self, values: &Self::Integers, shape: &[usize], axis: usize, weights: &[K]) -> Both<A, B> {
        let a = self.0.contract_ints(&values.0, shape, axis, weights);
        self.made("contract_ints", a, self.1.contract_ints(&values.1, shape, axis, weights))
    }

    fn contract(&self, values: &Both<A, B>, shape: &[usize], axis: usize, weights: &[K]) -> Both<A, B> {
        let a = self.0.contract(&values.0, shape, axis, weights);
        self.made("contract", a, self.1.contract(&values.1, shape, axis, weights))
    }

    fn permute(&self, values: Both<A, B>, shape: &[usize], order: &[usize]) -> Both<A, B> {
        self.made("permute", self.0.permute(values.0, shape, order), self.1.permute(values.1, shape, order))
    }

    fn affine(&self, slices: &[Affine<Self::Integers>]) -> Both<A, B> {
        let a: Vec<_> = slices.iter().map(|slice| of_affine(slice, |(a, _)| a)).collect();
        let b: Vec<_> = slices.iter().map(|slice| of_affine(slice, |(_, b)| b)).collect();
        self.made("affine", self.0.affine(&a), self.1.affine(&b))
    }

    fn product_total(&self, product: &ProductOf<Self>) -> K {
        let (a, b) = self.product_apart(product);
        same("product_total", self.0.product_total(&a), self.1.product_total(&b))
    }

    fn product_sumcheck(&self, product: ProductOf<Self>, degree: usize, transcript: &mut Writer) -> Reduced {
        let (a, b) = self.product_apart(&product);
        let reduced = self.0.product_sumcheck(a, degree, &mut transcript.clone());
        same("product_sumcheck", reduced, self.1.product_sumcheck(b, degree, transcript))
    }

    fn add_fractions(&self, below: &Fractions<Both<A, B>>) -> Fractions<Both<A, B>> {
        let (a, b) = self.fractions_apart(below);
        let (a, b) = (self.0.add_fractions(&a), self.1.add_fractions(&b));
        let shape = same("add_fractions", a.shape, b.shape);
        Fractions { shape, p: self.made("add_fractions", a.p, b.p), q: self.made("add_fractions", a.q, b.q) }
    }

    fn fraction_sumcheck(&self, layer: Layer<Both<A, B>>, transcript: &mut Writer) -> Children {
        let (a, b): (Vec<_>, Vec<_>) = layer.below.iter().map(|below| self.fractions_apart(below)).unzip();
        let Layer { point, c, claim, .. } = layer;
        let first = Layer { below: a.iter().collect(), point, c, claim };
        let second = Layer { below: b.iter().collect(), point, c, claim };
        let children = self.0.fraction_sumcheck(first, &mut transcript.clone());
        same("fraction_sumcheck", children, self.1.fraction_sumcheck(second, transcript))
    }
}
