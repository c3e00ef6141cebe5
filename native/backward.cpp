// The backward half of a network (network.cpp has the rest).
#include <algorithm>
#include <cstring>

#include "clock.hpp"
#include "network.hpp"

namespace stepladder {

// How the gradient of what enters a stage goes on to the stage before, once `enter` has filled scratch.in.
GradientSums Network::through(size_t number, int tile, Scratch& scratch) const {
    const Stage& stage = stages_[number];
    GradientSums through{nullptr, 1, nullptr, false, nullptr, nullptr, scratch.first.data(), scratch.second.data()};
    if (stage.joined()) through.extra = stage.extra.data() + tile * stage.in_size() * kernels_.lanes;
    if (!number) return through;
    const Stage& before = stages_[number - 1];
    const bool dropped = training_ && before.layer.dropout > 0;
    if (dropped) through.scale = (float)(1 / (1 - (double)before.layer.dropout));
    if (before.layer.relu || dropped) through.activation = scratch.in.data();
    through.marked = !before.layer.relu;
    if (before.layer.norm) {
        through.x = before.out.data() + tile * before.out_size() * kernels_.lanes;
        through.mean = before.means.data();
    }
    return through;
}

// A join has neither weights nor norm: the gradient of its output is that of the activation after it.
void Network::join_backward_tile(size_t number, int tile, const float* logits, Scratch& scratch, double* sums, bool to_input) {
    const Stage& stage = stages_[number];
    const Layer& l = stage.layer;
    const size_t source = l.source;
    const float* gradient = gradients_[number & 1].data() + tile * largest_ * kernels_.lanes;
    float* onwards = gradients_[~number & 1].data() + tile * largest_ * kernels_.lanes;
    const bool fused = number == 1 && first_is_fused(to_input);
    if (fused) onwards = scratch.fused.data();
    if (logits) {
        to_tile(logits, stage.out_size(), tile, images_, scratch.out.data());
        gradient = scratch.out.data();
    }
    float* extra = stages_[source].extra.data() + tile * stages_[source].in_size() * kernels_.lanes;
    const GradientSums through = this->through(number, tile, scratch);
    const float* in = l.multiplies() || through.activation ? enter(number, tile, scratch.in.data()) : nullptr;
    const float* second = l.multiplies() ? enter(source, tile, scratch.source.data()) : nullptr;
    const bool first = stages_[source].last_join == (int)number;
    join_of(l).gradient({l.join_sizes(), gradient, in, second, onwards, extra, first}, through);
    if (fused) first_rows(tile, scratch, 0, stages_[0].layer.out_height);
    kernels_.flush(l.in_channels, lanes_in(tile, images_), scratch.first.data(), scratch.second.data(), sums);
}

void Network::backward_tile(size_t number, int tile, const float* logits, Scratch& scratch, double* sums, bool to_input) {
    Stage& stage = stages_[number];
    const Layer& l = stage.layer;
    if (l.joins()) return join_backward_tile(number, tile, logits, scratch, sums, to_input);
    const float* out = stage.out.data() + tile * stage.out_size() * kernels_.lanes;
    const float* after = gradients_[number & 1].data() + tile * largest_ * kernels_.lanes;  // of the activation after this stage
    float* onwards = gradients_[~number & 1].data() + tile * largest_ * kernels_.lanes;     // of what enters it
    float* room = scratch.out.data();
    const float* gradient = room;  // of its output
    const Stage* before = number ? &stages_[number - 1] : nullptr;
    const bool fused = number == 1 && first_is_fused(to_input);
    if (fused) onwards = scratch.fused.data();
    if (logits) to_tile(logits, stage.out_size(), tile, images_, room);
    const bool onwards_wanted = before || to_input || l.operation != Operation::convolution;
    const ptrdiff_t plane = (ptrdiff_t)(onwards_wanted || logits ? l.out_height : stage.rows_at_once) * l.out_width;

    const GradientSums through = this->through(number, tile, scratch);
    for (int y = 0, entered = 0, done = 0; y < l.out_height;) {
        const int to = std::min(l.out_height, y + stage.rows_at_once), begun = done;
        const Rows rows{l.out_channels, l.out_height, l.out_width, y, to};
        const float* in = enter(number, tile, scratch.in.data(), to, entered);
        if (!logits && stage.given_as_is()) {
            gradient = after;
        } else if (!logits) {
            // Where no gradient goes further, each block of rows is needed once: all take the same, nearest memory.
            if (!onwards_wanted) gradient = room = scratch.out.data() - (ptrdiff_t)y * l.out_width * kernels_.lanes;
            kernels_.differentiate(rows, stage.a.data(), stage.b.data(), stage.c.data(), after, out, room, plane,
                                   lanes_in(tile, images_));
        }
        if (l.operation == Operation::convolution) {
            if (!l.fixed)
                kernels_.weight_gradient({l.in_height, l.in_width, l.out_height, l.out_width, l.window, l.in_group(), l.out_group(),
                                          stage.columns.data(), gradient, plane, in, scratch.weights.data(), y, to,
                                          stage.weight_blocks.data(), (int)stage.weight_blocks.size()});
            if (onwards_wanted) {
                done = l.rows_whole(to);
                kernels_.convolve({&stage.gradient_walk, gradient, stage.gradient_weights.data(), nullptr, onwards, begun, done,
                                   nullptr, nullptr, &through});
            }
        } else {
            if (l.operation == Operation::function)
                kernels_.function_gradient(function_of(stage, stage.trained, y, to), gradient, in, out, onwards,
                                           l.scales ? scratch.weights.data() : nullptr, through);
            else if (l.operation == Operation::group_norm)
                kernels_.group_norm_gradient(group_norm_of(stage, stage.trained), gradient, in,
                                             stage.moments.data() + (size_t)tile * 2 * l.groups * kernels_.lanes, onwards,
                                             scratch.weights.data(), through);
            else if (l.operation == Operation::max_pool)
                kernels_.pool_gradient(rows, l.window, l.in_height, l.in_width, gradient, in, out, onwards, through);
            else
                kernels_.average_gradient(rows, l.window, l.in_height, l.in_width, gradient, onwards, through);
            done = l.rows_whole(to);
        }
        if (fused) {
            const bool flat = before->layer.out_height != l.in_height;  // one row of all
            first_rows(tile, scratch, flat ? 0 : begun, flat ? before->layer.out_height : done);
        }
        y = to;
    }
    if (onwards_wanted) kernels_.flush(l.in_channels, lanes_in(tile, images_), scratch.first.data(), scratch.second.data(), sums);
}

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
        kernels_.weight_gradient({l.in_height, l.in_width, l.out_height, l.out_width, l.window, in_group, out_group,
                                  stage.columns.data(), gradient, (ptrdiff_t)l.out_height * l.out_width, in, sums, from, to, blocks,
                                  block_count});
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
        for (int g = 0; g < groups; ++g) sum += group_weights_[g * count + at];
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
    stage.a.assign(l.out_channels, 1);
    stage.b.assign(l.out_channels, 0);
    stage.c.assign(l.out_channels, 0);
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

void Network::backward(const float* logits, float* parameters, float* x) {
    const std::lock_guard lock(mutex_);
    const int tiles = (images_ + kernels_.lanes - 1) / kernels_.lanes, groups = this->groups();
    std::vector<float*> at;
    for (const Stage& stage : stages_) {
        at.push_back(parameters);
        parameters += stage.parameter_count();
    }
    const bool fused = first_is_fused(x != nullptr);
    // Of a first layer without weights nothing is wanted but the gradient of the batch.
    const bool skipped = fused || (!x && !stages_[0].trained_weights());
    for (size_t i = stages_.size(); i-- > (skipped ? 1 : 0);) {
        Stage& stage = stages_[i];
        const Clock clock(stage.backward_seconds);
        const bool last = i + 1 == stages_.size();
        if (i) {  // the mean of each channel that the sums below are taken about
            Stage& before = stages_[i - 1];
            const int spread = stage.layer.in_channels / before.layer.out_channels;
            before.means.clear();
            for (float mean : before.mean) before.means.insert(before.means.end(), spread, mean);
        }
        std::vector<double> sums((size_t)groups * 2 * stage.layer.in_channels);
        threads_.run(groups, [&](int group, int thread) {
            Scratch& scratch = scratch_[thread];
            const size_t weights = stage.trained_weights();
            std::memset(scratch.weights.data(), 0, weights * kernels_.lanes * sizeof(float));
            if (i == 1 && fused) std::memset(scratch.fused_sums.data(), 0, first_sum_count() * kernels_.lanes * sizeof(float));
            for (int tile = group * tiles / groups; tile < (group + 1) * tiles / groups; ++tile) {
                backward_tile(i, tile, last ? logits : nullptr, scratch, &sums[(size_t)group * 2 * stage.layer.in_channels],
                              x != nullptr);
                if (i == 0 && x)
                    kernels_.from_tile(stage.in_size(), lanes_in(tile, images_),
                                       gradients_[1].data() + tile * largest_ * kernels_.lanes,
                                       x + (size_t)tile * kernels_.lanes * stage.in_size());
            }
            kernels_.add_lanes(weights, scratch.weights.data(), group_weights_.data() + group * weights);
            if (i == 1 && fused)
                kernels_.add_lanes(first_sum_count(), scratch.fused_sums.data(), group_first_.data() + group * first_sum_count());
        });
        if (stage.trained_weights()) collect_gradients(stage, groups, at[i]);
        if (i) finish_norm(stages_[i - 1], sums, groups, stage.layer.in_channels, at[i - 1]);
    }
    if (fused) collect_first_gradients(groups, at[0]);
}

}  // namespace stepladder
