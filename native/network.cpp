#include "network.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <new>
#include <numeric>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "clock.hpp"
#include "walk.hpp"

namespace stepladder {

namespace {

// Tiles are summed in this many groups, whatever the number of threads, so the order of every sum is fixed.
constexpr int most_groups = 8;
constexpr size_t page = 2 << 20;

uint64_t mix(uint64_t x) {  // splitmix64 (Steele, Lea and Flood 2014)
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

}  // namespace

Buffer::Buffer(size_t floats) {
    const size_t bytes = floats * sizeof(float), alignment = bytes >= page ? page : 64;
    const size_t whole = (bytes + alignment - 1) / alignment * alignment;
    void* memory = std::aligned_alloc(alignment, whole ? whole : alignment);
    if (!memory) throw std::bad_alloc();
#if defined(__linux__)
    if (alignment == page) madvise(memory, whole, MADV_HUGEPAGE);  // a hint: fewer address translations
#endif
    std::memset(memory, 0, whole);
    memory_.reset((float*)memory);
}

void Buffer::Free::operator()(float* memory) const { std::free(memory); }

size_t Network::Stage::weight_count() const {
    if (layer.operation != Operation::convolution) return 0;
    return (size_t)layer.out_channels * layer.in_group() * layer.taps();
}

size_t Network::Stage::trained_weights() const {
    if (layer.operation == Operation::group_norm) return 2 * (size_t)layer.scales;
    if (layer.operation == Operation::function) return layer.scales;
    return layer.fixed ? 0 : weight_count();
}

bool Network::Stage::given_as_is() const {
    const bool own = layer.operation == Operation::function || layer.operation == Operation::group_norm;
    return (own || layer.copies()) && !layer.norm && !layer.relu && !(layer.dropout > 0);
}

size_t Network::Stage::parameter_count() const {
    return trained_weights() + (size_t)layer.out_channels * (layer.bias + 2 * layer.norm);
}

Network::Network(std::vector<Layer> layers, const Kernels& kernels, Threads& threads) : kernels_(kernels), threads_(threads) {
    // The gradient of the logits enters as that of the last layer's output: one that does something to its output is
    // followed by an average over one pixel, which does nothing.
    const Layer& last = layers.back();
    if (last.bias || last.norm || last.relu || last.dropout > 0) {
        const int size = last.out_channels * last.out_height * last.out_width;
        layers.push_back({Operation::average_pool, size, 1, 1, size, 1, 1, {1, 1, 0, 1}, 1, false, false, false, 0, false, 0});
    }
    stages_.resize(layers.size());
    for (size_t i = 0; i < layers.size(); ++i) {
        Stage& s = stages_[i];
        s.layer = layers[i];
        // Draws have 16 bits. The share is made one that they can meet exactly, so that the scale fits it.
        s.layer.dropout = std::min(std::round(s.layer.dropout * 65536), 65535.0f) / 65536;
        const Layer& l = s.layer;
        // A block's output, gradient and activation rows stay in the nearest cache (48 kB here, 32 kB elsewhere).
        s.rows_at_once = std::clamp(1024 / (l.out_width * kernels.lanes), 1, l.out_height);
        if (l.operation == Operation::group_norm) s.rows_at_once = l.out_height;  // its sums are over all rows
        if (l.joins()) stages_[l.source].last_join = (int)i;
        if (l.operation == Operation::convolution) {
            const Window& w = l.window;
            s.rows = forward_taps(l.out_height, l.in_height, w);
            s.runs = join(forward_taps(l.out_width, l.in_width, w), 1, w.stride);
            s.gradient_rows = gradient_taps(l.in_height, l.out_height, w);
            s.gradient_runs = join(gradient_taps(l.in_width, l.out_width, w), w.stride, 1);
            s.blocks = split(l.groups, l.out_group(), kernels.block);
            s.gradient_blocks = split(l.groups, l.in_group(), kernels.block);
            s.columns = tap_spans(l.out_width, l.in_width, w);
            s.weight_blocks = split(l.groups, l.out_group(), kernels.gradient_block);
            const int common = std::gcd(w.stride, w.dilation);
            const bool bordered = w.kernel == 3 && w.stride == 1 && w.dilation == 1 && w.padding <= 2;
            s.walk = {l.in_height,
                      l.in_width,
                      l.out_height,
                      l.out_width,
                      w.kernel,
                      1,
                      w.dilation,
                      l.in_group(),
                      l.out_group(),
                      bordered ? w.padding : 0,
                      s.rows.data(),
                      s.runs.data(),
                      (int)s.runs.size(),
                      s.blocks.data(),
                      (int)s.blocks.size()};
            s.gradient_walk = {l.out_height,
                               l.out_width,
                               l.in_height,
                               l.in_width,
                               w.kernel,
                               w.stride / common,
                               w.dilation / common,
                               l.out_group(),
                               l.in_group(),
                               bordered ? 2 - w.padding : 0,
                               s.gradient_rows.data(),
                               s.gradient_runs.data(),
                               (int)s.gradient_runs.size(),
                               s.gradient_blocks.data(),
                               (int)s.gradient_blocks.size()};
        }
        most_channels_ = std::max({most_channels_, (size_t)l.in_channels, (size_t)l.out_channels});
        most_weights_ = std::max({most_weights_, s.weight_count(), s.trained_weights()});
        largest_ = std::max({largest_, s.in_size(), s.out_size()});
    }
    const size_t lanes = kernels.lanes;
    const Layer& opening = stages_[0].layer;
    const size_t first = stages_[0].out_size(), plane = (size_t)opening.out_height * opening.out_width;
    for (int t = 0; t < threads.count(); ++t)
        scratch_.push_back({Buffer(most_channels_ * lanes), Buffer(most_channels_ * lanes), Buffer(most_weights_ * lanes),
                            Buffer(largest_ * lanes), Buffer(largest_ * lanes), Buffer(first * lanes),
                            Buffer(first_sum_count() * lanes), Buffer(largest_ * lanes), std::vector<Buffer>(layers.size())});
    for (size_t i = 0; i < layers.size(); ++i)
        if (stages_[i].joined())
            for (Scratch& scratch : scratch_) scratch.kept[i] = Buffer(stages_[i].in_size() * lanes);
    group_weights_.resize(most_groups * most_weights_);
    group_first_.resize(most_groups * first_sum_count());
    ones_ = Buffer(plane * lanes);
    std::fill_n(ones_.data(), plane * lanes, 1.0f);
}

int Network::lanes_in(int tile, int images) const { return std::min(kernels_.lanes, images - tile * kernels_.lanes); }

int Network::groups() const { return std::min(most_groups, (images_ + kernels_.lanes - 1) / kernels_.lanes); }

void Network::reserve(int tiles) {
    if (tiles <= tiles_) return;
    for (Stage& s : stages_) {
        s.out = Buffer(tiles * s.out_size() * kernels_.lanes);
        if (s.layer.operation == Operation::group_norm) s.moments = Buffer((size_t)tiles * 2 * s.layer.groups * kernels_.lanes);
        if (s.joined()) s.extra = Buffer(tiles * s.in_size() * kernels_.lanes);
    }
    input_ = Buffer(tiles * stages_[0].in_size() * kernels_.lanes);
    for (Buffer& gradients : gradients_) gradients = Buffer(tiles * largest_ * kernels_.lanes);
    tiles_ = tiles;
}

void Network::to_tile(const float* x, size_t elements, int tile, int images, float* out) const {
    kernels_.to_tile(elements, lanes_in(tile, images), x + (size_t)tile * kernels_.lanes * elements, out);
}

void Network::pack(const Stage& stage, const Tensors& tensors, Ready& ready) const {
    const Layer& l = stage.layer;
    ready.scale.assign(l.out_channels, 1);
    ready.shift.assign(l.out_channels, 0);
    if (l.operation != Operation::convolution) {
        ready.weights.assign(tensors.weight, tensors.weight + l.scales);
        if (l.operation == Operation::group_norm) ready.weights.insert(ready.weights.end(), tensors.bias, tensors.bias + l.scales);
        return;
    }
    const int taps = l.taps(), in_channels = l.in_group();
    ready.weights.resize(stage.weight_count());
    float* to = ready.weights.data();
    int first = 0;
    for (int channels : stage.blocks) {
        for (int i = 0; i < in_channels; ++i)
            for (int tap = 0; tap < taps; ++tap)
                for (int c = 0; c < channels; ++c) *to++ = tensors.weight[((size_t)(first + c) * in_channels + i) * taps + tap];
        first += channels;
    }
    ready.bias.clear();
    if (l.bias) ready.bias.assign(tensors.bias, tensors.bias + l.out_channels);
}

void Network::pack_gradient(Stage& stage, const Tensors& tensors) const {
    const Layer& l = stage.layer;
    const int taps = l.taps(), in_group = l.in_group(), out_group = l.out_group();
    stage.gradient_weights.resize(stage.weight_count());
    float* to = stage.gradient_weights.data();
    int first = 0;
    for (int channels : stage.gradient_blocks) {
        const int group = first / in_group, inside = first % in_group;
        for (int o = group * out_group; o < (group + 1) * out_group; ++o)
            for (int tap = taps - 1; tap >= 0; --tap)
                for (int c = 0; c < channels; ++c) *to++ = tensors.weight[((size_t)o * in_group + inside + c) * taps + tap];
        first += channels;
    }
}

void Network::set_norm(const Stage& stage, const Tensors& tensors, int channel, double mean, double variance, bool dropout,
                       Ready& ready) const {
    const double keep = dropout ? 1 / (1 - (double)stage.layer.dropout) : 1;
    const double gain = stage.layer.norm ? tensors.scale[channel] / std::sqrt(variance + stage.layer.epsilon) : 1;
    const double shift = stage.layer.norm ? tensors.shift[channel] - mean * gain : 0;
    ready.scale[channel] = (float)(keep * gain);
    ready.shift[channel] = (float)(keep * shift);
}

void Network::use_statistics(Stage& stage, const Tensors& tensors, const std::vector<double>& sums, int images, int groups) const {
    const Layer& l = stage.layer;
    const double count = (double)images * l.out_height * l.out_width;
    stage.trained.scale.resize(l.out_channels);
    stage.trained.shift.resize(l.out_channels);
    stage.mean.resize(l.out_channels);
    stage.deviation.resize(l.out_channels);
    if (l.norm) stage.gamma.assign(tensors.scale, tensors.scale + l.out_channels);
    for (int c = 0; c < l.out_channels; ++c) {
        double mean = 0, variance = 1;
        if (l.norm && training_) {
            double sum = 0, square = 0;
            for (int g = 0; g < groups; ++g) {
                sum += sums[2 * ((size_t)g * l.out_channels + c)];
                square += sums[2 * ((size_t)g * l.out_channels + c) + 1];
            }
            mean = sum / count;
            variance = square / count - mean * mean;
            if (variance < 0) variance = 0;                    // rounding; NaN stays
            const double bias = l.bias ? tensors.bias[c] : 0;  // left out so far (forward)
            tensors.mean[c] = (float)((1 - l.momentum) * tensors.mean[c] + l.momentum * (mean + bias));
            tensors.variance[c] = (float)((1 - l.momentum) * tensors.variance[c] + l.momentum * variance * count / (count - 1));
        } else if (l.norm) {
            mean = tensors.mean[c];
            variance = tensors.variance[c];
        }
        stage.mean[c] = (float)mean;
        stage.deviation[c] = (float)(1 / std::sqrt(variance + l.epsilon));
        set_norm(stage, tensors, c, mean, variance, training_, stage.trained);
    }
    if (l.norm && training_) ++*tensors.batches;
}

void Network::activate(const Stage& stage, const Ready& ready, const uint32_t* keys, const float* from, float* to, int begin,
                       int end) const {
    const Layer& l = stage.layer;
    const uint32_t threshold = keys ? (uint32_t)std::lround(l.dropout * 65536) : 0;
    const Activation how{ready.scale.data(), ready.shift.data(), l.relu, threshold, keys, l.drops_channels};
    kernels_.activate({l.out_channels, l.out_height, l.out_width, begin, end}, how, from, to);
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
    return {{l.out_channels, l.out_height, l.out_width, from, to}, l.function, l.parameter, ready.weights.data(), l.scales};
}

GroupNorm Network::group_norm_of(const Stage& stage, const Ready& ready) const {
    const Layer& l = stage.layer;
    const float* scale = ready.weights.data();
    return {l.out_channels,   l.out_height * l.out_width,
            l.groups,         l.groups == 1 && (size_t)l.scales == stage.out_size(),
            (float)l.epsilon, scale,
            scale + l.scales};
}

void Network::operate(const Stage& stage, const Ready& ready, const float* in, float* out, int from, int to, Scratch* sums,
                      float* moments) const {
    const Layer& l = stage.layer;
    if (l.operation == Operation::convolution)
        kernels_.convolve({&stage.walk, in, ready.weights.data(), ready.bias.empty() ? nullptr : ready.bias.data(), out, from, to,
                           sums ? sums->first.data() : nullptr, sums ? sums->second.data() : nullptr, nullptr});
    else if (l.operation == Operation::function)
        kernels_.function(function_of(stage, ready, from, to), in, out);
    else if (l.operation == Operation::group_norm)
        kernels_.group_norm(group_norm_of(stage, ready), in, out, moments);
    else if (l.operation == Operation::max_pool)
        kernels_.pool({l.out_channels, l.out_height, l.out_width, from, to}, l.window, l.in_height, l.in_width, in, out);
    else
        kernels_.average({l.out_channels, l.out_height, l.out_width, from, to}, l.window, l.in_height, l.in_width, in, out);
}

// Makes what enters a stage, as far as its output rows up to `to` need it: the activation of the output before it, worked
// out anew for forward and for backward, which is faster than keeping it. The batch itself is kept.
const float* Network::enter(size_t number, int tile, float* room, int to, int& done) const {
    const Stage& stage = stages_[number];
    if (number == 0) return input_.data() + tile * stage.in_size() * kernels_.lanes;
    const Stage& before = stages_[number - 1];
    if (before.given_as_is()) return before.out.data() + tile * before.out_size() * kernels_.lanes;
    uint32_t keys[16];
    const bool dropping = training_ && before.layer.dropout > 0;
    for (int lane = 0; dropping && lane < kernels_.lanes; ++lane)
        keys[lane] = (uint32_t)mix(key_ ^ mix((uint64_t)number << 32 | (uint32_t)(tile * kernels_.lanes + lane)));
    // Rows are those of the output before: flattening makes one row of many.
    const bool flat = before.layer.out_height != stage.layer.in_height;
    const int needed = flat ? before.layer.out_height : stage.layer.rows_needed(to);
    activate(before, before.trained, dropping ? keys : nullptr, before.out.data() + tile * before.out_size() * kernels_.lanes, room,
             done, needed);
    done = needed;
    return room;
}

const float* Network::enter(size_t number, int tile, float* room) const {
    int done = 0;
    return enter(number, tile, room, stages_[number].layer.out_height, done);
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
    float* out = stage.out.data() + tile * stage.out_size() * kernels_.lanes;
    const bool statistics = l.norm && training_;
    if (l.joins()) return unite(number, tile, scratch, out);
    for (int y = 0, entered = 0; y < l.out_height;) {
        const int to = std::min(l.out_height, y + stage.rows_at_once);
        const float* in = enter(number, tile, scratch.in.data(), to, entered);
        operate(stage, stage.trained, in, out, y, to, statistics ? &scratch : nullptr,
                stage.moments.data() + (size_t)tile * 2 * l.groups * kernels_.lanes);
        if (statistics && l.operation != Operation::convolution)
            kernels_.statistics({l.out_channels, l.out_height, l.out_width, y, to}, out, scratch.first.data(),
                                scratch.second.data());
        y = to;
    }
    if (statistics) kernels_.flush(l.out_channels, lanes_in(tile, images_), scratch.first.data(), scratch.second.data(), sums);
}

void Network::forward(const float* x, int images, const std::vector<Tensors>& tensors, Mode mode, float* logits) {
    const std::lock_guard lock(mutex_);
    images_ = images;
    training_ = mode.training;
    key_ = mode.key;
    const int tiles = (images + kernels_.lanes - 1) / kernels_.lanes, groups = this->groups();
    reserve(tiles);
    for (size_t i = 0; i < stages_.size(); ++i) {
        Stage& stage = stages_[i];
        const Clock clock(stage.forward_seconds);
        if (stage.layer.operation == Operation::convolution) {
            pack(stage, tensors[i], stage.trained);
            // The batch's mean takes a bias away again. It is left out: its rounding would enter the variance.
            if (stage.layer.norm && training_) stage.trained.bias.clear();
            pack_gradient(stage, tensors[i]);
        } else if (stage.trained_weights()) {
            pack(stage, tensors[i], stage.trained);
        }
        std::vector<double> sums((size_t)groups * 2 * stage.layer.out_channels);
        threads_.run(groups, [&](int group, int thread) {
            for (int tile = group * tiles / groups; tile < (group + 1) * tiles / groups; ++tile) {
                if (i == 0) to_tile(x, stage.in_size(), tile, images, input_.data() + tile * stage.in_size() * kernels_.lanes);
                forward_tile(i, tile, scratch_[thread], &sums[(size_t)group * 2 * stage.layer.out_channels]);
            }
        });
        use_statistics(stage, i < tensors.size() ? tensors[i] : Tensors{}, sums, images, groups);
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
            activate(stages_[i - 1], stages_[i - 1].inferred, nullptr, scratch.out.data(), in, 0, stages_[i - 1].layer.out_height);
        } else if (stage.joined()) {
            std::memcpy(in, scratch.out.data(), stage.in_size() * kernels_.lanes * sizeof(float));
        } else {
            std::swap(scratch.in, scratch.out);
            in = scratch.in.data();
        }
        if (stage.layer.joins())
            join_of(stage.layer).unite(stage.layer.join_sizes(), in, scratch.kept[stage.layer.source].data(), scratch.out.data());
        else
            operate(stage, stage.inferred, in, scratch.out.data(), 0, stage.layer.out_height, nullptr, nullptr);
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

std::vector<std::pair<double, double>> Network::take_seconds() {
    const std::lock_guard lock(mutex_);
    std::vector<std::pair<double, double>> taken;
    for (Stage& stage : stages_) {
        taken.emplace_back(stage.forward_seconds, stage.backward_seconds);
        stage.forward_seconds = stage.backward_seconds = 0;
    }
    return taken;
}

}  // namespace stepladder
