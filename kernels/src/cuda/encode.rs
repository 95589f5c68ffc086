//! See `encode.cu`. A codeword is encoded whole, or part by part where it does not fit.

use super::gpu::Gpu;
use super::launch::{Grid, Pass, Pointer, Roots};
use super::vectors::{Elements, Words, words};
use cudarc::driver::CudaSlice;
use p3_field::{PrimeCharacteristicRing, TwoAdicField};
use std::collections::HashMap;
use std::iter::successors;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use verifier::field::F;

/// Words of shared memory that a tile takes.
const TILE: usize = 4096;
/// Logarithm of a pass's points: three steps of eight points, on 64 bytes of each row.
const MAX_LOG_RADIX: usize = 9;
/// Columns that are not parted: 64 bytes of a row, a block of the hash.
pub const BLOCK: usize = 8;

/// Powers of roots of unity, by the logarithm of the order: low ones, then every `2^split`-th.
#[derive(Debug, Default)]
pub struct Tables(Mutex<HashMap<usize, [CudaSlice<u64>; 2]>>);

impl Tables {
    /// The tables of this order, made on first use.
    pub fn roots(&self, gpu: &Gpu, log_order: usize) -> Roots<'_> {
        let split = log_order.div_ceil(2);
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [low, high] = tables.entry(log_order).or_insert_with(|| {
            let generator = F::two_adic_generator(log_order);
            let powers = |base: F, count| gpu.upload(words(&base.powers().collect_n(count)));
            [powers(generator, 1 << split), powers(generator.exp_power_of_2(split), 1 << (log_order - split))]
        });
        // Tables are never dropped before the device.
        let [low, high] = [low, high].map(|table| gpu.pointer(table).unbound());
        Roots { low, high, log_order: log_order as u32, split: split as u32 }
    }
}

/// Logarithms of the radices of a transform's passes: as few as fit, of nearly one size.
fn radices(log_message: usize) -> Vec<usize> {
    let passes = log_message.div_ceil(MAX_LOG_RADIX).max(1);
    (0..passes).map(|pass| (log_message + pass) / passes).collect()
}

/// Rows of coefficients, each column a polynomial. Nothing changes them as long as this is there.
#[derive(Debug)]
pub enum Message {
    /// Integers, or words.
    Cells(Words),
    /// Words of elements.
    Elements(Elements),
}

impl Message {
    fn at(&self, gpu: &Gpu) -> Pointer<'_> {
        match self {
            Self::Cells(cells) => gpu.word_at(cells, 0),
            Self::Elements(elements) => gpu.at(elements),
        }
    }

    /// Bytes of a coefficient.
    pub const fn bytes(&self) -> usize {
        match self {
            Self::Cells(cells) => cells.bytes,
            Self::Elements(_) => size_of::<u64>(),
        }
    }
}

/// A codeword's: columns of `2^log_message` coefficients are evaluated on the subgroup `2^log_cosets` times as large.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub log_message: usize,
    /// Words of a row.
    pub width: usize,
    pub log_cosets: usize,
}

impl Shape {
    /// Logarithm of the rows.
    pub const fn log_rows(&self) -> usize {
        self.log_message + self.log_cosets
    }

    /// Words of all rows.
    pub const fn words(&self) -> usize {
        self.width << self.log_rows()
    }
}

/// Some columns of a codeword's rows: of all, or of every `2^log_step`-th from row `first` on, which are one coset's.
#[derive(Clone, Debug)]
pub struct Part {
    pub columns: Range<usize>,
    pub first: usize,
    pub log_step: usize,
}

impl Part {
    /// Where one of the codeword's rows lies among those of the part.
    pub const fn row(&self, row: usize) -> Option<usize> {
        if row % (1 << self.log_step) == self.first { Some(row >> self.log_step) } else { None }
    }
}

/// How a codeword is cut into parts.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    pub shape: Shape,
    columns: usize,
    /// Whether cosets are apart.
    log_step: usize,
}

impl Cut {
    /// Into one part.
    pub const fn whole(shape: Shape) -> Self {
        Self { shape, columns: shape.width, log_step: 0 }
    }

    /// The coarsest cut that is fine enough, or else the finest. Cosets apart cost nothing but launches; then columns do, fewer of which
    /// are read at a time, and `least` at least.
    pub fn until(shape: Shape, least: usize, enough: impl Fn(&Self) -> bool) -> Self {
        let finer = |cut: &Self| {
            if cut.log_step < shape.log_cosets {
                return Some(Self { log_step: shape.log_cosets, ..*cut });
            }
            let columns = (cut.columns / 2).next_multiple_of(BLOCK);
            (columns < cut.columns && columns >= least).then_some(Self { columns, ..*cut })
        };
        let mut finest = Self::whole(shape);
        for cut in successors(Some(finest), finer) {
            finest = cut;
            if enough(&cut) {
                break;
            }
        }
        finest
    }

    /// Words of its largest part.
    pub const fn words(&self) -> usize {
        self.columns << (self.shape.log_rows() - self.log_step)
    }

    /// Words that are kept between the passes over a part.
    pub const fn words_between(&self) -> usize {
        if self.shape.log_message > MAX_LOG_RADIX { self.words() } else { 0 }
    }

    /// All parts; of each coset in the columns' order.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        let Self { shape, columns, log_step } = *self;
        let parts = move |first| {
            let starts = (0..shape.width).step_by(columns);
            starts.map(move |start| Part { columns: start..shape.width.min(start + columns), first, log_step })
        };
        (0..1 << log_step).flat_map(parts)
    }
}

/// Encodes a message, part by part.
pub struct Encoder<'a> {
    gpu: &'a Gpu,
    roots: Roots<'a>,
    message: &'a Message,
    shape: Shape,
    radices: Vec<usize>,
    between: CudaSlice<u64>,
}

impl<'a> Encoder<'a> {
    /// For the parts of a cut.
    pub fn new(gpu: &'a Gpu, tables: &'a Tables, message: &'a Message, cut: Cut) -> Self {
        let shape = cut.shape;
        let roots = tables.roots(gpu, shape.log_rows());
        let between = gpu.allocate(cut.words_between());
        Self { gpu, roots, message, shape, radices: radices(shape.log_message), between }
    }

    /// Encodes a part; `pitch` words from one of its rows to the next where they are written.
    pub fn encode(&self, part: &Part, target: Pointer, pitch: usize) {
        let Shape { log_message, width, log_cosets } = self.shape;
        let (own, log_cosets) = (part.columns.len(), log_cosets - part.log_step);
        let from = self.message.at(self.gpu).offset::<u8>(part.columns.start * self.message.bytes());
        let between = self.gpu.pointer(&self.between);
        let mut log_size = log_message;
        for (index, &log_radix) in self.radices.iter().enumerate() {
            let (first, last) = (index == 0, index + 1 == self.radices.len());
            let columns = own.min(TILE >> log_radix);
            let (source, from_pitch) = if first { (from, width) } else { (between, own) };
            let (target, to_pitch) = if last { (target, pitch) } else { (between, own) };
            let radices_before = self.radices[..index].iter().rev();
            let pass = Pass {
                width: own as u32,
                from_pitch: from_pitch as u32,
                to_pitch: to_pitch as u32,
                columns: columns as u32,
                log_message: log_message as u32,
                log_cosets: log_cosets as u32,
                first_coset: part.first as u32,
                log_size: log_size as u32,
                log_radix: log_radix as u32,
                first: first.into(),
                last: last.into(),
                radices: radices_before.fold(0, |bytes, &log_radix| bytes << 8 | log_radix as u32),
            };
            let encode = match self.message.bytes() {
                1 if first => Gpu::encode_pass_i8,
                2 if first => Gpu::encode_pass_i16,
                4 if first => Gpu::encode_pass_i32,
                _ => Gpu::encode_pass_u64,
            };
            let tiles = own.div_ceil(columns) << (log_message + log_cosets - log_radix);
            encode(self.gpu, Grid { blocks: self.gpu.blocks(tiles, 1), rows: 1 }, source, target, pass, self.roots);
            log_size -= log_radix;
        }
    }
}

/// Encodes all parts of a cut to their places in a codeword.
pub fn encode_into(gpu: &Gpu, tables: &Tables, message: &Message, cut: Cut, codeword: Pointer) {
    let (encoder, width) = (Encoder::new(gpu, tables, message, cut), cut.shape.width);
    for part in cut.parts() {
        let target = codeword.offset::<u64>(part.first * width + part.columns.start);
        encoder.encode(&part, target, width << part.log_step);
    }
}
