#include "pool.h"

#include "cpu.h"

namespace flash {
namespace {

constexpr int kSpins = 4000;  // about 100 microseconds

void relax() {
#if defined(FLASH_X86)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until done() is true, at most kSpins times. Returns the last done().
template <class Done>
bool spin(Done done) {
  for (int i = 0; i < kSpins; ++i) {
    if (done()) return true;
    relax();
  }
  return done();
}

}  // namespace

Pool::Pool(int threads) : size_(threads < 1 ? 1 : threads) {
  for (int index = 1; index < size_; ++index) workers_.emplace_back([this, index] { serve(index); });
}

Pool::~Pool() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Pool::run(const std::function<void(int)>& work) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    work_ = &work;
    round_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  const FloatMode mode;
  work(0);
  barrier();
}

void Pool::barrier() {
  const unsigned phase = phase_.load(std::memory_order_relaxed);
  if (arrived_.fetch_add(1, std::memory_order_acq_rel) == size_ - 1) {
    arrived_.store(0, std::memory_order_relaxed);
    phase_.store(phase + 1, std::memory_order_release);
    return;
  }
  const auto done = [&] { return phase_.load(std::memory_order_acquire) != phase; };
  while (!spin(done)) std::this_thread::yield();
}

void Pool::serve(int index) {
  const FloatMode mode;
  unsigned seen = 0;
  const auto called = [&] { return stop_ || round_.load(std::memory_order_acquire) != seen; };
  for (;;) {
    if (!spin(called)) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, called);
    }
    if (stop_) return;
    ++seen;
    (*work_)(index);
    barrier();
  }
}

}  // namespace flash
