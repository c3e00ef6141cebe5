// The way to Python: addresses and sizes in, errors out. Arrays are checked on the Python side (engine/native.py).
#include <nanobind/nanobind.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <stdexcept>
#include <string>
#include <tuple>

#include "dispatch.hpp"
#include "network.hpp"
#include "step.hpp"
#include "threads.hpp"

namespace nb = nanobind;
using namespace stepladder;

namespace {

using Address = uintptr_t;
// (weight, bias, scale, shift, mean, variance, batches), 0 where there is none
using Addresses = std::vector<std::tuple<Address, Address, Address, Address, Address, Address, Address>>;

std::vector<Tensors> tensors_at(const Addresses& addresses) {
    std::vector<Tensors> tensors;
    for (const auto& [weight, bias, scale, shift, mean, variance, batches] : addresses)
        tensors.push_back({.weight = (const float*)weight,
                           .bias = (const float*)bias,
                           .scale = (const float*)scale,
                           .shift = (const float*)shift,
                           .mean = (float*)mean,
                           .variance = (float*)variance,
                           .batches = (int64_t*)batches});
    return tensors;
}

const std::map<std::string, Operation> operations = {
    {"convolution", Operation::convolution}, {"fixed_convolution", Operation::convolution},
    {"max_pool", Operation::max_pool},       {"average_pool", Operation::average_pool},
    {"group_norm", Operation::group_norm},   {"add", Operation::add},
    {"multiply", Operation::multiply},       {"scale", Operation::scale},
    {"concatenate", Operation::concatenate}, {"branch", Operation::branch},
};

const std::map<std::string, Function> functions = {
    {"leaky_relu", Function::leaky_relu},
    {"prelu", Function::prelu},
    {"relu6", Function::relu6},
    {"elu", Function::elu},
    {"silu", Function::silu},
    {"hard_swish", Function::hard_swish},
    {"gelu", Function::gelu},
    {"tanh", Function::tanh},
    {"sigmoid", Function::sigmoid},
};

// A layer of an operation (or a function) by name; all else that it may have is set afterwards.
Layer layer(const std::string& operation, const Shape& in, const Shape& out, const Window& window) {
    const auto named = operations.find(operation);
    const auto function = functions.find(operation);
    if (named == operations.end() && function == functions.end()) throw std::invalid_argument("unknown operation: " + operation);
    return {.operation = named == operations.end() ? Operation::function : named->second,
            .function = function == functions.end() ? Function{} : function->second,
            .in_channels = in.channels,
            .in_height = in.height,
            .in_width = in.width,
            .out_channels = out.channels,
            .out_height = out.height,
            .out_width = out.width,
            .window = window,
            .fixed = operation == "fixed_convolution"};
}

// uint8 images (count, channels, height, width), chosen by int64 indices, through (chosen, 2, 3) maps or none, to float32; one
// mean and deviation for each channel.
void batch(Threads& threads, const std::string& isa, Address images, int64_t available, Address chosen, int count, int height,
           int width, Address maps, const std::vector<float>& mean, const std::vector<float>& deviation, Address out) {
    const Kernels& kernels = choose(isa);
    for (int n = 0; n < count; ++n)
        if (const int64_t index = ((const int64_t*)chosen)[n]; index < 0 || index >= available)
            throw std::out_of_range("chosen[" + std::to_string(n) + "] is " + std::to_string(index) + ", expected an index of " +
                                    std::to_string(available) + " images");
    const size_t size = (size_t)height * width, channels = mean.size();
    const int share = std::max(1, (count + 15) / 16);  // images at a time
    std::vector<float> positions(image_positions(height, width));
    for (size_t i = 0; i < size; ++i) {
        positions[i] = (int)(i % width) - (width - 1) / 2.0f;
        positions[positions.size() / 2 + i] = (int)(i / width) - (height - 1) / 2.0f;
    }
    threads.run((count + share - 1) / share, [&](int item, int) {
        std::vector<uint8_t> patch(image_patch(height, width));
        for (int n = item * share; n < std::min(count, (item + 1) * share); ++n)
            for (size_t c = 0; c < channels; ++c)
                kernels.image((const uint8_t*)images + (((const int64_t*)chosen)[n] * channels + c) * size, height, width,
                              maps ? (const float*)maps + 6 * n : nullptr, 1 / (255 * deviation[c]), -mean[c] / deviation[c],
                              positions.data(), patch.data(), (float*)out + (n * channels + c) * size);
    });
}

// Multiply-adds of all threads at once, in GFLOP/s: what the arithmetic units of this machine reach at most.
double peak(const std::string& isa, int count) {
    const Kernels& kernels = choose(isa);
    Threads threads(count);
    constexpr size_t rounds = 20'000'000;
    constexpr int chains = 12;
    std::vector<float> sink(count);
    const auto work = [&](int item, int) { sink[item] = kernels.peak(rounds); };
    threads.run(count, work);
    const auto began = std::chrono::steady_clock::now();
    threads.run(count, work);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    return 2.0 * rounds * chains * kernels.lanes * count / seconds / 1e9;
}

// A network and the kernels it runs on.
class Engine {
   public:
    Engine(std::vector<Layer> layers, const std::string& isa, Threads& threads)
        : kernels_(choose(isa)), threads_(threads), network_(std::move(layers), kernels_, threads) {}

    const Kernels& kernels() const { return kernels_; }
    Threads& threads() { return threads_; }
    Network& network() { return network_; }

   private:
    const Kernels& kernels_;
    Threads& threads_;
    Network network_;
};

// (values, where its gradient stands, size, first, second, count): see Parameter.
using ParameterAddresses = std::vector<std::tuple<Address, size_t, size_t, Address, Address, Address>>;
// (values, source, size): see Average.
using AverageAddresses = std::vector<std::tuple<Address, Address, size_t>>;

Stepper stepper(Engine& engine, const Rule& rule, const Addresses& tensors, const ParameterAddresses& parameters,
                const AverageAddresses& averages) {
    std::vector<Parameter> trained;
    for (const auto& [values, gradient, size, first, second, count] : parameters)
        trained.push_back({.values = (float*)values,
                           .gradient = gradient,
                           .size = size,
                           .first = (float*)first,
                           .second = (float*)second,
                           .count = (float*)count});
    std::vector<Average> averaged;
    for (const auto& [values, source, size] : averages)
        averaged.push_back({.values = (float*)values, .source = (const float*)source, .size = size});
    return {engine.network(), engine.threads(), rule, tensors_at(tensors), std::move(trained), std::move(averaged)};
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "The native engine's compiled part. Use stepladder.engine.native.";
    nb::set_leak_warnings(false);  // threads are kept for the life of the process (a cache in native.py)
    nb::class_<Shape>(m, "Shape").def(nb::init<int, int, int>(), nb::arg("channels"), nb::arg("height"), nb::arg("width"));
    nb::class_<Window>(m, "Window")
        .def(nb::init<int, int, int, int>(), nb::arg("kernel"), nb::arg("stride"), nb::arg("padding"), nb::arg("dilation"));
    nb::class_<Layer>(m, "Layer")
        .def_rw("groups", &Layer::groups)
        .def_rw("bias", &Layer::bias)
        .def_rw("norm", &Layer::norm)
        .def_rw("relu", &Layer::relu)
        .def_rw("dropout", &Layer::dropout)
        .def_rw("drops_channels", &Layer::drops_channels)
        .def_rw("source", &Layer::source)
        .def_rw("epsilon", &Layer::epsilon)
        .def_rw("momentum", &Layer::momentum)
        .def_rw("parameter", &Layer::parameter)
        .def_rw("scales", &Layer::scales);
    m.def("layer", &layer, nb::arg("operation"), nb::arg("input"), nb::arg("output"), nb::arg("window"));
    m.def("isas", [] {
        std::vector<std::string> names;
        for (const Kernels* kernels : supported()) names.push_back(kernels->name);
        return names;
    });
    m.def("peak", &peak, nb::arg("isa"), nb::arg("threads"), nb::call_guard<nb::gil_scoped_release>());
    nb::class_<Threads>(m, "Threads").def(nb::init<int>(), nb::arg("count")).def_prop_ro("count", &Threads::count);
    m.def("batch", &batch, nb::arg("threads"), nb::arg("isa"), nb::arg("images"), nb::arg("available"), nb::arg("chosen"),
          nb::arg("count"), nb::arg("height"), nb::arg("width"), nb::arg("maps"), nb::arg("mean"), nb::arg("deviation"),
          nb::arg("out"), nb::call_guard<nb::gil_scoped_release>());
    nb::class_<Engine>(m, "Engine")
        .def(nb::init<std::vector<Layer>, const std::string&, Threads&>(), nb::arg("layers"), nb::arg("isa"), nb::arg("threads"),
             nb::keep_alive<1, 4>())
        .def_prop_ro("isa", [](const Engine& e) { return std::string(e.kernels().name); })
        .def("take_seconds", [](Engine& e) { return e.network().take_seconds(); })
        .def(
            "forward",
            [](Engine& e, Address x, int images, const Addresses& tensors, bool training, uint64_t key, Address logits) {
                e.network().forward((const float*)x, images, tensors_at(tensors), {training, key}, (float*)logits);
            },
            nb::call_guard<nb::gil_scoped_release>())
        .def(
            "backward",
            [](Engine& e, Address logits, Address parameters, Address x) {
                e.network().backward((const float*)logits, (float*)parameters, (float*)x);
            },
            nb::call_guard<nb::gil_scoped_release>())
        .def(
            "infer",
            [](Engine& e, Address x, int images, const Addresses& tensors, Address logits) {
                e.network().infer((const float*)x, images, tensors_at(tensors), (float*)logits);
            },
            nb::call_guard<nb::gil_scoped_release>());
    nb::class_<Rule>(m, "Rule")
        .def(nb::init<>())
        .def_rw("adam", &Rule::adam)
        .def_rw("momentum", &Rule::momentum)
        .def_rw("nesterov", &Rule::nesterov)
        .def_rw("beta1", &Rule::beta1)
        .def_rw("beta2", &Rule::beta2)
        .def_rw("epsilon", &Rule::epsilon)
        .def_rw("weight_decay", &Rule::weight_decay)
        .def_rw("label_smoothing", &Rule::label_smoothing);
    nb::class_<Stepper>(m, "Stepper")
        .def(
            "step",
            [](Stepper& s, Address x, Address labels, int images, uint64_t key, double rate, double weight, Address figures) {
                *(Figures*)figures = s.step((const float*)x, (const int64_t*)labels, images, key, rate, weight);
            },
            nb::call_guard<nb::gil_scoped_release>());
    m.def("stepper", &stepper, nb::arg("engine"), nb::arg("rule"), nb::arg("tensors"), nb::arg("parameters"), nb::arg("averages"),
          nb::keep_alive<0, 1>());
}
