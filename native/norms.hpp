// Norms of each image for itself, over groups of its numbers (Wu and He 2018; Ba et al. 2016), and their gradients.
#pragma once
#include <cmath>

#include "kernels.hpp"
#include "pointwise.hpp"
#include "vector.hpp"

namespace {
using namespace stepladder;

// The sum of `count` values, `value(i)`, in four parts: they do not wait for one another, and long sums round less.
template <class Value>
INLINE V sum_of(ptrdiff_t count, const Value& value) {
    V part[4] = {};
    ptrdiff_t i = 0;
    for (; i + 4 <= count; i += 4)
#pragma GCC unroll 4
        for (int k = 0; k < 4; ++k) part[k] += value(i + k);
    for (; i < count; ++i) part[0] += value(i);
    return (part[0] + part[1]) + (part[2] + part[3]);
}

// The mean of `count` values, in stretches: what is added to a long sum is not small beside it.
template <class Value>
INLINE V mean_of(ptrdiff_t count, const Value& value) {
    constexpr ptrdiff_t stretch = 256;
    V sum = {};
    for (ptrdiff_t from = 0; from < count; from += stretch) {
        const ptrdiff_t length = from + stretch < count ? stretch : count - from;
        sum += sum_of(length, [&](ptrdiff_t i) INLINE_LAMBDA { return value(from + i); });
    }
    return sum * (1 / (float)count);
}

INLINE V reciprocal_root(V v) {
    for (int lane = 0; lane < LANES; ++lane) v[lane] = 1 / std::sqrt(v[lane]);
    return v;
}

// A number of a group: less the mean, times the deviation's reciprocal, scaled and shifted with its channel or alone.
void group_norm(const GroupNorm& norm, const float* in, float* out, float* moments) {
    const int channels = norm.channels / norm.groups;
    const ptrdiff_t size = (ptrdiff_t)channels * norm.plane;
    for (int group = 0; group < norm.groups; ++group) {
        const V* x = (const V*)in + group * size;
        V* y = (V*)out + group * size;
        const V mean = mean_of(size, [&](ptrdiff_t i) INLINE_LAMBDA { return x[i]; });
        const V variance = mean_of(size, [&](ptrdiff_t i) INLINE_LAMBDA { return (x[i] - mean) * (x[i] - mean); });
        const V reciprocal = reciprocal_root(variance + norm.epsilon);
        if (moments) {
            ((V*)moments)[2 * group] = mean;
            ((V*)moments)[2 * group + 1] = reciprocal;
        }
        if (norm.elementwise) {
            for (ptrdiff_t i = 0; i < size; ++i) y[i] = (x[i] - mean) * reciprocal * norm.scale[i] + norm.shift[i];
            continue;
        }
        for (int c = 0; c < channels; ++c) {
            const V gain = reciprocal * norm.scale[group * channels + c], shift = broadcast(norm.shift[group * channels + c]);
            for (ptrdiff_t i = c * (ptrdiff_t)norm.plane; i < (c + 1) * (ptrdiff_t)norm.plane; ++i)
                y[i] = (x[i] - mean) * gain + shift;
        }
    }
}

// The means over a group of the gradient of its normed numbers, and of that times the numbers.
struct GroupMeans {
    V gradient, product;
};

// Adds the gradients of scales and shifts to `sums`, and finds the means that the gradient of the input needs.
INLINE GroupMeans scale_gradients(const GroupNorm& norm, int group, const V* d, const V* x, V mean, V reciprocal, V* sums) {
    const int channels = norm.channels / norm.groups;
    const ptrdiff_t plane = norm.plane, size = channels * plane;
    V sum = {}, product = {};
    if (norm.elementwise) {
        V* shifts = sums + size;
        for (ptrdiff_t i = 0; i < size; ++i) {
            const V normed = (x[i] - mean) * reciprocal, scaled = d[i] * norm.scale[i];
            sums[i] += d[i] * normed;
            shifts[i] += d[i];
            sum += scaled;
            product += scaled * normed;
        }
    }
    for (int c = 0; c < channels && !norm.elementwise; ++c) {
        const V *dc = d + c * plane, *xc = x + c * plane;
        const int channel = group * channels + c;
        const V shift = sum_of(plane, [&](ptrdiff_t i) INLINE_LAMBDA { return dc[i]; });
        const V scale = reciprocal * sum_of(plane, [&](ptrdiff_t i) INLINE_LAMBDA { return dc[i] * (xc[i] - mean); });
        sums[channel] += scale;
        sums[norm.channels + channel] += shift;
        sum += norm.scale[channel] * shift;
        product += norm.scale[channel] * scale;
    }
    const float share = 1 / (float)size;
    return {sum * share, product * share};
}

// Gradient of the input = (g - mean of g - normed * mean of (g * normed)) / deviation, with g that of the normed number.
void group_norm_gradient(const GroupNorm& norm, const float* gradient, const float* in, const float* moments, float* out,
                         float* scale_sums, const GradientSums& g) {
    const int channels = norm.channels / norm.groups;
    const ptrdiff_t plane = norm.plane;
    for (int group = 0; group < norm.groups; ++group) {
        const ptrdiff_t first = group * channels * plane;
        const V mean = ((const V*)moments)[2 * group], reciprocal = ((const V*)moments)[2 * group + 1];
        const V *d = (const V*)gradient + first, *x = (const V*)in + first;
        const GroupMeans means = scale_gradients(norm, group, d, x, mean, reciprocal, (V*)scale_sums);
        const V slope = -reciprocal * reciprocal * means.product, constant = -reciprocal * means.gradient;
        for (int c = 0; c < channels; ++c) {
            const int channel = group * channels + c;
            Sums sums(g, channel, plane);
            V* to = (V*)out + channel * plane;
            const V *dc = d + c * plane, *xc = x + c * plane;
            const float* scales = norm.scale + (norm.elementwise ? channel * plane : channel);
            const V gain = reciprocal * scales[0];
            if (norm.elementwise)
                for (ptrdiff_t i = 0; i < plane; ++i)
                    to[i] = sums.add(reciprocal * scales[i] * dc[i] + ((xc[i] - mean) * slope + constant), i);
            else
                for (ptrdiff_t i = 0; i < plane; ++i) to[i] = sums.add(gain * dc[i] + ((xc[i] - mean) * slope + constant), i);
            sums.save(g, channel);
        }
    }
}

}  // namespace
