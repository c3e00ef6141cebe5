#include "dispatch.hpp"

#include <stdexcept>

namespace stepladder {

std::vector<const Kernels*> supported() {
    std::vector<const Kernels*> found;
#if defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl"))
        found.push_back(&kernels_avx512);
    if (avx2) found.push_back(&kernels_avx2);
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
