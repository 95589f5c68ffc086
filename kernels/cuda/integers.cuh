// Integers whose width is known when a kernel runs, and the same for all its threads.
#pragma once
#include "platform.cuh"

DEVICE i64 get(const void* values, u64 bytes, u64 i) {
    switch (bytes) {
        case 1: return ((const i8*)values)[i];
        case 2: return ((const i16*)values)[i];
        case 4: return ((const i32*)values)[i];
        default: return ((const i64*)values)[i];
    }
}

DEVICE void put(void* values, u64 bytes, u64 i, i64 x) {
    switch (bytes) {
        case 1: ((i8*)values)[i] = (i8)x; break;
        case 2: ((i16*)values)[i] = (i16)x; break;
        case 4: ((i32*)values)[i] = (i32)x; break;
        default: ((i64*)values)[i] = x;
    }
}
