#include "threads.hpp"

#include <chrono>

#if defined(_WIN32)
#include <process.h>
#define getpid _getpid
#else
#include <unistd.h>
#endif

namespace stepladder {

namespace {

// Spinning bridges the gaps between two layers, and those between forward, backward and the next batch: waking a thread
// that sleeps costs about as much as a layer. Whoever else wants the core gets it (yield).
constexpr auto patience = std::chrono::microseconds(1000);

template <class Condition>
bool spin_until(const Condition& met) {
    for (int i = 0; i < 256; ++i) {
        if (met()) return true;
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }
    const auto until = std::chrono::steady_clock::now() + patience;
    while (std::chrono::steady_clock::now() < until) {
        if (met()) return true;
        std::this_thread::yield();
    }
    return met();
}

}  // namespace

Threads::~Threads() {
    if (!workers_) return;
    if (process_ != getpid()) {
        workers_.release();  // a forked child: these threads never ran here, and cannot be joined
        return;
    }
    ending_ = true;
    ++run_;
    run_.notify_all();
    for (std::thread& worker : *workers_) worker.join();
}

void Threads::launch() {
    if (workers_ && process_ == getpid()) return;
    workers_.release();  // null, or a forked child's copy of threads that do not exist
    process_ = getpid();
    workers_ = std::make_unique<std::vector<std::thread>>();
    for (int thread = 1; thread < count_; ++thread) workers_->emplace_back([this, thread] { wait_for_work(thread); });
}

void Threads::start(int items, Call call, const void* data) {
    if (count_ == 1) {
        for (int item = 0; item < items; ++item) call(data, item, 0);
        return;
    }
    const std::lock_guard lock(mutex_);
    launch();
    const uint32_t run = run_.load(std::memory_order_relaxed) + 1;
    call_.store(call, std::memory_order_relaxed);
    data_.store(data, std::memory_order_relaxed);
    done_.store(0, std::memory_order_relaxed);
    for (int t = 0; t < count_; ++t) {
        // A thread may still be looking for work of the last run: it must not take its last place for one before a new end.
        shares_[t].next.store((uint64_t)run << 32 | UINT32_MAX, std::memory_order_relaxed);
        shares_[t].end.store((uint32_t)((int64_t)items * (t + 1) / count_), std::memory_order_release);
        shares_[t].next.store((uint64_t)run << 32 | (uint32_t)((int64_t)items * t / count_), std::memory_order_release);
    }
    run_.store(run, std::memory_order_release);
    run_.notify_all();
    work(run, 0);
    const auto all_done = [&] { return done_.load(std::memory_order_acquire) == items; };
    while (!spin_until(all_done)) std::this_thread::yield();
}

void Threads::work(uint32_t run, int thread) {
    // Read before any claim: if they already belong to a later run, this run is over and no claim below succeeds.
    const Call call = call_.load(std::memory_order_relaxed);
    const void* data = data_.load(std::memory_order_relaxed);
    for (int k = 0; k < count_; ++k) {
        Share& share = shares_[(thread + k) % count_];
        uint64_t next = share.next.load(std::memory_order_acquire);
        while (next >> 32 == run && (uint32_t)next < share.end.load(std::memory_order_acquire)) {
            if (!share.next.compare_exchange_weak(next, next + 1, std::memory_order_acq_rel)) continue;
            call(data, (int)(uint32_t)next, thread);
            done_.fetch_add(1, std::memory_order_release);
            next = share.next.load(std::memory_order_acquire);
        }
    }
}

void Threads::wait_for_work(int thread) {
    for (uint32_t seen = 0; !ending_;) {
        if (!spin_until([&] { return run_.load(std::memory_order_acquire) != seen; })) {
            run_.wait(seen, std::memory_order_acquire);
            continue;
        }
        seen = run_.load(std::memory_order_acquire);
        if (!ending_) work(seen, thread);
    }
}

}  // namespace stepladder
