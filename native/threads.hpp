// Threads that wait for work, and items of work that any of them may claim.
#pragma once
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace stepladder {

// `run(items, body)` calls body(item, thread) once for each item, on the calling thread (thread 0) and the workers, and
// returns when all are done. Each thread starts with a share of its own, the same in every run, so that a tile's memory
// stays in one core's cache; whoever is done early takes from the others. Threads start with the first run; in a forked
// child, where they are gone, they start anew.
class Threads {
   public:
    explicit Threads(int count) : count_(count), shares_(count) {}
    ~Threads();
    Threads(const Threads&) = delete;
    Threads& operator=(const Threads&) = delete;

    int count() const { return count_; }

    template <class Body>
    void run(int items, const Body& body) {
        start(items, [](const void* data, int item, int thread) { (*(const Body*)data)(item, thread); }, &body);
    }

   private:
    using Call = void (*)(const void*, int item, int thread);
    // The next item of a share, behind the number of the run it belongs to: a thread that wakes late, when its run is
    // over, finds another number and claims nothing.
    struct alignas(64) Share {
        std::atomic<uint64_t> next{0};
        std::atomic<uint32_t> end{0};
    };

    void start(int items, Call call, const void* data);
    void work(uint32_t run, int thread);
    void wait_for_work(int thread);
    void launch();

    const int count_;
    std::mutex mutex_;  // one run at a time
    std::vector<Share> shares_;
    std::unique_ptr<std::vector<std::thread>> workers_;
    int process_ = 0;
    std::atomic<uint32_t> run_{0};
    std::atomic<bool> ending_{false};
    std::atomic<int> done_{0};
    std::atomic<Call> call_{nullptr};
    std::atomic<const void*> data_{nullptr};
};

}  // namespace stepladder
