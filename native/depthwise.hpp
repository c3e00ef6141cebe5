// Depthwise convolution of 3 x 3 with steps of 1, and its gradient with respect to the input, which is one too.
#pragma once
#include "block.hpp"
#include "pointwise.hpp"

namespace {
using namespace stepladder;

// Rows of one channel. `in` is where the first column takes its first tap from in row 0, `border` how many zero columns there
// are on either side.
struct Plane {
    const V* in;
    ptrdiff_t in_width;
    int width, border;
    const RowTaps* rows;
    int from, to;
    const float* weights;
    float bias;
    V* out;
};

// The nine taps of pixels side by side. The first `left` and the last `right` columns that they meet are zeros.
template <int pixels, bool bordered>
INLINE void accumulate_nine_taps(const Plane& plane, const RowTaps& row, int x0, int left, int right, V (&value)[pixels]) {
    const V* in = plane.in + row.in * plane.in_width + x0;
    const float* weight = plane.weights + 3 * row.tap;
    for (int r = 0; r < row.taps; ++r, in += plane.in_width, weight += 3) {
        V x[pixels + 2];
#pragma GCC unroll 10
        for (int p = 0; p < pixels + 2; ++p) {
            const bool zero = bordered && ((p < 2 && p < left) || (p >= pixels && p >= pixels + 2 - right));
            x[p] = zero ? V{} : in[p];
        }
#pragma GCC unroll 3
        for (int t = 0; t < 3; ++t) {
            const V w = broadcast(weight[t]);
#pragma GCC unroll 8
            for (int p = 0; p < pixels; ++p) multiply_add(value[p], w, x[p + t]);
        }
    }
}

// What becomes of a channel's values, in registers.
struct Finish {
    V sum, square;
    Sums gradient;
};

template <int pixels, Epilogue epilogue, bool bordered>
INLINE void convolve_pixels(const Plane& plane, int y, int x0, int left, int right, Finish& finish) {
    V value[pixels];
#pragma GCC unroll 8
    for (int p = 0; p < pixels; ++p) value[p] = broadcast(plane.bias);
    accumulate_nine_taps<pixels, bordered>(plane, plane.rows[y], x0, left, right, value);
    const ptrdiff_t at = (ptrdiff_t)y * plane.width + x0;
#pragma GCC unroll 8
    for (int p = 0; p < pixels; ++p) {
        if constexpr (epilogue == Epilogue::gradient) value[p] = finish.gradient.add(value[p], at + p);
        plane.out[at + p] = value[p];
        if constexpr (epilogue == Epilogue::statistics) {
            finish.sum += value[p];
            finish.square += value[p] * value[p];
        }
    }
}

// Each row in strips of `pixels` columns, `wide` of them, then of one less.
template <int pixels, Epilogue epilogue>
void convolve_plane(const Plane& plane, int strips, int wide, Finish& whole) {
    Finish finish = whole;
    for (int y = plane.from; y < plane.to; ++y)
        for (int k = 0, x = 0; k < strips; ++k) {
            const int left = k ? 0 : plane.border, right = k + 1 < strips ? 0 : plane.border;
            const bool bordered = left || right;
            if (k < wide) {
                if (bordered)
                    convolve_pixels<pixels, epilogue, true>(plane, y, x, left, right, finish);
                else
                    convolve_pixels<pixels, epilogue, false>(plane, y, x, 0, 0, finish);
                x += pixels;
            } else if constexpr (pixels > 1) {
                if (bordered)
                    convolve_pixels<pixels - 1, epilogue, true>(plane, y, x, left, right, finish);
                else
                    convolve_pixels<pixels - 1, epilogue, false>(plane, y, x, 0, 0, finish);
                x += pixels - 1;
            }
        }
    whole = finish;
}

typedef void (*PlaneFunction)(const Plane&, int, int, Finish&);

// As many pixels as fit in the registers with the inputs of a row and one weight.
constexpr int most_pixels = REGISTERS == 32 ? 8 : 6;

template <Epilogue epilogue>
PlaneFunction plane_function(int pixels) {
    static constexpr PlaneFunction table[] = {
        nullptr,
        convolve_plane<1, epilogue>,
        convolve_plane<2, epilogue>,
        convolve_plane<3, epilogue>,
        convolve_plane<4, epilogue>,
        convolve_plane<5, epilogue>,
        convolve_plane<6, epilogue>,
#if REGISTERS == 32
        convolve_plane<7, epilogue>,
        convolve_plane<8, epilogue>,
#endif
    };
    return table[pixels];
}

template <Epilogue epilogue>
void convolve_depthwise(const Convolution& work) {
    const Walk& walk = *work.walk;
    const ptrdiff_t in_plane = (ptrdiff_t)walk.in_height * walk.in_width, out_plane = (ptrdiff_t)walk.out_height * walk.out_width;
    // Strips of nearly equal width: a narrow one would wait for its own sums.
    const int strips = (walk.out_width + most_pixels - 1) / most_pixels;
    const int pixels = (walk.out_width + strips - 1) / strips, wide = walk.out_width - strips * (pixels - 1);
    for (int c = work.channels.from; c < work.channels.to; ++c) {
        const Plane plane{.in = (const V*)work.in + c * in_plane - walk.border,
                          .in_width = walk.in_width,
                          .width = walk.out_width,
                          .border = walk.border,
                          .rows = walk.rows,
                          .from = work.from,
                          .to = work.to,
                          .weights = work.weights + 9 * (ptrdiff_t)c,
                          .bias = work.bias ? work.bias[c] : 0,
                          .out = (V*)work.out + c * out_plane};
        Finish finish{};
        if constexpr (epilogue == Epilogue::statistics) finish = {((V*)work.sum)[c], ((V*)work.square)[c], {}};
        if constexpr (epilogue == Epilogue::gradient) finish.gradient = Sums(*work.gradient, c, out_plane);
        plane_function<epilogue>(pixels)(plane, strips, wide, finish);
        if constexpr (epilogue == Epilogue::statistics) {
            ((V*)work.sum)[c] = finish.sum;
            ((V*)work.square)[c] = finish.square;
        }
        if constexpr (epilogue == Epilogue::gradient) finish.gradient.save(*work.gradient, c);
    }
}

}  // namespace
