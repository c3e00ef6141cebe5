// The gradient of a convolution with respect to its weights.
#pragma once
#include "kernels.hpp"
#include "pointwise.hpp"
#include "vector.hpp"

namespace {
using namespace stepladder;

constexpr int most_gradient_channels = REGISTERS == 32 ? 8 : 4;

// Where `taps` successive weights of one kernel row of one input channel stand, for a block of output channels.
struct Weights {
    const V *gradient, *activation;  // planes: of the block's first output channel, of the input channel
    V* out;
    int row, column;  // of the kernel
};

// Accumulates channels x taps weights in registers over all pixels of the rows: for each pixel one load a tap, one load
// a channel, and channels * taps multiply-adds. The lanes are summed at the very end (add_lanes).
template <int channels, int taps>
void accumulate(const WeightGradient& w, const Weights& at) {
    const ptrdiff_t plane = w.gradient_plane, apart = w.window.dilation;
    const int stride = w.window.stride;
    V sum[channels][taps];
#pragma GCC unroll 8
    for (int c = 0; c < channels; ++c)
#pragma GCC unroll 4
        for (int t = 0; t < taps; ++t) sum[c][t] = at.out[t * channels + c];

    const Span* columns = w.columns + at.column;
    int all_from = 0, all_to = w.out_width;  // where every tap is inside
    for (int t = 0; t < taps; ++t) {
        if (columns[t].from > all_from) all_from = columns[t].from;
        if (columns[t].to < all_to) all_to = columns[t].to;
    }

    for (int y = w.from; y < w.to; ++y) {
        const int in_row = y * stride - w.window.padding + at.row * w.window.dilation;
        if (in_row < 0 || in_row >= w.in_height) continue;
        const V* gradient = at.gradient + (ptrdiff_t)y * w.out_width;
        const V* activation = at.activation + (ptrdiff_t)in_row * w.in_width - w.window.padding + at.column * apart;
        // The border: pixels for which only some taps are inside the input. (Unrolled: an index known only at run time
        // would push the sums out of the registers.)
#pragma GCC unroll 4
        for (int t = 0; t < taps; ++t)
            for (int x = columns[t].from; x < columns[t].to; ++x) {
                if (x >= all_from && x < all_to) {
                    x = all_to - 1;
                    continue;
                }
                const V a = activation[x * stride + t * apart];
#pragma GCC unroll 8
                for (int c = 0; c < channels; ++c) sum[c][t] += gradient[c * plane + x] * a;
            }
        const V* a = activation + (ptrdiff_t)all_from * stride;
        for (int x = all_from; x < all_to; ++x, a += stride) {
            V input[taps];
#pragma GCC unroll 4
            for (int t = 0; t < taps; ++t) input[t] = a[t * apart];
#pragma GCC unroll 8
            for (int c = 0; c < channels; ++c) {
                const V g = gradient[c * plane + x];
#pragma GCC unroll 4
                for (int t = 0; t < taps; ++t) multiply_add(sum[c][t], g, input[t]);
            }
        }
    }
#pragma GCC unroll 8
    for (int c = 0; c < channels; ++c)
#pragma GCC unroll 4
        for (int t = 0; t < taps; ++t) at.out[t * channels + c] = sum[c][t];
}

typedef void (*AccumulateFunction)(const WeightGradient&, const Weights&);

template <int taps>
AccumulateFunction accumulate_function(int channels) {
    static constexpr AccumulateFunction table[] = {
        nullptr,
        accumulate<1, taps>,
        accumulate<2, taps>,
        accumulate<3, taps>,
        accumulate<4, taps>,
#if REGISTERS == 32
        accumulate<5, taps>,
        accumulate<6, taps>,
        accumulate<7, taps>,
        accumulate<8, taps>,
#endif
    };
    return table[channels];
}

// 1 x 1: channels x inputs weights in registers over all pixels of the rows, which are one long row. The first to read the
// inputs asks for those of the next rows.
template <int channels, int inputs, bool ask>
void accumulate_products(const WeightGradient& w, const V* gradient, const V* activation, V* out) {
    const ptrdiff_t plane = w.gradient_plane, in_plane = (ptrdiff_t)w.in_height * w.in_width;
    V sum[channels][inputs];
#pragma GCC unroll 8
    for (int c = 0; c < channels; ++c)
#pragma GCC unroll 4
        for (int i = 0; i < inputs; ++i) sum[c][i] = out[i * channels + c];
    const ptrdiff_t end = (ptrdiff_t)w.to * w.out_width, later = (ptrdiff_t)(w.to - w.from) * w.out_width;
    for (ptrdiff_t x = (ptrdiff_t)w.from * w.out_width; x < end; ++x) {
        V input[inputs];
#pragma GCC unroll 4
        for (int i = 0; i < inputs; ++i) {
            input[i] = activation[i * in_plane + x];
            if (ask) fetch(activation + i * in_plane + x + later);
        }
#pragma GCC unroll 8
        for (int c = 0; c < channels; ++c) {
            const V g = gradient[c * plane + x];
#pragma GCC unroll 4
            for (int i = 0; i < inputs; ++i) multiply_add(sum[c][i], g, input[i]);
        }
    }
#pragma GCC unroll 8
    for (int c = 0; c < channels; ++c)
#pragma GCC unroll 4
        for (int i = 0; i < inputs; ++i) out[i * channels + c] = sum[c][i];
}

typedef void (*ProductsFunction)(const WeightGradient&, const V*, const V*, V*);

template <int inputs, bool ask>
ProductsFunction products_function(int channels) {
    static constexpr ProductsFunction table[] = {
        nullptr,
        accumulate_products<1, inputs, ask>,
        accumulate_products<2, inputs, ask>,
        accumulate_products<3, inputs, ask>,
        accumulate_products<4, inputs, ask>,
#if REGISTERS == 32
        accumulate_products<5, inputs, ask>,
        accumulate_products<6, inputs, ask>,
        accumulate_products<7, inputs, ask>,
        accumulate_products<8, inputs, ask>,
#endif
    };
    return table[channels];
}

template <bool ask>
INLINE void accumulate_block(const WeightGradient& w, int channels, const V* gradient, const V* activation, V* out) {
    const ptrdiff_t in_plane = (ptrdiff_t)w.in_height * w.in_width;
    const int parts = (w.in_group + 2) / 3;  // of the input channels, of nearly equal size
    for (int part = 0; part < parts; ++part) {
        const int inputs = w.in_group / parts + (part < w.in_group % parts);
        (inputs == 3   ? products_function<3, ask>(channels)
         : inputs == 2 ? products_function<2, ask>(channels)
                       : products_function<1, ask>(channels))(w, gradient, activation, out);
        activation += inputs * in_plane;
        out += inputs * channels;
    }
}

void weight_gradient_one_by_one(const WeightGradient& w) {
    const ptrdiff_t group = (ptrdiff_t)w.in_group * w.in_height * w.in_width;
    V* out = (V*)w.out;
    for (int k = 0, first = 0; k < w.block_count; first += w.blocks[k++]) {
        const V* gradient = (const V*)w.gradient + first * w.gradient_plane;
        const V* activation = (const V*)w.activation + first / w.out_group * group;
        if (first % w.out_group)
            accumulate_block<false>(w, w.blocks[k], gradient, activation, out);
        else
            accumulate_block<true>(w, w.blocks[k], gradient, activation, out);
        out += w.in_group * w.blocks[k];
    }
}

// Depthwise, 3 x 3: the nine weights of a channel in registers over all pixels of the rows. Of pixels side by side, for which every
// tap is inside, each input is loaded once a row.
template <int pixels, int stride>
INLINE void accumulate_nine(const V* gradient, const V* in, ptrdiff_t width, V (&sum)[3][3]) {
    constexpr int columns = stride * (pixels - 1) + 3;
    V g[pixels];
#pragma GCC unroll 4
    for (int p = 0; p < pixels; ++p) g[p] = gradient[p];
#pragma GCC unroll 3
    for (int r = 0; r < 3; ++r) {
        V x[columns];
#pragma GCC unroll 9
        for (int i = 0; i < columns; ++i) x[i] = in[r * width + i];
#pragma GCC unroll 4
        for (int p = 0; p < pixels; ++p)
#pragma GCC unroll 3
            for (int t = 0; t < 3; ++t) multiply_add(sum[r][t], g[p], x[stride * p + t]);
    }
}

// The same of the pixels [from, to) of a row, for each of which only some taps are inside.
INLINE void accumulate_border(const WeightGradient& w, const V* gradient, const V* corner, int top, int from, int to,
                              V (&sum)[3][3]) {
#pragma GCC unroll 1
    for (int x = from; x < to; ++x) {
        const V g = gradient[x];
        const V* a = corner + x * w.window.stride;
#pragma GCC unroll 3
        for (int r = 0; r < 3; ++r) {
            if (top + r < 0 || top + r >= w.in_height) continue;
#pragma GCC unroll 3
            for (int t = 0; t < 3; ++t)
                if (x >= w.columns[t].from && x < w.columns[t].to) multiply_add(sum[r][t], g, a[r * w.in_width + t]);
        }
    }
}

// With steps of 1 or 2, or of any other length (0).
template <int known_stride>
void weight_gradient_depthwise(const WeightGradient& w) {
    constexpr int pixels = REGISTERS == 32 && known_stride ? 4 : 1;
    const int stride = known_stride ? known_stride : w.window.stride;
    int all_from = 0, all_to = w.out_width;  // columns for which every tap is inside
    for (int t = 0; t < 3; ++t) {
        if (w.columns[t].from > all_from) all_from = w.columns[t].from;
        if (w.columns[t].to < all_to) all_to = w.columns[t].to;
    }
    if (all_to < all_from) all_to = all_from = w.out_width;
    for (int c = w.channels.from; c < w.channels.to; ++c) {
        V* out = (V*)w.out + 9 * (ptrdiff_t)c;
        V sum[3][3];
#pragma GCC unroll 3
        for (int r = 0; r < 3; ++r)
#pragma GCC unroll 3
            for (int t = 0; t < 3; ++t) sum[r][t] = out[r * 3 + t];
        for (int y = w.from; y < w.to; ++y) {
            const int top = y * stride - w.window.padding;
            const V* gradient = (const V*)w.gradient + c * w.gradient_plane + (ptrdiff_t)y * w.out_width;
            const V* corner = (const V*)w.activation + ((ptrdiff_t)c * w.in_height + top) * w.in_width - w.window.padding;
            if (top < 0 || top + 3 > w.in_height) {
                accumulate_border(w, gradient, corner, top, 0, w.out_width, sum);
                continue;
            }
            accumulate_border(w, gradient, corner, top, 0, all_from, sum);
            int x = all_from;
#pragma GCC unroll 1
            for (; x + pixels <= all_to; x += pixels)
                accumulate_nine<pixels, known_stride>(gradient + x, corner + x * stride, w.in_width, sum);
#pragma GCC unroll 1
            for (; x < all_to; ++x) accumulate_nine<1, known_stride>(gradient + x, corner + x * stride, w.in_width, sum);
            accumulate_border(w, gradient, corner, top, all_to, w.out_width, sum);
        }
#pragma GCC unroll 3
        for (int r = 0; r < 3; ++r)
#pragma GCC unroll 3
            for (int t = 0; t < 3; ++t) out[r * 3 + t] = sum[r][t];
    }
}

void weight_gradient(const WeightGradient& w) {
    const Window& window = w.window;
    if (window.kernel == 1 && window.stride == 1 && !window.padding) return weight_gradient_one_by_one(w);
    if (window.kernel == 3 && window.dilation == 1 && w.in_group == 1 && w.out_group == 1)
        return (window.stride == 1   ? weight_gradient_depthwise<1>
                : window.stride == 2 ? weight_gradient_depthwise<2>
                                     : weight_gradient_depthwise<0>)(w);
    const ptrdiff_t in_plane = (ptrdiff_t)w.in_height * w.in_width;
    const int kernel = w.window.kernel;
    V* out = (V*)w.out;
    int first = 0;
    for (int k = 0; k < w.block_count; ++k) {
        const int channels = w.blocks[k];
        Weights at;
        at.gradient = (const V*)w.gradient + first * w.gradient_plane;
        const int group = first / w.out_group;
        for (int i = 0; i < w.in_group; ++i) {
            at.activation = (const V*)w.activation + (group * w.in_group + i) * in_plane;
            for (at.row = 0; at.row < kernel; ++at.row)
                for (at.column = 0; at.column < kernel;) {
                    const int taps = kernel - at.column < 3 ? kernel - at.column : 3;
                    at.out = out;
                    (taps == 3   ? accumulate_function<3>(channels)
                     : taps == 2 ? accumulate_function<2>(channels)
                                 : accumulate_function<1>(channels))(w, at);
                    at.column += taps;
                    out += taps * channels;
                }
        }
        first += channels;
    }
}

}  // namespace
