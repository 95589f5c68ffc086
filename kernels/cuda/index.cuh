// Indices of tensors.
#pragma once
#include "extension.cuh"

// Division of 32-bit numbers is several times as fast, and almost all are.
DEVICE u64 divide(u64 a, u64 b) { return (a | b) >> 32 ? a / b : (u32)a / (u32)b; }

// One digit of an index in mixed radix, and what it weighs in another tensor.
struct Digit {
    u64 divisor, length, stride;
};

// Where an index of one tensor lies in another, and whether its other digits are zero: of all that lie there, that is the least.
struct Place {
    u64 place;
    bool is_least;
};

DEVICE Place locate(const Digit* digits, u64 count, u64 index) {
    u64 place = 0, least = 0;
    for (u64 d = 0; d < count; d++) {
        u64 quotient = divide(index, digits[d].divisor), digit = quotient - divide(quotient, digits[d].length) * digits[d].length;
        place += digit * digits[d].stride, least += digit * digits[d].divisor;
    }
    return Place{place, least == index};
}

DEVICE u64 project(const Digit* digits, u64 count, u64 index) { return locate(digits, count, index).place; }

// Where the pair lies that is folded into entry `column` of a row of a tensor with rows of length `length`, if the rows that were folded had
// length `unfolded`; and whether it lacks its odd element, in whose place is zero. An even length leaves no gaps. An odd one is longer than
// 2, so the rows that it leaves are those of `length`.
struct Pair {
    u64 place;
    bool odd_end;
};

DEVICE Pair pair_of(u64 row, u64 length, u64 column, u64 unfolded) {
    if (unfolded % 2 == 0) return Pair{2 * (row * length + column), false};
    return Pair{row * unfolded + 2 * column, 2 * column + 1 == unfolded};
}
