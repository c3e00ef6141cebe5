// What happens between convolutions: norm, activation and dropout in one pass, and their gradients.
#pragma once
#include "kernels.hpp"
#include "vector.hpp"

namespace {
using namespace stepladder;

// 32 well-mixed bits of each lane (C. Wellons, https://nullprogram.com/blog/2018/07/31/).
INLINE U lowbias32(U x) {
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ (x >> 16);
}

// How far ahead of its place a pass over rows asks for memory: what the next block of rows needs of the same channel or,
// after the last block, what the next tile does (or the next channel, where channels are gone through one by one). By then other
// work has gone through the nearest cache, but not the second.
INLINE ptrdiff_t ahead(const Rows& rows) {
    if (rows.to < rows.height) return (ptrdiff_t)(rows.to - rows.from) * rows.width;
    return ((ptrdiff_t)(rows.channels - rows.first) * rows.height - rows.from) * rows.width;
}

INLINE void fetch(const V* place) { __builtin_prefetch(place, 0, 2); }

constexpr uint32_t golden = 0x9e3779b9u;  // 2^32 / golden ratio: successive counters differ in many bits

template <bool with_relu, bool with_dropout>
void activate_rows(const Rows& rows, const Activation& how, const float* x, float* out) {
    const ptrdiff_t plane = (ptrdiff_t)rows.height * rows.width;
    const ptrdiff_t from = (ptrdiff_t)rows.from * rows.width, to = (ptrdiff_t)rows.to * rows.width;
    const ptrdiff_t later = ahead(rows);
    const I threshold = I{} + (int32_t)how.threshold;
    U keys = {};
    if (with_dropout)
        for (int lane = 0; lane < LANES; ++lane) keys[lane] = how.keys[lane];
    for (int c = rows.first; c < rows.channels; ++c) {
        const V scale = broadcast(how.scale[c]), shift = broadcast(how.shift[c]);
        const V* in = (const V*)x + c * plane;
        V* to_out = (V*)out + c * plane;
        const auto value = [&](ptrdiff_t i) INLINE_LAMBDA {
            fetch(in + i + later);
            const V v = in[i] * scale + shift;
            return with_relu ? relu(v) : v;
        };
        if constexpr (!with_dropout) {
            for (ptrdiff_t i = from; i < to; ++i) to_out[i] = value(i);
        } else {
            // A draw is a function of run, image and element alone: no order of work can change it. Neighbouring
            // elements, an even and the following odd one, take 16 bits each of one draw.
            const ptrdiff_t first = c * plane + from;
            U counter = keys + (uint32_t)(first >> 1) * golden;
            const auto drop = [&](U draw, ptrdiff_t i) INLINE_LAMBDA {
                const I kept = (I)draw >= threshold;
                // Kept zeros are +0: what -0 marks was dropped.
                to_out[i] = with_relu ? keep(kept, value(i)) : kept ? value(i) + V{} : -V{};
            };
            ptrdiff_t i = from;
            if (first & 1 && i < to) {
                drop(lowbias32(counter) >> 16, i++);
                counter += golden;
            }
            for (; i + 1 < to; i += 2, counter += golden) {
                const U draw = lowbias32(counter);
                drop(draw & 0xffff, i);
                drop(draw >> 16, i + 1);
            }
            if (i < to) drop(lowbias32(counter) & 0xffff, i);
        }
    }
}

// The same with one draw a channel: two neighbours, an even and the following odd one, share 32 bits.
void activate_channels(const Rows& rows, const Activation& how, const float* x, float* out) {
    const ptrdiff_t plane = (ptrdiff_t)rows.height * rows.width;
    const ptrdiff_t from = (ptrdiff_t)rows.from * rows.width, to = (ptrdiff_t)rows.to * rows.width;
    const I threshold = I{} + (int32_t)how.threshold;
    U keys = {};
    for (int lane = 0; lane < LANES; ++lane) keys[lane] = how.keys[lane];
    for (int c = rows.first; c < rows.channels; ++c) {
        const V scale = broadcast(how.scale[c]), shift = broadcast(how.shift[c]);
        const V* in = (const V*)x + c * plane;
        V* to_out = (V*)out + c * plane;
        const U draw = lowbias32(keys + (uint32_t)(c >> 1) * golden);
        const I kept = (I)(c & 1 ? draw >> 16 : draw & 0xffff) >= threshold;
        for (ptrdiff_t i = from; i < to; ++i) {
            const V v = in[i] * scale + shift;
            to_out[i] = how.relu ? keep(kept, relu(v)) : kept ? v + V{} : -V{};
        }
    }
}

void activate(const Rows& rows, const Activation& how, const float* x, float* out) {
    if (how.channels && how.threshold)
        activate_channels(rows, how, x, out);
    else if (how.relu)
        (how.threshold ? activate_rows<true, true> : activate_rows<true, false>)(rows, how, x, out);
    else
        (how.threshold ? activate_rows<false, true> : activate_rows<false, false>)(rows, how, x, out);
}

void differentiate(const Rows& rows, const float* a, const float* b, const float* c, const float* gradient, const float* x,
                   float* out, ptrdiff_t out_plane, int images) {
    const ptrdiff_t plane = (ptrdiff_t)rows.height * rows.width;
    const ptrdiff_t from = (ptrdiff_t)rows.from * rows.width, end = (ptrdiff_t)rows.to * rows.width;
    const ptrdiff_t later = ahead(rows);
    I present = {};
    for (int lane = 0; lane < images; ++lane) present[lane] = -1;
    for (int k = rows.first; k < rows.channels; ++k) {
        const V va = broadcast(a[k]), vb = broadcast(b[k]), vc = broadcast(c[k]);
        const V *g = (const V*)gradient + k * plane, *in = (const V*)x + k * plane;
        V* to = (V*)out + k * out_plane;
        for (ptrdiff_t i = from; i < end; ++i) {
            fetch(g + i + later);
            fetch(in + i + later);
            to[i] = keep(present, va * g[i] + (vb * in[i] + vc));
        }
    }
}

void statistics(const Rows& rows, const float* x, float* sum, float* square) {
    const ptrdiff_t plane = (ptrdiff_t)rows.height * rows.width;
    for (int c = rows.first; c < rows.channels; ++c) {
        V total = ((V*)sum)[c], squares = ((V*)square)[c];
        for (ptrdiff_t i = c * plane + (ptrdiff_t)rows.from * rows.width; i < c * plane + (ptrdiff_t)rows.to * rows.width; ++i) {
            const V v = ((const V*)x)[i];
            total += v;
            squares += v * v;
        }
        ((V*)sum)[c] = total;
        ((V*)square)[c] = squares;
    }
}

// The sums of one channel's gradients, kept in registers over its plane.
struct Sums {
    V sum, product, mean, scale;
    const V *x, *activation, *extra;
    bool marked;

    Sums() = default;
    Sums(const GradientSums& g, int channel, ptrdiff_t plane)
        : sum(((V*)g.sum)[channel]),
          product(((V*)g.product)[channel]),
          mean(broadcast(g.x ? g.mean[channel] : 0)),
          scale(broadcast(g.scale)),
          x(g.x ? (const V*)g.x + channel * plane : nullptr),
          activation(g.activation ? (const V*)g.activation + channel * plane : nullptr),
          extra(g.extra ? (const V*)g.extra + channel * plane : nullptr),
          marked(g.marked) {}

    // The gradient to store at a place of the plane.
    INLINE V add(V gradient, ptrdiff_t at) {
        if (extra) gradient += extra[at];
        V v = gradient * scale;
        if (activation) v = keep(stands(marked, activation[at]), v);
        sum += v;
        if (x) product += v * (x[at] - mean);
        return v;
    }

    void save(const GradientSums& g, int channel) const {
        ((V*)g.sum)[channel] = sum;
        ((V*)g.product)[channel] = product;
    }
};

void flush(int channels, int images, float* first, float* second, double* sums) {
    for (int c = 0; c < channels; ++c) {
        sums[2 * c] += total(((V*)first)[c], images);
        sums[2 * c + 1] += total(((V*)second)[c], images);
        ((V*)first)[c] = ((V*)second)[c] = V{};
    }
}

// The sums of n vectors' lanes, neighbours first: after log2(LANES) rounds over LANES vectors, one sum a lane.
template <int n>
INLINE V add_neighbours(const V* v) {
    if constexpr (n == 1) {
        return v[0];
    } else {
        const V a = add_neighbours<n / 2>(v), b = add_neighbours<n / 2>(v + n / 2);
        return even(a, b) + odd(a, b);
    }
}

void add_lanes(size_t count, const float* in, float* out) {
    const V* v = (const V*)in;
    size_t i = 0;
    for (; i + LANES <= count; i += LANES) {
        const V sums = add_neighbours<LANES>(v + i);
        __builtin_memcpy(out + i, &sums, sizeof sums);
    }
    if (i == count) return;
    V rest[LANES] = {};
    for (size_t k = i; k < count; ++k) rest[k - i] = v[k];
    const V sums = add_neighbours<LANES>(rest);
    for (size_t k = i; k < count; ++k) out[k] = sums[k - i];
}

}  // namespace
