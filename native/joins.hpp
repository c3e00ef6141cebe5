// Layers with a second input, `source`: what entered an earlier layer. And their gradients.
#pragma once
#include <cmath>
#include <cstring>

#include "kernels.hpp"
#include "pointwise.hpp"
#include "vector.hpp"

namespace {
using namespace stepladder;

void add(const JoinSizes& sizes, const float* in, const float* source, float* out) {
    const ptrdiff_t size = (ptrdiff_t)sizes.channels * sizes.plane;
    for (ptrdiff_t i = 0; i < size; ++i) ((V*)out)[i] = ((const V*)in)[i] + ((const V*)source)[i];
}

void add_gradient(const JoinGradient& work, const GradientSums& g) {
    for (int c = 0; c < work.sizes.channels; ++c) {
        Sums sums(g, c, work.sizes.plane);
        const ptrdiff_t from = (ptrdiff_t)c * work.sizes.plane;
        const V* gradient = (const V*)work.gradient + from;
        V *out = (V*)work.out + from, *extra = (V*)work.extra + from;
        for (ptrdiff_t i = 0; i < work.sizes.plane; ++i) {
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

// out = share of in * source, with one `in` for each channel.
template <typename Share>
INLINE void scale_channels(const JoinSizes& sizes, const float* in, const float* source, float* out, Share share_of) {
    for (int c = 0; c < sizes.channels; ++c) {
        const V share = share_of(((const V*)in)[c]);
        const ptrdiff_t from = (ptrdiff_t)c * sizes.plane;
        for (ptrdiff_t i = from; i < from + sizes.plane; ++i) ((V*)out)[i] = share * ((const V*)source)[i];
    }
}

// Its gradients; `slope` is the derivative of a share.
template <typename Share, typename Slope>
INLINE void scale_channels_gradient(const JoinGradient& work, const GradientSums& g, Share share_of, Slope slope) {
    for (int c = 0; c < work.sizes.channels; ++c) {
        Sums sums(g, c, 1);
        const V share = share_of(((const V*)work.in)[c]);
        const ptrdiff_t from = (ptrdiff_t)c * work.sizes.plane;
        const V *gradient = (const V*)work.gradient + from, *source = (const V*)work.source + from;
        V* extra = (V*)work.extra + from;
        V sum = {};
        for (ptrdiff_t i = 0; i < work.sizes.plane; ++i) {
            const V v = share * gradient[i];
            extra[i] = work.first ? v : extra[i] + v;
            sum += gradient[i] * source[i];
        }
        ((V*)work.out)[c] = sums.add(slope(sum, share), 0);
        sums.save(g, c);
    }
}

void scale(const JoinSizes& sizes, const float* in, const float* source, float* out) {
    scale_channels(sizes, in, source, out, [](V v) { return sigmoid(v); });
}

void scale_gradient(const JoinGradient& work, const GradientSums& g) {
    scale_channels_gradient(work, g, [](V v) { return sigmoid(v); }, [](V sum, V share) { return sum * share * (1 - share); });
}

void multiply(const JoinSizes& sizes, const float* in, const float* source, float* out) {
    if (sizes.in_plane != sizes.plane) return scale_channels(sizes, in, source, out, [](V v) { return v; });
    const ptrdiff_t size = (ptrdiff_t)sizes.channels * sizes.plane;
    for (ptrdiff_t i = 0; i < size; ++i) ((V*)out)[i] = ((const V*)in)[i] * ((const V*)source)[i];
}

void multiply_gradient(const JoinGradient& work, const GradientSums& g) {
    if (work.sizes.in_plane != work.sizes.plane)
        return scale_channels_gradient(work, g, [](V v) { return v; }, [](V sum, V) { return sum; });
    for (int c = 0; c < work.sizes.channels; ++c) {
        Sums sums(g, c, work.sizes.plane);
        const ptrdiff_t from = (ptrdiff_t)c * work.sizes.plane;
        const V *gradient = (const V*)work.gradient + from, *in = (const V*)work.in + from, *source = (const V*)work.source + from;
        V *out = (V*)work.out + from, *extra = (V*)work.extra + from;
        for (ptrdiff_t i = 0; i < work.sizes.plane; ++i) {
            const V v = gradient[i], to_source = v * in[i];
            extra[i] = work.first ? to_source : extra[i] + to_source;
            out[i] = sums.add(v * source[i], i);
        }
        sums.save(g, c);
    }
}

void concatenate(const JoinSizes& sizes, const float* in, const float* source, float* out) {
    const size_t first = (size_t)sizes.source_channels * sizes.plane, second = (size_t)sizes.channels * sizes.plane;
    std::memcpy(out, source, first * sizeof(V));
    std::memcpy((V*)out + first, in, second * sizeof(V));
}

// What goes to the source as it is: the gradient's first channels.
INLINE void pass_on(const JoinGradient& work) {
    const ptrdiff_t size = (ptrdiff_t)work.sizes.source_channels * work.sizes.plane;
    if (work.first) {
        std::memcpy(work.extra, work.gradient, size * sizeof(V));
    } else {
        for (ptrdiff_t i = 0; i < size; ++i) ((V*)work.extra)[i] += ((const V*)work.gradient)[i];
    }
}

void concatenate_gradient(const JoinGradient& work, const GradientSums& g) {
    pass_on(work);
    const V* gradient = (const V*)work.gradient + (ptrdiff_t)work.sizes.source_channels * work.sizes.plane;
    for (int c = 0; c < work.sizes.channels; ++c) {
        Sums sums(g, c, work.sizes.plane);
        const ptrdiff_t from = (ptrdiff_t)c * work.sizes.plane;
        for (ptrdiff_t i = 0; i < work.sizes.plane; ++i) ((V*)work.out)[from + i] = sums.add(gradient[from + i], i);
        sums.save(g, c);
    }
}

void branch(const JoinSizes& sizes, const float*, const float* source, float* out) {
    std::memcpy(out, source, (size_t)sizes.source_channels * sizes.plane * sizeof(V));
}

// Later joins alone give its input a gradient.
void branch_gradient(const JoinGradient& work, const GradientSums& g) {
    pass_on(work);
    for (int c = 0; c < work.sizes.channels; ++c) {
        Sums sums(g, c, work.sizes.in_plane);
        const ptrdiff_t from = (ptrdiff_t)c * work.sizes.in_plane;
        for (ptrdiff_t i = 0; i < work.sizes.in_plane; ++i) ((V*)work.out)[from + i] = sums.add(V{}, i);
        sums.save(g, c);
    }
}

}  // namespace
