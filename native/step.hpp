// What a training step does besides the network: the loss, the optimizer and the average of the weights.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "network.hpp"
#include "threads.hpp"

namespace stepladder {

// What a recipe asks of every step.
struct Rule {
    bool adam = false;  // AdamW; else SGD
    double momentum = 0;
    bool nesterov = false;
    double beta1 = 0, beta2 = 0, epsilon = 0;
    double weight_decay = 0;
    double label_smoothing = 0;
};

// A trained tensor, where its gradient stands among all, and what the optimizer keeps of it: the momentum (first), or the two
// moments and the count of steps (first, second, count); null where there is none.
struct Parameter {
    float* values;
    size_t gradient, size;
    float *first, *second, *count;
};

// A tensor's average.
struct Average {
    float* values;
    const float* source;
    size_t size;
};

// The loss of a batch, summed over its images, and how many were answered right.
struct Figures {
    double loss, right;
};

// Cross-entropy of logits (images, classes) with smoothed labels: figures, and the gradient of its mean over the images.
Figures cross_entropy(const float* logits, const int64_t* labels, int images, int classes, double smoothing, float* gradient);

// Trains a network whose tensors stay where they are.
class Stepper {
   public:
    Stepper(Network& network, Threads& threads, Rule rule, std::vector<Tensors> tensors, std::vector<Parameter> parameters,
            std::vector<Average> averages);

    // One batch x (images, channels, height, width) with its labels; `key` is that of its dropout, `weight`
    // what its weights count in the average.
    Figures step(const float* x, const int64_t* labels, int images, uint64_t key, double rate, double weight);

   private:
    void update(double rate, double weight);

    Network& network_;
    Threads& threads_;
    const Rule rule_;
    const std::vector<Tensors> tensors_;
    const std::vector<Parameter> parameters_;
    const std::vector<Average> averages_;
    std::vector<float> logits_, gradient_, gradients_;  // of the logits; of all parameters
};

}  // namespace stepladder
