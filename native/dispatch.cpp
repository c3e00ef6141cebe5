#include "dispatch.hpp"

#include <stdexcept>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace stepladder {

#if defined(__x86_64__)
namespace {

// Asked of the processor itself (Intel SDM, CPUID and XGETBV): not every compiler's library answers
// __builtin_cpu_supports. The system must save the registers too.
struct Processor {
    bool avx2 = false, avx512 = false;

    Processor() {
        unsigned a, b, c, d;
        if (!__get_cpuid(1, &a, &b, &c, &d)) return;
        const bool fma = c & 1u << 12, saves = c & 1u << 27;
        if (!fma || !saves || !__get_cpuid_count(7, 0, &a, &b, &c, &d)) return;
        unsigned low, high;
        asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
        constexpr unsigned f = 1u << 16, dq = 1u << 17, bw = 1u << 30, vl = 1u << 31, all = f | dq | bw | vl;
        avx2 = (low & 0x06) == 0x06 && (b & 1u << 5);
        avx512 = avx2 && (low & 0xe6) == 0xe6 && (b & all) == all;
    }
};

}  // namespace
#endif

std::vector<const Kernels*> supported() {
    std::vector<const Kernels*> found;
#if defined(__x86_64__)
    static const Processor processor;
    if (processor.avx512) found.push_back(&kernels_avx512);
    if (processor.avx2) found.push_back(&kernels_avx2);
#endif
    found.push_back(&kernels_baseline);
    return found;
}

const Kernels& choose(const std::string& name) {
    std::string names;
    for (const Kernels* kernels : supported()) {
        if (name.empty() || name == kernels->name) return *kernels;
        names += std::string(names.empty() ? "" : ", ") + kernels->name;
    }
    throw std::invalid_argument("instruction set '" + name + "' is not supported here, expected one of " + names);
}

}  // namespace stepladder
