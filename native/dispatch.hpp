// Which table of kernels this machine runs.
#pragma once
#include <string>
#include <vector>

#include "kernels.hpp"

namespace stepladder {

// The instruction sets that this build has and this processor runs, the fastest first.
std::vector<const Kernels*> supported();

// The one called `name`, or the fastest for an empty name. Throws std::invalid_argument, naming those supported.
const Kernels& choose(const std::string& name);

}  // namespace stepladder
