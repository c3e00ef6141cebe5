// The backward half of a network (gradients.cpp collects what it has summed).
#include <algorithm>
#include <cstring>

#include "clock.hpp"
#include "network.hpp"

namespace stepladder {

// How the gradient of what enters a stage goes on to the stage before, once `enter` has filled scratch.in.
GradientSums Network::through(size_t number, int tile, Scratch& scratch) const {
    const Stage& stage = stages_[number];
    GradientSums through{.scale = 1, .sum = scratch.first.data(), .product = scratch.second.data()};
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

// Where the gradient of the activation after a stage is found, and where that of what enters it is left: inside a chain in one
// tile's room.
const float* Network::after(size_t number, int tile, const Scratch& scratch) const {
    for (const Chain& chain : chains_)
        if (number + 1 == chain.to) return gradients_[number & 1].data() + tile * largest_ * kernels_.lanes;
    return scratch.inside[number & 1].data();
}

float* Network::onwards(size_t number, int tile, const Scratch& scratch) const {
    if (!number) return gradients_[1].data() + tile * largest_ * kernels_.lanes;
    return const_cast<float*>(after(number - 1, tile, scratch));
}

// A join has neither weights nor norm: the gradient of its output is that of the activation after it.
void Network::join_backward_tile(size_t number, int tile, const float* logits, Scratch& scratch, double* sums, bool to_input) {
    const Stage& stage = stages_[number];
    const Layer& l = stage.layer;
    const size_t source = l.source;
    const float* gradient = after(number, tile, scratch);
    const bool fused = number == 1 && first_is_fused(to_input);
    float* onwards = fused ? scratch.fused.data() : this->onwards(number, tile, scratch);
    if (logits) {
        to_tile(logits, stage.out_size(), tile, images_, scratch.out.data());
        gradient = scratch.out.data();
    }
    float* extra = stages_[source].extra.data() + tile * stages_[source].in_size() * kernels_.lanes;
    const GradientSums through = this->through(number, tile, scratch);
    const float* in = l.multiplies() || through.activation ? enter(number, tile, scratch.in.data()) : nullptr;
    const float* second = l.multiplies() ? enter(source, tile, scratch.source.data()) : nullptr;
    join_of(l).gradient({.sizes = l.join_sizes(),
                         .gradient = gradient,
                         .in = in,
                         .source = second,
                         .out = onwards,
                         .extra = extra,
                         .first = stages_[source].last_join == (int)number},
                        through);
    if (fused) first_rows(tile, scratch, 0, stages_[0].layer.out_height);
    kernels_.flush(l.in_channels, lanes_in(tile, images_), scratch.first.data(), scratch.second.data(), sums);
}

// The gradients of a convolution's weights and, unless null, of what enters it: its rows [begun, done).
void Network::convolution_backward(const Stage& stage, const Part& part, const float* in, const float* gradient, ptrdiff_t plane,
                                   float* onwards, int begun, int done, const GradientSums* through, float* weights) const {
    const Layer& l = stage.layer;
    if (!l.fixed)
        kernels_.weight_gradient({.in_height = l.in_height,
                                  .in_width = l.in_width,
                                  .out_height = l.out_height,
                                  .out_width = l.out_width,
                                  .window = l.window,
                                  .in_group = l.in_group(),
                                  .out_group = l.out_group(),
                                  .columns = stage.columns.data(),
                                  .gradient = gradient,
                                  .gradient_plane = plane,
                                  .activation = in,
                                  .out = weights,
                                  .from = part.rows.from,
                                  .to = part.rows.to,
                                  .blocks = stage.weight_blocks.data(),
                                  .block_count = (int)stage.weight_blocks.size(),
                                  .channels = part.channels});
    if (onwards)
        kernels_.convolve({.walk = &stage.gradient_walk,
                           .in = gradient,
                           .in_plane = plane,
                           .weights = stage.gradient_weights.data(),
                           .out = onwards,
                           .from = begun,
                           .to = done,
                           .gradient = through,
                           .channels = part.channels});
}

void Network::backward_tile(size_t number, int tile, const float* logits, Scratch& scratch, double* sums, bool to_input) {
    Stage& stage = stages_[number];
    const Layer& l = stage.layer;
    const Clock clock(scratch.seconds[number].second);
    if (l.joins()) return join_backward_tile(number, tile, logits, scratch, sums, to_input);
    const float* out = stage.out.data() + tile * stage.out_size() * kernels_.lanes;
    const float* after = this->after(number, tile, scratch);
    float* room = scratch.out.data();
    const float* gradient = room;  // of its output
    float* weights = scratch.weights.data() + stage.weights_at * kernels_.lanes;
    const Stage* before = number ? &stages_[number - 1] : nullptr;
    const bool fused = number == 1 && first_is_fused(to_input);
    float* onwards = fused ? scratch.fused.data() : this->onwards(number, tile, scratch);
    if (logits) to_tile(logits, stage.out_size(), tile, images_, room);
    const bool onwards_wanted = before || to_input || l.operation != Operation::convolution;
    // The gradient of a convolution's output needs room for all rows where a block of them sends gradients to rows before it.
    const bool across = onwards_wanted && !stage.by_channel && stage.walk.kind != Walk::Kind::one_by_one;
    const bool whole = across || logits || stage.by_channel || l.operation != Operation::convolution;
    const bool as_is = stage.given_as_is() && !logits;
    const ptrdiff_t plane = (ptrdiff_t)(whole || as_is ? l.out_height : stage.rows_at_once) * l.out_width;

    GradientSums through = this->through(number, tile, scratch);
    // Whether the gradient that goes on is that of the operation alone, and no sum of it is wanted.
    const bool bare = !through.extra && (!before || (before->given_as_is() && !before->layer.bias));
    for (int k = 0, entered = 0, done = 0; k < stage.parts(); ++k) {
        const Part part = stage.part(k);
        const auto [y, to] = part.rows;
        const int begun = stage.by_channel ? 0 : done;
        const Rows rows{part.channels.to, l.out_height, l.out_width, y, to, part.channels.from};
        const float* in = enter(number, tile, scratch.in.data(), part, entered);
        if (through.activation) through.activation = in;
        if (as_is) {
            gradient = after;
        } else if (!logits) {
            // What is needed once takes the same, nearest memory each time.
            const ptrdiff_t before_it = whole ? part.channels.from * plane : (ptrdiff_t)y * l.out_width;
            gradient = room = scratch.out.data() - before_it * kernels_.lanes;
            kernels_.differentiate(rows, stage.a.data(), stage.b.data(), stage.c.data(), after, out, room, plane,
                                   lanes_in(tile, images_));
        }
        done = l.rows_whole(to);
        if (l.operation == Operation::convolution)
            convolution_backward(stage, part, in, gradient, plane, onwards_wanted ? onwards : nullptr, begun, done,
                                 bare ? nullptr : &through, weights);
        else if (l.operation == Operation::function)
            kernels_.function_gradient(function_of(stage, stage.trained, y, to), gradient, in, out, onwards,
                                       l.scales ? weights : nullptr, through);
        else if (l.operation == Operation::group_norm)
            kernels_.group_norm_gradient(group_norm_of(stage, stage.trained), gradient, in,
                                         stage.moments.data() + (size_t)tile * 2 * l.groups * kernels_.lanes, onwards, weights,
                                         through);
        else if (l.operation == Operation::max_pool)
            kernels_.pool_gradient(rows, l.window, l.in_height, l.in_width, gradient, in, out, onwards, through);
        else
            kernels_.average_gradient(rows, l.window, l.in_height, l.in_width, gradient, onwards, through);
        if (fused && !stage.by_channel) {
            const bool flat = before->layer.out_height != l.in_height;  // one row of all
            first_rows(tile, scratch, flat ? 0 : begun, flat ? before->layer.out_height : done);
        }
    }
    if (fused && stage.by_channel) first_rows(tile, scratch, 0, before->layer.out_height);
    if (onwards_wanted) kernels_.flush(l.in_channels, lanes_in(tile, images_), scratch.first.data(), scratch.second.data(), sums);
}

// A chain's stages for one group of tiles; `sums` are those of each of them, behind one another.
void Network::backward_group(const Chain& chain, int group, const float* logits, float* x, Scratch& scratch,
                             std::vector<std::vector<double>>& sums) {
    const int tiles = (images_ + kernels_.lanes - 1) / kernels_.lanes, groups = this->groups();
    const bool fused = chain.from <= 1 && 1 < chain.to && first_is_fused(x);
    std::memset(scratch.weights.data(), 0, chain.weights * kernels_.lanes * sizeof(float));
    if (fused) std::memset(scratch.fused_sums.data(), 0, first_sum_count() * kernels_.lanes * sizeof(float));
    for (int tile = group * tiles / groups; tile < (group + 1) * tiles / groups; ++tile)
        for (size_t i = chain.to; i-- > std::max(chain.from, first_wanted(x));) {
            const Stage& stage = stages_[i];
            backward_tile(i, tile, i + 1 == stages_.size() ? logits : nullptr, scratch,
                          sums[i].data() + (size_t)group * 2 * stage.layer.in_channels, x);
            if (i == 0 && x)
                kernels_.from_tile(stage.in_size(), lanes_in(tile, images_), onwards(0, tile, scratch),
                                   x + (size_t)tile * kernels_.lanes * stage.in_size());
        }
    kernels_.add_lanes(chain.weights, scratch.weights.data(), group_weights_.data() + group * most_weights_);
    if (fused) kernels_.add_lanes(first_sum_count(), scratch.fused_sums.data(), group_first_.data() + group * first_sum_count());
}

// The first stage that backward goes through: of a first layer without weights nothing is wanted but the gradient of the batch.
size_t Network::first_wanted(bool to_input) const {
    return first_is_fused(to_input) || (!to_input && !stages_[0].trained_weights());
}

void Network::backward(const float* logits, float* parameters, float* x) {
    const std::lock_guard lock(mutex_);
    const int groups = this->groups();
    std::vector<float*> at;
    std::vector<std::vector<double>> sums;
    for (size_t i = 0; i < stages_.size(); ++i) {
        at.push_back(parameters);
        parameters += stages_[i].parameter_count();
        sums.emplace_back((size_t)groups * 2 * stages_[i].layer.in_channels);
        if (!i) continue;
        Stage& before = stages_[i - 1];  // the mean of each channel that sums are taken about
        const int spread = stages_[i].layer.in_channels / before.layer.out_channels;
        before.means.clear();
        for (float mean : before.mean) before.means.insert(before.means.end(), spread, mean);
    }
    for (size_t c = chains_.size(); c-- > 0;) {
        const Chain& chain = chains_[c];
        const size_t from = std::max(chain.from, first_wanted(x));
        if (from >= chain.to) break;
        threads_.run(groups, [&](int group, int thread) { backward_group(chain, group, logits, x, scratch_[thread], sums); });
        for (size_t i = chain.to; i-- > from;) {
            if (stages_[i].trained_weights()) collect_gradients(stages_[i], groups, at[i]);
            if (i) finish_norm(stages_[i - 1], sums[i], groups, stages_[i].layer.in_channels, at[i - 1]);
        }
    }
    if (first_is_fused(x)) collect_first_gradients(groups, at[0]);
}

}  // namespace stepladder
