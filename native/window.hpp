// A window that slides over images, the same along rows and columns. (The functions have internal linkage: see vector.hpp.)
#pragma once

namespace stepladder {

// The taps of a kernel, `dilation` apart, at places `stride` apart, over an input with `padding` zeros on each side.
struct Window {
    int kernel, stride, padding, dilation;
};

// From the first to the last tap.
static inline int reach(const Window& window) { return (window.kernel - 1) * window.dilation + 1; }

static inline int clipped(int row, int rows) { return row < 0 ? 0 : row > rows ? rows : row; }

// The input rows that output rows up to `to` need, forward and backward: all of them for the last output row.
static inline int rows_needed(const Window& window, int to, int out_rows, int in_rows) {
    if (to == out_rows) return in_rows;
    if (to == 0) return 0;
    const int first = (to - 1) * window.stride - window.padding, seen = reach(window);
    return clipped(first + (seen > window.stride ? seen : window.stride), in_rows);
}

// The input rows that no output row from `to` on sees: their gradients are whole once the rows before it are done.
static inline int rows_whole(const Window& window, int to, int out_rows, int in_rows) {
    return to == out_rows ? in_rows : clipped(to * window.stride - window.padding, in_rows);
}

}  // namespace stepladder
