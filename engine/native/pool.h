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
  Crew(Pool& pool, int thread, std::uint64_t base) : pool_(pool), thread_(thread), base_(base) {}

  // Computes 0 .. units-1 as work(first, last) on ranges of at most `grain` and returns when all are done, or skipped
  // because the run was cancelled. A thread begins with its own part of the units and, after a moment, goes on with what
  // the others have left of theirs. One that comes late, because the system let it wait, finds its stage done by the
  // others and goes on; it holds up nobody.
  template <class Work>
  void share(int units, int grain, const Work& work);

  // At the end of the next stage this thread fetches the first bytes from `next` on into its second-level cache, and
  // more of them, up to kAhead, while it waits for others.
  void fetch_ahead(const std::uint8_t* next, std::size_t bytes) {
    ahead_ = next;
    ahead_end_ = next + std::min(bytes, kAhead);
  }

  int threads() const;
  int thread() const { return thread_; }

  // This thread's own part of a stage of `units`.
  int first_unit(int units) const;
  int end_unit(int units) const;

 private:
  std::uint64_t begin_of(std::uint64_t part, int units) const;

  static constexpr int kPatience = 32;  // spins, some hundred nanoseconds
  static constexpr std::size_t kAhead = std::size_t{64} << 10;
  static constexpr int kLine = 64;
  static constexpr int kFirst = 4096;
  static constexpr int kFetch = 256;  // between two looks at the others

  // Whether there was something left to fetch.
  bool fetch(int bytes) {
    if (ahead_ >= ahead_end_) return false;
    for (const std::uint8_t* end = std::min(ahead_ + bytes, ahead_end_); ahead_ < end; ahead_ += kLine)
      __builtin_prefetch(ahead_, 0, 2);
    return true;
  }

  // What is left of a part of a stage.
  template <class Work>
  void compute(std::uint64_t part, std::uint64_t base, int units, int grain, const Work& work);

  Pool& pool_;
  int thread_;
  std::uint64_t base_;  // units of all stages before
  const std::uint8_t* ahead_ = nullptr;
  const std::uint8_t* ahead_end_ = nullptr;
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

  // A thread's, each on a line of its own, which moves to another core only when it must.
  struct Part {
    // The first unit, counted over all stages, of its part that nobody took; older where a stage is new to it.
    alignas(64) std::atomic<std::uint64_t> next{0};
    // Units that it computed, over all stages.
    alignas(64) std::atomic<std::uint64_t> computed{0};
  };

  void serve(int thread);
  bool cancelled();
  // Of all threads together, over all stages. Units of later stages count as well: who computed them saw this one done.
  std::uint64_t computed() const;
  bool has_computed(std::uint64_t units) const { return computed() >= units; }
  void rest(int spins) const;

  const int size_;
  const std::function<void(Crew)>* work_ = nullptr;
  std::uint64_t base_ = 0;
  const std::atomic<bool>* cancel_ = nullptr;
  std::atomic<bool> skipping_{false};  // stays, whatever becomes of *cancel_
  std::atomic<std::uint32_t> round_{0};
  std::atomic<bool> stop_{false};
  alignas(64) std::atomic<std::uint32_t> inside_{kClosed};  // workers in the run; kClosed: no more may enter
  std::vector<Part> parts_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<std::thread> workers_;
};

inline bool Pool::cancelled() {
  if (cancel_ && cancel_->load(std::memory_order_relaxed)) skipping_.store(true, std::memory_order_relaxed);
  return skipping_.load(std::memory_order_relaxed);
}

inline int Crew::threads() const { return pool_.size(); }

inline std::uint64_t Crew::begin_of(std::uint64_t part, int units) const { return part * units / pool_.size_; }

inline int Crew::first_unit(int units) const { return static_cast<int>(begin_of(thread_, units)); }
inline int Crew::end_unit(int units) const { return static_cast<int>(begin_of(thread_ + 1, units)); }

template <class Work>
void Crew::share(int units, int grain, const Work& work) {
  const std::uint64_t base = base_;
  base_ += units;
  compute(thread_, base, units, grain, work);
  fetch(kFirst);
  for (int spins = 0; !pool_.has_computed(base_); ++spins) {
    if (spins == kPatience)
      for (int i = 1; i < pool_.size_; ++i) compute((thread_ + i) % pool_.size_, base, units, grain, work);
    if (!fetch(kFetch)) pool_.rest(spins);
  }
}

template <class Work>
void Crew::compute(std::uint64_t part, std::uint64_t base, int units, int grain, const Work& work) {
  const std::uint64_t from = base + begin_of(part, units);
  const std::uint64_t to = base + begin_of(part + 1, units);
  std::atomic<std::uint64_t>& next = pool_.parts_[part].next;
  std::uint64_t computed = 0;
  std::uint64_t seen = next.load(std::memory_order_acquire);
  while (std::max(seen, from) < to) {
    const std::uint64_t first = std::max(seen, from);
    const std::uint64_t last = std::min(first + grain, to);
    if (!next.compare_exchange_weak(seen, last, std::memory_order_acq_rel)) continue;
    if (!pool_.cancelled()) work(static_cast<int>(first - base), static_cast<int>(last - base));
    computed += last - first;
    seen = last;
  }
  if (computed == 0) return;
  std::atomic<std::uint64_t>& mine = pool_.parts_[thread_].computed;
  mine.store(mine.load(std::memory_order_relaxed) + computed, std::memory_order_release);
}

}  // namespace flash
