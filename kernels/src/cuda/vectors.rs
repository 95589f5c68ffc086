//! Vectors on the device.

use super::backed::Backed;
use super::gpu::Gpu;
use super::launch::Pointer;
use crate::Ints;
use cudarc::driver::CudaSlice;
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
#[derive(Debug)]
pub struct Elements {
    pub(super) memory: CudaSlice<u64>,
    pub(super) len: usize,
}

/// Integers of one width.
#[derive(Clone, Debug)]
pub struct Integers {
    pub(super) memory: Memory,
    /// Of each.
    pub(super) bytes: usize,
    pub(super) len: usize,
}

/// Where integers are.
#[derive(Clone, Debug)]
pub enum Memory {
    /// On the device alone.
    Own(Arc<CudaSlice<u8>>),
    /// On the host, and perhaps on the device.
    Backed(Arc<Backed>),
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

impl Gpu {
    /// Copies to the device.
    pub fn upload_elements(&self, values: &[K]) -> Elements {
        let flat: Vec<u64> = values.iter().flat_map(|x| words(x.as_basis_coefficients_slice())).copied().collect();
        Elements { memory: self.upload(&flat), len: values.len() }
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
        Elements { memory: self.allocate(len * WORDS), len }
    }

    /// Copies from the device.
    pub fn download_elements(&self, values: &Elements) -> Vec<K> {
        let words = self.download(&values.memory, values.len * WORDS);
        K::reconstitute_from_base(words.into_iter().map(F::from_u64).collect())
    }

    /// Copies vectors from the device, once they lie end to end there.
    pub fn download_all(&self, vectors: &[&Elements]) -> Vec<Vec<K>> {
        let mut all = self.elements(vectors.iter().map(|values| values.len).sum());
        let mut next = 0;
        for values in vectors.iter().filter(|values| values.len > 0) {
            let (from, end) = (values.memory.slice(..values.len * WORDS), next + values.len * WORDS);
            self.check("copying on it", self.stream.memcpy_dtod(&from, &mut all.memory.slice_mut(next..end)));
            next = end;
        }
        let mut rest = self.download_elements(&all).into_iter();
        vectors.iter().map(|values| rest.by_ref().take(values.len).collect()).collect()
    }

    /// Where elements lie.
    pub fn at<'m>(&self, values: &'m Elements) -> Pointer<'m> {
        self.pointer(&values.memory)
    }

    /// Copies to the device.
    pub fn upload_words(&self, values: &[F]) -> Words {
        Words { memory: Arc::new(self.upload(bytes(words(values)))), bytes: size_of::<u64>(), len: values.len() }
    }

    /// A copy of elements' words.
    pub fn copy_words(&self, values: &Elements) -> Words {
        let (len, bytes) = (values.len * WORDS, size_of::<u64>());
        let mut memory = self.allocate(len * bytes);
        // SAFETY: any bytes are integers of one.
        let from = unsafe { values.memory.transmute::<u8>(len * bytes) }.expect("elements are as long as their words");
        self.check("copying on it", self.stream.memcpy_dtod(&from, &mut memory));
        Words { memory: Arc::new(memory), bytes, len }
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
        Integers { memory: Memory::Backed(self.back(values)), bytes, len }
    }

    /// Integers in the narrowest width that holds them, copied from the device unless the host holds them.
    pub fn download_integers(&self, values: &Integers) -> Ints {
        let memory = match &values.memory {
            Memory::Own(memory) => memory,
            Memory::Backed(backed) => return Ints::from(backed.host().to_vec()),
        };
        let bytes = self.download(memory, values.len * values.bytes);
        let widen = |word: &[u8]| -> i64 {
            let sign = word.last().map_or(0, |top| if top >> 7 == 1 { u8::MAX } else { 0 });
            let mut wide = [sign; size_of::<i64>()];
            wide[..word.len()].copy_from_slice(word);
            i64::from_le_bytes(wide)
        };
        Ints::from(bytes.chunks_exact(values.bytes).map(widen).collect::<Vec<_>>())
    }

    /// Room for so many of this width.
    pub fn integers(&self, len: usize, bytes: usize) -> Integers {
        Integers { memory: Memory::Own(Arc::new(self.allocate(len * bytes))), bytes, len }
    }

    /// So many zeros of 64 bits.
    pub fn zero_integers(&self, len: usize) -> Integers {
        let bytes = size_of::<i64>();
        let mut memory = self.allocate(len * bytes);
        self.check("clearing memory", self.stream.memset_zeros(&mut memory));
        Integers { memory: Memory::Own(Arc::new(memory)), bytes, len }
    }
}
