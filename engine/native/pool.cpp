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

template <class Done>
void wait_until(Done done) {
  while (!spin(done)) std::this_thread::yield();
}

}  // namespace

Pool::Pool(int threads) : size_(threads < 1 ? 1 : threads), parts_(size_) {
  for (int i = 1; i < size_; ++i) workers_.emplace_back([this, i] { serve(i); });
}

Pool::~Pool() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

bool Pool::run(const std::atomic<bool>* cancel, const std::function<void(Crew)>& work) {
  const FloatMode mode;
  base_ = computed();
  work_ = &work;
  cancel_ = cancel;
  skipping_.store(false, std::memory_order_relaxed);
  inside_.fetch_and(~kClosed, std::memory_order_release);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    round_.fetch_add(1, std::memory_order_release);
  }
  wake_.notify_all();
  work(Crew(*this, 0, base_));
  inside_.fetch_or(kClosed, std::memory_order_acq_rel);
  wait_until([&] { return inside_.load(std::memory_order_acquire) == kClosed; });
  return !cancelled();
}

std::uint64_t Pool::computed() const {
  std::uint64_t total = 0;
  for (const Part& part : parts_) total += part.computed.load(std::memory_order_acquire);
  return total;
}

void Pool::rest(int spins) const {
  if (spins % kSpins == kSpins - 1)
    std::this_thread::yield();
  else
    relax();
}

void Pool::serve(int thread) {
  const FloatMode mode;
  std::uint32_t seen = 0;
  const auto called = [&] { return stop_ || round_.load(std::memory_order_acquire) != seen; };
  for (;;) {
    if (!spin(called)) {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, called);
    }
    if (stop_) return;
    seen = round_.load(std::memory_order_acquire);
    const bool open = !(inside_.fetch_add(1, std::memory_order_acq_rel) & kClosed);
    if (open) (*work_)(Crew(*this, thread, base_));
    inside_.fetch_sub(1, std::memory_order_acq_rel);
  }
}

}  // namespace flash
