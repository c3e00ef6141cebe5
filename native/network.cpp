#include "network.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <new>
#include <numeric>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "walk.hpp"

namespace stepladder {

namespace {

// Tiles are summed in this many groups, whatever the number of threads, so the order of every sum is fixed.
constexpr int most_groups = 8;
constexpr size_t page = 2 << 20;

}  // namespace

Buffer::Buffer(size_t floats) {
    const size_t bytes = floats * sizeof(float), alignment = bytes >= page ? page : 64;
    const size_t whole = (bytes + alignment - 1) / alignment * alignment;
    void* memory = ::operator new(whole, std::align_val_t(alignment));
#if defined(__linux__)
    if (alignment == page) madvise(memory, whole, MADV_HUGEPAGE);  // a hint: fewer address translations
#endif
    std::memset(memory, 0, whole);
    memory_ = {(float*)memory, Free{alignment}};
}

void Buffer::Free::operator()(float* memory) const { ::operator delete(memory, std::align_val_t(alignment)); }

size_t Network::Stage::weight_count() const {
    if (layer.operation != Operation::convolution) return 0;
    return (size_t)layer.out_channels * layer.in_group() * layer.taps();
}

size_t Network::Stage::trained_weights() const {
    if (layer.operation == Operation::group_norm) return 2 * (size_t)layer.scales;
    if (layer.operation == Operation::function) return layer.scales;
    return layer.fixed ? 0 : weight_count();
}

bool Network::Stage::given_as_is() const { return !layer.norm && !layer.relu && !(layer.dropout > 0); }

int Network::Stage::parts() const { return by_channel ? layer.out_channels : (layer.out_height + rows_at_once - 1) / rows_at_once; }

Network::Part Network::Stage::part(int number) const {
    if (by_channel) return {{number, number + 1}, {0, layer.out_height}};
    const int from = number * rows_at_once;
    return {{0, layer.out_channels}, {from, std::min(layer.out_height, from + rows_at_once)}};
}

size_t Network::Stage::parameter_count() const {
    return trained_weights() + (size_t)layer.out_channels * (layer.bias + 2 * layer.norm);
}

size_t Network::parameter_count() const {
    size_t count = 0;
    for (const Stage& stage : stages_) count += stage.parameter_count();
    return count;
}

Network::Network(std::vector<Layer> layers, const Kernels& kernels, Threads& threads) : kernels_(kernels), threads_(threads) {
    // The gradient of the logits enters as that of the last layer's output: one that does something to its output is
    // followed by an average over one pixel, which does nothing.
    const Layer& last = layers.back();
    if (last.bias || last.norm || last.relu || last.dropout > 0) {
        const int size = last.out_channels * last.out_height * last.out_width;
        layers.push_back({.operation = Operation::average_pool,
                          .in_channels = size,
                          .in_height = 1,
                          .in_width = 1,
                          .out_channels = size,
                          .out_height = 1,
                          .out_width = 1,
                          .window = {.kernel = 1, .stride = 1, .padding = 0, .dilation = 1}});
    }
    stages_.resize(layers.size());
    for (size_t i = 0; i < layers.size(); ++i) {
        Stage& s = stages_[i];
        s.layer = layers[i];
        // Draws have 16 bits. The share is made one that they can meet exactly, so that the scale fits it.
        s.layer.dropout = std::min(std::round(s.layer.dropout * 65536), 65535.0f) / 65536;
        const Layer& l = s.layer;
        // Of a channel some 128 registers at a time: a few channels' output, gradient and activation are in the nearest cache.
        s.rows_at_once = std::clamp(128 / l.out_width, 1, l.out_height);
        if (l.operation == Operation::group_norm) s.rows_at_once = l.out_height;  // its sums are over all rows
        if (l.joins()) stages_[l.source].last_join = (int)i;
        if (l.operation == Operation::convolution) plan(s);
        if (chains_.empty() || stages_[i - 1].layer.norm) chains_.push_back({i, i, 0});
        Chain& chain = chains_.back();
        chain.to = i + 1;
        s.weights_at = chain.weights;
        chain.weights += s.trained_weights();
        most_weights_ = std::max(most_weights_, chain.weights);
        most_channels_ = std::max({most_channels_, (size_t)l.in_channels, (size_t)l.out_channels});
        largest_ = std::max({largest_, s.in_size(), s.out_size()});
    }
    const size_t lanes = kernels.lanes;
    const Layer& opening = stages_[0].layer;
    const size_t first = stages_[0].out_size(), plane = (size_t)opening.out_height * opening.out_width;
    for (int t = 0; t < threads.count(); ++t)
        scratch_.push_back({.first = Buffer(most_channels_ * lanes),
                            .second = Buffer(most_channels_ * lanes),
                            .weights = Buffer(most_weights_ * lanes),
                            .in = Buffer(largest_ * lanes),
                            .out = Buffer(largest_ * lanes),
                            .fused = Buffer(first * lanes),
                            .fused_sums = Buffer(first_sum_count() * lanes),
                            .inside = {Buffer(largest_ * lanes), Buffer(largest_ * lanes)},
                            .source = Buffer(largest_ * lanes),
                            .kept = std::vector<Buffer>(layers.size()),
                            .seconds = std::vector<std::pair<double, double>>(layers.size())});
    for (size_t i = 0; i < layers.size(); ++i)
        if (stages_[i].joined())
            for (Scratch& scratch : scratch_) scratch.kept[i] = Buffer(stages_[i].in_size() * lanes);
    group_weights_.resize(most_groups * most_weights_);
    group_first_.resize(most_groups * first_sum_count());
    ones_ = Buffer(plane * lanes);
    std::fill_n(ones_.data(), plane * lanes, 1.0f);
}

// How a convolution and its gradients are worked on.
void Network::plan(Stage& s) const {
    const Layer& l = s.layer;
    const Window& w = l.window;
    s.rows = forward_taps(l.out_height, l.in_height, w);
    s.runs = runs_of(forward_taps(l.out_width, l.in_width, w), 1, w.stride);
    s.gradient_rows = gradient_taps(l.in_height, l.out_height, w);
    s.gradient_runs = runs_of(gradient_taps(l.in_width, l.out_width, w), w.stride, 1);
    s.blocks = split(l.groups, l.out_group(), kernels_.block);
    s.gradient_blocks = split(l.groups, l.in_group(), kernels_.block);
    s.columns = tap_spans(l.out_width, l.in_width, w);
    s.weight_blocks = split(l.groups, l.out_group(), kernels_.gradient_block);
    const int common = std::gcd(w.stride, w.dilation);
    const bool bordered = w.kernel == 3 && w.stride == 1 && w.dilation == 1 && w.padding <= 2;
    const bool one_by_one = w.kernel == 1 && w.stride == 1 && !w.padding;
    s.by_channel = w.kernel == 3 && w.stride <= 2 && w.dilation == 1 && w.padding <= 2 && l.in_group() == 1 && l.out_group() == 1;
    using Kind = Walk::Kind;
    const bool by_two = s.by_channel && w.stride == 2;
    const Kind kind = one_by_one ? Kind::one_by_one : s.by_channel ? Kind::depthwise : Kind::any;
    s.walk = {.kind = by_two ? Kind::depthwise_2 : kind,
              .in_height = l.in_height,
              .in_width = l.in_width,
              .out_height = l.out_height,
              .out_width = l.out_width,
              .kernel = w.kernel,
              .tap_step = 1,
              .in_step = w.dilation,
              .in_group = l.in_group(),
              .out_group = l.out_group(),
              .border = bordered || by_two ? w.padding : 0,
              .rows = s.rows.data(),
              .runs = s.runs.data(),
              .run_count = (int)s.runs.size(),
              .blocks = s.blocks.data(),
              .block_count = (int)s.blocks.size()};
    s.gradient_walk = {.kind = by_two ? Kind::spread_2 : kind,
                       .in_height = l.out_height,
                       .in_width = l.out_width,
                       .out_height = l.in_height,
                       .out_width = l.in_width,
                       .kernel = w.kernel,
                       .tap_step = w.stride / common,
                       .in_step = w.dilation / common,
                       .in_group = l.out_group(),
                       .out_group = l.in_group(),
                       .border = by_two     ? w.padding
                                 : bordered ? 2 - w.padding
                                            : 0,
                       .rows = s.gradient_rows.data(),
                       .runs = s.gradient_runs.data(),
                       .run_count = (int)s.gradient_runs.size(),
                       .blocks = s.gradient_blocks.data(),
                       .block_count = (int)s.gradient_blocks.size()};
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
    stage.a.assign(l.out_channels, 1);
    stage.b.assign(l.out_channels, 0);
    stage.c.assign(l.out_channels, 0);
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

std::vector<std::pair<double, double>> Network::take_seconds() {
    const std::lock_guard lock(mutex_);
    std::vector<std::pair<double, double>> taken(stages_.size());
    for (Scratch& scratch : scratch_)
        for (size_t i = 0; i < taken.size(); ++i) {
            taken[i].first += scratch.seconds[i].first;
            taken[i].second += scratch.seconds[i].second;
            scratch.seconds[i] = {};
        }
    return taken;
}

}  // namespace stepladder
