// Maxima and means of windows, and their gradients.
#pragma once
#include "kernels.hpp"
#include "pointwise.hpp"
#include "vector.hpp"

namespace {
using namespace stepladder;

// Windows side by side: each input is in one of them, or in none.

void pool_side_by_side(const Rows& rows, int size, int in_height, int in_width, const float* in, float* out) {
    for (int c = 0; c < rows.channels; ++c)
        for (int y = rows.from; y < rows.to; ++y) {
            const V* window = (const V*)in + (ptrdiff_t)(c * in_height + y * size) * in_width;
            V* to = (V*)out + (ptrdiff_t)(c * rows.height + y) * rows.width;
            if (size == 2) {
                const V* below = window + in_width;
                for (int x = 0; x < rows.width; ++x, window += 2, below += 2)
                    to[x] = larger(larger(window[0], window[1]), larger(below[0], below[1]));
                continue;
            }
            for (int x = 0; x < rows.width; ++x, window += size) {
                V most = window[0];
                for (int i = 0; i < size; ++i)
                    for (int j = 0; j < size; ++j) {
                        const V v = window[i * in_width + j];
                        most = larger(most, v);
                    }
                to[x] = most;
            }
        }
}

// Sends a window's gradient to the first of its maxima, as torch does; ties and all.
INLINE void split_among(int size, ptrdiff_t in_width, const V* plane, V gradient, ptrdiff_t corner, V* out, Sums& sums) {
    V most = plane[corner];
    for (int i = 0; i < size; ++i)
        for (int j = 0; j < size; ++j) most = larger(most, plane[corner + i * in_width + j]);
    I open = I{} - 1;  // lanes whose maximum is still to come
    for (int i = 0; i < size; ++i)
        for (int j = 0; j < size; ++j) {
            const ptrdiff_t at = corner + i * in_width + j;
            const I here = open & ((plane[at] == most) | (most != most));
            out[at] = sums.add(keep(here, gradient), at);
            open &= ~here;
        }
}

// The same for the usual window, 2 x 2: which row has it, and which of the row's two, are three comparisons.
INLINE void split_among_four(ptrdiff_t in_width, const V* plane, V gradient, ptrdiff_t corner, V* out, Sums& sums) {
    const ptrdiff_t below = corner + in_width;
    const V a = plane[corner], b = plane[corner + 1], c = plane[below], d = plane[below + 1];
    const V upper = b > a ? b : a, lower = d > c ? d : c;
    const V down = keep(lower > upper, gradient), up = keep(~(lower > upper), gradient);
    out[corner] = sums.add(keep(~(b > a), up), corner);
    out[corner + 1] = sums.add(keep(b > a, up), corner + 1);
    out[below] = sums.add(keep(~(d > c), down), below);
    out[below + 1] = sums.add(keep(d > c, down), below + 1);
}

struct Size {
    int height, width;
};

// Columns, and after the last row of windows rows, that no window covers have no gradient from it. `y` counts rows of windows.
INLINE void pass_uncovered(const Rows& rows, Size window, int y, ptrdiff_t in_plane, ptrdiff_t in_width, V* plane, Sums& sums) {
    ptrdiff_t row = y * window.height * in_width;
    for (int i = 0; i < window.height; ++i, row += in_width)
        for (ptrdiff_t x = rows.width * window.width; x < in_width; ++x) plane[row + x] = sums.add(V{}, row + x);
    if (y + 1 == rows.height)
        for (; row < in_plane; ++row) plane[row] = sums.add(V{}, row);
}

void pool_gradient_side_by_side(const Rows& rows, int size, int in_height, int in_width, const float* gradient, const float* in,
                                float* out, const GradientSums& g) {
    const ptrdiff_t in_plane = (ptrdiff_t)in_height * in_width;
    for (int c = 0; c < rows.channels; ++c) {
        Sums sums(g, c, in_plane);
        const V* plane = (const V*)in + c * in_plane;
        V* to = (V*)out + c * in_plane;
        for (int y = rows.from; y < rows.to; ++y) {
            const V* from = (const V*)gradient + (ptrdiff_t)(c * rows.height + y) * rows.width;
            const ptrdiff_t row = (ptrdiff_t)y * size * in_width;
            if (size == 2)
                for (int x = 0; x < rows.width; ++x) split_among_four(in_width, plane, from[x], row + x * 2, to, sums);
            else
                for (int x = 0; x < rows.width; ++x) split_among(size, in_width, plane, from[x], row + x * size, to, sums);
            pass_uncovered(rows, {size, size}, y, in_plane, in_width, to, sums);
        }
        sums.save(g, c);
    }
}

// The windows of an average side by side: `size` x `size`, or one of all.
struct AverageWindow {
    int height, width;
    V share;

    AverageWindow(int size, int in_height, int in_width)
        : height(size ? size : in_height), width(size ? size : in_width), share(broadcast(1.0f / (height * width))) {}
};

void average_side_by_side(const Rows& rows, int size, int in_height, int in_width, const float* in, float* out) {
    const AverageWindow window(size, in_height, in_width);
    for (int c = 0; c < rows.channels; ++c)
        for (int y = rows.from; y < rows.to; ++y)
            for (int x = 0; x < rows.width; ++x) {
                const V* corner = (const V*)in + (ptrdiff_t)(c * in_height + y * window.height) * in_width + x * window.width;
                V sum = {};
                for (int i = 0; i < window.height; ++i)
                    for (int j = 0; j < window.width; ++j) sum += corner[(ptrdiff_t)i * in_width + j];
                ((V*)out)[(ptrdiff_t)(c * rows.height + y) * rows.width + x] = sum * window.share;
            }
}

void average_gradient_side_by_side(const Rows& rows, int size, int in_height, int in_width, const float* gradient, float* out,
                                   const GradientSums& g) {
    const AverageWindow window(size, in_height, in_width);
    const ptrdiff_t in_plane = (ptrdiff_t)in_height * in_width;
    for (int c = 0; c < rows.channels; ++c) {
        Sums sums(g, c, in_plane);
        V* to = (V*)out + c * in_plane;
        for (int y = rows.from; y < rows.to; ++y) {
            const ptrdiff_t row = (ptrdiff_t)y * window.height * in_width;
            for (int x = 0; x < rows.width; ++x) {
                const V each = ((const V*)gradient)[(ptrdiff_t)(c * rows.height + y) * rows.width + x] * window.share;
                for (int i = 0; i < window.height; ++i)
                    for (int j = 0; j < window.width; ++j) {
                        const ptrdiff_t at = row + (ptrdiff_t)i * in_width + x * window.width + j;
                        to[at] = sums.add(each, at);
                    }
            }
            pass_uncovered(rows, {window.height, window.width}, y, in_plane, in_width, to, sums);
        }
        sums.save(g, c);
    }
}

// Windows that overlap, lie apart or reach beyond the input.

// The rows (columns) of an input with `side` of them that a window sees from one of its places.
INLINE Span seen(const Window& window, int place, int side) {
    const int first = place * window.stride - window.padding;
    return {clipped(first, side), clipped(first + window.kernel, side)};
}

// Calls work(window's place in a plane of outputs, its rows, its columns) for each window of the rows.
template <typename Work>
INLINE void for_windows(const Rows& rows, const Window& window, int in_height, int in_width, Work work) {
    for (int y = rows.from; y < rows.to; ++y) {
        const Span down = seen(window, y, in_height);
        for (int x = 0; x < rows.width; ++x) work((ptrdiff_t)y * rows.width + x, down, seen(window, x, in_width));
    }
}

void pool_anywhere(const Rows& rows, const Window& window, int in_height, int in_width, const float* in, float* out) {
    for (int c = 0; c < rows.channels; ++c) {
        const V* plane = (const V*)in + (ptrdiff_t)c * in_height * in_width;
        V* to = (V*)out + (ptrdiff_t)c * rows.height * rows.width;
        for_windows(rows, window, in_height, in_width, [&](ptrdiff_t place, Span down, Span across) INLINE_LAMBDA {
            V most = plane[(ptrdiff_t)down.from * in_width + across.from];
            for (int y = down.from; y < down.to; ++y)
                for (int x = across.from; x < across.to; ++x) most = larger(most, plane[(ptrdiff_t)y * in_width + x]);
            to[place] = most;
        });
    }
}

INLINE V share_of(const Window& window) { return broadcast(1 / ((float)window.kernel * (float)window.kernel)); }

void average_anywhere(const Rows& rows, const Window& window, int in_height, int in_width, const float* in, float* out) {
    const V share = share_of(window);
    for (int c = 0; c < rows.channels; ++c) {
        const V* plane = (const V*)in + (ptrdiff_t)c * in_height * in_width;
        V* to = (V*)out + (ptrdiff_t)c * rows.height * rows.width;
        for_windows(rows, window, in_height, in_width, [&](ptrdiff_t place, Span down, Span across) INLINE_LAMBDA {
            V sum = {};
            for (int y = down.from; y < down.to; ++y)
                for (int x = across.from; x < across.to; ++x) sum += plane[(ptrdiff_t)y * in_width + x];
            to[place] = sum * share;
        });
    }
}

// The gradient of inputs that several windows may see: `spread(channel, place, rows, columns)` adds what each window sends to
// its inputs. Rows that later windows see are left as the sums they are so far, all others are finished.
template <typename Spread>
INLINE void gradient_anywhere(const Rows& rows, const Window& window, int in_height, int in_width, float* out,
                              const GradientSums& g, Spread spread) {
    const ptrdiff_t in_plane = (ptrdiff_t)in_height * in_width;
    const auto first = [&](int row) { return (ptrdiff_t)row * in_width; };
    const ptrdiff_t begun = first(rows_needed(window, rows.from, rows.height, in_height));
    const ptrdiff_t met = first(rows_needed(window, rows.to, rows.height, in_height));
    const ptrdiff_t done = first(rows.from ? rows_whole(window, rows.from, rows.height, in_height) : 0);
    const ptrdiff_t whole = first(rows_whole(window, rows.to, rows.height, in_height));
    for (int c = 0; c < rows.channels; ++c) {
        Sums sums(g, c, in_plane);
        V* to = (V*)out + c * in_plane;
        for (ptrdiff_t i = begun; i < met; ++i) to[i] = V{};
        for_windows(rows, window, in_height, in_width,
                    [&](ptrdiff_t place, Span down, Span across) INLINE_LAMBDA { spread(c, place, down, across, to); });
        for (ptrdiff_t i = done; i < whole; ++i) to[i] = sums.add(to[i], i);
        sums.save(g, c);
    }
}

void pool_gradient_anywhere(const Rows& rows, const Window& window, int in_height, int in_width, const float* gradient,
                            const float* in, const float* most, float* out, const GradientSums& g) {
    const ptrdiff_t in_plane = (ptrdiff_t)in_height * in_width, plane = (ptrdiff_t)rows.height * rows.width;
    gradient_anywhere(rows, window, in_height, in_width, out, g,
                      [&](int c, ptrdiff_t place, Span down, Span across, V* to) INLINE_LAMBDA {
                          const V* from = (const V*)in + c * in_plane;
                          const V v = ((const V*)gradient)[c * plane + place], maximum = ((const V*)most)[c * plane + place];
                          I open = I{} - 1;  // lanes whose maximum is still to come
                          for (int y = down.from; y < down.to; ++y)
                              for (int x = across.from; x < across.to; ++x) {
                                  const ptrdiff_t at = (ptrdiff_t)y * in_width + x;
                                  const I here = open & ((from[at] == maximum) | (maximum != maximum));
                                  to[at] += keep(here, v);
                                  open &= ~here;
                              }
                      });
}

void average_gradient_anywhere(const Rows& rows, const Window& window, int in_height, int in_width, const float* gradient,
                               float* out, const GradientSums& g) {
    const ptrdiff_t plane = (ptrdiff_t)rows.height * rows.width;
    const V share = share_of(window);
    gradient_anywhere(rows, window, in_height, in_width, out, g,
                      [&](int c, ptrdiff_t place, Span down, Span across, V* to) INLINE_LAMBDA {
                          const V each = ((const V*)gradient)[c * plane + place] * share;
                          for (int y = down.from; y < down.to; ++y)
                              for (int x = across.from; x < across.to; ++x) to[(ptrdiff_t)y * in_width + x] += each;
                      });
}

// What the table of kernels offers: either of the two.

INLINE bool side_by_side(const Window& window) { return window.stride == window.kernel && !window.padding; }

void pool(const Rows& rows, const Window& window, int in_height, int in_width, const float* in, float* out) {
    if (side_by_side(window)) return pool_side_by_side(rows, window.kernel, in_height, in_width, in, out);
    pool_anywhere(rows, window, in_height, in_width, in, out);
}

void pool_gradient(const Rows& rows, const Window& window, int in_height, int in_width, const float* gradient, const float* in,
                   const float* most, float* out, const GradientSums& g) {
    if (side_by_side(window)) return pool_gradient_side_by_side(rows, window.kernel, in_height, in_width, gradient, in, out, g);
    pool_gradient_anywhere(rows, window, in_height, in_width, gradient, in, most, out, g);
}

void average(const Rows& rows, const Window& window, int in_height, int in_width, const float* in, float* out) {
    if (side_by_side(window)) return average_side_by_side(rows, window.kernel, in_height, in_width, in, out);
    average_anywhere(rows, window, in_height, in_width, in, out);
}

void average_gradient(const Rows& rows, const Window& window, int in_height, int in_width, const float* gradient, float* out,
                      const GradientSums& g) {
    if (side_by_side(window)) return average_gradient_side_by_side(rows, window.kernel, in_height, in_width, gradient, out, g);
    average_gradient_anywhere(rows, window, in_height, in_width, gradient, out, g);
}

}  // namespace
