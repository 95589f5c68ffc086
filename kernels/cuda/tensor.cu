// Integer contractions on tensor cores, modulo 2^64, of integers kept in a byte or two: the products of matrices of `matrices.cuh`.
//
// A tensor core multiplies bytes, signed or not, and adds to sums of 32 bits. An integer of two bytes is two limbs, a low one that is not
// signed and a high one that is; an integer of one byte is a limb that is signed. Limb i of a row times limb j of a column weighs
// 2^(8 (i + j)): products of the same weight share a sum, so two bytes by two take four products of bytes and three sums.
//
// A block computes a tile with four warps, a quarter each. It has 64 summands at a time in shared memory, in a plane of bytes for each
// limb. What it reads are squares: four lines by four summands, in runs of four neighbours, along whichever of the two they are
// neighbours in memory; squares of runs across lines are transposed. Runs that lie in memory as they are take one load each.
#include "matrices.cuh"

const u32 TILE_THREADS = 128;
const u32 LANES = 32;          // of a warp
const u32 PART = SIDE / 2;     // rows and columns of a warp
const u32 DEPTH = 64;          // summands in shared memory
const u32 WORDS = DEPTH / 4;   // words of a line's bytes
const u32 SQUARES = SIDE / 4;  // along a side of the tile
// Words from a line to the next: the eight lines by four words that a warp reads at once are in as many banks.
const u32 PITCH = WORDS + 4;
// Summands after which the sums of 32 bits are added to the result. Each adds at most 255 * 255 to the sum of the lowest weight, where both
// limbs may be low ones; to the middle one, of a low and a high limb, two products of at most 255 * 128, together 65280; and less to the
// others: below 2^16 in magnitude, so 2^15 of them add up to less than 2^31.
const u32 MOST = 1 << 15;

// How runs lie: of four lines at a summand, or else of four summands on a line; and whether each is one word in memory, aligned. Then
// neither lines nor sums end within one.
const u32 ACROSS = 1, WHOLE = 2;
const u64 NOWHERE = ~0ull;

// Four integers, the first lowest; zero in the place of one that is nowhere.
template <u32 BYTES>
DEVICE u64 run_of(const u8* values, u64 base, const u64 (&places)[4], bool whole) {
    if (whole) {
        if (places[0] == NOWHERE) return 0;
        const u8* at = values + BYTES * (base + places[0]);
        return BYTES == 1 ? *(const u32*)at : *(const u64*)at;
    }
    u64 run = 0;
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        if (places[i] == NOWHERE) continue;
        const u8* at = values + BYTES * (base + places[i]);
        run |= (u64)(BYTES == 1 ? *at : *(const unsigned short*)at) << (8 * BYTES * i);
    }
    return run;
}

// Byte i of word j becomes byte j of word i.
DEVICE void transpose(u32 (&words)[4]) {
    u32 a = __byte_perm(words[0], words[1], 0x5140), b = __byte_perm(words[2], words[3], 0x5140);
    u32 c = __byte_perm(words[0], words[1], 0x7362), d = __byte_perm(words[2], words[3], 0x7362);
    words[0] = __byte_perm(a, b, 0x5410), words[1] = __byte_perm(a, b, 0x7632);
    words[2] = __byte_perm(c, d, 0x5410), words[3] = __byte_perm(c, d, 0x7632);
}

// What a thread reads of a tile's lines: squares of four runs.
template <u32 BYTES>
struct Squares {
    static constexpr u32 EACH = SQUARES * WORDS / TILE_THREADS;
    u64 runs[EACH][4];

    // The first line and the first summand of a square, in fours. Neighbours read neighbours, and write to banks of which none is
    // another's, or at most one other's.
    static DEVICE void place(u32 number, bool across, u32& y, u32& x) {
        u32 t = threadIdx.x + number * TILE_THREADS;
        y = across ? t / (4 * WORDS) * 4 + t % 4 : t / WORDS, x = across ? t / 4 % WORDS : t % WORDS;
    }

    // Reads DEPTH summands from `from` on: zeros from `end` on, and where there is no line.
    DEVICE void read(const Lines& lines, u32 form, u32 from, u32 end) {
        bool across = form & ACROSS, whole = form & WHOLE;
        const u64 *along = across ? lines.outer : lines.inner, *apart = across ? lines.inner : lines.outer;
        u32 first_end = across ? lines.count : end, other_end = across ? end : lines.count;
#pragma unroll
        for (u32 number = 0; number < EACH; number++) {
            u32 y, x;
            place(number, across, y, x);
            u32 line = 4 * y, summand = from + 4 * x, first = across ? line : summand, other = across ? summand : line;
            u64 places[4];
#pragma unroll
            for (u32 i = 0; i < 4; i++) places[i] = first + i < first_end && (i == 0 || !whole) ? along[first + i] : NOWHERE;
#pragma unroll
            for (u32 i = 0; i < 4; i++)
                runs[number][i] = other + i < other_end ? run_of<BYTES>(lines.values, apart[other + i], places, whole) : 0;
        }
    }

    // Writes their limbs.
    DEVICE void write(u32 form, u32 (&planes)[BYTES][SIDE][PITCH]) const {
        bool across = form & ACROSS;
#pragma unroll
        for (u32 number = 0; number < EACH; number++) {
            u32 y, x;
            place(number, across, y, x);
#pragma unroll
            for (u32 limb = 0; limb < BYTES; limb++) {
                u32 words[4];
#pragma unroll
                for (u32 i = 0; i < 4; i++) {
                    u64 run = runs[number][i];
                    words[i] = BYTES == 1 ? ptx::lo(run) : __byte_perm(ptx::lo(run), ptx::hi(run), limb == 0 ? 0x6420 : 0x7531);
                }
                if (across) transpose(words);
#pragma unroll
                for (u32 i = 0; i < 4; i++) planes[limb][4 * y + i][x] = words[i];
            }
        }
    }
};

// The sums of a warp's part of a tile, by weight: those of 16 rows and 8 columns are one instruction's.
const u32 ROWS = PART / 16, COLUMNS = PART / 8;
template <u32 WEIGHTS>
using Sums = i32[WEIGHTS][ROWS][COLUMNS][4];

// Adds the products of 32 summands, whose words begin at `word`.
template <u32 LEFT, u32 RIGHT>
DEVICE void add_products(const u32 (&left)[LEFT][SIDE][PITCH], const u32 (&right)[RIGHT][SIDE][PITCH], u32 row, u32 column, u32 word,
                         Sums<LEFT + RIGHT - 1>& sums) {
    u32 b[RIGHT][COLUMNS][2];
#pragma unroll
    for (u32 j = 0; j < RIGHT; j++)
#pragma unroll
        for (u32 n = 0; n < COLUMNS; n++)
#pragma unroll
            for (u32 r = 0; r < 2; r++) b[j][n][r] = right[j][column + 8 * n][word + 4 * r];
#pragma unroll
    for (u32 m = 0; m < ROWS; m++)
#pragma unroll
        for (u32 i = 0; i < LEFT; i++) {
            u32 a[4];
#pragma unroll
            for (u32 r = 0; r < 4; r++) a[r] = left[i][row + 16 * m + r % 2 * 8][word + r / 2 * 4];
#pragma unroll
            for (u32 j = 0; j < RIGHT; j++)
#pragma unroll
                for (u32 n = 0; n < COLUMNS; n++) ptx::mma(i + 1 == LEFT, j + 1 == RIGHT, sums[i + j][m][n], a, b[j][n]);
        }
}

// One tile of the result for each block, of a row's integers of LEFT bytes and a column's of RIGHT.
template <u32 LEFT, u32 RIGHT>
DEVICE void multiply(const Product& p, u32 left_form, u32 right_form, const u64* offsets, u64* out) {
    __shared__ u32 left[LEFT][SIDE][PITCH];
    __shared__ u32 right[RIGHT][SIDE][PITCH];
    const u32 WEIGHTS = LEFT + RIGHT - 1;
    Tile tile(p, offsets, out);
    u32 warp = threadIdx.x / LANES, group = threadIdx.x % LANES / 4, place = threadIdx.x % 4;
    u32 row = warp / 2 * PART, column = warp % 2 * PART;
    for (u64 rest = tile.summed; rest > 0;) {
        u32 end = Tile::least(rest, MOST);
        Sums<WEIGHTS> sums = {};
        Squares<LEFT> rows;
        Squares<RIGHT> columns;
        // What comes next is on its way while what is in shared memory is multiplied.
        for (u32 next = 0;; next += DEPTH) {
            if (next < end) {
                rows.read(tile.left, left_form, next, end);
                columns.read(tile.right, right_form, next, end);
            }
            if (next > 0) {
#pragma unroll 1  // unrolled, it spills registers
                for (u32 k = 0; k < DEPTH && next - DEPTH + k < end; k += 32)
                    add_products<LEFT, RIGHT>(left, right, row + group, column + group, k / 4 + place, sums);
            }
            if (next >= end) break;
            __syncthreads();
            rows.write(left_form, left);
            columns.write(right_form, right);
            __syncthreads();
        }
#pragma unroll
        for (u32 m = 0; m < ROWS; m++)
#pragma unroll
            for (u32 n = 0; n < COLUMNS; n++)
#pragma unroll
                for (u32 r = 0; r < 4; r++) {
                    u64 sum = 0;
#pragma unroll
                    for (u32 weight = 0; weight < WEIGHTS; weight++) sum += (u64)(i64)sums[weight][m][n][r] << (8 * weight);
                    tile.add(row + 16 * m + group + r / 2 * 8, column + 8 * n + 2 * place + r % 2, p.coefficient * sum);
                }
        tile.left.inner += end, tile.right.inner += end, rest -= end;
    }
}

// For so many bytes of a row's integers, and of a column's.
KERNEL(tensor_1x1, TILE_THREADS, (Product product, u32 left_form, u32 right_form, const u64* offsets, u64* out)) {
    multiply<1, 1>(product, left_form, right_form, offsets, out);
}
KERNEL(tensor_1x2, TILE_THREADS, (Product product, u32 left_form, u32 right_form, const u64* offsets, u64* out)) {
    multiply<1, 2>(product, left_form, right_form, offsets, out);
}
KERNEL(tensor_2x1, TILE_THREADS, (Product product, u32 left_form, u32 right_form, const u64* offsets, u64* out)) {
    multiply<2, 1>(product, left_form, right_form, offsets, out);
}
KERNEL(tensor_2x2, TILE_THREADS, (Product product, u32 left_form, u32 right_form, const u64* offsets, u64* out)) {
    multiply<2, 2>(product, left_form, right_form, offsets, out);
}
