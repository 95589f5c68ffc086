//! Tensor cores: what a lane holds, products of bytes with and without signs, and sums beyond 32 bits.

use crate::cuda::emulator::device_under_test;
use crate::cuda::gpu::Gpu;
use crate::cuda::launch::{Grid, Product, THREADS};

const LANES: usize = 32;
const SIGNS: [[bool; 2]; 4] = [[false, false], [false, true], [true, false], [true, true]];
/// What is in the sums of each lane before.
const BEFORE: [i32; 4] = [1, 2, 3, 4];

/// What a warp holds of a 16 x 32 matrix and of a 32 x 8 one: words of lanes.
type Held = ([[u32; 4]; LANES], [[u32; 2]; LANES]);

/// Its sums then, for each pair of signs.
fn multiply(gpu: &Gpu, held: &[Held]) -> Vec<[[[i32; 4]; 4]; LANES]> {
    let (a, b): (Vec<_>, Vec<_>) = held.iter().copied().unzip();
    let [a, b] = [gpu.upload(a.as_flattened().as_flattened()), gpu.upload(b.as_flattened().as_flattened())];
    let out = gpu.allocate::<i32>(held.len() * LANES * 16);
    let grid = Grid { blocks: (held.len() * LANES).div_ceil(THREADS as usize) as u32, rows: 1 };
    gpu.mma_ops(grid, gpu.pointer(&a), gpu.pointer(&b), held.len() as u64, gpu.pointer(&out));
    let sums = gpu.download(&out, held.len() * LANES * 16);
    let lane = |lane: usize| std::array::from_fn(|signs| std::array::from_fn(|i| sums[16 * lane + 4 * signs + i]));
    (0..held.len()).map(|case| std::array::from_fn(|i| lane(LANES * case + i))).collect()
}

struct Random(u64);

impl Random {
    /// One in four is where signs matter.
    fn byte(&mut self) -> u8 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let [.., kind, edge, byte] = self.0.to_be_bytes().map(|byte| byte ^ (self.0 >> 61) as u8);
        if kind % 4 == 0 { [0, 0x7f, 0x80, 0xff][edge as usize / 64] } else { byte }
    }

    fn matrix<const COLUMNS: usize>(&mut self, rows: usize) -> Vec<[u8; COLUMNS]> {
        (0..rows).map(|_| std::array::from_fn(|_| self.byte())).collect()
    }
}

fn value(byte: u8, is_signed: bool) -> i32 {
    if is_signed { i32::from(byte.cast_signed()) } else { i32::from(byte) }
}

#[test]
fn words_that_are_read_as_kernels_read_them_give_the_product_of_matrices() {
    let Some(cuda) = device_under_test() else { return };
    let mut random = Random(1);
    let mut cases: Vec<_> = (0..40).map(|_| (random.matrix::<32>(16), random.matrix::<32>(8))).collect();
    cases.extend([0, 0x7f, 0x80, 0xff].map(|byte| (vec![[byte; 32]; 16], vec![[byte ^ 0x80; 32]; 8])));
    // Rows of the left matrix, columns of the right one, four bytes a word; a lane has those of its group, at its place.
    let word = |line: &[u8; 32], i: usize| u32::from_le_bytes(*line.as_chunks().0.get(i).unwrap());
    let held = |(a, b): &(Vec<[u8; 32]>, Vec<[u8; 32]>)| -> Held {
        let of_a = |lane: usize| std::array::from_fn(|r| word(&a[lane / 4 + r % 2 * 8], lane % 4 + r / 2 * 4));
        let of_b = |lane: usize| std::array::from_fn(|r| word(&b[lane / 4], lane % 4 + r * 4));
        (std::array::from_fn(of_a), std::array::from_fn(of_b))
    };
    let sums = multiply(cuda.gpu(), &cases.iter().map(held).collect::<Vec<_>>());
    for ((a, b), sums) in cases.iter().zip(sums) {
        for (lane, signs, i) in
            (0..LANES).flat_map(|lane| (0..4).flat_map(move |signs| (0..4).map(move |i| (lane, signs, i))))
        {
            let (row, column) = (lane / 4 + i / 2 * 8, lane % 4 * 2 + i % 2);
            let [a_signed, b_signed] = SIGNS[signs];
            let product = |k: usize| value(a[row][k], a_signed) * value(b[column][k], b_signed);
            assert_eq!(sums[lane][signs][i], BEFORE[i] + (0..32).map(product).sum::<i32>(), "{row} {column} {signs}");
        }
    }
}

/// Row and column of element `i` of those that a lane holds of the left matrix, as the PTX ISA has it for m16n8k32 and integers of 8 bits.
fn of_left(lane: usize, i: usize) -> (usize, usize) {
    let (group, thread_in_group) = (lane >> 2, lane % 4);
    let row = if i < 4 || (8..12).contains(&i) { group } else { group + 8 };
    let column = if i < 8 { thread_in_group * 4 + (i & 3) } else { thread_in_group * 4 + (i & 3) + 16 };
    (row, column)
}

/// The same of the right matrix.
fn of_right(lane: usize, i: usize) -> (usize, usize) {
    let (group, thread_in_group) = (lane >> 2, lane % 4);
    (if i < 4 { thread_in_group * 4 + (i & 3) } else { thread_in_group * 4 + (i & 3) + 16 }, group)
}

/// The same of the sums.
fn of_sums(lane: usize, i: usize) -> (usize, usize) {
    let (group, thread_in_group) = (lane >> 2, lane % 4);
    (if i < 2 { group } else { group + 8 }, thread_in_group * 2 + (i & 1))
}

#[test]
fn every_element_is_where_the_instruction_set_has_it() {
    let Some(cuda) = device_under_test() else { return };
    // One element of the left matrix is 1: a row of the right one is where it belongs, and all else is zero.
    let ones: Vec<(usize, usize)> = (0..LANES).flat_map(|lane| (0..16).map(move |i| (lane, i))).collect();
    let (rows, mut random) = ({ Random(2).matrix::<8>(32) }, Random(3));
    let bytes = |lane: usize, r: usize| std::array::from_fn(|byte| of_right(lane, 4 * r + byte));
    let word = |places: [(usize, usize); 4]| u32::from_le_bytes(places.map(|(row, column)| rows[row][column]));
    let right: [[u32; 2]; LANES] = std::array::from_fn(|lane| std::array::from_fn(|r| word(bytes(lane, r))));
    let held: Vec<Held> = ones
        .iter()
        .map(|&(lane, i)| {
            let mut left = [[0; 4]; LANES];
            left[lane][i / 4] = 1 << (8 * (i % 4));
            (left, right)
        })
        .collect();
    for (&(lane, i), sums) in ones.iter().zip(multiply(cuda.gpu(), &held)) {
        let (row, k) = of_left(lane, i);
        for (lane, i) in (0..LANES).flat_map(|lane| (0..4).map(move |i| (lane, i))) {
            let (at, column) = of_sums(lane, i);
            let [unsigned, signed] =
                [false, true].map(|is_signed| value(rows[k][column], is_signed) * i32::from(at == row));
            let expected = [unsigned, signed, unsigned, signed].map(|sum| BEFORE[i] + sum);
            assert_eq!(sums[lane].map(|sums| sums[i]), expected, "{row} {k}");
        }
    }
    // One element of the right matrix is 1: the same with a column of the left one.
    let columns = random.matrix::<32>(16);
    let bytes = |lane: usize, r: usize| std::array::from_fn(|byte| of_left(lane, 4 * r + byte));
    let word = |places: [(usize, usize); 4]| u32::from_le_bytes(places.map(|(row, column)| columns[row][column]));
    let left: [[u32; 4]; LANES] = std::array::from_fn(|lane| std::array::from_fn(|r| word(bytes(lane, r))));
    let ones: Vec<(usize, usize)> = (0..LANES).flat_map(|lane| (0..8).map(move |i| (lane, i))).collect();
    let held: Vec<Held> = ones
        .iter()
        .map(|&(lane, i)| {
            let mut right = [[0; 2]; LANES];
            right[lane][i / 4] = 1 << (8 * (i % 4));
            (left, right)
        })
        .collect();
    for (&(lane, i), sums) in ones.iter().zip(multiply(cuda.gpu(), &held)) {
        let (k, column) = of_right(lane, i);
        for (lane, i) in (0..LANES).flat_map(|lane| (0..4).map(move |i| (lane, i))) {
            let (row, at) = of_sums(lane, i);
            let [unsigned, signed] =
                [false, true].map(|is_signed| value(columns[row][k], is_signed) * i32::from(at == column));
            let expected = [unsigned, unsigned, signed, signed].map(|sum| BEFORE[i] + sum);
            assert_eq!(sums[lane].map(|sums| sums[i]), expected, "{k} {column}");
        }
    }
}

#[test]
fn sums_of_32_bits_are_taken_away_before_they_overflow() {
    let Some(cuda) = device_under_test() else { return };
    let gpu = cuda.gpu();
    // Limbs 255 and -128, and 255 and 127: in this many summands each weight's sum passes 2^31, up or down, unless it is taken away.
    let (lines, summed): ([i16; 2], usize) = ([-32_513, 32_767], (1 << 15) + 300);
    let values: Vec<i16> = lines.iter().flat_map(|&line| vec![line; summed]).collect();
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    // The batch, then rows of left and out, columns of right and out, summands.
    let rows = [0, summed as u64, 0, 2, 0, summed as u64, 0, 1];
    let inner = (0..2).flat_map(|_| 0..summed as u64);
    let places: Vec<u64> = [0; 3].into_iter().chain(rows).chain(inner).collect();
    let (values, places, out) = (gpu.upload(&bytes), gpu.upload(&places), gpu.upload(&[7u64; 4]));
    let [left, right] = [gpu.pointer(&values); 2];
    let (batches, rows, columns, summed) = (1, 2, 2, summed as u64);
    let span = summed.next_multiple_of(64);
    let (left_bytes, right_bytes, coefficient) = (2, 2, -3i64 as u64);
    let product = Product { left, right, left_bytes, right_bytes, batches, rows, columns, summed, span, coefficient };
    gpu.tensor_2x2(Grid { blocks: 1, rows: 1 }, product, 0, 0, gpu.pointer(&places), gpu.pointer(&out));
    let [a, b] = lines.map(i64::from);
    let expected = [a * a, a * b, b * a, b * b].map(|product| (7 - 3 * product * summed as i64) as u64);
    assert_eq!(gpu.download(&out, 4), expected);
}
