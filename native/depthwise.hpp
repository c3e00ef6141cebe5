// Depthwise convolution of 3 x 3 with steps of 1 or 2, and its gradient with respect to the input.
#pragma once
#include "block.hpp"
#include "pointwise.hpp"

namespace {
using namespace stepladder;

// Rows of one channel. `in` is where the first column takes its first tap from in row 0; the first `left` columns that a row
// meets, and the last `right`, are zeros of the border.
struct Plane {
    const V* in;
    ptrdiff_t in_width;
    int width, left, right;
    const RowTaps* rows;
    int from, to;
    const float* weights;
    float bias;
    V* out;
};

constexpr bool weights_held = REGISTERS == 32;  // a channel's nine, in registers

INLINE V in_all_lanes(float weight) { return broadcast(weight); }
INLINE V in_all_lanes(V weight) { return weight; }  // already

// The taps of a row of inputs, pixels side by side, `stride` apart. The first `left` and the last `right` columns that they meet
// are zeros.
template <int pixels, int stride, bool bordered, typename Weight>
INLINE void accumulate_row(const V* in, const Weight* weights, int left, int right, V (&value)[pixels]) {
    constexpr int columns = stride * (pixels - 1) + 3;
    V x[columns];
#pragma GCC unroll 17
    for (int i = 0; i < columns; ++i) {
        const bool zero = bordered && ((i < 2 && i < left) || (i >= columns - 2 && i >= columns - right));
        x[i] = zero ? V{} : in[i];
    }
#pragma GCC unroll 3
    for (int t = 0; t < 3; ++t) {
        const V weight = in_all_lanes(weights[t]);
#pragma GCC unroll 8
        for (int p = 0; p < pixels; ++p) multiply_add(value[p], weight, x[stride * p + t]);
    }
}

// A row takes less time than memory does to come: what is written two rows on is asked for.
INLINE void ask_to_write(V* place, ptrdiff_t width) { __builtin_prefetch(place + 2 * width, 1); }

// What becomes of a channel's values, in registers.
struct Finish {
    V sum, square;
    Sums gradient;
};

// `whole`: all rows of the kernel are known to lie inside the input.
template <int pixels, int stride, Epilogue epilogue, bool bordered, bool whole>
INLINE void convolve_pixels(const Plane& plane, const V (&weights)[9], int y, int x0, int left, int right, Finish& finish) {
    V value[pixels];
#pragma GCC unroll 8
    for (int p = 0; p < pixels; ++p) value[p] = broadcast(plane.bias);
    const RowTaps& row = plane.rows[y];
    const V* in = plane.in + row.in * plane.in_width + stride * x0;
    if constexpr (weights_held) {
        in -= row.tap * plane.in_width;
#pragma GCC unroll 3
        for (int r = 0; r < 3; ++r, in += plane.in_width)
            if (whole || (r >= row.tap && r < row.tap + row.taps))
                accumulate_row<pixels, stride, bordered>(in, weights + 3 * r, left, right, value);
    } else {
        const float* weight = plane.weights + 3 * row.tap;
#pragma GCC unroll 1
        for (int r = 0; r < row.taps; ++r, in += plane.in_width, weight += 3)
            accumulate_row<pixels, stride, bordered>(in, weight, left, right, value);
    }
    const ptrdiff_t at = (ptrdiff_t)y * plane.width + x0;
    Finish now = finish;  // in registers for as long as they are free
#pragma GCC unroll 8
    for (int p = 0; p < pixels; ++p) {
        if constexpr (epilogue == Epilogue::gradient) value[p] = now.gradient.add(value[p], at + p);
        plane.out[at + p] = value[p];
        ask_to_write(plane.out + at + p, plane.width);
        if constexpr (epilogue == Epilogue::statistics) {
            now.sum += value[p];
            now.square += value[p] * value[p];
        }
    }
    if constexpr (epilogue == Epilogue::statistics) {
        finish.sum = now.sum;
        finish.square = now.square;
    } else if constexpr (epilogue == Epilogue::gradient) {
        finish.gradient.sum = now.gradient.sum;
        finish.gradient.product = now.gradient.product;
    }
}

// A row in strips of `pixels` columns, `wide` of them, then of one less.
template <int pixels, int stride, Epilogue epilogue, bool whole>
INLINE void convolve_strips(const Plane& plane, const V (&weights)[9], int y, int strips, int wide, Finish& finish) {
    for (int k = 0, x = 0; k < strips; ++k) {
        const int left = k ? 0 : plane.left, right = k + 1 < strips ? 0 : plane.right;
        const bool bordered = left || right;
        if (k < wide) {
            if (bordered || (weights_held && !whole))
                convolve_pixels<pixels, stride, epilogue, true, whole>(plane, weights, y, x, left, right, finish);
            else
                convolve_pixels<pixels, stride, epilogue, false, whole>(plane, weights, y, x, 0, 0, finish);
            x += pixels;
        } else if constexpr (pixels > 1) {
            if (bordered || (weights_held && !whole))
                convolve_pixels<pixels - 1, stride, epilogue, true, whole>(plane, weights, y, x, left, right, finish);
            else
                convolve_pixels<pixels - 1, stride, epilogue, false, whole>(plane, weights, y, x, 0, 0, finish);
            x += pixels - 1;
        }
    }
}

template <int pixels, int stride, Epilogue epilogue>
void convolve_plane(const Plane& plane, int strips, int wide, Finish& finish) {
    V weights[9];
#pragma GCC unroll 9
    for (int i = 0; i < 9; ++i) weights[i] = broadcast(plane.weights[i]);
    for (int y = plane.from; y < plane.to; ++y)
        if (weights_held && plane.rows[y].taps == 3)
            convolve_strips<pixels, stride, epilogue, true>(plane, weights, y, strips, wide, finish);
        else
            convolve_strips<pixels, stride, epilogue, false>(plane, weights, y, strips, wide, finish);
}

typedef void (*PlaneFunction)(const Plane&, int, int, Finish&);

// As many pixels as fit in the registers with the inputs of a row and one weight.
template <int stride>
constexpr int most_pixels = (REGISTERS == 32 ? 8 : 6) - (REGISTERS == 32 ? 0 : 2 * (stride - 1));

template <int stride, Epilogue epilogue>
PlaneFunction plane_function(int pixels) {
    static constexpr PlaneFunction table[] = {
        nullptr,
        convolve_plane<1, stride, epilogue>,
        convolve_plane<2, stride, epilogue>,
        convolve_plane<3, stride, epilogue>,
        convolve_plane<4, stride, epilogue>,
        convolve_plane<5, stride, epilogue>,
        convolve_plane<6, stride, epilogue>,
#if REGISTERS == 32
        convolve_plane<7, stride, epilogue>,
        convolve_plane<8, stride, epilogue>,
#endif
    };
    return table[pixels];
}

INLINE int beyond(int last, int side) { return last < side ? 0 : last + 1 - side; }

template <int stride, Epilogue epilogue>
void convolve_depthwise(const Convolution& work) {
    const Walk& walk = *work.walk;
    const ptrdiff_t out_plane = (ptrdiff_t)walk.out_height * walk.out_width;
    // Strips of nearly equal width: a narrow one would wait for its own sums.
    const int strips = (walk.out_width + most_pixels<stride> - 1) / most_pixels<stride>;
    const int pixels = (walk.out_width + strips - 1) / strips, wide = walk.out_width - strips * (pixels - 1);
    for (int c = work.channels.from; c < work.channels.to; ++c) {
        const Plane plane{.in = (const V*)work.in + c * work.in_plane - walk.border,
                          .in_width = walk.in_width,
                          .width = walk.out_width,
                          .left = walk.border,
                          .right = beyond(stride * (walk.out_width - 1) + 2 - walk.border, walk.in_width),
                          .rows = walk.rows,
                          .from = work.from,
                          .to = work.to,
                          .weights = work.weights + 9 * (ptrdiff_t)c,
                          .bias = work.bias ? work.bias[c] : 0,
                          .out = (V*)work.out + c * out_plane};
        Finish finish{};
        if constexpr (epilogue == Epilogue::statistics) finish = {((V*)work.sum)[c], ((V*)work.square)[c], {}};
        if constexpr (epilogue == Epilogue::gradient) finish.gradient = Sums(*work.gradient, c, out_plane);
        plane_function<stride, epilogue>(pixels)(plane, strips, wide, finish);
        if constexpr (epilogue == Epilogue::statistics) {
            ((V*)work.sum)[c] = finish.sum;
            ((V*)work.square)[c] = finish.square;
        }
        if constexpr (epilogue == Epilogue::gradient) finish.gradient.save(*work.gradient, c);
    }
}

// The gradient of a row of inputs of which each second one meets one output, the others two, from the rows of outputs that it
// meets and the (flipped) rows of the kernel for these. `offset` is the padding: input 2 j - offset is the first that output j
// meets.
template <int rows, Epilogue epilogue>
INLINE void spread_row(const V* gradient, ptrdiff_t width, const float* weights, int offset, int in_width, V* out, ptrdiff_t at,
                       Sums& sums) {
    V first[rows], middle[rows], last[rows];
#pragma GCC unroll 2
    for (int r = 0; r < rows; ++r) {
        last[r] = broadcast(weights[6 * r]);
        middle[r] = broadcast(weights[6 * r + 1]);
        first[r] = broadcast(weights[6 * r + 2]);
    }
    V before[rows] = {};
    for (int j = 0, x = -offset; x < in_width; ++j, x += 2) {
        V of_two = {}, of_one = {};
#pragma GCC unroll 2
        for (int r = 0; r < rows; ++r) {
            const V g = j < width ? gradient[r * width + j] : V{};
            multiply_add(of_two, first[r], g);
            multiply_add(of_two, last[r], before[r]);
            multiply_add(of_one, middle[r], g);
            before[r] = g;
        }
        ask_to_write(out + at + x, in_width);
        ask_to_write(out + at + x + 1, in_width);
        if (x >= 0) out[at + x] = epilogue == Epilogue::gradient ? sums.add(of_two, at + x) : of_two;
        if (x >= -1 && x + 1 < in_width) out[at + x + 1] = epilogue == Epilogue::gradient ? sums.add(of_one, at + x + 1) : of_one;
    }
}

template <Epilogue epilogue>
void spread_depthwise(const Convolution& work) {
    const Walk& walk = *work.walk;
    const ptrdiff_t plane = (ptrdiff_t)walk.out_height * walk.out_width;
    for (int c = work.channels.from; c < work.channels.to; ++c) {
        Sums sums;
        if constexpr (epilogue == Epilogue::gradient) sums = Sums(*work.gradient, c, plane);
        for (int y = work.from; y < work.to; ++y) {
            const RowTaps& row = walk.rows[y];
            const V* gradient = (const V*)work.in + c * work.in_plane + row.in * walk.in_width;
            const float* weights = work.weights + 9 * (ptrdiff_t)c + 3 * row.tap;
            V* out = (V*)work.out + c * plane;
            const ptrdiff_t at = (ptrdiff_t)y * walk.out_width;
            if (row.taps == 2)
                spread_row<2, epilogue>(gradient, walk.in_width, weights, walk.border, walk.out_width, out, at, sums);
            else if (row.taps == 1)
                spread_row<1, epilogue>(gradient, walk.in_width, weights, walk.border, walk.out_width, out, at, sums);
            else
                for (int x = 0; x < walk.out_width; ++x) out[at + x] = epilogue == Epilogue::gradient ? sums.add(V{}, at + x) : V{};
        }
        if constexpr (epilogue == Epilogue::gradient) sums.save(*work.gradient, c);
    }
}

}  // namespace
