// Convolution, and its gradient with respect to the input, which is a convolution too (see network.cpp for the walks).
#pragma once
#include "block.hpp"
#include "depthwise.hpp"

namespace {
using namespace stepladder;

// A whole row of a convolution of three taps with `border` zero columns on either side, which the first and the last block
// meet: at least one of the widest and one of `border` pixels.
template <int channels, Epilogue epilogue, int border>
void convolve_row(Block& b, int count) {
    constexpr int wide = pixels_for(channels);
    convolve_block<channels, wide, epilogue, Taps::three, border, 0>(b);
    advance(b, wide);
    for (count -= wide; count >= wide + border; count -= wide) {
        convolve_block<channels, wide, epilogue, Taps::three>(b);
        advance(b, wide);
    }
    if (count > wide) {  // the last block takes all pixels that meet the border, so it has no fewer than those
        convolve_tail<channels, wide - 1, epilogue, Taps::three>(b, count - border);
        advance(b, count - border);
        count = border;
    }
    convolve_tail<channels, wide, epilogue, Taps::three, border>(b, count);
}

typedef void (*RunFunction)(Block&, int);

// How one row is walked for a block of so many channels: its run of any taps, of three taps, of one tap, and whole rows of
// three taps with one and two zero columns on either side (two are met by gradients only).
struct RowFunctions {
    RunFunction any, three, one, bordered[3];
    int wide;
};

template <int channels, Epilogue epilogue>
constexpr RowFunctions functions_for() {
    RunFunction two = nullptr;
    if constexpr (epilogue == Epilogue::gradient) two = convolve_row<channels, epilogue, 2>;
    return {.any = convolve_run<channels, epilogue, Taps::any>,
            .three = convolve_run<channels, epilogue, Taps::three>,
            .one = convolve_run<channels, epilogue, Taps::one>,
            .bordered = {nullptr, convolve_row<channels, epilogue, 1>, two},
            .wide = pixels_for(channels)};
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

// The sums of the channels from `first` on.
INLINE GradientSums sums_from(const GradientSums& all, int first) {
    GradientSums sums = all;
    sums.mean += first;
    sums.sum += first * LANES;
    sums.product += first * LANES;
    return sums;
}

// Rows of a 1 x 1 convolution are one long row. Each few pixels are taken through all blocks of channels while what enters
// them is in the nearest cache.
template <Epilogue epilogue>
void convolve_one_by_one(const Convolution& work) {
    constexpr int most = 12;  // pixels at a time: whole blocks of any width
    const Walk& walk = *work.walk;
    const ptrdiff_t plane = (ptrdiff_t)walk.out_height * walk.out_width, end = (ptrdiff_t)work.to * walk.in_width;
    Block b;
    b.in_channel = work.in_plane;
    b.out_channel = plane;
    b.in_channels = walk.in_group;
    b.in_pixel = b.out_pixel = 1;
    b.ahead = most;
    for (ptrdiff_t at = (ptrdiff_t)work.from * walk.in_width; at < end; at += most) {
        const int count = end - at < most ? (int)(end - at) : most;
        for (int k = 0, first = 0; k < walk.block_count; first += walk.blocks[k++]) {
            b.in = (const V*)work.in + first / walk.out_group * walk.in_group * work.in_plane + at;
            b.weights = work.weights + (ptrdiff_t)first * walk.in_group;
            b.bias = work.bias ? work.bias + first : nullptr;
            b.x_offset = first * plane + at;
            b.out = (V*)work.out + b.x_offset;
            GradientSums sums;
            if constexpr (epilogue == Epilogue::statistics) {
                b.sum = (V*)work.sum + first;
                b.square = (V*)work.square + first;
            } else if constexpr (epilogue == Epilogue::gradient) {
                sums = sums_from(*work.gradient, first);
                b.gradient = &sums;
            }
            row_functions<epilogue>(walk.blocks[k]).one(b, count);
        }
    }
}

template <Epilogue epilogue>
void convolve_rows(const Convolution& work) {
    const Walk& walk = *work.walk;
    const ptrdiff_t in_plane = work.in_plane, out_plane = (ptrdiff_t)walk.out_height * walk.out_width;
    const int taps = walk.kernel * walk.kernel;
    Block b;
    b.in_channel = in_plane;
    b.in_row = (ptrdiff_t)walk.in_step * walk.in_width;
    b.in_tap = walk.in_step;
    b.in_channels = walk.in_group;
    b.out_channel = out_plane;
    b.ahead = walk.out_width;
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
                sums = sums_from(*work.gradient, first);
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

template <Epilogue epilogue>
void convolve_as(const Convolution& work) {
    switch (work.walk->kind) {
        case Walk::Kind::any:
            return convolve_rows<epilogue>(work);
        case Walk::Kind::one_by_one:
            return convolve_one_by_one<epilogue>(work);
        case Walk::Kind::depthwise:
            return convolve_depthwise<1, epilogue>(work);
        case Walk::Kind::depthwise_2:
            if constexpr (epilogue != Epilogue::gradient) return convolve_depthwise<2, epilogue>(work);
            break;
        case Walk::Kind::spread_2:
            if constexpr (epilogue != Epilogue::statistics) return spread_depthwise<epilogue>(work);
    }
}

void convolve(const Convolution& work) {
    if (work.gradient)
        convolve_as<Epilogue::gradient>(work);
    else if (work.sum)
        convolve_as<Epilogue::statistics>(work);
    else
        convolve_as<Epilogue::store>(work);
}

}  // namespace
