// Indices of tensors.
#pragma once
#include "extension.cuh"

// Division of 32-bit numbers is several times as fast, and almost all are.
DEVICE u64 divide(u64 a, u64 b) { return (a | b) >> 32 ? a / b : (u32)a / (u32)b; }

// One digit of an index in mixed radix, and what it weighs in another tensor.
struct Digit {
    u64 divisor, length, stride;
};

// Where an index of one tensor lies in another.
DEVICE u64 project(const Digit* digits, u64 count, u64 index) {
    u64 place = 0;
    for (u64 d = 0; d < count; d++) {
        u64 quotient = divide(index, digits[d].divisor);
        place += (quotient - divide(quotient, digits[d].length) * digits[d].length) * digits[d].stride;
    }
    return place;
}
