// A whole network: forward, backward and evaluation over batches of images.
#pragma once
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "kernels.hpp"
#include "threads.hpp"

namespace stepladder {

enum class Operation { convolution, max_pool, average_pool, function, group_norm, add, multiply, scale, concatenate, branch };

// Channels of height x width.
struct Shape {
    int channels, height, width;
};

// One layer and what is done to its output. A linear layer is a 1 x 1 convolution of a 1 x 1 image.
struct Layer {
    Operation operation;
    Function function = {};  // of Operation::function
    int in_channels, in_height, in_width, out_channels, out_height, out_width;
    Window window;   // average_pool of kernel 0: of all there is
    int groups = 1;  // of channels: a convolution's, those of group_norm
    bool bias = false, norm = false, relu = false;
    float dropout = 0;
    bool drops_channels = false;            // dropout of whole channels
    bool fixed = false;                     // a convolution whose weights are not trained
    int source = 0;                         // joins (add and those after it): the layer whose input is their second one
    double epsilon = 1e-5, momentum = 0.1;  // of the norm; of group_norm, epsilon
    float parameter = 0;                    // of the function
    int scales = 0;                         // function, group_norm: how many slopes, or scales, are trained

    int in_group() const { return in_channels / groups; }
    int out_group() const { return out_channels / groups; }
    int taps() const { return window.kernel * window.kernel; }
    int rows_needed(int to) const { return stepladder::rows_needed(window, to, out_height, in_height); }
    int rows_whole(int to) const { return stepladder::rows_whole(window, to, out_height, in_height); }
    bool joins() const { return operation >= Operation::add; }
    bool multiplies() const { return operation == Operation::multiply || operation == Operation::scale; }
    // A join's: the output has the channels of its inputs together (concatenate), or is as large as the second.
    JoinSizes join_sizes() const {
        const int before = operation == Operation::concatenate ? in_channels : 0;
        return {in_channels, out_channels - before, in_height * in_width, out_height * out_width};
    }
    // Whether its output is its inputs as they are, behind each other.
    bool copies() const { return operation == Operation::concatenate || operation == Operation::branch; }
};

// The tensors of one layer, as torch holds them; null where the layer has none.
struct Tensors {
    const float *weight, *bias, *scale, *shift;
    float *mean, *variance;  // running statistics
    int64_t* batches;        // how many updated them
};

// How a forward pass treats norm and dropout.
struct Mode {
    bool training;  // statistics of the batch, running statistics updated, dropout; else running statistics
    uint64_t key;   // of the dropout draws
};

// 64-byte aligned memory that is zero at first.
class Buffer {
   public:
    Buffer() = default;
    explicit Buffer(size_t floats);
    float* data() const { return memory_.get(); }

   private:
    struct Free {
        size_t alignment;
        void operator()(float* memory) const;
    };
    std::unique_ptr<float, Free> memory_;
};

class Network {
   public:
    Network(std::vector<Layer> layers, const Kernels& kernels, Threads& threads);

    // x is (images, channels, height, width), logits (images, classes), both contiguous. Keeps what `backward` needs.
    void forward(const float* x, int images, const std::vector<Tensors>& tensors, Mode mode, float* logits);

    // From the gradient of the logits, the gradients of all parameters in torch's order (for each layer weight, bias,
    // scale, shift), one behind the other, and, unless null, of x. Once after each forward.
    void backward(const float* logits, float* parameters, float* x);

    // Logits with running statistics and without dropout. Keeps nothing, and leaves what forward kept as it is.
    void infer(const float* x, int images, const std::vector<Tensors>& tensors, float* logits);

    // Seconds that each layer has taken since the last call, forward and backward; one more layer than was given may
    // follow at the end (see the constructor).
    std::vector<std::pair<double, double>> take_seconds();

    size_t parameter_count() const;  // trained ones
    int classes() const { return (int)stages_.back().out_size(); }

   private:
    // A layer's tensors made ready: weights packed for the kernels, norm and dropout as one scale and shift.
    struct Ready {
        std::vector<float> weights, bias;  // (slopes of a function, scales and shifts of group_norm as they are)
        std::vector<float> scale, shift;   // activation = relu(scale * output + shift)
    };
    // Rows of the output, and its channels, that are worked on while they are in the cache.
    struct Part {
        Span channels, rows;
    };
    // One layer with all that backward needs of it.
    struct Stage {
        Layer layer;
        std::vector<RowTaps> rows, gradient_rows;
        std::vector<ColumnRun> runs, gradient_runs;
        std::vector<int> blocks, gradient_blocks, weight_blocks;
        std::vector<Span> columns;
        Walk walk, gradient_walk;
        int rows_at_once;         // worked on while they are in the nearest cache
        bool by_channel = false;  // worked on channel by channel instead
        size_t weights_at;        // where its trained weights' sums stand among those of its chain
        int last_join = -1;       // that what enters here is the second input of; -1: of none

        Ready trained, inferred;
        std::vector<float> gradient_weights;  // packed for the gradient's walk
        std::vector<float> mean, deviation;   // of the norm's input, one a channel; 1 / standard deviation
        std::vector<float> gamma;             // the norm's scale at the time of forward
        std::vector<float> a, b, c;           // gradient of the output = a * gradient + b * output + c
        std::vector<float> means;             // `mean`, one for each channel of the next layer
        Buffer out;                           // of all tiles: what the operation gave
        Buffer extra;                         // of all tiles: the gradient of what enters here that its joins have given
        Buffer moments;                       // of all tiles: each group's mean and 1 / deviation

        size_t in_size() const { return (size_t)layer.in_channels * layer.in_height * layer.in_width; }
        size_t out_size() const { return (size_t)layer.out_channels * layer.out_height * layer.out_width; }
        size_t weight_count() const;
        size_t trained_weights() const;
        size_t parameter_count() const;
        bool joined() const { return last_join >= 0; }
        // Whether what it gives is what enters the next layer, as it is.
        bool given_as_is() const;
        // The parts that it is worked on in: all channels of some rows, or all rows of one channel.
        int parts() const;
        Part part(int number) const;
    };
    // What one thread works in.
    struct Scratch {
        Buffer first, second;      // one vector a channel
        Buffer weights;            // one vector a trained weight of all stages
        Buffer in, out;            // one tile: what enters the layer at hand, and its output (infer) or that output's gradient
        Buffer fused;              // one tile: the gradient of the first layer's activation (see first_rows)
        Buffer fused_sums;         // one vector for each sum of `first_rows`
        Buffer inside[2];          // one tile: gradients inside a chain, after layers of even and of odd number
        Buffer source;             // one tile: the second input of a join
        std::vector<Buffer> kept;  // one tile for each stage whose input joins need (infer)
        std::vector<std::pair<double, double>> seconds;  // of each stage, forward and backward
    };
    // Successive stages [from, to) of which none but the last has a norm: nothing waits for other tiles' statistics, so each
    // tile goes through all of them while it is in the cache.
    struct Chain {
        size_t from, to;
        size_t weights;  // trained ones
    };

    void plan(Stage& stage) const;
    void reserve(int tiles);
    void to_tile(const float* x, size_t elements, int tile, int images, float* out) const;
    void pack(const Stage& stage, const Tensors& tensors, Ready& ready) const;
    void pack_gradient(Stage& stage, const Tensors& tensors) const;
    void use_statistics(Stage& stage, const Tensors& tensors, const std::vector<double>& sums, int images, int groups) const;
    void set_norm(const Stage& stage, const Tensors& tensors, int channel, double mean, double variance, bool dropout,
                  Ready& ready) const;
    void activate(const Stage& stage, const Ready& ready, const uint32_t* keys, const float* from, float* to,
                  const Rows& rows) const;
    const Join& join_of(const Layer& layer) const;
    void unite(size_t number, int tile, Scratch& scratch, float* out) const;
    void enter_at(size_t number, int tile, float* place) const;
    FunctionWork function_of(const Stage& stage, const Ready& ready, int from, int to) const;
    GroupNorm group_norm_of(const Stage& stage, const Ready& ready) const;
    void operate(const Stage& stage, const Ready& ready, const float* in, float* out, const Part& part, Scratch* sums,
                 float* moments) const;
    void forward_tile(size_t number, int tile, Scratch& scratch, double* sums);
    void backward_tile(size_t number, int tile, const float* logits, Scratch& scratch, double* sums, bool to_input);
    void join_backward_tile(size_t number, int tile, const float* logits, Scratch& scratch, double* sums, bool to_input);
    void convolution_backward(const Stage& stage, const Part& part, const float* in, const float* gradient, ptrdiff_t plane,
                              float* onwards, int begun, int done, const GradientSums* through, float* weights) const;
    void backward_group(const Chain& chain, int group, const float* logits, float* x, Scratch& scratch,
                        std::vector<std::vector<double>>& sums);
    size_t first_wanted(bool to_input) const;
    GradientSums through(size_t number, int tile, Scratch& scratch) const;
    bool first_is_fused(bool to_input) const;
    size_t first_sum_count() const;
    void first_rows(int tile, Scratch& scratch, int from, int to) const;
    void collect_first_gradients(int groups, float* parameters) const;
    const float* after(size_t number, int tile, const Scratch& scratch) const;
    float* onwards(size_t number, int tile, const Scratch& scratch) const;
    void make_ready(size_t number, const Tensors& tensors);
    uint32_t* drop_keys(size_t number, int tile, uint32_t* keys) const;
    const float* enter(size_t number, int tile, float* room, const Part& part, int& done) const;
    const float* enter(size_t number, int tile, float* room) const;
    void infer_tile(const float* x, int tile, int images, float* logits, Scratch& scratch);
    void collect_gradients(Stage& stage, int groups, float* parameters) const;
    void finish_norm(Stage& stage, const std::vector<double>& sums, int groups, int channels, float* parameters);

    int lanes_in(int tile, int images) const;
    int groups() const;

    const Kernels& kernels_;
    std::vector<Stage> stages_;
    std::vector<Chain> chains_;
    Threads& threads_;
    std::mutex mutex_;
    std::vector<Scratch> scratch_;
    Buffer input_;                      // of all tiles: the batch
    Buffer gradients_[2];               // of all tiles: gradients of the activations after layers of even and of odd number
    Buffer ones_;                       // a plane of the first layer's output
    std::vector<float> group_weights_;  // [group][weight]: sums over lanes and the group's tiles
    std::vector<float> group_first_;    // [group][sum of first_rows]
    size_t most_channels_ = 0, most_weights_ = 0, largest_ = 0;
    int tiles_ = 0, images_ = 0;
    bool training_ = false;
    uint64_t key_ = 0;
};

}  // namespace stepladder
