//! See `encode.cu` and `hash.cu`.

use super::gpu::Gpu;
use super::launch::{Grid, Pass, Pointer, Roots};
use super::vectors::{Tree, words};
use crate::device::{MultiProof, Opened};
use crate::error::DeviceError;
use cudarc::driver::CudaSlice;
use p3_field::{PrimeCharacteristicRing, TwoAdicField};
use p3_merkle_tree::PrunedMerklePaths;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use verifier::field::F;
use verifier::transcript::Digest;

/// Words of shared memory that a tile takes.
const TILE: usize = 4096;
/// Logarithm of a pass's points: three steps of eight points, on 64 bytes of each row.
const MAX_LOG_RADIX: usize = 9;
/// Words of a row that is hashed as one chunk.
const MAX_WIDTH: usize = 128;
/// Words of a digest.
const DIGEST_WORDS: usize = 4;

/// Powers of roots of unity, by the logarithm of the order: low ones, then every `2^split`-th.
#[derive(Debug, Default)]
pub struct Tables(Mutex<HashMap<usize, [CudaSlice<u64>; 2]>>);

impl Tables {
    /// The tables of this order, made on first use.
    pub fn roots(&self, gpu: &Gpu, log_order: usize) -> Roots {
        let split = log_order.div_ceil(2);
        let mut tables = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let [low, high] = tables.entry(log_order).or_insert_with(|| {
            let generator = F::two_adic_generator(log_order);
            let powers = |base: F, count| gpu.upload(words(&base.powers().collect_n(count)));
            [powers(generator, 1 << split), powers(generator.exp_power_of_2(split), 1 << (log_order - split))]
        });
        // Tables are never dropped before the device: what is queued may go on using them.
        Roots { low: gpu.pointer(low), high: gpu.pointer(high), log_order: log_order as u32, split: split as u32 }
    }
}

/// Logarithms of the radices of a transform's passes: as few as fit, of nearly one size.
fn radices(log_message: usize) -> Vec<usize> {
    let passes = log_message.div_ceil(MAX_LOG_RADIX).max(1);
    (0..passes).map(|pass| (log_message + pass) / passes).collect()
}

/// Evaluates columns of `2^log_message` coefficients, of so many bytes each, on the subgroup `2^log_cosets` times as large; rows have
/// `width` words.
pub fn encode_into(
    gpu: &Gpu,
    tables: &Tables,
    (message, bytes): (Pointer, usize),
    codeword: Pointer,
    log_message: usize,
    width: usize,
    log_cosets: usize,
) {
    let roots = tables.roots(gpu, log_message + log_cosets);
    let radices = radices(log_message);
    let between = (radices.len() > 1).then(|| gpu.allocate::<u64>(width << (log_message + log_cosets)));
    let mut log_size = log_message;
    for (index, &log_radix) in radices.iter().enumerate() {
        let (first, last) = (index == 0, index + 1 == radices.len());
        let columns = width.min(TILE >> log_radix);
        let pass = Pass {
            width: width as u32,
            columns: columns as u32,
            log_message: log_message as u32,
            log_cosets: log_cosets as u32,
            log_size: log_size as u32,
            log_radix: log_radix as u32,
            first: first.into(),
            last: last.into(),
            radices: radices[..index].iter().rev().fold(0, |bytes, &log_radix| bytes << 8 | log_radix as u32),
        };
        let work = between.as_ref().map(|memory| gpu.pointer(memory));
        let source = work.filter(|_| !first).unwrap_or(message);
        let target = work.filter(|_| !last).unwrap_or(codeword);
        let tiles = width.div_ceil(columns) << (log_message + log_cosets - log_radix);
        let encode = match bytes {
            1 if first => Gpu::encode_pass_i8,
            2 if first => Gpu::encode_pass_i16,
            4 if first => Gpu::encode_pass_i32,
            _ => Gpu::encode_pass_u64,
        };
        encode(gpu, Grid { blocks: gpu.blocks(tiles, 1), rows: 1 }, source, target, pass, roots);
        log_size -= log_radix;
    }
}

/// Encodes a message of rows of `width` words and hashes the rows of its codeword.
pub fn commit(
    gpu: &Gpu,
    tables: &Tables,
    message: (Pointer, usize),
    log_message: usize,
    width: usize,
    log_cosets: usize,
) -> (Digest, Tree) {
    if width > MAX_WIDTH {
        DeviceError::Limit(format!("{}: rows of {width} words are hashed, at most {MAX_WIDTH} can be", gpu.name()))
            .give_up();
    }
    let log_rows = log_message + log_cosets;
    let codeword = gpu.allocate::<u64>(width << log_rows);
    encode_into(gpu, tables, message, gpu.pointer(&codeword), log_message, width, log_cosets);
    let digests = gpu.allocate::<u64>(DIGEST_WORDS << (log_rows + 1));
    let hash_blocks = |items| Grid { blocks: gpu.blocks(items, 128), rows: 1 };
    let mut level = gpu.pointer(&digests);
    gpu.hash_rows(hash_blocks(1 << log_rows), gpu.pointer(&codeword), 1 << log_rows, width as u32, level);
    for log_parents in (0..log_rows).rev() {
        let above = level.offset::<u64>(DIGEST_WORDS << (log_parents + 1));
        gpu.hash_pairs(hash_blocks(1 << log_parents), level, 1 << log_parents, above);
        level = above;
    }
    let tree = Tree { codeword, width, log_rows, digests };
    let root = rows_at(gpu, &tree.digests, DIGEST_WORDS, &[level_start(log_rows, log_rows) as u64]);
    (digest(&root), tree)
}

/// Where a level's digests begin, the leaves' being level 0.
const fn level_start(log_rows: usize, level: usize) -> usize {
    (2 << log_rows) - (2 << (log_rows - level))
}

/// Copies some rows of a matrix on the device.
fn rows_at(gpu: &Gpu, matrix: &CudaSlice<u64>, width: usize, rows: &[u64]) -> Vec<u64> {
    let (indices, out) = (gpu.upload(rows), gpu.allocate::<u64>(rows.len() * width));
    let grid = gpu.grid(rows.len() * width);
    gpu.gather(grid, gpu.pointer(matrix), width as u32, gpu.pointer(&indices), rows.len() as u64, gpu.pointer(&out));
    gpu.download(&out, rows.len() * width)
}

fn digest(words: &[u64]) -> Digest {
    let mut digest = Digest::default();
    digest
        .chunks_exact_mut(size_of::<u64>())
        .zip(words)
        .for_each(|(bytes, word)| bytes.copy_from_slice(&word.to_le_bytes()));
    digest
}

/// Opens rows of a codeword.
pub fn open(gpu: &Gpu, tree: &Tree, leaves: &[usize]) -> Opened {
    let indices: Vec<u64> = leaves.iter().map(|&leaf| leaf as u64).collect();
    let rows = rows_at(gpu, &tree.codeword, tree.width, &indices);
    let rows = rows.chunks_exact(tree.width).map(|row| row.iter().map(|&word| F::from_u64(word)).collect()).collect();
    let siblings: Vec<u64> = siblings(tree.log_rows, leaves).map(|place| place as u64).collect();
    let digests = rows_at(gpu, &tree.digests, DIGEST_WORDS, &siblings);
    let sibling_hashes = digests.chunks_exact(DIGEST_WORDS).map(digest).collect();
    let proof: MultiProof = PrunedMerklePaths { sibling_hashes };
    Opened { rows, proof }
}

/// Places of the digests that tie leaves to the root: level by level, in order, those beside a known digest that are not known.
fn siblings(log_rows: usize, leaves: &[usize]) -> impl Iterator<Item = usize> {
    let mut known: BTreeSet<usize> = leaves.iter().copied().collect();
    (0..log_rows).flat_map(move |level| {
        let missing: Vec<usize> =
            known.iter().map(|&node| node ^ 1).filter(|sibling| !known.contains(sibling)).collect();
        known = known.iter().map(|&node| node / 2).collect();
        missing.into_iter().map(move |node| level_start(log_rows, level) + node)
    })
}
