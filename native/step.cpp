#include "step.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

namespace stepladder {

namespace {

constexpr size_t share = 1 << 14;  // numbers that a thread updates at a time

// v += momentum, as torch.optim.SGD: the velocity is not scaled by the rate, and the first one is the gradient.
void descend(const Rule& rule, const Parameter& p, const float* gradients, float rate, size_t from, size_t to) {
    const float momentum = (float)rule.momentum, decay = (float)rule.weight_decay;
    for (size_t i = from; i < to; ++i) {
        float g = gradients[i] + decay * p.values[i];
        if (p.first) {
            const float velocity = p.first[i] = momentum * p.first[i] + g;
            g = rule.nesterov ? g + momentum * velocity : velocity;
        }
        p.values[i] -= rate * g;
    }
}

// AdamW (Loshchilov and Hutter 2019, algorithm 2), `count` steps with this one.
void adapt(const Rule& rule, const Parameter& p, const float* gradients, double rate, double count, size_t from, size_t to) {
    const float beta1 = (float)rule.beta1, beta2 = (float)rule.beta2, epsilon = (float)rule.epsilon;
    const float kept = (float)(1 - rate * rule.weight_decay), added1 = (float)(1 - rule.beta1), added2 = (float)(1 - rule.beta2);
    const float stride = (float)(rate / (1 - std::pow(rule.beta1, count)));
    const float spread = (float)std::sqrt(1 - std::pow(rule.beta2, count));
    for (size_t i = from; i < to; ++i) {
        const float g = gradients[i];
        const float first = p.first[i] = beta1 * p.first[i] + added1 * g;
        const float second = p.second[i] = beta2 * p.second[i] + added2 * g * g;
        p.values[i] = kept * p.values[i] - stride * first / (std::sqrt(second) / spread + epsilon);
    }
}

// As torch.lerp, which keeps the source's bits at a weight of 1.
void average(const Average& a, float weight, size_t from, size_t to) {
    if (weight < 0.5f)
        for (size_t i = from; i < to; ++i) a.values[i] += weight * (a.source[i] - a.values[i]);
    else
        for (size_t i = from; i < to; ++i) a.values[i] = a.source[i] - (a.source[i] - a.values[i]) * (1 - weight);
}

// work(number, from, to) for shares of all tensors, on all threads; each number of a tensor is in one of them.
template <class Items, class Work>
void in_shares(Threads& threads, const Items& items, const Work& work) {
    struct Piece {
        size_t number, from;
    };
    std::vector<Piece> pieces;
    std::vector<int> begins{0};  // of runs of pieces that together are about one share
    size_t filled = 0;
    for (size_t number = 0; number < items.size(); ++number)
        for (size_t from = 0; from < items[number].size; from += share) {
            pieces.push_back({number, from});
            filled += std::min(share, items[number].size - from);
            if (filled >= share) begins.push_back((int)pieces.size()), filled = 0;
        }
    if (begins.back() != (int)pieces.size()) begins.push_back((int)pieces.size());
    threads.run((int)begins.size() - 1, [&](int item, int) {
        for (int i = begins[item]; i < begins[item + 1]; ++i)
            work(items[pieces[i].number], pieces[i].from, std::min(items[pieces[i].number].size, pieces[i].from + share));
    });
}

}  // namespace

Figures cross_entropy(const float* logits, const int64_t* labels, int images, int classes, double smoothing, float* gradient) {
    Figures found{};
    for (int n = 0; n < images; ++n, logits += classes, gradient += classes) {
        const int64_t label = labels[n];
        if (label < 0 || label >= classes)
            throw std::out_of_range("labels[" + std::to_string(n) + "] is " + std::to_string(label) + ", expected one of " +
                                    std::to_string(classes) + " classes");
        const float* best = std::max_element(logits, logits + classes);
        double sum = 0, all = 0;
        for (int c = 0; c < classes; ++c) {
            sum += std::exp((double)logits[c] - *best);
            all += logits[c];
        }
        const double normaliser = *best + std::log(sum);
        found.loss += normaliser - (1 - smoothing) * logits[label] - smoothing * all / classes;
        found.right += best - logits == label;
        for (int c = 0; c < classes; ++c) {
            const double wanted = (c == label ? 1 - smoothing : 0) + smoothing / classes;
            gradient[c] = (float)((std::exp(logits[c] - normaliser) - wanted) / images);
        }
    }
    return found;
}

Stepper::Stepper(Network& network, Threads& threads, Rule rule, std::vector<Tensors> tensors, std::vector<Parameter> parameters,
                 std::vector<Average> averages)
    : network_(network),
      threads_(threads),
      rule_(rule),
      tensors_(std::move(tensors)),
      parameters_(std::move(parameters)),
      averages_(std::move(averages)),
      gradients_(network.parameter_count()) {}

Figures Stepper::step(const float* x, const int64_t* labels, int images, uint64_t key, double rate, double weight) {
    const int classes = network_.classes();
    logits_.resize((size_t)images * classes);
    gradient_.resize(logits_.size());
    network_.forward(x, images, tensors_, {true, key}, logits_.data());
    const Figures found = cross_entropy(logits_.data(), labels, images, classes, rule_.label_smoothing, gradient_.data());
    network_.backward(gradient_.data(), gradients_.data(), nullptr);
    update(rate, weight);
    return found;
}

void Stepper::update(double rate, double weight) {
    for (const Parameter& p : parameters_)
        if (p.count) ++*p.count;
    in_shares(threads_, parameters_, [&](const Parameter& p, size_t from, size_t to) {
        const float* gradients = gradients_.data() + p.gradient;
        if (rule_.adam)
            adapt(rule_, p, gradients, rate, *p.count, from, to);
        else
            descend(rule_, p, gradients, (float)rate, from, to);
    });
    in_shares(threads_, averages_, [&](const Average& a, size_t from, size_t to) { average(a, (float)weight, from, to); });
}

}  // namespace stepladder
