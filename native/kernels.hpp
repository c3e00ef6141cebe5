// What the rest of the engine calls: one table of functions for each instruction set.
//
// Images are worked on in tiles of `lanes` images. A tensor of a tile is [channel][row][column][lane]: the lanes of a
// register are images, so every channel count runs at full width and nothing is padded. Sizes and strides below count
// vectors (one register, `lanes` floats) unless they say floats.
#pragma once
#include <cstddef>
#include <cstdint>

#include "window.hpp"

namespace stepladder {

// Where one row of outputs takes its taps from: input row `in` meets kernel row `tap`, the next ones follow, their steps those
// of the walk; `taps` of them lie inside the input. Taps on the zero border are never visited.
struct RowTaps {
    int in, tap, taps;
};

// A run of output pixels in a row, `count` of them `out_step` apart from `out`, that meet the same kernel columns
// (`taps` of them from `tap`), the first pixel from input column `in`, the following ones `in_step` further each.
struct ColumnRun {
    int out, out_step, count, in, in_step, tap, taps;
};

// How a convolution walks over its input; the gradient of a convolution is a walk of the same kind over its output.
struct Walk {
    // depthwise: of 3 x 3, each channel a group of its own, with steps of 1 (in a walk over gradients too), or of 2 (depthwise_2),
    // whose gradient spreads what it walks over
    enum class Kind { any, one_by_one, depthwise, depthwise_2, spread_2 } kind;
    int in_height, in_width;
    int out_height, out_width;
    int kernel;               // its side
    int tap_step, in_step;    // between the kernel rows (columns) that meet input rows, and between those input rows
    int in_group, out_group;  // channels of a group: an output channel sees the input channels of its own
    int border;           // zero columns on either side, for a kernel of 3 and steps of 1, and of depthwise_2 and spread_2; else 0
    const RowTaps* rows;  // one for each output row
    const ColumnRun* runs;
    int run_count;
    const int* blocks;  // how the output channels are split into register blocks, each inside a group
    int block_count;
};

// What happens to a gradient with respect to an activation on its way to the layer before: what else depends on the
// activation is added, it is scaled by 1 / (1 - dropout), zeroed where the activation is zero (or, where it has no ReLU and
// zero means nothing, is the -0 that marks what was dropped), summed (for bias and shift), and summed times (x - mean) (for
// scale). `activation`, `x` and `extra` are laid out as the gradient is.
struct GradientSums {
    const float* extra;  // null: nothing is added
    float scale;
    const float* activation;  // null where nothing was zeroed
    bool marked;              // zeroed is what is -0, not all that is zero
    const float* x;           // what entered the norm; null without one
    const float* mean;        // one a channel
    float* sum;               // one vector a channel
    float* product;           // one vector a channel
};

struct Span {
    int from, to;
};

// Output rows [from, to) of a convolution, of these output channels where it is depthwise, else of all. `sum` and `square` (null:
// not wanted) collect each channel's statistics as they are stored; with `gradient`, the outputs are gradients of activations
// instead.
struct Convolution {
    const Walk* walk;
    const float* in;
    ptrdiff_t in_plane;           // how far apart its channels are
    const float *weights, *bias;  // packed [block][in channel of the group][row][column][channel of block]
    float* out;
    int from, to;
    float *sum, *square;
    const GradientSums* gradient;
    Span channels;
};

// Adds the products of output gradient rows [from, to) and activations to `out`, of these channels where each is a group of its
// own with a kernel of 3 x 3, else of all; one vector for each weight:
// [block][in channel of the group][row][column][channel of block].
struct WeightGradient {
    int in_height, in_width, out_height, out_width;
    Window window;
    int in_group, out_group;  // channels of a group
    const Span* columns;      // for each column of the kernel: the output columns whose input column lies inside the input
    const float* gradient;    // its row 0; channels are `gradient_plane` apart
    ptrdiff_t gradient_plane;
    const float* activation;
    float* out;
    int from, to;
    const int* blocks;
    int block_count;
    Span channels;
};

// A plane-wise pass over rows [from, to) of channels [first, channels).
struct Rows {
    int channels, height, width, from, to;
    int first = 0;
};

// activation = relu(scale * x + shift), dropped where the draw of (image, element), 16 bits, falls below `threshold`: zero after
// a ReLU, else -0, which nothing else is.
struct Activation {
    const float *scale, *shift;  // one a channel, 1 / (1 - dropout) included
    bool relu;
    uint32_t threshold;    // 0: nothing is dropped
    const uint32_t* keys;  // one a lane
    bool channels;         // whole channels are dropped: the draws are of (image, channel)
};

enum class Function { leaky_relu, prelu, relu6, elu, silu, hard_swish, gelu, tanh, sigmoid };

// A function of each number in rows [from, to).
struct FunctionWork {
    Rows rows;
    Function function;
    float parameter;      // the slope of leaky_relu, the alpha of elu
    const float* slopes;  // of prelu: one, or one a channel
    int slope_count;
};

// Norms of each image for itself, over `groups` of neighbouring channels; a scale and a shift for each channel or, of one
// group, for each number (`elementwise`).
struct GroupNorm {
    int channels, plane, groups;
    bool elementwise;
    float epsilon;
    const float *scale, *shift;
};

// The sizes of a join's inputs: channels of `in` and of `source`, pixels a channel of `in`, and of `source` and the output.
struct JoinSizes {
    int channels, source_channels, in_plane, plane;
};

// The gradients of a join's inputs, from that of its output: of `in` to `out`, of `source` to `extra`, added to what is there
// unless it is the first to come.
struct JoinGradient {
    JoinSizes sizes;
    const float *gradient, *in, *source;  // `in` and `source` of a product, else null
    float *out, *extra;
    bool first;
};

// A layer of two inputs.
struct Join {
    void (*unite)(const JoinSizes&, const float* in, const float* source, float* out);
    void (*gradient)(const JoinGradient&, const GradientSums&);
};

struct Kernels {
    const char* name;
    int lanes;
    int block, gradient_block;  // the most output channels in a register block: convolve, weight_gradient
    void (*convolve)(const Convolution&);
    void (*weight_gradient)(const WeightGradient&);
    // out = activation of x
    void (*activate)(const Rows&, const Activation&, const float* x, float* out);
    // adds each channel's rows of x, and their squares, to `sum` and `square` (one vector a channel)
    void (*statistics)(const Rows&, const float* x, float* sum, float* square);
    // out = a * gradient + b * x + c for each channel, zero in lanes from `images` on; out's channels are `out_plane` apart
    void (*differentiate)(const Rows&, const float* a, const float* b, const float* c, const float* gradient, const float* x,
                          float* out, ptrdiff_t out_plane, int images);
    // maxima of the windows, of what lies inside the input; `rows` are those of the output; in has in_height x in_width
    void (*pool)(const Rows&, const Window&, int in_height, int in_width, const float* in, float* out);
    // sends each gradient to the first maximum of its window in `in`; `most` is what `pool` gave
    void (*pool_gradient)(const Rows&, const Window&, int in_height, int in_width, const float* gradient, const float* in,
                          const float* most, float* out, const GradientSums&);
    // means of the windows, zeros around the input included; a kernel of 0 is one window of all
    void (*average)(const Rows&, const Window&, int in_height, int in_width, const float* in, float* out);
    void (*average_gradient)(const Rows&, const Window&, int in_height, int in_width, const float* gradient, float* out,
                             const GradientSums&);
    Join add;          // out = in + source
    Join multiply;     // out = in * source, with one `in` for each number or for each channel
    Join scale;        // out = sigmoid(in) * source, with one `in` for each channel
    Join concatenate;  // out = source, then in
    Join branch;       // out = source
    // out = function of in
    void (*function)(const FunctionWork&, const float* in, float* out);
    // `in` and `out` are those of forward; adds the gradients of slopes to `slope_sums`, one vector each (null: not wanted)
    void (*function_gradient)(const FunctionWork&, const float* gradient, const float* in, const float* out, float* onwards,
                              float* slope_sums, const GradientSums&);
    // `moments` (null: not wanted) takes each group's mean and 1 / deviation, one vector each
    void (*group_norm)(const GroupNorm&, const float* in, float* out, float* moments);
    // adds the gradients of scales, then those of shifts, to `scale_sums`, one vector each
    void (*group_norm_gradient)(const GroupNorm&, const float* gradient, const float* in, const float* moments, float* out,
                                float* scale_sums, const GradientSums&);
    // sums[2 * channel] += first, sums[2 * channel + 1] += second, over lanes [0, images); both are set to zero
    void (*flush)(int channels, int images, float* first, float* second, double* sums);
    // out[i] = sum over lanes of in[i]
    void (*add_lanes)(size_t count, const float* in, float* out);
    // [image][element] to and from [element][lane], lanes beyond `images` become zero
    void (*to_tile)(size_t elements, int images, const float* in, float* out);
    void (*from_tile)(size_t elements, int images, const float* in, float* out);
    // Grey levels of one image through an affine map about its centre (null: none), normalised. `positions` and `patch`
    // are room to work in: see image_positions and image_patch.
    void (*image)(const uint8_t* in, int height, int width, const float* map, float scale, float shift, const float* positions,
                  uint8_t* patch, float* out);
    // multiply-adds as fast as they go, for `rounds` of 12; returns a value that depends on all of them
    float (*peak)(size_t rounds);
};

// Bytes of the patch, and floats of the positions (each pixel's x, then each one's y, from the centre) that `image` needs.
inline size_t image_patch(int height, int width) { return (size_t)(height + 3) * (width + 3) + 4; }
inline size_t image_positions(int height, int width) { return 2 * (((size_t)height * width + 15) / 16 * 16); }

extern const Kernels kernels_baseline;
#if defined(__x86_64__)
extern const Kernels kernels_avx2;
extern const Kernels kernels_avx512;
#endif

}  // namespace stepladder
