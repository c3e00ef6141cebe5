// Activations that are layers of their own: functions of one number, and their gradients.
#pragma once
#include "kernels.hpp"
#include "pointwise.hpp"
#include "vector.hpp"

namespace {
using namespace stepladder;

INLINE V at_most(V v, float most) { return v > most ? broadcast(most) : v; }      // NaN stays NaN
INLINE V at_least(V v, float least) { return v < least ? broadcast(least) : v; }  // likewise

// exp(v) = power + power * rest, where power is the power of two nearest to it.
struct Exponential {
    V power, rest;

    // v = n ln 2 + r with |r| up to half of ln 2, and exp(r) - 1 as a polynomial (S. Moshier's Cephes, expf).
    INLINE explicit Exponential(V v) {
        v = at_least(at_most(v, 88), -87);      // beyond, a power of two is no longer a normal number
        const V shifter = broadcast(12582912);  // 1.5 * 2^23: adding it rounds to whole numbers
        const V n = (v * 1.44269504f + shifter) - shifter;
        const V r = (v - n * 0.693359375f) + n * 2.12194440e-4f;
        V p = broadcast(1.9875691500e-4f);
        p = p * r + 1.3981999507e-3f;
        p = p * r + 8.3334519073e-3f;
        p = p * r + 4.1665795894e-2f;
        p = p * r + 1.6666665459e-1f;
        p = p * r + 5.0000001201e-1f;
        rest = p * (r * r) + r;
        power = (V)((U)(to_int(n) + 127) << 23);
    }
};

// exp(v), 0 below -87 and infinite above 88.
INLINE V exponential(V v) {
    const Exponential e(v);
    V found = e.power * e.rest + e.power;
    found = v < -87 ? V{} : found;
    return v > 88 ? broadcast(__builtin_inff()) : found;
}

// exp(v) - 1 to full precision near 0, for v up to 88.
INLINE V exponential_less_one(V v) {
    const Exponential e(v);
    return e.power * e.rest + (e.power - 1);
}

INLINE V logistic(V v) { return 1 / (1 + exponential(-v)); }

// The error function as a quotient of polynomials, of |v| up to 4, beyond which it is 1 (Eigen's erf of floats).
INLINE V error_function(V v) {
    v = at_least(at_most(v, 4), -4);
    const V s = v * v;
    V p = broadcast(-2.72614225801306e-10f);
    p = p * s + 2.77068142495902e-08f;
    p = p * s - 2.10102402082508e-06f;
    p = p * s - 5.69250639462346e-05f;
    p = p * s - 7.34990630326855e-04f;
    p = p * s - 2.95459980854025e-03f;
    p = p * s - 1.60960333262415e-02f;
    V q = broadcast(-1.45660718464996e-05f);
    q = q * s - 2.13374055278905e-04f;
    q = q * s - 1.68282697438203e-03f;
    q = q * s - 7.37332916720468e-03f;
    q = q * s - 1.42647390514189e-02f;
    return v * p / q;
}

// Each function has `value(x)` and `derivative(x, y)`, with y = value(x). Where a kink is, the derivative is torch's.

struct Leaky {  // LeakyReLU and PReLU
    V slope;
    INLINE V value(V x) const { return x > 0 ? x : slope * x; }
    INLINE V derivative(V x, V) const { return x > 0 ? broadcast(1) : slope; }
};

struct ClippedAtSix {  // ReLU6
    INLINE V value(V x) const { return at_most(relu(x), 6); }
    INLINE V derivative(V x, V) const { return keep((x > 0) & (x < 6), broadcast(1)); }
};

struct ExponentialLinear {  // ELU
    V alpha;
    INLINE V value(V x) const { return x > 0 ? x : alpha * exponential_less_one(x); }
    INLINE V derivative(V x, V y) const { return x > 0 ? broadcast(1) : y + alpha; }
};

struct SigmoidLinear {  // SiLU
    INLINE V value(V x) const { return x / (1 + exponential(-x)); }
    INLINE V derivative(V x, V) const {
        const V share = logistic(x);
        return share * (1 + x * (1 - share));
    }
};

struct HardSwish {
    INLINE V value(V x) const { return x * at_most(relu(x + 3), 6) * (1.0f / 6); }
    INLINE V derivative(V x, V) const {
        const V inner = x >= 3 ? broadcast(1) : x * (1.0f / 3) + 0.5f;
        return x <= -3 ? V{} : inner;
    }
};

struct GaussianLinear {  // GELU: x times the normal distribution's share below it
    static INLINE V share(V x) { return 0.5f + 0.5f * error_function(x * 0.70710678118654752f); }
    INLINE V value(V x) const { return x * share(x); }
    INLINE V derivative(V x, V) const {
        const V density = 0.39894228040143268f * exponential(-0.5f * (x * x));
        return share(x) + x * density;
    }
};

struct HyperbolicTangent {
    // From exp(2x) - 1, which keeps its digits near 0; beyond 9.1 it is 1 in single precision.
    INLINE V value(V x) const {
        const V t = exponential_less_one(2 * at_least(at_most(x, 9.1f), -9.1f));
        return t / (t + 2);
    }
    INLINE V derivative(V, V y) const { return 1 - y * y; }
};

struct Logistic {  // Sigmoid
    INLINE V value(V x) const { return logistic(x); }
    INLINE V derivative(V, V y) const { return y * (1 - y); }
};

// Calls `with(c, function of channel c)` for all channels. PReLU has one slope for all, or one a channel.
template <class Body>
void each_channel(const FunctionWork& work, const Body& with) {
    const auto all = [&](auto f) {
        for (int c = 0; c < work.rows.channels; ++c) with(c, f);
    };
    switch (work.function) {
        case Function::leaky_relu:
            return all(Leaky{broadcast(work.parameter)});
        case Function::prelu:
            for (int c = 0; c < work.rows.channels; ++c) with(c, Leaky{broadcast(work.slopes[work.slope_count > 1 ? c : 0])});
            return;
        case Function::relu6:
            return all(ClippedAtSix{});
        case Function::elu:
            return all(ExponentialLinear{broadcast(work.parameter)});
        case Function::silu:
            return all(SigmoidLinear{});
        case Function::hard_swish:
            return all(HardSwish{});
        case Function::gelu:
            return all(GaussianLinear{});
        case Function::tanh:
            return all(HyperbolicTangent{});
        case Function::sigmoid:
            return all(Logistic{});
    }
}

void function(const FunctionWork& work, const float* in, float* out) {
    const Rows& rows = work.rows;
    const ptrdiff_t count = (ptrdiff_t)(rows.to - rows.from) * rows.width;
    each_channel(work, [&](int c, auto f) {
        const ptrdiff_t from = ((ptrdiff_t)c * rows.height + rows.from) * rows.width;
        const V* x = (const V*)in + from;
        V* y = (V*)out + from;
        for (ptrdiff_t i = 0; i < count; ++i) y[i] = f.value(x[i]);
    });
}

void function_gradient(const FunctionWork& work, const float* gradient, const float* in, const float* out, float* onwards,
                       float* slope_sums, const GradientSums& g) {
    const Rows& rows = work.rows;
    const ptrdiff_t plane = (ptrdiff_t)rows.height * rows.width;
    const ptrdiff_t from = (ptrdiff_t)rows.from * rows.width, to = (ptrdiff_t)rows.to * rows.width;
    each_channel(work, [&](int c, auto f) {
        Sums sums(g, c, plane);
        const V *d = (const V*)gradient + c * plane, *x = (const V*)in + c * plane, *y = (const V*)out + c * plane;
        V* store = (V*)onwards + c * plane;
        V slope = {};
        for (ptrdiff_t i = from; i < to; ++i) {
            if (slope_sums) slope += keep(~(x[i] > 0), d[i] * x[i]);
            store[i] = sums.add(d[i] * f.derivative(x[i], y[i]), i);
        }
        sums.save(g, c);
        if (slope_sums) ((V*)slope_sums)[work.slope_count > 1 ? c : 0] += slope;
    });
}

}  // namespace
