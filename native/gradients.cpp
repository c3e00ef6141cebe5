// What backward has summed, as gradients of parameters.
#include "network.hpp"

namespace stepladder {

// The first layer's weight gradient needs no pass of its own where the gradient of the batch is not wanted. With
// gradient of the output = a * gradient + b * output + c (finish_norm), it is linear in three sums over all pixels, of
// gradient, output and 1 times input, which are taken while the second layer's backward has the rows in the cache; a, b
// and c follow once these are whole.
bool Network::first_is_fused(bool to_input) const {
    const Layer& first = stages_[0].layer;
    return !to_input && stages_.size() > 1 && first.operation == Operation::convolution && !first.fixed;
}

size_t Network::first_sum_count() const {
    const Layer& l = stages_[0].layer;
    if (l.operation != Operation::convolution) return 0;
    return 2 * stages_[0].weight_count() + (size_t)l.in_channels * l.taps();
}

void Network::first_rows(int tile, Scratch& scratch, int from, int to) const {
    const Stage& stage = stages_[0];
    const Layer& l = stage.layer;
    const float* in = input_.data() + tile * stage.in_size() * kernels_.lanes;
    float* sums = scratch.fused_sums.data();
    const auto add = [&](int in_group, int out_group, const float* gradient, const int* blocks, int block_count) {
        kernels_.weight_gradient({.in_height = l.in_height,
                                  .in_width = l.in_width,
                                  .out_height = l.out_height,
                                  .out_width = l.out_width,
                                  .window = l.window,
                                  .in_group = in_group,
                                  .out_group = out_group,
                                  .columns = stage.columns.data(),
                                  .gradient = gradient,
                                  .gradient_plane = (ptrdiff_t)l.out_height * l.out_width,
                                  .activation = in,
                                  .out = sums,
                                  .from = from,
                                  .to = to,
                                  .blocks = blocks,
                                  .block_count = block_count,
                                  .channels = {0, block_count}});
    };
    const size_t weights = stage.weight_count() * kernels_.lanes;
    const int blocks = (int)stage.weight_blocks.size(), one = 1;
    add(l.in_group(), l.out_group(), scratch.fused.data(), stage.weight_blocks.data(), blocks);
    if (!l.norm || !training_) return;  // b and c are 0
    sums += weights;
    add(l.in_group(), l.out_group(), stage.out.data() + tile * stage.out_size() * kernels_.lanes, stage.weight_blocks.data(),
        blocks);
    sums += weights;
    add(l.in_channels, 1, ones_.data(), &one, 1);
}

void Network::collect_first_gradients(int groups, float* parameters) const {
    const Stage& stage = stages_[0];
    const Layer& l = stage.layer;
    const int taps = l.taps(), in_channels = l.in_group();
    const size_t weights = stage.weight_count(), count = first_sum_count();
    const auto total = [&](size_t at) {
        double sum = 0;
        for (int g = 0; g < groups; ++g) sum += group_first_[g * count + at];
        return sum;
    };
    size_t at = 0;
    int first = 0;
    for (int channels : stage.weight_blocks) {
        for (int i = 0; i < in_channels; ++i)
            for (int tap = 0; tap < taps; ++tap)
                for (int c = first; c < first + channels; ++c, ++at) {
                    const size_t one = 2 * weights + (size_t)(c / l.out_group() * in_channels + i) * taps + tap;
                    parameters[((size_t)c * in_channels + i) * taps + tap] =
                        (float)(stage.a[c] * total(at) + stage.b[c] * total(weights + at) + stage.c[c] * total(one));
                }
        first += channels;
    }
}

void Network::collect_gradients(Stage& stage, int groups, float* parameters) const {
    const Layer& l = stage.layer;
    const size_t count = stage.trained_weights();
    const auto total = [&](size_t at) {
        float sum = 0;
        for (int g = 0; g < groups; ++g) sum += group_weights_[g * most_weights_ + stage.weights_at + at];
        return sum;
    };
    if (l.operation != Operation::convolution) {
        for (size_t at = 0; at < count; ++at) parameters[at] = total(at);
        return;
    }
    const int taps = l.taps(), in_channels = l.in_group();
    size_t at = 0;
    int first = 0;
    for (int channels : stage.weight_blocks) {
        for (int i = 0; i < in_channels; ++i)
            for (int tap = 0; tap < taps; ++tap)
                for (int c = 0; c < channels; ++c, ++at)
                    parameters[((size_t)(first + c) * in_channels + i) * taps + tap] = total(at);
        first += channels;
    }
}

// From the sums of a layer's gradient and of gradient * (output - mean): the gradients of its bias or norm, and how the
// gradient of its output follows (Ioffe and Szegedy 2015). `channels` are those of the next layer: more after flattening.
void Network::finish_norm(Stage& stage, const std::vector<double>& sums, int groups, int channels, float* parameters) {
    const Layer& l = stage.layer;
    const int spread = channels / l.out_channels;
    const double count = (double)images_ * l.out_height * l.out_width;
    float* bias = parameters + stage.trained_weights();
    float* scale = bias + (l.bias ? l.out_channels : 0);
    for (int c = 0; c < l.out_channels; ++c) {
        double sum = 0, product = 0;
        for (int g = 0; g < groups; ++g)
            for (int i = 0; i < spread; ++i) {
                sum += sums[2 * ((size_t)g * channels + c * spread + i)];
                product += sums[2 * ((size_t)g * channels + c * spread + i) + 1];
            }
        double a = 1;
        if (l.norm) {
            const double r = stage.deviation[c];
            a = stage.gamma[c] * r;
            stage.a[c] = (float)a;
            if (training_) {
                const double b = -a * r * r * product / count;
                stage.b[c] = (float)b;
                stage.c[c] = (float)(-a * sum / count - b * stage.mean[c]);
            }
            scale[c] = (float)(product * r);
            scale[l.out_channels + c] = (float)sum;
        }
        // With the batch's own statistics the norm takes any bias away again: its gradient is exactly zero.
        if (l.bias) bias[c] = l.norm && training_ ? 0 : (float)(a * sum);
    }
}

}  // namespace stepladder
