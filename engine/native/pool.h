// Threads that go through the stages of one computation together.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace flash {

class Pool;

// One thread's place in a run: every thread calls `share` for the same stages in the same order.
class Crew {
 public:
  Crew(Pool& pool, std::uint32_t stage) : pool_(pool), stage_(stage) {}

  // Computes 0 .. units-1 as work(first, last) on ranges of at most `grain`, whichever thread is free taking the next,
  // and returns when all are done, or skipped because the run was cancelled. A thread that comes late, because the system let it wait, finds its stage done by
  // the others and goes on; it holds up nobody.
  template <class Work>
  void share(int units, int grain, const Work& work);

  int threads() const;

 private:
  Pool& pool_;
  std::uint32_t stage_;
};

class Pool {
 public:
  explicit Pool(int threads);  // the caller of run() is one of them
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int size() const { return size_; }

  // Calls work on every thread that is there in time and returns when all of its stages are done. `work` must not
  // throw. Between runs the threads spin for a short time, then are parked at no cost. `cancel` (may be null) is looked
  // at before each range of units; once it is true, the rest of the run is skipped and the result is false.
  bool run(const std::atomic<bool>* cancel, const std::function<void(Crew)>& work);

 private:
  friend class Crew;
  static constexpr std::uint32_t kClosed = 1u << 31;

  void serve();
  bool cancelled();
  void wait_for_stage_after(std::uint32_t stage) const;
  std::uint32_t stage() const { return static_cast<std::uint32_t>(next_.load(std::memory_order_acquire) >> 32); }

  const int size_;
  const std::function<void(Crew)>* work_ = nullptr;
  std::uint32_t first_stage_ = 0;
  const std::atomic<bool>* cancel_ = nullptr;
  std::atomic<bool> skipping_{false};  // stays, whatever becomes of *cancel_
  std::atomic<std::uint32_t> round_{0};
  std::atomic<bool> stop_{false};
  alignas(64) std::atomic<std::uint32_t> inside_{kClosed};  // workers in the run; kClosed: no more may enter
  alignas(64) std::atomic<std::uint64_t> next_{0};          // stage << 32 | first unit that nobody took
  alignas(64) std::atomic<int> done_{0};                    // units of the stage that are computed
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

inline bool Pool::cancelled() {
  if (cancel_ && cancel_->load(std::memory_order_relaxed)) skipping_.store(true, std::memory_order_relaxed);
  return skipping_.load(std::memory_order_relaxed);
}

inline int Crew::threads() const { return pool_.size(); }

template <class Work>
void Crew::share(int units, int grain, const Work& work) {
  if (units == 0) return;
  const std::uint32_t stage = stage_++;
  const std::uint64_t base = static_cast<std::uint64_t>(stage) << 32;
  int computed = 0;
  std::uint64_t next = pool_.next_.load(std::memory_order_acquire);
  while (next - base < static_cast<std::uint64_t>(units)) {
    const int first = static_cast<int>(next - base);
    const int last = std::min(first + grain, units);
    if (!pool_.next_.compare_exchange_weak(next, base + last, std::memory_order_acq_rel)) continue;
    if (!pool_.cancelled()) work(first, last);
    computed += last - first;
    next = pool_.next_.load(std::memory_order_acquire);
  }
  if (computed > 0 && pool_.done_.fetch_add(computed, std::memory_order_acq_rel) + computed == units) {
    pool_.done_.store(0, std::memory_order_relaxed);
    pool_.next_.store(static_cast<std::uint64_t>(stage_) << 32, std::memory_order_release);
    return;
  }
  pool_.wait_for_stage_after(stage);
}

}  // namespace flash
