// The gradient of a convolution with respect to its weights.
#pragma once
#include "kernels.hpp"
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

void weight_gradient(const WeightGradient& w) {
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
