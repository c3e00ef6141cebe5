#pragma once
#include <chrono>

namespace stepladder {

// Adds the time from its making to its end.
struct Clock {
    explicit Clock(double& seconds) : seconds_(seconds), began_(std::chrono::steady_clock::now()) {}
    ~Clock() { seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - began_).count(); }

   private:
    double& seconds_;
    std::chrono::steady_clock::time_point began_;
};

}  // namespace stepladder
