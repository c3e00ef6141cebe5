// Convolution, and its gradient with respect to the input, which is a convolution too (see network.cpp for the walks).
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

template <int channels, int pixels, Epilogue epilogue, bool three, int left = 0, int right = 0>
INLINE void convolve_block(const Block& b) {
    V value[channels][pixels];
#pragma GCC unroll 8
    for (int c = 0; c < channels; ++c) {
        const V start = broadcast(b.bias ? b.bias[c] : 0);
#pragma GCC unroll 8
        for (int p = 0; p < pixels; ++p) value[c][p] = start;
    }
    if constexpr (three)
        accumulate_three_taps<channels, pixels, left, right>(b, value);
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

template <int channels, int pixels, Epilogue epilogue, bool three, int right = 0>
INLINE void convolve_tail(const Block& b, int count) {
    if constexpr (pixels > 0) {
        if (count == pixels)
            convolve_block<channels, pixels, epilogue, three, 0, right>(b);
        else
            convolve_tail<channels, pixels - 1, epilogue, three, right>(b, count);
    }
}

INLINE void advance(Block& b, int pixels) {
    b.in += pixels * b.in_pixel;
    b.out += pixels * b.out_pixel;
    b.x_offset += pixels * b.out_pixel;
}

// A run of pixels that meet the same taps, in the widest blocks that fit and one narrower block for what is left.
template <int channels, Epilogue epilogue, bool three>
void convolve_run(Block& b, int count) {
    constexpr int wide = pixels_for(channels);
    for (; count >= wide; count -= wide) {
        convolve_block<channels, wide, epilogue, three>(b);
        advance(b, wide);
    }
    convolve_tail<channels, wide - 1, epilogue, three>(b, count);
}

// A whole row of a convolution of three taps with `border` zero columns on either side, which the first and the last block
// meet: at least one of the widest and one of `border` pixels.
template <int channels, Epilogue epilogue, int border>
void convolve_row(Block& b, int count) {
    constexpr int wide = pixels_for(channels);
    convolve_block<channels, wide, epilogue, true, border, 0>(b);
    advance(b, wide);
    for (count -= wide; count >= wide + border; count -= wide) {
        convolve_block<channels, wide, epilogue, true>(b);
        advance(b, wide);
    }
    if (count > wide) {  // the last block takes all pixels that meet the border, so it has no fewer than those
        convolve_tail<channels, wide - 1, epilogue, true>(b, count - border);
        advance(b, count - border);
        count = border;
    }
    convolve_tail<channels, wide, epilogue, true, border>(b, count);
}

constexpr int most_channels = REGISTERS == 32 ? 8 : 6;
typedef void (*RunFunction)(Block&, int);

// How one row is walked for a block of so many channels: its run of any taps, its run of three taps, and whole rows of
// three taps with one and two zero columns on either side (two are met by gradients only).
struct RowFunctions {
    RunFunction any, three, bordered[3];
    int wide;
};

template <int channels, Epilogue epilogue>
constexpr RowFunctions functions_for() {
    RunFunction two = nullptr;
    if constexpr (epilogue == Epilogue::gradient) two = convolve_row<channels, epilogue, 2>;
    return {convolve_run<channels, epilogue, false>,
            convolve_run<channels, epilogue, true>,
            {nullptr, convolve_row<channels, epilogue, 1>, two},
            pixels_for(channels)};
}

template <Epilogue epilogue>
const RowFunctions& row_functions(int channels) {
    static constexpr RowFunctions table[] = {
        {},
        functions_for<1, epilogue>(),
        functions_for<2, epilogue>(),
        functions_for<3, epilogue>(),
        functions_for<4, epilogue>(),
        functions_for<5, epilogue>(),
        functions_for<6, epilogue>(),
#if REGISTERS == 32
        functions_for<7, epilogue>(),
        functions_for<8, epilogue>(),
#endif
    };
    return table[channels];
}

template <Epilogue epilogue>
void convolve_rows(const Convolution& work) {
    const Walk& walk = *work.walk;
    const ptrdiff_t in_plane = (ptrdiff_t)walk.in_height * walk.in_width, out_plane = (ptrdiff_t)walk.out_height * walk.out_width;
    const int taps = walk.kernel * walk.kernel;
    Block b;
    b.in_channel = in_plane;
    b.in_row = (ptrdiff_t)walk.in_step * walk.in_width;
    b.in_tap = walk.in_step;
    b.in_channels = walk.in_group;
    b.out_channel = out_plane;
    for (int y = work.from; y < work.to; ++y) {
        const RowTaps& row = walk.rows[y];
        b.tap_rows = row.taps;
        int first = 0;
        for (int k = 0; k < walk.block_count; ++k) {
            const int channels = walk.blocks[k];
            const int group = first / walk.out_group;
            const V* in = (const V*)work.in + group * walk.in_group * in_plane + (ptrdiff_t)row.in * walk.in_width;
            const float* weights =
                work.weights + (ptrdiff_t)first * walk.in_group * taps + (ptrdiff_t)row.tap * walk.kernel * channels;
            const ptrdiff_t offset = first * out_plane + (ptrdiff_t)y * walk.out_width;
            b.weight_channel = (ptrdiff_t)taps * channels;
            b.weight_row = (ptrdiff_t)walk.tap_step * walk.kernel * channels;
            b.weight_column = (ptrdiff_t)walk.tap_step * channels;
            b.bias = work.bias ? work.bias + first : nullptr;
            GradientSums sums;
            if constexpr (epilogue == Epilogue::statistics) {
                b.sum = (V*)work.sum + first;
                b.square = (V*)work.square + first;
            } else if constexpr (epilogue == Epilogue::gradient) {
                sums = *work.gradient;
                sums.mean += first;
                sums.sum += first * LANES;
                sums.product += first * LANES;
                b.gradient = &sums;
            }
            const RowFunctions& functions = row_functions<epilogue>(channels);
            if (walk.border && functions.bordered[walk.border] && walk.out_width >= functions.wide + walk.border) {
                b.in = in - walk.border;
                b.in_pixel = 1;
                b.weights = weights;
                b.out = (V*)work.out + offset;
                b.out_pixel = 1;
                b.x_offset = offset;
                functions.bordered[walk.border](b, walk.out_width);
            } else {
                for (int n = 0; n < walk.run_count; ++n) {
                    const ColumnRun& run = walk.runs[n];
                    b.tap_columns = run.taps;
                    b.in = in + run.in;
                    b.in_pixel = run.in_step;
                    b.weights = weights + (ptrdiff_t)run.tap * channels;
                    b.out = (V*)work.out + offset + run.out;
                    b.out_pixel = run.out_step;
                    b.x_offset = offset + run.out;
                    const bool three = run.taps == 3 && run.in_step == 1 && walk.tap_step == 1 && walk.in_step == 1;
                    (three ? functions.three : functions.any)(b, run.count);
                }
            }
            first += channels;
        }
    }
}

void convolve(const Convolution& work) {
    if (work.gradient)
        convolve_rows<Epilogue::gradient>(work);
    else if (work.sum)
        convolve_rows<Epilogue::statistics>(work);
    else
        convolve_rows<Epilogue::store>(work);
}

}  // namespace
