// Layers with a second input, `source`: what entered an earlier layer. And their gradients.
#pragma once
#include <cmath>

#include "kernels.hpp"
#include "pointwise.hpp"
#include "vector.hpp"

namespace {
using namespace stepladder;

void add(int channels, int plane, const float* in, const float* source, float* out) {
    for (ptrdiff_t i = 0; i < (ptrdiff_t)channels * plane; ++i) ((V*)out)[i] = ((const V*)in)[i] + ((const V*)source)[i];
}

void add_gradient(const JoinGradient& work, const GradientSums& g) {
    for (int c = 0; c < work.channels; ++c) {
        Sums sums(g, c, work.plane);
        const ptrdiff_t from = (ptrdiff_t)c * work.plane;
        const V* gradient = (const V*)work.gradient + from;
        V *out = (V*)work.out + from, *extra = (V*)work.extra + from;
        for (ptrdiff_t i = 0; i < work.plane; ++i) {
            const V v = gradient[i];
            extra[i] = work.first ? v : extra[i] + v;
            out[i] = sums.add(v, i);
        }
        sums.save(g, c);
    }
}

INLINE V sigmoid(V v) {
    for (int lane = 0; lane < LANES; ++lane) v[lane] = 1 / (1 + std::exp(-v[lane]));
    return v;
}

void scale(int channels, int plane, const float* in, const float* source, float* out) {
    for (int c = 0; c < channels; ++c) {
        const V share = sigmoid(((const V*)in)[c]);
        const ptrdiff_t from = (ptrdiff_t)c * plane;
        for (ptrdiff_t i = from; i < from + plane; ++i) ((V*)out)[i] = share * ((const V*)source)[i];
    }
}

void scale_gradient(const JoinGradient& work, const GradientSums& g) {
    for (int c = 0; c < work.channels; ++c) {
        Sums sums(g, c, 1);
        const V share = sigmoid(((const V*)work.in)[c]);
        const ptrdiff_t from = (ptrdiff_t)c * work.plane;
        const V *gradient = (const V*)work.gradient + from, *source = (const V*)work.source + from;
        V* extra = (V*)work.extra + from;
        V sum = {};
        for (ptrdiff_t i = 0; i < work.plane; ++i) {
            const V v = share * gradient[i];
            extra[i] = work.first ? v : extra[i] + v;
            sum += gradient[i] * source[i];
        }
        ((V*)work.out)[c] = sums.add(sum * share * (1 - share), 0);
        sums.save(g, c);
    }
}

}  // namespace
