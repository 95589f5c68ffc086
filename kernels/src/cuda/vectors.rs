//! Vectors on the device.

use super::gpu::Gpu;
use super::launch::Pointer;
use super::placed::Placed;
use crate::Ints;
use cudarc::driver::{CudaSlice, CudaView, CudaViewMut};
use p3_field::{BasedVectorSpace, PrimeCharacteristicRing};
use std::marker::PhantomData;
use std::sync::Arc;
use verifier::field::{F, K};

/// Words of an extension element.
pub const WORDS: usize = <K as BasedVectorSpace<F>>::DIMENSION;

/// Base field elements: integers of 1, 2 or 4 bytes, or words of 8 that are congruent to them.
#[derive(Clone, Debug)]
pub struct Words {
    pub(super) memory: Arc<CudaSlice<u8>>,
    /// Of each.
    pub(super) bytes: usize,
    pub(super) len: usize,
}

/// Extension field elements: three words each.
#[derive(Clone, Debug)]
pub struct Elements {
    pub(super) memory: Arc<CudaSlice<u64>>,
    pub(super) len: usize,
}

/// Integers of one width.
#[derive(Clone, Debug)]
pub struct Integers {
    pub(super) placed: Arc<Placed>,
    /// Of each.
    pub(super) bytes: usize,
    pub(super) len: usize,
}

/// Integers that are still to be written: they stay where they are until they are [finished](Gpu::finished).
#[derive(Debug)]
pub struct Unfinished {
    pub(super) memory: CudaSlice<u8>,
    /// Of each.
    pub(super) bytes: usize,
    pub(super) len: usize,
}

/// A word of a table that a kernel reads: a number, or where memory is that is there for `'m`.
#[derive(Clone, Copy, Debug)]
pub struct Word<'m>(u64, PhantomData<&'m ()>);

/// Words on the device. What they point to is there as long as they are.
#[derive(Debug)]
pub struct Table<'m> {
    memory: CudaSlice<u64>,
    points: PhantomData<&'m ()>,
}

impl From<u64> for Word<'_> {
    fn from(number: u64) -> Self {
        Self(number, PhantomData)
    }
}

impl<'m> From<Pointer<'m>> for Word<'m> {
    fn from(pointer: Pointer<'m>) -> Self {
        Self(pointer.word(), PhantomData)
    }
}

const _: () = assert!(size_of::<F>() == size_of::<u64>() && align_of::<F>() == align_of::<u64>());

/// The words of base field elements, as they are.
pub fn words(values: &[F]) -> &[u64] {
    // SAFETY: `F` is a transparent wrapper of a word, which the assertion above checks as far as a program can.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), values.len()) }
}

/// The bytes of integers, as they are.
pub fn bytes<T: Copy + Into<i128>>(values: &[T]) -> &[u8] {
    // SAFETY: integers are bytes without padding between them, and as many as this.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}

/// The same to be written to.
pub fn bytes_mut<T: Copy + Into<i128>>(values: &mut [T]) -> &mut [u8] {
    // SAFETY: as above, and any bytes are integers.
    unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast(), size_of_val(values)) }
}

impl Gpu {
    /// Copies to the device.
    pub fn upload_elements(&self, values: &[K]) -> Elements {
        let flat: Vec<u64> = values.iter().flat_map(|x| words(x.as_basis_coefficients_slice())).copied().collect();
        Elements { memory: Arc::new(self.upload(&flat)), len: values.len() }
    }

    /// Copies vectors of words to the device, end to end; also says where each of them begins.
    pub fn upload_parts<const N: usize>(&self, parts: &[Vec<u64>; N]) -> (CudaSlice<u64>, [Pointer<'_>; N]) {
        let memory = self.upload(&parts.concat());
        let mut next = self.pointer(&memory).unbound();
        let begins = parts.each_ref().map(|part| {
            let begin = next;
            next = begin.offset::<u64>(part.len());
            begin
        });
        (memory, begins)
    }

    /// Room for so many.
    pub fn elements(&self, len: usize) -> Elements {
        Elements { memory: Arc::new(self.allocate(len * WORDS)), len }
    }

    /// So many zeros.
    pub fn zero_elements(&self, len: usize) -> Elements {
        let mut memory = self.allocate(len * WORDS);
        self.check("clearing memory", self.stream.memset_zeros(&mut memory));
        Elements { memory: Arc::new(memory), len }
    }

    /// Has nobody else have these elements, who would see them change.
    pub fn own(&self, values: &mut Elements) {
        if Arc::get_mut(&mut values.memory).is_none() {
            let mut memory = self.allocate(values.len * WORDS);
            self.copy(&values.memory.slice(..values.len * WORDS), &mut memory.slice_mut(..values.len * WORDS));
            values.memory = Arc::new(memory);
        }
    }

    fn copy(&self, from: &CudaView<u64>, to: &mut CudaViewMut<u64>) {
        self.check("copying on it", self.stream.memcpy_dtod(from, to));
    }

    /// Copies from the device.
    pub fn download_elements(&self, values: &Elements) -> Vec<K> {
        let words = self.download(&values.memory, values.len * WORDS);
        K::reconstitute_from_base(words.into_iter().map(F::from_u64).collect())
    }

    /// Copies vectors from the device, once they lie end to end there.
    pub fn download_all(&self, vectors: &[&Elements]) -> Vec<Vec<K>> {
        let len = vectors.iter().map(|values| values.len).sum::<usize>();
        let mut all = self.allocate(len * WORDS);
        let mut next = 0;
        for values in vectors.iter().filter(|values| values.len > 0) {
            let end = next + values.len * WORDS;
            self.copy(&values.memory.slice(..values.len * WORDS), &mut all.slice_mut(next..end));
            next = end;
        }
        let mut rest = self.download_elements(&Elements { memory: Arc::new(all), len }).into_iter();
        vectors.iter().map(|values| rest.by_ref().take(values.len).collect()).collect()
    }

    /// Where elements lie.
    pub fn at<'m>(&self, values: &'m Elements) -> Pointer<'m> {
        self.pointer(&*values.memory)
    }

    /// Copies to the device.
    pub fn upload_words(&self, values: &[F]) -> Words {
        Words { memory: Arc::new(self.upload(bytes(words(values)))), bytes: size_of::<u64>(), len: values.len() }
    }

    /// Where element `index` lies.
    pub fn word_at<'m>(&self, values: &'m Words, index: usize) -> Pointer<'m> {
        self.pointer(&*values.memory).offset::<u8>(index * values.bytes)
    }

    /// Copies a table to the device.
    pub fn upload_table<'m>(&self, words: &[Word<'m>]) -> Table<'m> {
        let words: Vec<u64> = words.iter().map(|word| word.0).collect();
        Table { memory: self.upload(&words), points: PhantomData }
    }

    /// Where a table lies.
    pub fn table_at<'m>(&self, table: &'m Table<'_>) -> Pointer<'m> {
        self.pointer(&table.memory)
    }

    /// Integers of the host, in the width that they have; it goes on to hold them.
    pub fn upload_integers(&self, values: Ints) -> Integers {
        let bytes = match values {
            Ints::I8(_) => 1,
            Ints::I16(_) => 2,
            Ints::I32(_) => 4,
            Ints::I64(_) => 8,
        };
        let len = values.len();
        Integers { placed: self.back(values), bytes, len }
    }

    /// Integers in the narrowest width that holds them, copied from the device unless the host holds them.
    pub fn download_integers(&self, values: &Integers) -> Ints {
        self.on_host(values, |values| Ints::from(values.to_vec()))
    }

    /// Room for so many of this width.
    pub fn integers(&self, len: usize, bytes: usize) -> Unfinished {
        Unfinished { memory: self.allocate(len * bytes), bytes, len }
    }

    /// So many zeros of 64 bits, to be added to.
    pub fn zero_integers(&self, len: usize) -> Unfinished {
        let mut zeros = self.integers(len, size_of::<i64>());
        self.check("clearing memory", self.stream.memset_zeros(&mut zeros.memory));
        zeros
    }

    /// Where integers are written.
    pub fn target<'m>(&self, values: &'m Unfinished) -> Pointer<'m> {
        self.pointer(&values.memory)
    }
}
