// Images in, tiles of activations out, and back.
#pragma once
#include "kernels.hpp"
#include "vector.hpp"

namespace {
using namespace stepladder;

void to_tile(size_t elements, int images, const float* in, float* out) {
    if (images < LANES)
        for (size_t i = 0; i < elements * LANES; ++i) out[i] = 0;
    for (size_t i = 0; i < elements; ++i)
        for (int lane = 0; lane < images; ++lane) out[i * LANES + lane] = in[lane * elements + i];
}

void from_tile(size_t elements, int images, const float* in, float* out) {
    for (int lane = 0; lane < images; ++lane)
        for (size_t i = 0; i < elements; ++i) out[lane * elements + i] = in[i * LANES + lane];
}

// The grey levels with a border of zeros, so that the four neighbours of any clipped position can be read.
void fill_patch(const uint8_t* in, int height, int width, uint8_t* patch) {
    const int stride = width + 3;
    __builtin_memset(patch, 0, image_patch(height, width));
    for (int y = 0; y < height; ++y) __builtin_memcpy(patch + (y + 1) * stride + 1, in + y * width, width);
}

// Bilinear, 0 outside the image; `map` takes output to input positions, both measured from the image's centre.
void image(const uint8_t* in, int height, int width, const float* map, float scale, float shift, const float* positions,
           uint8_t* patch, float* out) {
    const int pixels = height * width;
    if (!map) {
        for (int i = 0; i < pixels; ++i) out[i] = in[i] * scale + shift;
        return;
    }
    fill_patch(in, height, width, patch);
    const int stride = width + 3;
    const float *xs = positions, *ys = positions + image_positions(height, width) / 2;
    // The image begins at (1, 1) of the patch.
    const V middle_x = broadcast((width + 1) / 2.0f), middle_y = broadcast((height + 1) / 2.0f);
    const V zero = {}, right = broadcast(width + 1.0f), bottom = broadcast(height + 1.0f);
    for (int i = 0; i < pixels; i += LANES) {
        V x, y;
        __builtin_memcpy(&x, xs + i, sizeof x);
        __builtin_memcpy(&y, ys + i, sizeof y);
        V from_x = map[0] * x + map[1] * y + map[2] + middle_x, from_y = map[3] * x + map[4] * y + map[5] + middle_y;
        // Beyond the border all is zero: clipping there leaves the value as it is. (NaN is clipped too.)
        from_x = from_x > zero ? from_x : zero;
        from_x = from_x < right ? from_x : right;
        from_y = from_y > zero ? from_y : zero;
        from_y = from_y < bottom ? from_y : bottom;
        const I column = to_int(from_x), row = to_int(from_y);
        const V part_x = from_x - to_float(column), part_y = from_y - to_float(row);
        const I place = row * stride + column;
        const I upper = gather(patch, place), lower = gather(patch + stride, place);
        const V a = to_float(upper & 255), b = to_float(upper >> 8 & 255), c = to_float(lower & 255),
                d = to_float(lower >> 8 & 255);
        const V above = a + part_x * (b - a), below = c + part_x * (d - c);
        const V value = (above + part_y * (below - above)) * scale + shift;
        if (i + LANES <= pixels)
            __builtin_memcpy(out + i, &value, sizeof value);
        else
            for (int lane = 0; i + lane < pixels; ++lane) out[i + lane] = value[lane];
    }
}

}  // namespace
