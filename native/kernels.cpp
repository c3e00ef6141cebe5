// Compiled once for each instruction set, with LANES, REGISTERS and ISA (the name) set by the build.
#include "convolution.hpp"
#include "functions.hpp"
#include "images.hpp"
#include "joins.hpp"
#include "norms.hpp"
#include "pointwise.hpp"
#include "pooling.hpp"
#include "weight_gradient.hpp"

namespace {

// As many independent sums as hide the latency of a multiply-add on processors of the day (4 cycles, 2 at a time).
float peak(size_t rounds) {
    constexpr int chains = 12;
    V sum[chains];
    // The operands come from memory that the compiler does not see through, so that nothing is worked out beforehand.
    volatile float source = 0.5f;
    const V a = broadcast(source), b = broadcast(source);
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) sum[i] = a;
    for (size_t n = 0; n < rounds; ++n) {
#pragma GCC unroll 12
        for (int i = 0; i < chains; ++i) multiply_add(sum[i], a, b);
    }
    V all = {};
#pragma GCC unroll 12
    for (int i = 0; i < chains; ++i) all += sum[i];
    return all[0];
}

}  // namespace

#define TEXT_OF(name) #name
#define TEXT(name) TEXT_OF(name)
#define JOIN_OF(a, b) a##b
#define JOIN(a, b) JOIN_OF(a, b)
#define TABLE JOIN(kernels_, ISA)

namespace stepladder {
extern const Kernels TABLE;
const Kernels TABLE = {
    TEXT(ISA),
    LANES,
    most_channels,
    most_gradient_channels,
    convolve,
    weight_gradient,
    activate,
    statistics,
    differentiate,
    pool,
    pool_gradient,
    average,
    average_gradient,
    {add, add_gradient},
    {multiply, multiply_gradient},
    {scale, scale_gradient},
    {concatenate, concatenate_gradient},
    {branch, branch_gradient},
    function,
    function_gradient,
    group_norm,
    group_norm_gradient,
    flush,
    add_lanes,
    to_tile,
    from_tile,
    image,
    peak,
};
}  // namespace stepladder
