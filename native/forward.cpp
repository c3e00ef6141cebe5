// The forward half of a network (network.cpp makes it, backward.cpp has the rest).
#include <algorithm>
#include <cmath>
#include <cstring>

#include "clock.hpp"
#include "network.hpp"

namespace stepladder {

namespace {

uint64_t splitmix64(uint64_t x) {  // (Steele, Lea and Flood 2014)
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

}  // namespace

void Network::activate(const Stage& stage, const Ready& ready, const uint32_t* keys, const float* from, float* to,
                       const Rows& rows) const {
    const Layer& l = stage.layer;
    const uint32_t threshold = keys ? (uint32_t)std::lround(l.dropout * 65536) : 0;
    const Activation how{.scale = ready.scale.data(),
                         .shift = ready.shift.data(),
                         .relu = l.relu,
                         .threshold = threshold,
                         .keys = keys,
                         .channels = l.drops_channels};
    kernels_.activate(rows, how, from, to);
}

const Join& Network::join_of(const Layer& layer) const {
    switch (layer.operation) {
        case Operation::add:
            return kernels_.add;
        case Operation::multiply:
            return kernels_.multiply;
        case Operation::scale:
            return kernels_.scale;
        case Operation::concatenate:
            return kernels_.concatenate;
        default:
            return kernels_.branch;
    }
}

FunctionWork Network::function_of(const Stage& stage, const Ready& ready, int from, int to) const {
    const Layer& l = stage.layer;
    return {.rows = {l.out_channels, l.out_height, l.out_width, from, to},
            .function = l.function,
            .parameter = l.parameter,
            .slopes = ready.weights.data(),
            .slope_count = l.scales};
}

GroupNorm Network::group_norm_of(const Stage& stage, const Ready& ready) const {
    const Layer& l = stage.layer;
    const float* scale = ready.weights.data();
    return {.channels = l.out_channels,
            .plane = l.out_height * l.out_width,
            .groups = l.groups,
            .elementwise = l.groups == 1 && (size_t)l.scales == stage.out_size(),
            .epsilon = (float)l.epsilon,
            .scale = scale,
            .shift = scale + l.scales};
}

void Network::operate(const Stage& stage, const Ready& ready, const float* in, float* out, const Part& part, Scratch* sums,
                      float* moments) const {
    const Layer& l = stage.layer;
    const auto [from, to] = part.rows;
    const Rows rows{l.out_channels, l.out_height, l.out_width, from, to};
    if (l.operation == Operation::convolution)
        kernels_.convolve({.walk = &stage.walk,
                           .in = in,
                           .in_plane = (ptrdiff_t)l.in_height * l.in_width,
                           .weights = ready.weights.data(),
                           .bias = ready.bias.empty() ? nullptr : ready.bias.data(),
                           .out = out,
                           .from = from,
                           .to = to,
                           .sum = sums ? sums->first.data() : nullptr,
                           .square = sums ? sums->second.data() : nullptr,
                           .gradient = nullptr,
                           .channels = part.channels});
    else if (l.operation == Operation::function)
        kernels_.function(function_of(stage, ready, from, to), in, out);
    else if (l.operation == Operation::group_norm)
        kernels_.group_norm(group_norm_of(stage, ready), in, out, moments);
    else if (l.operation == Operation::max_pool)
        kernels_.pool(rows, l.window, l.in_height, l.in_width, in, out);
    else
        kernels_.average(rows, l.window, l.in_height, l.in_width, in, out);
}

// The draws' keys of what enters a stage, one a lane; null where nothing is dropped on the way.
uint32_t* Network::drop_keys(size_t number, int tile, uint32_t* keys) const {
    if (!training_ || !(stages_[number - 1].layer.dropout > 0)) return nullptr;
    for (int lane = 0; lane < kernels_.lanes; ++lane)
        keys[lane] = (uint32_t)splitmix64(key_ ^ splitmix64((uint64_t)number << 32 | (uint32_t)(tile * kernels_.lanes + lane)));
    return keys;
}

// Makes what enters a stage, as far as a part of it needs it; rows up to `done` are there already. It is the activation of the
// output before it, worked out anew for forward and for backward, which is faster than keeping it. The batch itself is kept.
const float* Network::enter(size_t number, int tile, float* room, const Part& part, int& done) const {
    const Stage& stage = stages_[number];
    if (number == 0) return input_.data() + tile * stage.in_size() * kernels_.lanes;
    const Stage& before = stages_[number - 1];
    const Layer& l = before.layer;
    const float* out = before.out.data() + tile * before.out_size() * kernels_.lanes;
    if (before.given_as_is()) return out;
    uint32_t room_for_keys[16];
    const uint32_t* keys = drop_keys(number, tile, room_for_keys);
    if (stage.by_channel) {  // one channel takes the same, nearest memory as another
        const auto [from, to] = part.channels;
        room -= (size_t)from * l.out_height * l.out_width * kernels_.lanes;
        activate(before, before.trained, keys, out, room, {to, l.out_height, l.out_width, 0, l.out_height, from});
        return room;
    }
    // Rows are those of the output before: flattening makes one row of many.
    const bool flat = l.out_height != stage.layer.in_height;
    const int needed = flat ? l.out_height : stage.layer.rows_needed(part.rows.to);
    activate(before, before.trained, keys, out, room, {l.out_channels, l.out_height, l.out_width, done, needed});
    done = needed;
    return room;
}

const float* Network::enter(size_t number, int tile, float* room) const {
    const Layer& l = stages_[number].layer;
    const Part all{{0, l.in_channels}, {0, l.out_height}};
    int done = 0;
    return enter(number, tile, room, all, done);
}

// Makes what enters a stage at a place.
void Network::enter_at(size_t number, int tile, float* place) const {
    const float* found = enter(number, tile, place);
    if (found != place) std::memcpy(place, found, stages_[number].in_size() * kernels_.lanes * sizeof(float));
}

// The output of a join: of one that copies, its inputs are made where they are to stand.
void Network::unite(size_t number, int tile, Scratch& scratch, float* out) const {
    const Layer& l = stages_[number].layer;
    if (!l.copies()) {
        const float *in = enter(number, tile, scratch.in.data()), *source = enter(l.source, tile, scratch.source.data());
        return join_of(l).unite(l.join_sizes(), in, source, out);
    }
    enter_at(l.source, tile, out);
    if (l.operation == Operation::concatenate) enter_at(number, tile, out + stages_[l.source].in_size() * kernels_.lanes);
}

void Network::forward_tile(size_t number, int tile, Scratch& scratch, double* sums) {
    Stage& stage = stages_[number];
    const Layer& l = stage.layer;
    const Clock clock(scratch.seconds[number].first);
    float* out = stage.out.data() + tile * stage.out_size() * kernels_.lanes;
    const bool statistics = l.norm && training_;
    if (l.joins()) return unite(number, tile, scratch, out);
    for (int k = 0, entered = 0; k < stage.parts(); ++k) {
        const Part part = stage.part(k);
        const float* in = enter(number, tile, scratch.in.data(), part, entered);
        operate(stage, stage.trained, in, out, part, statistics ? &scratch : nullptr,
                stage.moments.data() + (size_t)tile * 2 * l.groups * kernels_.lanes);
        if (statistics && l.operation != Operation::convolution)
            kernels_.statistics({l.out_channels, l.out_height, l.out_width, part.rows.from, part.rows.to}, out,
                                scratch.first.data(), scratch.second.data());
    }
    if (statistics) kernels_.flush(l.out_channels, lanes_in(tile, images_), scratch.first.data(), scratch.second.data(), sums);
}

// Packs a stage's weights, and of one without norm all else that it needs.
void Network::make_ready(size_t number, const Tensors& tensors) {
    Stage& stage = stages_[number];
    if (stage.layer.operation == Operation::convolution) {
        pack(stage, tensors, stage.trained);
        // The batch's mean takes a bias away again. It is left out: its rounding would enter the variance.
        if (stage.layer.norm && training_) stage.trained.bias.clear();
        pack_gradient(stage, tensors);
    } else if (stage.trained_weights()) {
        pack(stage, tensors, stage.trained);
    }
    if (!stage.layer.norm) use_statistics(stage, tensors, {}, 0, 0);
}

void Network::forward(const float* x, int images, const std::vector<Tensors>& tensors, Mode mode, float* logits) {
    const std::lock_guard lock(mutex_);
    images_ = images;
    training_ = mode.training;
    key_ = mode.key;
    const int tiles = (images + kernels_.lanes - 1) / kernels_.lanes, groups = this->groups();
    reserve(tiles);
    for (size_t i = 0; i < stages_.size(); ++i) make_ready(i, i < tensors.size() ? tensors[i] : Tensors{});
    for (const Chain& chain : chains_) {
        Stage& last = stages_[chain.to - 1];
        const size_t channels = last.layer.out_channels;
        std::vector<double> sums((size_t)groups * 2 * channels);
        threads_.run(groups, [&](int group, int thread) {
            for (int tile = group * tiles / groups; tile < (group + 1) * tiles / groups; ++tile)
                for (size_t i = chain.from; i < chain.to; ++i) {
                    if (i == 0)
                        to_tile(x, stages_[0].in_size(), tile, images,
                                input_.data() + tile * stages_[0].in_size() * kernels_.lanes);
                    forward_tile(i, tile, scratch_[thread], &sums[(size_t)group * 2 * channels]);
                }
        });
        if (last.layer.norm) use_statistics(last, tensors[chain.to - 1], sums, images, groups);
    }
    const Stage& last = stages_.back();
    for (int tile = 0; tile < tiles; ++tile)
        kernels_.from_tile(last.out_size(), lanes_in(tile, images), last.out.data() + tile * last.out_size() * kernels_.lanes,
                           logits + (size_t)tile * kernels_.lanes * last.out_size());
}

void Network::infer_tile(const float* x, int tile, int images, float* logits, Scratch& scratch) {
    for (size_t i = 0; i < stages_.size(); ++i) {
        const Stage& stage = stages_[i];
        float* in = stage.joined() ? scratch.kept[i].data() : scratch.in.data();
        if (!i) {
            to_tile(x, stage.in_size(), tile, images, in);
        } else if (!stages_[i - 1].given_as_is()) {
            const Layer& l = stages_[i - 1].layer;
            activate(stages_[i - 1], stages_[i - 1].inferred, nullptr, scratch.out.data(), in,
                     {l.out_channels, l.out_height, l.out_width, 0, l.out_height});
        } else if (stage.joined()) {
            std::memcpy(in, scratch.out.data(), stage.in_size() * kernels_.lanes * sizeof(float));
        } else {
            std::swap(scratch.in, scratch.out);
            in = scratch.in.data();
        }
        if (stage.layer.joins())
            join_of(stage.layer).unite(stage.layer.join_sizes(), in, scratch.kept[stage.layer.source].data(), scratch.out.data());
        else
            operate(stage, stage.inferred, in, scratch.out.data(), {{0, stage.layer.out_channels}, {0, stage.layer.out_height}},
                    nullptr, nullptr);
    }
    const size_t classes = stages_.back().out_size();
    kernels_.from_tile(classes, lanes_in(tile, images), scratch.out.data(), logits + (size_t)tile * kernels_.lanes * classes);
}

void Network::infer(const float* x, int images, const std::vector<Tensors>& tensors, float* logits) {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < stages_.size(); ++i) {
        Stage& stage = stages_[i];
        if (stage.layer.operation == Operation::convolution || stage.trained_weights()) {
            pack(stage, tensors[i], stage.inferred);
        } else {
            stage.inferred.scale.assign(stage.layer.out_channels, 1);
            stage.inferred.shift.assign(stage.layer.out_channels, 0);
        }
        for (int c = 0; stage.layer.norm && c < stage.layer.out_channels; ++c)
            set_norm(stage, tensors[i], c, tensors[i].mean[c], tensors[i].variance[c], false, stage.inferred);
    }
    const int tiles = (images + kernels_.lanes - 1) / kernels_.lanes;
    threads_.run(tiles, [&](int tile, int thread) { infer_tile(x, tile, images, logits, scratch_[thread]); });
}

}  // namespace stepladder
