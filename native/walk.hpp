// Which inputs meet which taps of a kernel, worked out once for each layer.
#pragma once
#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels.hpp"

namespace stepladder {

// `side` outputs of a convolution over `in_side` inputs with zeros on the border.
inline std::vector<RowTaps> forward_taps(int side, int in_side, const Window& window) {
    std::vector<RowTaps> taps;
    for (int i = 0; i < side; ++i) {
        const int first = i * window.stride - window.padding;
        RowTaps found{0, 0, 0};
        for (int tap = 0; tap < window.kernel; ++tap) {
            const int at = first + tap * window.dilation;
            if (at < 0 || at >= in_side) continue;
            if (!found.taps) found = {at, tap, 0};
            ++found.taps;
        }
        taps.push_back(found);
    }
    return taps;
}

// The same for the gradient: `side` inputs of that convolution gather from its `out_side` outputs. The kernel is
// flipped, so that successive outputs meet successive taps. An output that meets tap t is (first + t * dilation) / stride:
// where that is whole for one tap, it is for those stride / gcd away from it, whose outputs are dilation / gcd away.
inline std::vector<RowTaps> gradient_taps(int side, int out_side, const Window& window) {
    std::vector<RowTaps> taps;
    for (int i = 0; i < side; ++i) {
        const int first = i + window.padding - (reach(window) - 1);
        RowTaps found{0, 0, 0};
        for (int tap = 0; tap < window.kernel; ++tap) {
            const int scaled = first + tap * window.dilation;
            if (scaled < 0 || scaled % window.stride || scaled / window.stride >= out_side) continue;
            if (!found.taps) found = {scaled / window.stride, tap, 0};
            ++found.taps;
        }
        taps.push_back(found);
    }
    return taps;
}

// Columns that meet the same taps, joined into runs: `out_step` apart, their inputs `in_step` apart.
inline std::vector<ColumnRun> runs_of(const std::vector<RowTaps>& columns, int out_step, int in_step) {
    std::vector<ColumnRun> runs;
    const int side = (int)columns.size();
    for (int start = 0; start < out_step; ++start)
        for (int i = start; i < side; i += out_step) {
            const RowTaps& at = columns[i];
            if (i > start) {
                ColumnRun& last = runs.back();
                const bool follows = last.tap == at.tap && last.in + last.count * in_step == at.in;
                if (last.taps == at.taps && (follows || !at.taps)) {
                    ++last.count;
                    continue;
                }
            }
            runs.push_back(
                {.out = i, .out_step = out_step, .count = 1, .in = at.in, .in_step = in_step, .tap = at.tap, .taps = at.taps});
        }
    return runs;
}

// For each tap of a kernel, the outputs for which it lies inside the input.
inline std::vector<Span> tap_spans(int side, int in_side, const Window& window) {
    std::vector<Span> spans;
    for (int tap = 0; tap < window.kernel; ++tap) {
        Span span{side, 0};  // none
        for (int i = 0; i < side; ++i)
            if (const int at = i * window.stride - window.padding + tap * window.dilation; at >= 0 && at < in_side) {
                span.from = std::min(span.from, i);
                span.to = i + 1;
            }
        spans.push_back(span);
    }
    return spans;
}

// The channels of each group in nearly equal blocks of at most `most`.
inline std::vector<int> split(int groups, int channels, int most) {
    const int count = (channels + most - 1) / most;
    std::vector<int> blocks;
    for (int g = 0; g < groups; ++g)
        for (int i = 0; i < count; ++i) blocks.push_back(channels / count + (i < channels % count));
    return blocks;
}

}  // namespace stepladder
