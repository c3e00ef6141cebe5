// One SIMD register of floats, for whichever instruction set this translation unit is compiled for.
//
// LANES (floats a register) and REGISTERS (how many there are) come from the build. Everything here has internal
// linkage: the same source is compiled once for each instruction set, and the linker must not merge the copies.
#pragma once
#include <cstddef>
#include <cstdint>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define INLINE inline __attribute__((always_inline))
#define INLINE_LAMBDA __attribute__((always_inline))

namespace {

typedef float V __attribute__((vector_size(4 * LANES)));
typedef int32_t I __attribute__((vector_size(4 * LANES)));
typedef uint32_t U __attribute__((vector_size(4 * LANES)));

INLINE V broadcast(float f) {
#if LANES == 16
    return V{f, f, f, f, f, f, f, f, f, f, f, f, f, f, f, f};
#elif LANES == 8
    return V{f, f, f, f, f, f, f, f};
#else
    return V{f, f, f, f};
#endif
}

// sum += a * b. On x86 as one instruction with every operand in a register: compilers otherwise fold the load of an
// operand into each multiplication that uses it, or spill accumulators (about 10 % of a convolution's time, gcc 12).
INLINE void multiply_add(V& sum, V a, V b) {
#if defined(__AVX512F__) && LANES == 16
    asm("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b));
#elif defined(__FMA__) && LANES == 8
    asm("vfmadd231ps %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
#else
    sum += a * b;
#endif
}

// The larger of 0 and v; NaN stays NaN, so that a diverged network shows in its loss.
INLINE V relu(V v) {
    const V zero = {};
    return zero > v ? zero : v;
}

// The larger of two; of NaN and anything NaN, as in torch. (The instruction alone gives b where either is NaN.)
INLINE V larger(V a, V b) {
    const V most = a > b ? a : b;
    return a == a ? most : a;
}

// v where the lane of `mask` is all ones, 0 where it is all zeros.
INLINE V keep(I mask, V v) { return (V)((I)v & mask); }

// Where an activation was not zeroed: where it is not the -0 that marks what was dropped, or, after a ReLU, not 0.
INLINE I stands(bool marked, V activation) { return marked ? (I)activation != (I)(-V{}) : activation != V{}; }

// The elements of a, then those of b, that stand at even (odd) places.
INLINE V even(V a, V b) {
#if LANES == 16
    return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
#elif LANES == 8
    return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14);
#else
    return __builtin_shufflevector(a, b, 0, 2, 4, 6);
#endif
}

INLINE V odd(V a, V b) {
#if LANES == 16
    return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
#elif LANES == 8
    return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
#else
    return __builtin_shufflevector(a, b, 1, 3, 5, 7);
#endif
}

// Four bytes from each lane's place, the first in the lowest bits (of a little-endian machine, as all these are).
INLINE I gather(const uint8_t* from, I places) {
#if defined(__AVX512F__) && LANES == 16
    return (I)_mm512_i32gather_epi32((__m512i)places, from, 1);
#elif defined(__AVX2__) && LANES == 8
    return (I)_mm256_i32gather_epi32((const int*)from, (__m256i)places, 1);
#else
    I found;
    for (int lane = 0; lane < LANES; ++lane) {
        int32_t bytes;
        __builtin_memcpy(&bytes, from + places[lane], sizeof bytes);
        found[lane] = bytes;
    }
    return found;
#endif
}

INLINE V to_float(I i) { return __builtin_convertvector(i, V); }
INLINE I to_int(V v) { return __builtin_convertvector(v, I); }  // towards zero

INLINE double total(V v, int lanes) {
    double sum = 0;
    for (int lane = 0; lane < lanes; ++lane) sum += v[lane];
    return sum;
}

}  // namespace
