//! Codewords and the Merkle trees over their rows: see `hash.cu`.
//!
//! A codeword that is large beside the memory that is free is not kept: its parts are hashed as they are encoded. One that is kept goes when
//! memory runs short. Where it is not there its parts are encoded again when rows are opened, from the message.

use super::encode::{BLOCK, Cut, Encoder, Message, Shape, Tables, encode_into};
use super::evict::{Cost, Evictable, Used};
use super::gpu::Gpu;
use super::launch::Grid;
use crate::device::{MultiProof, Opened};
use crate::error::DeviceError;
use cudarc::driver::CudaSlice;
use p3_field::PrimeCharacteristicRing;
use p3_merkle_tree::PrunedMerklePaths;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use verifier::field::F;
use verifier::transcript::Digest;

/// Words of a row that is hashed as one chunk.
const MAX_WIDTH: usize = 128;
/// Words of a digest.
const DIGEST_WORDS: usize = 4;
/// Bytes of a row that memory gives at once.
const SECTOR: usize = 32;

/// The rows of a codeword, and all digests over them: those of the rows, then level by level to the root, four words each.
#[derive(Debug)]
pub struct Tree {
    message: Message,
    /// Where it was kept.
    codeword: Option<Arc<Codeword>>,
    shape: Shape,
    digests: CudaSlice<u64>,
}

/// A codeword that is there until memory runs short.
#[derive(Debug)]
struct Codeword {
    words: Mutex<Option<Arc<CudaSlice<u64>>>>,
    used: Used,
}

impl Codeword {
    /// Runs something on its place, which nobody has for long.
    fn place<R>(&self, run: impl FnOnce(&mut Option<Arc<CudaSlice<u64>>>) -> R) -> R {
        run(&mut self.words.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Evictable for Codeword {
    fn used(&self) -> &Used {
        &self.used
    }

    fn idle(&self) -> Option<(Cost, usize)> {
        let bytes = |words: &Arc<CudaSlice<u64>>| (Arc::strong_count(words) == 1).then(|| words.num_bytes());
        self.place(|place| place.as_ref().and_then(bytes)).map(|bytes| (Cost::Kernels, bytes))
    }

    fn evict(&self, _: &Gpu) -> usize {
        self.place(|place| place.take_if(|words| Arc::strong_count(words) == 1)).map_or(0, |words| words.num_bytes())
    }
}

/// What becomes of a codeword.
#[derive(Clone, Copy, Debug)]
enum Plan {
    /// It is kept; parts of it are in work at one time.
    Keep(Cut),
    /// It is hashed part by part.
    Stream(Cut),
}

impl Plan {
    fn new(gpu: &Gpu, shape: Shape, bytes: usize) -> Self {
        let (codeword, digests) = (shape.words(), DIGEST_WORDS << (shape.log_rows() + 1));
        let enough = 3 * size_of::<u64>() * codeword;
        let room = gpu.room(enough, Some(Cost::Copy)) / size_of::<u64>();
        // A quarter of the codeword, which is what the digests take after, or what hardly counts; and no column that is read in vain.
        let beside = (codeword / 4).max(room / 128);
        let keep = Cut::until(shape, BLOCK.max(SECTOR / bytes), |cut| cut.words_between() <= beside);
        // What comes after a commitment takes more than the commitment itself.
        if codeword + digests.max(keep.words_between()) <= room / 2 {
            return Self::Keep(keep);
        }
        Self::Stream(fitting(gpu, shape, digests))
    }
}

/// The coarsest cut of which a part, and what is between passes, fit what is free beside so many words, with a margin: smaller parts cost
/// next to nothing, so nothing has to go for them.
fn fitting(gpu: &Gpu, shape: Shape, beside: usize) -> Cut {
    let room = gpu.room(3 * size_of::<u64>() * shape.words(), None) / size_of::<u64>();
    let room = (room / 4 * 3).saturating_sub(beside);
    Cut::until(shape, BLOCK, |cut| cut.words() + cut.words_between() <= room)
}

/// Encodes a message and hashes the rows of its codeword.
pub fn commit(gpu: &Gpu, tables: &Tables, message: Message, shape: Shape) -> (Digest, Tree) {
    let width = shape.width;
    if width > MAX_WIDTH {
        DeviceError::Limit(format!("{}: rows of {width} words are hashed, at most {MAX_WIDTH} can be", gpu.name()))
            .give_up();
    }
    let log_rows = shape.log_rows();
    let (codeword, digests) = match Plan::new(gpu, shape, message.bytes()) {
        Plan::Keep(cut) => {
            let codeword = gpu.allocate::<u64>(shape.words());
            encode_into(gpu, tables, &message, cut, gpu.pointer(&codeword));
            let digests = gpu.allocate::<u64>(DIGEST_WORDS << (log_rows + 1));
            let (from, to, rows) = (gpu.pointer(&codeword), gpu.pointer(&digests), 1 << log_rows);
            gpu.hash_rows(hash_blocks(gpu, 1 << log_rows), from, rows, 0, width as u32, width as u32, 0, to);
            (Some(codeword), digests)
        }
        Plan::Stream(cut) => {
            let digests = gpu.allocate::<u64>(DIGEST_WORDS << (log_rows + 1));
            hash_parts(gpu, tables, &message, cut, &digests);
            (None, digests)
        }
    };
    let mut level = gpu.pointer(&digests);
    for log_parents in (0..log_rows).rev() {
        let above = level.offset::<u64>(DIGEST_WORDS << (log_parents + 1));
        gpu.hash_pairs(hash_blocks(gpu, 1 << log_parents), level, 1 << log_parents, above);
        level = above;
    }
    let root = rows_at(gpu, &digests, DIGEST_WORDS, &[level_start(log_rows, log_rows) as u64]);
    let codeword = codeword.map(|words| {
        let codeword = Arc::new(Codeword { words: Mutex::new(Some(Arc::new(words))), used: Used::default() });
        gpu.evictables.add(codeword.clone());
        codeword
    });
    (digest(&root), Tree { message, codeword, shape, digests })
}

fn hash_blocks(gpu: &Gpu, items: usize) -> Grid {
    Grid { blocks: gpu.blocks(items, 128), rows: 1 }
}

/// The digests of the rows, of which a part is there at a time; a row's place has its chaining value between two parts.
fn hash_parts(gpu: &Gpu, tables: &Tables, message: &Message, cut: Cut, digests: &CudaSlice<u64>) {
    let (encoder, part_words) = (Encoder::new(gpu, tables, message, cut), gpu.allocate::<u64>(cut.words()));
    for part in cut.parts() {
        let (start, columns, width) = (part.columns.start as u32, part.columns.len(), cut.shape.width as u32);
        encoder.encode(&part, gpu.pointer(&part_words), columns);
        let rows = 1 << (cut.shape.log_rows() - part.log_step);
        let (from, to) = (gpu.pointer(&part_words), gpu.pointer(digests).offset::<u64>(DIGEST_WORDS * part.first));
        let log_step = part.log_step as u32;
        gpu.hash_rows(hash_blocks(gpu, rows), from, rows as u64, start, columns as u32, width, log_step, to);
    }
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
pub fn open(gpu: &Gpu, tables: &Tables, tree: &Tree, leaves: &[usize]) -> Opened {
    let (width, log_rows) = (tree.shape.width, tree.shape.log_rows());
    let indices: Vec<u64> = leaves.iter().map(|&leaf| leaf as u64).collect();
    let codeword = tree.codeword.as_ref().and_then(|codeword| {
        gpu.evictables.use_now(&codeword.used);
        codeword.place(|place| place.clone())
    });
    let rows = match codeword {
        Some(codeword) => rows_at(gpu, &codeword, width, &indices),
        None => encode_rows(gpu, tables, &tree.message, tree.shape, leaves),
    };
    let rows = rows.chunks_exact(width).map(|row| row.iter().map(|&word| F::from_u64(word)).collect()).collect();
    let siblings: Vec<u64> = siblings(log_rows, leaves).map(|place| place as u64).collect();
    let digests = rows_at(gpu, &tree.digests, DIGEST_WORDS, &siblings);
    let sibling_hashes = digests.chunks_exact(DIGEST_WORDS).map(digest).collect();
    let proof: MultiProof = PrunedMerklePaths { sibling_hashes };
    Opened { rows, proof }
}

/// Some rows of a codeword that is not there.
fn encode_rows(gpu: &Gpu, tables: &Tables, message: &Message, shape: Shape, rows: &[usize]) -> Vec<u64> {
    let cut = fitting(gpu, shape, 0);
    let encoder = Encoder::new(gpu, tables, message, cut);
    let part_words = gpu.allocate::<u64>(cut.words());
    let mut all = vec![0; rows.len() * shape.width];
    for part in cut.parts() {
        let wanted = rows.iter().zip(all.chunks_exact_mut(shape.width));
        let (indices, targets): (Vec<u64>, Vec<&mut [u64]>) =
            wanted.filter_map(|(&row, all)| Some((part.row(row)? as u64, &mut all[part.columns.clone()]))).unzip();
        if indices.is_empty() {
            continue;
        }
        encoder.encode(&part, gpu.pointer(&part_words), part.columns.len());
        let found = rows_at(gpu, &part_words, part.columns.len(), &indices);
        let found = found.chunks_exact(part.columns.len());
        targets.into_iter().zip(found).for_each(|(target, words)| target.copy_from_slice(words));
    }
    all
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
