// The register blocks of a convolution: a few output channels of a few pixels, accumulated and finished in registers.
#pragma once
#include "kernels.hpp"
#include "vector.hpp"

namespace {
using namespace stepladder;

// One register block of work: a few output channels of a few pixels of one output row.
struct Block {
    const V* in;
    ptrdiff_t in_channel, in_row, in_tap, in_pixel;
    const float* weights;
    ptrdiff_t weight_channel, weight_row, weight_column;
    int in_channels, tap_rows, tap_columns;
    const float* bias;
    V* out;
    ptrdiff_t out_channel, out_pixel;
    ptrdiff_t ahead;  // from its place to that which the same channel writes to next
    V *sum, *square;
    const GradientSums* gradient;  // x, mean, sum and product from the block's first channel on
    ptrdiff_t x_offset;            // of the first pixel, in x, activation and extra
};

// Where a finished value goes: stored, with statistics on the way, or as the gradient of an activation.
enum class Epilogue { store, statistics, gradient };

template <int channels, int pixels, Epilogue epilogue>
INLINE void finish(const Block& b, V (&value)[channels][pixels]) {
#pragma GCC unroll 8
    for (int c = 0; c < channels; ++c) {
        V* out = b.out + c * b.out_channel;
        if constexpr (epilogue == Epilogue::store) {
#pragma GCC unroll 8
            for (int p = 0; p < pixels; ++p) out[p * b.out_pixel] = value[c][p];
        } else if constexpr (epilogue == Epilogue::statistics) {
            V sum = b.sum[c], square = b.square[c];
#pragma GCC unroll 8
            for (int p = 0; p < pixels; ++p) {
                out[p * b.out_pixel] = value[c][p];
                __builtin_prefetch(out + p * b.out_pixel + b.ahead, 1);
                sum += value[c][p];
                square += value[c][p] * value[c][p];
            }
            b.sum[c] = sum;
            b.square[c] = square;
        } else {
            const GradientSums& g = *b.gradient;
            V sum = ((V*)g.sum)[c], product = ((V*)g.product)[c];
            const V scale = broadcast(g.scale);
            const V mean = broadcast(g.x ? g.mean[c] : 0);
            const ptrdiff_t at = b.x_offset + c * b.out_channel;
            const V *x = (const V*)g.x + at, *activation = (const V*)g.activation + at, *extra = (const V*)g.extra + at;
#pragma GCC unroll 8
            for (int p = 0; p < pixels; ++p) {
                V v = value[c][p];
                if (g.extra) v += extra[p * b.out_pixel];
                v *= scale;
                if (g.activation) v = keep(stands(g.marked, activation[p * b.out_pixel]), v);
                out[p * b.out_pixel] = v;
                __builtin_prefetch(out + p * b.out_pixel + b.ahead, 1);
                sum += v;
                if (g.x) product += v * (x[p * b.out_pixel] - mean);
            }
            ((V*)g.sum)[c] = sum;
            ((V*)g.product)[c] = product;
        }
    }
}

// All taps of all input channels, accumulated in registers: for each tap one load a pixel, one broadcast a channel, and
// channels * pixels multiply-adds.
template <int channels, int pixels>
INLINE void accumulate_taps(const Block& b, V (&value)[channels][pixels]) {
    const V* in_channel = b.in;
    const float* weight_channel = b.weights;
    for (int i = 0; i < b.in_channels; ++i, in_channel += b.in_channel, weight_channel += b.weight_channel) {
        const V* in_row = in_channel;
        const float* weight_row = weight_channel;
        for (int r = 0; r < b.tap_rows; ++r, in_row += b.in_row, weight_row += b.weight_row) {
            const V* in = in_row;
            const float* weight = weight_row;
            for (int t = 0; t < b.tap_columns; ++t, in += b.in_tap, weight += b.weight_column) {
                V x[pixels];
#pragma GCC unroll 8
                for (int p = 0; p < pixels; ++p) x[p] = in[p * b.in_pixel];
#pragma GCC unroll 8
                for (int c = 0; c < channels; ++c) {
                    const V w = broadcast(weight[c]);
#pragma GCC unroll 8
                    for (int p = 0; p < pixels; ++p) multiply_add(value[c][p], w, x[p]);
                }
            }
        }
    }
}

// The same for three neighbouring taps and pixels, the usual case, unrolled. The first `left` and the last `right` columns
// that the block meets are zeros of the border: they are neither read nor multiplied. Where two more registers are free,
// each input is loaded once for all three taps.
template <int channels, int pixels, int left, int right>
INLINE void accumulate_three_taps(const Block& b, V (&value)[channels][pixels]) {
    constexpr bool hold = channels * pixels + pixels + 3 <= REGISTERS;
    const V* in_channel = b.in;
    const float* weight_channel = b.weights;
    for (int i = 0; i < b.in_channels; ++i, in_channel += b.in_channel, weight_channel += b.weight_channel) {
        const V* in = in_channel;
        const float* weight = weight_channel;
        for (int r = 0; r < b.tap_rows; ++r, in += b.in_row, weight += b.weight_row) {
            V x[pixels + 2];
            if constexpr (hold) {
#pragma GCC unroll 10
                for (int p = left; p < pixels + 2 - right; ++p) x[p] = in[p];
            }
            if constexpr (!right) {
#pragma GCC unroll 8
                for (int p = 0; p < pixels; ++p) __builtin_prefetch(in + pixels + 2 + p);
            }
#pragma GCC unroll 3
            for (int t = 0; t < 3; ++t) {
                if constexpr (!hold) {
#pragma GCC unroll 8
                    for (int p = 0; p < pixels; ++p)
                        if (p + t >= left && p + t < pixels + 2 - right) x[p + t] = in[p + t];
                }
#pragma GCC unroll 8
                for (int c = 0; c < channels; ++c) {
                    const V w = broadcast(weight[t * channels + c]);
#pragma GCC unroll 8
                    for (int p = 0; p < pixels; ++p)
                        if (p + t >= left && p + t < pixels + 2 - right) multiply_add(value[c][p], w, x[p + t]);
                }
            }
        }
    }
}

// Of a 1 x 1 convolution: no taps to go through, neighbouring pixels, and the weights of successive channels together.
template <int channels, int pixels>
INLINE void accumulate_one_tap(const Block& b, V (&value)[channels][pixels]) {
    const V* in = b.in;
    const float* weight = b.weights;
    for (int i = b.in_channels; i > 0; --i, in += b.in_channel, weight += channels) {
        V x[pixels];
#pragma GCC unroll 8
        for (int p = 0; p < pixels; ++p) x[p] = in[p];
#pragma GCC unroll 8
        for (int c = 0; c < channels; ++c) {
            const V w = broadcast(weight[c]);
#pragma GCC unroll 8
            for (int p = 0; p < pixels; ++p) multiply_add(value[c][p], w, x[p]);
        }
    }
}

// How the taps of a block are gone through.
enum class Taps { any, three, one };

template <int channels, int pixels, Epilogue epilogue, Taps taps, int left = 0, int right = 0>
INLINE void convolve_block(const Block& b) {
    V value[channels][pixels];
#pragma GCC unroll 8
    for (int c = 0; c < channels; ++c) {
        const V start = broadcast(b.bias ? b.bias[c] : 0);
#pragma GCC unroll 8
        for (int p = 0; p < pixels; ++p) value[c][p] = start;
    }
    if constexpr (taps == Taps::three)
        accumulate_three_taps<channels, pixels, left, right>(b, value);
    else if constexpr (taps == Taps::one)
        accumulate_one_tap<channels, pixels>(b, value);
    else
        accumulate_taps<channels, pixels>(b, value);
    finish<channels, pixels, epilogue>(b, value);
}

// The widest block of pixels whose accumulators, inputs and one weight fit in the registers.
constexpr int pixels_for(int channels) {
    int pixels = 8;
    while (pixels > 1 && channels * pixels + pixels + 1 > REGISTERS) --pixels;
    return channels > 1 && pixels > 4 ? 4 : pixels;
}

template <int channels, int pixels, Epilogue epilogue, Taps taps, int right = 0>
INLINE void convolve_tail(const Block& b, int count) {
    if constexpr (pixels > 0) {
        if (count == pixels)
            convolve_block<channels, pixels, epilogue, taps, 0, right>(b);
        else
            convolve_tail<channels, pixels - 1, epilogue, taps, right>(b, count);
    }
}

INLINE void advance(Block& b, int pixels) {
    b.in += pixels * b.in_pixel;
    b.out += pixels * b.out_pixel;
    b.x_offset += pixels * b.out_pixel;
}

// A run of pixels that meet the same taps, in the widest blocks that fit and one narrower block for what is left.
template <int channels, Epilogue epilogue, Taps taps>
void convolve_run(Block& b, int count) {
    constexpr int wide = pixels_for(channels);
    for (; count >= wide; count -= wide) {
        convolve_block<channels, wide, epilogue, taps>(b);
        advance(b, wide);
    }
    convolve_tail<channels, wide - 1, epilogue, taps>(b, count);
}

constexpr int most_channels = REGISTERS == 32 ? 8 : 6;

}  // namespace
