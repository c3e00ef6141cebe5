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
    .name = TEXT(ISA),
    .lanes = LANES,
    .block = most_channels,
    .gradient_block = most_gradient_channels,
    .convolve = convolve,
    .weight_gradient = weight_gradient,
    .activate = activate,
    .statistics = statistics,
    .differentiate = differentiate,
    .pool = pool,
    .pool_gradient = pool_gradient,
    .average = average,
    .average_gradient = average_gradient,
    .add = {.unite = add, .gradient = add_gradient},
    .multiply = {.unite = multiply, .gradient = multiply_gradient},
    .scale = {.unite = scale, .gradient = scale_gradient},
    .concatenate = {.unite = concatenate, .gradient = concatenate_gradient},
    .branch = {.unite = branch, .gradient = branch_gradient},
    .function = function,
    .function_gradient = function_gradient,
    .group_norm = group_norm,
    .group_norm_gradient = group_norm_gradient,
    .flush = flush,
    .add_lanes = add_lanes,
    .to_tile = to_tile,
    .from_tile = from_tile,
    .image = image,
    .peak = peak,
};
}  // namespace stepladder
