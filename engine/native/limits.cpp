#include "limits.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <numeric>

#include "matrix.h"
#include "pool.h"

namespace flash {
namespace {

constexpr int kRepeats = 60;

// Seconds of the fastest of several calls of `work`.
template <class Work>
double fastest(const Work& work) {
  using Clock = std::chrono::steady_clock;
  double best = 1e9;
  for (int i = 0; i < kRepeats; ++i) {
    const Clock::time_point start = Clock::now();
    work();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

}  // namespace

double read_bandwidth(std::size_t bytes, int threads) {
  const std::size_t words = bytes / sizeof(std::uint64_t);
  const Buffer buffer = make_buffer(words * sizeof(std::uint64_t));
  const auto* data = reinterpret_cast<const std::uint64_t*>(buffer.get());
  constexpr int kParts = 256;
  std::atomic<std::uint64_t> total{0};
  Pool pool(threads);
  const double seconds = fastest([&] {
    pool.run(nullptr, [&](Crew crew) {
      crew.share(kParts, 4, [&](int first, int last) {
        std::uint64_t sums[32] = {};  // independent, so that only memory limits
        for (std::size_t i = words * first / kParts; i + 32 <= words * last / kParts; i += 32)
          for (int j = 0; j < 32; ++j) sums[j] += data[i + j];
        total += std::accumulate(sums, sums + 32, std::uint64_t{0});
      });
    });
  });
  return static_cast<double>(bytes) / seconds;
}

double product_rate(const Kernels& kernels, int threads) {
  constexpr int kRounds = 20000;
  constexpr int kBursts = 8;
  std::atomic<std::int64_t> done{0};
  Pool pool(threads);
  const double seconds = fastest([&] {
    pool.run(nullptr, [&](Crew crew) {
      crew.share(kBursts * crew.threads(), 1, [&](int, int) { done += kernels.product_burst(kRounds); });
    });
  });
  return static_cast<double>(done) / kRepeats / seconds;
}

}  // namespace flash
